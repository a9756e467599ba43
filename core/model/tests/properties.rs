//! Encodings: what is written reads back, what reads has one form, nothing panics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use ed25519_dalek::SigningKey;
use kolonne_model::body::{Body, Say, Set};
use kolonne_model::cbor;
use kolonne_model::control::Control;
use kolonne_model::enrol::{
    self, Answer, Code, EnrolError, Grant, OneTimeSecret, Opening, PhoneKeys, Transcript,
};
use kolonne_model::ids::{
    CompanyId, Hash32, Head, KeyId, OpId, OpName, RingId, RosterDigest, RosterPosition, SeatId,
    StoreId, Strand, ThreadId,
};
use kolonne_model::key::ThreadKey;
use kolonne_model::op::{
    self, Class, ClassByte, Context, MAX_PAYLOAD_BYTES, Op, SignedForm, Unknown, extension_hash,
    payload_hash,
};
use kolonne_model::page::{self, Bases, NoBases, SegmentToSend, StrandName};
use kolonne_model::payload;
use kolonne_model::roster::change::{
    Change, DeviceKind, HubKey, Recipient, Role, RoleChange, RosterBody,
};
use kolonne_model::strand;
use proptest::prelude::*;
use support::{Known, bytes, public, seat_id, signing};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

const COMPANY: CompanyId = CompanyId([1; 16]);

/// Values close to one another and to their limits, so that "as before" is common.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, any::<u64>(), Just(u64::MAX), Just(1 << 32)]
}

#[derive(Debug, Clone)]
struct Draft {
    class: u8,
    roster: (u32, u8),
    key: u8,
    lamport: u64,
    time_ms: u64,
    extension: Option<Vec<u8>>,
    payload: Vec<u8>,
    absent: bool,
}

fn draft() -> impl Strategy<Value = Draft> {
    (
        prop_oneof![
            Just(1u8),
            Just(2),
            Just(3),
            Just(0x81),
            Just(0x82),
            Just(0x83)
        ],
        (prop_oneof![0..3u32, any::<u32>()], 0..2u8),
        0..3u8,
        number(),
        number(),
        proptest::option::weighted(0.2, proptest::collection::vec(any::<u8>(), 0..40)),
        proptest::collection::vec(any::<u8>(), 0..200),
        proptest::bool::weighted(0.2),
    )
        .prop_map(
            |(class, roster, key, lamport, time_ms, extension, payload, absent)| Draft {
                class,
                roster,
                key,
                lamport,
                time_ms,
                extension,
                payload,
                absent,
            },
        )
}

