//! Recovery drills: what is lost comes back from whoever still has it, nothing is doubled, and
//! every screen tells the truth on the way.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;

use kolonne_core::crypt::RootSeed;
use kolonne_core::records::{HubState, Outbox, Part, State};
use kolonne_core::{Config, Error, Kolonne, NewInvite, NewOffice, SeatGrant};
use kolonne_model::ids::{OpId, PublicKey};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{Change, DeviceKind, EndMode, RingKind, Role, Subject};
use kolonne_tests::bare;
use kolonne_tests::scribe::{self, Scribe};
use kolonne_tests::world::{RunningHub, person, phone};
use kolonne_tests::{Device, JobId, World, files};

const PHOTO_PARTS: [Part; 3] = [Part::Thumb, Part::Picture, Part::Original];

fn texts(device: &Device, job: &JobId) -> Vec<String> {
    let entries = device.entries(job);
    entries.into_iter().filter_map(|entry| entry.text).collect()
}

fn state(device: &Device) -> HubState {
    device.core().status().unwrap().hub
}

/// Another hub stands where one stood: the first request may find its connection dead.
async fn sync_anew(device: &Device) {
    if device.try_sync().await.is_err() {
        device.sync().await;
    }
}

fn reads(device: &Device, photo: &OpId, parts: &[Part]) {
    for part in parts {
        let media = device.media(photo, *part);
        let media = media.unwrap_or_else(|error| panic!("{part:?} of a photo: {error}"));
        assert!(!media.bytes.is_empty());
    }
}

