//! The hub without sockets: what it takes, what it refuses, who gets what.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::*;
use kolonne_hub::{HubService, Quotas};
use kolonne_model::control::{
    Control, Erase, EraseReason, KeyMade, KeyRing, MemberChange, MemberWrite, Members, ThreadKind,
};
use kolonne_model::hub::*;
use kolonne_model::ids::*;
use kolonne_model::op::{Op, sign};
use kolonne_model::page::{SegmentToSend, StrandName, write_segment};
use kolonne_model::receipt::Slice;
use kolonne_model::roster::change::*;
use kolonne_model::roster::part_hash;

struct World {
    dir: tempfile::TempDir,
    hub: std::sync::Arc<HubService>,
    clock: std::sync::Arc<std::sync::atomic::AtomicU64>,
    company: Company,
}

fn world() -> World {
    world_with(Quotas::default())
}

fn world_with(quotas: Quotas) -> World {
    let dir = tempfile::tempdir().unwrap();
    let (env, clock) = env();
    let hub = HubService::open(dir.path(), env, quotas).unwrap();
    let company = Company::new(20);
    company.settle(&hub);
    World {
        dir,
        hub,
        clock,
        company,
    }
}

impl World {
    fn office(&self) -> kolonne_hub::Connection {
        self.hub.connect(self.company.id, self.company.office.id)
    }
    fn phone(&self) -> kolonne_hub::Connection {
        self.hub.connect(self.company.id, self.company.phone.id)
    }
    fn other(&self) -> kolonne_hub::Connection {
        self.hub.connect(self.company.id, self.company.other.id)
    }
    /// A job opened by the phone, with some texts; its ops.
    fn job(&self, texts: &[&str]) -> Vec<Op> {
        let c = &self.company;
        let mut ops = vec![c.open_thread(&c.phone.person, c.crew, ThreadKind::Job)];
        for text in texts {
            let thread = ops[0].context().thread;
            ops.push(c.data(&c.phone.person, thread, ops.last(), text));
        }
        ops
    }
    fn push_job(&self, texts: &[&str]) -> Vec<Op> {
        let ops = self.job(texts);
        let answer = now(self
            .phone()
            .push(push(segment(&self.company.phone.person, &ops))))
        .unwrap();
        assert_eq!(answer.outcomes, []);
        ops
    }
}

#[test]
fn a_push_is_receipted_and_pulled_by_members_only() {
    let w = world();
    let ops = w.job(&["Ortgang gerissen", "brauchen 12 Ziegel"]);
    let page = segment(&w.company.phone.person, &ops);
    let answer = now(w.phone().push(push(page.clone()))).unwrap();
    let [receipt] = answer.receipts.as_slice() else {
        panic!("one receipt")
    };
    assert!(receipt.is_good(&w.hub.key(), &w.company.id));
    assert_eq!(
        receipt.through.head,
        Head {
            seq: 3,
            id: ops[2].form.id()
        }
    );

    let office = now(w.office().pull(FROM_START)).unwrap();
    assert_eq!(entries(&w.company, &office), ops);
    assert_eq!(read(&w.company, &office.page).len(), 3 + 3);
    assert!(!office.more && office.fill.is_empty());
    let heads = now(w.office().heads(Heads { threads: vec![] })).unwrap();
    assert_eq!(
        office.sum,
        head_sum(heads.heads.iter().chain(&heads.roster))
    );
    assert_eq!(heads.heads, [receipt.through]);
    assert_eq!(heads.roster.unwrap().head.seq, 3);

    // Again: the same receipt's place, nothing new for anyone.
    let again = now(w.phone().push(push(page))).unwrap();
    assert_eq!(again.receipts[0].through, receipt.through);
    assert_eq!(again.receipts[0].hub_seq, receipt.hub_seq);
    let next = Pull {
        cursor: Some(office.cursor),
        limit_bytes: 1 << 20,
        start: None,
    };
    assert!(now(w.office().pull(next)).unwrap().page.is_empty());

    let other = now(w.other().pull(FROM_START)).unwrap();
    assert_eq!(entries(&w.company, &other), []);
    assert_eq!(other.sum, head_sum(&heads.roster), "of the roster alone");
    let thread = ops[0].context().thread;
    let fetch = Fetch {
        thread,
        have: vec![],
        limit_bytes: 1 << 20,
    };
    assert_eq!(now(w.other().fetch(fetch.clone())), Err(HubError::NotThere));
    assert_eq!(
        now(w.office().fetch(fetch)).map(|a| read(&w.company, &a.page)),
        Ok(ops)
    );
    assert_eq!(
        now(w.other().heads(Heads {
            threads: vec![thread]
        }))
        .unwrap()
        .heads,
        []
    );
}

#[test]
fn a_short_page_builds_on_what_the_hub_has() {
    let w = world();
    let mut ops = w.job(&["eins"]);
    let author = &w.company.phone.person;
    let answer = now(w.phone().push(push(segment(author, &ops)))).unwrap();
    ops.push(
        w.company
            .data(author, ops[0].context().thread, ops.last(), "zwei"),
    );
    let short = |handle| {
        let mut page = Vec::new();
        let signature = sign(author, &ops[2].form.id());
        let name = StrandName::Handle(handle);
        let receivers_base = Some(ops[1].context());
        let ops = &ops[2..];
        write_segment(
            &mut page,
            &SegmentToSend {
                name,
                receivers_base,
                ops,
                links: 0,
                signature: &signature,
            },
        );
        page
    };
    let wrong = now(w.phone().push(push(short(77)))).unwrap();
    assert_eq!(wrong.outcomes, [(0, SegmentOutcome::NeedsFullValues)]);
    let right = now(w.phone().push(push(short(answer.receipts[0].handle)))).unwrap();
    assert_eq!(
        (right.outcomes.len(), right.receipts[0].through.head.seq),
        (0, 3)
    );
}

