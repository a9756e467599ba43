//! `kolonne read`: marks a thread as read.

use serde_json::json;

use super::{Context, pick};
use crate::cli::ReadArgs;
use crate::failure::Outcome;

/// Marks.
pub async fn run(context: &Context, args: ReadArgs) -> Outcome {
    let (kolonne, _, seat) = context.act(&args.acting)?;
    let job = pick::job(&kolonne, &seat.seat, &args.job)?;
    let up_to = match &args.up_to {
        Some(wanted) => Some(pick::entry(&kolonne, &seat.seat, &job.id, wanted)?),
        None => kolonne
            .entries(&seat.seat, &job.id, None, 1)?
            .entries
            .last()
            .map(|e| e.id),
    };
    if let Some(up_to) = up_to {
        kolonne.mark_read(&seat.seat, &job.id, &up_to)?;
        context.hand_over(&kolonne).await;
    }
    context
        .output
        .json(&json!({ "thread": job.id, "up_to": up_to }));
    context.output.line(context.output.of("Gelesen.", "Read."));
    Ok(())
}
