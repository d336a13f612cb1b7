//! How many requests are under way to one server, found out by how it fares.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use ringhttp::client::{AdaptiveLimit, ErrorKind, HostLimit, Proxies, Proxy, Response, Result};
use ringhttp::testing::{RawPeer, RawServer, serve_on};
use ringhttp::{Body, Client, ClientConfig, Core, Request, Router, ServerConfig, WebSocketConfig};

use super::{answering, ok, text, with_config};

fn adaptive(change: impl FnOnce(&mut AdaptiveLimit)) -> ClientConfig {
    let mut adaptive = AdaptiveLimit::default();
    change(&mut adaptive);
    let mut config = ClientConfig::default();
    config.adaptive_limit = Some(adaptive);
    config
}

/// So many and no more.
fn fixed(limit: usize) -> ClientConfig {
    adaptive(|adaptive| (adaptive.initial, adaptive.max) = (limit, limit))
}

/// The one server that there is.
fn only(client: &Client) -> HostLimit {
    let mut limits = client.host_limits();
    assert_eq!(limits.len(), 1, "{limits:?}");
    limits.remove(0)
}

/// A server that answers by how many it is asked at a time, and the most of them.
fn counting(answer: impl Fn(usize) -> String + Send + Sync + 'static) -> (RawServer, Arc<AtomicUsize>) {
    let (under_way, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let server = answering(move |_| {
        let number = under_way.fetch_add(1, Ordering::SeqCst) + 1;
        seen.fetch_max(number, Ordering::SeqCst);
        let answer = answer(number);
        under_way.fetch_sub(1, Ordering::SeqCst);
        answer
    });
    (server, most)
}

/// Keeps `askers` requests under way or in line until so many have ended; gives the mean limit of the second half.
async fn load(core: &Core, client: &Client, server: &RawServer, askers: usize, each: usize) -> usize {
    let limits: Rc<std::cell::RefCell<Vec<usize>>> = Rc::default();
    let asking: Vec<_> = (0..askers)
        .map(|_| {
            let (client, url, limits) = (client.clone(), server.url("/"), Rc::clone(&limits));
            core.spawn("asker", async move {
                for _ in 0..each {
                    let answer = client.get(&url).send().await.expect("an answer");
                    assert!(matches!(answer.status().as_u16(), 200 | 503));
                    answer.discard().await;
                    limits.borrow_mut().push(only(&client).limit);
                }
            })
        })
        .collect();
    for asked in asking {
        asked.await.expect("no panic");
    }
    let limits = limits.borrow();
    assert_eq!(limits.len(), askers * each, "every request has ended");
    let settled = &limits[limits.len() / 2..];
    settled.iter().sum::<usize>() / settled.len()
}

#[test]
fn a_server_that_refuses_what_is_too_much_is_asked_about_as_much_as_it_takes() {
    const BEARS: usize = 8;
    // Of the times on a busy machine nothing is said here.
    with_config(&adaptive(|adaptive| adaptive.latency_ratio_max = f64::INFINITY), async |core, client| {
        let (server, _) = counting(|number| {
            if number > BEARS {
                return "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned();
            }
            thread::sleep(Duration::from_millis(4));
            ok("hello")
        });
        let limit = load(&core, &client, &server, 40, 40).await;
        assert!((BEARS / 2..=BEARS + 2).contains(&limit), "{limit}");
        let stats = client.stats();
        assert!(stats.limits_raised > 3 && stats.limits_lowered > 1, "{stats:?}");
        let now = only(&client);
        assert_eq!((now.in_flight, now.waiting, now.host), (0, 0, server.url("")));
        assert!(now.first_byte.expect("it is known") >= Duration::from_millis(3));
        assert!(server.accepted() <= 40);
    });
}

#[test]
fn a_server_that_becomes_slow_is_asked_about_as_much_as_it_bears() {
    const BEARS: usize = 8;
    let config = adaptive(|adaptive| {
        adaptive.latency_ratio_max = 3.0;
        adaptive.latency_slack = Duration::from_millis(40);
    });
    with_config(&config, async |core, client| {
        let (server, _) = counting(|number| {
            thread::sleep(Duration::from_millis(if number > BEARS { 100 } else { 10 }));
            ok("hello")
        });
        let limit = load(&core, &client, &server, 40, 10).await;
        assert!((BEARS / 3..=2 * BEARS).contains(&limit), "{limit}");
        assert!(client.stats().limits_lowered > 0);
    });
}

#[test]
fn it_holds_what_it_says_and_servers_do_not_share_it() {
    with_config(&fixed(3), async |core, client| {
        let slow = |_| {
            thread::sleep(Duration::from_millis(3));
            ok("hello")
        };
        let ((one, most_of_one), (other, most_of_other)) = (counting(slow), counting(slow));
        let asking: Vec<_> = (0..60)
            .map(|number| {
                let (client, url) =
                    (client.clone(), if number % 2 == 0 { one.url("/") } else { other.url("/") });
                core.spawn("asker", async move { text(client.get(url).send().await).await })
            })
            .collect();
        for asked in asking {
            assert_eq!(asked.await.expect("no panic"), "hello");
        }
        assert_eq!((most_of_one.load(Ordering::SeqCst), most_of_other.load(Ordering::SeqCst)), (3, 3));
        assert_eq!(client.host_limits().len(), 2);
    });
}

#[test]
fn who_waits_for_it_waits_in_line_with_its_time_and_its_errors() {
    let mut config = fixed(1);
    config.pool_timeout = Some(Duration::from_millis(20));
    config.waiting_max = 1;
    with_config(&config, async |_, client| {
        let server = answering(|_| ok("hello"));
        let held = client.get(server.url("/")).send().await.expect("an answer");
        drop(held);
        let silent = RawServer::start(|mut peer| {
            peer.read_all();
        });
        let mut held = Box::pin(client.get(silent.url("/")).send());
        assert!(!turn(&mut held, 3).await);
        let late = client.get(silent.url("/")).send().await.expect_err("the one is under way");
        assert_eq!(late.kind(), ErrorKind::PoolTimeout);
        let mut waits = Box::pin(client.get(silent.url("/")).pool_timeout(None).send());
        assert!(!turn(&mut waits, 3).await);
        let full = client.get(silent.url("/")).send().await.expect_err("the line is full");
        assert_eq!(full.kind(), ErrorKind::PoolFull);
        assert_eq!(text(client.get(server.url("/")).send().await).await, "hello", "the others go on");
        drop((held, waits));
        assert_eq!((client.stats().in_use, client.stats().waiting, client.stats().limits_lowered), (0, 0, 0));
    });
}

#[test]
fn what_fails_makes_it_less() {
    let config = adaptive(|adaptive| (adaptive.initial, adaptive.min) = (64, 1));
    with_config(&config, async |core, client| {
        let server = RawServer::start(|mut peer: RawPeer| {
            let Some(head) = peer.read_head() else { return };
            if head.contains(" /half ") {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf");
            } else if head.contains(" /silent ") {
                peer.read_all();
            }
        });
        let first_byte = |path: &str| (path == "/silent").then_some(Duration::from_millis(30));
        let get = |path: &str| client.get(server.url(path)).first_byte_timeout(first_byte(path));
        let ask = async |path: &str| get(path).send().await?.bytes().await;
        for (path, kind, limit) in [
            ("/closed", ErrorKind::Disconnected, 32),
            ("/half", ErrorKind::Body, 28),
            ("/silent", ErrorKind::FirstByteTimeout, 25),
        ] {
            assert_eq!(ask(path).await.expect_err(path).kind(), kind);
            assert_eq!(only(&client).limit, limit, "{path}");
        }
        // A burst is one.
        let burst: Vec<_> = (0..20)
            .map(|_| {
                let request = get("/silent");
                core.spawn("asker", async move { request.send().await.map(drop) })
            })
            .collect();
        for asked in burst {
            assert_eq!(
                asked.await.expect("no panic").expect_err("it is silent").kind(),
                ErrorKind::FirstByteTimeout
            );
        }
        assert_eq!(only(&client).limit, 22);
        // What is the caller's own fault says nothing.
        let broken = Body::stream(async |_| Err(ringhttp::Error::internal("no body")));
        let error = client.post(server.url("/silent")).body(broken).send().await.expect_err("no body");
        assert_eq!((error.kind(), only(&client).limit), (ErrorKind::Upload, 22));
        drop(server);
    });
}

#[test]
fn a_websocket_is_no_request_under_way() {
    let routes = || {
        Router::new()
            .get("/ws", async |_: &(), req: Request| -> ringhttp::Result<ringhttp::websocket::Closed> {
                let mut socket = req.websocket(WebSocketConfig::default()).await?;
                while socket.receive().await?.is_some() {}
                Ok(socket.close().await?)
            })
            .get("/", async |_: &(), _: Request| "hello")
    };
    with_config(&fixed(1), async |core, client| {
        serve_on(&core, ServerConfig::default(), routes(), (), async |server| {
            let url = format!("http://{}", server.address());
            let sockets = [
                client.websocket(format!("{url}/ws")).connect().await.expect("it opens"),
                client.websocket(format!("{url}/ws")).connect().await.expect("it opens"),
            ];
            assert_eq!(text(client.get(&url).send().await).await, "hello");
            assert_eq!((client.stats().in_use, only(&client).in_flight), (2, 0));
            for socket in sockets {
                socket.close().await.expect("it closes");
            }
            super::until("the places are free", || client.stats().in_use == 0).await;
            assert_eq!(text(client.get(&url).send().await).await, "hello");
        })
        .await;
    });
}

#[test]
fn connections_that_are_made_before_they_are_needed_are_no_requests_under_way() {
    with_config(&fixed(2), async |_, client| {
        let server = answering(|_| ok("hello"));
        assert_eq!(client.prewarm(server.url("/"), 5).await.expect("they are made"), 5);
        assert_eq!((client.stats().idle, only(&client).in_flight), (5, 0));
        for _ in 0..3 {
            assert_eq!(text(client.get(server.url("/")).send().await).await, "hello");
        }
        assert_eq!(client.stats().made, 5);
    });
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response>> + 'a>>;

fn begin<'a>(client: &'a Client, server: &RawServer, path: &str) -> Sending<'a> {
    Box::pin(client.get(server.url(path)).send())
}

