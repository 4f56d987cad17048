//! Bootstrap by cases: fingerprints, choices, files.

use jiff::Timestamp;
use test_support::pki::{Cert, Recipe};
use trust_core::fingerprint::hex_digits;
use trust_tls::Presented;

use super::*;

mod choosing;
mod editing;
mod writing;

fn presented(chain: &[&Cert]) -> Presented {
    let ders: Vec<&[u8]> = chain.iter().map(|cert| cert.der()).collect();
    Presented::new(&ders).unwrap()
}

fn wanted(text: &str) -> Wanted {
    Wanted::parse(text).unwrap()
}

#[test]
fn fingerprints_are_read_as_people_paste_them() {
    let leaf = Recipe::leaf("localhost").self_signed();
    let chain = presented(&[&leaf]);
    let plain = leaf.sha256();
    let upper = plain.to_uppercase();
    let colons =
        upper.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect::<Vec<_>>();
    let spki = chain.leaf.facts.as_ref().unwrap().spki_sha256;
    let sha1 = wanted(&"0".repeat(40)).beside(&chain.leaf).to_string();
    let key_base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(spki.as_bytes())
    };
    for (text, how) in [
        (plain.clone(), How::Certificate),
        (upper.clone(), How::Certificate),
        (colons.join(":"), How::Certificate),
        (format!("\u{200e}{}", colons.join(" ")), How::Certificate),
        (format!("sha256:{plain}"), How::Certificate),
        (format!("Sha256:{plain}"), How::Certificate),
        (format!("sha256 Fingerprint={}", colons.join(":")), How::Certificate),
        (spki.to_string(), How::Key),
        (format!("sha256//{key_base64}"), How::Key),
        (sha1.clone(), How::Sha1),
        (format!("SHA1 Fingerprint={sha1}"), How::Sha1),
        (format!("Thumbprint: {sha1}"), How::Sha1),
    ] {
        assert_eq!(wanted(&text).matches(&chain.leaf), Some(how), "{text}");
    }
    let other = Recipe::leaf("localhost").self_signed();
    assert_eq!(wanted(&other.sha256()).matches(&chain.leaf), None);
    for text in ["", "  ", "sha256:", "abcd", "xyz", &"a".repeat(63), "sha256//AAAA", "sha256//!"] {
        assert!(Wanted::parse(text).is_err(), "{text:?}");
    }
    assert_eq!(hex_digits(&wanted(&sha1).to_string()).unwrap().len(), 40);
}

fn now() -> Timestamp {
    Timestamp::now()
}
