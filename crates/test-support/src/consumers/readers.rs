//! Consumers that say how many certificates a file has.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::Reader;
use crate::pem;
use crate::process::{Run, command, run, run_with_input};
use crate::tools;

/// All of them.
pub const READERS: &[Reader] = &[
    Reader { name: "openssl storeutl", needs: &["openssl"], slow: false, count: openssl },
    Reader { name: "openssl verify -CAfile", needs: &["openssl"], slow: true, count: openssl_verify },
    Reader { name: "gnutls certtool", needs: &["certtool"], slow: false, count: certtool },
    Reader { name: "nss certutil", needs: &["certutil"], slow: true, count: certutil },
    Reader { name: "java keytool", needs: &["keytool"], slow: false, count: keytool },
    Reader { name: "go crypto/x509", needs: &["go"], slow: false, count: go },
    Reader { name: "python ssl", needs: &["python3"], slow: false, count: python },
];

/// Imports the file's first certificate into a Java keystore.
///
/// # Errors
/// What keytool says.
pub fn keytool_imports(file: &Path) -> Result<(), String> {
    let directory = scratch();
    let mut keytool = command(tools::path("keytool"));
    keytool.args(["-importcert", "-noprompt", "-alias", "first", "-storepass", "changeit", "-keystore"]);
    keytool.arg(directory.path().join("store.p12")).arg("-file").arg(file);
    good(&run(&mut keytool)).map(drop)
}

fn openssl(file: &Path) -> Result<usize, String> {
    let out = good(&run(command(tools::path("openssl")).args(["storeutl", "-noout", "-certs"]).arg(file)))?;
    number_after(&out, "Total found: ")
}

/// OpenSSL loads a `-CAfile` whole or not at all, and a bad block in it keeps the rest away: so all of it was read where
/// the last certificate verifies itself.
fn openssl_verify(file: &Path) -> Result<usize, String> {
    let certificates = strict(file)?;
    let Some(last) = certificates.last() else { return Ok(0) };
    let mut verify = command(tools::path("openssl"));
    verify
        .args(["verify", "-partial_chain", "-no_check_time", "-no-CAstore", "-no-CApath", "-CAfile"])
        .arg(file);
    let out = good(&run_with_input(&mut verify, pem::encode(pem::CERTIFICATE, last).as_bytes()))?;
    if out.contains("stdin: OK") { Ok(certificates.len()) } else { Err(out) }
}

fn certtool(file: &Path) -> Result<usize, String> {
    let out =
        good(&run(command(tools::path("certtool")).args(["--certificate-info", "--infile"]).arg(file)))?;
    Ok(out.matches("X.509 Certificate Information:").count())
}

/// NSS imports one certificate at a time, each from the text of the bundle as it stands there.
fn certutil(file: &Path) -> Result<usize, String> {
    let directory = scratch();
    nss_database(file, directory.path())?;
    let list =
        good(&run(command(tools::path("certutil")).args(["-L", "-d"]).arg(database(directory.path()))))?;
    Ok(list.lines().filter(|line| line.trim_end().ends_with("C,,")).count())
}

/// Makes an NSS database that trusts the certificates of the file.
pub(super) fn nss_database(file: &Path, directory: &Path) -> Result<(), String> {
    let certutil = || command(tools::path("certutil"));
    good(&run(certutil().args(["-N", "--empty-password", "-d"]).arg(database(directory))))?;
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let blocks = text.split_inclusive("-----END CERTIFICATE-----\n").filter(|block| block.contains("BEGIN"));
    for (index, block) in blocks.enumerate() {
        let mut add = certutil();
        add.args(["-A", "-t", "C,,", "-a", "-n", &format!("anchor {index}"), "-d"]).arg(database(directory));
        good(&run_with_input(&mut add, block.as_bytes()))?;
    }
    Ok(())
}

pub(super) fn database(directory: &Path) -> String {
    format!("sql:{}", directory.display())
}

fn keytool(file: &Path) -> Result<usize, String> {
    // One heap for all machines: the default follows the memory and is slow to start where there is much.
    let mut keytool = command(tools::path("keytool"));
    keytool.args(["-J-Xmx512m", "-J-XX:TieredStopAtLevel=1", "-printcert", "-file"]).arg(file);
    Ok(good(&run(&mut keytool))?.matches("Owner: ").count())
}

/// The system's pool of a program in Go, which `SSL_CERT_FILE` names.
fn go(file: &Path) -> Result<usize, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let program = PROGRAM.get_or_init(build_go).as_ref().map_err(Clone::clone)?;
    let out = good(&run(command(program).env("SSL_CERT_FILE", file).env("SSL_CERT_DIR", "/nonexistent")))?;
    number_after(&out, "")
}

/// Builds the program beside the test's own executable, once for all runs; its name says which text it was built from.
fn build_go() -> Result<PathBuf, String> {
    const SOURCE: &str = include_str!("count.go");
    let directory =
        std::env::current_exe().ok().and_then(|test| Some(test.parent()?.join("test-support-go")));
    let directory = directory.ok_or("a test has a path")?;
    let program = directory.join(format!("count-{}", &pem::sha256_hex(SOURCE.as_bytes())[..16]));
    if program.is_file() {
        return Ok(program);
    }
    let own = scratch();
    let text = |error: std::io::Error| error.to_string();
    fs::create_dir_all(&directory).map_err(text)?;
    fs::write(own.path().join("main.go"), SOURCE).map_err(text)?;
    let built = directory.join(format!("building-{}", std::process::id()));
    let mut go = command(tools::path("go"));
    // Nothing from the network: neither modules nor another toolchain.
    go.env("GOPROXY", "off").env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("CGO_ENABLED", "0");
    go.env("GOCACHE", directory.join("cache"))
        .current_dir(own.path())
        .args(["build", "-o"])
        .arg(&built)
        .arg("main.go");
    good(&run(&mut go))?;
    fs::rename(&built, &program).map_err(text)?;
    Ok(program)
}

fn python(file: &Path) -> Result<usize, String> {
    let program =
        "import ssl, sys; print(ssl.create_default_context(cafile=sys.argv[1]).cert_store_stats()['x509'])";
    number_after(&good(&run(command(tools::path("python3")).args(["-c", program]).arg(file)))?, "")
}

fn strict(file: &Path) -> Result<Vec<Vec<u8>>, String> {
    pem::strict_certificates(&fs::read(file).map_err(|error| error.to_string())?)
}

pub(super) fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("agentd-consumer-").tempdir().expect("a temporary directory")
}

/// What a program wrote, where it ended well.
pub(super) fn good(run: &Run) -> Result<String, String> {
    if run.status.success() {
        Ok(run.out())
    } else {
        Err(format!("{}\n{}{}", run.command, run.out(), run.err()))
    }
}

fn number_after(text: &str, before: &str) -> Result<usize, String> {
    let number = text.lines().find_map(|line| line.trim().strip_prefix(before)?.parse().ok());
    number.ok_or_else(|| format!("no number in {text}"))
}
