//! Rings and keys in the life of a company: what the office erases, wraps that don't open, direct
//! threads, new keys each year, and whoever was away while keys changed.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::Duration;

use kolonne_core::capture::NewJob;
use kolonne_core::records::{EntryKind, KeptBackWhy, LetInBy, Part, State};
use kolonne_core::{Budget, Error, NewInvite, SeatGrant};
use kolonne_model::control::{EraseReason, ThreadKind};
use kolonne_model::ids::{DeviceId, OpId, RingId};
use kolonne_model::roster::change::{DeviceKind, EndMode, Role, Subject};
use kolonne_tests::scribe::Scribe;
use kolonne_tests::world::{person, phone};
use kolonne_tests::{Device, JobId, World, files};
use rusqlite::Connection;

const DAY: Duration = Duration::from_hours(24);

fn device_id(device: &Device) -> DeviceId {
    device.core().me().unwrap().device
}

fn person_ring(world: &World, name: &str) -> RingId {
    let (people, _) = world.büro.core().people().unwrap();
    people.iter().find(|person| person.name == name).unwrap().id
}

fn texts(device: &Device, job: &JobId) -> Vec<String> {
    let entries = device.entries(job);
    entries.into_iter().filter_map(|entry| entry.text).collect()
}

fn count(device: &Device, sql: &str, op: &OpId) -> i64 {
    let db = device.database();
    db.query_row(sql, [op.0.as_slice()], |row| row.get(0))
        .unwrap()
}

/// Length of its write-ahead log.
fn log_bytes(device: &Device) -> u64 {
    let log = std::fs::metadata(device.dir.join("kolonne.db-wal"));
    log.map_or(0, |meta| meta.len())
}

const PAYLOADS: &str = "SELECT count(*) FROM payloads WHERE op = ?1";

/// Every value of every table, as one heap of bytes: what a search of the opened database finds.
fn everything_in(db: &Connection) -> Vec<u8> {
    let tables: Vec<String> = db
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut heap = Vec::new();
    for table in tables {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for at in 0..columns {
                match row.get_ref(at).unwrap() {
                    rusqlite::types::ValueRef::Text(bytes)
                    | rusqlite::types::ValueRef::Blob(bytes) => heap.extend_from_slice(bytes),
                    _ => {}
                }
            }
        }
    }
    heap
}

fn holds(device: &Device, word: &str) -> bool {
    let heap = everything_in(&device.database()).to_ascii_lowercase();
    let word = word.to_ascii_lowercase();
    heap.windows(word.len()).any(|at| at == word.as_bytes())
}

