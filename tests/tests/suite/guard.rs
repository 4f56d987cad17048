//! The lockout guard against a real server: what it needs stays, what it no longer needs leaves, what is distrusted
//! goes at once, and what left too early comes back.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Cert, Recipe};
use test_support::poll;
use test_support::servers::{Server, free_port};
use test_support::tools;

struct Scene {
    endpoint: Endpoint,
    old: Cert,
    new: Cert,
    server: Server,
}

impl Scene {
    /// A server of the old authority, an endpoint that knows it and has reached it; with the guard as `settings` say.
    fn new(settings: &str) -> Self {
        let old = Recipe::ca("Old Authority").self_signed();
        let new = Recipe::ca("New Authority").self_signed();
        let leaf = Recipe::leaf("localhost").issued_by(&old);
        let server = Server::nginx(&leaf, &[]);
        let endpoint = Endpoint::new();
        let url = server.url();
        let scene = Self { endpoint, old, new, server };
        scene.configure(&url, settings);
        write(&scene.endpoint.bootstrap(), scene.old.pem());
        scene
    }

    fn configure(&self, url: &str, settings: &str) {
        let text = format!(
            "[connect]\ntimeout = \"2s\"\ncheck-interval = \"1s\"\n[watch]\npoll-interval = \"2s\"\n{settings}\n\
             [[server]]\nurl = \"{url}\"\n"
        );
        write(&self.endpoint.config(), text);
    }

    /// The server moves to the other authority.
    fn switch(&mut self) {
        let leaf = Recipe::leaf("localhost").issued_by(&self.new);
        self.server.present(&leaf, &[]);
    }

    fn wait_for_lock(&self, lock: &str) -> Value {
        poll::until(&format!("the server is {lock}"), || {
            let status = self.endpoint.json(&["status"]);
            (status["servers"][0]["lock"] == lock).then_some(status)
        })
    }

    fn codes(&self) -> Vec<String> {
        let status = self.endpoint.json(&["status"]);
        let problems = status["problems"].as_array().expect("a list").clone();
        problems.iter().filter_map(|problem| problem["code"].as_str().map(str::to_owned)).collect()
    }
}

#[test]
fn what_the_server_needs_stays_until_another_has_proven_itself() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let mut scene = Scene::new("");
    scene.endpoint.start_daemon();
    scene.wait_for_lock("secure");
    // The wrong order: the old anchor is replaced before the server has moved.
    write(&scene.endpoint.bootstrap(), scene.new.pem());
    let both = pki::fingerprints([&scene.new, &scene.old]);
    scene.endpoint.wait_for("the new anchor is added and the old one kept", &both);
    poll::until("the guard has asked", || {
        let status = scene.endpoint.json(&["status"]);
        (status["store"]["retained"] == serde_json::json!([scene.old.sha256()])
            && scene.codes().contains(&"anchor-retained".to_owned()))
        .then_some(())
    });
    let regen = scene.endpoint.json(&["regen"]);
    assert_eq!(regen["retained"][0]["why"], "needed", "{regen}");
    assert_eq!(scene.endpoint.published(), Ok(both));
    scene.wait_for_lock("attention");
    let text = scene.endpoint.agentctl(&["anchors", "list"]).expect_code(0).out();
    assert!(text.contains("retained for a server"), "{text}");
    // The server moves: the new anchor proves itself, and the old one leaves by itself.
    scene.switch();
    let new = pki::fingerprints([&scene.new]);
    scene.endpoint.wait_for("the old anchor has left", &new);
    scene.wait_for_lock("secure");
    poll::until("nothing is retained any more", || {
        (!scene.codes().contains(&"anchor-retained".to_owned())).then_some(())
    });
}