#[test]
fn gaps_forgeries_and_strangers_are_not_stored() {
    let w = world();
    let c = &w.company;
    let ops = w.job(&["eins", "zwei"]);
    let outcome = |page: Vec<u8>| now(w.phone().push(push(page))).map(|a| a.outcomes);
    assert_eq!(
        outcome(segment(&c.phone.person, &ops[1..])),
        Ok(vec![(0, SegmentOutcome::Gap)])
    );
    let refused = |code| Ok(vec![(0, SegmentOutcome::Refused(code))]);
    assert_eq!(
        outcome(segment(&c.office.person, &ops)),
        refused(RefusalCode::Signature)
    );
    // Another company's op is another op here.
    let foreign = Company::new(90);
    let theirs = foreign.open_thread(&foreign.phone.person, foreign.crew, ThreadKind::Job);
    assert_eq!(
        outcome(segment(
            &foreign.phone.person,
            std::slice::from_ref(&theirs)
        )),
        refused(RefusalCode::Seat)
    );
    let mut moved = ops[0].clone();
    moved.form.context.company = foreign.id;
    assert_eq!(
        outcome(segment(&c.phone.person, &[moved])),
        refused(RefusalCode::Signature)
    );
    // A second encoding: class stated though it is as before.
    let mut page = segment(&c.phone.person, &ops);
    assert_eq!(page[0] & 8, 8);
    page[0] |= 0x80;
    assert_eq!(outcome(page), Err(HubError::Refused(RefusalCode::Form)));
    let answer = now(w.office().pull(FROM_START)).unwrap();
    assert_eq!(entries(c, &answer), []);
    // A segment of a page that fails doesn't hinder the others.
    let mut page = segment(&c.office.person, &ops);
    page.extend(segment(&c.phone.person, &ops));
    let answer = now(w.phone().push(push(page))).unwrap();
    assert_eq!((answer.outcomes.len(), answer.receipts.len()), (1, 1));
    let stranger = w.hub.connect(c.id, foreign.phone.id);
    assert_eq!(now(stranger.pull(FROM_START)), Err(HubError::NotAllowed));
    assert_eq!(now(stranger.push(push(vec![]))), Err(HubError::NotAllowed));
}

#[test]
fn forks_are_kept_on_both_branches_and_told() {
    let w = world();
    let c = &w.company;
    let ops = w.push_job(&["eins"]);
    let thread = ops[0].context().thread;
    let branch = [c.data(&c.phone.person, thread, Some(&ops[0]), "anders")];
    let answer = now(w.phone().push(push(segment(&c.phone.person, &branch)))).unwrap();
    assert_eq!(answer.forked[0].head.id, branch[0].form.id());
    assert_eq!(answer.receipts[0].through.head.id, branch[0].form.id());
    let pulled = now(w.office().pull(FROM_START)).unwrap();
    let all = entries(c, &pulled);
    assert!(all.contains(&ops[1]) && all.contains(&branch[0]) && all.len() == 3);
    let HeadsAnswer {
        heads,
        roster: newest,
    } = now(w.office().heads(Heads {
        threads: vec![thread],
    }))
    .unwrap();
    assert_eq!(heads.len(), 2);
    assert_eq!(pulled.sum, head_sum(heads.iter().chain(&newest)));
    // Who has one branch gets the other.
    let strand = ops[0].context().strand();
    let have = vec![StrandHead {
        strand,
        head: Head {
            seq: 2,
            id: ops[1].form.id(),
        },
    }];
    let fetched = now(w.office().fetch(Fetch {
        thread,
        have,
        limit_bytes: 1 << 20,
    }))
    .unwrap();
    assert_eq!(read(c, &fetched.page), branch);
}

#[test]
fn links_prove_what_has_no_signature_of_its_own() {
    let w = world();
    let c = &w.company;
    let ops = w.job(&["eins", "zwei", "drei"]);
    // Two counted, two bare links that carry the signature.
    let page = segment_with_links(&c.phone.person, &ops, 2);
    let answer = now(w.phone().push(push(page))).unwrap();
    assert_eq!(answer.receipts[0].through.head.seq, 2);
    let pulled = now(w.office().pull(FROM_START)).unwrap();
    assert_eq!(entries(c, &pulled), ops[..2]);
    // A tiny limit cuts between ops of one segment: links again.
    now(w.phone().push(push(segment(&c.phone.person, &ops)))).unwrap();
    let (mut cursor, mut got) = (None, Vec::new());
    loop {
        let answer = now(w.office().pull(Pull {
            cursor,
            limit_bytes: 1,
            start: None,
        }))
        .unwrap();
        got.extend(entries(c, &answer));
        cursor = Some(answer.cursor);
        if !answer.more {
            break;
        }
    }
    assert_eq!(got, ops);
}

#[test]
fn a_missing_payload_is_filled_and_delivered() {
    let w = world();
    let c = &w.company;
    let ops = w.job(&["eins"]);
    let mut bare = ops.clone();
    bare[1].payload = None;
    now(w.phone().push(push(segment(&c.phone.person, &bare)))).unwrap();
    let first = now(w.office().pull(FROM_START)).unwrap();
    assert_eq!(entries(c, &first), bare);
    now(w.office().push(push(segment(&c.phone.person, &ops)))).unwrap();
    let next = Pull {
        cursor: Some(first.cursor),
        limit_bytes: 1 << 20,
        start: None,
    };
    assert_eq!(entries(c, &now(w.office().pull(next)).unwrap()), ops[1..]);
}

