//! What every scene paints with: linear colours, texels, edges that are soft
//! for a pixel, and the camera's view of a flat surface.

use super::noise::{Dice, clouds};
use std::ops::{Add, Mul};

/// How wide an edge blends, in units of the picture's shorter side.
pub const EDGE: f32 = 0.0011;

/// A linear colour; 1 is a white surface in full light. The fourth number is
/// always 0: four lanes are what the processor adds at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rgb(pub [f32; 4]);

/// The linear colour of an sRGB hex triplet, by the usual 2.2 power.
pub fn hex(rgb: u32) -> Rgb {
    let part = |shift: u32| (((rgb >> shift) & 0xff) as f32 / 255.0).powf(2.2);
    Rgb::new(part(16), part(8), part(0))
}

impl Mul<f32> for Rgb {
    type Output = Self;
    #[inline]
    fn mul(self, k: f32) -> Self {
        Self(self.0.map(|c| c * k))
    }
}

impl Mul for Rgb {
    type Output = Self;
    #[inline]
    fn mul(self, k: Self) -> Self {
        let (a, b) = (self.0, k.0);
        Self([a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]])
    }
}

impl Add for Rgb {
    type Output = Self;
    #[inline]
    fn add(self, k: Self) -> Self {
        let (a, b) = (self.0, k.0);
        Self([a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]])
    }
}

impl Rgb {
    /// A linear colour from red, green and blue.
    #[inline]
    pub const fn new(red: f32, green: f32, blue: f32) -> Self {
        Self([red, green, blue, 0.0])
    }

    /// No light.
    pub const BLACK: Self = Rgb::new(0.0, 0.0, 0.0);

    /// `self` at 0, `to` at 1.
    #[inline]
    pub fn mix(self, to: Self, t: f32) -> Self {
        self * (1.0 - t) + to * t
    }
}

/// One point of a picture before it is lit.
#[derive(Clone, Copy, Debug)]
pub struct Texel {
    /// What the surface reflects, or for [`Texel::far`] what it shines.
    pub rgb: Rgb,
    /// How far it stands out towards the camera, in units of the shorter side.
    pub height: f32,
    /// How much it shines: 0 chalk, 1 chrome; negative for what is not lit.
    pub gloss: f32,
}

impl Texel {
    /// A lit surface.
    #[inline]
    pub fn new(rgb: Rgb, height: f32, gloss: f32) -> Self {
        Self { rgb, height, gloss }
    }

    /// What lies far behind and brings its own light: the sky, a garden.
    #[inline]
    pub fn far(rgb: Rgb) -> Self {
        Self {
            rgb,
            height: -0.2,
            gloss: -1.0,
        }
    }

    /// `self` where `cover` is 0, `top` where it is 1.
    #[inline]
    pub fn under(self, top: Self, cover: f32) -> Self {
        if cover <= 0.0 {
            self
        } else if cover >= 1.0 {
            top
        } else {
            Self {
                rgb: self.rgb.mix(top.rgb, cover),
                height: self.height + (top.height - self.height) * cover,
                gloss: if cover > 0.5 { top.gloss } else { self.gloss },
            }
        }
    }

    /// The same surface, stained.
    #[inline]
    pub fn tint(mut self, stain: Rgb, amount: f32) -> Self {
        self.rgb = self.rgb.mix(self.rgb * stain, amount.clamp(0.0, 1.0));
        self
    }
}

/// 0 below `low`, 1 above `high`, smooth between; reversed when `low > high`.
#[inline]
pub fn ramp(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// 1 where a signed distance is inside (negative), 0 outside, soft for a pixel.
#[inline]
pub fn inside(distance: f32) -> f32 {
    (0.5 - distance / EDGE).clamp(0.0, 1.0)
}

/// Signed distance to a box with rounded corners.
#[inline]
pub fn block(x: f32, y: f32, half_w: f32, half_h: f32, round: f32) -> f32 {
    let (dx, dy) = (x.abs() - half_w + round, y.abs() - half_h + round);
    let (ox, oy) = (dx.max(0.0), dy.max(0.0));
    (ox * ox + oy * oy).sqrt() + dx.max(dy).min(0.0) - round
}

/// Distance to a line from `a` to `b`, and how far along it lies (0 to 1).
#[inline]
pub fn line(x: f32, y: f32, a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let along = (((x - a.0) * dx + (y - a.1) * dy) / (dx * dx + dy * dy).max(1e-9)).clamp(0.0, 1.0);
    let (ex, ey) = (x - a.0 - dx * along, y - a.1 - dy * along);
    ((ex * ex + ey * ey).sqrt(), along)
}

/// How a round bar of radius `r` bulges at distance `d` from its axis.
#[inline]
pub fn bulge(d: f32, r: f32) -> f32 {
    (r * r - d * d).max(0.0).sqrt()
}

/// A crooked line, as a crack or a break runs: points from `a` to `b`.
#[derive(Clone, Debug)]
pub struct Crack {
    points: Vec<(f32, f32)>,
    ends: [(f32, f32); 2],
    strays: f32,
}

impl Crack {
    /// A crack from `a` to `b` that strays by about `stray`.
    pub fn new(dice: &mut Dice, a: (f32, f32), b: (f32, f32), stray: f32) -> Self {
        let parts = 14;
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let length = (dx * dx + dy * dy).sqrt().max(1e-6);
        let (mut drift, mut strays) = (0.0, 0.0f32);
        let points: Vec<_> = (0..=parts)
            .map(|n| {
                let t = n as f32 / parts as f32;
                drift = drift * 0.6 + dice.range(-stray, stray);
                let hold = if n == 0 || n == parts { 0.0 } else { drift };
                strays = strays.max(hold.abs());
                (
                    a.0 + dx * t - dy / length * hold,
                    a.1 + dy * t + dx / length * hold,
                )
            })
            .collect();
        Self {
            points,
            ends: [a, b],
            strays,
        }
    }

    /// Distance to the crack and how far along it lies; far away from it only
    /// a lower bound, which is enough for a thin line.
    #[inline]
    pub fn near(&self, x: f32, y: f32) -> (f32, f32) {
        let (straight, along) = line(x, y, self.ends[0], self.ends[1]);
        let bound = straight - self.strays;
        if bound > 0.02 {
            (bound, along)
        } else {
            self.nearest(x, y)
        }
    }

    fn nearest(&self, x: f32, y: f32) -> (f32, f32) {
        let mut best = (f32::MAX, 0.0);
        let parts = (self.points.len() - 1).max(1) as f32;
        for (n, pair) in self.points.windows(2).enumerate() {
            let (d, along) = line(x, y, pair[0], pair[1]);
            if d < best.0 {
                best = (d, (n as f32 + along) / parts);
            }
        }
        best
    }

    /// Where the crack passes at `y`, for cracks that run downwards.
    #[inline]
    pub fn x_at(&self, y: f32) -> f32 {
        for pair in self.points.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            if (a.1 - y) * (b.1 - y) <= 0.0 && (a.1 - b.1).abs() > 1e-6 {
                return a.0 + (b.0 - a.0) * (y - a.1) / (b.1 - a.1);
            }
        }
        self.points[0].0
    }
}

