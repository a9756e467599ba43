//! The content as its users see it: repeatable, readable by others, in order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use super::exif::{ExifData, Orientation, Position};
use super::paint::{Scene, jpeg, photo};
use super::voice::voice_note;
use super::week::{Thread, What, Who, week};
use std::io::Cursor;

/// Wednesday 2026-11-18, 12:00 UTC.
const NOW_MS: i64 = 1_795_003_200_000;

fn camera(orientation: Orientation) -> ExifData {
    ExifData {
        make: "Kolonne".to_owned(),
        model: "Bauhandy".to_owned(),
        taken: "2026-07-03T09:15:42.250+02:00[Europe/Berlin]"
            .parse()
            .unwrap(),
        orientation,
        position: Some(Position {
            latitude: 53.4821,
            longitude: -8.6132,
        }),
    }
}

#[test]
fn a_seed_draws_the_same_picture_and_another_seed_another() {
    for scene in Scene::ALL {
        let first = photo(scene, 5, 160, 120);
        assert_eq!(first, photo(scene, 5, 160, 120), "{scene:?}");
        assert_ne!(first, photo(scene, 6, 160, 120), "{scene:?}");
    }
}

#[test]
fn no_picture_is_flat_black_or_white() {
    for scene in Scene::ALL {
        for seed in 0..6 {
            let picture = photo(scene, seed, 200, 150);
            let level: Vec<f64> = picture.pixels().map(|p| f64::from(p.0[1])).collect();
            let mean = level.iter().sum::<f64>() / 30_000.0;
            let spread = (level.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 30_000.0).sqrt();
            assert!(
                (40.0..225.0).contains(&mean),
                "{scene:?} {seed}: mean {mean}"
            );
            assert!(spread > 7.0, "{scene:?} {seed}: spread {spread}");
        }
    }
}

#[test]
fn the_jpeg_carries_what_a_phone_notes() {
    let file = jpeg(Scene::Gutter, 1, 96, 128, &camera(Orientation::Rotate90));
    let seen = image::load_from_memory(&file).unwrap();
    assert_eq!(
        (seen.width(), seen.height()),
        (128, 96),
        "stored on its side"
    );

    let exif = exif::Reader::new()
        .read_from_container(&mut Cursor::new(&file))
        .unwrap();
    let text = |tag| {
        let field = exif.get_field(tag, exif::In::PRIMARY).unwrap();
        field.display_value().to_string()
    };
    assert_eq!(text(exif::Tag::Make), "\"Kolonne\"");
    assert_eq!(text(exif::Tag::Model), "\"Bauhandy\"");
    assert_eq!(text(exif::Tag::DateTimeOriginal), "2026-07-03 09:15:42");
    assert_eq!(text(exif::Tag::OffsetTimeOriginal), "\"+02:00\"");
    let turn = exif
        .get_field(exif::Tag::Orientation, exif::In::PRIMARY)
        .unwrap();
    assert_eq!(turn.value.get_uint(0), Some(6));
    assert_eq!(text(exif::Tag::GPSLatitude), "53 deg 28 min 55.56 sec");
    assert_eq!(text(exif::Tag::GPSLongitudeRef), "W");
}

#[test]
fn a_voice_note_is_ogg_opus_of_the_asked_length() {
    use symphonia::core::{codecs::CODEC_TYPE_OPUS, formats::FormatOptions, io::MediaSourceStream};
    use symphonia::core::{meta::MetadataOptions, probe::Hint};

    for duration_ms in [4_000, 9_337] {
        let note = voice_note(3, duration_ms);
        assert_eq!((note.mime, note.extension), ("audio/ogg", "ogg"));
        assert_eq!(note.bytes, voice_note(3, duration_ms).bytes);
        assert_ne!(note.bytes, voice_note(4, duration_ms).bytes);
        assert!(note.bytes.len() < 4 * usize::try_from(duration_ms).unwrap());

        let stream = MediaSourceStream::new(
            Box::new(Cursor::new(note.bytes.clone())),
            symphonia::core::io::MediaSourceStreamOptions::default(),
        );
        let probed = symphonia::default::get_probe()
            .format(
                &Hint::new(),
                stream,
                &FormatOptions::default(),
                &MetadataOptions::default(),
            )
            .unwrap();
        assert_eq!(
            probed.format.default_track().unwrap().codec_params.codec,
            CODEC_TYPE_OPUS
        );

        let mut reader = opus_pure::OggOpusReader::new(Cursor::new(&note.bytes)).unwrap();
        let skip = i64::from(reader.head().pre_skip);
        let mut decoder = reader.head().decoder(48_000).unwrap();
        let (mut end, mut pcm, mut power) = (0, vec![0.0f32; 5_760], 0.0);
        while let Some(packet) = reader.read_packet().unwrap() {
            end = end.max(packet.page_granule);
            let count = decoder.decode(&packet.data, 5_760, &mut pcm).unwrap();
            power += pcm[..count].iter().map(|s| s * s).sum::<f32>();
        }
        assert_eq!((end - skip) / 48, i64::from(duration_ms));
        assert!(power > 100.0, "it can be heard");
    }
}

