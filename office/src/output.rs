//! How the program speaks: sentences or JSON on stdout, messages and progress on stderr. What
//! others wrote is cleaned first, so that no text of theirs steers a terminal.

use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kolonne_core::records::EntryKind;
use kolonne_model::control::EraseReason;
use kolonne_model::roster::change::Role;
use kolonne_model::words::WORDS;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::lang::Language;

/// Whether data is printed for people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Sentences.
    Human,
    /// One line of JSON per answer.
    Json,
}

/// Where and how to speak.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// For whom.
    pub form: Form,
    /// In which language.
    pub language: Language,
}

impl Output {
    /// Whether programs read along.
    pub fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// One of two languages.
    pub fn of<'a>(&self, de: &'a str, en: &'a str) -> &'a str {
        self.language.of(de, en)
    }

    /// A line for people; silent in JSON form.
    pub fn line(&self, text: &str) {
        if !self.is_json() {
            put(text);
        }
    }

    /// A value for programs; silent in human form.
    pub fn json(&self, value: &impl Serialize) {
        if self.is_json()
            && let Ok(text) = serde_json::to_string(value)
        {
            put(&text);
        }
    }

    /// A hint beside the data, on stderr.
    pub fn hint(&self, text: &str) {
        if !self.is_json() {
            drop(writeln!(std::io::stderr(), "{text}"));
        }
    }

    /// What stopped a command, on stderr (JSON: also on stdout, as the one answer).
    pub fn failure(&self, failure: &Failure) {
        let text = failure.text();
        if self.is_json() {
            self.json(&json!({ "error": {
                "code": failure.code,
                "about": failure.about,
                "detail": failure.detail,
                "message_de": text.de,
                "message_en": text.en,
            }}));
        }
        let mut said = String::new();
        if let Some(about) = &failure.about {
            said = format!("{}: ", clean(about));
        }
        said.push_str(text.said(self.language));
        if let Some(detail) = &failure.detail {
            said = format!("{said}\n  {}", clean(detail));
        }
        drop(writeln!(std::io::stderr(), "{said}"));
    }

    /// Clears the screen and what can be scrolled back to, where someone watches.
    pub fn clear() {
        if std::io::stderr().is_terminal() {
            drop(write!(std::io::stderr(), "\x1b[2J\x1b[3J\x1b[H"));
        }
    }

    /// Asks a person for yes or no; none when there is nobody to ask. Can be dropped while it
    /// waits: the thread that reads holds nothing up.
    pub async fn ask(&self, question: &str) -> Option<bool> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let question = format!("{question} [{}] ", self.of("j/n", "y/n"));
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            // Dropped while it waits: nobody asks any more.
            let _ = tell.send(read_answer(&question));
        });
        told.await.ok().flatten()
    }

    /// Asks a person for a line; none when there is nobody to ask.
    pub async fn ask_line(&self, question: &str) -> Option<Zeroizing<String>> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let question = format!("{question} ");
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            // Dropped while it waits: nobody asks any more.
            let _ = tell.send(read_line(&question));
        });
        told.await.ok().flatten()
    }

    /// A bar over several steps; only where someone watches.
    pub fn progress(&self, steps: u64, what: &str) -> ProgressBar {
        if self.is_json() || steps < 2 || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:24}] {pos}/{len}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        bar
    }
}

fn read_line(question: &str) -> Option<Zeroizing<String>> {
    let mut stderr = std::io::stderr();
    drop(write!(stderr, "{question}"));
    drop(stderr.flush());
    let mut line = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().read_line(&mut line).ok()?;
    (read > 0).then_some(line)
}

fn read_answer(question: &str) -> Option<bool> {
    loop {
        let answer = read_line(question)?;
        match answer.trim().to_lowercase().as_str() {
            "j" | "ja" | "y" | "yes" => return Some(true),
            "n" | "nein" | "no" => return Some(false),
            _ => {}
        }
    }
}

