//! The recovery kit as a page: A4, black on white, German and English, a code to scan and the
//! same in groups to type. It is made in memory and wiped there; nothing here may write a file,
//! a log or an error that holds any of it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kolonne_core::crypt::kit;
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};
use qrcode::{Color, EcLevel, QrCode};
use zeroize::Zeroizing;

const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
const LEFT: f32 = 57.0;
const RIGHT: f32 = WIDTH - LEFT;
/// Where the English column starts.
const ENGLISH: f32 = 306.0;

const PLAIN: Name = Name(b"P");
const BOLD: Name = Name(b"B");
const TYPED: Name = Name(b"T");
const TYPED_BOLD: Name = Name(b"K");
/// Their names in every PDF reader; none is embedded.
const FONTS: [(Name, &[u8]); 4] = [
    (PLAIN, b"Helvetica"),
    (BOLD, b"Helvetica-Bold"),
    (TYPED, b"Courier"),
    (TYPED_BOLD, b"Courier-Bold"),
];

const BLACK: f32 = 0.0;
const SOFT: f32 = 0.35;
const SHADE: f32 = 0.93;

/// More than a page ever takes, so that no buffer grows and leaves a copy behind.
const CAPACITY: usize = 512 * 1024;

/// What stands on the page.
#[derive(Clone, Copy)]
pub struct KitPage<'a> {
    /// The kit's text.
    pub kit: &'a str,
    /// The company's name.
    pub company: &'a str,
    /// Where its hub is.
    pub hub_url: &'a str,
    /// When the kit was made.
    pub made_ms: u64,
}

impl KitPage<'_> {
    /// The page as a PDF; none if the kit is too long for a code.
    pub fn pdf(&self) -> Option<Zeroizing<Vec<u8>>> {
        let [catalog, pages, page, content] = [1, 2, 3, 4].map(Ref::new);
        let fonts = || (5..).map(Ref::new).zip(FONTS);
        let mut pdf = Pdf::with_capacity(CAPACITY);
        pdf.catalog(catalog).pages(pages);
        pdf.pages(pages).kids([page]).count(1);
        let mut sheet = pdf.page(page);
        sheet.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT));
        sheet.parent(pages).contents(content);
        sheet
            .resources()
            .fonts()
            .pairs(fonts().map(|(id, (name, _))| (name, id)));
        sheet.finish();
        for (id, (_, family)) in fonts() {
            pdf.type1_font(id)
                .base_font(Name(family))
                .encoding_predefined(Name(b"WinAnsiEncoding"));
        }
        let drawn = Zeroizing::new(self.draw()?.finish().into_vec());
        pdf.stream(content, &drawn);
        Some(Zeroizing::new(pdf.finish()))
    }

    fn draw(&self) -> Option<Content> {
        let mut sheet = Sheet(Content::with_capacity(CAPACITY));
        sheet.text(BOLD, 11.0, SOFT, LEFT, 64.0, "Kolonne");
        sheet.text(BOLD, 30.0, BLACK, LEFT, 102.0, "Notfallbogen");
        sheet.text(PLAIN, 16.0, SOFT, ENGLISH, 102.0, "Recovery kit");
        sheet.line(LEFT, RIGHT, 116.0, 1.2);
        sheet.label(LEFT, 138.0, "Betrieb / Company");
        let size = fitting(self.company, RIGHT - LEFT, 18.0, 0.64);
        sheet.text(BOLD, size, BLACK, LEFT, 159.0, self.company);
        sheet.label(LEFT, 183.0, "Adresse des Hubs / Address of the hub");
        let size = fitting(self.hub_url, 360.0 - LEFT, 11.0, 0.6);
        sheet.text(TYPED, size, BLACK, LEFT, 198.0, self.hub_url);
        sheet.label(380.0, 183.0, "Gemacht am / Made on");
        sheet.text(PLAIN, 12.0, BLACK, 380.0, 198.0, &date(self.made_ms));

        sheet.frame(LEFT, 214.0, RIGHT - LEFT, 206.0);
        sheet.code(self.kit, LEFT + 16.0, 230.0, 174.0)?;
        sheet.groups(self.kit, 274.0, 252.0);

        sheet.small(LEFT, 436.0, "0 und O, 1 und I und L gelten gleich; groß oder klein ist egal. Das letzte Zeichen jeder Gruppe prüft sie: Tippfehler fallen auf.");
        sheet.small(LEFT, 448.0, "0 and O, 1 and I and L are the same; case doesn’t matter. The last character of each group checks it: typos show.");

        sheet.shade(LEFT, 462.0, RIGHT - LEFT, 78.0);
        for (x, lines) in [
            (
                LEFT + 14.0,
                [
                    "Wer diesen Bogen hat, kann alles lesen.",
                    "Druck ihn zweimal und leg ihn an zwei sichere",
                    "Orte. Nicht fotografieren, nicht abtippen, auf",
                    "keinem Computer aufbewahren.",
                ],
            ),
            (
                ENGLISH + 4.0,
                [
                    "Whoever has this page can read everything.",
                    "Print it twice and put it in two safe places.",
                    "Don’t photograph it, don’t type it out, don’t",
                    "keep it on a computer.",
                ],
            ),
        ] {
            sheet.lines(x, 482.0, &lines);
        }

        for (x, heading, steps) in [
            (LEFT, "Wenn alles verloren ist", STEPS_DE),
            (ENGLISH, "When all is lost", STEPS_EN),
        ] {
            sheet.text(BOLD, 13.0, BLACK, x, 566.0, heading);
            sheet.steps(x, 586.0, &steps);
        }
        sheet.frame(LEFT, 694.0, RIGHT - LEFT, 42.0);
        sheet.text(
            TYPED,
            9.5,
            BLACK,
            LEFT + 14.0,
            712.0,
            "kolonne recover --name \"…\" --device \"…\" \\",
        );
        let hub = format!("  --hub {}", self.hub_url);
        let size = fitting(&hub, RIGHT - LEFT - 28.0, 9.5, 0.6);
        sheet.text(TYPED, size, BLACK, LEFT + 14.0, 726.0, &hub);

        sheet.label(LEFT, 768.0, "Liegt bei / Kept at");
        sheet.line(LEFT + 86.0, ENGLISH - 14.0, 769.0, 0.5);
        sheet.label(ENGLISH, 768.0, "Nachgesehen am / Checked on");
        sheet.line(ENGLISH + 134.0, RIGHT, 769.0, 0.5);
        sheet.small(
            LEFT,
            800.0,
            "Dieser Bogen steht auf keinem Computer und kann nicht noch einmal gedruckt werden.",
        );
        sheet.small(
            LEFT,
            811.0,
            "This page is on no computer and can’t be printed again.",
        );
        Some(sheet.0)
    }
}

