//! The protocol in plain bytes: what any Varlink client may send, and what it gets.

use std::io::Write as _;

use agent_control::interface;
use serde_json::{Value, json};
use zlink::idl::Interface;

use crate::support::{Daemon, Raw, regen, run};

/// What `text` is answered with.
fn ask(text: &str) -> Value {
    let text = text.to_owned();
    run(async move { Daemon::start(|_| {}).raw(move |raw| raw.ask(&text)).await })
}

#[test]
fn a_call_may_leave_its_parameters_out() {
    for parameters in ["", r#","parameters":{}"#, r#","parameters":null"#] {
        let answer = ask(&format!(r#"{{"method":"io.agentd.Control.Status"{parameters}}}"#));
        assert_eq!(answer["parameters"]["status"]["schema"], "agentctl/v1", "{parameters}");
        assert!(answer.get("error").is_none() && answer.get("continues").is_none(), "{answer}");
    }
}

#[test]
fn each_method_answers() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let (sources, anchors, report) = daemon
            .raw(|raw| {
                (
                    raw.ask(r#"{"method":"io.agentd.Control.Sources"}"#),
                    raw.ask(r#"{"method":"io.agentd.Control.Anchors"}"#),
                    raw.ask(r#"{"method":"io.agentd.Control.Regenerate","parameters":{"dry_run":true}}"#),
                )
            })
            .await;
        assert_eq!(sources, json!({"parameters":{"sources":{"sources":[],"warnings":[]}}}));
        assert_eq!(anchors["parameters"]["anchors"]["anchors"][0]["number"], 1);
        let ask = agent_control::Ask { force: false, dry_run: true };
        assert_eq!(report, json!({"parameters":{"report": regen(1, ask)}}));
    });
}

#[test]
fn what_is_wrong_with_a_call_is_said_by_name() {
    let invalid = |parameter: &str| ("org.varlink.service.InvalidParameter", json!({"parameter": parameter}));
    let cases = [
        (
            r#"{"method":"io.agentd.Control.Destroy"}"#,
            ("org.varlink.service.MethodNotFound", json!({"method":"io.agentd.Control.Destroy"})),
        ),
        (
            r#"{"method":"org.example.Other.Status"}"#,
            ("org.varlink.service.InterfaceNotFound", json!({"interface":"org.example.Other"})),
        ),
        (r#"{"method":"Status"}"#, invalid("method")),
        (r#"{"method":"io.agentd.Control.Watch"}"#, ("org.varlink.service.ExpectedMore", Value::Null)),
        (r#"{"method":"io.agentd.Control.Status","upgrade":true}"#, invalid("upgrade")),
        (r#"{"method":"io.agentd.Control.Status","parameters":{"all":true}}"#, invalid("all")),
        (r#"{"method":"io.agentd.Control.Regenerate","parameters":{"dry-run":true}}"#, invalid("dry-run")),
        (r#"{"method":"io.agentd.Control.Regenerate","parameters":{"force":"yes"}}"#, invalid("parameters")),
        (r#"{"method":"io.agentd.Control.Regenerate","parameters":[true]}"#, invalid("parameters")),
        (r#"{"method":"org.varlink.service.GetInterfaceDescription"}"#, invalid("parameters")),
        (
            r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"a.b"}}"#,
            ("org.varlink.service.InterfaceNotFound", json!({"interface":"a.b"})),
        ),
    ];
    for (text, (error, parameters)) in cases {
        let answer = ask(text);
        assert_eq!(answer["error"], error, "{text}: {answer}");
        assert_eq!(answer.get("parameters").unwrap_or(&Value::Null), &parameters, "{text}");
    }
}

#[test]
fn a_misspelt_dry_run_runs_nothing() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let text = r#"{"method":"io.agentd.Control.Regenerate","parameters":{"dryrun":true}}"#;
        daemon.raw(move |raw| raw.ask(text)).await;
        assert_eq!(daemon.fake.runs.get(), 0);
    });
}

#[test]
fn calls_in_one_write_are_answered_in_order() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let answers = daemon
            .raw(|raw| {
                let calls = [
                    r#"{"method":"io.agentd.Control.Regenerate"}"#,
                    r#"{"method":"io.agentd.Control.Nothing"}"#,
                    r#"{"method":"io.agentd.Control.Status","more":true}"#,
                ];
                let mut bytes = calls.join("\0").into_bytes();
                bytes.push(0);
                raw.0.write_all(&bytes).unwrap();
                [raw.receive(), raw.receive(), raw.receive()].map(Option::unwrap)
            })
            .await;
        assert_eq!(answers[0]["parameters"]["report"]["generation"], 1);
        assert_eq!(answers[1]["error"], "org.varlink.service.MethodNotFound");
        assert_eq!(answers[2]["parameters"]["status"]["store"]["generation"], 1);
    });
}

#[test]
fn a_call_may_come_in_pieces() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let answer = daemon
            .raw(|raw| {
                for byte in b"{\"method\":\"io.agentd.Control.Status\"}\0" {
                    raw.0.write_all(&[*byte]).unwrap();
                }
                raw.receive()
            })
            .await;
        assert!(answer.unwrap()["parameters"]["status"].is_object());
    });
}

