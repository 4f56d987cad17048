//! Certificates at hand, so that none is parsed twice: those of the last state, and those of the sources before. One that
//! is twice among a few that are parsed together is, and one that two threads come upon at the same moment; its value is
//! one all the same.

use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::certificate::{Certificate, NotX509};
use crate::fingerprint::{Fingerprint, FingerprintMap};
use crate::state::StoreState;

/// What came of the DER of a certificate; [`NotX509`] where it is none.
pub type Parsed = Result<Arc<Certificate>, NotX509>;

/// What was parsed before, by SHA-256.
#[derive(Debug, Default)]
pub struct Pool<'a> {
    /// Its certificates count as parsed.
    state: Option<&'a StoreState>,
    /// Made when the first certificate is asked for: most looks parse nothing.
    certificates: OnceLock<Mutex<FingerprintMap<Arc<Certificate>>>>,
}

impl<'a> Pool<'a> {
    /// Those of this state.
    #[must_use]
    pub fn of(state: &'a StoreState) -> Self {
        Self { state: Some(state), certificates: OnceLock::new() }
    }

    /// The certificate that each of these is, the same value for the same bytes; [`NotX509`] where it is none.
    pub fn certificates(&self, ders: Vec<Vec<u8>>) -> Vec<Parsed> {
        let fingerprints: Vec<Fingerprint> = ders.iter().map(|der| Fingerprint::of(der)).collect();
        let at_hand: Vec<Option<Arc<Certificate>>> = {
            let known = self.known();
            fingerprints.iter().map(|fingerprint| known.get(fingerprint).cloned()).collect()
        };
        // Nobody waits while they are parsed.
        let parse = |der, fingerprint, at_hand: Option<Arc<Certificate>>| {
            let whole = at_hand.filter(|certificate| certificate.is_whole());
            whole.map_or_else(|| Certificate::read(der, fingerprint).map(Arc::new), Ok)
        };
        let each = ders.into_iter().zip(fingerprints).zip(at_hand);
        let mut certificates: Vec<Parsed> =
            each.map(|((der, fingerprint), at_hand)| parse(der, fingerprint, at_hand)).collect();
        // One that is in these twice, or that another thread has parsed since, gets its one value here.
        let mut known = self.known();
        for certificate in certificates.iter_mut().flatten() {
            match known.entry(certificate.fingerprint()) {
                Entry::Occupied(entry) => certificate.clone_from(entry.get()),
                Entry::Vacant(entry) => drop(entry.insert(Arc::clone(certificate))),
            }
        }
        certificates
    }

    fn known(&self) -> MutexGuard<'_, FingerprintMap<Arc<Certificate>>> {
        let of_state = || {
            let certificates = self.state.into_iter().flat_map(StoreState::certificates);
            Mutex::new(certificates.map(|known| (known.fingerprint(), Arc::clone(known))).collect())
        };
        self.certificates.get_or_init(of_state).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use trust_formats::certificates::Limits;

    use super::*;
    use crate::bundle::push_pem;
    use crate::source::{Content, SourceId, SourceKind, SourceState};

    fn der(name: &str) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn file(ders: &[&[u8]]) -> Vec<u8> {
        let mut text = String::new();
        ders.iter().for_each(|der| push_pem(&mut text, der));
        text.into_bytes()
    }

    fn state(content: Content) -> StoreState {
        let source = SourceState {
            id: SourceId { kind: SourceKind::Site, path: "/site.pem".into() },
            sha256: None,
            size: 0,
            condition: crate::source::Condition::Ok,
            content: Arc::new(content),
            kept: Vec::new(),
            named: true,
        };
        StoreState { sources: vec![source], ..StoreState::default() }
    }

    #[test]
    fn the_same_bytes_are_the_same_value() {
        let [a, b] = ["a", "b"].map(der);
        let pool = Pool::default();
        let first = Content::parse_with(&file(&[&a, &b, &a]), &Limits::default(), &pool);
        let second = Content::parse_with(&file(&[&b]), &Limits::default(), &pool);
        let [one, two, again] = [0, 1, 2].map(|at| &first.found[at].certificate);
        assert!(Arc::ptr_eq(one, again) && !Arc::ptr_eq(one, two));
        assert!(Arc::ptr_eq(two, &second.found[0].certificate));
        let last = state(first.clone());
        let later = Content::parse_with(&file(&[&a]), &Limits::default(), &Pool::of(&last));
        assert!(Arc::ptr_eq(one, &later.found[0].certificate));
    }

    #[test]
    fn what_the_state_has_and_nobody_can_read_is_rejected_all_the_same() {
        let none = b"\x30\x03\x02\x01\x01".to_vec();
        let found = crate::source::Found {
            certificate: Arc::new(Certificate::known(none.clone())),
            line: 1,
            position: 1,
        };
        let last = state(Content { found: vec![found], ..Content::empty() });
        let content = Content::parse_with(&file(&[&none]), &Limits::default(), &Pool::of(&last));
        assert_eq!((content.found.len(), content.rejects.len()), (0, 1));
    }
}
