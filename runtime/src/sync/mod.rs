//! Waiting for one another on one core: no locks, no atomics, first come first served. Dropping a waiting future at any
//! point loses nothing that was meant for somebody else.
#![forbid(unsafe_code)]

pub mod channel;
pub mod oneshot;

mod line;
mod notify;
mod race;
mod semaphore;
#[cfg(test)]
pub(crate) mod testing;

use std::error;
use std::fmt;

pub use self::channel::channel;
pub use self::notify::{Notified, Notify};
pub use self::oneshot::oneshot;
pub use self::race::{Either, race};
pub use self::semaphore::{Acquire, Permit, Semaphore};

/// The other side is gone, or was closed: what was waited for does not come any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other side is closed")
    }
}

impl error::Error for Closed {}
