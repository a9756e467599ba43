//! Makes a failing seed small: acts, kinds of faults and devices are left out as long as it still
//! fails in the same way. What is left is what a person has to read.

use std::fmt::Write as _;

use super::faults::fault;
use super::{Failed, Plan, Templates, run};

/// Runs that a search takes at most.
const MAX_RUNS: usize = 400;

/// The smallest plan with which something still fails, as far as leaving out one thing after the other
/// finds it: the plan, and how it fails. `fails` runs a plan; none: it doesn't fail, or otherwise.
pub fn smallest<T>(plan: Plan, first: T, mut fails: impl FnMut(&Plan) -> Option<T>) -> (Plan, T) {
    let mut best = (plan, first);
    let mut runs = 0;
    let mut is_smaller = |best: &mut (Plan, T), plan: Plan| {
        runs += 1;
        if runs > MAX_RUNS || plan == best.0 {
            return false;
        }
        let failed = fails(&plan);
        failed.map(|failed| *best = (plan, failed)).is_some()
    };
    loop {
        let mut got_smaller = false;
        // Acts: halves of what is left, then quarters, then single ones; the last ones first.
        let mut many = left(&best.0).len().div_ceil(2);
        while many > 0 {
            let acts = left(&best.0);
            for some in acts.rchunks(many) {
                let mut plan = best.0.clone();
                plan.without.extend(some);
                got_smaller |= is_smaller(&mut best, plan);
            }
            many = if many == 1 { 0 } else { many.div_ceil(2) };
        }
        for (kind, _) in fault::ALL {
            let mut plan = best.0.clone();
            plan.faults &= !kind;
            got_smaller |= plan.faults != best.0.faults && is_smaller(&mut best, plan);
        }
        while let Some(fewer) = best.0.devices.filter(|devices| *devices > 3) {
            let halved = Plan {
                devices: Some((fewer / 2).max(3)),
                ..best.0.clone()
            };
            let one_less = Plan {
                devices: Some(fewer - 1),
                ..best.0.clone()
            };
            if !is_smaller(&mut best, halved) && !is_smaller(&mut best, one_less) {
                break;
            }
            got_smaller = true;
        }
        if !got_smaller {
            return best;
        }
    }
}

/// The acts of a plan.
fn left(plan: &Plan) -> Vec<usize> {
    let all = 0..plan.acts;
    all.filter(|act| !plan.without.contains(act)).collect()
}

/// What to read of a seed that failed: the seed, the smallest plan with which it still does, and that
/// plan's story without what only goes to and fro.
pub fn report(templates: &Templates, seed: u64, plan: &Plan, failed: Failed) -> String {
    let kind = failed.kind().to_owned();
    let whole = Plan {
        replayed: failed.begun.clone(),
        devices: Some(plan.devices_of(seed)),
        ..plan.clone()
    };
    let (plan, failed) = smallest(whole, failed, |plan| {
        let failed = run(templates, seed, plan).err()?;
        (failed.kind() == kind).then_some(failed)
    });
    let faults: Vec<&str> = fault::ALL
        .iter()
        .filter(|(kind, _)| plan.faults & kind != 0)
        .map(|(_, name)| *name)
        .collect();
    let mut out = format!(
        "seed {seed}: {} devices, acts {:?} of {}, faults: {}\n",
        plan.devices.unwrap_or_default(),
        left(&plan),
        plan.acts,
        faults.join(", ")
    );
    for line in failed.story.lines().filter(|line| !is_to_and_fro(line)) {
        writeln!(out, "{line}").unwrap();
    }
    writeln!(out, "{}", failed.why).unwrap();
    out
}

fn is_to_and_fro(line: &str) -> bool {
    let said = line.split_once(": ").map_or(line, |(_, said)| said);
    super::REQUESTS.contains(&said) || said.starts_with("synced")
}
