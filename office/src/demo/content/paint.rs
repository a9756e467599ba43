//! Draws believable building-site photos by program, the same for the same
//! seed. It reads no files, needs no network and shows nobody's property: the
//! demo can be given away.

// Pixels and noise are arithmetic on numbers this module makes itself; no input
// of a user reaches a cast or an index here.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::many_single_char_names,
    clippy::suboptimal_flops,
    clippy::unreadable_literal
)]

mod brush;
mod noise;
mod relief;
mod scenes;

use super::exif::{ExifData, Orientation};
use image::RgbImage;
pub(super) use noise::Dice;
use relief::{Light, render};
use scenes::{facade, indoor, paper, roof};

/// What a photo shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scene {
    /// Roof's edge with torn verge tiles (Ortgang gerissen).
    TornVerge,
    /// Tile field with a missing and a slid tile.
    MissingTile,
    /// The finished tile field.
    RoofDone,
    /// Underlay and battens, tiles stacked.
    Battens,
    /// Eaves with gutter and downpipe.
    Gutter,
    /// A façade behind its scaffold.
    Scaffold,
    /// Window reveal with a gap in the foam.
    WindowReveal,
    /// Cellar wall, damp and mouldy.
    CellarDamp,
    /// Electrical cabinet with a burnt breaker.
    FuseBox,
    /// Bathroom tiles with a crack.
    BathTiles,
    /// Plasterboard ceiling with a water mark.
    CeilingStain,
    /// Delivery note on a clipboard.
    DeliveryNote,
}

impl Scene {
    /// Every scene, for contact sheets and tests.
    pub const ALL: [Self; 12] = [
        Self::TornVerge,
        Self::MissingTile,
        Self::RoofDone,
        Self::Battens,
        Self::Gutter,
        Self::Scaffold,
        Self::WindowReveal,
        Self::CellarDamp,
        Self::FuseBox,
        Self::BathTiles,
        Self::CeilingStain,
        Self::DeliveryNote,
    ];
}

/// JPEG quality of a phone's camera.
const QUALITY: f32 = 90.0;
/// Longest side that is drawn; larger wishes are cut to it.
const MAX_SIDE: u32 = 8_000;

/// Draws `scene`; sizes are in pixels and cut to 8…8000.
pub fn photo(scene: Scene, seed: u64, width: u32, height: u32) -> RgbImage {
    let (w, h) = (width.clamp(8, MAX_SIDE), height.clamp(8, MAX_SIDE));
    let mut dice = Dice::new(seed.wrapping_mul(31).wrapping_add(scene as u64));
    let d = &mut dice;
    // A scene is its own type, so that its painter is compiled into the loop.
    match scene {
        Scene::TornVerge => {
            let l = Light::outside(d);
            render(w, h, seed, &l, roof::verge(d))
        }
        Scene::MissingTile => {
            let l = Light::outside(d);
            render(w, h, seed, &l, roof::missing(d))
        }
        Scene::RoofDone => {
            let l = Light::outside(d);
            render(w, h, seed, &l, roof::done(d))
        }
        Scene::Battens => {
            let l = Light::outside(d);
            render(w, h, seed, &l, roof::battens(d))
        }
        Scene::Gutter => {
            let l = Light::outside(d);
            render(w, h, seed, &l, facade::gutter(d))
        }
        Scene::Scaffold => {
            let l = Light::outside(d);
            render(w, h, seed, &l, facade::scaffold(d))
        }
        Scene::WindowReveal => {
            let l = Light::outside(d);
            render(w, h, seed, &l, facade::reveal(d))
        }
        Scene::CellarDamp => {
            let l = Light::inside(d);
            render(w, h, seed, &l, indoor::cellar(d))
        }
        Scene::FuseBox => {
            let l = Light::inside(d);
            render(w, h, seed, &l, indoor::fuse_box(d))
        }
        Scene::BathTiles => {
            let l = Light::inside(d);
            render(w, h, seed, &l, indoor::bath(d))
        }
        Scene::CeilingStain => {
            let l = Light::inside(d);
            render(w, h, seed, &l, indoor::ceiling(d))
        }
        Scene::DeliveryNote => {
            let l = Light::outside(d);
            render(w, h, seed, &l, paper::delivery_note(d))
        }
    }
}

/// The photo as a phone would store it: JPEG with EXIF. `width` and `height`
/// are of the picture as it is meant to be seen; with
/// [`Orientation::Rotate90`] the pixels are stored lying on their side.
/// Empty only if the encoder fails, which it does for no picture drawn here.
pub fn jpeg(scene: Scene, seed: u64, width: u32, height: u32, exif: &ExifData) -> Vec<u8> {
    let upright = photo(scene, seed, width, height);
    let stored = match exif.orientation {
        Orientation::Upright => upright,
        Orientation::Rotate90 => image::imageops::rotate270(&upright),
    };
    encode(&stored, &exif.app1()).unwrap_or_default()
}

fn encode(picture: &RgbImage, app1: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_fastest_defaults();
    encoder.set_size(picture.width() as usize, picture.height() as usize);
    encoder.set_quality(QUALITY);
    let mut started = encoder.start_compress(Vec::new())?;
    started.write_marker(mozjpeg::Marker::APP(1), app1);
    started.write_scanlines(picture.as_raw())?;
    started.finish()
}
