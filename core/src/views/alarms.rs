//! What must not be, told to people until it is settled: signs that the hub shows different rosters
//! to different devices, and that somebody has a copy of a device.

use std::collections::{BTreeMap, BTreeSet};

use kolonne_model::ids::{DeviceId, OpId, RosterDigest, SeatId};
use kolonne_model::roster::change::Role;
use kolonne_model::roster::{Named, read_body};

use super::Desk;
use crate::error::Error;
use crate::folding::signs::Sign;
use crate::keys;
use crate::kolonne::{Kolonne, op_id, seat_id};
use crate::oplog;
use crate::records::{Alarm, AlarmKind, Changed};
use crate::sync::alarm_since_ms;

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
        let signs = self.at_desk(|desk| {
            let (position, _) = desk.roster.head();
            if desk.roster.role_at(seat, position) < Some(Role::Office) {
                return Err(Error::Locked { code: "right" });
            }
            let mut standing = by_signs(desk)?.into_iter();
            let named = standing.find(|(alarm, _)| alarm.id.as_deref() == Some(id));
            let (_, signs) = named.ok_or(Error::NotFound { kind: "alarm" })?;
            Ok(signs)
        })?;
        self.inner.store.write(|tx| {
            for op in &signs.ops {
                tx.prepare_cached("INSERT OR IGNORE INTO put_away (op) VALUES (?1)")?
                    .execute([op.0.as_slice()])?;
            }
            Ok(())
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
    alarms.extend(by_signs(desk)?.into_iter().map(|(alarm, _)| alarm));
    Ok(alarms)
}

/// What can be put away, each with what it is seen by.
fn by_signs(desk: &Desk<'_>) -> Result<Vec<(Alarm, Signs)>, Error> {
    let mut alarms = foreign_rosters(desk)?;
    if desk.is_office {
        alarms.extend(ran_twice(desk)?);
    }
    Ok(alarms)
}

/// Signs that nobody looked into here. They are the very ops, since no number that an author can
/// write into one tells whether there are others than before.
#[derive(Default)]
struct Signs {
    since_ms: Option<u64>,
    ops: BTreeSet<OpId>,
}

impl Signs {
    fn add(&mut self, op: OpId, time_ms: u64) {
        self.since_ms = Some(self.since_ms.map_or(time_ms, |since| since.min(time_ms)));
        self.ops.insert(op);
    }

    /// Names them: with others it is another alarm.
    fn name(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for op in &self.ops {
            hasher.update(&op.0);
        }
        hasher.finalize().to_hex().chars().take(16).collect()
    }
}

/// By what they are about.
fn signs<K: Ord>(
    desk: &Desk<'_>,
    sign: Sign,
    about: impl Fn(SeatId) -> Option<K>,
) -> Result<BTreeMap<K, Signs>, Error> {
    let mut statement = desk.db.prepare_cached(
        "SELECT seat, op, time_ms FROM view_signs
         WHERE kind = ?1 AND op NOT IN (SELECT op FROM put_away)",
    )?;
    let rows = statement.query_map([sign as i64], |row| {
        let [seat, op]: [Vec<u8>; 2] = [row.get(0)?, row.get(1)?];
        Ok((seat, op, row.get::<_, i64>(2)?.cast_unsigned()))
    })?;
    let mut all: BTreeMap<K, Signs> = BTreeMap::new();
    for row in rows {
        let (seat, op, time_ms) = row?;
        if let Some(key) = about(seat_id(&seat)?) {
            all.entry(key).or_default().add(op_id(&op)?, time_ms);
        }
    }
    Ok(all)
}

/// Whose newest word here names a roster that this device doesn't know. It is over once they write
/// under one that stands here, or their rights end; of a branch that lies here the kit or a merge
/// decided, or the alarm about the two tells of it.
fn foreign_rosters(desk: &Desk<'_>) -> Result<Vec<(Alarm, Signs)>, Error> {
    let others = |seat: SeatId| {
        let tells = desk.device_of(&seat) != Some(desk.device)
            && desk.roster.ends_of(&seat).next().is_none();
        tells.then_some(seat)
    };
    let mut alarms = Vec::new();
    let mut branches = None;
    for (seat, signs) in signs(desk, Sign::ForeignRoster, others)? {
        if branches.is_none() {
            branches = Some(states_here(desk)?);
        }
        if !names_unknown(desk, &seat, branches.as_ref())? {
            continue;
        }
        let alarm = Alarm {
            kind: AlarmKind::ForeignRoster,
            since_ms: signs.since_ms.unwrap_or_default(),
            person: Some(desk.seat_name(&seat)),
            device: None,
            id: Some(format!("foreign_roster:{seat}:{}", signs.name())),
        };
        alarms.push((alarm, signs));
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

/// Whether a seat's newest word names a roster of which nothing is here. The newest is that of the
/// latest position, to which no device goes back; clocks are set back.
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
        newest = newest.max(Some((context.roster, unknown)));
    }
    Ok(newest.is_some_and(|(_, unknown)| unknown))
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
fn ran_twice(desk: &Desk<'_>) -> Result<Vec<(Alarm, Signs)>, Error> {
    let of_device = |seat: SeatId| {
        let device = desk.device_of(&seat)?;
        (!desk.roster.device_has_ended(&device)).then_some(device)
    };
    let devices: BTreeMap<DeviceId, Signs> = signs(desk, Sign::RanTwice, of_device)?;
    let alarms = devices.into_iter().map(|(device, signs)| {
        let alarm = Alarm {
            kind: AlarmKind::RanTwice,
            since_ms: signs.since_ms.unwrap_or_default(),
            person: None,
            device: Some(desk.name(&device.0)),
            id: Some(format!("ran_twice:{device}:{}", signs.name())),
        };
        (alarm, signs)
    });
    Ok(alarms.collect())
}
