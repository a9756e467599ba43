//! Formats that are read as they come: what is accepted is written again as the same.

use std::cell::Cell;
use std::fmt::Debug;

use kolonne_core::crypt::{self, Identity, RootSeed};
use kolonne_model::backup::{End, Head, ITEM_HEAD_BYTES, ItemHead};
use kolonne_model::body::Body;
use kolonne_model::cbor;
use kolonne_model::control::{self, Control};
use kolonne_model::enrol::{
    self, Admission, Answer, Code, Commitment, Denial, From, Grant, OneTimeSecret, Opening,
    PhoneKeys,
};
use kolonne_model::hub::{
    AppendRoster, Challenge, Cursor, Fetch, FetchAnswer, Founding, Heads, HeadsAnswer, Hello,
    LastOps, LastOpsAnswer, Login, LoginNonce, LoginStart, Mail, MailAt, NewUpload, Part, Pull,
    PullAnswer, Push, PushAnswer, RefusalCode, RosterAnswer, RosterFrom, SegmentOutcome, Token,
};
use kolonne_model::ids::{
    CompanyId, Hash32, KeyId, OpId, RosterDigest, RosterPosition, SeatId, StoreId, Strand, ThreadId,
};
use kolonne_model::op::{
    CONTEXT_BYTES, Class, ClassByte, Context, SIGNED_FORM_BYTES, SUITE_1, SignedForm,
};
use kolonne_model::pack::Pack;
use kolonne_model::page::{self, Bases, NoBases, SegmentToSend};
use kolonne_model::receipt::{BlobReceipt, OpReceipt, Possession, Slice};
use kolonne_model::roster::change::{Change, RosterBody, read_cut_list};
use kolonne_model::sealed::{Inside, Sealed};
use kolonne_model::{payload, strand};
use minicbor::{Decode, Encode};

use crate::bare::{key, public};

const COMPANY: CompanyId = CompanyId([1; 16]);

/// Reads, writes and reads again: the same, and no longer than it came (unknown fields are passed
/// over).
fn again<T>(bytes: &[u8]) -> Option<T>
where
    T: Encode<()> + for<'b> Decode<'b, ()> + PartialEq + Debug,
{
    let value: T = cbor::decode(bytes).ok()?;
    let written = cbor::encode(&value);
    assert_eq!(
        cbor::check(&written),
        Ok(()),
        "what is written is in the one form"
    );
    assert!(written.len() <= bytes.len(), "nothing is made up");
    let read: T = cbor::decode(&written).unwrap();
    assert!(read == value, "reads back as it was");
    assert_eq!(cbor::encode(&read), written, "one encoding");
    Some(value)
}

/// The form that is signed: every one that reads has these bytes.
pub fn signed_form(bytes: &[u8]) {
    if let Ok(fixed) = <&[u8; SIGNED_FORM_BYTES]>::try_from(bytes)
        && let Some(form) = SignedForm::from_bytes(fixed)
    {
        assert_eq!(form.to_bytes(), *fixed);
        assert_eq!(form.id(), form.id());
    }
    if let Some((fixed, _)) = bytes.split_first_chunk::<CONTEXT_BYTES>()
        && let Some(context) = Context::from_bytes(fixed)
    {
        assert_eq!(context.to_bytes(), *fixed);
    }
}

/// A receiver that has an op at every place of every strand, and remembers being asked.
struct HasAll(Cell<Option<Context>>);

impl Bases for HasAll {
    fn strand(&self, handle: u64) -> Option<Strand> {
        let [a, b] = [handle.to_be_bytes(), (!handle).to_be_bytes()];
        Some(Strand {
            thread: ThreadId([a, b].concat().try_into().unwrap()),
            seat: SeatId([2; 16]),
            store: StoreId([3; 8]),
        })
    }

    fn op_at(&self, strand: &Strand, seq: u32) -> Option<(OpId, Context)> {
        let context = Context {
            suite: SUITE_1,
            class: ClassByte::plain(Class::Control),
            company: COMPANY,
            thread: strand.thread,
            seat: strand.seat,
            store: strand.store,
            seq,
            previous: OpId([4; 32]),
            roster: RosterPosition(5),
            roster_digest: RosterDigest([6; 32]),
            key: KeyId::ZERO,
            lamport: 1000,
            time_ms: 2000,
            extension_hash: Hash32::ZERO,
        };
        self.0.set(Some(context));
        Some((OpId([7; 32]), context))
    }
}

