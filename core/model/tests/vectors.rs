//! Test vectors, byte for byte: what a second implementation must reproduce, and what must never
//! change. `KOLONNE_WRITE_VECTORS=1` writes them; without it they are compared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use ed25519_dalek::{Signer, SigningKey};
use kolonne_model::backup::{self, ItemHead, ItemKind};
use kolonne_model::body::{Body, Say, SeatLocked, SeatUnlocked, Text, WantedSeat};
use kolonne_model::cbor;
use kolonne_model::control::{Control, Erase, EraseReason, Opened, ThreadKind, WrappedAgain};
use kolonne_model::enrol::{
    self, Answer, Code, Grant, OneTimeSecret, Opening, PhoneKeys, Transcript,
};
use kolonne_model::hash::label;
use kolonne_model::hub::login_message;
use kolonne_model::ids::{
    BlobId, CompanyId, DeviceId, Hash32, Head, HubEpoch, KeyId, OpId, RingId, RosterDigest,
    RosterPosition, SeatId, Signature, StoreId, Strand, StrandHead, ThreadId, head_sum,
};
use kolonne_model::key::HistorySecret;
use kolonne_model::op::{self, Class, ClassByte, Context, Op, SUITE_1, Unknown, extension_hash};
use kolonne_model::pack::{Pack, PackLine, PackName, PackThread};
use kolonne_model::page::{self, SegmentToSend, StrandName};
use kolonne_model::payload;
use kolonne_model::receipt::{BlobReceipt, OpReceipt, Possession, Slice, slices_hash};
use kolonne_model::roster::change::{
    Adopt, Change, CutBatch, CutOfThread, DeviceKind, End, EndMode, Found, HubKey, Move, Recipient,
    RingGeneration, RingKind, Role, RoleChange, RootKey, Subject, cut_list,
};
use kolonne_model::roster::{Effect, Roster, part_hash};
use kolonne_model::sealed::{Inside, Sealed, SealedRing, padded_bytes};
use serde_json::{Value, json};
use support::{public, seat_id};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        use std::fmt::Write;
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

