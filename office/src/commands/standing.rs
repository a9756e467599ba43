//! `kolonne stuck`, `device hand-back` and the words for what is missing from a device: where things
//! are, in sentences.
//!
//! Throwing away asks twice: what it does, then whether really. Words are never thrown away.

use kolonne_core::records::{
    Backlog, EntryKind, HandBack, HandBackStanding, LackKind, Part, Stuck,
};
use kolonne_core::{Error, Kolonne};
use kolonne_model::ids::{Hash32, SeatId};
use serde_json::json;

use super::{Context, pick};
use crate::cli::{Place, StuckCommand};
use crate::failure::{Failure, Outcome};
use crate::output::{
    Output, Thing, age, clean_line, count_of, counted, counts_of, kind_word, size, time,
};
use crate::texts::text;

/// `kolonne stuck`
pub async fn stuck(context: &Context, command: StuckCommand) -> Outcome {
    let out = context.output;
    match command {
        StuckCommand::List { acting } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let stuck = kolonne.stuck(&seat.seat)?;
            out.json(&json!({ "stuck": stuck }));
            for one in &stuck {
                out.line(&stuck_line(out, one));
                let why = text(&format!("stuck.{}", one.why));
                out.line(&format!("  {}", why.said(out.language)));
            }
            if stuck.is_empty() {
                out.hint(out.of("Nichts hängt fest.", "Nothing is stuck."));
            }
            Ok(())
        }
        StuckCommand::Retry { acting, id } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let id = match id {
                Some(id) => vec![one(&kolonne, &seat.seat, &id)?.id],
                None => ids(&kolonne.stuck(&seat.seat)?),
            };
            for id in &id {
                kolonne.retry_stuck(id)?;
            }
            context.hand_over(&kolonne).await;
            let left = kolonne.stuck(&seat.seat)?;
            out.json(&json!({ "retried": id, "stuck": left }));
            out.line(&format!(
                "{}: {}. {}: {}.",
                out.of("Noch einmal versucht", "Tried again"),
                id.len(),
                out.of("Hängt noch fest", "Still stuck"),
                left.len()
            ));
            Ok(())
        }
        StuckCommand::Export { acting, id, to } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let stuck = one(&kolonne, &seat.seat, &id)?;
            let missing = Error::NotFound { kind: "media" };
            let entry = stuck.entry.ok_or(missing)?;
            super::export::entry(out, &kolonne, &seat.seat, &entry, &to)
        }
        StuckCommand::Discard {
            acting,
            id,
            reason,
            yes,
        } => {
            let (kolonne, _, seat) = context.act(&acting)?;
            let stuck = one(&kolonne, &seat.seat, &id)?;
            if !stuck.may_discard {
                return Err(Failure::new("invalid.stuck.signed").about(id));
            }
            out.hint(&stuck_line(out, &stuck));
            if !yes {
                confirm(out).await?;
            }
            kolonne.discard_stuck(&seat.seat, &stuck.id, &reason)?;
            context.hand_over(&kolonne).await;
            out.json(&json!({ "discarded": stuck.id, "entry": stuck.entry }));
            out.line(out.of(
                "Verworfen. Der Eintrag ist zurückgenommen; im Verlauf steht der Grund.",
                "Discarded. The entry is taken back; the thread shows the reason.",
            ));
            Ok(())
        }
    }
}

fn ids(stuck: &[Stuck]) -> Vec<Hash32> {
    stuck.iter().map(|one| one.id).collect()
}

/// The one that is meant, by the beginning of its id.
fn one(kolonne: &Kolonne, seat: &SeatId, wanted: &str) -> Outcome<Stuck> {
    let stuck = kolonne.stuck(seat)?;
    let wanted = wanted.trim().to_lowercase();
    let mut found = stuck
        .into_iter()
        .filter(|one| wanted.len() >= 3 && one.id.to_string().starts_with(&wanted));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Failure::new("ambiguous").about(wanted)),
        (None, _) => Err(Failure::new("not_found.stuck").about(wanted)),
    }
}

async fn confirm(out: Output) -> Outcome {
    let questions = [
        out.of(
            "Die Datei verwerfen? Der ganze Eintrag wird zurückgenommen, mit allen seinen Dateien; im Verlauf steht der Grund.",
            "Discard the file? The whole entry is taken back, with all of its files; the thread shows the reason.",
        ),
        out.of(
            "Wirklich? Die Dateien werden hier gelöscht. Das lässt sich nicht zurücknehmen.",
            "Really? The files are deleted here. It can't be taken back.",
        ),
    ];
    for question in questions {
        match out.ask(question).await {
            Some(true) => {}
            Some(false) => return Err(Failure::new("discard_denied")),
            None => return Err(Failure::new("discard_unasked")),
        }
    }
    Ok(())
}

