//! The record's JSON: its own types, converted by hand, so that the core's types can change without the file's.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust_core::Fingerprint;
use trust_core::guard::{Archived, Retained, ServerMemory, Why};
use trust_core::plan::{Held, Published, StoreState};
use trust_core::policy::PolicyState;
use trust_core::source::{Condition, Content, Failure, Found, SourceId, SourceKind, SourceState};
use trust_core::state::{Against, Ban, Rollback};
use trust_formats::certificates::{Encoding, Note, Reason, Reject};
use trust_formats::policy::{CurlSsl, Issue, Placed, Policy};

use super::certificates::{Certificates, Places, Reference};
use super::hex::Hex;

/// `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub(super) v: u32,
    /// The publication's number.
    pub generation: u64,
    bundle: Option<BundleRecord>,
    /// What names the certificates of the bundle, where the generation's file is to be read for them: theirs come first.
    #[serde(default)]
    pub(super) published: Option<String>,
    settings: Option<String>,
    held: Option<HeldRecord>,
    sources: Vec<SourceRecord>,
    policies: Vec<PolicyRecord>,
    /// The name of the file that has the other certificates; of none, nothing.
    pub(super) snapshot: String,
    #[serde(default)]
    bans: Vec<BanRecord>,
    #[serde(default)]
    servers: Vec<ServerRecord>,
    #[serde(default)]
    retained: Vec<RetainedRecord>,
    /// When it left, and its fingerprint.
    #[serde(default)]
    archive: Vec<(Timestamp, String)>,
    #[serde(default)]
    rollback: Option<RollbackRecord>,
    /// Where the record of changes ended.
    #[serde(default)]
    pub(super) audit: Option<AuditMark>,
}

/// A line of the record of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditMark {
    /// Its number.
    pub seq: u64,
    /// Its SHA-256.
    pub head: String,
    /// Why something is missing after it; `None` where nothing is.
    pub behind: Option<String>,
}

