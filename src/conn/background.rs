//! Work that goes on beside the connections of a server: counted, so that there is a limit to it and the stop can wait.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;

use ringhttp_runtime::sync::Notify;

/// The work of one kind that one core's server has going on.
#[derive(Default)]
pub(crate) struct Background {
    running: Cell<usize>,
    ended: Notify,
}

/// Counts one piece of work while it runs, however it ends.
pub(super) struct Running(Rc<Background>);

impl Background {
    /// Counts a piece of work from now on.
    pub(super) fn begin(self: &Rc<Self>) -> Running {
        self.running.set(self.running.get() + 1);
        Running(Rc::clone(self))
    }

    pub(super) fn running(&self) -> usize {
        self.running.get()
    }

    /// Waits until no work is left.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) async fn all_ended(&self) {
        self.fewer_than(1).await;
    }

    /// Waits until less than `count` pieces of work are left.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(super) async fn fewer_than(&self, count: usize) {
        loop {
            let ended = self.ended.notified();
            if self.running.get() < count {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.ended.notify_waiters();
    }
}
