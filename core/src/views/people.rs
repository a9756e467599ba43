//! People, crews and devices, as the roster and the company's thread say.

use std::collections::{BTreeMap, BTreeSet};

use kolonne_model::ids::{DeviceId, RingId, RosterPosition, SeatId};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{DeviceKind, EndMode, RingKind, Role, SeatKind, Subject};

use super::Desk;
use super::backlog::backlog;
use crate::error::Error;
use crate::kolonne::Kolonne;
use crate::records::{
    Crew, DeviceRecord, EndedDevice, EndedPerson, LockedSeat, OpenedBy, Person, WipedDevice,
};
use rusqlite::{OptionalExtension, params};

impl Kolonne {
    /// People and crews.
    pub fn people(&self) -> Result<(Vec<Person>, Vec<Crew>), Error> {
        self.at_desk(|desk| Ok(people(desk)))
    }

    /// People whose access ended, by name.
    ///
    /// # Errors
    /// None but the disk's.
    pub fn ended_people(&self) -> Result<Vec<EndedPerson>, Error> {
        self.at_desk(|desk| {
            let (here, _) = people(desk);
            let mut ended: BTreeMap<RingId, EndedPerson> = BTreeMap::new();
            for (id, seat) in desk.roster.seats() {
                let Some(person) = seat.cert.person else {
                    continue;
                };
                let mut ends = desk.roster.ends_of(id);
                let is_here = here.iter().any(|known| known.id == person);
                if !is_here && ends.any(|end| end.subject == Subject::Person(person)) {
                    let name = desk.name(&person.0);
                    ended.insert(person, EndedPerson { id: person, name });
                }
            }
            let mut ended: Vec<EndedPerson> = ended.into_values().collect();
            ended.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(ended)
        })
    }

    /// Devices, with what is still on them as far as this one knows; those that ended come last.
    pub fn devices(&self) -> Result<Vec<DeviceRecord>, Error> {
        self.at_desk(|desk| {
            let backlog = backlog(desk)?;
            let own_rings = desk.own_rings();
            let mut records = Vec::new();
            for (id, device) in desk.roster.devices() {
                let seats: Vec<(&SeatId, RingId)> = desk
                    .roster
                    .seats()
                    .filter(|(_, seat)| seat.cert.device == *id)
                    .filter_map(|(seat, record)| Some((seat, record.cert.person?)))
                    .collect();
                let last = last_heard(desk, id, device.since)?;
                let crew = device.crews.last().and_then(|(_, crew)| *crew);
                records.push(DeviceRecord {
                    id: *id,
                    name: desk.name(&id.0),
                    kind: device.cert.kind,
                    this_device: *id == desk.device,
                    people: people_of(desk, id, &seats),
                    crew: crew
                        .filter(|crew| !own_rings.contains_key(crew))
                        .map(|crew| desk.name(&crew.0)),
                    last_contact_ms: Some(last).filter(|ms| *ms > 0),
                    backlog: backlog.iter().find(|b| b.device == *id).cloned(),
                    ended: desk.roster.end_of_device(id).map(|end| EndedDevice {
                        at_once: end.mode == EndMode::Hard,
                    }),
                    wiped: wiped(desk, id)?,
                    locked_seats: locked_seats(desk, seats.iter().map(|(seat, _)| *seat))?,
                    without_pin: match device.cert.kind {
                        DeviceKind::Phone => without_pin(desk, &seats)?,
                        DeviceKind::Office => Vec::new(),
                    },
                });
            }
            records.sort_by(|a, b| {
                let place = |record: &DeviceRecord| (record.ended.is_some(), record.name.clone());
                place(a).cmp(&place(b))
            });
            Ok(records)
        })
    }
}

/// Whether the seat that its device asked for in its place isn't there yet.
pub(super) fn wants_new_seat(desk: &Desk<'_>, seat: &SeatId) -> Result<bool, Error> {
    crate::seats::waits(desk.db, desk.roster, seat)
}

/// Who opens a seat whose PIN is lost: for an office person's it takes another one, for an admin's
/// another admin.
pub(super) fn opened_by(desk: &Desk<'_>, seat: &SeatId, person: &RingId) -> OpenedBy {
    let Some(role) = desk
        .roster
        .role_now(seat)
        .filter(|role| *role >= Role::Office)
    else {
        return OpenedBy::Office;
    };
    let mut others = desk.roster.seats().filter(|(id, other)| {
        other.cert.person.is_some_and(|other| other != *person)
            && desk.roster.role_now(id) >= Some(role)
            && desk.roster.ends_of(id).next().is_none()
    });
    others.next().map_or(OpenedBy::Kit, |_| OpenedBy::Office)
}

