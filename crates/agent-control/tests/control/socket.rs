//! The socket's name in the file system.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use agent_control::socket::BindError;
use agent_control::{Client, ClientError, Listener, Options, bind, serve};

use crate::support::{Daemon, Raw, run};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_socket_has_its_mode_and_group() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let gid = rustix::process::getegid().as_raw();
        for mode in [0o660, 0o600, 0o666] {
            let listener = bind(&path, mode, Some(gid)).unwrap();
            let found = std::fs::symlink_metadata(&path).unwrap();
            assert!(found.file_type().is_socket());
            assert_eq!(found.permissions().mode() & 0o7777, mode);
            assert_eq!(found.gid(), gid);
            assert_eq!(names(dir.path()), ["control.sock"]);
            drop(listener);
            assert_eq!(names(dir.path()), [""; 0]);
        }
    });
}

#[test]
fn a_group_that_cannot_be_given_leaves_nothing_behind() {
    // Root can give any.
    if rustix::process::geteuid().is_root() {
        return;
    }
    run(async {
        let dir = tempfile::tempdir().unwrap();
        assert!(bind(&dir.path().join("control.sock"), 0o660, Some(0)).is_err());
        assert_eq!(names(dir.path()), [""; 0]);
    });
}

#[test]
fn a_socket_that_nobody_answers_on_is_replaced() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        // A daemon that was killed leaves its socket, and one that was killed early its temporary name.
        drop(UnixListener::bind(&path).unwrap());
        drop(UnixListener::bind(dir.path().join(format!(".agentd-{}.sock", std::process::id()))).unwrap());
        assert!(matches!(Client::connect(&path).await, Err(ClientError::NotRunning { .. })));
        let _listener = bind(&path, 0o660, None).unwrap();
        assert!(Client::connect(&path).await.is_ok());
        assert_eq!(names(dir.path()), ["control.sock"]);
    });
}

#[test]
fn a_daemon_that_answers_is_left_alone() {
    run(async {
        let daemon = Daemon::start(|_| {});
        assert!(matches!(bind(&daemon.path, 0o660, None), Err(BindError::InUse { .. })));
        daemon.client().await.status().await.unwrap();
    });
}

#[test]
fn what_is_not_a_socket_is_left_alone() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path, 0o660, None), Err(BindError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(bind(&path, 0o660, None), Err(BindError::NotASocket { .. })));
        std::fs::remove_dir(&path).unwrap();
        // Not even through a link to a stale socket: the link is not ours.
        drop(UnixListener::bind(dir.path().join("other")).unwrap());
        symlink("other", &path).unwrap();
        assert!(matches!(bind(&path, 0o660, None), Err(BindError::NotASocket { .. })));
        assert_eq!(names(dir.path()), ["control.sock", "other"]);
    });
}

#[test]
fn the_name_of_a_successor_stays() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let old = bind(&path, 0o660, None).unwrap();
        std::fs::remove_file(&path).unwrap();
        let new = bind(&path, 0o660, None).unwrap();
        drop(old);
        assert!(Client::connect(&path).await.is_ok());
        drop(new);
        assert!(!path.exists());
    });
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/control.sock");
        let error = bind(&path, 0o660, None).unwrap_err();
        assert!(error.to_string().contains("run/control.sock"), "{error}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_may_be_longer_than_an_address() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        let path = deep.join("control.sock");
        assert!(UnixListener::bind(&path).is_err());
        let listener = bind(&path, 0o660, None).unwrap();
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
        let client = Client::connect(&path).await.unwrap();
        assert!(matches!(bind(&path, 0o660, None), Err(BindError::InUse { .. })));
        drop((client, listener));
        assert_eq!(names(&deep), [""; 0]);
        // A last name that is itself too long has no way around.
        let name = deep.join("n".repeat(120));
        assert!(matches!(Client::connect(&name).await, Err(ClientError::TooLong { .. })));
    });
}

#[test]
fn a_name_that_no_client_could_reach_is_refused() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n".repeat(120));
        assert!(matches!(bind(&path, 0o660, None), Err(BindError::TooLong { .. })));
        assert_eq!(names(dir.path()), [""; 0]);
    });
}

#[test]
fn a_socket_of_the_service_manager_is_served_and_its_name_stays() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let given = UnixListener::bind(&path).unwrap();
        let listener = Listener::from_fd(given.into()).unwrap();
        let daemon = Daemon::start(|_| {});
        let serving = serve(listener, daemon.fake.clone(), Options::new("1.2.3"), std::future::pending());
        let serving = tokio::task::spawn_local(serving);
        let asked = path.clone();
        let answer = tokio::task::spawn_blocking(move || {
            Raw::connect(&asked).ask(r#"{"method":"org.varlink.service.GetInfo"}"#)
        });
        assert_eq!(answer.await.unwrap()["parameters"]["version"], "1.2.3");
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
        assert!(path.exists());
    });
}
