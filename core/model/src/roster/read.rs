//! What the roster says: questions about people, devices, rings and rights, as of now or as of a
//! position. Nothing here changes it.

use super::change::{self, Change, DeviceKind, RingKind, Role, SeatCert, SeatKind};
use super::state::{Device, Ended, PreviousSecret, Ring, Seat, WrapRecord};
use super::{Link, Named, Roster};
use crate::ids::{
    CompanyId, DeviceId, Head, OpId, PublicKey, RingId, RosterDigest, RosterPosition, SeatId,
    StoreId, Strand, StrandHead, ThreadId,
};

impl Roster {
    /// The company.
    #[must_use]
    pub const fn company(&self) -> CompanyId {
        self.company
    }

    /// The newest position and its digest; zero before the founding.
    #[must_use]
    pub fn head(&self) -> (RosterPosition, RosterDigest) {
        self.links
            .last()
            .map_or((RosterPosition(0), RosterDigest::ZERO), |link| {
                (link.position, link.digest)
            })
    }

    /// The links, oldest first.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The newest op as the head of its author's strand, in the store that all roster ops are of; none
    /// before the founding.
    #[must_use]
    pub fn newest_head(&self) -> Option<StrandHead> {
        let newest = self.links.last()?;
        let seq = u32::try_from(self.links.len()).ok()?;
        Some(StrandHead {
            strand: Strand {
                thread: self.company.roster_thread(),
                seat: newest.author,
                store: StoreId::ZERO,
            },
            head: Head { seq, id: newest.id },
        })
    }

    /// Whether an op must be understood that this app doesn't know.
    #[must_use]
    pub const fn needs_newer_app(&self) -> bool {
        self.newer_app_from.is_some()
    }

    /// The first position whose op must be understood and isn't: from here on all waits.
    #[must_use]
    pub const fn newer_app_from(&self) -> Option<RosterPosition> {
        self.newer_app_from
    }

    /// The first position that holds and says what this app doesn't know, whether it must be
    /// understood or was passed over: behind it this app writes nothing, but as the root before it.
    #[must_use]
    pub fn unknown_from(&self) -> Option<RosterPosition> {
        let passed_over = self.links.iter().zip(&self.steps).find(|(link, step)| {
            let unknown = |change: &Change| matches!(change, Change::Unknown(_));
            link.holds() && step.applied.iter().any(|(_, change)| unknown(change))
        });
        let passed_over = passed_over.map(|(link, _)| link.position);
        passed_over.into_iter().chain(self.newer_app_from).min()
    }

    /// How a position that an op names stands to this chain.
    #[must_use]
    pub fn named(&self, position: RosterPosition, digest: &RosterDigest) -> Named {
        let (newest, _) = self.head();
        let named = (position, *digest);
        if let Some(link) = self.place(named).and_then(|at| self.links.get(at)) {
            return Named::Known(link.judged_at);
        }
        if let Some(fork) = self.elsewhere.get(&named) {
            let left = fork.checked_sub(1).and_then(|at| self.links.get(at));
            return Named::Known(left.map_or(RosterPosition(0), |link| link.judged_at));
        }
        let taken = self
            .links
            .binary_search_by_key(&position, |link| link.position)
            .is_ok();
        let beyond = position.number() > newest.number() || position.term() > newest.term();
        if beyond && !taken {
            Named::NotHereYet
        } else {
            Named::Foreign
        }
    }

    /// Whether a position is one of the chain that holds: neither undone nor of another branch.
    #[must_use]
    pub fn stands(&self, position: RosterPosition, digest: &RosterDigest) -> bool {
        let link = self
            .place((position, *digest))
            .and_then(|at| self.links.get(at));
        link.is_some_and(Link::holds)
    }

    /// Whether an op is a link of this chain or of a branch that it carries.
    #[must_use]
    pub fn has(&self, op: &OpId) -> bool {
        self.links
            .iter()
            .chain(
                self.branches
                    .iter()
                    .flat_map(|branch| branch.roster.links.iter()),
            )
            .any(|link| link.id == *op)
    }

    /// The certificate of a seat, also of one that is certified off this chain only: to prove what
    /// it signed, which then is kept back.
    #[must_use]
    pub fn certificate(&self, seat: &SeatId) -> Option<&SeatCert> {
        let certified = self.state.seats.get(seat).map(|record| &record.cert);
        certified.or_else(|| self.lapsed.get(seat))
    }

    /// The hub's certified signing key.
    #[must_use]
    pub const fn hub_key(&self) -> Option<&PublicKey> {
        self.state.hub_key.as_ref()
    }

    /// The root's signing key.
    #[must_use]
    pub const fn root_key(&self) -> Option<&PublicKey> {
        self.state.root_key.as_ref()
    }

    /// A seat.
    #[must_use]
    pub fn seat(&self, seat: &SeatId) -> Option<&Seat> {
        self.state.seats.get(seat)
    }

    /// Whether a seat stands since the founding.
    #[must_use]
    pub fn is_founders(&self, seat: &SeatId) -> bool {
        let founded = self.links().first().map(|link| link.position);
        founded.is_some() && self.seat(seat).map(|seat| seat.since) == founded
    }

    /// A device.
    #[must_use]
    pub fn device(&self, device: &DeviceId) -> Option<&Device> {
        self.state.devices.get(device)
    }

    /// A ring.
    #[must_use]
    pub fn ring(&self, ring: &RingId) -> Option<&Ring> {
        self.state.rings.get(ring)
    }

