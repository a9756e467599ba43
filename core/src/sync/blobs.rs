//! Blobs on their way: sealed files up in slices, missing ones down by need, text always first.

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use kolonne_model::hub::{Hub, HubError, NewUpload, Upload};
use kolonne_model::ids::{BlobId, ThreadId};
use kolonne_model::receipt::BlobReceipt;
use rusqlite::{OptionalExtension, params};

use super::{Sync, blocking, mark_at_hub};
use crate::blobs::BlobError;
use crate::error::Error;
use crate::kolonne::{Inner, thread_id};
use crate::outbox::{self, BlobOut};
use crate::records::Changed;

/// A slice of an upload: about two seconds of a slow network, more once a slice went through fast.
const FIRST_SLICE_BYTES: usize = 32 * 1024;
const MAX_SLICE_BYTES: usize = 1 << 20;
const DOWNLOAD_BYTES: u32 = 1 << 20;
/// Longest wait between two tries of one blob.
const MAX_RETRY_MS: u64 = 10 * 60 * 1000;

/// How large the next slice of an upload is: about a second's.
pub(super) struct SlicePace(usize);

impl Default for SlicePace {
    fn default() -> Self {
        Self(FIRST_SLICE_BYTES)
    }
}

impl SlicePace {
    pub fn slice_bytes(&self) -> usize {
        self.0
    }

    /// A slice went through in this time.
    pub fn took(&mut self, time: Duration) {
        self.0 = match time.as_millis() {
            0..300 => (self.0 * 2).min(MAX_SLICE_BYTES),
            300..1500 => self.0,
            _ => (self.0 / 2).max(16 * 1024),
        };
    }
}

/// Bytes of a blob that is here.
pub(super) async fn read_slice(
    inner: &Arc<Inner>,
    blob: BlobId,
    offset: u64,
    bytes: usize,
) -> Result<Vec<u8>, Error> {
    blocking(inner, move |inner| {
        let mut file = inner.blobs.open_blob(&blob)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut slice = Vec::new();
        file.take(bytes as u64).read_to_end(&mut slice)?;
        if slice.is_empty() {
            // Shorter than its op says: an upload of it would never end.
            return Err(Error::NotFound { kind: "media" });
        }
        Ok(slice)
    })
    .await
}

struct BlobIn {
    blob: BlobId,
    thread: ThreadId,
    bytes: u64,
    attempts: u32,
}

fn retry_at(now_ms: u64, attempts: u32) -> u64 {
    let wait = 2_000u64.saturating_mul(1 << attempts.min(10));
    now_ms.saturating_add(wait.min(MAX_RETRY_MS))
}

