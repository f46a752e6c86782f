//! What the books refuse, and why.

/// A refusal: nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no such thing")]
    NotFound,
    #[error("unknown token; see GET /control/tokens")]
    UnknownToken,
    #[error("the reference stands for another order: use a fresh one")]
    ReferenceReused,
    #[error("its status is {0}")]
    WrongStatus(&'static str),
    #[error("the charge is in another currency")]
    CurrencyDiffers,
    #[error("{0} minor units of the charge are not refunded yet")]
    RefundTooLarge(i64),
    #[error("the balance is {0} minor units")]
    BalanceInsufficient(i128),
    #[error("the books are full")]
    BooksFull,
    #[error("the clock cannot go so far")]
    ClockTooFar,
    #[error("the sandbox answers this token with an error")]
    OnRequest,
}

impl Refusal {
    /// Its stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::UnknownToken => "unknown_token",
            Self::ReferenceReused => "reference_reused",
            Self::WrongStatus(_) => "wrong_status",
            Self::CurrencyDiffers => "currency_differs",
            Self::RefundTooLarge(_) => "refund_too_large",
            Self::BalanceInsufficient(_) => "balance_insufficient",
            Self::BooksFull => "books_full",
            Self::ClockTooFar => "clock_too_far",
            Self::OnRequest => "internal",
        }
    }
}
