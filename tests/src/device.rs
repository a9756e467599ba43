//! A device in a story: it takes photos, loses its network, syncs, and shows what it has.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kolonne_core::capture::About;
use kolonne_core::crypt::Identity;
use kolonne_core::records::{Entry, EntryKind, Media, MemberKind, Part, State, ThreadRow};
use kolonne_core::transport::Trust;
use kolonne_core::{Budget, Clock, Config, Error, Flight, Kolonne, PinCost, SyncReport};
use kolonne_model::ids::{BlobId, OpId, RingId, SeatId, ThreadId};
use rusqlite::{Connection, OpenFlags};

/// A story that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// One device of the company.
pub struct Device {
    /// Its folder.
    pub dir: PathBuf,
    /// How far its clock is off, ms.
    pub clock_off_ms: Arc<AtomicI64>,
    kolonne: Option<Kolonne>,
}

/// How a folder is opened with a clock that can be set.
pub fn config(dir: PathBuf, off_ms: &Arc<AtomicI64>) -> Config {
    let off_ms = Arc::clone(off_ms);
    let clock: Clock = Arc::new(move || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        (now.as_millis() as u64).saturating_add_signed(off_ms.load(Ordering::Relaxed))
    });
    Config {
        dir,
        clock,
        trust: Trust::System,
        // So that a story of thousands of guesses ends.
        pin_cost: PinCost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        },
        carrier: None,
    }
}

impl Device {
    /// A device as it was founded or enrolled.
    pub fn new(dir: PathBuf, clock_off_ms: Arc<AtomicI64>, kolonne: Kolonne) -> Self {
        Self {
            dir,
            clock_off_ms,
            kolonne: Some(kolonne),
        }
    }

    /// Its engine.
    pub fn core(&self) -> &Kolonne {
        self.kolonne.as_ref().expect("the device is switched on")
    }

    /// Closes its folder, so that another process may open it.
    pub fn switch_off(&mut self) {
        self.kolonne = None;
    }

    /// Opens its folder (again).
    pub fn switch_on(&mut self) {
        self.kolonne = None;
        let config = config(self.dir.clone(), &self.clock_off_ms);
        self.kolonne = Some(Kolonne::open(config).unwrap());
    }

