//! WebSockets over real sockets, on both drivers.

mod client;
mod frame;
mod hub;
mod peer;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ringhttp::proto::websocket::{Deflater, Event};
use ringhttp::testing::{each_driver, serve_on};
use ringhttp::websocket::{Closed, CompressionConfig, SlowReader, WebSocket};
use ringhttp::{
    Core, HeaderMap, HeaderValue, Request, Result, Router, ServerConfig, WebSocketConfig, middleware, time,
};

use frame::frame;
use peer::Peer;

async fn echo(_: &(), req: Request) -> Result<Closed> {
    let mut config = WebSocketConfig::default();
    config.message_bytes_max = 16 << 20;
    let mut socket = req.websocket(config).await?;
    while let Some(message) = socket.receive().await? {
        socket.send(message).await?;
    }
    Ok(socket.close().await?)
}

/// Serves `routes`, and runs `peer` on a thread of its own.
async fn with_peer<S: 'static, T: Send + 'static>(
    core: &Core,
    routes: Router<S>,
    state: S,
    peer: impl FnOnce(std::net::SocketAddr) -> T + Send + 'static,
) -> T {
    let mut result = None;
    serve_on(core, ServerConfig::default(), routes, state, async |client| {
        let address = client.address();
        let run = core.spawn_blocking(move || peer(address));
        result = Some(run.await.expect("the peer does not panic"));
    })
    .await;
    result.expect("the body ran")
}

#[test]
fn messages_of_all_sizes_come_back() {
    each_driver(async |core| {
        with_peer(&core, Router::new().get("/ws", echo), (), |address| {
            let mut peer = Peer::open(address, b"");
            for bytes in [0, 1, 125, 126, 127, 5_000, 65_535, 65_536, 200_000, 1 << 20, 5_000_000, 3] {
                let payload: Vec<u8> = (0..bytes).map(|n: u32| n.to_le_bytes()[(n % 3) as usize]).collect();
                for _ in 0..3 {
                    let sent = frame(0x82, &payload);
                    let socket = peer.socket.try_clone().expect("an open socket");
                    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut &socket, &sent));
                    assert!(peer.next() == Some(Event::Binary(payload.clone().into())), "{bytes} bytes");
                    sending.join().expect("no panic").expect("the server reads");
                }
            }
            peer.send(&frame(0x88, b"\x03\xe8"));
            assert_eq!(peer.closed(), 1000);
            assert_eq!(peer.next(), None, "the server ends the connection");
        })
        .await;
    });
}

#[test]
fn many_small_messages_in_one_write_and_bytes_behind_the_handshake_are_answered_in_order() {
    each_driver(async |core| {
        with_peer(&core, Router::new().get("/ws", echo), (), |address| {
            let mut batch = Vec::new();
            for n in 0..2_000 {
                batch.extend(frame(0x81, n.to_string().as_bytes()));
            }
            let mut peer = Peer::open(address, &batch);
            for n in 0..2_000 {
                assert_eq!(peer.text(), n.to_string());
            }
        })
        .await;
    });
}

#[test]
fn what_came_before_a_fault_is_answered_before_it_is_closed() {
    each_driver(async |core| {
        with_peer(&core, Router::new().get("/ws", echo), (), |address| {
            let mut peer = Peer::open(address, b"");
            peer.send(&[frame(0x81, b"fine"), frame(0xa1, b"bad"), frame(0x89, b"")].concat());
            assert_eq!(peer.text(), "fine");
            assert_eq!(peer.closed(), 1002);
        })
        .await;
    });
}

#[test]
fn a_socket_opens_behind_middleware() {
    each_driver(async |core| {
        let routes = Router::new()
            .get("/ws", echo)
            .with(middleware::compress(middleware::CompressConfig::default()))
            .with(middleware::request_id(middleware::RequestIdConfig::default()))
            .with(async |(): &(), req: Request, next: ringhttp::Next<'_, ()>| {
                let response = next.run(req).await;
                assert_eq!(response.status(), 101);
                response
            });
        with_peer(&core, routes, (), |address| {
            let mut peer = Peer::open(address, b"");
            peer.send_text("hello");
            assert_eq!(peer.text(), "hello");
            peer.send(&frame(0x88, b""));
            assert_eq!(peer.closed(), 1005);
        })
        .await;
    });
}

