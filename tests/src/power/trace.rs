//! Records, under `strace`, every call by which a process changes a folder, in order.
//!
//! A call that changes files in a way not understood here stops the recording: an image that lacks a
//! write would prove nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is followed, and what changes files in ways that are not.
const CALLS: &str = "?openat,?close,?read,?readv,?write,?writev,?pwrite64,?pwritev,?lseek,\
    ?ftruncate,?fsync,?fdatasync,?rename,?renameat,?renameat2,?link,?linkat,?unlink,?unlinkat,\
    ?mkdir,?mkdirat,?rmdir,?dup,?dup2,?dup3,?fcntl,?mmap,?open,?creat,?truncate,?pwritev2,\
    ?copy_file_range,?sendfile,?splice,?fallocate,?sync,?syncfs,?sync_file_range,?symlink,\
    ?symlinkat,?msync,?io_uring_setup";
/// No single write is longer.
const LONGEST_WRITE: &str = "1048576";

/// A file, whatever its name.
pub type FileId = usize;

/// Something that a process did to its folder, or said.
#[derive(Debug)]
pub enum Event {
    /// Bytes are written at a place.
    Written(FileId, u64, Vec<u8>),
    /// A file has this length now.
    Cut(FileId, u64),
    /// A file has this name now.
    Named(PathBuf, FileId),
    /// A name is gone.
    Unnamed(PathBuf),
    /// A file has another name now.
    Renamed {
        /// The old one.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
        /// The file.
        file: FileId,
    },
    /// A folder is there now.
    Folder(PathBuf),
    /// A file's bytes are on the disk.
    Synced(FileId),
    /// A folder's names are.
    FolderSynced(PathBuf),
    /// The process called the item of this number and id *gesichert*.
    Acknowledged(u64, String),
}

/// A folder as it was, and what happened to it.
#[derive(Debug, Default)]
pub struct Recording {
    /// The files' bytes before; those that came later have none.
    pub before: Vec<Vec<u8>>,
    /// Their bytes at the end.
    pub after: Vec<Vec<u8>>,
    /// The last event that changed the bytes of each.
    pub last_changes: Vec<Option<usize>>,
    /// The files' first names.
    pub first_names: Vec<PathBuf>,
    /// The names before.
    pub names: BTreeMap<PathBuf, FileId>,
    /// The folders before.
    pub folders: BTreeSet<PathBuf>,
    /// What happened.
    pub events: Vec<Event>,
}

/// Records processes in a folder.
#[derive(Debug)]
pub struct Recorder {
    dir: PathBuf,
    out: PathBuf,
    recording: Recording,
    names: BTreeMap<PathBuf, FileId>,
    folders: BTreeSet<PathBuf>,
    lengths: Vec<u64>,
}

/// What a number of an open file stands for.
#[derive(Debug, Clone)]
enum Open {
    File {
        file: FileId,
        at: u64,
        appends: bool,
    },
    Folder(PathBuf),
}

