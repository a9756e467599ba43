//! Turns painted texels into a photo: bumps from the height map, shadows and
//! ambient occlusion cast by it, a shiny spot, then the camera — exposure,
//! vignette, grain, tone curve. It knows nothing of what a scene shows.

use super::brush::{Rgb, Texel, ramp};
use super::noise::{Dice, hash};
use image::RgbImage;

/// The light and the camera of one picture.
#[derive(Clone, Copy, Debug)]
pub struct Light {
    /// Direction towards the sun or lamp: right, down, out to the camera.
    pub sun: [f32; 3],
    /// Colour and strength of the sun or lamp.
    pub sun_rgb: Rgb,
    /// Colour and strength of the light from everywhere.
    pub sky_rgb: Rgb,
    /// Width of a shadow's edge; 0.3 is noon, 2 a cloudy day.
    pub softness: f32,
    /// A lamp's or a flash's pool of light: centre, radius, light outside it.
    pub pool: Option<(f32, f32, f32, f32)>,
    /// Brightness of the whole picture.
    pub exposure: f32,
    /// Sensor noise; 1 is a phone by day, 3 a phone in a cellar.
    pub grain: f32,
    /// How dark the corners get.
    pub vignette: f32,
}

impl Light {
    /// Daylight outside: sunny or overcast, from the upper left or right.
    pub fn outside(dice: &mut Dice) -> Self {
        let side = dice.pick([-1.0, 1.0]);
        let clear = dice.range(0.35, 1.0);
        Self {
            sun: [
                side * dice.range(0.5, 0.9),
                -dice.range(0.35, 0.7),
                dice.range(0.55, 0.8),
            ],
            sun_rgb: Rgb::new(1.0, 0.92, 0.80) * (0.35 + 1.0 * clear),
            sky_rgb: Rgb::new(0.50, 0.56, 0.66) * (1.25 - 0.55 * clear),
            softness: 1.5 - 1.15 * clear,
            pool: None,
            exposure: dice.range(0.92, 1.06),
            grain: dice.range(0.7, 1.1),
            vignette: 0.32,
        }
    }

    /// Inside with a lamp or the phone's flash.
    pub fn inside(dice: &mut Dice) -> Self {
        Self {
            sun: [dice.range(-0.5, 0.5), -dice.range(0.4, 0.75), 0.8],
            sun_rgb: Rgb::new(1.0, 0.89, 0.74) * 0.85,
            sky_rgb: Rgb::new(0.62, 0.58, 0.54) * 0.8,
            softness: 1.1,
            pool: Some((dice.range(-0.15, 0.15), dice.range(-0.15, 0.1), 0.85, 0.38)),
            exposure: 1.05,
            grain: 1.6,
            vignette: 0.42,
        }
    }
}

/// Draws `width` × `height` pixels; `paint` answers for points of the picture
/// whose shorter side is 1 long, the centre (0, 0), x right, y down.
pub fn render(
    width: u32,
    height: u32,
    seed: u64,
    light: &Light,
    paint: impl Fn(f32, f32) -> Texel,
) -> RgbImage {
    let (w, h) = (width.max(8) as usize, height.max(8) as usize);
    let unit = w.min(h) as f32;
    let mut texels = Vec::with_capacity(w * h);
    for row in 0..h {
        let y = (row as f32 + 0.5 - h as f32 / 2.0) / unit;
        texels.extend((0..w).map(|col| paint((col as f32 + 0.5 - w as f32 / 2.0) / unit, y)));
    }
    let half = shrink(&texels, w, h);
    let shadow = shadows(&half, unit / 2.0, light);
    let quarter = half.halved();
    let near = quarter.blurred((unit * 0.007 / 4.0).ceil() as usize);
    let wide = quarter.blurred((unit * 0.04 / 4.0).ceil() as usize);
    let plan = Plan {
        w,
        h,
        unit,
        light,
        shadow,
        near,
        wide,
    };
    develop(&plan, &texels, seed)
}

/// A map of one number per point, smaller than the picture.
struct Map {
    w: usize,
    h: usize,
    v: Vec<f32>,
}

