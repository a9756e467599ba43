//! Roofs: the torn verge, the missing tile, the finished field and the
//! battens before it.

use super::super::brush::{
    Crack, EDGE, Outdoors, Rgb, Texel, View, block, bulge, hex, inside, ramp,
};
use super::super::noise::{Dice, cell, clouds, floor, fract, pebbles, seams};

/// A field of pantiles: hump on the left, trough on the right, each course
/// lying on the one below. `u` runs right, `v` down the roof.
#[derive(Clone)]
struct Pantiles {
    seed: u32,
    wide: f32,
    long: f32,
    clay: Rgb,
    age: f32,
    shift: f32,
}

/// Where on which tile a point lies.
struct Place {
    column: i32,
    course: i32,
    across: f32,
    down: f32,
    hump: f32,
}

impl Pantiles {
    fn new(dice: &mut Dice, age: f32) -> Self {
        let wide = dice.range(0.165, 0.19);
        Self {
            seed: dice.bits() as u32,
            wide,
            long: wide * 1.22,
            clay: dice.pick([
                hex(0x8f5a4a),
                hex(0x7c4a40),
                hex(0x55524f),
                hex(0x6b463b),
                hex(0x97674f),
            ]),
            age,
            shift: dice.range(0.0, 9.0),
        }
    }

    fn place(&self, u: f32, v: f32) -> Place {
        let across = fract(u / self.wide);
        let hump = if across < 0.46 {
            let q = (across - 0.23) / 0.23;
            (1.0 - q * q).max(0.0).sqrt() * 0.85 + 0.15 * (1.0 - q * q)
        } else {
            let q = (across - 0.73) / 0.27;
            -0.30 * (1.0 - q * q)
        };
        let along = v / self.long + hump * 0.10;
        Place {
            column: floor(u / self.wide),
            course: floor(along),
            across,
            down: fract(along),
            hump,
        }
    }

    /// The tile's surface; `scale` is how large the roof looks there.
    fn texel(&self, at: &Place, u: f32, v: f32, scale: f32) -> Texel {
        let own = cell(at.column, at.course, self.seed);
        let tone = cell(at.course, at.column, self.seed ^ 0x4d);
        let s = self.shift;
        let blotch = clouds(u * 0.55 + s + own * 3.0, v * 0.55 + tone * 5.0);
        let sand = clouds(u * 3.1 + own, v * 3.1 + s);
        let run = clouds(u * 2.6 + s, v * 0.22 + own);
        let grit = clouds(u * 9.7 + own, v * 9.7 + s);
        let mut rgb = self.clay * (0.80 + 0.34 * own + 0.16 * blotch + 0.15 * sand + 0.17 * grit);
        rgb = rgb.mix(rgb * Rgb::new(1.12, 0.92, 0.78), tone * 0.7);
        rgb = rgb.mix(
            rgb * Rgb::new(0.55, 0.55, 0.56),
            self.age * ramp(0.0, 0.55, run + 0.3 * blotch) * 0.85,
        );
        // Moss sits where water stands: under the upper course and in troughs.
        let wet = ramp(0.20, 0.0, at.down) + ramp(0.0, -0.25, at.hump) * 0.5;
        let moss = self.age
            * ramp(
                0.12,
                0.40,
                clouds(u * 1.2 + s, v * 1.2) * 0.8 + wet * 0.28 - 0.08,
            );
        let tuft = pebbles(u * 3.3, v * 3.3 + s);
        rgb = rgb.mix(
            hex(0x454c25) * (0.75 + 0.5 * sand + 0.5 * grit + 0.3 * tuft),
            moss * ramp(-0.3, 0.1, grit + sand + moss - 0.6) * 0.85,
        );
        let spot = pebbles(u * 1.3 + s, v * 1.3) + sand * 0.22 + grit * 0.10 + blotch * 0.25;
        let lichen =
            self.age * ramp(0.17, 0.08, spot) * ramp(0.05, 0.25, clouds(u * 0.3, v * 0.3 + s));
        rgb = rgb.mix(hex(0xa9a68f), lichen * 0.6);
        let mut height = self.wide * (0.27 * at.hump + 0.26 * at.down)
            + moss * 0.003 * (1.0 - tuft)
            + sand * 0.0010
            + grit * 0.0004;
        let front = ramp(0.955, 0.972, at.down);
        rgb = rgb * (1.0 - 0.42 * front);
        height -= self.wide * 0.05 * ramp(0.95, 1.0, at.down);
        let joint = ramp(0.022, 0.006, (at.across - 0.465).abs());
        rgb = rgb * (1.0 - 0.72 * joint);
        height -= joint * 0.006;
        Texel::new(rgb, height * scale, 0.06 * (1.0 - moss))
    }
}