    /// Moves its clock on.
    pub fn later(&self, time: Duration) {
        let ms = time.as_millis() as i64;
        self.clock_off_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Sets its clock back.
    pub fn earlier(&self, time: Duration) {
        let ms = time.as_millis() as i64;
        self.clock_off_ms.fetch_sub(ms, Ordering::Relaxed);
    }

    /// The seat of its first person.
    pub fn seat(&self) -> SeatId {
        self.core().me().unwrap().seats[0].seat
    }

    /// The seat of a person.
    pub fn seat_of(&self, name: &str) -> SeatId {
        let seats = self.core().me().unwrap().seats;
        let seat = seats.iter().find(|seat| seat.name == name);
        seat.unwrap_or_else(|| panic!("{name} is not on this device: {seats:?}"))
            .seat
    }

    /// The ring of a crew or person, by name.
    pub fn ring(&self, name: &str) -> RingId {
        let (people, crews) = self.core().people().unwrap();
        let crew = crews.iter().find(|crew| crew.name == name).map(|c| c.id);
        let person = people.iter().find(|p| p.name == name);
        crew.or(person.map(|p| p.own_ring.unwrap_or(p.id)))
            .unwrap_or_else(|| panic!("{name} is nobody: {crews:?} {people:?}"))
    }

    /// No network from now on.
    pub fn offline(&self) {
        self.core().set_flight(Flight::On);
    }

    /// Network again.
    pub fn online(&self) {
        self.core().set_flight(Flight::Off);
    }

    /// Its person asks for a try now, also of what waits for its next one.
    pub fn tries_again(&self) {
        self.core().nudge();
    }

    /// Syncs until nothing can be done.
    pub async fn sync(&self) -> SyncReport {
        self.try_sync().await.unwrap()
    }

    /// Syncs, or says why not.
    pub async fn try_sync(&self) -> Result<SyncReport, Error> {
        self.core().sync_once(Budget::unlimited()).await
    }

    /// Syncs, but carries no more blobs than this.
    pub async fn sync_within(&self, blob_bytes: u64) -> SyncReport {
        let budget = Budget {
            time: None,
            blob_bytes: Some(blob_bytes),
        };
        self.core().sync_once(budget).await.unwrap()
    }

    /// Waits, while it syncs by itself, until this holds; looks whenever something changed.
    pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.core().subscribe();
        let wait = async {
            while !holds(self) {
                // Overflow is a change too.
                let _ = changes.recv().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.expect("it comes by itself");
    }

    /// Its first person writes.
    pub fn text(&self, job: &ThreadId, text: &str) -> OpId {
        self.text_as(&self.seat(), job, text)
    }

    /// A person writes.
    pub fn text_as(&self, seat: &SeatId, job: &ThreadId, text: &str) -> OpId {
        let about = About::default();
        self.core().send_text(seat, job, text, &about).unwrap()
    }

    /// Its first person answers.
    pub fn reply(&self, job: &ThreadId, to: OpId, text: &str) -> OpId {
        let about = About {
            reply_to: Some(to),
            ..About::default()
        };
        let seat = self.seat();
        self.core().send_text(&seat, job, text, &about).unwrap()
    }

    /// Takes a photo.
    pub fn photo(&self, job: &ThreadId, bytes: &[u8]) -> OpId {
        let (seat, about) = (self.seat(), About::default());
        self.core().send_photo(&seat, job, bytes, &about).unwrap()
    }

    /// Speaks.
    pub fn voice(&self, job: &ThreadId, bytes: &[u8]) -> OpId {
        let (seat, about) = (self.seat(), About::default());
        self.core().send_voice(&seat, job, bytes, &about).unwrap()
    }

    /// Its jobs, as its first person sees them.
    pub fn jobs(&self) -> Vec<ThreadRow> {
        self.core().threads(&self.seat(), "").unwrap()
    }

    /// Whether it knows of a job at all.
    pub fn knows(&self, job: &ThreadId) -> bool {
        self.core().thread(&self.seat(), job).is_ok()
    }

    /// All entries of a job, oldest first.
    pub fn entries(&self, job: &ThreadId) -> Vec<Entry> {
        let (seat, mut before) = (self.seat(), None);
        let mut all = Vec::new();
        loop {
            let page = self.core().entries(&seat, job, before, 200).unwrap();
            all.splice(..0, page.entries);
            before = page.before;
            if before.is_none() {
                return all;
            }
        }
    }

    /// One entry.
    pub fn entry(&self, job: &ThreadId, id: &OpId) -> Entry {
        let entries = self.entries(job);
        let found = entries.into_iter().find(|entry| entry.id == *id);
        found.expect("the entry is in the thread")
    }

    /// How far an entry has come.
    pub fn state(&self, job: &ThreadId, id: &OpId) -> State {
        self.entry(job, id).state
    }

    /// A part of an entry.
    pub fn media(&self, entry: &OpId, part: Part) -> Result<Media, Error> {
        self.core().media(entry, part)
    }

    /// The thread as a person would read it aloud: the same lines on every device that has all.
    pub fn thread(&self, job: &ThreadId) -> String {
        let head = self.core().thread(&self.seat(), job).unwrap();
        let mut out = format!(
            "# {} | {} | {} | {}\n",
            head.row.title,
            head.row.customer.as_deref().unwrap_or("-"),
            head.row.address.as_deref().unwrap_or("-"),
            head.row.status.as_deref().unwrap_or("-"),
        );
        // The office has no name: each language calls it by its own word.
        let members: Vec<&str> = head
            .members
            .iter()
            .map(|member| match member.kind {
                MemberKind::Office => "the office",
                MemberKind::Crew | MemberKind::Person => &member.name,
            })
            .collect();
        writeln!(out, "# with {}", members.join(", ")).unwrap();
        for entry in self.entries(job) {
            writeln!(out, "{}", line(&entry)).unwrap();
        }
        let waiting = (head.row.held, head.row.quarantined);
        if waiting != (0, 0) {
            writeln!(out, "# held and quarantined: {waiting:?}").unwrap();
        }
        out
    }

    /// Its database, opened beside the engine with the device's key.
    pub fn database(&self) -> Connection {
        let key = std::fs::read(self.dir.join("device.key")).unwrap();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let db = Connection::open_with_flags(self.dir.join("kolonne.db"), flags).unwrap();
        let key = data_encoding::HEXLOWER.encode(&key);
        db.execute_batch(&format!(
            "PRAGMA key = \"x'{key}'\"; PRAGMA query_only = 1;"
        ))
        .unwrap();
        db
    }

    /// Ops of a thread that lie in its database, whatever became of them.
    pub fn ops_of(&self, thread: &ThreadId) -> u64 {
        let sql = "SELECT count(*) FROM ops WHERE thread = ?1";
        let n: i64 = self
            .database()
            .query_row(sql, [thread.0.as_slice()], |row| row.get(0))
            .unwrap();
        n.cast_unsigned()
    }

    /// Whether an op lies in its database.
    pub fn holds_op(&self, op: &OpId) -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM ops WHERE id = ?1)";
        let db = self.database();
        db.query_row(sql, [op.0.as_slice()], |row| row.get(0))
            .unwrap()
    }

