//! Who is in a thread, who was taken out of it and learns so, and who is a crew at all.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use kolonne_core::capture::{About, JobChange, NewJob};
use kolonne_core::records::{
    ChangeKeptBack, EntryKind, KeptBackWhy, LetInBy, MemberKind, Part, ThreadRow,
};
use kolonne_core::{Error, NewInvite, SeatGrant};
use kolonne_model::ids::{OpId, SeatId};
use kolonne_model::roster::change::{DeviceKind, Role};
use kolonne_tests::scribe::Scribe;
use kolonne_tests::world::{person, phone};
use kolonne_tests::{Device, JobId, World, files};

fn row(device: &Device, job: &JobId) -> ThreadRow {
    let jobs = device.jobs();
    jobs.into_iter().find(|row| row.id == *job).unwrap()
}

fn texts(device: &Device, job: &JobId) -> Vec<String> {
    let entries = device.entries(job);
    entries.into_iter().filter_map(|entry| entry.text).collect()
}

/// Who the thread says was taken out or came back, and by whom.
fn told(device: &Device, job: &JobId) -> Vec<(String, String, String)> {
    let entries = device.entries(job).into_iter();
    entries
        .filter(|entry| entry.kind == EntryKind::Notice)
        .filter_map(|entry| {
            let notice = entry.notice?;
            let of_members = notice.code.starts_with("member");
            of_members.then(|| (entry.author.name, notice.code, notice.value.unwrap()))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_titles_say_what_can_be_seen_and_steer_nothing() {
    let world = World::new().await;
    // What is typed here, or pasted from somewhere, is made plain.
    let new = phone(
        "Handy\u{202e} 7 \u{1b}[2J",
        "Kolonne\t7\u{feff}",
        vec![person(" An\u{200b}ton\u{ad} ", Role::Crew)],
    );
    let anton = world.enrol("anton", new).await;
    let job = NewJob {
        title: "Dach\n\u{2066}Weiher\u{2069}".to_owned(),
        members: vec![world.ring("Kolonne 7"), world.ring("Kolonne 3")],
        ..NewJob::default()
    };
    let job = world
        .büro
        .core()
        .open_job(&world.büro.seat(), &job)
        .unwrap();
    world.büro.sync().await;
    anton.sync().await;
    assert_eq!(anton.core().me().unwrap().device_name, "Handy 7 [2J");
    assert_eq!(anton.core().me().unwrap().seats[0].name, "Anton");
    assert_eq!(row(&anton, &job).title, "Dach Weiher");
    let invisible = phone("\u{200b}", "Kolonne 8", vec![person("Eva", Role::Crew)]);
    let refused = world
        .büro
        .core()
        .invite(&world.büro.seat(), invisible)
        .await;
    assert_eq!(refused.unwrap_err().code(), "invalid.device_name.empty");

    // What an app that checks nothing wrote is shown plain, and no longer than a line.
    let crew = world.ring("Kolonne 3");
    let mut scribe = Scribe::join_as(&world, crew, Role::Foreman).await;
    let hostile = format!("\u{1b}]0;x\u{7}\u{202e}hcaD\u{200d}{}", "ä".repeat(500));
    scribe.title(job, &hostile).await;
    world.büro.sync().await;
    let shown = row(&world.büro, &job).title;
    assert!(
        shown.starts_with("]0;x hcaDä") && shown.len() <= 300,
        "{shown:?}"
    );
}

/// What he said before stays for everyone as it was; that he changed it isn't forgotten on his phone.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_who_was_taken_out_waits_and_says_so_to_him_alone() {
    let world = World::new().await;
    let (büro, kolonne_3) = (&world.büro, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    let steht = kolonne_3.text(&job, "Gerüst steht");
    let weg = kolonne_3.text(&job, "Leiter fehlt");
    world.everyone_syncs().await;

    kolonne_3.offline();
    let (own_seat, other) = (kolonne_3.seat(), kolonne_3.seat_of("Jonas Huber"));
    let core = kolonne_3.core();
    core.caption(&own_seat, &steht, "Gerüst steht halb")
        .unwrap();
    core.caption(&own_seat, &steht, "Gerüst steht ganz")
        .unwrap();
    core.retract(&own_seat, &weg, None).unwrap();
    let seat = büro.seat();
    let crew = world.ring("Kolonne 3");
    büro
        .core()
        .change_members(&seat, &job, &[], &[crew])
        .unwrap();
    büro.sync().await;
    kolonne_3.online();
    world.everyone_syncs().await;

    let waits = |seat: &SeatId, id: &OpId| {
        let page = core.entries(seat, &job, None, 50).unwrap();
        let entry = page.entries.into_iter().find(|entry| entry.id == *id);
        let entry = entry.unwrap();
        assert!(entry.kept_back.is_none() && entry.retracted.is_none());
        (entry.text.unwrap(), entry.change_kept_back)
    };
    let change = |text: Option<&str>| {
        Some(ChangeKeptBack {
            text: text.map(str::to_owned),
            let_in_by: LetInBy::OfficeUntold,
        })
    };
    let (before, edited) = ("Gerüst steht".to_owned(), change(Some("Gerüst steht ganz")));
    assert_eq!(waits(&own_seat, &steht), (before.clone(), edited));
    let taken_back = ("Leiter fehlt".to_owned(), change(None));
    assert_eq!(waits(&own_seat, &weg), taken_back);
    assert_eq!(waits(&other, &steht), (before, None));
    core.rebuild_views().unwrap();
    assert_eq!(waits(&own_seat, &weg), taken_back);
    for device in [büro, &world.anna] {
        assert_eq!(texts(device, &job), ["Gerüst steht", "Leiter fehlt"]);
        assert!(device.entry(&job, &steht).change_kept_back.is_none());
    }

    // Let in, it is the change that it would have been.
    let kept = büro.core().kept_back().unwrap();
    let kept = kept.iter().find(|kept| kept.why == KeptBackWhy::NotMember);
    assert_eq!(kept.map(|kept| (kept.entries, kept.changes)), Some((0, 3)));
    assert_eq!(row(büro, &job).quarantined, 3);
    büro.core().admit(&seat, &job, &kept.unwrap().seat).unwrap();
    büro
        .core()
        .change_members(&seat, &job, &[crew], &[])
        .unwrap();
    world.everyone_syncs().await;
    for device in [büro, &world.anna, kolonne_3] {
        assert_eq!(texts(device, &job), ["Gerüst steht ganz"]);
        assert!(device.entry(&job, &weg).retracted.is_some());
        assert!(device.entry(&job, &steht).change_kept_back.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crew_taken_out_learns_it_and_gets_nothing_after() {
    let world = World::new().await;
    let (büro, anna, kolonne_3) = (&world.büro, &world.anna, &world.kolonne_3);
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    büro.text(&job, "Morgen kommt der Kran");
    world.everyone_syncs().await;
    kolonne_3.text(&job, "Gerüst steht");
    world.everyone_syncs().await;

    // The crew writes without network; meanwhile the office takes it out and goes on.
    kolonne_3.offline();
    let written = kolonne_3.text(&job, "Noch vom Gerüst");
    let photo = kolonne_3.photo(&job, &files::photo(1200, 900, 1));
    büro.text(&job, "Kurz vorher");
    let seat = büro.seat();
    let crew = world.ring("Kolonne 3");
    büro
        .core()
        .change_members(&seat, &job, &[], &[crew])
        .unwrap();
    let change = JobChange {
        title: Some("Dach Öztürk, Abrechnung".to_owned()),
        ..JobChange::default()
    };
    büro.core().set_job(&seat, &job, &change).unwrap();
    büro.text(&job, "Nur für uns");
    büro.sync().await;
    anna.sync().await;
    anna.text(&job, "Von mir auch nur für uns");
    anna.sync().await;
    kolonne_3.online();
    kolonne_3.sync().await;
    kolonne_3.sync().await;

    // It reads on what was said until then, knows who took it out, and writes nothing more.
    let on_phone = row(kolonne_3, &job);
    assert!(!on_phone.member);
    assert_eq!(on_phone.title, "Dach Öztürk");
    let before = ["Morgen kommt der Kran", "Gerüst steht", "Kurz vorher"];
    // What it wrote before it knew is still there for who wrote it, marked, and for nobody else.
    // Both wrote their last words at once: their order is the seats'.
    let all = texts(kolonne_3, &job);
    let (own, others): (Vec<_>, Vec<_>) = all.iter().partition(|text| *text == "Noch vom Gerüst");
    assert_eq!(
        (own.len(), others),
        (1, before.map(str::to_owned).iter().collect())
    );
    let kept_back = |device: &Device| {
        let entries = device.entries(&job).into_iter();
        let kept = entries.filter(|entry| entry.kept_back.is_some());
        kept.map(|entry| (entry.id, entry.kept_back.unwrap()))
            .collect::<Vec<_>>()
    };
    let own = kept_back(kolonne_3);
    assert_eq!(
        own,
        [
            (written, LetInBy::OfficeUntold),
            (photo, LetInBy::OfficeUntold)
        ]
    );
    let core = kolonne_3.core();
    assert!(
        !kolonne_3
            .media(&photo, Part::Thumb)
            .unwrap()
            .bytes
            .is_empty()
    );
    let (own_seat, other) = (kolonne_3.seat(), kolonne_3.seat_of("Jonas Huber"));
    let found = |seat| core.threads(seat, "vom Gerüst").unwrap().len();
    assert_eq!((found(&own_seat), found(&other)), (1, 0));
    let page = core.entries(&other, &job, None, 50).unwrap();
    let of_other: Vec<_> = page.entries.iter().filter_map(|e| e.text.clone()).collect();
    assert_eq!(of_other, before);
    assert_eq!(core.thread(&other, &job).unwrap().row.unread, 3);
    core.rebuild_views().unwrap();
    assert_eq!(kept_back(kolonne_3), own);
    let out = (
        "Sabine Brandt".to_owned(),
        "member_out".to_owned(),
        "Kolonne 3".to_owned(),
    );
    for device in [kolonne_3, büro, anna] {
        assert_eq!(told(device, &job), std::slice::from_ref(&out));
    }
    let head = kolonne_3.core().thread(&kolonne_3.seat(), &job).unwrap();
    assert!(head.members.iter().all(|m| m.kind != MemberKind::Crew));
    let refused = kolonne_3
        .core()
        .send_text(&kolonne_3.seat(), &job, "Hallo?", &About::default());
    assert!(
        matches!(refused, Err(Error::Locked { code: "member" })),
        "{refused:?}"
    );
    let last = kolonne_3.entries(&job).pop().unwrap().id;
    let seat_3 = kolonne_3.seat();
    kolonne_3.core().mark_read(&seat_3, &job, &last).unwrap();
    // Another pull brings nothing more of it, a third party's words neither.
    anna.text(&job, "Noch etwas");
    anna.sync().await;
    let had = kolonne_3.ops_of(&job);
    kolonne_3.sync().await;
    assert_eq!(kolonne_3.ops_of(&job), had);

    // What it had captured is kept back: the list says so, and it is let in by one act.
    büro.sync().await;
    assert!(row(büro, &job).member);
    assert_eq!(row(büro, &job).quarantined, 2);
    let kept = büro.core().kept_back().unwrap();
    let kept: Vec<_> = kept.iter().filter(|kept| kept.entries > 0).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0].why, KeptBackWhy::NotMember);
    assert_eq!((kept[0].texts, kept[0].photos, kept[0].files), (1, 1, 0));
    büro.core().admit(&seat, &job, &kept[0].seat).unwrap();
    assert_eq!(row(büro, &job).quarantined, 0);
    assert!(texts(büro, &job).contains(&"Noch vom Gerüst".to_owned()));

    // Taken in again it has everything.
    büro
        .core()
        .change_members(&seat, &job, &[crew], &[])
        .unwrap();
    world.everyone_syncs().await;
    assert!(row(kolonne_3, &job).member);
    assert_eq!(kept_back(kolonne_3), []);
    assert_eq!(kolonne_3.thread(&job), büro.thread(&job));
    assert_eq!(told(kolonne_3, &job).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_to_a_crew_after_it_was_taken_out_gets_nothing_of_the_thread() {
    let world = World::new().await;
    let job = world.job("Dach Öztürk", &["Kolonne 3"]);
    world.büro.text(&job, "Vertraulich");
    world.everyone_syncs().await;
    let (seat, crew) = (world.büro.seat(), world.ring("Kolonne 3"));
    let office = world.büro.core();
    office.change_members(&seat, &job, &[], &[crew]).unwrap();
    world.everyone_syncs().await;
    let invite = NewInvite {
        crew: Some(crew),
        crew_name: None,
        ..phone("Zweites Handy", "", vec![person("Ali Demir", Role::Crew)])
    };
    let second = world.enrol("zweites", invite).await;
    second.sync().await;
    assert!(!second.knows(&job));
    assert_eq!(second.ops_of(&job), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_moved_phone_wrote_for_its_old_crew_stays_when_that_crew_is_taken_out() {
    let world = World::new().await;
    let (büro, moved) = (&world.büro, &world.kolonne_3);
    let crew = vec![person("Timo Fuchs", Role::Crew)];
    world
        .enrol("kolonne-7", phone("Handy Kolonne 7", "Kolonne 7", crew))
        .await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    moved.text(&job, "Gerüst steht");
    world.everyone_syncs().await;
    let (seat, old) = (büro.seat(), world.ring("Kolonne 3"));
    let (device, to) = (moved.core().me().unwrap().device, world.ring("Kolonne 7"));
    let core = büro.core();
    core.move_device(&seat, &device, &to).await.unwrap();
    core.change_members(&seat, &job, &[], &[old]).unwrap();
    world.everyone_syncs().await;
    for device in [büro, &world.anna] {
        assert_eq!(texts(device, &job), ["Gerüst steht"]);
        assert_eq!(row(device, &job).quarantined, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foremans_own_ring_is_no_crew() {
    let world = World::new().await;
    let job = world.job("Dach Öztürk", &["Anna Weber", "Kolonne 3"]);
    world.everyone_syncs().await;
    for device in world.devices() {
        let (people, crews) = device.core().people().unwrap();
        let names: Vec<&str> = crews.iter().map(|crew| crew.name.as_str()).collect();
        assert_eq!(names, ["Kolonne 3"]);
        let anna = people.iter().find(|p| p.name == "Anna Weber").unwrap();
        assert_eq!(anna.crew, None);
        let head = device.core().thread(&device.seat(), &job).unwrap();
        let as_member = head.members.iter().find(|m| m.name == "Anna Weber");
        assert_eq!(as_member.unwrap().id, anna.id);
        assert_eq!(as_member.unwrap().kind, MemberKind::Person);
        let record = device.core().devices().unwrap();
        let phone = record.iter().find(|d| d.name == "Annas Handy").unwrap();
        assert_eq!(phone.crew, None);
    }
    // By the person she goes and comes.
    let (people, _) = world.büro.core().people().unwrap();
    let anna = people.iter().find(|p| p.name == "Anna Weber").unwrap();
    let (seat, office) = (world.büro.seat(), world.büro.core());
    office.change_members(&seat, &job, &[], &[anna.id]).unwrap();
    world.everyone_syncs().await;
    assert!(!row(&world.anna, &job).member);
    office.change_members(&seat, &job, &[anna.id], &[]).unwrap();
    world.everyone_syncs().await;
    assert!(row(&world.anna, &job).member);
    // A stranger on a crew phone never gets it, by id or by name.
    for (crew, crew_name) in [(anna.own_ring, None), (None, Some("anna weber".to_owned()))] {
        let invite = NewInvite {
            crew,
            crew_name,
            ..phone("Drittes Handy", "", vec![person("Ali Demir", Role::Crew)])
        };
        let refused = office.invite(&seat, invite).await.map(drop);
        let code = refused.unwrap_err().code();
        assert_eq!(code, "invalid.crew.person");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_there_are_asked_about() {
    let world = World::new().await;
    let (seat, office) = (world.büro.seat(), world.büro.core());
    let ali = || vec![person("Ali Demir", Role::Crew)];
    let taken = office
        .invite(&seat, phone("handy kolonne 3", "Kolonne 4", ali()))
        .await;
    assert_eq!(
        taken.map(drop).unwrap_err().code(),
        "invalid.device_name.taken"
    );
    // A typo in case is the same crew.
    world
        .enrol("zweites", phone("Zweites Handy", "kolonne 3", ali()))
        .await;
    world.everyone_syncs().await;
    let (people, crews) = office.people().unwrap();
    assert_eq!(crews.len(), 1, "{crews:?}");
    // Another role isn't given by the way.
    let mehmet = people.iter().find(|p| p.name == "Mehmet Yılmaz").unwrap();
    let invite = NewInvite {
        kind: DeviceKind::Phone,
        device_name: "Mehmets Handy".to_owned(),
        crew: None,
        crew_name: Some("Mehmet Yılmaz".to_owned()),
        seats: vec![SeatGrant {
            person: Some(mehmet.id),
            name: mehmet.name.clone(),
            role: Role::Foreman,
        }],
    };
    let refused = office.invite(&seat, invite).await.map(drop);
    assert_eq!(refused.unwrap_err().code(), "invalid.role.differs");
}
