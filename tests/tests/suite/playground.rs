//! The trial of the README: a whole certificate switch, played to its end.

use test_support::endpoint::program;
use test_support::process::{command, run};

#[test]
fn a_certificate_switch_holds_in_every_step() {
    let directory =
        tempfile::Builder::new().prefix("agentd-playground-").tempdir().expect("a temporary directory");
    let mut agentd = command(program("agentd"));
    agentd.arg("--playground").arg(directory.path().join("endpoint")).arg("--once");
    let played = run(&mut agentd).expect_code(0);
    assert!(!played.out().is_empty(), "it says what it does");
}
