//! PEM (RFC 7468), and the older headers of encrypted keys (RFC 1421).
//!
//! Own, because keys must be decoded into memory that is wiped, and because labels that TLS cannot
//! use still have to be told apart to say why. Errors are fixed words and never quote the text,
//! which may be a key.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One section of PEM.
pub(crate) struct Section {
    pub(crate) label: String,
    /// Its headers say that it is encrypted in the way of RFC 1421.
    pub(crate) is_encrypted: bool,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Whether bytes are PEM at all, rather than DER.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    bytes
        .windows(DASHES.len())
        .any(|window| window == DASHES.as_bytes())
}

/// All sections, in order. What stands between them is ignored.
pub(crate) fn sections(bytes: &[u8]) -> Result<Vec<Section>, &'static str> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut sections = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(label) = begins(line)? {
            sections.push(section(&label, &mut lines)?);
        }
    }
    Ok(sections)
}

fn begins(line: &[u8]) -> Result<Option<String>, &'static str> {
    let Ok(line) = std::str::from_utf8(line.trim_ascii()) else {
        return Ok(None);
    };
    let Some(rest) = line.strip_prefix(BEGIN) else {
        return Ok(None);
    };
    let label = rest.strip_suffix(DASHES);
    let label = label.ok_or("holds a broken PEM BEGIN line")?;
    Ok(Some(label.to_owned()))
}

fn section<'a>(
    label: &str,
    lines: &mut impl Iterator<Item = &'a [u8]>,
) -> Result<Section, &'static str> {
    let end = format!("{END}{label}{DASHES}");
    let (mut body, mut is_encrypted) = (Vec::new(), false);
    for line in lines.map(<[u8]>::trim_ascii) {
        if line == end.as_bytes() {
            return Ok(Section {
                label: label.to_owned(),
                is_encrypted,
                der: decode(&body)?,
            });
        }
        if line.starts_with(DASHES.as_bytes()) {
            break;
        }
        match line.contains(&b':') {
            true => is_encrypted |= line.ends_with(b"ENCRYPTED"),
            false => body.push(line),
        }
    }
    Err("holds a PEM section without its END line")
}

/// Joins the lines and decodes them. Room is made at once: a vector that grows leaves copies.
fn decode(lines: &[&[u8]]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut text = Zeroizing::new(Vec::with_capacity(lines.iter().map(|l| l.len()).sum()));
    lines.iter().for_each(|line| text.extend_from_slice(line));
    let mut der = Zeroizing::new(vec![0; text.len() / 4 * 3 + 3]);
    let length = Base64::decode(&text[..], &mut der)
        .map_err(|_| "holds a PEM section that is not base64")?
        .len();
    der.truncate(length);
    Ok(der)
}
