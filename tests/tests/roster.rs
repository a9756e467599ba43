//! The roster under stress, over sockets: a captured office, a stolen kit, a hub put back, a hub that
//! lies.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use kolonne_core::capture::{About, NewJob, SealFor};
use kolonne_core::crypt::{self, RootSeed};
use kolonne_core::records::{AlarmKind, CarriedEvent, RosterEvent, RosterStanding, State};
use kolonne_core::{Config, Error, Kolonne, NewInvite, NewOffice, SeatGrant, Undo};
use kolonne_model::cbor;
use kolonne_model::hub::RosterAnswer;
use kolonne_model::ids::{DeviceId, HubEpoch, RingId, SeatId};
use kolonne_model::op::{SUITE_1, Unknown};
use kolonne_model::roster::change::{
    Change, DeviceKind, End, EndMode, Role, Scope, SeatCert, SeatKind, Subject,
};
use kolonne_tests::bare;
use kolonne_tests::scribe::{change_the_roster, stop_the_roster};
use kolonne_tests::world::{RunningHub, enrol, person, phone};
use kolonne_tests::{Device, JobId, World};

fn device_id(device: &Device) -> DeviceId {
    device.core().me().unwrap().device
}

fn texts(device: &Device, job: &JobId) -> Vec<String> {
    let entries = device.entries(job);
    entries.into_iter().filter_map(|entry| entry.text).collect()
}

/// A second computer of the office, with another person at it.
async fn second_office(world: &World, name: &str, role: Role) -> Device {
    let invite = NewInvite {
        kind: DeviceKind::Office,
        device_name: "Büro 2".to_owned(),
        crew: None,
        crew_name: None,
        seats: vec![person(name, role)],
    };
    let device = world.enrol("büro-2", invite).await;
    world.büro.sync().await;
    device.sync().await;
    device
}

async fn recover(world: &World, kit: &str, name: &str, dir: &str) -> Result<Device, Error> {
    recover_before(world, kit, name, dir, None).await
}

async fn recover_before(
    world: &World,
    kit: &str,
    name: &str,
    dir: &str,
    undo_since: Option<u32>,
) -> Result<Device, Error> {
    let new = NewOffice {
        kit: kit.to_owned().into(),
        hub_url: Some(world.wire.url()),
        hub_key: None,
        backup: None,
        undo_since,
        person_name: name.to_owned(),
        device_name: "Büro neu".to_owned(),
    };
    let dir = world.path(dir);
    let kolonne = Kolonne::recover(Config::new(&dir), new, |_| {}).await?;
    Ok(Device::new(dir, std::sync::Arc::default(), kolonne))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_office_computer_is_undone_by_the_kit() {
    let world = World::new().await;
    let captured = second_office(&world, "Karl Kern", Role::Admin).await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    captured.sync().await;
    let since = u32::try_from(world.büro.core().roster_history().unwrap().len()).unwrap() + 1;

    // Who sits at the second computer isn't Karl. He lets a ghost in and shuts the office out.
    world.büro.offline();
    let ghost = phone("Kein Handy", "Niemand", vec![person("Niemand", Role::Crew)]);
    let ghost = enrol(&captured, world.path("ghost"), ghost, None).await;
    let ring = captured.ring("Niemand");
    let seat = captured.seat();
    captured
        .core()
        .change_members(&seat, &job, &[ring], &[])
        .unwrap();
    let honest = Subject::Device(device_id(&world.büro));
    captured
        .core()
        .end(&seat, honest, EndMode::Hard)
        .await
        .unwrap();
    captured.core().set_erase_days(&seat, 1).unwrap();
    captured.sync().await;
    ghost.sync().await;
    ghost.text(&job, "Ich gehöre dazu");
    ghost.sync().await;
    world.anna.sync().await;
    world.anna.text(&job, "Wer ist das denn?");
    world.anna.sync().await;
    world.büro.text(&job, "Ohne Netz im Büro");
    assert!(texts(&world.anna, &job).contains(&"Ich gehöre dazu".to_owned()));

    // With the kit a new computer becomes the office and undoes it all but its own admission.
    let new = recover(&world, &world.kit, "Sabine Brandt", "büro-neu")
        .await
        .unwrap();
    let events = new.core().roster_history().unwrap();
    let by_captured = events.iter().filter(|event| event.place >= since);
    let by_captured: Vec<_> = by_captured.filter(|event| event.by.is_some()).collect();
    assert_eq!(by_captured.len(), 2, "{events:?}");
    assert_eq!(by_captured[1].by.as_deref(), Some("Karl Kern (Büro 2)"));
    let undo = Undo {
        kit: world.kit.clone().into(),
        since,
        captured: vec![device_id(&captured)],
    };
    new.core().undo(undo).await.unwrap();
    new.sync().await;
    let events = new.core().roster_history().unwrap();
    let undone = events
        .iter()
        .filter(|event| event.standing == RosterStanding::Undone);
    assert_eq!(undone.count(), 4, "the kit's own are taken up again");

    // The honest computer heard of nothing and goes on; what the ghost said is shown to nobody.
    world.büro.online();
    world.everyone_syncs().await;
    new.sync().await;
    for device in [&new, &world.büro, &world.anna, &world.kolonne_3] {
        let said = texts(device, &job);
        assert!(!said.contains(&"Ich gehöre dazu".to_owned()), "{said:?}");
        assert!(said.contains(&"Wer ist das denn?".to_owned()), "{said:?}");
        assert!(said.contains(&"Ohne Netz im Büro".to_owned()), "{said:?}");
    }
    // Nobody has to wonder about the network: the hub knows neither.
    assert!(matches!(ghost.try_sync().await, Err(Error::AuthExpired)));
    assert!(matches!(captured.try_sync().await, Err(Error::AuthExpired)));
    // Neither reads what comes now: its key is made for the honest ones.
    let text = new.text(&job, "Wieder unter uns");
    new.sync().await;
    world.everyone_syncs().await;
    assert_eq!(world.kolonne_3.state(&job, &text), State::Office);
    assert_eq!(texts(&world.anna, &job).last().unwrap(), "Wieder unter uns");

    // Whoever folded what was undone shows what those show who come later.
    for device in [&new, &world.büro, &world.anna, &world.kolonne_3] {
        let shown = of_the_company(device, &job);
        device.core().rebuild_views().unwrap();
        assert_eq!(of_the_company(device, &job), shown);
    }
}

/// Whose end is taken back is back in the roster; the phone that emptied itself for it isn't.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_was_ended_and_emptied_stays_so_though_its_end_is_undone() {
    let world = World::new().await;
    let captured = second_office(&world, "Karl Kern", Role::Admin).await;
    let since = u32::try_from(world.büro.core().roster_history().unwrap().len()).unwrap() + 1;
    let (core, seat) = (captured.core(), captured.seat());
    let phone = device_id(&world.anna);
    let end = core.end(&seat, Subject::Device(phone), EndMode::Soft);
    end.await.unwrap();
    assert!(matches!(
        world.anna.try_sync().await,
        Err(Error::AuthExpired)
    ));
    let new = recover(&world, &world.kit, "Sabine Brandt", "büro-neu")
        .await
        .unwrap();
    let shown = |device: &Device| {
        let mut devices = device.core().devices().unwrap().into_iter();
        let record = devices.find(|record| record.id == phone).unwrap();
        (record.ended.is_some(), record.wiped.is_some())
    };
    new.sync().await;
    assert_eq!(shown(&new), (true, true));
    let undo = Undo {
        kit: world.kit.clone().into(),
        since,
        captured: vec![device_id(&captured)],
    };
    new.core().undo(undo).await.unwrap();
    new.sync().await;
    world.büro.sync().await;
    for device in [&new, &world.büro] {
        assert_eq!(shown(device), (false, true));
        device.core().rebuild_views().unwrap();
        assert_eq!(shown(device), (false, true));
    }
}

