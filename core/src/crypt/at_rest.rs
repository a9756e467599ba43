//! The database key of a desktop, where no Keystore holds it: 32 random bytes in a private file.
//!
//! Written once and never again: a lost or replaced key is a lost database.

use std::fs::{self, File, OpenOptions};
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
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
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
