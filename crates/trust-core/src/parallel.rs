//! Long lists are worked on by two threads at once. This is a way to compute and starts nothing that goes on: when a
//! function of this module returns, its second thread has ended.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// A second thread takes as long to start as a hundred certificates to be parsed; a real store is done by one.
pub(crate) const MANY: usize = 1_000;

/// What `work` makes of each, in their order.
pub(crate) fn map<T: Send, R: Send>(list: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    /// A thread comes for so many at a time: one that started late is not waited for.
    const SOME: usize = 200;
    if list.len() < MANY {
        return list.into_iter().map(work).collect();
    }
    let length = list.len();
    let left = Mutex::new((0.., list.into_iter()));
    let some = || {
        let (numbers, list) = &mut *left.lock().unwrap_or_else(PoisonError::into_inner);
        let some: Vec<T> = list.take(SOME).collect();
        numbers.next().filter(|_| !some.is_empty()).map(|number: usize| (number, some))
    };
    let done = || {
        let done =
            |(number, some): (usize, Vec<T>)| (number, some.into_iter().map(&work).collect::<Vec<R>>());
        std::iter::from_fn(some).map(done).collect::<Vec<_>>()
    };
    let (mut all, others) = both(done, done);
    all.extend(others);
    all.sort_unstable_by_key(|(number, _)| *number);
    let mut results = Vec::with_capacity(length);
    all.into_iter().for_each(|(_, some)| results.extend(some));
    results
}

/// Both results. The second is worked out by a second thread, or by this one where it is done before the other has begun,
/// or where the system gives none.
///
/// # Panics
/// Where either does.
pub fn both<A, B: Send>(here: impl FnOnce() -> A, there: impl FnOnce() -> B + Send) -> (A, B) {
    let there = Mutex::new(Some(there));
    // Whoever comes first.
    let take = || {
        let work = there.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.map(|work| work())
    };
    thread::scope(|scope| {
        let second = thread::Builder::new().spawn_scoped(scope, take);
        let first = here();
        let mine = take();
        let theirs = second
            .ok()
            .and_then(|second| second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        (first, mine.or(theirs).expect("whoever takes the work does it, and both have tried to take it"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_at_any_length() {
        for length in [0, 1, MANY - 1, MANY, MANY + 1, 3 * MANY] {
            let doubled: Vec<usize> = map((0..length).collect(), |number| number * 2);
            assert_eq!(doubled, (0..length).map(|number| number * 2).collect::<Vec<_>>(), "{length}");
        }
    }

    #[test]
    fn both_are_done_and_told_apart() {
        let text = String::from("borrowed");
        assert_eq!(both(|| text.len(), || text.clone()), (8, text.clone()));
    }
}
