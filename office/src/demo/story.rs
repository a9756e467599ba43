//! Plays the week: each entry from the right device and seat at its time, with the devices in
//! touch whenever the writer changes, so that the threads grow as they would have. Every step can
//! be repeated: an interrupted week goes on where it was.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kolonne_core::capture::{About, JobChange, NewJob};
use kolonne_core::{Budget, Error, Kolonne};
use kolonne_model::ids::{OpId, RingId, SeatId, ThreadId};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::company::Company;
use super::content::exif::Orientation;
use super::content::paint;
use super::content::voice::voice_note;
use super::content::week::{Post, Status, Step, Thread, Week, What, Who};
use super::past;
use crate::failure::{Failure, Outcome};

/// Threads that are played at once: two draw while one waits for the disk or the hub.
const PLAYERS: usize = 3;
/// Pictures as a small phone takes them.
const LONG_PX: u32 = 1152;
const SHORT_PX: u32 = 864;
/// Before a job's first entry, ms.
const OPENED_BEFORE_MS: u64 = 20 * 60 * 1000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const OFFLINE_PAUSE: Duration = Duration::from_secs(1);
/// Words only; pictures follow by themselves.
const WORDS_FIRST: Budget = Budget {
    time: None,
    blob_bytes: Some(0),
};

/// How far the week is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Steps done.
    pub done: AtomicUsize,
    /// Steps there are.
    pub all: AtomicUsize,
}

/// Who plays, and what is known of the threads.
struct Stage {
    company: Company,
    week: Week,
    seats: HashMap<Who, SeatId>,
    threads: Vec<ThreadId>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    runtime: Handle,
}

/// Plays the whole week; blocks for as long as it takes.
pub fn play(
    company: &Company,
    week: Week,
    began_ms: u64,
    progress: Arc<Progress>,
    stop: CancellationToken,
    runtime: Handle,
) -> Outcome {
    progress.all.store(week.steps.len(), Ordering::Relaxed);
    let mut stage = Stage {
        seats: seats(company)?,
        company: company.clone(),
        week,
        threads: Vec::new(),
        progress,
        stop,
        runtime,
    };
    stage.threads = stage.open_threads(began_ms)?;
    // The longest first, so that the players end together.
    let mut order: Vec<usize> = (0..stage.threads.len()).collect();
    order.sort_by_key(|at| {
        std::cmp::Reverse(
            stage
                .week
                .steps
                .iter()
                .filter(|step| step.thread == *at)
                .count(),
        )
    });
    let queue = Mutex::new(VecDeque::from(order));
    let results: Vec<Outcome> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..PLAYERS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let next = queue
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .pop_front();
                        let Some(thread) = next else { return Ok(()) };
                        stage.play_thread(thread)?;
                    }
                })
            })
            .collect();
        players
            .into_iter()
            .map(|player| {
                player
                    .join()
                    .unwrap_or_else(|_| Err(Failure::new("internal.story")))
            })
            .collect()
    });
    results.into_iter().collect()
}

/// Everybody's seat, by the person's ring as the office knows it.
fn seats(company: &Company) -> Outcome<HashMap<Who, SeatId>> {
    let (people, _) = company.office.people()?;
    let unknown = || Failure::new("not_found.seat");
    let mut seats = HashMap::new();
    for who in Who::ALL {
        let person = people
            .iter()
            .find(|person| person.name == who.name())
            .ok_or_else(unknown)?;
        let me = company.device(who).me()?;
        let seat = me
            .seats
            .iter()
            .find(|seat| seat.person == person.id)
            .ok_or_else(unknown)?;
        seats.insert(who, seat.seat);
    }
    Ok(seats)
}

/// A draft that names a step, the same at every start.
fn draft(began_ms: u64, what: &str, number: usize) -> [u8; 16] {
    let text = format!("{began_ms} {what} {number}");
    let mut id = [0; 16];
    let hash = blake3::derive_key("kolonne demo draft v1", text.as_bytes());
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    id
}

/// Who does a step: a job's head is the foreman's to change, and the crew asks her.
fn doer(step: &Step) -> Who {
    match (step.what, step.who.post()) {
        (What::Status { .. } | What::Rename { .. }, Post::Crew) => Who::Anna,
        _ => step.who,
    }
}

