//! Locks of seats: who may tell of one, and who opens it.

#![allow(clippy::indexing_slicing)]

mod support;

use kolonne_model::body::{Body, Say, SeatLocked, SeatUnlocked, Set, WantedSeat, field};
use kolonne_model::ids::SeatId;
use kolonne_model::judge::{Judgement, Quarantine, Timeliness};
use kolonne_model::roster::change::Recipient;
use kolonne_model::strand::VerifiedOp;
use support::{Job, Pen, public, store};

const TIMELY: Judgement = Judgement::Counted(Timeliness::Timely);
const NO_RIGHT: Judgement = Judgement::Quarantined(Quarantine::Right);

/// The phone of crew B as its own seat.
fn phone(job: &Job) -> Pen {
    let mut pen = Pen::new(&job.company.devices[3].key, job.thread, store(9));
    pen.lamport = 50;
    pen
}

/// What a device tells of the lock of a seat.
fn told(seat: SeatId, answer_to: Option<Recipient>) -> Say {
    Say::Locked(Box::new(SeatLocked {
        seat,
        share: Some(vec![1; 200].into()),
        answer_to,
        wanted: None,
    }))
}

/// A device tells of the locks of its own people's seats only, and no person tells of any.
#[test]
fn a_device_speaks_of_its_own_seats_locks_only() {
    let mut job = Job::new();
    let own = job.company.people[3].seat();
    let other = job.company.people[0].seat();
    let mut phone = phone(&job);
    let to = Some(Recipient::x25519([9; 32]));
    let mine = phone.data(&job.company, &job.key, told(own, to.clone()));
    let foreign = phone.data(&job.company, &job.key, told(other, to.clone()));
    let itself = phone.data(
        &job.company,
        &job.key,
        told(job.company.devices[3].seat(), to.clone()),
    );
    let by_person = job.pen(3, 3).data(&job.company, &job.key, told(own, to));
    job.ops.extend([
        mine.clone(),
        foreign.clone(),
        itself.clone(),
        by_person.clone(),
    ]);
    assert_eq!(job.judged(&mine), TIMELY);
    for op in [&foreign, &itself, &by_person] {
        assert_eq!(job.judged(op), NO_RIGHT, "{op:?}");
    }
    let view = job.fold();
    assert_eq!(view.seat_locks.len(), 1);
    assert!(view.seat_locks[&own].is_locked().is_some());
    assert!(view.entries.is_empty(), "locks are no entries");
}

/// Only the office gives a share back, and its answer opens the lock that it names and no later one.
#[test]
fn only_the_office_unlocks_and_only_the_lock_it_names() {
    let mut job = Job::new();
    let seat = job.company.people[3].seat();
    let mut phone = phone(&job);
    let to = |byte| Some(Recipient::x25519([byte; 32]));
    let first = phone.data(&job.company, &job.key, told(seat, to(9)));
    let answer = |locked: &VerifiedOp| {
        Say::Unlocked(Box::new(SeatUnlocked {
            seat,
            locked: locked.id(),
            share: vec![2; 200].into(),
        }))
    };
    let by_foreman = job.foreman.data(&job.company, &job.key, answer(&first));
    let by_device = phone.data(&job.company, &job.key, answer(&first));
    job.ops
        .extend([first.clone(), by_foreman.clone(), by_device.clone()]);
    for op in [&by_foreman, &by_device] {
        assert_eq!(job.judged(op), NO_RIGHT);
    }
    assert!(job.fold().seat_locks[&seat].is_locked().is_some());
    let mut office = job.pen(1, 4);
    let by_office = office.data(&job.company, &job.key, answer(&first));
    job.ops.push(by_office.clone());
    assert_eq!(job.judged(&by_office), TIMELY);
    assert!(job.fold().seat_locks[&seat].is_locked().is_none());
    let second = phone.data(&job.company, &job.key, told(seat, to(8)));
    job.ops.push(second);
    assert!(job.fold().seat_locks[&seat].is_locked().is_some());
}

/// How long a seat may stay open unused is the office's to say.
#[test]
fn only_the_office_says_when_seats_lock() {
    let mut job = Job::new();
    let set = |minutes: &str| {
        Say::Set(Set {
            field: field::AUTO_LOCK,
            subject: None,
            value: Some(minutes.to_owned()),
            names: vec![],
        })
    };
    let (mut office, mut foreman) = (job.pen(1, 4), job.pen(2, 5));
    let by_office = office.data(&job.company, &job.key, set("3"));
    let by_foreman = foreman.data(&job.company, &job.key, set("600"));
    job.ops.extend([by_office.clone(), by_foreman.clone()]);
    assert_eq!(job.judged(&by_office), TIMELY);
    assert_eq!(job.judged(&by_foreman), NO_RIGHT);
    let field = &job.fold().fields[&(field::AUTO_LOCK, vec![])];
    assert_eq!(field.value.as_deref(), Some("3"));
}

#[test]
fn locks_read_back() {
    let key = public(&job_key());
    for say in [
        told(SeatId([1; 16]), None),
        told(SeatId([1; 16]), Some(Recipient::x25519([9; 32]))),
        Say::Locked(Box::new(SeatLocked {
            seat: SeatId([1; 16]),
            share: None,
            answer_to: None,
            wanted: Some(WantedSeat {
                key,
                recipient: Recipient::x25519([8; 32]),
            }),
        })),
    ] {
        let body = Body {
            offset_s: None,
            say,
        };
        assert_eq!(Body::read(&body.to_bytes()), Ok(body));
    }
}

fn job_key() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[3; 32])
}
