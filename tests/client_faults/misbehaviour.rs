//! What a server can do wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhttp::Method;
use ringhttp::client::{CloseReason, ErrorKind};
use ringhttp::testing::{RawPeer, RawServer};

use super::{OK, alone, config, get, get_text, leaves_nothing, until};

/// Answers well, request by request.
fn answer_all(mut peer: RawPeer) {
    while peer.read_head().is_some() {
        if !peer.send(OK) {
            return;
        }
    }
}

/// A server that answers `/good` well, and else sends `bytes` and then does `end`.
fn after(bytes: &'static [u8], end: fn(RawPeer)) -> RawServer {
    RawServer::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            if !head.contains(" /good ") {
                peer.send(bytes);
                return end(peer);
            }
            peer.send(OK);
        }
    })
}

/// Waits for the client to go.
fn hold(mut peer: RawPeer) {
    peer.read_all();
}

#[test]
fn what_goes_wrong_is_told_and_the_next_request_goes_well() {
    type Case = (&'static [u8], fn(RawPeer), ErrorKind);
    const CASES: &[Case] = &[
        (b"", drop, ErrorKind::Disconnected),
        (b"", RawPeer::reset, ErrorKind::Disconnected),
        (b"HTTP/1.1 200 OK\r\ncont", drop, ErrorKind::Body),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", drop, ErrorKind::Body),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", drop, ErrorKind::Body),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", hold, ErrorKind::Protocol),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok", hold, ErrorKind::Protocol),
        (b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n", hold, ErrorKind::Protocol),
        (b"SSH-2.0-OpenSSH_9.6\r\n", hold, ErrorKind::Protocol),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", hold, ErrorKind::Protocol),
        (
            b"HTTP/1.1 302 Found\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n",
            hold,
            ErrorKind::Redirect,
        ),
        (b"HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n", drop, ErrorKind::Redirect),
    ];
    alone(async |core| {
        for (bytes, end, kind) in CASES {
            let server = if *kind == ErrorKind::Redirect {
                // For ever: each redirect leads to the next.
                let bytes: &'static [u8] = bytes;
                RawServer::start(move |mut peer| {
                    while let Some(head) = peer.read_head() {
                        peer.send(if head.contains(" /good ") { OK.as_bytes() } else { bytes });
                    }
                })
            } else {
                after(bytes, *end)
            };
            leaves_nothing(&core, config(), &server, async |client, server| {
                // The second time in the memory of the first answer.
                for _ in 0..2 {
                    let error = get_text(client, server, "/bad").await.expect_err("it went wrong");
                    assert_eq!(error.kind(), *kind, "{}: {error:?}", bytes.escape_ascii());
                    assert!(error.url().is_some_and(|url| url.starts_with(&server.url("/"))));
                }
                assert_eq!(get_text(client, server, "/good").await.expect("it goes well"), "hello");
                assert_eq!(client.stats().errors, 2);
            })
            .await;
        }
    });
}

#[test]
fn a_server_that_floods_is_given_up() {
    alone(async |core| {
        for flood in ["HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 200 OK\r\n", "x-field: value\r\n"] {
            let server = RawServer::start(move |mut peer| {
                while let Some(head) = peer.read_head() {
                    if head.contains(" /good ") {
                        peer.send(OK);
                        continue;
                    }
                    if flood.starts_with('x') {
                        peer.send("HTTP/1.1 200 OK\r\n");
                    }
                    // A head of 2 GiB, as far as the client lets it come.
                    let piece = flood.repeat(1000);
                    for _ in 0..2_000_000_000 / piece.len() {
                        if !peer.send(&piece) {
                            return;
                        }
                    }
                }
            });
            leaves_nothing(&core, config(), &server, async |client, server| {
                let error = get(client, server, "/bad").await.expect_err("it does not end");
                assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
                assert_eq!(get_text(client, server, "/good").await.expect("it goes well"), "hello");
            })
            .await;
        }
    });
}

