//! Founding: the root, its one op, the first office device and the company's thread.
//!
//! The root's secrets are made, used once, handed out as the recovery kit and wiped; nothing here
//! may write them to a disk. The hub's key is what a person compares, so a hub that shows another
//! one than expected is refused before anything is made.

use std::path::{Path, PathBuf};

use kolonne_model::control::ThreadKind;
use kolonne_model::hash::label;
use kolonne_model::hub::{Door, Founding, HubError};
use kolonne_model::ids::{CompanyId, PublicKey, RingId, RosterDigest, RosterPosition, ThreadId};
use kolonne_model::op::{MAX_PAYLOAD_BYTES, Op, SUITE_1};
use kolonne_model::page::{SegmentToSend, StrandName, write_segment};
use kolonne_model::payload;
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{
    Change, DeviceCert, DeviceKind, Found, HubKey, Recipient, RingGeneration, RingKind, Role,
    Scope, SeatCert, SeatKind, Wrap,
};
use kolonne_model::roster::state::Void;
use kolonne_model::strand::VerifiedOp;
use rusqlite::{Connection, OptionalExtension, Transaction};
use zeroize::Zeroizing;

use crate::capture::job;
use crate::crypt::{Identity, RootSeed, SigningSecret, random};
use crate::error::Error;
use crate::keys::{self, DeviceKeys, SeatKeys};
use crate::kolonne::{Config, Kolonne, open_store, thread_id};
use crate::line::checked_name;
use crate::oplog::{self, Moment};
use crate::store::{Store, get_meta, set_meta};
use crate::transport::{BadDoor, HttpDoor, Trust};

/// A company to found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCompany {
    /// What it is called.
    pub company_name: String,
    /// Its first person, who may do everything.
    pub person_name: String,
    /// The office device this is.
    pub device_name: String,
    /// Where the hub is.
    pub hub_url: String,
    /// The hub's key as a person compared it; none: whoever calls shows [`Founded::hub_key`].
    pub hub_key: Option<PublicKey>,
}

/// A founded company.
#[derive(Debug)]
pub struct Founded {
    /// The first office device.
    pub kolonne: Kolonne,
    /// The recovery kit, to be printed once and kept on no computer.
    pub kit: Zeroizing<String>,
    /// The hub's key.
    pub hub_key: PublicKey,
}

/// What the founding op makes besides the root.
struct First {
    device: DeviceKeys,
    seat: SeatKeys,
    office: Identity,
    person: Identity,
}

impl Kolonne {
    /// The key a hub shows, for a person to compare with what the hub prints.
    pub async fn hub_key(hub_url: &str, trust: &Trust) -> Result<PublicKey, Error> {
        hello(&door(hub_url, trust)?).await.map(|hello| hello.key)
    }

    /// Founds a company at a hub and makes this its first office device.
    ///
    /// # Errors
    /// `Invalid` for a name that is empty or too long, a hub with another key (`hub_key`,
    /// `other_hub`), a folder that holds a company already (`dir`, `taken`), a hub that takes no
    /// more companies (`hub_url`, `full`); `Offline`.
    pub async fn found(config: Config, new: NewCompany) -> Result<Founded, Error> {
        let dir = config.dir.clone();
        let before = Before::of(&dir);
        let founded = Self::found_in(config.clone(), new).await;
        // A refused founding leaves no key in a folder that it made; one that got through stays.
        if founded.is_err()
            && matches!(Self::open(config), Err(Error::NotFound { kind: "company" }))
        {
            before.restore();
        }
        founded
    }

