//! The status as metrics, in the text format of Prometheus: for node_exporter's textfile collector.
//!
//! Certificates bear the names and labels of x509-certificate-exporter, so that its dashboards and alerts work as they
//! are; everything else begins with `agentd_`.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use agent_control::wire::{AnchorsReport, Health, Severity, StatusReport};
use jiff::Timestamp;

/// Draws the metrics from the reports that `agentctl status` and `agentctl anchors list` show.
#[must_use]
pub fn metrics(status: &StatusReport, anchors: &AnchorsReport, now: Timestamp) -> String {
    let mut page = Page::default();
    daemon(&mut page, status, now);
    store(&mut page, status);
    sources(&mut page, status);
    servers(&mut page, status);
    certificates(&mut page, status, anchors);
    page.0
}

fn daemon(page: &mut Page, status: &StatusReport, now: Timestamp) {
    if let Some(daemon) = &status.daemon {
        page.family("agentd_build_info", "The version that runs.");
        page.sample("agentd_build_info", &[("version", &daemon.version)], 1);
        page.family("agentd_start_time_seconds", "When it started.");
        page.at("agentd_start_time_seconds", &[], Some(&daemon.started));
        page.family("agentd_watch_degraded", "1 while some source is only looked at on a timer.");
        page.sample("agentd_watch_degraded", &[], u8::from(daemon.watching.degraded));
    }
    page.family(
        "agentd_written_timestamp_seconds",
        "When this was written: old means that nobody writes it any more.",
    );
    page.sample("agentd_written_timestamp_seconds", &[], now.as_second());
    page.family("agentd_health", "The verdict: 1 for the state that holds.");
    for (word, health) in [("ok", Health::Ok), ("degraded", Health::Degraded), ("failed", Health::Failed)] {
        page.sample("agentd_health", &[("state", word)], u8::from(status.health == health));
    }
    let mut problems = BTreeMap::new();
    for problem in &status.problems {
        let severity = match problem.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        *problems.entry((problem.code.as_str(), severity)).or_insert(0_u64) += 1;
    }
    page.family("agentd_problems", "How many problems there are of each code.");
    for ((code, severity), count) in problems {
        page.sample("agentd_problems", &[("code", code), ("severity", severity)], count);
    }
}

fn store(page: &mut Page, status: &StatusReport) {
    let store = &status.store;
    page.family("agentd_store_generation", "Number of the last publication; 0 before the first.");
    page.sample("agentd_store_generation", &[], store.generation);
    page.family("agentd_store_anchors", "Anchors in the store.");
    page.sample("agentd_store_anchors", &[], store.anchors);
    page.family("agentd_store_retained_anchors", "Anchors that are kept though no source has them any more.");
    page.sample("agentd_store_retained_anchors", &[], store.retained.len());
    page.family("agentd_store_held", "1 while the store is kept as it was against its sources.");
    page.sample("agentd_store_held", &[], u8::from(store.held.is_some()));
    page.family("agentd_store_published_timestamp_seconds", "When the store was last published.");
    page.at("agentd_store_published_timestamp_seconds", &[], store.published_at.as_deref());
}

fn sources(page: &mut Page, status: &StatusReport) {
    page.family("agentd_source_anchors", "Anchors in a source.");
    for source in &status.sources {
        page.sample(
            "agentd_source_anchors",
            &[("kind", &source.kind), ("path", &source.path)],
            source.anchors,
        );
    }
    page.family("agentd_source_rejected", "Blocks of a source that are no anchors.");
    for source in &status.sources {
        let labels = [("kind", source.kind.as_str()), ("path", source.path.as_str())];
        page.sample("agentd_source_rejected", &labels, source.rejected.len());
    }
    page.family("agentd_source_state", "The condition of a source, as its label.");
    for source in &status.sources {
        let labels = [("kind", source.kind.as_str()), ("path", &source.path), ("state", &source.state)];
        page.sample("agentd_source_state", &labels, 1);
    }
    page.family("agentd_source_last_look_timestamp_seconds", "When a source was last looked at.");
    for source in &status.sources {
        let labels = [("kind", source.kind.as_str()), ("path", source.path.as_str())];
        page.at("agentd_source_last_look_timestamp_seconds", &labels, source.last_looked.as_deref());
    }
}

