//! A driver from outside: walks job after job through its life, notes every acknowledgement, and after a crash repeats
//! what was not acknowledged with the same `Idempotency-Key`.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::{Client, Member, PASSWORD, Reply, bid, job};

/// One command, as it can be repeated.
#[derive(Clone)]
pub(crate) struct Operation {
    path: String,
    key: String,
    token: String,
    body: Option<Value>,
}

/// A command that was answered well, with the answer.
pub(crate) struct Acknowledged {
    pub(crate) operation: Operation,
    pub(crate) answer: String,
}

/// What is known of one job.
pub(crate) struct Trail {
    pub(crate) client: Member,
    pub(crate) job: String,
    pub(crate) job_version: u64,
    pub(crate) bid: Option<String>,
    pub(crate) contract: Option<String>,
    pub(crate) acknowledged: Vec<Acknowledged>,
}

pub(crate) struct Driver {
    client: Member,
    worker: Member,
    number: usize,
    /// Acknowledgements that all drivers have had.
    count: Arc<watch::Sender<u64>>,
    /// The command under way, not acknowledged yet.
    pending: Option<Operation>,
    step: Step,
    trails: Vec<Trail>,
}

/// What comes next in the life of a job.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Step {
    Create,
    Publish,
    Bid,
    Accept,
    Sign,
}

impl Operation {
    pub(crate) async fn send(
        &self,
        client: &Client,
    ) -> Result<Reply, Box<dyn std::error::Error + Send + Sync>> {
        let call = client.call("POST", &self.path).token(&self.token).key(&self.key);
        match &self.body {
            Some(body) => call.json(body).try_send().await,
            None => call.try_send().await,
        }
    }
}

impl Driver {
    pub(crate) async fn new(client: &Client, number: usize, count: Arc<watch::Sender<u64>>) -> Self {
        let owner = member(client, &format!("client-{number}"), "client").await;
        let worker = member(client, &format!("worker-{number}"), "worker").await;
        Self { client: owner, worker, number, count, pending: None, step: Step::Create, trails: Vec::new() }
    }

    /// Goes on until the server is gone; with `until`, until that step is next.
    pub(crate) async fn run(mut self, client: Client, until: Option<Step>) -> Self {
        while until.is_none_or(|step| self.pending.is_some() || self.step != step) {
            let operation = self.pending.take().unwrap_or_else(|| self.next());
            self.pending = Some(operation.clone());
            let Ok(reply) = operation.send(&client).await else {
                if until.is_some() {
                    continue;
                }
                return self;
            };
            if reply.status.is_success() {
                self.pending = None;
                self.count.send_modify(|count| *count += 1);
                self.acknowledge(operation, &reply);
            } else if !may_be_repeated(&reply) {
                panic!("{} was refused: {}", operation.path, reply.raw);
            }
        }
        self
    }

    /// Brings what is under way to its end.
    pub(crate) async fn finish(self, client: Client) -> Vec<Trail> {
        self.run(client, Some(Step::Create)).await.trails
    }

    fn next(&self) -> Operation {
        let count = self.trails.len();
        let key = |step: &str, count: usize| format!("{}-{count}-{step}", self.number);
        let operation = |path: String, key: String, member: &Member, body: Option<Value>| Operation {
            path,
            key,
            token: member.token.clone(),
            body,
        };
        if self.step == Step::Create {
            let mut body = job();
            body["title"] = format!("Job {count} of {}", self.number).into();
            return operation("/api/v1/jobs".into(), key("create", count), &self.client, Some(body));
        }
        let trail = self.trails.last().unwrap();
        let path = format!("/api/v1/jobs/{}", trail.job);
        match self.step {
            Step::Create => unreachable!("answered above"),
            Step::Publish => operation(format!("{path}/publish"), key("publish", count), &self.client, None),
            Step::Bid => operation(format!("{path}/bids"), key("bid", count), &self.worker, Some(bid())),
            Step::Accept => {
                let bid = trail.bid.as_ref().unwrap();
                operation(format!("{path}/bids/{bid}/accept"), key("accept", count), &self.client, None)
            }
            Step::Sign => {
                let contract = trail.contract.as_ref().unwrap();
                operation(
                    format!("/api/v1/contracts/{contract}/sign"),
                    key("sign", count),
                    &self.worker,
                    None,
                )
            }
        }
    }

    fn acknowledge(&mut self, operation: Operation, reply: &Reply) {
        if self.step == Step::Create {
            self.trails.push(Trail {
                client: self.client.clone(),
                job: reply.text("/job"),
                job_version: 0,
                bid: None,
                contract: None,
                acknowledged: Vec::new(),
            });
        }
        let trail = self.trails.last_mut().unwrap();
        if self.step != Step::Sign {
            trail.job_version += 1;
            assert_eq!(reply.body["version"], trail.job_version, "{}", reply.raw);
        }
        trail.acknowledged.push(Acknowledged { operation, answer: reply.raw.clone() });
        self.step = match self.step {
            Step::Create => Step::Publish,
            Step::Publish => Step::Bid,
            Step::Bid => {
                trail.bid = Some(reply.text("/bid"));
                Step::Accept
            }
            Step::Accept => {
                trail.contract = Some(reply.text("/contract"));
                Step::Sign
            }
            Step::Sign => Step::Create,
        };
    }
}

/// Not now, but later: an outage, or a contract that its manager has not proposed yet.
fn may_be_repeated(reply: &Reply) -> bool {
    reply.status == http::StatusCode::SERVICE_UNAVAILABLE || reply.text("/code") == "contract_not_found"
}

pub(crate) async fn member(client: &Client, name: &str, role: &str) -> Member {
    let email = format!("{name}@example.com");
    let newcomer = json!({ "email": email, "password": PASSWORD, "display_name": name, "roles": [role] });
    let registered = client.call("POST", "/api/v1/auth/register").json(&newcomer).send().await;
    registered.expect(http::StatusCode::CREATED);
    let credentials = json!({ "email": email, "password": PASSWORD });
    let reply = client.call("POST", "/api/v1/auth/login").json(&credentials).send().await;
    let reply = reply.expect(http::StatusCode::OK);
    Member {
        account: reply.text("/account"),
        session: reply.text("/session"),
        token: reply.text("/access_token"),
    }
}
