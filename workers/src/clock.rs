//! Domain time follows the test clock: its offset is itself an event on the log.

use std::sync::Arc;

use commands::test_clock::the_test_clock;
use events::{
    Category, StreamId, Version,
    log::{EventLog, LogError},
    time::DomainClock,
    vocabulary::{
        Event,
        admin::{TestClockEvent, TestClockMoved},
    },
};
use tokio::sync::watch;

use crate::{backoff::Backoff, runner::Surroundings};

/// Commits read at once.
const COMMITS_AT_ONCE: usize = 100;

/// Moves `clock` to where the log says it is; the version of the test clock up to which it was heard.
///
/// # Errors
/// What the log says.
pub fn catch_up(log: &dyn EventLog, clock: &DomainClock, after: Version) -> Result<Version, LogError> {
    let stream = StreamId::new(Category::TestClock, the_test_clock());
    let mut heard = after;
    loop {
        let commits = log.load(stream, heard, COMMITS_AT_ONCE)?;
        let Some(last) = commits.last() else { return Ok(heard) };
        heard = last.last_version();
        for event in commits.iter().filter_map(|commit| commit.events().ok()).flatten().flatten() {
            if let Event::TestClock(TestClockEvent::TestClockMoved(TestClockMoved { offset_ms })) =
                event.payload
            {
                clock.set_offset_ms(offset_ms);
            }
        }
    }
}

/// Follows the test clock until the process ends. `moved` changes after each move.
pub(crate) async fn follow(surroundings: Surroundings, moved: watch::Sender<u64>) {
    let mut changes = surroundings.log.changes();
    let mut backoff = Backoff::new(&surroundings.settings);
    let partition = surroundings.log.partition_of(StreamId::new(Category::TestClock, the_test_clock()));
    let (mut heard, mut read) = (0, None);
    while !surroundings.ends() {
        changes.borrow_and_update();
        let end = surroundings.log.end(partition).ok();
        if end.is_some() && end == read {
            wait(&surroundings, &mut changes).await;
            continue;
        }
        let (log, clock) = (Arc::clone(&surroundings.log), surroundings.clock.clone());
        match tokio::task::spawn_blocking(move || catch_up(log.as_ref(), &clock, heard)).await {
            Ok(Ok(version)) => {
                backoff.reset();
                read = end;
                if version > heard {
                    heard = version;
                    moved.send_modify(|moves| *moves += 1);
                }
            }
            failed => {
                tracing::warn!(?failed, "the test clock cannot be read");
                let _ = tokio::time::timeout(backoff.pause(), surroundings.until_end()).await;
                continue;
            }
        }
        wait(&surroundings, &mut changes).await;
    }
}

async fn wait(surroundings: &Surroundings, changes: &mut watch::Receiver<u64>) {
    tokio::select! {
        changed = changes.changed() => if changed.is_err() { surroundings.until_end().await },
        () = surroundings.until_end() => {}
    }
}
