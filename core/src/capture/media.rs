//! Photos, voice notes and documents: recoded or checked, sealed, synced, then named by an op.

use std::io::Read;

use kolonne_model::body::{BlobRef, Document, Photo, Position, Say, Voice};
use kolonne_model::ids::{BlobId, OpId, SeatId, ThreadId};
use rusqlite::{Transaction, params};

use super::{About, checked};
use crate::blobs::is_named;
use crate::crypt::SealedBlob;
use crate::error::Error;
use crate::folding::part;
use crate::kolonne::{Inner, Kolonne, drafted, op_id};
use crate::line::MAX_LINE_BYTES;
use crate::media::photo::{self, Mode};
use crate::media::{Cancel, Limits, LocalTime, probe, voice};
use crate::oplog::{Author, Moment};
use crate::outbox::{self, Lane};

/// Largest document in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 100 << 20;

/// A blob by name, with the length of its ciphertext.
pub(super) type NamedBlob = (BlobId, u64);

/// A name, not a path: whoever saves it gets no say in where.
pub(super) fn file_name(name: &str, limit_bytes: usize) -> Result<String, Error> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let name = checked("name", &name, limit_bytes)?;
    if name.is_empty() {
        return Err(Error::Invalid {
            field: "name",
            code: "empty",
        });
    }
    Ok(name)
}

pub(super) fn check_size(bytes: &[u8], limit_bytes: usize) -> Result<(), Error> {
    let code = match bytes.len() {
        0 => "empty",
        len if len > limit_bytes => "too_large",
        _ => return Ok(()),
    };
    Err(Error::Invalid {
        field: "file",
        code,
    })
}

fn named(blob: &BlobRef) -> NamedBlob {
    (blob.blob, blob.sealed_bytes)
}

/// Blobs sealed for an op that isn't written yet. Those that no op names in the end go with it: a
/// refused capture leaves nothing on the disk.
pub(super) struct Fresh<'a> {
    inner: &'a Inner,
    made: Vec<BlobId>,
}

impl<'a> Fresh<'a> {
    pub(super) const fn new(inner: &'a Inner) -> Self {
        Self {
            inner,
            made: Vec::new(),
        }
    }

    /// Seals bytes into the store.
    pub(super) fn keep(&mut self, plain: impl Read) -> Result<SealedBlob, Error> {
        let sealed = self.inner.blobs.seal_into(plain)?;
        self.made.push(sealed.id);
        Ok(sealed)
    }

    fn seal(&mut self, bytes: &[u8]) -> Result<BlobRef, Error> {
        let sealed = self.keep(bytes)?;
        Ok(BlobRef {
            blob: sealed.id,
            sealed_bytes: sealed.sealed_bytes,
            identity: *sealed.identity.as_bytes(),
            plain_hash: sealed.plain.blake3,
            plain_bytes: sealed.plain.bytes,
        })
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        for blob in &self.made {
            let named = self.inner.store.read(|db| is_named(db, blob));
            if matches!(named, Ok(false)) && self.inner.blobs.remove(blob).is_err() {
                tracing::warn!("a file that nothing names stays until the next sweep");
            }
        }
    }
}

/// Names a sealed blob in the store and puts it on its way, in the transaction of its op.
fn keep_blob(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    entry: &OpId,
    number: i64,
    lane: Lane,
    (blob, sealed_bytes): NamedBlob,
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO blobs (blob, thread, entry, part, bytes, here) VALUES (?1, ?2, ?3, ?4, ?5, 1)
         ON CONFLICT (blob) DO UPDATE SET here = 1",
    )?
    .execute(params![
        blob.0.as_slice(),
        thread.0.as_slice(),
        entry.0.as_slice(),
        number,
        sealed_bytes.cast_signed()
    ])?;
    outbox::put_blob(tx, &blob, thread, lane, sealed_bytes)
}

fn local_time(time: &LocalTime) -> String {
    let LocalTime {
        year,
        month,
        day,
        hour,
        minute,
        second,
        offset_minutes,
    } = time;
    let offset = offset_minutes.map_or(String::new(), |minutes| {
        let sign = if minutes < 0 { '-' } else { '+' };
        format!(
            "{sign}{:02}:{:02}",
            minutes.unsigned_abs() / 60,
            minutes.unsigned_abs() % 60
        )
    });
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{offset}")
}

impl Kolonne {
    /// Says something about blobs that are sealed and synced.
    pub(super) fn send_media(
        &self,
        author: &Author,
        thread: &ThreadId,
        about: &About,
        parts: &[(i64, Lane, NamedBlob)],
        said: impl FnOnce(&Transaction<'_>, &Moment<'_>) -> Result<Say, Error>,
    ) -> Result<OpId, Error> {
        let inner = &self.inner;
        inner.write_in(thread, |tx, moment| {
            if let Some(id) = drafted(tx, about.draft.as_ref())? {
                return op_id(&id);
            }
            let said = said(tx, moment)?;
            if let Some(parent) = said.reply_to() {
                super::in_thread(tx, &parent, thread)?;
            }
            let op = super::say(tx, moment, author, thread, said)?;
            for (number, lane, blob) in parts {
                keep_blob(tx, thread, &op.id(), *number, *lane, *blob)?;
            }
            crate::kolonne::keep_draft(tx, about.draft.as_ref(), &op.id().0)?;
            Ok(op.id())
        })
    }

