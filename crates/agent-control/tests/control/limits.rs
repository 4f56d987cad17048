//! What one client can cost the others: nothing.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use agent_control::{Client, ClientError, Limits, Refusal};
use serde_json::json;

use crate::support::{Daemon, MOMENT, Raw, run};

const STATUS: &str = r#"{"method":"io.agentd.Control.Status"}"#;

fn short(limits: &mut Limits) {
    limits.patience = MOMENT;
}

#[test]
fn who_sends_too_slowly_is_dropped_and_others_are_served_meanwhile() {
    run(async {
        let daemon = Daemon::start(|options| short(&mut options.limits));
        let slow = daemon.raw(|raw| {
            let start = Instant::now();
            raw.0.write_all(br#"{"method":"io.agentd"#).unwrap();
            let answer = raw.receive();
            (answer, start, Instant::now())
        });
        let quick = async {
            daemon.client().await.status().await.unwrap();
            Instant::now()
        };
        let ((answer, sent, dropped), served) = tokio::join!(slow, quick);
        assert_eq!(answer, None);
        assert!(dropped - sent >= MOMENT, "{:?}", dropped - sent);
        assert!(served < dropped);
    });
}

#[test]
fn who_sends_a_byte_at_a_time_gets_no_more_time() {
    run(async {
        let daemon = Daemon::start(|options| short(&mut options.limits));
        let sent = daemon
            .raw(|raw| {
                let bytes = [STATUS.as_bytes(), &[b' '; 100], &[0]].concat();
                bytes.iter().position(|byte| {
                    std::thread::sleep(Duration::from_millis(10));
                    raw.0.write_all(&[*byte]).is_err()
                })
            })
            .await;
        assert!(sent.is_some());
    });
}

#[test]
fn who_does_not_read_is_dropped_and_others_are_served_meanwhile() {
    run(async {
        let daemon = Daemon::start(|options| {
            short(&mut options.limits);
            options.may_change = |_| false;
            options.limits.per_user = 2;
        });
        // A megabyte, several times what a socket takes.
        daemon.fake.anchors.set(4000);
        let mut deaf = UnixStream::connect(&daemon.path).unwrap();
        deaf.write_all(b"{\"method\":\"io.agentd.Control.Anchors\"}\0").unwrap();
        // One of two places is taken, and the other serves.
        daemon.client().await.status().await.unwrap();
        assert!(two_are_served(&daemon).await.is_err());
        while two_are_served(&daemon).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // What was on its way is there, and then it ends, without the NUL of a whole message.
        let got = tokio::task::spawn_blocking(move || {
            let mut got = Vec::new();
            deaf.read_to_end(&mut got).map(|_| got)
        });
        let got = got.await.unwrap().unwrap();
        assert!(!got.contains(&0) && !got.is_empty());
        // Who reads gets all of it, once those before have been seen to go.
        let anchors = loop {
            match daemon.client().await.anchors().await {
                Err(ClientError::Refused(Refusal::Busy { .. })) => tokio::task::yield_now().await,
                answer => break answer.unwrap().anchors,
            }
        };
        assert_eq!(anchors.len(), 4000);
    });
}

async fn two_are_served(daemon: &Daemon) -> Result<(), ClientError> {
    let mut one = daemon.client().await;
    one.status().await?;
    daemon.client().await.status().await.map(drop)
}

#[test]
fn an_idle_connection_ends() {
    run(async {
        let daemon = Daemon::start(|options| short(&mut options.limits));
        let (first, second) = daemon
            .raw(|raw| {
                let first = raw.ask(STATUS);
                (first, raw.receive())
            })
            .await;
        assert!(first["parameters"]["status"].is_object());
        assert_eq!(second, None);
    });
}

#[test]
fn one_user_gets_only_so_many_connections() {
    run(async {
        let daemon = Daemon::start(|options| {
            options.may_change = |_| false;
            options.limits.per_user = 2;
        });
        let mut open = vec![daemon.client().await, daemon.client().await];
        for client in &mut open {
            client.status().await.unwrap();
        }
        let error = daemon.client().await.status().await.unwrap_err();
        assert!(matches!(&error, ClientError::Refused(Refusal::Busy { .. })), "{error:?}");
        assert!(!error.remedy().is_empty());
        // Those who were in before are still served, and room comes back.
        open.pop().unwrap();
        open[0].status().await.unwrap();
        daemon.client().await.status().await.unwrap();
    });
}

#[test]
fn places_are_kept_for_those_who_may_change_things() {
    fn as_the_test_says(_: &agent_control::Peer) -> bool {
        MAY.load(std::sync::atomic::Ordering::Relaxed)
    }
    static MAY: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    run(async {
        let daemon = Daemon::start(|options| {
            options.may_change = as_the_test_says;
            options.limits = Limits { connections: 4, reserved: 1, per_user: 100, ..Limits::default() };
        });
        let mut others = Vec::new();
        for _ in 0..3 {
            let mut client = daemon.client().await;
            client.status().await.unwrap();
            others.push(client);
        }
        assert!(daemon.client().await.status().await.is_err());
        MAY.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut operator = daemon.client().await;
        operator.status().await.unwrap();
        let error = daemon.client().await.status().await.unwrap_err();
        assert!(matches!(error, ClientError::Refused(Refusal::Busy { .. })), "{error:?}");
    });
}

#[test]
fn a_crowd_is_turned_away_and_the_next_is_served() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let mut crowd: Vec<_> = Vec::new();
        for _ in 0..100 {
            crowd.push(Client::connect(&daemon.path).await);
        }
        let mut served = 0;
        for client in crowd.iter_mut().flatten() {
            served += usize::from(client.status().await.is_ok());
        }
        assert_eq!(served, Limits::default().connections);
        drop(crowd);
        while daemon.client().await.status().await.is_err() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_request_has_a_bound() {
    run(async {
        let daemon = Daemon::start(|_| {});
        // Just within: spaces are part of the message.
        let padded = format!("{STATUS}{}", " ".repeat(4096 - STATUS.len()));
        let answer = daemon.raw(move |raw| raw.ask(&padded)).await;
        assert!(answer["parameters"]["status"].is_object());
        let padded = format!("{STATUS}{}", " ".repeat(4097 - STATUS.len()));
        let answer = daemon
            .raw(move |raw| {
                raw.send(&padded);
                [raw.receive(), raw.receive()]
            })
            .await;
        let [Some(refusal), None] = answer else { panic!("{answer:?}") };
        assert_eq!(refusal["error"], "io.agentd.Control.Failed");
        assert_eq!(refusal["parameters"]["code"], "long-request");
        // And without an end: the server stops reading, so the writer cannot go on.
        let sent = daemon
            .raw(|raw| {
                let mut sent = 0;
                while raw.0.write_all(&[b' '; 4096]).is_ok() && sent < (16 << 20) {
                    sent += 4096;
                }
                sent
            })
            .await;
        assert!(sent < 4 << 20, "{sent}");
        assert_eq!(daemon.client().await.status().await.unwrap().v, 1);
    });
}

#[test]
fn descriptors_that_come_along_are_not_taken() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    run(async {
        let daemon = Daemon::start(|_| {});
        let answer = daemon
            .raw(|raw| {
                let (mut reader, writer) = std::io::pipe().unwrap();
                let fds = [std::os::fd::AsFd::as_fd(&writer)];
                let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
                let message = format!("{STATUS}\0");
                let data = [std::io::IoSlice::new(message.as_bytes())];
                sendmsg(&raw.0, &data, &mut control, SendFlags::empty()).unwrap();
                let answer = raw.receive().unwrap();
                drop(writer);
                // The end comes at once: nobody else holds the other side, though the connection is open.
                let mut rest = Vec::new();
                reader.read_to_end(&mut rest).unwrap();
                answer
            })
            .await;
        assert_eq!(answer["parameters"]["status"]["v"], json!(1));
    });
}

#[test]
fn garbage_ends_its_own_connection_only() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let deep = "[".repeat(4000);
        let cases = [
            "",
            "{",
            "null",
            "[]",
            "\"Status\"",
            "{\"method\":1}",
            "{\"parameters\":{}}",
            "\u{1}\u{2}",
            &deep,
        ];
        for case in cases {
            let text = case.to_owned();
            let answer = daemon
                .raw(move |raw| {
                    raw.send(&text);
                    [raw.receive(), raw.receive()]
                })
                .await;
            let [Some(refusal), None] = answer else { panic!("{case:?}: {answer:?}") };
            assert_eq!(refusal["parameters"]["code"], "bad-request", "{case:?}");
        }
        let path = daemon.path.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let mut raw = Raw::connect(&path);
            raw.0.write_all(b"\xff\xfe\0").unwrap();
            raw.receive()
        });
        assert_eq!(closed.await.unwrap().unwrap()["parameters"]["code"], "bad-request");
        daemon.client().await.status().await.unwrap();
    });
}