impl Sync<'_> {
    /// Hands over what can be handed over now, and asks for nothing.
    pub async fn upload_blobs(&mut self) -> Result<(), Error> {
        let mut pace = SlicePace::default();
        loop {
            self.check_flight()?;
            let next = blocking(self.inner, |inner| {
                let now_ms = inner.now_ms();
                inner.store.read(|db| outbox::next_blob(db, now_ms))
            });
            match next.await? {
                None => return Ok(()),
                Some(out) => self.upload_slice(out, &mut pace).await?,
            }
        }
    }

    /// Carries blobs both ways until nothing is left, the budget is spent, or the rest has to wait.
    pub async fn carry_blobs(&mut self) -> Result<(), Error> {
        let mut pace = SlicePace::default();
        loop {
            self.check_flight()?;
            if self.budget.is_spent(&self.report) {
                return Ok(());
            }
            self.push().await?;
            let (out, wanted) = blocking(self.inner, |inner| {
                let now_ms = inner.now_ms();
                Ok((
                    inner.store.read(|db| outbox::next_blob(db, now_ms))?,
                    inner.next_wanted(now_ms)?,
                ))
            })
            .await?;
            match (out, wanted) {
                (None, None) => return Ok(()),
                // Small things down before large things up.
                (_, Some(wanted)) if wanted.bytes <= 64 * 1024 => self.download(wanted).await?,
                (Some(out), _) => self.upload_slice(out, &mut pace).await?,
                (None, Some(wanted)) => self.download(wanted).await?,
            }
        }
    }

    async fn upload_slice(&mut self, out: BlobOut, pace: &mut SlicePace) -> Result<(), Error> {
        let blob = out.blob;
        let attempts = out.attempts;
        blocking(self.inner, move |inner| {
            let retry = retry_at(inner.now_ms(), attempts);
            inner.store.write(|tx| outbox::blob_tried(tx, &blob, retry))
        })
        .await?;
        match self.try_slice(&out, pace).await {
            // This blob waits for its next try; the others go on.
            Err(Error::Invalid { .. }) => self.wedge(blob, "too_large").await,
            Err(Error::NotFound { kind: "media" }) => self.wedge(blob, "missing").await,
            Ok(()) | Err(Error::Internal { .. } | Error::NotFound { .. } | Error::AuthExpired) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn try_slice(&mut self, out: &BlobOut, pace: &mut SlicePace) -> Result<(), Error> {
        let state = match &out.upload {
            Some(name) => match self.hub.upload(name).await {
                // It expired there: begin anew.
                Err(HubError::NotThere) => self.create(out).await?,
                state => state?,
            },
            None => self.create(out).await?,
        };
        let (name, mut offset) = match state {
            Upload::Complete(receipt) => return self.complete(out, receipt).await,
            Upload::Open { name, offset_bytes } => (name, offset_bytes),
        };
        // Stay with this blob while it moves, but look for text between two slices.
        loop {
            self.check_flight()?;
            let bytes = read_slice(self.inner, out.blob, offset, pace.slice_bytes()).await?;
            let began = std::time::Instant::now();
            let sent = bytes.len() as u64;
            match self.hub.append_upload(&name, offset, bytes).await {
                Ok(Upload::Complete(receipt)) => {
                    self.report.uploaded_bytes += sent;
                    return self.complete(out, receipt).await;
                }
                Ok(Upload::Open { offset_bytes, .. }) => {
                    self.report.uploaded_bytes += sent;
                    offset = offset_bytes;
                }
                Err(HubError::OtherOffset { offset_bytes }) => offset = offset_bytes,
                Err(error) => return Err(error.into()),
            }
            pace.took(began.elapsed());
            self.note_progress(out, &name, offset).await?;
            if self.budget.is_spent(&self.report) {
                return Ok(());
            }
            self.push().await?;
        }
    }

    async fn create(&self, out: &BlobOut) -> Result<Upload, Error> {
        let new = NewUpload {
            blob: out.blob,
            sealed_bytes: out.bytes,
            thread: out.thread,
        };
        Ok(self.hub.create_upload(new).await?)
    }

    async fn note_progress(&self, out: &BlobOut, name: &str, offset: u64) -> Result<(), Error> {
        let (blob, thread, name) = (out.blob, out.thread, name.to_owned());
        blocking(self.inner, move |inner| {
            inner
                .store
                .write(|tx| outbox::blob_progress(tx, &blob, Some(&name), offset))?;
            inner.tell(Changed::Thread(thread));
            inner.tell(Changed::Me);
            Ok(())
        })
        .await
    }

    async fn complete(&self, out: &BlobOut, receipt: BlobReceipt) -> Result<(), Error> {
        let (blob, bytes, thread) = (out.blob, out.bytes, out.thread);
        blocking(self.inner, move |inner| {
            inner.store.write(|tx| {
                let key = inner.hub_key(tx)?;
                let good = receipt.is_good(&key, &inner.company)
                    && receipt.blob == blob
                    && receipt.sealed_bytes == bytes;
                if good {
                    outbox::take_blob_receipt(tx, &receipt)
                } else {
                    Ok(())
                }
            })?;
            inner.tell(Changed::Thread(thread));
            inner.tell(Changed::Me);
            Ok(())
        })
        .await
    }

    async fn wedge(&self, blob: BlobId, why: &'static str) -> Result<(), Error> {
        blocking(self.inner, move |inner| {
            inner.store.write(|tx| outbox::wedge_blob(tx, &blob, why))
        })
        .await
    }

    async fn download(&mut self, wanted: BlobIn) -> Result<(), Error> {
        let (blob, attempts) = (wanted.blob, wanted.attempts);
        blocking(self.inner, move |inner| {
            let retry = retry_at(inner.now_ms(), attempts);
            inner.store.write(|tx| {
                tx.execute(
                    "UPDATE blobs SET attempts = attempts + 1, retry_at_ms = ?2 WHERE blob = ?1",
                    params![blob.0.as_slice(), retry.cast_signed()],
                )?;
                Ok(())
            })
        })
        .await?;
        match self.try_download(&wanted).await {
            Ok(()) => Ok(()),
            Err(error @ (Error::Offline { .. } | Error::Foreign)) => Err(error),
            Err(Error::StorageFull { needed_bytes }) => Err(Error::StorageFull { needed_bytes }),
            // Not there yet, or damaged there: tried again later, the others go on.
            Err(error) => {
                tracing::debug!(code = error.code(), "download");
                Ok(())
            }
        }
    }

    async fn try_download(&mut self, wanted: &BlobIn) -> Result<(), Error> {
        let (blob, bytes, thread) = (wanted.blob, wanted.bytes, wanted.thread);
        let mut offset = blocking(self.inner, move |inner| {
            Ok(inner.blobs.partial(&blob, bytes)?.held_bytes())
        })
        .await?;
        while offset < bytes {
            self.check_flight()?;
            let piece = self.hub.download(blob, offset, DOWNLOAD_BYTES).await?;
            if piece.is_empty() {
                return Err(Error::NotFound { kind: "media" });
            }
            self.report.downloaded_bytes += piece.len() as u64;
            offset = blocking(self.inner, move |inner| {
                let mut partial = inner.blobs.partial(&blob, bytes)?;
                partial.append(offset, &piece)?;
                Ok(partial.held_bytes())
            })
            .await?;
            if self.budget.is_spent(&self.report) && offset < bytes {
                return Ok(());
            }
        }
        blocking(self.inner, move |inner| {
            match inner.blobs.partial(&blob, bytes)?.complete() {
                Ok(()) => {}
                Err(BlobError::WrongHash) => {
                    // Whoever sent these bytes, they are not the blob.
                    return Err(Error::NotFound { kind: "media" });
                }
                Err(error) => return Err(error.into()),
            }
            inner.store.write(|tx| {
                tx.execute(
                    "UPDATE blobs SET here = 1, at_hub = 1, attempts = 0 WHERE blob = ?1",
                    [blob.0.as_slice()],
                )?;
                Ok(())
            })?;
            inner.tell(Changed::Thread(thread));
            Ok(())
        })
        .await
    }
}

impl Inner {
    /// The hub says that it holds these blobs: worth asking for.
    pub fn blobs_at_hub(&self, blobs: &[BlobId]) -> Result<(), Error> {
        if blobs.is_empty() {
            return Ok(());
        }
        self.store
            .write(|tx| blobs.iter().try_for_each(|blob| mark_at_hub(tx, &blob.0)))
    }

    /// The next blob to fetch: thumbs first, then by part, originals last; newest entries
    /// first.
    fn next_wanted(&self, now_ms: u64) -> Result<Option<BlobIn>, Error> {
        self.store.read(|db| {
            let row = db
                .prepare_cached(
                    "SELECT b.blob, b.thread, b.bytes, b.attempts FROM blobs b
                     JOIN view_entries e ON e.id = b.entry
                     WHERE b.here = 0 AND b.wanted = 1 AND b.retry_at_ms <= ?1 AND e.retracted = 0
                        AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.op = b.entry)
                     ORDER BY b.part = 5, b.part, e.time_ms DESC LIMIT 1",
                )?
                .query_row([now_ms.cast_signed()], |row| {
                    Ok((
                        row.get::<_, Vec<u8>>(0)?,
                        row.get::<_, Vec<u8>>(1)?,
                        row.get::<_, i64>(2)?,
                        row.get::<_, u32>(3)?,
                    ))
                })
                .optional()?;
            row.map(|(blob, thread, bytes, attempts)| {
                Ok(BlobIn {
                    blob: BlobId::try_from(blob.as_slice()).map_err(|_| Error::Corrupt)?,
                    thread: thread_id(&thread)?,
                    bytes: bytes.cast_unsigned(),
                    attempts,
                })
            })
            .transpose()
        })
    }
}
