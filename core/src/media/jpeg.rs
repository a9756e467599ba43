//! JPEG in and out through mozjpeg. The file's markers are walked here first, so that size, passes and
//! completeness are judged before C code sees a byte; mozjpeg would fill a missing rest with grey.

use image::RgbImage;
use mozjpeg::{ColorSpace, Compress, Decompress};

use super::photo::Mode;
use super::preview::{mean, ycc};
use super::{Cancel, Limits, MediaError, MediaType, Steps};

/// Quality of all tiers: DESIGN's 75 to 78.
const QUALITY: f32 = 77.0;
/// Rows between two looks at the cancel flag.
const ROWS: usize = 64;
/// Full size in mozjpeg's eighths.
const FULL: u8 = 8;
/// Largest mean difference of Y, Cb and Cr between blocks as encoded and as decoded. Colour has half the
/// resolution, so that hard edges of pure colours (drawn, not photographed) come out less exact.
const MEAN_ERRORS: [u64; 3] = [4, 40, 40];

/// What the markers say (ITU-T T.81, annex B).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Header {
    pub width: u32,
    pub height: u32,
    components: u8,
    /// All coefficients are held at once: progressive, or components in scans of their own.
    buffered: bool,
    scans: u32,
    adobe: bool,
}

impl Header {
    /// Walks the markers up to the end of the image.
    fn read(bytes: &[u8]) -> Result<Self, MediaError> {
        let mut header = Self::default();
        let mut rest = bytes.get(2..).ok_or(MediaError::Truncated)?;
        loop {
            let (marker, after) = next_marker(rest).ok_or(MediaError::Truncated)?;
            rest = after;
            if marker == 0xd9 {
                break;
            }
            if matches!(marker, 0x01 | 0xd8) {
                continue;
            }
            let len = rest
                .first_chunk()
                .map(|len| usize::from(u16::from_be_bytes(*len)));
            let segment = len
                .and_then(|len| rest.get(..len))
                .ok_or(MediaError::Truncated)?;
            rest = rest.get(segment.len()..).unwrap_or_default();
            let body = segment
                .get(2..)
                .ok_or(MediaError::Corrupt("jpeg segment"))?;
            match marker {
                0xee => header.adobe |= body.starts_with(b"Adobe"),
                // Baseline, extended and progressive with Huffman codes.
                0xc0..=0xc2 => header.frame(marker, body)?,
                // Lossless, hierarchical, arithmetic.
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    return Err(MediaError::Unsupported(MediaType::Jpeg));
                }
                0xda => {
                    header.scans = header.scans.saturating_add(1);
                    header.buffered |= body.first().is_none_or(|count| *count < header.components);
                }
                _ => {}
            }
        }
        if header.scans == 0 {
            Err(MediaError::Corrupt("jpeg without a scan"))
        } else {
            Ok(header)
        }
    }

    fn frame(&mut self, marker: u8, body: &[u8]) -> Result<(), MediaError> {
        let [precision, h1, h0, w1, w0, components, ..] = *body else {
            return Err(MediaError::Corrupt("jpeg frame"));
        };
        if precision != 8 || !matches!(components, 1 | 3 | 4) {
            return Err(MediaError::Unsupported(MediaType::Jpeg));
        }
        if self.components != 0 {
            return Err(MediaError::Corrupt("jpeg with two frames"));
        }
        self.width = u16::from_be_bytes([w1, w0]).into();
        self.height = u16::from_be_bytes([h1, h0]).into();
        self.components = components;
        self.buffered |= marker == 0xc2;
        Ok(())
    }

    fn check(&self, limits: &Limits, eighths: u8) -> Result<(), MediaError> {
        let pixels = limits.check_pixels(self.width, self.height)?;
        if self.scans > limits.scans
            || u64::from(self.scans).saturating_mul(pixels) > limits.scan_pixels
        {
            return Err(MediaError::TooManyScans);
        }
        // Two bytes a coefficient, chroma taken as not subsampled; a decoded row's share is small.
        let coefficients = if self.buffered {
            pixels * u64::from(self.components) * 2
        } else {
            0
        };
        let decoded = pixels * u64::from(eighths).pow(2) / 64 * u64::from(self.components.max(3));
        limits.check_memory(coefficients + 2 * decoded)
    }
}

/// The next marker that is not part of coded data, and what follows it.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let mut rest = bytes;
    loop {
        let at = rest.iter().position(|byte| *byte == 0xff)?;
        rest = rest.get(at + 1..)?;
        match *rest.first()? {
            // Stuffing, restarts, fill.
            0x00 | 0xd0..=0xd7 => rest = rest.get(1..)?,
            0xff => {}
            marker => return Some((marker, rest.get(1..)?)),
        }
    }
}

