//! The keys of this device: its own, its seats' and ring secrets; opening what is wrapped for it.
//! Those of threads are in `threads`.
//!
//! Secrets live in the encrypted store, those behind a PIN sealed once more; nothing here logs one. No key is ever
//! taken from anything but a verified op.

mod threads;

use kolonne_model::ids::{DeviceId, RingId, SeatId};
use kolonne_model::roster::Roster;
use kolonne_model::roster::change::{Recipient as PublicRecipient, RingKind, Wrap};
use kolonne_model::roster::state::WrapRecord;
use rusqlite::{Connection, Transaction, params};
use zeroize::Zeroizing;

use crate::crypt::{self, Identity, Recipient, RootSeed, SigningSecret};
use crate::error::Error;
use crate::oplog::Author;
use crate::store::{get_meta, set_meta};

pub use threads::{
    RingSecrets, history, keep_named_key, key_to_send, open_thread_keys, open_thread_keys_by,
};
pub(crate) use threads::{files_for, make_key, opened_by};

/// A wrapped secret is 32 bytes.
const SECRET_BYTES: usize = 32;

/// The device's own keys.
pub struct DeviceKeys {
    /// Signs login and the device seat's ops.
    pub signing: SigningSecret,
    /// Opens ring secrets.
    pub identity: Identity,
}

impl DeviceKeys {
    /// New keys.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self {
            signing: SigningSecret::generate()?,
            identity: Identity::generate()?,
        })
    }

    /// The device's id.
    pub fn device(&self) -> DeviceId {
        DeviceId::of_key(&self.signing.public())
    }
}

/// A seat's keys.
pub struct SeatKeys {
    /// Signs what the person writes.
    pub signing: SigningSecret,
    /// Opens the person's ring.
    pub identity: Identity,
}

impl SeatKeys {
    /// New keys.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self {
            signing: SigningSecret::generate()?,
            identity: Identity::generate()?,
        })
    }

    /// The seat's id.
    pub fn seat(&self) -> SeatId {
        SeatId::of_key(&self.signing.public())
    }

    /// The seat as an author.
    pub fn author(&self) -> Author {
        Author {
            seat: self.seat(),
            secret: self.signing.clone(),
            identity: self.identity.clone(),
        }
    }
}

/// A recipient as the roster says it.
pub fn public_recipient(identity: &Identity) -> Result<PublicRecipient, Error> {
    let recipient = identity.recipient();
    let key: [u8; 32] = recipient
        .key()
        .try_into()
        .map_err(|_| Error::internal("recipient"))?;
    Ok(PublicRecipient::x25519(key))
}

/// A recipient of the roster, to seal to.
pub fn recipient(public: &PublicRecipient) -> Result<Recipient, Error> {
    Ok(Recipient::from_parts(public.kind, &public.key)?)
}

/// Wraps a secret for one who is named in the roster.
pub fn wrap(secret: &[u8; 32], to: [u8; 16], public: &PublicRecipient) -> Result<Wrap, Error> {
    let file = crypt::seal(secret, &[recipient(public)?])?;
    Ok(Wrap {
        to,
        file: file.into(),
    })
}

/// Keeps the device's keys; once per store.
pub fn keep_device(tx: &Transaction<'_>, keys: &DeviceKeys) -> Result<(), Error> {
    set_meta(tx, "device_signing", &*keys.signing.seed())?;
    set_meta(tx, "device_identity", keys.identity.as_bytes())
}

pub(crate) fn secret32(bytes: Vec<u8>) -> Result<Zeroizing<[u8; 32]>, Error> {
    let bytes = Zeroizing::new(bytes);
    Ok(Zeroizing::new(
        bytes.as_slice().try_into().map_err(|_| Error::Corrupt)?,
    ))
}

/// The device's keys.
pub fn device(db: &Connection) -> Result<DeviceKeys, Error> {
    let missing = || Error::NotFound { kind: "company" };
    let signing = secret32(get_meta(db, "device_signing")?.ok_or_else(missing)?)?;
    let identity = secret32(get_meta(db, "device_identity")?.ok_or_else(missing)?)?;
    Ok(DeviceKeys {
        signing: SigningSecret::from_seed(&signing),
        identity: Identity::from_bytes(&identity)?,
    })
}

/// The device seat as an author.
pub fn device_author(db: &Connection) -> Result<Author, Error> {
    let keys = device(db)?;
    Ok(Author {
        seat: SeatId::of_key(&keys.signing.public()),
        secret: keys.signing,
        identity: keys.identity,
    })
}

/// Keeps a person's seat on this device.
pub fn keep_seat(tx: &Transaction<'_>, place: u32, keys: &SeatKeys) -> Result<(), Error> {
    tx.execute(
        "INSERT OR IGNORE INTO own_seats (seat, place, signing, identity) VALUES (?1, ?2, ?3, ?4)",
        params![
            keys.seat().0.as_slice(),
            place,
            keys.signing.seed().as_slice(),
            keys.identity.as_bytes().as_slice()
        ],
    )?;
    Ok(())
}