/// A page and its segments: what is put together is written as it stood there, and nobody's
/// signature covers it.
pub fn page(bytes: &[u8]) {
    let Ok(segments) = page::read(bytes) else {
        return;
    };
    let known = HasAll(Cell::new(None));
    let mut written = Vec::new();
    for raw in segments {
        let name = raw.name();
        let in_full = raw.clone().resolve(&COMPANY, &NoBases);
        known.0.set(None);
        let Ok(received) = raw.resolve(&COMPANY, &known) else {
            assert!(in_full.is_err(), "who knows more reads no less");
            return;
        };
        let base = known.0.take();
        assert!(base.is_some() || in_full.is_err() || in_full.as_ref() == Ok(&received));
        page::write_segment(
            &mut written,
            &SegmentToSend {
                name,
                receivers_base: base.as_ref(),
                ops: &received.ops,
                links: received.links,
                signature: &received.signature,
            },
        );
        assert!(bytes.starts_with(&written), "one encoding");
        for pair in received.ops.windows(2) {
            assert_eq!(pair[1].context().previous, pair[0].form.id(), "a chain");
        }
        for op in &received.ops {
            let form = op.form.to_bytes();
            assert_eq!(
                SignedForm::from_bytes(&form),
                Some(op.form),
                "both forms agree"
            );
        }
        let suite = received.ops[0].context().suite;
        assert!(strand::verify(received, &public(&key(1)), suite).is_err());
    }
    assert_eq!(written, bytes);
}

/// What people say.
pub fn body(bytes: &[u8]) {
    let Some(body) = again::<Body>(bytes) else {
        return;
    };
    assert_eq!(Body::read(&body.to_bytes()).as_ref(), Ok(&body));
    let _ = (body.say.blobs(), body.say.words(), body.say.reply_to());
    // As it lies in an op: sealed, padded, and opened again.
    let key = kolonne_model::key::ThreadKey::from_bytes([8; 32]);
    let at = HasAll(Cell::new(None)).op_at(&strand_of(), 1);
    let mut context = at.unwrap().1;
    context.key = key.id(&COMPANY, &context.thread);
    let Ok(sealed) = payload::seal(&key, &context, &[1; 12], bytes) else {
        return;
    };
    let opened = payload::open(&key, &context, &sealed).unwrap();
    assert_eq!(opened.as_slice(), bytes);
    context.lamport += 1;
    assert!(
        payload::open(&key, &context, &sealed).is_err(),
        "in its place only"
    );
}

fn strand_of() -> Strand {
    HasAll(Cell::new(None)).strand(1).unwrap()
}

/// What the hub routes by.
pub fn control(bytes: &[u8]) {
    let Some(control) = again::<Control>(bytes) else {
        return;
    };
    let payload = payload::clear(&[1; 12], bytes);
    assert_eq!(control::read(&payload).as_ref(), Ok(&control));
    if let Control::KeyMade(made) = &control {
        let all = made.all_parts();
        let rings: Vec<_> = made.rings.iter().map(|ring| ring.ring).collect();
        let mine = made.parts_for(&rings);
        assert!(mine.iter().all(|part| all.contains(part)), "a part of all");
    }
}

/// Everything that device and hub say to each other.
pub fn hub_messages(bytes: &[u8]) {
    again::<Hello>(bytes);
    again::<Founding>(bytes);
    again::<LoginStart>(bytes);
    again::<LoginNonce>(bytes);
    again::<Login>(bytes);
    again::<Token>(bytes);
    again::<Part>(bytes);
    again::<Push>(bytes);
    again::<SegmentOutcome>(bytes);
    again::<PushAnswer>(bytes);
    again::<Pull>(bytes);
    again::<PullAnswer>(bytes);
    again::<Fetch>(bytes);
    again::<FetchAnswer>(bytes);
    again::<Heads>(bytes);
    again::<HeadsAnswer>(bytes);
    again::<LastOps>(bytes);
    again::<LastOpsAnswer>(bytes);
    again::<AppendRoster>(bytes);
    again::<RosterFrom>(bytes);
    again::<RosterAnswer>(bytes);
    again::<NewUpload>(bytes);
    again::<Challenge>(bytes);
    again::<Mail>(bytes);
    again::<MailAt>(bytes);
    again::<RefusalCode>(bytes);
}