#[test]
fn each_deadline_has_its_own_error() {
    alone(async |core| {
        const SHORT: Option<Duration> = Some(Duration::from_millis(80));
        let silent = after(b"", hold);
        let continues = after(b"HTTP/1.1 100 Continue\r\n\r\n", hold);
        let head_only = after(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe", hold);
        let trickling = RawServer::start(|mut peer| {
            peer.read_head();
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
            while peer.send("x") {
                peer.wait(Duration::from_millis(10));
            }
        });
        // Reads nothing of a body.
        let deaf = RawServer::start(|mut peer| {
            peer.read_head();
            peer.wait(Duration::from_millis(600));
        });
        for (server, kind) in [
            (&silent, ErrorKind::FirstByteTimeout),
            (&continues, ErrorKind::FirstByteTimeout),
            (&head_only, ErrorKind::ReadTimeout),
            (&trickling, ErrorKind::Timeout),
            (&deaf, ErrorKind::WriteTimeout),
        ] {
            let mut config = config();
            match kind {
                ErrorKind::FirstByteTimeout => config.first_byte_timeout = SHORT,
                ErrorKind::ReadTimeout => config.read_timeout = SHORT,
                ErrorKind::WriteTimeout => config.write_timeout = SHORT,
                _ => config.timeout = SHORT,
            }
            leaves_nothing(&core, config, server, async |client, server| {
                let request = if kind == ErrorKind::WriteTimeout {
                    client.post(server.url("/")).body(vec![0; 32 << 20])
                } else {
                    client.get(server.url("/"))
                };
                let error = async { request.send().await?.bytes().await }.await.expect_err("it is late");
                assert_eq!(error.kind(), kind, "{error:?}");
                assert!(error.is_timeout());
            })
            .await;
        }
    });
}

#[test]
fn an_answer_before_the_body_is_read_is_an_answer() {
    alone(async |core| {
        for resets in [false, true] {
            let server = RawServer::start(move |mut peer| {
                while let Some(head) = peer.read_head() {
                    if head.starts_with("GET") {
                        peer.send(OK);
                        continue;
                    }
                    peer.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nno!");
                    if resets {
                        peer.end();
                        // The client has the answer before it hears of the reset.
                        peer.wait(Duration::from_secs(1));
                        return;
                    }
                    peer.read_all();
                    return;
                }
            });
            leaves_nothing(&core, config(), &server, async |client, server| {
                let answer = client.post(server.url("/")).body(vec![0; 32 << 20]).send().await;
                let answer = answer.expect("an answer");
                assert_eq!(answer.status(), 413);
                assert_eq!(answer.text().await.expect("its body"), "no!");
                assert_eq!(get_text(client, server, "/").await.expect("it goes well"), "hello");
                assert_eq!(client.stats().closed.get(CloseReason::RequestUnsent), 1);
            })
            .await;
        }
    });
}

#[test]
fn more_than_content_length_is_not_taken_for_the_next_answer() {
    const EVIL: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    alone(async |core| {
        // In one piece, and behind the answer.
        for late in [false, true] {
            let server = RawServer::start(move |mut peer| {
                while let Some(head) = peer.read_head() {
                    if head.contains(" /good ") {
                        peer.send(OK);
                    } else if late {
                        peer.send(&EVIL[..OK.len()]);
                        peer.wait(Duration::from_millis(50));
                        peer.send(&EVIL[OK.len()..]);
                    } else {
                        peer.send(EVIL);
                    }
                }
            });
            leaves_nothing(&core, config(), &server, async |client, server| {
                assert_eq!(get_text(client, server, "/bad").await.expect("an answer"), "hello");
                until("the connection to be given up", || client.stats().idle == 0).await;
                assert_eq!(client.stats().closed.get(CloseReason::ExtraBytes), 1);
                assert_eq!(get_text(client, server, "/good").await.expect("an answer"), "hello");
                assert_eq!(server.accepted(), 2);
            })
            .await;
        }
    });
}

#[test]
fn a_connection_that_dies_while_it_is_idle_is_not_used() {
    alone(async |core| {
        for end in [RawPeer::reset as fn(RawPeer), drop, |mut peer: RawPeer| {
            peer.send("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n");
        }] {
            let server = RawServer::start(move |mut peer| {
                if peer.number() == 0 {
                    peer.read_head();
                    peer.send(OK);
                    peer.wait(Duration::from_millis(20));
                    return end(peer);
                }
                answer_all(peer);
            });
            leaves_nothing(&core, config(), &server, async |client, server| {
                assert_eq!(get_text(client, server, "/").await.expect("an answer"), "hello");
                assert_eq!(client.stats().idle, 1);
                until("the death to be noticed", || client.stats().idle == 0).await;
                let post = client.post(server.url("/")).body("once").send().await;
                assert_eq!(post.expect("an answer").status(), 200);
                assert_eq!((client.stats().resent, client.stats().made), (0, 2));
            })
            .await;
        }
    });
}

/// The server takes a second request on a connection, and closes it unanswered: it may have been sent again only if that does
/// no harm.
#[test]
fn a_lost_request_is_sent_again_only_if_it_may_be() {
    alone(async |core| {
        for (method, is_resent) in [
            (Method::GET, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
        ] {
            let seen = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&seen);
            let server = RawServer::start(move |mut peer| {
                let mut is_first = true;
                while let Some(head) = peer.read_head() {
                    if head.contains(" /lost ") {
                        count.fetch_add(1, Ordering::SeqCst);
                        if peer.number() == 0 && !is_first {
                            return;
                        }
                        let length = if head.contains("content-length: 4") { 4 } else { 0 };
                        peer.read(length);
                    }
                    is_first = false;
                    peer.send(OK);
                }
            });
            leaves_nothing(&core, config(), &server, async |client, server| {
                get_text(client, server, "/").await.expect("an answer");
                let request = client.request(method.clone(), server.url("/lost"));
                let result = request.body("body").send().await;
                assert_eq!(result.is_ok(), is_resent, "{method}: {result:?}");
                assert_eq!(seen.load(Ordering::SeqCst), if is_resent { 2 } else { 1 }, "{method}");
                assert_eq!(client.stats().resent, u64::from(is_resent));
                if let Err(error) = result {
                    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Disconnected, false));
                }
            })
            .await;
        }
    });
}

