//! A hub that is sent files and told to erase some: what it answers for is on its disk, what it erased
//! isn't.

use std::path::Path;

use kolonne_hub::storage::BlobStore;
use kolonne_hub::storage::blobs::Folder;
use kolonne_model::ids::{BlobId, CompanyId};

use super::{Acknowledged, Rig};

/// At which sync the recorded keepers are killed, one after the other. A file takes four, of which the
/// first is before it has its name, and one more to be erased; opening takes one. The second is killed
/// when it has erased one and not said so.
const LIVES: [&str; 6] = [
    "fsync:signal=KILL:when=3",
    "fsync:signal=KILL:when=9",
    "fsync:signal=KILL:when=4",
    "fsync:signal=KILL:when=15",
    "fsync:signal=KILL:when=121",
    "fsync:signal=KILL:when=303",
];

/// The one whose files are sent.
pub const COMPANY: CompanyId = CompanyId::ZERO;

/// So many, one after the other, come into the same folder.
pub const TOGETHER: u64 = 3;

/// Whether a file is erased as soon as it is there: the last of its folder, which nothing syncs again.
#[must_use]
pub const fn is_erased(number: u64) -> bool {
    number % TOGETHER == TOGETHER - 1
}

/// Records how keepers (`src/bin/keeper.rs`) take files into an empty folder.
pub fn record(keeper: &Path) -> Rig {
    let rig = Rig::record(|recorder, data| {
        std::fs::create_dir(data).unwrap();
        let mut recorder = recorder();
        let mut acknowledged = 0;
        for call in LIVES {
            let first = (acknowledged + 1).to_string();
            acknowledged += recorder.life(keeper, &[&first], Some(call));
        }
        recorder
    });
    rig.judged_by(judge)
}

fn judge(data: &Path, acknowledged: &Acknowledged<'_>) -> Result<(), String> {
    let folder = Folder::open(data).map_err(|error| format!("it doesn't open: {error:?}"))?;
    for (number, blob) in acknowledged {
        let blob: BlobId = blob.parse().unwrap();
        let bytes = folder.read(&COMPANY, &blob, 0, usize::MAX);
        if is_erased(*number) {
            if bytes.is_ok() {
                return Err(format!("Nr. {number} is there again"));
            }
            continue;
        }
        let bytes = bytes.map_err(|error| format!("Nr. {number} can't be read: {error:?}"))?;
        if blake3::hash(&bytes).as_bytes() != &blob.0 {
            return Err(format!("Nr. {number} has other bytes"));
        }
    }
    Ok(())
}
