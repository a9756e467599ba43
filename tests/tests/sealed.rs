//! Sealed attachments: for named people alone, and what is handed out without Kolonne.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use kolonne_core::Error;
use kolonne_core::capture::{About, SealFor};
use kolonne_core::records::{Entry, EntryKind, Part, State};
use kolonne_model::ids::OpId;
use kolonne_model::sealed::padded_bytes;
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