impl Map {
    /// A row of the map, stretched to the picture's row `y` and width.
    fn row(&self, plan_w: usize, plan_h: usize, y: usize, out: &mut Vec<f32>) {
        let sy = ((y as f32 + 0.5) * self.h as f32 / plan_h as f32 - 0.5).max(0.0);
        let y0 = (sy as usize).min(self.h - 1);
        let y1 = (y0 + 1).min(self.h - 1);
        let fy = sy - y0 as f32;
        let (a, b) = (
            &self.v[y0 * self.w..][..self.w],
            &self.v[y1 * self.w..][..self.w],
        );
        let step = self.w as f32 / plan_w as f32;
        out.clear();
        out.extend((0..plan_w).map(|x| {
            let sx = ((x as f32 + 0.5) * step - 0.5).max(0.0);
            let x0 = (sx as usize).min(self.w - 1);
            let x1 = (x0 + 1).min(self.w - 1);
            let fx = sx - x0 as f32;
            let left = a[x0] + (b[x0] - a[x0]) * fy;
            let right = a[x1] + (b[x1] - a[x1]) * fy;
            left + (right - left) * fx
        }));
    }

    fn halved(&self) -> Self {
        let (w, h) = ((self.w / 2).max(1), (self.h / 2).max(1));
        let mut v = Vec::with_capacity(w * h);
        for y in 0..h {
            for x in 0..w {
                let p = y * 2 * self.w + x * 2;
                v.push(
                    (self.v[p] + self.v[p + 1] + self.v[p + self.w] + self.v[p + self.w + 1]) / 4.0,
                );
            }
        }
        Self { w, h, v }
    }

    /// Blurred twice by a box of `radius`, which is close to a soft disc.
    fn blurred(&self, radius: usize) -> Self {
        let mut v = self.v.clone();
        for _ in 0..2 {
            v = box_rows(&v, self.w, radius);
            v = transpose(&v, self.w);
            v = box_rows(&v, self.h, radius);
            v = transpose(&v, self.h);
        }
        Self {
            w: self.w,
            h: self.h,
            v,
        }
    }
}

fn transpose(v: &[f32], w: usize) -> Vec<f32> {
    let h = v.len() / w;
    let mut out = Vec::with_capacity(v.len());
    for x in 0..w {
        out.extend((0..h).map(|y| v[y * w + x]));
    }
    out
}

fn box_rows(v: &[f32], w: usize, radius: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(v.len());
    let scale = 1.0 / (2 * radius + 1) as f32;
    for row in v.chunks_exact(w) {
        let at = |i: isize| row[i.clamp(0, w as isize - 1) as usize];
        let r = radius as isize;
        let mut sum: f32 = (-r..=r).map(at).sum();
        for x in 0..w as isize {
            out.push(sum * scale);
            sum += at(x + r + 1) - at(x - r);
        }
    }
    out
}

fn shrink(texels: &[Texel], w: usize, h: usize) -> Map {
    let (hw, hh) = (w / 2, h / 2);
    let mut v = Vec::with_capacity(hw * hh);
    for y in 0..hh {
        for x in 0..hw {
            let p = y * 2 * w + x * 2;
            let sum = texels[p].height
                + texels[p + 1].height
                + texels[p + w].height
                + texels[p + w + 1].height;
            v.push(sum * 0.25);
        }
    }
    Map { w: hw, h: hh, v }
}

