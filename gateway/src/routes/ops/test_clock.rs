//! The test clock: moves domain time forward, in development only.

use axum::extract::State;
use commands::{
    Actor,
    test_clock::{TestClock, TestClockCommand, the_test_clock},
};
use events::{Timestamp, vocabulary::admin::TestClockEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    commanding::Order,
    http::{Answer, Body, Code, Intent, Problem},
};

/// How far to move: exactly one of the two.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct Advance {
    /// Milliseconds.
    #[garde(range(min = 1))]
    #[schemars(range(min = 1))]
    advance_ms: Option<i64>,
    /// A number and a unit: `7d`, `12h`, `30m`, `5s`, `250ms`.
    #[garde(length(max = 20))]
    #[schemars(regex(pattern = r"^[0-9]+(ms|s|m|h|d)$"))]
    advance: Option<String>,
}

/// Where domain time stands now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ClockMoved {
    /// Domain time.
    now: Timestamp,
    /// Milliseconds by which it runs ahead of the machine's clock.
    offset_ms: i64,
}

pub(super) async fn advance(
    State(app): State<App>,
    intent: Intent,
    Body(asked): Body<Advance>,
) -> Result<Answer<ClockMoved>, Problem> {
    let by_ms = match (asked.advance_ms, asked.advance.as_deref()) {
        (Some(by_ms), None) => by_ms,
        (None, Some(text)) => milliseconds(text).ok_or_else(|| {
            Problem::field(
                Code::InvalidField,
                "advance",
                "takes a number and a unit: 7d, 12h, 30m, 5s, 250ms",
            )
        })?,
        _ => {
            let message = "give either advance_ms or advance";
            return Err(Problem::field(Code::InvalidField, "advance_ms", message));
        }
    };
    let outcome = app
        .command::<TestClock, _>(Order {
            intent: &intent,
            actor: &Actor::System,
            command_id: intent.command_id(&Actor::System),
            id: the_test_clock(),
            command: TestClockCommand::Advance { by_ms },
            expected: None,
            asked: &asked,
        })
        .await?;
    for TestClockEvent::TestClockMoved(moved) in &outcome.events {
        app.clock.set_offset_ms(moved.offset_ms);
    }
    move_the_providers_clock(&app).await?;
    let token = app.consistency_token::<TestClock>(&intent.seen, the_test_clock(), &outcome);
    let moved = ClockMoved { now: app.clock.now(), offset_ms: app.clock.offset_ms() };
    Ok(Answer::new(moved).at(outcome.version).consistent(token))
}

/// A sandbox provider lives in the same time, so what is due there happens, too.
async fn move_the_providers_clock(app: &App) -> Result<(), Problem> {
    let Some(provider) = &app.provider else { return Ok(()) };
    let offset_ms = u64::try_from(app.clock.offset_ms()).unwrap_or(0);
    provider.move_clock_to(offset_ms).await.map_err(|error| {
        tracing::warn!(%error, "the sandbox's clock was not moved");
        Problem::new(Code::InDoubt, "domain time was moved, the sandbox provider's clock was not: repeat it")
    })
}

fn milliseconds(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit_ms).filter(|milliseconds| *milliseconds > 0)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn a_period_is_a_number_and_a_unit() {
        assert_eq!(milliseconds("7d"), Some(7 * 86_400_000));
        assert_eq!(milliseconds("250ms"), Some(250));
        for wrong in ["", "d", "7", "-7d", "7 d", "0s", "1.5h", "9223372036854775807d"] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }
}
