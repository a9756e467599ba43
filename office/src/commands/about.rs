//! `kolonne about`: version, licence, and how pictures are computed on this machine.

use kolonne_core::media;
use serde_json::json;

use super::Context;

/// Shows.
pub fn run(context: &Context) {
    let out = context.output;
    let version = env!("CARGO_PKG_VERSION");
    let simd = match media::simd_in() {
        Some(true) => "in",
        Some(false) => "out",
        None => "unknown",
    };
    out.json(&json!({ "version": version, "license": "Apache-2.0", "simd": simd }));
    out.line(&format!("Kolonne {version}"));
    out.line(out.of("Lizenz: Apache-2.0", "Licence: Apache-2.0"));
    out.line(&format!(
        "{}: {}",
        out.of("Bilder mit SIMD", "Pictures with SIMD"),
        match simd {
            "in" => out.of("ja", "yes"),
            "out" => out.of("nein", "no"),
            _ => out.of(
                "unbekannt (hängt vom Bau ab)",
                "unknown (depends on the build)"
            ),
        }
    ));
}
