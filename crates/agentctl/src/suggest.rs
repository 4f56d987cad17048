//! What somebody may have meant who has mistyped a value: the one that is there and differs by a slip or two.

use agent_control::wire::AnchorReport;

use crate::error::Error;
use crate::exit::Exit;
use crate::words::short;

/// The nearest of what there is, if it differs by no more than slips of the finger.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&text, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= (known.chars().count() / 3).max(1))
        .min()
        .map(|(_, known)| known)
}

/// The fingerprint whose beginning is nearest to these digits.
pub(crate) fn nearest_fingerprint<'a>(
    digits: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A few digits are like any others.
    if digits.len() < ENOUGH {
        return None;
    }
    let distance = |known: &str| {
        let beginning = known.get(..digits.len()).unwrap_or(known);
        strsim::damerau_levenshtein(digits, beginning)
    };
    let near = known.into_iter().map(|known| (distance(known), known));
    near.filter(|(distance, _)| *distance <= SLIPS.min(digits.len() / 3)).min().map(|(_, known)| known)
}

/// Which anchor may have been meant by what is neither its number nor its fingerprint, as a hint; empty where none was.
pub(crate) fn anchor(text: &str, anchors: &[AnchorReport]) -> String {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_lowercase();
    let fingerprints = anchors.iter().map(|anchor| anchor.fingerprint.as_str());
    let by_digits = nearest_fingerprint(&digits, fingerprints);
    let of = |fingerprint: &str| anchors.iter().find(|anchor| anchor.fingerprint == fingerprint);
    let wanted = text.to_lowercase();
    let by_name = || {
        let mut named = anchors.iter().filter(|anchor| anchor.subject.to_lowercase().contains(&wanted));
        // Of several nobody knows which.
        named.next().filter(|_| wanted.len() >= ENOUGH && named.next().is_none())
    };
    match by_digits.and_then(of).or_else(by_name) {
        Some(AnchorReport { fingerprint, number, subject, .. }) => {
            format!("did you mean {}, anchor {number} \"{subject}\"?", short(fingerprint))
        }
        None => String::new(),
    }
}

/// A file that is not there, and that somebody has hardly meant: a word of this command.
pub(crate) fn instead_of_a_file(text: &str, words: &[&str]) -> Result<(), Error> {
    let plain = !text.contains(['/', '.']) && !std::path::Path::new(text).exists();
    match nearest(text, words.iter().copied()).filter(|_| plain) {
        Some(word) => Err(Error::new(Exit::Usage, format_args!("there is no file {text}"))
            .hint(format_args!("did you mean {word}? A file of that name is ./{text}"))),
        None => Ok(()),
    }
}

/// What an address with a mistyped scheme may have been: `htps://host`.
pub(crate) fn address(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) if scheme != "https" && !rest.is_empty() => {
            format!("only https is spoken: did you mean https://{rest}?")
        }
        _ => String::new(),
    }
}

/// So many characters say what was meant.
const ENOUGH: usize = 4;
/// One digit that is another, one too many, or two that changed their places; of a few digits half as many.
const SLIPS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        for (text, expected) in [
            ("bootstrp", Some("bootstrap")),
            ("boostrap", Some("bootstrap")),
            ("BOOTSTRAP", Some("bootstrap")),
            ("stie", Some("site")),
            ("certificates", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, ["bootstrap", "site"]), expected, "{text}");
        }
    }

    #[test]
    fn a_fingerprint_is_known_by_most_of_its_digits() {
        let known = ["1f4694b4fe31ec7c", "d7bb451400000000"];
        for (digits, expected) in [
            ("1f4694b5", Some(known[0])),
            ("1f46b494", Some(known[0])),
            ("f4694b4", Some(known[0])),
            ("d7bb45140", Some(known[1])),
            ("1f46b", Some(known[0])),
            ("1f4", None),
            ("0f95", None),
            ("99999999", None),
        ] {
            assert_eq!(nearest_fingerprint(digits, known), expected, "{digits}");
        }
    }

    #[test]
    fn addresses_want_https() {
        assert_eq!(address("htps://x:1"), "only https is spoken: did you mean https://x:1?");
        assert_eq!(address("no address"), "");
    }
}
