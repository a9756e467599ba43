//! What devices say of where things are: what is missing from a phone, whether it may be given away,
//! what hangs fast and its ways out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use kolonne_core::capture::{About, SealFor};
use kolonne_core::records::{
    Backlog, Entry, EntryKind, HandBackStanding, LackKind, Part, State, Stuck,
};
use kolonne_model::cbor;
use kolonne_model::control::EraseReason;
use kolonne_model::hub::{PushAnswer, RefusalCode, SegmentOutcome};
use kolonne_model::ids::Hash32;
use kolonne_model::roster::change::{EndMode, Subject};
use kolonne_tests::world::{JobId, World};
use kolonne_tests::{Device, files};

fn lacks(device: &Device) -> Vec<(LackKind, u64)> {
    let lacks = device.core().hand_back().unwrap().lacks;
    lacks.into_iter().map(|lack| (lack.what, lack.n)).collect()
}

fn standing(device: &Device) -> HandBackStanding {
    device.core().hand_back().unwrap().standing
}

fn stuck(device: &Device) -> Vec<Stuck> {
    device.core().stuck(&device.seat()).unwrap()
}

fn backlog_of(world: &World, device: &str) -> Option<Backlog> {
    let backlog = world.büro.core().backlog().unwrap();
    backlog.into_iter().find(|b| b.device_name == device)
}

fn pdf(device: &Device, job: &JobId) -> kolonne_model::ids::OpId {
    let (seat, about) = (device.seat(), About::default());
    let file = b"%PDF-1.4 Aufmass";
    let core = device.core();
    core.send_document(&seat, job, "Aufmass.pdf", file, &about)
        .unwrap()
}

/// The hub refuses this device's ops for good, as a sick one would.
fn refuse_ops(world: &World, code: RefusalCode) {
    world.wire.lie(move |asked, answer| {
        if asked.what == "POST /v1/push" {
            let mut told: PushAnswer = cbor::decode(answer).unwrap();
            told.receipts.clear();
            told.outcomes = vec![(0, SegmentOutcome::Refused(code))];
            *answer = cbor::encode(&told);
        }
    });
}

