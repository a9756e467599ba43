//! Runs the real program: each device is a folder, each command a process, answers are JSON.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::format_push_string
)]
#![allow(missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

/// A command that runs; killed when dropped.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(args: &[&str]) -> Self {
        Self::start_in(&[], args)
    }

    /// Starts in an environment.
    pub fn start_in(environment: &[(&str, &str)], args: &[&str]) -> Self {
        let mut child = program(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line of JSON.
    pub fn json(&mut self) -> Value {
        let mut line = String::new();
        assert!(
            self.lines.read_line(&mut line).unwrap() > 0,
            "the command ended"
        );
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until it ends by itself.
    pub fn finish(mut self) -> i32 {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(args: &[&str]) -> Command {
    started(env!("CARGO_BIN_EXE_kolonne"), args)
}

fn started(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_remove("KOLONNE_DIR")
        .env_remove("KOLONNE_TRUST")
        .env_remove("KOLONNE_PIN")
        .env_remove("KOLONNE_NEW_PIN")
        .env("LANG", "de_DE.UTF-8");
    command
}

/// What a command answered.
pub struct Answer {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// Its last line of JSON.
    pub fn json(&self) -> Value {
        let line = self
            .stdout
            .lines()
            .last()
            .unwrap_or_else(|| panic!("{}", self.stderr));
        serde_json::from_str(line).unwrap()
    }

    /// The code of its failure.
    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

pub fn run(args: &[&str]) -> Answer {
    run_in(&[], args)
}

/// Runs in an environment.
pub fn run_in(environment: &[(&str, &str)], args: &[&str]) -> Answer {
    let mut program = program(args);
    program.envs(environment.iter().copied());
    let output = program.stdin(Stdio::null()).output().unwrap();
    Answer {
        exit: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs with this on its standard input.
pub fn run_with(args: &[&str], input: &str) -> Answer {
    let mut child = program(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Answer {
        exit: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs at a terminal at which somebody types this; all it shows is in `stdout`.
pub fn run_at_terminal(args: &[&str], typed: &str) -> Answer {
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let program = std::iter::once(env!("CARGO_BIN_EXE_kolonne"));
    let line: Vec<String> = program.chain(args.iter().copied()).map(quoted).collect();
    // Debian's own terminal for programs that are asked from others.
    let mut child = started("script", &["-qec", &line.join(" "), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    Answer {
        exit: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs with `--json` and expects success.
pub fn ask(args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let answer = run(&args);
    assert_eq!(
        answer.exit, 0,
        "{args:?}: {}{}",
        answer.stdout, answer.stderr
    );
    answer.json()
}

/// A web server that says the same to everybody.
pub struct StandIn {
    over: Arc<AtomicBool>,
    address: SocketAddr,
    serves: Option<JoinHandle<()>>,
}

impl StandIn {
    fn at(address: &str, answer: &'static str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let serves = std::thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                if ends.load(Ordering::Acquire) {
                    break;
                }
                let mut asked = [0; 4096];
                drop(socket.read(&mut asked));
                drop(socket.write_all(answer.as_bytes()));
            }
        });
        Self {
            over,
            address,
            serves: Some(serves),
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        drop(self.serves.take().map(JoinHandle::join));
    }
}

/// A company with an office, and a hub that can be stopped and started.
pub struct Firm {
    dir: tempfile::TempDir,
    pub hub: Option<Running>,
    address: String,
    pub url: String,
    pub kit: String,
}

impl Firm {
    pub fn founded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut firm = Self {
            dir,
            hub: None,
            address: "127.0.0.1:0".to_owned(),
            url: String::new(),
            kit: String::new(),
        };
        let said = firm.start_hub();
        said["url"].as_str().unwrap().clone_into(&mut firm.url);
        firm.address = String::from(firm.url.trim_start_matches("http://"));
        let office = firm.office();
        let founded = ask(&[
            "found",
            "--dir",
            &office,
            "--company",
            "Dachdeckerei Test",
            "--name",
            "Sabine",
            "--device",
            "Büro 1",
            "--hub",
            &firm.url,
            "--hub-key",
            said["key_groups"].as_str().unwrap(),
        ]);
        founded["recovery_kit"]
            .as_str()
            .unwrap()
            .clone_into(&mut firm.kit);
        assert!(firm.kit.len() > 70);
        firm
    }

    pub fn start_hub(&mut self) -> Value {
        self.start_hub_on("hub")
    }

    /// Another hub at the same address.
    pub fn start_hub_on(&mut self, folder: &str) -> Value {
        let data = self.path(folder);
        let args = ["hub", "--json", "--data", &data, "--listen", &self.address];
        let mut hub = Running::start(&args);
        let said = hub.json();
        self.hub = Some(hub);
        said
    }

    pub fn stop_hub(&mut self) {
        self.hub = None;
    }

    /// In the hub's place something answers every connection with these bytes, until it is dropped.
    pub fn instead_of_hub(&mut self, answer: &'static str) -> StandIn {
        self.stop_hub();
        StandIn::at(&self.address, answer)
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub fn office(&self) -> String {
        self.path("office")
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Enrols a phone that a crew shares; both sides must show the same words.
    pub fn phone(&self, crew: &str, people: &[&str]) -> String {
        self.phone_in(crew, crew, people)
    }

    /// Enrols another phone for a crew and people that are there already.
    pub fn phone_again(&self, crew: &str, people: &[&str]) -> String {
        self.phone_in(&format!("{crew} neu"), crew, people)
    }

    /// Enrols a phone on which PINs are asked for, but no good one is given: as if the program were
    /// killed at the question.
    pub fn phone_without_pins(&self, crew: &str, people: &[&str]) -> String {
        let phone = self.path(crew);
        let bad = [("KOLONNE_NEW_PIN", "1234")];
        let args = ["enrol", "--json", "--dir", &phone];
        let (invite, mut enrol) = self.admit(crew, crew, people, &bad, &args);
        assert_eq!(enrol.json()["error"]["code"], "invalid.pin.easy");
        assert_eq!((enrol.finish(), invite.finish()), (3, 0));
        phone
    }

    fn phone_in(&self, folder: &str, crew: &str, people: &[&str]) -> String {
        let phone = self.path(folder);
        let args = ["enrol", "--no-pin", "--json", "--dir", &phone];
        let (invite, mut enrol) = self.admit(folder, crew, people, &[], &args);
        assert_eq!(enrol.json()["state"], "admitted");
        assert_eq!((enrol.finish(), invite.finish()), (0, 0));
        phone
    }

    /// Both ends of an enrolment, up to the office's last word.
    fn admit(
        &self,
        folder: &str,
        crew: &str,
        people: &[&str],
        environment: &[(&str, &str)],
        enrol: &[&str],
    ) -> (Running, Running) {
        let office = self.office();
        let device = format!("Handy {folder}");
        let mut args = vec![
            "invite",
            "--json",
            "--dir",
            &office,
            "--device-name",
            &device,
            "--role",
            "crew",
            "--crew",
            crew,
            "--admit-without-asking",
        ];
        for name in people {
            args.extend(["--person", name]);
        }
        let mut invite = Running::start(&args);
        let code = invite.json()["code"].as_str().unwrap().to_owned();
        assert!(code.starts_with("KOLONNE1:"), "{code}");
        let enrol: Vec<&str> = enrol.iter().copied().chain([code.as_str()]).collect();
        let mut enrol = Running::start_in(environment, &enrol);
        let (there, here) = (enrol.json(), invite.json());
        assert_eq!(there["words_de"], here["words_de"]);
        assert_eq!(there["words_de"].as_array().unwrap().len(), 4);
        assert_eq!(invite.json()["state"], "admitted");
        (invite, enrol)
    }
}

/// A JPEG of so many pixels.
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x % 251) as u8, (y % 241) as u8, ((x * y) % 239) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .unwrap();
    bytes.into_inner()
}

/// What a page answered.
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Sends one HTTP/1.1 request as it is written here: no client tidies the path.
pub fn http(host: &str, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut socket = TcpStream::connect(host).unwrap();
    let mut head = format!("{request} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body).unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes.get(..end).unwrap().to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = bytes.get(end + 4..).unwrap().to_vec();
    if head.to_lowercase().contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    Response { status, head, body }
}

fn unchunked(bytes: &[u8]) -> Vec<u8> {
    let (mut rest, mut out) = (bytes, Vec::new());
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        out.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    out
}

pub fn sparse(path: &Path, bytes: u64) -> PathBuf {
    std::fs::File::create(path).unwrap().set_len(bytes).unwrap();
    path.to_owned()
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
