//! A company begins and grows: founding, codes, words, admission, through a real hub.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kolonne_core::transport::Trust;
use kolonne_core::{
    Budget, Config, Enrolment, Error, Founded, Invitation, InviteState, Kolonne, NewCompany,
    NewInvite, SeatGrant,
};
use kolonne_hub::{Env, Hub, HubConfig, Tls};
use kolonne_model::enrol::{Code, LASTS_MS, OneTimeSecret};
use kolonne_model::ids::{PublicKey, RingId, SeatId};
use kolonne_model::roster::change::{DeviceKind, Role};
use tempfile::TempDir;

const START_MS: u64 = 1_800_000_000_000;

/// A hub, and one clock for everyone.
struct Town {
    folder: TempDir,
    url: String,
    key: PublicKey,
    clock: Arc<AtomicU64>,
}

impl Town {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(AtomicU64::new(START_MS));
        let (now, count) = (clock.clone(), AtomicU64::new(1));
        let env = Env::new(
            move || now.fetch_add(1, Ordering::Relaxed),
            move |bytes| {
                let n = count.fetch_add(1, Ordering::Relaxed);
                let mut hasher = blake3::Hasher::new();
                hasher.update(&n.to_be_bytes()).finalize_xof().fill(bytes);
            },
        );
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = HubConfig::new(folder.path().join("hub"), listen, Tls::None);
        // The clock stands still but for the steps above, so no bucket would fill again.
        config.limits.stranger.burst = 100_000;
        config.limits.address.burst = 100_000;
        config.limits.device.burst = 100_000;
        let hub = Hub::open_with(config, env).unwrap();
        let (url, key) = (format!("http://{}", hub.address()), hub.key());
        tokio::spawn(hub.serve(std::future::pending()));
        Self {
            folder,
            url,
            key,
            clock,
        }
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self, name: &str) -> Config {
        let clock = self.clock.clone();
        Config {
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
            trust: Trust::System,
            ..Config::new(self.dir(name))
        }
    }

    fn new_company(&self) -> NewCompany {
        NewCompany {
            company_name: "  Holzbau Brandt ".to_owned(),
            person_name: "Sabine Brandt".to_owned(),
            device_name: "Büro".to_owned(),
            hub_url: self.url.clone(),
            hub_key: Some(self.key),
        }
    }

    async fn found(&self) -> Founded {
        let config = self.config("office");
        Kolonne::found(config, self.new_company()).await.unwrap()
    }

    /// Both sides of an enrolment, up to the words.
    async fn meet(&self, office: &Kolonne, name: &str, new: NewInvite) -> (Invitation, Enrolment) {
        let mut invitation = office.invite(&seat(office), new).await.unwrap();
        assert_eq!(invitation.step().await.unwrap(), InviteState::Waiting);
        let mut enrolment = Kolonne::enrol(self.config(name), &invitation.text())
            .await
            .unwrap();
        let (there, here) = tokio::join!(enrolment.words(), words(&mut invitation));
        assert_eq!(there.unwrap(), here);
        (invitation, enrolment)
    }

    async fn enrol(&self, office: &Kolonne, name: &str, new: NewInvite) -> Kolonne {
        let (mut invitation, enrolment) = self.meet(office, name, new).await;
        invitation.admit().await.unwrap();
        assert_eq!(invitation.step().await.unwrap(), InviteState::Admitted);
        let enrolled = enrolment.admitted().await.unwrap();
        enrolled.sync_once(Budget::unlimited()).await.unwrap();
        enrolled
    }
}

async fn words(invitation: &mut Invitation) -> [(&'static str, &'static str); 4] {
    loop {
        match invitation.step().await.unwrap() {
            InviteState::Waiting => tokio::time::sleep(Duration::from_millis(20)).await,
            InviteState::Words(words) => return words,
            other => panic!("{other:?}"),
        }
    }
}

fn seat(device: &Kolonne) -> SeatId {
    device.me().unwrap().seats[0].seat
}

fn person(name: &str, role: Role) -> SeatGrant {
    SeatGrant {
        person: None,
        name: name.to_owned(),
        role,
    }
}

fn phone(name: &str, crew_name: &str, seats: Vec<SeatGrant>) -> NewInvite {
    NewInvite {
        kind: DeviceKind::Phone,
        device_name: name.to_owned(),
        crew: None,
        crew_name: Some(crew_name.to_owned()),
        seats,
    }
}

fn office_device(name: &str, seats: Vec<SeatGrant>) -> NewInvite {
    NewInvite {
        kind: DeviceKind::Office,
        crew_name: None,
        ..phone(name, "", seats)
    }
}

