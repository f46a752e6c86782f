//! The documentation page: the OpenAPI document as plain HTML, with nothing to fetch and nothing to run.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::Value;

use crate::http::{Code, rejections};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#f5f5f2;padding:.8rem;overflow:auto}\
    summary{cursor:pointer;padding:.3rem 0}.m{display:inline-block;width:4rem;font-weight:600}\
    table{border-collapse:collapse}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}";

/// The page of this document.
pub fn page(document: &Value) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Guildhall: the API</title>\
         <style>{STYLE}</style><h1>Guildhall: the API</h1><p>{}</p>\
         <p>For programs: <a href=\"/api/openapi.json\">openapi.json</a></p><h2>Operations</h2>",
        escape(document["info"]["description"].as_str().unwrap_or_default())
    );
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            add_operation(&mut html, path, method, operation);
        }
    }
    html.push_str("<h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = write!(
            html,
            "<details id=\"schema-{name}\"><summary><code>{name}</code></summary>{}</details>",
            pre(schema)
        );
    }
    html.push_str("<h2>Codes</h2><table><tr><th>code<th>status<th>when");
    for code in Code::ALL {
        add_code(&mut html, code.code(), code.status().as_u16(), code.meaning());
    }
    let mut known: BTreeSet<&str> = Code::ALL.iter().map(|code| code.code()).collect();
    for line in rejections::tables().into_iter().flat_map(|(_, lines)| lines) {
        // Several aggregates may refuse for the same reason; a place on the page has one name.
        if known.insert(line.code) {
            add_code(&mut html, line.code, line.status.as_u16(), &line.meaning);
        }
    }
    html.push_str("</table></html>");
    html
}

fn add_code(html: &mut String, code: &str, status: u16, meaning: &str) {
    let meaning = escape(meaning);
    let _ = write!(html, "<tr id=\"{code}\"><td><code>{code}</code><td>{status}<td>{meaning}");
}

fn add_operation(html: &mut String, path: &str, method: &str, operation: &Value) {
    let summary = escape(operation["summary"].as_str().unwrap_or_default());
    let _ = write!(
        html,
        "<details><summary><code class=\"m\">{}</code> <code>{}</code> {summary}</summary>",
        method.to_uppercase(),
        escape(path)
    );
    for part in ["parameters", "requestBody", "responses"] {
        if let Some(value) = operation.get(part) {
            let _ = write!(html, "<p>{part}</p>{}", pre(value));
        }
    }
    html.push_str("</details>");
}

fn pre(value: &Value) -> String {
    format!("<pre>{}</pre>", escape(&serde_json::to_string_pretty(value).unwrap_or_default()))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
