//! The merge and its text: sources in order to one bundle, the same bytes for the same inputs.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, mpsc};

use base64_simd::{AsOut as _, STANDARD};

use crate::certificate::Certificate;
use crate::fingerprint::{Fingerprint, FingerprintMap, Parts};
use crate::parallel;
use crate::source::{SourceId, SourceState};

/// Changes when the same anchors are written as other bytes, so that a new program renews an old bundle.
pub const FORMAT: u32 = 1;

/// Where an anchor was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The source.
    pub source: Arc<SourceId>,
    /// Line of its BEGIN marker when it was last there.
    pub line: u32,
}

/// An anchor of the store with every place it comes from, the first first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The certificate.
    pub certificate: Arc<Certificate>,
    /// Its places in the sources, in merge order; empty where no source holds it.
    pub places: Vec<Place>,
    /// Why it is in the store.
    pub standing: Standing,
}

/// Why an anchor is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A source holds it.
    Source,
    /// No source holds it, and a server needs it.
    Retained {
        /// Those servers; empty while they have not been asked.
        servers: Vec<String>,
    },
    /// No source holds it; a rollback brought it back.
    Restored {
        /// The generation that was gone back to.
        generation: u64,
    },
}

impl Standing {
    /// The stable word for JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Retained { .. } => "retained",
            Self::Restored { .. } => "restored",
        }
    }
}

/// The anchors of all sources in order: each once, at its first place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// The anchors in the order of trial.
    pub anchors: Vec<Anchor>,
    /// Anchors left out because their fingerprint is distrusted.
    pub distrusted: Vec<Anchor>,
}

/// A bundle: its text and the SHA-256 of that, which is its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The file's content, in parts that need not be put together in memory.
    pub parts: Vec<String>,
    /// SHA-256 of all parts, one after another.
    pub sha256: Fingerprint,
}

/// Merges the sources in the order given; inside a source as found; a certificate that comes twice stays at its first
/// place.
#[must_use]
pub fn merge(sources: &[SourceState], distrusted: &BTreeSet<Fingerprint>) -> Merged {
    let total = sources.iter().map(|source| source.content.found.len()).sum();
    let mut merged = Merged { anchors: Vec::with_capacity(total), distrusted: Vec::new() };
    let mut first: FingerprintMap<(bool, usize)> = FingerprintMap::default();
    first.reserve(total);
    for source in sources {
        let id = Arc::new(source.id.clone());
        for found in &source.content.found {
            let fingerprint = found.certificate.fingerprint();
            let place = Place { source: Arc::clone(&id), line: found.line };
            let banned = distrusted.contains(&fingerprint);
            let list = if banned { &mut merged.distrusted } else { &mut merged.anchors };
            match first.get(&fingerprint) {
                Some(&(_, at)) => list[at].places.push(place),
                None => {
                    first.insert(fingerprint, (banned, list.len()));
                    list.push(Anchor {
                        certificate: Arc::clone(&found.certificate),
                        places: vec![place],
                        standing: Standing::Source,
                    });
                }
            }
        }
    }
    merged
}

/// Writes the bundle: a header, then for each anchor its provenance as comments and a strict RFC 7468 block with LF
/// and 64 columns. No time of making and no host name is in it.
///
/// Comments are ASCII without control characters and without five dashes in a row: GnuTLS looks for BEGIN markers
/// anywhere in a line, p11-kit stops at a NUL.
#[must_use]
pub fn render(anchors: &[Anchor]) -> Bundle {
    /// Of a part: as soon as it is written it is hashed by another thread.
    const SOME: usize = 500;
    let text = |(part, anchors): (usize, &[Anchor])| {
        let mut writer = Writer::of(anchors);
        if part == 0 {
            writer.text.push_str(HEAD);
        }
        for (index, anchor) in anchors.iter().enumerate() {
            writer.anchor(part * SOME + index + 1, anchor);
        }
        writer.text
    };
    if anchors.len() < parallel::MANY {
        let text = text((0, anchors));
        return Bundle { sha256: Fingerprint::of(text.as_bytes()), parts: vec![text] };
    }
    let (written, to_hash) = mpsc::channel();
    let write = move || anchors.chunks(SOME).enumerate().map(text).try_for_each(|part| written.send(part));
    let hash = move || {
        let mut sha256 = Parts::default();
        let parts: Vec<String> = to_hash.iter().inspect(|part| sha256.push(part.as_bytes())).collect();
        Bundle { sha256: sha256.finish(), parts }
    };
    let (sent, bundle) = parallel::both(write, hash);
    sent.expect("the receiver receives until the last sender is gone");
    bundle
}

