//! Voice notes as the phone recorded them: the container is checked by reading it, length and waveform
//! are taken, and the bytes are never re-encoded. The containers are read here, because a length that
//! lies must not make a demuxer allocate; only AAC frames go to a decoder.

use symphonia::core::audio::{AudioBufferRef, Signal};
use symphonia::core::codecs::{CODEC_TYPE_AAC, CodecParameters, Decoder, DecoderOptions};
use symphonia::core::formats::Packet;
use symphonia::default::codecs::AacDecoder;

use super::boxes::{self, be32, be64};
use super::{Limits, MediaError, MediaType, guard, probe};

/// Bars of a waveform.
pub const BARS: usize = 64;

/// What the recorder wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// MP4 with one track of AAC-LC.
    M4aAac,
    /// Ogg with one stream of Opus (RFC 7845).
    OggOpus,
    /// RIFF WAVE with PCM or float samples.
    Wav,
}

/// What an op says about a voice note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    /// What it is, by reading it.
    pub container: Container,
    /// Length as decoded, an encoder's lead-in of some 40 ms included; Opus: by its granule positions.
    pub duration_ms: u64,
    /// Loudness over time relative to the loudest bar (255), all zero for silence. AAC and WAV: root mean
    /// square. Opus is not decoded here: the size of its packets, which follows loudness well enough.
    pub waveform: [u8; BARS],
}

/// Checks a voice note and measures it.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Voice, MediaError> {
    limits.check_size(bytes)?;
    let (container, track) = guard(|| match probe(bytes) {
        MediaType::M4a => Ok((Container::M4aAac, m4a(bytes, limits)?)),
        MediaType::OggOpus => Ok((Container::OggOpus, opus(bytes, limits)?)),
        MediaType::Wav => Ok((Container::Wav, wav(bytes, limits)?)),
        // Without its index, which recorders write last, a recording has no tracks to tell it by.
        MediaType::Mp4 if boxes::find(bytes, &[b"moov"]).is_none() => Err(MediaError::Truncated),
        kind => Err(MediaError::Unsupported(kind)),
    })?;
    if track.duration_ms == 0 {
        return Err(MediaError::Empty);
    }
    Ok(Voice {
        container,
        duration_ms: track.duration_ms,
        waveform: bars(&track.levels),
    })
}

/// Length, and loudness in equal steps of time.
struct Track {
    duration_ms: u64,
    levels: Vec<f32>,
}

/// `samples` at `rate`, if not longer than allowed.
fn duration_ms(samples: u64, rate: u32, limits: &Limits) -> Result<u64, MediaError> {
    let ms = samples.saturating_mul(1000) / u64::from(rate.max(1));
    if ms > limits.voice_ms {
        Err(MediaError::TooLong)
    } else {
        Ok(ms)
    }
}

fn bars(levels: &[f32]) -> [u8; BARS] {
    let mut means = [0f32; BARS];
    for (bar, mean) in means.iter_mut().enumerate() {
        let start = bar * levels.len() / BARS;
        let end = ((bar + 1) * levels.len() / BARS).max(start + 1);
        let (squares, count) = levels
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .fold((0.0, 0.0), |(squares, count), level| {
                (squares + level * level, count + 1.0)
            });
        *mean = if count > 0.0 {
            f32::sqrt(squares / count)
        } else {
            0.0
        };
    }
    let loudest = means
        .iter()
        .copied()
        .filter(|mean| mean.is_finite())
        .fold(0.0, f32::max);
    // Below one step of 16 bits there is nothing to hear.
    if loudest < 1.0 / 32768.0 {
        return [0; BARS];
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast holds its range"
    )]
    means.map(|mean| (mean / loudest * 255.0).round() as u8)
}

// M4A

/// Samples in a frame of AAC-LC.
const FRAME: u64 = 1024;