/// A certificate that an operator banned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BanRecord {
    fingerprint: String,
    reason: String,
    by: String,
    at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ServerRecord {
    server: String,
    anchor: String,
    since: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RetainedRecord {
    fingerprint: String,
    why: String,
    servers: Vec<String>,
    since: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RollbackRecord {
    generation: u64,
    anchors: Vec<Reference>,
    until: Option<Timestamp>,
    /// Identity of the sources, and the anchors left out.
    against: Option<(String, Vec<Hex>)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct BundleRecord {
    sha256: String,
    anchors: Vec<Reference>,
    at: Timestamp,
    by: String,
    causes: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct HeldRecord {
    reason: String,
    detail: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SourceRecord {
    kind: String,
    path: PathBuf,
    sha256: Option<String>,
    size: u64,
    condition: String,
    failure: Option<FailureRecord>,
    encoding: String,
    notes: Vec<String>,
    rejects: Vec<RejectRecord>,
    incomplete: bool,
    /// Line, position, certificate.
    anchors: Vec<(u32, u32, Reference)>,
    kept: Vec<Hex>,
    named: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct FailureRecord {
    code: String,
    message: String,
    remedy: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RejectRecord {
    line: u32,
    reason: String,
    detail: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PolicyRecord {
    path: PathBuf,
    sha256: String,
    failure: Option<FailureRecord>,
    guid: Option<String>,
    version: Option<u64>,
    curl_ssl: Vec<CurlSslRecord>,
    #[serde(default)]
    distrusted: Vec<(u32, String)>,
    issues: Vec<(u32, String)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CurlSslRecord {
    line: u32,
    ca_info: Option<(u32, String)>,
    ca_path: Option<(u32, String)>,
    verify_peer: Option<(u32, bool)>,
    verify_host: Option<(u32, bool)>,
    fingerprint: Option<(u32, String)>,
    #[serde(default)]
    minimum_tls: Option<(u32, String)>,
}

impl Record {
    /// The record of a state, without what names the files of its certificates, which will be found in these places.
    pub(super) fn of(v: u32, state: &StoreState, places: &Places) -> Self {
        let references = |list: &[Fingerprint]| list.iter().map(|one| places.reference(*one)).collect();
        Self {
            v,
            generation: state.generation,
            bundle: state.bundle.as_ref().map(|bundle| BundleRecord {
                sha256: bundle.sha256.to_string(),
                anchors: references(&bundle.anchors),
                at: bundle.at,
                by: bundle.by.clone(),
                causes: bundle.causes.clone(),
            }),
            settings: state.settings.map(|identity| identity.to_string()),
            held: state
                .held
                .as_ref()
                .map(|held| HeldRecord { reason: held.reason.clone(), detail: held.detail.clone() }),
            published: None,
            sources: state.sources.iter().map(|source| SourceRecord::of(source, places)).collect(),
            policies: state.policies.iter().map(PolicyRecord::of).collect(),
            snapshot: String::new(),
            bans: state.bans.iter().map(BanRecord::of).collect(),
            servers: state.servers.iter().map(ServerRecord::of).collect(),
            retained: state.retained.iter().map(RetainedRecord::of).collect(),
            archive: state
                .archive
                .iter()
                .map(|archived| (archived.at, archived.certificate.fingerprint().to_string()))
                .collect(),
            rollback: state.rollback.as_ref().map(|rollback| RollbackRecord::of(rollback, places)),
            audit: None,
        }
    }

    /// The state it describes, with the certificates that are at hand.
    pub(super) fn restore(&self, certificates: &Certificates) -> StoreState {
        StoreState {
            generation: self.generation,
            bundle: self.bundle.as_ref().and_then(|bundle| bundle.restore(certificates)),
            settings: self.settings.as_deref().and_then(fingerprint),
            held: self
                .held
                .as_ref()
                .map(|held| Held { reason: held.reason.clone(), detail: held.detail.clone() }),
            sources: self.sources.iter().filter_map(|source| source.restore(certificates)).collect(),
            policies: self.policies.iter().filter_map(PolicyRecord::restore).collect(),
            bans: self.bans.iter().filter_map(BanRecord::restore).collect(),
            servers: self.servers.iter().filter_map(ServerRecord::restore).collect(),
            retained: self.retained.iter().filter_map(|retained| retained.restore(certificates)).collect(),
            archive: self
                .archive
                .iter()
                .filter_map(|(at, sha256)| {
                    let certificate = Arc::clone(certificates.get(fingerprint(sha256)?)?);
                    Some(Archived { certificate, at: *at })
                })
                .collect(),
            rollback: self.rollback.as_ref().and_then(|rollback| rollback.restore(certificates)),
        }
    }
}

impl BanRecord {
    pub(crate) fn of(ban: &Ban) -> Self {
        Self {
            fingerprint: ban.fingerprint.to_string(),
            reason: ban.reason.clone(),
            by: ban.by.clone(),
            at: ban.at,
        }
    }

    pub(crate) fn restore(&self) -> Option<Ban> {
        Some(Ban {
            fingerprint: fingerprint(&self.fingerprint)?,
            reason: self.reason.clone(),
            by: self.by.clone(),
            at: self.at,
        })
    }
}

impl ServerRecord {
    fn of(memory: &ServerMemory) -> Self {
        Self { server: memory.server.clone(), anchor: memory.anchor.to_string(), since: memory.since }
    }

    fn restore(&self) -> Option<ServerMemory> {
        let anchor = fingerprint(&self.anchor)?;
        Some(ServerMemory { server: self.server.clone(), anchor, since: self.since })
    }
}

impl RetainedRecord {
    fn of(retained: &Retained) -> Self {
        Self {
            fingerprint: retained.certificate.fingerprint().to_string(),
            why: retained.why.code().to_owned(),
            servers: retained.servers.clone(),
            since: retained.since,
        }
    }

    fn restore(&self, certificates: &Certificates) -> Option<Retained> {
        Some(Retained {
            certificate: Arc::clone(certificates.get(fingerprint(&self.fingerprint)?)?),
            why: Why::from_code(&self.why)?,
            servers: self.servers.clone(),
            since: self.since,
        })
    }
}

impl RollbackRecord {
    fn of(rollback: &Rollback, places: &Places) -> Self {
        Self {
            generation: rollback.generation,
            anchors: rollback.anchors.iter().map(|anchor| places.reference(anchor.fingerprint())).collect(),
            until: rollback.until,
            against: rollback.against.as_ref().map(|against| {
                let left_out: Vec<Fingerprint> = against.left_out.iter().copied().collect();
                (against.sources.to_string(), hex(&left_out))
            }),
        }
    }

    fn restore(&self, certificates: &Certificates) -> Option<Rollback> {
        let against = self.against.as_ref().and_then(|(sources, left_out)| {
            let left_out = unhex(left_out)?.into_iter().collect();
            Some(Against { sources: fingerprint(sources)?, left_out })
        });
        Some(Rollback {
            generation: self.generation,
            anchors: self
                .anchors
                .iter()
                .map(|anchor| certificates.resolve(*anchor).map(Arc::clone))
                .collect::<Option<_>>()?,
            until: self.until,
            against,
        })
    }
}

impl BundleRecord {
    fn restore(&self, certificates: &Certificates) -> Option<Published> {
        let anchors = self.anchors.iter().map(|anchor| certificates.fingerprint(*anchor));
        Some(Published {
            sha256: fingerprint(&self.sha256)?,
            anchors: anchors.collect::<Option<_>>()?,
            at: self.at,
            by: self.by.clone(),
            causes: self.causes.clone(),
        })
    }
}

impl SourceRecord {
    fn of(state: &SourceState, places: &Places) -> Self {
        let content = &state.content;
        let anchor =
            |found: &Found| (found.line, found.position, places.reference(found.certificate.fingerprint()));
        Self {
            kind: state.id.kind.code().to_owned(),
            path: state.id.path.clone(),
            sha256: state.sha256.map(|sha256| sha256.to_string()),
            size: state.size,
            condition: state.condition.code().to_owned(),
            failure: match &state.condition {
                Condition::Stale(failure) => Some(FailureRecord::of(failure)),
                Condition::Ok | Condition::Settling | Condition::Missing => None,
            },
            encoding: content.encoding.code().to_owned(),
            notes: content.notes.iter().map(|note| note.code().to_owned()).collect(),
            rejects: content
                .rejects
                .iter()
                .map(|reject| RejectRecord {
                    line: reject.line,
                    reason: reject.reason.code().to_owned(),
                    detail: reject.detail.clone(),
                })
                .collect(),
            incomplete: content.incomplete,
            anchors: content.found.iter().map(anchor).collect(),
            kept: hex(&state.kept),
            named: state.named,
        }
    }

    /// `None` where something of it is not understood or not at hand: the source is then read as if for the first
    /// time.
    fn restore(&self, certificates: &Certificates) -> Option<SourceState> {
        let kind = SourceKind::from_code(&self.kind)?;
        let found = self
            .anchors
            .iter()
            .map(|(line, position, anchor)| {
                let certificate = Arc::clone(certificates.resolve(*anchor)?);
                Some(Found { certificate, line: *line, position: *position })
            })
            .collect::<Option<Vec<Found>>>()?;
        let rejects = self.rejects.iter().map(RejectRecord::restore).collect::<Option<Vec<Reject>>>()?;
        let notes = self.notes.iter().map(|code| Note::from_code(code)).collect::<Option<Vec<Note>>>()?;
        Some(SourceState {
            id: SourceId { kind, path: self.path.clone() },
            sha256: self.sha256.as_deref().and_then(fingerprint),
            size: self.size,
            condition: self.condition()?,
            content: Arc::new(Content {
                found,
                encoding: Encoding::from_code(&self.encoding)?,
                rejects,
                notes,
                incomplete: self.incomplete,
            }),
            kept: unhex(&self.kept)?,
            named: self.named,
        })
    }

    fn condition(&self) -> Option<Condition> {
        match (self.condition.as_str(), &self.failure) {
            ("ok", _) => Some(Condition::Ok),
            ("settling", _) => Some(Condition::Settling),
            ("missing", _) => Some(Condition::Missing),
            ("stale", Some(failure)) => Some(Condition::Stale(failure.restore())),
            _ => None,
        }
    }
}

impl FailureRecord {
    fn of(failure: &Failure) -> Self {
        Self { code: failure.code.clone(), message: failure.message.clone(), remedy: failure.remedy.clone() }
    }

    fn restore(&self) -> Failure {
        Failure { code: self.code.clone(), message: self.message.clone(), remedy: self.remedy.clone() }
    }
}

impl RejectRecord {
    fn restore(&self) -> Option<Reject> {
        Some(Reject {
            line: self.line,
            reason: Reason::from_code(&self.reason)?,
            detail: self.detail.clone(),
        })
    }
}

impl PolicyRecord {
    fn of(state: &PolicyState) -> Self {
        let policy = &state.policy;
        Self {
            path: state.path.clone(),
            sha256: state.sha256.to_string(),
            failure: state.failure.as_ref().map(FailureRecord::of),
            guid: policy.guid.clone(),
            version: policy.version,
            curl_ssl: policy.curl_ssl.iter().map(CurlSslRecord::of).collect(),
            distrusted: policy.distrusted.iter().filter_map(|placed| pair(Some(placed))).collect(),
            issues: policy.issues.iter().map(|issue| (issue.line, issue.message.clone())).collect(),
        }
    }

    fn restore(&self) -> Option<PolicyState> {
        let issue = |(line, message): &(u32, String)| Issue { line: *line, message: message.clone() };
        Some(PolicyState {
            path: self.path.clone(),
            sha256: fingerprint(&self.sha256)?,
            failure: self.failure.as_ref().map(FailureRecord::restore),
            policy: Arc::new(Policy {
                guid: self.guid.clone(),
                version: self.version,
                curl_ssl: self.curl_ssl.iter().map(CurlSslRecord::restore).collect(),
                distrusted: self.distrusted.iter().filter_map(|pair| placed(Some(pair))).collect(),
                issues: self.issues.iter().map(issue).collect(),
            }),
        })
    }
}

impl CurlSslRecord {
    fn of(element: &CurlSsl) -> Self {
        Self {
            line: element.line,
            ca_info: pair(element.ca_info.as_ref()),
            ca_path: pair(element.ca_path.as_ref()),
            verify_peer: pair(element.verify_peer.as_ref()),
            verify_host: pair(element.verify_host.as_ref()),
            fingerprint: pair(element.fingerprint.as_ref()),
            minimum_tls: pair(element.minimum_tls.as_ref()),
        }
    }

    fn restore(&self) -> CurlSsl {
        CurlSsl {
            line: self.line,
            ca_info: placed(self.ca_info.as_ref()),
            ca_path: placed(self.ca_path.as_ref()),
            verify_peer: placed(self.verify_peer.as_ref()),
            verify_host: placed(self.verify_host.as_ref()),
            fingerprint: placed(self.fingerprint.as_ref()),
            minimum_tls: placed(self.minimum_tls.as_ref()),
        }
    }
}

fn pair<T: Clone>(value: Option<&Placed<T>>) -> Option<(u32, T)> {
    value.map(|placed| (placed.line, placed.value.clone()))
}

fn placed<T: Clone>(value: Option<&(u32, T)>) -> Option<Placed<T>> {
    value.map(|(line, value)| Placed { line: *line, value: value.clone() })
}

pub(crate) fn hex(list: &[Fingerprint]) -> Vec<Hex> {
    list.iter().copied().map(Hex::Of).collect()
}

pub(crate) fn unhex(list: &[Hex]) -> Option<Vec<Fingerprint>> {
    list.iter().map(Hex::value).collect()
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    text.parse().ok()
}
