//! Files to test with, made here, and what to hold against a result.

use std::io::Cursor;
use std::path::PathBuf;

use crate::media::photo::{Mode, PICTURE_EDGE, Photo, THUMB_EDGE, Tier, recode};
use crate::media::voice::{Voice, inspect};
use crate::media::{Cancel, Limits, MediaError, preview};
use exif::{Field, In, Rational, Tag, Value};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use mozjpeg::{ColorSpace, Compress, Marker};

pub const RED: [u8; 3] = [220, 30, 30];
pub const GREEN: [u8; 3] = [30, 180, 40];
pub const BLUE: [u8; 3] = [30, 50, 210];
pub const WHITE: [u8; 3] = [245, 245, 245];

pub fn take(bytes: &[u8]) -> Result<Photo, MediaError> {
    recode(bytes, &Limits::default(), Mode::Quality, &Cancel::default())
}

pub fn hear(bytes: &[u8]) -> Result<Voice, MediaError> {
    inspect(bytes, &Limits::default())
}

/// Red, green / blue, white: the four quarters tell every orientation apart.
pub fn quarters(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(match (x < width / 2, y < height / 2) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => WHITE,
        })
    })
}

#[derive(Default)]
pub struct Jpeg<'a> {
    pub exif: Option<&'a [u8]>,
    pub progressive: bool,
}

impl Jpeg<'_> {
    pub fn encode(
        &self,
        space: ColorSpace,
        (width, height): (u32, u32),
        samples: &[u8],
    ) -> Vec<u8> {
        let mut encoder = Compress::new(space);
        encoder.set_fastest_defaults();
        if self.progressive {
            encoder.set_progressive_mode();
        }
        encoder.set_size(width as usize, height as usize);
        encoder.set_quality(90.0);
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        if let Some(exif) = self.exif {
            encoder.write_marker(Marker::APP(1), &[b"Exif\0\0", exif].concat());
        }
        encoder.write_marker(Marker::COM, b"secret comment");
        encoder.write_scanlines(samples).unwrap();
        encoder.finish().unwrap()
    }

    pub fn rgb(&self, image: &RgbImage) -> Vec<u8> {
        self.encode(ColorSpace::JCS_RGB, image.dimensions(), image.as_raw())
    }
}

pub fn plain(width: u32, height: u32) -> Vec<u8> {
    Jpeg::default().rgb(&quarters(width, height))
}

pub fn stored(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.into().write_to(&mut out, format).unwrap();
    out.into_inner()
}

pub fn exif_of(fields: Vec<(Tag, Value)>) -> Vec<u8> {
    let fields: Vec<Field> = fields
        .into_iter()
        .map(|(tag, value)| Field {
            tag,
            ifd_num: In::PRIMARY,
            value,
        })
        .collect();
    let mut writer = exif::experimental::Writer::new();
    for field in &fields {
        writer.push_field(field);
    }
    let mut out = Cursor::new(Vec::new());
    writer.write(&mut out, true).unwrap();
    out.into_inner()
}

pub fn text(value: &str) -> Value {
    Value::Ascii(vec![value.as_bytes().to_vec()])
}

pub fn dms(d: u32, m: u32, s: u32) -> Value {
    Value::Rational([d, m, s].map(|num| Rational { num, denom: 1 }).to_vec())
}

pub fn pixels(tier: &Tier) -> RgbImage {
    assert_eq!(<[u8; 32]>::from(blake3::hash(&tier.jpeg)), tier.blake3);
    let image = image::load_from_memory_with_format(&tier.jpeg, ImageFormat::Jpeg)
        .unwrap()
        .into_rgb8();
    assert_eq!(image.dimensions(), (tier.width, tier.height));
    image
}

pub fn near(pixel: &Rgb<u8>, colour: [u8; 3]) -> bool {
    pixel.0.iter().zip(colour).all(|(a, b)| a.abs_diff(b) < 24)
}

pub fn assert_quarters(image: &RgbImage, expected: [[u8; 3]; 4]) {
    let (w, h) = image.dimensions();
    let places = [
        (w / 8, h / 8),
        (w * 7 / 8, h / 8),
        (w / 8, h * 7 / 8),
        (w * 7 / 8, h * 7 / 8),
    ];
    for ((x, y), colour) in places.into_iter().zip(expected) {
        let pixel = image.get_pixel(x, y);
        assert!(near(pixel, colour), "{pixel:?} at {x},{y}, not {colour:?}");
    }
}

/// The markers before the first scan, and that nothing but JFIF, tables and frames is among them.
pub fn assert_no_metadata(jpeg: &[u8]) {
    let mut at = 2;
    loop {
        let (marker, len) = (
            jpeg[at + 1],
            u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]) as usize,
        );
        assert_eq!(jpeg[at], 0xff);
        match marker {
            0xe0 => assert_eq!((&jpeg[at + 4..at + 9], len), (&b"JFIF\0"[..], 16)),
            0xc0 | 0xc2 | 0xc4 | 0xdb | 0xdd => {}
            0xda => break,
            other => panic!("marker {other:x} in a tier"),
        }
        at += 2 + len;
    }
}

