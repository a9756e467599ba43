//! What a file is, told by its content alone. A name or a declared type is never asked.

use super::boxes;

/// A kind of file, as far as the product treats it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum MediaType {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
    Heic,
    Avif,
    /// MP4 with sound only, whatever its brand says.
    M4a,
    /// MP4, MOV or 3GP with pictures, or with an index that can't be read.
    Mp4,
    OggOpus,
    /// Ogg with anything but Opus first.
    Ogg,
    Wav,
    Pdf,
    /// Zip and what is built on it (office documents too).
    Zip,
    /// UTF-8 without control characters. HTML and SVG are text here and must be served as such.
    Text,
    Unknown,
}

impl MediaType {
    /// The type to serve it with.
    pub fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Heic => "image/heic",
            Self::Avif => "image/avif",
            Self::M4a => "audio/mp4",
            Self::Mp4 => "video/mp4",
            Self::OggOpus | Self::Ogg => "audio/ogg",
            Self::Wav => "audio/wav",
            Self::Pdf => "application/pdf",
            Self::Zip => "application/zip",
            Self::Text => "text/plain; charset=utf-8",
            Self::Unknown => "application/octet-stream",
        }
    }

    /// Whether [`photo::recode`](super::photo::recode) decodes it.
    pub fn is_photo(self) -> bool {
        matches!(
            self,
            Self::Jpeg | Self::Png | Self::WebP | Self::Gif | Self::Bmp | Self::Tiff
        )
    }

    /// Whether [`voice::inspect`](super::voice::inspect) reads it.
    pub fn is_voice(self) -> bool {
        matches!(self, Self::M4a | Self::OggOpus | Self::Wav)
    }
}

/// How far text is read before it is believed.
const TEXT_BYTES: usize = 4096;

/// Tells what `bytes` are. Right signature does not mean sound content: that is the decoders' to say.
pub fn probe(bytes: &[u8]) -> MediaType {
    let at = |offset: usize, sign: &[u8]| {
        bytes
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(sign))
    };
    match () {
        () if at(0, b"\xff\xd8\xff") => MediaType::Jpeg,
        () if at(0, b"\x89PNG\r\n\x1a\n") => MediaType::Png,
        () if at(0, b"RIFF") && at(8, b"WEBP") => MediaType::WebP,
        () if at(0, b"RIFF") && at(8, b"WAVE") => MediaType::Wav,
        () if at(0, b"GIF87a") || at(0, b"GIF89a") => MediaType::Gif,
        // The reserved zeros keep text that begins with "BM" out.
        () if at(0, b"BM") && at(6, &[0; 4]) => MediaType::Bmp,
        () if at(0, b"II*\0") || at(0, b"MM\0*") => MediaType::Tiff,
        () if at(4, b"ftyp") => iso_media(bytes),
        // The first page of an Opus stream holds its head alone (RFC 7845 §3).
        () if at(0, b"OggS") && at(28, b"OpusHead") => MediaType::OggOpus,
        () if at(0, b"OggS") => MediaType::Ogg,
        () if at(0, b"%PDF-") => MediaType::Pdf,
        () if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") => MediaType::Zip,
        () if is_text(bytes) => MediaType::Text,
        () => MediaType::Unknown,
    }
}

fn iso_media(bytes: &[u8]) -> MediaType {
    match bytes.get(8..12) {
        Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
            MediaType::Heic
        }
        Some(b"avif" | b"avis") => MediaType::Avif,
        Some(b"M4A " | b"M4B ") => MediaType::M4a,
        // Android's recorder writes voice with the brands of video: the tracks decide.
        _ => match boxes::track_handlers(bytes) {
            (_, true) | (false, false) => MediaType::Mp4,
            (true, false) => MediaType::M4a,
        },
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let head = bytes.get(..TEXT_BYTES).unwrap_or(bytes);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character cut by the window is no fault.
        Err(error) if error.error_len().is_none() && head.len() < bytes.len() => head
            .get(..error.valid_up_to())
            .and_then(|head| std::str::from_utf8(head).ok())
            .unwrap_or_default(),
        Err(_) => return false,
    };
    !text.is_empty()
        && !text
            .chars()
            .any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}'))
}
