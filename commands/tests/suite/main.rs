//! What the write side promises, as a specification.

mod executor;