    pub(super) fn already(&self, about: &About) -> Result<Option<OpId>, Error> {
        let id = self
            .inner
            .store
            .read(|db| drafted(db, about.draft.as_ref()))?;
        id.map(|id| op_id(&id)).transpose()
    }

    /// Refuses before any work is done for a thread or seat that can't take it. Whose it is from
    /// here on, also if the seat is locked while a photo is recoded.
    pub(super) fn check_place(&self, seat: &SeatId, thread: &ThreadId) -> Result<Author, Error> {
        self.inner.store.read(|db| {
            let author = self.inner.author(db, seat)?;
            let roster = self.inner.roster(db)?;
            let moment = Moment {
                roster: &roster,
                now_ms: self.inner.now_ms(),
            };
            super::check_member(&moment, &author, &super::control(db, &moment, thread)?)?;
            Ok(author)
        })
    }

    /// Takes a photo into a thread: thumb, picture and the original as captured.
    ///
    /// # Errors
    /// `Invalid` with the media code for what is no photo; keep it as a document then.
    pub fn send_photo(
        &self,
        seat: &SeatId,
        thread: &ThreadId,
        bytes: &[u8],
        about: &About,
    ) -> Result<OpId, Error> {
        if let Some(id) = self.already(about)? {
            return Ok(id);
        }
        let author = self.check_place(seat, thread)?;
        let caption = about.caption()?;
        let made = photo::recode(bytes, &Limits::default(), Mode::Quality, &Cancel::default())?;
        let mut fresh = Fresh::new(&self.inner);
        let thumb = fresh.seal(&made.thumb.jpeg)?;
        let picture = fresh.seal(&made.picture.jpeg)?;
        let original = fresh.seal(bytes)?;
        let said = Say::Photo(Box::new(Photo {
            preview: made.preview.into(),
            width: made.width,
            height: made.height,
            thumb: thumb.clone(),
            picture: picture.clone(),
            original: original.clone(),
            media_type: probe(bytes).mime().to_owned(),
            taken: made.taken.as_ref().map(local_time),
            camera: made.camera,
            // Only if the company allows: until it can say so, never.
            position: None::<Position>,
            caption,
            reply_to: about.reply_to,
        }));
        let parts = [
            (part::THUMB, Lane::Thumbs, named(&thumb)),
            (part::PICTURE, Lane::Pictures, named(&picture)),
            (part::ORIGINAL, Lane::Originals, named(&original)),
        ];
        self.send_media(&author, thread, about, &parts, |_, _| Ok(said))
    }

    /// Takes a voice note into a thread.
    pub fn send_voice(
        &self,
        seat: &SeatId,
        thread: &ThreadId,
        bytes: &[u8],
        about: &About,
    ) -> Result<OpId, Error> {
        if let Some(id) = self.already(about)? {
            return Ok(id);
        }
        let author = self.check_place(seat, thread)?;
        let caption = about.caption()?;
        let heard = voice::inspect(bytes, &Limits::default())?;
        let mut fresh = Fresh::new(&self.inner);
        let sound = fresh.seal(bytes)?;
        let said = Say::Voice(Box::new(Voice {
            sound: sound.clone(),
            media_type: probe(bytes).mime().to_owned(),
            duration_ms: heard.duration_ms,
            waveform: heard.waveform.to_vec().into(),
            caption,
            reply_to: about.reply_to,
        }));
        let parts = [(part::VOICE, Lane::Voice, named(&sound))];
        self.send_media(&author, thread, about, &parts, |_, _| Ok(said))
    }

    /// Takes any file into a thread.
    pub fn send_document(
        &self,
        seat: &SeatId,
        thread: &ThreadId,
        name: &str,
        bytes: &[u8],
        about: &About,
    ) -> Result<OpId, Error> {
        if let Some(id) = self.already(about)? {
            return Ok(id);
        }
        let author = self.check_place(seat, thread)?;
        check_size(bytes, MAX_DOCUMENT_BYTES)?;
        let caption = about.caption()?;
        let name = file_name(name, MAX_LINE_BYTES)?;
        let mut fresh = Fresh::new(&self.inner);
        let file = fresh.seal(bytes)?;
        let said = Say::Document(Box::new(Document {
            file: file.clone(),
            name,
            media_type: probe(bytes).mime().to_owned(),
            caption,
            reply_to: about.reply_to,
        }));
        let parts = [(part::DOCUMENT, Lane::Pictures, named(&file))];
        self.send_media(&author, thread, about, &parts, |_, _| Ok(said))
    }
}
