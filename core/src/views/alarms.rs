//! What must not be, told to people until it is settled: signs that the hub shows different rosters
//! to different devices, and that somebody has a copy of a device.

use std::collections::{BTreeMap, BTreeSet};

use kolonne_model::ids::{DeviceId, OpId, RosterDigest, SeatId};
use kolonne_model::roster::change::Role;
use kolonne_model::roster::{Named, read_body};
use rusqlite::Connection;

use super::Desk;
use crate::error::Error;
use crate::keys;
use crate::kolonne::{Kolonne, op_id, seat_id};
use crate::oplog;
use crate::records::{Alarm, AlarmKind, Changed};
use crate::store::{get_meta, set_meta};
use crate::sync::alarm_since_ms;

/// `view_quarantine.why` of what names a roster that this device doesn't have.
const FOREIGN_ROSTER: i64 = 1;
/// The alarms that were put away here, one on each line.
const PUT_AWAY: &str = "alarms_put_away";
/// Ops of a seat that are looked at for whether it is back.
const LOOKED_AT: i64 = 64;

impl Kolonne {
    /// What is alarming now.
    pub fn alarms(&self) -> Result<Vec<Alarm>, Error> {
        self.at_desk(alarms)
    }

    /// Puts away on this device what the office looked into; it comes again with new signs.
    ///
    /// # Errors
    /// `Locked` (`right`) but for the office; `NotFound` (`alarm`) if it isn't there or stands until it is
    /// settled.
    pub fn put_away_alarm(&self, seat: &SeatId, id: &str) -> Result<(), Error> {
        let standing = self.at_desk(|desk| {
            let (position, _) = desk.roster.head();
            if desk.roster.role_at(seat, position) < Some(Role::Office) {
                return Err(Error::Locked { code: "right" });
            }
            alarms(desk)
        })?;
        if !standing.iter().any(|alarm| alarm.id.as_deref() == Some(id)) {
            return Err(Error::NotFound { kind: "alarm" });
        }
        self.inner.store.write(|tx| {
            let mut away = put_away(tx)?;
            away.insert(id.to_owned());
            let words: Vec<String> = away.into_iter().collect();
            set_meta(tx, PUT_AWAY, words.join("\n").as_bytes())
        })?;
        self.inner.tell(Changed::Me);
        Ok(())
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
            id: None,
        });
    } else if stands && let Some(alarm) = merge_needs_pin(desk, other)? {
        alarms.push(alarm);
    }
    alarms.extend(foreign_rosters(desk)?);
    if desk.is_office {
        alarms.extend(ran_twice(desk)?);
    }
    let away = put_away(desk.db)?;
    alarms.retain(|alarm| alarm.id.as_ref().is_none_or(|id| !away.contains(id)));
    Ok(alarms)
}

/// Whose newest word here names a roster that this device doesn't know. It is over once they write
/// under one that stands here, or their rights end; of a branch that lies here the kit or a merge
/// decided, or the alarm about the two tells of it.
fn foreign_rosters(desk: &Desk<'_>) -> Result<Vec<Alarm>, Error> {
    let mut statement = desk.db.prepare_cached(
        "SELECT seat, min(first_ms), max(last_ms) FROM view_quarantine WHERE why = ?1 GROUP BY seat",
    )?;
    let rows = statement.query_map([FOREIGN_ROSTER], |row| {
        let [first, last]: [i64; 2] = [row.get(1)?, row.get(2)?];
        Ok((row.get::<_, Vec<u8>>(0)?, first, last))
    })?;
    let mut alarms = Vec::new();
    let mut branches = None;
    for row in rows {
        let (seat, since_ms, last_ms) = row?;
        let seat = seat_id(&seat)?;
        if desk.device_of(&seat) == Some(desk.device) || desk.roster.ends_of(&seat).next().is_some()
        {
            continue;
        }
        if branches.is_none() {
            branches = Some(states_here(desk)?);
        }
        if !names_unknown(desk, &seat, branches.as_ref())? {
            continue;
        }
        alarms.push(Alarm {
            kind: AlarmKind::ForeignRoster,
            since_ms: since_ms.cast_unsigned(),
            person: Some(desk.seat_name(&seat)),
            device: None,
            // What comes later is another alarm.
            id: Some(format!("foreign_roster:{seat}:{last_ms}")),
        });
    }
    Ok(alarms)
}

