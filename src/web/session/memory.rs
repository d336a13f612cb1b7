//! Sessions in the memory of one core.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::store::Store;
use crate::error::Result;

/// Sessions in this core's memory: for tests, and for servers of one core. The kernel spreads the connections of one client
/// over all cores, and the next core knows nothing of what this one keeps: [`SpreadStore`](super::SpreadStore) does.
/// All are gone with the process.
pub struct MemoryStore(RefCell<Memory>);

/// How much a [`MemoryStore`] keeps. At a limit the session that was not used for longest goes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// Sessions of a core. Default: 10,000.
    pub sessions_max: usize,
    /// Bytes of their records, of a core. Default: 16 MiB. Ids and bookkeeping, about 200 bytes a session, come on top.
    pub bytes_max: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { sessions_max: 10_000, bytes_max: 16 * 1024 * 1024 }
    }
}

impl MemoryStore {
    /// A store with nothing in it.
    #[must_use]
    pub fn new(config: MemoryConfig) -> Self {
        Self(RefCell::new(Memory {
            config,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            bytes: 0,
            uses: 0,
        }))
    }

    /// How many sessions it holds, those included that are over but were not asked for since.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.borrow().entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn load_now(&self, id: &str) -> Option<String> {
        self.0.borrow_mut().load(id, Instant::now())
    }

    pub(super) fn insert_now(&self, id: &str, record: String, lifetime: Duration) {
        self.0.borrow_mut().insert(id, record, end(Instant::now(), lifetime));
    }

    pub(super) fn replace_now(&self, id: &str, record: String, lifetime: Duration) -> bool {
        self.replace_if(id, record, lifetime, |_| true)
    }

    pub(super) fn replace_unchanged_now(
        &self,
        id: &str,
        kept: &str,
        record: String,
        lifetime: Duration,
    ) -> bool {
        self.replace_if(id, record, lifetime, |found| found == kept)
    }

    fn replace_if(
        &self,
        id: &str,
        record: String,
        lifetime: Duration,
        is_meant: impl Fn(&str) -> bool,
    ) -> bool {
        let now = Instant::now();
        let mut memory = self.0.borrow_mut();
        let is_replaced = memory.load(id, now).is_some_and(|found| is_meant(&found));
        if is_replaced {
            memory.insert(id, record, end(now, lifetime));
        }
        is_replaced
    }

    pub(super) fn remove_now(&self, id: &str) {
        self.0.borrow_mut().remove(id);
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MemoryConfig::default())
    }
}

impl Store for MemoryStore {
    async fn load(&self, id: &str) -> Result<Option<String>> {
        Ok(self.load_now(id))
    }

    async fn insert(&self, id: &str, record: String, lifetime: Duration) -> Result<()> {
        self.insert_now(id, record, lifetime);
        Ok(())
    }

    async fn replace(&self, id: &str, record: String, lifetime: Duration) -> Result<bool> {
        Ok(self.replace_now(id, record, lifetime))
    }

    async fn replace_unchanged(
        &self,
        id: &str,
        kept: &str,
        record: String,
        lifetime: Duration,
    ) -> Result<bool> {
        Ok(self.replace_unchanged_now(id, kept, record, lifetime))
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.remove_now(id);
        Ok(())
    }
}

/// When a lifetime is over. One that no clock can tell the end of, as `Duration::MAX`, ends with the process.
fn end(now: Instant, lifetime: Duration) -> Instant {
    now.checked_add(lifetime).unwrap_or_else(|| now + CENTURY)
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Without the sessions.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("len", &self.len()).finish_non_exhaustive()
    }
}

struct Memory {
    config: MemoryConfig,
    entries: HashMap<Rc<str>, Entry>,
    /// The ids by their last use, the oldest first.
    order: BTreeMap<u64, Rc<str>>,
    /// Of all records.
    bytes: usize,
    uses: u64,
}

struct Entry {
    record: String,
    expires: Instant,
    used: u64,
}