    /// All seats.
    pub fn seats(&self) -> impl Iterator<Item = (&SeatId, &Seat)> {
        self.state.seats.iter()
    }

    /// All devices.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceId, &Device)> {
        self.state.devices.iter()
    }

    /// All rings.
    pub fn rings(&self) -> impl Iterator<Item = (&RingId, &Ring)> {
        self.state.rings.iter()
    }

    /// The one ring of a kind of which there is one (office, recovery).
    #[must_use]
    pub fn the_ring(&self, kind: RingKind) -> Option<RingId> {
        self.state
            .rings
            .iter()
            .find(|(_, ring)| ring.kind == kind)
            .map(|(id, _)| *id)
    }

    /// The newest generation of a ring and its recipient.
    #[must_use]
    pub fn newest_generation(&self, ring: &RingId) -> Option<(u32, &change::Recipient)> {
        let ring = self.state.rings.get(ring)?;
        Some((
            u32::try_from(ring.generations.len()).ok()?,
            ring.generations.last()?,
        ))
    }

    /// The branches that merges carried, each as the roster that it was.
    pub fn carried(&self) -> impl Iterator<Item = &Self> {
        self.branches.iter().map(|branch| &*branch.roster)
    }

    /// Wrapped ring secrets.
    #[must_use]
    pub fn wraps(&self) -> &[WrapRecord] {
        &self.state.wraps
    }

    /// Sealed secrets of earlier ring generations.
    #[must_use]
    pub fn previous_secrets(&self) -> &[PreviousSecret] {
        &self.state.previous_secrets
    }

    /// What ended a seat's rights.
    pub fn ends_of(&self, seat: &SeatId) -> impl Iterator<Item = &Ended> {
        self.state.ends_of(seat)
    }

    /// The cut list of a hard end for a thread. `None`: not here yet. An unlisted thread ends at
    /// zero everywhere: an empty list.
    #[must_use]
    pub fn cut(&self, end: &Ended, thread: &ThreadId) -> Option<&[StrandHead]> {
        match end.cuts.get(thread) {
            None => Some(&[]),
            Some(hash) => self.cut_lists.get(hash).map(Vec::as_slice),
        }
    }

    /// A seat's role as of a position; `None` if it wasn't certified there.
    #[must_use]
    pub fn role_at(&self, seat: &SeatId, at: RosterPosition) -> Option<Role> {
        at_position(&self.state.seats.get(seat)?.roles, at).copied()
    }

    /// A seat's role now: none once it ended.
    #[must_use]
    pub fn role_now(&self, seat: &SeatId) -> Option<Role> {
        match self.ends_of(seat).next() {
            Some(_) => None,
            None => self.role_at(seat, self.head().0),
        }
    }

    /// The rings a seat speaks for as of a position.
    #[must_use]
    pub fn speaks_for(&self, seat: &SeatId, at: RosterPosition) -> Vec<RingId> {
        let Some((record, role)) = self.state.seats.get(seat).zip(self.role_at(seat, at)) else {
            return Vec::new();
        };
        let device = self.state.devices.get(&record.cert.device);
        let crew = device.and_then(|d| at_position(&d.crews, at).copied().flatten());
        let office_device = device.is_some_and(|d| d.cert.kind == DeviceKind::Office);
        let office = match record.cert.kind {
            SeatKind::Person => role >= Role::Office,
            SeatKind::Device => office_device,
            SeatKind::Guest | SeatKind::Import => false,
        };
        let office = if office {
            self.the_ring(RingKind::Office)
        } else {
            None
        };
        record
            .cert
            .person
            .into_iter()
            .chain(crew)
            .chain(office)
            .collect()
    }

    /// The rings whose ops a device may receive, as of now: its crew's, its people's, the
    /// office's. None for a device that has ended.
    #[must_use]
    pub fn rings_of_device(&self, device: &DeviceId) -> Vec<RingId> {
        let Some(record) = self.state.devices.get(device) else {
            return Vec::new();
        };
        if self.device_has_ended(device) {
            return Vec::new();
        }
        let crew = record.crews.last().and_then(|(_, crew)| *crew);
        let office = (record.cert.kind == DeviceKind::Office)
            .then(|| self.the_ring(RingKind::Office))
            .flatten();
        let people = self
            .state
            .seats
            .iter()
            .filter(|(id, seat)| seat.cert.device == *device && self.ends_of(id).next().is_none())
            .filter_map(|(_, seat)| seat.cert.person);
        let mut rings: Vec<RingId> = people.chain(crew).chain(office).collect();
        rings.sort_unstable();
        rings.dedup();
        rings
    }

    /// Whether a person's rights ended, with all their seats that are and will be.
    #[must_use]
    pub fn person_has_ended(&self, person: &RingId) -> bool {
        let subject = change::Subject::Person(*person);
        self.state.ended.iter().any(|end| end.subject == subject)
    }

    /// What ended a device's rights first.
    #[must_use]
    pub fn end_of_device(&self, device: &DeviceId) -> Option<&Ended> {
        self.state
            .ended
            .iter()
            .find(|end| matches!(end.subject, change::Subject::Device(id) if id == *device))
    }

    /// Whether a device's rights have ended.
    #[must_use]
    pub fn device_has_ended(&self, device: &DeviceId) -> bool {
        self.end_of_device(device).is_some()
    }
}

fn at_position<T>(history: &[(RosterPosition, T)], at: RosterPosition) -> Option<&T> {
    history
        .iter()
        .rev()
        .find(|(since, _)| *since <= at)
        .map(|(_, value)| value)
}
