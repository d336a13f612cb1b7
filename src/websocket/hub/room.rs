//! The rooms as all cores see them: which there are, and how many members each core has in them.
//!
//! The list is behind a lock that a core takes with its first and its last member in a room, and to look a room up by its name.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The rooms of a hub.
#[derive(Default)]
pub(super) struct Rooms {
    by_name: Mutex<HashMap<Arc<str>, Arc<Room>>>,
    next_id: AtomicU64,
    lost: AtomicU64,
}

/// A room that has members.
pub(super) struct Room {
    pub(super) name: Arc<str>,
    /// Members, by core.
    counts: Box<[AtomicUsize]>,
    /// Those of them whose peers read compressed messages.
    compressed: AtomicUsize,
}

impl Room {
    fn new(name: &str, cores: usize) -> Self {
        Self {
            name: name.into(),
            counts: (0..cores).map(|_| AtomicUsize::new(0)).collect(),
            compressed: AtomicUsize::new(0),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Counts a member of a core.
    pub(super) fn enter(&self, core: usize, is_compressed: bool) {
        self.counts[core].fetch_add(1, Ordering::Relaxed);
        self.compressed.fetch_add(usize::from(is_compressed), Ordering::Relaxed);
    }

    pub(super) fn leave(&self, core: usize, is_compressed: bool) {
        self.counts[core].fetch_sub(1, Ordering::Relaxed);
        self.compressed.fetch_sub(usize::from(is_compressed), Ordering::Relaxed);
    }
}

impl Rooms {
    /// A number for a new member.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The room of a name, with the first member of a core already in it; `None` if there are too many rooms.
    pub(super) fn enter_first(
        &self,
        name: &str,
        (core, cores): (usize, usize),
        is_compressed: bool,
        rooms_max: usize,
    ) -> Option<Arc<Room>> {
        let mut by_name = self.lock();
        let has_space = by_name.len() < rooms_max;
        let room = match by_name.entry(name.into()) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) if has_space => {
                let room = Room::new(name, cores);
                Arc::clone(entry.insert(Arc::new(room)))
            }
            Entry::Vacant(_) => return None,
        };
        room.enter(core, is_compressed);
        Some(room)
    }

    /// The last member of a core leaves a room, which ends with the last of all.
    pub(super) fn leave_last(&self, room: &Room, core: usize, is_compressed: bool) {
        let mut by_name = self.lock();
        room.leave(core, is_compressed);
        if room.count() == 0 {
            by_name.remove(&room.name);
        }
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.lock().get(name).map_or(0, |room| room.count())
    }

    /// Whether a member of the room reads compressed messages.
    pub(super) fn reads_compressed(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|room| room.compressed.load(Ordering::Relaxed) > 0)
    }

    /// The cores that have members in a room.
    pub(super) fn cores(&self, name: &str) -> Vec<usize> {
        let room = self.lock().get(name).cloned();
        let counts = room.iter().flat_map(|room| room.counts.iter().enumerate());
        counts.filter(|(_, count)| count.load(Ordering::Relaxed) > 0).map(|(core, _)| core).collect()
    }

    pub(super) fn list(&self) -> Vec<(Arc<str>, usize)> {
        self.lock().values().map(|room| (Arc::clone(&room.name), room.count())).collect()
    }

    pub(super) fn count_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Every change behind it is whole, so a holder that panicked has left nothing behind.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Room>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
