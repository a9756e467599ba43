//! What a hub bears: many devices in one process on real sockets; figures and ratios, printed.
//! Nothing here fails for being slow.
//!
//! `cargo bench -p kolonne-tests --bench hub`; `KOLONNE_BENCH_SMALL=1` for a part of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench that can't go on should stop loudly"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kolonne_core::transport::{HttpDoor, HttpHub, LoginIdentity, Trust};
use kolonne_model::hub::{AppendRoster, Door, Hub, NewUpload, Pull, Push, Upload};
use kolonne_model::ids::{BlobId, PublicKey, StoreId, ThreadId};
use kolonne_model::op::{Class, Op};
use kolonne_tests::bare::{self, Bare};
use kolonne_tests::world::RunningHub;
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// Devices of the largest company.
const DEVICES: usize = 200;
/// A sealed text of 80 bytes.
const SEALED_BYTES: usize = 124;

fn is_small() -> bool {
    std::env::var_os("KOLONNE_BENCH_SMALL").is_some()
}

fn seconds() -> Duration {
    Duration::from_secs(if is_small() { 2 } else { 8 })
}

struct Firm {
    company: Bare,
    hub: RunningHub,
    job: ThreadId,
    devices: Vec<Arc<HttpHub>>,
}

fn login(company: &Bare, address: &str, key: PublicKey, device: usize) -> HttpHub {
    let device = &company.devices[device];
    let identity = LoginIdentity {
        company: company.id,
        device: device.id,
        hub_key: key,
        signing: device.key.clone(),
    };
    HttpHub::new(HttpDoor::new(address, &Trust::System).unwrap(), identity)
}

fn push_of(page: Vec<u8>) -> Push {
    Push {
        page: page.into(),
        parts: vec![],
    }
}

impl Firm {
    async fn new(folder: &Path) -> Self {
        let company = Bare::new(3, DEVICES as u64);
        let hub = RunningHub::start(folder.join("hub"));
        let address = format!("http://{}", hub.address);
        let door = HttpDoor::new(&address, &Trust::System).unwrap();
        door.found(company.founding()).await.unwrap();
        let office = login(&company, &address, hub.key, 0);
        for page in &company.pages[1..] {
            let append = AppendRoster {
                page: page.clone().into(),
                parts: vec![],
            };
            office.append_roster(append).await.unwrap();
        }
        let author = &company.devices[0].person;
        let opened = company.open_job(author, company.crew, 1);
        let job = opened.context().thread;
        office
            .push(push_of(bare::segment(author, &[opened])))
            .await
            .unwrap();
        let devices = (0..=DEVICES).map(|n| Arc::new(login(&company, &address, hub.key, n)));
        Self {
            devices: devices.collect(),
            company,
            hub,
            job,
        }
    }

    /// The pages that a device sends, one op each; `run` is its store.
    fn pages(&self, device: usize, run: u8, count: usize) -> Vec<Vec<u8>> {
        let author = &self.company.devices[device].person;
        let mut before: Option<Op> = None;
        (0..count)
            .map(|n| {
                let at = (self.job, StoreId([run; 8]));
                let context = self
                    .company
                    .context(author, at, Class::Data, before.as_ref());
                let op = Op::new(context, vec![n as u8; SEALED_BYTES]);
                let page = bare::segment(author, std::slice::from_ref(&op));
                before = Some(op);
                page
            })
            .collect()
    }
}

