//! Photos and voice notes through the public way in: made here, and real ones when they are at hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_lossless,
    clippy::cast_precision_loss,
    clippy::trivially_copy_pass_by_ref,
    clippy::wildcard_imports
)]

mod make;
mod photo;
mod voice;

use crate::media::photo::{Mode, recode};
use crate::media::voice::inspect;
use crate::media::{Cancel, Limits, position, preview, probe};
use exif::{Tag, Value};
use image::ImageFormat;
use proptest::prelude::*;

use make::*;

fn seeds() -> Vec<Vec<u8>> {
    let exif = exif_of(vec![
        (Tag::Orientation, Value::Short(vec![6])),
        (Tag::GPSLatitude, dms(1, 2, 3)),
    ]);
    let image = quarters(48, 32);
    let mut seeds = vec![
        Jpeg {
            exif: Some(&exif),
            progressive: false,
        }
        .rgb(&image),
        Jpeg {
            exif: None,
            progressive: true,
        }
        .rgb(&image),
        wav(8000, &[77; 400]),
        opus(),
        m4a(20, b"mp42"),
    ];
    let formats = [
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ];
    seeds.extend(formats.map(|format| stored(image.clone(), format)));
    seeds
}

fn try_all(bytes: &[u8]) {
    position::remove(&mut bytes.to_vec());
    let limits = Limits {
        pixels: 4_000_000,
        memory_bytes: 32 << 20,
        voice_ms: 60_000,
        ..Limits::default()
    };
    let _ = probe(bytes).mime();
    let _ = preview::draw(bytes);
    if let Ok(photo) = recode(bytes, &limits, Mode::Burst, &Cancel::default()) {
        assert_no_metadata(&photo.picture.jpeg);
    }
    let _ = inspect(bytes, &limits);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), seed in 0..10usize) {
        try_all(&bytes);
        // Behind a right beginning.
        let seed = &seeds()[seed];
        try_all(&[&seed[..seed.len().min(40)], &bytes].concat());
    }

    #[test]
    fn mutated_files_never_panic(
        seed in 0..10usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = seeds().swap_remove(seed);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        try_all(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        try_all(&bytes);
    }
}
