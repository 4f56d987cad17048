use std::fs;

use jiff::Timestamp;
use trust_core::engine::{Order, Trigger};
use trust_core::history::{Asked, Generation};

use super::*;

fn generation(number: u64) -> Generation {
    Generation {
        number,
        at: Timestamp::UNIX_EPOCH,
        by: "watch".to_owned(),
        causes: vec!["site /s.pem changed".to_owned()],
        sha256: bundle(number),
        anchors: 1,
        sources: Vec::new(),
        added: vec![Fingerprint::of(b"added")],
        removed: Vec::new(),
        retained: Vec::new(),
        rollback_to: None,
        bans: Vec::new(),
        asked: Asked { pid: Some(9), forced: true },
    }
}

fn bundle(number: u64) -> Fingerprint {
    Fingerprint::of(&number.to_be_bytes())
}

fn published(number: u64) -> Vec<Entry> {
    vec![Entry::published(&generation(number))]
}

fn trusted() -> Entry {
    let by = Trigger::Operator { uid: 5, pid: Some(6) };
    Entry::ordered(by, &Order::Trust(Fingerprint::of(b"x")), Timestamp::UNIX_EPOCH)
}

fn filled(lines: u64) -> (tempfile::TempDir, Audit) {
    let directory = tempfile::tempdir().unwrap();
    let audit = Audit::new(directory.path());
    for number in 1..=lines {
        audit.append(|_| published(number)).unwrap();
    }
    (directory, audit)
}

fn check(audit: &Audit, known: &[u64]) -> Result<u64, String> {
    let known: Vec<_> = known.iter().map(|number| (*number, bundle(*number).to_string())).collect();
    let report = verify(audit, &known, None).unwrap();
    match report.broken {
        None => Ok(report.end.seq),
        Some(broken) => Err(format!("{}: {}", broken.line, broken.why)),
    }
}

#[test]
fn lines_follow_one_another_and_say_who_and_what() {
    let (_directory, audit) = filled(2);
    let end = audit.append(|end| vec![trusted(), Entry::published(&generation(end.generation + 1))]).unwrap();
    assert_eq!((end.seq, end.generation), (4, 3));
    let report = verify(&audit, &[], Some((4, &end.head))).unwrap();
    assert_eq!((report.broken, report.complete, &report.end), (None, true, &end));
    let [first, _, order, last] = &report.entries[..] else { panic!("{:?}", report.entries) };
    assert_eq!((first.seq, first.previous.as_str(), first.pid, first.forced), (1, NOTHING, Some(9), true));
    assert_eq!((order.by.as_str(), order.pid, order.generation), ("operator uid 5", Some(6), 2));
    assert_eq!((last.generation, last.added.len()), (3, 1));
    assert_eq!(check(&audit, &[1, 2, 3]), Ok(4));
    // Nothing to say is nothing written.
    let before = fs::read(&audit.files()[1]).unwrap();
    assert_eq!(audit.append(|_| Vec::new()).unwrap(), end);
    assert_eq!(fs::read(&audit.files()[1]).unwrap(), before);
}

#[test]
fn every_way_to_tamper_is_named() {
    let tampered = |change: &dyn Fn(Vec<String>) -> Vec<String>| {
        let (directory, audit) = filled(4);
        let path = &audit.files()[1];
        let text = fs::read_to_string(path).unwrap();
        let lines = change(text.lines().map(str::to_owned).collect());
        fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let found = check(&audit, &[1, 2, 3, 4]).unwrap_err();
        drop(directory);
        found
    };
    let word = |line: &str| line.replace("site", "boot");
    assert!(
        tampered(&|mut lines| {
            lines[1] = word(&lines[1]);
            lines
        })
        .starts_with("3: "),
        "the next does not follow"
    );
    assert!(
        tampered(&|mut lines| {
            lines.remove(1);
            lines
        })
        .starts_with("2: ")
    );
    assert!(
        tampered(&|mut lines| {
            lines.swap(1, 2);
            lines
        })
        .starts_with("2: ")
    );
    assert!(
        tampered(&|mut lines| {
            lines.insert(2, lines[1].clone());
            lines
        })
        .starts_with("3: ")
    );
    assert!(
        tampered(&|mut lines| {
            lines[0] = "{".to_owned();
            lines
        })
        .starts_with("1: ")
    );
    // The last line, and lines cut off, show by what else is known.
    assert!(
        tampered(&|mut lines| {
            lines.pop();
            lines
        })
        .contains("generation 4")
    );
    assert!(tampered(&|_| Vec::new()).contains("generation"));
    let (_directory, audit) = filled(2);
    let end = audit.append(|_| vec![trusted()]).unwrap();
    let path = &audit.files()[1];
    let text = fs::read_to_string(path).unwrap().replace("operator uid 5", "operator uid 0");
    fs::write(path, text).unwrap();
    let broken = verify(&audit, &[], Some((3, &end.head))).unwrap().broken.unwrap();
    assert!(broken.why.contains("number 3"), "{broken:?}");
}

