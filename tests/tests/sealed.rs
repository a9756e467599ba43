//! Sealed attachments: for named people alone, and what is handed out without Kolonne.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kolonne_core::capture::{About, SealFor};
use kolonne_core::records::{Entry, EntryKind, Part, State};
use kolonne_core::{Config, Error, Kolonne, NewInvite, NewOffice, SeatGrant};
use kolonne_hub::{Env, HubService, Quotas};
use kolonne_model::control::EraseReason;
use kolonne_model::ids::{BlobId, OpId};
use kolonne_model::roster::change::{DeviceKind, EndMode, Role, Subject};
use kolonne_model::sealed::padded_bytes;
use kolonne_tests::fence::files_below;
use kolonne_tests::scribe::Scribe;
use kolonne_tests::world::{admit, person, phone};
use kolonne_tests::{Device, JobId, World, files};

fn office() -> SealFor {
    SealFor {
        people: Vec::new(),
        office: true,
    }
}

fn only(world: &World, names: &[&str]) -> SealFor {
    let (people, _) = world.büro.core().people().unwrap();
    let ring = |name: &&str| people.iter().find(|p| p.name == *name).unwrap().id;
    SealFor {
        people: names.iter().map(ring).collect(),
        office: false,
    }
}

fn seal(device: &Device, who: &str, job: &JobId, to: &SealFor, file: (&str, &[u8])) -> OpId {
    let (seat, about) = (device.seat_of(who), About::default());
    device.core().seal(&seat, job, to, file, &about).unwrap()
}

fn code(device: &Device, who: &str, entry: &OpId) -> String {
    let opened = device.core().open_sealed(&device.seat_of(who), entry);
    opened.unwrap_err().code()
}

