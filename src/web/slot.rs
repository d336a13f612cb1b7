//! The memory of calls under way: each handler and each middleware keeps some of it for its next calls, so that a call
//! allocates nothing. A call that waits for nothing is done where it begins, and its memory is free again at once.
#![forbid(unsafe_code)]

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::handler::Endpoint;
use crate::conn::{Request, Response};

/// The call of an endpoint: nothing is done before it is polled.
pub(crate) struct Call<'a>(Stage<'a>);

enum Stage<'a> {
    Asked(&'a dyn Endpoint, Request),
    Waiting(Waiting),
    Answered,
}

/// How far a call came when it was begun.
pub(crate) enum Begun {
    Answered(Response),
    Waiting(Waiting),
}

impl<'a> Call<'a> {
    pub(super) fn new(endpoint: &'a dyn Endpoint, request: Request) -> Self {
        Self(Stage::Asked(endpoint, request))
    }
}

impl Future for Call<'_> {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        if let Stage::Waiting(waiting) = &mut self.0 {
            let response = std::task::ready!(waiting.slot().poll(cx));
            self.0 = Stage::Answered;
            return Poll::Ready(response);
        }
        let Stage::Asked(endpoint, request) = mem::replace(&mut self.0, Stage::Answered) else {
            panic!("polled after it was answered");
        };
        match endpoint.begin(request, cx) {
            Begun::Answered(response) => Poll::Ready(response),
            Begun::Waiting(waiting) => {
                self.0 = Stage::Waiting(waiting);
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
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

    /// Puts a future in its place, and polls it once.
    pub(super) fn begin(self: &Rc<Self>, future: F, cx: &mut Context<'_>) -> Begun {
        let spare = self.spare.borrow_mut().pop();
        let mut slot = spare.unwrap_or_else(|| Box::pin(None));
        slot.set(Some(future));
        match slot.as_mut().as_pin_mut().expect("just set").poll(cx) {
            Poll::Ready(response) => {
                self.keep(slot);
                Begun::Answered(response)
            }
            Poll::Pending => {
                let home = Rc::clone(self) as Rc<dyn Any>;
                Begun::Waiting(Waiting { slot: Some(slot), home })
            }
        }
    }

    /// Drops what is in the slot, and keeps the memory.
    fn keep(&self, mut slot: Pin<Box<Option<F>>>) {
        // What the future drops may call the same function again: the slots are not borrowed meanwhile.
        slot.set(None);
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX && size_of::<F>() <= KEPT_BYTES_MAX {
            spare.push(slot);
        }
    }
}

/// A future in its slot, which goes home when this is dropped.
pub(crate) struct Waiting {
    /// `None` only while it is being dropped.
    slot: Option<Pin<Box<dyn Slot>>>,
    /// The [`Slots`] it came from.
    home: Rc<dyn Any>,
}

impl Waiting {
    fn slot(&mut self) -> Pin<&mut dyn Slot> {
        self.slot.as_mut().expect("present until dropped").as_mut()
    }
}

impl Drop for Waiting {
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

    fn go_home(self: Pin<Box<Self>>, home: &dyn Any) {
        if let Some(home) = home.downcast_ref::<Slots<F>>() {
            home.keep(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;
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

    fn begin<F: Future<Output = Response> + 'static>(slots: &Rc<Slots<F>>, future: F) -> Begun {
        slots.begin(future, &mut Context::from_waker(Waker::noop()))
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
        assert!(matches!(begin(&slots, make(false)), Begun::Answered(_)));
        assert_eq!((drops.get(), slots.spare.borrow().len()), (1, 1));
        let address = || slots.spare.borrow().first().map(|slot| &raw const **slot);
        let first = address();
        // A call that is given up half way leaves its slot as well.
        let waiting = begin(&slots, make(true));
        assert!(matches!(waiting, Begun::Waiting(_)) && slots.spare.borrow().is_empty());
        drop(waiting);
        assert_eq!((drops.get(), address()), (2, first));
        assert!(first.is_some());
    }

    #[test]
    fn a_burst_leaves_no_more_than_the_spare_ones() {
        let make = |_: bool| pending();
        let slots = slots(&make);
        let calls: Vec<Begun> = (0..100).map(|_| begin(&slots, make(true))).collect();
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
        drop(begin(&slots, make(true)));
        assert!(slots.spare.borrow().is_empty());
    }
}