/// Decodes at the smallest of mozjpeg's scales whose longest edge still covers `edge`.
pub(super) fn decode(
    bytes: &[u8],
    edge: u32,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<(Header, RgbImage), MediaError> {
    let header = Header::read(bytes)?;
    let longest = u64::from(header.width.max(header.height));
    let eighths = (1..FULL)
        .find(|n| longest * u64::from(*n) >= u64::from(edge) * 8)
        .unwrap_or(FULL);
    header.check(limits, eighths)?;
    // mozjpeg converts YCCK to CMYK, but neither to RGB.
    let space = if header.components == 4 {
        ColorSpace::JCS_CMYK
    } else {
        ColorSpace::JCS_RGB
    };
    Ok((header, pixels(bytes, &header, eighths, space, cancel)?))
}

fn pixels(
    bytes: &[u8],
    header: &Header,
    eighths: u8,
    space: ColorSpace,
    cancel: &Cancel,
) -> Result<RgbImage, MediaError> {
    let broken = |_| MediaError::Corrupt("jpeg data");
    let mut decoder = Decompress::builder()
        .from_reader(Steps::new(bytes, cancel))
        .map_err(broken)?;
    if decoder.size() != (header.width as usize, header.height as usize) {
        return Err(MediaError::Corrupt("jpeg frame"));
    }
    decoder.scale(eighths);
    let channels = if space == ColorSpace::JCS_CMYK { 4 } else { 3 };
    let mut decoder = decoder.to_colorspace(space).map_err(broken)?;
    let (width, height) = (decoder.width(), decoder.height());
    let mut samples = vec![0u8; width * height * channels];
    for rows in samples.chunks_mut(width * channels * ROWS) {
        cancel.check()?;
        decoder.read_scanlines_into(rows).map_err(broken)?;
    }
    if channels == 4 {
        samples = samples
            .as_chunks()
            .0
            .iter()
            .flat_map(|cmyk| cmyk_to_rgb(*cmyk, header.adobe))
            .collect();
    }
    let size = |edge: usize| u32::try_from(edge).map_err(|_| MediaError::TooManyPixels);
    RgbImage::from_raw(size(width)?, size(height)?, samples).ok_or(MediaError::Corrupt("jpeg data"))
}

/// Without colour management: what every viewer shows. Adobe's programs store the inverse.
fn cmyk_to_rgb([c, m, y, k]: [u8; 4], inverse: bool) -> [u8; 3] {
    [c, m, y].map(|ink| {
        let (ink, black) = if inverse {
            (ink, k)
        } else {
            (255 - ink, 255 - k)
        };
        let light = u16::from(ink) * u16::from(black) / 255;
        u8::try_from(light).unwrap_or(u8::MAX)
    })
}

/// Encodes without any metadata and proves that the result decodes to the same picture.
pub(super) fn encode(image: &RgbImage, mode: Mode, cancel: &Cancel) -> Result<Vec<u8>, MediaError> {
    let failed = |_| MediaError::Mismatch;
    let mut encoder = Compress::new(ColorSpace::JCS_RGB);
    if mode == Mode::Burst {
        // No trellis, no progressive passes; Huffman tables are still made to measure.
        encoder.set_fastest_defaults();
        encoder.set_optimize_coding(true);
    } else {
        encoder.set_progressive_mode();
        encoder.set_optimize_scans(true);
    }
    encoder.set_size(image.width() as usize, image.height() as usize);
    encoder.set_quality(QUALITY);
    let mut encoder = encoder.start_compress(Vec::new()).map_err(failed)?;
    for rows in image.as_raw().chunks(image.width() as usize * 3 * ROWS) {
        cancel.check()?;
        encoder.write_scanlines(rows).map_err(failed)?;
    }
    let bytes = encoder.finish().map_err(failed)?;
    cancel.check()?;
    if matches(&bytes, image, cancel)? {
        Ok(bytes)
    } else {
        Err(MediaError::Mismatch)
    }
}

/// Decodes at one eighth, where each pixel is the mean of a block of 8 × 8, and compares.
fn matches(bytes: &[u8], image: &RgbImage, cancel: &Cancel) -> Result<bool, MediaError> {
    let header = Header::read(bytes)?;
    if (header.width, header.height) != image.dimensions() {
        return Ok(false);
    }
    let small = pixels(bytes, &header, 1, ColorSpace::JCS_YCbCr, cancel)?;
    let mut errors = [0u64; 3];
    for (x, y, decoded) in small.enumerate_pixels() {
        // The encoder repeats the edge to fill the last block.
        let places = (0..64).map(|at| (x * 8 + at % 8, y * 8 + at / 8));
        let block =
            places.map(|(x, y)| image.get_pixel(x.min(header.width - 1), y.min(header.height - 1)));
        for ((error, encoded), decoded) in errors.iter_mut().zip(ycc(mean(block))).zip(decoded.0) {
            *error += u64::from(encoded.abs_diff(decoded));
        }
    }
    let blocks = u64::from(small.width()) * u64::from(small.height());
    Ok(errors
        .into_iter()
        .zip(MEAN_ERRORS)
        .all(|(error, allowed)| error <= allowed * blocks))
}
