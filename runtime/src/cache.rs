//! A cache of one core: the entries used last are kept, for a while, and what is missing is made once for all who ask.
//!
//! It is our own and not a crate, because three things have to fit together here: strict least-recently-used order, an
//! end of life by the core's clock (which tests pause), and fills that survive whoever began them.
#![forbid(unsafe_code)]

mod lru;

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;

use self::lru::Lru;
use crate::stats::count;
use crate::sync::Semaphore;
use crate::time::{Instant, Timers};

/// The limits of a [`Cache`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Entries that are kept. Default 1000. Beyond: the one that was used longest ago goes.
    pub entries_max: usize,
    /// The sum of the entries' weights, by the cache's weigher. Default: no limit. Beyond: as `entries_max`; an entry that
    /// is heavier by itself is not kept.
    pub weight_max: Option<usize>,
    /// How long an entry lives. Default 300 s. Zero keeps nothing.
    pub ttl: Duration,
    /// How long the failure of a [`get_or_fill`](Cache::get_or_fill) is given to those who ask after it. Default: zero, not
    /// kept.
    pub failure_ttl: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            entries_max: 1000,
            weight_max: None,
            ttl: Duration::from_secs(300),
            failure_ttl: Duration::ZERO,
        }
    }
}

/// What a cache has counted.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CacheStats {
    /// Values that were found.
    pub hits: Cell<u64>,
    /// Values that were not.
    pub misses: Cell<u64>,
    /// Fills that were begun.
    pub fills: Cell<u64>,
    /// Fills that gave an error.
    pub failures: Cell<u64>,
    /// Callers that were given the outcome of another one's fill.
    pub shared: Cell<u64>,
    /// Entries that made room for others.
    pub evictions: Cell<u64>,
    /// Entries that were found too old.
    pub expirations: Cell<u64>,
}

/// A cache of one core, with single flight. Cloning gives another handle to the same.
///
/// All operations take constant time. An entry that is too old is never given out; it goes when somebody asks for it, or
/// when it is the least recently used and room is needed, so old entries cost memory within the limits and nothing else.
///
/// Values are cloned on their way out: make them cheap to clone (`Rc`, `Bytes`). `Clone`, `Hash` and `Eq` of keys and
/// values must not use the cache.
///
/// ```
/// use std::rc::Rc;
/// use ringhttp_runtime::cache::{Cache, CacheConfig};
/// use ringhttp_runtime::time::Timers;
///
/// let users: Cache<u64, Rc<str>> = Cache::new(&Timers::new(), CacheConfig::default());
/// users.insert(7, "ada".into());
/// assert_eq!(users.get(&7).as_deref(), Some("ada"));
/// assert_eq!(users.get(&8), None);
/// ```
pub struct Cache<K, V, E = Box<dyn std::error::Error>>(Rc<Inner<K, V, E>>);

struct Inner<K, V, E> {
    timers: Timers,
    config: CacheConfig,
    weigher: Option<Weigher<K, V>>,
    entries: RefCell<Lru<K, Entry<V, E>>>,
    flights: RefCell<HashMap<K, Rc<Flight<V, E>>>>,
    stats: CacheStats,
}

type Weigher<K, V> = Box<dyn Fn(&K, Option<&V>) -> usize>;

struct Entry<V, E> {
    outcome: Outcome<V, E>,
    until: Instant,
}

/// What a fill gave.
type Outcome<V, E> = Result<V, Rc<E>>;

/// One fill, and those who wait for it. Whose turn it is fills; when that one goes away before it is done, the turn
/// passes to who waited longest.
struct Flight<V, E> {
    turn: Semaphore,
    outcome: RefCell<Option<Outcome<V, E>>>,
}

impl<K: Clone + Eq + Hash, V: Clone, E> Cache<K, V, E> {
    /// An empty cache on a core's clock.
    #[must_use]
    pub fn new(timers: &Timers, config: CacheConfig) -> Self {
        Self::build(timers, config, None)
    }

