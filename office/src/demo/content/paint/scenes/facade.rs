//! Façades: the gutter with its downpipe, the scaffold, the window's reveal.

use super::super::brush::{Outdoors, Rgb, Texel, View, block, bulge, hex, inside, line, ramp};
use super::super::noise::{Dice, cell, clouds, floor, fract, pebbles, seams};

/// Roughcast plaster at a point of the wall.
fn plaster(u: f32, v: f32, scale: f32, rgb: Rgb, shift: f32) -> Texel {
    let grain = pebbles(u * 2.7 + shift, v * 2.7);
    let fine = clouds(u * 5.0, v * 5.0 + shift);
    let dirt = clouds(u * 0.35 + shift, v * 0.25);
    let run = clouds(u * 1.9 + shift, v * 0.12);
    let tone = rgb * (0.92 + 0.10 * dirt + 0.08 * fine + 0.07 * run);
    Texel::new(tone, (0.0030 * (1.0 - grain) + 0.0012 * fine) * scale, 0.0)
}

/// Zinc sheet: dull, cloudy, a little blue.
fn zinc(u: f32, v: f32, shift: f32) -> Rgb {
    let cloud = clouds(u * 0.8 + shift, v * 0.8);
    let fine = clouds(u * 4.0, v * 4.0 + shift);
    let spot = ramp(0.14, 0.08, pebbles(u * 1.6 + shift, v * 1.6));
    (hex(0x8e959a) * (0.85 + 0.20 * cloud + 0.10 * fine)).mix(hex(0xb9bfc0), spot * 0.35)
}

