//! Each method through the typed client, and who may call it.

use std::time::Duration;

use agent_control::{Ask, ClientError, Order, Refusal, What};
use tokio::task::{spawn_local, yield_now};

use crate::support::{Daemon, MOMENT, anchor, regen, run, store};

#[test]
fn every_method_answers_what_the_daemon_says() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let mut client = daemon.client().await;
        assert_eq!(client.status().await.unwrap().store, store(0));
        assert_eq!(client.sources().await.unwrap().sources, []);
        assert_eq!(client.metrics().await.unwrap(), "# TYPE agentd_health gauge\n");
        assert_eq!(client.anchors().await.unwrap().anchors, [anchor(1)]);
        for (force, dry_run) in [(false, false), (true, false), (false, true), (true, true)] {
            let ask = Ask { force, dry_run };
            let report = client.regenerate(ask).await.unwrap();
            assert_eq!(report, regen(daemon.fake.runs.get(), ask));
            let (asked, by) = *daemon.fake.asked.borrow().last().unwrap();
            assert_eq!(asked, ask);
            assert_eq!(by.uid, rustix::process::geteuid().as_raw());
            assert_eq!(by.pid, Some(std::process::id().cast_signed()));
        }
        assert_eq!(client.server().uid, rustix::process::geteuid().as_raw());
        assert_eq!(client.history().await.unwrap().current, daemon.fake.runs.get());
        assert_eq!(client.generation(7).await.unwrap().generation, 7);
    });
}

fn orders() -> Vec<Order> {
    let fingerprint = || "ab".repeat(32);
    let hour = Some(Duration::from_secs(3600));
    vec![
        Order {
            what: What::Distrust { fingerprint: fingerprint(), reason: "stolen".into() },
            dry_run: false,
        },
        Order { what: What::Trust { fingerprint: fingerprint() }, dry_run: true },
        Order { what: What::Rollback { generation: None, pin: None }, dry_run: false },
        Order { what: What::Rollback { generation: Some(3), pin: hour }, dry_run: true },
    ]
}

#[test]
fn orders_arrive_as_they_were_given() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let mut client = daemon.client().await;
        for order in orders() {
            assert_eq!(client.order(&order).await.unwrap().dry_run, order.dry_run);
        }
        assert_eq!(*daemon.fake.orders.borrow(), orders());
    });
}

#[test]
fn a_refusal_arrives_as_it_was_made() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let refusal = Refusal::failed("no-store", "the store is \"gone\"", "look for it");
        *daemon.fake.refusal.borrow_mut() = Some(refusal.clone());
        let error = daemon.client().await.status().await.unwrap_err();
        assert!(matches!(&error, ClientError::Refused(same) if *same == refusal), "{error:?}");
        assert_eq!(error.remedy(), "look for it");
        assert_eq!(error.to_string(), "the store is \"gone\"");
    });
}

#[test]
fn others_may_look_and_not_regenerate() {
    run(async {
        let daemon = Daemon::start(|options| options.may_change = |_| false);
        let mut client = daemon.client().await;
        assert!(client.status().await.is_ok());
        assert!(client.sources().await.is_ok());
        assert!(client.anchors().await.is_ok());
        for ask in [Ask::default(), Ask { force: false, dry_run: true }] {
            let error = client.regenerate(ask).await.unwrap_err();
            assert!(matches!(error, ClientError::Refused(Refusal::PermissionDenied { .. })), "{error:?}");
        }
        for order in orders() {
            let error = client.order(&order).await.unwrap_err();
            assert!(matches!(error, ClientError::Refused(Refusal::PermissionDenied { .. })), "{error:?}");
        }
        assert!(daemon.fake.asked.borrow().is_empty());
        assert!(daemon.fake.orders.borrow().is_empty());
        // And the connection is still good.
        assert!(client.status().await.is_ok());
        assert!(client.watch().await.is_ok());
    });
}

