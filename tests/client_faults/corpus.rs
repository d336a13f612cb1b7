//! What a hostile server sends: answers that can be read in two ways, that break off at any byte, that never end, that lie
//! about time.

use std::net::SocketAddr;
use std::time::Duration;

use ringhttp::client::{CloseReason, ErrorKind};
use ringhttp::testing::{RawPeer, RawServer};
use ringhttp::{Client, Method};

use super::{OK, alone, config, get, get_text, leaves_nothing, until};

/// A server that answers the path of a number with the answer of that number, and closes; all others well.
fn answers(answers: Vec<Vec<u8>>, end: fn(RawPeer)) -> RawServer {
    RawServer::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            let path = head.split(' ').nth(1).unwrap_or_default();
            if let Some(answer) = path[1..].parse().ok().and_then(|number: usize| answers.get(number)) {
                peer.send(answer);
                return end(peer);
            }
            peer.send(OK);
        }
    })
}

fn hold(mut peer: RawPeer) {
    peer.read_all();
}

#[test]
fn an_answer_that_can_be_read_in_two_ways_is_refused() {
    const HEADS: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n content-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: 1\r\n content-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: 1\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: 1\rcontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: 1\0\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx y: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200 O\rK\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
        b"\x16\x03\x03\x00\x02\x02\x28",
    ];
    const BODIES: &[&[u8]] = &[
        b"-1\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"\r\n",
        b"5\nhello\n0\n\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello6\r\n world\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"5\r\nhello\r\n0\r\nno field\r\n\r\n",
        b"5\r\nhello\r\n0\r\nx: 1\0\r\n\r\n",
    ];
    let mut all: Vec<Vec<u8>> = HEADS.iter().map(|head| head.to_vec()).collect();
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    all.extend(BODIES.iter().map(|body| [CHUNKED, body].concat()));
    alone(async |core| {
        let server = answers(all.clone(), hold);
        leaves_nothing(&core, config(), &server, async |client, server| {
            for (number, answer) in all.iter().enumerate() {
                let result = get_text(client, server, &format!("/{number}")).await;
                let error = result.expect_err(&answer.escape_ascii().to_string());
                assert_eq!(error.kind(), ErrorKind::Protocol, "{}: {error:?}", answer.escape_ascii());
                assert_eq!(get_text(client, server, "/good").await.expect("it goes well"), "hello");
            }
            assert_eq!(client.stats().errors, all.len() as u64);
            assert_eq!(client.stats().closed.get(CloseReason::Failed), all.len() as u64);
        })
        .await;
    });
}

/// Whole answers are read, and no part of one is taken for a whole one: only where the end of the connection is the end of the
/// body (RFC 9112 §8), which is why servers should not do that, is a part of a body a body.
#[test]
fn an_answer_may_break_off_at_every_byte() {
    const BY_LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 5\r\n\r\nhello";
    const BY_CHUNKS: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nx: 1\r\n\r\n";
    const BY_CLOSE: &[u8] = b"HTTP/1.0 200 OK\r\nserver: x\r\n\r\nhello";
    const BEHIND_INTERIM: &[u8] =
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    alone(async |core| {
        for whole in [BY_LENGTH, BY_CHUNKS, BY_CLOSE, BEHIND_INTERIM] {
            let parts: Vec<_> = (0..=whole.len()).map(|end| whole[..end].to_vec()).collect();
            let server = answers(parts.clone(), drop);
            leaves_nothing(&core, config(), &server, async |client, server| {
                for (number, part) in parts.iter().enumerate() {
                    let result = get_text(client, server, &format!("/{number}")).await;
                    let shown = part.escape_ascii().to_string();
                    let head_end = whole.len() - b"hello".len();
                    let expected = match number {
                        _ if whole == BY_CLOSE && number >= head_end => {
                            Ok("hello"[..number - head_end].to_owned())
                        }
                        _ if number == whole.len() => Ok("hello".to_owned()),
                        0 => Err(ErrorKind::Disconnected),
                        _ => Err(ErrorKind::Body),
                    };
                    assert_eq!(result.map_err(|error| error.kind()), expected, "{shown}");
                }
            })
            .await;
        }
    });
}

/// The same, but reset: then not even the end of a body that ends with the connection is believed.
#[test]
fn an_answer_may_be_reset_at_every_byte() {
    const BY_CLOSE: &[u8] = b"HTTP/1.0 200 OK\r\nserver: x\r\n\r\nhello";
    alone(async |core| {
        let parts: Vec<_> = (0..=BY_CLOSE.len()).map(|end| BY_CLOSE[..end].to_vec()).collect();
        let count = parts.len();
        let server = answers(parts, |peer| {
            // What was sent is to be there before the reset, which would throw it away.
            peer.wait(Duration::from_millis(2));
            peer.reset();
        });
        leaves_nothing(&core, config(), &server, async |client, server| {
            for number in 0..count {
                let error = get_text(client, server, &format!("/{number}")).await.expect_err("it was reset");
                let is_lost = matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Body);
                assert!(is_lost, "{number}: {error:?}");
            }
        })
        .await;
    });
}

