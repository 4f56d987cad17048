//! How long to stay away from a server that did not answer.

use std::time::Duration;

use crate::random::Random;

/// The pauses between attempts at one server: decorrelated, so that endpoints that failed together do not come back
/// together, and capped, so that none stays away for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    last: Option<Duration>,
}

impl Backoff {
    /// Pauses from `base` to `cap`.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap: cap.max(base), last: None }
    }

    /// The pause after one more failure: anything from `base` to three times the last one, at most `cap`. A server that
    /// says how long to stay away is obeyed, to within a day, and what is drawn is added: all were told the same.
    pub fn next(&mut self, random: &mut Random, asked: Option<Duration>) -> Duration {
        let last = self.last.unwrap_or(self.base);
        let upper = last.saturating_mul(3).min(self.cap).max(self.base);
        let span = u64::try_from((upper - self.base).as_millis()).unwrap_or(u64::MAX);
        let drawn = self.base + Duration::from_millis(random.below(span.saturating_add(1)));
        self.last = Some(drawn);
        match asked {
            Some(asked) => asked.min(LONGEST_ASKED) + drawn,
            None => drawn,
        }
    }

    /// It answered.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

/// A server cannot switch an endpoint off by a large number.
const LONGEST_ASKED: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(10);
    const CAP: Duration = Duration::from_secs(900);

    #[test]
    fn grows_to_the_cap_and_never_beyond() {
        let mut longest = Duration::ZERO;
        for seed in 0..200 {
            let (mut backoff, mut random) = (Backoff::new(BASE, CAP), Random::new(seed));
            assert!(backoff.next(&mut random, None) <= BASE * 3, "the first pause is short");
            for _ in 0..200 {
                let pause = backoff.next(&mut random, None);
                assert!((BASE..=CAP).contains(&pause), "{pause:?}");
                longest = longest.max(pause);
            }
            backoff.reset();
            assert!(backoff.next(&mut random, None) <= BASE * 3);
        }
        assert!(longest > CAP * 9 / 10, "{longest:?}");
    }

    #[test]
    fn what_a_server_asks_is_kept_and_bounded() {
        let mut random = Random::new(1);
        let asked = Duration::from_secs(120);
        let pause = Backoff::new(BASE, CAP).next(&mut random, Some(asked));
        assert!(pause >= asked + BASE && pause <= asked + BASE * 3, "{pause:?}");
        let never = Backoff::new(BASE, CAP).next(&mut random, Some(Duration::MAX));
        assert!(never <= LONGEST_ASKED + BASE * 3, "{never:?}");
    }
}
