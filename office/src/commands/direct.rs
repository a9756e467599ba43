//! `kolonne direct`: the thread among a few people, opened or found.

use serde_json::json;

use super::{Context, pick};
use crate::cli::DirectArgs;
use crate::failure::Outcome;
use crate::output::clean_line;

/// Opens or finds.
pub async fn run(context: &Context, args: DirectArgs) -> Outcome {
    let out = context.output;
    let (kolonne, _, seat) = context.act(&args.acting)?;
    let people = pick::people(&kolonne, &args.people)?;
    let id = kolonne.open_direct(&seat.seat, &people)?;
    context.hand_over(&kolonne).await;
    let thread = kolonne.thread(&seat.seat, &id)?;
    out.json(&json!({ "id": id, "title": thread.row.title }));
    out.line(&format!(
        "{} {}",
        out.of("Nur unter euch:", "Among yourselves:"),
        clean_line(&thread.row.title)
    ));
    Ok(())
}
