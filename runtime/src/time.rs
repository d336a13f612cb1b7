//! Time on one core: a coarse clock, the `Date` of the second, and one wheel for all deadlines.
//!
//! A deadline is a cell. Setting it is a store; its entry in the wheel stays where it is and is looked at when its slot
//! comes up: then it fires, or moves to where the cell says. So a connection that sets its deadline at every request
//! touches the wheel once per deadline, not once per request, and the ring has one timer per core at the most.
#![forbid(unsafe_code)]

mod wheel;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use self::wheel::{Index, NEVER, NONE, Wheel};

/// A point on a core's clock, in whole milliseconds.
///
/// The clock is coarse: it lags behind the real one by up to the kernel's tick, 1 to 10 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(
    /// One more than the milliseconds, so that an `Option` takes no more room: connections keep many.
    NonZeroU64,
);

const _: () = assert!(size_of::<Option<Instant>>() == size_of::<u64>());

impl Instant {
    /// The point so many milliseconds behind the clock's zero.
    const fn from_millis(millis: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(millis))
    }

    const fn millis(self) -> u64 {
        self.0.get() - 1
    }
}

impl Default for Instant {
    /// The clock's zero.
    fn default() -> Self {
        Self::from_millis(0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// The point `after` later, rounded up to the next millisecond.
    fn add(self, after: Duration) -> Self {
        // As nanoseconds they would be 128 bits, which are slow to divide.
        let of_rest = u64::from(after.subsec_nanos().div_ceil(1_000_000));
        let millis = after.as_secs().saturating_mul(1000).saturating_add(of_rest);
        Self::from_millis(self.millis().saturating_add(millis).min(LATEST))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The time from `earlier` on; zero if it is later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(earlier.millis()))
    }
}

/// The clock and the deadlines of one core. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Timers(Rc<Inner>);

struct Inner {
    wheel: RefCell<Wheel>,
    /// While paused, the clock stands here.
    paused_at: Cell<Option<Instant>>,
    /// And the date there, since 1970.
    paused_date: Cell<Duration>,
    /// Up to here deadlines have fired, by the exact clock. The coarse one may not be there yet.
    reached: Cell<Instant>,
    date: RefCell<Date>,
    /// The task that waits for the next expiry, and what it waits for.
    driver: RefCell<Option<Waker>>,
    driver_until: Cell<u64>,
    ended: Cell<bool>,
}

/// The date of one second, ready to be sent.
struct Date {
    second: u64,
    text: [u8; DATE_BYTES],
}

/// Bytes of an IMF-fixdate (RFC 9110 §5.6.7), as in `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const DATE_BYTES: usize = 29;

/// The last point that can be set.
const LATEST: u64 = NEVER - 1;

thread_local! {
    static CURRENT: RefCell<Option<Timers>> = const { RefCell::new(None) };
}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

impl Timers {
    /// A wheel with nothing in it, on the running clock.
    #[must_use]
    pub fn new() -> Self {
        Self(Rc::new(Inner {
            wheel: RefCell::new(Wheel::new(coarse_now().millis())),
            paused_at: Cell::new(None),
            paused_date: Cell::new(Duration::ZERO),
            reached: Cell::new(Instant::default()),
            date: RefCell::new(Date { second: u64::MAX, text: [b' '; DATE_BYTES] }),
            driver: RefCell::new(None),
            driver_until: Cell::new(NEVER),
            ended: Cell::new(false),
        }))
    }

    /// The coarse time: one read of the kernel's tick, a few nanoseconds.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.paused_at.get().unwrap_or_else(|| coarse_now().max(self.0.reached.get()))
    }

    /// The exact time.
    fn exact_now(&self) -> Duration {
        match self.0.paused_at.get() {
            Some(paused) => Duration::from_millis(paused.millis()),
            None => since_zero(ClockId::CLOCK_MONOTONIC),
        }
    }

    /// The seconds since 1970 until now: when they change, so does [`date`](Self::date).
    #[must_use]
    pub fn second(&self) -> u64 {
        let paused = self.0.paused_at.get().map(|_| self.0.paused_date.get());
        paused.unwrap_or_else(|| since_zero(ClockId::CLOCK_REALTIME_COARSE)).as_secs()
    }

