//! Every way in which tools put a file in its place ends in the bundle while the daemon runs.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use test_support::endpoint::{CurlSsl, Endpoint, POLICY, replace, write};
use test_support::pki::{self, Cert};
use test_support::poll;

/// An endpoint with a running daemon; its bundle holds `old`: one of each source.
struct Scene {
    endpoint: Endpoint,
    old: Vec<Cert>,
    new: Vec<Cert>,
}

impl Scene {
    /// `prepare` makes the policy's file with the third certificate.
    fn with(prepare: impl FnOnce(&Endpoint, &Cert)) -> Self {
        let mut scene =
            Self { endpoint: Endpoint::new(), old: pki::roots("Old", 3), new: pki::roots("New", 3) };
        write(&scene.endpoint.bootstrap(), scene.old[0].pem());
        write(&scene.endpoint.site(), scene.old[1].pem());
        prepare(&scene.endpoint, &scene.old[2]);
        scene.endpoint.start_daemon();
        let all = pki::fingerprints(&scene.old);
        scene.endpoint.wait_for("before the change", &all);
        scene
    }

    fn new() -> Self {
        Self::with(|endpoint, third| {
            write(&endpoint.ca_info(), third.pem());
            endpoint.name_ca_info();
        })
    }

    /// The policy's file holds these now, the other sources what they held.
    #[track_caller]
    fn policy_becomes(&mut self, what: &str, policy: &[Cert]) {
        let expected = pki::fingerprints(self.old[..2].iter().chain(policy));
        self.endpoint.wait_for(what, &expected);
    }
}

#[test]
fn written_in_place() {
    let mut scene = Scene::new();
    write(&scene.endpoint.ca_info(), pki::bundle(&scene.new));
    let new = scene.new.clone();
    scene.policy_becomes("written in place", &new);
    // And the other two sources.
    write(&scene.endpoint.bootstrap(), scene.new[0].pem());
    write(&scene.endpoint.site(), scene.new[1].pem());
    scene.endpoint.wait_for("all three", &pki::fingerprints(&scene.new));
}

#[test]
fn appended_to() {
    let mut scene = Scene::new();
    let mut file = fs::File::options().append(true).open(scene.endpoint.ca_info()).expect("a file of ours");
    file.write_all(scene.new[0].pem().as_bytes()).expect("a file of ours");
    let both = [scene.old[2].clone(), scene.new[0].clone()];
    scene.policy_becomes("appended to", &both);
}

#[test]
fn renamed_over() {
    let mut scene = Scene::new();
    for round in 0..3 {
        replace(&scene.endpoint.ca_info(), scene.new[round].pem());
        let new = [scene.new[round].clone()];
        scene.policy_becomes("renamed over", &new);
    }
}

#[test]
fn symbolic_link_swapped() {
    let mut scene = Scene::with(|endpoint, third| {
        write(&endpoint.path("opt/one.pem"), third.pem());
        link(&endpoint.path("opt/one.pem"), &endpoint.ca_info());
        endpoint.name_ca_info();
    });
    let two = scene.endpoint.path("srv/two.pem");
    write(&two, pki::bundle(&scene.new));
    link(&two, &scene.endpoint.ca_info());
    let new = scene.new.clone();
    scene.policy_becomes("the link points elsewhere", &new);
    // And the new target is watched as the old one was.
    write(&two, scene.new[0].pem());
    scene.policy_becomes("the new target changed", &new[..1]);
}

#[test]
fn target_of_a_symbolic_link_changed() {
    let mut scene = Scene::with(|endpoint, third| {
        write(&endpoint.path("srv/certs/real.pem"), third.pem());
        link(&endpoint.path("srv/certs/real.pem"), &endpoint.path("srv/hop.pem"));
        link(&endpoint.path("srv/hop.pem"), &endpoint.ca_info());
        endpoint.name_ca_info();
    });
    replace(&scene.endpoint.path("srv/certs/real.pem"), pki::bundle(&scene.new));
    let new = scene.new.clone();
    scene.policy_becomes("behind two links", &new);
}

#[test]
fn volume_of_links_swapped_as_kubernetes_does() {
    let mut scene = Scene::with(|endpoint, third| {
        let volume = endpoint.path("opt/company");
        write(&volume.join("..one/policy-ca.pem"), third.pem());
        link(Path::new("..one"), &volume.join("..data"));
        link(Path::new("..data/policy-ca.pem"), &endpoint.ca_info());
        endpoint.name_ca_info();
    });
    let volume = scene.endpoint.path("opt/company");
    write(&volume.join("..two/policy-ca.pem"), pki::bundle(&scene.new));
    link(Path::new("..two"), &volume.join("..data"));
    fs::remove_dir_all(volume.join("..one")).expect("a directory of ours");
    let new = scene.new.clone();
    scene.policy_becomes("..data points elsewhere", &new);
}

#[test]
fn directory_replaced() {
    let mut scene = Scene::new();
    let (directory, next) = (scene.endpoint.path("opt/company"), scene.endpoint.path("opt/next"));
    write(&next.join("policy-ca.pem"), pki::bundle(&scene.new));
    fs::rename(&directory, scene.endpoint.path("opt/former")).expect("a directory of ours");
    fs::rename(&next, &directory).expect("a directory of ours");
    let new = scene.new.clone();
    scene.policy_becomes("directory replaced", &new);
    // The new directory is watched too.
    write(&scene.endpoint.ca_info(), scene.new[1].pem());
    scene.policy_becomes("written in the new directory", &new[1..2]);
}

