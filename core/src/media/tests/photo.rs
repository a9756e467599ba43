//! Photos through `recode`.

use crate::media::photo::{Mode, recode};
use crate::media::{Cancel, Limits, LocalTime, MediaError, MediaType, position, preview, probe};
use exif::{Rational, Tag, Value};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use mozjpeg::ColorSpace;

use super::make::*;

#[test]
fn a_large_photo_becomes_its_tiers() {
    for progressive in [false, true] {
        let photo = take(
            &Jpeg {
                progressive,
                ..Jpeg::default()
            }
            .rgb(&quarters(4032, 3024)),
        )
        .unwrap();
        assert_eq!((photo.width, photo.height), (4032, 3024));
        assert_eq!((photo.picture.width, photo.picture.height), (2048, 1536));
        assert_eq!((photo.thumb.width, photo.thumb.height), (320, 240));
        assert_sound(&photo);
        assert_quarters(&pixels(&photo.picture), [RED, GREEN, BLUE, WHITE]);
        assert_quarters(&pixels(&photo.thumb), [RED, GREEN, BLUE, WHITE]);
        let (columns, rows, rgb) = preview::draw(&photo.preview).unwrap();
        let drawn = RgbImage::from_raw(columns as u32, rows as u32, rgb).unwrap();
        assert_quarters(&drawn, [RED, GREEN, BLUE, WHITE]);
    }
}

#[test]
fn both_modes_show_the_same() {
    let bytes = plain(1600, 1200);
    let burst = recode(&bytes, &Limits::default(), Mode::Burst, &Cancel::default()).unwrap();
    assert_sound(&burst);
    assert_quarters(&pixels(&burst.picture), [RED, GREEN, BLUE, WHITE]);
    assert_eq!(burst.preview, take(&bytes).unwrap().preview);
}

#[test]
fn nothing_is_ever_enlarged() {
    for (width, height) in [
        (1, 1),
        (7, 3),
        (300, 200),
        (321, 1),
        (1, 5000),
        (2048, 2048),
        (2049, 11),
    ] {
        let photo = take(&plain(width, height)).unwrap();
        assert_eq!((photo.width, photo.height), (width, height));
        assert!(photo.picture.width <= width && photo.picture.height <= height);
        assert!(photo.thumb.width <= width && photo.thumb.height <= height);
        assert!(preview::draw(&photo.preview).is_some());
        pixels(&photo.picture);
        pixels(&photo.thumb);
    }
}

#[test]
fn all_eight_orientations_stand_upright() {
    // Where the stored quarters red, green / blue, white end up (EXIF 2.32, tag 274).
    let expected = [
        [RED, GREEN, BLUE, WHITE],
        [GREEN, RED, WHITE, BLUE],
        [WHITE, BLUE, GREEN, RED],
        [BLUE, WHITE, RED, GREEN],
        [RED, BLUE, GREEN, WHITE],
        [BLUE, RED, WHITE, GREEN],
        [WHITE, GREEN, BLUE, RED],
        [GREEN, WHITE, RED, BLUE],
    ];
    for (orientation, expected) in (1u16..).zip(expected) {
        let exif = exif_of(vec![(Tag::Orientation, Value::Short(vec![orientation]))]);
        let photo = take(
            &Jpeg {
                exif: Some(&exif),
                ..Jpeg::default()
            }
            .rgb(&quarters(640, 400)),
        )
        .unwrap();
        let upright = if orientation >= 5 {
            (400, 640)
        } else {
            (640, 400)
        };
        assert_eq!(
            (photo.width, photo.height),
            upright,
            "orientation {orientation}"
        );
        assert_sound(&photo);
        assert_quarters(&pixels(&photo.picture), expected);
        assert_quarters(&pixels(&photo.thumb), expected);
    }
}