pub fn assert_sound(photo: &Photo) {
    for (tier, edge) in [(&photo.thumb, THUMB_EDGE), (&photo.picture, PICTURE_EDGE)] {
        pixels(tier);
        assert_no_metadata(&tier.jpeg);
        let longest = photo.width.max(photo.height).min(edge);
        assert_eq!(tier.width.max(tier.height), longest);
        let (shape, wanted) = (
            f64::from(tier.width) * f64::from(photo.height),
            f64::from(tier.height) * f64::from(photo.width),
        );
        let slack = f64::from(photo.width.max(photo.height));
        assert!(
            (shape - wanted).abs() <= slack,
            "{}x{}",
            tier.width,
            tier.height
        );
    }
    assert!(photo.preview.len() <= preview::MAX_BYTES);
    let (columns, rows, rgb) = preview::draw(&photo.preview).unwrap();
    assert_eq!(columns * rows * 3, rgb.len());
}

pub fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let mut out = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    out.extend(rate.to_le_bytes());
    out.extend((rate * 2).to_le_bytes());
    out.extend(b"\x02\0\x10\0LIST\x03\0\0\0abc\0data");
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out
}

pub fn ogg_page(flags: u8, granule: u64, packets: &[&[u8]]) -> Vec<u8> {
    let mut laces = Vec::new();
    for packet in packets {
        laces.extend(std::iter::repeat_n(255, packet.len() / 255));
        laces.push((packet.len() % 255) as u8);
    }
    let mut page = [
        &b"OggS\0"[..],
        &[flags],
        &granule.to_le_bytes(),
        b"kolo\0\0\0\0\0\0\0\0",
    ]
    .concat();
    page.push(laces.len() as u8);
    page.extend(laces);
    page.extend(packets.concat());
    let crc = page.iter().fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc >> 31 == 1 {
                crc << 1 ^ 0x04c1_1db7
            } else {
                crc << 1
            }
        })
    });
    page[22..26].copy_from_slice(&crc.to_le_bytes());
    page
}

/// Two seconds: quiet, then loud; packets of 20 ms.
pub fn opus() -> Vec<u8> {
    let head = b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0";
    let mut out = [
        ogg_page(2, 0, &[head]),
        ogg_page(0, 0, &[b"OpusTags\0\0\0\0\0\0\0\0"]),
    ]
    .concat();
    for page in 0..10u64 {
        let packet = vec![0x0b_u8 & !3; if page < 5 { 20 } else { 300 }];
        let granule = (page + 1) * 9600 + if page == 9 { 312 } else { 0 };
        out.extend(ogg_page(
            if page == 9 { 4 } else { 0 },
            granule.min(96_000),
            &[&packet[..]; 10],
        ));
    }
    out
}

pub fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

/// Frames of silence at 44.1 kHz, mono, in the boxes a phone writes.
pub fn m4a(frames: u32, brand: &[u8; 4]) -> Vec<u8> {
    const SILENCE: [u8; 6] = [0x00, 0xc8, 0x00, 0x80, 0x23, 0x80];
    let be = |values: &[u32]| -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| value.to_be_bytes())
            .collect()
    };
    let ftyp = atom(b"ftyp", &[brand, &[0; 4][..]].concat());
    let mdat = atom(b"mdat", &SILENCE.repeat(frames as usize));
    let decoder = [
        &[0x04, 17, 0x40, 0x15][..],
        &[0; 11],
        &[0x05, 2, 0x12, 0x08],
    ]
    .concat();
    let esds = atom(
        b"esds",
        &[&[0; 4][..], &[0x03, 22, 0, 0, 0], &decoder].concat(),
    );
    let mp4a = atom(b"mp4a", &[&[0u8; 28][..], &esds].concat());
    let table = [
        atom(b"stsd", &[be(&[0, 1]), mp4a].concat()),
        atom(b"stsc", &be(&[0, 2, 1, 10, 1, 2, frames - 10, 1])),
        atom(
            b"stsz",
            &[be(&[0, 0, frames]), be(&vec![6; frames as usize])].concat(),
        ),
        atom(
            b"stco",
            &be(&[0, 2, ftyp.len() as u32 + 8, ftyp.len() as u32 + 8 + 60]),
        ),
    ];
    let minf = atom(b"minf", &atom(b"stbl", &table.concat()));
    let hdlr = atom(b"hdlr", b"\0\0\0\0\0\0\0\0soun\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let moov = atom(
        b"moov",
        &atom(b"trak", &atom(b"mdia", &[hdlr, minf].concat())),
    );
    [ftyp, mdat, moov].concat()
}

pub fn shared(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared")
        .join(folder);
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}