#[test]
fn what_never_ends_is_given_up() {
    type Flood = (&'static str, &'static str);
    const FLOODS: &[Flood] = &[
        ("", "\r\n"),
        ("", "H"),
        ("HTTP/1.1 200 ", "O"),
        ("HTTP/1.1 200 OK\r\n", "x"),
        ("HTTP/1.1 200 OK\r\nx:", " "),
        ("HTTP/1.1 200 OK\r\nx: ", "y"),
        ("HTTP/1.1 103 Early Hints\r\n", "link: </a>\r\n"),
        ("", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "0"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;", "a"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "1;abcdefghijklmnopqrstuvwxyz=1234567890\r\nx\r\n",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x: 1\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", "y"),
    ];
    alone(async |core| {
        for (before, flood) in FLOODS {
            let server = RawServer::start(move |mut peer| {
                while let Some(head) = peer.read_head() {
                    if head.contains(" /good ") {
                        peer.send(OK);
                        continue;
                    }
                    peer.send(before);
                    let piece = flood.repeat(16 * 1024 / flood.len());
                    while peer.send(&piece) {}
                    return;
                }
            });
            leaves_nothing(&core, config(), &server, async |client, server| {
                let error = get_text(client, server, "/bad").await.expect_err("it does not end");
                assert_eq!(error.kind(), ErrorKind::Protocol, "{before}{flood}: {error:?}");
                assert_eq!(get_text(client, server, "/good").await.expect("it goes well"), "hello");
            })
            .await;
        }
    });
}

/// A body without an end is the caller's to stop reading; gathered it has a limit.
#[test]
fn a_body_without_an_end_is_gathered_up_to_the_limit_only() {
    alone(async |core| {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            let server = RawServer::start(move |mut peer| {
                if peer.read_head().is_some() {
                    peer.send(head);
                    while peer.send([0; 16 * 1024]) {}
                }
            });
            let mut config = config();
            config.body_bytes_max = 1 << 20;
            leaves_nothing(&core, config, &server, async |client, server| {
                let error =
                    get(client, server, "/").await.expect("a head").bytes().await.expect_err("no end");
                assert_eq!(error.kind(), ErrorKind::BodyTooLarge, "{head}");
                let mut answer = get(client, server, "/").await.expect("a head");
                let mut read = 0;
                while read < 4 << 20 {
                    read += answer.chunk().await.expect("a piece").expect("no end").len();
                }
            })
            .await;
        }
    });
}

