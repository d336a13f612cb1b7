//! Whom to wake: a place for one waker, shared by the one who waits and those who wake. It takes the room of a waker and no more.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::task::Waker;

/// A place for a waker. It is never lent out, so waking may run any code.
#[derive(Default)]
pub(crate) struct WakerCell(Cell<Option<Waker>>);

const _: () = assert!(size_of::<WakerCell>() == size_of::<Waker>());

impl WakerCell {
    /// Keeps a waker, unless it is the one that is kept.
    pub(crate) fn keep(&self, waker: &Waker) {
        let known = self.0.take();
        if known.as_ref().is_some_and(|known| wakes_the_same(known, waker)) {
            self.0.set(known);
        } else {
            self.0.set(Some(waker.clone()));
        }
    }

    /// Whether that one is kept, or another of the same task.
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        let known = self.0.take();
        let will_wake = known.as_ref().is_some_and(|known| wakes_the_same(known, waker));
        self.0.set(known);
        will_wake
    }

    /// The one that is kept; it stays.
    pub(crate) fn get(&self) -> Option<Waker> {
        let known = self.0.take();
        self.0.set(known.clone());
        known
    }

    /// Takes out the one that is kept.
    pub(crate) fn take(&self) -> Option<Waker> {
        self.0.take()
    }
}

/// Whether two wakers are of one task. [`Waker::will_wake`] may say no where they are: the compiler may make the table of a waker's
/// functions more than once, and a clone has another one then. What they are made for tells: it is the task.
pub(super) fn wakes_the_same(one: &Waker, other: &Waker) -> bool {
    one.will_wake(other) || (one.data() == other.data() && !one.data().is_null())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn the_last_one_is_kept_and_no_clone_is_made_of_the_same() {
        let (task, other) = (Arc::new(Nobody), Arc::new(Nobody));
        let (waker, other) = (Waker::from(Arc::clone(&task)), Waker::from(other));
        let cell = WakerCell::default();
        assert!(!cell.will_wake(&waker) && cell.get().is_none());
        cell.keep(&waker);
        cell.keep(&waker);
        assert!(cell.will_wake(&waker) && !cell.will_wake(&other));
        assert_eq!(Arc::strong_count(&task), 3, "the task, the waker, and one clone");
        cell.keep(&other);
        assert!(cell.get().is_some_and(|kept| kept.will_wake(&other)));
        assert!(cell.take().is_some() && cell.take().is_none());
    }
}
