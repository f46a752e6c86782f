//! The disk beneath MongoDB is full: its server dies of it, as MongoDB's do, and is started again once there is room, as whoever
//! keeps servers running does it. Commands are taken all the while, nothing is lost, and everything recovers by itself.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    TURN, crash,
    driver::member,
    mongo_away::{keep_posting, post, until_read, until_refused},
    process::Setup,
    stack::{databases, fresh_databases, mongodb},
};

/// What the disk of a server holds: what it takes from the start, and little more.
const DISK: &str = "size=600m";
/// How long there is no room, once the server was found to be gone.
const FULL: Duration = Duration::from_secs(5);

/// A file system of its own, as small as it is said, gone with the value.
struct SmallDisk(tempfile::TempDir);

fn as_root(arguments: &[&str]) -> bool {
    let (program, rest) = arguments.split_first().unwrap();
    let direct = Command::new(program).args(rest).output();
    let done = |output: std::io::Result<Output>| output.is_ok_and(|output| output.status.success());
    done(direct) || done(Command::new("sudo").arg("-n").args(arguments).output())
}

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let options = format!("{DISK},mode=1777");
        let mounted = as_root(&["mount", "-t", "tmpfs", "-o", &options, "none", path]);
        assert!(mounted, "this test mounts a small file system: run it as root, or let sudo do it unasked");
        Self(folder)
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Leaves no byte.
    fn fill(&self) {
        let mut filler = File::options().append(true).create(true).open(self.filler()).unwrap();
        let zeros = vec![0; 64 * 1024];
        while filler.write_all(&zeros).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if !as_root(&["umount", self.0.path().to_str().unwrap()]) {
            eprintln!("{} is still mounted", self.0.path().display());
        }
    }
}

/// A MongoDB of one member whose data lie on this disk.
struct Server<'d> {
    disk: &'d SmallDisk,
    url: String,
}

impl<'d> Server<'d> {
    fn start(disk: &'d SmallDisk) -> Self {
        // Whoever has no stack at all is told so by its own sentence.
        mongodb();
        let mut server = Self { disk, url: String::new() };
        assert!(server.stack(&["up", "--only", "mongo"]).status.success());
        let settings = String::from_utf8(server.stack(&["env"]).stdout).unwrap();
        let url = settings.lines().find_map(|line| line.strip_prefix("export GUILDHALL_STACK_MONGO="));
        server.url = url.unwrap().trim_matches('\'').to_owned();
        server
    }

    fn stack(&self, arguments: &[&str]) -> Output {
        let mut stack = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose/stack"));
        stack.env("TMPDIR", self.disk.0.path()).args(arguments).args(["--name", "full"]).output().unwrap()
    }

    fn runs(&self) -> bool {
        String::from_utf8(self.stack(&["status"]).stdout).unwrap().contains("running")
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        self.stack(&["down"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn while_the_disk_of_mongodb_is_full_commands_go_on_and_everything_recovers_by_itself() {
    let _turn = TURN.lock().await;
    let disk = SmallDisk::mount();
    let server = Server::start(&disk);
    let (prefix, folder) = (fresh_databases(), tempfile::tempdir().unwrap());
    let setup = Setup::embedded(folder.path()).on_mongodb(&server.url, &prefix).quick_to_notice();
    let process = setup.start().await;
    process.ready().await;
    let client = process.client();
    let owner = member(&client, "owner", "client").await;
    let first = post(&client, &owner, 3).await;
    until_read(&client, &owner, &first).await;

    let ended = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(keep_posting(client.clone(), owner.clone(), Arc::clone(&ended)));
    let began = Instant::now();
    // What the server gives back in its last moments is taken as well.
    while server.runs() {
        disk.fill();
        assert!(began.elapsed() < Duration::from_secs(300), "the server does without a disk");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let died = began.elapsed();
    until_refused(&client, &owner, &first[0]).await;
    assert!(!server.stack(&["start", "mongo-1"]).status.success(), "there is no room to start in");
    tokio::time::sleep(FULL).await;
    disk.free();
    assert!(server.stack(&["start", "mongo-1"]).status.success());
    let returned = Instant::now();
    until_read(&client, &owner, &first).await;
    let read = returned.elapsed();
    ended.store(true, Ordering::SeqCst);
    let posted = load.await.unwrap();
    until_read(&client, &owner, &posted).await;
    eprintln!(
        "the server died {:.1} s after the disk was full; read again {:.2} s after it was back, all {} jobs posted meanwhile after {:.2} s",
        died.as_secs_f64(),
        read.as_secs_f64(),
        posted.len(),
        returned.elapsed().as_secs_f64()
    );
    process.ready().await;
    process.stop();
    crash::rebuilt_read_models_are_the_same(folder.path(), &databases(&server.url, &prefix)).await;
}
