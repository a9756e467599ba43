//! Recovery: with the kit in hand, this computer becomes an office device, whatever became of the
//! others.
//!
//! The root signs two roster ops, the device and then its person, and is forgotten again; it is
//! written to no disk. Keys are kept before the hub hears of them, so that recovering again goes on where
//! it was broken off. The roster proves itself by the root key, and says which hub is the
//! company's; nothing is taken from the hub's word.

mod begun;
mod rejoin;

use std::path::PathBuf;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use kolonne_model::body::field;
use kolonne_model::hub::{AppendRoster, Hub, HubError, Part};
use kolonne_model::ids::{
    CompanyId, DeviceId, PublicKey, RingId, RosterDigest, RosterPosition, SeatId,
};
use kolonne_model::op::SUITE_1;
use kolonne_model::roster::change::{
    Change, DeviceCert, DeviceKind, HubKey, Recipient, RingKind, RingWraps, Role, Scope, SeatCert,
    SeatKind,
};
use kolonne_model::roster::{Effect, Roster};
use kolonne_model::strand::VerifiedOp;
use rusqlite::Connection;
use zeroize::Zeroizing;

use crate::backup::{Backup, BackupProgress};
use crate::capture::job;
use crate::crypt::RootSeed;
use crate::error::Error;
use crate::folder::{NewFolder, keep_membership};
use crate::folding::company_thread;
use crate::keys::{self, DeviceKeys, SeatKeys};
use crate::kolonne::{Config, Inner, Kolonne};
use crate::line::checked_name;
use crate::oplog::{self, Author};
use crate::rings::{self, Leaving};
use crate::roster_op::{device_seat, page_of, roster_op, roster_op_on, the_newest};
use crate::sync::{DRAFTS, Drafted, append, blocking, give_roster, whole_roster};
use crate::transport::{HttpCarrier, HttpDoor, Line};
use crate::transport::{door, hello};
use begun::Begun;
pub(crate) use begun::check_whole;

/// An office device to be made by the recovery kit.
#[derive(Debug)]
pub struct NewOffice {
    /// The kit as it was printed or typed.
    pub kit: Zeroizing<String>,
    /// Where the hub is; none only with a backup: then it begins without one.
    pub hub_url: Option<String>,
    /// The key of a new hub as a person compared it: the kit certifies it too. None: only the
    /// hub that the roster certifies will do.
    pub hub_key: Option<PublicKey>,
    /// A backup of a device: what is in it needs no hub, and a new hub gets it.
    pub backup: Option<PathBuf>,
    /// The first roster op that a person wants undone, where no app here understands the roster: the
    /// kit then stands before it. What else goes, [`Kolonne::undo`] says.
    pub undo_since: Option<u32>,
    /// Who sits down here: a person of the company by name, or someone new.
    pub person_name: String,
    /// What the device is called.
    pub device_name: String,
}

/// The root while it is in hand, and the company's hub, if there is one.
struct AtHand {
    root: RootSeed,
    hub: Option<AtHub>,
}

/// The hub, as the root.
struct AtHub {
    url: String,
    hub: Line,
    /// Whether a person compared its key: then the root may certify it.
    compared: bool,
}

impl AtHub {
    /// What the root has to say so that this is the company's hub.
    fn certified(&self, roster: &Roster) -> Result<Option<Change>, Error> {
        let key = *self.hub.hub_key();
        if roster.hub_key() == Some(&key) {
            Ok(None)
        } else if self.compared {
            Ok(Some(Change::HubKey(HubKey { key })))
        } else {
            Err(Error::Invalid {
                field: "hub_key",
                code: "other_hub",
            })
        }
    }
}

