//! Named tasks of one core. Owns starting, containing panics, cancelling and joining.
//!
//! The driver's executor drops no future before its time and lets a panic end the whole thread, so each task is wrapped:
//! the wrapper catches panics and drops its future when it is cancelled. Every task stands in the core's list, which is
//! how the end of a core finds them.
#![forbid(unsafe_code)]

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::{error, fmt};

use crate::core::Core;
use crate::stats::count;

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The task was cancelled, by its handle or by the end of its core.
    Cancelled,
    /// The task panicked with this message.
    Panicked(Box<str>),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the task was cancelled"),
            Self::Panicked(message) => write!(f, "the task panicked: {message}"),
        }
    }
}

impl error::Error for JoinError {}

/// A task's result to come. Dropping it lets the task go on alone.
///
/// # Cancellation
/// Dropping the handle while it is awaited loses nothing but the result: the task goes on.
///
/// # Panics
/// When it is polled again after it was ready.
pub struct JoinHandle<T> {
    join: monoio::task::JoinHandle<Outcome<T>>,
    core: Core,
    key: TaskKey,
}

impl<T> JoinHandle<T> {
    /// Asks the task to end: its future is dropped at its next turn, unless it is done before. Returns at once.
    pub fn cancel(&self) {
        self.core.tasks().cancel(self.key);
    }

    /// Cancels the task and waits until its future is gone and the kernel has taken the cancellation of its operations.
    ///
    /// # Errors
    /// [`JoinError`] as when the handle is awaited; a task that was done before gives its result.
    ///
    /// # Cancellation
    /// The task is cancelled all the same.
    pub async fn cancel_and_wait(self) -> Result<T, JoinError> {
        self.cancel();
        let core = self.core.clone();
        let result = self.await;
        core.settle().await;
        result
    }

    /// Whether the task's future is gone.
    pub fn is_finished(&self) -> bool {
        !self.core.tasks().contains(self.key)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.join).poll(cx));
        Poll::Ready(outcome.0)
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// A result that may be moved while it is waited for, whatever `T` is.
struct Outcome<T>(Result<T, JoinError>);

impl<T> Unpin for Outcome<T> {}

/// Starts a task on this thread's core.
pub(crate) fn spawn<F>(core: &Core, name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let key = core.tasks().insert();
    count(&core.stats().tasks_spawned);
    core.stats().tasks_alive.set(core.stats().tasks_alive.get() + 1);
    let contained = Contained::new(core.clone(), name, Box::pin(future));
    let join = monoio::spawn(Task { contained, key });
    JoinHandle { join, core: core.clone(), key }
}

/// A future in its own box (so that the executor's cell stays small and nothing needs pinning by hand).
struct Task<F: Future> {
    contained: Contained<F>,
    key: TaskKey,
}

impl<F: Future> Unpin for Task<F> {}

impl<F: Future> Future for Task<F> {
    type Output = Outcome<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.contained.core.tasks().must_cancel(self.key, cx.waker()) {
            self.contained.drop_future();
            count(&self.contained.core.stats().tasks_cancelled);
            self.unlist();
            return Poll::Ready(Outcome(Err(JoinError::Cancelled)));
        }
        let result = ready!(Pin::new(&mut self.contained).poll(cx));
        self.unlist();
        Poll::Ready(Outcome(result))
    }
}

impl<F: Future> Task<F> {
    fn unlist(&self) {
        if self.contained.core.tasks().contains(self.key) {
            let stats = self.contained.core.stats();
            stats.tasks_alive.set(stats.tasks_alive.get() - 1);
            self.contained.core.tasks().remove(self.key);
        }
    }
}

impl<F: Future> Drop for Task<F> {
    fn drop(&mut self) {
        self.contained.drop_future();
        self.unlist();
    }
}

/// A future whose panics become errors, and whose polls the watchdog sees under its name.
pub(crate) struct Contained<F: Future> {
    core: Core,
    /// The name, by the number that the watchdog has for it.
    name_id: u64,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Contained<F> {
    pub(crate) fn new(core: Core, name: &'static str, future: Pin<Box<F>>) -> Self {
        let name_id = core.heart().name_id(name);
        Self { core, name_id, future: Some(future) }
    }

    /// Drops the future now; a panic of a destructor is counted.
    pub(crate) fn drop_future(&mut self) {
        if let Some(future) = self.future.take()
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(future)))
        {
            report_panic(&self.core, self.name_id, &message_of(&*payload));
        }
    }
}

impl<F: Future> Drop for Contained<F> {
    fn drop(&mut self) {
        self.drop_future();
    }
}

impl<F: Future> Unpin for Contained<F> {}

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(future) = &mut this.future else {
            return Poll::Ready(Err(JoinError::Cancelled));
        };
        let beat = this.core.heart().beat(this.name_id);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        drop(beat);
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(payload) => {
                let message = message_of(&*payload);
                report_panic(&this.core, this.name_id, &message);
                Err(JoinError::Panicked(message))
            }
        };
        this.drop_future();
        Poll::Ready(result)
    }
}

fn report_panic(core: &Core, name_id: u64, message: &str) {
    count(&core.stats().panics);
    tracing::error!(task = core.heart().name(name_id), message, "a task panicked");
}

pub(crate) fn message_of(payload: &(dyn Any + Send)) -> Box<str> {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).into()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.as_str().into()
    } else {
        "a payload that is no text".into()
    }
}

/// A task's place in its core's list; the generation tells it from the next 2^32 users of the place.
#[derive(Clone, Copy)]
pub(crate) struct TaskKey {
    index: u32,
    generation: u32,
}

/// The tasks of one core that have not ended.
#[derive(Default)]
pub(crate) struct TaskList {
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<u32>>,
}

const _: () = assert!(size_of::<Place>() <= 24);

#[derive(Default)]
struct Place {
    generation: u32,
    used: bool,
    cancel: bool,
    /// The task's own waker, kept since its first turn.
    waker: Option<Waker>,
}

impl TaskList {
    fn insert(&self) -> TaskKey {
        let mut places = self.places.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            places.push(Place::default());
            u32::try_from(places.len() - 1).expect("fewer than 2^32 tasks")
        });
        let place = &mut places[index as usize];
        place.used = true;
        TaskKey { index, generation: place.generation }
    }

    fn remove(&self, key: TaskKey) {
        let waker = {
            let place = &mut self.places.borrow_mut()[key.index as usize];
            place.generation = place.generation.wrapping_add(1);
            place.used = false;
            place.cancel = false;
            place.waker.take()
        };
        self.free.borrow_mut().push(key.index);
        drop(waker);
    }

    fn contains(&self, key: TaskKey) -> bool {
        self.places.borrow()[key.index as usize].generation == key.generation
    }

    /// Called at each turn of a task: whether it is to end now.
    fn must_cancel(&self, key: TaskKey, waker: &Waker) -> bool {
        let mut places = self.places.borrow_mut();
        let place = &mut places[key.index as usize];
        if place.waker.is_none() {
            place.waker = Some(waker.clone());
        }
        place.cancel
    }

    fn cancel(&self, key: TaskKey) {
        if self.contains(key) {
            self.cancel_place(key.index as usize);
        }
    }

    /// Cancels every task.
    pub(crate) fn cancel_all(&self) {
        let count = self.places.borrow().len();
        for index in 0..count {
            self.cancel_place(index);
        }
    }

    fn cancel_place(&self, index: usize) {
        let waker = {
            let mut places = self.places.borrow_mut();
            let place = &mut places[index];
            place.cancel |= place.used;
            place.waker.clone().filter(|_| place.used)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
