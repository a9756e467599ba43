//! Voice notes through `inspect`.

use crate::media::voice::{Container, inspect};
use crate::media::{Limits, MediaError, MediaType, probe};

use super::make::*;

#[test]
fn wav_is_measured() {
    let tone = |n: usize| ((n as f64 * 0.3).sin() * 20_000.0) as i16;
    let samples: Vec<i16> = (0..16_000)
        .map(|n| if n < 8000 { 0 } else { tone(n) })
        .collect();
    let voice = hear(&wav(8000, &samples)).unwrap();
    assert_eq!((voice.container, voice.duration_ms), (Container::Wav, 2000));
    assert_eq!(voice.waveform[..31], [0; 31]);
    assert!(
        voice.waveform[33..].iter().all(|bar| *bar > 240),
        "{:?}",
        voice.waveform
    );
    // Shorter than its bars; silent; louder than loud.
    assert_eq!(hear(&wav(8000, &[9000; 80])).unwrap().duration_ms, 10);
    assert_eq!(hear(&wav(8000, &[0; 8000])).unwrap().waveform, [0; 64]);
    assert_eq!(
        hear(&wav(8000, &[i16::MIN; 8000])).unwrap().waveform,
        [255; 64]
    );
}

#[test]
fn opus_is_measured_by_its_pages() {
    let voice = hear(&opus()).unwrap();
    // 96,000 samples less the 312 of the head.
    assert_eq!(
        (voice.container, voice.duration_ms),
        (Container::OggOpus, 1993)
    );
    assert_eq!(voice.waveform[60], 255);
    assert_eq!(voice.waveform[3], 17);
}

#[test]
fn m4a_is_decoded() {
    for brand in [b"M4A ", b"mp42", b"3gp4"] {
        let bytes = m4a(431, brand);
        assert_eq!(probe(&bytes), MediaType::M4a);
        let voice = hear(&bytes).unwrap();
        assert_eq!(
            (voice.container, voice.duration_ms),
            (Container::M4aAac, 10_007)
        );
        assert_eq!(voice.waveform, [0; 64]);
    }
}

#[test]
fn cut_mislabelled_and_overlong_voices_are_refused() {
    assert_eq!(hear(b""), Err(MediaError::Empty));
    assert_eq!(
        hear(b"not a voice"),
        Err(MediaError::Unsupported(MediaType::Text))
    );
    assert_eq!(
        hear(&plain(10, 10)),
        Err(MediaError::Unsupported(MediaType::Jpeg))
    );
    assert_eq!(hear(&wav(8000, &[])), Err(MediaError::Empty));
    let (wav, opus, m4a) = (wav(8000, &[7; 8000]), opus(), m4a(100, b"M4A "));
    for bytes in [&wav, &opus, &m4a] {
        assert_eq!(
            hear(&bytes[..bytes.len() - 100]),
            Err(MediaError::Truncated)
        );
        let short = Limits {
            voice_ms: 900,
            ..Limits::default()
        };
        assert_eq!(inspect(bytes, &short), Err(MediaError::TooLong));
        let small = Limits {
            input_bytes: 99,
            ..Limits::default()
        };
        assert_eq!(inspect(bytes, &small), Err(MediaError::TooLarge));
    }
    let mut damaged = opus.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(hear(&damaged), Err(MediaError::Corrupt("ogg checksum")));
    // Noise where the frames are.
    let mut noise = m4a.clone();
    let mdat = noise.windows(4).position(|kind| kind == b"mdat").unwrap() + 4;
    noise[mdat..mdat + 600].fill(0xa7);
    assert!(hear(&noise).is_err());
    // A count that the file can't hold allocates nothing.
    let mut lying = m4a;
    let stsz = lying.windows(4).position(|kind| kind == b"stsz").unwrap();
    lying[stsz + 12..stsz + 16].fill(0xff);
    assert!(hear(&lying).is_err());
}

#[test]
fn lossless_m4a_is_a_document() {
    for (name, bytes) in shared("audio") {
        assert_eq!(
            hear(&bytes),
            Err(MediaError::Unsupported(MediaType::M4a)),
            "{name}"
        );
    }
}

#[test]
fn real_videos_are_no_voices_but_their_sound_is() {
    for (name, mut bytes) in shared("video") {
        assert_eq!(probe(&bytes), MediaType::Mp4, "{name}");
        assert_eq!(
            hear(&bytes),
            Err(MediaError::Unsupported(MediaType::Mp4)),
            "{name}"
        );
        let handlers: Vec<usize> = (0..bytes.len() - 20)
            .filter(|at| &bytes[*at..at + 4] == b"hdlr" && &bytes[at + 12..at + 16] == b"vide")
            .collect();
        for at in handlers {
            bytes[at + 12..at + 16].copy_from_slice(b"none");
        }
        let voice = hear(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(voice.container, Container::M4aAac);
        assert!(
            [1322, 170].contains(&voice.duration_ms),
            "{name}: {voice:?}"
        );
    }
}
