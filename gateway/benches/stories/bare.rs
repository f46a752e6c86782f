//! Bare commands: each writes one event to one of many streams, and nobody does anything about it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use commands::Executor;
use events::{Id, ids::TestClockId};
use uuid::Uuid;

use super::advance::advance;

/// Streams that count as spread.
const STREAMS: usize = 10_000;

/// Commands a second of so many clients, each with one under way.
pub(super) async fn measure(executor: &Executor, clients: usize, round: Duration) -> f64 {
    let streams: Arc<[TestClockId]> = (0..STREAMS).map(|_| TestClockId::from_uuid(Uuid::now_v7())).collect();
    let began = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (executor, streams) = (executor.clone(), Arc::clone(&streams));
            tokio::spawn(async move {
                let mut number = client * STREAMS / 64;
                let mut done = 0_u64;
                while began.elapsed() < round {
                    executor.execute(advance(streams[number % STREAMS])).await.unwrap();
                    (number, done) = (number + 31, done + 1);
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    done as f64 / began.elapsed().as_secs_f64()
}
