//! The turn of one connection: reads and writes in a row that did not have to wait, and the pause behind too many of them.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ringhttp_runtime::{Core, YieldNow};

/// Lets others go first when a connection has read or written too often in a row.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// The pause after too many reads and writes.
    pause: Option<Box<YieldNow>>,
}

/// Reads and writes in a row that did not have to wait. Beside a [`Turn`] and not in it: there it would take the room of a word.
#[derive(Debug, Default)]
pub(crate) struct Streak(u8);

impl Streak {
    /// Others had their turn, as when a read had to wait.
    pub(crate) fn end(&mut self) {
        self.0 = 0;
    }
}

/// Reads and writes in a row without a wait, after which the other connections of the core get their turn: a peer that takes all at
/// once would keep the core to itself, and on epoll one that always has data. (io_uring always waits: it reads when the core parks.)
const STREAK_MAX: u8 = 16;

/// Pending until the core's next turn, if there are turns: without a core nobody waits.
#[cfg(feature = "rustls")]
pub(crate) fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    match Core::current() {
        // The waker is kept when the pause is dropped.
        Some(core) => drop(Pin::new(&mut core.yield_now()).poll(cx)),
        None => cx.waker().wake_by_ref(),
    }
    Poll::Pending
}

impl Turn {
    /// Waits until the next read or write may begin.
    pub(crate) fn poll(&mut self, streak: &mut Streak, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(Pin::new(&mut **pause).poll(cx));
            self.pause = None;
            streak.end();
        }
        streak.0 += 1;
        if streak.0 >= STREAK_MAX
            && let Some(core) = Core::current()
        {
            self.pause = Some(Box::new(core.yield_now()));
            return self.poll(streak, cx);
        }
        streak.0 = streak.0.min(STREAK_MAX);
        Poll::Ready(())
    }
}
