//! Waiting for one another on one core: no locks, no atomics, first come first served. Dropping a waiting future at any
//! point loses nothing that was meant for somebody else.

mod notify;
mod race;

pub use notify::{Notified, Notify};
pub use race::{Either, race};