const STEPS_DE: [&[&str]; 4] = [
    &["Nimm einen Computer, auf dem Kolonne ist."],
    &[
        "Ruf dort auf, was unten steht: mit deinem",
        "Namen und einem Namen für den Computer.",
    ],
    &[
        "Scanne oder tippe die Gruppen von oben.",
        "Eine falsche Gruppe wird genannt.",
    ],
    &[
        "Das Büro liest wieder alles. Sperre nun,",
        "was verloren ist: kolonne device end",
    ],
];
const STEPS_EN: [&[&str]; 4] = [
    &["Take a computer that has Kolonne."],
    &[
        "Call there what is written below: with your",
        "name and a name for the computer.",
    ],
    &[
        "Scan or type the groups from above.",
        "A wrong group is named.",
    ],
    &[
        "The office reads everything again. Now shut",
        "out what is lost: kolonne device end",
    ],
];

/// The page's content, with heights counted from the top.
struct Sheet(Content);

impl Sheet {
    fn text(&mut self, font: Name<'_>, size: f32, grey: f32, x: f32, top: f32, text: &str) {
        let bytes = Zeroizing::new(win_ansi(text));
        self.0.set_fill_gray(grey).begin_text();
        self.0.set_font(font, size).next_line(x, HEIGHT - top);
        self.0.show(Str(&bytes)).end_text();
    }

    fn label(&mut self, x: f32, top: f32, text: &str) {
        self.text(PLAIN, 9.0, SOFT, x, top, text);
    }

    fn small(&mut self, x: f32, top: f32, text: &str) {
        self.text(PLAIN, 8.0, SOFT, x, top, text);
    }

    /// The first line stands out.
    fn lines(&mut self, x: f32, top: f32, lines: &[&str]) {
        for (number, line) in (0u8..).zip(lines) {
            let font = if number == 0 { BOLD } else { PLAIN };
            self.text(font, 10.0, BLACK, x, top + f32::from(number) * 15.0, line);
        }
    }

    fn steps(&mut self, x: f32, top: f32, steps: &[&[&str]]) {
        let mut top = top;
        for (number, lines) in (1u8..).zip(steps) {
            self.text(BOLD, 10.0, BLACK, x, top, &number.to_string());
            for line in *lines {
                self.text(PLAIN, 10.0, BLACK, x + 16.0, top, line);
                top += 13.0;
            }
            top += 3.0;
        }
    }

    fn line(&mut self, from: f32, to: f32, top: f32, width: f32) {
        self.0.set_stroke_gray(BLACK).set_line_width(width);
        self.0.move_to(from, HEIGHT - top).line_to(to, HEIGHT - top);
        self.0.stroke();
    }

    fn frame(&mut self, x: f32, top: f32, width: f32, height: f32) {
        self.0.set_stroke_gray(BLACK).set_line_width(0.8);
        self.0
            .rect(x, HEIGHT - top - height, width, height)
            .stroke();
    }

