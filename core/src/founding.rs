//! Founding: the root, its one op, the first office device and the company's thread.
//!
//! The root's secrets are made, used once, handed out as the recovery kit and wiped; nothing here
//! may write them to a disk. The hub's key is what a person compares, so a hub that shows another
//! one than expected is refused before anything is made.

use kolonne_model::control::ThreadKind;
use kolonne_model::hub::{Door, Founding, HubError};
use kolonne_model::ids::{CompanyId, PublicKey};
use kolonne_model::op::SUITE_1;
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{
    Change, DeviceCert, DeviceKind, Found, HubKey, RingKind, Role, Scope, SeatCert, SeatKind,
};
use zeroize::Zeroizing;

use crate::capture::job;
use crate::crypt::{Identity, RootSeed};
use crate::error::Error;
use crate::folder::{Before, NewFolder, free_store, keep_membership};
use crate::keys::{self, DeviceKeys, SeatKeys};
use crate::kolonne::{Config, Kolonne};
use crate::line::checked_name;
use crate::oplog::{self, Moment};
use crate::roster_op::{device_seat, new_ring, page_of, roster_op};
use crate::store::set_meta;
use crate::transport::{Trust, door, hello};

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
