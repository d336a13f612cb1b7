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
fn the_time_of_a_read_that_was_given_up_stands_still_until_the_next() {
    for comes_meanwhile in [false, true] {
        let release = Rc::new(Cell::new(false));
        let released = Rc::clone(&release);
        let mut bench = Bench::new(async move |mut request: Request| {
            // As who waits for several things does when another one was faster.
            std::future::poll_fn(|cx| {
                assert!(std::pin::pin!(request.chunk()).poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            std::future::poll_fn(|_| if released.get() { Poll::Ready(()) } else { Poll::Pending }).await;
            echo(request).await
        });
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
        assert_eq!(bench.advance(12 * SECOND), "");
        let (meanwhile, rest): (&[u8], &[u8]) = if comes_meanwhile { (b"x", b"yz") } else { (b"", b"xyz") };
        bench.send(meanwhile);
        release.set(true);
        bench.run();
        assert_eq!(bench.advance(9 * SECOND), "", "{comes_meanwhile}");
        assert!(bench.send(rest).ends_with("\r\n\r\nxyz"), "{comes_meanwhile}");
    }
}

#[test]
fn a_silent_peer_is_not_waited_for_the_longer_the_more_often_its_reader_begins_anew() {
    let mut config = ServerConfig::default();
    config.body_rate_min = 0;
    let mut bench = Bench::with_config(config, async |mut request: Request| {
        loop {
            // As who also waits for the ticks of a clock, and begins to read anew behind each.
            let mut polls = 0;
            let mut read = std::pin::pin!(request.chunk());
            let read = std::future::poll_fn(|cx| {
                polls += 1;
                match read.as_mut().poll(cx) {
                    Poll::Pending if polls == 2 => Poll::Ready(None),
                    polled => polled.map(Some),
                }
            });
            match read.await {
                None => {}
                Some(Ok(_)) => return Response::text("read"),
                Some(Err(error)) => return crate::Error::from(error).into(),
            }
        }
    });
    bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    for _ in 0..9 {
        assert_eq!(bench.advance(SECOND), "");
    }
    let answer = bench.advance(2 * SECOND);
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
