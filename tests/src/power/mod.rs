//! Cuts the power of a device that writes: what a disk may hold then, and whether it is enough.
//!
//! `trace` records every call by which a real sender changes its folder, `disk` makes of it the
//! folders that a power cut may leave at any moment, and here is what must be true of each. Nothing
//! knows how the core writes: only what the system promises about calls.

pub mod disk;
pub mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kolonne_core::Kolonne;
use kolonne_core::capture::About;
use kolonne_core::records::{EntryKind, Part};
use kolonne_model::ids::{OpId, ThreadId};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::device::config;
use crate::files::copy_folder;
use crate::sim::Chance;
use crate::{Device, whole};
use disk::{Image, Trust};
use trace::{Event, Recorder, Recording};

/// How the recorded processes die, one after the other: at which point, and coming by how often. What
/// each leaves to the next is part of the recording.
const LIVES: [(&str, u64); 5] = [
    ("committing", 24),
    ("file-named", 4),
    ("folder-synced", 8),
    ("file-written", 5),
    ("committed", 24),
];

/// The marker of a device's place knows which file it is. A disk that comes back after a power cut is
/// the same disk, so that every image has this very file.
const PLACE: &str = "place";

/// A device whose writing was recorded, ready for power cuts.
#[derive(Debug)]
pub struct Rig {
    dir: TempDir,
    job: ThreadId,
    /// What was recorded.
    pub recording: Recording,
    /// So many events are over once something is acknowledged.
    first: usize,
    store: Vec<u8>,
}

/// In memory if it can be: an image is a few thousand files a minute.
fn temp() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        TempDir::with_prefix_in("kolonne-power-", memory)
    } else {
        TempDir::with_prefix("kolonne-power-")
    };
    made.unwrap()
}

fn open(dir: PathBuf) -> Result<Device, String> {
    let clock = Arc::default();
    let kolonne = Kolonne::open(config(dir.clone(), &clock));
    let kolonne = kolonne.map_err(|error| format!("it doesn't open: {error:?}"))?;
    Ok(Device::new(dir, clock, kolonne))
}

fn store_of(db: &Connection) -> Vec<u8> {
    let sql = "SELECT value FROM meta WHERE key = 'store'";
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

impl Rig {
    /// Copies a device's folder, which nobody may have open, and records how senders write into one
    /// of its jobs.
    pub fn record(of: &Path, job: ThreadId, sender: &Path) -> Self {
        let dir = temp();
        let device = dir.path().join("device");
        copy_folder(of, &device);
        // It notices that it is a copy now, not in the images.
        let store = store_of(&open(device.clone()).unwrap().database());
        let mut recorder = Recorder::new(&device, dir.path().join("trace"));
        let mut acknowledged = 0;
        for (point, times) in LIVES {
            acknowledged += recorder.life(sender, &job, acknowledged + 1, point, times);
        }
        let recording = recorder.done();
        for (file, bytes) in recording.after.iter().enumerate() {
            let path = dir.path().join("final").join(file.to_string());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        fs::rename(device.join(PLACE), dir.path().join(PLACE)).unwrap();
        fs::remove_dir_all(device).unwrap();
        let is_acknowledged = |event: &Event| matches!(event, Event::Acknowledged(..));
        let first = recording.events.iter().position(is_acknowledged).unwrap() + 1;
        Self {
            dir,
            job,
            recording,
            first,
            store,
        }
    }

    /// What was recorded, in one line.
    pub fn told(&self) -> String {
        let count = |is: fn(&Event) -> bool| self.recording.events.iter().filter(|e| is(e)).count();
        format!(
            "{} items in {} events: {} writes, {} syncs of files, {} of folders; {} events before the first item",
            count(|event| matches!(event, Event::Acknowledged(..))),
            self.recording.events.len(),
            count(|event| matches!(event, Event::Written(..))),
            count(|event| matches!(event, Event::Synced(..))),
            count(|event| matches!(event, Event::FolderSynced(..))),
            self.first,
        )
    }

    /// A seed cuts the power once, and what is left is looked at.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn cut(&self, seed: u64, trust: Trust) -> Result<(), String> {
        let mut chance = Chance::new(seed, "power");
        let over = self.first + chance.below(self.recording.events.len() - self.first + 1);
        let image = disk::after_a_cut(&self.recording, over, trust, &mut chance);
        let dir = self.dir.path().join(format!("image-{seed}-{trust:?}"));
        self.lay_out(&image, &dir);
        let looked = catch_unwind(AssertUnwindSafe(|| self.look(&dir, over)));
        fs::remove_dir_all(&dir).unwrap();
        let looked = looked.unwrap_or_else(|_| Err("a panic".to_owned()));
        looked.map_err(|why| format!("seed {seed}, event {over}: {why}"))
    }

    fn lay_out(&self, image: &Image, dir: &Path) {
        for folder in &image.folders {
            fs::create_dir(dir.join(folder)).unwrap();
        }
        for (path, file) in &image.files {
            let to = dir.join(path);
            if path == Path::new(PLACE) {
                fs::hard_link(self.dir.path().join(PLACE), &to).unwrap();
            }
            match image.contents.get(file) {
                Some(bytes) => fs::write(to, bytes).unwrap(),
                // Nobody writes to a blob.
                None if path.starts_with("blobs") => {
                    let from = self.dir.path().join("final").join(file.to_string());
                    fs::hard_link(from, to).unwrap();
                }
                None => fs::write(to, &self.recording.after[*file]).unwrap(),
            }
        }
    }

    fn look(&self, dir: &Path, over: usize) -> Result<(), String> {
        let acknowledged = self.recording.events[..over].iter();
        let kept: BTreeMap<u64, OpId> = acknowledged
            .filter_map(|event| match event {
                Event::Acknowledged(number, id) => Some((*number, *id)),
                _ => None,
            })
            .collect();
        let device = open(dir.to_owned())?;
        let db = device.database();
        if store_of(&db) != self.store {
            return Err("it takes the cut for a copy that was put back".to_owned());
        }
        whole::check(&device, &db, &self.job)?;
        let shown = device.entries(&self.job);
        let faults = whole::faults(&shown, &kept);
        if !faults.is_empty() {
            return Err(faults.join(", "));
        }
        for photo in shown.iter().filter(|entry| entry.kind == EntryKind::Photo) {
            let original = device.media(&photo.id, Part::Original);
            original.map_err(|error| format!("{:?} has no original: {error:?}", photo.caption))?;
        }
        let rebuilt = device.core().rebuild_views();
        rebuilt.map_err(|error| format!("rebuilding: {error:?}"))?;
        if device.entries(&self.job) != shown {
            return Err("rebuilt views show something else".to_owned());
        }
        self.goes_on(&device, &kept)
    }

    /// What was acknowledged last is the same item when it comes again, and more can be written.
    fn goes_on(&self, device: &Device, kept: &BTreeMap<u64, OpId>) -> Result<(), String> {
        let send = |number: u64| {
            let mut draft = [0; 16];
            draft[..8].copy_from_slice(&number.to_be_bytes());
            let about = About {
                draft: Some(draft),
                ..About::default()
            };
            let sent = device
                .core()
                .send_text(&device.seat(), &self.job, "again", &about);
            sent.map_err(|error| format!("nothing can be sent: {error:?}"))
        };
        let (last, id) = kept.last_key_value().unwrap();
        let (again, another) = (send(*last)?, send(u64::MAX)?);
        if again != *id || kept.values().any(|id| *id == another) {
            return Err(format!("Nr. {last} is another item now"));
        }
        Ok(())
    }
}