#[test]
fn key_files_go_to_their_rings_only() {
    let w = world();
    let c = &w.company;
    let mut ops = w.job(&[]);
    let files: Vec<Vec<u8>> = vec![b"for the crew".to_vec(), b"for the office".to_vec()];
    let office = c.roster.the_ring(RingKind::Office).unwrap();
    let mut rings = vec![
        KeyRing {
            ring: c.crew,
            generation: 1,
            file: 0,
        },
        KeyRing {
            ring: office,
            generation: 1,
            file: 1,
        },
    ];
    rings.sort_unstable();
    let key = KeyMade {
        hash: Hash32([8; 32]),
        rings,
        files: files.iter().map(|file| part_hash(file)).collect(),
        seals: vec![],
    };
    ops.push(c.control(&c.phone.person, &ops[0], &Control::KeyMade(key)));
    let op = ops[1].form.id();
    let part = |bytes: &[u8]| Part {
        op,
        bytes: bytes.to_vec().into(),
    };
    let mut parts: Vec<Part> = files.iter().map(|file| part(file)).collect();
    parts.push(part(b"named by nobody"));
    let page = segment(&c.phone.person, &ops).into();
    now(w.phone().push(Push { page, parts })).unwrap();
    let got = |hub: &kolonne_hub::Connection| now(hub.pull(FROM_START)).unwrap().parts;
    assert_eq!(got(&w.phone()), [part(&files[0])]);
    assert_eq!(got(&w.office()), [part(&files[1])]);
    assert_eq!(got(&w.other()), []);
    let thread = ops[0].context().thread;
    let fetched = now(w.office().fetch(Fetch {
        thread,
        have: vec![],
        limit_bytes: 1 << 20,
    }));
    assert_eq!(fetched.unwrap().parts, [part(&files[1])]);
}

#[test]
fn a_new_member_is_told_to_fill() {
    let w = world();
    let c = &w.company;
    let ops = w.push_job(&["eins"]);
    let before = now(w.other().pull(FROM_START)).unwrap();
    assert_eq!(entries(c, &before), []);
    let write = MemberWrite {
        ring: c.other_crew,
        change: MemberChange::In { stays_out: vec![] },
        names: vec![],
    };
    let joins = c.control(
        &c.phone.person,
        &ops[1],
        &Control::Members(Members {
            writes: vec![write],
        }),
    );
    now(w
        .phone()
        .push(push(segment(&c.phone.person, std::slice::from_ref(&joins)))))
    .unwrap();
    let thread = ops[0].context().thread;
    let next = Pull {
        cursor: Some(before.cursor),
        limit_bytes: 1 << 20,
        start: None,
    };
    let after = now(w.other().pull(next)).unwrap();
    assert_eq!(
        (entries(c, &after), after.fill.clone()),
        (vec![joins], vec![thread])
    );
    let fetch = Fetch {
        thread,
        have: vec![],
        limit_bytes: 1 << 20,
    };
    assert_eq!(
        read(c, &now(w.other().fetch(fetch)).unwrap().page)[..2],
        ops[..]
    );
    let next = Pull {
        cursor: Some(after.cursor),
        limit_bytes: 1 << 20,
        start: None,
    };
    assert_eq!(now(w.other().pull(next)).unwrap().fill, []);
}

#[test]
fn what_is_to_fill_is_not_forgotten_between_small_answers() {
    let w = world();
    let c = &w.company;
    let ops = w.push_job(&["eins"]);
    let thread = ops[0].context().thread;
    let mut cursor = now(w.other().pull(FROM_START)).unwrap().cursor;
    let write = MemberWrite {
        ring: c.other_crew,
        change: MemberChange::In { stays_out: vec![] },
        names: vec![],
    };
    let members = Control::Members(Members {
        writes: vec![write],
    });
    let joins = c.control(&c.phone.person, &ops[1], &members);
    let after = c.data(&c.phone.person, thread, Some(&joins), "zwei");
    let page = segment(&c.phone.person, &[joins, after]);
    now(w.phone().push(push(page))).unwrap();
    let mut fill = Vec::new();
    for more in [true, false] {
        let pull = Pull {
            cursor: Some(cursor),
            limit_bytes: 1,
            start: None,
        };
        let answer = now(w.other().pull(pull)).unwrap();
        assert_eq!(answer.more, more);
        fill.extend(answer.fill);
        cursor = answer.cursor;
    }
    assert_eq!(fill, [thread]);
}

#[test]
fn erased_payloads_are_sent_to_nobody_and_not_taken_again() {
    let w = world();
    let c = &w.company;
    let ops = w.push_job(&["eins"]);
    let erase = Control::Erase(Erase {
        ops: vec![ops[1].form.id()],
        reason: EraseReason::Mistake,
        blobs: None,
        days: None,
    });
    let mut erasing = c.control(&c.office.person, &ops[0], &erase);
    erasing.form.context.seq = 1;
    erasing.form.context.previous = OpId::ZERO;
    now(w.office().push(push(segment(&c.office.person, &[erasing])))).unwrap();
    now(w.phone().push(push(segment(&c.phone.person, &ops)))).unwrap();
    let pulled = entries(c, &now(w.phone().pull(FROM_START)).unwrap());
    assert_eq!((pulled.len(), &pulled[0]), (3, &ops[0]));
    assert_eq!(pulled.iter().filter(|op| op.payload.is_none()).count(), 1);
}

