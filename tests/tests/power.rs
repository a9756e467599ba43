//! *Gesichert* means on the disk, also when the power goes: every way in which a disk may be left.
//!
//! `KOLONNE_IMAGES` says how many images, `KOLONNE_SEED` from which on.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use kolonne_tests::World;
use kolonne_tests::power::disk::Trust;
use kolonne_tests::power::{Rig, hub, phone, trace};

/// Images of every run of the tests.
const IMAGES: u64 = 300;
/// The control's, of each kind.
const CONTROLS: u64 = 60;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// A rig for each processor.
fn rigs(record: impl Fn() -> Rig + Sync) -> Vec<Rig> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let rigs: Vec<Rig> = std::thread::scope(|scope| {
        let rigs: Vec<_> = (0..threads).map(|_| scope.spawn(&record)).collect();
        rigs.into_iter().map(|rig| rig.join().unwrap()).collect()
    });
    for rig in &rigs {
        println!("{}", rig.told());
    }
    rigs
}

/// Cuts the power so often; what is wrong with which image.
fn cut(rigs: &[Rig], seeds: std::ops::Range<u64>, trust: Trust) -> Vec<String> {
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        let threads: Vec<_> = rigs
            .iter()
            .map(|rig| {
                scope.spawn(|| {
                    let mut wrong = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end {
                            return wrong;
                        }
                        wrong.extend(rig.cut(seed, trust).err());
                    }
                })
            })
            .collect();
        let wrong = threads.into_iter().map(|thread| thread.join().unwrap());
        wrong.flatten().collect()
    })
}

/// Cuts the power of who was recorded, and of the same with syncs forgotten, which must be found.
fn cut_and_control(rigs: &[Rig], kinds: &[Trust]) {
    let began = Instant::now();
    let first = number("KOLONNE_SEED", 1);
    let images = number("KOLONNE_IMAGES", IMAGES);
    let wrong = cut(rigs, first..first + images, Trust::All);
    let control = |trust| {
        let wrong = cut(rigs, first..first + CONTROLS, trust).len() as u64;
        wrong * 100 / CONTROLS
    };
    for trust in kinds {
        let percent = control(*trust);
        println!("control, {trust:?}: {percent} %");
        assert!(percent >= 50, "the rig doesn't see it");
    }
    let percent = control(Trust::Nothing);
    println!(
        "{images} images, {} violations; control: {percent} % (all in {:?})",
        wrong.len(),
        began.elapsed()
    );
    let some: Vec<String> = wrong.into_iter().take(20).collect();
    assert!(some.is_empty(), "{}", some.join("\n"));
    assert!(percent >= 95, "the rig sees too little");
}

/// Whether processes can be recorded here.
fn can_trace() -> bool {
    let can = trace::can_trace();
    if !can {
        assert!(
            std::env::var("CI").is_err(),
            "strace is missing or may not trace; CI must have it"
        );
        eprintln!("SKIPPED: strace is missing or may not trace (Debian: apt install strace)");
    }
    can
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_every_power_cut() {
    if !can_trace() {
        return;
    }
    let mut world = World::new().await;
    let job = world.job("Halle Sulzemoos", &["Anna Weber"]);
    world.everyone_syncs().await;
    world.stop_hub().await;
    world.anna.switch_off();
    let sender = Path::new(env!("CARGO_BIN_EXE_sender"));
    let rigs = rigs(|| phone::record(&world.anna.dir, job, sender));
    let kinds = [Trust::NoDatabase, Trust::NoBlobs, Trust::NoFolders];
    cut_and_control(&rigs, &kinds);
}

#[test]
fn what_a_hub_answers_for_survives_every_power_cut() {
    if !can_trace() {
        return;
    }
    let rigs = rigs(|| hub::record(Path::new(env!("CARGO_BIN_EXE_keeper"))));
    cut_and_control(&rigs, &[Trust::NoFolders]);
}
