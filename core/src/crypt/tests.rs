#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::io::{self, Cursor, Write};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn identities(count: usize) -> Vec<Identity> {
    (0..count).map(|_| Identity::generate().unwrap()).collect()
}

fn recipients(identities: &[Identity]) -> Vec<Recipient> {
    identities.iter().map(Identity::recipient).collect()
}

/// Sealed with the age crate itself, past our own limits.
fn sealed_to_many(count: usize) -> Vec<u8> {
    let keys = (0..count).map(|_| age::x25519::Identity::generate().to_public());
    sealed_to(&keys.collect::<Vec<_>>())
}

/// Files that must cost nothing wherever they come in, though the first would open.
pub(crate) fn hostile_files(mine: &Identity) -> Vec<Vec<u8>> {
    let own = mine.recipient().to_age_text().unwrap().parse().unwrap();
    let others = (0..200).map(|_| age::x25519::Identity::generate().to_public());
    vec![
        sealed_to(&std::iter::once(own).chain(others).collect::<Vec<_>>()),
        SCRYPT_BOMB.to_vec(),
        b"-----BEGIN AGE ENCRYPTED FILE-----\n".to_vec(),
        [
            b"age-encryption.org/v1\n-> X25519 ".to_vec(),
            vec![b'A'; 1 << 19],
        ]
        .concat(),
        Vec::new(),
    ]
}

/// A work factor of 2^62 would never end if anything tried it.
const SCRYPT_BOMB: &[u8] = b"age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 62\n\
    ZV/AhotwSGqaPCU43cepl4WYUouAa17a3xpu4G2yi5k\n--- x\n";

fn sealed_to(keys: &[age::x25519::Recipient]) -> Vec<u8> {
    let mut out = Vec::new();
    let age = age::Encryptor::with_recipients(keys.iter().map(|k| k as &dyn age::Recipient));
    let mut writer = age.unwrap().wrap_output(&mut out).unwrap();
    writer.write_all(b"wrap").unwrap();
    writer.finish().unwrap();
    out
}

#[test]
fn every_recipient_opens_and_nobody_else() {
    let members = identities(64);
    let file = seal(b"thread key", &recipients(&members)).unwrap();
    for member in [&members[0], &members[63]] {
        let plain = open(&file, std::slice::from_ref(member), 100).unwrap();
        assert_eq!(plain.as_slice(), b"thread key");
    }
    let error = open(&file, &identities(2), 100).unwrap_err();
    assert!(matches!(error, CryptError::NoMatch));
    assert!(matches!(open(&file, &[], 100), Err(CryptError::NoMatch)));
}

#[test]
fn too_many_recipients_are_refused_both_ways() {
    let keys = recipients(&identities(65));
    assert!(matches!(
        seal(b"", &keys),
        Err(CryptError::Recipients { count: 65 })
    ));
    assert!(matches!(
        seal(b"", &[]),
        Err(CryptError::Recipients { count: 0 })
    ));
    let mine = identities(1);
    for count in [66, 201] {
        let error = open(&sealed_to_many(count), &mine, 1 << 20).unwrap_err();
        assert!(matches!(error, CryptError::TooManyStanzas), "{count}");
    }
}

#[test]
fn passphrase_armor_and_endless_headers_are_refused() {
    let mine = identities(1);
    let refused = |file: &[u8]| open(file, &mine, 1 << 20).unwrap_err();
    assert!(matches!(refused(SCRYPT_BOMB), CryptError::Passphrase));
    assert!(matches!(
        refused(b"-----BEGIN AGE ENCRYPTED FILE-----\n"),
        CryptError::Armored
    ));
    assert!(matches!(refused(b""), CryptError::NotAge));
    let start = b"age-encryption.org/v1\n-> X25519 ".to_vec();
    let long_line = [start.clone(), vec![b'A'; 1 << 19]].concat();
    assert!(matches!(refused(&long_line), CryptError::NotAge));
    let body = [vec![b'A'; 64], vec![b'\n']].concat().repeat(1000);
    assert!(matches!(
        refused(&[start, b"\n".to_vec(), body].concat()),
        CryptError::NotAge
    ));
    assert!(matches!(refused(&vec![b'\n'; 1 << 19]), CryptError::NotAge));
}

