//! A firm lives with the program from a terminal: hub, founding, a crew's phone, work without
//! network, the thread at the office; and what the program says to bad input.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{
    Answer, Firm, ask, copy_folder, jpeg, run, run_at_terminal, run_in, run_with, sparse,
};

const JOB: &str = "Lindenweg 14: Sturmschaden";

fn with_job() -> (Firm, String) {
    let firm = Firm::founded();
    let phone = firm.phone("Kolonne 3", &["Mehmet", "Jonas"]);
    let office = firm.office();
    ask(&[
        "job",
        "open",
        "--dir",
        &office,
        "--title",
        JOB,
        "--customer",
        "Familie Reuter",
        "--address",
        "Lindenweg 14",
        "--status",
        "order",
        "--member",
        "Kolonne 3",
    ]);
    ask(&["sync", "--dir", &phone]);
    (firm, phone)
}

fn entries(dir: &str, who: &str) -> Vec<Value> {
    let answer = ask(&["thread", "--dir", dir, "--as", who, "--job", "lindenweg"]);
    answer["page"]["entries"].as_array().unwrap().clone()
}

fn of_kind<'a>(entries: &'a [Value], kind: &str) -> Vec<&'a Value> {
    entries
        .iter()
        .filter(|entry| entry["kind"] == kind)
        .collect()
}

