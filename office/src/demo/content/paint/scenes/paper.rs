//! The delivery note on its clipboard: dot-matrix print of invented goods, a
//! stamp, a signature.

use super::super::brush::{Crack, Rgb, Texel, View, block, bulge, hex, inside, ramp};
use super::super::noise::{Dice, cell, clouds, floor, fract, pebbles};

/// Lines printed on the note.
const LINES: [&str; 19] = [
    "LIEFERSCHEIN  NR. 26-4711",
    "",
    "EMPFAENGER",
    "DACHDECKEREI BRANDT GMBH",
    "BAUSTELLE LINDENWEG 14",
    "",
    "POS  MENGE  ARTIKEL",
    "----------------------------",
    "01   12 ST  ORTGANGZIEGEL LI",
    "02   64 ST  FLACHZIEGEL ROT",
    "03   60 M   LATTE 30/50",
    "04    2 RO  UNTERSPANNBAHN",
    "05    1 PK  STURMKLAMMERN",
    "06    4 ST  LUEFTERZIEGEL",
    "----------------------------",
    "GEWICHT      412 KG",
    "",
    "WARE ERHALTEN",
    "DATUM      UNTERSCHRIFT",
];

/// The clipboard on boards or on underlay.
pub fn delivery_note(dice: &mut Dice) -> impl Fn(f32, f32) -> Texel {
    let view = View::new(
        dice.range(-0.12, 0.12),
        dice.range(-0.3, -0.1),
        dice.range(-0.22, 0.22),
        dice.range(0.86, 0.95),
    );
    let shift = dice.range(0.0, 9.0);
    let ticks = dice.bits() as u32;
    let table = dice.below(2) == 0;
    let strokes: Vec<Crack> = (0..5)
        .map(|n| {
            let x = 0.03 + n as f32 * 0.032;
            let (up, down) = (dice.range(0.315, 0.335), dice.range(0.350, 0.375));
            let lean = dice.range(0.005, 0.045);
            Crack::new(dice, (x + lean, up), (x - lean * 0.3, down), 0.006)
        })
        .collect();
    let flourish = Crack::new(dice, (0.01, 0.365), (0.24, 0.340), 0.006);
    let stamp = (
        dice.range(-0.17, -0.08),
        dice.range(0.31, 0.34),
        dice.range(-0.25, 0.25),
    );
    move |x, y| {
        let (u, v, scale) = view.at(x, y);
        let fine = clouds(u * 4.0 + shift, v * 4.0);
        let mut texel = if table {
            let plank = floor(v / 0.26 + 0.4);
            let grain = clouds(u * 0.35 + plank as f32 * 0.3 + shift, v * 3.2);
            let ring = clouds(u * 0.12 + shift, v * 1.1 + plank as f32);
            let gap = ramp(
                0.004,
                0.0015,
                (fract(v / 0.26 + 0.4) - 0.5).abs() * -0.26 + 0.13,
            );
            let rgb = hex(0xa17a4c)
                * (0.72 + 0.2 * cell(plank, 1, 5) + 0.30 * grain + 0.18 * ring + 0.05 * fine);
            Texel::new(
                rgb * (1.0 - 0.8 * gap),
                (grain * 0.002 - gap * 0.01) * scale,
                0.06,
            )
        } else {
            let weave = (fract(u * 110.0) - 0.5).abs() + (fract(v * 110.0) - 0.5).abs();
            let fold = clouds(u * 0.4 + shift, v * 0.4);
            let rgb = hex(0x566271) * (0.75 + 0.28 * fold + 0.12 * weave + 0.06 * fine);
            Texel::new(rgb, fold * 0.02 * scale, 0.12)
        };
        let sawdust = ramp(
            0.13,
            0.08,
            pebbles(u * 3.4 + v * 1.7 + shift, v * 2.9 - u * 0.8),
        ) * ramp(0.0, 0.3, clouds(u * 0.5, v * 0.5 + shift));
        texel.rgb = texel.rgb.mix(hex(0xd9b778), sawdust * 0.8);
        texel.height += sawdust * 0.003;
        let board = block(u, v - 0.01, 0.315, 0.43, 0.02);
        if board > 0.01 {
            return texel;
        }
        let fibre = pebbles(u * 5.0, v * 5.0 + shift);
        let wood = hex(0x6f4a2c) * (0.85 + 0.15 * fibre + 0.12 * fine);
        texel = texel.under(Texel::new(wood, 0.016 * scale, 0.25), inside(board));
        // A second sheet looks out below, a little turned.
        let below = block(u + v * 0.02 - 0.006, v - 0.034, 0.285, 0.385, 0.002);
        texel = texel.under(
            Texel::new(hex(0xdfd9b0) * (0.93 + 0.03 * fine), 0.0185 * scale, 0.03),
            inside(below),
        );
        let curl = ramp(0.28, 0.42, v) * ramp(0.05, 0.29, u) * 0.022;
        let page = block(u, v - 0.02, 0.283, 0.385, 0.002);
        if page < 0.002 {
            let crease = ramp(0.006, 0.0, (v - 0.05 - u * 0.01).abs());
            let warp = clouds(u * 0.25 + shift, v * 0.25) * 0.010;
            let mut rgb = hex(0xeeece4) * (0.97 + 0.02 * fine);
            rgb = rgb * (1.0 - 0.05 * crease);
            let thumb = ramp(
                0.10,
                0.0,
                ((u - 0.2).powi(2) + (v - 0.33).powi(2)).sqrt() + clouds(u, v) * 0.05,
            );
            rgb = rgb.mix(hex(0x8f806a), thumb * 0.28);
            rgb = rgb.mix(hex(0x2a2b33), print(u, v, fine) * 0.85);
            // Ticks in pen beside what was counted.
            let (tu, row) = (u - 0.225, floor((v + 0.043) / 0.034));
            if (0..6).contains(&row) && row != (ticks % 6) as i32 {
                let tv = v + 0.043 - (row as f32 + 0.45) * 0.034;
                let sway = cell(row, 2, ticks) * 0.008;
                let short = (tv - 0.004 - (tu + sway) * 0.9).abs()
                    + ramp(0.0, 0.002, tu + sway)
                    + ramp(-0.008, -0.012, tu + sway);
                let long = (tv - 0.004 + (tu + sway) * 1.3).abs()
                    + ramp(0.0, -0.002, tu + sway)
                    + ramp(0.014, 0.018, tu + sway);
                let ink = ramp(0.0024, 0.0012, short.min(long));
                rgb = rgb.mix(hex(0x1d3b8b), ink * 0.9);
            }
            let pen = strokes
                .iter()
                .chain([&flourish])
                .map(|s| s.near(u, v).0)
                .fold(1.0, f32::min);
            rgb = rgb.mix(hex(0x1d3b8b), ramp(0.0020, 0.0009, pen) * 0.92);
            rgb = stamped(rgb, u - stamp.0, v - stamp.1, stamp.2, fine);
            let h = 0.020 + warp.abs() + curl + crease * 0.001;
            texel = texel.under(Texel::new(rgb, h * scale, 0.03), inside(page));
        }
        // The steel clip.
        let clip = block(u, v + 0.375, 0.115, 0.040, 0.012);
        let steel = hex(0xa8acb0) * (0.92 + 0.08 * clouds(u * 0.4, v * 7.0));
        let bent = 0.030 + 0.012 * ramp(-0.42, -0.34, v);
        texel = texel.under(Texel::new(steel, bent * scale, 0.7), inside(clip));
        let bar = block(u, v + 0.405, 0.075, 0.014, 0.012);
        texel = texel.under(
            Texel::new(steel * 0.9, (0.050 + bulge(v + 0.405, 0.014)) * scale, 0.9),
            inside(bar),
        );
        for side in [-0.085f32, 0.085] {
            let rivet = ((u - side).powi(2) + (v + 0.365).powi(2)).sqrt();
            texel = texel.under(
                Texel::new(hex(0x8d9093), (0.044 + bulge(rivet, 0.010)) * scale, 0.9),
                inside(rivet - 0.010),
            );
        }
        texel
    }
}

