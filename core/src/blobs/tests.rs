#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::Seek;

use super::*;

fn store() -> (tempfile::TempDir, BlobStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(&folder.path().join("data/blobs")).unwrap();
    (folder, store)
}

fn id_of(bytes: &[u8]) -> BlobId {
    BlobId(*blake3::hash(bytes).as_bytes())
}

fn temp_files(store: &BlobStore) -> usize {
    fs::read_dir(store.root.join(TEMP)).unwrap().count()
}

fn read(store: &BlobStore, id: &BlobId) -> Vec<u8> {
    let mut bytes = Vec::new();
    store
        .open_blob(id)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

/// Gives some bytes, then fails.
struct Failing(u64, io::ErrorKind);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(self.1.into());
        }
        let count = io::repeat(1).take(self.0).read(buffer)?;
        self.0 -= u64::try_from(count).unwrap();
        Ok(count)
    }
}

#[test]
fn put_find_and_remove() {
    let (folder, store) = store();
    for bytes in [&b""[..], b"cipher", &vec![9; 200_000]] {
        let id = store.put(bytes).unwrap();
        assert_eq!(id, id_of(bytes));
        assert_eq!(store.put(bytes).unwrap(), id);
        assert!(store.has(&id).unwrap());
        assert_eq!(
            store.len_bytes(&id).unwrap(),
            Some(u64::try_from(bytes.len()).unwrap())
        );
        assert_eq!(read(&store, &id), bytes);
    }
    assert_eq!(temp_files(&store), 0);
    drop(store);

    let store = BlobStore::open(&folder.path().join("data/blobs")).unwrap();
    fs::write(store.root.join("00-stranger"), b"").unwrap();
    let ids: Vec<BlobId> = store.ids().unwrap().map(Result::unwrap).collect();
    assert_eq!(ids.len(), 3);
    for id in ids {
        fs::write(store.path(&id).with_file_name("stranger"), b"").unwrap();
        store.remove(&id).unwrap();
        store.remove(&id).unwrap();
        assert!(!store.has(&id).unwrap());
        assert_eq!(store.len_bytes(&id).unwrap(), None);
        assert!(matches!(store.open_blob(&id), Err(BlobError::Missing)));
    }
    assert_eq!(store.ids().unwrap().count(), 0);
}

#[test]
fn seals_straight_into_the_store() {
    let (_folder, store) = store();
    let plain = vec![4; 100_000];
    let sealed = store.seal_into(plain.as_slice()).unwrap();
    assert_eq!(store.check(&sealed.id).unwrap(), sealed.sealed_bytes);
    let mut opened = Vec::new();
    let file = store.open_blob(&sealed.id).unwrap();
    let info = crypt::open_blob(file, &sealed.identity, &mut opened, 1 << 20).unwrap();
    assert_eq!((info, opened), (sealed.plain, plain));
    assert_eq!(temp_files(&store), 0);
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, store) = store();
    let id = store.put(&b"a"[..]).unwrap();
    let outside = folder.path().join("outside");
    fs::write(&outside, b"b").unwrap();
    store.import(&outside, &id_of(b"b")).unwrap();
    store.partial(&id_of(b"c"), 1).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in [store.path(&id), store.path(&id_of(b"b"))] {
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
    }
    assert_eq!(
        mode(&store.root.join(PARTIAL).join(id_of(b"c").to_string())),
        0o600
    );
    for folder in [
        store.root.clone(),
        store.root.join(TEMP),
        store.root.join(PARTIAL),
    ] {
        assert_eq!(mode(&folder), 0o700);
    }
}

#[test]
fn failures_leave_nothing() {
    let (_folder, store) = store();
    let full = || Failing(100_000, io::ErrorKind::StorageFull);
    assert!(matches!(store.put(full()), Err(BlobError::StorageFull)));
    assert!(matches!(
        store.seal_into(full()),
        Err(BlobError::StorageFull)
    ));
    let broken = Failing(100_000, io::ErrorKind::ConnectionReset);
    assert!(matches!(store.put(broken), Err(BlobError::Io(_))));
    assert_eq!(temp_files(&store), 0);
    assert_eq!(store.ids().unwrap().count(), 0);
    let enospc = io::Error::from_raw_os_error(28);
    #[cfg(target_os = "linux")]
    assert!(matches!(enospc.into(), BlobError::StorageFull));
}

