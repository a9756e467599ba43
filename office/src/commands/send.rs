//! `kolonne send`: words and files into a job. Each item is saved on this device before anything
//! is sent; one that is refused doesn't hold up the others.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use kolonne_core::capture::{About, MAX_SEALED_BYTES, MAX_TEXT_BYTES, SealFor};
use kolonne_core::media::{Limits, MediaError, MediaType, probe, voice};
use kolonne_core::records::State;
use kolonne_core::{Error, Kolonne};
use kolonne_model::ids::{OpId, SeatId, ThreadId};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Context, pick};
use crate::cli::SendArgs;
use crate::failure::{Failure, Outcome};
use crate::local::MAX_DOCUMENT_BYTES;
use crate::output::clean;

/// What is read of a file to tell what it is.
const HEAD_BYTES: u64 = 64 * 1024;

/// What a file is sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Photo,
    Voice,
    File,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Voice => "voice",
            Self::File => "document",
        }
    }

    /// Most bytes in a file of this kind.
    fn limit_bytes(self) -> u64 {
        let bytes = match self {
            Self::Photo | Self::Voice => Limits::default().input_bytes,
            Self::File => MAX_DOCUMENT_BYTES,
        };
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// Sends.
pub async fn run(context: &Context, args: SendArgs) -> Outcome {
    let out = context.output;
    let (kolonne, _, seat) = context.act(&args.acting)?;
    let thread = match &args.job {
        Some(job) => pick::job(&kolonne, &seat.seat, job)?.id,
        None => kolonne.open_direct(&seat.seat, &pick::people(&kolonne, &args.to)?)?,
    };
    let reply_to = match &args.reply_to {
        Some(wanted) => Some(pick::entry(&kolonne, &seat.seat, &thread, wanted)?),
        None => None,
    };
    let files: Vec<(Kind, &PathBuf)> = [
        (Kind::Photo, &args.photo),
        (Kind::Voice, &args.voice),
        (Kind::File, &args.file),
    ]
    .into_iter()
    .flat_map(|(kind, files)| files.iter().map(move |file| (kind, file)))
    .collect();
    let has_words = args.text.is_some() || args.caption.is_some();
    if has_words && !args.sealed_for.is_empty() {
        return Err(Failure::new("invalid.caption.sealed"));
    }
    if args.text.is_none() && files.is_empty() {
        return Err(Failure::new("invalid.text.empty"));
    }

    let sealed_for = match args.sealed_for.as_slice() {
        [] => None,
        names => Some(pick::seal_for(&kolonne, names)?),
    };
    let desk = Desk {
        kolonne: &kolonne,
        seat: seat.seat,
        thread,
        sealed_for,
    };
    // All that can be told beforehand is, so that a typo in a name sends nothing at all.
    for (kind, path) in &files {
        let sealed = desk.sealed_for.is_some();
        check(*kind, path, sealed).map_err(|failure| failure.about(path.display().to_string()))?;
    }
    let mut sent = Vec::new();
    let mut refused = Vec::new();
    if let Some(text) = &args.text {
        let about = About {
            reply_to,
            ..About::default()
        };
        sent.push((desk.text(text, &about)?, "text", None));
    }
    let count = u64::try_from(files.len()).unwrap_or_default();
    let bar = out.progress(count, out.of("sichere", "saving"));
    for (number, (kind, path)) in files.iter().enumerate() {
        let about = About {
            // A reply and a caption belong to one entry, the first.
            reply_to: reply_to.filter(|_| number == 0 && args.text.is_none()),
            caption: args.caption.clone().filter(|_| number == 0),
            draft: None,
        };
        match desk.file(*kind, path, &about) {
            Ok(id) => {
                let word = if desk.sealed_for.is_some() {
                    "sealed"
                } else {
                    kind.word()
                };
                sent.push((id, word, Some(path.display().to_string())));
            }
            Err(failure) => {
                let full = failure.code == "storage_full";
                refused.push(failure.about(path.display().to_string()));
                if full {
                    break;
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();

    if !args.later && !sent.is_empty() {
        // From here on it is kept, whatever becomes of the network.
        out.hint(out.of("Gesichert. Wird übertragen …", "Saved. Handing over …"));
        context.hand_over(&kolonne).await;
    }
    let mut entries: Vec<Value> = Vec::new();
    for (id, kind, file) in &sent {
        let state = desk.state(id)?;
        let word = state_word(state, out.language);
        let id_start: String = id.to_string().chars().take(8).collect();
        let name = file.as_deref().map(clean).unwrap_or_default();
        out.line(format!("{id_start}  {word}  {name}").trim_end());
        entries.push(json!({ "id": id, "kind": kind, "state": state, "file": file }));
    }
    let status = kolonne.status()?;
    let refusals: Vec<Value> = refused
        .iter()
        .map(|failure| json!({ "file": failure.about, "code": failure.code }))
        .collect();
    // The last refusal is the command's failure; the earlier ones are told here.
    let last = refused.pop();
    for failure in &refused {
        out.hint(&format!(
            "{}: {}",
            clean(failure.about.as_deref().unwrap_or_default()),
            failure.text().said(out.language)
        ));
    }
    if last.is_none() || !entries.is_empty() {
        out.json(&json!({
            "thread": thread,
            "entries": entries,
            "refused": refusals,
            "outbox": status.outbox,
        }));
    }
    last.map_or(Ok(()), Err)
}

/// The four states in words.
pub fn state_word(state: State, language: crate::lang::Language) -> &'static str {
    match state {
        State::Saved => language.of("gesichert", "saved"),
        State::Sent => language.of("übertragen", "sent"),
        State::Office => language.of("im Büro", "at the office"),
        State::Stuck => language.of("hängt fest", "stuck"),
    }
}

struct Desk<'a> {
    kolonne: &'a Kolonne,
    seat: SeatId,
    thread: ThreadId,
    sealed_for: Option<SealFor>,
}

impl Desk<'_> {
    fn text(&self, text: &str, about: &About) -> Outcome<OpId> {
        let mut words = text.to_owned();
        if text == "-" {
            words.clear();
            let limit = u64::try_from(MAX_TEXT_BYTES).unwrap_or_default() + 1;
            std::io::stdin()
                .take(limit)
                .read_to_string(&mut words)
                .map_err(|_| Failure::new("file_unreadable").about("-"))?;
        }
        Ok(self
            .kolonne
            .send_text(&self.seat, &self.thread, &words, about)?)
    }

    fn file(&self, kind: Kind, path: &Path, about: &About) -> Outcome<OpId> {
        let (seat, thread) = (&self.seat, &self.thread);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(to) = &self.sealed_for {
            let limit = u64::try_from(MAX_SEALED_BYTES).unwrap_or(u64::MAX);
            let bytes = Zeroizing::new(read(path, limit)?);
            return Ok(self
                .kolonne
                .seal(seat, thread, to, (&name, &bytes), about)?);
        }
        let bytes = read(path, kind.limit_bytes())?;
        Ok(match kind {
            Kind::Photo => self.kolonne.send_photo(seat, thread, &bytes, about)?,
            Kind::Voice => self.kolonne.send_voice(seat, thread, &bytes, about)?,
            Kind::File => self
                .kolonne
                .send_document(seat, thread, &name, &bytes, about)?,
        })
    }

    fn state(&self, id: &OpId) -> Outcome<State> {
        let page = self.kolonne.entries(&self.seat, &self.thread, None, 500)?;
        Ok(page
            .entries
            .iter()
            .find(|entry| entry.id == *id)
            .map_or(State::Saved, |e| e.state))
    }
}

/// Whether a file is there, can be read, isn't too large and is of the kind it is said to be.
fn check(kind: Kind, path: &Path, sealed: bool) -> Outcome {
    let limit = if sealed {
        u64::try_from(MAX_SEALED_BYTES).unwrap_or(u64::MAX)
    } else {
        kind.limit_bytes()
    };
    let mut file = open(path, limit)?;
    let fits: fn(MediaType) -> bool = match kind {
        _ if sealed => return Ok(()),
        Kind::File => return Ok(()),
        Kind::Photo => MediaType::is_photo,
        // How a recording is packed is found out by reading it.
        Kind::Voice => {
            voice::inspect(&read(path, limit)?, &Limits::default()).map_err(Error::from)?;
            return Ok(());
        }
    };
    let mut head = Vec::new();
    Read::by_ref(&mut file)
        .take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(|_| Failure::new("file_unreadable"))?;
    let found = probe(&head);
    if fits(found) {
        return Ok(());
    }
    Err(Error::from(MediaError::Unsupported(found)).into())
}

/// Reads a file whose size was looked at first, so that a huge one costs no memory.
fn read(path: &Path, limit_bytes: u64) -> Outcome<Vec<u8>> {
    let unreadable = |_| Failure::new("file_unreadable");
    let file = open(path, limit_bytes)?;
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(limit_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit_bytes {
        return Err(Failure::new("invalid.file.too_large"));
    }
    Ok(bytes)
}

/// Opens a file of a size that can be sent.
fn open(path: &Path, limit_bytes: u64) -> Outcome<File> {
    let meta = std::fs::metadata(path).map_err(|error| {
        Failure::new(match error.kind() {
            std::io::ErrorKind::NotFound => "file_missing",
            _ => "file_unreadable",
        })
    })?;
    if !meta.is_file() {
        return Err(Failure::new("file_unreadable"));
    }
    if meta.len() == 0 {
        return Err(Failure::new("invalid.file.empty"));
    }
    if meta.len() > limit_bytes {
        return Err(Failure::new("invalid.file.too_large"));
    }
    File::open(path).map_err(|_| Failure::new("file_unreadable"))
}
