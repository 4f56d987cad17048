//! The other web servers that people have: each gives out the files in `www`, and takes a POST to `/inventory` where it can.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::Server;
use crate::pki::Cert;
use crate::process::command;
use crate::tools;

/// A web server that is not nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Apache httpd.
    Apache,
    /// `HAProxy`, which holds the files in memory: [`Server::restart`] has it read them again.
    Haproxy,
    /// Caddy.
    Caddy,
    /// `openssl s_server -WWW`: HTTP/1.0, no validators, one connection at a time, and no POST.
    Openssl,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Apache, Self::Haproxy, Self::Caddy, Self::Openssl];

    /// The program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Apache => "apache2",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Openssl => "openssl",
        }
    }

    /// Whether it takes inventory.
    #[must_use]
    pub fn takes_inventory(self) -> bool {
        self != Self::Openssl
    }

    /// Whether it gives files an `ETag` or a `Last-Modified`.
    #[must_use]
    pub fn has_validators(self) -> bool {
        matches!(self, Self::Apache | Self::Caddy)
    }

    fn start(self, directory: &Path, port: u16) -> Command {
        match self {
            Self::Apache => apache(directory, port),
            Self::Haproxy => haproxy(directory, port),
            Self::Caddy => caddy(directory, port),
            Self::Openssl => openssl(directory, port),
        }
    }
}

impl Server {
    /// Starts one of the others with a leaf, its key, and the certificates it sends after the leaf.
    ///
    /// # Panics
    /// Where it does not come up, with its log.
    #[must_use]
    pub fn of(kind: Kind, leaf: &Cert, sent: &[Cert]) -> Self {
        Self::start(leaf, sent, move |directory, port| {
            fs::create_dir_all(directory.join("www/policies")).expect("a scratch directory");
            kind.start(directory, port)
        })
    }
}

/// One process in the foreground, so that it is ended by its id. As root it serves as the user that the package made, who
/// has to get at the files.
fn apache(directory: &Path, port: u16) -> Command {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o711)).expect("a scratch directory");
    let dir = directory.display();
    let modules = ["mpm_event", "authz_core", "mime", "rewrite", "ssl"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let text = format!(
        "ServerRoot {dir}\nDefaultRuntimeDir {dir}\nPidFile {dir}/httpd.pid\nErrorLog {dir}/error.log\nServerName localhost\n\
         {modules}User www-data\nGroup www-data\nTypesConfig /dev/null\nListen 127.0.0.1:{port}\nSSLEngine on\n\
         SSLSessionCache none\nSSLCertificateFile {dir}/chain.pem\nSSLCertificateKeyFile {dir}/key.pem\n\
         DocumentRoot {dir}/www\n<Directory {dir}/www>\n  Require all granted\n</Directory>\n\
         RewriteEngine on\nRewriteCond %{{REQUEST_METHOD}} =POST\nRewriteRule ^/inventory$ - [R=204,L]\n"
    );
    let mut apache = command(tools::path("apache2"));
    apache.arg("-X").arg("-f").arg(written(directory, "apache.conf", &text));
    apache
}

fn haproxy(directory: &Path, port: u16) -> Command {
    let dir = directory.display();
    let read = |name: &str| fs::read_to_string(directory.join(name)).expect("a scratch directory");
    let certificate = written(directory, "certificate.pem", &(read("chain.pem") + &read("key.pem")));
    let files: String = fs::read_dir(directory.join("www/policies"))
        .expect("a scratch directory")
        .flatten()
        .filter_map(|file| file.file_name().into_string().ok())
        .map(|name| {
            format!(
                "  http-request return status 200 content-type application/octet-stream file {dir}/www/policies/{name} \
                 if {{ path /policies/{name} }}\n"
            )
        })
        .collect();
    let text = format!(
        "global\n  maxconn 64\ndefaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 5s\n\
         frontend all\n  bind 127.0.0.1:{port} ssl crt {}\n{files}\
         \x20 http-request return status 204 if {{ path /inventory }} {{ method POST }}\n  http-request return status 404\n",
        certificate.display()
    );
    let mut haproxy = command(tools::path("haproxy"));
    haproxy.arg("-db").arg("-f").arg(written(directory, "haproxy.cfg", &text));
    haproxy
}

fn caddy(directory: &Path, port: u16) -> Command {
    let dir = directory.display();
    let text = format!(
        "{{\n  admin off\n  auto_https off\n  storage file_system {dir}/caddy\n}}\nhttps://localhost:{port} {{\n  bind 127.0.0.1\n\
         \x20 tls {dir}/chain.pem {dir}/key.pem\n  root * {dir}/www\n  @told {{\n    method POST\n    path /inventory\n  }}\n\
         \x20 respond @told 204\n  file_server\n}}\n"
    );
    let mut caddy = command(tools::path("caddy"));
    caddy.env("HOME", directory).env("XDG_DATA_HOME", directory).env("XDG_CONFIG_HOME", directory);
    caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(written(directory, "Caddyfile", &text));
    caddy
}

fn openssl(directory: &Path, port: u16) -> Command {
    let mut server = command(tools::path("openssl"));
    server.args(["s_server", "-WWW", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
    server.arg("-cert").arg(directory.join("leaf.pem")).arg("-key").arg(directory.join("key.pem"));
    server.arg("-cert_chain").arg(directory.join("chain.pem"));
    // It gives out what lies where it stands.
    server.current_dir(directory.join("www"));
    server
}

fn written(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("a scratch directory");
    path
}
