//! What a device and the hub say to each other: messages and the trait that both ends implement.
//!
//! Messages are CBOR in its one form (`cbor`). No answer but a signature changes what a screen
//! promises. Nothing here knows a socket; every request can be repeated without harm.

use core::future::Future;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::ids::{
    BlobId, CompanyId, DeviceId, Hash32, Head, HubEpoch, OpId, PublicKey, SeatId, Signature,
    StrandHead, ThreadId,
};
use crate::receipt::{BlobReceipt, OpReceipt, Possession, Slice};

/// Largest request or answer in bytes, blobs apart.
pub const MAX_MESSAGE_BYTES: usize = 2 << 20;
/// Largest part in bytes.
pub const MAX_PART_BYTES: usize = 64 * 1024;
/// Largest enrolment message in bytes.
pub const MAX_MAIL_BYTES: usize = 256 * 1024;

/// Why the hub didn't do it. No content, no names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// No connection, or cut off: try again.
    #[error("hub not reached")]
    Unreachable,
    /// The hub is busy or its quarantine full: try again after this long.
    #[error("hub asks to wait")]
    NotNow {
        /// How long, ms.
        retry_after_ms: u64,
    },
    /// Not logged in, or the token ran out.
    #[error("login needed")]
    LoginNeeded,
    /// Not a member, or the device has ended.
    #[error("not allowed")]
    NotAllowed,
    /// No such company, thread, upload, blob or mailbox.
    #[error("not there")]
    NotThere,
    /// The cursor is of another life of the hub: start from nothing and compare heads.
    #[error("cursor of another epoch")]
    OtherEpoch,
    /// Not the newest roster op: pull, judge again, try again.
    #[error("roster has moved on")]
    RosterMoved,
    /// An append at another offset than the upload has.
    #[error("other offset")]
    OtherOffset {
        /// The upload's offset in bytes.
        offset_bytes: u64,
    },
    /// Over a size or quota.
    #[error("too large")]
    TooLarge,
    /// Refused for good: malformed, or its hash or signature doesn't fit.
    #[error("refused: {0:?}")]
    Refused(RefusalCode),
    /// What came back isn't the hub speaking (a captive portal, a broken proxy).
    #[error("answer is not the hub's")]
    NotTheHub,
    /// A hub, but with another key than the roster certifies: a new one, or someone else's.
    #[error("hub of another key")]
    OtherKey,
}

/// Why something was refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum RefusalCode {
    /// Not in its one form, or over a hard limit.
    #[n(1)]
    Form,
    /// Signature or chain.
    #[n(2)]
    Signature,
    /// Of another company.
    #[n(3)]
    Company,
    /// The seat's certificate isn't in the hub's roster.
    #[n(4)]
    Seat,
    /// A blob whose bytes hash to something else.
    #[n(5)]
    Hash,
    /// The signature of a mailbox or login is wrong.
    #[n(6)]
    Login,
}

/// Who the hub says it is; certified by the roster, compared by a person at founding.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// Its signing key.
    #[n(0)]
    pub key: PublicKey,
    /// Its life.
    #[n(1)]
    pub epoch: HubEpoch,
    /// Protocol version spoken: 1.
    #[n(2)]
    pub version: u16,
    /// Its clock, ms.
    #[n(3)]
    pub time_ms: u64,
}

/// A company begins at this hub.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Founding {
    /// The company.
    #[n(0)]
    pub company: CompanyId,
    /// A page with the founding op.
    #[n(1)]
    pub page: ByteVec,
}

/// Asks for a login nonce.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LoginStart {
    /// The company.
    #[n(0)]
    pub company: CompanyId,
    /// The device.
    #[n(1)]
    pub device: DeviceId,
}

/// The nonce to sign.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LoginNonce {
    /// Fresh, short-lived.
    #[n(0)]
    pub nonce: Hash32,
}

