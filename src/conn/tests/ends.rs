//! How connections end: by either side, in the middle of something, and by a stop.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn a_client_that_ends_its_side_still_gets_its_answers() {
    let mut bench = Bench::new(hello);
    bench.far.send(&[GET, GET].concat());
    bench.far.end();
    bench.run();
    assert_eq!(statuses(&bench.received()), ["200", "200"]);
    assert_eq!(bench.ended, Some(CloseReason::PeerClosed));
}

#[test]
fn a_client_that_ends_its_side_gets_its_answer_through_a_full_window() {
    let mut bench = Bench::new(hello);
    bench.far.set_window(10);
    bench.far.send(GET);
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, None, "the answer has not left");
    bench.far.set_window(1000);
    bench.run();
    assert!(bench.received().ends_with("hello"));
    assert_eq!(bench.ended, Some(CloseReason::PeerClosed));
}

#[test]
fn an_end_in_the_middle_of_a_head_or_a_body_is_told_apart() {
    let mut bench = Bench::new(hello);
    bench.far.send(&GET[..9]);
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::PeerClosedEarly));

    let failed = Rc::new(Cell::new(None));
    let seen = Rc::clone(&failed);
    let mut bench = Bench::new(async move |mut request: Request| {
        while let Ok(Some(_)) = request.chunk().await {}
        seen.set(request.chunk().await.err());
        Response::empty(http::StatusCode::OK)
    });
    bench.far.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123");
    bench.far.end();
    bench.run();
    assert_eq!(failed.get(), Some(crate::conn::BodyError::Disconnected));
    assert!(bench.ended.is_some());
}

#[test]
fn a_reset_ends_the_connection() {
    let mut bench = Bench::new(hello);
    bench.far.reset();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::TransportFailed));
}

#[test]
fn connection_close_of_either_side_ends_the_connection_after_the_answer() {
    let mut bench = Bench::new(hello);
    let answer = bench.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(bench.ended, Some(CloseReason::AskedByPeer));

    let mut bench = Bench::new(async |_: Request| {
        Response::text("bye").with_header(http::header::CONNECTION, http::HeaderValue::from_static("Close"))
    });
    let answer = bench.send(GET);
    assert_eq!(answer.to_ascii_lowercase().matches("connection: close\r\n").count(), 1, "{answer}");
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::AskedByHandler));
}

#[test]
fn a_stopping_server_closes_idle_connections_and_answers_the_others() {
    let mut bench = Bench::new(hello);
    bench.send(GET);
    bench.host.stop();
    bench.connection.wake();
    bench.run();
    bench.advance(SECOND);
    assert_eq!(bench.ended, Some(CloseReason::Stopping));

    let mut bench = Bench::new(echo);
    bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
    bench.host.stop();
    bench.connection.wake();
    bench.run();
    assert_eq!(bench.ended, None);
    let answer = bench.send(b"b");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("ab"), "{answer}");
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::Stopping));
}

#[test]
fn the_cut_ends_a_connection_wherever_it_is() {
    for request in [&b""[..], b"GET", GET] {
        let mut bench = Bench::new(async |_: Request| std::future::pending::<Response>().await);
        bench.send(request);
        bench.host.stop();
        bench.host.cut();
        bench.connection.wake();
        bench.run();
        assert_eq!(bench.ended, Some(CloseReason::Cut));
    }
}