#[test]
fn a_server_that_cannot_be_asked_keeps_its_anchor_and_a_distrust_does_not_wait() {
    if !tools::require(&["nginx"]) {
        return;
    }
    for with_daemon in [true, false] {
        let mut scene = Scene::new("");
        scene.endpoint.start_daemon();
        scene.wait_for_lock("secure");
        poll::until("it is remembered", || {
            let state = fs::read_to_string(scene.endpoint.path("var/lib/agentd/state/state.json")).ok()?;
            state.contains("\"servers\":[{").then_some(())
        });
        if !with_daemon {
            assert!(scene.endpoint.stop_daemon().success());
        }
        let Scene { mut endpoint, old, new, server } = scene;
        drop(server);
        write(&endpoint.bootstrap(), new.pem());
        let regen = endpoint.json(&["regen"]);
        assert_eq!(regen["retained"][0]["why"], "unreachable", "{regen}");
        assert_eq!(endpoint.published(), Ok(pki::fingerprints([&new, &old])));
        // Meanwhile a source can fail, and the status says so.
        let mode = |mode| fs::set_permissions(endpoint.bootstrap(), Permissions::from_mode(mode));
        mode(0o666).expect("our own file");
        poll::until("the status names the source", || {
            endpoint.json(&["status"]).to_string().contains("source-unreadable").then_some(())
        });
        mode(0o644).expect("our own file");
        let gone = endpoint.json(&["distrust", &old.sha256(), "--reason", "stolen"]);
        assert_eq!(gone["removed"], serde_json::json!([old.sha256()]), "{gone}");
        let only = pki::fingerprints([&new]);
        endpoint.wait_for("the distrusted anchor is gone", &only);
        assert_eq!(endpoint.json(&["distrust"])[0]["reason"], "stolen");
        // Whatever a source says, and whatever is gone back to.
        write(&endpoint.site(), old.pem());
        assert_eq!(endpoint.json(&["regen"])["changed"], false);
        let _rolled = endpoint.json(&["rollback", "1"]);
        let published = endpoint.published().expect("a bundle");
        assert!(!published.contains(&old.sha256()), "{published:?}");
        let back = endpoint.json(&["trust", &old.sha256()[..12]]);
        assert!(endpoint.published().expect("a bundle").contains(&old.sha256()), "{back}");
        let _run = endpoint.agentctl(&["trust", &old.sha256()]).expect_code(5);
    }
}

#[test]
fn what_left_too_early_comes_back_from_the_archive() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let mut scene = Scene::new("");
    write(&scene.endpoint.bootstrap(), pki::bundle([&scene.old, &scene.new]));
    scene.endpoint.start_daemon();
    scene.wait_for_lock("secure");
    // The new anchor is not needed yet, so it may leave; then the server moves to it.
    write(&scene.endpoint.bootstrap(), scene.old.pem());
    let old = pki::fingerprints([&scene.old]);
    scene.endpoint.wait_for("the new anchor has left", &old);
    scene.switch();
    let both = pki::fingerprints([&scene.old, &scene.new]);
    scene.endpoint.wait_for("it came back", &both);
    scene.wait_for_lock("attention");
    assert!(scene.codes().contains(&"anchor-archived".to_owned()), "{:?}", scene.codes());
}

#[test]
fn switched_off_or_forced_nothing_is_retained() {
    if !tools::require(&["nginx"]) {
        return;
    }
    for (settings, arguments) in [("[guard]\nenabled = false\n", &["regen"][..]), ("", &["regen", "--force"])]
    {
        let mut scene = Scene::new(settings);
        scene.endpoint.start_daemon();
        scene.wait_for_lock("secure");
        write(&scene.endpoint.bootstrap(), scene.new.pem());
        let regen = scene.endpoint.json(arguments);
        assert_eq!(regen["retained"], serde_json::json!([]), "{regen}");
        assert_eq!(scene.endpoint.published(), Ok(pki::fingerprints([&scene.new])), "{regen}");
        // The server is lost by that, and nothing brings the old anchor back.
        scene.wait_for_lock("insecure");
        assert_eq!(scene.endpoint.published(), Ok(pki::fingerprints([&scene.new])), "{regen}");
    }
}

#[test]
fn a_server_that_was_never_reached_delays_nothing_that_is_added() {
    let scene_port = free_port();
    let endpoint = Endpoint::new();
    let certs = pki::roots("Added", 3);
    write(
        &endpoint.config(),
        format!("[connect]\ntimeout = \"2s\"\n[[server]]\nurl = \"https://localhost:{scene_port}\"\n"),
    );
    write(&endpoint.bootstrap(), pki::bundle(&certs[..2]));
    let _first = endpoint.json(&["regen"]);
    write(&endpoint.bootstrap(), pki::bundle(&certs[1..]));
    let regen = endpoint.json(&["regen"]);
    assert_eq!(regen["added"], serde_json::json!([certs[2].sha256()]), "{regen}");
    assert_eq!(regen["removed"], serde_json::json!([certs[0].sha256()]), "nobody was ever verified by it");
}