/// Marches from every point towards the sun; what stands higher than the ray
/// shades it. Four sets of step lengths, chosen by a hash, hide the steps.
fn shadows(map: &Map, unit: f32, light: &Light) -> Map {
    const STEPS: usize = 15;
    let flat = (light.sun[0].powi(2) + light.sun[1].powi(2))
        .sqrt()
        .max(1e-3);
    let rise = light.sun[2] / flat;
    let (dx, dy) = (light.sun[0] / flat, light.sun[1] / flat);
    let mut steps = [[(0isize, 0isize, 0.0f32, 0.0f32); STEPS]; 4];
    for (variant, set) in steps.iter_mut().enumerate() {
        for (n, step) in set.iter_mut().enumerate() {
            let t = (n as f32 + variant as f32 * 0.25) / STEPS as f32;
            let far = 0.0012 + 0.16 * t * t;
            let reach = (far * unit).max(1.0);
            let soft = 1.0 / (far * light.softness * 0.35 + 0.0006);
            *step = (
                (dx * reach).round() as isize,
                (dy * reach).round() as isize,
                far * rise,
                soft,
            );
        }
    }
    let (w, h) = (map.w as isize, map.h as isize);
    let mut v = Vec::with_capacity(map.v.len());
    for y in 0..h {
        for x in 0..w {
            let own = map.v[(y * w + x) as usize];
            let set = &steps[(hash(x as i32, y as i32, 5) >> 30) as usize];
            let mut dark = 0.0f32;
            for &(ox, oy, lift, soft) in set {
                let (sx, sy) = ((x + ox).clamp(0, w - 1), (y + oy).clamp(0, h - 1));
                dark = dark.max((map.v[(sy * w + sx) as usize] - own - lift) * soft);
            }
            v.push(dark.min(1.0));
        }
    }
    Map {
        w: map.w,
        h: map.h,
        v: soften(&v, map.w),
    }
}

fn soften(v: &[f32], w: usize) -> Vec<f32> {
    let once = transpose(&box_rows(v, w, 1), w);
    let h = v.len() / w;
    transpose(&box_rows(&once, h, 1), h)
}

struct Plan<'a> {
    w: usize,
    h: usize,
    unit: f32,
    light: &'a Light,
    shadow: Map,
    near: Map,
    wide: Map,
}

#[derive(Default)]
struct Rows {
    shadow: Vec<f32>,
    near: Vec<f32>,
    wide: Vec<f32>,
}

/// Lights row after row; three lit rows are kept, so that the lens's softness
/// costs no second picture.
fn develop(plan: &Plan, texels: &[Texel], seed: u64) -> RgbImage {
    let (w, h) = (plan.w, plan.h);
    let curve = tone_curve();
    let mut rows = Rows::default();
    let mut ring = [
        vec![Rgb::BLACK; w],
        vec![Rgb::BLACK; w],
        vec![Rgb::BLACK; w],
    ];
    let mut out = Vec::with_capacity(w * h * 3);
    for y in 0..=h {
        if y < h {
            light_row(plan, texels, y, seed, &mut rows, &mut ring[y % 3]);
        }
        if y == 0 {
            continue;
        }
        let mid = y - 1;
        let above = &ring[mid.saturating_sub(1) % 3];
        let here = &ring[mid % 3];
        let below = &ring[y.min(h - 1) % 3];
        for x in 0..w {
            for c in 0..3 {
                let value = here[x].0[c] * 0.62 + (above[x].0[c] + below[x].0[c]) * 0.19;
                out.push(curve[(tone_key(value) as usize).min(CURVE - 1)]);
            }
        }
    }
    RgbImage::from_raw(w as u32, h as u32, out).unwrap_or_default()
}

