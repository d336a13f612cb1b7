//! The books of a pool: what is out, what is idle, who waits, and who is next. It wakes nobody and drops nothing itself:
//! both may run any code, so they are left to whoever holds no borrow any more ([`Aftermath`]).
#![forbid(unsafe_code)]

#[cfg(test)]
mod check;
mod share;
mod use_limit;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::task::Waker;

use super::grant::{Aftermath, Grant, Granted};
use super::shared::Share;
use super::{PoolConfig, Priority, ReuseOrder};
use crate::time::{Instant, Timers};

pub(super) struct Table<K, T> {
    keys: HashMap<K, usize>,
    slots: Vec<KeySlot<K, T>>,
    /// The slot that was asked for last, which mostly is the one that is asked for next.
    last_slot: usize,
    free_slots: Vec<usize>,
    /// Places that are given out, and items that are idle.
    total: usize,
    idle: usize,
    waiters: Vec<Waiter<T>>,
    free_waiters: Vec<usize>,
    waiting: usize,
    /// The first waiter of each key that could have one more item if the pool could.
    heads: BTreeSet<(Rank, usize)>,
    next_number: u64,
    pub(super) closed: bool,
    share: Option<Share>,
    timers: Timers,
}

/// One key with places, idle items or waiters.
struct KeySlot<K, T> {
    key: Option<K>,
    /// Of `total`, those of this key.
    count: usize,
    /// How many of its places may be out, and which of those do not count there any more: see `use_limit.rs`.
    in_use_max: usize,
    aside: usize,
    /// In the order in which they were given back.
    idle: VecDeque<Idle<T>>,
    waiting: BTreeMap<Rank, usize>,
    /// Its entry in `heads`.
    head: Option<Rank>,
}

/// An item that waits to be used again.
struct Idle<T> {
    item: T,
    old_at: Option<Instant>,
    given_at: u64,
    until: Instant,
}

impl<T> Idle<T> {
    fn into_grant(self) -> Grant<T> {
        Grant::Item { item: self.item, old_at: self.old_at, until: Some(self.until) }
    }
}

/// Who is served first: the higher priority, then who came first.
type Rank = (Priority, u64);

enum Waiter<T> {
    Free,
    Waiting { slot: usize, rank: Rank, since: Instant, passed_over: u32, waker: Waker },
    Granted(Granted<T>),
}

impl<K: Clone + Eq + Hash, T> Table<K, T> {
    pub(super) fn new(share: Option<Share>, timers: Timers) -> Self {
        Self {
            keys: HashMap::new(),
            slots: Vec::new(),
            last_slot: 0,
            free_slots: Vec::new(),
            total: 0,
            idle: 0,
            waiters: Vec::new(),
            free_waiters: Vec::new(),
            waiting: 0,
            heads: BTreeSet::new(),
            next_number: 0,
            closed: false,
            share,
            timers,
        }
    }

    pub(super) fn in_use(&self) -> usize {
        self.total - self.idle
    }

    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Idle items and items in use of a key.
    pub(super) fn counts_of<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> (usize, usize)
    where
        K: Borrow<Q>,
    {
        let slot = self.keys.get(key).map(|slot| &self.slots[*slot]);
        slot.map_or((0, 0), |slot| (slot.idle.len(), slot.count - slot.idle.len()))
    }

