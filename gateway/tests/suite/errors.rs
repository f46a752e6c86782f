//! `docs/errors.md` lists every code there is, with its status.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use gateway::http::{Code, rejections};

fn expected() -> String {
    let mut text = String::from(
        "# Errors\n\nEvery error is a problem document (RFC 9457, `application/problem+json`) with `type`, `title`, \
         `status`, `detail`,\n`instance`, and beside these `code` (stable, for programs), `trace_id` (the correlation id \
         under which the server\nlogged it) and, where fields are wrong, `errors` (each with `field`, `code`, `message`). \
         A 503 says `Retry-After`.\n\nThis page is generated from the code: `UPDATE=1 cargo test -p gateway errors` writes \
         it, and a test compares it.\n\n## Of the gateway itself\n\n| code | status | meaning |\n| --- | --- | --- |\n",
    );
    for code in Code::ALL {
        let _ =
            writeln!(text, "| `{}` | {} | {} |", code.code(), code.status().as_u16(), code.meaning().trim());
    }
    for (title, lines) in rejections::tables() {
        let _ = writeln!(text, "\n## {title}\n\n| code | status | meaning |\n| --- | --- | --- |");
        for line in lines {
            let _ = writeln!(text, "| `{}` | {} | {} |", line.code, line.status.as_u16(), line.meaning);
        }
    }
    text
}

#[test]
fn the_page_of_errors_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, expected()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, expected(), "write it anew with UPDATE=1");
}

/// A code may come from the gateway or from a rule, and from several rules: but never with different statuses.
#[test]
fn a_code_always_has_the_same_status() {
    let mut known: BTreeMap<String, u16> = BTreeMap::new();
    for line in expected().lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (code, status) = (cells.next().unwrap().to_owned(), cells.next().unwrap().parse().unwrap());
        let before = known.insert(code.clone(), status);
        assert!(before.is_none_or(|before| before == status), "{code} has two statuses");
    }
}
