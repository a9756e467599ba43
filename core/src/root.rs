//! What only the recovery kit may do, on an office device that works: undo what a captured computer
//! of the office did, and make another kit when the old one was stolen.
//!
//! The root is in hand for one call and forgotten again; it is written to no disk. Nothing here
//! forgets a roster op: what is undone stays in the chain, and everyone can see that it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kolonne_model::cbor;
use kolonne_model::ids::{DeviceId, OpId, RingId, SeatId};
use kolonne_model::roster::change::{
    Adopt, Change, DeviceKind, End, EndMode, RingKind, Role, RootKey, Subject,
};
use kolonne_model::roster::{Effect, Link, Roster, read_body};
use kolonne_model::strand::VerifiedOp;
use rusqlite::Connection;
use zeroize::Zeroizing;

use crate::crypt::{Identity, RootSeed, seal};
use crate::error::Error;
use crate::keys;
use crate::kolonne::{Inner, Kolonne};
use crate::oplog::{self, Author};
use crate::rights::cuts;
use crate::rings::{self, Leaving};
use crate::rings::{rings_of, seats_of};
use crate::roster_op::{roster_op, roster_op_on, the_newest};
use crate::sync::blocking;
use crate::sync::{Drafted, append};
use crate::transport::Line;

/// Bytes of changes in one op: well below a payload, since another branch of the roster may have to
/// carry it.
const OP_BYTES: usize = 40 * 1024;

/// What is to be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// The recovery kit as it was printed or typed.
    pub kit: Zeroizing<String>,
    /// The first roster op that goes, by its place; all later ones go with it, but for those by
    /// which the kit made this device.
    pub since: u32,
    /// Devices that did it: their rights end with the same op.
    pub captured: Vec<DeviceId>,
}

impl Kolonne {
    /// Goes back to the roster as it was before a place, and shuts captured devices out. What was
    /// written meanwhile by people who were certified before still counts.
    ///
    /// # Errors
    /// `Invalid` (`kit`: `malformed`, `replaced`; `since`: `unknown`, `before_kit`, `own`); `Offline`.
    pub async fn undo(&self, undo: Undo) -> Result<(), Error> {
        let inner = &self.inner;
        let root = root_of(&undo.kit)?;
        let hub = self.catch_up().await?;
        let subjects: Vec<Subject> = undo.captured.iter().copied().map(Subject::Device).collect();
        let (seats, heads) = {
            let roster = inner.store.read(|db| inner.roster(db))?;
            check_undo(inner, &root, &roster, &undo)?;
            let before = roster.through(links_before(&undo)?);
            let seats = seats_of(&before, &subjects);
            let heads = cuts::heads_at_hub(&hub, &before, &seats).await?;
            (seats, Arc::new(heads))
        };
        // What doesn't fit goes ahead, and is taken up again with what the kit made.
        let sent = self
            .send_cuts(&hub, &root.signing_secret(), &seats, &heads)
            .await?;
        let (kit, clock) = (root.clone(), Arc::clone(&inner.config.clock));
        let own = inner.device;
        let drafted = append(inner, &hub, &mut Vec::new(), move |db, roster| {
            let secret = kit.signing_secret();
            let named = link_before(roster, &undo)?;
            let named = (named.position, named.digest);
            let mut ops = kit_made(db, roster, &own, undo.since)?;
            ops.extend(sent.iter().flat_map(|sent| &sent.ops));
            let mut changes = vec![Change::Adopt(Adopt { ops, branch: None })];
            let (listed, parts) = match &sent {
                Some(_) => (Vec::new(), Vec::new()),
                None => cuts::lists(db, &seats, &heads)?,
            };
            changes.extend(subjects.iter().map(|subject| {
                Change::End(End {
                    subject: *subject,
                    mode: EndMode::Hard,
                    cuts: listed.clone(),
                    more: sent.as_ref().map(|sent| sent.hashes.clone()),
                })
            }));
            let undone = roster_op_on(named, roster, &secret, clock(), changes.clone())?;
            let after = after(roster, &undone)?;
            let mut shut: BTreeSet<RingId> = rings_of(&after, &subjects);
            shut.extend(touched(db, roster, undo.since)?);
            shut.retain(|ring| {
                let kind = after.ring(ring).map(|ring| ring.kind);
                kind.is_some_and(|kind| kind != RingKind::Recovery)
            });
            let (now, later) = generations(db, &after, &kit, shut, OP_BYTES)?;
            changes.extend(now);
            Ok(Drafted {
                op: roster_op_on(named, roster, &secret, clock(), changes)?,
                parts,
                with: later,
            })
        })
        .await?;
        let later = drafted.with.clone();
        blocking(inner, move |inner| inner.keep_change(&drafted)).await?;
        self.rotate(&hub, &root, later).await
    }