/// A second computer of the office, with Paul Kern.
async fn second_office(world: &World) -> Device {
    let invite = NewInvite {
        kind: DeviceKind::Office,
        device_name: "Büro 2".to_owned(),
        crew: None,
        crew_name: None,
        seats: vec![person("Paul Kern", Role::Office)],
    };
    let device = world.enrol("büro-2", invite).await;
    device.sync().await;
    device
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_office_erases_is_hidden_at_once_and_destroyed_on_every_disk() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    let text = anna.text(&job, "Mehmet hat Zwiebelfieber");
    anna.core()
        .caption(&anna.seat(), &text, "Mehmet hat Knoblauchfieber")
        .unwrap();
    world.everyone_syncs().await;
    // Nobody's role is enough to change it: the only admin isn't sent to the office.
    let hers = büro
        .core()
        .caption(&büro.seat(), &text, "Niemand ist krank");
    assert!(matches!(hers, Err(Error::Locked { code: "author" })));
    let photo = anna.photo(&job, &files::photo(900, 700, 3));
    anna.core()
        .caption(&anna.seat(), &photo, "Seine Petersilienkarte")
        .unwrap();
    anna.text(&job, "Das bleibt");
    world.everyone_syncs().await;
    let words = ["zwiebelfieber", "knoblauchfieber", "petersilienkarte"];
    for device in world.devices() {
        assert!(
            holds(device, words[1]),
            "so that the search finds something"
        );
        assert!(device.blob_files().len() >= 2);
    }

    // Only the office may. It names the entries; what was written about them goes along.
    let entries = [text, photo];
    let reason = EraseReason::PersonalData;
    let not_hers = anna.core().erase(&anna.seat(), &entries, reason);
    assert!(matches!(not_hers, Err(Error::Locked { code: "right" })));
    let erased = büro.core().erase(&büro.seat(), &entries, reason).unwrap();
    assert_eq!((erased.entries, erased.need_second, erased.days), (2, 0, 7));
    kolonne_3.offline();
    büro.sync().await;
    anna.sync().await;
    for device in [büro, anna] {
        assert_eq!(texts(device, &job), ["Das bleibt"]);
        for id in entries {
            let entry = device.entry(&job, &id);
            assert_eq!(entry.kind, EntryKind::Stub);
            let record = entry.erased.unwrap();
            assert_eq!(record.by, ["Sabine Brandt"]);
            assert!(!record.destroyed && !record.needs_second);
        }
        for word in words {
            assert!(!holds(device, word), "{word} is hidden at once");
            let found = device.core().threads(&device.seat(), word).unwrap();
            assert!(found.is_empty());
        }
        assert!(device.media(&photo, Part::Thumb).is_err());
        assert_eq!(count(device, PAYLOADS, &text), 1, "it still lies, hidden");
        let erasures = device.core().erasures().unwrap();
        assert_eq!(
            erasures.len(),
            4,
            "two entries, and what replaced their words"
        );
    }

    let logs: Vec<u64> = world
        .devices()
        .iter()
        .map(|device| log_bytes(device))
        .collect();
    // After the delay by each device's own clock it is gone, also on the one that was away.
    for device in world.devices() {
        device.later(6 * DAY);
    }
    büro.sync().await;
    assert_eq!(count(büro, PAYLOADS, &text), 1);
    for device in world.devices() {
        device.later(2 * DAY);
    }
    büro.sync().await;
    anna.sync().await;
    kolonne_3.online();
    kolonne_3.sync().await;
    assert_eq!(texts(kolonne_3, &job), ["Das bleibt"]);
    kolonne_3.later(8 * DAY);
    kolonne_3.sync().await;
    for (device, log_before) in world.devices().iter().zip(&logs) {
        for id in entries {
            assert_eq!(count(device, PAYLOADS, &id), 0, "destroyed");
            assert!(device.holds_op(&id), "its signed form stays");
            assert!(device.entry(&job, &id).erased.unwrap().destroyed);
        }
        assert_eq!(device.blob_files(), []);
        // The write-ahead log was emptied: only what came since lies in it.
        assert!(log_bytes(device) < *log_before);
        assert!(device.core().erasures().unwrap().is_empty());
        let before = device.thread(&job);
        device.core().rebuild_views().unwrap();
        assert_eq!(device.thread(&job), before);
    }
    world.everyone_syncs().await;
    assert_eq!(anna.thread(&job), büro.thread(&job));
}

