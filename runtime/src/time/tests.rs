//! The clock on both drivers, and paused.

use std::cell::RefCell;
use std::rc::Rc;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::*;

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
    RuntimeBuilder::<IoUringDriver>::new().enable_timer().build().expect("io_uring").block_on(run());
    RuntimeBuilder::<LegacyDriver>::new().enable_timer().build().expect("epoll").block_on(run());
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
                    // The coarse clock may be one kernel tick behind.
                    assert!(start.elapsed() + Duration::from_millis(11) >= Duration::from_millis(millis));
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
fn rfc9110_5_6_7_the_date_is_an_imf_fixdate() {
    assert_eq!(&format_date(UNIX_EPOCH + Duration::from_secs(784_111_777)), b"Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(Timers::new().date()[26..], *b"GMT");
}
