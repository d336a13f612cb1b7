//! Our client: against our server, and against one that answers as badly as a test likes.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringhttp::client::{Error, ErrorKind, Proxies, Proxy, ReconnectConfig, ReconnectEvent};
use ringhttp::proto::websocket::accept_key;
use ringhttp::testing::{RawPeer, RawServer, each_driver, serve_on};
use ringhttp::websocket::{
    AnswerFault, CloseCode, Closed, CompressionConfig, Message, WebSocket, WebSocketError,
};
use ringhttp::{
    Client, ClientConfig, Core, HeaderValue, Request, Response, Result, Router, ServerConfig, StatusCode,
    WebSocketConfig, time,
};

use super::echo;

fn new_client(core: &Core) -> Client {
    let mut config = ClientConfig::default();
    config.timeout = Some(Duration::from_secs(20));
    config.cookies = true;
    Client::new(core, config).expect("a good configuration")
}

/// Runs `body` with a client, and the address of a server, on both drivers.
fn with_server<S: Clone + Send + Sync + 'static>(
    routes: impl Fn() -> Router<S> + Send + Sync,
    state: S,
    body: impl AsyncFn(Core, Client, String) + Send + Sync,
) {
    each_driver(async |core| {
        serve_on(&core, ServerConfig::default(), routes(), state.clone(), async |server| {
            let client = new_client(&core);
            body(core.clone(), client.clone(), format!("ws://{}", server.address())).await;
            client.close().await;
        })
        .await;
    });
}

fn echoing() -> Router<()> {
    Router::new().get("/ws", echo)
}

async fn text(socket: &mut WebSocket) -> String {
    match socket.receive().await.expect("no fault") {
        Some(Message::Text(text)) => text.as_str().to_owned(),
        other => panic!("no text: {other:?}"),
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if done() {
            return;
        }
        time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never came: {what}");
}

#[test]
fn messages_of_all_sizes_come_back_compressed_and_not() {
    with_server(echoing, (), async |_, client, url| {
        for compression in [None, Some(CompressionConfig::default()), Some(takeover())] {
            let mut config = WebSocketConfig::default();
            config.message_bytes_max = 16 << 20;
            let is_compressed = compression.is_some() && cfg!(feature = "compression");
            config.compression = compression;
            let request = client.websocket(format!("{url}/ws")).config(config);
            let mut socket = request.connect().await.expect("it opens");
            assert_eq!(socket.is_compressed(), is_compressed);
            for bytes in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000, 3_000_000, 3] {
                let binary = Message::Binary(vec![b'b'; bytes].into());
                socket.send(binary.clone()).await.expect("open");
                socket.send("ü".repeat(bytes / 2)).await.expect("open");
                assert_eq!(socket.receive().await.expect("no fault"), Some(binary), "{bytes} bytes");
                assert_eq!(text(&mut socket).await, "ü".repeat(bytes / 2));
            }
            let closed = socket.close_with(CloseCode::NORMAL, "enough").await.expect("a good code");
            assert_eq!(closed.code(), CloseCode::NORMAL);
        }
        assert_eq!(client.websocket_stats().total.get(), 3);
        until("the places are free", || client.stats().in_use == 0).await;
        assert_eq!(client.websocket_stats().active.get(), 0);
    });
}

fn takeover() -> CompressionConfig {
    let mut compression = CompressionConfig::default();
    compression.context_takeover = true;
    compression.threshold_bytes = 1;
    compression
}

