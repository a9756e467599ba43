//! Missing files on their way down, by need: thumbs first, then newest first. A file is one only when
//! its bytes hash to its name; one that isn't there yet stops no other.

use std::sync::Arc;
use std::time::Duration;

use kolonne_model::hub::Hub;
use kolonne_model::ids::{BlobId, ThreadId};
use rusqlite::params;

use super::lanes::{Shared, SlicePace};
use super::{blocking, mark_at_hub};
use crate::blobs::BlobError;
use crate::error::Error;
use crate::kolonne::{Inner, lock, thread_id};
use crate::outbox::{self, LANE_OF_PART};
use crate::records::Changed;
use crate::transport::Line;

struct BlobIn {
    blob: BlobId,
    thread: ThreadId,
    bytes: u64,
    attempts: u32,
}

/// Fetches blobs.
pub(super) struct Download<'a> {
    pub inner: &'a Arc<Inner>,
    pub line: &'a Line,
    pub shared: &'a Shared,
}

impl Download<'_> {
    /// Fetches until nothing is wanted, the budget is spent, or the rest has to wait.
    pub async fn run(&self) -> Result<(), Error> {
        let mut pace = SlicePace::default();
        loop {
            self.inner.check_flight()?;
            if self.shared.is_spent() {
                return Ok(());
            }
            let now = self.shared.now();
            match blocking(self.inner, move |inner| inner.next_wanted(now)).await? {
                None => return Ok(()),
                Some(wanted) => self.download(wanted, &mut pace).await?,
            }
        }
    }

    async fn download(&self, wanted: BlobIn, pace: &mut SlicePace) -> Result<(), Error> {
        let blob = wanted.blob;
        self.inner
            .waits
            .begin(blob, wanted.attempts, self.shared.now());
        blocking(self.inner, move |inner| {
            inner.store.write(|tx| {
                tx.execute(
                    "UPDATE blobs SET attempts = attempts + 1 WHERE blob = ?1",
                    params![blob.0.as_slice()],
                )?;
                Ok(())
            })
        })
        .await?;
        match self.try_download(&wanted, pace).await {
            Ok(()) => Ok(()),
            Err(error @ (Error::Offline { .. } | Error::Foreign | Error::StorageFull { .. })) => {
                if matches!(
                    error,
                    Error::Offline {
                        retry_after_ms: 1..
                    }
                ) {
                    // The hub asks to wait: that is nothing this blob has done.
                    self.inner.waits.end(&blob);
                }
                Err(error)
            }
            // Not there yet, or damaged there: tried again later, the others go on.
            Err(error) => {
                tracing::debug!(code = error.code(), "download");
                Ok(())
            }
        }
    }

    async fn try_download(&self, wanted: &BlobIn, pace: &mut SlicePace) -> Result<(), Error> {
        let (blob, bytes, thread) = (wanted.blob, wanted.bytes, wanted.thread);
        let mut offset = blocking(self.inner, move |inner| {
            Ok(inner.blobs.partial(&blob, bytes)?.held_bytes())
        })
        .await?;
        while offset < bytes {
            self.inner.check_flight()?;
            let (began, asked) = (self.shared.now(), pace.slice_bytes());
            let piece = self
                .line
                .download(blob, offset, u32::try_from(asked).unwrap_or(u32::MAX))
                .await?;
            if piece.is_empty() {
                return Err(Error::NotFound { kind: "media" });
            }
            pace.took(self.shared.now().saturating_sub(began));
            self.shared
                .count(|report| report.downloaded_bytes += piece.len() as u64);
            offset = blocking(self.inner, move |inner| {
                let mut partial = inner.blobs.partial(&blob, bytes)?;
                partial.append(offset, &piece)?;
                Ok(partial.held_bytes())
            })
            .await?;
            if self.shared.is_spent() && offset < bytes {
                self.inner.waits.end(&blob);
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
                outbox::ask_receipt(tx, &blob)?;
                Ok(())
            })?;
            inner.waits.end(&blob);
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
            .write(|tx| blobs.iter().try_for_each(|blob| mark_at_hub(tx, &blob.0)))?;
        for blob in blobs {
            self.waits.end(blob);
        }
        Ok(())
    }

    /// The next blob to fetch: thumbs first, then by part, originals last; newest entries
    /// first.
    fn next_wanted(&self, now: Duration) -> Result<Option<BlobIn>, Error> {
        let last = lock(&self.network).last_lane();
        self.store.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT b.blob, b.thread, b.bytes, b.attempts FROM blobs b
                 JOIN view_entries e ON e.id = b.entry
                 WHERE b.here = 0 AND b.wanted = 1 AND e.retracted = 0 AND {LANE_OF_PART} <= ?1
                    AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.op = b.entry)
                 ORDER BY {LANE_OF_PART}, b.part, e.time_ms DESC, e.shown_lamport DESC, e.seat, e.seq"
            ))?;
            let mut rows = statement.query([last as i64])?;
            while let Some(row) = rows.next()? {
                let blob: Vec<u8> = row.get(0)?;
                let blob = BlobId::try_from(blob.as_slice()).map_err(|_| Error::Corrupt)?;
                if self.waits.waits(&blob, now) {
                    continue;
                }
                return Ok(Some(BlobIn {
                    blob,
                    thread: thread_id(&row.get::<_, Vec<u8>>(1)?)?,
                    bytes: row.get::<_, i64>(2)?.cast_unsigned(),
                    attempts: row.get(3)?,
                }));
            }
            Ok(None)
        })
    }
}
