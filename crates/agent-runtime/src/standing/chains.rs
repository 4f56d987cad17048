//! The chains that servers presented, as they are remembered from one run to the next.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust_tls::Presented;

use super::foresight::issuer_of;
use crate::publish::{Fs, PublishError, publish};

/// The chains of all servers, by `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chains(BTreeMap<String, Remembered>);

/// What a server presented when it was last reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// DER, the server's certificate first.
    chain: Vec<Vec<u8>>,
    /// Since when it is this certificate.
    pub since: Timestamp,
    /// When it was last presented, to the day.
    pub seen: Timestamp,
    /// Who issued the certificate before, where that was another.
    pub issuer_before: Option<String>,
}

impl Remembered {
    /// The chain.
    #[must_use]
    pub fn presented(&self) -> Option<Presented> {
        let ders: Vec<&[u8]> = self.chain.iter().map(Vec::as_slice).collect();
        Presented::new(&ders)
    }
}

impl Chains {
    /// What a server presented.
    #[must_use]
    pub fn get(&self, server: &str) -> Option<&Remembered> {
        self.0.get(server)
    }

    /// Takes in what a server has just presented; true where that is worth writing down.
    pub fn take_in(&mut self, server: &str, presented: &Presented, now: Timestamp) -> bool {
        let chain: Vec<Vec<u8>> = presented.all().take(MAX_SENT).map(|sent| sent.der.to_vec()).collect();
        let Some(known) = self.0.get_mut(server) else {
            let first = Remembered { chain, since: now, seen: now, issuer_before: None };
            self.0.insert(server.to_owned(), first);
            return true;
        };
        if known.chain == chain {
            let is_old = now.duration_since(known.seen).unsigned_abs() >= SEEN_EVERY;
            if is_old {
                known.seen = now;
            }
            return is_old;
        }
        let before = known.presented().map(|before| (issuer_of(&before), before.leaf.sha256));
        if let Some((issuer, leaf)) = before
            && leaf != presented.leaf.sha256
        {
            known.issuer_before = (issuer != issuer_of(presented)).then_some(issuer);
            known.since = now;
        }
        known.chain = chain;
        known.seen = now;
        true
    }

    /// Forgets the servers that are configured no more; true where there were such.
    pub fn keep(&mut self, servers: &[String]) -> bool {
        let before = self.0.len();
        self.0.retain(|server, _| servers.contains(server));
        self.0.len() != before
    }

    /// Reads what is remembered. Nothing depends on it but what is foreseen: what cannot be read is as if forgotten.
    ///
    /// # Errors
    /// Where there is a file that cannot be read.
    pub fn load(state: &Path) -> io::Result<Self> {
        match fs::read(path(state)) {
            Ok(bytes) => {
                let record: Record = serde_json::from_slice(&bytes).map_err(io::Error::from)?;
                Ok(record.restore())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes it durably. Who calls this holds the store's lock.
    ///
    /// # Errors
    /// [`PublishError`]; the old file stands then.
    pub fn save(&self, files: &dyn Fs, state: &Path) -> Result<(), PublishError> {
        let path = path(state);
        let mut json =
            serde_json::to_vec(&Record::of(self)).map_err(|error| PublishError::content(&path, &error))?;
        json.push(b'\n');
        publish(files, &path, &json, 0o600)
    }
}

/// `chains.json`.
#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    servers: BTreeMap<String, ServerRecord>,
}

#[derive(Serialize, Deserialize)]
struct ServerRecord {
    /// Base64 of each certificate's DER.
    chain: Vec<String>,
    since: Timestamp,
    seen: Timestamp,
    issuer_before: Option<String>,
}

impl Record {
    fn of(chains: &Chains) -> Self {
        let server = |known: &Remembered| ServerRecord {
            chain: known.chain.iter().map(|der| STANDARD.encode(der)).collect(),
            since: known.since,
            seen: known.seen,
            issuer_before: known.issuer_before.clone(),
        };
        let servers = chains.0.iter().map(|(name, known)| (name.clone(), server(known)));
        Self { v: VERSION, servers: servers.collect() }
    }

    fn restore(self) -> Chains {
        let server = |record: ServerRecord| {
            let chain: Result<Vec<Vec<u8>>, _> =
                record.chain.iter().map(|der| STANDARD.decode(der)).collect();
            Some(Remembered {
                chain: chain.ok().filter(|chain| !chain.is_empty())?,
                since: record.since,
                seen: record.seen,
                issuer_before: record.issuer_before,
            })
        };
        let servers = self.servers.into_iter().filter_map(|(name, record)| Some((name, server(record)?)));
        Chains(servers.collect())
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("chains.json")
}

const VERSION: u32 = 1;
/// More than any real chain; what a server sends beyond that would only fill the disk.
const MAX_SENT: usize = 16;
/// A server that presents the same chain every hour is not written down every hour.
const SEEN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests;
