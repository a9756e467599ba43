//! What a device costs when much comes: figures and ratios, printed; nothing here fails for being
//! slow.
//!
//! `cargo bench -p kolonne-tests --bench sync`; `KOLONNE_BENCH_SMALL=1` for a tenth of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench that can't go on should stop loudly"
)]

use std::path::Path;
use std::time::Instant;

use kolonne_model::hub::{Hub, Pull};
use kolonne_model::ids::{CompanyId, ThreadId};
use kolonne_model::op::{Op, SUITE_1};
use kolonne_model::page::{self, NoBases};
use kolonne_model::roster::change::Role;
use kolonne_model::strand;
use kolonne_tests::bare::public;
use kolonne_tests::scribe::Scribe;
use kolonne_tests::wire::Passed;
use kolonne_tests::world::{admit, person, phone};
use kolonne_tests::{Device, World};
use rusqlite::{Connection, params};

/// Lines that are handed over at once.
const PAGE_LINES: usize = 4_000;

struct Size {
    threads: usize,
    ops_each: usize,
    one_thread: usize,
}

fn size() -> Size {
    if std::env::var_os("KOLONNE_BENCH_SMALL").is_some() {
        return Size {
            threads: 20,
            ops_each: 500,
            one_thread: 5_000,
        };
    }
    Size {
        threads: 200,
        ops_each: 500,
        one_thread: 20_000,
    }
}

fn texts(count: usize, from: usize) -> Vec<String> {
    let words = [
        "Ziegel",
        "Lattung",
        "Ortgang",
        "Dachrinne",
        "Gerüst",
        "Kehle",
        "Traufe",
    ];
    let text = |n: usize| {
        let word = |of: usize| words[(n / of) % words.len()];
        format!(
            "{n:06} {} und {} sind da, {} fehlt noch, bitte bis morgen liefern.",
            word(1),
            word(7),
            word(49)
        )
    };
    (from..from + count).map(text).collect()
}

fn per_s(count: usize, seconds: f64) -> String {
    format!(
        "{:.0} ops/s ({count} in {seconds:.2} s)",
        count as f64 / seconds
    )
}

/// All that a reader of the hub gets, nothing done with it: what hub and line take of the time.
async fn only_pull(scribe: &Scribe, after: Option<kolonne_model::hub::Cursor>) -> f64 {
    let since = Instant::now();
    let mut cursor = after;
    loop {
        let limit_bytes = 1 << 20;
        let answer = scribe
            .hub
            .pull(Pull {
                cursor,
                limit_bytes,
                start: None,
            })
            .await
            .unwrap();
        cursor = Some(answer.cursor);
        if !answer.more {
            return since.elapsed().as_secs_f64();
        }
    }
}

