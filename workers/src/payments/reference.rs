//! Our name of an order at a provider: the key of the effect, the same whoever sends it and however often.

use std::{fmt, str::FromStr};

use events::ids::{PaymentId, PayoutId};

/// What an order is about. As text it has `A-Z a-z 0-9 _ :` only, and at most 60 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// One try to get the money of a payment: `pay_…:attempt:1`.
    Attempt {
        /// Our payment.
        payment: PaymentId,
        /// Its attempt, from 1.
        attempt: u32,
    },
    /// Money of a payment that goes back: `pay_…:refund:1`.
    Refund {
        /// Our payment.
        payment: PaymentId,
        /// Its refund, from 1.
        refund: u32,
    },
    /// One try to pay somebody: `out_…:attempt:1`.
    Payout {
        /// Our payout.
        payout: PayoutId,
        /// Its attempt, from 1.
        attempt: u32,
    },
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt { payment, attempt } => write!(f, "{payment}:attempt:{attempt}"),
            Self::Refund { payment, refund } => write!(f, "{payment}:refund:{refund}"),
            Self::Payout { payout, attempt } => write!(f, "{payout}:attempt:{attempt}"),
        }
    }
}

/// The text is no reference of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reference of ours")]
pub struct InvalidReference;

impl FromStr for Reference {
    type Err = InvalidReference;

    /// Only as [`fmt::Display`] writes it.
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let mut parts = text.splitn(3, ':');
        let (Some(id), Some(kind), Some(number)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidReference);
        };
        let number: u32 = number
            .parse()
            .ok()
            .filter(|parsed: &u32| *parsed >= 1 && parsed.to_string() == number)
            .ok_or(InvalidReference)?;
        let reference = match (kind, id.parse::<PaymentId>(), id.parse::<PayoutId>()) {
            ("attempt", Ok(payment), _) => Self::Attempt { payment, attempt: number },
            ("refund", Ok(payment), _) => Self::Refund { payment, refund: number },
            ("attempt", _, Ok(payout)) => Self::Payout { payout, attempt: number },
            _ => return Err(InvalidReference),
        };
        Ok(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::Id;
    use uuid::Uuid;

    fn all() -> [Reference; 3] {
        let (payment, payout) = (PaymentId::from_uuid(Uuid::nil()), PayoutId::from_uuid(Uuid::max()));
        [
            Reference::Attempt { payment, attempt: 1 },
            Reference::Refund { payment, refund: 20 },
            Reference::Payout { payout, attempt: u32::MAX },
        ]
    }

    #[test]
    fn a_reference_is_read_as_it_was_written() {
        for reference in all() {
            let text = reference.to_string();
            assert_eq!(text.parse(), Ok(reference), "{text}");
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
            assert!(text.len() <= 60 && text.bytes().all(fits), "{text}");
        }
    }

    #[test]
    fn what_we_never_write_is_no_reference_of_ours() {
        let known = all()[0].to_string();
        let id = known.split(':').next().expect("an id");
        let wrong = [
            "",
            "payment-1",
            id,
            &format!("{id}:attempt"),
            &format!("{id}:attempt:0"),
            &format!("{id}:attempt:01"),
        ];
        for text in wrong {
            assert_eq!(text.parse::<Reference>(), Err(InvalidReference), "{text}");
        }
        let wrong = [format!("{id}:attempt:+1"), format!("{id}:attempt:1:1"), format!("{id}:gift:1")];
        for text in wrong {
            assert_eq!(text.parse::<Reference>(), Err(InvalidReference), "{text}");
        }
        assert!(all()[2].to_string().replace("attempt", "refund").parse::<Reference>().is_err());
    }
}
