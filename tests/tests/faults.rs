//! Bad lines: what a building site does to a connection. Whatever breaks, what is *gesichert*
//! arrives once, nothing pretends to have arrived, and what came needn't come again.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kolonne_core::capture::{About, SealFor};
use kolonne_core::records::{HubState, Part, State};
use kolonne_core::{Budget, Error};
use kolonne_tests::files::copy_folder;
use kolonne_tests::line::{Fault, Line, Speed};
use kolonne_tests::scribe::Scribe;
use kolonne_tests::world::RunningHub;
use kolonne_tests::{Device, JobId, World, files, log};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Holzbau Brandt on a line that can be bad.
async fn on_a_line() -> (World, Line, JobId) {
    let world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    let line = Line::to(world.hub.as_ref().unwrap().address).await;
    world.wire.lead_to(Some(line.address));
    (world, line, job)
}

fn texts(device: &Device, job: &JobId) -> Vec<String> {
    let entries = device.entries(job);
    entries.into_iter().filter_map(|entry| entry.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_line_does_everything_arrives_once() {
    let (world, line, job) = on_a_line().await;
    let anna = &world.anna;
    let faults = [
        Fault::Reset,
        Fault::Portal,
        Fault::AnswersLost,
        Fault::CutAfter { bytes: 900 },
        Fault::CutAnswersAfter { bytes: 100 },
        Fault::CutAfter { bytes: 60_000 },
        Fault::CutAnswersAfter { bytes: 2000 },
        Fault::Crumbs { bytes: 7 },
        Fault::Slow(Speed {
            bytes_per_s: 400_000,
            latency_ms: 15,
            jitter_ms: 30,
        }),
        Fault::Buffering,
    ];
    let mut said = Vec::new();
    let mut sent = Vec::new();
    for (number, fault) in (1..).zip(faults) {
        said.push(format!("Meldung {number}"));
        let text = anna.text(&job, said.last().unwrap());
        let photo = anna.photo(&job, &files::photo(800, 600, number));
        sent.push(photo);
        line.suffers(fault);
        for device in [anna, &world.büro] {
            for _ in 0..3 {
                match device.try_sync().await {
                    Ok(_) | Err(Error::Offline { .. } | Error::Foreign) => {}
                    Err(error) => panic!("{fault:?}: {error:?}"),
                }
            }
        }
        // Where no answer of the hub came through, nothing says that it has anything.
        if matches!(fault, Fault::Reset | Fault::Portal | Fault::AnswersLost) {
            assert_eq!(anna.state(&job, &text), State::Saved, "{fault:?}");
        }
        assert_eq!(texts(anna, &job), said, "{fault:?}");
    }
    line.suffers(Fault::None);
    // What failed again and again waits its time.
    anna.tries_again();
    world.büro.tries_again();
    world.everyone_syncs().await;
    world.everyone_syncs().await;
    for device in world.devices() {
        assert_eq!(texts(device, &job), said);
        assert_eq!(device.entries(&job).len(), 2 * said.len());
    }
    for photo in &sent {
        assert_eq!(anna.state(&job, photo), State::Office);
        let (here, there) = (
            anna.media(photo, Part::Picture).unwrap(),
            world.büro.media(photo, Part::Picture).unwrap(),
        );
        assert_eq!(here.bytes, there.bytes);
    }
}

/// A connection that stands and is dead, as after a drive through a tunnel: whoever wakes the app for a
/// moment gets it back in time, and what was said goes on where there is a line.
#[tokio::test(flavor = "multi_thread")]
async fn a_background_slot_ends_in_time_on_a_line_that_is_half_open() {
    let (world, line, job) = on_a_line().await;
    let anna = &world.anna;
    let text = anna.text(&job, "Gerüst steht");
    line.suffers(Fault::HalfOpen);
    // What stood before is cut: it comes to the half-open one.
    world.wire.lead_to(Some(line.address));
    let budget = Budget {
        time: Some(Duration::from_millis(600)),
        ..Budget::unlimited()
    };
    let since = Instant::now();
    let tried = anna.core().sync_once(budget).await;
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "not the line's patience"
    );
    assert!(
        matches!(tried, Ok(_) | Err(Error::Offline { .. })),
        "{tried:?}"
    );
    assert_eq!(anna.state(&job, &text), State::Saved);
    line.suffers(Fault::None);
    world.wire.lead_to(Some(line.address));
    anna.tries_again();
    anna.sync().await;
    assert_eq!(anna.state(&job, &text), State::Sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_on_a_line_that_breaks_costs_hardly_more_than_once() {
    let (world, line, job) = on_a_line().await;
    let anna = &world.anna;
    // Not compressible, so that bytes are bytes.
    let file: Vec<u8> = (0..5_000_000_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let about = About::default();
    let sent = anna
        .core()
        .send_document(&anna.seat(), &job, "Statik.bin", &file, &about)
        .unwrap();
    line.suffers(Fault::CutAfter { bytes: 130_000 });
    line.take_up_bytes();
    let mut tries = 0;
    while anna.state(&job, &sent) == State::Saved {
        tries += 1;
        assert!(tries < 200, "it comes further each time");
        anna.tries_again();
        drop(anna.core().sync_once(Budget::unlimited()).await);
    }
    let (bytes, cuts) = (line.take_up_bytes(), line.take_cuts());
    println!(
        "{} bytes of file, {bytes} sent, {cuts} cuts: {} per cent",
        file.len(),
        bytes * 100 / file.len() as u64
    );
    assert!(cuts > 30);
    assert!(bytes * 100 <= file.len() as u64 * 115, "{bytes}");
    line.suffers(Fault::None);
    world.büro.sync().await;
    assert_eq!(world.büro.media(&sent, Part::Document).unwrap().bytes, file);
}

/// All files below a folder.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let paths = entries.map(|entry| entry.path());
    let (dirs, mut files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    files.extend(dirs.iter().flat_map(|dir| files_in(dir)));
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_capture_leaves_no_files_behind() {
    let world = World::new().await;
    let anna = &world.anna;
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    let other = world.job("Anderswo", &["Anna Weber"]);
    world.everyone_syncs().await;
    let elsewhere = anna.text(&other, "Nicht hier");
    anna.photo(&job, &files::photo(640, 480, 1));
    let before = files_in(&anna.dir.join("blobs"));
    assert_eq!(before.len(), 3);

    // Found out only when the files are sealed: it answers what isn't in this thread.
    let (core, seat) = (anna.core(), anna.seat());
    let about = About {
        reply_to: Some(elsewhere),
        ..About::default()
    };
    let to = SealFor {
        people: Vec::new(),
        office: true,
    };
    let photo = files::photo(640, 480, 2);
    for refused in [
        core.send_photo(&seat, &job, &photo, &about),
        core.send_document(&seat, &job, "Plan.pdf", b"%PDF-1.7", &about),
        core.send_voice(&seat, &job, &files::wav(2000), &about),
        core.seal(&seat, &job, &to, ("Attest.pdf", b"%PDF-1.7"), &about),
    ] {
        assert!(
            matches!(refused, Err(Error::NotFound { .. })),
            "{refused:?}"
        );
        assert_eq!(files_in(&anna.dir.join("blobs")), before);
    }
    // The same bytes as something that is kept take nothing from it.
    anna.photo(&job, &photo);
    assert_eq!(files_in(&anna.dir.join("blobs")).len(), 6);
}

const FULL: &str = "KOLONNE_TEST_FULL_DISK";

/// Runs a test of this file again, alone, where it may mount a small disk.
fn where_disks_are_small(name: &str) {
    let mut ran = false;
    for namespace in ["-Urm", "-m"] {
        let may = Command::new("unshare").args([namespace, "true"]).status();
        if !may.is_ok_and(|status| status.success()) {
            continue;
        }
        let status = Command::new("unshare")
            .arg(namespace)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(FULL, "1")
            .status()
            .unwrap();
        assert!(status.success());
        ran = true;
        break;
    }
    assert!(
        ran,
        "this test needs unshare(1), as root or with user namespaces"
    );
}

/// A disk of 8 MB; it goes with the namespace.
fn small_disk(world: &World, name: &str) -> PathBuf {
    let disk = world.path(name);
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8m", "none"])
        .arg(&disk)
        .status();
    assert!(mounted.unwrap().success());
    disk
}

/// Copies a folder to a disk.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Fills a disk to its last byte.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for bytes in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![7; bytes]).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_read_and_loses_nothing() {
    if std::env::var_os(FULL).is_none() {
        return where_disks_are_small("a_full_disk_is_read_and_loses_nothing");
    }
    let mut world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    world.anna.text(&job, "Noch Platz");
    let disk = small_disk(&world, "disk");
    world.anna.switch_off();
    let there = disk.join("anna");
    copy(&world.anna.dir, &there);
    world.anna.dir = there;
    fill(&disk.join("fill"));

    // Opened on a disk without one free byte: everything is shown.
    world.anna.switch_on();
    assert_eq!(texts(&world.anna, &job), ["Noch Platz"]);
    let status = world.anna.core().status().unwrap();
    assert_eq!(status.outbox.ops, 1, "{status:?}");
    let seat = world.anna.seat();
    let say = |text: &str| {
        let about = About::default();
        world.anna.core().send_text(&seat, &job, text, &about)
    };
    let refused = say("Kein Platz mehr");
    assert!(
        matches!(refused, Err(Error::StorageFull { .. })),
        "{refused:?}"
    );
    assert_eq!(texts(&world.anna, &job), ["Noch Platz"]);

    // Room again: the same process writes on, and what waited arrives.
    std::fs::remove_file(disk.join("fill")).unwrap();
    say("Wieder Platz").unwrap();
    world.anna.sync().await;
    world.büro.sync().await;
    assert_eq!(texts(&world.büro, &job), ["Noch Platz", "Wieder Platz"]);
    world.anna.switch_on();
    assert_eq!(texts(&world.anna, &job), ["Noch Platz", "Wieder Platz"]);
    world.anna.switch_off();
    assert!(
        Command::new("umount")
            .arg(&disk)
            .status()
            .unwrap()
            .success()
    );
}

/// What a hub answers who asks for its health.
async fn health(hub: &RunningHub) -> String {
    let mut socket = TcpStream::connect(hub.address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_on_a_full_disk_takes_nothing_and_says_so() {
    if std::env::var_os(FULL).is_none() {
        return where_disks_are_small("a_hub_on_a_full_disk_takes_nothing_and_says_so");
    }
    let mut world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let disk = small_disk(&world, "disk");
    world.stop_hub().await;
    copy(&world.path("hub"), &disk.join("hub"));
    world.start_hub_on("disk/hub");
    world.anna.sync().await;
    assert!(health(world.hub.as_ref().unwrap()).await.contains("200"));
    fill(&disk.join("fill"));

    let text = world.anna.text(&job, "Canary-Ziegelfieber");
    let photo = world.anna.photo(&job, &files::photo(1200, 900, 1));
    world.anna.try_sync().await.unwrap_err();
    assert_eq!(world.anna.core().status().unwrap().hub, HubState::NotNow);
    for entry in [&text, &photo] {
        assert_eq!(world.anna.state(&job, entry), State::Saved);
    }
    assert!(health(world.hub.as_ref().unwrap()).await.contains("503"));
    let logged = String::from_utf8_lossy(&log::heard()).into_owned();
    assert!(logged.contains("storage takes nothing") && logged.contains("storage failed"));
    assert!(!logged.contains("Ziegelfieber"));

    std::fs::remove_file(disk.join("fill")).unwrap();
    assert!(health(world.hub.as_ref().unwrap()).await.contains("200"));
    world.everyone_syncs().await;
    assert_eq!(texts(&world.büro, &job), ["Canary-Ziegelfieber"]);
    assert_eq!(world.anna.state(&job, &photo), State::Office);
    world.stop_hub().await;
    assert!(
        Command::new("umount")
            .arg(&disk)
            .status()
            .unwrap()
            .success()
    );
}

/// A long job comes in pages, and its views are made anew with some of them only.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_a_long_job_shows_when_the_line_breaks_or_the_phone_dies() {
    let mut world = World::new().await;
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.everyone_syncs().await;
    let mut scribe = Scribe::join(&world, world.ring("Kolonne 3")).await;
    world.everyone_syncs().await;
    let lines: Vec<String> = (0..6000).map(|n| format!("Meldung {n}")).collect();
    let page = scribe.write(job, &lines).await;
    scribe.push(vec![page]).await;

    let (phone, copy) = (world.path("kolonne-3"), world.path("as it died"));
    let mut pages = 0;
    world.wire.lie({
        let (phone, copy) = (phone.clone(), copy.clone());
        move |asked, answer| {
            pages += usize::from(asked.what.ends_with("/v1/pull"));
            if pages == 3 {
                // Two are in the log, and nothing else will be done by who dies now.
                copy_folder(&phone, &copy);
                answer.clear();
            }
        }
    });
    world.kolonne_3.try_sync().await.unwrap_err();
    world.wire.be_honest();
    let came = texts(&world.kolonne_3, &job);
    assert!((2000..6000).contains(&came.len()), "{} lines", came.len());
    assert_eq!(came, lines[..came.len()]);
    let shown = world.kolonne_3.thread(&job);
    world.kolonne_3.core().rebuild_views().unwrap();
    assert_eq!(world.kolonne_3.thread(&job), shown);

    world.kolonne_3.switch_off();
    std::fs::remove_dir_all(&phone).unwrap();
    std::fs::rename(&copy, &phone).unwrap();
    world.kolonne_3.switch_on();
    assert_eq!(texts(&world.kolonne_3, &job), came);
    world.kolonne_3.sync().await;
    assert_eq!(texts(&world.kolonne_3, &job), lines);
}
