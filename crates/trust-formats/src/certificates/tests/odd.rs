//! Rarer habits, and what was made to hurt.

use std::time::{Duration, Instant};

use super::*;

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("short").to_be_bytes();
    [&[tag, 0x82, length[0], length[1]], content].concat()
}

fn detail(bytes: impl AsRef<[u8]>) -> String {
    let scan = scan(bytes.as_ref(), &Limits::default());
    assert_eq!(scan.rejects.len(), 1);
    scan.rejects[0].detail.clone()
}

#[test]
fn keys_by_their_content() {
    let number = |n: u8| vec![2, 1, n];
    let pkcs8 = tlv(0x30, &[number(0), tlv(0x30, &[6, 1, 42]), tlv(4, &[7; 300])].concat());
    let sec1 = tlv(0x30, &[number(1), tlv(4, &[7; 300])].concat());
    let pkcs1 = tlv(0x30, &[number(0), tlv(2, &[7; 300])].concat());
    let pkcs12 = tlv(0x30, &[number(3), tlv(0x30, &[7; 300])].concat());
    let encrypted = tlv(0x30, &[tlv(0x30, &[6, 1, 42]), tlv(4, &[7; 300])].concat());
    for (key, word) in [
        (&pkcs8, "without a password"),
        (&sec1, "without a password"),
        (&pkcs1, "without a password"),
        (&pkcs12, "PKCS#12"),
        (&encrypted, "encrypted"),
    ] {
        check(key, &[], &["1:private-key"]);
        check(pem(1) + &pem_as("CERTIFICATE", key) + &pem(2), &[1, 2], &["6:private-key"]);
        assert!(detail(key).contains(word) && detail(key).contains("nothing of it was kept"));
    }
    assert!(detail(pem_as("EC PRIVATE KEY", &sec1)).contains("EC PRIVATE KEY"));
    // A public key and a signature begin with numbers, too.
    check(tlv(0x30, &[tlv(2, &[7; 300]), number(3)].concat()), &[], &["1:not-x509"]);
}

#[test]
fn certutil_writes_certificate_over_pkcs7() {
    check(pem_as("CERTIFICATE", &pkcs7(&[der(1), der(2)].concat(), false)), &[1, 2], &[]);
}

#[test]
fn labels_that_meet_another() {
    let swapped = |end: &str| pem(9).replace("END CERTIFICATE", &format!("END {end}"));
    check(swapped("X509 CERTIFICATE") + &pem(2), &[9, 2], &[]);
    check(pem(1) + &swapped("X509 CRL") + &pem(2), &[1, 2], &["6:truncated"]);
    check(pem(1) + &swapped("RSA PRIVATE KEY") + &pem(2), &[1, 2], &["6:private-key"]);
    check(pem(1).replace("CERTIFICATE-", "CERTIFICATE -"), &[1], &[]);
}

#[test]
fn blocks_with_few_dashes_between() {
    for dashes in 5..20 {
        let glue = format!("END CERTIFICATE{}BEGIN", "-".repeat(dashes));
        let text = (pem(1) + &pem(2)).replace("END CERTIFICATE-----\n-----BEGIN", &glue);
        check(&text, &[1, 2], &[]);
    }
    check(pem(1).replace("CERTIFICATE-----\n", "CERTIFICATE---------\n"), &[1], &[]);
    assert!(!notes(pem(9)[..80].to_owned() + "\n" + &pem(2)).contains(&Note::GluedBlocks));
}

#[test]
fn commented_out_is_no_certificate() {
    let commented = "# ".to_owned() + pem(9).trim_end().replace('\n', "\n# ").as_str() + "\n";
    check(pem(1) + &commented + &pem(2), &[1, 2], &["6:other-label"]);
    check("# my root ".to_owned() + &pem(1), &[1], &[]);
}

#[test]
fn headers_inside() {
    let with = |headers: &str| pem(1).replacen('\n', &format!("\n{headers}"), 1);
    check(with("Proc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,00\n\n"), &[1], &[]);
    check(with("Comment: a\n  and more\r\n\r\n"), &[1], &[]);
    check(with("Comment: without an empty line\n"), &[1], &[]);
    check(with("Comment: a\rOther: b\r\r"), &[1], &[]);
    let cut = pem(1).replacen('\n', "\nComment: a", 1);
    check(cut.split_once("Comment: a").expect("a header").0, &[], &["1:truncated"]);
}

#[test]
fn base64_as_it_comes() {
    let text = STANDARD.encode(der(1));
    let body = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let lines = |width: usize, end: &str| {
        let lines: Vec<&str> =
            (0..text.len()).step_by(width).map(|at| &text[at..text.len().min(at + width)]).collect();
        lines.join(end)
    };
    for width in [1, 3, 63, 64, 65, 76, 1000] {
        for end in ["\n", "\r\n", "\r", " \n", "\n\n"] {
            check(body(&lines(width, end)), &[1], &[]);
        }
    }
    check(body(&format!("{text}=")), &[1], &[]);
    check(body(&format!("{}\r\n{}\n{}", &text[..64], &text[64..129], &text[129..])), &[1], &[]);
    assert!(detail(body(&lines(64, "\\n"))).contains("backslash"));
    let error = detail(body(&text.replacen('M', "!SECRET", 1)));
    assert!(error.contains("not base64") && !error.contains("SECRET"));
}

