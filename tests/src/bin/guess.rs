//! Tries one PIN, and is killed while it does.
//!
//! `guess DIR SEAT PIN`
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helper")]

use kolonne_core::{Config, Kolonne};

fn main() {
    let mut args = std::env::args().skip(1);
    let kolonne = Kolonne::open(Config::new(args.next().expect("a folder"))).unwrap();
    let seat = args.next().expect("a seat").parse().unwrap();
    let answer = kolonne.unlock(&seat, &args.next().expect("a PIN"));
    println!("{answer:?}");
}
