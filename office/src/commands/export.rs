//! `kolonne export`: one entry for somebody without Kolonne, as standard age files and their key.

use std::path::Path;

use kolonne_core::Kolonne;
use kolonne_model::ids::{OpId, SeatId};
use serde_json::json;

use super::{Context, pick};
use crate::cli::ExportArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, clean_line};

/// Exports.
pub fn run(context: &Context, args: &ExportArgs) -> Outcome {
    let out = context.output;
    let (kolonne, _, seat) = context.act(&args.entry.acting)?;
    let job = args.entry.job.as_deref();
    let id = pick::entry_of(&kolonne, &seat.seat, job, &args.entry.entry)?;
    entry(out, &kolonne, &seat.seat, &id, &args.to)
}

/// Exports this one.
pub fn entry(out: Output, kolonne: &Kolonne, seat: &SeatId, id: &OpId, to: &Path) -> Outcome {
    let exported = kolonne
        .export(seat, id, to)
        .map_err(|error| Failure::from(error).about(to.display().to_string()))?;
    for file in &exported.files {
        let path = file.path.display();
        out.line(&match &file.name {
            Some(name) => format!("{path}  ({})", clean_line(name)),
            None => path.to_string(),
        });
    }
    out.line(&exported.key.display().to_string());
    if !exported.files.is_empty() {
        out.hint(out.of(
            "Mit dem Schlüssel öffnet es jeder: gib beides nur denen, die es sehen sollen. So geht es ohne Kolonne:",
            "Whoever has the key opens it: give both only to those who should see it. Without Kolonne it opens so:",
        ));
        for file in &exported.files {
            // A sealed one is filled up with zeros: the file ends where it ends.
            out.hint(&format!(
                "age -d -i \"{}\" \"{}\" | head -c {} > {}",
                exported.key.display(),
                file.path.display(),
                file.plain_bytes,
                out.of("DATEI", "FILE"),
            ));
        }
    }
    out.json(&json!({ "entry": id, "key": exported.key, "files": exported.files }));
    Ok(())
}