#[test]
fn blobs_from_the_network_are_judged_by_their_header_too() {
    let mine = Identity::generate().unwrap();
    let identity = BlobIdentity::from_bytes(*mine.as_bytes());
    for (number, file) in hostile_files(&mine).iter().enumerate() {
        let streamed = open_blob(file.as_slice(), &identity, io::sink(), u64::MAX);
        let read = BlobReader::open(Cursor::new(file), &identity).map(drop);
        for refused in [streamed.map(drop), read] {
            let refused = refused.unwrap_err();
            let by_header = matches!(
                refused,
                CryptError::TooManyStanzas
                    | CryptError::Passphrase
                    | CryptError::Armored
                    | CryptError::NotAge
            );
            assert!(by_header, "{number}: {refused}");
        }
    }
}

/// A few of our own, made by the stock program, so that something is judged everywhere.
#[test]
fn own_vectors() {
    let [one, two] = [[7; 32], [8; 32]].map(|secret| Identity::from_bytes(&secret).unwrap());
    let by_one: &[u8] = include_bytes!("vectors/one.age");
    let by_two: &[u8] = include_bytes!("vectors/two.age");
    let empty: &[u8] = include_bytes!("vectors/empty.age");
    let text = b"Ortgang gerissen".as_slice();
    let cases = [
        (by_one, &one, text),
        (by_two, &one, text),
        (by_two, &two, text),
        (empty, &one, b""),
    ];
    for (file, identity, plain) in cases {
        let opened = open(file, std::slice::from_ref(identity), 100).unwrap();
        assert_eq!(opened.as_slice(), plain);
    }
    let ones = std::slice::from_ref(&one);
    let refused = |file: &[u8]| open(file, ones, 100).unwrap_err();
    let twos = std::slice::from_ref(&two);
    assert!(matches!(open(by_one, twos, 100), Err(CryptError::NoMatch)));
    let changed = |from: &str, to: &str| {
        let header = String::from_utf8_lossy(by_one).find("---").unwrap();
        let text = std::str::from_utf8(&by_one[..header]).unwrap();
        [text.replacen(from, to, 1).as_bytes(), &by_one[header..]].concat()
    };
    assert!(matches!(
        refused(&changed("/v1", "/v2")),
        CryptError::NotAge
    ));
    assert!(matches!(
        refused(&changed("\n", "\r\n")),
        CryptError::NotAge
    ));
    assert!(matches!(
        refused(&changed("-> X25519 ", "-> x25519 ")),
        CryptError::NoMatch
    ));
    // A stanza more than the MAC covers.
    let grease = "/v1\n-> grease\n\n-> X25519";
    assert!(matches!(
        refused(&changed("/v1\n-> X25519", grease)),
        CryptError::Damaged
    ));
    let last = by_one.len() - 1;
    assert!(matches!(refused(&by_one[..last]), CryptError::Damaged));
    let mut flipped = by_one.to_vec();
    flipped[last] ^= 1;
    assert!(matches!(refused(&flipped), CryptError::Damaged));
    let longer = [by_one, &[0]].concat();
    assert!(matches!(refused(&longer), CryptError::Damaged));
}

#[test]
fn plaintext_limit_holds() {
    let mine = identities(1);
    for len in [0, 1, 65_535, 65_536, 65_537, 200_000] {
        let file = seal(&vec![7; len], &recipients(&mine)).unwrap();
        assert_eq!(open(&file, &mine, len).unwrap().len(), len);
        if len > 0 {
            assert!(matches!(
                open(&file, &mine, len - 1),
                Err(CryptError::TooLarge)
            ));
        }
    }
}

#[test]
fn any_changed_or_missing_byte_fails() {
    let mine = identities(1);
    let file = seal(b"thread key", &recipients(&mine)).unwrap();
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(open(&changed, &mine, 100).is_err(), "byte {at}");
        assert!(open(&file[..at], &mine, 100).is_err(), "cut at {at}");
    }
    let longer = [file, vec![0]].concat();
    assert!(matches!(
        open(&longer, &mine, 100),
        Err(CryptError::Damaged)
    ));
}

#[test]
fn identities_are_age_identities() {
    // The pair in the age crate's own tests.
    let text = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    let (_, secret) = bech32::decode(text).unwrap();
    let identity = Identity::from_bytes(&secret.try_into().unwrap()).unwrap();
    assert_eq!(identity.to_age_text().as_str(), text);
    assert_eq!(
        identity.recipient().to_age_text().unwrap(),
        "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"
    );
    let public = identity.recipient();
    assert_eq!(
        Recipient::from_parts(public.kind(), public.key()).unwrap(),
        public
    );
    assert!(!format!("{identity:?}").contains("SECRET"));
}