/// What shows through a hole: underlay, a batten, torn edges of shade.
fn under_roof(u: f32, v: f32, scale: f32, long: f32, shift: f32) -> Texel {
    let fold = clouds(u * 0.7 + shift, v * 0.5);
    let weave = clouds(u * 6.0, v * 6.0 + shift);
    let sheet = hex(0x4c5157) * (0.75 + 0.25 * fold + 0.15 * weave);
    let base = Texel::new(sheet, (-0.050 + fold * 0.008) * scale, 0.05);
    let along = fract(v / long + 0.32);
    let batten = inside((along - 0.5).abs() * long - 0.024);
    let grain = clouds(u * 0.35 + shift, v * 7.0);
    let wood = hex(0xa98452) * (0.78 + 0.34 * grain + 0.1 * weave);
    base.under(Texel::new(wood, -0.014 * scale, 0.04), batten)
}

/// Tile field in which a tile has slid out of its course.
pub fn missing(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let tiles = Pantiles::new(dice, 0.9);
    let view = View::new(
        dice.range(-0.35, 0.35),
        dice.range(-0.5, -0.3),
        dice.range(-0.07, 0.07),
        dice.range(0.85, 1.05),
    );
    let hole = (dice.below(2) as i32 - 1, dice.below(2) as i32 - 1);
    let second = dice.below(3) > 0;
    let slid_turn = dice.range(-0.3, 0.3);
    let slid_at = (
        (hole.0 as f32 + 0.5 + dice.range(-0.15, 0.2)) * tiles.wide,
        (hole.1 as f32 + 1.95 + dice.range(0.0, 0.3)) * tiles.long,
    );
    let chip = Crack::new(dice, (-0.2, 0.055), (0.2, 0.03), 0.012);
    let (st, ct) = slid_turn.sin_cos();
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        let at = tiles.place(u, v);
        let gone = |c: i32, r: i32| (c, r) == hole || (second && (c, r) == (hole.0 + 1, hole.1));
        let mut texel = if gone(at.column, at.course) {
            under_roof(u, v, scale, tiles.long, tiles.shift)
        } else {
            tiles.texel(&at, u, v, scale)
        };
        // The slid tile lies crooked on the course below, one corner off.
        let (dx, dy) = (u - slid_at.0, v - slid_at.1);
        let (lu, lv) = (dx * ct + dy * st, dy * ct - dx * st);
        let shape = block(lu, lv, tiles.wide * 0.54, tiles.long * 0.56, 0.008);
        if shape < EDGE * 2.0 {
            let broken = if lv > 0.0 && lu > 0.0 {
                chip.near(lu, lv - 0.03).0
            } else {
                1.0
            };
            let cut = lu > 0.015 && lv > 0.062 - lu * 0.25 + clouds(lu * 2.0, 0.3) * 0.02;
            if !cut {
                let mut own = tiles.place((lu / tiles.wide + 0.5) * tiles.wide * 0.93, 0.0);
                own.down = (lv / tiles.long * 0.85 + 0.5).clamp(0.02, 0.94);
                own.column = 40;
                own.course = 3;
                let mut top = tiles.texel(&own, lu + 3.0, lv + 2.0, scale);
                top.height += 0.042 * scale;
                let edge = ramp(0.010, 0.0, broken.min(-shape));
                top.rgb = top.rgb.mix(tiles.clay * 1.3, edge * 0.5);
                texel = texel.under(top, inside(shape));
            }
        }
        texel
    }
}

/// The finished field: new tiles, a ridge on top, nothing wrong.
pub fn done(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let tiles = Pantiles::new(dice, 0.06);
    let view = View::new(
        dice.range(-0.4, 0.4),
        -dice.range(0.55, 0.72),
        dice.range(-0.04, 0.04),
        dice.range(0.5, 0.62),
    );
    let ridge = dice.range(-0.62, -0.5);
    let behind = Outdoors::new(dice, 0.1);
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        let from_ridge = v - ridge;
        let cap_wide = 0.105;
        let sag = clouds(u * 0.2, 0.7) * 0.004;
        if from_ridge + sag < -cap_wide * 0.55 {
            return Texel::far(behind.at(x, y + 0.05));
        }
        let at = tiles.place(u, v);
        let mut texel = tiles.texel(&at, u, v, scale);
        let across = (from_ridge + sag) / cap_wide;
        if across < 1.0 {
            let n = floor(u / 0.36);
            let along = fract(u / 0.36);
            let tone = cell(n, 7, tiles.seed);
            let sand = clouds(u * 3.0, v * 3.0);
            let mut clay = tiles.clay * (0.85 + 0.2 * tone + 0.1 * sand);
            let lip = ramp(0.90, 0.93, along);
            clay = clay * (1.0 - 0.5 * ramp(0.02, 0.0, along));
            let round = bulge(across.max(-0.5) - 0.1, 1.0) * cap_wide * 0.75;
            let cap = Texel::new(clay, (0.075 + round + lip * 0.012) * scale, 0.12);
            let wave = 0.93 + 0.05 * at.hump;
            texel = texel.under(cap, inside((across - wave) * cap_wide));
        }
        texel
    }
}

