//! What must hold when the faults have stopped and everyone has met the hub again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kolonne_core::Event;
use kolonne_model::ids::ThreadId;

use super::{Captured, Sim};
use crate::Device;

/// Exchanges of each device within which everyone must have all.
pub const MAX_EXCHANGES: usize = 3;
/// What wasn't found is asked for again after this time at the latest; it passes between exchanges.
const ASKED_AGAIN_MS: u64 = 11 * 60 * 1000;
/// Virtual time within which one exchange must end.
const PATIENCE_MS: u64 = 3 * 3600 * 1000;

impl Sim<'_> {
    /// Everyone meets the hub in turn, until all show the same. How often it took.
    pub(super) fn converge(&mut self) -> Result<usize, String> {
        for round in 1..=MAX_EXCHANGES {
            for at in 0..self.devices.len() {
                self.exchange(at)?;
            }
            if self.what_is_wrong().is_none() {
                return Ok(round);
            }
            self.run_for(ASKED_AGAIN_MS);
        }
        Err(self.what_is_wrong().unwrap_or_default())
    }

    fn what_is_wrong(&self) -> Option<String> {
        let lost = self.lost().or_else(|| self.difference());
        lost.or_else(|| self.file_lost())
    }

    fn exchange(&mut self, at: usize) -> Result<(), String> {
        if !self.devices[at].is_on() {
            return Ok(());
        }
        self.devices[at].device().core().nudge();
        self.devices[at].sync_once();
        self.step(at, Event::Time);
        let end_ms = self.now() + PATIENCE_MS;
        while self.devices[at].is_syncing() {
            if self.now() > end_ms {
                return Err(format!("{} never ends", self.devices[at].enrolled.name));
            }
            self.run_for(1_000);
        }
        Ok(())
    }

    /// What was acknowledged and isn't at the office.
    fn lost(&self) -> Option<String> {
        let office = self
            .devices
            .iter()
            .find(|device| device.enrolled.is_office)?;
        let office = office.if_on()?;
        let lost = self
            .captured
            .iter()
            .filter(|captured| !self.may_be_gone(captured))
            .find(|captured| !office.holds_op(&captured.op))?;
        Some(format!(
            "LOST: {} of {} in {}",
            lost.op, self.devices[lost.device].enrolled.name, lost.thread
        ))
    }

    /// Whether nobody can be blamed for what isn't there: its device was put back to before it, or
    /// wiped itself by a signed end after a hub signed for what it threw away.
    fn may_be_gone(&self, captured: &Captured) -> bool {
        let at = captured.device;
        captured.excused || (self.devices[at].is_gone && self.betrayed.contains(&at))
    }

    /// A file of what was captured that the office hasn't got and waits for.
    fn file_lost(&self) -> Option<String> {
        let office = self
            .devices
            .iter()
            .find(|device| device.enrolled.is_office)?;
        let office = office.if_on()?;
        let db = office.database();
        let mut missing = db
            .prepare_cached(
                "SELECT count(*) FROM blobs b JOIN view_entries e ON e.id = b.entry
                 WHERE b.entry = ?1 AND b.here = 0 AND b.wanted = 1 AND e.retracted = 0
                    AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.op = b.entry)",
            )
            .unwrap();
        let lost = self
            .captured
            .iter()
            .filter(|captured| {
                !self.may_be_gone(captured) && !self.devices[captured.device].is_gone
            })
            .find(|captured| {
                let op = [captured.op.0.as_slice()];
                let files: u32 = missing.query_row(op, |row| row.get(0)).unwrap();
                files > 0
            })?;
        Some(format!(
            "LOST: a file of {} of {} in {}",
            lost.op, self.devices[lost.device].enrolled.name, lost.thread
        ))
    }

    /// Two devices that show a job differently.
    fn difference(&self) -> Option<String> {
        let office = self.devices.first()?.if_on()?;
        for job in self.jobs.iter().filter(|job| office.knows(job)) {
            let shown = readable(&office.thread(job));
            for device in &self.devices {
                let Some(other) = device.if_on() else {
                    continue;
                };
                let Ok(thread) = other.core().thread(&other.seat(), job) else {
                    continue;
                };
                let here = thread.members.iter().any(|member| {
                    device.enrolled.is_office
                        || member.name == device.enrolled.name
                        || (device.enrolled.name == "Anna" && member.name == "Anna Weber")
                });
                if !here {
                    continue;
                }
                let theirs = readable(&other.thread(job));
                if theirs != shown {
                    return Some(format!(
                        "DIFFERENT at {}:\n{theirs}--- at the office:\n{shown}{}",
                        device.enrolled.name,
                        ops_apart(other, office, job)
                    ));
                }
            }
        }
        None
    }

    /// What must hold of each device by itself.
    pub(super) fn check(&mut self) -> Result<(), String> {
        for at in 0..self.devices.len() {
            let Some(device) = self.devices[at].if_on() else {
                continue;
            };
            let name = &self.devices[at].enrolled.name;
            let jobs: Vec<_> = self.jobs.iter().filter(|job| device.knows(job)).collect();
            let before: Vec<String> = jobs.iter().map(|job| device.thread(job)).collect();
            device
                .core()
                .rebuild_views()
                .map_err(|error| format!("{name} can't rebuild: {error:?}"))?;
            for (job, before) in jobs.iter().zip(before) {
                let after = device.thread(job);
                if after != before {
                    return Err(format!("REBUILT at {name}:\n{after}--- was:\n{before}"));
                }
            }
            let outbox = device
                .core()
                .status()
                .map_err(|error| format!("{error:?}"))?
                .outbox;
            if outbox != kolonne_core::records::Outbox::default() {
                return Err(format!("LEFT at {name}: {outbox:?}"));
            }
        }
        let shown: Vec<String> = self
            .devices
            .first()
            .and_then(|office| office.if_on())
            .map(|office| {
                let jobs = self.jobs.iter().filter(|job| office.knows(job));
                jobs.map(|job| office.thread(job)).collect()
            })
            .unwrap_or_default();
        for thread in shown {
            self.story.push_str(&thread);
        }
        Ok(())
    }
}

