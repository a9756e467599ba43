//! Blobs on their way in and out.
//!
//! Bytes received are kept whatever breaks; a blob counts only when its hash fits and its file is
//! durable. Nothing is handed to a device whose rings aren't in one of the blob's threads.

use std::sync::{Mutex, MutexGuard};

use kolonne_model::hub::{Challenge, HubError, NewUpload, RefusalCode, Upload};
use kolonne_model::ids::{BlobId, CompanyId, DeviceId};
use kolonne_model::receipt::{BlobReceipt, MAX_SLICE_BYTES, MAX_SLICES, Possession, slices_hash};

use super::routing::Access;
use super::{HubService, lock, trouble};
use crate::storage::{BlobRow, Finished, UploadRow};

/// Largest piece of a download.
const MAX_PIECE_BYTES: u32 = 1 << 20;
const DAY_MS: u64 = 24 * 3600 * 1000;
const QUARANTINE_RETRY_MS: u64 = 3600 * 1000;

impl HubService {
    fn receipt(
        &self,
        company: &CompanyId,
        blob: BlobId,
        row: &BlobRow,
    ) -> Result<Upload, HubError> {
        let epoch = self.storage.epoch_of(company).map_err(trouble)?;
        let at = (epoch, row.hub_seq);
        let what = (blob, row.sealed_bytes);
        let receipt = BlobReceipt::new(&self.key, company, what, at, row.time_ms);
        Ok(Upload::Complete(receipt))
    }

    pub(crate) fn create_upload(
        &self,
        company: CompanyId,
        device: &DeviceId,
        new: &NewUpload,
    ) -> Result<Upload, HubError> {
        let (view, access) = self.enter(company, device)?;
        if view.is_blob_erased(&new.thread, &new.blob) {
            // The device will hear why; until then it tries again.
            return Err(HubError::NotThere);
        }
        let mut row = UploadRow {
            name: String::new(),
            company,
            device: *device,
            blob: new.blob,
            thread: new.thread,
            sealed_bytes: new.sealed_bytes,
            begun_ms: self.now_ms(),
        };
        if let Some(blob) = self.storage.blob(&company, &new.blob).map_err(trouble)? {
            if blob.threads.contains(&new.thread) {
                return self.receipt(&company, new.blob, &blob);
            }
            // Whoever may read it may announce it for another thread; others must show it.
            if blob
                .threads
                .iter()
                .any(|thread| view.sees(&access, thread).is_some())
            {
                row.sealed_bytes = blob.sealed_bytes;
                return self.complete(&row);
            }
        }
        if new.sealed_bytes > self.quotas.blob_bytes {
            return Err(HubError::TooLarge);
        }
        let open = self.storage.uploads(&company, device).map_err(trouble)?;
        if let Some(open) = open.iter().find(|open| {
            (open.blob, open.thread, open.sealed_bytes) == (new.blob, new.thread, new.sealed_bytes)
        }) {
            return self.stand(open);
        }
        self.check_room(company, device, &access, &open, new.sealed_bytes)?;
        row.name = data_encoding::HEXLOWER.encode(&self.env.random::<16>());
        self.storage.put_upload(&row).map_err(trouble)?;
        if row.sealed_bytes == 0 {
            return self.finish(&row);
        }
        Ok(Upload::Open {
            name: row.name,
            offset_bytes: 0,
        })
    }

    fn check_room(
        &self,
        company: CompanyId,
        device: &DeviceId,
        access: &Access,
        open: &[UploadRow],
        sealed_bytes: u64,
    ) -> Result<(), HubError> {
        let row = self
            .storage
            .company(&company)
            .map_err(trouble)?
            .ok_or(HubError::NotThere)?;
        let announced = open
            .iter()
            .fold(sealed_bytes, |sum, o| sum.saturating_add(o.sealed_bytes));
        if row.stored_bytes.saturating_add(announced) > self.quotas.company_bytes {
            return Err(HubError::TooLarge);
        }
        if open.len() >= self.quotas.open_uploads {
            return Err(HubError::NotNow {
                retry_after_ms: 60_000,
            });
        }
        if *access == Access::Root {
            return Err(HubError::NotAllowed);
        }
        if let Access::Ended { .. } = access {
            let since = self.now_ms().saturating_sub(DAY_MS);
            let brought = self
                .storage
                .device_blob_bytes(&company, device, since)
                .map_err(trouble)?;
            if brought.saturating_add(announced) > self.quotas.ended_bytes {
                return Err(HubError::NotNow {
                    retry_after_ms: QUARANTINE_RETRY_MS,
                });
            }
        }
        Ok(())
    }

    fn stand(&self, row: &UploadRow) -> Result<Upload, HubError> {
        let offset_bytes = self.blobs.partial_len(&row.name).map_err(trouble)?;
        if offset_bytes >= row.sealed_bytes {
            // All bytes were here when the hub stopped.
            return self.finish(row);
        }
        Ok(Upload::Open {
            name: row.name.clone(),
            offset_bytes,
        })
    }

    fn own_upload(
        &self,
        company: CompanyId,
        device: &DeviceId,
        name: &str,
    ) -> Result<UploadRow, HubError> {
        self.enter(company, device)?;
        let row = self.storage.upload(name).map_err(trouble)?;
        row.filter(|row| (row.company, row.device) == (company, *device))
            .ok_or(HubError::NotThere)
    }