const HEAD: &str = "\
# The merged trust store of this endpoint, generated by agentd. Changes made by hand are undone:
# change a source instead, then `agentctl regen`. Order is the order of trial.
";

/// Writes anchors one after another.
struct Writer<'a> {
    text: String,
    /// The source of the last place and what the comments say of it: nearly always that of the next one.
    source: Option<(&'a Arc<SourceId>, String)>,
}

impl<'a> Writer<'a> {
    fn of(anchors: &[Anchor]) -> Self {
        let der: usize = anchors.iter().map(|anchor| anchor.certificate.der().len()).sum();
        Self { text: String::with_capacity(512 + der * 3 / 2 + anchors.len() * 512), source: None }
    }

    fn anchor(&mut self, number: usize, anchor: &'a Anchor) {
        let certificate = &anchor.certificate;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "\n# {number}. ");
        self.text.push_str(&subject_comment(certificate));
        self.text.push('\n');
        for (index, place) in anchor.places.iter().enumerate() {
            self.text.push_str(if index == 0 { "# from: " } else { "# also: " });
            self.place(place);
        }
        match &anchor.standing {
            Standing::Source => {}
            Standing::Retained { servers } if servers.is_empty() => {
                self.text
                    .push_str("# retained: no source holds it; the servers are asked whether they need it\n");
            }
            Standing::Retained { servers } => {
                self.text.push_str("# retained: no source holds it; needed by ");
                push_comment(&mut self.text, &servers.join(", "));
                self.text.push('\n');
            }
            Standing::Restored { generation } => {
                let _ = writeln!(self.text, "# restored: no source holds it; from generation {generation}");
            }
        }
        self.text.push_str("# SHA-256: ");
        self.text.push_str(std::str::from_utf8(&certificate.fingerprint().digits()).unwrap_or_default());
        let _ = writeln!(self.text, "\n# valid until: {}", certificate.not_after());
        push_pem(&mut self.text, certificate.der());
    }

    fn place(&mut self, place: &'a Place) {
        let source = match &mut self.source {
            Some((last, words)) if Arc::ptr_eq(last, &place.source) => words,
            other => {
                let mut words = format!("{} ", place.source.kind.code());
                push_comment(&mut words, &place.source.path.to_string_lossy());
                words.push_str(" line ");
                &mut other.insert((&place.source, words)).1
            }
        };
        self.text.push_str(source);
        let _ = writeln!(self.text, "{}", place.line);
    }
}

/// Appends one `CERTIFICATE` block (RFC 7468 §5.1).
pub fn push_pem(text: &mut String, der: &[u8]) {
    /// Of a line.
    const LETTERS: usize = 64;
    /// So many bytes are encoded at once: the encoder is slow at the end of what it is given. Whole lines of 48 bytes.
    const CHUNK: usize = 48 * 32;
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut buffer = [0u8; CHUNK * 4 / 3];
    for chunk in der.chunks(CHUNK) {
        let mut rest: &str = STANDARD.encode_as_str(chunk, buffer.as_mut_slice().as_out());
        while let Some((line, more)) = rest.split_at_checked(LETTERS) {
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        if !rest.is_empty() {
            text.push_str(rest);
            text.push('\n');
        }
    }
    text.push_str("-----END CERTIFICATE-----\n");
}

/// The subject of a certificate as the comments of the store have it.
#[must_use]
pub fn subject_comment(certificate: &Certificate) -> Cow<'_, str> {
    match certificate.subject() {
        "" => Cow::Borrowed("(no subject)"),
        subject => comment(subject),
    }
}

/// What may stand in a comment of it: ASCII, and never anything that a reader takes for a marker.
fn comment(value: &str) -> Cow<'_, str> {
    if is_plain(value) {
        return Cow::Borrowed(value);
    }
    let mut text = String::new();
    push_comment(&mut text, value);
    Cow::Owned(text)
}

/// Appends what [`comment`] makes of a text.
pub fn push_comment(text: &mut String, value: &str) {
    // Nearly all are.
    if is_plain(value) {
        text.push_str(value);
        return;
    }
    let mut dashes = 0;
    for c in value.chars() {
        dashes = if c == '-' { dashes + 1 } else { 0 };
        match c {
            '-' if dashes > MAX_DASHES => {}
            ' '..='~' => text.push(c),
            _ => {
                let _ = write!(text, "{}", c.escape_unicode());
            }
        }
    }
}

fn is_plain(value: &str) -> bool {
    let mut dashes = 0;
    value.bytes().all(|byte| {
        dashes = if byte == b'-' { dashes + 1 } else { 0 };
        matches!(byte, b' '..=b'~') && dashes <= MAX_DASHES
    })
}