impl Kolonne {
    /// Makes this computer an office device by the recovery kit. Devices that were lost are ended
    /// afterwards, as ever. With a backup it needs neither another device nor what the hub had;
    /// `told` hears how much of it was read.
    ///
    /// # Errors
    /// `Invalid` for a kit with a typo (`kit`), a name, a hub whose key neither the roster certifies
    /// nor a person compared (`hub_key`, `other_hub`), a folder that is taken, a file that is no
    /// backup (`backup`: `unsupported`, `damaged`, `other_kit`); `NotFound` (`company`) if the hub
    /// doesn't know the kit's company; `RosterStopped` where nobody said to undo what needs a newer
    /// app; `Offline`.
    pub async fn recover(
        config: Config,
        new: NewOffice,
        mut told: impl FnMut(BackupProgress) + Send + 'static,
    ) -> Result<Self, Error> {
        let person_name = checked_name("person_name", &new.person_name)?;
        let device_name = checked_name("device_name", &new.device_name)?;
        let root = RootSeed::from_kit_text(&new.kit).map_err(|_| Error::Invalid {
            field: "kit",
            code: "malformed",
        })?;
        let kit = root.encryption_identity()?;
        let (backup, mut told) = match new.backup {
            Some(path) => {
                let opened = tokio::task::spawn_blocking(move || {
                    let backup = Backup::open(&path, &kit, &mut told)?;
                    Ok::<_, Error>((Some(backup), told))
                });
                opened.await.map_err(|_| Error::internal("task"))??
            }
            None => (None, told),
        };
        let company = match &backup {
            Some(backup) if backup.roster.root_key() == Some(&root.signing_secret().public()) => {
                backup.company()
            }
            Some(_) => {
                return Err(Error::Invalid {
                    field: "backup",
                    code: "other_kit",
                });
            }
            None => CompanyId::of_root(&root.signing_secret().public()),
        };
        let hub = match &new.hub_url {
            Some(url) => {
                let at = at_hub(&config, &root, company, url.trim(), new.hub_key).await?;
                if let Some(backup) = &backup {
                    give_roster(&at.hub, company, &backup.ops).await?;
                }
                Some(at)
            }
            None => None,
        };
        let at_hand = AtHand { root, hub };
        let mut folder = NewFolder::at(&config.dir);
        let (store, begun) = begun::store(&config.dir)?;
        if begun == Begun::No {
            let device = store.write(begun::device_keys)?;
            let (roster, ops, parts) = admit_device(
                &config,
                &at_hand,
                backup.as_ref(),
                (&device, &mut folder),
                new.undo_since,
            )
            .await?;
            store.write(|tx| {
                let hub_url = at_hand.hub.as_ref().map_or("", |at| &at.url);
                let hub_key = *roster.hub_key().ok_or(Error::Corrupt)?;
                keep_membership(tx, &roster.company(), hub_url, &hub_key, &device)?;
                begun::mark(tx)?;
                for op in &ops {
                    oplog::keep(tx, op, None)?;
                }
                let kept = backup.iter().flat_map(|backup| &backup.parts);
                for part in kept.chain(&parts) {
                    oplog::keep_part(tx, &part.op, &part.bytes)?;
                }
                keys::open_rings(tx, &roster).map(drop)
            })?;
        }
        folder.stays();
        let kolonne = Self::with_store(config, store)?;
        kolonne.check_kit(&new.kit)?;
        if let Some(backup) = backup {
            blocking(&kolonne.inner, move |inner| backup.import(inner, &mut told)).await?;
        }
        kolonne
            .take_person(&at_hand, person_name, device_name)
            .await?;
        Ok(kolonne)
    }

    /// The second half: who sits here, now that names can be read.
    async fn take_person(
        &self,
        at_hand: &AtHand,
        person_name: String,
        device_name: String,
    ) -> Result<(), Error> {
        let inner = &self.inner;
        // Before the change, so that the rings are opened with the seat in place.
        let seat = inner.store.write(begun::seat_keys)?;
        if at_hand.hub.is_some() {
            self.catch_up().await?;
        }
        let roster = inner.store.read(|db| inner.roster(db))?;
        let held = roster.seat(&seat.seat()).and_then(|held| held.cert.person);
        let person = match held {
            Some(person) => person,
            None => self.certify_person(at_hand, &seat, &person_name).await?,
        };
        blocking(inner, move |inner| {
            let names = [
                (person.0.to_vec(), person_name.as_str()),
                (inner.device.0.to_vec(), device_name.as_str()),
            ];
            inner.say_names(&seat.author(), &names)?;
            inner.store.write(begun::done)
        })
        .await?;
        if at_hand.hub.is_some()
            && let Err(error) = self.catch_up().await
        {
            // Somebody sits here now: the names go out with the next sync.
            tracing::info!(code = error.code(), "recovered, but not caught up");
        }
        Ok(())
    }