fn payloads_here(w: &World) -> i64 {
    let db = rusqlite::Connection::open(w.dir.path().join("hub.db")).unwrap();
    db.query_row(
        "SELECT count(*) FROM payloads p JOIN ops o ON o.n = p.op WHERE o.class = 1",
        [],
        |row| row.get(0),
    )
    .unwrap()
}

#[test]
fn what_is_erased_is_destroyed_after_its_days_and_taken_from_nobody() {
    let w = world();
    let clock = w.clock.clone();
    let c = &w.company;
    let ops = w.push_job(&["eins", "zwei"]);
    let thread = ops[0].context().thread;
    let bytes = b"ciphertext of a picture".to_vec();
    let blob = BlobId(*blake3::hash(&bytes).as_bytes());
    let new = NewUpload {
        blob,
        sealed_bytes: bytes.len() as u64,
        thread,
    };
    let Ok(Upload::Open { name, .. }) = now(w.phone().create_upload(new.clone())) else {
        panic!("it is new");
    };
    now(w.phone().append_upload(&name, 0, bytes)).unwrap();
    let cursor = now(w.phone().pull(FROM_START)).unwrap().cursor;
    let before = payloads_here(&w);

    let erase = Control::Erase(Erase {
        ops: vec![ops[1].form.id()],
        reason: EraseReason::PersonalData,
        blobs: Some(vec![blob]),
        days: Some(3),
    });
    let mut erasing = c.control(&c.office.person, &ops[0], &erase);
    erasing.form.context.seq = 1;
    erasing.form.context.previous = OpId::ZERO;
    now(w.office().push(push(segment(&c.office.person, &[erasing])))).unwrap();
    // Hidden at once, destroyed later.
    assert_eq!(
        now(w.phone().download(blob, 0, 1024)),
        Err(HubError::NotThere)
    );
    let day_ms = 24 * 3600 * 1000;
    clock.fetch_add(3 * day_ms - 1000, std::sync::atomic::Ordering::Relaxed);
    w.hub.tidy();
    assert_eq!(payloads_here(&w), before);
    clock.fetch_add(2000, std::sync::atomic::Ordering::Relaxed);
    w.hub.tidy();
    assert_eq!(payloads_here(&w), before - 1);
    let left = walk(&w.dir.path().join("blobs"));
    assert_eq!(left, Vec::<std::path::PathBuf>::new());

    // Whoever brings it again is thanked and it isn't kept; old cursors still hold.
    now(w.phone().push(push(segment(&c.phone.person, &ops)))).unwrap();
    assert_eq!(payloads_here(&w), before - 1);
    assert_eq!(now(w.phone().create_upload(new)), Err(HubError::NotThere));
    let again = Pull {
        cursor: Some(cursor),
        limit_bytes: 1 << 20,
        start: None,
    };
    assert!(now(w.phone().pull(again)).is_ok());
    let pulled = entries(c, &now(w.other().pull(FROM_START)).unwrap());
    assert!(
        pulled
            .iter()
            .all(|op| op.form.id() != ops[1].form.id() || op.payload.is_none())
    );
    w.hub.tidy();
}

