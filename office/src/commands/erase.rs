//! `kolonne erase`: takes content away for good, with a trace.
//!
//! It asks first: what is destroyed can't be had back. Nothing here prints what is erased.

use kolonne_core::records::ErasureRecord;
use kolonne_core::{Erased, Kolonne};
use kolonne_model::control::EraseReason;
use kolonne_model::ids::{OpId, SeatId};
use serde_json::json;

use super::{Context, pick};
use crate::cli::{EraseCommand, ReasonWord};
use crate::failure::{Failure, Outcome};
use crate::lang::Language;
use crate::output::{Output, clean_line, counted, reason_said, time};

/// Erases, lists, confirms, or sets the delay.
pub async fn run(context: &Context, command: EraseCommand) -> Outcome {
    let out = context.output;
    match command {
        EraseCommand::Entry {
            acting,
            job,
            reason,
            entries,
            yes,
        } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let job = pick::job(&kolonne, &seat.seat, &job)?;
            let entries = entries
                .iter()
                .map(|entry| pick::entry(&kolonne, &seat.seat, &job.id, entry))
                .collect::<Outcome<Vec<OpId>>>()?;
            let reason = match reason {
                ReasonWord::Personal => EraseReason::PersonalData,
                ReasonWord::Mistake => EraseReason::Mistake,
                ReasonWord::Expired => EraseReason::Expired,
            };
            erase(context, &kolonne, &seat.seat, (&entries, reason), yes).await
        }
        EraseCommand::List { place } => {
            let kolonne = context.open(&place)?;
            let erasures = kolonne.erasures()?;
            out.json(&json!({ "erasures": erasures }));
            for erasure in &erasures {
                out.line(&said_of(out, erasure));
            }
            if erasures.is_empty() {
                out.hint(out.of(
                    "Nichts wartet darauf, vernichtet zu werden.",
                    "Nothing waits to be destroyed.",
                ));
            }
            Ok(())
        }
        EraseCommand::Confirm { acting, job, yes } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let row = pick::job(&kolonne, &seat.seat, &job)?;
            let waiting: Vec<ErasureRecord> = kolonne
                .erasures()?
                .into_iter()
                .filter(|erasure| erasure.needs_second && erasure.thread == row.id)
                .collect();
            let Some(reason) = waiting.first().map(|erasure| erasure.reason) else {
                return Err(Failure::new("not_found.erasure").about(job));
            };
            let entries: Vec<OpId> = waiting.iter().map(|erasure| erasure.entry).collect();
            erase(context, &kolonne, &seat.seat, (&entries, reason), yes).await
        }
        EraseCommand::Delay { acting, days } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            if let Some(days) = days {
                kolonne.set_erase_days(&seat.seat, days)?;
                context.hand_over(&kolonne).await;
            }
            let days = kolonne.erase_days()?;
            out.json(&json!({ "days": days }));
            out.line(&format!(
                "{} {days} {}",
                out.of("Vernichtet wird nach", "Destroyed after"),
                out.of("Tagen.", "days.")
            ));
            Ok(())
        }
    }
}

async fn erase(
    context: &Context,
    kolonne: &Kolonne,
    seat: &SeatId,
    (entries, reason): (&[OpId], EraseReason),
    yes: bool,
) -> Outcome {
    let out = context.output;
    if !yes {
        let n = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let question = match out.language {
            Language::De => format!(
                "{} für alle löschen? Das lässt sich nicht zurücknehmen.",
                counted(n, "Eintrag", "Einträge")
            ),
            Language::En => format!(
                "Erase {} for everyone? It can't be taken back.",
                counted(n, "entry", "entries")
            ),
        };
        match out.ask(&question).await {
            Some(true) => {}
            Some(false) => return Err(Failure::new("erase_denied")),
            None => return Err(Failure::new("erase_unasked")),
        }
    }
    let erased: Erased = kolonne.erase(seat, entries, reason)?;
    context.hand_over(kolonne).await;
    out.json(&json!(erased));
    out.line(&format!(
        "{} {} {}",
        out.of(
            "Gelöscht. Niemand sieht es mehr; vernichtet wird es auf jedem Gerät nach",
            "Erased. Nobody sees it any more; every device destroys it after",
        ),
        erased.days,
        out.of("Tagen.", "days.")
    ));
    if erased.need_second > 0 {
        out.hint(&format!(
            "{} {}",
            erased.need_second,
            out.of(
                "davon bleiben nur verborgen, bis eine zweite Person im Büro sie auch löscht (erase confirm).",
                "of them stay only hidden until a second office person erases them too (erase confirm).",
            )
        ));
    }
    Ok(())
}

fn said_of(out: Output, erasure: &ErasureRecord) -> String {
    let id: String = erasure.entry.to_string().chars().take(8).collect();
    let reason = reason_said(erasure.reason, out.language);
    let stands = match (erasure.needs_second, erasure.gone_ms) {
        (true, _) => out
            .of("wartet auf eine zweite Person", "waits for a second person")
            .to_owned(),
        (false, Some(ms)) => format!(
            "{} {}",
            out.of("wird vernichtet am", "is destroyed on"),
            time(ms, out.language)
        ),
        (false, None) => out.of("wird vernichtet", "will be destroyed").to_owned(),
    };
    let by = clean_line(&erasure.by.join(", "));
    format!("{id}  {by}: {reason}, {stands}")
}
