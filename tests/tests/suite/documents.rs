//! The pages for administrators: the tutorial is run to the letter, and every code has its entry.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::endpoint::{Endpoint, program, write};
use test_support::pem;
use test_support::process::{command, run};
use test_support::{poll, tools};

#[test]
fn the_tutorial_holds_to_the_letter() {
    if !tools::require(&["openssl", "bash", "install"]) {
        return;
    }
    let mut endpoint = Endpoint::new();
    endpoint.start_daemon();
    let scratch = endpoint.beside("tutorial");
    let bin = scratch.join("bin");
    // The one difference from a real endpoint: the programs are told where this one is.
    let wrapper = format!(
        "#!/bin/sh\nexec '{}' --root '{}' \"$@\"\n",
        program("agentctl").display(),
        endpoint.root().display()
    );
    write(&bin.join("agentctl"), wrapper);
    fs::set_permissions(bin.join("agentctl"), fs::Permissions::from_mode(0o755)).expect("a file of ours");
    let script = scratch.join("script");
    write(&script, script_of(&page("TUTORIAL.md"), &endpoint.root()));

    let mut bash: Command = command(tools::path("bash"));
    let path = std::env::var("PATH").unwrap_or_default();
    bash.arg(&script).current_dir(&scratch).env("PATH", format!("{}:{path}", bin.display()));
    let played = run(&mut bash);
    assert_eq!(played.code(), 0, "{}\n{}", played.out(), played.err());
    for words in ["enrol", "127.0.0.1", "mgmt-old", "mgmt-new"] {
        assert!(played.out().contains(words), "{words:?} in\n{}", played.out());
    }
    // What it promises for the end: the new certificate alone.
    let new = fs::read(scratch.join("new.pem")).expect("the tutorial made it");
    let der = pem::strict_certificates(&new).expect("a certificate");
    poll::until_ok("the old one has left", || match endpoint.published()? {
        found if found == [pem::sha256_hex(&der[0])] => Ok(()),
        found => Err(format!("{found:?}\n{}", endpoint.log())),
    });
}

/// The shell blocks of a page as one script, for this root, and on a free port.
fn script_of(page: &str, root: &Path) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = port.expect("a free port").port().to_string();
    // Servers of ours end with the script, however it ends.
    let mut script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n".to_owned();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                script.push_str(line);
                script.push('\n');
                // A person takes longer to read on than a server to start.
                if line.ends_with(" &") {
                    script.push_str("until (: </dev/tcp/127.0.0.1/8443) 2>/dev/null; do sleep 0.05; done\n");
                }
            }
            _ => {}
        }
    }
    assert!(script.contains("agentctl"), "the page has commands");
    let root = root.display().to_string();
    script
        .replace("8443", &port)
        .replace("/var/lib/agentd", &format!("{root}/var/lib/agentd"))
        .replace("/opt/company", &format!("{root}/opt/company"))
}

#[test]
fn every_code_has_its_entry() {
    let interfaces = page("INTERFACES.md");
    let mut codes: Vec<&str> = Vec::new();
    for head in ["Codes of problems: ", "Codes of findings of `doctor` alone: "] {
        let (_, rest) = interfaces.split_once(head).expect("the list of codes");
        let (list, _) = rest.split_once(['.', '\n']).expect("its end");
        codes.extend(list.split(", ").map(|code| code.trim_matches('`')));
    }
    let page = page("TROUBLESHOOTING.md");
    assert!(codes.len() > 20, "{codes:?}");
    for code in &codes {
        assert!(page.contains(&format!("\n### `{code}`\n")), "no entry for {code}");
    }
    // And the other way round: an entry of a code that is no more helps nobody.
    for entry in page.lines().filter_map(|line| line.strip_prefix("### `")) {
        assert!(codes.contains(&entry.trim_end_matches('`')), "{entry}");
    }
}

fn page(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
