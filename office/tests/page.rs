//! The local page over a real socket: who may ask, what its headers forbid, and that files and
//! texts go in and come out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::Write;
use std::process::Command;

use serde_json::json;
use support::{Firm, Response, Running, ask, http, jpeg, run_with};

/// Headers sent, the status and code that must come back.
type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);

struct Page {
    _running: Running,
    firm: Firm,
    host: String,
    token: String,
    thread: String,
}

impl Page {
    fn open() -> Self {
        let firm = Firm::founded();
        let office = firm.office();
        ask(&["job", "open", "--dir", &office, "--title", "Kirchplatz 2"]);
        Self::of(firm, &office)
    }

    /// Of a folder with one job.
    fn of(firm: Firm, office: &str) -> Self {
        let mut running = Running::start(&["office", "--json", "--dir", office]);
        let url = running.json()["url"].as_str().unwrap().to_owned();
        let (host, token) = url
            .trim_start_matches("http://")
            .split_once("/#t=")
            .unwrap();
        let mut page = Self {
            host: host.to_owned(),
            token: token.to_owned(),
            thread: String::new(),
            _running: running,
            firm,
        };
        let threads = page.ask("GET /api/threads", b"").json();
        let id = threads["threads"][0]["id"].as_str().unwrap();
        id.clone_into(&mut page.thread);
        page
    }

    fn seat(&self) -> String {
        let me = self.ask("GET /api/me", b"").json();
        me["seats"][0]["seat"].as_str().unwrap().to_owned()
    }

