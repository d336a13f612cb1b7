//! Peers that say nothing, or not enough: heartbeats and timeouts.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn pings_are_answered_and_a_close_too_while_the_handler_waits_elsewhere() {
    let mut bench = open(WebSocketConfig::default(), sleeper);
    assert_eq!(bench.ask(&frame(0x89, b"there?")), [Event::Pong("there?".into())]);
    assert_eq!(bench.ask(&[text("unread"), frame(0x89, b"")].concat()), [Event::Pong("".into())]);
    let mut bench = open(WebSocketConfig::default(), sleeper);
    assert_eq!(bench.ask(&close(1000)), [a_close(1000)]);
    assert_eq!(bench.ended, None, "the handler goes on");
}

#[test]
fn a_ping_is_answered_at_once_though_a_close_behind_it_waits_for_the_handler() {
    let mut bench = open(WebSocketConfig::default(), sleeper);
    let stream = [text("unread"), frame(0x89, b"there?"), close(1000)].concat();
    assert_eq!(bench.ask(&stream), [Event::Pong("there?".into())]);
}

#[test]
fn the_heartbeat_pings_a_silent_peer_and_ends_when_nothing_comes() {
    let mut config = WebSocketConfig::default();
    config.heartbeat = Some(30 * SECOND);
    for handler_receives in [true, false] {
        let mut bench = open(config.clone(), async move |mut socket: WebSocket| {
            if handler_receives {
                assert_eq!(socket.receive().await, Err(WebSocketError::HeartbeatLost));
            } else {
                std::future::pending::<()>().await;
            }
        });
        assert_eq!(bench.later(29 * SECOND), []);
        assert_eq!(bench.later(2 * SECOND), [Event::Ping("".into())]);
        // Anything is a sign of life, and the next Ping is due that much later.
        bench.later(10 * SECOND);
        assert_eq!(bench.ask(&frame(0x8a, b"")), []);
        assert_eq!(bench.later(29 * SECOND), []);
        assert_eq!(bench.later(3 * SECOND), [Event::Ping("".into())]);
        bench.later(13 * SECOND);
        assert!(!bench.far.near_has_ended());
        bench.later(4 * SECOND);
        assert!(bench.far.near_has_ended());
        assert_eq!(bench.ended.is_some(), handler_receives);
    }
}

#[test]
fn a_peer_that_is_not_read_is_not_taken_for_dead() {
    let mut config = WebSocketConfig::default();
    config.heartbeat = Some(30 * SECOND);
    config.read_ahead_bytes_max = 1000;
    let mut bench = open(config, sleeper);
    let flood = text(&"x".repeat(100)).repeat(100);
    assert_eq!(bench.ask(&flood), []);
    assert!(bench.far.unread() > 0, "no more is read than the limit says");
    for _ in 0..10 {
        bench.later(20 * SECOND);
    }
    assert!(!bench.far.near_has_ended());
}

#[test]
fn a_receive_timeout_leaves_the_socket_open() {
    let mut config = WebSocketConfig::default();
    config.receive_timeout = Some(5 * SECOND);
    let mut bench = open(config, async |mut socket: WebSocket| {
        assert_eq!(socket.receive().await, Err(WebSocketError::ReceiveTimeout));
        echo(socket).await;
    });
    bench.later(6 * SECOND);
    assert_eq!(bench.ask(&text("still here")), [a_text("still here")]);
}

#[test]
fn a_message_that_stalls_is_closed_with_1008() {
    for part in [&frame(0x82, &[0; 100])[..50], &frame(0x02, b"a")] {
        let mut bench = open(WebSocketConfig::default(), echo);
        assert_eq!(bench.ask(part), []);
        bench.later(20 * SECOND);
        assert_eq!(bench.ask(b"").len(), 0);
        assert_eq!(close_code(&bench.later(15 * SECOND)), Some(1008), "{}", part.escape_ascii());
    }
}

#[test]
fn a_peer_that_takes_a_long_message_is_not_taken_for_dead_until_it_takes_no_more() {
    let mut config = WebSocketConfig::default();
    config.heartbeat = Some(30 * SECOND);
    let mut bench = open_closed(config, async |socket: WebSocket| {
        socket.send(vec![0; 10_000]).await.expect("open");
        sleeper(socket).await;
    });
    for second in 0..80 {
        bench.far.set_window(100);
        bench.advance_only(SECOND);
        assert!(!bench.far.near_has_ended(), "its Ping waits behind the message, in second {second}");
    }
    bench.far.set_window(0);
    // The last look that found it taking some is less than 15 s away, and so is the end behind that.
    for _ in 0..27 {
        bench.advance_only(SECOND);
    }
    assert!(bench.far.near_has_ended());
}