#[test]
fn the_week_is_sorted_over_and_refers_to_what_was_before() {
    // Through a year, so that weekends and both clock changes are met.
    for day in 0..366 {
        let now_ms = NOW_MS + day * 86_400_000 + day * 3_600_000;
        let week = week(now_ms);
        assert!(week.steps.is_sorted_by_key(|s| s.at_ms));
        for (n, step) in week.steps.iter().enumerate() {
            assert!(step.at_ms < now_ms && step.at_ms > now_ms - 12 * 86_400_000);
            let local = week.exif(step).taken;
            assert!((7..17).contains(&local.hour()), "{local}");
            assert!(local.weekday().to_monday_zero_offset() < 5, "{local}");
            assert!(step.thread < week.threads.len());
            if let What::Reply { to_step, .. }
            | What::Caption { to_step, .. }
            | What::Retract { to_step, .. }
            | What::Read { to_step } = step.what
            {
                assert!(to_step < n);
                assert_eq!(week.steps[to_step].thread, step.thread);
            }
        }
    }
}

#[test]
fn the_week_has_everything_a_visitor_should_see() {
    let week = week(NOW_MS);
    let count = |test: fn(&What) -> bool| week.steps.iter().filter(|s| test(&s.what)).count();
    assert!(
        (60..=110).contains(&week.steps.len()),
        "{}",
        week.steps.len()
    );
    assert!((28..=40).contains(&count(|w| matches!(w, What::Photo { .. }))));
    assert!(
        count(|w| matches!(
            w,
            What::Voice {
                duration_ms: 4_000..=20_000,
                ..
            }
        )) >= 5
    );
    assert_eq!(count(|w| matches!(w, What::Document { .. })), 2);
    assert_eq!(count(|w| matches!(w, What::Retract { .. })), 1);
    assert_eq!(count(|w| matches!(w, What::Rename { .. })), 1);
    assert!(count(|w| matches!(w, What::Read { .. })) >= 3);
    assert!(
        (6..=8).contains(
            &week
                .threads
                .iter()
                .filter(|t| matches!(t, Thread::Job { .. }))
                .count()
        )
    );
    for who in Who::ALL {
        assert!(week.steps.iter().any(|s| s.who == who), "{}", who.name());
    }
    for step in &week.steps {
        if let What::Retract { to_step, .. } | What::Caption { to_step, .. } = step.what {
            assert_eq!(week.steps[to_step].who, step.who, "only one's own");
        }
    }
}

#[test]
fn a_clock_out_of_range_still_gives_a_week() {
    for now_ms in [i64::MIN, -1, 0, i64::MAX] {
        assert!(!week(now_ms).steps.is_empty());
    }
}

#[test]
fn the_pdf_points_at_its_objects() {
    let week = week(NOW_MS);
    for step in &week.steps {
        let What::Document { document } = step.what else {
            continue;
        };
        let file = document.pdf();
        assert!(file.starts_with(b"%PDF-1.4") && file.ends_with(b"%%EOF\n"));
        let latin: String = file.iter().map(|b| char::from(*b)).collect();
        let start: usize = latin
            .rsplit("startxref\n")
            .next()
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let table = String::from_utf8(file[start..].to_vec()).unwrap();
        let entries: Vec<usize> = table
            .lines()
            .skip(3)
            .take(6)
            .map(|l| l[..10].parse().unwrap())
            .collect();
        for (n, at) in entries.iter().enumerate() {
            let head = format!("{} 0 obj", n + 1);
            assert_eq!(&file[*at..*at + head.len()], head.as_bytes());
        }
    }
}
