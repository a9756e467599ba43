//! What a fuzzer begins with: every byte string of the model's test vectors, and small files of
//! each kind that people send.

use std::io::Cursor;
use std::path::Path;

use exif::Tag;
use image::{DynamicImage, ImageFormat};
use serde_json::Value;

use crate::files;

fn collect(value: &Value, into: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => into.extend(data_encoding::HEXLOWER.decode(text.as_bytes()).ok()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
        _ => {}
    }
}

fn vectors() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/model/vectors");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).unwrap();
        collect(&serde_json::from_str(&text).unwrap(), &mut all);
    }
    all
}

fn pictures() -> Vec<Vec<u8>> {
    let jpeg = files::photo(24, 16, 1);
    let image = image::load_from_memory(&jpeg).unwrap().to_rgb8();
    let stored = |format| {
        let mut bytes = Cursor::new(Vec::new());
        let image = DynamicImage::ImageRgb8(image.clone());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let texts = [
        (Tag::DateTimeOriginal, "2026:11:25 07:30:00".to_owned()),
        (Tag::Make, "Kamera".to_owned()),
        (Tag::GPSLatitudeRef, "N".to_owned()),
    ];
    let xmp = b"http://ns.adobe.com/xap/1.0/\0<x exif:GPSLatitude=\"48,15.6N\"/>";
    let length = u16::try_from(xmp.len() + 2).unwrap().to_be_bytes();
    let with_xmp = [&jpeg[..2], &[0xff, 0xe1], &length, xmp, &jpeg[2..]].concat();
    vec![
        files::with_exif(&jpeg, &texts),
        with_xmp,
        jpeg,
        stored(ImageFormat::Png),
        stored(ImageFormat::WebP),
        stored(ImageFormat::Gif),
        stored(ImageFormat::Bmp),
        stored(ImageFormat::Tiff),
        atom(b"ftyp", b"heic\0\0\0\0mif1heic"),
        [1, 2, 2].into_iter().chain([9; 6]).collect(),
    ]
}

/// A page of Ogg with packets of less than 255 bytes; its checksum stays zero.
fn ogg(flags: u8, granule: u64, sequence: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(granule.to_le_bytes());
    page.extend(7_u32.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    page.push(packets.len() as u8);
    page.extend(packets.iter().map(|packet| packet.len() as u8));
    page.extend(packets.concat());
    page
}

fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&length, kind.as_slice(), body].concat()
}

fn sounds() -> Vec<Vec<u8>> {
    let head = b"OpusHead\x01\x01\0\0\x80\x3e\0\0\0\0\0";
    let tags = b"OpusTags\0\0\0\0\0\0\0\0";
    let opus = [
        ogg(2, 0, 0, &[head]),
        ogg(0, 0, 1, &[tags]),
        ogg(4, 1920, 2, &[&[0x48, 1, 2, 3], &[0x48, 4, 5]]),
    ]
    .concat();
    let handler = atom(b"hdlr", b"\0\0\0\0\0\0\0\0soun\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let sound = atom(b"moov", &atom(b"trak", &atom(b"mdia", &handler)));
    let m4a = [
        atom(b"ftyp", b"M4A \0\0\0\0isom"),
        atom(b"mdat", &[0x21; 32]),
        sound,
    ]
    .concat();
    vec![files::wav(60), opus, m4a]
}

/// Bytes by which things are built rather than read.
fn plans() -> Vec<Vec<u8>> {
    let plan = |number: u32| {
        let mut bytes = vec![0; 700];
        let mut hash = blake3::Hasher::new();
        hash.update(&number.to_be_bytes());
        hash.finalize_xof().fill(&mut bytes);
        bytes
    };
    (0..24).map(plan).collect()
}

/// The seeds of a target.
///
/// # Panics
/// If the model's vectors aren't beside this crate.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "photo" => pictures(),
        "voice" => sounds(),
        "roster" | "hub" => plans(),
        _ => vectors(),
    }
}
