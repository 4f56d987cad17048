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

/// The version of the workspace.
pub(crate) fn version() -> Result<String, String> {
    let mut cargo = run::cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked", "--no-deps"]).current_dir(root());
    let metadata: Value = serde_json::from_slice(&run::output(&mut cargo)?)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array();
    let ours = packages.and_then(|packages| packages.iter().find(|package| package["name"] == "agentd"));
    let version = ours.and_then(|package| package["version"].as_str());
    version.map(str::to_owned).ok_or_else(|| "cargo metadata names no version of agentd".to_owned())
}

/// A package of the dependency graph.
#[derive(Debug, Default, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Part of the workspace.
    pub(crate) ours: bool,
    /// Where it is, relative to the root; empty where it is not ours.
    pub(crate) directory: PathBuf,
    /// What its manifest declares, by the names that its code uses.
    pub(crate) declared: Vec<String>,
    /// Packages that it needs to be built and run, not to be tested, by identity.
    pub(crate) normal: BTreeSet<String>,
}

/// The packages of the graph by identity.
pub(crate) type Graph = BTreeMap<String, Package>;

/// The graph for all platforms and with all features.
pub(crate) fn graph() -> Result<Graph, String> {
    let mut cargo = run::cargo();
    cargo.args(["metadata", "--format-version", "1", "--locked", "--all-features"]).current_dir(root());
    let metadata: Value = serde_json::from_slice(&run::output(&mut cargo)?)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    read(&metadata, &really_used()?)
        .ok_or_else(|| "cargo metadata has another form than ours knows".to_owned())
}

/// Name and version of what is compiled. Metadata also lists optional packages that no feature enables.
fn really_used() -> Result<BTreeSet<(String, String)>, String> {
    let mut cargo = run::cargo();
    cargo.args(["tree", "--locked", "--workspace", "--all-features", "--prefix", "none", "--format", "{p}"]);
    cargo.args(["--target", "all"]).current_dir(root());
    let text = String::from_utf8_lossy(&run::output(&mut cargo)?).into_owned();
    let package = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        Some((name.to_owned(), rest.split(' ').next()?.to_owned()))
    };
    Ok(text.lines().filter_map(package).collect())
}

fn read(metadata: &Value, used: &BTreeSet<(String, String)>) -> Option<Graph> {
    let mut graph = Graph::new();
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
        entry.ours = members.contains(id);
        if entry.ours {
            let manifest = Path::new(package["manifest_path"].as_str()?);
            entry.directory = manifest.parent()?.strip_prefix(root()).ok()?.to_owned();
            entry.declared = node["deps"].as_array()?.iter().filter_map(|used| text(&used["name"])).collect();
        }
        for dependency in node["deps"].as_array()? {
            if dependency["dep_kinds"].as_array()?.iter().any(|kind| kind["kind"].is_null()) {
                entry.normal.insert(text(&dependency["pkg"])?);
            }
        }
    }
    Some(graph)
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
            // In a worktree `.git` is a file that names a directory of the machine.
            if matches!(name.to_str(), Some("target" | ".git" | "corpus" | "artifacts")) {
                continue;
            }
            if kind.is_dir() {
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
