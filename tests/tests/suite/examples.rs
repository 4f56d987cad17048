//! The examples of each command's help, run word for word: on an endpoint with a server that has `mgmt.example`'s place. And what is mistyped is answered with what may have been meant.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use test_support::endpoint::{Endpoint, program, write};
use test_support::pki::{Cert, Recipe};
use test_support::process::{command, run};
use test_support::servers::Server;
use test_support::tools;

/// Examples that do not end with 0 here, and why.
const ENDS: &[(&str, i32, &str)] = &[
    ("agentctl fetch mgmt.example", 2, "without a terminal it asks for the fingerprint"),
    ("agentctl enroll https://mgmt.example:4726", 2, "the same"),
    ("agentctl doctor --fix", 2, "without a terminal it wants --yes"),
    ("agentctl diff store new-ca.pem --exit-code", 10, "they differ"),
];

/// Examples that are played elsewhere, and where.
const ELSEWHERE: &[(&str, &str)] = &[
    ("agentctl watch", "it does not end: the suite `at_a_terminal`"),
    (
        "agentctl watch --json | jq -c .event",
        "it does not end: the suite `metrics` and others read its events",
    ),
    (
        "agentctl fetch '[2001:db8::7]:443' --server-name mgmt.example --fingerprint a91b77e0…",
        "an address of its own for IPv6: the suite `fetch`",
    ),
    (
        "agentctl completions zsh > \"${fpath[1]}/_agentctl\"",
        "the words of zsh: the suite `completions` puts it there",
    ),
];

/// Files that the examples name, and a server that does what a management server does.
struct Scene {
    endpoint: Endpoint,
    server: Server,
    leaf: Cert,
    root: Cert,
    /// The first digits of the third anchor.
    third: String,
    /// Where the examples are run.
    directory: PathBuf,
}

const MANAGEMENT: &str = "  server {
    listen 127.0.0.1:{port} ssl; server_name localhost;
    ssl_certificate {dir}/chain.pem; ssl_certificate_key {dir}/key.pem;
    location = /policies/index.json { return 200 '{\"v\":1,\"policies\":[]}'; }
    location = /inventory { return 204; }
  }
";

impl Scene {
    fn new() -> Self {
        let endpoint = Endpoint::new();
        let root = Recipe::ca("Examples").self_signed();
        let leaf = Recipe::leaf("localhost").issued_by(&root);
        let server = Server::nginx_with(&leaf, std::slice::from_ref(&root), MANAGEMENT);
        let servers = format!(
            "[[server]]\nname = \"mgmt.example\"\nurl = \"{}\"\n[refresh]\nindex = \"/policies/index.json\"\n\
             [inventory]\npath = \"/inventory\"\n",
            server.url()
        );
        write(&endpoint.config(), servers);
        write(&endpoint.bootstrap(), root.pem());
        let _first = endpoint.agentctl(&["regen"]).expect_code(0);
        let third = Recipe::ca("Third").self_signed();
        write(&endpoint.site(), Recipe::ca("Second").self_signed().pem() + &third.pem());
        let _second = endpoint.agentctl(&["regen"]).expect_code(0);
        // Without a daemon: one that is asked for change after change takes its time on purpose.
        let directory = endpoint.beside("examples");
        for (name, content) in [
            ("new-ca.pem", root.pem()),
            ("old.cer", third.pem()),
            ("ca.pem", root.pem()),
            ("sent.pem", leaf.pem()),
            ("cases.jsonl", String::new()),
        ] {
            write(&directory.join(name), content);
        }
        for place in ["man1", "home/.config/fish/completions", "etc"] {
            fs::create_dir_all(directory.join(place)).expect("a directory of ours");
        }
        let wrapper = format!(
            "#!/bin/sh\nexec '{}' --root '{}' \"$@\"\n",
            program("agentctl").display(),
            endpoint.root().display()
        );
        let at = directory.join("bin/agentctl");
        write(&at, wrapper);
        fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).expect("a file of ours");
        let third = third.sha256()[..8].to_owned();
        Self { endpoint, server, leaf, root, third, directory }
    }

    /// An example with the names of this endpoint for those of a real one.
    fn here(&self, example: &str) -> String {
        let host = format!("localhost:{}", self.server.port());
        let leaf = self.leaf.sha256();
        let root = self.root.sha256();
        let colons: Vec<&str> =
            leaf.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits")).collect();
        // A site server's certificate is the one that it presents, and so is the issuer's the root's.
        let fingerprint = if example.contains("--pick issuer") { &root } else { &leaf };
        example
            .replace("--host mgmt.example", "--host localhost")
            .replace("connect mgmt.example", "connect MGMT")
            .replace("https://mgmt.example:443", &format!("https://{host}"))
            .replace("https://mgmt.example:4726", &format!("https://{host}"))
            .replace("https://mgmt.example", &format!("https://{host}"))
            .replace(
                "https://ss3.branch.example",
                &format!("https://{}", host.replace("localhost", "127.0.0.1")),
            )
            .replace("ss3.branch.example", &host)
            .replace("mgmt.example:4726", &host)
            .replace("mgmt.example", &host)
            .replace("MGMT", "mgmt.example")
            .replace("host:443", &host)
            .replace("A9:1B:77:E0:…", &colons.join(":").to_uppercase())
            .replace("a91b77e0…", fingerprint)
            .replace("3f9a02c1", &self.third)
            .replace("41 42", "1 2")
            .replace(" 41", " 1")
            .replace("/etc/bash_completion.d", "etc")
    }

    /// Lifts every ban.
    fn take_back(&self) {
        for ban in self.endpoint.json(&["distrust"]).as_array().expect("a list") {
            let _lifted = self.endpoint.json(&["trust", ban["fingerprint"].as_str().expect("a fingerprint")]);
        }
    }

    fn play(&self, example: &str, code: i32) {
        let path = format!("{}/bin:{}", self.directory.display(), std::env::var("PATH").unwrap_or_default());
        let mut bash = command("bash");
        bash.args(["-o", "pipefail", "-c", &self.here(example)]).current_dir(&self.directory);
        let played = run(bash.env("PATH", &path).env("HOME", self.directory.join("home")));
        assert_eq!(played.code(), code, "{example}\n{}\n{}", played.out(), played.err());
    }
}