    /// The key id that an op's signed form names: 16 bytes at 130.
    pub fn key_of(&self, op: &OpId) -> Vec<u8> {
        let sql = "SELECT substr(form, 131, 16) FROM ops WHERE id = ?1";
        let db = self.database();
        db.query_row(sql, [op.0.as_slice()], |row| row.get(0))
            .unwrap()
    }

    /// All private keys that lie in its database.
    pub fn secrets(&self) -> Vec<Identity> {
        let db = self.database();
        let sql = "SELECT secret FROM ring_secrets UNION ALL SELECT identity FROM own_seats
             UNION ALL SELECT value FROM meta WHERE key = 'device_identity'";
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0));
        let secret = |bytes: Vec<u8>| Identity::from_bytes(bytes.as_slice().try_into().unwrap());
        rows.unwrap()
            .map(|row| secret(row.unwrap()).unwrap())
            .collect()
    }

    /// Names of the blobs in its folder.
    pub fn blob_files(&self) -> Vec<BlobId> {
        crate::fence::files_below(&self.dir.join("blobs"))
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .collect()
    }
}

fn line(entry: &Entry) -> String {
    let said = match (&entry.text, &entry.caption, &entry.notice) {
        (Some(text), _, _) => format!("\"{text}\""),
        (_, Some(caption), _) => format!("with \"{caption}\""),
        (_, _, Some(notice)) => format!(
            "{} \"{}\"",
            notice.code,
            notice.value.as_deref().unwrap_or_default()
        ),
        _ => String::new(),
    };
    let mut out = format!("{}: {:?} {said}", entry.author.name, entry.kind);
    if let Some(photo) = &entry.photo {
        write!(out, " {}x{}", photo.width, photo.height).unwrap();
    }
    if let Some(voice) = &entry.voice {
        write!(out, " {} ms", voice.duration_ms).unwrap();
    }
    if let Some(document) = &entry.document {
        write!(out, " {} ({} bytes)", document.name, document.bytes).unwrap();
    }
    if let Some(quote) = &entry.reply_to {
        write!(out, " to {}: \"{}\"", quote.author, quote.snippet).unwrap();
    }
    if entry.edited {
        out.push_str(" (edited)");
    }
    if let Some(retracted) = &entry.retracted {
        let reason = retracted.reason.as_deref().unwrap_or("-");
        write!(out, " (taken back: {reason})").unwrap();
    }
    if entry.kind != EntryKind::Notice {
        write!(out, " [{:?}]", entry.state).unwrap();
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}
