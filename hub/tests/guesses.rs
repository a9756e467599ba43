//! A million guesses at whatever opens something: no success, and the hub's memory stays as it is.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use common::{Company, now, open, public};
use ed25519_dalek::Signer;
use kolonne_model::enrol::{self, OneTimeSecret, Opening, PhoneKeys};
use kolonne_model::hub::{
    Door, Hub, HubError, Login, LoginStart, Mail, MailAt, RefusalCode, login_message,
};
use kolonne_model::ids::{Hash32, Signature};
use kolonne_model::roster::change::Recipient;

const GUESSES: u64 = 1_000_000;
/// What an allocator may keep for itself.
const SLACK_BYTES: u64 = 8 << 20;

/// The next guess: anything, but never the same.
fn guess(kind: &str, n: u64) -> [u8; 32] {
    blake3::derive_key(kind, &n.to_be_bytes())
}

/// Memory of this process, where the system says it.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

#[test]
fn a_million_guesses_open_nothing_and_cost_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path());
    let company = Company::new(20);
    company.settle(&hub);
    let door = hub.door();

    // There is something to find: a login that holds, a mailbox with a phone's message.
    let phone = &company.phone;
    let start = LoginStart {
        company: company.id,
        device: phone.id,
    };
    let log_in = |nonce: Hash32, signature: Option<Signature>| {
        let message = login_message(&hub.key(), &company.id, &phone.id, &nonce);
        let signed = || Signature(phone.key.sign(&message).to_bytes());
        door.login(&Login {
            company: company.id,
            device: phone.id,
            nonce,
            signature: signature.unwrap_or_else(signed),
        })
    };
    let token = log_in(door.login_start(&start).nonce, None).unwrap().token;
    assert!(door.connect(&token).is_ok());
    let secret = OneTimeSecret::from_bytes([7; 16]);
    let office = hub.connect(company.id, company.office.id);
    now(office.open_mailbox(secret.mailbox())).unwrap();
    let keys = PhoneKeys {
        device_key: public(&phone.key),
        recipient: Recipient::x25519([3; 32]),
        seat_keys: Vec::new(),
    };
    let commitment = enrol::commit(&Hash32([1; 32]), &keys);
    let sealed = enrol::seal_message(&secret, enrol::From::Phone, 1, &commitment);
    let mail = |mailbox, message: &[u8]| Mail {
        mailbox,
        slot: 1,
        message: message.to_vec().into(),
    };
    now(door.put_mail(mail(secret.mailbox(), &sealed))).unwrap();

    let wrong = Err(HubError::Refused(RefusalCode::Login));
    let round = |from: u64, to: u64| {
        for n in from..to {
            let token = door.connect(&Hash32(guess("guess token", n)));
            assert_eq!(token.err(), Some(HubError::LoginNeeded));
            // A nonce of one's own, well signed now and then: that takes the guesser's time, not ours.
            let signature = (n % 100 > 0).then_some(Signature([7; 64]));
            let nonce = Hash32(guess("guess nonce", n));
            assert_eq!(log_in(nonce, signature).map(drop), wrong);
            let mailbox = Hash32(guess("guess mailbox", n));
            let found = now(door.mail(MailAt { mailbox, slot: 1 }));
            assert_eq!(found, Err(HubError::NotThere));
            assert_eq!(now(door.put_mail(mail(mailbox, b"mine"))), Ok(()));
            let mut forged = sealed.clone();
            forged[..32].copy_from_slice(&guess("guess mac", n));
            let opened: Result<enrol::Commitment, _> =
                enrol::open_message(&secret, enrol::From::Phone, 1, &forged);
            assert!(opened.is_err());
        }
    };
    round(0, GUESSES / 100);
    let before = resident_bytes();
    round(GUESSES / 100, GUESSES);
    for n in 0..GUESSES / 100 {
        let nonce = door.login_start(&start).nonce;
        let half = guess("guess signature", n);
        let signature = Signature([half, half].concat().try_into().unwrap());
        assert_eq!(log_in(nonce, Some(signature)).map(drop), wrong);
    }
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let grown = after.saturating_sub(before);
        println!("{GUESSES} guesses of each kind: {grown} bytes more than before");
        assert!(grown < SLACK_BYTES, "{grown} bytes more than before");
    }

    // What was there still is, and five tries at a filled slot burn the mailbox.
    assert!(door.connect(&token).is_ok());
    let at = || MailAt {
        mailbox: secret.mailbox(),
        slot: 1,
    };
    assert_eq!(now(door.mail(at())).unwrap(), sealed);
    for _ in 0..enrol::TRIES {
        let tried = now(door.put_mail(mail(secret.mailbox(), b"mine")));
        assert_eq!(tried, Err(HubError::NotAllowed));
    }
    assert_eq!(now(door.mail(at())), Err(HubError::NotThere));
    let opening: Result<Opening, _> = enrol::open_message(&secret, enrol::From::Office, 1, &sealed);
    assert!(opening.is_err(), "a message of the other direction is none");
}
