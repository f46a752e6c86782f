//! Every event there is, one file per service.
//!
//! An event is declared once, in the [`vocabulary!`] list of its stream: its name, its schema version and its payload
//! struct. Names on the log, decoding, topics and schemas all come from that line.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    stream::{Category, Service},
    time::Timestamp,
};

pub mod admin;
pub mod identity;
pub mod jobs;
pub mod payments;

/// The events of one category of streams.
pub trait DomainEvent:
    Clone + std::fmt::Debug + PartialEq + Serialize + Into<Event> + Send + Sync + 'static
{
    /// The streams these events live in.
    const CATEGORY: Category;
    /// Name and current schema version of each, in the order of declaration.
    const NAMES: &'static [(&'static str, u16)];
    /// The event's name, past tense, without service: `JobCreated`.
    fn name(&self) -> &'static str;
    /// The version in which it is written today.
    fn schema_version(&self) -> u16;
    /// Reads `data` of the current version; `None` when the name is not one of [`Self::NAMES`].
    fn decode(name: &str, data: &RawValue) -> Option<serde_json::Result<Self>>;
    /// The event out of the union, when it is one of these.
    fn from_event(event: Event) -> Option<Self>;
    /// JSON Schema of each event's data, by name.
    fn schemas(generator: &mut SchemaGenerator) -> BTreeMap<&'static str, Schema>;
}

/// A timer that an event starts or stops. Names are unique within the stream; starting one again moves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimerChange {
    /// From now on, `timer` is due at `due_at` (domain time).
    Start {
        /// Its name.
        timer: String,
        /// When it fires.
        due_at: Timestamp,
    },
    /// `timer` will not fire any more.
    Stop {
        /// Its name.
        timer: String,
    },
}

/// A step that a process manager asks for, or that was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepChange {
    /// Step `0` is to be done.
    Requested(u32),
    /// Step `0` was done or refused.
    Settled(u32),
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum StepOutcome {
    /// The command was accepted (or had nothing left to do).
    Done,
    /// The rules said no.
    Refused {
        /// The rejection's stable code.
        code: String,
    },
}

macro_rules! vocabulary {
    (
        $(#[$doc:meta])*
        pub enum $name:ident in $category:ident { $($event:ident = $version:literal),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        #[serde(untagged)]
        #[allow(missing_docs, reason = "each variant is its payload, documented there")]
        #[allow(clippy::large_enum_variant, reason = "events are short-lived; boxing each would cost every reader")]
        pub enum $name { $($event($event)),* }

        $(impl From<$event> for $name {
            fn from(payload: $event) -> Self { Self::$event(payload) }
        })*

        impl crate::vocabulary::DomainEvent for $name {
            const CATEGORY: crate::stream::Category = crate::stream::Category::$category;
            const NAMES: &'static [(&'static str, u16)] = &[$((stringify!($event), $version)),*];
            fn name(&self) -> &'static str {
                match self { $(Self::$event(_) => stringify!($event)),* }
            }
            fn schema_version(&self) -> u16 {
                match self { $(Self::$event(_) => $version),* }
            }
            fn decode(name: &str, data: &serde_json::value::RawValue) -> Option<serde_json::Result<Self>> {
                match name {
                    $(stringify!($event) => Some(serde_json::from_str(data.get()).map(Self::$event)),)*
                    _ => None,
                }
            }
            fn from_event(event: crate::vocabulary::Event) -> Option<Self> {
                if let crate::vocabulary::Event::$category(event) = event { Some(event) } else { None }
            }
            fn schemas(
                generator: &mut schemars::SchemaGenerator,
            ) -> std::collections::BTreeMap<&'static str, schemars::Schema> {
                std::collections::BTreeMap::from([
                    $((stringify!($event), generator.subschema_for::<$event>())),*
                ])
            }
        }
    };
}
pub(crate) use vocabulary;

