//! How long an exchange waits.
#![forbid(unsafe_code)]

use super::*;

fn limits() -> ExchangeLimits {
    ExchangeLimits {
        until: None,
        first_byte: Some(2 * SECOND),
        read: Some(3 * SECOND),
        write: Some(4 * SECOND),
        queued_max: 1024,
    }
}

fn timed_out<T>(polled: &Poll<Result<T, Failure>>) -> Option<Waited> {
    match polled {
        Poll::Ready(Err(Failure::Timeout(waited))) => Some(*waited),
        Poll::Pending => None,
        Poll::Ready(_) => panic!("neither waits nor is late"),
    }
}

#[test]
fn the_first_byte_has_its_own_time() {
    let mut bench = Bench::new();
    bench.begin_within(&Method::GET, &[], (), limits());
    assert_eq!(timed_out(&bench.head()), None);
    bench.timers.advance(SECOND);
    assert_eq!(timed_out(&bench.head()), None);
    bench.timers.advance(SECOND);
    assert!(bench.was_woken());
    assert_eq!(timed_out(&bench.head()), Some(Waited::FirstByte));
}

#[test]
fn a_server_that_says_continue_and_nothing_more_is_given_up() {
    let mut bench = Bench::new();
    bench.begin_within(&Method::GET, &[], (), limits());
    assert_eq!(timed_out(&bench.head()), None);
    bench.far.send(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(timed_out(&bench.head()), None);
    bench.timers.advance(2 * SECOND);
    assert_eq!(timed_out(&bench.head()), Some(Waited::FirstByte));
}

#[test]
fn gaps_are_measured_between_reads() {
    let mut bench = Bench::new();
    bench.begin_within(&Method::GET, &[], (), limits());
    for byte in &OK[..OK.len() - 5] {
        assert_eq!(timed_out(&bench.head()), None);
        bench.timers.advance(SECOND);
        bench.far.send(&[*byte]);
    }
    assert_eq!(bench.status(), 200);
    assert_eq!(timed_out(&bench.chunk()), None);
    bench.timers.advance(2 * SECOND);
    bench.far.send(b"h");
    assert!(bench.chunk().is_ready());
    // Who does not read does not wait.
    bench.timers.advance(60 * SECOND);
    assert_eq!(timed_out(&bench.chunk()), None);
    bench.timers.advance(3 * SECOND);
    assert_eq!(timed_out(&bench.chunk()), Some(Waited::Read));
    assert_eq!(bench.connection.finish(), Err(CloseReason::Failed));
}

#[test]
fn all_of_it_has_to_be_over_in_time() {
    let mut bench = Bench::new();
    let until = bench.timers.now() + 10 * SECOND;
    bench.begin_within(&Method::GET, &[], (), ExchangeLimits { until: Some(until), ..limits() });
    bench.far.send(&OK[..OK.len() - 5]);
    assert_eq!(bench.status(), 200);
    for byte in 0..4 {
        assert_eq!(timed_out(&bench.chunk()), None, "{byte}");
        bench.timers.advance(2 * SECOND);
        bench.far.send(b"h");
        assert!(bench.chunk().is_ready());
    }
    assert_eq!(timed_out(&bench.chunk()), None);
    bench.timers.advance(2 * SECOND);
    assert_eq!(timed_out(&bench.chunk()), Some(Waited::Total));
}

#[test]
fn a_server_that_takes_nothing_is_given_up_and_one_that_takes_a_little_is_not() {
    let mut bench = Bench::new();
    bench.far.set_window(100);
    bench.begin_within(&Method::POST, &[], vec![b'x'; 10_000], limits());
    assert_eq!(timed_out(&bench.head()), None);
    for _ in 0..5 {
        bench.timers.advance(3 * SECOND);
        bench.far.set_window(100);
        assert_eq!(timed_out(&bench.head()), None);
    }
    bench.timers.advance(4 * SECOND);
    assert!(bench.was_woken());
    assert_eq!(timed_out(&bench.head()), Some(Waited::Write));
}

#[test]
fn the_answer_is_not_late_before_the_request_is_sent() {
    let mut bench = Bench::new();
    bench.far.set_window(100);
    bench.begin_within(&Method::POST, &[], vec![b'x'; 10_000], limits());
    for _ in 0..9 {
        assert_eq!(timed_out(&bench.head()), None);
        bench.timers.advance(3 * SECOND);
        bench.far.set_window(100);
    }
    bench.far.set_window(usize::MAX);
    assert_eq!(timed_out(&bench.head()), None);
    bench.timers.advance(2 * SECOND);
    assert_eq!(timed_out(&bench.head()), Some(Waited::FirstByte));
}

#[test]
fn a_finished_exchange_leaves_no_deadline_behind() {
    let mut bench = Bench::new();
    bench.begin_within(&Method::GET, &[], (), limits());
    assert!(bench.head().is_pending());
    bench.far.send(OK);
    assert_eq!(bench.status(), 200);
    assert_eq!(bench.body(), b"hello");
    assert_eq!(bench.connection.finish(), Ok(()));
    assert!(bench.idle().is_pending());
    bench.was_woken();
    bench.timers.advance(60 * SECOND);
    assert!(!bench.was_woken());
    assert!(bench.idle().is_pending());
}