    fn shade(&mut self, x: f32, top: f32, width: f32, height: f32) {
        self.0.set_fill_gray(SHADE);
        self.0.rect(x, HEIGHT - top - height, width, height);
        self.0.fill_nonzero();
    }

    /// The code, a third of which may be torn or stained.
    fn code(&mut self, kit: &str, x: f32, top: f32, side: f32) -> Option<()> {
        let modules = modules(kit)?;
        let module = side / f32::from(u8::try_from(modules.len()).ok()?);
        self.0.set_fill_gray(BLACK);
        for (row, colors) in (0u8..).zip(&modules) {
            for (column, _) in (0u8..).zip(colors).filter(|(_, dark)| **dark) {
                let down = HEIGHT - top - f32::from(row + 1) * module;
                self.0
                    .rect(x + f32::from(column) * module, down, module, module);
            }
        }
        self.0.fill_nonzero();
        Some(())
    }

    fn groups(&mut self, kit: &str, x: f32, top: f32) {
        for number in 1..=kit::GROUPS {
            let Some(group) = kit::group(kit, number) else {
                return;
            };
            let place = u8::try_from(number - 1).unwrap_or_default();
            let (row, column) = (f32::from(place / 4), f32::from(place % 4));
            let (x, top) = (x + column * 65.0, top + row * 43.0);
            self.text(PLAIN, 8.0, SOFT, x, top, &number.to_string());
            self.text(TYPED_BOLD, 17.0, BLACK, x, top + 17.0, group);
        }
    }
}

/// Rows of the code, dark ones true.
fn modules(kit: &str) -> Option<Vec<Vec<bool>>> {
    let line = Zeroizing::new(kit.replace('\n', "-"));
    let code = QrCode::with_error_correction_level(line.as_bytes(), EcLevel::Q).ok()?;
    let colors = code.to_colors();
    let rows = colors.chunks(code.width());
    Some(
        rows.map(|row| row.iter().map(|color| *color == Color::Dark).collect())
            .collect(),
    )
}

/// The largest size at which a line of characters this wide fits.
fn fitting(text: &str, width: f32, largest: f32, char_width: f32) -> f32 {
    let chars = u16::try_from(text.chars().count()).map_or(f32::from(u16::MAX), f32::from);
    (width / (chars.max(1.0) * char_width)).min(largest)
}

fn date(ms: u64) -> String {
    let time = i64::try_from(ms).ok();
    let time = time.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(String::new, |time| {
        let time = time.to_zoned(TimeZone::system());
        time.strftime("%d.%m.%Y").to_string()
    })
}

/// The bytes of a text in the fonts' encoding. Letters it lacks are shown by their base.
fn win_ansi(text: &str) -> Vec<u8> {
    text.chars().map(win_ansi_char).collect()
}

fn win_ansi_char(char: char) -> u8 {
    match char {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(char)).unwrap_or(b'?'),
        '€' => 0x80,
        '‚' => 0x82,
        '„' => 0x84,
        '…' => 0x85,
        'Š' => 0x8a,
        'Œ' => 0x8c,
        'Ž' => 0x8e,
        '‘' => 0x91,
        '’' => 0x92,
        '“' => 0x93,
        '”' => 0x94,
        '–' => 0x96,
        '—' => 0x97,
        'š' => 0x9a,
        'œ' => 0x9c,
        'ž' => 0x9e,
        'Ÿ' => 0x9f,
        'Ą' | 'Ă' | 'Ā' => b'A',
        'ą' | 'ă' | 'ā' => b'a',
        'Ć' | 'Č' => b'C',
        'ć' | 'č' => b'c',
        'Ď' | 'Đ' => b'D',
        'ď' | 'đ' => b'd',
        'Ę' | 'Ě' | 'Ē' => b'E',
        'ę' | 'ě' | 'ē' => b'e',
        'Ğ' => b'G',
        'ğ' => b'g',
        'İ' => b'I',
        'ı' => b'i',
        'Ł' => b'L',
        'ł' => b'l',
        'Ń' | 'Ň' => b'N',
        'ń' | 'ň' => b'n',
        'Ő' => b'O',
        'ő' => b'o',
        'Ř' => b'R',
        'ř' => b'r',
        'Ś' | 'Ş' | 'Ș' => b'S',
        'ś' | 'ş' | 'ș' => b's',
        'Ť' | 'Ţ' | 'Ț' => b'T',
        'ť' | 'ţ' | 'ț' => b't',
        'Ů' | 'Ű' => b'U',
        'ů' | 'ű' => b'u',
        'Ź' | 'Ż' => b'Z',
        'ź' | 'ż' => b'z',
        _ => b'?',
    }
}

#[cfg(test)]
mod tests;
