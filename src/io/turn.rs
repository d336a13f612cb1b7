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

/// Reads, and writes between two reads, in a row that did not have to wait. Beside a [`Turn`] and not in it: there they would take
/// the room of a word.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    reads: u8,
    writes: u8,
}

impl Streak {
    /// Others had their turn, as when a read had to wait.
    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }
}

/// Reads, or writes, in a row without a wait, after which the other connections of the core get their turn: a peer that takes all at
/// once would keep the core to itself, and so would one that always has data.
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
    /// Waits until the next read may begin.
    pub(crate) fn poll_read(&mut self, streak: &mut Streak, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_pause(streak, cx));
        streak.writes = 0;
        streak.reads = (streak.reads + 1).min(STREAK_MAX);
        if streak.reads == STREAK_MAX { self.poll_new_pause(streak, cx) } else { Poll::Ready(()) }
    }

    /// Waits until the next write may begin.
    pub(crate) fn poll_write(&mut self, streak: &mut Streak, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_pause(streak, cx));
        streak.writes = (streak.writes + 1).min(STREAK_MAX);
        if streak.writes == STREAK_MAX { self.poll_new_pause(streak, cx) } else { Poll::Ready(()) }
    }

    fn poll_pause(&mut self, streak: &mut Streak, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(Pin::new(&mut **pause).poll(cx));
            self.pause = None;
            streak.end();
        }
        Poll::Ready(())
    }

    fn poll_new_pause(&mut self, streak: &mut Streak, cx: &mut Context<'_>) -> Poll<()> {
        self.pause = Core::current().map(|core| Box::new(core.yield_now()));
        self.poll_pause(streak, cx)
    }
}
