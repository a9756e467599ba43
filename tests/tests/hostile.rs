//! A lying hub: it changes, drops, repeats and invents answers. A device refuses or waits, shows
//! nothing false, and heals with the next honest answer.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use kolonne_core::capture::About;
use kolonne_core::records::{HubState, Part, State};
use kolonne_core::{Config, InviteState, Kolonne, NewOffice};
use kolonne_model::cbor;
use kolonne_model::hub::{
    FetchAnswer, LastOpsAnswer, Part as HubPart, PullAnswer, PushAnswer, RosterAnswer, RosterFrom,
};
use kolonne_model::ids::{
    CompanyId, Hash32, KeyId, OpId, PublicKey, RosterDigest, RosterPosition, SeatId, StoreId,
    StrandHead,
};
use kolonne_model::op::{Class, ClassByte, Context, Op, SUITE_1, sign};
use kolonne_model::page::{self, NoBases, SegmentToSend, StrandName};
use kolonne_model::payload;
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{
    Change, DeviceCert, DeviceKind, EndMode, Recipient, Role, Scope, SeatCert, SeatKind, Subject,
    read_cut_list,
};
use kolonne_tests::scribe::{self, Scribe};
use kolonne_tests::wire::Asked;
use kolonne_tests::world::{person, phone};
use kolonne_tests::{Device, JobId, World, files};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn a_job(world: &World) -> JobId {
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    job
}

/// Changes the page of pulls, fetches and roster answers.
fn in_pages(asked: &Asked, answer: &mut Vec<u8>, change: &mut dyn FnMut(&mut Vec<u8>)) {
    if let ("POST /v1/pull", Ok(mut told)) =
        (asked.what.as_str(), cbor::decode::<PullAnswer>(answer))
    {
        change(&mut told.page);
        *answer = cbor::encode(&told);
    } else if let ("POST /v1/fetch", Ok(mut told)) =
        (asked.what.as_str(), cbor::decode::<FetchAnswer>(answer))
    {
        change(&mut told.page);
        *answer = cbor::encode(&told);
    } else if let ("POST /v1/roster", Ok(mut told)) =
        (asked.what.as_str(), cbor::decode::<RosterAnswer>(answer))
    {
        change(&mut told.page);
        *answer = cbor::encode(&told);
    }
}

