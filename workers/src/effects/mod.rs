//! Effects at work: what payments and payouts intend is ordered of the provider, and asked about until there is an answer.
//!
//! The intent is an event, and so is the outcome; nothing here remembers anything that matters. The read model
//! [`projections::effects`] says where to look, the aggregate itself says whether it still waits, and the provider does
//! what one reference stands for once. Nobody can know whether an order was sent before: by another worker, by this one
//! before it crashed, or under a read model that was lost. So the provider is always asked first, by our reference.
//!
//! Outcomes arrive as webhooks. One that is lost is noticed here, since an effect that stays open is asked about again,
//! after growing pauses. What the provider refuses for good is the outcome too: the attempt, payout or refund has failed
//! with the provider's code. What cannot be (an order under our reference that is not ours, an outcome that the aggregate
//! refuses) is never settled: it stays open, is tried rarely, counted as poisoned and shown in the status.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use commands::{
    Executor,
    payment::Payment,
    payout::Payout,
    process::{Origin, ProcessError, tell_outcome},
};
use events::{
    Id, StreamId,
    ids::{PaymentId, PayoutId},
    vocabulary::{StepOutcome, payments::Notice},
};
use metrics::counter;
use projections::{
    ReadStore, StoreError,
    effects::{self, EffectKind, OpenEffect},
};
use serde::Serialize;

mod breaker;

use breaker::Breaker;
pub use breaker::BreakerStatus;

use crate::{
    backoff::growing,
    builds::prepare_live,
    payments::{Order, PaymentProvider, ProviderError, Reference, Standing, State},
    processes::{Listed, PumpStatus, Share, Work},
    settings::WorkerSettings,
};

/// What carries effects out: the provider, and whoever is told of the outcome.
#[derive(Clone)]
pub struct Effects {
    executor: Executor,
    provider: Arc<dyn PaymentProvider>,
}

impl std::fmt::Debug for Effects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Effects").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

impl Effects {
    /// Effects at `provider`; outcomes are told through `executor`.
    pub fn new(executor: Executor, provider: Arc<dyn PaymentProvider>) -> Self {
        Self { executor, provider }
    }
}

/// What the effects worker tells about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectsStatus {
    /// Which provider.
    pub provider: String,
    /// Open effects, and how they ended since the start.
    #[serde(flatten)]
    pub pump: PumpStatus,
    /// Whether the provider answers.
    pub breaker: BreakerStatus,
}

/// What an aggregate waits for.
struct Intent {
    order: Order,
    /// Nobody wants it any more: what was not sent yet is not sent.
    given_up: bool,
}

impl Effects {
    /// Carries an open effect as far as it goes now. Does nothing when nobody waits for it any more.
    async fn carry_out(&self, effect: &OpenEffect, breaker: &Breaker) -> Result<(), ProcessError> {
        let Some(intent) = self.intent(effect).await? else { return Ok(()) };
        let reference = intent.order.reference();
        match self.ask(&intent).await {
            Ok(notice) => {
                breaker.answered();
                match notice {
                    Some(notice) => self.tell(effect, reference, &notice).await,
                    None => Ok(()),
                }
            }
            Err(Unsettled::NotNow(reason)) => {
                breaker.failed(reference, Instant::now());
                Err(ProcessError::Retry(reason))
            }
            Err(Unsettled::CannotBe(reason)) => {
                breaker.answered();
                Err(ProcessError::Poison(reason))
            }
        }
    }

    /// What the aggregate waits for; `None` when it does not (any more).
    async fn intent(&self, effect: &OpenEffect) -> Result<Option<Intent>, ProcessError> {
        let (id, number) = (effect.stream.uuid, effect.number);
        if effect.kind == EffectKind::Payout {
            let payout = PayoutId::from_uuid(id);
            let state = self.executor.load::<Payout>(payout).await.map_err(not_now)?.state;
            let open = state.open_dispatch().filter(|open| open.attempt == number);
            let order = open.map(|open| {
                let (attempt, amount, token) = (open.attempt, open.amount, open.token.to_owned());
                Order::Payout { payout, attempt, amount, token }
            });
            return Ok(order.map(|order| Intent { order, given_up: false }));
        }
        let payment = PaymentId::from_uuid(id);
        let state = self.executor.load::<Payment>(payment).await.map_err(not_now)?.state;
        let given_up = !state.status().is_some_and(|status| status.is_awaited());
        let intent = match effect.kind {
            EffectKind::Charge => state.open_attempts().find(|open| open.attempt == number).map(|open| {
                let (attempt, amount, token) = (open.attempt, open.amount, open.token.to_owned());
                Intent { order: Order::Charge { payment, attempt, amount, token }, given_up }
            }),
            EffectKind::Refund => state.open_refunds().find(|open| open.refund == number).map(|open| {
                let (refund, attempt, amount) = (open.refund, open.attempt, open.amount);
                Intent { order: Order::Refund { payment, refund, attempt, amount }, given_up: false }
            }),
            EffectKind::Payout => None,
        };
        Ok(intent)
    }

    /// Asks the provider, orders what it never heard of, and says what came of it; `None` while it is at it.
    async fn ask(&self, intent: &Intent) -> Result<Option<Notice>, Unsettled> {
        let reference = intent.order.reference();
        let known = self.look_up(reference).await?;
        let standing = match known {
            Some(standing) if intent.given_up && waits_for_the_payer(&standing) => {
                counted("give_up", self.provider.give_up(&standing).await)?
            }
            Some(standing) => standing,
            None if intent.given_up => return Ok(Some(reference.failed("never_sent"))),
            None => match counted("order", self.provider.order(&intent.order).await) {
                Ok(standing) => standing,
                Err(ProviderError::Refused { code, .. }) => return self.refused(reference, &code).await,
                Err(error) => return Err(error.into()),
            },
        };
        if standing.reference != reference || standing.amount != amount(&intent.order) {
            return Err(Unsettled::CannotBe(format!("the provider has another order under {reference}")));
        }
        Ok(standing.notice())
    }