    pub(crate) fn upload(
        &self,
        company: CompanyId,
        device: &DeviceId,
        name: &str,
    ) -> Result<(Upload, u64), HubError> {
        let row = self.own_upload(company, device, name)?;
        let _alone = self.alone(name);
        Ok((self.stand(&row)?, row.sealed_bytes))
    }

    /// One at a time per upload, so that an old connection and a new one never mix bytes.
    fn alone(&self, name: &str) -> MutexGuard<'_, ()> {
        static SPARE: Mutex<()> = Mutex::new(());
        let [first, ..] = *blake3::hash(name.as_bytes()).as_bytes();
        let stripe = usize::from(first) % self.upload_locks.len();
        lock(self.upload_locks.get(stripe).unwrap_or(&SPARE))
    }

    pub(crate) fn append_upload(
        &self,
        company: CompanyId,
        device: &DeviceId,
        name: &str,
        offset_bytes: u64,
        bytes: &[u8],
    ) -> Result<Upload, HubError> {
        let row = self.own_upload(company, device, name)?;
        let _alone = self.alone(name);
        let len = self.blobs.partial_len(name).map_err(trouble)?;
        if len != offset_bytes {
            return Err(HubError::OtherOffset { offset_bytes: len });
        }
        if len.saturating_add(bytes.len() as u64) > row.sealed_bytes {
            return Err(HubError::TooLarge);
        }
        if !bytes.is_empty() {
            self.blobs
                .write(name, offset_bytes, bytes)
                .map_err(trouble)?;
        }
        self.stand(&row)
    }

    pub(crate) fn cancel_upload(
        &self,
        company: CompanyId,
        device: &DeviceId,
        name: &str,
    ) -> Result<(), HubError> {
        self.own_upload(company, device, name)?;
        let _alone = self.alone(name);
        self.blobs.remove_partial(name).map_err(trouble)?;
        self.storage.drop_upload(name).map_err(trouble)
    }

    fn finish(&self, row: &UploadRow) -> Result<Upload, HubError> {
        match self
            .blobs
            .finish(&row.name, &row.company, &row.blob)
            .map_err(trouble)?
        {
            Finished::Durable => self.complete(row),
            Finished::OtherHash => {
                self.storage.drop_upload(&row.name).map_err(trouble)?;
                Err(HubError::Refused(RefusalCode::Hash))
            }
        }
    }

    fn complete(&self, row: &UploadRow) -> Result<Upload, HubError> {
        let blob = self
            .storage
            .complete_blob(row, self.now_ms())
            .map_err(trouble)?;
        self.wake_up(row.company);
        self.receipt(&row.company, row.blob, &blob)
    }

    /// The length of a blob that this device may have.
    pub(crate) fn blob_len(
        &self,
        company: CompanyId,
        device: &DeviceId,
        blob: &BlobId,
    ) -> Result<u64, HubError> {
        let (view, access) = self.enter(company, device)?;
        let row = self.storage.blob(&company, blob).map_err(trouble)?;
        row.filter(|row| {
            row.threads.iter().any(|thread| {
                view.may_have(&access, thread, row.hub_seq) && !view.is_blob_erased(thread, blob)
            })
        })
        .map(|row| row.sealed_bytes)
        .ok_or(HubError::NotThere)
    }

    pub(crate) fn download(
        &self,
        company: CompanyId,
        device: &DeviceId,
        blob: &BlobId,
        offset_bytes: u64,
        max_bytes: u32,
    ) -> Result<Vec<u8>, HubError> {
        self.blob_len(company, device, blob)?;
        self.read_blob(&company, blob, offset_bytes, max_bytes)
    }

    /// Reads a blob that [`Self::blob_len`] has granted.
    pub(crate) fn read_blob(
        &self,
        company: &CompanyId,
        blob: &BlobId,
        offset_bytes: u64,
        max_bytes: u32,
    ) -> Result<Vec<u8>, HubError> {
        let max = usize::try_from(max_bytes.min(MAX_PIECE_BYTES)).unwrap_or_default();
        self.blobs
            .read(company, blob, offset_bytes, max)
            .map_err(trouble)
    }

    pub(crate) fn prove_blob(
        &self,
        company: CompanyId,
        device: &DeviceId,
        challenge: &Challenge,
    ) -> Result<Possession, HubError> {
        let too_large = challenge
            .slices
            .iter()
            .any(|slice| slice.bytes > MAX_SLICE_BYTES);
        if challenge.slices.len() > MAX_SLICES || too_large {
            return Err(HubError::TooLarge);
        }
        self.blob_len(company, device, &challenge.blob)?;
        let mut slices = Vec::with_capacity(challenge.slices.len());
        for slice in &challenge.slices {
            let bytes = self.read_blob(&company, &challenge.blob, slice.from, slice.bytes)?;
            slices.push((*slice, bytes));
        }
        let hash = slices_hash(&challenge.nonce, &slices);
        Ok(Possession::new(
            &self.key,
            &company,
            challenge.blob,
            challenge.nonce,
            hash,
        ))
    }
}
