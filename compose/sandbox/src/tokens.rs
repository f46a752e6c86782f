//! The special tokens: each is a payment method or a payout destination that behaves in a way of its own.
//!
//! `pm_card_declined` and `pm_card_declined-anything` behave alike, so that every test and every person can have a
//! token of its own.

use serde::Serialize;

/// What becomes of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChargeOutcome {
    Succeeds,
    SucceedsLate,
    Fails(Failing),
    FailsAtOnce(Failing),
    RequiresAction,
}

/// What becomes of a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayoutOutcome {
    IsPaid,
    Fails(Failing),
    IsReturned,
    /// The first payout to this very token comes back, later ones do not.
    IsReturnedOnce,
}

/// A code for programs and a sentence for people.
pub(crate) type Failing = (&'static str, &'static str);

/// How the request itself is answered. What was done is done, whatever the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answering {
    Promptly,
    /// Does it, and takes long to say so.
    Slowly,
    /// Does it, and breaks the connection off instead of answering.
    NotAtAll,
    /// Does it, and answers 500.
    WithError,
    /// Does nothing, and answers 500.
    WithErrorUndone,
}

/// How the webhook of an outcome is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    Once,
    /// Three times.
    Repeatedly,
    /// Never: only asking finds it out.
    Never,
}

/// A payment method token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChargeToken {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) outcome: ChargeOutcome,
    pub(crate) answering: Answering,
    pub(crate) telling: Telling,
    /// Refunds of its charges fail.
    pub(crate) refunds_fail: bool,
}

/// A payout destination token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PayoutToken {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) outcome: PayoutOutcome,
    pub(crate) answering: Answering,
    pub(crate) telling: Telling,
}

impl ChargeToken {
    const fn new(name: &'static str, meaning: &'static str, outcome: ChargeOutcome) -> Self {
        let (answering, telling) = (Answering::Promptly, Telling::Once);
        Self { name, meaning, outcome, answering, telling, refunds_fail: false }
    }

    const fn answering(self, answering: Answering) -> Self {
        Self { answering, ..self }
    }

    const fn telling(self, telling: Telling) -> Self {
        Self { telling, ..self }
    }

    const fn with_failing_refunds(self) -> Self {
        Self { refunds_fail: true, ..self }
    }

    /// The token that `text` behaves as.
    pub(crate) fn of(text: &str) -> Option<&'static Self> {
        CHARGE_TOKENS.iter().find(|token| behaves_as(text, token.name))
    }
}

impl PayoutToken {
    const fn new(name: &'static str, meaning: &'static str, outcome: PayoutOutcome) -> Self {
        Self { name, meaning, outcome, answering: Answering::Promptly, telling: Telling::Once }
    }

    const fn answering(self, answering: Answering) -> Self {
        Self { answering, ..self }
    }

    const fn telling(self, telling: Telling) -> Self {
        Self { telling, ..self }
    }

    /// The token that `text` behaves as.
    pub(crate) fn of(text: &str) -> Option<&'static Self> {
        PAYOUT_TOKENS.iter().find(|token| behaves_as(text, token.name))
    }
}

const TOKEN_BYTES_MAX: usize = 100;

fn behaves_as(text: &str, name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    text.len() <= TOKEN_BYTES_MAX
        && text.strip_prefix(name).is_some_and(|own| own.is_empty() || own.starts_with('-'))
        && text.bytes().all(plain)
}

const DECLINED: Failing = ("card_declined", "The card was declined.");
const NO_FUNDS: Failing = ("insufficient_funds", "The card has insufficient funds.");
const EXPIRED: Failing = ("expired_card", "The card has expired.");
const CLOSED: Failing = ("account_closed", "The account is closed.");

