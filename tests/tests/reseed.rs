//! A hub that was put back by an hour, and one that was lost: every device notices at first contact,
//! alone hands over what is missing, and nothing is lost. `KOLONNE_RESEED_OPS` says how many lines that
//! hour had; the rate is printed.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::Path;
use std::time::Instant;

use kolonne_core::records::{HubState, State};
use kolonne_model::ids::OpId;
use kolonne_tests::files::{copy_folder, photo};
use kolonne_tests::scribe::Scribe;
use kolonne_tests::{Device, JobId, World};
use rusqlite::{Connection, OpenFlags};

/// Lines of the hour, without a wish of the environment's: the writer signs each 1,024th.
const LINES: usize = 2_100;

fn lines() -> usize {
    let said = std::env::var("KOLONNE_RESEED_OPS").ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(LINES)
}

/// Ops, but the roster's, and blobs that a hub has.
fn at_hub(hub: &Path) -> (u64, u64) {
    let db = hub.join("hub.db");
    let db = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let count = |sql: &str| -> i64 { db.query_row(sql, [], |row| row.get(0)).unwrap() };
    (
        count("SELECT count(*) FROM ops").cast_unsigned(),
        count("SELECT count(*) FROM blobs").cast_unsigned(),
    )
}

/// A company, a copy of its hub, and an hour of much writing and some photos after it.
async fn an_hour() -> (World, JobId, Vec<OpId>) {
    let mut world = World::new().await;
    let job = world.job("Dachstuhl", &["Kolonne 3", "Anna Weber"]);
    world.everyone_syncs().await;
    world.everyone_syncs().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("copy"));
    world.start_hub();
    let mut scribe = Scribe::join(&world, world.ring("Kolonne 3")).await;
    let texts: Vec<String> = (0..lines())
        .map(|n| format!("Zeile {n}: Ortgang, First"))
        .collect();
    let page = scribe.write(job, &texts).await;
    scribe.push(vec![page]).await;
    let photos = [&world.anna, &world.kolonne_3]
        .iter()
        .zip(1..)
        .map(|(device, n)| device.photo(&job, &photo(800, 600, n)))
        .collect();
    for _ in 0..3 {
        world.everyone_syncs().await;
    }
    (world, job, photos)
}

/// Another hub stands where one stood: the first request may find its connection dead. The seconds
/// count all tries.
async fn meet(device: &Device) -> f64 {
    let since = Instant::now();
    for _ in 0..2 {
        if device.try_sync().await.is_ok() {
            return since.elapsed().as_secs_f64();
        }
    }
    device.sync().await;
    since.elapsed().as_secs_f64()
}

fn told(what: &str, device: &str, ops: u64, seconds: f64) {
    let rate = f64::from(u32::try_from(ops).unwrap()) / seconds;
    println!("{what}, {device} alone: {ops} ops in {seconds:.2} s, {rate:.0} ops/s");
}

/// A phone lacks the original of another's photo, and threads that it isn't in.
fn assert_gave_what_it_has((ops, blobs): (u64, u64), at: usize) {
    assert!(ops > lines() as u64, "{ops} ops");
    assert_eq!(blobs, if at == 0 { 6 } else { 5 });
}

async fn assert_has_all(world: &mut World, folder: &str, whole: (u64, u64)) {
    world.stop_hub().await;
    let now = at_hub(&world.path(folder));
    assert!(now.0 >= whole.0 && now.1 == whole.1, "{now:?} of {whole:?}");
}