/// The people's seats on this device, in order.
pub fn own_seats(db: &Connection) -> Result<Vec<SeatId>, Error> {
    let mut statement = db.prepare_cached("SELECT seat FROM own_seats ORDER BY place")?;
    let seats = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    seats
        .map(|seat| SeatId::try_from(seat?.as_slice()).map_err(|_| Error::Corrupt))
        .collect()
}

/// The secrets of a ring's generation that are here. Usually one: an undone or merged roster may have
/// given another generation the same number, and what was wrapped for that one is read by its own.
pub fn ring_secrets(
    db: &Connection,
    ring: &RingId,
    generation: u32,
) -> Result<Vec<Identity>, Error> {
    let mut statement =
        db.prepare_cached("SELECT secret FROM ring_secrets WHERE ring = ?1 AND generation = ?2")?;
    let secrets = statement.query_map(params![ring.0.as_slice(), generation], |row| {
        row.get::<_, Vec<u8>>(0)
    })?;
    secrets
        .map(|secret| Ok(Identity::from_bytes(&*secret32(secret?)?)?))
        .collect()
}

/// A ring's secret of a generation as the roster has it now, if it is here.
pub fn fitting_secret(
    db: &Connection,
    roster: &Roster,
    ring: &RingId,
    generation: u32,
) -> Result<Option<Identity>, Error> {
    let says = recipient_of(roster, ring, generation);
    for identity in ring_secrets(db, ring, generation)? {
        if says == Some(&public_recipient(&identity)?) {
            return Ok(Some(identity));
        }
    }
    Ok(None)
}

/// Keeps a ring's secret, beside another of the same number.
pub fn keep_ring_secret(
    tx: &Transaction<'_>,
    ring: &RingId,
    generation: u32,
    secret: &[u8; 32],
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO ring_secrets (ring, generation, secret) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![ring.0.as_slice(), generation, secret.as_slice()])?;
    Ok(())
}

/// Opens every ring secret that the roster holds for this device or a ring it opens. What only a
/// person's seat opens isn't kept: [`person_secret`]. Whether there was a new one.
pub fn open_rings(tx: &Transaction<'_>, roster: &Roster) -> Result<bool, Error> {
    let device_keys = device(tx)?;
    let mut identities: Vec<([u8; 16], Identity)> =
        vec![(device_keys.device().0, device_keys.identity)];
    let mut statement = tx.prepare_cached("SELECT ring, secret FROM ring_secrets")?;
    let open = statement.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))?;
    for row in open {
        let (ring, secret) = row?;
        let ring = RingId::try_from(ring.as_slice()).map_err(|_| Error::Corrupt)?;
        identities.push((ring.0, Identity::from_bytes(&*secret32(secret)?)?));
    }
    let mut any = false;
    loop {
        let mut found = false;
        for record in roster.wraps() {
            if fitting_secret(tx, roster, &record.ring, record.generation)?.is_some() {
                continue;
            }
            let candidates: Vec<&Identity> = identities
                .iter()
                .filter(|(to, _)| *to == record.to)
                .map(|(_, id)| id)
                .collect();
            let Some(secret) = try_open(&record.file, &candidates) else {
                continue;
            };
            if fits(roster, &record.ring, record.generation, &secret)? {
                keep_ring_secret(tx, &record.ring, record.generation, &secret)?;
                identities.push((record.ring.0, Identity::from_bytes(&secret)?));
                found = true;
            }
        }
        for previous in roster.previous_secrets() {
            let Some(earlier) = previous.generation.checked_sub(1).filter(|n| *n > 0) else {
                continue;
            };
            if fitting_secret(tx, roster, &previous.ring, earlier)?.is_some() {
                continue;
            }
            let newer = fitting_secret(tx, roster, &previous.ring, previous.generation)?;
            let Some(newer) = newer else {
                continue;
            };
            let Some(secret) = try_open(&previous.file, &[&newer]) else {
                continue;
            };
            if fits(roster, &previous.ring, earlier, &secret)? {
                keep_ring_secret(tx, &previous.ring, earlier, &secret)?;
                found = true;
            }
        }
        any |= found;
        if !found {
            return Ok(any);
        }
    }
}

/// A generation of a person's ring, as one of their seats opens it: wrapped for the seat, or sealed
/// under a later one that is. It lives no longer than its caller needs it.
pub fn person_secret(
    roster: &Roster,
    seat: &Author,
    ring: &RingId,
    generation: u32,
) -> Result<Option<Identity>, Error> {
    let newest = roster.newest_generation(ring).map_or(0, |(n, _)| n);
    let mut at = generation;
    let mut secret = loop {
        if at > newest {
            return Ok(None);
        }
        let mut wraps = roster
            .wraps()
            .iter()
            .filter(|wrap| (wrap.ring, wrap.generation, wrap.to) == (*ring, at, seat.seat.0));
        let opened = wraps.find_map(|wrap| open_wrap(roster, wrap, &seat.identity).transpose());
        if let Some(opened) = opened {
            break opened?;
        }
        at = at.saturating_add(1);
    };
    while at > generation {
        let mut sealed = roster.previous_secrets().iter();
        let sealed = sealed.find(|previous| (previous.ring, previous.generation) == (*ring, at));
        let Some(earlier) = sealed.and_then(|sealed| try_open(&sealed.file, &[&secret])) else {
            return Ok(None);
        };
        at = at.saturating_sub(1);
        if !fits(roster, ring, at, &earlier)? {
            return Ok(None);
        }
        secret = Identity::from_bytes(&earlier)?;
    }
    Ok(Some(secret))
}

