//! A whole roster, op by op: people with and without rights append what they like, on the newest
//! op, on earlier ones or on a branch.

use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use ed25519_dalek::SigningKey;
use kolonne_model::cbor;
use kolonne_model::hash::{h, label};
use kolonne_model::ids::{DeviceId, Hash32, OpId, RingId, RosterDigest, SeatId, StoreId, ThreadId};
use kolonne_model::op::{Class, Op};
use kolonne_model::payload;
use kolonne_model::roster::change::{
    Adopt, Change, CutBatch, CutOfThread, DeviceKind, End, EndMode, HubKey, Move, Recipient,
    RingGeneration, RingKind, Role, RoleChange, RosterBody, Subject, Wrap,
};
use kolonne_model::roster::{Effect, Roster};

use crate::bare::{self, Bare, TIME_MS, key, public, recipient, seat, segment};

/// Most ops of one run.
const OPS: usize = 24;

fn company() -> &'static Bare {
    static COMPANY: OnceLock<Bare> = OnceLock::new();
    COMPANY.get_or_init(|| Bare::new(1, 2))
}

/// A chain and the pages that it was made of.
#[derive(Clone)]
struct Chain {
    roster: Roster,
    pages: Vec<Vec<u8>>,
}

impl Chain {
    fn new() -> Self {
        let company = company();
        Self {
            roster: company.roster.clone(),
            pages: company.pages.clone(),
        }
    }

    /// Signs and appends; what the roster doesn't take isn't there.
    fn append(&mut self, author: &SigningKey, op: Op) {
        let page = segment(author, &[op]);
        if let Some(op) = bare::verified(&self.roster, &page) {
            let before = self.roster.head();
            let effect = self.roster.append(&op);
            let after = self.roster.head();
            match effect {
                Effect::Applied => assert!(after.0 > before.0, "positions rise"),
                Effect::Void(_) => assert_eq!(after.1, before.1, "what is void changes nothing"),
            }
            self.pages.push(page);
        }
    }
}

/// Who may write: the root, an admin, a foreman, devices, and somebody who isn't there yet.
fn authors() -> Vec<SigningKey> {
    let company = company();
    let mut all = vec![company.root.clone()];
    for device in &company.devices {
        all.extend([device.person.clone(), device.key.clone()]);
    }
    all.extend([key(1), key(2)]);
    all
}

fn any_device(u: &mut Unstructured<'_>) -> Result<DeviceId> {
    let ids = company().devices.iter().map(|device| device.id);
    let new = [key(1), key(2)].map(|key| DeviceId::of_key(&public(&key)));
    Ok(*u.choose(&ids.chain(new).collect::<Vec<_>>())?)
}

fn any_ring(u: &mut Unstructured<'_>) -> Result<RingId> {
    let mut rings: Vec<RingId> = company().roster.rings().map(|(id, _)| *id).collect();
    rings.extend((1..4).map(|number| recipient(number).ring()));
    Ok(*u.choose(&rings)?)
}

fn any_recipient(u: &mut Unstructured<'_>) -> Result<Recipient> {
    Ok(match u.int_in_range(0..=5)? {
        0 => Recipient::x25519(u.arbitrary()?),
        number => recipient(number),
    })
}

fn any_role(u: &mut Unstructured<'_>) -> Result<Role> {
    Ok(*u.choose(&[Role::Crew, Role::Foreman, Role::Office, Role::Admin])?)
}

fn cut(u: &mut Unstructured<'_>) -> Result<CutOfThread> {
    Ok(CutOfThread {
        thread: ThreadId([u.int_in_range(0..=2)?; 16]),
        list: Hash32([u.int_in_range(0..=2)?; 32]),
    })
}