impl Memory {
    fn load(&mut self, id: &str, now: Instant) -> Option<String> {
        if self.entries.get(id)?.expires <= now {
            self.remove(id);
            return None;
        }
        self.uses += 1;
        let entry = self.entries.get_mut(id)?;
        let id = self.order.remove(&entry.used)?;
        entry.used = self.uses;
        self.order.insert(entry.used, id);
        Some(entry.record.clone())
    }

    fn insert(&mut self, id: &str, record: String, expires: Instant) {
        self.remove(id);
        self.uses += 1;
        self.bytes += record.len();
        let id: Rc<str> = id.into();
        self.order.insert(self.uses, Rc::clone(&id));
        self.entries.insert(id, Entry { record, expires, used: self.uses });
        while self.entries.len() > self.config.sessions_max || self.bytes > self.config.bytes_max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.order.remove(&entry.used);
            self.bytes -= entry.record.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(sessions_max: usize, bytes_max: usize) -> Memory {
        let store = MemoryStore::new(MemoryConfig { sessions_max, bytes_max });
        store.0.into_inner()
    }

    #[test]
    fn the_session_that_was_not_used_for_longest_goes_first() {
        let now = Instant::now();
        let later = now + Duration::from_secs(9);
        let mut memory = memory(3, 100);
        for id in ["a", "b", "c"] {
            memory.insert(id, id.repeat(10), later);
        }
        assert_eq!(memory.load("a", now).as_deref(), Some("aaaaaaaaaa"));
        memory.insert("d", "d".into(), later);
        assert_eq!(memory.load("b", now), None, "too many sessions");
        memory.insert("e", "e".repeat(80), later);
        let left: Vec<&str> =
            ["a", "c", "d", "e"].into_iter().filter(|id| memory.load(id, now).is_some()).collect();
        assert_eq!((left, memory.bytes), (vec!["a", "d", "e"], 91), "sessions that are too long");
        memory.insert("f", "f".repeat(101), later);
        assert_eq!(
            (memory.entries.len(), memory.order.len(), memory.bytes),
            (0, 0, 0),
            "one that never fits"
        );
    }

    #[test]
    fn what_is_over_or_removed_is_gone_and_leaves_nothing() {
        let now = Instant::now();
        let mut memory = memory(3, 100);
        memory.insert("a", "1".into(), now + Duration::from_secs(1));
        memory.insert("a", "22".into(), now + Duration::from_secs(2));
        assert_eq!(memory.load("a", now + Duration::from_secs(1)).as_deref(), Some("22"));
        assert_eq!(memory.load("a", now + Duration::from_secs(2)), None);
        memory.insert("b", "3".into(), now + Duration::from_secs(1));
        memory.remove("b");
        assert_eq!((memory.entries.len(), memory.order.len(), memory.bytes), (0, 0, 0));
    }

    #[test]
    fn a_session_that_was_ended_does_not_come_back() {
        let store = MemoryStore::default();
        let long = Duration::from_secs(9);
        assert!(!store.replace_now("a", "1".into(), long));
        store.insert_now("a", "1".into(), long);
        assert!(store.replace_now("a", "2".into(), long));
        assert_eq!((store.load_now("a").as_deref(), store.len()), (Some("2"), 1));
        store.remove_now("a");
        assert!(!store.replace_now("a", "3".into(), long));
        assert!(store.is_empty());
    }

    #[test]
    fn a_session_that_was_changed_meanwhile_is_left_as_it_is() {
        let store = MemoryStore::default();
        let long = Duration::from_secs(9);
        store.insert_now("a", "1".into(), long);
        assert!(store.replace_unchanged_now("a", "1", "2".into(), long));
        assert!(!store.replace_unchanged_now("a", "1", "3".into(), long));
        assert_eq!(store.load_now("a").as_deref(), Some("2"));
        store.remove_now("a");
        assert!(!store.replace_unchanged_now("a", "2", "3".into(), long));
        assert!(store.is_empty());
    }

    #[test]
    fn a_lifetime_may_be_longer_than_clocks_can_tell() {
        let store = MemoryStore::default();
        store.insert_now("a", "1".into(), Duration::MAX);
        assert!(store.replace_now("a", "2".into(), Duration::MAX));
        assert_eq!(store.load_now("a").as_deref(), Some("2"));
    }
}
