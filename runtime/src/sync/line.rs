//! Who waits: a line of futures in the order they came, and a place for one future alone.
//!
//! Wakers are cloned, called and dropped only while nothing is borrowed, so they may run any code, this file's included.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::task::Waker;

/// A line of waiting futures. `T` says how a future was served.
///
/// Joining, leaving from anywhere and serving the first are constant in time. Places are used again; their number is
/// that of the most futures that waited at once.
pub(super) struct Line<T>(RefCell<Places<T>>);

struct Places<T> {
    places: Vec<Place<T>>,
    free: Vec<usize>,
    first: usize,
    last: usize,
    /// The number of the next future to join.
    next_number: u64,
}

struct Place<T> {
    state: State<T>,
    number: u64,
    previous: usize,
    next: usize,
}

enum State<T> {
    Free,
    Waiting(Waker),
    /// Out of the line, until its future comes for the news or is dropped.
    Served(T),
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self(RefCell::new(Places {
            places: Vec::new(),
            free: Vec::new(),
            first: NONE,
            last: NONE,
            next_number: 0,
        }))
    }
}

impl<T> Line<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().first == NONE
    }

    /// Whether the future at `key` was served and has not come for the news yet.
    #[cfg(test)]
    pub(super) fn is_served(&self, key: usize) -> bool {
        matches!(self.0.borrow().places[key].state, State::Served(_))
    }

    /// Takes the last place.
    pub(super) fn join(&self, waker: &Waker) -> usize {
        let waker = waker.clone();
        self.0.borrow_mut().push(waker)
    }

    /// How the future at `key` was served, which gives its place back; otherwise `waker` is called when it is.
    pub(super) fn poll(&self, key: usize, waker: &Waker) -> Option<T> {
        let mut places = self.0.borrow_mut();
        match &places.places[key].state {
            State::Waiting(stored) if stored.will_wake(waker) => return None,
            State::Waiting(_) => {}
            State::Free | State::Served(_) => return places.release(key).into_served(),
        }
        drop(places);
        let fresh = State::Waiting(waker.clone());
        let old = std::mem::replace(&mut self.0.borrow_mut().places[key].state, fresh);
        drop(old);
        None
    }

    /// Gives the place of a future that goes away back, and says how it was served if it was.
    pub(super) fn leave(&self, key: usize) -> Option<T> {
        let state = self.0.borrow_mut().release(key);
        state.into_served()
    }

    /// Serves the first in line; false when nobody waits.
    pub(super) fn serve_first(&self, how: T) -> bool {
        let served = self.0.borrow_mut().pop(how, u64::MAX);
        served.map(Waker::wake).is_some()
    }

    /// Serves everybody who waits now; those who join meanwhile wait on.
    pub(super) fn serve_all(&self, how: T)
    where
        T: Copy,
    {
        let end = self.0.borrow().next_number;
        loop {
            let served = self.0.borrow_mut().pop(how, end);
            match served {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }
}

impl<T> Places<T> {
    fn push(&mut self, waker: Waker) -> usize {
        let place =
            Place { state: State::Waiting(waker), number: self.next_number, previous: self.last, next: NONE };
        self.next_number += 1;
        let key = match self.free.pop() {
            Some(key) => {
                self.places[key] = place;
                key
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        };
        match self.last {
            NONE => self.first = key,
            last => self.places[last].next = key,
        }
        self.last = key;
        key
    }

    /// Serves the first in line if it joined before number `end`, and says whom to wake.
    fn pop(&mut self, how: T, end: u64) -> Option<Waker> {
        let key = self.first;
        if key == NONE || self.places[key].number >= end {
            return None;
        }
        self.unlink(key);
        match std::mem::replace(&mut self.places[key].state, State::Served(how)) {
            State::Waiting(waker) => Some(waker),
            State::Free | State::Served(_) => unreachable!("only waiting futures are in the line"),
        }
    }

    fn release(&mut self, key: usize) -> State<T> {
        if matches!(self.places[key].state, State::Waiting(_)) {
            self.unlink(key);
        }
        self.free.push(key);
        std::mem::replace(&mut self.places[key].state, State::Free)
    }

    fn unlink(&mut self, key: usize) {
        let (previous, next) = (self.places[key].previous, self.places[key].next);
        match previous {
            NONE => self.first = next,
            previous => self.places[previous].next = next,
        }
        match next {
            NONE => self.last = previous,
            next => self.places[next].previous = previous,
        }
    }
}

impl<T> State<T> {
    fn into_served(self) -> Option<T> {
        match self {
            Self::Served(how) => Some(how),
            Self::Free | Self::Waiting(_) => None,
        }
    }
}

/// The place of the only future that can wait for something.
#[derive(Default)]
pub(super) struct Waiter(Cell<Option<Waker>>);

impl Waiter {
    /// Says whom to wake; the clone is saved when the waker is the stored one.
    pub(super) fn store(&self, waker: &Waker) {
        let stored = self.0.take();
        let keep = stored.filter(|stored| stored.will_wake(waker)).unwrap_or_else(|| waker.clone());
        drop(self.0.replace(Some(keep)));
    }

    /// Wakes the future, once for each time it was stored.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

/// The end of the line.
const NONE: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::Wakes;

    #[test]
    fn places_are_served_in_order_and_used_again() {
        let line = Line::default();
        let wakes = Wakes::new();
        for _ in 0..100 {
            let keys: Vec<_> = (0..5).map(|_| line.join(&wakes.waker())).collect();
            assert_eq!(line.leave(keys[2]), None, "from the middle");
            assert_eq!(line.leave(keys[0]), None, "from the front");
            assert_eq!(line.leave(keys[4]), None, "from the end");
            assert!(line.serve_first('a'));
            assert!(line.serve_first('b'));
            assert!(!line.serve_first('c'));
            assert_eq!(line.poll(keys[1], &wakes.waker()), Some('a'));
            assert_eq!(line.leave(keys[3]), Some('b'));
            assert!(line.is_empty());
        }
        assert_eq!(wakes.count(), 200);
        assert_eq!(line.0.borrow().places.len(), 5);
    }

    #[test]
    fn who_joins_while_all_are_served_waits_on() {
        /// Joins the line again as it is woken.
        struct Rejoin;
        thread_local! {
            static LINE: Line<()> = Line::default();
        }
        impl std::task::Wake for Rejoin {
            fn wake(self: std::sync::Arc<Self>) {
                LINE.with(|line| line.join(&Waker::from(self)));
            }
        }
        LINE.with(|line| {
            for _ in 0..3 {
                line.join(&Waker::from(std::sync::Arc::new(Rejoin)));
            }
            line.serve_all(());
            assert_eq!(line.0.borrow().next_number, 6);
            assert!(!line.is_empty());
        });
    }

    #[test]
    fn the_waker_of_the_latest_poll_is_called() {
        let (line, old, new) = (Line::default(), Wakes::new(), Wakes::new());
        let key = line.join(&old.waker());
        assert_eq!(line.poll(key, &new.waker()), None);
        line.serve_first(());
        assert_eq!((old.count(), new.count()), (0, 1));

        let waiter = Waiter::default();
        waiter.store(&old.waker());
        waiter.store(&new.waker());
        waiter.wake();
        waiter.wake();
        assert_eq!((old.count(), new.count()), (0, 2));
    }
}
