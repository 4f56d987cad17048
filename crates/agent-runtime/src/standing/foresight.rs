//! What will break, and when: the chain that a server presented before the store as it is, at the times to come.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use trust_core::{Certificate, Fingerprint};
use trust_tls::{AnchorSet, Match, Presented, Request, Verdict, verify};

use super::chains::Remembered;
use super::lock::notice_of;
use crate::report::EXPIRY_NOTICE;

/// What is to be expected of a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forecast {
    /// When the connection will be refused if nothing changes; `None` where it is refused already.
    pub breaks: Option<Break>,
    /// The server does not send this intermediate, its subject: the store supplies it.
    pub not_sent: Option<String>,
    /// The server's certificate has another issuer than the one before it.
    pub new_issuer: Option<NewIssuer>,
}

/// The end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The last moment at which it is accepted.
    pub at: Timestamp,
    /// From when on that is worth a word.
    pub notice_from: Timestamp,
    /// What ends then.
    pub cause: Cause,
}

/// What ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The server's certificate.
    Leaf {
        /// A renewed one of the same issuer will be trusted; else it has to be in a source before the server switches.
        successor_trusted: bool,
        /// Its fingerprint is pinned: a renewed one will be refused until the pin is changed.
        pinned: bool,
    },
    /// The last anchor that verifies it.
    Anchor {
        /// Which.
        fingerprint: Fingerprint,
        /// Its subject.
        subject: String,
    },
    /// An intermediate that the server sends.
    Intermediate {
        /// Its subject.
        subject: String,
    },
}

/// Another issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIssuer {
    /// Who it is.
    pub issuer: String,
    /// Who it was.
    pub before: String,
    /// Since when.
    pub since: Timestamp,
}

/// What is to be expected. `request` is what is asked of the server's chain; its time is `now`.
#[must_use]
pub fn foresee(remembered: &Remembered, set: &AnchorSet, request: &Request) -> Forecast {
    let Some(presented) = remembered.presented() else { return Forecast::default() };
    let verdict = verify(set, &presented, request);
    Forecast {
        breaks: end_of(&presented, set, request, &verdict),
        not_sent: not_sent(&presented, set, &verdict),
        new_issuer: remembered.issuer_before.as_ref().map(|before| NewIssuer {
            issuer: issuer_of(&presented),
            before: before.clone(),
            since: remembered.since,
        }),
    }
}

/// From path to path: each holds until the first of its certificates ends, and then another may take its place.
fn end_of(presented: &Presented, set: &AnchorSet, request: &Request, verdict: &Verdict) -> Option<Break> {
    let mut verdict = verdict.clone();
    let mut last = None;
    for _ in 0..MAX_PATHS {
        if !verdict.accepted {
            return last;
        }
        let (at, certificate) = first_to_end(presented, set, &verdict)?;
        let cause = cause(presented, set, request, &verdict, certificate);
        let next = at.checked_add(SignedDuration::from_secs(1)).ok()?;
        verdict = verify(set, presented, &Request { at: next, ..request.clone() });
        let notice = if certificate.fingerprint() == presented.leaf.sha256 {
            notice_of(certificate)
        } else {
            EXPIRY_NOTICE
        };
        last = Some(Break { at, notice_from: at.checked_sub(notice).unwrap_or(Timestamp::MIN), cause });
    }
    last
}

fn first_to_end<'a>(
    presented: &'a Presented,
    set: &'a AnchorSet,
    verdict: &Verdict,
) -> Option<(Timestamp, &'a Certificate)> {
    let sent = presented.all().filter(|sent| verdict.path.contains(&sent.sha256));
    let anchor = verdict.anchor.and_then(|index| set.get(index)).map(Arc::as_ref);
    // The leaf counts where nothing else verifies it, and is the first of those that end together.
    let leaf = std::iter::once(&presented.leaf);
    let all = leaf.chain(sent).filter_map(|sent| sent.certificate.as_ref()).chain(anchor);
    all.map(|certificate| (certificate.not_after(), certificate)).min_by_key(|(at, _)| *at)
}

fn cause(
    presented: &Presented,
    set: &AnchorSet,
    request: &Request,
    verdict: &Verdict,
    certificate: &Certificate,
) -> Cause {
    let fingerprint = certificate.fingerprint();
    let subject = || certificate.subject().to_owned();
    if fingerprint == presented.leaf.sha256 {
        return Cause::Leaf {
            successor_trusted: successor_trusted(presented, set, request, verdict),
            pinned: !request.pins.is_empty(),
        };
    }
    if verdict
        .anchor
        .and_then(|index| set.get(index))
        .is_some_and(|anchor| anchor.fingerprint() == fingerprint)
    {
        return Cause::Anchor { fingerprint, subject: subject() };
    }
    Cause::Intermediate { subject: subject() }
}

/// Whether an anchor other than the server's own certificate verifies it.
fn successor_trusted(presented: &Presented, set: &AnchorSet, request: &Request, verdict: &Verdict) -> bool {
    match verdict.matched {
        Some(Match::Issuer) => true,
        Some(Match::Exact) if presented.leaf.facts.as_ref().is_some_and(|facts| !facts.names_itself()) => {
            let leaf = presented.leaf.sha256;
            let others = (0..set.len()).filter_map(|index| set.get(index));
            let others = others.filter(|anchor| anchor.fingerprint() != leaf).map(Arc::clone);
            verify(&AnchorSet::new(others), presented, request).anchor.is_some()
        }
        Some(Match::Exact) | None => false,
    }
}

/// The anchor that stands in for an intermediate which the server should send.
fn not_sent(presented: &Presented, set: &AnchorSet, verdict: &Verdict) -> Option<String> {
    let leaf = presented.leaf.facts.as_ref()?;
    let anchor = verdict.anchor.and_then(|index| set.get(index))?;
    let sent = presented.others.iter().filter_map(|other| other.facts.as_ref());
    let issuer_sent = sent.into_iter().any(|facts| facts.subject_name == leaf.issuer_name);
    let is_root = trust_core::facts::Facts::of_certificate(anchor).names_itself();
    let by_issuer = verdict.matched == Some(Match::Issuer);
    (by_issuer && !issuer_sent && !is_root).then(|| anchor.subject().to_owned())
}

/// Who issued the server's certificate, for people.
pub(super) fn issuer_of(presented: &Presented) -> String {
    presented.leaf.facts.as_ref().map(|facts| facts.issuer.to_string()).unwrap_or_default()
}

/// More than any server has ways to be verified.
const MAX_PATHS: usize = 64;