/// The eaves: last course, gutter, bracket, downpipe; stained joint.
pub fn gutter(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let view = View::new(
        dice.range(-0.2, 0.2),
        dice.range(0.06, 0.2),
        dice.range(-0.06, 0.06),
        dice.range(0.92, 1.08),
    );
    let shift = dice.range(0.0, 9.0);
    let wall = dice.pick([hex(0xd9cdb4), hex(0xcfd0cb), hex(0xdcc7a4), hex(0xc9b9a0)]);
    let clay = dice.pick([hex(0x8a4f42), hex(0x5a5654), hex(0x965a48)]);
    let pipe_u = dice.range(-0.25, 0.28);
    let joint_u = pipe_u + dice.pick([-0.3, 0.32]);
    let copper = dice.below(4) == 0;
    let sheet = move |u: f32, v: f32| {
        let metal = zinc(u, v, shift);
        if copper {
            (metal * Rgb::new(0.95, 0.58, 0.38)).mix(
                hex(0x5d8f7c) * 0.9,
                ramp(0.1, 0.5, clouds(u * 0.6 + shift, v)),
            )
        } else {
            metal
        }
    };
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        // Sofit and wall: shade of the eaves fades downwards.
        let mut texel = plaster(u, v, scale, wall, shift);
        let shade = ramp(0.34, 0.02, v);
        texel.rgb = texel.rgb * (1.0 - 0.52 * shade);
        let board = inside(v - 0.085);
        let grain = clouds(u * 0.25 + shift, v * 6.0);
        let seam = ramp(0.006, 0.003, (fract(v / 0.06) * 0.06 - 0.03).abs() - 0.024);
        let wood = hex(0x7d5f43) * (0.55 + 0.22 * grain) * (1.0 - 0.3 * seam);
        texel = texel.under(Texel::new(wood, 0.02 * scale, 0.03), board);
        // Water that ran behind the joint stains the wall.
        let wander = clouds(v * 0.3 + shift, 0.2) * 0.03;
        let streak = ramp(
            0.075,
            0.0,
            (u - joint_u + wander).abs() - clouds(u * 2.0, v * 0.2) * 0.03,
        ) * ramp(0.75, 0.1, v);
        texel = texel.tint(Rgb::new(0.50, 0.46, 0.36), streak * 0.85);
        let algae = ramp(0.10, 0.35, clouds(u * 1.2 + shift, v * 0.7)) * streak;
        texel.rgb = texel.rgb.mix(hex(0x56602f), algae * 0.5);
        // Downpipe with an offset at the top, clamps on the wall.
        let r = 0.042;
        let points = [
            (pipe_u, 0.02),
            (pipe_u, 0.10),
            (pipe_u + 0.07, 0.20),
            (pipe_u + 0.07, 0.9),
        ];
        let mut best = (9.0, 0.0);
        for (n, pair) in points.windows(2).enumerate() {
            let (d, along) = line(u, v, pair[0], pair[1]);
            if d < best.0 {
                best = (d, n as f32 + along);
            }
        }
        let sleeve = if (best.1 - 1.0).abs() < 0.16 || (best.1 - 2.0).abs() < 0.045 {
            0.005
        } else {
            0.0
        };
        let pr = r + sleeve;
        texel = texel.under(
            Texel::new(sheet(u, v) * 0.95, (0.05 + bulge(best.0, pr)) * scale, 0.35),
            inside(best.0 - pr),
        );
        let clamp = block(u - pipe_u - 0.07, v - 0.42, r + 0.016, 0.011, 0.003);
        texel = texel.under(
            Texel::new(
                hex(0x777d80),
                (0.062 + bulge(u - pipe_u - 0.07, r + 0.016) * 0.9) * scale,
                0.4,
            ),
            inside(clamp),
        );
        // The gutter: half-round, seen from below, with a rolled front bead.
        let g = v + 0.035 + clouds(u * 0.1, 0.5) * 0.006;
        let body = 0.088;
        if g.abs() < body + 0.02 {
            let inset = (g / body).clamp(-1.0, 1.0);
            let round = (1.0 - (inset + 0.25).powi(2) * 0.62).max(0.0).sqrt() * 0.085;
            let lap = ramp(0.012, 0.010, (u - joint_u).abs());
            let mut metal = sheet(u, v);
            let drip = ramp(
                0.05,
                0.0,
                (u - joint_u).abs() + clouds(u * 2.0, v * 2.0 + shift) * 0.03,
            ) * ramp(-0.04, 0.05, g);
            metal = metal.mix(hex(0x4f4030), drip * 0.8);
            metal = metal * (1.0 - 0.35 * ramp(0.2, 1.0, inset));
            let mut h = 0.10 + round + lap * 0.004;
            h -= 0.003 * ramp(0.0035, 0.001, ((u - joint_u).abs() - 0.012).abs());
            texel = texel.under(Texel::new(metal, h * scale, 0.4), inside(g.abs() - body));
            let bead = g + body;
            texel = texel.under(
                Texel::new(
                    sheet(u + 0.3, v) * 1.06,
                    (0.172 + bulge(bead, 0.014)) * scale,
                    0.55,
                ),
                inside(bead.abs() - 0.014),
            );
            let hook = fract(u / 0.34 + 0.2) * 0.34 - 0.17;
            let strap = block(hook, g, 0.0085, body + 0.012, 0.002);
            texel = texel.under(
                Texel::new(
                    hex(0x7b8184) * (0.9 + 0.2 * clouds(u * 3.0, v * 3.0)),
                    (0.108 + round) * scale,
                    0.3,
                ),
                inside(strap),
            );
        }
        // Leaves that look over the bead.
        let leafy = clouds(u * 0.6 + shift, 0.8) * 0.045 + 0.008;
        let over = v + 0.035 + 0.088 + leafy;
        let mess = over + seams(u * 1.4 + shift, v * 1.4) * 0.03;
        if mess > 0.0 && v < -0.128 && leafy > 0.0 {
            let kind = pebbles(u * 1.8, v * 1.8 + shift);
            let leaf = hex(0x6b4a26).mix(hex(0x9a7a34), kind).mix(
                hex(0x4c5a2a),
                ramp(0.4, 0.7, clouds(u * 1.4, v * 1.4) + 0.4),
            );
            texel = texel.under(
                Texel::new(leaf * 0.9, (0.13 + 0.02 * kind) * scale, 0.02),
                inside(-mess * 0.3),
            );
        }
        // Tiles above, their front edges waved.
        let wide = 0.185;
        let q = fract(u / wide);
        let hump = if q < 0.46 {
            1.0 - ((q - 0.23) / 0.23).powi(2)
        } else {
            -0.3 * (1.0 - ((q - 0.73) / 0.27).powi(2))
        };
        let lip = -0.150 - hump * 0.032 + (cell(floor(u / wide), 0, 4) - 0.5) * 0.006;
        if v < lip {
            let course = floor((lip - v) / 0.10);
            let depth = fract((lip - v) / 0.10);
            let tone = cell(floor(u / wide), course, 21);
            let spots = clouds(u * 1.3 + shift, v * 1.3);
            let fine = clouds(u * 5.0, v * 5.0);
            let mut rgb = clay * (0.75 + 0.35 * tone + 0.2 * spots + 0.12 * fine);
            rgb = rgb.mix(hex(0x565a30), ramp(0.15, 0.5, spots) * 0.5);
            let front = ramp(0.20, 0.17, depth);
            rgb = rgb * (1.0 - 0.45 * front);
            let h = 0.16 + hump * 0.03 - depth * 0.03 + front * 0.01;
            texel = texel.under(Texel::new(rgb, h * scale, 0.05), inside((v - lip) * 0.8));
        }
        texel
    }
}

