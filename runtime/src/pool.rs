//! A pool of one core: what is costly to make and can be used again, within limits, for those who wait in a fair line.
//!
//! A [`Place`] is the right to have one item. Whoever is given one finds an item that was used before in it, or makes
//! one; giving the place back keeps the item for the next, dropping it drops the item. So whatever happens to who holds
//! it, the count is right and those who wait are served.
//!
//! ```
//! # use ringhttp_runtime::pool::{Pool, PoolConfig};
//! # async fn example(core: &ringhttp_runtime::Core) {
//! let pool: Pool<&str, Vec<u8>> = Pool::new(core.timers(), PoolConfig::default());
//! // Drops what was idle for too long; ends with the pool.
//! drop(core.spawn("pool", pool.drive(|_, _, _| true)));
//!
//! let mut buffer = pool.get(&"large", async || Ok::<_, ()>(Vec::with_capacity(1 << 20))).await.expect("a place");
//! buffer.push(7); // Used like the item. When it is dropped, the item goes back.
//! # }
//! ```
#![forbid(unsafe_code)]

mod acquire;
mod error;
mod grant;
mod place;
mod shared;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub use self::acquire::{Acquire, AcquireOptions};
pub use self::error::{GetError, PoolError};
use self::grant::Aftermath;
pub use self::place::{Guard, Place};
use self::shared::Share;
pub use self::shared::SharedLimit;
use self::table::Table;
use crate::stats::count;
use crate::sync::Notify;
use crate::time::{Deadline, Instant, Timers};

/// The limits of a [`Pool`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolConfig {
    /// Items, those that are used, made and idle together. Default 100. Then: idle ones of other keys go, the one given back
    /// longest ago first; then who asks waits.
    pub limit: usize,
    /// Items of one key. Default 0: no limit of its own. Then: who asks waits.
    pub limit_per_key: usize,
    /// Items that are kept idle. Default: as many as `limit` allows. Beyond: the one given back longest ago goes.
    pub idle_max: Option<usize>,
    /// How long an item is kept idle. Default 60 s. Zero keeps none.
    pub idle_timeout: Duration,
    /// How old an item may be to be used again; each has up to a tenth less, so that those made together do not go together.
    /// Default: any age.
    pub age_max: Option<Duration>,
    /// Which idle item is used first. Default: the one given back last.
    pub order: ReuseOrder,
    /// Those who wait. Default 10,000. Then: [`PoolError::Full`].
    pub waiting_max: usize,
    /// A limit over the pools of several cores. Default: none. Then: as `limit`, and other cores give up idle items.
    pub shared_limit: Option<SharedLimit>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            limit: 100,
            limit_per_key: 0,
            idle_max: None,
            idle_timeout: Duration::from_secs(60),
            age_max: None,
            order: ReuseOrder::default(),
            waiting_max: 10_000,
            shared_limit: None,
        }
    }
}

/// Which of several idle items is used first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReuseOrder {
    /// The one given back last: few are used, and the others come to the end of their time.
    #[default]
    Lifo,
    /// The one given back first: all are used in turn.
    Fifo,
}

/// Who is served first of those who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before all others.
    High,
    /// Before those of low priority.
    #[default]
    Normal,
    /// When nobody else waits.
    Low,
}

/// What a pool has counted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// Places that were given.
    pub acquired: Cell<u64>,
    /// Of those, the ones with an item that was used before.
    pub reused: Cell<u64>,
    /// Items that were made.
    pub made: Cell<u64>,
    /// Places that were given up without an item: none could be made, mostly.
    pub unmade: Cell<u64>,
    /// Times that somebody had to wait.
    pub waits: Cell<u64>,
    /// How long those have waited who were given a place, together.
    pub waited: Cell<Duration>,
    /// Waits that were too long.
    pub timeouts: Cell<u64>,
    /// Askers that were refused because too many waited.
    pub refused: Cell<u64>,
    /// Items that were idle for too long.
    pub expired: Cell<u64>,
    /// Items that were too old.
    pub old: Cell<u64>,
    /// Idle items that made room for others.
    pub replaced: Cell<u64>,
}

/// A pool of one core, of items of type `T` for each key. Cloning gives another handle to the same.
///
/// Those who wait are served by priority, then in the order they came; somebody who can use the very item that comes back may go
/// before somebody who waits for another key, at most eight times.
///
/// `Clone`, `Hash`, `Eq` of keys must not use the pool.
pub struct Pool<K: Clone + Eq + Hash, T>(Rc<Inner<K, T>>);

struct Inner<K: Clone + Eq + Hash, T> {
    config: PoolConfig,
    timers: Timers,
    table: RefCell<Table<K, T>>,
    stats: PoolStats,
    /// Told when nothing of a closed pool is out any more.
    ended: Notify,
    /// The task that sweeps, and when the next item is due.
    driver: RefCell<Option<Waker>>,
    deadline: Deadline,
    next_sweep: Cell<Option<Instant>>,
    /// For the age of items, whose ends are to be spread.
    made: Cell<u64>,
}

