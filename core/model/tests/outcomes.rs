//! Every way an op can end, each with its own outcome: refused, held, quarantined, ignored,
//! counted; and the roster's refusals.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use kolonne_model::body::{Body, Read, ReadMark, Say, Set, field};
use kolonne_model::cbor::{self, CborError};
use kolonne_model::control::{
    Admit, Complaint, Control, Erase, EraseReason, Opened, Span, ThreadKind, Wrong,
};
use kolonne_model::fold::Shown;
use kolonne_model::ids::{
    BlobId, Hash32, OpId, RingId, RosterDigest, RosterPosition, SeatId, StoreId, Strand,
    StrandHead, ThreadId, head_sum,
};
use kolonne_model::judge::{
    Held, Ignored, Judgement, Membership, Quarantine, ThreadOps, Timeliness,
};
use kolonne_model::key::HistorySecret;
use kolonne_model::op::{self, Class, MAX_LAMPORT_STEP, Op, Unknown};
use kolonne_model::page::{self, NoBases, PageError, ResolveError, SegmentToSend, StrandName};
use kolonne_model::payload;
use kolonne_model::roster::change::{
    Change, CutBatch, CutOfThread, End, EndMode, Found, Move, Role, RoleChange, RosterBody,
    Subject, cut_list,
};
use kolonne_model::roster::state::Void;
use kolonne_model::roster::{Effect, Roster, RosterRefusal, part_hash};
use kolonne_model::sealed::{Sealed, SealedRing};
use kolonne_model::strand::{self, Refusal, VerifiedOp};
use support::{
    Company, Job, Known, Pen, bytes, cut_at, key_made, members_in, members_out, page_of, public,
    say_text, seat_id, secret, segment_page, signing, store, without_payload,
};

const TIMELY: Judgement = Judgement::Counted(Timeliness::Timely);
const LATE: Judgement = Judgement::Counted(Timeliness::Late);

const fn quarantined(why: Quarantine) -> Judgement {
    Judgement::Quarantined(why)
}

fn receive(company: &Company, page: &[u8]) -> page::ReceivedSegment {
    let segment = page::read(page).unwrap().remove(0);
    segment.resolve(&company.id, &NoBases).unwrap()
}

fn end(subject: Subject, mode: EndMode, cuts: Vec<CutOfThread>) -> Change {
    Change::End(End {
        subject,
        mode,
        cuts,
        more: None,
    })
}

// Refused

#[test]
fn a_forged_signature_is_refused() {
    let job = Job::new();
    let mut pen = job.pen(3, 3);
    let text = pen.text(&job.company, &job.key, "echt");
    let key = public(&pen.key);
    let received = receive(&job.company, &page_of(&[&text]));
    let verified = strand::verify(received.clone(), &key, 1).unwrap();
    assert_eq!(verified.ops, std::slice::from_ref(&text));

    let mut forged = received.clone();
    forged.signature = op::sign(&signing("stranger", 1), &text.id());
    assert_eq!(strand::verify(forged, &key, 1), Err(Refusal::Signature));
    // A stranger who signs in the name of the seat, with his own key at hand.
    let mut pen = Pen::new(&signing("stranger", 1), job.thread, store(1));
    let mut op = pen.text(&job.company, &job.key, "ich bin du").into_op();
    op.form.context.seat = text.context().seat;
    let signature = op::sign(&pen.key, &op.form.id());
    let signed = VerifiedOp::from_own_log(op, Some(signature));
    let received_2 = receive(&job.company, &page_of(&[&signed]));
    assert_eq!(
        strand::verify(received_2.clone(), &key, 1),
        Err(Refusal::Signature)
    );
    assert_eq!(
        strand::verify(received_2, &public(&pen.key), 1),
        Err(Refusal::Signature)
    );
    assert_eq!(strand::verify(received, &key, 2), Err(Refusal::Suite));
}

/// Every byte of a page, with each of its bits and some other values: never the same ops, never a
/// panic.
#[test]
fn a_changed_byte_anywhere_never_passes() {
    let job = Job::new();
    let mut pen = job.pen(3, 3);
    let ops: Vec<VerifiedOp> = (0..3)
        .map(|i| pen.text(&job.company, &job.key, &format!("Fotos vom Dach {i}")))
        .collect();
    let key = public(&pen.key);
    let known = {
        let mut known = Known::of([]);
        known.handles.insert(7, ops[0].strand());
        known
    };
    let signature = ops[2].signature().unwrap();
    let plain: Vec<Op> = ops.iter().map(|op| op.op().clone()).collect();
    for (name, links) in [
        (StrandName::Handle(7), 0),
        (StrandName::Full(ops[0].strand()), 1),
    ] {
        let mut page = vec![];
        page::write_segment(
            &mut page,
            &SegmentToSend {
                name,
                receivers_base: None,
                ops: &plain,
                links,
                signature,
            },
        );
        let mut refusals = 0;
        for at in 0..page.len() {
            for change in [1, 2, 4, 8, 16, 32, 64, 128, 0x55, 0xff] {
                let mut page = page.clone();
                page[at] ^= change;
                let Ok(segments) = page::read(&page) else {
                    refusals += 1;
                    continue;
                };
                for segment in segments {
                    let Ok(received) = segment.resolve(&job.company.id, &known) else {
                        refusals += 1;
                        continue;
                    };
                    // A changed link flag or count may drop a proof, never prove other ops.
                    assert!(strand::verify(received, &key, 1).is_err(), "byte {at}");
                    refusals += 1;
                }
            }
        }
        assert!(refusals >= page.len() * 10);
    }
}

