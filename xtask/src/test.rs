//! `cargo xtask test`: set up, build the programs, run every test of the workspace.

use std::os::unix::process::CommandExt as _;

use crate::run::{self, cargo, say};
use crate::setup::REQUIRE_ALL;
use crate::{setup, workspace};

/// Variables that point programs at another trust than the one under test.
const CA_VARIABLES: &[&str] = &[
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "NIX_SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// Ends as `cargo test` ends, whose last lines are the last ones here.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let missing = setup::install();
    if !missing.is_empty() {
        say("Not installed here:");
        for line in &missing {
            say(&format!("  {line}"));
        }
        if std::env::var_os(REQUIRE_ALL).is_some_and(|value| value == "1") {
            return Err(format!("{REQUIRE_ALL} is set, so no test may be left out"));
        }
        say("These tests are left out; each says so with SKIPPED.");
    }
    let root = workspace::root();
    let build = ["build", "--locked", "--release", "-p", "agentd", "-p", "agentctl"];
    run::run(cargo().args(build).current_dir(&root))?;
    let mut test = cargo();
    test.args(["test", "--locked", "--workspace", "--no-fail-fast"]).args(arguments).current_dir(&root);
    for name in CA_VARIABLES {
        test.env_remove(name);
    }
    say("+ cargo test --locked --workspace --no-fail-fast");
    // In our place: its verdict and its last words are ours.
    Err(format!("cargo test: {}", test.exec()))
}
