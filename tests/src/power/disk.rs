//! What a disk may hold after a power cut, by what the system promises and no more.
//!
//! Bytes written before a sync of their file that was over before the cut are there. Every other
//! write is there, missing, or torn at a sector, each on its own, whatever came later. A name is there
//! for good once its folder was synced; else it may be there or not, as may be what replaced or
//! removed it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::trace::{Event, FileId, Recording};
use crate::sim::Chance;

/// Within one, a disk writes all or nothing.
const SECTOR_BYTES: usize = 512;
/// Of a thousand writes that nobody synced, so many are missing or torn; each image has one of these.
const LOST_PERMILLE: [u32; 5] = [30, 200, 500, 800, 970];

/// Which syncs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// All, as on any honest disk.
    All,
    /// None.
    Nothing,
    /// All but those of the database and its log.
    NoDatabase,
    /// All but those of blobs.
    NoBlobs,
    /// All but those of folders.
    NoFolders,
}

/// What a disk holds after a power cut.
#[derive(Debug)]
pub struct Image {
    /// Its folders, parents first.
    pub folders: BTreeSet<PathBuf>,
    /// Its files.
    pub files: BTreeMap<PathBuf, FileId>,
    /// What is in those that aren't as they were in the end.
    pub contents: HashMap<FileId, Vec<u8>>,
}

/// When what was last synced, as the number of the event.
#[derive(Default)]
struct Syncs<'a> {
    files: HashMap<FileId, usize>,
    folders: HashMap<&'a Path, usize>,
}

impl Syncs<'_> {
    fn cover(&self, file: FileId, at: usize) -> bool {
        self.files.get(&file).is_some_and(|synced| at < *synced)
    }

    /// Whether a file's last change is on the disk: nothing is left to chance then.
    fn settle(&self, recording: &Recording, file: FileId) -> bool {
        recording.last_changes[file].is_none_or(|last| self.cover(file, last))
    }

    fn cover_name(&self, path: &Path, at: usize) -> bool {
        let folder = path.parent().unwrap();
        self.folders.get(folder).is_some_and(|synced| at < *synced)
    }
}

/// A disk whose power went when so many events were over.
pub fn after_a_cut(recording: &Recording, over: usize, trust: Trust, chance: &mut Chance) -> Image {
    let events = &recording.events[..over];
    let mut syncs = Syncs::default();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Synced(file) if trust.counts(&recording.first_names[*file]) => {
                syncs.files.insert(*file, at);
            }
            Event::FolderSynced(path) if !matches!(trust, Trust::Nothing | Trust::NoFolders) => {
                syncs.folders.insert(path, at);
            }
            _ => {}
        }
    }
    let lost = *chance.of(&LOST_PERMILLE).unwrap();
    let mut contents: HashMap<FileId, Vec<u8>> = HashMap::new();
    let mut names = recording.names.clone();
    let mut folders = recording.folders.clone();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Written(file, from, bytes) => {
                if syncs.settle(recording, *file) {
                    continue;
                }
                let content = content(&mut contents, recording, *file);
                let from = *from as usize;
                if syncs.cover(*file, at) || !chance.permille(lost) {
                    write(content, from, bytes);
                } else {
                    tear(content, from, bytes, chance);
                }
            }
            Event::Cut(file, length) => {
                if syncs.settle(recording, *file) {
                    continue;
                }
                let content = content(&mut contents, recording, *file);
                if syncs.cover(*file, at) || !chance.permille(lost) {
                    content.resize(*length as usize, 0);
                }
            }
            Event::Named(path, file) => {
                if syncs.cover_name(path, at) || !chance.permille(lost) {
                    names.insert(path.clone(), *file);
                }
            }
            Event::Unnamed(path) => {
                if syncs.cover_name(path, at) || !chance.permille(lost) {
                    names.remove(path);
                }
            }
            Event::Renamed { from, to, file } => {
                // One thing, though in two folders: the new name comes before the old one goes.
                let goes = syncs.cover_name(from, at);
                if goes || syncs.cover_name(to, at) || !chance.permille(lost) {
                    names.insert(to.clone(), *file);
                    if goes || !chance.permille(lost) {
                        names.remove(from);
                    }
                }
            }
            Event::Folder(path) => {
                if syncs.cover_name(path, at) || !chance.permille(lost) {
                    folders.insert(path.clone());
                }
            }
            Event::Synced(_) | Event::FolderSynced(_) | Event::Acknowledged(..) => {}
        }
    }
    // What is in a folder that isn't there is nowhere.
    folders = folders
        .iter()
        .filter(|folder| folder.ancestors().all(|above| folders.contains(above)))
        .cloned()
        .collect();
    names.retain(|path, _| folders.contains(path.parent().unwrap()));
    for file in names.values() {
        if !syncs.settle(recording, *file) {
            content(&mut contents, recording, *file);
        }
    }
    Image {
        folders,
        files: names,
        contents,
    }
}

impl Trust {
    fn counts(self, first_name: &Path) -> bool {
        let is_blob = first_name.starts_with("blobs");
        let is_database = first_name.to_string_lossy().starts_with("kolonne.db");
        match self {
            Self::All | Self::NoFolders => true,
            Self::Nothing => false,
            Self::NoDatabase => !is_database,
            Self::NoBlobs => !is_blob,
        }
    }
}

fn content<'a>(
    contents: &'a mut HashMap<FileId, Vec<u8>>,
    recording: &Recording,
    file: FileId,
) -> &'a mut Vec<u8> {
    contents
        .entry(file)
        .or_insert_with(|| recording.before[file].clone())
}

/// Writes at a place; a hole before it is zeros.
pub(super) fn write(content: &mut Vec<u8>, from: usize, bytes: &[u8]) {
    if content.len() < from {
        content.resize(from, 0);
    }
    let (over, beyond) = bytes.split_at(bytes.len().min(content.len() - from));
    content[from..from + over.len()].copy_from_slice(over);
    content.extend_from_slice(beyond);
}

/// Missing, half the time; or its sectors one by one, or its length without its bytes.
fn tear(content: &mut Vec<u8>, from: usize, bytes: &[u8], chance: &mut Chance) {
    match chance.below(6) {
        0 => {
            let end = from + bytes.len();
            content.resize(content.len().max(end), 0);
        }
        1 | 2 => {
            let mut at = 0;
            while at < bytes.len() {
                let end = bytes
                    .len()
                    .min(at + SECTOR_BYTES - (from + at) % SECTOR_BYTES);
                if chance.permille(500) {
                    write(content, from + at, &bytes[at..end]);
                }
                at = end;
            }
        }
        _ => {}
    }
}