/// Whether something that was to be printed couldn't be.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints a line; a reader that left early is fine, a full disk isn't.
fn put(text: &str) {
    let mut stdout = std::io::stdout();
    let done = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    if done.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe) {
        LOST.store(true, Ordering::Relaxed);
    }
}

/// Whether all that was printed arrived.
pub fn is_whole() -> bool {
    !LOST.load(Ordering::Relaxed)
}

/// Without what steers a terminal or turns the reading direction around.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '\n',
            '\t' => ' ',
            '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => '·',
            c if c.is_control() => '·',
            c => c,
        })
        .collect()
}

/// As [`clean`], on one line.
pub fn clean_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

/// A time as people here write it.
pub fn time(ms: u64, language: Language) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let Some(time) = time else {
        return "–".to_owned();
    };
    let form = language.of("%d.%m. %H:%M", "%b %e, %H:%M");
    time.to_zoned(TimeZone::system()).strftime(form).to_string()
}

/// Now, by this computer's clock.
pub fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// How long ago, in the one unit that says enough.
pub fn age(ms: u64, language: Language) -> String {
    let minutes = ms / 60_000;
    match (minutes, minutes / 60, minutes / (24 * 60)) {
        (minutes, 0, _) => format!("{} min", minutes.max(1)),
        (_, hours @ 1..48, _) => format!("{hours} h"),
        (.., days) => format!("{days} {}", language.of("Tagen", "days")),
    }
}

/// A role as people here call it.
pub const fn role_said(role: Role, language: Language) -> &'static str {
    match role {
        Role::Crew => language.of("Kolonne", "crew"),
        Role::Foreman => language.of("Vorarbeiter", "foreman"),
        Role::Office => language.of("Büro", "office"),
        Role::Admin => language.of("Leitung", "admin"),
    }
}

/// Why something was erased, as people here call it.
pub const fn reason_said(reason: EraseReason, language: Language) -> &'static str {
    match reason {
        EraseReason::PersonalData => language.of("persönliche Daten", "personal data"),
        EraseReason::Mistake => language.of("Versehen", "mistake"),
        EraseReason::Expired => language.of("Frist abgelaufen", "expired"),
    }
}

/// A job's status as people here call it.
pub fn status_word(code: &str, language: Language) -> &str {
    match code {
        "inquiry" => language.of("Anfrage", "inquiry"),
        "quote" => language.of("Angebot", "quote"),
        "order" => language.of("Auftrag", "order"),
        "done" => language.of("fertig", "done"),
        "billed" => language.of("abgerechnet", "billed"),
        "paid" => language.of("bezahlt", "paid"),
        own => own,
    }
}

/// What an entry without words is.
pub const fn kind_word(kind: EntryKind, language: Language) -> &'static str {
    match kind {
        EntryKind::Photo => language.of("Foto", "photo"),
        EntryKind::Voice => language.of("Sprachnotiz", "voice note"),
        EntryKind::Document | EntryKind::Video => language.of("Datei", "file"),
        EntryKind::Sealed => language.of("versiegelt", "sealed"),
        EntryKind::Stub => language.of("entfernt", "removed"),
        EntryKind::Unknown => language.of("braucht ein neueres Programm", "needs a newer program"),
        EntryKind::Notice | EntryKind::Text => "",
    }
}

/// A count with its word.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// What is counted where something is missing, waits or is kept back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// A line of a thread, whatever it is.
    Entry,
    /// Words.
    Text,
    /// A photo, its thumb or picture.
    Photo,
    /// A photo as it was captured.
    Original,
    /// A voice note.
    Voice,
    /// A document or sealed attachment.
    File,
    /// Other words for an entry, or that it is taken back.
    Change,
    /// A hole in what somebody wrote.
    Gap,
}