/// The ciphertexts of an entry are gone from this disk: they can't be sent any more.
fn lose_files(device: &Device) {
    for blob in device.blob_files() {
        let name = blob.to_string();
        let path = device.dir.join("blobs").join(&name[..2]).join(&name);
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_office_sees_what_is_missing_from_each_phone_until_it_is_here_or_nobody_wants_it() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    assert_eq!(büro.core().backlog().unwrap(), []);

    // An hour ahead: the office says the true time all the same.
    anna.later(Duration::from_hours(1));
    anna.sync().await;
    let photo = anna.photo(&job, &files::photo(1200, 900, 1));
    let voice = anna.voice(&job, &files::wav(3000));
    pdf(anna, &job);
    anna.sync_within(0).await;
    büro.sync().await;
    let missing = backlog_of(&world, "Annas Handy").unwrap();
    assert_eq!(
        (
            missing.entries,
            missing.photos,
            missing.originals,
            missing.voices,
            missing.files
        ),
        (3, 1, 1, 1, 1)
    );
    let time_ms = büro.entry(&job, &photo).time_ms;
    assert_eq!(missing.since_ms, time_ms, "the oldest of it");
    assert!(missing.bytes > 0);
    assert_eq!(missing.gaps, 0);
    assert_eq!(
        anna.core().backlog().unwrap(),
        [],
        "only the office sees it"
    );
    let devices = büro.core().devices().unwrap();
    let phone = devices.iter().find(|d| d.name == "Annas Handy").unwrap();
    assert_eq!(phone.backlog.as_ref(), Some(&missing));

    // What is erased or taken back is missing to nobody.
    let seat = büro.seat();
    let erased = büro.core().erase(&seat, &[photo], EraseReason::Mistake);
    erased.unwrap();
    büro.core().retract(&seat, &voice, None).unwrap();
    let missing = backlog_of(&world, "Annas Handy").unwrap();
    assert_eq!(
        (
            missing.entries,
            missing.photos,
            missing.originals,
            missing.voices,
            missing.files
        ),
        (1, 0, 0, 0, 1)
    );
    let row = büro.core().thread(&seat, &job).unwrap().row;
    assert_eq!(row.backlog, [missing]);
    assert!(büro.entry(&job, &photo).pending.is_empty());

    world.everyone_syncs().await;
    assert_eq!(backlog_of(&world, "Annas Handy"), None);

    // Nor does anyone wait for a device whose rights ended.
    pdf(anna, &job);
    anna.sync_within(0).await;
    büro.sync().await;
    assert!(backlog_of(&world, "Annas Handy").is_some());
    let subject = Subject::Device(anna.core().me().unwrap().device);
    büro
        .core()
        .end(&seat, subject, EndMode::Soft)
        .await
        .unwrap();
    assert_eq!(backlog_of(&world, "Annas Handy"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_may_be_given_away_when_nothing_is_on_it_alone() {
    let mut world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let anna = &world.anna;
    assert_eq!(standing(anna), HandBackStanding::AtOffice);

    anna.offline();
    anna.text(&job, "Ortgang gerissen");
    anna.photo(&job, &files::photo(1200, 900, 1));
    anna.voice(&job, &files::wav(3000));
    assert_eq!(standing(anna), HandBackStanding::NotYet);
    let missing = lacks(anna);
    for lack in [
        (LackKind::Entries, 3),
        (LackKind::Photos, 1),
        (LackKind::Voices, 1),
        (LackKind::Originals, 1),
    ] {
        assert!(missing.contains(&lack), "{missing:?}");
    }
    assert!(anna.core().hand_back().unwrap().bytes > 0);

    // The words are at the hub, the files aren't.
    anna.online();
    anna.sync_within(0).await;
    assert_eq!(standing(anna), HandBackStanding::NotYet);
    assert!(
        lacks(anna)
            .iter()
            .all(|(what, _)| *what != LackKind::Entries)
    );

    // All is signed for; nobody at the office has looked yet.
    anna.sync().await;
    let said = anna.core().hand_back().unwrap();
    assert_eq!(said.standing, HandBackStanding::AtHub, "{said:?}");
    assert_eq!((said.unseen, said.bytes), (3, 0));
    world.büro.sync().await;
    anna.sync().await;
    assert_eq!(standing(anna), HandBackStanding::AtOffice);

    // Another hub answers that nobody has certified: its word counts for nothing.
    world.stop_hub().await;
    world.start_hub_on("another");
    world.anna.sync().await;
    let missing = lacks(&world.anna);
    assert!(missing.contains(&(LackKind::NewHub, 1)), "{missing:?}");
    assert_eq!(standing(&world.anna), HandBackStanding::NotYet);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_fast_is_explained_and_goes_on_when_it_is_tried_again() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let text = anna.text(&job, "Ortgang gerissen");
    refuse_ops(&world, RefusalCode::Signature);
    anna.sync().await;
    world.wire.be_honest();
    anna.sync().await;

    assert_eq!(anna.state(&job, &text), State::Stuck);
    let hangs = stuck(anna);
    let of_text = hangs.iter().find(|s| s.entry == Some(text)).unwrap();
    assert_eq!(of_text.kind, Some(EntryKind::Text));
    assert_eq!((of_text.thread, of_text.part), (Some(job), None));
    assert_eq!(of_text.title.as_deref(), Some("Dach Öztürk"));
    assert_eq!(of_text.why, "signature");
    assert!(!of_text.tries_again && !of_text.may_discard);
    assert_eq!(of_text.since_ms, Some(anna.entry(&job, &text).time_ms));
    assert!(lacks(anna).contains(&(LackKind::Stuck, hangs.len() as u64)));

    // What is signed is never thrown away.
    let seat = anna.seat();
    let thrown = anna.core().discard_stuck(&seat, &of_text.id, "weg damit");
    assert_eq!(thrown.unwrap_err().code(), "invalid.stuck.signed");
    let unknown = anna.core().retry_stuck(&Hash32::ZERO);
    assert_eq!(unknown.unwrap_err().code(), "not_found.stuck");
    for one in &hangs {
        anna.core().retry_stuck(&one.id).unwrap();
    }
    assert_eq!(stuck(anna), []);
    anna.sync().await;
    büro.sync().await;
    assert_eq!(büro.entry(&job, &text).state, State::Office);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_hangs_fast_is_thrown_away_by_a_person_with_a_trace_and_a_reason() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let photo = anna.photo(&job, &files::photo(1200, 900, 1));
    anna.sync_within(0).await;
    lose_files(anna);
    anna.sync().await;

    let hangs = stuck(anna);
    assert_eq!(hangs.len(), 3, "{hangs:?}");
    assert!(hangs.iter().all(|s| s.why == "missing" && s.may_discard));
    assert!(hangs.iter().any(|s| s.part == Some(Part::Original)));
    assert_eq!(anna.state(&job, &photo), State::Stuck);
    assert_eq!(standing(anna), HandBackStanding::NotYet);

    let seat = anna.seat();
    let without = anna.core().discard_stuck(&seat, &hangs[0].id, "  ");
    assert_eq!(without.unwrap_err().code(), "invalid.reason.empty");
    let core = anna.core();
    core.discard_stuck(&seat, &hangs[0].id, "Datei beschädigt")
        .unwrap();
    assert_eq!(stuck(anna), []);
    assert_eq!(core.status().unwrap().outbox.bytes, 0);
    world.everyone_syncs().await;
    for device in [büro, anna] {
        let entry = device.entry(&job, &photo);
        let reason = entry.retracted.unwrap().reason;
        assert_eq!(reason.as_deref(), Some("Datei beschädigt"));
        assert_eq!(entry.state, State::Office);
        assert!(entry.pending.is_empty());
    }
    assert_eq!(backlog_of(&world, "Annas Handy"), None);
    assert_eq!(standing(anna), HandBackStanding::AtOffice);
    let again = core.discard_stuck(&seat, &hangs[1].id, "noch einmal");
    assert_eq!(again.unwrap_err().code(), "not_found.stuck");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_fast_is_handed_out_as_any_other_entry() {
    let world = World::new().await;
    let anna = &world.anna;
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;
    let photo = anna.photo(&job, &files::photo(1200, 900, 1));
    refuse_ops(&world, RefusalCode::Form);
    anna.sync().await;
    assert_eq!(anna.state(&job, &photo), State::Stuck);
    let to = world.path("out");
    let exported = anna.core().export(&anna.seat(), &photo, &to).unwrap();
    let parts: Vec<Part> = exported.files.iter().map(|file| file.part).collect();
    assert_eq!(parts, [Part::Picture, Part::Original]);
    assert!(exported.files.iter().all(|file| file.path.exists()));

    // What is sealed, for who is named alone.
    let büro = &world.büro;
    let ring = |device: &Device| device.core().me().unwrap().seats[0].person;
    for (people, may) in [(vec![ring(anna)], true), (vec![ring(büro)], false)] {
        let office = false;
        let seal_for = SealFor { people, office };
        let file = ("attest.txt", b"Krank bis Freitag".as_slice());
        let core = anna.core();
        let sealed = core
            .seal(&anna.seat(), &job, &seal_for, file, &About::default())
            .unwrap();
        anna.sync().await;
        let stuck = core.stuck(&anna.seat()).unwrap();
        let stuck = stuck.iter().find(|one| one.entry == Some(sealed)).unwrap();
        assert_eq!(stuck.may_export, may);
        let file = core.stuck_file(&anna.seat(), &stuck.id);
        if may {
            let file = file.unwrap();
            assert_eq!(file.bytes, b"Krank bis Freitag");
            assert_eq!(file.name.as_deref(), Some("attest.txt"));
        } else {
            assert_eq!(file.unwrap_err().code(), "locked.sealed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_true_of_erased_taken_back_and_direct_entries() {
    let world = World::new().await;
    let (büro, anna) = (&world.büro, &world.anna);
    let job = world.job("Dach Öztürk", &["Anna Weber"]);
    world.everyone_syncs().await;

    // Only the words of these will ever come.
    let erased = anna.photo(&job, &files::photo(1200, 900, 1));
    let taken_back = anna.photo(&job, &files::photo(1200, 900, 2));
    anna.sync_within(0).await;
    büro.sync().await;
    let seat = büro.seat();
    let reason = EraseReason::PersonalData;
    büro.core().erase(&seat, &[erased], reason).unwrap();
    büro.core().retract(&seat, &taken_back, None).unwrap();
    büro.sync().await;
    anna.sync_within(0).await;
    for device in [büro, anna] {
        for id in [&erased, &taken_back] {
            let entry = device.entry(&job, id);
            assert_eq!(entry.state, State::Office, "{entry:?}");
            assert_eq!(entry.pending, []);
        }
    }

    // A direct thread is none of the office's: its people's receipts are all there is.
    let sabine = büro.core().me().unwrap().seats[0].person;
    let thread = anna.core().open_direct(&anna.seat(), &[sabine]).unwrap();
    let photo = anna.photo(&thread, &files::photo(1200, 900, 3));
    assert_eq!(anna.state(&thread, &photo), State::Saved);
    assert_eq!(anna.entry(&thread, &photo).pending.len(), 3);
    world.everyone_syncs().await;
    for device in [büro, anna] {
        let entry = device.entry(&thread, &photo);
        assert_eq!(entry.state, State::Sent);
        assert_eq!(entry.pending, []);
    }
    assert_eq!(standing(anna), HandBackStanding::AtOffice);
}

/// A seen body holds some 1,900 names of files at most.
#[tokio::test(flavor = "multi_thread")]
async fn the_office_says_of_two_thousand_files_that_it_has_them() {
    let world = World::new().await;
    let job = world.job("Aufmaß", &["Anna Weber"]);
    world.everyone_syncs().await;
    let entries: Vec<_> = (0..2_000).map(|_| pdf(&world.anna, &job)).collect();
    world.anna.sync().await;
    world.büro.sync().await;
    world.anna.sync().await;
    let at_office = |e: &&Entry| entries.contains(&e.id) && e.state == State::Office;
    assert_eq!(
        world.anna.entries(&job).iter().filter(at_office).count(),
        2_000
    );
}
