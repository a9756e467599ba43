//! `kolonne thread`: prints a thread, and writes its media that are here into a folder if asked.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use kolonne_core::Kolonne;
use kolonne_core::records::{ClockWord, Entry, EntryKind, LetInBy, Part, Quote, SealedRecord};
use serde_json::json;

use super::send::state_word;
use super::{Context, pick};
use crate::cli::ThreadArgs;
use crate::failure::{Failure, Outcome};
use crate::lang::Language;
use crate::output::{
    Output, Thing, clean, clean_line, count_of, kind_word, names_or, reason_said, size,
    status_word, time,
};

/// Longest name of a saved file.
const MAX_NAME_CHARS: usize = 120;

/// Prints.
pub fn run(context: &Context, args: &ThreadArgs) -> Outcome {
    let out = context.output;
    let (kolonne, seat, job) = context.look_into(&args.acting, &args.job)?;
    let before = match &args.before {
        Some(wanted) => Some(pick::entry(&kolonne, &seat.seat, &job.id, wanted)?),
        None => None,
    };
    let thread = kolonne.thread(&seat.seat, &job.id)?;
    let page = kolonne.entries(&seat.seat, &job.id, before, args.limit)?;
    let mut saved = Vec::new();
    if let Some(dir) = &args.save {
        std::fs::create_dir_all(dir)?;
        for entry in &page.entries {
            saved.extend(save(&kolonne, entry, dir)?);
        }
    }
    out.json(&json!({ "thread": thread, "page": page, "saved": saved }));
    out.line(&format!("{}\n", clean_line(&thread.row.title)));
    if page.before.is_some() {
        out.hint(out.of(
            "Davor ist noch mehr (--before ID).",
            "There is more before this (--before ID).",
        ));
    }
    for entry in &page.entries {
        show(out, entry);
    }
    if page.held > 0 {
        let entries = count_of(out, page.held, Thing::Entry);
        let from = names_or(out, &thread.key_comes_from);
        out.hint(&match (out.language, from) {
            (Language::De, Some(names)) => format!(
                "Noch nicht lesbar: {entries}. Das kommt, sobald ein Gerät von {names} mit eingegebener PIN Netz hat."
            ),
            (Language::En, Some(names)) => format!(
                "Not readable yet: {entries}. That comes as soon as a device of {names} with its PIN entered has a network."
            ),
            (Language::De, None) => format!("Noch unterwegs hierher: {entries}."),
            (Language::En, None) => format!("Still on the way here: {entries}."),
        });
    }
    for path in &saved {
        out.line(path);
    }
    Ok(())
}

fn show(out: Output, entry: &Entry) {
    let id: String = entry.id.to_string().chars().take(8).collect();
    let doubt = if entry.clock == ClockWord::Doubt {
        "?"
    } else {
        ""
    };
    let mut said = match entry.kind {
        EntryKind::Photo => entry.photo.as_ref().map_or(String::new(), |photo| {
            format!(
                "[{} {}×{}]",
                out.of("Foto", "photo"),
                photo.width,
                photo.height
            )
        }),
        EntryKind::Voice => entry.voice.as_ref().map_or(String::new(), |voice| {
            format!(
                "[{} {} s]",
                out.of("Sprachnotiz", "voice note"),
                voice.duration_ms / 1000
            )
        }),
        EntryKind::Document | EntryKind::Video => {
            entry.document.as_ref().map_or(String::new(), |file| {
                format!(
                    "[{}: {}, {}]",
                    out.of("Datei", "file"),
                    file.name,
                    size(file.bytes, out.language)
                )
            })
        }
        EntryKind::Sealed => entry.sealed.as_ref().map_or(String::new(), |sealed| {
            format!("[{}]", sealed_for(out, sealed))
        }),
        EntryKind::Notice => entry.notice.as_ref().map_or(String::new(), |notice| {
            let value = notice.value.as_deref().unwrap_or_default();
            match notice.code.as_str() {
                "title" => format!("— {}: {value}", out.of("heißt jetzt", "is now called")),
                "status" => format!(
                    "— {}: {}",
                    out.of("Stand", "status"),
                    status_word(value, out.language)
                ),
                "address" => format!("— {}: {value}", out.of("Adresse", "address")),
                "member_out" => format!("— {}: {value}", out.of("nicht mehr dabei", "taken out")),
                "member_in" => format!("— {}: {value}", out.of("wieder dabei", "back again")),
                "customer" => format!("— {}: {value}", out.of("Kunde", "customer")),
                code => format!("— {code} {value}"),
            }
        }),
        EntryKind::Stub => match &entry.erased {
            Some(erased) => format!(
                "[{} {}: {}]",
                out.of("gelöscht von", "erased by"),
                erased.by.join(", "),
                reason_said(erased.reason, out.language)
            ),
            None => out.of("[kommt noch]", "[still to come]").to_owned(),
        },
        EntryKind::Unknown => out
            .of("[braucht ein neueres Programm]", "[needs a newer program]")
            .to_owned(),
        EntryKind::Text => String::new(),
    };
    if let Some(retracted) = &entry.retracted {
        let reason = retracted.reason.as_deref().unwrap_or_default();
        said = format!("[{}] {reason}", out.of("zurückgenommen", "taken back"));
    }
    for words in [&entry.text, &entry.caption].into_iter().flatten() {
        if !said.is_empty() {
            said.push(' ');
        }
        said.push_str(words);
    }
    if let Some(quote) = &entry.reply_to {
        out.line(&format!(
            "          > {}: {}",
            clean_line(&quote.author),
            quote_said(out, quote)
        ));
    }
    out.line(&format!(
        "{id}  {}{doubt}  {}: {}  ({})",
        time(entry.time_ms, out.language),
        clean_line(&entry.author.name),
        // A line of an entry never looks like the beginning of another.
        clean(said.trim()).replace('\n', "\n          "),
        state_said(out, entry),
    ));
}