#[test]
fn weak_and_foreign_recipients_are_refused_and_respelled_ones_are_the_same() {
    let good = identities(1)[0].recipient();
    assert!(Recipient::from_parts(2, good.key()).is_err());
    assert!(Recipient::from_parts(1, &good.key()[1..]).is_err());
    let mut respelled: [u8; 32] = good.key().try_into().unwrap();
    respelled[31] |= 0x80;
    assert_eq!(Recipient::from_parts(1, &respelled).unwrap(), good);
    let mut p = [0xff; 32];
    p[31] = 0x7f;
    for low in 0xeb..=0xff {
        p[0] = low;
        // p − 1, p and p + 1 are −1, 0 and 1.
        let is_weak = (0xec..=0xee).contains(&low);
        assert_eq!(Recipient::from_parts(1, &p).is_err(), is_weak, "{low}");
    }
    for weak in kolonne_model::x25519::LOW_ORDER {
        assert!(Recipient::from_parts(1, &weak).is_err());
        let mut respelled = weak;
        respelled[31] |= 0x80;
        assert!(Recipient::from_parts(1, &respelled).is_err());
        // What would happen: age takes the all-zero secret for a broken random generator.
        let text =
            bech32::encode_lower::<bech32::Bech32>(bech32::Hrp::parse_unchecked("age"), &weak);
        let key: age::x25519::Recipient = text.unwrap().parse().unwrap();
        let sealing = std::panic::catch_unwind(|| {
            age::Encryptor::with_recipients(std::iter::once(&key as &dyn age::Recipient)).is_ok()
        });
        assert!(sealing.is_err());
    }
}

#[test]
fn blobs_stream_round_trip() {
    for len in [0, 1, 65_535, 65_536, 65_537, 131_072, 300_000] {
        let plain: Vec<u8> = (0..len)
            .map(|i: u32| i.to_le_bytes()[0] ^ i.to_le_bytes()[1])
            .collect();
        let mut sealed = Vec::new();
        let blob = seal_blob(plain.as_slice(), &mut sealed).unwrap();
        assert_eq!(blob.sealed_bytes, u64::try_from(sealed.len()).unwrap());
        assert_eq!(blob.plain.bytes, u64::from(len));
        assert_eq!(
            verify(sealed.as_slice(), &blob.id).unwrap(),
            blob.sealed_bytes
        );
        assert!(verify(&sealed[1..], &blob.id).is_err());

        let mut opened = Vec::new();
        let mut hashing = HashingReader::new(sealed.as_slice());
        let info = open_blob(&mut hashing, &blob.identity, &mut opened, u64::from(len)).unwrap();
        assert_eq!((info, &opened), (blob.plain, &plain));
        assert_eq!(hashing.hash(), blob.id.0);
        if len > 0 {
            let result = open_blob(
                sealed.as_slice(),
                &blob.identity,
                io::sink(),
                u64::from(len) - 1,
            );
            assert!(matches!(result, Err(CryptError::TooLarge)));
        }
        let other = BlobIdentity::from_bytes([1; 32]);
        let result = open_blob(sealed.as_slice(), &other, io::sink(), u64::MAX);
        assert!(matches!(result, Err(CryptError::NoMatch)));

        // Players jump about, to and behind the end.
        let mut reader = BlobReader::open(Cursor::new(&sealed), &blob.identity).unwrap();
        assert_eq!(reader.plain_bytes(), u64::from(len));
        for at in [
            0, 1, 70_000, 65_536, 65_535, 299_999, 131_072, 0, 400_000, 200_000, 199_999,
        ] {
            let mut buffer = [0; 1000];
            let count = reader
                .read_at(u64::try_from(at).unwrap(), &mut buffer)
                .unwrap();
            let rest = plain.get(at..).unwrap_or_default();
            assert_eq!(
                &buffer[..count],
                &rest[..rest.len().min(1000)],
                "{len} at {at}"
            );
        }
        let cut = Cursor::new(&sealed[..sealed.len() - 1]);
        assert!(BlobReader::open(cut, &blob.identity).is_err());
    }
}

