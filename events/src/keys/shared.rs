//! A ring that shares its keys with other nodes: what is made here is on the topic, and read back from it, before it is used.
//!
//! The topic is the truth and the file follows it. Nothing is written to the file but by the mirror, in the topic's order, so
//! a crash at any moment leaves nothing to mend: what reached the topic comes back, what did not was never used.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    KeyError, KeyRecord, KeyRingStatus,
    exchange::{Exchange, Post},
    mirror::{Mirror, Pace, Turn, outside},
    post,
    progress::Progress,
    vault::{SubjectKeys, Vault, lock},
};
use crate::ids::AccountId;

/// How long making a key, or erasing, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Subjects whose first key may be under way; beyond it, making one is refused at once.
const FIRST_KEYS_MAX: usize = 4_096;
/// How long the mirror waits for something to read.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// The part of a ring that other nodes hear of.
pub(super) struct Shared {
    vault: Arc<Vault>,
    exchange: Arc<dyn Exchange>,
    progress: Arc<Progress>,
    drive: Drive,
    /// Subjects whose first key this ring has on its way.
    first_keys: Mutex<HashSet<AccountId>>,
}

/// Who makes the mirror's turns.
enum Drive {
    /// A thread, until the ring is dropped.
    Thread(Option<JoinHandle<()>>),
    /// Whoever waits for it, so that a run is a function of its seed.
    #[cfg(feature = "simulation")]
    Stepped(Box<Mutex<Mirror>>),
}

impl Shared {
    /// Follows the exchange by a thread.
    pub(super) fn start(vault: Arc<Vault>, exchange: Arc<dyn Exchange>) -> Result<Self, KeyError> {
        let progress = Arc::new(Progress::default());
        let mirror =
            Mirror::start(Arc::clone(&vault), Arc::clone(&exchange), Arc::clone(&progress), Pace::LIVE)?;
        let followed = Arc::clone(&progress);
        let thread = std::thread::Builder::new()
            .name("key-mirror".into())
            .spawn(move || run(mirror, &followed))
            .map_err(|error| KeyError::File(format!("no thread for the mirror of keys: {error}")))?;
        Ok(Self {
            vault,
            exchange,
            progress,
            drive: Drive::Thread(Some(thread)),
            first_keys: Mutex::new(HashSet::new()),
        })
    }

    /// Follows the exchange only when somebody waits for it.
    #[cfg(feature = "simulation")]
    pub(super) fn start_stepped(vault: Arc<Vault>, exchange: Arc<dyn Exchange>) -> Result<Self, KeyError> {
        let progress = Arc::new(Progress::default());
        let mirror =
            Mirror::start(Arc::clone(&vault), Arc::clone(&exchange), Arc::clone(&progress), Pace::STEPPED)?;
        let drive = Drive::Stepped(Box::new(Mutex::new(mirror)));
        Ok(Self { vault, exchange, progress, drive, first_keys: Mutex::new(HashSet::new()) })
    }

    pub(super) fn status(&self) -> KeyRingStatus {
        self.progress.status()
    }

    /// The first key of `subject`: made, put on the topic and read back; or another node's, if that is there first.
    pub(super) fn first_key(&self, subject: AccountId) -> Result<Arc<SubjectKeys>, KeyError> {
        let deadline = Instant::now() + PATIENCE;
        // What is already on the topic must not be made again.
        self.catch_up(PATIENCE)?;
        if let Some(arrived) = self.vault.subject_keys(subject)? {
            return Ok(arrived);
        }
        let turn = self.my_turn(subject)?;
        // Whoever had the turn before may be through since.
        if turn.is_some() && self.vault.subject_keys(subject)?.is_none() {
            let (subject, purpose, kid, wrapped) = self.vault.fresh_key(subject);
            self.put(&[post::post(&KeyRecord::Key { subject, purpose, kid, wrapped })], deadline)?;
        }
        self.wait_until(deadline, || self.vault.subject_keys(subject))
    }

