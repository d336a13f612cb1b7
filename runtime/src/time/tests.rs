//! The clock on both drivers, and paused.

use std::cell::RefCell;
use std::rc::Rc;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::*;
use crate::test_drivers;

fn paused() -> Timers {
    let timers = Timers::new();
    timers.pause();
    timers
}

/// Runs `body` on both drivers, with the wheel driven.
fn each_driver(body: impl AsyncFn(Timers)) {
    let run = async || {
        let timers = Timers::new();
        let driven = timers.clone();
        monoio::spawn(async move { driven.drive().await });
        body(timers).await;
    };
    for name in test_drivers::names() {
        match name.as_str() {
            "epoll" => {
                RuntimeBuilder::<LegacyDriver>::new().enable_timer().build().expect("epoll").block_on(run());
            }
            _ => RuntimeBuilder::<IoUringDriver>::new()
                .enable_timer()
                .build()
                .expect("io_uring")
                .block_on(run()),
        }
    }
}

#[test]
fn sleeps_end_in_order_and_not_early() {
    each_driver(async |timers| {
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = [40_u64, 10, 30, 20]
            .map(|millis| {
                let (timers, order) = (timers.clone(), Rc::clone(&order));
                monoio::spawn(async move {
                    let start = std::time::Instant::now();
                    timers.sleep(Duration::from_millis(millis)).await;
                    assert!(start.elapsed() >= Duration::from_millis(millis));
                    order.borrow_mut().push(millis);
                })
            })
            .into();
        for task in tasks {
            task.await;
        }
        assert_eq!(*order.borrow(), [10, 20, 30, 40]);
    });
}

#[test]
fn a_sleep_is_not_early_on_the_exact_clock() {
    each_driver(async |timers| {
        for micros in [1, 500, 1000, 1001, 3000, 7300].repeat(8) {
            let (asked, start) = (Duration::from_micros(micros), std::time::Instant::now());
            let coarse = timers.now();
            timers.sleep(asked).await;
            assert!(start.elapsed() >= asked, "{:?} of {asked:?}", start.elapsed());
            assert!(timers.now() - coarse >= asked.min(Duration::from_millis(micros / 1000)));
        }
    });
}

#[test]
fn a_nearer_deadline_wakes_the_driver_that_sleeps_for_a_farther_one() {
    each_driver(async |timers| {
        let far = timers.deadline();
        far.set(Duration::from_secs(3600));
        timers.sleep(Duration::from_millis(5)).await;
        let result = timers.timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
        assert_eq!(result, Err(Elapsed));
        assert_eq!(timers.timeout(Duration::from_secs(9), async { 7 }).await, Ok(7));
    });
}

#[test]
fn a_paused_clock_moves_by_hand_only() {
    let timers = paused();
    let (start, date) = (timers.now(), timers.date());
    let deadline = timers.deadline();
    deadline.set(Duration::from_secs(75));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(deadline.poll_expired(&mut cx).is_pending());
    timers.advance(Duration::from_secs(74));
    assert!(deadline.poll_expired(&mut cx).is_pending());
    timers.advance(Duration::from_secs(1));
    assert!(deadline.poll_expired(&mut cx).is_ready());
    assert!(deadline.poll_expired(&mut cx).is_pending(), "once");
    assert_eq!(timers.now() - start, Duration::from_secs(75));
    assert_ne!(timers.date(), date);
}

#[test]
fn a_deadline_that_is_moved_or_cleared_does_not_fire_where_it_was() {
    let timers = paused();
    let mut cx = Context::from_waker(Waker::noop());
    let deadline = timers.deadline();
    deadline.set(Duration::from_secs(10));
    timers.advance(Duration::from_secs(9));
    deadline.set(Duration::from_secs(10));
    timers.advance(Duration::from_secs(9));
    assert!(deadline.poll_expired(&mut cx).is_pending());
    deadline.clear();
    timers.advance(Duration::from_secs(100));
    assert!(deadline.poll_expired(&mut cx).is_pending());
}

#[test]
fn the_date_stands_while_the_clock_does() {
    let timers = paused();
    let date = timers.date();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(timers.date(), date);
    timers.advance(Duration::from_secs(1));
    assert_ne!(timers.date(), date);
}

/// A waker may be the last to hold a task, and a task may own deadlines: dropping the one must not find the wheel in use.
#[test]
fn a_waker_that_owns_a_deadline_is_dropped_where_that_is_possible() {
    /// Stands for a task that owns the deadline kept aside.
    struct Task;
    thread_local! {
        static OWNED: RefCell<Option<Deadline>> = const { RefCell::new(None) };
    }
    impl Drop for Task {
        fn drop(&mut self) {
            drop(OWNED.take());
        }
    }
    impl std::task::Wake for Task {
        fn wake(self: std::sync::Arc<Self>) {}
    }
    let timers = paused();
    OWNED.set(Some(timers.deadline()));
    let deadline = timers.deadline();
    let waker = Waker::from(std::sync::Arc::new(Task));
    assert!(deadline.poll_expired(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert!(deadline.poll_expired(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(OWNED.take().is_none(), "the waker was dropped");
}

#[test]
fn rfc9110_5_6_7_the_date_is_an_imf_fixdate() {
    assert_eq!(&format_date(UNIX_EPOCH + Duration::from_secs(784_111_777)), b"Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(Timers::new().date()[26..], *b"GMT");
}

#[test]
fn a_released_deadline_takes_no_place_in_the_wheel_until_it_is_set_again() {
    let timers = paused();
    let (deadline, other) = (timers.deadline(), timers.deadline());
    let mut cx = Context::from_waker(Waker::noop());
    deadline.set(Duration::from_millis(5));
    deadline.release();
    // The place is given to the next one that is set.
    other.set(Duration::from_millis(5));
    assert_eq!(other.entry.get(), 0);
    timers.advance(Duration::from_millis(5));
    assert!(other.poll_expired(&mut cx).is_ready() && deadline.poll_expired(&mut cx).is_pending());
    deadline.set(Duration::from_millis(5));
    timers.advance(Duration::from_millis(5));
    assert!(deadline.poll_expired(&mut cx).is_ready());
}
