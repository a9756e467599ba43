//! The three things a photo tells about itself that go into the encrypted op: when, with what, where.
//! Broken EXIF is common and never a reason to refuse a picture: what can't be read is absent.

use std::io::Cursor;

use exif::{Exif, In, Rational, Reader, Tag, Value};

use super::{MediaError, guard};

/// Wall time as the camera's clock showed it, with its offset from UTC if the camera wrote one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LocalTime {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub offset_minutes: Option<i16>,
}

/// What was found; every part may be missing.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// 1 to 8 as EXIF numbers them.
    pub orientation: Option<u8>,
    pub taken: Option<LocalTime>,
    pub camera: Option<String>,
    pub position: Option<(f64, f64)>,
}

/// Longest camera name kept, in characters.
const CAMERA_CHARS: usize = 64;

/// Reads EXIF from JPEG, PNG, WebP or TIFF.
pub(super) fn read(bytes: &[u8]) -> Found {
    guard(|| {
        let exif = Reader::new()
            .continue_on_error(true)
            .read_from_container(&mut Cursor::new(bytes))
            .or_else(|error| error.distill_partial_result(|_| {}))
            .map_err(|_| MediaError::Corrupt("exif"))?;
        Ok(Found {
            orientation: uint(&exif, Tag::Orientation).and_then(|value| u8::try_from(value).ok()),
            taken: taken(&exif),
            camera: camera(&exif),
            position: position(&exif),
        })
    })
    .unwrap_or_default()
}

fn uint(exif: &Exif, tag: Tag) -> Option<u32> {
    exif.get_field(tag, In::PRIMARY)?.value.get_uint(0)
}

fn ascii(exif: &Exif, tag: Tag) -> Option<&[u8]> {
    match &exif.get_field(tag, In::PRIMARY)?.value {
        Value::Ascii(parts) => parts.first().map(Vec::as_slice),
        _ => None,
    }
}

fn taken(exif: &Exif) -> Option<LocalTime> {
    [
        (Tag::DateTimeOriginal, Tag::OffsetTimeOriginal),
        (Tag::DateTimeDigitized, Tag::OffsetTimeDigitized),
        (Tag::DateTime, Tag::OffsetTime),
    ]
    .into_iter()
    .find_map(|(time, offset)| {
        let mut time = exif::DateTime::from_ascii(ascii(exif, time)?).ok()?;
        // An unset clock writes zeros or 1970 and later: only what can't be a time is dropped.
        let valid = time.year >= 1970
            && (1..=12).contains(&time.month)
            && (1..=31).contains(&time.day)
            && time.hour < 24
            && time.minute < 60
            && time.second <= 60;
        if let Some(offset) = ascii(exif, offset) {
            time.parse_offset(offset).ok();
        }
        valid.then_some(LocalTime {
            year: time.year,
            month: time.month,
            day: time.day,
            hour: time.hour,
            minute: time.minute,
            second: time.second,
            offset_minutes: time.offset.filter(|minutes| minutes.abs() <= 14 * 60),
        })
    })
}

fn camera(exif: &Exif) -> Option<String> {
    let text = |tag| {
        let text = String::from_utf8_lossy(ascii(exif, tag)?);
        let text: String = text
            .trim()
            .chars()
            .filter(|c| !c.is_control())
            .take(CAMERA_CHARS)
            .collect();
        (!text.is_empty()).then_some(text)
    };
    let name = match (text(Tag::Make), text(Tag::Model)) {
        (Some(make), Some(model)) if !model.to_lowercase().starts_with(&make.to_lowercase()) => {
            format!("{make} {model}")
        }
        (make, model) => model.or(make)?,
    };
    Some(name.chars().take(CAMERA_CHARS).collect())
}

fn position(exif: &Exif) -> Option<(f64, f64)> {
    let latitude = degrees(exif, Tag::GPSLatitude, Tag::GPSLatitudeRef, b'S', 90.0)?;
    let longitude = degrees(exif, Tag::GPSLongitude, Tag::GPSLongitudeRef, b'W', 180.0)?;
    // Phones without a fix write zeros.
    (latitude != 0.0 || longitude != 0.0).then_some((latitude, longitude))
}

fn degrees(exif: &Exif, tag: Tag, reference: Tag, negative: u8, limit: f64) -> Option<f64> {
    let Value::Rational(parts) = &exif.get_field(tag, In::PRIMARY)?.value else {
        return None;
    };
    let part = |part: &Rational| (part.denom != 0).then(|| part.to_f64());
    let mut degrees = part(parts.first()?)?;
    for (value, unit) in parts.get(1..)?.iter().zip([60.0, 3600.0]) {
        // Minutes or seconds that are 0/0 are left out by some phones.
        degrees += part(value).unwrap_or(0.0) / unit;
    }
    let sign = if ascii(exif, reference)?.first() == Some(&negative) {
        -1.0
    } else {
        1.0
    };
    (degrees.is_finite() && degrees <= limit).then_some(sign * degrees)
}
