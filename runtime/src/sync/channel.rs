//! A queue between tasks: many senders, one receiver, and room for so many values. Senders wait for room in the order
//! they came, which is how a slow receiver slows them down.
//!
//! Room is a semaphore's permits: a value takes one, and the receiver gives it back when it takes the value.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Closed;
use super::line::Waiter;
use super::semaphore::{Permit, Semaphore};

/// A queue with room for `capacity` values. Its memory grows as it fills.
///
/// ```
/// # use ringhttp_runtime::sync::channel;
/// let (sender, mut receiver) = channel(2);
/// sender.try_send('a').expect("there is room");
/// drop(sender);
/// assert_eq!(receiver.try_receive(), Ok(Some('a')));
/// assert!(receiver.try_receive().is_err());
/// ```
///
/// # Panics
/// If `capacity` is 0: nothing would ever go through.
#[must_use]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel needs room for a value");
    let shared = Rc::new(Shared {
        queue: RefCell::new(VecDeque::new()),
        room: Semaphore::new(capacity),
        senders: Cell::new(1),
        receiver: Waiter::default(),
    });
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared })
}

struct Shared<T> {
    queue: RefCell<VecDeque<T>>,
    /// Closed with the receiver.
    room: Semaphore,
    senders: Cell<usize>,
    receiver: Waiter,
}

/// A side that sends. Cloning makes another one; when all are dropped, the receiver is told after the last value.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends a value, and waits for room.
    ///
    /// # Errors
    /// The value, if the receiver is gone or closed.
    ///
    /// # Cancellation
    /// The value is dropped with the future, and was not sent. To keep it, [`reserve`](Self::reserve) first.
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.reserve().await {
            Ok(slot) => slot.send(value),
            Err(Closed) => Err(SendError(value)),
        }
    }

    /// Waits for room and keeps it for one value.
    ///
    /// # Errors
    /// [`Closed`] if the receiver is gone or closed.
    ///
    /// # Cancellation
    /// Nothing is lost: the room goes to the next who waits.
    pub async fn reserve(&self) -> Result<Slot<'_, T>, Closed> {
        let permit = self.shared.room.acquire().await?;
        Ok(Slot { shared: &self.shared, permit })
    }

    /// Sends a value if there is room now.
    ///
    /// # Errors
    /// The value, if there is no room or the receiver is gone or closed.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        match self.shared.room.try_acquire() {
            Some(permit) => Slot { shared: &self.shared, permit }
                .send(value)
                .map_err(|error| TrySendError::Closed(error.0)),
            None if self.is_closed() => Err(TrySendError::Closed(value)),
            None => Err(TrySendError::Full(value)),
        }
    }

    /// Whether the receiver is gone or closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.room.is_closed()
    }

    /// Values for which there is room now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.shared.room.available()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.receiver.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("room", &self.room())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Room for one value: see [`Sender::reserve`]. Dropping it gives the room back.
#[must_use = "room that is dropped at once is of no use"]
pub struct Slot<'a, T> {
    shared: &'a Shared<T>,
    permit: Permit,
}

impl<T> Slot<'_, T> {
    /// Sends a value, at once.
    ///
    /// # Errors
    /// The value, if the receiver is gone or closed.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        if self.shared.room.is_closed() {
            return Err(SendError(value));
        }
        self.shared.queue.borrow_mut().push_back(value);
        self.permit.forget();
        self.shared.receiver.wake();
        Ok(())
    }
}

impl<T> fmt::Debug for Slot<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

