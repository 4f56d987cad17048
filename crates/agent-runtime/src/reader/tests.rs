//! The language of parent and child, and the bench. Whole processes are tried from outside.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use rustix::io::Errno;

use super::bench::{Bench, MAX_HANGING, REST};
use super::wire::Answer;
use crate::read::{FileBytes, Kind, ReadError, Rules, Spare, list_directory};

fn answers() -> Vec<Answer> {
    let path = PathBuf::from("/a/b");
    vec![
        Answer::File(FileBytes {
            bytes: b"content".to_vec(),
            real_path: PathBuf::from(OsString::from_vec(b"/not/utf-8/\xff".to_vec())),
            hops: vec!["/a".into(), OsString::from_vec(b"/\xfe".to_vec()).into()],
            modified: SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5),
            racy: true,
            trail: None,
        }),
        Answer::Directory(vec!["one".into(), OsString::from_vec(b"\xff".to_vec())], None),
        Answer::Directory(Vec::new(), list_directory(Path::new("/"), &Rules::default()).unwrap().trail),
        Answer::Failed(ReadError::io(&path, Errno::STALE)),
        Answer::Failed(ReadError::NotRegular {
            path: path.clone(),
            component: "/c".into(),
            kind: Kind::Fifo,
        }),
        Answer::Failed(ReadError::BadPath { path, length: 7, reason: "is odd".into() }),
    ]
}

fn sent(answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    answer.send(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_sent_is_what_is_taken() {
    for answer in answers() {
        assert_eq!(Answer::take(&mut sent(&answer).as_slice(), 7, &Spare::default()).unwrap(), answer);
    }
}

#[test]
fn a_file_above_the_limit_is_not_taken() {
    let file = sent(&answers()[0]);
    assert!(Answer::take(&mut file.as_slice(), 6, &Spare::default()).is_err());
}

#[test]
fn what_is_cut_off_or_damaged_is_an_error_and_no_panic() {
    for answer in answers() {
        let whole = sent(&answer);
        for end in 0..whole.len() {
            assert!(Answer::take(&mut &whole[..end], 100, &Spare::default()).is_err(), "cut off at {end}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x80;
            // Damaged content is content; whatever else comes of it, it comes back.
            let _taken = Answer::take(&mut damaged.as_slice(), 100, &Spare::default());
        }
    }
}

#[test]
fn a_name_that_is_a_path_is_not_taken() {
    for name in ["../etc/shadow", "/etc/shadow", "..", "a/b"] {
        let answer = Answer::Directory(vec![name.into()], None);
        assert!(Answer::take(&mut sent(&answer).as_slice(), 100, &Spare::default()).is_err(), "{name}");
    }
}

#[test]
fn who_hangs_is_not_asked_again_until_the_child_is_gone() {
    let mut bench = Bench::default();
    let child = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = child.id();
    bench.put("/nfs/directory".into(), Some(child), Instant::now());
    bench.reap(Instant::now() + REST * 100);
    assert_eq!(bench.holds(Path::new("/nfs/directory")), Some(pid));
    assert_eq!(bench.holds(Path::new("/nfs/directory/file")), Some(pid), "what lies in it hangs as well");
    assert_eq!(bench.holds(Path::new("/nfs/directory-two")), None);
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(status.success());
    let until = Instant::now() + Duration::from_secs(10);
    while bench.holds(Path::new("/nfs/directory")).is_some() {
        assert!(Instant::now() < until, "the child is gone, the seat is not");
        bench.reap(Instant::now());
    }
}

#[test]
fn no_more_than_a_few_hang() {
    let mut bench = Bench::default();
    let children: Vec<_> =
        (0..MAX_HANGING).map(|_| Command::new("sleep").arg("600").spawn().unwrap()).collect();
    let pids: Vec<u32> = children.iter().map(std::process::Child::id).collect();
    for (number, child) in children.into_iter().enumerate() {
        assert!(!bench.is_full());
        bench.put(format!("/hung/{number}").into(), Some(child), Instant::now());
    }
    assert!(bench.is_full());
    for pid in pids {
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    }
    let until = Instant::now() + Duration::from_secs(10);
    while bench.is_full() {
        assert!(Instant::now() < until, "ended children hold no seat");
        bench.reap(Instant::now());
    }
}

#[test]
fn one_that_could_be_ended_rests_for_a_while() {
    let mut bench = Bench::default();
    let long_ago = Instant::now().checked_sub(REST * 2).unwrap();
    bench.put("/slow".into(), None, long_ago);
    assert_eq!(bench.holds(Path::new("/slow")), None, "its rest is over");
    bench.put("/slow".into(), None, Instant::now());
    assert_eq!(bench.holds(Path::new("/slow")), Some(0));
}
