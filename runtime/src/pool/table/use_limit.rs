//! How many places of one key may be out at a time, a number that changes while they are: idle items do not count, and who finds
//! it reached waits in the same line as everybody.
#![forbid(unsafe_code)]

use std::borrow::Borrow;
use std::hash::Hash;

use super::{KeySlot, Rank, Table};
use crate::pool::PoolConfig;
use crate::pool::grant::Aftermath;

impl<K, T> KeySlot<K, T> {
    /// Whether it is to be kept: it has items, places, waiters, or a limit to be remembered.
    pub(super) fn is_needed(&self) -> bool {
        self.count > 0 || !self.waiting.is_empty() || self.in_use_max != usize::MAX
    }

    /// Places that are out, but for those that were set aside.
    pub(super) fn in_use(&self) -> usize {
        self.count - self.idle.len() - self.aside
    }

    /// Whether one more place may be out.
    pub(super) fn may_use_more(&self) -> bool {
        self.in_use() < self.in_use_max
    }

    /// The first who waits for the key, if one that comes back may go out again.
    pub(super) fn first_to_take_over(&self) -> Option<Rank> {
        let first = self.waiting.first_key_value().map(|(rank, _)| *rank);
        first.filter(|_| self.in_use() <= self.in_use_max)
    }
}

impl<K: Clone + Eq + Hash, T> Table<K, T> {
    /// Limits how many places of a key may be out, and serves those who may have one now. `usize::MAX` is no limit.
    pub(in crate::pool) fn set_in_use_max<Q>(
        &mut self,
        key: &Q,
        in_use_max: usize,
        config: &PoolConfig,
        after: &mut Aftermath<T>,
    ) where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let slot = self.slot_of(key);
        self.slots[slot].in_use_max = in_use_max;
        self.refresh(slot, config);
        self.serve(config, after);
        self.release_slot(slot);
    }

    /// Lets a place that is out count no more towards its key's limit of use.
    pub(in crate::pool) fn set_aside(&mut self, slot: usize, config: &PoolConfig, after: &mut Aftermath<T>) {
        self.slots[slot].aside += 1;
        self.refresh(slot, config);
        self.serve(config, after);
    }

    /// A place that was set aside is one like the others again, just before it comes back.
    pub(in crate::pool) fn end_aside(&mut self, slot: usize) {
        self.slots[slot].aside -= 1;
    }

    /// Places of a key that are out, but for those that were set aside.
    pub(in crate::pool) fn in_use_of_slot(&self, slot: usize) -> usize {
        self.slots[slot].in_use()
    }

    /// As [`in_use_of_slot`](Self::in_use_of_slot), and those who wait, by key.
    pub(in crate::pool) fn use_of<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> (usize, usize)
    where
        K: Borrow<Q>,
    {
        let slot = self.keys.get(key).map(|slot| &self.slots[*slot]);
        slot.map_or((0, 0), |slot| (slot.in_use(), slot.waiting.len()))
    }
}
