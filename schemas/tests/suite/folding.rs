//! What the golden histories fold to is what the schemas and the caches say it is.

use std::{collections::BTreeSet, fs};

use commands::Aggregate;
use schemars::JsonSchema;
use schemas::{
    catalogue::read_model_path,
    folder,
    folding::{AggregateVisitor, for_each_aggregate, states, writes},
    golden::{Histories, by_time, histories},
};
use serde_json::Value;

fn golden() -> Vec<Histories> {
    histories(&folder()).expect("the histories decode")
}

/// Whether a snapshot of any state is as good as the state.
struct Snapshots(Vec<Histories>);

impl AggregateVisitor for Snapshots {
    fn visit<A: Aggregate<Command: JsonSchema>>(&mut self) {
        let states = states::<A>(&self.0);
        let start = serde_json::to_value(A::default()).expect("serialises");
        let mut moved = false;
        for state in states {
            let snapshot = serde_json::to_string(&state).expect("serialises");
            let read: A = serde_json::from_str(&snapshot).expect("a snapshot reads back");
            assert_eq!(serde_json::to_string(&read).expect("serialises"), snapshot, "{}", A::CATEGORY);
            moved |= serde_json::to_value(&state).expect("serialises") != start;
        }
        assert!(moved, "the golden histories leave {} as it starts", A::CATEGORY);
    }
}

#[test]
fn a_snapshot_of_every_state_reads_back_as_that_state() {
    for_each_aggregate(&mut Snapshots(golden()));
}

#[test]
fn every_document_fits_the_schema_of_its_read_model() {
    let events = by_time(golden());
    for projection in projections::all() {
        let mut written = BTreeSet::new();
        for write in writes(&*projection, &events).expect("the golden histories can be folded") {
            let collection = write.document.collection;
            written.insert(collection);
            let Some(json) = write.value else { continue };
            let schema = fs::read_to_string(folder().join(read_model_path(&projection.id(), collection)));
            let schema: Value = serde_json::from_str(&schema.expect("the schema is there")).expect("JSON");
            let document: Value = serde_json::from_str(json.text()).expect("JSON");
            if let Err(error) = jsonschema::validate(&schema, &document) {
                panic!("{} {collection}: {error} in {document}", projection.id());
            }
        }
        let collections: BTreeSet<_> = projection.collections().iter().map(|spec| spec.name).collect();
        assert_eq!(written, collections, "the golden histories fill every collection of {}", projection.id());
    }
}
