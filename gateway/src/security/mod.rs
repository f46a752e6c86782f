//! Who is asking: access tokens, passwords, and what each request checks on the aggregates.

pub mod caller;
pub mod links;
pub mod passwords;
pub mod tokens;

pub use caller::{Caller, MaybeCaller, OperatorCaller, Person};
