//! Nothing that a person would call content lies readable at the hub, in logs, in errors or on a
//! phone's disk.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::cell::Cell;
use std::fmt::Write;

use exif::Tag;
use kolonne_core::capture::{About, JobChange, NewJob, SealFor};
use kolonne_core::records::Part;
use kolonne_model::ids::{OpId, ThreadId};
use kolonne_model::roster::change::Role;
use kolonne_tests::fence::Fence;
use kolonne_tests::world::{person, phone};
use kolonne_tests::{Device, World, files, log};
use rusqlite::types::ValueRef;

const WORDS: usize = 200;
const SYLLABLES: [&str; 16] = [
    "bra", "dol", "fen", "gut", "hir", "jak", "kel", "lom", "mur", "nep", "pog", "rus", "tiv",
    "wab", "zör", "xim",
];

/// Distinct words that stand nowhere else.
fn words() -> Vec<String> {
    (0..WORDS)
        .map(|number| {
            let hash = blake3::hash(format!("canary {number}").as_bytes());
            let word: String = hash.as_bytes()[..5]
                .iter()
                .map(|byte| SYLLABLES[usize::from(byte % 16)])
                .collect();
            format!("Q{word}{number:03}")
        })
        .collect()
}

/// Hands the words out, one after the other.
struct Canaries {
    words: Vec<String>,
    next: Cell<usize>,
}

impl Canaries {
    fn next(&self) -> String {
        let at = self.next.replace(self.next.get() + 1);
        self.words[at % WORDS].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_words_are_found_nowhere() {
    let canaries = Canaries {
        words: words(),
        next: Cell::new(0),
    };
    let word = || canaries.next();
    let (company, sabine, pc) = (word(), word(), word());
    let anna_name = word();
    let invite = phone(&word(), &word(), vec![person(&anna_name, Role::Foreman)]);
    let crew = word();
    let two = vec![person(&word(), Role::Crew), person(&word(), Role::Crew)];
    let mut world = World::of((&company, &sabine, &pc), invite, phone(&word(), &crew, two)).await;
    let mut errors = String::new();

    // A busy company.
    let mut jobs = Vec::new();
    for _ in 0..6 {
        let job = NewJob {
            title: word(),
            customer: word(),
            address: word(),
            status: word(),
            members: vec![world.ring(&anna_name), world.ring(&crew)],
            draft: None,
        };
        let seat = world.büro.seat();
        jobs.push(world.büro.core().open_job(&seat, &job).unwrap());
    }
    world.everyone_syncs().await;
    let jpeg = files::photo(1200, 900, 1);
    while canaries.next.get() < WORDS {
        for job in &jobs {
            fill(&world, job, &canaries, &jpeg, &mut errors);
        }
        world.everyone_syncs().await;
    }
    // Something stays unsent, and a device is closed as it is.
    world.anna.text(&jobs[0], &word());
    world.stop_hub().await;
    let failed = world.anna.try_sync().await.unwrap_err();
    write!(errors, "{failed} {failed:?}").unwrap();

    // The words are really there, for who has the keys.
    let thread = world.büro.thread(&jobs[0]);
    let known = canaries.words.iter().filter(|word| thread.contains(*word));
    assert!(known.count() > 10, "{thread}");

    let fence = Fence::new(&canaries.words);
    // The control: planted in a plain file beside the hub's, a word is found.
    let planted = world.path("hub").join("planted");
    std::fs::write(&planted, format!("…{}…", canaries.words[150])).unwrap();
    let (hits, ..) = fence.search_folder(&world.path("hub"));
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].word, canaries.words[150]);
    std::fs::remove_file(planted).unwrap();

    for place in ["hub", "büro", "anna", "kolonne-3"] {
        let (hits, files, bytes) = fence.search_folder(&world.path(place));
        println!("{place}: {files} files, {bytes} bytes, {} hits", hits.len());
        assert_eq!(hits, []);
        assert!(files > 3 && bytes > 100_000);
    }
    let heard = log::heard();
    println!("log: {} bytes, errors: {} bytes", heard.len(), errors.len());
    assert!(heard.len() > 10_000, "the log is listened to");
    assert_eq!(fence.search("log", &heard), []);
    assert_eq!(fence.search("errors", errors.as_bytes()), []);
}