/// A strand of ops from drafts, as its author has them.
fn ops_of(key: &SigningKey, first_seq: u32, suite: u8, drafts: &[Draft]) -> Vec<Op> {
    let mut previous = if first_seq == 1 {
        OpId::ZERO
    } else {
        OpId([9; 32])
    };
    let mut ops = vec![];
    for (seq, draft) in (first_seq..).zip(drafts) {
        let context = Context {
            suite,
            class: ClassByte::from_byte(draft.class).unwrap(),
            company: COMPANY,
            thread: ThreadId([2; 16]),
            seat: seat_id(key),
            store: StoreId([3; 8]),
            seq,
            previous,
            roster: RosterPosition(draft.roster.0),
            roster_digest: RosterDigest([draft.roster.1; 32]),
            key: KeyId([draft.key; 16]),
            lamport: draft.lamport,
            time_ms: draft.time_ms,
            extension_hash: draft
                .extension
                .as_deref()
                .map_or(Hash32::ZERO, extension_hash),
        };
        let op = Op {
            form: SignedForm {
                context,
                payload_bytes: u32::try_from(draft.payload.len()).unwrap(),
                payload_hash: payload_hash(&draft.payload),
            },
            extension: draft.extension.clone(),
            payload: (!draft.absent).then(|| draft.payload.clone()),
        };
        previous = op.form.id();
        ops.push(op);
    }
    ops
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn pages_carry_any_ops(
        drafts in proptest::collection::vec(draft(), 1..8),
        first_seq in prop_oneof![Just(1u32), 2..100u32, Just(u32::MAX - 10)],
        suite in prop_oneof![Just(1u8), any::<u8>()],
        handle in proptest::option::of(number()),
        with_base in any::<bool>(),
        links in 0..4usize,
    ) {
        let key = signing("seat", 1);
        let all = ops_of(&key, first_seq, suite, &drafts);
        // The first may serve as the receiver's base.
        let (base, ops) = if with_base && all.len() > 1 { (Some(&all[0]), &all[1..]) } else { (None, &all[..]) };
        let links = links.min(ops.len() - 1);
        let signature = op::sign(&key, &ops.last().unwrap().form.id());
        let strand = ops[0].context().strand();
        let mut known = Known::default();
        known.handles.insert(handle.unwrap_or(0), strand);
        if let Some(base) = base {
            known.ops.insert((strand, base.context().seq), (base.form.id(), *base.context()));
        }
        let name = handle.map_or(StrandName::Full(strand), StrandName::Handle);
        let mut page = vec![];
        let sent = SegmentToSend {
            name,
            receivers_base: base.map(Op::context),
            ops,
            links,
            signature: &signature,
        };
        page::write_segment(&mut page, &sent);
        // Two in a page read as two.
        page::write_segment(&mut page, &sent);
        let mut segments = page::read(&page).unwrap();
        prop_assert_eq!(segments.len(), 2);
        let received = segments.remove(0).resolve(&COMPANY, &known).unwrap();
        prop_assert_eq!(received.links, links);
        prop_assert_eq!(received.signature, signature);
        let counted = ops.len() - links;
        for (at, (got, had)) in received.ops.iter().zip(ops).enumerate() {
            prop_assert_eq!(got.form, had.form);
            prop_assert_eq!(&got.extension, &had.extension);
            let payload = had.payload.as_ref().filter(|_| at < counted);
            prop_assert_eq!(got.payload.as_ref(), payload);
        }
        prop_assert_eq!(received.ops.len(), ops.len());
    }

    #[test]
    fn signed_forms_read_back(draft in draft(), seq in any::<u32>(), suite in any::<u8>()) {
        let op = ops_of(&signing("seat", 1), seq, suite, &[draft]).remove(0);
        prop_assert_eq!(SignedForm::from_bytes(&op.form.to_bytes()), Some(op.form));
        prop_assert_eq!(Context::from_bytes(&op.context().to_bytes()), Some(*op.context()));
        let mut bytes = op.form.to_bytes();
        bytes[1] ^= 0x40;
        prop_assert_eq!(SignedForm::from_bytes(&bytes), None);
    }

    #[test]
    fn random_bytes_never_panic_and_have_one_form(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        one_form(&bytes);
        let _ = Body::read(&bytes);
        let _ = cbor::decode::<Control>(&bytes);
        let _ = cbor::decode::<RosterBody>(&bytes);
        let _ = Code::from_bytes(&bytes);
    }

    #[test]
    fn mutated_pages_never_panic_and_have_one_form(
        drafts in proptest::collection::vec(draft(), 1..5),
        first_seq in 1..4u32,
        full in any::<bool>(),
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let key = signing("seat", 1);
        let ops = ops_of(&key, first_seq, 1, &drafts);
        let signature = op::sign(&key, &ops.last().unwrap().form.id());
        let strand = ops[0].context().strand();
        let mut page = vec![];
        page::write_segment(&mut page, &SegmentToSend {
            name: if full { StrandName::Full(strand) } else { StrandName::Handle(5) },
            receivers_base: None,
            ops: &ops,
            links: 0,
            signature: &signature,
        });
        for (at, byte, how) in mutations {
            let at = at.index(page.len());
            match how {
                0 => page[at] = byte,
                1 => page.insert(at, byte),
                _ => drop(page.remove(at)),
            }
            if page.is_empty() { break; }
        }
        one_form(&page);
    }

    #[test]
    fn payloads_open_for_their_context_alone(
        draft in draft(),
        body in proptest::collection::vec(any::<u8>(), 0..300),
        salt in any::<[u8; 12]>(),
        secret in any::<[u8; 32]>(),
    ) {
        let mut context = *ops_of(&signing("seat", 1), 3, 1, &[draft]).remove(0).context();
        let key = ThreadKey::from_bytes(secret);
        context.key = key.id(&context.company, &context.thread);
        let body = cbor::encode(&minicbor::bytes::ByteVec::from(body));
        let sealed = payload::seal(&key, &context, &salt, &body).unwrap();
        prop_assert_eq!(sealed.len(), body.len().max(48) + 28);
        prop_assert_eq!(&*payload::open(&key, &context, &sealed).unwrap(), &body);
        let entry = payload::entry_key(&key, &context, &salt);
        prop_assert_eq!(&*payload::open_with_entry_key(&entry, &context, &sealed).unwrap(), &body);
        let mut other = context;
        other.lamport ^= 1;
        prop_assert!(payload::open(&key, &other, &sealed).is_err());
        let mut changed = sealed.clone();
        let at = usize::from(salt[0]) % changed.len();
        changed[at] ^= 1;
        prop_assert!(payload::open(&key, &context, &changed).is_err());
        prop_assert!(payload::open(&key, &context, &sealed[..sealed.len() - 1]).is_err());
        let clear = payload::clear(&salt, &body);
        prop_assert_eq!(payload::clear_body(&clear).unwrap(), &body[..]);
    }

    #[test]
    fn a_changed_body_reads_in_its_one_form_or_not_at_all(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        names in 0..3usize,
        subject in proptest::option::of(any::<[u8; 4]>()),
    ) {
        let body = Body {
            offset_s: Some(-40),
            say: Say::Set(Set {
                field: 6,
                subject: subject.map(|bytes| bytes.to_vec().into()),
                value: Some("Gerüst steht".into()),
                names: vec![OpName([7; 16]); names],
            }),
        };
        let mut bytes = body.to_bytes();
        prop_assert_eq!(Body::read(&bytes).unwrap(), body);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Body::read(&bytes) {
            // Only unknown fields and kinds, which the bytes keep, are not written again.
            let again = read.to_bytes();
            prop_assert!(again == bytes || again.len() < bytes.len());
        }
    }

    #[test]
    fn positions_keep_term_and_number(term in any::<u8>(), number in 0..=RosterPosition::MAX_NUMBER) {
        let position = RosterPosition::new(term, number).unwrap();
        prop_assert_eq!((position.term(), position.number()), (term, number));
        prop_assert_eq!(RosterPosition::new(term, number + (1 << 24)), None);
    }
}

