//! Which redirects are followed: those that stay where we are.

use url::Url;

use crate::failure::{Failure, RedirectProblem};

/// A moved file and perhaps a trailing slash; more is a loop.
pub const MOST: usize = 3;

/// Where a redirect leads, if it may be followed: to the same scheme, host and port. Elsewhere would be another
/// server, which was not configured and may have other rights.
///
/// # Errors
/// [`Failure::Redirect`] with the reason.
pub fn follow(from: &Url, location: Option<&str>, followed: usize) -> Result<Url, Failure> {
    let refuse = |to: String, problem| Err(Failure::Redirect { from: shown(from), to, problem });
    let Some(to) = location.and_then(|location| from.join(location).ok()) else {
        return refuse(String::new(), RedirectProblem::Garbled);
    };
    let origin = to.origin().ascii_serialization();
    if to.scheme() == "http" {
        refuse(origin, RedirectProblem::Plain)
    } else if to.origin() != from.origin() || !to.username().is_empty() || to.password().is_some() {
        refuse(origin, RedirectProblem::Elsewhere)
    } else if followed >= MOST {
        refuse(origin, RedirectProblem::TooMany)
    } else {
        Ok(to)
    }
}

/// A URL for messages: without a query, which may hold secrets, and without user and password.
#[must_use]
pub fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_within_the_origin() {
        let from = Url::parse("https://smp.example/policies/index.json?key=secret").unwrap();
        for (location, expected) in [
            (Some("/v2/index.json"), Ok("https://smp.example/v2/index.json")),
            (Some("index2.json"), Ok("https://smp.example/policies/index2.json")),
            (Some("https://smp.example:443/a"), Ok("https://smp.example/a")),
            (Some("//smp.example/a"), Ok("https://smp.example/a")),
            (Some("https://smp.example:8443/a"), Err("redirect-elsewhere")),
            (Some("https://evil.example/a"), Err("redirect-elsewhere")),
            (Some("https://u:p@smp.example/a"), Err("redirect-elsewhere")),
            (Some("file:///etc/passwd"), Err("redirect-elsewhere")),
            (Some("http://smp.example/a"), Err("redirect-plain")),
            (Some("http://login.wifi/?token=secret"), Err("redirect-plain")),
            (Some("https://[bad"), Err("redirect-bad")),
            (None, Err("redirect-bad")),
        ] {
            let found = follow(&from, location, 0);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_str(), expected),
                (Err(failure), Err(code)) => {
                    assert_eq!(failure.code(), code, "{location:?}");
                    assert!(!failure.to_string().contains("secret"), "{failure}");
                }
                (found, _) => panic!("{location:?}: {found:?}"),
            }
        }
        assert_eq!(follow(&from, Some("/a"), MOST).unwrap_err().code(), "redirect-bad");
    }
}
