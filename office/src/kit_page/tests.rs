#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use std::process::{Command, Stdio};

use kolonne_core::crypt::RootSeed;

use super::*;

fn page(kit: &str) -> Zeroizing<Vec<u8>> {
    let page = KitPage {
        kit,
        company: "Dachdeckerei Müller & Söhne, Łódź",
        hub_url: "https://hub.example.de:4700",
        made_ms: 1_764_000_000_000,
    };
    page.pdf().unwrap()
}

/// The dark squares as the page has them, painted as a printer would.
fn scanned(pdf: &[u8]) -> String {
    let text = String::from_utf8_lossy(pdf);
    let rects: Vec<[f32; 4]> = text
        .lines()
        .filter_map(|line| line.strip_suffix(" re"))
        .filter_map(|line| {
            let numbers: Vec<f32> = line.split(' ').filter_map(|n| n.parse().ok()).collect();
            <[f32; 4]>::try_from(numbers).ok()
        })
        .filter(|[.., width, height]| (width - height).abs() < 0.01)
        .collect();
    let dark = |x: f32, y: f32| {
        rects
            .iter()
            .any(|[left, low, w, h]| (*left..left + w).contains(&x) && (*low..low + h).contains(&y))
    };
    let (left, low, dots) = (LEFT, HEIGHT - 420.0, 400);
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(dots, dots, |x, y| {
        let at = |n: usize| f32::from(u16::try_from(n).unwrap()) / 2.0;
        if dark(left + at(x), low + at(dots - y)) {
            0
        } else {
            255
        }
    });
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one code on the page");
    grids[0].decode().unwrap().1
}

#[test]
fn the_printed_code_is_the_same_kit() {
    let root = RootSeed::from_bytes([7; 32]);
    let read = scanned(&page(&root.to_kit_text()));
    assert!(RootSeed::from_kit_text(&read).unwrap() == root);
}

#[test]
fn the_page_is_one_and_names_every_group() {
    let kit = RootSeed::from_bytes(std::array::from_fn(|at| at as u8)).to_kit_text();
    let pdf = page(&kit);
    let text = String::from_utf8_lossy(&pdf);
    assert!(text.contains("/Count 1"));
    for number in 1..=kit::GROUPS {
        let group = kit::group(&kit, number).unwrap();
        assert_eq!(text.matches(&format!("({group})")).count(), 1, "{number}");
    }
}

#[test]
fn a_reader_of_pdfs_finds_groups_umlauts_and_address() {
    let kit = RootSeed::from_bytes([9; 32]).to_kit_text();
    let Some(text) = by_pdftotext(&page(&kit)) else {
        assert!(std::env::var("CI").is_err(), "poppler-utils is missing");
        println!("SKIPPED: no pdftotext here");
        return;
    };
    for number in 1..=kit::GROUPS {
        assert!(text.contains(kit::group(&kit, number).unwrap()), "{number}");
    }
    for said in [
        "Dachdeckerei Müller & Söhne, Lód",
        "https://hub.example.de:4700",
        "Wer diesen Bogen hat, kann alles lesen.",
        "Whoever has this page can read everything.",
        "groß oder klein",
    ] {
        assert!(text.contains(said), "{said}");
    }
}

/// Through pipes, as the printer gets it.
fn by_pdftotext(pdf: &[u8]) -> Option<String> {
    use std::io::Write;
    let mut child = Command::new("pdftotext")
        .args(["-layout", "-enc", "UTF-8", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(pdf).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn long_names_get_smaller_instead_of_leaving_the_page() {
    let long = "x".repeat(200);
    assert!(fitting(&long, 480.0, 18.0, 0.64) * 0.64 * 200.0 <= 480.1);
    assert!((fitting("Kurz", 480.0, 18.0, 0.64) - 18.0).abs() < 0.01);
}
