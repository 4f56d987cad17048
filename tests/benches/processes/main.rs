//! Whole processes, side by side with what else does the same work, in one run: `cargo xtask bench [PART]…`.
//!
//! It prints figures and ratios as tables and asserts nothing: absolute times belong to a machine, ratios of one run hold.
//! A program that is not installed is named and left out.

mod connect;
mod corpus;
mod daemon;
mod idle;
mod latency;
mod measure;
mod merge;
mod table;
mod unchanged;

use std::process::ExitCode;

/// The parts by name, in the order in which all of them run.
const PARTS: &[(&str, fn())] =
    &[("merge", merge::run), ("latency", latency::run), ("idle", idle::run), ("connect", connect::run)];

fn main() -> ExitCode {
    // cargo itself adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let Some(unknown) = wanted.iter().find(|word| PARTS.iter().all(|(name, _)| name != word)) {
        let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        table::say(&format!("error: no such part: {unknown}; there are {}", names.join(", ")));
        return ExitCode::FAILURE;
    }
    table::say(&measure::machine());
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            run();
        }
    }
    ExitCode::SUCCESS
}