/// What opens a generation of a person's ring, as one of their seats has it: the secret that holds,
/// and those of other generations to which a branch that was merged gave the same number.
pub fn person_secrets(
    roster: &Roster,
    seat: &Author,
    ring: &RingId,
    generation: u32,
) -> Result<Vec<Identity>, Error> {
    let holds = recipient_of(roster, ring, generation);
    let others = (roster.carried()).filter(|was| recipient_of(was, ring, generation) != holds);
    let secrets = std::iter::once(roster)
        .chain(others)
        .map(|roster| person_secret(roster, seat, ring, generation));
    secrets.filter_map(Result::transpose).collect()
}

/// A wrapped ring secret, if this identity opens it and it is what the roster says.
pub fn open_wrap(
    roster: &Roster,
    wrap: &WrapRecord,
    identity: &Identity,
) -> Result<Option<Identity>, Error> {
    let Some(secret) = try_open(&wrap.file, &[identity]) else {
        return Ok(None);
    };
    if fits(roster, &wrap.ring, wrap.generation, &secret)? {
        Ok(Some(Identity::from_bytes(&secret)?))
    } else {
        Ok(None)
    }
}

/// Whether who opens the next generation of a ring opens this one by it.
pub fn is_sealed_under_next(
    db: &Connection,
    roster: &Roster,
    ring: &RingId,
    generation: u32,
) -> Result<bool, Error> {
    let next = generation.saturating_add(1);
    let Some(newer) = fitting_secret(db, roster, ring, next)? else {
        return Ok(false);
    };
    for previous in roster.previous_secrets() {
        if (previous.ring, previous.generation) != (*ring, next) {
            continue;
        }
        let opened = try_open(&previous.file, &[&newer]);
        if let Some(secret) = opened
            && fits(roster, ring, generation, &secret)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn recipient_of<'a>(
    roster: &'a Roster,
    ring: &RingId,
    generation: u32,
) -> Option<&'a PublicRecipient> {
    let at = usize::try_from(generation).ok()?.checked_sub(1)?;
    roster.ring(ring)?.generations.get(at)
}

fn fits(roster: &Roster, ring: &RingId, generation: u32, secret: &[u8; 32]) -> Result<bool, Error> {
    let says = recipient_of(roster, ring, generation);
    Ok(says == Some(&public_recipient(&Identity::from_bytes(secret)?)?))
}

/// What one who holds the secret of a ring's newest generation can open of the earlier ones,
/// newest first.
pub fn all_generations(
    roster: &Roster,
    ring: &RingId,
    newest: Identity,
) -> Result<Vec<Identity>, Error> {
    let mut open = vec![newest];
    let count = roster.newest_generation(ring).map_or(0, |(n, _)| n);
    for generation in (2..=count).rev() {
        let Some(newer) = open.last() else { break };
        let sealed = roster
            .previous_secrets()
            .iter()
            .filter(|previous| previous.ring == *ring && previous.generation == generation);
        let mut earlier = None;
        for previous in sealed {
            if let Some(secret) = try_open(&previous.file, &[newer])
                && fits(roster, ring, generation - 1, &secret)?
            {
                earlier = Some(Identity::from_bytes(&secret)?);
            }
        }
        open.push(match earlier {
            Some(identity) => identity,
            None => break,
        });
    }
    Ok(open)
}

/// Every generation of a ring that the kit opens, by itself or by the kits before it.
pub fn opened_by_kit(
    root: &RootSeed,
    roster: &Roster,
    ring: &RingId,
) -> Result<Vec<(u32, Identity)>, Error> {
    let recovery = roster.the_ring(RingKind::Recovery).ok_or(Error::Corrupt)?;
    let kits = all_generations(roster, &recovery, root.encryption_identity()?)?;
    let mut secrets = Vec::new();
    for wrap in roster.wraps() {
        if wrap.ring == *ring && wrap.to == recovery.0 {
            for kit in &kits {
                let opened = open_wrap(roster, wrap, kit)?;
                secrets.extend(opened.map(|secret| (wrap.generation, secret)));
            }
        }
    }
    Ok(secrets)
}

/// A wrapped secret, by whichever of these opens it.
pub(crate) fn try_open(file: &[u8], identities: &[&Identity]) -> Option<Zeroizing<[u8; 32]>> {
    identities.iter().find_map(|identity| {
        let opened = crypt::open(file, std::slice::from_ref(*identity), SECRET_BYTES).ok()?;
        Some(Zeroizing::new(opened.as_slice().try_into().ok()?))
    })
}
