//! Time alone changes no bundle: an anchor that expires stays, and is named.

use serde_json::Value;
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Recipe};
use test_support::process::run;
use test_support::time;

#[test]
fn an_anchor_that_expires_stays_and_is_named() {
    if !time::can_be_faked() {
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
    assert_eq!(problems("+1d"), Vec::<String>::new());
    assert_eq!(problems("-5d"), ["clock-implausible"], "behind the store itself");
    assert_eq!(problems("+80d"), ["anchor-expires"], "in time to do something about it");
    assert_eq!(problems("+200d"), ["anchor-expired"]);
    for at in ["+200d", "-5y", "+11y"] {
        let report = later(&endpoint, at, &["regen"]);
        assert_eq!(report["changed"], false, "{at}: {report}");
    }
    // The same sources in another year: the same bytes.
    let report = later(&endpoint, "+200d", &["regen", "--force"]);
    assert_eq!(report["bundle"]["sha256"], endpoint.json(&["status"])["store"]["sha256"]);
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs)));
}

/// Asks `agentctl` as if it were another time.
fn later(endpoint: &Endpoint, at: &str, arguments: &[&str]) -> Value {
    let mut agentctl = endpoint.agentctl_command(arguments);
    time::shift(agentctl.arg("--json"), at);
    run(&mut agentctl).expect_code(0).json()
}