/// `receive` is dropped every 2 ms while messages come in two pieces each, in the middle of everything.
#[test]
fn dropping_receive_over_and_over_loses_nothing() {
    each_driver(async |core| {
        let routes = Router::new().get("/ws", async |_: &(), req: Request| -> Result<Closed> {
            let mut socket = req.websocket(WebSocketConfig::default()).await?;
            loop {
                match time::timeout(Duration::from_millis(2), socket.receive()).await {
                    Err(_) => {}
                    Ok(received) => match received? {
                        Some(message) => socket.send(message).await?,
                        None => return Ok(socket.close().await?),
                    },
                }
            }
        });
        with_peer(&core, routes, (), |address| {
            let mut peer = Peer::open(address, b"");
            for n in 0..40_usize {
                let text = "x".repeat(n * 500);
                let sent = frame(0x81, text.as_bytes());
                let (front, back) = sent.split_at(sent.len() / 2);
                peer.send(front);
                std::thread::sleep(Duration::from_millis(n as u64 % 5));
                peer.send(back);
                assert_eq!(peer.text(), text);
            }
        })
        .await;
    });
}

/// One write brings thousands of tiny messages: other tasks of the core run in between.
#[test]
fn a_flood_of_messages_does_not_have_the_core_to_itself() {
    const MESSAGES: u32 = 20_000;
    let flood = frame(0x82, b"").repeat(MESSAGES as usize);
    each_driver(async |core| {
        let turns = turns_during(&core, MESSAGES, "", flood.clone()).await;
        assert!(turns > MESSAGES / 128, "{turns} turns");
    });
}

/// Turns of the core while a handler receives so many messages, which a peer sends in one go.
async fn turns_during(core: &Core, messages: u32, fields: &'static str, flood: Vec<u8>) -> u32 {
    let turns = Rc::new(Cell::new(0_u32));
    let (turning, yielder) = (Rc::clone(&turns), core.clone());
    let others = core.spawn("others", async move {
        loop {
            yielder.yield_now().await;
            turning.set(turning.get() + 1);
        }
    });
    let routes = Router::new().get("/ws", async move |_: &(), req: Request| -> Result<Closed> {
        let mut socket = req.websocket(WebSocketConfig::default()).await?;
        socket.receive().await?;
        let before = turns.get();
        for _ in 1..messages {
            socket.receive().await?;
        }
        socket.send((turns.get() - before).to_string()).await?;
        Ok(socket.close().await?)
    });
    let turns = with_peer(core, routes, (), move |address| {
        let mut peer = Peer::open_with(address, fields, b"");
        peer.send(&flood);
        peer.text().parse().expect("a number")
    });
    let turns = turns.await;
    others.cancel();
    turns
}

#[test]
fn the_answer_has_fields_of_the_application_beside_those_of_the_handshake() {
    async fn visit(_: &(), req: Request) -> Result<Closed> {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        for own in ["upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol"] {
            headers.insert(own, HeaderValue::from_static("mine"));
        }
        let mut config = WebSocketConfig::default();
        config.close_timeout = Duration::from_millis(50);
        let socket = req.websocket_with(config, &headers).await?;
        Ok(socket.close().await?)
    }

    each_driver(async |core| {
        with_peer(&core, Router::new().get("/ws", visit), (), |address| {
            let mut socket = std::net::TcpStream::connect(address).expect("the server listens");
            std::io::Write::write_all(&mut socket, peer::OPENING.as_bytes()).expect("the server reads");
            let mut answer = Vec::new();
            std::io::Read::read_to_end(&mut socket, &mut answer).expect("nobody answers the Close frame");
            let answer = String::from_utf8_lossy(&answer).to_lowercase();
            assert!(answer.starts_with("http/1.1 101 "), "{answer}");
            assert!(answer.contains("set-cookie: a=1\r\nset-cookie: b=2\r\n"), "{answer}");
            assert!(!answer.contains("mine") && answer.contains("\r\nupgrade: websocket\r\n"), "{answer}");
        })
        .await;
    });
}

