//! How sockets are closed, by whom, and with which code.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn a_fault_is_told_to_the_receiver_once() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let telling = Rc::clone(&told);
    let mut bench = open(WebSocketConfig::default(), async move |mut socket: WebSocket| {
        for _ in 0..3 {
            let received = socket.receive().await;
            telling.borrow_mut().push((received, socket.close_code()));
        }
    });
    bench.ask(&[text("a"), frame(0x83, b"")].concat());
    let code = Some(CloseCode::PROTOCOL);
    assert_eq!(
        *told.borrow(),
        [
            (Ok(Some(Message::text("a"))), None),
            (Err(WebSocketError::Fault(crate::proto::websocket::Fault::OpcodeUnknown)), code),
            (Ok(None), code)
        ]
    );
}

#[test]
fn our_close_is_answered_and_what_comes_before_the_answer_is_thrown_away() {
    let closed = Rc::new(Cell::new(None));
    let code = Rc::clone(&closed);
    let mut bench = open(WebSocketConfig::default(), async move |socket: WebSocket| {
        let result = socket.close_with(CloseCode::new(4000), "done").await;
        code.set(Some(result.expect("a good code").code()));
    });
    let said = CloseFrame { code: CloseCode::new(4000), reason: "done".to_owned() };
    assert_eq!(bench.answers(), [Event::Close(said)]);
    assert_eq!(bench.ask(&[text("late"), frame(0x89, b"?")].concat()), []);
    assert_eq!((bench.ended, closed.get()), (None, None));
    assert_eq!(bench.ask(&close(4001)), []);
    assert_eq!(closed.get(), Some(CloseCode::new(4001)), "the peer's word");
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
}

#[test]
fn rfc6455_7_4_1_a_close_frame_that_may_not_be_sent_is_made_one_that_may_be() {
    let cases = [
        (CloseCode::ABNORMAL, "é".repeat(100), CloseCode::INTERNAL, "é".repeat(61)),
        (CloseCode::NORMAL, "x".repeat(200), CloseCode::NORMAL, "x".repeat(123)),
        (CloseCode::NONE, "x".to_owned(), CloseCode::NONE, String::new()),
        (CloseCode::new(4000), "done".to_owned(), CloseCode::new(4000), "done".to_owned()),
    ];
    for (code, reason, sent_code, sent_reason) in cases {
        let mut bench = open(WebSocketConfig::default(), async move |socket: WebSocket| {
            socket.sender().close(CloseFrame { code, reason: reason.clone() });
            sleeper(socket).await;
        });
        let sent = CloseFrame { code: sent_code, reason: sent_reason };
        assert_eq!(bench.answers(), [Event::Close(sent)]);
    }
}

#[test]
fn a_socket_that_a_sender_closes_gives_its_receiver_nothing_more() {
    let senders = Rc::new(RefCell::new(None));
    let giving = Rc::clone(&senders);
    let mut bench = open(WebSocketConfig::default(), async move |mut socket: WebSocket| {
        *giving.borrow_mut() = Some(socket.sender());
        assert_eq!(socket.receive().await, Ok(None));
        assert_eq!(socket.close_code(), Some(CloseCode::new(3001)));
    });
    let sender = senders.borrow_mut().take().expect("it was given");
    sender.close(CloseFrame::new(CloseCode::new(3000), "").unwrap());
    bench.run();
    assert_eq!(bench.answers(), [a_close(3000)]);
    assert_eq!(bench.ask(&text("too late")), []);
    bench.ask(&close(3001));
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
}

#[test]
fn a_peer_that_does_not_answer_a_close_is_left_after_the_close_timeout() {
    let mut bench = open(WebSocketConfig::default(), async |socket: WebSocket| {
        let closed = socket.close().await.expect("a good code");
        assert_eq!(closed.code(), CloseCode::NORMAL);
    });
    assert_eq!(bench.answers(), [a_close(1000)]);
    bench.later(9 * SECOND);
    assert_eq!(bench.ended, None);
    bench.later(2 * SECOND);
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
}

#[test]
fn a_socket_that_is_dropped_or_whose_handler_panics_is_closed_with_1011() {
    for panics in [false, true] {
        let mut bench = open(WebSocketConfig::default(), async move |_socket: WebSocket| {
            assert!(!panics, "on purpose");
        });
        assert_eq!(bench.answers(), [a_close(1011)]);
        assert_eq!(bench.ended, None, "the peer's answer is waited for");
        bench.ask(&close(1011));
        assert_eq!(bench.ended, Some(CloseReason::Upgraded));
    }
}

#[test]
fn a_peer_that_vanishes_is_the_end_of_the_messages() {
    for resets in [false, true] {
        let code = Rc::new(Cell::new(None));
        let seen = Rc::clone(&code);
        let mut bench = open(WebSocketConfig::default(), async move |mut socket: WebSocket| {
            assert_eq!(socket.receive().await, Ok(Some(Message::text("last"))));
            assert_eq!(socket.receive().await, Ok(None));
            assert_eq!(socket.send("too late").await, Err(WebSocketError::Closed));
            seen.set(socket.close_code());
        });
        bench.ask(&text("last"));
        if resets {
            bench.far.reset();
        } else {
            bench.far.end();
        }
        bench.run();
        assert_eq!((bench.ended, code.get()), (Some(CloseReason::Upgraded), Some(CloseCode::ABNORMAL)));
    }
}

