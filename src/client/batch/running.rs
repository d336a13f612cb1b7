//! Futures that run side by side in one task: only those are polled that were woken.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::client::error::Result;

/// Futures under way, each with a number of the caller's.
pub(super) struct Running<'a, T> {
    slots: Vec<Option<Slot<'a, T>>>,
    free: Vec<usize>,
    woken: Arc<Woken>,
}

struct Slot<'a, T> {
    number: usize,
    future: Underway<'a, T>,
    bell: Arc<Bell>,
}

type Underway<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// Which slots are to be polled, and who polls them. A waker is one for any thread, so this is.
#[derive(Default)]
struct Woken(Mutex<State>);

#[derive(Default)]
struct State {
    slots: VecDeque<usize>,
    poller: Option<Waker>,
}

/// The waker of one future.
struct Bell {
    slot: usize,
    /// It stands in the list of those to be polled.
    has_rung: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.has_rung.swap(true, Ordering::AcqRel)
            && let Some(poller) = self.woken.note(self.slot)
        {
            poller.wake();
        }
    }
}

impl Woken {
    /// Notes a slot; gives whom to wake.
    fn note(&self, slot: usize) -> Option<Waker> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.slots.push_back(slot);
        state.poller.take()
    }

    /// Says who polls, and gives how many there are to be polled.
    fn begin(&self, poller: &Waker) -> usize {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.poller = Some(poller.clone());
        state.slots.len()
    }

    fn take(&self) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).slots.pop_front()
    }
}

impl<'a, T> Running<'a, T> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), woken: Arc::default() }
    }

    /// Futures that are not done.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a future in, to be polled by the next [`poll_next`](Self::poll_next).
    pub(super) fn push(&mut self, number: usize, future: Underway<'a, T>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let bell = Arc::new(Bell { slot, has_rung: AtomicBool::new(true), woken: Arc::clone(&self.woken) });
        self.slots[slot] = Some(Slot { number, future, bell });
        // Nobody waits while one is pushed.
        self.woken.note(slot);
    }

    /// What the next future that is done gives, with its number; `None` if there are none.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<(usize, Result<T>)>> {
        // First, so that a future that is woken meanwhile wakes who polls.
        let woken = self.woken.begin(cx.waker());
        // Those that wake themselves have to wait for the next turn.
        for index in (0..woken).map_while(|_| self.woken.take()) {
            // A slot may be another's by now, which was noted itself, or nobody's.
            let Some(slot) = &mut self.slots[index] else { continue };
            slot.bell.has_rung.store(false, Ordering::Release);
            let waker = Waker::from(Arc::clone(&slot.bell));
            if let Poll::Ready(result) = slot.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                let number = slot.number;
                self.slots[index] = None;
                self.free.push(index);
                return Poll::Ready(Some((number, result)));
            }
        }
        if self.len() == 0 { Poll::Ready(None) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, poll_fn};
    use std::rc::Rc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn only_those_are_polled_that_were_woken_and_each_result_comes_once() {
        let (polls, go): (Rc<Cell<u32>>, Rc<Cell<Option<Waker>>>) = Default::default();
        let mut running = Running::new();
        for number in 0..3 {
            let (polls, go) = (Rc::clone(&polls), Rc::clone(&go));
            running.push(
                number,
                Box::pin(poll_fn(move |cx| {
                    polls.set(polls.get() + 1);
                    if number == 1 && polls.get() <= 3 {
                        go.set(Some(cx.waker().clone()));
                    }
                    if number == 1 && polls.get() > 3 { Poll::Ready(Ok(number)) } else { Poll::Pending }
                })),
            );
        }
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        let cx = Context::from_waker(&waker);
        assert!(running.poll_next(&cx).is_pending());
        assert!(running.poll_next(&cx).is_pending());
        assert_eq!((polls.get(), wakes.0.load(Ordering::SeqCst)), (3, 0));
        let bell = go.take().expect("it waits");
        bell.wake_by_ref();
        bell.wake();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let Poll::Ready(Some((1, Ok(1)))) = running.poll_next(&cx) else { panic!("it is done") };
        assert!(running.poll_next(&cx).is_pending());
        assert_eq!((polls.get(), running.len()), (4, 2));
    }

    #[test]
    fn a_place_is_used_again_and_a_late_wake_does_no_harm() {
        let late: Rc<Cell<Option<Waker>>> = Rc::default();
        let mut running: Running<'_, u32> = Running::new();
        let cx = Context::from_waker(Waker::noop());
        assert!(matches!(running.poll_next(&cx), Poll::Ready(None)));
        let keep = Rc::clone(&late);
        let keeping = poll_fn(move |cx| {
            keep.set(Some(cx.waker().clone()));
            Poll::Ready(Ok(7))
        });
        running.push(0, Box::pin(keeping));
        assert!(matches!(running.poll_next(&cx), Poll::Ready(Some((0, Ok(7))))));
        running.push(1, Box::pin(pending()));
        late.take().expect("it was kept").wake();
        assert!(running.poll_next(&cx).is_pending());
        assert_eq!((running.slots.len(), running.len()), (1, 1));
    }
}
