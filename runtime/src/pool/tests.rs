//! The pool by hand: every future is polled by the test, the clock is paused.

use std::pin::{Pin, pin};

use super::*;
use crate::sync::testing::{Wakes, random};

const SECOND: Duration = Duration::from_secs(1);

type Numbers = Pool<&'static str, u32>;

/// A pool with its clock, and a waker that counts.
struct Bench {
    timers: Timers,
    pool: Numbers,
    wakes: Wakes,
}

impl Bench {
    fn new(config: PoolConfig) -> Self {
        let timers = Timers::new();
        timers.pause();
        Self { pool: Pool::new(&timers, config), timers, wakes: Wakes::new() }
    }

    fn with_limit(limit: usize, limit_per_key: usize) -> Self {
        Self::new(PoolConfig { limit, limit_per_key, ..PoolConfig::default() })
    }

    fn acquire(&self, key: &'static str) -> Acquire<&'static str, u32> {
        self.pool.acquire(&key, AcquireOptions::default())
    }

    fn acquire_at(&self, key: &'static str, priority: Priority) -> Acquire<&'static str, u32> {
        self.pool.acquire(&key, AcquireOptions { priority, until: None })
    }

    /// A place that has to be there; its item, if it has one.
    fn now(&self, acquire: &mut Acquire<&'static str, u32>) -> Place<&'static str, u32> {
        match self.wakes.poll(acquire) {
            Poll::Ready(Ok(place)) => place,
            other => panic!("no place: {other:?}"),
        }
    }

    /// A place at once, filled with `number` if it is empty.
    fn place(&self, key: &'static str, number: u32) -> Place<&'static str, u32> {
        let mut place = self.now(&mut self.acquire(key));
        if place.item().is_none() {
            place.fill(number);
        }
        place
    }

    /// As many places of a key in line.
    fn line<const N: usize>(&self, key: &'static str) -> [Acquire<&'static str, u32>; N] {
        let line = std::array::from_fn(|_| self.acquire(key));
        line.map(|mut acquire| {
            assert!(self.wakes.poll(&mut acquire).is_pending());
            acquire
        })
    }

    fn waits(&self, acquire: &mut Acquire<&'static str, u32>) -> bool {
        self.wakes.poll(acquire).is_pending()
    }

    fn counts(&self) -> (usize, usize, usize) {
        self.pool.0.table.borrow().check(&self.pool.0.config);
        (self.pool.in_use(), self.pool.idle(), self.pool.waiting())
    }
}

#[test]
fn items_are_used_again_the_last_one_first_or_the_first_one() {
    for (order, expected) in [(ReuseOrder::Lifo, [3, 2, 1]), (ReuseOrder::Fifo, [1, 2, 3])] {
        let bench = Bench::new(PoolConfig { order, ..PoolConfig::default() });
        let places = [1, 2, 3].map(|number| bench.place("a", number));
        assert_eq!(bench.counts(), (3, 0, 0));
        places.into_iter().for_each(Place::give_back);
        assert_eq!(bench.counts(), (0, 3, 0));
        let again = [0; 3].map(|_| bench.place("a", 9));
        assert_eq!(again.map(|place| *place.item().unwrap()), expected);
        let stats = bench.pool.stats();
        assert_eq!((stats.acquired.get(), stats.reused.get(), stats.made.get()), (6, 3, 3));
    }
}

#[test]
fn those_who_wait_are_served_in_the_order_they_came() {
    let bench = Bench::with_limit(1, 0);
    let place = bench.place("a", 1);
    let [mut first, mut second, mut third] = bench.line("a");
    assert_eq!(bench.counts(), (1, 0, 3));
    place.give_back();
    assert_eq!(bench.wakes.count(), 1);
    assert!(bench.waits(&mut second));
    assert!(bench.pool.try_acquire(&"a").unwrap().is_none(), "nobody slips in");
    let place = bench.now(&mut first);
    assert_eq!(place.item(), Some(&1), "handed over");
    drop(place);
    let place = bench.now(&mut second);
    assert_eq!(place.item(), None, "the item was dropped, its place is free");
    assert!(bench.waits(&mut third));
    drop(place);
    drop(bench.now(&mut third));
    assert_eq!(bench.counts(), (0, 0, 0));
    assert_eq!(bench.pool.stats().unmade.get(), 2);
}

#[test]
fn a_key_at_its_limit_does_not_hold_up_others() {
    let bench = Bench::with_limit(3, 1);
    let a = bench.place("a", 1);
    let [mut waits] = bench.line("a");
    let b = bench.place("b", 2);
    assert!(bench.waits(&mut waits));
    drop(b);
    assert!(bench.waits(&mut waits), "room for others is none for this key");
    drop(a);
    drop(bench.now(&mut waits));
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn an_idle_item_makes_room_for_another_key() {
    let bench = Bench::with_limit(2, 0);
    bench.place("a", 1).give_back();
    bench.timers.advance(SECOND);
    bench.place("b", 2).give_back();
    let place = bench.place("c", 3);
    assert_eq!(bench.pool.counts_of(&"a"), (0, 0), "the one that was idle for longest");
    assert_eq!(bench.pool.counts_of(&"b"), (1, 0));
    assert_eq!(bench.pool.stats().replaced.get(), 1);
    drop(place);
    assert_eq!(bench.counts(), (0, 1, 0));
}

#[test]
fn a_higher_priority_goes_first() {
    let bench = Bench::with_limit(1, 0);
    let place = bench.place("a", 1);
    let mut low = bench.acquire_at("a", Priority::Low);
    let mut normal = bench.acquire_at("b", Priority::Normal);
    let mut high = bench.acquire_at("a", Priority::High);
    for acquire in [&mut low, &mut normal, &mut high] {
        assert!(bench.waits(acquire));
    }
    place.give_back();
    let place = bench.now(&mut high);
    place.give_back();
    assert!(bench.waits(&mut low), "it could use the item, but comes last");
    let place = bench.now(&mut normal);
    assert_eq!(place.item(), None);
    drop(place);
    drop(bench.now(&mut low));
}

#[test]
fn who_came_first_is_passed_over_a_few_times_for_the_sake_of_an_item() {
    let bench = Bench::with_limit(1, 0);
    let mut place = bench.place("a", 1);
    let [mut other] = bench.line("b");
    for turn in 0..8 {
        let [mut next] = bench.line("a");
        place.give_back();
        place = bench.now(&mut next);
        assert_eq!(place.item(), Some(&1), "turn {turn}");
        assert!(bench.waits(&mut other));
    }
    let [mut next] = bench.line("a");
    place.give_back();
    assert!(bench.waits(&mut next));
    let place = bench.now(&mut other);
    assert_eq!(place.item(), None);
    drop(place);
    assert_eq!(bench.now(&mut next).item(), None);
}

#[test]
fn who_goes_away_takes_nothing_along() {
    let bench = Bench::with_limit(1, 0);
    let place = bench.place("a", 1);
    let [first, second, third, mut fourth] = bench.line("a");
    drop(second);
    assert_eq!(bench.counts(), (1, 0, 3));
    place.give_back();
    // The first was given the item and has not come for it.
    drop(first);
    assert_eq!(bench.counts(), (1, 0, 1));
    drop(third);
    let place = bench.now(&mut fourth);
    assert_eq!(place.item(), Some(&1));
    let [fifth, mut sixth] = bench.line("b");
    drop(place);
    // The fifth was given room.
    drop(fifth);
    assert_eq!(bench.now(&mut sixth).item(), None);
    drop(bench.acquire("a"));
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn an_item_that_nobody_came_for_is_idle_again() {
    let bench = Bench::with_limit(1, 0);
    let place = bench.place("a", 1);
    let [waits] = bench.line("a");
    place.give_back();
    drop(waits);
    assert_eq!(bench.counts(), (0, 1, 0));
    assert_eq!(bench.place("a", 2).item(), Some(&1));
}

#[test]
fn an_item_that_nobody_came_for_has_no_more_time_than_before() {
    let bench = Bench::with_limit(1, 0);
    let place = bench.place("a", 1);
    let [waits] = bench.line("a");
    place.give_back_within(SECOND);
    drop(waits);
    assert_eq!(bench.counts(), (0, 1, 0));
    bench.timers.advance(SECOND);
    assert_eq!(bench.place("a", 2).item(), Some(&2));
}

#[test]
fn a_wait_has_an_end() {
    let bench = Bench::with_limit(1, 0);
    let place = bench.place("a", 1);
    let until = Some(bench.timers.now() + SECOND);
    let mut late = bench.pool.acquire(&"a", AcquireOptions { until, ..Default::default() });
    let [mut next] = bench.line("a");
    assert!(bench.waits(&mut late));
    bench.timers.advance(SECOND);
    assert_eq!(bench.wakes.count(), 1);
    assert!(matches!(bench.wakes.poll(&mut late), Poll::Ready(Err(PoolError::Timeout))));
    assert_eq!(bench.counts(), (1, 0, 1));
    place.give_back();
    assert_eq!(bench.now(&mut next).item(), Some(&1));
    assert_eq!(bench.pool.stats().timeouts.get(), 1);
    assert_eq!(bench.pool.stats().waited.get(), SECOND);
}

#[test]
fn the_line_has_an_end_too() {
    let bench = Bench::new(PoolConfig { limit: 1, waiting_max: 2, ..PoolConfig::default() });
    let _place = bench.place("a", 1);
    let _line: [_; 2] = bench.line("a");
    assert!(matches!(bench.wakes.poll(&mut bench.acquire("a")), Poll::Ready(Err(PoolError::Full))));
    assert_eq!((bench.pool.stats().refused.get(), bench.counts()), (1, (1, 0, 2)));
}

/// Polls the task of a pool.
fn drive(bench: &Bench, driver: &mut Pin<Box<impl Future<Output = ()>>>) -> bool {
    driver.as_mut().poll(&mut Context::from_waker(&bench.wakes.waker())).is_ready()
}

#[test]
fn idle_items_go_when_their_time_is_over() {
    let bench = Bench::new(PoolConfig { idle_timeout: 10 * SECOND, ..PoolConfig::default() });
    let mut driver = Box::pin(bench.pool.drive(|_, _, _| true));
    assert!(!drive(&bench, &mut driver));
    let places = [1, 2, 3].map(|number| bench.place("a", number));
    let mut idle_for = [None, Some(2 * SECOND), Some(60 * SECOND)].into_iter();
    for place in places {
        match idle_for.next().flatten() {
            None => place.give_back(),
            Some(idle_for) => place.give_back_within(idle_for),
        }
    }
    for (after, left) in [(1, 3), (1, 2), (7, 2), (1, 0)] {
        let before = bench.wakes.count();
        bench.timers.advance(after * SECOND);
        if bench.wakes.count() > before {
            assert!(!drive(&bench, &mut driver));
        }
        assert_eq!(bench.pool.idle(), left);
    }
    assert_eq!(bench.pool.stats().expired.get(), 3);
    // Without its task an item is not given out late, either.
    bench.place("a", 1).give_back();
    bench.timers.advance(10 * SECOND);
    assert_eq!(bench.now(&mut bench.acquire("a")).item(), None);
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn items_get_old_each_at_its_own_time() {
    let bench = Bench::new(PoolConfig { age_max: Some(100 * SECOND), ..PoolConfig::default() });
    let mut driver = Box::pin(bench.pool.drive(|_, _, _| true));
    let mut places: Vec<_> = (0..50).map(|number| bench.place("a", number)).collect();
    bench.timers.advance(89 * SECOND);
    places.pop().unwrap().give_back();
    assert_eq!(bench.pool.idle(), 1);
    bench.timers.advance(SECOND + SECOND / 2);
    let mut left = Vec::new();
    for _ in 0..9 {
        bench.timers.advance(SECOND);
        assert!(!drive(&bench, &mut driver));
        let place = places.pop().unwrap();
        place.give_back();
        left.push(bench.pool.idle());
    }
    bench.timers.advance(SECOND);
    places.into_iter().for_each(Place::give_back);
    assert!(!drive(&bench, &mut driver));
    assert_eq!(bench.counts(), (0, 0, 0), "{left:?}");
    assert_eq!(bench.pool.stats().old.get(), 50);
}

#[test]
fn what_is_not_worth_keeping_goes() {
    let bench = Bench::with_limit(9, 0);
    let mut driver = Box::pin(bench.pool.drive(|_, key, number: &mut u32| *key == "a" && *number != 2));
    let [one, two, other] = [("a", 1), ("a", 2), ("b", 1)].map(|(key, number)| bench.place(key, number));
    for place in [one, two, other] {
        place.give_back();
    }
    assert!(!drive(&bench, &mut driver));
    assert_eq!((bench.counts(), bench.pool.counts_of(&"a")), ((0, 1, 0), (1, 0)));
}

#[test]
fn no_more_than_so_many_are_kept_idle() {
    let bench = Bench::new(PoolConfig { idle_max: Some(2), ..PoolConfig::default() });
    let places = [1, 2, 3].map(|number| bench.place("a", number));
    places.into_iter().for_each(Place::give_back);
    assert_eq!(bench.counts(), (0, 2, 0));
    assert_eq!(bench.place("a", 9).item(), Some(&3));
    let bench = Bench::new(PoolConfig { idle_timeout: Duration::ZERO, ..PoolConfig::default() });
    bench.place("a", 1).give_back();
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn an_unfit_item_is_replaced_by_the_next() {
    let bench = Bench::with_limit(3, 0);
    let places = [1, 2].map(|number| bench.place("a", number));
    places.into_iter().for_each(Place::give_back);
    let mut place = bench.place("a", 9);
    assert_eq!(place.item(), Some(&2));
    assert!(place.replace());
    assert_eq!((place.item(), bench.counts()), (Some(&1), (1, 0, 0)));
    assert!(!place.replace());
    assert_eq!((place.item(), bench.counts()), (None, (1, 0, 0)));
    place.fill(3);
    place.give_back();
    assert_eq!(bench.counts(), (0, 1, 0));
}

#[test]
fn an_item_whose_time_is_over_replaces_none() {
    let bench = Bench::with_limit(3, 0);
    let [short, long] = [1, 2].map(|number| bench.place("a", number));
    short.give_back_within(SECOND);
    long.give_back();
    bench.timers.advance(SECOND);
    let mut place = bench.place("a", 9);
    assert_eq!(place.item(), Some(&2));
    assert!(!place.replace());
    assert_eq!((place.item(), bench.counts()), (None, (1, 0, 0)));
    assert_eq!(bench.pool.stats().expired.get(), 1);
}

#[test]
fn a_closed_pool_tells_when_the_last_place_is_back() {
    let bench = Bench::with_limit(1, 0);
    let place = bench.place("a", 1);
    let [waits] = bench.line("a");
    // The next in line is given the room, and does not come for it.
    drop(place);
    bench.pool.close();
    let mut ended = Box::pin(bench.pool.ended());
    assert!(bench.wakes.poll(&mut ended).is_pending());
    let woken = bench.wakes.count();
    drop(waits);
    assert_eq!(bench.wakes.count(), woken + 1);
    assert!(bench.wakes.poll(&mut ended).is_ready());
}

#[test]
fn a_closed_pool_gives_nothing_and_keeps_nothing() {
    let bench = Bench::with_limit(2, 0);
    let mut driver = Box::pin(bench.pool.drive(|_, _, _| true));
    assert!(!drive(&bench, &mut driver));
    let (out, given_back) = (bench.place("a", 1), bench.place("a", 2));
    let [mut waits, mut served] = bench.line("a");
    bench.pool.close();
    drop(given_back);
    assert!(matches!(bench.wakes.poll(&mut waits), Poll::Ready(Err(PoolError::Closed))));
    assert!(matches!(bench.wakes.poll(&mut served), Poll::Ready(Err(PoolError::Closed))));
    assert!(matches!(bench.wakes.poll(&mut bench.acquire("b")), Poll::Ready(Err(PoolError::Closed))));
    assert!(drive(&bench, &mut driver), "its task ends");
    out.give_back();
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn the_task_ends_with_the_last_handle() {
    let bench = Bench::with_limit(2, 0);
    let mut driver = Box::pin(bench.pool.drive(|_, _, _| true));
    assert!(!drive(&bench, &mut driver));
    let Bench { pool, wakes, .. } = bench;
    let before = wakes.count();
    drop(pool);
    assert_eq!(wakes.count(), before + 1);
    assert!(driver.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn a_guard_is_used_like_its_item_and_a_failed_maker_lets_the_next_try() {
    let bench = Bench::with_limit(1, 0);
    let fails = pin!(bench.pool.get(&"a", async || Err("broken")));
    let mut fails = fails;
    assert!(matches!(bench.wakes.poll(&mut fails), Poll::Ready(Err(GetError::Make("broken")))));
    {
        // Dropped while it makes one: the next who waits may.
        let mut stuck = Box::pin(bench.pool.get(&"a", std::future::pending::<Result<u32, &str>>));
        assert!(bench.wakes.poll(&mut stuck).is_pending());
        let mut next = Box::pin(bench.pool.get(&"a", async || Ok::<_, &str>(4)));
        assert!(bench.wakes.poll(&mut next).is_pending());
        drop(stuck);
        let Poll::Ready(Ok(mut guard)) = bench.wakes.poll(&mut next) else { panic!("it is its turn") };
        *guard += 1;
    }
    assert_eq!(bench.counts(), (0, 1, 0));
    let mut again = Box::pin(bench.pool.get(&"a", async || Ok::<_, &str>(0)));
    let Poll::Ready(Ok(guard)) = bench.wakes.poll(&mut again) else { panic!("it is idle") };
    assert_eq!(*guard, 5);
    guard.discard();
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn cores_share_a_limit_and_give_up_idle_items_for_each_other() {
    let limit = SharedLimit::new(2);
    let config = PoolConfig { shared_limit: Some(limit.clone()), ..PoolConfig::default() };
    let (here, there) = (Bench::new(config.clone()), Bench::new(config));
    let mut drivers = [&here, &there].map(|bench| Box::pin(bench.pool.drive(|_, _, _| true)));
    assert!(!drive(&here, &mut drivers[0]) && !drive(&there, &mut drivers[1]));
    let out = here.place("a", 1);
    here.place("a", 2).give_back();
    assert_eq!(limit.used(), 2);

    // The idle one goes for a place elsewhere, and who waits there is told.
    let mut waits = there.acquire("b");
    assert!(there.waits(&mut waits));
    assert!(here.wakes.count() > 0);
    assert!(!drive(&here, &mut drivers[0]));
    assert_eq!(here.counts(), (1, 0, 0));
    assert!(there.wakes.count() > 0);
    assert!(!drive(&there, &mut drivers[1]));
    let mut place = there.now(&mut waits);
    place.fill(3);
    assert_eq!(limit.used(), 2);

    // None is idle: it waits until one comes back.
    let mut waits = there.acquire("b");
    assert!(there.waits(&mut waits));
    assert!(!drive(&here, &mut drivers[0]) && !drive(&there, &mut drivers[1]));
    assert!(there.waits(&mut waits));
    drop(out);
    assert!(!drive(&there, &mut drivers[1]));
    let second = there.now(&mut waits);
    drop((second, place));
    assert_eq!(limit.used(), 0);

    // Whoever wants goes away: nobody is asked to give any more.
    let out = [here.place("a", 1), here.place("a", 2)];
    let mut waits = there.acquire("b");
    assert!(there.waits(&mut waits));
    assert!(!drive(&here, &mut drivers[0]));
    drop(waits);
    out.into_iter().for_each(Place::give_back);
    assert!(!drive(&here, &mut drivers[0]));
    assert_eq!(here.counts(), (0, 2, 0));
    drop((drivers, here, there));
    assert_eq!(limit.used(), 0);
}

#[test]
fn no_more_is_given_up_for_others_than_they_lack() {
    let limit = SharedLimit::new(3);
    let config = PoolConfig { shared_limit: Some(limit.clone()), ..PoolConfig::default() };
    let (here, there) = (Bench::new(config.clone()), Bench::new(config));
    let mut drivers = [&here, &there].map(|bench| Box::pin(bench.pool.drive(|_, _, _| true)));
    assert!(!drive(&here, &mut drivers[0]) && !drive(&there, &mut drivers[1]));
    let items = [1, 2, 3].map(|number| here.place("a", number));
    items.into_iter().for_each(Place::give_back);

    let mut waits = [there.acquire("b"), there.acquire("b")];
    assert!(there.waits(&mut waits[0]) && there.waits(&mut waits[1]));
    for _ in 0..3 {
        assert!(!drive(&here, &mut drivers[0]));
        assert_eq!((here.counts(), limit.used()), ((0, 2, 0), 2), "one goes, and is not taken yet");
    }
    assert!(!drive(&there, &mut drivers[1]));
    let first = there.now(&mut waits[0]);
    assert!(there.waits(&mut waits[1]));
    let before = here.wakes.count();
    assert!(!drive(&here, &mut drivers[0]));
    assert_eq!((here.counts(), limit.used()), ((0, 1, 0), 2), "another one, for the next in line");
    assert!(here.wakes.count() > before && !drive(&there, &mut drivers[1]));
    let second = there.now(&mut waits[1]);

    // A newcomer is quicker than who waits: its pool is asked again, and if it has none idle, for what it gets back.
    for is_asked_first in [false, true] {
        let mut late = there.acquire("b");
        assert!(there.waits(&mut late));
        assert!(!drive(&here, &mut drivers[0]) && !drive(&here, &mut drivers[0]));
        let before = here.wakes.count();
        let newcomer = here.place("c", 4);
        assert!(here.wakes.count() > before && there.waits(&mut late));
        if is_asked_first {
            assert!(!drive(&here, &mut drivers[0]));
            newcomer.give_back();
        } else {
            newcomer.give_back();
            assert!(!drive(&here, &mut drivers[0]));
        }
        assert!(!drive(&there, &mut drivers[1]));
        drop(there.now(&mut late));
        assert_eq!((here.counts(), there.counts()), ((0, 0, 0), (2, 0, 0)));
        here.place("a", 5).give_back();
        assert_eq!(here.counts(), (0, 1, 0), "nobody asks for it any more");
    }
    drop((first, second, drivers, here, there));
    assert_eq!(limit.used(), 0);
}

#[test]
fn a_limit_of_use_holds_up_its_key_and_changes_while_places_are_out() {
    let bench = Bench::with_limit(10, 0);
    bench.pool.set_in_use_max(&"a", Some(2));
    let mut held = vec![bench.place("a", 1), bench.place("a", 2)];
    let [mut first, mut second, mut third] = bench.line("a");
    assert_eq!((bench.counts(), bench.pool.use_of(&"a")), ((2, 0, 3), (2, 3)));
    drop(bench.place("b", 9));
    bench.pool.set_in_use_max(&"a", Some(3));
    let mut place = bench.now(&mut first);
    assert_eq!(place.item(), None);
    place.fill(3);
    held.push(place);

    // Less than are out: what comes back is kept idle, although somebody waits.
    bench.pool.set_in_use_max(&"a", Some(1));
    held.pop().expect("three").give_back();
    held.pop().expect("two").give_back();
    assert!(bench.waits(&mut second));
    assert_eq!((bench.counts(), bench.pool.counts_of(&"a")), ((1, 2, 2), (2, 1)));
    assert!(bench.pool.try_acquire(&"a").expect("it is open").is_none(), "nobody slips in");
    drop(held.pop().expect("one"));
    let place = bench.now(&mut second);
    assert_eq!(place.item(), Some(&2), "the one that was idle, given back last");
    place.give_back();
    let place = bench.now(&mut third);
    assert_eq!((place.item(), bench.counts()), (Some(&2), (1, 1, 0)));

    // None at all, and none again.
    bench.pool.set_in_use_max(&"a", Some(0));
    place.give_back();
    let [mut waits] = bench.line("a");
    bench.pool.set_in_use_max(&"a", None);
    drop(bench.now(&mut waits));
    assert_eq!(bench.pool.counts_of(&"a"), (1, 0));
}

#[test]
fn an_item_that_is_kept_idle_by_a_limit_of_use_is_not_given_too_late() {
    let bench = Bench::with_limit(2, 0);
    let place = bench.place("a", 1);
    bench.pool.set_in_use_max(&"a", Some(0));
    let [mut waits] = bench.line("a");
    place.give_back_within(SECOND);
    assert_eq!(bench.counts(), (0, 1, 1));
    bench.timers.advance(SECOND);
    bench.pool.set_in_use_max(&"a", None);
    assert_eq!(bench.now(&mut waits).item(), None);
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn an_item_that_is_kept_idle_by_a_limit_of_use_makes_room_for_another_key() {
    let bench = Bench::with_limit(2, 0);
    let places = [bench.place("a", 1), bench.place("a", 2)];
    let [mut first, mut second] = bench.line("a");
    bench.pool.set_in_use_max(&"a", Some(1));
    places.into_iter().for_each(Place::give_back);
    let place = bench.now(&mut first);
    assert_eq!((place.item(), bench.counts()), (Some(&2), (1, 1, 1)));
    let other = bench.place("b", 3);
    assert_eq!(bench.counts(), (2, 0, 1));
    bench.pool.set_in_use_max(&"a", Some(2));
    assert!(bench.waits(&mut second), "now the pool is full");
    drop(other);
    drop((bench.now(&mut second), place));
    bench.pool.set_in_use_max(&"a", None);
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn what_is_set_aside_counts_for_the_other_limits_only() {
    let bench = Bench::with_limit(3, 2);
    bench.pool.set_in_use_max(&"a", Some(1));
    let mut long = bench.place("a", 1);
    let [mut waits] = bench.line("a");
    long.set_aside();
    long.set_aside();
    let place = bench.now(&mut waits);
    assert_eq!((bench.counts(), bench.pool.use_of(&"a"), place.in_use_of_key()), ((2, 0, 0), (1, 0), 1));
    bench.pool.set_in_use_max(&"a", Some(9));
    let [mut waits] = bench.line("a");
    drop(long);
    drop((bench.now(&mut waits), place));
    assert_eq!(bench.counts(), (0, 0, 0));

    // It comes back like any: to who waits, or to be idle.
    bench.pool.set_in_use_max(&"a", Some(1));
    let (mut aside, other) = (bench.place("a", 1), bench.line("a"));
    aside.set_aside();
    let [mut first] = other;
    let place = bench.now(&mut first);
    let [mut second] = bench.line("a");
    aside.give_back();
    assert!(bench.waits(&mut second), "one is out already");
    assert_eq!(bench.counts(), (1, 1, 1));
    drop(place);
    drop(bench.now(&mut second));
    bench.pool.set_in_use_max(&"a", None);
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn who_waits_for_a_limit_of_use_has_a_time_and_may_go_away() {
    let bench = Bench::with_limit(9, 0);
    bench.pool.set_in_use_max(&"a", Some(1));
    let place = bench.place("a", 1);
    let until = Some(bench.timers.now() + SECOND);
    let mut late = bench.pool.acquire(&"a", AcquireOptions { until, ..Default::default() });
    assert!(bench.waits(&mut late));
    let [first, mut second] = bench.line("a");
    bench.timers.advance(SECOND);
    assert!(matches!(bench.wakes.poll(&mut late), Poll::Ready(Err(PoolError::Timeout))));
    place.give_back();
    // It was given the item, and goes away.
    drop(first);
    drop(bench.now(&mut second));
    bench.pool.set_in_use_max(&"a", None);
    assert_eq!(bench.counts(), (0, 0, 0));
}

/// Whatever is asked for, polled, given back, dropped and closed in whatever order: the books are right, nobody waits
/// beside room, and nothing is lost.
#[test]
fn places_are_conserved() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    for (limit, limit_per_key, order, limits_use) in [
        (3, 2, ReuseOrder::Lifo, false),
        (4, 0, ReuseOrder::Fifo, false),
        (5, 1, ReuseOrder::Lifo, false),
        (5, 0, ReuseOrder::Lifo, true),
        (4, 3, ReuseOrder::Fifo, true),
    ] {
        let config = PoolConfig {
            limit,
            limit_per_key,
            order,
            idle_max: Some(2),
            idle_timeout: 5 * SECOND,
            age_max: Some(20 * SECOND),
            ..PoolConfig::default()
        };
        let bench = Bench::new(config);
        let mut driver = Box::pin(bench.pool.drive(|_, _, number: &mut u32| !number.is_multiple_of(7)));
        let mut state = 0x5eed_0000_0000_0001 + limit as u64;
        let (mut waiting, mut held, mut served) = (Vec::new(), Vec::new(), 0);
        for step in 0..50_000_u32 {
            let key = KEYS[random(&mut state, KEYS.len())];
            match random(&mut state, 8) {
                0 | 1 if waiting.len() < 8 => {
                    let priority = [Priority::High, Priority::Normal, Priority::Low][random(&mut state, 3)];
                    waiting.push(bench.acquire_at(key, priority));
                }
                2 | 3 if !waiting.is_empty() => {
                    let chosen = random(&mut state, waiting.len());
                    if let Poll::Ready(place) = bench.wakes.poll(&mut waiting[chosen]) {
                        held.push(place.expect("it is open"));
                        drop(waiting.swap_remove(chosen));
                        served += 1;
                    }
                }
                4 if !waiting.is_empty() && random(&mut state, 3) == 0 => {
                    drop(waiting.swap_remove(random(&mut state, waiting.len())));
                }
                5 | 6 if !held.is_empty() => {
                    let mut place: Place<_, _> = held.swap_remove(random(&mut state, held.len()));
                    match random(&mut state, 8) {
                        0 => drop(place),
                        1 => drop(place.replace()),
                        2 => {
                            place.set_aside();
                            place.take();
                        }
                        3 => {
                            place.set_aside();
                            held.push(place);
                        }
                        _ => {
                            if place.item().is_none() {
                                place.fill(step);
                            }
                            place.give_back();
                        }
                    }
                }
                7 if limits_use && random(&mut state, 2) == 0 => {
                    let in_use_max = [None, Some(0), Some(1), Some(2)][random(&mut state, 4)];
                    bench.pool.set_in_use_max(&key, in_use_max);
                }
                7 if random(&mut state, 4) == 0 => {
                    bench.timers.advance(SECOND);
                    assert!(!drive(&bench, &mut driver));
                }
                _ => {}
            }
            let (in_use, idle, _) = bench.counts();
            assert!(in_use + idle <= limit);
        }
        assert!(served > 3_000, "{served}");
        drop((waiting, held));
        KEYS.iter().for_each(|key| bench.pool.set_in_use_max(key, None));
        bench.timers.advance(60 * SECOND);
        assert!(!drive(&bench, &mut driver));
        assert_eq!(bench.counts(), (0, 0, 0));
    }
}