#[test]
fn every_example_of_the_help_runs() {
    if !tools::require(&["nginx", "openssl", "jq", "promtool", "bash"]) {
        return;
    }
    let scene = Scene::new();
    let mut seen = BTreeSet::new();
    for (words, help) in helps() {
        let examples = examples(&help);
        assert!(!examples.is_empty() || words.is_empty(), "`agentctl {}` has no example", words.join(" "));
        for example in examples {
            if !seen.insert(example.clone()) || ELSEWHERE.iter().any(|(known, _)| *known == example) {
                continue;
            }
            let code = ENDS.iter().find(|(known, ..)| *known == example).map_or(0, |(_, code, _)| *code);
            scene.play(&example, code);
            // What the next ones begin with.
            match example.as_str() {
                "agentctl distrust 3" => scene.take_back(),
                "agentctl rollback" | "agentctl rollback 41 --pin 24h" => {
                    scene.play("agentctl regen --force", 0);
                }
                _ => {}
            }
        }
    }
    for known in ENDS.iter().map(|(known, ..)| *known).chain(ELSEWHERE.iter().map(|(known, _)| *known)) {
        assert!(seen.contains(known), "no help has `{known}` any more");
    }
    assert!(scene.endpoint.published().is_ok());
}

/// Each command's words and its help.
fn helps() -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut open = vec![Vec::<String>::new()];
    while !open.is_empty() {
        let words = open.remove(0);
        let help = run(command(program("agentctl")).args(&words).arg("--help")).expect_code(0).out();
        let (_, commands) = help.split_once("\nCommands:\n").unwrap_or_default();
        for line in commands.lines().take_while(|line| !line.is_empty()) {
            // What a description goes on with is further in.
            let name = line.strip_prefix("  ").filter(|line| !line.starts_with(' '));
            let name = name.and_then(|line| line.split_whitespace().next()).filter(|name| *name != "help");
            open.extend(name.map(|name| [words.as_slice(), &[name.to_owned()]].concat()));
        }
        let is_group = !commands.is_empty() && words.is_empty();
        found.push((words, if is_group { String::new() } else { help }));
    }
    found
}

/// The commands of a help, without what is said of them.
fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
    let commands = lines.filter(|line| line.starts_with("agentctl ") || line.contains("| agentctl "));
    commands
        .map(|line| {
            line.split("  #").next().unwrap_or(line).split(" # ").next().unwrap_or(line).trim().to_owned()
        })
        .collect()
}

#[test]
fn what_is_mistyped_is_answered_with_what_was_meant() {
    let endpoint = Endpoint::new();
    let anchor = Recipe::ca("Mistyped Root").self_signed();
    write(&endpoint.config(), "[[server]]\nname = \"playground\"\nurl = \"https://127.0.0.1:1/\"\n");
    write(&endpoint.bootstrap(), anchor.pem());
    let _made = endpoint.agentctl(&["regen"]).expect_code(0);
    let id = &anchor.sha256()[..8];
    let swapped = format!("{}{}{}", &id[..3], if &id[3..4] == "0" { "1" } else { "0" }, &id[4..]);
    let banned = "ab".repeat(32);
    let _banned = endpoint.agentctl(&["distrust", &banned]).expect_code(0);
    let did = format!("did you mean {id}, anchor 1 \"CN=Mistyped Root\"?");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["statsu"], 2, "'status'"),
        (&["status", "--chekc"], 2, "'--check'"),
        (&["anchors", "lst"], 2, "'list'"),
        (&["completions", "bsh"], 2, "'bash'"),
        (&["status", "--color", "nevr"], 2, "'never'"),
        (&["anchors", "show", &swapped], 5, &did),
        (&["anchors", "show", "mistyped"], 2, &did),
        (&["distrust", &swapped], 5, &did),
        (&["trust", "ababacab"], 5, "did you mean abababab?"),
        (&["diff", "stroe"], 2, "did you mean store? A file of that name is ./stroe"),
        (&["rollback", "99"], 5, "only 1 is kept"),
        (&["connect", "playgruond"], 3, "did you mean the configured server \"playground\"?"),
        (&["connect", "htps://mgmt.example"], 2, "did you mean https://mgmt.example?"),
        (&["enroll", "http://mgmt.example"], 2, "did you mean https://mgmt.example?"),
        (
            &["fetch", "localhost:1", "--to", "boostrap", "--fingerprint", &banned],
            2,
            "did you mean bootstrap?",
        ),
    ];
    for (arguments, code, expected) in cases {
        let said = endpoint.agentctl(arguments).expect_code(*code).err();
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert!(!endpoint.beside("boostrap").exists());
}
