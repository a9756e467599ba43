//! Synthesizes short voice notes: a glottal pulse through moving formants, in
//! syllables, words and pauses, so that the player, its waveform and its
//! duration have something true to show. Nobody's voice is in it, and it says
//! nothing.

// Samples are arithmetic on numbers this module makes itself.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

use super::paint::Dice;
use opus_pure::{Application, MAX_PACKET_BYTES, OggOpusWriter, OpusEncoder, OpusHead};
use std::f32::consts::TAU;

/// A voice note as a phone would hand it over.
#[derive(Clone, Debug)]
pub struct VoiceFile {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its media type.
    pub mime: &'static str,
    /// Its extension, without the dot.
    pub extension: &'static str,
}

const RATE: u32 = 48_000;
/// The voice is made at a third of the rate: nothing above 8 kHz is needed.
const SLOW: usize = 3;
/// 20 ms, the usual Opus frame.
const FRAME: usize = RATE as usize / 50;
const BITS_PER_SECOND: i32 = 20_000;
/// Longest note that is made.
const MAX_MS: u32 = 60_000;

/// A note of `duration_ms` (cut to 1–60 s), the same for the same seed: Ogg
/// Opus, or WAV should the encoder refuse.
pub fn voice_note(seed: u64, duration_ms: u32) -> VoiceFile {
    let duration_ms = duration_ms.clamp(1_000, MAX_MS);
    let slow = speech(seed, duration_ms);
    match ogg_opus(&slow) {
        Ok(bytes) => VoiceFile {
            bytes,
            mime: "audio/ogg",
            extension: "ogg",
        },
        Err(_) => VoiceFile {
            bytes: wav(&slow),
            mime: "audio/wav",
            extension: "wav",
        },
    }
}

/// First three formants of a vowel in Hz.
type Vowel = [f32; 3];
const VOWELS: [Vowel; 8] = [
    [760.0, 1260.0, 2550.0],
    [520.0, 1780.0, 2500.0],
    [390.0, 2150.0, 2700.0],
    [290.0, 2250.0, 2950.0],
    [560.0, 920.0, 2450.0],
    [380.0, 800.0, 2350.0],
    [320.0, 780.0, 2250.0],
    [500.0, 1450.0, 2450.0],
];

/// How a syllable begins.
#[derive(Clone, Copy)]
enum Onset {
    Soft,
    Stop,
    Hiss,
}

struct Syllable {
    start: f32,
    length: f32,
    vowel: Vowel,
    onset: Onset,
    loud: f32,
    pitch: f32,
}

/// Words of one to four syllables with pauses; the last word ends in time.
fn script(dice: &mut Dice, seconds: f32, pitch: f32) -> Vec<Syllable> {
    let mut out = Vec::new();
    let mut at = 0.25;
    let mut words = dice.below(4) + 4;
    let mut fall = 1.08f32;
    while at < seconds - 0.75 {
        for n in 0..=dice.below(3) {
            let length = dice.range(0.13, 0.21);
            let stress = if n == 0 { 1.0 } else { 0.78 };
            out.push(Syllable {
                start: at,
                length,
                vowel: dice.pick(VOWELS),
                onset: dice.pick([Onset::Soft, Onset::Stop, Onset::Stop, Onset::Hiss]),
                loud: stress * dice.range(0.75, 1.0),
                pitch: pitch * fall * (0.94 + 0.10 * stress) * dice.range(0.97, 1.03),
            });
            at += length * dice.range(0.92, 1.08);
        }
        fall = (fall - 0.035).max(0.86);
        words = words.saturating_sub(1);
        at += if words == 0 {
            words = dice.below(4) + 4;
            fall = 1.08;
            dice.range(0.35, 0.7)
        } else {
            dice.range(0.02, 0.09)
        };
    }
    out
}

/// A two-pole resonator (Klatt 1980), one formant.
#[derive(Default)]
struct Formant {
    last: f32,
    before: f32,
}

impl Formant {
    fn pass(&mut self, input: f32, hertz: f32, width: f32, rate: f32) -> f32 {
        let r = (-std::f32::consts::PI * width / rate).exp();
        let b = 2.0 * r * (TAU * hertz / rate).cos();
        let c = -r * r;
        let out = (1.0 - b - c) * input + b * self.last + c * self.before;
        self.before = self.last;
        self.last = out;
        out
    }
}