fn status_code(status: Status) -> &'static str {
    match status {
        Status::Anfrage => "inquiry",
        Status::Angebot => "quote",
        Status::Auftrag => "order",
        Status::Fertig => "done",
        Status::Abgerechnet => "billed",
        Status::Bezahlt => "paid",
    }
}

impl Stage {
    fn seat(&self, who: Who) -> Outcome<SeatId> {
        self.seats
            .get(&who)
            .copied()
            .ok_or_else(|| Failure::new("not_found.seat"))
    }

    /// Exchanges words; waits while the phone is in flight mode.
    fn touch(&self, device: &Kolonne) -> Outcome {
        loop {
            if self.stop.is_cancelled() {
                return Err(Failure::new("cancelled"));
            }
            match self.runtime.block_on(device.sync_once(WORDS_FIRST)) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_passing() => std::thread::sleep(OFFLINE_PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The office opens every job with crew and foreman in it.
    fn open_threads(&self, began_ms: u64) -> Outcome<Vec<ThreadId>> {
        let office = &self.company.office;
        let sabine = self.seat(Who::Sabine)?;
        self.touch(office)?;
        let (people, crews) = office.people()?;
        let foremen = people.iter().filter_map(|person| person.own_ring);
        let rings: Vec<RingId> = crews.iter().map(|crew| crew.id).chain(foremen).collect();
        let mut opened = Vec::new();
        for (number, thread) in self.week.threads.iter().enumerate() {
            let first = self.week.steps.iter().find(|step| step.thread == number);
            let then = first.map_or(began_ms, |step| ms(step.at_ms));
            let (title, customer, address, status) = match thread {
                Thread::Job {
                    title,
                    customer,
                    address,
                    status,
                    ..
                } => (*title, *customer, *address, status_code(*status)),
                Thread::Crew { name } => {
                    let own = office.threads(&sabine, "")?.into_iter().find(|row| {
                        row.title == *name && row.kind == kolonne_model::control::ThreadKind::Crew
                    });
                    if let Some(own) = own {
                        let all_in = past::at(then.saturating_sub(DAY_MS), || {
                            office.change_members(&sabine, &own.id, &rings, &[])
                        });
                        if let Err(error) = all_in {
                            tracing::info!(code = error.code(), "crew thread stays as it is");
                        }
                        opened.push(own.id);
                        continue;
                    }
                    (*name, "", "", "")
                }
            };
            let job = NewJob {
                title: title.to_owned(),
                customer: customer.to_owned(),
                address: address.to_owned(),
                status: status.to_owned(),
                members: rings.clone(),
                draft: Some(draft(began_ms, "thread", number)),
            };
            let then = then.saturating_sub(OPENED_BEFORE_MS);
            opened.push(past::at(then, || office.open_job(&sabine, &job))?);
        }
        for device in self.company.devices() {
            self.touch(device)?;
        }
        Ok(opened)
    }

    fn play_thread(&self, number: usize) -> Outcome {
        let Some(thread) = self.threads.get(number) else {
            return Ok(());
        };
        let steps = self.week.steps.iter().enumerate();
        let mut entries: HashMap<usize, OpId> = HashMap::new();
        let mut last: HashMap<Who, OpId> = HashMap::new();
        let mut writer: Option<&Kolonne> = Some(&self.company.office);
        for (at, step) in steps.filter(|(_, step)| step.thread == number) {
            let who = doer(step);
            let device = self.company.device(who);
            if writer.is_none_or(|writer| !std::ptr::eq(writer, device)) {
                if let Some(writer) = writer {
                    self.touch(writer)?;
                }
                self.touch(device)?;
            }
            writer = Some(device);
            if self.stop.is_cancelled() {
                return Err(Failure::new("cancelled"));
            }
            let begun = Instant::now();
            match self.step(thread, at, step, who, &entries) {
                Ok(Some(id)) => {
                    entries.insert(at, id);
                    last.insert(who, id);
                }
                Ok(None) => {}
                Err(error @ (Error::StorageFull { .. } | Error::Corrupt)) => {
                    return Err(error.into());
                }
                // A step that was done before an interruption, or isn't allowed to this role.
                Err(error) => tracing::warn!(code = error.code(), step = at, "step left out"),
            }
            tracing::debug!(step = at, took_ms = begun.elapsed().as_millis(), "step");
            self.progress.done.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(writer) = writer {
            self.touch(writer)?;
        }
        // Who wrote has read what was before.
        for (who, entry) in last {
            let device = self.company.device(who);
            self.touch(device)?;
            let seat = self.seat(who)?;
            if let Err(error) = device.mark_read(&seat, thread, &entry) {
                tracing::warn!(code = error.code(), "read mark left out");
            }
        }
        Ok(())
    }

    /// Does one step; the entry it made, if it made one.
    fn step(
        &self,
        thread: &ThreadId,
        at: usize,
        step: &Step,
        who: Who,
        entries: &HashMap<usize, OpId>,
    ) -> Result<Option<OpId>, Error> {
        let device = self.company.device(who);
        let seat = self
            .seats
            .get(&who)
            .ok_or(Error::NotFound { kind: "seat" })?;
        let entry = |to: usize| {
            entries
                .get(&to)
                .copied()
                .ok_or(Error::NotFound { kind: "entry" })
        };
        let began_ms = self.week.steps.first().map_or(0, |step| ms(step.at_ms));
        let about = |caption: &str, reply_to: Option<OpId>| About {
            reply_to,
            caption: (!caption.is_empty()).then(|| caption.to_owned()),
            draft: Some(draft(began_ms, "step", at)),
        };
        let then = ms(step.at_ms);
        let set = |change: JobChange| past::at(then, || device.set_job(seat, thread, &change));
        let made = match step.what {
            What::Text { text } => past::at(then, || {
                device.send_text(seat, thread, text, &about("", None))
            })?,
            What::Reply { to_step, text } => {
                let about = about("", Some(entry(to_step)?));
                past::at(then, || device.send_text(seat, thread, text, &about))?
            }
            What::Photo {
                scene,
                seed,
                caption,
                orientation,
            } => {
                let (width, height) = match orientation {
                    Orientation::Upright => (LONG_PX, SHORT_PX),
                    Orientation::Rotate90 => (SHORT_PX, LONG_PX),
                };
                let begun = Instant::now();
                let jpeg = paint::jpeg(scene, seed, width, height, &self.week.exif(step));
                tracing::debug!(took_ms = begun.elapsed().as_millis(), "drawn");
                past::at(then, || {
                    device.send_photo(seat, thread, &jpeg, &about(caption, None))
                })?
            }
            What::Voice { seed, duration_ms } => {
                let voice = voice_note(seed, duration_ms);
                past::at(then, || {
                    device.send_voice(seat, thread, &voice.bytes, &about("", None))
                })?
            }
            What::Document { document } => past::at(then, || {
                let about = about("", None);
                device.send_document(seat, thread, document.file_name, &document.pdf(), &about)
            })?,
            What::Caption { to_step, caption } => {
                let entry = entry(to_step)?;
                past::at(then, || device.caption(seat, &entry, caption))?;
                return Ok(None);
            }
            What::Retract { to_step, reason } => {
                let entry = entry(to_step)?;
                past::at(then, || device.retract(seat, &entry, Some(reason)))?;
                return Ok(None);
            }
            What::Rename { title } => {
                set(JobChange {
                    title: Some(title.to_owned()),
                    ..JobChange::default()
                })?;
                return Ok(None);
            }
            What::Status { status } => {
                let status = Some(status_code(status).to_owned());
                set(JobChange {
                    status,
                    ..JobChange::default()
                })?;
                return Ok(None);
            }
            What::Read { to_step } => {
                let entry = entry(to_step)?;
                past::at(then, || device.mark_read(seat, thread, &entry))?;
                return Ok(None);
            }
        };
        Ok(Some(made))
    }
}

/// A time of the week as the core counts.
fn ms(at_ms: i64) -> u64 {
    u64::try_from(at_ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_name_steps_and_stay_the_same() {
        assert_eq!(draft(1, "step", 2), draft(1, "step", 2));
        assert_ne!(draft(1, "step", 2), draft(1, "step", 3));
        assert_ne!(draft(1, "step", 2), draft(1, "thread", 2));
    }
}
