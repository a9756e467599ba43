//! Direct threads: their own people let in what an end keeps back, and nobody else, and nothing else.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use kolonne_model::control::{Admit, Control};
use kolonne_model::ids::StrandHead;
use kolonne_model::judge::{Judgement, Quarantine, Timeliness};
use kolonne_model::roster::Effect;
use kolonne_model::roster::change::{Change, CutOfThread, End, EndMode, Role, Subject, cut_list};
use kolonne_model::roster::part_hash;
use kolonne_model::strand::VerifiedOp;
use support::*;

const TIMELY: Judgement = Judgement::Counted(Timeliness::Timely);
const LATE: Judgement = Judgement::Counted(Timeliness::Late);
const CUT: Judgement = Judgement::Quarantined(Quarantine::Cut);

fn admit(last: &VerifiedOp) -> Control {
    let through = vec![cut_at(last)];
    Control::Admit(Admit { through })
}

/// Ends a person's phone at what is here.
fn end_at(job: &mut Job, person: usize, mode: EndMode, heads: &[&VerifiedOp]) {
    let heads: Vec<StrandHead> = heads
        .iter()
        .map(|op| StrandHead {
            strand: op.strand(),
            head: op.head(),
        })
        .collect();
    let list = cut_list(&heads);
    let chief = job.company.people[0].key.clone();
    let end = Change::End(End {
        subject: Subject::Seat(job.company.people[person].seat()),
        mode,
        cuts: vec![CutOfThread {
            thread: job.thread,
            list: part_hash(&list),
        }],
        more: None,
    });
    assert_eq!(job.company.change(&chief, vec![end]), Effect::Applied);
    job.company.roster.add_part(&list);
}

#[test]
fn the_people_of_a_direct_thread_let_in_what_an_end_keeps_back() {
    for mode in [EndMode::Hard, EndMode::Soft] {
        let mut job = Job::direct();
        let mut lost = job.pen(3, 3);
        let before = lost.text(&job.company, &job.key, "da");
        end_at(&mut job, 3, mode, &[&before]);
        // Soft ends keep back what names them.
        let after = lost.text(&job.company, &job.key, "unterwegs geschrieben");
        let member = job.company.crews[2];
        let change = lost.control(&job.company, &members_in(member, vec![], vec![]));
        let mut other = job.pen(4, 4);
        let own_admit = lost.control(&job.company, &admit(&after));
        job.ops
            .extend([&before, &after, &change, &own_admit].map(Clone::clone));
        assert!(matches!(job.judged(&before), Judgement::Counted(_)));
        assert!(matches!(job.judged(&after), Judgement::Quarantined(_)));

        // One of the others, an ordinary worker; his own rights may end afterwards.
        let let_in = other.control(&job.company, &admit(&own_admit));
        job.ops.push(let_in.clone());
        for later_end in [false, true] {
            if later_end {
                end_at(&mut job, 4, EndMode::Soft, &[]);
            }
            assert!(matches!(job.judged(&let_in), Judgement::Counted(_)));
            assert_eq!(job.judged(&after), LATE);
            // Words alone: who is in the thread isn't changed by it.
            for op in [&change, &own_admit] {
                assert!(matches!(job.judged(op), Judgement::Quarantined(_)));
            }
            assert!(!job.control().members.contains_key(&member));
        }
    }
}

#[test]
fn nobody_lets_himself_in_to_a_direct_thread() {
    let mut job = Job::direct();
    let mut thief = job.pen(3, 3);
    let mut friend = job.pen(4, 4);
    let mut stranger = job.pen(5, 5);
    // Signed ahead, by himself and by another seat, before anybody knew.
    let mut ahead = thief.clone();
    let pushed = thief.text(&job.company, &job.key, "vor dem Ende");
    ahead.seq = thief.seq;
    ahead.previous = thief.previous;
    ahead.lamport = thief.lamport;
    let late = ahead.text(&job.company, &job.key, "nach dem Ende");
    let mut second = thief.clone();
    second.store = store(33);
    (second.seq, second.previous) = (0, kolonne_model::ids::OpId::ZERO);
    let by_himself = second.control(&job.company, &admit(&late));
    let by_a_friend = friend.control(&job.company, &admit(&late));
    let roster_before = job.company.roster.head();
    end_at(&mut job, 3, EndMode::Hard, &[&pushed, &by_himself]);
    job.ops
        .extend([&pushed, &by_himself, &by_a_friend, &late].map(Clone::clone));
    assert_eq!(job.judged(&by_himself), TIMELY);
    assert_eq!(job.judged(&by_a_friend), TIMELY);
    assert_eq!(job.judged(&late), CUT, "they knew of no end");

    // Nor who is no member, be it with a role of the office; nor a device's own seat.
    let by_a_stranger = stranger.control(&job.company, &admit(&late));
    let mut computer = Pen::new(&job.company.devices[1].key, job.thread, store(7));
    computer.lamport = stranger.lamport;
    let by_a_computer = computer.control(&job.company, &admit(&late));
    job.ops
        .extend([by_a_stranger.clone(), by_a_computer.clone()]);
    for op in [&by_a_stranger, &by_a_computer] {
        assert_eq!(
            job.judged(op),
            Judgement::Quarantined(Quarantine::NotMember)
        );
    }
    let chief = job.company.people[0].key.clone();
    let seat = job.company.people[5].seat();
    let raise = Change::Role(kolonne_model::roster::change::RoleChange {
        seat,
        role: Role::Admin,
    });
    assert_eq!(job.company.change(&chief, vec![raise]), Effect::Applied);
    let by_an_admin = stranger.control(&job.company, &admit(&late));
    job.ops.push(by_an_admin.clone());
    assert_eq!(
        job.judged(&by_an_admin),
        Judgement::Quarantined(Quarantine::NotMember)
    );
    assert_eq!(job.judged(&late), CUT);

    // What he writes to let himself in after the end is beyond the cut itself.
    second.roster = Some(roster_before);
    let again = second.control(&job.company, &admit(&late));
    job.ops.push(again.clone());
    assert_eq!(job.judged(&again), CUT);

    // And nobody lets in a stranger's words, ended or not.
    let words = stranger.text(&job.company, &job.key, "fremd");
    let let_in = job.chief.control(&job.company, &admit(&words));
    job.ops.extend([words.clone(), let_in]);
    assert_eq!(
        job.judged(&words),
        Judgement::Quarantined(Quarantine::NotMember)
    );

    // A friend who knows of the end can.
    let knows = friend.control(&job.company, &admit(&late));
    job.ops.push(knows);
    assert_eq!(job.judged(&late), LATE);
}