/// The camera's focal length in units of the shorter side.
const FOCAL: f32 = 1.25;

/// How the camera sees a flat surface: turned, tilted, rolled, near or far.
#[derive(Clone, Copy, Debug)]
pub struct View {
    rows: [[f32; 3]; 3],
    centre: (f32, f32),
    zoom: f32,
}

impl View {
    /// Angles in radians; `zoom` 1 shows one unit of the surface on the
    /// shorter side at the picture's centre.
    pub fn new(turn: f32, tilt: f32, roll: f32, zoom: f32) -> Self {
        let (st, ct) = turn.sin_cos();
        let (sp, cp) = tilt.sin_cos();
        let (sr, cr) = roll.sin_cos();
        // Roll in the picture, then tilt about x, then turn about y.
        let rows = [
            [ct * cr + st * sp * sr, -ct * sr + st * sp * cr, st * cp],
            [cp * sr, cp * cr, -sp],
            [-st * cr + ct * sp * sr, st * sr + ct * sp * cr, ct * cp],
        ];
        let depth = rows[2][2];
        Self {
            rows,
            centre: (rows[0][2] * FOCAL / depth, rows[1][2] * FOCAL / depth),
            zoom: zoom * depth,
        }
    }

    /// The point of the surface behind a point of the picture, and how large
    /// one unit of the surface looks there.
    #[inline]
    pub fn at(&self, x: f32, y: f32) -> (f32, f32, f32) {
        let ray = |r: [f32; 3]| r[0] * x + r[1] * y + r[2] * FOCAL;
        let depth = (ray(self.rows[2]) / FOCAL).max(0.08);
        let k = 1.0 / self.zoom;
        let u = (ray(self.rows[0]) / depth - self.centre.0) * k * self.rows[2][2];
        let v = (ray(self.rows[1]) / depth - self.centre.1) * k * self.rows[2][2];
        (u, v, depth * self.zoom / self.rows[2][2])
    }
}

/// What lies out of focus behind a building: sky, trees, a neighbour's roof.
#[derive(Clone, Copy, Debug)]
pub struct Outdoors {
    shift: f32,
    horizon: f32,
    sky: Rgb,
    haze: Rgb,
    trees: Rgb,
}

impl Outdoors {
    /// A background with its horizon at `horizon` (picture units, down is +).
    pub fn new(dice: &mut Dice, horizon: f32) -> Self {
        Self {
            shift: dice.range(0.0, 9.0),
            horizon,
            sky: dice.pick([hex(0x6f9fd0), hex(0x9db4c8), hex(0x86aad2)]),
            haze: dice.pick([hex(0xdde6ec), hex(0xe3e3de)]),
            trees: dice.pick([hex(0x44582f), hex(0x59622f), hex(0x3d5236)]),
        }
    }

    /// The colour seen at a point of the picture.
    #[inline]
    pub fn at(&self, x: f32, y: f32) -> Rgb {
        let s = self.shift;
        let up = ramp(self.horizon + 0.05, self.horizon - 0.75, y);
        let veil = ramp(-0.1, 0.7, clouds(x * 0.16 + s, y * 0.30 + s) + 0.25);
        let sky = self
            .haze
            .mix(self.sky, up * 0.9)
            .mix(hex(0xf4f4f2), veil * 0.75)
            * 1.05;
        let crown = self.horizon
            + clouds(x * 0.22 + s * 2.0, s) * 0.17
            + clouds(x * 0.9 + s, s + 0.3) * 0.035;
        let wood = ramp(crown - 0.012, crown + 0.012, y);
        if wood <= 0.0 {
            return sky;
        }
        let leaf = clouds(x * 0.5 + s, y * 0.5) + clouds(x * 1.7, y * 1.7 + s) * 0.9;
        let deep = ramp(crown, crown + 0.5, y);
        let green = self.trees * (0.55 + 0.45 * leaf.max(-0.8)) * (1.0 - 0.45 * deep);
        let lawn = hex(0x6d7d42) * (0.75 + 0.2 * leaf);
        let meadow = ramp(self.horizon + 0.28, self.horizon + 0.34, y + leaf * 0.02);
        sky.mix(green.mix(lawn, meadow), wood)
    }
}
