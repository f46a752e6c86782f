//! What a round cost: processor time of this process and of the brokers, where the system tells it.
//!
//! Unlike rates it hardly depends on what else the machine does.

use std::{path::Path, time::Duration};

/// The clock ticks in which Linux counts, microseconds.
const TICK_US: u64 = 10_000;

/// Processor time until now.
#[derive(Clone, Copy)]
pub(super) struct Used {
    ours: Duration,
    brokers: Duration,
}

impl Used {
    pub(super) fn now() -> Self {
        let state = std::env::var("GUILDHALL_STACK_STATE").unwrap_or_default();
        let ids = (1..=3).filter_map(|number| {
            let written =
                std::fs::read_to_string(Path::new(&state).join(format!("kafka-{number}/pid"))).ok()?;
            written.split_whitespace().next().map(str::to_owned)
        });
        Self { ours: of("self"), brokers: ids.map(|id| of(&id)).sum() }
    }

    /// Since then, by the number of commands: ours and the brokers', microseconds each.
    pub(super) fn per_command_us(self, commands: usize) -> (f64, f64) {
        let now = Self::now();
        let each = |now: Duration, then: Duration| {
            now.saturating_sub(then).as_micros() as f64 / commands.max(1) as f64
        };
        (each(now.ours, self.ours), each(now.brokers, self.brokers))
    }
}

/// User and system time of a process; nothing where it is not told.
fn of(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_micros(ticks.sum::<u64>() * TICK_US)
}
