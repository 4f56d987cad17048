//! Anchors by the thousand, as three sources that overlap.

use std::path::PathBuf;

use test_support::endpoint::{Endpoint, write};
use test_support::{corpus, pem, pki};

/// Mozilla's roots; empty where they are not installed.
pub(crate) fn mozilla() -> Vec<String> {
    corpus::mozilla_roots().iter().map(|der| pem::encode(pem::CERTIFICATE, der)).collect()
}

/// So many generated ones.
pub(crate) fn generated(count: usize) -> Vec<String> {
    pki::many_roots(count).iter().map(pki::Cert::pem).collect()
}

/// Three cuts: each begins where a third of all begins and goes a third of a third into the next one, so that every
/// anchor is in 1⅓ of them.
pub(crate) fn three(blocks: &[String]) -> [Vec<String>; 3] {
    let length = blocks.len() * 4 / 9;
    [0, 1, 2].map(|third| {
        let start = blocks.len() * third / 3;
        blocks.iter().cycle().skip(start).take(length).cloned().collect()
    })
}

/// An endpoint with these as bootstrap anchors, site servers' and a policy's.
pub(crate) fn endpoint(blocks: &[String]) -> Endpoint {
    let endpoint = Endpoint::new();
    for (path, cut) in paths(&endpoint).iter().zip(three(blocks)) {
        write(path, cut.concat());
    }
    endpoint.name_ca_info();
    endpoint
}

/// Its three sources.
pub(crate) fn paths(endpoint: &Endpoint) -> [PathBuf; 3] {
    [endpoint.bootstrap(), endpoint.site(), endpoint.ca_info()]
}
