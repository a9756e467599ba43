//! One stream of Opus in Ogg (RFC 3533, 7845): every page's checksum is checked, packets are measured but
//! not decoded.

use super::super::{Limits, MediaError, MediaType};
use super::{Track, duration_ms};

/// Opus counts in samples of 48 kHz whatever the input was.
const OPUS_RATE: u32 = 48_000;

/// Checks and measures.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Track, MediaError> {
    let mut packets = 0usize;
    let (mut skip, mut samples, mut last_granule) = (0u64, 0u64, 0u64);
    let mut levels: Vec<f32> = Vec::new();
    let mut stream = None;
    // The packet being collected: its first two bytes and its size.
    let (mut head, mut size): (&[u8], usize) = (&[], 0);
    let mut rest = bytes;
    while !rest.is_empty() {
        let page = Page::read(rest)?;
        rest = rest.get(page.len..).unwrap_or_default();
        if *stream.get_or_insert(page.serial) != page.serial {
            return Err(MediaError::Unsupported(MediaType::Ogg));
        }
        if (size > 0) != page.continued {
            return Err(MediaError::Corrupt("ogg packets"));
        }
        let mut body = page.body;
        for lace in page.laces {
            let (segment, after) = body
                .split_at_checked(usize::from(*lace))
                .ok_or(MediaError::Truncated)?;
            body = after;
            if size == 0 {
                head = segment;
            }
            size += segment.len();
            if *lace == u8::MAX {
                continue;
            }
            match packets {
                0 => skip = opus_skip(head)?,
                1 if head.starts_with(b"OpusTags") => {}
                1 => return Err(MediaError::Corrupt("opus tags")),
                _ => {
                    samples += opus_samples(head)?;
                    levels.push(f32::from(u16::try_from(size).unwrap_or(u16::MAX)));
                }
            }
            packets += 1;
            size = 0;
            duration_ms(samples, OPUS_RATE, limits)?;
        }
        // All ones: no packet ends on this page.
        if page.granule != u64::MAX {
            last_granule = page.granule;
        }
    }
    if size > 0 {
        return Err(MediaError::Truncated);
    }
    // The last granule cuts the padding of the last packet; a stream cut from a longer one starts above zero.
    let samples = samples.min(last_granule).saturating_sub(skip);
    Ok(Track {
        duration_ms: duration_ms(samples, OPUS_RATE, limits)?,
        levels,
    })
}

/// Samples to drop at the start, from the head (RFC 7845 §5.1).
fn opus_skip(head: &[u8]) -> Result<u64, MediaError> {
    match *head {
        // Versions 0 to 15 are compatible.
        [
            b'O',
            b'p',
            b'u',
            b's',
            b'H',
            b'e',
            b'a',
            b'd',
            0..16,
            1 | 2,
            lo,
            hi,
            ..,
        ] => Ok(u16::from_le_bytes([lo, hi]).into()),
        [
            b'O',
            b'p',
            b'u',
            b's',
            b'H',
            b'e',
            b'a',
            b'd',
            0..16,
            3..=255,
            _,
            _,
            ..,
        ] => Err(MediaError::Unsupported(MediaType::OggOpus)),
        _ => Err(MediaError::Corrupt("opus head")),
    }
}

/// Length of a packet by its first byte (RFC 6716 §3.1).
fn opus_samples(packet: &[u8]) -> Result<u64, MediaError> {
    let corrupt = MediaError::Corrupt("opus packet");
    let toc = *packet.first().ok_or(corrupt)?;
    let (config, step) = (toc >> 3, toc >> 3 & 3);
    let frame = match (config, step) {
        (0..12, 3) => 2880,
        (0..12, _) => 480 << step,
        (12..16, _) => 480 << (step & 1),
        _ => 120 << step,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(*packet.get(1).ok_or(corrupt)? & 0x3f),
    };
    // At least one frame, at most 120 ms.
    match frame * frames {
        samples @ 1..=5760 => Ok(samples),
        _ => Err(corrupt),
    }
}

/// One page of Ogg (RFC 3533 §6).
struct Page<'a> {
    continued: bool,
    granule: u64,
    serial: [u8; 4],
    laces: &'a [u8],
    body: &'a [u8],
    len: usize,
}

impl<'a> Page<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, MediaError> {
        let header: &[u8; 27] = bytes.first_chunk().ok_or(MediaError::Truncated)?;
        let [b'O', b'g', b'g', b'S', 0, flags, rest @ ..] = header else {
            return Err(MediaError::Corrupt("ogg page"));
        };
        let [
            g0,
            g1,
            g2,
            g3,
            g4,
            g5,
            g6,
            g7,
            s0,
            s1,
            s2,
            s3,
            _,
            _,
            _,
            _,
            crc @ ..,
            count,
        ] = rest;
        let laces = bytes
            .get(27..27 + usize::from(*count))
            .ok_or(MediaError::Truncated)?;
        let start = 27 + laces.len();
        let len = start + laces.iter().map(|lace| usize::from(*lace)).sum::<usize>();
        let body = bytes.get(start..len).ok_or(MediaError::Truncated)?;
        // The checksum is taken with its own four bytes as zero.
        let whole = bytes
            .get(..22)
            .into_iter()
            .chain([&[0; 4][..]])
            .chain(bytes.get(26..len));
        if crc32(whole.flatten()) != u32::from_le_bytes(*crc) {
            return Err(MediaError::Corrupt("ogg checksum"));
        }
        Ok(Self {
            continued: flags & 1 != 0,
            granule: u64::from_le_bytes([*g0, *g1, *g2, *g3, *g4, *g5, *g6, *g7]),
            serial: [*s0, *s1, *s2, *s3],
            laces,
            body,
            len,
        })
    }
}

/// CRC-32 with polynomial 0x04c11db7, not reflected, from zero. Four bits a step.
fn crc32<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut index = 0u32;
        while index < 16 {
            let (mut crc, mut bit) = (index << 28, 0);
            while bit < 4 {
                crc = if crc >> 31 == 1 {
                    crc << 1 ^ 0x04c1_1db7
                } else {
                    crc << 1
                };
                bit += 1;
            }
            #[expect(clippy::indexing_slicing, reason = "a constant")]
            {
                table[index as usize] = crc;
            }
            index += 1;
        }
        table
    };
    let step = |crc: u32, nibble: u32| {
        crc << 4
            ^ TABLE
                .get(((crc >> 28 ^ nibble) & 15) as usize)
                .copied()
                .unwrap_or(0)
    };
    bytes.fold(0, |crc, byte| {
        step(step(crc, u32::from(byte >> 4)), u32::from(byte & 15))
    })
}
