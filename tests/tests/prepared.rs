//! Transfers that a phone's own upload service carries while the app sleeps.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fmt::Write as _;
use std::net::SocketAddr;

use kolonne_core::records::{Part, State};
use kolonne_core::{Error, PreparedTransfer, TransferTaken};
use kolonne_model::ids::OpId;
use kolonne_tests::{JobId, World, files};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came of a transfer, as the system tells it.
struct Told {
    status: u16,
    upload_offset: Option<u64>,
    body: Vec<u8>,
}

/// The system's service: knows the request and the file, and nothing of Kolonne.
async fn the_system_carries(
    transfer: &PreparedTransfer,
    hub: Option<SocketAddr>,
    breaks_after: Option<usize>,
) -> Told {
    let request = &transfer.request;
    let url = request.url.strip_prefix("http://").unwrap();
    let (host, path) = url.split_once('/').unwrap();
    let way = host.replace("localhost", "127.0.0.1").parse().unwrap();
    let mut body = std::fs::read(&transfer.file).unwrap();
    assert_eq!(body.len() as u64, transfer.length_bytes);
    let mut head = format!("{} /{path} HTTP/1.1\r\nhost: {host}\r\n", request.method);
    for (name, value) in &request.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    let length = body.len();
    write!(
        head,
        "content-length: {length}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut socket = TcpStream::connect(hub.unwrap_or(way)).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    if let Some(bytes) = breaks_after {
        body.truncate(bytes);
    }
    socket.write_all(&body).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else {
        return Told {
            status: 0,
            upload_offset: None,
            body: Vec::new(),
        };
    };
    // Interim answers come before the last one.
    let mut at = 0;
    loop {
        let rest = &answer[at..];
        let end = rest
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or(end);
        let head = String::from_utf8_lossy(&rest[..end]).to_lowercase();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status < 200 {
            at += end + 4;
            if at >= answer.len() {
                return Told {
                    status: 0,
                    upload_offset: None,
                    body: Vec::new(),
                };
            }
            continue;
        }
        let offset = head
            .lines()
            .find_map(|line| line.strip_prefix("upload-offset: "));
        return Told {
            status,
            upload_offset: offset.map(|offset| offset.trim().parse().unwrap()),
            body: rest[end + 4..].to_vec(),
        };
    }
}

