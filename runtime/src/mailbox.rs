//! Messages between cores. Owns each core's mailbox, the doorbell that makes the core look into it, and replies.
//!
//! The doorbell is a socket pair: whoever wants a core's attention writes one byte, the core's doorbell task reads it. A
//! socket is what both drivers serve in every case. The core arms the next read *before* it allows the next byte
//! (`rearm`), so the byte always arrives as an event: the core must pass through its driver, which serves timers and
//! sockets as well.
#![forbid(unsafe_code)]

use std::future::Future;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::{error, fmt, mem, thread};

use crate::core::Core;

/// A message: runs on the core that receives it.
pub(crate) type Call = Box<dyn FnOnce(&Core) + Send>;

/// Why a call to another core has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvokeError {
    /// The mailbox holds `mailbox_messages_max` messages; the call was not sent.
    Full,
    /// The core has ended, or the call was cancelled there.
    Gone,
    /// There is no core with this number.
    NoSuchCore,
    /// The call panicked on the other core, which goes on.
    Panicked,
}

impl fmt::Display for InvokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the core's mailbox is full",
            Self::Gone => "the core has ended",
            Self::NoSuchCore => "there is no such core",
            Self::Panicked => "the call panicked",
        })
    }
}

impl error::Error for InvokeError {}

/// What other threads hold of a core.
pub(crate) struct Mailbox {
    inbox: Mutex<Inbox>,
    messages_max: usize,
    /// Set by whoever changed the run's stage, so that an armed doorbell rings again.
    nudged: AtomicBool,
    /// True from the moment a byte may be on its way until the doorbell's next read is armed.
    rung: AtomicBool,
    bell: UnixStream,
    /// The end the core reads; taken when its thread starts.
    clapper: Mutex<Option<UnixStream>>,
}

#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) calls: Vec<Call>,
    /// Keys of replies that are ready. Bounded by the replies that this core waits for.
    pub(crate) replies: Vec<usize>,
    closed: bool,
}

impl Mailbox {
    pub(crate) fn new(messages_max: usize) -> io::Result<Self> {
        let (bell, clapper) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        Ok(Self {
            inbox: Mutex::default(),
            messages_max,
            nudged: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            bell,
            clapper: Mutex::new(Some(clapper)),
        })
    }

    /// The end of the doorbell that its core reads, once.
    pub(crate) fn take_clapper(&self) -> Option<UnixStream> {
        lock(&self.clapper).take()
    }

    pub(crate) fn send(&self, call: Call) -> Result<(), InvokeError> {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            return Err(InvokeError::Gone);
        }
        if inbox.calls.len() >= self.messages_max {
            return Err(InvokeError::Full);
        }
        inbox.calls.push(call);
        drop(inbox);
        self.ring();
        Ok(())
    }

    fn send_reply(&self, key: usize) {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            return;
        }
        inbox.replies.push(key);
        drop(inbox);
        self.ring();
    }

    /// Makes the core look at the run's stage.
    pub(crate) fn nudge(&self) {
        self.nudged.store(true, Ordering::Release);
        self.ring();
    }

    /// Makes the core take a turn. One byte at most is on its way, so the write never finds the socket full.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            let _ = (&self.bell).write(&[1]);
        }
    }

    /// Called by the core when its next read is armed: allows the next byte, and says whether something came meanwhile.
    pub(crate) fn rearm(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel);
        let inbox = lock(&self.inbox);
        self.nudged.load(Ordering::Acquire) || !inbox.calls.is_empty() || !inbox.replies.is_empty()
    }

    /// Says whether somebody nudged since the last look.
    pub(crate) fn take_nudge(&self) -> bool {
        self.nudged.swap(false, Ordering::AcqRel)
    }

    /// Exchanges the waiting messages for empty lists, which keep their memory.
    pub(crate) fn take(&self, calls: &mut Vec<Call>, replies: &mut Vec<usize>) {
        let mut inbox = lock(&self.inbox);
        mem::swap(&mut inbox.calls, calls);
        mem::swap(&mut inbox.replies, replies);
    }

    /// Refuses messages from now on and gives back those that nobody read; dropping them tells their senders.
    pub(crate) fn close(&self) -> Inbox {
        mem::replace(&mut *lock(&self.inbox), Inbox { closed: true, ..Inbox::default() })
    }
}

