//! A program at a terminal: a pseudo-terminal of any width, typed into, whose screen is remembered.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::poll;
use crate::tools;

/// A program whose standard input, output and error are a terminal of its own; or whose output is a pipe, which is read
/// when it has ended, so that it must not say more than a pipe holds.
pub struct Terminal {
    child: Child,
    master: File,
    slave: File,
    shown: Receiver<String>,
    /// All that was written to the terminal.
    screen: String,
    /// What was waited for lies before this.
    seen: usize,
}

/// How a program at a terminal ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; 128 and the signal's number where one ended it, as a shell counts.
    pub code: i32,
    /// All that was written to the terminal.
    pub screen: String,
    /// What came through the pipe, where its output was one.
    pub out: String,
    /// What is typed is shown, and handed on by lines: as a shell wants to find it.
    pub sane: bool,
}

impl Terminal {
    /// Starts a command at a terminal that is so many columns wide, and is its controlling terminal.
    ///
    /// # Panics
    /// Where there is no pseudo-terminal to be had, or no `setsid` or `env`.
    #[must_use]
    pub fn open(command: &Command, columns: u16) -> Self {
        Self::start(command, columns, None)
    }

    /// The same with its output into a pipe, as in `agentctl … | jq` or a redirection.
    ///
    /// # Panics
    /// As [`Self::open`].
    #[must_use]
    pub fn open_piped(command: &Command, columns: u16) -> Self {
        Self::start(command, columns, Some(Stdio::piped()))
    }

    fn start(command: &Command, columns: u16, stdout: Option<Stdio>) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        // Not at once: macOS cannot.
        fcntl_setfd(&master, FdFlags::CLOEXEC).expect("a descriptor of ours");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal of ours");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave =
            || File::from(rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("its other end"));
        let size = Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("a terminal of ours");
        // Only a session's leader has a controlling terminal, whose keys are signals.
        let mut leader = Command::new(tools::path("setsid"));
        leader.arg("--ctty");
        // Its keys end a program, though whoever runs the tests in the background was told to ignore them.
        leader.arg(tools::path("env")).arg("--default-signal=INT,QUIT");
        leader.arg(command.get_program()).args(command.get_args()).env_clear();
        leader.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = command.get_current_dir() {
            leader.current_dir(directory);
        }
        leader.stdin(slave()).stdout(stdout.unwrap_or_else(|| slave().into())).stderr(slave());
        let child = leader.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // It holds descriptors of the terminal.
        drop(leader);
        let master = File::from(master);
        let shown = follow(master.try_clone().expect("a descriptor"));
        Self { child, master, slave: slave(), shown, screen: String::new(), seen: 0 }
    }

    /// Waits until this is on the screen, behind what was waited for before; returns what came up to its end.
    ///
    /// # Panics
    /// With the screen, where it does not come.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.screen[self.seen..].find(text) {
                let end = self.seen + at + text.len();
                let found = self.screen[self.seen..end].to_owned();
                self.seen = end;
                return found;
            }
            match self.shown.recv_timeout(poll::DEADLINE) {
                Ok(more) => self.screen.push_str(&more),
                Err(error) => panic!("{error}: no {text:?} in\n{:?}", &self.screen[self.seen..]),
            }
        }
    }

    /// Presses keys.
    ///
    /// # Panics
    /// Where the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("a terminal takes what is typed");
    }

    /// Waits until the program has ended.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    pub fn end(mut self) -> Ended {
        use std::os::unix::process::ExitStatusExt as _;
        let status = poll::until("the program at the terminal ends", || {
            // A full terminal would hold it up.
            self.screen.extend(self.shown.try_iter());
            self.child.try_wait().expect("a child of ours")
        });
        let modes = tcgetattr(&self.slave).expect("a terminal").local_modes;
        let sane = modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        // The reader's last word comes when nobody holds the other end.
        let Self { mut child, slave, shown, mut screen, .. } = self;
        drop(slave);
        while let Ok(more) = shown.recv_timeout(Duration::from_secs(5)) {
            screen.push_str(&more);
        }
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        let mut out = String::new();
        if let Some(mut pipe) = child.stdout.take() {
            pipe.read_to_string(&mut out).expect("text");
        }
        Ended { code, screen, out, sane }
    }
}

fn follow(mut master: File) -> Receiver<String> {
    let (tell, shown) = mpsc::channel();
    thread::spawn(move || {
        let mut held = Vec::new();
        let mut buffer = [0; 4096];
        // The last close at the other end is an error here.
        while let Ok(length @ 1..) = master.read(&mut buffer) {
            held.extend_from_slice(&buffer[..length]);
            // A character may come in two pieces.
            let whole = match std::str::from_utf8(&held) {
                Ok(_) => held.len(),
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                Err(_) => held.len(),
            };
            let text: Vec<u8> = held.drain(..whole).collect();
            if tell.send(String::from_utf8_lossy(&text).into_owned()).is_err() {
                return;
            }
        }
    });
    shown
}
