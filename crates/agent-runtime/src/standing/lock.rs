//! The lock of a connection: secure, attention or insecure, with every reason why it is not better.

use std::time::Duration;

use agent_control::wire::Warning;
use jiff::Timestamp;
use trust_core::guard::{Retained, Why};
use trust_core::{Certificate, Fingerprint};
use trust_tls::{Code, Presented, Verdict};

use crate::report::EXPIRY_NOTICE;
use crate::servers::LockState;

/// What a lock is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What the chain was judged to be.
    pub verdict: &'a Verdict,
    /// The chain.
    pub presented: &'a Presented,
    /// The anchor of the verdict.
    pub anchor: Option<&'a Certificate>,
    /// Where that anchor comes from.
    pub origin: Origin,
    /// An anchor had to verify the chain (`SSLVerifyPeer`).
    pub verify_peer: bool,
    /// The certificate had to be for the host (`SSLVerifyHost`).
    pub verify_host: bool,
    /// The certificate had to have a certain fingerprint.
    pub pinned: bool,
    /// The time to judge by.
    pub now: Timestamp,
}

/// Where an anchor of the store comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A source has it.
    Source,
    /// No source has it any more; it is kept because the server needs it.
    Retained,
    /// It had left the store, and came back because the server needs it.
    Archived,
}

/// Why a lock is not better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The chain was refused, for this.
    Refused(Code),
    /// No anchor verifies it, and none had to.
    PeerNotVerified,
    /// The fingerprint alone says that it is the right server.
    PinAlone,
    /// An anchor verifies it, and none had to.
    PeerCheckOff,
    /// Its name was not looked at.
    HostCheckOff,
    /// The server's certificate ends soon.
    CertificateEnds(Timestamp),
    /// The anchor ends soon.
    AnchorEnds(Timestamp),
    /// No source has the anchor any more.
    AnchorRetained,
    /// The anchor was taken back into the store.
    AnchorArchived,
}

/// How good a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// In a word.
    pub state: LockState,
    /// Why it is not better, the worst first; none where it is secure.
    pub reasons: Vec<Reason>,
}

impl Reason {
    /// What it makes of a connection.
    #[must_use]
    pub fn state(self) -> LockState {
        match self {
            Self::Refused(_) | Self::PeerNotVerified => LockState::Insecure,
            Self::PinAlone
            | Self::PeerCheckOff
            | Self::HostCheckOff
            | Self::CertificateEnds(_)
            | Self::AnchorEnds(_)
            | Self::AnchorRetained
            | Self::AnchorArchived => LockState::Attention,
        }
    }

    /// Stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Refused(code) => code.code(),
            Self::PeerNotVerified => "peer-not-verified",
            Self::PinAlone => "pin-alone",
            Self::PeerCheckOff => "peer-check-off",
            Self::HostCheckOff => "host-not-verified",
            Self::CertificateEnds(_) => "server-certificate-expires",
            Self::AnchorEnds(_) => "anchor-expires",
            Self::AnchorRetained => "anchor-retained",
            Self::AnchorArchived => "anchor-archived",
        }
    }

    /// The same as a clause.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Refused(code) => code.meaning().to_owned(),
            Self::PeerNotVerified => {
                "no anchor verifies it, and the policies say that none has to (SSLVerifyPeer)".to_owned()
            }
            Self::PinAlone => "no anchor verifies it; it is known by its fingerprint alone".to_owned(),
            Self::PeerCheckOff => {
                "an anchor verifies it, but the policies say that none has to (SSLVerifyPeer)".to_owned()
            }
            Self::HostCheckOff => "its name was not looked at (SSLVerifyHost)".to_owned(),
            Self::CertificateEnds(at) => format!("the server's certificate ends on {at}"),
            Self::AnchorEnds(at) => format!("the anchor ends on {at}"),
            Self::AnchorRetained => {
                "no source has the anchor any more; it is kept because the server needs it".to_owned()
            }
            Self::AnchorArchived => {
                "the anchor had left the store and was taken back because the server needs it".to_owned()
            }
        }
    }
}

impl Reason {
    /// On the wire.
    #[must_use]
    pub fn warning(self) -> Warning {
        Warning { code: self.code().to_owned(), message: self.words() }
    }
}

