//! Counters of one core. Owns nothing but numbers: cells that only their core writes, and a snapshot that may travel.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::iter::Sum;
use std::ops::Add;

/// Live counters of one core, read through [`Core::stats`](crate::Core::stats).
#[derive(Debug, Default)]
pub struct CoreStats {
    pub(crate) tasks_spawned: Cell<u64>,
    pub(crate) tasks_alive: Cell<u64>,
    pub(crate) panics: Cell<u64>,
    pub(crate) tasks_cancelled: Cell<u64>,
    pub(crate) messages: Cell<u64>,
    pub(crate) turns: Cell<u64>,
}

impl CoreStats {
    /// Tasks started since the run began.
    pub fn tasks_spawned(&self) -> u64 {
        self.tasks_spawned.get()
    }

    /// Tasks that have not ended.
    pub fn tasks_alive(&self) -> u64 {
        self.tasks_alive.get()
    }

    /// Panics that were contained: of tasks, hooks, and single runs of periodic work.
    pub fn panics(&self) -> u64 {
        self.panics.get()
    }

    /// Tasks that were dropped before they were done.
    pub fn tasks_cancelled(&self) -> u64 {
        self.tasks_cancelled.get()
    }

    /// Messages received from cores, this one included.
    pub fn messages(&self) -> u64 {
        self.messages.get()
    }

    /// Times the doorbell rang: batches of messages and yields that were served together.
    pub fn turns(&self) -> u64 {
        self.turns.get()
    }
}

/// The counters of one core at one moment, or the sum over several cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// Tasks started since the run began.
    pub tasks_spawned: u64,
    /// Tasks that have not ended.
    pub tasks_alive: u64,
    /// Panics that were contained.
    pub panics: u64,
    /// Tasks that were dropped before they were done.
    pub tasks_cancelled: u64,
    /// Messages received.
    pub messages: u64,
    /// Times the doorbell rang.
    pub turns: u64,
    /// Polls that the watchdog reported as too long.
    pub blocked_polls: u64,
}

impl StatsSnapshot {
    pub(crate) fn of(stats: &CoreStats, blocked_polls: u64) -> Self {
        Self {
            tasks_spawned: stats.tasks_spawned(),
            tasks_alive: stats.tasks_alive(),
            panics: stats.panics(),
            tasks_cancelled: stats.tasks_cancelled(),
            messages: stats.messages(),
            turns: stats.turns(),
            blocked_polls,
        }
    }
}

impl Add for StatsSnapshot {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            tasks_spawned: self.tasks_spawned + other.tasks_spawned,
            tasks_alive: self.tasks_alive + other.tasks_alive,
            panics: self.panics + other.panics,
            tasks_cancelled: self.tasks_cancelled + other.tasks_cancelled,
            messages: self.messages + other.messages,
            turns: self.turns + other.turns,
            blocked_polls: self.blocked_polls + other.blocked_polls,
        }
    }
}

impl Sum for StatsSnapshot {
    fn sum<I: Iterator<Item = Self>>(snapshots: I) -> Self {
        snapshots.fold(Self::default(), Add::add)
    }
}

pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
