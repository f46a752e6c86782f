//! One listener for all who tell stories: it reads what is appended once, wakes whoever waits for it, and counts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use events::{
    Service, StreamId,
    envelope::parse_body,
    log::{EventLog, ReadLimit},
    stream::Partition,
};
use tokio::sync::oneshot;

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

/// Which event of a stream: its name, and how many of that name there are then.
type Wanted = (StreamId, &'static str);

#[derive(Default)]
struct State {
    tally: Tally,
    /// Events that somebody may come to wait for, and that were heard before.
    seen: HashMap<StreamId, Vec<Box<str>>>,
    waiting: HashMap<Wanted, oneshot::Sender<()>>,
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
                for commit in &commits {
                    heard.hear(&commit.body);
                }
                commits.last().map_or(after, |commit| commit.position.offset)
            });
            after = read.await.unwrap();
        }
        after
    }

    fn hear(&self, body: &[u8]) {
        let events = parse_body(body).unwrap();
        let mut state = self.0.lock().unwrap();
        let mut last = None;
        for event in &events {
            let name = event.event_type.rsplit('.').next().unwrap();
            let State { tally, seen, waiting } = &mut *state;
            tally.events += 1;
            tally.steps += u64::from(name.ends_with("StepRequested"));
            tally.receipts += u64::from(name == "ReceiptRecorded");
            if last != Some(event.commandid) {
                tally.commands += 1;
                last = Some(event.commandid);
            }
            let known = waiting.keys().find(|(stream, wanted)| *stream == event.subject && *wanted == name);
            match known.copied() {
                // Whoever waited may be gone.
                Some(wanted) => drop(waiting.remove(&wanted).map(|waiting| waiting.send(()))),
                None => seen.entry(event.subject).or_default().push(name.into()),
            }
        }
    }

    /// Returns when this event was appended to the stream. One that is waited for is heard of once.
    pub(super) async fn until(&self, stream: StreamId, name: &'static str) {
        let heard = {
            let mut state = self.0.lock().unwrap();
            let seen = state.seen.get(&stream).is_some_and(|names| names.iter().any(|seen| **seen == *name));
            if seen {
                return;
            }
            let (sender, heard) = oneshot::channel();
            state.waiting.insert((stream, name), sender);
            heard
        };
        heard.await.unwrap();
    }

    pub(super) fn tally(&self) -> Tally {
        self.0.lock().unwrap().tally
    }

    /// Nobody waits any more, and what was heard is nothing to those to come.
    pub(super) fn forget(&self) {
        let mut state = self.0.lock().unwrap();
        state.seen.clear();
        state.waiting.clear();
    }
}
