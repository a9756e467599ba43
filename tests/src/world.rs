//! The company of the stories: a hub, the office, a foreman, a crew with one phone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use kolonne_core::capture::NewJob;
use kolonne_core::{Founded, InviteState, Kolonne, NewCompany, NewInvite, SeatGrant};
use kolonne_hub::{Hub, HubConfig, Rate, Tls};
use kolonne_model::ids::{PublicKey, RingId};
use kolonne_model::roster::change::{DeviceKind, Role};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::device::{Device, config};
use crate::log;
use crate::wire::Wire;

/// A job.
pub type JobId = kolonne_model::ids::ThreadId;

/// How often two ends of an enrolment look for each other's message.
const LOOK: Duration = Duration::from_millis(20);

/// A hub that runs until it is stopped.
pub struct RunningHub {
    /// Its folder.
    pub dir: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its key.
    pub key: PublicKey,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl RunningHub {
    /// Starts a hub on a folder.
    pub fn start(dir: PathBuf) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = HubConfig::new(dir.clone(), listen, Tls::None);
        // One address has all devices here, and no story waits for its turn.
        let freely = Rate {
            burst: 1_000_000,
            per_second: 1_000_000,
        };
        (config.limits.stranger, config.limits.device) = (freely, freely);
        config.limits.address = freely;
        let hub = Hub::open(config).unwrap();
        let (address, key) = (hub.address(), hub.key());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            hub.serve(async {
                let _ = stopped.await;
            })
            .await
            .unwrap();
        });
        Self {
            dir,
            address,
            key,
            stop: Some(stop),
            task,
        }
    }

    /// Stops it; its folder stays.
    pub async fn stop(mut self) -> PathBuf {
        self.stop.take();
        self.task.await.unwrap();
        self.dir
    }
}

/// The company and its devices.
pub struct World {
    /// The hub.
    pub hub: Option<RunningHub>,
    /// What lies between devices and hub.
    pub wire: Wire,
    /// The office PC: Sabine Brandt.
    pub büro: Device,
    /// The foreman's phone: Anna Weber.
    pub anna: Device,
    /// The crew's phone: Mehmet Yılmaz and Jonas Huber.
    pub kolonne_3: Device,
    /// The recovery kit, as printed.
    pub kit: String,
    folder: TempDir,
}

/// A person to be on a new device.
pub fn person(name: &str, role: Role) -> SeatGrant {
    SeatGrant {
        person: None,
        name: name.to_owned(),
        role,
    }
}

/// A phone to come; `crew` is a new crew's name.
pub fn phone(device_name: &str, crew: &str, seats: Vec<SeatGrant>) -> NewInvite {
    NewInvite {
        kind: DeviceKind::Phone,
        device_name: device_name.to_owned(),
        crew: None,
        crew_name: Some(crew.to_owned()),
        seats,
    }
}

impl World {
    /// Holzbau Brandt, with office, foreman and one crew.
    pub async fn new() -> Self {
        let crew = vec![
            person("Mehmet Yılmaz", Role::Crew),
            person("Jonas Huber", Role::Crew),
        ];
        Self::of(
            ("Holzbau Brandt", "Sabine Brandt", "Büro"),
            phone(
                "Annas Handy",
                "Anna Weber",
                vec![person("Anna Weber", Role::Foreman)],
            ),
            phone("Handy Kolonne 3", "Kolonne 3", crew),
        )
        .await
    }

    /// A company with other names.
    pub async fn of(office: (&str, &str, &str), foreman: NewInvite, crew: NewInvite) -> Self {
        log::listen();
        let folder = TempDir::new().unwrap();
        let hub = RunningHub::start(folder.path().join("hub"));
        let wire = Wire::new().await;
        wire.lead_to(Some(hub.address));
        let (büro, kit) = found(folder.path().join("büro"), &wire, &hub, office).await;
        let anna = enrol(&büro, folder.path().join("anna"), foreman, None).await;
        let kolonne_3 = enrol(&büro, folder.path().join("kolonne-3"), crew, None).await;
        let world = Self {
            hub: Some(hub),
            wire,
            büro,
            anna,
            kolonne_3,
            kit,
            folder,
        };
        world.everyone_syncs().await;
        world
    }

    /// Where a thing of this world may lie.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Admits another device through the office.
    pub async fn enrol(&self, folder: &str, invite: NewInvite) -> Device {
        enrol(&self.büro, self.path(folder), invite, None).await
    }

