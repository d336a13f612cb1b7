//! Peers and handlers that use a connection against its grain: what must be refused, ended or held back.

use super::*;

const EXPECTING: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn rfc9110_10_1_1_a_100_never_stands_inside_the_answer_that_passes_the_body_on() {
    let mut bench = Bench::new(async |request: Request| Response::new(request.into_body()));
    let answer = bench.send(EXPECTING);
    assert_eq!(statuses(&answer), ["100", "200"], "{answer}");
    assert_eq!(bench.send(b"abc"), "abc");
    assert_eq!(statuses(&bench.send(GET)), ["200"]);
}

#[test]
fn rfc9110_10_1_1_a_stream_may_read_the_body_of_who_waits_for_a_100() {
    let mut bench = Bench::new(async |request: Request| {
        let mut body = request.into_body();
        Response::stream(async move |mut out| {
            while let Some(piece) = body.chunk().await? {
                out.write(piece).await?;
            }
            Ok(())
        })
    });
    let answer = bench.send(EXPECTING);
    assert_eq!(statuses(&answer), ["100", "200"], "{answer}");
    assert_eq!(bench.send(b"abc"), "3\r\nabc\r\n0\r\n\r\n");
}

#[test]
fn rfc9110_10_1_1_no_100_follows_the_answer_of_a_stream_that_reads_nothing() {
    let mut bench = Bench::new(async |_: Request| Response::stream(async |mut out| out.write("no").await));
    let answer = bench.send(EXPECTING);
    assert!(answer.ends_with("2\r\nno\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(statuses(&answer).last(), Some(&"200"), "{answer}");
}

#[test]
fn a_request_that_is_kept_does_not_keep_the_socket_open() {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keep = Rc::clone(&kept);
    let mut bench = Bench::new(async move |request: Request| {
        keep.borrow_mut().push(request);
        Response::text("bye")
    });
    let answer = bench.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(statuses(&answer), ["200"]);
    assert!(bench.ended.is_some());
    assert!(bench.far.near_has_ended(), "the socket is closed");
    assert_eq!(kept.borrow().len(), 1);
}
