//! What the documents promise exists: each attack of the threat model has a row and tests that are
//! there, and each label in the sources is one of its own.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a reviewer asks for.
const ATTACKS: [&str; 20] = [
    "Sequence reuse after restoring an old database",
    "Ghost member, device or role added by the hub",
    "Confusion across kinds, threads and companies",
    "Reorder, withhold (a whole strand too), roll back, truncate the roster",
    "Enrolment by a photographed QR, with a hub in the middle",
    "Office key misuse visible to all",
    "Captured office PC",
    "Stolen kit",
    "Backdated and delayed ops of a revoked device",
    "Incomplete cut offered by the hub",
    "Removal undone by a concurrent add",
    "Key op with wrong wraps, attacker's key, or by a non-member",
    "One ciphertext under two keys",
    "Age misuse (201 recipients, scrypt bomb)",
    "Non-canonical signatures and encodings",
    "Sending under an old key after a removal",
    "Guessing an erased text",
    "File names and sizes in backups",
    "Relayed login",
    "Stale roster warning after 72 h",
];

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// Sources below a folder of the repository.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            if path.is_dir() && !["target", "node_modules", "dist"].contains(&name.as_str()) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// Words in backticks that are a test's name.
fn names(cell: &str) -> Vec<&str> {
    let is_name = |word: &&str| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    cell.split('`').skip(1).step_by(2).filter(is_name).collect()
}

#[test]
fn every_attack_has_a_test_that_exists() {
    let model = document("docs/threat-model.md");
    let sources: String = ["core", "hub", "office", "tests"]
        .iter()
        .flat_map(|folder| sources(folder))
        .map(|(_, text)| text)
        .collect();
    let is_there = |name: &str| sources.contains(&format!("fn {name}("));
    let rows: Vec<Vec<&str>> = model
        .lines()
        .filter(|line| line.starts_with("| **"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for row in &rows {
        assert_eq!(row.len(), 3, "{row:?}");
        assert!(!names(row[2]).is_empty(), "no test shows: {}", row[0]);
        for name in names(row[2]) {
            assert!(is_there(name), "no test named {name}");
        }
    }
    for attack in ATTACKS {
        let bold = format!("**{attack}**");
        let count = rows.iter().filter(|row| row[0] == bold).count();
        assert_eq!(count, 1, "one row for \"{attack}\"");
    }
    // Names in the text are names of something, too.
    for name in model
        .lines()
        .filter(|line| !line.starts_with("| **"))
        .flat_map(names)
    {
        let known = is_there(name) || sources.contains(name);
        assert!(known, "nothing is called {name}");
    }
}

#[test]
fn no_label_in_the_sources_is_used_twice_or_begins_another() {
    let mut labels: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for folder in ["core", "hub", "office"] {
        for (path, text) in sources(folder)
            .into_iter()
            .filter(|(path, _)| !is_test(path))
        {
            for rest in text.split("\"kolonne ").skip(1) {
                let Some((literal, _)) = rest.split_once('"').filter(|(l, _)| l.ends_with(" v1"))
                else {
                    continue;
                };
                labels
                    .entry(format!("kolonne {literal}"))
                    .or_default()
                    .push(path.clone());
            }
        }
    }
    assert!(labels.len() >= 33, "{}", labels.len());
    for (label, places) in &labels {
        assert_eq!(places.len(), 1, "{label}: {places:?}");
        let begun = labels
            .keys()
            .filter(|other| other.starts_with(label.as_str()));
        assert_eq!(begun.count(), 1, "{label} begins another");
    }
}

#[test]
fn the_protocol_is_short_enough_to_be_read() {
    // A page has 60 lines of 100 characters or so.
    let text = document("docs/protocol.md");
    let lines: usize = text
        .lines()
        .map(|line| line.len().div_ceil(100).max(1))
        .sum();
    assert!(lines <= 25 * 60, "{lines} lines are more than 25 pages");
}
