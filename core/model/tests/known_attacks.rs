//! Attacks that are known from elsewhere, each tried with the attacker's own client: what it signs
//! is well formed, and what it may not do changes nothing on any device.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod support;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use ed25519_dalek::SigningKey;
use kolonne_model::body::{Say, Seen, SeenHead};
use kolonne_model::control::ThreadKind;
use kolonne_model::enrol::{
    self, Answer, Code, EnrolError, Grant, OneTimeSecret, Opening, PhoneKeys, Transcript,
};
use kolonne_model::ids::{Hash32, PublicKey};
use kolonne_model::judge::{Held, Judgement, Quarantine, ThreadOps, Timeliness, control_state};
use kolonne_model::payload::{self, PayloadError};
use kolonne_model::roster::change::{
    Change, DeviceKind, Move, Recipient, RingKind, Role, RoleChange,
};
use kolonne_model::roster::state::Void;
use kolonne_model::roster::{Effect, Named, Roster, RosterRefusal};
use kolonne_model::strand::VerifiedOp;
use kolonne_model::x25519;
use support::*;

const COUNTED: Judgement = Judgement::Counted(Timeliness::Timely);

#[test]
fn nobody_but_the_founder_opens_where_names_and_policies_hold() {
    let company = Company::found();
    let opening_by = |person: usize| {
        let key = company.people[person].key.clone();
        // An early clock and a low order: whatever a device would pick the company's thread by.
        let (pen, op) = company.open(&key, ThreadKind::Company, company.crews[1], person as u64);
        let ops = [op];
        let control = control_state(&ThreadOps::new(pen.thread, &ops), &company.roster);
        control.opening.map(|opening| opening.opened.kind)
    };
    assert_eq!(opening_by(0), Some(ThreadKind::Company));
    for person in 1..company.people.len() {
        assert_eq!(opening_by(person), None, "{person}");
    }
}

#[test]
fn a_ring_that_nobody_can_seal_to_is_no_ring() {
    let mut company = Company::found();
    let office = company.people[1].key.clone();
    for weak in x25519::LOW_ORDER {
        let mut respelled = weak;
        respelled[31] |= 0x80;
        for key in [weak, respelled] {
            let (_, ring) = ring(RingKind::Crew, Recipient::x25519(key));
            let context = company.roster_context(&office);
            let body = kolonne_model::roster::change::RosterBody {
                digest_after: company.roster.head().1,
                changes: vec![ring],
            };
            let body = kolonne_model::cbor::encode(&body);
            let op = company.sign_roster_op(&office, context, &body);
            assert_eq!(company.append(op), Effect::Void(Void::Contradiction));
        }
    }
    // A newer generation of the office's ring would have stopped every thread of the company.
    let mut next = next_generation(&company.roster, company.office, 1);
    if let Change::Ring(ring) = &mut next {
        ring.recipient = Recipient::x25519([0; 32]);
    }
    let drafted = company.roster.draft(&public(&office), 99, 0, vec![next]);
    assert_eq!(drafted.err(), Some(Void::Contradiction));
}

#[test]
fn a_strand_that_the_hub_keeps_back_is_missed() {
    let mut job = Job::new();
    let mut crew = job.pen(3, 3);
    let kept_back = crew.text(&job.company, &job.key, "Der Keller steht unter Wasser");
    let pc = job.company.devices[0].key.clone();
    let mut pc = Pen::new(&pc, job.thread, store(700));
    pc.lamport = crew.lamport;
    let seen = Say::Seen(Seen {
        heads: vec![SeenHead {
            seat: kept_back.context().seat,
            store: kept_back.context().store,
            head: kept_back.head(),
        }],
        blobs: vec![],
    });
    let seen = pc.data(&job.company, &job.key, seen);
    job.ops.push(seen);
    // Nothing of the whole strand came, no gap shows; but the office has it.
    let view = job.fold();
    assert_eq!(view.waiting_and_quarantined(), (0, 0));
    let lacking: Vec<_> = view.lacking.iter().map(|seen| seen.head).collect();
    assert_eq!(lacking, [kept_back.head()]);
    job.ops.push(kept_back);
    assert!(job.fold().lacking.is_empty());
}

