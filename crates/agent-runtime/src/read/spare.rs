//! Memory that goes from one reading to the next.

use std::cell::RefCell;

/// The memory of a file that was read and is done with: the next one is read into it. To make a page of memory takes the
/// kernel longer than to fill it.
#[derive(Debug, Default)]
pub struct Spare(RefCell<Vec<u8>>);

impl Spare {
    /// Takes what is there, empty, with room for so many bytes.
    pub(crate) fn take(&self, capacity: usize) -> Vec<u8> {
        let mut bytes = self.0.take();
        if bytes.capacity() < capacity {
            // The next one may be a little longer. What is never written to costs nothing.
            return Vec::with_capacity(capacity.saturating_add(capacity / 4));
        }
        bytes.clear();
        bytes
    }

    /// For the next one.
    pub(crate) fn put(&self, bytes: Vec<u8>) {
        self.0.replace(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spare_is_used_again_and_holds_nothing_of_what_it_held() {
        let spare = Spare::default();
        let mut first = spare.take(1_000);
        first.extend_from_slice(b"content");
        let memory = first.as_ptr();
        spare.put(first);
        let second = spare.take(1_100);
        assert_eq!(
            (second.as_ptr(), second.len()),
            (memory, 0),
            "a little longer is no reason for new memory"
        );
        spare.put(second);
        assert!(spare.take(10_000).capacity() >= 10_000);
    }
}