/// What stands in the request, as its server sees it.
#[test]
fn fields_query_credentials_cookies_and_redirects_are_those_of_the_client() {
    let routes = || {
        Router::new()
            .get("/sign-in", async |_: &(), _: Request| {
                Response::empty(StatusCode::FOUND)
                    .with_header("location", HeaderValue::from_static("/ws?from=there"))
                    .with_header("set-cookie", HeaderValue::from_static("session=7; Path=/"))
            })
            .get("/ws", async |_: &(), req: Request| -> Result<Closed> {
                let of = |name: &str| req.header(name).map_or("", |value| value.to_str().unwrap()).to_owned();
                let seen = [
                    format!("{}?{}", req.path(), req.query_string().unwrap_or_default()),
                    of("authorization"),
                    of("cookie"),
                    of("x-a"),
                ]
                .join("|");
                let mut config = WebSocketConfig::default();
                config.protocols = vec!["b".to_owned(), "c".to_owned()];
                let socket = req.websocket(config).await?;
                socket.send(seen).await?;
                Ok(socket.close().await?)
            })
    };
    with_server(routes, (), async |_, client, url| {
        let mut config = WebSocketConfig::default();
        config.protocols = vec!["a".to_owned(), "b".to_owned()];
        let request = client.websocket(format!("{url}/sign-in")).header("x-a", "1").bearer_auth("token");
        let mut socket = request.config(config).connect().await.expect("it opens");
        assert_eq!(text(&mut socket).await, "/ws?from=there|Bearer token|session=7|1");
        assert_eq!(socket.protocol(), Some("b"));
        assert_eq!(socket.receive().await, Ok(None));
        assert_eq!(socket.close().await.expect("closed").code(), CloseCode::NORMAL);

        let url = url.replace("ws://", "http://user:pw@");
        let mut socket = client.websocket(format!("{url}/ws")).query(&[("q", 2)]).connect().await.unwrap();
        assert_eq!(text(&mut socket).await, "/ws?q=2|Basic dXNlcjpwdw==|session=7|");
        assert_eq!(socket.protocol(), None);
    });
}

#[test]
fn rfc6455_4_1_redirects_are_followed_to_urls_of_either_kind() {
    let routes = || {
        echoing().get("/to", async |_: &(), req: Request| {
            let host = req.header("host").map_or("", |host| host.to_str().unwrap());
            let location = req.query_string().unwrap_or_default().replace("HOST", host);
            let location = HeaderValue::try_from(location).unwrap();
            Response::empty(StatusCode::TEMPORARY_REDIRECT).with_header("location", location)
        })
    };
    with_server(routes, (), async |_, client, url| {
        for location in ["ws://HOST/ws", "http://HOST/ws", "//HOST/ws", "/ws", "ws://HOST/to?/ws"] {
            let socket = client.websocket(format!("{url}/to?{location}")).connect().await;
            let mut socket = socket.expect(location);
            socket.send("there").await.expect("open");
            assert_eq!(text(&mut socket).await, "there", "{location}");
            socket.close().await.expect("closed");
        }
        for location in ["ftp://HOST/ws", "ws://", "ws://HOST/to?ws://HOST/to?"] {
            let socket = client.websocket(format!("{url}/to?{location}"));
            let error = socket.connect().await.expect_err(location);
            assert_eq!(error.kind(), ErrorKind::Redirect, "{location}");
        }
        // A redirect that is not to be followed opens nothing.
        let socket = client.websocket(format!("{url}/to?/ws")).request(|request| request.redirects_max(0));
        let error = socket.connect().await.expect_err("no WebSocket");
        assert_eq!((error.kind(), error.status().unwrap().as_u16()), (ErrorKind::WebSocket, 307));
        // Whoever asks for no WebSocket is not led to one.
        let http = url.replace("ws://", "http://");
        let error = client.get(format!("{http}/to?ws://HOST/ws")).send().await.expect_err("not followed");
        assert_eq!(error.kind(), ErrorKind::Redirect);
    });
}

