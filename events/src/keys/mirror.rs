//! The mirror: follows the topic into the key file, and sees to it that what is erased goes from the topic too.
//!
//! Keys and erasures are taken in the topic's order, a batch and its place in one transaction. A key behind its
//! subject's erasure is not kept. Every record of an erased subject's key is owed a tombstone: whoever erases puts them
//! behind the marker, and what is missing after a while any node adds, so that no crash leaves one out.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    KeyError,
    exchange::{Exchange, ExchangeError, Posted},
    follow::Following,
    post::{self, Meaning, NotOurs},
    progress::Progress,
    record::{KeyRecord, WrappedKey},
    vault::Vault,
};
use crate::{ids::AccountId, time::Timestamp};

/// Records in one transaction.
const BATCH_MAX: usize = 2_000;
/// How long the topic may take to be made or checked, and to show its first record.
const GREETING_WAIT: Duration = Duration::from_secs(10);
/// How long what a node adds by itself may take to be durable.
const ADD_WAIT: Duration = Duration::from_secs(5);
/// How long a mirror rests whose topic somebody has to set right.
const REFUSED_REST: Duration = Duration::from_secs(2);
/// How long a mirror rests that cannot go on now.
const REST: Duration = Duration::from_millis(100);

/// When a mirror does what nobody waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How often a mirror that reads nothing asks where the topic ends.
    pub(super) end_every: Duration,
    /// How long a tombstone may be owed before this node adds it: whoever erases adds it at once.
    pub(super) owed_patience: Duration,
}

impl Pace {
    /// A node's own.
    pub(super) const LIVE: Self =
        Self { end_every: Duration::from_secs(1), owed_patience: Duration::from_secs(3) };
    /// At once, for a mirror that is driven turn by turn.
    #[cfg(feature = "simulation")]
    pub(super) const STEPPED: Self = Self { end_every: Duration::ZERO, owed_patience: Duration::ZERO };
}

/// One node's reader of the topic. One thread, one turn at a time.
pub(super) struct Mirror {
    vault: Arc<Vault>,
    exchange: Arc<dyn Exchange>,
    progress: Arc<Progress>,
    pace: Pace,
    following: Following,
    /// Whether the topic was seen to be the one that the file follows, since it was last away.
    greeted: bool,
    /// A record that cannot be taken, until a tombstone ends it.
    refused: Option<Refused>,
    /// Places of records that were refused and ended.
    ended: BTreeSet<u64>,
    /// Erased keys that may still have bytes in the file.
    expunging: Vec<(AccountId, WrappedKey)>,
    owed_since: Option<Instant>,
    end_asked: Option<Instant>,
    /// When the topic's next beat is looked at again.
    beat_after: Option<Instant>,
}

/// A record that cannot be taken.
struct Refused {
    offset: u64,
    key: Vec<u8>,
    /// How far its tombstone was looked for.
    ahead: u64,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something was read, or waited for.
    Went,
    /// Better not to ask again at once.
    Rest(Duration),
}