/// One of everything in a job, a word in each place.
fn fill(world: &World, job: &ThreadId, canaries: &Canaries, jpeg: &[u8], errors: &mut String) {
    let word = || canaries.next();
    let (anna, büro, crew) = (&world.anna, &world.büro, &world.kolonne_3);
    let seat = anna.seat();
    let about = || About {
        caption: Some(canaries.next()),
        ..About::default()
    };
    let text = anna.text(job, &format!("Bitte {} holen", word()));
    let tags = [
        Tag::ImageDescription,
        Tag::Artist,
        Tag::Model,
        Tag::Copyright,
    ];
    let tags = tags.map(|tag| (tag, word()));
    let jpeg = files::with_exif(jpeg, &tags);
    let photo = anna.core().send_photo(&seat, job, &jpeg, &about()).unwrap();
    let bytes = anna.media(&photo, Part::Original).unwrap().bytes;
    assert_eq!(bytes, jpeg, "with its EXIF");
    let voice = files::wav(400);
    anna.core()
        .send_voice(&seat, job, &voice, &about())
        .unwrap();
    let file = format!("%PDF-1.4 {}", word().repeat(3));
    let name = format!("{}.pdf", word());
    anna.core()
        .send_document(&seat, job, &name, file.as_bytes(), &about())
        .unwrap();
    anna.core().caption(&seat, &text, &word()).unwrap();
    anna.reply(job, text, &word());
    let office = büro.seat();
    let change = JobChange {
        title: Some(word()),
        address: Some(word()),
        ..JobChange::default()
    };
    büro.core().set_job(&office, job, &change).unwrap();
    let gone = büro.text(job, &word());
    büro.core().retract(&office, &gone, Some(&word())).unwrap();
    crew.text(job, &word());
    // What fails says nothing of what it failed on.
    let failures = [
        anna.core()
            .send_photo(&seat, job, word().as_bytes(), &about())
            .unwrap_err(),
        anna.core()
            .send_text(&seat, job, &word().repeat(2000), &about())
            .unwrap_err(),
        anna.core()
            .send_document(&seat, job, &word().repeat(200), b"x", &about())
            .unwrap_err(),
        anna.core()
            .caption(&seat, &OpId::ZERO, &word())
            .unwrap_err(),
        anna.core()
            .send_text(&seat, &ThreadId::ZERO, &word(), &about())
            .unwrap_err(),
    ];
    for failure in failures {
        writeln!(errors, "{failure} {failure:?} {}", failure.code()).unwrap();
    }
    drop(anna.core().threads(&seat, &word()).unwrap());
}

/// Everything in a device's database as who holds its key reads it.
fn opened_database(device: &Device) -> Vec<u8> {
    let db = device.database();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut statement = db.prepare(names).unwrap();
    let tables = statement.query_map([], |row| row.get::<_, String>(0));
    let tables: Vec<String> = tables.unwrap().map(Result::unwrap).collect();
    let mut all = Vec::new();
    for table in tables {
        let mut rows = db.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get_ref(column).unwrap() {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => all.extend_from_slice(bytes),
                    _ => {}
                }
                all.push(0);
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_words_are_found_nowhere_not_even_in_the_opened_databases() {
    let canaries = Canaries {
        words: words(),
        next: Cell::new(0),
    };
    let word = || canaries.next();
    let world = World::new().await;
    let (büro, anna, phone) = (&world.büro, &world.anna, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    let beside = word();
    büro.text(&job, &beside);
    world.everyone_syncs().await;
    let to = SealFor {
        people: vec![world.büro.core().me().unwrap().seats[0].person],
        office: true,
    };
    let jpeg = files::photo(800, 600, 1);
    let mut sealed = Vec::new();
    for number in 0..20 {
        let tags = [Tag::ImageDescription, Tag::Artist, Tag::Model];
        let tags = tags.map(|tag| (tag, word()));
        let (name, bytes) = if number % 2 == 0 {
            (format!("{}.jpg", word()), files::with_exif(&jpeg, &tags))
        } else {
            (format!("{}.txt", word()), word().repeat(300).into_bytes())
        };
        let file = (name.as_str(), bytes.as_slice());
        let seat = phone.seat_of("Jonas Huber");
        let about = About::default();
        let entry = phone.core().seal(&seat, &job, &to, file, &about).unwrap();
        sealed.push((entry, name, bytes));
    }
    world.everyone_syncs().await;

    // Whoever is named reads every word, from memory; the others get an error and nothing else.
    let mut said = String::new();
    for (entry, name, bytes) in &sealed {
        let opened = büro.core().open_sealed(&büro.seat(), entry).unwrap();
        assert_eq!(
            (&opened.name, opened.bytes.as_slice()),
            (name, bytes.as_slice())
        );
        write!(said, "{opened:?}").unwrap();
        for device in [anna, phone] {
            let refused = device.core().open_sealed(&device.seat(), entry);
            let refused = refused.unwrap_err();
            write!(said, "{refused} {refused:?} {}", refused.code()).unwrap();
        }
    }
    for device in world.devices() {
        write!(said, "{:?} {:?}", device.entries(&job), device.jobs()).unwrap();
    }

    let hidden: Vec<String> = canaries.words[1..canaries.next.get()].to_vec();
    let fence = Fence::new(&hidden);
    assert_eq!(fence.search("views and errors", said.as_bytes()), []);
    assert_eq!(fence.search("log", &log::heard()), []);
    for place in ["hub", "büro", "anna", "kolonne-3"] {
        assert_eq!(fence.search_folder(&world.path(place)).0, [], "{place}");
    }
    let control = Fence::new(&[beside]);
    for device in world.devices() {
        let rows = opened_database(device);
        assert!(
            !control.search("rows", &rows).is_empty(),
            "rows are really read"
        );
        assert_eq!(fence.search("rows", &rows), []);
    }
}