async fn a_photo(world: &World) -> (JobId, OpId) {
    let job = world.job("Dach", &["Anna Weber"]);
    world.everyone_syncs().await;
    let photo = world.anna.photo(&job, &files::photo(1600, 1200, 5));
    // The words are at the hub; the app is about to sleep.
    world.anna.sync_within(0).await;
    (job, photo)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_app_hands_its_photos_over_by_the_systems_own_service() {
    let world = World::new().await;
    let (job, photo) = a_photo(&world).await;
    let anna = &world.anna;
    let prepared = anna.core().prepare_transfers(10).await.unwrap();
    assert!(prepared.len() >= 2, "{prepared:?}");
    let said = format!("{prepared:?}");
    assert!(!said.to_lowercase().contains("bearer"), "no token in a log");
    // Results come out of order, and each twice.
    let mut told = Vec::new();
    for transfer in prepared.iter().rev() {
        told.push((
            transfer.blob,
            the_system_carries(transfer, None, None).await,
        ));
    }
    for round in 0..2 {
        for (blob, told) in &told {
            assert_eq!(told.status, 200);
            let core = anna.core();
            let taken = core.take_transfer(blob, told.status, told.upload_offset, &told.body);
            let expected = [TransferTaken::Held, TransferTaken::Nothing][round];
            assert_eq!(taken.unwrap(), expected);
        }
    }
    assert_eq!(anna.state(&job, &photo), State::Sent);
    assert!(anna.core().prepare_transfers(10).await.unwrap().is_empty());
    world.everyone_syncs().await;
    let (here, there) = (
        anna.media(&photo, Part::Picture).unwrap(),
        world.büro.media(&photo, Part::Picture).unwrap(),
    );
    assert_eq!(here.bytes, there.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_breaks_goes_on_from_there_with_the_rest_of_the_file() {
    let world = World::new().await;
    let (job, photo) = a_photo(&world).await;
    let anna = &world.anna;
    let prepared = anna.core().prepare_transfers(10).await.unwrap();
    let large = prepared.iter().max_by_key(|one| one.length_bytes).unwrap();
    // Past the stories' wire, which hands on whole requests only.
    let hub = world.hub.as_ref().unwrap().address;
    the_system_carries(large, Some(hub), Some(70_001)).await;
    // Nothing was told: the system forgot. The app asks the hub, until it has written what came.
    let rest = &loop {
        anna.tries_again();
        let again = anna.core().prepare_transfers(10).await.unwrap();
        let rest = again.into_iter().find(|one| one.blob == large.blob);
        let rest = rest.unwrap();
        if rest.offset_bytes > 0 {
            break rest;
        }
    };
    assert_eq!(rest.offset_bytes + rest.length_bytes, large.length_bytes);
    let told = the_system_carries(rest, None, None).await;
    let core = anna.core();
    let taken = core.take_transfer(&rest.blob, told.status, told.upload_offset, &told.body);
    assert_eq!(taken.unwrap(), TransferTaken::Held);
    // The others go as usual.
    anna.tries_again();
    world.everyone_syncs().await;
    assert_eq!(anna.state(&job, &photo), State::Office);
    assert!(
        !std::fs::read_dir(anna.dir.join("blobs/rests"))
            .unwrap()
            .any(|_| true)
    );
}

/// The hub signs, is put back to before, and has given the number to something else by the time this
/// phone asks: nothing but its own silence at that place tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_photo_that_a_hub_signed_for_before_it_was_put_back_goes_again() {
    let mut world = World::new().await;
    let (job, photo) = a_photo(&world).await;
    let prepared = world.anna.core().prepare_transfers(10).await.unwrap();
    world.stop_hub().await;
    files::copy_folder(&world.path("hub"), &world.path("copy"));
    world.start_hub();
    for transfer in &prepared {
        let told = the_system_carries(transfer, None, None).await;
        let core = world.anna.core();
        let taken = core.take_transfer(&transfer.blob, told.status, told.upload_offset, &told.body);
        assert_eq!(taken.unwrap(), TransferTaken::Held);
    }
    world.stop_hub().await;
    world.start_hub_on("copy");
    for n in 0..10 {
        world.büro.text(&job, &format!("Inzwischen {n}"));
        world.büro.sync().await;
    }
    world.everyone_syncs().await;
    assert_eq!(world.anna.state(&job, &photo), State::Office);
    assert!(world.büro.media(&photo, Part::Original).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_nobody_signed_changes_nothing() {
    let world = World::new().await;
    let (job, photo) = a_photo(&world).await;
    let anna = &world.anna;
    let prepared = anna.core().prepare_transfers(10).await.unwrap();
    for transfer in &prepared {
        for (status, offset, body) in [
            (200, None, &b"ok"[..]),
            (200, Some(transfer.length_bytes), b""),
            (204, Some(u64::MAX), b""),
            (302, None, b"<html>"),
            (0, None, b""),
        ] {
            let taken = anna
                .core()
                .take_transfer(&transfer.blob, status, offset, body);
            assert_eq!(taken.unwrap(), TransferTaken::Nothing);
        }
    }
    assert_eq!(anna.state(&job, &photo), State::Saved);
    let unknown = anna
        .core()
        .take_transfer(&kolonne_model::ids::BlobId([7; 32]), 200, None, b"");
    assert_eq!(unknown.unwrap(), TransferTaken::Nothing);
    anna.offline();
    let refused = anna.core().prepare_transfers(10).await;
    assert!(matches!(refused, Err(Error::Offline { .. })));
}
