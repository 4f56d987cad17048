//! Long lists are worked on by two threads at once. This is a way to compute and starts nothing that goes on: when a
//! function of this module returns, its second thread has ended.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::vec;

/// A second thread takes as long to start as a hundred certificates to be parsed; a real store is done by one.
pub(crate) const MANY: usize = 1_000;

/// What `work` makes of the lists that `gather` hands on, one list for each in the second result. Long ones are worked on
/// piece by piece: by a second thread while more are gathered, and by both once there are no more. `work` makes of each
/// item one, in their order.
///
/// # Panics
/// Where `work` or `gather` does.
pub fn beside<T: Send, R: Send, G>(
    work: impl Fn(Vec<T>) -> Vec<R> + Sync,
    gather: impl FnOnce(&mut dyn FnMut(Vec<T>)) -> G,
) -> (G, Vec<Vec<R>>) {
    let queue = Queue::default();
    let mut lengths = Vec::new();
    let mut done: Vec<Piece<R>> = Vec::new();
    let gathered = thread::scope(|scope| {
        // Also where this thread panics: the other would wait for more.
        let closing = Closing(&queue);
        let mut second = None;
        let gathered = gather(&mut |list| {
            let number = lengths.len();
            lengths.push(list.len());
            if list.len() < MANY {
                return done.push(Piece { list: number, at: 0, items: work(list) });
            }
            queue.put(number, list);
            second.get_or_insert_with(|| {
                thread::Builder::new().spawn_scoped(scope, || queue.work_off(&work)).ok()
            });
        });
        drop(closing);
        done.extend(queue.work_off(&work));
        if let Some(second) = second.flatten() {
            done.extend(second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        gathered
    });
    done.sort_unstable_by_key(|piece| (piece.list, piece.at));
    let mut results: Vec<Vec<R>> = lengths.into_iter().map(Vec::with_capacity).collect();
    for piece in done {
        results[piece.list].extend(piece.items);
    }
    (gathered, results)
}

/// Some of a list.
struct Piece<T> {
    /// The number of the list.
    list: usize,
    /// How many of the list are before it.
    at: usize,
    items: Vec<T>,
}

/// Lists that are worked off from the first.
struct Queue<T> {
    left: Mutex<Left<T>>,
    changed: Condvar,
}

struct Left<T> {
    /// Number, how many of it were taken, and the rest of it.
    lists: VecDeque<(usize, usize, vec::IntoIter<T>)>,
    is_closed: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { left: Mutex::new(Left { lists: VecDeque::new(), is_closed: false }), changed: Condvar::new() }
    }
}

impl<T> Queue<T> {
    fn left(&self) -> MutexGuard<'_, Left<T>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, number: usize, list: Vec<T>) {
        self.left().lists.push_back((number, 0, list.into_iter()));
        self.changed.notify_one();
    }

    /// Does what there is and what comes, until the queue is closed and empty.
    fn work_off<R>(&self, work: impl Fn(Vec<T>) -> Vec<R>) -> Vec<Piece<R>> {
        let done = |Piece { list, at, items }| Piece { list, at, items: work(items) };
        std::iter::from_fn(|| self.take()).map(done).collect()
    }

    /// Waits for more; `None` where none will come.
    fn take(&self) -> Option<Piece<T>> {
        /// A thread comes for so many at a time: one that started late is not waited for.
        const SOME: usize = 200;
        let mut left = self.left();
        loop {
            if let Some((number, taken, rest)) = left.lists.front_mut() {
                let items: Vec<T> = rest.take(SOME).collect();
                if !items.is_empty() {
                    let at = *taken;
                    *taken += items.len();
                    return Some(Piece { list: *number, at, items });
                }
                left.lists.pop_front();
            } else if left.is_closed {
                return None;
            } else {
                left = self.changed.wait(left).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Closes the queue when it is dropped.
struct Closing<'a, T>(&'a Queue<T>);

impl<T> Drop for Closing<'_, T> {
    fn drop(&mut self) {
        self.0.left().is_closed = true;
        self.0.changed.notify_one();
    }
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
        let lengths = [0, 1, 3 * MANY, MANY - 1, MANY, 0, MANY + 1, 7];
        let lists = || lengths.map(|length| (0..length).collect::<Vec<usize>>());
        let double = |numbers: Vec<usize>| numbers.into_iter().map(|number| number * 2).collect();
        let (gathered, doubled) = beside(double, |put| lists().into_iter().map(put).count());
        assert_eq!(gathered, lengths.len());
        let expected = lists().map(|list| list.into_iter().map(|number| number * 2).collect::<Vec<_>>());
        assert_eq!(doubled, expected);
        assert_eq!(beside(|list: Vec<()>| list, |_| 5), (5, Vec::new()), "nothing to do");
    }

    #[test]
    fn a_panic_comes_through_and_nobody_waits_for_ever() {
        let at_work = || {
            let work = |_: Vec<i32>| -> Vec<()> { panic!("at work") };
            beside(work, |put| put(vec![1; 2 * MANY]));
        };
        let gathering = || {
            let gather = |put: &mut dyn FnMut(Vec<i32>)| {
                put(vec![1; 2 * MANY]);
                panic!("while gathering");
            };
            beside(|list| list, gather);
        };
        assert!(std::panic::catch_unwind(at_work).is_err());
        assert!(std::panic::catch_unwind(gathering).is_err());
    }

    #[test]
    fn both_are_done_and_told_apart() {
        let text = String::from("borrowed");
        assert_eq!(both(|| text.len(), || text.clone()), (8, text.clone()));
    }
}