/// Keys of the vectors: 32 times the same byte.
fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn check(name: &str, made: &Value) {
    let path = format!("{}/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = format!("{}\n", serde_json::to_string_pretty(made).unwrap());
    if std::env::var_os("KOLONNE_WRITE_VECTORS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).expect("vector file");
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(
        &kept, made,
        "{name}: bytes that must never change have changed"
    );
}

const THREAD: ThreadId = ThreadId([0x22; 16]);
const STORE: StoreId = StoreId([0x33; 8]);

fn company() -> CompanyId {
    CompanyId::of_root(&public(&key(1)))
}

fn opened_body() -> Vec<u8> {
    cbor::encode(&Control::Opened(Opened {
        kind: ThreadKind::Job,
        parent: None,
        owner: RingId([0x44; 16]),
        random: [0x55; 16],
    }))
}

#[test]
fn ids() {
    let root = public(&key(1));
    let recipient = Recipient::x25519([0x66; 32]);
    let body = opened_body();
    let strand_head = |n: u8| StrandHead {
        strand: Strand {
            thread: THREAD,
            seat: SeatId([n; 16]),
            store: STORE,
        },
        head: Head {
            seq: n.into(),
            id: OpId([n; 32]),
        },
    };
    let (one, two) = (strand_head(1), strand_head(2));
    check(
        "ids",
        &json!({
            "root_signing_seed": hex(&[1; 32]),
            "root_public_key": hex(&root.0),
            "company": hex(&company().0),
            "roster_thread": hex(&company().roster_thread().0),
            "seat_signing_seed": hex(&[2; 32]),
            "seat_public_key": hex(&public(&key(2)).0),
            "seat": hex(&seat_id(&key(2)).0),
            "device_of_same_key": hex(&DeviceId::of_key(&public(&key(2))).0),
            "recipient_kind": recipient.kind,
            "recipient_key": hex(&recipient.key),
            "ring": hex(&recipient.ring().0),
            "opened_body": hex(&body),
            "thread_of_company_seat_and_opened_body":
                hex(&Opened::thread(&body, &company(), &seat_id(&key(2))).0),
            "head_1": { "thread": hex(&THREAD.0), "seat": hex(&[1; 16]), "store": hex(&STORE.0),
                        "seq": 1, "id": hex(&[1; 32]), "sum": hex(&one.sum()) },
            "head_2_sum": hex(&two.sum()),
            "sum_of_heads_1_and_2": hex(&head_sum([&one, &two])),
        }),
    );
}

#[test]
fn keys() {
    let secret = HistorySecret::from_bytes([0x77; 32]);
    let thread_key = secret.thread_key();
    let earlier = HistorySecret::from_bytes([0x78; 32]);
    let earlier_id = earlier.thread_key().id(&company(), &THREAD);
    let sealed = secret.seal_earlier(&earlier_id, &earlier);
    assert!(
        secret.open_earlier(&company(), &THREAD, &earlier_id, &sealed) == Some(earlier.clone())
    );
    check(
        "keys",
        &json!({
            "company": hex(&company().0),
            "thread": hex(&THREAD.0),
            "history_secret": hex(secret.as_bytes()),
            "thread_key": hex(thread_key.as_bytes()),
            "key_hash": hex(&thread_key.hash(&company(), &THREAD).0),
            "key_id": hex(&thread_key.id(&company(), &THREAD).0),
            "earlier_history_secret": hex(earlier.as_bytes()),
            "earlier_key_id": hex(&earlier_id.0),
            "earlier_sealed_under_history_secret": hex(&sealed),
            "part_hash_of_the_sealed": hex(&part_hash(&sealed).0),
        }),
    );
}

fn context(seat: &SigningKey, seq: u32, previous: OpId, key_id: KeyId) -> Context {
    Context {
        suite: SUITE_1,
        class: ClassByte::plain(Class::Data),
        company: company(),
        thread: THREAD,
        seat: seat_id(seat),
        store: STORE,
        seq,
        previous,
        roster: RosterPosition::new(1, 5).unwrap(),
        roster_digest: RosterDigest([0x88; 32]),
        key: key_id,
        lamport: 1000 + u64::from(seq),
        time_ms: 1_700_000_000_000 + 60_000 * u64::from(seq),
        extension_hash: Hash32::ZERO,
    }
}

#[test]
fn ops() {
    let seat = key(2);
    let thread_key = HistorySecret::from_bytes([0x77; 32]).thread_key();
    let key_id = thread_key.id(&company(), &THREAD);
    let mut ops: Vec<Op> = vec![];
    let mut previous = OpId::ZERO;
    let mut listed = vec![];
    for (seq, text) in [
        (1, "ja"),
        (2, "Gerüst steht, wir fangen morgen um sieben an."),
    ] {
        let context = context(&seat, seq, previous, key_id);
        let salt = [u8::try_from(seq).unwrap(); 12];
        let body = Body {
            offset_s: Some(-3),
            say: Say::Text(Text {
                text: text.into(),
                reply_to: None,
            }),
        }
        .to_bytes();
        let sealed = payload::seal(&thread_key, &context, &salt, &body).unwrap();
        let op = Op::new(context, sealed.clone());
        previous = op.form.id();
        listed.push(json!({
            "context": hex(&context.to_bytes()),
            "salt": hex(&salt),
            "body": hex(&body),
            "entry_key": hex(&*payload::entry_key(&thread_key, &context, &salt)),
            "payload": hex(&sealed),
            "payload_hash": hex(&op.form.payload_hash.0),
            "signed_form": hex(&op.form.to_bytes()),
            "id": hex(&previous.0),
            "signature": hex(&op::sign(&seat, &previous).0),
        }));
        ops.push(op);
    }
    let extension = b"\xa0".to_vec();
    let mut strange = context(&seat, 3, previous, KeyId::ZERO);
    strange.class = ClassByte {
        class: Class::Control,
        unknown: Unknown::MustBeUnderstood,
    };
    strange.extension_hash = extension_hash(&extension);
    let mut control = Op::new(strange, payload::clear(&[3; 12], &opened_body()));
    control.extension = Some(extension.clone());
    let control_id = control.form.id();
    let bare = Op {
        payload: None,
        ..ops[1].clone()
    };
    let page = |name, base: Option<&Op>, ops: &[Op], links| {
        let signature = op::sign(&seat, &ops.last().unwrap().form.id());
        let mut page = vec![];
        page::write_segment(
            &mut page,
            &SegmentToSend {
                name,
                receivers_base: base.map(Op::context),
                ops,
                links,
                signature: &signature,
            },
        );
        assert!(page::read(&page).is_ok());
        hex(&page)
    };
    let strand = ops[0].context().strand();
    let all = [ops[0].clone(), ops[1].clone(), control.clone()];
    check(
        "ops",
        &json!({
            "seat_signing_seed": hex(&[2; 32]),
            "thread_key": hex(thread_key.as_bytes()),
            "ops": listed,
            "third": {
                "extension": hex(&extension),
                "extension_hash": hex(&extension_hash(&extension).0),
                "signed_form": hex(&control.form.to_bytes()),
                "id": hex(&control_id.0),
                "payload": hex(control.payload.as_ref().unwrap()),
            },
            "pages": {
                "first_and_second_in_full": page(StrandName::Full(strand), None, &ops, 0),
                "second_by_handle_300_on_the_receivers_first":
                    page(StrandName::Handle(300), Some(&ops[0]), &ops[1..], 0),
                "second_by_handle_300_with_stated_base": page(StrandName::Handle(300), None, &ops[1..], 0),
                "second_without_its_payload": page(StrandName::Handle(300), Some(&ops[0]), &[bare], 0),
                "three_of_which_the_last_two_are_links": page(StrandName::Full(strand), None, &all, 2),
                "all_three": page(StrandName::Full(strand), None, &all, 0),
            },
        }),
    );
}

#[test]
fn sealed() {
    let inside = Inside {
        identity: [0x99; 32],
        name: "Krankmeldung Öz.jpg".into(),
        media_type: "image/jpeg".into(),
        plain_hash: Hash32([0xaa; 32]),
        plain_bytes: 2_345_678,
        thread: THREAD,
        seat: seat_id(&key(2)),
    };
    let body = Body {
        offset_s: None,
        say: Say::Sealed(Box::new(Sealed {
            blob: BlobId([0xbb; 32]),
            sealed_bytes: 2_359_900,
            people: vec![RingId([0x44; 16])],
            office: true,
            rings: vec![
                SealedRing {
                    ring: RingId([0x43; 16]),
                    generation: 2,
                },
                SealedRing {
                    ring: RingId([0x44; 16]),
                    generation: 1,
                },
            ],
            envelope: b"an age file to the rings".to_vec().into(),
            reply_to: Some(OpId([0xcc; 32])),
        })),
    };
    assert_eq!(Body::read(&body.to_bytes()).unwrap(), body);
    let lengths = [
        0,
        1,
        16_384,
        16_385,
        100_000,
        1_000_000,
        2_345_678,
        64 << 20,
    ];
    check(
        "sealed",
        &json!({
            "thread": hex(&THREAD.0),
            "seat": hex(&seat_id(&key(2)).0),
            "in_the_envelope": hex(&inside.to_padded().unwrap()),
            "body": hex(&body.to_bytes()),
            "padded_bytes": lengths.map(|bytes| json!([bytes, padded_bytes(bytes)])),
        }),
    );
}

#[test]
fn pack() {
    let pack = Pack {
        names: vec![PackName {
            subject: Vec::new().into(),
            name: "Holzbau Brandt".into(),
        }],
        threads: vec![PackThread {
            thread: THREAD,
            kind: ThreadKind::Job,
            title: "Dach Öztürk".into(),
            last_time_ms: 1_700_000_000_000,
            key: Some(vec![0x77; 32].into()),
            last: Some(PackLine {
                author: "Anna Weber".into(),
                kind: 1,
                text: "Ist gut".into(),
            }),
            customer: None,
        }],
    };
    assert_eq!(Pack::read(&pack.to_bytes()).unwrap(), pack);
    check("pack", &json!({ "before_deflate": hex(&pack.to_bytes()) }));
}

#[test]
fn roster_stress() {
    let to = Recipient::x25519([0x67; 32]);
    let (next, admin) = (key(10), key(2));
    let named = (RosterPosition::new(1, 7).unwrap(), RosterDigest([0x88; 32]));
    let message = RootKey::message(&company(), named, &public(&next), &to);
    let sign = |key: &SigningKey| Signature(key.sign(&message).to_bytes());
    let root_key = Change::RootKey(RootKey {
        key: public(&next),
        recipient: to,
        previous_sealed: b"an age file to the new recipient".to_vec().into(),
        seat: seat_id(&admin),
        signature: sign(&admin),
        proof: sign(&next),
    });
    let adopt = Change::Adopt(Adopt {
        ops: vec![OpId([0xdd; 32])],
        branch: None,
    });
    let merge = Change::Adopt(Adopt {
        ops: vec![OpId([0xdd; 32]), OpId([0xee; 32])],
        branch: Some(b"a page".to_vec().into()),
    });
    for change in [&root_key, &adopt, &merge] {
        let bytes = cbor::encode(change);
        assert_eq!(&cbor::decode::<Change>(&bytes).unwrap(), change);
    }
    check(
        "roster_stress",
        &json!({
            "company": hex(&company().0),
            "position": "1.7",
            "digest": hex(&named.1.0),
            "rotation_message": hex(&message),
            "admin_signing_seed": hex(&[2; 32]),
            "new_root_signing_seed": hex(&[10; 32]),
            "root_key_change": hex(&cbor::encode(&root_key)),
            "adopt_change": hex(&cbor::encode(&adopt)),
            "merge_change": hex(&cbor::encode(&merge)),
        }),
    );
}

#[test]
fn roster() {
    let root = key(1);
    let mut roster = Roster::new(company());
    let recipient = Recipient::x25519([0x66; 32]);
    let changes = vec![
        Change::Found(Found {
            root_key: public(&root),
        }),
        Change::HubKey(HubKey {
            key: public(&key(9)),
        }),
        Change::Ring(RingGeneration {
            ring: recipient.ring(),
            kind: RingKind::Recovery,
            generation: 1,
            recipient,
            wraps: vec![],
            previous_sealed: None,
        }),
    ];
    let (context, body) = roster
        .draft(&public(&root), 1, 1_700_000_000_000, changes)
        .unwrap();
    let op = Op::new(context, payload::clear(&[4; 12], &body));
    let signature = op::sign(&root, &op.form.id());
    let mut page = vec![];
    page::write_segment(
        &mut page,
        &SegmentToSend {
            name: StrandName::Full(context.strand()),
            receivers_base: None,
            ops: std::slice::from_ref(&op),
            links: 0,
            signature: &signature,
        },
    );
    let received = page::read(&page).unwrap().remove(0);
    let received = received.resolve(&company(), &page::NoBases).unwrap();
    let verified = roster.verify(received).unwrap();
    roster.append(&verified);
    let (position, digest) = roster.head();
    let list = cut_list(&[StrandHead {
        strand: Strand {
            thread: THREAD,
            seat: SeatId([1; 16]),
            store: STORE,
        },
        head: Head {
            seq: 1,
            id: OpId([1; 32]),
        },
    }]);
    let batch = CutBatch {
        cuts: vec![CutOfThread {
            thread: THREAD,
            list: part_hash(&list),
        }],
    };
    check(
        "roster",
        &json!({
            "root_signing_seed": hex(&[1; 32]),
            "body": hex(&body),
            "payload": hex(op.payload.as_ref().unwrap()),
            "signed_form": hex(&op.form.to_bytes()),
            "id": hex(&op.form.id().0),
            "signature": hex(&signature.0),
            "page": hex(&page),
            "position_after": position.0,
            "digest_after": hex(&digest.0),
            "cut_list": hex(&list),
            "cut_list_hash": hex(&part_hash(&list).0),
            "change_with_a_batch_of_cuts": hex(&cbor::encode(&Change::Cuts(batch.clone()))),
            "batch_hash": hex(&batch.hash().0),
        }),
    );
}

/// A roster with everything in its state: rings, devices, seats, moves, roles, ends.
#[test]
fn roster_states() {
    let mut company = support::Company::found();
    let chief = company.people[0].key.clone();
    let (phone, crew) = (company.devices[3].id, company.crews[2]);
    let dismissed = company.people[5].clone();
    let list = cut_list(&[StrandHead {
        strand: Strand {
            thread: THREAD,
            seat: dismissed.seat(),
            store: STORE,
        },
        head: Head {
            seq: 7,
            id: OpId([7; 32]),
        },
    }]);
    let end = End {
        subject: Subject::Person(dismissed.ring),
        mode: EndMode::Hard,
        cuts: vec![CutOfThread {
            thread: THREAD,
            list: part_hash(&list),
        }],
        more: None,
    };
    let changes = vec![
        Change::Move(Move {
            device: phone,
            crew: Some(crew),
        }),
        Change::Role(RoleChange {
            seat: company.people[3].seat(),
            role: Role::Foreman,
        }),
        support::next_generation(&company.roster, crew, 1),
        Change::End(end),
    ];
    assert_eq!(company.change(&chief, changes), Effect::Applied);
    let steps: Vec<Value> = company
        .roster_ops
        .iter()
        .zip(company.roster.links())
        .map(|(op, link)| {
            json!({
                "page": hex(&support::page_of(&[op])),
                "position_after": link.position.0,
                "digest_after": hex(&link.digest.0),
            })
        })
        .collect();
    check(
        "roster_states",
        &json!({ "company": hex(&company.id.0), "steps": steps }),
    );
}

/// Control bodies that came after the first vectors.
#[test]
fn control() {
    let again = Control::WrappedAgain(WrappedAgain {
        key_op: OpId([1; 32]),
        ring: RingId([0x44; 16]),
        generation: 2,
        file: Hash32([0x99; 32]),
    });
    let erase = |blobs, days| {
        cbor::encode(&Control::Erase(Erase {
            ops: vec![OpId([1; 32]), OpId([2; 32])],
            reason: EraseReason::PersonalData,
            blobs,
            days,
        }))
    };
    let bytes = cbor::encode(&again);
    assert_eq!(cbor::decode::<Control>(&bytes), Ok(again));
    check(
        "control",
        &json!({
            "wrapped_again": hex(&bytes),
            "erase": hex(&erase(None, None)),
            "erase_with_a_blob_and_30_days":
                hex(&erase(Some(vec![BlobId([3; 32])]), Some(30))),
        }),
    );
}

#[test]
fn hub() {
    let hub = key(9);
    let device = key(3);
    let through = StrandHead {
        strand: Strand {
            thread: THREAD,
            seat: SeatId([1; 16]),
            store: STORE,
        },
        head: Head {
            seq: 7,
            id: OpId([1; 32]),
        },
    };
    let epoch = HubEpoch([0x99; 8]);
    let blob = BlobId(*blake3::hash(b"ciphertext").as_bytes());
    let op_receipt = OpReceipt::new(
        &hub,
        &company(),
        through,
        (epoch, 42),
        1_700_000_000_000,
        300,
    );
    let blob_receipt =
        BlobReceipt::new(&hub, &company(), (blob, 10), (epoch, 43), 1_700_000_001_000);
    let nonce = Hash32([0xaa; 32]);
    let slice = Slice { from: 2, bytes: 4 };
    let slices = slices_hash(&nonce, &[(slice, b"pher".to_vec())]);
    let possession = Possession::new(&hub, &company(), blob, nonce, slices);
    assert!(op_receipt.is_good(&public(&hub), &company()));
    assert!(blob_receipt.is_good(&public(&hub), &company()));
    assert!(possession.is_good(&public(&hub), &company()));
    assert!(!op_receipt.is_good(&public(&device), &company()));
    assert!(!op_receipt.is_good(&public(&hub), &CompanyId([0; 16])));
    let mut forged = op_receipt.clone();
    forged.hub_seq += 1;
    assert!(!forged.is_good(&public(&hub), &company()));
    let mut forged = blob_receipt.clone();
    forged.sealed_bytes += 1;
    assert!(!forged.is_good(&public(&hub), &company()));
    let mut forged = possession.clone();
    forged.nonce = Hash32([0; 32]);
    assert!(!forged.is_good(&public(&hub), &company()));
    let device_id = DeviceId::of_key(&public(&device));
    let login = login_message(&public(&hub), &company(), &device_id, &nonce);
    check(
        "hub",
        &json!({
            "hub_signing_seed": hex(&[9; 32]),
            "hub_public_key": hex(&public(&hub).0),
            "company": hex(&company().0),
            "op_receipt": hex(&cbor::encode(&op_receipt)),
            "op_receipt_signature": hex(&op_receipt.signature.0),
            "blob_of_ciphertext": hex(&blob.0),
            "blob_receipt": hex(&cbor::encode(&blob_receipt)),
            "blob_receipt_signature": hex(&blob_receipt.signature.0),
            "slices_hash_of_bytes_2_to_6": hex(&slices.0),
            "possession": hex(&cbor::encode(&possession)),
            "device_signing_seed": hex(&[3; 32]),
            "login_nonce": hex(&nonce.0),
            "login_message": hex(&login),
            "login_signature": hex(&device.sign(&login).to_bytes()),
        }),
    );
}

#[test]
fn backup() {
    let head = backup::Head {
        company: company(),
        device: DeviceId([0x77; 16]),
        time_ms: 1_800_000_000_000,
    };
    let end = backup::End {
        ops: 3,
        parts: 1,
        blobs: 1,
    };
    let item = |kind, bytes: &[u8]| {
        let head = ItemHead {
            kind,
            bytes: bytes.len() as u64,
        };
        assert_eq!(ItemHead::from_bytes(&head.to_bytes()), head);
        hex(&[&head.to_bytes(), bytes].concat())
    };
    let part = [[0x88; 32].as_slice(), b"part"].concat();
    let blob = [[0x99; 32].as_slice(), b"age-encryption.org/v1"].concat();
    check(
        "backup",
        &json!({
            "mark": hex(backup::MARK),
            "head": item(ItemKind::Head, &cbor::encode(&head)),
            "page": item(ItemKind::Page, b"page"),
            "part_of_op_88": item(ItemKind::Part, &part),
            "blob_99": item(ItemKind::Blob, &blob),
            "end": item(ItemKind::End, &cbor::encode(&end)),
        }),
    );
}

#[test]
fn enrolment() {
    let office = key(2);
    let code = Code {
        hub_url: "https://hub.example.org".into(),
        hub_key: public(&key(9)),
        company: company(),
        roster: RosterPosition::new(0, 4).unwrap(),
        roster_digest: RosterDigest([0x88; 32]),
        root_key_hash: Code::root_key_hash(&public(&key(1))),
        secret: OneTimeSecret::from_bytes([0xbb; 16]),
        expires_ms: 1_700_000_600_000,
    };
    let keys = PhoneKeys {
        device_key: public(&key(3)),
        recipient: Recipient::x25519([0x66; 32]),
        seat_keys: vec![(public(&key(4)), Recipient::x25519([0x67; 32]))],
    };
    let grant = Grant {
        kind: DeviceKind::Phone,
        crew: Some(RingId([0x44; 16])),
        seats: vec![(None, Role::Crew)],
    };
    let phone_nonce = Hash32([0xcc; 32]);
    let commitment = enrol::commit(&phone_nonce, &keys);
    let answer = Answer::new(&code, &commitment, Hash32([0xdd; 32]), grant, &office);
    let opening = Opening {
        nonce: phone_nonce,
        keys,
    };
    let transcript = Transcript {
        code: &code,
        commitment: &commitment,
        answer: &answer,
        opening: &opening,
    };
    let words = transcript.words().unwrap();
    check(
        "enrolment",
        &json!({
            "code": hex(&code.to_bytes()),
            "mailbox": hex(&code.secret.mailbox().0),
            "commitment": hex(&cbor::encode(&commitment)),
            "commitment_message": hex(&enrol::seal_message(&code.secret, enrol::From::Phone, enrol::slot::COMMITMENT, &commitment)),
            "answer": hex(&cbor::encode(&answer)),
            "answer_message": hex(&enrol::seal_message(&code.secret, enrol::From::Office, enrol::slot::ANSWER, &answer)),
            "opening": hex(&cbor::encode(&opening)),
            "word_numbers": transcript.word_numbers().unwrap(),
            "words_de": words.map(|(de, _)| de),
            "words_en": words.map(|(_, en)| en),
        }),
    );
}

/// A label that began another one would let a message of one purpose pass for another's.
#[test]
fn no_label_begins_another() {
    let labels = [
        label::COMPANY,
        label::SEAT,
        label::DEVICE,
        label::RING,
        label::THREAD,
        label::ROSTER_THREAD,
        label::OP_ID,
        label::OP_SIGNATURE,
        label::PAYLOAD,
        label::EXTENSION,
        label::PART,
        label::ROSTER_STATE,
        label::THREAD_KEY,
        label::KEY_HASH,
        label::HISTORY_SEAL,
        label::ENTRY_KEY,
        label::OP_RECEIPT,
        label::BLOB_RECEIPT,
        label::POSSESSION,
        label::POSSESSION_SLICES,
        label::LOGIN,
        label::HEAD_SUM,
        label::MAILBOX,
        label::MAC_TO_OFFICE,
        label::MAC_TO_PHONE,
        label::COMMITMENT,
        label::ENROL_SIGNATURE,
        label::ENROL_WORDS,
        label::ROOT_KEY,
    ];
    for (at, one) in labels.iter().enumerate() {
        assert!(one.starts_with("kolonne ") && one.ends_with(" v1"));
        for (other_at, other) in labels.iter().enumerate() {
            assert!(at == other_at || !other.starts_with(one), "{one}");
        }
    }
}

/// The list is part of the protocol: 256 different words in each language.
#[test]
fn words_are_different() {
    use std::collections::BTreeSet;
    let words = kolonne_model::words::WORDS;
    let german: BTreeSet<&str> = words.iter().map(|(de, _)| *de).collect();
    let english: BTreeSet<&str> = words.iter().map(|(_, en)| *en).collect();
    assert_eq!((german.len(), english.len()), (256, 256));
    let all: Vec<String> = words.iter().map(|(de, en)| format!("{de} {en}")).collect();
    check(
        "words",
        &json!({ "hash_of_all": hex(blake3::hash(all.join("\n").as_bytes()).as_bytes()) }),
    );
}

#[test]
fn seat_locks() {
    let body = |say| {
        hex(&Body {
            offset_s: Some(-3),
            say,
        }
        .to_bytes())
    };
    let locked_of = |seat, share: Option<Vec<u8>>, answer_to, wanted| {
        body(Say::Locked(Box::new(SeatLocked {
            seat,
            share: share.map(Into::into),
            answer_to,
            wanted,
        })))
    };
    let locked = |share, answer_to, wanted| locked_of(SeatId([0x44; 16]), share, answer_to, wanted);
    let wanted = WantedSeat {
        key: public(&key(5)),
        recipient: Recipient::x25519([0x66; 32]),
    };
    // Its own keys: the request for a new seat is withdrawn.
    let own = seat_id(&key(5));
    check(
        "seat_locks",
        &json!({
            "seat": hex(&[0x44; 16]),
            "pin_set": locked(Some(vec![0x55; 40]), None, None),
            "five_wrong_pins": locked(None, Some(Recipient::x25519([0x66; 32])), None),
            "pin_forgotten": locked(None, None, Some(wanted.clone())),
            "withdrawing_seat": hex(&own.0),
            "withdrawn": locked_of(own, None, None, Some(wanted)),
            "unlocked": body(Say::Unlocked(Box::new(SeatUnlocked {
                seat: SeatId([0x44; 16]),
                locked: OpId([0x77; 32]),
                share: vec![0x55; 40].into(),
            }))),
        }),
    );
}