#[test]
fn a_ghost_that_the_hub_writes_is_held_and_changes_nothing() {
    let mut job = Job::new();
    let before = job.control();
    let ghost = signing("ghost", 1);
    let mut pen = Pen::new(&ghost, job.thread, store(66));
    pen.lamport = 50;
    let ring = recipient("ghost", 1).ring();
    let joins = pen.control(&job.company, &members_in(ring, vec![], vec![]));
    let key = key_made(&job.company, &job.thread, &before, &secret(66));
    let key = pen.control(&job.company, &key);
    let text = pen.text(&job.company, &secret(66).thread_key(), "Ich bin auch da");
    let (thread, company) = (job.thread, job.company.clone());
    job.keyring.hold(&company, &thread, &secret(66));
    job.ops.extend([joins.clone(), key.clone(), text.clone()]);
    let view = job.fold();
    for op in [&joins, &key, &text] {
        assert_eq!(
            view.judgements[&op.id()],
            Judgement::Held(Held::Certificate)
        );
    }
    assert_eq!(view.control.members, before.members);
    assert!(view.entries.is_empty());
    let sent_under = view.control.key_to_send(&job.company.roster).unwrap();
    assert_eq!(sent_under.maker, job.foreman.key_seat());
}

impl Pen {
    fn key_seat(&self) -> kolonne_model::ids::SeatId {
        seat_id(&self.key)
    }
}

fn verify(roster: &Roster, op: &VerifiedOp) -> Result<VerifiedOp, RosterRefusal> {
    let page = page_of(&[op]);
    let received = kolonne_model::page::read(&page).unwrap().remove(0);
    let received = received
        .resolve(&roster.company(), &kolonne_model::page::NoBases)
        .unwrap();
    roster.verify(received)
}

#[test]
fn a_roster_rolled_back_cut_off_or_out_of_order_passes_for_nothing() {
    let mut job = Job::new();
    let chief = job.company.people[0].key.clone();
    let knew = job.company.roster.head();
    let moved = Change::Move(Move {
        device: job.company.devices[3].id,
        crew: Some(job.company.crews[2]),
    });
    assert_eq!(job.company.change(&chief, vec![moved]), Effect::Applied);
    let len = job.company.roster_ops.len();
    let short = job.company.roster_at(len - 1);

    // Who knows the newer one takes no older link again, and none before its turn.
    for old in &job.company.roster_ops {
        assert_eq!(
            verify(&job.company.roster, old).err(),
            Some(RosterRefusal::NotNext)
        );
    }
    let early = job.company.roster_at(len - 2);
    assert_eq!(
        verify(&early, job.company.roster_ops.last().unwrap()).err(),
        Some(RosterRefusal::NotNext)
    );
    // Who was shown a shorter one waits with all that names the newer: nothing is judged by the
    // old rights, and a code that names the newer isn't taken.
    let mut pen = job.pen(0, 1);
    let text = pen.text(&job.company, &job.key, "Ab heute gilt es anders");
    job.ops.push(text.clone());
    let current = job.company.roster.clone();
    let (position, digest) = current.head();
    assert_eq!(short.named(position, &digest), Named::NotHereYet);
    job.company.roster = short.clone();
    assert_eq!(job.judged(&text), Judgement::Held(Held::Roster));
    job.company.roster = current;
    assert_eq!(job.judged(&text), COUNTED);
    // Another history under a known number is foreign, not new.
    assert_eq!(short.named(knew.0, &knew.1), Named::Known(knew.0));
    assert_eq!(short.named(knew.0, &digest), Named::Foreign);
}