/// The states of every branch of the roster that lies here, left ones too.
fn states_here(desk: &Desk<'_>) -> Result<BTreeSet<RosterDigest>, Error> {
    let ops = oplog::of_thread(desk.db, &desk.roster.company().roster_thread())?;
    let bodies = ops
        .iter()
        .filter_map(|op| read_body(op.op().payload.as_deref()));
    Ok(bodies.map(|body| body.digest_after).collect())
}

/// Whether a seat's newest word, by its own clock, names a roster of which nothing is here.
fn names_unknown(
    desk: &Desk<'_>,
    seat: &SeatId,
    states: Option<&BTreeSet<RosterDigest>>,
) -> Result<bool, Error> {
    // The newest are looked at first, and no more than a screen may cost.
    let mut statement = desk
        .db
        .prepare_cached("SELECT id FROM ops WHERE seat = ?1 ORDER BY arrival DESC LIMIT ?2")?;
    let rows = statement.query_map((seat.0.as_slice(), LOOKED_AT), |row| {
        row.get::<_, Vec<u8>>(0)
    })?;
    let mut newest = None;
    for id in rows {
        let op = oplog::get(desk.db, &op_id(&id?)?)?.ok_or(Error::Corrupt)?;
        let context = op.context();
        let unknown = match desk.roster.named(context.roster, &context.roster_digest) {
            Named::Known(_) => false,
            Named::NotHereYet => continue,
            Named::Foreign => states.is_none_or(|states| !states.contains(&context.roster_digest)),
        };
        newest = newest.max(Some((context.time_ms, unknown)));
    }
    Ok(newest.is_some_and(|(_, unknown)| unknown))
}

/// Which alarms somebody of the office put away on this device.
fn put_away(db: &Connection) -> Result<BTreeSet<String>, Error> {
    let bytes = get_meta(db, PUT_AWAY)?.unwrap_or_default();
    let words = String::from_utf8(bytes).map_err(|_| Error::Corrupt)?;
    Ok(words.lines().map(str::to_owned).collect())
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
        id: None,
    }))
}

/// Devices whose data ran twice, until their rights end.
fn ran_twice(desk: &Desk<'_>) -> Result<Vec<Alarm>, Error> {
    let mut statement = desk.db.prepare_cached(
        "SELECT seat, min(since_ms), max(since_ms) FROM view_ran_twice GROUP BY seat",
    )?;
    let rows = statement.query_map([], |row| {
        let [first, last]: [i64; 2] = [row.get(1)?, row.get(2)?];
        Ok((
            row.get::<_, Vec<u8>>(0)?,
            first.cast_unsigned(),
            last.cast_unsigned(),
        ))
    })?;
    let mut devices: BTreeMap<DeviceId, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let (seat, first_ms, last_ms) = row?;
        let device = desk.device_of(&seat_id(&seat)?);
        let Some(device) = device.filter(|id| !desk.roster.device_has_ended(id)) else {
            continue;
        };
        let (first, last) = devices.entry(device).or_insert((u64::MAX, 0));
        *first = first_ms.min(*first);
        *last = last_ms.max(*last);
    }
    let alarms = devices
        .into_iter()
        .map(|(device, (since_ms, last_ms))| Alarm {
            kind: AlarmKind::RanTwice,
            since_ms,
            person: None,
            device: Some(desk.name(&device.0)),
            id: Some(format!("ran_twice:{device}:{last_ms}")),
        });
    Ok(alarms.collect())
}
