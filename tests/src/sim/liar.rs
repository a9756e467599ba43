//! What a hub can tell that isn't so. It has the company's own hub key and reads no content: it can
//! hold back, show less or more than it has, sign for what it never kept, and answer with nonsense;
//! it can't write an op. A lie holds for a while, towards one device or all of them.

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use futures_util::FutureExt;
use kolonne_core::transport::{Reply, Request};
use kolonne_hub::Connection;
use kolonne_model::hub::{
    Cursor, Heads, Hub, HubError, Pull, PushAnswer, RefusalCode, RosterFrom, SegmentOutcome, Upload,
};
use kolonne_model::ids::{
    BlobId, CompanyId, DeviceId, Head, HubEpoch, OpId, SeatId, StoreId, Strand, StrandHead,
    ThreadId, head_sum,
};
use kolonne_model::op::Class;
use kolonne_model::page::{
    self, NoBases, ReceivedSegment, SegmentToSend, StrandName, write_segment,
};
use kolonne_model::receipt::{BlobReceipt, OpReceipt};

use super::chance::Chance;

/// One kind of lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// A thread isn't there.
    HidesAThread(ThreadId),
    /// What one seat wrote in a thread isn't there.
    HidesAStrand(ThreadId, SeatId),
    /// The roster is shorter by so many ops.
    OlderRoster(u32),
    /// Heads of ops that nobody wrote.
    MoreHeads,
    /// Fewer and older heads than it has.
    FewerHeads,
    /// When a right ends, some heads of its seat are left out.
    ShortCut,
    /// Ops are signed for and thrown away.
    SignsForOpsItThrowsAway,
    /// Receipts are of another seq, op, store, life or place, and signed.
    OtherReceipts,
    /// Blobs are signed for and thrown away.
    SignsForBlobsItThrowsAway,
    /// Sums that fit nothing.
    WrongSums,
    /// The cursor stays where it was.
    SameCursor,
    /// Each page comes twice, the one before it too.
    PagesTwice,
    /// Good ops are refused, strands are said to be forked, payloads to be left out.
    Refuses,
    /// Errors that mean something else.
    OtherErrors,
    /// Blobs have other bytes, aren't there, or are announced that nobody has.
    OtherBlobs,
    /// Its clock is anywhere, and news is announced that there isn't.
    TimeAndNews,
}

impl Lie {
    /// What the story calls it: ids are others in each company.
    pub fn name(self) -> String {
        let told = format!("{self:?}");
        let end = told.find("ThreadId").unwrap_or(told.len() + 1);
        told.chars().take(end - 1).collect()
    }

    /// Whether whoever believes it may think that something is safe that isn't.
    pub fn makes_believe(self) -> bool {
        matches!(
            self,
            Self::SignsForOpsItThrowsAway | Self::SignsForBlobsItThrowsAway | Self::OtherReceipts
        )
    }
}

/// A lie for a while.
#[derive(Debug, Clone)]
struct Told {
    lie: Lie,
    /// Only to this device.
    to: Option<DeviceId>,
    until_ms: u64,
}

/// What makes a hub a lying one.
pub struct Liar {
    key: SigningKey,
    chance: Chance,
    told: Vec<Told>,
    last_page: Vec<u8>,
}

/// Whom it lies to, and what it would have said.
pub struct Asker<'a> {
    /// The company.
    pub company: CompanyId,
    /// Who asks.
    pub device: DeviceId,
    /// The way to the truth.
    pub truth: &'a Connection,
    /// The hub's clock.
    pub now_ms: u64,
}

impl Liar {
    /// A hub that can lie with this key.
    pub fn new(key: SigningKey, chance: Chance) -> Self {
        Self {
            key,
            chance,
            told: Vec::new(),
            last_page: Vec::new(),
        }
    }

    /// Another hub lies from now on.
    pub fn takes_key(&mut self, key: SigningKey) {
        self.key = key;
    }