    /// Whether this is the recovery kit that counts.
    ///
    /// # Errors
    /// `Invalid` (`kit`: `malformed`, `replaced`) if not.
    pub fn check_kit(&self, kit: &str) -> Result<(), Error> {
        let root = root_of(kit)?;
        check_kit(&root, &*self.inner.store.read(|db| self.inner.roster(db))?)
    }

    /// Whether a seat may put another kit in this one's place, as far as is known here: asked before a new
    /// one is handed out.
    ///
    /// # Errors
    /// As [`Kolonne::replace_kit`], but `Offline`.
    pub fn check_replacing(&self, seat: &SeatId, old: &str) -> Result<(), Error> {
        self.check_kit(old)?;
        let inner = &self.inner;
        let roster = inner.store.read(|db| {
            inner.author(db, seat)?;
            inner.roster(db)
        })?;
        let device = roster.device(&inner.device);
        let at_office = device.is_some_and(|device| device.cert.kind == DeviceKind::Office);
        match roster.role_now(seat) {
            Some(Role::Admin) if at_office => Ok(()),
            Some(Role::Admin) => Err(Error::Locked {
                code: "office_computer",
            }),
            _ => Err(Error::Locked { code: "right" }),
        }
    }

    /// A new recovery kit, to be handed out before it is put in the old one's place.
    pub fn new_kit() -> Result<Zeroizing<String>, Error> {
        Ok(RootSeed::generate()?.to_kit_text())
    }

    /// Puts a new recovery kit in the old one's place; an admin of the office agrees. Every ring gets
    /// its next generation, so that who has the old kit opens nothing that comes after.
    ///
    /// # Errors
    /// `Invalid` (`kit`: `malformed`, `replaced`, `same`); `Locked` (`right`) unless the seat is an
    /// admin's on a device of the office; `Offline`: the old kit still holds.
    pub async fn replace_kit(&self, seat: &SeatId, old: &str, new: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let (old, new) = (root_of(old)?, root_of(new)?);
        if old == new {
            return Err(invalid("kit", "same"));
        }
        let author = inner.store.read(|db| inner.author(db, seat))?;
        let hub = self.catch_up().await?;
        let roster = inner.store.read(|db| inner.roster(db))?;
        check_kit(&old, &roster)?;
        let clock = Arc::clone(&inner.config.clock);
        let (kit, next) = (old.clone(), new.clone());
        let drafted = append(inner, &hub, &mut Vec::new(), move |db, roster| {
            let (op, later) = replacement(db, roster, &author, (&kit, &next), clock())?;
            Ok(Drafted {
                op,
                parts: Vec::new(),
                with: later,
            })
        })
        .await?;
        let later = drafted.with.clone();
        blocking(inner, move |inner| inner.keep_change(&drafted)).await?;
        self.rotate(&hub, &new, later).await
    }

