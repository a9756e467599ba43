//! A new hub in the place of a lost one: what this device knows of it, its certification by the
//! office, and where the hub is.
//!
//! A person compares the key, as at the founding; the roster then tells every device. Nothing a
//! hub says about itself certifies it.

use std::sync::Arc;

use kolonne_model::hub::Hello;
use kolonne_model::ids::{BlobId, HubEpoch, PublicKey, SeatId};
use kolonne_model::roster::change::{Change, HubKey, Role};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::error::Error;
use crate::kolonne::{Kolonne, lock};
use crate::records::{Changed, NewHub};
use crate::roster_op::roster_op;
use crate::store::set_meta;
use crate::sync::{Drafted, append};
use crate::sync::{Seeding, Shared, blocking};
use crate::transport::door;

/// Remembers the hub that answers instead; another life of it was given nothing yet. Whether it
/// wasn't known.
pub fn note(tx: &Transaction<'_>, hello: &Hello, now_ms: u64) -> Result<bool, Error> {
    let known = tx
        .prepare_cached("SELECT key, epoch FROM new_hub")?
        .query_row([], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    if known.is_some_and(|(key, epoch)| key == hello.key.0 && epoch == hello.epoch.0) {
        return Ok(false);
    }
    forget(tx)?;
    tx.execute(
        "INSERT INTO new_hub (one, key, epoch, since_ms) VALUES (1, ?1, ?2, ?3)",
        params![
            hello.key.0.as_slice(),
            hello.epoch.0.as_slice(),
            now_ms.cast_signed()
        ],
    )?;
    Ok(true)
}

/// The company's own hub answers again, or the new one became it. Whether there was another.
pub fn forget(tx: &Transaction<'_>) -> Result<bool, Error> {
    tx.execute("DELETE FROM new_hub_blobs", [])?;
    Ok(tx.execute("DELETE FROM new_hub", [])? > 0)
}

/// The hub that answers instead of the company's own; none: its own does, or none.
pub fn record(db: &Connection) -> Result<Option<NewHub>, Error> {
    let row = db
        .prepare_cached("SELECT key, since_ms FROM new_hub")?
        .query_row([], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    row.map(|(key, since_ms)| {
        Ok(NewHub {
            key: PublicKey::try_from(key.as_slice()).map_err(|_| Error::Corrupt)?,
            since_ms: since_ms.cast_unsigned(),
        })
    })
    .transpose()
}

/// How far the new hub was given things: the roster's cut lists, and ops by their arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Up to this place of the roster.
    pub cuts_through: u32,
    /// Up to this arrival.
    pub ops_through: i64,
}

/// What this life of the new hub was given; nothing for any other.
pub fn given(db: &Connection, epoch: &HubEpoch) -> Result<Given, Error> {
    let row = db
        .prepare_cached("SELECT cuts_through, ops_through FROM new_hub WHERE epoch = ?1")?
        .query_row([epoch.0.as_slice()], |row| {
            Ok(Given {
                cuts_through: row.get(0)?,
                ops_through: row.get(1)?,
            })
        })
        .optional()?;
    Ok(row.unwrap_or(Given {
        cuts_through: 0,
        ops_through: 0,
    }))
}

/// It was given the cut lists up to this place of the roster.
pub fn cuts_given(tx: &Transaction<'_>, epoch: &HubEpoch, through: u32) -> Result<(), Error> {
    tx.execute(
        "UPDATE new_hub SET cuts_through = ?2 WHERE epoch = ?1",
        params![epoch.0.as_slice(), through],
    )?;
    Ok(())
}

/// It was given the ops up to this arrival.
pub fn ops_given(tx: &Transaction<'_>, epoch: &HubEpoch, through: i64) -> Result<(), Error> {
    tx.execute(
        "UPDATE new_hub SET ops_through = ?2 WHERE epoch = ?1",
        params![epoch.0.as_slice(), through],
    )?;
    Ok(())
}

/// It was given this blob.
pub fn blob_given(tx: &Transaction<'_>, blob: &BlobId) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO new_hub_blobs (blob) SELECT ?1 WHERE EXISTS (SELECT 1 FROM new_hub)",
    )?
    .execute([blob.0.as_slice()])?;
    Ok(())
}

impl Kolonne {
    /// Makes the hub that answers the company's own. `key` is what a person read off it: as
    /// `kolonne hub` prints it, and never what it says over the network.
    ///
    /// # Errors
    /// `Locked` (`right`) for anyone but an admin; `Invalid` (`hub_key`: `other_hub` if the hub
    /// shows another key, `same` if it is the company's already; `hub_url`: `full`); `Offline`.
    pub async fn certify_hub(&self, seat: &SeatId, key: &PublicKey) -> Result<(), Error> {
        let inner = &self.inner;
        {
            let _one = inner.syncing.lock().await;
            if inner.in_flight() {
                return Err(Error::Offline { retry_after_ms: 0 });
            }
            let roster = inner.store.read(|db| inner.roster(db))?;
            if roster.role_now(seat) < Some(Role::Admin) {
                return Err(Error::Locked { code: "right" });
            }
            let seeding = match Seeding::begin(inner, &inner.online()?, Shared::default()).await? {
                Some(seeding) if seeding.key() == *key => seeding,
                Some(_) => {
                    return Err(Error::Invalid {
                        field: "hub_key",
                        code: "other_hub",
                    });
                }
                None => {
                    return Err(Error::Invalid {
                        field: "hub_key",
                        code: "same",
                    });
                }
            };
            seeding.hand_over_roster().await?;
            if inner.store.read(|db| inner.hub_key(db))? != *key {
                let author = inner.store.read(|db| inner.author(db, seat))?;
                let clock = Arc::clone(&inner.config.clock);
                let change = Change::HubKey(HubKey { key: *key });
                let drafted = append(inner, seeding.hub(), &mut Vec::new(), move |_, roster| {
                    let changes = vec![change.clone()];
                    Ok(Drafted {
                        op: roster_op(roster, &author.secret, clock(), changes)?,
                        parts: Vec::new(),
                        with: (),
                    })
                })
                .await?;
                blocking(inner, move |inner| inner.keep_change(&drafted)).await?;
            }
        }
        inner.nudge();
        Ok(())
    }

    /// The key that the hub shows now; for a person to compare with what `kolonne hub` prints.
    ///
    /// # Errors
    /// `Offline`; `Invalid` (`hub_key`, `same`) if it is the company's hub already.
    pub async fn new_hub_key(&self) -> Result<PublicKey, Error> {
        match Seeding::begin(&self.inner, &self.inner.online()?, Shared::default()).await? {
            Some(seeding) => Ok(seeding.key()),
            None => Err(Error::Invalid {
                field: "hub_key",
                code: "same",
            }),
        }
    }

    /// Says where the hub is from now on, on this device alone.
    ///
    /// # Errors
    /// `Invalid` (`hub_url`, `malformed`).
    pub fn set_hub_address(&self, hub_url: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let hub_url = hub_url.trim();
        door(hub_url, &inner.config.trust)?;
        inner
            .store
            .write(|tx| set_meta(tx, "hub_url", hub_url.as_bytes()))?;
        *lock(&inner.carrier) = None;
        inner.tell(Changed::Me);
        self.nudge();
        Ok(())
    }
}
