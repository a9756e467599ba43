//! Bad lines: what a building site does to a connection. Whatever breaks, what is *gesichert*
//! arrives once, nothing pretends to have arrived, and what came needn't come again.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use kolonne_core::capture::About;
use kolonne_core::records::{Part, State};
use kolonne_core::{Budget, Error};
use kolonne_tests::line::{Fault, Line};
use kolonne_tests::{Device, JobId, World, files};

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
    anna.later(Duration::from_hours(1));
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
