//! Sealed files on their way up, in slices, lane by lane: small things first, films last. Where one
//! stopped it goes on, by what the store and the hub know of it. One that is stuck stops no other.

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use kolonne_model::hub::{Hub, HubError, NewUpload, Upload as UploadState};
use kolonne_model::ids::BlobId;
use kolonne_model::receipt::BlobReceipt;
use rusqlite::Transaction;

use super::lanes::{Shared, SlicePace};
use super::{blocking, cursor};
use crate::error::Error;
use crate::kolonne::{Inner, lock};
use crate::outbox::{self, BlobOut};
use crate::records::Changed;
use crate::transport::Line;

/// Slices in a row after which a hub has no more than before.
const MAX_STALLS: u32 = 3;

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

/// Hands over blobs, by lane.
pub(super) struct Upload<'a> {
    pub inner: &'a Arc<Inner>,
    pub line: &'a Line,
    pub shared: &'a Shared,
}

impl Upload<'_> {
    /// Hands over what can be handed over now: until nothing is left, the budget is spent, or the
    /// rest has to wait for its next try.
    pub async fn run(&self) -> Result<(), Error> {
        let mut pace = SlicePace::default();
        loop {
            self.inner.check_flight()?;
            if self.shared.is_spent() {
                return Ok(());
            }
            let now = self.shared.now();
            let next = blocking(self.inner, move |inner| inner.next_upload(now));
            match next.await? {
                Some(out) => self.upload(out, &mut pace).await?,
                None if self.doubt().await? => {}
                None => return Ok(()),
            }
        }
    }

    async fn upload(&self, out: BlobOut, pace: &mut SlicePace) -> Result<(), Error> {
        let blob = out.blob;
        // Counted before it begins, so that a crash counts too.
        self.inner
            .waits
            .begin(blob, out.attempts, self.shared.now());
        blocking(self.inner, move |inner| {
            inner.store.write(|tx| outbox::blob_tried(tx, &blob))
        })
        .await?;
        match self.try_upload(&out, pace).await {
            // This blob waits for its next try; the others go on.
            Err(Error::Invalid { .. }) => self.wedge(blob, "too_large").await,
            Err(Error::NotFound { kind: "media" }) => self.wedge(blob, "missing").await,
            Ok(()) | Err(Error::Internal { .. } | Error::NotFound { .. } | Error::AuthExpired) => {
                Ok(())
            }
            Err(error) => {
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
        }
    }

    async fn try_upload(&self, out: &BlobOut, pace: &mut SlicePace) -> Result<(), Error> {
        let mut known_seq = self.known_seq().await?;
        let state = match &out.upload {
            Some(name) => match self.line.upload(name).await {
                // It expired there: begin anew.
                Err(HubError::NotThere) => self.create(out).await?,
                state => state?,
            },
            None => self.create(out).await?,
        };
        let (name, mut offset) = match state {
            UploadState::Complete(receipt) => {
                return self.complete(out, receipt, known_seq).await;
            }
            UploadState::Open { name, offset_bytes } => (name, offset_bytes),
        };
        self.note_progress(out, &name, offset).await?;
        let mut stalls = 0;
        loop {
            self.inner.check_flight()?;
            if stalls >= MAX_STALLS {
                // A hub that takes bytes and has none: this blob waits, the others go on.
                return Err(Error::internal("upload"));
            }
            let bytes = read_slice(self.inner, out.blob, offset, pace.slice_bytes()).await?;
            known_seq = self.known_seq().await?;
            let began = self.shared.now();
            let (before, sent) = (offset, bytes.len() as u64);
            match self.line.append_upload(&name, offset, bytes).await {
                Ok(UploadState::Complete(receipt)) => {
                    self.shared.count(|report| report.uploaded_bytes += sent);
                    return self.complete(out, receipt, known_seq).await;
                }
                Ok(UploadState::Open { offset_bytes, .. }) => {
                    self.shared.count(|report| report.uploaded_bytes += sent);
                    offset = offset_bytes;
                }
                Err(HubError::OtherOffset { offset_bytes }) => offset = offset_bytes,
                Err(error) => {
                    pace.broke_off();
                    return Err(error.into());
                }
            }
            stalls = if offset > before { 0 } else { stalls + 1 };
            pace.took(self.shared.now().saturating_sub(began));
            self.note_progress(out, &name, offset).await?;
            if self.shared.is_spent() || self.overtaken(out).await? {
                self.inner.waits.end(&out.blob);
                return Ok(());
            }
        }
    }

    /// Whether something of a faster lane has come meanwhile: a preview passes a film.
    async fn overtaken(&self, out: &BlobOut) -> Result<bool, Error> {
        let (lane, now) = (out.lane, self.shared.now());
        let next = blocking(self.inner, move |inner| inner.next_upload(now));
        Ok(next.await?.is_some_and(|next| next.lane < lane))
    }

    async fn create(&self, out: &BlobOut) -> Result<UploadState, Error> {
        let new = NewUpload {
            blob: out.blob,
            sealed_bytes: out.bytes,
            thread: out.thread,
        };
        Ok(self.line.create_upload(new).await?)
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

    /// How far the hub's sequence is known here.
    async fn known_seq(&self) -> Result<u64, Error> {
        let known = blocking(self.inner, |inner| inner.store.read(cursor_seq));
        known.await
    }

    async fn complete(
        &self,
        out: &BlobOut,
        receipt: BlobReceipt,
        known_seq: u64,
    ) -> Result<(), Error> {
        let out = out.clone();
        self.inner
            .claims
            .begin(out.blob, u32::MAX, self.shared.now());
        let taken = blocking(self.inner, move |inner| {
            take_receipt(inner, &out, &receipt, known_seq)
        });
        taken.await.map(drop)
    }

    async fn wedge(&self, blob: BlobId, why: &'static str) -> Result<(), Error> {
        blocking(self.inner, move |inner| {
            inner.store.write(|tx| outbox::wedge_blob(tx, &blob, why))
        })
        .await
    }
}

fn cursor_seq(db: &Transaction<'_>) -> Result<u64, Error> {
    Ok(cursor(db)?.map_or(0, |cursor| cursor.hub_seq))
}

/// Takes the hub's word for a blob if it signed it in this life. Whether it did.
pub(super) fn take_receipt(
    inner: &Inner,
    out: &BlobOut,
    receipt: &BlobReceipt,
    known_seq: u64,
) -> Result<bool, Error> {
    let is_good = inner.store.write(|tx| {
        let key = inner.hub_key(tx)?;
        let is_good = receipt.is_good(&key, &inner.company)
            && receipt.blob == out.blob
            && receipt.sealed_bytes == out.bytes
            // One of an earlier life of the hub says nothing of what it has now.
            && cursor(tx)?.is_none_or(|cursor| cursor.epoch == receipt.epoch);
        if is_good {
            outbox::take_blob_receipt(tx, receipt, known_seq)?;
        }
        Ok(is_good)
    })?;
    if is_good {
        inner.waits.end(&out.blob);
    }
    inner.tell(Changed::Thread(out.thread));
    inner.tell(Changed::Me);
    Ok(is_good)
}

impl Inner {
    /// The next blob to send over this network.
    fn next_upload(&self, now: Duration) -> Result<Option<BlobOut>, Error> {
        Ok(self.next_uploads(1, now)?.pop())
    }

    /// The next blobs to send over this network, so many at most.
    pub(super) fn next_uploads(
        &self,
        at_most: usize,
        now: Duration,
    ) -> Result<Vec<BlobOut>, Error> {
        let last = lock(&self.network).last_lane();
        let waits = |blob: &BlobId| self.waits.waits(blob, now);
        self.store
            .read(|db| outbox::next_blobs(db, last, at_most, waits))
    }
}
