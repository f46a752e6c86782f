//! What Guildhall shows of its insides, as files: JSON Schema of every event, command and read model, golden samples of
//! every event version there ever was, and fingerprints of what they fold to.
//!
//! - `events/`, `commands/`, `read-models/`: schemas, written by `cargo run -p schemas -- generate` and compared by the
//!   tests ([`catalogue`], [`files`]). The schema of an event version that is no longer written is frozen: it was
//!   generated while it was current, and is left alone ever since.
//! - `golden/<service>/<Event>.v<N>.json`: one whole CloudEvent of every event version ever released ([`golden`]). A
//!   new event or version gets its sample by hand; none is ever changed or removed.
//! - `golden/histories/<category>.json`: whole streams, told as they would happen. They may grow.
//! - `fingerprints.toml`: hashes of what every aggregate and every projection makes of these histories
//!   ([`folding`], [`fingerprints`]). A fold that changes without a new version fails the tests.

use std::path::PathBuf;

use serde_json::Value;

pub mod catalogue;
pub mod files;
pub mod fingerprints;
pub mod folding;
pub mod golden;

/// How everything here that is generated is brought up to date, as problems tell it.
pub const GENERATE: &str = "cargo run -p schemas -- generate";

/// The folder that holds the schemas, the samples and the fingerprints.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The value with the keys of all its objects in order, whatever map the JSON library was built with.
pub fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(elements) => Value::Array(elements.into_iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
