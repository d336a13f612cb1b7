//! What a pool gives out: a place, and a guard around one that is filled.
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::Hash;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use super::Inner;
use super::grant::{Aftermath, Grant};
use crate::stats::count;
use crate::time::Instant;

/// The right to have one item of a pool. Dropping it drops the item, and lets the next who waits have the place.
#[must_use = "a place that is dropped at once holds nothing"]
pub struct Place<K: Clone + Eq + Hash, T> {
    pool: Rc<Inner<K, T>>,
    slot: usize,
    item: Option<T>,
    old_at: Option<Instant>,
    /// It had an item at some time.
    was_filled: bool,
    /// It counts no more towards its key's limit of use.
    is_aside: bool,
    is_given_up: bool,
}

impl<K: Clone + Eq + Hash, T> Place<K, T> {
    pub(super) fn new(pool: &Rc<Inner<K, T>>, slot: usize, grant: Grant<T>) -> Self {
        let (item, old_at) = match grant {
            Grant::Item { item, old_at, .. } => (Some(item), old_at),
            Grant::Room => (None, None),
        };
        count(&pool.stats.acquired);
        if item.is_some() {
            count(&pool.stats.reused);
        }
        let was_filled = item.is_some();
        Self { pool: Rc::clone(pool), slot, item, old_at, was_filled, is_aside: false, is_given_up: false }
    }

    /// The item, if the place is filled.
    #[must_use]
    pub fn item(&self) -> Option<&T> {
        self.item.as_ref()
    }

    /// The item, if the place is filled.
    #[must_use]
    pub fn item_mut(&mut self) -> Option<&mut T> {
        self.item.as_mut()
    }

    /// Places of its key that are out, this one too, but for those that were [set aside](Self::set_aside).
    #[must_use]
    pub fn in_use_of_key(&self) -> usize {
        self.pool.table.borrow().in_use_of_slot(self.slot)
    }

    /// Puts an item in that was just made; its age begins now. One that was there is dropped.
    pub fn fill(&mut self, item: T) {
        let pool = &self.pool;
        count(&pool.stats.made);
        let number = pool.made.get().wrapping_add(1);
        pool.made.set(number);
        self.old_at = pool.config.age_max.map(|age_max| pool.timers.now() + spread(age_max, number));
        self.was_filled = true;
        let before = self.item.replace(item);
        drop(before);
    }

    /// Drops an item that has turned out to be unfit, and puts another idle one of the key in, if there is one. False: the
    /// place is empty now.
    pub fn replace(&mut self) -> bool {
        let unfit = self.item.take();
        drop(unfit);
        let mut after = Aftermath::default();
        let another = self.pool.table.borrow_mut().take_another(self.slot, &self.pool.config, &mut after);
        self.pool.follow(after);
        let Some(Grant::Item { item, old_at, .. }) = another else { return false };
        (self.item, self.old_at) = (Some(item), old_at);
        true
    }

    /// Takes the item out for good. The place stays taken until it is dropped.
    pub fn take(&mut self) -> Option<T> {
        self.item.take()
    }

    /// Lets the place count towards all limits but [`Pool::set_in_use_max`](super::Pool::set_in_use_max), until it is given back: what
    /// is in it stays in use for long, or is in no use.
    pub fn set_aside(&mut self) {
        if !std::mem::replace(&mut self.is_aside, true) {
            let mut after = Aftermath::default();
            self.pool.table.borrow_mut().set_aside(self.slot, &self.pool.config, &mut after);
            self.pool.follow(after);
        }
    }

    /// Gives the item back, for the next who asks for its key.
    pub fn give_back(self) {
        self.give_back_for(None);
    }

    /// As [`give_back`](Self::give_back), for no longer than `idle_for` if nobody asks for it: what is known of this item. It
    /// shortens `PoolConfig::idle_timeout`, and never lengthens it.
    pub fn give_back_within(self, idle_for: Duration) {
        self.give_back_for(Some(idle_for));
    }

    fn give_back_for(mut self, idle_for: Option<Duration>) {
        let Some(item) = self.item.take() else { return };
        self.is_given_up = true;
        if self.is_aside {
            self.pool.table.borrow_mut().end_aside(self.slot);
        }
        let mut after = Aftermath::default();
        self.pool.take_back(self.slot, item, self.old_at, idle_for, &mut after);
        self.pool.follow(after);
    }
}

/// An age that differs by up to a tenth from item to item.
fn spread(age_max: Duration, number: u64) -> Duration {
    // Neighbouring numbers come to lie far apart.
    let part = u32::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]);
    age_max - age_max / 2560 * part
}

impl<K: Clone + Eq + Hash, T> Drop for Place<K, T> {
    fn drop(&mut self) {
        if self.is_given_up {
            return;
        }
        if !self.was_filled {
            count(&self.pool.stats.unmade);
        }
        // Before the next one makes another.
        let item = self.item.take();
        drop(item);
        let mut after = Aftermath::default();
        let mut table = self.pool.table.borrow_mut();
        if self.is_aside {
            table.end_aside(self.slot);
        }
        table.give_up(self.slot, &self.pool.config, &mut after);
        drop(table);
        self.pool.follow(after);
    }
}

impl<K: Clone + Eq + Hash, T: fmt::Debug> fmt::Debug for Place<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("item", &self.item).finish_non_exhaustive()
    }
}

/// An item of a pool, used like the item itself: see [`Pool::get`](super::Pool::get). Dropping it gives the item back.
pub struct Guard<K: Clone + Eq + Hash, T> {
    /// `None` only while it is being dropped.
    place: Option<Place<K, T>>,
}

impl<K: Clone + Eq + Hash, T> Guard<K, T> {
    pub(super) fn new(place: Place<K, T>) -> Self {
        Self { place: Some(place) }
    }

    /// Drops the item, because it is not fit to be used again.
    pub fn discard(mut self) {
        drop(self.place.take());
    }
}

const FILLED: &str = "a guard's place is filled until it is dropped";

impl<K: Clone + Eq + Hash, T> Deref for Guard<K, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.place.as_ref().and_then(Place::item).expect(FILLED)
    }
}

impl<K: Clone + Eq + Hash, T> DerefMut for Guard<K, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.place.as_mut().and_then(Place::item_mut).expect(FILLED)
    }
}

impl<K: Clone + Eq + Hash, T> Drop for Guard<K, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            place.give_back();
        }
    }
}

impl<K: Clone + Eq + Hash, T: fmt::Debug> fmt::Debug for Guard<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&**self).finish()
    }
}
