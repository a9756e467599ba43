//! Bad lines on a virtual clock: the engine of the app, the real store, the real hub (`src/sim`).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss
)]

use std::time::Duration;

use kolonne_core::capture::About;
use kolonne_core::records::State;
use kolonne_model::ids::OpId;
use kolonne_tests::sim::{SlowLine, Template};

const HOUR_MS: u64 = 3_600_000;

fn bytes(many: usize) -> Vec<u8> {
    let mut bytes = vec![0; many];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn sends(line: &mut SlowLine<'_>, many: usize, name: &str) -> OpId {
    let (job, bytes) = (line.job(), bytes(many));
    line.does(|phone| {
        let seat = phone.seat();
        let about = About::default();
        phone
            .core()
            .send_document(&seat, &job, name, &bytes, &about)
            .unwrap()
    })
}

fn has_sent_all(phone: &kolonne_tests::Device) -> bool {
    phone.core().status().unwrap().outbox.bytes == 0
}

#[test]
fn sixteen_megabytes_over_a_line_that_is_cut_every_thirty_seconds() {
    const MB_16: usize = 16_000_000;
    let template = Template::with_crews(0);
    let mut took = Vec::new();
    for cut_every_ms in [None, Some(30_000)] {
        let mut line = SlowLine::new(&template, 128_000 / 8, cut_every_ms);
        line.for_ms(20_000);
        let before = line.line_bytes;
        sends(&mut line, MB_16, "film.bin");
        let time = line.until(10 * HOUR_MS, has_sent_all);
        took.push((time, line.line_bytes - before));
    }
    let [(whole, plain_bytes), (cut, cut_bytes)] = took[..] else {
        panic!()
    };
    let times = cut.as_secs_f64() / whole.as_secs_f64();
    let extra = cut_bytes as f64 / MB_16 as f64 - 1.0;
    println!(
        "16 MB at 128 kbit/s: {whole:?}, {plain_bytes} bytes; cut every 30 s: {cut:?} ({times:.2} times), \
         {cut_bytes} bytes ({:.1} % extra)",
        extra * 100.0
    );
    assert!(
        times <= 1.5 && extra <= 0.1,
        "{times:.2} times, {extra:.3} extra"
    );
}

#[test]
fn five_megabytes_survive_cuts_and_ten_deaths() {
    const MB_5: usize = 5_000_000;
    let template = Template::with_crews(0);
    let mut line = SlowLine::new(&template, 64_000 / 8, Some(15_000));
    line.for_ms(20_000);
    let before = line.line_bytes;
    sends(&mut line, MB_5, "film.bin");
    for _ in 0..10 {
        line.for_ms(47_000);
        line.die();
    }
    line.until(10 * HOUR_MS, has_sent_all);
    let ratio = (line.line_bytes - before) as f64 / MB_5 as f64;
    println!("5 MB at 64 kbit/s, a cut every 15 s, 10 deaths: {ratio:.3} of its bytes");
    // The hub signs for nothing but the very bytes: it hashes them.
    assert!(ratio <= 1.15, "{ratio:.3}");
}

#[test]
fn a_text_passes_forty_films() {
    let template = Template::with_crews(0);
    let mut line = SlowLine::new(&template, 32_000 / 8, None);
    line.for_ms(20_000);
    for n in 0..40 {
        sends(&mut line, 5_000_000, &format!("film {n}.bin"));
    }
    line.for_ms(60_000);
    let job = line.job();
    let text = line.does(|phone| phone.text(&job, "Ortgang gerissen, brauchen 12 Ziegel"));
    let took = line.until(HOUR_MS, |phone| phone.state(&job, &text) != State::Saved);
    println!("behind 200 MB at 32 kbit/s a text is at the hub after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}
