//! Telling other tasks of the core that something has happened.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Something that tasks wait for to happen.
#[derive(Debug, Default)]
pub struct Notify {
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
    /// A `notify_one` that nobody was waiting for.
    stored: Cell<bool>,
}

#[derive(Debug, Default)]
struct Waiter {
    state: Cell<State>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    /// Woken alone: if the future is dropped, the next one has to be told.
    One,
    /// Woken together with all others.
    All,
}

impl Notify {
    /// Nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the task that has waited longest. If none waits, the next one that does goes on at once; this is
    /// remembered once.
    pub fn notify_one(&self) {
        let waiter = self.waiters.borrow_mut().pop_front();
        match waiter {
            Some(waiter) => waiter.wake(State::One),
            None => self.stored.set(true),
        }
    }

    /// Wakes all tasks that wait now.
    pub fn notify_waiters(&self) {
        let waiters = self.waiters.take();
        waiters.into_iter().for_each(|waiter| waiter.wake(State::All));
    }

    /// Waits to be notified. The place in the queue is taken by the first poll.
    ///
    /// # Cancellation
    /// Nothing is lost: a notification of one that came meanwhile goes to the next task.
    pub fn notified(&self) -> Notified<'_> {
        Notified {
            notify: self,
            waiter: None,
        }
    }
}

impl Waiter {
    fn wake(&self, state: State) {
        self.state.set(state);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The future of [`Notify::notified`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Notified<'a> {
    notify: &'a Notify,
    waiter: Option<Rc<Waiter>>,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let notify = self.notify;
        let waiter = match &self.waiter {
            Some(waiter) => waiter,
            None if notify.stored.take() => return Poll::Ready(()),
            None => {
                let waiter = Rc::<Waiter>::default();
                notify.waiters.borrow_mut().push_back(Rc::clone(&waiter));
                self.waiter.insert(waiter)
            }
        };
        if waiter.state.get() != State::Waiting {
            self.waiter = None;
            return Poll::Ready(());
        }
        waiter.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(waiter) = self.waiter.take() else { return };
        match waiter.state.get() {
            State::Waiting => self
                .notify
                .waiters
                .borrow_mut()
                .retain(|other| !Rc::ptr_eq(other, &waiter)),
            State::One => self.notify.notify_one(),
            State::All => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(notified: &mut Notified<'_>) -> bool {
        Pin::new(notified)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn one_wakes_the_first_and_is_remembered_once() {
        let notify = Notify::new();
        let (mut a, mut b) = (notify.notified(), notify.notified());
        assert!(!poll(&mut a) && !poll(&mut b));
        notify.notify_one();
        assert!(!poll(&mut b) && poll(&mut a));
        notify.notify_one();
        assert!(poll(&mut b));
        notify.notify_one();
        notify.notify_one();
        assert!(poll(&mut notify.notified()));
        assert!(!poll(&mut notify.notified()));
    }

    #[test]
    fn a_dropped_waiter_hands_its_notification_on() {
        let notify = Notify::new();
        let (mut a, mut b) = (notify.notified(), notify.notified());
        assert!(!poll(&mut a) && !poll(&mut b));
        notify.notify_one();
        drop(a);
        assert!(poll(&mut b));
        let mut c = notify.notified();
        assert!(!poll(&mut c));
        drop(c);
        assert!(notify.waiters.borrow().is_empty());
    }

    #[test]
    fn all_wakes_those_that_wait_and_nobody_later() {
        let notify = Notify::new();
        let (mut a, mut b) = (notify.notified(), notify.notified());
        assert!(!poll(&mut a) && !poll(&mut b));
        notify.notify_waiters();
        assert!(poll(&mut a) && poll(&mut b));
        assert!(!poll(&mut notify.notified()));
    }
}