const CHARGE_TOKENS: &[ChargeToken] = &[
    ChargeToken::new("pm_card", "succeeds", ChargeOutcome::Succeeds),
    ChargeToken::new("pm_card_declined", "fails: card_declined", ChargeOutcome::Fails(DECLINED)),
    ChargeToken::new("pm_insufficient_funds", "fails: insufficient_funds", ChargeOutcome::Fails(NO_FUNDS)),
    ChargeToken::new("pm_expired_card", "fails: expired_card", ChargeOutcome::Fails(EXPIRED)),
    ChargeToken::new(
        "pm_declined_at_once",
        "the answer itself says that it failed: card_declined",
        ChargeOutcome::FailsAtOnce(DECLINED),
    ),
    ChargeToken::new(
        "pm_requires_action",
        "waits for its payer: see /control/charges/{id}/action",
        ChargeOutcome::RequiresAction,
    ),
    ChargeToken::new(
        "pm_late_confirmation",
        "succeeds, after most have given it up",
        ChargeOutcome::SucceedsLate,
    ),
    ChargeToken::new("pm_slow", "succeeds, and the request takes long", ChargeOutcome::Succeeds)
        .answering(Answering::Slowly),
    ChargeToken::new(
        "pm_timeout_after_success",
        "succeeds, and the request is never answered",
        ChargeOutcome::Succeeds,
    )
    .answering(Answering::NotAtAll),
    ChargeToken::new(
        "pm_error_after_success",
        "succeeds, and the request is answered 500",
        ChargeOutcome::Succeeds,
    )
    .answering(Answering::WithError),
    ChargeToken::new("pm_error", "answers 500 and does nothing", ChargeOutcome::Succeeds)
        .answering(Answering::WithErrorUndone),
    ChargeToken::new("pm_duplicate_event", "succeeds, and says so three times", ChargeOutcome::Succeeds)
        .telling(Telling::Repeatedly),
    ChargeToken::new("pm_lost_event", "succeeds, and does not say so", ChargeOutcome::Succeeds)
        .telling(Telling::Never),
    ChargeToken::new("pm_refund_fails", "succeeds, and its refunds fail", ChargeOutcome::Succeeds)
        .with_failing_refunds(),
];

const PAYOUT_TOKENS: &[PayoutToken] = &[
    PayoutToken::new("ba_account", "is paid", PayoutOutcome::IsPaid),
    PayoutToken::new("ba_failed", "fails: account_closed", PayoutOutcome::Fails(CLOSED)),
    PayoutToken::new("ba_returned", "is paid, and comes back days later", PayoutOutcome::IsReturned),
    PayoutToken::new(
        "ba_returned_once",
        "the first payout to this very token comes back days later, the next do not",
        PayoutOutcome::IsReturnedOnce,
    ),
    PayoutToken::new("ba_slow", "is paid, and the request takes long", PayoutOutcome::IsPaid)
        .answering(Answering::Slowly),
    PayoutToken::new(
        "ba_timeout_after_success",
        "is paid, and the request is never answered",
        PayoutOutcome::IsPaid,
    )
    .answering(Answering::NotAtAll),
    PayoutToken::new(
        "ba_error_after_success",
        "is paid, and the request is answered 500",
        PayoutOutcome::IsPaid,
    )
    .answering(Answering::WithError),
    PayoutToken::new("ba_error", "answers 500 and does nothing", PayoutOutcome::IsPaid)
        .answering(Answering::WithErrorUndone),
    PayoutToken::new("ba_duplicate_event", "is paid, and says so three times", PayoutOutcome::IsPaid)
        .telling(Telling::Repeatedly),
    PayoutToken::new("ba_lost_event", "is paid, and does not say so", PayoutOutcome::IsPaid)
        .telling(Telling::Never),
];

/// A line of the list that the control endpoint shows.
#[derive(Debug, Serialize)]
pub(crate) struct TokenLine {
    token: &'static str,
    meaning: &'static str,
}

/// Every special token with its meaning: payment methods, then destinations.
pub(crate) fn list() -> (Vec<TokenLine>, Vec<TokenLine>) {
    let line = |(token, meaning)| TokenLine { token, meaning };
    (
        CHARGE_TOKENS.iter().map(|token| line((token.name, token.meaning))).collect(),
        PAYOUT_TOKENS.iter().map(|token| line((token.name, token.meaning))).collect(),
    )
}
