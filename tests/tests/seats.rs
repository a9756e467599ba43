//! Seats behind PINs: people who share a phone, wrong and forgotten PINs, thieves; and databases
//! that were put back or copied.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kolonne_core::capture::About;
use kolonne_core::crypt::pin::{Lock, Share};
use kolonne_core::crypt::{self, Identity};
use kolonne_core::records::{AlarmKind, LockedSeat, SeatRecord};
use kolonne_core::{Config, Error, Kolonne, PinCost};
use kolonne_model::ids::SeatId;
use kolonne_model::roster::change::{EndMode, Role, Subject};
use kolonne_tests::device::config;
use kolonne_tests::{Device, JobId, World, fence, files, world};
use rusqlite::Connection;

const MEHMET: &str = "Mehmet Yılmaz";
const JONAS: &str = "Jonas Huber";
const PIN: &str = "2749";
const WRONG: &str = "8316";

/// The crew's phone with a PIN for each, locked.
async fn with_pins() -> (World, SeatId, SeatId) {
    let world = World::new().await;
    let phone = world.kolonne_3.core();
    let (mehmet, jonas) = (
        world.kolonne_3.seat_of(MEHMET),
        world.kolonne_3.seat_of(JONAS),
    );
    phone.set_pin(&mehmet, None, Some("503917")).unwrap();
    phone.set_pin(&jonas, None, Some(PIN)).unwrap();
    phone.lock_all();
    (world, mehmet, jonas)
}

fn record(device: &Device, seat: &SeatId) -> SeatRecord {
    let seats = device.core().me().unwrap().seats;
    seats
        .into_iter()
        .find(|record| record.seat == *seat)
        .unwrap()
}

fn code(result: Result<impl std::fmt::Debug, Error>) -> String {
    result.unwrap_err().code()
}

/// What the office sees of a device's locked seats.
fn locked(world: &World, device: &Device) -> Vec<LockedSeat> {
    let id = device.core().me().unwrap().device;
    let devices = world.büro.core().devices().unwrap();
    let found = devices.into_iter().find(|device| device.id == id);
    found.unwrap().locked_seats
}

/// Puts in place what an office sees that a seat's device asked for.
async fn renew(office: &Device, by: &SeatId, seat: &SeatId) -> Result<(), Error> {
    let devices = office.core().devices().unwrap().into_iter();
    let mut waiting = devices.flat_map(|device| device.locked_seats);
    let asked = waiting.find(|waits| waits.seat == *seat);
    let asked = asked.and_then(|waits| waits.wanted).unwrap_or(*seat);
    office.core().renew_seat(by, seat, &asked).await
}

fn five_wrong(device: &Device, seat: &SeatId) {
    for _ in 0..4 {
        assert_eq!(code(device.core().unlock(seat, WRONG)), "locked.wrong_pin");
    }
    assert_eq!(code(device.core().unlock(seat, WRONG)), "locked.locked_out");
}

