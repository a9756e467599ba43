//! `seen`: an office device's signed statement of what it has verified, decrypted and stored.
//!
//! Once per thread and sync, unless an office device already covers it; never about other `seen`
//! marks, so that two office devices don't answer each other for ever. What is too much for one body
//! goes in several.

use std::collections::BTreeSet;

use kolonne_model::body::{Say, Seen};
use kolonne_model::fold;
use kolonne_model::ids::{BlobId, DeviceId, SeatId, ThreadId};
use kolonne_model::judge::ThreadOps;
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{DeviceKind, SeatKind};
use rusqlite::{Connection, Transaction};

use super::{Sync, blocking};
use crate::capture;
use crate::error::Error;
use crate::kolonne::{Inner, seat_id, thread_id};
use crate::oplog::{self, Moment};
use crate::{folding, keys};

/// Heads and blobs that one body names: 64 kB hold them, whatever their numbers are.
const BODY_HEADS: usize = 300;
const BODY_BLOBS: usize = 1_000;

impl Sync<'_> {
    /// Tells what this office device has; nothing on a phone.
    pub async fn tell_seen(&mut self) -> Result<(), Error> {
        let told = blocking(self.inner, |inner| {
            let threads = inner.store.read(|db| {
                let roster = inner.roster(db)?;
                let is_office = roster
                    .device(&inner.device)
                    .is_some_and(|device| device.cert.kind == DeviceKind::Office);
                if is_office {
                    unseen_threads(db, &roster, &inner.device)
                } else {
                    Ok(BTreeSet::new())
                }
            })?;
            let mut told = false;
            for thread in threads {
                told |= inner.see(&thread)?;
            }
            Ok(told)
        })
        .await?;
        if told { self.push().await } else { Ok(()) }
    }
}

/// Threads in which a strand of another device's people, or a blob, goes beyond what any office
/// device has told.
fn unseen_threads(
    db: &Connection,
    roster: &Roster,
    own: &DeviceId,
) -> Result<BTreeSet<ThreadId>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT thread, seat FROM (SELECT thread, seat, store, max(seq) AS seq FROM ops
             WHERE class <> 3 GROUP BY thread, seat, store) o
         WHERE NOT EXISTS (SELECT 1 FROM view_seen s WHERE s.thread = o.thread
             AND s.seat = o.seat AND s.store = o.store AND s.seq >= o.seq)
         UNION SELECT thread, NULL FROM blobs WHERE here = 1 AND told_seen = 0",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
    })?;
    let mut threads = BTreeSet::new();
    for row in rows {
        let (thread, seat) = row?;
        let matters = match seat {
            None => true,
            Some(seat) => roster.seat(&seat_id(&seat)?).is_some_and(|record| {
                record.cert.kind != SeatKind::Device && record.cert.device != *own
            }),
        };
        if matters {
            threads.insert(thread_id(&thread)?);
        }
    }
    Ok(threads)
}

impl Inner {
    fn see(&self, thread: &ThreadId) -> Result<bool, Error> {
        let told = self.store.write(|tx| {
            let roster = self.roster(tx)?;
            let moment = Moment {
                roster: &roster,
                now_ms: self.now_ms(),
            };
            self.see_in(tx, &moment, thread)
        })?;
        if told {
            self.tell(crate::records::Changed::Thread(*thread));
        }
        Ok(told)
    }

    fn see_in(
        &self,
        tx: &Transaction<'_>,
        moment: &Moment<'_>,
        thread: &ThreadId,
    ) -> Result<bool, Error> {
        let author = keys::device_author(tx)?;
        let is_device = |seat: &SeatId| {
            moment
                .roster
                .seat(seat)
                .is_none_or(|record| record.cert.kind == SeatKind::Device)
        };
        let on_this = |seat: &SeatId| {
            moment
                .roster
                .seat(seat)
                .is_some_and(|record| record.cert.device == self.device)
        };
        let ops = oplog::of_thread(tx, thread)?;
        let set = ThreadOps::new(*thread, &ops);
        let view = folding::refold(tx, moment.roster, &self.device, thread)?;
        // Not in a direct thread: its people may be at this device, the office isn't in it.
        let (position, _) = moment.roster.head();
        let speaks_for = moment.roster.speaks_for(&author.seat, position);
        if !view.control.has_member(&speaks_for) {
            return Ok(false);
        }
        let heads: Vec<_> = fold::seen_heads(&set, &view, &author.seat)
            .into_iter()
            .filter(|head| !is_device(&head.seat))
            .collect();
        let new_head = heads.iter().any(|head| {
            !on_this(&head.seat) && !view.seen_heads.values().any(|seen| seen.contains(head))
        });
        let blobs = untold_blobs(tx, thread)?;
        if !new_head && blobs.is_empty() {
            return Ok(false);
        }
        let (mut heads, mut blobs) = (heads.chunks(BODY_HEADS), blobs.chunks(BODY_BLOBS));
        loop {
            let some = (heads.next(), blobs.next());
            if some == (None, None) {
                break;
            }
            let seen = Seen {
                heads: some.0.unwrap_or_default().to_vec(),
                blobs: some.1.unwrap_or_default().to_vec(),
            };
            capture::say(tx, moment, &author, thread, Say::Seen(seen))?;
        }
        tx.execute(
            "UPDATE blobs SET told_seen = 1 WHERE thread = ?1 AND here = 1",
            [thread.0.as_slice()],
        )?;
        folding::refold(tx, moment.roster, &self.device, thread)?;
        Ok(true)
    }
}

fn untold_blobs(tx: &Transaction<'_>, thread: &ThreadId) -> Result<Vec<BlobId>, Error> {
    let mut statement = tx.prepare_cached(
        "SELECT blob FROM blobs WHERE thread = ?1 AND here = 1 AND told_seen = 0",
    )?;
    let blobs = statement.query_map([thread.0.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
    blobs
        .map(|blob| BlobId::try_from(blob?.as_slice()).map_err(|_| Error::Corrupt))
        .collect()
}