#[test]
fn utf16_next_to_other_text() {
    let wide = |text: &str, unit: fn(u16) -> [u8; 2]| utf16(text, unit);
    for unit in [u16::to_le_bytes, u16::to_be_bytes] {
        check([pem(1).into_bytes(), wide(&pem(2), unit), pem(3).into_bytes()].concat(), &[1, 2, 3], &[]);
        check([wide(&format!("\u{feff}{}", pem(1)), unit), pem(2).into_bytes()].concat(), &[1, 2], &[]);
        let comment = "# \u{1f512} Zertifikat f\u{fc}r \u{65e5}\u{672c}\n";
        check(wide(&format!("{}{comment}{}", pem(1), pem(2)), unit), &[1, 2], &[]);
        let lone_surrogates =
            [wide(&pem(1), unit), unit(0xd800).to_vec(), unit(0xdc00).to_vec(), wide("\n", unit)];
        check([lone_surrogates.concat(), wide(&pem(2), unit)].concat(), &[1, 2], &[]);
    }
    let found =
        scan(&utf16(&format!("\u{feff}{}\u{feff}{}", pem(1), pem(2)), u16::to_le_bytes), &Limits::default());
    assert_eq!((found.blocks[1].line, found.notes), (6, vec![Note::Utf16]));
}

#[test]
fn der_and_pem_in_one_file() {
    check([der(1), pem(2).into_bytes(), der(3)].concat(), &[1, 2, 3], &[]);
    check([pem(1).into_bytes(), der(2), pem(3).into_bytes()].concat(), &[1, 2, 3], &[]);
    check([&der(9)[..40], pem(2).as_bytes()].concat(), &[2], &["1:truncated"]);
    check([pem(1).as_bytes(), &der(9)[..40]].concat(), &[1], &["6:truncated"]);
    assert!(!scan(&[&der(9)[..40], pem(2).as_bytes()].concat(), &Limits::default()).ends_inside_block);
    assert_eq!(notes([pem(1).into_bytes(), der(2)].concat()), [Note::Der]);
}

#[test]
fn lengths_that_der_forbids() {
    let content = [tlv(0x30, &[5; 90]), vec![0; 40]].concat();
    for header in [[0x30, 0x80].as_slice(), &[0x30, 0x82, 0, 134], &[0x30, 0x84, 0, 0, 0, 134]] {
        let bytes = [header, &content].concat();
        check(pem_as("CERTIFICATE", &bytes), &[], &["1:not-x509"]);
    }
}

#[test]
fn trust_settings_that_cannot_be_read() {
    let file = |settings: &[u8]| pem_as("TRUSTED CERTIFICATE", &[&der(1), settings].concat());
    for broken in [&[0x30, 5, 0x30, 3][..], &[0x30, 0, 0], &[4, 1, 1], &[0x30, 3, 0xa0, 1, 6]] {
        check(file(broken), &[], &["1:not-x509"]);
    }
    // An empty list of trusted uses trusts nothing.
    check(file(&[0x30, 2, 0x30, 0]), &[], &["1:distrusted"]);
}

#[test]
fn cut_in_the_opening() {
    let ends_inside = |text: &str| scan(text.as_bytes(), &Limits::default()).ends_inside_block;
    for length in 1.."-----BEGIN ".len() {
        let opening = &"-----BEGIN "[..length];
        assert!(ends_inside(opening), "{opening}");
        assert!(ends_inside(&(pem(1) + opening)), "{opening}");
        assert!(!ends_inside(&(pem(1) + "# " + opening)), "{opening}");
        check(pem(1) + opening, &[1], &[]);
    }
    assert!(!ends_inside(
        &(pem(1) + &pem(9).replace("CERTIFICATE-----\n", "CERTIFICATE--\n") + "# the end\n")
    ));
}

#[test]
fn files_of_another_kind() {
    for (file, word) in [
        (&b"\xfe\xed\xfe\xed\0\0\0\x02"[..], "Java keystore"),
        (b"PK\x03\x04\x14", "ZIP"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"{\"error\": 404}", "JSON"),
        (b"<?xml version=\"1.0\"?>", "XML"),
        (b"----BEGIN CERTIFICATE----\nMII", "five dashes"),
        (b"ssh-ed25519 AAAA", "SSH"),
        (&[0; 512], "NUL"),
        ("<\u{21}DOCTYPE HTML>\n".as_bytes(), "HTML"),
    ] {
        assert!(detail(file).contains(word), "{word}");
    }
}

#[test]
fn more_rejects_than_can_be_listed_are_counted() {
    let limits = Limits { max_certificates: 10, ..Limits::default() };
    let text = "-----END CERTIFICATE-----\n".repeat(1000) + &pem(1);
    let found = scan(text.as_bytes(), &limits);
    assert_eq!(found.blocks.len(), 1);
    assert_eq!(found.rejects.len(), 11);
    let last = &found.rejects[10];
    assert_eq!((last.line, last.reason), (11, Reason::TooMany));
    assert!(last.detail.contains("990"));
}

/// What takes quadratic time takes hours at this size; what takes linear time takes well below a second, even unoptimised
/// and on a machine with other things to do.
#[test]
fn hostile_files_take_linear_time() {
    const SIZE: usize = 4 << 20;
    let fill = |piece: &[u8]| piece.repeat(SIZE / piece.len());
    for piece in [
        &b"-----BEGIN "[..],
        b"-----BEGIN CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN X",
        b"-----END ",
        b"-----END X-----",
        b"-----BEGIN X-----A:\n",
        b"-----BEGIN CERTIFICATE",
        b"-",
        b"- ",
        b"----- ",
        b"\r",
        b"\0",
        b"-\0",
        b"0\x80",
        b"0\x82",
        b"0\x80\0\0",
        b"A",
        b"a:\n",
    ] {
        for head in [&b""[..], b"-----BEGIN CERTIFICATE-----\n"] {
            let start = Instant::now();
            let found = scan(&[head, &fill(piece)].concat(), &Limits::default());
            assert!(found.rejects.len() <= Limits::default().max_certificates + 1);
            assert!(start.elapsed() < Duration::from_secs(20), "{}", String::from_utf8_lossy(piece));
        }
    }
}
