//! The OpenAPI 3.1 document, built from the operations that the router is built from.
//!
//! OpenAPI 3.1 takes JSON Schema 2020-12 as it is, so schemars' schemas go in unchanged.

mod page;

use std::collections::BTreeMap;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

pub use page::page;

use crate::http::{
    Operation,
    operation::{Access, SchemaOf, schema_of},
    problem::ProblemDocument,
};

const DEFINITIONS: &str = "/components/schemas";

/// The document of these operations.
pub fn document(operations: &[Operation]) -> Value {
    let mut builder = Builder::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let item = builder.operation(operation);
        paths.entry(operation.path).or_default().insert(operation.method.as_str().to_lowercase(), item);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Guildhall",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A marketplace for skilled work. Amounts are minor units as text. Times are RFC 3339, UTC. \
                Errors are problem documents (RFC 9457) with a stable `code`. A command's answer carries \
                `Guildhall-Consistency`; a query that sends it back waits until it sees what the command did.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": paths,
        "components": {
            "schemas": builder.definitions(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
        },
    })
}

/// Two generators, because a type may look different to who sends it (a password) and to who receives it.
struct Builder {
    received: SchemaGenerator,
    sent: SchemaGenerator,
}

impl Builder {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.meta_schema = None;
                settings.definitions_path = DEFINITIONS.into();
            })
        };
        Self {
            received: settings().for_deserialize().into_generator(),
            sent: settings().for_serialize().into_generator(),
        }
    }

    fn definitions(mut self) -> Map<String, Value> {
        let mut all = self.received.take_definitions(true);
        for (name, schema) in self.sent.take_definitions(true) {
            let known = all.entry(name.clone()).or_insert_with(|| schema.clone());
            assert_eq!(
                *known, schema,
                "{name} is sent and received with different schemas: give it two names"
            );
        }
        all
    }

    fn operation(&mut self, operation: &Operation) -> Value {
        let mut item = Map::new();
        item.insert("operationId".into(), operation.id.into());
        item.insert("summary".into(), operation.summary.into());
        item.insert("tags".into(), json!([operation.tag]));
        let parameters = self.parameters(operation);
        if !parameters.is_empty() {
            item.insert("parameters".into(), parameters.into());
        }
        if let Some(body) = operation.body {
            let schema = body(&mut self.received);
            let content = json!({ "application/json": { "schema": schema } });
            item.insert("requestBody".into(), json!({ "required": true, "content": content }));
        }
        item.insert("responses".into(), self.responses(operation).into());
        let security = match operation.access {
            Access::Public => json!([]),
            Access::Optional => json!([{}, { "bearer": [] }]),
            Access::Bearer | Access::Operator => json!([{ "bearer": [] }]),
        };
        item.insert("security".into(), security);
        item.into()
    }

    fn parameters(&mut self, operation: &Operation) -> Vec<Value> {
        let mut all = Vec::new();
        for (place, schema) in &operation.parameters {
            all.extend(parameters_of(&mut self.received, place, *schema));
        }
        for (name, meaning) in &operation.request_headers {
            all.push(json!({
                "name": name, "in": "header", "required": operation.required_headers.contains(name),
                "description": meaning,
                "schema": { "type": "string" },
            }));
        }
        all
    }

    fn responses(&mut self, operation: &Operation) -> Map<String, Value> {
        let mut responses = Map::new();
        let (status, content_type, schema) = operation.success;
        let mut success = Map::new();
        success.insert("description".into(), success_text(status).into());
        if let Some(schema) = schema {
            let schema = schema(&mut self.sent);
            success.insert("content".into(), json!({ content_type: { "schema": schema } }));
        }
        if !operation.answer_headers.is_empty() {
            let headers: Map<String, Value> = operation
                .answer_headers
                .iter()
                .map(|(name, meaning)| {
                    ((*name).to_owned(), json!({ "description": meaning, "schema": { "type": "string" } }))
                })
                .collect();
            success.insert("headers".into(), headers.into());
        }
        responses.insert(status.to_string(), success.into());
        for (status, codes) in problem_statuses(operation) {
            responses.insert(status.to_string(), self.problem(&codes));
        }
        responses
    }

    fn problem(&mut self, codes: &[&str]) -> Value {
        let schema = schema_of::<ProblemDocument<'_>>(&mut self.sent);
        let description = if codes.is_empty() {
            "The rules refuse it; `code` says why.".to_owned()
        } else {
            format!("`{}`", codes.join("`, `"))
        };
        json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } })
    }
}

fn success_text(status: u16) -> &'static str {
    if status == 201 { "Made." } else { "Done." }
}

/// Every status an operation may refuse with, and the gateway's own codes among its reasons.
fn problem_statuses(operation: &Operation) -> BTreeMap<u16, Vec<&'static str>> {
    let mut statuses: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for code in &operation.problems {
        statuses.entry(code.status().as_u16()).or_default().push(code.code());
    }
    for status in &operation.rejections {
        statuses.entry(*status).or_default();
    }
    statuses
}

fn parameters_of(generator: &mut SchemaGenerator, place: &str, schema: SchemaOf) -> Vec<Value> {
    let schema = schema(generator);
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let needed = place == "path" || required.contains(&Value::String(name.clone()));
        let mut parameter = json!({ "name": name, "in": place, "required": needed, "schema": schema });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameter
    };
    properties.into_iter().map(parameter).collect()
}
