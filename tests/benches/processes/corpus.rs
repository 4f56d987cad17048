//! Anchors by the thousand, as three sources that overlap.

use std::path::PathBuf;

use test_support::endpoint::{Endpoint, write};
use test_support::{corpus, pem, pki};

/// As many as Mozilla's store has had: its roots as they are installed here, and generated ones for those that are not.
pub(crate) fn few() -> Vec<String> {
    let mut blocks: Vec<String> =
        corpus::mozilla_roots().iter().map(|der| pem::encode(pem::CERTIFICATE, der)).collect();
    blocks.truncate(FEW);
    let more = generated(FEW - blocks.len());
    blocks.extend(more);
    blocks
}

/// The size of a real store.
pub(crate) const FEW: usize = 148;

/// The sizes that are measured: a real store, and two that nobody has.
pub(crate) const SIZES: [usize; 3] = [FEW, 1_000, 10_000];

/// Of this size.
pub(crate) fn of(count: usize) -> Vec<String> {
    if count == FEW { few() } else { generated(count) }
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
