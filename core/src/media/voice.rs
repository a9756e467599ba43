//! Voice notes as the phone recorded them: the container is checked by reading it, length and waveform
//! are taken, and the bytes are never re-encoded. The containers are read here, because a length that
//! lies must not make a demuxer allocate; only AAC frames go to a decoder.

mod m4a;
mod opus;
mod wav;

use super::{Limits, MediaError, MediaType, boxes, guard, probe};

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
        MediaType::M4a => Ok((Container::M4aAac, m4a::read(bytes, limits)?)),
        MediaType::OggOpus => Ok((Container::OggOpus, opus::read(bytes, limits)?)),
        MediaType::Wav => Ok((Container::Wav, wav::read(bytes, limits)?)),
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

/// Root mean square of samples in −1 to 1.
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