    /// The next generations that didn't fit into the op before.
    pub(crate) async fn rotate(
        &self,
        hub: &Line,
        root: &RootSeed,
        mut left: BTreeMap<RingId, u32>,
    ) -> Result<(), Error> {
        while !left.is_empty() {
            let (kit, clock) = (root.clone(), Arc::clone(&self.inner.config.clock));
            let wanted = left;
            let drafted = append(&self.inner, hub, &mut Vec::new(), move |db, roster| {
                // Whatever someone else gave a new generation meanwhile is done.
                let still = wanted.iter().filter(|(ring, generation)| {
                    roster.newest_generation(ring).map(|(n, _)| n) == Some(**generation)
                });
                let still = still.map(|(ring, _)| *ring).collect();
                let (now, later) = generations(db, roster, &kit, still, OP_BYTES)?;
                Ok(Drafted {
                    op: roster_op(roster, &kit.signing_secret(), clock(), now)?,
                    parts: Vec::new(),
                    with: later,
                })
            })
            .await?;
            left = drafted.with.clone();
            blocking(&self.inner, move |inner| inner.keep_change(&drafted)).await?;
        }
        Ok(())
    }
}

/// The op that puts a new kit in the old one's place, and the rings whose next generations didn't fit.
pub(crate) fn replacement(
    db: &Connection,
    roster: &Roster,
    author: &Author,
    (old, new): (&RootSeed, &RootSeed),
    now_ms: u64,
) -> Result<(VerifiedOp, BTreeMap<RingId, u32>), Error> {
    let recipient = keys::public_recipient(&new.encryption_identity()?)?;
    let key = new.signing_secret().public();
    let message = RootKey::message(&roster.company(), roster.head(), &key, &recipient);
    let previous = old.encryption_identity()?;
    let sealed = seal(previous.as_bytes(), &[keys::recipient(&recipient)?])?;
    let mut changes = vec![Change::RootKey(RootKey {
        key,
        recipient,
        previous_sealed: sealed.into(),
        seat: author.seat,
        signature: author.secret.sign(&message),
        proof: new.signing_secret().sign(&message),
    })];
    let secret = old.signing_secret();
    let rotated = roster_op(roster, &secret, now_ms, changes.clone())?;
    let after = after(roster, &rotated)?;
    let all = after.rings().map(|(id, _)| *id);
    let (now, later) = generations(db, &after, new, all.collect(), OP_BYTES)?;
    changes.extend(now);
    Ok((roster_op(roster, &secret, now_ms, changes)?, later))
}

const fn invalid(field: &'static str, code: &'static str) -> Error {
    Error::Invalid { field, code }
}

pub(crate) fn root_of(kit: &str) -> Result<RootSeed, Error> {
    RootSeed::from_kit_text(kit).map_err(|_| invalid("kit", "malformed"))
}

fn check_kit(root: &RootSeed, roster: &Roster) -> Result<(), Error> {
    if roster.root_key() == Some(&root.signing_secret().public()) {
        Ok(())
    } else {
        Err(invalid("kit", "replaced"))
    }
}

fn links_before(undo: &Undo) -> Result<usize, Error> {
    let before = undo.since.checked_sub(1).filter(|links| *links > 0);
    let before = before.ok_or(invalid("since", "unknown"))?;
    usize::try_from(before).map_err(|_| invalid("since", "unknown"))
}

fn link_before<'a>(roster: &'a Roster, undo: &Undo) -> Result<&'a Link, Error> {
    let last = links_before(undo)?.checked_sub(1);
    let link = last.and_then(|at| roster.links().get(at));
    link.ok_or(invalid("since", "unknown"))
}

fn check_undo(inner: &Inner, root: &RootSeed, roster: &Roster, undo: &Undo) -> Result<(), Error> {
    check_kit(root, roster)?;
    if undo.captured.contains(&inner.device) {
        return Err(invalid("since", "own"));
    }
    let before = link_before(roster, undo)?;
    if links_before(undo)? >= roster.links().len() {
        return Err(invalid("since", "unknown"));
    }
    // Neither what was undone already nor what is behind the latest kit.
    let secret = root.signing_secret();
    let named = (before.position, before.digest);
    roster_op_on(named, roster, &secret, inner.now_ms(), Vec::new())
        .map(drop)
        .map_err(|_| invalid("since", "before_kit"))
}

