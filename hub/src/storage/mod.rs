//! What the hub keeps, behind two traits: rows ([`Storage`]) and blob bytes ([`BlobStore`]).
//!
//! The embedded face implements them with `SQLite` and a folder; a scaled face will with
//! `PostgreSQL` and an object store. Nothing here judges, verifies or signs, and no content is
//! readable in what it keeps. Calls block; the caller moves them off the async threads.

mod append;
pub mod blobs;
mod erasures;
mod rows;
mod schema;
pub mod sqlite;

use kolonne_model::ids::{
    BlobId, CompanyId, DeviceId, Hash32, Head, HubEpoch, OpId, SeatId, Signature, Strand,
    StrandHead, ThreadId,
};
use kolonne_model::op::{Class, Context, Op};
use kolonne_model::strand::{VerifiedOp, VerifiedSegment};

/// Why the storage didn't do it.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The database.
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file.
    #[error("file: {0}")]
    File(#[from] std::io::Error),
    /// Something that is kept isn't as it was written.
    #[error("stored data is damaged")]
    Damaged,
    /// Written by a newer hub: left untouched.
    #[error("data of a newer hub")]
    Newer,
    /// What was to be committed with others wasn't.
    #[error("not committed")]
    NotCommitted,
}

/// What a storage call answers.
pub type Stored<T> = Result<T, StorageError>;

/// A roster op that a device knew and this database did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignOfRestore {
    /// The op.
    pub op: OpId,
    /// Who wrote it.
    pub author: SeatId,
    /// When it was shown.
    pub at_ms: u64,
}

/// A company, as far as its sequence has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Company {
    /// The storage's own number for it.
    pub row: i64,
    /// The newest hub sequence.
    pub hub_seq: u64,
    /// How many roster ops it has.
    pub roster_len: u32,
    /// Bytes of payloads, parts and blobs.
    pub stored_bytes: u64,
}

/// An op as it lies here; without its own signature a later one of its strand proves it.
#[derive(Debug, Clone)]
pub struct StoredOp {
    /// The sequence it took; none: a bare form that only proves others.
    pub hub_seq: Option<u64>,
    /// The op; its payload only where asked for.
    pub op: Op,
    /// Its id.
    pub id: OpId,
    /// Its own signature.
    pub signature: Option<Signature>,
}

impl StoredOp {
    /// As the model's proven op.
    #[must_use]
    pub fn verified(&self) -> VerifiedOp {
        VerifiedOp::from_own_log(self.op.clone(), self.signature)
    }
}

/// What took a hub sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// An op, or the payload it had lacked.
    Op {
        /// The op.
        id: OpId,
        /// Its class.
        class: Class,
    },
    /// A part.
    Part {
        /// The op that names it.
        op: OpId,
        /// Its hash.
        hash: Hash32,
    },
    /// A blob, for a thread.
    Blob(BlobId),
}

/// An entry of a company's sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEntry {
    /// The sequence.
    pub hub_seq: u64,
    /// The thread it belongs to.
    pub thread: ThreadId,
    /// What.
    pub item: Item,
    /// About how many bytes it is on the wire.
    pub bytes: u64,
}

/// Which payloads a push may keep.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// When it came, ms.
    pub received_ms: u64,
    /// Payloads of data ops that would raise the company's bytes above this are dropped.
    pub quota_bytes: u64,
}

/// A part that an op of the log names.
#[derive(Debug, Clone, Copy)]
pub struct PartToKeep<'a> {
    /// The op.
    pub op: OpId,
    /// Its hash.
    pub hash: Hash32,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What became of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// All its ops are here, the last at this head and sequence.
    Through {
        /// The newest head and its sequence.
        head: Head,
        /// The sequence it took.
        hub_seq: u64,
        /// The strand's short name.
        handle: u64,
        /// Whether the strand has two ops at one place.
        forked: bool,
        /// Ops kept without the payload they came with.
        payloads_dropped: Vec<OpId>,
    },
    /// Its predecessor isn't here.
    Gap,
}

/// What became of roster ops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterKept {
    /// They are the newest now (or lay here already).
    Appended,
    /// Others came before them.
    Moved,
}

/// Where an op of a thread stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadOp {
    /// The sequence it took.
    pub hub_seq: u64,
    /// Its place and id.
    pub at: StrandHead,
    /// The op before it.
    pub previous: OpId,
    /// About how many bytes it is on the wire.
    pub bytes: u64,
}

/// A thread's place in a company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadRow {
    /// The thread.
    pub thread: ThreadId,
    /// The sequence of its first op.
    pub first_seq: u64,
    /// The sequence of its newest control op; 0: none.
    pub control_seq: u64,
    /// XOR of its heads' sums.
    pub sum: [u8; 16],
}

