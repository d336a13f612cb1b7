//! Peers that do not take what they are sent.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn a_peer_that_takes_nothing_is_left_after_the_write_timeout() {
    let mut bench = open(WebSocketConfig::default(), echo);
    bench.far.set_window(10);
    bench.far.send(&frame(0x82, &[0; 10_000]));
    bench.run();
    for _ in 0..29 {
        bench.advance_only(SECOND);
    }
    assert!(!bench.far.near_has_ended());
    bench.far.set_window(1);
    bench.run();
    for _ in 0..29 {
        bench.advance_only(SECOND);
    }
    assert!(!bench.far.near_has_ended(), "it has taken a byte");
    for _ in 0..3 {
        bench.advance_only(SECOND);
    }
    assert!(bench.far.near_has_ended());
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
}

/// A handler that sends numbers of 1,000 digits as long as it can, then waits, and says how many it could.
fn flooder(sent: &Rc<Cell<u32>>) -> impl AsyncFn(WebSocket) + 'static + use<> {
    let sent = Rc::clone(sent);
    async move |mut socket: WebSocket| {
        for n in 0..1000 {
            if socket.send(format!("{n:01000}")).await.is_err() {
                break;
            }
            sent.set(n + 1);
        }
        echo_into_nothing(&mut socket).await;
    }
}

async fn echo_into_nothing(socket: &mut WebSocket) {
    while let Ok(Some(_)) = socket.receive().await {}
}

fn numbers(events: &[Event]) -> Vec<u32> {
    let number = |event: &Event| match event {
        Event::Text(text) => text.as_str().parse().ok(),
        _ => None,
    };
    events.iter().filter_map(number).collect()
}

#[test]
fn slow_readers_are_waited_for_or_lose_messages_or_the_socket_as_the_policy_says() {
    for policy in [SlowReader::Wait, SlowReader::DropNewest, SlowReader::DropOldest, SlowReader::Close] {
        let mut config = WebSocketConfig::default();
        config.slow_reader = policy;
        config.send_queue_bytes_max = 200_000;
        let sent = Rc::new(Cell::new(0));
        let mut bench = open_closed(config, flooder(&sent));
        let sent_early = sent.get();
        let stats = Rc::clone(&bench.host.stats.websockets);
        let queued = stats.messages_out.get();
        assert!((150..=260).contains(&queued), "{policy:?}: {queued} of 1 KB in 200 KB");
        bench.far.set_window(usize::MAX);
        bench.run();
        let answers = bench.answers();
        let arrived = numbers(&answers);
        assert!(arrived.is_sorted(), "{policy:?}: in order");
        let all: Vec<u32> = (0..1000).collect();
        match policy {
            SlowReader::Wait => {
                assert!(sent_early < 260, "{sent_early}");
                assert_eq!((sent.get(), arrived), (1000, all));
            }
            SlowReader::DropNewest => {
                assert_eq!(sent.get(), 1000);
                assert_eq!(arrived, all[..arrived.len()]);
                assert_eq!(stats.messages_dropped.get() + arrived.len() as u64, 1000);
            }
            SlowReader::DropOldest => {
                assert_eq!(sent.get(), 1000);
                assert_eq!(arrived.last(), Some(&999), "the newest is there");
                assert_eq!(arrived[..10], all[..10], "what had begun to leave, too");
                assert_eq!(stats.messages_dropped.get() + arrived.len() as u64, 1000);
            }
            SlowReader::Close => {
                assert!(sent.get() < 260);
                assert_eq!(close_code(&answers), Some(1008));
            }
        }
    }
}

#[test]
fn a_flood_of_pings_to_a_peer_that_reads_nothing_is_answered_once_at_the_end() {
    let mut bench = open_closed(WebSocketConfig::default(), sleeper);
    for n in 0..10_000_u32 {
        bench.far.send(&frame(0x89, &[&n.to_be_bytes()[..], &[0; 100]].concat()));
    }
    bench.run();
    assert_eq!(bench.far.unread(), 0, "they are read");
    bench.far.set_window(usize::MAX);
    bench.run();
    let answers = bench.answers();
    assert!(answers.len() < 500, "{} Pongs", answers.len());
    let Some(Event::Pong(last)) = answers.last() else { panic!("{answers:?}") };
    assert_eq!(last[..4], 9_999_u32.to_be_bytes(), "the last one is answered (RFC 6455 §5.5.3)");
}

#[test]
fn who_waits_for_room_goes_on_when_the_rest_leaves() {
    let mut config = WebSocketConfig::default();
    config.send_queue_bytes_max = 3_000;
    let sent = Rc::new(Cell::new(0));
    let mut bench = open_closed(config, flooder(&sent));
    assert_eq!(sent.get(), 2);
    for _ in 0..1000 {
        bench.far.set_window(1004);
        bench.run();
        let at_once = bench.far.received();
        bench.left.extend(at_once);
    }
    assert_eq!(sent.get(), 1000);
    let all: Vec<u32> = (0..1000).collect();
    assert_eq!(numbers(&bench.answers())[..990], all[..990]);
}

#[test]
fn who_reads_all_at_once_is_not_taken_for_slow_by_any_policy() {
    for policy in [SlowReader::Wait, SlowReader::DropNewest, SlowReader::DropOldest, SlowReader::Close] {
        let mut config = WebSocketConfig::default();
        config.slow_reader = policy;
        config.send_queue_bytes_max = 200_000;
        let sent = Rc::new(Cell::new(0));
        let mut bench = open(config, flooder(&sent));
        let all: Vec<u32> = (0..1000).collect();
        assert_eq!((sent.get(), numbers(&bench.answers())), (1000, all), "{policy:?}");
        assert_eq!(bench.host.stats.websockets.messages_dropped.get(), 0);
    }
}

#[test]
fn waiting_for_the_end_of_a_socket_keeps_no_core_busy() {
    let mut bench = open(WebSocketConfig::default(), async |socket: WebSocket| {
        socket.sender().closed().await;
    });
    bench.ask(&close(1000));
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
}

#[test]
fn waiting_for_the_peer_to_take_what_was_sent_keeps_no_core_busy() {
    let flushed = Rc::new(Cell::new(false));
    let telling = Rc::clone(&flushed);
    let mut bench = open_closed(WebSocketConfig::default(), async move |socket: WebSocket| {
        socket.send(vec![0; 10_000]).await.expect("open");
        socket.flush().await.expect("open");
        telling.set(true);
        sleeper(socket).await;
    });
    bench.far.set_window(10);
    bench.run();
    assert!(!flushed.get());
    bench.far.set_window(usize::MAX);
    bench.run();
    assert!(flushed.get());
    assert_eq!(bench.answers(), [Event::Binary(vec![0; 10_000].into())]);
}

#[test]
fn waiting_for_room_for_a_long_message_keeps_no_core_busy() {
    let mut bench = open_closed(WebSocketConfig::default(), async |socket: WebSocket| {
        socket.send(vec![0; 100 * 1024]).await.expect("open");
        socket.send(vec![1; 200 * 1024]).await.expect("open");
        sleeper(socket).await;
    });
    assert_eq!(bench.host.stats.websockets.messages_out.get(), 1);
    bench.far.set_window(usize::MAX);
    bench.run();
    let expected = [Event::Binary(vec![0; 100 * 1024].into()), Event::Binary(vec![1; 200 * 1024].into())];
    assert!(bench.answers() == expected);
}
