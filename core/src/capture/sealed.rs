//! Sealing: a file for named people, which nobody else opens, its author included.
//!
//! It goes from the caller's memory into the blob store as ciphertext. No tier, preview, name or
//! search entry is made of it, and the identity that opens it is forgotten with this call but for
//! the envelope that the named people open.

use std::io::{self, Read};

use kolonne_model::body::Say;
use kolonne_model::ids::{OpId, RingId, SeatId, ThreadId};
use kolonne_model::judge::ThreadControl;
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{RingKind, Role, SeatKind};
use kolonne_model::sealed::{Inside, MAX_NAME_BYTES, MAX_RINGS, Sealed, SealedRing, padded_bytes};

use super::{About, media};
use crate::crypt::{self, BlobIdentity, Recipient};
use crate::error::Error;
use crate::folding::part;
use crate::keys;
use crate::kolonne::Kolonne;
use crate::media::{position, probe};
use crate::oplog::Moment;
use crate::outbox::Lane;

/// Largest file that is sealed: it is opened in memory.
pub const MAX_SEALED_BYTES: usize = 64 << 20;

/// For whom something is sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealFor {
    /// People, by ring.
    pub people: Vec<RingId>,
    /// The office: who works there now.
    pub office: bool,
}

const fn refused(code: &'static str) -> Error {
    Error::Invalid { field: "for", code }
}

impl Kolonne {
    /// Seals a file for people of a thread. A picture stays as captured but for its position.
    ///
    /// # Errors
    /// `Invalid` (`for`): `empty`, `too_many` (more than one age file takes), `ended`, `member`
    /// (someone isn't in the thread and would never see it); (`caption`, `sealed`), since words
    /// beside it would be everyone's; for a file that is empty or too large.
    pub fn seal(
        &self,
        seat: &SeatId,
        thread: &ThreadId,
        to: &SealFor,
        (name, bytes): (&str, &[u8]),
        about: &About,
    ) -> Result<OpId, Error> {
        if let Some(id) = self.already(about)? {
            return Ok(id);
        }
        let author = self.check_place(seat, thread)?;
        if about.caption()?.is_some() {
            return Err(Error::Invalid {
                field: "caption",
                code: "sealed",
            });
        }
        let name = media::file_name(name, MAX_NAME_BYTES)?;
        media::check_size(bytes, MAX_SEALED_BYTES)?;
        // Before anything is written: a refusal leaves nothing behind.
        self.inner.store.read(|db| {
            let roster = self.inner.roster(db)?;
            let moment = Moment {
                roster: &roster,
                now_ms: self.inner.now_ms(),
            };
            let control = super::control(db, &moment, thread)?;
            rings(&roster, &control, to).map(drop)
        })?;
        let mut plain = zeroize::Zeroizing::new(bytes.to_vec());
        position::remove(&mut plain);
        let mut fresh = media::Fresh::new(&self.inner);
        let (blob, inside) = keep(&mut fresh, &plain, name, thread, seat)?;
        let parts = [(part::SEALED, Lane::Pictures, blob)];
        self.send_media(&author, thread, about, &parts, |tx, moment| {
            let control = super::control(tx, moment, thread)?;
            let rings = rings(moment.roster, &control, to)?;
            let envelope = envelope(moment, &rings, &inside)?;
            Ok(Say::Sealed(Box::new(Sealed {
                blob: blob.0,
                sealed_bytes: blob.1,
                people: to.people.clone(),
                office: to.office,
                rings,
                envelope: envelope.into(),
                reply_to: about.reply_to,
            })))
        })
    }
}

/// Seals the padded file into the store; what its envelope will say.
fn keep(
    fresh: &mut media::Fresh<'_>,
    plain: &[u8],
    name: String,
    thread: &ThreadId,
    seat: &SeatId,
) -> Result<(media::NamedBlob, Inside), Error> {
    let plain_bytes = u64::try_from(plain.len()).map_err(|_| Error::internal("size"))?;
    let padding = io::repeat(0).take(padded_bytes(plain_bytes).saturating_sub(plain_bytes));
    let sealed = fresh.keep(plain.chain(padding))?;
    let identity: &BlobIdentity = &sealed.identity;
    let inside = Inside {
        identity: *identity.as_bytes(),
        name,
        media_type: probe(plain).mime().to_owned(),
        plain_hash: kolonne_model::ids::Hash32(*blake3::hash(plain).as_bytes()),
        plain_bytes,
        thread: *thread,
        seat: *seat,
    };
    Ok(((sealed.id, sealed.sealed_bytes), inside))
}

fn envelope(moment: &Moment<'_>, rings: &[SealedRing], inside: &Inside) -> Result<Vec<u8>, Error> {
    let recipients = rings.iter().map(|sealed| {
        let newest = moment.roster.newest_generation(&sealed.ring);
        keys::recipient(newest.ok_or(Error::Corrupt)?.1)
    });
    let recipients: Vec<Recipient> = recipients.collect::<Result<_, _>>()?;
    let padded = inside.to_padded().ok_or(Error::internal("inside"))?;
    Ok(crypt::seal(&padded, &recipients)?)
}

/// Everyone it is sealed for, recovery among them, at their newest generations.
fn rings(roster: &Roster, control: &ThreadControl, to: &SealFor) -> Result<Vec<SealedRing>, Error> {
    let (position, _) = roster.head();
    let mut rings = Vec::new();
    // Whether a person still writes somewhere, and sees this thread there.
    let sees = |person: &RingId, least: Option<Role>| {
        let mut seats = roster
            .seats()
            .filter(|(id, seat)| {
                seat.cert.kind == SeatKind::Person
                    && seat.cert.person == Some(*person)
                    && roster.role_at(id, position) >= least
                    && roster.ends_of(id).next().is_none()
            })
            .map(|(id, _)| control.has_member(&roster.speaks_for(id, position)))
            .peekable();
        seats.peek()?;
        Some(seats.any(|member| member))
    };
    for person in &to.people {
        let known = roster.ring(person);
        if known.is_none_or(|ring| ring.kind != RingKind::Person) {
            return Err(Error::NotFound { kind: "person" });
        }
        match sees(person, None) {
            None => return Err(refused("ended")),
            Some(false) => return Err(refused("member")),
            Some(true) => rings.push(*person),
        }
    }
    if to.office {
        let people = roster
            .rings()
            .filter(|(_, ring)| ring.kind == RingKind::Person);
        rings.extend(
            people
                .map(|(ring, _)| *ring)
                .filter(|ring| sees(ring, Some(Role::Office)) == Some(true)),
        );
    }
    if rings.is_empty() {
        return Err(refused(if to.office { "member" } else { "empty" }));
    }
    rings.push(roster.the_ring(RingKind::Recovery).ok_or(Error::Corrupt)?);
    rings.sort_unstable();
    rings.dedup();
    if rings.len() > MAX_RINGS {
        return Err(refused("too_many"));
    }
    let newest = rings.into_iter().map(|ring| {
        let (generation, _) = roster.newest_generation(&ring).ok_or(Error::Corrupt)?;
        Ok(SealedRing { ring, generation })
    });
    newest.collect()
}
