//! Mozilla's roots and ten thousand generated ones, cut into three overlapping sources.

use test_support::endpoint::{Endpoint, write};
use test_support::pem;
use test_support::pki;
use test_support::{consumers, corpus, tools};

#[test]
fn mozilla_roots() {
    let roots = corpus::mozilla_roots();
    if roots.is_empty() && !tools::left_out("ca-certificates is not installed") {
        return;
    }
    assert!(roots.len() > 100, "Mozilla has more than {}", roots.len());
    union_order_and_duplicates(&roots);
}

#[test]
fn ten_thousand() {
    let roots: Vec<Vec<u8>> = pki::many_roots(10_000).iter().map(|cert| cert.der().to_vec()).collect();
    union_order_and_duplicates(&roots);
}

/// The third source begins with what the first two share, the middle one ends in the third: every overlap there is.
#[track_caller]
fn union_order_and_duplicates(roots: &[Vec<u8>]) {
    let n = roots.len();
    let bootstrap = &roots[n / 4..3 * n / 4];
    let site = &roots[n / 2..];
    let policy = &roots[..n / 2];
    let endpoint = Endpoint::new();
    for (path, source) in
        [(endpoint.bootstrap(), bootstrap), (endpoint.site(), site), (endpoint.ca_info(), policy)]
    {
        let text: String = source.iter().map(|der| pem::encode(pem::CERTIFICATE, der)).collect();
        write(&path, text);
    }
    endpoint.name_ca_info();
    let report = endpoint.json(&["regen"]);
    for (index, source) in [bootstrap, site, policy].into_iter().enumerate() {
        assert_eq!(report["sources"][index]["anchors"], source.len());
        assert_eq!(report["sources"][index]["rejected"].as_array().map(Vec::len), Some(0));
    }
    // Said again by hand: the first source whole, then what each next one adds.
    let expected: Vec<String> =
        roots[n / 4..].iter().chain(&roots[..n / 4]).map(|der| pem::sha256_hex(der)).collect();
    assert_eq!(expected.len(), n);
    assert_eq!(report["bundle"]["anchors"], n);
    assert!(endpoint.published().as_ref() == Ok(&expected), "union, order or duplicates are wrong");
    consumers::all_read(&endpoint.merged(), n);
    assert_eq!(endpoint.json(&["regen"])["changed"], false);
}
