//! Who may do what, as docs/threat-model.md tells it: each act is signed with each key by a client
//! that checks nothing, and judged as every other device does.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use kolonne_model::body::{Retract, Say, Seen, Set, field};
use kolonne_model::cbor;
use kolonne_model::control::{Admit, Control, Erase, EraseReason};
use kolonne_model::ids::{OpId, SeatId};
use kolonne_model::judge::Judgement;
use kolonne_model::roster::Effect;
use kolonne_model::roster::change::{
    Change, DeviceKind, End, EndMode, HubKey, Move, RingKind, RingWraps, Role, RoleChange,
    RosterBody, Subject,
};
use kolonne_model::roster::state::Void;
use kolonne_model::strand::VerifiedOp;
use support::*;

const TABLE: &str = include_str!("../../../docs/threat-model.md");

/// The columns: a crew's person, a foreman, an office person, an admin, a phone's own seat, an
/// office computer's own seat, the kit.
fn keys(company: &Company) -> [SigningKey; 7] {
    [
        company.people[3].key.clone(),
        company.people[2].key.clone(),
        company.people[1].key.clone(),
        company.people[0].key.clone(),
        company.devices[3].key.clone(),
        company.devices[1].key.clone(),
        company.root.clone(),
    ]
}

type RosterAct = (&'static str, fn(&Company) -> Vec<Change>);

fn next_of(company: &Company, ring: kolonne_model::ids::RingId) -> Vec<Change> {
    vec![next_generation(&company.roster, ring, 1)]
}

fn role(seat: SeatId, role: Role) -> Vec<Change> {
    vec![Change::Role(RoleChange { seat, role })]
}

fn ends(subject: Subject) -> Vec<Change> {
    vec![Change::End(End {
        subject,
        mode: EndMode::Hard,
        cuts: vec![],
        more: None,
    })]
}

fn seats(company: &Company, person: usize, as_role: Role) -> Vec<Change> {
    let device = company.devices[3].id;
    vec![seat_cert(999, device, company.people[person].ring, as_role).1]
}

const ROSTER_ACTS: [RosterAct; 18] = [
    ("admit a phone", |c| {
        device_cert(99, DeviceKind::Phone, Some(c.crews[1])).1
    }),
    ("admit an office computer", |_| {
        device_cert(99, DeviceKind::Office, None).1
    }),
    ("a seat for a person of a crew", |c| seats(c, 3, Role::Crew)),
    ("a seat with a role of the office", |c| {
        seats(c, 3, Role::Office)
    }),
    ("a seat in the name of an office person", |c| {
        seats(c, 1, Role::Crew)
    }),
    ("a new crew", |_| {
        vec![ring(RingKind::Crew, recipient("new crew", 1)).1]
    }),
    ("new keys of a crew", |c| next_of(c, c.crews[1])),
    ("new keys of a person of a crew", |c| {
        next_of(c, c.people[3].ring)
    }),
    ("new keys of the office", |c| next_of(c, c.office)),
    ("new keys of an office person", |c| {
        next_of(c, c.people[1].ring)
    }),
    ("new keys of the recovery kit", |c| next_of(c, c.recovery)),
    ("open a ring to one more device", |c| {
        vec![Change::Wraps(RingWraps {
            ring: c.crews[1],
            generation: 1,
            wraps: vec![],
        })]
    }),
    ("move a phone to another crew", |c| {
        vec![Change::Move(Move {
            device: c.devices[3].id,
            crew: Some(c.crews[2]),
        })]
    }),
    ("make someone a foreman", |c| {
        role(c.people[3].seat(), Role::Foreman)
    }),
    ("give or take a role of the office", |c| {
        role(c.people[1].seat(), Role::Crew)
    }),
    ("end a phone or a person of a crew", |c| {
        ends(Subject::Device(c.devices[3].id))
    }),
    ("end an office computer or person", |c| {
        ends(Subject::Person(c.people[1].ring))
    }),
    ("certify a hub", |_| {
        vec![Change::HubKey(HubKey {
            key: public(&signing("other hub", 1)),
        })]
    }),
];

/// Whether the roster takes it from this key, on whatever device.
fn roster_takes(key: &SigningKey, act: fn(&Company) -> Vec<Change>) -> bool {
    let mut company = Company::found();
    let changes = act(&company);
    // With the digest that these changes would lead to, if they were the root's.
    let (_, body) = company.draft(&company.root.clone(), changes.clone());
    let by_root: RosterBody = cbor::decode(&body).unwrap();
    let own = company.roster.draft(&public(key), 99, 0, changes.clone());
    let digest_after = own.map_or(by_root.digest_after, |(_, body)| {
        let body: RosterBody = cbor::decode(&body).unwrap();
        body.digest_after
    });
    let body = cbor::encode(&RosterBody {
        digest_after,
        changes,
    });
    let context = company.roster_context(key);
    let op = company.sign_roster_op(key, context, &body);
    match company.append(op) {
        Effect::Applied => true,
        Effect::Void(Void::Right) => false,
        Effect::Void(other) => panic!("{other:?}"),
    }
}

/// A text of another person in the thread, and one act about it.
type ThreadAct = (&'static str, fn(&Job, &mut Pen, OpId) -> VerifiedOp);

fn say(job: &Job, pen: &mut Pen, say: Say) -> VerifiedOp {
    pen.data(&job.company, &job.key, say)
}

fn set(field: u16, subject: Option<OpId>) -> Say {
    Say::Set(Set {
        field,
        subject: subject.map(|id| id.0.to_vec().into()),
        value: Some("anders".into()),
        names: vec![],
    })
}

const THREAD_ACTS: [ThreadAct; 12] = [
    ("write a text", |job, pen, _| {
        pen.text(&job.company, &job.key, "Hallo")
    }),
    ("change a job's title, address, status", |job, pen, _| {
        say(job, pen, set(field::TITLE, None))
    }),
    ("name people, crews, devices", |job, pen, _| {
        say(job, pen, set(field::NAME, None))
    }),
    ("change another's words", |job, pen, text| {
        say(job, pen, set(field::ENTRY_TEXT, Some(text)))
    }),
    ("take back another's entry", |job, pen, target| {
        let reason = None;
        say(job, pen, Say::Retract(Retract { target, reason }))
    }),
    ("say that the office has seen it", |job, pen, _| {
        let (heads, blobs) = (vec![], vec![]);
        say(job, pen, Say::Seen(Seen { heads, blobs }))
    }),
    ("change members of a job they opened", |job, pen, _| {
        let change = members_in(job.company.crews[2], vec![], vec![]);
        pen.control(&job.company, &change)
    }),
    ("make a key for the thread", |job, pen, _| {
        let made = key_made(&job.company, &job.thread, &job.control(), &secret(5));
        pen.control(&job.company, &made)
    }),
    ("complain of the own wrap", |job, pen, _| {
        let key_op = job.control().keys[0].order.id;
        let own = job
            .company
            .roster
            .speaks_for(&seat_id(&pen.key), job.company.roster.head().0);
        let complaint = kolonne_model::control::Complaint {
            key_op,
            ring: own.first().copied().unwrap_or(job.company.office),
            wrong: kolonne_model::control::Wrong::DoesNotOpen,
        };
        pen.control(&job.company, &Control::Complaint(complaint))
    }),
    ("complain of another's wrap", |job, pen, _| {
        let key_op = job.control().keys[0].order.id;
        let complaint = kolonne_model::control::Complaint {
            key_op,
            ring: job.company.recovery,
            wrong: kolonne_model::control::Wrong::DoesNotOpen,
        };
        pen.control(&job.company, &Control::Complaint(complaint))
    }),
    ("let in what is kept back", |job, pen, _| {
        pen.control(&job.company, &Control::Admit(Admit { through: vec![] }))
    }),
    ("erase", |job, pen, text| {
        let erase = Erase {
            ops: vec![text],
            reason: EraseReason::Mistake,
            days: None,
            blobs: None,
        };
        pen.control(&job.company, &Control::Erase(erase))
    }),
];

const DIRECT_ACTS: [ThreadAct; 1] = [(
    "let in what an end keeps back of each other",
    |job, pen, _| pen.control(&job.company, &Control::Admit(Admit { through: vec![] })),
)];

/// Whether it counts on another device, in a thread that this key's rings are members of.
fn thread_counts(
    mut job: Job,
    key: &SigningKey,
    act: fn(&Job, &mut Pen, OpId) -> VerifiedOp,
) -> bool {
    let mut author = job.pen(4, 4);
    let text = author.text(&job.company, &job.key, "Von Jonas");
    job.ops.push(text.clone());
    let mut pen = Pen::new(key, job.thread, store(9));
    pen.lamport = author.lamport;
    let op = act(&job, &mut pen, text.id());
    job.ops.push(op.clone());
    matches!(job.judged(&op), Judgement::Counted(_))
}

/// The rows of the document's table: the act, and whether each column says yes.
fn told(act: &str) -> Vec<bool> {
    let rows: Vec<&str> = TABLE
        .lines()
        .filter(|line| line.starts_with(&format!("| {act} |")))
        .collect();
    assert_eq!(rows.len(), 1, "one row for \"{act}\"");
    let cells = rows[0].trim_matches('|').split('|').skip(1);
    cells.map(|cell| cell.trim() == "yes").collect()
}

#[test]
fn every_device_judges_each_act_by_each_key_as_the_table_says() {
    let company = Company::found();
    for (act, changes) in ROSTER_ACTS {
        let takes = keys(&company).map(|key| roster_takes(&key, changes));
        assert_eq!(takes.as_slice(), told(act), "{act}");
    }
    for (act, ops) in THREAD_ACTS {
        let counts = keys(&company).map(|key| thread_counts(Job::new(), &key, ops));
        assert_eq!(counts.as_slice(), told(act), "{act}");
    }
    for (act, ops) in DIRECT_ACTS {
        let counts = keys(&company).map(|key| thread_counts(Job::direct(), &key, ops));
        assert_eq!(counts.as_slice(), told(act), "{act}");
    }
}

#[test]
fn the_table_tells_nothing_that_is_not_tried() {
    let tried: BTreeSet<&str> = ROSTER_ACTS
        .iter()
        .map(|(act, _)| *act)
        .chain(THREAD_ACTS.iter().map(|(act, _)| *act))
        .chain(DIRECT_ACTS.iter().map(|(act, _)| *act))
        .collect();
    let table = TABLE.split("## Who may do what").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let act = line.trim_matches('|').split('|').next().unwrap().trim();
        assert!(act == "act" || tried.contains(act), "{act}");
    }
}