fn servers(page: &mut Page, status: &StatusReport) {
    page.family("agentd_server_lock", "How a server was last reached, as its label.");
    for server in &status.servers {
        let lock = server.lock.as_deref().unwrap_or("unknown");
        let labels = [("server", server.name.as_str()), ("url", &server.url), ("lock", lock)];
        page.sample("agentd_server_lock", &labels, 1);
    }
    page.family("agentd_server_failing", "1 while the last attempt to reach a server failed.");
    for server in &status.servers {
        let labels = [("server", server.name.as_str()), ("reason", server.reason.as_deref().unwrap_or(""))];
        page.sample("agentd_server_failing", &labels, u8::from(server.error.is_some()));
    }
    page.family(
        "agentd_server_breaks_timestamp_seconds",
        "When a server will be refused if nothing changes.",
    );
    for server in &status.servers {
        let labels = [("server", server.name.as_str())];
        page.at("agentd_server_breaks_timestamp_seconds", &labels, server.breaks_at.as_deref());
    }
    page.family("agentd_server_last_ok_timestamp_seconds", "When a server was last verified.");
    for server in &status.servers {
        let labels = [("server", server.name.as_str())];
        page.at("agentd_server_last_ok_timestamp_seconds", &labels, server.last_ok.as_deref());
    }
}

