//! Rings: who opens one, and its next generation for those who keep it.
//!
//! A secret leaves this module only wrapped, for keys that the roster certifies or an admission is
//! about to. Whoever isn't a holder any more gets no wrap of a new generation.

use std::collections::BTreeSet;

use kolonne_model::ids::{DeviceId, Hash32, RingId, SeatId};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{
    Change, CutOfThread, DeviceKind, End, EndMode, Recipient, RingGeneration, RingKind, RingWraps,
    SeatKind, Subject,
};
use rusqlite::Connection;

use crate::crypt::{self, Identity};
use crate::error::Error;
use crate::keys;
use crate::oplog::Author;
use crate::roster_op::the_newest;

/// One who opens a ring: device, seat or ring id, and the key to wrap for.
pub type Holder = ([u8; 16], Recipient);

/// Whom a roster op that is being drafted shuts out, before the roster says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Leaving<'a> {
    /// Whose rights end.
    pub ended: &'a [Subject],
    /// A device that goes to another crew.
    pub moved: Option<DeviceId>,
}

impl Leaving<'_> {
    fn has_device(&self, id: &DeviceId) -> bool {
        self.moved == Some(*id) || self.ended.contains(&Subject::Device(*id))
    }

    fn has_seat(&self, id: &SeatId, device: &DeviceId, person: &RingId) -> bool {
        self.ended.iter().any(|gone| match gone {
            Subject::Seat(gone) => gone == id,
            Subject::Device(gone) => gone == device,
            Subject::Person(gone) => gone == person,
        })
    }
}

/// Who opens a ring, but for those who leave.
fn holders(
    roster: &Roster,
    ring: &RingId,
    kind: RingKind,
    leaving: Leaving<'_>,
) -> Result<Vec<Holder>, Error> {
    let standing = |kind| -> Result<Holder, Error> {
        let (ring, recipient) = the_newest(roster, kind)?;
        Ok((ring.0, recipient.clone()))
    };
    let devices = roster
        .devices()
        .filter(|(id, _)| !roster.device_has_ended(id) && !leaving.has_device(id));
    let mut holders: Vec<Holder> = match kind {
        RingKind::Crew => devices
            .filter(|(_, device)| device.crews.last().and_then(|(_, crew)| *crew) == Some(*ring))
            .map(|(id, device)| (id.0, device.cert.recipient.clone()))
            .collect(),
        RingKind::Office => devices
            .filter(|(_, device)| device.cert.kind == DeviceKind::Office)
            .map(|(id, device)| (id.0, device.cert.recipient.clone()))
            .collect(),
        RingKind::Person => speaking_seats(roster, ring)
            .filter(|(id, device, _)| !leaving.has_seat(id, device, ring))
            .map(|(id, _, recipient)| (id.0, recipient))
            .collect(),
        RingKind::Recovery => Vec::new(),
    };
    match kind {
        RingKind::Crew => holders.push(standing(RingKind::Office)?),
        RingKind::Person | RingKind::Office => holders.push(standing(RingKind::Recovery)?),
        RingKind::Recovery => {}
    }
    Ok(holders)
}

/// A person's seats that still speak, each with its device and what the ring is wrapped to.
fn speaking_seats<'a>(
    roster: &'a Roster,
    person: &'a RingId,
) -> impl Iterator<Item = (SeatId, DeviceId, Recipient)> + 'a {
    roster
        .seats()
        .filter(|(id, seat)| {
            seat.cert.kind == SeatKind::Person
                && seat.cert.person == Some(*person)
                && roster.ends_of(id).next().is_none()
        })
        .filter_map(|(id, seat)| Some((*id, seat.cert.device, seat.cert.recipient.clone()?)))
}

fn generation(
    ring: Option<RingId>,
    kind: RingKind,
    generation: u32,
    identity: &Identity,
    holders: &[Holder],
    previous: Option<&Identity>,
) -> Result<RingGeneration, Error> {
    let recipient = keys::public_recipient(identity)?;
    let wraps = holders
        .iter()
        .map(|(to, recipient)| keys::wrap(identity.as_bytes(), *to, recipient))
        .collect::<Result<_, _>>()?;
    let previous_sealed = previous
        .map(|previous| crypt::seal(previous.as_bytes(), &[identity.recipient()]))
        .transpose()?;
    Ok(RingGeneration {
        ring: ring.unwrap_or_else(|| recipient.ring()),
        kind,
        generation,
        recipient,
        wraps,
        previous_sealed: previous_sealed.map(Into::into),
    })
}

/// A new ring for its first holders.
pub fn first_generation(kind: RingKind, holders: &[Holder]) -> Result<RingGeneration, Error> {
    generation(None, kind, 1, &Identity::generate()?, holders, None)
}

