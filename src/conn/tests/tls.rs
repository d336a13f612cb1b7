//! TLS on a wire in memory with a paused clock: who shakes hands when, and every wait's end.
#![forbid(unsafe_code)]

use std::sync::Arc;

use rustls::ServerConfig as RustlsConfig;

use super::super::TlsSetup;
use super::*;
use crate::conn::CancelOnDisconnect;
use crate::io::tls::tests::peers::{Configs, Theirs};

/// One configuration for everybody.
struct Setup(Configs);

impl TlsSetup for Setup {
    fn has_rules_by_name(&self) -> bool {
        false
    }

    fn config_for(&self, _: Option<&str>) -> &Arc<RustlsConfig> {
        &self.0.server
    }

    fn forbids_host(&self, _: Option<&str>, _: &str) -> bool {
        false
    }
}

fn acceptor(configs: &Configs, handshakes_max: usize) -> Rc<Acceptor> {
    let setup: Arc<dyn TlsSetup> = Arc::new(Setup(configs.clone()));
    Rc::new(Acceptor::new(handshakes_max, 10 * SECOND, 64 * 1024, move || Arc::clone(&setup)))
}

fn host(config: ServerConfig) -> Rc<Host> {
    let timers = Timers::new();
    timers.pause();
    Rc::new(Host::new(config, Rc::default(), BufferPool::new(), timers))
}

/// One configuration, under which no host may be asked for.
struct ForNobody(Configs);

impl TlsSetup for ForNobody {
    fn has_rules_by_name(&self) -> bool {
        true
    }

    fn config_for(&self, _: Option<&str>) -> &Arc<RustlsConfig> {
        &self.0.server
    }

    fn forbids_host(&self, _: Option<&str>, _: &str) -> bool {
        true
    }
}

/// A server's connection, and a client of it that is rustls'.
fn pair(configs: &Configs, config: ServerConfig) -> (Bench, Theirs) {
    (Bench::on(host(config), Some(acceptor(configs, 10)), hello), Theirs::client(configs))
}

/// Lets both go on until nothing moves; gives what the client has read.
fn settle(bench: &mut Bench, client: &mut Theirs) -> String {
    while client.turn(&bench.far) {
        bench.run();
    }
    String::from_utf8(client.read()).expect("text")
}

#[test]
fn a_connection_shakes_hands_answers_and_says_its_end() {
    for configs in Configs::both() {
        let (mut bench, mut client) = pair(&configs, ServerConfig::default());
        assert_eq!(settle(&mut bench, &mut client), "");
        assert!(!client.connection.is_handshaking());
        for _ in 0..3 {
            client.write(GET);
            assert_eq!(statuses(&settle(&mut bench, &mut client)), ["200"]);
        }
        bench.host.timers.advance(75 * SECOND);
        bench.run();
        settle(&mut bench, &mut client);
        assert_eq!(bench.ended, Some(CloseReason::KeepAliveExpired));
        assert!(client.connection.process_new_packets().unwrap().peer_has_closed(), "it was said");
        assert!(bench.far.near_has_ended());
    }
}

#[test]
fn a_handshake_has_its_time_and_no_more() {
    for configs in Configs::both() {
        // Turns that the client makes before it stalls.
        for turns in 0..2 {
            let (mut bench, mut client) = pair(&configs, ServerConfig::default());
            for _ in 0..turns {
                client.turn(&bench.far);
                bench.run();
            }
            bench.host.timers.advance(10 * SECOND - Duration::from_millis(1));
            bench.run();
            assert_eq!(bench.ended, None, "{turns}");
            bench.host.timers.advance(Duration::from_millis(1));
            bench.run();
            assert_eq!(bench.ended, Some(CloseReason::TlsHandshakeTimeout), "{turns}");
            assert_eq!(bench.host.stats.tls_handshakes_failed.get(), 1);
        }
    }
}

#[test]
fn who_waits_for_a_place_is_not_read_and_comes_in_turn() {
    let configs = Configs::tls13();
    let (host, acceptor) = (host(ServerConfig::default()), acceptor(&configs, 1));
    let mut benches: Vec<_> =
        (0..3).map(|_| Bench::on(Rc::clone(&host), Some(Rc::clone(&acceptor)), hello)).collect();
    let mut clients: Vec<_> = (0..3).map(|_| Theirs::client(&configs)).collect();
    for (bench, client) in benches.iter_mut().zip(&mut clients) {
        client.turn(&bench.far);
        bench.run();
    }
    let unread: Vec<_> = benches.iter().map(|bench| bench.far.unread() > 0).collect();
    assert_eq!(unread, [false, true, true]);
    assert_eq!(host.stats.tls_handshaking.get(), 1);
    for at in 0..3 {
        assert!(clients[at].connection.is_handshaking());
        settle(&mut benches[at], &mut clients[at]);
        assert!(!clients[at].connection.is_handshaking(), "{at}");
        benches.iter_mut().for_each(Bench::run);
        // The first is served while the others wait.
        clients[0].write(GET);
        assert_eq!(statuses(&settle(&mut benches[0], &mut clients[0])), ["200"]);
    }
    assert_eq!((host.stats.tls_handshaking.get(), host.stats.tls_handshakes.get()), (0, 3));
}

