//! Issues what a read model lists until it is listed no more: open steps, due timers.
//!
//! What is new is heard of before it is listed ([`super::prompter`]) and issued at once; the list has what was not heard of, and
//! is looked at now and then. What was issued stays listed until the projector has heard of its outcome. So the pump
//! remembers what it has issued, as long as it is listed, and when to try it again: it never spins.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Debug,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use commands::process::ProcessError;
use metrics::{counter, gauge};
use projections::StoreError;
use serde::Serialize;
use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinError, JoinSet},
};

use crate::{backoff::Backoff, runner::Surroundings, settings::WorkerSettings};

/// What a pump lists and issues.
pub(crate) trait Work: Sized + Clone + Send + Sync + 'static {
    /// Tells two pieces of work apart; the same piece has the same key at every listing.
    type Key: Clone + Debug + Eq + Hash + Send + Sync + 'static;
    /// A piece of work.
    type Item: Clone + Send + 'static;
    /// `step`, `timer` or `effect`, for logs and metrics.
    const KIND: &'static str;

    /// Makes sure that what is listed can be read.
    fn prepare(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What is to be issued now, about `limit` pieces at most.
    fn list(&self, limit: usize) -> impl Future<Output = Result<Listed<Self>, StoreError>> + Send;

    /// How long nothing new comes up by itself; `None` when only a change of the read model brings something.
    fn idle(&self) -> impl Future<Output = Result<Option<Duration>, StoreError>> + Send;

    /// How many pieces are listed.
    fn open_max(settings: &WorkerSettings) -> usize {
        settings.dispatch_open_max
    }

    /// How many pieces are carried out at the same time.
    fn concurrency_max(settings: &WorkerSettings) -> usize {
        settings.dispatch_concurrency_max
    }

    /// Whether this piece may be issued now; else how long not.
    fn admit(&self, _key: &Self::Key) -> Result<(), Duration> {
        Ok(())
    }

    /// When a piece that went through, for the first time (0) or again, is issued again should it still be listed.
    fn again_after(settings: &WorkerSettings, _times: u32) -> Duration {
        Duration::from_millis(settings.reissue_after_ms)
    }

    /// Carries out a piece of work.
    fn issue(&self, item: Self::Item) -> impl Future<Output = Result<(), ProcessError>> + Send;
}

/// Pieces of work with their keys, in the order in which they are to be issued.
pub(crate) type Listed<W> = Vec<(<W as Work>::Key, <W as Work>::Item)>;

/// A piece of work that somebody heard of before it was listed.
pub(crate) struct Heard<W: Work> {
    pub(crate) key: W::Key,
    pub(crate) item: W::Item,
    /// It is not to be issued before this.
    pub(crate) not_before: Instant,
}

/// Between two looks at the list, unless something is known to come up sooner: whatever changes there meanwhile was heard of,
/// or can wait as long.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// So many times as many pieces as are looked at in one round are remembered once they were issued.
const REMEMBERED_FACTOR: usize = 8;

/// What a pump tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PumpStatus {
    /// Pieces of work that were listed when it last looked.
    pub listed: u64,
    /// Carried out since the start.
    pub done: u64,
    /// Tries that failed and are repeated.
    pub retried: u64,
    /// Tries that will not go through by themselves; they are repeated, rarely.
    pub poisoned: u64,
    /// Why the last try or look failed, when it did.
    pub trouble: Option<String>,
}

/// Where a pump writes its status, and everybody else reads it.
#[derive(Clone, Default)]
pub(crate) struct PumpCell(Arc<Mutex<PumpStatus>>);

