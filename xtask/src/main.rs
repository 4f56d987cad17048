//! The project's own chores: `cargo xtask test`, `tidy`, `deny`, `units`, `package`,
//! `sizes`, `bench`.

mod bench;
mod deny;
mod package;
mod run;
mod setup;
mod sizes;
mod test;
mod tidy;
mod units;
mod workspace;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask COMMAND

  test [-- ARGS]  install the servers and consumers that the tests use, build the programs, run all tests;
                  ARGS go to `cargo test`
  tidy            what the compiler does not check: direction of dependencies, stray files, words, sizes
  deny            licences, sources and duplicates of all dependencies, by deny.toml
  package [--here] [FORMAT]…
                  deb, rpm, tar and, for macOS, pkg with checksums, into target/package, for every machine that there are cross tools for
                  (AGENTD_CROSS or target/cross, else cargo-zigbuild); --here: for this one, by its own compiler;
                  AGENTD_BIN_DIR names programs that are built
  sizes [--write] what the programs and the packages in target/package weigh, by cause; --write puts it into
                  docs/PERFORMANCE.md; it links both programs anew, or takes those with symbols in AGENTD_BIN_DIR
  units           the systemd unit and the launchd jobs, judged by systemd-analyze and a plist parser
  bench [--write] [PART]…
                  figures of functions and of whole processes beside their peers; parts: functions, size, merge,
                  latency, idle, connect; --write puts them into docs/PERFORMANCE.md";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let done = match (arguments.first().map(String::as_str), rest) {
        (Some("test"), rest) => test::run(rest.strip_prefix(&["--".to_owned()]).unwrap_or(rest)),
        (Some("bench"), parts) => bench::run(parts),
        (Some("tidy"), []) => tidy::run(),
        (Some("deny"), []) => deny::run(),
        (Some("package"), formats) => package::run(formats),
        (Some("sizes"), options) => sizes::run(options),
        (Some("units"), []) => units::run(),
        (Some("help" | "--help" | "-h") | None, _) => {
            run::say(HELP);
            Ok(())
        }
        (Some(other), _) => Err(format!("no such command, or not with these arguments: {other}\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            run::say(&format!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}
