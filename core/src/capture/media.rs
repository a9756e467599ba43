//! Photos, voice notes and documents: recoded or checked, sealed, synced, then named by an op.

use kolonne_model::body::{BlobRef, Document, Photo, Position, Say, Voice};
use kolonne_model::ids::{OpId, SeatId, ThreadId};
use rusqlite::{Transaction, params};

use super::{About, MAX_LINE_BYTES, checked};
use crate::blobs::BlobStore;
use crate::error::Error;
use crate::folding::part;
use crate::kolonne::{Kolonne, drafted, op_id};
use crate::media::photo::{self, Mode};
use crate::media::{Cancel, Limits, LocalTime, probe, voice};
use crate::oplog::Author;
use crate::outbox::{self, Lane};

/// Largest document in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 100 << 20;

fn seal(blobs: &BlobStore, bytes: &[u8]) -> Result<BlobRef, Error> {
    let sealed = blobs.seal_into(bytes)?;
    Ok(BlobRef {
        blob: sealed.id,
        sealed_bytes: sealed.sealed_bytes,
        identity: *sealed.identity.as_bytes(),
        plain_hash: sealed.plain.blake3,
        plain_bytes: sealed.plain.bytes,
    })
}

/// Names a sealed blob in the store and puts it on its way, in the transaction of its op.
fn keep_blob(
    tx: &Transaction<'_>,
    thread: &ThreadId,
    entry: &OpId,
    number: i64,
    lane: Lane,
    blob: &BlobRef,
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO blobs (blob, thread, entry, part, bytes, here) VALUES (?1, ?2, ?3, ?4, ?5, 1)
         ON CONFLICT (blob) DO UPDATE SET here = 1",
    )?
    .execute(params![
        blob.blob.0.as_slice(),
        thread.0.as_slice(),
        entry.0.as_slice(),
        number,
        blob.sealed_bytes.cast_signed()
    ])?;
    outbox::put_blob(tx, &blob.blob, thread, lane, blob.sealed_bytes)
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
    fn send_media(
        &self,
        author: &Author,
        thread: &ThreadId,
        about: &About,
        said: Say,
        parts: &[(i64, Lane, BlobRef)],
    ) -> Result<OpId, Error> {
        let inner = &self.inner;
        inner.write_in(thread, |tx, moment| {
            if let Some(id) = drafted(tx, about.draft.as_ref())? {
                return op_id(&id);
            }
            if let Some(parent) = said.reply_to() {
                super::in_thread(tx, &parent, thread)?;
            }
            let op = super::say(tx, moment, author, thread, said)?;
            for (number, lane, blob) in parts {
                keep_blob(tx, thread, &op.id(), *number, *lane, blob)?;
            }
            crate::kolonne::keep_draft(tx, about.draft.as_ref(), &op.id().0)?;
            Ok(op.id())
        })
    }

    fn already(&self, about: &About) -> Result<Option<OpId>, Error> {
        let id = self
            .inner
            .store
            .read(|db| drafted(db, about.draft.as_ref()))?;
        id.map(|id| op_id(&id)).transpose()
    }

    /// Refuses before any work is done for a thread or seat that can't take it. Whose it is from
    /// here on, also if the seat is locked while a photo is recoded.
    fn check_place(&self, seat: &SeatId, thread: &ThreadId) -> Result<Author, Error> {
        self.inner.store.read(|db| {
            let author = self.inner.author(db, seat)?;
            let known = crate::oplog::control_of_thread(db, thread)?;
            if known.is_empty() {
                Err(Error::NotFound { kind: "thread" })
            } else {
                Ok(author)
            }
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
        let blobs = &self.inner.blobs;
        let thumb = seal(blobs, &made.thumb.jpeg)?;
        let picture = seal(blobs, &made.picture.jpeg)?;
        let original = seal(blobs, bytes)?;
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
            (part::THUMB, Lane::Thumbs, thumb),
            (part::PICTURE, Lane::Pictures, picture),
            (part::ORIGINAL, Lane::Originals, original),
        ];
        self.send_media(&author, thread, about, said, &parts)
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
        let sound = seal(&self.inner.blobs, bytes)?;
        let said = Say::Voice(Box::new(Voice {
            sound: sound.clone(),
            media_type: probe(bytes).mime().to_owned(),
            duration_ms: heard.duration_ms,
            waveform: heard.waveform.to_vec().into(),
            caption,
            reply_to: about.reply_to,
        }));
        self.send_media(
            &author,
            thread,
            about,
            said,
            &[(part::VOICE, Lane::Voice, sound)],
        )
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
        if bytes.is_empty() {
            return Err(Error::Invalid {
                field: "file",
                code: "empty",
            });
        }
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(Error::Invalid {
                field: "file",
                code: "too_large",
            });
        }
        let caption = about.caption()?;
        // A name, not a path: whoever saves it gets no say in where.
        let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        let name = checked("name", &name, MAX_LINE_BYTES)?;
        if name.is_empty() {
            return Err(Error::Invalid {
                field: "name",
                code: "empty",
            });
        }
        let file = seal(&self.inner.blobs, bytes)?;
        let said = Say::Document(Box::new(Document {
            file: file.clone(),
            name,
            media_type: probe(bytes).mime().to_owned(),
            caption,
            reply_to: about.reply_to,
        }));
        self.send_media(
            &author,
            thread,
            about,
            said,
            &[(part::DOCUMENT, Lane::Pictures, file)],
        )
    }
}
