//! A dependency is chosen, not picked up.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tidy::{assert_none, metadata, root, text, workspace_packages};

/// Licences (SPDX) we can live with; of an `OR` one side is enough, of an `AND` all are needed.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[test]
fn every_direct_dependency_has_its_reason() {
    let page = fs::read_to_string(root().join("docs/dependencies.md")).expect("docs/dependencies.md");
    let packages = workspace_packages(&metadata());
    let ours: BTreeSet<&str> = packages.iter().map(|(name, _)| name.as_str()).collect();
    let used: BTreeSet<&str> = packages
        .iter()
        .flat_map(|(_, dependencies)| dependencies.iter().map(|(name, _)| name.as_str()))
        .filter(|name| !ours.contains(name))
        .collect();
    let missing: Vec<String> = used
        .iter()
        .filter(|name| !page.contains(&format!("| `{name}` |")))
        .map(|name| (*name).into())
        .collect();
    assert_none("no reason in docs/dependencies.md:", &missing);
    let stale: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| !used.contains(name))
        .map(Into::into)
        .collect();
    assert_none("in docs/dependencies.md but not used:", &stale);
}

#[test]
fn every_licence_is_one_we_can_live_with() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let found: Vec<String> = packages
        .iter()
        .filter(|package| !allowed(&text(&package["license"])))
        .map(|package| format!("{}: {}", text(&package["name"]), package["license"]))
        .collect();
    assert_none("licences:", &found);
}

fn allowed(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], "").replace('/', " OR ");
    expression.split(" AND ").all(|all| all.split(" OR ").any(|licence| LICENCES.contains(&licence.trim())))
}

#[test]
fn a_licence_expression_is_read_as_spdx_means_it() {
    assert!(allowed("MIT OR GPL-3.0"));
    assert!(allowed("MIT/Apache-2.0"));
    assert!(!allowed("MIT AND GPL-3.0"));
    assert!(!allowed(""));
}

#[test]
fn serde_json_keeps_its_key_order_and_its_numbers() {
    let metadata = metadata();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("the resolved graph");
    let serde_json = nodes
        .iter()
        .find(|node| text(&node["id"]).contains("serde_json"))
        .expect("serde_json is in the graph");
    for feature in ["arbitrary_precision", "preserve_order"] {
        let features = serde_json["features"].as_array().expect("features");
        assert!(!features.contains(&Value::from(feature)), "somebody switched on serde_json/{feature}");
    }
}
