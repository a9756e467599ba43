//! Erasures and complaints: who may have what destroyed, and what an erased text still gives away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeSet;

use kolonne_model::body::Body;
use kolonne_model::control::{Complaint, Control, Erase, EraseReason, WrappedAgain, Wrong};
use kolonne_model::erasure::{ALONE_AT_MOST, BLOBS_PER_OP, Standing};
use kolonne_model::fold::Shown;
use kolonne_model::ids::{BlobId, Hash32, OpId};
use kolonne_model::judge::{Judgement, Quarantine, ThreadOps, Timeliness};
use kolonne_model::payload;
use kolonne_model::roster::change::{Change, End, EndMode, Subject};
use kolonne_model::strand::VerifiedOp;
use support::{Dice, Job, Pen, bytes, say_text, store, without_payload};

fn erase(ops: &[OpId]) -> Control {
    Control::Erase(Erase {
        ops: ops.to_vec(),
        reason: EraseReason::PersonalData,
        blobs: None,
        days: None,
    })
}

fn many(job: &mut Job, n: usize) -> Vec<OpId> {
    let mut pen = job.pen(3, 3);
    let texts: Vec<VerifiedOp> = (0..n)
        .map(|i| pen.text(&job.company, &job.key, &format!("{i}")))
        .collect();
    let ids = texts.iter().map(VerifiedOp::id).collect();
    job.ops.extend(texts);
    ids
}

fn may_go(job: &Job) -> BTreeSet<OpId> {
    let control = job.control();
    let ops = control.erasures.ops.iter();
    ops.filter(|(_, erasure)| erasure.standing == Standing::MayGo)
        .map(|(id, _)| *id)
        .collect()
}

/// More than a hundred are hidden at once and wait for a second person; another seat or a second
/// word of the same one is none.
#[test]
fn one_person_alone_has_a_hundred_destroyed_and_not_more() {
    let mut job = Job::new();
    let ids = many(&mut job, ALONE_AT_MOST + 20);
    let mut chief = job.pen(0, 100);
    let first = chief.control(&job.company, &erase(&ids[..60]));
    let rest = chief.control(&job.company, &erase(&ids[60..]));
    let again = chief.control(&job.company, &erase(&ids));
    job.ops.extend([first, rest, again]);
    let view = job.fold();
    assert_eq!(view.control.erased.len(), ids.len());
    assert!(view.entries.iter().all(|e| e.shown == Shown::Erased));
    assert_eq!(may_go(&job).len(), ALONE_AT_MOST);

    let mut second = job.pen(1, 101);
    let late = *ids.iter().find(|id| !may_go(&job).contains(*id)).unwrap();
    let confirm = second.control(&job.company, &erase(&[late]));
    job.ops.push(confirm);
    assert!(may_go(&job).contains(&late));
    assert_eq!(may_go(&job).len(), ALONE_AT_MOST + 1);
    let confirm = second.control(&job.company, &erase(&ids));
    job.ops.push(confirm);
    assert_eq!(may_go(&job).len(), ids.len());
}

/// The limit is no time: neither a clock set back nor new stores give another hundred.
#[test]
fn backdating_and_new_stores_give_no_second_hundred() {
    let mut job = Job::new();
    let ids = many(&mut job, 3 * ALONE_AT_MOST);
    for (n, chunk) in (0u64..).zip(ids.chunks(ALONE_AT_MOST / 2)) {
        let mut pen = Pen::new(&job.company.people[0].key, job.thread, store(500 + n));
        pen.lamport = n;
        let mut context = pen.context(
            &job.company,
            kolonne_model::op::Class::Control,
            kolonne_model::ids::KeyId::ZERO,
        );
        context.time_ms = n * 48 * 3600 * 1000;
        let body = kolonne_model::cbor::encode(&erase(chunk));
        let op = kolonne_model::op::Op::new(context, payload::clear(&bytes("salt", n), &body));
        let op = pen.finish(op);
        job.ops.push(op);
    }
    assert_eq!(job.control().erased.len(), ids.len());
    assert_eq!(may_go(&job).len(), ALONE_AT_MOST);
}

/// The same set says the same, whatever came first; more erases of one person never let more go.
#[test]
fn what_may_go_does_not_hang_on_the_order_of_arrival() {
    let mut job = Job::new();
    let ids = many(&mut job, 2 * ALONE_AT_MOST);
    let mut dice = Dice(7);
    let mut pens = [job.pen(0, 100), job.pen(0, 102), job.pen(1, 101)];
    for _ in 0..40 {
        let at = dice.below(ids.len() - 10);
        let pen = &mut pens[dice.below(3)];
        pen.lamport += dice.roll() % 5;
        job.ops
            .push(pen.control(&job.company, &erase(&ids[at..at + 10])));
    }
    let expected = job.control().erasures;
    for _ in 0..5 {
        dice.shuffle(&mut job.ops);
        assert_eq!(job.control().erasures, expected);
    }
    let both: BTreeSet<OpId> = may_go(&job);
    let mut without_second = job.clone();
    let second = job.company.people[1].seat();
    without_second
        .ops
        .retain(|op| op.context().seat != second || ids.contains(&op.id()));
    assert!(may_go(&without_second).len() <= ALONE_AT_MOST);
    assert!(both.len() > ALONE_AT_MOST);
}