    /// The `Date` of now (RFC 9110 §6.6.1), formatted once a second.
    #[must_use]
    pub fn date(&self) -> [u8; DATE_BYTES] {
        let second = self.second();
        let mut date = self.0.date.borrow_mut();
        if date.second != second {
            date.second = second;
            date.text = format_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        date.text
    }

    /// Makes a deadline that is not set.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline { timers: self.clone(), entry: Cell::new(NONE) }
    }

    /// Waits for `after`, measured by the exact clock: not less, and 1 to 2 ms more.
    ///
    /// # Cancellation
    /// The wait is over; nothing else happens.
    pub async fn sleep(&self, after: Duration) {
        self.sleep_until(Instant::default() + self.exact_now().saturating_add(after)).await;
    }

    /// Waits until `at`.
    ///
    /// # Cancellation
    /// The wait is over; nothing else happens.
    pub async fn sleep_until(&self, at: Instant) {
        let deadline = self.deadline();
        deadline.set_at(at);
        poll_fn(|cx| deadline.poll_expired(cx)).await;
    }

    /// Waits for `future`, but no longer than `limit`.
    ///
    /// # Errors
    /// [`Elapsed`] when the time is over; `future` is dropped then.
    ///
    /// # Cancellation
    /// `future` is dropped.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        let deadline = self.deadline();
        deadline.set_at(Instant::default() + self.exact_now().saturating_add(limit));
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => deadline.poll_expired(cx).map(|()| Err(Elapsed)),
        })
        .await
    }

    /// Stops the clock, for tests: it moves by [`advance`](Self::advance) only.
    pub fn pause(&self) {
        self.0.paused_date.set(since_zero(ClockId::CLOCK_REALTIME_COARSE));
        self.0.paused_at.set(Some(self.now()));
    }

    /// Moves a paused clock, and fires what is due on the way, in order.
    ///
    /// # Panics
    /// If the clock is not paused.
    pub fn advance(&self, by: Duration) {
        let now = self.0.paused_at.get().expect("only a paused clock is moved by hand");
        self.0.paused_date.set(self.0.paused_date.get() + by);
        self.0.paused_at.set(Some(now + by));
        self.fire();
    }

    /// Fires what is due and then sleeps until the next expiry, until the core ends. Each core runs it as a task; it
    /// costs nothing while nothing is set.
    ///
    /// # Cancellation
    /// Deadlines fire no more until it is called again.
    pub async fn drive(&self) {
        while !self.0.ended.get() {
            self.fire();
            let next = self.0.wheel.borrow().next_expiry().unwrap_or(NEVER);
            self.0.driver_until.set(next);
            let wait = Duration::from_millis(next).saturating_sub(self.exact_now());
            let sleeps = next != NEVER && self.0.paused_at.get().is_none();
            let mut sleep = pin!(async {
                if sleeps {
                    monoio::time::sleep(wait).await;
                } else {
                    std::future::pending::<()>().await;
                }
            });
            poll_fn(|cx| {
                if self.0.driver_until.get() != next {
                    return Poll::Ready(());
                }
                *self.0.driver.borrow_mut() = Some(cx.waker().clone());
                sleep.as_mut().poll(cx)
            })
            .await;
        }
    }

    /// Ends [`drive`](Self::drive), and leaves the thread without timers.
    pub(crate) fn leave(&self) {
        CURRENT.set(None);
        self.0.ended.set(true);
        self.due_at(0);
    }

    /// Makes these the timers that [`sleep`] and [`timeout`] use on this thread.
    pub fn enter(&self) {
        CURRENT.set(Some(self.clone()));
    }

    fn fire(&self) {
        let now = truncate(self.exact_now());
        self.0.reached.set(now);
        loop {
            let fired = self.0.wheel.borrow_mut().next_due(now.millis());
            match fired {
                Some(Some(waker)) => waker.wake(),
                Some(None) => {}
                None => return,
            }
        }
    }

    /// Lets the driver look again when something is due before it would.
    fn due_at(&self, at: u64) {
        if at < self.0.driver_until.get() {
            self.0.driver_until.set(at);
            if let Some(driver) = self.0.driver.borrow_mut().take() {
                driver.wake();
            }
        }
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("now", &self.now()).finish_non_exhaustive()
    }
}

