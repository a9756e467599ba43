//! What a group promises: one commit, all or each for itself, and no answer before.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use kolonne_model::ids::{
    Hash32, KeyId, OpId, RosterDigest, RosterPosition, SeatId, Signature, StoreId, ThreadId,
};
use kolonne_model::op::{Class, ClassByte, Context, Op, SUITE_1};
use kolonne_model::strand::VerifiedOp;
use tempfile::TempDir;

use super::*;
use crate::storage::Storage;
use crate::storage::sqlite::Sqlite;

const COMPANY: CompanyId = CompanyId([1; 16]);
const KEEP: Keep = Keep {
    received_ms: 1,
    quota_bytes: u64::MAX,
};

/// The first op of some seat; who calls the storage has proven it.
fn op(seat: u8) -> VerifiedOp {
    let context = Context {
        suite: SUITE_1,
        class: ClassByte::plain(Class::Data),
        company: COMPANY,
        thread: ThreadId([2; 16]),
        seat: SeatId([seat; 16]),
        store: StoreId([3; 8]),
        seq: 1,
        previous: OpId::ZERO,
        roster: RosterPosition::new(0, 1).unwrap(),
        roster_digest: RosterDigest([4; 32]),
        key: KeyId([5; 16]),
        lamport: 1,
        time_ms: 1,
        extension_hash: Hash32::ZERO,
    };
    VerifiedOp::from_own_log(Op::new(context, vec![seat; 48]), Some(Signature([6; 64])))
}

/// A push each, on a thread each, all of which wait: whoever leads has no writer yet.
fn pushes(
    storage: &Arc<Sqlite>,
    seats: std::ops::Range<u8>,
    done: &Arc<AtomicUsize>,
) -> Vec<JoinHandle<Stored<Vec<Kept>>>> {
    let first = lock(&storage.groups.queue).waiting.len();
    let count = seats.len();
    let threads = seats.map(|seat| {
        let (storage, done) = (storage.clone(), done.clone());
        thread::spawn(move || {
            let segment = VerifiedSegment {
                ops: vec![op(seat)],
                links: vec![],
            };
            let kept = storage.append(&COMPANY, vec![segment], KEEP);
            done.fetch_add(1, Ordering::SeqCst);
            kept
        })
    });
    let threads = threads.collect();
    while lock(&storage.groups.queue).waiting.len() < first + count {
        thread::yield_now();
    }
    threads
}

fn open(folder: &Path) -> Arc<Sqlite> {
    Arc::new(Sqlite::open(&folder.join("hub.db"), [9; 8]).unwrap())
}

/// The files as a crash in this moment leaves them, opened again; which of some ops it has.
fn after_a_crash(folder: &Path, seats: std::ops::Range<u8>) -> usize {
    let copy = TempDir::new().unwrap();
    for name in ["hub.db", "hub.db-wal"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    let storage = open(copy.path());
    let has = |seat: &u8| storage.op(&COMPANY, &op(*seat).id()).unwrap().is_some();
    seats.filter(has).count()
}

#[test]
fn a_push_that_fails_takes_no_other_of_its_group_with_it() {
    let folder = TempDir::new().unwrap();
    let (storage, done) = (open(folder.path()), Arc::default());
    let writer = lock(&storage.writer);
    writer
        .execute_batch(
            "CREATE TRIGGER damage BEFORE INSERT ON strands
             WHEN new.seat = x'07070707070707070707070707070707'
             BEGIN SELECT RAISE(ABORT, 'a page is damaged'); END",
        )
        .unwrap();
    let threads = pushes(&storage, 0..20, &done);
    drop(writer);
    let mut seqs = Vec::new();
    for (seat, thread) in threads.into_iter().enumerate() {
        match thread.join().unwrap() {
            Ok(kept) => match kept.as_slice() {
                [Kept::Through { hub_seq, .. }] => seqs.push(*hub_seq),
                other => panic!("seat {seat}: {other:?}"),
            },
            Err(_) => assert_eq!(seat, 7),
        }
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=19).collect::<Vec<_>>());
    assert_eq!(after_a_crash(folder.path(), 0..20), 19);
}

#[test]
fn what_waits_goes_in_one_commit_and_nobody_hears_of_it_before() {
    let folder = TempDir::new().unwrap();
    let (storage, done) = (open(folder.path()), Arc::new(AtomicUsize::new(0)));
    let mut writer = lock(&storage.writer);
    let commits = Arc::new(AtomicUsize::new(0));
    let hook = {
        let (folder, commits, done) = (folder.path().to_owned(), commits.clone(), done.clone());
        move || {
            // The last moment before: a crash now loses all of it, and nobody was told of any.
            assert_eq!(after_a_crash(&folder, 0..50), 0);
            assert_eq!(done.load(Ordering::SeqCst), 0);
            commits.fetch_add(1, Ordering::SeqCst);
            false
        }
    };
    writer.commit_hook(Some(hook)).unwrap();
    let threads = pushes(&storage, 0..50, &done);
    drop(writer);
    for thread in threads {
        assert_eq!(thread.join().unwrap().unwrap().len(), 1);
    }
    assert_eq!(commits.load(Ordering::SeqCst), 1);
    assert_eq!(after_a_crash(folder.path(), 0..50), 50);
}

#[test]
fn a_commit_that_fails_acknowledges_nobody() {
    let folder = TempDir::new().unwrap();
    let (storage, done) = (open(folder.path()), Arc::default());
    let mut writer = lock(&storage.writer);
    writer.commit_hook(Some(|| true)).unwrap();
    let threads = pushes(&storage, 0..5, &done);
    drop(writer);
    for thread in threads {
        thread.join().unwrap().unwrap_err();
    }
    assert_eq!(after_a_crash(folder.path(), 0..5), 0);
    // Nothing is stuck by it: the next goes.
    let mut writer = lock(&storage.writer);
    writer.commit_hook(None::<fn() -> bool>).unwrap();
    let threads = pushes(&storage, 0..5, &done);
    drop(writer);
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
}
