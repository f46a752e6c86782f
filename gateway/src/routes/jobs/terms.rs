//! The terms of a job as clients write them.

use events::{
    Money,
    vocabulary::jobs::{Budget, JobTerms},
};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::input::{not_blank, positive, slug};

/// What a client is ready to pay: both ends of one currency, `min` ≤ `max`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct NewBudget {
    /// At least this, more than zero.
    #[garde(custom(positive))]
    min: Money,
    /// At most this, more than zero.
    #[garde(custom(positive))]
    max: Money,
}

impl From<NewBudget> for Budget {
    fn from(NewBudget { min, max }: NewBudget) -> Self {
        Self { min, max }
    }
}

/// A job to be drafted.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// One line.
    #[garde(length(chars, max = 200), custom(not_blank))]
    #[schemars(length(min = 1, max = 200))]
    title: String,
    /// What is to be done.
    #[garde(length(chars, max = 20000))]
    #[schemars(length(max = 20000))]
    description: String,
    /// A slug, `web-development`.
    #[garde(custom(slug))]
    #[schemars(regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"), length(max = 64))]
    category: String,
    /// Slugs.
    #[garde(length(max = 30), inner(custom(slug)))]
    #[schemars(length(max = 30))]
    #[serde(default)]
    skills: Vec<String>,
    /// What the client is ready to pay.
    #[garde(dive)]
    budget: NewBudget,
}

impl NewJob {
    /// As the decider takes them.
    pub(super) fn terms(&self) -> JobTerms {
        JobTerms {
            title: self.title.clone(),
            description: self.description.clone(),
            category: self.category.clone(),
            skills: self.skills.clone(),
            budget: self.budget.into(),
        }
    }
}

/// What is to change about a job. What is left out stays as it is.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct EditJob {
    /// One line.
    #[garde(length(chars, max = 200), inner(custom(not_blank)))]
    #[schemars(length(min = 1, max = 200))]
    title: Option<String>,
    /// What is to be done.
    #[garde(length(chars, max = 20000))]
    #[schemars(length(max = 20000))]
    description: Option<String>,
    /// A slug.
    #[garde(inner(custom(slug)))]
    category: Option<String>,
    /// Slugs, all of them.
    #[garde(length(max = 30), inner(inner(custom(slug))))]
    #[schemars(length(max = 30))]
    skills: Option<Vec<String>>,
    /// What the client is ready to pay.
    #[garde(dive)]
    budget: Option<NewBudget>,
}

impl EditJob {
    /// The terms with the changes.
    pub(super) fn merged(&self, terms: &JobTerms) -> JobTerms {
        JobTerms {
            title: self.title.as_ref().unwrap_or(&terms.title).clone(),
            description: self.description.as_ref().unwrap_or(&terms.description).clone(),
            category: self.category.as_ref().unwrap_or(&terms.category).clone(),
            skills: self.skills.as_ref().unwrap_or(&terms.skills).clone(),
            budget: self.budget.map_or(terms.budget, Budget::from),
        }
    }
}