fn say(device: &Device, seat: &SeatId, job: &JobId) -> Result<(), Error> {
    let about = About::default();
    device.core().send_text(seat, job, "Ja.", &about).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_on_a_crew_phone_switch_and_each_op_bears_its_author() {
    let (world, mehmet, jonas) = with_pins().await;
    let phone = &world.kolonne_3;
    let job = world.job("Dach Weiherstraße", &["Kolonne 3"]);
    world.everyone_syncs().await;
    assert!(phone.knows(&job), "reading and syncing need no person");
    assert_eq!(code(say(phone, &mehmet, &job)), "locked.pin");
    phone.core().unlock(&mehmet, "503917").unwrap();
    assert_eq!(code(say(phone, &jonas, &job)), "locked.pin");
    let first = phone.text_as(&mehmet, &job, "Gerüst steht");
    phone.core().lock(&mehmet);
    phone.core().unlock(&jonas, PIN).unwrap();
    assert_eq!(code(say(phone, &mehmet, &job)), "locked.pin");
    let second = phone.text_as(&jonas, &job, "Ziegel fehlen");
    phone.core().lock_all();
    world.everyone_syncs().await;
    assert_eq!(world.büro.entry(&job, &first).author.name, MEHMET);
    assert_eq!(world.büro.entry(&job, &second).author.name, JONAS);
    let by = |op: &kolonne_model::ids::OpId| -> Vec<u8> {
        let sql = "SELECT seat FROM ops WHERE id = ?1";
        let db = world.büro.database();
        db.query_row(sql, [op.0.as_slice()], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(
        (by(&first), by(&second)),
        (mehmet.0.to_vec(), jonas.0.to_vec())
    );
}

/// The figure for the README: `cargo test --release -p kolonne-tests --test seats switching -- --nocapture`
#[tokio::test(flavor = "multi_thread")]
async fn switching_people_at_the_real_cost() {
    let (mut world, mehmet, jonas) = with_pins().await;
    let phone = &mut world.kolonne_3;
    phone.switch_off();
    let real = Config {
        pin_cost: PinCost::default(),
        ..config(phone.dir.clone(), &phone.clock_off_ms)
    };
    let kolonne = Kolonne::open(real).unwrap();
    // The first right PIN puts the seat behind the dearer lock.
    kolonne.unlock(&mehmet, "503917").unwrap();
    kolonne.unlock(&jonas, PIN).unwrap();
    kolonne.lock_all();
    let began = Instant::now();
    kolonne.unlock(&mehmet, "503917").unwrap();
    println!("switch to another person: {:?}", began.elapsed());
    let sql = "SELECT DISTINCT memory_kib, passes, lanes FROM seat_locks";
    let db = phone.database();
    let costs: (u32, u32, u32) = db
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    assert_eq!(costs, (64 * 1024, 3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_are_asked_for_changed_and_kept_where_people_share() {
    let (world, mehmet, jonas) = with_pins().await;
    let phone = world.kolonne_3.core();
    let set = |old, new| phone.set_pin(&jonas, old, new);
    for (pin, why) in [
        ("0000", "easy"),
        ("1234", "easy"),
        ("12", "malformed"),
        ("12a4", "malformed"),
    ] {
        assert_eq!(
            code(set(Some(PIN), Some(pin))),
            format!("invalid.pin.{why}")
        );
    }
    assert_eq!(code(set(None, Some("6205"))), "locked.pin");
    assert_eq!(code(set(Some(WRONG), Some("6205"))), "locked.wrong_pin");
    assert_eq!(record(&world.kolonne_3, &jonas).tries_left, 4);
    assert_eq!(code(set(Some(PIN), None)), "invalid.pin.required");
    set(Some(PIN), Some("6205")).unwrap();
    phone.lock_all();
    assert_eq!(code(phone.unlock(&jonas, PIN)), "locked.wrong_pin");
    phone.unlock(&jonas, "6205").unwrap();
    assert_eq!(record(&world.kolonne_3, &jonas).tries_left, 5);
    assert!(record(&world.kolonne_3, &mehmet).locked);

    // Alone on a device, a PIN is everyone's own choice.
    let anna = world.anna.seat();
    let alone = world.anna.core();
    assert!(!record(&world.anna, &anna).has_pin);
    alone.set_pin(&anna, None, Some(PIN)).unwrap();
    assert!(record(&world.anna, &anna).has_pin);
    alone.set_pin(&anna, Some(PIN), None).unwrap();
    alone.lock_all();
    assert!(
        !record(&world.anna, &anna).locked,
        "without a PIN it is open"
    );
    let job = world.job("Ohne PIN", &["Anna Weber"]);
    world.everyone_syncs().await;
    world.anna.text(&job, "Geht");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_pins_lock_a_seat_until_the_office_opens_it() {
    let (world, mehmet, jonas) = with_pins().await;
    let phone = &world.kolonne_3;
    world.everyone_syncs().await;
    for left in [4, 3, 2, 1] {
        assert_eq!(code(phone.core().unlock(&jonas, WRONG)), "locked.wrong_pin");
        assert_eq!(record(phone, &jonas).tries_left, left);
    }
    phone.core().unlock(&jonas, PIN).unwrap();
    assert_eq!(record(phone, &jonas).tries_left, 5);
    phone.offline();
    five_wrong(phone, &jonas);
    assert_eq!(code(phone.core().unlock(&jonas, PIN)), "locked.locked_out");
    assert_eq!(record(phone, &jonas).tries_left, 0);
    assert_eq!(
        code(say(phone, &jonas, &world.job("x", &[]))),
        "locked.locked_out"
    );
    phone.core().unlock(&mehmet, "503917").unwrap();
    assert!(locked(&world, phone).is_empty());
    phone.online();
    world.everyone_syncs().await;
    let seen = locked(&world, phone);
    assert_eq!((seen[0].seat, seen[0].name.as_str()), (jonas, JONAS));
    assert!(seen[0].locked_ms.is_some());

    let foreman = world.anna.core().unlock_seat(&world.anna.seat(), &jonas);
    assert_eq!(code(foreman), "locked.right");
    let office = world.büro.core();
    assert_eq!(
        code(office.unlock_seat(&world.büro.seat(), &mehmet)),
        "not_found.locked_seat"
    );
    office.unlock_seat(&world.büro.seat(), &jonas).unwrap();
    assert!(locked(&world, phone).is_empty());
    world.everyone_syncs().await;
    assert_eq!(code(phone.core().unlock(&jonas, WRONG)), "locked.wrong_pin");
    phone.core().unlock(&jonas, PIN).unwrap();

    // A second time, by a share that the first answer doesn't bring back.
    five_wrong(phone, &jonas);
    world.everyone_syncs().await;
    assert_eq!(code(phone.core().unlock(&jonas, PIN)), "locked.locked_out");
    office.unlock_seat(&world.büro.seat(), &jonas).unwrap();
    world.everyone_syncs().await;
    phone.core().unlock(&jonas, PIN).unwrap();
}

/// All private keys in clear in a device's database.
fn secrets(db: &Connection) -> Vec<Identity> {
    let sql = "SELECT secret FROM ring_secrets UNION ALL SELECT identity FROM own_seats
         UNION ALL SELECT back FROM seat_locks WHERE back IS NOT NULL
         UNION ALL SELECT value FROM meta WHERE key = 'device_identity'";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement
        .query_map([], |row| row.get::<_, Vec<u8>>(0))
        .unwrap();
    rows.filter_map(|row| row.unwrap().try_into().ok())
        .map(|bytes: [u8; 32]| Identity::from_bytes(&bytes).unwrap())
        .collect()
}

/// Every value of 32 bytes in a database.
fn values(db: &Connection) -> Vec<Share> {
    let sql = "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name NOT LIKE 'view_search%'";
    let columns: Vec<(String, String)> = db
        .prepare(sql)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut all = Vec::new();
    for (table, column) in columns {
        let sql = format!("SELECT {column} FROM {table} WHERE typeof({column}) = 'blob'");
        let mut statement = db.prepare(&sql).unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, Vec<u8>>(0))
            .unwrap();
        let fitting = rows.filter_map(|row| <[u8; 32]>::try_from(row.unwrap()).ok());
        all.extend(fitting.map(Share::new));
    }
    all
}

fn lock_of(db: &Connection, seat: &SeatId) -> (Lock, Option<Share>) {
    let sql =
        "SELECT memory_kib, passes, lanes, salt, sealed, share FROM seat_locks WHERE seat = ?1";
    db.query_row(sql, [seat.0.as_slice()], |row| {
        let cost = PinCost {
            memory_kib: row.get(0)?,
            passes: row.get(1)?,
            lanes: row.get(2)?,
        };
        let lock = Lock {
            cost,
            salt: row.get(3)?,
            sealed: row.get(4)?,
        };
        let share: Option<[u8; 32]> = row.get(5)?;
        Ok((lock, share.map(Share::new)))
    })
    .unwrap()
}

fn every_pin() -> impl Iterator<Item = String> {
    (0..10_000).map(|pin| format!("{pin:04}"))
}

/// He has the phone's files, its key, and all the time there is.
#[tokio::test(flavor = "multi_thread")]
async fn after_five_wrong_pins_a_thief_with_the_database_and_its_key_opens_nothing() {
    let (world, _, jonas) = with_pins().await;
    let sabine = world.büro.seat();
    world.büro.core().set_pin(&sabine, None, Some(PIN)).unwrap();
    world.büro.core().lock_all();
    world.everyone_syncs().await;
    for (device, seat) in [(&world.kolonne_3, jonas), (&world.büro, sabine)] {
        let (lock, share) = lock_of(&device.database(), &seat);
        let share = share.unwrap();
        // Before, the PIN alone is found: that is what the five tries are for.
        let found = every_pin().find(|pin| lock.open(pin, &share, &seat).unwrap().is_some());
        assert_eq!(found.as_deref(), Some(PIN));

        five_wrong(device, &seat);
        device.sync().await;
        let db = device.database();
        let (lock, gone) = lock_of(&db, &seat);
        assert_eq!(gone, None);
        let values = values(&db);
        assert!(values.len() > 10 && !values.contains(&share));
        for guess in &values {
            assert!(lock.open(PIN, guess, &seat).unwrap().is_none());
        }
        let zero = Share::new([0; 32]);
        assert!(every_pin().all(|pin| lock.open(&pin, &zero, &seat).unwrap().is_none()));
        // Nor does any key on it open what it gave into safe keeping.
        let sql = "SELECT share FROM view_seat_locks WHERE seat = ?1";
        let kept: Vec<u8> = db
            .query_row(sql, [seat.0.as_slice()], |row| row.get(0))
            .unwrap();
        assert!(crypt::open(&kept, &secrets(&db), 32).is_err());
    }
}

/// What a locked phone holds of its people is closed: no signing key, no ring of a person.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_phones_database_holds_no_persons_keys() {
    let (world, _, _) = with_pins().await;
    let db = world.kolonne_3.database();
    let clear: i64 = db
        .query_row(
            "SELECT sum(length(signing) + length(identity)) FROM own_seats",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(clear, 0);
    let rings = db
        .query_row("SELECT count(*) FROM ring_secrets", [], |row| {
            row.get::<_, i64>(0)
        })
        .unwrap();
    assert_eq!(rings, 1, "its crew's ring alone");
}

/// A try is counted before it is made: ending the process in between gives none back.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_tries_gives_no_free_one() {
    let (world, _, jonas) = with_pins().await;
    let phone = &world.kolonne_3;
    let passes = |n: u32| {
        let db = phone.database();
        db.execute_batch("PRAGMA query_only = 0").unwrap();
        db.execute("UPDATE seat_locks SET passes = ?1", [n])
            .unwrap();
    };
    // So dear that no guess ends before it is killed.
    passes(u32::MAX);
    for left in (0..5).rev() {
        let mut guess = Command::new(env!("CARGO_BIN_EXE_guess"))
            .args([phone.dir.to_str().unwrap(), &jonas.to_string(), PIN])
            .spawn()
            .unwrap();
        let began = Instant::now();
        while record(phone, &jonas).tries_left != left {
            assert!(began.elapsed() < Duration::from_secs(30), "it tries");
            tokio::task::yield_now().await;
        }
        guess.kill().unwrap();
        guess.wait().unwrap();
    }
    passes(1);
    assert_eq!(code(phone.core().unlock(&jonas, PIN)), "locked.locked_out");
    assert_eq!(lock_of(&phone.database(), &jonas).1, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_on_a_shared_phone_lock_by_themselves() {
    let (world, mehmet, _) = with_pins().await;
    let phone = &world.kolonne_3;
    let job = world.job("Dach", &["Kolonne 3", "Anna Weber"]);
    world.everyone_syncs().await;
    let minutes = |n| Duration::from_mins(n);
    let (anna, sabine) = (world.anna.seat(), world.büro.seat());
    world.anna.core().set_pin(&anna, None, Some(PIN)).unwrap();
    world.büro.core().set_pin(&sabine, None, Some(PIN)).unwrap();
    phone.core().unlock(&mehmet, "503917").unwrap();
    for _ in 0..3 {
        phone.later(minutes(4));
        say(phone, &mehmet, &job).unwrap();
    }
    phone.later(minutes(5));
    assert!(record(phone, &mehmet).locked);
    assert_eq!(code(say(phone, &mehmet, &job)), "locked.pin");
    // A clock that was set back keeps nobody in.
    phone.core().unlock(&mehmet, "503917").unwrap();
    phone.earlier(Duration::from_hours(24));
    assert_eq!(code(say(phone, &mehmet, &job)), "locked.pin");
    phone.later(Duration::from_hours(24));
    // Alone, or in the office, nothing locks unless the company says so.
    for device in [&world.anna, &world.büro] {
        device.later(minutes(600));
        say(device, &device.seat(), &job).unwrap();
    }
    assert_eq!(
        code(world.anna.core().set_auto_lock(&anna, 0)),
        "locked.right"
    );
    world.büro.core().set_auto_lock(&sabine, 2).unwrap();
    world.everyone_syncs().await;
    let held = [&world.anna, phone].map(|device| device.core().auto_lock_min().unwrap());
    assert_eq!(held, [2, 2]);
    world.anna.later(minutes(2));
    assert_eq!(code(say(&world.anna, &anna, &job)), "locked.pin");
    world.büro.later(minutes(600));
    say(&world.büro, &sabine, &job).unwrap();
    world.büro.core().set_auto_lock(&sabine, 0).unwrap();
    world.everyone_syncs().await;
    phone.core().unlock(&mehmet, "503917").unwrap();
    phone.later(minutes(600));
    say(phone, &mehmet, &job).unwrap();
}

/// The seat locks while a photo is being recoded; it is still that person's.
#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_was_begun_ends_as_its_authors() {
    let (mut world, _, jonas) = with_pins().await;
    let job = world.job("Dach", &["Kolonne 3"]);
    world.everyone_syncs().await;
    world.kolonne_3.switch_off();
    let locks: Arc<Mutex<Option<Kolonne>>> = Arc::default();
    let asked = Arc::new(AtomicU32::new(0));
    let (held, counted) = (Arc::clone(&locks), Arc::clone(&asked));
    let plain = config(world.kolonne_3.dir.clone(), &world.kolonne_3.clock_off_ms);
    let clock = Arc::clone(&plain.clock);
    let kolonne = Kolonne::open(Config {
        clock: Arc::new(move || {
            // Twice at the beginning of a capture, for who writes; then for when it was written.
            if counted.fetch_add(1, Ordering::Relaxed) >= 2
                && let Some(kolonne) = held.lock().unwrap().take()
            {
                kolonne.lock_all();
            }
            clock()
        }),
        ..plain
    })
    .unwrap();
    kolonne.unlock(&jonas, PIN).unwrap();
    *locks.lock().unwrap() = Some(kolonne.clone());
    asked.store(0, Ordering::Relaxed);
    let about = About::default();
    let photo = files::photo(640, 480, 1);
    let id = kolonne.send_photo(&jonas, &job, &photo, &about).unwrap();
    assert!(locks.lock().unwrap().is_none(), "it locked meanwhile");
    let next = kolonne.send_text(&jonas, &job, "Noch was", &about);
    assert_eq!(code(next), "locked.pin");
    drop(kolonne);
    world.kolonne_3.switch_on();
    world.everyone_syncs().await;
    assert_eq!(world.büro.entry(&job, &id).author.name, JONAS);
}

/// What only a person's ring opens is read as soon as that person is in.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_for_a_locked_person_opens_with_their_pin() {
    let (world, _, jonas) = with_pins().await;
    let phone = &world.kolonne_3;
    let person = {
        let (people, _) = world.büro.core().people().unwrap();
        people
            .iter()
            .find(|person| person.name == JONAS)
            .unwrap()
            .id
    };
    let new = kolonne_core::capture::NewJob {
        title: "Nur für Jonas".to_owned(),
        members: vec![person],
        ..Default::default()
    };
    let job = world
        .büro
        .core()
        .open_job(&world.büro.seat(), &new)
        .unwrap();
    world.büro.text(&job, "Kommst du ins Büro?");
    world.everyone_syncs().await;
    let texts = || -> Vec<String> {
        let page = phone.core().entries(&jonas, &job, None, 50);
        let entries = page.map(|page| page.entries).unwrap_or_default();
        entries.into_iter().filter_map(|entry| entry.text).collect()
    };
    assert_eq!(texts(), Vec::<String>::new());
    phone.core().unlock(&jonas, PIN).unwrap();
    assert_eq!(texts(), ["Kommst du ins Büro?"]);
    world.büro.text(&job, "Heute noch.");
    world.everyone_syncs().await;
    assert_eq!(texts(), ["Kommst du ins Büro?", "Heute noch."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_pin_is_a_new_seat() {
    let (world, mehmet, jonas) = with_pins().await;
    let phone = &world.kolonne_3;
    let job = world.job("Dach", &["Kolonne 3"]);
    world.everyone_syncs().await;
    phone.core().unlock(&jonas, PIN).unwrap();
    phone.text_as(&jonas, &job, "Vorher");
    phone.core().lock_all();
    let sabine = world.büro.seat();
    let nobody_asked = renew(&world.büro, &sabine, &jonas).await;
    assert_eq!(code(nobody_asked), "not_found.wanted_seat");
    assert_eq!(
        code(phone.core().want_new_seat(&jonas, "1111")),
        "invalid.pin.easy"
    );
    phone.core().want_new_seat(&jonas, "3092").unwrap();
    // Nobody at the phone puts another one in its place, but for who has the old PIN.
    assert_eq!(
        code(phone.core().want_new_seat(&jonas, "3094")),
        "invalid.seat.wanted"
    );
    phone.core().unlock(&jonas, PIN).unwrap();
    assert!(
        !record(phone, &jonas).new_wanted,
        "the right PIN withdraws it"
    );
    phone.core().want_new_seat(&jonas, "3094").unwrap();
    phone.core().lock_all();
    assert!(record(phone, &jonas).new_wanted);
    world.everyone_syncs().await;
    assert!(locked(&world, phone)[0].new_wanted);
    assert_eq!(
        code(renew(&world.anna, &world.anna.seat(), &jonas).await),
        "locked.right"
    );
    renew(&world.büro, &sabine, &jonas).await.unwrap();
    assert!(locked(&world, phone).is_empty());
    // Not heard of it yet, so the old one still writes, and it counts.
    phone.core().unlock(&jonas, PIN).unwrap();
    phone.text_as(&jonas, &job, "Auf dem Weg");
    world.everyone_syncs().await;

    let new = phone.seat_of(JONAS);
    assert_ne!(new, jonas);
    assert_eq!(code(say(phone, &jonas, &job)), "auth_expired");
    assert_eq!(code(say(phone, &new, &job)), "locked.pin");
    assert_eq!(code(phone.core().unlock(&new, "3092")), "locked.wrong_pin");
    phone.core().unlock(&new, "3094").unwrap();
    phone.text_as(&new, &job, "Nachher");
    world.everyone_syncs().await;
    let said = |device: &Device| -> Vec<(String, String)> {
        let entries = device.entries(&job).into_iter();
        entries
            .filter_map(|e| Some((e.author.name, e.text?)))
            .collect()
    };
    let all = ["Vorher", "Auf dem Weg", "Nachher"].map(|text| (JONAS.to_owned(), text.to_owned()));
    for device in [&world.büro, phone] {
        assert_eq!(said(device), all);
    }
    // The new one has five tries and its share is in safe keeping too.
    five_wrong(phone, &new);
    world.everyone_syncs().await;
    world.büro.core().unlock_seat(&sabine, &new).unwrap();
    world.everyone_syncs().await;
    phone.core().unlock(&new, "3094").unwrap();
    assert!(record(phone, &mehmet).has_pin);
}

/// Who shares the phone asks for a colleague's seat under a PIN of his own.
#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_who_asks_for_a_seat_loses_it_to_the_right_pin() {
    let (world, mehmet, _) = with_pins().await;
    let (büro, phone) = (&world.büro, &world.kolonne_3);
    phone.core().want_new_seat(&mehmet, "3092").unwrap();
    world.everyone_syncs().await;
    let asked = locked(&world, phone);
    assert!(asked[0].new_wanted && asked[0].wanted_ms.is_some());
    assert_eq!((asked[0].used_ms, asked[0].withdrawn_ms), (None, None));
    // A wrong PIN is no word of its person.
    assert_eq!(
        code(phone.core().unlock(&mehmet, WRONG)),
        "locked.wrong_pin"
    );
    assert!(record(phone, &mehmet).new_wanted);
    phone.core().unlock(&mehmet, "503917").unwrap();
    assert!(!record(phone, &mehmet).new_wanted);
    world.everyone_syncs().await;
    let told = locked(&world, phone);
    assert!(
        !told[0].new_wanted && told[0].withdrawn_ms.is_some(),
        "the office hears of it"
    );
    let renewed = renew(büro, &büro.seat(), &mehmet).await;
    assert_eq!(code(renewed), "not_found.wanted_seat");
    // Whoever forgets it later still asks anew.
    phone.core().want_new_seat(&mehmet, "4073").unwrap();
    world.everyone_syncs().await;
    renew(büro, &büro.seat(), &mehmet).await.unwrap();
    world.everyone_syncs().await;
    let new = phone.seat_of(MEHMET);
    phone.core().unlock(&new, "4073").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_office_puts_the_very_seat_in_place_that_it_looked_at() {
    let (world, mehmet, _) = with_pins().await;
    let (büro, phone) = (&world.büro, &world.kolonne_3);
    phone.core().unlock(&mehmet, "503917").unwrap();
    phone.core().want_new_seat(&mehmet, "3094").unwrap();
    world.everyone_syncs().await;
    let looked_at = locked(&world, phone)[0].wanted.unwrap();
    // While the clerk calls, the phone asks for another one.
    phone.core().want_new_seat(&mehmet, "4073").unwrap();
    phone.sync().await;
    let sabine = büro.seat();
    let renewed = büro.core().renew_seat(&sabine, &mehmet, &looked_at).await;
    assert_eq!(code(renewed), "invalid.seat.wanted_again");
    let now = locked(&world, phone)[0].wanted.unwrap();
    assert_ne!(now, looked_at);
    büro
        .core()
        .renew_seat(&sabine, &mehmet, &now)
        .await
        .unwrap();
    world.everyone_syncs().await;
    assert_eq!(phone.seat_of(MEHMET), now);
    phone.core().unlock(&now, "4073").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_seat_lasts_no_longer_than_the_old_one_and_an_ended_one_is_not_renewed() {
    let (world, mehmet, jonas) = with_pins().await;
    let (büro, phone) = (&world.büro, &world.kolonne_3);
    let sabine = büro.seat();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let until = now + Duration::from_hours(10 * 24);
    let invite = world::phone(
        "Handy Aushilfe",
        "Kolonne 9",
        vec![world::person("Ida Aushilf", Role::Crew)],
    );
    let until_ms = u64::try_from(until.as_millis()).unwrap();
    let helper = world.enrol_until("aushilfe", invite, until_ms).await;
    helper.sync().await;
    let old = helper.seat();
    helper.core().set_pin(&old, None, Some(PIN)).unwrap();
    helper.core().want_new_seat(&old, "3094").unwrap();
    helper.sync().await;
    büro.sync().await;
    renew(büro, &sabine, &old).await.unwrap();
    helper.sync().await;
    assert_ne!(helper.seat(), old);
    büro.later(Duration::from_hours(11 * 24));
    büro.sync().await;
    helper.sync().await;
    assert!(helper.core().me().unwrap().seats.is_empty());

    // Asked for before they ended: a seat, and another on a device.
    phone.core().want_new_seat(&jonas, "3094").unwrap();
    phone.core().want_new_seat(&mehmet, "3094").unwrap();
    world.everyone_syncs().await;
    let device = phone.core().me().unwrap().device;
    for (seat, subject) in [
        (jonas, Subject::Seat(jonas)),
        (mehmet, Subject::Device(device)),
    ] {
        let core = büro.core();
        core.end(&sabine, subject, EndMode::Soft).await.unwrap();
        let renewed = renew(büro, &sabine, &seat).await;
        assert_eq!(code(renewed), "not_found.wanted_seat");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreman_with_a_renewed_seat_changes_who_is_in_her_own_job() {
    let world = World::new().await;
    let anna = &world.anna;
    let job = kolonne_core::capture::NewJob {
        title: "Carport Lehner".to_owned(),
        ..Default::default()
    };
    let old = anna.seat();
    let job = anna.core().open_job(&old, &job).unwrap();
    anna.core().set_pin(&old, None, Some(PIN)).unwrap();
    anna.core().want_new_seat(&old, "3094").unwrap();
    world.everyone_syncs().await;
    let sabine = world.büro.seat();
    renew(&world.büro, &sabine, &old).await.unwrap();
    world.everyone_syncs().await;
    let new = anna.seat();
    assert_ne!(new, old);
    anna.core().unlock(&new, "3094").unwrap();
    let crew = world.ring("Kolonne 3");
    anna.core()
        .change_members(&new, &job, &[crew], &[])
        .unwrap();
    world.everyone_syncs().await;
    assert!(world.kolonne_3.knows(&job));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_renewed_seat_wrote_reaches_a_hub_put_back_to_before_it() {
    let (mut world, _, jonas) = with_pins().await;
    let job = world.job("Dach", &["Kolonne 3"]);
    world.everyone_syncs().await;
    world.stop_hub().await;
    files::copy_folder(&world.path("hub"), &world.path("copy"));
    world.start_hub();
    let phone = &world.kolonne_3;
    phone.core().want_new_seat(&jonas, "3094").unwrap();
    phone.sync().await;
    world.büro.sync().await;
    let sabine = world.büro.seat();
    renew(&world.büro, &sabine, &jonas).await.unwrap();
    phone.sync().await;
    world.stop_hub().await;
    std::fs::remove_dir_all(world.path("hub")).unwrap();
    std::fs::rename(world.path("copy"), world.path("hub")).unwrap();
    world.start_hub();
    let phone = &world.kolonne_3;
    let new = phone.seat_of(JONAS);
    phone.core().unlock(&new, "3094").unwrap();
    let text = phone.text_as(&new, &job, "Auf dem alten Hub");
    let _ = phone.try_sync().await;
    phone.sync().await;
    world.everyone_syncs().await;
    assert_eq!(phone.core().status().unwrap().outbox.stuck, 0);
    assert!(world.büro.holds_op(&text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_ends_is_wiped_though_it_was_open() {
    let (world, _, jonas) = with_pins().await;
    let phone = &world.kolonne_3;
    let job = world.job("Dach", &["Kolonne 3"]);
    world.everyone_syncs().await;
    phone.core().unlock(&jonas, PIN).unwrap();
    let core = world.büro.core();
    let ended = core
        .end(&world.büro.seat(), Subject::Seat(jonas), EndMode::Hard)
        .await;
    ended.unwrap();
    world.everyone_syncs().await;
    assert_eq!(code(say(phone, &jonas, &job)), "auth_expired");
    assert_eq!(code(phone.core().unlock(&jonas, PIN)), "auth_expired");
    let rows = "SELECT count(*) FROM seat_locks WHERE seat = ?1";
    let left: i64 = phone
        .database()
        .query_row(rows, [jonas.0.as_slice()], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
    assert_eq!(phone.core().me().unwrap().seats.len(), 1);
    assert_eq!(phone.core().me().unwrap().seats[0].role, Role::Crew);
}

// Databases that were put back or copied.

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in fence::files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, &target).unwrap();
    }
}

/// Puts an earlier copy of the database back, and leaves what lies beside it.
fn put_back(device: &Device, backup: &Path) {
    for name in ["kolonne.db", "kolonne.db-wal", "kolonne.db-shm"] {
        let _ = std::fs::remove_file(device.dir.join(name));
        if backup.join(name).exists() {
            std::fs::copy(backup.join(name), device.dir.join(name)).unwrap();
        }
    }
}

fn store_of(device: &Device) -> Vec<u8> {
    let sql = "SELECT value FROM meta WHERE key = 'store'";
    device
        .database()
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}

/// Places of strands that two ops have.
fn twice(device: &Device) -> i64 {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM ops WHERE class <> 3
        GROUP BY thread, seat, store, seq HAVING count(*) > 1)";
    device
        .database()
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_put_back_writes_on_in_a_new_store() {
    for while_open in [true, false] {
        let mut world = World::new().await;
        let job = world.job("Dach", &["Anna Weber"]);
        world.everyone_syncs().await;
        world.anna.text(&job, "Eins");
        world.anna.sync().await;
        let backup = world.path("backup");
        if !while_open {
            world.anna.switch_off();
        }
        let dir = world.anna.dir.clone();
        copy(&dir, &backup);
        if !while_open {
            world.anna.switch_on();
        }
        world.anna.text(&job, "Zwei");
        world.anna.text(&job, "Drei");
        world.anna.sync().await;
        world.anna.switch_off();
        put_back(&world.anna, &backup);
        world.anna.switch_on();
        // Before any network: what it writes now can't meet what it wrote then.
        world.anna.offline();
        world.anna.text(&job, "Vier");
        world.anna.online();
        world.everyone_syncs().await;
        world.everyone_syncs().await;
        for device in [&world.büro, &world.anna] {
            assert_eq!(twice(device), 0);
            let texts: BTreeSet<String> = device
                .entries(&job)
                .into_iter()
                .filter_map(|e| e.text)
                .collect();
            assert_eq!(texts.len(), 4, "nothing is lost: {texts:?}");
        }
        // Opened again, it stays.
        let store = store_of(&world.anna);
        world.anna.switch_on();
        assert_eq!(store_of(&world.anna), store);
    }
}

/// A world in which Anna's phone ran twice, from a copy of its folder whose clock was so far ahead, and
/// everybody heard of it; and the copy.
async fn ran_twice(ahead: Duration) -> (World, Device) {
    let mut world = World::new().await;
    let job = world.job("Dach", &["Anna Weber"]);
    world.everyone_syncs().await;
    world.anna.text(&job, "Gemeinsam");
    world.anna.switch_off();
    let twin_dir = world.path("anna-kopie");
    copy(&world.anna.dir, &twin_dir);
    world.anna.switch_on();
    let off = Arc::new(AtomicI64::new(0));
    let twin = Kolonne::open(config(twin_dir.clone(), &off)).unwrap();
    let twin = Device::new(twin_dir, off, twin);
    assert_ne!(store_of(&world.anna), store_of(&twin));
    write_beside(&world, &twin, &job, ahead).await;
    assert_eq!(twice(&world.büro), 0);
    assert_eq!(world.büro.entries(&job).len(), 3);
    (world, twin)
}

async fn write_beside(world: &World, twin: &Device, job: &JobId, ahead: Duration) {
    world.anna.text(job, "Hier");
    twin.later(ahead);
    twin.text(job, "Dort");
    twin.earlier(ahead);
    world.anna.sync().await;
    twin.sync().await;
    world.everyone_syncs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_folder_that_runs_twice_writes_in_two_stores() {
    let (world, _twin) = ran_twice(Duration::ZERO).await;
    // The office is told, until it shuts the device out.
    let alarms = || world.büro.core().alarms().unwrap();
    let told = alarms();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].kind, AlarmKind::RanTwice);
    assert_eq!(told[0].device.as_deref(), Some("Annas Handy"));
    assert_eq!(world.anna.core().alarms().unwrap(), []);
    let device = Subject::Device(world.anna.core().me().unwrap().device);
    let sabine = world.büro.seat();
    let ended = world.büro.core().end(&sabine, device, EndMode::Hard).await;
    ended.unwrap();
    assert_eq!(alarms(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_that_the_office_looked_into_is_put_away_by_it() {
    let (mut world, _twin) = ran_twice(Duration::ZERO).await;
    let sabine = world.büro.seat();
    let told = world.büro.core().alarms().unwrap();
    let id = told[0].id.clone().unwrap();
    let anna = &world.anna;
    let by_anna = anna.core().put_away_alarm(&anna.seat(), &id);
    assert_eq!(by_anna.unwrap_err().code(), "locked.right");
    world.büro.core().put_away_alarm(&sabine, &id).unwrap();
    assert_eq!(world.büro.core().alarms().unwrap(), []);
    assert_eq!(world.büro.core().status().unwrap().alarms, []);
    let again = world.büro.core().put_away_alarm(&sabine, &id);
    assert_eq!(again.unwrap_err().code(), "not_found.alarm");
    world.büro.switch_off();
    world.büro.switch_on();
    assert_eq!(world.büro.core().alarms().unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_that_was_put_away_comes_again_with_new_signs_whatever_a_clock_said() {
    // The first sign is dated eighty years ahead.
    let (world, twin) = ran_twice(Duration::from_hours(80 * 365 * 24)).await;
    let sabine = world.büro.seat();
    let alarms = || world.büro.core().alarms().unwrap();
    let first = alarms()[0].id.clone().unwrap();
    world.büro.core().put_away_alarm(&sabine, &first).unwrap();
    assert_eq!(alarms(), []);
    // What is no sign brings it back neither.
    let job = world.job("Keller", &["Anna Weber"]);
    world.everyone_syncs().await;
    twin.sync().await;
    assert_eq!(alarms(), []);
    write_beside(&world, &twin, &job, Duration::ZERO).await;
    let told = alarms();
    assert_eq!(told.len(), 1, "{told:?}");
    let second = told[0].id.clone().unwrap();
    assert_ne!(first, second);
    world.büro.core().put_away_alarm(&sabine, &second).unwrap();
    assert_eq!(alarms(), []);
}
