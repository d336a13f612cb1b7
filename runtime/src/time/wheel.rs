//! The wheel: seven levels of 64 slots, the first of 1 ms each, the next of 64 ms, and so on to 139 years.
//!
//! An entry is linked where its deadline was, or earlier. Moving the deadline away only changes the entry; the entry is
//! moved when its slot comes up. Only moving a deadline nearer than its slot links it anew.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::task::Waker;

/// The time of what is not set.
pub(super) const NEVER: u64 = u64::MAX;

const LEVELS: usize = 7;
const SLOT_BITS: usize = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_MASK: u64 = SLOTS as u64 - 1;

/// Times beyond this are looked at again when the last level turns.
const REACH: u64 = (1 << (SLOT_BITS * LEVELS)) - 1;

/// The end of a list; no entry.
pub(super) const NONE: Index = Index::MAX;

/// The number of an entry. Of half the size of a pointer, so that an entry fits into a cache line.
pub(super) type Index = u32;

const _: () = assert!(size_of::<Entry>() <= 48);

/// All deadlines of a core.
pub(super) struct Wheel {
    entries: Vec<Entry>,
    free: Vec<Index>,
    /// Everything before this has been looked at.
    elapsed: u64,
    /// Per level, a bit for each slot that has entries.
    occupied: [u64; LEVELS],
    heads: Box<[[Index; SLOTS]; LEVELS]>,
    /// Entries whose deadline has passed and whose waker has not been called.
    due: VecDeque<Index>,
}

struct Entry {
    /// The deadline.
    at: u64,
    fired: bool,
    /// Where it is linked: the level and slot, and the neighbours in the slot's list.
    place: Option<(u8, u8)>,
    /// The time of that place.
    queued: u64,
    previous: Index,
    next: Index,
    waker: Option<Waker>,
}

