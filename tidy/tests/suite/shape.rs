//! Files and functions that a person can hold in the head.

use tidy::{Source, assert_none, sources};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn files_are_no_longer_than_a_head_can_hold() {
    let found: Vec<String> = sources(".rs")
        .iter()
        .filter(|source| !source.path.contains("/src/vocabulary/"))
        .map(|source| (source, source.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(source, lines)| format!("{} has {lines} lines", source.path))
        .collect();
    assert_none("at most 500 lines a file; split by meaning:", &found);
}

#[test]
fn functions_fit_on_a_screen() {
    let mut found = Vec::new();
    for source in sources(".rs") {
        found.extend(long_functions(&source));
    }
    assert_none("at most 70 lines a function:", &found);
}

/// In formatted code a function ends at the first `}` that stands as deep as its `fn` line.
fn long_functions(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    for (number, line) in source.lines() {
        let depth = line.len() - line.trim_start().len();
        match open {
            None if is_function(line) && !line.trim_end().ends_with([';', '}']) => {
                open = Some((number, depth))
            }
            Some((start, at)) if depth == at && line.trim() == "}" => {
                if number - start + 1 > FUNCTION_LINES_MAX {
                    found.push(format!("{}:{start} has {} lines", source.path, number - start + 1));
                }
                open = None;
            }
            Some((_, at)) if depth == at && line.trim_end().ends_with(';') => open = None,
            None | Some(_) => {}
        }
    }
    found
}

fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    let start = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async "];
    let mut rest = line;
    while let Some(shorter) = start.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = shorter;
    }
    rest.starts_with("fn ")
}

#[test]
fn a_long_function_is_found() {
    let body = "    work();\n".repeat(FUNCTION_LINES_MAX);
    let text = format!("pub async fn long(\n    a: u8,\n) {{\n{body}}}\n\nfn short() {{\n    work();\n}}\n");
    let source = Source { path: "x.rs".into(), text };
    assert_eq!(long_functions(&source), ["x.rs:1 has 74 lines"]);
}
