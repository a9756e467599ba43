//! What happens to people: a foreman on a roof, an office that answers, a crew that shares a phone.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::{Duration, Instant};

use kolonne_core::capture::{About, JobChange};
use kolonne_core::records::{Part, State};
use kolonne_core::{Error, records::EntryKind};
use kolonne_model::ids::OpId;
use kolonne_model::roster::change::Role;
use kolonne_tests::world::{person, phone};
use kolonne_tests::{Device, JobId, World, files};

fn titled(title: &str) -> JobChange {
    JobChange {
        title: Some(title.to_owned()),
        ..JobChange::default()
    }
}

fn rename(device: &Device, job: &JobId, title: &str) {
    let seat = device.seat();
    device.core().set_job(&seat, job, &titled(title)).unwrap();
}

fn same(bytes: &[u8], captured: &[u8]) {
    assert_eq!(blake3::hash(bytes), blake3::hash(captured));
}

fn assert_all_show_the_same(world: &World, job: &JobId) -> String {
    let thread = world.büro.thread(job);
    for device in world.devices() {
        assert_eq!(device.thread(job), thread);
        device.core().rebuild_views().unwrap();
        assert_eq!(device.thread(job), thread, "rebuilt");
    }
    thread
}

/// Pictures that a device has of an entry are what others of it have.
fn tier(device: &Device, entry: &OpId, part: Part) -> blake3::Hash {
    let media = device.media(entry, part);
    blake3::hash(&media.unwrap_or_else(|e| panic!("{part:?}: {e}")).bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreman_on_a_roof_without_network() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let strangers = vec![person("Timo Fuchs", Role::Crew)];
    let stranger = world
        .enrol(
            "kolonne-7",
            phone("Handy Kolonne 7", "Kolonne 7", strangers),
        )
        .await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    let question = büro.text(&job, "Was ist am Ortgang los?");
    world.everyone_syncs().await;
    assert_eq!(anna.jobs()[0].unread, 1);
    anna.core()
        .mark_read(&anna.seat(), &job, &question)
        .unwrap();
    assert_eq!(anna.jobs()[0].unread, 0);

    // On the roof.
    anna.offline();
    assert!(matches!(anna.try_sync().await, Err(Error::Offline { .. })));
    let captured = files::phone_photos(8);
    let photos: Vec<OpId> = captured.iter().map(|jpeg| anna.photo(&job, jpeg)).collect();
    let sound = files::wav(4_000);
    let voice = anna.voice(&job, &sound);
    let torn = anna.text(&job, "Ortgang gerissen, brauchen 12 Ziegel");
    let battens = anna.text(&job, "Lattung ist trocken");
    anna.text(&job, "Gerüst steht noch bis Freitag");
    anna.reply(&job, question, "Siehe Fotos");
    anna.core()
        .caption(&anna.seat(), &photos[0], "Ortgang links")
        .unwrap();
    let seat = anna.seat();
    anna.core()
        .retract(&seat, &battens, Some("doch feucht"))
        .unwrap();
    let draft = About {
        draft: Some([7; 16]),
        ..About::default()
    };
    let once = anna
        .core()
        .send_text(&seat, &job, "Nur einmal", &draft)
        .unwrap();
    let twice = anna
        .core()
        .send_text(&seat, &job, "Nur einmal", &draft)
        .unwrap();
    assert_eq!(once, twice);
    let shown = anna.entries(&job).len();
    for (photo, jpeg) in photos.iter().zip(&captured) {
        assert_eq!(anna.state(&job, photo), State::Saved);
        same(&anna.media(photo, Part::Original).unwrap().bytes, jpeg);
    }

    // Meanwhile at the office, without network too.
    büro.offline();
    rename(büro, &job, "Dach Öztürk, Ortgang");
    assert!(matches!(büro.try_sync().await, Err(Error::Offline { .. })));
    assert_eq!(anna.entries(&job).len(), shown);

    // Driving home: a cell with little network. Text first.
    anna.online();
    büro.online();
    anna.sync_within(0).await;
    let left = anna.core().status().unwrap().outbox;
    assert_eq!((left.ops, left.photos, left.originals), (0, 8, 8));
    assert_eq!(anna.state(&job, &torn), State::Sent);
    assert_eq!(anna.state(&job, &photos[0]), State::Saved);
    büro.sync().await;
    let row = &büro.jobs()[0];
    assert_eq!(row.backlog[0].device_name, "Annas Handy");
    assert_eq!((row.backlog[0].photos, row.backlog[0].originals), (8, 8));
    let entry = büro.entry(&job, &photos[0]);
    assert_eq!(entry.pending.len(), 3);
    assert!(entry.photo.unwrap().preview.is_some_and(|p| !p.is_empty()));
    anna.sync_within(0).await;
    assert_eq!(anna.state(&job, &torn), State::Office);

    // Another cell: pictures go before originals.
    while anna.core().status().unwrap().outbox.photos > 0 {
        anna.sync_within(1).await;
    }
    assert_eq!(anna.core().status().unwrap().outbox.originals, 8);
    assert_eq!(anna.state(&job, &photos[0]), State::Sent);
    büro.sync().await;
    let entry = büro.entry(&job, &photos[0]);
    assert_eq!(entry.state, State::Office);
    assert_eq!(entry.pending.len(), 1, "its original is still on the phone");
    assert_eq!(entry.pending[0].part, Part::Original);
    assert_eq!(entry.pending[0].device_name.as_deref(), Some("Annas Handy"));
    assert_eq!(büro.jobs()[0].backlog[0].originals, 8);

    // At home.
    world.everyone_syncs().await;
    stranger.sync().await;
    let thread = assert_all_show_the_same(&world, &job);
    println!("{thread}");
    let spoken: Vec<&str> = thread
        .lines()
        .filter(|line| line.starts_with("Anna Weber: Text"))
        .collect();
    assert_eq!(
        spoken,
        [
            "Anna Weber: Text \"Ortgang gerissen, brauchen 12 Ziegel\" [Office]",
            "Anna Weber: Text (taken back: doch feucht) [Office]",
            "Anna Weber: Text \"Gerüst steht noch bis Freitag\" [Office]",
            "Anna Weber: Text \"Siehe Fotos\" to Sabine Brandt: \"Was ist am Ortgang los?\" [Office]",
            "Anna Weber: Text \"Nur einmal\" [Office]",
        ]
    );
    assert!(thread.starts_with("# Dach Öztürk, Ortgang | Familie Öztürk | Am Weiher 4, Dachau"));
    assert!(thread.contains("Anna Weber: Photo with \"Ortgang links\""));
    assert!(thread.contains("Sabine Brandt: Notice title \"Dach Öztürk, Ortgang\""));
    for (photo, jpeg) in photos.iter().zip(&captured) {
        same(&büro.media(photo, Part::Original).unwrap().bytes, jpeg);
        assert!(kolonne_3.media(photo, Part::Original).is_err());
        for part in [Part::Thumb, Part::Picture] {
            let made = tier(anna, photo, part);
            assert_eq!(tier(büro, photo, part), made);
            assert_eq!(tier(kolonne_3, photo, part), made);
        }
        assert!(büro.entry(&job, photo).pending.is_empty());
        assert!(anna.entry(&job, photo).pending.is_empty());
    }
    for device in world.devices() {
        same(&device.media(&voice, Part::Voice).unwrap().bytes, &sound);
        let left = device.core().status().unwrap().outbox;
        assert_eq!(left, kolonne_core::records::Outbox::default());
    }
    assert!(büro.jobs()[0].backlog.is_empty());

    // Who is not in the job has nothing of it.
    assert!(!stranger.knows(&job));
    assert_eq!(stranger.ops_of(&job), 0);
    assert_eq!(stranger.blob_files(), []);
    assert!(stranger.jobs().iter().all(|row| row.id != job));

    // The office answers, and it is read.
    let answer = büro.reply(&job, torn, "Ziegel kommen morgen früh");
    world.everyone_syncs().await;
    let mehmet = kolonne_3.seat_of("Mehmet Yılmaz");
    let jonas = kolonne_3.seat_of("Jonas Huber");
    let unread = |seat| kolonne_3.core().thread(seat, &job).unwrap().row.unread;
    let before = unread(&jonas);
    assert!(before > 10);
    kolonne_3.core().mark_read(&mehmet, &job, &answer).unwrap();
    assert_eq!((unread(&mehmet), unread(&jonas)), (0, before));
    world.everyone_syncs().await;
    assert_all_show_the_same(&world, &job);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_job_reads_no_more_and_who_comes_reads_all() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let job = world.job("Umbau Gasthof Post", &["Anna Weber"]);
    let early = büro.text(&job, "Statik ist freigegeben");
    let photo = anna_photo_after_sync(&world, &job).await;
    assert!(!kolonne_3.knows(&job));

    // Added later: reads it all.
    let crew = world.ring("Kolonne 3");
    let seat = büro.seat();
    büro
        .core()
        .change_members(&seat, &job, &[crew], &[])
        .unwrap();
    world.everyone_syncs().await;
    assert!(kolonne_3.entry(&job, &early).text.is_some());
    assert!(kolonne_3.media(&photo, Part::Picture).is_ok());
    let thread = assert_all_show_the_same(&world, &job);
    assert!(thread.contains("Kolonne 3"), "{thread}");

    // Two people on one phone write under their own names.
    let mehmet = kolonne_3.seat_of("Mehmet Yılmaz");
    let jonas = kolonne_3.seat_of("Jonas Huber");
    let of_mehmet = kolonne_3.text_as(&mehmet, &job, "Wir sind um sieben da");
    let of_jonas = kolonne_3.text_as(&jonas, &job, "Bringe die Säge mit");
    world.everyone_syncs().await;
    for device in world.devices() {
        assert_eq!(device.entry(&job, &of_mehmet).author.name, "Mehmet Yılmaz");
        assert_eq!(device.entry(&job, &of_jonas).author.name, "Jonas Huber");
    }
    let own = kolonne_3.core().entries(&jonas, &job, None, 50).unwrap();
    let own: Vec<OpId> = own.entries.iter().filter(|e| e.own).map(|e| e.id).collect();
    assert_eq!(own, [of_jonas]);
    let last_is_own = |seat| {
        let row = kolonne_3.core().thread(seat, &job).unwrap().row;
        row.last.unwrap().own
    };
    assert!(last_is_own(&jonas) && !last_is_own(&mehmet));

    // Removed: what is written now stays away from them, and they write no more.
    let held_before = kolonne_3.ops_of(&job);
    büro
        .core()
        .change_members(&seat, &job, &[], &[crew])
        .unwrap();
    let secret = büro.text(&job, "Nur noch unter uns");
    let picture = anna_photo_after_sync(&world, &job).await;
    world.everyone_syncs().await;
    assert!(anna.entry(&job, &secret).text.is_some());
    let new_ops: Vec<OpId> = [secret, picture].to_vec();
    if kolonne_3.knows(&job) {
        let shown = kolonne_3.entries(&job);
        assert!(shown.iter().all(|entry| !new_ops.contains(&entry.id)));
    }
    assert!(kolonne_3.media(&picture, Part::Thumb).is_err());
    for op in &new_ops {
        assert!(!kolonne_3.holds_op(op));
    }
    println!(
        "ops on the removed phone: {held_before}, now {}",
        kolonne_3.ops_of(&job)
    );
    assert_ne!(
        büro.key_of(&secret),
        büro.key_of(&early),
        "a new key after a removal"
    );
    let refused = kolonne_3
        .core()
        .send_text(&mehmet, &job, "Hallo?", &About::default());
    match refused {
        Err(Error::Locked { code: "member" }) => {}
        // It had not heard yet; then the others must not show it.
        Ok(late) => {
            world.everyone_syncs().await;
            assert!(anna.entries(&job).iter().all(|entry| entry.id != late));
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Everyone syncs, Anna takes a photo, everyone syncs.
async fn anna_photo_after_sync(world: &World, job: &JobId) -> OpId {
    world.everyone_syncs().await;
    let photo = world.anna.photo(job, &files::photo(640, 480, 3));
    world.everyone_syncs().await;
    photo
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_rename_a_job_without_network_agree_afterwards() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Keller Moosbach", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    büro.offline();
    anna.offline();
    rename(büro, &job, "Keller Moosbach (Gutachten)");
    rename(anna, &job, "Keller Moosbach, Pumpe läuft");
    anna.core()
        .set_job(
            &anna.seat(),
            &job,
            &JobChange {
                status: Some("active".to_owned()),
                ..JobChange::default()
            },
        )
        .unwrap();
    // Clocks decide nothing.
    anna.later(Duration::from_hours(24 * 365));
    rename(anna, &job, "Keller Moosbach, Pumpe läuft wieder");
    büro.online();
    anna.online();
    world.everyone_syncs().await;
    let thread = assert_all_show_the_same(&world, &job);
    println!("{thread}");
    assert!(thread.lines().next().unwrap().ends_with("| active"));

    // Whoever writes next has seen both, and wins everywhere.
    rename(büro, &job, "Keller Moosbach");
    world.everyone_syncs().await;
    let thread = assert_all_show_the_same(&world, &job);
    assert!(thread.starts_with("# Keller Moosbach |"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_opened_on_a_roof_reaches_the_office() {
    let mut world = World::new().await;
    world.stop_hub().await;
    let anna = &world.anna;
    let new = kolonne_core::capture::NewJob {
        title: "Notdach Bäckerei".to_owned(),
        members: vec![anna.ring("Kolonne 3")],
        ..Default::default()
    };
    let job = anna.core().open_job(&anna.seat(), &new).unwrap();
    let photo = anna.photo(&job, &files::photo(800, 600, 9));
    let file = b"%PDF-1.4 Skizze";
    let about = About {
        caption: Some("Aufmaß".to_owned()),
        ..About::default()
    };
    let sketch = anna
        .core()
        .send_document(&anna.seat(), &job, "../../Skizze 1.pdf", file, &about)
        .unwrap();
    assert!(matches!(anna.try_sync().await, Err(Error::Offline { .. })));
    assert_eq!(anna.state(&job, &photo), State::Saved);
    let found = anna.core().threads(&anna.seat(), "skizze").unwrap();
    assert_eq!(found.len(), 1, "search works without a network");

    world.start_hub();
    world.everyone_syncs().await;
    let thread = assert_all_show_the_same(&world, &job);
    println!("{thread}");
    let entry = world.büro.entry(&job, &sketch);
    assert_eq!(entry.kind, EntryKind::Document);
    assert_eq!(entry.document.unwrap().name, "Skizze 1.pdf");
    let bytes = world
        .kolonne_3
        .media(&sketch, Part::Document)
        .unwrap()
        .bytes;
    same(&bytes, file);
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_hears_of_it_by_itself() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let running = world.devices().map(|device| device.core().start_sync());
    let job = world.job("Scheune Inhausen", &["Anna Weber", "Kolonne 3"]);
    anna.until(|anna| anna.knows(&job)).await;

    let began = Instant::now();
    let text = anna.text(&job, "Bin da");
    let has = |id: OpId| move |device: &Device| device.core().entry_thread(&id).is_ok();
    büro.until(has(text)).await;
    kolonne_3.until(has(text)).await;
    println!("a text is at two other devices after {:?}", began.elapsed());
    let photo = anna.photo(&job, &files::photo(1600, 1200, 4));
    anna.until(|anna| anna.entry(&job, &photo).pending.is_empty())
        .await;
    assert_eq!(anna.state(&job, &photo), State::Office);
    println!(
        "a photo and its original are at the office after {:?}",
        began.elapsed()
    );

    // A dead spot, then a cell: nobody has to do anything.
    anna.offline();
    let later = anna.text(&job, "Im Keller");
    let answer = büro.text(&job, "Und?");
    kolonne_3.until(has(answer)).await;
    assert!(!anna.entries(&job).iter().any(|entry| entry.id == answer));
    anna.online();
    anna.until(has(answer)).await;
    kolonne_3.until(has(later)).await;
    for task in running {
        task.stop().await;
    }
    world.everyone_syncs().await;
    assert_all_show_the_same(&world, &job);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_only_turns_green_stays_where_it_is_in_the_search() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let first = anna.text(&job, "Ortgang gerissen");
    anna.text(&job, "brauchen Ziegel");
    let place = || -> (i64, bool) {
        let sql = "SELECT place, seen FROM view_entries WHERE id = ?1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        anna.database()
            .query_row(sql, [first.0.as_slice()], row)
            .unwrap()
    };
    let (before, _) = place();
    anna.sync().await;
    büro.sync().await;
    anna.sync().await;
    assert_eq!(place(), (before, true));
    let found = |words: &str| {
        let found = anna.core().threads(&anna.seat(), words).unwrap();
        found.len()
    };
    assert_eq!(found("ortgang"), 1);
    anna.core()
        .caption(&anna.seat(), &first, "Kehle undicht")
        .unwrap();
    assert_eq!((found("ortgang"), found("kehle")), (0, 1));
    assert_eq!(place().0, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_years_ahead_keeps_no_thread_on_top_of_the_list() {
    let world = World::new().await;
    let (anna, büro, kolonne_3) = (&world.anna, &world.büro, &world.kolonne_3);
    let members = ["Anna Weber", "Kolonne 3"];
    let (roof, cellar) = (world.job("Dach", &members), world.job("Keller", &members));
    world.everyone_syncs().await;
    let years = Duration::from_hours(80 * 365 * 24);
    anna.later(years);
    let far = anna.text(&roof, "Die Uhr geht falsch");
    anna.earlier(years);
    world.everyone_syncs().await;
    for device in [büro, kolonne_3] {
        assert_eq!(device.jobs()[0].id, roof);
        device.later(Duration::from_mins(1));
    }
    kolonne_3.text(&cellar, "Wasser im Keller");
    world.everyone_syncs().await;
    for device in [büro, kolonne_3] {
        assert_eq!(device.jobs()[0].id, cellar);
        // What is shown is the author's time.
        let ahead_ms =
            device.entry(&roof, &far).time_ms - device.jobs()[0].last.as_ref().unwrap().time_ms;
        assert!(ahead_ms > u64::try_from(years.as_millis() / 2).unwrap());
        let list = device.jobs();
        device.core().rebuild_views().unwrap();
        assert_eq!(device.jobs(), list);
    }
}