    /// As [`new`](Self::new); `weigher` says what an entry counts towards `CacheConfig::weight_max`: one with a value, or a
    /// failure that is kept.
    #[must_use]
    pub fn with_weigher(
        timers: &Timers,
        config: CacheConfig,
        weigher: impl Fn(&K, Option<&V>) -> usize + 'static,
    ) -> Self {
        Self::build(timers, config, Some(Box::new(weigher)))
    }

    fn build(timers: &Timers, config: CacheConfig, weigher: Option<Weigher<K, V>>) -> Self {
        Self(Rc::new(Inner {
            timers: timers.clone(),
            config,
            weigher,
            entries: RefCell::default(),
            flights: RefCell::default(),
            stats: CacheStats::default(),
        }))
    }

    /// The value of a key, which is the most recently used then.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.look_up(key)?.ok()
    }

    /// Puts a value in, for `CacheConfig::ttl`. A fill of the key that is under way will not replace it.
    pub fn insert(&self, key: K, value: V) {
        self.insert_for(key, value, self.0.config.ttl);
    }

    /// As [`insert`](Self::insert), for another time.
    pub fn insert_for(&self, key: K, value: V, ttl: Duration) {
        self.detach_flight(&key);
        self.store(key, Ok(value), ttl);
    }

    /// Takes a value out. A fill of the key that is under way gives its value to those who wait for it already, and is
    /// not kept.
    pub fn remove<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.detach_flight(key);
        let removed = self.0.entries.borrow_mut().remove(key)?;
        let alive = self.is_alive(&removed);
        removed.outcome.ok().filter(|_| alive)
    }

    /// Takes everything out, as [`remove`](Self::remove) does.
    pub fn clear(&self) {
        let flights = std::mem::take(&mut *self.0.flights.borrow_mut());
        let entries = std::mem::take(&mut *self.0.entries.borrow_mut());
        // Dropped here, where nothing is borrowed: values may own anything.
        drop((flights, entries));
    }

    /// Entries that are kept, those too old included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.borrow().len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of the weights of what is kept.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.0.entries.borrow().weight()
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> &CacheStats {
        &self.0.stats
    }

    /// The value of a key; if there is none, the one that `fill` gives, which is kept for `CacheConfig::ttl`. Of several
    /// callers that miss the same key at the same time, one runs its `fill`, and all are given the outcome, a failure
    /// included. If the one that fills is dropped or panics, the one that waited longest runs its own `fill` instead.
    ///
    /// ```
    /// # use ringhttp_runtime::cache::{Cache, CacheConfig};
    /// # use ringhttp_runtime::time::Timers;
    /// # async fn example(cache: Cache<String, usize, std::io::Error>) {
    /// let length = cache.get_or_fill("name".to_owned(), async || Ok(4)).await;
    /// assert_eq!(length.ok(), Some(4));
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `fill` gave, shared by those who waited for it. Whoever asks later begins a new fill, unless
    /// `CacheConfig::failure_ttl` keeps the failure.
    ///
    /// # Cancellation
    /// `fill` is dropped where it waits; somebody else's turn begins. Nobody hangs.
    pub async fn get_or_fill(&self, key: K, fill: impl AsyncFnOnce() -> Result<V, E>) -> Result<V, Rc<E>> {
        self.get_or_fill_for(key, async || Ok((fill().await?, self.0.config.ttl))).await
    }

    /// As [`get_or_fill`](Self::get_or_fill), for a `fill` that says how long its value lives.
    ///
    /// # Errors
    /// As [`get_or_fill`](Self::get_or_fill).
    ///
    /// # Cancellation
    /// As [`get_or_fill`](Self::get_or_fill).
    pub async fn get_or_fill_for(
        &self,
        key: K,
        fill: impl AsyncFnOnce() -> Result<(V, Duration), E>,
    ) -> Result<V, Rc<E>> {
        if let Some(outcome) = self.look_up(&key) {
            return outcome;
        }
        let joined = Joined { flight: self.join(&key), key: &key, cache: self };
        let turn = joined.flight.turn.acquire().await;
        let shared = joined.flight.outcome.borrow().clone();
        if let Some(outcome) = shared {
            count(&self.0.stats.shared);
            return outcome;
        }
        count(&self.0.stats.fills);
        let (outcome, ttl) = match fill().await {
            Ok((value, ttl)) => (Ok(value), ttl),
            Err(error) => {
                count(&self.0.stats.failures);
                (Err(Rc::new(error)), self.0.config.failure_ttl)
            }
        };
        joined.land(&outcome, ttl);
        drop(turn);
        outcome
    }

    fn look_up<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Outcome<V, E>>
    where
        K: Borrow<Q>,
    {
        let mut entries = self.0.entries.borrow_mut();
        let found = entries.get(key).map(|entry| (self.is_alive(entry), entry.outcome.clone()));
        let expired = match &found {
            Some((false, _)) => entries.remove(key),
            _ => None,
        };
        drop(entries);
        if expired.is_some() {
            count(&self.0.stats.expirations);
        }
        let found = found.filter(|(alive, _)| *alive).map(|(_, outcome)| outcome);
        count(if found.is_some() { &self.0.stats.hits } else { &self.0.stats.misses });
        found
    }

    fn is_alive(&self, entry: &Entry<V, E>) -> bool {
        self.0.timers.now() < entry.until
    }

    fn store(&self, key: K, outcome: Outcome<V, E>, ttl: Duration) {
        let config = &self.0.config;
        let weight = self.0.weigher.as_ref().map_or(0, |weigher| weigher(&key, outcome.as_ref().ok()));
        let weight_max = config.weight_max.unwrap_or(usize::MAX);
        let entry = Entry { outcome, until: self.0.timers.now() + ttl };
        let before = self.0.entries.borrow_mut().remove(&key);
        drop(before);
        if ttl.is_zero() || weight > weight_max || config.entries_max == 0 {
            return;
        }
        self.0.entries.borrow_mut().insert(key, entry, weight);
        loop {
            let mut entries = self.0.entries.borrow_mut();
            if entries.len() <= config.entries_max && entries.weight() <= weight_max {
                return;
            }
            let evicted = entries.pop_least_recent();
            drop(entries);
            count(&self.0.stats.evictions);
            drop(evicted);
        }
    }

    fn join(&self, key: &K) -> Rc<Flight<V, E>> {
        let mut flights = self.0.flights.borrow_mut();
        let flight = flights
            .entry(key.clone())
            .or_insert_with(|| Rc::new(Flight { turn: Semaphore::new(1), outcome: RefCell::new(None) }));
        Rc::clone(flight)
    }

    /// Lets a fill under way go on for those who wait for it, and for nobody else.
    fn detach_flight<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let detached = self.0.flights.borrow_mut().remove(key);
        drop(detached);
    }
}

