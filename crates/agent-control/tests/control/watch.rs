//! Watching while others work.

use agent_control::client::Seen;
use agent_control::{Ask, ClientError, Refusal};
use tokio::task::yield_now;

use crate::support::{Daemon, event, run};

#[test]
fn watchers_see_what_another_client_does() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let mut one = daemon.client().await.watch().await.unwrap();
        let mut two = daemon.client().await.watch().await.unwrap();
        let mut worker = daemon.client().await;
        for generation in 1..=3 {
            worker.regenerate(Ask::default()).await.unwrap();
            for watch in [&mut one, &mut two] {
                assert_eq!(watch.next().await.unwrap(), Some(Seen::Event(event(generation))));
            }
        }
        daemon.stop.send(()).unwrap();
        assert_eq!(one.next().await.unwrap(), None);
        assert_eq!(two.next().await.unwrap(), None);
        daemon.task.await.unwrap();
    });
}

#[test]
fn a_watcher_who_leaves_makes_room() {
    run(async {
        let daemon = Daemon::start(|options| {
            options.may_change = |_| false;
            options.limits.per_user = 1;
        });
        let watch = daemon.client().await.watch().await.unwrap();
        let error = daemon.client().await.status().await.unwrap_err();
        assert!(matches!(error, ClientError::Refused(Refusal::Busy { .. })), "{error:?}");
        drop(watch);
        while daemon.client().await.status().await.is_err() {
            yield_now().await;
        }
        assert_eq!(daemon.fake.events.receiver_count(), 0);
    });
}

#[test]
fn a_watcher_is_told_what_it_missed() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let mut watch = daemon.client().await.watch().await.unwrap();
        // More than the channel holds, before the server has a turn.
        for generation in 1..=10 {
            daemon.fake.events.send(event(generation)).unwrap();
        }
        assert_eq!(watch.next().await.unwrap(), Some(Seen::Lost(6)));
        for generation in 7..=10 {
            assert_eq!(watch.next().await.unwrap(), Some(Seen::Event(event(generation))));
        }
    });
}

#[test]
fn a_watch_that_nobody_reads_ends() {
    run(async {
        let daemon = Daemon::start(|options| options.limits.patience = crate::support::MOMENT);
        let watch = daemon.client().await.watch().await.unwrap();
        let mut long = event(1);
        long.message = Some("x".repeat(64 * 1024));
        while daemon.fake.events.receiver_count() > 0 {
            // The receiver may have gone since.
            drop(daemon.fake.events.send(long.clone()));
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        drop(watch);
    });
}