/// The device's signature over (label, hub key, company, device, nonce).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Login {
    /// The company.
    #[n(0)]
    pub company: CompanyId,
    /// The device.
    #[n(1)]
    pub device: DeviceId,
    /// The nonce.
    #[n(2)]
    pub nonce: Hash32,
    /// By the device's key.
    #[n(3)]
    pub signature: Signature,
}

/// A token for the requests that follow.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Token {
    /// Sent as a bearer token, in hex.
    #[n(0)]
    pub token: Hash32,
    /// How long it holds, ms.
    #[n(1)]
    pub lasts_ms: u64,
    /// The hub's clock, ms.
    #[n(2)]
    pub time_ms: u64,
}

/// The message that a login signs.
#[must_use]
pub fn login_message(
    hub: &PublicKey,
    company: &CompanyId,
    device: &DeviceId,
    nonce: &Hash32,
) -> Vec<u8> {
    [
        crate::hash::label::LOGIN.as_bytes(),
        &hub.0,
        &company.0,
        &device.0,
        &nonce.0,
    ]
    .concat()
}

/// Bytes that a control or roster payload names by hash, travelling beside the op.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Part {
    /// The op that names it.
    #[n(0)]
    pub op: OpId,
    /// The bytes.
    #[n(1)]
    pub bytes: ByteVec,
}

/// Ops on their way in.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Push {
    /// A page of data and control ops.
    #[n(0)]
    pub page: ByteVec,
    /// Parts of the ops in it.
    #[n(1)]
    pub parts: Vec<Part>,
}

/// What became of a segment that wasn't stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum SegmentOutcome {
    /// Send it again with full values.
    #[n(1)]
    NeedsFullValues,
    /// An op before it isn't here; send that first.
    #[n(2)]
    Gap,
    /// Refused for good.
    #[n(3)]
    Refused(#[n(0)] RefusalCode),
    /// Not now: too much of this seat lies in quarantine.
    #[n(4)]
    NotNow,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PushAnswer {
    /// For each strand of the page that is stored through some head, its newest one pushed.
    #[n(0)]
    pub receipts: Vec<OpReceipt>,
    /// Segments that weren't stored, by their place in the page.
    #[n(1)]
    pub outcomes: Vec<(u32, SegmentOutcome)>,
    /// Strands with two ops at one place: the device opens a new store.
    #[n(2)]
    pub forked: Vec<StrandHead>,
    /// Ops stored without their payload (size or quota).
    #[n(3)]
    pub payloads_refused: Vec<OpId>,
}

/// How far a device has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Cursor {
    /// The hub's life.
    #[n(0)]
    pub epoch: HubEpoch,
    /// Everything up to this sequence.
    #[n(1)]
    pub hub_seq: u64,
    /// The hub's own mark, to notice an honest restore.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub mark: [u8; 8],
}

/// Asks for what is new.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Pull {
    /// None: from where `start` says.
    #[n(0)]
    pub cursor: Option<Cursor>,
    /// About this many bytes of ops and parts at most.
    #[n(1)]
    pub limit_bytes: u32,
    /// Where to begin without a cursor; none: at the beginning.
    #[n(2)]
    pub start: Option<PullStart>,
}

/// Where a device without a cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum PullStart {
    /// At the end: a new device fills its threads one by one, in its own order, and all are named.
    #[n(1)]
    End,
}

/// What is new for this device: the roster, and the threads its rings are in.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PullAnswer {
    /// A page with full values. Roster ops stand in it in order.
    #[n(0)]
    pub page: ByteVec,
    /// Parts for this device.
    #[n(1)]
    pub parts: Vec<Part>,
    /// Blobs completed since, in its threads.
    #[n(2)]
    pub blobs: Vec<BlobId>,
    /// Threads that became visible since, to be filled by [`Fetch`] whatever the cursor says.
    #[n(3)]
    pub fill: Vec<ThreadId>,
    /// Read up to here now.
    #[n(4)]
    pub cursor: Cursor,
    /// Whether to ask again at once.
    #[n(5)]
    pub more: bool,
    /// XOR of the sums of all heads in this device's threads and of the roster's, at `cursor` when
    /// `more` is false.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub sum: [u8; 16],
    /// The hub's clock, ms.
    #[n(7)]
    pub time_ms: u64,
}

