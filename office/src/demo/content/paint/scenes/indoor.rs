//! Inside: the damp cellar wall, the fuse box, the cracked bathroom tiles, the
//! ceiling with its water mark.

use super::super::brush::{Crack, Rgb, Texel, View, block, bulge, hex, inside, line, ramp};
use super::super::noise::{Dice, cell, clouds, floor, fract, pebbles, seams};

/// Cellar wall: damp from below, salt line, flaking paint, mould.
pub fn cellar(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let view = View::new(
        dice.range(-0.35, 0.35),
        dice.range(-0.15, 0.05),
        dice.range(-0.05, 0.05),
        dice.range(0.85, 1.05),
    );
    let shift = dice.range(0.0, 9.0);
    let paint = dice.pick([hex(0xcfc9bb), hex(0xc9c6b2), hex(0xbfc4c0)]);
    let line_v = dice.range(-0.05, 0.10);
    let mould_at = (dice.range(-0.4, 0.4), dice.range(-0.05, 0.2));
    let pipe_v = -dice.range(0.30, 0.40);
    let floor_v = dice.range(0.36, 0.42);
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        if v > floor_v {
            let far = (v - floor_v) * 2.2;
            let (fu, fv) = (u / (1.0 + far), far);
            let fine = clouds(fu * 3.0 + shift, fv * 3.0);
            let puddle = ramp(0.05, 0.25, clouds(fu * 0.5 + shift, fv * 0.6 + 0.4));
            let rgb = hex(0x77736b)
                * (0.85 + 0.25 * fine + 0.2 * clouds(fu * 0.4, fv))
                * (1.0 - 0.45 * puddle);
            let corner = 1.0 - 0.55 * ramp(0.06, 0.0, v - floor_v);
            return Texel::new(
                rgb * corner,
                (0.02 + fine * 0.002 * (1.0 - puddle)) * scale,
                0.05 + 0.5 * puddle,
            );
        }
        let blot = clouds(u * 0.35 + shift, v * 0.35);
        let mid = clouds(u * 1.1 + shift, v * 1.1 + shift);
        let fine = clouds(u * 4.0, v * 4.0 + shift);
        let roll = clouds(u * 0.9 + shift, v * 2.6);
        let height_of_damp = line_v
            + clouds(u * 0.28 + shift, 0.4) * 0.14
            + clouds(u * 1.1, v * 0.8 + shift) * 0.035;
        let damp = ramp(height_of_damp - 0.03, height_of_damp + 0.05, v);
        let wet = ramp(
            height_of_damp + 0.06,
            height_of_damp + 0.32,
            v + blot * 0.12,
        );
        let mut rgb = paint * (0.90 + 0.10 * blot + 0.05 * mid + 0.04 * fine);
        rgb = rgb.mix(rgb * Rgb::new(0.72, 0.62, 0.46), damp * 0.85);
        rgb = rgb.mix(rgb * Rgb::new(0.48, 0.44, 0.38), wet * 0.9);
        // The tide mark: brown rim with salt above it.
        let rim = ramp(0.022, 0.0, (v - height_of_damp - mid * 0.015).abs());
        rgb = rgb.mix(hex(0x8b6a3f), rim * 0.45);
        let salt =
            ramp(0.075, 0.0, (v - height_of_damp + 0.028).abs()) * ramp(0.0, 0.4, mid + fine * 0.5);
        rgb = rgb.mix(hex(0xf0efe9), salt * 0.85);
        let mut height = 0.0022 * roll + 0.0013 * fine + salt * 0.004;
        let mut gloss = 0.03 + 0.10 * wet;
        // Paint that flaked off, down to plaster and, deeper, to brick.
        let loose = mid * 0.8 + blot * 0.6 + fine * 0.12 + damp * 0.42 - 0.62;
        let flake = ramp(0.0, 0.012, loose);
        if flake > 0.0 {
            let deep = ramp(0.22, 0.24, loose + seams(u * 1.3, v * 1.3) * 0.05);
            let raw = hex(0x9b8c74) * (0.8 + 0.25 * fine + 0.2 * mid);
            let row = floor(v / 0.075);
            let bu = fract(u / 0.22 + f32::from((row & 1) as u8) * 0.5) * 0.22;
            let mortar = ramp(0.012, 0.008, bu.min(fract(v / 0.075) * 0.075));
            let brick = (hex(0x7d4c3c) * (0.75 + 0.4 * cell(floor(u / 0.22), row, 3) + 0.3 * fine))
                .mix(hex(0x8d867a), mortar);
            let under = raw.mix(brick, deep) * (1.0 - 0.4 * wet);
            let lip = ramp(0.0, 0.02, loose) * ramp(0.05, 0.02, loose);
            rgb = rgb.mix(under, flake);
            rgb = rgb.mix(hex(0xe5e0d2), lip * 0.25 * (1.0 - flake));
            height -= flake * 0.010 + deep * (0.012 + 0.008 * mortar) - fine * flake * 0.003;
            gloss = 0.02;
        }
        let (dx, dy) = (u - mould_at.0, (v - mould_at.1) * 1.25);
        let near = ramp(0.42, 0.05, (dx * dx + dy * dy).sqrt() + mid * 0.10);
        let dots = pebbles(u * 2.1 + shift, v * 2.1);
        let specks = pebbles(u * 4.3, v * 4.3 + shift);
        let spread = near * (0.55 + 0.6 * mid);
        let mould = ramp(0.46 * spread + 0.04, 0.28 * spread, dots) * 0.85
            + ramp(0.5 * spread, 0.2 * spread, specks) * 0.6;
        let tone = hex(0x23271f).mix(hex(0x3c4632), ramp(-0.2, 0.3, mid));
        rgb = rgb.mix(tone, (mould * near).min(0.92));
        let mut texel = Texel::new(rgb, height * scale, gloss);
        let skirt = ramp(floor_v - 0.012, floor_v, v + fine * 0.01);
        texel.rgb = texel.rgb * (1.0 - 0.5 * skirt);
        // Heating pipe along the top, lagged in part.
        let d = (v - pipe_v - u * 0.015).abs();
        let lagged = u < 0.12;
        let r = if lagged { 0.040 } else { 0.020 };
        let band = ramp(0.006, 0.003, (fract(u / 0.17) * 0.17 - 0.08).abs());
        let tone = if lagged {
            hex(0xb9b7b0) * (0.85 + 0.2 * mid - 0.35 * band)
        } else {
            hex(0x8a6248) * (0.8 + 0.3 * mid + 0.2 * fine)
        };
        texel = texel.under(
            Texel::new(
                tone,
                (0.045 + bulge(d, r)) * scale,
                if lagged { 0.08 } else { 0.5 },
            ),
            inside(d - r),
        );
        texel
    }
}

