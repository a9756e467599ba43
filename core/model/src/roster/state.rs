//! The state that roster changes lead to, with its history, so that rights can be judged as of
//! any position.
//!
//! Applying is all or nothing and pure; who may apply what is decided here and nowhere else.

use std::collections::BTreeMap;

use minicbor::Encode;

use super::change::{
    Change, CutOfThread, DeviceCert, DeviceKind, End, EndMode, RingGeneration, RingKind, RingWraps,
    Role, RootKey, SeatCert, SeatKind, Subject,
};
use crate::cbor;
use crate::hash::{h, label};
use crate::ids::{
    CompanyId, DeviceId, Hash32, PublicKey, RingId, RosterDigest, RosterPosition, SeatId, ThreadId,
};
use crate::op::SUITE_1;

/// Why a roster op leaves the state as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// Not readable as a roster body.
    #[error("body malformed")]
    Malformed,
    /// The author may not make one of these changes.
    #[error("author without the right")]
    Right,
    /// A change contradicts the state: an id that isn't its key's, a second certificate, an
    /// unknown ring or device, a generation out of turn.
    #[error("change contradicts the state")]
    Contradiction,
    /// The digest it states isn't the one its changes lead to.
    #[error("state digest differs")]
    Digest,
    /// It doesn't name its predecessor's position.
    #[error("position is not its predecessor's")]
    Position,
    /// It has kinds of a newer app and says that they must be understood.
    #[error("a newer app is needed")]
    Newer,
}

/// A ring's public side.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
pub struct Ring {
    /// Who opens it.
    #[n(0)]
    pub kind: RingKind,
    /// Public keys, oldest first; generation n is at n − 1.
    #[n(1)]
    pub generations: Vec<super::change::Recipient>,
    /// Where it first stood.
    #[n(2)]
    pub since: RosterPosition,
}

/// A device and where it has been.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
pub struct Device {
    /// Its certificate.
    #[n(0)]
    pub cert: DeviceCert,
    /// Its crew rings, each from a position on.
    #[n(1)]
    pub crews: Vec<(RosterPosition, Option<RingId>)>,
    /// Where it first stood.
    #[n(2)]
    pub since: RosterPosition,
}

/// A seat and its roles.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
pub struct Seat {
    /// Its certificate.
    #[n(0)]
    pub cert: SeatCert,
    /// Its roles, each from a position on.
    #[n(1)]
    pub roles: Vec<(RosterPosition, Role)>,
    /// Where it first stood.
    #[n(2)]
    pub since: RosterPosition,
}

/// Rights that ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode)]
pub struct Ended {
    /// Whose.
    #[n(0)]
    pub subject: Subject,
    /// How.
    #[n(1)]
    pub mode: EndMode,
    /// From which position on.
    #[n(2)]
    pub at: RosterPosition,
    /// Cut lists by thread.
    #[n(3)]
    pub cuts: BTreeMap<ThreadId, Hash32>,
}

/// A ring secret wrapped to a device or ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapRecord {
    /// The ring.
    pub ring: RingId,
    /// Its generation.
    pub generation: u32,
    /// Device, seat or ring id.
    pub to: [u8; 16],
    /// The age file.
    pub file: Vec<u8>,
}

/// An earlier ring secret sealed to the next generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The ring.
    pub ring: RingId,
    /// The generation whose secret opens it; the secret inside is of the one before.
    pub generation: u32,
    /// The age file.
    pub file: Vec<u8>,
}

/// Everything the roster says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub(super) root_key: Option<PublicKey>,
    pub(super) hub_key: Option<PublicKey>,
    pub(super) rings: BTreeMap<RingId, Ring>,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    pub(super) seats: BTreeMap<SeatId, Seat>,
    pub(super) ended: Vec<Ended>,
    /// Cuts that an end may name, by hash: it commits to them, so the digest needn't.
    pub(super) cut_batches: BTreeMap<Hash32, Vec<CutOfThread>>,
    /// Kinds of newer apps that were passed over: from here on the digest can't be checked.
    pub(super) passed_over: bool,
    pub(super) wraps: Vec<WrapRecord>,
    pub(super) previous_secrets: Vec<PreviousSecret>,
}