#[test]
fn a_refusal_gives_its_status_and_its_fields() {
    let routes = || {
        echoing().get("/in", async |_: &(), _: Request| {
            Response::empty(StatusCode::UNAUTHORIZED)
                .with_header("www-authenticate", HeaderValue::from_static("Bearer"))
        })
    };
    with_server(routes, (), async |_, client, url| {
        for (path, status) in [("/in", 401), ("/no", 404)] {
            let error = client.websocket(format!("{url}{path}")).connect().await.expect_err("refused");
            assert_eq!((error.kind(), error.status().unwrap().as_u16()), (ErrorKind::WebSocket, status));
            assert_eq!(fault(&error), Some(AnswerFault::NotSwitched));
            assert_eq!(error.headers().unwrap().contains_key("www-authenticate"), status == 401);
        }
        assert_eq!(client.stats().in_use, 0);
        let error = client.websocket("ftp://a/").connect().await.expect_err("no WebSocket");
        assert_eq!(error.kind(), ErrorKind::Url);
        let mut config = WebSocketConfig::default();
        config.protocols = vec!["a b".to_owned()];
        let error = client.websocket(format!("{url}/ws")).config(config).connect().await.expect_err("wrong");
        assert_eq!(error.kind(), ErrorKind::Request);
        assert!(error.to_string().contains("protocols"), "{error}");
    });
}

fn fault(error: &Error) -> Option<AnswerFault> {
    std::error::Error::source(error)?.downcast_ref().copied()
}