    async fn found_in(config: Config, new: NewCompany) -> Result<Founded, Error> {
        let company_name = checked_name("company_name", &new.company_name)?;
        let person_name = checked_name("person_name", &new.person_name)?;
        let device_name = checked_name("device_name", &new.device_name)?;
        let hub_url = new.hub_url.trim().to_owned();
        let door = door(&hub_url, &config.trust)?;
        let hub_key = hello(&door).await?.key;
        if new.hub_key.is_some_and(|expected| expected != hub_key) {
            return Err(Error::Invalid {
                field: "hub_key",
                code: "other_hub",
            });
        }
        let mut folder = NewFolder::at(&config.dir);
        let store = free_store(&config.dir)?;

        let root = RootSeed::generate()?;
        let first = First {
            device: DeviceKeys::generate()?,
            seat: SeatKeys::generate()?,
            office: Identity::generate()?,
            person: Identity::generate()?,
        };
        let root_secret = root.signing_secret();
        let company = CompanyId::of_root(&root_secret.public());
        let changes = founding_changes(&root, &first, hub_key)?;
        let mut roster = Roster::new(company);
        let op = roster_op(&roster, &root_secret, (config.clock)(), changes)?;
        roster.append(&op);
        // Whatever fails after this leaves a company at the hub that nobody can use, and no more.
        let founding = Founding {
            company,
            page: page_of(&op).into(),
        };
        match door.found(founding).await {
            Err(HubError::NotAllowed) => {
                return Err(Error::Invalid {
                    field: "hub_url",
                    code: "full",
                });
            }
            founded => founded?,
        }

        let device = first.device.device();
        store.write(|tx| {
            keep_membership(tx, &company, &hub_url, &hub_key, &first.device)?;
            set_meta(tx, "last_contact_ms", &(config.clock)().to_be_bytes())?;
            keys::keep_seat(tx, 0, &first.seat)?;
            oplog::keep(tx, &op, None)?;
            keys::open_rings(tx, &roster)?;
            let moment = Moment {
                roster: &roster,
                now_ms: (config.clock)(),
            };
            let author = first.seat.author();
            let owner = keys::public_recipient(&first.office)?.ring();
            let person = keys::public_recipient(&first.person)?.ring();
            let thread = job::open_thread(tx, &moment, &author, ThreadKind::Company, owner)?;
            let names = [
                (Vec::new(), company_name.as_str()),
                (person.0.to_vec(), person_name.as_str()),
                (device.0.to_vec(), device_name.as_str()),
            ];
            let view = crate::folding::refold(tx, &roster, &device, &thread)?;
            for (subject, name) in &names {
                job::set_name(tx, &moment, &view, &author, &thread, subject, name)?;
            }
            crate::folding::refold(tx, &roster, &device, &thread)?;
            Ok(())
        })?;
        folder.stays();
        Ok(Founded {
            kolonne: Self::with_store(config, store)?,
            kit: root.to_kit_text(),
            hub_key,
        })
    }
}

fn founding_changes(
    root: &RootSeed,
    first: &First,
    hub_key: PublicKey,
) -> Result<Vec<Change>, Error> {
    let recovery = keys::public_recipient(&root.encryption_identity()?)?;
    let recovery_ring = recovery.ring();
    let device = first.device.device();
    let device_recipient = keys::public_recipient(&first.device.identity)?;
    let seat_recipient = keys::public_recipient(&first.seat.identity)?;
    let for_recovery =
        |secret: &Identity| keys::wrap(secret.as_bytes(), recovery_ring.0, &recovery);
    let office_wraps = vec![
        keys::wrap(first.office.as_bytes(), device.0, &device_recipient)?,
        for_recovery(&first.office)?,
    ];
    let person_wraps = vec![
        keys::wrap(
            first.person.as_bytes(),
            first.seat.seat().0,
            &seat_recipient,
        )?,
        for_recovery(&first.person)?,
    ];
    let person = keys::public_recipient(&first.person)?;
    let person_ring = person.ring();
    Ok(vec![
        Change::Found(Found {
            root_key: root.signing_secret().public(),
        }),
        new_ring(RingKind::Recovery, recovery.clone(), Vec::new()),
        new_ring(
            RingKind::Office,
            keys::public_recipient(&first.office)?,
            office_wraps,
        ),
        new_ring(RingKind::Person, person, person_wraps),
        Change::Device(DeviceCert {
            key: first.device.signing.public(),
            recipient: device_recipient,
            kind: DeviceKind::Office,
            crew: None,
        }),
        device_seat(&first.device.signing.public(), Role::Office),
        Change::Seat(SeatCert {
            key: first.seat.signing.public(),
            kind: SeatKind::Person,
            suite: SUITE_1,
            device,
            person: Some(person_ring),
            role: Role::Admin,
            scope: Scope::All,
            not_after_ms: None,
            recipient: Some(seat_recipient),
        }),
        Change::HubKey(HubKey { key: hub_key }),
    ])
}

