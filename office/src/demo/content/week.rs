//! The week of an invented roofing company as plain data: its people, jobs and
//! what was said, photographed and spoken, sorted by time. It performs
//! nothing; the demo's players read it and capture as people would.

mod script;

use super::exif::{ExifData, Orientation, Position};
use super::paint::Scene;
use jiff::civil::{Date, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// A person of the company.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Foreman with a phone of her own.
    Anna,
    /// Crew 3.
    Mehmet,
    /// Crew 3, on the same phone as Mehmet.
    Jonas,
    /// The office.
    Sabine,
}

/// What a person may do and where the person's seat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// Foreman, with a phone of one's own.
    Foreman,
    /// Member of a crew, on the crew's phone.
    Crew,
    /// In the office.
    Office,
}

impl Who {
    /// Everybody.
    pub const ALL: [Self; 4] = [Self::Anna, Self::Mehmet, Self::Jonas, Self::Sabine];

    /// First and last name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anna => "Anna Keller",
            Self::Mehmet => "Mehmet Yılmaz",
            Self::Jonas => "Jonas Petersen",
            Self::Sabine => "Sabine Brandt",
        }
    }

    /// Role and device.
    pub fn post(self) -> Post {
        match self {
            Self::Anna => Post::Foreman,
            Self::Mehmet | Self::Jonas => Post::Crew,
            Self::Sabine => Post::Office,
        }
    }
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Somebody asked.
    Anfrage,
    /// An offer is out.
    Angebot,
    /// Ordered.
    Auftrag,
    /// The work is done.
    Fertig,
    /// Invoiced.
    Abgerechnet,
    /// Paid.
    Bezahlt,
}

impl Status {
    /// The word on the screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Anfrage => "Anfrage",
            Self::Angebot => "Angebot",
            Self::Auftrag => "Auftrag",
            Self::Fertig => "fertig",
            Self::Abgerechnet => "abgerechnet",
            Self::Bezahlt => "bezahlt",
        }
    }
}

/// What a thread is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Thread {
    /// A job with its customer and building site.
    Job {
        /// Title at the start of the week.
        title: &'static str,
        /// Invented customer.
        customer: &'static str,
        /// Invented address.
        address: &'static str,
        /// Status at the start of the week.
        status: Status,
        /// Where the site is, for the photos' EXIF.
        site: Position,
    },
    /// The crew's own thread.
    Crew {
        /// Name of the crew.
        name: &'static str,
    },
}

/// A paper that is attached as PDF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document {
    /// Name of the file.
    pub file_name: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Lines of text.
    pub lines: &'static [&'static str],
}

impl Document {
    /// The file.
    pub fn pdf(&self) -> Vec<u8> {
        super::pdf::page(self.title, self.lines)
    }
}

/// What somebody did. `to_step` is an index into [`Week::steps`], of an
/// earlier step in the same thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// Wrote.
    Text {
        /// The words.
        text: &'static str,
    },
    /// Took a photo.
    Photo {
        /// What it shows.
        scene: Scene,
        /// Which of all such pictures.
        seed: u64,
        /// What was typed under it, may be empty.
        caption: &'static str,
        /// How the phone was held.
        orientation: Orientation,
    },
    /// Spoke a voice note.
    Voice {
        /// Whose voice and which words, so to speak.
        seed: u64,
        /// Its length.
        duration_ms: u32,
    },
    /// Attached a paper.
    Document {
        /// The paper.
        document: Document,
    },
    /// Answered an entry.
    Reply {
        /// The entry.
        to_step: usize,
        /// The words.
        text: &'static str,
    },
    /// Put another caption under a photo.
    Caption {
        /// The photo.
        to_step: usize,
        /// The new caption.
        caption: &'static str,
    },
    /// Took an own entry back.
    Retract {
        /// The entry.
        to_step: usize,
        /// Why.
        reason: &'static str,
    },
    /// Renamed the job.
    Rename {
        /// The new title.
        title: &'static str,
    },
    /// Moved the job on.
    Status {
        /// The new status.
        status: Status,
    },
    /// Has read up to and with an entry.
    Read {
        /// The entry.
        to_step: usize,
    },
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// When, in ms since 1970.
    pub at_ms: i64,
    /// Who did it.
    pub who: Who,
    /// Index into [`Week::threads`].
    pub thread: usize,
    /// What it was.
    pub what: What,
}

