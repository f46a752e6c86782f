//! Where an event lives: service (topic), partition, offset; stream and version.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::ids::{Id, parse_hex};

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The name as it stands on the log.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
            /// The one with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.name()) }
        }
    };
}

names! {
    /// A service owns one topic of the log, `guildhall.<service>.events`.
    Service {
        /// Accounts, logins, sessions.
        Identity = "identity",
        /// Jobs with their bids, contracts with their milestones.
        Jobs = "jobs",
        /// Payments, escrow, wallets, payouts.
        Payments = "payments",
        /// The running of Guildhall itself.
        Admin = "admin",
    }
}

impl Service {
    /// The topic that holds the streams of this service.
    pub fn topic(self) -> String {
        format!("guildhall.{self}.events")
    }
}

names! {
    /// The kind of aggregate (or process manager) a stream is the history of.
    Category {
        /// `account`, see [`crate::vocabulary::identity`].
        Account = "account",
        /// `login`: the reservation of one e-mail address.
        Login = "login",
        /// `session`: one logged-in device.
        Session = "session",
        /// `registration`: a process manager.
        Registration = "registration",
        /// `job`, with its bids.
        Job = "job",
        /// `contract`, with its milestones.
        Contract = "contract",
        /// `hire`: a process manager.
        Hire = "hire",
        /// `payment`: what a client pays for one milestone, see [`crate::vocabulary::payments`].
        Payment = "payment",
        /// `escrow`: one milestone's money.
        Escrow = "escrow",
        /// `wallet`: one user's money in one currency.
        Wallet = "wallet",
        /// `payout`: money that leaves a wallet for a bank.
        Payout = "payout",
        /// `payment_method`: what somebody pays with.
        PaymentMethod = "payment_method",
        /// `payout_destination`: where somebody is paid.
        PayoutDestination = "payout_destination",
        /// `receipt`: one event of a payment provider.
        Receipt = "receipt",
        /// `funding`: a process manager.
        Funding = "funding",
        /// `release`: a process manager.
        Release = "release",
        /// `payout_run`: a process manager.
        PayoutRun = "payout_run",
        /// `reconciliation`: one comparison of all books.
        Reconciliation = "reconciliation",
        /// `test_clock`: the one stream that moves domain time in development.
        TestClock = "test_clock",
    }
}

impl Category {
    /// The service whose topic holds streams of this category.
    pub const fn service(self) -> Service {
        match self {
            Self::Account | Self::Login | Self::Session | Self::Registration => Service::Identity,
            Self::Job | Self::Contract | Self::Hire => Service::Jobs,
            Self::Payment
            | Self::Escrow
            | Self::Wallet
            | Self::Payout
            | Self::PaymentMethod
            | Self::PayoutDestination
            | Self::Receipt
            | Self::Funding
            | Self::Release
            | Self::PayoutRun
            | Self::Reconciliation => Service::Payments,
            Self::TestClock => Service::Admin,
        }
    }
}

/// The name of one stream: `job-<32 hexadecimal digits>`, the same digits as in the id of its aggregate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// What kind of thing the stream is the history of.
    pub category: Category,
    /// Which one.
    pub uuid: Uuid,
}

impl StreamId {
    /// The stream of the aggregate with this id.
    pub fn new(category: Category, id: impl Id) -> Self {
        Self { category, uuid: id.uuid() }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = Uuid::encode_buffer();
        f.write_str(self.category.name())?;
        f.write_str("-")?;
        f.write_str(self.uuid.simple().encode_lower(&mut buffer))
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a stream of a known category.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a stream of the form <category>-<32 lower-case hexadecimal digits>")]
pub struct InvalidStream;

impl FromStr for StreamId {
    type Err = InvalidStream;
    fn from_str(text: &str) -> Result<Self, InvalidStream> {
        let (category, hex) = text.split_once('-').ok_or(InvalidStream)?;
        let category = Category::from_name(category).ok_or(InvalidStream)?;
        Ok(Self { category, uuid: parse_hex(hex).ok_or(InvalidStream)? })
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for StreamId {
    fn schema_name() -> Cow<'static, str> {
        "StreamId".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z_]+-[0-9a-f]{32}$" })
    }
}

/// The number of an event in its stream: 1, 2, 3… without gaps. 0 is the version of a stream that does not exist.
pub type Version = u64;

/// The place of a commit in its partition. Offsets grow, have gaps, and prove nothing but order.
pub type Offset = i64;

/// The offset before the first: reading "after" it reads everything.
pub const BEFORE_FIRST: Offset = -1;

/// One ordered part of one topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Partition {
    /// Whose topic.
    pub service: Service,
    /// Which part of it, from 0.
    pub number: u16,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.number)
    }
}

impl FromStr for Partition {
    type Err = InvalidPosition;
    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (service, number) = text.split_once('/').ok_or(InvalidPosition)?;
        Ok(Self {
            service: Service::from_name(service).ok_or(InvalidPosition)?,
            number: number.parse().map_err(|_| InvalidPosition)?,
        })
    }
}

/// The place of a commit on the log, within one log: `jobs/0/42`. Across logs it means nothing; see [`LogId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// The ordered part.
    pub partition: Partition,
    /// The place in it.
    pub offset: Offset,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

/// The text is not a partition (`jobs/0`) or a position (`jobs/0/42`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a position of the form <service>/<partition>/<offset>")]
pub struct InvalidPosition;

impl FromStr for Position {
    type Err = InvalidPosition;
    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (partition, offset) = text.rsplit_once('/').ok_or(InvalidPosition)?;
        Ok(Self { partition: partition.parse()?, offset: offset.parse().map_err(|_| InvalidPosition)? })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Position {
    fn schema_name() -> Cow<'static, str> {
        "Position".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z]+/[0-9]+/-?[0-9]+$" })
    }
}

/// Which log: drawn once when a log is made. Tokens, checkpoints and letters carry it; a foreign one is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogId(pub Uuid);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::JobId;

    #[test]
    fn streams_and_positions_read_back_as_written() {
        let stream = StreamId::new(Category::Job, JobId::fresh());
        assert_eq!(stream.to_string().parse(), Ok(stream));
        assert!("horse-00000000000000000000000000000000".parse::<StreamId>().is_err());
        let position = Position { partition: Partition { service: Service::Jobs, number: 3 }, offset: 42 };
        assert_eq!(position.to_string(), "jobs/3/42");
        assert_eq!("jobs/3/42".parse(), Ok(position));
        assert!("jobs/3".parse::<Position>().is_err());
    }
}