    /// It begins to tell a lie.
    pub fn tell(&mut self, lie: Lie, to: Option<DeviceId>, until_ms: u64) {
        // The same twice at once says no more, and would double what is doubled.
        self.told.retain(|told| told.lie != lie);
        self.told.push(Told { lie, to, until_ms });
    }

    /// From now on it says what is so.
    pub fn repent(&mut self) {
        self.told.clear();
    }

    fn lies_to(&mut self, asker: &Asker<'_>) -> Vec<Lie> {
        self.told.retain(|told| told.until_ms > asker.now_ms);
        let to_it = |told: &&Told| told.to.is_none_or(|to| to == asker.device);
        let lies = self.told.iter().filter(to_it);
        lies.map(|told| told.lie).collect()
    }

    /// An answer that is given without doing anything.
    pub fn instead(
        &mut self,
        asker: &Asker<'_>,
        request: &Request,
    ) -> Option<Result<Reply, HubError>> {
        for lie in self.lies_to(asker) {
            match (lie, request) {
                (Lie::SignsForOpsItThrowsAway, Request::Push(push)) => {
                    return self.signs(asker, &push.page).map(Reply::Push).map(Ok);
                }
                (Lie::SignsForBlobsItThrowsAway, Request::CreateUpload(new)) => {
                    let signed = self.signs_for_blob(asker, new.blob, new.sealed_bytes)?;
                    return Some(Ok(Reply::Upload(Upload::Complete(signed))));
                }
                (Lie::OtherErrors, request) if self.chance.permille(300) => {
                    let mut errors = vec![
                        HubError::NotAllowed,
                        HubError::NotThere,
                        HubError::LoginNeeded,
                        HubError::OtherEpoch,
                        HubError::RosterMoved,
                        HubError::OtherKey,
                        HubError::OtherOffset { offset_bytes: 77 },
                        HubError::NotNow {
                            retry_after_ms: 90_000,
                        },
                    ];
                    if !matches!(request, Request::CreateUpload(_)) {
                        errors.push(HubError::TooLarge);
                    }
                    return self.chance.of(&errors).cloned().map(Err);
                }
                (Lie::TimeAndNews, Request::Wake { after_hub_seq })
                    if self.chance.permille(200) =>
                {
                    return Some(Ok(Reply::HubSeq(after_hub_seq + 1_000)));
                }
                (Lie::OtherBlobs, Request::Download { max_bytes, .. }) => {
                    let zeros = vec![0; *max_bytes as usize / 64];
                    return Some(match self.chance.below(2) {
                        0 => Ok(Reply::Bytes(zeros)),
                        _ => Err(HubError::NotThere),
                    });
                }
                _ => {}
            }
        }
        None
    }

    /// What becomes of an answer.
    pub fn twist(
        &mut self,
        asker: &Asker<'_>,
        request: &Request,
        answer: Result<Reply, HubError>,
    ) -> Result<Reply, HubError> {
        let mut answer = answer?;
        for lie in self.lies_to(asker) {
            match lie {
                Lie::HidesAThread(_) | Lie::HidesAStrand(..) => hide(asker, lie, &mut answer),
                Lie::OlderRoster(by) => shorten_roster(asker, by, &mut answer),
                Lie::MoreHeads | Lie::FewerHeads => self.other_heads(lie, &mut answer),
                Lie::ShortCut => self.shorten_cut(asker, &mut answer),
                Lie::OtherReceipts => self.other_receipts(asker, &mut answer),
                Lie::Refuses => self.refuse(&mut answer),
                Lie::OtherBlobs | Lie::WrongSums | Lie::TimeAndNews => {
                    self.other_words(lie, &mut answer);
                }
                Lie::SameCursor => {
                    if let (Reply::Pull(pull), Request::Pull(Pull { cursor, .. })) =
                        (&mut answer, request)
                    {
                        pull.cursor = cursor.unwrap_or(pull.cursor);
                        pull.more |= self.chance.permille(300);
                    }
                }
                Lie::PagesTwice => {
                    if let Some(page) = page_of(&mut answer) {
                        let once = page.clone();
                        page.extend_from_slice(&once);
                        page.extend(std::mem::replace(&mut self.last_page, once));
                    }
                }
                Lie::SignsForOpsItThrowsAway
                | Lie::SignsForBlobsItThrowsAway
                | Lie::OtherErrors => {}
            }
        }
        Ok(answer)
    }

