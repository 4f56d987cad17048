//! The direction of the data is the direction of the dependencies: docs/ARCHITECTURE.md.

use std::collections::BTreeSet;

use crate::workspace::{Graph, Package};

/// Which of our crates each may use. What is not here may use none and be used by none.
const ARROWS: &[(&str, &[&str])] = &[
    ("trust-formats", &[]),
    ("trust-core", &["trust-formats"]),
    ("trust-tls", &["trust-core", "trust-formats"]),
    ("agent-config", &["trust-core", "trust-formats"]),
    ("agent-control", &[]),
    ("agent-management", &["trust-formats", "trust-core", "trust-tls"]),
    ("agent-runtime", UP_TO_MANAGEMENT),
    ("agentd", UP_TO_RUNTIME),
    ("agentctl", UP_TO_RUNTIME),
    ("test-support", &[]),
    ("end-to-end", &[]),
    ("endurance", &["test-support"]),
    ("reliability", &["test-support"]),
    ("xtask", &[]),
];

const UP_TO_MANAGEMENT: &[&str] =
    &["trust-formats", "trust-core", "trust-tls", "agent-config", "agent-control", "agent-management"];
const UP_TO_RUNTIME: &[&str] = &[
    "trust-formats",
    "trust-core",
    "trust-tls",
    "agent-config",
    "agent-control",
    "agent-management",
    "agent-runtime",
];

/// Crates that may not have these anywhere below them, and why.
const ABSENT: &[(&[&str], &[&str], &str)] = &[
    (
        &["trust-formats", "trust-core"],
        &["tokio", "notify", "rustix", "rustls", "hyper", "tracing", "tempfile"],
        "it opens no file, reads no clock, knows no runtime and prints nothing",
    ),
    (&["agent-config"], &["tokio", "notify", "rustls"], "configuration is text to settings"),
    (&["agent-control"], &["x509-parser", "rustls", "notify"], "the wire has its own types"),
];

pub(super) fn check(graph: &Graph) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in graph.values().filter(|package| package.ours) {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            complaints.push(format!(
                "{} is a new crate: give it its place in xtask/src/tidy/direction.rs",
                package.name
            ));
            continue;
        };
        for used in package.normal.iter().filter_map(|id| graph.get(id)).filter(|used| used.ours) {
            if !allowed.contains(&used.name.as_str()) {
                complaints.push(format!("{} may not depend on {}", package.name, used.name));
            }
        }
        for (crates, absent, why) in
            ABSENT.iter().filter(|(crates, ..)| crates.contains(&package.name.as_str()))
        {
            debug_assert!(!crates.is_empty());
            for below in below(graph, package).filter(|below| absent.contains(&below.name.as_str())) {
                complaints.push(format!("{} may not have {} below it: {why}", package.name, below.name));
            }
        }
    }
    complaints
}

/// Everything that a package needs, and what that needs.
fn below<'a>(graph: &'a Graph, package: &'a Package) -> impl Iterator<Item = &'a Package> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = package.normal.iter().map(String::as_str).collect();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(graph.get(id).into_iter().flat_map(|package| &package.normal).map(String::as_str));
        }
    }
    seen.into_iter().filter_map(|id| graph.get(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(arrows: &[(&str, &[&str])]) -> Graph {
        arrows
            .iter()
            .map(|(name, normal)| {
                let normal = normal.iter().map(|&name| name.to_owned()).collect();
                let ours = ARROWS.iter().any(|(own, _)| own == name) || name.starts_with("own-");
                ((*name).to_owned(), Package { name: (*name).to_owned(), ours, normal, ..Package::default() })
            })
            .collect()
    }

    #[test]
    fn good_arrows_pass() {
        let good = graph(&[
            ("trust-formats", &["base64"]),
            ("trust-core", &["trust-formats"]),
            ("trust-tls", &["trust-core", "rustls"]),
            ("rustls", &[]),
            ("base64", &[]),
        ]);
        assert_eq!(check(&good), Vec::<String>::new());
    }

    #[test]
    fn arrows_against_the_data_are_named() {
        for (bad, words) in [
            (
                graph(&[("trust-formats", &["trust-core"]), ("trust-core", &[])]),
                "trust-formats may not depend on trust-core",
            ),
            (graph(&[("trust-core", &["agent-runtime"]), ("agent-runtime", &[])]), "may not depend"),
            (
                graph(&[("agentd", &["test-support"]), ("test-support", &[])]),
                "may not depend on test-support",
            ),
            (
                graph(&[("trust-core", &["a"]), ("a", &["b"]), ("b", &["tokio"]), ("tokio", &[])]),
                "may not have tokio",
            ),
            (graph(&[("own-new", &[])]), "its place"),
        ] {
            let complaints = check(&bad).join("\n");
            assert!(complaints.contains(words), "{complaints}: {words}");
        }
    }
}
