//! `kolonne sealed`: opens what is sealed for who asks, into a file or onto standard output, and
//! seals it again. The only clear copy is the one that was asked for.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde_json::json;

use super::{Context, pick};
use crate::cli::SealedCommand;
use crate::failure::{Failure, Outcome};
use crate::output::{clean_line, size};

/// Opens or seals again.
pub async fn run(context: &Context, command: SealedCommand) -> Outcome {
    let out = context.output;
    match command {
        SealedCommand::Open { entry, to } => {
            let (kolonne, _, seat) = context.act(&entry.acting)?;
            let job = entry.job.as_deref();
            let id = pick::entry_of(&kolonne, &seat.seat, job, &entry.entry)?;
            let opened = kolonne.open_sealed(&seat.seat, &id)?;
            if to.as_os_str() == "-" {
                std::io::stdout().write_all(&opened.bytes)?;
                return Ok(());
            }
            write_new(&to, &opened.bytes)?;
            let bytes = u64::try_from(opened.bytes.len()).unwrap_or(u64::MAX);
            out.line(&format!(
                "{} ({}): {}",
                clean_line(&opened.name),
                size(bytes, out.language),
                to.display()
            ));
            out.json(&json!({
                "entry": id,
                "name": opened.name,
                "type": opened.media_type,
                "bytes": bytes,
                "file": to,
            }));
        }
        SealedCommand::Again { entry, people } => {
            let (kolonne, _, seat) = context.act(&entry.acting)?;
            let job = entry.job.as_deref();
            let id = pick::entry_of(&kolonne, &seat.seat, job, &entry.entry)?;
            let to = pick::seal_for(&kolonne, &people)?;
            let again = kolonne.seal_again(&seat.seat, &id, &to, None)?;
            context.hand_over(&kolonne).await;
            let start: String = again.to_string().chars().take(8).collect();
            out.line(&format!("{start}  {}", out.of("versiegelt", "sealed")));
            out.json(&json!({ "entry": again }));
        }
    }
    Ok(())
}

/// A new file for its owner alone.
fn write_new(path: &Path, bytes: &[u8]) -> Outcome {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::new("invalid.to.taken").about(path.display().to_string())
        }
        _ => error.into(),
    })?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}
