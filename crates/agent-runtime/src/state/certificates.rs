//! The certificates of a state as its record names them: by their place in the files that hold them, which is a few
//! digits where a fingerprint is sixty-four.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trust_core::fingerprint::FingerprintMap;
use trust_core::{Certificate, Fingerprint};

/// One of them in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference {
    /// Its place, from 0.
    At(u32),
    /// Of one that is in none of the files; in a record of version 1, of any.
    Of(Fingerprint),
    /// Understood by nobody.
    Other,
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(place) => serializer.serialize_u32(*place),
            Self::Of(fingerprint) => serializer.collect_str(fingerprint),
            Self::Other => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlaceOrDigits)
    }
}

struct PlaceOrDigits;

impl Visitor<'_> for PlaceOrDigits {
    type Value = Reference;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a certificate's place or its fingerprint")
    }

    fn visit_u64<E: Error>(self, place: u64) -> Result<Reference, E> {
        Ok(u32::try_from(place).map_or(Reference::Other, Reference::At))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Reference, E> {
        Ok(text.parse().map_or(Reference::Other, Reference::Of))
    }
}

/// Where each of them will be found.
#[derive(Debug)]
pub(super) struct Places(FingerprintMap<u32>);

impl Places {
    /// In this order, each once.
    pub(super) fn of(certificates: &[Fingerprint]) -> Self {
        Self(certificates.iter().copied().zip(0..).collect())
    }

    /// Behind all others; `false` where it has its place.
    pub(super) fn add(&mut self, fingerprint: Fingerprint) -> bool {
        // Fits: there is a certificate of some hundred octets for each.
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(fingerprint).or_insert(next) == next
    }

    pub(super) fn reference(&self, fingerprint: Fingerprint) -> Reference {
        self.0.get(&fingerprint).map_or(Reference::Of(fingerprint), |place| Reference::At(*place))
    }
}

/// Those that were read, in their order.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    list: Vec<Arc<Certificate>>,
    by_fingerprint: OnceCell<FingerprintMap<u32>>,
}

impl Certificates {
    pub(super) fn of(list: Vec<Arc<Certificate>>) -> Self {
        Self { list, by_fingerprint: OnceCell::new() }
    }

    /// The certificate with this fingerprint, if it is at hand.
    pub(super) fn get(&self, fingerprint: Fingerprint) -> Option<&Arc<Certificate>> {
        let by_fingerprint = self
            .by_fingerprint
            .get_or_init(|| self.list.iter().map(|certificate| certificate.fingerprint()).zip(0..).collect());
        self.at(*by_fingerprint.get(&fingerprint)?)
    }

    /// The certificate that a record refers to, if it is at hand.
    pub(super) fn resolve(&self, reference: Reference) -> Option<&Arc<Certificate>> {
        match reference {
            Reference::At(place) => self.at(place),
            Reference::Of(fingerprint) => self.get(fingerprint),
            Reference::Other => None,
        }
    }

    /// The fingerprint that a record refers to, of a certificate that is at hand or not.
    pub(super) fn fingerprint(&self, reference: Reference) -> Option<Fingerprint> {
        match reference {
            Reference::Of(fingerprint) => Some(fingerprint),
            Reference::At(_) | Reference::Other => Some(self.resolve(reference)?.fingerprint()),
        }
    }

    fn at(&self, place: u32) -> Option<&Arc<Certificate>> {
        self.list.get(usize::try_from(place).ok()?)
    }
}
