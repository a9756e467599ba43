//! The roster under stress: what the root undoes, branches that are merged, another recovery kit.
//! Each rule with the attack that it stands against.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use ed25519_dalek::{Signer, SigningKey};
use kolonne_model::ids::{RosterDigest, RosterPosition, Signature};
use kolonne_model::judge::{Judgement, Quarantine, ThreadOps, Timeliness, control_state};
use kolonne_model::op::Unknown;
use kolonne_model::page::{self, NoBases};
use kolonne_model::roster::change::{
    Adopt, Change, DeviceKind, End, EndMode, Recipient, RingKind, Role, RoleChange, RootKey,
    RosterBody, Subject,
};
use kolonne_model::roster::state::Void;
use kolonne_model::roster::{Effect, Named, Roster, RosterRefusal};
use kolonne_model::strand::VerifiedOp;
use support::{
    Company, Job, Pen, device_cert, page_of, public, recipient, ring, seat_cert, seat_id, signing,
    store,
};

const COUNTED: Judgement = Judgement::Counted(Timeliness::Timely);
const NOT_CERTIFIED: Judgement = Judgement::Quarantined(Quarantine::NotCertified);

fn end(subject: Subject, mode: EndMode) -> Change {
    Change::End(End {
        subject,
        mode,
        cuts: vec![],
        more: None,
    })
}

fn adopt(ops: &[VerifiedOp]) -> Change {
    Change::Adopt(Adopt {
        ops: ops.iter().map(VerifiedOp::id).collect(),
        branch: None,
    })
}

/// A merge of these ops, all of them adopted.
fn merge(branch: &[VerifiedOp]) -> Change {
    Change::Adopt(Adopt {
        ops: branch.iter().map(VerifiedOp::id).collect(),
        branch: Some(page_of(&branch.iter().collect::<Vec<_>>()).into()),
    })
}

/// A new person with a phone of the first crew.
fn admission(company: &Company, n: u64, role: Role) -> (SigningKey, Vec<Change>) {
    let (device, mut changes) = device_cert(n, DeviceKind::Phone, Some(company.crews[0]));
    let (person, person_ring) = ring(RingKind::Person, recipient("person", n));
    let (key, seat) = seat_cert(n, device.id, person, role);
    changes.extend([person_ring, seat]);
    (key, changes)
}

/// The root says these things on an earlier place of the chain.
fn undo(company: &mut Company, through: usize, changes: Vec<Change>) -> Effect {
    let root = company.root.clone();
    undo_as(company, &root, through, changes)
}

fn undo_as(company: &mut Company, by: &SigningKey, through: usize, changes: Vec<Change>) -> Effect {
    let link = company.roster.links()[through - 1];
    let at = company.roster.links().len() as u64 + 1;
    let named = (link.position, link.digest);
    match company.roster.draft_on(
        named,
        &public(by),
        at,
        1_700_000_000_000 + at * 1000,
        changes.clone(),
    ) {
        Ok((context, body)) => {
            let op = company.sign_roster_op(by, context, &body);
            company.append(op)
        }
        Err(void) => {
            // Whoever may not draft it may try.
            let mut context = company.roster_context(by);
            (context.roster, context.roster_digest) = named;
            let body = kolonne_model::cbor::encode(&(RosterDigest::ZERO, changes));
            let op = company.sign_roster_op(by, context, &body);
            let effect = company.append(op);
            assert!(matches!(effect, Effect::Void(_)), "{void:?}");
            effect
        }
    }
}

fn try_by(company: &mut Company, by: &SigningKey, changes: Vec<Change>) -> Effect {
    let through = company.roster.links().len();
    undo_as(company, by, through, changes)
}

/// A text of someone who names the newest roster of `company`, judged in `job`.
fn text_by(job: &Job, company: &Company, key: &SigningKey, n: u64) -> VerifiedOp {
    let mut pen = Pen::new(key, job.thread, store(n));
    pen.lamport = 50;
    pen.text(company, &job.key, "Text")
}

fn judged(job: &Job, op: &VerifiedOp) -> Judgement {
    let mut ops = job.ops.clone();
    ops.push(op.clone());
    job.fold_of(&ops).judgements[&op.id()]
}

