//! Whether the hub holds what it signed for. A receipt is its word; hashing bytes that it couldn't
//! foresee shows that it has them. What it can't show goes again.
//!
//! Asked once for each receipt, a while after it came, and only if no other office device has told
//! meanwhile that it holds the file.

use std::time::Duration;

use kolonne_model::hub::{Challenge, Hub, HubError};
use kolonne_model::ids::{BlobId, Hash32};
use kolonne_model::receipt::{Slice, slices_hash};
use kolonne_model::roster::change::DeviceKind;

use super::blocking;
use super::upload::{Upload, read_slice};
use crate::crypt::random;
use crate::error::Error;
use crate::kolonne::Inner;
use crate::outbox;
use crate::records::Changed;

/// Slices of one challenge.
const SLICES: usize = 4;
/// Bytes of a slice at most.
const SLICE_BYTES: u32 = 4096;

/// A blob that the hub signed for.
struct Claimed {
    blob: BlobId,
    bytes: u64,
}

impl Upload<'_> {
    /// Has the hub show what it signed for. Whether something goes again.
    pub(super) async fn doubt(&self) -> Result<bool, Error> {
        let mut again = false;
        loop {
            self.inner.check_flight()?;
            let now = self.shared.now();
            let next = blocking(self.inner, move |inner| inner.next_claimed(now));
            let Some(claimed) = next.await? else {
                return Ok(again);
            };
            let blob = claimed.blob;
            let shown = match self.is_shown(&claimed).await {
                // Damaged or gone here: nothing to compare with, and nothing to send.
                Err(Error::NotFound { .. } | Error::Internal { .. }) => true,
                shown => shown?,
            };
            again |= !shown;
            blocking(self.inner, move |inner| {
                inner.store.write(|tx| {
                    if shown {
                        outbox::blob_proven(tx, &blob)
                    } else {
                        outbox::send_again(tx, &blob)
                    }
                })?;
                if !shown {
                    inner.waits.end(&blob);
                    inner.tell(Changed::Me);
                }
                Ok(())
            })
            .await?;
        }
    }

    async fn is_shown(&self, claimed: &Claimed) -> Result<bool, Error> {
        let challenge = Challenge {
            blob: claimed.blob,
            nonce: Hash32(random::bytes()?),
            slices: slices(claimed.bytes)?,
        };
        let mut expected = Vec::new();
        for slice in &challenge.slices {
            let bytes = usize::try_from(slice.bytes).map_err(|_| Error::Corrupt)?;
            let here = read_slice(self.inner, claimed.blob, slice.from, bytes).await?;
            expected.push((*slice, here));
        }
        let expected = slices_hash(&challenge.nonce, &expected);
        let nonce = challenge.nonce;
        let answer = match self.line.prove(challenge).await {
            Err(HubError::NotThere) => return Ok(false),
            answer => answer?,
        };
        let key = self.inner.store.read(|db| self.inner.hub_key(db))?;
        Ok(answer.is_good(&key, &self.inner.company)
            && (answer.blob, answer.nonce) == (claimed.blob, nonce)
            && answer.slices_hash == expected)
    }
}

/// Some slices of so many bytes.
fn slices(bytes: u64) -> Result<Vec<Slice>, Error> {
    let slice_bytes = u32::try_from(bytes).map_or(SLICE_BYTES, |bytes| bytes.min(SLICE_BYTES));
    let places = bytes.saturating_sub(slice_bytes.into()).saturating_add(1);
    let mut slices = Vec::with_capacity(SLICES);
    for _ in 0..SLICES {
        let drawn = u64::from_be_bytes(random::bytes()?);
        slices.push(Slice {
            from: drawn.checked_rem(places).unwrap_or(0),
            bytes: slice_bytes,
        });
    }
    Ok(slices)
}

impl Inner {
    /// The next blob to have shown, in threads that this device is in: the hub shows no others.
    fn next_claimed(&self, now: Duration) -> Result<Option<Claimed>, Error> {
        let next = self.store.read(|db| {
            let roster = self.roster(db)?;
            let rings = roster.rings_of_device(&self.device);
            let mut statement = db.prepare_cached(
                "SELECT b.blob, b.bytes, m.ring FROM blob_receipts r
                 JOIN blobs b ON b.blob = r.blob JOIN view_members m ON m.thread = b.thread
                 WHERE r.proven = 0 AND b.here = 1
                    AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.op = b.entry)
                    AND NOT EXISTS (SELECT 1 FROM view_seen_blobs s
                        WHERE s.blob = b.blob AND s.devices > ?1)",
            )?;
            let is_office = roster
                .device(&self.device)
                .is_some_and(|device| device.cert.kind == DeviceKind::Office);
            let mut rows = statement.query([i64::from(is_office)])?;
            while let Some(row) = rows.next()? {
                let (blob, ring): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(2)?);
                let blob = BlobId::try_from(blob.as_slice()).map_err(|_| Error::Corrupt)?;
                let is_in = rings.iter().any(|mine| mine.0.as_slice() == ring);
                if is_in && !self.claims.waits(&blob, now) {
                    let bytes = row.get::<_, i64>(1)?.cast_unsigned();
                    return Ok(Some(Claimed { blob, bytes }));
                }
            }
            Ok(None)
        })?;
        if let Some(claimed) = &next {
            self.claims.begin(claimed.blob, u32::MAX, now);
        }
        Ok(next)
    }
}
