//! What must not allocate: everything a request does with time, and waiting in a line that others have stood in before.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use ringhttp_runtime::sync::{Notify, Semaphore};
use ringhttp_runtime::time::Timers;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all calls go to the system's allocator as they are; counting touches a plain thread-local only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and the memory came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations by `work`, which is done once before so that lists have their memory.
fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(7_u64)))), 1);
}

#[test]
fn deadlines_are_set_cleared_and_fired_without_allocating() {
    let timers = Timers::new();
    timers.pause();
    let deadlines: Vec<_> = (0..1000).map(|_| timers.deadline()).collect();
    let mut cx = Context::from_waker(Waker::noop());
    let mut fired = 0;
    let count = allocations(|| {
        for (millis, deadline) in (0_u64..).zip(&deadlines) {
            deadline.set(Duration::from_millis(millis * 90));
            deadline.set(Duration::from_millis(millis * 30));
            assert!(deadline.poll_expired(&mut cx).is_pending());
        }
        deadlines[1].clear();
        for _ in 0..40 {
            timers.advance(Duration::from_secs(1));
        }
        fired += deadlines.iter().filter(|deadline| deadline.poll_expired(&mut cx).is_ready()).count();
    });
    assert_eq!(fired, 2 * 999);
    assert_eq!(count, 0);
}

#[test]
fn the_time_and_the_date_are_read_without_allocating() {
    let timers = Timers::new();
    timers.pause();
    assert_eq!(allocations(|| assert!(timers.date().ends_with(b"GMT") && timers.now() == timers.now())), 0);
}

#[test]
fn waiting_and_giving_up_does_not_allocate() {
    let (semaphore, notify) = (Semaphore::new(0), Notify::new());
    let mut cx = Context::from_waker(Waker::noop());
    let count = allocations(|| {
        let mut acquire = pin!(semaphore.acquire());
        let mut notified = pin!(notify.notified());
        assert!(acquire.as_mut().poll(&mut cx).is_pending());
        assert!(notified.as_mut().poll(&mut cx).is_pending());
        semaphore.add_permits(1);
        notify.notify_one();
        assert!(notified.as_mut().poll(&mut cx).is_ready());
        let permit =
            acquire.as_mut().poll(&mut cx).map(|permit| permit.map(ringhttp_runtime::sync::Permit::forget));
        assert!(permit.is_ready());
        assert!(pin!(semaphore.acquire()).poll(&mut cx).is_pending());
        assert!(pin!(notify.notified()).poll(&mut cx).is_pending());
    });
    assert_eq!(count, 0);
}
