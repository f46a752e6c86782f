//! The OpenAPI document is what is checked in, and every route in it exists.

use std::path::Path;

use gateway::{app::openapi_text, openapi, routes};
use http::StatusCode;
use serde_json::Value;

use crate::harness::Guild;

fn document() -> Value {
    openapi::document(&routes::operations())
}

#[test]
fn the_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/openapi.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, openapi_text(&document())).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == openapi_text(&document()), "write it anew with UPDATE=1");
}

#[test]
fn every_operation_has_a_name_of_its_own_and_a_line() {
    let mut names = Vec::new();
    for operation in routes::operations() {
        assert!(
            !operation.id.is_empty() && !operation.summary.is_empty(),
            "{} {}",
            operation.method,
            operation.path
        );
        names.push(operation.id);
    }
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            references.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| collect(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_of_the_document_exists() {
    let guild = Guild::start().await;
    let served = guild.get("/api/openapi.json").send().await.expect(StatusCode::OK).body;
    assert_eq!(served, document());
    for (path, methods) in served["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let id = "0".repeat(32);
            let filled = path
                .replace("{job}", &format!("job_{id}"))
                .replace("{bid}", &format!("bid_{id}"))
                .replace("{contract}", &format!("con_{id}"))
                .replace("{milestone}", "1")
                .replace("{escrow}", &format!("esc_{id}"))
                .replace("{payment}", &format!("pay_{id}"))
                .replace("{payment_method}", &format!("pmt_{id}"))
                .replace("{payout}", &format!("out_{id}"))
                .replace("{payout_destination}", &format!("dst_{id}"))
                .replace("{provider}", "sandbox")
                .replace("{refund}", "1")
                .replace("{reconciliation}", &format!("rcn_{id}"))
                .replace("{projection}", "board")
                .replace("{letter}", &format!("ltr_{id}"));
            let reply = guild.client.call(&method.to_uppercase(), &filled).send().await;
            let missing = reply.text("/detail").starts_with("no route");
            assert!(
                reply.status != StatusCode::METHOD_NOT_ALLOWED && !missing,
                "{method} {path}: {}",
                reply.raw
            );
            let status = reply.status.as_u16().to_string();
            let documented = &served["paths"][path][method]["responses"];
            assert!(
                documented.get(&status).is_some(),
                "{method} {path} answered {status}, which is not documented"
            );
        }
    }
}

#[tokio::test]
async fn the_page_for_people_brings_all_it_needs_with_it() {
    let guild = Guild::start().await;
    let page = guild.get("/api/docs").send().await.expect(StatusCode::OK);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.raw.contains("/api/v1/jobs") && page.raw.contains("id=\"malformed_json\""));
    assert!(page.raw.contains("id=\"bid_already_active\""), "where a problem's `type` leads is on the page");
    assert!(!page.raw.contains("<script") && !page.raw.contains("src=") && !page.raw.contains("//cdn"));
}
