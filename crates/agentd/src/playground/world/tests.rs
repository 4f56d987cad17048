//! The endpoint's side against the server, without a daemon.

use super::*;

async fn world(directory: &tempfile::TempDir) -> World {
    World::new(Scratch::make(Some(directory.path())).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_certificate_of_another_fingerprint_is_refused_and_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let world = world(&directory).await;
    let unmet = world.bootstrap(Fingerprint::of(b"another")).await.unwrap_err();
    assert!(unmet.to_string().contains(&world.current.fingerprint().to_string()), "{unmet}");
    assert!(!world.scratch.settings().store.bootstrap.exists());
}

#[tokio::test]
async fn the_certificate_of_the_fingerprint_becomes_the_bootstrap_anchor() {
    let directory = tempfile::tempdir().unwrap();
    let world = world(&directory).await;
    world.bootstrap(world.current.fingerprint()).await.unwrap();
    let set = agent::anchors_of(&world.scratch.settings().store.bootstrap).unwrap();
    assert_eq!(set.len(), 1);
    assert_eq!(set.get(0).unwrap().fingerprint(), world.current.fingerprint());
}

#[tokio::test]
async fn a_policy_is_not_taken_from_a_server_that_the_anchors_do_not_verify() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = world(&directory).await;
    world.bootstrap(world.current.fingerprint()).await.unwrap();
    let next = world.next_authority().unwrap();
    world.switch_to(next).unwrap();
    world.receive_first().await.unwrap_err();
    let store = &world.scratch.settings().store;
    assert_eq!(std::fs::read_dir(&store.policies).unwrap().count(), 0);
    assert!(!world.scratch.site_ca().exists());
}

#[tokio::test]
async fn a_policy_cannot_name_another_file_to_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let world = world(&directory).await;
    world.bootstrap(world.current.fingerprint()).await.unwrap();
    world.server.put(agent::policy_path(), "<Policy><CurlSSL CAInfo=\"/elsewhere/site-ca.pem\"/></Policy>");
    let unmet = world.receive_first().await.unwrap_err();
    assert!(unmet.to_string().contains("another CAInfo file"), "{unmet}");
}