#[test]
fn one_ciphertext_under_two_keys_opens_under_its_own_only() {
    let mut job = Job::new();
    let (mine, other) = (secret(1).thread_key(), secret(2).thread_key());
    let mut pen = job.pen(3, 3);
    let context = pen.context(
        &job.company,
        kolonne_model::op::Class::Data,
        mine.id(&job.company.id, &job.thread),
    );
    let salt = bytes("salamander", 1);
    let keys = [&mine, &other].map(|key| *payload::entry_key(key, &context, &salt));
    let sealed = salamander::under_both(&keys, &context.to_bytes());
    for key in &keys {
        // Poly1305 commits to no key: the tag is right under both.
        let aad = context.to_bytes();
        let opened = ChaCha20Poly1305::new(Key::from_slice(key)).decrypt(
            Nonce::from_slice(&[0; 12]),
            Payload {
                msg: &sealed,
                aad: &aad,
            },
        );
        assert!(opened.is_ok());
    }
    // But the signed context names one key by its hash, and only that one is asked.
    let payload = [salt.as_slice(), &sealed].concat();
    let under = |key| payload::open(key, &context, &payload).map(|_| ());
    assert_eq!(under(&mine), Err(PayloadError::Form));
    assert_eq!(under(&other), Err(PayloadError::DoesNotOpen));
    let op = pen.finish(kolonne_model::op::Op::new(context, payload));
    let (company, thread) = (job.company.clone(), job.thread);
    job.keyring.hold(&company, &thread, &secret(2));
    job.ops.push(op.clone());
    assert!(matches!(job.judged(&op), Judgement::Ignored(_)));
}

/// The forgery: one block is chosen so that both tags agree.
mod salamander {
    use chacha20::ChaCha20;
    use chacha20::cipher::{KeyIvInit, StreamCipher};

    /// A number modulo p = 2^130 − 5, little endian.
    type Number = [u64; 3];
    const P: Number = [0xffff_ffff_ffff_fffb, u64::MAX, 3];
    const BLOCKS: usize = 4;

    fn less(a: Number, b: Number) -> bool {
        a.iter().rev().lt(b.iter().rev())
    }

    fn minus(a: Number, b: Number) -> Number {
        let mut borrow = false;
        std::array::from_fn(|at| {
            let (low, one) = a[at].overflowing_sub(b[at]);
            let (low, two) = low.overflowing_sub(u64::from(borrow));
            borrow = one || two;
            low
        })
    }

    fn add(a: Number, b: Number) -> Number {
        let mut carry = 0u128;
        let sum = std::array::from_fn(|at| {
            carry += u128::from(a[at]) + u128::from(b[at]);
            let low = carry as u64;
            carry >>= 64;
            low
        });
        if less(sum, P) { sum } else { minus(sum, P) }
    }

    fn sub(a: Number, b: Number) -> Number {
        add(a, if b == [0; 3] { b } else { minus(P, b) })
    }

    fn bits(a: Number) -> impl Iterator<Item = bool> {
        (0..130)
            .rev()
            .map(move |bit| a[bit / 64] >> (bit % 64) & 1 == 1)
    }

    fn mul(a: Number, b: Number) -> Number {
        bits(b).fold([0; 3], |sum, bit| {
            let sum = add(sum, sum);
            if bit { add(sum, a) } else { sum }
        })
    }

    fn pow(a: Number, n: Number) -> Number {
        bits(n).fold([1, 0, 0], |power, bit| {
            let power = mul(power, power);
            if bit { mul(power, a) } else { power }
        })
    }

    fn inverse(a: Number) -> Number {
        pow(a, minus(P, [2, 0, 0]))
    }

    fn number(low: u128, high: u64) -> Number {
        [low as u64, (low >> 64) as u64, high]
    }

    fn le(block: &[u8]) -> u128 {
        let mut bytes = [0; 16];
        bytes[..block.len()].copy_from_slice(block);
        u128::from_le_bytes(bytes)
    }

    struct OneTime {
        r: Number,
        s: u128,
    }

    fn one_time(key: &[u8; 32]) -> OneTime {
        let mut block = [0; 32];
        ChaCha20::new(key.into(), &[0; 12].into()).apply_keystream(&mut block);
        let r = le(&block[..16]) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
        OneTime {
            r: number(r, 0),
            s: le(&block[16..]),
        }
    }

    /// What all blocks but the free one add to the tag, and the free one's factor.
    fn rest(r: Number, blocks: &[u128], free: usize) -> (Number, Number) {
        let (mut sum, mut factor) = ([0; 3], [0; 3]);
        let mut power = [1, 0, 0];
        for (at, block) in blocks.iter().enumerate().rev() {
            power = mul(power, r);
            if at == free {
                factor = power;
            } else {
                sum = add(sum, mul(number(*block, 1), power));
            }
        }
        (sum, factor)
    }

