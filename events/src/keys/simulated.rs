//! An exchange of keys in memory that behaves like a compacted topic on a bad day, by seed: doubt, delay, loss, duplicates,
//! gaps in offsets, crashes, a broker that goes away. For tests.
//!
//! Open several rings on one [`SimulatedExchange`], each with a file of its own: they are the nodes of a cluster. A ring is
//! opened with a thread of its own ([`SimulatedExchange::open`]) or to be driven turn by turn by the test
//! ([`SimulatedExchange::open_stepped`]), which makes a run a function of its seed.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::{
    KeyError, KeyRing, MasterKey,
    exchange::{Exchange, ExchangeError, Post, Posted},
    post::FORMAT,
    shared::Shared,
    vault::{Vault, lock},
};
use crate::{stream::LogId, time::Timestamp};

/// What goes wrong, each in so many of a thousand publications; a crash also in so many of a thousand polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangeFaults {
    /// The posts are lost and said to be in doubt.
    pub lost: u32,
    /// Some of the posts arrive, and all are said to be in doubt.
    pub lied: u32,
    /// The posts arrive later, in any order with those of others, and are said to be in doubt.
    pub delayed: u32,
    /// A post arrives twice, the second time later.
    pub duplicated: u32,
    /// Offsets are left out before a post.
    pub gaps: u32,
    /// The node is dead from now on, before or after what it was doing took effect: open it again.
    pub crashed: u32,
}

impl ExchangeFaults {
    /// Everything, often.
    pub fn wild() -> Self {
        Self { lost: 80, lied: 80, delayed: 80, duplicated: 150, gaps: 150, crashed: 40 }
    }
}

/// A record of the topic, as its files would hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRecord {
    /// Its place.
    pub offset: u64,
    /// Its key.
    pub key: String,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// The topic and its broker.
pub struct SimulatedExchange {
    log: LogId,
    forgets_after: Duration,
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    random: StdRng,
    faults: ExchangeFaults,
    away: bool,
    made: bool,
    records: Vec<Posted>,
    end: u64,
    /// Published and not arrived.
    in_flight: Vec<Post>,
    dead: HashSet<u64>,
    nodes: u64,
}

impl SimulatedExchange {
    /// A broker without the topic. The same seed gives the same faults.
    pub fn new(seed: u64, faults: ExchangeFaults) -> Arc<Self> {
        Self::forgetting_after(seed, faults, Duration::from_secs(24 * 60 * 60))
    }

