//! One admission: what the roster says of a device and its people, and what belongs into the
//! company's thread with it.
//!
//! Nothing here talks with a hub or a phone; it writes what was decided, and twice is as once.

use kolonne_model::body::field;
use kolonne_model::enrol::PhoneKeys;
use kolonne_model::ids::{RingId, RosterDigest, RosterPosition, SeatId};
use kolonne_model::op::SUITE_1;
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{
    Change, DeviceCert, DeviceKind, RingKind, Role, Scope, SeatCert, SeatKind,
};
use rusqlite::Connection;

use super::office::{check_right, check_stay};
use super::{MAX_SEATS, NewInvite, SeatGrant};
use crate::capture::job;
use crate::crypt::Recipient as SealTo;
use crate::error::Error;
use crate::folding::company_thread;
use crate::kolonne::Inner;
use crate::oplog::{Author, Moment};
use crate::rings::{self, Leaving};
use crate::roster_op::{device_seat, roster_op, the_newest};
use crate::sync::Drafted;
use crate::{folding, keys};

/// An admission on its way.
pub(super) type Admitting = Drafted<Plan>;

/// What belongs into the company's thread with an admission.
pub(super) struct Plan {
    crew: Option<RingId>,
    /// A new crew with people who share its phone: it gets a thread of its own.
    crew_thread: Option<String>,
    names: Vec<(Vec<u8>, String)>,
}

/// Whether all of a phone's keys can be certified: a key twice, or one that nothing can be sealed
/// to, would make the admission void.
pub(super) fn are_usable(phone: &PhoneKeys, seats: &[SeatGrant]) -> bool {
    let mut keys: Vec<_> = phone.seat_keys.iter().map(|(key, _)| *key).collect();
    keys.push(phone.device_key);
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    let recipients = phone.seat_keys.iter().map(|(_, recipient)| recipient);
    keys.len() == count
        && (seats.len()..=MAX_SEATS).contains(&phone.seat_keys.len())
        && recipients
            .chain([&phone.recipient])
            .all(|recipient| SealTo::from_parts(recipient.kind, &recipient.key).is_ok())
}

/// The admission as this roster allows it.
pub(super) fn draft(
    db: &Connection,
    roster: &Roster,
    author: &Author,
    (new, until_ms): (&NewInvite, Option<u64>),
    phone: &PhoneKeys,
    now_ms: u64,
) -> Result<Admitting, Error> {
    check_right(roster, &author.seat, new)?;
    check_stay(roster, new)?;
    let device = kolonne_model::ids::DeviceId::of_key(&phone.device_key);
    let holder = (device.0, phone.recipient.clone());
    let (office, office_recipient) = the_newest(roster, RingKind::Office)?;
    let mut changes = Vec::new();
    let mut names = vec![(device.0.to_vec(), new.device_name.clone())];
    let mut crew = None;
    match (new.kind, new.crew, &new.crew_name) {
        (DeviceKind::Office, _, _) => {
            changes.extend(rings::wraps_for(db, roster, &office, &holder)?);
        }
        (DeviceKind::Phone, Some(ring), _) => {
            changes.extend(rings::wraps_for(db, roster, &ring, &holder)?);
            crew = Some(ring);
        }
        (DeviceKind::Phone, None, name) => {
            let holders = [holder, (office.0, office_recipient.clone())];
            let ring = rings::first_generation(RingKind::Crew, &holders)?;
            names.push((ring.ring.0.to_vec(), name.clone().unwrap_or_default()));
            crew = Some(ring.ring);
            changes.push(Change::Ring(ring));
        }
    }
    changes.push(Change::Device(DeviceCert {
        key: phone.device_key,
        recipient: phone.recipient.clone(),
        kind: new.kind,
        crew,
    }));
    let role = match new.kind {
        DeviceKind::Phone => Role::Crew,
        DeviceKind::Office => Role::Office,
    };
    changes.push(device_seat(&phone.device_key, role));
    for (grant, (key, recipient)) in new.seats.iter().zip(&phone.seat_keys) {
        let holder = (SeatId::of_key(key).0, recipient.clone());
        // A person's secret stays with their seats and the kit; the office keeps none.
        let ring = if let Some(person) = &grant.person {
            rings::next_generation(
                db,
                roster,
                person,
                Leaving::default(),
                &[holder],
                Some(author),
            )?
        } else {
            let (recovery, kit) = the_newest(roster, RingKind::Recovery)?;
            rings::first_generation(RingKind::Person, &[holder, (recovery.0, kit.clone())])?
        };
        if grant.person.is_none() {
            names.push((ring.ring.0.to_vec(), grant.name.clone()));
        }
        let person = Some(ring.ring);
        changes.push(Change::Ring(ring));
        changes.push(Change::Seat(SeatCert {
            key: *key,
            kind: SeatKind::Person,
            suite: SUITE_1,
            device,
            person,
            role: grant.role,
            scope: Scope::All,
            not_after_ms: until_ms,
            recipient: Some(recipient.clone()),
        }));
    }
    let shares = |grant: &SeatGrant| grant.role == Role::Crew;
    let with = Plan {
        crew,
        crew_thread: new
            .crew_name
            .clone()
            .filter(|_| new.crew.is_none() && new.seats.iter().any(shares)),
        names,
    };
    Ok(Drafted {
        op: roster_op(roster, &author.secret, now_ms, changes)?,
        parts: Vec::new(),
        with,
    })
}

/// Keeps an admission that the hub took, with its names and its crew's way into the company's
/// thread; the answer is where in the roster it stands. Twice is as once.
pub(super) fn take_in(
    inner: &Inner,
    admitting: &Admitting,
    author: &Author,
) -> Result<(RosterPosition, RosterDigest), Error> {
    let plan = &admitting.with;
    let (chain, at) = inner.store.write(|tx| {
        let before = inner.roster(tx)?;
        let mut chain = (*inner.chain(tx)?).clone();
        let link = admitting.keep(tx, &mut chain)?;
        let both = inner.beside_other(tx, &chain)?;
        let roster = both.as_ref().unwrap_or(&chain);
        keys::open_rings(tx, &chain)?;
        // Who comes in while two branches stand side by side is known to this one alone.
        let moment = Moment {
            roster: &chain,
            now_ms: inner.now_ms(),
        };
        let thread = company_thread(tx)?;
        let crew: Vec<RingId> = plan.crew.into_iter().collect();
        job::add_members(tx, &moment, author, &thread, &crew)?;
        let view = folding::refold(tx, roster, &inner.device, &thread)?;
        for (subject, name) in &plan.names {
            let now = view.fields.get(&(field::NAME, subject.clone()));
            if now.and_then(|f| f.value.as_ref()) != Some(name) {
                job::set_name(tx, &moment, &view, author, &thread, subject, name)?;
            }
        }
        if let (Some(crew), Some(title)) = (plan.crew, &plan.crew_thread) {
            job::open_crew_thread(tx, &moment, author, crew, title)?;
        }
        inner.judge_by(tx, &before, roster)?;
        Ok((chain, (link.position, link.digest)))
    })?;
    inner.went_on(chain)?;
    inner.tell_all();
    inner.nudge();
    Ok(at)
}
