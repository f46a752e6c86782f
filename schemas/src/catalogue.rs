//! The schema files as they should be, derived from the types.

use std::collections::{BTreeMap, BTreeSet};

use commands::Aggregate;
use events::Event;
use projections::{
    Collection, ProjectionId, bids_by_job, bids_by_worker, board, contract_detail, effects, job_detail,
    money::{
        deadlines, escrows, ledger, methods, payments, payouts, statement, transfers, unreconciled, wallets,
        webhook_log,
    },
    my_jobs, sessions, steps, timers,
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    folding::{AggregateVisitor, for_each_aggregate},
    sorted,
};

/// The folders under `schemas/` that hold nothing but generated and frozen files.
pub const FOLDERS: [&str; 3] = ["events", "commands", "read-models"];

/// The schema files there should be.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Path below `schemas/` and text of each generated file.
    pub generated: BTreeMap<String, String>,
    /// Paths of the schemas of event versions that are no longer written: they must exist, and are left alone.
    pub frozen: BTreeSet<String>,
}

impl Catalogue {
    /// The catalogue of this release.
    pub fn current() -> Self {
        let mut catalogue = Self::default();
        catalogue.add_events();
        for_each_aggregate(&mut catalogue);
        catalogue.add_read_models();
        catalogue
    }

    fn add_events(&mut self) {
        let mut generator = generator();
        let events = Event::all_schemas(&mut generator);
        let definitions = generator.take_definitions(true);
        for event in events {
            let path = |version: u16| format!("events/{}.v{version}.json", event.event_type());
            let title = format!("{} v{}", event.event_type(), event.version);
            self.add(path(event.version), &title, event.schema.as_value().clone(), &definitions);
            self.frozen.extend((1..event.version).map(path));
        }
    }

    /// The documents of every read model. A test compares the list with the projections' collections.
    fn add_read_models(&mut self) {
        self.add_documents(board::ID, &board::ENTRIES);
        self.add_documents(board::ID, &board::DRAFTS);
        self.add_documents(job_detail::ID, &job_detail::JOBS);
        self.add_documents(job_detail::ID, &job_detail::LINKS);
        self.add_documents(my_jobs::ID, &my_jobs::JOBS);
        self.add_documents(bids_by_job::ID, &bids_by_job::BIDS);
        self.add_documents(bids_by_job::ID, &bids_by_job::AWARDS);
        self.add_documents(bids_by_worker::ID, &bids_by_worker::BIDS);
        self.add_documents(bids_by_worker::ID, &bids_by_worker::JOBS);
        self.add_documents(contract_detail::ID, &contract_detail::CONTRACTS);
        self.add_documents(sessions::ID, &sessions::SESSIONS);
        self.add_documents(timers::ID, &timers::TIMERS);
        self.add_documents(steps::ID, &steps::STEPS);
        self.add_documents(effects::ID, &effects::EFFECTS);
        self.add_read_models_of_money();
    }

    fn add_read_models_of_money(&mut self) {
        self.add_documents(wallets::ID, &wallets::BALANCES);
        self.add_documents(wallets::ID, &wallets::HOLDS);
        self.add_documents(wallets::ID, &wallets::WORKS);
        self.add_documents(wallets::ID, &statement::ENTRIES);
        self.add_documents(escrows::ID, &escrows::ESCROWS);
        self.add_documents(payments::ID, &payments::PAYMENTS);
        self.add_documents(payouts::ID, &payouts::PAYOUTS);
        self.add_documents(methods::ID, &methods::METHODS);
        self.add_documents(methods::ID, &methods::DESTINATIONS);
        self.add_documents(deadlines::ID, &deadlines::DEADLINES);
        self.add_documents(deadlines::ID, &deadlines::AGREEMENTS);
        self.add_documents(webhook_log::ID, &webhook_log::RECEIPTS);
        self.add_documents(ledger::ID, &ledger::ENTRIES);
        self.add_documents(ledger::ID, &ledger::PERIODS);
        self.add_documents(ledger::ID, &ledger::TOTALS);
        self.add_documents(ledger::ID, &ledger::HOLDINGS);
        self.add_documents(ledger::ID, &transfers::TRANSFERS);
        self.add_documents(unreconciled::ID, &unreconciled::RUNS);
    }

    fn add_documents<T: JsonSchema>(&mut self, (name, version): (&str, u32), collection: &Collection<T>) {
        let projection = ProjectionId::new(name, version);
        let collection = collection.spec.name;
        let title = format!("A document of {collection} of {projection}");
        self.add_type::<T>(read_model_path(&projection, collection), &title);
    }

    /// Adds the schema of one type of its own.
    fn add_type<T: JsonSchema>(&mut self, path: String, title: &str) {
        let mut generator = generator();
        let schema = generator.subschema_for::<T>().to_value();
        self.add(path, title, schema, &generator.take_definitions(true));
    }

    fn add(&mut self, path: String, title: &str, schema: Value, definitions: &Map<String, Value>) {
        let schema = sorted(standalone(&path, title, schema, definitions));
        let text = serde_json::to_string_pretty(&schema).expect("a JSON value serialises");
        self.generated.insert(path, text + "\n");
    }
}

/// Where the schema of a collection's documents lies, below `schemas/`.
pub fn read_model_path(projection: &ProjectionId, collection: &str) -> String {
    format!("read-models/{projection}.{collection}.json")
}

impl AggregateVisitor for Catalogue {
    fn visit<A: Aggregate<Command: JsonSchema>>(&mut self) {
        let (service, category) = (A::CATEGORY.service(), A::CATEGORY);
        let path = format!("commands/guildhall.{service}.{category}.json");
        self.add_type::<A::Command>(path, &format!("What can be asked of guildhall.{service}.{category}"));
    }
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

/// The schema as a document of its own, with the definitions it reaches and no others.
fn standalone(path: &str, title: &str, schema: Value, definitions: &Map<String, Value>) -> Value {
    let named = reference(&schema).and_then(|name| definitions.get(name));
    let mut root = match named.cloned().unwrap_or(schema) {
        Value::Object(root) => root,
        other => Map::from_iter([("allOf".to_owned(), json!([other]))]),
    };
    let mut reached = BTreeMap::new();
    for value in root.values() {
        reach(value, definitions, &mut reached);
    }
    root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("$id".into(), json!(path));
    root.insert("title".into(), json!(title));
    if !reached.is_empty() {
        root.insert("$defs".into(), Value::Object(reached.into_iter().collect()));
    }
    Value::Object(root)
}

/// The name that a schema which is a reference refers to.
fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn reach(schema: &Value, definitions: &Map<String, Value>, reached: &mut BTreeMap<String, Value>) {
    if let Some(name) = reference(schema)
        && let Some(definition) = definitions.get(name)
        && !reached.contains_key(name)
    {
        reached.insert(name.to_owned(), definition.clone());
        reach(definition, definitions, reached);
    }
    match schema {
        Value::Object(object) => object.values().for_each(|value| reach(value, definitions, reached)),
        Value::Array(elements) => elements.iter().for_each(|value| reach(value, definitions, reached)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