#[test]
fn a_place_is_free_again_however_a_handshake_ends() {
    let configs = Configs::tls13();
    let (host, acceptor) = (host(ServerConfig::default()), acceptor(&configs, 1));
    let open = || Bench::on(Rc::clone(&host), Some(Rc::clone(&acceptor)), hello);
    let garbage = open();
    garbage.far.send(&[22, 3, 3, 0, 4, 9, 9, 9, 9]);
    let gone = open();
    gone.far.end();
    let reset = open();
    reset.far.reset();
    let dropped = open();
    let (mut last, mut client) = (open(), Theirs::client(&configs));
    let mut others = [garbage, gone, reset];
    client.turn(&last.far);
    for bench in &mut others {
        bench.run();
        assert_eq!(host.stats.tls_handshaking.get(), 0);
    }
    // This one has the place now, and loses it with its task.
    let mut dropped = dropped;
    dropped.run();
    assert_eq!(host.stats.tls_handshaking.get(), 1);
    dropped.task = None;
    settle(&mut last, &mut client);
    last.run();
    settle(&mut last, &mut client);
    assert!(!client.connection.is_handshaking());
}

#[test]
fn a_peer_that_does_not_take_our_end_is_not_waited_for_for_ever() {
    let configs = Configs::tls13();
    let (mut bench, mut client) = pair(&configs, ServerConfig::default());
    settle(&mut bench, &mut client);
    bench.far.set_window(0);
    client.connection.send_close_notify();
    client.turn(&bench.far);
    bench.run();
    assert_eq!(bench.ended, None, "the end is on its way");
    bench.host.timers.advance(5 * SECOND);
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::PeerClosed));
}

#[test]
fn a_stop_gives_a_handshake_a_moment() {
    let configs = Configs::tls13();
    let (mut bench, mut client) = pair(&configs, ServerConfig::default());
    client.turn(&bench.far);
    bench.run();
    bench.host.stop();
    bench.run();
    assert_eq!(bench.ended, None);
    bench.host.timers.advance(Duration::from_millis(100));
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::Stopping));
}

#[test]
fn a_cut_ends_tls_where_it_is() {
    for turns in 0..4 {
        let configs = Configs::tls13();
        let (mut bench, mut client) = pair(&configs, ServerConfig::default());
        for _ in 0..turns {
            client.turn(&bench.far);
            bench.run();
        }
        bench.host.cut();
        bench.run();
        assert_eq!(bench.ended, Some(CloseReason::Cut), "{turns}");
    }
}

/// The task may be dropped behind any of its polls: nothing is left open.
#[test]
fn serving_that_is_dropped_at_each_step_closes_the_connection() {
    for configs in Configs::both() {
        for reads in [1, 40, 1000] {
            for steps in 0..12 {
                let (mut bench, mut client) = pair(&configs, ServerConfig::default());
                bench.far.limit_reads(reads);
                client.write(GET);
                let waker = Waker::from(Arc::clone(&bench.flag));
                for _ in 0..steps {
                    client.turn(&bench.far);
                    if let Some(task) = &mut bench.task {
                        let _ = task.as_mut().poll(&mut Context::from_waker(&waker));
                    }
                }
                bench.task = None;
                assert!(bench.far.near_has_ended(), "{steps} steps");
                assert_eq!(bench.host.stats.tls_handshaking.get(), 0);
            }
        }
    }
}

#[test]
fn rfc8446_6_1_an_answer_that_is_cut_short_is_not_followed_by_close_notify() {
    for (how, reason) in [
        ("fails", CloseReason::ResponseFailed),
        ("panics", CloseReason::HandlerPanicked),
        ("waits", CloseReason::Cut),
        ("waits for who leaves", CloseReason::PeerClosedEarly),
    ] {
        let configs = Configs::tls13();
        let (host, acceptor) = (host(ServerConfig::default()), acceptor(&configs, 10));
        let mut bench = Bench::on(host, Some(acceptor), async move |request: Request| {
            request.cancel_on_disconnect(CancelOnDisconnect::End);
            Response::stream(async move |mut out| {
                out.write("part").await?;
                match how {
                    "fails" => Err(crate::Error::internal("the source broke")),
                    "panics" => panic!("stream"),
                    _ => std::future::pending().await,
                }
            })
        });
        let mut client = Theirs::client(&configs);
        // Towards HTTP/1.0 the end of the connection is the end of the body.
        client.write(b"GET / HTTP/1.0\r\n\r\n");
        let mut answer = settle(&mut bench, &mut client);
        match reason {
            CloseReason::Cut => bench.host.cut(),
            // It may read on: what it ends is its own side.
            CloseReason::PeerClosedEarly => client.connection.send_close_notify(),
            _ => {}
        }
        bench.run();
        answer += &settle(&mut bench, &mut client);
        assert_eq!(bench.ended, Some(reason));
        assert!(answer.ends_with("part"), "{how}: {answer}");
        assert!(bench.far.near_has_ended());
        assert!(!client.connection.process_new_packets().unwrap().peer_has_closed(), "{how}");
    }
}

