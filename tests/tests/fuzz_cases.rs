//! What is fuzzed keeps its promises for every seed, and for what once broke them.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::{Path, PathBuf};

use kolonne_tests::fuzz::{TARGETS, seeds};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[test]
fn seeds_break_nothing() {
    for target in TARGETS {
        let seeds = seeds(target.name);
        assert!(!seeds.is_empty());
        for seed in seeds {
            (target.run)(&seed);
            // Cut off, and with something behind it.
            (target.run)(&seed[..seed.len() / 2]);
            (target.run)(&[seed.as_slice(), &[0]].concat());
        }
    }
}

#[test]
fn what_once_broke_a_promise_breaks_none_now() {
    // None yet is fine.
    let crashers = std::fs::read_dir(folder().join("crashers"));
    for entry in crashers.into_iter().flatten() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.unwrap_or_else(|| panic!("nobody fuzzes {name}"));
        for case in std::fs::read_dir(&folder).unwrap() {
            let case = case.unwrap().path();
            eprintln!("{}", case.display());
            (target.run)(&std::fs::read(case).unwrap());
        }
    }
}

#[test]
fn each_target_has_its_binary() {
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let name = target.name;
        let source = folder().join(format!("fuzz_targets/{name}.rs"));
        let source = std::fs::read_to_string(source).unwrap();
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let binaries = manifest.matches("[[bin]]").count();
    assert_eq!(binaries, TARGETS.len());
}

/// `KOLONNE_FUZZ_CORPUS=FOLDER cargo test --release --workspace --test fuzz_cases -- --ignored`
#[test]
#[ignore = "writes what tests/fuzz/run begins with"]
fn seeds_are_written() {
    let corpus = PathBuf::from(std::env::var_os("KOLONNE_FUZZ_CORPUS").unwrap());
    for target in TARGETS {
        let folder = corpus.join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for seed in seeds(target.name) {
            let name = blake3::hash(&seed).to_hex();
            std::fs::write(folder.join(name.as_str()), seed).unwrap();
        }
    }
}
