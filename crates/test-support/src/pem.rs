//! PEM, written as usual and read strictly: the judge of what we publish.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The label of a certificate.
pub const CERTIFICATE: &str = "CERTIFICATE";

/// One block with LF and 64 columns (RFC 7468 §2).
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    encode_as(label, der, "\n", 64)
}

/// One block with other line ends or another width.
#[must_use]
pub fn encode_as(label: &str, der: &[u8], line_end: &str, columns: usize) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----{line_end}");
    for line in body.as_bytes().chunks(columns) {
        text.extend(line.iter().map(|&byte| char::from(byte)));
        text.push_str(line_end);
    }
    text.push_str(&format!("-----END {label}-----{line_end}"));
    text
}

/// The DER of the first block of a text that this kit made itself.
///
/// # Panics
/// Where it holds none.
#[must_use]
pub fn decode(text: &str) -> Vec<u8> {
    let body: String = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with('-'))
        .collect();
    STANDARD.decode(body).expect("a block that this kit made")
}

/// The certificates of a published bundle, in order. Every departure from the strict form is an error: another label,
/// another line length, CR, a byte that is not printable ASCII, a text line that looks like a marker.
///
/// # Errors
/// Line and reason of the first departure.
pub fn strict_certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("no newline at the end".to_owned());
    }
    // Once: a file of ten thousand has hundreds of thousands of lines. `lines` takes away that of a CR LF.
    let foreign_ends = text.contains('\r');
    let mut certificates = Vec::new();
    let mut body: Option<Vec<&str>> = None;
    for (index, line) in text.lines().enumerate() {
        let place = |what: &str| format!("line {}: {what}", index + 1);
        let at = |what: &str| Err(place(what));
        if !line.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || foreign_ends {
            return at("not printable ASCII");
        }
        match (line, &mut body) {
            ("-----BEGIN CERTIFICATE-----", None) => body = Some(Vec::new()),
            ("-----END CERTIFICATE-----", Some(lines)) => {
                certificates.push(strict_body(lines).map_err(|reason| place(&reason))?);
                body = None;
            }
            (base64, Some(lines)) => lines.push(base64),
            (comment, None) if comment.contains("-----") => return at("a marker of another kind"),
            (comment, None) if !comment.is_empty() && !comment.starts_with('#') => {
                return at("text that is no comment");
            }
            (_, None) => {}
        }
    }
    if body.is_some() { Err("the last block has no end".to_owned()) } else { Ok(certificates) }
}

/// SHA-256 of bytes as lower-case hex: the fingerprint of a certificate's DER, the identity of a file.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn strict_body(lines: &[&str]) -> Result<Vec<u8>, String> {
    let (last, full) = lines.split_last().ok_or("an empty block")?;
    if full.iter().any(|line| line.len() != 64) || last.is_empty() || last.len() > 64 {
        return Err("a line that is not of 64 columns".to_owned());
    }
    STANDARD.decode(lines.concat()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let ders = [vec![0x30; 47], vec![0x31; 48], vec![0x32; 500]];
        let text: String =
            ders.iter().map(|der| format!("# a comment\n{}", encode(CERTIFICATE, der))).collect();
        assert_eq!(strict_certificates(text.as_bytes()).unwrap(), ders);
        assert_eq!(decode(&text), ders[0]);
    }

    #[test]
    fn refuses_every_departure() {
        let good = encode(CERTIFICATE, &[7; 100]);
        for (bad, what) in [
            (good.replace('\n', "\r\n"), "ASCII"),
            (good.trim_end().to_owned(), "newline"),
            (encode_as(CERTIFICATE, &[7; 100], "\n", 76), "64 columns"),
            (encode("X509 CERTIFICATE", &[7; 100]), "another kind"),
            (good.replace("-----END CERTIFICATE-----\n", ""), "no end"),
            (format!("some prose\n{good}"), "no comment"),
            (good.replacen('B', "\0", 1), "ASCII"),
            (good.replacen("Bwc", "B!c", 1), "Invalid"),
        ] {
            let error = strict_certificates(bad.as_bytes()).unwrap_err();
            assert!(error.contains(what), "{error}: expected {what}");
        }
    }
}
