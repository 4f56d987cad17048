//! Time alone changes no bundle: an anchor that expires stays, and is named.

use serde_json::Value;
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Recipe};
use test_support::process::{command, run};
use test_support::tools;

#[test]
fn an_anchor_that_expires_stays_and_is_named() {
    if !tools::require(&["faketime"]) {
        return;
    }
    let endpoint = Endpoint::new();
    let certs = [Recipe::ca("Short").days(-10, 100).self_signed(), Recipe::ca("Long").self_signed()];
    write(&endpoint.bootstrap(), pki::bundle(&certs));
    assert_eq!(endpoint.json(&["regen"])["changed"], true);
    let problems = |at: &str| -> Vec<String> {
        let status = later(&endpoint, at, &["status"]);
        let problems = status["problems"].as_array().expect("a list").iter();
        problems.filter_map(|problem| problem["code"].as_str()).map(str::to_owned).collect()
    };
    assert_eq!(problems("+1 day"), Vec::<String>::new());
    assert_eq!(problems("-5 days"), ["clock-implausible"], "behind the store itself");
    assert_eq!(problems("+80 days"), ["anchor-expires"], "in time to do something about it");
    assert_eq!(problems("+200 days"), ["anchor-expired"]);
    for at in ["+200 days", "-5 years", "+11 years"] {
        let report = later(&endpoint, at, &["regen"]);
        assert_eq!(report["changed"], false, "{at}: {report}");
    }
    // The same sources in another year: the same bytes.
    let report = later(&endpoint, "+200 days", &["regen", "--force"]);
    assert_eq!(report["bundle"]["sha256"], endpoint.json(&["status"])["store"]["sha256"]);
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs)));
}

/// Asks `agentctl` as if it were another time.
fn later(endpoint: &Endpoint, at: &str, arguments: &[&str]) -> Value {
    let agentctl = endpoint.agentctl_command(arguments);
    let mut faketime = command(tools::path("faketime"));
    faketime.arg(at).arg(agentctl.get_program()).args(agentctl.get_args()).arg("--json");
    run(&mut faketime).expect_code(0).json()
}