#[test]
fn callers_who_wait_for_the_same_share_a_run() {
    run(async {
        let daemon = Daemon::start(|options| options.limits.regenerate_burst = 1);
        daemon.fake.close_gate();
        let path = daemon.path.clone();
        let call = |ask| {
            let path = path.clone();
            spawn_local(
                async move { agent_control::Client::connect(&path).await.unwrap().regenerate(ask).await },
            )
        };
        let first = call(Ask::default());
        while daemon.fake.asked.borrow().is_empty() {
            yield_now().await;
        }
        // The run has begun: a change that is made now may escape it, so these want another, together.
        let later: Vec<_> = (0..8).map(|_| call(Ask::default())).collect();
        let forced: Vec<_> = (0..4).map(|_| call(Ask { force: true, dry_run: false })).collect();
        tokio::time::sleep(MOMENT).await;
        daemon.fake.gate.add_permits(1000);
        assert_eq!(first.await.unwrap().unwrap().generation, 1);
        let mut generations = Vec::new();
        for call in later {
            let report = call.await.unwrap().unwrap();
            assert!(!report.forced);
            generations.push(report.generation);
        }
        for call in forced {
            let report = call.await.unwrap().unwrap();
            assert!(report.forced);
            generations.push(report.generation);
        }
        generations.dedup();
        assert_eq!(generations.len(), 2, "{generations:?}");
        assert_eq!(daemon.fake.runs.get(), 3);
    });
}

#[test]
fn runs_beyond_the_first_few_keep_their_distance() {
    run(async {
        let daemon = Daemon::start(|options| {
            options.limits.regenerate_every = Duration::from_secs(1);
            options.limits.regenerate_burst = 3;
        });
        let start = std::time::Instant::now();
        let mut took = Vec::new();
        for _ in 0..4 {
            daemon.client().await.regenerate(Ask::default()).await.unwrap();
            took.push(start.elapsed());
        }
        assert!(took[2] < Duration::from_secs(1), "{took:?}");
        assert!(took[3] >= Duration::from_secs(1), "{took:?}");
    });
}

#[test]
fn a_caller_who_leaves_does_not_stop_the_run() {
    run(async {
        let daemon = Daemon::start(|_| {});
        daemon.fake.close_gate();
        let mut client = daemon.client().await;
        let call = spawn_local(async move { client.regenerate(Ask::default()).await });
        while daemon.fake.asked.borrow().is_empty() {
            yield_now().await;
        }
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        daemon.fake.gate.add_permits(1);
        while daemon.fake.runs.get() == 0 {
            yield_now().await;
        }
        assert_eq!(daemon.client().await.status().await.unwrap().store.generation, 1);
    });
}

#[test]
fn a_stop_lets_calls_end_and_takes_the_name_away() {
    run(async {
        let daemon = Daemon::start(|_| {});
        daemon.fake.close_gate();
        let mut client = daemon.client().await;
        let call = spawn_local(async move { client.regenerate(Ask::default()).await });
        let mut idle = daemon.client().await;
        while daemon.fake.asked.borrow().is_empty() {
            yield_now().await;
        }
        daemon.stop.send(()).unwrap();
        while daemon.path.exists() {
            yield_now().await;
        }
        assert!(matches!(idle.status().await, Err(ClientError::Closed { .. })));
        daemon.fake.gate.add_permits(1);
        assert_eq!(call.await.unwrap().unwrap().generation, 1);
        daemon.task.await.unwrap();
        assert!(std::fs::read_dir(daemon.dir.path()).unwrap().next().is_none());
    });
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    run(async {
        let daemon = Daemon::start(|options| options.limits.patience = MOMENT);
        daemon.fake.close_gate();
        let mut client = daemon.client().await;
        let call = spawn_local(async move { client.regenerate(Ask::default()).await });
        while daemon.fake.asked.borrow().is_empty() {
            yield_now().await;
        }
        daemon.stop.send(()).unwrap();
        daemon.task.await.unwrap();
        assert!(matches!(call.await.unwrap(), Err(ClientError::Closed { .. } | ClientError::Refused(_))));
    });
}

#[test]
fn errands_are_for_those_who_may() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let mut client = daemon.client().await;
        assert_eq!(client.refresh(false).await.unwrap().result, "unchanged");
        assert_eq!(client.refresh(true).await.unwrap().result, "taken");
        assert_eq!(client.inventory(false).await.unwrap().result, "sent");
        assert_eq!(client.inventory(true).await.unwrap().result, "made");
        let closed = Daemon::start(|options| options.may_change = |_| false);
        let mut client = closed.client().await;
        let denied = |error| matches!(error, ClientError::Refused(Refusal::PermissionDenied { .. }));
        assert!(denied(client.refresh(false).await.unwrap_err()));
        assert!(
            denied(client.inventory(true).await.unwrap_err()),
            "the document tells what is not for everyone"
        );
    });
}
