//! Opening what is sealed: by a named person, behind that person's seat, in memory alone.
//!
//! Nothing here writes content to a disk, and nothing is opened for a seat whose person isn't
//! named. What doesn't open, or isn't its author's, is refused without a word on what is in it.

use kolonne_model::body::{Body, Say};
use kolonne_model::ids::{OpId, SeatId};
use kolonne_model::sealed::{INSIDE_BYTES, Inside, Sealed, padded_bytes};
use rusqlite::Connection;
use zeroize::Zeroizing;

use crate::capture::{About, SealFor};
use crate::crypt::{self, BlobIdentity, Identity};
use crate::error::Error;
use crate::kolonne::{Inner, Kolonne};
use crate::records::Opened;
use crate::views::standing_body;
use crate::{blobs, keys, oplog};

/// Sealed badly, or by someone else than the op's author.
const BROKEN: Error = Error::Invalid {
    field: "sealed",
    code: "broken",
};

impl Kolonne {
    /// Opens a sealed attachment for a named person.
    ///
    /// # Errors
    /// `Locked`: `sealed` if this person isn't named, `pin`, `pin_again` if it was typed more than two
    /// minutes ago, `sealed_before` if it was sealed before this person's keys here; `NotFound` (`media`) if it isn't on this device yet: it is
    /// asked for; (`sealed`) if nothing is sealed in this entry; `Invalid` (`sealed`, `broken`).
    pub fn open_sealed(&self, seat: &SeatId, entry: &OpId) -> Result<Opened, Error> {
        let inner = &self.inner;
        let (sealed, inside) = inner.store.read(|db| inner.inside(db, seat, entry))?;
        let file = match inner.blobs.open_blob(&sealed.blob) {
            Err(blobs::BlobError::Missing) => {
                inner.store.write(|tx| {
                    tx.execute(
                        "UPDATE blobs SET wanted = 1, here = 0 WHERE blob = ?1",
                        [sealed.blob.0.as_slice()],
                    )?;
                    Ok(())
                })?;
                inner.nudge();
                return Err(Error::NotFound { kind: "media" });
            }
            file => file?,
        };
        let padded = padded_bytes(inside.plain_bytes);
        // Its author says how much it is; what lies here says how much it can be.
        if padded > sealed.sealed_bytes || sealed.sealed_bytes != file.metadata()?.len() {
            return Err(BROKEN);
        }
        let room = usize::try_from(padded).map_err(|_| BROKEN)?;
        // Reserved once, so that no partial copy stays behind unwiped when it grows.
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        let identity = BlobIdentity::from_bytes(inside.identity);
        let opened = crypt::open_blob(file, &identity, &mut *bytes, padded);
        let opened = opened.map_err(|error| match error {
            crypt::CryptError::Io(error) => error.into(),
            _ => BROKEN,
        })?;
        let length = usize::try_from(inside.plain_bytes).map_err(|_| BROKEN)?;
        bytes.truncate(length);
        if opened.bytes != padded || *blake3::hash(&bytes).as_bytes() != inside.plain_hash.0 {
            return Err(BROKEN);
        }
        Ok(Opened {
            bytes,
            media_type: inside.media_type.clone(),
            name: inside.name.clone(),
        })
    }

    /// Seals an attachment again, as an answer to it, for others or for the newest keys of the
    /// same people: how a replaced phone gets back what was sealed to the lost one.
    ///
    /// # Errors
    /// As [`Kolonne::open_sealed`] and [`Kolonne::seal`].
    pub fn seal_again(
        &self,
        seat: &SeatId,
        entry: &OpId,
        to: &SealFor,
        draft: Option<[u8; 16]>,
    ) -> Result<OpId, Error> {
        let thread = self.entry_thread(entry)?;
        let opened = self.open_sealed(seat, entry)?;
        let about = About {
            reply_to: Some(*entry),
            caption: None,
            draft,
        };
        self.seal(seat, &thread, to, (&opened.name, &opened.bytes), &about)
    }
}

impl Inner {
    /// What the envelope of an entry says to a named person.
    pub(crate) fn inside(
        &self,
        db: &Connection,
        seat: &SeatId,
        entry: &OpId,
    ) -> Result<(Sealed, Inside), Error> {
        let Body {
            say: Say::Sealed(sealed),
            ..
        } = standing_body(db, entry)?
        else {
            return Err(Error::NotFound { kind: "sealed" });
        };
        let roster = self.roster(db)?;
        let person = roster.seat(seat).and_then(|seat| seat.cert.person);
        let named = person.and_then(|ring| Some((ring, sealed.generation_of(&ring)?)));
        let (ring, generation) = named.ok_or(Error::Locked { code: "sealed" })?;
        self.needs_fresh_pin(db, seat)?;
        let author = self.author(db, seat)?;
        let identities = keys::person_secrets(&roster, &author, &ring, generation)?;
        if identities.is_empty() {
            return Err(Error::Locked {
                code: "sealed_before",
            });
        }
        let inside = open_envelope(&sealed.envelope, &identities)?;
        let op = oplog::get(db, entry)?.ok_or(Error::Corrupt)?;
        let context = op.context();
        // Someone else's envelope under one's own name isn't one's own.
        if inside.thread != context.thread || inside.seat != context.seat {
            return Err(BROKEN);
        }
        Ok((*sealed, inside))
    }
}

fn open_envelope(envelope: &[u8], identities: &[Identity]) -> Result<Inside, Error> {
    let opened = crypt::open(envelope, identities, INSIDE_BYTES).map_err(|_| BROKEN)?;
    Inside::from_padded(&opened).ok_or(BROKEN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::crypt::tests::hostile_files;

    #[test]
    fn hostile_envelopes_packs_and_wraps_open_nothing_and_cost_nothing() {
        let mine = Identity::generate().unwrap();
        for file in hostile_files(&mine) {
            let opened = open_envelope(&file, std::slice::from_ref(&mine)).unwrap_err();
            assert_eq!(opened.code(), BROKEN.code());
            assert!(crate::enrolment::pack::open(&file, &mine).is_none());
            assert!(keys::try_open(&file, &[&mine]).is_none());
        }
        // Sealed well, but of another length or form.
        for inside in [vec![0; INSIDE_BYTES], vec![0; 3], vec![0; INSIDE_BYTES + 1]] {
            let file = crypt::seal(&inside, &[mine.recipient()]).unwrap();
            assert!(open_envelope(&file, std::slice::from_ref(&mine)).is_err());
        }
        // A pack that would unpack to more than its limit.
        let bomb = miniz_oxide::deflate::compress_to_vec(&vec![0; 8 << 20], 9);
        let file = crypt::seal(&bomb, &[mine.recipient()]).unwrap();
        assert!(crate::enrolment::pack::open(&file, &mine).is_none());
    }
}