/// Reads a request, and gives what `Sec-WebSocket-Accept` has to be.
fn accept(peer: &mut RawPeer) -> Option<String> {
    let head = peer.read_head()?;
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "))?;
    Some(accept_key(key.as_bytes()).to_str().expect("base64").to_owned())
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n";

#[test]
fn rfc6455_4_1_answers_that_open_nothing() {
    const CASES: &[(&str, ErrorKind, Option<AnswerFault>)] = &[
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", ErrorKind::WebSocket, Some(AnswerFault::NotSwitched)),
        (
            "HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: h2c\r\nsec-websocket-accept: $\r\n",
            ErrorKind::WebSocket,
            Some(AnswerFault::UpgradeMissing),
        ),
        (
            "HTTP/1.1 101 S\r\nupgrade: websocket\r\nsec-websocket-accept: $\r\n",
            ErrorKind::WebSocket,
            Some(AnswerFault::UpgradeMissing),
        ),
        ("101\r\n", ErrorKind::WebSocket, Some(AnswerFault::AcceptInvalid)),
        (
            "101\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
            ErrorKind::WebSocket,
            Some(AnswerFault::AcceptInvalid),
        ),
        (
            "101\r\nsec-websocket-accept: $\r\nsec-websocket-protocol: other\r\n",
            ErrorKind::WebSocket,
            Some(AnswerFault::ProtocolUnexpected),
        ),
        (
            "101\r\nsec-websocket-accept: $\r\nsec-websocket-extensions: x-snappy\r\n",
            ErrorKind::WebSocket,
            Some(AnswerFault::ExtensionUnexpected),
        ),
        (
            "101\r\nsec-websocket-accept: $\r\nsec-websocket-extensions: permessage-deflate; server_max_window_bits=7\r\n",
            ErrorKind::WebSocket,
            Some(AnswerFault::ExtensionUnexpected),
        ),
        ("HTTP/1.1 999999 ?\r\n", ErrorKind::Protocol, None),
        ("", ErrorKind::Disconnected, None),
    ];
    each_driver(async |core| {
        let client = new_client(&core);
        for &(answer, kind, expected) in CASES {
            let server = RawServer::start(move |mut peer| {
                let Some(accept) = accept(&mut peer) else { return };
                if !answer.is_empty() {
                    let head = answer.replace("101\r\n", SWITCH).replace('$', &accept);
                    peer.send(format!("{head}\r\n"));
                }
                peer.end();
                peer.read_all();
            });
            let error = client.websocket(server.url("/")).connect().await.expect_err(answer);
            assert_eq!((error.kind(), fault(&error)), (kind, expected), "{answer}");
            until("the place is free", || client.stats().in_use == 0).await;
        }
        assert_eq!(client.websocket_stats().total.get(), 0);
        client.close().await;
    });
}

/// A server that switches, sends `frames` right behind its answer, and then does what `then` says.
fn switching(frames: &'static [u8], then: impl Fn(&mut RawPeer) + Send + Sync + 'static) -> RawServer {
    RawServer::start(move |mut peer| {
        let Some(accept) = accept(&mut peer) else { return };
        let head = format!("{SWITCH}sec-websocket-accept: {accept}\r\n\r\n");
        peer.send([head.as_bytes(), frames].concat());
        then(&mut peer);
    })
}

/// The payload of a client's frame of up to 125 bytes, and its first byte.
fn frame_of_client(peer: &mut RawPeer) -> Option<(u8, Vec<u8>)> {
    let head = peer.read(2);
    let (&first, &second) = (head.first()?, head.get(1)?);
    assert_eq!(second & 0x80, 0x80, "RFC 6455 §5.3: a client masks");
    let key = peer.read(4);
    let payload = peer.read(usize::from(second & 0x7f));
    Some((first, payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()))
}

/// The code of the client's Close frame.
fn code_of_client(peer: &mut RawPeer) -> u16 {
    while let Some((first, payload)) = frame_of_client(peer) {
        if first == 0x88 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
    0
}

#[test]
fn frames_that_no_server_may_send_close_the_socket_with_their_code() {
    const CASES: &[(&[u8], u16)] = &[
        (b"\x81\x81\x01\x02\x03\x04\x60", 1002),             // masked
        (b"\xc1\x01a", 1002),                                // RSV1 without compression
        (b"\x83\x00", 1002),                                 // an opcode that is none
        (b"\x80\x01a", 1002),                                // a continuation of nothing
        (b"\x89\x7e\x00\x7e", 1002),                         // a Ping that is too long
        (b"\x09\x00", 1002),                                 // a Ping in fragments
        (b"\x88\x01\x03", 1002),                             // half a code
        (b"\x88\x02\x03\xed", 1002),                         // 1005
        (b"\x81\x02\xc3\x28", 1007),                         // no UTF-8
        (b"\x82\x7f\x00\x00\x00\x00\x40\x00\x00\x00", 1009), // 1 GiB
    ];
    each_driver(async |core| {
        let client = new_client(&core);
        for &(frames, code) in CASES {
            let (told, codes) = std::sync::mpsc::channel();
            let server = switching(frames, move |peer| {
                told.send(code_of_client(peer)).expect("somebody asks");
            });
            let mut config = WebSocketConfig::default();
            config.compression = None;
            let request = client.websocket(server.url("/")).config(config);
            let mut socket = request.connect().await.expect("it opens");
            let shown = frames.escape_ascii();
            assert!(matches!(socket.receive().await, Err(WebSocketError::Fault(_))), "{shown}");
            assert_eq!(socket.close_code().map(CloseCode::as_u16), Some(code), "{shown}");
            assert_eq!(core.spawn_blocking(move || codes.recv()).await.unwrap(), Ok(code), "{shown}");
            drop(socket);
            until("the place is free", || client.stats().in_use == 0).await;
        }
        client.close().await;
    });
}

#[test]
fn what_comes_right_behind_the_answer_is_received_and_pings_are_answered_meanwhile() {
    each_driver(async |core| {
        let client = new_client(&core);
        let (told, pongs) = std::sync::mpsc::channel();
        let server = switching(b"\x01\x02he\x89\x01p\x80\x03llo\x82\x01x", move |peer| {
            told.send(frame_of_client(peer)).expect("somebody asks");
            peer.send(b"\x88\x02\x03\xe8");
            assert_eq!(code_of_client(peer), 1000);
            assert_eq!(peer.read(1), b"", "the client ends its side, and waits for ours");
        });
        let mut socket = client.websocket(server.url("/")).connect().await.expect("it opens");
        // Nobody receives.
        let pong = core.spawn_blocking(move || pongs.recv()).await.expect("no panic").expect("it came");
        assert_eq!(pong, Some((0x8a, b"p".to_vec())));
        assert_eq!(text(&mut socket).await, "hello");
        assert_eq!(socket.receive().await, Ok(Some(Message::Binary("x".into()))));
        assert_eq!(socket.receive().await, Ok(None));
        until("the place is free", || client.stats().in_use == 0).await;
        client.close().await;
    });
}

#[test]
fn rfc6455_7_1_1_the_client_waits_for_the_server_to_close_within_close_timeout() {
    each_driver(async |core| {
        let client = new_client(&core);
        let server = switching(b"", |peer| {
            assert_eq!(code_of_client(peer), 1000);
            peer.send(b"\x88\x02\x03\xe8");
            peer.read_all();
            peer.wait(Duration::from_secs(2)); // It does not close.
        });
        let mut config = WebSocketConfig::default();
        config.close_timeout = Duration::from_millis(500);
        let socket = client.websocket(server.url("/")).config(config).connect().await.expect("it opens");
        assert_eq!(socket.close().await.expect("closed").code(), CloseCode::NORMAL);
        assert_eq!(client.stats().in_use, 1);
        until("the place is free", || client.stats().in_use == 0).await;
        client.close().await;
    });
}

#[test]
fn a_server_that_goes_away_ends_the_socket() {
    each_driver(async |core| {
        let client = new_client(&core);
        let server = switching(b"\x81\x01a\x81\x05b", |_| {});
        let mut socket = client.websocket(server.url("/")).connect().await.expect("it opens");
        assert_eq!(text(&mut socket).await, "a");
        assert_eq!(socket.receive().await, Ok(None));
        assert_eq!(socket.close_code(), Some(CloseCode::ABNORMAL));
        assert_eq!(socket.send("x").await, Err(WebSocketError::Closed));
        until("the place is free", || client.stats().in_use == 0).await;
        client.close().await;
    });
}

#[test]
fn dropping_the_socket_closing_the_client_and_the_stop_say_1001() {
    #[derive(Clone, Copy, Debug)]
    enum Way {
        Drop,
        Close,
        Stop,
    }
    for way in [Way::Drop, Way::Close, Way::Stop] {
        each_driver(async |core| {
            let client = new_client(&core);
            let (told, codes) = std::sync::mpsc::channel();
            let server = switching(b"", move |peer| {
                told.send(code_of_client(peer)).expect("somebody asks");
                peer.send(b"\x88\x02\x03\xe9");
            });
            let mut socket = client.websocket(server.url("/")).connect().await.expect("it opens");
            match way {
                Way::Drop => drop(socket),
                Way::Close => {
                    client.close().await;
                    assert_eq!(client.stats().in_use, 0, "it was waited for");
                    assert_eq!(socket.receive().await, Ok(None));
                    let error = client.websocket(server.url("/")).connect().await.expect_err("closed");
                    assert_eq!(error.kind(), ErrorKind::Closed);
                }
                Way::Stop => {
                    core.shutdown();
                    assert_eq!(socket.receive().await, Ok(None));
                    assert_eq!(socket.close_code(), Some(CloseCode::GOING_AWAY));
                }
            }
            assert_eq!(core.spawn_blocking(move || codes.recv()).await.unwrap(), Ok(1001), "{way:?}");
            client.close().await;
        });
    }
}

/// The future is dropped at its first wait, at its second, and so on until it has opened a socket.
#[test]
fn dropping_connect_at_every_await_leaves_nothing_behind() {
    with_server(echoing, (), async |core, client, url| {
        let url = format!("{url}/ws");
        for waits in 0.. {
            let opened = {
                let mut connect = pin!(client.websocket(&url).connect());
                let mut left = waits;
                std::future::poll_fn(|cx| match connect.as_mut().poll(cx) {
                    Poll::Ready(opened) => Poll::Ready(Some(opened)),
                    Poll::Pending if left == 0 => Poll::Ready(None),
                    Poll::Pending => {
                        left -= 1;
                        Poll::Pending
                    }
                })
                .await
            };
            if let Some(opened) = opened {
                opened.expect("it opens").close().await.expect("closed");
                assert!(waits > 1, "it waits for the connection, and for the answer");
                break;
            }
            assert_eq!(client.stats().in_use, 0, "dropped behind {waits} waits");
            assert_eq!(client.websocket_stats().active.get(), 0);
        }
        core.yield_now().await;
        assert_eq!(client.websocket_stats().total.get(), 1);
    });
}

/// Receiving and sending are dropped in the middle of everything.
#[test]
fn dropping_receive_and_send_loses_nothing() {
    with_server(echoing, (), async |_, client, url| {
        let mut socket = client.websocket(format!("{url}/ws")).connect().await.expect("it opens");
        for number in 0..50_usize {
            let sent = "x".repeat(number * 997);
            socket.send(sent.clone()).await.expect("open");
            let received = loop {
                // Polled once, and dropped.
                let polled = pin!(socket.receive()).poll(&mut Context::from_waker(Waker::noop()));
                match polled {
                    Poll::Ready(received) => break received,
                    Poll::Pending => time::sleep(Duration::from_micros(300)).await,
                }
            };
            assert_eq!(received, Ok(Some(Message::from(sent))));
        }
        socket.close().await.expect("closed");
    });
}

#[test]
fn a_socket_counts_in_the_limit_of_the_client_and_takes_no_idle_connection_along() {
    with_server(echoing, (), async |core, _, url| {
        let mut config = ClientConfig::default();
        config.limit = 1;
        config.pool_timeout = Some(Duration::from_millis(50));
        let client = Client::new(&core, config).expect("a good configuration");
        let http = url.replace("ws://", "http://");
        drop(client.get(format!("{http}/no")).send().await.expect("an answer").bytes().await);
        let socket = client.websocket(format!("{url}/ws")).connect().await.expect("it opens");
        assert_eq!((client.stats().made, client.stats().in_use, client.stats().idle), (1, 1, 0));
        let error = client.get(format!("{http}/no")).send().await.expect_err("there is no place");
        assert_eq!(error.kind(), ErrorKind::PoolTimeout);
        socket.close().await.expect("closed");
        until("the place is free", || client.stats().in_use == 0).await;
        assert_eq!(client.get(format!("{http}/no")).send().await.expect("an answer").status(), 404);
        client.close().await;
    });
}

#[test]
fn a_proxy_is_asked_for_a_tunnel() {
    each_driver(async |core| {
        let (told, heads) = std::sync::mpsc::channel();
        let proxy = RawServer::start(move |mut peer| {
            told.send(peer.read_head()).expect("somebody asks");
            peer.send("HTTP/1.1 200 Fine\r\n\r\n");
            let Some(accept) = accept(&mut peer) else { return };
            peer.send(format!("{SWITCH}sec-websocket-accept: {accept}\r\n\r\n"));
            peer.send(b"\x81\x01a\x88\x02\x03\xe8");
            peer.read_all();
        });
        let client = new_client(&core);
        let proxies = Proxies::all(Proxy::new(proxy.url("/")).expect("a proxy"));
        let request = client.websocket("ws://far.example/ws").proxies(&proxies);
        let mut socket = request.connect().await.expect("it opens");
        assert_eq!(text(&mut socket).await, "a");
        let head = core.spawn_blocking(move || heads.recv()).await.unwrap().unwrap().expect("a head");
        assert!(head.starts_with("CONNECT far.example:80 HTTP/1.1\r\n"), "{head}");
        drop(socket);
        client.close().await;
    });
}

#[test]
fn a_silent_server_is_given_up_by_heartbeat() {
    each_driver(async |core| {
        let client = new_client(&core);
        let server = switching(b"", |peer| drop(peer.read_all()));
        let mut config = WebSocketConfig::default();
        config.heartbeat = Some(Duration::from_millis(100));
        let mut socket = client.websocket(server.url("/")).config(config).connect().await.expect("it opens");
        assert_eq!(socket.receive().await, Err(WebSocketError::HeartbeatLost));
        assert_eq!(socket.receive().await, Ok(None));
        until("the place is free", || client.stats().in_use == 0).await;
        client.close().await;
    });
}

#[test]
fn the_test_client_opens_sockets() {
    each_driver(async |core| {
        serve_on(&core, ServerConfig::default(), echoing(), (), async |client| {
            let mut socket = client.websocket("/ws").connect().await.expect("it opens");
            socket.send("hello").await.expect("open");
            assert_eq!(text(&mut socket).await, "hello");
            socket.close().await.expect("closed");
        })
        .await;
    });
}

fn quick() -> ReconnectConfig {
    let mut config = ReconnectConfig::default();
    config.delay = Duration::from_millis(5);
    config.delay_max = Duration::from_secs(10);
    config
}

/// Its server answers, goes away, refuses once, and comes back. `receive` is dropped whenever it waits.
#[test]
fn a_lost_socket_is_opened_and_subscribed_again() {
    each_driver(async |core| {
        let client = new_client(&core);
        let server = RawServer::start(|mut peer| {
            let Some(accept) = accept(&mut peer) else { return };
            if peer.number() == 1 {
                peer.send("HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                return;
            }
            peer.send(format!("{SWITCH}sec-websocket-accept: {accept}\r\n\r\n"));
            assert_eq!(frame_of_client(&mut peer), Some((0x81, b"subscribe".to_vec())));
            if peer.number() == 0 {
                peer.send(b"\x81\x01a");
            } else {
                peer.send(b"\x81\x01b\x88\x02\x03\xf4");
                peer.read_all();
            }
        });
        let mut socket = client
            .reconnecting_websocket(server.url("/").replace("http", "ws"), quick())
            .on_connect(async |sender| sender.send("subscribe").await);
        assert_eq!(socket.send("x").await, Err(WebSocketError::Closed));
        let mut events = Vec::new();
        while events.len() < 9 {
            let polled = pin!(socket.receive()).poll(&mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Ready(event) => events.push(shown(&event.expect("it goes on").expect("it goes on"))),
                Poll::Pending => time::sleep(Duration::from_millis(1)).await,
            }
        }
        let expected = [
            "connected",
            "a",
            "lost 1006",
            "try 1",
            "try 2 behind Some(503)",
            "connected",
            "b",
            "lost 1012",
            "try 1",
        ];
        assert_eq!(events, expected);
        socket.close().await;
        client.close().await;
    });
}

#[test]
fn a_feed_that_is_quiet_is_not_lost() {
    each_driver(async |core| {
        let client = new_client(&core);
        let (say, may_say) = std::sync::mpsc::channel();
        let may_say = Mutex::new(may_say);
        let server = switching(b"", move |peer| {
            may_say.lock().expect("whole").recv().expect("it is told");
            peer.send(b"\x81\x01a");
            assert_eq!(code_of_client(peer), 1000);
            peer.send(b"\x88\x02\x03\xe8");
            peer.read_all();
        });
        let mut config = WebSocketConfig::default();
        config.receive_timeout = Some(Duration::from_millis(20));
        let mut socket = client
            .reconnecting_websocket(server.url("/").replace("http", "ws"), quick())
            .with_request(move |request| request.config(config.clone()));
        assert!(matches!(socket.receive().await, Ok(Some(ReconnectEvent::Connected))));
        let mut timeouts = 0;
        let message = loop {
            match socket.receive().await {
                Ok(event) => break shown(&event.expect("it goes on")),
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    let cause = cause.and_then(|cause| cause.downcast_ref::<WebSocketError>());
                    assert_eq!(cause, Some(&WebSocketError::ReceiveTimeout), "{error}");
                    assert_eq!(error.kind(), ErrorKind::ReadTimeout);
                    timeouts += 1;
                    if timeouts == 3 {
                        say.send(()).expect("the server waits");
                    }
                }
            }
        };
        assert_eq!(message, "a");
        assert!(timeouts >= 3, "{timeouts}");
        assert_eq!(client.websocket_stats().total.get(), 1);
        socket.close().await;
        client.close().await;
    });
}

fn shown(event: &ReconnectEvent) -> String {
    match event {
        ReconnectEvent::Connected => "connected".to_owned(),
        ReconnectEvent::Lost { code, .. } => format!("lost {}", code.as_u16()),
        ReconnectEvent::Retrying { number, error: None, .. } => format!("try {number}"),
        ReconnectEvent::Retrying { number, error: Some(error), after } => {
            assert!(*after <= Duration::from_millis(5) * 2_u32.pow(number - 1));
            format!("try {number} behind {:?}", error.status().map(|status| status.as_u16()))
        }
        ReconnectEvent::Message(Message::Text(text)) => text.as_str().to_owned(),
        other => panic!("not expected: {other:?}"),
    }
}

#[test]
fn tries_end_with_the_last_error() {
    each_driver(async |core| {
        let client = new_client(&core);
        let server = RawServer::start(|mut peer| {
            while peer.read_head().is_some() {
                peer.send("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n");
            }
        });
        let mut config = quick();
        config.tries_max = 2;
        let mut socket = client.reconnecting_websocket(server.url("/"), config);
        let mut tries = 0;
        let error = loop {
            match socket.receive().await {
                Ok(event) => {
                    tries += 1;
                    assert_eq!(shown(&event.expect("it goes on")), format!("try {tries} behind Some(503)"));
                }
                Err(error) => break error,
            }
        };
        assert_eq!((tries, error.status().map(|status| status.as_u16())), (2, Some(503)));
        assert!(socket.receive().await.expect("no error").is_none());

        let mut socket = client.reconnecting_websocket("ftp://a/", quick());
        assert_eq!(socket.receive().await.expect_err("no URL").kind(), ErrorKind::Url);
        client.close().await;
        let mut socket = client.reconnecting_websocket(server.url("/"), quick());
        assert_eq!(socket.receive().await.expect_err("closed").kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_refusal_is_final_unless_it_is_configured_or_asks_for_patience() {
    each_driver(async |core| {
        let client = new_client(&core);
        let answers = |status: u16| {
            RawServer::start(move |mut peer| {
                if accept(&mut peer).is_some() {
                    peer.send(format!(
                        "HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    ));
                }
            })
        };
        for (status, retry_refusals, tries) in
            [(401, false, 0), (404, false, 0), (404, true, 2), (429, false, 2)]
        {
            let server = answers(status);
            let mut config = quick();
            config.tries_max = 2;
            config.retry_refusals = retry_refusals;
            let mut socket = client.reconnecting_websocket(server.url("/").replace("http", "ws"), config);
            let mut retries = 0;
            let error = loop {
                match socket.receive().await {
                    Ok(Some(ReconnectEvent::Retrying { .. })) => retries += 1,
                    Ok(other) => panic!("{status}: {other:?}"),
                    Err(error) => break error,
                }
            };
            assert_eq!(
                (error.kind(), error.status().map(|status| status.as_u16())),
                (ErrorKind::WebSocket, Some(status))
            );
            assert_eq!(retries, tries, "{status}, {retry_refusals}");
        }
        client.close().await;
    });
}

/// Whether it waits for its next try or for an answer that does not come.
#[test]
fn the_stop_of_the_core_ends_the_tries() {
    for answers in [true, false] {
        each_driver(async |core| {
            let client = new_client(&core);
            let server = RawServer::start(move |mut peer| {
                if accept(&mut peer).is_some() && answers {
                    peer.send("HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                } else {
                    peer.read_all();
                }
            });
            let mut config = ReconnectConfig::default();
            (config.delay, config.delay_max) = (Duration::from_secs(100_000), Duration::from_secs(100_000));
            let mut socket = client.reconnecting_websocket(server.url("/").replace("http", "ws"), config);
            if answers {
                let first = socket.receive().await.expect("it goes on");
                assert!(matches!(first, Some(ReconnectEvent::Retrying { number: 1, .. })), "{first:?}");
            }
            let stop = core.clone();
            drop(core.spawn("stop", async move {
                time::sleep(Duration::from_millis(20)).await;
                stop.shutdown();
            }));
            assert!(socket.receive().await.expect("no error").is_none());
            assert!(socket.receive().await.expect("no error").is_none());
        });
    }
}