/// One of those who wait for a fill. The last one to go takes an unfinished flight out of the table.
struct Joined<'a, K: Clone + Eq + Hash, V: Clone, E> {
    flight: Rc<Flight<V, E>>,
    key: &'a K,
    cache: &'a Cache<K, V, E>,
}

impl<K: Clone + Eq + Hash, V: Clone, E> Joined<'_, K, V, E> {
    /// Tells everybody what the fill gave, and keeps it, unless the key was removed or set meanwhile.
    fn land(&self, outcome: &Outcome<V, E>, ttl: Duration) {
        if self.is_current() {
            self.cache.detach_flight(self.key);
            self.cache.store(self.key.clone(), outcome.clone(), ttl);
        }
        *self.flight.outcome.borrow_mut() = Some(outcome.clone());
        self.flight.turn.close();
    }

    fn is_current(&self) -> bool {
        let flights = self.cache.0.flights.borrow();
        flights.get(self.key).is_some_and(|flight| Rc::ptr_eq(flight, &self.flight))
    }
}

impl<K: Clone + Eq + Hash, V: Clone, E> Drop for Joined<'_, K, V, E> {
    fn drop(&mut self) {
        const TABLE_AND_SELF: usize = 2;
        if Rc::strong_count(&self.flight) == TABLE_AND_SELF && self.is_current() {
            self.cache.detach_flight(self.key);
        }
    }
}

impl<K, V, E> Clone for Cache<K, V, E> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<K, V, E> fmt::Debug for Cache<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("config", &self.0.config).field("stats", &self.0.stats).finish()
    }
}

#[cfg(test)]
mod tests;
