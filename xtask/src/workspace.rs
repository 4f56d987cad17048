//! The workspace as cargo sees it, and its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or_else(|| manifest.to_owned(), Path::to_owned)
}

/// A package of the dependency graph.
#[derive(Debug, Default, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Part of the workspace.
    pub(crate) ours: bool,
    /// Its licence expression.
    pub(crate) license: Option<String>,
    /// Where it comes from; `None` where that is a path.
    pub(crate) source: Option<String>,
    /// Packages that it needs to be built and run, not to be tested, by identity.
    pub(crate) normal: BTreeSet<String>,
}

/// The packages of the graph by identity.
pub(crate) type Graph = BTreeMap<String, Package>;

/// The graph for these targets together; for every platform where there are none.
pub(crate) fn graph(targets: &[String]) -> Result<Graph, String> {
    let mut graph = Graph::new();
    let everywhere = [String::new()];
    for target in if targets.is_empty() { &everywhere } else { targets } {
        let mut cargo = run::cargo();
        cargo.args(["metadata", "--format-version", "1", "--locked", "--all-features"]).current_dir(root());
        if !target.is_empty() {
            cargo.args(["--filter-platform", target]);
        }
        let metadata: Value = serde_json::from_slice(&run::output(&mut cargo)?)
            .map_err(|error| format!("cargo metadata: {error}"))?;
        let used = really_used(target)?;
        add(&mut graph, &metadata, &used).ok_or("cargo metadata has another form than ours knows")?;
    }
    Ok(graph)
}

/// Name and version of what is compiled for a target. Metadata also lists optional packages that no feature enables.
fn really_used(target: &str) -> Result<BTreeSet<(String, String)>, String> {
    let mut cargo = run::cargo();
    cargo.args(["tree", "--locked", "--workspace", "--all-features", "--prefix", "none", "--format", "{p}"]);
    cargo.args(["--target", if target.is_empty() { "all" } else { target }]).current_dir(root());
    let text = String::from_utf8_lossy(&run::output(&mut cargo)?).into_owned();
    let package = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        Some((name.to_owned(), rest.split(' ').next()?.to_owned()))
    };
    Ok(text.lines().filter_map(package).collect())
}

fn add(graph: &mut Graph, metadata: &Value, used: &BTreeSet<(String, String)>) -> Option<()> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array()?.iter().filter_map(Value::as_str).collect();
    let packages: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()?
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    for node in metadata["resolve"]["nodes"].as_array()? {
        let id = node["id"].as_str()?;
        let package = packages.get(id)?;
        if !used.contains(&(text(&package["name"])?, text(&package["version"])?)) {
            continue;
        }
        let entry = graph.entry(id.to_owned()).or_default();
        entry.name = text(&package["name"])?;
        entry.version = text(&package["version"])?;
        entry.ours = members.contains(id);
        entry.license = text(&package["license"]);
        entry.source = text(&package["source"]);
        for dependency in node["deps"].as_array()? {
            if dependency["dep_kinds"].as_array()?.iter().any(|kind| kind["kind"].is_null()) {
                entry.normal.insert(text(&dependency["pkg"])?);
            }
        }
    }
    Some(())
}

/// The project's own files with their text, relative to the root, sorted; what is not text is left out.
pub(crate) fn files() -> Result<Vec<(PathBuf, String)>, String> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        let entries =
            fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let kind = entry.file_type().map_err(|error| format!("{}: {error}", path.display()))?;
            if kind.is_dir() && !matches!(name.to_str(), Some("target" | ".git" | "corpus" | "artifacts")) {
                open.push(path);
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.push((path.strip_prefix(&root).unwrap_or(&path).to_owned(), text));
            }
        }
    }
    found.sort();
    Ok(found)
}