/// Underlay and battens, ready for tiles; a stack of tiles lies on them.
pub fn battens(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let view = View::new(
        dice.range(-0.45, 0.45),
        -dice.range(0.35, 0.6),
        dice.range(-0.06, 0.06),
        dice.range(0.55, 0.75),
    );
    let shift = dice.range(0.0, 9.0);
    let sheet_rgb = dice.pick([hex(0x5d6f86), hex(0x76808a), hex(0x4f6a5c)]);
    let clay = dice.pick([hex(0x965a48), hex(0x5b5654)]);
    let top = -dice.range(0.75, 0.95);
    let behind = Outdoors::new(dice, 0.05);
    let first = (dice.range(-0.45, -0.15), dice.range(-0.15, 0.15));
    let stacks = [
        first,
        (first.0 + 0.42, first.1 + dice.range(-0.04, 0.04)),
        (first.0 + 0.84, first.1 - 0.41),
    ];
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        if v < top {
            return Texel::far(behind.at(x, y));
        }
        let wave = clouds(u * 0.5 + shift, v * 0.35);
        let weave = clouds(u * 5.0, v * 5.0);
        let lap = fract((v + 0.31) / 0.72);
        let mut rgb = sheet_rgb * (0.86 + 0.22 * wave + 0.12 * weave);
        rgb = rgb * (1.0 - 0.25 * ramp(0.035, 0.028, lap));
        let dust = ramp(0.1, 0.5, clouds(u * 0.9, v * 0.9 + shift));
        rgb = rgb.mix(hex(0xb9a98c), dust * 0.35);
        let mut texel = Texel::new(rgb, wave * 0.006 * scale, 0.10);
        let rafter = floor(u / 0.42 + 0.5);
        let off = u - rafter as f32 * 0.42 + clouds(0.3, v * 0.15 + rafter as f32) * 0.005;
        let wood = |tone: f32, along: f32, across: f32| {
            let grain = clouds(along * 0.3 + tone * 9.0, across * 6.0 + tone * 5.0);
            let knot = ramp(
                0.10,
                0.05,
                pebbles(along * 0.25 + tone, across * 0.9 + tone * 3.0),
            );
            (hex(0xc79d63) * (0.78 + 0.25 * tone + 0.30 * grain)).mix(hex(0x6e4524), knot * 0.7)
        };
        let counter = wood(cell(rafter, 1, 3), v, off);
        texel = texel.under(
            Texel::new(counter, 0.030 * scale, 0.05),
            inside(off.abs() - 0.024),
        );
        let row = floor(v / 0.205);
        let lath_v = v - (row as f32 + 0.5) * 0.205 + clouds(u * 0.12, row as f32 * 0.37) * 0.008;
        let mut lath = wood(cell(row, floor(u / 1.4 + cell(row, 2, 9)), 5), u, lath_v);
        let nail = (u - rafter as f32 * 0.42 - 0.006).hypot(lath_v);
        lath = lath.mix(hex(0x3c3d40), ramp(0.0055, 0.004, nail));
        texel = texel.under(
            Texel::new(lath, 0.060 * scale, 0.05),
            inside(lath_v.abs() - 0.021),
        );
        // Stacks of tiles, each tile a little aside.
        for (pile, at) in stacks.iter().enumerate() {
            if (u - at.0).abs() > 0.2 || (v - at.1).abs() > 0.3 {
                continue;
            }
            for n in 0..6 {
                let nudge = cell(n, pile as i32, 17) - 0.5;
                let (su, sv) = (u - at.0 - nudge * 0.022, v - at.1 + n as f32 * 0.022);
                let body = block(su, sv, 0.125, 0.155, 0.01);
                if body > EDGE {
                    continue;
                }
                let q = (fract(su / 0.125) - 0.5) * 2.0;
                let hump = 0.024 * (1.0 - q * q);
                let rim = ramp(-0.016, -0.002, body);
                let tone = 0.80 + 0.3 * cell(n, pile as i32, 2) + 0.18 * weave + 0.15 * wave;
                let lift = 0.085 + n as f32 * 0.020 + hump - 0.01 * rim;
                texel = texel.under(
                    Texel::new(clay * (tone - 0.3 * rim), lift * scale, 0.08),
                    inside(body),
                );
            }
        }
        texel
    }
}

