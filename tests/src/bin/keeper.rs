//! Keeps numbered files as a hub does until it is killed, and says of each that it is kept, or that it
//! was erased, once that was answered and not before.
//!
//! `keeper DIR FIRST-NUMBER`: the first is asked for before it is sent, as after a crash.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helper"
)]

use std::io::Write;
use std::path::Path;

use kolonne_hub::storage::blobs::Folder;
use kolonne_hub::storage::{BlobStore, Finished};
use kolonne_model::ids::BlobId;
use kolonne_tests::power::hub::{COMPANY, TOGETHER, is_erased};

fn file(number: u64) -> (BlobId, Vec<u8>) {
    let folder = (number / TOGETHER).to_be_bytes()[7];
    let mut nonce = 0_u64;
    loop {
        let bytes = [number, nonce].map(u64::to_be_bytes).concat().repeat(200);
        let hash = *blake3::hash(&bytes).as_bytes();
        if hash[0] == folder {
            return (BlobId(hash), bytes);
        }
        nonce += 1;
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().expect("a folder");
    let first: u64 = args.next().expect("a number").parse().unwrap();
    let folder = Folder::open(Path::new(&dir)).unwrap();
    let mut out = std::io::stdout().lock();
    for number in first.. {
        let (blob, bytes) = file(number);
        let name = format!("{number:032x}");
        let finish = || folder.finish(&name, &COMPANY, &blob).unwrap();
        // What is to be erased isn't sent again, as little as it is answered for.
        if number != first || (!is_erased(number) && finish() == Finished::OtherHash) {
            folder.write(&name, 0, &bytes).unwrap();
            assert_eq!(finish(), Finished::Durable);
        }
        if is_erased(number) {
            folder.remove(&COMPANY, &blob).unwrap();
        }
        writeln!(out, "gesichert {number} {blob}").unwrap();
        out.flush().unwrap();
    }
}