    /// Receipts for the ops of a page that is thrown away. Segments by handle go again in full.
    fn signs(&mut self, asker: &Asker<'_>, page: &[u8]) -> Option<PushAnswer> {
        let (epoch, hub_seq) = life(asker)?;
        let mut answer = PushAnswer {
            receipts: Vec::new(),
            outcomes: Vec::new(),
            forked: Vec::new(),
            payloads_refused: Vec::new(),
        };
        let place = match self.chance.below(3) {
            0 => 1,
            1 => hub_seq,
            _ => hub_seq + 1 + self.chance.below(100) as u64,
        };
        for (at, segment) in page::read(page).ok()?.into_iter().enumerate() {
            let Ok(segment) = segment.resolve(&asker.company, &NoBases) else {
                let at = u32::try_from(at).ok()?;
                answer.outcomes.push((at, SegmentOutcome::NeedsFullValues));
                continue;
            };
            let Some(last) = segment.ops.iter().rev().nth(segment.links) else {
                continue;
            };
            let through = StrandHead {
                strand: segment.strand,
                head: Head {
                    seq: last.form.context.seq,
                    id: last.form.id(),
                },
            };
            let key = &self.key;
            let (life, now_ms) = ((epoch, place), asker.now_ms);
            let receipt = OpReceipt::new(key, &asker.company, through, life, now_ms, 7);
            answer.receipts.push(receipt);
        }
        Some(answer)
    }

    fn signs_for_blob(
        &mut self,
        asker: &Asker<'_>,
        blob: BlobId,
        bytes: u64,
    ) -> Option<BlobReceipt> {
        let (mut epoch, hub_seq) = life(asker)?;
        let place = match self.chance.below(3) {
            0 => 1,
            1 => hub_seq,
            _ => hub_seq + 1 + self.chance.below(100) as u64,
        };
        let mut about = (blob, bytes);
        match self.chance.below(8) {
            0 => about.0 = BlobId([7; 32]),
            1 => about.1 += 1,
            2 => epoch = HubEpoch([9; 8]),
            _ => {}
        }
        let life = (epoch, place);
        let receipt = BlobReceipt::new(&self.key, &asker.company, about, life, asker.now_ms);
        Some(receipt)
    }

    fn other_heads(&mut self, lie: Lie, answer: &mut Reply) {
        match answer {
            Reply::Pull(pull) => pull.sum[0] ^= 0x55,
            Reply::Heads(answer) if lie == Lie::FewerHeads => {
                answer.heads.retain(|_| self.chance.permille(700));
                let older = self.chance.below(answer.heads.len());
                if let Some(head) = answer.heads.get_mut(older) {
                    head.head.seq = head.head.seq.saturating_sub(1).max(1);
                    head.head.id = self.some_op();
                }
            }
            Reply::Heads(answer) => {
                let higher = self.chance.below(answer.heads.len());
                if let Some(head) = answer.heads.get_mut(higher) {
                    head.head.seq += 7;
                    head.head.id = self.some_op();
                    let mut of_nobody = *head;
                    of_nobody.strand.seat = SeatId([5; 16]);
                    let mut elsewhere = of_nobody;
                    elsewhere.strand.thread = ThreadId([6; 16]);
                    answer.heads.extend([of_nobody, elsewhere]);
                }
            }
            _ => {}
        }
    }

