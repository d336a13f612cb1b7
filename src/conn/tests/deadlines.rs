//! What a peer may take its time for, and how long.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn lingering_ends_at_its_deadline_and_at_its_limit_of_bytes() {
    for flood in [false, true] {
        let mut bench = Bench::new(hello);
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n12345");
        if flood {
            bench.send(&vec![b'x'; 300 * 1024]);
        } else {
            bench.advance(6 * SECOND);
        }
        assert_eq!(bench.ended, Some(CloseReason::BodyLeftUnread));
    }
}

#[test]
fn the_first_head_has_its_deadline_from_the_accept_on() {
    let mut bench = Bench::new(hello);
    assert_eq!(bench.advance(11 * SECOND), "");
    assert_eq!(bench.ended, Some(CloseReason::HeadTimeout));
}

#[test]
fn a_head_that_trickles_is_answered_with_408() {
    let mut bench = Bench::new(hello);
    bench.send(GET);
    bench.advance(20 * SECOND);
    for byte in &GET[..9] {
        bench.send(&[*byte]);
        assert_eq!(bench.ended, None);
        bench.advance(SECOND);
    }
    let answer = bench.advance(2 * SECOND);
    assert_eq!(statuses(&answer), ["408"]);
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::HeadTimeout));
}

#[test]
fn an_idle_connection_is_kept_for_the_keep_alive_time_and_no_longer() {
    let mut bench = Bench::new(hello);
    bench.send(GET);
    for _ in 0..74 {
        bench.advance(SECOND);
        assert_eq!(bench.ended, None);
    }
    assert_eq!(bench.advance(2 * SECOND), "");
    assert_eq!(bench.ended, Some(CloseReason::KeepAliveExpired));
}

#[test]
fn the_keep_alive_time_begins_when_the_answer_has_left() {
    let mut bench = Bench::new(async |_: Request| Response::bytes(vec![0; 1_000_000]));
    bench.far.set_window(0);
    bench.send(GET);
    for _ in 0..8 {
        bench.advance(10 * SECOND);
        bench.far.set_window(130_000);
        bench.run();
    }
    assert_eq!(bench.connection.queued(), 0);
    bench.advance(20 * SECOND);
    assert_eq!(bench.ended, None);
    bench.advance(54 * SECOND);
    assert_eq!(bench.ended, None);
    bench.advance(2 * SECOND);
    assert_eq!(bench.ended, Some(CloseReason::KeepAliveExpired));
}

#[test]
fn a_short_keep_alive_time_is_kept_behind_an_answer_that_left_late() {
    let mut config = ServerConfig::default();
    config.keep_alive_timeout = 5 * SECOND;
    let mut bench = Bench::with_config(config, hello);
    bench.far.set_window(0);
    bench.send(GET);
    bench.advance(SECOND);
    bench.far.set_window(usize::MAX);
    bench.run();
    bench.advance(4 * SECOND);
    assert_eq!(bench.ended, None);
    bench.advance(3 * SECOND);
    assert_eq!(bench.ended, Some(CloseReason::KeepAliveExpired));
}

#[test]
fn a_body_that_stalls_is_answered_with_408() {
    let mut bench = Bench::new(echo);
    bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123");
    bench.advance(9 * SECOND);
    assert_eq!(statuses(&bench.send(b"4")), Vec::<&str>::new());
    let answer = bench.advance(11 * SECOND);
    assert_eq!(statuses(&answer), ["408"]);
}

#[test]
fn a_body_below_the_least_rate_is_answered_with_408() {
    let mut bench = Bench::new(echo);
    bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    let mut answer = String::new();
    for _ in 0..20 {
        answer += &bench.advance(SECOND);
        answer += &bench.send(b"x");
    }
    assert_eq!(statuses(&answer), ["408"]);
}

#[test]
fn a_peer_that_takes_nothing_is_cut_after_the_write_timeout() {
    for body in [100, 1_000_000] {
        let mut bench = Bench::new(async move |_: Request| Response::bytes(vec![0; body]));
        bench.far.set_window(50);
        bench.send(GET);
        bench.advance(29 * SECOND);
        assert_eq!(bench.ended, None);
        bench.far.set_window(10);
        bench.run();
        bench.advance(29 * SECOND);
        assert_eq!(bench.ended, None, "it took something");
        bench.advance(32 * SECOND);
        assert_eq!(bench.ended, Some(CloseReason::WriteStalled), "{body}");
    }
}

#[test]
fn a_handler_over_its_deadline_is_dropped_and_answered_with_503() {
    let mut config = ServerConfig::default();
    config.handler_timeout = Some(3 * SECOND);
    let mut bench = Bench::with_config(config, async |_: Request| std::future::pending::<Response>().await);
    assert_eq!(bench.send(GET), "");
    let answer = bench.advance(4 * SECOND);
    assert_eq!(statuses(&answer), ["503"]);
    bench.far.end();
    bench.run();
    assert!(bench.ended.is_some());
}