    /// A refusal is an outcome when there is really nothing under our reference.
    async fn refused(&self, reference: Reference, code: &str) -> Result<Option<Notice>, Unsettled> {
        match self.look_up(reference).await? {
            None => Ok(Some(reference.failed(code))),
            Some(_) => {
                Err(Unsettled::CannotBe(format!("the provider refuses {reference} and has it: {code}")))
            }
        }
    }

    async fn look_up(&self, reference: Reference) -> Result<Option<Standing>, Unsettled> {
        Ok(counted("look_up", self.provider.look_up(reference).await)?)
    }

    async fn tell(
        &self,
        effect: &OpenEffect,
        reference: Reference,
        notice: &Notice,
    ) -> Result<(), ProcessError> {
        let key = reference.to_string();
        let origin = Origin {
            correlation_id: effect.correlation_id.clone(),
            causation_id: Some(effect.requested_by),
            traceparent: effect.traceparent.clone(),
        };
        match tell_outcome(&self.executor, &key, notice, &origin).await? {
            StepOutcome::Done => Ok(()),
            StepOutcome::Refused { code } => {
                Err(ProcessError::Poison(format!("the outcome of {key} is not believed: {code}")))
            }
        }
    }
}

/// Why there is no outcome.
enum Unsettled {
    /// It may pass by itself.
    NotNow(String),
    /// Somebody has to look at it.
    CannotBe(String),
}

impl From<ProviderError> for Unsettled {
    fn from(error: ProviderError) -> Self {
        // What refuses a question, or to give something up, has moved on meanwhile, and is asked again.
        Self::NotNow(error.to_string())
    }
}

fn not_now(outage: commands::Outage) -> ProcessError {
    ProcessError::Retry(outage.to_string())
}

fn counted<T>(call: &'static str, result: Result<T, ProviderError>) -> Result<T, ProviderError> {
    let name = match &result {
        Ok(_) => "answered",
        Err(ProviderError::Refused { .. }) => "refused",
        Err(ProviderError::InDoubt(_)) => "in_doubt",
        Err(ProviderError::Unavailable(_)) => "unavailable",
    };
    counter!("guildhall_effect_calls_total", "call" => call, "result" => name).increment(1);
    result
}

fn amount(order: &Order) -> events::Money {
    match order {
        Order::Charge { amount, .. } | Order::Refund { amount, .. } | Order::Payout { amount, .. } => *amount,
    }
}

/// It would wait for ever for somebody who has gone.
fn waits_for_the_payer(standing: &Standing) -> bool {
    match standing.state {
        State::ActionRequired | State::Authorized => true,
        State::UnderWay | State::Done | State::Failed { .. } | State::Returned { .. } => false,
    }
}

/// The open effects of the read model `effects`.
#[derive(Clone)]
pub(crate) struct OpenEffects {
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) effects: Effects,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) share: Share,
}

impl OpenEffects {
    pub(crate) fn new(
        store: Arc<dyn ReadStore>,
        effects: Effects,
        share: Share,
        settings: &WorkerSettings,
    ) -> Self {
        let breaker = Arc::new(Breaker::new(effects.provider.name(), settings));
        Self { store, effects, breaker, share }
    }

    /// As it is now; the rest of the status is the pump's.
    pub(crate) fn status(&self, pump: PumpStatus) -> EffectsStatus {
        let provider = self.effects.provider.name().to_owned();
        EffectsStatus { provider, pump, breaker: self.breaker.status() }
    }
}

impl Work for OpenEffects {
    type Key = (StreamId, EffectKind, u32);
    type Item = OpenEffect;
    const KIND: &'static str = "effect";

    async fn prepare(&self) -> Result<(), StoreError> {
        prepare_live(self.store.as_ref(), &effects::Effects).await
    }

    async fn list(&self, limit: usize) -> Result<Listed<Self>, StoreError> {
        let page = |page| effects::open(self.store.as_ref(), page);
        let open = self.share.of_listed(limit, |effect: &OpenEffect| effect.stream, page).await?;
        Ok(open.into_iter().map(|effect| ((effect.stream, effect.kind, effect.number), effect)).collect())
    }

    async fn idle(&self) -> Result<Option<Duration>, StoreError> {
        Ok(None)
    }

    fn open_max(settings: &WorkerSettings) -> usize {
        settings.effects_open_max
    }

    fn concurrency_max(settings: &WorkerSettings) -> usize {
        settings.effects_concurrency_max
    }

    fn admit(&self, &(stream, kind, number): &Self::Key) -> Result<(), Duration> {
        self.breaker.admit(reference(stream, kind, number), Instant::now())
    }

    /// The provider is at it: its webhook will come, or it is asked again.
    fn again_after(settings: &WorkerSettings, times: u32) -> Duration {
        growing(settings.effect_asked_after_ms, settings.effect_asked_after_max_ms, times)
    }

    async fn issue(&self, effect: OpenEffect) -> Result<(), ProcessError> {
        self.effects.carry_out(&effect, &self.breaker).await
    }
}

fn reference(stream: StreamId, kind: EffectKind, number: u32) -> Reference {
    match kind {
        EffectKind::Charge => {
            Reference::Attempt { payment: PaymentId::from_uuid(stream.uuid), attempt: number }
        }
        EffectKind::Refund => {
            Reference::Refund { payment: PaymentId::from_uuid(stream.uuid), refund: number }
        }
        EffectKind::Payout => Reference::Payout { payout: PayoutId::from_uuid(stream.uuid), attempt: number },
    }
}