/// A sub-distribution board with its door off: rows of breakers, wires.
pub fn fuse_box(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let view = View::new(
        dice.range(-0.28, 0.28),
        dice.range(-0.1, 0.15),
        dice.range(-0.04, 0.04),
        dice.range(0.98, 1.12),
    );
    let shift = dice.range(0.0, 9.0);
    let seed = dice.bits() as u32;
    let wall = dice.pick([hex(0xb9b2a4), hex(0xa9aca8), hex(0xc4b898)]);
    let burnt = (dice.below(9) as i32 + 1, dice.below(3) as i32);
    let wires = [
        hex(0x2f5fa8),
        hex(0x7a4a26),
        hex(0x26282a),
        hex(0x8a8d8e),
        hex(0x2f5fa8),
        hex(0x8b8f2a),
    ];
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        let fine = clouds(u * 4.0 + shift, v * 4.0);
        let mut texel = {
            let blot = clouds(u * 0.5 + shift, v * 0.5);
            let rough = pebbles(u * 3.0, v * 3.0 + shift);
            Texel::new(
                wall * (0.86 + 0.12 * blot + 0.06 * fine),
                (0.003 * (1.0 - rough) + fine * 0.001) * scale,
                0.0,
            )
        };
        // Cables in the wall's chase above and below the cabinet.
        for n in 0..6 {
            let base = -0.20 + n as f32 * 0.08;
            let path = base + clouds(v * 0.25, n as f32 * 0.31 + shift) * 0.035
                - (v + 0.5).max(-0.2) * 0.0;
            if v < -0.40 {
                let d = (u - path).abs();
                let r = 0.010 + cell(n, 1, 3) * 0.004;
                let rgb = hex(0xb5b6b2) * (0.8 + 0.15 * cell(n, 2, 3) + 0.08 * fine);
                texel = texel.under(
                    Texel::new(rgb, (0.02 + bulge(d, r)) * scale, 0.25),
                    inside(d - r),
                );
            }
        }
        let cabinet = block(u, v, 0.40, 0.435, 0.016);
        if cabinet > 0.03 {
            return texel;
        }
        let shell = hex(0xdedfdb) * (0.97 + 0.03 * fine);
        let lid = ramp(0.0, -0.006, cabinet);
        texel = texel.under(
            Texel::new(shell, (0.050 + 0.012 * lid) * scale, 0.3),
            inside(cabinet),
        );
        let well = block(u, v, 0.366, 0.398, 0.008);
        let inner = Texel::new(hex(0xc3c5c2) * (0.9 + 0.05 * fine), 0.016 * scale, 0.1);
        texel = texel.under(inner, inside(well));
        if well > 0.0 {
            return texel;
        }
        let row = floor((v + 0.375) / 0.25).clamp(0, 2);
        let rv = v + 0.375 - (row as f32 + 0.5) * 0.25;
        // Wires: bow out of the breakers' tops into the duct between rows.
        if rv.abs() > 0.062 {
            for n in 0..12 {
                let own = cell(n, row, seed);
                let side = i32::from(rv >= 0.0);
                let colour = wires[(hash_pick(n, row, side) % 6) as usize];
                let start = -0.324 + (n as f32 + 0.25 + 0.5 * cell(n, side, 8)) * 0.0545;
                let bend = (rv.abs() - 0.062) * (own - 0.5) * 2.6;
                let d = (u - start - bend - clouds(rv * 0.5, own * 7.0) * 0.012).abs();
                let r = 0.0058;
                let rgb = colour * (0.95 + 0.2 * fine);
                texel = texel.under(
                    Texel::new(rgb, (0.022 + own * 0.012 + bulge(d, r)) * scale, 0.25),
                    inside(d - r),
                );
            }
        }
        // Slotted duct between the rows: the wires end in it.
        let duct = block(u, rv.abs() - 0.125, 0.352, 0.017, 0.002);
        if duct < 0.002 {
            let slot = ramp(0.0024, 0.0012, (fract(u / 0.0125) * 0.0125 - 0.006).abs());
            let rgb = hex(0x9b9ea0) * (0.95 + 0.05 * fine) * (1.0 - 0.45 * slot);
            let lid = Texel::new(rgb, (0.048 - 0.004 * slot) * scale, 0.15);
            texel = texel.under(lid, inside(duct));
        }
        let rail = block(u, rv, 0.350, 0.020, 0.002);
        texel = texel.under(Texel::new(hex(0xa9adaf), 0.02 * scale, 0.5), inside(rail));
        let slot = floor((u + 0.327) / 0.0545);
        if (0..12).contains(&slot) && rv.abs() < 0.08 {
            let su = u + 0.327 - (slot as f32 + 0.5) * 0.0545;
            let wide_first = row == 0 && slot < 4;
            let empty = row == 2 && slot > 8;
            let own = cell(slot, row, seed ^ 5);
            let (bu, half) = if wide_first {
                (u + 0.327 - 2.0 * 0.0545, 0.107)
            } else {
                (su, 0.0262)
            };
            let body = block(bu, rv, half, 0.064, 0.003);
            let mut tone = hex(0xe4e4de) * (0.94 + 0.06 * own + 0.03 * fine);
            if empty {
                tone = hex(0xd2d4d0);
            }
            let chin = block(bu, rv, half, 0.036, 0.003);
            let mut lift = if empty {
                0.040
            } else {
                0.046 + 0.014 * inside(chin)
            };
            let dead = (slot, row) == burnt;
            if dead || (slot - 1, row) == burnt {
                let d =
                    (su * su + (rv + 0.03) * (rv + 0.03)).sqrt() + clouds(u * 2.0, v * 2.0) * 0.02;
                let soot = ramp(0.085, 0.01, d + if dead { 0.0 } else { 0.05 });
                tone = tone.mix(hex(0x1c1713), soot * 0.95);
                lift -= soot * 0.004 * fine.abs();
            }
            let screw = (su * su + (rv.abs() - 0.052) * (rv.abs() - 0.052)).sqrt();
            if !empty {
                tone = tone.mix(hex(0x55585a), ramp(0.0080, 0.0070, screw));
                tone = tone.mix(
                    hex(0x101112),
                    ramp(0.0018, 0.001, (su + rv.abs() - 0.052).abs()) * ramp(0.007, 0.006, screw),
                );
            }
            texel = texel.under(Texel::new(tone, lift * scale, 0.2), inside(body));
            if !empty {
                let tripped = dead || own > 0.93;
                let throw = if tripped { 0.012 } else { -0.010 };
                let cut = block(
                    bu,
                    rv + 0.002,
                    half * if wide_first { 0.3 } else { 0.42 },
                    0.022,
                    0.002,
                );
                texel = texel.under(Texel::new(hex(0x2b2d2f), 0.052 * scale, 0.1), inside(cut));
                let lever = block(
                    bu,
                    rv - throw,
                    half * if wide_first { 0.26 } else { 0.36 },
                    0.010,
                    0.003,
                );
                let blue = if wide_first {
                    hex(0x2a2c2e)
                } else {
                    hex(0x23476f)
                };
                texel = texel.under(Texel::new(blue, 0.070 * scale, 0.4), inside(lever));
                if wide_first {
                    let test = block(bu - 0.072, rv + 0.006, 0.012, 0.009, 0.002);
                    texel =
                        texel.under(Texel::new(hex(0xd9b422), 0.068 * scale, 0.3), inside(test));
                }
                // Small print nobody can read.
                let (pu, pv) = (floor(su / 0.0026), floor(rv / 0.0042));
                if (-6..6).contains(&pu)
                    && (rv - 0.031).abs() < 0.005
                    && cell(pu, pv + row * 50, slot as u32) > 0.45
                {
                    texel.rgb = texel.rgb * 0.45;
                }
            }
        }
        // Label strip with handwriting under each row.
        let strip = block(u, rv - 0.094, 0.330, 0.014, 0.001);
        if strip < 0.0 {
            let mut paper = hex(0xefeee6) * (0.95 + 0.03 * fine);
            let n = floor((u + 0.327) / 0.0545);
            let lu = fract((u + 0.327) / 0.0545) * 0.0545;
            let wave = (lu * 700.0 + cell(n, row, 3) * 6.0).sin()
                * 0.0045
                * (0.4 + cell(floor(lu / 0.008), n, 6));
            let ink = ramp(0.0013, 0.0006, (rv - 0.094 - wave).abs())
                * ramp(0.003, 0.006, lu)
                * ramp(0.050, 0.040, lu + cell(n, row, 9) * 0.02);
            paper = paper.mix(hex(0x27346a), ink * 0.9);
            paper = paper.mix(hex(0x9aa0a0), ramp(0.0012, 0.0006, lu));
            texel = Texel::new(paper, 0.05 * scale, 0.1);
        }
        let dust = ramp(0.1, 0.5, clouds(u * 0.7 + shift, v * 0.7)) * 0.10;
        texel.rgb = texel.rgb.mix(hex(0xa99c84), dust);
        texel
    }
}

