//! The provider's time: milliseconds of UTC, by a clock that can be moved forward and never runs back.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 9999-12-28, as far as RFC 3339 goes: beyond it time stands still.
const LAST_MS: i64 = 253_402_000_000_000;

/// A moment, to the millisecond. RFC 3339 on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(i64);

impl Time {
    /// What the machine's clock says.
    pub(crate) fn of_the_machine() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }

    pub(crate) fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add_unsigned(ms).min(LAST_MS))
    }

    /// From here to `later`; 0 when that has passed.
    pub(crate) fn ms_until(self, later: Self) -> u64 {
        u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0)
    }

    /// Seconds since 1970.
    pub(crate) fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{moment:.3}")
    }
}

impl std::str::FromStr for Time {
    type Err = jiff::Error;
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<jiff::Timestamp>().map(|moment| Self(moment.as_millisecond().min(LAST_MS)))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