    /// Ciphertext and tag.
    pub fn under_both(keys: &[[u8; 32]; 2], aad: &[u8]) -> Vec<u8> {
        let [one, two] = keys.each_ref().map(one_time);
        for n in 0u128.. {
            let mut blocks: Vec<u128> = aad.chunks(16).map(le).collect();
            let free = blocks.len();
            blocks.extend([0, n, n << 64, !n]);
            blocks.push(aad.len() as u128 | ((BLOCKS as u128 * 16) << 64));
            let (sum1, factor1) = rest(one.r, &blocks, free);
            let (sum2, factor2) = rest(two.r, &blocks, free);
            let (a, b) = (inverse(factor1), inverse(factor2));
            // x = (t − s1 + w1 − sum1)·a = (t − s2 + w2 − sum2)·b, where w undoes the wrap at 2^128.
            for wraps in 0..4u64 {
                let off = |sum, s, wrap| sub(add(sum, number(s, 0)), number(0, wrap));
                let off1 = off(sum1, one.s, wraps & 1);
                let off2 = off(sum2, two.s, wraps >> 1);
                let t = mul(sub(mul(off1, a), mul(off2, b)), inverse(sub(a, b)));
                let x = mul(sub(t, off1), a);
                if t[2] != 0 || x[2] != 1 {
                    continue;
                }
                let tag = u128::from(t[0]) | u128::from(t[1]) << 64;
                blocks[free] = u128::from(x[0]) | u128::from(x[1]) << 64;
                let wrapped = |s: u128| u64::from(tag < s);
                if (wrapped(one.s), wrapped(two.s)) == (wraps & 1, wraps >> 1) {
                    let sealed = blocks[free..free + BLOCKS].iter().chain([&tag]);
                    return sealed.flat_map(|block| block.to_le_bytes()).collect();
                }
            }
        }
        unreachable!()
    }
}

fn code() -> Code {
    let company = Company::found();
    let (roster, roster_digest) = company.roster.head();
    Code {
        hub_url: "https://hub.example".into(),
        hub_key: public(&company.hub),
        company: company.id,
        roster,
        roster_digest,
        root_key_hash: Code::root_key_hash(&public(&company.root)),
        secret: OneTimeSecret::from_bytes(bytes("secret", 1)),
        expires_ms: 1_700_000_600_000,
    }
}

fn grant() -> Grant {
    Grant {
        kind: DeviceKind::Phone,
        crew: None,
        seats: vec![(None, Role::Crew)],
    }
}

fn opening(word: &str, n: u64) -> Opening {
    let key = |what: &str| -> PublicKey { public(&signing(what, n)) };
    Opening {
        nonce: Hash32(bytes(word, n)),
        keys: PhoneKeys {
            device_key: key(word),
            recipient: recipient(word, n),
            seat_keys: vec![(key("its seat"), recipient("its seat", n))],
        },
    }
}

#[test]
fn who_photographed_the_code_and_runs_the_hub_cannot_make_the_words_agree() {
    // The attacker knows the code, secret included, and carries every message. He shows himself
    // to the office as the phone, and to the phone as the office.
    let code = code();
    let office_key: SigningKey = signing("office seat", 1);
    let phone = opening("phone", 1);
    let phone_commits = enrol::commit(&phone.nonce, &phone.keys);

    // Towards the office he has to commit before he sees its nonce.
    let his = opening("attacker", 1);
    let he_commits = enrol::commit(&his.nonce, &his.keys);
    let nonce = Hash32(bytes("office nonce", 1));
    let answer = Answer::new(&code, &he_commits, nonce, grant(), &office_key);
    let at_the_office = Transcript {
        code: &code,
        commitment: &he_commits,
        answer: &answer,
        opening: &his,
    };
    let on_its_screen = at_the_office.word_numbers().unwrap();
    // Afterwards no other keys fit what he committed to.
    for n in 2..500 {
        let changed = opening("attacker", n);
        let transcript = Transcript {
            opening: &changed,
            ..at_the_office.clone()
        };
        assert_eq!(transcript.word_numbers(), Err(EnrolError::Commitment));
    }

    // Towards the phone he has to answer before it opens its nonce. Of all answers that he can
    // give, he knows for none which words it leads to; one guess in 256⁴ is right.
    let mut agree = 0;
    let his_seat = signing("attacker", 7);
    for n in 0..20_000 {
        let nonce = Hash32(bytes("attacker's nonce", n));
        let answer = Answer::new(&code, &phone_commits, nonce, grant(), &his_seat);
        let on_the_phone = Transcript {
            code: &code,
            commitment: &phone_commits,
            answer: &answer,
            opening: &phone,
        };
        agree += usize::from(on_the_phone.word_numbers().unwrap() == on_its_screen);
        if n == 0 {
            // Nor does the phone take it in the end: the office never signed for its keys.
            let office = public(&office_key);
            assert_eq!(
                answer.check(&code, &phone_commits, &office),
                Err(EnrolError::Signature)
            );
        }
    }
    assert_eq!(agree, 0);
    // The office's own answer was for other keys.
    assert_eq!(
        answer.check(&code, &phone_commits, &public(&office_key)),
        Err(EnrolError::Signature)
    );
}

