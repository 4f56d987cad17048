//! `agentctl verify --batch` over the conformance cases, and beside a case that is none.

use std::path::PathBuf;

use serde_json::{Value, json};
use test_support::endpoint::program;
use test_support::process::{command, run_with_input};

/// The data, where it is there; a fresh clone has none.
fn conformance() -> Option<Value> {
    let directory = std::env::var_os("AGENTD_CONFORMANCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"),
        PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(directory.join("limbo-part.json")) else {
        println!("SKIPPED: no conformance data in {}", directory.display());
        return None;
    };
    Some(serde_json::from_str(&text).expect("JSON"))
}

fn judge(input: &str) -> Vec<Value> {
    let batch = ["verify", "--batch"];
    let run = run_with_input(command(program("agentctl")).args(batch), input.as_bytes()).expect_code(0);
    run.out().lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

#[test]
fn every_conformance_case_gets_its_verdict() {
    let Some(data) = conformance() else { return };
    let cases = data["testcases"].as_array().expect("cases");
    for mode in ["strict", "compat"] {
        let line = |case: &Value| {
            let mut chain = vec![case["peer_certificate"].clone()];
            chain.extend(case["untrusted_intermediates"].as_array().cloned().unwrap_or_default());
            let case = json!({
                "id": case["id"], "anchors": case["trusted_certs"], "chain": chain,
                "host": case["expected_peer_name"]["value"], "at": case["validation_time"], "names": mode,
            });
            format!("{case}\n")
        };
        let verdicts = judge(&cases.iter().map(line).collect::<String>());
        assert_eq!(verdicts.len(), cases.len(), "a verdict for each case");
        for (case, verdict) in cases.iter().zip(&verdicts) {
            assert_eq!(case["id"], verdict["id"]);
            let expected = if case["expected_result"] == "SUCCESS" { "accept" } else { "reject" };
            // A chain that cannot be read is no verdict, and is accepted by nobody.
            let result =
                verdict["result"].as_str().map(|result| if result == "error" { "reject" } else { result });
            let id = case["id"].as_str().expect("a name");
            let tolerated = data["tolerated"][mode][id].as_str();
            assert!(result == Some(expected) || result == tolerated, "{mode} {id}: {verdict}");
        }
    }
}

#[test]
fn a_bad_line_is_named_and_the_rest_goes_on() {
    let input = "{\"id\": \"bad\", \"anchors\": 1}\nnot json\n\n{\"id\": 7, \"anchors\": [], \"chain\": [], \"host\": \"h\", \
                 \"at\": \"2026-01-01T00:00:00Z\"}\n";
    let verdicts = judge(input);
    let of = |verdict: &Value| (verdict["id"].clone(), verdict["result"].clone(), verdict["code"].clone());
    let expected = [
        (json!("bad"), json!("error"), json!("bad-case")),
        (Value::Null, json!("error"), json!("bad-case")),
        (json!(7), json!("error"), json!("no-anchors")),
    ];
    assert_eq!(verdicts.iter().map(of).collect::<Vec<_>>(), expected);
}
