//! Cuts the power of who writes: what a disk may hold then, and whether it is enough.
//!
//! `trace` records every call by which a real process changes its folder, `disk` makes of it the
//! folders that a power cut may leave at any moment, `phone` and `hub` are who writes, and what must be
//! true of each image. Nothing knows how they write: only what the system promises about calls.

pub mod disk;
pub mod hub;
pub mod phone;
pub mod trace;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tempfile::TempDir;

use crate::sim::Chance;
use disk::{Image, Trust};
use trace::{Event, Recorder, Recording};

/// The marker of a device's place knows which file it is. A disk that comes back after a power cut is
/// the same disk, so that every image has this very file.
const PLACE: &str = "place";

/// Numbers and ids of what had been called *gesichert*.
pub type Acknowledged<'a> = [(u64, &'a str)];

type Judge = dyn Fn(&Path, &Acknowledged<'_>) -> Result<(), String> + Send + Sync;

/// A recording, ready for power cuts.
pub struct Rig {
    dir: TempDir,
    recording: Recording,
    /// So many events are over once something is acknowledged.
    first: usize,
    judge: Box<Judge>,
}

impl std::fmt::Debug for Rig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.told())
    }
}

/// In memory if it can be: an image is a hundred files.
fn temp() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        TempDir::with_prefix_in("kolonne-power-", memory)
    } else {
        TempDir::with_prefix("kolonne-power-")
    };
    made.unwrap()
}

impl Rig {
    /// Fills a folder, begins to record it, and goes on.
    fn record(work: impl FnOnce(&dyn Fn() -> Recorder, &Path) -> Recorder) -> Self {
        let dir = temp();
        let from = dir.path().join("recorded");
        let begin = || Recorder::new(&from, dir.path().join("trace"));
        let recording = work(&begin, &from).done();
        let finals = dir.path().join("final");
        fs::create_dir(&finals).unwrap();
        for (file, bytes) in recording.after.iter().enumerate() {
            fs::write(finals.join(file.to_string()), bytes).unwrap();
        }
        drop(fs::rename(from.join(PLACE), dir.path().join(PLACE)));
        fs::remove_dir_all(from).unwrap();
        let is_acknowledged = |event: &Event| matches!(event, Event::Acknowledged(..));
        let first = recording.events.iter().position(is_acknowledged).unwrap() + 1;
        Self {
            dir,
            recording,
            first,
            judge: Box::new(|_, _| Ok(())),
        }
    }

    fn judged_by(
        self,
        judge: impl Fn(&Path, &Acknowledged<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let judge = Box::new(judge);
        Self { judge, ..self }
    }

    /// What was recorded, in one line.
    pub fn told(&self) -> String {
        let count = |is: fn(&Event) -> bool| self.recording.events.iter().filter(|e| is(e)).count();
        format!(
            "{} items in {} events: {} writes, {} syncs of files, {} of folders",
            count(|event| matches!(event, Event::Acknowledged(..))),
            self.recording.events.len(),
            count(|event| matches!(event, Event::Written(..))),
            count(|event| matches!(event, Event::Synced(..))),
            count(|event| matches!(event, Event::FolderSynced(..))),
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
        let acknowledged = self.recording.events[..over].iter();
        let acknowledged: Vec<(u64, &str)> = acknowledged
            .filter_map(|event| match event {
                Event::Acknowledged(number, id) => Some((*number, id.as_str())),
                _ => None,
            })
            .collect();
        let judged = catch_unwind(AssertUnwindSafe(|| (self.judge)(&dir, &acknowledged)));
        fs::remove_dir_all(&dir).unwrap();
        let judged = judged.unwrap_or_else(|_| Err("a panic".to_owned()));
        judged.map_err(|why| format!("seed {seed}, event {over}: {why}"))
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
}
