//! Old events read as today's: one pure function lifts the data of one event by one schema version.

use serde_json::{Value, json, value::RawValue};

use crate::{envelope::DecodeError, stream::Category, vocabulary::Event};

/// Lifts `data` from one schema version to the next. Sealed leaves are moved whole.
pub type Upcaster = fn(Value) -> Option<Value>;

/// Every step there is: category, event name, the version it starts from, the function.
pub const UPCASTERS: &[(Category, &str, u16, Upcaster)] = &[
    (Category::Job, "JobCreated", 1, job_created_single_budget_to_range),
    (Category::Contract, "FundingRequested", 1, funding_requested_without_an_order),
];

/// Version 1 had one amount; version 2 has both ends.
fn job_created_single_budget_to_range(mut data: Value) -> Option<Value> {
    let budget = data.get_mut("terms")?.get_mut("budget")?;
    let amount = budget.take();
    *budget = json!({ "min": amount.clone(), "max": amount });
    Some(data)
}

/// Version 1 was asked for when nobody could take the money.
fn funding_requested_without_an_order(mut data: Value) -> Option<Value> {
    data.as_object_mut()?.insert("order".to_owned(), Value::Null);
    Some(data)
}

/// Reads the data of one event and lifts it to the current version.
///
/// # Errors
/// [`DecodeError::UnknownType`] for a name this release does not know or a version newer than it writes;
/// [`DecodeError::Data`] when the data does not fit its type.
pub fn decode(
    category: Category,
    event_type: &str,
    version: u16,
    data: &RawValue,
) -> Result<Event, DecodeError> {
    let unknown = || DecodeError::UnknownType { event_type: event_type.to_owned(), schema_version: version };
    let broken = |reason: String| DecodeError::Data {
        event_type: event_type.to_owned(),
        schema_version: version,
        reason,
    };
    let name = event_type
        .strip_prefix("guildhall.")
        .and_then(|rest| rest.strip_prefix(category.service().name()))
        .and_then(|rest| rest.strip_prefix('.'))
        .ok_or_else(unknown)?;
    let current = Event::current_version(category, name).ok_or_else(unknown)?;
    if version == 0 || version > current {
        return Err(unknown());
    }
    if version == current {
        let decoded = Event::decode(category, name, data).ok_or_else(unknown)?;
        return decoded.map_err(|e| broken(e.to_string()));
    }
    let mut value: Value = serde_json::from_str(data.get()).map_err(|e| broken(e.to_string()))?;
    for from in version..current {
        let (.., upcaster) = UPCASTERS
            .iter()
            .find(|(c, n, v, _)| (*c, *n, *v) == (category, name, from))
            .ok_or_else(|| broken(format!("no upcaster from version {from}")))?;
        value = upcaster(value).ok_or_else(|| broken(format!("the upcaster from version {from} gave up")))?;
    }
    let lifted = serde_json::value::to_raw_value(&value).map_err(|e| broken(e.to_string()))?;
    let decoded = Event::decode(category, name, &lifted).ok_or_else(unknown)?;
    decoded.map_err(|e| broken(e.to_string()))
}