/// Asks for a thread's ops beyond what the device has.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Fetch {
    /// The thread.
    #[n(0)]
    pub thread: ThreadId,
    /// The device's heads in it.
    #[n(1)]
    pub have: Vec<StrandHead>,
    /// About this many bytes at most.
    #[n(2)]
    pub limit_bytes: u32,
}

/// A thread's ops beyond the asked heads.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FetchAnswer {
    /// A page with full values.
    #[n(0)]
    pub page: ByteVec,
    /// Parts for this device.
    #[n(1)]
    pub parts: Vec<Part>,
    /// Whether there is more: ask again with newer heads.
    #[n(2)]
    pub more: bool,
    /// Blobs the hub holds for this thread.
    #[n(3)]
    pub blobs: Vec<BlobId>,
}

/// Asks for heads, to compare.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Heads {
    /// Which threads; empty: all the device is in.
    #[n(0)]
    pub threads: Vec<ThreadId>,
}

/// The hub's heads, of all branches.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HeadsAnswer {
    /// Every strand's heads.
    #[n(0)]
    pub heads: Vec<StrandHead>,
    /// The roster's newest op, as its place in the chain and id.
    #[n(1)]
    pub roster: Option<StrandHead>,
}

/// Asks an office device's question before rights end: how far have these seats come, in every
/// thread, also in those that the asker isn't in?
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LastOps {
    /// Whose.
    #[n(0)]
    pub seats: Vec<SeatId>,
    /// How many heads to pass over: those of earlier answers.
    #[n(1)]
    pub skip: u32,
}

/// The last op of each branch of these seats' strands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LastOpsAnswer {
    /// A page with full values and without payloads. Each head is signed by its seat: the hub can
    /// leave heads out, and can't invent any.
    #[n(0)]
    pub page: ByteVec,
    /// Heads in it.
    #[n(1)]
    pub heads: u32,
    /// Whether there is more.
    #[n(2)]
    pub more: bool,
}

/// One roster op, to be taken only on the newest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AppendRoster {
    /// A page with the one op.
    #[n(0)]
    pub page: ByteVec,
    /// Its parts (cut lists).
    #[n(1)]
    pub parts: Vec<Part>,
}

/// Asks for the roster from a place on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RosterFrom {
    /// First place in the chain wanted, from 1.
    #[n(0)]
    pub seq: u32,
}

/// A piece of the roster.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RosterAnswer {
    /// A page with ops in order.
    #[n(0)]
    pub page: ByteVec,
    /// Cut lists for this device's threads.
    #[n(1)]
    pub parts: Vec<Part>,
    /// Whether there is more.
    #[n(2)]
    pub more: bool,
    /// The roster's newest op.
    #[n(3)]
    pub newest: Option<Head>,
    /// The hub's life for this company.
    #[n(4)]
    pub epoch: Option<HubEpoch>,
}

/// A blob to come.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NewUpload {
    /// BLAKE3 of the ciphertext.
    #[n(0)]
    pub blob: BlobId,
    /// Its length in bytes.
    #[n(1)]
    pub sealed_bytes: u64,
    /// The thread whose members may have it.
    #[n(2)]
    pub thread: ThreadId,
}

/// An upload's name at the hub: the last part of its URL.
pub type UploadName = String;

/// How an upload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upload {
    /// Go on at this offset.
    Open {
        /// Its name.
        name: UploadName,
        /// Bytes the hub has on disk.
        offset_bytes: u64,
    },
    /// The hub holds the blob.
    Complete(BlobReceipt),
}

/// Challenges the hub to show that it holds a blob.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Challenge {
    /// The blob.
    #[n(0)]
    pub blob: BlobId,
    /// Fresh.
    #[n(1)]
    pub nonce: Hash32,
    /// Which bytes to hash.
    #[n(2)]
    pub slices: Vec<Slice>,
}