/// A text of so many fragments of one byte each, each in a frame with a mask of nothing.
fn fragments(count: usize) -> Vec<u8> {
    let frame = |first: u8| [first, 0x81, 0, 0, 0, 0, b'x'];
    let mut bytes = frame(0x01).to_vec();
    bytes.extend(std::iter::repeat_n(frame(0x00), count - 2).flatten());
    bytes.extend(frame(0x80));
    bytes
}

const FRAGMENT_COUNT: usize = 1_000_000;

#[test]
fn rfc6455_10_4_a_million_fragments_of_one_byte_are_refused_at_the_limit() {
    each_driver(async |core| {
        with_peer(&core, Router::new().get("/ws", echo), (), |address| {
            let mut peer = Peer::open(address, b"");
            let socket = peer.socket.try_clone().expect("an open socket");
            // The server stops reading in the middle of it, and hangs up.
            let sending = std::thread::spawn(move || {
                let _ = std::io::Write::write_all(&mut &socket, &fragments(FRAGMENT_COUNT));
            });
            assert_eq!(peer.closed(), 1009);
            drop(peer);
            sending.join().expect("no panic");
        })
        .await;
    });
}

#[test]
fn a_million_fragments_of_one_byte_are_joined_where_that_is_allowed_and_others_are_served_meanwhile() {
    async fn echo(_: &(), req: Request) -> Result<Closed> {
        let mut config = WebSocketConfig::default();
        config.fragment_count_max = FRAGMENT_COUNT;
        let mut socket = req.websocket(config).await?;
        while let Some(message) = socket.receive().await? {
            socket.send(message).await?;
        }
        Ok(socket.close().await?)
    }

    each_driver(async |core| {
        with_peer(&core, Router::new().get("/ws", echo), (), |address| {
            let (mut peer, mut other) = (Peer::open(address, b""), Peer::open(address, b""));
            let socket = peer.socket.try_clone().expect("an open socket");
            let sending = std::thread::spawn(move || {
                std::io::Write::write_all(&mut &socket, &fragments(FRAGMENT_COUNT))
                    .expect("the server reads");
            });
            let mut rounds = 0;
            while !sending.is_finished() || rounds == 0 {
                other.send_text("meanwhile");
                assert_eq!(other.text(), "meanwhile");
                rounds += 1;
            }
            sending.join().expect("no panic");
            assert!(peer.text() == "x".repeat(FRAGMENT_COUNT));
        })
        .await;
    });
}

#[test]
fn a_stop_closes_sockets_with_1001_and_waits_for_them() {
    each_driver(async |core| {
        let left = Rc::new(Cell::new(false));
        let leaving = Rc::clone(&left);
        let routes = Router::new().get("/ws", async move |_: &(), req: Request| -> Result<Closed> {
            let mut socket = req.websocket(WebSocketConfig::default()).await?;
            assert_eq!(socket.receive().await?, None);
            leaving.set(true);
            Ok(socket.close().await?)
        });
        let mut thread = None;
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let address = client.address();
            let open = core.spawn_blocking(move || Peer::open(address, b""));
            let mut peer = open.await.expect("no panic");
            // The stop comes when this body has ended.
            thread = Some(std::thread::spawn(move || (peer.closed(), peer.next())));
        })
        .await;
        let ended = thread.expect("the body ran").join().expect("no panic");
        assert_eq!(ended, (1001, None));
        assert!(left.get(), "the handler was waited for");
    });
}