/// What a device shows of the company: people, devices, policies, and how far a thread has come.
/// A captured office says what no app understands: everyone stops, but the kit goes on before it.
#[tokio::test(flavor = "multi_thread")]
async fn the_kit_makes_an_office_where_no_app_understands_the_roster() {
    for unknown in [Unknown::MustBeUnderstood, Unknown::MayBePassedOver] {
        let world = World::new().await;
        let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
        world.everyone_syncs().await;
        let since = stop_the_roster(&world, unknown).await;
        world.everyone_syncs().await;
        let seat = world.büro.seat();
        let anna = Subject::Device(device_id(&world.anna));
        let ended = world.büro.core().end(&seat, anna, EndMode::Hard).await;
        assert!(matches!(ended, Err(Error::UpgradeRequired)), "{ended:?}");

        // Nothing of it goes before a person said so, and said enough.
        for (dir, undo_since) in [("a", None), ("b", Some(since + 1))] {
            let refused =
                recover_before(&world, &world.kit, "Sabine Brandt", dir, undo_since).await;
            match refused.map(drop) {
                Err(Error::RosterStopped { since: told }) => assert_eq!(told, since),
                other => panic!("{other:?}"),
            }
        }
        // From the captured computer's admission on.
        let since = since - 1;
        let new = recover_before(&world, &world.kit, "Sabine Brandt", "büro-neu", Some(since));
        let new = new.await.unwrap();
        let undo = Undo {
            kit: world.kit.clone().into(),
            since,
            captured: vec![],
        };
        new.core().undo(undo).await.unwrap();
        new.sync().await;
        world.everyone_syncs().await;

        // Everyone goes on, the offices change the roster again, and words arrive.
        let phone = admit(&world, &new, "Karl Kern", "neu").await;
        join(&new, &job, "Karl Kern");
        new.sync().await;
        world.everyone_syncs().await;
        world.anna.text(&job, "Wieder offen");
        world.anna.sync().await;
        for device in [&phone, &new, &world.büro, &world.kolonne_3] {
            device.sync().await;
            assert_eq!(texts(device, &job), ["Wieder offen"]);
        }
        let people = |device: &Device| device.core().people().unwrap().0.len();
        assert_eq!(people(&world.anna), people(&new));
    }
}