#[test]
fn a_request_is_sent_again_once_and_on_a_new_connection() {
    alone(async |core| {
        // Every connection serves one request, and closes on the second.
        let server = RawServer::start(|mut peer| {
            peer.read_head();
            peer.send(OK);
            peer.read_head();
        });
        leaves_nothing(&core, config(), &server, async |client, server| {
            for round in 0..5 {
                assert_eq!(get_text(client, server, "/").await.expect("an answer"), "hello", "{round}");
            }
            assert_eq!((client.stats().resent, server.accepted()), (4, 5));
        })
        .await;
        // One that never answers is not asked for ever.
        let server = RawServer::start(|mut peer| {
            if peer.number() == 0 {
                peer.read_head();
                peer.send(OK);
            }
            peer.read_head();
        });
        leaves_nothing(&core, config(), &server, async |client, server| {
            get_text(client, server, "/").await.expect("an answer");
            let error = get(client, server, "/").await.expect_err("no answer");
            assert_eq!((error.kind(), server.accepted()), (ErrorKind::Disconnected, 2));
            assert!(error.is_retryable());
        })
        .await;
        let mut config = config();
        config.retry_lost = false;
        let server = RawServer::start(|mut peer| {
            peer.read_head();
            peer.send(OK);
            peer.read_head();
        });
        leaves_nothing(&core, config, &server, async |client, server| {
            get_text(client, server, "/").await.expect("an answer");
            get(client, server, "/").await.expect_err("it was told not to");
        })
        .await;
    });
}

#[test]
fn nobody_listens() {
    alone(async |core| {
        let server = RawServer::start(answer_all);
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        leaves_nothing(&core, config(), &server, async |client, server| {
            let error = client.get(format!("http://{closed}/")).send().await.expect_err("nobody is there");
            assert_eq!(error.kind(), ErrorKind::Connect);
            assert!(error.is_connect() && error.is_retryable() && !error.is_timeout());
            let error = client.get("http://no-such-host.invalid/").send().await.expect_err("no such name");
            assert_eq!(error.kind(), ErrorKind::Resolve);
            let error = client.get(format!("https://{closed}/")).send().await.expect_err("nobody is there");
            let is_tls_built_in = cfg!(feature = "rustls");
            assert_eq!(error.kind(), if is_tls_built_in { ErrorKind::Connect } else { ErrorKind::Tls });
            assert!(is_tls_built_in || error.to_string().contains("needs the feature"), "{error}");
            assert_eq!(get_text(client, server, "/").await.expect("it goes well"), "hello");
        })
        .await;
    });
}
