//! A computer that the kit made without a hub meets the company's hub, which went on without it: the
//! kit says on the hub's chain what it said here. What was written meanwhile waits for the office; no
//! roster op of others is undone.

use kolonne_model::hub::{AppendRoster, Hub, HubError};
use kolonne_model::ids::{DeviceId, SeatId};
use kolonne_model::roster::change::{Change, DeviceCert, DeviceKind, RingWraps, Role, SeatCert};
use kolonne_model::roster::{Effect, Roster, read_body};
use rusqlite::Connection;

use super::{at_hub, office_wraps, proven_roster, secrets_of};
use crate::crypt::RootSeed;
use crate::error::Error;
use crate::founding::{device_seat, page_of, roster_op};
use crate::keys;
use crate::kolonne::{Inner, Kolonne};
use crate::oplog;
use crate::records::Me;
use crate::rings::{self, Leaving};
use crate::root::root_of;
use crate::sync::blocking;

/// How many ops the kit says at most: as many as there can be terms, and some drafts that came late.
const MAX_OPS: usize = 300;

impl Kolonne {
    /// Brings this computer, which the kit made without a hub, into the roster that the hub has.
    ///
    /// # Errors
    /// `Invalid` (`kit`: `malformed`; `hub_key`: `other_hub`); `NotFound` (`company`) if the hub
    /// doesn't know it by this kit, `hub` without an address; `Locked` (`right`) if the person who sits
    /// here was shut out meanwhile; `Offline`.
    pub async fn rejoin(&self, kit: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let root = root_of(kit)?;
        let before = self.me()?;
        if before.hub_url.is_empty() {
            return Err(Error::NotFound { kind: "hub" });
        }
        let at = at_hub(&inner.config, &root, inner.company, &before.hub_url, None).await?;
        for _ in 0..MAX_OPS {
            let (mut roster, _, _) = proven_roster(&root, &at).await?;
            if at.certified(&roster)?.is_some() {
                return Err(Error::internal("hub_key"));
            }
            let drafting = root.clone();
            let drafted = blocking(inner, move |inner| {
                let changes = inner
                    .store
                    .read(|db| inner.to_say_again(db, &drafting, &roster))?;
                if changes.is_empty() {
                    return Ok(None);
                }
                let secret = drafting.signing_secret();
                let op = roster_op(&roster, &secret, inner.now_ms(), changes)?;
                match roster.append(&op) {
                    Effect::Applied => Ok(Some(op)),
                    Effect::Void(_) => Err(Error::Locked { code: "right" }),
                }
            });
            let Some(op) = drafted.await? else {
                self.catch_up().await?;
                return blocking(inner, move |inner| inner.name_again(&before)).await;
            };
            let request = AppendRoster {
                page: page_of(&op).into(),
                parts: Vec::new(),
            };
            match at.hub.append_roster(request).await {
                Ok(()) | Err(HubError::RosterMoved) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Busy)
    }
}

impl Inner {
    /// What the kit has to say next at the hub: the device, who sits at it, and again until its word
    /// there is the later one. Nothing when it is.
    fn to_say_again(
        &self,
        db: &Connection,
        root: &RootSeed,
        roster: &Roster,
    ) -> Result<Vec<Change>, Error> {
        let device = keys::device(db)?;
        let recipient = keys::public_recipient(&device.identity)?;
        let office = office_wraps(root, roster, &self.device, &recipient)?;
        if roster.device(&self.device).is_none() {
            let mut changes = office;
            changes.push(Change::Device(DeviceCert {
                key: device.signing.public(),
                recipient,
                kind: DeviceKind::Office,
                crew: None,
            }));
            changes.push(device_seat(&device.signing.public(), Role::Office));
            return Ok(changes);
        }
        let own = self.chain(db)?;
        for seat in keys::own_seats(db)? {
            if let (Some(cert), None) = (own.certificate(&seat), roster.seat(&seat)) {
                return self.seat_again(db, root, roster, cert);
            }
        }
        if roster.head().0.term() > own.head().0.term() {
            return Ok(Vec::new());
        }
        Ok(office)
    }

    /// A seat with all that its person reads by it.
    fn seat_again(
        &self,
        db: &Connection,
        root: &RootSeed,
        roster: &Roster,
        cert: &SeatCert,
    ) -> Result<Vec<Change>, Error> {
        let seat = SeatId::of_key(&cert.key);
        let (Some(person), Some(recipient)) = (cert.person, &cert.recipient) else {
            return Ok(Vec::new());
        };
        let holder = (seat.0, recipient.clone());
        let mut changes = Vec::new();
        if roster.ring(&person).is_some() {
            let coming = [holder];
            let next =
                rings::next_generation(db, roster, &person, Leaving::default(), &coming, None)?;
            changes.push(Change::Ring(next));
        } else {
            // Someone new, whom the hub never heard of: their ring is named by its first key.
            let ops = oplog::roster_ops(db, &self.company.roster_thread(), 1)?;
            let mut said = ops
                .iter()
                .filter_map(|op| read_body(op.op().payload.as_deref()))
                .flat_map(|body| body.changes);
            let first = said.find(|change| match change {
                Change::Ring(ring) => ring.ring == person && ring.generation == 1,
                _ => false,
            });
            changes.push(first.ok_or(Error::Corrupt)?);
        }
        changes.push(Change::Seat(cert.clone()));
        for (generation, secret) in secrets_of(root, roster, &person)? {
            changes.push(Change::Wraps(RingWraps {
                ring: person,
                generation,
                wraps: vec![keys::wrap(secret.as_bytes(), seat.0, recipient)?],
            }));
        }
        Ok(changes)
    }

    /// Names that were said here wait for the office with all else; who may speak says them again.
    fn name_again(&self, me: &Me) -> Result<(), Error> {
        for seat in &me.seats {
            let names = [
                (seat.person.0.to_vec(), seat.name.as_str()),
                (me.device.0.to_vec(), me.device_name.as_str()),
            ];
            match self.store.read(|db| self.author(db, &seat.seat)) {
                Ok(author) => self.say_names(&author, &names)?,
                // Behind a PIN that isn't in: the office lets the names in with the rest.
                Err(Error::Locked { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the kit made this device: then the kit also says it to a hub that doesn't know it.
    pub(crate) fn was_made_by_kit(&self) -> Result<bool, Error> {
        self.store.read(|db| {
            let root = self.chain(db)?.root_key().map(SeatId::of_key);
            let ops = oplog::roster_ops(db, &self.company.roster_thread(), 2)?;
            let makes = |change: &Change| match change {
                Change::Device(cert) => DeviceId::of_key(&cert.key) == self.device,
                _ => false,
            };
            Ok(ops.iter().any(|op| {
                Some(op.context().seat) == root
                    && read_body(op.op().payload.as_deref())
                        .is_some_and(|body| body.changes.iter().any(makes))
            }))
        })
    }
}