    /// The slot of a key, and what can be given at once.
    pub(super) fn take_now<Q>(
        &mut self,
        key: &Q,
        config: &PoolConfig,
        after: &mut Aftermath<T>,
    ) -> (usize, Option<Grant<T>>)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let slot = self.slot_of(key);
        if !self.slots[slot].may_use_more() {
            return (slot, None);
        }
        if let Some(idle) = self.pop_idle(slot, config.order, after) {
            return (slot, Some(idle.into_grant()));
        }
        let is_first = self.heads.is_empty();
        if self.may_have_more(slot, config) && is_first && self.enter_place(slot, config, after) {
            return (slot, Some(Grant::Room));
        }
        (slot, None)
    }

    /// Puts a waiter in line.
    pub(super) fn join(
        &mut self,
        slot: usize,
        priority: Priority,
        config: &PoolConfig,
        now: Instant,
        waker: &Waker,
    ) -> usize {
        let rank = (priority, self.next_number);
        self.next_number += 1;
        let waiter = Waiter::Waiting { slot, rank, since: now, passed_over: 0, waker: waker.clone() };
        let index = match self.free_waiters.pop() {
            Some(index) => {
                self.waiters[index] = waiter;
                index
            }
            None => {
                self.waiters.push(waiter);
                self.waiters.len() - 1
            }
        };
        self.waiting += 1;
        self.slots[slot].waiting.insert(rank, index);
        self.refresh(slot, config);
        index
    }

    /// Forgets a slot that nobody needs, behind a `take_now` that gave nothing.
    pub(super) fn release_slot(&mut self, slot: usize) {
        let unused = &mut self.slots[slot];
        if !unused.is_needed() {
            let key = unused.key.take().expect("a slot in use has a key");
            self.keys.remove(&key);
            self.free_slots.push(slot);
        }
    }

    /// What a waiter was given, which ends its wait; otherwise `waker` is called when it is.
    pub(super) fn poll(&mut self, waiter: usize, waker: &Waker) -> Option<Granted<T>> {
        if let Waiter::Waiting { waker: stored, .. } = &mut self.waiters[waiter] {
            stored.clone_from(waker);
            return None;
        }
        self.take_grant(waiter)
    }

    /// Takes a waiter out of the line: with what it was given, if it was.
    pub(super) fn leave(&mut self, waiter: usize, config: &PoolConfig) -> Option<Granted<T>> {
        let Waiter::Waiting { slot, rank, .. } = self.waiters[waiter] else {
            return self.take_grant(waiter);
        };
        self.waiters[waiter] = Waiter::Free;
        self.free_waiters.push(waiter);
        self.waiting -= 1;
        self.slots[slot].waiting.remove(&rank);
        self.refresh(slot, config);
        self.release_slot(slot);
        if self.heads.is_empty() {
            self.note_wanted(false);
        }
        None
    }

    fn take_grant(&mut self, waiter: usize) -> Option<Granted<T>> {
        let Waiter::Granted(granted) = std::mem::replace(&mut self.waiters[waiter], Waiter::Free) else {
            unreachable!("a waiter waits until it is given something")
        };
        self.free_waiters.push(waiter);
        Some(granted)
    }

    /// Takes an item back: for the next who waits for its key, for one who waits for another (then it goes), or to be
    /// idle until `until`, if that is to come.
    pub(super) fn give_back(
        &mut self,
        slot: usize,
        (item, old_at): (T, Option<Instant>),
        until: Option<Instant>,
        config: &PoolConfig,
        after: &mut Aftermath<T>,
    ) {
        let own = self.slots[slot].first_to_take_over();
        let other = self.heads.first().copied().filter(|(_, head_slot)| *head_slot != slot);
        let goes_to_own = match (own, other) {
            (None, None) => false,
            (Some(own), Some((rank, head_slot))) if rank < own => !self.pass_over(head_slot, rank, own),
            (own, _) => own.is_some(),
        };
        if goes_to_own && !self.closed {
            self.grant_first(slot, Grant::Item { item, old_at, until }, config, after);
            return;
        }
        let is_wanted = own.is_some() || other.is_some() || self.share.as_mut().is_some_and(Share::owes);
        let Some(until) = until.filter(|_| !is_wanted && !self.closed) else {
            after.dropped.push(item);
            self.give_up(slot, config, after);
            return;
        };
        let given_at = self.next_number;
        self.next_number += 1;
        self.idle += 1;
        self.slots[slot].idle.push_back(Idle { item, old_at, given_at, until });
        if config.idle_max.is_some_and(|idle_max| self.idle > idle_max) {
            self.evict(after);
        }
    }

    /// Gives a place up, and serves who waits for one.
    pub(super) fn give_up(&mut self, slot: usize, config: &PoolConfig, after: &mut Aftermath<T>) {
        self.leave_place(slot);
        self.refresh(slot, config);
        self.serve(config, after);
        self.release_slot(slot);
    }

    /// Another idle item of the key for who found theirs unfit, and gives up one of the two places.
    pub(super) fn take_another(
        &mut self,
        slot: usize,
        config: &PoolConfig,
        after: &mut Aftermath<T>,
    ) -> Option<Grant<T>> {
        let idle = self.pop_idle(slot, config.order, after)?;
        self.leave_place(slot);
        Some(idle.into_grant())
    }

    /// Serves those who wait while there is room.
    pub(super) fn serve(&mut self, config: &PoolConfig, after: &mut Aftermath<T>) {
        while let Some(&(_, slot)) = self.heads.first().filter(|_| !self.closed) {
            // One is idle beside somebody who waits if that key's limit of use was in the way until now.
            let grant = match self.pop_idle(slot, config.order, after) {
                Some(idle) => idle.into_grant(),
                None if self.enter_place(slot, config, after) => Grant::Room,
                None => return,
            };
            self.grant_first(slot, grant, config, after);
        }
        self.note_wanted(false);
    }

    /// Drops idle items whose time is over, and those that `keep` does not want; gives when the next one's is.
    pub(super) fn sweep(
        &mut self,
        now: Instant,
        config: &PoolConfig,
        mut keep: impl FnMut(&K, &mut T) -> bool,
        after: &mut Aftermath<T>,
    ) -> Option<Instant> {
        let mut next = None;
        for slot in 0..self.slots.len() {
            let mut at = 0;
            while at < self.slots[slot].idle.len() {
                let KeySlot { key, idle, .. } = &mut self.slots[slot];
                let entry = &mut idle[at];
                let is_expired = now >= entry.until;
                if !is_expired && keep(key.as_ref().expect("in use"), &mut entry.item) {
                    next = Some(next.map_or(entry.until, |next: Instant| next.min(entry.until)));
                    at += 1;
                    continue;
                }
                let gone = idle.remove(at).expect("it was there");
                if is_expired {
                    after.count_expired(gone.old_at, now);
                }
                after.dropped.push(gone.item);
                self.idle -= 1;
                self.leave_place(slot);
            }
            if self.slots[slot].key.is_some() {
                self.refresh(slot, config);
                self.release_slot(slot);
            }
        }
        self.serve(config, after);
        next
    }

    /// Drops all idle items, and tells everybody who waits: they find the pool closed.
    pub(super) fn close(&mut self, after: &mut Aftermath<T>) {
        self.closed = true;
        while self.evict(after) {}
        after.replaced = 0;
        for waiter in &self.waiters {
            if let Waiter::Waiting { waker, .. } = waiter {
                after.wakers.push(waker.clone());
            }
        }
    }

    /// Drops the idle item that was given back longest ago. False: there is none.
    pub(super) fn evict(&mut self, after: &mut Aftermath<T>) -> bool {
        let oldest = |slot: &KeySlot<K, T>| slot.idle.front().map(|idle| idle.given_at);
        let found = self.slots.iter().enumerate().filter_map(|(at, slot)| Some((oldest(slot)?, at))).min();
        let Some((_, slot)) = found else { return false };
        let gone = self.slots[slot].idle.pop_front().expect("found above");
        self.idle -= 1;
        after.replaced += 1;
        after.dropped.push(gone.item);
        self.leave_place(slot);
        self.release_slot(slot);
        true
    }

    fn slot_of<Q>(&mut self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let last = self.slots.get(self.last_slot).and_then(|slot| slot.key.as_ref());
        if last.is_some_and(|last| last.borrow() == key) {
            return self.last_slot;
        }
        if let Some(slot) = self.keys.get(key) {
            self.last_slot = *slot;
            return *slot;
        }
        let key = key.to_owned();
        let fresh = KeySlot {
            key: Some(key.clone()),
            count: 0,
            in_use_max: usize::MAX,
            aside: 0,
            idle: VecDeque::new(),
            waiting: BTreeMap::new(),
            head: None,
        };
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.slots[slot] = fresh;
                slot
            }
            None => {
                self.slots.push(fresh);
                self.slots.len() - 1
            }
        };
        self.keys.insert(key, slot);
        slot
    }

    /// The next idle item of a key that has time left. Those whose time is over before anybody swept go, and their places with them.
    fn pop_idle(&mut self, slot: usize, order: ReuseOrder, after: &mut Aftermath<T>) -> Option<Idle<T>> {
        loop {
            let idle = &mut self.slots[slot].idle;
            let popped = match order {
                ReuseOrder::Lifo => idle.pop_back(),
                ReuseOrder::Fifo => idle.pop_front(),
            }?;
            self.idle -= 1;
            let now = self.timers.now();
            if now < popped.until {
                return Some(popped);
            }
            after.count_expired(popped.old_at, now);
            after.dropped.push(popped.item);
            self.leave_place(slot);
        }
    }

    /// Whether the key is below its own limit.
    fn may_have_more(&self, slot: usize, config: &PoolConfig) -> bool {
        config.limit_per_key == 0 || self.slots[slot].count < config.limit_per_key
    }

    /// Takes a place for the key, if need be one of an idle item. False: there is none.
    fn enter_place(&mut self, slot: usize, config: &PoolConfig, after: &mut Aftermath<T>) -> bool {
        if self.total >= config.limit && !self.evict(after) {
            self.note_wanted(false);
            return false;
        }
        if !self.take_share(after) {
            return false;
        }
        self.total += 1;
        self.slots[slot].count += 1;
        true
    }

    fn leave_place(&mut self, slot: usize) {
        self.total -= 1;
        self.slots[slot].count -= 1;
        if let Some(share) = &self.share {
            share.give();
        }
    }

    /// Whether an older waiter is served although `own` could use the item at once.
    fn pass_over(&mut self, slot: usize, rank: Rank, own: Rank) -> bool {
        let waiter = self.slots[slot].waiting[&rank];
        let Waiter::Waiting { passed_over, .. } = &mut self.waiters[waiter] else {
            unreachable!("heads wait")
        };
        if rank.0 < own.0 || *passed_over >= PASSED_OVER_MAX {
            return true;
        }
        *passed_over += 1;
        false
    }

    /// Gives `grant` to the first who waits for the key.
    fn grant_first(&mut self, slot: usize, grant: Grant<T>, config: &PoolConfig, after: &mut Aftermath<T>) {
        let (_, waiter) = self.slots[slot].waiting.pop_first().expect("somebody waits");
        let Waiter::Waiting { waker, since, .. } = std::mem::replace(&mut self.waiters[waiter], Waiter::Free)
        else {
            unreachable!("who is in line waits")
        };
        self.waiters[waiter] = Waiter::Granted(Granted { slot, grant, since });
        after.wakers.push(waker);
        self.waiting -= 1;
        self.refresh(slot, config);
    }

    /// Keeps the entry of a key in `heads`.
    fn refresh(&mut self, slot: usize, config: &PoolConfig) {
        let first = self.slots[slot].waiting.first_key_value().map(|(rank, _)| *rank);
        let may_be_served = self.slots[slot].may_use_more()
            && (!self.slots[slot].idle.is_empty() || self.may_have_more(slot, config));
        let head = first.filter(|_| may_be_served);
        let before = std::mem::replace(&mut self.slots[slot].head, head);
        if before != head {
            if let Some(rank) = before {
                self.heads.remove(&(rank, slot));
            }
            if let Some(rank) = head {
                self.heads.insert((rank, slot));
            }
        }
    }
}

/// How often an item may go to somebody who came later but waits for its key, before it makes room for who came first
/// and waits for another: using it again costs less than making one, and nobody is to starve for that.
const PASSED_OVER_MAX: u32 = 8;
