//! Reads an age header line by line and refuses what must not cost work, before age sees it.
//!
//! Bounded in bytes and stanzas; stricter than the age crate, which still takes the legacy form
//! without a short last body line. It must never judge keys or tags: that stays with age.

use std::io::{BufRead, Read};

use super::{CryptError, age_file::MAX_RECIPIENTS};

/// 64 X25519 stanzas take 6.3 kB; room for grease.
pub(super) const MAX_HEADER_BYTES: u64 = 16 * 1024;

/// The age crate adds one stanza of random bytes ("grease") to every file.
const MAX_STANZAS: usize = MAX_RECIPIENTS + 1;

/// Columns of a full body line; a shorter line ends the body.
const FULL_LINE_BYTES: usize = 64;

/// Reads the header with its MAC line, leaving `reader` at the payload nonce.
pub(super) fn read(reader: &mut impl BufRead) -> Result<Vec<u8>, CryptError> {
    let mut header = Vec::new();
    let mut stanzas = 0;
    let mut in_body = false;
    match line(reader, &mut header)?.as_slice() {
        b"age-encryption.org/v1" => {}
        first if first.starts_with(b"-----BEGIN AGE") => return Err(CryptError::Armored),
        _ => return Err(CryptError::NotAge),
    }
    loop {
        let line = line(reader, &mut header)?;
        if in_body {
            if line.len() > FULL_LINE_BYTES {
                return Err(CryptError::NotAge);
            }
            in_body = line.len() == FULL_LINE_BYTES;
        } else if let Some(arguments) = line.strip_prefix(b"-> ") {
            stanzas += 1;
            if stanzas > MAX_STANZAS {
                return Err(CryptError::TooManyStanzas);
            }
            if arguments.split(|b| *b == b' ').next() == Some(b"scrypt") {
                return Err(CryptError::Passphrase);
            }
            in_body = true;
        } else if line.starts_with(b"--- ") && stanzas > 0 {
            return Ok(header);
        } else {
            return Err(CryptError::NotAge);
        }
    }
}

/// The next line without its end, also appended to `header` with it.
fn line(reader: &mut impl BufRead, header: &mut Vec<u8>) -> Result<Vec<u8>, CryptError> {
    let left = MAX_HEADER_BYTES.saturating_sub(u64::try_from(header.len()).unwrap_or(u64::MAX));
    let mut line = Vec::new();
    reader.take(left).read_until(b'\n', &mut line)?;
    header.extend_from_slice(&line);
    if line.pop() != Some(b'\n') {
        return Err(CryptError::NotAge);
    }
    Ok(line)
}
