//! Domain time: microseconds since the Unix epoch, UTC, written as RFC 3339.

use std::{
    borrow::Cow,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, to the microsecond, in UTC. On the wire: RFC 3339 with six decimals, `2026-11-21T09:00:00.000000Z`,
/// so that text order is time order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 time between the years 0000 and 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time")]
pub struct InvalidTimestamp;

/// 0000-01-01T00:00:00Z, before which RFC 3339 has no spelling, and 9999-12-30T21:59:59.999999Z: the last moment that
/// has one in every time zone, which is where `jiff` ends.
const MICROS_MIN: i64 = -62_167_219_200_000_000;
const MICROS_MAX: i64 = 253_402_207_199_999_999;

impl Timestamp {
    /// This many microseconds after 1970-01-01T00:00:00Z, held within the years 0000 to 9999.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(MICROS_MIN, MICROS_MAX))
    }

    /// Microseconds after 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The machine's clock. Deciders and projections never call this: time reaches them as data.
    pub fn now() -> Self {
        Self::from_micros(jiff::Timestamp::now().as_microsecond())
    }

    /// This moment moved by `millis` milliseconds, held within the years 0000 to 9999.
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_micros(self.0.saturating_add(millis.saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this moment, negative when it lies before.
    pub fn millis_since(self, earlier: Self) -> i64 {
        (self.0 - earlier.0) / 1000
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_microsecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{moment:.6}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        let micros = moment.as_microsecond();
        if (MICROS_MIN..=MICROS_MAX).contains(&micros) { Ok(Self(micros)) } else { Err(InvalidTimestamp) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Domain time: the machine's clock moved forward by an offset, which is zero in production.
///
/// Every clone shares the offset. Whoever follows the log sets it from `TestClockMoved` events; the executor and the
/// timers read it. Tokens, back-off and ids use real time and never see this clock.
#[derive(Clone, Debug, Default)]
pub struct DomainClock {
    offset_ms: Arc<AtomicI64>,
}

impl DomainClock {
    /// A clock that runs with the machine's.
    pub fn new() -> Self {
        Self::default()
    }

    /// Domain time.
    pub fn now(&self) -> Timestamp {
        Timestamp::now().plus_millis(self.offset_ms())
    }

    /// Milliseconds by which domain time is ahead of the machine's clock.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Acquire)
    }

    /// Domain time runs `offset_ms` milliseconds ahead from now on. Less than before is ignored: domain time does not
    /// run backwards, and the same event may be heard twice.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.fetch_max(offset_ms, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_time_is_shared_and_never_moved_back() {
        let clock = DomainClock::new();
        let shared = clock.clone();
        clock.set_offset_ms(60_000);
        clock.set_offset_ms(1_000);
        assert_eq!(shared.offset_ms(), 60_000);
        assert!(shared.now() >= Timestamp::now().plus_millis(59_999));
    }

    #[test]
    fn text_order_is_time_order_and_nothing_is_lost() {
        let a = Timestamp::from_micros(1_700_000_000_000_000);
        let b = a.plus_millis(1);
        assert_eq!(a.to_string(), "2023-11-14T22:13:20.000000Z");
        assert!(a.to_string() < b.to_string());
        assert_eq!(b.to_string().parse(), Ok(b));
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-30T21:59:59.999999Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
