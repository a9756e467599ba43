//! The demo's folder: marked as its own, held by one program at a time, and thrown away only when
//! it is marked.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};

const MARK: &str = "kolonne-demo.json";
const LOCK: &str = "kolonne-demo.lock";
/// Changes when an old folder can't be gone on with.
const VERSION: u32 = 1;
/// The demo's own folders.
const FOLDERS: [&str; 4] = ["hub", "buero", "handy-anna-keller", "handy-kolonne-3"];

/// What the demo remembers beside its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    version: u32,
    /// Where the hub listens: the devices know it by this.
    pub hub_port: u16,
    /// When the demo began, ms: the week is the one before.
    pub began_ms: u64,
    /// Company founded and phones enrolled.
    pub ready: bool,
    /// The whole week is there.
    pub filled: bool,
}

/// The folder, held.
pub struct Place {
    dir: PathBuf,
    _lock: File,
}

impl Place {
    /// Takes a folder; an unknown one must be empty.
    pub fn take(dir: PathBuf) -> Outcome<Self> {
        std::fs::create_dir_all(&dir)?;
        let marked = dir.join(MARK).exists() || dir.join(LOCK).exists();
        if !marked && std::fs::read_dir(&dir)?.next().is_some() {
            return Err(Failure::new("demo_foreign").about(dir.display().to_string()));
        }
        let lock = File::options()
            .create(true)
            .append(true)
            .open(dir.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(Failure::new("demo_in_use").about(dir.display().to_string()))
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// The hub's folder, and those of the office, Anna's and the crew's phone.
    pub fn folders(&self) -> [PathBuf; 4] {
        FOLDERS.map(|name| self.dir.join(name))
    }

    /// Its path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it remembers; none if it never got ready, whatever lies there.
    pub fn memory(&self) -> Option<Memory> {
        let bytes = std::fs::read(self.dir.join(MARK)).ok()?;
        let memory: Memory = serde_json::from_slice(&bytes).ok()?;
        (memory.version == VERSION && memory.ready).then_some(memory)
    }

    /// Throws the demo's own folders away and begins anew.
    pub fn begin(&self, hub_port: u16, began_ms: u64) -> Outcome<Memory> {
        for dir in self.folders() {
            match std::fs::remove_dir_all(&dir) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
        }
        let memory = Memory {
            version: VERSION,
            hub_port,
            began_ms,
            ready: false,
            filled: false,
        };
        self.keep(&memory)?;
        Ok(memory)
    }

    /// Remembers.
    pub fn keep(&self, memory: &Memory) -> Outcome {
        let bytes = serde_json::to_vec_pretty(memory).map_err(|_| Failure::new("internal.json"))?;
        let fresh = self.dir.join("kolonne-demo.new");
        std::fs::write(&fresh, bytes)?;
        std::fs::rename(fresh, self.dir.join(MARK))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_strange_folder_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("Steuer.pdf"), "x").unwrap();
        let code = Place::take(dir.path().to_owned()).err().unwrap().code;
        assert_eq!(code, "demo_foreign");
    }

    #[test]
    fn one_program_at_a_time_and_memory_only_once_ready() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path().to_owned()).unwrap();
        assert_eq!(
            Place::take(dir.path().to_owned()).err().unwrap().code,
            "demo_in_use"
        );
        let mut memory = place.begin(1234, 5).unwrap();
        assert_eq!(place.memory(), None);
        memory.ready = true;
        place.keep(&memory).unwrap();
        let [hub, ..] = place.folders();
        std::fs::create_dir(&hub).unwrap();
        drop(place);
        let place = Place::take(dir.path().to_owned()).unwrap();
        assert_eq!(place.memory(), Some(memory));
        place.begin(1234, 6).unwrap();
        assert!(!hub.exists());
    }
}
