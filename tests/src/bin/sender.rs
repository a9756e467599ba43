//! Sends numbered texts and small photos into a job until it is killed, and says of each that it
//! is kept, once the call has returned and not before.
//!
//! `sender DIR THREAD FIRST-NUMBER [POINT TIMES]`: with a point (`kolonne_core::points`) it dies there
//! by itself, when it has come by so many times.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helper"
)]

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use kolonne_core::capture::About;
use kolonne_core::points::{self, Verdict};
use kolonne_core::{Config, Kolonne};
use kolonne_model::ids::ThreadId;
use kolonne_tests::files;

/// Every so many items, a photo.
const PHOTO_EVERY: u64 = 4;

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().expect("a folder");
    let job: ThreadId = args.next().expect("a job").parse().unwrap();
    let first: u64 = args.next().expect("a number").parse().unwrap();
    if let (Some(point), Some(times)) = (args.next(), args.next()) {
        let times: u64 = times.parse().unwrap();
        let passed = AtomicU64::new(0);
        points::watch(move |at| {
            if at.name() == point && passed.fetch_add(1, Ordering::SeqCst) + 1 == times {
                // Like a SIGKILL: nothing is flushed, nothing is dropped.
                std::process::abort();
            }
            Verdict::GoOn
        });
    }
    let kolonne = Kolonne::open(Config::new(dir)).unwrap();
    let seat = kolonne.me().unwrap().seats[0].seat;
    let mut out = std::io::stdout().lock();
    for number in first.. {
        // The same number again, because its line was lost with the process, is the same item.
        let mut draft = [0; 16];
        draft[..8].copy_from_slice(&number.to_be_bytes());
        let mut about = About {
            draft: Some(draft),
            ..About::default()
        };
        let words = format!("Nr. {number}");
        let id = if number % PHOTO_EVERY == 0 {
            about.caption = Some(words);
            let jpeg = files::photo(64, 48, u32::try_from(number).unwrap());
            kolonne.send_photo(&seat, &job, &jpeg, &about)
        } else {
            kolonne.send_text(&seat, &job, &words, &about)
        };
        writeln!(out, "gesichert {number} {}", id.unwrap()).unwrap();
        out.flush().unwrap();
    }
}
