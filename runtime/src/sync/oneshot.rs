//! One value, from one task to another.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Closed;
use super::line::Waiter;

/// A way for one value.
///
/// ```
/// # use ringhttp_runtime::sync::oneshot;
/// let (sender, mut receiver) = oneshot();
/// sender.send(7).expect("the receiver is there");
/// assert_eq!(receiver.try_receive(), Ok(Some(7)));
/// ```
pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: Cell::new(None),
        sender_gone: Cell::new(false),
        receiver_gone: Cell::new(false),
        sender: Waiter::default(),
        receiver: Waiter::default(),
    });
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared })
}

struct Shared<T> {
    value: Cell<Option<T>>,
    sender_gone: Cell<bool>,
    receiver_gone: Cell<bool>,
    sender: Waiter,
    receiver: Waiter,
}

/// The side that gives the value. Dropping it without one tells the receiver so.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Gives the value.
    ///
    /// # Errors
    /// The value, if the receiver is gone.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        self.shared.value.set(Some(value));
        Ok(())
    }

    /// Whether the receiver is gone, so that nobody needs the value.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.receiver_gone.get()
    }

    /// Waits until the receiver is gone.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn closed(&mut self) {
        poll_fn(|cx| {
            if self.is_closed() {
                return Poll::Ready(());
            }
            self.shared.sender.store(cx.waker());
            Poll::Pending
        })
        .await;
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.sender_gone.set(true);
        self.shared.receiver.wake();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// The side that awaits the value: [`Closed`] when the sender went without giving one, or the value was taken before.
///
/// # Cancellation
/// Awaiting `&mut receiver` and dropping that loses nothing. Dropping the receiver itself drops a value that is there.
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// The value if it is there; `None` while it may still come.
    ///
    /// # Errors
    /// [`Closed`] if it does not come any more.
    pub fn try_receive(&mut self) -> Result<Option<T>, Closed> {
        match self.shared.value.take() {
            None if self.shared.sender_gone.get() => Err(Closed),
            value => Ok(value),
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.try_receive() {
            Ok(Some(value)) => Poll::Ready(Ok(value)),
            Ok(None) => {
                self.shared.receiver.store(cx.waker());
                Poll::Pending
            }
            Err(closed) => Poll::Ready(Err(closed)),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver_gone.set(true);
        drop(self.shared.value.take());
        self.shared.sender.wake();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("sender_gone", &self.shared.sender_gone.get())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::sync::testing::Wakes;

    #[test]
    fn the_value_comes_once() {
        let wakes = Wakes::new();
        let (sender, mut receiver) = oneshot();
        assert_eq!(receiver.try_receive(), Ok(None));
        assert_eq!(wakes.poll(&mut receiver), Poll::Pending);
        assert_eq!(sender.send('a'), Ok(()));
        assert_eq!(wakes.count(), 1);
        assert_eq!(wakes.poll(&mut receiver), Poll::Ready(Ok('a')));
        assert_eq!(wakes.poll(&mut receiver), Poll::Ready(Err(Closed)));
    }

    #[test]
    fn a_sender_that_goes_wakes_the_receiver() {
        let wakes = Wakes::new();
        let (sender, mut receiver) = oneshot::<()>();
        assert_eq!(wakes.poll(&mut receiver), Poll::Pending);
        drop(sender);
        assert_eq!(wakes.count(), 1);
        assert_eq!(wakes.poll(&mut receiver), Poll::Ready(Err(Closed)));
    }

    #[test]
    fn a_receiver_that_goes_wakes_the_sender_and_drops_the_value() {
        let wakes = Wakes::new();
        let (mut sender, receiver) = oneshot();
        {
            let mut closed = pin!(sender.closed());
            assert_eq!(wakes.poll(&mut closed), Poll::Pending);
            drop(receiver);
            assert_eq!(wakes.count(), 1);
            assert_eq!(wakes.poll(&mut closed), Poll::Ready(()));
        }
        assert_eq!(sender.send(7), Err(7));

        let value = Rc::new(());
        let (sender, receiver) = oneshot();
        sender.send(Rc::clone(&value)).expect("the receiver is there");
        drop(receiver);
        assert_eq!(Rc::strong_count(&value), 1);
    }

    #[test]
    fn waiting_by_reference_can_be_given_up() {
        let wakes = Wakes::new();
        let (sender, mut receiver) = oneshot();
        {
            let mut waiting = &mut receiver;
            assert_eq!(wakes.poll(&mut waiting), Poll::Pending);
        }
        sender.send(3).expect("the receiver is there");
        assert_eq!(wakes.poll(&mut receiver), Poll::Ready(Ok(3)));
    }
}
