//! The parent's side: one child, asked one question after another, each with a deadline.

use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::child::ARGUMENT;
use super::wire::{Answer, Ask, send};
use crate::read::{Rules, Spare};

/// A child at work.
#[derive(Debug)]
pub(super) struct Session {
    /// `None` once it was given away.
    child: Option<Child>,
    /// Closing it is the sign to end.
    ask: Option<ChildStdin>,
    answers: ChildStdout,
    /// What it was asked already, and has not been waited for.
    ahead: Option<Ask>,
    pid: u32,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Not within the time.
    TooLate,
    /// The child ended or speaks nonsense.
    Broken(&'static str),
}

impl Session {
    pub(super) fn start(rules: &Rules) -> io::Result<Self> {
        let mut child = Command::new(program()?)
            .arg(ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // So that a signal to our group, such as Ctrl-C, does not end a read half-way.
            .process_group(0)
            .spawn()?;
        let pid = child.id();
        let (Some(ask), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        widen(&answers);
        let mut session = Self { child: Some(child), ask: Some(ask), answers, ahead: None, pid };
        session.say(rules)?;
        Ok(session)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks, and does not wait for the answer: the next that is asked must be the same.
    pub(super) fn ask_ahead(&mut self, ask: Ask) {
        if self.say(&ask).is_ok() {
            self.ahead = Some(ask);
        }
    }

    /// What it was asked ahead, and owes the answer of.
    pub(super) fn owes(&self) -> Option<&Ask> {
        self.ahead.as_ref()
    }

    pub(super) fn ask(
        &mut self,
        ask: &Ask,
        max_bytes: u64,
        deadline: Duration,
        spare: &Spare,
    ) -> Result<Answer, Trouble> {
        if self.ahead.take().is_none() {
            self.say(ask).map_err(|_| Trouble::Broken("it ended before it was asked"))?;
        }
        let until = Instant::now() + deadline;
        // An answer has a dozen parts. Nothing follows it before the next question, so nothing of that is lost.
        let mut answers = BufReader::new(Timed { pipe: &mut self.answers, until });
        Answer::take(&mut answers, max_bytes, spare).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Trouble::TooLate,
            io::ErrorKind::UnexpectedEof => Trouble::Broken("it ended before it answered"),
            _ => Trouble::Broken("its answer makes no sense"),
        })
    }

    /// Tells the child to end, which it does while we go on.
    pub(super) fn dismiss(&mut self) {
        drop(self.ask.take());
    }

    /// Ends the child. Gives it back where it does not end, for it hangs in the kernel.
    pub(super) fn kill(mut self) -> Option<Child> {
        let mut child = self.child.take()?;
        // Gone already is as good.
        let _gone = child.kill();
        if ended_within(&mut child, GRACE) { None } else { Some(child) }
    }

    fn say<T: serde::Serialize>(&mut self, value: &T) -> io::Result<()> {
        let Some(ask) = self.ask.as_mut() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        send(ask, value)?;
        ask.flush()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.dismiss();
        if let Some(mut child) = self.child.take() {
            // It waits for a question, not for a file, so it ends at once, which the pipe tells sooner than any pause.
            let soon = Timespec::try_from(GRACE).ok();
            let _closed = poll(&mut [PollFd::new(&self.answers, PollFlags::IN)], soon.as_ref());
            if !ended_within(&mut child, GRACE) {
                let _gone = child.kill();
                let _reaped = ended_within(&mut child, GRACE);
            }
        }
    }
}

/// This very program, even where an upgrade has put another in its place.
fn program() -> io::Result<std::path::PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

fn ended_within(child: &mut Child, time: Duration) -> bool {
    let until = Instant::now() + time;
    let mut step = STEP;
    loop {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(step);
        step = (step * 2).min(LONGEST_STEP);
    }
}

/// A big file goes through in a few turns instead of a hundred. Where it may not be, it takes those.
fn widen(pipe: &ChildStdout) {
    #[cfg(target_os = "linux")]
    {
        let _as_it_was = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}

/// A pipe that is read until a moment and no longer.
struct Timed<'a> {
    pipe: &'a mut ChildStdout,
    until: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // What is there is taken, however late: it may be us who were stopped.
            let left = self.until.saturating_duration_since(Instant::now());
            let late = left.is_zero();
            let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::TimedOut)?;
            let mut wanted = [PollFd::new(&*self.pipe, PollFlags::IN)];
            match poll(&mut wanted, Some(&left)) {
                Ok(0) if late => return Err(io::ErrorKind::TimedOut.into()),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.pipe.read(buffer),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// For a process that was killed and does not hang to be gone.
const GRACE: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_micros(50);
const LONGEST_STEP: Duration = Duration::from_millis(5);
/// What the system lets anybody have.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;
