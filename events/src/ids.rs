//! Prefixed, sortable ids: `job_` and the 32 hexadecimal digits of a UUID.
//!
//! A fresh id is a UUIDv7, so ids sort by the time they were made. Ids of new things are not drawn at random but
//! derived from the command that makes them ([`CommandId::derive`]), so a repeated command finds what it made.

use std::{borrow::Cow, fmt, str::FromStr};

use aws_lc_rs::digest;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::{Builder, Uuid};

use crate::{money::Currency, time::Timestamp};

/// A newtype over 128 bits with a prefix that names its kind.
pub trait Id: Copy + Eq + Ord + fmt::Display + FromStr<Err = InvalidId> + Send + Sync + 'static {
    /// What stands before the underscore, `"job"` for instance.
    const PREFIX: &'static str;
    /// The id with these bits.
    fn from_uuid(uuid: Uuid) -> Self;
    /// The bits of this id.
    fn uuid(self) -> Uuid;
}

/// The text is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_<32 lower-case hexadecimal digits>")]
pub struct InvalidId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// Parses the 32 lower-case hexadecimal digits of an id or a stream; anything else is `None`, so that every id has
/// exactly one spelling.
pub(crate) fn parse_hex(text: &str) -> Option<Uuid> {
    let canonical = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { Uuid::try_parse(text).ok() } else { None }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl Id for $name {
            const PREFIX: &'static str = $prefix;
            fn from_uuid(uuid: Uuid) -> Self { Self(uuid) }
            fn uuid(self) -> Uuid { self.0 }
        }
        impl $name {
            /// A fresh id that sorts after those made before (UUIDv7, real time).
            pub fn fresh() -> Self { Self(Uuid::now_v7()) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = Uuid::encode_buffer();
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(self.0.simple().encode_lower(&mut buffer))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(parse_hex)
                    .map(Self)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(self) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": concat!("^", $prefix, "_[0-9a-f]{32}$"),
                })
            }
        }
    )*};
}

ids! {
    /// A person or organisation that can log in.
    AccountId = "acc";
    /// The reservation of one e-mail address; its bits are an HMAC of the address.
    LoginId = "lgn";
    /// One logged-in device.
    SessionId = "ses";
    /// A posted piece of work.
    JobId = "job";
    /// A worker's offer on a job.
    BidId = "bid";
    /// The agreement that follows from an accepted bid.
    ContractId = "con";
    /// One run of the registration process manager.
    RegistrationId = "reg";
    /// One run of the hire process manager.
    HireId = "hir";
    /// What a client pays for one milestone.
    PaymentId = "pay";
    /// One milestone's money; its bits are a hash of contract and milestone.
    EscrowId = "esc";
    /// One user's money in one currency; its bits are a hash of the two.
    WalletId = "wal";
    /// Money that leaves a wallet for a bank.
    PayoutId = "out";
    /// What somebody pays with.
    PaymentMethodId = "pmt";
    /// Where somebody is paid.
    PayoutDestinationId = "dst";
    /// One event of a payment provider; its bits are a hash of the provider's name and its id of the event.
    ReceiptId = "rcp";
    /// Money on its way from one aggregate to another; the receiver takes it once.
    TransferId = "trf";
    /// Money in a wallet that cannot be spent.
    HoldId = "hld";
    /// One run of the funding process manager.
    FundingId = "fnd";
    /// One run of the release process manager.
    ReleaseId = "rel";
    /// One run of the payout process manager.
    PayoutRunId = "prn";
    /// One comparison of all books; that of a day has bits that are a hash of the day.
    ReconciliationId = "rcn";
    /// The clock of a development server; there is one, with the bits all zero.
    TestClockId = "clk";
    /// One event on the log.
    EventId = "evt";
    /// One append to one stream.
    CommitId = "cmt";
    /// One wish to change one stream; repeating it with the same id has no second effect.
    CommandId = "cmd";
    /// One key of one subject's personal data.
    KeyId = "key";
    /// One dead letter.
    LetterId = "ltr";
}

impl CommandId {
    /// The command id of a client's `Idempotency-Key`: a hash of who, what and the key.
    ///
    /// A key that is itself a UUIDv7 keeps its 48 bits of time, so that the ids derived from it stay sortable; any
    /// other key gives an id without a meaningful time.
    pub fn from_key(actor: &str, operation: &str, key: &str) -> Self {
        let hash = hash_parts(&[b"idempotency-key", actor.as_bytes(), operation.as_bytes(), key.as_bytes()]);
        let time = Uuid::try_parse(key).ok().filter(|uuid| uuid.get_version_num() == 7);
        Self(match time {
            Some(uuid) => with_time_of(uuid, hash),
            None => Builder::from_custom_bytes(hash).into_uuid(),
        })
    }

