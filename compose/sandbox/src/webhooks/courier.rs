//! The courier: takes events from the books, sends each when its plan says so, and tries again until it is answered.
//!
//! It is at least once: what it had not reported as delivered when the process ended is sent again.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use hyper::body::Bytes;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    disorder::{Plan, plan},
    postman::Postman,
};
use crate::{
    bookkeeper::{Bookkeeper, Unavailable},
    books::events::Told,
    settings::{Delivery, Disorder, WebhookTarget},
};

/// Sendings that wait for their time here; further events wait in the books.
const WAITING_MAX: usize = 4096;
/// An event and its repetitions are taken up together.
const TAKEN_MAX: usize = 256;

/// One attempt that is to be made.
#[derive(Clone, Debug)]
struct Sending {
    event: String,
    body: Bytes,
    /// Attempts before this one.
    attempts: u32,
    /// Nobody cares how it ends.
    repetition: bool,
}

/// What the courier listens to.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(crate) target: watch::Receiver<Option<WebhookTarget>>,
    pub(crate) disorder: watch::Receiver<Disorder>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Sends what the books have to tell.
#[derive(Debug)]
pub(crate) struct Courier {
    books: Bookkeeper,
    orders: Orders,
    settings: Delivery,
    postman: Postman,
    /// By time, then by order of arrival; the earliest first.
    times: BTreeSet<(Instant, u64)>,
    waiting: HashMap<u64, Sending>,
    flights: JoinSet<(Sending, Result<(), String>)>,
    arrivals: u64,
}

impl Courier {
    pub(crate) fn new(books: Bookkeeper, orders: Orders, settings: Delivery) -> Self {
        let postman = Postman::new(Duration::from_millis(settings.timeout_ms));
        let (times, waiting, flights) = (BTreeSet::new(), HashMap::new(), JoinSet::new());
        Self { books, orders, settings, postman, times, waiting, flights, arrivals: 0 }
    }

    /// Works until it is told to stop, or the books are closed.
    pub(crate) async fn work(mut self) {
        loop {
            if self.take_up().await == Err(Unavailable::Closed) {
                return;
            }
            self.send_what_is_due();
            let next = self.times.first().map(|(time, _)| *time);
            let place = self.flights.len() < self.settings.concurrency && self.target().is_some();
            tokio::select! {
                () = stopped(&mut self.orders.stop) => return,
                () = self.books.news() => {}
                changed = self.orders.target.changed() => if changed.is_err() { return },
                () = until(next), if place && next.is_some() => {}
                Some(landed) = self.flights.join_next() => {
                    if let Ok((sending, outcome)) = landed && self.landed(sending, outcome).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn target(&self) -> Option<WebhookTarget> {
        self.orders.target.borrow().clone()
    }

    /// Takes events from the books, as long as there is room and somebody to send them to.
    async fn take_up(&mut self) -> Result<(), Unavailable> {
        while self.target().is_some() && self.waiting.len() < WAITING_MAX {
            let told = match self.books.ask(|books| books.events_mut().take_waiting(TAKEN_MAX)).await {
                Ok(told) if told.is_empty() => return Ok(()),
                Ok(told) => told,
                Err(Unavailable::Overloaded) => {
                    tokio::time::sleep(Duration::from_millis(self.settings.backoff_ms.max(1))).await;
                    continue;
                }
                Err(Unavailable::Closed) => return Err(Unavailable::Closed),
            };
            let disorder = *self.orders.disorder.borrow();
            for Told { place, event } in told {
                let Plan { delay_ms, repeats_ms } = plan(&disorder, place, event.telling);
                let body = Bytes::copy_from_slice(&event.body);
                let sending = Sending { event: event.id, body, attempts: 0, repetition: false };
                for delay_ms in repeats_ms {
                    self.wait(Sending { repetition: true, ..sending.clone() }, delay_ms);
                }
                self.wait(sending, delay_ms);
            }
        }
        Ok(())
    }

    fn wait(&mut self, sending: Sending, delay_ms: u64) {
        self.arrivals += 1;
        self.times.insert((Instant::now() + Duration::from_millis(delay_ms), self.arrivals));
        self.waiting.insert(self.arrivals, sending);
    }

    fn send_what_is_due(&mut self) {
        let Some(target) = self.target() else { return };
        let now = Instant::now();
        while self.flights.len() < self.settings.concurrency {
            let Some((time, arrival)) = self.times.first().copied().filter(|(time, _)| *time <= now) else {
                return;
            };
            self.times.remove(&(time, arrival));
            let Some(sending) = self.waiting.remove(&arrival) else { continue };
            let (postman, target) = (self.postman.clone(), target.clone());
            self.flights.spawn(async move {
                let outcome = postman.deliver(&target, sending.body.clone()).await;
                (sending, outcome)
            });
        }
    }

    async fn landed(&mut self, mut sending: Sending, outcome: Result<(), String>) -> Result<(), Unavailable> {
        if sending.repetition {
            return Ok(());
        }
        sending.attempts += 1;
        let event = sending.event.clone();
        match outcome {
            Ok(()) => self.report(move |books| books.delivered(&event)).await,
            Err(reason) if sending.attempts >= self.settings.attempts_max => {
                let reason = format!("{} attempts, the last one: {reason}", sending.attempts);
                tracing::warn!(event, reason, "a webhook is undelivered");
                self.report(move |books| books.undelivered(&event, reason.clone())).await
            }
            Err(reason) => {
                tracing::debug!(event, reason, attempts = sending.attempts, "a webhook was not taken");
                let pause_ms = self.pause_ms(sending.attempts);
                self.wait(sending, pause_ms);
                Ok(())
            }
        }
    }

    /// Tells the books, however busy they are.
    async fn report(
        &self,
        work: impl Fn(&mut crate::books::Books) + Clone + Send + 'static,
    ) -> Result<(), Unavailable> {
        loop {
            match self.books.ask(work.clone()).await {
                Err(Unavailable::Overloaded) => {
                    tokio::time::sleep(Duration::from_millis(self.settings.backoff_ms.max(1))).await;
                }
                answered => return answered,
            }
        }
    }

    /// The pause after so many failed attempts: it doubles, up to the bound.
    fn pause_ms(&self, attempts: u32) -> u64 {
        let doubled = 1_u64.checked_shl(attempts - 1).unwrap_or(u64::MAX);
        self.settings.backoff_ms.saturating_mul(doubled).min(self.settings.backoff_ms_max)
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Ends when the sandbox is told to stop, or is dropped.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sandbox is gone: that is a stop, too.
    drop(stop.wait_for(|stop| *stop).await);
}
