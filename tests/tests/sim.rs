//! Seeds drive whole companies through everything that can go wrong (`src/sim`).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use kolonne_tests::sim::{Plan, Template, run};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

#[test]
fn no_seed_loses_a_capture_and_all_devices_agree() {
    let template = Template::with_crews(1);
    let (first, many) = (number("KOLONNE_SEED", 1), number("KOLONNE_SEEDS", 20));
    let plan = Plan::default();
    for seed in first..first + many {
        match run(&template, seed, plan) {
            Ok(ended) => println!(
                "seed {seed}: {} captures, {} deaths, {} exchanges",
                ended.captures, ended.deaths, ended.exchanges
            ),
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
}