impl Mirror {
    /// A mirror of the topic into the vault's file, which is made to follow it when it follows none.
    ///
    /// # Errors
    /// [`KeyError::Refused`] when the topic is not the one of this log and file, or the file holds keys of another
    /// kind of life; [`KeyError::WrongMasterKey`]; [`KeyError::Away`] when the topic cannot be reached and the file
    /// follows none yet; [`KeyError::File`].
    pub(super) fn start(
        vault: Arc<Vault>,
        exchange: Arc<dyn Exchange>,
        progress: Arc<Progress>,
        pace: Pace,
    ) -> Result<Self, KeyError> {
        let known = vault.writer().following()?;
        if known.is_none() && !vault.reader().is_empty()? {
            return Err(KeyError::Refused(format!(
                "the key file holds keys that {} has never seen: start with an empty data folder, and bring log and keys there with guildhall log copy",
                exchange.name()
            )));
        }
        if let Some(known) = known.filter(|known| known.log != exchange.log()) {
            return Err(KeyError::Refused(format!(
                "the key file belongs to the log {}, not to {}",
                known.log,
                exchange.log()
            )));
        }
        let prepared = exchange.prepare(known.is_none(), Instant::now() + GREETING_WAIT).map_err(outside);
        let greeting = prepared.and_then(|()| greet(&vault, exchange.as_ref(), known.is_none()));
        let following = match (greeting, known) {
            (Ok((topic, end)), Some(known)) => {
                check(&known, topic, end, exchange.name())?;
                progress.reached(known.next, Some(end));
                known
            }
            (Ok((topic, end)), None) => {
                vault.writer().follow(exchange.log(), topic)?;
                progress.reached(0, Some(end));
                Following { log: exchange.log(), topic, next: 0, unswept_ms: None }
            }
            (Err(KeyError::Away(reason)), Some(known)) => {
                progress.reached(known.next, None);
                progress.away(&reason);
                known
            }
            (Err(error), _) => return Err(error),
        };
        let greeted = progress.status().away.is_none();
        Ok(Self {
            vault,
            exchange,
            progress,
            pace,
            following,
            greeted,
            refused: None,
            ended: BTreeSet::new(),
            expunging: Vec::new(),
            owed_since: None,
            end_asked: None,
            beat_after: None,
        })
    }

    /// Reads what there is, waiting up to `wait` for something, and does what is due.
    ///
    /// # Errors
    /// When this mirror can never go on: the file failed, or the topic is not the one it was.
    pub(super) fn turn(&mut self, wait: Duration) -> Result<Turn, KeyError> {
        match self.try_turn(wait) {
            Err(KeyError::Away(reason)) => {
                self.progress.away(&reason);
                self.greeted = false;
                Ok(Turn::Rest(REST))
            }
            turn => turn,
        }
    }

    fn try_turn(&mut self, wait: Duration) -> Result<Turn, KeyError> {
        if !self.greeted {
            match self.exchange.prepare(false, Instant::now() + GREETING_WAIT) {
                Ok(()) => {}
                Err(ExchangeError::Refused(reason)) => {
                    // Whoever sets it right need not start every node again.
                    self.progress.stopped(&reason);
                    return Ok(Turn::Rest(REFUSED_REST));
                }
                Err(away) => return Err(outside(away)),
            }
            let (topic, end) = greet(&self.vault, self.exchange.as_ref(), false)?;
            check(&self.following, topic, end, self.exchange.name())?;
            self.greeted = true;
            if self.refused.is_none() && self.expunging.is_empty() {
                self.progress.reached(self.following.next, Some(end));
            }
        }
        if !self.expunging.is_empty() {
            return Ok(self.expunge());
        }
        if let Some(Refused { offset, ahead, .. }) = self.refused {
            return self.look_ahead(offset, ahead, wait);
        }
        let polled = self.exchange.poll(self.following.next, BATCH_MAX, wait).map_err(outside)?;
        if polled.is_empty() {
            self.idle()?;
            return Ok(Turn::Went);
        }
        self.take(&polled)
    }

    /// Takes over a batch, up to the first record that cannot be taken.
    fn take(&mut self, polled: &[Posted]) -> Result<Turn, KeyError> {
        let (mut batch, mut refusal) = (Vec::with_capacity(polled.len()), None);
        let mut unswept_ms = self.following.unswept_ms;
        let forgets_after_ms = i64::try_from(self.exchange.forgets_after().as_millis()).unwrap_or(i64::MAX);
        for posted in polled {
            let meaning = if self.ended.contains(&posted.offset) {
                Ok(Meaning::Nothing)
            } else {
                post::read(posted, self.exchange.log(), &self.vault.roots)
            };
            match meaning {
                Ok(meaning) => {
                    // A record so much newer closed the piece of the topic in which the erased keys lie.
                    unswept_ms =
                        unswept_ms.filter(|since| posted.at_ms < since.saturating_add(forgets_after_ms));
                    if leaves_something_to_forget(&meaning) {
                        unswept_ms = Some(posted.at_ms);
                    }
                    batch.push((posted.offset, meaning));
                }
                Err(why) => {
                    refusal = Some((posted, why));
                    break;
                }
            }
        }
        let behind = refusal.as_ref().map(|(posted, _)| posted.offset);
        let behind = behind.or(polled.last().map(|last| last.offset + 1)).unwrap_or(self.following.next);
        let applied = self.vault.apply(&batch, behind, unswept_ms)?;
        if let Some(why) = applied.refused {
            refusal = polled.get(applied.taken).map(|posted| (posted, why));
        }
        self.following.next = refusal.as_ref().map_or(behind, |(posted, _)| posted.offset);
        self.following.unswept_ms = unswept_ms;
        self.expunging.extend(applied.erased);
        let turn = self.expunge();
        if let Some((posted, why)) = refusal {
            self.refuse(posted, &why);
        }
        Ok(turn)
    }

