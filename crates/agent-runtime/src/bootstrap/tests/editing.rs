use trust_core::Certificate;
use trust_core::source::Content;
use trust_formats::certificates::Limits;

use super::*;

fn certificate(cert: &Cert) -> Certificate {
    Certificate::parse(cert.der()).unwrap()
}

fn add(existing: Option<&[u8]>, cert: &Cert) -> Result<Edit, EditError> {
    add_within(existing, cert, &Limits::default())
}

fn add_within(existing: Option<&[u8]>, cert: &Cert, limits: &Limits) -> Result<Edit, EditError> {
    let certificate = certificate(cert);
    append(existing, &Addition { certificate: &certificate, from: "host:443", at: now() }, limits)
}

fn change(edit: Result<Edit, EditError>) -> Change {
    match edit.unwrap() {
        Edit::Change(change) => change,
        Edit::Present { line } => panic!("present in line {line}"),
    }
}

fn read(bytes: &[u8]) -> Vec<String> {
    let content = Content::parse(bytes, &Limits::default());
    content.found.iter().map(|found| found.certificate.fingerprint().to_string()).collect()
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2], mark: bool) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(unit).collect()
}

#[test]
fn both_are_read_whatever_the_file_is() {
    let [old, new] = ["Old", "New"].map(|name| Recipe::ca(name).self_signed());
    let pem = old.pem();
    let crlf = pem.replace('\n', "\r\n");
    let unended = pem.trim_end().to_owned();
    let le = |text: &str, mark| utf16(text, u16::to_le_bytes, mark);
    for (what, existing) in [
        ("LF", pem.clone().into_bytes()),
        ("CRLF", crlf.clone().into_bytes()),
        ("no final newline", unended.clone().into_bytes()),
        ("CR", pem.replace('\n', "\r").into_bytes()),
        ("a mark", format!("\u{feff}{pem}").into_bytes()),
        ("prose", format!("Our CA, from Jo\n{pem}that was it").into_bytes()),
        ("UTF-16LE", le(&crlf, true)),
        ("UTF-16LE without a mark", le(&crlf, false)),
        ("UTF-16LE, no final newline", le(&unended, true)),
        ("UTF-16BE", utf16(&crlf, u16::to_be_bytes, true)),
        ("UTF-16 and ASCII", [le(&crlf, true), pem.clone().into_bytes()].concat()),
        ("DER", old.der().to_vec()),
    ] {
        let change = change(add(Some(&existing), &new));
        assert!(change.bytes.starts_with(&existing), "{what}: what is there stays");
        let mut expected = read(&existing);
        expected.push(new.sha256());
        assert_eq!(read(&change.bytes), expected, "{what}");
        assert!(change.removed.is_empty());
        // Once more changes nothing.
        let again = add(Some(&change.bytes), &new).unwrap();
        assert_eq!(again, Edit::Present { line: change.line }, "{what}");
    }
}

#[test]
fn the_files_own_line_ends_are_used() {
    let [old, new] = ["Old", "New"].map(|name| Recipe::ca(name).self_signed());
    let crlf = change(add(Some(old.pem().replace('\n', "\r\n").as_bytes()), &new));
    let text = String::from_utf8(crlf.bytes).unwrap();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    let lf = change(add(Some(old.pem().as_bytes()), &new));
    assert!(!lf.bytes.contains(&b'\r'));
    let wide = utf16(&old.pem().replace('\n', "\r\n"), u16::to_le_bytes, true);
    let wide = change(add(Some(&wide), &new)).bytes;
    assert_eq!(wide.len() % 2, 0);
    let units = wide.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    assert!(String::from_utf16(&units.collect::<Vec<_>>()).unwrap().is_char_boundary(0));
}

#[test]
fn a_new_file_an_empty_one_and_one_of_comments_are_begun() {
    let new = Recipe::ca("New").self_signed();
    for existing in [None, Some(&b""[..]), Some(b"# nothing yet\n"), Some(b"\r\n\r\n"), Some(b"# no end")] {
        let change = change(add(existing, &new));
        assert_eq!(read(&change.bytes), [new.sha256()], "{existing:?}");
    }
}

#[test]
fn a_subject_cannot_forge_a_block() {
    let odd = Recipe::ca("-----BEGIN CERTIFICATE-----\n\u{202e}").self_signed();
    let change = change(add(None, &odd));
    let content = Content::parse(&change.bytes, &Limits::default());
    assert_eq!((content.found.len(), content.rejects.len()), (1, 0));
    assert!(change.bytes.is_ascii());
}

#[test]
fn what_cannot_be_added_to_is_named() {
    let [old, new] = ["Old", "New"].map(|name| Recipe::ca(name).self_signed());
    let cut = [old.pem(), old.pem()[..200].to_owned()].concat();
    assert!(matches!(add(Some(cut.as_bytes()), &new), Err(EditError::Cut { line }) if line > 1));
    for foreign in [&b"127.0.0.1 localhost\n"[..], b"<html>404</html>", &[0; 64], new.key_pem().as_bytes()] {
        assert_eq!(add(Some(foreign), &new).unwrap_err(), EditError::Foreign);
    }
    let one = Limits { max_certificates: 1, ..Limits::default() };
    let error = add_within(Some(old.pem().as_bytes()), &new, &one).unwrap_err();
    assert_eq!(error.code(), "too-large", "{error}");
    let small = Limits { max_bytes: old.pem().len() + 10, ..Limits::default() };
    let error = add_within(Some(old.pem().as_bytes()), &new, &small).unwrap_err();
    assert_eq!(error.code(), "too-large", "{error}");
}

#[test]
fn rejects_that_were_there_do_not_stop_it() {
    let [old, new] = ["Old", "New"].map(|name| Recipe::ca(name).self_signed());
    let broken = old.pem().replacen('M', "!", 1);
    let existing = [broken, old.pem()].concat();
    let change = change(add(Some(existing.as_bytes()), &new));
    assert_eq!(read(&change.bytes), [old.sha256(), new.sha256()]);
}

#[test]
fn a_replacement_says_what_is_lost() {
    let [a, b, new] = ["A", "B", "New"].map(|name| Recipe::ca(name).self_signed());
    let certificate = certificate(&new);
    let addition = Addition { certificate: &certificate, from: "host:443", at: now() };
    let with = |certs: &[&Cert]| certs.iter().map(|cert| cert.pem()).collect::<String>();
    let replaced = |existing: Option<&[u8]>| replace(existing, &addition, &Limits::default());
    let done = change(replaced(Some(with(&[&a, &new, &b]).as_bytes())));
    let lost: Vec<String> = done.removed.iter().map(|(sha256, _)| sha256.to_string()).collect();
    assert_eq!(lost, [a.sha256(), b.sha256()]);
    assert_eq!(read(&done.bytes), [new.sha256()]);
    assert!(matches!(replaced(Some(new.pem().as_bytes())), Ok(Edit::Present { line: 1 })));
    assert!(matches!(replaced(Some(&done.bytes)), Ok(Edit::Present { .. })));
    assert!(change(replaced(None)).removed.is_empty());
    assert!(change(replaced(Some(b"<html>"))).removed.is_empty());
}
