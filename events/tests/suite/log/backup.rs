//! A node's files, copied while it writes them: another node starts from the copy and goes on from there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use events::{
    ids::AccountId,
    keys::{KeyRing, MasterKey},
    log::{
        EventLog, LogError, LogOptions, backup,
        simulated::{SimulatedBroker, SimulatedFaults},
    },
    personal::{Opened, Personal},
};
use tempfile::TempDir;

use super::support::{JOBS, append, commit, history, job, wait_until_seen};

fn options(folder: &TempDir) -> LogOptions {
    LogOptions { republish_after: Duration::from_millis(5), ..LogOptions::embedded(folder.path()) }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Waits until the copy holds all of a partition on which nothing more is published: a last commit by this very process.
/// What may stand behind it are repetitions.
fn catch_up(log: &Arc<dyn EventLog>) {
    let last = append(log, commit(job(), 1, 1)).unwrap();
    wait_until_seen(log, last.position);
}

/// Writes to `log` until the scope's work is done.
fn while_written<T>(log: &Arc<dyn EventLog>, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let stream = job();
                let mut version = 0;
                while !stop.load(Ordering::Relaxed) {
                    version += 1;
                    append(log, commit(stream, version, 1)).unwrap();
                }
            });
        }
        while log.end(JOBS).unwrap() < 100 {
            std::thread::yield_now();
        }
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    })
}

#[test]
fn a_node_that_starts_from_a_copy_of_a_running_one_goes_on_from_there() {
    let broker = SimulatedBroker::new(3, 1, SimulatedFaults::default());
    let folders = [folder(), folder()];
    let running = broker.open(&options(&folders[0])).unwrap();
    let copied = while_written(&running, || backup(folders[0].path(), folders[1].path()).unwrap());
    assert_eq!(copied.log, running.id());
    let end = copied.ends.iter().find(|end| end.partition == JOBS).unwrap().offset;
    assert!(end > 50, "the copy holds what the running node had judged: {end}");
    let started = broker.open(&options(&folders[1])).unwrap();
    assert!(started.end(JOBS).unwrap() >= end, "it does not begin anew");
    catch_up(&started);
    catch_up(&running);
    let (mut one, two) = (history(&running, JOBS), history(&started, JOBS));
    one.truncate(two.len());
    assert_eq!(one, two, "positions, chains, bodies");
    // Both write from now on.
    let stream = job();
    append(&started, commit(stream, 1, 1)).unwrap();
    append(&running, commit(job(), 1, 1)).unwrap();
    started.verify().unwrap();
}

#[test]
fn a_backup_of_an_embedded_log_is_one_moment_of_it_with_its_keys() {
    let folders = [folder(), folder()];
    let master = MasterKey::from_hex(&"5a17".repeat(16)).unwrap();
    let person = AccountId::fresh();
    let name = {
        let keys = KeyRing::open(&folders[0].path().join("keys.db"), &master).unwrap();
        Personal::seal(&keys, person, &"Ama".to_owned()).unwrap()
    };
    let log = events::open(&LogOptions::embedded(folders[0].path())).unwrap();
    let copied = while_written(&log, || backup(folders[0].path(), folders[1].path()).unwrap());
    assert!(copied.keys);
    let restored = events::open(&LogOptions::embedded(folders[1].path())).unwrap();
    assert_eq!(restored.id(), log.id());
    let commits = history(&restored, JOBS);
    assert!(commits.len() > 100);
    assert_eq!(commits, history(&log, JOBS)[..commits.len()]);
    restored.verify().unwrap();
    let keys = KeyRing::open(&folders[1].path().join("keys.db"), &master).unwrap();
    assert_eq!(name.open(&keys), Ok(Opened::Value("Ama".to_owned())));
    #[cfg(unix)]
    {
        let mode = std::fs::metadata(folders[1].path().join("keys.db")).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o077, 0, "only its owner may read it");
    }
}

#[test]
fn a_folder_that_holds_a_log_is_never_written_over() {
    let folders = [folder(), folder(), folder()];
    let logs =
        [&folders[0], &folders[1]].map(|folder| events::open(&LogOptions::embedded(folder.path())).unwrap());
    append(&logs[0], commit(job(), 1, 1)).unwrap();
    let refused = backup(folders[0].path(), folders[1].path());
    assert!(
        matches!(&refused, Err(LogError::Refused(reason)) if reason.contains("already holds log.db")),
        "{refused:?}"
    );
    let refused = backup(folders[2].path(), &folders[2].path().join("new"));
    assert!(
        matches!(&refused, Err(LogError::Refused(reason)) if reason.contains("there is no log")),
        "{refused:?}"
    );
}
