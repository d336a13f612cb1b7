//! Futures that are dropped, in every phase of a request: what was taken for it is given back, and those who wait go on.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringhttp::client::{ConnectOptions, LookUp, Proxies, Proxy, Resolve, Response, Result};
use ringhttp::testing::{RawPeer, RawServer};
use ringhttp::{Body, Client, ClientConfig, Core};
use socket2::{Domain, Socket, Type};

use super::{OK, alone, config, get, get_text, leaves_nothing, until};

/// Answers `/good` well and anything else never; reads bodies never.
fn serve() -> RawServer {
    RawServer::start(|mut peer: RawPeer| {
        while let Some(head) = peer.read_head() {
            if head.contains(" /good ") {
                peer.send(OK);
            } else if head.contains(" /half ") {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf");
                peer.read_all();
            } else if head.contains(" /deaf ") {
                peer.wait(Duration::from_millis(300));
                return;
            } else {
                peer.read_all();
            }
        }
    })
}

/// Polls once, without a waker.
fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets the core do what there is to do, `turns` times, with a poll of `future` each time; true if it was done by then.
async fn poll_turns<F: Future + ?Sized>(core: &Core, future: &mut Pin<Box<F>>, turns: usize) -> bool {
    for _ in 0..turns {
        if poll(future).is_ready() {
            return true;
        }
        core.yield_now().await;
    }
    false
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response>> + 'a>>;

/// Begins a request that does not come to its end, drops it after each number of turns, and sees that a second request, which
/// waits for its place, goes on.
async fn drop_in(
    core: &Core,
    config: ClientConfig,
    begin: impl for<'a> Fn(&'a Client, &RawServer) -> Sending<'a>,
) {
    let server = serve();
    let mut config = config;
    config.limit = 1;
    leaves_nothing(core, config, &server, async |client, server| {
        for turns in [0, 1, 2, 3, 5, 8, 40] {
            let mut doomed = begin(client, server);
            assert!(!poll_turns(core, &mut doomed, turns).await, "it does not end: {turns}");
            let waits = client.get(server.url("/good")).send();
            let mut waits: Sending<'_> = Box::pin(waits);
            poll_turns(core, &mut waits, 2).await;
            assert!(turns == 0 || client.stats().waiting == 1, "it waits for the place: {turns}");
            drop(doomed);
            let answer = waits.await.expect("it is its turn");
            assert_eq!(answer.text().await.expect("a body"), "hello");
            assert_eq!((client.stats().in_use, client.stats().waiting), (0, 0), "{turns}");
        }
    })
    .await;
}

#[test]
fn while_it_waits_for_the_answer() {
    alone(async |core| {
        drop_in(&core, config(), |client, server| Box::pin(client.get(server.url("/silent")).send())).await;
    });
}

#[test]
fn while_its_body_waits_for_the_servers_word() {
    alone(async |core| {
        let mut config = config();
        config.expect_continue = true;
        config.continue_timeout = Duration::from_secs(60);
        drop_in(&core, config, |client, server| {
            let body = Body::stream(async |_| panic!("nobody asked for it"));
            Box::pin(client.post(server.url("/silent")).body(body).send())
        })
        .await;
    });
}

#[test]
fn while_it_writes() {
    alone(async |core| {
        drop_in(&core, config(), |client, server| {
            Box::pin(client.post(server.url("/deaf")).body(vec![0; 8 << 20]).send())
        })
        .await;
        drop_in(&core, config(), |client, server| {
            let body = Body::stream(async |mut out| {
                loop {
                    out.write(vec![0; 100_000]).await?;
                }
            });
            Box::pin(client.post(server.url("/deaf")).body(body).send())
        })
        .await;
    });
}

/// An address at which connections are neither taken nor refused: a listener whose backlog is full.
fn black_hole() -> (SocketAddr, Socket, Vec<TcpStream>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    listener.listen(0).expect("bound");
    let address = listener.local_addr().expect("bound").as_socket().expect("IP");
    let patience = Duration::from_millis(200);
    let waiting: Vec<_> = (0..8).map_while(|_| TcpStream::connect_timeout(&address, patience).ok()).collect();
    assert!(waiting.len() < 8, "the backlog is never full");
    (address, listener, waiting)
}

