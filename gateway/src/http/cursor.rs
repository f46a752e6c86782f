//! Pages of a list: a bounded number of items, and an opaque cursor to the next ones.

use garde::Validate;
use projections::{Page, PageRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Code, Problem};
use crate::security::links::Links;

/// Items of one page when the client does not say.
const LIMIT_DEFAULT: u16 = 20;

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Items<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Send it as `cursor` to get the next page; null at the end.
    pub next: Option<String>,
}

/// Which page of a list that takes no other question.
#[derive(Debug, Deserialize, Serialize, JsonSchema, Validate)]
#[serde(deny_unknown_fields)]
pub struct PageAsked {
    /// At most this many, 20 unless said otherwise.
    #[garde(range(min = 1, max = 100))]
    #[schemars(range(min = 1, max = 100))]
    #[serde(skip_serializing)]
    pub limit: Option<u16>,
    /// `next` of the page before.
    #[garde(length(max = 1000))]
    #[serde(skip_serializing)]
    pub cursor: Option<String>,
}

/// What a client says about the page it wants, and what makes its query this query and no other.
#[derive(Debug)]
pub struct Paging<'a> {
    links: &'a Links,
    shape: String,
}

impl<'a> Paging<'a> {
    /// `list` names the list, `caller` who sees it; `query` is everything asked for but limit and cursor.
    pub fn new(links: &'a Links, list: &str, caller: &str, query: &impl Serialize) -> Self {
        let query = serde_json::to_string(query).expect("a query is made of text and numbers");
        Self { links, shape: format!("{list}\n{caller}\n{query}") }
    }

    /// The page that is asked for.
    ///
    /// # Errors
    /// A cursor that is not one of this query.
    pub fn request(&self, limit: Option<u16>, cursor: Option<&str>) -> Result<PageRequest, Problem> {
        let after = cursor.map(|text| {
            self.links.read_cursor(&self.shape, text).ok_or_else(|| {
                Problem::new(Code::InvalidCursor, "take it from `next` of this very query, unchanged")
            })
        });
        Ok(PageRequest { after: after.transpose()?, limit: usize::from(limit.unwrap_or(LIMIT_DEFAULT)) })
    }

    /// The page as it is answered.
    pub fn answer<T>(&self, page: Page<T>) -> Items<T> {
        let next = page.next.map(|cursor| self.links.cursor(&self.shape, &cursor));
        Items { items: page.items, next }
    }
}
