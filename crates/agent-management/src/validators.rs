//! What a server remembers a file by (RFC 9110 §8.8), and when that may be relied on.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::{Deserialize, Serialize};

/// What a server remembers a file by, as it said it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

impl Validators {
    /// Those that tell this content from the next one: none where the file was changed so shortly before the answer of this
    /// `Date` that it may have been changed once more in the same second.
    ///
    /// nginx (measured), Apache and Caddy make their `ETag` of time and size, so a second index of one second and one size
    /// would be "not modified" for ever. RFC 9110 §8.8.2.2 has this rule for `Last-Modified`. Asked without validators, the
    /// server sends the content again, once.
    #[must_use]
    pub fn reliable(self, date: Option<&str>) -> Self {
        let (Some(changed), Some(answered)) =
            (self.last_modified.as_deref().and_then(parse), date.and_then(parse))
        else {
            return self;
        };
        let age = Duration::try_from(answered.duration_since(changed)).unwrap_or_default();
        if age < SETTLED { Self::default() } else { self }
    }
}

fn parse(date: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(date).ok()
}

/// A file of this age does not change again within the second that its time names.
const SETTLED: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_this_very_second_is_not_remembered_by_its_time() {
        let (none, date) = (Validators::default(), "Sun, 06 Nov 1994 08:49:37 GMT");
        let of = |last_modified: Option<&str>| Validators {
            etag: Some("\"1\"".to_owned()),
            last_modified: last_modified.map(str::to_owned),
        };
        for (last_modified, date, kept) in [
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), Some(date), false),
            (Some("Sun, 06 Nov 1994 08:49:36 GMT"), Some(date), false),
            (Some("Sun, 06 Nov 1994 08:49:35 GMT"), Some(date), true),
            // From the future, as it says: its time means nothing.
            (Some("Sat, 06 Nov 2094 08:49:35 GMT"), Some(date), false),
            // Nothing to compare.
            (None, Some(date), true),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), None, true),
            (Some("yesterday"), Some(date), true),
        ] {
            let all = of(last_modified);
            assert_eq!(
                all.clone().reliable(date),
                if kept { all } else { none.clone() },
                "{last_modified:?} {date:?}"
            );
        }
    }
}
