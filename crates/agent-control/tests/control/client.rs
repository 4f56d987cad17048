//! The client against whatever may answer.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agent_control::{Client, ClientError};
use tokio::task::spawn_blocking;

use crate::support::{MOMENT, run};

/// Accepts one connection, reads the call, answers `bytes`, closes.
fn impostor(bytes: &'static [u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut byte = [1];
        while byte != [0] {
            stream.read_exact(&mut byte).unwrap();
        }
        // The client may have heard enough.
        drop(stream.write_all(bytes));
    });
    (dir, path)
}

fn status_of(bytes: &'static [u8]) -> ClientError {
    run(async move {
        let (_dir, path) = impostor(bytes);
        Client::connect(&path).await.unwrap().status().await.unwrap_err()
    })
}

#[test]
fn answers_of_others_are_told_apart() {
    assert!(matches!(status_of(b""), ClientError::Closed { .. }));
    assert!(matches!(status_of(b"{\"parameters\":{"), ClientError::Closed { .. }));
    assert!(matches!(status_of(b"HTTP/1.1 400 Bad Request\r\n\r\n\0"), ClientError::Protocol { .. }));
    assert!(matches!(status_of(b"{}\0"), ClientError::Protocol { .. }));
    assert!(matches!(status_of(b"{\"parameters\":{\"status\":{}}}\0"), ClientError::Protocol { .. }));
    let unsupported = br#"{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"io.agentd.Control.Status"}}"#;
    let unsupported: &'static [u8] = [unsupported.as_slice(), b"\0"].concat().leak();
    let error = status_of(unsupported);
    assert!(matches!(&error, ClientError::Unsupported { thing } if thing.ends_with("Status")), "{error:?}");
    let error = status_of(b"{\"error\":\"io.agentd.Control.Tomorrow\",\"parameters\":{\"a\":1}}\0");
    assert!(matches!(&error, ClientError::UnknownError { name } if name.ends_with("Tomorrow")), "{error:?}");
    assert!(!error.remedy().is_empty());
    // Fields that are new to us do no harm, in errors neither.
    let error = status_of(b"{\"error\":\"io.agentd.Control.Busy\",\"parameters\":{\"message\":\"m\",\"remedy\":\"r\",\"x\":1}}\0");
    assert!(matches!(error, ClientError::Refused(_)), "{error:?}");
}

#[test]
fn no_daemon_is_said_at_once() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        for path in ["control.sock", "no/such/directory/control.sock"] {
            let error = Client::connect(&dir.path().join(path)).await.unwrap_err();
            assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
        }
        let path = dir.path().join("stale.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(matches!(Client::connect(&path).await, Err(ClientError::NotRunning { .. })));
        std::fs::write(dir.path().join("file"), "").unwrap();
        let error = Client::connect(&dir.path().join("file")).await.unwrap_err();
        assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
    });
}

#[test]
fn a_daemon_that_hangs_is_given_up() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let start = Instant::now();
        let mut client = Client::connect_within(&path, MOMENT).await.unwrap();
        let error = client.status().await.unwrap_err();
        assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        // It accepts nothing: the backlog fills, and that is no endless wait either.
        let mut waiting = Vec::new();
        let error = loop {
            match Client::connect_within(&path, MOMENT).await {
                Ok(client) => waiting.push(client),
                Err(error) => break error,
            }
            assert!(waiting.len() < 10_000);
        };
        assert!(matches!(error, ClientError::Timeout { method: "connect", .. }), "{error:?}");
        drop(listener);
    });
}

#[test]
fn an_endless_answer_has_a_bound() {
    let error = run(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let flood = spawn_blocking(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[b' '; 65536]).is_ok() {}
        });
        let error = Client::connect(&path).await.unwrap().status().await.unwrap_err();
        flood.await.unwrap();
        error
    });
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
}