const NAMES: [&str; 3] = ["the office", "the foreman", "the crew"];

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_put_back_by_an_hour_is_noticed_by_each_device_and_gets_all_again() {
    let (mut world, job, photos) = an_hour().await;
    let before = world.devices().map(|device| device.thread(&job));
    world.stop_hub().await;
    let (whole, copied) = (at_hub(&world.path("hub")), at_hub(&world.path("copy")));
    assert!(whole.0 > lines() as u64 && whole.1 == 6, "{whole:?}");
    for (at, name) in NAMES.iter().enumerate() {
        // Each is the first who comes to such a hub.
        std::fs::remove_dir_all(world.path("hub")).unwrap();
        copy_folder(&world.path("copy"), &world.path("hub"));
        world.start_hub();
        let seconds = meet(world.devices()[at]).await;
        world.stop_hub().await;
        let now = at_hub(&world.path("hub"));
        told("Put back", name, now.0 - copied.0, seconds);
        assert_gave_what_it_has(now, at);
    }
    world.start_hub();
    for _ in 0..2 {
        for device in world.devices() {
            meet(device).await;
        }
    }
    assert_eq!(world.devices().map(|device| device.thread(&job)), before);
    for device in world.devices() {
        for photo in &photos {
            assert_eq!(device.state(&job, photo), State::Office);
        }
    }
    assert_has_all(&mut world, "hub", whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_hub_is_noticed_by_each_device_and_the_next_one_gets_all() {
    let (mut world, job, photos) = an_hour().await;
    let before = world.devices().map(|device| device.thread(&job));
    world.stop_hub().await;
    let whole = at_hub(&world.path("hub"));
    for (at, name) in NAMES.iter().enumerate() {
        let folder = format!("hub-{at}");
        world.start_hub_on(&folder);
        let device = world.devices()[at];
        let seconds = meet(device).await;
        let status = device.core().status().unwrap();
        assert_eq!(status.hub, HubState::Uncertified);
        assert!(status.new_hub.is_some());
        for photo in &photos {
            assert_ne!(device.state(&job, photo), State::Sent, "no receipt counts");
        }
        if at < 2 {
            world.stop_hub().await;
        }
        let now = at_hub(&world.path(&folder));
        told("Lost", name, now.0, seconds);
        assert_gave_what_it_has(now, at);
    }
    let key = world.hub.as_ref().unwrap().key;
    let seat = world.büro.seat();
    meet(&world.büro).await;
    world.büro.core().certify_hub(&seat, &key).await.unwrap();
    for _ in 0..2 {
        for device in world.devices() {
            meet(device).await;
        }
    }
    assert_eq!(world.devices().map(|device| device.thread(&job)), before);
    assert_has_all(&mut world, "hub-2", whole).await;
}

/// Somebody signs only every 250th of what they write, in five jobs at once, and each line bears a
/// kilobyte that nobody knows: as mere links they are far more than the lines are.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_a_far_signature_proves_are_handed_over_again_in_small_pages() {
    let mut world = World::new().await;
    let jobs: Vec<JobId> = (1..=5)
        .map(|n| world.job(&format!("Dach {n}"), &["Kolonne 3", "Anna Weber"]))
        .collect();
    world.everyone_syncs().await;
    world.everyone_syncs().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("copy"));
    world.start_hub();
    let mut scribe = Scribe::join(&world, world.ring("Kolonne 3")).await;
    let texts: Vec<String> = (1..=250).map(|n| format!("Zeile {n}")).collect();
    let mut pages = [Vec::new(), Vec::new()];
    for job in &jobs {
        let [first, others] = scribe.write_far(*job, &texts, 1_000).await;
        pages[0].push(first);
        pages[1].push(others);
    }
    scribe.push(pages.concat()).await;
    for _ in 0..2 {
        world.everyone_syncs().await;
    }
    world.stop_hub().await;
    let whole = at_hub(&world.path("hub"));
    std::fs::remove_dir_all(world.path("hub")).unwrap();
    copy_folder(&world.path("copy"), &world.path("hub"));
    world.start_hub();
    let copied = at_hub(&world.path("hub")).0;
    meet(&world.anna).await;
    let now = at_hub(&world.path("hub")).0;
    assert!(now - copied >= 1_250, "{now} ops");
    for job in &jobs {
        assert_eq!(world.büro.entries(job).len(), 250);
    }
    meet(&world.büro).await;
    assert_has_all(&mut world, "hub", whole).await;
}
