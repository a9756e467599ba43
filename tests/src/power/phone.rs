//! A phone whose person writes: its database and the files of its photos.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kolonne_core::Kolonne;
use kolonne_core::capture::About;
use kolonne_core::records::{EntryKind, Part};
use kolonne_model::ids::{OpId, ThreadId};
use rusqlite::Connection;

use super::{Acknowledged, Rig};
use crate::device::config;
use crate::files::copy_folder;
use crate::{Device, whole};

/// How the recorded senders die, one after the other: at which point, and coming by how often.
const LIVES: [(&str, &str); 5] = [
    ("committing", "24"),
    ("file-named", "4"),
    ("folder-synced", "8"),
    ("file-written", "5"),
    ("committed", "24"),
];

/// Copies a device's folder, which nobody may have open, and records how senders write into one of its
/// jobs.
pub fn record(of: &Path, job: ThreadId, sender: &Path) -> Rig {
    let mut store = Vec::new();
    let rig = Rig::record(|recorder, device| {
        copy_folder(of, device);
        // It notices that it is a copy now, not in the images.
        store = store_of(&open(device.to_owned()).unwrap().database());
        let mut recorder = recorder();
        let mut acknowledged = 0;
        for (point, times) in LIVES {
            let first = (acknowledged + 1).to_string();
            let arguments = [&job.to_string(), &first, point, times];
            acknowledged += recorder.life(sender, &arguments, None);
        }
        recorder
    });
    rig.judged_by(move |dir, acknowledged| judge(dir, acknowledged, &job, &store))
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

fn judge(
    dir: &Path,
    acknowledged: &Acknowledged<'_>,
    job: &ThreadId,
    store: &[u8],
) -> Result<(), String> {
    let kept: BTreeMap<u64, OpId> = acknowledged
        .iter()
        .map(|(number, id)| (*number, id.parse().unwrap()))
        .collect();
    let device = open(dir.to_owned())?;
    let db = device.database();
    if store_of(&db) != store {
        return Err("it takes the cut for a copy that was put back".to_owned());
    }
    whole::check(&device, &db, job)?;
    let shown = device.entries(job);
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
    if device.entries(job) != shown {
        return Err("rebuilt views show something else".to_owned());
    }
    goes_on(&device, job, &kept)
}

/// What was acknowledged last is the same item when it comes again, and more can be written.
fn goes_on(device: &Device, job: &ThreadId, kept: &BTreeMap<u64, OpId>) -> Result<(), String> {
    let send = |number: u64| {
        let mut draft = [0; 16];
        draft[..8].copy_from_slice(&number.to_be_bytes());
        let about = About {
            draft: Some(draft),
            ..About::default()
        };
        let sent = device
            .core()
            .send_text(&device.seat(), job, "again", &about);
        sent.map_err(|error| format!("nothing can be sent: {error:?}"))
    };
    let (last, id) = kept.last_key_value().unwrap();
    let (again, another) = (send(*last)?, send(u64::MAX)?);
    if again != *id || kept.values().any(|id| *id == another) {
        return Err(format!("Nr. {last} is another item now"));
    }
    Ok(())
}