#[test]
fn a_second_encoding_is_refused() {
    let job = Job::new();
    let mut pen = job.pen(3, 3);
    let text = pen.text(&job.company, &job.key, "eins");
    let more = pen.text(&job.company, &job.key, "zwei");
    let good = page_of(&[&text]);
    let read = |page: &[u8]| page::read(page).map(drop);
    assert_eq!(read(&good), Ok(()));

    // Full strand name: tag, 40 bytes, then the first seq as one byte.
    let mut long = good.clone();
    long.splice(41..42, [0x81, 0x00]);
    assert_eq!(read(&long), Err(PageError::NotCanonical), "longer varint");
    let mut count = good.clone();
    count[0] |= 8;
    count.insert(42, 1);
    assert_eq!(read(&count), Err(PageError::NotCanonical), "count of one");
    let mut links = good.clone();
    links[0] |= 16;
    links.insert(42, 0);
    assert_eq!(read(&links), Err(PageError::NotCanonical), "no links, said");
    let mut suite = good.clone();
    suite[0] |= 4;
    suite.insert(41, 1);
    assert_eq!(read(&suite), Err(PageError::NotCanonical), "suite 1, said");
    let mut stated = good.clone();
    stated[0] |= 2;
    stated.splice(42..42, [0; 32]);
    assert_eq!(read(&stated), Err(PageError::NotCanonical), "zeros stated");
    let mut reserved = good.clone();
    reserved[0] |= 32;
    assert_eq!(
        read(&reserved),
        Err(PageError::NotCanonical),
        "reserved bit"
    );
    let mut flags = good.clone();
    flags[42] |= 64;
    assert_eq!(read(&flags), Err(PageError::NotCanonical), "reserved flag");
    assert_eq!(read(&[&good[..], &[0]].concat()), Err(PageError::CutOff));
    assert_eq!(read(&good[..good.len() - 1]), Err(PageError::CutOff));
    assert_eq!(
        read(&[&good[..41], &[0xff; 10]].concat()),
        Err(PageError::Malformed)
    );
    assert_eq!(
        read(&[&good[..41], &[0x80, 0x80, 0x80, 0x80, 0x10]].concat()),
        Err(PageError::Malformed),
        "seq beyond 32 bits"
    );

    // "As before", said in full: class, roster and key of the second op equal the first's.
    let both = segment_page(&[text.clone(), more.clone()], 0);
    let second = both.len()
        - 64
        - more.op().payload.as_ref().unwrap().len()
        - 1 // payload length
        - 1 // lamport
        - 2 // time
        - 1; // flags
    assert_eq!(both[second], 0);
    let said: [(u8, Vec<u8>); 3] = [
        (1, vec![1]),
        (2, {
            let mut roster = vec![];
            let mut value = more.context().roster.0;
            while value >= 0x80 {
                roster.push(value.to_le_bytes()[0] | 0x80);
                value >>= 7;
            }
            roster.push(value.to_le_bytes()[0]);
            roster.extend(more.context().roster_digest.0);
            roster
        }),
        (4, more.context().key.0.to_vec()),
    ];
    for (flag, bytes) in said {
        let mut page = both.clone();
        page[second] |= flag;
        page.splice(second + 1..=second, bytes);
        let segment = page::read(&page).unwrap().remove(0);
        assert_eq!(
            segment.resolve(&job.company.id, &NoBases),
            Err(ResolveError::NotCanonical),
            "flag {flag}"
        );
    }
    for not_one_form in [
        &[0xbf, 0xff][..],               // indefinite
        &[0xa1, 0x18, 0x00, 0x00],       // long integer
        &[0xa2, 0x01, 0x00, 0x00, 0x00], // unsorted
        &[0xa1, 0x00, 0xf6],             // a field that is none, said
        &[0xa0, 0x00],                   // trailing
        &[0xc0, 0xa0],                   // tag
    ] {
        assert_eq!(cbor::check(not_one_form), Err(CborError::NotCanonical));
    }
}

#[test]
fn ops_of_another_company_or_thread_are_refused() {
    let job = Job::new();
    let other = Company::found_as(2);
    let mut pen = job.pen(3, 3);
    let text = pen.text(&job.company, &job.key, "hier");
    let key = public(&pen.key);
    let segment = page::read(&page_of(&[&text])).unwrap().remove(0);
    let elsewhere = segment.clone().resolve(&other.id, &NoBases).unwrap();
    assert_eq!(strand::verify(elsewhere, &key, 1), Err(Refusal::Signature));
    // The same bytes named as another thread's strand.
    let mut page = page_of(&[&text]);
    page[1] ^= 1;
    let moved = receive(&job.company, &page);
    assert_eq!(strand::verify(moved, &key, 1), Err(Refusal::Signature));
    // A true op of another thread doesn't get into this one.
    let mut elsewhere = Pen::new(&pen.key, ThreadId([5; 16]), store(3));
    let stray = elsewhere.text(&job.company, &job.key, "daneben");
    let ops: Vec<VerifiedOp> = job.ops.iter().cloned().chain([stray.clone()]).collect();
    assert!(!job.fold_of(&ops).judgements.contains_key(&stray.id()));
}

#[test]
fn classes_keep_to_their_form_and_place() {
    let job = Job::new();
    let mut pen = job.pen(3, 3);
    let key = public(&pen.key);
    let clear = pen.context(&job.company, Class::Data, kolonne_model::ids::KeyId::ZERO);
    let sealed = pen.context(
        &job.company,
        Class::Control,
        kolonne_model::ids::KeyId([1; 16]),
    );
    let mut roster = pen.context(&job.company, Class::Roster, kolonne_model::ids::KeyId::ZERO);
    roster.store = StoreId::ZERO;
    let mut content = pen.context(
        &job.company,
        Class::Data,
        kolonne_model::ids::KeyId([1; 16]),
    );
    content.thread = job.company.id.roster_thread();
    for context in [clear, sealed, roster, content] {
        let op = pen.clone().finish(Op::new(context, vec![0; 80]));
        let received = receive(&job.company, &page_of(&[&op]));
        assert_eq!(strand::verify(received, &key, 1), Err(Refusal::Class));
    }
    let mut broken = vec![];
    for i in 0..2 {
        broken.push(pen.text(&job.company, &job.key, &format!("{i}")));
    }
    // Those after it name another one then, and the signature is of what they were.
    let mut changed = broken[0].clone().into_op();
    changed.form.context.time_ms += 1;
    broken[0] = VerifiedOp::from_own_log(changed, None);
    let received = receive(&job.company, &segment_page(&broken, 0));
    assert_eq!(received.ops.len(), 2);
    assert_eq!(strand::verify(received, &key, 1), Err(Refusal::Signature));
}