/// Who asks for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The recovery kit.
    Root,
    /// A seat with this role and nothing ended.
    Seat(Role),
    /// Anyone else.
    Nobody,
}

impl State {
    /// The digest: a hash over the state's one encoding. Wrapped secrets are not in it; the op
    /// that carries them commits to them.
    #[must_use]
    pub fn digest(&self) -> RosterDigest {
        let bytes = cbor::encode(&(
            &self.root_key,
            &self.hub_key,
            &self.rings,
            &self.devices,
            &self.seats,
            &self.ended,
        ));
        RosterDigest(h(label::ROSTER_STATE, &[&bytes]))
    }

    /// Whether an author may make a change here.
    pub(super) fn allows(&self, author: Author, change: &Change) -> bool {
        let role = match author {
            Author::Root => return true,
            Author::Seat(role) => role,
            Author::Nobody => return false,
        };
        let needs = match change {
            Change::Found(_) | Change::RootKey(_) => return false,
            Change::HubKey(_) => Role::Admin,
            Change::Ring(ring) if ring.kind == RingKind::Recovery => return false,
            // What was undone only the root takes up again.
            Change::Adopt(adopt) if adopt.branch.is_none() => return false,
            Change::Device(device) if device.kind == DeviceKind::Office => Role::Admin,
            Change::Seat(seat) if seat.role >= Role::Office => Role::Admin,
            // Nor does anyone below make a seat or keys in the name of an office person.
            Change::Seat(SeatCert {
                person: Some(person),
                ..
            })
            | Change::Ring(RingGeneration { ring: person, .. })
                if self.subject_role(&Subject::Person(*person)) >= Some(Role::Office) =>
            {
                Role::Admin
            }
            Change::Role(change)
                if change.role >= Role::Office
                    || self.newest_role(&change.seat) >= Some(Role::Office) =>
            {
                Role::Admin
            }
            Change::End(end) if self.subject_role(&end.subject) >= Some(Role::Office) => {
                Role::Admin
            }
            _ => Role::Office,
        };
        role >= needs
    }

    fn newest_role(&self, seat: &SeatId) -> Option<Role> {
        self.seats.get(seat)?.roles.last().map(|(_, role)| *role)
    }

    fn subject_role(&self, subject: &Subject) -> Option<Role> {
        self.seats
            .iter()
            .filter(|(id, seat)| covers(subject, id, &seat.cert))
            .filter_map(|(id, _)| self.newest_role(id))
            .max()
    }

    /// Makes one change, or none of it. Ops taken up again are no change of their own: their
    /// changes are.
    pub(super) fn apply(
        &mut self,
        company: &CompanyId,
        at: RosterPosition,
        change: &Change,
    ) -> Result<(), Void> {
        match change {
            Change::Found(found) => {
                if self.root_key.is_some() || CompanyId::of_root(&found.root_key) != *company {
                    return Err(Void::Contradiction);
                }
                self.root_key = Some(found.root_key);
            }
            Change::Ring(ring) => self.apply_ring(at, ring)?,
            Change::Wraps(wraps) => self.apply_wraps(wraps)?,
            Change::Device(cert) => self.apply_device(at, cert)?,
            Change::Move(change) => {
                self.is_crew_ring(change.crew.as_ref())?;
                let device = self
                    .devices
                    .get_mut(&change.device)
                    .ok_or(Void::Contradiction)?;
                device.crews.push((at, change.crew));
            }
            Change::Seat(cert) => self.apply_seat(at, cert)?,
            Change::Role(change) => {
                let seat = self
                    .seats
                    .get_mut(&change.seat)
                    .ok_or(Void::Contradiction)?;
                seat.roles.push((at, change.role));
            }
            Change::End(end) => self.apply_end(at, end)?,
            Change::HubKey(hub) => self.hub_key = Some(hub.key),
            Change::Adopt(_) => {}
            Change::Cuts(batch) => {
                self.cut_batches.insert(batch.hash(), batch.cuts.clone());
            }
            Change::RootKey(root) => self.apply_root_key(root)?,
            Change::Unknown(_) => self.passed_over = true,
        }
        Ok(())
    }

