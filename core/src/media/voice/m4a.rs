//! AAC-LC in MP4 (ISO/IEC 14496-12, 14496-14): the sample tables are read in place, each frame is decoded
//! once for its loudness.

use symphonia::core::audio::{AudioBufferRef, Signal};
use symphonia::core::codecs::{CODEC_TYPE_AAC, CodecParameters, Decoder, DecoderOptions};
use symphonia::core::formats::Packet;
use symphonia::default::codecs::AacDecoder;

use super::super::boxes::{self, be32, be64};
use super::super::{Limits, MediaError, MediaType};
use super::{Track, duration_ms, rms};

/// Samples in a frame of AAC-LC.
const FRAME: u64 = 1024;

/// Checks and measures.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Track, MediaError> {
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