/// The quoted words, or what it is that has none.
fn quote_said(out: Output, quote: &Quote) -> String {
    match (quote.snippet.trim(), kind_word(quote.kind, out.language)) {
        ("", "") => "[…]".to_owned(),
        ("", kind) => format!("[{kind}]"),
        (words, _) => clean_line(words),
    }
}

/// How far it has come, and that nobody else sees it, or its author's change of it, yet.
fn state_said(out: Output, entry: &Entry) -> String {
    let mut said = vec![state_word(entry.state, out.language).to_owned()];
    said.extend(entry.kept_back.map(|by| kept_back_said(out, by).to_owned()));
    said.extend(entry.change_kept_back.as_ref().map(|change| {
        let what = change.text.as_deref().map_or_else(
            || out.of("zurückgenommen", "taken back").to_owned(),
            |text| {
                let text = clean(text.trim()).replace('\n', "\n          ");
                format!("{} „{text}“", out.of("geändert in", "changed to"))
            },
        );
        format!("{what}, {}", kept_back_said(out, change.let_in_by))
    }));
    said.join("; ")
}

fn kept_back_said(out: Output, by: LetInBy) -> &'static str {
    match by {
        LetInBy::Office => out.of(
            "zurückgehalten: nur du siehst es, bis das Büro es zulässt",
            "kept back: only you see it until the office lets it in",
        ),
        LetInBy::OfficeUntold => out.of(
            "zurückgehalten: nur du siehst es; das Büro kann es zulassen, aber du bist nicht mehr dabei und erfährst es hier nicht",
            "kept back: only you see it; the office can let it in, but you are no longer part of this and won't hear of it here",
        ),
        LetInBy::Members => out.of(
            "zurückgehalten: nur du siehst es, bis jemand von euch es zulässt",
            "kept back: only you see it until one of you lets it in",
        ),
        LetInBy::Nobody => out.of(
            "zurückgehalten: nur du siehst es",
            "kept back: only you see it",
        ),
    }
}

/// For whom, in words.
fn sealed_for(out: Output, sealed: &SealedRecord) -> String {
    let office = sealed.office.then(|| out.of("Büro", "the office"));
    let names: Vec<&str> = sealed
        .people
        .iter()
        .map(|person| person.name.as_str())
        .chain(office)
        .collect();
    format!(
        "{} {}",
        out.of("versiegelt für", "sealed for"),
        names.join(", ")
    )
}

/// A name from afar, without what could lead out of the folder or hide in it.
fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe: String = clean_line(last)
        .chars()
        .map(|c| if "<>:\"|?*·".contains(c) { '_' } else { c })
        .take(MAX_NAME_CHARS)
        .collect();
    safe.trim().trim_matches('.').trim().to_owned()
}

/// A new file of this name; where that is taken, with the entry's id before it. Never over another.
fn create_beside(dir: &Path, name: &str, id: &str) -> Outcome<(File, PathBuf)> {
    let short: String = id.chars().take(8).collect();
    for name in [name.to_owned(), format!("{short} {name}")] {
        let path = dir.join(&name);
        match File::create_new(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new("invalid.to.taken").about(name))
}

/// Writes the best part that is here: a document under its own name, all else under its entry's id.
fn save(kolonne: &Kolonne, entry: &Entry, dir: &Path) -> Outcome<Option<String>> {
    let parts: &[Part] = match entry.kind {
        EntryKind::Photo => &[Part::Original, Part::Picture, Part::Thumb],
        EntryKind::Voice => &[Part::Voice],
        EntryKind::Document | EntryKind::Video => &[Part::Document],
        _ => &[],
    };
    for part in parts {
        let Ok(media) = kolonne.media(&entry.id, *part) else {
            continue;
        };
        let ending = match media.media_type.as_str() {
            "image/jpeg" => "jpg",
            "image/png" => "png",
            "image/webp" => "webp",
            "image/heic" => "heic",
            "audio/mp4" => "m4a",
            "audio/ogg" => "ogg",
            "audio/wav" | "audio/x-wav" => "wav",
            "application/pdf" => "pdf",
            _ => "bin",
        };
        let id: String = entry.id.to_string();
        let wanted = match media.name.as_deref().map(safe_name) {
            Some(name) if !name.is_empty() => name,
            _ => format!("{id}.{ending}"),
        };
        let (mut file, path) = create_beside(dir, &wanted, &id)?;
        file.write_all(&media.bytes)?;
        return Ok(Some(path.display().to_string()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_afar_stay_in_the_folder() {
        for (from_afar, kept) in [
            ("Angebot 12.pdf", "Angebot 12.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Windows\\x.bat", "x.bat"),
            ("..", ""),
            (".bashrc", "bashrc"),
            ("a\nb\u{202e}gpj.exe", "a b_gpj.exe"),
        ] {
            assert_eq!(safe_name(from_afar), kept);
        }
    }
}