fn locked_seats<'a>(
    desk: &Desk<'_>,
    seats: impl Iterator<Item = &'a SeatId>,
) -> Result<Vec<LockedSeat>, Error> {
    let mut waiting = Vec::new();
    for seat in seats.filter(|seat| desk.roster.ends_of(seat).next().is_none()) {
        let locked_ms = crate::seats::locked_since_ms(desk.db, seat)?;
        let wanted = crate::seats::waits_for(desk.db, desk.roster, seat)?;
        let new_wanted = wanted.is_some();
        let asked_ms = crate::seats::wanted_since_ms(desk.db, seat)?;
        let wanted_ms = asked_ms.filter(|_| new_wanted);
        let is_withdrawn = crate::seats::is_withdrawn(desk.db, seat)?;
        let withdrawn_ms = asked_ms.filter(|_| is_withdrawn);
        if locked_ms.is_some() || new_wanted || is_withdrawn {
            waiting.push(LockedSeat {
                seat: *seat,
                name: desk.seat_name(seat),
                locked_ms,
                new_wanted,
                wanted,
                wanted_ms,
                used_ms: match wanted_ms {
                    Some(since_ms) => written_since_ms(desk, seat, since_ms)?,
                    None => None,
                },
                withdrawn_ms,
            });
        }
    }
    Ok(waiting)
}

/// The newest entry of a seat after a time, both by its device's clock.
fn written_since_ms(desk: &Desk<'_>, seat: &SeatId, since_ms: u64) -> Result<Option<u64>, Error> {
    let sql = "SELECT max(time_ms) FROM view_entries WHERE seat = ?1 AND time_ms > ?2";
    let newest: Option<i64> = desk.db.prepare_cached(sql)?.query_row(
        rusqlite::params![seat.0.as_slice(), since_ms.cast_signed()],
        |row| row.get(0),
    )?;
    Ok(newest.map(i64::cast_unsigned))
}

/// Who writes on a device, each once however often their seat was renewed; of a device that ended,
/// who did.
fn people_of(desk: &Desk<'_>, device: &DeviceId, seats: &[(&SeatId, RingId)]) -> Vec<String> {
    let all = desk.roster.device_has_ended(device);
    let mut seen = BTreeSet::new();
    let mut people = Vec::new();
    for (seat, person) in seats {
        let speaks = || desk.roster.ends_of(seat).next().is_none();
        if (all || speaks()) && seen.insert(*person) {
            people.push(desk.name(&person.0));
        }
    }
    people
}

fn without_pin(desk: &Desk<'_>, seats: &[(&SeatId, RingId)]) -> Result<Vec<String>, Error> {
    let mut people: BTreeMap<RingId, bool> = BTreeMap::new();
    for (seat, person) in seats {
        if desk.roster.ends_of(seat).next().is_none() {
            *people.entry(*person).or_default() |= crate::seats::has_told_pin(desk.db, seat)?;
        }
    }
    if people.len() < 2 {
        return Ok(Vec::new());
    }
    let without = people.into_iter().filter(|(_, has_pin)| !has_pin);
    let mut names: Vec<String> = without.map(|(person, _)| desk.name(&person.0)).collect();
    names.sort();
    Ok(names)
}

/// The newest word of a device that is here, by its author's clock; at first that it was admitted.
fn last_heard(desk: &Desk<'_>, device: &DeviceId, since: RosterPosition) -> Result<u64, Error> {
    // The time is 8 bytes at 154 of a signed form, big-endian: bytes sort as times do.
    let time = |form: Option<Vec<u8>>| {
        let bytes = form.and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_be_bytes)
    };
    let roster = desk.roster.company().roster_thread();
    let admitted = desk
        .db
        .prepare_cached("SELECT max(substr(form, 155, 8)) FROM ops WHERE thread = ?1 AND seq = ?2")?
        .query_row(params![roster.0.as_slice(), since.number()], |row| {
            row.get(0)
        })?;
    let mut last = time(admitted);
    for (seat, record) in desk.roster.seats() {
        if record.cert.device != *device {
            continue;
        }
        let newest = desk
            .db
            .prepare_cached(
                "SELECT max(substr(form, 155, 8)) FROM view_threads t
                 JOIN ops o ON o.thread = t.thread AND o.seat = ?1",
            )?
            .query_row([seat.0.as_slice()], |row| row.get(0))?;
        last = last.max(time(newest));
    }
    Ok(last)
}

