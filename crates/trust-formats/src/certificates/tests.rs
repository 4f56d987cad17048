//! Each habit of the field as a file, and what is made of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

mod odd;
mod properties;

/// A DER SEQUENCE whose first field is one too, as a certificate's is; distinct for each `n`.
fn der(n: u8) -> Vec<u8> {
    let mut der = vec![0x30, 0x81, 137, 0x30, 0x81, 134];
    der.extend((0..134).map(|i| n.wrapping_mul(31).wrapping_add(i)));
    der
}

fn pem_as(label: &str, bytes: &[u8]) -> String {
    let lines: Vec<String> = STANDARD
        .encode(bytes)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn pem(n: u8) -> String {
    pem_as("CERTIFICATE", &der(n))
}

/// The numbers of the blocks found, and the rejects as `line:code`.
fn summary(bytes: &[u8]) -> (Vec<u8>, Vec<String>) {
    let scan = scan(bytes, &Limits::default());
    let number = |block: &Block| (0..=255).find(|n| der(*n) == block.der).expect("a block that was put in");
    let rejects = scan.rejects.iter().map(|reject| format!("{}:{}", reject.line, reject.reason.code()));
    (scan.blocks.iter().map(number).collect(), rejects.collect())
}

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, blocks: &[u8], rejects: &[&str]) {
    let (found, rejected) = summary(bytes.as_ref());
    assert_eq!(found, blocks, "rejects: {rejected:?}");
    assert_eq!(rejected, rejects);
}