#[test]
fn whose_time_is_over_is_served_nothing_more() {
    let w = world();
    let clock = w.clock.clone();
    let c = &w.company;
    w.push_job(&["eins"]);
    let (device, person) = (key(90), key(91));
    let id = DeviceId::of_key(&public(&device));
    let recipient = Recipient::x25519([91; 32]);
    let changes = vec![
        Change::Device(DeviceCert {
            key: public(&device),
            recipient: Recipient::x25519([90; 32]),
            kind: DeviceKind::Phone,
            crew: Some(c.crew),
        }),
        Change::Ring(RingGeneration {
            ring: recipient.ring(),
            kind: RingKind::Person,
            generation: 1,
            recipient: recipient.clone(),
            wraps: Vec::new(),
            previous_sealed: None,
        }),
        Change::Seat(SeatCert {
            key: public(&person),
            kind: SeatKind::Person,
            suite: kolonne_model::op::SUITE_1,
            device: id,
            person: Some(recipient.ring()),
            role: Role::Crew,
            scope: Scope::All,
            not_after_ms: Some(1_800_000_000_000 + 5000),
            recipient: None,
        }),
    ];
    let (page, _) = c.draft(&c.office.person, changes);
    now(w.office().append_roster(AppendRoster {
        page: page.into(),
        parts: vec![],
    }))
    .unwrap();
    let guest = w.hub.connect(c.id, id);
    assert_eq!(entries(c, &now(guest.pull(FROM_START)).unwrap()).len(), 2);
    clock.fetch_add(6000, std::sync::atomic::Ordering::Relaxed);
    let answer = now(guest.pull(FROM_START)).unwrap();
    assert_eq!(entries(c, &answer), []);
    assert!(!read(c, &answer.page).is_empty(), "the roster comes on");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn only_one_of_two_roster_ops_on_one_predecessor_is_taken() {
    let w = world();
    let c = &w.company;
    let move_to = |crew| {
        vec![Change::Move(Move {
            device: c.other.id,
            crew,
        })]
    };
    let (first, _) = c.draft(&c.office.person, move_to(Some(c.crew)));
    let (second, _) = c.draft(&c.office.person, move_to(None));
    let append = |page: &[u8]| {
        now(w.office().append_roster(AppendRoster {
            page: page.to_vec().into(),
            parts: vec![],
        }))
    };
    assert_eq!(append(&first), Ok(()));
    assert_eq!(append(&second), Err(HubError::RosterMoved));
    assert_eq!(append(&first), Ok(()));
    assert_eq!(now(w.hub.door().found(c.founding())), Ok(()));
    let roster = now(w.phone().roster(RosterFrom { seq: 2 })).unwrap();
    assert_eq!((read(c, &roster.page).len(), roster.more), (3, false));
}

/// A hub can't know that it is an older copy of itself, but by who knows more than it does.
#[test]
fn who_knows_more_of_the_roster_shows_that_the_hub_was_put_back() {
    let w = world();
    let c = &w.company;
    let life = || {
        let told = now(w.office().roster(RosterFrom { seq: 1 })).unwrap();
        (told.epoch.unwrap(), told.newest.unwrap())
    };
    let give = |page: &[u8]| {
        let founding = Founding {
            company: c.id,
            page: page.to_vec().into(),
        };
        now(w.hub.door().found(founding))
    };
    let move_to = |crew| {
        vec![Change::Move(Move {
            device: c.other.id,
            crew,
        })]
    };
    let (lost, _) = c.draft(&c.office.person, move_to(Some(c.crew)));
    let (newer, op) = c.draft(&c.office.person, move_to(None));
    let (first, before) = life();
    // Known things again say nothing.
    assert_eq!(give(&c.roster_pages.concat()), Ok(()));
    assert_eq!(life(), (first, before));
    // Appending is no sign; another branch that proves itself is, once.
    let appended = now(w.office().append_roster(AppendRoster {
        page: newer.into(),
        parts: vec![],
    }));
    assert_eq!(appended, Ok(()));
    assert_eq!(life().0, first);
    assert_eq!(give(&lost), Err(HubError::RosterMoved));
    let (second, newest) = life();
    assert_ne!(second, first);
    assert_eq!(newest.id, op.id(), "its chain stays one line");
    assert_eq!(give(&lost), Err(HubError::RosterMoved));
    assert_eq!(life().0, second);
    // Cursors of the life before are of another one.
    let pulled = now(w.phone().pull(FROM_START)).unwrap();
    assert_eq!(pulled.cursor.epoch, second);
    let old = Pull {
        cursor: Some(Cursor {
            epoch: first,
            ..pulled.cursor
        }),
        ..FROM_START
    };
    assert_eq!(now(w.phone().pull(old)), Err(HubError::OtherEpoch));
}

/// Each life makes all devices send everything anew, so no branch draws one at will.
#[test]
fn nobody_makes_all_begin_anew_again_and_again() {
    let mut w = world();
    let life = |w: &World| now(w.office().roster(RosterFrom { seq: 1 })).unwrap().epoch;
    let give = |w: &World, page: &[u8]| {
        let founding = Founding {
            company: w.company.id,
            page: page.to_vec().into(),
        };
        now(w.hub.door().found(founding))
    };
    let (office, crew) = (w.company.office.person.clone(), w.company.crew);
    let to_crew = |w: &World| {
        vec![Change::Move(Move {
            device: w.company.other.id,
            crew: Some(crew),
        })]
    };
    // Twenty branches of an office seat: real ones, each another op on the same link.
    let branches: Vec<_> = (0..20)
        .map(|_| w.company.draft(&office, to_crew(&w)).0)
        .collect();
    let changes = to_crew(&w);
    w.company.change(&office, changes);
    let page = w.company.roster_pages.last().unwrap().clone();
    let append = |w: &World, page: &[u8]| {
        now(w.office().append_roster(AppendRoster {
            page: page.to_vec().into(),
            parts: vec![],
        }))
    };
    assert_eq!(append(&w, &page), Ok(()));
    let mut lives = std::collections::BTreeSet::from([life(&w)]);
    for branch in &branches {
        assert_eq!(give(&w, branch), Err(HubError::RosterMoved));
        lives.insert(life(&w));
    }
    assert_eq!(lives.len(), 1 + 4, "four a day");
    w.clock
        .fetch_add(25 * 3600 * 1000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(give(&w, &branches[19]), Err(HubError::RosterMoved));
    assert!(lives.insert(life(&w)), "a day later there is room again");

    // Whom the chain has ended is no sign, nor is a root that another replaced.
    let (before, office_ended) = (
        life(&w),
        Change::End(End {
            subject: Subject::Seat(w.company.office.seat),
            mode: EndMode::Hard,
            cuts: vec![],
            more: None,
        }),
    );
    let lost = w.company.draft(&office, to_crew(&w)).0;
    let root = w.company.root.clone();
    let page = w.company.change(&root, vec![office_ended]);
    assert_eq!(give(&w, &page), Ok(()));
    let after = life(&w);
    assert_ne!(after, before, "the root's word on the newest is one");
    assert_eq!(give(&w, &lost), Err(HubError::RosterMoved));
    assert_eq!(life(&w), after);
}

/// The chain lies on every device for ever: who may not change anything doesn't make it longer.
#[test]
fn a_roster_op_without_its_right_is_not_kept() {
    let w = world();
    let c = &w.company;
    let head = || {
        now(w.office().roster(RosterFrom { seq: 1 }))
            .unwrap()
            .newest
    };
    let before = head();
    let changes = vec![Change::Move(Move {
        device: c.phone.id,
        crew: None,
    })];
    let (_, honest) = c.draft(&c.office.person, changes);
    let by_phone = |payload: Option<&[u8]>| {
        let mut context = *honest.context();
        context.seat = c.phone.seat;
        let payload = payload.map_or_else(|| honest.op().payload.clone().unwrap(), <[u8]>::to_vec);
        segment(&c.phone.person, &[Op::new(context, payload)])
    };
    // Nor who names a place that never was, and so isn't even asked for his right.
    let nowhere = {
        let mut context = *honest.context();
        context.seat = c.phone.seat;
        context.roster = RosterPosition::default();
        let payload = honest.op().payload.clone().unwrap();
        segment(&c.phone.person, &[Op::new(context, payload)])
    };
    for page in [by_phone(None), by_phone(Some(&vec![0; 60_000])), nowhere] {
        let append = AppendRoster {
            page: page.clone().into(),
            parts: vec![],
        };
        assert_eq!(
            now(w.phone().append_roster(append)),
            Err(HubError::NotAllowed)
        );
        // Nor by the door where whoever knows more is heard.
        let founding = Founding {
            company: c.id,
            page: page.into(),
        };
        assert_eq!(now(w.hub.door().found(founding)), Ok(()));
        assert_eq!(head(), before);
    }
}

#[test]
fn an_ended_device_hands_over_and_gets_the_roster_up_to_its_end() {
    let mut w = world();
    let ops = w.push_job(&["eins"]);
    let end = Change::End(End {
        subject: Subject::Device(w.company.phone.id),
        mode: EndMode::Hard,
        cuts: vec![],
        more: None,
    });
    let author = w.company.office.person.clone();
    let office = w.office();
    for changes in [
        vec![end],
        vec![Change::Move(Move {
            device: w.company.other.id,
            crew: None,
        })],
    ] {
        let page = w.company.change(&author, changes).into();
        now(office.append_roster(AppendRoster {
            page,
            parts: vec![],
        }))
        .unwrap();
    }
    let c = &w.company;
    let pulled = now(w.phone().pull(FROM_START)).unwrap();
    assert_eq!(
        (entries(c, &pulled), read(c, &pulled.page).len()),
        (vec![], 4)
    );
    let late = c.data(&c.phone.person, ops[0].context().thread, ops.last(), "zwei");
    let page = segment(&c.phone.person, std::slice::from_ref(&late));
    assert_eq!(now(w.phone().push(push(page))).unwrap().receipts.len(), 1);
    let append = AppendRoster {
        page: c.roster_pages[1].clone().into(),
        parts: vec![],
    };
    assert_eq!(
        now(w.phone().append_roster(append)),
        Err(HubError::NotAllowed)
    );
    let full = Quotas {
        ended_seat_ops: 1,
        ..Quotas::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let hub = HubService::open(dir.path(), env().0, full).unwrap();
    c.settle(&hub);
    let answer = now(hub
        .connect(c.id, c.phone.id)
        .push(push(segment(&c.phone.person, &ops))));
    assert_eq!(answer.unwrap().outcomes, [(0, SegmentOutcome::NotNow)]);
}

#[test]
fn how_far_a_seat_has_come_is_proven_and_told_to_the_office_alone() {
    let w = world();
    let c = &w.company;
    let job = w.push_job(&["eins", "zwei"]);
    // A thread that the office isn't in.
    let person = c.roster.seat(&c.phone.seat).unwrap().cert.person.unwrap();
    let direct = c.open_thread(&c.phone.person, person, ThreadKind::Direct);
    let page = segment(&c.phone.person, std::slice::from_ref(&direct));
    now(w.phone().push(push(page))).unwrap();
    let asked = |skip| LastOps {
        seats: vec![c.phone.seat],
        skip,
    };
    assert_eq!(now(w.phone().last_ops(asked(0))), Err(HubError::NotAllowed));
    let answer = now(w.office().last_ops(asked(0))).unwrap();
    assert_eq!((answer.heads, answer.more), (2, false));
    let heads = read(c, &answer.page);
    assert!(heads.iter().all(|op| op.payload.is_none()));
    let ids = |ops: &[&Op]| -> std::collections::BTreeSet<OpId> {
        ops.iter().map(|op| op.form.id()).collect()
    };
    assert_eq!(
        ids(&heads.iter().collect::<Vec<_>>()),
        ids(&[&job[2], &direct])
    );
    let rest = now(w.office().last_ops(asked(1))).unwrap();
    assert_eq!(rest.heads, 1);
    let none = now(w.office().last_ops(LastOps {
        seats: vec![c.other.seat],
        skip: 0,
    }));
    assert_eq!(none.unwrap().heads, 0);
}

#[test]
fn what_an_ended_seat_had_said_routes_on_by_its_cuts() {
    let mut w = world();
    let ops = w.push_job(&["eins"]);
    let thread = ops[0].context().thread;
    // The phone lets the other crew in, then its rights end behind that.
    let c = &w.company;
    let add = Control::Members(Members {
        writes: vec![MemberWrite {
            ring: c.other_crew,
            change: MemberChange::In { stays_out: vec![] },
            names: vec![],
        }],
    });
    let added = c.control(&c.phone.person, ops.last().unwrap(), &add);
    let page = segment(&c.phone.person, std::slice::from_ref(&added));
    now(w.phone().push(push(page))).unwrap();
    let list = cut_list(&[StrandHead {
        strand: added.context().strand(),
        head: Head {
            seq: added.context().seq,
            id: added.form.id(),
        },
    }]);
    let end = Change::End(End {
        subject: Subject::Device(c.phone.id),
        mode: EndMode::Hard,
        cuts: vec![CutOfThread {
            thread,
            list: part_hash(&list),
        }],
        more: None,
    });
    let author = c.office.person.clone();
    let page = w.company.change(&author, vec![end]);
    let op = read(&w.company, &page)[0].form.id();
    let with_list = || AppendRoster {
        page: page.clone().into(),
        parts: vec![Part {
            op,
            bytes: list.clone().into(),
        }],
    };
    now(w.office().append_roster(with_list())).unwrap();
    let pulled = now(w.other().pull(FROM_START)).unwrap();
    assert_eq!(pulled.parts.len(), 1, "the list of a thread that it is in");
    let filled = now(w.other().fetch(Fetch {
        thread,
        have: vec![],
        limit_bytes: 1 << 20,
    }));
    assert_eq!(filled.unwrap().parts.len(), 1, "and with the thread itself");

    // A hub that got the end without its list routes so as soon as that comes.
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path());
    w.company.settle(&hub);
    let c = &w.company;
    let phone = hub.connect(c.id, c.phone.id);
    let all = [ops, vec![added]].concat();
    now(phone.push(push(segment(&c.phone.person, &all)))).unwrap();
    let other = hub.connect(c.id, c.other.id);
    let fetch = || Fetch {
        thread,
        have: vec![],
        limit_bytes: 1 << 20,
    };
    assert_eq!(now(other.fetch(fetch())), Err(HubError::NotThere));
    let office = hub.connect(c.id, c.office.id);
    now(office.append_roster(with_list())).unwrap();
    assert!(now(other.fetch(fetch())).is_ok());
}

#[test]
fn over_the_quota_payloads_go_missing_but_no_op_does() {
    let small = Quotas {
        company_bytes: 0,
        ..Quotas::default()
    };
    let w = world_with(small);
    let ops = w.job(&["eins"]);
    let answer = now(w.phone().push(push(segment(&w.company.phone.person, &ops)))).unwrap();
    assert_eq!(answer.payloads_refused, [ops[1].form.id()]);
    assert_eq!(answer.receipts[0].through.head.seq, 2);
}

#[test]
fn blobs_are_checked_receipted_and_for_members_only() {
    let w = world();
    let ops = w.push_job(&[]);
    let thread = ops[0].context().thread;
    let bytes = vec![42u8; 200_000];
    let blob = BlobId(*blake3::hash(&bytes).as_bytes());
    let new = NewUpload {
        blob,
        sealed_bytes: 200_000,
        thread,
    };
    let phone = w.phone();
    let Ok(Upload::Open {
        name,
        offset_bytes: 0,
    }) = now(phone.create_upload(new.clone()))
    else {
        panic!("open")
    };
    now(phone.append_upload(&name, 0, bytes[..90_000].to_vec())).unwrap();
    assert_eq!(
        now(phone.append_upload(&name, 0, bytes[..10].to_vec())),
        Err(HubError::OtherOffset {
            offset_bytes: 90_000
        })
    );
    assert_eq!(now(w.office().upload(&name)), Err(HubError::NotThere));
    let same = now(phone.create_upload(new.clone())).unwrap();
    assert_eq!(
        same,
        Upload::Open {
            name: name.clone(),
            offset_bytes: 90_000
        }
    );
    let done = now(phone.append_upload(&name, 90_000, bytes[90_000..].to_vec())).unwrap();
    let Upload::Complete(receipt) = done else {
        panic!("complete")
    };
    assert!(receipt.is_good(&w.hub.key(), &w.company.id));
    assert_eq!(
        now(phone.create_upload(new.clone())),
        Ok(Upload::Complete(receipt.clone()))
    );

    let pulled = now(w.office().pull(FROM_START)).unwrap();
    assert_eq!(
        (pulled.blobs, pulled.cursor.hub_seq),
        (vec![blob], receipt.hub_seq)
    );
    assert_eq!(
        now(w.office().download(blob, 199_000, 5000)).unwrap(),
        bytes[199_000..]
    );
    assert_eq!(
        now(w.other().download(blob, 0, 10)),
        Err(HubError::NotThere)
    );
    // Nor by announcing it for a thread of one's own: the bytes must be shown.
    let own = w.company.open_thread(
        &w.company.other.person,
        w.company.other_crew,
        ThreadKind::Direct,
    );
    now(w.other().push(push(segment(
        &w.company.other.person,
        std::slice::from_ref(&own),
    ))))
    .unwrap();
    let theirs = NewUpload {
        thread: own.context().thread,
        ..new.clone()
    };
    assert!(matches!(
        now(w.other().create_upload(theirs)),
        Ok(Upload::Open { .. })
    ));
    assert_eq!(
        now(w.other().download(blob, 0, 10)),
        Err(HubError::NotThere)
    );

    let slices = vec![Slice {
        from: 5,
        bytes: 100,
    }];
    let challenge = Challenge {
        blob,
        nonce: Hash32([6; 32]),
        slices: slices.clone(),
    };
    let proof = now(phone.prove(challenge.clone())).unwrap();
    assert!(proof.is_good(&w.hub.key(), &w.company.id));
    assert_eq!(now(w.other().prove(challenge)), Err(HubError::NotThere));

    let wrong = NewUpload {
        blob: BlobId([1; 32]),
        sealed_bytes: 3,
        thread,
    };
    let Ok(Upload::Open { name, .. }) = now(phone.create_upload(wrong)) else {
        panic!("open")
    };
    assert_eq!(
        now(phone.append_upload(&name, 0, vec![0; 4])),
        Err(HubError::TooLarge)
    );
    let refused = Err(HubError::Refused(RefusalCode::Hash));
    assert_eq!(now(phone.append_upload(&name, 0, vec![0; 3])), refused);
    assert_eq!(now(phone.upload(&name)), Err(HubError::NotThere));
}

/// It scanned the code and sent its keys; then nobody pressed *Aufnehmen*.
#[test]
fn who_was_never_admitted_gets_nothing() {
    let w = world();
    let ops = w.push_job(&["eins"]);
    let thread = ops[0].context().thread;
    let device = DeviceId::of_key(&public(&key(77)));
    let stranger = w.hub.connect(w.company.id, device);
    assert_eq!(now(stranger.pull(FROM_START)), Err(HubError::NotAllowed));
    let fetch = Fetch {
        thread,
        have: vec![],
        limit_bytes: 1,
    };
    assert_eq!(now(stranger.fetch(fetch)), Err(HubError::NotAllowed));
    let heads = now(stranger.heads(Heads { threads: vec![] }));
    assert_eq!(heads, Err(HubError::NotAllowed));
    let roster = now(stranger.roster(RosterFrom { seq: 1 }));
    assert_eq!(roster, Err(HubError::NotAllowed));
    let new = NewUpload {
        blob: BlobId([1; 32]),
        sealed_bytes: 10,
        thread,
    };
    assert!(now(stranger.create_upload(new)).is_err());
    let page = segment(&w.company.phone.person, &ops);
    assert!(now(stranger.push(push(page))).is_err());
}

#[test]
fn two_companies_see_nothing_of_each_other() {
    let w = world();
    let ops = w.push_job(&["eins"]);
    let second = Company::new(90);
    second.settle(&w.hub);
    let theirs = w.hub.connect(second.id, second.office.id);
    let pulled = now(theirs.pull(FROM_START)).unwrap();
    assert_eq!(entries(&second, &pulled), []);
    let fetch = Fetch {
        thread: ops[0].context().thread,
        have: vec![],
        limit_bytes: 1,
    };
    assert_eq!(now(theirs.fetch(fetch)), Err(HubError::NotThere));
    let crossed = w.hub.connect(second.id, w.company.office.id);
    assert_eq!(now(crossed.pull(FROM_START)), Err(HubError::NotAllowed));
    let wrong = Founding {
        company: second.id,
        page: w.company.founding().page,
    };
    assert!(matches!(
        now(w.hub.door().found(wrong)),
        Err(HubError::Refused(_) | HubError::RosterMoved)
    ));
}

#[test]
fn a_restart_keeps_everything_and_an_older_copy_is_noticed() {
    let w = world();
    let ops = w.push_job(&["Canary-Ziegel-Ortgang"]);
    let pulled = now(w.office().pull(FROM_START)).unwrap();
    let (path, key) = (w.dir.path(), w.hub.key());
    drop(w.hub);
    let hub = open(path);
    assert_eq!(hub.key(), key);
    let office = hub.connect(w.company.id, w.company.office.id);
    assert_eq!(now(office.pull(FROM_START)), Ok(pulled.clone()));
    let ahead = Cursor {
        hub_seq: pulled.cursor.hub_seq + 1,
        ..pulled.cursor
    };
    let marked = Cursor {
        mark: [9; 8],
        ..pulled.cursor
    };
    let other = Cursor {
        epoch: HubEpoch([0; 8]),
        ..pulled.cursor
    };
    for cursor in [ahead, marked, other] {
        let pull = Pull {
            cursor: Some(cursor),
            limit_bytes: 1,
            start: None,
        };
        assert_eq!(now(office.pull(pull)), Err(HubError::OtherEpoch));
    }
    // Signed forms stay.
    let database = rusqlite::Connection::open(path.join("hub.db")).unwrap();
    assert!(database.execute("DELETE FROM ops", []).is_err());
    assert!(
        database
            .execute("UPDATE ops SET form = zeroblob(230)", [])
            .is_err()
    );
    drop((office, hub, database));
    // Nothing readable lies in the files.
    let mut files = vec![path.to_path_buf()];
    while let Some(file) = files.pop() {
        if file.is_dir() {
            files.extend(
                std::fs::read_dir(file)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            let bytes = std::fs::read(&file).unwrap();
            assert!(
                !bytes.windows(6).any(|window| window == b"Canary"),
                "{}",
                file.display()
            );
        }
    }
    assert_eq!(ops.len(), 2);
}

#[test]
fn mailboxes_hold_each_message_once_and_tell_nothing() {
    let w = world();
    let mailbox = Hash32([3; 32]);
    let mail = |slot, text: &[u8]| Mail {
        mailbox,
        slot,
        message: text.to_vec().into(),
    };
    let at = |slot| MailAt { mailbox, slot };
    let door = w.hub.door();
    assert_eq!(now(door.put_mail(mail(1, b"too early"))), Ok(()));
    assert_eq!(now(door.mail(at(1))), Err(HubError::NotThere));
    now(w.office().open_mailbox(mailbox)).unwrap();
    assert_eq!(now(door.mail(at(1))), Err(HubError::NotThere));
    now(door.put_mail(mail(1, b"commitment"))).unwrap();
    now(door.put_mail(mail(1, b"commitment"))).unwrap();
    assert_eq!(now(door.mail(at(1))).unwrap(), b"commitment");
    for _ in 0..5 {
        assert_eq!(
            now(door.put_mail(mail(1, b"another"))),
            Err(HubError::NotAllowed)
        );
    }
    assert_eq!(now(door.mail(at(1))), Err(HubError::NotThere));
}

#[test]
fn who_may_invite_nobody_takes_no_mailbox_from_who_may() {
    let w = world();
    for n in 0..32 {
        let opened = now(w.phone().open_mailbox(Hash32([n; 32])));
        assert_eq!(opened, Err(HubError::NotAllowed));
    }
    for n in 0..32 {
        now(w.office().open_mailbox(Hash32([n; 32]))).unwrap();
    }
    let beyond = now(w.office().open_mailbox(Hash32([99; 32])));
    assert!(matches!(beyond, Err(HubError::NotNow { .. })), "{beyond:?}");
}
