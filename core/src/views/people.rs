//! People, crews and devices, as the roster and the company's thread say.

use std::collections::BTreeMap;

use kolonne_model::ids::{DeviceId, RingId, SeatId};
use kolonne_model::roster::change::{EndMode, RingKind, Role, SeatKind, Subject};

use super::Desk;
use super::threads::backlog;
use crate::error::Error;
use crate::kolonne::Kolonne;
use crate::records::{Crew, DeviceRecord, EndedDevice, LockedSeat, Person, WipedDevice};
use rusqlite::OptionalExtension;

impl Kolonne {
    /// People and crews.
    pub fn people(&self) -> Result<(Vec<Person>, Vec<Crew>), Error> {
        self.at_desk(|desk| Ok(people(desk)))
    }

    /// Devices, with what is still on them as far as this one knows; those that ended come last.
    pub fn devices(&self) -> Result<Vec<DeviceRecord>, Error> {
        self.at_desk(|desk| {
            let backlog = backlog(desk, None)?;
            let mut records = Vec::new();
            for (id, device) in desk.roster.devices() {
                let seats: Vec<(&SeatId, RingId)> = desk
                    .roster
                    .seats()
                    .filter(|(_, seat)| seat.cert.device == *id)
                    .filter_map(|(seat, record)| Some((seat, record.cert.person?)))
                    .collect();
                let mut last = None;
                for (seat, _) in &seats {
                    let newest: Option<i64> = desk.db.query_row(
                        "SELECT max(time_ms) FROM view_entries WHERE seat = ?1",
                        [seat.0.as_slice()],
                        |row| row.get(0),
                    )?;
                    last = last.max(newest.map(i64::cast_unsigned));
                }
                let crew = device.crews.last().and_then(|(_, crew)| *crew);
                records.push(DeviceRecord {
                    id: *id,
                    name: desk.name(&id.0),
                    kind: device.cert.kind,
                    this_device: *id == desk.device,
                    people: seats
                        .iter()
                        .map(|(_, person)| desk.name(&person.0))
                        .collect(),
                    crew: crew.map(|crew| desk.name(&crew.0)),
                    last_contact_ms: last,
                    backlog: backlog.iter().find(|b| b.device == *id).cloned(),
                    ended: ended(desk, id)?,
                    locked_seats: locked_seats(desk, seats.iter().map(|(seat, _)| *seat))?,
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
    let wanted = crate::seats::wanted_seat(desk.db, seat)?;
    Ok(wanted.is_some_and(|wanted| desk.roster.seat(&SeatId::of_key(&wanted.key)).is_none()))
}

fn locked_seats<'a>(
    desk: &Desk<'_>,
    seats: impl Iterator<Item = &'a SeatId>,
) -> Result<Vec<LockedSeat>, Error> {
    let mut waiting = Vec::new();
    for seat in seats.filter(|seat| desk.roster.ends_of(seat).next().is_none()) {
        let locked_ms = crate::seats::locked_since_ms(desk.db, seat)?;
        let new_wanted = wants_new_seat(desk, seat)?;
        if locked_ms.is_some() || new_wanted {
            waiting.push(LockedSeat {
                seat: *seat,
                name: desk.seat_name(seat),
                locked_ms,
                new_wanted,
            });
        }
    }
    Ok(waiting)
}

fn ended(desk: &Desk<'_>, device: &DeviceId) -> Result<Option<EndedDevice>, Error> {
    let Some(end) = desk.roster.end_of_device(device) else {
        return Ok(None);
    };
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
    Ok(Some(EndedDevice {
        at_once: end.mode == EndMode::Hard,
        wiped,
    }))
}

fn people(desk: &Desk<'_>) -> (Vec<Person>, Vec<Crew>) {
    let (position, _) = desk.roster.head();
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
            seats: 0,
        });
        // Who lost every device is still somebody: the next one is theirs again.
        if ends().next().is_some() {
            continue;
        }
        let crew = desk
            .roster
            .device(&seat.cert.device)
            .and_then(|device| device.crews.last().and_then(|(_, crew)| *crew));
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
        .filter(|(_, ring)| ring.kind == RingKind::Crew)
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