/// How far a device has read.
pub fn cursor(bytes: &[u8]) {
    if let Some(cursor) = again::<Cursor>(bytes) {
        let pull = Pull {
            cursor: Some(cursor),
            limit_bytes: 1,
            start: None,
        };
        let read: Pull = cbor::decode(&cbor::encode(&pull)).unwrap();
        assert_eq!(read.cursor, Some(cursor));
    }
}

/// What the hub signs: nothing that it didn't.
pub fn receipts(bytes: &[u8]) {
    let hub = public(&key(1));
    if let Some(receipt) = again::<OpReceipt>(bytes) {
        assert!(!receipt.is_good(&hub, &COMPANY));
    }
    if let Some(receipt) = again::<BlobReceipt>(bytes) {
        assert!(!receipt.is_good(&hub, &COMPANY));
    }
    if let Some(possession) = again::<Possession>(bytes) {
        assert!(!possession.is_good(&hub, &COMPANY));
    }
    again::<Slice>(bytes);
}

/// An enrolment's code, its messages, and the kit as somebody types it.
pub fn enrolment(bytes: &[u8]) {
    if let Ok(code) = Code::from_bytes(bytes) {
        let written = code.to_bytes();
        assert!(written.len() <= bytes.len());
        let read = Code::from_bytes(&written).unwrap();
        assert_eq!(read.to_bytes(), written);
        assert_eq!(read.secret.mailbox(), code.secret.mailbox());
    }
    again::<PhoneKeys>(bytes);
    again::<Grant>(bytes);
    again::<Answer>(bytes);
    again::<Admission>(bytes);
    again::<Denial>(bytes);
    let secret = OneTimeSecret::from_bytes([1; 16]);
    if let Some(commitment) = again::<Commitment>(bytes) {
        let message = enrol::seal_message(&secret, From::Phone, 1, &commitment);
        let open = |from, slot| enrol::open_message::<Commitment>(&secret, from, slot, &message);
        assert_eq!(open(From::Phone, 1), Ok(commitment));
        assert!(open(From::Office, 1).is_err() && open(From::Phone, 2).is_err());
    }
    if let Some(opening) = again::<Opening>(bytes) {
        let commitment = enrol::commit(&opening.nonce, &opening.keys);
        assert_eq!(commitment, enrol::commit(&opening.nonce, &opening.keys));
    }
    assert!(
        enrol::open_message::<Commitment>(&secret, From::Phone, 1, bytes).is_err(),
        "nobody guesses the code's MAC"
    );
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(root) = RootSeed::from_kit_text(text)
    {
        let printed = root.to_kit_text();
        let typed = RootSeed::from_kit_text(&printed).unwrap();
        assert_eq!(*typed.to_kit_text(), *printed);
    }
}

/// What is for named people: the op's part, the envelope outside and inside.
pub fn sealed(bytes: &[u8]) {
    if let Some(sealed) = again::<Sealed>(bytes) {
        for ring in &sealed.rings {
            let _ = sealed.generation_of(&ring.ring);
        }
    }
    if let Some(inside) = Inside::from_padded(bytes) {
        let written = inside.to_padded().unwrap();
        assert!(Inside::from_padded(&written) == Some(inside));
    }
    let identity = Identity::from_bytes(&[7; 32]).unwrap();
    assert!(
        crypt::open(bytes, &[identity], 512).is_err(),
        "nobody guesses a tag"
    );
}

/// What a new phone shows first, and the heads of a backup's items.
pub fn pack_and_backup(bytes: &[u8]) {
    if let Ok(pack) = Pack::read(bytes) {
        let written = pack.to_bytes();
        assert!(written.len() <= bytes.len());
        assert!(Pack::read(&written).as_ref() == Ok(&pack));
    }
    if let Some((head, _)) = bytes.split_first_chunk::<ITEM_HEAD_BYTES>() {
        assert_eq!(ItemHead::from_bytes(head).to_bytes(), *head);
    }
    again::<Head>(bytes);
    again::<End>(bytes);
    // Bodies of the roster, whatever chain they stand in.
    again::<RosterBody>(bytes);
    again::<Change>(bytes);
    if let Ok(heads) = read_cut_list(bytes) {
        let written = kolonne_model::roster::change::cut_list(&heads);
        assert_eq!(read_cut_list(&written), Ok(heads));
    }
}