impl<K: Clone + Eq + Hash, T> Pool<K, T> {
    /// An empty pool on a core's clock.
    ///
    /// # Panics
    /// If `PoolConfig::limit` is 0: nothing could ever be had.
    #[must_use]
    pub fn new(timers: &Timers, config: PoolConfig) -> Self {
        assert!(config.limit > 0, "PoolConfig::limit must not be 0");
        let share = config.shared_limit.as_ref().map(Share::new);
        Self(Rc::new(Inner {
            config,
            timers: timers.clone(),
            table: RefCell::new(Table::new(share, timers.clone())),
            stats: PoolStats::default(),
            ended: Notify::new(),
            driver: RefCell::new(None),
            deadline: timers.deadline(),
            next_sweep: Cell::new(None),
            made: Cell::new(0),
        }))
    }

    /// A place with an idle item, or one to be filled, if there is one now and nobody waits for it.
    ///
    /// # Errors
    /// [`PoolError::Closed`].
    pub fn try_acquire<Q>(&self, key: &Q) -> Result<Option<Place<K, T>>, PoolError>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        match self.0.take_now(key) {
            Ok(place) => Ok(Some(place)),
            Err(Ok(slot)) => {
                self.0.table.borrow_mut().release_slot(slot);
                Ok(None)
            }
            Err(Err(error)) => Err(error),
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`PoolError`].
    ///
    /// # Cancellation
    /// Nothing is lost: what was given already goes to the next who waits.
    pub fn acquire<Q>(&self, key: &Q, options: AcquireOptions) -> Acquire<K, T>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        match self.try_acquire(key) {
            Ok(Some(place)) => Acquire::ready(&self.0, Ok(place)),
            Err(error) => Acquire::ready(&self.0, Err(error)),
            Ok(None) if self.waiting() >= self.0.config.waiting_max => {
                count(&self.0.stats.refused);
                Acquire::ready(&self.0, Err(PoolError::Full))
            }
            Ok(None) => Acquire::waiting(&self.0, key.to_owned(), options),
        }
    }

    /// An item of a key: an idle one, or the one that `make` gives. It goes back when the guard is dropped.
    ///
    /// # Errors
    /// [`GetError`]; a failure of `make` gives the place to the next who waits.
    ///
    /// # Cancellation
    /// `make` is dropped where it waits. Nothing else is lost.
    pub async fn get<E>(
        &self,
        key: &K,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Guard<K, T>, GetError<E>> {
        let mut place = self.acquire(key, AcquireOptions::default()).await.map_err(GetError::Pool)?;
        if place.item().is_none() {
            place.fill(make().await.map_err(GetError::Make)?);
        }
        Ok(Guard::new(place))
    }

    /// Drops items whose time is over while they are idle, and those for which `keep` gives false. To be run as a task of
    /// the core; it ends with the pool. `keep` is called for every idle item each time that the task is woken, with the
    /// task's context: what it polls may wake it. It must not use the pool.
    ///
    /// # Cancellation
    /// Items stay until they are asked for.
    pub fn drive<F>(&self, mut keep: F) -> impl Future<Output = ()> + use<K, T, F>
    where
        F: FnMut(&mut Context<'_>, &K, &mut T) -> bool,
    {
        let pool = Rc::downgrade(&self.0);
        poll_fn(move |cx| match pool.upgrade() {
            Some(pool) => pool.poll_drive(cx, &mut keep),
            None => Poll::Ready(()),
        })
    }

    /// Runs `poll` with the context of the task that [`drive`](Self::drive)s the pool: what it polls wakes that.
    pub fn with_driver<R>(&self, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        let driver = self.0.driver.borrow().clone();
        poll(&mut Context::from_waker(driver.as_ref().unwrap_or(Waker::noop())))
    }

    /// Gives out nothing more: idle items are dropped, those who wait are told. What is out comes back and is dropped.
    pub fn close(&self) {
        let mut after = Aftermath::default();
        self.0.table.borrow_mut().close(&mut after);
        self.0.follow(after);
        self.0.wake_driver();
    }

    /// Waits until the pool was closed and nothing of it is out any more.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.0.has_ended() {
                return;
            }
            ended.await;
        }
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.table.borrow().closed
    }

    /// Places that are out.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.0.table.borrow().in_use()
    }

    /// Items that are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.0.table.borrow().idle()
    }

    /// Those who wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.table.borrow().waiting()
    }

    /// Idle items and places that are out, of one key.
    #[must_use]
    pub fn counts_of(&self, key: &K) -> (usize, usize) {
        self.0.table.borrow().counts_of(key)
    }

    /// Of one key, places that are out, but for those that were [set aside](Place::set_aside), and those who wait.
    #[must_use]
    pub fn use_of(&self, key: &K) -> (usize, usize) {
        self.0.table.borrow().use_of(key)
    }

    /// Limits how many places of a key may be out at a time, idle items left aside; `None`: as many as the other limits allow, as it is
    /// from the beginning. Who finds it reached waits in line. When it becomes less, what is out stays out; when it becomes more, those
    /// who wait are served at once.
    ///
    /// The pool remembers a limit until it is taken away: whoever sets some for many keys has to.
    pub fn set_in_use_max<Q>(&self, key: &Q, in_use_max: Option<usize>)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let mut after = Aftermath::default();
        let in_use_max = in_use_max.unwrap_or(usize::MAX);
        self.0.table.borrow_mut().set_in_use_max(key, in_use_max, &self.0.config, &mut after);
        self.0.follow(after);
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> &PoolStats {
        &self.0.stats
    }
}

