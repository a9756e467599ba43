//! A computer that the kit made without a hub meets the company's hub, which went on without it: the
//! kit says on the hub's chain what it said here. What was written meanwhile waits for the office; no
//! roster op of others is undone.

use std::collections::{BTreeMap, BTreeSet};

use kolonne_model::hub::{AppendRoster, Hub, HubError};
use kolonne_model::ids::{DeviceId, RingId, SeatId};
use kolonne_model::roster::change::{
    Change, DeviceCert, DeviceKind, Recipient, RingWraps, Role, SeatCert,
};
use kolonne_model::roster::state::Device;
use kolonne_model::roster::{Effect, Roster, read_body};
use kolonne_model::strand::VerifiedOp;
use rusqlite::Connection;

use super::{AtHub, at_hub, office_wraps, proven_roster};
use crate::crypt::RootSeed;
use crate::error::Error;
use crate::keys;
use crate::kolonne::{Inner, Kolonne};
use crate::oplog::{self, Author};
use crate::records::Me;
use crate::rings::{self, Leaving};
use crate::root::{replacement, root_of};
use crate::roster_op::{page_of, roster_op};
use crate::sync::{DRAFTS, blocking};

/// How many ops the kit says at most: as many as there can be terms, and some drafts that came late.
const MAX_OPS: usize = 300;

impl Kolonne {
    /// Brings this computer into the roster that the hub has, where the kit spoke here without the hub:
    /// it made this device, or the hub was put back to before it spoke. Devices and people whom this
    /// branch alone has come along. A kit that replaced another here needs that one too: the hub knows
    /// no other yet.
    ///
    /// # Errors
    /// `Invalid` (`kit`: `malformed`, `replaced`, `previous_wanted`; `hub_key`: `other_hub`); `NotFound`
    /// (`company`) if the hub doesn't know it by this kit, `hub` without an address; `Locked` (`right`)
    /// if the person who sits here was shut out meanwhile or is no admin; `Offline`.
    pub async fn rejoin(&self, kit: &str, previous: Option<&str>) -> Result<(), Error> {
        let inner = &self.inner;
        let root = root_of(kit)?;
        let before = self.me()?;
        if before.hub_url.is_empty() {
            return Err(Error::NotFound { kind: "hub" });
        }
        let left = match previous {
            Some(previous) => {
                let previous = root_of(previous)?;
                self.replace_at_hub(&previous, &root, &before.hub_url)
                    .await?
            }
            None => BTreeMap::new(),
        };
        let at = at_hub(&inner.config, &root, inner.company, &before.hub_url, None).await?;
        let mut void = BTreeSet::new();
        for _ in 0..MAX_OPS {
            let (mut roster, _, _) = match proven_roster(&root, &at).await {
                Err(Error::NotFound { kind: "company" })
                    if self.knows_as_newest(&root)? && self.knows_a_kit_before()? =>
                {
                    return Err(invalid("previous_wanted"));
                }
                proven => proven?,
            };
            if at.certified(&roster)?.is_some() {
                return Err(Error::internal("hub_key"));
            }
            let drafting = root.clone();
            let skipped = void.clone();
            let drafted = blocking(inner, move |inner| {
                let own = inner.store.read(|db| inner.chain(db))?;
                let key = drafting.signing_secret().public();
                let at_fork = own.through(own.shared_with(&roster));
                if at_fork.root_key() == Some(&key) && own.root_key() != Some(&key) {
                    return Err(invalid("replaced"));
                }
                let said = inner
                    .store
                    .read(|db| inner.to_say_again(db, &drafting, &roster, &skipped))?;
                let Some(said) = said else {
                    return Ok(Said::All);
                };
                let secret = drafting.signing_secret();
                let op = roster_op(&roster, &secret, inner.now_ms(), said.changes)?;
                match roster.append(&op) {
                    Effect::Applied => Ok(Said::Next(Box::new(op))),
                    Effect::Void(_) if said.of != inner.device => Ok(Said::Void(said.of)),
                    Effect::Void(_) => Err(Error::Locked { code: "right" }),
                }
            });
            let op = match drafted.await? {
                Said::Next(op) => op,
                Said::Void(device) => {
                    void.insert(device);
                    continue;
                }
                Said::All => {
                    self.catch_up().await?;
                    self.rotate(&inner.online()?, &root, left).await?;
                    return blocking(inner, move |inner| inner.name_again(&before)).await;
                }
            };
            append(&at, &op).await?;
        }
        Err(Error::Busy)
    }

