//! Whether a process is dead and cannot end: killed, and asleep in the kernel where signals do not reach.

use std::fs;

/// Whether this process will never run again and still holds what it has. Only where that is certain.
#[must_use]
pub fn died_holding_on(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let mut statuses = Vec::new();
    for task in tasks {
        let status = task.and_then(|task| fs::read_to_string(task.path().join("status")));
        match status {
            Ok(status) => statuses.push(status),
            // It is ending at this moment.
            Err(_) => return false,
        }
    }
    is_corpse(&statuses)
}

/// By the status of each of its threads, see `proc(5)`: every one has ended or has SIGKILL before it, and one sleeps
/// where even that does not wake it.
fn is_corpse(statuses: &[String]) -> bool {
    let threads: Vec<Thread> = statuses.iter().map(|status| Thread::parse(status)).collect();
    threads.iter().all(|thread| *thread != Thread::Alive) && threads.contains(&Thread::Hanging)
}

#[derive(Debug, PartialEq, Eq)]
enum Thread {
    Ended,
    /// Killed, and asleep in the kernel.
    Hanging,
    Alive,
}

impl Thread {
    fn parse(status: &str) -> Self {
        /// The ninth signal.
        const KILL: u64 = 1 << 8;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map_or("", str::trim)
        };
        let pending = |name| u64::from_str_radix(field(name), 16).unwrap_or(0) & KILL != 0;
        match field("State").chars().next() {
            Some('Z' | 'X') => Self::Ended,
            Some('D') if pending("SigPnd") || pending("ShdPnd") => Self::Hanging,
            _ => Self::Alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(state: &str, own: &str, shared: &str) -> String {
        format!("Name:\tagentd\nState:\t{state}\nPid:\t7\nSigQ:\t2/256\nSigPnd:\t{own}\nShdPnd:\t{shared}\n")
    }

    #[test]
    fn only_who_was_killed_and_hangs_is_a_corpse() {
        const NONE: &str = "0000000000000000";
        const KILL: &str = "0000000000000100";
        let hangs = || thread("D (disk sleep)", KILL, NONE);
        for (threads, corpse) in [
            (vec![hangs()], true),
            (vec![thread("Z (zombie)", NONE, NONE), hangs()], true),
            (vec![thread("D (disk sleep)", "0000000000000000", "0000000000004100")], true),
            // A slow disk, a stop, a signal that is not the last: all of them may run again.
            (vec![thread("D (disk sleep)", NONE, NONE)], false),
            (vec![thread("D (disk sleep)", "0000000000004000", NONE)], false),
            (vec![thread("S (sleeping)", KILL, NONE)], false),
            (vec![thread("T (stopped)", NONE, NONE), hangs()], false),
            (vec![hangs(), thread("R (running)", KILL, NONE)], false),
            // It has ended, and its locks with it.
            (vec![thread("Z (zombie)", NONE, NONE)], false),
            (vec![], false),
            (vec!["garbage".to_owned()], false),
        ] {
            assert_eq!(is_corpse(&threads), corpse, "{threads:?}");
        }
    }

    #[test]
    fn who_lives_or_is_not_there_is_none() {
        assert!(!died_holding_on(std::process::id()));
        assert!(!died_holding_on(u32::MAX));
    }
}
