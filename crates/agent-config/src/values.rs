//! Single values in quotes to what they mean. An error says what is wrong and how it should be, for a sentence that
//! begins with the key.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use trust_core::Fingerprint;
use trust_core::fingerprint::hex_digits;
use url::Url;

use crate::section::Parsed;
use crate::settings::Pin;

/// An absolute path, or none where there is no text.
pub(crate) fn no_path_or_one(text: &str) -> Result<Option<PathBuf>, String> {
    if text.is_empty() { Ok(None) } else { path(text).map(Some) }
}

/// An absolute path.
pub(crate) fn path(text: &str) -> Parsed<PathBuf> {
    if text.contains(char::is_control) {
        return Err("a path has no control characters".into());
    }
    // Judged as text: these are Unix paths wherever this is compiled.
    if !text.starts_with('/') {
        return Err("the path must be absolute: it must begin with \"/\"".into());
    }
    Ok(PathBuf::from(text))
}

/// A number and a unit, such as `30s`, within a range.
pub(crate) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Parsed<Duration> {
    move |text| {
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let millis_per_unit = UNITS.iter().find(|(name, _)| *name == unit).map(|&(_, millis)| millis);
        let (Some(millis_per_unit), false) = (millis_per_unit, number.is_empty()) else {
            return Err("a duration is a whole number and a unit: ms, s, m, h or d, as in \"30s\"".into());
        };
        // Too large for the type is outside any range as well.
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(millis_per_unit))
            .map(Duration::from_millis)
            .filter(|duration| range.contains(duration))
            .ok_or_else(|| format!("must be from {} to {}", spelled(*range.start()), spelled(*range.end())))
    }
}

/// A duration, or the word for no end.
pub(crate) fn limit(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Parsed<Option<Duration>> {
    let finite = duration(range);
    move |text| match text {
        "forever" => Ok(None),
        _ => finite(text).map(Some).map_err(|error| format!("{error}; or \"forever\"")),
    }
}

/// The SHA-256 of an anchor.
pub(crate) fn fingerprint(text: &str) -> Parsed<Fingerprint> {
    text.parse().map_err(|error: trust_core::fingerprint::ParseError| error.to_string())
}

/// The SHA-256, or where an older tool shows nothing else the SHA-1, of a server's certificate.
pub(crate) fn pin(text: &str) -> Parsed<Pin> {
    let digits = hex_digits(text).map_err(|error| error.to_string())?;
    match digits.len() {
        64 => fingerprint(text).map(Pin::Sha256),
        40 => {
            let mut bytes = [0; 20];
            for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                *byte = pair[0] << 4 | pair[1];
            }
            Ok(Pin::Sha1(bytes))
        }
        other => Err(format!("a fingerprint has 64 hex digits (SHA-256) or 40 (SHA-1), this has {other}")),
    }
}

/// The address of a server: `https`, a host, perhaps a port, and nothing else.
pub(crate) fn server_url(text: &str) -> Parsed<Url> {
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => {
            format!("write the whole address, as in \"{EXAMPLE_URL}\"")
        }
        other => format!("no address: {other}"),
    })?;
    if url.scheme() != "https" {
        return Err(format!(
            "must begin with \"https://\", as in \"{EXAMPLE_URL}\": plain connections are never made"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user name and no password: this file is readable by all".into());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("must end after the host and port, as in \"{EXAMPLE_URL}\""));
    }
    Ok(url)
}

/// A value, or nothing where the quotes are empty.
pub(crate) fn or_none<T>(parse: impl Fn(&str) -> Parsed<T>) -> impl Fn(&str) -> Parsed<Option<T>> {
    move |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// The address of an HTTP proxy: `http`, a host, perhaps a port, and nothing else.
pub(crate) fn proxy_url(text: &str) -> Parsed<Url> {
    let url = Url::parse(text).map_err(|_| PROXY_FORM.to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "must have no user name and no password: this file is readable by all; \"credentials-file\" \
                    names a file for them"
                .into(),
        );
    }
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if url.scheme() != "http" || !url.has_host() || !bare {
        return Err(PROXY_FORM.into());
    }
    Ok(url)
}

/// A host that is reached without the proxy.
pub(crate) fn no_proxy(text: &str) -> Parsed<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/');
    if text != "*" && (text.is_empty() || !text.chars().all(good)) {
        return Err(
            "write names (with all below them), addresses, ranges as in \"10.0.0.0/8\", or \"*\"".into()
        );
    }
    Ok(text.to_owned())
}

/// A path on a server, with perhaps a query.
pub(crate) fn server_path(text: &str) -> Parsed<String> {
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '\\');
    if !text.starts_with('/') || text.starts_with("//") || !text.chars().all(good) {
        return Err(
            "a path on the server begins with one \"/\" and has no blanks, as in \"/policies/index.json\""
                .into(),
        );
    }
    Ok(text.to_owned())
}

/// A range of addresses: an address, perhaps with the number of bits that count.
pub(crate) fn range(text: &str) -> Parsed<String> {
    let (address, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let widest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => 0,
    };
    let in_width = |length: &str| {
        length.bytes().all(|byte| byte.is_ascii_digit())
            && length.parse().is_ok_and(|length: u32| length <= widest)
    };
    if widest == 0 || !length.is_none_or(in_width) {
        return Err("a range is an address and the number of bits that count, as in \"10.1.0.0/16\"".into());
    }
    Ok(text.to_owned())
}

/// A name that fits into tables, logs and command lines.
pub(crate) fn name(text: &str) -> Parsed<String> {
    let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.chars().count() > NAME_LENGTH || !text.chars().all(good) {
        return Err(format!("a name is 1 to {NAME_LENGTH} letters, digits, \"-\", \"_\" and \".\""));
    }
    Ok(text.to_owned())
}

/// A duration in the largest unit that fits it.
fn spelled(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (unit, per_unit) = UNITS
        .iter()
        .rev()
        .find(|&&(_, per_unit)| millis != 0 && millis.is_multiple_of(u128::from(per_unit)))
        .copied()
        .unwrap_or(UNITS[0]);
    format!("{}{unit}", millis / u128::from(per_unit))
}

/// The units of a duration with their milliseconds, smallest first.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// As long as a label of a host name may be.
const NAME_LENGTH: usize = 63;

const EXAMPLE_URL: &str = "https://smp.example.com:443/";
const PROXY_FORM: &str = "must be the address of an HTTP proxy, as in \"http://proxy.example.com:3128\"";