/// A captured office seat is shut out within the delay: what it hid is there again.
#[test]
fn what_a_shut_out_seat_hid_shows_again() {
    let mut job = Job::new();
    let ids = many(&mut job, 3);
    let mut captured = job.pen(1, 101);
    let hide = captured.control(&job.company, &erase(&ids));
    job.ops.push(hide.clone());
    assert_eq!(job.control().erased.len(), 3);
    let seat = Subject::Seat(job.company.people[1].seat());
    let end = Change::End(End {
        subject: seat,
        mode: EndMode::Hard,
        cuts: vec![],
        more: None,
    });
    let chief = job.company.people[0].key.clone();
    job.company.change(&chief, vec![end]);
    let view = job.fold();
    assert!(view.control.erased.is_empty());
    assert!(view.control.erasures.blobs.is_empty());
    assert!(
        view.entries
            .iter()
            .all(|e| matches!(e.shown, Shown::Said(_)))
    );
    let quarantined = Judgement::Quarantined(Quarantine::Cut);
    assert_eq!(view.judgements[&hide.id()], quarantined);
}

/// An erase of one op takes no whole archive of blobs along.
#[test]
fn an_erase_names_few_blobs_for_each_op() {
    let mut job = Job::new();
    let ids = many(&mut job, 2);
    let blobs: Vec<BlobId> = (0..100).map(|n| BlobId(bytes("blob", n))).collect();
    let op = job.chief.control(
        &job.company,
        &Control::Erase(Erase {
            ops: vec![ids[0], ids[0], ids[1], OpId([9; 32])],
            reason: EraseReason::Mistake,
            blobs: Some(blobs),
            days: Some(30),
        }),
    );
    job.ops.push(op);
    let erasures = job.control().erasures;
    assert_eq!(erasures.blobs.len(), 2 * BLOBS_PER_OP);
    assert!(erasures.blobs.values().all(|blob| blob.days == 30));
    assert!(erasures.ops.values().all(|op| op.days == 30));
}

/// Who has the thread key and the signed form guesses what an erased text said: without the salt,
/// which was in the payload and went with it, a right guess looks like any wrong one.
#[test]
fn an_erased_text_cannot_be_guessed() {
    let job = Job::new();
    let mut pen = job.pen(3, 3);
    let secret_text = "krank";
    let op = pen.text(&job.company, &job.key, secret_text);
    let salt: [u8; 12] = op.op().payload.as_ref().unwrap()[..12].try_into().unwrap();
    let bare = without_payload(&op);
    let form = &bare.op().form;
    let guess = |text: &str, salt: [u8; 12]| {
        let body = Body {
            offset_s: Some(0),
            say: say_text(text, None),
        };
        let sealed =
            payload::seal(&job.key, bare.context(), &salt, &body.to_bytes()).expect("it fits");
        let op = kolonne_model::op::Op::new(*bare.context(), sealed);
        (op.form.payload_hash, op.form.payload_bytes)
    };
    // The attack works with the salt, so that the test tests something.
    assert_eq!(guess(secret_text, salt).0, form.payload_hash);
    // Short texts are of one length: it tells nothing either.
    for text in ["krank", "ja", "Urlaub bis Freitag"] {
        assert_eq!(guess(text, salt).1, form.payload_bytes);
        for n in 0..2000 {
            assert_ne!(guess(text, bytes("guessed salt", n)).0, form.payload_hash);
        }
    }
}

fn complaint(job: &Job) -> Control {
    Control::Complaint(Complaint {
        key_op: job.ops[2].id(),
        ring: job.company.crews[1],
        wrong: Wrong::DoesNotOpen,
    })
}

fn wrapped_again(job: &Job) -> Control {
    Control::WrappedAgain(WrappedAgain {
        key_op: job.ops[2].id(),
        ring: job.company.crews[1],
        generation: 1,
        file: Hash32([7; 32]),
    })
}

/// A wrap that didn't open bars the key; any member wraps again and it is good; if that one is
/// wrong too, the next complaint says so. Only members wrap.
#[test]
fn a_complaint_is_closed_by_a_later_wrap_and_opened_by_a_later_complaint() {
    let mut job = Job::new();
    let sendable = |job: &Job| job.control().key_to_send(&job.company.roster).is_some();
    let mut crew = job.pen(3, 3);
    let early = crew.control(&job.company, &wrapped_again(&job));
    let complains = crew.control(&job.company, &complaint(&job));
    job.ops.extend([early, complains]);
    assert!(
        !sendable(&job),
        "a wrap before the complaint closes nothing"
    );

    let mut stranger = job.pen(5, 5);
    let strange = stranger.control(&job.company, &wrapped_again(&job));
    job.ops.push(strange.clone());
    let not_member = Judgement::Quarantined(Quarantine::NotMember);
    assert_eq!(job.judged(&strange), not_member);
    assert!(!sendable(&job));

    let mut foreman = job.pen(2, 1000);
    let good = foreman.control(&job.company, &wrapped_again(&job));
    job.ops.push(good.clone());
    assert_eq!(job.judged(&good), Judgement::Counted(Timeliness::Timely));
    assert!(sendable(&job));
    let control = job.control();
    assert_eq!(control.complaints.len(), 1);
    assert!(!control.complaints[0].is_open);
    let wraps: Vec<_> = control
        .wraps_again_of(&job.ops[2].id(), &job.company.crews[1])
        .collect();
    assert_eq!(wraps.len(), 2);

    crew.lamport = good.context().lamport;
    let once_more = crew.control(&job.company, &complaint(&job));
    job.ops.push(once_more);
    assert!(!sendable(&job));
    let mut shuffled = job.ops.clone();
    shuffled.reverse();
    let set = ThreadOps::new(job.thread, &shuffled);
    let control = kolonne_model::judge::control_state(&set, &job.company.roster);
    assert_eq!(control, job.control());
}
