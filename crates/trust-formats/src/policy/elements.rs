//! What the two elements that matter say: the root, and `CurlSSL`.

use super::document::{Attribute, Element};
use super::error::Error;
use super::{CurlSsl, Issue, Placed, Policy};

/// Takes the policy's GUID and version from the root element. Their attributes are not fixed by any schema we know, so
/// any case of the names will do.
pub(super) fn root(element: &Element<'_>, policy: &mut Policy) {
    let named =
        |name: &str| element.attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name));
    let ids = [named("guid"), named("id")];
    policy.guid = ids.iter().flatten().find_map(|attribute| guid(&attribute.value));
    if let (None, Some(attribute)) = (&policy.guid, ids.iter().flatten().next()) {
        policy.issues.push(Issue {
            line: attribute.line,
            message: "the policy's GUID is not 32 hex digits in groups of 8-4-4-4-12: the file's name counts"
                .into(),
        });
    }
    if let Some(attribute) = named("version") {
        policy.version = attribute.value.trim().parse().ok();
        if policy.version.is_none() {
            policy.issues.push(Issue {
                line: attribute.line,
                message:
                    "the policy's version is not a whole number: the policy counts as one without a version"
                        .into(),
            });
        }
    }
}

/// Takes the element's values if it is a `CurlSSL`.
///
/// XML minds case, and so does the agent whose files these are. A name in the wrong case was meant all the same: paths
/// and fingerprints under it are taken, because an anchor too many harms less than an endpoint locked out. A switch is
/// not: no near miss turns verification off.
///
/// # Errors
/// [`Error::ControlCharacter`] for a value with one: no path and no fingerprint has any, and it would forge log lines.
pub(super) fn curl_ssl(element: &Element<'_>, policy: &mut Policy) -> Result<(), Error> {
    if !element.name.eq_ignore_ascii_case(CURL_SSL) {
        return Ok(());
    }
    let exact_element = element.name == CURL_SSL;
    if !exact_element {
        policy.issues.push(wrong_case(element.line, CURL_SSL, "its paths are taken, its switches are not"));
    }
    let mut found = CurlSsl { line: element.line, ..CurlSsl::default() };
    for attribute in &element.attributes {
        let (prefix, local) = attribute.name.split_once(':').unwrap_or(("", attribute.name));
        let Some(&(name, kind)) = KNOWN.iter().find(|(name, _)| name.eq_ignore_ascii_case(local)) else {
            continue;
        };
        if prefix == "xmlns" {
            continue;
        }
        if !prefix.is_empty() {
            let message =
                format!("{name} has a namespace prefix, so it is another attribute: it is not taken");
            policy.issues.push(Issue { line: attribute.line, message });
            continue;
        }
        if attribute.value.contains(char::is_control) {
            return Err(Error::ControlCharacter { line: attribute.line });
        }
        let exact = local == name;
        match kind {
            Kind::Text(slot) => {
                let slot = slot(&mut found);
                if !exact && has(element, name) {
                    policy.issues.push(wrong_case(attribute.line, name, "the rightly written one counts"));
                    continue;
                }
                if !exact {
                    policy.issues.push(wrong_case(attribute.line, name, "it is taken all the same"));
                }
                if slot.is_none() {
                    *slot =
                        Some(Placed { value: attribute.value.clone().into_owned(), line: attribute.line });
                }
            }
            Kind::Switch(_) if !exact || !exact_element => {
                policy.issues.push(wrong_case(attribute.line, name, "it is not taken"));
            }
            Kind::Switch(slot) => *slot(&mut found) = Some(switch(attribute, name, &mut policy.issues)),
        }
    }
    policy.curl_ssl.push(found);
    Ok(())
}

/// Takes the fingerprint if the element is a `DistrustCertificate`, an element of our own: it takes trust away, so a name
/// in the wrong case is said and not taken.
///
/// # Errors
/// [`Error::ControlCharacter`], as for `CurlSSL`.
pub(super) fn distrust(element: &Element<'_>, policy: &mut Policy) -> Result<(), Error> {
    if !element.name.eq_ignore_ascii_case(DISTRUST) {
        return Ok(());
    }
    if element.name != DISTRUST {
        policy.issues.push(wrong_case(element.line, DISTRUST, "it is not taken"));
        return Ok(());
    }
    let Some(attribute) = element.attributes.iter().find(|attribute| attribute.name == SHA256) else {
        let message = format!("{DISTRUST} has no attribute {SHA256}: it distrusts nothing");
        policy.issues.push(Issue { line: element.line, message });
        return Ok(());
    };
    if attribute.value.contains(char::is_control) {
        return Err(Error::ControlCharacter { line: attribute.line });
    }
    policy.distrusted.push(Placed { value: attribute.value.clone().into_owned(), line: attribute.line });
    Ok(())
}

const DISTRUST: &str = "DistrustCertificate";
const SHA256: &str = "SHA256";
const CURL_SSL: &str = "CurlSSL";

#[derive(Clone, Copy)]
enum Kind {
    Text(fn(&mut CurlSsl) -> &mut Option<Placed<String>>),
    Switch(fn(&mut CurlSsl) -> &mut Option<Placed<bool>>),
}

/// The attributes of a `CurlSSL` element.
const KNOWN: [(&str, Kind); 6] = [
    ("CAInfo", Kind::Text(|found| &mut found.ca_info)),
    ("CAPath", Kind::Text(|found| &mut found.ca_path)),
    ("SSLNSPublicHttpsCertFingerprint", Kind::Text(|found| &mut found.fingerprint)),
    ("MinimumTLS", Kind::Text(|found| &mut found.minimum_tls)),
    ("SSLVerifyPeer", Kind::Switch(|found| &mut found.verify_peer)),
    ("SSLVerifyHost", Kind::Switch(|found| &mut found.verify_host)),
];

/// On unless it says off: libcurl's `CURLOPT_SSL_VERIFYHOST` knows 2 beside 1 and 0.
fn switch(attribute: &Attribute<'_>, name: &str, issues: &mut Vec<Issue>) -> Placed<bool> {
    let on = match attribute.value.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "2" => true,
        "no" | "false" | "0" => false,
        _ => {
            let message = format!("{name} is neither yes nor no: verification stays on");
            issues.push(Issue { line: attribute.line, message });
            true
        }
    };
    Placed { value: on, line: attribute.line }
}

fn wrong_case(line: u32, name: &str, consequence: &str) -> Issue {
    Issue { line, message: format!("{name} is written in another case: {consequence}") }
}

fn has(element: &Element<'_>, name: &str) -> bool {
    element.attributes.iter().any(|attribute| attribute.name == name)
}

/// The GUID in lower case without braces, from any of the forms that Windows writes.
fn guid(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let digits: String = bare.chars().filter(|&c| c != '-').collect();
    let grouped =
        bare.len() == 32 || bare.len() == 36 && bare.match_indices('-').map(|(at, _)| at).eq([8, 13, 18, 23]);
    if !grouped || digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.to_ascii_lowercase();
    Some([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}