    /// Puts the new kit in the old one's place on the hub's chain as it was on this one. The rings whose
    /// next generations didn't fit.
    async fn replace_at_hub(
        &self,
        old: &RootSeed,
        new: &RootSeed,
        hub_url: &str,
    ) -> Result<BTreeMap<RingId, u32>, Error> {
        let inner = &self.inner;
        if !self.knows_as_newest(new)? {
            return Err(invalid("replaced"));
        }
        let at = at_hub(&inner.config, old, inner.company, hub_url, None).await?;
        for _ in 0..DRAFTS {
            let (roster, _, _) = match proven_roster(old, &at).await {
                // Done before, and broken off after it.
                Err(Error::NotFound { kind: "company" }) => return Ok(BTreeMap::new()),
                proven => proven?,
            };
            let (old, new) = (old.clone(), new.clone());
            let (op, left) = blocking(inner, move |inner| {
                inner.store.read(|db| {
                    let author = inner.admin_here(db, &roster)?;
                    replacement(db, &roster, &author, (&old, &new), inner.now_ms())
                })
            })
            .await?;
            if append(&at, &op).await? {
                return Ok(left);
            }
        }
        Err(Error::Busy)
    }

    /// Whether this is the kit that counts by the roster here.
    fn knows_as_newest(&self, root: &RootSeed) -> Result<bool, Error> {
        let inner = &self.inner;
        let own = inner.store.read(|db| inner.chain(db))?;
        Ok(own.root_key() == Some(&root.signing_secret().public()))
    }

    /// Whether a kit took another's place by the roster here.
    fn knows_a_kit_before(&self) -> Result<bool, Error> {
        let inner = &self.inner;
        let own = inner.store.read(|db| inner.chain(db))?;
        Ok(own.through(1).root_key() != own.root_key())
    }
}

/// What comes next of what the kit has to say.
enum Said {
    Next(Box<VerifiedOp>),
    /// Of this device nothing can be said again: the hub's roster contradicts it.
    Void(DeviceId),
    All,
}

/// Changes for one op, and which device they are of.
struct Again {
    of: DeviceId,
    changes: Vec<Change>,
}

const fn invalid(code: &'static str) -> Error {
    Error::Invalid { field: "kit", code }
}

