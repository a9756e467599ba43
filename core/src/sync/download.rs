//! Missing files on their way down, by need: thumbs first, then newest first. A file is one only when
//! its bytes hash to its name, and each chunk of it proves itself as it comes, so that false bytes
//! cost one slice; one that isn't there yet stops no other.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use kolonne_model::hub::Hub;
use kolonne_model::ids::{BlobId, OpId, ThreadId};
use rusqlite::params;

use super::lanes::{Shared, SlicePace};
use super::{blocking, mark_at_hub};
use crate::blobs::{BlobError, PartialBlob};
use crate::crypt::{BlobIdentity, BlobProof, CryptError};
use crate::error::Error;
use crate::folding;
use crate::kolonne::{Inner, lock, op_id, thread_id};
use crate::outbox::{self, LANE_OF_PART};
use crate::records::Changed;
use crate::transport::Line;

/// One try in so many goes by the hash alone: its author may have named what doesn't open a file, and
/// it is the named file all the same.
const UNPROVEN_ONE_IN: u32 = 4;

struct BlobIn {
    blob: BlobId,
    entry: OpId,
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
        let (entry, attempts) = (wanted.entry, wanted.attempts);
        let (mut offset, mut proving) = blocking(self.inner, move |inner| {
            let identity = inner.identity_of(&entry, &blob)?;
            let proving = Proving {
                identity: identity.filter(|_| attempts % UNPROVEN_ONE_IN != UNPROVEN_ONE_IN - 1),
                proof: None,
            };
            Ok((inner.blobs.partial(&blob, bytes)?.held_bytes(), proving))
        })
        .await?;
        while offset < bytes {
            self.inner.check_flight()?;
            let (began, asked) = (self.shared.now(), pace.slice_bytes());
            let left = u32::try_from(bytes - offset).unwrap_or(u32::MAX);
            let asked = u32::try_from(asked).unwrap_or(u32::MAX).min(left);
            let piece = self.line.download(blob, offset, asked).await?;
            if piece.is_empty() {
                return Err(Error::NotFound { kind: "media" });
            }
            pace.took(self.shared.now().saturating_sub(began));
            self.shared
                .count(|report| report.downloaded_bytes += piece.len() as u64);
            (offset, proving) = blocking(self.inner, move |inner| {
                let mut partial = inner.blobs.partial(&blob, bytes)?;
                partial.append(offset, &piece)?;
                proving.go_on(&mut partial, bytes)?;
                Ok((partial.held_bytes(), proving))
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

/// What proves a file while it comes; no identity: nothing does before its hash.
struct Proving {
    identity: Option<BlobIdentity>,
    proof: Option<BlobProof<File>>,
}

impl Proving {
    /// Goes on through what is held. False bytes go, with what follows them.
    ///
    /// # Errors
    /// `NotFound` (`media`): what is held now is true, and the rest comes with another try.
    fn go_on(&mut self, partial: &mut PartialBlob<'_>, bytes: u64) -> Result<(), Error> {
        let Some(identity) = &self.identity else {
            return Ok(());
        };
        let held_bytes = partial.held_bytes();
        let proven = match &mut self.proof {
            Some(proof) => proof.go_on(held_bytes),
            None if held_bytes < bytes.min(BlobProof::<File>::BEGINS_AT_BYTES) => Ok(()),
            begins => BlobProof::begin(partial.reader()?, identity, bytes)
                .and_then(|proof| begins.insert(proof).go_on(held_bytes)),
        };
        match proven {
            Ok(()) => Ok(()),
            Err(CryptError::Io(error)) => Err(error.into()),
            Err(_) => {
                let proof = self.proof.take();
                partial.cut(proof.map_or(0, |proof| proof.proven_bytes()))?;
                Err(Error::NotFound { kind: "media" })
            }
        }
    }
}

impl Inner {
    /// What opens a file of an entry; what is sealed says so to its readers alone.
    fn identity_of(&self, entry: &OpId, blob: &BlobId) -> Result<Option<BlobIdentity>, Error> {
        let body = self.store.read(|db| folding::body(db, entry))?;
        Ok(body.and_then(|body| {
            let file = body.say.files().into_iter().find(|file| file.blob == *blob);
            file.map(|file| BlobIdentity::from_bytes(file.identity))
        }))
    }

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
                "SELECT b.blob, b.thread, b.bytes, b.attempts, b.entry FROM blobs b
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
                    entry: op_id(&row.get::<_, Vec<u8>>(4)?)?,
                }));
            }
            Ok(None)
        })
    }
}
