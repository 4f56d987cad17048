//! Which certificate of a presented chain is meant, and by what right.

use std::sync::Arc;

use jiff::Timestamp;
use trust_core::fingerprint::hex_digits;
use trust_core::{Certificate, Fingerprint};
use trust_tls::{AnchorSet, NameRule, Presented, PresentedCertificate, Request, Verdict, verify};

use super::fingerprint::{How, Wanted};

/// A place in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The server's own certificate.
    Leaf,
    /// The certificate that issued it.
    Issuer,
    /// The self-signed certificate at the top.
    Root,
}

impl Pick {
    /// The stable word for JSON and the command line.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Issuer => "issuer",
            Self::Root => "root",
        }
    }
}

/// A certificate that may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its place among the presented ones, the leaf's is 0.
    pub place: usize,
    /// The certificate that the fingerprint is of.
    pub matched: usize,
    /// What of that.
    pub how: How,
    /// The fingerprint.
    pub wanted: Wanted,
}

/// Why none may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// No presented certificate has one of the fingerprints.
    #[error("the fingerprint differs: expected {}, the server presents {}", list(expected), list(presented))]
    Mismatch {
        /// What was asked for.
        expected: Vec<Wanted>,
        /// What the leaf has, by the same digests.
        presented: Vec<Wanted>,
    },
    /// The certificate in that place was not sent.
    #[error("the server did not send {}: {why}", match pick { Pick::Root => "its root", _ => "the issuer of its certificate" })]
    NotSent {
        /// The place.
        pick: Pick,
        /// What is known of it.
        why: String,
    },
    /// One was sent that did not issue what it says.
    #[error("the {} that the server sent does not verify the server's certificate: {detail}", pick.code())]
    DoesNotVerify {
        /// The place.
        pick: Pick,
        /// Why not.
        detail: String,
    },
    /// A certificate of the chain cannot be read.
    #[error("certificate {} that the server sent cannot be read", place + 1)]
    Unreadable {
        /// Its place.
        place: usize,
    },
    /// The fingerprint is right, and does not speak for the certificate that was asked for.
    #[error(
        "the fingerprint is that of certificate {} of the chain, and does not vouch for certificate {}: {why}",
        matched + 1, picked + 1
    )]
    NotVouched {
        /// The certificate that was asked for.
        picked: usize,
        /// The one that the fingerprint is of.
        matched: usize,
        /// Why the one does not follow from the other.
        why: &'static str,
    },
}

impl ChooseError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Mismatch { .. } => "fingerprint-mismatch",
            Self::NotSent { .. } => "not-sent",
            Self::DoesNotVerify { .. } => "does-not-verify",
            Self::Unreadable { .. } => "unreadable-certificate",
            Self::NotVouched { .. } => "not-vouched",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Mismatch { .. } => {
                "ask the server's owner: either the certificate was renewed and there is a new fingerprint, or somebody is \
                 in between"
                    .to_owned()
            }
            Self::NotSent { pick: Pick::Root, .. } => {
                "most servers do not send it: --pick issuer, or get the root from whoever runs the CA".to_owned()
            }
            Self::NotSent { .. } => {
                "--pick leaf, or have the server send its whole chain, or get the issuer's certificate from whoever runs the CA"
                    .to_owned()
            }
            Self::DoesNotVerify { .. } => "--pick leaf, and have the server's chain corrected".to_owned(),
            Self::Unreadable { .. } => "have the server's certificate made anew".to_owned(),
            Self::NotVouched { .. } => "give the fingerprint of the certificate that is to be trusted".to_owned(),
        }
    }
}

/// The certificate to take: the one that has one of the fingerprints, or the one in the place that was asked for, if the
/// fingerprint vouches for it.
///
/// A certificate with the right fingerprint proves those on the way up from it, for it is signed by them, and those on
/// the way down, for they are signed with its key; each signature is checked. The fingerprint of a key proves no way up:
/// anybody can issue a certificate for a key that is not theirs.
///
/// # Errors
/// [`ChooseError`]
pub fn choose(
    presented: &Presented,
    wanted: &[Wanted],
    place: Option<Pick>,
    at: Timestamp,
) -> Result<Choice, ChooseError> {
    let matches = |(matched, certificate): (usize, &PresentedCertificate)| {
        let how = |wanted: &Wanted| Some((matched, wanted.clone(), wanted.matches(certificate)?));
        wanted.iter().find_map(how)
    };
    let Some((matched, wanted, how)) = presented.all().enumerate().find_map(matches) else {
        let leaf = wanted.iter().map(|wanted| wanted.beside(&presented.leaf));
        return Err(ChooseError::Mismatch { presented: distinct(leaf), expected: wanted.to_vec() });
    };
    let picked = place.map_or(Ok(matched), |place| pick(presented, place, at))?;
    certificate_at(presented, picked)?;
    if picked != matched {
        vouch(presented, picked, matched, how, at)?;
    }
    Ok(Choice { place: picked, matched, how, wanted })
}

