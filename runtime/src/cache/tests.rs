//! The cache on a paused clock, its fills polled by hand: whoever goes away at whatever point, nobody hangs and no fill is
//! made twice.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use super::*;
use crate::sync::testing::{Wakes, random};

const SECOND: Duration = Duration::from_secs(1);

fn paused() -> Timers {
    let timers = Timers::new();
    timers.pause();
    timers
}

fn cache_of(timers: &Timers, change: impl FnOnce(&mut CacheConfig)) -> Cache<u32, u32, &'static str> {
    let mut config = CacheConfig::default();
    change(&mut config);
    Cache::new(timers, config)
}

/// A fill that waits until it is let go.
#[derive(Default)]
struct Gate {
    open: Cell<bool>,
    begun: Cell<u32>,
}

impl Gate {
    async fn pass<T>(&self, output: T) -> T {
        self.begun.set(self.begun.get() + 1);
        let mut output = Some(output);
        poll_fn(|_| if self.open.get() { Poll::Ready(output.take().unwrap()) } else { Poll::Pending }).await
    }
}

type Filling<'a> = Pin<Box<dyn Future<Output = Result<u32, Rc<&'static str>>> + 'a>>;

fn filling<'a>(
    cache: &'a Cache<u32, u32, &'static str>,
    gate: &'a Gate,
    output: Result<u32, &'static str>,
) -> Filling<'a> {
    Box::pin(cache.get_or_fill(1, async move || gate.pass(output).await))
}

#[test]
fn the_least_recently_used_goes_and_the_number_is_kept() {
    let cache = cache_of(&paused(), |config| config.entries_max = 3);
    for key in 0..3 {
        cache.insert(key, key);
    }
    assert_eq!(cache.get(&0), Some(0));
    cache.insert(3, 3);
    assert_eq!((cache.get(&1), cache.get(&0), cache.len()), (None, Some(0), 3));
    for key in 0..10_000 {
        cache.insert(key, key);
        assert!(cache.len() <= 3);
    }
    assert_eq!(cache.stats().evictions.get(), 1 + 10_000 - 3 + 2);
}

#[test]
fn weights_are_kept_and_what_is_too_heavy_is_not() {
    let mut config = CacheConfig::default();
    config.weight_max = Some(100);
    let cache: Cache<u32, String> =
        Cache::with_weigher(&paused(), config, |_, text: Option<&String>| text.map_or(0, String::len));
    for key in 0..50 {
        cache.insert(key, "x".repeat(30));
        assert!(cache.weight() <= 100);
    }
    assert_eq!((cache.len(), cache.weight()), (3, 90));
    cache.insert(49, "x".repeat(101));
    assert_eq!((cache.get(&49), cache.len()), (None, 2), "the old value is gone, the new one too heavy");
    cache.insert(48, String::new());
    assert_eq!(cache.weight(), 30);
    cache.clear();
    assert_eq!((cache.len(), cache.weight()), (0, 0));
}

#[test]
fn entries_live_as_long_as_they_should_and_not_longer() {
    let timers = paused();
    let cache = cache_of(&timers, |_| ());
    cache.insert(1, 1);
    cache.insert_for(2, 2, SECOND);
    cache.insert_for(3, 3, Duration::ZERO);
    assert_eq!((cache.get(&1), cache.get(&2), cache.get(&3)), (Some(1), Some(2), None));
    timers.advance(SECOND);
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(1), None));
    assert_eq!((cache.len(), cache.stats().expirations.get()), (1, 1));
    timers.advance(298 * SECOND);
    assert_eq!(cache.get(&1), Some(1), "use does not prolong life, and 300 s are not over");
    timers.advance(SECOND);
    assert_eq!((cache.remove(&1), cache.get(&1)), (None, None));
}

#[test]
fn one_fills_and_all_are_given_its_value() {
    let (cache, gate, wakes) = (cache_of(&paused(), |_| ()), Gate::default(), Wakes::new());
    let mut all: Vec<_> = (0..5).map(|number| filling(&cache, &gate, Ok(number))).collect();
    for one in &mut all {
        assert!(wakes.poll(one).is_pending());
    }
    gate.open.set(true);
    for one in &mut all {
        assert_eq!(wakes.poll(one), Poll::Ready(Ok(0)));
    }
    assert_eq!((gate.begun.get(), cache.get(&1)), (1, Some(0)));
    let stats = cache.stats();
    assert_eq!((stats.fills.get(), stats.shared.get(), stats.misses.get()), (1, 4, 5));
    assert_eq!(wakes.poll(&mut filling(&cache, &gate, Ok(9))), Poll::Ready(Ok(0)), "kept");
}

#[test]
fn a_failure_is_shared_and_forgotten_or_kept_for_its_time() {
    for (failure_ttl, begun_again) in [(Duration::ZERO, true), (SECOND, false)] {
        let (timers, gate, wakes) = (paused(), Gate::default(), Wakes::new());
        let cache = cache_of(&timers, |config| config.failure_ttl = failure_ttl);
        let (mut first, mut second) = (filling(&cache, &gate, Err("no")), filling(&cache, &gate, Ok(2)));
        assert!(wakes.poll(&mut first).is_pending() && wakes.poll(&mut second).is_pending());
        gate.open.set(true);
        assert_eq!(wakes.poll(&mut first), Poll::Ready(Err(Rc::new("no"))));
        assert_eq!(wakes.poll(&mut second), Poll::Ready(Err(Rc::new("no"))));
        assert_eq!(cache.get(&1), None, "a failure is no value");
        let third = wakes.poll(&mut filling(&cache, &gate, Ok(3)));
        assert_eq!(third.map(|third| third.ok()), Poll::Ready(begun_again.then_some(3)));
        timers.advance(SECOND);
        assert_eq!(wakes.poll(&mut filling(&cache, &gate, Ok(3))), Poll::Ready(Ok(3)));
    }
}

