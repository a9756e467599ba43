//! Files to capture: real ones from the shared folder where there is one, else made here.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use exif::{Field, In, Tag, Value};
use image::codecs::jpeg::JpegEncoder;
use image::{ImageEncoder, Rgb, RgbImage};

fn shared(folder: &str, extension: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared")
        .join(folder);
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == extension));
    paths.sort();
    paths
        .into_iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Photos of phones: real ones, or made at 12 MP.
pub fn phone_photos(count: usize) -> Vec<Vec<u8>> {
    let mut photos = shared("photos/phones", "jpg");
    photos.truncate(count);
    for n in photos.len()..count {
        photos.push(photo(4000, 3000, n as u32));
    }
    photos
}

/// A picture with something in it; another number is another picture.
pub fn photo(width: u32, height: u32, number: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        let grain = (x * 7 + y * 13 + number * 31) % 23;
        Rgb([
            (x * 200 / width + grain) as u8,
            (y * 200 / height + grain) as u8,
            (number * 37 % 200 + grain) as u8,
        ])
    });
    let mut jpeg = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut jpeg, 88)
        .write_image(
            image.as_raw(),
            width,
            height,
            image::ExtendedColorType::Rgb8,
        )
        .unwrap();
    jpeg.into_inner()
}

/// The same picture with texts in its EXIF.
pub fn with_exif(jpeg: &[u8], texts: &[(Tag, String)]) -> Vec<u8> {
    let fields: Vec<Field> = texts
        .iter()
        .map(|(tag, text)| Field {
            tag: *tag,
            ifd_num: In::PRIMARY,
            value: Value::Ascii(vec![text.as_bytes().to_vec()]),
        })
        .collect();
    let mut writer = exif::experimental::Writer::new();
    for field in &fields {
        writer.push_field(field);
    }
    let mut tiff = Cursor::new(Vec::new());
    writer.write(&mut tiff, true).unwrap();
    let body = [b"Exif\0\0", tiff.into_inner().as_slice()].concat();
    let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &body, &jpeg[2..]].concat()
}

/// Speech-like sound, 16 kHz mono PCM.
pub fn wav(duration_ms: u32) -> Vec<u8> {
    const RATE: u32 = 16_000;
    let samples = (0..RATE / 1000 * duration_ms).map(|n| {
        let t = f64::from(n) / f64::from(RATE);
        let syllable = (t * 7.0).sin().abs();
        ((t * 190.0 * std::f64::consts::TAU).sin() * syllable * 12_000.0) as i16
    });
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let data_bytes = data.len() as u32;
    [
        b"RIFF".as_slice(),
        &(data_bytes + 36).to_le_bytes(),
        b"WAVEfmt \x10\0\0\0\x01\0\x01\0",
        &RATE.to_le_bytes(),
        &(RATE * 2).to_le_bytes(),
        b"\x02\0\x10\0data",
        &data_bytes.to_le_bytes(),
        &data,
    ]
    .concat()
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
