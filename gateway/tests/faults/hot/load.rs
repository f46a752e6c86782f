//! Many clients on few hot streams: each bids on a job and revises the bid again and again, through whichever gateway answers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use rand::RngExt as _;
use serde_json::Value;
use tokio::sync::watch;

use crate::harness::{Client, Member, Reply, bid, ghs};

/// A client that has waited so long asks another gateway, with the same `Idempotency-Key`.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The gateways as clients find them. One that is started again has another address.
#[derive(Clone)]
pub(super) struct Doors(Arc<RwLock<Vec<Client>>>);

impl Doors {
    pub(super) fn new(clients: Vec<Client>) -> Self {
        Self(Arc::new(RwLock::new(clients)))
    }

    pub(super) fn at(&self, number: usize) -> Client {
        let doors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        doors[number % doors.len()].clone()
    }

    pub(super) fn replace(&self, number: usize, client: Client) {
        self.0.write().unwrap_or_else(PoisonError::into_inner)[number] = client;
    }
}

/// A command that was answered well.
pub(super) struct Acknowledged {
    pub(super) job: usize,
    pub(super) version: u64,
    pub(super) at: Instant,
}

pub(super) struct Bidder {
    pub(super) number: usize,
    pub(super) member: Member,
    /// My bid on each job.
    bids: HashMap<usize, String>,
    sent: u64,
    door: usize,
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Answers that asked for a repetition, by code, and requests without an answer.
    pub(super) repeated: BTreeMap<String, u64>,
}

impl Bidder {
    pub(super) fn new(number: usize, member: Member) -> Self {
        Self {
            number,
            member,
            bids: HashMap::new(),
            sent: 0,
            door: number,
            acknowledged: Vec::new(),
            repeated: BTreeMap::new(),
        }
    }

    /// Goes on until told to stop, and brings to its end what is under way.
    pub(super) async fn run(
        mut self,
        doors: Doors,
        jobs: Arc<Vec<String>>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        while !*stop.borrow() {
            let job = rand::rng().random_range(0..jobs.len());
            let path = match self.bids.get(&job) {
                None => format!("/api/v1/jobs/{}/bids", jobs[job]),
                Some(bid) => format!("/api/v1/jobs/{}/bids/{bid}/revise", jobs[job]),
            };
            let reply = self.carry_out(&doors, &path).await;
            let version = reply.body["version"].as_u64().expect(&reply.raw);
            self.bids.entry(job).or_insert_with(|| reply.text("/bid"));
            self.acknowledged.push(Acknowledged { job, version, at: Instant::now() });
        }
        self
    }

    /// One command, repeated until it is answered well.
    async fn carry_out(&mut self, doors: &Doors, path: &str) -> Reply {
        self.sent += 1;
        let key = format!("{}-{}", self.number, self.sent);
        let body = offer(self.sent);
        loop {
            let client = doors.at(self.door);
            let call = client.call("POST", path).by(&self.member).key(&key).json(&body);
            let reason = match tokio::time::timeout(PATIENCE, call.try_send()).await {
                Ok(Ok(reply)) if reply.status.is_success() => return reply,
                Ok(Ok(reply)) if reply.status.as_u16() == 503 => {
                    assert!(!reply.header("retry-after").is_empty(), "{}", reply.raw);
                    reply.text("/code")
                }
                Ok(Ok(reply)) => panic!("{path} was refused: {}", reply.raw),
                Ok(Err(_)) => "broken off".into(),
                Err(_) => "no answer".into(),
            };
            *self.repeated.entry(reason).or_default() += 1;
            self.door += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Terms that this client has not offered before.
fn offer(number: u64) -> Value {
    let mut offer = bid();
    offer["amount"] = ghs(&(150_000 + number).to_string());
    offer["milestones"][0]["amount"] = ghs(&(100_000 + number).to_string());
    offer
}