fn light_row(plan: &Plan, texels: &[Texel], y: usize, seed: u64, rows: &mut Rows, out: &mut [Rgb]) {
    let (w, h, light) = (plan.w, plan.h, plan.light);
    plan.shadow.row(w, h, y, &mut rows.shadow);
    plan.near.row(w, h, y, &mut rows.near);
    plan.wide.row(w, h, y, &mut rows.wide);
    let here = &texels[y * w..][..w];
    let above = &texels[y.saturating_sub(1) * w..][..w];
    let below = &texels[(y + 1).min(h - 1) * w..][..w];
    let len = light.sun.iter().map(|c| c * c).sum::<f32>().sqrt();
    let sun = light.sun.map(|c| c / len);
    // Half-way between the sun and the eye, for the shiny spot.
    let mid_len = (2.0 + 2.0 * sun[2]).sqrt();
    let half = [sun[0] / mid_len, sun[1] / mid_len, (sun[2] + 1.0) / mid_len];
    let slope = plan.unit * 0.5;
    let mut noise = hash(y as i32, (seed >> 32) as i32, seed as u32) | 1;
    let py = (y as f32 - h as f32 / 2.0) / plan.unit;
    let grain = light.grain * 0.05;
    for x in 0..w {
        let t = here[x];
        let px = (x as f32 - w as f32 / 2.0) / plan.unit;
        let falloff = 1.0 - light.vignette * (px * px + py * py) * 1.1;
        let mut rgb = if t.gloss < 0.0 {
            t.rgb * light.exposure
        } else {
            let gx = ((here[(x + 1).min(w - 1)].height - here[x.saturating_sub(1)].height) * slope)
                .clamp(-2.2, 2.2);
            let gy = ((below[x].height - above[x].height) * slope).clamp(-2.2, 2.2);
            let inv = 1.0 / (gx * gx + gy * gy + 1.0).sqrt();
            let facing = ((sun[2] - gx * sun[0] - gy * sun[1]) * inv).max(0.0);
            let open = 1.0 - rows.shadow[x];
            let close = ((rows.near[x] - t.height) * 160.0).clamp(0.0, 1.0);
            let deep = ((rows.wide[x] - t.height) * 32.0).clamp(0.0, 1.0);
            let sky =
                (1.0 - 0.42 * close) * (1.0 - 0.55 * deep) * (0.82 + 0.18 * inv - 0.10 * gy * inv);
            let pool = light.pool.map_or(1.0, |(cx, cy, radius, rest)| {
                let (ex, ey) = (px - cx, py - cy);
                rest + (1.0 - rest) * ramp(1.0, 0.0, (ex * ex + ey * ey).sqrt() / (radius * 1.5))
            });
            let lit = light.sun_rgb * (facing * open) + light.sky_rgb * sky;
            let mut spot = ((half[2] - gx * half[0] - gy * half[1]) * inv).max(0.0);
            for _ in 0..5 {
                spot *= spot;
            }
            let shine = spot * t.gloss * (0.25 + 0.75 * open);
            (t.rgb * lit + light.sun_rgb * shine) * (pool * light.exposure)
        };
        rgb = rgb * falloff;
        // Shot noise grows with the root of the light; colour noise is weaker.
        noise = step(noise);
        let common = triangle(noise);
        let level = grain * (0.10 + rgb.0[1].max(0.0)).sqrt();
        noise = step(noise);
        let tint = triangle(noise) * 0.35;
        out[x] = Rgb::new(
            rgb.0[0] + (common + tint) * level,
            rgb.0[1] + common * level,
            rgb.0[2] + (common - tint) * level * 1.15,
        );
    }
    // The lens: a neighbour's share from left and right.
    let mut left = out[0];
    for x in 0..w {
        let own = out[x];
        let right = out[(x + 1).min(w - 1)];
        out[x] = own * 0.62 + (left + right) * 0.19;
        left = own;
    }
}

#[inline]
fn step(mut state: u32) -> u32 {
    state ^= state << 13;
    state ^= state >> 17;
    state ^ (state << 5)
}

#[inline]
fn triangle(bits: u32) -> f32 {
    ((bits & 0xffff) as f32 + (bits >> 16) as f32) / 65_536.0 - 1.0
}

/// Entries of the tone curve.
const CURVE: usize = 2048;
/// Added to light so that the curve's steps are even in the dark and grow with
/// brightness above it.
const TOE: f32 = 1.0 / 64.0;

/// Which entry belongs to `light`: the leading bits of the float itself, 256
/// for each doubling from [`TOE`] on.
#[inline]
fn tone_key(light: f32) -> u32 {
    ((light.max(0.0) + TOE).to_bits() - TOE.to_bits()) >> 15
}

/// Light to 8-bit sRGB: a shoulder for highlights, a little contrast.
fn tone_curve() -> Vec<u8> {
    (0..CURVE as u32)
        .map(|key| {
            let x = f32::from_bits((key << 15) + (1 << 14) + TOE.to_bits()) - TOE;
            let film = x * (1.0 + x / 6.0) / (0.82 + x * 0.62);
            let flat = film.clamp(0.0, 1.0).powf(1.0 / 2.2);
            let s = flat * flat * (3.0 - 2.0 * flat);
            ((flat * 0.72 + s * 0.28) * 255.0 + 0.5) as u8
        })
        .collect()
}