/// A ring's first generation.
pub(crate) fn new_ring(kind: RingKind, recipient: Recipient, wraps: Vec<Wrap>) -> Change {
    Change::Ring(RingGeneration {
        ring: recipient.ring(),
        kind,
        generation: 1,
        recipient,
        wraps,
        previous_sealed: None,
    })
}

/// The seat of a device itself.
pub(crate) fn device_seat(key: &PublicKey, role: Role) -> Change {
    Change::Seat(SeatCert {
        key: *key,
        kind: SeatKind::Device,
        suite: SUITE_1,
        device: kolonne_model::ids::DeviceId::of_key(key),
        person: None,
        role,
        scope: Scope::All,
        not_after_ms: None,
        recipient: None,
    })
}

/// The next roster op with these changes, signed.
pub(crate) fn roster_op(
    roster: &Roster,
    secret: &SigningSecret,
    now_ms: u64,
    changes: Vec<Change>,
) -> Result<VerifiedOp, Error> {
    roster_op_on(roster.head(), roster, secret, now_ms, changes)
}

/// The next roster op by the root, standing on an earlier position.
pub(crate) fn roster_op_on(
    named: (RosterPosition, RosterDigest),
    roster: &Roster,
    secret: &SigningSecret,
    now_ms: u64,
    changes: Vec<Change>,
) -> Result<VerifiedOp, Error> {
    let place = u64::try_from(roster.links().len()).map_err(|_| Error::internal("roster"))?;
    let lamport = place.saturating_add(1);
    let (context, body) = roster
        .draft_on(named, &secret.public(), lamport, now_ms, changes)
        .map_err(|void| match void {
            Void::Right => Error::Locked { code: "right" },
            Void::Newer => Error::UpgradeRequired,
            _ => Error::internal("roster"),
        })?;
    let payload = payload::clear(&random::bytes()?, &body);
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(Error::internal("roster"));
    }
    let op = Op::new(context, payload);
    let message = [label::OP_SIGNATURE.as_bytes(), &op.form.id().0].concat();
    let signature = secret.sign(&message);
    Ok(VerifiedOp::from_own_log(op, Some(signature)))
}

/// A page with one signed op and full values.
pub(crate) fn page_of(op: &VerifiedOp) -> Vec<u8> {
    let mut page = Vec::new();
    if let Some(signature) = op.signature() {
        let segment = SegmentToSend {
            name: StrandName::Full(op.strand()),
            receivers_base: None,
            ops: std::slice::from_ref(op.op()),
            links: 0,
            signature,
        };
        write_segment(&mut page, &segment);
    }
    page
}

/// Which company this is, through which hub, and as which device.
pub(crate) fn keep_membership(
    tx: &Transaction<'_>,
    company: &CompanyId,
    hub_url: &str,
    hub_key: &PublicKey,
    device: &DeviceKeys,
) -> Result<(), Error> {
    // Two foundings or enrolments into one folder at a time: the second one finds it taken.
    not_taken(tx)?;
    set_meta(tx, "company", &company.0)?;
    set_meta(tx, "hub_url", hub_url.as_bytes())?;
    set_meta(tx, "hub_key", &hub_key.0)?;
    keys::keep_device(tx, device)
}

fn not_taken(db: &Connection) -> Result<(), Error> {
    match get_meta(db, "company")? {
        None => Ok(()),
        Some(_) => Err(Error::Invalid {
            field: "dir",
            code: "taken",
        }),
    }
}

