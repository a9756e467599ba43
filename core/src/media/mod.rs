//! Pictures and voice notes, from bytes to bytes: what a file really is, the tiers of a photo, length and
//! waveform of a voice note. Everything here is hostile input, so limits are checked before anything is
//! decoded and no panic of a decoder leaves the module. It must never touch a disk, name content in an
//! error, or pass a picture's metadata on inside a tier.

mod boxes;
mod exif;
mod jpeg;
pub mod photo;
pub mod position;
pub mod preview;
mod probe;
#[cfg(test)]
mod tests;
mod tiff;
pub mod voice;

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use self::exif::LocalTime;
pub use probe::{MediaType, probe};

/// Why a file was not taken. The caller can still keep it as a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// More bytes than [`Limits::input_bytes`].
    #[error("the file is larger than allowed")]
    TooLarge,
    /// The header claims more pixels than [`Limits::pixels`].
    #[error("the picture has more pixels than allowed")]
    TooManyPixels,
    /// Decoding would need more than [`Limits::memory_bytes`].
    #[error("the picture needs more memory than allowed")]
    TooMuchMemory,
    /// More progressive passes than [`Limits::scans`] or [`Limits::scan_pixels`].
    #[error("the picture has more passes than allowed")]
    TooManyScans,
    /// Longer than [`Limits::voice_ms`].
    #[error("the recording is longer than allowed")]
    TooLong,
    /// The file ends before its content does.
    #[error("the file is cut off")]
    Truncated,
    /// The content contradicts its format; the text names the part of the format, never the content.
    #[error("the file is damaged: {0}")]
    Corrupt(&'static str),
    /// A format, or a variant of it, that is not decoded here.
    #[error("this kind of file is not decoded here: {0:?}")]
    Unsupported(MediaType),
    /// The encoded tier did not decode to what was encoded.
    #[error("the encoded picture does not match its source")]
    Mismatch,
    /// [`Cancel::cancel`] was called.
    #[error("cancelled")]
    Cancelled,
}

impl MediaError {
    /// A stable code for logs, metrics and translation.
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "media_empty",
            Self::TooLarge => "media_too_large",
            Self::TooManyPixels => "media_too_many_pixels",
            Self::TooMuchMemory => "media_too_much_memory",
            Self::TooManyScans => "media_too_many_scans",
            Self::TooLong => "media_too_long",
            Self::Truncated => "media_truncated",
            Self::Corrupt(_) => "media_corrupt",
            Self::Unsupported(kind) => match kind {
                MediaType::M4a => "media_unsupported_m4a",
                MediaType::Mp4 => "media_unsupported_mp4",
                MediaType::Heic | MediaType::Avif => "media_unsupported_heic",
                MediaType::Ogg | MediaType::OggOpus => "media_unsupported_ogg",
                MediaType::Wav => "media_unsupported_wav",
                MediaType::Pdf => "media_unsupported_pdf",
                MediaType::Text => "media_unsupported_text",
                MediaType::Jpeg
                | MediaType::Png
                | MediaType::WebP
                | MediaType::Gif
                | MediaType::Bmp
                | MediaType::Tiff => "media_unsupported_picture",
                MediaType::Zip | MediaType::Unknown => "media_unsupported",
            },
            Self::Mismatch => "media_mismatch",
            Self::Cancelled => "media_cancelled",
        }
    }
}

/// What one file may cost. The defaults fit a phone of 2018 and a 200-megapixel camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file.
    pub input_bytes: usize,
    /// Width × height as declared.
    pub pixels: u64,
    /// Estimate of all buffers alive at once while decoding and resizing.
    pub memory_bytes: u64,
    /// Scans of a progressive JPEG; cameras and encoders write up to about 20.
    pub scans: u32,
    /// Scans × pixels: what a progressive JPEG of few bytes may cost in time.
    pub scan_pixels: u64,
    /// Length of a voice note.
    pub voice_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes: 64_000_000,
            pixels: 210_000_000,
            memory_bytes: 384 << 20,
            scans: 64,
            scan_pixels: 2_000_000_000,
            voice_ms: 30 * 60 * 1000,
        }
    }
}

impl Limits {
    fn check_size(&self, bytes: &[u8]) -> Result<(), MediaError> {
        match bytes.len() {
            0 => Err(MediaError::Empty),
            len if len > self.input_bytes => Err(MediaError::TooLarge),
            _ => Ok(()),
        }
    }

    fn check_pixels(&self, width: u32, height: u32) -> Result<u64, MediaError> {
        let pixels = u64::from(width) * u64::from(height);
        match pixels {
            0 => Err(MediaError::Corrupt("no pixels")),
            _ if pixels > self.pixels => Err(MediaError::TooManyPixels),
            _ => Ok(pixels),
        }
    }

    fn check_memory(&self, bytes: u64) -> Result<(), MediaError> {
        if bytes > self.memory_bytes {
            Err(MediaError::TooMuchMemory)
        } else {
            Ok(())
        }
    }
}

/// A flag that stops work from another thread; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work to stop soon.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<(), MediaError> {
        if self.is_cancelled() {
            Err(MediaError::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// Whether mozjpeg runs on SIMD, where the target alone decides it: always on ARM, never on targets it has
/// no code for. On x86 it depends on an assembler at build time, which safe code can't see: `None`.
pub fn simd_in() -> Option<bool> {
    if cfg!(any(target_arch = "aarch64", target_arch = "arm")) {
        Some(true)
    } else if cfg!(any(target_arch = "x86_64", target_arch = "x86")) {
        None
    } else {
        Some(false)
    }
}

/// Turns a panic of a decoder into an error. mozjpeg reports errors by unwinding past the panic hook, so
/// nothing of a file's content is printed on its account.
fn guard<T>(work: impl FnOnce() -> Result<T, MediaError>) -> Result<T, MediaError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(MediaError::Corrupt("the decoder gave up")))
}

/// The input of a decoder, in steps, so that a cancelled decode ends at its next read.
struct Steps<'a> {
    bytes: &'a [u8],
    at: usize,
    cancel: &'a Cancel,
}

impl<'a> Steps<'a> {
    const BYTES: usize = 64 << 10;

    fn new(bytes: &'a [u8], cancel: &'a Cancel) -> Self {
        Self {
            bytes,
            at: 0,
            cancel,
        }
    }
}

impl BufRead for Steps<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.cancel.is_cancelled() {
            return Err(io::ErrorKind::Other.into());
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        Ok(rest.get(..Self::BYTES).unwrap_or(rest))
    }

    fn consume(&mut self, amount: usize) {
        self.at = self.at.saturating_add(amount);
    }
}

impl Read for Steps<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buf)?;
        self.consume(count);
        Ok(count)
    }
}

impl Seek for Steps<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(at) => (
                0,
                i64::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?,
            ),
            SeekFrom::End(offset) => (self.bytes.len(), offset),
            SeekFrom::Current(offset) => (self.at, offset),
        };
        let at = i64::try_from(base)
            .ok()
            .and_then(|base| base.checked_add(offset));
        self.at = at
            .and_then(|at| usize::try_from(at).ok())
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at as u64)
    }
}