/// The side that receives. Dropping it drops what is queued, and tells the senders.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// The next value; `None` when there is none and none can come: all senders are gone, or it was closed.
    ///
    /// # Cancellation
    /// Nothing is lost: a value is taken only as it is returned.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// As [`receive`](Self::receive), for a future's own `poll`. Wakes the task of the latest call.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match self.try_receive() {
            Ok(None) => {
                self.shared.receiver.store(cx.waker());
                Poll::Pending
            }
            Ok(value) => Poll::Ready(value),
            Err(Closed) => Poll::Ready(None),
        }
    }

    /// The next value if it is there; `None` while one may still come.
    ///
    /// # Errors
    /// [`Closed`] when there is none and none can come.
    pub fn try_receive(&mut self) -> Result<Option<T>, Closed> {
        let value = self.shared.queue.borrow_mut().pop_front();
        if value.is_some() {
            self.shared.room.add_permits(1);
        } else if self.shared.senders.get() == 0 || self.shared.room.is_closed() {
            return Err(Closed);
        }
        Ok(value)
    }

    /// Takes no new values: senders that wait are told. What is queued can still be received.
    pub fn close(&mut self) {
        self.shared.room.close();
    }

    /// Values that are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.queue.borrow().len()
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.room.close();
        // Taken out first: a value's destructor may look at the channel.
        let unread = self.shared.queue.take();
        drop(unread);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("senders", &self.shared.senders.get())
            .finish_non_exhaustive()
    }
}

/// The value that could not be sent, because the receiver is gone or closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Closed.fmt(f)
    }
}

impl<T> error::Error for SendError<T> {}

/// The value that could not be sent at once, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The receiver is gone or closed.
    Closed(T),
    /// There is no room now.
    Full(T),
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "Closed(..)",
            Self::Full(_) => "Full(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => Closed.fmt(f),
            Self::Full(_) => f.write_str("the channel is full"),
        }
    }
}