    fn some_op(&mut self) -> OpId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.chance.draw().to_be_bytes());
        OpId(id)
    }

    fn shorten_cut(&mut self, asker: &Asker<'_>, answer: &mut Reply) {
        let Reply::LastOps(last) = answer else { return };
        let Some(segments) = read(&asker.company, &last.page) else {
            return;
        };
        let kept: Vec<_> = segments
            .into_iter()
            .filter(|_| self.chance.permille(500))
            .collect();
        last.heads = u32::try_from(kept.len()).unwrap();
        last.page = write(&kept).into();
    }

    fn other_receipts(&mut self, asker: &Asker<'_>, answer: &mut Reply) {
        let Reply::Push(push) = answer else { return };
        for receipt in &mut push.receipts {
            let mut through = receipt.through;
            let mut life = (receipt.epoch, receipt.hub_seq);
            match self.chance.below(7) {
                0 => through.head.seq += 1,
                1 => through.head.seq = through.head.seq.saturating_sub(1),
                2 => through.head.id = self.some_op(),
                3 => through.strand.store = StoreId([3; 8]),
                4 => life.0 = HubEpoch([9; 8]),
                5 => life.1 = u64::MAX >> 2,
                _ => life.1 = 0,
            }
            let (company, now_ms) = (&asker.company, asker.now_ms);
            *receipt = OpReceipt::new(&self.key, company, through, life, now_ms, receipt.handle);
        }
        if self.chance.permille(300) {
            for receipt in &mut push.receipts {
                receipt.handle += 1;
            }
        }
    }

    fn refuse(&mut self, answer: &mut Reply) {
        let Reply::Push(push) = answer else { return };
        let outcomes = [
            SegmentOutcome::NeedsFullValues,
            SegmentOutcome::Gap,
            SegmentOutcome::NotNow,
            SegmentOutcome::Refused(RefusalCode::Form),
            SegmentOutcome::Refused(RefusalCode::Signature),
            SegmentOutcome::Refused(RefusalCode::Seat),
        ];
        let receipts = std::mem::take(&mut push.receipts);
        for (at, receipt) in receipts.into_iter().enumerate() {
            match self.chance.below(8) {
                0 => push.forked.push(receipt.through),
                1 => {
                    push.payloads_refused.push(receipt.through.head.id);
                    push.payloads_refused.push(self.some_op());
                    push.receipts.push(receipt);
                }
                _ => {
                    let outcome = *self.chance.of(&outcomes).unwrap();
                    let at = u32::try_from(at).unwrap();
                    push.outcomes.extend([(at, outcome), (at + 1_000, outcome)]);
                }
            }
        }
    }

    fn other_words(&mut self, lie: Lie, answer: &mut Reply) {
        match (lie, answer) {
            (Lie::WrongSums, Reply::Pull(pull)) => pull.sum[15] ^= 1,
            (Lie::TimeAndNews, Reply::Pull(pull)) => pull.time_ms = self.chance.draw() >> 20,
            (Lie::OtherBlobs, Reply::Pull(pull)) => pull.blobs = vec![BlobId([7; 32])],
            (Lie::OtherBlobs, Reply::Fetch(fetch)) => fetch.blobs = vec![BlobId([7; 32])],
            _ => {}
        }
    }
}

/// The company's life at the hub and its newest place.
fn life(asker: &Asker<'_>) -> Option<(HubEpoch, u64)> {
    let asked = Pull {
        cursor: None,
        limit_bytes: 1,
        start: None,
    };
    let Cursor { epoch, .. } = now(asker.truth.pull(asked)).ok()?.cursor;
    Some((epoch, now(asker.truth.wake(0)).ok()?))
}

/// What a hub in this program says, at once.
fn now<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("the service answers at once")
}

fn is_hidden(lie: Lie, strand: &Strand) -> bool {
    match lie {
        Lie::HidesAThread(thread) => strand.thread == thread,
        Lie::HidesAStrand(thread, seat) => (strand.thread, strand.seat) == (thread, seat),
        _ => false,
    }
}