/// Knows the op before anything.
struct AnyBase(u8);

impl Bases for AnyBase {
    fn strand(&self, handle: u64) -> Option<Strand> {
        Some(Strand {
            thread: ThreadId([handle.to_le_bytes()[0]; 16]),
            seat: SeatId([4; 16]),
            store: StoreId([5; 8]),
        })
    }
    fn op_at(&self, strand: &Strand, seq: u32) -> Option<(OpId, Context)> {
        let context = Context {
            suite: 1,
            class: ClassByte {
                class: Class::Data,
                unknown: Unknown::MayBePassedOver,
            },
            company: COMPANY,
            thread: strand.thread,
            seat: strand.seat,
            store: strand.store,
            seq,
            previous: OpId([self.0; 32]),
            roster: RosterPosition(7),
            roster_digest: RosterDigest([7; 32]),
            key: KeyId([7; 16]),
            lamport: u64::MAX - 1,
            time_ms: 5,
            extension_hash: Hash32::ZERO,
        };
        Some((OpId([8; 32]), context))
    }
}

/// What reads and resolves writes to the same bytes, segment by segment.
fn one_form(page: &[u8]) {
    let Ok(segments) = page::read(page) else {
        return;
    };
    let bases = AnyBase(1);
    let mut again = vec![];
    for segment in segments {
        let name = segment.name();
        let stated = page.get(again.len()).is_some_and(|tag| tag & 2 != 0);
        let Ok(received) = segment.resolve(&COMPANY, &bases) else {
            return;
        };
        let first = received.ops[0].context();
        let base = (!stated && first.seq > 1)
            .then(|| bases.op_at(&received.strand, first.seq - 1).unwrap().1);
        page::write_segment(
            &mut again,
            &SegmentToSend {
                name,
                receivers_base: base.as_ref(),
                ops: &received.ops,
                links: received.links,
                signature: &received.signature,
            },
        );
        assert!(page.starts_with(&again), "a second form was read");
        let _ = strand::verify(received, &public(&signing("seat", 1)), 1);
    }
    assert_eq!(page, again);
}

