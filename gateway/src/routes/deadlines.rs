//! What happens by itself unless one acts: proposals that expire, payments that expire, work that counts as approved.

use axum::extract::State;
use events::{
    Money, Timestamp,
    ids::{ContractId, PaymentId},
};
use garde::Validate;
use projections::money::deadlines::{self, Deadline, DeadlineKind, Deadlines};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    consistency::Seen,
    http::{
        Answer, Problem, Query, Route,
        cursor::{Items, Paging},
        get,
    },
    security::Person,
};

/// Deadlines.
pub fn routes() -> Vec<Route> {
    vec![get("/api/v1/deadlines", list).named("listDeadlines", "What awaits me, the soonest first")]
}

/// Which deadlines.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct ListDeadlines {
    /// Of which kind.
    #[garde(skip)]
    kind: Option<DeadlineKind>,
    /// Due by then, at the latest.
    #[garde(skip)]
    until: Option<Timestamp>,
    /// At most this many, 20 unless said otherwise.
    #[garde(range(min = 1, max = 100))]
    #[schemars(range(min = 1, max = 100))]
    #[serde(skip_serializing)]
    limit: Option<u16>,
    /// `next` of the page before.
    #[garde(length(max = 1000))]
    #[serde(skip_serializing)]
    cursor: Option<String>,
}

/// Something that happens by itself.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeadlineItem {
    /// What.
    kind: DeadlineKind,
    /// When.
    due_at: Timestamp,
    /// Of which contract.
    contract: ContractId,
    /// Of which of its milestones, from 1.
    milestone: Option<u32>,
    /// Of which payment.
    payment: Option<PaymentId>,
    /// How much money it is about.
    amount: Money,
}

impl From<Deadline> for DeadlineItem {
    fn from(deadline: Deadline) -> Self {
        let Deadline { kind, due_at, accounts: _, contract, milestone, payment, amount } = deadline;
        Self { kind, due_at, contract, milestone, payment, amount }
    }
}

async fn list(
    State(app): State<App>,
    person: Person,
    seen: Seen,
    Query(asked): Query<ListDeadlines>,
) -> Result<Answer<Items<DeadlineItem>>, Problem> {
    let paging = Paging::new(&app.links, "deadlines", &person.actor.to_string(), &asked);
    let request = paging.request(asked.limit, asked.cursor.as_deref())?;
    app.catch_up(seen, &Deadlines).await?;
    let page = deadlines::list(&*app.store, person.id, asked.kind, asked.until, request).await?;
    let Items { items, next } = paging.answer(page);
    Ok(Answer::new(Items { items: items.into_iter().map(DeadlineItem::from).collect(), next }))
}
