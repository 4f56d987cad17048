//! The shapes that other programs hold on to.

use agent_control::Ask;
use agent_control::wire::{
    AnchorsReport, AttemptReport, BanReport, DaemonReport, Fault, GenerationReport, GenerationSource, Health,
    Held, HistoryReport, LastRegeneration, ManagementReport, Problem, RegenReport, Rejected, RetainedReport,
    RollbackReport, SandboxReport, ServerReport, Severity, SourceReport, SourcesReport, StatusReport,
    Warning, WatchingReport,
};
use serde_json::{Value, json};

use crate::support::{anchor, event, inventory, refresh, regen, store};

fn source() -> SourceReport {
    SourceReport {
        kind: "bootstrap".to_owned(),
        path: "/cainfo.pem".to_owned(),
        sha256: Some("cd".repeat(32)),
        size: 1200,
        anchors: 1,
        rejected: vec![rejected()],
        state: "stale".to_owned(),
        error: Some(fault()),
        encoding: "pem".to_owned(),
        notes: vec!["utf8-bom".to_owned()],
        watched: Some(true),
        unwatched: Some("it is a mount".to_owned()),
        last_looked: Some("2026-01-01T00:00:00Z".to_owned()),
    }
}

fn management() -> ManagementReport {
    ManagementReport {
        refreshed_at: Some("2026-01-01T00:00:00Z".to_owned()),
        refreshed_from: Some("smp".to_owned()),
        next_refresh: None,
        refresh_error: None,
        policies: 2,
        inventory_at: None,
        next_inventory: None,
        inventory_error: Some("timeout".to_owned()),
        waiting: 1,
    }
}

fn attempt() -> AttemptReport {
    AttemptReport {
        server: "smp".to_owned(),
        url: "https://smp.example/".to_owned(),
        code: "timeout".to_owned(),
        message: "no answer".to_owned(),
        remedy: "wait".to_owned(),
    }
}

fn rejected() -> Rejected {
    Rejected { line: 7, reason: "not-x509".to_owned(), detail: "it is a key".to_owned() }
}

fn fault() -> Fault {
    Fault { code: "unreadable".to_owned(), message: "it is".to_owned(), remedy: "mend it".to_owned() }
}

fn held() -> Held {
    Held { reason: "no-anchors".to_owned(), detail: "kept".to_owned() }
}

fn server() -> ServerReport {
    ServerReport {
        name: "main".to_owned(),
        url: "https://mgmt.example".to_owned(),
        lock: Some("secure".to_owned()),
        last_ok: None,
        anchor: None,
        error: None,
        reason: None,
        reasons: Vec::new(),
        breaks_at: None,
    }
}

fn daemon() -> DaemonReport {
    let watching =
        WatchingReport { degraded: false, directories: 3, poll_seconds: 30, unwatched: Vec::new() };
    DaemonReport {
        version: "1.2.3".to_owned(),
        pid: 7,
        started: "2026-01-01T00:00:00Z".to_owned(),
        configured: None,
        socket: "/run/agentd/control.sock".to_owned(),
        uid: 0,
        watching,
        sandbox: Some(SandboxReport { state: "full".to_owned(), writes: vec!["/var/lib/agentd".to_owned()] }),
    }
}

fn problem() -> Problem {
    Problem {
        code: "store-held".to_owned(),
        severity: Severity::Warning,
        title: "held".to_owned(),
        why: "no anchors".to_owned(),
        fix: vec!["agentctl regen --force".to_owned()],
    }
}

fn last() -> LastRegeneration {
    LastRegeneration {
        at: "2026-01-01T00:00:00Z".to_owned(),
        by: "start".to_owned(),
        why: Vec::new(),
        changed: true,
        result: "published".to_owned(),
    }
}

fn status() -> StatusReport {
    StatusReport {
        health: Health::Degraded,
        daemon: Some(daemon()),
        sources: vec![source()],
        servers: vec![server()],
        problems: vec![problem()],
        last_regeneration: Some(last()),
        management: Some(management()),
        ..StatusReport::new(store(3))
    }
}

fn report() -> RegenReport {
    let warnings = vec![Warning { code: "odd".to_owned(), message: "it is".to_owned() }];
    RegenReport { sources: vec![source()], warnings, held: Some(held()), ..regen(1, Ask::default()) }
}

fn history() -> HistoryReport {
    let source = GenerationSource {
        kind: "site".to_owned(),
        path: "/s.pem".to_owned(),
        sha256: None,
        anchors: 1,
        rejects: 0,
    };
    let retained = RetainedReport {
        fingerprint: "cd".repeat(32),
        why: "needed".to_owned(),
        servers: vec!["ns1.example:443".to_owned()],
    };
    let generation = GenerationReport {
        number: 4,
        at: "2026-01-01T00:00:00Z".to_owned(),
        by: "watch".to_owned(),
        why: vec!["site /s.pem changed".to_owned()],
        sha256: "ef".repeat(32),
        anchors: 2,
        sources: vec![source],
        added: vec!["ab".repeat(32)],
        removed: Vec::new(),
        retained: vec![retained],
        rollback_to: Some(2),
    };
    let rollback = RollbackReport { generation: 2, until: Some("2026-01-02T00:00:00Z".to_owned()) };
    HistoryReport { current: 4, rollback: Some(rollback), generations: vec![generation] }
}

