//! Writes a one-page PDF of text lines by hand (PDF 1.4, ISO 32000-1), such as
//! a supplier's delivery note. It embeds no font and no picture.

use std::fmt::Write as _;

/// Lines that fit on the page; the rest is left out.
const MAX_LINES: usize = 48;

/// An A4 page: `title` in large letters, then `lines` in Courier so that
/// columns stand under each other. Letters outside Latin-1 become `?`.
pub fn page(title: &str, lines: &[&str]) -> Vec<u8> {
    let mut ink = b"BT /F2 18 Tf 56 780 Td (".to_vec();
    ink.extend(literal(title));
    ink.extend(b") Tj ET\n0.6 w 56 768 m 539 768 l S\nBT /F1 10 Tf 15 TL 56 742 Td\n");
    for line in lines.iter().take(MAX_LINES) {
        ink.push(b'(');
        ink.extend(literal(line));
        ink.extend(b") Tj T*\n");
    }
    ink.extend(b"ET\n");
    let font = |name: &str| {
        format!("<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>")
            .into_bytes()
    };
    let mut stream = format!("<< /Length {} >>\nstream\n", ink.len()).into_bytes();
    stream.extend(ink);
    stream.extend(b"endstream");
    let objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
          /Resources << /Font << /F1 5 0 R /F2 6 0 R >> >> >>"
            .to_vec(),
        stream,
        font("Courier"),
        font("Helvetica-Bold"),
    ];
    let mut out = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (n, object) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", out.len());
        out.extend(format!("{} 0 obj\n", n + 1).bytes());
        out.extend(object);
        out.extend(b"\nendobj\n");
    }
    let start = out.len();
    let size = objects.len() + 1;
    let _ = write!(
        table,
        "trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    );
    out.extend(table.bytes());
    out
}

/// The inside of a PDF string in Latin-1.
fn literal(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for letter in text.chars() {
        let byte = u8::try_from(u32::from(letter)).unwrap_or(b'?');
        if matches!(byte, b'(' | b')' | b'\\') {
            out.push(b'\\');
        }
        out.push(if byte < 32 { b' ' } else { byte });
    }
    out
}