/// What a device said last; an undo that takes its end back doesn't bring it back.
fn wiped(desk: &Desk<'_>, device: &DeviceId) -> Result<Option<WipedDevice>, Error> {
    let wiped = desk
        .db
        .prepare_cached("SELECT time_ms, ops_lost + blobs_lost FROM view_wiped WHERE device = ?1")?
        .query_row([device.0.as_slice()], |row| {
            Ok(WipedDevice {
                time_ms: row.get::<_, i64>(0)?.cast_unsigned(),
                lost: row.get(1)?,
            })
        })
        .optional()?;
    Ok(wiped)
}

/// Which crew rings are one person's alone: made for a phone of their own, under their name, with
/// nobody else on it. The person, by ring. No crew: nobody else is invited to it or meant by it.
pub(crate) fn own_rings(
    roster: &Roster,
    name: impl Fn(&RingId) -> Option<String>,
) -> BTreeMap<RingId, RingId> {
    let mut on: BTreeMap<RingId, BTreeSet<RingId>> = BTreeMap::new();
    for (_, seat) in roster.seats() {
        let device = roster.device(&seat.cert.device);
        let crew = device.and_then(|device| device.crews.last()?.1);
        if let (Some(crew), Some(person)) = (crew, seat.cert.person) {
            on.entry(crew).or_default().insert(person);
        }
    }
    on.into_iter()
        .filter_map(|(crew, people)| {
            let only = people.first().filter(|_| people.len() == 1)?;
            let named = name(&crew)?;
            (name(only)? == named).then_some((crew, *only))
        })
        .collect()
}

impl Desk<'_> {
    pub(super) fn own_rings(&self) -> BTreeMap<RingId, RingId> {
        own_rings(self.roster, |ring| {
            self.names.get(ring.0.as_slice()).cloned()
        })
    }
}

pub(crate) fn people(desk: &Desk<'_>) -> (Vec<Person>, Vec<Crew>) {
    let (position, _) = desk.roster.head();
    let own_rings = desk.own_rings();
    let mut people: BTreeMap<RingId, Person> = BTreeMap::new();
    for (id, seat) in desk.roster.seats() {
        let (SeatKind::Person, Some(person)) = (seat.cert.kind, seat.cert.person) else {
            continue;
        };
        let ends = || desk.roster.ends_of(id);
        if ends().any(|end| end.subject == Subject::Person(person)) {
            continue;
        }
        let role = desk.roster.role_at(id, position).unwrap_or(Role::Crew);
        let record = people.entry(person).or_insert_with(|| Person {
            id: person,
            name: desk.name(&person.0),
            role,
            crew: None,
            own_ring: own_rings
                .iter()
                .find(|(_, of)| **of == person)
                .map(|(ring, _)| *ring),
            seats: 0,
        });
        // Who lost every device is still somebody: the next one is theirs again.
        if ends().next().is_some() {
            continue;
        }
        let crew = desk
            .roster
            .device(&seat.cert.device)
            .and_then(|device| device.crews.last()?.1)
            .filter(|crew| !own_rings.contains_key(crew));
        record.role = if record.seats == 0 {
            role
        } else {
            record.role.max(role)
        };
        record.crew = record.crew.or(crew);
        record.seats = record.seats.saturating_add(1);
    }
    let mut crews: Vec<Crew> = desk
        .roster
        .rings()
        .filter(|(id, ring)| ring.kind == RingKind::Crew && !own_rings.contains_key(id))
        .map(|(id, _)| Crew {
            id: *id,
            name: desk.name(&id.0),
            people: people
                .values()
                .filter(|p| p.crew == Some(*id))
                .map(|p| p.id)
                .collect(),
        })
        .collect();
    crews.sort_by(|a, b| a.name.cmp(&b.name));
    let mut people: Vec<Person> = people.into_values().collect();
    people.sort_by(|a, b| a.name.cmp(&b.name));
    (people, crews)
}