// Held

#[test]
fn a_gap_holds_what_follows() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let ops: Vec<VerifiedOp> = (0..3)
        .map(|i| pen.text(&job.company, &job.key, &format!("{i}")))
        .collect();
    job.ops.extend([ops[0].clone(), ops[2].clone()]);
    assert_eq!(job.judged(&ops[0]), TIMELY);
    assert_eq!(job.judged(&ops[2]), Judgement::Held(Held::Predecessor));
    job.ops.push(ops[1].clone());
    assert_eq!(job.judged(&ops[2]), TIMELY);
}

#[test]
fn what_is_not_here_yet_holds() {
    let mut job = Job::new();
    let early = job.company.roster.clone();
    let chief = job.company.people[0].key.clone();
    let mut pen = job.pen(3, 3);
    job.company.change(
        &chief,
        vec![Change::Role(RoleChange {
            seat: seat_id(&pen.key),
            role: Role::Foreman,
        })],
    );
    let text = pen.text(&job.company, &job.key, "neu");
    let mut other = job.pen(4, 4);
    let no_key = other.text(&job.company, &secret(77).thread_key(), "zu");
    job.ops.extend([text.clone(), no_key.clone()]);
    assert_eq!(job.judged(&no_key), Judgement::Held(Held::Key));
    assert_eq!(job.judged(&text), TIMELY);
    let newer = std::mem::replace(&mut job.company.roster, early);
    assert_eq!(job.judged(&text), Judgement::Held(Held::Roster));
    job.company.roster = newer;
    // Without the opening nothing counts; with it, all does.
    let unopened: Vec<VerifiedOp> = job.ops.iter().skip(1).cloned().collect();
    let view = job.fold_of(&unopened);
    assert_eq!(view.judgements[&text.id()], Judgement::Held(Held::Opening));
}

// Quarantined

#[test]
fn a_non_member_is_quarantined_until_admitted() {
    let mut job = Job::new();
    let mut pen = job.pen(5, 5);
    let one = pen.text(&job.company, &job.key, "eins");
    let two = pen.text(&job.company, &job.key, "zwei");
    job.ops.extend([one.clone(), two.clone()]);
    for op in [&one, &two] {
        assert_eq!(job.judged(op), quarantined(Quarantine::NotMember));
    }
    let admit = |through| Control::Admit(Admit { through });
    let mut crew = job.pen(4, 4);
    let no_right = crew.control(&job.company, &admit(vec![cut_at(&two)]));
    job.chief.lamport = 90;
    let right = job.chief.control(&job.company, &admit(vec![cut_at(&one)]));
    job.ops.push(no_right.clone());
    assert_eq!(job.judged(&no_right), quarantined(Quarantine::Right));
    assert_eq!(job.judged(&one), quarantined(Quarantine::NotMember));
    job.ops.push(right);
    assert_eq!(job.judged(&one), LATE);
    assert_eq!(job.judged(&two), quarantined(Quarantine::NotMember));
}

#[test]
fn a_position_this_roster_never_had_is_quarantined() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let (position, digest) = job.company.roster.head();
    pen.roster = Some((position, RosterDigest([1; 32])));
    let invented = pen.text(&job.company, &job.key, "x");
    let mut pen = job.pen(4, 4);
    pen.roster = Some((RosterPosition(0), digest));
    let zero = pen.text(&job.company, &job.key, "y");
    let first = job.company.roster.links()[0];
    let mut pen = job.pen(4, 5);
    pen.roster = Some((first.position, first.digest));
    let before = pen.text(&job.company, &job.key, "z");
    job.ops
        .extend([invented.clone(), zero.clone(), before.clone()]);
    for op in [invented, zero] {
        assert_eq!(job.judged(&op), quarantined(Quarantine::ForeignRoster));
    }
    assert_eq!(job.judged(&before), quarantined(Quarantine::NotCertified));
}

#[test]
fn a_soft_end_spares_who_did_not_know() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let known = job.company.roster.head();
    let before = pen.text(&job.company, &job.key, "vorher");
    let chief = job.company.people[0].key.clone();
    let subject = Subject::Seat(seat_id(&pen.key));
    job.company
        .change(&chief, vec![end(subject, EndMode::Soft, vec![])]);
    pen.roster = Some(known);
    let unknowing = pen.text(&job.company, &job.key, "wusste es nicht");
    pen.roster = None;
    let knowing = pen.text(&job.company, &job.key, "wusste es");
    job.ops
        .extend([before.clone(), unknowing.clone(), knowing.clone()]);
    assert_eq!(job.judged(&before), LATE);
    assert_eq!(job.judged(&unknowing), LATE);
    assert_eq!(job.judged(&knowing), quarantined(Quarantine::Ended));
}

#[test]
fn a_hard_end_cuts_each_strand_where_the_list_says() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let mut unlisted = job.pen(3, 4);
    let ops: Vec<VerifiedOp> = (0..3)
        .map(|i| pen.text(&job.company, &job.key, &format!("{i}")))
        .collect();
    let other = unlisted.text(&job.company, &job.key, "anderer Speicher");
    job.ops.extend(ops.iter().cloned().chain([other.clone()]));
    let list = cut_list(&[StrandHead {
        strand: ops[1].strand(),
        head: ops[1].head(),
    }]);
    let cuts = vec![CutOfThread {
        thread: job.thread,
        list: part_hash(&list),
    }];
    let chief = job.company.people[0].key.clone();
    let subject = Subject::Person(job.company.people[3].ring);
    job.company
        .change(&chief, vec![end(subject, EndMode::Hard, cuts)]);
    job.company.roster.add_part(b"something else");
    assert_eq!(job.judged(&ops[0]), Judgement::Held(Held::CutList));
    job.company.roster.add_part(&list);
    assert_eq!(job.judged(&ops[0]), TIMELY);
    assert_eq!(job.judged(&ops[1]), TIMELY);
    assert_eq!(job.judged(&ops[2]), quarantined(Quarantine::Cut));
    assert_eq!(job.judged(&other), quarantined(Quarantine::Cut));
    // Another thread that the end doesn't list ends at nothing, and nothing is waited for.
    let seat = job.company.people[3].key.clone();
    let (_, opened) = job
        .company
        .open(&seat, ThreadKind::Crew, job.company.crews[1], 9);
    let thread = ThreadOps::new(opened.context().thread, [&opened]);
    let control = kolonne_model::judge::control_state(&thread, &job.company.roster);
    assert_eq!(control.judgements[&opened.id()], TIMELY, "by form alone");
}