/// Why a reply will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    Dropped,
    Panicked,
}

/// The place where another thread leaves a value for this core.
pub(crate) struct Reply<T> {
    cell: Arc<Mutex<ReplyState<T>>>,
    core: Core,
    key: usize,
}

/// The other thread's side. Dropping it unused tells the waiting core that nothing will come.
pub(crate) struct ReplySender<T> {
    cell: Arc<Mutex<ReplyState<T>>>,
    origin: Arc<Mailbox>,
    key: usize,
}

enum ReplyState<T> {
    Waiting,
    Here(Result<T, Lost>),
    Taken,
}

impl<T> Reply<T> {
    pub(crate) fn new(core: &Core) -> (ReplySender<T>, Self) {
        let cell = Arc::new(Mutex::new(ReplyState::Waiting));
        let key = core.replies().insert();
        let sender = ReplySender { cell: Arc::clone(&cell), origin: Arc::clone(core.mailbox()), key };
        (sender, Self { cell, core: core.clone(), key })
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, Lost>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Stored first: a value that comes after the look into the cell sends a wake-up, which this thread reads later.
        self.core.replies().store(self.key, cx.waker());
        let mut state = lock(&self.cell);
        match mem::replace(&mut *state, ReplyState::Taken) {
            ReplyState::Here(result) => Poll::Ready(result),
            ReplyState::Waiting => {
                *state = ReplyState::Waiting;
                Poll::Pending
            }
            ReplyState::Taken => Poll::Ready(Err(Lost::Dropped)),
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.core.replies().remove(self.key);
    }
}

impl<T> ReplySender<T> {
    pub(crate) fn send(self, result: Result<T, Lost>) {
        self.put(result);
    }

    fn put(&self, result: Result<T, Lost>) {
        let mut state = lock(&self.cell);
        if !matches!(*state, ReplyState::Waiting) {
            return;
        }
        *state = ReplyState::Here(result);
        drop(state);
        self.origin.send_reply(self.key);
    }
}

impl<T> Drop for ReplySender<T> {
    fn drop(&mut self) {
        self.put(Err(if thread::panicking() { Lost::Panicked } else { Lost::Dropped }));
    }
}

/// The result of a call to another core.
///
/// # Cancellation
/// Dropping it before it is ready leaves the call running; its result is dropped.
#[must_use = "the call is sent at once, but its result is only known by awaiting this"]
pub struct Invoke<T>(Sent<T>);

enum Sent<T> {
    Waiting(Reply<T>),
    Refused(InvokeError),
}

impl<T> Invoke<T> {
    pub(crate) fn waiting(reply: Reply<T>) -> Self {
        Self(Sent::Waiting(reply))
    }

    pub(crate) fn refused(error: InvokeError) -> Self {
        Self(Sent::Refused(error))
    }
}

impl<T> Future for Invoke<T> {
    type Output = Result<T, InvokeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Sent::Refused(error) => Poll::Ready(Err(*error)),
            Sent::Waiting(reply) => Pin::new(reply).poll(cx).map_err(|lost| match lost {
                Lost::Dropped => InvokeError::Gone,
                Lost::Panicked => InvokeError::Panicked,
            }),
        }
    }
}

impl<T> fmt::Debug for Invoke<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Sent::Waiting(_) => "Invoke(waiting)",
            Sent::Refused(_) => "Invoke(refused)",
        })
    }
}

/// Locks; what a panicked holder left is used, because every state these locks guard is whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
