//! `cargo xtask bench`: functions by criterion, then whole processes beside their peers.
//!
//! The bench itself is a target of the end-to-end package, which has the certificate factory: building that for every
//! other chore would make them slow to start.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{self, cargo};
use crate::workspace;

/// Where the programs are; set, nothing is built.
const BIN_DIR: &str = "AGENTD_BIN_DIR";

/// Tells the bench where criterion left its figures.
const CRITERION_DIR: &str = "AGENTD_CRITERION_DIR";

const FUNCTIONS: &str = "functions";

/// With `--write` the figures go into it.
const DOCUMENT: &str = "docs/PERFORMANCE.md";

/// Runs these parts, or all of them.
pub(crate) fn run(words: &[String]) -> Result<(), String> {
    let (options, parts): (Vec<&String>, Vec<&String>) =
        words.iter().partition(|word| word.starts_with("--"));
    if let Some(unknown) = options.iter().find(|option| option.as_str() != "--write") {
        return Err(format!("no such option: {unknown}"));
    }
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|wanted| *wanted == part);
    let needs_programs = parts.is_empty() || parts.iter().any(|part| *part != FUNCTIONS);
    if needs_programs && std::env::var_os(BIN_DIR).is_none() {
        run::run(in_workspace(&mut cargo()).args([
            "build",
            "--locked",
            "--release",
            "-p",
            "agentd",
            "-p",
            "agentctl",
        ]))?;
    }
    let criterion = criterion_directory();
    // One that breaks costs the figures of the functions and nothing else.
    let mut functions_done = Ok(());
    if wants(FUNCTIONS) {
        // Figures of an earlier run are none of this one.
        let _none_yet = std::fs::remove_dir_all(&criterion);
        let benches = ["trust-formats", "trust-core", "trust-tls"].map(|package| ["-p", package]).concat();
        let mut functions = bench();
        functions.args(benches).args(["--bench", "scan", "--bench", "store", "--bench", "verify", "--"]);
        functions.args([
            "--warm-up-time",
            "0.3",
            "--measurement-time",
            "1",
            "--sample-size",
            "30",
            "--noplot",
        ]);
        std::fs::create_dir_all(&criterion).map_err(|error| error.to_string())?;
        functions.env(CRITERION_DIR, &criterion);
        functions_done = run::run(in_workspace(&mut functions));
    }
    let mut processes = bench();
    processes.args(["-p", "end-to-end", "--bench", "processes", "--"]);
    if !options.is_empty() {
        processes.arg("--write").arg(workspace::root().join(DOCUMENT));
    }
    if wants(FUNCTIONS) {
        processes.env(CRITERION_DIR, criterion);
    }
    run::run(in_workspace(processes.args(parts))).and(functions_done)
}

/// Optimised, but not as a product is: the link over all crates takes minutes.
fn bench() -> Command {
    let mut bench = cargo();
    bench.env("CARGO_PROFILE_BENCH_LTO", "off").env("CARGO_PROFILE_BENCH_CODEGEN_UNITS", "16");
    bench.args(["bench", "--locked", "--quiet"]);
    bench
}

/// Where criterion puts its figures: in the target directory.
fn criterion_directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    workspace::root().join(target).join("criterion")
}

fn in_workspace(command: &mut Command) -> &mut Command {
    command.current_dir(workspace::root())
}