/// In a row: five open a marker.
const MAX_DASHES: usize = 4;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use trust_formats::certificates::{Limits, Note, Reason};

    use super::*;
    use crate::source::{Condition, Content, Found, SourceKind};

    fn certificate(name: &str) -> Arc<Certificate> {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let der = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        Arc::new(Certificate::parse(der.der()).unwrap())
    }

    fn source(kind: SourceKind, path: &str, certificates: &[&Arc<Certificate>]) -> SourceState {
        let found = |(index, certificate): (usize, &&Arc<Certificate>)| Found {
            certificate: Arc::clone(certificate),
            line: u32::try_from(index * 10 + 1).unwrap(),
            position: u32::try_from(index + 1).unwrap(),
        };
        let content =
            Content { found: certificates.iter().enumerate().map(found).collect(), ..Content::empty() };
        SourceState {
            id: SourceId { kind, path: PathBuf::from(path) },
            sha256: None,
            size: 0,
            condition: Condition::Ok,
            content: Arc::new(content),
            kept: Vec::new(),
            named: true,
        }
    }

    #[test]
    fn order_is_kept_and_the_first_place_counts() {
        let [a, b, c] = ["a", "b", "c"].map(certificate);
        let sources = [
            source(SourceKind::Bootstrap, "/boot.pem", &[&b, &b]),
            source(SourceKind::Site, "/site.pem", &[&c, &b]),
            source(SourceKind::Policy, "/policy.pem", &[&a, &c]),
        ];
        let merged = merge(&sources, &BTreeSet::new());
        let subjects: Vec<&str> = merged.anchors.iter().map(|anchor| anchor.certificate.subject()).collect();
        assert_eq!(subjects, ["CN=b", "CN=c", "CN=a"]);
        let places: Vec<usize> = merged.anchors.iter().map(|anchor| anchor.places.len()).collect();
        assert_eq!(places, [3, 2, 1]);
        let banned = BTreeSet::from([c.fingerprint()]);
        let merged = merge(&sources, &banned);
        assert_eq!((merged.anchors.len(), merged.distrusted.len()), (2, 1));
        assert_eq!(merged.distrusted[0].places.len(), 2);
    }

    #[test]
    fn the_text_is_strict_and_reads_back_to_the_same_certificates() {
        let odd = certificate("-----BEGIN CERTIFICATE-----\u{151}\n");
        let plain = certificate("plain");
        let sources = [source(SourceKind::Site, "/tmp/\u{e9}-----END x-----\n.pem", &[&odd, &plain])];
        let bundle = render(&merge(&sources, &BTreeSet::new()).anchors);
        let again = render(&merge(&sources, &BTreeSet::new()).anchors);
        assert_eq!(bundle, again);
        let text = bundle.parts.concat();
        assert!(text.is_ascii());
        assert!(!text.contains('\r'));
        for line in text.lines() {
            let marker = matches!(line, "-----BEGIN CERTIFICATE-----" | "-----END CERTIFICATE-----");
            assert!(marker || !line.contains("-----"), "{line}");
            assert!(line.starts_with('#') || line.len() <= 64, "{line}");
        }
        let content = Content::parse(text.as_bytes(), &Limits::default());
        let read: Vec<_> = content.found.iter().map(|found| found.certificate.fingerprint()).collect();
        assert_eq!(read, [odd.fingerprint(), plain.fingerprint()]);
        assert_eq!((content.rejects, content.notes), (Vec::new(), Vec::<Note>::new()));
    }

    #[test]
    fn a_text_in_many_parts_is_the_same_text() {
        let one = certificate("one");
        let anchor = |_| Anchor {
            certificate: Arc::clone(&one),
            places: Vec::new(),
            standing: Standing::Restored { generation: 3 },
        };
        let anchors: Vec<Anchor> = (0..parallel::MANY + 1).map(anchor).collect();
        let bundle = render(&anchors);
        assert!(bundle.parts.len() > 2);
        let mut writer = Writer::of(&anchors);
        writer.text.push_str(HEAD);
        anchors.iter().enumerate().for_each(|(index, anchor)| writer.anchor(index + 1, anchor));
        assert!(bundle.parts.concat() == writer.text, "numbered through");
        assert_eq!(bundle.sha256, Fingerprint::of(writer.text.as_bytes()));
    }

    #[test]
    fn what_is_no_certificate_is_rejected_in_place() {
        let mut text = String::new();
        push_pem(&mut text, &[0x30, 3, 2, 1, 1]);
        push_pem(&mut text, certificate("good").der());
        let content = Content::parse(text.as_bytes(), &Limits::default());
        assert_eq!(content.found.len(), 1);
        assert_eq!(
            content.rejects.iter().map(|r| (r.line, r.reason)).collect::<Vec<_>>(),
            [(1, Reason::NotX509)]
        );
    }
}
