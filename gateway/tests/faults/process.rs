//! The real binary, started on a folder and stopped one way or the other.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use crate::harness::Client;

/// How to start it: a folder, the role, and settings beside those of all tests.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) folder: PathBuf,
    role: Vec<&'static str>,
    variables: Vec<(String, String)>,
}

pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
}

impl Setup {
    /// Everything in one process, on the folder.
    pub(crate) fn embedded(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), role: vec![], variables: vec![] }
    }

    /// A role of several processes that share the topics of `prefix`.
    pub(crate) fn on_kafka(folder: PathBuf, role: &[&'static str], brokers: &str, prefix: &str) -> Self {
        Self { folder, role: role.to_vec(), variables: vec![] }
            .with("LOG__URL", &format!("kafka://{brokers}"))
            .with("LOG__KAFKA__TOPIC_PREFIX", prefix)
            .with("LOG__KAFKA__PARTITIONS", "4")
    }

    /// With its read models in MongoDB, in databases that begin with `prefix`.
    pub(crate) fn on_mongodb(self, url: &str, prefix: &str) -> Self {
        self.with("READ_STORE__URL", url)
            .with("READ_STORE__DATABASE_PREFIX", prefix)
            .with("READ_STORE__CONNECTIONS_MIN", "0")
            // What a killed process held is another's soon.
            .with("WORKERS__LEASE_MS", "900")
            .with("WORKERS__HEARTBEAT_MS", "300")
    }

    /// Soon finds out that its read store is away, and that it is back.
    pub(crate) fn quick_to_notice(self) -> Self {
        self.with("READ_STORE__SELECTION_TIMEOUT_MS", "2000").with("WORKERS__BACKOFF_MAX_MS", "1000")
    }

    /// With one more setting.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((format!("GUILDHALL_{name}"), value.to_owned()));
        self
    }

    /// The binary with these settings, for a test that has to do with its process.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guildhall"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GUILDHALL_") {
                command.env_remove(name);
            }
        }
        std::fs::create_dir_all(&self.folder).unwrap();
        command
            .current_dir(&self.folder)
            .env("GUILDHALL_DATA", &self.folder)
            .env("GUILDHALL_LISTEN", "127.0.0.1:0")
            .env("GUILDHALL_PAYMENTS__PROVIDER", "none")
            .env("GUILDHALL_AUTH__ARGON2_MEMORY_KIB", "8")
            .env("GUILDHALL_AUTH__ARGON2_ITERATIONS", "1")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the binary to its end; what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, "")
    }

    /// The same, with something to read.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts serving, and returns when it does.
    pub(crate) async fn start(&self) -> Process {
        let mut command = self.command();
        let mut child =
            command.args(&self.role).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (found, address) = mpsc::channel();
        // Reads to the end, so that the server never waits for somebody to read its log.
        std::thread::spawn(move || {
            for line in lines {
                if let Some((_, rest)) = line.split_once("serving http://") {
                    // The test may have given up already.
                    let _ = found.send(rest.split_whitespace().next().unwrap().parse().unwrap());
                } else if line.contains("ERROR") || line.contains("panicked") || line.contains("guildhall: ")
                {
                    eprintln!("{line}");
                }
            }
        });
        let address = tokio::task::spawn_blocking(move || address.recv()).await.unwrap();
        match address {
            Ok(address) => Process { child, address },
            Err(_) => panic!("it did not start: {:?}", child.wait()),
        }
    }
}

impl Process {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Where it serves, for other programs.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns when it says that requests should come.
    pub(crate) async fn ready(&self) {
        let client = self.client();
        for _ in 0..1200 {
            let answer = client.call("GET", "/health/ready").send().await;
            if answer.status.is_success() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("it does not become ready: {}", client.call("GET", "/health/ready").send().await.raw);
    }

    /// Sends a signal: `STOP`, `CONT`, `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: finishes what it has begun, and ends well.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    /// A test that fails leaves nothing running; one that was killed or stopped is gone already.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
