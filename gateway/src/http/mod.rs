//! HTTP itself: the edge around every route, problem documents, typed inputs and answers, operations.

pub mod answer;
pub mod codes;
pub mod context;
pub mod cursor;
pub mod edge;
pub mod input;
pub mod intent;
pub mod operation;
pub mod problem;
pub mod rejections;

pub use answer::{Answer, Created, Document};
pub use codes::Code;
pub use context::RequestContext;
pub use input::{Body, Path, Query};
pub use intent::{IfMatch, Intent, KeyedIntent};
pub use operation::{Operation, Route, delete, get, patch, post};
pub use problem::{FieldError, Problem};