#[test]
fn the_root_undoes_what_a_captured_office_did() {
    let mut job = Job::new();
    let good = job.company.roster_ops.len();
    let (good_position, good_digest) = job.company.roster.head();
    // The second office PC is captured by who holds the admin's key: a ghost gets in, the honest
    // office is out, a ring is the thief's.
    let chief = job.company.people[0].key.clone();
    let (ghost, changes) = admission(&job.company, 900, Role::Office);
    assert_eq!(job.company.change(&chief, changes), Effect::Applied);
    let honest = job.company.people[1].clone();
    let out = end(Subject::Person(honest.ring), EndMode::Hard);
    assert_eq!(job.company.change(&chief, vec![out]), Effect::Applied);
    let crew = job.company.crews[0];
    let theirs = support::next_generation(&job.company.roster, crew, 66);
    assert_eq!(job.company.change(&chief, vec![theirs]), Effect::Applied);
    let thiefs_time = job.company.clone();
    let by_ghost = text_by(&job, &thiefs_time, &ghost, 1);
    let by_honest = text_by(&job, &thiefs_time, &honest.key, 2);
    let by_foreman = text_by(&job, &thiefs_time, &job.company.people[2].key, 3);
    assert_eq!(judged(&job, &by_ghost), COUNTED);
    assert_eq!(
        judged(&job, &by_honest),
        Judgement::Quarantined(Quarantine::Cut)
    );

    let chief_out = end(Subject::Device(job.company.devices[0].id), EndMode::Soft);
    assert_eq!(
        undo(&mut job.company, good, vec![chief_out]),
        Effect::Applied
    );
    let roster = &job.company.roster;
    assert_eq!(roster.head().0.term(), 1, "what the root says opens a term");
    assert!(roster.seat(&seat_id(&ghost)).is_none());
    assert!(roster.ends_of(&honest.seat()).next().is_none());
    assert_eq!(roster.newest_generation(&crew).unwrap().0, 1);
    // Nothing was forgotten: what was written meanwhile is judged where the chain was left.
    let meanwhile = thiefs_time.roster.head();
    assert_eq!(
        roster.named(meanwhile.0, &meanwhile.1),
        Named::Known(good_position)
    );
    assert!(!roster.stands(meanwhile.0, &meanwhile.1));
    assert!(roster.stands(good_position, &good_digest));
    assert_eq!(judged(&job, &by_ghost), NOT_CERTIFIED);
    assert_eq!(judged(&job, &by_honest), COUNTED);
    assert_eq!(judged(&job, &by_foreman), COUNTED);
    // The captured seat is out, also for the roster; the ghost isn't even let in.
    let (_, again) = admission(&job.company, 901, Role::Crew);
    assert_eq!(
        try_by(&mut job.company, &chief, again.clone()),
        Effect::Void(Void::Right)
    );
    let op = job
        .company
        .sign_roster_op(&ghost, job.company.roster_context(&ghost), &[0x80]);
    assert_eq!(verify(&job.company.roster, &op), Err(RosterRefusal::Author));
    // And the honest office goes on.
    assert_eq!(job.company.change(&honest.key, again), Effect::Applied);
}

fn verify(roster: &Roster, op: &VerifiedOp) -> Result<VerifiedOp, RosterRefusal> {
    let segment = page::read(&page_of(&[op])).unwrap().remove(0);
    roster.verify(segment.resolve(&roster.company(), &NoBases).unwrap())
}

#[test]
fn what_was_undone_holds_again_if_the_root_says_so() {
    let mut job = Job::new();
    let good = job.company.roster_ops.len();
    let chief = job.company.people[0].key.clone();
    let (ghost, changes) = admission(&job.company, 900, Role::Crew);
    job.company.change(&chief, changes);
    let (honest, changes) = admission(&job.company, 901, Role::Crew);
    job.company.change(&chief, changes);
    let foreman = job.company.people[2].clone();
    let raised = Change::Role(RoleChange {
        seat: foreman.seat(),
        role: Role::Office,
    });
    job.company.change(&chief, vec![raised]);
    let texts = [&ghost, &honest].map(|key| text_by(&job, &job.company, key, 1));
    let again = adopt(&job.company.roster_ops[good + 1..]);
    assert_eq!(undo(&mut job.company, good, vec![again]), Effect::Applied);
    assert_eq!(judged(&job, &texts[0]), NOT_CERTIFIED);
    assert_eq!(judged(&job, &texts[1]), COUNTED);
    let roster = &job.company.roster;
    let (now, _) = roster.head();
    assert_eq!(roster.role_at(&foreman.seat(), now), Some(Role::Office));
    let before = job.company.roster_ops[good + 2].context().roster;
    assert_eq!(roster.role_at(&foreman.seat(), before), Some(Role::Foreman));
    // Replaying the chain leads to the same state, digests and all.
    let again = job.company.roster_at(job.company.roster_ops.len());
    assert_eq!(again.links(), job.company.roster.links());
    // Only the root takes up what the root undid.
    let (everything, chief) = (adopt(&job.company.roster_ops[good..=good]), &chief);
    assert_eq!(
        try_by(&mut job.company, chief, vec![everything.clone()]),
        Effect::Void(Void::Right)
    );
    let root = job.company.root.clone();
    assert_eq!(job.company.change(&root, vec![everything]), Effect::Applied);
    assert_eq!(judged(&job, &texts[0]), COUNTED);
}

