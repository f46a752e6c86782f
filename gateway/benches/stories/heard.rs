//! One listener for all who tell stories: it reads what is appended once, wakes whoever waits for it, and counts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use events::{
    Service, StreamId,
    log::{EventLog, ReadLimit, StoredCommit},
    stream::Partition,
};
use serde::Deserialize;
use tokio::sync::oneshot;

const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// What was appended.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    /// Commands that wrote.
    pub(super) commands: u64,
    pub(super) events: u64,
    /// Steps that managers asked for.
    pub(super) steps: u64,
    /// What the provider told.
    pub(super) receipts: u64,
}

impl Tally {
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            commands: self.commands - before.commands,
            events: self.events - before.events,
            steps: self.steps - before.steps,
            receipts: self.receipts - before.receipts,
        }
    }
}

/// What the listener looks at of an event.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    event_type: &'a str,
    commandid: &'a str,
}

/// Which event of a stream: its name, and the how many-eth of that name, from 1.
type Wanted = (&'static str, usize);

#[derive(Default)]
struct Stream {
    /// How many events of each name there are.
    heard: HashMap<Box<str>, usize>,
    waiting: Vec<(Wanted, oneshot::Sender<()>)>,
}

#[derive(Default)]
struct State {
    tally: Tally,
    streams: HashMap<StreamId, Stream>,
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<State>>);

impl Heard {
    /// Hears of everything that is appended from now on to the services of a story.
    pub(super) fn follow(log: Arc<dyn EventLog>) -> Self {
        let heard = Self::default();
        let listener = heard.clone();
        let services = [Service::Jobs, Service::Payments];
        let partitions = log.partitions().into_iter().filter(|place| services.contains(&place.service));
        let mut places: Vec<_> = partitions.map(|place| (place, log.end(place).unwrap())).collect();
        tokio::spawn(async move {
            let mut changes = log.changes();
            loop {
                changes.borrow_and_update();
                for (partition, after) in &mut places {
                    *after = listener.read(&log, *partition, *after).await;
                }
                // Nobody is told of everything at once.
                tokio::time::sleep(LOOK_PAUSE).await;
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
        heard
    }

    /// Reads up to the end; where that is.
    async fn read(&self, log: &Arc<dyn EventLog>, partition: Partition, mut after: i64) -> i64 {
        while log.end(partition).unwrap() > after {
            let (log, heard) = (Arc::clone(log), self.clone());
            let read = tokio::task::spawn_blocking(move || {
                let limit = ReadLimit { commits: 1000, bytes: 1 << 20 };
                let commits = log.read(partition, after, limit).unwrap();
                commits.iter().for_each(|commit| heard.hear(commit));
                commits.last().map_or(after, |commit| commit.position.offset)
            });
            after = read.await.unwrap();
        }
        after
    }

    fn hear(&self, commit: &StoredCommit) {
        let events: Vec<Line<'_>> = serde_json::from_slice(&commit.body).unwrap();
        let mut state = self.0.lock().unwrap();
        let State { tally, streams } = &mut *state;
        let stream = streams.entry(commit.stream).or_default();
        let mut last = "";
        for event in &events {
            let name = event.event_type.rsplit('.').next().unwrap();
            tally.events += 1;
            tally.steps += u64::from(name.ends_with("StepRequested"));
            tally.receipts += u64::from(name == "ReceiptRecorded");
            if last != event.commandid {
                tally.commands += 1;
                last = event.commandid;
            }
            let times = stream.heard.entry(name.into()).or_default();
            *times += 1;
            let is_due = |(wanted, nth): &Wanted| *wanted == name && *nth <= *times;
            for (_, waiting) in stream.waiting.extract_if(.., |(wanted, _)| is_due(wanted)) {
                // Whoever waited may be gone.
                let _ = waiting.send(());
            }
        }
    }

    /// Returns when the `nth` event of this name was appended to the stream.
    pub(super) async fn until(&self, stream: StreamId, name: &'static str, nth: usize) {
        let heard = {
            let mut state = self.0.lock().unwrap();
            let stream = state.streams.entry(stream).or_default();
            if stream.heard.get(name).is_some_and(|times| *times >= nth) {
                return;
            }
            let (sender, heard) = oneshot::channel();
            stream.waiting.push(((name, nth), sender));
            heard
        };
        heard.await.unwrap();
    }

    pub(super) fn tally(&self) -> Tally {
        self.0.lock().unwrap().tally
    }
}
