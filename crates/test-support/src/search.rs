//! Looking for bytes where they must not be.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pem;
use crate::pki::Cert;

/// Where the scalar of a P-256 key begins in the PKCS#8 that rcgen writes, and how long it is. The public key follows
/// it and is in the certificate too, so it proves nothing.
const SCALAR: std::ops::Range<usize> = 36..68;

/// What gives a private key away: its scalar in bytes, in hex, and as it stands in the PEM, in pieces.
#[must_use]
pub fn traces_of_key(cert: &Cert) -> Vec<Vec<u8>> {
    let der = cert.key_der();
    let scalar = &der[SCALAR];
    let mut traces = vec![scalar[..16].to_vec(), scalar[16..].to_vec(), pem::hex(&scalar[..16]).into_bytes()];
    // Multiples of three bytes, so that they stand in the PEM's base64 as they do here.
    for piece in [36..48, 48..66] {
        traces.push(STANDARD.encode(&der[piece]).into_bytes());
    }
    traces
}

/// True where one of the needles is in the bytes.
#[must_use]
pub fn contains_any(bytes: &[u8], needles: &[Vec<u8>]) -> bool {
    needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle))
}

/// The regular files under a directory that hold one of the needles, sorted.
///
/// # Panics
/// Where one cannot be read.
#[must_use]
pub fn files_with_any(directory: &Path, needles: &[Vec<u8>]) -> Vec<PathBuf> {
    files(directory).into_iter().filter(|path| contains_any(&read(path), needles)).collect()
}

/// Every regular file under a directory, sorted. Symbolic links are not followed.
///
/// # Panics
/// Where a directory cannot be read.
#[must_use]
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the test") {
            let entry = entry.expect("a directory of the test");
            let kind = entry.file_type().expect("an entry that stays");
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Recipe;

    #[test]
    fn finds_a_key_in_every_form_and_no_certificate() {
        let cert = Recipe::leaf("localhost").self_signed();
        let traces = traces_of_key(&cert);
        assert!(contains_any(cert.key_pem().as_bytes(), &traces));
        assert!(contains_any(cert.key_der(), &traces));
        assert!(!contains_any(cert.pem().as_bytes(), &traces));
        assert!(!contains_any(cert.der(), &traces));

        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("cert.pem"), cert.pem()).unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        let key = directory.path().join("below/key.pem");
        fs::write(&key, cert.key_pem()).unwrap();
        assert_eq!(files_with_any(directory.path(), &traces), [key]);
    }
}
