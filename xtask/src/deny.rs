//! `cargo xtask deny`: licences, sources, banned crates and duplicates, by the `deny.toml` that cargo-deny reads.
//!
//! cargo-deny is used where it is installed. The rules below judge what it judges, except advisories, in a second and
//! with nothing to install: building cargo-deny takes longer than building and testing this project.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;

use toml::Table;

use crate::workspace::{self, Graph};
use crate::{run, spdx};

/// Runs the check on this workspace.
pub(crate) fn run() -> Result<(), String> {
    let path = workspace::root().join("deny.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let rules = read(&text)?;
    if has_cargo_deny() {
        run::run(
            run::cargo()
                .args(["deny", "--locked", "check", "bans", "licenses", "sources"])
                .current_dir(workspace::root()),
        )?;
    }
    let graph = workspace::graph(&rules.targets)?;
    let complaints = judge(&graph, &rules);
    if !complaints.is_empty() {
        return Err(format!("dependencies:\n  {}", complaints.join("\n  ")));
    }
    run::say(&format!("deny: {} packages are as deny.toml wants them", graph.len()));
    Ok(())
}

/// What `deny.toml` says.
#[derive(Debug, Default)]
struct Rules {
    targets: Vec<String>,
    licenses: BTreeSet<String>,
    registries: BTreeSet<String>,
    banned: BTreeMap<String, String>,
    /// Crates that may be there in more than one version.
    skipped: BTreeSet<String>,
}

/// Judges every dependency.
fn judge(graph: &Graph, rules: &Rules) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in graph.values().filter(|package| !package.ours) {
        let name = format!("{} {}", package.name, package.version);
        versions.entry(&package.name).or_default().insert(&package.version);
        match package.license.as_deref().map(|license| (license, spdx::is_allowed(license, &rules.licenses)))
        {
            None => complaints.push(format!("{name} names no licence")),
            Some((license, Ok(false))) => complaints.push(format!("{name}: {license} is not allowed")),
            Some((_, Err(error))) => complaints.push(format!("{name}: {error}")),
            Some((_, Ok(true))) => {}
        }
        match package.source.as_deref().and_then(|source| source.strip_prefix("registry+")) {
            Some(registry) if rules.registries.contains(registry) => {}
            _ => complaints.push(format!("{name} comes from {:?}", package.source)),
        }
        if let Some(reason) = rules.banned.get(&package.name) {
            complaints.push(format!("{name} is banned: {reason}"));
        }
    }
    for (name, versions) in versions {
        if versions.len() > 1 && !rules.skipped.contains(name) {
            let list = versions.into_iter().collect::<Vec<_>>().join(", ");
            complaints.push(format!(
                "{name} is there {list}: one will do, or name it in [bans] skip with a reason"
            ));
        }
    }
    complaints
}

fn has_cargo_deny() -> bool {
    let mut probe = run::cargo();
    probe.args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

fn read(text: &str) -> Result<Rules, String> {
    let table: Table = text.parse().map_err(|error| format!("deny.toml: {error}"))?;
    let section = |name: &str| table.get(name).and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let strings = |section: &Table, key: &str| -> Vec<String> {
        let entries = section.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
        entries.iter().filter_map(name_of).collect()
    };
    let (graph, licenses, bans, sources) =
        (section("graph"), section("licenses"), section("bans"), section("sources"));
    let banned = bans.get("deny").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    Ok(Rules {
        targets: strings(&graph, "targets"),
        licenses: strings(&licenses, "allow").into_iter().collect(),
        registries: strings(&sources, "allow-registry").into_iter().collect(),
        banned: banned.iter().filter_map(|entry| Some((name_of(entry)?, reason_of(entry)))).collect(),
        skipped: strings(&bans, "skip").into_iter().collect(),
    })
}

/// An entry is a name, or a table with one; a version after the name is for cargo-deny.
fn name_of(entry: &toml::Value) -> Option<String> {
    let name = entry.as_str().or_else(|| entry.get("crate").or_else(|| entry.get("triple"))?.as_str())?;
    Some(name.split('@').next().unwrap_or(name).to_owned())
}

fn reason_of(entry: &toml::Value) -> String {
    entry.get("reason").and_then(toml::Value::as_str).unwrap_or("no reason given").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    const RULES: &str = r#"
        [licenses]
        allow = ["MIT"]
        [bans]
        deny = [{ crate = "bad", reason = "it is bad" }]
        skip = [{ crate = "twice@1", reason = "two of them need different ones" }]
        [sources]
        allow-registry = ["https://registry.example"]
    "#;

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            license: Some("MIT".to_owned()),
            source: Some("registry+https://registry.example".to_owned()),
            ..Package::default()
        }
    }

    fn complaints(packages: Vec<Package>) -> String {
        let graph = packages.into_iter().enumerate().map(|(id, package)| (id.to_string(), package)).collect();
        judge(&graph, &read(RULES).unwrap()).join("\n")
    }

    #[test]
    fn good_ones_pass() {
        let ours = Package { ours: true, license: None, source: None, ..package("ours", "1") };
        assert_eq!(
            complaints(vec![ours, package("a", "1"), package("twice", "1"), package("twice", "2")]),
            ""
        );
    }

    #[test]
    fn every_kind_of_bad_one_is_named() {
        let a = || package("a", "1");
        for (bad, words) in [
            (vec![Package { license: None, ..a() }], "names no licence"),
            (vec![Package { license: Some("GPL-3.0".to_owned()), ..a() }], "not allowed"),
            (vec![Package { source: None, ..a() }], "comes from"),
            (vec![Package { source: Some("git+https://registry.example".to_owned()), ..a() }], "comes from"),
            (vec![package("bad", "1")], "it is bad"),
            (vec![a(), package("a", "2")], "one will do"),
        ] {
            let complaints = complaints(bad);
            assert!(complaints.contains(words), "{complaints}: {words}");
        }
    }
}
