//! Topics that could lose or reorder history, or have, are refused with a sentence that names them and says what to do.

use std::path::Path;

use events::log::{LogError, LogOptions};
use tempfile::TempDir;

use super::{
    support::{brokers, options, prefix},
    topics::Operator,
};
use crate::log::support::{append, commit, job};

/// A log of its own, with nothing on the cluster yet.
struct Place {
    operator: Operator,
    prefix: String,
    jobs: String,
    brokers: String,
}

impl Place {
    fn new() -> Self {
        let (brokers, prefix) = (brokers(), prefix());
        let jobs = format!("{prefix}.jobs.events");
        Self { operator: Operator::of(&brokers), prefix, jobs, brokers }
    }

    fn options(&self, folder: &Path) -> LogOptions {
        options(&self.brokers, &self.prefix, folder)
    }

    /// The sentence with which the log is refused.
    fn refusal(&self, folder: &Path) -> String {
        match events::open(&self.options(folder)).map(drop) {
            Err(LogError::Refused(sentence)) => sentence,
            other => panic!("it was not refused: {other:?}"),
        }
    }

    /// A copy that holds this many commits of streams of their own.
    fn copy_with(&self, commits: usize) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let log = events::open(&self.options(folder.path())).unwrap();
        for _ in 0..commits {
            append(&log, commit(job(), 1, 1)).unwrap();
        }
        log.close();
        folder
    }
}

fn assert_says(sentence: &str, words: &[&str]) {
    for word in words {
        assert!(sentence.contains(word), "'{word}' is missing: {sentence}");
    }
}

#[test]
#[ignore = "needs the stack"]
fn a_topic_of_which_kafka_would_delete_or_merge_records_is_refused() {
    let wrong = [
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact,delete"),
        ("retention.ms", "604800000"),
        ("retention.bytes", "1000000"),
        ("unclean.leader.election.enable", "true"),
        ("max.message.bytes", "100000"),
        ("message.timestamp.before.max.ms", "1000"),
    ];
    for (setting, value) in wrong {
        let place = Place::new();
        place.operator.create(&place.jobs, 1, &[(setting, value)]);
        let folder = tempfile::tempdir().unwrap();
        let sentence = place.refusal(folder.path());
        assert_says(&sentence, &[&place.jobs, setting, value, "kafka-configs"]);
    }
}

#[test]
#[ignore = "needs the stack"]
fn a_topic_whose_settings_were_changed_is_refused_when_the_log_is_opened_again() {
    let place = Place::new();
    let copy = place.copy_with(1);
    place.operator.alter(&place.jobs, "retention.ms", "60000");
    assert_says(&place.refusal(copy.path()), &[&place.jobs, "retention", "60000"]);
}

#[test]
#[ignore = "needs the stack"]
fn a_topic_with_another_number_of_partitions_is_refused() {
    let place = Place::new();
    place.operator.create(&place.jobs, 2, &[]);
    let folder = tempfile::tempdir().unwrap();
    assert_says(&place.refusal(folder.path()), &[&place.jobs, "2 partitions", "must have 1"]);
}

#[test]
#[ignore = "needs the stack"]
fn a_topic_whose_beginning_was_deleted_is_refused_with_and_without_a_copy() {
    let place = Place::new();
    let copy = place.copy_with(3);
    place.operator.delete_records(&place.jobs, 2);
    let fresh = tempfile::tempdir().unwrap();
    for folder in [copy.path(), fresh.path()] {
        assert_says(&place.refusal(folder), &[&place.jobs, "offset 2", "deleted"]);
    }
}

#[test]
#[ignore = "needs the stack"]
fn a_topic_that_was_made_anew_is_refused_by_whoever_has_read_the_old_one() {
    let place = Place::new();
    let copy = place.copy_with(3);
    place.operator.delete(&place.jobs);
    assert_says(&place.refusal(copy.path()), &[&place.jobs, "gone"]);
    place.operator.create(&place.jobs, 1, &[]);
    assert_says(&place.refusal(copy.path()), &[&place.jobs, "lost history", "copy"]);
}

#[test]
#[ignore = "needs the stack"]
fn a_topic_that_is_as_long_as_it_was_but_not_what_it_was_is_refused() {
    let place = Place::new();
    let copy = place.copy_with(1);
    place.operator.delete(&place.jobs);
    place.operator.create(&place.jobs, 1, &[]);
    place.operator.write(&place.jobs, "job-1", &[("guildhall-log", "another")], b"[]");
    assert_says(&place.refusal(copy.path()), &[&place.jobs, "another"]);
    let fresh = tempfile::tempdir().unwrap();
    assert_says(&place.refusal(fresh.path()), &[&place.jobs, "another", "prefix"]);
}

#[test]
#[ignore = "needs the stack"]
fn a_topic_that_says_it_is_this_log_but_holds_other_records_than_the_copy_is_refused() {
    let place = Place::new();
    let copy = place.copy_with(1);
    let id = events::open(&place.options(copy.path())).map(|log| log.id().to_string()).unwrap();
    place.operator.delete(&place.jobs);
    place.operator.create(&place.jobs, 1, &[]);
    place.operator.write(&place.jobs, "job-1", &[("guildhall-log", &id)], b"[]");
    assert_says(&place.refusal(copy.path()), &["another record at jobs/0/0"]);
}

#[test]
#[ignore = "needs the stack"]
fn a_log_whose_identity_was_deleted_is_refused_with_and_without_a_copy() {
    let place = Place::new();
    let copy = place.copy_with(1);
    let identity = format!("{}.log", place.prefix);
    place.operator.delete(&identity);
    assert_says(&place.refusal(copy.path()), &[&identity, "gone"]);
    let fresh = tempfile::tempdir().unwrap();
    assert_says(&place.refusal(fresh.path()), &[&identity, "names no log", "identity was deleted"]);
}

#[test]
#[ignore = "needs the stack"]
fn a_copy_of_another_log_is_refused() {
    let (one, other) = (Place::new(), Place::new());
    let copy = one.copy_with(1);
    let _other = other.copy_with(1);
    assert_says(&other.refusal(copy.path()), &["a copy of log", &other.prefix, "another folder"]);
    let embedded = tempfile::tempdir().unwrap();
    let log = events::open(&LogOptions::embedded(embedded.path())).unwrap();
    append(&log, commit(job(), 1, 1)).unwrap();
    log.close();
    assert_says(&other.refusal(embedded.path()), &["a copy of log", &other.prefix]);
}

#[test]
#[ignore = "needs the stack"]
fn a_cluster_with_fewer_brokers_than_replicas_wanted_is_refused() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let mut options = place.options(folder.path());
    options.kafka.replication = Some(9);
    match events::open(&options).map(drop) {
        Err(LogError::Refused(sentence)) => assert_says(&sentence, &["9 replicas", &place.prefix]),
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn a_first_start_without_kafka_is_refused_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there.
    match events::open(&options("127.0.0.1:9", &prefix(), folder.path())).map(drop) {
        Err(LogError::Refused(sentence)) => assert_says(&sentence, &["127.0.0.1:9", "away", "is no copy"]),
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn a_copy_is_verified_without_the_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = events::open(&LogOptions::embedded(folder.path())).unwrap();
    append(&embedded, commit(job(), 1, 2)).unwrap();
    embedded.close();
    let read_only = LogOptions { read_only: true, ..options("127.0.0.1:9", &prefix(), folder.path()) };
    assert_eq!(events::open(&read_only).unwrap().verify().unwrap().events, 2);
}