    fn apply_root_key(&mut self, root: &RootKey) -> Result<(), Void> {
        let recovery = self
            .rings
            .iter_mut()
            .find(|(_, ring)| ring.kind == RingKind::Recovery);
        let Some((id, ring)) = recovery else {
            return Err(Void::Contradiction);
        };
        let next = u32::try_from(ring.generations.len()).map_or(0, |n| n + 1);
        if !root.recipient.is_usable() || self.root_key == Some(root.key) {
            return Err(Void::Contradiction);
        }
        ring.generations.push(root.recipient.clone());
        self.root_key = Some(root.key);
        self.previous_secrets.push(PreviousSecret {
            ring: *id,
            generation: next,
            file: root.previous_sealed.to_vec(),
        });
        Ok(())
    }

    /// The key of a seat that may agree to another recovery kit: an admin's, in the office.
    pub(super) fn cosigner(&self, seat: &SeatId) -> Option<&PublicKey> {
        let record = self.seats.get(seat)?;
        let device = self.devices.get(&record.cert.device)?;
        (record.cert.kind == SeatKind::Person
            && self.newest_role(seat) == Some(Role::Admin)
            && device.cert.kind == DeviceKind::Office
            && self.ends_of(seat).next().is_none())
        .then_some(&record.cert.key)
    }

    /// What a seat may ask for here.
    pub(super) fn author(&self, seat: &SeatId) -> Author {
        match &self.root_key {
            None => Author::Root,
            Some(root) if SeatId::of_key(root) == *seat => Author::Root,
            Some(_) if self.ends_of(seat).next().is_some() => Author::Nobody,
            Some(_) => match self.seats.get(seat) {
                Some(record) if record.cert.kind == SeatKind::Person => {
                    self.newest_role(seat).map_or(Author::Nobody, Author::Seat)
                }
                _ => Author::Nobody,
            },
        }
    }

    /// What ended a seat's rights.
    pub(super) fn ends_of(&self, seat: &SeatId) -> impl Iterator<Item = &Ended> {
        let cert = self.seats.get(seat).map(|record| &record.cert);
        let seat = *seat;
        self.ended
            .iter()
            .filter(move |end| cert.is_some_and(|cert| covers(&end.subject, &seat, cert)))
    }

    fn is_crew_ring(&self, ring: Option<&RingId>) -> Result<(), Void> {
        match ring {
            Some(ring)
                if self
                    .rings
                    .get(ring)
                    .is_none_or(|r| r.kind != RingKind::Crew) =>
            {
                Err(Void::Contradiction)
            }
            _ => Ok(()),
        }
    }

    fn apply_ring(&mut self, at: RosterPosition, new: &RingGeneration) -> Result<(), Void> {
        if !new.recipient.is_usable() {
            return Err(Void::Contradiction);
        }
        match self.rings.get_mut(&new.ring) {
            None => {
                let single = matches!(new.kind, RingKind::Office | RingKind::Recovery);
                let second = single && self.rings.values().any(|r| r.kind == new.kind);
                if new.recipient.ring() != new.ring || new.generation != 1 || second {
                    return Err(Void::Contradiction);
                }
                let generations = vec![new.recipient.clone()];
                self.rings.insert(
                    new.ring,
                    Ring {
                        kind: new.kind,
                        generations,
                        since: at,
                    },
                );
            }
            Some(ring) => {
                let next = u32::try_from(ring.generations.len()).map_or(0, |n| n + 1);
                if ring.kind != new.kind || new.generation != next {
                    return Err(Void::Contradiction);
                }
                ring.generations.push(new.recipient.clone());
            }
        }
        if let Some(file) = &new.previous_sealed {
            self.previous_secrets.push(PreviousSecret {
                ring: new.ring,
                generation: new.generation,
                file: file.to_vec(),
            });
        }
        self.keep_wraps(new.ring, new.generation, &new.wraps);
        Ok(())
    }

