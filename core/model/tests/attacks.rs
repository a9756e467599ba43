//! What a hostile author, an unlucky device or a hostile order of arrival could try, and what
//! must not come of it. Each of these failed once or stands where it easily could.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use kolonne_model::body::{Say, Seen, Set, field};
use kolonne_model::cbor;
use kolonne_model::control::{Admit, Complaint, Control, Erase, EraseReason, KeyMade, Wrong};
use kolonne_model::fold::{self, Shown};
use kolonne_model::ids::{Hash32, OpId, RosterDigest, RosterPosition};
use kolonne_model::judge::{Held, Ignored, Judgement, Quarantine, ThreadOps, Timeliness};
use kolonne_model::op::{MAX_LAMPORT_STEP, Unknown};
use kolonne_model::roster::Effect;
use kolonne_model::roster::change::{
    Change, CutOfThread, End, EndMode, Role, RosterBody, Subject, cut_list,
};
use kolonne_model::roster::part_hash;
use kolonne_model::roster::state::Void;
use kolonne_model::strand::VerifiedOp;
use support::{
    Company, Job, Pen, cut_at, key_made, members_in, members_out, say_text, seat_id, secret, store,
    without_payload,
};

const TIMELY: Judgement = Judgement::Counted(Timeliness::Timely);
const LATE: Judgement = Judgement::Counted(Timeliness::Late);
const NO_RIGHT: Judgement = Judgement::Quarantined(Quarantine::Right);

fn set(field: u16, subject: Option<OpId>, value: &str) -> Say {
    Say::Set(Set {
        field,
        subject: subject.map(|id| id.0.to_vec().into()),
        value: Some(value.into()),
        names: vec![],
    })
}

/// One ignored op must not lift the strand's lamport for the next one.
#[test]
fn an_ignored_jump_is_no_step_to_a_higher_lamport() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let before = pen.text(&job.company, &job.key, "vorher");
    let honest = pen.lamport;
    pen.lamport = u64::MAX - 10;
    let jump = pen.text(&job.company, &job.key, "Sprung");
    let behind = pen.text(&job.company, &job.key, "dahinter");
    pen.lamport = honest + MAX_LAMPORT_STEP - 1;
    let back = pen.text(&job.company, &job.key, "zurück");
    job.ops
        .extend([before.clone(), jump.clone(), behind.clone(), back.clone()]);
    assert_eq!(job.judged(&before), TIMELY);
    assert_eq!(job.judged(&jump), Judgement::Ignored(Ignored::Lamport));
    assert_eq!(job.judged(&behind), Judgement::Ignored(Ignored::Lamport));
    assert_eq!(job.judged(&back), TIMELY);
}

/// A copy without its payload must not hide one with it, whichever comes last.
#[test]
fn a_bare_copy_never_hides_a_payload() {
    let mut job = Job::new();
    let text = job.foreman.text(&job.company, &job.key, "da");
    let bare = without_payload(&text);
    for pair in [[text.clone(), bare.clone()], [bare, text.clone()]] {
        let ops: Vec<VerifiedOp> = job.ops.iter().cloned().chain(pair).collect();
        let view = job.fold_of(&ops);
        assert!(matches!(view.entries[0].shown, Shown::Said(_)));
    }
}

/// `seen` may only cover what is here without a gap: originals leave phones because of it.
#[test]
fn seen_covers_nothing_beyond_a_gap_or_without_its_payload() {
    let job = Job::new();
    let mut pen = job.pen(3, 3);
    let five: Vec<VerifiedOp> = (0..5)
        .map(|i| pen.text(&job.company, &job.key, &format!("Foto {i}")))
        .collect();
    let heads_of = |ops: &[&VerifiedOp]| {
        let ops: Vec<VerifiedOp> = job.ops.iter().chain(ops.iter().copied()).cloned().collect();
        let view = job.fold_of(&ops);
        fold::seen_heads(
            &ThreadOps::new(job.thread, &ops),
            &view,
            &seat_id(&job.foreman.key),
        )
        .into_iter()
        .map(|seen| seen.head)
        .collect::<Vec<_>>()
    };
    assert_eq!(heads_of(&[&five[0], &five[1], &five[4]]), [five[1].head()]);
    let bare = without_payload(&five[1]);
    assert_eq!(heads_of(&[&five[0], &bare, &five[2]]), [five[0].head()]);
    assert_eq!(heads_of(&[&five[4]]), []);
}