    /// As [`SimulatedExchange::new`], where the topic forgets what was replaced so long after it was.
    pub fn forgetting_after(seed: u64, faults: ExchangeFaults, forgets_after: Duration) -> Arc<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let log = LogId(Uuid::from_u128(random.random()));
        let state = State {
            random,
            faults,
            away: false,
            made: false,
            records: Vec::new(),
            end: 0,
            in_flight: Vec::new(),
            dead: HashSet::new(),
            nodes: 0,
        };
        Arc::new(Self { log, forgets_after, state: Mutex::new(state), arrived: Condvar::new() })
    }

    /// Opens a node's ring with its file at `path`, followed by a thread of its own.
    ///
    /// # Errors
    /// As [`KeyRing::open_shared`].
    pub fn open(self: &Arc<Self>, path: &Path, master: &MasterKey) -> Result<KeyRing, KeyError> {
        KeyRing::follow(path, master, self.connect())
    }

    /// Opens a node's ring that moves only when it waits for something, or by [`KeyRing::step`].
    ///
    /// # Errors
    /// As [`KeyRing::open_shared`].
    pub fn open_stepped(self: &Arc<Self>, path: &Path, master: &MasterKey) -> Result<KeyRing, KeyError> {
        let vault = Arc::new(Vault::open(path, master)?);
        let shared = Shared::start_stepped(Arc::clone(&vault), self.connect())?;
        Ok(KeyRing { vault, shared: Some(shared) })
    }

    fn connect(self: &Arc<Self>) -> Arc<dyn Exchange> {
        let mut state = self.lock();
        state.nodes += 1;
        Arc::new(Connection { broker: Arc::clone(self), node: state.nodes })
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: ExchangeFaults) {
        self.lock().faults = faults;
    }

    /// Takes the broker away, or brings it back.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
        self.arrived.notify_all();
    }

    /// Everything that is still under way arrives now, in any order.
    pub fn land(&self) {
        let mut state = self.lock();
        while !state.in_flight.is_empty() {
            let waiting = state.in_flight.len();
            let index = state.random.random_range(0..waiting);
            let post = state.in_flight.remove(index);
            state.add(post, self.log);
        }
        drop(state);
        self.arrived.notify_all();
    }

    /// What the broker does by itself: of all records with the same key the last stays, and the topic's last record. Where
    /// tombstones are old enough, they go too.
    pub fn compact(&self, old_tombstones: bool) {
        let mut state = self.lock();
        let last: HashMap<Vec<u8>, u64> =
            state.records.iter().map(|record| (record.key.clone(), record.offset)).collect();
        let end = state.end;
        state.records.retain(|record| {
            let replaced = last.get(&record.key) != Some(&record.offset);
            let forgotten = old_tombstones && record.value.is_none();
            record.offset + 1 == end || (!replaced && !forgotten)
        });
    }

    /// What stands on the topic.
    pub fn records(&self) -> Vec<ExchangeRecord> {
        let record = |posted: &Posted| ExchangeRecord {
            offset: posted.offset,
            key: String::from_utf8_lossy(&posted.key).into_owned(),
            value: posted.value.clone(),
        };
        self.lock().records.iter().map(record).collect()
    }

    /// Puts a record on the topic that no node of ours published; gives its place.
    pub fn inject(&self, key: &str, value: Option<&[u8]>) -> u64 {
        let mut state = self.lock();
        state.add(Post { key: key.into(), value: value.map(<[u8]>::to_vec) }, self.log);
        let offset = state.end - 1;
        drop(state);
        self.arrived.notify_all();
        offset
    }

    /// Loses all behind the first `records`, as a broker with unsafe settings might.
    pub fn truncate(&self, records: usize) {
        let mut state = self.lock();
        state.records.truncate(records);
        state.end = state.records.last().map_or(0, |last| last.offset + 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn chance(&mut self, of_a_thousand: u32) -> bool {
        self.random.random_range(0..1000) < of_a_thousand
    }

    fn add(&mut self, post: Post, log: LogId) {
        if self.chance(self.faults.gaps) {
            self.end += self.random.random_range(1..4);
        }
        self.records.push(Posted {
            offset: self.end,
            at_ms: Timestamp::now().micros() / 1000,
            key: post.key.into_bytes(),
            value: post.value,
            log: Some(log.to_string()),
            format: Some(FORMAT.into()),
        });
        self.end += 1;
    }

    fn check(&mut self, node: u64) -> Result<(), ExchangeError> {
        if self.away || self.dead.contains(&node) {
            return Err(away());
        }
        Ok(())
    }

    /// Lets some of what is late arrive.
    fn deliver(&mut self, log: LogId) {
        for _ in 0..self.in_flight.len() {
            if self.chance(500) {
                let index = self.random.random_range(0..self.in_flight.len());
                let post = self.in_flight.remove(index);
                self.add(post, log);
            }
        }
    }
}

fn away() -> ExchangeError {
    ExchangeError::Away("the simulated broker was taken away".into())
}

/// One node's connection to the broker.
struct Connection {
    broker: Arc<SimulatedExchange>,
    node: u64,
}

impl Exchange for Connection {
    fn log(&self) -> LogId {
        self.broker.log
    }

    fn name(&self) -> &str {
        "the simulated topic"
    }

    fn prepare(&self, may_make: bool, _deadline: Instant) -> Result<(), ExchangeError> {
        let mut state = self.broker.lock();
        state.check(self.node)?;
        if !state.made && !may_make {
            return Err(ExchangeError::Refused("the simulated topic is gone".into()));
        }
        state.made = true;
        Ok(())
    }

    fn publish(&self, posts: &[Post], _deadline: Instant) -> Result<u64, ExchangeError> {
        let mut state = self.broker.lock();
        state.check(self.node)?;
        let (faults, log) = (state.faults, self.broker.log);
        if state.chance(faults.crashed) {
            state.dead.insert(self.node);
        }
        let fate = state.random.random_range(0..1000);
        let arriving = if fate < faults.lost {
            0
        } else if fate < faults.lost + faults.lied {
            state.random.random_range(0..=posts.len())
        } else if fate < faults.lost + faults.lied + faults.delayed {
            state.in_flight.extend_from_slice(posts);
            0
        } else {
            posts.len()
        };
        for post in &posts[..arriving] {
            state.add(post.clone(), log);
            if state.chance(faults.duplicated) {
                state.in_flight.push(post.clone());
            }
        }
        let end = state.end;
        let told = fate >= faults.lost + faults.lied + faults.delayed && !state.dead.contains(&self.node);
        drop(state);
        self.broker.arrived.notify_all();
        if told { Ok(end) } else { Err(away()) }
    }

    fn poll(&self, next: u64, limit: usize, wait: Duration) -> Result<Vec<Posted>, ExchangeError> {
        let deadline = Instant::now() + wait;
        let mut state = self.broker.lock();
        let crashed = state.faults.crashed;
        if state.chance(crashed) {
            state.dead.insert(self.node);
        }
        loop {
            state.check(self.node)?;
            state.deliver(self.broker.log);
            let behind = state.records.partition_point(|record| record.offset < next);
            let available = (state.records.len() - behind).min(limit);
            let wild = state.faults != ExchangeFaults::default();
            let count =
                if wild && available > 0 { state.random.random_range(0..=available) } else { available };
            let left = deadline.saturating_duration_since(Instant::now());
            if count > 0 || left.is_zero() {
                return Ok(state.records[behind..behind + count].to_vec());
            }
            // What is late arrives by itself, not because somebody publishes.
            let nap = if wild { left.min(Duration::from_millis(1)) } else { left };
            state = self.broker.arrived.wait_timeout(state, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn end(&self) -> Result<u64, ExchangeError> {
        let mut state = self.broker.lock();
        state.check(self.node)?;
        Ok(state.end)
    }

    fn forgets_after(&self) -> Duration {
        self.broker.forgets_after
    }
}