    /// Whether it falls to this caller to make the subject's first key; until the guard is dropped, nobody else does.
    fn my_turn(&self, subject: AccountId) -> Result<Option<FirstKey<'_>>, KeyError> {
        let mut first_keys = lock(&self.first_keys);
        if first_keys.len() >= FIRST_KEYS_MAX && !first_keys.contains(&subject) {
            return Err(KeyError::Away(format!("{FIRST_KEYS_MAX} first keys are on their way already")));
        }
        // Only when it is this caller's: dropping a guard that was never given would wait for this very lock.
        Ok(first_keys.insert(subject).then(|| FirstKey { shared: self, subject }))
    }

    /// Erases `subject` everywhere: the marker on the topic is the erasure. Returns when no byte of the keys is left in
    /// this node's file and each of them has its tombstone; the other nodes follow.
    pub(super) fn erase(&self, subject: AccountId) -> Result<(), KeyError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.vault.reader().is_wholly_erased(subject)? {
                return Ok(());
            }
            self.refuse_when_away()?;
            if Instant::now() >= deadline {
                return Err(KeyError::Away("the erasure did not come to its end in time; repeat it".into()));
            }
            let kids = self.vault.reader().kids_of(subject)?;
            let mut posts = vec![post::post(&KeyRecord::Erased { subject })];
            posts.extend(kids.into_iter().map(|kid| post::tombstone(subject, kid)));
            self.put_and_read_back(&posts, deadline)?;
        }
    }

    /// Waits until the file holds what the topic held at the start.
    pub(super) fn catch_up(&self, patience: Duration) -> Result<(), KeyError> {
        self.refuse_when_away()?;
        let deadline = Instant::now() + patience;
        self.wait_until(deadline, || Ok(self.progress.is_caught_up().then_some(())))
    }

    /// Puts records on the topic, as they are, and waits until they are in the file.
    pub(super) fn import(&self, records: &[KeyRecord], patience: Duration) -> Result<(), KeyError> {
        let deadline = Instant::now() + patience;
        let posts: Vec<_> = records.iter().map(post::post).collect();
        self.put_and_read_back(&posts, deadline)
    }

    fn put(&self, posts: &[Post], deadline: Instant) -> Result<u64, KeyError> {
        self.exchange.publish(posts, deadline).map_err(outside)
    }

    fn put_and_read_back(&self, posts: &[Post], deadline: Instant) -> Result<(), KeyError> {
        let behind = self.put(posts, deadline)?;
        self.wait_until(deadline, || Ok((self.progress.next() >= behind).then_some(())))
    }

    /// Whoever needs the exchange is told at once when it is known to be away.
    fn refuse_when_away(&self) -> Result<(), KeyError> {
        self.progress.refuse_when_stopped()?;
        match self.status().away {
            Some(reason) => Err(KeyError::Away(reason)),
            None => Ok(()),
        }
    }

    fn wait_until<T>(
        &self,
        deadline: Instant,
        done: impl FnMut() -> Result<Option<T>, KeyError>,
    ) -> Result<T, KeyError> {
        match &self.drive {
            Drive::Thread(_) => self.progress.wait_until(deadline, done),
            #[cfg(feature = "simulation")]
            Drive::Stepped(_) => self.step_until(done),
        }
    }

    #[cfg(feature = "simulation")]
    fn step_until<T>(&self, mut done: impl FnMut() -> Result<Option<T>, KeyError>) -> Result<T, KeyError> {
        for _ in 0..STEPS_MAX {
            if let Some(value) = done()? {
                return Ok(value);
            }
            self.progress.refuse_when_stopped()?;
            self.step()?;
            self.refuse_when_away()?;
        }
        Err(KeyError::Away("the topic did not show in time what was put on it".into()))
    }

    /// One turn of a mirror that is driven.
    #[cfg(feature = "simulation")]
    pub(super) fn step(&self) -> Result<(), KeyError> {
        if let Drive::Stepped(mirror) = &self.drive {
            let turned = lock(mirror).turn(Duration::ZERO);
            turned.inspect_err(|error| self.progress.stopped(&error.to_string()))?;
        }
        Ok(())
    }
}

/// Turns that somebody waits through before it counts as in doubt.
#[cfg(feature = "simulation")]
const STEPS_MAX: usize = 30;

impl Drop for Shared {
    fn drop(&mut self) {
        self.progress.close();
        match &mut self.drive {
            Drive::Thread(thread) => {
                if let Some(thread) = thread.take() {
                    // A panic over there has already been reported by the panic hook.
                    let _ = thread.join();
                }
            }
            #[cfg(feature = "simulation")]
            Drive::Stepped(_) => {}
        }
    }
}

/// A first key on its way.
struct FirstKey<'a> {
    shared: &'a Shared,
    subject: AccountId,
}

impl Drop for FirstKey<'_> {
    fn drop(&mut self) {
        lock(&self.shared.first_keys).remove(&self.subject);
    }
}

/// The mirror's thread: until the ring is dropped, or the mirror can never go on.
fn run(mut mirror: Mirror, progress: &Progress) {
    let _unwinding = StopOnPanic(progress);
    while !progress.is_closing() {
        match mirror.turn(POLL_WAIT) {
            Ok(Turn::Went) => {}
            Ok(Turn::Rest(rest)) => progress.rest(rest),
            Err(error) => return progress.stopped(&error.to_string()),
        }
    }
}

/// A panic of the mirror must not leave others waiting for it.
struct StopOnPanic<'a>(&'a Progress);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stopped("the mirror of keys panicked");
        }
    }
}
