//! What lies on the disk is its owner's alone: private files and folders, and the database key of a
//! desktop, where no Keystore holds it.
//!
//! The key is written once and never again: a lost or replaced key is a lost database.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::{CryptError, random};

/// The key in this file, which is made if it isn't there (mode 0600; its folder must exist).
///
/// # Errors
/// [`CryptError::Key`] if the file has another length; it is left as it is.
pub fn device_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, CryptError> {
    match read(path) {
        Err(CryptError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let folder = parent(path).unwrap_or(Path::new("."));
    let name = u64::from_le_bytes(random::bytes()?);
    let temp = folder.join(format!(".device-key-{name:016x}"));
    let result = create(path, &temp);
    // Whether linked or not; a leftover would be a key that opens nothing, or a second name.
    let _ = fs::remove_file(&temp);
    result?;
    sync_folder(folder)?;
    // Read back: if two started at once, both use the one that was there first.
    read(path)
}

/// A complete file under another name, then a link, which unlike a rename never replaces.
fn create(path: &Path, temp: &Path) -> Result<(), CryptError> {
    let key = random::secret::<32>()?;
    let mut file = private(OpenOptions::new().write(true).create_new(true)).open(temp)?;
    file.write_all(key.as_slice())?;
    file.sync_all()?;
    match fs::hard_link(temp, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, CryptError> {
    let mut file = File::open(path)?;
    let mut key = Zeroizing::new([0; 32]);
    let whole = file.read_exact(key.as_mut_slice()).is_ok() && file.read(&mut [0])? == 0;
    if whole { Ok(key) } else { Err(CryptError::Key) }
}

/// Files only their owner reads.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes names in a folder last. Windows does so by itself and opens no folders.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// The folder of a path, if it names one.
pub(crate) fn parent(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
}

/// A folder only its owner enters, and its parents, each synced into its own parent.
pub(crate) fn private_folder(folder: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = match builder.create(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            parent(folder).map_or(Err(error), private_folder)?;
            builder.create(folder)
        }
        made => made,
    };
    match made {
        Ok(()) => parent(folder).map_or(Ok(()), sync_folder),
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}
