//! What is given to those who ask a pool, and what is left to do when its books are closed.
#![forbid(unsafe_code)]

use std::task::Waker;

use crate::time::Instant;

/// What a waiter was given.
pub(super) struct Granted<T> {
    pub(super) slot: usize,
    pub(super) grant: Grant<T>,
    /// Since when it had waited.
    pub(super) since: Instant,
}

/// What is given to who asks.
pub(super) enum Grant<T> {
    Item {
        item: T,
        old_at: Option<Instant>,
        /// How long it may be idle if nobody takes it after all; `None`: not at all.
        until: Option<Instant>,
    },
    /// The right to make an item.
    Room,
}

/// What is to be done when the table is not borrowed any more.
pub(super) struct Aftermath<T> {
    pub(super) wakers: Vec<Waker>,
    pub(super) dropped: Vec<T>,
    /// Of the dropped ones, those that had time left.
    pub(super) replaced: u64,
    pub(super) expired: u64,
    pub(super) old: u64,
}

impl<T> Default for Aftermath<T> {
    fn default() -> Self {
        Self { wakers: Vec::new(), dropped: Vec::new(), replaced: 0, expired: 0, old: 0 }
    }
}

impl<T> Aftermath<T> {
    pub(super) fn count_expired(&mut self, old_at: Option<Instant>, now: Instant) {
        if old_at.is_some_and(|old_at| now >= old_at) {
            self.old += 1;
        } else {
            self.expired += 1;
        }
    }
}
