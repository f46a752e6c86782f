//! What is in force, as TOML that says where each value came from.

use std::fmt::Write as _;

use toml::Value;

use super::{Layers, SECRETS};

impl Layers {
    /// Every setting as a line of TOML, with its source as a comment; secrets are masked.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let (top, grouped): (Vec<_>, Vec<_>) = self.leaves.iter().partition(|(key, _)| !key.contains('.'));
        let mut group = "";
        for (key, leaf) in top.into_iter().chain(grouped) {
            let (of, name) = key.rsplit_once('.').unwrap_or(("", key));
            if of != group {
                group = of;
                let _ = writeln!(text, "\n[{group}]");
            }
            let masked = Value::String("********".to_owned());
            let value = if SECRETS.contains(&key.as_str()) { &masked } else { &leaf.value };
            let _ = writeln!(text, "{:<56} # {}", format!("{name} = {value}"), leaf.origin);
        }
        text
    }
}