#[test]
fn a_stop_closes_with_1001_and_waits_for_the_answer() {
    let mut bench = open(WebSocketConfig::default(), echo);
    bench.host.stop();
    bench.connection.wake();
    bench.run();
    let answers = bench.answers();
    assert_eq!(close_code(&answers), Some(1001));
    assert_eq!(bench.ask(&text("on its way")), [], "it is received, but its answer cannot be sent");
    assert_eq!(bench.ended, None);
    bench.ask(&close(1001));
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
}

#[test]
fn a_cut_ends_the_session_wherever_it_is() {
    let kept: Rc<RefCell<Option<WebSocket>>> = Rc::default();
    let keeping = Rc::clone(&kept);
    let mut bench = open(WebSocketConfig::default(), async move |socket: WebSocket| {
        *keeping.borrow_mut() = Some(socket);
    });
    assert_eq!(bench.ended, None, "the connection keeps its place");
    let mut socket = kept.borrow_mut().take().expect("it was kept");
    // Who holds it is driven by the connection's task.
    bench.far.send(&text("over there"));
    bench.run();
    let mut cx = Context::from_waker(Waker::noop());
    let received = Box::pin(socket.receive()).as_mut().poll(&mut cx);
    assert_eq!(received, Poll::Ready(Ok(Some(Message::text("over there")))));
    assert!(Box::pin(socket.send("back")).as_mut().poll(&mut cx).is_ready());
    bench.run();
    assert_eq!(bench.answers(), [a_text("back")]);
    bench.host.cut();
    bench.connection.wake();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::Cut));
    assert!(bench.far.near_has_ended());
    assert_eq!(Box::pin(socket.receive()).as_mut().poll(&mut cx), Poll::Ready(Ok(None)));
}

#[test]
fn an_upgraded_session_that_was_moved_keeps_its_place_and_is_cut() {
    let kept: Rc<RefCell<Option<crate::Upgraded>>> = Rc::default();
    let keeping = Rc::clone(&kept);
    let mut bench = Bench::new(async move |request: Request| {
        *keeping.borrow_mut() = Some(request.upgrade("x", &http::HeaderMap::new()).expect("asked for"));
        Response::text("")
    });
    bench.send(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc");
    assert_eq!(bench.ended, None);
    let mut session = kept.borrow_mut().take().expect("it was kept");
    let mut cx = Context::from_waker(Waker::noop());
    let read = Box::pin(session.read()).as_mut().poll(&mut cx);
    assert!(matches!(read, Poll::Ready(Ok(Some(bytes))) if &bytes[..] == b"abc"));
    assert!(Box::pin(session.read()).as_mut().poll(&mut cx).is_pending());
    bench.host.cut();
    bench.connection.wake();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::Cut));
    assert!(matches!(Box::pin(session.read()).as_mut().poll(&mut cx), Poll::Ready(Err(_))));
    drop(session);
}

#[test]
fn an_upgraded_session_ends_its_connection_when_it_is_dropped_elsewhere() {
    let kept: Rc<RefCell<Option<crate::Upgraded>>> = Rc::default();
    let keeping = Rc::clone(&kept);
    let mut bench = Bench::new(async move |request: Request| {
        *keeping.borrow_mut() = Some(request.upgrade("x", &http::HeaderMap::new()).expect("asked for"));
        Response::text("")
    });
    bench.send(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    assert_eq!(bench.ended, None);
    drop(kept.borrow_mut().take());
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
}

#[test]
fn what_a_peer_does_wrong_is_not_logged_as_a_failure_of_the_handler() {
    use std::error::Error as _;
    let fault = WebSocketError::Fault(crate::proto::websocket::Fault::TextInvalid);
    assert!(crate::Error::from(fault).source().is_none());
    let misuse = WebSocketError::Misuse(crate::proto::Misuse::WrongState);
    assert!(crate::Error::from(misuse).source().is_some());
}

#[test]
fn the_close_timeout_begins_when_our_close_frame_has_left() {
    let mut bench = open_closed(WebSocketConfig::default(), async |socket: WebSocket| {
        socket.send(vec![0; 1500]).await.expect("open");
        let closed = socket.close().await.expect("a good code");
        assert_eq!(closed.code(), CloseCode::NORMAL);
    });
    for _ in 0..15 {
        bench.far.set_window(100);
        bench.advance_only(SECOND);
    }
    assert_eq!(bench.ended, None, "a steady reader is waited for");
    bench.far.set_window(usize::MAX);
    bench.run();
    assert_eq!(bench.answers(), [Event::Binary(vec![0; 1500].into()), a_close(1000)]);
    bench.later(9 * SECOND);
    assert_eq!(bench.ended, None);
    bench.later(2 * SECOND);
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
}

#[test]
fn a_slow_reader_that_was_given_up_has_no_more_than_the_close_timeout() {
    let mut config = WebSocketConfig::default();
    config.slow_reader = SlowReader::Close;
    config.send_queue_bytes_max = 10_000;
    let mut bench = open_closed(config, async |socket: WebSocket| {
        socket.send(vec![0; 10_000]).await.expect("open");
        assert_eq!(socket.send("one too many").await, Err(WebSocketError::Closed));
    });
    for _ in 0..9 {
        bench.far.set_window(100);
        bench.advance_only(SECOND);
    }
    assert_eq!(bench.ended, None);
    for _ in 0..2 {
        bench.far.set_window(100);
        bench.advance_only(SECOND);
    }
    assert_eq!(bench.ended, Some(CloseReason::Upgraded), "it has taken a little each second");
}
