//! A fingerprint in JSON. A record has tens of thousands, so none of them is a text of its own on the way.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use trust_core::Fingerprint;

/// Sixty-four digits, or what stands in their place.
#[derive(Debug, Clone)]
pub(crate) enum Hex {
    Of(Fingerprint),
    /// Understood by nobody; whoever asks for the value decides what follows.
    Other,
}

impl Hex {
    /// The fingerprint.
    pub(crate) fn value(&self) -> Option<Fingerprint> {
        match self {
            Self::Of(fingerprint) => Some(*fingerprint),
            Self::Other => None,
        }
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Of(fingerprint) => {
                serializer.serialize_str(std::str::from_utf8(&fingerprint.digits()).unwrap_or_default())
            }
            Self::Other => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digits)
    }
}

struct Digits;

impl Visitor<'_> for Digits {
    type Value = Hex;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fingerprint")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Hex, E> {
        Ok(text.parse().map_or(Hex::Other, Hex::Of))
    }
}