#[test]
fn the_root_undoes_with_an_op_that_says_nothing_else() {
    let mut company = Company::found();
    let (root, chief) = (company.root.clone(), company.people[0].key.clone());
    let good = company.roster_ops.len();
    let (ghost, changes) = admission(&company, 900, Role::Office);
    company.change(&chief, changes);
    assert_eq!(undo(&mut company, good, vec![]), Effect::Applied);
    assert!(company.roster.seat(&seat_id(&ghost)).is_none());
    // On the newest one it undoes nothing, and would only make the chain longer.
    for by in [&root, &chief] {
        assert_eq!(try_by(&mut company, by, vec![]), Effect::Void(Void::Right));
    }
}

/// A kind that no app knows, of who may change the roster, stops everyone: but not the kit.
#[test]
fn the_kit_undoes_what_no_app_understands() {
    for unknown in [Unknown::MustBeUnderstood, Unknown::MayBePassedOver] {
        let mut job = Job::new();
        let company = &mut job.company;
        let (chief, office) = (company.people[0].clone(), company.people[1].key.clone());
        let good = company.roster_ops.len();
        let mut context = company.roster_context(&chief.key);
        context.class.unknown = unknown;
        let digest = RosterDigest(support::bytes("newer digest", 1));
        let body = kolonne_model::cbor::encode(&RosterBody {
            digest_after: digest,
            changes: vec![Change::Unknown(900)],
        });
        let op = company.sign_roster_op(&chief.key, context, &body);
        company.append(op);
        let frozen = company.roster_ops.len();
        let out = vec![end(Subject::Person(chief.ring), EndMode::Hard)];
        let named = company.roster.head();
        for by in [&office, &company.root] {
            let draft = company.roster.draft(&public(by), 99, 0, out.clone());
            assert_eq!(draft, Err(Void::Newer));
        }
        assert_eq!(
            company
                .roster
                .draft_on(named, &public(&company.root), 99, 0, out.clone()),
            Err(Void::Newer)
        );
        // Nor does anybody else get behind it.
        let links = company.roster.links();
        let before = (links[good - 1].position, links[good - 1].digest);
        let draft = company
            .roster
            .draft_on(before, &public(&office), 99, 0, vec![]);
        assert!(draft.is_err());
        assert_eq!(undo(company, good, out), Effect::Applied);
        assert!(company.roster.ends_of(&chief.seat()).next().is_some());
        assert!(!company.roster.needs_newer_app());
        assert_eq!(
            company.roster.through(frozen).needs_newer_app(),
            unknown == Unknown::MustBeUnderstood
        );
        let (anna, changes) = admission(company, 901, Role::Crew);
        assert_eq!(company.change(&office, changes), Effect::Applied);
        let links = company.roster_at(company.roster_ops.len()).links().to_vec();
        assert_eq!(links, company.roster.links());
        let text = text_by(&job, &job.company, &anna, 1);
        assert_eq!(judged(&job, &text), COUNTED);
    }
}