#[test]
fn exif_tells_time_camera_and_place_and_stays_outside() {
    let exif = exif_of(vec![
        (Tag::Make, text("Canary")),
        (Tag::Model, text("Dachkamera 3")),
        (Tag::DateTimeOriginal, text("2024:05:17 14:03:59")),
        (Tag::OffsetTimeOriginal, text("+02:00")),
        (Tag::GPSLatitude, dms(52, 30, 0)),
        (Tag::GPSLatitudeRef, text("S")),
        (Tag::GPSLongitude, dms(13, 15, 36)),
        (Tag::GPSLongitudeRef, text("E")),
    ]);
    let photo = take(
        &Jpeg {
            exif: Some(&exif),
            ..Jpeg::default()
        }
        .rgb(&quarters(64, 64)),
    )
    .unwrap();
    assert_eq!(photo.camera.as_deref(), Some("Canary Dachkamera 3"));
    let taken = LocalTime {
        year: 2024,
        month: 5,
        day: 17,
        hour: 14,
        minute: 3,
        second: 59,
        offset_minutes: Some(120),
    };
    assert_eq!(photo.taken, Some(taken));
    let (latitude, longitude) = photo.position.unwrap();
    assert!((latitude + 52.5).abs() < 1e-9 && (longitude - 13.26).abs() < 1e-9);
    for tier in [&photo.thumb, &photo.picture] {
        assert!(
            !tier
                .jpeg
                .windows(6)
                .any(|window| window == b"Canary" || window == b"secret")
        );
    }
}

#[test]
fn a_position_is_taken_out_and_nothing_else() {
    let exif = exif_of(vec![
        (Tag::Model, text("Dachkamera 3")),
        (Tag::DateTimeOriginal, text("2024:05:17 14:03:59")),
        (Tag::GPSLatitude, dms(52, 30, 0)),
        (Tag::GPSLatitudeRef, text("N")),
        (Tag::GPSLongitude, dms(13, 15, 36)),
        (Tag::GPSLongitudeRef, text("E")),
    ]);
    let jpeg = Jpeg {
        exif: Some(&exif),
        ..Jpeg::default()
    }
    .rgb(&quarters(64, 64));
    let xmp =
        br#"<x exif:GPSLatitude="52,30.5N" a="1"><exif:GPSLongitude>13,15E</exif:GPSLongitude>"#;
    let mut before = jpeg.clone();
    before.extend_from_slice(xmp);
    let mut after = before.clone();
    position::remove(&mut after);
    assert_eq!(after.len(), before.len());
    let photo = take(&after).unwrap();
    assert_eq!(photo.position, None);
    assert_eq!(photo.camera.as_deref(), Some("Dachkamera 3"));
    assert!(photo.taken.is_some());
    assert_eq!(photo.picture.jpeg, take(&before).unwrap().picture.jpeg);
    let left = String::from_utf8_lossy(&after[jpeg.len()..]);
    assert_eq!(
        left,
        r#"<x exif:GPSLatitude="        " a="1"><exif:GPSLongitude>      </exif:GPSLongitude>"#
    );
    let mut none = b"no picture exif:GPSLatitude=\"1\"".to_vec();
    position::remove(&mut none);
    assert!(none.ends_with(b"\"1\""));
}

#[test]
fn senseless_exif_is_absent_not_fatal() {
    let exif = exif_of(vec![
        (Tag::Orientation, Value::Short(vec![77])),
        (Tag::DateTimeOriginal, text("0000:00:00 00:00:00")),
        (Tag::Model, text("   ")),
        (
            Tag::GPSLatitude,
            Value::Rational(vec![Rational { num: 1, denom: 0 }; 3]),
        ),
        (Tag::GPSLatitudeRef, text("N")),
        (Tag::GPSLongitude, dms(999, 0, 0)),
        (Tag::GPSLongitudeRef, text("E")),
    ]);
    let photo = take(
        &Jpeg {
            exif: Some(&exif),
            ..Jpeg::default()
        }
        .rgb(&quarters(64, 40)),
    )
    .unwrap();
    assert_eq!(
        (photo.taken, photo.camera, photo.position),
        (None, None, None)
    );
    assert_eq!((photo.width, photo.height), (64, 40));
}

