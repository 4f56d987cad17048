//! What will break, as problems: what, when, and what to do before.

use agent_control::wire::{Problem, Severity};
use jiff::Timestamp;

use super::problems::{EXPIRY_NOTICE, problem};
use crate::servers::ServerStatus;
use crate::standing::foresight::{Break, Cause, NewIssuer};

/// The problems that are foreseen of a server.
#[must_use]
pub fn problems(server: &ServerStatus, now: Timestamp) -> Vec<Problem> {
    let forecast = &server.forecast;
    let mut problems = Vec::new();
    problems.extend(
        forecast.breaks.as_ref().filter(|end| end.notice_from <= now).map(|end| breaks(server, end, now)),
    );
    problems.extend(forecast.not_sent.as_ref().map(|intermediate| not_sent(server, intermediate)));
    let is_new = |new: &&NewIssuer| now.duration_since(new.since).unsigned_abs() < EXPIRY_NOTICE;
    problems.extend(forecast.new_issuer.as_ref().filter(is_new).map(|new| new_issuer(server, new)));
    problems
}

fn breaks(server: &ServerStatus, end: &Break, now: Timestamp) -> Problem {
    let url = &server.url;
    let when = format!("{} ({})", end.at, days(end.at, now));
    let fetch = format!("agentctl fetch {} --fingerprint SHA256", place(url));
    let (code, title, why, fix) = match &end.cause {
        Cause::Leaf { pinned: true, .. } => (
            "server-certificate-expires",
            format!("the certificate of {url} ends on {when}, and its fingerprint is pinned"),
            "the one that follows it will be refused until the pin is changed.".to_owned(),
            vec!["change the pin (in [[server]], or in the policy) when the server switches, or take it away".to_owned()],
        ),
        Cause::Leaf { successor_trusted: true, .. } => (
            "server-certificate-expires",
            format!("the certificate of {url} ends on {when}"),
            "a renewed one of the same issuer will be trusted by the store as it is.".to_owned(),
            vec!["have the server's certificate renewed".to_owned()],
        ),
        Cause::Leaf { successor_trusted: false, .. } => (
            "server-certificate-expires",
            format!("the certificate of {url} ends on {when}, and the store trusts that very certificate alone"),
            "the one that follows it will not be trusted: it has to be in a source before the server switches.".to_owned(),
            vec!["have the new certificate sent out now, beside the old one".to_owned(), format!("after the switch: {fetch}")],
        ),
        Cause::Anchor { fingerprint, subject } => (
            "server-anchor-expires",
            format!("the last anchor that verifies {url}, \"{subject}\", ends on {when}"),
            format!("from then on nothing verifies the server. The anchor is {fingerprint}."),
            vec!["have its successor sent out now, beside it".to_owned(), fetch],
        ),
        Cause::Intermediate { subject } => (
            "server-intermediate-expires",
            format!("the intermediate \"{subject}\" that {url} sends ends on {when}"),
            "from then on no anchor verifies the server.".to_owned(),
            vec!["have the server send the renewed intermediate".to_owned()],
        ),
    };
    problem(code, Severity::Warning, title, why, fix)
}

fn not_sent(server: &ServerStatus, intermediate: &str) -> Problem {
    problem(
        "server-intermediate-not-sent",
        Severity::Info,
        format!("{} does not send the intermediate \"{intermediate}\"", server.url),
        "the connection holds only as long as the store itself has that intermediate; with its root alone it would fail."
            .to_owned(),
        vec!["have the server send its whole chain".to_owned()],
    )
}

fn new_issuer(server: &ServerStatus, new: &NewIssuer) -> Problem {
    problem(
        "server-issuer-new",
        Severity::Info,
        format!("{} has a certificate of another issuer since {}", server.url, new.since),
        format!("it is \"{}\", and was \"{}\" before. The store verifies it.", new.issuer, new.before),
        vec![format!("if nobody announced that, ask the server's owner: agentctl connect {}", server.name)],
    )
}

/// Host and port, for a command.
fn place(url: &str) -> &str {
    url.trim_start_matches("https://").trim_end_matches('/')
}

fn days(at: Timestamp, now: Timestamp) -> String {
    match at.duration_since(now).as_hours() / 24 {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, ToSpan as _};

    use super::*;
    use crate::standing::foresight::Forecast;

    fn status(forecast: Forecast) -> ServerStatus {
        let toml = "[[server]]\nurl = \"https://mgmt.example:4726/\"\n";
        let fragment = agent_config::parse(toml, std::path::Path::new("x")).unwrap();
        let settings = agent_config::Settings::resolve(&fragment, None).unwrap();
        ServerStatus { forecast, ..ServerStatus::unknown(&settings.servers[0]) }
    }

    fn end(in_days: i64, cause: Cause) -> (Timestamp, Forecast) {
        let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let at = now + SignedDuration::from_hours(in_days * 24);
        let breaks = Break { at, notice_from: at - 720.hours(), cause };
        (now, Forecast { breaks: Some(breaks), ..Forecast::default() })
    }

    #[test]
    fn each_is_named_in_time_with_what_to_do() {
        let leaf = |successor_trusted, pinned| Cause::Leaf { successor_trusted, pinned };
        let anchor =
            Cause::Anchor { fingerprint: trust_core::Fingerprint::of(b"x"), subject: "CN=Root".to_owned() };
        let intermediate = Cause::Intermediate { subject: "CN=Issuing".to_owned() };
        for (cause, code, words) in [
            (leaf(true, false), "server-certificate-expires", "same issuer"),
            (leaf(false, false), "server-certificate-expires", "before the server switches"),
            (leaf(true, true), "server-certificate-expires", "pin"),
            (anchor, "server-anchor-expires", "nothing verifies"),
            (intermediate, "server-intermediate-expires", "no anchor verifies"),
        ] {
            let (now, forecast) = end(29, cause.clone());
            let [problem] = &problems(&status(forecast), now)[..] else { panic!("{cause:?}") };
            assert_eq!(problem.code, code);
            assert!(problem.why.contains(words), "{}", problem.why);
            assert!(
                problem.title.contains("https://mgmt.example:4726/") && problem.title.contains("in 29 days")
            );
            assert!(!problem.fix.is_empty() && problem.severity == Severity::Warning);
            let (now, forecast) = end(31, cause);
            assert_eq!(problems(&status(forecast), now), []);
        }
    }

    #[test]
    fn what_is_odd_and_holds_is_information() {
        let since: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let new = NewIssuer { issuer: "CN=New".to_owned(), before: "CN=Old".to_owned(), since };
        let forecast =
            Forecast { breaks: None, not_sent: Some("CN=Issuing".to_owned()), new_issuer: Some(new) };
        let status = status(forecast);
        let codes =
            |now| problems(&status, now).iter().map(|problem| problem.code.clone()).collect::<Vec<_>>();
        assert_eq!(codes(since), ["server-intermediate-not-sent", "server-issuer-new"]);
        assert_eq!(codes(since + 1000.hours()), ["server-intermediate-not-sent"]);
        assert!(problems(&status, since).iter().all(|problem| problem.severity == Severity::Info));
    }
}