#[test]
fn only_the_root_undoes_and_only_to_what_holds() {
    let mut company = Company::found();
    let chief = company.people[0].key.clone();
    let links = company.roster.links().len();
    assert_eq!(
        undo_as(&mut company, &chief, links - 1, vec![]),
        Effect::Void(Void::Position)
    );
    assert_eq!(undo(&mut company, links - 1, vec![]), Effect::Applied);
    assert_eq!(
        undo(&mut company, links, vec![]),
        Effect::Void(Void::Position),
        "what was undone is nothing to stand on"
    );
    // An earlier undo can be undone too.
    assert_eq!(undo(&mut company, 2, vec![]), Effect::Applied);
    assert_eq!(company.roster.devices().count(), 1);
    let terms: Vec<u8> = company
        .roster
        .links()
        .iter()
        .map(|l| l.position.term())
        .collect();
    assert!(terms.is_sorted());
    assert_eq!(
        company.roster_at(company.roster_ops.len()).links(),
        company.roster.links()
    );
}

/// A key that was made for the thief's generation of a ring isn't sent under once the ring has an
/// honest generation of the same number.
#[test]
fn a_key_made_by_an_undone_roster_is_not_sent_under() {
    let mut job = Job::new();
    let good = job.company.roster_ops.len();
    let chief = job.company.people[0].key.clone();
    let crew = job.company.crews[0];
    let theirs = support::next_generation(&job.company.roster, crew, 66);
    job.company.change(&chief, vec![theirs]);
    let secret = support::secret(7);
    let made = support::key_made(&job.company, &job.thread, &job.control(), &secret);
    let mut pen = job.pen(0, 70);
    let made = pen.control(&job.company, &made);
    job.ops.push(made.clone());
    assert_eq!(
        job.control()
            .key_to_send(&job.company.roster)
            .unwrap()
            .order
            .id,
        made.id()
    );
    let ours = support::next_generation(&job.company.roster_at(good), crew, 77);
    assert_eq!(undo(&mut job.company, good, vec![ours]), Effect::Applied);
    assert_eq!(job.company.roster.newest_generation(&crew).unwrap().0, 2);
    assert_eq!(
        judged(&job, &made),
        COUNTED,
        "it still opens what was written under it"
    );
    assert!(job.control().key_to_send(&job.company.roster).is_none());
}

/// The next kit's key and its change, agreed to by an admin.
fn new_kit(
    company: &Company,
    n: u64,
    named: (RosterPosition, RosterDigest),
    by: &SigningKey,
) -> Change {
    let root = signing("root", n);
    let (key, to) = (public(&root), recipient("recovery", n));
    let message = RootKey::message(&company.id, named, &key, &to);
    Change::RootKey(RootKey {
        key,
        recipient: to,
        previous_sealed: vec![1].into(),
        seat: seat_id(by),
        signature: Signature(by.sign(&message).to_bytes()),
        proof: Signature(root.sign(&message).to_bytes()),
    })
}

#[test]
fn a_stolen_kit_is_replaced_and_then_nothing() {
    let mut company = Company::found();
    let (old, chief) = (company.root.clone(), company.people[0].key.clone());
    let change = new_kit(&company, 50, company.roster.head(), &chief);
    assert_eq!(company.change(&old, vec![change]), Effect::Applied);
    let rotated = company.roster.links().len();
    let (generation, to) = company.roster.newest_generation(&company.recovery).unwrap();
    assert_eq!(
        (generation, to),
        (2, &Recipient::x25519(support::bytes("recovery", 50)))
    );
    assert_eq!(
        company.roster.company(),
        company.id,
        "the company stays who it is"
    );
    // The old kit signs nothing any more.
    let op = company.sign_roster_op(&old, company.roster_context(&old), &[0x80]);
    assert_eq!(verify(&company.roster, &op), Err(RosterRefusal::Author));
    // The new one does all, but doesn't go behind its own beginning.
    company.root = signing("root", 50);
    let root = company.root.clone();
    assert_eq!(
        undo(&mut company, rotated - 1, vec![]),
        Effect::Void(Void::Position)
    );
    let (_, changes) = admission(&company, 900, Role::Crew);
    assert_eq!(company.change(&root, changes), Effect::Applied);
    assert_eq!(undo(&mut company, rotated, vec![]), Effect::Applied);
    assert_eq!(
        company.roster_at(company.roster_ops.len()).links(),
        company.roster.links()
    );
}

