//! Processes that want the same streams take turns: few commits are void, nobody starves, and nobody waits for nothing.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use events::{
    StreamId,
    log::{
        AppendError, EventLog, LogOptions, Verdict,
        simulated::{SimulatedBroker, SimulatedFaults, SteppedTail},
    },
};
use tempfile::TempDir;

use super::support::{JOBS, commit, job};

/// A process that always wants to append to every stream.
struct Eager {
    log: Arc<dyn EventLog>,
    tail: SteppedTail,
    awaited: Vec<(StreamId, Option<Verdict>)>,
    wins: usize,
    _folder: TempDir,
}

impl Eager {
    fn new(broker: &Arc<SimulatedBroker>, streams: &[StreamId]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (log, tail) = broker.open_stepped(&LogOptions::embedded(folder.path())).unwrap();
        let awaited = streams.iter().map(|stream| (*stream, None)).collect();
        Self { log, tail, awaited, wins: 0, _folder: folder }
    }

    fn append_where_nothing_is_under_way(&mut self) {
        for (stream, awaited) in &mut self.awaited {
            let next = self.log.head(*stream).unwrap() + 1;
            awaited.get_or_insert_with(|| self.log.append(commit(*stream, next, 1)));
        }
    }

    fn judge(&mut self) {
        self.tail.turn().unwrap();
        let mut context = Context::from_waker(Waker::noop());
        for (_, awaited) in &mut self.awaited {
            let Some(verdict) = awaited else { continue };
            match verdict.as_mut().poll(&mut context) {
                Poll::Pending => continue,
                Poll::Ready(Ok(_)) => self.wins += 1,
                Poll::Ready(Err(AppendError::Conflict { .. })) => {}
                Poll::Ready(Err(other)) => panic!("{other}"),
            }
            *awaited = None;
        }
    }
}

/// Gives the wins of each of so many processes on so many streams, and the share of void records.
fn contest(processes: usize, streams: usize, step: Duration) -> (Vec<usize>, f64) {
    const ROUNDS: usize = 300;
    let broker = SimulatedBroker::new(1, 1, SimulatedFaults::default());
    let streams: Vec<StreamId> = (0..streams).map(|_| job()).collect();
    let mut processes: Vec<Eager> = (0..processes).map(|_| Eager::new(&broker, &streams)).collect();
    let count = processes.len();
    for round in 0..ROUNDS {
        // Whose record arrives first changes, or the last one would lose every race.
        for turn in 0..count {
            processes[(round + turn) % count].append_where_nothing_is_under_way();
        }
        broker.advance(step);
        processes.iter_mut().for_each(Eager::judge);
    }
    let records = broker.records(JOBS).len();
    let wins: Vec<usize> = processes.iter().map(|process| process.wins).collect();
    let voids = (records - wins.iter().sum::<usize>()) as f64 / records as f64;
    (wins, voids)
}

#[test]
fn two_processes_on_hot_streams_share_them_and_few_commits_are_void() {
    let (wins, voids) = contest(2, 20, Duration::from_millis(1));
    assert!(voids <= 0.05, "{voids}");
    assert!(wins[0] > 2000 && wins[1].abs_diff(wins[0]) < wins[0] / 10, "{wins:?}");
}

#[test]
fn three_processes_on_hot_streams_all_get_their_turns() {
    let (wins, voids) = contest(3, 20, Duration::from_millis(1));
    assert!(voids <= 0.2, "{voids}");
    assert!(wins.iter().all(|own| *own * 5 > wins.iter().sum()), "{wins:?}");
}

#[test]
fn who_is_alone_appends_in_every_round() {
    let (wins, voids) = contest(1, 20, Duration::from_millis(1));
    assert_eq!((wins, voids), (vec![20 * 300], 0.0));
}

#[test]
fn a_commit_that_waits_for_its_turn_is_published_when_nobody_takes_it() {
    let broker = SimulatedBroker::new(1, 1, SimulatedFaults::default());
    let stream = job();
    let mut pair = [Eager::new(&broker, &[stream]), Eager::new(&broker, &[stream])];
    pair.iter_mut().for_each(Eager::append_where_nothing_is_under_way);
    pair.iter_mut().for_each(Eager::judge);
    let [winner, _fell_silent] = &mut pair;
    winner.append_where_nothing_is_under_way();
    winner.judge();
    assert_eq!(winner.wins, 1, "it lets the other one go first");
    broker.advance(Duration::from_millis(60));
    winner.judge();
    winner.judge();
    assert_eq!(winner.wins, 2);
}

#[test]
fn a_commit_that_waited_for_its_turn_when_the_log_closed_was_certainly_not_appended() {
    let broker = SimulatedBroker::new(1, 1, SimulatedFaults::default());
    let stream = job();
    let mut pair = [Eager::new(&broker, &[stream]), Eager::new(&broker, &[stream])];
    pair.iter_mut().for_each(Eager::append_where_nothing_is_under_way);
    pair.iter_mut().for_each(Eager::judge);
    let [winner, _] = &mut pair;
    assert_eq!(winner.wins, 1);
    winner.append_where_nothing_is_under_way();
    let records = broker.records(JOBS).len();
    winner.log.close();
    let mut context = Context::from_waker(Waker::noop());
    let verdict = winner.awaited[0].1.as_mut().unwrap().as_mut().poll(&mut context);
    assert!(matches!(verdict, Poll::Ready(Err(AppendError::Unavailable(_)))), "{verdict:?}");
    assert_eq!(broker.records(JOBS).len(), records);
}
