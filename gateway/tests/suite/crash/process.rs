//! The real binary, started on a folder and stopped one way or the other.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use crate::harness::Client;

pub(super) struct Process {
    child: Child,
    address: SocketAddr,
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guildhall"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GUILDHALL_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .env("GUILDHALL_DATA", folder)
        .env("GUILDHALL_LISTEN", "127.0.0.1:0")
        .env("GUILDHALL_AUTH__ARGON2_MEMORY_KIB", "8")
        .env("GUILDHALL_AUTH__ARGON2_ITERATIONS", "1")
        .stdin(Stdio::null());
    command
}

/// Runs a command of the binary to its end; what it printed.
pub(super) fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = command(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Process {
    /// Starts serving, and returns when it does.
    pub(super) async fn start(folder: &Path) -> Self {
        let mut child = command(folder).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (found, address) = mpsc::channel();
        // Reads to the end, so that the server never waits for somebody to read its log.
        std::thread::spawn(move || {
            for line in lines {
                if let Some((_, rest)) = line.split_once("serving http://") {
                    // The test may have given up already.
                    let _ = found.send(rest.split_whitespace().next().unwrap().parse().unwrap());
                } else if line.contains("ERROR") || line.contains("panicked") {
                    eprintln!("{line}");
                }
            }
        });
        let address = tokio::task::spawn_blocking(move || address.recv()).await.unwrap();
        match address {
            Ok(address) => Self { child, address },
            Err(_) => panic!("it did not start: {:?}", child.wait()),
        }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// `kill -9`.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: finishes what it has begun, and ends well.
    pub(super) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}