fn note() -> Vec<u8> {
    files::photo(1600, 1200, 9)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sick_note_on_the_crews_phone_is_opened_by_the_office_alone() {
    let world = World::new().await;
    let (büro, anna, phone) = (&world.büro, &world.anna, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    phone.offline();
    let entry = seal(
        phone,
        "Mehmet Yılmaz",
        &job,
        &office(),
        ("Attest.jpg", &note()),
    );
    phone.online();
    world.everyone_syncs().await;

    // Everyone sees that there is something, and for whom.
    for device in world.devices() {
        let shown: Entry = device.entry(&job, &entry);
        assert_eq!(shown.kind, EntryKind::Sealed);
        assert_eq!(shown.author.name, "Mehmet Yılmaz");
        assert_eq!((&shown.text, &shown.caption), (&None, &None));
        let sealed = shown.sealed.unwrap();
        assert!(sealed.office && sealed.people.is_empty());
        assert!(sealed.bytes >= padded_bytes(note().len() as u64));
        for part in [
            Part::Thumb,
            Part::Picture,
            Part::Original,
            Part::Document,
            Part::Sealed,
        ] {
            assert!(device.media(&entry, part).is_err());
        }
        let found = device.core().threads(&device.seat(), "Attest").unwrap();
        assert!(found.is_empty(), "no search finds it");
    }
    assert_eq!(phone.state(&job, &entry), State::Office);
    // It isn't even fetched where nobody opens it; whoever took it has what was sent.
    let sealed_here = |device: &Device| device.entry(&job, &entry).sealed.unwrap().here;
    assert!(sealed_here(büro) && sealed_here(phone) && !sealed_here(anna));

    // The author, his colleague on the same phone, the foreman: none of them.
    assert_eq!(code(phone, "Mehmet Yılmaz", &entry), "locked.sealed");
    assert_eq!(code(phone, "Jonas Huber", &entry), "locked.sealed");
    assert_eq!(code(anna, "Anna Weber", &entry), "locked.sealed");
    let dir = world.path("export");
    let refused = phone.core().export(&phone.seat(), &entry, &dir);
    assert_eq!(refused.unwrap_err().code(), "locked.sealed");

    let opened = büro.core().open_sealed(&büro.seat(), &entry).unwrap();
    assert_eq!(opened.name, "Attest.jpg");
    assert_eq!(opened.media_type, "image/jpeg");
    assert_eq!(*opened.bytes, note());

    // Taken back is taken back, here too.
    phone.core().retract(&phone.seat(), &entry, None).unwrap();
    world.everyone_syncs().await;
    assert_eq!(code(büro, "Sabine Brandt", &entry), "not_found.media");
    assert!(büro.entry(&job, &entry).sealed.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_for_one_person_stays_from_the_others_and_the_office() {
    let world = World::new().await;
    let (büro, anna, phone) = (&world.büro, &world.anna, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    let to = only(&world, &["Anna Weber", "Jonas Huber"]);
    let entry = seal(
        büro,
        "Sabine Brandt",
        &job,
        &to,
        ("Lohn.pdf", b"%PDF-1.4 2.345 EUR"),
    );
    world.everyone_syncs().await;
    let names = anna.entry(&job, &entry).sealed.unwrap();
    let names: Vec<_> = names.people.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["Anna Weber", "Jonas Huber"]);
    for (device, who) in [(anna, "Anna Weber"), (phone, "Jonas Huber")] {
        let opened = device.core().open_sealed(&device.seat_of(who), &entry);
        assert_eq!(opened.unwrap().bytes.as_slice(), b"%PDF-1.4 2.345 EUR");
    }
    assert_eq!(code(phone, "Mehmet Yılmaz", &entry), "locked.sealed");
    assert_eq!(code(büro, "Sabine Brandt", &entry), "locked.sealed");
    // It is at the office all the same: the company keeps what it can't read.
    assert_eq!(büro.state(&job, &entry), State::Office);

    // No words beside it, from nobody.
    let seat = anna.seat();
    let refused = anna.core().caption(&seat, &entry, "Lohn?").unwrap_err();
    assert_eq!(refused.code(), "invalid.caption.sealed");
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_and_handing_out_ask_for_the_pin() {
    let world = World::new().await;
    let (büro, phone) = (&world.büro, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.everyone_syncs().await;
    let jonas = phone.seat_of("Jonas Huber");
    phone.core().set_pin(&jonas, None, Some("503917")).unwrap();
    let to = only(&world, &["Jonas Huber"]);
    let file: (&str, &[u8]) = ("Lohn.txt", b"2.345 EUR");
    let entry = seal(büro, "Sabine Brandt", &job, &to, file);
    world.everyone_syncs().await;
    phone.core().lock(&jonas);
    assert_eq!(code(phone, "Jonas Huber", &entry), "locked.pin");
    let dir = world.path("hand-out");
    let refused = phone.core().export(&jonas, &entry, &dir).unwrap_err();
    assert_eq!(refused.code(), "locked.pin");
    phone.core().unlock(&jonas, "503917").unwrap();
    let opened = phone.core().open_sealed(&jonas, &entry).unwrap();
    assert_eq!(opened.bytes.as_slice(), file.1);

    // A phone that lies open opens it no more, whatever else is done on it meanwhile.
    phone.later(Duration::from_secs(121));
    phone.core().used(&jonas).unwrap();
    assert_eq!(code(phone, "Jonas Huber", &entry), "locked.pin_again");
    let refused = phone.core().export(&jonas, &entry, &dir).unwrap_err();
    assert_eq!(refused.code(), "locked.pin_again");
    let said = phone
        .core()
        .send_text(&jonas, &job, "Geht weiter", &About::default());
    assert!(said.is_ok(), "only what is sealed asks again");
    phone.core().unlock(&jonas, "503917").unwrap();
    phone.core().export(&jonas, &entry, &dir).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_named_who_would_never_see_it() {
    let world = World::new().await;
    let (büro, phone) = (&world.büro, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.everyone_syncs().await;
    let try_seal = |to: &SealFor, file: (&str, &[u8]), about: &About| {
        let sealed = phone.core().seal(&phone.seat(), &job, to, file, about);
        sealed.unwrap_err().code()
    };
    let file: (&str, &[u8]) = ("a.txt", b"x");
    let none = SealFor::default();
    assert_eq!(
        try_seal(&none, file, &About::default()),
        "invalid.for.empty"
    );
    let anna = only(&world, &["Anna Weber"]);
    assert_eq!(
        try_seal(&anna, file, &About::default()),
        "invalid.for.member"
    );
    let crew = SealFor {
        people: vec![world.ring("Kolonne 3")],
        office: false,
    };
    assert_eq!(try_seal(&crew, file, &About::default()), "not_found.person");
    let captioned = About {
        caption: Some("Krank".to_owned()),
        ..About::default()
    };
    assert_eq!(
        try_seal(&office(), file, &captioned),
        "invalid.caption.sealed"
    );
    let empty: (&str, &[u8]) = ("a.txt", b"");
    assert_eq!(
        try_seal(&office(), empty, &About::default()),
        "invalid.file.empty"
    );
    assert!(phone.entries(&job).is_empty());
    assert!(
        phone.blob_files().is_empty(),
        "a refusal leaves nothing behind"
    );
    assert!(matches!(
        büro.core().open_sealed(&büro.seat(), &OpId::ZERO),
        Err(Error::NotFound { kind: "entry" })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_phone_shows_its_jobs_before_its_first_pull() {
    const PACK_BYTES: usize = 25_000;
    let world = World::new().await;
    let büro = &world.büro;
    // The reference company: ten crews, thirteen phones, forty jobs. All in one phone's list.
    for number in 4..=12 {
        let crew = format!("Kolonne {number}");
        let people = vec![person(&format!("Vera Vorarbeiter {number}"), Role::Crew)];
        world
            .enrol(&crew, phone(&format!("Handy {crew}"), &crew, people))
            .await;
    }
    let foreman = vec![person("Franz Gruber", Role::Foreman)];
    world
        .enrol("franz", phone("Franz' Handy", "Franz Gruber", foreman))
        .await;
    let mut jobs = Vec::new();
    for number in 0..40 {
        let title = format!(
            "Dachsanierung {} {number}",
            ["Gartenweg", "Am Anger", "Lindenstr."][number % 3]
        );
        let job = world.job(&title, &["Kolonne 3", "Kolonne 4", "Anna Weber"]);
        let said = blake3::hash(title.as_bytes()).to_string();
        büro.text(
            &job,
            &format!(
                "Bitte {} Ziegel und {said} mitbringen, Kran kommt um sieben",
                number * 3
            ),
        );
        jobs.push(job);
    }
    world.everyone_syncs().await;
    world.wire.take_passed();

    let again = NewInvite {
        kind: DeviceKind::Phone,
        device_name: "Handy Kolonne 3 neu".to_owned(),
        crew: Some(world.ring("Kolonne 3")),
        crew_name: None,
        seats: vec![person("Timo Fuchs", Role::Crew)],
    };
    let new = admit(büro, world.path("kolonne-3-neu"), again, None).await;
    let mails = world.wire.take_passed();
    let mails = mails
        .iter()
        .filter(|passed| passed.what.contains("/v1/mail/put"));
    let pack_bytes = mails.map(|passed| passed.request_bytes.1).max().unwrap();
    println!("admission with its pack, 40 threads, 10 crews, 13 phones: {pack_bytes} bytes");
    assert!((5_000..=PACK_BYTES).contains(&pack_bytes));

    let shown = new.jobs();
    assert!(shown.len() >= 40, "{}", shown.len());
    let before: Vec<_> = shown.iter().filter(|row| jobs.contains(&row.id)).collect();
    assert_eq!(before.len(), 40);
    for row in &before {
        assert!(row.title.starts_with("Dachsanierung") && row.held == 1);
        let last = row.last.as_ref().unwrap();
        assert!(last.author == "Sabine Brandt" && last.text.starts_with("Bitte "));
        assert!(new.core().thread(&new.seat(), &row.id).is_ok());
        assert!(new.entries(&row.id).is_empty());
    }
    let me = new.core().me().unwrap();
    assert_eq!(
        (me.company.as_str(), me.seats[0].name.as_str()),
        ("Holzbau Brandt", "Timo Fuchs")
    );

    // Then the ops say what there is, and the promises are gone: first in the job that somebody looks
    // at, then where the newest lines are.
    assert!(new.entries(&jobs[7]).is_empty());
    let filled = Arc::new(Mutex::new(Vec::new()));
    let (all, seen) = (jobs.clone(), Arc::clone(&filled));
    world.wire.lie(move |asked, _| {
        let of = |job: &&JobId| asked.body.windows(16).any(|part| part == job.0);
        if asked.what.contains("/v1/fetch") {
            seen.lock().unwrap().extend(all.iter().find(of).copied());
        }
    });
    world.wire.take_passed();
    new.sync().await;
    world.wire.be_honest();
    let mut filled = filled.lock().unwrap().clone();
    filled.dedup();
    assert_eq!(filled.first(), Some(&jobs[7]));
    let last_ms = |job: &JobId| {
        let row = before.iter().find(|row| row.id == *job).unwrap();
        row.last.as_ref().unwrap().time_ms
    };
    let times: Vec<u64> = filled.iter().skip(1).map(last_ms).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    assert_eq!(filled.len(), 40);
    let pulled = world.wire.take_passed();
    let pulled = pulled.iter().filter(|one| one.what.contains("/v1/pull"));
    let pulled_bytes: usize = pulled.map(|one| one.answer_bytes.1).sum();
    assert!(pulled_bytes < 2_000, "nothing comes twice: {pulled_bytes}");
    let after = new.jobs();
    for row in before {
        let now = after.iter().find(|now| now.id == row.id).unwrap();
        assert_eq!((&now.title, now.held), (&row.title, 0));
        assert_eq!(new.thread(&row.id), world.kolonne_3.thread(&row.id));
    }
    let promised =
        "SELECT (SELECT count(*) FROM promised_threads) + (SELECT count(*) FROM promised_names)";
    let left: i64 = new
        .database()
        .query_row(promised, [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

/// What the stock program makes of an age file and a key; none if it isn't installed.
fn stock_age(key: &Path, file: &Path) -> Option<Vec<u8>> {
    let age = Command::new("age")
        .arg("-d")
        .arg("-i")
        .args([key, file])
        .output();
    let Ok(output) = age else {
        assert!(
            std::env::var("CI").is_err(),
            "the age program is missing; CI must have it"
        );
        eprintln!("SKIPPED: the age program is not installed (Debian: apt install age)");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Some(output.stdout)
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_age_opens_an_exported_photo_and_an_exported_sealed_attachment() {
    let world = World::new().await;
    let (büro, phone) = (&world.büro, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.everyone_syncs().await;
    let photo = phone.photo(&job, &note());
    let sealed = seal(
        phone,
        "Jonas Huber",
        &job,
        &office(),
        ("Attest.jpg", &note()),
    );
    world.everyone_syncs().await;
    let dir = world.path("hand-out");
    let export = |entry: &OpId| büro.core().export(&büro.seat(), entry, &dir);

    let exported = export(&photo).unwrap();
    let parts: Vec<_> = exported.files.iter().map(|file| file.part).collect();
    assert_eq!(parts, [Part::Picture, Part::Original]);
    for file in &exported.files {
        let media = büro.media(&photo, file.part).unwrap().bytes;
        assert_eq!(media.len() as u64, file.plain_bytes);
        // The picture itself, not a wrapping of ours.
        if let Some(plain) = stock_age(&exported.key, &file.path) {
            assert_eq!(plain, media);
        }
    }

    let exported = export(&sealed).unwrap();
    let file = &exported.files[0];
    assert_eq!((exported.files.len(), file.part), (1, Part::Sealed));
    if let Some(plain) = stock_age(&exported.key, &file.path) {
        let (content, zeros) = plain.split_at(usize::try_from(file.plain_bytes).unwrap());
        assert_eq!(content, note());
        assert!(zeros.iter().all(|byte| *byte == 0));
        assert_eq!(plain.len() as u64, padded_bytes(file.plain_bytes));
    }
    // Its own identity, and no key of a ring, which would open more.
    let keys = std::fs::read_to_string(&exported.key).unwrap();
    assert_eq!(keys.matches("AGE-SECRET-KEY-1").count(), 1);
    for secret in world.büro.secrets() {
        assert!(!keys.contains(secret.to_age_text().as_str()));
    }

    // For the owner alone, and nothing is written over or left half.
    assert_eq!(mode(&dir), 0o700);
    assert_eq!((mode(&exported.key), mode(&file.path)), (0o600, 0o600));
    let before = std::fs::read(&exported.key).unwrap();
    std::fs::remove_file(&file.path).unwrap();
    assert_eq!(export(&sealed).unwrap_err().code(), "invalid.to.taken");
    assert_eq!(std::fs::read(&exported.key).unwrap(), before);
    assert!(!file.path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_phone_gets_what_was_sealed_from_another_named_person() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let both = SealFor {
        office: true,
        ..only(&world, &["Anna Weber"])
    };
    let file: (&str, &[u8]) = ("Vertrag.pdf", b"%PDF-1.4 Vertrag");
    let entry = seal(anna, "Anna Weber", &job, &both, file);
    world.everyone_syncs().await;
    let anna_ring = only(&world, &["Anna Weber"]).people[0];
    let lost = anna.core().me().unwrap().device;
    let seat = büro.seat();
    let subject = Subject::Device(lost);
    büro
        .core()
        .end(&seat, subject, EndMode::Hard)
        .await
        .unwrap();
    let again = NewInvite {
        kind: DeviceKind::Phone,
        device_name: "Annas neues Handy".to_owned(),
        crew: Some(world.ring("Anna Weber")),
        crew_name: None,
        seats: vec![SeatGrant {
            person: Some(anna_ring),
            name: String::new(),
            role: Role::Foreman,
        }],
    };
    let new = world.enrol("anna-2", again).await;
    new.sync().await;
    // Its seat's ring is younger than what was sealed; nobody but the kit could bridge that.
    assert_eq!(code(&new, "Anna Weber", &entry), "locked.sealed_before");
    let to = only(&world, &["Anna Weber"]);
    let again = büro.core().seal_again(&seat, &entry, &to, None).unwrap();
    büro.sync().await;
    new.sync().await;
    let opened = new.core().open_sealed(&new.seat(), &again).unwrap();
    assert_eq!((opened.name.as_str(), opened.bytes.as_slice()), file);
    assert_eq!(new.entry(&job, &again).reply_to.unwrap().id, entry);

    // The kit: whoever sits down with it as the same person opens the old one too.
    let office = NewOffice {
        kit: world.kit.clone().into(),
        hub_url: Some(world.wire.url()),
        hub_key: None,
        backup: None,
        undo_since: None,
        person_name: "Anna Weber".to_owned(),
        device_name: "Büro neu".to_owned(),
    };
    let dir = world.path("büro-2");
    let kolonne = Kolonne::recover(Config::new(&dir), office, |_| {})
        .await
        .unwrap();
    let kit = Device::new(dir, std::sync::Arc::default(), kolonne);
    kit.sync().await;
    let opened = kit.core().open_sealed(&kit.seat(), &entry).unwrap();
    assert_eq!((opened.name.as_str(), opened.bytes.as_slice()), file);
}

/// What nobody but the named can open is erased like all else, also where it can't be opened.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_sealed_attachment_is_destroyed_where_it_lies() {
    let mut world = World::new().await;
    let (büro, phone) = (&world.büro, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.everyone_syncs().await;
    let named = ("Attest.jpg", &note()[..]);
    let entry = seal(phone, "Mehmet Yılmaz", &job, &office(), named);
    world.everyone_syncs().await;
    let [blob] = büro.blob_files()[..] else {
        panic!("one file")
    };
    assert_eq!(phone.blob_files(), [blob]);
    let hub = world.path("hub");
    assert_eq!(blobs_at_hub(&hub), [blob]);
    let reason = EraseReason::PersonalData;
    büro.core().erase(&büro.seat(), &[entry], reason).unwrap();
    world.everyone_syncs().await;
    let opened = büro.core().open_sealed(&büro.seat(), &entry);
    assert!(opened.is_err(), "hidden at once");
    for device in [büro, phone] {
        device.later(Duration::from_hours(8 * 24));
        device.sync().await;
        assert_eq!(device.blob_files(), []);
        assert!(device.entry(&job, &entry).erased.unwrap().destroyed);
    }
    // The hub reads of it nothing but its name, and that is what the erase tells it.
    world.stop_hub().await;
    for (days, left) in [(6, vec![blob]), (8, vec![])] {
        let ms = Duration::from_hours(days * 24).as_millis();
        let later_ms = u64::try_from(ms).unwrap();
        let now_ms = move || Env::system().unwrap().now_ms() + later_ms;
        let env = Env::new(now_ms, |bytes| bytes.fill(7));
        HubService::open(&hub, env, Quotas::default())
            .unwrap()
            .tidy();
        assert_eq!(blobs_at_hub(&hub), left, "after {days} days");
    }
    // Nobody brings it again.
    world.start_hub();
    world.everyone_syncs().await;
    assert_eq!(blobs_at_hub(&hub), []);
}

/// The files at a hub, by name.
fn blobs_at_hub(hub: &Path) -> Vec<BlobId> {
    let files = files_below(&hub.join("blobs"));
    let names = files.iter().filter_map(|path| path.file_name()?.to_str());
    names.map(|name| name.parse().unwrap()).collect()
}

/// Who copies an envelope can't make words of somebody else's his own.
#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_under_another_name_opens_for_nobody() {
    let world = World::new().await;
    let (büro, phone) = (&world.büro, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.everyone_syncs().await;
    let sealed = seal(
        phone,
        "Mehmet Yılmaz",
        &job,
        &office(),
        ("Attest.jpg", &note()),
    );
    world.everyone_syncs().await;
    let mut scribe = Scribe::join(&world, world.ring("Kolonne 3")).await;
    let copied = scribe.repeat(job, &sealed).await;
    world.everyone_syncs().await;
    let seat = büro.seat();
    assert!(büro.core().open_sealed(&seat, &sealed).is_ok());
    assert!(büro.entries(&job).iter().any(|entry| entry.id == copied));
    assert_eq!(
        code(büro, "Sabine Brandt", &copied),
        "invalid.sealed.broken"
    );
}
