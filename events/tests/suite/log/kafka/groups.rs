//! How far readers are stands in the offsets of consumer groups, for the cluster's own tools.

use std::{path::PathBuf, process::Command, time::Duration};

use events::{Service, stream::BEFORE_FIRST};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    util::Timeout,
};

use super::support::{brokers, options, prefix, wait_until, wait_until_written};
use crate::log::support::{JOBS, append, commit, job};

/// What a group has committed for the first partition of jobs; `None`: nothing yet.
fn committed(brokers: &str, prefix: &str, reader: &str) -> Option<i64> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", format!("{prefix}.{reader}"));
    let client: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(&format!("{prefix}.{}.events", Service::Jobs), 0);
    let answer = client.committed_offsets(list, Timeout::After(Duration::from_secs(10))).ok()?;
    match answer.elements().first()?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// The offset that the next record of the first partition of jobs will get.
fn next_offset(brokers: &str, prefix: &str) -> i64 {
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let topic = format!("{prefix}.{}.events", Service::Jobs);
    client.fetch_watermarks(&topic, 0, Duration::from_secs(10)).unwrap().1
}

/// `CURRENT-OFFSET`, `LOG-END-OFFSET` and `LAG` as kafka-consumer-groups tells them.
fn described(group: &str) -> Option<[i64; 3]> {
    let stack = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../compose/stack");
    let mut tool = Command::new(stack);
    let output =
        tool.args(["tool", "kafka-consumer-groups", "--describe", "--group", group]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains(&format!(".{}.events", Service::Jobs)))?;
    let numbers: Vec<i64> = line.split_whitespace().skip(3).take(3).filter_map(|n| n.parse().ok()).collect();
    numbers.try_into().ok()
}

#[test]
#[ignore = "needs the stack"]
fn the_lag_of_a_reader_is_what_the_clusters_own_tools_say_it_is() {
    let (brokers, prefix) = (brokers(), prefix());
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&brokers, &prefix, folder.path());
    options.kafka.group_offsets_every = Some(Duration::from_millis(100));
    let log = events::open(&options).unwrap();
    let stream = job();
    let places: Vec<i64> =
        (1..=10).map(|version| append(&log, commit(stream, version, 1)).unwrap().position.offset).collect();
    let group = format!("{prefix}.board_v1");
    log.show_reader("board_v1", &[(JOBS, BEFORE_FIRST)]);
    wait_until("the beginning", || committed(&brokers, &prefix, "board_v1") == Some(0));
    log.show_reader("board_v1", &[(JOBS, places[5])]);
    wait_until("some of it", || committed(&brokers, &prefix, "board_v1") == Some(places[5] + 1));
    let last = places[9];
    assert_eq!(described(&group), Some([places[5] + 1, last + 1, last - places[5]]));
    assert_eq!(committed(&brokers, &prefix, "board_v2"), None, "each has its own");
    log.show_reader("board_v1", &[(JOBS, last)]);
    wait_until("all of it", || described(&group) == Some([last + 1, last + 1, 0]));
}

#[test]
#[ignore = "needs the stack"]
fn records_that_count_for_nobody_are_no_lag() {
    let (brokers, prefix) = (brokers(), prefix());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let logs = folders.each_ref().map(|folder| {
        let mut options = options(&brokers, &prefix, folder.path());
        options.kafka.group_offsets_every = Some(Duration::from_millis(100));
        events::open(&options).unwrap()
    });
    let mut commits = 0;
    // Both want to be the next; the record of the one who is too late stays on the topic, behind the other.
    while next_offset(&brokers, &prefix) <= logs[0].end(JOBS).unwrap() + 1 {
        let stream = job();
        let verdicts = std::thread::scope(|scope| {
            let both = logs.each_ref().map(|log| scope.spawn(|| append(log, commit(stream, 1, 1))));
            both.map(|one| one.join().unwrap())
        });
        commits += verdicts.iter().filter(|verdict| verdict.is_ok()).count();
        wait_until_written(&logs, commits);
    }
    let end = logs[0].end(JOBS).unwrap();
    logs[0].show_reader("board_v1", &[(JOBS, end)]);
    let group = format!("{prefix}.board_v1");
    wait_until("nothing is left to read", || described(&group).is_some_and(|[_, _, lag]| lag == 0));
    let [reached, _, _] = described(&group).unwrap();
    assert!(reached > end + 1, "{reached} of {end}");
}