impl<T> error::Error for TrySendError<T> {}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};

    use super::*;
    use crate::sync::testing::{Wakes, random};

    #[test]
    fn a_full_channel_makes_senders_wait_in_order() {
        let wakes = Wakes::new();
        let (sender, mut receiver) = channel(1);
        sender.try_send(0).expect("room");
        assert!(matches!(sender.try_send(9), Err(TrySendError::Full(9))));
        let (mut one, mut two) = (pin!(sender.send(1)), pin!(sender.send(2)));
        assert!(wakes.poll(&mut one).is_pending());
        assert!(wakes.poll(&mut two).is_pending());
        assert_eq!(receiver.try_receive(), Ok(Some(0)));
        assert_eq!(wakes.count(), 1);
        assert!(matches!(sender.try_send(9), Err(TrySendError::Full(9))), "the room is the first waiter's");
        assert!(wakes.poll(&mut two).is_pending());
        assert_eq!(wakes.poll(&mut one), Poll::Ready(Ok(())));
        assert_eq!(receiver.try_receive(), Ok(Some(1)));
        assert_eq!(wakes.poll(&mut two), Poll::Ready(Ok(())));
        assert_eq!(receiver.try_receive(), Ok(Some(2)));
        assert_eq!(receiver.try_receive(), Ok(None));
    }

    #[test]
    fn the_receiver_is_woken_by_a_value_and_by_the_last_sender() {
        let wakes = Wakes::new();
        let (sender, mut receiver) = channel(4);
        let other = sender.clone();
        assert!(wakes.poll(&mut pin!(receiver.receive())).is_pending());
        other.try_send('a').expect("room");
        assert_eq!(wakes.count(), 1);
        assert_eq!(wakes.poll(&mut pin!(receiver.receive())), Poll::Ready(Some('a')));
        assert!(wakes.poll(&mut pin!(receiver.receive())).is_pending());
        drop(other);
        assert_eq!(wakes.count(), 1, "one sender is left");
        sender.try_send('b').expect("room");
        drop(sender);
        assert_eq!(wakes.poll(&mut pin!(receiver.receive())), Poll::Ready(Some('b')));
        assert_eq!(wakes.poll(&mut pin!(receiver.receive())), Poll::Ready(None));
    }

    #[test]
    fn a_closed_receiver_gives_out_what_is_queued_and_takes_nothing() {
        let wakes = Wakes::new();
        let (sender, mut receiver) = channel(1);
        let mut reserved = pin!(sender.reserve());
        let Poll::Ready(Ok(slot)) = wakes.poll(&mut reserved) else { panic!("room") };
        let mut waits = pin!(sender.send(2));
        assert!(wakes.poll(&mut waits).is_pending());
        receiver.close();
        assert_eq!(wakes.poll(&mut waits), Poll::Ready(Err(SendError(2))));
        assert_eq!(slot.send(1), Err(SendError(1)), "reserved before the close");
        assert_eq!(receiver.try_receive(), Err(Closed));

        let (sender, mut receiver) = channel(1);
        sender.try_send(5).expect("room");
        receiver.close();
        assert!(matches!(sender.try_send(6), Err(TrySendError::Closed(6))));
        assert_eq!(receiver.try_receive(), Ok(Some(5)));
        assert_eq!(receiver.try_receive(), Err(Closed));
    }

    #[test]
    fn a_receiver_that_goes_drops_what_is_queued() {
        let value = Rc::new(());
        let (sender, receiver) = channel(1);
        sender.try_send(Rc::clone(&value)).expect("room");
        drop(receiver);
        assert_eq!(Rc::strong_count(&value), 1);
        assert!(sender.is_closed());
    }

    #[test]
    fn room_that_is_not_used_goes_to_the_next() {
        let wakes = Wakes::new();
        let (sender, mut receiver) = channel(1);
        let mut waits = Box::pin(sender.send(7));
        {
            let mut reserved = pin!(sender.reserve());
            let Poll::Ready(Ok(slot)) = wakes.poll(&mut reserved) else { panic!("room") };
            assert!(wakes.poll(&mut waits).is_pending());
            drop(slot);
        }
        assert_eq!(wakes.count(), 1);
        drop(waits);
        assert_eq!(sender.room(), 1, "handed over, and given up");
        assert_eq!(receiver.try_receive(), Ok(None));
    }

    /// Sends, receives and drops in any order: each sender's values arrive in order, none twice, none without being
    /// sent, and no room is lost.
    #[test]
    fn values_are_conserved() {
        const CAPACITY: usize = 3;
        type Sending<'a> =
            (usize, u32, Pin<Box<dyn Future<Output = Result<(), SendError<(usize, u32)>>> + 'a>>);
        let wakes = Wakes::new();
        let (sender, mut receiver) = channel(CAPACITY);
        let senders: Vec<_> = (0..4).map(|_| sender.clone()).collect();
        let mut state = 0x0dd0_5eed_0dd0_5eed;
        let mut waiting: Vec<Sending<'_>> = Vec::new();
        let mut numbers = [0_u32; 4];
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for _ in 0..100_000 {
            let who = random(&mut state, senders.len());
            let chosen = waiting.iter().position(|(sender, _, _)| *sender == who);
            match (random(&mut state, 4), chosen) {
                (0 | 1, None) => {
                    numbers[who] += 1;
                    waiting.push((who, numbers[who], Box::pin(senders[who].send((who, numbers[who])))));
                }
                (0 | 1, Some(chosen)) if wakes.poll(&mut waiting[chosen].2).is_ready() => {
                    let (who, number, _) = waiting.remove(chosen);
                    sent.push((who, number));
                }
                (2, Some(chosen)) if random(&mut state, 4) == 0 => drop(waiting.remove(chosen)),
                (3, _) => received.extend(receiver.try_receive().expect("senders are there")),
                _ => {}
            }
            assert!(receiver.len() + sender.room() <= CAPACITY);
        }
        drop(waiting);
        while let Some(value) = receiver.try_receive().expect("senders are there") {
            received.push(value);
        }
        assert_eq!(sender.room(), CAPACITY);
        assert_eq!(received, sent);
        assert!(sent.len() > 10_000);
    }
}