    /// The root gives the person's seat what it needs; which person that is.
    async fn certify_person(
        &self,
        at_hand: &AtHand,
        seat: &SeatKeys,
        person_name: &str,
    ) -> Result<RingId, Error> {
        let (people, _) = self.people()?;
        let known = people.iter().find(|person| person.name == person_name);
        let known = known.map(|person| person.id);
        let inner = &self.inner;
        let clock = Arc::clone(&inner.config.clock);
        let (root, device) = (at_hand.root.clone(), inner.device);
        let (seat_key, seat_recipient) = (
            seat.signing.public(),
            keys::public_recipient(&seat.identity)?,
        );
        let draft = move |db: &Connection, roster: &Roster| {
            let seat_id = SeatId::of_key(&seat_key);
            let holder = (seat_id.0, seat_recipient.clone());
            let ring = if let Some(person) = &known {
                let coming = std::slice::from_ref(&holder);
                rings::next_generation(db, roster, person, Leaving::default(), coming, None)?
            } else {
                let (recovery, kit) = the_newest(roster, RingKind::Recovery)?;
                let kit = (recovery.0, kit.clone());
                rings::first_generation(RingKind::Person, &[holder, kit])?
            };
            let person = ring.ring;
            let mut changes = vec![
                Change::Ring(ring),
                Change::Seat(SeatCert {
                    key: seat_key,
                    kind: SeatKind::Person,
                    suite: SUITE_1,
                    device,
                    person: Some(person),
                    role: Role::Admin,
                    scope: Scope::All,
                    not_after_ms: None,
                    recipient: Some(seat_recipient.clone()),
                }),
            ];
            // What was sealed to them before can be read again.
            for (generation, secret) in keys::opened_by_kit(&root, roster, &person)? {
                let wrap = keys::wrap(secret.as_bytes(), seat_id.0, &seat_recipient)?;
                changes.push(Change::Wraps(RingWraps {
                    ring: person,
                    generation,
                    wraps: vec![wrap],
                }));
            }
            Ok(Drafted {
                op: roster_op(roster, &root.signing_secret(), clock(), changes)?,
                parts: Vec::new(),
                with: person,
            })
        };
        let drafted = match &at_hand.hub {
            Some(at) => append(inner, &at.hub, &mut Vec::new(), draft).await?,
            None => {
                blocking(inner, move |inner| {
                    inner.store.read(|db| {
                        let roster = inner.roster(db)?;
                        draft(db, &roster).map(Arc::new)
                    })
                })
                .await?
            }
        };
        let person = drafted.with;
        blocking(inner, move |inner| inner.keep_change(&drafted)).await?;
        Ok(person)
    }
}

impl Inner {
    /// Names people and devices that aren't named so already.
    fn say_names(&self, author: &Author, names: &[(Vec<u8>, &str)]) -> Result<(), Error> {
        let thread = self.store.read(|db| company_thread(db))?;
        self.write_in(&thread, |tx, moment| {
            let view = crate::folding::refold(tx, moment.roster, &self.device, &thread)?;
            for (subject, name) in names {
                let now = view.fields.get(&(field::NAME, subject.clone()));
                if now.and_then(|field| field.value.as_deref()) != Some(*name) {
                    job::set_name(tx, moment, &view, author, &thread, subject, name)?;
                }
            }
            Ok(())
        })
    }
}

async fn at_hub(
    config: &Config,
    root: &RootSeed,
    company: CompanyId,
    hub_url: &str,
    compared: Option<PublicKey>,
) -> Result<AtHub, Error> {
    let secret = root.signing_secret();
    let door: HttpDoor = door(hub_url, &config.trust)?;
    let hub_key = hello(&door).await?.key;
    if compared.is_some_and(|compared| compared != hub_key) {
        return Err(Error::Invalid {
            field: "hub_key",
            code: "other_hub",
        });
    }
    // The hub lets the root in under the id that a device of this key would have.
    let device = DeviceId::of_key(&secret.public());
    let signing = SigningKey::from_bytes(&secret.seed());
    let carrier = HttpCarrier::new(door, company, device, signing);
    Ok(AtHub {
        url: hub_url.to_owned(),
        hub: Line::new(Arc::new(carrier), hub_key),
        compared: compared.is_some(),
    })
}