impl PumpCell {
    pub(crate) fn snapshot(&self) -> PumpStatus {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, PumpStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece of work that was issued and may still be listed, or come to be.
struct Issued {
    /// `None` while it is in hand: it waits, or is under way.
    again_at: Option<Instant>,
    backoff: Backoff,
    /// How often it went through.
    times: u32,
}

/// What is listed, and how long nothing new comes up by itself.
type Found<W> = (Listed<W>, Option<Duration>);

/// See the module.
pub(crate) struct Pump<W: Work> {
    work: W,
    surroundings: Surroundings,
    /// Changes when the read model does.
    listing: watch::Receiver<u64>,
    heard: mpsc::Receiver<Heard<W>>,
    status: PumpCell,
    prepared: bool,
    /// When the list is looked at next.
    look_at: Instant,
    looked_at: Option<Instant>,
    /// The look that is under way, if any: whatever it takes, what is new goes on.
    looking: JoinSet<Result<Found<W>, StoreError>>,
    /// By when to look again, since something changed while it was under way.
    look_again: Option<Instant>,
    looks: Backoff,
    /// What is to be issued, by when and in which order it came.
    waiting: BTreeMap<(Instant, u64), (W::Key, W::Item)>,
    came: u64,
    issued: HashMap<W::Key, Issued>,
    under_way: JoinSet<Result<(), ProcessError>>,
    /// Which piece of work each task is: one that panics cannot tell.
    pieces: HashMap<Id, (W::Key, W::Item)>,
}

impl<W: Work> Pump<W> {
    pub(crate) fn new(
        work: W,
        surroundings: Surroundings,
        listing: watch::Receiver<u64>,
        heard: mpsc::Receiver<Heard<W>>,
        status: PumpCell,
    ) -> Self {
        Self {
            work,
            listing,
            heard,
            status,
            prepared: false,
            look_at: Instant::now(),
            looked_at: None,
            looking: JoinSet::new(),
            look_again: None,
            looks: Backoff::new(&surroundings.settings),
            waiting: BTreeMap::new(),
            came: 0,
            issued: HashMap::new(),
            under_way: JoinSet::new(),
            pieces: HashMap::new(),
            surroundings,
        }
    }

    fn settings(&self) -> &WorkerSettings {
        &self.surroundings.settings
    }

    /// Runs until the end of the process, then waits for what is under way.
    pub(crate) async fn run(mut self) {
        while !self.surroundings.ends() {
            if self.looking.is_empty() && Instant::now() >= self.look_at {
                self.begin_look();
            }
            self.issue_waiting();
            self.wait().await;
        }
        while let Some(ended) = self.under_way.join_next_with_id().await {
            self.ended(ended);
        }
    }

    fn begin_look(&mut self) {
        self.listing.borrow_and_update();
        let (work, prepared) = (self.work.clone(), self.prepared);
        let open_max = self.open_max();
        self.looking.spawn(async move {
            if !prepared {
                work.prepare().await?;
            }
            let listed = work.list(open_max).await?;
            Ok((listed, work.idle().await?))
        });
    }

    fn looked(&mut self, found: Result<Result<Found<W>, StoreError>, JoinError>) {
        let now = Instant::now();
        self.looked_at = Some(now);
        let broke_off = |error: JoinError| Err(StoreError::Unavailable(format!("a look broke off: {error}")));
        let pause = match found.unwrap_or_else(broke_off) {
            Ok((listed, idle)) => {
                self.prepared = true;
                self.looks.reset();
                self.take_in(listed, idle, now)
            }
            Err(error) => {
                tracing::warn!(kind = W::KIND, %error, "the read model cannot be looked at");
                self.status.lock().trouble = Some(error.to_string());
                self.forget_all_but(&HashSet::new(), now);
                self.looks.pause()
            }
        };
        self.look_at = now + pause;
        if let Some(again) = self.look_again.take() {
            self.look_by(again);
        }
    }

    /// Takes in what is listed and not issued yet; how long to wait for the next look.
    fn take_in(&mut self, listed: Listed<W>, idle: Option<Duration>, now: Instant) -> Duration {
        let keys: HashSet<W::Key> = listed.iter().map(|(key, _)| key.clone()).collect();
        self.forget_all_but(&keys, now);
        let poll = Duration::from_millis(self.settings().poll_interval_ms);
        let mut pause = poll;
        for (key, item) in listed {
            match self.issued.get(&key).map(|issued| issued.again_at) {
                Some(None) => {}
                Some(Some(again_at)) if again_at > now => {
                    pause = pause.min((again_at - now).max(LOOK_PAUSE));
                }
                Some(Some(_)) | None => self.take(key, item, now),
            }
        }
        let unlisted =
            self.issued.iter().filter(|(key, issued)| issued.again_at.is_none() && !keys.contains(key));
        let open = keys.len() + unlisted.count();
        self.status.lock().listed = open as u64;
        gauge!("guildhall_process_issues_open", "kind" => W::KIND).set(open as f64);
        pause.min(idle.unwrap_or(poll)).max(Duration::from_millis(1))
    }

    /// What is neither listed nor in hand is remembered until it might be issued again: it may come to be listed only now, for a
    /// moment. When that is too much, the list has to do.
    fn forget_all_but(&mut self, listed: &HashSet<W::Key>, now: Instant) {
        let all = self.issued.len() <= self.open_max() * REMEMBERED_FACTOR;
        self.issued.retain(|key, issued| {
            issued.again_at.is_none_or(|again_at| all && again_at > now) || listed.contains(key)
        });
    }

    /// What is new, unless there is so much of it that the list is the better place.
    fn hear(&mut self, heard: Heard<W>) {
        if self.waiting.len() < self.open_max() && !self.issued.contains_key(&heard.key) {
            self.take(heard.key, heard.item, heard.not_before);
            self.status.lock().listed += 1;
        }
        if self.issued.len() > self.open_max() * REMEMBERED_FACTOR {
            self.forget_all_but(&HashSet::new(), Instant::now());
        }
    }

    /// This is to be issued, `not_before` that.
    fn take(&mut self, key: W::Key, item: W::Item, not_before: Instant) {
        let backoff = Backoff::new(&self.surroundings.settings);
        let fresh = || Issued { again_at: None, backoff, times: 0 };
        self.issued.entry(key.clone()).or_insert_with(fresh).again_at = None;
        self.came += 1;
        self.waiting.insert((not_before, self.came), (key, item));
    }

    /// Issues what waits, as far as there is room.
    fn issue_waiting(&mut self) {
        let now = Instant::now();
        while self.has_room()
            && let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            let (key, item) = first.remove();
            match self.work.admit(&key) {
                Ok(()) => self.issue(key, item),
                // Until then it may come to nothing: the list knows.
                Err(wait) => {
                    if let Some(issued) = self.issued.get_mut(&key) {
                        issued.again_at = Some(now + wait);
                    }
                    self.look_by(now + wait);
                }
            }
        }
    }

    fn open_max(&self) -> usize {
        W::open_max(self.settings()).max(1)
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < W::concurrency_max(self.settings()).max(1)
    }

    fn issue(&mut self, key: W::Key, item: W::Item) {
        let (work, piece) = (self.work.clone(), item.clone());
        let task = self.under_way.spawn(async move { work.issue(piece).await });
        self.pieces.insert(task.id(), (key, item));
    }

    /// The list is to be looked at by then, though not all the time.
    fn look_by(&mut self, time: Instant) {
        if !self.looking.is_empty() {
            self.look_again = Some(self.look_again.map_or(time, |again| again.min(time)));
            return;
        }
        let soonest = self.looked_at.map_or(time, |looked_at| looked_at + LOOK_PAUSE);
        self.look_at = self.look_at.min(time.max(soonest));
    }

    async fn wait(&mut self) {
        let surroundings = self.surroundings.clone();
        let next = self.waiting.first_key_value().filter(|_| self.has_room()).map(|((time, _), _)| *time);
        // A look that is under way ends by itself.
        let look_at = self.looking.is_empty().then_some(self.look_at);
        let until = next.into_iter().chain(look_at).min();
        let poll = Duration::from_millis(self.settings().poll_interval_ms);
        let until = until.unwrap_or_else(|| Instant::now() + poll);
        tokio::select! {
            Some(ended) = self.under_way.join_next_with_id() => {
                self.ended(ended);
                // Whatever else has ended meanwhile is settled before the next look.
                while let Some(ended) = self.under_way.try_join_next_with_id() {
                    self.ended(ended);
                }
            }
            Some(heard) = self.heard.recv() => {
                self.hear(heard);
                while let Ok(heard) = self.heard.try_recv() {
                    self.hear(heard);
                }
            }
            Some(found) = self.looking.join_next() => self.looked(found),
            // Without a projector in this process nothing changes here, and the pause decides.
            Ok(()) = self.listing.changed() => self.look_by(Instant::now()),
            () = tokio::time::sleep_until(until.into()) => {}
            () = surroundings.until_end() => {}
        }
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), ProcessError>), JoinError>) {
        let (id, result) = match ended {
            Ok(ended) => ended,
            // It may panic again, but what else is under way has nothing to do with it.
            Err(error) => (error.id(), Err(ProcessError::Poison(format!("it broke off: {error}")))),
        };
        let piece = self.pieces.remove(&id).expect("every task is noted when it is spawned, and ends once");
        self.settle(piece, result);
    }

    fn settle(&mut self, (key, item): (W::Key, W::Item), result: Result<(), ProcessError>) {
        let verdict = match &result {
            Ok(()) => "done",
            Err(ProcessError::Retry(_)) => "retried",
            Err(ProcessError::Poison(_)) => "poisoned",
        };
        counter!("guildhall_process_issues_total", "kind" => W::KIND, "verdict" => verdict).increment(1);
        let Some(issued) = self.issued.get_mut(&key) else { return };
        let now = Instant::now();
        let mut status = self.status.lock();
        let pause = match result {
            Ok(()) => {
                status.done += 1;
                status.trouble = None;
                issued.backoff.reset();
                issued.times = issued.times.saturating_add(1);
                W::again_after(&self.surroundings.settings, issued.times - 1)
            }
            Err(ProcessError::Retry(reason)) => {
                tracing::warn!(kind = W::KIND, ?key, %reason, "tried again later");
                status.retried += 1;
                status.trouble = Some(reason);
                let pause = issued.backoff.pause();
                drop(status);
                // It stays in hand, listed or not: when nobody waits for it any more, there is nothing to do.
                return self.take(key, item, now + pause);
            }
            Err(ProcessError::Poison(reason)) => {
                tracing::error!(kind = W::KIND, ?key, %reason, "cannot be carried out");
                status.poisoned += 1;
                status.trouble = Some(reason);
                Duration::from_millis(self.surroundings.settings.backoff_max_ms)
            }
        };
        issued.again_at = Some(now + pause);
        drop(status);
        self.look_by(now + pause);
    }
}
