//! The workers' own documents (letters, turns) as the read store keeps them.

pub(crate) use projections::Json;
use projections::StoreError;
use serde::{Serialize, de::DeserializeOwned};

/// The document as the store keeps it.
pub(crate) fn encode<T: Serialize>(document: &T) -> Result<Json, StoreError> {
    Json::of(document)
        .map_err(|e| StoreError::Refused(format!("a document of the workers does not serialise: {e}")))
}

/// The document as it was encoded.
pub(crate) fn decode<T: DeserializeOwned>(json: &Json) -> Result<T, StoreError> {
    json.parse().map_err(|e| StoreError::Refused(format!("a document of the workers does not decode: {e}")))
}