#[test]
fn another_kit_needs_the_old_one_and_an_admin_of_the_office() {
    let mut company = Company::found();
    let root = company.root.clone();
    let named = company.roster.head();
    let of = |n: usize| company.people[n].key.clone();
    let (chief, office, foreman) = (of(0), of(1), of(2));
    for by in [&office, &foreman, &root] {
        let change = new_kit(&company, 50, company.roster.head(), by);
        assert_eq!(
            try_by(&mut company, &root, vec![change]),
            Effect::Void(Void::Right)
        );
    }
    // Agreed to for another position, or another key.
    let stale = new_kit(&company, 50, named, &chief);
    assert_eq!(
        try_by(&mut company, &root, vec![stale]),
        Effect::Void(Void::Right)
    );
    let Change::RootKey(mut other) = new_kit(&company, 50, company.roster.head(), &chief) else {
        unreachable!()
    };
    other.recipient = recipient("thief", 1);
    assert_eq!(
        try_by(&mut company, &root, vec![Change::RootKey(other)]),
        Effect::Void(Void::Right)
    );
    // A key whose secret nobody showed.
    let Change::RootKey(mut unproven) = new_kit(&company, 50, company.roster.head(), &chief) else {
        unreachable!()
    };
    unproven.proof = unproven.signature;
    assert_eq!(
        try_by(&mut company, &root, vec![Change::RootKey(unproven)]),
        Effect::Void(Void::Right)
    );
    // An admin made by the same op agrees to nothing.
    let (device, mut changes) = device_cert(950, DeviceKind::Office, None);
    let (person, person_ring) = ring(RingKind::Person, recipient("person", 950));
    let (own, seat) = seat_cert(950, device.id, person, Role::Admin);
    changes.extend([person_ring, seat]);
    changes.push(new_kit(&company, 50, company.roster.head(), &own));
    assert_eq!(
        try_by(&mut company, &root, changes),
        Effect::Void(Void::Right)
    );
    // The admin alone can't.
    let change = new_kit(&company, 50, company.roster.head(), &chief);
    assert_eq!(
        try_by(&mut company, &chief, vec![change]),
        Effect::Void(Void::Right)
    );
    assert_eq!(company.roster.root_key(), Some(&public(&root)));
}

/// Two branches: the one the hub serves, and another.
fn fork() -> (Job, Company, usize) {
    let job = Job::new();
    let (other, shared) = (job.company.clone(), job.company.roster_ops.len());
    (job, other, shared)
}

#[test]
fn two_branches_become_one_and_nothing_is_lost() {
    let (mut job, mut other, shared) = fork();
    let [chief, office] = [0, 1].map(|n| job.company.people[n].key.clone());
    let (anna, changes) = admission(&job.company, 900, Role::Crew);
    job.company.change(&chief, changes);
    let (bert, changes) = admission(&other, 901, Role::Crew);
    other.change(&office, changes);
    let gone = other.people[4].clone();
    other.change(
        &office,
        vec![end(Subject::Seat(gone.seat()), EndMode::Soft)],
    );
    let texts = [
        text_by(&job, &job.company, &anna, 1),
        text_by(&job, &other, &bert, 2),
        text_by(&job, &other, &other.people[2].key, 3),
        text_by(&job, &job.company, &gone.key, 4),
    ];
    let foreign = Judgement::Quarantined(Quarantine::ForeignRoster);
    assert!(
        matches!(judged(&job, &texts[2]), Judgement::Held(_)) || judged(&job, &texts[2]) == foreign
    );

    // While they stand side by side: removals of both, additions of neither.
    for (a, b) in [(&job.company, &other), (&other, &job.company)] {
        let both = a.roster.beside(&b.roster);
        assert_eq!(both.head(), job.company.roster_at(shared).head());
        assert!(both.seat(&seat_id(&anna)).is_none() && both.seat(&seat_id(&bert)).is_none());
        assert!(both.ends_of(&gone.seat()).next().is_some());
        let (at, digest) = b.roster.head();
        assert_eq!(both.named(at, &digest), Named::Known(both.head().0));
        assert!(both.certificate(&seat_id(&bert)).is_some());
    }

    let carried = merge(&other.roster_ops[shared..]);
    assert_eq!(job.company.change(&office, vec![carried]), Effect::Applied);
    let roster = &job.company.roster;
    assert_eq!(roster.head().0.term(), 1, "a merge opens a term");
    assert!(other.roster_ops.iter().all(|op| roster.has(&op.id())));
    assert!(roster.ends_of(&gone.seat()).next().is_some());
    assert_eq!(judged(&job, &texts[0]), COUNTED);
    assert_eq!(judged(&job, &texts[1]), COUNTED);
    assert_eq!(judged(&job, &texts[2]), COUNTED);
    assert_eq!(
        judged(&job, &texts[3]),
        Judgement::Counted(Timeliness::Late)
    );
    assert_eq!(
        job.company.roster_at(job.company.roster_ops.len()).links(),
        roster.links()
    );

    // Another merge op goes on where the first one stopped.
    let (carla, changes) = admission(&other, 902, Role::Crew);
    other.change(&chief, changes);
    let more = merge(&other.roster_ops[shared + 2..]);
    assert_eq!(job.company.change(&chief, vec![more]), Effect::Applied);
    assert!(job.company.roster.seat(&seat_id(&carla)).is_some());
    // Once more, it is no branch that goes on.
    let twice = merge(&other.roster_ops[shared + 2..]);
    assert_eq!(
        try_by(&mut job.company, &chief, vec![twice]),
        Effect::Void(Void::Contradiction)
    );
}