/// One op renews a seat and ends others: each end is told, and the renewal is no end.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_hides_no_end_behind_a_renewed_seat() {
    let world = World::new().await;
    let (anna, kolonne_3) = (&world.anna, &world.kolonne_3);
    let ring = |name: &str| {
        let (people, _) = world.büro.core().people().unwrap();
        people.iter().find(|person| person.name == name).unwrap().id
    };
    let end = |seat| {
        Change::End(End {
            subject: Subject::Seat(seat),
            mode: EndMode::Soft,
            cuts: vec![],
            more: None,
        })
    };
    let seat = |number, person, device| {
        Change::Seat(SeatCert {
            key: bare::public(&bare::key(number)),
            kind: SeatKind::Person,
            suite: SUITE_1,
            device: device_id(device),
            person: Some(person),
            role: Role::Crew,
            scope: Scope::All,
            not_after_ms: None,
            recipient: None,
        })
    };
    let jonas = kolonne_3.seat_of("Jonas Huber");
    let of_anna = ring("Anna Weber");
    // Anna again on her phone, and Jonas out; then Anna elsewhere, which renews nothing.
    let renews = vec![end(anna.seat()), seat(1 << 50, of_anna, anna), end(jonas)];
    change_the_roster(&world, renews).await;
    let first = SeatId::of_key(&bare::public(&bare::key(1 << 50)));
    let moves = vec![end(first), seat(1 << 51, of_anna, kolonne_3)];
    change_the_roster(&world, moves).await;
    world.büro.sync().await;
    let history = world.büro.core().roster_history().unwrap();
    let told = |event: &RosterEvent| -> Vec<(&str, String)> {
        let what = event.what.iter();
        what.map(|what| (what.code, what.subject.clone().unwrap()))
            .collect()
    };
    let [.., renewed, moved] = history.as_slice() else {
        panic!("{history:?}")
    };
    let anna = "Anna Weber".to_owned();
    let first = [
        ("renewed", anna.clone()),
        ("ended", "Jonas Huber".to_owned()),
    ];
    assert_eq!(told(renewed), first);
    let elsewhere = [("ended", anna.clone()), ("person", anna)];
    assert_eq!(told(moved), elsewhere);
}

fn of_the_company(device: &Device, job: &JobId) -> String {
    let core = device.core();
    let people = core.people().unwrap();
    let policies = (core.erase_days().unwrap(), core.auto_lock_min().unwrap());
    let devices = core.devices().unwrap();
    format!("{people:?} {policies:?} {devices:?} {}", device.thread(job))
}

