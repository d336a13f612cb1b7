//! How a core is reached. Owns the doorbell task, the core's turn, and giving way.
//!
//! A *turn* is what the doorbell task does when the bell rang: follow the run's stage, run messages, wake who yielded. It
//! listens for the next ring only after all that was ready has run: the executor asks its driver for completed operations
//! even while tasks are ready, but serves timers, other threads' wake-ups and deferred completions only when none is. A
//! doorbell that listened at once would keep some task ready for ever.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use monoio::io::AsyncReadRent;
use monoio::net::UnixStream;
use monoio::task::JoinHandle;

use crate::core::Core;
use crate::driver::DriverKind;
use crate::mailbox::Call;
use crate::stats::count;

/// What waits for a core's next turn.
#[derive(Default)]
pub(crate) struct Doorbell {
    yielders: RefCell<Vec<Waker>>,
    relay: Relay,
    ended: Cell<bool>,
}

impl Core {
    /// Makes this the current core of its thread and starts its doorbell.
    pub(crate) fn open(&self) -> io::Result<JoinHandle<()>> {
        let clapper = self.mailbox().take_clapper().ok_or(io::ErrorKind::AlreadyExists)?;
        // io_uring takes a non-blocking socket to mean that a read must not wait.
        clapper.set_nonblocking(self.driver() == DriverKind::Epoll)?;
        let clapper = UnixStream::from_std(clapper)?;
        Self::set_current(Some(self.clone()));
        self.timers().enter();
        drop(monoio::spawn(serve_relay(self.clone())));
        let timers = self.timers().clone();
        drop(monoio::spawn(async move { timers.drive().await }));
        Ok(monoio::spawn(serve_doorbell(self.clone(), clapper)))
    }

    /// Ends the doorbell, refuses messages, and leaves the thread without a core.
    pub(crate) async fn close(&self, doorbell: JoinHandle<()>) {
        let unread = self.mailbox().close();
        drop(unread);
        self.doorbell().ended.set(true);
        self.mailbox().ring();
        self.timers().leave();
        doorbell.await;
        Self::set_current(None);
    }

    /// One turn; the lists are empty between turns and keep their memory.
    fn turn(&self, lists: &mut TurnLists) {
        count(&self.stats().turns);
        if self.mailbox().take_nudge() {
            self.life().follow(self, self.control());
        }
        self.mailbox().take(&mut lists.calls, &mut lists.replies);
        for call in lists.calls.drain(..) {
            count(&self.stats().messages);
            call(self);
        }
        for key in lists.replies.drain(..) {
            self.replies().wake(key);
        }
        mem::swap(&mut *self.doorbell().yielders.borrow_mut(), &mut lists.yielders);
        for yielder in lists.yielders.drain(..) {
            yielder.wake();
        }
    }
}

/// Gives way once; see [`Core::yield_now`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct YieldNow {
    core: Core,
    waits: bool,
    turn: u64,
}

impl YieldNow {
    pub(crate) fn new(core: &Core) -> Self {
        Self { core: core.clone(), waits: false, turn: 0 }
    }
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let turns = self.core.stats().turns();
        if self.waits && turns != self.turn {
            return Poll::Ready(());
        }
        if !self.waits {
            self.waits = true;
            self.turn = turns;
        }
        // Stored again at each poll: the task may have been woken for another reason, or be polled by another task.
        self.core.doorbell().yielders.borrow_mut().push(cx.waker().clone());
        self.core.mailbox().ring();
        Poll::Pending
    }
}

#[derive(Default)]
struct TurnLists {
    calls: Vec<Call>,
    replies: Vec<usize>,
    yielders: Vec<Waker>,
}

/// Reads the bell until the core ends.
async fn serve_doorbell(core: Core, mut clapper: UnixStream) {
    let mut lists = TurnLists::default();
    let mut buffer = vec![0_u8; 8];
    while !core.doorbell().ended.get() {
        let mut read = pin!(clapper.read(mem::take(&mut buffer)));
        let mut armed = false;
        let (result, returned) = poll_fn(|cx| {
            let polled = read.as_mut().poll(cx);
            if polled.is_pending() && !mem::replace(&mut armed, true) {
                let waiting = core.mailbox().rearm();
                if waiting || !core.doorbell().yielders.borrow().is_empty() {
                    core.mailbox().ring();
                }
            }
            polled
        })
        .await;
        buffer = returned;
        if let Err(error) = result {
            // Not seen to happen on a socket pair; without its bell the core cannot be reached, so the run stops.
            tracing::error!(core = core.id(), %error, "the doorbell cannot be read");
            core.shutdown();
            return;
        }
        core.turn(&mut lists);
        core.doorbell().relay.pass().await;
    }
    core.doorbell().relay.wake();
}

/// Sends a task to the end of the queue. A task that wakes itself goes to the front instead, so another one wakes it.
#[derive(Default)]
struct Relay {
    asked: Cell<bool>,
    sender: Cell<Option<Waker>>,
    own: Cell<Option<Waker>>,
}

impl Relay {
    /// Resolves when every task that is ready now has run.
    async fn pass(&self) {
        let mut sent = false;
        poll_fn(|cx| {
            if sent && !self.asked.get() {
                return Poll::Ready(());
            }
            self.sender.set(Some(cx.waker().clone()));
            if !mem::replace(&mut sent, true) {
                self.asked.set(true);
                self.wake();
            }
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        if let Some(waker) = self.own.take() {
            waker.wake();
        }
    }
}

/// The task that does the waking.
async fn serve_relay(core: Core) {
    poll_fn(|cx| {
        let relay = &core.doorbell().relay;
        if relay.asked.replace(false)
            && let Some(sender) = relay.sender.take()
        {
            sender.wake();
        }
        if core.doorbell().ended.get() {
            return Poll::Ready(());
        }
        relay.own.set(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}