/// Whether the hub took it; if not, its chain moved on.
async fn append(at: &AtHub, op: &VerifiedOp) -> Result<bool, Error> {
    let request = AppendRoster {
        page: page_of(op).into(),
        parts: Vec::new(),
    };
    match at.hub.append_roster(request).await {
        Ok(()) => Ok(true),
        Err(HubError::RosterMoved) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Inner {
    /// An admin who sits at this computer and is one by the hub's roster too.
    fn admin_here(&self, db: &Connection, roster: &Roster) -> Result<Author, Error> {
        for seat in keys::own_seats(db)? {
            if roster.role_now(&seat) == Some(Role::Admin) {
                return self.author(db, &seat);
            }
        }
        Err(Error::Locked { code: "right" })
    }

    /// What the kit has to say next at the hub: this device, the others that it lacks, who sits at
    /// them, and again until the kit's word there is the later one. None when it is.
    fn to_say_again(
        &self,
        db: &Connection,
        root: &RootSeed,
        roster: &Roster,
        void: &BTreeSet<DeviceId>,
    ) -> Result<Option<Again>, Error> {
        let own = self.chain(db)?;
        let lacking = |device: &DeviceId| roster.device(device).is_none();
        let mut devices: Vec<_> = own.devices().collect();
        // This one first: the others' keys may need what it reads.
        devices.sort_by_key(|(id, _)| **id != self.device);
        for (id, device) in devices {
            let gone = own.device_has_ended(id) || roster.device_has_ended(id);
            if gone || void.contains(id) {
                continue;
            }
            if lacking(id) {
                let changes = self.device_again(db, root, roster, device)?;
                return Ok(Some(Again { of: *id, changes }));
            }
            for (seat, record) in own.seats().filter(|(_, seat)| seat.cert.device == *id) {
                let ended = own.ends_of(seat).next().is_some();
                if !ended && roster.certificate(seat).is_none() {
                    let changes = self.seat_again(db, root, roster, &record.cert)?;
                    return Ok(Some(Again { of: *id, changes }));
                }
            }
        }
        if roster.head().0.term() > own.head().0.term() {
            return Ok(None);
        }
        let recipient = keys::public_recipient(&keys::device(db)?.identity)?;
        let changes = office_wraps(root, roster, &self.device, &recipient)?;
        let of = self.device;
        Ok(Some(Again { of, changes }))
    }

    /// A device with the ring that it opens.
    fn device_again(
        &self,
        db: &Connection,
        root: &RootSeed,
        roster: &Roster,
        device: &Device,
    ) -> Result<Vec<Change>, Error> {
        let cert = &device.cert;
        let id = DeviceId::of_key(&cert.key);
        let crew = device.crews.last().and_then(|(_, crew)| *crew);
        let mut changes = match (cert.kind, crew) {
            (DeviceKind::Office, _) => office_wraps(root, roster, &id, &cert.recipient)?,
            (DeviceKind::Phone, Some(crew)) if roster.ring(&crew).is_some() => {
                crew_wraps(db, roster, &crew, &id, &cert.recipient)?
            }
            (DeviceKind::Phone, Some(crew)) => vec![self.first_of(db, &crew)?],
            (DeviceKind::Phone, None) => Vec::new(),
        };
        changes.push(Change::Device(DeviceCert {
            crew,
            ..cert.clone()
        }));
        let own = self.chain(db)?;
        let seat = own.certificate(&SeatId::of_key(&cert.key)).cloned();
        changes.extend(seat.map(Change::Seat));
        Ok(changes)
    }

    /// The op's change that made a ring: it is named by its first key.
    fn first_of(&self, db: &Connection, ring: &RingId) -> Result<Change, Error> {
        let ops = oplog::roster_ops(db, &self.company.roster_thread(), 1)?;
        let mut said = ops
            .iter()
            .filter_map(|op| read_body(op.op().payload.as_deref()))
            .flat_map(|body| body.changes);
        let first = said.find(|change| match change {
            Change::Ring(made) => made.ring == *ring && made.generation == 1,
            _ => false,
        });
        first.ok_or(Error::Corrupt)
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
            // Someone new, whom the hub never heard of.
            changes.push(self.first_of(db, &person)?);
        }
        changes.push(Change::Seat(cert.clone()));
        for (generation, secret) in keys::opened_by_kit(root, roster, &person)? {
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

/// A crew's ring for one of its devices, in every generation that is here.
fn crew_wraps(
    db: &Connection,
    roster: &Roster,
    crew: &RingId,
    device: &DeviceId,
    recipient: &Recipient,
) -> Result<Vec<Change>, Error> {
    let (newest, _) = roster.newest_generation(crew).ok_or(Error::Corrupt)?;
    let mut changes = Vec::new();
    for generation in 1..=newest {
        if let Some(secret) = keys::fitting_secret(db, roster, crew, generation)? {
            changes.push(Change::Wraps(RingWraps {
                ring: *crew,
                generation,
                wraps: vec![keys::wrap(secret.as_bytes(), device.0, recipient)?],
            }));
        }
    }
    Ok(changes)
}