#[test]
fn half_a_line_is_taken_away_whatever_its_length() {
    let (_directory, audit) = filled(2);
    let path = &audit.files()[1];
    let whole = fs::read(path).unwrap();
    audit.append(|_| published(3)).unwrap();
    let more = fs::read(path).unwrap();
    for cut in whole.len()..more.len() {
        fs::write(path, &more[..cut]).unwrap();
        assert_eq!(check(&audit, &[1, 2]), Ok(2), "a half line is nobody's word");
        audit.append(|end| published(end.generation + 1)).unwrap();
        assert_eq!(check(&audit, &[1, 2, 3]), Ok(3), "cut at {cut}");
        let last = verify(&audit, &[], None).unwrap().entries.pop().unwrap();
        assert_eq!(last.repaired, cut > whole.len());
    }
    // And the very first line.
    fs::write(path, &whole[..10]).unwrap();
    audit.append(|_| published(1)).unwrap();
    assert_eq!(check(&audit, &[1]), Ok(1));
}

#[test]
fn a_long_record_is_put_aside_and_the_chain_goes_on() {
    let (_directory, audit) = filled(0);
    let long = || Entry { why: vec!["x".repeat(20_000)], ..trusted() };
    for _ in 0..160 {
        audit.append(|_| vec![long()]).unwrap();
    }
    let [older, newer] = audit.files();
    for file in [&older, &newer] {
        assert!(fs::metadata(file).unwrap().len() < LARGEST + 2 * LONGEST, "bounded");
    }
    let report = verify(&audit, &[], None).unwrap();
    assert_eq!((report.broken, report.complete, report.end.seq), (None, false, 160));
    // A crash between putting aside and the first line of the new file.
    fs::rename(&newer, &older).unwrap();
    audit.append(|_| published(1)).unwrap();
    assert_eq!(check(&audit, &[1]), Ok(161));
}

#[test]
fn a_line_is_bounded() {
    let many = Generation {
        added: (0..1000_u32).map(|number| Fingerprint::of(&number.to_be_bytes())).collect(),
        retained: Vec::new(),
        causes: vec!["y".repeat(10_000); 100],
        ..generation(1)
    };
    let entry = Entry::published(&many);
    assert_eq!((entry.added.len() as u64 + entry.left_out, entry.left_out), (1000, 800));
    assert!(entry.line(&mut End::default(), false).len() < 64 << 10);
}

#[test]
fn what_cannot_be_written_is_said_and_changes_nothing() {
    let audit = Audit::new(Path::new("/nonexistent/state"));
    let error = audit.append(|_| published(1)).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/state/audit.jsonl"));
    let (_directory, audit) = filled(1);
    let path = &audit.files()[1];
    let held = File::open(path).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    assert!(audit.append(|_| published(2)).unwrap_err().to_string().contains("lock"));
    drop(held);
    assert_eq!(check(&audit, &[1]), Ok(1));
    let link = audit.files()[0].with_file_name("target");
    fs::rename(path, &link).unwrap();
    std::os::unix::fs::symlink(&link, path).unwrap();
    assert!(audit.append(|_| published(2)).is_err(), "a link is not followed");
}