fn texts(device: &Device, job: &JobId) -> Vec<String> {
    let entries = device.entries(job);
    entries.into_iter().filter_map(|entry| entry.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_anywhere_is_refused_and_heals() {
    let world = World::new().await;
    let (anna, kolonne_3) = (&world.anna, &world.kolonne_3);
    let job = a_job(&world).await;
    let (mut refused, mut late) = (0, 0);
    let rounds = 40;
    for round in 0..rounds {
        anna.text(&job, &format!("Lieferung {round} ist da"));
        anna.sync().await;
        world.wire.lie(move |asked, answer| {
            in_pages(asked, answer, &mut |page| {
                if !page.is_empty() {
                    let at = page.len() * round / rounds;
                    page[at] ^= 1 << (round % 8);
                }
            });
        });
        let report = kolonne_3.try_sync().await.unwrap();
        world.wire.be_honest();
        refused += report.refused;
        let honest = texts(anna, &job);
        let shown = texts(kolonne_3, &job);
        assert!(shown.iter().all(|text| honest.contains(text)), "{shown:?}");
        late += usize::from(shown.len() < honest.len());
        kolonne_3.sync().await;
        assert_eq!(texts(kolonne_3, &job), honest, "round {round}");
    }
    println!("{refused} segments refused, {late} of {rounds} texts came late");
    assert!(refused >= rounds as u64 / 2 && late > rounds / 2);
    world.everyone_syncs().await;
    assert_eq!(kolonne_3.thread(&job), anna.thread(&job));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_segments_are_missed_and_fetched() {
    let world = World::new().await;
    let (anna, büro, kolonne_3) = (&world.anna, &world.büro, &world.kolonne_3);
    let job = a_job(&world).await;
    for n in 0..5 {
        anna.text(&job, &format!("Teil {n}"));
        anna.sync().await;
        büro.text(&job, &format!("Antwort {n}"));
        büro.sync().await;
    }
    // Every other page comes empty.
    let mut count = 0;
    world.wire.lie(move |asked, answer| {
        in_pages(asked, answer, &mut |page| {
            count += 1;
            if count % 2 == 1 {
                page.clear();
            }
        });
    });
    kolonne_3.sync().await;
    world
        .wire
        .lie(|asked, answer| in_pages(asked, answer, &mut Vec::clear));
    kolonne_3.sync().await;
    world.wire.be_honest();
    kolonne_3.sync().await;
    world.everyone_syncs().await;
    assert_eq!(kolonne_3.thread(&job), anna.thread(&job));

    // The roster is no exception: who was admitted while the hub kept it back is known afterwards.
    let new = phone(
        "Handy Kolonne 7",
        "Kolonne 7",
        vec![person("Timo Fuchs", Role::Crew)],
    );
    let timo = world.enrol("kolonne-7", new).await;
    world
        .wire
        .lie(|asked, answer| in_pages(asked, answer, &mut Vec::clear));
    kolonne_3.sync().await;
    world.wire.be_honest();
    let seat = büro.seat();
    let crew = world.ring("Kolonne 7");
    büro
        .core()
        .change_members(&seat, &job, &[crew], &[])
        .unwrap();
    büro.sync().await;
    timo.sync().await;
    timo.text(&job, "Bin auch da");
    timo.sync().await;
    for _ in 0..2 {
        kolonne_3.sync().await;
    }
    assert!(
        kolonne_3
            .thread(&job)
            .contains("Timo Fuchs: Text \"Bin auch da\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_again_changes_nothing() {
    let world = World::new().await;
    let (anna, kolonne_3) = (&world.anna, &world.kolonne_3);
    let job = a_job(&world).await;
    let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let keep = Arc::clone(&kept);
    anna.text(&job, "Erst");
    anna.sync().await;
    world.wire.lie(move |asked, answer| {
        if asked.what == "POST /v1/pull" {
            keep.lock().unwrap().get_or_insert_with(|| answer.clone());
        }
    });
    kolonne_3.sync().await;
    anna.text(&job, "Dann");
    anna.sync().await;
    let old = kept.lock().unwrap().clone().unwrap();
    world.wire.lie(move |asked, answer| {
        if asked.what == "POST /v1/pull" {
            answer.clone_from(&old);
        }
    });
    for _ in 0..3 {
        kolonne_3.sync().await;
        let shown = texts(kolonne_3, &job);
        assert_eq!(shown.iter().filter(|text| *text == "Erst").count(), 1);
    }
    world.wire.be_honest();
    kolonne_3.sync().await;
    assert_eq!(texts(kolonne_3, &job), ["Erst", "Dann"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ops_of_another_company_are_refused() {
    let world = World::new().await;
    let kolonne_3 = &world.kolonne_3;
    let job = a_job(&world).await;
    let kern = world.found_another("kern").await;
    let new = kolonne_core::capture::NewJob {
        title: "Nicht eure Sache".to_owned(),
        ..Default::default()
    };
    let foreign = kern.core().open_job(&kern.seat(), &new).unwrap();
    kern.text(&foreign, "Streng geheim");
    // What the hub tells Kern from the beginning, it tells the crew of another company.
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let keep = Arc::clone(&kept);
    world.wire.lie(move |asked, answer| {
        if asked.what == "POST /v1/pull" {
            *keep.lock().unwrap() = cbor::decode::<PullAnswer>(answer).unwrap().page.to_vec();
        }
    });
    kern.sync().await;
    let page = kept.lock().unwrap().clone();
    assert!(!page.is_empty());
    world.wire.lie(move |asked, answer| {
        in_pages(asked, answer, &mut |told| told.extend_from_slice(&page));
    });
    let people = kolonne_3.core().people().unwrap();
    kolonne_3.sync().await;
    world.wire.be_honest();
    // Read as this company's they are by nobody it knows: they may wait, they never count.
    assert_eq!(kolonne_3.ops_of(&foreign), 0);
    assert!(!kolonne_3.knows(&foreign));
    assert_eq!(kolonne_3.core().people().unwrap(), people);
    world.everyone_syncs().await;
    assert_eq!(kolonne_3.thread(&job), world.anna.thread(&job));
}

/// The company's roster, as whoever reads the hub's pages has it.
fn roster_in(company: CompanyId, pages: &[Vec<u8>]) -> Roster {
    let mut roster = Roster::new(company);
    for page in pages {
        for raw in page::read(page).unwrap() {
            let segment = raw.resolve(&company, &NoBases).unwrap();
            if segment.strand.thread == company.roster_thread()
                && let Ok(op) = roster.verify(segment)
            {
                roster.append(&op);
            }
        }
    }
    roster
}

/// Whose op the hub says it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    Itself,
    Sabine,
}

/// The hub's own idea of who belongs to the office, signed by itself.
fn invented(roster: &Roster, hub: &SigningKey, author: Author) -> Vec<u8> {
    let key = PublicKey(hub.verifying_key().to_bytes());
    let recipient = Recipient::x25519([9; 32]);
    let device = DeviceCert {
        key,
        recipient: recipient.clone(),
        kind: DeviceKind::Office,
        crew: None,
    };
    let seat = SeatCert {
        key,
        kind: SeatKind::Device,
        suite: SUITE_1,
        device: kolonne_model::ids::DeviceId::of_key(&key),
        person: None,
        role: Role::Office,
        scope: Scope::All,
        not_after_ms: None,
        recipient: None,
    };
    let known = roster.seats().find_map(|(_, seat)| {
        (seat.cert.kind == SeatKind::Person && seat.cert.role == Role::Admin)
            .then_some(seat.cert.key)
    });
    let changes = vec![Change::Device(device), Change::Seat(seat)];
    let lamport = roster.links().len() as u64 + 1;
    let (mut context, body) = roster
        .draft(&known.unwrap(), lamport, 1_800_000_000_000, changes)
        .unwrap();
    if author == Author::Itself {
        context.seat = SeatId::of_key(&key);
    }
    let op = Op::new(context, payload::clear(&[7; 12], &body));
    let signature = sign(hub, &op.form.id());
    let mut page = Vec::new();
    page::write_segment(
        &mut page,
        &SegmentToSend {
            name: StrandName::Full(op.context().strand()),
            receivers_base: None,
            ops: &[op],
            links: 0,
            signature: &signature,
        },
    );
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roster_that_the_hub_invents_is_refused() {
    let world = World::new().await;
    // What a new phone is told from the beginning.
    let pages: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let keep = Arc::clone(&pages);
    world.wire.lie(move |asked, answer| {
        in_pages(asked, answer, &mut |page| {
            keep.lock().unwrap().push(page.clone());
        });
    });
    let new = phone(
        "Handy Kolonne 7",
        "Kolonne 7",
        vec![person("Timo Fuchs", Role::Crew)],
    );
    let timo = world.enrol("kolonne-7", new).await;
    timo.sync().await;
    world.wire.be_honest();
    world.everyone_syncs().await;
    let job = a_job(&world).await;

    let kolonne_3 = &world.kolonne_3;
    let company = kolonne_3.core().me().unwrap().company_id;
    let roster = roster_in(company, &pages.lock().unwrap());
    assert_eq!(roster.devices().count(), 4, "the newest roster");
    let hub = SigningKey::from_bytes(&[66; 32]);
    for author in [Author::Itself, Author::Sabine] {
        let page = invented(&roster, &hub, author);
        world.wire.lie(move |asked, answer| {
            in_pages(asked, answer, &mut |told| told.extend_from_slice(&page));
        });
        let devices = kolonne_3.core().devices().unwrap().len();
        let report = kolonne_3.sync().await;
        world.wire.be_honest();
        assert!(report.refused > 0);
        assert_eq!(kolonne_3.core().devices().unwrap().len(), devices);
        // And it goes on as if nothing had been.
        let text = world.anna.text(&job, "Weiter geht's");
        world.everyone_syncs().await;
        assert_eq!(kolonne_3.state(&job, &text), State::Office);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_but_a_signature_changes_what_a_screen_promises() {
    let world = World::new().await;
    let anna = &world.anna;
    let job = a_job(&world).await;
    let text: OpId = anna.text(&job, "Kommt das an?");
    let photo = anna.photo(&job, &files::photo(640, 480, 1));
    world.wire.lie(|asked, answer| {
        if let ("POST /v1/push", Ok(mut told)) =
            (asked.what.as_str(), cbor::decode::<PushAnswer>(answer))
        {
            for receipt in &mut told.receipts {
                receipt.signature.0[20] ^= 1;
            }
            *answer = cbor::encode(&told);
        } else if (asked.what.starts_with("PATCH ") || asked.what == "POST /v1/blobs")
            && let Some(last) = answer.last_mut()
        {
            *last ^= 1;
        }
    });
    drop(anna.try_sync().await);
    assert_eq!(anna.state(&job, &text), State::Saved);
    assert_eq!(anna.state(&job, &photo), State::Saved);
    let outbox = anna.core().status().unwrap().outbox;
    println!("{outbox:?}");
    assert!(outbox.ops >= 2 && outbox.photos == 1 && outbox.originals == 1);
    world.wire.be_honest();
    anna.tries_again();
    anna.sync().await;
    assert_eq!(anna.state(&job, &text), State::Sent);
    assert_eq!(anna.state(&job, &photo), State::Sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_blob_is_not_taken_and_comes_again() {
    let world = World::new().await;
    let (anna, büro) = (&world.anna, &world.büro);
    let job = a_job(&world).await;
    let captured = files::photo(1600, 1200, 5);
    let photo = anna.photo(&job, &captured);
    anna.sync().await;
    world.wire.lie(|asked, answer| {
        let middle = answer.len() / 2;
        if asked.what.starts_with("GET /v1/blobs/")
            && let Some(byte) = answer.get_mut(middle)
        {
            *byte ^= 0x40;
        }
    });
    büro.sync().await;
    for part in [Part::Thumb, Part::Picture, Part::Original] {
        assert!(büro.media(&photo, part).is_err(), "{part:?}");
    }
    assert_ne!(büro.state(&job, &photo), State::Office);
    world.wire.be_honest();
    büro.tries_again();
    world.everyone_syncs().await;
    assert_eq!(büro.media(&photo, Part::Original).unwrap().bytes, captured);
    assert_eq!(anna.state(&job, &photo), State::Office);
}

/// Each chunk proves itself as it comes: what was true before a false one isn't fetched again.
#[tokio::test(flavor = "multi_thread")]
async fn one_false_slice_costs_that_slice_not_the_file() {
    let world = World::new().await;
    let (anna, büro) = (&world.anna, &world.büro);
    let job = a_job(&world).await;
    let plan: Vec<u8> = (0..3_000_000u32)
        .map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()[0])
        .collect();
    let plan = {
        let about = About::default();
        let sent = anna
            .core()
            .send_document(&anna.seat(), &job, "Statik.bin", &plan, &about);
        sent.unwrap()
    };
    anna.sync().await;
    let (fetched, false_ones) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (sum, lies) = (Arc::clone(&fetched), Arc::clone(&false_ones));
    world.wire.lie(move |asked, answer| {
        if asked.what.starts_with("GET /v1/blobs/") {
            let before = sum.fetch_add(answer.len(), Ordering::Relaxed);
            if before > 1_500_000
                && let Some(byte) = answer.first_mut()
                && lies.fetch_add(1, Ordering::Relaxed) == 0
            {
                *byte ^= 1;
            }
        }
    });
    büro.sync().await;
    assert!(büro.media(&plan, Part::Document).is_err());
    büro.tries_again();
    büro.sync().await;
    assert!(büro.media(&plan, Part::Document).is_ok());
    let fetched = fetched.load(Ordering::Relaxed);
    assert!(false_ones.load(Ordering::Relaxed) > 1);
    assert!(fetched < 3_000_000 + (1 << 20) + 200_000, "{fetched} bytes");
}

/// Whoever names what doesn't open a file keeps nobody busy for ever: it is the named file all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_its_author_lets_nobody_open_is_not_fetched_for_ever() {
    let world = World::new().await;
    let büro = &world.büro;
    let job = a_job(&world).await;
    let mut scribe = Scribe::join(&world, world.ring("Kolonne 3")).await;
    let file = vec![7; 300_000];
    let document = scribe.document_that_opens_for_nobody(job, &file).await;
    for _ in 0..4 {
        büro.sync().await;
        büro.tries_again();
    }
    assert!(büro.media(&document, Part::Document).is_err());
    world.wire.take_passed();
    büro.sync().await;
    let passed = world.wire.take_passed();
    assert!(
        !passed
            .iter()
            .any(|one| one.what.starts_with("GET /v1/blobs/"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_what_a_phone_wrote_is_told_at_the_office_until_it_is_filled() {
    let world = World::new().await;
    let (anna, büro) = (&world.anna, &world.büro);
    let job = a_job(&world).await;
    assert!(büro.core().backlog().unwrap().is_empty());
    anna.text(&job, "Geht verloren");
    anna.sync().await;
    world
        .wire
        .lie(|asked, answer| in_pages(asked, answer, &mut Vec::clear));
    büro.sync().await;
    // What comes after it comes; what fills holes doesn't.
    world.wire.lie(|asked, answer| {
        if !asked.what.starts_with("POST /v1/pull") {
            in_pages(asked, answer, &mut Vec::clear);
        }
    });
    anna.text(&job, "Kommt an");
    anna.sync().await;
    büro.sync().await;
    let told = büro.core().backlog().unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|b| (b.device_name.as_str(), b.gaps))
        .collect();
    assert_eq!(told, [("Annas Handy", 1)]);
    world.wire.be_honest();
    büro.sync().await;
    assert!(büro.core().backlog().unwrap().is_empty());
    world.everyone_syncs().await;
    assert_eq!(anna.thread(&job), büro.thread(&job));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_out_hears_of_it_though_the_hub_left_it_out_once() {
    let world = World::new().await;
    let (büro, kolonne_3) = (&world.büro, &world.kolonne_3);
    let job = a_job(&world).await;
    world.everyone_syncs().await;
    let crew = [world.ring("Kolonne 3")];
    let core = büro.core();
    core.change_members(&büro.seat(), &job, &[], &crew).unwrap();
    büro.sync().await;
    world
        .wire
        .lie(|asked, answer| in_pages(asked, answer, &mut Vec::clear));
    kolonne_3.sync().await;
    world.wire.be_honest();
    kolonne_3.sync().await;
    let row = kolonne_3.jobs().into_iter().find(|row| row.id == job);
    assert!(!row.unwrap().member, "it knows that it is out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_company_thread_takes_no_names_away() {
    let world = World::new().await;
    let büro = &world.büro;
    let job = a_job(&world).await;
    world.anna.text(&job, "Die Rinne ist dicht");
    world.everyone_syncs().await;
    let before = büro.thread(&job);
    assert!(before.contains("Anna Weber"), "{before}");

    scribe::open_another_company_thread(&world).await;
    world.everyone_syncs().await;
    let sql = "SELECT count(*) FROM view_threads WHERE kind = 1";
    let theirs: i64 = büro
        .database()
        .query_row(sql, [], |row| row.get(0))
        .unwrap();
    assert_eq!(theirs, 2, "it is there");
    assert_eq!(büro.thread(&job), before);
    büro.core().rebuild_views().unwrap();
    assert_eq!(büro.thread(&job), before);
    // Nor from a phone that comes now.
    let invite = phone(
        "Nachzügler",
        "Kolonne 3",
        vec![person("Ida Kurz", Role::Crew)],
    );
    let nachzügler = world.enrol("nachzügler", invite).await;
    nachzügler.sync().await;
    assert_eq!(nachzügler.thread(&job), world.kolonne_3.thread(&job));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_follows_a_lamport_that_its_strand_cannot_have_reached() {
    let world = World::new().await;
    let anna = &world.anna;
    let job = a_job(&world).await;
    let mut scribe = Scribe::join(&world, world.ring("Kolonne 3")).await;
    scribe.jump(job, 1 << 62).await;
    let far = scribe.write(job, &["Ganz zuletzt".to_owned()]).await;
    scribe.push(vec![far]).await;
    world.everyone_syncs().await;
    anna.text(&job, "Die Rinne ist dicht");
    anna.sync().await;
    let db = anna.database();
    let sql = "SELECT max(lamport) FROM ops WHERE thread = ?1 AND lamport < (1 << 62)";
    let lamport: i64 = db
        .query_row(sql, [job.0.as_slice()], |row| row.get(0))
        .unwrap();
    assert!(lamport < 100, "{lamport}");
    world.everyone_syncs().await;
    assert_eq!(anna.thread(&job), world.kolonne_3.thread(&job));
}

/// What is done to the parts of an answer.
type LeftOut = fn(&mut Vec<kolonne_model::hub::Part>);

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_keys_that_a_hub_leaves_out_are_asked_for_again() {
    let patterns: [LeftOut; 3] = [
        Vec::clear,
        |parts| drop(parts.pop()),
        |parts| {
            if !parts.is_empty() {
                parts.remove(0);
            }
        },
    ];
    for (n, leaves_out) in patterns.into_iter().enumerate() {
        let world = World::new().await;
        let (anna, büro, kolonne_3) = (&world.anna, &world.büro, &world.kolonne_3);
        let job = world.job("Dach", &["Anna Weber"]);
        world.everyone_syncs().await;
        anna.text(&job, "Vor der Kolonne");
        world.everyone_syncs().await;
        let crew = [world.ring("Kolonne 3")];
        let core = büro.core();
        core.change_members(&büro.seat(), &job, &crew, &[]).unwrap();
        büro.text(&job, "Mit der Kolonne");
        büro.sync().await;
        anna.sync().await;
        world.wire.lie(move |asked, answer| {
            if asked.what.starts_with("POST /v1/pull") {
                let mut pull: PullAnswer = cbor::decode(answer).unwrap();
                leaves_out(&mut pull.parts);
                *answer = cbor::encode(&pull);
            } else if asked.what.starts_with("POST /v1/fetch") {
                let mut fetch: FetchAnswer = cbor::decode(answer).unwrap();
                leaves_out(&mut fetch.parts);
                *answer = cbor::encode(&fetch);
            }
        });
        kolonne_3.sync().await;
        kolonne_3.sync().await;
        world.wire.be_honest();
        assert_ne!(kolonne_3.thread(&job), anna.thread(&job), "{n}");
        // Asked a moment ago, it isn't asked again by itself; a person may.
        kolonne_3.tries_again();
        kolonne_3.sync().await;
        world.everyone_syncs().await;
        assert_eq!(kolonne_3.thread(&job), anna.thread(&job), "{n}");
    }
}

/// The signing key of a device itself, as a thief takes it from its database.
fn stolen_key(device: &Device) -> SigningKey {
    let seed: Vec<u8> = device
        .database()
        .query_row(
            "SELECT value FROM meta WHERE key = 'device_signing'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    SigningKey::from_bytes(&seed.try_into().unwrap())
}

/// The heads of all cut lists in the office's log.
fn cut_heads(device: &Device) -> Vec<StrandHead> {
    let db = device.database();
    let mut statement = db.prepare("SELECT bytes FROM parts").unwrap();
    let parts = statement
        .query_map([], |row| row.get::<_, Vec<u8>>(0))
        .unwrap();
    parts
        .filter_map(|part| read_cut_list(&part.unwrap()).ok())
        .flatten()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_made_of_what_the_office_has_and_not_of_the_hubs_word() {
    let world = World::new().await;
    let (anna, büro) = (&world.anna, &world.büro);
    let job = a_job(&world).await;
    let honest = anna.text(&job, "Bin am Dach");
    world.everyone_syncs().await;
    // Who stole the phone signs, for the hub's operator, an op far ahead of what was ever written:
    // were it a head of the cut, all that is written below it later would count.
    let thief = stolen_key(anna);
    let me = anna.core().me().unwrap();
    let own_seat = SeatId::of_key(&PublicKey(thief.verifying_key().to_bytes()));
    let context = Context {
        suite: SUITE_1,
        class: ClassByte::plain(Class::Control),
        company: me.company_id,
        thread: job,
        seat: own_seat,
        store: StoreId([7; 8]),
        seq: 1_000_000,
        previous: OpId([9; 32]),
        roster: RosterPosition(1),
        roster_digest: RosterDigest([0; 32]),
        key: KeyId::ZERO,
        lamport: 1,
        time_ms: 1,
        extension_hash: Hash32::ZERO,
    };
    let op = Op::new(context, payload::clear(&[7; 12], &[0x80]));
    let signature = sign(&thief, &op.form.id());
    let mut far = Vec::new();
    page::write_segment(
        &mut far,
        &SegmentToSend {
            name: StrandName::Full(op.context().strand()),
            receivers_base: None,
            ops: std::slice::from_ref(&op),
            links: 0,
            signature: &signature,
        },
    );
    let asked_for_heads = Arc::new(AtomicBool::new(false));
    let asked_it = Arc::clone(&asked_for_heads);
    let (in_a_page, id) = (far.clone(), op.form.id());
    world.wire.lie(move |asked, answer| {
        // The office was given it before, too: it lies there behind a gap.
        in_pages(asked, answer, &mut |page| page.extend(&in_a_page));
        if let ("POST /v1/last-ops", Ok(mut told)) =
            (asked.what.as_str(), cbor::decode::<LastOpsAnswer>(answer))
        {
            // Honest heads are left out, the far one is put in.
            asked_it.store(true, Ordering::Relaxed);
            told.page = far.clone().into();
            told.heads = 1;
            told.more = false;
            *answer = cbor::encode(&told);
        }
    });
    büro.sync().await;
    assert!(büro.holds_op(&id));
    let seat = büro.seat();
    let subject = Subject::Device(me.device);
    büro
        .core()
        .end(&seat, subject, EndMode::Hard)
        .await
        .unwrap();
    world.wire.be_honest();
    assert!(asked_for_heads.load(Ordering::Relaxed));
    let heads = cut_heads(büro);
    assert!(
        heads.iter().any(|head| head.head.id == honest),
        "left out, and listed all the same"
    );
    assert!(
        heads.iter().all(|head| head.head.seq < 1_000_000),
        "{heads:?}"
    );
    // What was honest stands on every device.
    world.büro.sync().await;
    world.kolonne_3.sync().await;
    assert_eq!(texts(&world.kolonne_3, &job), ["Bin am Dach"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_takes_no_roster_that_ends_before_its_code() {
    let world = World::new().await;
    let new = |n: u8, name: &str| {
        phone(
            &format!("Handy Kolonne {n}"),
            &format!("Kolonne {n}"),
            vec![person(name, Role::Crew)],
        )
    };
    // What the hub told a phone that came earlier, it tells the next one again: a roster in which
    // whatever changed since never was.
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let from_the_start = |asked: &Asked| {
        asked.what == "POST /v1/roster"
            && cbor::decode::<RosterFrom>(&asked.body).is_ok_and(|from| from.seq == 1)
    };
    world.wire.lie(move |asked, answer| {
        if from_the_start(asked) {
            *keep.lock().unwrap() = answer.clone();
        }
    });
    world.enrol("kolonne-7", new(7, "Timo Fuchs")).await;
    let old = kept.lock().unwrap().clone();
    assert!(!old.is_empty());
    world.enrol("kolonne-8", new(8, "Lea Roth")).await;

    let büro = &world.büro;
    let mut invitation = büro
        .core()
        .invite(&büro.seat(), new(9, "Eva Maier"))
        .await
        .unwrap();
    let code = invitation.text();
    let config = Config::new(world.path("kolonne-9"));
    let on_phone = tokio::spawn(async move {
        let mut enrolment = Kolonne::enrol(config, &code).await.unwrap();
        enrolment.words().await.unwrap();
        enrolment.admitted().await
    });
    while !matches!(invitation.step().await.unwrap(), InviteState::Words(_)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.wire.lie(move |asked, answer| {
        if from_the_start(asked) {
            answer.clone_from(&old);
        }
    });
    invitation.admit().await.unwrap();
    let refused = on_phone.await.unwrap();
    assert_eq!(refused.unwrap_err().code(), "invalid.code.forged");
    assert!(Kolonne::open(Config::new(world.path("kolonne-9"))).is_err());
}

/// A segment by a seat that nobody certified: that many ops of that many bytes.
fn by_nobody(company: CompanyId, seat: u16, ops: u32, bytes: usize) -> Vec<u8> {
    let mut by = [0xee; 16];
    by[..2].copy_from_slice(&seat.to_be_bytes());
    let mut previous = OpId::ZERO;
    let ops: Vec<Op> = (1..=ops)
        .map(|seq| {
            let context = Context {
                suite: SUITE_1,
                class: ClassByte::plain(Class::Data),
                company,
                thread: kolonne_model::ids::ThreadId([3; 16]),
                seat: SeatId(by),
                store: StoreId([7; 8]),
                seq,
                previous,
                roster: RosterPosition(1),
                roster_digest: RosterDigest([0; 32]),
                key: KeyId([5; 16]),
                lamport: u64::from(seq),
                time_ms: 1,
                extension_hash: Hash32::ZERO,
            };
            let op = Op::new(context, vec![9; bytes]);
            previous = op.form.id();
            op
        })
        .collect();
    let mut page = Vec::new();
    page::write_segment(
        &mut page,
        &SegmentToSend {
            name: StrandName::Full(ops[0].context().strand()),
            receivers_base: None,
            ops: &ops,
            links: 0,
            signature: &kolonne_model::ids::Signature([1; 64]),
        },
    );
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_certificate_is_bounded_and_crowds_nobody_out() {
    let world = World::new().await;
    let (büro, kolonne_3) = (&world.büro, &world.kolonne_3);
    let job = a_job(&world).await;
    let new = phone(
        "Handy Kolonne 7",
        "Kolonne 7",
        vec![person("Timo Fuchs", Role::Crew)],
    );
    let timo = world.enrol("kolonne-7", new).await;
    let crew = world.ring("Kolonne 7");
    let seat = büro.seat();
    büro
        .core()
        .change_members(&seat, &job, &[crew], &[])
        .unwrap();
    büro.sync().await;
    timo.sync().await;
    büro.sync().await;
    timo.text(&job, "Bin auch da");
    timo.sync().await;
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let keep = Arc::clone(&kept);
    world.wire.lie(move |asked, answer| {
        if let ("POST /v1/pull", Ok(told)) =
            (asked.what.as_str(), cbor::decode::<PullAnswer>(answer))
            && !told.page.is_empty()
        {
            *keep.lock().unwrap() = told.page.to_vec();
        }
    });
    büro.sync().await;
    let honest = kept.lock().unwrap().clone();
    assert!(texts(büro, &job).contains(&"Bin auch da".to_owned()));

    // A phone that the hub tells nothing of the new one hears much of many who never were; then of
    // the new one.
    let company = büro.core().me().unwrap().company_id;
    let mut pages: Vec<Vec<u8>> = (0..7).map(|n| by_nobody(company, n, 14, 65_000)).collect();
    pages.extend((1..4).map(|few| {
        let small = (0..100).map(|n| by_nobody(company, few * 100 + n, 1, 60));
        small.collect::<Vec<_>>().concat()
    }));
    pages.push(honest);
    let mut pages = pages.into_iter();
    let all_told = Arc::new(AtomicBool::new(false));
    let told_all = Arc::clone(&all_told);
    world.wire.lie(move |asked, answer| {
        if let ("POST /v1/pull", Ok(mut told)) =
            (asked.what.as_str(), cbor::decode::<PullAnswer>(answer))
        {
            let next = pages.next();
            told_all.store(next.is_none(), Ordering::Relaxed);
            told.page = next.unwrap_or_default().into();
            *answer = cbor::encode(&told);
        } else {
            in_pages(asked, answer, &mut Vec::clear);
        }
    });
    while !all_told.load(Ordering::Relaxed) {
        kolonne_3.sync().await;
    }
    let waiting = |seat: &SeatId| -> (i64, i64, i64) {
        let sql = "SELECT count(*), sum(length(page)), sum(instr(page, ?1) > 0) FROM waiting";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let db = kolonne_3.database();
        db.query_row(sql, [seat.0.as_slice()], row).unwrap()
    };
    let (rows, bytes, of_timo) = waiting(&timo.seat());
    assert!(rows <= 256, "{rows}");
    assert!(bytes <= 4 << 20, "{bytes}");
    assert!(of_timo > 0, "who is honest found room");
    world.wire.be_honest();
    kolonne_3.sync().await;
    assert!(texts(kolonne_3, &job).contains(&"Bin auch da".to_owned()));
    assert_eq!(waiting(&timo.seat()).2, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_comes_beside_a_roster_only_what_it_names_is_kept() {
    let world = World::new().await;
    let büro = &world.büro;
    let job = a_job(&world).await;
    world.kolonne_3.text(&job, "Bin am Dach");
    world.everyone_syncs().await;
    let lost = Subject::Device(world.kolonne_3.core().me().unwrap().device);
    let seat = büro.seat();
    büro.core().end(&seat, lost, EndMode::Hard).await.unwrap();
    büro.sync().await;
    let cuts = cut_heads(büro).len();
    assert!(cuts > 0);
    // Beside each answer the hub puts what nobody named: under no op's name, and under a true one's.
    world.wire.lie(|asked, answer| {
        if let ("POST /v1/roster", Ok(mut told)) =
            (asked.what.as_str(), cbor::decode::<RosterAnswer>(answer))
        {
            let op = told.parts.first().map_or(OpId::ZERO, |part| part.op);
            told.parts.extend((0..20).map(|n| HubPart {
                op: if n % 2 == 0 { op } else { OpId::ZERO },
                bytes: vec![n; 60_000].into(),
            }));
            *answer = cbor::encode(&told);
        }
    });
    let new = NewOffice {
        kit: world.kit.clone().into(),
        hub_url: Some(world.wire.url()),
        hub_key: None,
        backup: None,
        undo_since: None,
        person_name: "Sabine Brandt".to_owned(),
        device_name: "Büro neu".to_owned(),
    };
    let dir = world.path("büro-neu");
    let recovered = Kolonne::recover(Config::new(&dir), new, |_| {})
        .await
        .unwrap();
    world.wire.be_honest();
    let recovered = Device::new(dir, Arc::default(), recovered);
    recovered.sync().await;
    assert_eq!(cut_heads(&recovered).len(), cuts, "what is named came");
    let sql = "SELECT count(*) FROM parts WHERE length(bytes) = 60000";
    let junk: i64 = recovered
        .database()
        .query_row(sql, [], |row| row.get(0))
        .unwrap();
    assert_eq!(junk, 0, "and nothing else");
}

/// Answers every connection with these bytes.
async fn canned(answer: &'static str) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                drop(socket.read(&mut asked).await);
                drop(socket.write_all(answer.as_bytes()).await);
            });
        }
    });
    address
}

/// A login page in the hub's place, and a hub whose disk is full, are no missing network: each is
/// called what it is, and passes.
#[tokio::test(flavor = "multi_thread")]
async fn who_answers_in_the_hubs_place_is_told_apart_from_no_network() {
    let world = World::new().await;
    let state = || world.anna.core().status().unwrap().hub;
    let hub = world.hub.as_ref().unwrap().address;
    for (answer, meant) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nLogin",
            HubState::Foreign,
        ),
        (
            "HTTP/1.1 507 Full\r\nkolonne-hub: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            HubState::NotNow,
        ),
    ] {
        world.wire.lead_to(Some(canned(answer).await));
        world.anna.try_sync().await.unwrap_err();
        assert_eq!(state(), meant);
    }
    world.wire.lead_to(None);
    world.anna.try_sync().await.unwrap_err();
    assert_eq!(state(), HubState::Unreachable);
    world.wire.lead_to(Some(hub));
    world.anna.sync().await;
    assert_eq!(state(), HubState::Reachable);
}
