use super::*;
use crate::pki::{self, Recipe};
use crate::servers::Server;
use std::fs;

#[test]
fn readers_count_what_is_there_and_notice_what_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let (good, cut) = (directory.path().join("good.pem"), directory.path().join("cut.pem"));
    let certs = pki::roots("Reader", 5);
    fs::write(&good, pki::bundle(&certs)).unwrap();
    let text = pki::bundle(&certs[..3]);
    fs::write(&cut, &text[..text.len() - 100]).unwrap();
    all_read(&good, 5);
    for reader in READERS.iter().filter(|reader| tools::require(reader.needs)) {
        assert_ne!(reader.count(&cut), Ok(3), "{} does not notice a cut file", reader.name);
    }
    if tools::require(&["keytool"]) {
        assert_eq!(keytool_imports(&good), Ok(()));
        assert!(keytool_imports(&directory.path().join("none.pem")).is_err());
    }
}

#[test]
fn clients_trust_because_of_the_file_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (with, without) = (directory.path().join("with.pem"), directory.path().join("without.pem"));
    let roots = pki::roots("Client", 3);
    fs::write(&with, pki::bundle(&roots)).unwrap();
    fs::write(&without, pki::bundle(&roots[..2])).unwrap();
    let intermediate = Recipe::ca("Client Intermediate").path_len(0).issued_by(&roots[2]);
    let leaf = Recipe::leaf("localhost").issued_by(&intermediate);
    for make in servers() {
        let server = make(&leaf, std::slice::from_ref(&intermediate));
        all_connect(&with, server.port());
        for client in CLIENTS.iter().filter(|client| tools::require(client.needs)) {
            assert!(
                client.connect(&without, server.port()).is_err(),
                "{} trusts without a reason",
                client.name
            );
        }
    }
}

fn servers() -> Vec<fn(&pki::Cert, &[pki::Cert]) -> Server> {
    let mut servers: Vec<fn(&pki::Cert, &[pki::Cert]) -> Server> = Vec::new();
    if tools::require(&["nginx"]) {
        servers.push(Server::nginx);
    }
    if tools::require(&["openssl"]) {
        servers.push(Server::openssl);
    }
    servers
}
