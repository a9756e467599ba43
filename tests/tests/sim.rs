//! Seeds drive whole companies through everything that can go wrong (`src/sim`). A seed that ever
//! failed stays here by its number.
//!
//! `KOLONNE_SEEDS` says how many seeds, `KOLONNE_SEED` from which on; with `KOLONNE_GARBLED` answers also
//! come back changed.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use kolonne_tests::sim::faults::fault;
use kolonne_tests::sim::{Plan, Template, run};

/// Seeds of every run of the tests.
const SEEDS: u64 = 60;
/// Seeds that once found something: a line of one's own without a receipt after a phone was put back
/// (10), a document that was taken back (72) or erased (109, 128) before it came, a key whose wrap
/// was left out of an answer (161), an op that only its receiver could prove and that was to go
/// again for ever (263), a file of one's own that came back without a receipt (391).
const FOUND: [u64; 7] = [10, 72, 109, 128, 161, 263, 391];

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// Everything but answers that come back changed, unless `KOLONNE_GARBLED` is set: `age` draws its own
/// randomness, so that the bytes of keys and files, and what a flipped bit makes of them, are others
/// each time. A seed must tell the same story in every run.
fn plan() -> Plan {
    let garbled = std::env::var_os("KOLONNE_GARBLED").is_some();
    Plan {
        faults: if garbled { u32::MAX } else { !fault::GARBLED },
        ..Plan::default()
    }
}

/// Runs these seeds on as many threads as there are processors; stops at the first that fails.
fn run_all(template: &Template, seeds: &[u64]) {
    let next = AtomicUsize::new(0);
    let (captures, deaths, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let plan = plan();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match run(template, *seed, plan) {
                        Ok(ended) => {
                            captures.fetch_add(ended.captures, Ordering::Relaxed);
                            deaths.fetch_add(ended.deaths, Ordering::Relaxed);
                            most.fetch_max(ended.exchanges as u64, Ordering::Relaxed);
                        }
                        Err(why) => panic!(
                            "seed {seed}: {why}\nTry again with KOLONNE_SEED={seed} KOLONNE_SEEDS=1"
                        ),
                    }
                }
            });
        }
    });
    println!(
        "{} seeds in {:.1} s: {} captures, {} deaths; everyone agreed after at most {} exchanges",
        seeds.len(),
        began.elapsed().as_secs_f64(),
        captures.into_inner(),
        deaths.into_inner(),
        most.into_inner()
    );
}

#[test]
fn no_seed_loses_a_capture_and_all_devices_agree() {
    let template = Template::with_crews(1);
    let first = number("KOLONNE_SEED", 1);
    let mut seeds: Vec<u64> = (first..first + number("KOLONNE_SEEDS", SEEDS)).collect();
    seeds.extend(FOUND);
    run_all(&template, &seeds);
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    let template = Template::with_crews(0);
    for seed in 1..6 {
        let [first, second] =
            [(); 2].map(|()| run(&template, seed, plan()).unwrap_or_else(|why| panic!("{why}")));
        let differs = first
            .story
            .lines()
            .zip(second.story.lines())
            .find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
}
