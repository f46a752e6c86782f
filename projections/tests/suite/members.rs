//! MongoDB for these tests: the stack of the run, and a replica set of three of our own, which may lose members.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use mongodb::{Client, bson::doc};

/// The url of the stack under which the tests run.
pub(crate) fn of_stack() -> String {
    std::env::var("GUILDHALL_STACK_MONGO").unwrap_or_else(|_| {
        let missing = std::env::var("GUILDHALL_STACK_MISSING").unwrap_or_else(|_| "there is no stack".into());
        panic!("needs the stack: run the tests under `compose/stack run --only mongo` ({missing})")
    })
}

/// Three members, for all tests of this process.
pub(crate) struct Members {
    name: String,
    pub(crate) url: String,
    /// Ends with our end of its standard input, and with it the stack: also when the tests are killed.
    _run: Child,
}

static OURS: OnceLock<Members> = OnceLock::new();

/// Two that take a member away at once leave no majority.
static HARM: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose/stack")
}

/// A replica set of three: that of the run when it has three, else one that is started for these tests.
pub(crate) fn of_three() -> &'static Members {
    // Whoever has no stack at all is told so by its own sentence.
    of_stack();
    OURS.get_or_init(Members::start)
}

/// Whoever takes a member away holds what this returns meanwhile. A new set has one vote at first: until all have theirs, nobody
/// takes the place of a primary that goes.
pub(crate) async fn to_harm() -> tokio::sync::MutexGuard<'static, ()> {
    let alone = HARM.lock().await;
    let client = Client::with_uri_str(&of_three().url).await.unwrap();
    loop {
        let status = client.database("admin").run_command(doc! { "replSetGetStatus": 1 }).await;
        if status.is_ok_and(|status| status.get_i32("votingMembersCount").is_ok_and(|votes| votes == 3)) {
            return alone;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

impl Members {
    fn start() -> Self {
        let name = format!("members-{}", std::process::id());
        let mut run = Command::new(script())
            .args(["run", "--name", &name, "--mongo", "3", "--only", "mongo", "--"])
            .args(["sh", "-c", "echo $GUILDHALL_STACK_MONGO; exec cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.trim().is_empty(), "three members do not start: {:?}", run.wait());
        Self { name, url: line.trim().to_owned(), _run: run }
    }

    /// `kill`, `start`, `pause` or `resume` of a member; returns when it is done.
    pub(crate) async fn fault(&self, act: &'static str, member: u32) {
        let name = self.name.clone();
        let done = tokio::task::spawn_blocking(move || {
            Command::new(script()).args([act, "--name", &name, &format!("mongo-{member}")]).status().unwrap()
        });
        assert!(done.await.unwrap().success(), "{act} of member {member}");
    }

    /// The number of the member that is the primary.
    pub(crate) async fn primary(&self) -> u32 {
        let client = Client::with_uri_str(&self.url).await.unwrap();
        let hello = client.database("admin").run_command(doc! { "hello": 1 }).await.unwrap();
        let primary = hello.get_str("primary").unwrap();
        let hosts = self.url.trim_start_matches("mongodb://").split('/').next().unwrap();
        let place = hosts.split(',').position(|host| host == primary).expect("the primary is in the url");
        u32::try_from(place).unwrap() + 1
    }
}

/// A server that belongs to no replica set.
pub(crate) struct Standalone {
    pub(crate) url: String,
    process: Child,
    _data: tempfile::TempDir,
}

impl Standalone {
    /// Starts the mongod of the stack once more, without a set.
    pub(crate) async fn start() -> Self {
        of_stack();
        let data = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(mongod())
            .args(["--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet", "--wiredTigerCacheSizeGB", "0.25"])
            .args(["--port", &port.to_string(), "--dbpath", data.path().to_str().unwrap()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { url: format!("mongodb://127.0.0.1:{port}/"), process, _data: data };
        let client = Client::with_uri_str(format!("{}?directConnection=true", server.url)).await.unwrap();
        client.database("admin").run_command(doc! { "ping": 1 }).await.expect("the server has not started");
        server
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program that the stack runs, as it says in its state.
fn mongod() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"));
    let kept = std::fs::read_dir(cache.join("guildhall-stack")).unwrap().map(|entry| entry.unwrap().path());
    let mut programs = kept.map(|folder| folder.join("mongod")).filter(|program| program.is_file());
    programs
        .next()
        .expect("the stack has fetched mongod; with Docker there is none, and this test cannot run")
}

/// Drops every database of a read store.
pub(crate) async fn drop_databases(url: &str, prefix: &str) {
    let client = Client::with_uri_str(url).await.unwrap();
    for name in client.list_database_names().await.unwrap() {
        if name.starts_with(prefix) {
            client.database(&name).drop().await.unwrap();
        }
    }
}