fn changes(u: &mut Unstructured<'_>, ops: &[OpId], side: &Chain) -> Result<Vec<Change>> {
    let mut all = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let kind = *u.choose(&[
            RingKind::Crew,
            RingKind::Person,
            RingKind::Office,
            RingKind::Recovery,
        ])?;
        let wraps = || {
            vec![Wrap {
                to: [1; 16],
                file: vec![2; 8].into(),
            }]
        };
        match u.int_in_range(0..=11)? {
            0 => all.push(bare::ring(u.int_in_range(1..=3)?, kind).1),
            1 => all.push(Change::Ring(RingGeneration {
                ring: any_ring(u)?,
                kind,
                generation: u.int_in_range(0..=4)?,
                recipient: any_recipient(u)?,
                wraps: wraps(),
                previous_sealed: None,
            })),
            2 => {
                let crew = if u.arbitrary()? {
                    Some(any_ring(u)?)
                } else {
                    None
                };
                let kind = *u.choose(&[DeviceKind::Office, DeviceKind::Phone])?;
                let parts = bare::device(u.int_in_range(0..=1)?, kind, crew).1;
                let from = u.int_in_range(0..=2)?;
                all.extend(parts.into_iter().skip(from));
            }
            3 => all.push(Change::Move(Move {
                device: any_device(u)?,
                crew: Some(any_ring(u)?),
            })),
            4 => all.push(Change::Role(RoleChange {
                seat: seat(u.choose(&authors())?),
                role: any_role(u)?,
            })),
            5 | 6 => {
                let subject = match u.int_in_range(0..=2)? {
                    0 => Subject::Seat(seat(u.choose(&authors())?)),
                    1 => Subject::Device(any_device(u)?),
                    _ => Subject::Person(any_ring(u)?),
                };
                let batch = u.arbitrary::<bool>()?;
                all.push(Change::End(End {
                    subject,
                    mode: *u.choose(&[EndMode::Soft, EndMode::Hard])?,
                    cuts: vec![cut(u)?],
                    more: batch.then(|| vec![Hash32([0; 32])]),
                }));
            }
            7 => all.push(Change::HubKey(HubKey {
                key: public(&key(u.int_in_range(0..=3)?)),
            })),
            8 | 9 => {
                let mut taken = Vec::new();
                for _ in 0..u.int_in_range(0..=3)? {
                    taken.push(*u.choose(ops)?);
                }
                let from = u.int_in_range(0..=side.pages.len())?;
                let branch = side.pages.get(from..).unwrap_or_default().concat();
                all.push(Change::Adopt(Adopt {
                    ops: taken,
                    branch: u.arbitrary::<bool>()?.then(|| branch.into()),
                }));
            }
            10 => all.push(Change::Cuts(CutBatch {
                cuts: vec![cut(u)?, cut(u)?],
            })),
            _ => all.push(Change::Unknown(u.int_in_range(100..=101)?)),
        }
    }
    Ok(all)
}

fn step(u: &mut Unstructured<'_>, chain: &mut Chain, side: &mut Chain) -> Result<()> {
    match u.int_in_range(0..=9)? {
        0 => *side = chain.clone(),
        1 => std::mem::swap(chain, side),
        _ => {
            let authors = authors();
            let author = u.choose(&authors)?;
            let links = chain.roster.links();
            let ops: Vec<OpId> = links
                .iter()
                .chain(side.roster.links())
                .map(|link| link.id)
                .collect();
            let changes = changes(u, &ops, side)?;
            let named = if u.ratio(3, 4)? {
                chain.roster.head()
            } else {
                let link = u.choose(links)?;
                (link.position, link.digest)
            };
            let lamport = links.len() as u64 + 1;
            let drafted =
                chain
                    .roster
                    .draft_on(named, &public(author), lamport, TIME_MS, changes.clone());
            let (context, body) = drafted.unwrap_or_else(|_| {
                // Somebody else's app, which checks nothing.
                let thread = company().id.roster_thread();
                let at = (thread, StoreId([0; 8]));
                let mut context = company().context(author, at, Class::Roster, None);
                (context.roster, context.roster_digest) = named;
                context.lamport = lamport;
                context.seq = links.len() as u32 + 1;
                context.previous = links.last().unwrap().id;
                let digest_after = RosterDigest(h(label::PART, &[&named.1.0]));
                let body = RosterBody {
                    digest_after,
                    changes,
                };
                (context, cbor::encode(&body))
            });
            let op = Op::new(context, payload::clear(&[1; 12], &body));
            chain.append(author, op);
        }
    }
    Ok(())
}

fn seats(roster: &Roster) -> Vec<(SeatId, usize)> {
    let seats = roster.seats();
    seats
        .map(|(id, _)| (*id, roster.ends_of(id).count()))
        .collect()
}

/// Builds chains by the bytes; all must read them alike.
pub fn chain(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    let (mut one, mut other) = (Chain::new(), Chain::new());
    for _ in 0..OPS {
        if u.is_empty() || step(&mut u, &mut one, &mut other).is_err() {
            break;
        }
    }
    for chain in [&one, &other] {
        let roster = &chain.roster;
        let mut again = Roster::new(company().id);
        for page in &chain.pages {
            assert!(bare::verified(roster, page).is_none(), "no op comes twice");
            let op = bare::verified(&again, page).unwrap();
            again.append(&op);
        }
        assert_eq!(again.head(), roster.head());
        assert_eq!(again.links(), roster.links());
        assert_eq!(seats(&again), seats(roster));
        let through = roster.through(roster.links().len());
        assert_eq!(through.head(), roster.head());
        assert_eq!(seats(&through), seats(roster));
        let mut broken = chain.pages.last().unwrap().clone();
        let at = usize::from(*bytes.first().unwrap_or(&0)) % broken.len();
        broken[at] ^= 1 << (bytes.len() % 8);
        let before = roster.through(roster.links().len() - 1);
        assert!(bare::verified(&before, &broken).is_none(), "a changed op");
    }
    let (left, right) = (
        one.roster.beside(&other.roster),
        other.roster.beside(&one.roster),
    );
    assert_eq!(left.head(), right.head());
    assert_eq!(seats(&left), seats(&right), "both sides say the same");
    assert_eq!(
        one.roster.shared_with(&other.roster),
        other.roster.shared_with(&one.roster)
    );
    assert!(
        !(one.roster.overrules(&other.roster) && other.roster.overrules(&one.roster)),
        "not each the other"
    );
}
