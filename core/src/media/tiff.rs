//! What a TIFF declares, before a decoder believes it: the decoder makes room for as many values as
//! a directory names, 32 bytes each, before it reads one, and before its limits can be set.
//!
//! It must never decode: only the first directory's entries are looked at.

use super::{Limits, MediaError};

/// What one value costs the decoder: as it reads it, and in the list that it keeps.
const VALUE_BYTES: u64 = 48;
/// From here on tags are of others; the decoder reads none of them.
const FIRST_FOREIGN_TAG: u16 = 700;
/// Tag, type, count, and the values or where they are.
const ENTRY_BYTES: usize = 12;

const DAMAGED: MediaError = MediaError::Corrupt("directory");

/// Refuses a file whose directory names more values than it has bytes, or more than fit in memory.
pub(super) fn check_directory(bytes: &[u8], limits: &Limits) -> Result<(), MediaError> {
    let is_little = bytes.starts_with(b"II");
    let short = |at: usize| {
        let raw = *bytes.get(at..)?.first_chunk()?;
        Some(if is_little {
            u16::from_le_bytes(raw)
        } else {
            u16::from_be_bytes(raw)
        })
    };
    let long = |at: usize| {
        let raw = *bytes.get(at..)?.first_chunk()?;
        Some(if is_little {
            u32::from_le_bytes(raw)
        } else {
            u32::from_be_bytes(raw)
        })
    };
    let directory = long(4).and_then(|at| usize::try_from(at).ok());
    let directory = directory.ok_or(MediaError::Truncated)?;
    let entries = short(directory).ok_or(MediaError::Truncated)?;
    for entry in 0..usize::from(entries) {
        let at = directory
            .saturating_add(2)
            .saturating_add(entry.saturating_mul(ENTRY_BYTES));
        let (Some(tag), Some(kind), Some(count)) = (short(at), short(at + 2), long(at + 4)) else {
            return Err(MediaError::Truncated);
        };
        if tag >= FIRST_FOREIGN_TAG {
            continue;
        }
        let each_bytes = match kind {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => 1,
        };
        let declared_bytes = u64::from(count) * each_bytes;
        if declared_bytes > bytes.len() as u64 {
            return Err(DAMAGED);
        }
        limits.check_memory(u64::from(count) * VALUE_BYTES)?;
    }
    Ok(())
}
