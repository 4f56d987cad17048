//! `cargo xtask bench`: whole processes beside their peers.
//!
//! The bench itself is a target of the end-to-end package, which has the certificate factory: building that for every
//! other chore would make them slow to start.

use std::process::Command;

use crate::run::{self, cargo};
use crate::workspace;

/// Where the programs are; set, nothing is built.
const BIN_DIR: &str = "AGENTD_BIN_DIR";

/// Runs these parts, or all of them.
pub(crate) fn run(parts: &[String]) -> Result<(), String> {
    if std::env::var_os(BIN_DIR).is_none() {
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
    let mut bench = cargo();
    // Optimised, but not as a product is: the link over all crates takes minutes and what it measures are other processes.
    bench.env("CARGO_PROFILE_BENCH_LTO", "off").env("CARGO_PROFILE_BENCH_CODEGEN_UNITS", "16");
    bench
        .args(["bench", "--locked", "--quiet", "-p", "end-to-end", "--bench", "processes", "--"])
        .args(parts);
    run::run(in_workspace(&mut bench))
}

fn in_workspace(command: &mut Command) -> &mut Command {
    command.current_dir(workspace::root())
}
