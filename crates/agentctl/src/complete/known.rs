//! The values that a store knows: its anchors, generations, servers. From files that are read as far as that takes.

use std::path::Path;

use agent_config::Settings;
use agent_runtime::endpoint::Endpoint;

use super::walk::{Candidate, Typed};

/// What an argument is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An anchor of the store.
    Anchor,
    /// A certificate that is distrusted by order.
    Distrusted,
    /// A generation that is kept.
    Generation,
    /// What `diff` compares, besides files.
    Operand,
    /// A configured server, by its name.
    Server,
    /// A configured server, by host and port.
    Host,
    /// A source that `fetch` writes to.
    Target,
}

/// Which argument of which command has which values.
const ARGUMENTS: [(&str, &str, Kind); 9] = [
    ("show", "anchor", Kind::Anchor),
    ("distrust", "anchor", Kind::Anchor),
    ("trust", "anchor", Kind::Distrusted),
    ("rollback", "generation", Kind::Generation),
    ("diff", "from", Kind::Operand),
    ("diff", "to", Kind::Operand),
    ("connect", "server", Kind::Server),
    ("fetch", "server", Kind::Host),
    ("fetch", "to", Kind::Target),
];

impl Kind {
    /// What the values of this argument are, where a store knows them.
    pub(super) fn of(command: &str, argument: &str) -> Option<Self> {
        let found = ARGUMENTS.iter().find(|(of, named, _)| (*of, *named) == (command, argument));
        found.map(|(_, _, kind)| *kind)
    }
}

/// The values of a kind; none where they cannot be read.
pub(super) fn values(kind: Kind, typed: &Typed) -> Vec<Candidate> {
    if kind == Kind::Target {
        return words(&[
            ("bootstrap", "what the agent fetched itself"),
            ("site", "site and package servers"),
        ]);
    }
    let root = typed.root.as_deref().and_then(|root| std::path::absolute(root).ok());
    let Ok(settings) = agent_runtime::config::load(typed.config.as_deref(), root.as_deref()) else {
        return Vec::new();
    };
    match kind {
        Kind::Anchor => anchors(&settings.store.merged),
        Kind::Distrusted => distrusted(&settings, root.as_deref()),
        Kind::Generation => generations(&settings, root.as_deref()),
        Kind::Operand => {
            let mut operands =
                words(&[("store", "the store in force"), ("sources", "what the sources say now")]);
            operands.extend(generations(&settings, root.as_deref()));
            operands
                .extend(servers(&settings, |server| server.url.as_str().trim_end_matches('/').to_owned()));
            operands
        }
        Kind::Server => servers(&settings, |server| server.name.clone()),
        Kind::Host => servers(&settings, |server| {
            let target = agent_runtime::servers::target(server);
            match target.port {
                443 => target.host,
                port => format!("{}:{port}", target.host),
            }
        }),
        Kind::Target => Vec::new(),
    }
}

fn words(words: &[(&str, &str)]) -> Vec<Candidate> {
    words.iter().map(|(value, description)| candidate(*value, *description)).collect()
}

fn candidate(value: impl Into<String>, description: impl Into<String>) -> Candidate {
    Candidate { value: value.into(), description: description.into() }
}

fn servers(settings: &Settings, spelled: impl Fn(&agent_config::Server) -> String) -> Vec<Candidate> {
    settings.servers.iter().map(|server| candidate(spelled(server), server.url.as_str())).collect()
}

/// From the comments of the store, which everybody may read.
fn anchors(merged: &Path) -> Vec<Candidate> {
    let anchors = crate::names::index(merged);
    let length = unique_length(anchors.iter().map(|(sha256, _)| sha256.as_str()).collect());
    let short = |sha256: String| sha256.get(..length).unwrap_or(&sha256).to_owned();
    anchors.into_iter().map(|(sha256, subject)| candidate(short(sha256), subject)).collect()
}

/// So many digits as tell them all apart, and never fewer than the tables show.
fn unique_length(mut sorted: Vec<&str>) -> usize {
    const SHOWN: usize = 8;
    sorted.sort_unstable();
    let common = |pair: &[&str]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    sorted.windows(2).map(|pair| common(pair) + 1).max().unwrap_or_default().max(SHOWN)
}

fn distrusted(settings: &Settings, root: Option<&Path>) -> Vec<Candidate> {
    let Some(state) = Endpoint::new(settings, root).state().load().ok().flatten() else { return Vec::new() };
    let all: Vec<String> = state.bans.iter().map(|ban| ban.fingerprint.to_string()).collect();
    let length = unique_length(all.iter().map(String::as_str).collect());
    let short = |sha256: &String| sha256.get(..length).unwrap_or(sha256).to_owned();
    all.iter().zip(&state.bans).map(|(sha256, ban)| candidate(short(sha256), ban.reason.as_str())).collect()
}

fn generations(settings: &Settings, root: Option<&Path>) -> Vec<Candidate> {
    let endpoint = Endpoint::new(settings, root);
    let history = endpoint.history();
    let described = |number: u64| {
        let published = history.glance(number);
        let words =
            published.map_or_else(String::new, |(at, by)| format!("{} by {by}", crate::words::local(at)));
        candidate(number.to_string(), words)
    };
    history.numbers().into_iter().rev().map(described).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_argument_of_the_table_exists() {
        let command = Cli::command();
        let show = command.find_subcommand("anchors").and_then(|anchors| anchors.find_subcommand("show"));
        for (name, argument, _) in ARGUMENTS {
            let found = command.find_subcommand(name).or(show).expect("a command");
            assert_eq!(found.get_name(), name);
            assert!(found.get_arguments().any(|arg| arg.get_id().as_str() == argument), "{name} {argument}");
        }
    }

    #[test]
    fn anchors_are_told_apart_by_as_few_digits_as_do() {
        assert_eq!(unique_length(vec!["aabb0011223344", "ffee"]), 8);
        assert_eq!(unique_length(vec!["aabb00112233", "aabb00112244"]), 11);
        assert_eq!(unique_length(Vec::new()), 8);
    }
}