#[test]
fn other_formats_become_jpeg() {
    let image = quarters(640, 480);
    for format in [
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ] {
        let photo = take(&stored(image.clone(), format)).unwrap();
        assert_sound(&photo);
        assert_quarters(&pixels(&photo.picture), [RED, GREEN, BLUE, WHITE]);
    }
}

#[test]
fn alpha_is_laid_on_white() {
    let image = RgbaImage::from_fn(100, 100, |x, _| {
        Rgba([255, 0, 0, if x < 50 { 0 } else { 255 }])
    });
    let picture = pixels(&take(&stored(image, ImageFormat::Png)).unwrap().picture);
    assert!(near(picture.get_pixel(10, 50), [255; 3]));
    assert!(near(picture.get_pixel(90, 50), [255, 0, 0]));
}

#[test]
fn grey_cmyk_and_sixteen_bits_are_shown_right() {
    let grey = vec![120u8; 64 * 64];
    let photo = take(&Jpeg::default().encode(ColorSpace::JCS_GRAYSCALE, (64, 64), &grey)).unwrap();
    assert!(near(pixels(&photo.picture).get_pixel(32, 32), [120; 3]));

    // Adobe's inverse: 255 is no ink.
    let cmyk = [255u8, 60, 60, 255].repeat(64 * 64);
    let photo = take(&Jpeg::default().encode(ColorSpace::JCS_CMYK, (64, 64), &cmyk)).unwrap();
    assert!(near(
        pixels(&photo.picture).get_pixel(32, 32),
        [255, 60, 60]
    ));

    let deep = image::ImageBuffer::from_pixel(64, 64, Rgb([51400u16, 25700, 0]));
    let photo = take(&stored(DynamicImage::ImageRgb16(deep), ImageFormat::Png)).unwrap();
    assert!(near(
        pixels(&photo.picture).get_pixel(32, 32),
        [200, 100, 0]
    ));
}