#[test]
fn a_socket_that_was_moved_to_a_task_goes_on_and_is_reached_by_the_stop() {
    each_driver(async |core| {
        let spawner = core.clone();
        let routes = Router::new().get("/ws", async move |_: &(), req: Request| -> Result<()> {
            let mut socket = req.websocket(WebSocketConfig::default()).await?;
            drop(spawner.spawn("session", async move {
                while let Ok(Some(message)) = socket.receive().await {
                    if socket.send(message).await.is_err() {
                        break;
                    }
                }
                let _ = socket.close().await;
            }));
            Ok(())
        });
        let mut thread = None;
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let address = client.address();
            let asked = core.spawn_blocking(move || {
                let mut peer = Peer::open(address, b"");
                for n in 0..100 {
                    peer.send_text(&n.to_string());
                    assert_eq!(peer.text(), n.to_string());
                }
                peer
            });
            let mut peer = asked.await.expect("no panic");
            thread = Some(std::thread::spawn(move || (peer.closed(), peer.next())));
        })
        .await;
        assert_eq!(thread.expect("the body ran").join().expect("no panic"), (1001, None));
    });
}

/// A peer that reads nothing gets 64 MiB of messages: what is held for it stays within the budget.
#[test]
fn the_memory_of_a_slow_reader_is_bounded() {
    each_driver(async |core| {
        let routes = Router::new().get("/ws", async |_: &(), mut req: Request| -> Result<Closed> {
            let stats = req.server_stats();
            let _ = req.body();
            let mut config = WebSocketConfig::default();
            config.slow_reader = SlowReader::DropOldest;
            let socket: WebSocket = req.websocket(config).await?;
            for n in 0..1024_u32 {
                let mut message = n.to_be_bytes().to_vec();
                message.resize(65_536, 0);
                socket.send(message).await?;
                if n % 64 == 0 {
                    time::sleep(Duration::from_millis(1)).await;
                }
            }
            // 256 KiB in the queue, and what the kernel takes: some MiB.
            assert!(stats.websockets.messages_dropped.get() > 700, "{:?}", stats.websockets);
            assert!(stats.websockets.bytes_out.get() < 20 << 20, "{:?}", stats.websockets);
            Ok(socket.close().await?)
        });
        with_peer(&core, routes, (), |address| {
            let mut peer = Peer::open(address, b"");
            std::thread::sleep(Duration::from_millis(300));
            let mut last = None;
            while let Some(Event::Binary(message)) = peer.next() {
                last = Some(u32::from_be_bytes(message[..4].try_into().expect("four bytes")));
            }
            assert_eq!(last, Some(1023), "the newest message is there");
        })
        .await;
    });
}

#[cfg(feature = "compression")]
#[test]
fn a_message_that_is_compressed_elsewhere_keeps_its_place() {
    each_driver(async |core| {
        let routes = Router::new().get("/ws", async |_: &(), req: Request| -> Result<Closed> {
            let mut compression = CompressionConfig::default();
            compression.blocking_bytes_min = 10_000;
            let mut config = WebSocketConfig::default();
            config.send_queue_bytes_max = 64 << 20;
            config.compression = Some(compression);
            let socket = req.websocket(config).await?;
            for n in 0..20 {
                socket.send("long ".repeat(100_000)).await?;
                socket.send(format!("short {n}")).await?;
            }
            Ok(socket.close().await?)
        });
        with_peer(&core, routes, (), |address| {
            let mut peer = Peer::open_with(address, "sec-websocket-extensions: permessage-deflate\r\n", b"");
            let long = "long ".repeat(100_000);
            for n in 0..20 {
                assert!(peer.text() == long, "{n}");
                assert_eq!(peer.text(), format!("short {n}"));
            }
            assert_eq!(peer.closed(), 1000);
        })
        .await;
    });
}

/// The same for compressed messages, however few bytes they are on the wire.
#[cfg(feature = "compression")]
#[test]
fn a_flood_of_messages_that_are_unpacked_does_not_have_the_core_to_itself() {
    const MESSAGES: u32 = 60;
    let mut packed = Vec::new();
    Deflater::new(1, 15).compress(&vec![0; 127 * 1024], 1, &mut packed);
    let flood = frame(0xc2, &packed).repeat(MESSAGES as usize);
    each_driver(async |core| {
        let fields = "sec-websocket-extensions: permessage-deflate\r\n";
        let turns = turns_during(&core, MESSAGES, fields, flood.clone()).await;
        assert!(turns > MESSAGES / 4, "{turns} turns");
    });
}