/// The roster after another op.
fn after(roster: &Roster, op: &VerifiedOp) -> Result<Roster, Error> {
    let mut after = roster.clone();
    match after.append(op) {
        Effect::Applied => Ok(after),
        Effect::Void(_) => Err(Error::internal("roster")),
    }
}

/// The ops since a place by which the kit made this device and its people's seats.
fn kit_made(
    db: &Connection,
    roster: &Roster,
    own: &DeviceId,
    since: u32,
) -> Result<Vec<OpId>, Error> {
    let root = roster.root_key().map(SeatId::of_key);
    let ops = oplog::roster_ops(db, &roster.company().roster_thread(), since)?;
    let is_own = |change: &Change| match change {
        Change::Device(cert) => DeviceId::of_key(&cert.key) == *own,
        Change::Seat(cert) => cert.device == *own,
        _ => false,
    };
    let made = ops.into_iter().filter(|op| {
        let body = read_body(op.op().payload.as_deref());
        let by_kit = Some(op.context().seat) == root;
        by_kit && body.is_some_and(|body| body.changes.iter().any(is_own))
    });
    Ok(made.map(|op| op.id()).collect())
}

/// The rings whose secrets went to someone since a place.
fn touched(db: &Connection, roster: &Roster, since: u32) -> Result<BTreeSet<RingId>, Error> {
    let ops = oplog::roster_ops(db, &roster.company().roster_thread(), since)?;
    let mut rings = BTreeSet::new();
    for op in ops {
        let changes = read_body(op.op().payload.as_deref()).map(|body| body.changes);
        for change in changes.unwrap_or_default() {
            match change {
                Change::Ring(ring) => rings.insert(ring.ring),
                Change::Wraps(wraps) => rings.insert(wraps.ring),
                _ => false,
            };
        }
    }
    Ok(rings)
}

/// Next generations of rings, as many as fit, the office's first; and those that don't, each with
/// its newest generation.
fn generations(
    db: &Connection,
    roster: &Roster,
    root: &RootSeed,
    rings: BTreeSet<RingId>,
    room_bytes: usize,
) -> Result<(Vec<Change>, BTreeMap<RingId, u32>), Error> {
    let (recovery, _) = the_newest(roster, RingKind::Recovery)?;
    let (office, _) = the_newest(roster, RingKind::Office)?;
    let mut order: Vec<RingId> = rings.into_iter().filter(|ring| *ring != recovery).collect();
    order.sort_by_key(|ring| *ring != office);
    let (mut changes, mut later, mut bytes) = (Vec::new(), BTreeMap::new(), 0);
    for ring in order {
        let (newest, _) = roster.newest_generation(&ring).ok_or(Error::Corrupt)?;
        if bytes >= room_bytes {
            later.insert(ring, newest);
            continue;
        }
        let previous = secret_of(db, roster, root, &ring, newest)?;
        let leaving = Leaving::default();
        let next = rings::generation_after(roster, &ring, leaving, &[], previous.as_ref())?;
        let change = Change::Ring(next);
        bytes += cbor::encode(&change).len();
        changes.push(change);
    }
    Ok((changes, later))
}

/// A ring's secret: this device's, or what the kit opens.
fn secret_of(
    db: &Connection,
    roster: &Roster,
    root: &RootSeed,
    ring: &RingId,
    generation: u32,
) -> Result<Option<Identity>, Error> {
    if let Some(secret) = keys::fitting_secret(db, roster, ring, generation)? {
        return Ok(Some(secret));
    }
    let of_kit = keys::opened_by_kit(root, roster, ring)?;
    let newest = of_kit.into_iter().find(|(of, _)| *of == generation);
    Ok(newest.map(|(_, secret)| secret))
}
