//! The people on a log: whether the keys at hand open all that is sealed there, and who was erased.

use std::collections::BTreeSet;

use serde_json::Value;

use super::BackupError;
use crate::{
    envelope::CloudEvent,
    ids::{AccountId, Id},
    keys::{KeyRing, KeyStanding},
    personal::Sealed,
    stream::{Category, Position},
    vocabulary::{Event, identity::AccountEvent},
};

/// What is found about people while a log is walked.
#[derive(Debug)]
pub struct People<'a> {
    keys: &'a KeyRing,
    /// Sealed values on the log.
    pub values: u64,
    /// Those whose key is neither here nor erased.
    pub missing: u64,
    /// Where the first of them stands, and about whom it is.
    pub first_missing: Option<(Position, AccountId)>,
    /// Who was erased, as the log says.
    pub erased: BTreeSet<AccountId>,
}

impl<'a> People<'a> {
    /// Nobody yet; `keys` are those at hand.
    pub fn new(keys: &'a KeyRing) -> Self {
        Self { keys, values: 0, missing: 0, first_missing: None, erased: BTreeSet::new() }
    }

    /// Looks through the events at `position`.
    pub(super) fn note(&mut self, position: Position, events: &[CloudEvent<'_>]) -> Result<(), BackupError> {
        for event in events {
            if event.subject.category == Category::Account
                && let Ok(recorded) = event.decode(position)
                && matches!(recorded.payload, Event::Account(AccountEvent::AccountErased(_)))
            {
                self.erased.insert(AccountId::from_uuid(event.subject.uuid));
            }
            let data = event.data.get();
            if data.contains("\"sealed\"")
                && let Ok(data) = serde_json::from_str(data)
            {
                self.look_into(position, data)?;
            }
        }
        Ok(())
    }

    /// Every sealed value in it, whatever event it is part of.
    fn look_into(&mut self, position: Position, data: Value) -> Result<(), BackupError> {
        match data {
            Value::Object(fields) if fields.contains_key("sealed") && fields.contains_key("kid") => {
                if let Ok(sealed) = serde_json::from_value::<Sealed>(Value::Object(fields)) {
                    self.values += 1;
                    if self.keys.standing(sealed.subject, sealed.kid)? == KeyStanding::Absent {
                        self.missing += 1;
                        self.first_missing.get_or_insert((position, sealed.subject));
                    }
                }
            }
            Value::Object(fields) => {
                for (_, field) in fields {
                    self.look_into(position, field)?;
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.look_into(position, item)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(())
    }

    /// Whether the keys are those of this log, and not older than it.
    ///
    /// # Errors
    /// [`BackupError::Refused`] when a value is sealed with a key that is not here and was not erased.
    pub fn have_their_keys(&self) -> Result<(), BackupError> {
        let Some((position, person)) = self.first_missing else { return Ok(()) };
        Err(BackupError::Refused(format!(
            "{} of {} sealed values have a key that this key file has not, the first at {position}, of {person}: the keys are \
             older than the log, or another house's. Take the newest there are",
            self.missing, self.values
        )))
    }
}