#[test]
fn an_out_beats_an_in_that_does_not_name_it() {
    let mut job = Job::new();
    let crew = job.company.crews[1];
    let joined = job.ops[1].id().short();
    let mut pen = job.pen(3, 3);
    let early = pen.text(&job.company, &job.key, "drin");
    let late = pen.text(&job.company, &job.key, "zu spät");
    let out = job.chief.control(
        &job.company,
        &members_out(crew, vec![cut_at(&early)], vec![joined]),
    );
    let concurrent = job
        .foreman
        .control(&job.company, &members_in(crew, vec![], vec![joined]));
    job.ops
        .extend([early.clone(), late.clone(), out.clone(), concurrent.clone()]);
    assert_eq!(job.judged(&early), LATE);
    assert_eq!(job.judged(&late), quarantined(Quarantine::NotMember));
    let control = job.control();
    assert!(matches!(control.members[&crew], Membership::Out { .. }));
    assert!(!control.member_rings().any(|ring| ring == crew));
    // In again, naming both: what was written meanwhile counts but for what stays out.
    let names = control.member_writes[&crew].clone();
    assert_eq!(names.len(), 2);
    let more = pen.text(&job.company, &job.key, "wieder da");
    let span = Span {
        seat: late.context().seat,
        store: late.context().store,
        from: late.context().seq,
        to: late.context().seq,
    };
    let again = job
        .chief
        .control(&job.company, &members_in(crew, vec![span], names));
    job.ops.extend([more.clone(), again]);
    assert_eq!(job.judged(&early), TIMELY);
    assert_eq!(job.judged(&late), quarantined(Quarantine::NotMember));
    assert_eq!(job.judged(&more), TIMELY);
    // Office and recovery can't be put out.
    for ring in [job.company.office, job.company.recovery] {
        let out = members_out(ring, vec![], vec![]);
        job.ops.push(job.chief.control(&job.company, &out));
    }
    assert!(job.control().has_member(&[job.company.office]));
    assert!(job.control().has_member(&[job.company.recovery]));
}

// Ignored

#[test]
fn lamports_rise_and_not_by_too_much() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let one = pen.text(&job.company, &job.key, "1");
    let at = pen.lamport;
    pen.lamport = at - 1;
    let same = pen.text(&job.company, &job.key, "gleich");
    pen.lamport = at + MAX_LAMPORT_STEP;
    let far = pen.text(&job.company, &job.key, "zu weit");
    pen.lamport = at + MAX_LAMPORT_STEP - 1;
    let just = pen.text(&job.company, &job.key, "gerade noch");
    job.ops.extend([&one, &same, &far, &just].map(Clone::clone));
    assert_eq!(job.judged(&one), TIMELY);
    assert_eq!(job.judged(&same), Judgement::Ignored(Ignored::Lamport));
    assert_eq!(job.judged(&far), Judgement::Ignored(Ignored::Lamport));
    assert_eq!(job.judged(&just), TIMELY);
}

#[test]
fn a_roster_position_does_not_fall_within_a_strand() {
    let mut job = Job::new();
    let old = job.company.roster.head();
    let chief = job.company.people[0].key.clone();
    let mut pen = job.pen(3, 3);
    let role = RoleChange {
        seat: seat_id(&pen.key),
        role: Role::Crew,
    };
    job.company.change(&chief, vec![Change::Role(role)]);
    let new = pen.text(&job.company, &job.key, "neu");
    pen.roster = Some(old);
    let fell = pen.text(&job.company, &job.key, "alt");
    pen.roster = None;
    let again = pen.text(&job.company, &job.key, "wieder neu");
    job.ops.extend([&new, &fell, &again].map(Clone::clone));
    assert_eq!(job.judged(&fell), Judgement::Ignored(Ignored::RosterFell));
    assert_eq!(job.judged(&again), TIMELY);
}

#[test]
fn unknown_kinds_wait_or_are_passed_over() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let stub = pen.data(&job.company, &job.key, Say::Unknown(999));
    let passed = pen.control(&job.company, &Control::Unknown(999));
    pen.unknown = Unknown::MustBeUnderstood;
    let must = pen.data(&job.company, &job.key, Say::Unknown(999));
    pen.unknown = Unknown::MayBePassedOver;
    let bad = pen.control_bytes(&job.company, &[0x82, 0x02, 0x01]);
    let garbage = pen.data_bytes(&job.company, &job.key, &[0x82, 0x02, 0x01]);
    job.ops
        .extend([&stub, &passed, &must, &bad, &garbage].map(Clone::clone));
    let unknown = Judgement::Ignored(Ignored::UnknownKind);
    assert_eq!(job.judged(&stub), unknown);
    assert_eq!(job.judged(&passed), unknown);
    assert_eq!(job.judged(&must), Judgement::Held(Held::NewerApp));
    for op in [&bad, &garbage] {
        assert_eq!(job.judged(op), Judgement::Ignored(Ignored::Malformed));
    }
    let view = job.fold();
    assert_eq!(view.entries.len(), 2);
    assert!(view.entries.iter().all(|e| e.shown == Shown::NewerApp));
    assert!(!view.control.needs_newer_app);
    let mut chief = job.pen(0, 40);
    chief.unknown = Unknown::MustBeUnderstood;
    let must = chief.control(&job.company, &Control::Unknown(999));
    job.ops.push(must.clone());
    assert_eq!(job.judged(&must), Judgement::Held(Held::NewerApp));
    assert!(job.control().needs_newer_app);
}