/// The lock of a connection.
#[must_use]
pub fn lock(seen: &Seen<'_>) -> Lock {
    let mut reasons = reasons(seen);
    // Stable: of equals the order below counts.
    reasons.sort_by_key(|reason| std::cmp::Reverse(severity(reason.state())));
    let state = reasons.first().map_or(LockState::Secure, |reason| reason.state());
    Lock { state, reasons }
}

fn reasons(seen: &Seen<'_>) -> Vec<Reason> {
    let verdict = seen.verdict;
    if !verdict.accepted {
        return vec![Reason::Refused(verdict.code)];
    }
    let mut reasons = Vec::new();
    match (seen.anchor, seen.verify_peer) {
        (Some(_), true) => {}
        (Some(_), false) => reasons.push(Reason::PeerCheckOff),
        (None, _) if seen.pinned => reasons.push(Reason::PinAlone),
        (None, _) => reasons.push(Reason::PeerNotVerified),
    }
    if !seen.verify_host {
        reasons.push(Reason::HostCheckOff);
    }
    match seen.origin {
        Origin::Source => {}
        Origin::Retained => reasons.push(Reason::AnchorRetained),
        Origin::Archived => reasons.push(Reason::AnchorArchived),
    }
    let leaf = seen.presented.leaf.certificate.as_ref();
    if let Some(leaf) = leaf.filter(|leaf| is_soon(leaf.not_after(), notice_of(leaf), seen.now)) {
        reasons.push(Reason::CertificateEnds(leaf.not_after()));
    }
    // An anchor that is the server's certificate ends with it: once is enough.
    let anchor = seen.anchor.filter(|anchor| anchor.fingerprint() != seen.presented.leaf.sha256);
    if let Some(anchor) = anchor.filter(|anchor| is_soon(anchor.not_after(), EXPIRY_NOTICE, seen.now)) {
        reasons.push(Reason::AnchorEnds(anchor.not_after()));
    }
    reasons
}

/// How long before its end a server's certificate is worth a word: of one that is renewed every few weeks by a program,
/// not all of its life.
#[must_use]
pub fn notice_of(leaf: &Certificate) -> Duration {
    let life = leaf.not_after().duration_since(leaf.not_before()).unsigned_abs();
    EXPIRY_NOTICE.min(life / 3)
}

/// Whether an end comes within a time.
#[must_use]
pub fn is_soon(end: Timestamp, notice: Duration, now: Timestamp) -> bool {
    end < now.checked_add(notice).unwrap_or(Timestamp::MAX)
}

/// Where an anchor of the store comes from.
#[must_use]
pub fn origin(retained: &[Retained], anchor: Fingerprint) -> Origin {
    match retained.iter().find(|kept| kept.certificate.fingerprint() == anchor).map(|kept| kept.why) {
        None => Origin::Source,
        Some(Why::Archived) => Origin::Archived,
        Some(Why::Pending | Why::Needed | Why::Unreachable) => Origin::Retained,
    }
}

