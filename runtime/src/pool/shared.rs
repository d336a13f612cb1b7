//! A limit over the pools of several cores. It is touched when an item is made or goes, never while one is used.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// A number of items that the pools of all cores may have together. Clones are the same limit.
///
/// A pool that is refused waits: the other pools are told, and each gives up an idle item if it has one.
#[derive(Clone, Debug)]
pub struct SharedLimit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
    /// Pools that were refused and still want one.
    wanting: AtomicUsize,
    /// The tasks of the pools.
    drivers: Mutex<Vec<Option<Waker>>>,
}

impl SharedLimit {
    /// A limit of so many items.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let (used, wanting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Shared { limit, used, wanting, drivers: Mutex::default() }))
    }

    /// The number of items.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Items that there are now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn wake_drivers(&self) {
        let wakers: Vec<Waker> = {
            let mut drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
            drivers.iter_mut().filter_map(Option::take).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// One pool's part in the limit.
pub(super) struct Share {
    shared: Arc<Shared>,
    wants: bool,
    /// Another pool lacks one, and this one had none to give.
    owes: bool,
    /// Its place among the drivers.
    driver: Option<usize>,
}

// All orders are sequential: one who is refused says that it wants, then tries again; one who gives looks who wants
// afterwards. So one of the two sees the other.
impl Share {
    pub(super) fn new(limit: &SharedLimit) -> Self {
        Self { shared: Arc::clone(&limit.0), wants: false, owes: false, driver: None }
    }

    pub(super) fn take(&self) -> bool {
        let limit = self.shared.limit;
        let more = |used| (used < limit).then_some(used + 1);
        let is_taken = self.shared.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok();
        if is_taken {
            // What was given up may have been taken by another pool than the one that waits, or that may wait for more.
            self.tell_if_wanted();
        }
        is_taken
    }

    pub(super) fn give(&self) {
        self.shared.used.fetch_sub(1, Ordering::SeqCst);
        self.tell_if_wanted();
    }

    fn tell_if_wanted(&self) {
        if self.shared.wanting.load(Ordering::SeqCst) > 0 {
            self.shared.wake_drivers();
        }
    }

    /// Says whether this pool waits for one.
    pub(super) fn want(&mut self, wants: bool) {
        match (std::mem::replace(&mut self.wants, wants), wants) {
            (false, true) => {
                self.shared.wanting.fetch_add(1, Ordering::SeqCst);
                self.shared.wake_drivers();
            }
            (true, false) => {
                self.shared.wanting.fetch_sub(1, Ordering::SeqCst);
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Whether another pool waits for one, and there is none: what was given up for it already is not given up twice.
    pub(super) fn others_lack(&self) -> bool {
        let is_wanted = self.shared.wanting.load(Ordering::SeqCst) > usize::from(self.wants);
        is_wanted && self.shared.used.load(Ordering::SeqCst) >= self.shared.limit
    }

    /// Remembers that another pool lacks one.
    pub(super) fn owe(&mut self) {
        self.owes = true;
    }

    /// Whether another pool still lacks one, that this one had none for when it was asked.
    pub(super) fn owes(&mut self) -> bool {
        self.owes = self.owes && self.others_lack();
        self.owes
    }

    /// Whom to wake when something changes.
    pub(super) fn register(&mut self, waker: &Waker) {
        let mut drivers = self.shared.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        let at = *self.driver.get_or_insert_with(|| {
            drivers.push(None);
            drivers.len() - 1
        });
        drivers[at] = Some(waker.clone());
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.want(false);
        if let Some(at) = self.driver {
            // The place stays, for a core that makes few pools.
            self.shared.drivers.lock().unwrap_or_else(PoisonError::into_inner)[at] = None;
        }
    }
}
