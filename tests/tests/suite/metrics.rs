//! The metrics file: written, renewed, readable for whoever collects it, and read by Prometheus' own checker.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use test_support::endpoint::{Endpoint, replace, write};
use test_support::process::{command, run_with_input};
use test_support::{pki, poll, tools};

#[test]
fn metrics_follow_the_store_and_are_read_by_promtool() {
    let mut endpoint = Endpoint::new();
    let certs = pki::roots("Measured \"one\" \\ \u{e4}", 2);
    write(&endpoint.bootstrap(), pki::bundle(&certs[..1]));
    let file = endpoint.path("var/lib/agentd/agentd.prom");
    write(&endpoint.config(), format!("[metrics]\ntextfile = \"{}\"\n", file.display()));
    endpoint.start_daemon();
    let says = |line: &str| {
        poll::until_ok(&format!("the metrics say {line}"), || {
            let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
            if text.lines().any(|found| found.starts_with(line)) { Ok(text) } else { Err(text) }
        })
    };
    let _one = says("agentd_store_anchors 1");
    replace(&endpoint.bootstrap(), pki::bundle(&certs));
    let two = says("agentd_store_anchors 2");
    assert_eq!(two.lines().filter(|line| line.starts_with("x509_cert_not_after{")).count(), 2, "{two}");
    for cert in &certs {
        assert!(two.contains(&cert.sha256()), "{two}");
    }
    let mode = fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the collector is another user");

    if tools::require(&["promtool"]) {
        let mut promtool = command(tools::path("promtool"));
        let checked = run_with_input(promtool.args(["check", "metrics"]), two.as_bytes());
        // 3 is for style alone: two names that are another exporter's.
        assert!([0, 3].contains(&checked.code()), "{}{}", checked.out(), checked.err());
        let broken = two.replacen("} ", "} not-a-number ", 1);
        let mut promtool = command(tools::path("promtool"));
        let checked = run_with_input(promtool.args(["check", "metrics"]), broken.as_bytes());
        assert_eq!(checked.code(), 1, "the checker notices what is wrong");
    }

    // The same from the socket, and without a daemon all that needs none.
    let families = |text: &str| -> BTreeSet<String> {
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned).collect()
    };
    let asked = endpoint.agentctl(&["metrics"]).expect_code(0);
    assert_eq!(families(&asked.out()), families(&two));
    assert!(asked.out().contains("agentd_store_anchors 2\n") && asked.out().contains("agentd_build_info{"));
    assert_eq!(families(endpoint.json(&["metrics"])["text"].as_str().expect("text")), families(&two));

    // Somewhere else after a reload; the place that cannot be written is told, and stops nothing.
    let elsewhere = endpoint.path("var/lib/agentd/other.prom");
    write(&endpoint.config(), format!("[metrics]\ntextfile = \"{}\"\n", elsewhere.display()));
    endpoint.signal(Signal::HUP);
    poll::until("the new place", || elsewhere.is_file().then_some(()));
    write(
        &endpoint.config(),
        format!("[metrics]\ntextfile = \"{}/var/lib/agentd/no/where.prom\"\n", endpoint.root().display()),
    );
    endpoint.signal(Signal::HUP);
    poll::until("the log says so", || endpoint.log().contains("the metrics cannot be written").then_some(()));
    assert!(endpoint.is_running());

    endpoint.stop_daemon();
    let alone = endpoint.agentctl(&["metrics"]).expect_code(0).out();
    assert!(alone.contains("agentd_store_anchors 2\n") && !alone.contains("agentd_build_info"), "{alone}");
    let mut without = families(&two);
    without.retain(|family| {
        !["agentd_build_info", "agentd_start_time_seconds", "agentd_watch_degraded"]
            .iter()
            .any(|name| family.starts_with(name))
    });
    assert_eq!(families(&alone), without);
}