#[test]
fn who_was_removed_merges_nothing_and_brings_nobody_in() {
    let (mut job, mut other, shared) = fork();
    let [chief, office] = [0, 1].map(|n| job.company.people[n].clone());
    // Here the admin is dismissed; on the other branch the admin lets a ghost in and ends someone.
    let root = job.company.root.clone();
    job.company
        .change(&root, vec![end(Subject::Person(chief.ring), EndMode::Hard)]);
    let (ghost, changes) = admission(&other, 900, Role::Admin);
    other.change(&chief.key, changes);
    let crew = other.people[5].clone();
    other.change(
        &chief.key,
        vec![end(Subject::Person(crew.ring), EndMode::Soft)],
    );
    let (ours, theirs) = (&job.company.roster, &other.roster);
    assert!(theirs.was_changed_by_ended_of(ours));
    assert!(!ours.was_changed_by_ended_of(theirs), "ends let nobody in");
    // Nor does the ghost's friend, however many go between.
    let (friend, changes) = admission(&other, 901, Role::Admin);
    other.change(&ghost, changes);
    let (friends, changes) = admission(&other, 902, Role::Crew);
    other.change(&friend, changes);
    let carried = merge(&other.roster_ops[shared..]);
    for removed in [&chief.key, &ghost] {
        let op = job.company.sign_roster_op(
            removed,
            job.company.roster_context(removed),
            &kolonne_model::cbor::encode(&(RosterDigest::ZERO, [carried.clone()].to_vec())),
        );
        match verify(&job.company.roster, &op) {
            Ok(_) => assert_eq!(job.company.append(op), Effect::Void(Void::Right)),
            Err(refusal) => assert_eq!(refusal, RosterRefusal::Author),
        }
    }
    assert_eq!(
        job.company.change(&office.key, vec![carried]),
        Effect::Applied
    );
    let roster = &job.company.roster;
    for let_in in [&ghost, &friend, &friends] {
        assert!(roster.seat(&seat_id(let_in)).is_none());
    }
    assert!(roster.ends_of(&chief.seat()).next().is_some());
    assert!(
        roster.ends_of(&crew.seat()).next().is_some(),
        "removals of both hold"
    );
    let by_ghost = text_by(&job, &other, &ghost, 1);
    assert_eq!(judged(&job, &by_ghost), NOT_CERTIFIED);
    // Who is removed on the other branch doesn't merge it.
    let (mut job, mut other, shared) = fork();
    other.change(
        &chief.key,
        vec![end(Subject::Person(office.ring), EndMode::Hard)],
    );
    let (_, changes) = admission(&job.company, 900, Role::Crew);
    job.company.change(&office.key, changes);
    let carried = merge(&other.roster_ops[shared..]);
    assert_eq!(
        try_by(&mut job.company, &office.key, vec![carried.clone()]),
        Effect::Void(Void::Right)
    );
    let foreman = job.company.people[2].key.clone();
    assert_eq!(
        try_by(&mut job.company, &foreman, vec![carried.clone()]),
        Effect::Void(Void::Right)
    );
    assert_eq!(
        job.company.change(&chief.key, vec![carried]),
        Effect::Applied
    );
}

