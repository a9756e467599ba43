//! Transfers that the system carries while the app sleeps: a phone's own upload service gets a URL,
//! headers and a sealed file, and tells much later what came of it, perhaps twice, perhaps never.
//!
//! A result says nothing but what the hub signed: a blob leaves the outbox by its receipt, as ever.
//! Whoever finds the prepared request can hand over this one file's rest and nothing else's.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use kolonne_model::cbor;
use kolonne_model::hub::{Hub, HubError, NewUpload, Upload};
use kolonne_model::ids::BlobId;
use kolonne_model::receipt::BlobReceipt;

use super::blocking;
use super::upload::take_receipt;
use crate::error::Error;
use crate::kolonne::{Inner, Kolonne};
use crate::outbox::{self, BlobOut};
use crate::records::Changed;
use crate::transport::HttpRequest;

/// Among the blobs, so that they go with them: rests of files that were begun. Ciphertext, as they are.
const FOLDER: &str = "blobs/rests";
/// Transfers prepared at a time: a system's service takes many, but each holds a file.
const MAX_AT_ONCE: usize = 32;

/// One transfer for the system's upload service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedTransfer {
    /// Names it when its result is given back: the blob.
    pub blob: BlobId,
    /// Method, address and headers, the login among them: to be kept in memory and given to nobody
    /// but the service.
    pub request: HttpRequest,
    /// The sealed file whose bytes are the body: all of it.
    pub file: PathBuf,
    /// Where in the blob its bytes begin.
    pub offset_bytes: u64,
    /// How many they are.
    pub length_bytes: u64,
}

/// What a result changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferTaken {
    /// The hub holds the blob and signed for it.
    Held,
    /// It has so much of it; the rest goes again.
    Partly {
        /// How much, in bytes.
        done_bytes: u64,
    },
    /// Nothing: it goes again, or had already gone.
    Nothing,
}

impl Kolonne {
    /// Prepares the blobs that go next, so that the system can carry them while the app sleeps.
    /// They stay in the outbox: what comes of it is taken by [`Kolonne::take_transfer`], and if
    /// nothing ever comes they go as usual.
    ///
    /// # Errors
    /// `Offline`: preparing asks the hub.
    pub async fn prepare_transfers(&self, at_most: usize) -> Result<Vec<PreparedTransfer>, Error> {
        let inner = &self.inner;
        let line = inner.online()?;
        let waiting = blocking(inner, move |inner| {
            inner.tidy_rests()?;
            inner.next_uploads(at_most.min(MAX_AT_ONCE), inner.opened.elapsed())
        });
        let mut prepared = Vec::new();
        for out in waiting.await? {
            let begun = match &out.upload {
                Some(name) => line.upload(name).await,
                None => Err(HubError::NotThere),
            };
            let begun = match begun {
                Err(HubError::NotThere) => {
                    let new = NewUpload {
                        blob: out.blob,
                        sealed_bytes: out.bytes,
                        thread: out.thread,
                    };
                    line.create_upload(new).await
                }
                begun => begun,
            };
            match begun? {
                Upload::Complete(receipt) => {
                    blocking(inner, move |inner| take_receipt(inner, &out, &receipt, 0)).await?;
                }
                Upload::Open { name, offset_bytes } => {
                    let carrier = inner.carrier()?;
                    let request = carrier
                        .rest_of(*line.hub_key(), &name, offset_bytes)
                        .await?;
                    prepared.push(
                        blocking(inner, move |inner| {
                            inner.prepare(&out, &name, offset_bytes, request)
                        })
                        .await?,
                    );
                }
            }
        }
        Ok(prepared)
    }

    /// Takes what came of a transfer. The same result again, or a late one, changes nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub fn take_transfer(
        &self,
        blob: &BlobId,
        status: u16,
        upload_offset: Option<u64>,
        body: &[u8],
    ) -> Result<TransferTaken, Error> {
        let inner = &self.inner;
        let Some(out) = inner.store.read(|db| outbox::blob_out(db, blob))? else {
            return Ok(TransferTaken::Nothing);
        };
        inner.waits.end(blob);
        let taken = match (status, upload_offset) {
            (200, _) => match cbor::decode::<BlobReceipt>(body) {
                Ok(receipt) if take_receipt(inner, &out, &receipt, 0)? => TransferTaken::Held,
                _ => TransferTaken::Nothing,
            },
            (404 | 410, _) => {
                inner
                    .store
                    .write(|tx| outbox::blob_progress(tx, blob, None, 0))?;
                TransferTaken::Nothing
            }
            // How far it is shows on the screen and nowhere else: the hub is asked again.
            (201 | 204 | 409, Some(done_bytes)) if done_bytes <= out.bytes => {
                inner.store.write(|tx| {
                    outbox::blob_progress(tx, blob, out.upload.as_deref(), done_bytes)
                })?;
                TransferTaken::Partly { done_bytes }
            }
            _ => TransferTaken::Nothing,
        };
        let rest = inner.config.dir.join(FOLDER).join(blob.to_string());
        drop(fs::remove_file(rest));
        inner.tell(Changed::Thread(out.thread));
        inner.tell(Changed::Me);
        inner.nudge();
        Ok(taken)
    }
}

impl Inner {
    /// Removes rests of files that have gone.
    fn tidy_rests(&self) -> Result<(), Error> {
        let Ok(entries) = fs::read_dir(self.config.dir.join(FOLDER)) else {
            return Ok(());
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let blob: Option<BlobId> = name.to_str().and_then(|name| name.parse().ok());
            let waits = match blob {
                Some(blob) => self.store.read(|db| outbox::blob_out(db, &blob))?.is_some(),
                None => false,
            };
            if !waits {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn prepare(
        &self,
        out: &BlobOut,
        name: &str,
        offset_bytes: u64,
        request: HttpRequest,
    ) -> Result<PreparedTransfer, Error> {
        self.store.write(|tx| {
            outbox::blob_tried(tx, &out.blob)?;
            outbox::blob_progress(tx, &out.blob, Some(name), offset_bytes)
        })?;
        // While the system has it, this app leaves it alone for a while.
        self.waits.begin(out.blob, u32::MAX, self.opened.elapsed());
        let file = if offset_bytes == 0 {
            self.blobs.file(&out.blob)?
        } else {
            self.rest(&out.blob, offset_bytes)?
        };
        Ok(PreparedTransfer {
            blob: out.blob,
            request,
            file,
            offset_bytes,
            length_bytes: out.bytes.saturating_sub(offset_bytes),
        })
    }

    /// A copy of a file from an offset on: the services take whole files only.
    fn rest(&self, blob: &BlobId, offset_bytes: u64) -> Result<PathBuf, Error> {
        let folder = self.config.dir.join(FOLDER);
        crate::crypt::at_rest::private_folder(&folder)?;
        let path = folder.join(blob.to_string());
        let mut from = self.blobs.open_blob(blob)?;
        from.seek(SeekFrom::Start(offset_bytes))?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let mut to = crate::crypt::at_rest::private(&mut options).open(&path)?;
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut piece)?;
            if read == 0 {
                break;
            }
            to.write_all(piece.get(..read).unwrap_or_default())?;
        }
        Ok(path)
    }
}