// Keys

#[test]
fn a_key_op_that_names_another_key_is_complained_of_and_not_sent_under() {
    let mut job = Job::new();
    // The maker says one key's hash and wraps another's secret.
    let right = secret(2);
    let wrapped = secret(3);
    let made = key_made(&job.company, &job.thread, &job.control(), &right);
    let op = job.foreman.control(&job.company, &made);
    job.ops.push(op.clone());
    let Control::KeyMade(said) = &made else {
        panic!()
    };
    let sent = |job: &Job| {
        let control = job.control();
        control.key_to_send(&job.company.roster).unwrap().order.id
    };
    assert_eq!(sent(&job), op.id());
    // Who opens the wrap sees that it isn't the key that the op names …
    let opens_to = wrapped.thread_key().hash(&job.company.id, &job.thread);
    assert_ne!(opens_to, said.hash);
    // … and says so: nobody sends under it.
    let mut pen = job.pen(3, 3);
    let complaint = pen.control(
        &job.company,
        &Control::Complaint(Complaint {
            key_op: op.id(),
            ring: job.company.crews[1],
            wrong: Wrong::AnotherKey,
        }),
    );
    job.ops.push(complaint);
    assert_eq!(sent(&job), job.ops[2].id());
    // A sealed earlier secret that isn't the key it is said to be doesn't open either.
    let (company, thread) = (&job.company.id, &job.thread);
    let earlier = right.thread_key().id(company, thread);
    let sealed = secret(9).seal_earlier(&earlier, &wrapped);
    assert!(
        secret(9)
            .open_earlier(company, thread, &earlier, &sealed)
            .is_none()
    );
    let sealed = secret(9).seal_earlier(&earlier, &right);
    let opened: Option<HistorySecret> = secret(9).open_earlier(company, thread, &earlier, &sealed);
    assert!(opened == Some(right));
}

#[test]
fn a_new_generation_or_member_asks_for_a_new_key() {
    let mut job = Job::new();
    assert!(job.control().key_to_send(&job.company.roster).is_some());
    let chief = job.company.people[0].key.clone();
    let next = support::next_generation(&job.company.roster, job.company.crews[1], 1);
    let mut rotated = job.clone();
    assert_eq!(rotated.company.change(&chief, vec![next]), Effect::Applied);
    assert!(
        rotated
            .control()
            .key_to_send(&rotated.company.roster)
            .is_none()
    );
    let joined = members_in(job.company.crews[2], vec![], vec![]);
    let joined = job.foreman.control(&job.company, &joined);
    job.ops.push(joined);
    assert!(job.control().key_to_send(&job.company.roster).is_none());
}

// Forks, absence, order

#[test]
fn both_branches_of_a_fork_are_kept_shown_and_named() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let one = pen.text(&job.company, &job.key, "gemeinsam");
    let mut clone = pen.clone();
    let a = pen.text(&job.company, &job.key, "Ast a");
    let b = clone.text(&job.company, &job.key, "Ast b");
    let a3 = pen.text(&job.company, &job.key, "Ast a 3");
    job.ops.extend([&one, &a, &b, &a3].map(Clone::clone));
    for op in [&one, &a, &b, &a3] {
        assert_eq!(job.judged(op), TIMELY);
    }
    assert_eq!(job.fold().entries.len(), 4);
    let heads: Vec<_> = kolonne_model::fold::heads(
        &ThreadOps::new(job.thread, &job.ops),
        &seat_id(&job.foreman.key),
    )
    .into_iter()
    .map(|seen| seen.head)
    .collect();
    assert!(heads.len() == 2 && heads.contains(&b.head()) && heads.contains(&a3.head()));
    let twice = |ops: &[VerifiedOp]| {
        let twice = ThreadOps::new(job.thread, ops).ran_twice();
        let seats = twice.values().map(|op| op.context().seat);
        seats.collect::<Vec<_>>()
    };
    assert_eq!(twice(&job.ops), [seat_id(&pen.key)]);
    // A new store after all of the old one is one device that goes on; beside it, it is two.
    let of_one = |lamport: u64| {
        let mut next = job.pen(3, 4);
        next.lamport = lamport;
        let next = next.text(&job.company, &job.key, "neuer Speicher");
        let mut ops = job.ops.clone();
        ops.retain(|op| op.id() != b.id());
        ops.push(next);
        ops
    };
    assert_eq!(twice(&of_one(a3.context().lamport)), []);
    let beside = twice(&of_one(a3.context().lamport - 1));
    assert_eq!(beside, [seat_id(&pen.key)]);
    // A cut names one branch: the other one is beyond it.
    let out = members_out(
        job.company.crews[1],
        vec![cut_at(&b)],
        vec![job.ops[1].id().short()],
    );
    job.ops.push(job.chief.control(&job.company, &out));
    assert_eq!(job.judged(&one), LATE);
    assert_eq!(job.judged(&b), LATE);
    assert_eq!(job.judged(&a), quarantined(Quarantine::NotMember));
    assert_eq!(job.judged(&a3), quarantined(Quarantine::NotMember));
}