#[test]
fn what_is_no_photo_is_refused_with_its_kind() {
    assert_eq!(take(b""), Err(MediaError::Empty));
    let unsupported = |bytes: &[u8], kind| {
        assert_eq!(probe(bytes), kind);
        assert_eq!(take(bytes), Err(MediaError::Unsupported(kind)));
    };
    unsupported(
        "Ortgang gerissen, brauchen 12 Ziegel\r\n".as_bytes(),
        MediaType::Text,
    );
    unsupported(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", MediaType::Heic);
    unsupported(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", MediaType::Avif);
    unsupported(b"%PDF-1.7\n", MediaType::Pdf);
    unsupported(b"PK\x03\x04 and so on", MediaType::Zip);
    unsupported(b"\0", MediaType::Unknown);
    unsupported(b"\xff\xfe\xfd", MediaType::Unknown);
    unsupported(&wav(8000, &[0; 800]), MediaType::Wav);
    let mut long = "ü".repeat(5000).into_bytes();
    unsupported(&long, MediaType::Text);
    long.truncate(4001);
    unsupported(&long, MediaType::Unknown);
}

/// A TIFF of one row, whose directory says that a tag has this many values at a place.
fn tiff_with(tag: u16, kind: u16, count: u32, at: u32, is_little: bool) -> Vec<u8> {
    let (short, long) = if is_little {
        (
            (|n: u16| n.to_le_bytes()) as fn(u16) -> [u8; 2],
            (|n: u32| n.to_le_bytes()) as fn(u32) -> [u8; 4],
        )
    } else {
        (
            (|n: u16| n.to_be_bytes()) as fn(u16) -> [u8; 2],
            (|n: u32| n.to_be_bytes()) as fn(u32) -> [u8; 4],
        )
    };
    let entries = [
        (256, 4, 1, 8),
        (257, 4, 1, 1),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (279, 4, 1, 8),
    ];
    let mut file = if is_little { *b"II" } else { *b"MM" }.to_vec();
    file.extend(short(42));
    file.extend(long(16));
    file.extend([128; 8]);
    let others = entries.into_iter().filter(|entry| entry.0 != tag);
    let mut entries: Vec<_> = others.chain([(tag, kind, count, at)]).collect();
    entries.sort_unstable();
    file.extend(short(u16::try_from(entries.len()).unwrap()));
    for (tag, kind, count, value) in entries {
        file.extend([short(tag), short(kind)].concat());
        file.extend(long(count));
        if (kind, count) == (3, 1) {
            file.extend([short(u16::try_from(value).unwrap()), [0; 2]].concat());
        } else {
            file.extend(long(value));
        }
    }
    file.extend(long(0));
    file
}

#[test]
fn a_tiff_gets_no_room_for_values_it_does_not_have() {
    for is_little in [true, false] {
        let recode = |bytes: &[u8], limits: Limits| {
            recode(bytes, &limits, Mode::Burst, &Cancel::default()).map(|photo| photo.width)
        };
        let good = tiff_with(256, 4, 1, 8, is_little);
        assert_eq!(recode(&good, Limits::default()), Ok(8));
        // Heights, strips, whatever the decoder reads: as many as are there, and no more.
        for (tag, kind, count) in [
            (257, 4, 1_048_577),
            (273, 4, 1_048_577),
            (279, 3, 8_000_000),
            (258, 3, 200),
            (339, 3, u32::MAX),
            (347, 7, 1 << 20),
            (282, 5, 40),
            (273, 99, u32::MAX),
        ] {
            let claims = tiff_with(tag, kind, count, 8, is_little);
            let refused = recode(&claims, Limits::default());
            assert_eq!(refused, Err(MediaError::Corrupt("directory")), "{tag}");
        }
        // What is there, but would need more memory than there is.
        let mut there = tiff_with(273, 1, 1 << 20, 8, is_little);
        there.resize(2 << 20, 1);
        let limits = Limits {
            memory_bytes: 48 << 20,
            ..Limits::default()
        };
        assert_ne!(recode(&there, limits), Err(MediaError::TooMuchMemory));
        let limits = Limits {
            memory_bytes: (48 << 20) - 1,
            ..limits
        };
        assert_eq!(recode(&there, limits), Err(MediaError::TooMuchMemory));
        // Other programs' tags are their own: nobody reads them.
        let foreign = tiff_with(37_724, 7, u32::MAX, 8, is_little);
        assert_eq!(recode(&foreign, Limits::default()), Ok(8));
        // No directory at all.
        let cut = good.get(..20).unwrap();
        assert_eq!(recode(cut, Limits::default()), Err(MediaError::Truncated));
    }
}

#[test]
fn limits_come_before_decoding() {
    let refuse = |bytes: &[u8], limits: Limits| {
        recode(bytes, &limits, Mode::Quality, &Cancel::default()).unwrap_err()
    };
    let standard = Limits::default();
    let small = plain(200, 100);
    assert_eq!(
        refuse(
            &small,
            Limits {
                input_bytes: 100,
                ..standard
            }
        ),
        MediaError::TooLarge
    );
    assert_eq!(
        refuse(
            &small,
            Limits {
                pixels: 19_999,
                ..standard
            }
        ),
        MediaError::TooManyPixels
    );
    assert_eq!(
        refuse(
            &small,
            Limits {
                memory_bytes: 100_000,
                ..standard
            }
        ),
        MediaError::TooMuchMemory
    );
    let progressive = Jpeg {
        progressive: true,
        ..Jpeg::default()
    }
    .rgb(&quarters(200, 100));
    assert_eq!(
        refuse(
            &progressive,
            Limits {
                scans: 3,
                ..standard
            }
        ),
        MediaError::TooManyScans
    );
    assert_eq!(
        refuse(
            &progressive,
            Limits {
                scan_pixels: 20_001,
                ..standard
            }
        ),
        MediaError::TooManyScans
    );

    // A small file that claims 65,500 × 65,500.
    let mut huge = small.clone();
    let frame = huge
        .windows(2)
        .position(|marker| marker == [0xff, 0xc0])
        .unwrap();
    huge[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    assert_eq!(take(&huge), Err(MediaError::TooManyPixels));
    // 14,000 × 14,000 passes as a sequential picture, but not with all coefficients in memory.
    let mut huge = progressive;
    let frame = huge
        .windows(2)
        .position(|marker| marker == [0xff, 0xc2])
        .unwrap();
    huge[frame + 5..frame + 9].copy_from_slice(&[0x36, 0xb0, 0x36, 0xb0]);
    assert!(matches!(
        take(&huge),
        Err(MediaError::TooMuchMemory | MediaError::TooManyScans)
    ));

    let mut bomb = stored(quarters(64, 64), ImageFormat::Png);
    bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0, 0, 0, 0xff, 0]);
    let crc = png_crc(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc);
    assert_eq!(take(&bomb), Err(MediaError::TooManyPixels));
    bomb[16..24].copy_from_slice(&[0, 0, 0x30, 0, 0, 0, 0x30, 0]);
    let crc = png_crc(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc);
    assert_eq!(take(&bomb), Err(MediaError::TooMuchMemory));
}

fn png_crc(bytes: &[u8]) -> [u8; 4] {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ (0xedb8_8320 & (0u32.wrapping_sub(crc & 1)))
        })
    });
    (!crc).to_be_bytes()
}