/// Whether a folder had a device's files before something was tried in it.
pub(crate) struct Before<'a> {
    dir: &'a Path,
    was_empty: bool,
}

impl<'a> Before<'a> {
    const FILES: [&'static str; 4] = [
        "device.key",
        "kolonne.db",
        "kolonne.db-wal",
        "kolonne.db-shm",
    ];

    pub fn of(dir: &'a Path) -> Self {
        let was_empty = Self::FILES.iter().all(|name| !dir.join(name).exists());
        Self { dir, was_empty }
    }

    /// Removes what was made since, if there was nothing.
    pub fn restore(self) {
        for name in Self::FILES.iter().filter(|_| self.was_empty) {
            // What can't be removed is in nobody's way: the next try takes it over.
            drop(std::fs::remove_file(self.dir.join(name)));
        }
    }
}

/// A folder for a company to come. Where none was before, none is left behind if it doesn't come.
pub(crate) struct NewFolder {
    made: Option<PathBuf>,
}

impl NewFolder {
    /// Before anything is written there.
    pub(crate) fn at(dir: &Path) -> Self {
        let made = (!dir.exists()).then(|| dir.to_owned());
        Self { made }
    }

    /// It holds a company now, or the keys of a device that the hub may know.
    pub(crate) fn stays(&mut self) {
        self.made = None;
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if let Some(dir) = &self.made {
            // Left over it does no harm: it is free.
            drop(std::fs::remove_dir_all(dir));
        }
    }
}

/// The store of a folder that holds no company yet.
pub(crate) fn free_store(dir: &Path) -> Result<Store, Error> {
    if crate::wipe::has_mark(dir) {
        crate::wipe::clear_mark(dir)?;
    }
    let store = open_store(dir)?;
    store.read(|db| not_taken(db))?;
    Ok(store)
}

/// Which thread the admission pack named as the company's own.
pub(crate) const NAMED_COMPANY_THREAD: &str = "company_thread";

/// The company's own thread, where names are: of several the one that the admission pack named, or that
/// was here first. Any later one is by a founder's seat that somebody else has now, and dated as they
/// like.
pub(crate) fn company_thread(db: &Connection) -> Result<ThreadId, Error> {
    let named = get_meta(db, NAMED_COMPANY_THREAD)?;
    let thread: Vec<u8> = db
        .prepare_cached(
            "SELECT thread FROM view_threads v WHERE kind = 1
             ORDER BY thread IS NOT ?1, (SELECT min(o.arrival) FROM ops o WHERE o.thread = v.thread)
             LIMIT 1",
        )?
        .query_row([named], |row| row.get(0))
        .optional()?
        .ok_or(Error::NotFound { kind: "thread" })?;
    thread_id(&thread)
}

/// The newest generation of the one ring of a kind.
pub(crate) fn the_newest(roster: &Roster, kind: RingKind) -> Result<(RingId, &Recipient), Error> {
    let ring = roster.the_ring(kind).ok_or(Error::Corrupt)?;
    let (_, recipient) = roster.newest_generation(&ring).ok_or(Error::Corrupt)?;
    Ok((ring, recipient))
}

pub(crate) fn door(hub_url: &str, trust: &Trust) -> Result<HttpDoor, Error> {
    HttpDoor::new(hub_url, trust).map_err(|error| match error {
        BadDoor::Address => Error::Invalid {
            field: "hub_url",
            code: "malformed",
        },
        BadDoor::Certificate => Error::Invalid {
            field: "trust",
            code: "corrupt",
        },
        BadDoor::Tls => Error::internal("tls"),
    })
}

/// Who the hub is, if this app speaks with it.
pub(crate) async fn hello(door: &impl Door) -> Result<kolonne_model::hub::Hello, Error> {
    let hello = door.hello().await?;
    if hello.version == 1 {
        Ok(hello)
    } else {
        Err(Error::UpgradeRequired)
    }
}