/// A `seen` head of one branch says nothing of another one.
#[test]
fn seen_of_one_branch_does_not_cover_its_fork() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let first = pen.text(&job.company, &job.key, "gemeinsam");
    let mut fork = pen.clone();
    let a2 = pen.text(&job.company, &job.key, "Ast a 2");
    let a3 = pen.text(&job.company, &job.key, "Ast a 3");
    fork.store = pen.store;
    let b2 = fork.text(&job.company, &job.key, "Ast b 2");
    let mut pc = Pen::new(&job.company.devices[0].key, job.thread, store(9));
    pc.lamport = 50;
    let seen = pc.data(
        &job.company,
        &job.key,
        Say::Seen(Seen {
            heads: vec![fold_head(&a3)],
            blobs: vec![],
        }),
    );
    job.ops
        .extend([first.clone(), a2.clone(), a3.clone(), b2.clone(), seen]);
    let view = job.fold();
    let at_office = |op: &VerifiedOp| view.at_office(&kolonne_model::judge::Order::of(op));
    assert!(at_office(&first) && at_office(&a2) && at_office(&a3));
    assert!(!at_office(&b2));
}

fn fold_head(op: &VerifiedOp) -> kolonne_model::body::SeenHead {
    kolonne_model::body::SeenHead {
        seat: op.context().seat,
        store: op.context().store,
        head: op.head(),
    }
}

/// Admission forgives a missing membership or certificate; it never lends a right.
#[test]
fn admission_lends_no_rights() {
    let mut job = Job::new();
    let victim = job.foreman.text(&job.company, &job.key, "bleibt");
    let mut stranger = job.pen(5, 5);
    let text = stranger.text(&job.company, &job.key, "ehrlich");
    let erase = stranger.control(
        &job.company,
        &Control::Erase(Erase {
            ops: vec![victim.id()],
            reason: EraseReason::Mistake,
            blobs: None,
            days: None,
        }),
    );
    let member = stranger.control(
        &job.company,
        &members_in(job.company.crews[2], vec![], vec![]),
    );
    let mut other = job.pen(4, 6);
    let more = other.text(&job.company, &job.key, "x");
    let admit_other = stranger.control(
        &job.company,
        &Control::Admit(Admit {
            through: vec![cut_at(&more)],
        }),
    );
    job.ops.extend([
        victim.clone(),
        text.clone(),
        erase.clone(),
        member.clone(),
        admit_other.clone(),
    ]);
    assert_eq!(
        job.judged(&text),
        Judgement::Quarantined(Quarantine::NotMember)
    );
    job.chief.lamport = 90;
    let admit = job.chief.control(
        &job.company,
        &Control::Admit(Admit {
            through: vec![cut_at(&admit_other)],
        }),
    );
    job.ops.push(admit.clone());
    assert_eq!(job.judged(&admit), TIMELY);
    assert_eq!(job.judged(&text), LATE);
    for op in [&erase, &member, &admit_other] {
        assert_eq!(job.judged(op), NO_RIGHT);
    }
    let view = job.fold();
    assert!(view.control.erased.is_empty());
    assert!(!view.control.members.contains_key(&job.company.crews[2]));
}

/// A key made by someone for a list without himself would let him read after he has gone.
#[test]
fn a_key_for_others_only_is_not_sent_under() {
    let mut job = Job::new();
    let own = job
        .control()
        .key_to_send(&job.company.roster)
        .unwrap()
        .order
        .id;
    assert_eq!(own, job.ops[2].id());
    // Crew B's man makes a key for the list as it will be without crew B, then goes.
    let mut gone = job.clone();
    gone.ops.remove(1);
    let without_b = key_made(&job.company, &job.thread, &gone.control(), &secret(66));
    let mut pen = job.pen(3, 3);
    let trap = pen.control(&job.company, &without_b);
    job.foreman.lamport = 80;
    let out = job.foreman.control(
        &job.company,
        &members_out(
            job.company.crews[1],
            vec![cut_at(&trap)],
            vec![job.ops[1].id().short()],
        ),
    );
    job.ops.extend([trap.clone(), out]);
    assert_eq!(job.judged(&trap), NO_RIGHT);
    assert!(job.control().key_to_send(&job.company.roster).is_none());
}

