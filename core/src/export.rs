//! Export: one entry's files as they lie, with the identity that opens them and nothing else.
//!
//! Each is a standard age file, so that whoever gets it needs no Kolonne. No key of a ring, seat
//! or thread ever leaves here, nothing is decrypted, and nothing that is there is written over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kolonne_model::body::{BlobRef, Say};
use kolonne_model::ids::{BlobId, OpId, SeatId};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::blobs::BlobError;
use crate::crypt::at_rest::{private, private_folder, sync_folder};
use crate::crypt::{BlobIdentity, HashingReader};
use crate::error::Error;
use crate::kolonne::Kolonne;
use crate::records::Part;
use crate::views::standing_body;

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedFile {
    /// Which part of the entry.
    pub part: Part,
    /// Where.
    pub path: PathBuf,
    /// What the file was called, if it had a name: as its author wrote it, so it names no path.
    pub name: Option<String>,
    /// Length of what is in it; of a sealed attachment zeros follow.
    pub plain_bytes: u64,
}

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The identities, as `age -i` takes them.
    pub key: PathBuf,
    /// The age files.
    pub files: Vec<ExportedFile>,
}

/// A blob to be handed out.
struct Out {
    part: Part,
    blob: BlobId,
    identity: BlobIdentity,
    name: Option<String>,
    plain_bytes: u64,
}

impl Out {
    fn of(part: Part, blob: &BlobRef) -> Self {
        Self {
            part,
            blob: blob.blob,
            identity: BlobIdentity::from_bytes(blob.identity),
            name: None,
            plain_bytes: blob.plain_bytes,
        }
    }
}

impl Kolonne {
    /// Writes an entry's files that are here into a folder, with their identities in one file. A
    /// sealed one needs the seat of a named person.
    ///
    /// # Errors
    /// `NotFound` (`files`) if it has none, (`media`) if none is here; as [`Kolonne::open_sealed`] for a sealed one;
    /// `Invalid` (`to`, `taken`) if a file is there already.
    pub fn export(&self, seat: &SeatId, entry: &OpId, dir: &Path) -> Result<Exported, Error> {
        self.may_see(seat, &self.entry_thread(entry)?)?;
        let inner = &self.inner;
        let outs = inner.store.read(|db| {
            inner.author(db, seat)?;
            Ok(match standing_body(db, entry)?.say {
                Say::Photo(photo) => vec![
                    Out::of(Part::Picture, &photo.picture),
                    Out::of(Part::Original, &photo.original),
                ],
                Say::Voice(voice) => vec![Out::of(Part::Voice, &voice.sound)],
                Say::Document(document) => vec![Out {
                    name: Some(document.name),
                    ..Out::of(Part::Document, &document.file)
                }],
                Say::Sealed(_) => {
                    let (sealed, inside) = inner.inside(db, seat, entry)?;
                    vec![Out {
                        part: Part::Sealed,
                        blob: sealed.blob,
                        identity: BlobIdentity::from_bytes(inside.identity),
                        name: Some(inside.name.clone()),
                        plain_bytes: inside.plain_bytes,
                    }]
                }
                _ => Vec::new(),
            })
        })?;
        if outs.is_empty() {
            return Err(Error::NotFound { kind: "files" });
        }
        private_folder(dir)?;
        let mut written = Written(Vec::new());
        let mut keys = Zeroizing::new(String::new());
        let mut files = Vec::new();
        for out in outs {
            let sealed = match inner.blobs.open_blob(&out.blob) {
                Err(BlobError::Missing) => continue,
                file => file?,
            };
            let word = part_word(out.part);
            let path = dir.join(format!("{entry}-{word}.age"));
            let mut file = written.create(&path)?;
            let mut reader = HashingReader::new(sealed);
            io::copy(&mut reader, &mut file)?;
            if reader.hash() != out.blob.0 {
                return Err(Error::Corrupt);
            }
            file.sync_all()?;
            let identity = out.identity.identity()?.to_age_text();
            for piece in ["# ", &format!("{entry}-{word}.age"), "\n", &identity, "\n"] {
                keys.push_str(piece);
            }
            files.push(ExportedFile {
                part: out.part,
                path,
                name: out.name,
                plain_bytes: out.plain_bytes,
            });
        }
        if files.is_empty() {
            return Err(Error::NotFound { kind: "media" });
        }
        let key = dir.join(format!("{entry}.key"));
        let mut file = written.create(&key)?;
        file.write_all(keys.as_bytes())?;
        file.sync_all()?;
        sync_folder(dir)?;
        written.0.clear();
        Ok(Exported { key, files })
    }
}

/// A part's word in file names.
const fn part_word(part: Part) -> &'static str {
    match part {
        Part::Thumb => "thumb",
        Part::Picture => "picture",
        Part::Original => "original",
        Part::Voice => "voice",
        Part::Document => "document",
        Part::Sealed => "sealed",
    }
}

/// What was written so far: goes again unless everything was.
struct Written(Vec<PathBuf>);

impl Written {
    fn create(&mut self, path: &Path) -> Result<File, Error> {
        let made = private(OpenOptions::new().write(true).create_new(true)).open(path);
        let file = made.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Invalid {
                field: "to",
                code: "taken",
            },
            _ => error.into(),
        })?;
        self.0.push(path.to_owned());
        Ok(file)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        for path in &self.0 {
            // What can't be removed is ciphertext, or the key of a try that the caller hears of.
            drop(fs::remove_file(path));
        }
    }
}