#[test]
fn while_it_connects() {
    alone(async |core| {
        let (hole, _listener, _waiting) = black_hole();
        drop_in(&core, config(), |client, _| Box::pin(client.get(format!("http://{hole}/")).send())).await;
        let mut config = config();
        config.connect_timeout = Some(Duration::from_millis(50));
        let server = serve();
        leaves_nothing(&core, config, &server, async |client, _| {
            let error = client.get(format!("http://{hole}/")).send().await.expect_err("it is late");
            assert_eq!(error.kind(), ringhttp::client::ErrorKind::ConnectTimeout);
        })
        .await;
    });
}

#[test]
fn while_a_tunnel_is_opened() {
    alone(async |core| {
        let proxy = RawServer::start(|mut peer| {
            peer.read_all();
        });
        let tunnel = Proxy::new(proxy.url("/")).expect("a proxy").always_tunnel();
        let mut config = config();
        config.proxies = Proxies::all(tunnel).except("127.0.0.1").expect("an address");
        drop_in(&core, config, |client, _| Box::pin(client.get("http://a.invalid/").send())).await;
    });
}

/// A resolver that finds `slow` never, and everything else here.
struct Slow;

impl Resolve for Slow {
    fn resolve<'a>(&'a self, name: &'a str) -> LookUp<'a> {
        Box::pin(async move {
            if name == "slow" {
                std::future::pending::<()>().await;
            }
            io::Result::Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
        })
    }
}

#[test]
fn while_a_name_is_looked_up() {
    alone(async |core| {
        let mut config = config();
        config.resolver = Some(Arc::new(Slow));
        drop_in(&core, config, |client, _| Box::pin(client.get("http://slow/").send())).await;
    });
}

#[test]
fn while_the_body_is_read() {
    alone(async |core| {
        let server = serve();
        let mut config = config();
        config.limit = 1;
        leaves_nothing(&core, config, &server, async |client, server| {
            for turns in [0, 1, 3, 9] {
                let mut answer = get(client, server, "/half").await.expect("a head");
                assert_eq!(answer.chunk().await.expect("a piece").expect("a piece"), "half");
                let mut waits: Sending<'_> = Box::pin(client.get(server.url("/good")).send());
                poll_turns(&core, &mut waits, 2).await;
                assert_eq!(client.stats().waiting, 1);
                {
                    // A chunk that is given up loses nothing.
                    let mut chunk = Box::pin(answer.chunk());
                    assert!(!poll_turns(&core, &mut chunk, turns).await);
                }
                drop(answer);
                assert_eq!(waits.await.expect("its turn").text().await.expect("a body"), "hello");
            }
        })
        .await;
    });
}

#[test]
fn pieces_of_futures_that_are_given_up_are_not_lost() {
    alone(async |core| {
        let server = RawServer::start(|mut peer| {
            while peer.read_head().is_some() {
                peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                for number in 0..200_u32 {
                    if number % 10 == 0 {
                        peer.wait(Duration::from_millis(1));
                    }
                    peer.send(format!("4\r\n{number:04}\r\n"));
                }
                peer.send("0\r\n\r\n");
            }
        });
        leaves_nothing(&core, config(), &server, async |client, server| {
            let mut answer = get(client, server, "/").await.expect("a head");
            let mut all = Vec::new();
            loop {
                let mut chunk = Box::pin(answer.chunk());
                // Polled once or twice, then dropped, whatever it waits for.
                let polled = match poll(&mut chunk) {
                    Poll::Pending if all.len() % 3 == 0 => poll(&mut chunk),
                    polled => polled,
                };
                drop(chunk);
                match polled {
                    Poll::Ready(Ok(Some(piece))) => all.extend_from_slice(&piece),
                    Poll::Ready(Ok(None)) => break,
                    Poll::Ready(Err(error)) => panic!("{error:?}"),
                    Poll::Pending => core.yield_now().await,
                }
            }
            let expected: String = (0..200).map(|number| format!("{number:04}")).collect();
            assert_eq!(String::from_utf8(all).expect("text"), expected);
        })
        .await;
    });
}

