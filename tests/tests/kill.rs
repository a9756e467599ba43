//! *Gesichert* means on the disk: a sending process is killed at random moments, without a hub.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kolonne_core::points::Point;
use kolonne_model::ids::{OpId, ThreadId};
use kolonne_tests::{Device, World, whole};

/// `KOLONNE_KILLS` for more.
const KILLS: u64 = 100;
/// Deaths at each named point.
const AT_EACH_POINT: u64 = 20;
const SEED: u64 = 20_261_123;
/// After its start a process lives at most this long: from before it has opened its store to many
/// items later.
const LONGEST_LIFE_MS: u64 = 500;

/// A number that looks random, the same for the same seed and place.
fn random(seed: u64, place: u64) -> u64 {
    let hash = blake3::hash(&[seed.to_be_bytes(), place.to_be_bytes()].concat());
    u64::from_be_bytes(*hash.as_bytes().first_chunk().unwrap())
}

/// How a sender ends.
enum Death<'a> {
    /// Killed from outside, after a while.
    After(Duration),
    /// By itself, when it comes by a point for this time.
    At(&'a str, u64),
}

/// Starts a sender, lets it die, and gives what it acknowledged.
fn send_until_dead(dir: &Path, job: &ThreadId, first: u64, death: &Death<'_>) -> Vec<(u64, OpId)> {
    let mut sender = Command::new(env!("CARGO_BIN_EXE_sender"));
    sender.arg(dir).args([job.to_string(), first.to_string()]);
    if let Death::At(point, times) = death {
        sender.args([(*point).to_owned(), times.to_string()]);
    }
    let mut sender = sender
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(sender.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = lines.lines().map_while(Result::ok);
        lines
            .filter_map(|line| {
                let mut words = line.strip_prefix("gesichert ")?.split(' ');
                Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
            })
            .collect()
    });
    if let Death::After(life) = death {
        std::thread::sleep(*life);
        let died_itself = sender.try_wait().unwrap();
        sender.kill().unwrap(); // SIGKILL
        let end = sender.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&end.stderr).into_owned();
        assert_eq!(died_itself, None, "the sender died by itself: {said}");
    } else {
        let end = sender.wait_with_output().unwrap();
        assert_eq!(end.status.signal(), Some(6), "it dies at the point");
    }
    reader.join().unwrap()
}

fn assert_whole(device: &Device, job: &ThreadId) {
    let left_over = whole::check(device, &device.database(), job).unwrap();
    println!("{left_over} blobs left over by killed captures");
}

fn assert_all_there_once(device: &Device, job: &ThreadId, kept: &BTreeMap<u64, OpId>) {
    assert_eq!(
        whole::faults(&device.entries(job), kept),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_hundred_kills() {
    let began = Instant::now();
    let seed = std::env::var("KOLONNE_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    println!("seed {seed} (KOLONNE_SEED=… for another)");
    let mut world = World::new().await;
    let job = world.job("Halle Sulzemoos", &["Anna Weber"]);
    world.everyone_syncs().await;
    world.stop_hub().await;
    let dir = world.anna.dir.clone();
    world.anna.switch_off();

    let mut kept: BTreeMap<u64, OpId> = BTreeMap::new();
    let mut idle_kills = 0;
    let kills = std::env::var("KOLONNE_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    for round in 0..kills {
        let life = Duration::from_millis(random(seed, round) % LONGEST_LIFE_MS);
        let first = kept.keys().next_back().map_or(1, |last| last + 1);
        let acknowledged = send_until_dead(&dir, &job, first, &Death::After(life));
        idle_kills += u64::from(acknowledged.is_empty());
        for (number, id) in acknowledged {
            assert_eq!(kept.insert(number, id), None, "seed {seed}, round {round}");
        }
        // Now and then somebody looks.
        if round % 20 == 19 {
            world.anna.switch_on();
            assert_all_there_once(&world.anna, &job, &kept);
            world.anna.switch_off();
        }
    }
    world.anna.switch_on();
    assert_all_there_once(&world.anna, &job, &kept);
    assert_whole(&world.anna, &job);
    println!(
        "{kills} kills ({idle_kills} before the first item), {} items acknowledged, {:?}",
        kept.len(),
        began.elapsed()
    );
    assert!(kept.len() as u64 > kills, "too slow to prove anything");
    // The control: one that never was is missed, one more is noticed.
    let mut more = kept.clone();
    more.insert(u64::MAX, OpId::ZERO);
    assert_eq!(whole::faults(&world.anna.entries(&job), &more).len(), 1);
    let one = kept.keys().next().unwrap();
    world.anna.text(&job, &format!("Nr. {one}"));
    assert_eq!(
        whole::faults(&world.anna.entries(&job), &kept),
        [format!("Nr. {one} twice")]
    );
    let doubled = world.anna.entries(&job).pop().unwrap().id;
    let seat = world.anna.seat();
    world.anna.core().retract(&seat, &doubled, None).unwrap();

    // And all of it reaches the office once there is a hub.
    world.start_hub();
    world.everyone_syncs().await;
    assert_all_there_once(&world.büro, &job, &kept);
    assert_eq!(world.büro.thread(&job), world.anna.thread(&job));
    println!("all at the office after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_death_at_every_point() {
    let mut world = World::new().await;
    let job = world.job("Halle Sulzemoos", &["Anna Weber"]);
    world.everyone_syncs().await;
    world.stop_hub().await;
    let dir = world.anna.dir.clone();
    world.anna.switch_off();
    let mut kept: BTreeMap<u64, OpId> = BTreeMap::new();
    for point in Point::NAMES {
        for times in 1..=AT_EACH_POINT {
            let first = kept.keys().next_back().map_or(1, |last| last + 1);
            let acknowledged = send_until_dead(&dir, &job, first, &Death::At(point, times));
            for (number, id) in acknowledged {
                assert_eq!(kept.insert(number, id), None, "{point}, {times}");
            }
        }
        world.anna.switch_on();
        assert_all_there_once(&world.anna, &job, &kept);
        assert_whole(&world.anna, &job);
        world.anna.switch_off();
    }
    println!(
        "{} deaths at {} points, {} items acknowledged",
        Point::NAMES.len() as u64 * AT_EACH_POINT,
        Point::NAMES.len(),
        kept.len()
    );
}

/// Everything but sync works without a hub; the same stories run in `story`.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_hub_all_but_sync_works() {
    let mut world = World::new().await;
    world.stop_hub().await;
    let anna = &world.anna;
    assert!(anna.try_sync().await.is_err());
    let new = kolonne_core::capture::NewJob {
        title: "Ohne Netz".to_owned(),
        ..Default::default()
    };
    let job = anna.core().open_job(&anna.seat(), &new).unwrap();
    let text = anna.text(&job, "geht");
    anna.core()
        .caption(&anna.seat(), &text, "geht gut")
        .unwrap();
    anna.core().mark_read(&anna.seat(), &job, &text).unwrap();
    assert!(anna.thread(&job).contains("\"geht gut\" (edited) [Saved]"));
    assert_eq!(anna.core().threads(&anna.seat(), "gut").unwrap().len(), 1);
    assert_eq!(anna.core().people().unwrap().0.len(), 4);
    world.anna.switch_on();
    assert!(world.anna.thread(&job).contains("geht gut"));
}
