//! A stranger with kcat and a few lines of Python reads the topic and comes to the streams of our copy.

use std::{io::Write as _, path::PathBuf, process::Command, time::Duration};

use events::{Partition, Service, StreamId};

use super::support::{brokers, options, prefix, wait_until_equal};
use crate::log::{
    foreign::{assert_reads_the_same, contend},
    support::{append, commit, job},
};

/// kcat gives up at the first connection that is down, which passes on a busy machine. What it may have written by then is
/// written twice, and that changes nothing.
const ATTEMPTS: usize = 10;

/// kcat, aimed at the stack of the run.
fn kcat(arguments: &[&str]) -> Vec<u8> {
    let stack = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../compose/stack");
    let mut said = String::new();
    for _ in 0..ATTEMPTS {
        let output = Command::new(&stack).args(["tool", "kcat", "-q"]).args(arguments).output().unwrap();
        if output.status.success() {
            return output.stdout;
        }
        said = String::from_utf8_lossy(&output.stderr).into_owned();
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("kcat {arguments:?}: {said}");
}

/// Puts a record on a topic that no process of ours wrote.
fn put(topic: &str, partition: Partition, key: &str, headers: &[String], body: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(body).unwrap();
    let (number, path) = (partition.number.to_string(), file.path().display().to_string());
    let mut arguments = vec!["-P", "-t", topic, "-p", &number, "-k", key];
    for header in headers {
        arguments.extend(["-H", header]);
    }
    arguments.push(&path);
    kcat(&arguments);
}

#[test]
#[ignore = "needs the stack"]
fn a_stranger_with_kcat_comes_to_our_streams() {
    let (brokers, prefix) = (brokers(), prefix());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let logs = [0, 1].map(|node: usize| {
        let mut options = options(&brokers, &prefix, folders[node].path());
        options.kafka.partitions = 2;
        events::open(&options).unwrap()
    });
    let streams: Vec<StreamId> = (0..5).map(|_| job()).collect();
    contend(&logs, &streams, 8);
    let topic = format!("{prefix}.{}.events", Service::Jobs);
    let id = logs[0].id().to_string();
    let ours = [format!("guildhall-format={}", 1), format!("guildhall-log={id}")];
    let foreign = [ours[0].clone(), "guildhall-log=0".to_owned()];
    for partition in logs[0].partitions().into_iter().filter(|p| p.service == Service::Jobs) {
        put(&topic, partition, "nonsense", &ours, b"not json");
        let stranger = commit(job(), 1, 2);
        put(&topic, partition, &stranger.stream.to_string(), &foreign, &stranger.body);
        put(&topic, partition, &stranger.stream.to_string(), &[], &stranger.body);
        // Once more what stands there already, and a batch that begins at a version that is taken.
        for held in logs[0].read(partition, -1, crate::log::support::ALL).unwrap().iter().take(2) {
            let key = held.stream.to_string();
            put(&topic, partition, &key, &ours, &held.body);
            put(&topic, partition, &key, &ours, &commit(held.stream, 1, 50).body);
        }
    }
    for stream in &streams {
        let next = logs[0].head(*stream).unwrap() + 1;
        append(&logs[0], commit(*stream, next, 1)).unwrap();
    }
    wait_until_equal(&logs.clone());
    // The log's id is what the first record with the key "log" says.
    let identity = kcat(&["-C", "-t", &format!("{prefix}.log"), "-o", "beginning", "-e", "-f", "%k %s\n"]);
    let identity = String::from_utf8(identity).unwrap();
    let first = identity.lines().find_map(|line| line.strip_prefix("log ")).unwrap();
    assert_eq!(first, id);
    let mut lines = Vec::new();
    for service in Service::ALL {
        let topic = format!("{prefix}.{service}.events");
        lines.extend(kcat(&["-C", "-t", &topic, "-o", "beginning", "-e", "-J"]));
    }
    let told = assert_reads_the_same(&lines, &logs[0]);
    assert!(!told.contains(", 0 records did not"), "{told}");
}
