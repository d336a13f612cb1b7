//! Telling that something happened, without saying what.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::line::Line;

/// Wakes one task or all that wait. It carries no value: who is woken looks at the state that is meant.
///
/// ```
/// # use std::cell::Cell;
/// # use ringhttp_runtime::sync::Notify;
/// # async fn wait(open: &Cell<usize>, ended: &Notify) {
/// while open.get() > 0 {
///     ended.notified().await;
/// }
/// # }
/// ```
#[derive(Default)]
pub struct Notify {
    /// A notification for one that found nobody waiting.
    stored: Cell<bool>,
    /// How often all were notified.
    rounds: Cell<u64>,
    line: Line<Served>,
}

#[derive(Clone, Copy)]
enum Served {
    One,
    All,
}

impl Notify {
    /// One with nothing stored.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for a notification: the stored one, or the next. [`notify_waiters`](Self::notify_waiters) counts from this
    /// call on, not from the first poll; so make the future first, then look at the state, then wait.
    ///
    /// # Cancellation
    /// Nothing is lost: a notification for one that came already goes to the next who waits, or is stored.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, round: self.rounds.get(), place: None }
    }

    /// Wakes the one who waited longest. If nobody waits, the next one to wait goes on at once; several such calls
    /// count as one.
    pub fn notify_one(&self) {
        if !self.line.serve_first(Served::One) {
            self.stored.set(true);
        }
    }

    /// Wakes everybody who waits now. Nothing is stored.
    pub fn notify_waiters(&self) {
        self.rounds.set(self.rounds.get().wrapping_add(1));
        self.line.serve_all(Served::All);
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("stored", &self.stored.get()).finish_non_exhaustive()
    }
}

/// Waits for a notification: see [`Notify::notified`].
#[must_use = "futures do nothing unless awaited"]
pub struct Notified<'a> {
    notify: &'a Notify,
    round: u64,
    place: Option<usize>,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(place) = self.place {
            let served = self.notify.line.poll(place, cx.waker());
            if served.is_some() {
                self.place = None;
            }
            return served.map_or(Poll::Pending, |_| Poll::Ready(()));
        }
        if self.round != self.notify.rounds.get() || self.notify.stored.take() {
            return Poll::Ready(());
        }
        self.place = Some(self.notify.line.join(cx.waker()));
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        if let Some(Served::One) = self.notify.line.leave(place) {
            self.notify.notify_one();
        }
    }
}

impl fmt::Debug for Notified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notified").field("waits", &self.place.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::{Wakes, random};

    #[test]
    fn one_is_woken_in_order_or_one_notification_is_stored() {
        let (notify, wakes) = (Notify::new(), Wakes::new());
        notify.notify_one();
        notify.notify_one();
        assert!(wakes.poll(&mut notify.notified()).is_ready());
        let (mut first, mut second) = (notify.notified(), notify.notified());
        assert!(wakes.poll(&mut first).is_pending(), "two stored ones are one");
        assert!(wakes.poll(&mut second).is_pending());
        notify.notify_one();
        assert_eq!(wakes.count(), 1);
        assert!(wakes.poll(&mut second).is_pending());
        assert!(wakes.poll(&mut first).is_ready());
    }

    #[test]
    fn all_who_asked_before_are_woken_and_nothing_is_stored() {
        let (notify, wakes) = (Notify::new(), Wakes::new());
        let (mut waits, mut only_asked) = (notify.notified(), notify.notified());
        assert!(wakes.poll(&mut waits).is_pending());
        notify.notify_waiters();
        assert_eq!(wakes.count(), 1);
        assert!(wakes.poll(&mut waits).is_ready());
        assert!(wakes.poll(&mut only_asked).is_ready());
        assert!(wakes.poll(&mut notify.notified()).is_pending());
    }

    #[test]
    fn a_dropped_future_passes_a_notification_for_one_on() {
        let (notify, wakes) = (Notify::new(), Wakes::new());
        let (mut first, mut second) = (notify.notified(), notify.notified());
        assert!(wakes.poll(&mut first).is_pending());
        assert!(wakes.poll(&mut second).is_pending());
        notify.notify_one();
        drop(first);
        assert_eq!(wakes.count(), 2, "the second was woken");
        drop(second);
        assert!(wakes.poll(&mut notify.notified()).is_ready(), "stored at last");

        let mut told_with_all = notify.notified();
        assert!(wakes.poll(&mut told_with_all).is_pending());
        notify.notify_waiters();
        drop(told_with_all);
        assert!(wakes.poll(&mut notify.notified()).is_pending(), "one for all is not passed on");
    }

    /// Every notification for one ends in exactly one future, or is stored; whatever is dropped.
    #[test]
    fn notifications_are_conserved() {
        let (notify, wakes) = (Notify::new(), Wakes::new());
        let mut state = 0x1234_5678_9abc_def1;
        let mut waiting = Vec::new();
        // Sent, received, and those that fell on a stored one.
        let (mut sent, mut received, mut merged) = (0_u64, 0, 0);
        for _ in 0..100_000 {
            match random(&mut state, 4) {
                0 if waiting.len() < 6 => {
                    let mut notified = notify.notified();
                    match wakes.poll(&mut notified) {
                        Poll::Ready(()) => received += 1,
                        Poll::Pending => waiting.push(notified),
                    }
                }
                1 if !waiting.is_empty() => {
                    let chosen = random(&mut state, waiting.len());
                    if wakes.poll(&mut waiting[chosen]).is_ready() {
                        received += 1;
                        drop(waiting.remove(chosen));
                    }
                }
                2 if !waiting.is_empty() => {
                    let leaving = waiting.remove(random(&mut state, waiting.len()));
                    merged += u64::from(notify.stored.get() && holds_notification(&leaving));
                    drop(leaving);
                }
                3 => {
                    merged += u64::from(notify.stored.get() && notify.line.is_empty());
                    notify.notify_one();
                    sent += 1;
                }
                _ => {}
            }
        }
        let held = waiting.iter().filter(|notified| holds_notification(notified)).count() as u64;
        assert_eq!(sent, received + merged + held + u64::from(notify.stored.get()));
        assert!(received > 1000);
    }

    fn holds_notification(notified: &Notified<'_>) -> bool {
        notified.place.is_some_and(|place| notified.notify.line.is_served(place))
    }
}
