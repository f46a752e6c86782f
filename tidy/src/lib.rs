//! Reads the house as text, so that the tests beside it can say where a rule is broken.
//!
//! The rules themselves are the tests in `tests/suite`: one file per rule. Nothing here is part of the product.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A text file of the repository.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the root, with forward slashes.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// The lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines that are code: no comment lines, and nothing behind `#[cfg(test)]`.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tidy lies in the workspace").to_owned()
}

/// Every file with this ending below the root, in path order, build output and hidden folders left out.
pub fn sources(ending: &str) -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    collect(&root, &root, ending, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, ending: &str, found: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).expect("the repository's folders can be read");
    for entry in entries {
        let entry = entry.expect("the repository's folders can be read");
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" || name == "data" {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, ending, found);
        } else if name.ends_with(ending) {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let relative = path.strip_prefix(root).expect("found below the root");
            found.push(Source { path: relative.to_string_lossy().replace('\\', "/"), text });
        }
    }
}

/// What `cargo metadata` says of the workspace and all it rests on, on this platform.
pub fn metadata() -> Value {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let version = String::from_utf8(rustc.stdout).expect("rustc prints UTF-8");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// The packages of the workspace, with their direct dependencies' names by kind (`normal`, `dev`, `build`).
pub fn workspace_packages(metadata: &Value) -> Vec<(String, Vec<(String, String)>)> {
    let members = metadata["workspace_members"].as_array().expect("members");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .filter(|package| members.contains(&package["id"]))
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let named = dependencies.iter().map(|dependency| {
                let kind = dependency["kind"].as_str().unwrap_or("normal");
                (text(&dependency["name"]), kind.to_owned())
            });
            (text(&package["name"]), named.collect())
        })
        .collect()
}

/// The value as text; empty when it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Fails with all that was found, one line each.
///
/// # Panics
/// When anything was found.
pub fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}\n  {}", found.join("\n  "));
}