#[test]
fn what_was_sent_without_network_arrives_at_the_office() {
    let (mut firm, phone) = with_job();
    let office = firm.office();
    let photo = jpeg(1600, 1200);
    let (one, two) = (
        firm.file("dach.jpg", &photo),
        firm.file("first.jpg", &jpeg(640, 480)),
    );

    firm.stop_hub();
    let sent = ask(&[
        "send",
        "Ortgang gerissen, brauchen 12 Ziegel",
        "--dir",
        &phone,
        "--as",
        "Mehmet",
        "--job",
        "lindenweg",
        "--photo",
        &one,
        "--photo",
        &two,
        "--caption",
        "so sieht es aus",
    ]);
    let ids: Vec<&str> = sent["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 3);
    for entry in sent["entries"].as_array().unwrap() {
        assert_eq!(entry["state"], "saved");
    }
    assert_eq!(sent["outbox"]["photos"], 2);
    let offline = run(&["sync", "--dir", &phone, "--json"]);
    assert_eq!((offline.exit, offline.code().as_str()), (4, "offline_now"));

    firm.start_hub();
    let synced = ask(&["sync", "--dir", &phone]);
    assert_eq!(synced["left"]["ops"], 0);
    assert_eq!(synced["left"]["bytes"], 0);
    ask(&["sync", "--dir", &office]);
    let at_office = entries(&office, "Sabine");
    let text = of_kind(&at_office, "text");
    assert_eq!(text[0]["text"], "Ortgang gerissen, brauchen 12 Ziegel");
    assert_eq!(text[0]["author"]["name"], "Mehmet");
    let photos = of_kind(&at_office, "photo");
    assert_eq!(photos.len(), 2);
    assert_eq!(photos[0]["caption"], "so sieht es aus");
    assert_eq!(photos[0]["photo"]["width"], 1600);

    // The original arrives as it was captured.
    let out = firm.path("saved");
    let saved = ask(&[
        "thread",
        "--dir",
        &office,
        "--job",
        "lindenweg",
        "--save",
        &out,
    ]);
    let paths = saved["saved"].as_array().unwrap();
    let first = std::fs::read(paths[0].as_str().unwrap()).unwrap();
    assert!(
        first == photo,
        "{} bytes instead of {}",
        first.len(),
        photo.len()
    );

    // The phone learns that the office has it, and gets its answer.
    ask(&[
        "send",
        "Bestellt, kommt morgen früh",
        "--dir",
        &office,
        "--job",
        "lindenweg",
        "--reply-to",
        ids[0],
    ]);
    ask(&["sync", "--dir", &phone]);
    let at_phone = entries(&phone, "Jonas");
    let texts = of_kind(&at_phone, "text");
    assert_eq!(texts[0]["state"], "office");
    assert_eq!(texts[1]["reply_to"]["id"], ids[0]);
    assert_eq!(texts[1]["author"]["name"], "Sabine");

    // The two of the phone read apart.
    let unread = |who: &str| {
        ask(&["job", "list", "--dir", &phone, "--as", who, "lindenweg"])["threads"][0]["unread"]
            .clone()
    };
    assert_eq!(unread("Mehmet"), 1);
    ask(&[
        "read",
        "--dir",
        &phone,
        "--as",
        "Mehmet",
        "--job",
        "lindenweg",
    ]);
    assert_eq!(unread("Mehmet"), 0);
    assert_ne!(unread("Jonas"), 0);
}

#[test]
fn jobs_are_named_changed_and_shown() {
    let (firm, _) = with_job();
    let office = firm.office();
    ask(&["job", "open", "--dir", &office, "--title", "Lindenallee 3"]);
    let twice = run(&["job", "show", "--dir", &office, "linden", "--json"]);
    assert_eq!((twice.exit, twice.code().as_str()), (3, "ambiguous"));
    ask(&[
        "job",
        "set",
        "--dir",
        &office,
        "lindenweg",
        "--status",
        "done",
        "--title",
        "Lindenweg",
    ]);
    let shown = ask(&["job", "show", "--dir", &office, "Lindenweg"]);
    assert_eq!(shown["title"], "Lindenweg");
    assert_eq!(shown["status"], "done");
    let names: Vec<_> = shown["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["name"].clone())
        .collect();
    assert!(names.contains(&"Kolonne 3".into()), "{names:?}");
    ask(&[
        "job",
        "members",
        "--dir",
        &office,
        "Lindenweg",
        "--remove",
        "Kolonne 3",
    ]);
    let shown = ask(&["job", "members", "--dir", &office, "Lindenweg"]);
    assert!(!shown.to_string().contains("Kolonne 3"));
}

#[test]
fn bad_input_is_refused_in_a_sentence_and_nothing_is_lost() {
    let (firm, phone) = with_job();
    let empty = firm.file("leer.jpg", b"");
    let text = firm.file(
        "notiz.jpg",
        b"Das ist ein Text und kein Foto, wie er auch heisst.",
    );
    let huge = firm.path("film.mp4");
    sparse(huge.as_ref(), 200 << 20);
    let missing = firm.path("weg.jpg");
    let cases: &[(&str, &str, &str, i32)] = &[
        ("--photo", &missing, "file_missing", 3),
        ("--photo", &empty, "invalid.file.empty", 3),
        ("--photo", &text, "invalid.file.media_unsupported_text", 3),
        ("--file", &huge, "invalid.file.too_large", 3),
        ("--photo", &huge, "invalid.file.too_large", 3),
        ("--voice", &text, "invalid.file.media_unsupported_text", 3),
    ];
    for (flag, file, code, exit) in cases {
        let args = [
            "send",
            "--dir",
            &phone,
            "--as",
            "Jonas",
            "--job",
            "lindenweg",
            flag,
            file,
            "--json",
        ];
        let answer = run(&args);
        assert_eq!(
            (answer.exit, answer.code().as_str()),
            (*exit, *code),
            "{flag} {file}"
        );
        assert!(answer.stderr.contains(*file), "{}", answer.stderr);
        assert!(!answer.stderr.contains("Error"), "{}", answer.stderr);
    }
    // All are looked at before the first is kept: nothing was sent, the words neither.
    let good = firm.file("gut.jpg", &jpeg(320, 240));
    let photo = |file: &str| {
        run(&[
            "send",
            "--dir",
            &phone,
            "--as",
            "Jonas",
            "--job",
            "lindenweg",
            "--photo",
            &good,
            "--photo",
            file,
            "Zwei Bilder",
            "--json",
        ])
    };
    let answer = photo(&missing);
    assert_eq!((answer.exit, answer.code().as_str()), (3, "file_missing"));
    assert!(
        entries(&phone, "Jonas")
            .iter()
            .all(|e| e["kind"] == "notice")
    );
    // What only decoding finds doesn't hold up the good ones.
    let mut cut = jpeg(320, 240);
    cut.truncate(cut.len() / 8);
    let answer = photo(&firm.file("halb.jpg", &cut));
    assert_eq!(answer.exit, 3);
    let sent: Value = serde_json::from_str(answer.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(sent["entries"].as_array().unwrap().len(), 2, "{sent}");
    assert_eq!(sent["refused"].as_array().unwrap().len(), 1);
    // What was refused as a photo goes as a file.
    ask(&[
        "send",
        "--dir",
        &phone,
        "--as",
        "Jonas",
        "--job",
        "lindenweg",
        "--file",
        &text,
    ]);
    let there = entries(&phone, "Jonas");
    assert_eq!(of_kind(&there, "photo").len(), 1);
    assert_eq!(
        of_kind(&there, "document")[0]["document"]["name"],
        "notiz.jpg"
    );

    let nowhere = firm.path("nirgends");
    let others: &[(&[&str], i32, &str)] = &[
        (
            &[
                "send", "x", "--dir", &phone, "--as", "Jonas", "--job", "Hafen",
            ],
            3,
            "not_found.thread",
        ),
        (
            &["send", "x", "--dir", &phone, "--job", "lindenweg"],
            2,
            "who",
        ),
        (
            &["send", "x", "--dir", &phone, "--as", "Sabine", "--job", "l"],
            3,
            "not_found.seat",
        ),
        (
            &[
                "send",
                " ",
                "--dir",
                &phone,
                "--as",
                "Jonas",
                "--job",
                "lindenweg",
            ],
            3,
            "invalid.text.empty",
        ),
        (&["status", "--dir", &nowhere], 3, "not_found.company"),
        (
            &[
                "job", "open", "--dir", &phone, "--as", "Jonas", "--title", "T",
            ],
            5,
            "locked.right",
        ),
        (
            &["enrol", "--no-pin", "--dir", &nowhere, "KOLONNE1:QUATSCH"],
            3,
            "",
        ),
        (
            &["office", "--dir", &phone, "--listen", "0.0.0.0:0"],
            2,
            "not_loopback",
        ),
    ];
    for (args, exit, code) in others {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let answer = run(&args);
        assert_eq!(answer.exit, *exit, "{args:?} {}", answer.stderr);
        if !code.is_empty() {
            assert_eq!(answer.code(), *code);
        }
    }
    assert_eq!(run(&["--nonsense"]).exit, 2);
}

#[test]
fn about_says_version_and_licence() {
    let about = ask(&["about"]);
    assert_eq!(about["license"], "Apache-2.0");
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_lost_phone_is_ended_from_the_terminal_and_its_work_let_in() {
    let (mut firm, phone) = with_job();
    let office = firm.office();
    let send = |text: &str| {
        let answer = run(&[
            "send",
            text,
            "--dir",
            &phone,
            "--as",
            "Mehmet",
            "--job",
            "lindenweg",
            "--json",
        ]);
        assert_eq!(answer.exit, 0);
    };
    firm.stop_hub();
    send("Noch vom Dach");
    firm.start_hub();

    // Nobody is there to ask; then it is said outright.
    let end = [
        "device",
        "end",
        "Kolonne 3",
        "--how",
        "now",
        "--dir",
        &office,
    ];
    let unasked = run(&[&end[..], &["--json"]].concat());
    assert_eq!((unasked.exit, unasked.code().as_str()), (2, "end_unasked"));
    let unknown = run(&[
        "device",
        "end",
        "Kolonne 9",
        "--how",
        "now",
        "--yes",
        "--dir",
        &office,
        "--json",
    ]);
    assert_eq!(
        (unknown.exit, unknown.code().as_str()),
        (3, "not_found.device")
    );
    ask(&[&end[..], &["--yes"]].concat());
    let again = run(&[&end[..], &["--yes", "--json"]].concat());
    assert_eq!(
        (again.exit, again.code().as_str()),
        (3, "invalid.subject.ended")
    );

    // The phone hands over, and is empty.
    let last = run(&["sync", "--dir", &phone, "--json"]);
    assert_eq!((last.exit, last.code().as_str()), (5, "auth_expired"));
    let after = run(&["thread", "--dir", &phone, "--job", "lindenweg", "--json"]);
    assert_eq!((after.exit, after.code().as_str()), (5, "auth_expired"));
    assert!(!std::path::Path::new(&phone).join("kolonne.db").exists());

    ask(&["sync", "--dir", &office]);
    let kept = ask(&["quarantine", "list", "--dir", &office]);
    let kept = kept["kept_back"].as_array().unwrap().clone();
    let kept: Vec<_> = kept.iter().filter(|kept| kept["entries"] == 1).collect();
    assert_eq!((kept.len(), &kept[0]["why"]), (1, &Value::from("cut")));
    let devices = ask(&["device", "list", "--dir", &office]);
    let devices = devices["devices"].as_array().unwrap();
    let gone = devices.last().unwrap();
    assert_eq!(
        (&gone["ended"]["at_once"], &gone["wiped"]["lost"]),
        (&Value::from(true), &Value::from(0))
    );
    let listed = run(&["device", "list", "--dir", &office]).stdout;
    assert!(
        listed.contains("geleert") && !listed.contains("Kopie"),
        "its last word was the last: {listed}"
    );
    assert_eq!(of_kind(&entries(&office, "Sabine"), "text").len(), 0);
    ask(&[
        "quarantine",
        "admit",
        "mehmet",
        "--job",
        "lindenweg",
        "--dir",
        &office,
    ]);
    let texts = entries(&office, "Sabine");
    assert_eq!(of_kind(&texts, "text")[0]["text"], "Noch vom Dach");

    // The crew's new phone: the same people, and everything is there.
    let new = firm.phone_again("Kolonne 3", &["Mehmet", "Jonas"]);
    ask(&["sync", "--dir", &new]);
    let texts = entries(&new, "Jonas");
    assert_eq!(of_kind(&texts, "text")[0]["text"], "Noch vom Dach");
    let people = ask(&["person", "list", "--dir", &office]);
    assert_eq!(people["people"].as_array().unwrap().len(), 3);
}

#[test]
fn a_lost_hub_is_replaced_and_a_lost_firm_recovered_from_the_terminal() {
    let (mut firm, phone) = with_job();
    let office = firm.office();
    firm.stop_hub();
    let new = firm.start_hub_on("hub-2");
    let key = new["key_groups"].as_str().unwrap();
    ask(&["sync", "--dir", &phone]);
    let status = ask(&["status", "--dir", &phone, "--as", "Mehmet"]);
    assert_eq!(status["status"]["new_hub"]["key"], new["key"]);
    let said = run(&["sync", "--dir", &phone]);
    assert!(
        said.stdout
            .contains("den das Büro noch nicht bestätigt hat")
    );

    // A person compares; a typo and another key certify nothing.
    let certify = ["hub-certify", "--dir", &office, "--json"];
    let unasked = run(&certify);
    assert_eq!(
        (unasked.exit, unasked.code().as_str()),
        (2, "hub_key_unasked")
    );
    let typo = key.replacen(|c: char| c.is_alphanumeric(), "1", 1);
    let unread = run(&[&certify[..], &["--hub-key", &typo]].concat());
    assert_eq!((unread.exit, unread.code().as_str()), (3, "hub_key_unread"));
    let other = "07".repeat(32);
    let wrong = run(&[&certify[..], &["--hub-key", &other]].concat());
    assert_eq!(wrong.code(), "invalid.hub_key.other_hub");
    ask(&["hub-certify", "--dir", &office, "--hub-key", key]);
    ask(&["sync", "--dir", &phone]);
    let status = ask(&["status", "--dir", &phone, "--as", "Mehmet"]);
    assert_eq!(status["status"]["new_hub"], Value::Null);

    // Then everything is gone but a backup and the kit.
    let file = firm.path("sicherung.age");
    ask(&["sync", "--dir", &office]);
    let made = ask(&["backup", &file, "--dir", &office]);
    assert!(made["ops"].as_u64().unwrap() > 5);
    let again = run(&["backup", &file, "--dir", &office, "--json"]);
    assert_eq!(again.code(), "invalid.backup.taken");
    firm.stop_hub();
    let again = firm.path("office-2");
    let recover = [
        "recover",
        "--json",
        "--dir",
        &again,
        "--from",
        &file,
        "--name",
        "Sabine",
        "--device",
        "Büro neu",
    ];
    let missing = firm.path("nothing.age");
    let mut gone = recover;
    gone[5] = &missing;
    let gone = run_with(&gone, &firm.kit);
    assert_eq!(gone.code(), "not_found.backup");
    let back = run_with(&recover, &firm.kit);
    assert_eq!(back.exit, 0, "{}{}", back.stdout, back.stderr);
    let jobs = ask(&["job", "list", "--dir", &again]);
    let jobs = jobs["threads"].as_array().unwrap();
    assert!(jobs.iter().any(|job| job["title"] == JOB), "{jobs:?}");
    let nowhere = run(&["sync", "--dir", &again, "--json"]);
    assert_eq!(nowhere.code(), "not_found.hub");
    let new = firm.start_hub_on("hub-3");
    let url = new["url"].as_str().unwrap();
    ask(&["hub-address", url, "--dir", &again]);
    let key = new["key_groups"].as_str().unwrap();
    ask(&["hub-certify", "--dir", &again, "--hub-key", key]);
    ask(&["sync", "--dir", &phone]);
    let status = ask(&["status", "--dir", &phone, "--as", "Mehmet"]);
    assert_eq!(status["status"]["new_hub"], Value::Null);
}

/// Neither is a missing network: each is called what it is, in both languages, and whose disk is
/// full isn't told to look after the connection.
#[test]
fn who_answers_in_the_hubs_place_is_said_in_a_sentence() {
    let (mut firm, phone) = with_job();
    let send = [
        "send",
        "--dir",
        &phone,
        "--as",
        "Jonas",
        "--job",
        "lindenweg",
    ];
    let cases = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nLogin",
            "foreign",
            [
                "An der Adresse des Hubs antwortet ein anderer.",
                "nichts ist dorthin gegangen",
                "Anmeldeseite",
            ],
            [
                "Someone else than your hub answers",
                "nothing went there",
                "login page",
            ],
        ),
        (
            "HTTP/1.1 507 Full\r\nkolonne-hub: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "offline.not_now",
            [
                "Der Hub nimmt gerade nichts mehr an.",
                "auf diesem Gerät gesichert",
                "sein Platz voll ist",
            ],
            [
                "The hub takes nothing more just now.",
                "saved on this device",
                "its disk is full",
            ],
        ),
    ];
    for (answer, code, german, english) in cases {
        let stand_in = firm.instead_of_hub(answer);
        ask(&[&send[..], &[code]].concat());
        for (language, sentences) in [("de_DE.UTF-8", german), ("en_GB.UTF-8", english)] {
            let said = run_in(&[("LANG", language)], &["sync", "--dir", &phone]);
            assert_ne!(said.exit, 0, "{}", said.stdout);
            for sentence in sentences {
                assert!(said.stderr.contains(sentence), "{}", said.stderr);
            }
        }
        assert_eq!(run(&["sync", "--dir", &phone, "--json"]).code(), code);
        let entries = entries(&phone, "Jonas");
        let kept = of_kind(&entries, "text").last().copied().unwrap();
        assert_eq!(
            (&kept["text"], &kept["state"]),
            (&code.into(), &"saved".into())
        );
        drop(stand_in);
    }
    firm.start_hub();
    ask(&["sync", "--dir", &phone]);
    // Another hub is a hub: what is to be said of it is said.
    firm.stop_hub();
    firm.start_hub_on("hub-2");
    for (language, sentence) in [
        ("de_DE.UTF-8", "den das Büro noch nicht bestätigt hat"),
        ("en_GB.UTF-8", "the office hasn't confirmed yet"),
    ] {
        let said = run_in(&[("LANG", language)], &["sync", "--dir", &phone]);
        assert!(
            said.stdout.contains(sentence),
            "{}{}",
            said.stdout,
            said.stderr
        );
    }
}

#[test]
fn a_sealed_note_is_opened_in_the_office_and_handed_out() {
    let (firm, phone) = with_job();
    let office = firm.office();
    let note = jpeg(640, 480);
    let file = firm.file("attest.jpg", &note);
    let at_phone = ["--dir", &phone, "--as", "Mehmet", "--job", "lindenweg"];
    let send = |what: &[&str]| ask(&[&["send"], at_phone.as_slice(), what].concat());
    let sent = send(&["--sealed-for", "office", "--photo", &file]);
    assert_eq!(sent["entries"][0]["kind"], "sealed");
    let id = sent["entries"][0]["id"].as_str().unwrap();
    ask(&["sync", "--dir", &office]);
    // A plain text has nothing of either, now or later.
    let text = send(&["Nur Text"]);
    let plain = text["entries"][0]["id"].as_str().unwrap();
    let nowhere = firm.path("nowhere");
    for (what, code) in [
        (["sealed", "open"].as_slice(), "not_found.sealed"),
        (["export"].as_slice(), "not_found.files"),
    ] {
        let args = [
            "--json", "--dir", &phone, "--as", "Mehmet", plain, "--to", &nowhere,
        ];
        assert_eq!(run(&[what, args.as_slice()].concat()).code(), code);
    }
    // A reply to it says what it answers.
    let answered = send(&["Liegt auch im Büro", "--reply-to", id]);
    assert_eq!(answered["entries"][0]["kind"], "text");
    let shown = run(&[["thread"].as_slice(), &at_phone].concat()).stdout;
    assert!(shown.contains("> Mehmet: [versiegelt]"), "{shown}");
    let sealed = &of_kind(&entries(&office, "Sabine"), "sealed")[0]["sealed"].clone();
    assert_eq!(
        (&sealed["office"], &sealed["for_me"]),
        (&true.into(), &true.into())
    );

    // Not on the phone that took it; in the office into a new file and nowhere else.
    let out = firm.path("opened.jpg");
    let open = |dir: &str, who: &str| {
        run(&[
            "sealed", "open", "--json", "--dir", dir, "--as", who, id, "--to", &out,
        ])
    };
    let refused = open(&phone, "Mehmet");
    assert_eq!(
        (refused.exit, refused.code().as_str()),
        (5, "locked.sealed")
    );
    assert!(!std::path::Path::new(&out).exists());
    assert_eq!(open(&office, "Sabine").exit, 0);
    assert!(std::fs::read(&out).unwrap() == note);
    let again = open(&office, "Sabine");
    assert_eq!((again.exit, again.code().as_str()), (3, "invalid.to.taken"));
    let (dir, beginning) = (firm.path("hand-out"), &id[..10]);
    let exported = ask(&["export", "--dir", &office, beginning, "--to", &dir]);
    let key = std::fs::read_to_string(exported["key"].as_str().unwrap()).unwrap();
    assert_eq!(key.matches("AGE-SECRET-KEY-1").count(), 1);
    assert_eq!(exported["files"][0]["plain_bytes"], note.len());
    assert_eq!(exported["files"][0]["name"], "attest.jpg");

    // Words, captions and people who aren't there don't go with it.
    let unknown = ["--sealed-for", "Niemand", "--file", &file];
    let unknown = run(&[&["send", "--json"], at_phone.as_slice(), &unknown].concat());
    assert_eq!(
        (unknown.exit, unknown.code().as_str()),
        (3, "not_found.person")
    );
    let captioned = [
        "--sealed-for",
        "office",
        "--file",
        &file,
        "--caption",
        "krank",
    ];
    let captioned = run(&[&["send", "--json"], at_phone.as_slice(), &captioned].concat());
    assert_eq!(
        (captioned.exit, captioned.code().as_str()),
        (3, "invalid.caption.sealed")
    );
}

/// PINs come from the environment where no terminal is; the office unlocks and renews.
#[test]
fn seats_are_locked_and_unlocked_from_the_terminal() {
    let firm = Firm::founded();
    let phone = firm.phone("Kolonne 1", &["Mehmet", "Jonas"]);
    let office = firm.office();
    let job = "Kirchplatz 2";
    ask(&[
        "job",
        "open",
        "--dir",
        &office,
        "--title",
        job,
        "--member",
        "Kolonne 1",
    ]);
    ask(&["sync", "--dir", &office]);
    ask(&["sync", "--dir", &phone]);
    let send = |pin: &str| {
        let args = [
            "send", "--json", "--dir", &phone, "--as", "Jonas", "--job", job, "Ja.",
        ];
        run_in(&[("KOLONNE_PIN", pin)], &args)
    };
    let set = |pin: &str| {
        let args = ["seat", "pin", "--json", "--dir", &phone, "--as", "Jonas"];
        run_in(&[("KOLONNE_NEW_PIN", pin)], &args)
    };
    assert_eq!(
        (set("1234").exit, set("1234").code()),
        (3, "invalid.pin.easy".into())
    );
    assert_eq!(set("2749").json()["has_pin"], true);
    let unasked = run(&[
        "send", "--json", "--dir", &phone, "--as", "Jonas", "--job", job, "Ja.",
    ]);
    assert_eq!((unasked.exit, unasked.code()), (2, "pin_unasked".into()));
    // Reading asks for nothing.
    assert_eq!(
        run(&["thread", "--dir", &phone, "--as", "Jonas", "--job", job]).exit,
        0
    );
    assert_eq!(send("2749").exit, 0);
    for _ in 0..3 {
        assert_eq!(
            (send("8316").exit, send("12x4").code()),
            (5, "invalid.pin.malformed".into())
        );
    }
    let wrong = [
        "send", "Ja.", "--lang", "en", "--dir", &phone, "--as", "Jonas", "--job", job,
    ];
    let wrong = run_in(&[("KOLONNE_PIN", "8316")], &wrong).stderr;
    assert!(wrong.starts_with("Jonas (1 try left): That"), "{wrong}");
    assert_eq!(send("8316").code(), "locked.locked_out");
    assert_eq!(send("2749").code(), "locked.locked_out");
    let seats = ask(&["seat", "list", "--dir", &phone]);
    assert_eq!(seats["seats"][1]["tries_left"], 0);
    let status = run(&["status", "--dir", &phone, "--lang", "en"]);
    assert!(
        status.stdout.contains("locked, the office can open it"),
        "{}",
        status.stdout
    );
    // There is nobody else who could open the only admin's.
    let boss = ask(&["seat", "list", "--dir", &office]);
    assert_eq!(boss["seats"][0]["opened_by"], "kit");
    let forgot = ["seat", "forgot", "--dir", &office, "--lang", "en"];
    let told = run_in(&[("KOLONNE_NEW_PIN", "4073")], &forgot);
    assert!(told.stdout.contains("recovery kit"), "{}", told.stdout);
    assert_eq!(
        run_in(
            &[("KOLONNE_NEW_PIN", "7352")],
            &["seat", "pin", "--dir", &office]
        )
        .exit,
        0
    );
    let mistyped = [
        "send", "Ja.", "--lang", "en", "--dir", &office, "--job", job,
    ];
    let mistyped = run_in(&[("KOLONNE_PIN", "9146")], &mistyped).stderr;
    assert!(
        mistyped.contains("only the recovery kit helps"),
        "{mistyped}"
    );
    let right = ["seat", "pin", "--dir", &office, "--remove"];
    assert_eq!(run_in(&[("KOLONNE_PIN", "7352")], &right).exit, 0);
    let away = run(&["put-away", "--json", "--dir", &office, "Handy"]);
    assert_eq!(away.code(), "not_found.alarm");
    ask(&["sync", "--dir", &phone]);
    ask(&["sync", "--dir", &office]);
    let listed = run(&["device", "list", "--dir", &office]);
    assert!(
        listed.stdout.contains("kolonne seat unlock"),
        "{}",
        listed.stdout
    );
    ask(&["seat", "unlock", "--dir", &office, "Jonas"]);
    ask(&["sync", "--dir", &phone]);
    assert_eq!(send("2749").exit, 0);

    let forgot = ["seat", "forgot", "--json", "--dir", &phone, "--as", "Jonas"];
    assert_eq!(run_in(&[("KOLONNE_NEW_PIN", "4073")], &forgot).exit, 0);
    // The office needn't have synced: it asks the hub who waits.
    let renew = ["seat", "renew", "--dir", &office, "Jonas"];
    let unasked = run(&[&renew, ["--json"].as_slice()].concat());
    assert_eq!((unasked.exit, unasked.code()), (2, "renew_unasked".into()));
    let denied = run_at_terminal(&renew, "n\n");
    assert_eq!(denied.exit, 3, "{}", denied.stdout);
    assert!(
        denied.stdout.contains("direkten Verläufe"),
        "it says what goes with it: {}",
        denied.stdout
    );
    assert_eq!(send("4073").code(), "locked.wrong_pin");
    let renewed = run_at_terminal(&renew, "j\n");
    assert_eq!(renewed.exit, 0, "{}", renewed.stdout);
    ask(&["sync", "--dir", &phone]);
    assert_eq!(send("4073").exit, 0);
    let history = ask(&["roster", "--dir", &office]);
    let last = history["roster"].as_array().unwrap().last().unwrap();
    let renewed = serde_json::json!([{ "code": "renewed", "subject": "Jonas" }]);
    assert_eq!(last["what"], renewed, "a new seat is no dismissal");
}

/// On a replaced phone a direct thread waits for a colleague whose PIN is in: both are told.
#[test]
fn a_new_phone_says_whose_pin_it_waits_for_and_so_does_the_other_side() {
    let firm = Firm::founded();
    let office = firm.office();
    firm.phone("Kolonne 1", &["Mehmet", "Jonas"]);
    let karl = firm.phone("Kolonne 2", &["Karl"]);
    ask(&["person", "role", "--dir", &office, "Karl", "foreman"]);
    ask(&["sync", "--dir", &karl]);
    let said = "Nur unter uns";
    ask(&["send", "--dir", &karl, "--to", "Jonas", said]);
    let set = ["seat", "pin", "--json", "--dir", &karl];
    assert_eq!(run_in(&[("KOLONNE_NEW_PIN", "2749")], &set).exit, 0);
    let lost = "Handy Kolonne 1";
    ask(&[
        "device", "end", "--dir", &office, lost, "--how", "now", "--yes",
    ]);
    let phone = firm.phone_again("Kolonne 1", &["Mehmet", "Jonas"]);
    ask(&["sync", "--dir", &phone]);
    let history = run(&["roster", "--dir", &office]).stdout;
    for said in ["Karl (Kolonne → Vorarbeiter)", "Handy Kolonne 1 (sofort)"] {
        assert!(history.contains(said), "{history}");
    }

    let read = ["thread", "--dir", &phone, "--as", "Jonas", "--job", "Karl"];
    let waits = run(&read);
    assert!(!waits.stdout.contains(said));
    let hint = "sobald ein Gerät von Karl mit eingegebener PIN Netz hat";
    assert!(waits.stderr.contains(hint), "{}", waits.stderr);
    assert_eq!(ask(&read)["thread"]["key_comes_from"][0], "Karl");

    for told in ["sync", "status"] {
        let locked = run(&[told, "--dir", &karl]);
        let wanted = "Auf die PIN von Karl wird gewartet";
        assert!(locked.stdout.contains(wanted), "{}", locked.stdout);
        let line = locked.stdout.lines().find(|line| line.contains(wanted));
        assert!(
            !line.unwrap().contains("Jonas"),
            "who writes with whom stays theirs"
        );
    }
    // Nor is it hidden silently from who has no PIN in.
    let list = run(&["job", "list", "--dir", &karl]);
    assert!(
        list.stderr.contains("1 direkter Verlauf"),
        "{}",
        list.stderr
    );
    let hidden = run(&["thread", "--json", "--dir", &karl, "--job", "Jonas"]);
    assert_eq!(hidden.code(), "not_found.thread.hidden");

    let helps = ["sync", "--dir", &karl, "--as", "Karl"];
    let helped = run_in(&[("KOLONNE_PIN", "2749")], &helps);
    assert_eq!(helped.exit, 0, "{}", helped.stderr);
    assert!(!helped.stdout.contains("gewartet"), "{}", helped.stdout);
    ask(&["sync", "--dir", &phone]);
    let reads = run(&read);
    assert!(reads.stdout.contains(said), "{}", reads.stdout);
    assert!(!reads.stderr.contains("PIN"), "{}", reads.stderr);
}

/// What a stranger tried first, said in a sentence that fits.
#[test]
fn who_has_no_phone_no_right_or_no_access_any_more_is_said_so() {
    let firm = Firm::founded();
    let office = firm.office();
    let phone = firm.phone("Kolonne 1", &["Karl", "Jonas"]);
    ask(&["person", "role", "--dir", &office, "Karl", "foreman"]);
    ask(&["sync", "--dir", &phone]);
    // Whoever waits is the office's business.
    for ask in ["unlock", "renew"] {
        let refused = run(&[
            "seat", ask, "--json", "--dir", &phone, "--as", "Karl", "Jonas",
        ]);
        assert_eq!((refused.exit, refused.code()), (5, "locked.right".into()));
    }
    let minutes = || ask(&["seat", "auto-lock", "--dir", &office])["minutes"].clone();
    assert_eq!(minutes(), Value::Null);
    ask(&["seat", "auto-lock", "--dir", &office, "0"]);
    assert_eq!(minutes(), 0);
    let said = run(&["seat", "auto-lock", "--dir", &office]);
    assert!(said.stdout.contains("nie von selbst"), "{}", said.stdout);

    let end = ["end", "--dir", &office, "--how", "peace", "--yes"];
    ask(&[&["person"], end.as_slice(), &["Jonas"]].concat());
    let listed = run(&["person", "list", "--dir", &office]);
    assert!(
        listed.stdout.contains("Jonas: gesperrt"),
        "{}",
        listed.stdout
    );
    assert_eq!(
        ask(&["person", "list", "--dir", &office])["ended"][0]["name"],
        "Jonas"
    );

    ask(&[&["device"], end.as_slice(), &["Handy Kolonne 1"]].concat());
    let to = run(&["send", "--json", "--dir", &office, "--to", "Karl", "Hallo"]);
    assert_eq!(
        (to.exit, to.code()),
        (3, "not_found.person.no_device".into())
    );
}

/// A founding that broke off before anyone had the kit on paper warns until somebody shows it.
#[test]
fn a_kit_that_nobody_confirmed_is_warned_of_until_it_is_typed() {
    let firm = Firm::founded();
    let office = firm.office();
    let status = || run(&["status", "--dir", &office, "--lang", "en"]).stdout;
    assert!(!status().contains("WARNING"));
    // As a founding leaves it that was killed at its question.
    std::fs::write(std::path::Path::new(&office).join("kit-unconfirmed"), []).unwrap();
    assert!(status().contains("WARNING"), "{}", status());
    let check = ["kit", "check", "--dir", &office, "--json"];
    let (head, tail) = firm.kit.split_at(2);
    let other = format!("{}{tail}", if head == "aa" { "bb" } else { "aa" });
    assert_eq!(run_with(&check, &other).exit, 3);
    assert!(status().contains("WARNING"));
    // Typed at a terminal it is off the screen before anything else is said.
    let lines = format!("{}\n", firm.kit);
    let checked = run_at_terminal(&["kit", "check", "--dir", &office], &lines);
    assert_eq!(checked.exit, 0, "{}", checked.stdout);
    let after = checked.stdout.rsplit("\x1b[2J\x1b[3J\x1b[H").next();
    assert_eq!(
        after.map(str::trim),
        Some("Das ist der Notfallbogen, der gilt.")
    );
    assert!(!status().contains("WARNING"));
}

/// Whoever finds a computer misused ends it first and undoes what it did afterwards.
#[test]
fn what_an_ended_computer_did_is_undone_and_it_stays_out() {
    let firm = Firm::founded();
    let phone = firm.phone("Kolonne 1", &["Mehmet"]);
    let office = firm.office();
    let devices = || {
        let listed = ask(&["device", "list", "--dir", &office]);
        listed["devices"].as_array().unwrap().clone()
    };
    let is_out = |name: &str| {
        let devices = devices();
        let device = devices.iter().find(|device| device["name"] == name);
        !device.unwrap()["ended"].is_null()
    };
    let name = devices()
        .iter()
        .map(|device| device["name"].as_str().unwrap().to_owned())
        .find(|name| name.contains("Kolonne 1"))
        .unwrap();
    let end = ["device", "end", "--dir", &office, "--how", "now", "--yes"];
    ask(&[&end, [name.as_str()].as_slice()].concat());
    assert!(is_out(&name));
    let undo = |captured: &[&str]| {
        let history = ask(&["roster", "--dir", &office]);
        let since = history["roster"].as_array().unwrap().len().to_string();
        let undo = ["undo", "--dir", &office, "--since", &since, "--yes"];
        let undone = run_with(&[&undo, captured].concat(), &firm.kit);
        assert_eq!(undone.exit, 0, "{}", undone.stderr);
        undone.stdout
    };
    // Who doesn't name it is told that it is back.
    let said = undo(&[]);
    assert!(said.contains("wieder Zugang"), "{said}");
    assert!(!is_out(&name));
    ask(&[&end, [name.as_str()].as_slice()].concat());
    let said = undo(&["--captured", &name]);
    assert!(is_out(&name), "it was named");
    assert!(!said.contains("wieder Zugang"), "{said}");
    drop(phone);
}

#[test]
fn names_are_told_apart_and_devices_of_one_name_are_told_as_several() {
    let firm = Firm::founded();
    firm.phone("Kolonne 3", &["Mehmet", "Jonas"]);
    let office = firm.office();
    let invite = |more: &[&str]| {
        let args = [
            "invite",
            "--dir",
            &office,
            "--admit-without-asking",
            "--json",
        ];
        let args: Vec<&str> = args.into_iter().chain(more.iter().copied()).collect();
        run(&args)
    };
    let unsure = invite(&[
        "--device-name",
        "Neu",
        "--role",
        "crew",
        "--crew",
        "kolonne 3",
        "--person",
        "mehmet",
    ]);
    assert_eq!((unsure.exit, unsure.code().as_str()), (2, "person_unsure"));
    assert!(unsure.stderr.contains("Mehmet"), "{}", unsure.stderr);
    let role = invite(&[
        "--device-name",
        "Neu",
        "--role",
        "foreman",
        "--person",
        "Mehmet",
    ]);
    assert_eq!(role.code(), "invalid.role.differs");
    let own = invite(&[
        "--device-name",
        "Neu",
        "--role",
        "crew",
        "--crew",
        "Mehmet",
        "--person",
        "Jonas",
    ]);
    assert_eq!(own.code(), "invalid.crew.person");

    let listed = run(&["device", "list", "--dir", &office]);
    let devices = ask(&["device", "list", "--dir", &office]);
    for device in devices["devices"].as_array().unwrap() {
        let id = &device["id"].as_str().unwrap()[..8];
        assert!(listed.stdout.contains(id), "{}", listed.stdout);
        assert!(!device["last_contact_ms"].is_null(), "{device}");
        // Whole names and beginnings of ids are enough.
        let name = device["name"].as_str().unwrap();
        assert!(listed.stdout.contains(name));
    }
    // What fits two is told as two, each with its id; a whole name wins over a longer one.
    firm.phone_again("Kolonne 3", &["Mehmet"]);
    let end = |name: &str| {
        let args = ["device", "end", "--dir", &office, "--how", "peace", "--yes"];
        run(&args.into_iter().chain([name, "--json"]).collect::<Vec<_>>())
    };
    let several = end("Handy");
    assert_eq!((several.exit, several.code().as_str()), (3, "ambiguous"));
    assert_eq!(several.stderr.matches("Handy Kolonne 3").count(), 2);
    assert_eq!(end("Handy Kolonne 3").exit, 0);
    // The ended one doesn't stand in the way of the live one.
    assert_eq!(end("Handy Kolonne 3 neu").exit, 0);
    assert_eq!(end("Handy Kolonne 3 neu").code(), "invalid.subject.ended");
    let status = run(&["status", "--dir", &office]);
    assert!(!status.stdout.contains("never"), "{}", status.stdout);
}

#[test]
fn jobs_of_one_title_are_told_apart_and_short_ids_are_enough() {
    let (firm, _) = with_job();
    let office = firm.office();
    let open = |customer: &str| {
        let args = ["job", "open", "--dir", &office, "--title", JOB];
        let args = args.into_iter().chain(["--customer", customer]);
        ask(&args.collect::<Vec<_>>())["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let second = open("Frau Petersen");
    let several = run(&["thread", "--dir", &office, "--job", "Lindenweg", "--json"]);
    assert_eq!((several.exit, several.code().as_str()), (3, "ambiguous"));
    for customer in ["Familie Reuter", "Frau Petersen"] {
        assert!(several.stderr.contains(customer), "{}", several.stderr);
        let listed = run(&["job", "list", "--dir", &office]);
        assert!(listed.stdout.contains(customer), "{}", listed.stdout);
    }
    let thread = |job: &str| run(&["thread", "--dir", &office, "--job", job, "--json"]);
    assert_eq!(thread(&second[..5]).exit, 0);
    // A house number is a name before it is the beginning of an id.
    assert_eq!(thread("14").code(), "ambiguous");
    assert_eq!(thread("").code(), "not_found.thread");
    assert!(!thread("").stderr.contains("\": \""));

    // A recording that can't be taken is found out before anything is kept.
    let torn = firm.file("torn.m4a", b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42isom");
    let refused = run(&[
        "send", "Hallo", "--dir", &office, "--job", &second, "--voice", &torn, "--json",
    ]);
    assert_eq!(refused.exit, 3, "{}", refused.stderr);
    let kept = ask(&["thread", "--dir", &office, "--job", &second]);
    assert!(!kept.to_string().contains("Hallo"), "{kept}");
    // What an office computer wrote is at the office once the hub has it too.
    let sent = ask(&["send", "Hallo", "--dir", &office, "--job", &second]);
    assert_eq!(sent["entries"][0]["state"], "office", "{sent}");
}

#[test]
fn a_running_hub_is_copied_and_the_copy_is_the_hub() {
    let (mut firm, phone) = with_job();
    let data = firm.path("hub");
    let to = firm.path("copy");
    ask(&[
        "send",
        "Vor der Sicherung",
        "--dir",
        &phone,
        "--as",
        "Jonas",
        "--job",
        "lindenweg",
        "--photo",
        &firm.file("gut.jpg", &jpeg(320, 240)),
    ]);
    let copied = ask(&["hub-backup", "--data", &data, "--to", &to]);
    assert_eq!(copied["files"], 3);
    assert_eq!(copied["new_files"], 3);
    // Again into the same folder: only what is new.
    let again = ask(&["hub-backup", "--data", &data, "--to", &to]);
    assert_eq!(again["new_files"], 0);
    let foreign = firm.path("elsewhere");
    std::fs::create_dir_all(&foreign).unwrap();
    std::fs::write(format!("{foreign}/hub.key"), [7; 32]).unwrap();
    let taken = run(&["hub-backup", "--data", &data, "--to", &foreign, "--json"]);
    assert_eq!((taken.exit, taken.code().as_str()), (3, "backup_taken"));
    let nothing = run(&[
        "hub-backup",
        "--data",
        &firm.office(),
        "--to",
        &to,
        "--json",
    ]);
    assert_eq!(nothing.code(), "backup_nothing");
    firm.stop_hub();
    std::fs::rename(&data, firm.path("lost")).unwrap();
    std::fs::rename(&to, &data).unwrap();
    firm.start_hub();
    ask(&["sync", "--dir", &firm.office()]);
    let there = entries(&firm.office(), "Sabine");
    assert_eq!(of_kind(&there, "text")[0]["text"], "Vor der Sicherung");
}

/// A crew phone whose enrolment was cut off before the PINs: nobody writes on it as anyone, each is
/// asked for a PIN first, and the office sees it.
#[test]
fn an_enrolment_cut_off_at_the_pins_leaves_no_open_phone() {
    let firm = Firm::founded();
    let office = firm.office();
    let phone = firm.phone_without_pins("Kolonne 1", &["Mehmet", "Jonas"]);
    let job = "Kirchplatz 2";
    ask(&[
        "job",
        "open",
        "--dir",
        &office,
        "--title",
        job,
        "--member",
        "Kolonne 1",
    ]);
    ask(&["sync", "--dir", &office]);
    ask(&["sync", "--dir", &phone]);
    let send = |environment: &[(&str, &str)]| {
        let args = [
            "send", "--json", "--dir", &phone, "--as", "Jonas", "--job", job, "Ja.",
        ];
        run_in(environment, &args)
    };
    let unset = |answer: Answer| (answer.exit, answer.code());
    assert_eq!(unset(send(&[])), (5, "locked.pin_unset".into()));
    let guessed = [("KOLONNE_PIN", "8316")];
    assert_eq!(unset(send(&guessed)), (5, "locked.pin_unset".into()));
    let seats = ask(&["seat", "list", "--dir", &phone]);
    assert_eq!(seats["seats"][1]["has_pin"], false);
    assert_eq!(seats["seats"][1]["locked"], true);
    let status = run(&["status", "--dir", &office]).stdout;
    assert!(status.contains("noch ohne PIN: Jonas, Mehmet"), "{status}");

    // The first command for which one is at hand sets it; the other's is still missing.
    assert_eq!(send(&[("KOLONNE_NEW_PIN", "2749")]).exit, 0);
    assert_eq!(send(&[("KOLONNE_PIN", "2749")]).exit, 0);
    assert_eq!(send(&guessed).code(), "locked.wrong_pin");
    ask(&["sync", "--dir", &office]);
    let devices = run(&["device", "list", "--dir", &office]).stdout;
    assert!(devices.contains("noch ohne PIN: Mehmet\n"), "{devices}");
    // Where no PIN is, a given one isn't taken as if it were right.
    let args = ["send", "--json", "--dir", &office, "--job", job, "Gut."];
    let answer = run_in(&guessed, &args);
    assert_eq!((answer.exit, answer.code()), (5, "locked.no_pin".into()));
}

/// What is said around erasing, a new kit, backups and merging is what happens.
#[test]
fn what_commands_say_is_what_they_do() {
    let (firm, phone) = with_job();
    let office = firm.office();
    let long = run(&["seat", "auto-lock", "--json", "--dir", &office, "9999"]);
    assert_eq!(long.code(), "invalid.minutes.too_large");
    assert!(long.stdout.contains("1440"), "{}", long.stdout);

    let send = [
        "send",
        "--dir",
        &phone,
        "--as",
        "Jonas",
        "--job",
        "lindenweg",
        "Krank heute.",
    ];
    assert_eq!(run(&send).exit, 0);
    ask(&["sync", "--dir", &office]);
    let erase = [
        "erase",
        "entry",
        "--json",
        "--dir",
        &office,
        "--job",
        "lindenweg",
        "--reason",
        "mistake",
        "Krank heute",
    ];
    let unasked = run(&erase);
    assert_eq!((unasked.exit, unasked.code()), (2, "erase_unasked".into()));
    assert_eq!(run(&[&erase, ["--yes"].as_slice()].concat()).exit, 0);
    let thread = run(&["thread", "--dir", &office, "--job", "lindenweg"]).stdout;
    assert!(
        thread.contains("[gelöscht von Sabine: Versehen]"),
        "{thread}"
    );
    assert!(!thread.contains('?'), "{thread}");

    let merged = run(&["merge", "--dir", &office]);
    assert!(
        merged.stdout.contains("nichts zu vereinen"),
        "{}",
        merged.stdout
    );

    let kit = ["kit", "replace", "--dir", &office];
    let unconfirmed = run_with(&kit, &firm.kit);
    assert!(
        unconfirmed.stderr.contains("nichts verändert"),
        "{}",
        unconfirmed.stderr
    );
    let backup = run(&["backup", "--dir", &office, &firm.path("before")]);
    assert!(
        backup.stdout.contains("keinem späteren"),
        "{}",
        backup.stdout
    );
    let replaced = run_with(&[&kit, ["--yes"].as_slice()].concat(), &firm.kit);
    assert_eq!(replaced.exit, 0, "{}", replaced.stderr);
    assert!(
        replaced.stderr.contains("öffnet nur der alte"),
        "{}",
        replaced.stderr
    );
}

#[test]
fn where_things_are_is_said_at_the_office_and_before_a_phone_is_given_away() {
    let (mut firm, phone) = with_job();
    let office = firm.office();
    let photo = firm.file("dach.jpg", &jpeg(640, 480));
    let hand_back = |dir: &str| ask(&["device", "hand-back", "--dir", dir]);
    ask(&["sync", "--dir", &office]);
    ask(&["sync", "--dir", &phone]);
    let asked = hand_back(&phone);
    assert_eq!(asked["standing"], "at_office", "{asked}");

    firm.stop_hub();
    let sent = ask(&[
        "send",
        "--dir",
        &phone,
        "--as",
        "Mehmet",
        "--job",
        "lindenweg",
        "--later",
        "--photo",
        &photo,
    ]);
    let asked = hand_back(&phone);
    assert_eq!(asked["standing"], "not_yet");
    let lacks = asked["lacks"].as_array().unwrap();
    let original = lacks.iter().find(|lack| lack["what"] == "originals");
    assert_eq!(original.unwrap()["n"], 1);
    let said = run(&["device", "hand-back", "--dir", &phone, "--lang", "de"]);
    assert!(
        said.stdout.contains("Noch nicht weggeben"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("1 Original"), "{}", said.stdout);

    // Its files are lost on this disk: they hang fast, and a person throws them away.
    let blobs = std::path::Path::new(&phone).join("blobs");
    for folder in std::fs::read_dir(&blobs).unwrap() {
        let folder = folder.unwrap().path();
        if folder.file_name().is_some_and(|name| name.len() == 2) {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
    firm.start_hub();
    ask(&["sync", "--dir", &phone]);
    ask(&["sync", "--dir", &office]);
    let said = run(&["device", "list", "--dir", &office, "--lang", "de"]);
    assert!(
        said.stdout.contains("1 Foto, 1 Original fehlen seit 1 min"),
        "{}",
        said.stdout
    );
    let status = ask(&["status", "--dir", &office]);
    assert_eq!(status["backlog"][0]["originals"], 1);
    let list = ask(&["stuck", "list", "--dir", &phone, "--as", "Mehmet"]);
    let stuck = list["stuck"].as_array().unwrap();
    assert_eq!(stuck.len(), 3, "{list}");
    assert_eq!(stuck[0]["why"], "missing");
    let id = stuck[0]["id"].as_str().unwrap();
    let mut discard = vec![
        "stuck",
        "discard",
        "--dir",
        &phone,
        "--as",
        "Mehmet",
        id,
        "--reason",
        "Datei kaputt",
    ];
    let unasked = run(&[&discard[..], &["--json"]].concat());
    assert_eq!(
        (unasked.exit, unasked.code().as_str()),
        (2, "discard_unasked")
    );
    let again = ask(&["stuck", "retry", "--dir", &phone, "--as", "Mehmet"]);
    assert_eq!(again["stuck"].as_array().unwrap().len(), 3, "{again}");
    let out = firm.path("out");
    let nothing = run(&[
        "stuck", "export", "--dir", &phone, "--as", "Mehmet", id, "--to", &out, "--json",
    ]);
    assert_eq!(nothing.code(), "not_found.media");
    discard.push("--yes");
    let discarded = ask(&discard);
    assert_eq!(discarded["entry"], sent["entries"][0]["id"]);
    ask(&["sync", "--dir", &office]);
    let entry = of_kind(&entries(&office, "Sabine"), "photo")[0].clone();
    assert_eq!(entry["retracted"]["reason"], "Datei kaputt");
    let said = run(&["device", "list", "--dir", &office, "--lang", "de"]);
    assert!(
        said.stdout.contains("alles im Büro, Stand"),
        "{}",
        said.stdout
    );
    ask(&["sync", "--dir", &phone]);
    assert_eq!(hand_back(&phone)["standing"], "at_office");
}

/// A phone's folder was copied: the office is told, looks into it and puts the notice away.
#[test]
fn a_notice_is_put_away_from_the_terminal_once_it_is_settled() {
    let (firm, phone) = with_job();
    let office = firm.office();
    let copy = firm.path("copy");
    copy_folder(Path::new(&phone), Path::new(&copy));
    for dir in [&phone, &copy] {
        ask(&[
            "send",
            "--dir",
            dir,
            "--as",
            "Jonas",
            "--job",
            "lindenweg",
            "Bin da.",
        ]);
    }
    ask(&["sync", "--dir", &office]);
    let status = run(&["status", "--dir", &office]).stdout;
    assert!(
        status.contains("kolonne put-away \"Handy Kolonne 3\""),
        "{status}"
    );
    let put_away = ["put-away", "--dir", &office, "Handy"];
    let away = run(&put_away);
    assert_eq!(away.exit, 0, "{}", away.stderr);
    assert!(away.stdout.contains("Weggelegt"), "{}", away.stdout);
    let status = ask(&["status", "--dir", &office]);
    assert_eq!(status["status"]["alarms"], serde_json::json!([]));
    let again = run(&[&put_away, ["--json"].as_slice()].concat());
    assert_eq!((again.exit, again.code()), (3, "not_found.alarm".into()));
}
