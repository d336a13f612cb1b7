//! Finds polls that run too long. Owns the pulse a core writes around each poll and the watchdog's reading of it.
//!
//! A core writes two relaxed words per poll and reads no clock; the watchdog looks twice per limit and times what it sees
//! standing still, so a report comes after one to one and a half times the limit.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::mailbox::lock;

/// A poll that kept its core from everything else.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BlockedReport {
    /// The core's number.
    pub core: usize,
    /// The task's name, as given to [`Core::spawn`](crate::Core::spawn); `body` for the closure given to `run`.
    pub task: &'static str,
    /// How long the poll has been seen running; it still is.
    pub lasted: Duration,
}

/// What one core shows the watchdog.
#[derive(Default)]
pub(crate) struct Pulse {
    /// Zero between polls, else the poll's number above `NAME_BITS` bits of name.
    word: AtomicU64,
    names: Mutex<Vec<&'static str>>,
    pub(crate) blocked_polls: AtomicU64,
}

/// The core's own side of its pulse.
pub(crate) struct Heart {
    pulse: Arc<Pulse>,
    sequence: Cell<u64>,
    names: RefCell<Vec<&'static str>>,
}

impl Heart {
    pub(crate) fn new(pulse: Arc<Pulse>) -> Self {
        Self { pulse, sequence: Cell::new(0), names: RefCell::new(Vec::new()) }
    }

    /// The number under which polls of tasks with this name are shown. Names are few, so they are looked through.
    pub(crate) fn name_id(&self, name: &'static str) -> u64 {
        let mut names = self.names.borrow_mut();
        let index = names.iter().position(|known| std::ptr::eq(*known, name) || *known == name);
        let index = index.unwrap_or_else(|| {
            if names.len() < NAMES_MAX {
                lock(&self.pulse.names).push(name);
                names.push(name);
            }
            names.len() - 1
        });
        index as u64
    }

    /// The name of that number. Of more than `NAMES_MAX` names, those that came late share the last one's.
    pub(crate) fn name(&self, name_id: u64) -> &'static str {
        let index = usize::try_from(name_id).unwrap_or(usize::MAX);
        self.names.borrow().get(index).copied().unwrap_or("")
    }

    /// Marks the begin of a poll; the end is marked when the guard is dropped, by a panic too.
    pub(crate) fn beat(&self, name_id: u64) -> Beat<'_> {
        let sequence = self.sequence.get() + 1;
        self.sequence.set(sequence);
        self.pulse.word.store(sequence << NAME_BITS | name_id, Ordering::Relaxed);
        Beat(&self.pulse)
    }
}

/// A poll that is running.
pub(crate) struct Beat<'a>(&'a Pulse);

impl Drop for Beat<'_> {
    fn drop(&mut self) {
        self.0.word.store(0, Ordering::Relaxed);
    }
}

/// Watches all cores of a run.
pub(crate) struct Watchdog {
    limit: Duration,
    on_blocked: Option<fn(&BlockedReport)>,
    cores: Vec<Watched>,
}

struct Watched {
    pulse: Arc<Pulse>,
    word: u64,
    since: Instant,
    reported: bool,
}

impl Watchdog {
    pub(crate) fn new(
        limit: Duration,
        on_blocked: Option<fn(&BlockedReport)>,
        pulses: impl Iterator<Item = Arc<Pulse>>,
    ) -> Self {
        let since = Instant::now();
        let watch = |pulse| Watched { pulse, word: 0, since, reported: false };
        Self { limit, on_blocked, cores: pulses.map(watch).collect() }
    }

    /// Time between two looks.
    pub(crate) fn interval(&self) -> Duration {
        self.limit / 2
    }

    /// Looks at every core once.
    pub(crate) fn look(&mut self, now: Instant) {
        for (core, watched) in self.cores.iter_mut().enumerate() {
            if let Some((task, lasted)) = watched.look(now, self.limit) {
                tracing::warn!(core, task, ?lasted, "a task blocks its core");
                if let Some(hook) = self.on_blocked {
                    let report = BlockedReport { core, task, lasted };
                    // The watchdog's thread also waits for signals, so a hook that panics must not end it.
                    if catch_unwind(AssertUnwindSafe(|| hook(&report))).is_err() {
                        tracing::error!("the hook on_blocked panicked");
                    }
                }
            }
        }
    }
}

impl Watched {
    fn look(&mut self, now: Instant, limit: Duration) -> Option<(&'static str, Duration)> {
        let word = self.pulse.word.load(Ordering::Relaxed);
        if word == 0 || word != self.word {
            (self.word, self.since, self.reported) = (word, now, false);
            return None;
        }
        let lasted = now.duration_since(self.since);
        if self.reported || lasted < limit {
            return None;
        }
        self.reported = true;
        self.pulse.blocked_polls.fetch_add(1, Ordering::Relaxed);
        let index = usize::try_from(word & NAME_MASK).unwrap_or(usize::MAX);
        let task = lock(&self.pulse.names).get(index).copied().unwrap_or("unknown");
        Some((task, lasted))
    }
}

const NAME_BITS: u32 = 12;
const NAME_MASK: u64 = (1 << NAME_BITS) - 1;
// What the name's bits can tell apart; names after that share the last one's place.
const NAMES_MAX: usize = 1 << NAME_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_reported_once_and_only_when_it_stands_still() {
        let pulse = Arc::new(Pulse::default());
        let heart = Heart::new(Arc::clone(&pulse));
        let (quick, slow) = (heart.name_id("quick"), heart.name_id("slow"));
        let start = Instant::now();
        let limit = Duration::from_millis(100);
        let at = |ms| start + Duration::from_millis(ms);
        let mut watched = Watched { pulse: Arc::clone(&pulse), word: 0, since: start, reported: false };

        drop(heart.beat(quick));
        assert_eq!(watched.look(at(0), limit), None);
        let first = heart.beat(quick);
        assert_eq!(watched.look(at(50), limit), None);
        drop(first);
        let second = heart.beat(slow);
        assert_eq!(watched.look(at(150), limit), None);
        assert_eq!(watched.look(at(200), limit), None);
        assert_eq!(watched.look(at(250), limit), Some(("slow", limit)));
        assert_eq!(watched.look(at(900), limit), None);
        drop(second);
        assert_eq!(pulse.blocked_polls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_name_keeps_its_number() {
        let heart = Heart::new(Arc::new(Pulse::default()));
        let first = heart.name_id("first");
        assert_ne!(first, heart.name_id("second"));
        assert_eq!(first, heart.name_id("first"));
    }
}