/// A round rubber stamp without a name: two rings, bars of letters, a star.
fn stamped(paper: Rgb, du: f32, dv: f32, turn: f32, fine: f32) -> Rgb {
    let (s, c) = turn.sin_cos();
    let (u, v) = (du * c + dv * s, dv * c - du * s);
    let frame = block(u, v, 0.082, 0.036, 0.006).abs();
    let mut ink = ramp(0.0024, 0.0012, frame);
    let row = floor((v + 0.027) / 0.018);
    if (0..3).contains(&row) && u.abs() < 0.070 {
        let (pu, pv) = (floor(u / 0.0034), floor((v + 0.027) / 0.0034));
        let gap = fract((v + 0.027) / 0.018) > 0.62 || pu % 4 == 0;
        ink = ink.max(if !gap && cell(pu, pv, 77) > 0.38 {
            1.0
        } else {
            0.0
        });
    }
    let patchy = ramp(-0.35, 0.15, fine + 0.1);
    paper.mix(hex(0x8e2f3a), ink * patchy * 0.75)
}

/// How much ink the printer left at a point of the page.
fn print(u: f32, v: f32, fine: f32) -> f32 {
    const LINE: f32 = 0.034;
    const LETTER: f32 = 0.0162;
    let (pu, pv) = (u + 0.235, v + 0.315);
    let (row, column) = (floor(pv / LINE), floor(pu / LETTER));
    let Some(text) = usize::try_from(row).ok().and_then(|r| LINES.get(r)) else {
        return 0.0;
    };
    let Some(letter) = usize::try_from(column)
        .ok()
        .and_then(|c| text.as_bytes().get(c))
    else {
        return 0.0;
    };
    let (lu, lv) = (fract(pu / LETTER) * 6.0, fract(pv / LINE) * 10.0 - 1.0);
    if !(0.0..7.0).contains(&lv) || lu >= 5.0 {
        return 0.0;
    }
    let bits = glyph(*letter)[floor(lv) as usize];
    if bits >> (4 - floor(lu)) & 1 == 0 {
        return 0.0;
    }
    // Needle dots that just touch.
    let (du, dv) = (fract(lu) - 0.5, fract(lv) - 0.5);
    ramp(0.75, 0.45, (du * du + dv * dv).sqrt()) * (0.80 + 0.4 * fine)
}

