//! Kafka and MongoDB for these tests: the stack of the run, and three of each of our own, which may be lost.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use projections::{MongoOptions, StoreOptions};
use tokio::sync::OnceCell;

/// The brokers of the stack under which the tests run.
pub(crate) fn brokers() -> String {
    of_stack("GUILDHALL_STACK_KAFKA")
}

/// The url of its MongoDB.
pub(crate) fn mongodb() -> String {
    of_stack("GUILDHALL_STACK_MONGO")
}

fn of_stack(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        let missing = std::env::var("GUILDHALL_STACK_MISSING").unwrap_or_else(|_| "there is no stack".into());
        panic!("needs the stack: run the tests under `compose/stack run --only kafka,mongo` ({missing})")
    })
}

/// The read store in databases at `url` that begin with `prefix`.
pub(crate) fn databases(url: &str, prefix: &str) -> StoreOptions {
    let mongodb = MongoOptions { database_prefix: prefix.to_owned(), ..MongoOptions::default() };
    StoreOptions { mongodb, ..StoreOptions::at(url) }
}

/// The first word of databases that no other test uses.
pub(crate) fn fresh_databases() -> String {
    let uuid = uuid::Uuid::now_v7().simple().to_string();
    format!("f{}", &uuid[12..])
}

/// Topics that no other test uses.
pub(crate) fn fresh_prefix() -> String {
    format!("faults-{}", uuid::Uuid::now_v7().simple())
}

/// Three brokers, or three members of a replica set, for all tests of this process.
pub(crate) struct Stack {
    name: String,
    /// Kafka's brokers, or the url of MongoDB.
    pub(crate) brokers: String,
    /// Ends with our end of its standard input, and with it the stack: also when the tests are killed.
    _run: Child,
}

static OURS: OnceCell<Stack> = OnceCell::const_new();
static MEMBERS: OnceCell<Stack> = OnceCell::const_new();

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose/stack")
}

impl Stack {
    pub(crate) async fn of_three() -> &'static Self {
        // Whoever has no stack at all is told so by its own sentence.
        brokers();
        let start = || Self::start("kafka", "--brokers", "$GUILDHALL_STACK_KAFKA");
        OURS.get_or_init(|| async { tokio::task::spawn_blocking(start).await.unwrap() }).await
    }

    /// Three members of a replica set.
    pub(crate) async fn of_three_members() -> &'static Self {
        mongodb();
        let start = || Self::start("mongo", "--mongo", "$GUILDHALL_STACK_MONGO");
        MEMBERS.get_or_init(|| async { tokio::task::spawn_blocking(start).await.unwrap() }).await
    }

    fn start(server: &str, number: &str, address: &str) -> Self {
        let name = format!("faults-{server}-{}", std::process::id());
        let mut run = Command::new(script())
            .args(["run", "--name", &name, number, "3", "--only", server, "--"])
            .args(["sh", "-c", &format!("echo {address}; exec cat >/dev/null")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.trim().is_empty(), "three servers do not start: {:?}", run.wait());
        Self { name, brokers: line.trim().to_owned(), _run: run }
    }

    /// `kill`, `start`, `pause` or `resume` of a broker; returns when it is done.
    pub(crate) async fn fault(&self, act: &'static str, broker: u32) {
        self.fault_of(act, format!("kafka-{broker}")).await;
    }

    /// The same of a member of the replica set.
    pub(crate) async fn member_fault(&self, act: &'static str, member: u32) {
        self.fault_of(act, format!("mongo-{member}")).await;
    }

    async fn fault_of(&self, act: &'static str, server: String) {
        let (name, what) = (self.name.clone(), format!("{act} of {server}"));
        let done = tokio::task::spawn_blocking(move || {
            Command::new(script()).args([act, "--name", &name, &server]).status().unwrap()
        });
        assert!(done.await.unwrap().success(), "{what}");
    }

    /// The broker that leads most partitions of `topic`.
    pub(crate) async fn leader(&self, topic: &str) -> u32 {
        let (name, topic) = (self.name.clone(), topic.to_owned());
        let described = tokio::task::spawn_blocking(move || {
            let mut tool = Command::new(script());
            tool.args(["tool", "--name", &name, "kafka-topics", "--describe", "--topic", &topic]);
            String::from_utf8(tool.output().unwrap().stdout).unwrap()
        });
        let described = described.await.unwrap();
        let leaders: Vec<u32> = described
            .split("Leader: ")
            .skip(1)
            .filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
            .collect();
        let count = |broker: u32| leaders.iter().filter(|leader| **leader == broker).count();
        (1..=3).max_by_key(|broker| count(*broker)).filter(|broker| count(*broker) > 0).expect(&described)
    }
}
