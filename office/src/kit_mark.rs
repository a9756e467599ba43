//! A founding leaves a mark in the device's folder until somebody has shown that they have the
//! recovery kit on paper. It says no more than that, and is no secret.

use std::path::Path;

const UNCONFIRMED: &str = "kit-unconfirmed";

/// How a kit was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandedOut {
    /// Somebody said that they have it, and read from it; or a script took it.
    Confirmed,
    /// It was on the screen.
    Shown,
}

/// Remembers whether anyone has the kit; what can't be remembered is not worth failing for.
pub fn note(dir: &Path, handed_out: HandedOut) {
    let mark = dir.join(UNCONFIRMED);
    let _ = match handed_out {
        HandedOut::Shown => std::fs::write(mark, []),
        HandedOut::Confirmed => std::fs::remove_file(mark),
    };
}

/// Whether nobody confirmed yet that they have the kit.
pub fn is_unconfirmed(dir: &Path) -> bool {
    dir.join(UNCONFIRMED).exists()
}