fn certificates(page: &mut Page, status: &StatusReport, anchors: &AnchorsReport) {
    let path = status.store.path.as_str();
    let file = path.rsplit('/').next().unwrap_or(path);
    let of = |anchor: &agent_control::wire::AnchorReport| {
        vec![
            ("filename", file.to_owned()),
            ("filepath", path.to_owned()),
            ("issuer_CN", common_name(&anchor.issuer).to_owned()),
            ("subject_CN", common_name(&anchor.subject).to_owned()),
            // Not one of that exporter's: two anchors may have all else in common.
            ("sha256", anchor.fingerprint.clone()),
        ]
    };
    let labelled: Vec<_> = anchors.anchors.iter().map(|anchor| (anchor, of(anchor))).collect();
    let borrowed = |labels: &[(&'static str, String)], page: &mut Page, name: &str, at: &str| {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        page.at(name, &labels, Some(at));
    };
    page.family("x509_cert_not_before", "Start of an anchor's validity.");
    for (anchor, labels) in &labelled {
        borrowed(labels, page, "x509_cert_not_before", &anchor.not_before);
    }
    page.family("x509_cert_not_after", "End of an anchor's validity.");
    for (anchor, labels) in &labelled {
        borrowed(labels, page, "x509_cert_not_after", &anchor.not_after);
    }
    page.family("x509_cert_expired", "1 for an anchor whose validity is over.");
    for (anchor, labels) in &labelled {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        page.sample("x509_cert_expired", &labels, u8::from(anchor.status == "expired"));
    }
    page.family("x509_read_errors", "Sources that could not be read.");
    page.sample(
        "x509_read_errors",
        &[],
        status.sources.iter().filter(|source| source.error.is_some()).count(),
    );
}

/// The last common name of a name for people; all of it where there is none.
fn common_name(name: &str) -> &str {
    name.rsplit(", ").find_map(|part| part.strip_prefix("CN=")).unwrap_or(name)
}

/// The text of the metrics.
#[derive(Default)]
struct Page(String);

impl Page {
    /// Begins a metric. All of them are gauges: each tells how things are.
    fn family(&mut self, name: &str, help: &str) {
        let _written = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _written = write!(self.0, "{before}{label}=\"{}\"", escaped(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _written = writeln!(self.0, "{close} {value}");
    }

    /// A moment as seconds since 1970; what did not happen has no sample.
    fn at(&mut self, name: &str, labels: &[(&str, &str)], moment: Option<&str>) {
        if let Some(moment) = moment.and_then(|moment| moment.parse::<Timestamp>().ok()) {
            self.sample(name, labels, moment.as_second());
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_control::wire::{AnchorReport, Problem, ServerReport, StoreReport};

    fn status() -> StatusReport {
        let mut status = StatusReport::new(StoreReport {
            path: "/var/lib/agentd/cainfo-merged.pem".to_owned(),
            generation: 7,
            sha256: None,
            anchors: 2,
            retained: vec!["ab".to_owned()],
            held: None,
            rollback: None,
            distrusted: Vec::new(),
            published_at: Some("1970-01-01T00:01:00Z".to_owned()),
        });
        status.health = Health::Degraded;
        let problem = |code: &str| Problem {
            code: code.to_owned(),
            severity: Severity::Warning,
            title: String::new(),
            why: String::new(),
            fix: Vec::new(),
        };
        status.problems =
            vec![problem("anchor-expires"), problem("source-missing"), problem("anchor-expires")];
        status.servers = vec![ServerReport {
            name: "a \"b\"\\\nc".to_owned(),
            url: "https://a/".to_owned(),
            lock: None,
            last_ok: None,
            anchor: None,
            error: None,
            reason: None,
            reasons: Vec::new(),
            breaks_at: Some("1970-01-01T00:02:00Z".to_owned()),
        }];
        status
    }

    fn anchors() -> AnchorsReport {
        let anchor = |number: u64, subject: &str, status: &str| AnchorReport {
            number,
            fingerprint: format!("{number:064x}"),
            subject: subject.to_owned(),
            issuer: "O=Corp, CN=Corp Root".to_owned(),
            not_before: "1969-12-31T23:59:59Z".to_owned(),
            not_after: "2026-11-27T00:00:00Z".to_owned(),
            status: status.to_owned(),
            kind: "ca".to_owned(),
            sources: Vec::new(),
            standing: "source".to_owned(),
        };
        let anchors = vec![anchor(1, "O=Corp, CN=Corp Root", "valid"), anchor(2, "O=Old", "expired")];
        AnchorsReport { generation: 7, anchors }
    }

    #[test]
    fn says_what_the_reports_say() {
        let page = metrics(&status(), &anchors(), Timestamp::UNIX_EPOCH);
        for line in [
            "agentd_health{state=\"degraded\"} 1",
            "agentd_health{state=\"ok\"} 0",
            "agentd_problems{code=\"anchor-expires\",severity=\"warning\"} 2",
            "agentd_store_generation 7",
            "agentd_store_retained_anchors 1",
            "agentd_store_published_timestamp_seconds 60",
            "agentd_server_lock{server=\"a \\\"b\\\"\\\\\\nc\",url=\"https://a/\",lock=\"unknown\"} 1",
            "x509_read_errors 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{page}\n{line}");
        }
        let end = page.lines().find(|line| line.starts_with("x509_cert_not_after{")).unwrap();
        for part in ["filename=\"cainfo-merged.pem\"", "subject_CN=\"Corp Root\"", "} 1795737600"] {
            assert!(end.contains(part), "{end}: {part}");
        }
        assert!(page.contains("subject_CN=\"O=Old\""));
        assert!(page.contains("x509_cert_not_before{") && page.contains("} -1\n"));
    }

    #[test]
    fn every_sample_belongs_to_the_family_above_it_and_comes_once() {
        let page = metrics(&status(), &anchors(), Timestamp::UNIX_EPOCH);
        let mut family = "";
        let mut seen = std::collections::BTreeSet::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert_eq!(name, family, "{line}");
                assert!(seen.insert(line.rsplit_once(' ').unwrap().0), "twice: {line}");
            }
        }
    }

    #[test]
    fn alerts_dashboard_and_promises_name_what_exists() {
        let page = metrics(&status(), &anchors(), Timestamp::UNIX_EPOCH);
        for text in [
            include_str!("../../../../packaging/monitoring/agentd.rules.yml"),
            include_str!("../../../../packaging/monitoring/agentd-dashboard.json"),
            include_str!("../../../../docs/INTERFACES.md"),
        ] {
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let names: Vec<&str> =
                words.filter(|word| word.starts_with("agentd_") || word.starts_with("x509_")).collect();
            assert!(!names.is_empty());
            for name in names.iter().filter(|name| !OF_A_DAEMON.contains(name)) {
                assert!(page.contains(&format!("# TYPE {name} gauge\n")), "{name}");
            }
        }
    }

    const OF_A_DAEMON: &[&str] = &["agentd_build_info", "agentd_start_time_seconds", "agentd_watch_degraded"];
}
