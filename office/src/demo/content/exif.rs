//! Writes the EXIF segment that a phone's camera writes: make, model, time
//! with its offset, orientation, and the position when the phone knew it.
//! Layout: CIPA DC-008 (Exif 2.31), little-endian TIFF.

use jiff::Zoned;

/// How the pixels lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// As they are seen (tag value 1).
    Upright,
    /// To be turned clockwise by 90° (tag value 6): a phone held upright.
    Rotate90,
}

/// A position in degrees, north and east positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// −90 to 90.
    pub latitude: f64,
    /// −180 to 180.
    pub longitude: f64,
}

/// What the camera notes about a picture.
#[derive(Clone, Debug)]
pub struct ExifData {
    /// Maker of the phone.
    pub make: String,
    /// Name of the phone.
    pub model: String,
    /// When the picture was taken, on the wall clock of its place.
    pub taken: Zoned,
    /// How the pixels lie.
    pub orientation: Orientation,
    /// Where, if the company allows it.
    pub position: Option<Position>,
}

const BYTE: u16 = 1;
const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;
const UNDEFINED: u16 = 7;

/// One directory entry: tag, type, count and value bytes.
struct Entry {
    tag: u16,
    kind: u16,
    count: u32,
    value: Vec<u8>,
}

impl Entry {
    fn ascii(tag: u16, text: &str) -> Self {
        let mut value: Vec<u8> = text
            .bytes()
            .take(200)
            .filter(|b| (32..127).contains(b))
            .collect();
        value.push(0);
        Self {
            tag,
            kind: ASCII,
            count: u32::try_from(value.len()).unwrap_or(0),
            value,
        }
    }

    fn short(tag: u16, number: u16) -> Self {
        Self {
            tag,
            kind: SHORT,
            count: 1,
            value: number.to_le_bytes().to_vec(),
        }
    }

    fn long(tag: u16, number: u32) -> Self {
        Self {
            tag,
            kind: LONG,
            count: 1,
            value: number.to_le_bytes().to_vec(),
        }
    }

    fn rationals(tag: u16, numbers: &[(u32, u32)]) -> Self {
        let value = numbers
            .iter()
            .flat_map(|(n, d)| [n.to_le_bytes(), d.to_le_bytes()])
            .flatten()
            .collect();
        Self {
            tag,
            kind: RATIONAL,
            count: u32::try_from(numbers.len()).unwrap_or(0),
            value,
        }
    }

    fn raw(tag: u16, kind: u16, value: &[u8]) -> Self {
        Self {
            tag,
            kind,
            count: u32::try_from(value.len()).unwrap_or(0),
            value: value.to_vec(),
        }
    }
}

/// A directory at `offset` of the TIFF block, its long values right behind it.
fn directory(offset: u32, entries: &[Entry]) -> Vec<u8> {
    let count = u16::try_from(entries.len()).unwrap_or(0);
    let mut head = count.to_le_bytes().to_vec();
    let mut tail = Vec::new();
    let tail_at = offset + 2 + 12 * u32::from(count) + 4;
    for entry in entries {
        head.extend(entry.tag.to_le_bytes());
        head.extend(entry.kind.to_le_bytes());
        head.extend(entry.count.to_le_bytes());
        if entry.value.len() <= 4 {
            let mut inline = entry.value.clone();
            inline.resize(4, 0);
            head.extend(inline);
        } else {
            let at = tail_at + u32::try_from(tail.len()).unwrap_or(0);
            head.extend(at.to_le_bytes());
            tail.extend(&entry.value);
            if tail.len() % 2 == 1 {
                tail.push(0);
            }
        }
    }
    head.extend(0u32.to_le_bytes());
    head.extend(tail);
    head
}

impl ExifData {
    /// The bytes of the JPEG's APP1 segment, without marker and length.
    pub fn app1(&self) -> Vec<u8> {
        const FIRST: u32 = 8;
        let stamp = self.taken.strftime("%Y:%m:%d %H:%M:%S").to_string();
        let offset = self.taken.strftime("%:z").to_string();
        let millis = format!("{:03}", self.taken.millisecond());
        let camera = [
            Entry::rationals(0x829a, &[(1, 120)]),
            Entry::rationals(0x829d, &[(18, 10)]),
            Entry::short(0x8827, 80),
            Entry::raw(0x9000, UNDEFINED, b"0231"),
            Entry::ascii(0x9003, &stamp),
            Entry::ascii(0x9004, &stamp),
            Entry::ascii(0x9010, &offset),
            Entry::ascii(0x9011, &offset),
            Entry::rationals(0x920a, &[(425, 100)]),
            Entry::ascii(0x9291, &millis),
            Entry::raw(0xa000, UNDEFINED, b"0100"),
            Entry::short(0xa001, 1),
        ];
        let gps = self.position.map(gps_entries);
        // The first directory's size does not depend on the offsets in it, so
        // it is laid out once with zeros to learn where the others begin.
        let first = |camera_at: u32, gps_at: u32| {
            let tag = match self.orientation {
                Orientation::Upright => 1,
                Orientation::Rotate90 => 6,
            };
            let mut entries = vec![
                Entry::ascii(0x010f, &self.make),
                Entry::ascii(0x0110, &self.model),
                Entry::short(0x0112, tag),
                Entry::rationals(0x011a, &[(72, 1)]),
                Entry::rationals(0x011b, &[(72, 1)]),
                Entry::short(0x0128, 2),
                Entry::ascii(0x0132, &stamp),
                Entry::short(0x0213, 1),
                Entry::long(0x8769, camera_at),
            ];
            if gps.is_some() {
                entries.push(Entry::long(0x8825, gps_at));
            }
            directory(FIRST, &entries)
        };
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(0);
        let camera_at = FIRST + size(&first(0, 0));
        let camera = directory(camera_at, &camera);
        let gps_at = camera_at + size(&camera);
        let mut out = b"Exif\0\0II\x2a\0".to_vec();
        out.extend(FIRST.to_le_bytes());
        out.extend(first(camera_at, gps_at));
        out.extend(camera);
        if let Some(gps) = gps {
            out.extend(directory(gps_at, &gps));
        }
        out
    }
}

fn gps_entries(at: Position) -> [Entry; 5] {
    let half = |degrees: f64, plus: &str, minus: &str| {
        (
            if degrees < 0.0 { minus } else { plus }.to_owned(),
            sexagesimal(degrees),
        )
    };
    let (north, latitude) = half(at.latitude.clamp(-90.0, 90.0), "N", "S");
    let (east, longitude) = half(at.longitude.clamp(-180.0, 180.0), "E", "W");
    [
        Entry::raw(0, BYTE, &[2, 3, 0, 0]),
        Entry::ascii(1, &north),
        Entry::rationals(2, &latitude),
        Entry::ascii(3, &east),
        Entry::rationals(4, &longitude),
    ]
}

/// Degrees, minutes and hundredths of seconds.
fn sexagesimal(degrees: f64) -> [(u32, u32); 3] {
    // At most 180 · 360 000: fits, and never negative.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let hundredths = (degrees.abs() * 360_000.0).round() as u32;
    [
        (hundredths / 360_000, 1),
        (hundredths / 6_000 % 60, 1),
        (hundredths % 6_000, 100),
    ]
}
