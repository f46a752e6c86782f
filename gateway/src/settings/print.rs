//! What is in force, as TOML that says where each value came from.

use std::fmt::Write as _;

use toml::Value;

use super::{Layers, OPEN_TABLE, is_secret, open_name};

impl Layers {
    /// Every setting as a line of TOML, with its source as a comment; secrets are masked.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut leaves: Vec<_> = self.leaves.iter().map(|(key, leaf)| (place(key), key, leaf)).collect();
        // A table is written once: its keys stand together, whatever tables it holds.
        leaves.sort_by_key(|(place, ..)| *place);
        let mut table = "";
        for ((of, name), key, leaf) in leaves {
            if of != table {
                table = of;
                let _ = writeln!(text, "\n[{table}]");
            }
            let value = shown(key, &leaf.value);
            let name = if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() };
            let _ = writeln!(text, "{:<56} # {}", format!("{name} = {value}"), leaf.origin);
        }
        text
    }
}

/// The value as people may see it.
fn shown(key: &str, value: &Value) -> Value {
    match value {
        _ if is_secret(key) => Value::String("********".to_owned()),
        Value::String(url) if key == "read_store.url" => Value::String(projections::masked(url)),
        value => value.clone(),
    }
}

/// The table of a key, and its name there.
fn place(key: &str) -> (&str, &str) {
    match open_name(key) {
        Some(name) => (OPEN_TABLE, name),
        None => key.rsplit_once('.').unwrap_or(("", key)),
    }
}
