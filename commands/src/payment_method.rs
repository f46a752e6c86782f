//! What somebody pays with: a token of the provider. The card itself never comes near us.

#![deny(clippy::wildcard_enum_match_arm)]

use events::{
    Category, Personal,
    ids::{AccountId, PaymentMethodId},
    vocabulary::payments::{PaymentMethodAdded, PaymentMethodEvent, PaymentMethodRemoved},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    aggregate::{Aggregate, Context},
    rejection::rejections,
};

/// A payment method, as its history tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PaymentMethod {
    added: Option<PaymentMethodAdded>,
    removed: bool,
}

impl PaymentMethod {
    /// What was added; `None` when there is none.
    pub fn added(&self) -> Option<&PaymentMethodAdded> {
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

    /// What the provider calls it, while `payer` may pay with it.
    pub fn token_for(&self, payer: AccountId) -> Option<&str> {
        let usable = self.added.as_ref().filter(|added| added.owner == payer && !self.removed);
        usable.map(|added| &*added.token)
    }
}

/// What can be asked of a payment method.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethodCommand {
    /// Pay with this from now on. By the one whose it is.
    Add {
        /// What the provider calls it.
        token: String,
        /// By which its owner knows it.
        label: Personal<String>,
    },
    /// Never pay with it again. By its owner.
    Remove,
}

rejections! {
    /// Why a payment method says no.
    pub enum PaymentMethodRejection {
        NotFound = NotFound "payment_method_not_found": "there is no such payment method",
        NotAnAccount = Forbidden "not_an_account": "only somebody with an account does this",
        AlreadyExists = State "payment_method_already_exists": "there is another payment method of this name",
        TokenMissing = Invalid "token_missing": "the provider's token is not empty",
    }
}

impl Aggregate for PaymentMethod {
    const CATEGORY: Category = Category::PaymentMethod;
    const FOLD_VERSION: u16 = 1;
    type Id = PaymentMethodId;
    type Command = PaymentMethodCommand;
    type Event = PaymentMethodEvent;
    type Rejection = PaymentMethodRejection;

    fn decide(
        &self,
        command: &PaymentMethodCommand,
        context: &Context,
    ) -> Result<Vec<PaymentMethodEvent>, PaymentMethodRejection> {
        let owner = context.actor.account().ok_or(PaymentMethodRejection::NotAnAccount)?;
        match command {
            PaymentMethodCommand::Add { token, label } => {
                if token.trim().is_empty() {
                    return Err(PaymentMethodRejection::TokenMissing);
                }
                let added = PaymentMethodAdded { owner, token: token.clone(), label: label.clone() };
                match &self.added {
                    None => Ok(vec![added.into()]),
                    Some(before) if before.owner == owner && before.token == *token => Ok(Vec::new()),
                    Some(_) => Err(PaymentMethodRejection::AlreadyExists),
                }
            }
            // A stranger may not even know that it is there.
            PaymentMethodCommand::Remove if self.owner() != Some(owner) => {
                Err(PaymentMethodRejection::NotFound)
            }
            PaymentMethodCommand::Remove if self.removed => Ok(Vec::new()),
            PaymentMethodCommand::Remove => Ok(vec![PaymentMethodRemoved {}.into()]),
        }
    }

    fn evolve(&mut self, event: &PaymentMethodEvent) {
        match event {
            PaymentMethodEvent::PaymentMethodAdded(added) => self.added = Some(added.clone()),
            PaymentMethodEvent::PaymentMethodRemoved(PaymentMethodRemoved {}) => self.removed = true,
        }
    }
}
