//! Who may name whom.

use tidy::{assert_none, metadata, sources, workspace_packages};

/// Each room with the rooms and the engine crates it may name.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("events", &["rusqlite", "rdkafka", "kurrentdb"]),
    ("commands", &["events"]),
    ("projections", &["events", "rusqlite", "mongodb"]),
    ("workers", &["events", "commands", "projections"]),
    ("gateway", &["events", "commands", "projections", "workers", "axum"]),
    ("schemas", &["events", "commands", "projections"]),
    ("dlq-tools", &["events", "commands", "projections"]),
    ("sandbox", &["axum"]),
    ("tidy", &[]),
];

/// What needs a permission of the table above; every other crate is nobody's wall.
const GUARDED: &[&str] = &[
    "axum",
    "rdkafka",
    "mongodb",
    "rusqlite",
    "kurrentdb",
    "events",
    "commands",
    "projections",
    "workers",
    "gateway",
    "schemas",
    "dlq-tools",
    "tidy",
];

#[test]
fn a_room_depends_only_on_what_it_may_name() {
    let mut found = Vec::new();
    for (package, dependencies) in workspace_packages(&metadata()) {
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == package) else {
            found.push(format!("{package}: a new room needs a line in this table"));
            continue;
        };
        for (dependency, kind) in dependencies {
            let itself = dependency == package;
            if !itself && GUARDED.contains(&dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                found.push(format!("{package} depends on {dependency} ({kind})"));
            }
        }
    }
    assert_none("walls between the rooms:", &found);
}

#[test]
fn no_source_names_what_lies_behind_a_wall() {
    let forbidden: &[(&str, &[&str])] = &[
        ("events/src/", &["commands::", "projections::", "workers::", "gateway::", "axum"]),
        (
            "commands/src/",
            &["projections::", "workers::", "gateway::", "axum", "rusqlite", "rdkafka", "mongodb::"],
        ),
        ("projections/src/", &["commands::", "workers::", "gateway::", "axum", "rdkafka"]),
        ("workers/src/", &["gateway::", "axum", "rusqlite", "rdkafka", "mongodb::"]),
        ("gateway/src/", &["rusqlite", "rdkafka", "mongodb::"]),
    ];
    let mut found = Vec::new();
    for source in sources(".rs") {
        for (folder, names) in forbidden {
            if !source.path.starts_with(folder) {
                continue;
            }
            for (number, line) in source.code_lines() {
                for name in names.iter().filter(|name| line.contains(**name)) {
                    found.push(format!("{}:{number} names {name}", source.path));
                }
            }
        }
    }
    assert_none("names from behind a wall:", &found);
}
