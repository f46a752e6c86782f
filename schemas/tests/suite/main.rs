//! What is checked in under `schemas/` is what the code says, and old events are readable for ever.

mod current;
mod fingerprints;
mod folding;
mod golden;
mod money_page;