/// Only who speaks for a ring can say that its wrap is wrong.
#[test]
fn a_complaint_is_of_ones_own_wrap() {
    let mut job = Job::new();
    let key_op = job.ops[2].id();
    let complaint = |ring| {
        Control::Complaint(Complaint {
            key_op,
            ring,
            wrong: Wrong::AnotherKey,
        })
    };
    let mut pen = job.pen(3, 3);
    let foreign = pen.control(&job.company, &complaint(job.company.crews[0]));
    job.ops.push(foreign.clone());
    assert_eq!(job.judged(&foreign), NO_RIGHT);
    assert!(job.control().key_to_send(&job.company.roster).is_some());
    let own = pen.control(&job.company, &complaint(job.company.crews[1]));
    job.ops.push(own.clone());
    assert_eq!(job.judged(&own), TIMELY);
    assert!(job.control().key_to_send(&job.company.roster).is_none());
}

/// Of several outs the strictest holds on every branch, whichever op's id is smaller.
#[test]
fn several_outs_hold_on_each_branch() {
    for n in 0..8 {
        let mut job = Job::new();
        let mut pen = job.pen(3, 30 + n);
        let one = pen.text(&job.company, &job.key, "1");
        let mut fork = pen.clone();
        let a2 = pen.text(&job.company, &job.key, "a2");
        let a3 = pen.text(&job.company, &job.key, "a3");
        let b2 = fork.text(&job.company, &job.key, "b2");
        let b3 = fork.text(&job.company, &job.key, "b3");
        let names = vec![job.ops[1].id().short()];
        job.chief.store = store(200 + n);
        job.chief.lamport = 60;
        let crew = job.company.crews[1];
        let first = vec![cut_at(&a2), cut_at(&b3)];
        let out_1 = job
            .chief
            .control(&job.company, &members_out(crew, first, names.clone()));
        let out_2 = job
            .foreman
            .control(&job.company, &members_out(crew, vec![cut_at(&a3)], names));
        job.ops.extend([&one, &a2, &a3, &b2, &b3].map(Clone::clone));
        job.ops.extend([out_1, out_2]);
        for counts in [&one, &a2] {
            assert_eq!(job.judged(counts), LATE);
        }
        for not in [&a3, &b2, &b3] {
            assert_eq!(
                job.judged(not),
                Judgement::Quarantined(Quarantine::NotMember)
            );
        }
    }
}

/// What lies erased and what is gone look the same, keys too.
#[test]
fn erased_looks_the_same_whether_it_lies_or_is_gone() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    let text = pen.text(&job.company, &job.key, "weg");
    let mut stranger = job.pen(5, 5);
    let made = key_made(&job.company, &job.thread, &job.control(), &secret(5));
    let key_op = stranger.control(&job.company, &made);
    job.chief.lamport = 70;
    let erase = job.chief.control(
        &job.company,
        &Control::Erase(Erase {
            ops: vec![text.id(), key_op.id()],
            reason: EraseReason::PersonalData,
            blobs: None,
            days: None,
        }),
    );
    job.ops.push(erase);
    let lies: Vec<VerifiedOp> = job
        .ops
        .iter()
        .cloned()
        .chain([text.clone(), key_op.clone()])
        .collect();
    let gone: Vec<VerifiedOp> = job
        .ops
        .iter()
        .cloned()
        .chain([without_payload(&text), without_payload(&key_op)])
        .collect();
    assert_eq!(job.fold_of(&lies), job.fold_of(&gone));
    assert_eq!(job.fold_of(&lies).entries[0].shown, Shown::Erased);
}

/// An erase names data or key ops; members, admissions and erasures stay.
#[test]
fn other_control_ops_cannot_be_erased() {
    let mut job = Job::new();
    let member = job.ops[1].clone();
    job.chief.lamport = 70;
    let erase = job.chief.control(
        &job.company,
        &Control::Erase(Erase {
            ops: vec![member.id(), job.ops[0].id()],
            reason: EraseReason::Mistake,
            blobs: None,
            days: None,
        }),
    );
    let again = job.chief.control(
        &job.company,
        &Control::Erase(Erase {
            ops: vec![erase.id()],
            reason: EraseReason::Mistake,
            blobs: None,
            days: None,
        }),
    );
    job.ops.extend([erase, again]);
    let view = job.fold();
    assert!(view.control.erased.is_empty());
    assert!(view.control.members.contains_key(&job.company.crews[1]));
}

