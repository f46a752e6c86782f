//! One comparison of all books: asked for every day, or by an administrator, and what came of it.
//!
//! The comparing is done outside, since it reads everything; here stands that it is to be done, and its result as a fact.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category,
    ids::ReconciliationId,
    vocabulary::{
        identity::Role,
        payments::{ReconciliationCompleted, ReconciliationEvent, ReconciliationRequested},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    rejection::rejections,
};

/// A comparison, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reconciliation {
    requested: bool,
    completed: Option<ReconciliationCompleted>,
}

impl Reconciliation {
    /// It is to be done, and is not done yet.
    pub fn is_open(&self) -> bool {
        self.requested && self.completed.is_none()
    }

    /// What came of it; `None` as long as it is not done.
    pub fn completed(&self) -> Option<&ReconciliationCompleted> {
        self.completed.as_ref()
    }
}

/// What can be asked of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReconciliationCommand {
    /// Compare all books. By an administrator, or internal; does nothing when that was asked for.
    Request,
    /// They were compared. Internal; does nothing when that is known.
    Complete {
        /// What came of it.
        result: Box<ReconciliationCompleted>,
    },
}

rejections! {
    /// Why a comparison says no.
    pub enum ReconciliationRejection {
        NotFound = NotFound "reconciliation_not_found": "nobody asked for this comparison",
        NotAnAdmin = Forbidden "not_an_admin": "only administrators have the books compared",
        InternalOnly = Forbidden "internal_only": "only the machinery itself does this",
    }
}

impl Aggregate for Reconciliation {
    const CATEGORY: Category = Category::Reconciliation;
    const FOLD_VERSION: u16 = 1;
    type Id = ReconciliationId;
    type Command = ReconciliationCommand;
    type Event = ReconciliationEvent;
    type Rejection = ReconciliationRejection;

    fn decide(
        &self,
        command: &ReconciliationCommand,
        context: &Context,
    ) -> Result<Vec<ReconciliationEvent>, ReconciliationRejection> {
        match command {
            ReconciliationCommand::Request => {
                if !context.actor.is_internal() && !context.actor.has_role(Role::Admin) {
                    return Err(ReconciliationRejection::NotAnAdmin);
                }
                let asked = ReconciliationRequested { by: context.actor.account() };
                Ok(if self.requested { Vec::new() } else { vec![asked.into()] })
            }
            ReconciliationCommand::Complete { result } => {
                if !context.actor.is_internal() {
                    return Err(ReconciliationRejection::InternalOnly);
                }
                if !self.requested {
                    return Err(ReconciliationRejection::NotFound);
                }
                let completed = ReconciliationCompleted::clone(result);
                Ok(if self.completed.is_some() { Vec::new() } else { vec![completed.into()] })
            }
        }
    }

    fn evolve(&mut self, event: &ReconciliationEvent) {
        match event {
            ReconciliationEvent::ReconciliationRequested(ReconciliationRequested { .. }) => {
                self.requested = true;
            }
            ReconciliationEvent::ReconciliationCompleted(completed) => {
                self.completed = Some(completed.clone())
            }
        }
    }
}