/// A façade behind a scaffold: tubes, ledgers, planks, toe boards.
pub fn scaffold(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let view = View::new(
        dice.range(-0.5, 0.5),
        dice.range(0.16, 0.34),
        dice.range(-0.03, 0.03),
        dice.range(0.62, 0.75),
    );
    let shift = dice.range(0.0, 9.0);
    let wall = dice.pick([hex(0xd8c9a6), hex(0xc6ccca), hex(0xd0a98a), hex(0xd9d6cd)]);
    let brick = dice.below(3) == 0;
    let eaves = -dice.range(0.50, 0.62);
    let behind = Outdoors::new(dice, 0.6);
    let bay = dice.range(0.50, 0.60);
    let off = dice.range(0.0, 0.5);
    let net = dice.below(2) == 0;
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        let mut texel = if v < eaves {
            Texel::far(behind.at(x, y + 0.15))
        } else if brick {
            let row = floor(v / 0.030);
            let along = u / 0.095 + f32::from((row & 1) as u8) * 0.5;
            let (bu, bv) = (fract(along) * 0.095, fract(v / 0.030) * 0.030);
            let mortar = ramp(0.0045, 0.003, bu.min(bv));
            let tone = cell(floor(along), row, 31);
            let fine = clouds(u * 5.0, v * 5.0);
            let rgb = (hex(0x855040) * (0.7 + 0.5 * tone + 0.2 * fine)).mix(hex(0xa9a193), mortar);
            Texel::new(rgb, (0.004 * (1.0 - mortar) + fine * 0.001) * scale, 0.0)
        } else {
            plaster(u * 2.0, v * 2.0, scale * 0.4, wall, shift)
        };
        if v >= eaves {
            // Verge board under the eaves, then windows.
            let fascia = inside(v - eaves - 0.05);
            texel = texel.under(Texel::new(hex(0xe6e2d8) * 0.9, 0.05 * scale, 0.08), fascia);
            let wu = fract(u / 0.66 + off) * 0.66 - 0.33;
            // One row of windows a lift, none that the eaves would cut.
            let storey = floor((v + 0.43) / 0.60);
            let middle = storey as f32 * 0.60 - 0.13;
            let wv = v - middle;
            if middle - 0.21 > eaves + 0.05 {
                let hole = block(wu, wv, 0.135, 0.17, 0.002);
                let reveal = Texel::new(wall * 0.82, -0.012 * scale, 0.0);
                texel = texel.under(reveal, inside(hole));
                let frame = block(wu, wv, 0.122, 0.157, 0.003);
                texel = texel.under(
                    Texel::new(hex(0xe8e8e4), -0.006 * scale, 0.15),
                    inside(frame),
                );
                let pane = block(wu.abs() - 0.060, wv, 0.046, 0.138, 0.002);
                let curtain = ramp(0.02, 0.0, (wu.abs() - 0.09).abs() - 0.012)
                    * cell(storey, floor(u / 0.66 + off), 9);
                let mirror = behind.at(wu * 1.5 + u * 0.3, 0.25 - wv * 0.8)
                    * (0.35 + 0.25 * ramp(-0.2, 0.2, wv + wu));
                let glass = mirror.mix(hex(0xb9b4a6), curtain * 0.6);
                texel = texel.under(Texel::new(glass, -0.010 * scale, 0.9), inside(pane));
                let sill = block(wu, wv - 0.178, 0.155, 0.010, 0.003);
                texel = texel.under(Texel::new(hex(0x9a9c9b), 0.03 * scale, 0.2), inside(sill));
            }
        }
        let front = 0.115;
        // Planks of three lifts, seen from below: face, toe board, shade.
        for n in -1..=1 {
            let level = n as f32 * 0.60 + 0.17;
            let dv = v - level;
            if dv.abs() > 0.12 {
                continue;
            }
            let grain = clouds(u * 0.3 + shift, v * 5.0 + n as f32);
            let plank = floor(u / (bay * 1.0) + off);
            let toe = block(0.0, dv + 0.045, 1.0, 0.026, 0.002);
            let wood = hex(0xb58f58) * (0.75 + 0.2 * cell(plank, n, 5) + 0.25 * grain);
            texel = texel.under(Texel::new(wood, (front - 0.02) * scale, 0.03), inside(toe));
            let deck = block(0.0, dv - 0.012, 1.0, 0.030, 0.002);
            let hollow = ramp(0.011, 0.006, (fract(dv / 0.022) * 0.022 - 0.011).abs());
            let steel = hex(0x83878a) * (0.55 + 0.18 * clouds(u * 1.2, v * 4.0) - 0.2 * hollow);
            texel = texel.under(Texel::new(steel, (front - 0.03) * scale, 0.2), inside(deck));
        }
        let tube = |d: f32, r: f32, lift: f32, texel: Texel, tone: f32| {
            if d > r + 0.002 {
                return texel;
            }
            let rust = ramp(0.25, 0.5, clouds(u * 1.3 + shift, v * 1.3));
            let fine = clouds(u * 4.0 + shift, v * 4.0);
            let rgb = (hex(0xa6abad) * (tone + 0.12 * fine)).mix(hex(0x7a5636), rust * 0.5);
            texel.under(
                Texel::new(rgb, (lift + bulge(d, r)) * scale, 0.5),
                inside(d - r),
            )
        };
        let post = fract(u / bay + off) * bay - bay * 0.5;
        let lift = fract((v - 0.17) / 0.60) * 0.60;
        let column = floor(u / bay + off);
        // Every other bay is braced from post to post.
        let brace = floor(u / bay + off + 0.5);
        if brace & 1 == 0 {
            let along = fract(u / bay + off + 0.5) * bay;
            let (d, _) = line(along, lift, (0.0, 0.60), (bay, 0.0));
            texel = tube(d, 0.0085, front, texel, 0.85);
        }
        for rail in [0.60 - 0.22, 0.60 - 0.40] {
            texel = tube((lift - rail).abs(), 0.0095, front + 0.005, texel, 0.95);
        }
        texel = tube(post.abs(), 0.0125, front + 0.015, texel, 0.95);
        for rail in [0.0, 0.60 - 0.22, 0.60 - 0.40] {
            let clip = block(post, lift - rail, 0.022, 0.016, 0.005);
            texel = texel.under(
                Texel::new(hex(0x6c6f70), (front + 0.032) * scale, 0.3),
                inside(clip),
            );
        }
        if net && v > 0.17 && v < 0.77 && column & 1 == 1 {
            let sag = clouds(u * 0.4 + shift, v * 0.3) * 0.5;
            let mesh = (fract(u * 90.0) - 0.5)
                .abs()
                .max((fract(v * 90.0) - 0.5).abs());
            let cover = 0.50 + 0.30 * ramp(0.3, 0.5, mesh) + 0.25 * sag;
            let green = hex(0x3f7a56) * (0.9 + 0.5 * sag);
            texel.rgb = texel.rgb.mix(green, cover.clamp(0.0, 0.9));
            texel.height += 0.01 * scale * sag;
        }
        texel
    }
}