#[test]
fn withheld_and_erased_are_told_apart() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let withheld = pen.text(&job.company, &job.key, "fehlt");
    let erased = pen.text(&job.company, &job.key, "gelöscht");
    job.chief.lamport = 90;
    let erase = job.chief.control(
        &job.company,
        &Control::Erase(Erase {
            ops: vec![erased.id()],
            reason: EraseReason::PersonalData,
            blobs: None,
            days: None,
        }),
    );
    job.ops
        .extend([without_payload(&withheld), erased.clone(), erase]);
    let view = job.fold();
    let shown: Vec<&Shown> = view.entries.iter().map(|e| &e.shown).collect();
    assert_eq!(shown, [&Shown::Withheld, &Shown::Erased]);
    assert!(view.control.erased.contains(&erased.id()));
    for op in [&withheld, &erased] {
        assert_eq!(view.judgements[&op.id()], TIMELY);
    }
    // A crew's man can't erase.
    let mut job = Job::new();
    let erase = pen.control(
        &job.company,
        &Control::Erase(Erase {
            ops: vec![erased.id()],
            reason: EraseReason::Mistake,
            blobs: None,
            days: None,
        }),
    );
    job.ops.extend([withheld, erased, erase.clone()]);
    assert_eq!(job.judged(&erase), quarantined(Quarantine::Right));
    assert!(job.control().erased.is_empty());
}

#[test]
fn a_reply_never_sorts_before_what_it_answers() {
    let mut job = Job::new();
    let mut slow = job.pen(3, 3);
    slow.lamport = 1000;
    let question = slow.text(&job.company, &job.key, "Frage");
    let mut quick = job.pen(4, 4);
    quick.lamport = 10;
    let answer = quick.data(
        &job.company,
        &job.key,
        say_text("Antwort", Some(question.id())),
    );
    let more = quick.data(
        &job.company,
        &job.key,
        say_text("Nachtrag", Some(answer.id())),
    );
    job.ops
        .extend([&more, &answer, &question].map(Clone::clone));
    let ids: Vec<OpId> = job.fold().entries.iter().map(|e| e.id).collect();
    assert_eq!(ids, [question.id(), answer.id(), more.id()]);
}

#[test]
fn fields_merge_by_what_each_write_names() {
    let mut job = Job::new();
    let write = |value: &str, names: Vec<OpId>| {
        Say::Set(Set {
            field: field::TITLE,
            subject: None,
            value: Some(value.into()),
            names: names.iter().map(OpId::short).collect(),
        })
    };
    let first = job
        .foreman
        .data(&job.company, &job.key, write("Dach", vec![]));
    job.chief.lamport = 40;
    let office = job.chief.data(
        &job.company,
        &job.key,
        write("Dach Müller", vec![first.id()]),
    );
    job.foreman.lamport = 50;
    let foreman = job
        .foreman
        .data(&job.company, &job.key, write("Dach Nord", vec![first.id()]));
    job.ops
        .extend([&first, &office, &foreman].map(Clone::clone));
    let title = |job: &Job| job.fold().fields[&(field::TITLE, vec![])].clone();
    assert_eq!(title(&job).value.as_deref(), Some("Dach Nord"));
    assert_eq!(title(&job).writes.len(), 2);
    // A write that names both replaces both, though its lamport is lower than one of theirs.
    let mut other = job.pen(1, 11);
    other.lamport = 45;
    let both = other.data(
        &job.company,
        &job.key,
        write("Dach Müller Nord", vec![office.id(), foreman.id()]),
    );
    job.ops.push(both.clone());
    assert_eq!(title(&job).value.as_deref(), Some("Dach Müller Nord"));
    assert_eq!(title(&job).writes, [both.id().short()]);
    // A crew's man doesn't name jobs; his write neither counts nor replaces.
    let mut crew = job.pen(3, 3);
    let no_right = crew.data(&job.company, &job.key, write("Meins", vec![both.id()]));
    job.ops.push(no_right.clone());
    assert_eq!(job.judged(&no_right), quarantined(Quarantine::Right));
    assert_eq!(title(&job).value.as_deref(), Some("Dach Müller Nord"));
}

#[test]
fn no_words_stand_beside_what_is_sealed() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let sealed = |rings: &[u8]| {
        Say::Sealed(Box::new(Sealed {
            blob: BlobId([1; 32]),
            sealed_bytes: 20_000,
            people: vec![],
            office: true,
            rings: rings
                .iter()
                .map(|byte| SealedRing {
                    ring: RingId([*byte; 16]),
                    generation: 1,
                })
                .collect(),
            envelope: vec![0; 300].into(),
            reply_to: None,
        }))
    };
    let good = pen.data(&job.company, &job.key, sealed(&[1, 2]));
    let words = Say::Set(Set {
        field: field::ENTRY_TEXT,
        subject: Some(good.id().0.to_vec().into()),
        value: Some("Krankmeldung".into()),
        names: vec![],
    });
    let words = pen.data(&job.company, &job.key, words);
    // Out of form: rings twice, out of order, none, more than one age file takes.
    let many: Vec<u8> = (0..65).collect();
    let odd = [&[1, 1][..], &[2, 1], &[], &many];
    let odd = odd.map(|rings| pen.data(&job.company, &job.key, sealed(rings)));
    job.ops.extend([good.clone(), words.clone()]);
    job.ops.extend(odd.iter().cloned());
    let view = job.fold();
    assert_eq!(view.judgements[&words.id()], quarantined(Quarantine::Right));
    assert_eq!(view.entries.len(), 1);
    assert_eq!(
        (view.entries[0].id, &view.entries[0].words),
        (good.id(), &None)
    );
    for op in odd {
        let judged = &view.judgements[&op.id()];
        assert_eq!(*judged, Judgement::Ignored(Ignored::Malformed));
    }
}

#[test]
fn words_are_their_authors_and_read_marks_rise_by_strand() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let text = pen.text(&job.company, &job.key, "Tippfeler");
    let edit = |value: &str| {
        Say::Set(Set {
            field: field::ENTRY_TEXT,
            subject: Some(text.id().0.to_vec().into()),
            value: Some(value.into()),
            names: vec![],
        })
    };
    let own = pen.data(&job.company, &job.key, edit("Tippfehler"));
    let mut other = job.pen(4, 4);
    let foreign = other.data(&job.company, &job.key, edit("Unsinn"));
    let mark = |seq| {
        Say::Read(Read {
            marks: vec![ReadMark {
                seat: seat_id(&pen.key),
                store: pen.store,
                seq,
            }],
        })
    };
    let far = other.data(&job.company, &job.key, mark(2));
    let back = other.data(&job.company, &job.key, mark(1));
    job.ops
        .extend([&text, &own, &foreign, &far, &back].map(Clone::clone));
    let view = job.fold();
    assert_eq!(
        view.judgements[&foreign.id()],
        quarantined(Quarantine::Right)
    );
    assert_eq!(view.entries[0].words.as_ref().unwrap().text, "Tippfehler");
    let person = job.company.people[4].ring;
    assert_eq!(view.read[&person][&(seat_id(&pen.key), pen.store)], 2);
}