fn percentile(times: &mut [f64], of: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = (times.len() as f64 * of) as usize;
    times
        .get(at.min(times.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// Some devices push one op after the other for a while; each push's time in ms.
async fn pushing(firm: &Firm, devices: usize, run: u8) -> (f64, Vec<f64>) {
    let most = 40_000 / devices;
    let work: Vec<_> = (1..=devices)
        .map(|device| {
            (
                firm.devices[device].clone(),
                firm.pages(device, run, most.min(4_000)),
            )
        })
        .collect();
    // Logged in, and each has its connection.
    for (hub, _) in &work {
        hub.pull(Pull {
            cursor: None,
            limit_bytes: 1,
            start: None,
        })
        .await
        .unwrap();
    }
    let since = Instant::now();
    let until = since + seconds();
    let tasks: Vec<_> = work
        .into_iter()
        .map(|(hub, pages)| {
            tokio::spawn(async move {
                let mut times = Vec::new();
                for page in pages {
                    if Instant::now() >= until {
                        break;
                    }
                    let since = Instant::now();
                    let answer = hub.push(push_of(page)).await.unwrap();
                    assert_eq!(answer.receipts.len(), 1);
                    times.push(since.elapsed().as_secs_f64() * 1000.0);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    (times.len() as f64 / since.elapsed().as_secs_f64(), times)
}

/// The same bytes in bare `SQLite`, one durable commit for as many as wait.
fn floor(folder: &Path, group: usize) -> f64 {
    let mut db = Connection::open(folder.join(format!("floor-{group}.db"))).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = 1;
         CREATE TABLE ops (n INTEGER PRIMARY KEY, id BLOB UNIQUE, form BLOB, signature BLOB,
            payload BLOB) STRICT;",
    )
    .unwrap();
    let since = Instant::now();
    let mut count = 0_u64;
    while since.elapsed() < seconds() / 2 {
        let tx = db.transaction().unwrap();
        for _ in 0..group {
            count += 1;
            let id = *blake3::hash(&count.to_be_bytes()).as_bytes();
            tx.prepare_cached(
                "INSERT INTO ops (id, form, signature, payload) VALUES (?1, ?2, ?3, ?4)",
            )
            .unwrap()
            .execute(params![
                id,
                [1_u8; 230],
                [2_u8; 64].as_slice(),
                [3_u8; SEALED_BYTES].as_slice()
            ])
            .unwrap();
        }
        tx.commit().unwrap();
    }
    count as f64 / since.elapsed().as_secs_f64()
}

/// How long after a device's receipt another one has pulled the op, in ms.
async fn woken(firm: &Firm, run: u8) -> Vec<f64> {
    let (writer, reader) = (firm.devices[1].clone(), firm.devices[2].clone());
    let rounds = if is_small() { 50 } else { 300 };
    let everything = Pull {
        cursor: None,
        limit_bytes: 1 << 20,
        start: None,
    };
    let mut cursor = reader.pull(everything).await.unwrap();
    while cursor.more {
        let next = Pull {
            cursor: Some(cursor.cursor),
            limit_bytes: 1 << 20,
            start: None,
        };
        cursor = reader.pull(next).await.unwrap();
    }
    let mut cursor = cursor.cursor;
    let mut times = Vec::new();
    for page in firm.pages(1, run, rounds) {
        let waits = {
            let reader = reader.clone();
            let from = cursor;
            tokio::spawn(async move {
                reader.wake(from.hub_seq).await.unwrap();
                let next = Pull {
                    cursor: Some(from),
                    limit_bytes: 1 << 20,
                    start: None,
                };
                let answer = reader.pull(next).await.unwrap();
                assert!(!answer.page.is_empty());
                (Instant::now(), answer.cursor)
            })
        };
        // It waits before something comes.
        tokio::time::sleep(Duration::from_millis(5)).await;
        writer.push(push_of(page)).await.unwrap();
        let acknowledged = Instant::now();
        let (pulled, next) = waits.await.unwrap();
        cursor = next;
        times.push(pulled.saturating_duration_since(acknowledged).as_secs_f64() * 1000.0);
    }
    times
}

fn resident_kb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

/// What a thousand streams that wait cost, both ends in this process.
async fn idle_streams(firm: &Firm) {
    let count = if is_small() { 200 } else { 1000 };
    let before = resident_kb();
    let mut streams = Vec::new();
    for n in 0..count {
        let hub = firm.devices[1 + n % DEVICES].clone();
        streams.push(tokio::spawn(async move { hub.wake(u64::MAX / 4).await }));
        if n % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let open = streams
        .iter()
        .filter(|stream| !stream.is_finished())
        .count();
    let more = resident_kb() - before;
    println!(
        "{open} idle wake streams: {:.1} MB more, {:.1} kB each, both ends of each",
        more / 1024.0,
        more / open as f64
    );
    for stream in streams {
        stream.abort();
    }
}

/// Uploads that trickle in, a kilobyte a second each, until told to stop.
async fn trickle(
    firm: &Firm,
    count: usize,
    stop: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<u64>> {
    let mut tasks = Vec::new();
    for n in 0..count {
        let (hub, stop, thread) = (
            firm.devices[1 + n % DEVICES].clone(),
            stop.clone(),
            firm.job,
        );
        let new = NewUpload {
            blob: BlobId(*blake3::hash(&n.to_be_bytes()).as_bytes()),
            sealed_bytes: 5_000_000,
            thread,
        };
        let Upload::Open { name, .. } = hub.create_upload(new).await.unwrap() else {
            panic!("a new upload is open");
        };
        tasks.push(tokio::spawn(async move {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                hub.append_upload(&name, sent, vec![7; 1000]).await.unwrap();
                sent += 1000;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            sent
        }));
    }
    tasks
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let folder = TempDir::new_in("/var/tmp").unwrap();
    let firm = Firm::new(folder.path()).await;
    // First, while nothing that was freed could be taken again.
    idle_streams(&firm).await;
    println!("\nDurable pushes of one op ({SEALED_BYTES} bytes sealed), acknowledged:");
    let mut alone = 0.0;
    for (run, devices) in [(1, 1), (2, 16), (3, DEVICES)] {
        let (rate, mut times) = pushing(&firm, devices, run).await;
        let floor = floor(folder.path(), devices);
        let (middle, late) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
        if devices == 16 {
            alone = late;
        }
        println!(
            "  {devices:>3} devices: {rate:>6.0}/s, p50 {middle:.1} ms, p99 {late:.1} ms; bare SQLite, {devices} a commit: {floor:.0}/s; ratio {:.2}",
            rate / floor
        );
    }
    let mut times = woken(&firm, 4).await;
    println!(
        "\nReceipt → wake → pulled by another device: p50 {:.1} ms, p99 {:.1} ms",
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99)
    );
    let stop = Arc::new(AtomicBool::new(false));
    let uploads = trickle(&firm, DEVICES, &stop).await;
    let (rate, mut times) = pushing(&firm, 16, 5).await;
    stop.store(true, Ordering::Relaxed);
    let mut sent = 0;
    for upload in uploads {
        sent += upload.await.unwrap();
    }
    let late = percentile(&mut times, 0.99);
    println!(
        "\nBeside {DEVICES} uploads of 1 kB/s ({sent} bytes): 16 devices {rate:.0}/s, p99 {late:.1} ms, {:.2} times as without",
        late / alone
    );
    firm.hub.stop().await;
}