    /// The same, but its people write until then only, ms.
    pub async fn enrol_until(&self, folder: &str, invite: NewInvite, until_ms: u64) -> Device {
        enrol(&self.büro, self.path(folder), invite, Some(until_ms)).await
    }

    /// A second company at the same hub: its office.
    pub async fn found_another(&self, folder: &str) -> Device {
        let hub = self.hub.as_ref().expect("the hub runs");
        let office = ("Dach & Wand", "Paul Kern", "Kern PC");
        found(self.path(folder), &self.wire, hub, office).await.0
    }

    /// The three devices.
    pub fn devices(&self) -> [&Device; 3] {
        [&self.büro, &self.anna, &self.kolonne_3]
    }

    /// Everyone syncs until all have what the others wrote, marks of the office included.
    pub async fn everyone_syncs(&self) {
        for _ in 0..3 {
            for device in self.devices() {
                device.sync().await;
            }
        }
    }

    /// A job of the office with members by name.
    pub fn job(&self, title: &str, members: &[&str]) -> JobId {
        let job = NewJob {
            title: title.to_owned(),
            customer: "Familie Öztürk".to_owned(),
            address: "Am Weiher 4, Dachau".to_owned(),
            members: members.iter().map(|name| self.ring(name)).collect(),
            ..NewJob::default()
        };
        let seat = self.büro.seat();
        self.büro.core().open_job(&seat, &job).unwrap()
    }

    /// A crew's or person's ring, as the office knows it.
    pub fn ring(&self, name: &str) -> RingId {
        self.büro.ring(name)
    }

    /// The hub goes away.
    pub async fn stop_hub(&mut self) {
        self.wire.lead_to(None);
        let hub = self.hub.take().expect("the hub runs");
        hub.stop().await;
    }

    /// The hub comes back on its folder.
    pub fn start_hub(&mut self) {
        self.start_hub_on("hub");
    }

    /// A hub on this folder stands where the hub was.
    pub fn start_hub_on(&mut self, folder: &str) {
        let hub = RunningHub::start(self.path(folder));
        self.wire.lead_to(Some(hub.address));
        self.hub = Some(hub);
    }
}

async fn found(
    dir: PathBuf,
    wire: &Wire,
    hub: &RunningHub,
    (company, person, device): (&str, &str, &str),
) -> (Device, String) {
    let clock = Arc::new(AtomicI64::new(0));
    let new = NewCompany {
        company_name: company.to_owned(),
        person_name: person.to_owned(),
        device_name: device.to_owned(),
        hub_url: wire.url(),
        hub_key: Some(hub.key),
    };
    let Founded { kolonne, kit, .. } = Kolonne::found(config(dir.clone(), &clock), new)
        .await
        .unwrap();
    (Device::new(dir, clock, kolonne), kit.to_string())
}

/// The whole enrolment: code, commitment, words on both screens, *Aufnehmen*.
pub async fn enrol(
    office: &Device,
    dir: PathBuf,
    invite: NewInvite,
    until_ms: Option<u64>,
) -> Device {
    let device = admit(office, dir, invite, until_ms).await;
    device.sync().await;
    device
}

/// The same up to the list of jobs: the device hasn't synced yet.
pub async fn admit(
    office: &Device,
    dir: PathBuf,
    invite: NewInvite,
    until_ms: Option<u64>,
) -> Device {
    let clock = Arc::new(AtomicI64::new(0));
    let phone_config = config(dir.clone(), &clock);
    let mut invitation = office.core().invite(&office.seat(), invite).await.unwrap();
    if let Some(until_ms) = until_ms {
        invitation = invitation.until(until_ms);
    }
    let code = invitation.text();
    let on_phone = tokio::spawn(async move {
        let enrolment = Kolonne::enrol(phone_config, &code).await.unwrap();
        let mut enrolment = enrolment.without_pins();
        let words = enrolment.words().await.unwrap();
        (words, enrolment.admitted().await.unwrap())
    });
    let words = loop {
        match invitation.step().await.unwrap() {
            InviteState::Words(words) => break words,
            InviteState::Waiting => tokio::time::sleep(LOOK).await,
            state => panic!("no words came: {state:?}"),
        }
    };
    invitation.admit().await.unwrap();
    let (same_words, kolonne) = on_phone.await.unwrap();
    assert_eq!(words, same_words, "both screens show the same words");
    Device::new(dir, clock, kolonne)
}
