//! The table of the week: threads, and for each thread who did what on which
//! day at which time. Every name and place is invented.

use super::super::exif::{Orientation, Position};
use super::super::paint::Scene;
use super::{Document, Status, Thread, What, Who};
use Who::{Anna, Jonas, Mehmet, Sabine};

/// One line of the table.
pub struct Row {
    /// Working day, 0 to 4.
    pub day: u8,
    /// Wall clock, hours × 100 + minutes.
    pub clock: i16,
    /// Who.
    pub who: Who,
    /// By what later lines of the same thread call this one; may be empty.
    pub key: &'static str,
    /// What.
    pub what: Act,
}

/// [`What`] before references are resolved.
pub enum Act {
    Say(&'static str),
    Snap(Scene, u64, &'static str),
    SnapUpright(Scene, u64, &'static str),
    Speak(u64, u32),
    Attach(Document),
    Answer(&'static str, &'static str),
    Recaption(&'static str, &'static str),
    TakeBack(&'static str, &'static str),
    Rename(&'static str),
    Move(Status),
    Read(&'static str),
}

use Act::{Answer, Attach, Move, Read, Recaption, Rename, Say, Snap, SnapUpright, Speak, TakeBack};

impl Act {
    /// With keys replaced by what `find` knows of them; `None` for a key that
    /// no line of the thread has.
    pub fn resolve(&self, find: impl Fn(&str) -> Option<usize>) -> Option<What> {
        let photo = |scene, seed, caption, orientation| What::Photo {
            scene,
            seed,
            caption,
            orientation,
        };
        Some(match *self {
            Say(text) => What::Text { text },
            Snap(scene, seed, caption) => photo(scene, seed, caption, Orientation::Upright),
            SnapUpright(scene, seed, caption) => photo(scene, seed, caption, Orientation::Rotate90),
            Speak(seed, duration_ms) => What::Voice { seed, duration_ms },
            Attach(document) => What::Document { document },
            Answer(key, text) => What::Reply {
                to_step: find(key)?,
                text,
            },
            Recaption(key, caption) => What::Caption {
                to_step: find(key)?,
                caption,
            },
            TakeBack(key, reason) => What::Retract {
                to_step: find(key)?,
                reason,
            },
            Rename(title) => What::Rename { title },
            Move(status) => What::Status { status },
            Read(key) => What::Read {
                to_step: find(key)?,
            },
        })
    }
}

const fn row(day: u8, clock: i16, who: Who, what: Act) -> Row {
    Row {
        day,
        clock,
        who,
        key: "",
        what,
    }
}

const fn named(day: u8, clock: i16, who: Who, key: &'static str, what: Act) -> Row {
    Row {
        day,
        clock,
        who,
        key,
        what,
    }
}

const fn job(
    title: &'static str,
    customer: &'static str,
    address: &'static str,
    status: Status,
    latitude: f64,
    longitude: f64,
) -> Thread {
    Thread::Job {
        title,
        customer,
        address,
        status,
        site: Position {
            latitude,
            longitude,
        },
    }
}

/// The threads; [`LINES`] has their lines in the same order.
#[rustfmt::skip] // one line each
pub const THREADS: [Thread; 9] = [
    job("Lindenweg 14: Sturmschaden Dach", "Familie Reuter", "Lindenweg 14, Altenbrück", Status::Auftrag, 53.4821, 8.6132),
    job("Kirchplatz 2: Neueindeckung Pfarrhaus", "Kirchengemeinde St. Annen", "Kirchplatz 2, Altenbrück", Status::Auftrag, 53.4794, 8.6207),
    job("Hafenstraße 3: Rinne und Fallrohr", "Hanne Thomsen", "Hafenstraße 3, Ostermoor", Status::Auftrag, 53.5110, 8.5863),
    job("Am Deich 27: Keller feucht", "Karl-Heinz Voss", "Am Deich 27, Ostermoor", Status::Anfrage, 53.5142, 8.5790),
    job("Marktstraße 19: Wasserfleck", "Praxis Dr. Lammers", "Marktstraße 19, Altenbrück", Status::Anfrage, 53.4807, 8.6181),
    job("Birkenallee 8: Dachfenster einbauen", "Ehepaar Aydın", "Birkenallee 8, Heidkamp", Status::Auftrag, 53.4569, 8.6540),
    job("Ringstraße 40–44: Gerüst Nordseite", "Wohnungsverein Süderfeld", "Ringstraße 40–44, Süderfeld", Status::Angebot, 53.4688, 8.5977),
    job("Mühlenkamp 5: Gaube über dem Bad", "Inga Brodersen", "Mühlenkamp 5, Heidkamp", Status::Fertig, 53.4533, 8.6602),
    Thread::Crew { name: "Kolonne 3" },
];

/// The lines of each thread.
pub const LINES: [&[Row]; 9] = [
    LINDENWEG,
    KIRCHPLATZ,
    HAFENSTRASSE,
    DEICH,
    MARKT,
    BIRKENALLEE,
    RING,
    MUEHLENKAMP,
    CREW,
];

const NOTE_LINDENWEG: Document = Document {
    file_name: "Lieferschein 26-4711.pdf",
    title: "Lieferschein 26-4711",
    lines: &[
        "Baustoffhandel Nordtor            Altenbrück",
        "",
        "Empfänger:  Dachdeckerei Brandt GmbH",
        "Baustelle:  Lindenweg 14, Altenbrück",
        "Abladen:    vor der Garage, mit Kran",
        "",
        "Pos   Menge        Artikel",
        "------------------------------------------------------",
        " 1     12 Stück    Ortgangziegel links, naturrot",
        " 2     64 Stück    Flachziegel, naturrot",
        " 3     60 m        Dachlatte 30/50, S10",
        " 4      2 Rollen   Unterspannbahn 1,50 x 50 m",
        " 5      1 Paket    Sturmklammern (200 Stück)",
        " 6      4 Stück    Lüfterziegel, naturrot",
        "------------------------------------------------------",
        "Gewicht zusammen   412 kg",
        "",
        "Ware geprüft und erhalten:   A. Keller",
    ],
};

const NOTE_KIRCHPLATZ: Document = Document {
    file_name: "Aufmaß Kirchplatz 2.pdf",
    title: "Aufmaß Kirchplatz 2",
    lines: &[
        "Dachdeckerei Brandt GmbH",
        "Bauvorhaben:  Pfarrhaus, Neueindeckung",
        "",
        "Fläche                     Länge    Breite     m²",
        "------------------------------------------------------",
        "Hauptdach Süd             14,20     7,85     111,47",
        "Hauptdach Nord            14,20     7,85     111,47",
        "Anbau                      6,10     4,30      26,23",
        "Abzug Schornstein          0,90     0,70      -0,63",
        "------------------------------------------------------",
        "Summe                                        248,54",
        "",
        "First 14,20 m    Traufe 28,40 m    Ortgang 31,40 m",
        "Ziegelbedarf bei 11,4 je m² und 3 % Bruch: 2.919 Stück",
    ],
};

#[rustfmt::skip] // one line each
const LINDENWEG: &[Row] = &[
    row(0, 742, Sabine, Say("Familie Reuter hat angerufen: nach dem Sturm liegen Ziegel im Vorgarten. Anna, schaust du heute noch drauf?")),
    row(0, 758, Anna, Say("Fahre nach dem Kirchplatz hin, gegen 10.")),
    named(0, 1014, Anna, "ortgang", Snap(Scene::TornVerge, 21, "Ortgang gerissen, brauchen 12 Ziegel")),
    row(0, 1015, Anna, Snap(Scene::TornVerge, 34, "Zwei Reihen höher dasselbe")),
    named(0, 1017, Anna, "loch", Snap(Scene::MissingTile, 12, "Hier fehlt einer ganz, Bahn ist noch dicht")),
    row(0, 1018, Anna, Snap(Scene::MissingTile, 45, "")),
    named(0, 1021, Anna, "sprach", Speak(7, 14_200)),
    row(0, 1036, Sabine, Read("sprach")),
    row(0, 1041, Sabine, Answer("ortgang", "Links oder rechts? Der Händler hat nur linke da.")),
    row(0, 1044, Anna, Say("Links. Und bitte gleich Sturmklammern mit.")),
    row(0, 1105, Sabine, Say("Bestellt, kommt mit Kran gleich früh: 12 Ortgang links, 64 Fläche, Latten und eine Packung Klammern.")),
    row(0, 1106, Mehmet, Answer("loch", "Sollen wir bis dahin abplanen?")),
    row(0, 1109, Anna, Say("Ja, heute noch, ab 16 Uhr soll Regen kommen. Plane liegt im Bus hinten rechts.")),
    row(0, 1638, Jonas, Say("Plane ist drauf und vierfach gelattet.")),
    row(2, 712, Mehmet, Say("Kran war pünktlich. Stehe beim Abladen.")),
    named(2, 724, Mehmet, "schein", SnapUpright(Scene::DeliveryNote, 3, "Lieferschein, einer fehlt beim Haken")),
    row(2, 731, Sabine, Answer("schein", "Pos. 3, die Latten: zähl bitte nach.")),
    row(2, 739, Mehmet, Say("60 m sind da, nur nicht abgehakt. Passt.")),
    row(2, 752, Sabine, Attach(NOTE_LINDENWEG)),
    row(2, 1127, Jonas, Snap(Scene::Battens, 3, "Latten am Ortgang neu, alte waren morsch")),
    row(3, 934, Mehmet, Say("Alle 12 Ortgangziegel drin, jeder geklammert.")),
    named(3, 1412, Mehmet, "fertig", Snap(Scene::RoofDone, 18, "Fertig, Fläche abgefegt")),
    row(3, 1415, Jonas, Snap(Scene::RoofDone, 29, "")),
    row(3, 1422, Anna, Answer("fertig", "Sauber. Plane bitte trocken einpacken, nicht wieder nass in den Bus.")),
    row(3, 1430, Anna, Move(Status::Fertig)),
    row(4, 1004, Sabine, Say("Rechnung ist raus, die Versicherung will Fotos: ich nehme Annas vier vom Anfang.")),
    row(4, 1006, Sabine, Move(Status::Abgerechnet)),
];

#[rustfmt::skip] // one line each
const KIRCHPLATZ: &[Row] = &[
    row(0, 718, Anna, Say("Guten Morgen. Südseite: erst Konterlatten, danach Ziegel.")),
    row(0, 921, Mehmet, Snap(Scene::Battens, 5, "Südseite halb gelattet")),
    row(0, 1544, Jonas, Snap(Scene::Battens, 8, "Feierabendstand. Ziegel liegen verteilt")),
    row(1, 803, Anna, Attach(NOTE_KIRCHPLATZ)),
    row(1, 806, Anna, Say("Aufmaß ist fertig. Sabine, die Küsterin will wissen, ob wir am Sonntag Krach machen.")),
    row(1, 817, Sabine, Say("Natürlich nicht. Ich rufe sie an.")),
    named(1, 1019, Jonas, "falsch", Snap(Scene::Gutter, 4, "Traufe Kirchplatz")),
    row(1, 1021, Jonas, TakeBack("falsch", "Falscher Auftrag, das ist die Hafenstraße")),
    row(1, 1340, Mehmet, Speak(19, 9_300)),
    row(2, 1508, Jonas, Snap(Scene::RoofDone, 61, "Südseite zu bis auf den First")),
    named(3, 1046, Anna, "schorn", Say("Am Schornstein fehlt uns Blei, 2 m in 30 breit.")),
    row(3, 1058, Sabine, Answer("schorn", "Liegt noch eine Rolle im Lager, Fach 7. Jonas, bringst du sie mit?")),
    row(3, 1101, Jonas, Say("Mach ich.")),
    row(4, 822, Jonas, Say("Blei ist da. 2,40 m, reicht.")),
    named(4, 1517, Anna, "nord", Snap(Scene::Battens, 2, "Nordseite: Bahn liegt, als Nächstes Ziegel")),
    row(4, 1602, Sabine, Read("nord")),
];

#[rustfmt::skip] // one line each
const HAFENSTRASSE: &[Row] = &[
    row(1, 931, Jonas, SnapUpright(Scene::Gutter, 4, "Rinne tropft am Stoß, läuft hinter dem Blech runter")),
    named(1, 933, Jonas, "rinne", Snap(Scene::Gutter, 3, "Putz ist schon grün")),
    row(1, 935, Jonas, Speak(23, 11_600)),
    row(1, 952, Anna, Answer("rinne", "Stoß neu löten hilft da nicht mehr. Ganze Länge tauschen, 333er Zink, 9 m.")),
    row(1, 1004, Sabine, Say("Frau Thomsen ist einverstanden, hat gerade am Telefon zugesagt.")),
    row(3, 742, Mehmet, Say("Rinnenhalter: alle 60 oder alle 70?")),
    row(3, 749, Anna, Say("Alle 60, da oben liegt im Winter Schnee.")),
    row(4, 1118, Jonas, Snap(Scene::Gutter, 12, "Neue Rinne hängt, Fallrohr auch")),
    row(4, 1125, Jonas, Say("Laub lag faustdick drin. Frau Thomsen möchte einen Laubfang, ist das im Preis?")),
    row(4, 1139, Sabine, Say("Laubfang 38 € extra, sag ihr das bitte gleich.")),
    row(4, 1144, Jonas, Say("Sie nimmt ihn.")),
    row(4, 1150, Jonas, Move(Status::Fertig)),
];

#[rustfmt::skip] // one line each
const DEICH: &[Row] = &[
    row(1, 1402, Sabine, Say("Herr Voss meint, das Wasser komme vom Dach. Bitte nur ansehen, noch kein Auftrag.")),
    named(2, 1332, Anna, "keller", Snap(Scene::CellarDamp, 5, "Keller Nordwand, feucht bis 60 cm")),
    row(2, 1333, Anna, Snap(Scene::CellarDamp, 17, "Schimmel in der Ecke, Farbe fällt ab")),
    row(2, 1335, Anna, SnapUpright(Scene::FuseBox, 6, "Der Verteiler hängt an derselben Wand, einer ist verschmort!")),
    row(2, 1337, Anna, Speak(31, 17_800)),
    row(2, 1351, Sabine, Answer("keller", "Das kommt von unten, nicht vom Dach. Ich sage Herrn Voss, er soll zuerst einen Elektriker holen.")),
    row(2, 1354, Anna, Say("Ja, unbedingt. Sicherung ist draußen, Zettel klebt dran.")),
    row(4, 905, Sabine, Say("Elektriker war da. Angebot für das Fallrohr und den Sockel schicke ich heute.")),
    row(4, 1322, Sabine, Move(Status::Angebot)),
];

#[rustfmt::skip] // one line each
const MARKT: &[Row] = &[
    row(0, 1312, Sabine, Say("Praxis Dr. Lammers: Fleck an der Decke im Wartezimmer, wird größer. Ab 13 Uhr ist dort frei.")),
    named(1, 1447, Anna, "fleck", Snap(Scene::CeilingStain, 8, "Fleck ca. 70 cm, Platte weich")),
    row(1, 1448, Anna, Snap(Scene::CeilingStain, 22, "Zweiter Fleck neben der Lampe")),
    row(1, 1452, Anna, Say("Darüber ist das Flachdach. Gully war zu, Naht am Lichtschacht offen.")),
    row(1, 1503, Sabine, Rename("Marktstraße 19: Flachdach undicht, Praxis")),
    row(1, 1505, Sabine, Answer("fleck", "Können wir die Naht erst einmal notdürftig schließen?")),
    row(1, 1512, Anna, Say("Ja, gleich früh vor der Sprechstunde, sobald es trocken ist.")),
    row(3, 708, Mehmet, Say("Sind oben. Naht auf 1,80 m aufgeschweißt, Gully frei.")),
    row(3, 826, Mehmet, Speak(41, 6_400)),
    row(3, 841, Sabine, Say("Danke! Die Praxis sagt, es tropft nicht mehr.")),
    row(3, 905, Sabine, Move(Status::Auftrag)),
];

#[rustfmt::skip] // one line each
const BIRKENALLEE: &[Row] = &[
    row(2, 1021, Jonas, SnapUpright(Scene::WindowReveal, 2, "Laibung im Gaubenfenster: Schaum hat eine Lücke, es zieht")),
    named(2, 1023, Jonas, "spalt", Snap(Scene::WindowReveal, 9, "Spalt 2 cm")),
    row(2, 1029, Anna, Say("Das war nicht unser Schaum. Trotzdem dokumentieren, sonst heißt es später, wir waren das.")),
    row(2, 1034, Jonas, Recaption("spalt", "Spalt 2 cm auf 35 cm Länge, war vor unserer Arbeit schon da")),
    row(2, 1102, Sabine, Say("Habe es Frau Aydın geschrieben. Wir dichten es für 90 € mit ab.")),
    row(4, 944, Mehmet, Say("Fenster sitzt. Der Eindeckrahmen liegt noch im Lager.")),
    row(4, 951, Anna, Say("Den bringe ich mit. Folie bitte bis dahin doppelt.")),
];

#[rustfmt::skip] // one line each
const RING: &[Row] = &[
    row(0, 1424, Anna, Snap(Scene::Scaffold, 11, "Nordseite, so kommt das Gerüst zu stehen")),
    row(0, 1426, Anna, Snap(Scene::Scaffold, 24, "")),
    named(0, 1431, Anna, "netz", Say("Netz nur am Gehweg, 22 m. Die Feuerwehrzufahrt bleibt frei.")),
    row(0, 1502, Sabine, Answer("netz", "Angebot angepasst, geht heute noch an den Wohnungsverein.")),
    row(3, 1114, Sabine, Say("Der Wohnungsverein hat zugesagt. Start in zwei Wochen.")),
    row(3, 1116, Sabine, Move(Status::Auftrag)),
    row(3, 1120, Anna, Say("Gut. Dann brauche ich Kolonne 3 dort für vier Tage.")),
];

#[rustfmt::skip] // one line each
const MUEHLENKAMP: &[Row] = &[
    named(1, 1108, Mehmet, "fliese", Snap(Scene::BathTiles, 13, "Riss in den Fliesen unter der Gaube. War der schon da?")),
    row(1, 1109, Mehmet, Snap(Scene::BathTiles, 26, "Von der Wanne aus")),
    row(1, 1122, Sabine, Answer("fliese", "Ja, steht im Protokoll vom Mai, Foto 6. Danke fürs Aufpassen.")),
    row(2, 1604, Sabine, Say("Abgenommen, Frau Brodersen ist zufrieden.")),
    row(2, 1606, Sabine, Move(Status::Abgerechnet)),
    row(4, 832, Sabine, Say("Geld ist da.")),
    row(4, 833, Sabine, Move(Status::Bezahlt)),
];

#[rustfmt::skip] // one line each
const CREW: &[Row] = &[
    row(0, 701, Mehmet, Say("Bus ist getankt. Jonas fährt, ich lade die Leiter.")),
    row(1, 1612, Sabine, Say("Denkt an die Stundenzettel, ich mache die Löhne fertig.")),
    row(2, 1619, Jonas, Say("Akkuschrauber 2 lädt nicht mehr. Ladegerät oder Akku, keine Ahnung.")),
    named(2, 1631, Sabine, "akku", Say("Tauscht ihn gegen den aus dem Lager, Regal links.")),
    row(3, 704, Jonas, Answer("akku", "Getauscht. Es war der Akku.")),
    row(3, 1628, Anna, Snap(Scene::Scaffold, 11, "So sieht das ab übernächster Woche aus. Vier Tage Ringstraße")),
    row(4, 1626, Mehmet, SnapUpright(Scene::DeliveryNote, 15, "Stundenzettel und Lieferscheine liegen im Fach")),
    named(4, 1631, Mehmet, "ende", Say("Feierabend. Danke euch!")),
    row(4, 1648, Sabine, Read("ende")),
];