#[test]
fn deleted_and_put_back() {
    let mut scene = Scene::new();
    fs::remove_file(scene.endpoint.ca_info()).expect("a file of ours");
    let policy = pki::bundle(&scene.new);
    write(&scene.endpoint.ca_info(), policy);
    let new = scene.new.clone();
    scene.policy_becomes("put back with other content", &new);
    fs::remove_file(scene.endpoint.ca_info()).expect("a file of ours");
    scene.policy_becomes("gone for good", &[]);
    write(&scene.endpoint.ca_info(), scene.new[0].pem());
    scene.policy_becomes("put back", &new[..1]);
}

#[test]
fn policy_points_elsewhere() {
    let mut scene = Scene::new();
    let elsewhere = scene.endpoint.path("srv/elsewhere/ca.pem");
    write(&elsewhere, pki::bundle(&scene.new));
    scene.endpoint.write_policy(POLICY, CurlSsl { ca_info: &elsewhere.display().to_string(), ca_path: "" });
    let new = scene.new.clone();
    scene.policy_becomes("the policy names another file", &new);
    write(&elsewhere, scene.new[2].pem());
    scene.policy_becomes("the other file changed", &new[2..]);
}

#[test]
fn policy_arrives_and_goes() {
    let mut scene = Scene::new();
    fs::remove_file(scene.endpoint.path(&format!("var/lib/agentd/policies/{POLICY}.xml")))
        .expect("a policy of ours");
    scene.policy_becomes("no policy", &[]);
    scene.endpoint.name_ca_info();
    let old = [scene.old[2].clone()];
    scene.policy_becomes("the policy is back", &old);
}

#[test]
fn directory_that_did_not_exist_at_the_start() {
    let mut scene = Scene::with(|endpoint, third| {
        write(&endpoint.path("srv/first.pem"), third.pem());
        endpoint.write_policy(
            POLICY,
            CurlSsl { ca_info: &endpoint.path("srv/first.pem").display().to_string(), ca_path: "" },
        );
    });
    let late = scene.endpoint.path("mnt/volume/certs/ca.pem");
    scene.endpoint.write_policy(POLICY, CurlSsl { ca_info: &late.display().to_string(), ca_path: "" });
    scene.policy_becomes("a file in no directory", &[]);
    write(&late, pki::bundle(&scene.new));
    let new = scene.new.clone();
    scene.policy_becomes("the directories came", &new);
}

#[test]
fn file_comes_into_a_directory_of_certificates() {
    let mut scene = Scene::with(|endpoint, third| {
        write(&endpoint.path("opt/certs/m.pem"), third.pem());
        endpoint.write_policy(
            POLICY,
            CurlSsl { ca_info: "", ca_path: &endpoint.path("opt/certs").display().to_string() },
        );
    });
    write(&scene.endpoint.path("opt/certs/a.pem"), scene.new[0].pem());
    write(&scene.endpoint.path("opt/certs/z.pem"), scene.new[1].pem());
    let sorted = [scene.new[0].clone(), scene.old[2].clone(), scene.new[1].clone()];
    scene.policy_becomes("in name order", &sorted);
    fs::remove_file(scene.endpoint.path("opt/certs/m.pem")).expect("a file of ours");
    let rest = scene.new[..2].to_vec();
    scene.policy_becomes("one is gone", &rest);
}

#[test]
fn hand_edit_of_the_bundle_is_undone() {
    let scene = Scene::new();
    let good = fs::read(scene.endpoint.merged()).expect("a bundle");
    for edit in [scene.new[0].pem().into_bytes(), Vec::new(), [good.as_slice(), b"# mine\n"].concat()] {
        write(&scene.endpoint.merged(), edit);
        poll::until("the bundle is as it was", || {
            (fs::read(scene.endpoint.merged()).ok()? == good).then_some(())
        });
    }
    fs::remove_file(scene.endpoint.merged()).expect("a bundle");
    poll::until("the bundle is back", || (fs::read(scene.endpoint.merged()).ok()? == good).then_some(()));
}

/// Two seconds of pieces: an installer, a slow copy. At no time is there less than before.
#[test]
fn written_in_pieces_never_yields_less() {
    const PIECES: usize = 20;
    let mut scene = Scene::with(|endpoint, third| {
        write(&endpoint.ca_info(), third.pem());
        endpoint.name_ca_info();
    });
    let before: HashSet<String> = pki::fingerprints(&scene.old).into_iter().collect();
    // What was there, last: so that it is missing for as long as the file is being written.
    let content = pki::bundle(scene.new.iter().chain(&scene.old[2..]));
    let mut file = fs::File::create(scene.endpoint.ca_info()).expect("a file of ours");
    for piece in content.as_bytes().chunks(content.len().div_ceil(PIECES)) {
        file.write_all(piece).and_then(|()| file.sync_data()).expect("a file of ours");
        poll::throughout(Duration::from_millis(100), || {
            let now: HashSet<String> =
                scene.endpoint.published().expect("always a whole bundle").into_iter().collect();
            assert!(now.is_superset(&before), "{before:?} became {now:?}\n{}", scene.endpoint.log());
        });
    }
    drop(file);
    let new: Vec<Cert> = scene.new.iter().chain(&scene.old[2..]).cloned().collect();
    scene.policy_becomes("whole at last", &new);
}

/// Makes a link, or puts it in the place of another in one step.
fn link(target: &Path, at: &Path) {
    let directory = at.parent().expect("a link in a directory");
    let beside = directory.join("link-to-be");
    fs::create_dir_all(directory).and_then(|()| symlink(target, &beside)).expect("a place of ours");
    fs::rename(beside, at).expect("a place of ours");
}
