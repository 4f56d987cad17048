//! Connecting with a file of anchors of which the last one matches.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{Cert, Recipe};
use test_support::process::command;
use test_support::servers::Server;
use test_support::tools;

use crate::corpus;
use crate::measure::{Contender, Spans, contest};
use crate::table::{goal, head, ms, row, say, times};

const OURS: &str = "agentctl connect --bundle";
const LOOP: &str = "a loop of curl, an anchor each";

/// All sizes, against one server.
pub(crate) fn run() {
    if tools::find("openssl").is_none() {
        say("\nconnect: openssl is not installed, left out");
        return;
    }
    let root = Recipe::ca("The Last Root").self_signed();
    let leaf = Recipe::leaf("localhost").issued_by(&root);
    let server = Server::openssl(&leaf, &[]);
    let bare = bare_handshakes(&server, &root);
    let few = corpus::few();
    let generated = corpus::generated(9_999);
    head(
        "Connecting to `openssl s_server` on loopback, the last anchor matches",
        &["anchors", "", "wall ms, median", "min–max", "CPU ms, mean", "peak MiB", "runs", "of ours"],
    );
    let mut inside = Vec::new();
    for count in [1, 10, 149, 1_000, 10_000] {
        let others = if count <= few.len() + 1 { &few } else { &generated };
        let mut blocks = others[..(count - 1).min(others.len())].to_vec();
        blocks.push(root.pem());
        let endpoint = Endpoint::new();
        whole_processes(&endpoint, &server, &blocks);
        inside.push((blocks.len(), elapsed(&endpoint, &server)));
    }
    head(
        "Connection and verdict of a process that has just started, as it tells itself",
        &["anchors", "ms, median", "min–max", "of a bare rustls handshake"],
    );
    let line = |what: String, spans: &Spans| {
        let span = format!("{}–{}", ms(spans.min()), ms(spans.max()));
        row(&[what, ms(spans.median()), span, times(spans.median(), bare.median())]);
    };
    line("a bare rustls handshake in a process that is warm".to_owned(), &bare);
    for (count, spans) in &inside {
        line(count.to_string(), spans);
    }
}

fn whole_processes(endpoint: &Endpoint, server: &Server, blocks: &[String]) {
    let merged = endpoint.beside("anchors.pem");
    write(&merged, blocks.concat());
    let directory = endpoint.beside("anchors");
    for (index, block) in blocks.iter().enumerate() {
        write(&directory.join(format!("{index:05}.pem")), block);
    }
    let url = server.url();
    let mut contenders = vec![Contender {
        name: OURS,
        runs: 40,
        prepare: Box::new(|| ()),
        command: Box::new(|| {
            let mut connect = endpoint.agentctl_command(&["--quiet", "connect", &url, "--bundle"]);
            connect.arg(&merged);
            connect
        }),
    }];
    if let Some(curl) = tools::find("curl") {
        let (of_one, file, to) = (curl.clone(), &merged, &url);
        contenders.push(Contender {
            name: "curl with the merged file",
            runs: if blocks.len() > 1_000 { 2 } else { 20 },
            prepare: Box::new(|| ()),
            command: Box::new(move || {
                let mut curl = command(&of_one);
                curl.args(["-s", "-o", "/dev/null", "--cacert"]).arg(file).arg(to);
                curl
            }),
        });
        // Beyond that it takes minutes, and tells nothing new.
        if (2..1_000).contains(&blocks.len()) {
            let loop_of =
                "for f in \"$2\"/*; do \"$3\" -s -o /dev/null --cacert \"$f\" \"$1\" && exit 0; done; exit 1";
            let (url, directory) = (url.clone(), directory.clone());
            contenders.push(Contender {
                name: LOOP,
                runs: 6,
                prepare: Box::new(|| ()),
                command: Box::new(move || {
                    let mut shell = command("/bin/sh");
                    shell.args(["-c", loop_of, "sh", &url]).arg(&directory).arg(&curl);
                    shell
                }),
            });
        }
    }
    let measured = contest(&contenders);
    let ours = measured.iter().find(|one| one.name == OURS).expect("it always runs");
    let in_turn = measured.iter().find(|one| one.name == LOOP).filter(|_| blocks.len() > 100);
    if let Some(in_turn) = in_turn {
        let ratio = times(in_turn.wall.median(), ours.wall.median());
        let met = in_turn.wall.median() >= ours.wall.median() * 50;
        goal("a whole connection 50× as fast as a loop of curl over 149 anchors", ratio, met);
    }
    for one in &measured {
        let note = if one.failed > 0 { format!(" ({} failed)", one.failed) } else { String::new() };
        row(&[
            blocks.len().to_string(),
            format!("{}{note}", one.name),
            ms(one.wall.median()),
            format!("{}–{}", ms(one.wall.min()), ms(one.wall.max())),
            ms(one.cpu),
            one.peak.map_or_else(|| "–".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0)),
            one.wall.len().to_string(),
            times(one.wall.median(), ours.wall.median()),
        ]);
    }
}

/// What `connect` itself says that the connection and the verdict took.
fn elapsed(endpoint: &Endpoint, server: &Server) -> Spans {
    const RUNS: usize = 40;
    let merged = endpoint.beside("anchors.pem").display().to_string();
    let spans = (0..RUNS).filter_map(|_| {
        let report = endpoint.agentctl(&["connect", &server.url(), "--bundle", &merged, "--json"]);
        if report.code() != 0 {
            say(&format!("\nWRONG: {}", report.err()));
            return None;
        }
        report.json()["elapsed_us"].as_u64().map(Duration::from_micros)
    });
    Spans::new(spans.collect())
}

/// TCP, a full TLS 1.3 handshake and its verification, in this process and with everything ready.
fn bare_handshakes(server: &Server, root: &Cert) -> Spans {
    const RUNS: usize = 60;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.der().to_vec())).expect("a root");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let config = Arc::new(config);
    let name = ServerName::try_from("localhost").expect("a name");
    let spans = (0..RUNS).map(|_| {
        let start = Instant::now();
        let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).expect("a server of ours");
        tcp.set_nodelay(true).expect("a socket of ours");
        let mut tls = ClientConnection::new(Arc::clone(&config), name.clone()).expect("a configuration");
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).expect("a server of ours");
        }
        let took = start.elapsed();
        // s_server serves one at a time: it must see the end of this one.
        let mut stream = Stream::new(&mut tls, &mut tcp);
        let _asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
        let _answered = stream.read_to_end(&mut Vec::new());
        took
    });
    Spans::new(spans.collect())
}
