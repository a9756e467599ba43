//! Reading a backup: item by item, each within its limits, nothing believed but what proves itself.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use kolonne_model::backup::{End, Head, ITEM_HEAD_BYTES, ItemHead, ItemKind, MARK};
use kolonne_model::cbor;
use kolonne_model::hub::{MAX_PART_BYTES, Part};
use kolonne_model::ids::{BlobId, CompanyId, OpId};
use kolonne_model::page::{self, MAX_PAGE_BYTES, NoBases};
use kolonne_model::roster::Roster;
use kolonne_model::strand::VerifiedOp;

use super::{BackupProgress, DAMAGED, Progress};
use crate::crypt::age_file::{self, Opened};
use crate::crypt::{CryptError, Identity, blob};
use crate::error::Error;
use crate::kolonne::Inner;
use crate::sync::lineage;
use crate::{folding, inbox, keys};

/// Largest of the small items.
const MAX_SMALL_BYTES: usize = 4096;
const ID_BYTES: usize = 32;

/// One item.
enum Item {
    Page(Vec<u8>),
    Part(Part),
    /// Its bytes are read next.
    Blob(BlobId),
    End,
}

/// The items of a backup.
struct Items<R> {
    inner: R,
    blob_left: u64,
    counted: End,
}

/// What fails in an age stream says that it was changed or cut off.
fn cut_off(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => DAMAGED,
        _ => error.into(),
    }
}

fn unsealed<R: Read>(file: R, identity: &Identity) -> Result<(Head, Items<Opened<R>>), Error> {
    let wrong = |code| Error::Invalid {
        field: "backup",
        code,
    };
    let opened = age_file::open_stream(file, std::slice::from_ref(identity));
    let mut inner = opened.map_err(|error| match error {
        CryptError::NoMatch => wrong("other_kit"),
        CryptError::Io(error) => error.into(),
        CryptError::Damaged => DAMAGED,
        _ => wrong("unsupported"),
    })?;
    let mut mark = [0; MARK.len()];
    inner.read_exact(&mut mark).map_err(cut_off)?;
    if mark != *MARK {
        return Err(wrong("unsupported"));
    }
    let mut items = Items {
        inner,
        blob_left: 0,
        counted: End::default(),
    };
    let head = items.head()?;
    if head.kind != ItemKind::Head {
        return Err(DAMAGED);
    }
    let head = items.whole(head.bytes, MAX_SMALL_BYTES)?;
    Ok((cbor::decode(&head).map_err(|_| DAMAGED)?, items))
}

impl<R: Read> Items<R> {
    fn head(&mut self) -> Result<ItemHead, Error> {
        let mut head = [0; ITEM_HEAD_BYTES];
        self.inner.read_exact(&mut head).map_err(cut_off)?;
        Ok(ItemHead::from_bytes(&head))
    }

    fn whole(&mut self, bytes: u64, cap_bytes: usize) -> Result<Vec<u8>, Error> {
        let bytes = usize::try_from(bytes).map_err(|_| DAMAGED)?;
        if bytes > cap_bytes {
            return Err(DAMAGED);
        }
        let mut whole = vec![0; bytes];
        self.inner.read_exact(&mut whole).map_err(cut_off)?;
        Ok(whole)
    }

    fn id(&mut self) -> Result<[u8; ID_BYTES], Error> {
        let mut id = [0; ID_BYTES];
        self.inner.read_exact(&mut id).map_err(cut_off)?;
        Ok(id)
    }

    fn next(&mut self) -> Result<Item, Error> {
        self.pass_over(self.blob_left)?;
        self.blob_left = 0;
        loop {
            let head = self.head()?;
            let beyond_id = |bytes: u64| bytes.checked_sub(ID_BYTES as u64).ok_or(DAMAGED);
            match head.kind {
                ItemKind::Page => {
                    return Ok(Item::Page(self.whole(head.bytes, MAX_PAGE_BYTES)?));
                }
                ItemKind::Part => {
                    let bytes = beyond_id(head.bytes)?;
                    let op = OpId(self.id()?);
                    let bytes = self.whole(bytes, MAX_PART_BYTES)?.into();
                    self.counted.parts += 1;
                    return Ok(Item::Part(Part { op, bytes }));
                }
                ItemKind::Blob => {
                    let bytes = beyond_id(head.bytes)?;
                    let blob = BlobId(self.id()?);
                    self.blob_left = bytes;
                    self.counted.blobs += 1;
                    return Ok(Item::Blob(blob));
                }
                ItemKind::End => {
                    let end = self.whole(head.bytes, MAX_SMALL_BYTES)?;
                    let end: End = cbor::decode(&end).map_err(|_| DAMAGED)?;
                    // The stream's own end is sealed too.
                    let beyond = self.inner.read(&mut [0]).map_err(cut_off)?;
                    let counted = (self.counted.parts, self.counted.blobs);
                    if beyond != 0 || counted != (end.parts, end.blobs) {
                        return Err(DAMAGED);
                    }
                    self.counted.ops = end.ops;
                    return Ok(Item::End);
                }
                ItemKind::Head => return Err(DAMAGED),
                ItemKind::Unknown(_) => self.pass_over(head.bytes)?,
            }
        }
    }

    fn pass_over(&mut self, bytes: u64) -> Result<(), Error> {
        let passed = io::copy(&mut (&mut self.inner).take(bytes), &mut io::sink());
        if passed.map_err(cut_off)? == bytes {
            Ok(())
        } else {
            Err(DAMAGED)
        }
    }