/// So many of them, with the word.
pub fn count_of(out: Output, n: u64, thing: Thing) -> String {
    let (one, many) = match thing {
        Thing::Entry => (out.of("Eintrag", "entry"), out.of("Einträge", "entries")),
        Thing::Text => (out.of("Text", "text"), out.of("Texte", "texts")),
        Thing::Photo => (out.of("Foto", "photo"), out.of("Fotos", "photos")),
        Thing::Original => (
            out.of("Original", "original"),
            out.of("Originale", "originals"),
        ),
        Thing::Voice => (
            out.of("Sprachnotiz", "voice note"),
            out.of("Sprachnotizen", "voice notes"),
        ),
        Thing::File => (out.of("Datei", "file"), out.of("Dateien", "files")),
        Thing::Change => (
            out.of("Änderung", "change"),
            out.of("Änderungen", "changes"),
        ),
        Thing::Gap => (
            out.of("Lücke im Text", "gap in the text"),
            out.of("Lücken im Text", "gaps in the text"),
        ),
    };
    counted(n, one, many)
}

/// Those of which there are any: "2 Fotos, 1 Original". Nothing: nothing.
pub fn counts_of(out: Output, things: &[(u64, Thing)]) -> String {
    let there = things.iter().filter(|(n, _)| *n > 0);
    let said: Vec<String> = there.map(|(n, thing)| count_of(out, *n, *thing)).collect();
    said.join(", ")
}

/// Names of whom one is enough; none: nobody.
pub fn names_or(out: Output, names: &[String]) -> Option<String> {
    let names: Vec<String> = names.iter().map(|name| clean_line(name)).collect();
    (!names.is_empty()).then(|| names.join(out.of(" oder ", " or ")))
}

/// A size with one digit.
pub fn size(bytes: u64, language: Language) -> String {
    let (whole, rest) = (bytes / 1_000_000, bytes % 1_000_000 / 100_000);
    if bytes < 1_000_000 {
        format!("{} kB", bytes.div_ceil(1000))
    } else {
        format!("{whole}{}{rest} MB", language.of(",", "."))
    }
}

/// The number of one of an enrolment's words, from 1: the same in every language.
pub fn word_number(word: (&str, &str)) -> usize {
    let at = WORDS.iter().position(|known| *known == word);
    at.map_or(0, |at| at + 1)
}

/// A QR code in half blocks, dark on light whatever the terminal's colours.
pub fn qr_blocks(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let blocks = code.render::<Dense1x2>().quiet_zone(true).build();
    if !std::io::stdout().is_terminal() {
        return Some(blocks);
    }
    let lines = blocks
        .lines()
        .map(|line| format!("\x1b[38;5;16;48;5;231m{line}\x1b[0m"));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

/// Rows of a QR code, "1" is dark, without the quiet zone.
pub fn qr_rows(text: &str) -> Vec<String> {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else {
        return Vec::new();
    };
    code.to_colors()
        .chunks(code.width())
        .map(|row| row.iter().map(|color| color.select('1', '0')).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn others_texts_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}c\td\ne"), "a·[2Jb·c d\ne");
        assert_eq!(clean_line("a\nb"), "a b");
    }

    #[test]
    fn sizes_have_one_digit() {
        assert_eq!(size(1, Language::De), "1 kB");
        assert_eq!(size(999_999, Language::De), "1000 kB");
        assert_eq!(size(12_345_678, Language::De), "12,3 MB");
        assert_eq!(size(12_345_678, Language::En), "12.3 MB");
    }

    #[test]
    fn ages_have_one_unit() {
        assert_eq!(age(0, Language::De), "1 min");
        assert_eq!(age(59 * 60_000, Language::De), "59 min");
        assert_eq!(age(2 * 3_600_000 + 1, Language::En), "2 h");
        assert_eq!(age(49 * 3_600_000, Language::De), "2 Tagen");
    }

    #[test]
    fn a_qr_is_square_and_has_its_finder() {
        let rows = qr_rows("KOLONNE1:ABCDEFGHIJKLMNOP234567");
        assert!(rows.len() >= 21);
        assert!(rows.iter().all(|row| row.len() == rows.len()));
        assert!(rows[0].starts_with("1111111"));
        assert!(qr_blocks("KOLONNE1:ABC").unwrap().lines().count() > 10);
        assert!(qr_rows(&"x".repeat(10_000)).is_empty());
    }
}