fn m4a(bytes: &[u8], limits: &Limits) -> Result<Track, MediaError> {
    let unsupported = MediaError::Unsupported(MediaType::M4a);
    let mut tracks = boxes::tracks(bytes).filter(|(handler, _)| handler == b"soun");
    let Some((_, track)) = tracks.next() else {
        return Err(MediaError::Truncated);
    };
    // More than one voice, or an index in fragments that streams have and recorders don't write.
    if tracks.next().is_some() || boxes::find(bytes, &[b"moov", b"mvex"]).is_some() {
        return Err(unsupported);
    }
    let table =
        boxes::find(track, &[b"mdia", b"minf", b"stbl"]).ok_or(MediaError::Corrupt("mp4 index"))?;
    let config = aac_config(table).ok_or(unsupported)?;
    let mut params = CodecParameters::new();
    params
        .for_codec(CODEC_TYPE_AAC)
        .with_extra_data(config.into());
    let mut decoder =
        AacDecoder::try_new(&params, &DecoderOptions::default()).map_err(|_| unsupported)?;

    let (mut samples, mut rate, mut faulty, mut levels) = (0u64, 0, 0usize, Vec::new());
    for frame in aac_frames(bytes, table)? {
        let packet = Packet::new_from_slice(0, 0, FRAME, frame?);
        samples += FRAME;
        if let Ok(AudioBufferRef::F32(buffer)) = decoder.decode(&packet) {
            rate = buffer.spec().rate;
            levels.push(rms(buffer.chan(0)));
        } else {
            faulty += 1;
            levels.push(0.0);
        }
        duration_ms(samples, rate.max(8000), limits)?;
    }
    // A single frame lost on a bad card is no reason to lose the note.
    if faulty * 16 > levels.len() {
        return Err(MediaError::Corrupt("aac frames"));
    }
    Ok(Track {
        duration_ms: duration_ms(samples, rate, limits)?,
        levels,
    })
}

fn rms(samples: &[f32]) -> f32 {
    let (squares, count) = samples
        .iter()
        .fold((0.0, 0.0), |(sum, count), s| (sum + s * s, count + 1.0));
    if count > 0.0 {
        f32::sqrt(squares / count)
    } else {
        0.0
    }
}

/// The `AudioSpecificConfig` inside `stsd` → `mp4a` → `esds` (ISO/IEC 14496-1 §7.2.6).
fn aac_config(table: &[u8]) -> Option<&[u8]> {
    let entries = boxes::find(table, &[b"stsd"])?.get(8..)?;
    let entry = boxes::find(entries, &[b"mp4a"])?;
    // QuickTime's later versions of the entry are longer.
    let skip = match entry.get(8..10)? {
        [0, 1] => 44,
        [0, 2] => 64,
        _ => 28,
    };
    let children = entry.get(skip..)?;
    let esds =
        boxes::find(children, &[b"esds"]).or_else(|| boxes::find(children, &[b"wave", b"esds"]))?;
    let stream = descriptor(esds.get(4..)?, 0x03)?;
    let flags = *stream.get(2)?;
    let mut at = 3;
    if flags & 0x80 != 0 {
        at += 2;
    }
    if flags & 0x40 != 0 {
        at += 1 + usize::from(*stream.get(at)?);
    }
    if flags & 0x20 != 0 {
        at += 2;
    }
    let decoder = descriptor(stream.get(at..)?, 0x04)?;
    // 0x40 is MPEG-4 audio.
    (*decoder.first()? == 0x40).then_some(())?;
    descriptor(decoder.get(13..)?, 0x05)
}

/// The body of the descriptor at the start of `data`, if it has this tag.
fn descriptor(data: &[u8], tag: u8) -> Option<&[u8]> {
    let (found, mut rest) = data.split_first()?;
    let mut len = 0usize;
    for _ in 0..4 {
        let (byte, after) = rest.split_first()?;
        rest = after;
        len = len << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    if *found == tag { rest.get(..len) } else { None }
}

/// The frames of the track in order: chunks at `stco`/`co64`, frames a chunk by `stsc`, sizes by `stsz`.
fn aac_frames<'a>(
    bytes: &'a [u8],
    table: &'a [u8],
) -> Result<impl Iterator<Item = Result<&'a [u8], MediaError>>, MediaError> {
    let corrupt = MediaError::Corrupt("mp4 index");
    let part = |name| {
        boxes::find(table, &[name])
            .and_then(|body| body.get(4..))
            .ok_or(corrupt)
    };
    let (runs, sizes) = (part(b"stsc")?, part(b"stsz")?);
    let (chunks, wide) = part(b"stco")
        .map(|chunks| (chunks, false))
        .or_else(|_| Ok((part(b"co64")?, true)))?;
    let same_size = be32(sizes, 0).ok_or(corrupt)?;
    let count = be32(sizes, 4).ok_or(corrupt)? as usize;

    let (mut chunk, mut run, mut left, mut at) = (0usize, 0usize, 0u32, 0usize);
    Ok((0..count).map(move |frame| {
        while left == 0 {
            // Runs name their first chunk, counted from 1, and hold until the next run's.
            if be32(runs, 4 + (run + 1) * 12).is_some_and(|first| first as usize == chunk + 1) {
                run += 1;
            }
            left = be32(runs, 4 + run * 12 + 4).ok_or(corrupt)?;
            let offset = if wide {
                be64(chunks, 4 + chunk * 8)
            } else {
                be32(chunks, 4 + chunk * 4).map(u64::from)
            };
            at = offset
                .and_then(|offset| usize::try_from(offset).ok())
                .ok_or(corrupt)?;
            chunk += 1;
        }
        let size = if same_size == 0 {
            be32(sizes, 8 + frame * 4).ok_or(corrupt)?
        } else {
            same_size
        };
        let end = at.checked_add(size as usize).ok_or(corrupt)?;
        let data = bytes.get(at..end).ok_or(MediaError::Truncated)?;
        (left, at) = (left - 1, end);
        Ok(data)
    }))
}