#[test]
fn while_it_waits_in_line() {
    alone(async |core| {
        let server = serve();
        let mut config = config();
        config.limit = 1;
        leaves_nothing(&core, config, &server, async |client, server| {
            let answer = get(client, server, "/half").await.expect("a head");
            let begin = || -> Sending<'_> { Box::pin(client.get(server.url("/good")).send()) };
            let (mut first, mut second, mut third) = (begin(), begin(), begin());
            for waits in [&mut first, &mut second, &mut third] {
                assert!(poll(waits).is_pending());
            }
            assert_eq!(client.stats().waiting, 3);
            drop(second);
            assert_eq!(client.stats().waiting, 2);
            drop(answer);
            // The first has been given the place, and does not come for it.
            drop(first);
            assert_eq!(third.await.expect("its turn").text().await.expect("a body"), "hello");
        })
        .await;
    });
}

#[test]
fn an_answer_that_is_not_read_serves_the_next_if_all_of_it_is_here() {
    alone(async |core| {
        let server = serve();
        leaves_nothing(&core, config(), &server, async |client, server| {
            for _ in 0..5 {
                drop(get(client, server, "/good").await.expect("a head"));
            }
            // The body may have come in a packet of its own.
            assert!(server.accepted() <= 5);
            drop(get(client, server, "/half").await.expect("a head"));
            assert_eq!(get_text(client, server, "/good").await.expect("it goes well"), "hello");
        })
        .await;
    });
}

#[test]
fn closing_waits_for_what_is_under_way_and_tells_who_waits() {
    alone(async |core| {
        let server = RawServer::start(|mut peer| {
            while let Some(head) = peer.read_head() {
                if head.contains(" /slow ") {
                    peer.wait(Duration::from_millis(100));
                }
                peer.send(OK);
            }
        });
        let mut config = config();
        config.limit = 1;
        leaves_nothing(&core, config, &server, async |client, server| {
            let mut slow: Sending<'_> = Box::pin(client.get(server.url("/slow")).send());
            let mut waits: Sending<'_> = Box::pin(client.get(server.url("/good")).send());
            poll_turns(&core, &mut slow, 3).await;
            assert!(poll(&mut waits).is_pending());
            let mut close = Box::pin(client.close());
            assert!(!poll_turns(&core, &mut close, 5).await, "it waits for the slow one");
            let refused = waits.await.expect_err("the client is closed");
            assert_eq!(refused.kind(), ringhttp::client::ErrorKind::Closed);
            assert_eq!(slow.await.expect("it was under way").text().await.expect("a body"), "hello");
            close.await;
            assert_eq!(client.stats().idle, 0);
        })
        .await;
    });
}

/// The last handle goes while connections are idle and answers are held.
#[test]
fn a_client_that_is_dropped_closes_its_connections() {
    alone(async |core| {
        let server = serve();
        core.spawn_blocking(|| ()).await.expect("it runs");
        let before = super::open_fds();
        let client = Client::new(&core, config()).expect("a good configuration");
        get_text(&client, &server, "/good").await.expect("it goes well");
        let held = get(&client, &server, "/half").await.expect("a head");
        drop(client);
        until("the idle one to be closed", || server.open() <= 1).await;
        drop(held);
        until("the other one to be closed", || server.open() == 0).await;
        until("descriptors to be closed", || super::open_fds() <= before).await;
    });
}

#[test]
fn the_address_to_connect_from_is_told() {
    alone(async |core| {
        let mut config = config();
        let mut socket = ConnectOptions::default();
        socket.local_address = Some(IpAddr::from([127, 0, 0, 9]));
        config.socket = socket;
        let server = serve();
        leaves_nothing(&core, config, &server, async |client, server| {
            assert_eq!(get_text(client, server, "/good").await.expect("it goes well"), "hello");
        })
        .await;
    });
}
