use std::path::Path;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn the_check_of_a_server_waits_for_its_turn() {
    let scratch = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let toml = format!("[[server]]\nurl = \"https://127.0.0.1:{port}/\"\n");
    let fragment = agent_config::parse(&toml, Path::new("x")).unwrap();
    let settings = Settings::resolve(&fragment, Some(scratch.path())).unwrap();
    let turns = Turns::default();
    let mut servers = Servers::new(&settings, scratch.path().join("none.pem"), turns.clone());
    servers.store_looked_at();
    // A refresh talks to it.
    let turn = turns.take(&format!("127.0.0.1:{port}")).await;
    let checking = tokio::spawn(async move {
        loop {
            let _reached = servers.advance().await;
        }
    });
    let early = timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(early.is_err(), "a second connection beside the first");
    drop(turn);
    let then = timeout(Duration::from_secs(20), listener.accept()).await;
    assert!(then.is_ok_and(|accepted| accepted.is_ok()), "and then it is looked at");
    checking.abort();
}