/// Rows of five dots, top to bottom.
fn glyph(letter: u8) -> [u8; 7] {
    match letter {
        b'A' => [14, 17, 17, 31, 17, 17, 17],
        b'B' => [30, 17, 17, 30, 17, 17, 30],
        b'C' => [14, 17, 16, 16, 16, 17, 14],
        b'D' => [30, 17, 17, 17, 17, 17, 30],
        b'E' => [31, 16, 16, 30, 16, 16, 31],
        b'F' => [31, 16, 16, 30, 16, 16, 16],
        b'G' => [14, 17, 16, 23, 17, 17, 15],
        b'H' => [17, 17, 17, 31, 17, 17, 17],
        b'I' => [14, 4, 4, 4, 4, 4, 14],
        b'K' => [17, 18, 20, 24, 20, 18, 17],
        b'L' => [16, 16, 16, 16, 16, 16, 31],
        b'M' => [17, 27, 21, 21, 17, 17, 17],
        b'N' => [17, 25, 21, 19, 17, 17, 17],
        b'O' => [14, 17, 17, 17, 17, 17, 14],
        b'P' => [30, 17, 17, 30, 16, 16, 16],
        b'R' => [30, 17, 17, 30, 20, 18, 17],
        b'S' => [15, 16, 16, 14, 1, 1, 30],
        b'T' => [31, 4, 4, 4, 4, 4, 4],
        b'U' => [17, 17, 17, 17, 17, 17, 14],
        b'W' => [17, 17, 17, 21, 21, 27, 17],
        b'Z' => [31, 1, 2, 4, 8, 16, 31],
        b'0' => [14, 17, 19, 21, 25, 17, 14],
        b'1' => [4, 12, 4, 4, 4, 4, 14],
        b'2' => [14, 17, 1, 6, 8, 16, 31],
        b'3' => [30, 1, 1, 14, 1, 1, 30],
        b'4' => [2, 6, 10, 18, 31, 2, 2],
        b'5' => [31, 16, 30, 1, 1, 17, 14],
        b'6' => [6, 8, 16, 30, 17, 17, 14],
        b'7' => [31, 1, 2, 4, 8, 8, 8],
        b'-' => [0, 0, 0, 31, 0, 0, 0],
        b'.' => [0, 0, 0, 0, 0, 12, 12],
        b'/' => [1, 1, 2, 4, 8, 16, 16],
        _ => [0; 7],
    }
}