#[test]
fn what_follows_an_answer_without_a_body_is_no_answer() {
    const CASES: &[(Method, &[u8])] = &[
        (
            Method::HEAD,
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        ),
        (Method::GET, b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"),
        (Method::GET, b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nhello"),
        (Method::GET, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n\r\n"),
    ];
    alone(async |core| {
        let all: Vec<_> = CASES.iter().map(|(_, answer)| answer.to_vec()).collect();
        let server = answers(all, hold);
        leaves_nothing(&core, config(), &server, async |client, server| {
            for (number, (method, answer)) in CASES.iter().enumerate() {
                let request = client.request(method.clone(), server.url(&format!("/{number}")));
                let text = request.send().await.expect("an answer").text().await.expect("no body");
                assert_eq!(text, "", "{}", answer.escape_ascii());
                until("the connection to be given up", || client.stats().idle == 0).await;
                assert_eq!(get_text(client, server, "/good").await.expect("it goes well"), "hello");
            }
            assert_eq!(client.stats().closed.get(CloseReason::ExtraBytes), CASES.len() as u64);
        })
        .await;
    });
}

/// How long a server keeps a connection is a hint that can only shorten what the client does by itself.
#[test]
fn a_hint_about_time_may_say_anything() {
    const HINTS: &[(&str, bool)] = &[
        ("timeout=18446744073709551615", true),
        ("timeout=99999999999999999999999999999999", true),
        ("timeout=9223372036854775807, max=18446744073709551615", true),
        ("timeout=-1", true),
        ("timeout=1e9", true),
        ("timeout=", true),
        ("timeout", true),
        ("\"timeout=1", true),
        (",,,,", true),
        ("timeout=0", false),
    ];
    alone(async |core| {
        for (hint, is_kept) in HINTS {
            let server = RawServer::start(move |mut peer| {
                while peer.read_head().is_some() {
                    let head = format!("HTTP/1.1 200 OK\r\nkeep-alive: {hint}\r\ncontent-length: 5\r\n\r\n");
                    peer.send(head + "hello");
                }
            });
            leaves_nothing(&core, config(), &server, async |client, server| {
                for _ in 0..2 {
                    assert_eq!(get_text(client, server, "/").await.expect("it goes well"), "hello", "{hint}");
                }
                assert_eq!(server.accepted(), if *is_kept { 1 } else { 2 }, "{hint}");
            })
            .await;
        }
    });
}

/// Whatever drips, the time of the request holds.
#[test]
fn a_server_that_drips_does_not_hold_a_request_longer_than_it_may_take() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    /// What is sent at once, and what drips for ever.
    const DRIPPING: &[(&str, &str)] = &[
        ("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nx: ", "y"),
        ("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 1000\r\n\r\n", "x"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", "x"),
        (CHUNKED, "1\r\nx\r\n"),
    ];
    alone(async |core| {
        for (at_once, drip) in DRIPPING {
            let server = RawServer::start(move |mut peer| {
                if peer.read_head().is_some() {
                    peer.send(at_once);
                    for byte in drip.bytes().cycle() {
                        if !peer.send([byte]) {
                            return;
                        }
                        peer.wait(Duration::from_millis(5));
                    }
                }
            });
            let mut config = config();
            config.timeout = Some(Duration::from_millis(150));
            // A limit of each wait says nothing about their sum.
            config.first_byte_timeout = Some(Duration::from_secs(10));
            config.read_timeout = Some(Duration::from_secs(10));
            leaves_nothing(&core, config, &server, async |client, server| {
                let error = get_text(client, server, "/").await.expect_err("it drips");
                assert_eq!(error.kind(), ErrorKind::Timeout, "{at_once}{drip}: {error:?}");
            })
            .await;
        }
    });
}

/// Two servers send a client to and fro, with cookies for everybody: it ends, and neither gets what is the other's.
#[test]
fn servers_that_play_with_redirects_and_cookies_get_nothing_of_others() {
    alone(async |core| {
        let server = RawServer::start(|mut peer| {
            while let Some(head) = peer.read_head() {
                let host =
                    head.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host").to_owned();
                let (own, other) = match &*host {
                    "a.shop.example" => ("a", "b"),
                    "b.shop.example" => ("b", "a"),
                    _ => ("evil", "a"),
                };
                let has_foreign = head.contains("foreign=") || head.contains("all=");
                let has_others = head.contains(&format!("{other}-own=")) || head.contains("secret");
                if head.starts_with("GET /start ") {
                    let cookies = [
                        format!("{own}-own=1"),
                        "foreign=1; domain=evil.example".to_owned(),
                        "foreign=2; domain=a.b.shop.example".to_owned(),
                        "all=1; domain=example".to_owned(),
                        "all=2; domain=.example.".to_owned(),
                        "__Host-foreign=1; path=/".to_owned(),
                        "foreign=3; secure".to_owned(),
                        format!("foreign={}", "x".repeat(5000)),
                    ];
                    let fields: String =
                        cookies.iter().map(|cookie| format!("set-cookie: {cookie}\r\n")).collect();
                    peer.send(format!(
                        "HTTP/1.1 302 Found\r\nlocation: http://{other}.shop.example/next\r\n{fields}content-length: 0\r\n\r\n"
                    ));
                } else if head.starts_with("GET /next ") && !has_foreign && !has_others {
                    peer.send(format!(
                        "HTTP/1.1 302 Found\r\nlocation: http://{other}.shop.example/next\r\ncontent-length: 0\r\n\r\n"
                    ));
                } else {
                    peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len()));
                }
            }
        });
        let mut config = config();
        config.cookies = true;
        let address: SocketAddr = server.address();
        for host in ["a.shop.example", "b.shop.example", "evil.example"] {
            config.host_overrides.insert(host.to_owned(), vec![address]);
        }
        leaves_nothing(&core, config, &server, async |client: &Client, _| {
            let request = client.get("http://a.shop.example/start").basic_auth("ada", "secret");
            let error = request.header("x-of-all", "1").cookie("secret", "2").send().await;
            let error = error.map(|answer| answer.status()).expect_err("it does not end");
            assert_eq!(error.kind(), ErrorKind::Redirect, "{error:?}");
            let kept: Vec<_> = client.cookies().cookies().into_iter().map(|cookie| cookie.name).collect();
            assert_eq!(kept, ["a-own"]);
        })
        .await;
    });
}