#[test]
fn rfc9110_9_3_2_a_misdirected_head_is_refused_without_a_body() {
    let configs = Configs::tls13();
    for (request, has_body) in [(GET, true), (&b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"[..], false)] {
        let setup: Arc<dyn TlsSetup> = Arc::new(ForNobody(configs.clone()));
        let acceptor = Rc::new(Acceptor::new(10, 10 * SECOND, 64 * 1024, move || Arc::clone(&setup)));
        let mut bench = Bench::on(host(ServerConfig::default()), Some(acceptor), hello);
        let mut client = Theirs::client(&configs);
        client.write(request);
        let answer = settle(&mut bench, &mut client);
        assert_eq!(statuses(&answer), ["421"]);
        assert_eq!(!answer.ends_with("\r\n\r\n"), has_body, "{answer}");
    }
}

#[test]
fn a_body_in_one_long_record_is_waited_for_as_long_as_its_bytes_come() {
    for configs in Configs::both() {
        for (bytes_a_second, expected) in [(1000, "200"), (100, "408")] {
            let (host, acceptor) = (host(ServerConfig::default()), acceptor(&configs, 10));
            let mut bench = Bench::on(host, Some(acceptor), echo);
            let mut client = Theirs::client(&configs);
            client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16000\r\n\r\n");
            assert_eq!(settle(&mut bench, &mut client), "");
            let record = client.sealed(&[b'x'; 16_000]);
            for piece in record.chunks(bytes_a_second).take(20) {
                bench.far.send(piece);
                bench.run();
                bench.host.timers.advance(SECOND);
                bench.run();
            }
            let answer = settle(&mut bench, &mut client);
            assert_eq!(statuses(&answer), [expected], "{bytes_a_second} bytes a second");
        }
    }
}

#[test]
fn a_record_whose_rest_does_not_come_is_answered_with_408() {
    let configs = Configs::tls13();
    let (host, acceptor) = (host(ServerConfig::default()), acceptor(&configs, 10));
    let mut bench = Bench::on(host, Some(acceptor), echo);
    let mut client = Theirs::client(&configs);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16000\r\n\r\n");
    assert_eq!(settle(&mut bench, &mut client), "");
    let record = client.sealed(&[b'x'; 16_000]);
    for (piece, wait) in [(&record[..8000], 9), (&record[8000..12_000], 9), (&record[12_000..12_001], 11)] {
        assert_eq!(settle(&mut bench, &mut client), "");
        bench.far.send(piece);
        bench.run();
        bench.host.timers.advance(wait * SECOND);
        bench.run();
    }
    assert_eq!(statuses(&settle(&mut bench, &mut client)), ["408"]);
}

#[test]
fn an_answer_to_a_key_update_that_waits_for_the_peer_does_not_keep_others_from_being_sent() {
    let configs = Configs::tls13();
    let (host, acceptor) = (host(ServerConfig::default()), acceptor(&configs, 10));
    let handler = async |_: Request| std::future::pending::<Response>().await;
    let mut bench = Bench::on(host, Some(acceptor), handler);
    let mut client = Theirs::client(&configs);
    client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(settle(&mut bench, &mut client), "");
    bench.far.set_window(0);
    client.connection.refresh_traffic_keys().unwrap();
    client.write(b"x");
    client.turn(&bench.far);
    // Who reads is another task, and so is who writes.
    let elsewhere = &mut Context::from_waker(Waker::noop());
    let read = bench.connection.poll_body(elsewhere, bench.connection.cycle(), u64::MAX);
    assert_eq!(read, Poll::Ready(Ok(Some(Bytes::from_static(b"x")))));
    bench.flag.0.store(false, Ordering::Relaxed);
    bench.connection.with_output(|output| output.push(Bytes::from_static(b"answer")));
    assert!(bench.connection.poll_drained(elsewhere, 0).is_pending());
    assert!(bench.flag.0.load(Ordering::Relaxed), "the connection's task is to send it");
    bench.run();
    bench.far.set_window(usize::MAX);
    bench.run();
    assert_eq!(settle(&mut bench, &mut client), "answer");
}