/// Every wrapped ring secret in the roster ops from a place on.
fn wraps_since(device: &Device, place: u32) -> Vec<Vec<u8>> {
    let db = device.database();
    let sql = "SELECT p.payload FROM payloads p JOIN ops o ON o.id = p.op WHERE o.class = 3
         AND o.seq >= ?1";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([place], |row| row.get::<_, Vec<u8>>(0));
    let bodies = rows
        .unwrap()
        .map(|row| kolonne_model::roster::read_body(Some(&row.unwrap())).unwrap());
    let mut files = Vec::new();
    for change in bodies.flat_map(|body| body.changes) {
        match change {
            Change::Ring(ring) => {
                files.extend(ring.wraps.iter().map(|wrap| wrap.file.to_vec()));
                files.extend(ring.previous_sealed.map(Into::into));
            }
            Change::Wraps(more) => files.extend(more.wraps.iter().map(|wrap| wrap.file.to_vec())),
            Change::RootKey(root) => files.push(root.previous_sealed.to_vec()),
            _ => {}
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_kit_is_replaced_and_opens_nothing_that_comes_after() {
    let mut world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.büro.text(&job, "Vorher");
    world.everyone_syncs().await;
    let office = &world.büro;
    let new = Kolonne::new_kit().unwrap();
    let seat = office.seat();
    let by_anna = world.anna.core();
    let refused = by_anna
        .replace_kit(&world.anna.seat(), &world.kit, &new)
        .await;
    assert_eq!(refused.unwrap_err().code(), "locked.right");
    let place = u32::try_from(office.core().roster_history().unwrap().len()).unwrap() + 1;
    let core = office.core();
    core.replace_kit(&seat, &world.kit, &new).await.unwrap();
    office.text(&job, "Nachher");
    world.everyone_syncs().await;

    // The thief gets in nowhere, and opens nothing new with what he has and all of the roster.
    let thief = recover(&world, &world.kit, "Niemand", "thief").await;
    assert_eq!(thief.err().unwrap().code(), "not_found.company");
    let old = RootSeed::from_kit_text(&world.kit).unwrap();
    let kit = [old.encryption_identity().unwrap()];
    let files = wraps_since(&world.büro, place);
    assert!(
        files.len() > 8,
        "office, people and crews have new generations"
    );
    assert!(
        files
            .iter()
            .all(|file| crypt::open(file, &kit, 1 << 16).is_err())
    );
    let theirs = Kolonne::new_kit().unwrap();
    let stolen = world.büro.core().replace_kit(&seat, &world.kit, &theirs);
    assert_eq!(stolen.await.unwrap_err().code(), "invalid.kit.replaced");

    // The new kit opens everything, what was before it too.
    world.kit = new.to_string();
    let recovered = recover(&world, &world.kit, "Sabine Brandt", "büro-neu")
        .await
        .unwrap();
    recovered.sync().await;
    assert_eq!(texts(&recovered, &job), ["Vorher", "Nachher"]);
    recovered.text(&job, "Mit dem neuen Bogen");
    recovered.sync().await;
    world.everyone_syncs().await;
    assert_eq!(texts(&world.anna, &job).len(), 3);
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A phone of a new person with a crew of their own, admitted by an office.
async fn admit(world: &World, office: &Device, name: &str, dir: &str) -> Device {
    let invite = phone(
        &format!("Handy {name}"),
        &format!("Kolonne {name}"),
        vec![person(name, Role::Crew)],
    );
    enrol(office, world.path(dir), invite, None).await
}

fn join(office: &Device, job: &JobId, name: &str) {
    let (seat, ring) = (office.seat(), office.ring(name));
    office
        .core()
        .change_members(&seat, job, &[ring], &[])
        .unwrap();
}

fn names(device: &Device) -> Vec<String> {
    let (people, _) = device.core().people().unwrap();
    people.into_iter().map(|person| person.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_office_whose_pin_is_out_says_that_a_merge_waits_for_it() {
    let mut world = World::new().await;
    let second = second_office(&world, "Paul Kern", Role::Office).await;
    second.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-copy"));
    world.start_hub();
    admit(&world, &world.büro, "Timo", "timo").await;
    world.stop_hub().await;
    copy_folder(&world.path("hub-copy"), &world.path("hub"));
    world.start_hub();
    admit(&world, &second, "Lea", "lea").await;

    let (büro, seat) = (world.büro.core(), world.büro.seat());
    büro.set_pin(&seat, None, Some("2749")).unwrap();
    büro.lock_all();
    world.büro.sync().await;
    let alarms = büro.alarms().unwrap();
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!(alarms[0].kind, AlarmKind::MergeNeedsPin);
    assert_eq!(alarms[0].person.as_deref(), Some("Sabine Brandt"));
    assert_eq!(büro.status().unwrap().alarms, alarms);
    büro.unlock(&seat, "2749").unwrap();
    assert_eq!(büro.alarms().unwrap(), []);
    world.büro.sync().await;
    assert!(names(&world.büro).contains(&"Lea".to_owned()));
    assert!(names(&world.büro).contains(&"Timo".to_owned()));
    assert_eq!(büro.alarms().unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_put_back_after_which_two_offices_appended_ends_in_one_roster() {
    let mut world = World::new().await;
    let second = second_office(&world, "Paul Kern", Role::Office).await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    second.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-copy"));
    world.start_hub();

    // The office admits Timo and shuts the crew's phone out; then the hub's disk breaks and its copy
    // is put in place.
    let timo = admit(&world, &world.büro, "Timo", "timo").await;
    join(&world.büro, &job, "Timo");
    let crew_phone = Subject::Device(device_id(&world.kolonne_3));
    let seat = world.büro.seat();
    let core = world.büro.core();
    core.end(&seat, crew_phone, EndMode::Hard).await.unwrap();
    world.büro.sync().await;
    timo.sync().await;
    world.anna.sync().await;
    timo.text(&job, "Ich bin Timo");
    timo.sync().await;
    world.büro.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub-copy"), &world.path("hub"));
    world.start_hub();

    // The second office knows nothing of it and admits Lea.
    let lea = admit(&world, &second, "Lea", "lea").await;
    join(&second, &job, "Lea");
    second.sync().await;
    lea.sync().await;
    lea.text(&job, "Ich bin Lea");
    lea.sync().await;

    // Then those come back who know more, the foreman first: she can't merge, the office does.
    world.anna.text(&job, "Wo ist Timo?");
    world.anna.sync().await;
    world.büro.sync().await;
    for _ in 0..3 {
        for device in [&world.anna, &second, &timo, &lea, &world.büro] {
            device.sync().await;
        }
    }
    let history = world.büro.core().roster_history().unwrap();
    let merged = history
        .iter()
        .filter(|event| event.what.iter().any(|what| what.code == "merged"));
    let merged: Vec<_> = merged.collect();
    assert_eq!(merged.len(), 1);
    // What it brought along is told with it: who, and what.
    let told = |code: &str, subject: &str| {
        merged[0].carried.iter().any(|event: &CarriedEvent| {
            let mut what = event.what.iter();
            event.by.as_ref().unwrap().starts_with("Sabine Brandt (")
                && what.any(|what| what.code == code && what.subject.as_deref() == Some(subject))
        })
    };
    assert!(told("person", "Timo"), "{:?}", merged[0].carried);
    assert!(told("ended", "Handy Kolonne 3"), "{:?}", merged[0].carried);
    let others = history.iter().filter(|event| !event.carried.is_empty());
    assert_eq!(others.count(), 1, "{history:?}");
    let thread = world.büro.thread(&job);
    for device in [&world.anna, &second, &timo, &lea, &world.büro] {
        assert_eq!(device.core().roster_history().unwrap().len(), history.len());
        assert_eq!(device.core().alarms().unwrap(), []);
        assert_eq!(device.thread(&job), thread);
        let said = texts(device, &job);
        for text in ["Ich bin Timo", "Ich bin Lea", "Wo ist Timo?"] {
            assert!(said.contains(&text.to_owned()), "{said:?}");
        }
        assert!(
            names(device).contains(&"Timo".to_owned()) && names(device).contains(&"Lea".to_owned())
        );
    }
    assert!(
        world.kolonne_3.try_sync().await.is_err(),
        "the removal holds too"
    );
    let text = lea.text(&job, "Alle da");
    lea.sync().await;
    world.büro.sync().await;
    lea.sync().await;
    assert_eq!(lea.state(&job, &text), State::Office);
}

/// The kit spoke on two branches in one term: neither word takes the other back, until it speaks again.
#[tokio::test(flavor = "multi_thread")]
async fn two_words_of_the_kit_stand_beside_each_other_until_it_speaks_again() {
    let mut world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-copy"));
    world.start_hub();
    let ada = recover(&world, &world.kit, "Ada Lang", "ada")
        .await
        .unwrap();
    world.everyone_syncs().await;
    assert!(names(&world.anna).contains(&"Ada Lang".to_owned()));
    world.stop_hub().await;
    copy_folder(&world.path("hub-copy"), &world.path("hub"));
    world.start_hub();
    let bodo = recover(&world, &world.kit, "Bodo Kurz", "bodo")
        .await
        .unwrap();

    // Who knew the first stands on what both share; writing goes on.
    for _ in 0..2 {
        world.everyone_syncs().await;
        // The hub's roster doesn't have her; the kit that made her can say so again.
        assert_eq!(ada.try_sync().await.unwrap_err().code(), "locked.kit");
        bodo.sync().await;
    }
    for device in [&world.anna, &world.büro] {
        let shown = names(device);
        assert!(!shown.contains(&"Ada Lang".to_owned()), "{shown:?}");
        assert!(!shown.contains(&"Bodo Kurz".to_owned()), "{shown:?}");
    }
    world.anna.text(&job, "Geht noch");
    world.anna.sync().await;
    world.büro.sync().await;
    assert_eq!(texts(&world.büro, &job), ["Geht noch"]);

    // With its next word all are on one again.
    let cleo = recover(&world, &world.kit, "Cleo Breit", "cleo")
        .await
        .unwrap();
    for _ in 0..3 {
        world.everyone_syncs().await;
        bodo.sync().await;
        cleo.sync().await;
    }
    let length = cleo.core().roster_history().unwrap().len();
    for device in [&world.anna, &world.büro, &world.kolonne_3, &bodo] {
        assert_eq!(device.core().roster_history().unwrap().len(), length);
        // Nothing is left to be alarmed by: whoever wrote under another roster is back.
        assert_eq!(device.core().alarms().unwrap(), []);
        let shown = names(device);
        assert!(shown.contains(&"Bodo Kurz".to_owned()), "{shown:?}");
        assert!(shown.contains(&"Cleo Breit".to_owned()), "{shown:?}");
        assert!(!shown.contains(&"Ada Lang".to_owned()), "{shown:?}");
        assert_eq!(texts(device, &job), ["Geht noch"]);
    }
    ada.core().rejoin(&world.kit, None).await.unwrap();
    ada.sync().await;
    world.everyone_syncs().await;
    assert!(names(&world.anna).contains(&"Ada Lang".to_owned()));
    assert_eq!(texts(&ada, &job), ["Geht noch"]);
}

/// A stolen kit was replaced; then the hub's disk broke, and its copy is from before. Another office
/// goes on with it first.
#[tokio::test(flavor = "multi_thread")]
async fn a_kit_that_was_replaced_before_the_hub_was_put_back_is_replaced_there_again() {
    let mut world = World::new().await;
    let second = second_office(&world, "Uwe Holz", Role::Office).await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    second.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-copy"));
    world.start_hub();
    let crew = vec![person("Timo Fuchs", Role::Crew)];
    let timo = world
        .enrol("timo", phone("Handy Kolonne 9", "Kolonne 9", crew))
        .await;
    world.büro.sync().await;
    let (core, seat) = (world.büro.core(), world.büro.seat());
    core.change_members(&seat, &job, &[world.ring("Kolonne 9")], &[])
        .unwrap();
    world.büro.sync().await;
    timo.sync().await;
    let said = timo.text(&job, "Ich bin Timo");
    timo.sync().await;
    let newer = Kolonne::new_kit().unwrap();
    core.replace_kit(&seat, &world.kit, &newer).await.unwrap();
    world.büro.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub-copy"), &world.path("hub"));
    world.start_hub();
    let (core, seat) = (world.büro.core(), world.büro.seat());
    let gone = Subject::Device(device_id(&world.kolonne_3));
    let by_uwe = second.core();
    by_uwe
        .end(&second.seat(), gone, EndMode::Hard)
        .await
        .unwrap();

    // Nothing goes over by itself, and nobody is told that he has no right.
    for _ in 0..2 {
        for device in [&world.büro, &second, &world.anna] {
            let _ = device.try_sync().await;
            device.sync().await;
        }
    }
    let before = second.core().roster_history().unwrap().len();
    let join = |kit: String, previous: Option<String>| async move {
        let joined = core.rejoin(&kit, previous.as_deref()).await;
        joined.map_err(|error| error.code())
    };
    let (old, new) = (world.kit.clone(), newer.to_string());
    let alone = join(new.clone(), None).await;
    assert_eq!(alone.unwrap_err(), "invalid.kit.previous_wanted");
    let alone = join(old.clone(), None).await;
    assert_eq!(alone.unwrap_err(), "invalid.kit.replaced");
    second.sync().await;
    let after = second.core().roster_history().unwrap().len();
    assert_eq!(before, after, "who is refused leaves nothing behind");
    join(new, Some(old)).await.unwrap();
    for _ in 0..3 {
        for device in [&world.büro, &second, &world.anna, &timo] {
            device.sync().await;
        }
    }
    let kept = core.kept_back().unwrap();
    for waiting in kept {
        core.admit(&seat, &waiting.thread, &waiting.seat).unwrap();
    }
    for _ in 0..2 {
        for device in [&world.büro, &second, &world.anna, &timo] {
            device.sync().await;
        }
    }
    let length = core.roster_history().unwrap().len();
    for device in [&world.büro, &second, &world.anna, &timo] {
        assert_eq!(device.core().roster_history().unwrap().len(), length);
        assert_eq!(texts(device, &job), ["Ich bin Timo"]);
        assert!(device.core().check_kit(&newer).is_ok());
    }
    assert_eq!(timo.state(&job, &said), State::Office);
    assert!(world.kolonne_3.try_sync().await.is_err(), "the end holds");
}

/// More threads than the cuts of one op have room for: they go ahead, in undoing too.
#[tokio::test(flavor = "multi_thread")]
async fn ends_and_undoing_cut_in_any_number_of_threads() {
    let world = World::new().await;
    let captured = second_office(&world, "Karl Kern", Role::Admin).await;
    let since = u32::try_from(world.büro.core().roster_history().unwrap().len()).unwrap() + 1;
    let open = |device: &Device, number: usize| {
        let new = NewJob {
            title: format!("Auftrag {number}"),
            ..NewJob::default()
        };
        device.core().open_job(&device.seat(), &new).unwrap()
    };
    let jobs: Vec<JobId> = (0..230).map(|number| open(&captured, number)).collect();
    captured.sync().await;
    world.büro.sync().await;
    // It shuts a colleague's computer out, with as many threads to cut in.
    for job in &jobs {
        world.büro.text(job, "Vom Büro");
    }
    world.büro.sync().await;
    captured.sync().await;
    let honest = Subject::Device(device_id(&world.büro));
    let (core, seat) = (captured.core(), captured.seat());
    core.end(&seat, honest, EndMode::Hard).await.unwrap();
    captured.sync().await;
    captured.offline();
    let late = captured.text(&jobs[7], "Später");

    let new = recover(&world, &world.kit, "Sabine Brandt", "büro-neu")
        .await
        .unwrap();
    let undo = Undo {
        kit: world.kit.clone().into(),
        since,
        captured: vec![device_id(&captured)],
    };
    new.core().undo(undo).await.unwrap();
    new.sync().await;
    world.everyone_syncs().await;
    captured.online();
    drop(captured.try_sync().await);
    new.sync().await;
    for device in [&new, &world.büro] {
        for job in &jobs {
            assert_eq!(
                texts(device, job),
                ["Vom Büro"],
                "what it wrote before counts"
            );
        }
        assert!(!device.entries(&jobs[7]).iter().any(|e| e.id == late));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_ended_gets_nobody_in_by_a_hub_that_was_put_back() {
    let mut world = World::new().await;
    let second = second_office(&world, "Paul Kern", Role::Office).await;
    world.everyone_syncs().await;
    second.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-copy"));
    world.start_hub();
    let seat = world.büro.seat();
    let paul = Subject::Device(device_id(&second));
    let core = world.büro.core();
    core.end(&seat, paul, EndMode::Hard).await.unwrap();
    world.büro.sync().await;
    world.anna.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub-copy"), &world.path("hub"));
    world.start_hub();

    // The hub forgot it. Who sits at the computer that was shut out lets a ghost in.
    admit(&world, &second, "Niemand", "ghost").await;
    second.sync().await;
    for _ in 0..3 {
        world.büro.sync().await;
        world.anna.sync().await;
        for device in [&world.büro, &world.anna] {
            let known = names(device);
            assert!(!known.contains(&"Niemand".to_owned()), "{known:?}");
        }
    }
    let alarms = world.büro.core().status().unwrap().alarms;
    let kinds: Vec<_> = alarms.iter().map(|alarm| alarm.kind).collect();
    assert_eq!(kinds, [AlarmKind::TwoRosters]);

    // An office that looked at both may merge them; the removal holds.
    world.büro.core().merge_roster().await.unwrap();
    world.büro.sync().await;
    world.anna.sync().await;
    for device in [&world.büro, &world.anna] {
        assert_eq!(device.core().status().unwrap().alarms, []);
    }
    assert!(second.try_sync().await.is_err(), "the removal holds");
}

/// A phone of one more person in the crew.
fn with_crew_3(world: &World, name: &str, person: Option<RingId>) -> NewInvite {
    NewInvite {
        kind: DeviceKind::Phone,
        device_name: format!("Handy {name}"),
        crew: Some(world.ring("Kolonne 3")),
        crew_name: None,
        seats: vec![SeatGrant {
            person,
            name: name.to_owned(),
            role: Role::Crew,
        }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_under_keys_that_lost_to_a_concurrent_rotation_stays_readable() {
    let mut world = World::new().await;
    let second = second_office(&world, "Paul Kern", Role::Office).await;
    let timo = with_crew_3(&world, "Timo", None);
    let timo = enrol(&world.büro, world.path("timo"), timo, None).await;
    let lea = with_crew_3(&world, "Lea", None);
    let lea = enrol(&world.büro, world.path("lea"), lea, None).await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    second.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-copy"));
    world.start_hub();

    // The crew's keys are renewed; under them Anna writes without network. Then the hub's disk breaks,
    // and by its copy the second office renews them too.
    let (core, seat) = (world.büro.core(), world.büro.seat());
    let lost = Subject::Device(device_id(&timo));
    core.end(&seat, lost, EndMode::Hard).await.unwrap();
    world.everyone_syncs().await;
    world.anna.offline();
    world.anna.text(&job, "Unter dem einen Schlüssel");
    world.stop_hub().await;
    copy_folder(&world.path("hub-copy"), &world.path("hub"));
    world.start_hub();
    let lost = Subject::Device(device_id(&lea));
    let (core, seat) = (second.core(), second.seat());
    core.end(&seat, lost, EndMode::Hard).await.unwrap();
    for _ in 0..2 {
        world.büro.sync().await;
        second.sync().await;
        world.kolonne_3.sync().await;
    }

    // Nobody but the crew's phone is there when her words arrive.
    world.anna.online();
    world.anna.sync().await;
    world.anna.offline();
    world.kolonne_3.sync().await;
    assert_eq!(texts(&world.kolonne_3, &job), ["Unter dem einen Schlüssel"]);
    assert_eq!(world.kolonne_3.core().key_complaints().unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_under_a_persons_keys_that_lost_is_opened_at_their_seat() {
    let mut world = World::new().await;
    let second = second_office(&world, "Paul Kern", Role::Office).await;
    let (people, _) = second.core().people().unwrap();
    let mehmet = people
        .iter()
        .find(|p| p.name == "Mehmet Yılmaz")
        .unwrap()
        .id;
    let mut phones = Vec::new();
    for dir in ["zwei", "drei"] {
        let invite = with_crew_3(&world, dir, Some(mehmet));
        phones.push(enrol(&world.büro, world.path(dir), invite, None).await);
    }
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    second.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-copy"));
    world.start_hub();

    // He loses a phone; Anna seals something to his new keys. Then the hub's disk breaks, and by its
    // copy the second office shuts out another phone of his.
    let (core, seat) = (world.büro.core(), world.büro.seat());
    let lost = Subject::Device(device_id(&phones[0]));
    core.end(&seat, lost, EndMode::Hard).await.unwrap();
    world.everyone_syncs().await;
    world.anna.offline();
    let (anna, to) = (
        world.anna.seat(),
        SealFor {
            people: vec![mehmet],
            office: false,
        },
    );
    let (file, about) = (
        ("lohn.pdf", b"%PDF-1.4 2.345 EUR".as_slice()),
        About::default(),
    );
    let sealed = world
        .anna
        .core()
        .seal(&anna, &job, &to, file, &about)
        .unwrap();
    world.stop_hub().await;
    copy_folder(&world.path("hub-copy"), &world.path("hub"));
    world.start_hub();
    let lost = Subject::Device(device_id(&phones[1]));
    let (core, seat) = (second.core(), second.seat());
    core.end(&seat, lost, EndMode::Hard).await.unwrap();
    for _ in 0..2 {
        world.büro.sync().await;
        second.sync().await;
        world.kolonne_3.sync().await;
    }
    world.anna.online();
    world.anna.sync().await;
    world.kolonne_3.sync().await;
    let his = world.kolonne_3.seat_of("Mehmet Yılmaz");
    let opened = world.kolonne_3.core().open_sealed(&his, &sealed).unwrap();
    assert_eq!(opened.bytes.as_slice(), file.1);
    let others = world.kolonne_3.seat_of("Jonas Huber");
    let refused = world.kolonne_3.core().open_sealed(&others, &sealed);
    assert_eq!(refused.unwrap_err().code(), "locked.sealed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_for_who_was_dismissed_meanwhile_goes_when_branches_merge() {
    let mut world = World::new().await;
    let second = second_office(&world, "Paul Kern", Role::Office).await;
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.everyone_syncs().await;
    second.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-copy"));
    world.start_hub();
    let (people, _) = second.core().people().unwrap();
    let mehmet = people.iter().find(|p| p.name == "Mehmet Yılmaz").unwrap();
    let (core, seat) = (world.büro.core(), world.büro.seat());
    let dismissed = Subject::Person(mehmet.id);
    core.end(&seat, dismissed, EndMode::Hard).await.unwrap();
    world.everyone_syncs().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub-copy"), &world.path("hub"));
    world.start_hub();

    // The second office heard of nothing, and gives him a phone of his own.
    let again = with_crew_3(&world, "Neu", Some(mehmet.id));
    let again = enrol(&second, world.path("neu"), again, None).await;
    let id = device_id(&again);
    for _ in 0..2 {
        world.büro.sync().await;
        second.sync().await;
        world.kolonne_3.sync().await;
    }
    world.kolonne_3.text(&job, "Das geht ihn nichts mehr an");
    world.everyone_syncs().await;
    for _ in 0..2 {
        drop(again.try_sync().await);
    }
    assert!(matches!(again.core().me(), Err(Error::AuthExpired)));
    for office in [&world.büro, &second] {
        office.sync().await;
        let devices = office.core().devices().unwrap();
        let record = devices.iter().find(|device| device.id == id).unwrap();
        assert!(record.ended.is_some(), "the removal wins");
    }
    assert_eq!(world.kolonne_3.core().me().unwrap().seats.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_ended_empties_nobody_by_a_hub_that_was_put_back() {
    let mut world = World::new().await;
    let second = second_office(&world, "Paul Kern", Role::Office).await;
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    second.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-copy"));
    world.start_hub();
    let (core, seat) = (world.büro.core(), world.büro.seat());
    let paul = Subject::Device(device_id(&second));
    core.end(&seat, paul, EndMode::Hard).await.unwrap();
    world.everyone_syncs().await;
    world.anna.text(&job, "Noch nicht abgegeben");
    world.stop_hub().await;
    copy_folder(&world.path("hub-copy"), &world.path("hub"));
    world.start_hub();

    // The hub forgot it. Who was shut out now shuts out whom he likes.
    let phone = Subject::Device(device_id(&world.anna));
    let (core, seat) = (second.core(), second.seat());
    core.end(&seat, phone, EndMode::Hard).await.unwrap();
    for _ in 0..3 {
        drop(world.anna.try_sync().await);
    }
    assert!(world.anna.core().me().is_ok());
    let mut anna = world.anna;
    anna.switch_off();
    anna.switch_on();
    assert_eq!(texts(&anna, &job), ["Noch nicht abgegeben"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_shows_two_rosters_raises_the_alarm_on_both_sides() {
    let mut world = World::new().await;
    let second = second_office(&world, "Paul Kern", Role::Office).await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    // A word whose clock was years ahead hides none that comes after it.
    let years = Duration::from_hours(80 * 365 * 24);
    world.büro.later(years);
    world.büro.text(&job, "Die Uhr geht falsch");
    world.büro.earlier(years);
    world.everyone_syncs().await;
    second.sync().await;
    // One hub becomes two, with one key and one life.
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-2"));
    world.start_hub();
    let other = RunningHub::start(world.path("hub-2"));
    let mut life: Option<HubEpoch> = None;
    world.wire.lie(move |asked, answer| {
        if asked.what == "POST /v1/roster"
            && let Ok(mut told) = cbor::decode::<RosterAnswer>(answer)
        {
            let first = *life.get_or_insert(told.epoch.unwrap());
            told.epoch = Some(first);
            *answer = cbor::encode(&told);
        }
    });
    let timo = admit(&world, &world.büro, "Timo", "timo").await;
    world.büro.sync().await;
    world.büro.text(&job, "Timo ist da");
    world.büro.sync().await;
    timo.sync().await;
    world.wire.lead_to(Some(other.address));
    let lea = admit(&world, &second, "Lea", "lea").await;
    join(&second, &job, "Lea");
    second.sync().await;
    lea.sync().await;

    // Whoever saw both is alarmed, takes nobody in from either, and goes on writing and reading.
    world.büro.sync().await;
    let alarms = world.büro.core().status().unwrap().alarms;
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert_eq!(alarms[0].kind, AlarmKind::TwoRosters);
    let known = names(&world.büro);
    assert!(
        !known.contains(&"Timo".to_owned()) && !known.contains(&"Lea".to_owned()),
        "{known:?}"
    );
    world.büro.text(&job, "Hier stimmt etwas nicht");
    world.büro.sync().await;
    assert!(texts(&world.büro, &job).contains(&"Hier stimmt etwas nicht".to_owned()));
    // Who saw one only is alarmed by a colleague who knows the other.
    second.sync().await;
    let alarms = second.core().status().unwrap().alarms;
    assert!(
        alarms
            .iter()
            .any(|alarm| alarm.kind == AlarmKind::ForeignRoster
                && alarm.person.as_deref() == Some("Sabine Brandt")),
        "{alarms:?}"
    );
    // Nobody goes back, however often it is asked.
    world.büro.sync().await;
    assert_eq!(world.büro.core().status().unwrap().alarms.len(), 1);

    // The office decides; then all is one and nothing is lost.
    world.büro.core().merge_roster().await.unwrap();
    world.wire.be_honest();
    for _ in 0..6 {
        for device in [&world.büro, &second, &lea, &timo, &world.anna] {
            device.sync().await;
        }
    }
    for device in [&world.büro, &second, &lea, &timo, &world.anna] {
        assert_eq!(device.core().status().unwrap().alarms, []);
        let known = names(device);
        let all = known.contains(&"Timo".to_owned()) && known.contains(&"Lea".to_owned());
        let me = device.core().me().unwrap().device_name;
        assert!(all, "{me}: {known:?}");
    }
    assert_eq!(second.thread(&job), world.büro.thread(&job));
    assert!(texts(&lea, &job).contains(&"Timo ist da".to_owned()));
}

/// The office's own change under the alarm is judged beside the other branch, as all else is.
#[tokio::test(flavor = "multi_thread")]
async fn under_the_alarm_an_own_change_brings_nobody_back() {
    let mut world = World::new().await;
    let second = second_office(&world, "Paul Kern", Role::Office).await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    second.sync().await;
    world.stop_hub().await;
    copy_folder(&world.path("hub"), &world.path("hub-2"));
    world.start_hub();
    let first = world.hub.as_ref().unwrap().address;
    let other = RunningHub::start(world.path("hub-2"));
    let mut life: Option<HubEpoch> = None;
    world.wire.lie(move |asked, answer| {
        if asked.what == "POST /v1/roster"
            && let Ok(mut told) = cbor::decode::<RosterAnswer>(answer)
        {
            told.epoch = Some(*life.get_or_insert(told.epoch.unwrap()));
            *answer = cbor::encode(&told);
        }
    });
    let office = |role| {
        let (core, seat) = (world.büro.core().clone(), world.büro.seat());
        let (people, _) = core.people().unwrap();
        let mut named = people.iter().filter(|person| person.name == "Anna Weber");
        let anna = named.next().unwrap().id;
        async move { core.set_role(&seat, &anna, role).await }
    };
    office(Role::Office).await.unwrap();
    world.büro.sync().await;
    // The other hub is told that the crew's phone was stolen.
    world.wire.lead_to(Some(other.address));
    let crew_phone = Subject::Device(device_id(&world.kolonne_3));
    let (core, seat) = (second.core(), second.seat());
    core.end(&seat, crew_phone, EndMode::Hard).await.unwrap();
    world.büro.sync().await;
    assert_eq!(world.büro.core().status().unwrap().alarms.len(), 1);
    // The first isn't, and hands out what it writes.
    world.wire.lead_to(Some(first));
    world.kolonne_3.text(&job, "Vom gestohlenen Handy");
    world.kolonne_3.sync().await;
    world.büro.sync().await;
    let late = "Vom gestohlenen Handy".to_owned();
    assert!(!texts(&world.büro, &job).contains(&late));
    office(Role::Foreman).await.unwrap();
    assert!(!texts(&world.büro, &job).contains(&late));
    other.stop().await;
}
