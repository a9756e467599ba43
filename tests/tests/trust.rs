//! Rights that end: lost and given back devices, dismissed people, and what becomes of their work.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kolonne_core::capture::{About, NewJob, SealFor};
use kolonne_core::crypt::{self, CryptError};
use kolonne_core::records::{DeviceRecord, KeptBackWhy, State};
use kolonne_core::{Config, Error, InviteState, Kolonne, NewInvite, NewOffice, SeatGrant};
use kolonne_model::cbor;
use kolonne_model::control::{self, Control, EraseReason};
use kolonne_model::hub::{PullAnswer, PushAnswer, RefusalCode, SegmentOutcome};
use kolonne_model::ids::{CompanyId, DeviceId, RingId};
use kolonne_model::op::Class;
use kolonne_model::page::{self, NoBases};
use kolonne_model::roster::change::{Change, DeviceKind, EndMode, Role, Subject};
use kolonne_tests::fence::files_below;
use kolonne_tests::world::{RunningHub, person, phone};
use kolonne_tests::{Device, JobId, World, files};
use rusqlite::types::ValueRef;

const TEN_YEARS: Duration = Duration::from_hours(10 * 365 * 24);

fn device_id(device: &Device) -> DeviceId {
    device.core().me().unwrap().device
}

fn record(world: &World, device: DeviceId) -> DeviceRecord {
    let devices = world.büro.core().devices().unwrap();
    devices.into_iter().find(|d| d.id == device).unwrap()
}

fn person_ring(world: &World, name: &str) -> RingId {
    let (people, _) = world.büro.core().people().unwrap();
    people.iter().find(|person| person.name == name).unwrap().id
}

async fn end(world: &World, subject: Subject, mode: EndMode) {
    let seat = world.büro.seat();
    world.büro.core().end(&seat, subject, mode).await.unwrap();
}

fn texts(device: &Device, job: &JobId) -> Vec<String> {
    let entries = device.entries(job);
    entries.into_iter().filter_map(|entry| entry.text).collect()
}