#[test]
fn what_an_office_key_does_is_in_everyones_roster() {
    // A thief at an office computer admits a device of his own and raises a worker.
    let mut company = Company::found();
    let chief = company.people[0].clone();
    let (ghost, mut changes) = device_cert(66, DeviceKind::Office, None);
    changes.push(Change::Role(RoleChange {
        seat: company.people[3].seat(),
        role: Role::Office,
    }));
    assert_eq!(company.change(&chief.key, changes), Effect::Applied);
    // There is one roster: who doesn't have this op can't read on, and who has it sees all of it.
    let mut seen = company.roster_at(company.roster_ops.len() - 1);
    let op = company.roster_ops.last().unwrap().clone();
    assert!(seen.device(&ghost.id).is_none());
    assert_eq!(seen.append(&op), Effect::Applied);
    let (position, _) = seen.head();
    assert_eq!(seen.device(&ghost.id).unwrap().since, position);
    assert_eq!(
        seen.role_at(&company.people[3].seat(), position),
        Some(Role::Office)
    );
    assert_eq!(op.context().seat, chief.seat(), "and by whom");
    // What the ghost writes names that position, so it is held where the roster was kept back.
    let mut job = Job::new();
    job.company = company.clone();
    let mut pen = Pen::new(&ghost.key, job.thread, store(66));
    let text = pen.text(&company, &job.key, "Alles gut");
    job.ops.push(text.clone());
    job.company.roster = company.roster_at(company.roster_ops.len() - 1);
    assert_eq!(job.judged(&text), Judgement::Held(Held::Roster));
}

#[test]
fn a_removed_member_writes_and_shares_keys_for_nobody() {
    let mut job = Job::new();
    let crew_b = job.company.crews[1];
    let mut crew = job.pen(3, 3);
    let before = crew.text(&job.company, &job.key, "Sind fertig");
    let joined = job.control().member_writes[&crew_b].clone();
    let out = job.chief.control(
        &job.company,
        &members_out(crew_b, vec![cut_at(&before)], joined),
    );
    job.ops.extend([before.clone(), out]);
    let control = job.control();
    // Nobody sends under the old key any more, which the removed crew has.
    assert_eq!(control.key_to_send(&job.company.roster), None);
    // He goes on under it, and makes a new one for exactly the members, backdated by his clock.
    crew.lamport = 0;
    let mut backdated = crew.clone();
    backdated.lamport = before.context().lamport;
    let late = backdated.text(&job.company, &job.key, "Wir waren nie weg");
    let made = key_made(&job.company, &job.thread, &control, &secret(9));
    let made = backdated.control(&job.company, &made);
    job.ops.extend([late.clone(), made.clone()]);
    let view = job.fold();
    assert_eq!(
        view.judgements[&before.id()],
        Judgement::Counted(Timeliness::Late)
    );
    for op in [&late, &made] {
        assert_eq!(
            view.judgements[&op.id()],
            Judgement::Quarantined(Quarantine::NotMember)
        );
    }
    assert_eq!(view.control.key_to_send(&job.company.roster), None);
}