fn hash_pick(n: i32, row: i32, side: i32) -> u32 {
    super::super::noise::hash(n, row * 2 + side, 41)
}

/// Glazed wall tiles with a crack across three of them, bath rim below.
pub fn bath(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let view = View::new(
        dice.range(-0.4, 0.4),
        dice.range(-0.1, 0.2),
        dice.range(-0.05, 0.05),
        dice.range(0.85, 1.1),
    );
    let shift = dice.range(0.0, 9.0);
    let seed = dice.bits() as u32;
    let glaze = dice.pick([hex(0xdfe3e2), hex(0xd3dbdc), hex(0xe4ddcf), hex(0xb9cdd0)]);
    let (wide, tall) = dice.pick([(0.25, 0.20), (0.20, 0.20), (0.34, 0.22)]);
    let a = (dice.range(-0.42, -0.25), dice.range(-0.32, -0.18));
    let b = (dice.range(0.12, 0.35), dice.range(0.10, 0.20));
    let main = Crack::new(dice, a, b, 0.016);
    let fork_at = ((a.0 + b.0) * 0.5, (a.1 + b.1) * 0.5);
    let fork_to = (
        fork_at.0 + dice.range(0.1, 0.25),
        fork_at.1 - dice.range(0.1, 0.2),
    );
    let fork = Crack::new(dice, fork_at, fork_to, 0.012);
    let rim_v = dice.range(0.34, 0.40);
    let drill = (dice.range(0.15, 0.4), dice.range(-0.35, -0.2));
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        let fine = clouds(u * 3.0 + shift, v * 3.0);
        let soft = clouds(u * 0.5 + shift, v * 0.5);
        if v > rim_v {
            let d = v - rim_v;
            let roll = (1.0 - ((d - 0.035) / 0.035).powi(2)).max(0.0).sqrt();
            let white = hex(0xe9eae6) * (0.95 + 0.03 * soft);
            let inner = ramp(0.09, 0.30, d);
            let silicone = ramp(0.014, 0.012, d + fine * 0.002);
            let mouldy = ramp(0.10, 0.35, clouds(u * 1.3 + shift, 0.4) + fine * 0.3);
            let mut rgb = white.mix(white * Rgb::new(0.80, 0.84, 0.88), inner * 0.7);
            rgb = rgb.mix(hex(0xd6d3c8).mix(hex(0x3a3a34), mouldy * 0.75), silicone);
            let lift = 0.05 + 0.03 * roll - 0.10 * inner;
            return Texel::new(rgb, lift * scale, 0.8 - 0.5 * silicone);
        }
        let (cu, cv) = (floor(u / wide), floor(v / tall));
        let (tu, tv) = (
            (fract(u / wide) - 0.5) * wide,
            (fract(v / tall) - 0.5) * tall,
        );
        let body = block(tu, tv, wide * 0.5 - 0.0042, tall * 0.5 - 0.0042, 0.004);
        let grout_dirt = ramp(0.0, 0.4, clouds(u * 1.1 + shift, v * 1.1) + v * 0.5);
        let grout = hex(0xb8b4a8).mix(hex(0x6f685a), grout_dirt * 0.8) * (0.9 + 0.2 * fine);
        let mut texel = Texel::new(grout, (-0.003 + fine * 0.0008) * scale, 0.0);
        let own = cell(cu, cv, seed);
        // Each tile hangs a little crooked, so each mirrors another bit of light.
        let lean =
            (own - 0.5) * 0.020 * tu / wide + (cell(cv, cu, seed ^ 9) - 0.5) * 0.020 * tv / tall;
        let wavy = clouds(u * 0.9 + own * 5.0, v * 0.9) * 0.0010;
        let cushion = -0.004 * ramp(-0.010, 0.0, body);
        let mirror = ramp(
            0.02,
            0.55,
            soft + 0.35 * clouds(u * 0.25 + own * 0.35, v * 0.22 + own * 0.2 + shift) + 0.25,
        );
        let mut tone = glaze * (0.90 + 0.06 * own + 0.03 * soft);
        tone = tone.mix(hex(0xf4f6f6), mirror * 0.30);
        let lime = ramp(0.15, 0.45, clouds(u * 1.6, v * 0.35 + shift)) * ramp(-0.2, 0.35, v);
        tone = tone.mix(hex(0xd9d5c8), lime * 0.35);
        texel = texel.under(
            Texel::new(tone, (0.002 + lean + wavy + cushion) * scale, 0.75),
            inside(body),
        );
        let mut crack = |c: &Crack, width: f32| {
            let (d, along) = c.near(u, v);
            let wide = width * (1.1 - 0.6 * along) * (0.75 + 0.5 * fine.abs());
            let gap = ramp(wide + 0.0008, wide * 0.5, d);
            let chip = ramp(wide * 3.4, wide * 2.6, d + fine.abs() * 0.006 - 0.001)
                * ramp(0.25, 0.5, clouds(u * 2.0 + shift, v * 2.0) + 0.2);
            texel.rgb = texel
                .rgb
                .mix(hex(0xc9b9a2) * (0.85 + 0.3 * fine), chip * 0.9);
            texel.rgb = texel.rgb.mix(hex(0x3a3129), gap * 0.92);
            texel.height -= (gap * 0.006 + chip * 0.003) * scale;
            if d < wide * 3.4 {
                texel.gloss *= 1.0 - chip;
            }
        };
        crack(&main, 0.0032);
        crack(&fork, 0.0020);
        let hole = ((u - drill.0).powi(2) + (v - drill.1).powi(2)).sqrt() + fine * 0.002;
        texel = texel.under(
            Texel::new(hex(0x211c18), -0.03 * scale, 0.0),
            inside(hole - 0.012),
        );
        let stain = ramp(0.010, 0.0, (u - drill.0).abs() + fine * 0.004)
            * ramp(0.0, 0.01, v - drill.1)
            * ramp(0.22, 0.02, v - drill.1);
        texel.rgb = texel.rgb.mix(hex(0x8a5a2c), stain * 0.35);
        texel
    }
}

