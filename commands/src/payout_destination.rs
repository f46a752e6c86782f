//! Where somebody is paid: a token of the provider. The bank account itself never comes near us.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category, Currency, Personal,
    ids::{AccountId, PayoutDestinationId},
    vocabulary::payments::{PayoutDestinationAdded, PayoutDestinationEvent, PayoutDestinationRemoved},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    rejection::rejections,
};

/// A payout destination, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PayoutDestination {
    added: Option<PayoutDestinationAdded>,
    removed: bool,
}

impl PayoutDestination {
    /// What was added; `None` when there is none.
    pub fn added(&self) -> Option<&PayoutDestinationAdded> {
        self.added.as_ref()
    }

    /// It is not to be used any more.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// Whose it is; `None` when there is none.
    pub fn owner(&self) -> Option<AccountId> {
        self.added.as_ref().map(|added| added.owner)
    }

    /// What the provider calls it, while `payee` may be paid there in `currency`.
    pub fn token_for(&self, payee: AccountId, currency: Currency) -> Option<&str> {
        let fits = |added: &&PayoutDestinationAdded| added.owner == payee && added.currency == currency;
        let usable = self.added.as_ref().filter(|added| fits(added) && !self.removed);
        usable.map(|added| &*added.token)
    }
}

/// What can be asked of a payout destination.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutDestinationCommand {
    /// Be paid here from now on. By the one whose it is.
    Add {
        /// What the provider calls it.
        token: String,
        /// What it takes.
        currency: Currency,
        /// By which its owner knows it.
        label: Personal<String>,
    },
    /// Never be paid here again. By its owner.
    Remove,
}

rejections! {
    /// Why a payout destination says no.
    pub enum PayoutDestinationRejection {
        NotFound = NotFound "payout_destination_not_found": "there is no such payout destination",
        NotAnAccount = Forbidden "not_an_account": "only somebody with an account does this",
        AlreadyExists = State "payout_destination_already_exists": "there is another payout destination of this name",
        TokenMissing = Invalid "token_missing": "the provider's token is not empty",
    }
}

impl Aggregate for PayoutDestination {
    const CATEGORY: Category = Category::PayoutDestination;
    const FOLD_VERSION: u16 = 1;
    type Id = PayoutDestinationId;
    type Command = PayoutDestinationCommand;
    type Event = PayoutDestinationEvent;
    type Rejection = PayoutDestinationRejection;

    fn decide(
        &self,
        command: &PayoutDestinationCommand,
        context: &Context,
    ) -> Result<Vec<PayoutDestinationEvent>, PayoutDestinationRejection> {
        let owner = context.actor.account().ok_or(PayoutDestinationRejection::NotAnAccount)?;
        match command {
            PayoutDestinationCommand::Add { token, currency, label } => {
                if token.trim().is_empty() {
                    return Err(PayoutDestinationRejection::TokenMissing);
                }
                let (token, currency, label) = (token.clone(), *currency, label.clone());
                let added = PayoutDestinationAdded { owner, token, currency, label };
                match &self.added {
                    None => Ok(vec![added.into()]),
                    Some(before) if same(before, &added) => Ok(Vec::new()),
                    Some(_) => Err(PayoutDestinationRejection::AlreadyExists),
                }
            }
            // A stranger may not even know that it is there.
            PayoutDestinationCommand::Remove if self.owner() != Some(owner) => {
                Err(PayoutDestinationRejection::NotFound)
            }
            PayoutDestinationCommand::Remove if self.removed => Ok(Vec::new()),
            PayoutDestinationCommand::Remove => Ok(vec![PayoutDestinationRemoved {}.into()]),
        }
    }

    fn evolve(&mut self, event: &PayoutDestinationEvent) {
        match event {
            PayoutDestinationEvent::PayoutDestinationAdded(added) => self.added = Some(added.clone()),
            PayoutDestinationEvent::PayoutDestinationRemoved(PayoutDestinationRemoved {}) => {
                self.removed = true
            }
        }
    }
}

/// The label is sealed anew each time.
fn same(one: &PayoutDestinationAdded, other: &PayoutDestinationAdded) -> bool {
    (one.owner, &one.token, one.currency) == (other.owner, &other.token, other.currency)
}
