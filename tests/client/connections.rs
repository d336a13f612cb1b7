//! Who gets a connection, and how long one lives.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ringhttp::client::{CloseReason, ErrorKind, Priority, SharedLimit};
use ringhttp::testing::{RawServer, drivers};
use ringhttp::{Client, ClientConfig, Cores, RuntimeConfig, time};

use super::{answering, ok, text, until, with_config};

/// Answers after a moment, so that requests overlap.
fn slow() -> RawServer {
    answering(|_| {
        thread::sleep(Duration::from_millis(20));
        ok("slow")
    })
}

#[test]
fn no_more_than_so_many_connections_are_made() {
    for (limit, limit_per_host, expected) in [(3, 0, 3), (100, 2, 2)] {
        let mut config = ClientConfig::default();
        (config.limit, config.limit_per_host) = (limit, limit_per_host);
        with_config(&config, async |core, client| {
            let server = Rc::new(slow());
            let tasks: Vec<_> = (0..12)
                .map(|_| {
                    let (client, server) = (client.clone(), Rc::clone(&server));
                    core.spawn("asker", async move { text(client.get(server.url("/")).send().await).await })
                })
                .collect();
            until("the requests to wait", || client.stats().waiting == 12 - expected).await;
            for task in tasks {
                assert_eq!(task.await.expect("no panic"), "slow");
            }
            let stats = client.stats();
            assert_eq!((server.accepted(), usize::try_from(stats.waits)), (expected, Ok(12 - expected)));
            assert!(
                stats.waited > Duration::from_millis(10) && stats.mean_wait() > Duration::ZERO,
                "{stats}"
            );
        });
    }
}

#[test]
fn a_wait_that_is_too_long_is_its_own_error() {
    let mut config = ClientConfig::default();
    config.limit = 1;
    config.waiting_max = 1;
    config.pool_timeout = Some(Duration::from_millis(400));
    with_config(&config, async |core, client| {
        let server = RawServer::start(|mut peer| {
            peer.read_head();
            peer.read_all();
        });
        let holds = client.get(server.url("/")).send();
        let mut holds = Box::pin(holds);
        let noop = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(holds.as_mut().poll(noop).is_pending());
        let (other, url) = (client.clone(), server.url("/"));
        let waits = core.spawn("waits", async move { other.get(url).send().await.map(drop) });
        until("it to wait", || client.stats().waiting == 1).await;
        let full = client.get(server.url("/")).send().await.expect_err("the line is full");
        assert_eq!(full.kind(), ErrorKind::PoolFull);
        let late = waits.await.expect("no panic").expect_err("it is late");
        assert_eq!(late.kind(), ErrorKind::PoolTimeout);
        assert!(late.is_timeout() && late.is_retryable());
        let late = client.get(server.url("/")).timeout(Some(Duration::from_millis(20))).send().await;
        assert_eq!(late.expect_err("it is late").kind(), ErrorKind::Timeout, "the shorter time counts");
        assert_eq!(client.stats().wait_timeouts, 2);
    });
}

#[test]
fn who_has_priority_goes_first() {
    let mut config = ClientConfig::default();
    config.limit = 1;
    with_config(&config, async |core, client| {
        let server = Rc::new(slow());
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, priority) in [
            ("first", Priority::Low),
            ("low", Priority::Low),
            ("normal", Priority::Normal),
            ("high", Priority::High),
            ("normal again", Priority::Normal),
        ] {
            let (client, server, order) = (client.clone(), Rc::clone(&server), Rc::clone(&order));
            tasks.push(core.spawn("asker", async move {
                text(client.get(server.url("/")).priority(priority).send().await).await;
                order.borrow_mut().push(name);
            }));
            core.yield_now().await;
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*order.borrow(), ["first", "high", "normal", "normal again", "low"]);
    });
}

#[test]
fn idle_connections_end_in_time() {
    let mut config = ClientConfig::default();
    config.keep_alive_timeout = Duration::from_millis(60);
    with_config(&config, async |_, client| {
        let server = answering(|_| ok("hello"));
        text(client.get(server.url("/")).send().await).await;
        assert_eq!(client.stats().idle, 1);
        until("it to be closed", || client.stats().idle == 0).await;
        assert_eq!(client.stats().closed.get(CloseReason::IdleExpired), 1);
        until("the server to see it", || server.open() == 0).await;
    });
}

#[test]
fn a_server_that_says_how_long_it_waits_is_not_waited_for_longer() {
    with_config(&ClientConfig::default(), async |_, client| {
        for (timeout, is_kept) in [("timeout=1, max=100", true), ("timeout=0", false), ("timeout=3600", true)]
        {
            let answer = ok("hello").replacen("\r\n", &format!("\r\nkeep-alive: {timeout}\r\n"), 1);
            let server = answering(move |_| answer.clone());
            text(client.get(server.url("/")).send().await).await;
            assert_eq!(client.stats().idle, usize::from(is_kept), "{timeout}");
            if timeout.starts_with("timeout=1,") {
                // Half of a second is left to the server.
                time::sleep(Duration::from_millis(650)).await;
                assert_eq!(client.stats().idle, 0, "{timeout}");
            }
        }
    });
}

#[test]
fn old_connections_are_replaced() {
    let mut config = ClientConfig::default();
    config.connection_age_max = Some(Duration::from_millis(100));
    with_config(&config, async |_, client| {
        let server = answering(|_| ok("hello"));
        for _ in 0..25 {
            text(client.get(server.url("/")).send().await).await;
            time::sleep(Duration::from_millis(10)).await;
        }
        assert!((3..=25).contains(&server.accepted()), "{}", server.accepted());
        assert!(client.stats().closed.get(CloseReason::Old) >= 2, "{:?}", client.stats());
    });
}