/// Words written about an erased or withheld entry by others must not stand in its place.
#[test]
fn nobody_puts_words_into_an_entry_that_is_not_here() {
    let mut job = Job::new();
    let text = job.foreman.text(&job.company, &job.key, "Original");
    let mut pen = job.pen(3, 3);
    let forged = pen.data(
        &job.company,
        &job.key,
        set(field::ENTRY_TEXT, Some(text.id()), "untergeschoben"),
    );
    job.ops.push(forged);
    let ops: Vec<VerifiedOp> = job
        .ops
        .iter()
        .cloned()
        .chain([without_payload(&text)])
        .collect();
    let view = job.fold_of(&ops);
    assert_eq!(view.entries[0].shown, Shown::Withheld);
    assert_eq!(view.entries[0].words, None);
}

/// A device seat writes no content: its bare or newer ops make no entries.
#[test]
fn device_seats_make_no_entries() {
    let mut job = Job::new();
    let mut pc = Pen::new(&job.company.devices[0].key, job.thread, store(9));
    let seen = pc.data(
        &job.company,
        &job.key,
        Say::Seen(Seen {
            heads: vec![],
            blobs: vec![],
        }),
    );
    let newer = pc.data(&job.company, &job.key, Say::Unknown(900));
    job.ops.extend([without_payload(&seen), newer.clone()]);
    assert_eq!(job.judged(&newer), Judgement::Ignored(Ignored::UnknownKind));
    assert!(job.fold().entries.is_empty());
}

/// A newer kind of someone without the right stops nobody's roster.
#[test]
fn only_who_has_the_right_makes_the_roster_wait_for_a_newer_app() {
    let mut job = Job::new();
    let crew = job.company.people[3].key.clone();
    let (effect, _) = append_unknown(&mut job.company, &crew, Unknown::MustBeUnderstood);
    assert_eq!(effect, Effect::Void(Void::Right));
    assert!(!job.company.roster.needs_newer_app());
    let text = job.foreman.text(&job.company, &job.key, "weiter");
    job.ops.push(text.clone());
    assert_eq!(job.judged(&text), TIMELY);

    let chief = job.company.people[0].key.clone();
    let (effect, _) = append_unknown(&mut job.company, &chief, Unknown::MustBeUnderstood);
    assert_eq!(effect, Effect::Void(Void::Newer));
    assert!(job.company.roster.needs_newer_app());
    // What names an earlier position goes on; what names this one or a later one waits.
    assert_eq!(job.judged(&text), TIMELY);
    let later = job.foreman.text(&job.company, &job.key, "wartet");
    job.ops.push(later.clone());
    assert_eq!(job.judged(&later), Judgement::Held(Held::NewerApp));
    assert_eq!(
        job.company
            .roster
            .draft(&support::public(&chief), 99, 0, vec![]),
        Err(Void::Newer)
    );
}

/// Nor does one of a member stop a thread: no key could be made there and no member taken out.
#[test]
fn only_who_may_change_members_makes_a_thread_wait_for_a_newer_app() {
    let mut job = Job::new();
    let mut crew = job.pen(3, 3);
    crew.unknown = Unknown::MustBeUnderstood;
    let newer = crew.control(&job.company, &Control::Unknown(900));
    job.ops.push(newer.clone());
    assert_eq!(job.judged(&newer), Judgement::Held(Held::NewerApp));
    assert!(!job.control().needs_newer_app);
    let mut office = job.pen(1, 4);
    office.unknown = Unknown::MustBeUnderstood;
    job.ops
        .push(office.control(&job.company, &Control::Unknown(900)));
    assert!(job.control().needs_newer_app);
}

fn append_unknown(
    company: &mut Company,
    by: &ed25519_dalek::SigningKey,
    unknown: Unknown,
) -> (Effect, RosterDigest) {
    let mut context = company.roster_context(by);
    context.class.unknown = unknown;
    let digest = RosterDigest(support::bytes("newer digest", context.seq.into()));
    let body = cbor::encode(&RosterBody {
        digest_after: digest,
        changes: vec![Change::Unknown(900)],
    });
    let op = company.sign_roster_op(by, context, &body);
    (company.append(op), digest)
}

