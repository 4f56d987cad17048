//! Certificates by the `openssl` program: it makes the shapes that a careful library refuses to make.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use test_support::pem;
use test_support::process::{command, run};
use test_support::{time, tools};

/// A scratch directory in which certificates are made.
pub(crate) struct Kit {
    directory: TempDir,
    count: Cell<u32>,
}

/// A certificate and its key, as files.
#[derive(Clone)]
pub(crate) struct Cert {
    pub(crate) path: PathBuf,
    pub(crate) key: PathBuf,
}

/// A certificate to be.
#[derive(Clone)]
pub(crate) struct Spec {
    subject: String,
    extensions: Vec<String>,
    key: Key,
    digest: &'static str,
    days: Option<(i32, i32)>,
    serial: Option<u32>,
    string_mask: &'static str,
}

#[derive(Clone)]
enum Key {
    New(&'static [&'static str]),
    Of(PathBuf),
}

pub(crate) const EC: &[&str] = &["EC", "ec_paramgen_curve:P-256"];
pub(crate) const P384: &[&str] = &["EC", "ec_paramgen_curve:P-384"];
pub(crate) const P521: &[&str] = &["EC", "ec_paramgen_curve:P-521"];
pub(crate) const RSA: &[&str] = &["RSA", "rsa_keygen_bits:2048"];
pub(crate) const RSA_1024: &[&str] = &["RSA", "rsa_keygen_bits:1024"];
pub(crate) const RSA_3072: &[&str] = &["RSA", "rsa_keygen_bits:3072"];
pub(crate) const RSA_PSS: &[&str] = &["RSA-PSS", "rsa_keygen_bits:2048"];
pub(crate) const ED25519: &[&str] = &["ED25519"];

impl Spec {
    /// A certificate without any extension, which makes it one of version 1.
    pub(crate) fn bare(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            extensions: Vec::new(),
            key: Key::New(EC),
            digest: "sha256",
            days: None,
            serial: None,
            string_mask: "utf8only",
        }
    }

    /// A certification authority.
    pub(crate) fn ca(name: &str) -> Self {
        Self::bare(&format!("/O=Live Shapes/CN={name}"))
            .with("basicConstraints=critical,CA:TRUE")
            .with("keyUsage=critical,keyCertSign,cRLSign")
            .with("subjectKeyIdentifier=hash")
            .with("authorityKeyIdentifier=keyid")
    }

    /// A server's certificate with its name as an alternative name.
    pub(crate) fn leaf(host: &str) -> Self {
        Self::nameless(host).with(&format!("subjectAltName=DNS:{host}"))
    }

    /// A server's certificate without alternative names.
    pub(crate) fn nameless(host: &str) -> Self {
        Self::bare(&format!("/CN={host}"))
            .with("basicConstraints=critical,CA:FALSE")
            .with("keyUsage=critical,digitalSignature,keyEncipherment")
            .with("extendedKeyUsage=serverAuth")
            .with("subjectKeyIdentifier=hash")
            .with("authorityKeyIdentifier=keyid")
    }

    /// With an extension, in the place of one of the same name.
    pub(crate) fn with(self, extension: &str) -> Self {
        let name = extension.split('=').next().expect("a name before the equals sign");
        let mut spec = self.without(&[name]);
        spec.extensions.push(extension.to_owned());
        spec
    }

    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        self.extensions.retain(|line| !names.iter().any(|name| line.split('=').next() == Some(*name)));
        self
    }

    /// Without key identifiers, which openssl adds by itself unless it is told not to.
    pub(crate) fn no_key_ids(self) -> Self {
        self.with("subjectKeyIdentifier=none").with("authorityKeyIdentifier=none")
    }

    pub(crate) fn subject(mut self, subject: &str) -> Self {
        subject.clone_into(&mut self.subject);
        self
    }

    pub(crate) fn algorithm(mut self, algorithm: &'static [&'static str]) -> Self {
        self.key = Key::New(algorithm);
        self
    }

    pub(crate) fn key_of(mut self, other: &Cert) -> Self {
        self.key = Key::Of(other.key.clone());
        self
    }

    pub(crate) fn digest(mut self, digest: &'static str) -> Self {
        self.digest = digest;
        self
    }

    /// Valid from so many days after now (negative: before) to so many.
    pub(crate) fn days(mut self, from: i32, to: i32) -> Self {
        self.days = Some((from, to));
        self
    }

    pub(crate) fn serial(mut self, serial: u32) -> Self {
        self.serial = Some(serial);
        self
    }

    /// The string type of the subject, as OpenSSL's `string_mask`.
    pub(crate) fn strings(mut self, mask: &'static str) -> Self {
        self.string_mask = mask;
        self
    }
}

