//! `kolonne sync`: exchanges what is new, once or until Ctrl-C.

use kolonne_core::records::{HubState, NewHub, Outbox};
use kolonne_core::{Budget, Kolonne};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::seat::show_awaited;
use super::{Context, stopped};
use crate::cli::SyncArgs;
use crate::failure::{Failure, Outcome, needs_hub};
use crate::output::{Output, Thing, count_of, counts_of, size};

/// Exchanges.
pub async fn run(context: &Context, args: SyncArgs) -> Outcome {
    // Whoever is named has their PIN in: some keys only they can make for a colleague.
    let kolonne = if args.acting.who.is_some() {
        context.act(&args.acting)?.0
    } else {
        context.open(&args.acting.place)?
    };
    if args.watch {
        watch(context, &kolonne).await
    } else {
        once(context, &kolonne).await
    }
}

async fn once(context: &Context, kolonne: &Kolonne) -> Outcome {
    let out = context.output;
    kolonne.nudge();
    let report = tokio::select! {
        report = kolonne.sync_once(Budget::unlimited()) => report.map_err(needs_hub)?,
        () = stopped() => return Err(Failure::new("cancelled")),
    };
    out.json(&json!({
        "pushed_ops": report.pushed_ops,
        "pulled_ops": report.pulled_ops,
        "uploaded_bytes": report.uploaded_bytes,
        "downloaded_bytes": report.downloaded_bytes,
        "left": report.left,
    }));
    out.line(&format!(
        "{}: {} {}, {} {}; {}: {} {}, {} {}",
        out.of("Neues", "News"),
        report.pushed_ops,
        out.of("hin", "out"),
        report.pulled_ops,
        out.of("her", "in"),
        out.of("Dateien", "files"),
        size(report.uploaded_bytes, out.language),
        out.of("hin", "out"),
        size(report.downloaded_bytes, out.language),
        out.of("her", "in"),
    ));
    show_awaited(out, &kolonne.me()?.seats);
    let new_hub = kolonne.status()?.new_hub;
    super::new_hub::show(out, new_hub.as_ref());
    show_outbox(out, &report.left, new_hub.as_ref());
    Ok(())
}

async fn watch(context: &Context, kolonne: &Kolonne) -> Outcome {
    let out = context.output;
    let mut changes = kolonne.subscribe();
    let task = kolonne.start_sync();
    let (mut shown, mut awaited) = (None, Vec::new());
    let mut end = std::pin::pin!(stopped());
    loop {
        let status = kolonne.status()?;
        let now = (status.hub, status.outbox);
        if shown != Some(now) {
            shown = Some(now);
            out.json(&status);
            out.line(match status.hub {
                HubState::Reachable => out.of("Verbunden.", "Connected."),
                HubState::Uncertified => out.of(
                    "Ein neuer Hub antwortet, den das Büro noch nicht bestätigt hat.",
                    "A new hub answers that the office hasn't confirmed yet.",
                ),
                HubState::Foreign => out.of(
                    "An der Adresse des Hubs antwortet ein anderer. Prüfe Netz (Anmeldeseite?) und Adresse.",
                    "Someone else than your hub answers at its address. Check network (a login page?) and address.",
                ),
                HubState::NotNow => out.of(
                    "Der Hub nimmt gerade nichts mehr an. Es geht von selbst weiter.",
                    "The hub takes nothing more just now. It goes on by itself.",
                ),
                HubState::Unknown => out.of("Verbinde …", "Connecting …"),
                HubState::Unreachable | HubState::Flight => {
                    out.of("Gerade keine Verbindung.", "No connection right now.")
                }
            });
            show_outbox(out, &status.outbox, status.new_hub.as_ref());
        }
        let seats = kolonne.me()?.seats;
        let now: Vec<_> = seats.iter().map(|seat| seat.awaited).collect();
        if awaited != now {
            awaited = now;
            show_awaited(out, &seats);
        }
        tokio::select! {
            changed = changes.recv() => if matches!(changed, Err(RecvError::Closed)) { break },
            () = &mut end => break,
        }
    }
    task.stop().await;
    Ok(())
}

/// What is still on its way, in words.
pub fn show_outbox(out: Output, outbox: &Outbox, new_hub: Option<&NewHub>) {
    if *outbox == Outbox::default() {
        // At a hub that nobody has confirmed nothing counts as handed over.
        if new_hub.is_some() {
            return;
        }
        out.line(out.of("Alles übertragen.", "Everything is handed over."));
        return;
    }
    let things = [
        (outbox.ops, Thing::Entry),
        (outbox.photos, Thing::Photo),
        (outbox.originals, Thing::Original),
        (outbox.voices, Thing::Voice),
        (outbox.files, Thing::File),
    ];
    let mut said = counts_of(out, &things);
    if said.is_empty() {
        // Keys and marks, which nobody wrote by hand.
        said = count_of(out, 0, Thing::Entry);
    }
    out.line(&format!(
        "{}: {said}, {}",
        out.of("Noch auf diesem Gerät", "Still on this device"),
        size(outbox.bytes, out.language),
    ));
    if outbox.stuck > 0 {
        out.line(&format!(
            "{}: {} (kolonne stuck list)",
            out.of("Hängt fest", "Stuck"),
            outbox.stuck
        ));
    }
}
