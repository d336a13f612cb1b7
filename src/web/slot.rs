//! The memory of calls under way: each handler and each middleware keeps some of it for its next calls, so that a call
//! allocates nothing.
#![forbid(unsafe_code)]

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::conn::Response;

/// A call under way, or its answer.
pub(crate) struct Answer(Kind);

enum Kind {
    Ready(Option<Response>),
    Running(Running),
}

impl Answer {
    /// The answer of what need not wait.
    pub(crate) fn ready(response: Response) -> Self {
        Self(Kind::Ready(Some(response)))
    }
}

impl Future for Answer {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        match &mut self.0 {
            Kind::Ready(response) => Poll::Ready(response.take().expect("polled once")),
            Kind::Running(running) => running.slot().poll(cx),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

/// Memory for the futures of one function.
pub(super) struct Slots<F> {
    spare: RefCell<Vec<Pin<Box<Option<F>>>>>,
}

/// Spare slots of one function: calls that wait for nothing need one at a time, and what a burst of waiting calls has
/// allocated goes back.
const SPARE_MAX: usize = 4;

/// Futures that are larger are not kept: few functions have them, and what they hold on to would be felt.
const KEPT_BYTES_MAX: usize = 16 * 1024;

impl<F: Future<Output = Response> + 'static> Slots<F> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { spare: RefCell::default() })
    }

    /// Puts a future in its place.
    pub(super) fn start(self: &Rc<Self>, future: F) -> Answer {
        let spare = self.spare.borrow_mut().pop();
        let slot: Pin<Box<dyn Slot>> = match spare {
            Some(mut slot) => {
                slot.set(Some(future));
                slot
            }
            None => Box::pin(Some(future)),
        };
        Answer(Kind::Running(Running { slot: Some(slot), home: Rc::clone(self) as Rc<dyn Any> }))
    }

    fn keep(&self, slot: Pin<Box<Option<F>>>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX && size_of::<F>() <= KEPT_BYTES_MAX {
            spare.push(slot);
        }
    }
}

/// A future in its slot, which goes home when this is dropped.
struct Running {
    /// `None` only while it is being dropped.
    slot: Option<Pin<Box<dyn Slot>>>,
    /// The [`Slots`] it came from.
    home: Rc<dyn Any>,
}

impl Running {
    fn slot(&mut self) -> Pin<&mut dyn Slot> {
        self.slot.as_mut().expect("present until dropped").as_mut()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.go_home(&*self.home);
        }
    }
}

/// Memory with a future of some type in it.
trait Slot {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response>;

    /// Drops the future, and gives the memory back.
    fn go_home(self: Pin<Box<Self>>, home: &dyn Any);
}

impl<F: Future<Output = Response> + 'static> Slot for Option<F> {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        self.as_pin_mut().expect("present until dropped").poll(cx)
    }

    fn go_home(mut self: Pin<Box<Self>>, home: &dyn Any) {
        // What the future drops may call the same function again: its slots are not borrowed meanwhile.
        self.set(None);
        if let Some(home) = home.downcast_ref::<Slots<F>>() {
            home.keep(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    /// Says when it is dropped.
    struct Dropped(Rc<Cell<u32>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn slots<F: Future<Output = Response> + 'static>(_: &impl Fn(bool) -> F) -> Rc<Slots<F>> {
        Slots::new()
    }

    fn poll(answer: Answer) -> Poll<Response> {
        pin!(answer).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn memory_is_used_again_and_the_future_dropped_at_once() {
        let drops = Rc::new(Cell::new(0));
        let make = |waits: bool| {
            let held = Dropped(Rc::clone(&drops));
            async move {
                if waits {
                    pending::<()>().await;
                }
                drop(held);
                Response::text("x")
            }
        };
        let slots = slots(&make);
        assert!(poll(slots.start(make(false))).is_ready());
        assert_eq!((drops.get(), slots.spare.borrow().len()), (1, 1));
        let address = || slots.spare.borrow().first().map(|slot| &raw const **slot);
        let first = address();
        // A call that is given up half way leaves its slot as well.
        let mut waiting = slots.start(make(true));
        assert!(slots.spare.borrow().is_empty());
        assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(waiting);
        assert_eq!((drops.get(), address()), (2, first));
        assert!(first.is_some());
    }

    #[test]
    fn a_burst_leaves_no_more_than_the_spare_ones() {
        let make = |_: bool| pending();
        let slots = slots(&make);
        let calls: Vec<Answer> = (0..100).map(|_| slots.start(make(true))).collect();
        drop(calls);
        assert_eq!(slots.spare.borrow().len(), SPARE_MAX);
    }

    #[expect(clippy::large_stack_arrays, reason = "it is to be large")]
    #[test]
    fn large_futures_are_not_kept() {
        let make = |waits: bool| async move {
            let bytes = [[1_u8; KEPT_BYTES_MAX]; 2];
            if waits {
                pending::<()>().await;
            }
            Response::bytes(bytes.concat())
        };
        let slots = slots(&make);
        drop(slots.start(make(true)));
        assert!(slots.spare.borrow().is_empty());
    }
}
