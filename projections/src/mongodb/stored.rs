//! How a document lies in a collection: its text, byte for byte, and beside it the fields that are indexed.
//!
//! ```json
//! { "_id": "<key>", "document": "{\"job\":…}", "fields": { "status": "published", "terms": ["a", "site"] } }
//! ```
//!
//! The text is what the fold has serialised: nothing is turned into BSON and back, so every engine holds the same bytes,
//! and no number, key order or key with a dollar sign depends on the engine.

use mongodb::bson::{
    RawArrayBuf, RawDocument, RawDocumentBuf,
    raw::{CStr, RawBsonRef, cstr},
};

use crate::{Json, Scalar, StoreError, fields::pick, layout::Layout};

/// The largest document that MongoDB keeps, bytes.
const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The name of the field with the text.
pub(super) const TEXT: &str = "document";

/// The path of a picked field.
pub(super) fn path(field: &str) -> String {
    format!("fields.{field}")
}

/// The document as the collection keeps it.
///
/// # Errors
/// [`StoreError::Refused`] when it is no JSON object, or larger than MongoDB takes.
pub(super) fn encode(layout: &Layout, key: &str, json: &Json) -> Result<RawDocumentBuf, StoreError> {
    let mut stored = RawDocumentBuf::new();
    stored.append(cstr!("_id"), key);
    stored.append(cstr!("document"), json.text());
    if !layout.picked.is_empty() {
        stored.append(cstr!("fields"), fields(layout, json)?);
    }
    let bytes = stored.as_bytes().len();
    if bytes > DOCUMENT_BYTES_MAX {
        return Err(StoreError::Refused(format!(
            "the document {key} of {} takes {bytes} bytes, and MongoDB keeps {DOCUMENT_BYTES_MAX} at most: a read model \
             that grows so large has to be split into more documents",
            layout.name
        )));
    }
    Ok(stored)
}

fn fields(layout: &Layout, json: &Json) -> Result<RawDocumentBuf, StoreError> {
    let refused = |e| StoreError::Refused(format!("a document of {} is none: {e}", layout.name));
    let picked = pick(json.text(), &layout.picked).map_err(refused)?;
    let mut fields = RawDocumentBuf::new();
    for (place, (name, field)) in layout.picked.iter().zip(picked).enumerate() {
        let name = c_str(name)?;
        if place < layout.columns.len() {
            if let Some(scalar) = field.scalar() {
                fields.append(name, raw(&scalar));
            }
        } else {
            let elements = field.elements();
            if !elements.is_empty() {
                let mut array = RawArrayBuf::new();
                elements.iter().for_each(|element| array.push(raw(element)));
                fields.append(name, array);
            }
        }
    }
    Ok(fields)
}

/// The scalar as BSON, not copied.
pub(super) fn raw(scalar: &Scalar) -> RawBsonRef<'_> {
    match scalar {
        Scalar::Integer(number) => RawBsonRef::Int64(*number),
        Scalar::Text(text) => RawBsonRef::String(text),
    }
}

/// A name as BSON wants it.
///
/// # Errors
/// [`StoreError::Refused`] for one with a zero byte.
pub(super) fn c_str(name: &str) -> Result<&CStr, StoreError> {
    <&CStr>::try_from(name).map_err(|e| StoreError::Refused(format!("{name:?} is no name: {e}")))
}

/// The key of a stored document.
pub(super) fn key(stored: &RawDocument) -> Result<&str, StoreError> {
    stored.get_str("_id").map_err(|e| damaged(&e))
}

/// The text of a stored document.
pub(super) fn text(stored: &RawDocument) -> Result<&str, StoreError> {
    stored.get_str(TEXT).map_err(|e| damaged(&e))
}

/// The value of a picked field.
pub(super) fn scalar(stored: &RawDocument, field: &str) -> Result<Scalar, StoreError> {
    let fields = stored.get_document("fields").map_err(|e| damaged(&e))?;
    match fields.get(field) {
        Ok(Some(RawBsonRef::Int64(number))) => Ok(Scalar::Integer(number)),
        Ok(Some(RawBsonRef::String(text))) => Ok(Scalar::Text(text.to_owned())),
        other => Err(StoreError::Refused(format!("a stored field {field} is {other:?}"))),
    }
}

fn damaged(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Refused(format!("a stored document is not one of ours: {error}"))
}
