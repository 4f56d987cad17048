//! A person at a terminal, who types when the question is there, with the output going elsewhere.

use test_support::endpoint::{Endpoint, write};
use test_support::pki::Recipe;
use test_support::terminal::{Ended, Terminal};

use super::{host, servers};

/// Runs `agentctl`; types each answer when its question is shown.
fn session(endpoint: &Endpoint, arguments: &[&str], talk: &[(&str, String)]) -> Ended {
    let mut terminal = Terminal::open_piped(&endpoint.agentctl_command(arguments), 80);
    for (question, answer) in talk {
        let _before = terminal.wait_for(question);
        terminal.press(&format!("{answer}\n"));
    }
    terminal.end()
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
            let report: serde_json::Value = serde_json::from_str(&session.out).expect("one document");
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
            assert!(session.out.is_empty() && !endpoint.bootstrap().exists());
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