#[test]
fn the_same_opening_cannot_be_made_by_another() {
    let job = Job::new();
    let body = job.ops[0].op().payload.as_ref().unwrap()[12..].to_vec();
    let mut thief = Pen::new(&job.company.people[5].key, job.thread, store(6));
    let copy = thief.control_bytes(&job.company, &body);
    let mut ops = job.ops.clone();
    ops.push(copy.clone());
    let view = job.fold_of(&ops);
    assert_eq!(
        view.judgements[&copy.id()],
        Judgement::Ignored(Ignored::Malformed)
    );
    assert_eq!(
        view.control.opening.unwrap().opener,
        seat_id(&job.foreman.key)
    );
    assert_ne!(
        Opened::thread(&body, &job.company.id, &seat_id(&thief.key)),
        job.thread
    );
}

// Roster

fn verify(roster: &Roster, op: &VerifiedOp) -> Result<VerifiedOp, RosterRefusal> {
    let segment = page::read(&page_of(&[op])).unwrap().remove(0);
    roster.verify(segment.resolve(&roster.company(), &NoBases).unwrap())
}

#[test]
fn a_roster_that_the_hub_invents_is_refused() {
    let company = Company::found();
    let other = Company::found_as(2);
    let roster = company.roster_at(1);
    let next = &company.roster_ops[1];
    assert_eq!(verify(&roster, next).unwrap().id(), next.id());
    // Another root in this company's name.
    let mut op = other.roster_ops[0].op().clone();
    op.form.context.company = company.id;
    op.form.context.thread = company.id.roster_thread();
    let signature = op::sign(&other.root, &op.form.id());
    let false_root = VerifiedOp::from_own_log(op, Some(signature));
    assert_eq!(
        verify(&Roster::new(company.id), &false_root),
        Err(RosterRefusal::Founding)
    );
    // Another company's founding as it is.
    assert_eq!(
        verify(&Roster::new(company.id), &other.roster_ops[0]),
        Err(RosterRefusal::NotNext)
    );
    // An author nobody certified, and one who claims to be another.
    let stranger = signing("stranger", 1);
    let mut at_1 = company.clone();
    at_1.roster = roster.clone();
    let body = cbor::encode(&RosterBody {
        digest_after: roster.head().1,
        changes: vec![],
    });
    let context = at_1.roster_context(&stranger);
    let invented = at_1.sign_roster_op(&stranger, context, &body);
    assert_eq!(verify(&roster, &invented), Err(RosterRefusal::Author));
    let mut context = at_1.roster_context(&stranger);
    context.seat = company.people[0].seat();
    let forged = at_1.sign_roster_op(&stranger, context, &body);
    assert_eq!(
        verify(&roster, &forged),
        Err(RosterRefusal::Refused(Refusal::Signature))
    );
    // Another predecessor, a skipped place, an old op again.
    let mut context = at_1.roster_context(&company.people[0].key);
    context.previous = OpId([9; 32]);
    let wrong = at_1.sign_roster_op(&company.people[0].key, context, &body);
    for op in [&wrong, &company.roster_ops[2], &company.roster_ops[0]] {
        assert_eq!(verify(&roster, op), Err(RosterRefusal::NotNext));
    }
}

#[test]
fn a_bad_roster_op_is_void_and_the_chain_goes_on() {
    let mut company = Company::found();
    let crew = company.people[3].key.clone();
    let office = company.people[1].key.clone();
    let chief = company.people[0].key.clone();
    let promote = |seat: SeatId, role| vec![Change::Role(RoleChange { seat, role })];
    let raise = |company: &mut Company, by, changes: Vec<Change>, digest| {
        let context = company.roster_context(by);
        let body = cbor::encode(&RosterBody {
            digest_after: digest,
            changes,
        });
        let op = company.sign_roster_op(by, context, &body);
        company.append(op)
    };
    let digest = company.roster.head().1;
    let own = promote(seat_id(&crew), Role::Admin);
    assert_eq!(
        raise(&mut company, &crew, own, digest),
        Effect::Void(Void::Right)
    );
    let up = promote(seat_id(&office), Role::Admin);
    assert_eq!(
        raise(&mut company, &office, up, digest),
        Effect::Void(Void::Right)
    );
    let up = promote(seat_id(&crew), Role::Foreman);
    assert_eq!(
        raise(&mut company, &office, up, digest),
        Effect::Void(Void::Digest)
    );
    let nobody = promote(SeatId([3; 16]), Role::Crew);
    assert_eq!(
        raise(&mut company, &chief, nobody, digest),
        Effect::Void(Void::Contradiction)
    );
    let second = vec![Change::Found(Found {
        root_key: public(&chief),
    })];
    let root = company.root.clone();
    assert_eq!(
        raise(&mut company, &root, second, digest),
        Effect::Void(Void::Contradiction)
    );
    let mut context = company.roster_context(&chief);
    context.roster = RosterPosition(1);
    let op = company.sign_roster_op(&chief, context, &[0x80]);
    assert_eq!(company.append(op), Effect::Void(Void::Position));
    let context = company.roster_context(&chief);
    let op = company.sign_roster_op(&chief, context, &[0x80]);
    assert_eq!(company.append(op), Effect::Void(Void::Malformed));
    assert_eq!(company.roster.head().1, digest, "nothing has changed");
    assert_eq!(company.roster.head().0.term(), 1, "the root opened a term");
    let good = promote(seat_id(&crew), Role::Foreman);
    assert_eq!(company.change(&office, good), Effect::Applied);
    // Position and digest of a void op can be named.
    let void = company.roster.links()[company.roster.links().len() - 2];
    let named = company.roster.named(void.position, &void.digest);
    let known = kolonne_model::roster::Named::Known(void.position);
    assert_eq!(named, known);
}

