//! Numbers and times in words.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1 anchor`, `2 anchors`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The first digits of a fingerprint: enough to tell anchors apart, and to name one by in a command.
pub(crate) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}

/// A remedy as it can be pasted: a command of ours acts on the endpoint that was asked about, not on the machine's own.
pub(crate) fn remedy(fix: &str, root: Option<&Path>) -> String {
    match (fix.strip_prefix("agentctl "), root) {
        (Some(command), Some(root)) => format!("agentctl --root {} {command}", root.display()),
        // No service manager has one for a directory.
        (None, Some(root)) if fix == "systemctl start agentd" => format!("agentd --root {}", root.display()),
        _ => fix.to_owned(),
    }
}

/// A moment for people: local time with its offset.
pub(crate) fn local(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// A day for people, in local time.
pub(crate) fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d").to_string()
}

/// RFC 3339 from a report, for people; as it is where it is no time.
pub(crate) fn local_of(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), local)
}

/// `in 89 days`, `3 minutes ago`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second().saturating_sub(now.as_second());
    let length = length(seconds.unsigned_abs());
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {length}"),
        _ => format!("{length} ago"),
    }
}

/// The same for a report's text.
pub(crate) fn relative_of(text: &str, now: Timestamp) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |at| relative(at, now))
}

/// Seconds in the largest unit that leaves a number worth reading.
fn length(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;
    let (size, unit) = match seconds {
        ..120 => (1, "second"),
        120..7200 => (MINUTE, "minute"),
        7200..172_800 => (HOUR, "hour"),
        172_800..63_072_000 => (DAY, "day"),
        _ => (YEAR, "year"),
    };
    count(seconds / size, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_a_unit_that_fits() {
        let now = Timestamp::from_second(2_000_000_000).unwrap();
        for (seconds, expected) in [
            (0, "now"),
            (1, "in 1 second"),
            (-90, "90 seconds ago"),
            (300, "in 5 minutes"),
            (-7200, "2 hours ago"),
            (89 * 86_400, "in 89 days"),
            (10 * 365 * 86_400, "in 10 years"),
        ] {
            let at = Timestamp::from_second(2_000_000_000 + seconds).unwrap();
            assert_eq!(relative(at, now), expected);
        }
    }
}
