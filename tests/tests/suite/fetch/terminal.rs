//! A person at a terminal: a pseudo-terminal, typed into when the question is there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use test_support::endpoint::{Endpoint, write};
use test_support::pki::Recipe;

use super::{host, servers};

/// How it ended, what the terminal showed, and what came on stdout.
struct Session {
    code: i32,
    screen: String,
    stdout: String,
}

/// Runs `agentctl` with its standard input and error on a terminal; types each answer when its question is shown.
fn session(endpoint: &Endpoint, arguments: &[&str], talk: &[(&str, String)]) -> Session {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    // Not at once: macOS cannot.
    fcntl_setfd(&master, FdFlags::CLOEXEC).expect("a descriptor of ours");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal of ours");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave =
        || File::from(rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("its other end"));
    let mut command = endpoint.agentctl_command(arguments);
    command.stdin(slave()).stderr(slave()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("agentctl");
    // The command holds descriptors of the terminal, and reading from it ends when the last is closed.
    drop(command);
    let mut master = File::from(master);
    let shown = follow(master.try_clone().expect("a descriptor"));
    let mut screen = String::new();
    for (question, answer) in talk {
        let asked = screen.len();
        while !screen[asked..].contains(question) {
            match shown.recv_timeout(Duration::from_secs(60)) {
                Ok(more) => screen.push_str(&more),
                Err(error) => panic!("{error}: no {question:?} in\n{screen}"),
            }
        }
        master.write_all(format!("{answer}\n").as_bytes()).expect("a terminal takes what is typed");
    }
    let mut stdout = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut stdout).expect("text");
    let code = child.wait().expect("its end").code().expect("an exit code");
    screen.extend(shown.iter());
    Session { code, screen, stdout }
}

fn follow(mut master: File) -> Receiver<String> {
    let (tell, shown) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        // The last close at the other end is an error here.
        while let Ok(length @ 1..) = master.read(&mut buffer) {
            if tell.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                return;
            }
        }
    });
    shown
}

const QUESTION: &str = "first 8 digits";

/// `a91b77e0…` as the screen has it.
fn groups(sha256: &str) -> Vec<String> {
    let digits: Vec<char> = sha256.to_uppercase().chars().collect();
    digits.chunks(4).map(|group| group.iter().collect()).collect()
}

#[test]
fn the_whole_chain_is_shown_and_the_right_digits_trust_one_of_it() {
    for make in servers() {
        let root = Recipe::ca("Terminal Root").self_signed();
        let leaf = Recipe::leaf("localhost").issued_by(&root);
        let server = make(&leaf, std::slice::from_ref(&root));
        for (pick, taken) in [(None, &leaf), (None, &root), (Some("root"), &root)] {
            let endpoint = Endpoint::new();
            let host = host(&server);
            let mut arguments = vec!["fetch", &host, "--json"];
            arguments.extend(pick.into_iter().flat_map(|pick| ["--pick", pick]));
            let session = session(&endpoint, &arguments, &[(QUESTION, taken.sha256()[..8].to_owned())]);
            assert_eq!(session.code, 0, "{}", session.screen);
            for word in
                ["CN=localhost", "issued by CN=Terminal Root", "self-signed", "ECDSA P-256", "NOT verified"]
            {
                assert!(session.screen.contains(word), "{word}: {}", session.screen);
            }
            for cert in [&leaf, &root] {
                for group in groups(&cert.sha256()) {
                    assert!(session.screen.contains(&group), "{group}: {}", session.screen);
                }
            }
            let report: serde_json::Value = serde_json::from_str(&session.stdout).expect("one document");
            assert_eq!(report["certificate"]["matched_by"], "typed");
            assert_eq!(report["certificate"]["sha256"], taken.sha256());
            assert_eq!(endpoint.published(), Ok(vec![taken.sha256()]));
        }
    }
}

#[test]
fn enter_or_other_digits_save_nothing() {
    for make in servers().into_iter().take(1) {
        let leaf = Recipe::leaf("localhost").self_signed();
        let server = make(&leaf, &[]);
        let other = Recipe::leaf("localhost").self_signed().sha256()[..8].to_owned();
        let no = || (QUESTION, other.clone());
        for (talk, words) in [
            (vec![(QUESTION, String::new())], "nobody trusted"),
            (vec![no(), (QUESTION, "yes".to_owned()), no()], "no certificate shown"),
            (vec![no(), (QUESTION, String::new())], "nobody trusted"),
        ] {
            let endpoint = Endpoint::new();
            let session = session(&endpoint, &["fetch", &host(&server)], &talk);
            assert_eq!(session.code, 6, "{}", session.screen);
            assert!(session.screen.contains(words), "{}", session.screen);
            assert!(session.stdout.is_empty() && !endpoint.bootstrap().exists());
        }
        // A slip of the finger is no end.
        let endpoint = Endpoint::new();
        let right = (QUESTION, leaf.sha256()[..8].to_uppercase());
        assert_eq!(session(&endpoint, &["fetch", &host(&server)], &[no(), right]).code, 0);
    }
}

#[test]
fn a_replacement_shows_what_goes_before_it_goes() {
    for make in servers().into_iter().take(1) {
        let leaf = Recipe::leaf("localhost").self_signed();
        let server = make(&leaf, &[]);
        let old = Recipe::ca("Gone Soon").self_signed();
        let digits = || (QUESTION, leaf.sha256()[..8].to_owned());
        for (answer, code) in [("n", 6), ("", 6), ("y", 0)] {
            let endpoint = Endpoint::new();
            write(&endpoint.bootstrap(), old.pem());
            let talk = [digits(), ("Replace?", answer.to_owned())];
            let session = session(&endpoint, &["fetch", &host(&server), "--replace", "--json"], &talk);
            assert_eq!(session.code, code, "{}", session.screen);
            let question = session.screen.find("Replace?").expect("it was asked");
            assert!(session.screen[..question].contains(&old.sha256()), "{}", session.screen);
            assert!(session.screen[..question].contains("Gone Soon"));
            let kept = std::fs::read_to_string(endpoint.bootstrap()).expect("the file") == old.pem();
            assert_eq!(kept, code != 0);
        }
        // In a script the fingerprint is the agreement, and the difference is told all the same.
        let endpoint = Endpoint::new();
        write(&endpoint.bootstrap(), old.pem());
        let run = endpoint
            .agentctl(&["fetch", &host(&server), "--replace", "--fingerprint", &leaf.sha256(), "--json"])
            .expect_code(0);
        assert!(run.err().contains(&old.sha256()), "{}", run.err());
        assert_eq!(run.json()["removed"], serde_json::json!([old.sha256()]));
        assert_eq!(run.json()["result"], "replaced");
    }
}
