//! A dependency that no line of its crate names is one too many.

use std::path::PathBuf;

use crate::workspace::{Graph, Package};

pub(super) fn check(graph: &Graph, files: &[(PathBuf, String)]) -> Vec<String> {
    let ours = graph.values().filter(|package| package.ours);
    ours.flat_map(|package| unused(package, files)).collect()
}

fn unused(package: &Package, files: &[(PathBuf, String)]) -> Vec<String> {
    let own: Vec<&str> = files
        .iter()
        .filter(|(path, _)| {
            path.starts_with(&package.directory) && path.extension().is_some_and(|rs| rs == "rs")
        })
        .map(|(_, text)| text.as_str())
        .collect();
    let named = |dependency: &&String| own.iter().any(|text| names(text, dependency));
    let directory = package.directory.display();
    package
        .declared
        .iter()
        .filter(|dependency| !named(dependency))
        .map(|dependency| format!("{directory}/Cargo.toml: nothing names {dependency}"))
        .collect()
}

/// `module::` or `use module` outside of comments.
fn names(text: &str, module: &str) -> bool {
    let path = format!("{module}::");
    let whole = [format!("use {module};"), format!("use {module} as ")];
    text.lines().map(|line| line.split("//").next().unwrap_or(line)).any(|code| {
        let is_path = code
            .match_indices(&path)
            .any(|(at, _)| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'));
        is_path || whole.iter().any(|whole| code.contains(whole))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> String {
        let package = Package {
            name: "a".to_owned(),
            ours: true,
            directory: PathBuf::from("crates/a"),
            declared: vec!["serde_json".to_owned()],
            ..Package::default()
        };
        let graph = Graph::from([("a".to_owned(), package)]);
        let elsewhere = (PathBuf::from("crates/ab/src/lib.rs"), "use serde_json::Value;".to_owned());
        check(&graph, &[(PathBuf::from("crates/a/src/lib.rs"), text.to_owned()), elsewhere]).join("\n")
    }

    #[test]
    fn names_what_nothing_uses() {
        for used in
            ["use serde_json::Value;", "fn f() { serde_json::to_string(&1) }", "use serde_json as json;"]
        {
            assert_eq!(complaints(used), "", "{used}");
        }
        for unused in ["", "// serde_json::Value", "use my_serde_json::Value;", "use other::serde_json_like;"]
        {
            assert!(complaints(unused).contains("nothing names serde_json"), "{unused}");
        }
    }
}