/// A window's reveal: frame, gap, foam that did not fill it, broken plaster.
pub fn reveal(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let view = View::new(
        dice.range(-0.25, 0.3),
        dice.range(-0.12, 0.12),
        dice.range(-0.05, 0.05),
        dice.range(0.95, 1.2),
    );
    let shift = dice.range(0.0, 9.0);
    let wall = dice.pick([hex(0xd8d5cc), hex(0xcfc6b4), hex(0xd7d2c6)]);
    let behind = Outdoors::new(dice, 0.12);
    let frame_rgb = dice.pick([hex(0xe9e9e6), hex(0xe9e9e6), hex(0x5c4a3b)]);
    let gap_from = dice.range(-0.3, -0.1);
    let gap_to = gap_from + dice.range(0.3, 0.45);
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        let rough = clouds(v * 0.45 + shift, 0.3) * 0.035 + clouds(v * 2.2 + shift, 0.6) * 0.012;
        let seam = 0.03;
        // Wall on the right: plaster with a broken edge over brick.
        let mut texel = plaster(u, v, scale, wall, shift);
        texel.height += 0.030 * scale;
        let edge = 0.175 + rough;
        let broken = u - edge;
        if broken < 0.02 {
            let row = floor(v / 0.105);
            let bv = fract(v / 0.105) * 0.105;
            let mortar = ramp(0.016, 0.011, bv);
            let fine = clouds(u * 3.0 + shift, v * 3.0);
            let tone = cell(row, 4, 8);
            let body = hex(0x946050) * (0.72 + 0.4 * tone + 0.35 * fine);
            let rgb = body.mix(hex(0x9d978b) * (0.9 + 0.3 * fine), mortar);
            let stone = Texel::new(rgb, (0.004 * fine - 0.004 * mortar) * scale, 0.0);
            let cover = inside(broken + clouds(u * 3.0, v * 3.0 + shift) * 0.012);
            texel.rgb = texel.rgb.mix(hex(0xb9b3a6), ramp(0.015, 0.0, broken) * 0.6);
            texel = texel.under(stone, cover);
        }
        // Foam: swollen, skinned, some bubbles cut open.
        let swell = clouds(v * 0.7 + shift, u * 0.4);
        let left = seam - 0.004;
        let right = 0.105 + swell * 0.035 + clouds(v * 2.0, shift) * 0.008;
        let foam_d = (left - u).max(u - right);
        let lump = pebbles(u * 0.9 + shift, v * 0.75);
        let bubble = pebbles(u * 3.0, v * 3.0 + shift);
        let cut = ramp(0.05, 0.30, swell);
        let mut foam = hex(0xd9b25a).mix(hex(0xe8cf8c), cut) * (0.95 - 0.3 * lump + 0.12 * swell);
        foam = foam * (1.0 - cut * 0.5 * ramp(0.35, 0.1, bubble));
        let belly = bulge(
            (u - (left + right) * 0.5) / (right - left).max(0.02) * 2.0,
            1.05,
        ) * 0.030;
        let h = belly * (1.0 - 0.5 * cut) + 0.016 * (1.0 - lump) + 0.003 * bubble * cut;
        texel = texel.under(Texel::new(foam, h * scale, 0.12), inside(foam_d));
        // The gap: nothing in it but shade and a little daylight.
        let open = ramp(gap_from, gap_from + 0.05, v) * ramp(gap_to, gap_to - 0.08, v);
        let gap_w = 0.040 * open + clouds(v * 1.4 + shift, 0.1) * 0.010 * open;
        let gap_d = (u - seam - gap_w).max(seam - u);
        if open > 0.0 {
            let light = ramp(0.010, 0.0, (u - seam - gap_w * 0.4).abs())
                * ramp(0.2, 0.5, clouds(v * 0.6, shift) + 0.5);
            let dark = hex(0x17130f).mix(hex(0xc9d3da), light * 0.55 * open);
            texel = texel.under(Texel::new(dark, -0.08 * scale, 0.0), inside(gap_d));
        }
        // The frame with its sash and glass, on the left.
        if u < seam {
            let fine = clouds(u * 0.6, v * 6.0 + shift);
            let dirt = ramp(0.05, 0.5, clouds(u * 0.9 + shift, v * 0.9));
            let mut rgb = frame_rgb * (0.96 + 0.03 * fine);
            rgb = rgb.mix(hex(0x8d8473), dirt * 0.22);
            let from = seam - u;
            let profile = 0.040 + 0.016 * ramp(0.092, 0.100, from)
                - 0.006 * ramp(0.010, 0.0, from)
                - 0.010 * ramp(0.006, 0.003, (from - 0.098).abs());
            let groove = ramp(0.005, 0.002, (from - 0.098).abs());
            rgb = rgb * (1.0 - 0.6 * groove);
            let film = ramp(0.030, 0.028, (from - 0.045).abs());
            let tape = ramp(-0.05, 0.1, clouds(v * 0.2 + shift, 0.9));
            rgb = rgb.mix(hex(0x5b86ad), film * tape * 0.55);
            texel = texel.under(Texel::new(rgb, profile * scale, 0.25), inside(-from));
            let pane = from - 0.225;
            if pane > 0.0 {
                let far = behind.at(x * 0.9, y * 0.9) * 0.95;
                let reflex = ramp(0.1, 0.5, clouds(u * 0.25 + v * 0.15, v * 0.2 + shift)) * 0.18;
                texel = texel.under(Texel::far(far.mix(hex(0xe8eef2), reflex)), inside(-pane));
            }
            let seal = ramp(0.007, 0.0055, (from - 0.222).abs());
            texel = texel.under(Texel::new(hex(0x1d1e20), 0.048 * scale, 0.1), seal);
        }
        texel
    }
}