#[test]
fn leftovers_of_a_killed_process_are_swept() {
    let (_folder, store) = store();
    // Killed while writing: the temporary file stays.
    let (temp, mut file) = store.temp().unwrap();
    file.write_all(b"half").unwrap();
    std::mem::forget(temp);
    // Too young for opening: it may be another process's.
    let store = BlobStore::open(&store.root).unwrap();
    assert_eq!(temp_files(&store), 1);
    file.set_modified(SystemTime::now() - STALE_AFTER).unwrap();
    let store = BlobStore::open(&store.root).unwrap();
    assert_eq!(temp_files(&store), 0);
    // Killed between making a folder and syncing it, or between rename and sync: done again.
    let id = id_of(b"again");
    fs::create_dir(store.path(&id).parent().unwrap()).unwrap();
    fs::write(store.path(&id), b"torn").unwrap();
    assert!(matches!(store.check(&id), Err(BlobError::WrongHash)));
    assert_eq!(store.put(&b"again"[..]).unwrap(), id);
    assert_eq!(store.check(&id).unwrap(), 5);
}

#[test]
fn import_takes_only_what_it_says() {
    let (folder, store) = store();
    let path = folder.path().join("fetched");
    fs::write(&path, b"fetched").unwrap();
    assert!(matches!(
        store.import(&path, &id_of(b"other")),
        Err(BlobError::WrongHash)
    ));
    assert!(path.exists());
    store.import(&path, &id_of(b"fetched")).unwrap();
    assert!(!path.exists());
    assert_eq!(read(&store, &id_of(b"fetched")), b"fetched");
    assert!(matches!(
        store.import(&path, &id_of(b"fetched")),
        Err(BlobError::Io(_))
    ));
}

#[test]
fn a_download_resumes_after_a_restart() {
    let (_folder, store) = store();
    let bytes: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    let id = id_of(&bytes);
    let mut part = store.partial(&id, 50_000).unwrap();
    part.append(0, &bytes[..20_000]).unwrap();
    // Late and repeated answers change nothing.
    let wrong = part.append(0, &bytes[..20_000]);
    assert!(matches!(
        wrong,
        Err(BlobError::WrongOffset { held_bytes: 20_000 })
    ));
    let wrong = part.append(30_000, &bytes[30_000..]);
    assert!(matches!(
        wrong,
        Err(BlobError::WrongOffset { held_bytes: 20_000 })
    ));
    assert!(matches!(
        part.complete(),
        Err(BlobError::Incomplete { held_bytes: 20_000 })
    ));

    let store = BlobStore::open(&store.root).unwrap();
    assert_eq!(store.partials().unwrap(), [(id, 20_000)]);
    assert!(!store.has(&id).unwrap());
    let mut part = store.partial(&id, 50_000).unwrap();
    assert_eq!(part.held_bytes(), 20_000);
    // Cut to what is true of it, it goes on from there.
    part.append(20_000, &[0; 5_000]).unwrap();
    part.cut(20_000).unwrap();
    part.cut(50_000).unwrap();
    assert_eq!(
        (part.held_bytes(), store.partials().unwrap()),
        (20_000, vec![(id, 20_000)])
    );
    assert!(matches!(
        part.append(20_000, &bytes[..30_001]),
        Err(BlobError::TooLong)
    ));
    part.append(20_000, &bytes[20_000..]).unwrap();
    part.complete().unwrap();
    assert_eq!(read(&store, &id), bytes);
    assert_eq!(store.partials().unwrap(), []);
}

#[test]
fn a_false_download_is_thrown_away() {
    let (_folder, store) = store();
    let id = id_of(b"right");
    let mut part = store.partial(&id, 5).unwrap();
    part.append(0, b"wrong").unwrap();
    assert!(matches!(part.complete(), Err(BlobError::WrongHash)));
    assert!(!store.has(&id).unwrap());
    assert_eq!(store.partials().unwrap(), []);

    // Longer than announced: another blob's remains, or a torn file.
    let mut part = store.partial(&id, 9).unwrap();
    part.append(0, b"too long!").unwrap();
    let mut part = store.partial(&id, 5).unwrap();
    assert_eq!(part.held_bytes(), 0);
    part.append(0, b"right").unwrap();
    part.complete().unwrap();
    store.partial(&id, 5).unwrap().discard().unwrap();

    let empty = id_of(b"");
    store.partial(&empty, 0).unwrap().complete().unwrap();
    assert_eq!(store.len_bytes(&empty).unwrap(), Some(0));
}

#[test]
fn many_threads_put_the_same_bytes() {
    let (_folder, store) = store();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..20u8).for_each(|i| {
                    store.put([i % 5; 1000].as_slice()).unwrap();
                });
            });
        }
    });
    assert_eq!(store.ids().unwrap().count(), 5);
    for id in store.ids().unwrap() {
        let mut file = store.open_blob(&id.unwrap()).unwrap();
        assert_eq!(file.seek(io::SeekFrom::End(0)).unwrap(), 1000);
    }
    assert_eq!(temp_files(&store), 0);
}
