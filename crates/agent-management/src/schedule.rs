//! When an endpoint asks by itself: at its own place of every interval, so that a fleet spreads over all of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::random::{Random, number_of};

/// The places in time of one endpoint's regular requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    interval: u64,
    phase: u64,
}

impl Rhythm {
    /// The rhythm of the endpoint of this name. The name decides the place within the interval (the splay), so that it
    /// stays the same over restarts, and a fleet that was installed or switched on at once does not ask at once.
    #[must_use]
    pub fn of(endpoint: &str, interval: Duration) -> Self {
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { interval, phase: number_of(endpoint) % interval }
    }

    /// When to ask next, counted from `now`, with a jitter of a twentieth of the interval: names that fall together in
    /// one round do not in the next.
    #[must_use]
    pub fn next(&self, now: Timestamp, random: &mut Random) -> Timestamp {
        let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let since = now.wrapping_sub(self.phase) % self.interval;
        let to_place = self.interval - since;
        later(now, to_place + random.below(self.interval / 20 + 1))
    }

    /// When to ask first after a start, or after a time in which nothing was asked: soon where it is overdue, each
    /// endpoint within its draw of a tenth of the interval (at most five minutes), for a whole site comes back at once
    /// after a power cut.
    #[must_use]
    pub fn first(&self, last: Option<Timestamp>, now: Timestamp, random: &mut Random) -> Timestamp {
        const SPREAD: u64 = 300_000;
        const NEVER: u64 = 2_000;
        let at = u64::try_from(now.as_millisecond()).unwrap_or(0);
        match last {
            // A new endpoint waits for nothing but for its installer to end.
            None => later(at, random.below(NEVER)),
            // A clock that was set back is not a reason to wait for the old time to come again.
            Some(last) if last <= now && now.duration_since(last) < self.length() => self.next(now, random),
            Some(_) => later(at, random.below((self.interval / 10).min(SPREAD) + 1)),
        }
    }

    fn length(&self) -> SignedDuration {
        SignedDuration::from_millis(i64::try_from(self.interval).unwrap_or(i64::MAX))
    }
}

fn later(from: u64, by: u64) -> Timestamp {
    let at = i64::try_from(from.saturating_add(by)).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::backoff::Backoff;

    const FLEET: usize = 100_000;
    const HOUR: u64 = 3_600;

    fn start() -> Timestamp {
        "2026-11-21T09:00:00Z".parse().unwrap()
    }

    /// How many fall into the fullest second, and how many into one on average.
    fn fullest(seconds: impl Iterator<Item = u64>, span: u64) -> (usize, f64) {
        let mut counts = vec![0_usize; usize::try_from(span).unwrap()];
        let mut all = 0_u32;
        for second in seconds.filter(|second| *second < span) {
            counts[usize::try_from(second).unwrap()] += 1;
            all += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few thousand seconds")]
        (counts.into_iter().max().unwrap_or(0), f64::from(all) / span as f64)
    }

    /// A figure for whoever runs the tests.
    fn say(text: &str) {
        let _nobody_reads = writeln!(std::io::stderr(), "{text}");
    }

    #[test]
    fn a_fleet_spreads_over_the_interval() {
        let now = start();
        // Names as fleets have them: alike but for a number.
        let times = (0..FLEET).map(|number| {
            let name = format!("ws-{number:05}.corp.example");
            let rhythm = Rhythm::of(&name, Duration::from_secs(HOUR));
            // The third round: the first would have the border of the observation in it.
            let mut random = Random::new(number as u64);
            let mut at = now;
            for _ in 0..3 {
                at = rhythm.next(at, &mut random);
            }
            u64::try_from(at.as_second() - now.as_second()).unwrap().saturating_sub(2 * HOUR) % HOUR
        });
        let (most, mean) = fullest(times, HOUR);
        #[expect(clippy::cast_precision_loss, reason = "some dozens")]
        let ratio = most as f64 / mean;
        say(&format!(
            "splay: {FLEET} endpoints, 1 h: mean {mean:.1}/s, fullest second {most}, ratio {ratio:.2}"
        ));
        assert!(ratio < 2.5, "fullest second {most}, mean {mean}");
    }

    #[test]
    fn a_server_that_comes_back_is_not_run_over() {
        // All endpoints fail for two hours, each from its own place in the first hour on; then the server is back.
        let outage = 2 * HOUR * 1_000;
        let times = (0..FLEET).map(|number| {
            let mut random = Random::new(number as u64);
            let mut backoff = Backoff::new(Duration::from_secs(30), Duration::from_secs(900));
            let mut at = random.below(HOUR * 1_000);
            while at < outage {
                at += u64::try_from(backoff.next(&mut random, None).as_millis()).unwrap();
            }
            (at - outage) / 1_000
        });
        let times: Vec<u64> = times.collect();
        assert!(times.iter().all(|second| *second <= 900), "all are back within the longest pause");
        let (most, mean) = fullest(times.into_iter(), 900);
        say(&format!(
            "after an outage: {FLEET} endpoints within 900 s: mean {mean:.0}/s, fullest second {most}"
        ));
        assert!(most < 500, "fullest second {most}");
    }

    #[test]
    fn places_keep_their_distance() {
        let interval = Duration::from_secs(HOUR);
        let rhythm = Rhythm::of("ws-1", interval);
        assert_eq!(rhythm, Rhythm::of("ws-1", interval), "the same after a restart");
        let mut random = Random::new(7);
        let mut last = rhythm.next(start(), &mut random);
        for _ in 0..1_000 {
            let next = rhythm.next(last, &mut random);
            let distance = next.duration_since(last).as_secs();
            assert!((3_600 - 181..=3_600 + 181).contains(&distance), "{distance} s");
            last = next;
        }
    }

    #[test]
    fn overdue_is_soon_and_new_is_sooner() {
        let (now, mut random) = (start(), Random::new(3));
        let rhythm = Rhythm::of("ws-1", Duration::from_secs(24 * HOUR));
        let ago = |hours| now - SignedDuration::from_hours(hours);
        for _ in 0..100 {
            assert!(rhythm.first(None, now, &mut random).duration_since(now).as_secs() < 2);
            assert!(rhythm.first(Some(ago(30 * 24)), now, &mut random).duration_since(now).as_secs() <= 300);
            assert!(rhythm.first(Some(ago(-30 * 24)), now, &mut random).duration_since(now).as_secs() <= 300);
            assert!(rhythm.first(Some(ago(1)), now, &mut random) > now);
        }
    }

    #[test]
    fn no_time_makes_it_panic() {
        let mut random = Random::new(3);
        for now in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH] {
            for interval in [Duration::ZERO, Duration::from_millis(1), Duration::MAX] {
                let rhythm = Rhythm::of("", interval);
                let _next = rhythm.next(now, &mut random);
                let _first = rhythm.first(Some(Timestamp::MAX), now, &mut random);
            }
        }
    }
}