/// A ring's next generation, for who keeps it and who comes with the same op. The secret before it
/// goes along, sealed, if this device has it, or whoever writes the op.
pub fn next_generation(
    db: &Connection,
    roster: &Roster,
    ring: &RingId,
    leaving: Leaving<'_>,
    coming: &[Holder],
    by: Option<&Author>,
) -> Result<RingGeneration, Error> {
    let (newest, _) = roster
        .newest_generation(ring)
        .ok_or(Error::NotFound { kind: "crew" })?;
    let previous = match (keys::fitting_secret(db, roster, ring, newest)?, by) {
        (None, Some(author)) => keys::person_secret(roster, author, ring, newest)?,
        (secret, _) => secret,
    };
    generation_after(roster, ring, leaving, coming, previous.as_ref())
}

/// As [`next_generation`], with the secret before it in hand.
pub fn generation_after(
    roster: &Roster,
    ring: &RingId,
    leaving: Leaving<'_>,
    coming: &[Holder],
    previous: Option<&Identity>,
) -> Result<RingGeneration, Error> {
    let kind = roster
        .ring(ring)
        .ok_or(Error::NotFound { kind: "crew" })?
        .kind;
    let (newest, _) = roster.newest_generation(ring).ok_or(Error::Corrupt)?;
    let mut holders = holders(roster, ring, kind, leaving)?;
    holders.extend_from_slice(coming);
    let next = newest.checked_add(1).ok_or(Error::Corrupt)?;
    generation(
        Some(*ring),
        kind,
        next,
        &Identity::generate()?,
        &holders,
        previous,
    )
}

/// A new device opens a ring: one wrap, and one more for each generation that it can't open from
/// there.
///
/// # Errors
/// `Locked` (`right`) if this device doesn't open the newest itself.
pub fn wraps_for(
    db: &Connection,
    roster: &Roster,
    ring: &RingId,
    to: &Holder,
) -> Result<Vec<Change>, Error> {
    let (newest, _) = roster
        .newest_generation(ring)
        .ok_or(Error::NotFound { kind: "crew" })?;
    if keys::fitting_secret(db, roster, ring, newest)?.is_none() {
        return Err(Error::Locked { code: "right" });
    }
    let mut changes = Vec::new();
    for generation in 1..=newest {
        if generation < newest && keys::is_sealed_under_next(db, roster, ring, generation)? {
            continue;
        }
        if let Some(identity) = keys::fitting_secret(db, roster, ring, generation)? {
            changes.push(Change::Wraps(RingWraps {
                ring: *ring,
                generation,
                wraps: vec![keys::wrap(identity.as_bytes(), to.0, &to.1)?],
            }));
        }
    }
    Ok(changes)
}

/// The ends of some subjects, and the next generations of the rings that they opened.
pub(crate) fn ends(
    db: &Connection,
    roster: &Roster,
    author: &Author,
    subjects: &[Subject],
    mode: EndMode,
    (listed, more): (&[CutOfThread], Option<&[Hash32]>),
) -> Result<Vec<Change>, Error> {
    let mut changes: Vec<Change> = subjects
        .iter()
        .map(|subject| {
            Change::End(End {
                subject: *subject,
                mode,
                cuts: listed.to_vec(),
                more: more.map(<[Hash32]>::to_vec),
            })
        })
        .collect();
    let leaving = Leaving {
        ended: subjects,
        moved: None,
    };
    for ring in rings_of(roster, subjects) {
        let next = next_generation(db, roster, &ring, leaving, &[], Some(author))?;
        changes.push(Change::Ring(next));
    }
    Ok(changes)
}

/// All seats of some subjects, device seats too.
pub(crate) fn seats_of(roster: &Roster, subjects: &[Subject]) -> BTreeSet<SeatId> {
    roster
        .seats()
        .filter(|(id, seat)| {
            subjects.iter().any(|subject| match subject {
                Subject::Seat(of) => of == *id,
                Subject::Device(of) => *of == seat.cert.device,
                Subject::Person(of) => seat.cert.person == Some(*of),
            })
        })
        .map(|(id, _)| *id)
        .collect()
}

/// The rings whose secrets the subjects know and must not read on in.
pub(crate) fn rings_of(roster: &Roster, subjects: &[Subject]) -> BTreeSet<RingId> {
    let mut rings = BTreeSet::new();
    for id in seats_of(roster, subjects) {
        let person = roster
            .seat(&id)
            .filter(|seat| seat.cert.kind == SeatKind::Person);
        rings.extend(person.and_then(|seat| seat.cert.person));
    }
    for subject in subjects {
        if let Subject::Device(id) = subject
            && let Some(device) = roster.device(id)
        {
            rings.extend(device.crews.last().and_then(|(_, crew)| *crew));
            if device.cert.kind == DeviceKind::Office {
                rings.extend(roster.the_ring(RingKind::Office));
            }
        }
    }
    rings
}