    /// The command id of step `number` of the process manager instance `instance`, the same at every repetition.
    pub fn from_step(category: &str, instance: Uuid, number: u32) -> Self {
        Self::from_cause(
            &[b"step", category.as_bytes(), instance.as_bytes(), &number.to_be_bytes()],
            instance,
        )
    }

    /// The command id of a reaction of `category` to `event`.
    pub fn from_event(category: &str, event: EventId) -> Self {
        Self::from_cause(&[b"reaction", category.as_bytes(), event.0.as_bytes()], event.0)
    }

    /// The command id of whatever `parts` name, with the time of `time_of` where that is a UUIDv7.
    pub fn from_cause(parts: &[&[u8]], time_of: Uuid) -> Self {
        Self(with_time_of(time_of, hash_parts(parts)))
    }

    /// The `ordinal`-th id that this command brings into the world; sorts like the command itself.
    pub fn derive<I: Id>(self, ordinal: u32) -> I {
        let hash = hash_parts(&[b"derived", I::PREFIX.as_bytes(), self.0.as_bytes(), &ordinal.to_be_bytes()]);
        I::from_uuid(with_time_of(self.0, hash))
    }
}

impl EscrowId {
    /// The escrow of the milestone with this number, from 1.
    pub fn of(contract: ContractId, milestone: u32) -> Self {
        let parts: [&[u8]; 3] = [b"escrow", contract.0.as_bytes(), &milestone.to_be_bytes()];
        Self(with_time_of(contract.0, hash_parts(&parts)))
    }
}

impl WalletId {
    /// The wallet of `account` in `currency`.
    pub fn of(account: AccountId, currency: Currency) -> Self {
        let parts: [&[u8]; 3] = [b"wallet", account.0.as_bytes(), currency.code().as_bytes()];
        Self(with_time_of(account.0, hash_parts(&parts)))
    }
}

impl ReceiptId {
    /// The receipt of what `provider` calls `event`.
    pub fn of(provider: &str, event: &str) -> Self {
        let hash = hash_parts(&[b"receipt", provider.as_bytes(), event.as_bytes()]);
        Self(Builder::from_custom_bytes(hash).into_uuid())
    }
}

impl ReconciliationId {
    /// The comparison that belongs to the day (UTC) of `time`.
    pub fn of_day(time: Timestamp) -> Self {
        let day = time.micros().div_euclid(DAY_MICROS);
        Self(Builder::from_custom_bytes(hash_parts(&[b"reconciliation", &day.to_be_bytes()])).into_uuid())
    }
}

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// 128 bits of SHA-256 over length-prefixed parts.
pub fn hash_parts(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bits = [0; 16];
    bits.copy_from_slice(&context.finish().as_ref()[..16]);
    bits
}

/// The hash, behind the 48 bits of time of `uuid` when it has any.
fn with_time_of(uuid: Uuid, mut hash: [u8; 16]) -> Uuid {
    if uuid.get_version_num() != 7 {
        return Builder::from_custom_bytes(hash).into_uuid();
    }
    hash[..6].copy_from_slice(&uuid.as_bytes()[..6]);
    hash[6] = 0x70 | (hash[6] & 0x0f);
    hash[8] = 0x80 | (hash[8] & 0x3f);
    Uuid::from_bytes(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_one_spelling() {
        let id = JobId::fresh();
        assert_eq!(id.to_string().parse(), Ok(id));
        let upper = id.to_string().replace("job_", "").to_uppercase();
        assert!(
            format!("job_{upper}").parse::<JobId>().is_err() || upper.bytes().all(|b| b.is_ascii_digit())
        );
        assert!(id.to_string().replace("job_", "bid_").parse::<JobId>().is_err());
        assert!("job_".parse::<JobId>().is_err());
    }

    #[test]
    fn a_repeated_command_derives_the_same_ids_and_they_sort_by_its_time() {
        let first = CommandId::fresh();
        let job: JobId = first.derive(0);
        assert_eq!(job, first.derive(0));
        assert_ne!(job, first.derive(1));
        assert_eq!(job.uuid().as_bytes()[..6], first.uuid().as_bytes()[..6]);
        assert_eq!(job.uuid().get_version_num(), 7);
    }

    #[test]
    fn an_idempotency_key_belongs_to_its_actor_and_operation() {
        let key = CommandId::from_key("acc_1", "POST /jobs", "k");
        assert_eq!(key, CommandId::from_key("acc_1", "POST /jobs", "k"));
        assert_ne!(key, CommandId::from_key("acc_2", "POST /jobs", "k"));
        assert_ne!(key, CommandId::from_key("acc_1", "POST /bids", "k"));
        assert_ne!(CommandId::from_key("ab", "c", "k"), CommandId::from_key("a", "bc", "k"));
    }
}