/// The verge (Ortgang): the roof's right edge, its tiles cracked and torn off.
pub fn verge(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let tiles = Pantiles::new(dice, 0.75);
    let view = View::new(
        dice.range(0.25, 0.45),
        -dice.range(0.30, 0.5),
        dice.range(-0.16, 0.02),
        dice.range(0.85, 1.0),
    );
    let columns = dice.below(2) as i32 + 1;
    let edge = columns as f32 * tiles.wide + 0.03;
    let behind = Outdoors::new(dice, dice.clone().range(-0.1, 0.1));
    let torn = -1 - dice.below(2) as i32;
    let long = tiles.long;
    let course_v = move |n: i32| n as f32 * long;
    let tear = Crack::new(
        dice,
        (edge - 0.16, course_v(torn) - 0.02),
        (edge - 0.05, course_v(torn + 1) + 0.02),
        0.016,
    );
    let crack = Crack::new(
        dice,
        (edge - 0.20, course_v(torn + 1) + 0.02),
        (edge + 0.01, course_v(torn + 2) - 0.04),
        0.010,
    );
    let hair = Crack::new(
        dice,
        (edge - 0.17, course_v(torn + 2) + 0.16),
        (edge - 0.02, course_v(torn + 2) + 0.05),
        0.008,
    );
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        let shift = tiles.shift;
        // The verge tile's long flange wavers a little from course to course.
        let course = floor(v / tiles.long);
        let down = fract(v / tiles.long);
        let jut = (cell(course, 3, tiles.seed) - 0.5) * 0.012;
        let rim = edge + jut + down * 0.006;
        let gable = u - rim;
        if gable > 0.012 {
            // The bargeboard shows below the flange, seen from above.
            let board = gable < 0.075;
            let far = behind.at(x, y);
            if !board {
                return Texel::far(far);
            }
            let grain = clouds(v * 0.3 + shift, u * 5.0);
            let paint = ramp(0.05, 0.25, clouds(u * 1.5, v * 0.6 + shift));
            let rgb = hex(0x6d5a48).mix(hex(0xb8b2a4), paint) * (0.8 + 0.3 * grain);
            let below = Texel::new(rgb, (-0.06 - gable * 0.6) * scale, 0.04);
            return Texel::far(far).under(below, inside(gable - 0.073));
        }
        let at = tiles.place(u, v);
        let mut texel = tiles.texel(&at, u, v, scale);
        let from_rim = rim - u;
        if from_rim < 0.105 {
            // Verge tile: flat top, then a raised flange over the edge.
            let mut own = tiles.place(0.0, v);
            own.down = down;
            own.course = course;
            own.column = 60;
            own.across = 0.7;
            own.hump = 0.0;
            let mut top = tiles.texel(&own, u, v, scale);
            let ridge = ramp(0.045, 0.028, from_rim);
            top.height += (0.020 + 0.030 * ridge - 0.03 * ramp(0.006, -0.01, from_rim)) * scale;
            texel = texel.under(top, inside(from_rim - 0.10));
        }
        let clean = tiles.clay * 1.25;
        if v > course_v(torn) - 0.012 && v < course_v(torn + 1) + 0.005 {
            let rag = clouds(u * 2.2 + shift, v * 2.2) * 0.012;
            let lost =
                u - tear.x_at(v.clamp(course_v(torn) - 0.01, course_v(torn + 1) + 0.01)) + rag;
            if lost > -0.012 && from_rim > -0.02 {
                let face = ramp(-0.010, -0.001, lost);
                texel.rgb = texel.rgb.mix(clean, face * 0.85);
                texel.height -= face * 0.004 * scale;
                let hole = under_roof(u, v, scale, tiles.long, shift);
                texel = texel.under(hole, inside(-lost));
            }
        }
        for (line, width) in [(&crack, 0.0042), (&hair, 0.0016)] {
            let (d, along) = line.near(u, v);
            let wide = width * (1.0 - 0.5 * along) + clouds(u * 3.0, v * 3.0) * 0.001;
            let gap = ramp(wide + 0.001, wide - 0.0006, d);
            texel.rgb = texel.rgb.mix(clean, ramp(wide + 0.006, wide, d) * 0.35);
            texel.rgb = texel.rgb * (1.0 - 0.9 * gap);
            texel.height -= gap * 0.01 * scale;
        }
        // Crumbs of clay where it broke.
        let crumbs = ramp(0.16, 0.10, pebbles(u * 1.3 + shift, v * 1.3))
            * ramp(
                0.16,
                0.05,
                (u - edge + 0.16).abs() + (v - course_v(torn + 1)).abs() * 0.6,
            );
        texel.rgb = texel.rgb.mix(clean, crumbs * 0.8);
        texel.height += crumbs * 0.006 * scale;
        texel.rgb = texel.rgb * (1.0 - 0.1 * ramp(0.03, 0.0, seams(u * 2.0, v * 2.0)));
        texel
    }
}