/// A new phone for who lost theirs.
fn again(world: &World, name: &str, crew: &str, role: Role) -> NewInvite {
    NewInvite {
        kind: DeviceKind::Phone,
        device_name: format!("Neues Handy {name}"),
        crew: Some(world.ring(crew)),
        crew_name: None,
        seats: vec![SeatGrant {
            person: Some(person_ring(world, name)),
            name: String::new(),
            role,
        }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_dismissed_while_a_code_was_shown_is_not_admitted() {
    let world = World::new().await;
    let büro = &world.büro;
    let mehmet = person_ring(&world, "Mehmet Yılmaz");
    let new = again(&world, "Mehmet Yılmaz", "Kolonne 3", Role::Crew);
    let mut invitation = büro.core().invite(&büro.seat(), new.clone()).await.unwrap();
    let (code, config) = (invitation.text(), Config::new(world.path("neu")));
    let on_phone = tokio::spawn(async move {
        let mut enrolment = Kolonne::enrol(config, &code).await.unwrap();
        enrolment.words().await.unwrap();
    });
    while !matches!(invitation.step().await.unwrap(), InviteState::Words(_)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    on_phone.await.unwrap();
    end(&world, Subject::Person(mehmet), EndMode::Hard).await;
    let links = büro.core().roster_history().unwrap().len();
    let refused = invitation.admit().await.unwrap_err();
    assert_eq!(refused.code(), "invalid.subject.ended");
    assert_eq!(büro.core().roster_history().unwrap().len(), links);
    let refused = büro.core().invite(&büro.seat(), new).await.unwrap_err();
    assert_eq!(refused.code(), "invalid.subject.ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_phone_is_shut_out_and_a_new_one_reads_everything() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    büro.text(&job, "Morgen kommt der Kran");
    world.everyone_syncs().await;
    anna.text(&job, "Ist gut");
    let photo = anna.photo(&job, &files::photo(1200, 900, 1));
    world.everyone_syncs().await;

    // She takes one more picture without network; then the phone is gone, and somebody plays with
    // its clock.
    anna.offline();
    anna.text(&job, "Noch vom Dach");
    let late_photo = anna.photo(&job, &files::photo(1200, 900, 2));
    let lost = device_id(anna);
    end(&world, Subject::Device(lost), EndMode::Hard).await;
    büro.text(&job, "Nur für die anderen");
    world.büro.sync().await;
    kolonne_3.sync().await;
    kolonne_3.text(&job, "Wir auch");
    world.büro.sync().await;
    kolonne_3.sync().await;
    anna.earlier(TEN_YEARS);
    anna.text(&job, "Von vor zehn Jahren");
    let (members, keys) = (anna.ops_of(&job), anna.dir.join("device.key"));
    assert!(members > 0 && keys.exists());

    // At the next contact it hands over its work, learns that it ended, and is empty.
    anna.online();
    assert!(matches!(anna.try_sync().await, Err(Error::AuthExpired)));
    assert!(matches!(anna.core().me(), Err(Error::AuthExpired)));
    let left: Vec<_> = std::fs::read_dir(&anna.dir).unwrap().flatten().collect();
    let names: Vec<_> = left.iter().map(std::fs::DirEntry::file_name).collect();
    assert_eq!(names, ["ended"]);
    let opened = Kolonne::open(Config::new(&anna.dir));
    assert!(matches!(opened, Err(Error::AuthExpired)));

    // Nobody sees what came after the cut; the office knows that there is something.
    world.büro.sync().await;
    kolonne_3.sync().await;
    let said = [
        "Morgen kommt der Kran",
        "Ist gut",
        "Nur für die anderen",
        "Wir auch",
    ];
    for device in [büro, kolonne_3] {
        assert_eq!(texts(device, &job), said);
    }
    let kept = büro.core().kept_back().unwrap();
    let kept: Vec<_> = kept.iter().filter(|kept| kept.entries > 0).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!((kept[0].thread, kept[0].entries), (job, 3));
    assert_eq!(kept[0].why, KeptBackWhy::Cut);
    assert_eq!(kept[0].person.as_deref(), Some("Anna Weber"));
    let lost = record(&world, lost);
    assert!(lost.ended.unwrap().at_once);
    assert_eq!(lost.wiped.unwrap().lost, 0);

    // The office lets it in: now it counts everywhere, marked late, pictures and all.
    let seat = kept[0].seat;
    büro.core().admit(&büro.seat(), &job, &seat).unwrap();
    world.büro.sync().await;
    kolonne_3.sync().await;
    world.büro.sync().await;
    for device in [büro, kolonne_3] {
        let texts = texts(device, &job);
        assert_eq!(texts.len(), said.len() + 2, "{texts:?}");
        assert!(texts.iter().any(|text| text == "Noch vom Dach"));
    }
    assert_eq!(büro.state(&job, &late_photo), State::Office);
    assert!(
        büro
            .core()
            .kept_back()
            .unwrap()
            .iter()
            .all(|k| k.entries == 0)
    );

    // A new phone for Anna: everything is there again, and she writes.
    let new = world
        .enrol(
            "anna-2",
            again(&world, "Anna Weber", "Anna Weber", Role::Foreman),
        )
        .await;
    new.sync().await;
    assert_eq!(new.thread(&job), büro.thread(&job));
    let thumb = kolonne_core::records::Part::Thumb;
    assert!(!new.media(&photo, thumb).unwrap().bytes.is_empty());
    assert!(!new.media(&late_photo, thumb).unwrap().bytes.is_empty());
    new.text(&job, "Bin wieder da");
    new.sync().await;
    büro.sync().await;
    kolonne_3.sync().await;
    assert_eq!(texts(kolonne_3, &job).last().unwrap(), "Bin wieder da");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_lost_phone_had_done_before_holds_for_all_who_come_later() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    // Her own job, her own members: the hub routes by what she wrote before she was shut out.
    let seat = anna.seat();
    let new = NewJob {
        title: "Carport Lehner".to_owned(),
        members: vec![world.ring("Kolonne 3")],
        ..NewJob::default()
    };
    let job = anna.core().open_job(&seat, &new).unwrap();
    anna.text(&job, "Pfosten stehen");
    world.everyone_syncs().await;
    end(&world, Subject::Device(device_id(anna)), EndMode::Hard).await;
    world.büro.sync().await;
    world.kolonne_3.text(&job, "Balken auch");
    world.kolonne_3.sync().await;
    world.büro.sync().await;
    world.kolonne_3.sync().await;
    let said = ["Pfosten stehen", "Balken auch"];
    assert_eq!(texts(büro, &job), said);
    assert_eq!(texts(&world.kolonne_3, &job), said);

    // A crew that becomes a member only now judges her work by the same cut.
    let crew = vec![person("Timo Fuchs", Role::Crew)];
    let seven = world
        .enrol("kolonne-7", phone("Handy Kolonne 7", "Kolonne 7", crew))
        .await;
    let ring = world.ring("Kolonne 7");
    büro
        .core()
        .change_members(&büro.seat(), &job, &[ring], &[])
        .unwrap();
    büro.sync().await;
    seven.sync().await;
    assert_eq!(texts(&seven, &job), said);
    assert_eq!(seven.thread(&job), büro.thread(&job));

    // The hub forgets what it held in memory: it routes the same.
    let mut world = world;
    world.stop_hub().await;
    world.start_hub();
    world.büro.text(&job, "Morgen Dach");
    world.büro.sync().await;
    world.kolonne_3.sync().await;
    assert_eq!(texts(&world.kolonne_3, &job).last().unwrap(), "Morgen Dach");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_given_back_loses_nothing_that_was_written_before() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    anna.offline();
    anna.text(&job, "Drei Wochen im Funkloch");
    let photo = anna.photo(&job, &files::photo(800, 600, 3));
    anna.later(Duration::from_hours(21 * 24));
    end(&world, Subject::Device(device_id(anna)), EndMode::Soft).await;
    anna.online();
    assert!(matches!(anna.try_sync().await, Err(Error::AuthExpired)));
    büro.sync().await;
    assert_eq!(texts(büro, &job), ["Drei Wochen im Funkloch"]);
    assert_eq!(büro.state(&job, &photo), State::Office);
    let kept = büro.core().kept_back().unwrap();
    assert!(kept.iter().all(|kept| kept.entries == 0), "{kept:?}");
    let ended = record(&world, büro.core().devices().unwrap().last().unwrap().id).ended;
    assert!(!ended.unwrap().at_once);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hub_refuses_for_now_is_handed_over_before_a_phone_is_emptied() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    anna.offline();
    anna.text(&job, "Nur auf diesem Handy");
    end(&world, Subject::Device(device_id(anna)), EndMode::Soft).await;
    anna.online();
    // As a hub that was put back to before it knew of her seat.
    world.wire.lie(|asked, answer| {
        if asked.what == "POST /v1/push" {
            let mut told: PushAnswer = cbor::decode(answer).unwrap();
            told.receipts.clear();
            told.outcomes = vec![(0, SegmentOutcome::Refused(RefusalCode::Seat))];
            *answer = cbor::encode(&told);
        }
    });
    anna.sync().await;
    let waits = anna.core().status().unwrap().outbox;
    assert!(waits.stuck > 0, "{waits:?}");
    world.wire.be_honest();
    assert!(matches!(anna.try_sync().await, Err(Error::AuthExpired)));
    büro.sync().await;
    assert_eq!(texts(büro, &job), ["Nur auf diesem Handy"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_waits_for_no_picture_that_was_erased() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let photo = anna.photo(&job, &files::photo(1200, 900, 1));
    anna.sync_within(0).await;
    let waits = || anna.core().status().unwrap().outbox;
    assert_eq!(waits().photos, 1);
    büro.sync().await;
    let erased = büro
        .core()
        .erase(&büro.seat(), &[photo], EraseReason::PersonalData);
    assert_eq!(erased.unwrap().entries, 1);
    büro.sync().await;
    anna.sync_within(0).await;
    let outbox = waits();
    assert_eq!((outbox.photos, outbox.originals, outbox.bytes), (0, 0, 0));
    end(&world, Subject::Device(device_id(anna)), EndMode::Soft).await;
    assert!(matches!(anna.try_sync().await, Err(Error::AuthExpired)));
}

/// It gets nothing of its threads any more but what is erased there: else it would bring for ever
/// what nobody takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_ended_before_it_hears_of_an_erasure_leaves_all_the_same() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let photo = anna.photo(&job, &files::photo(1200, 900, 1));
    anna.sync_within(0).await;
    büro.sync().await;
    anna.offline();
    büro.text(&job, "Das darf sie nicht mehr lesen");
    let erased = büro
        .core()
        .erase(&büro.seat(), &[photo], EraseReason::PersonalData);
    assert_eq!(erased.unwrap().entries, 1);
    büro.sync().await;
    end(&world, Subject::Device(device_id(anna)), EndMode::Soft).await;
    anna.online();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    world.wire.lie(move |asked, answer| {
        if let ("POST /v1/pull", Ok(told)) =
            (asked.what.as_str(), cbor::decode::<PullAnswer>(answer))
        {
            let ops = page::read(&told.page).unwrap().into_iter().flat_map(|raw| {
                let segment = raw.resolve(&CompanyId::ZERO, &NoBases).unwrap();
                segment.ops
            });
            hears.lock().unwrap().extend(
                ops.filter(|op| {
                    op.form.context.class.class != Class::Roster && op.payload.is_some()
                }),
            );
        }
    });
    assert!(matches!(anna.try_sync().await, Err(Error::AuthExpired)));
    let heard = heard.lock().unwrap();
    assert!(matches!(
        heard
            .iter()
            .map(|op| control::read(op.payload.as_deref().unwrap()))
            .collect::<Vec<_>>()[..],
        [Ok(Control::Erase(_))]
    ));
}

/// The erase names a roster that an ended phone never gets: to the phone, a hub refuses its picture
/// for no reason. It waits a week of hours with that hub, whatever its clock says, then it goes.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_phone_goes_in_the_end_and_says_what_nobody_took() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let photo = anna.photo(&job, &files::photo(1200, 900, 1));
    anna.sync_within(0).await;
    büro.sync().await;
    anna.offline();
    anna.text(&job, "Das kommt noch an");
    let ended = device_id(anna);
    end(&world, Subject::Device(ended), EndMode::Soft).await;
    end(
        &world,
        Subject::Person(person_ring(&world, "Jonas Huber")),
        EndMode::Soft,
    )
    .await;
    büro.sync().await;
    let erased = büro
        .core()
        .erase(&büro.seat(), &[photo], EraseReason::PersonalData);
    assert_eq!(erased.unwrap().entries, 1);
    büro.sync().await;

    anna.online();
    anna.sync().await;
    anna.later(TEN_YEARS);
    anna.sync().await;
    anna.earlier(TEN_YEARS);
    let mut tries = 0;
    let gone = loop {
        anna.later(Duration::from_mins(61));
        tries += 1;
        match anna.try_sync().await {
            Ok(report) => assert!(report.left.bytes > 0 && tries < 200, "{tries} {report:?}"),
            Err(gone) => break gone,
        }
    };
    assert!(matches!(gone, Error::AuthExpired), "{gone:?}");
    assert!(tries > 160, "{tries}");
    büro.sync().await;
    assert_eq!(texts(büro, &job), ["Das kommt noch an"]);
    let said = record(&world, ended).wiped.unwrap();
    assert_eq!(said.lost, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_with_a_phone_alone_ends_office_people_and_computers_at_once() {
    let world = World::new().await;
    let invite = |kind, device_name: &str, crew_name, seats| NewInvite {
        kind,
        device_name: device_name.to_owned(),
        crew: None,
        crew_name,
        seats,
    };
    let seats = vec![person("Olga Braun", Role::Office)];
    let neu = world
        .enrol("neu", invite(DeviceKind::Office, "Büro neu", None, seats))
        .await;
    let seats = vec![person("Petra Lang", Role::Admin)];
    let crew = Some("Kolonne 9".to_owned());
    let petra = world
        .enrol(
            "petra",
            invite(DeviceKind::Phone, "Petras Handy", crew, seats),
        )
        .await;
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.everyone_syncs().await;
    neu.sync().await;
    neu.text(&job, "Gilt noch");
    neu.sync().await;
    petra.sync().await;
    let ends = [
        Subject::Person(person_ring(&world, "Olga Braun")),
        Subject::Device(device_id(&world.büro)),
    ];
    let gone = [device_id(&world.büro), device_id(&neu)];
    neu.offline();
    neu.text(&job, "Zu spät");
    let seat = petra.seat();
    for subject in ends {
        let ended = petra.core().end(&seat, subject, EndMode::Hard).await;
        ended.unwrap();
    }
    // What was at the hub counts, what came later is kept back.
    neu.online();
    let _ = neu.try_sync().await;
    world.kolonne_3.sync().await;
    assert_eq!(texts(&world.kolonne_3, &job), ["Gilt noch"]);
    let devices = petra.core().devices().unwrap();
    let ended = devices.iter().filter(|device| device.ended.is_some());
    assert_eq!(ended.filter(|device| gone.contains(&device.id)).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dismissed_person_leaves_the_crew_phone_to_the_others() {
    let world = World::new().await;
    let (büro, phone) = (&world.büro, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.everyone_syncs().await;
    let (mehmet, jonas) = (phone.seat_of("Mehmet Yılmaz"), phone.seat_of("Jonas Huber"));
    phone.offline();
    phone.text_as(&jonas, &job, "Letztes Foto kommt noch");
    end(
        &world,
        Subject::Person(person_ring(&world, "Jonas Huber")),
        EndMode::Soft,
    )
    .await;
    phone.online();
    phone.sync().await;
    let seats = phone.core().me().unwrap().seats;
    assert_eq!(seats.len(), 1);
    let refused = phone
        .core()
        .send_text(&jonas, &job, "Noch was", &About::default());
    assert!(matches!(refused, Err(Error::AuthExpired)));
    phone.text_as(&mehmet, &job, "Ich bleibe");
    phone.sync().await;
    büro.sync().await;
    assert_eq!(texts(büro, &job), ["Letztes Foto kommt noch", "Ich bleibe"]);
    assert!(record(&world, device_id(phone)).ended.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_phone_reads_the_new_crew_and_no_more_of_the_old() {
    let world = World::new().await;
    let (büro, moved) = (&world.büro, &world.kolonne_3);
    let crew = vec![person("Timo Fuchs", Role::Crew)];
    let seven = world
        .enrol("kolonne-7", phone("Handy Kolonne 7", "Kolonne 7", crew))
        .await;
    let old = world.job("Alt", &["Kolonne 3"]);
    let new = world.job("Neu", &["Kolonne 7"]);
    world.everyone_syncs().await;
    moved.offline();
    moved.text(&old, "Noch für die alte Kolonne");
    let to = world.ring("Kolonne 7");
    let seat = büro.seat();
    büro
        .core()
        .move_device(&seat, &device_id(moved), &to)
        .await
        .unwrap();
    büro.text(&old, "Ohne euch");
    büro.text(&new, "Mit euch");
    büro.sync().await;
    moved.online();
    moved.sync().await;
    moved.sync().await;
    büro.sync().await;
    assert_eq!(
        texts(büro, &old),
        ["Noch für die alte Kolonne", "Ohne euch"]
    );
    assert_eq!(texts(moved, &new), ["Mit euch"]);
    assert_eq!(texts(moved, &old), ["Noch für die alte Kolonne"]);
    moved.text(&new, "Wir sind da");
    moved.sync().await;
    seven.sync().await;
    assert_eq!(texts(&seven, &new), ["Mit euch", "Wir sind da"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_office_ends_rights_and_nobody_their_own() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let crew_phone = Subject::Device(device_id(&world.kolonne_3));
    let by_anna = anna
        .core()
        .end(&anna.seat(), crew_phone, EndMode::Hard)
        .await;
    assert!(
        matches!(by_anna, Err(Error::Locked { code: "right" })),
        "{by_anna:?}"
    );
    for own in [
        Subject::Device(device_id(büro)),
        Subject::Person(person_ring(&world, "Sabine Brandt")),
        Subject::Seat(büro.seat()),
    ] {
        let refused = büro.core().end(&büro.seat(), own, EndMode::Hard).await;
        let own = Error::Invalid {
            field: "subject",
            code: "own",
        };
        assert_eq!(refused.unwrap_err().code(), own.code());
    }
    end(&world, crew_phone, EndMode::Soft).await;
    let again = büro
        .core()
        .end(&büro.seat(), crew_phone, EndMode::Soft)
        .await;
    assert_eq!(again.unwrap_err().code(), "invalid.subject.ended");
    let role = büro
        .core()
        .set_role(&büro.seat(), &person_ring(&world, "Anna Weber"), Role::Crew)
        .await;
    role.unwrap();
    anna.sync().await;
    assert_eq!(anna.core().me().unwrap().seats[0].role, Role::Crew);
    let new = NewJob {
        title: "Darf ich nicht mehr".to_owned(),
        ..NewJob::default()
    };
    let opened = anna.core().open_job(&anna.seat(), &new);
    assert!(matches!(opened, Err(Error::Locked { code: "right" })));
}

/// The wrapped keys beside control ops, oldest first.
fn key_files(device: &Device) -> Vec<Vec<u8>> {
    let db = device.database();
    let sql = "SELECT p.bytes FROM parts p JOIN ops o ON o.id = p.op
         WHERE o.class = 2 AND substr(p.bytes, 1, 3) = x'616765' ORDER BY o.arrival";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0));
    rows.unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_with_all_keys_of_a_phone_and_all_files_of_the_hub_opens_nothing_new() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    anna.text(&job, "Vorher");
    world.everyone_syncs().await;
    let stolen = anna.secrets();
    let old = key_files(büro);
    let opens = |file: &Vec<u8>| crypt::open(file, &stolen, 1 << 16).is_ok();
    assert!(old.iter().any(opens), "the phone's keys opened the thread");
    end(&world, Subject::Device(device_id(anna)), EndMode::Hard).await;
    büro.text(&job, "Nachher");
    büro.sync().await;
    let new = key_files(büro);
    let made: Vec<_> = new.iter().filter(|file| !old.contains(file)).collect();
    assert!(!made.is_empty(), "a new key was made before the next word");
    assert!(!made.into_iter().any(opens));
    // The rings' new secrets are wrapped in the roster: for others.
    let db = büro.database();
    let roster: Vec<u8> = db
        .query_row(
            "SELECT p.payload FROM payloads p JOIN ops o ON o.id = p.op WHERE o.class = 3
             ORDER BY o.seq DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let body = kolonne_model::roster::read_body(Some(&roster)).unwrap();
    let rings = body.changes.iter().filter_map(|change| match change {
        Change::Ring(ring) => Some(ring),
        _ => None,
    });
    let wraps: Vec<_> = rings.flat_map(|ring| &ring.wraps).collect();
    assert_eq!(
        wraps.len(),
        2,
        "her crew's for the office, hers for the kit"
    );
    assert!(wraps.iter().all(|wrap| !opens(&wrap.file.to_vec())));

    // All that has come to the hub since, pictures and sealed things too: not one stanza is his.
    let job_keys: Vec<Vec<u8>> = {
        let db = anna.database();
        let mut keys = db.prepare("SELECT key FROM thread_keys").unwrap();
        let keys = keys.query_map([], |row| row.get(0)).unwrap();
        keys.map(Result::unwrap).collect()
    };
    let known = age_files(&world.path("hub"));
    let photo = büro.photo(&job, &files::photo(800, 600, 5));
    let text = büro.text(&job, "Auch das nicht");
    let (seat, about) = (büro.seat(), About::default());
    let to = SealFor {
        people: Vec::new(),
        office: true,
    };
    let file: (&str, &[u8]) = ("Lohn.txt", b"2.345 EUR");
    let sealed = büro.core().seal(&seat, &job, &to, file, &about).unwrap();
    büro.sync().await;
    for op in [photo, text, sealed] {
        assert!(!job_keys.contains(&büro.key_of(&op)), "a key he never had");
    }
    let files = age_files(&world.path("hub"));
    let new: Vec<_> = files.iter().filter(|file| !known.contains(*file)).collect();
    assert!(
        new.len() >= 4,
        "thumb, picture, original, sealed: {}",
        new.len()
    );
    for (file, identity) in new
        .iter()
        .flat_map(|f| stolen.iter().map(move |id| (f, id)))
    {
        let opened = crypt::open(file, std::slice::from_ref(identity), 1 << 26);
        assert!(matches!(opened, Err(CryptError::NoMatch)));
    }
}

/// Every age file that lies in a folder, alone or within a row of the hub's database.
fn age_files(folder: &Path) -> BTreeSet<Vec<u8>> {
    const MAGIC: &[u8] = b"age-encryption.org/v1\n";
    let from_magic = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let starts = bytes.windows(MAGIC.len()).enumerate();
        let starts = starts.filter(|(_, window)| *window == MAGIC);
        starts.map(|(at, _)| bytes[at..].to_vec()).collect()
    };
    let mut found = BTreeSet::new();
    for path in files_below(&folder.join("blobs")) {
        found.extend(from_magic(&std::fs::read(path).unwrap()));
    }
    let db = rusqlite::Connection::open(folder.join("hub.db")).unwrap();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut tables = db.prepare(names).unwrap();
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for table in tables.map(Result::unwrap) {
        let mut rows = db.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                if let ValueRef::Blob(bytes) = row.get_ref(column).unwrap() {
                    found.extend(from_magic(bytes));
                }
            }
        }
    }
    assert!(!found.is_empty());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_office_comes_back_with_the_kit() {
    let mut world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    world.anna.text(&job, "Ist gut");
    let photo = world.anna.photo(&job, &files::photo(800, 600, 4));
    world.everyone_syncs().await;
    let before = world.büro.thread(&job);
    let lost = device_id(&world.büro);
    world.büro.switch_off();
    world.anna.text(&job, "Wo seid ihr?");
    world.anna.sync().await;

    // The only computer of the office is gone. With the kit, Sabine sits down at another one.
    let office = |name: &str| NewOffice {
        kit: world.kit.clone().into(),
        hub_url: Some(world.wire.url()),
        hub_key: None,
        backup: None,
        undo_since: None,
        person_name: name.to_owned(),
        device_name: "Büro neu".to_owned(),
    };
    let dir = world.path("büro-2");
    let kolonne = Kolonne::recover(Config::new(&dir), office("Sabine Brandt"), |_| {}).await;
    let new = Device::new(dir, std::sync::Arc::default(), kolonne.unwrap());
    new.sync().await;
    let me = new.core().me().unwrap();
    assert_eq!(
        (me.company.as_str(), me.device_name.as_str()),
        ("Holzbau Brandt", "Büro neu")
    );
    assert_eq!((me.seats.len(), me.seats[0].role), (1, Role::Admin));
    let (people, _) = new.core().people().unwrap();
    let sabine = people
        .iter()
        .filter(|person| person.name == "Sabine Brandt");
    assert_eq!(sabine.count(), 1, "she is who she was");
    assert!(
        new.thread(&job).starts_with(before.trim_end()),
        "{}",
        new.thread(&job)
    );
    assert_eq!(texts(&new, &job).last().unwrap(), "Wo seid ihr?");
    let original = kolonne_core::records::Part::Original;
    assert!(!new.media(&photo, original).unwrap().bytes.is_empty());

    // It works as an office: answers, admits, ends what was lost, and is green on the phones.
    new.text(&job, "Da sind wir wieder");
    new.sync().await;
    world.anna.sync().await;
    assert_eq!(
        texts(&world.anna, &job).last().unwrap(),
        "Da sind wir wieder"
    );
    let seat = new.seat();
    let subject = Subject::Device(lost);
    new.core().end(&seat, subject, EndMode::Hard).await.unwrap();
    new.text(&job, "Ohne den alten Computer");
    new.sync().await;
    world.anna.sync().await;
    assert_eq!(
        texts(&world.anna, &job).last().unwrap(),
        "Ohne den alten Computer"
    );
    let text = world.anna.text(&job, "Gut");
    world.anna.sync().await;
    new.sync().await;
    world.anna.sync().await;
    assert_eq!(world.anna.state(&job, &text), State::Office);

    // The old computer, found again, is out.
    world.büro.switch_on();
    assert!(matches!(
        world.büro.try_sync().await,
        Err(Error::AuthExpired)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kit_opens_its_own_company_only_and_only_at_its_hub() {
    let world = World::new().await;
    let other = RunningHub::start(world.path("another-hub"));
    let recover = |kit: String, url: String, dir: &str| {
        let new = NewOffice {
            kit: kit.into(),
            hub_url: Some(url),
            hub_key: None,
            backup: None,
            undo_since: None,
            person_name: "Paul".to_owned(),
            device_name: "PC".to_owned(),
        };
        Kolonne::recover(Config::new(world.path(dir)), new, |_| {})
    };
    let typo = world.kit.replacen(|c: char| c.is_alphanumeric(), "0", 3);
    let refused = recover(typo, world.wire.url(), "a").await;
    assert_eq!(refused.unwrap_err().code(), "invalid.kit.malformed");
    // A hub that never heard of the company, and one that plays the roster back under its own key.
    let url = format!("http://{}", other.address);
    let refused = recover(world.kit.clone(), url, "b").await;
    assert_eq!(refused.unwrap_err().code(), "not_found.company");
    let stranger = kolonne_core::crypt::RootSeed::generate().unwrap();
    let kit = stranger.to_kit_text().to_string();
    let refused = recover(kit, world.wire.url(), "c").await;
    assert_eq!(refused.unwrap_err().code(), "not_found.company");
    // Someone new sits down.
    let kolonne = recover(world.kit.clone(), world.wire.url(), "d")
        .await
        .unwrap();
    assert_eq!(kolonne.me().unwrap().seats[0].name, "Paul");
    let taken = recover(world.kit.clone(), world.wire.url(), "d").await;
    assert_eq!(taken.unwrap_err().code(), "invalid.dir.taken");
}