/// Puts an enrolment message into a mailbox, once per slot.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Mail {
    /// Derived from the one-time secret.
    #[n(0)]
    pub mailbox: Hash32,
    /// 0 = the office opens it; then each step of the enrolment has one.
    #[n(1)]
    pub slot: u8,
    /// The message.
    #[n(2)]
    pub message: ByteVec,
}

/// Asks for a message.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MailAt {
    /// Derived from the one-time secret.
    #[n(0)]
    pub mailbox: Hash32,
    /// Which step.
    #[n(1)]
    pub slot: u8,
}

/// Before a login: greeting, founding, enrolment mailboxes.
pub trait Door: Send + Sync {
    /// Who the hub is.
    fn hello(&self) -> impl Future<Output = Result<Hello, HubError>> + Send;
    /// Begins a company; repeating the same founding is fine.
    fn found(&self, founding: Founding) -> impl Future<Output = Result<(), HubError>> + Send;
    /// Leaves an enrolment message. Slot 0 needs a login ([`Hub::open_mailbox`]).
    fn put_mail(&self, mail: Mail) -> impl Future<Output = Result<(), HubError>> + Send;
    /// Reads an enrolment message; `NotThere` until it was left.
    fn mail(&self, at: MailAt) -> impl Future<Output = Result<Vec<u8>, HubError>> + Send;
}

/// After a login, as one device of one company.
pub trait Hub: Send + Sync {
    /// Hands ops over.
    fn push(&self, push: Push) -> impl Future<Output = Result<PushAnswer, HubError>> + Send;
    /// Asks for what is new.
    fn pull(&self, pull: Pull) -> impl Future<Output = Result<PullAnswer, HubError>> + Send;
    /// Asks for a thread.
    fn fetch(&self, fetch: Fetch) -> impl Future<Output = Result<FetchAnswer, HubError>> + Send;
    /// Asks for heads.
    fn heads(&self, heads: Heads) -> impl Future<Output = Result<HeadsAnswer, HubError>> + Send;
    /// Asks how far seats have come. Office devices.
    fn last_ops(
        &self,
        asked: LastOps,
    ) -> impl Future<Output = Result<LastOpsAnswer, HubError>> + Send;
    /// Appends to the roster by compare-and-swap.
    fn append_roster(
        &self,
        append: AppendRoster,
    ) -> impl Future<Output = Result<(), HubError>> + Send;
    /// Asks for the roster.
    fn roster(
        &self,
        from: RosterFrom,
    ) -> impl Future<Output = Result<RosterAnswer, HubError>> + Send;
    /// Opens a mailbox for ten minutes and five tries.
    fn open_mailbox(&self, mailbox: Hash32) -> impl Future<Output = Result<(), HubError>> + Send;
    /// Announces a blob; an upload that was begun goes on.
    fn create_upload(
        &self,
        new: NewUpload,
    ) -> impl Future<Output = Result<Upload, HubError>> + Send;
    /// Where an upload stands.
    fn upload(&self, name: &str) -> impl Future<Output = Result<Upload, HubError>> + Send;
    /// Appends bytes at an offset.
    fn append_upload(
        &self,
        name: &str,
        offset_bytes: u64,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<Upload, HubError>> + Send;
    /// A piece of a blob, at most `max_bytes`.
    fn download(
        &self,
        blob: BlobId,
        offset_bytes: u64,
        max_bytes: u32,
    ) -> impl Future<Output = Result<Vec<u8>, HubError>> + Send;
    /// Shows that the hub holds a blob.
    fn prove(
        &self,
        challenge: Challenge,
    ) -> impl Future<Output = Result<Possession, HubError>> + Send;
    /// Waits until the hub has something beyond this sequence for the company; may return early.
    fn wake(&self, after_hub_seq: u64) -> impl Future<Output = Result<u64, HubError>> + Send;
}