#[test]
fn an_idle_connection_makes_room_for_another_server() {
    let mut config = ClientConfig::default();
    config.limit = 2;
    with_config(&config, async |_, client| {
        let servers = [0; 3].map(|_| answering(|_| ok("hello")));
        for server in &servers {
            text(client.get(server.url("/")).send().await).await;
        }
        let stats = client.stats();
        assert_eq!((stats.idle, stats.closed.get(CloseReason::Replaced)), (2, 1));
        until("the first to be closed", || servers[0].open() == 0).await;
    });
}

#[test]
fn connections_can_be_made_before_they_are_needed() {
    let mut config = ClientConfig::default();
    config.limit_per_host = 5;
    with_config(&config, async |_, client| {
        let server = answering(|_| ok("hello"));
        assert_eq!(client.prewarm(server.url("/"), 3).await.expect("it listens"), 3);
        assert_eq!(client.prewarm(server.url("/"), 4).await.expect("it listens"), 1);
        assert_eq!(
            client.prewarm(server.url("/"), 9).await.expect("it listens"),
            1,
            "no more than the limit"
        );
        assert_eq!(client.stats().idle, 5);
        until("the server to see them", || server.accepted() == 5).await;
        let answer = client.get(server.url("/")).send().await.expect("an answer");
        assert!(answer.timings().connect.is_none());
        assert_eq!(text(Ok(answer)).await, "hello");
        let nobody = client.prewarm("http://127.0.0.1:1/", 1).await.expect_err("nobody listens");
        assert_eq!(nobody.kind(), ErrorKind::Connect);
        assert_eq!(client.stats().in_use, 0);
    });
}

#[test]
fn a_connection_made_ahead_that_is_lost_is_replaced() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = RawServer::start(|mut peer| {
            if peer.read_head().is_some() && peer.number() > 0 {
                peer.send(ok("hello"));
            }
        });
        assert_eq!(client.prewarm(server.url("/"), 1).await.expect("it listens"), 1);
        assert_eq!(text(client.get(server.url("/")).send().await).await, "hello");
        assert_eq!((client.stats().resent, server.accepted()), (1, 2));
    });
}

#[test]
fn a_closed_client_does_not_wait_for_who_went_away() {
    let mut config = ClientConfig::default();
    config.limit = 1;
    with_config(&config, async |_, client| {
        let server = RawServer::start(|mut peer| {
            peer.read_head();
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
            peer.read_all();
        });
        let first = client.get(server.url("/")).send().await.expect("a head");
        let noop = &mut std::task::Context::from_waker(std::task::Waker::noop());
        let mut second = Box::pin(client.get(server.url("/")).send());
        assert!(second.as_mut().poll(noop).is_pending());
        assert_eq!(client.stats().waiting, 1);
        // The second is given the place of the first, and does not come for it.
        drop(first);
        let mut close = Box::pin(client.close());
        assert!(close.as_mut().poll(noop).is_pending());
        drop(second);
        time::timeout(Duration::from_secs(5), close).await.expect("nothing is out any more");
    });
}

#[test]
fn unix_sockets_are_servers_of_their_own() {
    let paths = ["a", "b"].map(|name| {
        let path = std::env::temp_dir().join(format!("ringhttp-client-{name}-{}.sock", std::process::id()));
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a free path");
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.expect("a peer");
                thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(count @ 1..) = socket.read(&mut bytes) {
                        let head = String::from_utf8_lossy(&bytes[..count]).into_owned();
                        if socket.write_all(ok(&format!("{name} {head}")).as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        path
    });
    let mut config = ClientConfig::default();
    config.unix_socket = Some(paths[0].clone());
    with_config(&config, async |_, client| {
        for _ in 0..2 {
            let sent = text(client.get("http://service.example/x").send().await).await;
            assert!(sent.starts_with("a GET /x HTTP/1.1\r\nhost: service.example\r\n"), "{sent}");
            let sent = text(client.get("http://service.example/x").unix_socket(&paths[1]).send().await).await;
            assert!(sent.starts_with("b GET /x "), "{sent}");
        }
        assert_eq!((client.stats().made, client.stats().idle), (2, 2));
    });
    paths.iter().for_each(|path| fs::remove_file(path).expect("it is there"));
}

/// Two cores, and room for two connections on both together: who is refused waits until the other core gives one up.
#[test]
fn cores_share_a_limit() {
    for driver in drivers() {
        let server = Arc::new(slow());
        let mut config = ClientConfig::default();
        config.limit_total = Some(SharedLimit::new(2));
        config.timeout = Some(Duration::from_secs(20));
        let most = Arc::new(Mutex::new(0));
        let mut runtime = RuntimeConfig::default();
        runtime.cores = Cores::Count(2);
        (runtime.driver, runtime.handle_signals, runtime.pin) = (driver, false, false);
        let (server, config, seen) = (server, config, Arc::clone(&most));
        let result: ringhttp::Result<()> = ringhttp::run(runtime, async move |core| {
            let client = Client::new(&core, config.clone())?;
            let tasks: Vec<_> = (0..8)
                .map(|_| {
                    let (client, server, seen) = (client.clone(), Arc::clone(&server), Arc::clone(&seen));
                    core.spawn("asker", async move {
                        for _ in 0..3 {
                            assert_eq!(text(client.get(server.url("/")).send().await).await, "slow");
                            let mut most = seen.lock().expect("no panic");
                            *most = server.open().max(*most);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
            client.close().await;
            Ok(())
        });
        result.expect("a good run");
        let most = *most.lock().expect("no panic");
        // A connection that was given up may be open over there for a moment.
        assert!((1..=4).contains(&most), "{most}");
    }
}