impl<K: Clone + Eq + Hash, T> Inner<K, T> {
    /// A place that can be had at once, or the slot of the key to wait in.
    fn take_now<Q>(self: &Rc<Self>, key: &Q) -> Result<Place<K, T>, Result<usize, PoolError>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let mut after = Aftermath::default();
        let mut table = self.table.borrow_mut();
        if table.closed {
            return Err(Err(PoolError::Closed));
        }
        let (slot, grant) = table.take_now(key, &self.config, &mut after);
        drop(table);
        self.follow(after);
        match grant {
            Some(grant) => Ok(Place::new(self, slot, grant)),
            None => Err(Ok(slot)),
        }
    }

    fn take_back(
        &self,
        slot: usize,
        item: T,
        old_at: Option<Instant>,
        idle_for: Option<Duration>,
        after: &mut Aftermath<T>,
    ) {
        let (now, config) = (self.timers.now(), &self.config);
        let mut table = self.table.borrow_mut();
        if old_at.is_some_and(|old_at| now >= old_at) {
            after.old += 1;
            after.dropped.push(item);
            return table.give_up(slot, config, after);
        }
        let idle_for = idle_for.unwrap_or(config.idle_timeout).min(config.idle_timeout);
        let until = now + idle_for;
        let until = old_at.map_or(until, |old_at| until.min(old_at));
        table.give_back(slot, (item, old_at), (until > now).then_some(until), config, after);
        drop(table);
        if self.next_sweep.get().is_none_or(|next| until < next) {
            self.set_sweep(until);
        }
    }

    fn set_sweep(&self, at: Instant) {
        self.next_sweep.set(Some(at));
        self.deadline.set_at(at);
    }

    fn poll_drive(
        &self,
        cx: &mut Context<'_>,
        keep: &mut dyn FnMut(&mut Context<'_>, &K, &mut T) -> bool,
    ) -> Poll<()> {
        *self.driver.borrow_mut() = Some(cx.waker().clone());
        let mut after = Aftermath::default();
        let mut table = self.table.borrow_mut();
        if table.closed {
            return Poll::Ready(());
        }
        if let Some(share) = table.share() {
            share.register(cx.waker());
            if share.others_lack() {
                table.give_to_others(&mut after);
            }
        }
        let keep = |key: &K, item: &mut T| keep(cx, key, item);
        let next = table.sweep(self.timers.now(), &self.config, keep, &mut after);
        drop(table);
        self.follow(after);
        self.next_sweep.set(None);
        match next {
            Some(next) => self.set_sweep(next),
            None => self.deadline.clear(),
        }
        // Registers the task; what has passed meanwhile is seen now.
        if self.deadline.poll_expired(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Does what is left to do when nothing is borrowed.
    fn follow(&self, after: Aftermath<T>) {
        let add = |cell: &Cell<u64>, count: u64| cell.set(cell.get() + count);
        add(&self.stats.replaced, after.replaced);
        add(&self.stats.expired, after.expired);
        add(&self.stats.old, after.old);
        drop(after.dropped);
        after.wakers.into_iter().for_each(Waker::wake);
        if self.has_ended() {
            self.ended.notify_waiters();
        }
    }

    fn has_ended(&self) -> bool {
        let table = self.table.borrow();
        table.closed && table.in_use() == 0
    }

    fn wake_driver(&self) {
        let driver = self.driver.borrow_mut().take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

impl<K: Clone + Eq + Hash, T> Drop for Inner<K, T> {
    fn drop(&mut self) {
        // Idle items give back what they have of a shared limit; nothing else is left.
        let mut after = Aftermath::default();
        self.table.get_mut().close(&mut after);
        self.wake_driver();
    }
}

impl<K: Clone + Eq + Hash, T> Clone for Pool<K, T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<K: Clone + Eq + Hash, T> fmt::Debug for Pool<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("in_use", &self.in_use())
            .field("idle", &self.idle())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