#[test]
fn limits_hold_before_anything_is_allocated() {
    assert_eq!(
        page::read(&vec![0; page::MAX_PAGE_BYTES + 1]),
        Err(page::PageError::TooLarge)
    );
    // One op, full name, payload said to be too long, then of any length.
    let mut page = vec![1];
    page.extend([0; 40]);
    page.extend([1, 0, 1, 0]);
    let mut too_long = page.clone();
    too_long.extend([0x9d, 0x80, 0x04]);
    assert_eq!(MAX_PAYLOAD_BYTES + 1, 0x1d | 4 << 14);
    assert_eq!(page::read(&too_long), Err(page::PageError::TooLarge));
    let mut segments = vec![9];
    segments.extend([0; 40]);
    segments.extend([1, 0x81, 0x08]);
    assert_eq!(page::read(&segments), Err(page::PageError::TooLarge));
    // 257 links with an extension of 1 kB each, which no page of all of them would hold.
    let mut heavy = vec![25];
    heavy.extend([0; 40]);
    heavy.extend([1, 0x82, 0x02, 0x81, 0x02]);
    for _ in 0..258 {
        heavy.extend([0x18, 0, 0, 0x80, 0x08]);
        heavy.extend([0; 1024]);
        heavy.push(48);
        heavy.extend([0; 32]);
    }
    assert_eq!(page::read(&heavy), Err(page::PageError::TooLarge));
    // A last seq beyond 32 bits.
    let key = signing("seat", 1);
    let plain = Draft {
        class: 1,
        roster: (1, 1),
        key: 1,
        lamport: 1,
        time_ms: 1,
        extension: None,
        payload: vec![1],
        absent: false,
    };
    let mut op = ops_of(&key, 5, 1, &[plain]);
    let mut page = vec![];
    op[0].form.context.seq = u32::MAX;
    let sent = SegmentToSend {
        name: StrandName::Full(op[0].context().strand()),
        receivers_base: None,
        ops: &op,
        links: 0,
        signature: &kolonne_model::ids::Signature::ZERO,
    };
    page::write_segment(&mut page, &sent);
    let segment = page::read(&page).unwrap().remove(0);
    assert_eq!(
        segment.resolve(&COMPANY, &NoBases),
        Err(page::ResolveError::Malformed)
    );
    // Deep nesting and long declared lengths end in an error, not in memory.
    assert!(cbor::check(&[0x81; 10_000]).is_err());
    assert!(cbor::check(&[0x9a, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert!(cbor::decode::<Vec<Head>>(&[0x9a, 0x7f, 0xff, 0xff, 0xff]).is_err());
}

#[test]
fn newer_roster_kinds_and_fields_are_recognised_and_kept() {
    let known = [
        Change::HubKey(HubKey {
            key: public(&signing("hub", 1)),
        }),
        Change::Role(RoleChange {
            seat: SeatId([1; 16]),
            role: Role::Foreman,
        }),
    ];
    let body = RosterBody {
        digest_after: RosterDigest([2; 32]),
        changes: known.to_vec(),
    };
    let encoded = cbor::encode(&body);
    assert_eq!(cbor::decode::<RosterBody>(&encoded).unwrap(), body);
    // [9, {0: key, 7: "neu"}] and [900, [1, 2]]: a new field, a new kind.
    let mut newer = vec![0x82, 0x58, 0x20];
    newer.extend([2; 32]);
    newer.extend([0x82, 0x82, 0x09, 0xa2, 0x00, 0x58, 0x20]);
    newer.extend(public(&signing("hub", 1)).0);
    newer.extend([0x07, 0x63, b'n', b'e', b'u']);
    newer.extend([0x82, 0x19, 0x03, 0x84, 0x82, 0x01, 0x02]);
    let read: RosterBody = cbor::decode(&newer).unwrap();
    assert_eq!(read.changes, [known[0].clone(), Change::Unknown(900)]);
    let payload = payload::clear(&[0; 12], &newer);
    assert_eq!(
        payload::clear_body(&payload).unwrap(),
        &newer[..],
        "kept as they came"
    );
}

// Enrolment

struct Enrolment {
    code: Code,
    keys: PhoneKeys,
    phone_nonce: Hash32,
    office: SigningKey,
    office_nonce: Hash32,
    grant: Grant,
}

impl Enrolment {
    fn new() -> Self {
        let root = public(&signing("root", 1));
        Self {
            code: Code {
                hub_url: "https://hub.example.org".into(),
                hub_key: public(&signing("hub", 1)),
                company: CompanyId::of_root(&root),
                roster: RosterPosition(5),
                roster_digest: RosterDigest(bytes("digest", 1)),
                root_key_hash: Code::root_key_hash(&root),
                secret: OneTimeSecret::from_bytes(bytes("once", 1)),
                expires_ms: 1_700_000_600_000,
            },
            keys: PhoneKeys {
                device_key: public(&signing("device", 9)),
                recipient: Recipient::x25519(bytes("device", 9)),
                seat_keys: vec![(
                    public(&signing("seat", 9)),
                    Recipient::x25519(bytes("seat", 9)),
                )],
            },
            phone_nonce: Hash32(bytes("phone nonce", 1)),
            office: signing("seat", 100),
            office_nonce: Hash32(bytes("office nonce", 1)),
            grant: Grant {
                kind: DeviceKind::Phone,
                crew: Some(RingId([3; 16])),
                seats: vec![(None, Role::Crew)],
            },
        }
    }

    fn words(&self) -> [u8; 4] {
        let commitment = enrol::commit(&self.phone_nonce, &self.keys);
        let answer = Answer::new(
            &self.code,
            &commitment,
            self.office_nonce,
            self.grant.clone(),
            &self.office,
        );
        answer
            .check(&self.code, &commitment, &public(&self.office))
            .unwrap();
        let opening = Opening {
            nonce: self.phone_nonce,
            keys: self.keys.clone(),
        };
        let transcript = Transcript {
            code: &self.code,
            commitment: &commitment,
            answer: &answer,
            opening: &opening,
        };
        assert!(
            transcript
                .words()
                .unwrap()
                .iter()
                .all(|(de, en)| !de.is_empty() && !en.is_empty())
        );
        transcript.word_numbers().unwrap()
    }
}

#[test]
fn codes_read_back_and_only_in_their_form() {
    let code = Enrolment::new().code;
    let bytes = code.to_bytes();
    assert_eq!(Code::from_bytes(&bytes).unwrap(), code);
    for at in 0..bytes.len() {
        assert!(Code::from_bytes(&bytes[..at]).is_err());
    }
    assert!(Code::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    assert!(Code::from_bytes(&vec![0; 2000]).is_err());
    assert!(!format!("{code:?}").contains(&format!("{:?}", code.secret.as_bytes())));
}

#[test]
fn messages_open_with_their_secret_direction_and_slot_alone() {
    let mine = Enrolment::new();
    let commitment = enrol::commit(&mine.phone_nonce, &mine.keys);
    let secret = &mine.code.secret;
    let sealed = enrol::seal_message(secret, enrol::From::Phone, 1, &commitment);
    let open = |secret, from, slot, message: &[u8]| {
        enrol::open_message::<enrol::Commitment>(secret, from, slot, message)
    };
    assert_eq!(open(secret, enrol::From::Phone, 1, &sealed), Ok(commitment));
    let other = OneTimeSecret::from_bytes([0; 16]);
    for wrong in [
        open(&other, enrol::From::Phone, 1, &sealed),
        open(secret, enrol::From::Office, 1, &sealed),
        open(secret, enrol::From::Phone, 3, &sealed),
        open(secret, enrol::From::Phone, 1, &sealed[..31]),
        open(secret, enrol::From::Phone, 1, &[]),
    ] {
        assert_eq!(wrong, Err(EnrolError::Mac));
    }
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(
            open(secret, enrol::From::Phone, 1, &changed),
            Err(EnrolError::Mac)
        );
    }
    assert_ne!(secret.mailbox(), other.mailbox());
}

#[test]
fn words_are_equal_on_both_sides_and_differ_with_anything() {
    let words = Enrolment::new().words();
    assert_eq!(words, Enrolment::new().words());
    let changes: Vec<fn(&mut Enrolment)> = vec![
        |e| e.code.hub_url.push('x'),
        |e| e.code.hub_key = public(&signing("hub", 2)),
        |e| e.code.company = CompanyId([7; 16]),
        |e| e.code.roster = RosterPosition(6),
        |e| e.code.roster_digest = RosterDigest([7; 32]),
        |e| e.code.root_key_hash = Hash32([7; 32]),
        |e| e.code.expires_ms += 1,
        |e| e.phone_nonce = Hash32([7; 32]),
        |e| e.office_nonce = Hash32([7; 32]),
        |e| e.keys.device_key = public(&signing("device", 8)),
        |e| e.keys.recipient = Recipient::x25519([7; 32]),
        |e| e.keys.seat_keys[0].0 = public(&signing("seat", 8)),
        |e| e.keys.seat_keys[0].1 = Recipient::x25519([7; 32]),
        |e| e.keys.seat_keys.clear(),
        |e| e.grant.kind = DeviceKind::Office,
        |e| e.grant.crew = None,
        |e| e.grant.seats[0].1 = Role::Admin,
        |e| e.grant.seats[0].0 = Some(RingId([7; 16])),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut other = Enrolment::new();
        change(&mut other);
        assert_ne!(other.words(), words, "change {at}");
    }
    // The secret isn't in the words: they are said aloud.
    let mut other = Enrolment::new();
    other.code.secret = OneTimeSecret::from_bytes([7; 16]);
    assert_eq!(other.words(), words);
}

#[test]
fn keys_after_the_commitment_are_refused() {
    let mine = Enrolment::new();
    let commitment = enrol::commit(&mine.phone_nonce, &mine.keys);
    let answer = Answer::new(
        &mine.code,
        &commitment,
        mine.office_nonce,
        mine.grant.clone(),
        &mine.office,
    );
    let mut keys = mine.keys.clone();
    keys.device_key = public(&signing("thief", 1));
    let opening = Opening {
        nonce: mine.phone_nonce,
        keys,
    };
    let transcript = Transcript {
        code: &mine.code,
        commitment: &commitment,
        answer: &answer,
        opening: &opening,
    };
    assert_eq!(transcript.word_numbers(), Err(EnrolError::Commitment));
    // An answer of another seat, or over another grant.
    let other = public(&signing("seat", 101));
    assert_eq!(
        answer.check(&mine.code, &commitment, &other),
        Err(EnrolError::Signature)
    );
    let mut changed = answer.clone();
    changed.grant.seats[0].1 = Role::Admin;
    let office = public(&mine.office);
    assert_eq!(
        changed.check(&mine.code, &commitment, &office),
        Err(EnrolError::Signature)
    );
}