/// The union of all vocabularies, by category: what projections match on.
macro_rules! union {
    ($($category:ident => $events:ty),* $(,)?) => {
        /// Any event on the log.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each variant is the vocabulary of its category")]
        #[allow(clippy::large_enum_variant, reason = "events are short-lived; boxing each would cost every reader")]
        pub enum Event { $($category($events)),* }

        $(impl From<$events> for Event {
            fn from(event: $events) -> Self { Self::$category(event) }
        })*

        impl Event {
            /// The event's name, past tense, without service.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$category(event) => event.name()),* }
            }

            /// The streams it lives in.
            pub fn category(&self) -> Category {
                match self { $(Self::$category(_) => Category::$category),* }
            }

            /// Reads `data` of the current version of the event `name` of `category`.
            pub(crate) fn decode(
                category: Category,
                name: &str,
                data: &RawValue,
            ) -> Option<serde_json::Result<Self>> {
                match category {
                    $(Category::$category => <$events>::decode(name, data).map(|event| event.map(Self::from))),*
                }
            }

            /// The current schema version of the event `name` of `category`.
            pub fn current_version(category: Category, name: &str) -> Option<u16> {
                let names = match category { $(Category::$category => <$events>::NAMES),* };
                names.iter().find(|(known, _)| *known == name).map(|(_, version)| *version)
            }

            /// Name, current version and schema of every event, by category.
            pub fn all_schemas(generator: &mut SchemaGenerator) -> Vec<EventSchema> {
                let mut all = Vec::new();
                $(
                    let schemas = <$events>::schemas(generator);
                    for (name, version) in <$events>::NAMES {
                        let schema = schemas[name].clone();
                        all.push(EventSchema { category: Category::$category, name, version: *version, schema });
                    }
                )*
                all
            }
        }
    };
}

union! {
    Account => identity::AccountEvent,
    Login => identity::LoginEvent,
    Session => identity::SessionEvent,
    Registration => identity::RegistrationEvent,
    Job => jobs::JobEvent,
    Contract => jobs::ContractEvent,
    Hire => jobs::HireEvent,
    Payment => payments::PaymentEvent,
    Escrow => payments::EscrowEvent,
    Wallet => payments::WalletEvent,
    Payout => payments::PayoutEvent,
    PaymentMethod => payments::PaymentMethodEvent,
    PayoutDestination => payments::PayoutDestinationEvent,
    Receipt => payments::ReceiptEvent,
    Funding => payments::FundingEvent,
    Release => payments::ReleaseEvent,
    PayoutRun => payments::PayoutRunEvent,
    Reconciliation => payments::ReconciliationEvent,
    TestClock => admin::TestClockEvent,
}

/// One line of the catalogue of events.
#[derive(Debug, Clone)]
pub struct EventSchema {
    /// The streams it lives in.
    pub category: Category,
    /// Its name.
    pub name: &'static str,
    /// Its current version.
    pub version: u16,
    /// The schema of its data.
    pub schema: Schema,
}

impl EventSchema {
    /// The CloudEvents type.
    pub fn event_type(&self) -> String {
        format!("guildhall.{}.{}", self.category.service(), self.name)
    }

    /// The service it belongs to.
    pub fn service(&self) -> Service {
        self.category.service()
    }
}

impl Event {
    /// The timers this event starts or stops on its own stream.
    pub fn timer_changes(&self) -> Vec<TimerChange> {
        match self {
            Self::Job(event) => event.timer_changes(),
            Self::Registration(event) => event.timer_changes(),
            Self::Hire(event) => event.timer_changes(),
            Self::Funding(event) => event.timer_changes(),
            Self::Release(event) => event.timer_changes(),
            Self::PayoutRun(event) => event.timer_changes(),
            Self::Account(_)
            | Self::Login(_)
            | Self::Session(_)
            | Self::Contract(_)
            | Self::Payment(_)
            | Self::Escrow(_)
            | Self::Wallet(_)
            | Self::Payout(_)
            | Self::PaymentMethod(_)
            | Self::PayoutDestination(_)
            | Self::Receipt(_)
            | Self::Reconciliation(_)
            | Self::TestClock(_) => Vec::new(),
        }
    }

    /// The step this event requests or settles, when it is a process manager's.
    pub fn step_change(&self) -> Option<StepChange> {
        match self {
            Self::Registration(event) => event.step_change(),
            Self::Hire(event) => event.step_change(),
            Self::Funding(event) => event.step_change(),
            Self::Release(event) => event.step_change(),
            Self::PayoutRun(event) => event.step_change(),
            Self::Receipt(event) => event.step_change(),
            Self::Account(_)
            | Self::Login(_)
            | Self::Session(_)
            | Self::Job(_)
            | Self::Contract(_)
            | Self::Payment(_)
            | Self::Escrow(_)
            | Self::Wallet(_)
            | Self::Payout(_)
            | Self::PaymentMethod(_)
            | Self::PayoutDestination(_)
            | Self::Reconciliation(_)
            | Self::TestClock(_) => None,
        }
    }
}
