//! The trial of the README, played to its end by the built binary.

use std::path::Path;
use std::process::{Command, Output};

fn playground(directory: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentd"));
    command.arg("--playground").arg(directory).args(more);
    for variable in ["AGENTD_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE"] {
        command.env_remove(variable);
    }
    command.output().expect("the built program runs")
}

#[test]
fn every_step_of_a_certificate_switch_holds() {
    let directory = tempfile::tempdir().unwrap();
    let output = playground(&directory.path().join("endpoint"), &["--once"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let log = std::fs::read_to_string(directory.path().join("endpoint/agentd.log")).unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{text}\n{}\n{log}", String::from_utf8_lossy(&output.stderr));
    for step in 1..=8 {
        assert!(text.contains(&format!("✓ {step}  ")), "step {step}: {text}");
    }
    assert!(!text.contains('✗'), "{text}");
    assert!(log.contains("stopped"), "the daemon was not stopped cleanly: {log}");
}

#[test]
fn a_foreign_directory_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let mine = directory.path().join("mine");
    std::fs::write(&mine, "mine").unwrap();
    let output = playground(directory.path(), &["--once"]);
    assert_eq!(output.status.code(), Some(2));
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, [mine]);
}
