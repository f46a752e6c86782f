//! Pages of a list: a bounded number of items, and an opaque cursor to the next ones.

use schemars::JsonSchema;
use serde::Serialize;

/// Items of one page when the client does not say.
pub const LIMIT_DEFAULT: usize = 20;

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Items<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Send it as `cursor` to get the next page; null at the end.
    pub next: Option<String>,
}