/// The same rows and words in plain SQL: `SQLCipher`, an index, full text, batches of 500.
fn floor(dir: &Path, ops: &[(Op, String)]) -> f64 {
    let mut db = Connection::open(dir.join("floor.db")).unwrap();
    db.execute_batch(&format!(
        "PRAGMA key = \"x'{}'\"; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE ops (id BLOB PRIMARY KEY, thread BLOB, seat BLOB, store BLOB, seq INTEGER,
            class INTEGER, lamport INTEGER, form BLOB, previous BLOB) STRICT, WITHOUT ROWID;
         CREATE INDEX by_thread ON ops (thread, seat, store, seq);
         CREATE TABLE payloads (op BLOB PRIMARY KEY, payload BLOB) STRICT, WITHOUT ROWID;
         CREATE TABLE entries (n INTEGER PRIMARY KEY, id BLOB UNIQUE, thread BLOB, lamport INTEGER,
            seat BLOB, time_ms INTEGER, words TEXT) STRICT;
         CREATE INDEX in_thread ON entries (thread, lamport);
         CREATE VIRTUAL TABLE search USING fts5 (words, content = 'entries', content_rowid = 'n');",
        "11".repeat(32)
    ))
    .unwrap();
    let since = Instant::now();
    for batch in ops.chunks(500) {
        let tx = db.transaction().unwrap();
        for (op, text) in batch {
            let context = op.context();
            let id = op.form.id();
            tx.prepare_cached("INSERT INTO ops VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
                .unwrap()
                .execute(params![
                    id.0,
                    context.thread.0,
                    context.seat.0,
                    context.store.0,
                    context.seq,
                    1,
                    context.lamport.cast_signed(),
                    op.form.to_bytes(),
                    context.previous.0
                ])
                .unwrap();
            tx.prepare_cached("INSERT INTO payloads VALUES (?1, ?2)")
                .unwrap()
                .execute(params![id.0, op.payload])
                .unwrap();
            tx.prepare_cached(
                "INSERT INTO entries (id, thread, lamport, seat, time_ms, words)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .unwrap()
            .execute(params![
                id.0,
                context.thread.0,
                context.lamport.cast_signed(),
                context.seat.0,
                context.time_ms.cast_signed(),
                text
            ])
            .unwrap();
            let row = tx.last_insert_rowid();
            tx.prepare_cached("INSERT INTO search (rowid, words) VALUES (?1, ?2)")
                .unwrap()
                .execute(params![row, text])
                .unwrap();
        }
        tx.commit().unwrap();
    }
    since.elapsed().as_secs_f64()
}

fn of_pages(company: &CompanyId, pages: &[Vec<u8>]) -> Vec<Op> {
    let raw = pages.iter().flat_map(|page| page::read(page).unwrap());
    raw.flat_map(|raw| raw.resolve(company, &NoBases).unwrap().ops)
        .collect()
}

fn bytes(passed: &[Passed]) -> (usize, usize) {
    let up = passed
        .iter()
        .map(|one| one.request_bytes.0 + one.request_bytes.1);
    let down = passed
        .iter()
        .map(|one| one.answer_bytes.0 + one.answer_bytes.1);
    (up.sum(), down.sum())
}

/// Takes what waits at the hub for this device; how long that took.
async fn receive(device: &Device, count: usize) -> f64 {
    let since = Instant::now();
    let report = device.sync().await;
    let seconds = since.elapsed().as_secs_f64();
    assert!(report.pulled_ops >= count as u64, "all came: {report:?}");
    seconds
}

async fn bulk(world: &World, scribe: &mut Scribe, jobs: &[ThreadId], each: usize) -> Vec<Vec<u8>> {
    let mut pages = Vec::new();
    for job in jobs {
        // As a week's words come: some from each job.
        for some in texts(each, 0).chunks(PAGE_LINES) {
            pages.push(scribe.write(*job, some).await);
        }
    }
    let since = Instant::now();
    scribe.push(pages.clone()).await;
    let count = jobs.len() * each;
    println!(
        "  pushed to the hub: {}",
        per_s(count, since.elapsed().as_secs_f64())
    );
    let seconds = receive(&world.kolonne_3, count).await;
    println!("  received, folded, searchable: {}", per_s(count, seconds));
    pages
}

fn ratio(pages: &[Vec<u8>], company: &CompanyId, each: usize, dir: &Path) {
    let ops = of_pages(company, pages);
    let words = texts(each, 0);
    let rows: Vec<(Op, String)> = ops
        .into_iter()
        .enumerate()
        .map(|(n, op)| (op, words[n % each].clone()))
        .collect();
    let seconds = floor(dir, &rows);
    println!("  the floor, plain SQL: {}", per_s(rows.len(), seconds));
}

fn verify_again(pages: &[Vec<u8>], company: &CompanyId, scribe: &Scribe) {
    let key = public(scribe.key());
    let mut best = f64::MAX;
    let mut count = 0;
    for _ in 0..3 {
        count = 0;
        let since = Instant::now();
        for page in pages {
            for raw in page::read(page).unwrap() {
                let segment = raw.resolve(company, &NoBases).unwrap();
                count += strand::verify(segment, &key, SUITE_1).unwrap().ops.len();
            }
        }
        best = best.min(since.elapsed().as_secs_f64());
    }
    println!("\nVerify again: {}", per_s(count, best));
    println!(
        "  100,000 ops: {:.3} s (goal 0.1)",
        best * 1e5 / count as f64
    );
}

async fn a_new_phone(world: &World) {
    world.büro.sync().await;
    let mut invite = phone("Neues Handy", "", vec![person("Emre", Role::Crew)]);
    invite.crew_name = None;
    invite.crew = Some(world.ring("Kolonne 3"));
    world.wire.take_passed();
    let since = Instant::now();
    let new = admit(&world.büro, world.path("new"), invite, None).await;
    let rows = new.jobs().len();
    let admitted = world.wire.take_passed();
    let (up, down) = bytes(&admitted);
    println!("\nA new phone, {rows} jobs in its list:");
    println!(
        "  enrolment to the list: {:.2} s, {up} bytes up, {down} down (office's part included)",
        since.elapsed().as_secs_f64()
    );
    let pack = admitted
        .iter()
        .filter(|one| one.what.ends_with("/v1/mail/get"));
    let pack = pack.map(|one| one.answer_bytes.1).max().unwrap_or_default();
    println!("  the admission with its pack: {pack} bytes (goal 25,000)");
    let first = new.jobs()[0].id;
    let since = Instant::now();
    let syncing = new.sync();
    let mut changes = new.core().subscribe();
    let shows = async {
        while new
            .core()
            .entries(&new.seat(), &first, None, 50)
            .map_or(0, |page| page.entries.len())
            < 50
        {
            let _ = changes.recv().await;
        }
        let (up, down) = bytes(&world.wire.take_passed());
        (since.elapsed().as_secs_f64(), up, down)
    };
    let (_, (seconds, up, down)) = tokio::join!(syncing, shows);
    println!(
        "  the first job's newest 50 lines: {seconds:.2} s, {up} bytes up, {down} down (goal 1 s)"
    );
    println!("  all of it: {:.2} s", since.elapsed().as_secs_f64());
}

async fn idle(world: &World) {
    world.everyone_syncs().await;
    world.wire.take_passed();
    world.kolonne_3.sync().await;
    let passed = world.wire.take_passed();
    let (up, down) = bytes(&passed);
    println!(
        "\nAn idle poll: {} requests, {up} bytes up, {down} down with HTTP",
        passed.len()
    );
    for one in &passed {
        println!(
            "  {}: bodies {} and {} (goal 64)",
            one.what, one.request_bytes.1, one.answer_bytes.1
        );
    }
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let size = size();
    let world = World::new().await;
    let crew = world.ring("Kolonne 3");
    let jobs: Vec<ThreadId> = (0..size.threads)
        .map(|n| world.job(&format!("Auftrag {n}"), &["Kolonne 3"]))
        .collect();
    let long = world.job("Langer Auftrag", &["Kolonne 3"]);
    world.everyone_syncs().await;
    let mut scribe = Scribe::join(&world, crew).await;
    let company = scribe.company();

    println!("Bulk: {} jobs of {} lines", jobs.len(), size.ops_each);
    let pages = bulk(&world, &mut scribe, &jobs, size.ops_each).await;
    let pulled = only_pull(&scribe, None).await;
    println!("  of it hub and line: {pulled:.2} s");
    let folder = world.path("floor");
    std::fs::create_dir_all(&folder).unwrap();
    ratio(&pages, &company, size.ops_each, &folder);

    println!("\nBulk: one job of {} lines", size.one_thread);
    bulk(&world, &mut scribe, &[long], size.one_thread).await;

    verify_again(&pages, &company, &scribe);
    a_new_phone(&world).await;
    idle(&world).await;
}
