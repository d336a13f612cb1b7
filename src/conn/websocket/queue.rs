//! A queue that is empty most of the time: it takes a word then, and no memory.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

/// First in, first out.
#[expect(clippy::box_collection, reason = "an empty one takes a word, where a deque takes four")]
pub(super) struct Queue<T>(Option<Box<VecDeque<T>>>);

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&mut self, item: T) {
        self.0.get_or_insert_default().push_back(item);
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let items = self.0.as_mut()?;
        let item = items.pop_front();
        if items.is_empty() {
            self.0 = None;
        }
        item
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Takes the first item out that is `wanted`.
    pub(super) fn remove_first(&mut self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let items = self.0.as_mut()?;
        let at = items.iter().position(wanted)?;
        let item = items.remove(at);
        if items.is_empty() {
            self.0 = None;
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_order_and_the_last_one_leaves_no_memory() {
        let mut queue = Queue::default();
        assert!(queue.is_empty() && queue.pop().is_none());
        (0..4).for_each(|item| queue.push(item));
        assert_eq!(queue.remove_first(|item| item % 2 == 1), Some(1));
        assert_eq!(queue.remove_first(|item| *item > 9), None);
        assert_eq!([queue.pop(), queue.pop(), queue.remove_first(|_| true)], [Some(0), Some(2), Some(3)]);
        assert!(queue.is_empty() && queue.0.is_none());
        assert_eq!(size_of::<Queue<[u64; 9]>>(), size_of::<usize>());
    }
}