/// Whoever says another's picture again keeps it there, also where it hadn't come yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_said_twice_stays_with_the_entry_that_still_shows_it() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    let mut scribe = Scribe::join(&world, world.ring("Kolonne 3")).await;
    for erases in [true, false] {
        let first = anna.photo(&job, &files::photo(900, 700, u32::from(erases)));
        anna.sync().await;
        let again = scribe.repeat(job, &first).await;
        // The crew's phone knows of both and has no picture yet.
        let words_only = Budget {
            blob_bytes: Some(0),
            ..Budget::unlimited()
        };
        kolonne_3.core().sync_once(words_only).await.unwrap();
        assert!(kolonne_3.media(&again, Part::Thumb).is_err());
        if erases {
            let reason = EraseReason::Mistake;
            büro.sync().await;
            büro.core().erase(&büro.seat(), &[first], reason).unwrap();
        } else {
            anna.core().retract(&anna.seat(), &first, None).unwrap();
        }
        anna.sync().await;
        world.everyone_syncs().await;
        for device in world.devices() {
            if erases {
                device.later(8 * DAY);
                device.sync().await;
            }
            assert!(device.media(&first, Part::Thumb).is_err());
            for part in [Part::Thumb, Part::Picture] {
                let shown = device.media(&again, part).unwrap();
                assert!(!shown.bytes.is_empty());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_hundred_need_a_second_office_person() {
    let world = World::new().await;
    let büro = &world.büro;
    let second = second_office(&world).await;
    let job = world.job("Altes Archiv", &[]);
    let entries: Vec<OpId> = (0..102)
        .map(|n| büro.text(&job, &format!("Eintrag {n}")))
        .collect();
    büro.sync().await;
    second.sync().await;
    let erase = |device: &Device, entries: &[OpId]| {
        let seat = device.seat();
        let erased = device.core().erase(&seat, entries, EraseReason::Expired);
        erased.unwrap()
    };
    let erased = erase(büro, &entries);
    assert_eq!((erased.entries, erased.need_second), (102, 2));
    // Saying it again is no second person.
    assert_eq!(erase(büro, &entries).need_second, 2);
    büro.sync().await;
    second.sync().await;
    for device in [büro, &second] {
        assert!(texts(device, &job).is_empty());
        device.later(8 * DAY);
        device.sync().await;
        let left: i64 = entries.iter().map(|op| count(device, PAYLOADS, op)).sum();
        assert_eq!(left, 2, "two wait for a second person");
    }
    let waiting: Vec<OpId> = second
        .core()
        .erasures()
        .unwrap()
        .into_iter()
        .filter(|record| record.needs_second)
        .map(|record| record.entry)
        .collect();
    assert_eq!(waiting.len(), 2);
    assert_eq!(erase(&second, &waiting).need_second, 0);
    second.sync().await;
    büro.sync().await;
    büro.sync().await;
    for device in [büro, &second] {
        device.later(8 * DAY);
        device.sync().await;
        let left: i64 = entries.iter().map(|op| count(device, PAYLOADS, op)).sum();
        assert_eq!(left, 0);
    }
}

/// A device's database, to be damaged by the story.
fn open_to_write(device: &Device) -> Connection {
    let key = std::fs::read(device.dir.join("device.key")).unwrap();
    let db = Connection::open(device.dir.join("kolonne.db")).unwrap();
    let key = data_encoding::HEXLOWER.encode(&key);
    db.execute_batch(&format!("PRAGMA key = \"x'{key}'\";"))
        .unwrap();
    db
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrap_that_does_not_open_is_complained_of_and_made_good() {
    let mut world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    world.anna.text(&job, "Für alle");
    world.everyone_syncs().await;

    // What came as the crew's wrap is for somebody else, and its keys are not there yet.
    world.kolonne_3.switch_off();
    let db = open_to_write(&world.kolonne_3);
    let other = kolonne_core::crypt::Identity::generate().unwrap();
    let file = kolonne_core::crypt::seal(&[7; 32], &[other.recipient()]).unwrap();
    db.execute(
        "UPDATE parts SET bytes = ?2 WHERE substr(bytes, 1, 3) = x'616765' AND op IN
            (SELECT id FROM ops WHERE thread = ?1 AND class = 2)",
        rusqlite::params![job.0.as_slice(), file],
    )
    .unwrap();
    for table in ["thread_keys", "view_bodies"] {
        db.execute(
            &format!("DELETE FROM {table} WHERE thread = ?1"),
            [job.0.as_slice()],
        )
        .unwrap();
    }
    drop(db);
    world.kolonne_3.switch_on();
    world.kolonne_3.core().rebuild_views().unwrap();
    assert_eq!(texts(&world.kolonne_3, &job), Vec::<String>::new());
    let waiting = world.kolonne_3.core().thread(&world.kolonne_3.seat(), &job);
    assert!(
        waiting.unwrap().row.held > 0,
        "it is being loaded, not lost"
    );

    // By itself the phone complains; nobody sends under that key meanwhile; the office wraps again.
    world.kolonne_3.sync().await;
    world.anna.sync().await;
    let complaints = world.anna.core().key_complaints().unwrap();
    assert!(!complaints.is_empty());
    world.büro.sync().await;
    let complaints = world.büro.core().key_complaints().unwrap();
    assert!(complaints.iter().all(|complaint| !complaint.is_open));
    assert_eq!(complaints[0].for_whom, "Kolonne 3");
    assert!(complaints.iter().all(|complaint| complaint.maker.is_some()));
    world.kolonne_3.sync().await;
    assert_eq!(texts(&world.kolonne_3, &job), ["Für alle"]);
    let answer = world.kolonne_3.text(&job, "Jetzt lesen wir es");
    world.everyone_syncs().await;
    assert_eq!(world.kolonne_3.state(&job, &answer), State::Office);
    let heads = |device: &Device| device.thread(&job);
    assert_eq!(heads(&world.kolonne_3), heads(&world.büro));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_that_opens_nothing_hides_no_earlier_key() {
    let mut world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    let (seat, crew) = (world.büro.seat(), world.ring("Kolonne 3"));
    world.büro.text(&job, "Unter dem ersten Schlüssel");
    let office = world.büro.core();
    office.change_members(&seat, &job, &[], &[crew]).unwrap();
    world.büro.text(&job, "Unter dem zweiten");
    let seals = |device: &Device| -> i64 {
        let sql = "SELECT count(*) FROM parts WHERE length(bytes) = 48 AND op =
            (SELECT id FROM ops WHERE thread = ?1 AND class = 2 AND id IN (SELECT op FROM parts)
                ORDER BY arrival DESC LIMIT 1)";
        let db = device.database();
        db.query_row(sql, [job.0.as_slice()], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(seals(&world.büro), 1);

    // The second key lists the first, but what it has for it is nothing.
    world.büro.switch_off();
    let db = open_to_write(&world.büro);
    let emptied = db.execute(
        "UPDATE parts SET bytes = zeroblob(48) WHERE length(bytes) = 48 AND op IN
            (SELECT id FROM ops WHERE thread = ?1)",
        [job.0.as_slice()],
    );
    assert_eq!(emptied.unwrap(), 1);
    drop(db);
    world.büro.switch_on();
    let office = world.büro.core();
    office.change_members(&seat, &job, &[crew], &[]).unwrap();
    assert_eq!(seals(&world.büro), 2, "the next key opens both by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_thread_is_for_its_people_alone() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let mehmet = person_ring(&world, "Mehmet Yılmaz");
    let crew = kolonne_3.seat_of("Mehmet Yılmaz");
    let other = kolonne_3.seat_of("Jonas Huber");
    let refused = kolonne_3
        .core()
        .open_direct(&crew, &[person_ring(&world, "Anna Weber")]);
    assert!(matches!(refused, Err(Error::Locked { code: "right" })));
    let direct = anna.core().open_direct(&anna.seat(), &[mehmet]).unwrap();
    let again = anna.core().open_direct(&anna.seat(), &[mehmet]).unwrap();
    assert_eq!(direct, again, "there is one");
    let first = anna.text(&direct, "Nur unter uns");
    world.everyone_syncs().await;

    // The office has nothing of it; on the crew's phone it is Mehmet's alone.
    assert_eq!(büro.ops_of(&direct), 0);
    assert!(!büro.knows(&direct));
    let seen_by = |seat| {
        let rows = kolonne_3.core().threads(seat, "").unwrap();
        rows.into_iter().find(|row| row.id == direct)
    };
    let row = seen_by(&crew).unwrap();
    assert_eq!(
        (row.kind, row.title.as_str()),
        (ThreadKind::Direct, "Anna Weber")
    );
    assert_eq!(
        (row.unread, row.last.unwrap().text.as_str()),
        (1, "Nur unter uns")
    );
    assert!(seen_by(&other).is_none());
    let core = kolonne_3.core();
    let not_found = |error: Error| assert_eq!(error.code(), "not_found.thread");
    not_found(core.thread(&other, &direct).unwrap_err());
    not_found(core.entries(&other, &direct, None, 10).unwrap_err());
    not_found(core.may_see(&other, &direct).unwrap_err());
    core.may_see(&crew, &direct).unwrap();
    assert!(core.threads(&other, "unter uns").unwrap().is_empty());
    assert_eq!(core.threads(&crew, "unter uns").unwrap().len(), 1);
    let about = kolonne_core::capture::About::default();
    let written = core.send_text(&other, &direct, "Was schreibt ihr?", &about);
    assert!(matches!(
        written,
        Err(Error::Locked {
            code: "member_direct"
        })
    ));
    let members =
        büro
            .core()
            .change_members(&büro.seat(), &direct, &[world.ring("Kolonne 3")], &[]);
    assert!(members.is_err());

    kolonne_3.text_as(&crew, &direct, "Bleibt unter uns");
    world.everyone_syncs().await;
    assert_eq!(texts(anna, &direct), ["Nur unter uns", "Bleibt unter uns"]);
    assert_eq!(
        anna.state(&direct, &first),
        State::Sent,
        "never at the office"
    );
    let members: Vec<String> = anna
        .core()
        .thread(&anna.seat(), &direct)
        .unwrap()
        .members
        .into_iter()
        .map(|member| member.name)
        .collect();
    assert_eq!(members, ["Anna Weber", "Mehmet Yılmaz"]);

    // An office person may be in one; the office isn't.
    let with_sabine = person_ring(&world, "Sabine Brandt");
    let second = second_office(&world).await;
    let direct = anna
        .core()
        .open_direct(&anna.seat(), &[with_sabine])
        .unwrap();
    let text = anna.text(&direct, "Chefsache");
    world.everyone_syncs().await;
    second.sync().await;
    assert_eq!(texts(büro, &direct), ["Chefsache"]);
    let crew = world.ring("Kolonne 3");
    let members = büro
        .core()
        .change_members(&büro.seat(), &direct, &[crew], &[]);
    assert!(matches!(members, Err(Error::Locked { code: "right" })));
    assert_eq!(second.ops_of(&direct), 0);
    assert_eq!(anna.state(&direct, &text), State::Sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_threads_come_back_to_a_new_phone_by_their_other_members() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let mehmet = person_ring(&world, "Mehmet Yılmaz");
    let direct = anna.core().open_direct(&anna.seat(), &[mehmet]).unwrap();
    anna.text(&direct, "Vor dem Verlust");
    world.everyone_syncs().await;
    let crew = kolonne_3.seat_of("Mehmet Yılmaz");
    kolonne_3.text_as(&crew, &direct, "Gelesen");
    world.everyone_syncs().await;

    let lost = Subject::Device(device_id(anna));
    let ended = büro.core().end(&büro.seat(), lost, EndMode::Hard).await;
    ended.unwrap();
    let invite = NewInvite {
        kind: DeviceKind::Phone,
        device_name: "Neues Handy Anna".to_owned(),
        crew: Some(world.ring("Anna Weber")),
        crew_name: None,
        seats: vec![SeatGrant {
            person: Some(person_ring(&world, "Anna Weber")),
            name: String::new(),
            role: Role::Foreman,
        }],
    };
    let new = world.enrol("anna-2", invite).await;
    new.sync().await;
    kolonne_3.sync().await;
    new.sync().await;
    assert_eq!(texts(&new, &direct), ["Vor dem Verlust", "Gelesen"]);
    new.text(&direct, "Wieder da");
    new.sync().await;
    kolonne_3.sync().await;
    new.sync().await;
    let rows = kolonne_3.core().entries(&crew, &direct, None, 10).unwrap();
    assert_eq!(
        rows.entries.last().unwrap().text.as_deref(),
        Some("Wieder da")
    );
    assert_eq!(büro.ops_of(&direct), 0);
    // It comes to rest: nobody goes on making keys.
    let ops = new.ops_of(&direct);
    for device in [kolonne_3, &new, kolonne_3, &new] {
        device.sync().await;
    }
    assert_eq!(new.ops_of(&direct), ops);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_phone_wrote_in_a_direct_thread_is_let_in_by_its_people() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let mehmet = person_ring(&world, "Mehmet Yılmaz");
    let direct = anna.core().open_direct(&anna.seat(), &[mehmet]).unwrap();
    anna.text(&direct, "Vor dem Verlust");
    world.everyone_syncs().await;
    anna.offline();
    anna.text(&direct, "Noch unterwegs");
    let photo = anna.photo(&direct, &files::photo(800, 600, 4));
    let lost = Subject::Device(device_id(anna));
    let ended = büro.core().end(&büro.seat(), lost, EndMode::Hard).await;
    ended.unwrap();
    kolonne_3.sync().await;
    anna.online();
    assert!(matches!(anna.try_sync().await, Err(Error::AuthExpired)));
    for device in [büro, kolonne_3, büro] {
        device.sync().await;
    }

    // Mehmet alone is told, and lets it in; his colleague on the same phone can't.
    let (crew, other) = (
        kolonne_3.seat_of("Mehmet Yılmaz"),
        kolonne_3.seat_of("Jonas Huber"),
    );
    let core = kolonne_3.core();
    let said = |core: &kolonne_core::Kolonne, seat| {
        let page = core.entries(seat, &direct, None, 10).unwrap();
        let texts: Vec<_> = page.entries.iter().filter_map(|e| e.text.clone()).collect();
        (texts, page.quarantined)
    };
    assert_eq!(said(core, &crew), (vec!["Vor dem Verlust".to_owned()], 2));
    let of_office = büro.core().kept_back().unwrap();
    assert!(of_office.iter().all(|kept| kept.thread != direct));
    let kept = core.kept_back().unwrap();
    let kept = kept.iter().find(|kept| kept.thread == direct).unwrap();
    assert_eq!(
        (kept.why, kept.let_in_by),
        (KeptBackWhy::Cut, LetInBy::Members)
    );
    let refused = core.admit(&other, &direct, &kept.seat);
    assert!(matches!(
        refused,
        Err(Error::Locked {
            code: "member_direct"
        })
    ));
    core.admit(&crew, &direct, &kept.seat).unwrap();
    let all = vec!["Vor dem Verlust".to_owned(), "Noch unterwegs".to_owned()];
    assert_eq!(said(core, &crew), (all.clone(), 0));
    let again = core.admit(&crew, &direct, &kept.seat);
    assert!(matches!(again, Err(Error::NotFound { kind: "kept_back" })));
    kolonne_3.sync().await;
    assert!(
        !kolonne_3
            .media(&photo, Part::Thumb)
            .unwrap()
            .bytes
            .is_empty()
    );

    // And so it counts on her new phone.
    let invite = NewInvite {
        kind: DeviceKind::Phone,
        device_name: "Neues Handy Anna".to_owned(),
        crew: Some(world.ring("Anna Weber")),
        crew_name: None,
        seats: vec![SeatGrant {
            person: Some(person_ring(&world, "Anna Weber")),
            name: String::new(),
            role: Role::Foreman,
        }],
    };
    let new = world.enrol("anna-2", invite).await;
    for device in [&new, kolonne_3, &new] {
        device.sync().await;
    }
    assert_eq!(said(new.core(), &new.seat()), (all, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_calendar_year_an_office_renews_the_rings_and_the_next_word_its_key() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let second = second_office(&world).await;
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let before = anna.text(&job, "Dieses Jahr");
    world.everyone_syncs().await;
    second.sync().await;
    let roster = |device: &Device| {
        let roster = "SELECT count(*) FROM ops WHERE class = 3";
        let n: i64 = device
            .database()
            .query_row(roster, [], |row| row.get(0))
            .unwrap();
        n
    };
    let links = roster(büro);

    // Both offices come back from the holidays at once; phones' clocks don't matter.
    for device in [büro, &second] {
        device.later(370 * DAY);
    }
    let (one, two) = tokio::join!(büro.try_sync(), second.try_sync());
    one.unwrap();
    two.unwrap();
    büro.sync().await;
    second.sync().await;
    let renewed = roster(büro);
    assert_eq!(renewed, links + 1, "one roster op for all rings");
    for _ in 0..2 {
        büro.sync().await;
        second.sync().await;
    }
    assert_eq!(roster(büro), renewed, "once a year");

    anna.sync().await;
    let after = anna.text(&job, "Nächstes Jahr");
    world.everyone_syncs().await;
    second.sync().await;
    assert_ne!(anna.key_of(&before), anna.key_of(&after));
    for device in [büro, &second, anna] {
        assert_eq!(texts(device, &job), ["Dieses Jahr", "Nächstes Jahr"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ten_years_ahead_stops_no_yearly_rotation() {
    let world = World::new().await;
    let büro = &world.büro;
    let second = second_office(&world).await;
    world.everyone_syncs().await;
    let links = || büro.core().roster_history().unwrap().len();
    let before = links();

    // One computer's clock is ten years ahead: it renews, and dates it by its clock.
    second.later(10 * 366 * DAY);
    second.sync().await;
    büro.sync().await;
    assert_eq!(links(), before + 1);
    // A year later the other one renews all the same; the one ahead answers once, and that is all.
    büro.later(370 * DAY);
    büro.sync().await;
    assert_eq!(links(), before + 2, "its turn comes by its own calendar");
    for _ in 0..3 {
        second.sync().await;
        büro.sync().await;
    }
    assert!(links() <= before + 3, "{before} {}", links());

    // The only computer that there is, with a clock that was wrong and is right again.
    let kern = world.found_another("kern").await;
    kern.sync().await;
    let links = || kern.core().roster_history().unwrap().len();
    let before = links();
    kern.later(10 * 366 * DAY);
    kern.sync().await;
    kern.earlier(10 * 366 * DAY);
    kern.sync().await;
    assert_eq!(links(), before + 1);
    kern.later(370 * DAY);
    kern.sync().await;
    kern.sync().await;
    assert_eq!(links(), before + 2, "once a year");
    // Its battery is empty: a time before any that can be says nothing.
    kern.earlier(40 * 366 * DAY);
    kern.sync().await;
    kern.later(40 * 366 * DAY);
    kern.sync().await;
    assert_eq!(links(), before + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_days_without_the_roster_are_told_and_writing_goes_on() {
    let world = World::new().await;
    let anna = &world.anna;
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let stale = || anna.core().status().unwrap().roster_stale;
    assert!(!stale());
    anna.offline();
    anna.later(Duration::from_hours(71));
    assert!(anna.try_sync().await.is_err());
    assert!(!stale());
    anna.later(Duration::from_hours(2));
    assert!(stale());
    anna.text(&job, "Ich schreibe trotzdem");
    anna.online();
    anna.sync().await;
    assert!(!stale());
    world.büro.sync().await;
    assert_eq!(texts(&world.büro, &job), ["Ich schreibe trotzdem"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_opened_on_a_stale_roster_heals_at_first_contact() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    anna.offline();

    // Meanwhile the crew's phone is lost, ended and replaced: Anna knows nothing of it.
    let lost = Subject::Device(device_id(&world.kolonne_3));
    let ended = büro.core().end(&büro.seat(), lost, EndMode::Hard).await;
    ended.unwrap();
    let invite = NewInvite {
        kind: DeviceKind::Phone,
        device_name: "Neues Handy Kolonne 3".to_owned(),
        crew: Some(world.ring("Kolonne 3")),
        crew_name: None,
        seats: vec![SeatGrant {
            person: Some(person_ring(&world, "Mehmet Yılmaz")),
            name: String::new(),
            role: Role::Crew,
        }],
    };
    let new = world.enrol("kolonne-3-neu", invite).await;
    let job = NewJob {
        title: "Vom Dach aus".to_owned(),
        members: vec![anna.ring("Kolonne 3")],
        ..NewJob::default()
    };
    let job = anna.core().open_job(&anna.seat(), &job).unwrap();
    let first = anna.text(&job, "Unter dem alten Schlüssel");
    anna.online();
    anna.sync().await;
    let second = anna.text(&job, "Unter dem neuen");
    anna.sync().await;
    assert_ne!(anna.key_of(&first), anna.key_of(&second));
    new.sync().await;
    büro.sync().await;
    let said = ["Unter dem alten Schlüssel", "Unter dem neuen"];
    for device in [anna, &new, büro] {
        assert_eq!(texts(device, &job), said);
        let head = device.core().thread(&device.seat(), &job).unwrap();
        assert_eq!((head.row.held, head.row.quarantined), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_make_a_new_key_at_once_do_no_harm() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    büro.text(&job, "Vorher");
    world.everyone_syncs().await;
    // A new phone for the crew means a new member of its ring; a removal a new generation.
    let extra = world
        .enrol(
            "aushilfe",
            phone(
                "Aushilfe",
                "Kolonne 9",
                vec![person("Ida Aushilf", Role::Crew)],
            ),
        )
        .await;
    world.everyone_syncs().await;
    let seat = büro.seat();
    let ring = world.ring("Kolonne 9");
    büro
        .core()
        .change_members(&seat, &job, &[ring], &[])
        .unwrap();
    world.everyone_syncs().await;
    büro
        .core()
        .change_members(&seat, &job, &[], &[ring])
        .unwrap();
    büro.sync().await;
    anna.sync().await;
    kolonne_3.sync().await;
    for device in world.devices() {
        device.offline();
    }
    let written: Vec<OpId> = world
        .devices()
        .iter()
        .zip(["Büro", "Anna", "Kolonne"])
        .map(|(device, text)| device.text(&job, text))
        .collect();
    for device in world.devices() {
        device.online();
    }
    world.everyone_syncs().await;
    let keys: std::collections::BTreeSet<Vec<u8>> =
        written.iter().map(|op| büro.key_of(op)).collect();
    assert_eq!(keys.len(), 3, "each made one");
    for device in world.devices() {
        assert_eq!(texts(device, &job).len(), 4);
    }
    // From now on all send under the same one.
    let next: std::collections::BTreeSet<Vec<u8>> = world
        .devices()
        .iter()
        .map(|device| device.key_of(&device.text(&job, "Weiter")))
        .collect();
    assert_eq!(next.len(), 1);
    world.everyone_syncs().await;
    assert_eq!(anna.thread(&job), büro.thread(&job));
    extra.sync().await;
    assert!(!extra.knows(&job));
}

/// Seed 3372 of the simulator.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_added_while_another_makes_a_new_key_reads_what_went_under_it() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let büro_2 = second_office(&world).await;
    let job = world.job("Carport Weiher", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    büro_2.sync().await;
    // Without the crew the next word needs a new key.
    let ring = world.ring("Kolonne 3");
    büro
        .core()
        .change_members(&büro.seat(), &job, &[], &[ring])
        .unwrap();
    world.everyone_syncs().await;
    büro_2.sync().await;
    for device in [büro, &büro_2] {
        device.offline();
    }
    büro.text(&job, "Gerüst kommt Montag");
    büro_2
        .core()
        .change_members(&büro_2.seat(), &job, &[ring], &[])
        .unwrap();
    for device in [büro, &büro_2] {
        device.online();
    }
    for _ in 0..2 {
        for device in [büro, &büro_2, anna, kolonne_3] {
            device.sync().await;
        }
    }
    assert_eq!(texts(kolonne_3, &job), ["Gerüst kommt Montag"]);
    assert_eq!(kolonne_3.thread(&job), büro.thread(&job));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crew_moved_while_it_was_away_for_three_weeks_loses_nothing() {
    let world = World::new().await;
    let (büro, kolonne_3) = (&world.büro, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.everyone_syncs().await;
    kolonne_3.offline();
    let written: Vec<String> = (1..=3)
        .map(|week| {
            kolonne_3.later(7 * DAY);
            let text = format!("Woche {week}");
            kolonne_3.text(&job, &text);
            text
        })
        .collect();
    let photo = kolonne_3.photo(&job, &files::photo(640, 480, 9));
    let (seat, device, crew) = (büro.seat(), device_id(kolonne_3), world.ring("Anna Weber"));
    let moved = büro.core().move_device(&seat, &device, &crew).await;
    moved.unwrap();
    büro.text(&job, "Nach dem Umzug");
    büro.sync().await;
    kolonne_3.online();
    world.everyone_syncs().await;
    let here = texts(büro, &job);
    for text in &written {
        assert!(here.contains(text), "{here:?}");
    }
    assert_eq!(büro.state(&job, &photo), State::Office);
    assert!(
        büro
            .core()
            .kept_back()
            .unwrap()
            .iter()
            .all(|kept| kept.entries == 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_for_ten_days_is_ended_by_the_office_when_they_are_over() {
    let world = World::new().await;
    let büro = &world.büro;
    let invite = phone(
        "Handy Aushilfe",
        "Kolonne 9",
        vec![person("Ida Aushilf", Role::Crew)],
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let until = now.unwrap() + 10 * DAY;
    let until_ms = u64::try_from(until.as_millis()).unwrap();
    let helper = world.enrol_until("aushilfe", invite, until_ms).await;
    let job = world.job("Dach Öztürk", &["Kolonne 9"]);
    büro.sync().await;
    helper.sync().await;
    helper.text(&job, "Ich helfe");
    helper.sync().await;
    let seat = helper.seat();
    let late = helper.text(&job, "Noch unterwegs");
    büro.later(9 * DAY);
    büro.sync().await;
    helper.sync().await;
    assert_eq!(helper.core().me().unwrap().seats.len(), 1);
    büro.later(2 * DAY);
    büro.sync().await;
    helper.sync().await;
    assert!(helper.core().me().unwrap().seats.is_empty());
    let about = kolonne_core::capture::About::default();
    let refused = helper.core().send_text(&seat, &job, "Und noch was", &about);
    assert!(matches!(refused, Err(Error::AuthExpired)));
    büro.sync().await;
    assert_eq!(texts(büro, &job), ["Ich helfe", "Noch unterwegs"]);
    assert_eq!(büro.state(&job, &late), State::Office);
}