/// The company's whole roster as the hub has it, proven from its first root to this one.
async fn proven_roster(
    root: &RootSeed,
    at: &AtHub,
) -> Result<(Roster, Vec<VerifiedOp>, Vec<Part>), Error> {
    const OTHERS: Error = Error::NotFound { kind: "company" };
    let (roster, ops, parts) = match whole_roster(&at.hub, None).await {
        // Whoever it doesn't know can't log in there.
        Err(HubError::Refused(_) | HubError::NotThere | HubError::NotAllowed) => {
            return Err(OTHERS);
        }
        whole => whole?,
    };
    if roster.root_key() != Some(&root.signing_secret().public()) {
        return Err(OTHERS);
    }
    Ok((roster, ops, parts))
}

/// Where the root begins: at the roster's end, or before what no app here understands, if a person
/// said that it goes.
fn stands_on(
    roster: &Roster,
    undo_since: Option<u32>,
) -> Result<(RosterPosition, RosterDigest), Error> {
    let Some(from) = roster.unknown_from() else {
        return Ok(roster.head());
    };
    let since = from.number();
    if undo_since.is_none_or(|wanted| wanted > since) {
        return Err(Error::RosterStopped { since });
    }
    let mut before = roster.links().iter().rev();
    let last = before.find(|link| link.position < from && link.holds());
    last.map(|link| (link.position, link.digest))
        .ok_or(Error::RosterStopped { since })
}

/// The first half: the root certifies this device and gives it the office's ring.
async fn admit_device(
    config: &Config,
    at_hand: &AtHand,
    backup: Option<&Backup>,
    (device, folder): (&DeviceKeys, &mut NewFolder),
    undo_since: Option<u32>,
) -> Result<(Roster, Vec<VerifiedOp>, Vec<Part>), Error> {
    for _ in 0..DRAFTS {
        let (mut roster, mut ops, parts) = match (&at_hand.hub, backup) {
            (Some(at), _) => proven_roster(&at_hand.root, at).await?,
            (None, Some(backup)) => (backup.roster.clone(), backup.ops.clone(), Vec::new()),
            (None, None) => return Err(Error::NotFound { kind: "hub" }),
        };
        if roster.device(&device.device()).is_some() {
            return Ok((roster, ops, parts));
        }
        let certified = match &at_hand.hub {
            Some(at) => at.certified(&roster)?,
            None => None,
        };
        let recipient = keys::public_recipient(&device.identity)?;
        let mut changes = office_wraps(&at_hand.root, &roster, &device.device(), &recipient)?;
        changes.push(Change::Device(DeviceCert {
            key: device.signing.public(),
            recipient,
            kind: DeviceKind::Office,
            crew: None,
        }));
        changes.push(device_seat(&device.signing.public(), Role::Office));
        changes.extend(certified);
        let secret = at_hand.root.signing_secret();
        let named = stands_on(&roster, undo_since)?;
        let op = roster_op_on(named, &roster, &secret, (config.clock)(), changes)?;
        let request = AppendRoster {
            page: page_of(&op).into(),
            parts: Vec::new(),
        };
        // From here on the hub may know the device, whatever becomes of its answer.
        folder.stays();
        let taken = match &at_hand.hub {
            Some(at) => at.hub.append_roster(request).await,
            None => Ok(()),
        };
        match taken {
            Ok(()) => {
                if roster.append(&op) != Effect::Applied {
                    return Err(Error::internal("roster"));
                }
                ops.push(op);
                return Ok((roster, ops, parts));
            }
            Err(HubError::RosterMoved) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Busy)
}

/// The office's ring for a device, in every generation that the kit opens.
fn office_wraps(
    root: &RootSeed,
    roster: &Roster,
    device: &DeviceId,
    recipient: &Recipient,
) -> Result<Vec<Change>, Error> {
    let office = roster.the_ring(RingKind::Office).ok_or(Error::Corrupt)?;
    let mut changes = Vec::new();
    for (generation, secret) in keys::opened_by_kit(root, roster, &office)? {
        changes.push(Change::Wraps(RingWraps {
            ring: office,
            generation,
            wraps: vec![keys::wrap(secret.as_bytes(), device.0, recipient)?],
        }));
    }
    Ok(changes)
}