    /// Makes sure that no byte of erased keys is left in the file, and only then says how far it has come.
    fn expunge(&mut self) -> Turn {
        if !self.expunging.is_empty()
            && let Err(error) = self.vault.expunge(&self.expunging)
        {
            tracing::warn!(%error, "erased keys are not yet expunged from the key file; that is tried again");
            return Turn::Rest(REST);
        }
        self.expunging.clear();
        self.progress.reached(self.following.next, None);
        Turn::Went
    }

    fn refuse(&mut self, posted: &Posted, why: &str) {
        let (topic, offset, key) =
            (self.exchange.name(), posted.offset, String::from_utf8_lossy(&posted.key));
        self.progress.stopped(&format!(
            "the record at {offset} of {topic} with the key '{key}' {why}. Nothing behind it is read. If it is not ours, end it with a tombstone, a record with the same key and no value (echo '{key}|' | kcat -P -Z -K '|' -p 0 -t …), and all nodes go on by themselves"
        ));
        self.refused = Some(Refused { offset, key: posted.key.clone(), ahead: offset + 1 });
    }

    /// Looks for the tombstone that ends the refused record.
    fn look_ahead(&mut self, offset: u64, ahead: u64, wait: Duration) -> Result<Turn, KeyError> {
        let polled = self.exchange.poll(ahead, BATCH_MAX, wait).map_err(outside)?;
        let Some(refused) = &mut self.refused else { return Ok(Turn::Went) };
        let mut ends = polled.iter().filter(|posted| posted.key == refused.key && posted.value.is_none());
        if ends.next().is_some() {
            tracing::info!(offset, "a record that could not be taken was ended by a tombstone");
            self.ended.insert(offset);
            self.refused = None;
            self.progress.reached(self.following.next, None);
        } else if let Some(last) = polled.last() {
            refused.ahead = last.offset + 1;
        }
        Ok(Turn::Went)
    }

    /// What is due when nothing is to be read.
    fn idle(&mut self) -> Result<(), KeyError> {
        if self.progress.is_caught_up()
            && self.end_asked.is_some_and(|asked| asked.elapsed() < self.pace.end_every)
        {
            return Ok(());
        }
        let end = self.exchange.end().map_err(outside)?;
        self.end_asked = Some(Instant::now());
        let next = self.following.next;
        if end < next {
            return Err(lost(self.exchange.name(), end, next));
        }
        self.progress.reached(next, Some(end));
        if end == next {
            self.add_owed()?;
            self.beat()?;
        }
        Ok(())
    }

    /// Adds tombstones that nobody else added.
    fn add_owed(&mut self) -> Result<(), KeyError> {
        let owed = self.vault.reader().owed(BATCH_MAX)?;
        if owed.is_empty() {
            self.owed_since = None;
            return Ok(());
        }
        if self.owed_since.get_or_insert_with(Instant::now).elapsed() < self.pace.owed_patience {
            return Ok(());
        }
        tracing::info!(tombstones = owed.len(), "adding the ends of erased keys that nobody added");
        // The marker before them, once more: a file that was restored may know an erasure from the log, and the topic not yet.
        let people: BTreeSet<AccountId> = owed.iter().map(|(subject, _)| *subject).collect();
        let markers = people.into_iter().map(|subject| post::post(&KeyRecord::Erased { subject }));
        let tombstones = owed.into_iter().map(|(subject, kid)| post::tombstone(subject, kid));
        let posts: Vec<_> = markers.chain(tombstones).collect();
        self.exchange.publish(&posts, Instant::now() + ADD_WAIT).map_err(outside)?;
        self.owed_since = None;
        Ok(())
    }

