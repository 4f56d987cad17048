//! Whole processes, side by side with what else does the same work, in one run: `cargo xtask bench [--write] [PART]…`.
//!
//! It prints figures and ratios as tables and asserts nothing: absolute times belong to a machine, ratios of one run hold.
//! A program that is not installed is named and left out. With `--write FILE` what a part printed takes the place of what
//! stands between its two marks in that file.

mod connect;
mod corpus;
mod daemon;
mod functions;
mod idle;
mod latency;
mod measure;
mod merge;
mod size;
mod table;
mod unchanged;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// The parts by name, in the order in which all of them run.
const PARTS: &[(&str, fn())] = &[
    ("functions", functions::run),
    ("size", size::run),
    ("merge", merge::run),
    ("unchanged", unchanged::run),
    ("latency", latency::run),
    ("idle", idle::run),
    ("connect", connect::run),
];

fn main() -> ExitCode {
    // cargo itself adds `--bench`.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench").peekable();
    let file = words.next_if_eq("--write").and_then(|_| words.next());
    let wanted: Vec<String> = words.collect();
    if let Some(unknown) = wanted.iter().find(|word| PARTS.iter().all(|(name, _)| name != word)) {
        let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        table::say(&format!("error: no such part: {unknown}; there are {}", names.join(", ")));
        return ExitCode::FAILURE;
    }
    let mut done = true;
    let mut finish = |part: &str| {
        let text = table::printed();
        if let Some(file) = &file
            && let Err(error) = put(Path::new(file), part, &text)
        {
            table::say(&format!("error: {file}: {error}"));
            done = false;
        }
    };
    table::say(&measure::machine());
    finish("machine");
    let mut whole = true;
    for (name, run) in
        PARTS.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| word == name))
    {
        let start = Instant::now();
        // What breaks one part, a peer that behaves oddly for one, costs that part and no other.
        if std::panic::catch_unwind(run).is_ok() {
            finish(name);
        } else {
            whole = false;
            let _half = table::printed();
            table::remark(&format!("error: the part {name} broke: see above"));
        }
        table::remark(&format!("({name}: {} s)", start.elapsed().as_secs()));
    }
    table::goals();
    // A part alone tells of a part of the goals.
    if wanted.is_empty() && whole {
        finish("goals");
    }
    if done && whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Puts what a part printed between its marks.
fn put(file: &Path, part: &str, text: &str) -> Result<(), String> {
    let (begin, end) = (format!("<!-- bench: {part} -->\n"), format!("<!-- end: {part} -->"));
    let document = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let marks = document.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = marks.ok_or_else(|| format!("it has no marks for {part}"))?;
    let document = format!("{before}{begin}\n{}\n\n{end}{after}", text.trim());
    fs::write(file, document).map_err(|error| error.to_string())
}