/// Polls a future so many times, with everything else having its turn between; true if it was done by then.
async fn turn<F: Future + ?Sized>(future: &mut Pin<Box<F>>, turns: usize) -> bool {
    for _ in 0..turns {
        if poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await {
            return true;
        }
        ringhttp::time::sleep(Duration::from_millis(1)).await;
    }
    false
}

#[test]
fn who_holds_an_answer_does_not_keep_others_or_himself_from_another() {
    let server = RawServer::start(|mut peer: RawPeer| {
        while let Some(head) = peer.read_head() {
            if head.contains(" /half ") {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf");
                peer.read_all();
            }
            peer.send(ok("hello"));
        }
    });
    with_config(&fixed(1), async |_, client| {
        let half = client.get(server.url("/half")).send().await.expect("a head");
        let whole = client.get(server.url("/")).send().await.expect("a head");
        assert_eq!((only(&client).in_flight, client.stats().in_use), (0, 2));
        let all = client.batch((0..10).map(|_| client.get(server.url("/")))).all().await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        drop((half, whole, all));
        assert_eq!((client.stats().in_use, client.stats().waiting), (0, 0));
    });
}

#[test]
fn what_callers_give_up_tells_that_a_server_hangs() {
    with_config(&adaptive(|limit| limit.initial = 20), async |_, client| {
        let silent = RawServer::start(|mut peer| drop(peer.read_all()));
        let mut asking: Vec<_> = (0..20).map(|_| begin(&client, &silent, "/")).collect();
        for request in &mut asking {
            assert!(!turn(request, 1).await, "nobody is answered");
        }
        ringhttp::time::sleep(Duration::from_millis(20)).await;
        drop(asking);
        assert_eq!((only(&client).limit, client.stats().limits_lowered), (10, 1), "once for all of them");
        assert_eq!((only(&client).in_flight, client.stats().in_use), (0, 0));
    });
}