/// Five working days of the company.
#[derive(Clone, Debug)]
pub struct Week {
    /// Name of the company.
    pub company: &'static str,
    /// Name of the crew that Mehmet and Jonas are.
    pub crew: &'static str,
    /// Jobs and the crew's thread.
    pub threads: Vec<Thread>,
    /// What happened, sorted by time.
    pub steps: Vec<Step>,
}

impl Week {
    /// What the camera notes about the photo of `step`.
    pub fn exif(&self, step: &Step) -> ExifData {
        let position = match self.threads.get(step.thread) {
            Some(Thread::Job { site, .. }) => Some(*site),
            _ => None,
        };
        let orientation = match step.what {
            What::Photo { orientation, .. } => orientation,
            _ => Orientation::Upright,
        };
        ExifData {
            make: "Kolonne".to_owned(),
            model: match step.who.post() {
                Post::Crew => "Kolonnenhandy",
                Post::Foreman | Post::Office => "Bauhandy",
            }
            .to_owned(),
            taken: zoned(step.at_ms, berlin()),
            orientation,
            position,
        }
    }
}

/// The last five working days that were over by `now_ms` (ms since 1970).
pub fn week(now_ms: i64) -> Week {
    let zone = berlin();
    let days = working_days(&zoned(now_ms, zone.clone()));
    let mut rows: Vec<(i64, usize, &script::Row)> = Vec::new();
    for (thread, lines) in script::LINES.iter().enumerate() {
        for row in *lines {
            let Some(day) = days.get(usize::from(row.day)) else {
                continue;
            };
            rows.push((instant(*day, row.clock, &zone), thread, row));
        }
    }
    rows.sort_by_key(|(at_ms, ..)| *at_ms);
    let find = |thread: usize, key: &str| {
        rows.iter()
            .position(|(_, t, row)| *t == thread && row.key == key)
    };
    let steps = rows
        .iter()
        .filter_map(|(at_ms, thread, row)| {
            let what = row.what.resolve(|key| find(*thread, key))?;
            Some(Step {
                at_ms: *at_ms,
                who: row.who,
                thread: *thread,
                what,
            })
        })
        .collect();
    Week {
        company: "Dachdeckerei Brandt GmbH",
        crew: "Kolonne 3",
        threads: script::THREADS.to_vec(),
        steps,
    }
}

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap_or_else(|_| TimeZone::fixed(Offset::constant(1)))
}

fn zoned(at_ms: i64, zone: TimeZone) -> Zoned {
    Timestamp::from_millisecond(at_ms)
        .unwrap_or_default()
        .to_zoned(zone)
}

/// Monday to Friday, oldest first; today counts after the end of work.
fn working_days(now: &Zoned) -> Vec<Date> {
    let mut day = now.date();
    if now.hour() < 18 {
        day = day.yesterday().unwrap_or(day);
    }
    let mut days = Vec::with_capacity(5);
    for _ in 0..9 {
        let free = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
        if !free && days.len() < 5 {
            days.insert(0, day);
        }
        day = day.yesterday().unwrap_or(day);
    }
    days
}

/// `clock` is written as hours × 100 + minutes.
fn instant(day: Date, clock: i16, zone: &TimeZone) -> i64 {
    let (hour, minute) = (clock / 100, clock % 100);
    // Seconds that no human would choose, so that the times look lived.
    let second = (clock * 7 % 53).abs();
    let wall = i8::try_from(hour)
        .ok()
        .zip(i8::try_from(minute).ok())
        .zip(i8::try_from(second).ok())
        .and_then(|((h, m), s)| jiff::civil::Time::new(h, m, s, 0).ok());
    let at = day.to_datetime(wall.unwrap_or(jiff::civil::Time::midnight()));
    zone.to_ambiguous_timestamp(at)
        .compatible()
        .map_or(0, Timestamp::as_millisecond)
}