/// Plasterboard ceiling with a water mark, a wet joint and a lamp's cable.
pub fn ceiling(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let view = View::new(
        dice.range(-0.25, 0.25),
        dice.range(0.25, 0.45),
        dice.range(-0.12, 0.12),
        dice.range(0.85, 1.05),
    );
    let shift = dice.range(0.0, 9.0);
    let spot = (dice.range(-0.2, 0.2), dice.range(-0.05, 0.12));
    let size = dice.range(0.17, 0.24);
    let lamp = (dice.pick([-0.42, 0.45]), dice.range(-0.15, 0.05));
    let joint_u = spot.0 + dice.range(-0.10, 0.10);
    let crack = Crack::new(
        dice,
        (joint_u, spot.1 - 0.42),
        (joint_u + 0.004, spot.1 + 0.4),
        0.002,
    );
    let wall_v = -dice.range(0.42, 0.5);
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        let fine = clouds(u * 4.0 + shift, v * 4.0);
        let soft = clouds(u * 0.4 + shift, v * 0.4);
        let roll = clouds(u * 1.5, v * 5.0 + shift);
        if v < wall_v {
            let rough = pebbles(u * 3.0, v * 3.0);
            let rgb = hex(0xc9c3b2) * (0.80 + 0.08 * soft + 0.05 * fine);
            let dark = 1.0 - 0.45 * ramp(0.05, 0.0, wall_v - v);
            return Texel::new(rgb * dark, (-0.01 - 0.002 * rough) * scale, 0.0);
        }
        let mut rgb = hex(0xe9e7e1) * (0.95 + 0.035 * soft + 0.02 * fine + 0.012 * roll);
        let mut height = 0.0012 * roll + 0.0006 * fine;
        // The stain: rings of old edges, each a bit further out.
        let (dx, dy) = (u - spot.0, (v - spot.1) * 1.2);
        let warp =
            clouds(u * 0.45 + shift, v * 0.45) * 0.085 + clouds(u * 1.6, v * 1.6 + shift) * 0.022;
        let along_joint = ramp(0.05, 0.0, (u - joint_u).abs()) * 0.07;
        let d = (dx * dx + dy * dy).sqrt() + warp - along_joint;
        for (ring, strength) in [(1.0, 0.75), (0.80, 0.55), (0.56, 0.5), (0.34, 0.55)] {
            let r = size * ring;
            let body = ramp(r, r - 0.05 * ring, d);
            let edge = ramp(0.012, 0.0, (d - r + 0.012).abs()) * ramp(r + 0.004, r - 0.004, d);
            rgb = rgb.mix(rgb * Rgb::new(0.93, 0.84, 0.66), body * strength * 0.75);
            rgb = rgb.mix(hex(0x8f6429), edge * strength * (0.45 + 0.35 * fine.abs()));
        }
        let wet = ramp(size * 0.55, size * 0.1, d);
        rgb = rgb.mix(rgb * Rgb::new(0.70, 0.64, 0.56), wet * 0.7);
        height += 0.020 * ramp(size, 0.0, d);
        let speck =
            ramp(0.20, 0.12, pebbles(u * 2.6 + shift, v * 2.6)) * ramp(size * 0.9, size * 0.4, d);
        rgb = rgb.mix(hex(0x3f3d33), speck * 0.55);
        // Joint tape lets go along the board's edge.
        let band = ramp(0.030, 0.022, (u - joint_u).abs());
        let lift = ramp(size * 1.1, size * 0.3, d);
        height += band * (0.0012 + 0.004 * lift * ramp(0.0, 0.03, u - joint_u));
        let (gap, _) = crack.near(u, v);
        let open = ramp(0.0016 + 0.003 * lift, 0.0004, gap);
        rgb = rgb.mix(hex(0x4b4034), open * (0.35 + 0.6 * lift));
        height -= open * 0.004;
        let mut texel = Texel::new(rgb, height * scale, 0.04 + 0.25 * wet);
        // Drops that hang at the lowest point.
        for n in 0..5 {
            let (ou, ov) = (
                spot.0 + (cell(n, 1, 7) - 0.5) * 0.16,
                spot.1 + (cell(n, 2, 7) - 0.5) * 0.12,
            );
            let r = 0.004 + 0.004 * cell(n, 3, 7);
            let e = ((u - ou).powi(2) + (v - ov).powi(2)).sqrt();
            texel = texel.under(
                Texel::new(rgb * 0.72, texel.height + bulge(e, r) * scale, 1.0),
                inside(e - r),
            );
        }
        let (lu, lv) = (u - lamp.0, v - lamp.1);
        let rose = (lu * lu + lv * lv).sqrt();
        texel = texel.under(
            Texel::new(hex(0x4a3a30) * (0.6 + 0.2 * fine), -0.02 * scale, 0.0),
            inside(rose - 0.024),
        );
        for (n, colour) in [(0, hex(0x2f5fa8)), (1, hex(0x6a3f22)), (2, hex(0xa3a02d))] {
            let to = (
                lamp.0 + 0.03 * (n as f32 - 1.0),
                lamp.1 + 0.10 + 0.02 * n as f32,
            );
            let (w, t) = line(u + (v * 60.0).sin() * 0.002, v, lamp, to);
            texel = texel.under(
                Texel::new(colour, (0.01 + 0.05 * t + bulge(w, 0.0055)) * scale, 0.25),
                inside(w - 0.0055),
            );
        }
        let edge = ramp(0.016, 0.0, v - wall_v);
        texel.rgb = texel.rgb * (1.0 - 0.35 * edge);
        texel
    }
}