// Ogg Opus

/// Opus counts in samples of 48 kHz whatever the input was.
const OPUS_RATE: u32 = 48_000;

fn opus(bytes: &[u8], limits: &Limits) -> Result<Track, MediaError> {
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

// WAV

fn wav(bytes: &[u8], limits: &Limits) -> Result<Track, MediaError> {
    let unsupported = MediaError::Unsupported(MediaType::Wav);
    let mut rest = bytes.get(12..).ok_or(MediaError::Truncated)?;
    let mut format: Option<&[u8]> = None;
    let (format, data) = loop {
        let header: &[u8; 8] = rest.first_chunk().ok_or(MediaError::Truncated)?;
        let [a, b, c, d, len @ ..] = header;
        let len = u32::from_le_bytes(*len) as usize;
        let body = rest.get(8..).unwrap_or_default();
        match (&[*a, *b, *c, *d], format) {
            (b"data", None) => return Err(MediaError::Corrupt("wav format")),
            // A recorder that could not go back to write the length leaves all ones.
            (b"data", Some(format)) if len == u32::MAX as usize => break (format, body),
            (b"data", Some(format)) => {
                break (format, body.get(..len).ok_or(MediaError::Truncated)?);
            }
            (b"fmt ", _) => format = body.get(..len),
            _ => {}
        }
        // Chunks are padded to even lengths.
        let next = len.checked_add(len & 1).ok_or(MediaError::Truncated)?;
        rest = body.get(next..).ok_or(MediaError::Truncated)?;
    };
    let &[
        tag,
        tag_hi,
        channels,
        0,
        r0,
        r1,
        r2,
        r3,
        _,
        _,
        _,
        _,
        align,
        0,
        bits,
        0,
        ref more @ ..,
    ] = format
    else {
        return Err(unsupported);
    };
    let rate = u32::from_le_bytes([r0, r1, r2, r3]);
    // The extensible form names its real format first in its long id.
    let tag = match u16::from_le_bytes([tag, tag_hi]) {
        0xfffe => more
            .get(8..10)
            .and_then(|id| id.first())
            .copied()
            .unwrap_or(0),
        tag => u8::try_from(tag).unwrap_or(0),
    };
    let width = usize::from(bits) / 8;
    if !matches!((tag, bits), (1, 8 | 16 | 24 | 32) | (3, 32))
        || !(1..=8).contains(&channels)
        || !(1000..=384_000).contains(&rate)
        || usize::from(align) != width * usize::from(channels)
    {
        return Err(unsupported);
    }
    let samples = data.len() / usize::from(align);
    let duration_ms = duration_ms(samples as u64, rate, limits)?;
    // Loudness every 20 ms of the first channel.
    let window = (rate / 50) as usize;
    let mut levels = Vec::with_capacity(samples / window + 1);
    let mut first_channel = data
        .chunks_exact(usize::from(align))
        .map(|frame| sample(frame, width, tag == 3));
    for _ in 0..samples.div_ceil(window) {
        let block: Vec<f32> = first_channel.by_ref().take(window).collect();
        levels.push(rms(&block));
    }
    Ok(Track {
        duration_ms,
        levels,
    })
}

/// The sample at the start of `frame`, in −1 to 1.
fn sample(frame: &[u8], width: usize, float: bool) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "loudness needs no more")]
    let scaled = |value: i32| value as f32 / 2_147_483_648.0;
    match (width, frame) {
        (1, [a, ..]) => (f32::from(*a) - 128.0) / 128.0,
        (2, [a, b, ..]) => scaled(i32::from_le_bytes([0, 0, *a, *b])),
        (3, [a, b, c, ..]) => scaled(i32::from_le_bytes([0, *a, *b, *c])),
        (4, [a, b, c, d, ..]) if float => {
            let value = f32::from_le_bytes([*a, *b, *c, *d]);
            if value.is_finite() {
                value.clamp(-1.0, 1.0)
            } else {
                0.0
            }
        }
        (4, [a, b, c, d, ..]) => scaled(i32::from_le_bytes([*a, *b, *c, *d])),
        _ => 0.0,
    }
}
