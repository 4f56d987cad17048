//! What a management agent does around the store: fetches the bootstrap anchor, receives policies and the files that
//! they name, and puts them where the daemon finds them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_config::Settings;
use agent_runtime::servers::read_anchors;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use trust_core::Fingerprint;
use trust_core::bundle::push_pem;
use trust_formats::policy;
use trust_tls::connect::{Outcome, Target, connect};
use trust_tls::{AnchorSet, Request};

use super::scratch::{Scratch, write};
use super::unmet::Unmet;

/// The policy's GUID: the name of its file.
pub(super) const GUID: &str = "5f0c2f4e-8d8b-4c8e-9d53-0a6c1f6b7a11";

/// Where the server has the policy.
pub(super) fn policy_path() -> String {
    format!("/policies/{GUID}.xml")
}

/// Where the server has a file that the policy names by its path on the endpoint.
pub(super) fn served_as(file: &Path) -> Option<String> {
    Some(format!("/files/{}", file.file_name()?.to_str()?))
}

/// Fetches the certificate of this fingerprint from the server and makes it the bootstrap anchor.
///
/// Nothing is trusted yet, so nothing of the connection is: one certificate is taken from it, and only if it is the very
/// one that the server's console shows. Whoever else answered could at most have sent that same certificate.
pub(super) async fn bootstrap(
    scratch: &Scratch,
    target: &Target,
    fingerprint: Fingerprint,
) -> Result<(), Unmet> {
    let expected = format!("a certificate with the SHA-256 {fingerprint}");
    let unverified =
        Request { verify_peer: false, verify_host: false, ..Request::new(&target.host, Timestamp::now()) };
    let outcome = open(AnchorSet::new([]), target, unverified).await?;
    let presented = &outcome.captured.presented;
    let Some(found) = presented.all().find(|certificate| certificate.sha256 == fingerprint) else {
        let seen: Vec<String> = presented.all().map(|certificate| certificate.sha256.to_string()).collect();
        return Err(Unmet::new(expected, format_args!("the server presents {}", seen.join(", "))));
    };
    put(&scratch.settings().store.bootstrap, pem(&found.der).as_bytes())
}

/// Receives the policy and the file that it names over connections that the store verifies. The file is put in place
/// before the policy that names it.
pub(super) async fn receive(scratch: &Scratch, target: &Target) -> Result<(), Unmet> {
    receive_with(scratch, target, &scratch.settings().store.merged).await
}

/// The same, verified with another file of anchors: before the daemon's first run there is no store yet.
pub(super) async fn receive_with(scratch: &Scratch, target: &Target, anchors: &Path) -> Result<(), Unmet> {
    let text = get(target, anchors, &policy_path()).await?;
    let policy = policy::parse(&text, &policy::Limits::default())
        .map_err(|error| Unmet::new("a policy that can be read", error))?;
    let named = policy.curl_ssl.iter().filter_map(|found| found.ca_info.as_ref());
    for file in named.map(|placed| Path::new(&placed.value)) {
        // A server may choose what is trusted, not what is overwritten.
        if file != scratch.site_ca() {
            return Err(Unmet::new(scratch.site_ca().display(), "a policy that names another CAInfo file"));
        }
        let served = served_as(file).ok_or_else(|| Unmet::new("a CAInfo file", "a path without a name"))?;
        put(file, &get(target, anchors, &served).await?)?;
    }
    put(&scratch.settings().store.policies.join(format!("{GUID}.xml")), &text)
}

/// One connection with the store as it is on disk, judged as the daemon judges it.
pub(super) async fn reach(settings: &Settings, target: &Target) -> Result<(Outcome, AnchorSet), Unmet> {
    let anchors = || anchors_of(&settings.store.merged);
    let outcome = open(anchors()?, target, Request::new(&target.host, Timestamp::now())).await?;
    Ok((outcome, anchors()?))
}

/// The anchors of a file, in order.
pub(super) fn anchors_of(path: &Path) -> Result<AnchorSet, Unmet> {
    read_anchors(path).map_err(|error| Unmet::new(path.display(), error))
}

async fn get(target: &Target, anchors: &Path, path: &str) -> Result<Vec<u8>, Unmet> {
    let expected = format!("{path} of the server, over a verified connection");
    let request = Request::new(&target.host, Timestamp::now());
    let outcome = open(anchors_of(anchors)?, target, request).await?;
    let Some(mut stream) = outcome.stream else {
        return Err(Unmet::new(expected, &outcome.captured.verdict.detail));
    };
    let exchange = async {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", target.host);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(LIMIT, exchange)
        .await
        .map_err(|_| Unmet::new(&expected, "no answer in time"))?
        .map_err(|error| Unmet::new(&expected, error))?;
    body(&answer)
        .map(<[u8]>::to_vec)
        .ok_or_else(|| Unmet::new(expected, "another answer than a whole 200 OK"))
}

/// The body of an answer that says 200 and is as long as it says.
fn body(answer: &[u8]) -> Option<&[u8]> {
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]);
    let mut lines = head.split("\r\n");
    let is_ok = lines.next()?.starts_with("HTTP/1.1 200 ");
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())?;
    (is_ok && length == body.len()).then_some(body)
}

async fn open(anchors: AnchorSet, target: &Target, request: Request) -> Result<Outcome, Unmet> {
    connect(Arc::new(anchors), target, request, LIMIT)
        .await
        .map_err(|error| Unmet::new(format_args!("a TLS connection to port {}", target.port), error))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Unmet> {
    write(path, bytes).map_err(|error| Unmet::new(format_args!("{} written", path.display()), error))
}

fn pem(der: &[u8]) -> String {
    let mut text = String::new();
    push_pem(&mut text, der);
    text
}

const LIMIT: Duration = Duration::from_secs(5);
/// More than any file of the playground.
const MAX_ANSWER: u64 = 1 << 20;
