//! The preview inside an op: a grid of colours of at most 300 bytes that a page draws, scaled up smoothly
//! to the photo's own width and height, before anything is loaded. It holds no tables and no secrets of a
//! codec, so that every shell can draw it in a few lines.
//!
//! Format 1:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format, 1 |
//! | 1 | columns `w`, 1 to 255 |
//! | 1 | rows `h`, 1 to 255 |
//! | `w·h` | Y, row by row from the top left |
//! | `cw·ch` | Cb, for squares of 2 × 2: `cw = ⌈w/2⌉`, `ch = ⌈h/2⌉` |
//! | `cw·ch` | Cr, likewise |
//!
//! and nothing after it. With `y = Y[r·w + c]`, `b = Cb[(r/2)·cw + c/2] − 128`, `v = Cr[…] − 128` (JFIF,
//! full range), each rounded and held in 0 to 255:
//! `R = y + 1.402·v`, `G = y − 0.344136·b − 0.714136·v`, `B = y + 1.772·b`.

use image::{Rgb, RgbImage};

use super::MediaError;
use super::photo::{fit, resize};

/// No preview is longer.
pub const MAX_BYTES: usize = 300;
const FORMAT: u8 = 1;

/// Makes the preview of a picture.
pub(super) fn make(image: &RgbImage) -> Result<Vec<u8>, MediaError> {
    let (width, height) = image.dimensions();
    // The finest grid of the picture's shape that fits.
    let mut grids = (1..=48).rev().map(|edge| fit(width, height, edge));
    let (w, h) = grids
        .find(|(w, h)| len(*w as usize, *h as usize) <= MAX_BYTES)
        .unwrap_or((1, 1));
    let grid = resize(image.clone(), w, h)?;
    let mut bytes = vec![
        FORMAT,
        u8::try_from(w).unwrap_or(1),
        u8::try_from(h).unwrap_or(1),
    ];
    bytes.extend(grid.pixels().map(|pixel| ycc(mean([pixel].into_iter()))[0]));
    for channel in [1, 2] {
        for (x, y) in (0..h)
            .step_by(2)
            .flat_map(|y| (0..w).step_by(2).map(move |x| (x, y)))
        {
            let square = [(0, 0), (1, 0), (0, 1), (1, 1)];
            let pixels = square
                .into_iter()
                .filter_map(|(dx, dy)| grid.get_pixel_checked(x + dx, y + dy));
            bytes.extend(ycc(mean(pixels)).get(channel));
        }
    }
    Ok(bytes)
}

/// Draws a preview: columns, rows, RGB row by row. `None` for anything but format 1, whole.
pub fn draw(bytes: &[u8]) -> Option<(usize, usize, Vec<u8>)> {
    let (&[FORMAT, columns, rows], samples) = bytes.split_first_chunk()? else {
        return None;
    };
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    if columns == 0 || rows == 0 || bytes.len() > MAX_BYTES || bytes.len() != len(columns, rows) {
        return None;
    }
    let (luma, chroma) = samples.split_at_checked(columns * rows)?;
    let (blues, reds) = chroma.split_at_checked(chroma.len() / 2)?;
    let mut rgb = Vec::with_capacity(luma.len() * 3);
    for (at, luma) in luma.iter().enumerate() {
        let square = (at / columns / 2) * columns.div_ceil(2) + at % columns / 2;
        let light = f32::from(*luma);
        let (blue, red) = (
            f32::from(*blues.get(square)?) - 128.0,
            f32::from(*reds.get(square)?) - 128.0,
        );
        let green = light - 0.344_136 * blue - 0.714_136 * red;
        rgb.extend([light + 1.402 * red, green, light + 1.772 * blue].map(byte));
    }
    Some((columns, rows, rgb))
}

fn len(columns: usize, rows: usize) -> usize {
    3 + columns * rows + 2 * columns.div_ceil(2) * rows.div_ceil(2)
}

/// Mean of some pixels.
pub(super) fn mean<'a>(pixels: impl Iterator<Item = &'a Rgb<u8>>) -> [f32; 3] {
    let (sum, count) = pixels.fold(([0.0; 3], 0.0), |([r, g, b], count), Rgb(pixel)| {
        let [pr, pg, pb] = pixel.map(f32::from);
        ([r + pr, g + pg, b + pb], count + 1.0)
    });
    sum.map(|sum| sum / count)
}

/// JFIF's Y, Cb and Cr.
pub(super) fn ycc([r, g, b]: [f32; 3]) -> [u8; 3] {
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y, 128.0 + (b - y) / 1.772, 128.0 + (r - y) / 1.402].map(byte)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "held in range first"
)]
fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}