    /// Asks, and nudges, until the answer is so.
    fn until(
        &self,
        request: &str,
        is_so: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let end = std::time::Instant::now() + std::time::Duration::from_mins(1);
        loop {
            let answer = self.ask(request, b"").json();
            if is_so(&answer) {
                return answer;
            }
            assert!(std::time::Instant::now() < end, "{request}: {answer}");
            self.ask("POST /api/sync", b"");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    fn ask(&self, request: &str, body: &[u8]) -> Response {
        let bearer = format!("Bearer {}", self.token);
        http(
            &self.host,
            request,
            &[("Host", &self.host), ("Authorization", &bearer)],
            body,
        )
    }
}

#[test]
fn only_this_page_with_this_token_is_answered() {
    let page = Page::open();
    let good = format!("Bearer {}", page.token);
    let own = ("Host", page.host.as_str());
    let token = ("Authorization", good.as_str());
    let port = page.host.rsplit(':').next().unwrap();
    let (evil, evil_port) = ("evil.example", format!("evil.example:{port}"));
    let cases: &[Case<'_>] = &[
        (&[own], 401, "token"),
        (&[own, ("Authorization", "Bearer 00")], 401, "token"),
        (&[("Host", evil), token], 403, "origin"),
        (&[("Host", &evil_port), token], 403, "origin"),
        (&[token], 400, ""),
        (
            &[own, token, ("Origin", "http://evil.example")],
            403,
            "origin",
        ),
        (&[own, token, ("Origin", "null")], 403, "origin"),
        (
            &[own, token, ("Sec-Fetch-Site", "cross-site")],
            403,
            "origin",
        ),
    ];
    for (headers, status, code) in cases {
        for path in ["/api/me", "/media/00/thumb", "/api/events", "/nowhere"] {
            let answer = http(&page.host, &format!("GET {path}"), headers, b"");
            // Without any Host the server may refuse before the page does.
            let refused = answer.status == *status || (code.is_empty() && answer.status == 403);
            assert!(refused, "{headers:?} {path} {}", answer.status);
            if answer.status == *status && !code.is_empty() {
                assert_eq!(answer.json()["error"]["code"], *code);
            }
            assert!(answer.header("access-control-allow-origin").is_none());
            assert!(answer.header("set-cookie").is_none());
        }
    }
    let evil_page = http(&page.host, "GET /", &[("Host", &evil_port)], b"");
    assert_eq!(evil_page.status, 403);
    let me = page.ask("GET /api/me", b"");
    assert_eq!(me.status, 200);
    assert_eq!(me.json()["company"], "Dachdeckerei Test");
    assert_eq!(me.json()["flight_mode"], serde_json::Value::Null);
    assert_eq!(me.header("cache-control"), Some("no-store"));
}

#[test]
fn static_files_forbid_everything_but_themselves() {
    let page = Page::open();
    let own = [("Host", page.host.as_str())];
    let index = http(&page.host, "GET /", &own, b"");
    assert_eq!(index.status, 200);
    assert_eq!(
        index.header("content-security-policy"),
        Some(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
             media-src blob:; connect-src 'self'; font-src 'none'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        )
    );
    assert_eq!(index.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(index.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(
        index.header("cross-origin-resource-policy"),
        Some("same-origin")
    );
    assert_eq!(index.header("cache-control"), Some("no-cache"));
    let script = http(&page.host, "GET /assets/page.js", &own, b"");
    assert_eq!(
        (script.status, script.header("cache-control")),
        (200, Some("no-cache"))
    );
    let tricks = [
        "/assets/../../../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/%2e%2e/index.html",
        "/assets//etc/passwd",
        "/assets/page.js%00.svg",
    ];
    for path in tricks {
        let answer = http(&page.host, &format!("GET {path}"), &own, b"");
        assert!(
            matches!(answer.status, 400 | 401 | 404),
            "{path} {}",
            answer.status
        );
    }
    for path in [
        "/media/../../device.key/original",
        "/media/..%2f..%2fdevice.key/original",
        "/media/00/original",
        "/api/threads/..%2f..%2fx",
    ] {
        assert_eq!(page.ask(&format!("GET {path}"), b"").status, 404, "{path}");
    }
}

#[test]
fn texts_and_files_go_in_once_and_come_out() {
    let page = Page::open();
    let thread = &page.thread;
    let say = format!("POST /api/threads/{thread}/entries");
    let seat = page.seat();
    let text = format!(
        r#"{{"seat":"{seat}","text":"Guten Morgen","reply_to":null,"draft_id":"{}"}}"#,
        "0a".repeat(16)
    );
    let first = page.ask(&say, text.as_bytes());
    assert_eq!(first.status, 200);
    assert_eq!(page.ask(&say, text.as_bytes()).json(), first.json());

    let send = |query: &str, draft: &str, bytes: &[u8]| {
        let draft = draft.repeat(16);
        page.ask(
            &format!("POST /api/threads/{thread}/files?{query}&seat={seat}&draft_id={draft}"),
            bytes,
        )
    };
    let photo = jpeg(640, 480);
    let sent = send("kind=photo&name=a.jpg&caption=First", "0b", &photo);
    assert_eq!(sent.status, 200);
    let id = sent.json()["id"].as_str().unwrap().to_owned();
    let refused = send("kind=photo&name=b.jpg", "0c", b"only words");
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone()),
        (415, "bad_file".into())
    );
    assert_eq!(
        send("kind=photo&name=c.jpg", "0d", b"").json()["error"]["code"],
        "empty_file"
    );
    assert_eq!(
        send("kind=hat&name=c.jpg", "0d", b"x").json()["error"]["code"],
        "invalid"
    );
    let huge = vec![0u8; 65 << 20];
    let too_big = send("kind=photo&name=d.jpg", "0e", &huge);
    assert_eq!(
        (too_big.status, too_big.json()["error"]["code"].clone()),
        (413, "too_big".into())
    );
    let file = send(
        "kind=document&name=..%2F..%2Fx.html",
        "0f",
        b"<script>alert(1)</script>",
    );
    let file = file.json()["id"].as_str().unwrap().to_owned();

    let entries = page
        .ask(&format!("GET /api/threads/{thread}/entries"), b"")
        .json();
    let entries = entries["entries"].as_array().unwrap().clone();
    let said: Vec<_> = entries.iter().filter(|e| e["kind"] != "notice").collect();
    assert_eq!(said.len(), 3);
    assert_eq!(said[0]["text"], "Guten Morgen");
    assert_eq!(said[0]["stuck"], serde_json::Value::Null);
    assert_eq!(said[0]["waiting"], serde_json::Value::Null);
    assert_eq!(said[1]["caption"], "First");

    let original = page.ask(&format!("GET /media/{id}/original"), b"");
    assert!(original.body == photo);
    assert_eq!(original.header("content-type"), Some("image/jpeg"));
    let document = page.ask(&format!("GET /media/{file}/document"), b"");
    assert_eq!(
        document.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(
        document.header("content-disposition"),
        Some("attachment; filename*=UTF-8''x.html")
    );
    assert_eq!(page.ask(&format!("GET /media/{id}/voice"), b"").status, 404);

    let long = format!(
        r#"{{"seat":"{seat}","text":"{}","reply_to":null,"draft_id":"{}"}}"#,
        "x".repeat(20_000),
        "1a".repeat(16)
    );
    assert_eq!(
        page.ask(&say, long.as_bytes()).json()["error"]["field"],
        "text"
    );
    assert_eq!(page.ask(&say, &vec![b' '; 100_000]).status, 413);
    assert_eq!(page.ask(&say, b"{").status, 400);
    let renamed = page.ask(
        &format!("PATCH /api/threads/{thread}"),
        br#"{"title":"Kirchplatz 3"}"#,
    );
    assert_eq!(renamed.status, 200);
    let list = page.ask("GET /api/threads?query=Kirchplatz", b"").json();
    assert_eq!(list["threads"][0]["title"], "Kirchplatz 3");
}

/// Its files are lost on this disk before they went: said with a reason, and each way out is there.
#[test]
fn what_hangs_fast_is_tried_again_handed_out_and_thrown_away_with_a_reason() {
    let mut page = Page::open();
    assert_eq!(page.ask("GET /api/stuck", b"").json()["stuck"], json!([]));
    page.firm.stop_hub();
    let seat = page.seat();
    let send = |name: &str, draft: &str, bytes: &[u8]| {
        let (thread, draft) = (&page.thread, draft.repeat(16));
        let kind = if name.contains(".jpg") {
            "photo"
        } else {
            "document"
        };
        let query = format!("kind={kind}&name={name}&seat={seat}&draft_id={draft}");
        page.ask(&format!("POST /api/threads/{thread}/files?{query}"), bytes)
    };
    let document = send("Angebot%201.pdf", "0a", b"%PDF-1.4 words");
    assert_eq!(document.status, 200);
    let blobs = std::path::Path::new(&page.firm.office()).join("blobs");
    let kept = files(&blobs);
    let photo = send("a.jpg", "0b", &jpeg(640, 480)).json()["id"].clone();
    for lost in files(&blobs).difference(&kept) {
        std::fs::remove_file(lost).unwrap();
    }
    let asked = page.ask("GET /api/hand-back", b"").json();
    assert_eq!(asked["standing"], "not_yet", "{asked}");
    assert!(asked["since_ms"].as_u64().is_some(), "{asked}");
    page.firm.start_hub();
    let list = page.until("GET /api/stuck", |list| !list["stuck"][0].is_null());
    let stuck = list["stuck"].as_array().unwrap();
    assert!(stuck.iter().all(|one| one["entry"] == photo), "{list}");
    let one = &stuck[0];
    assert_eq!(
        (&one["why"], &one["may_discard"]),
        (&"missing".into(), &true.into())
    );
    let said = one["said"]["message_de"].as_str().unwrap();
    assert!(said.contains("fehlt auf diesem Gerät"), "{said}");

    let id = one["id"].as_str().unwrap();
    let post = |what: &str, body: &[u8]| page.ask(&format!("POST /api/stuck/{id}/{what}"), body);
    assert_eq!(post("retry", b"{}").status, 200);
    page.until("GET /api/stuck", |list| {
        list["stuck"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["id"] == id)
    });
    let gone = page.ask(&format!("GET /api/stuck/{id}/file"), b"");
    assert_eq!(
        (gone.status, &gone.json()["error"]["code"]),
        (404, &"not_here".into())
    );
    let empty = post("discard", br#"{"reason":"  "}"#);
    assert_eq!(
        (empty.status, &empty.json()["error"]["field"]),
        (400, &"reason".into())
    );
    assert_eq!(post("discard", br#"{"reason":"Datei kaputt"}"#).status, 200);
    assert_eq!(page.ask("GET /api/stuck", b"").json()["stuck"], json!([]));
    assert_eq!(post("discard", br#"{"reason":"noch einmal"}"#).status, 404);
    let entries = format!("GET /api/threads/{}/entries", page.thread);
    let entries = page.ask(&entries, b"").json();
    let entry = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["id"] == photo);
    assert_eq!(entry.unwrap()["retracted"]["reason"], "Datei kaputt");
    page.until("GET /api/hand-back", |said| said["standing"] == "at_office");
}

/// All files under a folder.
fn files(of: &std::path::Path) -> std::collections::BTreeSet<std::path::PathBuf> {
    let mut all = std::collections::BTreeSet::new();
    for one in std::fs::read_dir(of).unwrap() {
        let path = one.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path);
        }
    }
    all
}

#[test]
fn an_entry_is_its_writers_whoever_sits_down_meanwhile() {
    let page = Page::open();
    let stranger = format!(
        r#"{{"seat":"{}","text":"Ich war's nicht","reply_to":null,"draft_id":"{}"}}"#,
        "0f".repeat(16),
        "0a".repeat(16)
    );
    let say = format!("POST /api/threads/{}/entries", page.thread);
    let refused = page.ask(&say, stranger.as_bytes());
    assert_eq!(refused.status, 404);
    let nobody = r#"{"text":"x","reply_to":null,"draft_id":"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"}"#;
    assert_eq!(page.ask(&say, nobody.as_bytes()).status, 400);
}

#[test]
fn ending_wants_a_way_and_never_oneself() {
    let page = Page::open();
    let devices = page.ask("GET /api/devices", b"").json();
    let own = devices["devices"][0]["id"].as_str().unwrap().to_owned();
    let end = format!("POST /api/devices/{own}/end");
    assert_eq!(page.ask(&end, br#"{"how":"somehow"}"#).status, 400);
    let refused = page.ask(&end, br#"{"how":"now"}"#);
    assert_eq!(
        (refused.status, refused.json()["error"]["field"].clone()),
        (400, "subject".into())
    );
    let nobody = format!("POST /api/people/{}/end", "0a".repeat(16));
    let refused = page.ask(&nobody, br#"{"how":"peace"}"#);
    assert_eq!(refused.status, 404);
    let kept = page.ask(&format!("GET /api/threads/{}/kept-back", page.thread), b"");
    assert_eq!(kept.json()["kept_back"], serde_json::json!([]));
    let admit = format!("POST /api/threads/{}/admit", page.thread);
    let seat = format!(r#"{{"seat":"{}"}}"#, page.seat());
    let none = page.ask(&admit, seat.as_bytes());
    assert_eq!(
        (none.status, none.json()["error"]["code"].clone()),
        (404, "not_found".into())
    );
}

#[test]
fn a_kit_is_checked_and_a_backup_fetched_once_that_the_kit_opens() {
    let page = Page::open();
    let folder = page.firm.office();
    let unconfirmed = || page.ask("GET /api/me", b"").json()["kit_unconfirmed"] == true;
    assert!(!unconfirmed());
    std::fs::write(std::path::Path::new(&folder).join("kit-unconfirmed"), []).unwrap();
    assert!(unconfirmed());
    let check = |kit: &str| {
        let body = serde_json::json!({ "kit": kit }).to_string();
        page.ask("POST /api/kit/check", body.as_bytes())
    };
    let kit = page.firm.kit.clone();
    let last = kit.trim_end().chars().last().unwrap();
    let typo = if last == '2' { "3" } else { "2" };
    let typo = format!("{}{typo}", kit.trim_end().strip_suffix(last).unwrap());
    let refused = check(&typo);
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"]["field"], "kit");
    assert!(refused.json()["error"]["wrong_group"].is_u64());
    assert!(unconfirmed());
    assert_eq!(check(&kit).status, 200);
    assert!(!unconfirmed());

    let state = || page.ask("GET /api/backup", b"").json();
    assert_eq!(state()["state"], "none");
    assert_eq!(page.ask("GET /api/backup/file", b"").status, 404);
    assert_eq!(page.ask("POST /api/backup", b"").status, 200);
    while state()["state"] == "writing" {}
    assert_eq!(state()["state"], "ready");
    let file = page.ask("GET /api/backup/file", b"");
    assert_eq!(file.status, 200);
    assert_eq!(page.ask("GET /api/backup/file", b"").status, 404);
    let left = std::fs::read_dir(&folder).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("backup")
    });
    assert_eq!(left.count(), 0, "nothing of it stays");
    let backup = page.firm.file("kolonne.age", &file.body);
    let again = page.firm.path("again");
    let args = [
        "recover", "--json", "--dir", &again, "--from", &backup, "--name", "Sabine", "--device",
        "Neu",
    ];
    let back = run_with(&args, &kit);
    assert_eq!(back.exit, 0, "{}{}", back.stdout, back.stderr);
    assert_eq!(back.json()["company"], "Dachdeckerei Test");
}

#[test]
fn what_is_sealed_comes_out_for_its_reader_and_stays_in_no_cache() {
    let page = Page::open();
    let (thread, seat) = (&page.thread, page.seat());
    let note = jpeg(320, 240);
    let seal = |to: &str, draft: &str| {
        let query = format!("for={to}&name=Attest%20M.jpg&seat={seat}&draft_id={draft}");
        page.ask(&format!("POST /api/threads/{thread}/sealed?{query}"), &note)
    };
    let draft = "0b".repeat(16);
    let made = seal("office", &draft).json();
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        seal("office", &draft).json()["id"],
        id,
        "the same draft is the same entry"
    );
    let entries = page
        .ask(&format!("GET /api/threads/{thread}/entries"), b"")
        .json();
    let sealed = &entries["entries"][0];
    assert_eq!(
        (&sealed["kind"], &sealed["text"]),
        (&"sealed".into(), &serde_json::Value::Null)
    );
    assert_eq!(sealed["sealed"]["for_me"], true);
    let opened = page.ask(&format!("GET /media/{id}/sealed"), b"");
    assert_eq!(opened.status, 200);
    assert!(opened.body == note);
    assert_eq!(opened.header("cache-control"), Some("no-store"));
    assert_eq!(opened.header("content-type"), Some("image/jpeg"));
    let named = "inline; filename*=UTF-8''Attest%20M.jpg";
    assert_eq!(opened.header("content-disposition"), Some(named));
    assert_eq!(
        page.ask(&format!("GET /media/{id}/document"), b"").status,
        404
    );
    let ask = format!(r#"{{"for":"office","draft_id":"{}"}}"#, "0c".repeat(16));
    let again = page.ask(
        &format!("POST /api/entries/{id}/seal-again"),
        ask.as_bytes(),
    );
    assert_eq!(again.status, 200);

    for (to, status, field) in [("", 400, "for"), ("xyz", 400, "for")] {
        let refused = seal(to, &"0d".repeat(16));
        assert_eq!(refused.status, status);
        assert_eq!(refused.json()["error"]["field"], field);
    }
}

#[test]
fn a_locked_seat_asks_for_its_pin_and_says_how_many_tries_are_left() {
    let page = Page::open();
    let seat = page.seat();
    let ask = |request: &str, body: serde_json::Value| {
        let answer = page.ask(request, body.to_string().as_bytes());
        (answer.status, answer.json())
    };
    let say = || {
        let draft = "0b".repeat(16);
        let text = serde_json::json!({ "seat": seat, "text": "Ja.", "draft_id": draft });
        ask(&format!("POST /api/threads/{}/entries", page.thread), text)
    };
    let sit = |pin| {
        ask(
            "POST /api/seat",
            serde_json::json!({ "seat": seat, "pin": pin }),
        )
    };
    let easy = serde_json::json!({ "seat": seat, "new": "0000" });
    let (status, problem) = ask("POST /api/seat/pin", easy);
    assert_eq!((status, &problem["error"]["field"]), (400, &"pin".into()));
    let new = serde_json::json!({ "seat": seat, "new": "2749" });
    let (status, me) = ask("POST /api/seat/pin", new);
    assert_eq!((status, &me["seats"][0]["has_pin"]), (200, &true.into()));
    let (_, me) = ask("POST /api/lock", serde_json::json!({}));
    assert_eq!(me["seats"][0]["locked"], true);
    let (status, problem) = say();
    assert_eq!((status, &problem["error"]["code"]), (423, &"locked".into()));
    let (status, problem) = sit(Some("8316"));
    assert_eq!((status, &problem["error"]["tries_left"]), (423, &4.into()));
    assert_eq!(sit(None).0, 423);
    let (status, me) = sit(Some("2749"));
    assert_eq!((status, &me["seats"][0]["tries_left"]), (200, &5.into()));
    assert_eq!(say().0, 200);
    let used = serde_json::json!({ "seat": seat });
    assert_eq!(ask("POST /api/seat/used", used).0, 200);
}

#[test]
fn the_office_sees_who_changed_what_and_sets_when_phones_lock() {
    let page = Page::open();
    let history = page.ask("GET /api/roster", b"").json();
    let first = &history["roster"][0];
    assert_eq!(
        (&first["place"], &first["by"]),
        (&1.into(), &serde_json::Value::Null)
    );
    assert_eq!(first["what"][0]["code"], "founded");

    let minutes = || page.ask("GET /api/auto-lock", b"").json()["minutes"].clone();
    assert_eq!(minutes(), serde_json::Value::Null);
    assert_eq!(
        page.ask("POST /api/auto-lock", br#"{"minutes":15}"#).status,
        200
    );
    assert_eq!(minutes(), 15);
    let long = page.ask("POST /api/auto-lock", br#"{"minutes":9999}"#);
    assert_eq!(
        (long.status, &long.json()["error"]["field"]),
        (400, &"minutes".into())
    );
    assert_eq!(minutes(), 15);

    let sabine = page.ask("GET /api/people", b"").json()["people"][0]["id"].clone();
    // Nothing alarms, so nothing is put away.
    let away = page.ask("POST /api/alarms/put-away", br#"{"id":"ran_twice:0:0"}"#);
    assert_eq!(
        (away.status, &away.json()["error"]["code"]),
        (404, &"not_found".into())
    );
    let role = format!("POST /api/people/{}/role", sabine.as_str().unwrap());
    let own = page.ask(&role, br#"{"role":"crew"}"#);
    assert_eq!(own.status, 400);
    let said = own.json()["error"]["message_de"].clone();
    assert!(said.as_str().unwrap().contains("eigene Rolle"), "{said}");
    assert_eq!(page.ask(&role, br#"{"role":"chef"}"#).status, 400);
}

/// Nobody sits down on a shared phone before their PIN is set, whatever PIN they type.
#[test]
fn a_pin_that_is_too_easy_is_refused_before_it_is_typed_twice() {
    let page = Page::open();
    let check = |pin: &str| {
        let body = serde_json::json!({ "pin": pin }).to_string();
        page.ask("POST /api/pin/check", body.as_bytes())
    };
    let easy = check("1234");
    assert_eq!(
        (easy.status, &easy.json()["error"]["field"]),
        (400, &"pin".into())
    );
    assert_eq!(check("2749").status, 200);
    let me = page.ask("GET /api/me", b"").json();
    assert_eq!(me["seats"][0]["has_pin"], false, "nothing is set by it");
}

#[test]
fn a_shared_phones_page_asks_for_the_first_pin() {
    let firm = Firm::founded();
    let phone = firm.phone_without_pins("Kolonne 1", &["Mehmet", "Jonas"]);
    let mut running = Running::start(&["office", "--json", "--dir", &phone]);
    let url = running.json()["url"].as_str().unwrap().to_owned();
    let (host, token) = url
        .trim_start_matches("http://")
        .split_once("/#t=")
        .unwrap();
    let bearer = format!("Bearer {token}");
    let ask = |request: &str, body: &str| {
        let headers = [("Host", host), ("Authorization", bearer.as_str())];
        http(host, request, &headers, body.as_bytes())
    };
    let me = ask("GET /api/me", "").json();
    for seat in me["seats"].as_array().unwrap() {
        assert_eq!(
            (&seat["has_pin"], &seat["locked"]),
            (&false.into(), &true.into())
        );
    }
    let seat = me["seats"][1]["seat"].as_str().unwrap();
    let sit = format!(r#"{{"seat":"{seat}"}}"#);
    assert_eq!(ask("POST /api/seat", &sit).status, 423);
    let any = format!(r#"{{"seat":"{seat}","pin":"8316"}}"#);
    assert_eq!(ask("POST /api/seat", &any).status, 423);
    let first = format!(r#"{{"seat":"{seat}","old":null,"new":"2749"}}"#);
    assert_eq!(ask("POST /api/seat/pin", &first).status, 200);
    let sat = ask("POST /api/seat", &sit);
    assert_eq!(sat.status, 200);
    assert_eq!(sat.json()["seats"][1]["active"], true);
}

const FULL: &str = "KOLONNE_TEST_FULL_DISK";

/// Runs a test of this file again, alone, where it may mount a small disk.
fn where_disks_are_small(name: &str) {
    let namespace = ["-Urm", "-m"].into_iter().find(|namespace| {
        let may = Command::new("unshare").args([namespace, "true"]).status();
        may.is_ok_and(|status| status.success())
    });
    let namespace = namespace.unwrap();
    let again = Command::new("unshare")
        .arg(namespace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(FULL, "1")
        .status();
    assert!(again.unwrap().success());
}

#[test]
fn on_a_full_disk_the_page_shows_everything_and_says_what_is_not_kept() {
    if std::env::var_os(FULL).is_none() {
        return where_disks_are_small(
            "on_a_full_disk_the_page_shows_everything_and_says_what_is_not_kept",
        );
    }
    let firm = Firm::founded();
    let office = firm.office();
    ask(&["job", "open", "--dir", &office, "--title", "Kirchplatz 2"]);
    let disk = firm.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let on_disk = |program: &str, args: &[&str]| {
        assert!(Command::new(program).args(args).status().unwrap().success());
    };
    on_disk("mount", &["-t", "tmpfs", "-o", "size=8m", "none", &disk]);
    on_disk("cp", &["-a", &office, &disk]);
    let fill = format!("{disk}/fill");
    let mut file = std::fs::File::create(&fill).unwrap();
    for bytes in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![7; bytes]).is_ok() {}
    }
    drop(file);

    let page = Page::of(firm, &format!("{disk}/office"));
    let threads = page.ask("GET /api/threads", b"").json();
    assert_eq!(threads["threads"][0]["title"], "Kirchplatz 2");
    let thread = &page.thread;
    for shown in [
        "me".to_owned(),
        "devices".to_owned(),
        format!("threads/{thread}/entries"),
    ] {
        assert_eq!(
            page.ask(&format!("GET /api/{shown}"), b"").status,
            200,
            "{shown}"
        );
    }
    let seat = page.seat();
    let say = format!(
        r#"{{"seat":"{seat}","text":"Kein Platz","reply_to":null,"draft_id":"{}"}}"#,
        "0a".repeat(16)
    );
    let write = || {
        page.ask(
            &format!("POST /api/threads/{thread}/entries"),
            say.as_bytes(),
        )
    };
    let refused = write();
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone()),
        (507, "storage_full".into())
    );
    let photo = page.ask(
        &format!(
            "POST /api/threads/{thread}/files?kind=photo&name=x.jpg&seat={seat}&draft_id={}",
            "0b".repeat(16)
        ),
        &jpeg(640, 480),
    );
    assert_eq!(photo.json()["error"]["code"], "storage_full");

    // Room again: the same draft is written once.
    std::fs::remove_file(&fill).unwrap();
    let id = write().json()["id"].clone();
    assert!(id.is_string());
    assert_eq!(write().json()["id"], id);
    drop(page);
    on_disk("umount", &[&disk]);
}
