//! Noise and randomness of the painter: one seeded number stream, one hash,
//! and two tileable textures (clouds and cells) that are built once, because
//! looking a value up is ten times cheaper than adding octaves for each pixel.
//! Nothing here is for keys or ids.

use std::sync::OnceLock;

/// Edge of a noise texture in texels; a power of two so that wrapping is a mask.
const SIZE: usize = 256;
const MASK: usize = SIZE - 1;

/// A small stream of numbers (splitmix64), the same for the same seed.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    /// Starts the stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x6b6f_6c6f_6e6e_6531)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.bits() >> 40) as f32 / (1u32 << 24) as f32;
        low + (high - low) * unit
    }

    /// A whole number below `count` (0 for an empty range).
    pub fn below(&mut self, count: usize) -> usize {
        if count == 0 {
            return 0;
        }
        ((self.bits() >> 32) as usize) % count
    }

    /// One of the choices.
    pub fn pick<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.below(N)]
    }
}

/// Adding 1.5 · 2²³ rounds a float to a whole number and leaves that in its low
/// bits: a floor without the range checks of a cast.
const ROUND: f32 = 12_582_912.0;

/// The whole number below `x`, for less than four million either way. An odd
/// whole `x` itself gives the one before, which no picture shows.
#[inline]
pub fn floor(x: f32) -> i32 {
    (x - 0.5 + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32
}

/// What is left of `x` above [`floor`], from 0 to 1.
#[inline]
pub fn fract(x: f32) -> f32 {
    x - (x - 0.5 + ROUND - ROUND)
}

/// A number from 0 to 1 that belongs to a grid cell.
#[inline]
pub fn cell(x: i32, y: i32, seed: u32) -> f32 {
    (hash(x, y, seed) >> 8) as f32 / (1u32 << 24) as f32
}

/// 32 well-mixed bits that belong to a grid cell.
#[inline]
pub fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h = (x as u32).wrapping_mul(0x8da6_b343)
        ^ (y as u32).wrapping_mul(0xd816_3841)
        ^ seed.wrapping_mul(0xcb1a_b31f);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    h ^ (h >> 15)
}

/// Clouds: six octaves of value noise, about −1 to 1, mean 0. One unit of
/// `x` and `y` is the whole texture; its coarsest blobs are a quarter wide,
/// its finest grain 1/128.
#[inline]
pub fn clouds(x: f32, y: f32) -> f32 {
    look(&textures().clouds, x, y)
}

/// Distance to the nearest of 32 × 32 scattered points, 0 at the point to
/// about 1 between points.
#[inline]
pub fn pebbles(x: f32, y: f32) -> f32 {
    look(&textures().pebbles, x, y)
}

/// Narrow between the points of [`pebbles`]: 0 on the seam between two cells.
#[inline]
pub fn seams(x: f32, y: f32) -> f32 {
    look(&textures().seams, x, y)
}

struct Textures {
    clouds: Vec<[f32; SIZE]>,
    pebbles: Vec<[f32; SIZE]>,
    seams: Vec<[f32; SIZE]>,
}

/// Values in rows.
fn texture(values: &[f32]) -> Vec<[f32; SIZE]> {
    values.as_chunks().0.to_vec()
}

fn textures() -> &'static Textures {
    static ONCE: OnceLock<Textures> = OnceLock::new();
    ONCE.get_or_init(|| {
        let (pebbles, seams) = cellular();
        Textures {
            clouds: texture(&octaves()),
            pebbles: texture(&pebbles),
            seams: texture(&seams),
        }
    })
}

#[inline]
fn look(texture: &[[f32; SIZE]], x: f32, y: f32) -> f32 {
    let (x, y) = (x * SIZE as f32, y * SIZE as f32);
    let (mx, my) = (x - 0.5 + ROUND, y - 0.5 + ROUND);
    let (fx, fy) = (x - (mx - ROUND), y - (my - ROUND));
    let (ix, iy) = (mx.to_bits() as usize, my.to_bits() as usize);
    let (x0, x1) = (ix & MASK, (ix + 1) & MASK);
    let (top, low) = (&texture[iy & MASK], &texture[(iy + 1) & MASK]);
    let above = top[x0] + (top[x1] - top[x0]) * fx;
    let below = low[x0] + (low[x1] - low[x0]) * fx;
    above + (below - above) * fy
}

fn octaves() -> Vec<f32> {
    let mut out = vec![0.0; SIZE * SIZE];
    let mut weight = 0.55;
    for octave in 0..6u32 {
        let cells = 4i32 << octave;
        let step = cells as f32 / SIZE as f32;
        for y in 0..SIZE {
            let gy = y as f32 * step;
            let (iy, fy) = (floor(gy), smooth(fract(gy)));
            for x in 0..SIZE {
                let gx = x as f32 * step;
                let (ix, fx) = (floor(gx), smooth(fract(gx)));
                let at = |dx: i32, dy: i32| {
                    cell((ix + dx) & (cells - 1), (iy + dy) & (cells - 1), octave) * 2.0 - 1.0
                };
                let top = at(0, 0) + (at(1, 0) - at(0, 0)) * fx;
                let low = at(0, 1) + (at(1, 1) - at(0, 1)) * fx;
                out[y * SIZE + x] += (top + (low - top) * fy) * weight;
            }
        }
        weight *= 0.6;
    }
    let mean = out.iter().sum::<f32>() / out.len() as f32;
    for value in &mut out {
        *value -= mean;
    }
    out
}

fn smooth(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

fn cellular() -> (Vec<f32>, Vec<f32>) {
    const CELLS: i32 = 32;
    let step = CELLS as f32 / SIZE as f32;
    let mut near = vec![0.0; SIZE * SIZE];
    let mut seam = vec![0.0; SIZE * SIZE];
    for y in 0..SIZE {
        for x in 0..SIZE {
            let (gx, gy) = (x as f32 * step, y as f32 * step);
            let (ix, iy) = (floor(gx), floor(gy));
            let (mut first, mut second) = (9.0f32, 9.0f32);
            for dy in -1..=1 {
                for dx in -1..=1 {
                    let (cx, cy) = ((ix + dx) & (CELLS - 1), (iy + dy) & (CELLS - 1));
                    let px = (ix + dx) as f32 + cell(cx, cy, 91) - gx;
                    let py = (iy + dy) as f32 + cell(cx, cy, 92) - gy;
                    let d = px * px + py * py;
                    if d < first {
                        second = first;
                        first = d;
                    } else if d < second {
                        second = d;
                    }
                }
            }
            near[y * SIZE + x] = first.sqrt();
            seam[y * SIZE + x] = second.sqrt() - first.sqrt();
        }
    }
    (near, seam)
}
