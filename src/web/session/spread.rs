//! Sessions in the memory of all cores of a process.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringhttp_runtime::Core;

use super::memory::{MemoryConfig, MemoryStore};
use super::store::Store;
use crate::error::{Error, Result};

/// Sessions in the memory of all cores: each is kept by the core that its id names, and the others ask that one by a message.
/// No lock, and one hop for all but 1 of `n` requests. All are gone with the process.
///
/// Made before [`run`](crate::run), and cloned into each core's closure: the clones are one store.
///
/// ```no_run
/// use ringhttp::session::{MemoryConfig, SessionConfig, SpreadStore};
/// use ringhttp::{Result, Router, RuntimeConfig, Server, ServerConfig, middleware};
///
/// fn main() -> Result<()> {
///     let store = SpreadStore::new(MemoryConfig::default());
///     ringhttp::run(RuntimeConfig::default(), async move |core| {
///         let sessions = middleware::stored_sessions(store.clone(), SessionConfig::default())?;
///         let routes = Router::new().get("/", async |_: &(), _| "hello\n").with(sessions);
///         Server::bind("127.0.0.1:8080", ServerConfig::default())?.serve(&core, routes, ()).await
///     })
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SpreadStore {
    /// Tells apart the stores of a process.
    number: u64,
    config: MemoryConfig,
}

impl SpreadStore {
    /// A store with nothing in it. The limits are those of each core.
    #[must_use]
    pub fn new(config: MemoryConfig) -> Self {
        Self { number: STORES.fetch_add(1, Ordering::Relaxed), config }
    }

    /// What this core keeps of it.
    fn part(&self) -> Rc<MemoryStore> {
        PARTS.with_borrow_mut(|parts| {
            let part = parts.entry(self.number).or_insert_with(|| Rc::new(MemoryStore::new(self.config)));
            Rc::clone(part)
        })
    }

    /// Lets the core that keeps `id` do something with its part.
    async fn at_owner<T: Send + 'static>(
        &self,
        id: &str,
        work: impl FnOnce(&MemoryStore) -> T + Send + 'static,
    ) -> Result<T> {
        let core = Core::current().ok_or_else(|| Error::internal("sessions need a core"))?;
        let owner = owner(id, core.count());
        if owner == core.id() {
            return Ok(work(&self.part()));
        }
        let there = self.clone();
        Ok(core.invoke_on(owner, async move |_| work(&there.part())).await?)
    }
}

impl Store for SpreadStore {
    async fn load(&self, id: &str) -> Result<Option<String>> {
        let key = id.to_owned();
        self.at_owner(id, move |part| part.load_now(&key)).await
    }

    async fn insert(&self, id: &str, record: String, lifetime: Duration) -> Result<()> {
        let key = id.to_owned();
        self.at_owner(id, move |part| part.insert_now(&key, record, lifetime)).await
    }

    async fn replace(&self, id: &str, record: String, lifetime: Duration) -> Result<bool> {
        let key = id.to_owned();
        self.at_owner(id, move |part| part.replace_now(&key, record, lifetime)).await
    }

    async fn replace_unchanged(
        &self,
        id: &str,
        kept: &str,
        record: String,
        lifetime: Duration,
    ) -> Result<bool> {
        let (key, kept) = (id.to_owned(), kept.to_owned());
        self.at_owner(id, move |part| part.replace_unchanged_now(&key, &kept, record, lifetime)).await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let key = id.to_owned();
        self.at_owner(id, move |part| part.remove_now(&key)).await
    }
}

/// Ids are random, so any function of them spreads them evenly.
fn owner(id: &str, cores: usize) -> usize {
    id.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % cores
}

static STORES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// One part for each store of the process; they go with the core's thread.
    static PARTS: RefCell<HashMap<u64, Rc<MemoryStore>>> = RefCell::default();
}

#[cfg(test)]
mod tests {
    use super::super::new_id;
    use super::*;

    #[test]
    fn every_core_owns_about_as_many_ids() {
        let mut owned = [0_u32; 4];
        (0..4000).for_each(|_| owned[owner(&new_id(), 4)] += 1);
        assert!(owned.iter().all(|&count| (800..1200).contains(&count)), "{owned:?}");
    }
}
