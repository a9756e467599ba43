//! The fold is a function of the set: any order, doubles and parts of 2,000 random ops end in the
//! same view, and folding on the way changes nothing.
//!
//! Seeds are fixed; `KOLONNE_SEED=n` tries another one. A failure names its seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use kolonne_model::fold::{Content, Contents, ThreadView, fold, seen_heads};
use kolonne_model::ids::{KeyId, OpId, SeatId};
use kolonne_model::judge::{Held, Ignored, Judgement, ThreadOps};
use kolonne_model::roster::Roster;
use kolonne_model::strand::VerifiedOp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::world::World;
use support::{Dice, Keyring, without_payload};

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("KOLONNE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=count).collect(),
    }
}

/// The contents of a device that lacks some keys.
struct Without<'a> {
    keyring: &'a Keyring,
    missing: &'a BTreeSet<KeyId>,
}

impl Contents for Without<'_> {
    fn content(&self, op: &VerifiedOp) -> Content<'_> {
        if op.op().payload.is_some() && self.missing.contains(&op.context().key) {
            return Content::NoKey;
        }
        self.keyring.content(op)
    }
}

/// What one device has got so far.
struct Receiver {
    roster: Roster,
    roster_ops: usize,
    parts: usize,
    ops: Vec<VerifiedOp>,
    missing: BTreeSet<KeyId>,
}

impl Receiver {
    fn fold(&self, world: &World) -> ThreadView {
        self.fold_in(world, &self.ops)
    }

    fn fold_in(&self, world: &World, ops: &[VerifiedOp]) -> ThreadView {
        let contents = Without {
            keyring: &world.job.keyring,
            missing: &self.missing,
        };
        fold(
            &ThreadOps::new(world.job.thread, ops),
            &self.roster,
            &contents,
        )
    }

    fn take_roster(&mut self, world: &World, through: usize) {
        let company = &world.job.company;
        for op in &company.roster_ops[self.roster_ops.min(through)..through] {
            self.roster.append(op);
            self.roster_ops += 1;
        }
        for part in &world.parts[..self.parts] {
            self.roster.add_part(part);
        }
    }
}

/// What must hold of any view, complete or not.
fn check(world: &World, receiver: &Receiver, view: &ThreadView, seed: u64) {
    let by_id: BTreeMap<OpId, &VerifiedOp> = receiver.ops.iter().map(|op| (op.id(), op)).collect();
    assert_eq!(view.judgements.len(), by_id.len(), "seed {seed}");
    let newest = receiver.roster.head().0;
    let opening = view.control.opening.as_ref().map(|opening| opening.op);
    for (id, judgement) in &view.judgements {
        let context = by_id[id].context();
        let gap = context.seq > 1 && !by_id.contains_key(&context.previous);
        let by_form = opening == Some(*id);
        if gap && !by_form {
            assert_eq!(
                *judgement,
                Judgement::Held(Held::Predecessor),
                "seed {seed}"
            );
        }
        // What names a position that isn't here is never counted nor kept back.
        if context.roster > newest && !by_form {
            assert!(
                matches!(
                    judgement,
                    Judgement::Held(_)
                        | Judgement::Ignored(
                            Ignored::Lamport | Ignored::RosterFell | Ignored::Malformed
                        )
                ),
                "seed {seed}: {judgement:?}"
            );
        }
    }
    // Entries stand in the screen's order, replies behind what they answer.
    let order: Vec<_> = view
        .entries
        .iter()
        .map(kolonne_model::fold::Entry::screen_order)
        .collect();
    assert!(order.is_sorted(), "seed {seed}");
    let place: BTreeMap<OpId, usize> = view
        .entries
        .iter()
        .enumerate()
        .map(|(at, e)| (e.id, at))
        .collect();
    for entry in &view.entries {
        if let kolonne_model::fold::Shown::Said(say) = &entry.shown
            && let Some(parent) = say.reply_to().and_then(|parent| place.get(&parent))
        {
            assert!(*parent < place[&entry.id], "seed {seed}");
        }
    }
    // `seen` names only what is here whole.
    let ops = ThreadOps::new(world.job.thread, &receiver.ops);
    for head in seen_heads(&ops, view, &SeatId::ZERO) {
        let mut at = head.head.id;
        loop {
            let op = ops.get(&at).unwrap();
            assert!(op.op().payload.is_some() || view.control.erased.contains(&at));
            assert!(!matches!(view.judgements[&at], Judgement::Held(_)));
            if op.context().seq == 1 {
                break;
            }
            at = op.context().previous;
        }
    }
}