/// A newer kind that may be passed over leaves the roster readable: the digests that newer apps
/// state are the ones that ops name from then on.
#[test]
fn a_passed_over_kind_does_not_cut_older_apps_off() {
    let mut job = Job::new();
    let chief = job.company.people[0].key.clone();
    let (effect, digest) = append_unknown(&mut job.company, &chief, Unknown::MayBePassedOver);
    assert_eq!(effect, Effect::Applied);
    assert_eq!(job.company.roster.head().1, digest);
    let text = job.foreman.text(&job.company, &job.key, "weiter");
    job.ops.push(text.clone());
    assert_eq!(job.judged(&text), TIMELY);
    // A later op of a newer app applies as well.
    let (effect, digest) = append_unknown(&mut job.company, &chief, Unknown::MayBePassedOver);
    assert_eq!(effect, Effect::Applied);
    assert_eq!(job.company.roster.head().1, digest);
    // This app can't state a digest it can't compute.
    let draft = job
        .company
        .roster
        .draft(&support::public(&chief), 99, 0, vec![]);
    assert_eq!(draft, Err(Void::Newer));
}

/// Who isn't an admin makes no seat and no keys in an office person's name.
#[test]
fn the_office_cannot_pose_as_an_admin() {
    let mut company = Company::found();
    let office = company.people[1].key.clone();
    let admin = company.people[0].ring;
    let phone = company.devices[3].id;
    let (_, seat) = support::seat_cert(77, phone, admin, Role::Foreman);
    let generation = support::next_generation(&company.roster, admin, 7);
    for change in [seat.clone(), generation] {
        let draft = company
            .roster
            .draft(&support::public(&office), 50, 0, vec![change.clone()]);
        assert_eq!(draft, Err(Void::Right));
        let chief = company.people[0].key.clone();
        assert_eq!(company.change(&chief, vec![change]), Effect::Applied);
    }
    let crew = company.people[3].ring;
    let (_, seat) = support::seat_cert(78, phone, crew, Role::Foreman);
    assert_eq!(company.change(&office, vec![seat]), Effect::Applied);
}

/// Cuts on long strands stay cheap, however many ops and cuts there are.
#[test]
fn many_ops_behind_many_cuts_stay_cheap() {
    let mut job = Job::new();
    let mut pen = job.pen(5, 5);
    let ops: Vec<VerifiedOp> = (0..6000)
        .map(|i| pen.text(&job.company, &job.key, &i.to_string()))
        .collect();
    job.chief.lamport = 9000;
    for cut in ops.iter().step_by(100) {
        let admit = Control::Admit(Admit {
            through: vec![cut_at(cut)],
        });
        job.ops.push(job.chief.control(&job.company, &admit));
    }
    job.ops.extend(ops);
    let start = std::time::Instant::now();
    let view = job.fold();
    let took = start.elapsed();
    assert_eq!(view.entries.len(), 5901);
    println!("fold of 6,000 ops behind 60 cuts: {took:?}");
    assert!(took.as_millis() < 2000, "{took:?}");
}

/// A thread as most are: no cuts, many texts. And a firm of 500 phones.
#[test]
fn a_common_thread_and_a_large_roster_take_little() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    for i in 0..2000 {
        job.ops
            .push(pen.text(&job.company, &job.key, &i.to_string()));
    }
    job.keyring.open(&job.ops);
    let start = std::time::Instant::now();
    let ops = ThreadOps::new(job.thread, &job.ops);
    let view = fold::fold(&ops, &job.company.roster, &job.keyring);
    println!("fold of 2,000 texts: {:?}", start.elapsed());
    assert_eq!(view.entries.len(), 2000);

    let chief = job.company.people[0].key.clone();
    let mut company = Company::found();
    for n in 0..500 {
        let crew = company.crews[0];
        let (_, mut changes) = support::device_cert(
            10_000 + n,
            kolonne_model::roster::change::DeviceKind::Phone,
            Some(crew),
        );
        changes.push(Change::Wraps(kolonne_model::roster::change::RingWraps {
            ring: crew,
            generation: 1,
            wraps: vec![kolonne_model::roster::change::Wrap {
                to: support::bytes("to", n),
                file: vec![7; 300].into(),
            }],
        }));
        company.change(&chief, changes);
    }
    let start = std::time::Instant::now();
    let roster = company.roster_at(company.roster_ops.len());
    let took = start.elapsed();
    println!("roster of {} ops: {took:?}", roster.links().len());
    assert!(took.as_secs() < 10, "{took:?}");
}

