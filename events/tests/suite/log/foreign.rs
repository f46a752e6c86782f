//! A reader that is not ours, `docs/read_topics.py`, comes to the same streams by the documented rule alone.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use events::{
    StreamId, Version,
    envelope::parse_body,
    log::{
        AppendError, EventLog, LogOptions,
        simulated::{SimulatedBroker, SimulatedFaults},
    },
};
use serde_json::{Value, json};

use super::support::{append, commit, history, job};

/// Event ids, versions and data, by stream.
type Streams = BTreeMap<String, Vec<(u64, String, Value)>>;

/// What the stranger makes of records as kcat prints them, and what it says of their number.
fn read(lines: &[u8], log: &str) -> (Streams, String) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/read_topics.py");
    let mut reader = Command::new("python3");
    reader.arg(script).args(["--log", log]);
    reader.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = reader.spawn().expect("python3 is there: the stack needs it, too");
    let mut input = child.stdin.take().unwrap();
    let lines = lines.to_vec();
    let feeding = std::thread::spawn(move || input.write_all(&lines));
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    feeding.join().unwrap().unwrap();
    let mut streams = Streams::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Value = serde_json::from_slice(line).unwrap();
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        let version = event["streamversion"].as_u64().unwrap();
        streams.entry(text("subject")).or_default().push((version, text("id"), event["data"].clone()));
    }
    (streams, told)
}

/// What our copy holds.
fn held(log: &Arc<dyn EventLog>) -> Streams {
    let mut streams = Streams::new();
    for partition in log.partitions() {
        for commit in history(log, partition) {
            for event in parse_body(&commit.body).unwrap() {
                let data = serde_json::from_str(event.data.get()).unwrap();
                let of = streams.entry(commit.stream.to_string()).or_default();
                of.push((event.streamversion, event.id.to_string(), data));
            }
        }
    }
    streams
}

/// The stranger's streams are those of our copy.
pub(crate) fn assert_reads_the_same(lines: &[u8], log: &Arc<dyn EventLog>) -> String {
    let (read, told) = read(lines, &log.id().to_string());
    let held = held(log);
    assert!(!held.is_empty());
    assert_eq!(read, held);
    told
}

/// Two writers that are in each other's way until both have won.
pub(crate) fn contend(logs: &[Arc<dyn EventLog>; 2], streams: &[StreamId], wins: usize) {
    std::thread::scope(|scope| {
        for log in logs {
            for stream in streams {
                scope.spawn(move || {
                    let (mut won, mut next) = (0, 1);
                    while won < wins {
                        match append(log, commit(*stream, next, 1 + next as u32 % 3)) {
                            Ok(_) => won += 1,
                            Err(AppendError::Conflict { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                        next = log.head(*stream).unwrap() + 1;
                    }
                });
            }
        }
    });
}

/// A record as `kcat -J` prints it.
fn line(key: &str, format: u16, log: &str, body: &[u8]) -> Vec<u8> {
    let mut headers = vec!["guildhall-log".to_owned(), log.to_owned()];
    if format > 0 {
        headers.splice(0..0, ["guildhall-format".to_owned(), format.to_string()]);
    }
    let record = json!({ "headers": headers, "key": key, "payload": String::from_utf8_lossy(body) });
    let mut line = serde_json::to_vec(&record).unwrap();
    line.push(b'\n');
    line
}

#[test]
fn a_stranger_comes_to_our_streams_over_duplicates_voids_and_what_is_no_commit() {
    let faults =
        SimulatedFaults { duplicated: 200, delayed: 300, lied: 100, gaps: 100, ..Default::default() };
    let broker = SimulatedBroker::new(23, 2, faults);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let logs = [0, 1].map(|node: usize| broker.open(&LogOptions::embedded(folders[node].path())).unwrap());
    let streams: Vec<StreamId> = (0..6).map(|_| job()).collect();
    contend(&logs, &streams, 10);
    broker.land();
    broker.set_faults(SimulatedFaults::default());
    for partition in broker.partitions() {
        for (key, format, body) in [
            ("nonsense", 1, b"not json".to_vec()),
            ("nonsense", 1, b"[]".to_vec()),
            ("nonsense", 0, commit(job(), 1, 1).body),
            ("a key that is not the stream", 1, commit(job(), 1, 1).body),
            ("nonsense", 1, vec![0xff, 0xfe, b'\n']),
        ] {
            broker.inject(partition, key, format, &body);
        }
    }
    // A batch that begins at a version that is taken and goes on beyond the head is void as a whole.
    let head: Version = logs[0].head(streams[0]).unwrap();
    let late = commit(streams[0], head, 4);
    let home = *broker
        .partitions()
        .iter()
        .find(|p| broker.dump(**p).iter().any(|r| r.1 == streams[0].to_string()))
        .unwrap();
    broker.inject(home, &streams[0].to_string(), broker.format(), &late.body);
    // Both copies have judged all of it when a last commit of each is judged in every partition.
    for log in &logs {
        for stream in &streams {
            let next = log.head(*stream).unwrap() + 1;
            let _ = append(log, commit(*stream, next, 1));
        }
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while logs.iter().any(|log| log.status().behind > 0) || held(&logs[0]) != held(&logs[1]) {
        assert!(std::time::Instant::now() < deadline, "the copies never became equal");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = logs[0].id().to_string();
    let mut lines = Vec::new();
    let mut records = 0;
    for partition in broker.partitions() {
        for (_, key, format, body) in broker.dump(partition) {
            records += 1;
            lines.extend(line(&key, format, &id, &body));
        }
        lines.extend(line("job", 1, "another log", &commit(job(), 1, 1).body));
        lines.extend(b"no record at all\n");
    }
    let told = assert_reads_the_same(&lines, &logs[0]);
    let commits: usize = logs[0].partitions().iter().map(|p| history(&logs[0], *p).len()).sum();
    assert!(commits < records, "some were void");
    assert!(told.starts_with(&format!("{commits} commits counted")), "{told}");
}
