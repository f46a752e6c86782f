//! Faults on request: what shall go wrong, with which operation, how often.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use serde::{Deserialize, Serialize};

use super::Problem;
use crate::tokens::{ChargeToken, PayoutToken};

/// What can be made to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Operation {
    CreateCharge,
    CaptureCharge,
    CancelCharge,
    CreateRefund,
    CreatePayout,
    /// Every GET under `/v1`.
    Read,
}

impl Operation {
    /// The operation of a route; the control endpoints have none.
    pub(super) fn of(method: &Method, route: &str) -> Option<Self> {
        match (method.as_str(), route) {
            ("POST", "/v1/charges") => Some(Self::CreateCharge),
            ("POST", "/v1/charges/{id}/capture") => Some(Self::CaptureCharge),
            ("POST", "/v1/charges/{id}/cancel") => Some(Self::CancelCharge),
            ("POST", "/v1/refunds") => Some(Self::CreateRefund),
            ("POST", "/v1/payouts") => Some(Self::CreatePayout),
            ("GET", route) if route.starts_with("/v1/") => Some(Self::Read),
            _ => None,
        }
    }
}

/// How it goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// 503, and nothing is done.
    Unavailable,
    /// 500, and nothing is done.
    InternalError,
    /// The connection is broken off, and nothing is done.
    Disconnect,
    /// It takes long, and is done.
    Slow,
    /// It is done, and answered 500.
    ErrorAfterSuccess,
    /// It is done, and never answered.
    TimeoutAfterSuccess,
    /// A charge or a payout behaves as this token does, whatever its own is.
    ActAs(String),
}

/// A fault, as it is ordered and as it is listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Standing {
    fault: Fault,
    /// Every operation when there is none.
    operation: Option<Operation>,
    /// How often; without a number until it is removed.
    times: Option<u32>,
}

impl Standing {
    fn concerns(&self, operation: Operation, act_as: bool) -> bool {
        let mine = self.operation.is_none_or(|mine| mine == operation);
        mine && matches!(self.fault, Fault::ActAs(_)) == act_as
    }

    fn check(&self) -> Result<(), Problem> {
        if self.times == Some(0) {
            return Err(Problem::invalid("times: at least 1"));
        }
        let Fault::ActAs(token) = &self.fault else { return Ok(()) };
        let fits = match self.operation {
            Some(Operation::CreateCharge) => ChargeToken::of(token).is_some(),
            Some(Operation::CreatePayout) => PayoutToken::of(token).is_some(),
            Some(
                Operation::CaptureCharge
                | Operation::CancelCharge
                | Operation::CreateRefund
                | Operation::Read,
            )
            | None => false,
        };
        let sentence = "act_as needs operation create_charge or create_payout, and a special token of it";
        fits.then_some(()).ok_or_else(|| Problem::invalid(sentence))
    }
}

/// The faults that stand. The first that concerns an operation is used up first.
#[derive(Debug)]
pub(crate) struct Faults {
    standing: Mutex<Vec<Standing>>,
    max: usize,
}

impl Faults {
    pub(crate) fn new(max: usize) -> Self {
        Self { standing: Mutex::new(Vec::new()), max }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Standing>> {
        // The list is whole whenever the lock is free: nothing in here panics half way.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, standing: Standing) -> Result<(), Problem> {
        standing.check()?;
        let mut all = self.lock();
        if all.len() >= self.max {
            let detail = format!("at most {} faults may stand; DELETE /control/faults", self.max);
            return Err(Problem::new(http::StatusCode::CONFLICT, "too_many_faults", detail));
        }
        all.push(standing);
        Ok(())
    }

    pub(super) fn list(&self) -> Vec<Standing> {
        self.lock().clone()
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// The fault for this request, used up once.
    pub(super) fn take(&self, operation: Operation) -> Option<Fault> {
        self.use_up(operation, false)
    }

    /// The token that this charge or payout shall behave as, used up once.
    pub(super) fn take_act_as(&self, operation: Operation) -> Option<String> {
        match self.use_up(operation, true)? {
            Fault::ActAs(token) => Some(token),
            Fault::Unavailable
            | Fault::InternalError
            | Fault::Disconnect
            | Fault::Slow
            | Fault::ErrorAfterSuccess
            | Fault::TimeoutAfterSuccess => None,
        }
    }

    fn use_up(&self, operation: Operation, act_as: bool) -> Option<Fault> {
        let mut all = self.lock();
        let place = all.iter().position(|standing| standing.concerns(operation, act_as))?;
        let standing = &mut all[place];
        let fault = standing.fault.clone();
        if let Some(times) = &mut standing.times {
            *times -= 1;
            if *times == 0 {
                all.remove(place);
            }
        }
        Some(fault)
    }
}
