//! Companies as simulations begin with them: founded and enrolled once by the real protocol, then
//! copied for each seed.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use kolonne_model::ids::{CompanyId, DeviceId, ThreadId};
use kolonne_model::roster::change::{DeviceKind, Role};
use tempfile::TempDir;

use crate::files::copy_folder;
use crate::world::{person, phone};
use crate::{Device, World};

/// A device as it lies on the disk, and the key with which it logs in.
#[derive(Clone)]
pub struct Enrolled {
    /// What it is called.
    pub name: String,
    /// Its folder, below the template's.
    pub folder: String,
    /// Its id.
    pub id: DeviceId,
    /// The key of its own seat.
    pub signing: SigningKey,
    /// Whether it is the office's.
    pub is_office: bool,
}

/// A company with its hub, all switched off.
pub struct Template {
    /// Where everything lies.
    pub dir: TempDir,
    /// The company.
    pub company: CompanyId,
    /// Its devices, the office's first.
    pub devices: Vec<Enrolled>,
    /// Its jobs; everyone is in the first.
    pub jobs: Vec<ThreadId>,
    /// When it was left, ms.
    pub now_ms: u64,
}

/// Companies of three sizes, each made when the first seed needs it: a small seed shall not pay for
/// the roster of a large company.
#[derive(Default)]
pub struct Templates([OnceLock<Template>; 3]);

impl Templates {
    /// How many devices each can have at most.
    const SIZES: [usize; 3] = [5, 12, 50];

    /// The smallest company with so many devices.
    pub fn with_devices(&self, devices: usize) -> &Template {
        let fits = |(_, size): &(_, usize)| devices <= *size;
        let mut sizes = self.0.iter().zip(Self::SIZES);
        let (made, size) = sizes.find(fits).expect("a company has 50 devices at most");
        made.get_or_init(|| Template::with_crews(size - 4))
    }
}

/// Where a simulation's files lie: in memory, if there is such a folder.
pub fn scratch() -> TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        TempDir::new_in(shm).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}

impl Template {
    /// An office, a foreman and so many crews besides the first.
    pub fn with_crews(more_crews: usize) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(Self::make(more_crews))
    }

    async fn make(more_crews: usize) -> Self {
        let mut world = World::new().await;
        let mut crews = Vec::new();
        for n in 0..more_crews {
            if n > 0 && n % 8 == 0 {
                // Only so many may be let in within ten minutes; a restart forgets how many were.
                world.stop_hub().await;
                world.start_hub();
            }
            let name = format!("Kolonne {}", n + 4);
            let people = vec![person(&format!("Kollege {n}"), Role::Crew)];
            let invite = phone(&format!("Handy {name}"), &name, people);
            crews.push((name, world.enrol(&format!("crew-{n}"), invite).await));
        }
        let mut second = phone("Büro 2", "Büro", vec![person("Kurt Maier", Role::Office)]);
        (second.kind, second.crew_name) = (DeviceKind::Office, None);
        let second = world.enrol("büro-2", second).await;
        let mut members = vec!["Kolonne 3".to_owned(), "Anna Weber".to_owned()];
        members.extend(crews.iter().map(|(name, _)| name.clone()));
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let jobs = vec![
            world.job("Dachstuhl", &members),
            world.job("Gaube", &["Kolonne 3"]),
            world.job("Carport", &["Anna Weber"]),
        ];
        for _ in 0..2 {
            world.everyone_syncs().await;
            second.sync().await;
            for (_, crew) in &crews {
                crew.sync().await;
            }
        }
        let mut devices = vec![
            enrolled("Büro", "büro", &world.büro, true),
            enrolled("Büro 2", "büro-2", &second, true),
            enrolled("Anna", "anna", &world.anna, false),
            enrolled("Kolonne 3", "kolonne-3", &world.kolonne_3, false),
        ];
        for (n, (name, crew)) in crews.iter().enumerate() {
            devices.push(enrolled(name, &format!("crew-{n}"), crew, false));
        }
        let company = company_of(&world.büro);
        drop((crews, second));
        world.stop_hub().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let dir = scratch();
        for folder in devices.iter().map(|device| device.folder.as_str()) {
            copy_folder(&world.path(folder), &dir.path().join(folder));
        }
        copy_folder(&world.path("hub"), &dir.path().join("hub"));
        Self {
            dir,
            company,
            devices,
            jobs,
            now_ms: now.as_millis() as u64,
        }
    }
}

fn meta(device: &Device, key: &str) -> Vec<u8> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let db = device.database();
    db.query_row(sql, [key], |row| row.get(0)).unwrap()
}

fn company_of(device: &Device) -> CompanyId {
    CompanyId::try_from(meta(device, "company").as_slice()).unwrap()
}

fn enrolled(name: &str, folder: &str, device: &Device, is_office: bool) -> Enrolled {
    let seed: [u8; 32] = meta(device, "device_signing").try_into().unwrap();
    let signing = SigningKey::from_bytes(&seed);
    let key = kolonne_model::ids::PublicKey(signing.verifying_key().to_bytes());
    Enrolled {
        name: name.to_owned(),
        folder: folder.to_owned(),
        id: DeviceId::of_key(&key),
        signing,
        is_office,
    }
}