    fn apply_wraps(&mut self, new: &RingWraps) -> Result<(), Void> {
        let ring = self.rings.get(&new.ring).ok_or(Void::Contradiction)?;
        let known =
            usize::try_from(new.generation).is_ok_and(|n| n >= 1 && n <= ring.generations.len());
        if !known {
            return Err(Void::Contradiction);
        }
        self.keep_wraps(new.ring, new.generation, &new.wraps);
        Ok(())
    }

    fn keep_wraps(&mut self, ring: RingId, generation: u32, wraps: &[super::change::Wrap]) {
        self.wraps.extend(wraps.iter().map(|wrap| WrapRecord {
            ring,
            generation,
            to: wrap.to,
            file: wrap.file.to_vec(),
        }));
    }

    fn apply_device(&mut self, at: RosterPosition, cert: &DeviceCert) -> Result<(), Void> {
        let id = DeviceId::of_key(&cert.key);
        self.is_crew_ring(cert.crew.as_ref())?;
        if self.devices.contains_key(&id) || !cert.recipient.is_usable() {
            return Err(Void::Contradiction);
        }
        let crews = vec![(at, cert.crew)];
        self.devices.insert(
            id,
            Device {
                cert: cert.clone(),
                crews,
                since: at,
            },
        );
        Ok(())
    }

    fn apply_seat(&mut self, at: RosterPosition, cert: &SeatCert) -> Result<(), Void> {
        let id = SeatId::of_key(&cert.key);
        let device = self.devices.get(&cert.device).ok_or(Void::Contradiction)?;
        let fits = match (cert.kind, &cert.person) {
            (SeatKind::Device, None) => device.cert.key == cert.key,
            (SeatKind::Person, Some(person)) => {
                self.rings
                    .get(person)
                    .is_some_and(|r| r.kind == RingKind::Person)
                    && device.cert.key != cert.key
            }
            (SeatKind::Guest | SeatKind::Import, _) => true,
            _ => false,
        };
        let sealed_to = cert.recipient.as_ref();
        let fits = fits && sealed_to.is_none_or(super::change::Recipient::is_usable);
        if !fits || cert.suite != SUITE_1 || self.seats.contains_key(&id) {
            return Err(Void::Contradiction);
        }
        let roles = vec![(at, cert.role)];
        self.seats.insert(
            id,
            Seat {
                cert: cert.clone(),
                roles,
                since: at,
            },
        );
        Ok(())
    }

    fn apply_end(&mut self, at: RosterPosition, end: &End) -> Result<(), Void> {
        let known = match &end.subject {
            Subject::Seat(seat) => self.seats.contains_key(seat),
            Subject::Device(device) => self.devices.contains_key(device),
            Subject::Person(person) => self.rings.contains_key(person),
        };
        let mut listed: Vec<&CutOfThread> = end.cuts.iter().collect();
        for batch in end.more.iter().flatten() {
            listed.extend(self.cut_batches.get(batch).ok_or(Void::Contradiction)?);
        }
        let cuts: BTreeMap<_, _> = listed.iter().map(|cut| (cut.thread, cut.list)).collect();
        if !known || cuts.len() != listed.len() {
            return Err(Void::Contradiction);
        }
        self.ended.push(Ended {
            subject: end.subject,
            mode: end.mode,
            at,
            cuts,
        });
        Ok(())
    }
}

/// Whether an end's subject includes a seat.
pub(super) fn covers(subject: &Subject, seat: &SeatId, cert: &SeatCert) -> bool {
    match subject {
        Subject::Seat(id) => id == seat,
        Subject::Device(device) => *device == cert.device,
        Subject::Person(person) => cert.person == Some(*person),
    }
}
