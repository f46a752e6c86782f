//! The rules of the house, one file each. What they forbid, and why, stands in `ARCHITECTURE.md`.

mod dependencies;
mod purity;
mod shape;
mod walls;
mod words;
