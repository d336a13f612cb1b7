//! A set of wakers with stable keys. Owns who waits for what on one core: events, replies from other cores.
//!
//! Rule: a waker is always taken out of the set before it is called, so waking may run any code.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::task::Waker;

/// Wakers of futures that wait on this core. A future keeps its key until it is dropped.
#[derive(Default)]
pub(crate) struct WakerSet {
    slots: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl WakerSet {
    /// Takes a place for a future that will wait.
    pub(crate) fn insert(&self) -> usize {
        if let Some(key) = self.free.borrow_mut().pop() {
            return key;
        }
        let mut slots = self.slots.borrow_mut();
        slots.push(None);
        slots.len() - 1
    }

    /// Says whom to wake for `key`; the clone is saved when the waker is the stored one.
    pub(crate) fn store(&self, key: usize, waker: &Waker) {
        let old = {
            let mut slots = self.slots.borrow_mut();
            match &slots[key] {
                Some(stored) if stored.will_wake(waker) => None,
                _ => slots[key].replace(waker.clone()),
            }
        };
        drop(old);
    }

    /// Gives the place back.
    pub(crate) fn remove(&self, key: usize) {
        let old = self.slots.borrow_mut()[key].take();
        self.free.borrow_mut().push(key);
        drop(old);
    }

    /// Wakes one waiter; nothing happens when it is gone or does not wait.
    pub(crate) fn wake(&self, key: usize) {
        let waker = self.slots.borrow_mut().get_mut(key).and_then(Option::take);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes every waiter once.
    pub(crate) fn wake_all(&self) {
        let count = self.slots.borrow().len();
        for key in 0..count {
            self.wake(key);
        }
    }
}

/// Something that happens once in a core's life.
#[derive(Default)]
pub(crate) struct Event {
    happened: Cell<bool>,
    pub(crate) waiters: WakerSet,
}

impl Event {
    pub(crate) fn has_happened(&self) -> bool {
        self.happened.get()
    }

    /// Marks the event and wakes its waiters. Later calls do nothing.
    pub(crate) fn happen(&self) {
        if !self.happened.replace(true) {
            self.waiters.wake_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_removed_waiter_is_not_woken_and_its_place_is_used_again() {
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&counter));
        let set = WakerSet::default();
        for _ in 0..1000 {
            let key = set.insert();
            set.store(key, &waker);
            set.remove(key);
        }
        set.wake_all();
        assert_eq!(counter.0.load(Ordering::Relaxed), 0);
        assert_eq!(set.slots.borrow().len(), 1);
    }

    #[test]
    fn an_event_wakes_each_waiter_once() {
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&counter));
        let event = Event::default();
        for _ in 0..3 {
            let key = event.waiters.insert();
            event.waiters.store(key, &waker);
        }
        event.happen();
        event.happen();
        assert!(event.has_happened());
        assert_eq!(counter.0.load(Ordering::Relaxed), 3);
    }
}