#[test]
fn who_got_a_lesser_role_here_let_nobody_in_there() {
    let (mut job, mut other, shared) = fork();
    let [chief, office] = [0, 1].map(|n| job.company.people[n].clone());
    // Here the office takes its role from somebody; on a hub that forgot it they let somebody in.
    let lesser = Change::Role(RoleChange {
        seat: office.seat(),
        role: Role::Crew,
    });
    assert_eq!(
        job.company.change(&chief.key, vec![lesser]),
        Effect::Applied
    );
    let (ghost, changes) = admission(&other, 900, Role::Foreman);
    assert_eq!(other.change(&office.key, changes), Effect::Applied);
    let crew = other.people[5].clone();
    let out = end(Subject::Person(crew.ring), EndMode::Soft);
    assert_eq!(other.change(&office.key, vec![out]), Effect::Applied);
    let (ours, theirs) = (&job.company.roster, &other.roster);
    assert!(theirs.was_changed_by_ended_of(ours), "a person decides");
    assert!(!ours.was_changed_by_ended_of(theirs));
    let carried = merge(&other.roster_ops[shared..]);
    let merged = job.company.change(&chief.key, vec![carried]);
    assert_eq!(merged, Effect::Applied);
    let roster = &job.company.roster;
    assert!(roster.seat(&seat_id(&ghost)).is_none());
    assert!(
        roster.ends_of(&crew.seat()).next().is_some(),
        "removals hold"
    );
}

/// As [`fork`], with a second admin, who ends the first on this branch.
fn fork_without_chief() -> (Job, Company, usize) {
    let mut job = Job::new();
    let chief = job.company.people[0].clone();
    let (second, changes) = admission(&job.company, 899, Role::Admin);
    job.company.change(&chief.key, changes);
    let (other, shared) = (job.company.clone(), job.company.roster_ops.len());
    let out = end(Subject::Person(chief.ring), EndMode::Hard);
    assert_eq!(job.company.change(&second, vec![out]), Effect::Applied);
    (job, other, shared)
}

#[test]
fn nobody_goes_over_to_a_branch_that_a_removed_ones_friend_merged() {
    let (job, mut other, shared) = fork_without_chief();
    let ours = &job.company.roster;
    let [chief, office] = [0, 1].map(|n| other.people[n].key.clone());
    // On a hub that forgot the removal the removed one lets another admin in.
    let (ghost, changes) = admission(&other, 900, Role::Admin);
    assert_eq!(other.change(&chief, changes), Effect::Applied);
    let carried = merge(&job.company.roster_ops[shared..]);
    let mut honest = other.clone();
    assert_eq!(other.change(&ghost, vec![carried.clone()]), Effect::Applied);
    assert!(ours.links().iter().all(|link| other.roster.has(&link.id)));
    assert!(other.roster.head().0 > ours.head().0);
    assert!(!other.roster.took_in(ours) && !other.roster.overrules(ours));
    // What somebody of the office merged who stands on both is gone over to.
    assert_eq!(honest.change(&office, vec![carried]), Effect::Applied);
    assert!(honest.roster.took_in(ours));
}

#[test]
fn terms_that_a_removed_one_opens_overrule_nothing() {
    let (job, mut other, _) = fork_without_chief();
    let chief = other.people[0].key.clone();
    // Merges of branches that are made up for it; nobody is let in.
    for person in [4, 5] {
        let mut made_up = other.clone();
        let gone = Subject::Person(other.people[person].ring);
        made_up.change(&chief, vec![end(gone, EndMode::Soft)]);
        let at = made_up.roster_ops.len() - 1;
        let out = end(Subject::Seat(other.people[person].seat()), EndMode::Soft);
        other.change(&chief, vec![out]);
        let merged = merge(&made_up.roster_ops[at..]);
        assert_eq!(other.change(&chief, vec![merged]), Effect::Applied);
    }
    let (ours, theirs) = (&job.company.roster, &other.roster);
    assert!(theirs.head().0.term() > ours.head().0.term() + 1);
    assert!(!theirs.was_changed_by_ended_of(ours), "ends alone");
    assert!(!theirs.overrules(ours) && !theirs.took_in(ours));
}