#[test]
fn rights_are_judged_at_the_position_an_op_names() {
    let mut job = Job::new();
    let chief = job.company.people[0].key.clone();
    let mut pen = job.pen(5, 5);
    let before = job.company.roster.head();
    let moves = Change::Move(Move {
        device: job.company.devices[4].id,
        crew: Some(job.company.crews[1]),
    });
    assert_eq!(job.company.change(&chief, vec![moves]), Effect::Applied);
    pen.roster = Some(before);
    let as_before = pen.text(&job.company, &job.key, "noch Kolonne C");
    pen.roster = None;
    let moved = pen.text(&job.company, &job.key, "jetzt Kolonne B");
    job.ops.extend([as_before.clone(), moved.clone()]);
    assert_eq!(job.judged(&as_before), quarantined(Quarantine::NotMember));
    assert_eq!(job.judged(&moved), TIMELY);
}

#[test]
fn heads_sum_up_in_any_order_and_tell_forks_apart() {
    let head = |n: u64| StrandHead {
        strand: Strand {
            thread: ThreadId(bytes("thread", n)),
            seat: SeatId(bytes("seat", n)),
            store: StoreId(bytes("store", n)),
        },
        head: kolonne_model::ids::Head {
            seq: 1,
            id: OpId(bytes("op", n)),
        },
    };
    let (a, b) = (head(1), head(2));
    assert_eq!(head_sum([&a, &b]), head_sum([&b, &a]));
    let mut fork = b;
    fork.head.id = OpId([0; 32]);
    assert_ne!(head_sum([&a, &b]), head_sum([&a, &fork]));
    assert_ne!(head_sum([&a, &b]), head_sum([&a, &b, &fork]));
}

#[test]
fn a_payload_that_is_not_one_padded_item_is_malformed() {
    let mut job = Job::new();
    let body = Body {
        offset_s: None,
        say: say_text("x", None),
    }
    .to_bytes();
    for (bytes, good) in [
        (body.clone(), true),
        ([body.clone(), vec![1]].concat(), false),
        ([body.clone(), vec![0; 60]].concat(), false),
        (vec![], false),
    ] {
        let mut pen = job.pen(3, 40 + bytes.len() as u64);
        let op = pen.data_bytes(&job.company, &job.key, &bytes);
        job.ops.push(op.clone());
        let expected = if good {
            TIMELY
        } else {
            Judgement::Ignored(Ignored::Malformed)
        };
        assert_eq!(job.judged(&op), expected, "{} bytes", bytes.len());
    }
    let too_large = vec![0; op::MAX_BODY_BYTES + 1];
    let context = *job.ops[3].context();
    assert_eq!(
        payload::seal(&job.key, &context, &[0; 12], &too_large),
        Err(payload::PayloadError::Size)
    );
}

/// An end in more threads than one op can list: the cuts come ahead in batches, and hold from the
/// end on, for the threads they name.
#[test]
fn an_end_in_two_thousand_threads_names_batches_of_cuts() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let before = pen.text(&job.company, &job.key, "vor dem Ende");
    let after = pen.text(&job.company, &job.key, "danach");
    job.ops.extend([before.clone(), after.clone()]);
    let list = cut_list(&[StrandHead {
        strand: before.strand(),
        head: before.head(),
    }]);
    let mut cuts: Vec<CutOfThread> = (0..1999)
        .map(|n| CutOfThread {
            thread: ThreadId(support::bytes("thread", n)),
            list: Hash32(support::bytes("list", n)),
        })
        .collect();
    cuts.push(CutOfThread {
        thread: job.thread,
        list: part_hash(&list),
    });
    let chief = job.company.people[0].key.clone();
    let batches: Vec<CutBatch> = cuts
        .chunks(1000)
        .map(|cuts| CutBatch {
            cuts: cuts.to_vec(),
        })
        .collect();
    let seat = job.company.people[3].seat();
    let end = |more: Vec<Hash32>| {
        vec![Change::End(End {
            subject: Subject::Seat(seat),
            mode: EndMode::Hard,
            cuts: vec![],
            more: Some(more),
        })]
    };
    let hashes: Vec<Hash32> = batches.iter().map(CutBatch::hash).collect();
    // An end can't name what hasn't come, nor a thread twice.
    let head = job.company.roster.clone();
    let at = head.links().len() as u64;
    let draft = |more| head.draft(&support::public(&chief), at + 1, at, end(more));
    assert_eq!(draft(hashes.clone()).unwrap_err(), Void::Contradiction);
    let changes = end(hashes.clone());
    for batch in batches {
        let (context, body) = job.company.draft(&chief, vec![Change::Cuts(batch.clone())]);
        assert!(
            body.len() < kolonne_model::op::MAX_BODY_BYTES,
            "{}",
            body.len()
        );
        let op = job.company.sign_roster_op(&chief, context, &body);
        assert_eq!(job.company.append(op), Effect::Applied);
        // By itself it ends nothing.
        assert_eq!(job.judged(&after), TIMELY);
    }
    let head = job.company.roster.clone();
    let doubled = end([hashes.clone(), hashes].concat());
    let drafted = head.draft(&support::public(&chief), at + 3, at, doubled);
    assert_eq!(drafted.unwrap_err(), Void::Contradiction);
    assert_eq!(job.company.change(&chief, changes), Effect::Applied);
    assert_eq!(job.judged(&after), Judgement::Held(Held::CutList));
    job.company.roster.add_part(&list);
    assert_eq!(job.judged(&before), TIMELY);
    assert_eq!(job.judged(&after), Judgement::Quarantined(Quarantine::Cut));
}
