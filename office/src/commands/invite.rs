//! `kolonne invite`: shows a code, compares four words, admits. The words mean something only if a
//! person compares them; the flag for scripts says so in its name.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kolonne_core::records::Person;
use kolonne_core::{Invitation, InviteState, Kolonne, NewInvite, SeatGrant};
use kolonne_model::roster::change::{DeviceKind, Role};
use serde_json::json;

use super::{Context, stopped};
use crate::cli::{InviteArgs, RoleWord};
use crate::failure::{Failure, Outcome, needs_hub};
use crate::lang::Language;
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
    let new = new_invite(context, &kolonne, &args).await?;
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

/// Who is meant, asked where a name alone can't tell.
async fn new_invite(context: &Context, kolonne: &Kolonne, args: &InviteArgs) -> Outcome<NewInvite> {
    let role = match args.role {
        RoleWord::Crew => Role::Crew,
        RoleWord::Foreman => Role::Foreman,
        RoleWord::Office => Role::Office,
    };
    let mut seats = Vec::new();
    for name in &args.people {
        let person = known_person(context, kolonne, name).await?;
        seats.push(SeatGrant {
            person: person.as_ref().map(|person| person.id),
            name: person.map_or_else(|| name.clone(), |person| person.name),
            role,
        });
    }
    seats.extend(args.new_people.iter().map(|name| SeatGrant {
        person: None,
        name: name.clone(),
        role,
    }));
    // A foreman's own phone has a ring of its own, under the foreman's name.
    let own = seats.first().map(|seat| &seat.name);
    let crew_name = match args.role {
        RoleWord::Office => None,
        RoleWord::Foreman => args.crew.as_ref().or(own),
        RoleWord::Crew => args.crew.as_ref(),
    };
    Ok(NewInvite {
        kind: if role == Role::Office {
            DeviceKind::Office
        } else {
            DeviceKind::Phone
        },
        device_name: args.device_name.clone(),
        crew: None,
        crew_name: crew_name.cloned(),
        seats,
    })
}

/// The person of this name or id, if the one who invites means them; none: someone new.
async fn known_person(
    context: &Context,
    kolonne: &Kolonne,
    wanted: &str,
) -> Outcome<Option<Person>> {
    let out = context.output;
    let (people, crews) = kolonne.people()?;
    let wanted = wanted.trim();
    let similar: Vec<&Person> = people
        .iter()
        .filter(|p| p.name.to_lowercase() == wanted.to_lowercase() || p.id.to_string() == wanted)
        .collect();
    if !out.is_json() && std::io::stdin().is_terminal() {
        for person in &similar {
            let crew = crews.iter().find(|crew| Some(crew.id) == person.crew);
            let of = crew.map_or_else(
                || output::role_said(person.role, out.language).to_owned(),
                |crew| output::clean_line(&crew.name),
            );
            let name = output::clean_line(&person.name);
            let question = match out.language {
                Language::De => format!("{name} ({of}): ist das dieselbe Person?"),
                Language::En => format!("{name} ({of}): the same person?"),
            };
            if out.ask(&question).await == Some(true) {
                return Ok(Some((*person).clone()));
            }
        }
        return Ok(None);
    }
    let exact = |p: &&&Person| p.name == wanted || p.id.to_string() == wanted;
    let mut fitting = similar.iter().filter(exact);
    match (fitting.next(), fitting.next()) {
        (Some(person), None) => Ok(Some((**person).clone())),
        (None, _) if similar.is_empty() => Ok(None),
        _ => {
            let lines = similar.iter().map(|p| format!("{}  {}", p.id, p.name));
            Err(Failure {
                detail: Some(lines.collect::<Vec<_>>().join("\n  ")),
                ..Failure::new("person_unsure").about(wanted)
            })
        }
    }
}
