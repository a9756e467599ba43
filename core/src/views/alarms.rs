//! What must not be, told to people until it is settled: signs that the hub shows different rosters
//! to different devices, and that somebody has a copy of a device.

use std::collections::BTreeMap;

use kolonne_model::ids::{DeviceId, OpId};
use kolonne_model::roster::change::Role;

use super::Desk;
use crate::error::Error;
use crate::keys;
use crate::kolonne::{Kolonne, seat_id};
use crate::oplog;
use crate::records::{Alarm, AlarmKind};
use crate::sync::alarm_since_ms;

/// `view_quarantine.why` of what names a roster that this device doesn't have.
const FOREIGN_ROSTER: i64 = 1;

impl Kolonne {
    /// What is alarming now.
    pub fn alarms(&self) -> Result<Vec<Alarm>, Error> {
        self.at_desk(alarms)
    }
}

fn alarms(desk: &Desk<'_>) -> Result<Vec<Alarm>, Error> {
    let mut alarms = Vec::new();
    let other = oplog::other_roster_head(desk.db)?;
    let stands = other.is_some_and(|head| !desk.roster.has(&head));
    if let Some(since_ms) = alarm_since_ms(desk.db)?.filter(|_| stands) {
        alarms.push(Alarm {
            kind: AlarmKind::TwoRosters,
            since_ms,
            person: None,
            device: None,
        });
    } else if stands && let Some(alarm) = merge_needs_pin(desk, other)? {
        alarms.push(alarm);
    }
    let mut statement = desk.db.prepare_cached(
        "SELECT seat, min(first_ms) FROM view_quarantine WHERE why = ?1 GROUP BY seat",
    )?;
    let rows = statement.query_map([FOREIGN_ROSTER], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
    })?;
    for row in rows {
        let (seat, since_ms) = row?;
        alarms.push(Alarm {
            kind: AlarmKind::ForeignRoster,
            since_ms: since_ms.cast_unsigned(),
            person: Some(desk.seat_name(&seat_id(&seat)?)),
            device: None,
        });
    }
    if desk.is_office {
        alarms.extend(ran_twice(desk)?);
    }
    Ok(alarms)
}

/// What a restored hub left behind is merged by itself, but not while everyone's PIN is out who may.
fn merge_needs_pin(desk: &Desk<'_>, other: Option<OpId>) -> Result<Option<Alarm>, Error> {
    let (position, _) = desk.roster.head();
    let own = keys::own_seats(desk.db)?;
    let mut may = own.iter().filter(|seat| {
        desk.roster.ends_of(seat).next().is_none()
            && desk.roster.role_at(seat, position) >= Some(Role::Office)
    });
    let Some(first) = may.clone().next() else {
        return Ok(None);
    };
    if !may.all(|seat| desk.is_locked(seat)) {
        return Ok(None);
    }
    let op = other.map(|head| oplog::get(desk.db, &head)).transpose()?;
    Ok(Some(Alarm {
        kind: AlarmKind::MergeNeedsPin,
        since_ms: op.flatten().map_or(0, |op| op.context().time_ms),
        person: Some(desk.seat_name(first)),
        device: None,
    }))
}

/// Devices whose data ran twice, until their rights end.
fn ran_twice(desk: &Desk<'_>) -> Result<Vec<Alarm>, Error> {
    let mut statement = desk
        .db
        .prepare_cached("SELECT seat, min(since_ms) FROM view_ran_twice GROUP BY seat")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
    })?;
    let mut devices: BTreeMap<DeviceId, u64> = BTreeMap::new();
    for row in rows {
        let (seat, since_ms) = row?;
        let device = desk.device_of(&seat_id(&seat)?);
        let Some(device) = device.filter(|id| !desk.roster.device_has_ended(id)) else {
            continue;
        };
        let since = devices.entry(device).or_insert(u64::MAX);
        *since = since_ms.cast_unsigned().min(*since);
    }
    let alarms = devices.into_iter().map(|(device, since_ms)| Alarm {
        kind: AlarmKind::RanTwice,
        since_ms,
        person: None,
        device: Some(desk.name(&device.0)),
    });
    Ok(alarms.collect())
}
