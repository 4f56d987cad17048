//! Another user, for real: a thread gives up its identity and the kernel vouches for the rest.
#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use agent_control::{Ask, Client, ClientError, Refusal, bind};
use rustix::process::{Gid, Uid};
use tokio::sync::oneshot;

use crate::support::{Daemon, run};

const NOBODY: u32 = 65_534;

/// What `ask` gives in a thread of user nobody without groups; `None` where this process is not root and cannot ask
/// as another.
async fn as_nobody<T: Send + 'static>(ask: impl AsyncFnOnce() -> T + Send + 'static) -> Option<T> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let (answer, answered) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let (nobody, nogroup) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(nogroup, nogroup, nogroup).unwrap();
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        drop(answer.send(run(ask())));
    });
    let answer = answered.await.unwrap();
    thread.join().unwrap();
    Some(answer)
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn another_user_is_kept_out_by_the_mode_and_told_which_group_may() {
    run(async {
        let daemon = Daemon::start(|_| {});
        // First the directory is closed, then open and the socket closed: 0660.
        for mode in [0o750, 0o755] {
            chmod(daemon.dir.path(), mode);
            let path = daemon.path.clone();
            let Some(answer) = as_nobody(async move || Client::connect(&path).await.map(drop)).await else {
                return;
            };
            let Err(ClientError::Denied { group: Some(group), .. }) = &answer else { panic!("{answer:?}") };
            assert_eq!((group.gid, group.name.as_deref()), (0, Some("root")), "{mode:o}");
        }
    });
}

#[test]
fn another_user_who_may_look_may_not_change() {
    run(async {
        let daemon = Daemon::start(|_| {});
        chmod(daemon.dir.path(), 0o755);
        chmod(&daemon.path, 0o666);
        let path = daemon.path.clone();
        let asked = as_nobody(async move || {
            let mut client = Client::connect(&path).await.unwrap();
            (client.status().await, client.regenerate(Ask::default()).await)
        });
        let Some((status, regenerated)) = asked.await else { return };
        assert!(status.is_ok(), "{status:?}");
        let refused = matches!(regenerated, Err(ClientError::Refused(Refusal::PermissionDenied { .. })));
        assert!(refused, "{regenerated:?}");
        assert_eq!(daemon.fake.runs.get(), 0);
    });
}

#[test]
fn another_user_cannot_lock_the_operator_out() {
    run(async {
        let daemon = Daemon::start(|_| {});
        chmod(daemon.dir.path(), 0o755);
        chmod(&daemon.path, 0o666);
        let path = daemon.path.clone();
        let (full, is_full) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let crowd = as_nobody(async move || {
            let mut watches = Vec::new();
            for _ in 0..40 {
                watches.push(Client::connect(&path).await.unwrap().watch().await);
            }
            full.send(watches.iter().filter(|watch| watch.is_ok()).count()).unwrap();
            is_done.await.unwrap();
        });
        let operator = async {
            // Where this process is not root there is no crowd.
            let Ok(watches) = is_full.await else { return };
            assert_eq!(watches, 4);
            daemon.client().await.regenerate(Ask::default()).await.unwrap();
            done.send(()).unwrap();
        };
        tokio::join!(crowd, operator);
    });
}

#[test]
fn the_socket_of_another_user_is_not_taken_over() {
    run(async {
        let daemon = Daemon::start(|_| {});
        chmod(daemon.dir.path(), 0o777);
        let path = daemon.path.clone();
        let Some(error) = as_nobody(async move || bind(&path, 0o660, None).unwrap_err().to_string()).await
        else {
            return;
        };
        assert!(error.contains("ask who is on"), "{error}");
        daemon.client().await.status().await.unwrap();
    });
}
