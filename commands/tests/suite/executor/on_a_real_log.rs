//! The executor over the embedded log: many clients, few streams, repetitions and restarts.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use commands::{CommandError, Executor, ExecutorSettings, Policy, Request};
use events::{
    Category, StreamId,
    ids::{CommandId, JobId},
    log::{EventLog, LogOptions},
    time::DomainClock,
};

use super::counter::{Count, Counter, request};

fn open(folder: &Path) -> (Arc<dyn EventLog>, Executor) {
    let log = events::open(&LogOptions::embedded(folder)).expect("opens");
    let settings = ExecutorSettings::default();
    let clock = DomainClock::default();
    let executor = Executor::start(Arc::clone(&log), Arc::new(Policy::default()), clock, None, settings);
    (log, executor)
}

/// Every command a client sends, and the version it was acknowledged with; every third is sent twice.
async fn client(executor: Executor, ids: Vec<JobId>, number: usize) -> Vec<(Request<Counter>, Option<u64>)> {
    let mut sent = Vec::new();
    for round in 0..60 {
        let id = ids[(number + round) % ids.len()];
        let by = i64::from(round % 7 == 0) * 3 - 1;
        let command = request(id, Count::Add(by));
        let mut answer = executor.execute(command.clone()).await;
        if round % 3 == 0 {
            let again = executor.execute(command.clone()).await;
            if let (Ok(first), Ok(second)) = (&answer, &again) {
                assert_eq!((first.version, &first.events), (second.version, &second.events));
                assert!(second.repeated);
            }
            answer = again;
        }
        let version = match answer {
            Ok(outcome) => Some(outcome.version),
            Err(CommandError::Rejected(_)) => None,
            Err(error) => panic!("{error}"),
        };
        sent.push((command, version));
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_and_in_order_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let ids: Vec<JobId> = (0..5).map(|_| JobId::fresh()).collect();
    let (log, executor) = open(folder.path());
    let clients: Vec<_> =
        (0..16).map(|number| tokio::spawn(client(executor.clone(), ids.clone(), number))).collect();
    let mut acknowledged: BTreeMap<CommandId, (JobId, u64, Request<Counter>)> = BTreeMap::new();
    for client in clients {
        for (command, version) in client.await.expect("joins") {
            if let Some(version) = version {
                acknowledged.insert(command.command_id, (command.id, version, command));
            }
        }
    }
    executor.close(std::time::Duration::from_secs(5)).await;
    log.close();
    drop((executor, log));

    let (log, executor) = open(folder.path());
    let mut events = 0;
    for id in &ids {
        let stream = StreamId::new(Category::TestClock, *id);
        let mut seen = BTreeMap::new();
        for commit in log.load(stream, 0, usize::MAX).expect("loads") {
            for event in commit.events().expect("parses") {
                let event = event.expect("decodes");
                assert_eq!(event.version, seen.len() as u64 + 1, "versions are dense");
                seen.insert(event.version, event.stamp.command_id);
            }
        }
        let commands: std::collections::BTreeSet<_> = seen.values().collect();
        assert_eq!(commands.len(), seen.len(), "no command wrote twice");
        for (command, (_, version, _)) in acknowledged.iter().filter(|(_, (on, ..))| on == id) {
            assert_eq!(
                seen.get(version),
                Some(command),
                "an acknowledged command stands where it was said to"
            );
        }
        events += seen.len();
    }
    assert_eq!(events, acknowledged.len());
    let (_, (_, version, command)) = acknowledged.pop_first().expect("some were accepted");
    let again = executor.execute(command).await.expect("known after the restart");
    assert!(again.repeated);
    assert_eq!(again.version, version);
    let report = log.verify().expect("all chains hold");
    assert_eq!(report.events as usize, events);
}
