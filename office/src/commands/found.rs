//! `kolonne found`: a company begins. The hub's key is compared by a person, and the recovery kit
//! is shown once and kept nowhere.

use kolonne_core::{Kolonne, NewCompany};
use serde_json::json;

use super::Context;
use crate::cli::FoundArgs;
use crate::failure::{Failure, Outcome, needs_hub};
use crate::key_text;
use crate::output::is_whole;

/// Founds the company.
pub async fn run(context: &Context, args: FoundArgs) -> Outcome {
    let output = context.output;
    let dir = Context::dir(&args.place)?;
    let config = context.config(dir.clone());
    if Kolonne::open(config.clone()).is_ok() {
        return Err(Failure::new("founded_already").about(dir.display().to_string()));
    }
    let key = if let Some(text) = &args.hub_key {
        key_text::parse(text).ok_or_else(|| Failure::new("hub_key_unread"))?
    } else {
        let key = Kolonne::hub_key(&args.hub, &context.trust)
            .await
            .map_err(needs_hub)?;
        let said = output.of(
            "Der Hub nennt diesen Schlüssel. Vergleiche ihn mit dem, was „kolonne hub“ zeigt:",
            "The hub names this key. Compare it with what “kolonne hub” shows:",
        );
        output.hint(&format!("{said}\n  {}", key_text::groups(&key)));
        match output
            .ask(output.of("Ist er gleich?", "Is it the same?"))
            .await
        {
            Some(true) => key,
            Some(false) => return Err(Failure::new("hub_key_denied")),
            None => return Err(Failure::new("hub_key_unasked")),
        }
    };
    let new = NewCompany {
        company_name: args.company,
        person_name: args.name,
        device_name: args.device,
        hub_url: args.hub,
        hub_key: Some(key),
    };
    let founded = Kolonne::found(config, new).await.map_err(needs_hub)?;
    let me = founded.kolonne.me()?;
    // The kit is shown now or never: where it can't be, the company has to be founded anew.
    output.json(&json!({
        "company": me.company,
        "company_id": me.company_id,
        "device": me.device,
        "seat": me.seats.first(),
        "hub_key": founded.hub_key,
        "recovery_kit": &*founded.kit,
    }));
    output.line(&format!(
        "{} {}.\n",
        output.of("Gegründet:", "Founded:"),
        me.company
    ));
    output.line(output.of(
        "Notfallbogen. Er öffnet alles wieder, wenn alle Computer des Büros verloren sind.\nEr wird nur jetzt gezeigt und nirgends aufbewahrt: schreibe oder drucke ihn zweimal\nund lege ihn an zwei sichere Orte, nicht auf einen Computer.\n",
        "Recovery kit. It opens everything again when all computers of the office are lost.\nIt is shown only now and kept nowhere: write or print it twice and put it in two safe\nplaces, not on a computer.\n",
    ));
    output.line(&founded.kit);
    output.line("");
    if !is_whole() {
        return Err(Failure::new("kit_unshown").about(dir.display().to_string()));
    }
    let question = output.of(
        "Hast du ihn zweimal aufgeschrieben oder gedruckt?",
        "Have you written or printed it twice?",
    );
    while output.ask(question).await == Some(false) {
        output.line(&founded.kit);
    }
    output.line(output.of(
        "Weiter: „kolonne invite“ nimmt Handys auf, „kolonne office“ öffnet die Seite.",
        "Next: “kolonne invite” admits phones, “kolonne office” opens the page.",
    ));
    Ok(())
}