/// The certificate in a place of the chain, its link to the leaf checked.
///
/// # Errors
/// [`ChooseError`] where none was sent that verifies.
pub fn pick(presented: &Presented, pick: Pick, at: Timestamp) -> Result<usize, ChooseError> {
    let leaf = presented.leaf.facts.as_ref().ok_or(ChooseError::Unreadable { place: 0 })?;
    let own_issuer = leaf.names_itself();
    match pick {
        Pick::Leaf => return Ok(0),
        Pick::Root if own_issuer => return Ok(0),
        Pick::Issuer if own_issuer => {
            let why = "the certificate signs itself and has no other issuer".to_owned();
            return Err(ChooseError::NotSent { pick, why });
        }
        Pick::Issuer | Pick::Root => {}
    }
    let mut refused = None;
    for (index, other) in presented.others.iter().enumerate() {
        let fits = other.facts.as_ref().is_some_and(|facts| match pick {
            Pick::Root => facts.names_itself(),
            _ => facts.subject_name == leaf.issuer_name && !leaf.rules_out(facts),
        });
        let Some(certificate) = other.certificate.as_ref().filter(|_| fits) else { continue };
        let verdict = match pick {
            Pick::Root => judge(presented, certificate, at),
            _ => judge(&alone(presented), certificate, at),
        };
        if verdict.anchor.is_some() {
            return Ok(index + 1);
        }
        refused.get_or_insert(verdict.detail);
    }
    Err(match refused {
        Some(detail) => ChooseError::DoesNotVerify { pick, detail },
        None => ChooseError::NotSent {
            pick,
            why: match presented.others.len() {
                0 => format!("it sent its own certificate alone, issued by {}", leaf.issuer),
                others => format!("none of the {others} it sent besides its own, issued by {}", leaf.issuer),
            },
        },
    })
}

/// The certificate of the chain whose SHA-256 begins with what somebody typed; `None` where that is too short, no hex, or
/// none's. `only` is the one that may be meant, where there is but one.
#[must_use]
pub fn typed(presented: &Presented, text: &str, only: Option<usize>) -> Option<usize> {
    let digits: String = hex_digits(text).ok()?.iter().map(|digit| format!("{digit:x}")).collect();
    if digits.len() < MIN_TYPED {
        return None;
    }
    let begins = |(place, certificate): &(usize, &PresentedCertificate)| {
        only.is_none_or(|only| only == *place) && certificate.sha256.to_string().starts_with(&digits)
    };
    presented.all().enumerate().find(begins).map(|(place, _)| place)
}

/// What the server's chain would be judged to be with this certificate as the only anchor.
#[must_use]
pub fn outlook(
    presented: &Presented,
    place: usize,
    host: &str,
    names: NameRule,
    at: Timestamp,
) -> Option<Verdict> {
    let certificate = presented.all().nth(place)?.certificate.clone()?;
    let set = AnchorSet::new([Arc::new(certificate)]);
    Some(verify(&set, presented, &Request { names, ..Request::new(host, at) }))
}

fn vouch(
    presented: &Presented,
    picked: usize,
    matched: usize,
    how: How,
    at: Timestamp,
) -> Result<(), ChooseError> {
    let path_to = |place: usize| -> Result<Vec<Fingerprint>, ChooseError> {
        Ok(judge(presented, certificate_at(presented, place)?, at).path)
    };
    let of = |place: usize| presented.all().nth(place).map(|certificate| certificate.sha256);
    let contains =
        |path: &[Fingerprint], place: usize| of(place).is_some_and(|sha256| path.contains(&sha256));
    let refuse = |why| Err(ChooseError::NotVouched { picked, matched, why });
    if contains(&path_to(matched)?, picked) {
        // Below what was proven.
        return Ok(());
    }
    if !contains(&path_to(picked)?, matched) {
        return refuse("no chain of signatures that holds today leads from the one to the other");
    }
    if how == How::Key {
        return refuse(
            "it is the fingerprint of a key, and anybody can issue a certificate for a key of others",
        );
    }
    Ok(())
}

fn certificate_at(presented: &Presented, place: usize) -> Result<&Certificate, ChooseError> {
    let certificate = presented.all().nth(place).and_then(|certificate| certificate.certificate.as_ref());
    certificate.ok_or(ChooseError::Unreadable { place })
}

/// The leaf without what came with it: whatever verifies it is its issuer.
fn alone(presented: &Presented) -> Presented {
    Presented { leaf: presented.leaf.clone(), others: Vec::new(), ignored: 0 }
}

/// Whether this certificate leads to the leaf, whatever the leaf's name.
fn judge(presented: &Presented, anchor: &Certificate, at: Timestamp) -> Verdict {
    let set = AnchorSet::new([Arc::new(anchor.clone())]);
    verify(&set, presented, &Request { verify_host: false, ..Request::new("", at) })
}

fn distinct(list: impl Iterator<Item = Wanted>) -> Vec<Wanted> {
    let mut distinct = Vec::new();
    for wanted in list {
        if !distinct.contains(&wanted) {
            distinct.push(wanted);
        }
    }
    distinct
}

fn list(wanted: &[Wanted]) -> String {
    wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Digits that must be typed: 32 bits, so that a look at the fingerprint cannot be spared.
const MIN_TYPED: usize = 8;
