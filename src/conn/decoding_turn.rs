//! The turn of whoever decodes: what has come may be enough for thousands of pieces, and others wait.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ringhttp_runtime::{Core, YieldNow};

/// What was given and read since the reader last had to wait, and the turn of others behind too much of it.
#[derive(Default)]
pub(crate) struct DecodingTurn {
    given: u32,
    read: u32,
    /// The turn of others that is waited for.
    pause: Option<YieldNow>,
}

/// Pieces that are given before the reader has to give way: decoding some of them takes about a millisecond.
const GIVEN_MAX: u32 = 16;

/// Pieces of input after which it gives way: a chunk may have a single byte, and one buffer ten thousand of those.
const READ_MAX: u32 = 1024;

impl DecodingTurn {
    /// Ready when more may be decoded. To wake oneself would not do: who does is the next to run.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.given < GIVEN_MAX && self.read < READ_MAX {
            return Poll::Ready(());
        }
        if self.pause.is_none() {
            self.pause = Core::current().map(|core| core.yield_now());
        }
        if let Some(pause) = &mut self.pause {
            ready!(Pin::new(pause).poll(cx));
        }
        self.begin();
        Poll::Ready(())
    }

    /// A piece is given.
    pub(crate) fn give(&mut self) {
        self.given += 1;
    }

    /// A piece of input was read, or its reader has to wait: others have their turn then.
    pub(crate) fn read<T>(&mut self, read: Poll<T>) -> Poll<T> {
        if read.is_ready() {
            self.read += 1;
        } else {
            self.begin();
        }
        read
    }

    fn begin(&mut self) {
        *self = Self::default();
    }
}