#[test]
fn a_oneway_call_is_carried_out_and_not_answered() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let answer = daemon
            .raw(|raw| {
                raw.send(r#"{"method":"io.agentd.Control.Regenerate","oneway":true}"#);
                raw.send(r#"{"method":"io.agentd.Control.Nothing","oneway":true}"#);
                raw.send(r#"{"method":"io.agentd.Control.Watch","oneway":true,"more":true}"#);
                raw.ask(r#"{"method":"io.agentd.Control.Status"}"#)
            })
            .await;
        assert_eq!(answer["parameters"]["status"]["store"]["generation"], 1);
    });
}

#[test]
fn who_closes_its_side_after_the_call_is_answered() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let answer = daemon
            .raw(|raw| {
                raw.send(r#"{"method":"io.agentd.Control.Status"}"#);
                raw.0.shutdown(std::net::Shutdown::Write).unwrap();
                [raw.receive(), raw.receive()]
            })
            .await;
        assert!(matches!(answer, [Some(_), None]), "{answer:?}");
    });
}

#[test]
fn a_watch_continues() {
    run(async {
        let daemon = Daemon::start(|_| {});
        let path = daemon.path.clone();
        let messages = daemon
            .raw(move |raw| {
                let begun = raw.ask(r#"{"method":"io.agentd.Control.Watch","more":true}"#);
                Raw::connect(&path).ask(r#"{"method":"io.agentd.Control.Regenerate"}"#);
                [begun, raw.receive().unwrap()]
            })
            .await;
        assert_eq!(messages[0], json!({"parameters":{"event":null,"lost":0},"continues":true}));
        assert_eq!(messages[1]["continues"], true);
        assert_eq!(messages[1]["parameters"]["event"]["event"], "store.published");
    });
}

#[test]
fn the_service_tells_who_it_is() {
    let info = ask(r#"{"method":"org.varlink.service.GetInfo","parameters":{}}"#);
    let parameters = &info["parameters"];
    assert_eq!(parameters["product"], "agentd");
    assert_eq!(parameters["version"], "1.2.3");
    assert_eq!(parameters["interfaces"], json!(["org.varlink.service", "io.agentd.Control"]));
    for field in ["vendor", "url"] {
        assert!(parameters[field].is_string(), "{field}");
    }
}

#[test]
fn the_interfaces_describe_themselves() {
    for interface in ["org.varlink.service", "io.agentd.Control"] {
        let text = json!({
            "method": "org.varlink.service.GetInterfaceDescription",
            "parameters": {"interface": interface},
        });
        let answer = ask(&text.to_string());
        let description = answer["parameters"]["description"].as_str().unwrap();
        let parsed = Interface::try_from(description).unwrap();
        assert_eq!(parsed.name().as_str(), interface);
    }
}

#[test]
fn the_description_is_whole() {
    let description = interface::text(interface::DESCRIPTION);
    let parsed = Interface::try_from(description.as_str()).unwrap();
    let methods: Vec<_> = parsed.methods().map(|method| method.name().to_string()).collect();
    assert_eq!(
        methods,
        [
            "Status",
            "Sources",
            "Anchors",
            "Metrics",
            "Regenerate",
            "History",
            "Generation",
            "Rollback",
            "Distrust",
            "Trust",
            "Refresh",
            "Inventory",
            "Watch"
        ]
    );
    assert!(parsed.methods().all(|method| method.outputs().count() > 0));
    // Whoever reads it finds what each field means, and older parsers find no comment inside parentheses.
    assert!(description.contains("\n#   dry_run: Only say what would be done\n"), "{description}");
    let inside = description.lines().scan(0_i32, |depth, line| {
        let before = *depth;
        let count = |c| i32::try_from(line.matches(c).count()).unwrap();
        if !line.starts_with('#') {
            *depth += count('(') - count(')');
        }
        Some((before, line))
    });
    for (depth, line) in inside {
        assert!(depth == 0 || !line.contains('#'), "{line}");
    }
    // Every type that is named is defined, and every one that is defined is named.
    let defined: Vec<_> = parsed.custom_types().map(|custom| custom.name().to_string()).collect();
    let code: String = description.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    for name in &defined {
        let named = code.split(|c: char| !c.is_alphanumeric()).filter(|word| word == name).count();
        assert!(named >= 2, "{name} is defined and never used");
    }
    let after_colon = code.split(": ").skip(1).map(|rest| rest.trim_start_matches(['?', '[', ']']));
    for word in after_colon.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap()) {
        let custom = word.starts_with(char::is_uppercase);
        assert!(!custom || defined.iter().any(|name| name == word), "{word} is used and not defined");
    }
}

/// `serde` and the description must tell the same names, so each report is checked against the description field by
/// field.
#[test]
fn reports_are_as_described() {
    let description = interface::text(interface::DESCRIPTION);
    let parsed = Interface::try_from(description.as_str()).unwrap();
    let fields = |name: &str| -> Vec<String> {
        let custom = parsed.custom_types().find(|custom| custom.name().as_str() == name).unwrap();
        let object = custom.as_object().unwrap();
        object.fields().map(|field| field.name().to_string()).collect()
    };
    let samples = crate::wire::samples();
    for (name, sample) in &samples {
        let mut described = fields(name);
        described.sort();
        let mut sent: Vec<_> = sample.as_object().unwrap().keys().cloned().collect();
        sent.sort();
        assert_eq!(sent, described, "{name}");
    }
    let objects = parsed.custom_types().filter(|custom| custom.is_object()).count();
    assert_eq!(samples.len(), objects, "a type has no sample");
}

/// The description on file is for readers and for reviews: a change of the interface is a change of that file.
#[test]
fn the_description_on_file_is_current() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/io.agentd.Control.varlink");
    let description = interface::text(interface::DESCRIPTION);
    if std::env::var_os("AGENTD_BLESS").is_some() {
        std::fs::write(file, &description).unwrap();
    }
    let hint = "renew it with AGENTD_BLESS=1 cargo test -p agent-control";
    assert_eq!(std::fs::read_to_string(file).unwrap_or_default(), description, "{hint}");
}