#[test]
fn when_the_one_that_fills_goes_the_next_one_does_and_is_woken() {
    let (cache, gate, wakes) = (cache_of(&paused(), |_| ()), Gate::default(), Wakes::new());
    let mut all: Vec<_> = (0..4).map(|number| Some(filling(&cache, &gate, Ok(number)))).collect();
    for one in all.iter_mut().flatten() {
        assert!(wakes.poll(one).is_pending());
    }
    all[1] = None;
    assert_eq!(wakes.count(), 0, "a follower that goes wakes nobody");
    all[0] = None;
    assert_eq!(wakes.count(), 1, "the next in line is told");
    gate.open.set(true);
    assert_eq!(wakes.poll(all[2].as_mut().unwrap()), Poll::Ready(Ok(2)));
    assert_eq!(wakes.poll(all[3].as_mut().unwrap()), Poll::Ready(Ok(2)));
    assert_eq!(gate.begun.get(), 2);
}

#[test]
fn a_panic_in_a_fill_passes_the_turn_on() {
    let (cache, gate, wakes) = (cache_of(&paused(), |_| ()), Gate::default(), Wakes::new());
    let mut panics: Filling<'_> = Box::pin(cache.get_or_fill(1, async || {
        gate.pass(()).await;
        panic!("on purpose")
    }));
    let mut follower = filling(&cache, &gate, Ok(7));
    assert!(wakes.poll(&mut panics).is_pending() && wakes.poll(&mut follower).is_pending());
    gate.open.set(true);
    assert!(catch_unwind(AssertUnwindSafe(|| wakes.poll(&mut panics))).is_err());
    assert_eq!(wakes.count(), 1);
    assert_eq!(wakes.poll(&mut follower), Poll::Ready(Ok(7)));
}

#[test]
fn a_value_that_was_invalidated_while_it_was_made_is_not_kept() {
    let (cache, gate, wakes) = (cache_of(&paused(), |_| ()), Gate::default(), Wakes::new());
    type Change = fn(&Cache<u32, u32, &'static str>);
    let changes: [(Change, Option<u32>); 3] = [
        (|cache| assert_eq!(cache.remove(&1), None), None),
        (|cache| cache.clear(), None),
        (|cache| cache.insert(1, 100), Some(100)),
    ];
    for (change, left) in changes {
        gate.open.set(false);
        cache.clear();
        let mut old = filling(&cache, &gate, Ok(1));
        assert!(wakes.poll(&mut old).is_pending());
        change(&cache);
        gate.open.set(true);
        assert_eq!(wakes.poll(&mut old), Poll::Ready(Ok(1)), "who asked before is given it");
        assert_eq!(cache.get(&1), left);
    }
}

#[test]
fn nothing_is_left_of_fills_that_were_given_up() {
    let (cache, gate, wakes) = (cache_of(&paused(), |_| ()), Gate::default(), Wakes::new());
    for polled in 0..3 {
        let mut all: Vec<_> = (0..2).map(|number| filling(&cache, &gate, Ok(number))).collect();
        for one in all.iter_mut().take(polled) {
            assert!(wakes.poll(one).is_pending());
        }
        drop(all);
        assert!(cache.0.flights.borrow().is_empty(), "{polled} polled");
    }
}

#[test]
fn a_value_may_use_the_cache_when_it_goes() {
    #[derive(Clone)]
    struct Talks(Cache<u32, Self>);
    impl Drop for Talks {
        fn drop(&mut self) {
            let _ = self.0.len();
            let _ = self.0.remove(&100);
        }
    }
    let timers = paused();
    let mut config = CacheConfig::default();
    config.entries_max = 2;
    let cache = Cache::new(&timers, config);
    for key in 0..5 {
        cache.insert(key, Talks(cache.clone()));
    }
    cache.insert(4, Talks(cache.clone()));
    drop(cache.remove(&3));
    timers.advance(SECOND * 300);
    assert!(cache.get(&4).is_none());
    cache.insert(5, Talks(cache.clone()));
    cache.clear();
    assert!(cache.is_empty());
}

/// Whatever is polled, dropped, removed or let go in whatever order: at most one fills a key, everybody ends, and nothing is
/// left behind.
#[test]
fn fills_end_whatever_happens() {
    let (cache, wakes) = (cache_of(&paused(), |_| ()), Wakes::new());
    let gates: Vec<_> = (0..2000).map(|_| Gate::default()).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut waiting: Vec<(usize, Filling<'_>)> = Vec::new();
    let mut next = 0;
    for _ in 0..20_000 {
        let chosen = random(&mut state, waiting.len().max(1));
        match random(&mut state, 8) {
            0 | 1 if next < gates.len() && waiting.len() < 6 => {
                let output = if next % 5 == 0 { Err("no") } else { Ok(1) };
                waiting.push((next, filling(&cache, &gates[next], output)));
                next += 1;
            }
            2 | 3 if !waiting.is_empty() && wakes.poll(&mut waiting[chosen].1).is_ready() => {
                drop(waiting.remove(chosen));
            }
            4 if !waiting.is_empty() => drop(waiting.remove(chosen)),
            5 if !waiting.is_empty() => gates[waiting[chosen].0].open.set(true),
            6 => _ = cache.remove(&1),
            _ => {}
        }
    }
    gates.iter().for_each(|gate| gate.open.set(true));
    for _ in 0..10 {
        waiting.retain_mut(|(_, one)| wakes.poll(one).is_pending());
    }
    assert!(waiting.is_empty(), "nobody hangs");
    assert!(next > 1000 && cache.0.flights.borrow().is_empty());
}
