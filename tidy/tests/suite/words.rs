//! Words that do not belong in the tree, and links that lead nowhere.

use tidy::{assert_none, root, sources};

#[test]
fn no_work_is_left_behind() {
    // Put together here, so that this file does not find itself.
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];
    let mut found = Vec::new();
    for source in sources(".rs").iter().chain(&sources(".md")).chain(&sources(".toml")) {
        for (number, line) in source.lines() {
            // In quotes it is a value: ISO 4217's code for "no currency", say.
            let marks = |marker: &&&str| line.contains(**marker) && !line.contains(&format!("\"{marker}\""));
            for marker in markers.iter().filter(marks) {
                found.push(format!("{}:{number} {marker}", source.path));
            }
        }
    }
    assert_none("left-over markers:", &found);
}

#[test]
fn an_ignored_test_says_why() {
    let bare = concat!("#[ign", "ore]");
    let mut found = Vec::new();
    for source in sources(".rs") {
        for (number, _) in source.lines().filter(|(_, line)| line.contains(bare)) {
            found.push(format!("{}:{number}", source.path));
        }
    }
    assert_none("ignored without a reason:", &found);
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = root();
    let mut found = Vec::new();
    for page in sources(".md") {
        let folder = root.join(&page.path);
        let folder = folder.parent().expect("a page lies in a folder");
        for (number, line) in page.lines() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = link.split('#').next().unwrap_or_default();
                let elsewhere = target.is_empty() || target.contains("://");
                if !elsewhere && !folder.join(target).exists() {
                    found.push(format!("{}:{number} {link}", page.path));
                }
            }
        }
    }
    assert_none("links that lead nowhere:", &found);
}

#[test]
fn lines_end_cleanly() {
    let mut found = Vec::new();
    for source in sources(".rs").iter().chain(&sources(".md")).chain(&sources(".toml")) {
        if !source.text.ends_with('\n') || source.text.ends_with("\n\n") {
            found.push(format!("{} does not end in exactly one newline", source.path));
        }
        for (number, _) in source.lines().filter(|(_, line)| line.ends_with([' ', '\t'])) {
            found.push(format!("{}:{number} ends in white space", source.path));
        }
    }
    assert_none("clean lines:", &found);
}