#[test]
fn a_kit_that_was_replaced_overrules_nothing_and_the_roots_later_word_does() {
    let (mut job, mut other, _) = fork();
    let (old, chief) = (job.company.root.clone(), job.company.people[0].key.clone());
    let by_kit = |company: &mut Company, n: u64| {
        let (_, changes) = admission(company, n, Role::Admin);
        assert_eq!(company.change(&old, changes), Effect::Applied);
    };
    // The root spoke once on each: nobody but the root decides.
    let mut once = job.company.clone();
    by_kit(&mut once, 900);
    by_kit(&mut other, 901);
    assert!(!other.roster.overrules(&once.roster) && !once.roster.overrules(&other.roster));
    // It spoke once more on one.
    by_kit(&mut other, 902);
    assert!(other.roster.overrules(&once.roster) && !once.roster.overrules(&other.roster));
    // Not if this branch knows that the kit was stolen, and replaced it.
    let change = new_kit(&job.company, 50, job.company.roster.head(), &chief);
    assert_eq!(job.company.change(&old, vec![change]), Effect::Applied);
    assert!(other.roster.head().0.term() > job.company.roster.head().0.term());
    assert!(!other.roster.overrules(&job.company.roster));
}

#[test]
fn a_branch_proves_itself_or_is_no_branch() {
    let (mut job, mut other, shared) = fork();
    let chief = job.company.people[0].key.clone();
    let (_, changes) = admission(&other, 900, Role::Crew);
    other.change(&chief, changes);
    let (_, changes) = admission(&job.company, 901, Role::Crew);
    job.company.change(&chief, changes);
    let op = &other.roster_ops[shared];
    // A changed byte in what is carried.
    let mut forged = op.op().clone();
    forged.payload.as_mut().unwrap()[30] ^= 1;
    let forged = VerifiedOp::from_own_log(forged, op.signature().copied());
    // Invented by someone that nobody certified.
    let stranger = signing("stranger", 1);
    let before = job.company.roster_at(shared);
    let invented = {
        let mut company = job.company.clone();
        company.roster = before;
        let context = company.roster_context(&stranger);
        company.sign_roster_op(&stranger, context, &[0x80])
    };
    // Not a fork at all: the chain itself.
    let own = job.company.roster_ops[shared].clone();
    // What the root said elsewhere only the root says here.
    let root = job.company.root.clone();
    let mut rooted = job.company.clone();
    rooted.roster = rooted.roster_at(shared);
    rooted.roster_ops.truncate(shared);
    let (_, changes) = admission(&rooted, 903, Role::Admin);
    rooted.change(&root, changes);
    let of_root = rooted.roster_ops[shared].clone();
    for (carried, void) in [
        (forged, Void::Malformed),
        (invented, Void::Contradiction),
        (own, Void::Contradiction),
        (of_root, Void::Right),
    ] {
        let effect = try_by(&mut job.company, &chief, vec![merge(&[carried])]);
        assert!(
            effect == Effect::Void(void) || effect == Effect::Void(Void::Contradiction),
            "{effect:?}"
        );
    }
    let term = job.company.roster.head().0.term();
    assert_eq!(
        term, 0,
        "nobody uses the terms up with merges that are none"
    );
    let nothing = Change::Adopt(Adopt {
        ops: vec![],
        branch: Some(vec![].into()),
    });
    let effect = try_by(&mut job.company, &chief, vec![nothing]);
    assert!(matches!(effect, Effect::Void(_)));
}

/// Removed on one branch, a ring's holder keeps the generation that the other branch made under
/// the same number: keys of the losing one aren't sent under.
#[test]
fn a_key_of_a_losing_branch_is_not_sent_under() {
    let (mut job, mut other, shared) = fork();
    let [chief, office] = [0, 1].map(|n| job.company.people[n].key.clone());
    let crew = job.company.crews[0];
    let ours = support::next_generation(&job.company.roster, crew, 1);
    job.company.change(&chief, vec![ours]);
    let theirs = support::next_generation(&other.roster, crew, 2);
    other.change(&office, vec![theirs.clone()]);
    let ops = ThreadOps::new(job.thread, &job.ops);
    let control = control_state(&ops, &other.roster);
    let made = support::key_made(&other, &job.thread, &control, &support::secret(9));
    let made = job.pen(0, 71).control(&other, &made);
    job.ops.push(made.clone());
    let carried = merge(&other.roster_ops[shared..]);
    job.company.change(&chief, vec![carried]);
    let Change::Ring(theirs) = theirs else {
        unreachable!()
    };
    let (generation, newest) = job.company.roster.newest_generation(&crew).unwrap();
    assert_eq!(generation, 2);
    assert_ne!(*newest, theirs.recipient);
    assert_eq!(judged(&job, &made), COUNTED);
    assert!(job.control().key_to_send(&job.company.roster).is_none());
}
