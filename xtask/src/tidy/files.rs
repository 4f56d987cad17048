//! Rust files: every one belongs to a crate, none is too long, none prints past its writer.

use std::path::{Path, PathBuf};

/// More than this does not fit in a head.
const MOST_LINES: usize = 600;

/// These panic on a closed pipe; clippy sees them only where the code is compiled for this platform.
const PRINTING: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "dbg!"];

/// Crates that are no product: they may print.
const NO_PRODUCT: &[&str] = &["crates/test-support", "tests", "xtask", "fuzz"];

pub(super) fn check(files: &[(PathBuf, String)]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in
        files.iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"))
    {
        let lines = text.lines().count();
        if lines > MOST_LINES {
            complaints.push(format!("{}: {lines} lines, more than {MOST_LINES}", path.display()));
        }
        complaints.extend(orphan(path, files));
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        if !is_test && !NO_PRODUCT.iter().any(|directory| path.starts_with(directory)) {
            complaints.extend(printing(path, text));
        }
    }
    complaints
}

/// A file that no `mod` names is never compiled, and its tests never run.
fn orphan(path: &Path, files: &[(PathBuf, String)]) -> Option<String> {
    let name = path.file_stem()?.to_str()?;
    let directory = path.parent()?;
    let in_module = if name == "mod" { directory.parent()? } else { directory };
    let module = if name == "mod" { directory.file_name()?.to_str()? } else { name };
    // Roots that cargo finds by itself.
    let parent = in_module.file_name()?.to_str()?;
    let is_root = matches!(name, "lib" | "main" | "build")
        || matches!(parent, "tests" | "benches" | "examples" | "bin" | "fuzz_targets");
    if is_root && name != "mod" {
        return None;
    }
    let parents = [
        in_module.join("lib.rs"),
        in_module.join("main.rs"),
        in_module.join("mod.rs"),
        in_module.with_extension("rs"),
    ];
    let named =
        files.iter().filter(|(parent, _)| parents.contains(parent)).any(|(_, text)| declares(text, module));
    (!named).then(|| format!("{}: no `mod {module};` anywhere, so it is never compiled", path.display()))
}

fn declares(text: &str, module: &str) -> bool {
    let ending = format!("mod {module};");
    text.lines().map(str::trim).any(|line| {
        line.strip_suffix(&ending)
            .is_some_and(|before| before.is_empty() || (before.starts_with("pub") && before.ends_with(' ')))
    })
}

fn printing<'a>(path: &'a Path, text: &'a str) -> impl Iterator<Item = String> {
    text.lines().enumerate().filter_map(move |(index, line)| {
        let code = line.split("//").next().unwrap_or(line);
        let found = PRINTING.iter().find(|name| {
            code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '!')).any(|word| word == **name)
        })?;
        Some(format!(
            "{}:{}: {found} panics on a closed pipe; write through a handle",
            path.display(),
            index + 1
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(files: &[(&str, &str)]) -> String {
        let files: Vec<_> =
            files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        check(&files).join("\n")
    }

    #[test]
    fn good_files_pass() {
        let good = [
            ("crates/a/src/lib.rs", "pub mod one;\nmod two;\n"),
            ("crates/a/src/one.rs", "pub(crate) mod three;\n// println! is banned\n"),
            ("crates/a/src/one/three.rs", "fn f() { writeln!(out) }"),
            ("crates/a/src/two/mod.rs", ""),
            ("crates/a/tests/suite.rs", ""),
            ("tests/tests/suite/main.rs", "#[cfg(test)]\nmod part;"),
            ("tests/tests/suite/part.rs", "fn f() { println!() }"),
        ];
        assert_eq!(complaints(&good), "");
    }

    #[test]
    fn bad_files_are_named() {
        let long = "\n".repeat(MOST_LINES + 1);
        for (files, words) in [
            (&[("crates/a/src/lib.rs", long.as_str())][..], "601 lines"),
            (&[("crates/a/src/lib.rs", "mod other;"), ("crates/a/src/lost.rs", "")], "mod lost;"),
            (&[("tests/tests/suite/main.rs", ""), ("tests/tests/suite/lost.rs", "")], "never compiled"),
            (&[("crates/a/src/lib.rs", "// mod lost;"), ("crates/a/src/lost/mod.rs", "")], "never compiled"),
            (&[("crates/a/src/lib.rs", "fn f() {\n    eprintln!(\"x\")\n}")], "lib.rs:2"),
        ] {
            let complaints = complaints(files);
            assert!(complaints.contains(words), "{complaints}: {words}");
        }
    }
}