fn annas_phone() -> NewInvite {
    phone(
        "Annas Handy",
        "Anna Weber",
        vec![person("Anna Weber", Role::Foreman)],
    )
}

fn names(device: &Kolonne) -> BTreeSet<String> {
    let (people, crews) = device.people().unwrap();
    people
        .into_iter()
        .map(|person| person.name)
        .chain(crews.into_iter().map(|crew| crew.name))
        .chain(device.devices().unwrap().into_iter().map(|d| d.name))
        .collect()
}

fn code_of<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().code()
}

fn text_of(bytes: &[u8]) -> String {
    let hash = blake3::hash(bytes);
    let check = &hash.as_bytes()[..4];
    let digits = data_encoding::BASE32_NOPAD.encode(&[bytes, check].concat());
    format!("KOLONNE1:{digits}")
}

fn bytes_of(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("KOLONNE1:").unwrap();
    let mut bytes = data_encoding::BASE32_NOPAD
        .decode(digits.as_bytes())
        .unwrap();
    bytes.truncate(bytes.len() - 4);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_begins_and_grows() {
    let town = Town::new();
    let Founded {
        kolonne: office,
        kit,
        hub_key,
    } = town.found().await;
    assert_eq!(hub_key, town.key);
    assert_eq!(kit.lines().count(), 4);
    let me = office.me().unwrap();
    assert_eq!(me.company, "Holzbau Brandt");
    assert_eq!(me.device_name, "Büro");
    assert_eq!(me.seats[0].name, "Sabine Brandt");
    assert_eq!(me.seats[0].role, Role::Admin);

    let anna = town.enrol(&office, "anna", annas_phone()).await;
    let me = anna.me().unwrap();
    assert_eq!(
        (me.company.as_str(), me.device_name.as_str()),
        ("Holzbau Brandt", "Annas Handy")
    );
    assert_eq!(me.seats[0].name, "Anna Weber");
    assert_eq!(me.seats[0].role, Role::Foreman);
    let known = ["Anna Weber", "Annas Handy", "Büro", "Sabine Brandt"];
    assert_eq!(names(&anna), known.map(str::to_owned).into());

    let two = vec![
        person("Mehmet Yılmaz", Role::Crew),
        person("Jonas Huber", Role::Crew),
    ];
    let crew = town
        .enrol(&office, "crew", phone("Handy Kolonne 3", "Kolonne 3", two))
        .await;
    let me = crew.me().unwrap();
    let on_it: Vec<&str> = me.seats.iter().map(|seat| seat.name.as_str()).collect();
    assert_eq!(on_it, ["Mehmet Yılmaz", "Jonas Huber"]);
    assert_eq!(me.kind, DeviceKind::Phone);

    // A second phone of the same crew, and a person who writes on both.
    let (people, crews) = office.people().unwrap();
    let kolonne_3 = crews
        .iter()
        .find(|crew| crew.name == "Kolonne 3")
        .unwrap()
        .id;
    let mehmet = people
        .iter()
        .find(|p| p.name == "Mehmet Yılmaz")
        .unwrap()
        .id;
    let again = SeatGrant {
        person: Some(mehmet),
        ..person("", Role::Crew)
    };
    let tablet = NewInvite {
        crew: Some(kolonne_3),
        crew_name: None,
        ..phone("Tablet Kolonne 3", "", vec![again])
    };
    let tablet = town.enrol(&office, "tablet", tablet).await;
    assert_eq!(tablet.me().unwrap().seats[0].person, mehmet);
    assert_eq!(tablet.me().unwrap().seats[0].name, "Mehmet Yılmaz");

    let seats = vec![person("Paul Kern", Role::Office)];
    let second = town
        .enrol(&office, "second", office_device("Büro 2", seats))
        .await;
    assert_eq!(second.me().unwrap().kind, DeviceKind::Office);

    // The crew talks among itself and with the office, in one thread; a foreman has his jobs.
    for device in [&crew, &tablet, &office] {
        device.sync_once(Budget::unlimited()).await.unwrap();
        let threads = device.threads(&seat(device), "").unwrap();
        let titles: Vec<&str> = threads.iter().map(|row| row.title.as_str()).collect();
        assert_eq!(titles, ["Kolonne 3"]);
    }
    anna.sync_once(Budget::unlimited()).await.unwrap();
    assert_eq!(anna.threads(&seat(&anna), "").unwrap(), []);

    // Everyone knows everyone, also those who came earlier.
    for device in [&anna, &crew, &tablet, &office] {
        device.sync_once(Budget::unlimited()).await.unwrap();
        assert_eq!(names(device), names(&second));
    }
    assert_eq!(names(&anna).len(), 5 + 5 + 1);

    // What was proven is on the disk.
    drop(tablet);
    let tablet = Kolonne::open(town.config("tablet")).unwrap();
    tablet.sync_once(Budget::unlimited()).await.unwrap();
    assert_eq!(names(&tablet), names(&office));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_office_admits_too_but_no_office() {
    let town = Town::new();
    let office = town.found().await.kolonne;
    let anna = town.enrol(&office, "anna", annas_phone()).await;
    let seats = vec![person("Paul Kern", Role::Office)];
    let second = town
        .enrol(&office, "second", office_device("Büro 2", seats))
        .await;

    // Anna's ring was made by the first office device; the second opens it as well.
    let (people, _) = second.people().unwrap();
    let there = people.iter().find(|person| person.own_ring.is_some());
    let there = there.unwrap();
    let grant = SeatGrant {
        person: Some(there.id),
        name: there.name.clone(),
        role: there.role,
    };
    let tablet = NewInvite {
        crew: there.own_ring,
        crew_name: None,
        ..phone("Annas Tablet", "", vec![grant])
    };
    let tablet = town.enrol(&second, "tablet", tablet).await;
    assert!(names(&tablet).contains(there.name.as_str()));

    let right = |result: Result<Invitation, Error>| code_of(result) == "locked.right";
    let pc = || office_device("Büro 3", vec![person("Eva Maier", Role::Crew)]);
    assert!(right(second.invite(&seat(&second), pc()).await));
    let boss = phone("Handy", "Chef", vec![person("Eva Maier", Role::Office)]);
    assert!(right(second.invite(&seat(&second), boss).await));
    assert!(right(anna.invite(&seat(&anna), annas_phone()).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_invitations_at_once_both_hold() {
    let town = Town::new();
    let office = town.found().await.kolonne;
    let jonas = phone(
        "Handy",
        "Kolonne 1",
        vec![person("Jonas Huber", Role::Crew)],
    );
    let (mut one, first) = town.meet(&office, "anna", annas_phone()).await;
    let (mut two, second) = town.meet(&office, "jonas", jonas).await;
    let (a, b, first, second) = tokio::join!(
        one.admit(),
        two.admit(),
        first.admitted(),
        second.admitted()
    );
    a.unwrap();
    b.unwrap();
    let (first, second) = (first.unwrap(), second.unwrap());
    one.admit().await.unwrap();
    for device in [&office, &first, &second] {
        device.sync_once(Budget::unlimited()).await.unwrap();
    }
    assert_eq!(names(&first), names(&office));
    assert_eq!(names(&second), names(&office));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founding_that_does_not_fit_is_refused() {
    let town = Town::new();
    assert_eq!(
        Kolonne::hub_key(&town.url, &Trust::System).await.unwrap(),
        town.key
    );
    let found = |change: fn(&mut NewCompany)| {
        let mut new = town.new_company();
        change(&mut new);
        Kolonne::found(town.config("x"), new)
    };
    let other = found(|new| new.hub_key = Some(PublicKey([7; 32]))).await;
    assert_eq!(code_of(other), "invalid.hub_key.other_hub");
    let empty = found(|new| new.company_name = " ".to_owned()).await;
    assert_eq!(code_of(empty), "invalid.company_name.empty");
    let long = found(|new| new.person_name = "x".repeat(301)).await;
    assert_eq!(code_of(long), "invalid.person_name.too_large");
    let address = found(|new| new.hub_url = "http://hub.example".to_owned()).await;
    assert_eq!(code_of(address), "invalid.hub_url.malformed");
    assert_eq!(
        code_of(Kolonne::open(town.config("x"))),
        "not_found.company"
    );

    found(|_| {}).await.unwrap();
    assert_eq!(code_of(found(|_| {}).await), "invalid.dir.taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_that_does_not_fit_is_refused() {
    let town = Town::new();
    let office = town.found().await.kolonne;
    let anyone = || vec![person("Anna Weber", Role::Crew)];
    let ring = RingId([9; 16]);
    let cases = [
        (phone(" ", "Crew", anyone()), "invalid.device_name.empty"),
        (phone("Handy", "", anyone()), "invalid.crew_name.empty"),
        (phone("Handy", "Crew", vec![]), "invalid.seats.empty"),
        (
            phone("Handy", "Crew", vec![person("x", Role::Crew); 5]),
            "invalid.seats.too_large",
        ),
        (
            phone("Handy", "Crew", vec![person("", Role::Crew)]),
            "invalid.name.empty",
        ),
        (
            NewInvite {
                crew_name: None,
                ..phone("Handy", "", anyone())
            },
            "invalid.crew.empty",
        ),
        (
            NewInvite {
                crew: Some(ring),
                ..phone("Handy", "Crew", anyone())
            },
            "invalid.crew.unsupported",
        ),
        (
            NewInvite {
                crew: Some(ring),
                crew_name: None,
                ..phone("Handy", "", anyone())
            },
            "not_found.crew",
        ),
    ];
    for (new, code) in cases {
        assert_eq!(code_of(office.invite(&seat(&office), new).await), code);
    }
    let stranger = office.invite(&SeatId([1; 16]), annas_phone()).await;
    assert_eq!(code_of(stranger), "not_found.seat");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_works_once_and_only_as_it_was_shown() {
    let town = Town::new();
    let office = town.found().await.kolonne;
    let mut invitation = office.invite(&seat(&office), annas_phone()).await.unwrap();
    let text = invitation.text();
    assert!(
        text.bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b':')
    );
    assert_eq!(code_of(invitation.admit().await), "invalid.code.words");
    let enrol = |text: String| {
        let config = town.config("thief");
        async move { Kolonne::enrol(config, &text).await }
    };

    let wrong = text.replace("KOLONNE1", "KOLONNE2");
    assert_eq!(code_of(enrol(wrong).await), "invalid.code.malformed");
    let cut = text[..text.len() - 1].to_owned();
    assert_eq!(code_of(enrol(cut).await), "invalid.code.malformed");
    assert_eq!(
        code_of(enrol(String::new()).await),
        "invalid.code.malformed"
    );
    let mut code = Code::from_bytes(&bytes_of(&text)).unwrap();
    code.hub_key = PublicKey([5; 32]);
    let elsewhere = text_of(&code.to_bytes());
    assert_eq!(code_of(enrol(elsewhere).await), "invalid.code.other_hub");
    // A refusal leaves no key behind.
    let left = std::fs::read_dir(town.config("thief").dir).map_or(0, Iterator::count);
    assert_eq!(left, 0);

    // The first phone has it; the thief finds it used, and the first goes on.
    let spaced = text.to_lowercase().replace('a', " a\n");
    let mut first = Kolonne::enrol(town.config("anna"), &spaced).await.unwrap();
    assert_eq!(code_of(enrol(text.clone()).await), "invalid.code.spent");
    let (there, here) = tokio::join!(first.words(), words(&mut invitation));
    assert_eq!(there.unwrap(), here);
    invitation.admit().await.unwrap();
    let anna = first.admitted().await.unwrap();
    assert_eq!(code_of(enrol(text.clone()).await), "invalid.code.spent");
    let again = Kolonne::enrol(town.config("anna"), &text).await;
    assert_eq!(code_of(again), "invalid.dir.taken");
    assert_eq!(anna.me().unwrap().seats.len(), 1);
    assert_eq!(office.devices().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_ends_after_ten_minutes() {
    let town = Town::new();
    let office = town.found().await.kolonne;
    let (mut invitation, _phone) = town.meet(&office, "anna", annas_phone()).await;
    let text = invitation.text();
    town.clock.fetch_add(LASTS_MS, Ordering::Relaxed);
    assert_eq!(code_of(invitation.admit().await), "invalid.code.expired");
    assert_eq!(invitation.step().await.unwrap(), InviteState::Expired);
    let late = Kolonne::enrol(town.config("late"), &text).await;
    assert_eq!(code_of(late), "invalid.code.expired");
    assert_eq!(office.devices().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_saw_only_the_mailbox_gets_nowhere() {
    use kolonne_core::transport::HttpDoor;
    use kolonne_model::hub::{Door, Mail};

    let town = Town::new();
    let office = town.found().await.kolonne;
    let mut invitation = office.invite(&seat(&office), annas_phone()).await.unwrap();
    let code = Code::from_bytes(&bytes_of(&invitation.text())).unwrap();
    let door = HttpDoor::new(&town.url, &Trust::System).unwrap();
    let mail = Mail {
        mailbox: code.secret.mailbox(),
        slot: 1,
        message: vec![0; 64].into(),
    };
    door.put_mail(mail).await.unwrap();
    for _ in 0..4 {
        assert_eq!(invitation.step().await.unwrap(), InviteState::Waiting);
    }
    assert_eq!(invitation.step().await.unwrap(), InviteState::Expired);
    // A code with another secret leads to a mailbox that nobody opened.
    let other = OneTimeSecret::from_bytes([0; 16]);
    assert_ne!(other.mailbox(), code.secret.mailbox());
}
