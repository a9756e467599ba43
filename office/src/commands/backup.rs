//! `kolonne backup`: everything on this device in one file, for the day on which hub and office are
//! gone. Only the recovery kit opens it.

use std::io::IsTerminal;

use kolonne_core::BackupProgress;
use serde_json::json;

use super::Context;
use crate::cli::BackupArgs;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, counted, size};

/// Writes and reads back.
pub async fn run(context: &Context, args: BackupArgs) -> Outcome {
    let out = context.output;
    let kolonne = context.open(&args.place)?;
    let shown = args.file.display().to_string();
    let file = args.file;
    let mut told = teller(out);
    let made = tokio::task::spawn_blocking(move || kolonne.backup(&file, &mut told)).await?;
    let made = made.map_err(|error| Failure::from(error).about(shown.clone()))?;
    out.json(&json!({
        "file": shown, "ops": made.ops, "files": made.blobs, "damaged": made.damaged,
        "bytes": made.bytes,
    }));
    out.line(&format!(
        "{} {shown}: {}, {}.",
        out.of(
            "Sicherung geschrieben und nachgelesen:",
            "Backup written and read back:"
        ),
        counted(
            made.blobs,
            out.of("Datei", "file"),
            out.of("Dateien", "files")
        ),
        size(made.bytes, out.language),
    ));
    if made.damaged > 0 {
        out.line(&format!(
            "{}: {}",
            out.of(
                "Auf diesem Gerät beschädigt und darum nicht dabei",
                "Damaged on this device and so not in it"
            ),
            made.damaged
        ));
    }
    out.line(out.of(
        "Sie öffnet sich mit dem Notfallbogen, der jetzt gilt, und mit keinem späteren: nach „kolonne kit replace“ schreibe eine neue. Lege sie an einen anderen Ort als ihn und diesen Computer.",
        "It opens with the recovery kit that holds now, and with no later one: after “kolonne kit replace” write a new one. Put it in another place than the kit and this computer.",
    ));
    Ok(())
}

/// Says on a terminal how far it is, ten times in all.
pub fn teller(out: Output) -> impl FnMut(BackupProgress) + Send + 'static {
    let shows = std::io::stderr().is_terminal();
    let mut tenths = 0;
    move |progress| {
        let now = progress
            .done_bytes
            .saturating_mul(10)
            .checked_div(progress.total_bytes)
            .unwrap_or(0);
        if shows && now > tenths {
            tenths = now;
            out.hint(&format!(
                "{} / {}",
                size(progress.done_bytes, out.language),
                size(progress.total_bytes, out.language)
            ));
        }
    }
}
