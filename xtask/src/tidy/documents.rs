//! Words: nothing is left for later, and every variable that a document or a unit names is read by the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Marks of what is not finished. Written in halves, so that this file does not find itself.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("HA", "CK:")];

/// The directories of one person's machine.
const MACHINES: &[&str] = &[concat!("/wo", "rk/")];

/// Our own variables begin so.
const PREFIX: &str = concat!("AGENT", "D_");

pub(super) fn check(files: &[(PathBuf, String)]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| !path.ends_with("Cargo.lock")) {
        for (index, line) in text.lines().enumerate() {
            for word in UNFINISHED.iter().chain(MACHINES).filter(|word| line.contains(**word)) {
                complaints.push(format!("{}:{}: {word}", path.display(), index + 1));
            }
        }
    }
    complaints.extend(unknown_variables(files));
    complaints
}

fn unknown_variables(files: &[(PathBuf, String)]) -> Vec<String> {
    let is_code = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let known: BTreeSet<String> =
        files.iter().filter(|(path, _)| is_code(path)).flat_map(|(_, text)| variables(text)).collect();
    let mut complaints = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| !is_code(path)) {
        for (index, line) in text.lines().enumerate() {
            let ours = variables(line);
            let in_unit =
                line.strip_prefix("Environment=").and_then(|rest| rest.trim_matches('"').split('=').next());
            for name in ours.chain(in_unit.map(str::to_owned)).filter(|name| !known.contains(name)) {
                complaints.push(format!("{}:{}: no code reads {name}", path.display(), index + 1));
            }
        }
    }
    complaints
}

/// The names with our prefix in a text.
fn variables(text: &str) -> impl Iterator<Item = String> {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.split(move |c| !is_name(c))
        .filter(|word| word.starts_with(PREFIX) && word.len() > PREFIX.len())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(files: &[(&str, String)]) -> String {
        let files: Vec<_> = files.iter().map(|(path, text)| (PathBuf::from(path), text.clone())).collect();
        check(&files).join("\n")
    }

    #[test]
    fn documents_name_what_exists() {
        let code = ("crates/a/src/lib.rs", format!("const NAME: &str = \"{PREFIX}CONFIG\";"));
        assert_eq!(complaints(&[code.clone(), ("README.md", format!("Set {PREFIX}CONFIG=/etc/x."))]), "");
        for (path, text, words) in [
            ("README.md", format!("Set {PREFIX}CONFIGURATION=/etc/x."), "no code reads"),
            (
                "systemd/agentd.service",
                "[Service]\nEnvironment=RUST_LOG=info".to_owned(),
                "agentd.service:2: no code reads RUST_LOG",
            ),
            ("docs/A.md", format!("one\n{}: later", UNFINISHED[0]), "A.md:2"),
            ("docs/A.md", format!("see {}notes", MACHINES[0]), "A.md:1"),
        ] {
            let complaints = complaints(&[code.clone(), (path, text)]);
            assert!(complaints.contains(words), "{complaints}: {words}");
        }
    }
}