/// A blob that is here whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// Its length in bytes.
    pub sealed_bytes: u64,
    /// The sequence of its completion.
    pub hub_seq: u64,
    /// When, ms.
    pub time_ms: u64,
    /// The threads it was announced for.
    pub threads: Vec<ThreadId>,
}

/// A blob on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// Its name.
    pub name: String,
    /// Whose.
    pub company: CompanyId,
    /// From which device.
    pub device: DeviceId,
    /// Which blob.
    pub blob: BlobId,
    /// For which thread.
    pub thread: ThreadId,
    /// How long it will be.
    pub sealed_bytes: u64,
    /// When it began, ms.
    pub begun_ms: u64,
}

/// A login that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The company.
    pub company: CompanyId,
    /// The device.
    pub device: DeviceId,
    /// Until when, ms.
    pub until_ms: u64,
}

/// What an erase takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasedThing {
    /// What an op says.
    Op(OpId),
    /// A blob.
    Blob(BlobId),
}

/// Something that may be destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToDestroy {
    /// What.
    pub thing: ErasedThing,
    /// The first erase that names it.
    pub erase: OpId,
    /// How many days after that one came.
    pub days: u16,
}

/// Something whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueErasure {
    /// Whose.
    pub company: CompanyId,
    /// In which thread.
    pub thread: ThreadId,
    /// What.
    pub thing: ErasedThing,
}

/// Rows. The order of commits is the order of sequences: whoever implements this updates the
/// company's row in the transaction that takes sequences of it.
pub trait Storage: BlobRows + Sessions + Send + Sync {
    /// The hub's life.
    fn epoch(&self) -> HubEpoch;
    /// A company; none: not founded here.
    fn company(&self, company: &CompanyId) -> Stored<Option<Company>>;
    /// How many companies there are.
    fn companies(&self) -> Stored<u64>;
    /// Whether it takes something: writes a little and for good.
    fn try_room(&self) -> Stored<()>;
    /// A company's life here: the hub's, or its own since it was put back.
    fn epoch_of(&self, company: &CompanyId) -> Stored<HubEpoch>;
    /// A roster op shows that this database was put back: the company's life begins anew. The same
    /// op shows it once, and one author no more than `most` times since a moment, ms. Whether it
    /// began.
    fn begin_epoch(
        &self,
        company: &CompanyId,
        sign: &SignOfRestore,
        most: (u32, u64),
        random: [u8; 8],
    ) -> Stored<bool>;
    /// A company is found by another root from now on.
    fn name_by_root(&self, root: &CompanyId, company: &CompanyId) -> Stored<()>;
    /// The company of a root that isn't its first.
    fn by_root(&self, root: &CompanyId) -> Stored<Option<CompanyId>>;

