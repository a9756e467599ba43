//! One photo in, its tiers out: *thumb* and *picture* as JPEG without metadata, upright and opaque, and the
//! preview for the op. One decode serves all. The original is never changed; a photo that can't be
//! decoded within the limits is refused, so that the caller keeps it as a document.

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use super::exif::{self, LocalTime};
use super::{Cancel, Limits, MediaError, MediaType, Steps, guard, jpeg, preview, probe, tiff};

/// Longest edge of the thumb, in pixels.
pub const THUMB_EDGE: u32 = 320;
/// Longest edge of the picture, in pixels.
pub const PICTURE_EDGE: u32 = 2048;

/// How much time the encoder may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Progressive with trellis: the tiers that stay.
    Quality,
    /// Fluent for quick shots in a row, about a third larger; to be recoded later.
    Burst,
}

/// One tier as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// A JPEG file without metadata, upright.
    pub jpeg: Vec<u8>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Of [`Tier::jpeg`].
    pub blake3: [u8; 32],
}

/// Everything an op says about a photo, and its tiers.
#[derive(Debug, Clone, PartialEq)]
pub struct Photo {
    /// Of the original, upright, in pixels.
    pub width: u32,
    /// Of the original, upright, in pixels.
    pub height: u32,
    /// At most [`THUMB_EDGE`] on its longest edge.
    pub thumb: Tier,
    /// At most [`PICTURE_EDGE`] on its longest edge.
    pub picture: Tier,
    /// At most 300 bytes, see [`preview`].
    pub preview: Vec<u8>,
    /// When the camera says it was taken.
    pub taken: Option<LocalTime>,
    /// Maker and model.
    pub camera: Option<String>,
    /// Latitude and longitude in degrees, WGS 84. Whether it may go into an op is the company's to say.
    pub position: Option<(f64, f64)>,
}

/// Makes the tiers of a photo.
pub fn recode(
    bytes: &[u8],
    limits: &Limits,
    mode: Mode,
    cancel: &Cancel,
) -> Result<Photo, MediaError> {
    limits.check_size(bytes)?;
    let kind = probe(bytes);
    if !kind.is_photo() {
        return Err(MediaError::Unsupported(kind));
    }
    let result = guard(|| {
        cancel.check()?;
        let (width, height, decoded) = decode(bytes, kind, limits, cancel)?;
        make(bytes, (width, height), decoded, mode, cancel)
    });
    // A decoder that was stopped at a read says "damaged".
    result.map_err(|error| {
        if cancel.is_cancelled() {
            MediaError::Cancelled
        } else {
            error
        }
    })
}

/// Width and height as declared, and pixels at least as large as the picture.
fn decode(
    bytes: &[u8],
    kind: MediaType,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<(u32, u32, RgbImage), MediaError> {
    if kind == MediaType::Jpeg {
        let (header, image) = jpeg::decode(bytes, PICTURE_EDGE, limits, cancel)?;
        return Ok((header.width, header.height, image));
    }
    let format = match kind {
        MediaType::Png => ImageFormat::Png,
        MediaType::WebP => ImageFormat::WebP,
        MediaType::Gif => ImageFormat::Gif,
        MediaType::Bmp => ImageFormat::Bmp,
        MediaType::Tiff => ImageFormat::Tiff,
        _ => return Err(MediaError::Unsupported(kind)),
    };
    if kind == MediaType::Tiff {
        tiff::check_directory(bytes, limits)?;
    }
    let failed = |error| match error {
        ImageError::Limits(_) => MediaError::TooMuchMemory,
        ImageError::Unsupported(_) => MediaError::Unsupported(kind),
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            MediaError::Truncated
        }
        _ => MediaError::Corrupt("picture data"),
    };
    let mut reader = ImageReader::with_format(Steps::new(bytes, cancel), format);
    let mut image_limits = image::Limits::default();
    image_limits.max_alloc = Some(limits.memory_bytes);
    reader.limits(image_limits);
    let decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let pixels = limits.check_pixels(width, height)?;
    // The decoder's own canvas and output, then the output and its opaque copy.
    limits.check_memory(decoder.total_bytes().saturating_add(pixels * 4))?;
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    cancel.check()?;
    Ok((width, height, flatten(image)))
}

/// Eight bits and no alpha, on white.
fn flatten(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let mut flat = RgbImage::new(image.width(), image.height());
    for (to, from) in flat.pixels_mut().zip(image.pixels()) {
        let [r, g, b, alpha] = from.0.map(u32::from);
        to.0 = [r, g, b].map(|value| {
            u8::try_from((value * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
        });
    }
    flat
}

fn make(
    bytes: &[u8],
    (width, height): (u32, u32),
    decoded: RgbImage,
    mode: Mode,
    cancel: &Cancel,
) -> Result<Photo, MediaError> {
    let found = exif::read(bytes);
    let (w, h) = fit(width, height, PICTURE_EDGE);
    let mut upright = DynamicImage::ImageRgb8(resize(decoded, w, h)?);
    // Turned after the resize, while it is small.
    let orientation = found
        .orientation
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms);
    upright.apply_orientation(orientation);
    let picture = upright.into_rgb8();
    let (w, h) = fit(picture.width(), picture.height(), THUMB_EDGE);
    let thumb = resize(picture.clone(), w, h)?;
    cancel.check()?;
    let (width, height) = if orientation.to_exif() >= 5 {
        (height, width)
    } else {
        (width, height)
    };
    Ok(Photo {
        width,
        height,
        preview: preview::make(&thumb)?,
        thumb: tier(&thumb, mode, cancel)?,
        picture: tier(&picture, mode, cancel)?,
        taken: found.taken,
        camera: found.camera,
        position: found.position,
    })
}

fn tier(image: &RgbImage, mode: Mode, cancel: &Cancel) -> Result<Tier, MediaError> {
    let jpeg = jpeg::encode(image, mode, cancel)?;
    let blake3 = blake3::hash(&jpeg).into();
    Ok(Tier {
        jpeg,
        width: image.width(),
        height: image.height(),
        blake3,
    })
}

/// The size whose longest edge is `edge`, never larger than given, never without a pixel.
pub(super) fn fit(width: u32, height: u32, edge: u32) -> (u32, u32) {
    let longest = width.max(height).max(1);
    if longest <= edge {
        return (width, height);
    }
    let scale = |side: u32| {
        let scaled =
            (u64::from(side) * u64::from(edge) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(scaled).unwrap_or(edge).max(1)
    };
    (scale(width), scale(height))
}

/// Lanczos3, straight on the stored values.
pub(super) fn resize(image: RgbImage, width: u32, height: u32) -> Result<RgbImage, MediaError> {
    if image.dimensions() == (width, height) {
        return Ok(image);
    }
    let mut resized = DynamicImage::new_rgb8(width, height);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new()
        .resize(&DynamicImage::ImageRgb8(image), &mut resized, &options)
        .map_err(|_| MediaError::Corrupt("picture size"))?;
    Ok(resized.into_rgb8())
}
