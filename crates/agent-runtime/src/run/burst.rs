//! Events that come in a burst: which of them are followed at once.

use std::time::Duration;

use tokio::time::Instant;

/// What belongs together comes within this time.
const TOGETHER: Duration = Duration::from_millis(50);

/// When changes were looked at last.
///
/// A look that led to nothing begins no burst: who writes a file beside another, syncs it and renames it over that one
/// would else have its end followed late. But not too many of those: somebody may be unpacking an archive there.
#[derive(Debug, Default)]
pub(super) struct Burst {
    last: Option<Instant>,
    /// Looks that led to nothing: when the first of them was, and how many.
    in_vain: Option<(Instant, u32)>,
}

impl Burst {
    /// Whether what happens now may belong to what was looked at last.
    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < TOGETHER)
    }

    pub(super) fn looked(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// The last look led to nothing.
    pub(super) fn in_vain(&mut self, now: Instant) {
        /// In a second, of a millisecond or less each.
        const FEW: u32 = 20;
        let recent =
            self.in_vain.filter(|(first, _)| now.saturating_duration_since(*first) < Duration::from_secs(1));
        let (first, before) = recent.unwrap_or((now, 0));
        self.in_vain = Some((first, before + 1));
        if before < FEW {
            self.last = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_comes_soon_after_a_change_belongs_to_it() {
        let now = Instant::now();
        let mut burst = Burst::default();
        assert!(!burst.is_on(now));
        burst.looked(now);
        assert!(burst.is_on(now + ms(49)));
        assert!(!burst.is_on(now + ms(50)));
    }

    #[test]
    fn looks_in_vain_begin_no_burst_unless_there_are_many() {
        let now = Instant::now();
        let mut burst = Burst::default();
        let mut at_once = |from: Instant| {
            let look = |number: u64| {
                let now = from + ms(number);
                let at_once = !burst.is_on(now);
                burst.looked(now);
                burst.in_vain(now);
                at_once
            };
            (0..100).map(look).filter(|at_once| *at_once).count()
        };
        assert_eq!(at_once(now), 21, "some, and then it is a burst");
        assert_eq!(at_once(now + ms(1_100)), 21, "and some again after a second");
    }
}