    /// Appends roster ops (dense, proven) if they follow the newest; founds the company with the
    /// first one. Ops that lie here already are passed over. Parts that these ops name are kept in
    /// the same transaction: nobody sees an end without its cuts.
    fn append_roster(
        &self,
        company: &CompanyId,
        ops: &[VerifiedOp],
        parts: &[PartToKeep<'_>],
        keep: Keep,
    ) -> Stored<RosterKept>;
    /// Appends proven segments in order, in one transaction, which what others push at the same time
    /// may share; the answer comes after its commit.
    fn append(
        &self,
        company: &CompanyId,
        segments: Vec<VerifiedSegment>,
        keep: Keep,
    ) -> Stored<Vec<Kept>>;
    /// Keeps parts whose ops are here and that are not here yet.
    fn append_parts(&self, company: &CompanyId, parts: &[PartToKeep<'_>]) -> Stored<()>;

    /// The strand of a handle.
    fn strand(&self, company: &CompanyId, handle: u64) -> Stored<Option<Strand>>;
    /// The first op stored at a place of a strand.
    fn op_at(
        &self,
        company: &CompanyId,
        strand: &Strand,
        seq: u32,
    ) -> Stored<Option<(OpId, Context)>>;
    /// An op with its payload.
    fn op(&self, company: &CompanyId, id: &OpId) -> Stored<Option<StoredOp>>;
    /// The op or bare form that came with this one as its next, without payload: it, or one
    /// after it, has a signature.
    fn successor(&self, company: &CompanyId, id: &OpId) -> Stored<Option<StoredOp>>;
    /// Roster ops from a place of the chain on, with payloads.
    fn roster_ops(&self, company: &CompanyId, from: u32, limit: u32) -> Stored<Vec<StoredOp>>;
    /// A thread's control ops with payloads, and what their chains need before them without.
    fn control_chains(&self, company: &CompanyId, thread: &ThreadId) -> Stored<Vec<StoredOp>>;
    /// The company's sequence beyond a point.
    fn log(&self, company: &CompanyId, after: u64, limit: u32) -> Stored<Vec<LogEntry>>;
    /// The places of all ops of a thread, in the order they came.
    fn thread_ops(&self, company: &CompanyId, thread: &ThreadId) -> Stored<Vec<ThreadOp>>;
    /// The threads of a company that have changed control ops since, or all (0).
    fn threads(&self, company: &CompanyId, control_after: u64) -> Stored<Vec<ThreadRow>>;
    /// Heads of all branches of a thread.
    fn heads(&self, company: &CompanyId, thread: &ThreadId) -> Stored<Vec<StrandHead>>;
    /// The parts of an op: hash and bytes.
    fn parts(&self, company: &CompanyId, op: &OpId) -> Stored<Vec<(Hash32, Vec<u8>)>>;
    /// One part.
    fn part(&self, company: &CompanyId, op: &OpId, hash: &Hash32) -> Stored<Option<Vec<u8>>>;
    /// How many ops of a seat came since a time, and their payload bytes.
    fn seat_load(&self, company: &CompanyId, seat: &SeatId, since_ms: u64) -> Stored<(u64, u64)>;

    /// Remembers what may be destroyed in a thread, in place of what was remembered.
    fn note_erasures(
        &self,
        company: &CompanyId,
        thread: &ThreadId,
        things: &[ToDestroy],
    ) -> Stored<()>;
    /// Some of what is due now, of all companies.
    fn due_erasures(&self, now_ms: u64) -> Stored<Vec<DueErasure>>;
    /// Destroys it but for files; the answer is the blobs whose files may go too.
    fn destroy(&self, due: &[DueErasure]) -> Stored<Vec<DueErasure>>;
    /// Remembers that it is destroyed, files too.
    fn destroyed(&self, due: &[DueErasure]) -> Stored<()>;
}

/// Which blobs a company has, and which are on their way.
pub trait BlobRows {
    /// A blob that is here whole.
    fn blob(&self, company: &CompanyId, blob: &BlobId) -> Stored<Option<BlobRow>>;
    /// The blobs of a thread.
    fn blobs(&self, company: &CompanyId, thread: &ThreadId) -> Stored<Vec<BlobId>>;
    /// A blob's bytes are here whole: takes sequences and forgets its upload.
    fn complete_blob(&self, upload: &UploadRow, time_ms: u64) -> Stored<BlobRow>;
    /// Bytes of blobs that a device brought since a time.
    fn device_blob_bytes(
        &self,
        company: &CompanyId,
        device: &DeviceId,
        since_ms: u64,
    ) -> Stored<u64>;
    /// Remembers an upload.
    fn put_upload(&self, upload: &UploadRow) -> Stored<()>;
    /// An upload by name.
    fn upload(&self, name: &str) -> Stored<Option<UploadRow>>;
    /// All uploads of a device.
    fn uploads(&self, company: &CompanyId, device: &DeviceId) -> Stored<Vec<UploadRow>>;
    /// Uploads begun before a time.
    fn stale_uploads(&self, before_ms: u64) -> Stored<Vec<UploadRow>>;
    /// Forgets an upload.
    fn drop_upload(&self, name: &str) -> Stored<()>;
}

/// Who is logged in.
pub trait Sessions {
    /// Remembers a login by its token's hash; the device's oldest go beyond a few.
    fn put_session(&self, token_hash: &[u8; 32], session: &Session) -> Stored<()>;
    /// A login by its token's hash.
    fn session(&self, token_hash: &[u8; 32]) -> Stored<Option<Session>>;
    /// Forgets logins that ran out.
    fn drop_sessions(&self, now_ms: u64) -> Stored<()>;
}

/// Blob bytes.
pub trait BlobStore: Send + Sync {
    /// Whether it takes something: writes a piece and removes it again.
    fn try_room(&self) -> Stored<()>;
    /// How many bytes of an upload are here.
    fn partial_len(&self, name: &str) -> Stored<u64>;
    /// Writes bytes at the end of an upload, which must be at `offset_bytes`.
    fn write(&self, name: &str, offset_bytes: u64, bytes: &[u8]) -> Stored<()>;
    /// Makes an upload a blob, durably, if its bytes have the blob's hash; else removes it.
    fn finish(&self, name: &str, company: &CompanyId, blob: &BlobId) -> Stored<Finished>;
    /// Removes an upload's bytes.
    fn remove_partial(&self, name: &str) -> Stored<()>;
    /// Removes a blob's bytes; ones that aren't here are fine.
    fn remove(&self, company: &CompanyId, blob: &BlobId) -> Stored<()>;
    /// Reads at most `max` bytes of a blob.
    fn read(
        &self,
        company: &CompanyId,
        blob: &BlobId,
        offset_bytes: u64,
        max: usize,
    ) -> Stored<Vec<u8>>;
}

/// How finishing an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The blob is durable.
    Durable,
    /// Its bytes hash to something else; they are gone.
    OtherHash,
}
