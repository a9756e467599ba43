//! What the roster's ops did, one after the other, as an office person reads it.

use kolonne_model::ids::SeatId;
use kolonne_model::page::{self, NoBases};
use kolonne_model::roster::change::{Change, End, EndMode, Role, SeatCert, Subject};
use kolonne_model::roster::{Effect, read_body};

use super::Desk;
use crate::error::Error;
use crate::kolonne::Kolonne;
use crate::oplog;
use crate::records::{CarriedEvent, RoleStep, RosterEvent, RosterStanding, RosterWhat};

impl Kolonne {
    /// The roster's ops, oldest first.
    pub fn roster_history(&self) -> Result<Vec<RosterEvent>, Error> {
        self.at_desk(|desk| {
            let thread = desk.roster.company().roster_thread();
            let ops = oplog::roster_ops(desk.db, &thread, 1)?;
            let links = desk.roster.links().iter().zip(1_u32..);
            let events = links.zip(&ops).map(|((link, place), op)| {
                let standing = match link.effect {
                    Effect::Void(_) => RosterStanding::Void,
                    Effect::Applied if link.holds() => RosterStanding::Holds,
                    Effect::Applied => RosterStanding::Undone,
                };
                let body = read_body(op.op().payload.as_deref());
                let changes = body.map(|body| body.changes).unwrap_or_default();
                let carried = match link.effect {
                    Effect::Applied => desk.carried(&changes),
                    Effect::Void(_) => Vec::new(),
                };
                RosterEvent {
                    place,
                    time_ms: op.context().time_ms,
                    by: desk.writer(&link.author),
                    standing,
                    what: desk.said(&changes, Some(place)),
                    carried,
                }
            });
            Ok(events.collect())
        })
    }
}

impl Desk<'_> {
    /// Who wrote a roster op; none: a recovery kit.
    fn writer(&self, seat: &SeatId) -> Option<String> {
        let cert = self.roster.certificate(seat)?;
        let device = self.name(&cert.device.0);
        Some(match &cert.person {
            Some(person) => format!("{} ({device})", self.name(&person.0)),
            None => device,
        })
    }

    fn said(&self, changes: &[Change], place: Option<u32>) -> Vec<RosterWhat> {
        let (mut ended, mut new) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Seat(cert) => new.push(cert),
                Change::End(end) => ended.extend(self.ended_seat(end)),
                _ => {}
            }
        }
        let what = changes.iter().filter_map(|change| match change {
            Change::Seat(cert) if ended.iter().any(|old| replaces(cert, old)) => Some(RosterWhat {
                code: "renewed",
                subject: Some(self.name(&cert.person?.0)),
                roles: None,
                at_once: None,
            }),
            // It is told by what takes its place; any other end stands for itself.
            Change::End(end)
                if self
                    .ended_seat(end)
                    .is_some_and(|old| new.iter().any(|cert| replaces(cert, old))) =>
            {
                None
            }
            change => said(self, change, place),
        });
        let mut what: Vec<_> = what.collect();
        what.dedup();
        what
    }

    /// The seat that an end is about, if it is about one alone.
    fn ended_seat(&self, end: &End) -> Option<&SeatCert> {
        match &end.subject {
            Subject::Seat(id) => self.roster.certificate(id),
            _ => None,
        }
    }

    /// What merges brought along; the roster proved their branches.
    fn carried(&self, changes: &[Change]) -> Vec<CarriedEvent> {
        let branches = changes.iter().filter_map(|change| match change {
            Change::Adopt(adopt) => adopt.branch.as_ref(),
            _ => None,
        });
        let segments = branches.flat_map(|branch| page::read(branch).unwrap_or_default());
        let company = self.roster.company();
        let ops = segments
            .filter_map(|segment| segment.resolve(&company, &NoBases).ok())
            .flat_map(|segment| segment.ops);
        ops.map(|op| {
            let body = read_body(op.payload.as_deref());
            CarriedEvent {
                time_ms: op.context().time_ms,
                by: self.writer(&op.context().seat),
                what: self.said(&body.map(|body| body.changes).unwrap_or_default(), None),
            }
        })
        .collect()
    }
}

/// Whether a new seat takes an ended one's place: the same person on the same device.
fn replaces(new: &SeatCert, old: &SeatCert) -> bool {
    new.person.is_some() && (new.person, new.device) == (old.person, old.device)
}

fn said(desk: &Desk<'_>, change: &Change, place: Option<u32>) -> Option<RosterWhat> {
    let (code, subject) = match change {
        Change::Found(_) => ("founded", None),
        Change::Device(cert) => {
            let id = kolonne_model::ids::DeviceId::of_key(&cert.key);
            ("device", Some(desk.name(&id.0)))
        }
        Change::Seat(cert) => ("person", Some(desk.name(&cert.person?.0))),
        Change::Move(change) => ("moved", Some(desk.name(&change.device.0))),
        Change::Role(change) => {
            let person = desk.roster.certificate(&change.seat)?.person?;
            ("role", Some(desk.name(&person.0)))
        }
        Change::End(end) => match &end.subject {
            Subject::Device(id) => ("ended", Some(desk.name(&id.0))),
            Subject::Person(id) => ("ended", Some(desk.name(&id.0))),
            Subject::Seat(id) => ("ended", Some(desk.seat_name(id))),
        },
        Change::HubKey(_) => ("hub", None),
        Change::Adopt(adopt) if adopt.branch.is_some() => ("merged", None),
        Change::Adopt(_) => ("undone", None),
        Change::RootKey(_) => ("kit", None),
        Change::Unknown(_) => ("newer", None),
        // New keys come with whatever else was done.
        Change::Ring(_) | Change::Wraps(_) | Change::Cuts(_) => return None,
    };
    let roles = match change {
        Change::Role(change) => Some(RoleStep {
            before: place.and_then(|place| role_before(desk, &change.seat, place)),
            after: change.role,
        }),
        _ => None,
    };
    let at_once = match change {
        Change::End(end) => Some(end.mode == EndMode::Hard),
        _ => None,
    };
    Some(RosterWhat {
        code,
        subject,
        roles,
        at_once,
    })
}

/// A seat's role just before the op at a place.
fn role_before(desk: &Desk<'_>, seat: &SeatId, place: u32) -> Option<Role> {
    let links = desk.roster.links();
    let at = usize::try_from(place).ok()?.checked_sub(2)?;
    desk.roster.role_at(seat, links.get(at)?.position)
}