    /// A topic forgets only behind a newer record: where none came for long after an erasure, one is added.
    fn beat(&mut self) -> Result<(), KeyError> {
        let Some(since) = self.following.unswept_ms else { return Ok(()) };
        let due = since
            .saturating_add(i64::try_from(self.exchange.forgets_after().as_millis()).unwrap_or(i64::MAX));
        let now = Timestamp::now().micros() / 1000;
        if now < due || self.beat_after.is_some_and(|after| Instant::now() < after) {
            return Ok(());
        }
        // Should the clocks differ, the beat came too early for the topic, and another is due later.
        self.beat_after = Some(Instant::now() + self.exchange.forgets_after() / 4);
        self.exchange.publish(&[post::beat()], Instant::now() + ADD_WAIT).map_err(outside)?;
        Ok(())
    }
}

/// Begins the topic where that is allowed; gives its id and its end.
fn greet(vault: &Vault, exchange: &dyn Exchange, may_begin: bool) -> Result<(Uuid, u64), KeyError> {
    let deadline = Instant::now() + GREETING_WAIT;
    let mut end = exchange.end().map_err(outside)?;
    if end == 0 && !may_begin {
        return Err(KeyError::Refused(format!("{} is empty: it was made anew. {RESTORE}", exchange.name())));
    }
    if end == 0 {
        let fresh = post::identity(exchange.log(), Uuid::now_v7(), &vault.roots);
        end = exchange.publish(&[fresh], deadline).map_err(outside)?;
    }
    loop {
        let first = exchange.poll(0, 1, REST).map_err(outside)?;
        if let Some(first) = first.first() {
            let topic = post::read_identity(first, exchange.log(), &vault.roots).map_err(|error| match error {
                NotOurs::MasterKey => KeyError::WrongMasterKey,
                NotOurs::Foreign(why) => KeyError::Refused(format!(
                    "{} {why}: choose another prefix for the topics, or delete the topic if nothing of it is wanted",
                    exchange.name()
                )),
            })?;
            return Ok((topic, end));
        }
        if Instant::now() >= deadline {
            return Err(KeyError::Away(format!("{} did not show its first record", exchange.name())));
        }
    }
}

/// Compares the topic with the one that the file follows.
fn check(following: &Following, topic: Uuid, end: u64, name: &str) -> Result<(), KeyError> {
    if topic != following.topic {
        return Err(KeyError::Refused(format!(
            "{name} is not the topic that the key file follows: it was made anew. {RESTORE}"
        )));
    }
    if end < following.next { Err(lost(name, end, following.next)) } else { Ok(()) }
}

fn lost(name: &str, end: u64, next: u64) -> KeyError {
    KeyError::Refused(format!(
        "{name} ends at {end}, the key file has read up to {next}: it has lost records. {RESTORE}"
    ))
}

/// What to do when the topic has lost what the files still have.
pub(super) const RESTORE: &str = "A node that had read everything still holds every key in its folder: stop all nodes, and copy the log from there to another prefix with guildhall log copy (docs/kafka.md, Keys)";

fn leaves_something_to_forget(meaning: &Meaning) -> bool {
    match meaning {
        Meaning::Tombstone { .. } | Meaning::Record(KeyRecord::Erased { .. }) => true,
        Meaning::Record(KeyRecord::Key { .. }) | Meaning::Nothing => false,
    }
}

/// An error of the exchange, for users of the ring.
pub(super) fn outside(error: ExchangeError) -> KeyError {
    match error {
        ExchangeError::Away(reason) => KeyError::Away(reason),
        ExchangeError::Refused(reason) => KeyError::Refused(reason),
    }
}
