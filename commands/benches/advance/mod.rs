//! The bare command of benchmarks: it writes one small event to one stream, and nobody does anything about it.

use commands::{
    Actor, Request,
    test_clock::{TestClock, TestClockCommand},
};
use events::{
    envelope::CommandHash,
    ids::{CommandId, TestClockId},
};

/// One more of them, for this stream.
pub fn advance(id: TestClockId) -> Request<TestClock> {
    Request {
        id,
        command: TestClockCommand::Advance { by_ms: 1 },
        command_id: CommandId::fresh(),
        command_hash: CommandHash([7; 16]),
        actor: Actor::System,
        expected: None,
        correlation_id: "3f2a9c1e5b7d4860".into(),
        causation_id: None,
        traceparent: None,
    }
}
