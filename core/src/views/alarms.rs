//! What must not be, told to people until it is settled: signs that the hub shows different rosters
//! to different devices.

use super::Desk;
use crate::error::Error;
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
        });
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
        });
    }
    Ok(alarms)
}