/// A point in time that is moved cheaply, and whose passing wakes whoever waits for it. It fires once each time it is set.
pub struct Deadline {
    timers: Timers,
    /// Its place in the wheel, once it is set or waited for.
    entry: Cell<Index>,
}

impl Deadline {
    fn entry(&self) -> Index {
        if self.entry.get() == NONE {
            self.entry.set(self.timers.0.wheel.borrow_mut().insert());
        }
        self.entry.get()
    }

    /// The clock that it is on.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Sets the deadline to `after` from now, by the coarse clock: it may pass up to 10 ms early.
    pub fn set(&self, after: Duration) {
        self.set_at(self.timers.now() + after);
    }

    /// Sets the deadline; what it was set to before is forgotten, fired or not.
    pub fn set_at(&self, at: Instant) {
        let entry = self.entry();
        let queued = self.timers.0.wheel.borrow_mut().set(entry, at.millis());
        self.timers.due_at(queued);
    }

    /// Unsets the deadline.
    pub fn clear(&self) {
        if self.entry.get() != NONE {
            self.timers.0.wheel.borrow_mut().clear(self.entry.get());
        }
    }

    /// Unsets the deadline, forgets who waits for it, and gives its memory up until it is set again.
    pub fn release(&self) {
        let entry = self.entry.replace(NONE);
        if entry != NONE {
            let waker = self.timers.0.wheel.borrow_mut().remove(entry);
            // Dropped here, where the wheel is not borrowed: a waker may own anything.
            drop(waker);
        }
    }

    /// Ready when the deadline has passed since it was set last: once, then pending again until it is set anew.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub fn poll_expired(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (wheel, entry) = (&self.timers.0.wheel, self.entry());
        if wheel.borrow_mut().take_fired(entry) {
            return Poll::Ready(());
        }
        if !wheel.borrow().will_wake(entry, cx.waker()) {
            let waker = cx.waker().clone();
            let old = wheel.borrow_mut().set_waker(entry, waker);
            // As above.
            drop(old);
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").finish_non_exhaustive()
    }
}

/// The time was over before the future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over")
    }
}

impl std::error::Error for Elapsed {}

/// Waits for `after` on this core's timers: see [`Timers::sleep`].
///
/// # Panics
/// Outside a core.
///
/// # Cancellation
/// The wait is over; nothing else happens.
pub async fn sleep(after: Duration) {
    current().sleep(after).await;
}

/// Waits for `future`, but no longer than `limit`, on this core's timers: see [`Timers::timeout`].
///
/// # Errors
/// [`Elapsed`] when the time is over; `future` is dropped then.
///
/// # Panics
/// Outside a core.
///
/// # Cancellation
/// `future` is dropped.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    current().timeout(limit, future).await
}

fn current() -> Timers {
    CURRENT.with_borrow(Clone::clone).expect("called on a core: inside the closure given to `run`")
}

fn coarse_now() -> Instant {
    truncate(since_zero(ClockId::CLOCK_MONOTONIC_COARSE))
}

/// The last millisecond that has begun.
fn truncate(since_zero: Duration) -> Instant {
    let millis =
        since_zero.as_secs().saturating_mul(1000).saturating_add(u64::from(since_zero.subsec_millis()));
    Instant::from_millis(millis.min(LATEST))
}

fn since_zero(clock: ClockId) -> Duration {
    let now = clock_gettime(clock).expect("Linux has these clocks");
    Duration::new(u64::try_from(now.tv_sec()).unwrap_or(0), u32::try_from(now.tv_nsec()).unwrap_or(0))
}

fn format_date(time: SystemTime) -> [u8; DATE_BYTES] {
    let text = httpdate::fmt_http_date(time);
    text.as_bytes().try_into().expect("an IMF-fixdate has 29 bytes until the year 9999")
}

#[cfg(test)]
mod tests;