#[test]
fn any_order_doubles_and_parts_end_in_the_same_view() {
    let started = Instant::now();
    for seed in seeds(8) {
        let world = World::new(seed, 2000);
        let nothing_missing = BTreeSet::new();
        let reference = {
            let contents = Without {
                keyring: &world.job.keyring,
                missing: &nothing_missing,
            };
            let ops = ThreadOps::new(world.job.thread, &world.ops);
            let start = Instant::now();
            let view = fold(&ops, &world.job.company.roster, &contents);
            if seed == 1 {
                println!("fold of {} ops: {:?}", world.ops.len(), start.elapsed());
            }
            view
        };
        for device in 0..5 {
            let mut dice = Dice(seed * 100 + device);
            let mut order: Vec<VerifiedOp> = world.ops.clone();
            // Some come twice, some first without their payload.
            for op in &world.ops {
                match dice.below(10) {
                    0 => order.push(op.clone()),
                    1 => order.push(without_payload(op)),
                    _ => {}
                }
            }
            dice.shuffle(&mut order);
            let mut receiver = Receiver {
                roster: Roster::new(world.job.company.id),
                roster_ops: 0,
                parts: 0,
                ops: vec![],
                missing: world.job.keyring.keys.keys().copied().collect(),
            };
            let steps = 6;
            for step in 1..=steps {
                let through = order.len() * step / steps;
                receiver.ops = order[..through].to_vec();
                let links = world.job.company.roster_ops.len();
                receiver.parts = world.parts.len() * step / steps;
                let known = if step == steps {
                    links
                } else {
                    dice.below(links + 1)
                };
                receiver.take_roster(&world, known.max(receiver.roster_ops));
                let missing = if step == steps { 0 } else { 3 };
                receiver.missing = world
                    .job
                    .keyring
                    .keys
                    .keys()
                    .filter(|_| missing > 0 && dice.one_in(missing))
                    .copied()
                    .collect();
                let view = receiver.fold(&world);
                check(&world, &receiver, &view, seed);
                let mut again = receiver.ops.clone();
                dice.shuffle(&mut again);
                assert!(
                    view == receiver.fold_in(&world, &again),
                    "seed {seed}, device {device}: the same set gave another view"
                );
            }
            assert!(
                receiver.fold(&world) == reference,
                "seed {seed}, device {device}: complete, and not the same"
            );
        }
        if seed == 1 {
            print_mix(&world, &reference);
        }
    }
    println!("took {:?}", started.elapsed());
}

/// So that a generator that only makes one kind of thing is noticed.
fn print_mix(world: &World, view: &ThreadView) {
    let mut mix: BTreeMap<String, usize> = BTreeMap::new();
    for judgement in view.judgements.values() {
        *mix.entry(format!("{judgement:?}")).or_default() += 1;
    }
    println!(
        "{mix:?}; {} entries, {} fields, {} keys, {} erased, {} seen, {} roster ops",
        view.entries.len(),
        view.fields.len(),
        view.control.keys.len(),
        view.control.erased.len(),
        view.seen_ops.len(),
        world.job.company.roster_ops.len()
    );
    assert!(mix.len() >= 8, "{mix:?}");
}

/// With every roster op the known part grows: nothing naming a later position counts before.
#[test]
fn a_partial_roster_only_holds() {
    for seed in seeds(2) {
        let world = World::new(seed + 1000, 600);
        let links = world.job.company.roster_ops.len();
        let mut receiver = Receiver {
            roster: Roster::new(world.job.company.id),
            roster_ops: 0,
            parts: world.parts.len(),
            ops: world.ops.clone(),
            missing: BTreeSet::new(),
        };
        for known in 0..=links {
            receiver.take_roster(&world, known);
            let view = receiver.fold(&world);
            check(&world, &receiver, &view, seed);
        }
        assert!(receiver.roster.head() == world.job.company.roster.head());
    }
}

/// Any part of a small world in any order, shrunk to the smallest that differs.
#[test]
fn any_part_in_any_order_is_a_function_of_the_set() {
    let world = World::new(5, 160);
    let ids: Vec<usize> = (0..world.ops.len()).collect();
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: 200,
            failure_persistence: None,
            ..Config::default()
        },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let some = proptest::sample::subsequence(ids, 0..=world.ops.len());
    let cases = (some, any::<u64>(), 0..=world.job.company.roster_ops.len());
    runner
        .run(&cases, |(some, order, links)| {
            let receiver = Receiver {
                roster: world.job.company.roster_at(links),
                roster_ops: links,
                parts: 0,
                ops: some.iter().map(|at| world.ops[*at].clone()).collect(),
                missing: BTreeSet::new(),
            };
            let view = receiver.fold(&world);
            let mut shuffled = receiver.ops.clone();
            shuffled.extend(receiver.ops.iter().step_by(3).map(without_payload));
            Dice(order).shuffle(&mut shuffled);
            prop_assert!(view == receiver.fold_in(&world, &shuffled));
            check(&world, &receiver, &view, order);
            Ok(())
        })
        .unwrap();
}