/// In whatever phase a request is dropped, the next in line has its place, and nothing is counted that is not there.
#[test]
fn a_request_that_is_dropped_gives_its_place_to_the_next_in_every_phase() {
    let silent = RawServer::start(|mut peer: RawPeer| {
        while let Some(head) = peer.read_head() {
            if head.contains(" /good ") {
                peer.send(ok("hello"));
            } else if head.contains(" /deaf ") {
                peer.wait(Duration::from_secs(5));
                return;
            } else {
                peer.read_all();
            }
        }
    });
    let tunnel = Proxy::new(silent.url("/")).expect("a proxy").always_tunnel();
    let tunneled = Proxies::all(tunnel);
    type Begin<'a> = Box<dyn Fn(&'a Client) -> Sending<'a> + 'a>;
    let url = |path: &str| silent.url(path);
    with_config(&fixed(1), async |_, client| {
        let phases: [(&str, Begin<'_>); 3] = [
            (
                "connects",
                Box::new(|client| Box::pin(client.get("http://a.invalid/").proxies(&tunneled).send())),
            ),
            ("writes", Box::new(|client| Box::pin(client.post(url("/deaf")).body(vec![0; 8 << 20]).send()))),
            ("waits for a head", Box::new(|client| begin(client, &silent, "/silent"))),
        ];
        for (phase, begin_it) in &phases {
            for turns in [1, 2, 5, 20] {
                let (mut doomed, mut second, mut third) =
                    (begin_it(&client), begin_it(&client), begin_it(&client));
                assert!(!turn(&mut doomed, turns).await, "it does not end: {phase}");
                assert!(!turn(&mut second, 1).await && !turn(&mut third, 1).await);
                let counts = || {
                    let limits = client.host_limits();
                    let sum = |of: fn(&HostLimit) -> usize| limits.iter().map(of).sum::<usize>();
                    (sum(|limit| limit.in_flight), sum(|limit| limit.waiting))
                };
                assert_eq!(counts(), (1, 2), "{phase} {turns}");
                drop(third); // while it waits in line
                drop(doomed);
                assert!(!turn(&mut second, turns).await, "it does not end either: {phase}");
                assert_eq!(counts(), (1, 0), "{phase} {turns}");
                drop(second);
                assert_eq!(counts(), (0, 0), "{phase} {turns}");
                assert_eq!((client.stats().in_use, client.stats().waiting), (0, 0), "{phase} {turns}");
                assert_eq!(text(client.get(url("/good")).send().await).await, "hello");
            }
        }
        assert_eq!(client.stats().limits_lowered, 0, "what is given up says nothing");
    });
}