/// No limit is the largest number: to look one byte beyond it is not to wrap around.
#[cfg(feature = "compression")]
#[test]
fn a_message_without_a_limit_is_unpacked() {
    each_driver(async |core| {
        let routes = Router::new().get("/ws", async |_: &(), req: Request| -> Result<Closed> {
            let mut config = WebSocketConfig::default();
            config.message_bytes_max = usize::MAX;
            let mut socket = req.websocket(config).await?;
            while let Some(message) = socket.receive().await? {
                socket.send(message.len().to_string()).await?;
            }
            Ok(socket.close().await?)
        });
        with_peer(&core, routes, (), |address| {
            let mut peer = Peer::open_with(address, "sec-websocket-extensions: permessage-deflate\r\n", b"");
            let mut packed = Vec::new();
            Deflater::new(1, 15).compress(&vec![b'a'; 1_000_000], 1, &mut packed);
            peer.send(&frame(0xc1, &packed));
            assert_eq!(peer.text(), "1000000");
            peer.send(&frame(0x88, b"\x03\xe8"));
            assert_eq!(peer.closed(), 1000);
        })
        .await;
    });
}

#[cfg(feature = "json")]
#[test]
fn a_handler_that_gives_up_over_what_is_no_json_closes_with_1007() {
    async fn sums(_: &(), req: Request) -> Result<Closed> {
        let mut socket = req.websocket(WebSocketConfig::default()).await?;
        let mut sum = 0;
        while let Some(number) = socket.receive_json::<u32>().await? {
            sum += number;
            socket.send_json(&sum).await?;
        }
        Ok(socket.close().await?)
    }
    /// The next failure is its own again.
    async fn fails(_: &(), req: Request) -> Result<Closed> {
        let mut socket = req.websocket(WebSocketConfig::default()).await?;
        assert!(socket.receive_json::<u32>().await.is_err());
        socket.receive().await?;
        Err(ringhttp::Error::internal("on purpose"))
    }
    each_driver(async |core| {
        with_peer(&core, Router::new().get("/ws", sums), (), |address| {
            let mut peer = Peer::open(address, b"");
            peer.send_text("7");
            assert_eq!(peer.text(), "7");
            peer.send_text("{");
            assert_eq!(peer.closed(), 1007);
        })
        .await;
    });
    each_driver(async |core| {
        with_peer(&core, Router::new().get("/ws", fails), (), |address| {
            let mut peer = Peer::open(address, b"");
            peer.send_text("{");
            peer.send_text("1");
            assert_eq!(peer.closed(), 1011);
        })
        .await;
    });
}

#[test]
fn a_page_of_another_scheme_is_of_another_origin_where_a_trusted_proxy_says_which() {
    use ringhttp::testing::each_driver;
    each_driver(async |core: Core| {
        let mut config = ServerConfig::default();
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        serve_on(&core, config, Router::new().get("/ws", echo), (), async |client| {
            for (origin, said, status) in [
                ("https://a", "x-forwarded-proto: https\r\n", "101"),
                ("http://a", "x-forwarded-proto: https\r\n", "403"),
                ("https://a", "x-forwarded-proto: http\r\n", "403"),
                ("https://a", "", "101"),
            ] {
                let fields = format!("host: a\r\norigin: {origin}\r\nx-forwarded-for: 192.0.2.1\r\n{said}");
                let mut connection = client.raw(peer::OPENING.replace("host: a\r\n", &fields)).await;
                let answer = connection.receive().await;
                let expected = format!("HTTP/1.1 {status} ");
                assert!(
                    answer.starts_with(expected.as_bytes()),
                    "{origin} {said}: {}",
                    answer.escape_ascii()
                );
            }
        })
        .await;
    });
}