    /// The bytes of the blob that [`Items::next`] named.
    fn blob(&mut self) -> impl Read + '_ {
        let left = std::mem::take(&mut self.blob_left);
        (&mut self.inner).take(left)
    }
}

/// Reads a backup back: whole, and each blob what its name says.
pub(super) fn check(
    file: &File,
    identity: &Identity,
    progress: &mut Progress<'_>,
) -> Result<End, Error> {
    let (head, mut items) = unsealed(file, identity)?;
    let mut ops = 0;
    loop {
        match items.next()? {
            Item::Page(page) => {
                progress.more(page.len());
                let segments = page::read(&page).map_err(|_| DAMAGED)?;
                for raw in segments {
                    let segment = raw.resolve(&head.company, &NoBases).map_err(|_| DAMAGED)?;
                    ops += segment.ops.len().saturating_sub(segment.links) as u64;
                }
            }
            Item::Part(part) => progress.more(part.bytes.len()),
            Item::Blob(id) => {
                let bytes = blob::verify(items.blob(), &id).map_err(|_| DAMAGED)?;
                progress.more(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
            Item::End if ops == items.counted.ops => return Ok(items.counted),
            Item::End => return Err(DAMAGED),
        }
    }
}

/// A backup whose roster was read and proven; the rest follows.
pub(crate) struct Backup {
    items: Items<Opened<File>>,
    company: CompanyId,
    /// Its roster, proven from the root on.
    pub roster: Roster,
    /// The roster's ops.
    pub ops: Vec<VerifiedOp>,
    /// Cut lists beside them.
    pub parts: Vec<Part>,
    next: Option<Item>,
    /// Bytes done and in all.
    progress: (u64, u64),
}

impl Backup {
    /// Opens a backup with the kit's identity, checks that it is whole, and reads the roster in it.
    pub fn open(
        path: &Path,
        kit: &Identity,
        told: &mut dyn FnMut(BackupProgress),
    ) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NotFound { kind: "backup" },
            _ => error.into(),
        })?;
        let mut progress = Progress {
            told,
            done_bytes: 0,
            total_bytes: file.metadata()?.len().saturating_mul(2),
        };
        check(&file, kit, &mut progress)?;
        let progress = (progress.done_bytes, progress.total_bytes);
        file.rewind()?;
        let (head, items) = unsealed(file, kit)?;
        let mut backup = Self {
            items,
            company: head.company,
            roster: Roster::new(head.company),
            ops: Vec::new(),
            parts: Vec::new(),
            next: None,
            progress,
        };
        loop {
            match backup.items.next()? {
                Item::Page(page) if backup.takes_roster(&page) => {}
                Item::Part(part) => {
                    backup.roster.add_part(&part.bytes);
                    backup.parts.push(part);
                }
                next => {
                    backup.next = Some(next);
                    return Ok(backup);
                }
            }
        }
    }

    /// Whose it is.
    pub fn company(&self) -> CompanyId {
        self.company
    }

    /// Takes a page of the roster; nothing of any other.
    fn takes_roster(&mut self, page: &[u8]) -> bool {
        let mut any = false;
        for raw in page::read(page).unwrap_or_default() {
            let segment = raw.resolve(&self.company, &NoBases).ok();
            let Some(op) = segment.and_then(|segment| self.roster.verify(segment).ok()) else {
                break;
            };
            self.roster.append(&op);
            self.ops.push(op);
            any = true;
        }
        any
    }

    /// Takes everything else into a device of this company, proves it as if it came from a hub,
    /// and puts it on its way to the hub.
    pub fn import(
        mut self,
        inner: &Inner,
        told: &mut dyn FnMut(BackupProgress),
    ) -> Result<(), Error> {
        let mut progress = Progress {
            told,
            done_bytes: self.progress.0,
            total_bytes: self.progress.1,
        };
        let (mut page, mut parts) = (Vec::new(), Vec::new());
        loop {
            let item = match self.next.take() {
                Some(item) => item,
                None => self.items.next()?,
            };
            match item {
                Item::Part(part) => parts.push(part),
                Item::Page(next) => {
                    take(inner, &std::mem::replace(&mut page, next), &parts)?;
                    parts.clear();
                    progress.more(page.len());
                }
                Item::Blob(id) => {
                    let kept = inner.blobs.put(self.items.blob())?;
                    if kept != id {
                        inner.blobs.remove(&kept)?;
                        return Err(DAMAGED);
                    }
                    let bytes = inner.blobs.len_bytes(&id)?.unwrap_or_default();
                    progress.more(usize::try_from(bytes).unwrap_or(usize::MAX));
                }
                Item::End => break,
            }
        }
        take(inner, &page, &parts)?;
        inner.store.write(|tx| {
            let roster = inner.roster(tx)?;
            keys::open_rings(tx, &roster)?;
            folding::rebuild(tx, &roster, &inner.device)?;
            for blob in inner.blobs.ids()? {
                tx.prepare_cached("UPDATE blobs SET here = 1 WHERE blob = ?1")?
                    .execute([blob?.0.as_slice()])?;
            }
            lineage::begin_again(tx)
        })
    }
}

/// Takes a page into the log; what it means is folded at the end, once.
fn take(inner: &Inner, page: &[u8], parts: &[Part]) -> Result<(), Error> {
    inner.store.write(|tx| {
        let mut roster = (*inner.roster(tx)?).clone();
        inbox::take(tx, &mut roster, page, parts, inner.now_ms()).map(drop)
    })
}