/// Several ends of one seat: each has to let an op through, in whatever order they stand.
#[test]
fn several_ends_all_hold() {
    for swap in [false, true] {
        let mut job = Job::new();
        let mut pen = job.pen(3, 3);
        let ops: Vec<VerifiedOp> = (0..4)
            .map(|i| pen.text(&job.company, &job.key, &i.to_string()))
            .collect();
        job.ops.extend(ops.clone());
        let end = |subject, upto: &VerifiedOp| {
            let list = cut_list(&[kolonne_model::ids::StrandHead {
                strand: upto.strand(),
                head: upto.head(),
            }]);
            let end = Change::End(End {
                subject,
                mode: EndMode::Hard,
                cuts: vec![CutOfThread {
                    thread: job.thread,
                    list: part_hash(&list),
                }],
                more: None,
            });
            (end, list)
        };
        let mut ends = [
            end(Subject::Seat(seat_id(&pen.key)), &ops[2]),
            end(Subject::Device(job.company.devices[3].id), &ops[1]),
        ];
        if swap {
            ends.reverse();
        }
        let chief = job.company.people[0].key.clone();
        for (end, _) in &ends {
            job.company.change(&chief, vec![end.clone()]);
        }
        for op in &ops {
            assert_eq!(job.judged(op), Judgement::Held(Held::CutList));
        }
        for (_, list) in &ends {
            job.company.roster.add_part(list);
        }
        let judged: Vec<Judgement> = ops.iter().map(|op| job.judged(op)).collect();
        let cut = Judgement::Quarantined(Quarantine::Cut);
        assert_eq!(judged, [TIMELY, TIMELY, cut, cut]);
    }
}

/// An admission by someone ended is itself admitted, and then what it admits.
#[test]
fn admissions_of_admissions_do_not_depend_on_order() {
    for n in 0..6 {
        let mut job = Job::new();
        let mut stranger = job.pen(5, 50 + n);
        let text = stranger.text(&job.company, &job.key, "hallo");
        let mut office = job.pen(1, 60 + n);
        let admits = office.control(
            &job.company,
            &Control::Admit(Admit {
                through: vec![cut_at(&text)],
            }),
        );
        job.ops.extend([text.clone(), admits.clone()]);
        let chief = job.company.people[0].key.clone();
        job.company.change(
            &chief,
            vec![Change::End(End {
                subject: Subject::Seat(seat_id(&office.key)),
                mode: EndMode::Hard,
                cuts: vec![],
                more: None,
            })],
        );
        assert_eq!(job.judged(&admits), Judgement::Quarantined(Quarantine::Cut));
        assert_eq!(
            job.judged(&text),
            Judgement::Quarantined(Quarantine::NotMember)
        );
        job.chief.store = store(300 + n);
        job.chief.lamport = 90;
        let admit = job.chief.control(
            &job.company,
            &Control::Admit(Admit {
                through: vec![cut_at(&admits)],
            }),
        );
        job.ops.push(admit);
        assert_eq!(job.judged(&admits), LATE);
        assert_eq!(job.judged(&text), LATE);
    }
}

/// Extreme values neither panic nor count.
#[test]
fn extreme_values_are_judged_like_any() {
    let mut job = Job::new();
    let mut pen = job.pen(3, 3);
    pen.seq = u32::MAX - 1;
    pen.previous = OpId([7; 32]);
    pen.lamport = u64::MAX - 1;
    pen.roster = Some((RosterPosition(u32::MAX), RosterDigest([9; 32])));
    let far = pen.text(&job.company, &job.key, "weit");
    let mut reply = job.pen(4, 4);
    reply.lamport = u64::MAX - 1;
    let answer = reply.data(&job.company, &job.key, say_text("a", Some(far.id())));
    job.chief.lamport = u64::MAX - 1;
    let out = job.chief.control(
        &job.company,
        &members_out(
            job.company.crews[1],
            vec![cut_at(&far)],
            vec![OpId::ZERO.short()],
        ),
    );
    job.ops.extend([far.clone(), answer, out]);
    assert_eq!(job.judged(&far), Judgement::Held(Held::Predecessor));
}

/// An empty list of rings, a ring twice, a file that isn't there: nothing breaks.
#[test]
fn odd_key_ops_are_not_sent_under() {
    let mut job = Job::new();
    let empty = Control::KeyMade(KeyMade {
        hash: Hash32([1; 32]),
        rings: vec![],
        files: vec![],
        seals: vec![],
    });
    let op = job.foreman.control(&job.company, &empty);
    job.ops.push(op.clone());
    assert_eq!(job.judged(&op), NO_RIGHT);
    assert_eq!(
        job.control()
            .key_to_send(&job.company.roster)
            .unwrap()
            .order
            .id,
        job.ops[2].id()
    );
}
