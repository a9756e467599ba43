//! RIFF WAVE with PCM or float samples.

use super::super::{Limits, MediaError, MediaType};
use super::{Track, duration_ms, rms};

/// Checks and measures.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Track, MediaError> {
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