fn notes(bytes: impl AsRef<[u8]>) -> Vec<Note> {
    scan(bytes.as_ref(), &Limits::default()).notes
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn plain_files() {
    check("", &[], &[]);
    check("\n\n# nothing yet\n", &[], &[]);
    check(pem(1), &[1], &[]);
    check(pem(1) + &pem(2) + &pem(1), &[1, 2, 1], &[]);
    assert_eq!(notes(pem(1) + "# a comment\n" + &pem(2)), []);
    let scan = scan((pem(1) + &pem(2)).as_bytes(), &Limits::default());
    assert_eq!(scan.blocks.iter().map(|b| (b.line, b.position)).collect::<Vec<_>>(), [(1, 1), (6, 2)]);
}

#[test]
fn line_ends_and_marks() {
    let text = pem(1) + &pem(2);
    let crlf = text.replace('\n', "\r\n");
    check(&crlf, &[1, 2], &[]);
    assert_eq!(notes(&crlf), [Note::ForeignLineEnds]);
    check(text.replace('\n', "\r"), &[1, 2], &[]);
    let lines = |text: &str| -> Vec<u32> {
        scan(text.as_bytes(), &Limits::default()).blocks.iter().map(|block| block.line).collect()
    };
    assert_eq!(lines(&crlf), [1, 6]);
    assert_eq!(lines(&text.replace('\n', "\r")), [1, 6]);
    check(text.trim_end(), &[1, 2], &[]);
    assert_eq!(notes(text.trim_end()), [Note::NoFinalNewline]);
    check(format!("\u{feff}{}\u{feff}{}", pem(1), pem(2)), &[1, 2], &[]);
    assert_eq!(notes(format!("\u{feff}{text}")), [Note::Utf8Bom]);
    for unit in [u16::to_le_bytes, u16::to_be_bytes] {
        check(utf16(&text, unit), &[1, 2], &[]);
        check(utf16(&format!("\u{feff}{crlf}"), unit), &[1, 2], &[]);
        let mut odd = utf16(&text, unit);
        odd.push(0);
        check(&odd, &[1, 2], &[]);
        assert_eq!(notes(&odd), [Note::Utf16]);
    }
}

#[test]
fn glued_and_wrapped() {
    let glued = pem(1).trim_end().to_owned() + &pem(2);
    check(&glued, &[1, 2], &[]);
    assert_eq!(notes(&glued), [Note::GluedBlocks]);
    check(format!("Subject: x {}", pem(1)), &[1], &[]);
    let one_line = format!("-----BEGIN CERTIFICATE-----{}-----END CERTIFICATE-----", STANDARD.encode(der(1)));
    check(one_line, &[1], &[]);
    check(pem(1).replace('=', ""), &[1], &[]);
    check(pem(1).replace('\n', " \t\n\n"), &[1], &[]);
    check(pem(1).replace("-----\n", "-----   \n"), &[1], &[]);
    check(
        "-----BEGIN CERTIFICATE-----\nX-Note: a\n\n".to_owned() + pem(1).split_once('\n').expect("lines").1,
        &[1],
        &[],
    );
}

#[test]
fn between_blocks() {
    check(pem(1) + "CN = one\nwritten by hand: \u{e9}\n" + &pem(2), &[1, 2], &[]);
    assert_eq!(notes(pem(1) + "CN = one\n" + &pem(2)), [Note::ProseBetweenBlocks]);
    let mut latin1 = pem(1).into_bytes();
    latin1.extend(b"Ausgestellt f\xfcr\n");
    latin1.extend(pem(2).bytes());
    check(&latin1, &[1, 2], &[]);
    let nul = format!("{}\0\0\n{}", pem(1), pem(2));
    check(&nul, &[1, 2], &[]);
    assert!(notes(&nul).contains(&Note::ControlBytes));
    check(pem(1) + "---------\n-----begin certificate-----\n" + &pem(2), &[1, 2], &[]);
}

#[test]
fn damaged_blocks_cost_nothing_else() {
    let cut = pem(9)[..80].to_owned();
    check(pem(1) + &cut + "\n" + &pem(2), &[1, 2], &["6:truncated"]);
    check(pem(1) + &cut + &pem(2), &[1, 2], &["6:truncated"]);
    check(pem(1) + &cut, &[1], &["6:truncated"]);
    check(pem(1) + &pem(9).replace("END CERTIFICATE-----\n", "END CERT"), &[1], &["6:truncated"]);
    check(pem(1) + "-----BEGIN CERTIFI", &[1], &["6:truncated"]);
    check(pem(1) + &pem(9).replacen("\nM", "\n!", 1) + &pem(2), &[1, 2], &["6:bad-base64"]);
    check(pem(1) + &pem_as("CERTIFICATE", &der(9)[..60]) + &pem(2), &[1, 2], &["6:not-x509"]);
    let long = [der(9), vec![0; 3]].concat();
    check(pem(1) + &pem_as("CERTIFICATE", &long) + &pem(2), &[1, 2], &["6:not-x509"]);
    check(pem(1) + &pem_as("CERTIFICATE", b"hello, world") + &pem(2), &[1, 2], &["6:not-x509"]);
    check("-----END CERTIFICATE-----\n".to_owned() + &pem(1), &[1], &["1:stray-end"]);
    check(pem(1) + "-----BEGIN CERTIFICATE\n" + &pem(2), &[1, 2], &["6:truncated"]);
    check(
        pem(1) + "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" + &pem(2),
        &[1, 2],
        &["6:not-x509"],
    );
}

#[test]
fn a_block_cut_off_at_the_end_is_still_being_written() {
    let ends_inside = |text: String| scan(text.as_bytes(), &Limits::default()).ends_inside_block;
    let text = pem(1) + &pem(2);
    for length in pem(1).len() + "-----BEGIN ".len()..text.len() - 1 {
        assert!(ends_inside(text[..length].to_owned()), "{length}");
    }
    for whole in [pem(1), text.clone(), text.trim_end().to_owned(), pem(9)[..80].to_owned() + "\n" + &pem(2)]
    {
        assert!(!ends_inside(whole));
    }
    assert!(scan(&der(1)[..40], &Limits::default()).ends_inside_block);
}

#[test]
fn other_labels() {
    check(pem_as("X509 CERTIFICATE", &der(1)), &[1], &[]);
    check(pem(1) + &pem_as("X509 CRL", &der(9)) + &pem(2), &[1, 2], &["6:other-label"]);
    for label in
        ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"]
    {
        check(pem(1) + &pem_as(label, &der(9)) + &pem(2), &[1, 2], &["6:private-key"]);
    }
    check(pem(1) + &pem_as("PRIVATE KEY", &der(9))[..90] + "\n" + &pem(2), &[1, 2], &["6:private-key"]);
}

#[test]
fn trusted_certificates_keep_to_their_purposes() {
    const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
    const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    const ANY: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
    let tlv =
        |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).expect("short")], content].concat();
    let list =
        |tag: u8, oids: &[&[u8]]| tlv(tag, &oids.iter().flat_map(|oid| tlv(6, oid)).collect::<Vec<u8>>());
    let file =
        |fields: &[Vec<u8>]| pem_as("TRUSTED CERTIFICATE", &[der(1), tlv(0x30, &fields.concat())].concat());
    let alias = tlv(0x0c, b"friendly name");
    check(pem_as("TRUSTED CERTIFICATE", &der(1)), &[1], &[]);
    check(file(&[]), &[1], &[]);
    check(file(std::slice::from_ref(&alias)), &[1], &[]);
    check(file(&[list(0x30, &[CLIENT_AUTH, SERVER_AUTH]), alias.clone()]), &[1], &[]);
    check(file(&[list(0x30, &[ANY])]), &[1], &[]);
    check(file(&[list(0xa0, &[CLIENT_AUTH])]), &[1], &[]);
    for refusing in [list(0xa0, &[SERVER_AUTH]), list(0xa0, &[ANY]), list(0x30, &[CLIENT_AUTH])] {
        check(file(&[refusing, alias.clone()]), &[], &["1:distrusted"]);
    }
}