fn severity(state: LockState) -> u8 {
    match state {
        LockState::Secure => 0,
        LockState::Attention => 1,
        LockState::Insecure => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use test_support::pki::{Cert, Recipe};
    use trust_tls::{AnchorSet, Pin, Request, verify};

    use super::*;

    struct Case<'a> {
        chain: &'a [&'a Cert],
        anchors: &'a [&'a Cert],
        origin: Origin,
        adjust: fn(&mut Request),
        state: LockState,
        codes: &'a [&'a str],
    }

    fn judge(case: &Case<'_>) -> Lock {
        let ders: Vec<&[u8]> = case.chain.iter().map(|cert| cert.der()).collect();
        let presented = Presented::new(&ders).unwrap();
        let parse = |cert: &&Cert| Arc::new(Certificate::parse(cert.der()).unwrap());
        let set = AnchorSet::new(case.anchors.iter().map(parse));
        let mut request = Request::new("localhost", Timestamp::now());
        (case.adjust)(&mut request);
        if request.pins.len() > 1 {
            request.pins = Pin::parse(&case.chain[0].sha256()).unwrap().into_iter().collect();
        }
        let verdict = verify(&set, &presented, &request);
        lock(&Seen {
            verdict: &verdict,
            presented: &presented,
            anchor: verdict.anchor.and_then(|index| set.get(index)).map(AsRef::as_ref),
            origin: case.origin,
            verify_peer: request.verify_peer,
            verify_host: request.verify_host,
            pinned: !request.pins.is_empty(),
            now: request.at,
        })
    }

    /// Two of them stand for the leaf's own.
    fn pin_it(request: &mut Request) {
        let any = || Pin::parse(&"0".repeat(64)).unwrap().unwrap();
        request.pins = vec![any(), any()];
    }

    fn pin_another(request: &mut Request) {
        request.pins = Pin::parse(&"0".repeat(64)).unwrap().into_iter().collect();
    }

    #[test]
    fn every_reason_and_what_it_makes_of_the_lock() {
        use LockState::{Attention, Insecure, Secure};
        let root = Recipe::ca("Root").self_signed();
        let ending_root = Recipe::ca("Root").days(-100, 20).self_signed();
        let leaf = Recipe::leaf("localhost").issued_by(&root);
        let ending = Recipe::leaf("localhost").days(-100, 10).issued_by(&root);
        let of_ending = Recipe::leaf("localhost").issued_by(&ending_root);
        let elsewhere = Recipe::leaf("other.example").issued_by(&root);
        let alone = Recipe::leaf("localhost").days(-100, 10).self_signed();
        let of_weeks = Recipe::leaf("localhost").days(-20, 15).issued_by(&root);
        let nothing: fn(&mut Request) = |_| {};
        let no_peer: fn(&mut Request) = |request| request.verify_peer = false;
        let no_host: fn(&mut Request) = |request| request.verify_host = false;
        let case = |chain, anchors, adjust, state, codes| Case {
            chain,
            anchors,
            origin: Origin::Source,
            adjust,
            state,
            codes,
        };
        for case in [
            case(&[&leaf], &[&root], nothing, Secure, &[]),
            case(&[&leaf], &[&root], pin_it, Secure, &[]),
            case(&[&leaf], &[], nothing, Insecure, &["no-issuer"]),
            case(&[&elsewhere], &[&root], nothing, Insecure, &["name-mismatch"]),
            case(&[&leaf], &[&root], pin_another, Insecure, &["pin-mismatch"]),
            case(&[&leaf], &[], no_peer, Insecure, &["peer-not-verified"]),
            case(&[&leaf], &[&root], no_peer, Attention, &["peer-check-off"]),
            case(
                &[&leaf],
                &[],
                |request| {
                    request.verify_peer = false;
                    pin_it(request);
                },
                Attention,
                &["pin-alone"],
            ),
            case(&[&elsewhere], &[&root], no_host, Attention, &["host-not-verified"]),
            case(&[&of_weeks], &[&root], nothing, Secure, &[]),
            case(&[&ending], &[&root], nothing, Attention, &["server-certificate-expires"]),
            case(&[&of_ending], &[&ending_root], nothing, Attention, &["anchor-expires"]),
            case(&[&alone], &[&alone], nothing, Attention, &["server-certificate-expires"]),
            case(
                &[&ending],
                &[&root],
                no_host,
                Attention,
                &["host-not-verified", "server-certificate-expires"],
            ),
            case(
                &[&ending],
                &[],
                |request| {
                    request.verify_peer = false;
                    request.verify_host = false;
                },
                Insecure,
                &["peer-not-verified", "host-not-verified", "server-certificate-expires"],
            ),
            Case {
                origin: Origin::Retained,
                ..case(&[&leaf], &[&root], nothing, Attention, &["anchor-retained"])
            },
            Case {
                origin: Origin::Archived,
                ..case(&[&leaf], &[&root], nothing, Attention, &["anchor-archived"])
            },
        ] {
            let lock = judge(&case);
            let codes: Vec<&str> = lock.reasons.iter().map(|reason| reason.code()).collect();
            assert_eq!((lock.state, codes.as_slice()), (case.state, case.codes));
            assert!(lock.reasons.iter().all(|reason| !reason.words().is_empty()));
        }
    }
}