fn stuck_line(out: Output, stuck: &Stuck) -> String {
    let what = match (stuck.kind, stuck.part) {
        (None, _) => out.of("etwas anderes", "something else"),
        (Some(_), Some(Part::Original)) => out.of("Original", "original"),
        (Some(EntryKind::Text), _) => out.of("Text", "text"),
        (Some(kind), _) => kind_word(kind, out.language),
    };
    let mut said = vec![format!("{}  {what}", pick::short(&stuck.id))];
    said.extend(stuck.title.as_deref().map(clean_line));
    if stuck.bytes > 0 {
        said.push(size(stuck.bytes, out.language));
    }
    if let Some(since_ms) = stuck.since_ms {
        said.push(time(since_ms, out.language));
    }
    said.join(" · ")
}

/// `kolonne device hand-back`
pub fn hand_back(context: &Context, place: &Place) -> Outcome {
    let out = context.output;
    let kolonne = context.open(place)?;
    let said = kolonne.hand_back()?;
    out.json(&said);
    for line in hand_back_said(out, &said) {
        out.line(&line);
    }
    Ok(())
}

fn hand_back_said(out: Output, said: &HandBack) -> Vec<String> {
    let first = match said.standing {
        HandBackStanding::AtOffice => out.of(
            "Dieses Gerät kann weg: Alles ist im Büro.",
            "This device may go: everything is at the office.",
        ),
        HandBackStanding::AtHub => out.of(
            "Dieses Gerät kann weg: Alles ist übertragen, das Büro holt es noch ab.",
            "This device may go: everything is sent, the office fetches it yet.",
        ),
        HandBackStanding::NotYet => out.of(
            "Noch nicht weggeben: Das hier ist nur auf diesem Gerät.",
            "Don't give it away yet: this is on this device alone.",
        ),
    };
    let mut lines = vec![first.to_owned()];
    for lack in &said.lacks {
        lines.push(format!(
            "  {}",
            match lack.what {
                LackKind::Entries => count_of(out, lack.n, Thing::Entry),
                LackKind::Photos => count_of(out, lack.n, Thing::Photo),
                LackKind::Voices => count_of(out, lack.n, Thing::Voice),
                LackKind::Files => count_of(out, lack.n, Thing::File),
                LackKind::Originals => count_of(out, lack.n, Thing::Original),
                LackKind::Others => counted(
                    lack.n,
                    out.of("Schlüssel oder Vermerk", "key or mark"),
                    out.of("Schlüssel und Vermerke", "keys and marks"),
                ),
                LackKind::Stuck => format!(
                    "{} {} (kolonne stuck list)",
                    lack.n,
                    out.of("davon hängt fest", "of it stuck")
                ),
                LackKind::Contact => out
                    .of(
                        "Der Hub hat seit dem letzten Eintrag nicht geantwortet: geh ins Netz.",
                        "The hub hasn't answered since the last entry: connect.",
                    )
                    .to_owned(),
                LackKind::NewHub => out
                    .of(
                        "Ein neuer Hub antwortet, den das Büro noch nicht bestätigt hat.",
                        "A new hub answers that the office hasn't confirmed yet.",
                    )
                    .to_owned(),
            }
        ));
    }
    if said.bytes > 0 {
        lines.push(format!("  {}", size(said.bytes, out.language)));
    }
    if said.standing == HandBackStanding::AtHub {
        lines.push(format!(
            "  {}: {}",
            out.of("Noch nicht im Büro", "Not at the office yet"),
            count_of(out, said.unseen, Thing::Entry)
        ));
    }
    lines
}

fn missing(backlog: &Backlog) -> [(u64, Thing); 5] {
    [
        (backlog.photos, Thing::Photo),
        (backlog.originals, Thing::Original),
        (backlog.voices, Thing::Voice),
        (backlog.files, Thing::File),
        (backlog.gaps, Thing::Gap),
    ]
}

/// "1 Foto, 2 Originale": what is missing from a device.
pub fn missing_of(out: Output, backlog: &Backlog) -> String {
    counts_of(out, &missing(backlog))
}

/// "2 Originale fehlen seit 2 h", as the office says it of a device.
pub fn backlog_said(out: Output, backlog: &Backlog, now_ms: u64) -> String {
    let many: u64 = missing(backlog).iter().map(|(n, _)| n).sum();
    let missing = if many == 1 {
        out.of("fehlt", "missing")
    } else {
        out.of("fehlen", "missing")
    };
    let mut said = format!("{} {missing}", missing_of(out, backlog));
    if backlog.since_ms < u64::MAX {
        let since = age(now_ms.saturating_sub(backlog.since_ms), out.language);
        said = format!("{said} {} {since}", out.of("seit", "for"));
    }
    if backlog.bytes > 0 {
        said = format!("{said} ({})", size(backlog.bytes, out.language));
    }
    said
}
