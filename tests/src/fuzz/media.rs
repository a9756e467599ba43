//! Files of people: photos, voice notes and whatever says that it is one.

use kolonne_core::media::photo::{self, Mode};
use kolonne_core::media::{Cancel, Limits, position, preview, probe, voice};

/// Little enough that a whole decode fits the fuzzer's memory and patience.
fn limits() -> Limits {
    Limits {
        input_bytes: 1 << 20,
        pixels: 1 << 18,
        memory_bytes: 4 << 20,
        scans: 16,
        scan_pixels: 1 << 21,
        voice_ms: 10_000,
    }
}

/// What a file is, where it was taken, and its tiers.
pub fn photo(bytes: &[u8]) {
    let kind = probe(bytes);
    if let Some((columns, rows, rgb)) = preview::draw(bytes) {
        assert_eq!(rgb.len(), columns * rows * 3);
    }
    let mut without = bytes.to_vec();
    position::remove(&mut without);
    assert_eq!(
        without.len(),
        bytes.len(),
        "every other byte stays where it is"
    );
    let mut twice = without.clone();
    position::remove(&mut twice);
    assert_eq!(twice, without, "once is enough");
    if let Ok(made) = photo::recode(bytes, &limits(), Mode::Burst, &Cancel::default()) {
        assert!(kind.is_photo() && made.width > 0 && made.height > 0);
        assert!(preview::draw(&made.preview).is_some());
        for tier in [&made.thumb.jpeg, &made.picture.jpeg] {
            assert!(probe(tier).is_photo());
        }
    }
    if let Ok(made) = photo::recode(&without, &limits(), Mode::Burst, &Cancel::default()) {
        assert_eq!(made.position, None, "where it was taken is gone");
    }
}

/// A voice note's container.
pub fn voice(bytes: &[u8]) {
    let kind = probe(bytes);
    if let Ok(read) = voice::inspect(bytes, &limits()) {
        assert!(kind.is_voice() && read.duration_ms > 0);
        assert!(read.duration_ms <= limits().voice_ms);
    }
}
