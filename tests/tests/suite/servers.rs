//! The life of an endpoint with its servers, as a new user would have it: every kind of web server, names with several
//! addresses, proxies, and everything that answers wrongly. `management` has the wire and the timers.

mod bad;
mod kinds;
mod life;
mod ways;

use std::path::Path;

use serde_json::{Value, json};
use test_support::endpoint::{Endpoint, write};
use test_support::pem::sha256_hex;
use test_support::pki::Cert;
use test_support::servers::deployed;

pub(crate) use crate::management::{GUID, authority, codes, documented, problems};

/// Puts a version of the policy into a server's files, with these anchors for its CAInfo.
pub(crate) fn publish(directory: &Path, endpoint: &Endpoint, version: u64, anchors: &[&Cert]) {
    let place = endpoint.path("var/lib/agentd/anchors/site-ca.pem");
    let policy = format!(
        "<Policy guid=\"{{{GUID}}}\" version=\"{version}\"><CurlSSL CAInfo=\"{}\"/></Policy>\n",
        place.display()
    );
    let bundle: String = anchors.iter().map(|cert| cert.pem()).collect();
    publish_as(directory, version, &policy, Some(&bundle));
}

/// The same with this text for the policy, and with or without a file of anchors. The index is last.
pub(crate) fn publish_as(directory: &Path, version: u64, policy: &str, anchors: Option<&str>) {
    let policies = directory.join("www/policies");
    let brought: Vec<Value> = anchors
        .iter()
        .map(|bundle| json!({"file": "site-ca.pem", "sha256": sha256_hex(bundle.as_bytes())}))
        .collect();
    let index = json!({"v": 1, "version": version, "policies": [{
        "file": format!("{GUID}.xml"), "version": version, "sha256": sha256_hex(policy.as_bytes()),
        "anchors": brought,
    }]});
    if let Some(bundle) = anchors {
        write(&policies.join("site-ca.pem"), bundle);
    }
    write(&policies.join(format!("{GUID}.xml")), policy);
    let path = policies.join("index.json");
    write(&path, index.to_string());
    deployed(&path);
}

/// `enroll` with policies and, where wanted, inventory; all steps done.
#[track_caller]
pub(crate) fn enroll(endpoint: &Endpoint, url: &str, fingerprint: &str, more: &[&str]) -> Value {
    let command = ["enroll", url, "--fingerprint", fingerprint];
    let report = endpoint.json(&[&command[..], more].concat());
    assert_eq!(report["complete"], true, "{report:#}");
    report
}

/// What the daemon or the files say of a server, by its name.
pub(crate) fn server<'a>(status: &'a Value, name: &str) -> &'a Value {
    let servers = status["servers"].as_array().expect("a list");
    servers.iter().find(|server| server["name"] == name).unwrap_or_else(|| panic!("no {name} in {status:#}"))
}
