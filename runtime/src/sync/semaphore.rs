//! A number of permits. Owns how they are handed out: to who waited longest, directly, so nobody can slip in between.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Closed;
use super::line::Line;

/// A number of permits that can be taken and given back. Cloning gives another handle to the same.
///
/// ```
/// # use ringhttp_runtime::sync::Semaphore;
/// let connections = Semaphore::new(2);
/// let first = connections.try_acquire().expect("two are free");
/// let second = connections.try_acquire().expect("one is free");
/// assert!(connections.try_acquire().is_none());
/// drop(first);
/// assert_eq!(connections.available(), 1);
/// # drop(second);
/// ```
#[derive(Clone)]
pub struct Semaphore(Rc<Inner>);

struct Inner {
    /// Zero while somebody waits.
    available: Cell<usize>,
    closed: Cell<bool>,
    line: Line<Served>,
}

#[derive(Clone, Copy)]
enum Served {
    Permit,
    Closed,
}

impl Semaphore {
    /// A semaphore with this many permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self(Rc::new(Inner {
            available: Cell::new(permits),
            closed: Cell::new(false),
            line: Line::default(),
        }))
    }

    /// Takes a permit, and waits until there is one. Those who wait are served in the order of their first poll.
    ///
    /// # Errors
    /// [`Closed`] when the semaphore is closed, now or while waiting.
    ///
    /// # Cancellation
    /// Nothing is lost: a permit that was handed over already goes to the next who waits.
    pub fn acquire(&self) -> Acquire {
        Acquire { semaphore: self.clone(), place: None }
    }

    /// Takes a permit if one is free; `None` as well when the semaphore is closed.
    #[must_use]
    pub fn try_acquire(&self) -> Option<Permit> {
        let available = self.0.available.get();
        if self.0.closed.get() || available == 0 || !self.0.line.is_empty() {
            return None;
        }
        self.0.available.set(available - 1);
        Some(Permit { semaphore: Some(self.clone()) })
    }

    /// Permits that are free.
    #[must_use]
    pub fn available(&self) -> usize {
        self.0.available.get()
    }

    /// Adds permits.
    ///
    /// # Panics
    /// If there were more than `usize::MAX`.
    pub fn add_permits(&self, count: usize) {
        let available = self.0.available.get().checked_add(count).expect("fewer permits than usize::MAX");
        self.0.available.set(available);
        while let Some(left) = self.0.available.get().checked_sub(1) {
            // Taken off first: the one who is woken may look.
            self.0.available.set(left);
            if !self.0.line.serve_first(Served::Permit) {
                self.0.available.set(left + 1);
                return;
            }
        }
    }

    /// Gives out no permit any more: who waits, and who asks from now on, is told so. Permits that are out stay good.
    pub fn close(&self) {
        self.0.closed.set(true);
        self.0.line.serve_all(Served::Closed);
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// A permit. Dropping it gives it back.
#[must_use = "a permit that is dropped at once permits nothing"]
pub struct Permit {
    /// `None` once it was forgotten.
    semaphore: Option<Semaphore>,
}

impl Permit {
    /// Takes the permit out of circulation, until [`Semaphore::add_permits`] puts one back.
    pub fn forget(mut self) {
        self.semaphore = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(semaphore) = self.semaphore.take() {
            semaphore.add_permits(1);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// Waits for a permit: see [`Semaphore::acquire`].
#[must_use = "futures do nothing unless awaited"]
pub struct Acquire {
    semaphore: Semaphore,
    place: Option<usize>,
}

impl Future for Acquire {
    type Output = Result<Permit, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(place) = self.place else {
            if self.semaphore.is_closed() {
                return Poll::Ready(Err(Closed));
            }
            if let Some(permit) = self.semaphore.try_acquire() {
                return Poll::Ready(Ok(permit));
            }
            self.place = Some(self.semaphore.0.line.join(cx.waker()));
            return Poll::Pending;
        };
        let Some(served) = self.semaphore.0.line.poll(place, cx.waker()) else {
            return Poll::Pending;
        };
        self.place = None;
        Poll::Ready(match served {
            Served::Permit => Ok(Permit { semaphore: Some(self.semaphore.clone()) }),
            Served::Closed => Err(Closed),
        })
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        if let Some(Served::Permit) = self.semaphore.0.line.leave(place) {
            self.semaphore.add_permits(1);
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("waits", &self.place.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::{Wakes, random};

    #[test]
    fn permits_go_to_who_waited_longest() {
        let (semaphore, wakes) = (Semaphore::new(1), Wakes::new());
        let held = wakes.poll(&mut semaphore.acquire()).map(Result::unwrap);
        let mut waiting: Vec<_> = (0..3).map(|_| semaphore.acquire()).collect();
        for acquire in &mut waiting {
            assert!(wakes.poll(acquire).is_pending());
        }
        drop(held);
        assert_eq!(wakes.count(), 1);
        assert_eq!(semaphore.available(), 0, "handed over, not free");
        assert!(semaphore.try_acquire().is_none(), "nobody slips in");
        assert!(wakes.poll(&mut waiting[1]).is_pending());
        let Poll::Ready(Ok(permit)) = wakes.poll(&mut waiting[0]) else { panic!("the first is served") };
        drop(permit);
        assert!(wakes.poll(&mut waiting[1]).is_ready());
    }

    #[test]
    fn a_dropped_future_passes_its_permit_on() {
        let (semaphore, wakes) = (Semaphore::new(0), Wakes::new());
        let (mut first, mut second, mut third) =
            (semaphore.acquire(), semaphore.acquire(), semaphore.acquire());
        for acquire in [&mut first, &mut second, &mut third] {
            assert!(wakes.poll(acquire).is_pending());
        }
        drop(second);
        semaphore.add_permits(1);
        assert_eq!(wakes.count(), 1);
        drop(first);
        assert_eq!(wakes.count(), 2, "the third was woken");
        drop(third);
        assert_eq!(semaphore.available(), 1);
        drop(semaphore.acquire());
        assert_eq!(semaphore.available(), 1, "never polled");
    }

    #[test]
    fn closing_tells_all_and_keeps_what_is_out() {
        let (semaphore, wakes) = (Semaphore::new(1), Wakes::new());
        let permit = semaphore.try_acquire().unwrap();
        let (mut waiting, mut late) = (semaphore.acquire(), semaphore.acquire());
        assert!(wakes.poll(&mut waiting).is_pending());
        semaphore.close();
        assert_eq!(wakes.count(), 1);
        assert!(matches!(wakes.poll(&mut waiting), Poll::Ready(Err(Closed))));
        assert!(matches!(wakes.poll(&mut late), Poll::Ready(Err(Closed))));
        drop(permit);
        assert_eq!(semaphore.available(), 1);
        assert!(semaphore.try_acquire().is_none());
    }

    #[test]
    fn a_permit_handed_over_before_the_close_is_good() {
        let (semaphore, wakes) = (Semaphore::new(0), Wakes::new());
        let mut waiting = semaphore.acquire();
        assert!(wakes.poll(&mut waiting).is_pending());
        semaphore.add_permits(1);
        semaphore.close();
        assert!(matches!(wakes.poll(&mut waiting), Poll::Ready(Ok(_))));
        assert_eq!(semaphore.available(), 1);
    }

    #[test]
    fn forgotten_permits_are_gone_until_some_are_added() {
        let semaphore = Semaphore::new(2);
        semaphore.try_acquire().unwrap().forget();
        assert_eq!(semaphore.available(), 1);
        semaphore.add_permits(1);
        assert_eq!(semaphore.available(), 2);
    }

    /// Whatever is polled, dropped and given back in whatever order: no permit is lost or made, and nobody waits while
    /// one is free.
    #[test]
    fn permits_are_conserved() {
        const TOTAL: usize = 3;
        let (semaphore, wakes) = (Semaphore::new(TOTAL), Wakes::new());
        let mut state = 0x2545_f491_4f6c_dd1d;
        let (mut waiting, mut held) = (Vec::new(), Vec::new());
        for _ in 0..100_000 {
            match random(&mut state, 4) {
                0 if waiting.len() < 8 => waiting.push(semaphore.acquire()),
                1 if !waiting.is_empty() => {
                    let chosen = random(&mut state, waiting.len());
                    if let Poll::Ready(permit) = wakes.poll(&mut waiting[chosen]) {
                        held.push(permit.unwrap());
                        drop(waiting.remove(chosen));
                    }
                }
                2 if !waiting.is_empty() => drop(waiting.remove(random(&mut state, waiting.len()))),
                3 if !held.is_empty() => drop(held.remove(random(&mut state, held.len()))),
                _ => {}
            }
            let in_line = !semaphore.0.line.is_empty();
            assert!(!in_line || semaphore.available() == 0, "a free permit beside a line");
            assert!(semaphore.available() + held.len() <= TOTAL);
        }
        drop(waiting);
        drop(held);
        assert_eq!(semaphore.available(), TOTAL);
    }
}
