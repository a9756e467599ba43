//! `kolonne invite`: shows a code, compares four words, admits. The words mean something only if a
//! person compares them; the flag for scripts says so in its name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kolonne_core::{Invitation, InviteState, Kolonne, NewInvite, SeatGrant};
use kolonne_model::roster::change::{DeviceKind, Role};
use serde_json::json;

use super::{Context, stopped};
use crate::cli::{InviteArgs, RoleWord};
use crate::failure::{Failure, Outcome, needs_hub};
use crate::output;

const POLL: Duration = Duration::from_millis(500);
/// Longest try to tell a device that it isn't admitted.
const LAST_WORD: Duration = Duration::from_secs(5);

/// The four words, German and English.
pub type Words = [(&'static str, &'static str); 4];

/// Admits a device.
pub async fn run(context: &Context, args: InviteArgs) -> Outcome {
    let out = context.output;
    let (kolonne, _, seat) = context.act(&args.acting)?;
    let new = new_invite(&kolonne, &args)?;
    let mut invitation = kolonne.invite(&seat.seat, new).await.map_err(needs_hub)?;
    if let Some(days) = args.days {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let until = now.unwrap_or_default() + Duration::from_hours(24 * days);
        invitation = invitation.until(u64::try_from(until.as_millis()).unwrap_or(u64::MAX));
    }
    let code = invitation.text();
    out.json(&json!({ "code": code, "expires_ms": invitation.expires_ms() }));
    if !out.is_json()
        && let Some(blocks) = output::qr_blocks(&code)
    {
        out.line(&blocks);
    }
    out.line(&code);
    out.hint(out.of(
        "\nMit dem Handy scannen, oder dort „kolonne enrol“ mit diesem Code. Er gilt zehn Minuten.",
        "\nScan it with the phone, or call “kolonne enrol” there with this code. It holds for ten minutes.",
    ));
    let admitted = tokio::select! {
        admitted = admit(context, &mut invitation, &args) => admitted,
        () = stopped() => Err(Failure::new("cancelled")),
    };
    if let Err(failure) = admitted {
        // Who waits for an admission that won't come is told; for a moment, should the hub be gone.
        drop(tokio::time::timeout(LAST_WORD, invitation.deny()).await);
        return Err(failure);
    }
    // Names of new people and crews go along.
    context.hand_over(&kolonne).await;
    out.json(&json!({ "state": "admitted" }));
    out.line(&format!(
        "{}: {}",
        out.of("Aufgenommen", "Admitted"),
        args.device_name
    ));
    Ok(())
}

/// Waits for the device, compares, admits.
async fn admit(context: &Context, invitation: &mut Invitation, args: &InviteArgs) -> Outcome {
    let out = context.output;
    let mut compared = false;
    loop {
        match invitation.step().await.map_err(needs_hub)? {
            InviteState::Words(words) if !compared => {
                show_words(context, &words);
                if !args.admit_without_asking {
                    let question = out.of(
                        "Stehen auf dem Gerät dieselben vier Wörter? Aufnehmen?",
                        "Does the device show the same four words? Admit it?",
                    );
                    match out.ask(question).await {
                        Some(true) => {}
                        Some(false) => return Err(Failure::new("words_denied")),
                        None => return Err(Failure::new("words_unasked")),
                    }
                }
                compared = true;
                invitation.admit().await.map_err(needs_hub)?;
            }
            InviteState::Waiting | InviteState::Words(_) => tokio::time::sleep(POLL).await,
            InviteState::Admitted => return Ok(()),
            InviteState::Expired => return Err(Failure::new("invite_expired")),
        }
    }
}

/// Shows the words to compare, each with its number: the same in every language.
pub fn show_words(context: &Context, words: &Words) {
    let out = context.output;
    out.json(&json!({
        "words_de": words.map(|word| word.0),
        "words_en": words.map(|word| word.1),
        "word_numbers": words.map(output::word_number),
    }));
    let said =
        words.map(|word| format!("{} {}", output::word_number(word), out.of(word.0, word.1)));
    out.line(&format!("\n  {}\n", said.join("   ")));
}

fn new_invite(kolonne: &Kolonne, args: &InviteArgs) -> Outcome<NewInvite> {
    let (people, crews) = kolonne.people()?;
    let role = match args.role {
        RoleWord::Crew => Role::Crew,
        RoleWord::Foreman => Role::Foreman,
        RoleWord::Office => Role::Office,
    };
    let person = |name: &String| people.iter().find(|person| person.name == *name);
    let seats = args.people.iter().map(|name| SeatGrant {
        person: person(name).map(|person| person.id),
        name: name.clone(),
        role,
    });
    // A foreman's own phone is a crew of one, under the foreman's name.
    let crew_name = match args.role {
        RoleWord::Office => None,
        RoleWord::Foreman => args.crew.as_ref().or(args.people.first()),
        RoleWord::Crew => args.crew.as_ref(),
    };
    let crew = crew_name.and_then(|name| crews.iter().find(|crew| crew.name == *name));
    Ok(NewInvite {
        kind: if role == Role::Office {
            DeviceKind::Office
        } else {
            DeviceKind::Phone
        },
        device_name: args.device_name.clone(),
        crew: crew.map(|crew| crew.id),
        crew_name: if crew.is_some() {
            None
        } else {
            crew_name.cloned()
        },
        seats: seats.collect(),
    })
}