impl Cert {
    pub(crate) fn pem(&self) -> String {
        fs::read_to_string(&self.path).expect("a certificate that the kit made")
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        pem::decode(&self.pem())
    }
}

impl Kit {
    pub(crate) fn new() -> Self {
        let directory =
            tempfile::Builder::new().prefix("agentd-live-").tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("no-anchors")).expect("a scratch directory");
        Self { directory, count: Cell::new(0) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn root(&self, name: &str) -> Cert {
        self.own(Spec::ca(name))
    }

    /// Signed by its own key.
    pub(crate) fn own(&self, spec: Spec) -> Cert {
        self.make(spec, None)
    }

    /// Signed by another's key.
    pub(crate) fn by(&self, issuer: &Cert, spec: Spec) -> Cert {
        self.make(spec, Some(issuer))
    }

    fn make(&self, spec: Spec, issuer: Option<&Cert>) -> Cert {
        let number = self.count.get() + 1;
        self.count.set(number);
        let file = |kind: &str| self.path().join(format!("{number}.{kind}"));
        fs::write(file("cnf"), request_config(&spec)).expect("a scratch directory");
        let key = match spec.key {
            Key::Of(path) => path,
            Key::New(algorithm) => new_key(&file("key"), algorithm),
        };
        let mut request = command(tools::path("openssl"));
        request.args(["req", "-new", "-utf8", "-subj", &spec.subject]).arg("-config").arg(file("cnf"));
        request.arg("-key").arg(&key).arg("-out").arg(file("csr"));
        let _made = run(&mut request).expect_code(0);

        let (mut sign, to) = match spec.days {
            None => (command(tools::path("openssl")), 365),
            Some((from, to)) => {
                let mut openssl = command(tools::path("openssl"));
                time::shift(&mut openssl, &format!("{from:+}d"));
                (openssl, to - from)
            }
        };
        let serial = spec.serial.unwrap_or(number + 1000).to_string();
        sign.args([
            "x509",
            "-req",
            &format!("-{}", spec.digest),
            "-days",
            &to.to_string(),
            "-set_serial",
            &serial,
        ]);
        sign.arg("-in").arg(file("csr")).arg("-out").arg(file("pem"));
        match issuer {
            Some(issuer) => sign.arg("-CA").arg(&issuer.path).arg("-CAkey").arg(&issuer.key),
            None => sign.arg("-signkey").arg(&key),
        };
        if !spec.extensions.is_empty() {
            fs::write(file("ext"), spec.extensions.join("\n") + "\n").expect("a scratch directory");
            sign.arg("-extfile").arg(file("ext"));
        }
        let _made = run(&mut sign).expect_code(0);
        Cert { path: file("pem"), key }
    }
}

fn new_key(path: &Path, algorithm: &[&str]) -> PathBuf {
    let mut generate = command(tools::path("openssl"));
    generate.args(["genpkey", "-algorithm", algorithm[0], "-out"]).arg(path);
    for option in &algorithm[1..] {
        generate.args(["-pkeyopt", option]);
    }
    let _made = run(&mut generate).expect_code(0);
    path.to_owned()
}

fn request_config(spec: &Spec) -> String {
    format!("[req]\ndistinguished_name = dn\nprompt = no\nstring_mask = {}\n[dn]\n", spec.string_mask)
}