/// `ContentInfo` around certificates, with definite or indefinite lengths.
fn pkcs7(certificates: &[u8], indefinite: bool) -> Vec<u8> {
    let wrap = |tag: u8, content: &[u8]| {
        let mut out = vec![tag];
        if indefinite {
            out.push(0x80);
            out.extend(content);
            out.extend([0, 0]);
        } else {
            let length = u16::try_from(content.len()).expect("short").to_be_bytes();
            out.extend([0x82, length[0], length[1]]);
            out.extend(content);
        }
        out
    };
    let oid = |last: u8| vec![6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, last];
    let signed_data = wrap(
        0x30,
        &[vec![2, 1, 1], vec![0x31, 0], wrap(0x30, &oid(1)), wrap(0xa0, certificates), vec![0x31, 0]]
            .concat(),
    );
    wrap(0x30, &[oid(2), wrap(0xa0, &signed_data)].concat())
}

#[test]
fn binary_files() {
    check(der(1), &[1], &[]);
    check([der(1), der(2)].concat(), &[1, 2], &[]);
    check(&der(1)[..50], &[], &["1:truncated"]);
    check([der(1), b"\r\n".to_vec()].concat(), &[1], &[]);
    check([der(1), b"something".to_vec()].concat(), &[1], &["1:not-x509"]);
    check(STANDARD.encode(der(1)), &[1], &[]);
    let both = [der(1), der(2)].concat();
    for indefinite in [false, true] {
        let file = pkcs7(&both, indefinite);
        check(&file, &[1, 2], &[]);
        check(pem(3) + &pem_as("PKCS7", &file) + &pem(4), &[3, 1, 2, 4], &[]);
        check(pem_as("CMS", &file), &[1, 2], &[]);
        assert_eq!(scan(&file, &Limits::default()).encoding, Encoding::Pkcs7);
        check(pem(3) + &pem_as("PKCS7", &pkcs7(&[], indefinite)), &[3], &["6:bad-pkcs7"]);
    }
    check(pem_as("PKCS7", &der(1)), &[], &["1:bad-pkcs7"]);
}

#[test]
fn no_certificate_at_all() {
    check("<!DOCTYPE html><html><body>404</body></html>", &[], &["1:no-certificate"]);
    check("hello\n", &[], &["1:no-certificate"]);
    check([0u8; 4096], &[], &["1:no-certificate"]);
    let detail = |text: &str| scan(text.as_bytes(), &Limits::default()).rejects[0].detail.clone();
    assert!(detail("<html>secret").contains("HTML page"));
    assert!(!detail("root:$6$secret").contains("secret"));
}

#[test]
fn limits_are_named() {
    let limits = Limits { max_certificates: 2, ..Limits::default() };
    let found = scan((pem(1) + &pem(2) + &pem(3) + &pem(4)).as_bytes(), &limits);
    assert_eq!(found.blocks.len(), 2);
    assert_eq!(found.rejects.iter().map(|r| (r.line, r.reason)).collect::<Vec<_>>(), [(11, Reason::TooMany)]);
    let limits = Limits { max_bytes: 10, ..Limits::default() };
    assert_eq!(scan(pem(1).as_bytes(), &limits).rejects[0].reason, Reason::TooLarge);
    let limits = Limits { max_certificate_bytes: 10, ..Limits::default() };
    assert_eq!(scan(pem(1).as_bytes(), &limits).rejects[0].reason, Reason::TooLarge);
    let nested = [[0x30, 0x80].repeat(100_000), vec![0; 200_000]].concat();
    assert_eq!(scan(&nested, &Limits::default()).blocks, []);
}

#[test]
fn codes_go_both_ways() {
    for note in [Note::Utf8Bom, Note::GluedBlocks, Note::ControlBytes] {
        assert_eq!(Note::from_code(note.code()), Some(note));
    }
    assert_eq!(Reason::from_code("private-key"), Some(Reason::PrivateKey));
    assert_eq!(Encoding::from_code("unheard-of"), None);
}
