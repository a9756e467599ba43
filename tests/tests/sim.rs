//! Seeds drive whole companies through everything that can go wrong (`src/sim`). A seed that ever
//! failed stays here by its number.
//!
//! `KOLONNE_SEEDS` says how many seeds, `KOLONNE_SEED` from which on; with `KOLONNE_GARBLED` answers also
//! come back changed.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kolonne_tests::sim::faults::{LIES, fault};
use kolonne_tests::sim::shrink::{report, smallest};
use kolonne_tests::sim::{Ended, Plan, Templates, run};

/// Seeds of every run of the tests.
const SEEDS: u64 = 60;
/// Seeds that once found something: a line of one's own without a receipt after a phone was put back
/// (10), a document that was taken back (72) or erased (109, 128) before it came, a key whose wrap
/// was left out of an answer (161), an op that only its receiver could prove and that was to go
/// again for ever (263), a file of one's own that came back without a receipt (391), a word under a key
/// that was made while another added a crew (3372).
const FOUND: [u64; 8] = [10, 72, 109, 128, 161, 263, 391, 3372];

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

/// As seeds were when those in [`FOUND`] found something: five devices, and a hub that doesn't lie.
fn plan_of_found() -> Plan {
    Plan {
        faults: plan().faults & !(fault::LYING_HUB | fault::SMALL_PAGES),
        devices: Some(5),
        ..Plan::default()
    }
}

/// Runs these seeds on as many threads as there are processors; all of them, whichever fail.
fn run_all(templates: &Templates, seeds: &[(u64, Plan)]) {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::<Ended>::new());
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((seed, plan)) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match run(templates, *seed, plan) {
                        Ok(ended) => all.lock().unwrap().push(Ended {
                            story: String::new(),
                            ..ended
                        }),
                        Err(failed) => failures.lock().unwrap().push((*seed, plan, failed)),
                    }
                }
            });
        }
    });
    let (seconds, all) = (began.elapsed().as_secs_f64(), all.into_inner().unwrap());
    let sum = |of: fn(&Ended) -> usize| all.iter().map(of).sum::<usize>();
    let most = |of: fn(&Ended) -> usize| all.iter().map(of).max().unwrap_or_default();
    println!(
        "{} seeds in {seconds:.1} s: up to {} devices, {} captures, {} deaths, {} lies; everyone agreed \
         after at most {} exchanges",
        all.len(),
        most(|ended| ended.devices),
        sum(|ended| ended.captures),
        sum(|ended| ended.deaths),
        sum(|ended| ended.lies),
        most(|ended| ended.exchanges),
    );
    let failures = failures.into_inner().unwrap();
    let failed: Vec<u64> = failures.iter().map(|(seed, ..)| *seed).collect();
    // One of them is enough to read.
    if let Some((seed, plan, why)) = failures.into_iter().next() {
        let smallest = report(templates, seed, plan, why);
        panic!("seeds that failed: {failed:?}; the first, made small:\n{smallest}");
    }
}

#[test]
fn no_seed_loses_a_capture_and_all_devices_agree() {
    let templates = Templates::default();
    let first = number("KOLONNE_SEED", 1);
    let seeds = first..first + number("KOLONNE_SEEDS", SEEDS);
    let mut seeds: Vec<(u64, Plan)> = seeds.map(|seed| (seed, plan())).collect();
    seeds.extend(FOUND.map(|seed| (seed, plan_of_found())));
    run_all(&templates, &seeds);
}

/// The hub holds back threads, strands and parts of the roster, claims more or less than it has, signs
/// for what it threw away and for what nobody asked, repeats itself, refuses what is good.
#[test]
fn no_lie_of_a_hub_loses_anything_for_good() {
    let templates = Templates::default();
    let kinds = (0..LIES).map(|lie| {
        let plan = Plan {
            acts: 25,
            devices: Some(4),
            lie: Some(lie),
            faults: fault::LYING_HUB | fault::OFFICE | fault::DEATH,
            ..Plan::default()
        };
        (lie as u64, plan)
    });
    run_all(&templates, &kinds.collect::<Vec<_>>());
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    let templates = Templates::default();
    let plan = plan();
    for seed in 1..6 {
        let [first, second] = [(); 2]
            .map(|()| run(&templates, seed, &plan).unwrap_or_else(|failed| panic!("{failed:?}")));
        let differs = first
            .story
            .lines()
            .zip(second.story.lines())
            .find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
}

/// A bug that needs two acts, a kind of fault and four devices is shown by these alone.
#[test]
fn a_failing_seed_is_made_as_small_as_it_goes() {
    let runs = Cell::new(0);
    let whole = Plan {
        devices: Some(31),
        ..Plan::default()
    };
    let (plan, ()) = smallest(whole, (), |plan| {
        runs.set(runs.get() + 1);
        let acts = [7, 23].iter().all(|act| !plan.without.contains(act));
        let fails = acts && plan.faults & fault::FULL_DISK != 0 && plan.devices >= Some(4);
        fails.then_some(())
    });
    let acts: Vec<usize> = (0..plan.acts)
        .filter(|act| !plan.without.contains(act))
        .collect();
    assert_eq!(acts, [7, 23]);
    let kinds: Vec<_> = fault::ALL
        .iter()
        .filter(|(kind, _)| plan.faults & kind != 0)
        .collect();
    assert_eq!(kinds, [&(fault::FULL_DISK, "full disks")]);
    assert_eq!(plan.devices, Some(4));
    assert!(runs.get() < 200, "{} runs", runs.get());
}