/// A company with a week behind it: words of all, a picture of each phone.
async fn a_week() -> (World, JobId, [OpId; 2]) {
    let world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    world.büro.text(&job, "Morgen kommt der Kran");
    world.everyone_syncs().await;
    world.anna.text(&job, "Ist gut");
    let photos = [
        world.anna.photo(&job, &files::photo(1200, 900, 1)),
        world.kolonne_3.photo(&job, &files::photo(1000, 800, 2)),
    ];
    world.everyone_syncs().await;
    (world, job, photos)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_hub_is_filled_again_by_the_phones_and_certified_by_the_office() {
    let (mut world, job, photos) = a_week().await;
    let sent = world.anna.text(&job, "Das hat nur der alte Hub");
    world.anna.sync().await;
    assert_eq!(world.anna.state(&job, &sent), State::Sent);
    // Work without a network, while the hub's machine burns with its key.
    world.anna.offline();
    world.kolonne_3.offline();
    let unsent = world.anna.text(&job, "Vom Dach");
    let unsent_photo = world.kolonne_3.photo(&job, &files::photo(900, 900, 3));
    world.stop_hub().await;
    std::fs::remove_dir_all(world.path("hub")).unwrap();
    world.start_hub_on("hub-2");
    let new_key = world.hub.as_ref().unwrap().key;

    // Phones give it everything; what they promised falls back to what is true.
    world.anna.online();
    world.kolonne_3.online();
    for _ in 0..2 {
        for device in [&world.anna, &world.kolonne_3] {
            device.sync().await;
            assert_eq!(state(device), HubState::Uncertified);
            assert_eq!(
                device.core().status().unwrap().new_hub.unwrap().key,
                new_key
            );
        }
    }
    for entry in [sent, unsent] {
        assert_eq!(world.anna.state(&job, &entry), State::Saved);
    }
    assert_eq!(world.anna.state(&job, &photos[0]), State::Office);
    assert_eq!(world.kolonne_3.state(&job, &unsent_photo), State::Saved);
    assert!(world.anna.core().status().unwrap().outbox.ops > 0);
    // The office meets it too, and its marks don't go anywhere either.
    world.büro.sync().await;
    assert_eq!(state(&world.büro), HubState::Uncertified);
    world.everyone_syncs().await;
    assert_eq!(world.anna.state(&job, &unsent), State::Saved);

    // Only an admin certifies it, and only the key that was read off it.
    let seat = world.anna.seat();
    let by_anna = world.anna.core().certify_hub(&seat, &new_key).await;
    assert_eq!(by_anna.unwrap_err().code(), "locked.right");
    let other = PublicKey([7; 32]);
    let seat = world.büro.seat();
    let wrong = world.büro.core().certify_hub(&seat, &other).await;
    assert_eq!(wrong.unwrap_err().code(), "invalid.hub_key.other_hub");
    assert_eq!(world.büro.core().new_hub_key().await.unwrap(), new_key);
    world
        .büro
        .core()
        .certify_hub(&seat, &new_key)
        .await
        .unwrap();
    let again = world.büro.core().certify_hub(&seat, &new_key).await;
    assert_eq!(again.unwrap_err().code(), "invalid.hub_key.same");

    // Phones learn it from the roster, and everything turns again.
    world.anna.sync().await;
    assert_eq!(state(&world.anna), HubState::Reachable);
    assert_eq!(world.anna.state(&job, &unsent), State::Sent);
    world.everyone_syncs().await;
    for entry in [sent, unsent, photos[0]] {
        assert_eq!(world.anna.state(&job, &entry), State::Office);
    }
    assert_eq!(world.kolonne_3.state(&job, &unsent_photo), State::Office);
    for device in world.devices() {
        assert_eq!(device.core().status().unwrap().new_hub, None);
        assert_eq!(device.core().status().unwrap().outbox, Outbox::default());
        assert_eq!(
            texts(device, &job),
            [
                "Morgen kommt der Kran",
                "Ist gut",
                "Das hat nur der alte Hub",
                "Vom Dach"
            ]
        );
        for photo in photos.iter().chain([&unsent_photo]) {
            reads(device, photo, &PHOTO_PARTS[..2]);
        }
    }
    assert_eq!(world.anna.thread(&job), world.kolonne_3.thread(&job));
    reads(&world.büro, &unsent_photo, &PHOTO_PARTS);

    // Who comes new gets it all from the new hub.
    let crew = vec![person("Timo Fuchs", Role::Crew)];
    let invite = phone("Handy Kolonne 7", "Kolonne 7", crew);
    let seven = world.enrol("kolonne-7", invite).await;
    let ring = world.ring("Kolonne 7");
    let core = world.büro.core();
    core.change_members(&seat, &job, &[ring], &[]).unwrap();
    world.büro.sync().await;
    seven.sync().await;
    assert_eq!(texts(&seven, &job), texts(&world.büro, &job));
    reads(&seven, &photos[1], &PHOTO_PARTS[..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_only_pretends_to_be_the_new_one_changes_no_state_for_good() {
    let (mut world, job, photos) = a_week().await;
    let sent = world.anna.text(&job, "Gesendet");
    world.anna.sync().await;
    let original = world.wire.clone();
    let true_hub = world.hub.as_ref().unwrap().address;
    let false_hub = RunningHub::start(world.path("false"));
    original.lead_to(Some(false_hub.address));
    let unsent = world.anna.text(&job, "An wen?");
    for _ in 0..2 {
        for device in world.devices() {
            sync_anew(device).await;
        }
    }
    // It has all it could ask for, and nobody got a tick or a green line from it.
    for entry in [sent, unsent] {
        assert_eq!(world.anna.state(&job, &entry), State::Saved);
    }
    assert_eq!(world.anna.state(&job, &photos[0]), State::Office);
    assert_eq!(
        texts(&world.büro, &job),
        ["Morgen kommt der Kran", "Ist gut"]
    );
    // Acts that need the company's own hub don't use it.
    let seat = world.büro.seat();
    let invite = phone("Handy", "Kolonne 9", Vec::new());
    let invited = world.büro.core().invite(&seat, invite).await;
    assert_eq!(invited.unwrap_err().code(), "invalid.hub_key.uncertified");

    // The true one comes back: everything is as it was, and goes on.
    original.lead_to(Some(true_hub));
    sync_anew(&world.anna).await;
    assert_eq!(state(&world.anna), HubState::Reachable);
    assert_eq!(world.anna.state(&job, &sent), State::Sent);
    assert_eq!(world.anna.state(&job, &unsent), State::Sent);
    for device in world.devices() {
        sync_anew(device).await;
    }
    world.everyone_syncs().await;
    for device in world.devices() {
        assert_eq!(
            texts(device, &job),
            ["Morgen kommt der Kran", "Ist gut", "Gesendet", "An wen?"]
        );
    }
    world.stop_hub().await;
}

fn office_with(world: &World, hub_url: Option<String>) -> NewOffice {
    NewOffice {
        kit: world.kit.clone().into(),
        hub_url,
        hub_key: world.hub.as_ref().map(|hub| hub.key),
        backup: Some(world.path("sicherung.age")),
        undo_since: None,
        person_name: "Sabine Brandt".to_owned(),
        device_name: "Büro neu".to_owned(),
    }
}

async fn recover(world: &World, folder: &str, new: NewOffice) -> Device {
    let dir = world.path(folder);
    let kolonne = Kolonne::recover(Config::new(&dir), new, |_| {}).await;
    Device::new(dir, Arc::default(), kolonne.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_breaks_off_anywhere_goes_on_and_leaves_no_ghost() {
    let (mut world, job, photos) = a_week().await;
    let before = world.büro.thread(&job);
    world.büro.switch_off();
    let devices = world.anna.core().devices().unwrap().len();
    let dir = world.path("büro-2");
    let office = || NewOffice {
        backup: None,
        ..office_with(&world, Some(world.wire.url()))
    };
    let (mut tries, mut halves) = (0, 0);
    let kolonne = loop {
        // Every answer after so many is lost on the way; the hub has done what was asked.
        let mut answers = 0;
        world.wire.lie(move |_, answer| {
            answers += 1;
            if answers > tries {
                answer.clear();
            }
        });
        match Kolonne::recover(Config::new(&dir), office(), |_| {}).await {
            Ok(kolonne) => break kolonne,
            Err(error) => assert!(tries < 60, "{error:?}"),
        }
        if dir.exists() {
            halves += 1;
            let opened = Kolonne::open(Config::new(&dir));
            assert_eq!(opened.unwrap_err().code(), "not_found.company");
        }
        tries += 1;
    };
    world.wire.be_honest();
    assert!(tries > 4 && halves > 2, "{tries} {halves}");
    let new = Device::new(dir, Arc::default(), kolonne);
    new.sync().await;
    world.anna.sync().await;
    for device in [&new, &world.anna] {
        let now = device.core().devices().unwrap();
        assert_eq!(now.len(), devices + 1, "one more, no ghost: {now:?}");
    }
    let (people, _) = new.core().people().unwrap();
    let sabine: Vec<_> = people
        .iter()
        .filter(|person| person.name == "Sabine Brandt")
        .collect();
    assert_eq!((sabine.len(), sabine[0].seats), (1, 2));
    assert_eq!(new.core().me().unwrap().seats.len(), 1);
    assert_eq!(new.thread(&job), before);
    reads(&new, &photos[0], &[Part::Original]);
    new.text(&job, "Da sind wir wieder");
    new.sync().await;
    world.anna.sync().await;
    assert_eq!(texts(&new, &job), texts(&world.anna, &job));
}

#[tokio::test(flavor = "multi_thread")]
async fn hub_and_office_are_lost_and_come_back_from_a_backup_and_the_kit() {
    let (mut world, job, photos) = a_week().await;
    let file = world.path("sicherung.age");
    let mut told = Vec::new();
    let core = world.büro.core();
    let made = core.backup(&file, &mut |p| told.push(p)).unwrap();
    assert!(
        made.ops > 10 && made.blobs == 6 && made.damaged == 0,
        "{made:?}"
    );
    assert_eq!(made.bytes, std::fs::metadata(&file).unwrap().len());
    assert!(told.len() > 10 && told.is_sorted_by_key(|p| p.done_bytes));
    let again = core.backup(&file, &mut |_| {}).unwrap_err();
    assert_eq!(again.code(), "invalid.backup.taken");
    let before = world.büro.thread(&job);

    // Everything of the company burns but this file, the kit, and Anna's phone, which was away.
    world.anna.offline();
    let unsent = world.anna.text(&job, "Vom Dach");
    world.büro.switch_off();
    world.stop_hub().await;
    world.start_hub_on("hub-2");
    let url = world.wire.url();
    let mut unseen = office_with(&world, Some(url.clone()));
    unseen.hub_key = None;
    let refused = Kolonne::recover(Config::new(world.path("x")), unseen, |_| {}).await;
    assert_eq!(refused.unwrap_err().code(), "invalid.hub_key.other_hub");
    let new = recover(&world, "büro-2", office_with(&world, Some(url))).await;
    assert_eq!(state(&new), HubState::Reachable);
    assert_eq!(new.thread(&job), before);
    for photo in &photos {
        reads(&new, photo, &PHOTO_PARTS);
    }
    new.sync().await;

    // The phone gives the new hub what it alone has, and all is as if nothing had been.
    world.anna.online();
    world.anna.sync().await;
    assert_eq!(state(&world.anna), HubState::Reachable);
    new.sync().await;
    world.anna.sync().await;
    assert_eq!(world.anna.state(&job, &unsent), State::Office);
    let said = ["Morgen kommt der Kran", "Ist gut", "Vom Dach"];
    for device in [&new, &world.anna] {
        assert_eq!(texts(device, &job), said);
    }
    assert_eq!(new.core().me().unwrap().seats[0].name, "Sabine Brandt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_opens_without_any_hub_and_fills_an_empty_one_later() {
    let (mut world, job, photos) = a_week().await;
    let file = world.path("sicherung.age");
    world.büro.core().backup(&file, &mut |_| {}).unwrap();
    let before = world.büro.thread(&job);
    world.büro.switch_off();
    world.stop_hub().await;

    let mut new = office_with(&world, None);
    new.hub_key = None;
    let new = recover(&world, "büro-2", new).await;
    assert_eq!(new.thread(&job), before);
    for photo in &photos {
        reads(&new, photo, &PHOTO_PARTS);
    }
    assert_eq!(new.try_sync().await.unwrap_err().code(), "not_found.hub");
    let said = new.text(&job, "Wieder im Büro");

    world.start_hub_on("hub-2");
    let key = world.hub.as_ref().unwrap().key;
    new.core().set_hub_address(&world.wire.url()).unwrap();
    new.sync().await;
    assert_eq!(state(&new), HubState::Uncertified);
    assert_eq!(new.state(&job, &said), State::Saved);
    new.core().certify_hub(&new.seat(), &key).await.unwrap();
    new.sync().await;
    assert_eq!(state(&new), HubState::Reachable);
    world.anna.sync().await;
    new.sync().await;
    assert_eq!(new.core().status().unwrap().outbox, Outbox::default());
    assert_eq!(
        texts(&world.anna, &job),
        ["Morgen kommt der Kran", "Ist gut", "Wieder im Büro"]
    );
    reads(&world.anna, &photos[1], &PHOTO_PARTS[..2]);
}

/// The hub was only out of reach when the kit made another computer from a backup, and had gone on since.
#[tokio::test(flavor = "multi_thread")]
async fn who_recovered_without_the_hub_joins_it_again_by_the_kit_and_keeps_every_word() {
    let (world, job, photos) = a_week().await;
    let file = world.path("sicherung.age");
    world.büro.core().backup(&file, &mut |_| {}).unwrap();
    // After the backup another crew came, and more was said.
    let crew = phone(
        "Handy Kolonne 9",
        "Kolonne 9",
        vec![person("Ida Aushilf", Role::Crew)],
    );
    let kolonne_9 = world.enrol("kolonne-9", crew).await;
    world.büro.text(&job, "Kolonne 9 hilft");
    world.everyone_syncs().await;
    kolonne_9.sync().await;

    let mut new = office_with(&world, None);
    new.hub_key = None;
    new.person_name = "Vera Neumann".to_owned();
    let new = recover(&world, "büro-2", new).await;
    let said = new.text(&job, "Aus dem Keller");
    new.photo(&job, &files::photo(800, 600, 3));
    new.core().set_hub_address(&world.wire.url()).unwrap();
    for _ in 0..2 {
        let refused = new.try_sync().await.unwrap_err();
        assert_eq!(refused.code(), "locked.kit");
    }
    assert_eq!(new.state(&job, &said), State::Saved);

    let other = RootSeed::generate().unwrap().to_kit_text();
    let refused = new.core().rejoin(&other, None).await.unwrap_err();
    assert_eq!(refused.code(), "not_found.company");
    new.core().rejoin(&world.kit, None).await.unwrap();
    new.core().rejoin(&world.kit, None).await.unwrap();
    new.sync().await;
    world.everyone_syncs().await;
    // Nobody else was taken out by it, and what was written meanwhile is the office's to let in.
    kolonne_9.sync().await;
    let kept = world.büro.core().kept_back().unwrap();
    assert!(!kept.is_empty());
    for waiting in kept {
        let seat = world.büro.seat();
        world
            .büro
            .core()
            .admit(&seat, &waiting.thread, &waiting.seat)
            .unwrap();
    }
    for _ in 0..2 {
        world.everyone_syncs().await;
        new.sync().await;
    }
    let words = [
        "Morgen kommt der Kran",
        "Ist gut",
        "Kolonne 9 hilft",
        "Aus dem Keller",
    ];
    for device in [&new, &world.büro, &world.anna] {
        let mut here = texts(device, &job);
        here.sort_unstable();
        let mut all = words;
        all.sort_unstable();
        assert_eq!(here, all);
        reads(device, &photos[0], &PHOTO_PARTS[..2]);
    }
    assert_eq!(new.state(&job, &said), State::Office);
    assert_eq!(new.core().status().unwrap().outbox, Outbox::default());
    let (people, _) = world.büro.core().people().unwrap();
    let devices = world.büro.core().devices().unwrap();
    assert!(people.iter().any(|person| person.name == "Vera Neumann"));
    assert!(devices.iter().any(|device| device.name == "Büro neu"));
    assert!(kolonne_9.try_sync().await.is_ok());
}

/// The same with a kit that was replaced since: only the new one brings the computer back.
#[tokio::test(flavor = "multi_thread")]
async fn who_recovered_with_a_kit_that_was_replaced_joins_by_the_new_one() {
    let (world, job, _) = a_week().await;
    let core = world.büro.core();
    core.backup(&world.path("sicherung.age"), &mut |_| {})
        .unwrap();
    let newer = Kolonne::new_kit().unwrap();
    core.replace_kit(&world.büro.seat(), &world.kit, &newer)
        .await
        .unwrap();
    let refused = office_with(&world, Some(world.wire.url()));
    let refused = Kolonne::recover(Config::new(world.path("x")), refused, |_| {}).await;
    assert_eq!(refused.unwrap_err().code(), "not_found.company");
    assert!(!world.path("x").exists());

    let mut new = office_with(&world, None);
    new.hub_key = None;
    let new = recover(&world, "büro-2", new).await;
    let said = new.text(&job, "Aus dem Keller");
    new.core().set_hub_address(&world.wire.url()).unwrap();
    assert_eq!(new.try_sync().await.unwrap_err().code(), "locked.kit");
    let refused = new.core().rejoin(&world.kit, None).await.unwrap_err();
    assert_eq!(refused.code(), "not_found.company");
    new.core().rejoin(&newer, None).await.unwrap();
    new.sync().await;
    world.büro.sync().await;
    for waiting in core.kept_back().unwrap() {
        core.admit(&world.büro.seat(), &waiting.thread, &waiting.seat)
            .unwrap();
    }
    world.büro.sync().await;
    new.sync().await;
    assert_eq!(new.state(&job, &said), State::Office);
    assert_eq!(new.thread(&job), world.büro.thread(&job));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_opens_for_its_kit_alone_and_only_whole() {
    let (world, _, _) = a_week().await;
    let file = world.path("sicherung.age");
    world.büro.core().backup(&file, &mut |_| {}).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let try_it = async |bytes: &[u8], kit: &str| {
        std::fs::write(&file, bytes).unwrap();
        let mut new = office_with(&world, None);
        (new.hub_key, new.kit) = (None, kit.to_owned().into());
        let dir = world.path("none");
        let refused = Kolonne::recover(Config::new(dir), new, |_| {}).await;
        refused.unwrap_err().code()
    };
    let stranger = RootSeed::generate().unwrap().to_kit_text();
    assert_eq!(try_it(&whole, &stranger).await, "invalid.backup.other_kit");
    let mut cut = whole.clone();
    cut.truncate(whole.len() - 100);
    // What breaks off is noticed before anything is made of it.
    assert_eq!(try_it(&cut, &world.kit).await, "invalid.backup.damaged");
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    assert_eq!(try_it(&changed, &world.kit).await, "invalid.backup.damaged");
    assert_eq!(
        try_it(b"kein Backup", &world.kit).await,
        "invalid.backup.unsupported"
    );
    assert!(!world.path("none").exists());
    // Neither names nor sizes of what is in it: one sealed stream.
    let readable = |word: &str| whole.windows(word.len()).any(|w| w == word.as_bytes());
    assert!(!readable("Kran") && !readable("Brandt") && !readable("kolonne"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_hub_gets_words_and_pictures_again_and_no_screen_pretends() {
    let (mut world, job, _) = a_week().await;
    world.stop_hub().await;
    files::copy_folder(&world.path("hub"), &world.path("copy"));
    world.start_hub();
    // After the copy: words and pictures, and a phone that the copy has never heard of.
    let text = world.anna.text(&job, "Nach der Sicherung");
    let photo = world.anna.photo(&job, &files::photo(1100, 800, 5));
    let crew = vec![person("Timo Fuchs", Role::Crew)];
    let seven = world
        .enrol("kolonne-7", phone("Handy Kolonne 7", "Kolonne 7", crew))
        .await;
    let ring = world.ring("Kolonne 7");
    let seat = world.büro.seat();
    let core = world.büro.core();
    core.change_members(&seat, &job, &[ring], &[]).unwrap();
    world.anna.sync().await;
    assert_eq!(world.anna.state(&job, &text), State::Sent);
    assert_eq!(world.anna.state(&job, &photo), State::Sent);
    world.büro.sync().await;
    seven.sync().await;
    let late = seven.text(&job, "Timo ist da");
    seven.sync().await;
    assert_eq!(seven.state(&job, &late), State::Sent);

    world.stop_hub().await;
    std::fs::remove_dir_all(world.path("hub")).unwrap();
    std::fs::rename(world.path("copy"), world.path("hub")).unwrap();
    world.start_hub();
    // The hub breaks off as soon as it was recognised: what it no longer has isn't promised.
    world.wire.lie(|asked, answer| {
        if asked.what == "POST /v1/push" {
            answer.clear();
        }
    });
    world.anna.text(&job, "Hallo?");
    assert!(world.anna.try_sync().await.is_err());
    world.wire.be_honest();
    let _ = seven.try_sync().await;
    world.anna.sync().await;
    world.büro.sync().await;
    seven.sync().await;
    world.everyone_syncs().await;
    seven.sync().await;
    world.everyone_syncs().await;
    let said = texts(&world.büro, &job);
    assert_eq!(said.len(), 5, "{said:?}");
    for device in world.devices() {
        let mut here = texts(device, &job);
        here.sort();
        let mut there = said.clone();
        there.sort();
        assert_eq!(here, there);
        reads(device, &photo, &PHOTO_PARTS[..2]);
    }
    assert_eq!(world.anna.state(&job, &photo), State::Office);
    assert_eq!(seven.state(&job, &late), State::Office);
    // The hub holds the pictures again, too: a new device gets them from it.
    let crew = vec![person("Ida Sommer", Role::Crew)];
    let eight = world
        .enrol("kolonne-8", phone("Handy Kolonne 8", "Kolonne 8", crew))
        .await;
    let ring = world.ring("Kolonne 8");
    let core = world.büro.core();
    core.change_members(&seat, &job, &[ring], &[]).unwrap();
    world.büro.sync().await;
    eight.sync().await;
    reads(&eight, &photo, &PHOTO_PARTS[..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_shut_out_stays_out_at_a_new_hub() {
    let (mut world, job, photos) = a_week().await;
    world.anna.offline();
    world.anna.text(&job, "Zu spät");
    let lost = Subject::Device(world.anna.core().me().unwrap().device);
    let seat = world.büro.seat();
    let core = world.büro.core().clone();
    core.end(&seat, lost, EndMode::Hard).await.unwrap();
    world.büro.sync().await;
    world.kolonne_3.sync().await;
    world.stop_hub().await;
    world.start_hub_on("hub-2");
    let key = world.hub.as_ref().unwrap().key;

    // The crew's phone alone fills it: cut lists travel with the roster.
    world.kolonne_3.sync().await;
    core.certify_hub(&seat, &key).await.unwrap();
    world.büro.sync().await;
    world.kolonne_3.sync().await;
    let crew = vec![person("Timo Fuchs", Role::Crew)];
    let invite = phone("Handy Kolonne 7", "Kolonne 7", crew);
    let seven = world.enrol("kolonne-7", invite).await;
    let ring = world.ring("Kolonne 7");
    core.change_members(&seat, &job, &[ring], &[]).unwrap();
    world.büro.sync().await;
    seven.sync().await;

    // The lost one comes to the new hub, gives up what it had, and is empty.
    world.anna.online();
    sync_to_its_end(&world.anna).await;
    for device in [&world.büro, &world.kolonne_3, &seven] {
        device.sync().await;
        assert_eq!(texts(device, &job), ["Morgen kommt der Kran", "Ist gut"]);
        reads(device, &photos[0], &PHOTO_PARTS[..2]);
    }
    let kept = core.kept_back().unwrap();
    let kept: u32 = kept.iter().map(|kept| kept.entries).sum();
    assert_eq!(kept, 1, "what came too late lies here, counted");
}

/// Syncs until the device is empty; not for ever.
async fn sync_to_its_end(device: &Device) {
    for _ in 0..5 {
        if matches!(device.try_sync().await, Err(Error::AuthExpired)) {
            return;
        }
    }
    panic!("it never leaves");
}

/// Roster ops after a number of them, and the secrets they wrap, by what they are wrapped to.
fn wraps_after(device: &Device, seq: u32) -> Vec<[u8; 16]> {
    let db = device.database();
    let mut statement = db
        .prepare(
            "SELECT p.payload FROM payloads p JOIN ops o ON o.id = p.op
             WHERE o.class = 3 AND o.seq > ?1",
        )
        .unwrap();
    let payloads = statement.query_map([seq], |row| row.get::<_, Vec<u8>>(0));
    let mut wraps = Vec::new();
    for payload in payloads.unwrap() {
        let body = kolonne_model::roster::read_body(Some(&payload.unwrap())).unwrap();
        for change in body.changes {
            match change {
                Change::Ring(ring) => wraps.extend(ring.wraps),
                Change::Wraps(more) => wraps.extend(more.wraps),
                _ => {}
            }
        }
    }
    wraps.into_iter().map(|wrap| wrap.to).collect()
}

fn roster_len(device: &Device) -> u32 {
    let sql = "SELECT max(seq) FROM ops WHERE class = 3";
    device
        .database()
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_crew_phone_is_replaced_with_one_wrap_and_reads_every_surviving_entry() {
    let (world, job, photos) = a_week().await;
    let mut jobs = vec![job];
    for n in 0..20 {
        let job = world.job(&format!("Auftrag {n}"), &["Kolonne 3"]);
        world.büro.text(&job, &format!("Plan {n}"));
        jobs.push(job);
    }
    world.everyone_syncs().await;
    let device = world.kolonne_3.core().me().unwrap().device;
    let seat = world.büro.seat();
    let core = world.büro.core();
    core.end(&seat, Subject::Device(device), EndMode::Hard)
        .await
        .unwrap();
    world.büro.sync().await;

    let known = roster_len(&world.büro);
    let (people, _) = core.people().unwrap();
    let mehmet = people.iter().find(|person| person.name == "Mehmet Yılmaz");
    let began = std::time::Instant::now();
    let invite = NewInvite {
        kind: DeviceKind::Phone,
        device_name: "Neues Handy Kolonne 3".to_owned(),
        crew: Some(world.ring("Kolonne 3")),
        crew_name: None,
        seats: vec![SeatGrant {
            person: Some(mehmet.unwrap().id),
            name: String::new(),
            role: Role::Crew,
        }],
    };
    let new = world.enrol("kolonne-3-neu", invite).await;
    new.sync().await;
    for job in &jobs {
        assert_eq!(texts(&new, job), texts(&world.büro, job));
        assert!(!texts(&new, job).is_empty());
    }
    for photo in &photos {
        reads(&new, photo, &PHOTO_PARTS[..2]);
    }
    println!(
        "a new phone read {} threads after {:?}",
        jobs.len(),
        began.elapsed()
    );
    // One secret for all of the crew's threads, however many there are.
    let to_phone = new.core().me().unwrap().device.0;
    let wraps = wraps_after(&new, known);
    let for_phone = wraps.iter().filter(|to| **to == to_phone).count();
    assert_eq!(for_phone, 1, "{wraps:?}");
    assert!(
        wraps.len() <= 3,
        "hers, and the person's for seat and kit: {wraps:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_put_back_from_a_copy_goes_on_and_nothing_is_doubled_or_lost() {
    let (mut world, job, photos) = a_week().await;
    world.anna.offline();
    let before = world.anna.text(&job, "Vor der Kopie");
    let unsent = world.anna.photo(&job, &files::photo(1000, 700, 6));
    world.anna.switch_off();
    let (dir, copy) = (world.anna.dir.clone(), world.path("anna-kopie"));
    files::copy_folder(&dir, &copy);
    world.anna.switch_on();
    world.anna.sync().await;
    world.anna.text(&job, "Nach der Kopie");
    let later = world.anna.photo(&job, &files::photo(900, 700, 7));
    world.everyone_syncs().await;

    // The whole folder is put back as it was then, and she writes before there is a network.
    world.anna.switch_off();
    std::fs::remove_dir_all(&dir).unwrap();
    std::fs::rename(&copy, &dir).unwrap();
    world.anna.switch_on();
    world.anna.offline();
    let new = world.anna.text(&job, "Wieder da");
    assert_eq!(world.anna.state(&job, &before), State::Saved);
    world.anna.online();
    world.everyone_syncs().await;
    world.everyone_syncs().await;
    let said = [
        "Ist gut",
        "Morgen kommt der Kran",
        "Nach der Kopie",
        "Vor der Kopie",
        "Wieder da",
    ];
    for device in world.devices() {
        let mut texts = texts(device, &job);
        texts.sort();
        assert_eq!(texts, said);
        assert_eq!(device.entries(&job).len(), said.len() + 4);
        for photo in photos.iter().chain([&unsent, &later]) {
            reads(device, photo, &PHOTO_PARTS[..2]);
        }
    }
    for entry in [before, unsent, later, new] {
        assert_eq!(world.anna.state(&job, &entry), State::Office);
    }
    assert_eq!(
        world.anna.core().status().unwrap().outbox,
        Outbox::default()
    );
    let sql = "SELECT count(*) FROM (SELECT 1 FROM ops WHERE class <> 3
        GROUP BY thread, seat, store, seq HAVING count(*) > 1)";
    let twice: i64 = world
        .büro
        .database()
        .query_row(sql, [], |row| row.get(0))
        .unwrap();
    assert_eq!(twice, 0, "no place of a strand has two ops");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_that_a_replaced_kit_began_are_ended_by_the_office_without_it() {
    let world = World::new().await;
    let (büro, job) = (&world.büro, world.job("Dach", &["Anna Weber"]));
    for chunk in 0..4 {
        let rings = (0..60).map(|n| bare::ring((chunk << 8) + n, RingKind::Person).1);
        scribe::change_the_roster(&world, rings.collect()).await;
    }
    world.everyone_syncs().await;
    let scribe = Scribe::join(&world, world.ring("Kolonne 3")).await;
    büro.sync().await;
    // The kit's first word comes through; before its answer the line is gone.
    let wire = world.wire.clone();
    world.wire.lie(move |asked, _| {
        if asked.what == "POST /v1/roster/append" {
            wire.lead_to(None);
        }
    });
    let (seat, new) = (büro.seat(), Kolonne::new_kit().unwrap());
    let replaced = büro.core().replace_kit(&seat, &world.kit, &new).await;
    assert!(replaced.is_err());
    world.wire.be_honest();
    world
        .wire
        .lead_to(Some(world.hub.as_ref().unwrap().address));
    let old = |roster: &Roster| {
        let rings = roster.rings();
        let first = rings.filter(|(_, ring)| ring.generations.len() == 1);
        first.count()
    };
    let before = old(&scribe.roster().await);
    assert!(before > 40, "it didn't fit into one op: {before}");
    büro.sync().await;
    büro.sync().await;
    let now = scribe.roster().await;
    assert_eq!(old(&now), 0, "who has the old kit opens none that comes");
    let links = now.links().len();
    büro.sync().await;
    assert_eq!(scribe.roster().await.links().len(), links, "and that's it");
    world.anna.sync().await;
    world.anna.text(&job, "Ist gut");
    world.everyone_syncs().await;
    assert_eq!(texts(büro, &job), ["Ist gut"]);
}

/// What an office decides doesn't wait for it to have heard of another hub.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_heard_of_the_new_hub_yet_ends_and_invites_all_the_same() {
    let (mut world, ..) = a_week().await;
    let mut others = Vec::new();
    for (name, dir) in [("Paul Kern", "büro-2"), ("Lea Kern", "büro-3")] {
        let invite = NewInvite {
            kind: DeviceKind::Office,
            device_name: format!("Büro von {name}"),
            crew: None,
            crew_name: None,
            seats: vec![person(name, Role::Office)],
        };
        others.push(world.enrol(dir, invite).await);
    }
    world.büro.sync().await;
    for device in &mut others {
        device.sync().await;
        device.switch_off();
    }
    world.stop_hub().await;
    world.start_hub_on("hub-2");
    let key = world.hub.as_ref().unwrap().key;
    sync_anew(&world.büro).await;
    let sabine = world.büro.seat();
    let certified = world.büro.core().certify_hub(&sabine, &key);
    certified.await.unwrap();
    for device in &mut others {
        device.switch_on();
    }
    let (paul, lea) = (&others[0], &others[1]);
    let lost = world.kolonne_3.core().me().unwrap().device;
    let (seat, subject) = (paul.seat(), Subject::Device(lost));
    let ended = paul.core().end(&seat, subject, EndMode::Hard);
    ended.await.unwrap();
    let jans = phone("Jans Handy", "Jan", vec![person("Jan", Role::Crew)]);
    let seat = lea.seat();
    let invited = lea.core().invite(&seat, jans);
    invited.await.unwrap();
}