#[test]
fn cut_and_damaged_pictures_are_refused() {
    let jpeg = plain(800, 600);
    for len in [
        2,
        3,
        20,
        200,
        jpeg.len() / 2,
        jpeg.len() - 2,
        jpeg.len() - 1,
    ] {
        assert!(take(&jpeg[..len]).is_err(), "{len}");
    }
    assert_eq!(take(&jpeg[..jpeg.len() / 2]), Err(MediaError::Truncated));
    // What cameras append after the end is no fault.
    assert!(take(&[&jpeg[..], &[0; 999]].concat()).is_ok());
    for format in [
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ] {
        let bytes = stored(quarters(300, 200), format);
        assert!(take(&bytes[..bytes.len() / 2]).is_err(), "{format:?}");
        assert!(take(&bytes[..16]).is_err(), "{format:?}");
    }
}

#[test]
fn a_cancelled_recode_says_so() {
    let cancel = Cancel::default();
    cancel.clone().cancel();
    for bytes in [
        plain(100, 100),
        stored(quarters(100, 100), ImageFormat::Png),
    ] {
        assert_eq!(
            recode(&bytes, &Limits::default(), Mode::Quality, &cancel),
            Err(MediaError::Cancelled)
        );
    }
}

#[test]
fn previews_are_drawn_strictly() {
    let photo = take(&plain(400, 300)).unwrap();
    let (columns, rows, _) = preview::draw(&photo.preview).unwrap();
    assert_eq!((columns, rows), (16, 12));
    let mut longer = photo.preview.clone();
    longer.push(0);
    for bad in [
        &[][..],
        &[1],
        &[1, 0, 0],
        &[1, 255, 255],
        &photo.preview[1..],
        &longer,
    ] {
        assert_eq!(preview::draw(bad), None);
    }
    // One column, one row: Y, Cb, Cr of a saturated red.
    assert_eq!(
        preview::draw(&[1, 1, 1, 76, 85, 255]),
        Some((1, 1, vec![254, 0, 0]))
    );
}

#[test]
fn real_photos_of_phones_are_taken() {
    for (name, bytes) in shared("photos/phones") {
        let photo = take(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_sound(&photo);
        assert!(photo.taken.is_some() && photo.camera.is_some(), "{name}");
        assert!(photo.picture.jpeg.len() * 2 < bytes.len(), "{name}");
    }
}

#[test]
fn odd_photos_are_taken_or_refused() {
    for (name, bytes) in shared("photos/odd") {
        match take(&bytes) {
            Ok(photo) => assert_sound(&photo),
            Err(error) => assert!(!name.starts_with("orientation"), "{name}: {error}"),
        }
    }
}
