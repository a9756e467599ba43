//! The points at which a device could die, or find its disk full. Nothing happens at them but in
//! tests that watch.

use std::path::Path;
use std::sync::OnceLock;

/// Where a device is in writing something down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point<'a> {
    /// A transaction is about to commit.
    Committing,
    /// It has.
    Committed,
    /// A blob's file is written.
    FileWritten(&'a Path),
    /// Its bytes are on the disk.
    FileSynced(&'a Path),
    /// It has its name.
    FileNamed {
        /// What it was called while it was written.
        from: &'a Path,
        /// Its name.
        to: &'a Path,
    },
    /// Its folder is on the disk.
    FolderSynced(&'a Path),
}

impl Point<'_> {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Committing => "committing",
            Self::Committed => "committed",
            Self::FileWritten(_) => "file-written",
            Self::FileSynced(_) => "file-synced",
            Self::FileNamed { .. } => "file-named",
            Self::FolderSynced(_) => "folder-synced",
        }
    }

    /// All names.
    pub const NAMES: [&'static str; 6] = [
        "committing",
        "committed",
        "file-written",
        "file-synced",
        "file-named",
        "folder-synced",
    ];
}

/// What a test makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    GoOn,
    /// There is no room.
    DiskFull,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskFull;

type Watcher = Box<dyn Fn(Point<'_>) -> Verdict + Send + Sync>;

static WATCHER: OnceLock<Watcher> = OnceLock::new();

/// Watches all points of this process from now on; who comes first stays.
pub fn watch(watcher: impl Fn(Point<'_>) -> Verdict + Send + Sync + 'static) {
    drop(WATCHER.set(Box::new(watcher)));
}

/// A point is passed.
pub(crate) fn pass(point: Point<'_>) -> Result<(), DiskFull> {
    match WATCHER.get().map(|watcher| watcher(point)) {
        Some(Verdict::DiskFull) => Err(DiskFull),
        Some(Verdict::GoOn) | None => Ok(()),
    }
}