/// One of each object type.
pub(crate) fn samples() -> Vec<(&'static str, Value)> {
    let report = report();
    vec![
        ("BundleReport", json!(report.bundle)),
        ("Warning", json!(report.warnings[0])),
        ("RegenReport", json!(report)),
        ("SourceReport", json!(source())),
        ("Rejected", json!(rejected())),
        ("Fault", json!(fault())),
        ("Held", json!(held())),
        ("SourcesReport", json!(SourcesReport { sources: vec![], warnings: vec![] })),
        ("AnchorsReport", json!(AnchorsReport { generation: 1, anchors: vec![] })),
        ("AnchorReport", json!(anchor(1))),
        ("Place", json!(anchor(1).sources[0])),
        ("StatusReport", json!(status())),
        ("DaemonReport", json!(daemon())),
        ("WatchingReport", json!(daemon().watching)),
        ("SandboxReport", json!(daemon().sandbox)),
        ("StoreReport", json!(store(1))),
        ("ServerReport", json!(server())),
        ("Problem", json!(problem())),
        ("LastRegeneration", json!(last())),
        ("Event", json!(event(1))),
        ("HistoryReport", json!(history())),
        ("GenerationReport", json!(history().generations[0])),
        ("GenerationSource", json!(history().generations[0].sources[0])),
        ("RetainedReport", json!(history().generations[0].retained[0])),
        ("RollbackReport", json!(history().rollback)),
        (
            "BanReport",
            json!(BanReport {
                fingerprint: "ab".repeat(32),
                origin: "operator".to_owned(),
                reason: "stolen".to_owned(),
                at: None,
            }),
        ),
        ("ManagementReport", json!(management())),
        ("RefreshReport", json!(refresh("taken"))),
        ("InventoryReport", json!(inventory("sent"))),
        ("AttemptReport", json!(attempt())),
    ]
}

#[test]
fn a_regeneration_has_the_promised_shape() {
    assert_eq!(
        json!(report()),
        json!({
            "changed": true,
            "generation": 1,
            "bundle": {"path": "/store.pem", "sha256": "ab".repeat(32), "anchors": 1},
            "sources": [{
                "kind": "bootstrap", "path": "/cainfo.pem", "sha256": "cd".repeat(32), "anchors": 1, "size": 1200,
                "rejected": [{"line": 7, "reason": "not-x509", "detail": "it is a key"}],
                "state": "stale", "error": {"code": "unreadable", "message": "it is", "remedy": "mend it"},
                "encoding": "pem", "notes": ["utf8-bom"], "watched": true, "unwatched": "it is a mount",
                "last_looked": "2026-01-01T00:00:00Z",
            }],
            "added": ["ab".repeat(32)],
            "removed": [],
            "warnings": [{"code": "odd", "message": "it is"}],
            "dry_run": false,
            "forced": false,
            "held": {"reason": "no-anchors", "detail": "kept"},
            "retained": [],
            "rollback": null,
        })
    );
}

#[test]
fn a_status_has_the_promised_shape() {
    let mut status = json!(status());
    assert_eq!(status["sources"].as_array().unwrap().len(), 1);
    status["sources"] = json!([]);
    assert_eq!(
        status,
        json!({
            "v": 1,
            "schema": "agentctl/v1",
            "health": "degraded",
            "daemon": {
                "version": "1.2.3", "pid": 7, "started": "2026-01-01T00:00:00Z", "configured": null,
                "socket": "/run/agentd/control.sock", "uid": 0,
                "watching": {"degraded": false, "directories": 3, "poll_seconds": 30, "unwatched": []},
                "sandbox": {"state": "full", "writes": ["/var/lib/agentd"]},
            },
            "store": {
                "path": "/store.pem", "generation": 3, "sha256": null, "anchors": 0, "retained": [], "held": null,
                "published_at": null, "rollback": null, "distrusted": [],
            },
            "sources": [],
            "servers": [{
                "name": "main", "url": "https://mgmt.example", "lock": "secure", "last_ok": null, "anchor": null,
                "error": null, "reason": null, "reasons": [], "breaks_at": null,
            }],
            "problems": [{
                "code": "store-held", "severity": "warning", "title": "held", "why": "no anchors",
                "fix": ["agentctl regen --force"],
            }],
            "last_regeneration": {
                "at": "2026-01-01T00:00:00Z", "by": "start", "why": [], "changed": true, "result": "published",
            },
            "management": {
                "refreshed_at": "2026-01-01T00:00:00Z", "refreshed_from": "smp", "next_refresh": null,
                "refresh_error": null, "policies": 2, "inventory_at": null, "next_inventory": null,
                "inventory_error": "timeout", "waiting": 1,
            },
        })
    );
    // Without a daemon it is said, not left out.
    assert_eq!(json!(StatusReport::new(store(0)))["daemon"], Value::Null);
}

#[test]
fn reports_come_back_as_they_were_and_bear_what_is_new() {
    let mut value = json!(status());
    value["tomorrow"] = json!({"a": 1});
    value["sources"][0]["tomorrow"] = json!(true);
    assert_eq!(serde_json::from_value::<StatusReport>(value).unwrap(), status());
    let mut value = json!(report());
    value["bundle"]["tomorrow"] = json!([]);
    assert_eq!(serde_json::from_value::<RegenReport>(value).unwrap(), report());
}
