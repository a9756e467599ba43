//! What people do in a simulation, network or not.

use kolonne_core::Error;
use kolonne_core::capture::{About, NewJob};
use kolonne_model::control::EraseReason;
use kolonne_model::ids::{OpId, SeatId, ThreadId};
use kolonne_model::roster::change::{EndMode, Subject};

use super::device::Stepped;
use super::{Captured, Event, Sim};

const WORDS: [&str; 12] = [
    "Ortgang", "Ziegel", "Sparren", "Rinne", "Folie", "Latten", "Gaube", "First", "Blech",
    "Schraube", "Kran", "Regen",
];

impl Sim<'_> {
    fn words(&mut self) -> String {
        let many = 1 + self.chance.below(12);
        let words: Vec<&str> = (0..many)
            .filter_map(|_| self.chance.of(&WORDS).copied())
            .collect();
        words.join(" ")
    }

    /// A device that is on, and that its people may write on.
    fn someone(&mut self) -> Option<usize> {
        let on: Vec<usize> = (0..self.devices.len())
            .filter(|at| self.devices[*at].is_on())
            .collect();
        self.chance.of(&on).copied()
    }

    /// The office device that acts, if one is on.
    pub(super) fn office(&mut self) -> Option<usize> {
        let on: Vec<usize> = (0..self.devices.len())
            .filter(|at| self.devices[*at].enrolled.is_office && self.devices[*at].is_on())
            .collect();
        self.chance.of(&on).copied()
    }

    fn seat(&mut self, at: usize) -> Option<SeatId> {
        let seats = self.devices[at].device().core().me().ok()?.seats;
        let at = self.chance.below(seats.len());
        seats.get(at).map(|seat| seat.seat)
    }

    /// A job that a device knows.
    fn job_at(&mut self, at: usize) -> Option<ThreadId> {
        let jobs = self.jobs.clone();
        let device = self.devices[at].device();
        let known: Vec<ThreadId> = jobs.into_iter().filter(|job| device.knows(job)).collect();
        self.chance.of(&known).copied()
    }

    /// An entry that its first person sees.
    fn entry_at(&mut self, at: usize, job: &ThreadId) -> Option<OpId> {
        let device = self.devices[at].device();
        let page = device.core().entries(&device.seat(), job, None, 30).ok()?;
        let entries: Vec<OpId> = page.entries.iter().map(|entry| entry.id).collect();
        self.chance.of(&entries).copied()
    }

    /// Does a thing on a device, as its people would. What is acknowledged must never be lost.
    fn writes<T>(
        &mut self,
        at: usize,
        what: &str,
        work: impl FnOnce(&crate::Device) -> Result<T, Error>,
    ) -> Option<T> {
        self.tell(Some(at), what);
        match self.devices[at].during(|this| work(this.device())) {
            Stepped::On(Ok(value)) => {
                self.step(at, Event::Nudged);
                Some(value)
            }
            Stepped::On(Err(error)) => {
                let bug = matches!(error, Error::Internal { .. } | Error::Corrupt);
                assert!(!bug, "{what}: {error:?}");
                self.tell(Some(at), error.code().as_str());
                None
            }
            Stepped::Died => {
                self.died(at);
                None
            }
        }
    }

    fn captured(&mut self, device: usize, thread: ThreadId, op: Option<OpId>) {
        if let Some(op) = op {
            self.captured.push(Captured {
                device,
                thread,
                op,
                excused: false,
            });
        }
    }

    /// Somebody writes, photographs, renames, takes back.
    pub(super) fn somebody_writes(&mut self) {
        let Some(at) = self.someone() else { return };
        let Some(seat) = self.seat(at) else { return };
        let Some(job) = self.job_at(at) else { return };
        let text = self.words();
        match self.chance.below(20) {
            0..9 => {
                let op = self.writes(at, "writes", |device| {
                    device
                        .core()
                        .send_text(&seat, &job, &text, &About::default())
                });
                self.captured(at, job, op);
            }
            9..12 => {
                let reply_to = self.entry_at(at, &job);
                let about = About {
                    reply_to,
                    ..About::default()
                };
                let op = self.writes(at, "answers", |device| {
                    device.core().send_text(&seat, &job, &text, &about)
                });
                self.captured(at, job, op);
            }
            12..15 => {
                // Sealed, it is some hundred bytes more, by chance: not enough for another slice.
                let many = self.chance.below(4) * 16_384 + 1 + self.chance.below(14_000);
                let bytes: Vec<u8> = (0..many).map(|_| self.chance.draw() as u8).collect();
                let op = self.writes(at, "sends a document", |device| {
                    let about = About::default();
                    device
                        .core()
                        .send_document(&seat, &job, "plan.bin", &bytes, &about)
                });
                self.captured(at, job, op);
            }
            15 => {
                let Some(entry) = self.entry_at(at, &job) else {
                    return;
                };
                self.writes(at, "takes back", |device| {
                    device.core().retract(&seat, &entry, Some("Versehen"))
                });
            }
            16 => {
                let Some(entry) = self.entry_at(at, &job) else {
                    return;
                };
                self.writes(at, "reads", |device| {
                    device.core().mark_read(&seat, &job, &entry)
                });
            }
            _ => {
                let job = NewJob {
                    title: text,
                    ..NewJob::default()
                };
                let job = self.writes(at, "opens a job", |device| {
                    device.core().open_job(&seat, &job)
                });
                self.jobs.extend(job);
            }
        }
    }

    /// The office decides something.
    pub(super) fn the_office_decides(&mut self) {
        let Some(at) = self.office() else { return };
        if self.devices[at].is_acting() {
            return;
        }
        let Some(seat) = self.seat(at) else { return };
        match self.chance.below(10) {
            0..3 => {
                let Some(job) = self.job_at(at) else { return };
                let crews = self.devices[at]
                    .device()
                    .core()
                    .people()
                    .map(|(_, crews)| crews);
                let rings: Vec<_> = crews.unwrap_or_default().iter().map(|c| c.id).collect();
                let Some(ring) = self.chance.of(&rings).copied() else {
                    return;
                };
                let adds = self.chance.permille(500);
                self.writes(at, "changes who is in a job", |device| {
                    let (add, remove) = if adds {
                        (vec![ring], vec![])
                    } else {
                        (vec![], vec![ring])
                    };
                    device.core().change_members(&seat, &job, &add, &remove)
                });
            }
            3..5 => {
                let Some(job) = self.job_at(at) else { return };
                let Some(entry) = self.entry_at(at, &job) else {
                    return;
                };
                self.writes(at, "erases an entry", |device| {
                    device.core().erase(&seat, &[entry], EraseReason::Mistake)
                });
            }
            5 | 6 => {
                let phones: Vec<usize> = (0..self.devices.len())
                    .filter(|at| !self.devices[*at].enrolled.is_office)
                    .collect();
                let Some(phone) = self.chance.of(&phones).copied() else {
                    return;
                };
                let mode = if self.chance.permille(500) {
                    EndMode::Soft
                } else {
                    EndMode::Hard
                };
                let subject = Subject::Device(self.devices[phone].enrolled.id);
                let name = self.devices[phone].enrolled.name.clone();
                self.tell(Some(at), &format!("ends {name} ({mode:?})"));
                let core = self.devices[at].device().core().clone();
                self.acts(at, async move { core.end(&seat, subject, mode).await });
            }
            _ => {
                let kept = self.devices[at].device().core().kept_back();
                let Some(kept) = kept.unwrap_or_default().into_iter().next() else {
                    return;
                };
                self.writes(at, "lets in what was kept back", |device| {
                    device.core().admit(&seat, &kept.thread, &kept.seat)
                });
            }
        }
    }

    pub(super) fn acts(
        &mut self,
        at: usize,
        act: impl Future<Output = Result<(), Error>> + 'static,
    ) {
        self.devices[at].act(Box::pin(act));
        self.step(at, Event::Time);
    }
}
