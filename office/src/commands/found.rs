//! `kolonne found`: a company begins. The hub's key is compared by a person, and the recovery kit
//! is shown once and kept nowhere.

use kolonne_core::{Kolonne, NewCompany};
use serde_json::json;

use super::kit;
use super::{Context, new_hub};
use crate::cli::FoundArgs;
use crate::failure::{Failure, Outcome, needs_hub};
use crate::key_text;
use crate::kit_mark::{self, HandedOut};
use crate::kit_page::KitPage;

/// Founds the company.
pub async fn run(context: &Context, args: FoundArgs) -> Outcome {
    let output = context.output;
    let dir = Context::dir(&args.place)?;
    let config = context.config(dir.clone());
    if Kolonne::open(config.clone()).is_ok() {
        return Err(Failure::new("founded_already").about(dir.display().to_string()));
    }
    kit::check(context, &args.kit)?;
    let key = if let Some(text) = &args.hub_key {
        key_text::parse(text).ok_or_else(|| Failure::new("hub_key_unread"))?
    } else {
        let key = Kolonne::hub_key(&args.hub, &context.trust).await;
        new_hub::compared(output, key.map_err(needs_hub)?).await?
    };
    let new = NewCompany {
        company_name: args.company,
        person_name: args.name,
        device_name: args.device,
        hub_url: args.hub,
        hub_key: Some(key),
    };
    let founded = Kolonne::found(config.clone(), new)
        .await
        .map_err(needs_hub)?;
    // Until somebody says that they have it, it may be on no paper.
    kit_mark::note(&dir, HandedOut::Shown);
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
    output.hint(&format!(
        "{} {}.\n",
        output.of("Gegründet:", "Founded:"),
        me.company
    ));
    let page = KitPage {
        kit: &founded.kit,
        company: &me.company,
        hub_url: &me.hub_url,
        made_ms: (config.clock)(),
    };
    let handed_out = kit::hand_out(context, &args.kit, page)
        .await
        .map_err(|failure| failure.about(dir.display().to_string()))?;
    kit_mark::note(&dir, handed_out);
    output.hint(output.of(
        "Weiter: „kolonne invite“ nimmt Handys auf, „kolonne office“ öffnet die Seite. Sitzen andere an diesem Computer, leg mit „kolonne seat pin“ eine PIN fest.",
        "Next: “kolonne invite” admits phones, “kolonne office” opens the page. If others sit at this computer, set a PIN with “kolonne seat pin”.",
    ));
    Ok(())
}
