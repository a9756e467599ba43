//! What the documents promise exists: each attack of the threat model has a row and tests that are
//! there, and each label in the sources is one of its own.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
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
    let tests = tests_in(&sources);
    assert!(tests.len() > 400, "{} tests", tests.len());
    let rows: Vec<Vec<&str>> = model
        .lines()
        .filter(|line| line.starts_with("| **"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for row in &rows {
        assert_eq!(row.len(), 3, "{row:?}");
        assert!(!names(row[2]).is_empty(), "no test shows: {}", row[0]);
        for name in names(row[2]) {
            assert!(tests.contains(name), "no test named {name}");
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
        assert!(sources.contains(name), "nothing is called {name}");
    }
}

/// The functions that a run of the tests calls: marked as one, and left out by nothing.
fn tests_in(sources: &str) -> BTreeSet<&str> {
    let mut tests = BTreeSet::new();
    let (mut is_test, mut is_ignored) = (false, false);
    for line in sources.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            is_ignored |= line.starts_with("#[ignore") || line.starts_with("#[cfg");
        } else if !line.starts_with("//") {
            let after = line.strip_prefix("async ").unwrap_or(line);
            let name = after
                .strip_prefix("fn ")
                .and_then(|rest| rest.split('(').next());
            if let Some(name) = name.filter(|_| is_test && !is_ignored) {
                tests.insert(name);
            }
            (is_test, is_ignored) = (false, false);
        }
    }
    tests
}

#[test]
fn only_what_runs_counts_as_a_test() {
    let sources = "fn helper() {}\n#[test]\n// Why.\n#[expect(clippy::x)]\nfn one() {}\n\
        #[tokio::test(flavor = \"multi_thread\")]\nasync fn two() {}\n\
        #[test]\n#[ignore]\nfn three() {}\n#[test]\n#[cfg(windows)]\nfn four() {}\nfn five() {}\n";
    assert_eq!(tests_in(sources), BTreeSet::from(["one", "two"]));
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