#[test]
fn a_blob_changed_or_cut_anywhere_fails() {
    let mut sealed = Vec::new();
    let blob = seal_blob(vec![3; 70_000].as_slice(), &mut sealed).unwrap();
    let open = |file: &[u8]| open_blob(file, &blob.identity, io::sink(), u64::MAX);
    let head_and_edges = (0..400).chain((400..sealed.len()).step_by(997));
    for at in head_and_edges.chain([sealed.len() - 1]) {
        let mut changed = sealed.clone();
        changed[at] ^= 0x80;
        assert!(open(&changed).is_err(), "byte {at}");
        assert!(open(&sealed[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_blob_proves_itself_as_far_as_it_is_there() {
    const CHUNK: usize = 64 * 1024 + 16;
    for plain_bytes in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let mut sealed = Vec::new();
        let blob = seal_blob(vec![7; plain_bytes].as_slice(), &mut sealed).unwrap();
        let payload = sealed.len() - plain_bytes - plain_bytes.div_ceil(65_536).max(1) * 16;
        let length = blob.sealed_bytes;
        let begin =
            |file: &Path| BlobProof::begin(fs::File::open(file).unwrap(), &blob.identity, length);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("arriving");
        let hold = |bytes: &[u8]| fs::write(&path, bytes).unwrap();
        // Piece by piece, in steps that fit no chunk.
        hold(&sealed[..payload]);
        let mut proof = begin(&path).unwrap();
        for held in (payload..sealed.len())
            .step_by(30_011)
            .chain([sealed.len()])
        {
            hold(&sealed[..held]);
            proof.go_on(held as u64).unwrap();
            let chunks = (held - payload) / CHUNK * CHUNK;
            let proven = if held == sealed.len() {
                held
            } else {
                payload + chunks
            };
            assert_eq!(proof.proven_bytes(), proven as u64, "{held} of {length}");
        }
        // One false byte: what is before its chunk stays.
        for at in (payload..sealed.len()).step_by(20_011) {
            let mut file = sealed.clone();
            file[at] ^= 1;
            hold(&file);
            let mut proof = begin(&path).unwrap();
            assert!(matches!(proof.go_on(length), Err(CryptError::Damaged)));
            let chunks = (at - payload) / CHUNK * CHUNK;
            assert_eq!(proof.proven_bytes(), (payload + chunks) as u64);
        }
        // A false header proves nothing, nor does another's identity.
        let mut file = sealed.clone();
        file[30] ^= 1;
        hold(&file);
        assert!(begin(&path).is_err());
        hold(&sealed);
        let other = BlobIdentity::from_bytes(*Identity::generate().unwrap().as_bytes());
        let file = fs::File::open(&path).unwrap();
        assert!(BlobProof::begin(file, &other, length).is_err());
    }
}

/// The stock program opens an export.
#[test]
fn stock_age_opens_a_blob() {
    if Command::new("age").arg("--version").output().is_err() {
        assert!(
            std::env::var("CI").is_err(),
            "the age program is missing; CI must have it"
        );
        eprintln!("SKIPPED: the age program is not installed (Debian: apt install age)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let plain = vec![5; 150_000];
    let blob = seal_blob(
        plain.as_slice(),
        fs::File::create(path("blob.age")).unwrap(),
    )
    .unwrap();
    let key = blob.identity.identity().unwrap().to_age_text();
    fs::write(path("key"), key.as_bytes()).unwrap();
    let run = |program: &str, args: &[&Path]| {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let decrypt = [
        Path::new("-d"),
        Path::new("-i"),
        &path("key"),
        &path("blob.age"),
    ];
    assert_eq!(run("age", &decrypt), plain);

    // And we open what it seals.
    let public = blob
        .identity
        .identity()
        .unwrap()
        .recipient()
        .to_age_text()
        .unwrap();
    fs::write(path("plain"), b"from outside").unwrap();
    let encrypt = [Path::new("-r"), Path::new(&public), &path("plain")];
    let opened = open(
        &run("age", &encrypt),
        &[blob.identity.identity().unwrap()],
        100,
    )
    .unwrap();
    assert_eq!(opened.as_slice(), b"from outside");
}

/// The age vectors of C2SP's CCTV collection (github.com/C2SP/CCTV, freely licensed), unchanged.
///
/// Armored, passphrase and hybrid files are refused here whatever the vectors expect.
#[test]
fn c2sp_vectors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/crypt/vectors/c2sp");
    let entries = fs::read_dir(&folder).unwrap();
    let (mut judged, mut refused) = (0, 0);
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let fields = std::str::from_utf8(&bytes[..end]).unwrap();
        let values = |key: &str| {
            let key = format!("{key}: ");
            fields
                .lines()
                .filter_map(move |line| line.strip_prefix(&key).map(str::to_owned))
        };
        let mut file = bytes[end + 2..].to_vec();
        if values("compressed").next().is_some() {
            file = miniz_oxide::inflate::decompress_to_vec_zlib(&file).unwrap();
        }
        let keys: Vec<Identity> = values("identity")
            .filter_map(|key| bech32::decode(&key).ok())
            .filter_map(|(_, secret)| Identity::from_bytes(&secret.try_into().ok()?).ok())
            .collect();
        let result = open(&file, &keys, 64 << 20);
        // As a blob it is judged the same.
        if let [key] = keys.as_slice() {
            let identity = BlobIdentity::from_bytes(*key.as_bytes());
            let blob = open_blob(file.as_slice(), &identity, io::sink(), 64 << 20);
            assert_eq!(blob.is_ok(), result.is_ok(), "{name}");
        }
        let ours = !["armor", "scrypt", "hybrid"]
            .iter()
            .any(|group| name.starts_with(group));
        if !ours {
            assert!(result.is_err(), "{name}");
            refused += 1;
            continue;
        }
        judged += 1;
        let expect = values("expect").next().unwrap();
        let as_expected = match (expect.as_str(), &result) {
            ("success", Ok(_))
            | ("no match", Err(CryptError::NoMatch))
            | ("HMAC failure" | "payload failure", Err(CryptError::Damaged))
            // A header cut within the nonce is a cut file.
            | ("header failure", Err(CryptError::NotAge | CryptError::Damaged)) => true,
            _ => false,
        };
        assert!(
            as_expected,
            "{name}: {expect}, got {:?}",
            result.map(|plain| plain.len())
        );
    }
    assert!(
        judged > 50 && refused > 20,
        "{judged} judged, {refused} refused"
    );
    eprintln!("{judged} vectors judged as expected, {refused} of foreign kinds refused");
}

#[test]
fn root_keys_and_kit_never_change() {
    let root = RootSeed::from_bytes([7; 32]);
    eprintln!(
        "{:?} {}",
        root.encryption_identity().unwrap().recipient(),
        *root.to_kit_text()
    );
    assert_eq!(
        root.signing_secret().public().to_string(),
        "f61dde58839bacf84779bb09782255d2897325545e7710d155288a4accf9db44"
    );
    let recovery = root.encryption_identity().unwrap().recipient();
    assert_eq!(
        recovery.to_age_text().unwrap(),
        "age1jxy0j3tnhjyquyjjrmnt6spwx4ls3y950zxqytr355hmryfhkc8s3xq5ns"
    );
    let kit = "0W3GQ-E1R7R-0W3GX-E1R76\n0W3G3-E1R7C-0W3G9-E1R7Z\n\
        0W3GT-E1R7N-0W3GG-E1R7B\n0W3VR-4FHMD";
    assert_eq!(root.to_kit_text().as_str(), kit);
    assert_eq!(format!("{root:?}"), "RootSeed");
}

#[test]
fn signatures_verify() {
    let secret = SigningSecret::generate().unwrap();
    let again = SigningSecret::from_seed(&secret.seed());
    assert_eq!(secret.public(), again.public());
    let key = ed25519_dalek::VerifyingKey::from_bytes(&secret.public().0).unwrap();
    let signature = ed25519_dalek::Signature::from_bytes(&secret.sign(b"label message").0);
    assert!(key.verify_strict(b"label message", &signature).is_ok());
    assert!(key.verify_strict(b"label messagE", &signature).is_err());
}

/// Position of the nth character that is part of the kit.
fn nth_symbol(text: &str, nth: usize) -> usize {
    text.char_indices()
        .filter(|(_, c)| c.is_ascii_alphanumeric())
        .nth(nth)
        .unwrap()
        .0
}

proptest! {
    #[test]
    fn kit_round_trip(seed: [u8; 32], noise in proptest::collection::vec(0..6_u8, 90)) {
        let root = RootSeed::from_bytes(seed);
        let text = root.to_kit_text();
        prop_assert_eq!(text.lines().count(), 4);
        prop_assert_eq!(RootSeed::from_kit_text(&text), Ok(root.clone()));
        let typed: String = text.chars().zip(noise.iter().cycle()).map(|(char, noise)| {
            match (char, noise) {
                ('0', 1) => "o".into(),
                ('0', 2) => "O ".into(),
                ('1', 1) => "l".into(),
                ('1', 2) => "I".into(),
                ('V', 1) => "u".into(),
                ('-', 0) => " ".into(),
                ('-', 1) => String::new(),
                ('-', 2) => " – ".into(),
                (_, 3) => format!("{char}\r\n"),
                (_, 4 | 5) => char.to_lowercase().to_string(),
                _ => char.to_string(),
            }
        }).collect();
        prop_assert_eq!(RootSeed::from_kit_text(&typed), Ok(root));
    }

    #[test]
    fn a_typo_in_a_kit_is_located(seed: [u8; 32], nth in 0..70_usize, to in "[0-9A-HJKMNP-TV-Z?ß]") {
        let text = RootSeed::from_bytes(seed).to_kit_text();
        let at = nth_symbol(&text, nth);
        let number = nth / 5 + 1;
        prop_assume!(text[at..=at] != *to);
        let typo = [&text[..at], &to, &text[at + 1..]].concat();
        prop_assert_eq!(RootSeed::from_kit_text(&typo), Err(KitError::Group { number }));

        let missing = [&text[..at], &text[at + 1..]].concat();
        prop_assert!(RootSeed::from_kit_text(&missing).is_err());

        if nth % 5 != 4 {
            let next = nth_symbol(&text, nth + 1);
            let swapped = [&text[..at], &text[next..=next], &text[at..=at], &text[next + 1..]].concat();
            if swapped != **text {
                prop_assert_eq!(RootSeed::from_kit_text(&swapped), Err(KitError::Group { number }));
            }
        }
    }

    #[test]
    fn swapped_groups_in_a_kit_show(seed: [u8; 32], a in 0..14_usize, b in 0..14_usize) {
        let text = RootSeed::from_bytes(seed).to_kit_text();
        let mut groups: Vec<&str> = text.split(['-', '\n']).collect();
        prop_assert_eq!(groups.len(), 14);
        groups.swap(a, b);
        let result = RootSeed::from_kit_text(&groups.join(" "));
        if a == b {
            prop_assert!(result.is_ok());
        } else {
            prop_assert_eq!(result, Err(KitError::Group { number: a.min(b) + 1 }));
        }
    }

    #[test]
    fn no_text_and_no_file_panics(text in "\\PC{0,300}", bytes: Vec<u8>) {
        prop_assert!(RootSeed::from_kit_text(&text).is_err());
        let file = [b"age-encryption.org/v1\n-> ".to_vec(), bytes].concat();
        prop_assert!(open(&file, &[], 100).is_err());
    }
}

#[test]
fn a_kit_of_the_wrong_length_says_so() {
    let text = RootSeed::from_bytes([9; 32]).to_kit_text();
    let short = &text[..text.len() - 6];
    assert_eq!(
        RootSeed::from_kit_text(short),
        Err(KitError::Length { chars: 65 })
    );
    let long = [&text, "00000"].concat();
    assert_eq!(
        RootSeed::from_kit_text(&long),
        Err(KitError::Length { chars: 75 })
    );
    assert_eq!(
        RootSeed::from_kit_text(""),
        Err(KitError::Length { chars: 0 })
    );
}

#[test]
fn device_key_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.key");
    let keys: Vec<_> = std::thread::scope(|scope| {
        let start = || at_rest::device_key(&path).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    for wrong in [0, 31, 33] {
        fs::write(&path, vec![1; wrong]).unwrap();
        assert!(matches!(at_rest::device_key(&path), Err(CryptError::Key)));
        assert_eq!(fs::read(&path).unwrap().len(), wrong);
    }
}

#[test]
fn secrets_wipe_and_print_nothing() {
    fn wipes<T: zeroize::ZeroizeOnDrop>() {}
    wipes::<zeroize::Zeroizing<[u8; 32]>>();
    wipes::<ed25519_dalek::SigningKey>();
    wipes::<kolonne_model::key::HistorySecret>();
    wipes::<kolonne_model::key::ThreadKey>();
    wipes::<kolonne_model::enrol::OneTimeSecret>();
    let seed = [0xA7; 32];
    let printed = [
        format!("{:?}", RootSeed::from_bytes(seed)),
        format!("{:?}", SigningSecret::from_seed(&seed)),
        format!("{:?}", Identity::from_bytes(&seed).unwrap()),
        format!("{:?}", BlobIdentity::from_bytes(seed)),
        format!("{:?}", kolonne_model::key::HistorySecret::from_bytes(seed)),
        format!("{:?}", kolonne_model::key::ThreadKey::from_bytes(seed)),
    ];
    for text in printed {
        let small = text.to_lowercase();
        assert!(
            !small.contains("a7a7") && !small.contains("167, 167") && !small.contains("secret-key"),
            "{text}"
        );
    }
}