impl Wheel {
    pub(super) fn new(now: u64) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            elapsed: now,
            occupied: [0; LEVELS],
            heads: Box::new([[NONE; SLOTS]; LEVELS]),
            due: VecDeque::new(),
        }
    }

    /// Adds an entry that is not set.
    pub(super) fn insert(&mut self) -> Index {
        let entry = Entry {
            at: NEVER,
            fired: false,
            place: None,
            queued: NEVER,
            previous: NONE,
            next: NONE,
            waker: None,
        };
        match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = entry;
                index
            }
            None => {
                let index = Index::try_from(self.entries.len()).expect("fewer than 2^32 deadlines");
                self.entries.push(entry);
                index
            }
        }
    }

    /// Takes an entry out for good.
    pub(super) fn remove(&mut self, index: Index) -> Option<Waker> {
        self.unlink(index);
        self.due.retain(|&due| due != index);
        self.free.push(index);
        self.entries[index as usize].waker.take()
    }

    /// Sets a deadline, and says when its entry is looked at next.
    pub(super) fn set(&mut self, index: Index, at: u64) -> u64 {
        let entry = &mut self.entries[index as usize];
        entry.at = at;
        entry.fired = false;
        if entry.queued > at {
            self.unlink(index);
            self.link(index);
        }
        self.entries[index as usize].queued
    }

    pub(super) fn clear(&mut self, index: Index) {
        self.entries[index as usize].at = NEVER;
        self.entries[index as usize].fired = false;
    }

    /// Whether the deadline has passed since it was set: true once.
    pub(super) fn take_fired(&mut self, index: Index) -> bool {
        std::mem::take(&mut self.entries[index as usize].fired)
    }

    /// Whether `waker` is whom the deadline wakes already.
    pub(super) fn will_wake(&self, index: Index, waker: &Waker) -> bool {
        self.entries[index as usize].waker.as_ref().is_some_and(|stored| stored.will_wake(waker))
    }

    /// Says whom to wake, and gives who was to be woken before.
    pub(super) fn set_waker(&mut self, index: Index, waker: Waker) -> Option<Waker> {
        self.entries[index as usize].waker.replace(waker)
    }

    /// When the next slot comes up.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        if self.due.is_empty() { self.next_slot().map(|(_, _, time)| time) } else { Some(self.elapsed) }
    }

    /// The next deadline that has passed at `now`: `None` if there is none, otherwise whom to wake.
    pub(super) fn next_due(&mut self, now: u64) -> Option<Option<Waker>> {
        loop {
            if let Some(index) = self.due.pop_front() {
                let entry = &mut self.entries[index as usize];
                // It may have been set anew since.
                if entry.fired {
                    return Some(entry.waker.clone());
                }
                continue;
            }
            match self.next_slot() {
                Some((level, slot, time)) if time <= now => {
                    self.elapsed = self.elapsed.max(time);
                    self.open_slot(level, slot);
                }
                _ => {
                    self.elapsed = self.elapsed.max(now);
                    return None;
                }
            }
        }
    }

    /// Looks at all entries of a slot whose time has come: those that are due fire, the others move on.
    fn open_slot(&mut self, level: usize, slot: usize) {
        while self.heads[level][slot] != NONE {
            let index = self.heads[level][slot];
            self.unlink(index);
            let entry = &mut self.entries[index as usize];
            if entry.at <= self.elapsed {
                entry.at = NEVER;
                entry.fired = true;
                self.due.push_back(index);
            } else if entry.at != NEVER {
                self.link(index);
            }
        }
    }

    /// The first slot with entries: level, slot, and the time it begins.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        let shift = SLOT_BITS * level;
        let current = self.elapsed >> shift;
        // Entries of a level are at most one turn ahead of the current slot.
        let ahead = self.occupied[level].rotate_right((current & SLOT_MASK) as u32).trailing_zeros();
        let target = current + u64::from(ahead);
        let slot = usize::try_from(target & SLOT_MASK).expect("below 64");
        Some((level, slot, target << shift))
    }

    fn link(&mut self, index: Index) {
        let at = self.entries[index as usize].at;
        // What is due already is due with the next millisecond; what is out of reach is looked at again.
        let time = at.clamp(self.elapsed + 1, (self.elapsed | REACH).max(self.elapsed + 1));
        let differing = (self.elapsed ^ time) | SLOT_MASK;
        let level = ((63 - differing.leading_zeros() as usize) / SLOT_BITS).min(LEVELS - 1);
        let slot = u8::try_from((time >> (SLOT_BITS * level)) & SLOT_MASK).expect("below 64");
        let place = (u8::try_from(level).expect("below 7"), slot);
        let slot = usize::from(slot);
        let head = std::mem::replace(&mut self.heads[level][slot], index);
        if head != NONE {
            self.entries[head as usize].previous = index;
        }
        self.occupied[level] |= 1 << slot;
        let entry = &mut self.entries[index as usize];
        entry.place = Some(place);
        entry.queued = time;
        entry.previous = NONE;
        entry.next = head;
    }

    fn unlink(&mut self, index: Index) {
        let entry = &mut self.entries[index as usize];
        let Some((level, slot)) = entry.place.take() else {
            return;
        };
        let (level, slot) = (usize::from(level), usize::from(slot));
        entry.queued = NEVER;
        let (previous, next) = (entry.previous, entry.next);
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if previous != NONE {
            self.entries[previous as usize].next = next;
            return;
        }
        self.heads[level][slot] = next;
        if next == NONE {
            self.occupied[level] &= !(1 << slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::task::Wake;

    use super::*;

    /// A waker that writes down whose it is.
    struct Named(usize, Arc<Mutex<Vec<usize>>>);

    impl Wake for Named {
        fn wake(self: Arc<Self>) {
            self.1.lock().expect("not poisoned").push(self.0);
        }
    }

    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn the_wheel_agrees_with_a_sorted_set() {
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let mut now = 12_345;
        let mut wheel = Wheel::new(now);
        let mut model: BTreeSet<(u64, usize)> = BTreeSet::new();
        let mut at = [NEVER; 50];
        let entries: Vec<Index> = (0..50).map(|_| wheel.insert()).collect();
        for (n, &entry) in entries.iter().enumerate() {
            wheel.set_waker(entry, Waker::from(Arc::new(Named(n, Arc::clone(&woken)))));
        }
        for _ in 0..200_000 {
            let n = (random(&mut state) % 50) as usize;
            match random(&mut state) % 4 {
                0 | 1 => {
                    let spread = 1 << (random(&mut state) % 34);
                    let time = now + 1 + random(&mut state) % spread;
                    model.remove(&(at[n], n));
                    at[n] = time;
                    model.insert((time, n));
                    wheel.set(entries[n], time);
                }
                2 => {
                    model.remove(&(at[n], n));
                    at[n] = NEVER;
                    wheel.clear(entries[n]);
                }
                _ => {
                    now += random(&mut state) % (1 << (random(&mut state) % 20));
                    while let Some(waker) = wheel.next_due(now) {
                        waker.expect("stored").wake();
                    }
                    let mut expected = Vec::new();
                    while let Some(&(time, n)) = model.first().filter(|(time, _)| *time <= now) {
                        model.remove(&(time, n));
                        expected.push((time, n));
                    }
                    let fired: Vec<usize> = std::mem::take(&mut *woken.lock().expect("not poisoned"));
                    let times: Vec<u64> = fired.iter().map(|&n| at[n]).collect();
                    assert!(times.is_sorted(), "in order: {times:?}");
                    let mut fired_sorted: Vec<_> = times.into_iter().zip(fired).collect();
                    fired_sorted.sort_unstable();
                    assert_eq!(fired_sorted, expected);
                    for (_, n) in expected {
                        at[n] = NEVER;
                        assert!(wheel.take_fired(entries[n]), "fired");
                        assert!(!wheel.take_fired(entries[n]), "once");
                    }
                }
            }
            let promised = wheel.next_expiry().unwrap_or(NEVER);
            assert!(model.first().is_none_or(|&(time, _)| promised <= time), "nothing is overslept");
        }
    }

    #[test]
    fn removed_entries_leave_no_trace() {
        let mut wheel = Wheel::new(0);
        for n in 0..1_000_000 {
            let entry = wheel.insert();
            wheel.set(entry, n % 5000 + 1);
            wheel.remove(entry);
        }
        assert_eq!(wheel.entries.len(), 1);
        assert_eq!(wheel.next_expiry(), None);
    }

    #[test]
    fn moving_a_deadline_away_leaves_its_entry_where_it_is() {
        let mut wheel = Wheel::new(0);
        let entry = wheel.insert();
        assert_eq!(wheel.set(entry, 100), 100);
        assert_eq!(wheel.set(entry, 100_000), 100);
        assert!(wheel.next_due(99_999).is_none());
        assert!(wheel.next_due(100_000).is_some());
    }
}