fn hide(asker: &Asker<'_>, lie: Lie, answer: &mut Reply) {
    match answer {
        Reply::Pull(pull) => {
            let hidden = keep(asker, &mut pull.page, |segment| {
                !is_hidden(lie, &segment.strand)
            });
            pull.parts.retain(|part| !hidden.contains(&part.op));
            if let Lie::HidesAThread(hidden) = lie {
                pull.fill.retain(|thread| *thread != hidden);
            }
            // Its sum fits what it shows.
            let heads = Heads {
                threads: Vec::new(),
            };
            let heads = now(asker.truth.heads(heads)).map_or(Vec::new(), |answer| answer.heads);
            let sum = head_sum(heads.iter().filter(|head| is_hidden(lie, &head.strand)));
            for (to, from) in pull.sum.iter_mut().zip(sum) {
                *to ^= from;
            }
        }
        Reply::Fetch(fetch) => {
            let hidden = keep(asker, &mut fetch.page, |segment| {
                !is_hidden(lie, &segment.strand)
            });
            fetch.parts.retain(|part| !hidden.contains(&part.op));
        }
        Reply::Heads(heads) => heads.heads.retain(|head| !is_hidden(lie, &head.strand)),
        _ => {}
    }
}

/// Shows the roster as it was so many ops ago.
fn shorten_roster(asker: &Asker<'_>, by: u32, answer: &mut Reply) {
    let heads = now(asker.truth.heads(Heads {
        threads: vec![asker.company.roster_thread()],
    }));
    let Some(newest) = heads.ok().and_then(|answer| answer.roster) else {
        return;
    };
    let seq = newest.head.seq.saturating_sub(by).max(1);
    let Ok(there) = now(asker.truth.roster(RosterFrom { seq })) else {
        return;
    };
    let first = read(&asker.company, &there.page).and_then(|segments| {
        let segment = segments.first()?;
        Some(StrandHead {
            strand: segment.strand,
            head: Head {
                seq,
                id: segment.ops.first()?.form.id(),
            },
        })
    });
    let Some(older) = first else { return };
    let is_shown = |segment: &ReceivedSegment| {
        let mut ops = segment.ops.iter().map(|op| &op.form.context);
        ops.all(|op| op.class.class != Class::Roster || op.seq <= seq)
    };
    match answer {
        Reply::Pull(pull) => {
            keep(asker, &mut pull.page, is_shown);
            for head in [newest, older] {
                for (to, from) in pull.sum.iter_mut().zip(head.sum()) {
                    *to ^= from;
                }
            }
        }
        Reply::Roster(roster) => {
            keep(asker, &mut roster.page, is_shown);
            (roster.newest, roster.more) = (Some(older.head), false);
        }
        Reply::Heads(heads) => {
            heads.roster = heads.roster.and(Some(older));
        }
        _ => {}
    }
}

/// Keeps some segments of a page; the ops of the others.
fn keep(
    asker: &Asker<'_>,
    page: &mut minicbor::bytes::ByteVec,
    keeps: impl Fn(&ReceivedSegment) -> bool,
) -> BTreeSet<OpId> {
    let Some(segments) = read(&asker.company, page) else {
        return BTreeSet::new();
    };
    let (kept, left): (Vec<_>, Vec<_>) = segments.into_iter().partition(keeps);
    *page = write(&kept).into();
    let left = left.iter().flat_map(|segment| &segment.ops);
    left.map(|op| op.form.id()).collect()
}

fn page_of(answer: &mut Reply) -> Option<&mut Vec<u8>> {
    match answer {
        Reply::Pull(pull) => Some(&mut pull.page),
        Reply::Fetch(fetch) => Some(&mut fetch.page),
        Reply::Roster(roster) => Some(&mut roster.page),
        _ => None,
    }
}

fn read(company: &CompanyId, page: &[u8]) -> Option<Vec<ReceivedSegment>> {
    let raw = page::read(page).ok()?.into_iter();
    raw.map(|segment| segment.resolve(company, &NoBases).ok())
        .collect()
}

fn write(segments: &[ReceivedSegment]) -> Vec<u8> {
    let mut page = Vec::new();
    for segment in segments {
        write_segment(
            &mut page,
            &SegmentToSend {
                name: StrandName::Full(segment.strand),
                receivers_base: None,
                ops: &segment.ops,
                links: segment.links,
                signature: &segment.signature,
            },
        );
    }
    page
}
