//! `cargo xtask deny`: licences, sources, banned crates and duplicates of all dependencies, by `deny.toml`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{run, workspace};

/// The version that is built where none is installed.
const VERSION: &str = "0.20.2";

/// Runs cargo-deny, after building it into the target directory where it is not installed: a minute and a half on two
/// cores, once. Advisories are not judged: their database is a repository of its own, and a change there is no change
/// here.
pub(crate) fn run() -> Result<(), String> {
    let root = workspace::root();
    let program = installed().map_or_else(|| build(&root), Ok)?;
    run::run(
        Command::new(program)
            .args([
                "--locked",
                "--workspace",
                "check",
                "--hide-inclusion-graph",
                "bans",
                "licenses",
                "sources",
            ])
            .current_dir(&root),
    )
}

fn installed() -> Option<PathBuf> {
    works(Path::new("cargo-deny")).then(|| PathBuf::from("cargo-deny"))
}

fn build(root: &Path) -> Result<PathBuf, String> {
    let tools = root.join("target/tools");
    let program = tools.join("bin/cargo-deny");
    if !works(&program) {
        let mut cargo = run::cargo();
        cargo.args(["install", "--locked", "--version", VERSION, "cargo-deny", "--root"]).arg(&tools);
        run::run(&mut cargo)?;
    }
    Ok(program)
}

fn works(program: &Path) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