/// Whether there is an `strace` that may trace here.
pub fn can_trace() -> bool {
    let tried = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

impl Recorder {
    /// Takes the folder, which nobody may have open, as it is; `out` is for the trace.
    pub fn new(dir: &Path, out: PathBuf) -> Self {
        let mut this = Self {
            dir: dir.to_owned(),
            out,
            recording: Recording::default(),
            names: BTreeMap::new(),
            folders: BTreeSet::new(),
            lengths: Vec::new(),
        };
        this.look_at(dir);
        this.recording.names.clone_from(&this.names);
        this.recording.folders.clone_from(&this.folders);
        this
    }

    /// A path in the folder, as it is called there.
    fn below(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.dir).ok().map(Path::to_owned)
    }

    fn both_below(&self, arguments: &[&str]) -> Option<(PathBuf, PathBuf)> {
        match [0, 1].map(|at| self.below(&path(arguments[at]))) {
            [Some(from), Some(to)] => Some((from, to)),
            [None, None] => None,
            paths => panic!("over the folder's border: {paths:?}"),
        }
    }

    fn look_at(&mut self, folder: &Path) {
        self.folders.insert(self.below(folder).unwrap());
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                self.look_at(&entry.path());
            } else {
                let bytes = fs::read(entry.path()).unwrap();
                self.lengths.push(bytes.len() as u64);
                let path = self.below(&entry.path()).unwrap();
                self.names.insert(path.clone(), self.recording.before.len());
                self.recording.first_names.push(path);
                self.recording.before.push(bytes);
            }
        }
    }

    /// What was recorded.
    pub fn done(self) -> Recording {
        let mut recording = self.recording;
        recording.after.clone_from(&recording.before);
        recording.last_changes = vec![None; recording.before.len()];
        for (at, event) in recording.events.iter().enumerate() {
            let file = match event {
                Event::Written(file, from, bytes) => {
                    super::disk::write(&mut recording.after[*file], *from as usize, bytes);
                    *file
                }
                Event::Cut(file, length) => {
                    recording.after[*file].resize(*length as usize, 0);
                    *file
                }
                _ => continue,
            };
            recording.last_changes[file] = Some(at);
        }
        for (name, file) in &self.names {
            // The log's index is written by way of memory, and made anew.
            if !name.to_string_lossy().ends_with("-shm") {
                let bytes = fs::read(self.dir.join(name)).unwrap();
                assert!(
                    bytes == recording.after[*file],
                    "{} was followed",
                    name.display()
                );
            }
        }
        let files = crate::fence::files_below(&self.dir).len();
        assert_eq!(files, self.names.len(), "names were followed");
        recording
    }

    /// A process, given the folder and then these arguments, works until it dies. It dies by itself, or
    /// on coming by a call: `fsync:signal=KILL:when=4`. How many items it acknowledged.
    pub fn life(&mut self, program: &Path, arguments: &[&str], at_call: Option<&str>) -> u64 {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-xx", "-s", LONGEST_WRITE, "-e", "signal=none"]);
        strace.args(["-e", &format!("trace={CALLS}")]);
        match at_call {
            Some(call) => strace.args(["-e", &format!("inject={call}")]),
            // Quicker, but nothing can be injected then.
            None => strace.arg("--seccomp-bpf"),
        };
        strace
            .arg("-o")
            .arg(&self.out)
            .arg(program)
            .arg(&self.dir)
            .args(arguments);
        let ended = strace.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        // It ends as what it traced.
        let signal = if at_call.is_some() { 9 } else { 6 };
        assert_eq!(
            ended.status.signal(),
            Some(signal),
            "it dies as it should: {said}"
        );
        let before = self.recording.events.len();
        let mut open = HashMap::new();
        for line in fs::read_to_string(&self.out).unwrap().lines() {
            self.read_line(line, &mut open);
        }
        let events = &self.recording.events[before..];
        let acknowledged = events
            .iter()
            .filter(|event| matches!(event, Event::Acknowledged(..)));
        acknowledged.count() as u64
    }

    fn read_line(&mut self, line: &str, open: &mut HashMap<u64, Open>) {
        let (_process, said) = line.split_once(' ').unwrap();
        let said = said.trim_start();
        let Some((name, rest)) = said.split_once('(') else {
            return;
        };
        if name.contains(' ') {
            return; // How a process or thread ended.
        }
        let Some((arguments, result)) = rest.rsplit_once(" = ") else {
            // Two threads at once: whose write came first?
            panic!("a call that isn't whole: {}", &line[..line.len().min(200)]);
        };
        let result = result.split(' ').next().unwrap();
        let Ok(result) = result.parse::<u64>() else {
            // It failed, and changed nothing; or it is an address.
            assert!(
                !arguments.contains("MAP_SHARED") || !self.maps(arguments, open),
                "{said}"
            );
            return;
        };
        let arguments = split(arguments.trim_end().strip_suffix(')').unwrap());
        self.call(name, &arguments, result, open);
    }

    /// Whether memory that is written to is a file of the folder: what is written there can't be seen.
    /// The log's index is made anew when the database is opened.
    fn maps(&self, arguments: &str, open: &HashMap<u64, Open>) -> bool {
        let arguments = split(arguments);
        let Some(Open::File { file, .. }) = number(arguments[4]).and_then(|fd| open.get(&fd))
        else {
            return false;
        };
        let name = self.recording.first_names[*file].to_string_lossy();
        arguments[2].contains("PROT_WRITE") && !name.ends_with("-shm")
    }

    fn call(&mut self, name: &str, arguments: &[&str], result: u64, open: &mut HashMap<u64, Open>) {
        let fd = arguments.first().and_then(|first| number(first));
        // Paths are whole here, so that these are the same.
        let (name, arguments) = match name {
            "renameat" | "renameat2" => ("rename", &[arguments[1], arguments[3]][..]),
            "linkat" => ("link", &[arguments[1], arguments[3]][..]),
            "unlinkat" if !arguments[2].contains("AT_REMOVEDIR") => ("unlink", &arguments[1..]),
            "mkdirat" => ("mkdir", &arguments[1..]),
            _ => (name, arguments),
        };
        match name {
            "openat" => {
                let path = path(arguments[1]);
                open.remove(&result);
                if let Some(path) = self.below(&path) {
                    open.insert(result, self.open(path, arguments[2]));
                }
            }
            "close" => drop(fd.and_then(|fd| open.remove(&fd))),
            "lseek" => {
                if let Some(Open::File { at, .. }) = fd.and_then(|fd| open.get_mut(&fd)) {
                    *at = result;
                }
            }
            "read" | "readv" => {
                if let Some(Open::File { at, .. }) = fd.and_then(|fd| open.get_mut(&fd)) {
                    *at += result;
                }
            }
            "write" | "writev" | "pwrite64" | "pwritev" => {
                let mut bytes = bytes(arguments[1]);
                bytes.truncate(result as usize);
                assert_eq!(
                    bytes.len() as u64,
                    result,
                    "the whole write is in the trace"
                );
                let given = name.starts_with('p').then(|| number(arguments[3]).unwrap());
                self.write(fd.unwrap(), given, bytes, open);
            }
            "ftruncate" => {
                if let Some(Open::File { file, .. }) = fd.and_then(|fd| open.get(&fd)) {
                    self.cut(*file, number(arguments[1]).unwrap());
                }
            }
            "fsync" | "fdatasync" => match fd.and_then(|fd| open.get(&fd)) {
                Some(Open::File { file, .. }) => self.happened(Event::Synced(*file)),
                Some(Open::Folder(path)) => self.happened(Event::FolderSynced(path.clone())),
                None => {}
            },
            "rename" => {
                if let Some((from, to)) = self.both_below(arguments)
                    && let Some(file) = self.names.remove(&from)
                {
                    self.names.insert(to.clone(), file);
                    self.happened(Event::Renamed { from, to, file });
                }
            }
            "link" => {
                if let Some((from, to)) = self.both_below(arguments)
                    && let Some(file) = self.names.get(&from).copied()
                {
                    self.names.insert(to.clone(), file);
                    self.happened(Event::Named(to, file));
                }
            }
            "unlink" => {
                let path = self.below(&path(arguments[0]));
                if let Some((path, _)) = path.and_then(|path| self.names.remove_entry(&path)) {
                    self.happened(Event::Unnamed(path));
                }
            }
            "mkdir" => {
                if let Some(path) = self.below(&path(arguments[0])) {
                    self.folders.insert(path.clone());
                    self.happened(Event::Folder(path));
                }
            }
            // Locks, not copies.
            "fcntl" if !arguments[1].starts_with("F_DUPFD") => {}
            "mmap" => {}
            _ => {
                let is_of_the_folder = arguments.iter().any(|argument| {
                    number(argument).is_some_and(|fd| open.contains_key(&fd))
                        || argument.starts_with('"') && path(argument).starts_with(&self.dir)
                });
                let everything = matches!(name, "sync" | "io_uring_setup");
                assert!(!is_of_the_folder && !everything, "{name} isn't understood");
            }
        }
    }

    fn open(&mut self, path: PathBuf, flags: &str) -> Open {
        if self.folders.contains(&path) {
            return Open::Folder(path);
        }
        let file = if let Some(file) = self.names.get(&path).copied() {
            if flags.contains("O_TRUNC") {
                self.cut(file, 0);
            }
            file
        } else {
            let file = self.lengths.len();
            self.lengths.push(0);
            self.recording.before.push(Vec::new());
            self.recording.first_names.push(path.clone());
            self.names.insert(path.clone(), file);
            self.happened(Event::Named(path, file));
            file
        };
        let appends = flags.contains("O_APPEND");
        Open::File {
            file,
            at: 0,
            appends,
        }
    }

    fn write(
        &mut self,
        fd: u64,
        given: Option<u64>,
        bytes: Vec<u8>,
        open: &mut HashMap<u64, Open>,
    ) {
        let Some(Open::File { file, at, appends }) = open.get_mut(&fd) else {
            if fd == 1 {
                self.hear(&String::from_utf8(bytes).unwrap());
            }
            return;
        };
        let length = self.lengths[*file];
        let from = given.unwrap_or(if *appends { length } else { *at });
        let end = from + bytes.len() as u64;
        if given.is_none() {
            *at = end;
        }
        self.lengths[*file] = length.max(end);
        let event = Event::Written(*file, from, bytes);
        self.happened(event);
    }

    fn cut(&mut self, file: FileId, length: u64) {
        if self.lengths[file] != length {
            self.lengths[file] = length;
            self.happened(Event::Cut(file, length));
        }
    }

    fn hear(&mut self, said: &str) {
        for line in said.lines() {
            let mut words = line.strip_prefix("gesichert ").unwrap().split(' ');
            let number = words.next().unwrap().parse().unwrap();
            let id = words.next().unwrap().to_owned();
            self.happened(Event::Acknowledged(number, id));
        }
    }

    fn happened(&mut self, event: Event) {
        self.recording.events.push(event);
    }
}

fn number(argument: &str) -> Option<u64> {
    argument.parse().ok()
}

/// What stands between the commas of a call; there are none within strings.
fn split(arguments: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, byte) in arguments.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(arguments[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(arguments[from..].trim());
    parts
}

/// The bytes of all strings of an argument, one after the other: `"\x68\x61"`.
fn bytes(argument: &str) -> Vec<u8> {
    assert!(!argument.contains("\"..."), "a string was cut off");
    let mut out = Vec::with_capacity(argument.len() / 4);
    // Only strings have backslashes.
    for digits in argument.split("\\x").skip(1) {
        out.push(u8::from_str_radix(&digits[..2], 16).unwrap());
    }
    out
}

fn path(argument: &str) -> PathBuf {
    let path = PathBuf::from(OsString::from_vec(bytes(argument)));
    assert!(path.is_absolute(), "{}", path.display());
    path
}
