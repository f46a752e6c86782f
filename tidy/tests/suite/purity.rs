//! Deciders and projections are functions of their arguments: no clock, no randomness, no environment, no I/O.

use tidy::{Source, assert_none, sources};

/// What a pure file never says.
const IMPURE: &[&str] = &[
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "::now_v7",
    "::fresh()",
    "DomainClock",
    "std::env",
    "std::fs",
    "std::net",
    "std::io",
    "std::thread",
    "tokio::",
    "rand::",
    "getrandom",
    "println!",
    "tracing::",
    "HashMap",
    "HashSet",
];

fn is_decider(source: &Source) -> bool {
    source.path.starts_with("commands/src/") && source.text.contains("impl Aggregate for")
}

fn is_projection(source: &Source) -> bool {
    source.path.starts_with("projections/src/") && source.text.contains("impl Projection for")
}

#[test]
fn deciders_and_projections_are_pure() {
    let mut found = Vec::new();
    let (mut deciders, mut projections) = (0, 0);
    for source in sources(".rs") {
        deciders += usize::from(is_decider(&source));
        projections += usize::from(is_projection(&source));
        if !is_decider(&source) && !is_projection(&source) {
            continue;
        }
        for (number, line) in source.code_lines() {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{number} says {word}", source.path));
            }
        }
    }
    assert!(deciders >= 8, "found only {deciders} deciders: this test has gone blind");
    assert!(projections >= 9, "found only {projections} projections: this test has gone blind");
    assert_none("deciders and projections are pure:", &found);
}

#[test]
fn deciders_and_projections_name_every_event() {
    let lint = "#![deny(clippy::wildcard_enum_match_arm)]";
    let found: Vec<String> = sources(".rs")
        .into_iter()
        .filter(|source| is_decider(source) || is_projection(source))
        .filter(|source| !source.text.contains(lint))
        .map(|source| format!("{} lacks {lint}", source.path))
        .collect();
    assert_none("a new event must break the build where work is due:", &found);
}