/// Which ops of a thread only one of two devices has, and which it has without what they say.
fn ops_apart(one: &Device, other: &Device, job: &ThreadId) -> String {
    let ops = |device: &Device| -> BTreeMap<String, String> {
        let db = device.database();
        let mut statement = db
            .prepare(
                "SELECT lower(hex(o.id)), o.class || ' ' || substr(hex(o.seat), 1, 8) || '/' || o.seq
                    || CASE WHEN p.op IS NULL THEN ' without payload' ELSE '' END
                    || ' with ' || (SELECT count(*) FROM parts x WHERE x.op = o.id) || ' parts'
                 FROM ops o LEFT JOIN payloads p ON p.op = o.id WHERE o.thread = ?1",
            )
            .unwrap();
        let rows = statement.query_map([job.0.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    };
    let (one, other) = (ops(one), ops(other));
    let mut out = format!(
        "--- {} ops there, {} at the office\n",
        one.len(),
        other.len()
    );
    for (id, what) in one.iter().filter(|(id, what)| other.get(*id) != Some(what)) {
        writeln!(out, "there: {what} {}", &id[..8]).unwrap();
    }
    for (id, what) in other.iter().filter(|(id, what)| one.get(*id) != Some(what)) {
        writeln!(out, "at the office: {what} {}", &id[..8]).unwrap();
    }
    out
}

/// A thread as all its members see it: what only some have in keeping isn't compared.
fn readable(thread: &str) -> String {
    let lines = thread.lines().filter(|line| !line.starts_with("# held"));
    lines.flat_map(|line| [line, "\n"]).collect()
}
