//! The order of system calls that makes a publication survive a power cut: a new file in the same directory, written and
//! synced, renamed over, and the directory synced.

use std::fs;

use test_support::endpoint::{Endpoint, write};
use test_support::pki;
use test_support::process::{command, run};
use test_support::tools;

#[test]
fn synced_then_renamed_then_the_directory_synced() {
    let Some(trace) = trace_of_a_regeneration() else { return };
    let line = |what: &str, matches: &dyn Fn(&str) -> bool, from: usize| -> usize {
        let found = trace.iter().enumerate().skip(from).find(|(_, call)| matches(call));
        found.unwrap_or_else(|| panic!("no {what} after line {from} of\n{}", trace.join("\n"))).0
    };
    let renamed = line(
        "rename over the bundle",
        &|call| call.starts_with("rename") && call.contains("cainfo-merged.pem\""),
        0,
    );
    let temporary = trace[renamed]
        .split('"')
        .nth(1)
        .expect("a rename has a name")
        .rsplit('/')
        .next()
        .expect("a last part");
    let created =
        line("creation of what is renamed", &|call| call.contains(temporary) && call.contains("O_CREAT"), 0);
    assert!(trace[created].contains("O_EXCL"), "nobody else's file: {}", trace[created]);
    let synced =
        line("sync of the file", &|call| call.contains("sync(") && call.contains(temporary), created);
    let directory = line(
        "sync of the directory",
        &|call| call.contains("sync(") && call.contains("/var/lib/agentd>"),
        renamed,
    );
    assert!(created < synced && synced < renamed && renamed < directory);
    let writes = trace.iter().filter(|call| call.starts_with("open") && call.contains("cainfo-merged.pem\""));
    for open in writes {
        assert!(
            !open.contains("O_WRONLY") && !open.contains("O_RDWR"),
            "the bundle is replaced, never changed: {open}"
        );
    }
}

/// The calls about files that a first publication makes, each with the paths of its descriptors.
fn trace_of_a_regeneration() -> Option<Vec<String>> {
    if !tools::require(&["strace"]) {
        return None;
    }
    let endpoint = Endpoint::new();
    write(&endpoint.bootstrap(), pki::bundle(pki::roots("Durable", 2)));
    let log = endpoint.beside("trace");
    let agentctl = endpoint.agentctl_command(&["regen"]);
    let mut strace = command(tools::path("strace"));
    strace
        .args(["-f", "-y", "-qq", "-s", "0", "-e", "trace=/^(open|rename|fsync|fdatasync)", "-o"])
        .arg(&log);
    strace.arg(agentctl.get_program()).args(agentctl.get_args());
    let _regen = run(&mut strace).expect_code(0);
    let text = fs::read_to_string(log).expect("a trace");
    // Behind the process id.
    let calls =
        text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start().to_owned());
    Some(calls.collect())
}