/// 16 kHz samples, −1 to 1.
fn speech(seed: u64, duration_ms: u32) -> Vec<f32> {
    let rate = RATE as f32 / SLOW as f32;
    let seconds = duration_ms as f32 / 1_000.0;
    let mut dice = Dice::new(seed ^ 0x766f_6963);
    let low_voice = dice.below(3) > 0;
    let pitch = if low_voice {
        dice.range(98.0, 128.0)
    } else {
        dice.range(178.0, 205.0)
    };
    let tract = if low_voice { 1.0 } else { 1.14 };
    let syllables = script(&mut dice, seconds, pitch);
    let count = (seconds * rate) as usize;
    let mut out = Vec::with_capacity(count);
    let mut formants: [Formant; 3] = Default::default();
    let mut hiss = Formant::default();
    let (mut phase, mut tone) = (0.0f32, pitch);
    let mut place = VOWELS[7];
    let (mut glottis, mut room, mut next) = (0.0f32, 0.0f32, 0usize);
    for n in 0..count {
        let now = n as f32 / rate;
        while syllables
            .get(next)
            .is_some_and(|s| now > s.start + s.length)
        {
            next += 1;
        }
        let (mut loud, mut noise) = (0.0, 0.0);
        if let Some(s) = syllables.get(next) {
            let t = (now - s.start) / s.length;
            // The mouth moves towards the vowel before it sounds.
            let speed = if t > -0.6 { 0.0022 } else { 0.0004 };
            for (is, goal) in place.iter_mut().zip(s.vowel) {
                *is += (goal * tract - *is) * speed;
            }
            tone += (s.pitch * (1.03 - 0.09 * t.clamp(0.0, 1.0)) - tone) * 0.0012;
            if t >= 0.0 {
                let rise = match s.onset {
                    Onset::Soft => t / 0.30,
                    Onset::Stop => (t - 0.16) / 0.12,
                    Onset::Hiss => (t - 0.26) / 0.20,
                };
                loud = s.loud * rise.clamp(0.0, 1.0) * ((1.0 - t) / 0.35).clamp(0.0, 1.0).sqrt();
                noise = match s.onset {
                    Onset::Soft => 0.0,
                    Onset::Stop => 0.5 * (1.0 - ((t - 0.12) / 0.06).abs()).max(0.0),
                    Onset::Hiss => 0.35 * (1.0 - ((t - 0.15) / 0.16).abs()).max(0.0),
                };
            }
        }
        phase += tone * (1.0 + 0.008 * (TAU * 4.7 * now).sin()) / rate;
        phase -= phase.floor();
        // Rosenberg's pulse: opens slowly, closes fast, rests.
        let flow = if phase < 0.42 {
            0.5 - 0.5 * (std::f32::consts::PI * phase / 0.42).cos()
        } else if phase < 0.60 {
            (std::f32::consts::FRAC_PI_2 * (phase - 0.42) / 0.18).cos()
        } else {
            0.0
        };
        let white = dice.range(-1.0, 1.0);
        let breath = white * 0.02 * loud;
        let voiced = (flow - glottis) * 5.5 * loud + breath;
        glottis = flow;
        let mut voice = voiced;
        for ((formant, hertz), width) in formants.iter_mut().zip(place).zip([70.0, 100.0, 150.0]) {
            voice = formant.pass(voice, hertz, width, rate);
        }
        let rustle = hiss.pass(white * noise, 4_300.0, 1_600.0, rate) * 0.16;
        // A site is never silent: soft, low noise.
        room += (white - room) * 0.06;
        let sample = voice * 0.55 + rustle + room * 0.006;
        out.push(sample / (1.0 + sample.abs() * 0.8));
    }
    let peak = out.iter().fold(0.05f32, |m, s| m.max(s.abs()));
    for sample in &mut out {
        *sample *= 0.72 / peak;
    }
    out
}

fn ogg_opus(slow: &[f32]) -> Result<Vec<u8>, opus_pure::Error> {
    let mut encoder = OpusEncoder::new(RATE.cast_signed(), 1, Application::Voip)?;
    encoder.bitrate_bps = BITS_PER_SECOND;
    let head = OpusHead::for_encoder(&encoder, RATE);
    let delay = usize::from(head.pre_skip);
    let mut writer = OggOpusWriter::new(Vec::new(), head)?;
    let mut packet = vec![0; MAX_PACKET_BYTES];
    // The last packet says how much of it counts, so that players show the
    // length that was asked for.
    let end = slow.len() * SLOW + delay;
    let mut start = 0;
    while start < end {
        let frame: Vec<f32> = (start..start + FRAME).map(|n| stretched(slow, n)).collect();
        let size = encoder.encode(&frame, FRAME, &mut packet)?;
        let counts = (end - start).min(FRAME) as u32;
        writer.write_packet_with_duration(packet.get(..size).unwrap_or_default(), counts)?;
        start += FRAME;
    }
    writer.finish()
}

/// Sample `n` at the full rate, between its slow neighbours; 0 after the end.
fn stretched(slow: &[f32], n: usize) -> f32 {
    let at = |i: usize| slow.get(i).copied().unwrap_or(0.0);
    let (whole, part) = (n / SLOW, (n % SLOW) as f32 / SLOW as f32);
    at(whole) + (at(whole + 1) - at(whole)) * part
}

/// PCM, 16 kHz, mono, 16 bit.
fn wav(slow: &[f32]) -> Vec<u8> {
    let rate = RATE / SLOW as u32;
    let size = u32::try_from(slow.len() * 2).unwrap_or(0);
    let mut out = b"RIFF".to_vec();
    out.extend((36 + size).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    out.extend(rate.to_le_bytes());
    out.extend((rate * 2).to_le_bytes());
    out.extend(b"\x02\0\x10\0data");
    out.extend(size.to_le_bytes());
    out.extend(
        slow.iter()
            .flat_map(|s| ((s * 32_000.0) as i16).to_le_bytes()),
    );
    out
}
