//! Certificates at hand, so that none is parsed twice: those of the last state, and those of the sources before. One that
//! the same file holds twice is, for two threads share its certificates; its value is one all the same.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::certificate::{Certificate, NotX509};
use crate::fingerprint::Fingerprint;
use crate::parallel;
use crate::state::StoreState;

/// What was parsed before, by SHA-256.
#[derive(Debug, Default)]
pub struct Pool<'a> {
    /// Its certificates count as parsed.
    state: Option<&'a StoreState>,
    /// Made when the first certificate is asked for: most looks parse nothing.
    certificates: OnceCell<RefCell<HashMap<Fingerprint, Arc<Certificate>>>>,
}

impl<'a> Pool<'a> {
    /// Those of this state.
    #[must_use]
    pub fn of(state: &'a StoreState) -> Self {
        Self { state: Some(state), certificates: OnceCell::new() }
    }

    /// The certificate that each of these is, the same value for the same bytes; [`NotX509`] where it is none.
    pub(crate) fn certificates(&self, ders: Vec<Vec<u8>>) -> Vec<Result<Arc<Certificate>, NotX509>> {
        let pool = self.certificates.get_or_init(|| {
            let state = self.state.into_iter().flat_map(StoreState::certificates);
            state
                .map(|certificate| (certificate.fingerprint(), Arc::clone(certificate)))
                .collect::<HashMap<_, _>>()
                .into()
        });
        let mut certificates = {
            let known: &HashMap<Fingerprint, Arc<Certificate>> = &pool.borrow();
            parallel::map(ders, |der| {
                let fingerprint = Fingerprint::of(&der);
                match known.get(&fingerprint) {
                    Some(certificate) if certificate.is_whole() => Ok(Arc::clone(certificate)),
                    _ => Certificate::read(der, fingerprint).map(Arc::new),
                }
            })
        };
        // One that is in these twice gets its one value here.
        let mut known = pool.borrow_mut();
        known.reserve(certificates.len());
        for certificate in certificates.iter_mut().flatten() {
            match known.entry(certificate.fingerprint()) {
                Entry::Occupied(entry) => certificate.clone_from(entry.get()),
                Entry::Vacant(entry) => drop(entry.insert(Arc::clone(certificate))),
            }
        }
        certificates
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
