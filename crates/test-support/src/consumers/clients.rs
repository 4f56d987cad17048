//! Consumers that connect with a file as their trust.

use std::path::Path;

use super::Client;
use super::readers::{database, good, nss_database, scratch};
use crate::process::{command, run, run_with_input};
use crate::tools;

/// All of them.
pub const CLIENTS: &[Client] = &[
    Client { name: "curl", needs: &["curl"], connect: curl },
    Client { name: "openssl s_client", needs: &["openssl"], connect: s_client },
    Client { name: "gnutls-cli", needs: &["gnutls-cli"], connect: gnutls },
    Client { name: "nss tstclnt", needs: &["certutil", "tstclnt"], connect: tstclnt },
    Client { name: "python", needs: &["python3"], connect: python },
    Client { name: "node", needs: &["node"], connect: node },
    Client { name: "git", needs: &["git"], connect: git },
];

fn curl(file: &Path, port: u16) -> Result<(), String> {
    let mut curl = command(tools::path("curl"));
    curl.args(["-sS", "--noproxy", "*", "-o", "/dev/null", "--cacert"]).arg(file).arg(url(port));
    good(&run(&mut curl)).map(drop)
}

fn s_client(file: &Path, port: u16) -> Result<(), String> {
    let mut client = command(tools::path("openssl"));
    client.args([
        "s_client",
        "-verify_return_error",
        "-no-CAstore",
        "-no-CApath",
        "-verify_hostname",
        "localhost",
    ]);
    client.args(["-servername", "localhost", "-connect", &format!("127.0.0.1:{port}"), "-CAfile"]).arg(file);
    good(&run(&mut client)).map(drop)
}

fn gnutls(file: &Path, port: u16) -> Result<(), String> {
    let mut client = command(tools::path("gnutls-cli"));
    client.arg("--x509cafile").arg(file).args(["-p", &port.to_string(), "localhost"]);
    good(&run(&mut client)).map(drop)
}

fn tstclnt(file: &Path, port: u16) -> Result<(), String> {
    let directory = scratch();
    nss_database(file, directory.path())?;
    let mut client = command(tools::path("tstclnt"));
    client.args(["-4", "-h", "localhost", "-p", &port.to_string(), "-d", &database(directory.path())]);
    // With an empty input it waits for ever.
    good(&run_with_input(&mut client, b"GET / HTTP/1.0\r\n\r\n")).map(drop)
}

fn python(file: &Path, port: u16) -> Result<(), String> {
    let program = "import socket, ssl, sys\n\
        context = ssl.create_default_context(cafile=sys.argv[1])\n\
        with socket.create_connection(('127.0.0.1', int(sys.argv[2]))) as plain:\n\
        \x20   context.wrap_socket(plain, server_hostname='localhost').close()\n";
    let mut python = command(tools::path("python3"));
    python.args(["-c", program]).arg(file).arg(port.to_string());
    good(&run(&mut python)).map(drop)
}

/// Node ignores a file it cannot read, with a warning: so a warning is a failure.
fn node(file: &Path, port: u16) -> Result<(), String> {
    let program = "const socket = require('tls').connect({host: '127.0.0.1', servername: 'localhost', \
        port: Number(process.argv[1])}, () => socket.end());\
        socket.on('error', (error) => { console.error(error.message); process.exitCode = 1; });";
    let mut node = command(tools::path("node"));
    node.env("NODE_EXTRA_CA_CERTS", file).args(["-e", program, &port.to_string()]);
    let run = run(&mut node);
    let warned = run.err().contains("arning");
    good(&run)?;
    if warned { Err("it warned of the file".to_owned()) } else { Ok(()) }
}

/// There is no repository: what git says about that proves that the connection was good.
fn git(file: &Path, port: u16) -> Result<(), String> {
    let mut git = command(tools::path("git"));
    git.env("GIT_SSL_CAINFO", file).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    git.env("GIT_TERMINAL_PROMPT", "0").current_dir("/").args(["ls-remote", &url(port)]);
    let run = run(&mut git);
    let said = run.err();
    let answered = run.status.success() || said.contains("not found") || said.contains("not valid");
    if answered { Ok(()) } else { Err(said) }
}

fn url(port: u16) -> String {
    format!("https://localhost:{port}/")
}
