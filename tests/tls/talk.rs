//! HTTP over TLS is what it is without.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ringhttp::testing::{TestClient, drivers, each_driver};
use ringhttp::{
    Certificates, CloseReason, Cores, HeaderValue, ProxyProtocol, Request, Response, Result, Router,
    RuntimeConfig, Server, ServerConfig, time,
};

use super::common::{Authority, BOTH, Client, client_config, connect, on_thread, serve, until, use_ring};

fn routes() -> Router<()> {
    Router::new()
        .get("/", async |_: &(), _| "hello")
        .get("/tls", async |_: &(), request: Request| {
            let tls = request.tls().expect("over TLS");
            format!(
                "{} {} {:?} {:?} {} {}",
                tls.version(),
                tls.cipher_suite(),
                tls.server_name(),
                tls.alpn().map(|alpn| alpn.escape_ascii().to_string()),
                tls.is_resumed(),
                request.scheme(),
            )
        })
        .post("/echo", async |_: &(), request: Request| Response::new(request.into_body()))
        .get("/stream", async |_: &(), _| {
            Response::stream(async |mut out| {
                for n in 0..100 {
                    out.write(format!("{n} ").repeat(1000)).await?;
                }
                Ok(())
            })
        })
        .get("/close", async |_: &(), _| {
            Response::text("bye").with_header("connection", HeaderValue::from_static("close"))
        })
}

#[test]
fn a_handler_knows_what_was_agreed_on() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        serve(&core, identity.config(), ServerConfig::default(), routes(), (), async |site| {
            for version in BOTH {
                let mut config = client_config(&authority, &[version], None);
                config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
                let config = Arc::new(config);
                for round in 0..2 {
                    let (config, address) = (Arc::clone(&config), site.address);
                    let answer = on_thread(&core, move || {
                        let mut client = Client::connect(address, &config, "localhost").expect("a handshake");
                        client.get("/tls").text().to_owned()
                    })
                    .await;
                    let (version, suite) = match version.version {
                        rustls::ProtocolVersion::TLSv1_2 => {
                            ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
                        }
                        _ => ("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
                    };
                    let resumed = round > 0;
                    assert_eq!(
                        answer,
                        format!("{version} {suite} Some(\"localhost\") Some(\"http/1.1\") {resumed} https")
                    );
                }
            }
            assert_eq!(site.stats.tls_handshakes.get(), 4);
            assert_eq!(site.stats.tls_resumptions.get(), 2);
        })
        .await;
    });
}

#[test]
fn requests_follow_each_other_and_may_be_pipelined() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        serve(&core, identity.config(), ServerConfig::default(), routes(), (), async |site| {
            for version in BOTH {
                let config = Arc::new(client_config(&authority, &[version], None));
                on_thread(&core, move || {
                    let mut client =
                        Client::connect(site.address, &config, "localhost").expect("a handshake");
                    for _ in 0..100 {
                        assert_eq!(client.get("/").text(), "hello");
                    }
                    // In one record, in a record each, and with a head in two.
                    let get = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
                    client.send(get.repeat(1000));
                    for _ in 0..100 {
                        client.send(get);
                    }
                    client.send(&get[..10]);
                    client.send(&get[10..]);
                    for n in 0..1101 {
                        assert_eq!(client.answer().expect("an answer").text(), "hello", "{n}");
                    }
                })
                .await;
            }
            assert_eq!(site.stats.requests.get(), 2 * 1201);
        })
        .await;
    });
}

#[test]
fn bodies_go_both_ways_whatever_their_size() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let mut config = ServerConfig::default();
        config.body_bytes_max = 16 << 20;
        serve(&core, identity.config(), config, routes(), (), async |site| {
            for version in BOTH {
                let config = Arc::new(client_config(&authority, &[version], None));
                on_thread(&core, move || {
                    let mut client =
                        Client::connect(site.address, &config, "localhost").expect("a handshake");
                    for bytes in [0, 1, 16_383, 16_384, 16_385, 100_000, 5 << 20] {
                        let body: Vec<u8> = (0..bytes).map(|n: usize| n.to_le_bytes()[1]).collect();
                        let head = format!(
                            "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: {bytes}\r\n\r\n"
                        );
                        client.send(head);
                        client.send_while_reading(&body);
                        assert!(client.answer().expect("an answer").body == body, "{bytes}");
                    }
                    client.send("GET /stream HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
                    let all = String::from_utf8(client.rest().expect("a clean end")).expect("text");
                    assert!(all.ends_with("0\r\n\r\n"), "{}", all.len());
                    assert_eq!(all.matches("99 ").count(), 1000);
                })
                .await;
            }
        })
        .await;
    });
}

#[test]
fn files_leave_through_memory() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    let root = std::env::temp_dir().join(format!("ringhttp-tls-files-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("a directory");
    let content: Vec<u8> = (0..3_000_000_usize).map(|n| n.to_le_bytes()[2]).collect();
    std::fs::write(root.join("large.bin"), &content).expect("written");
    each_driver(async |core| {
        let files = ringhttp::Files::new(&root);
        let routes = Router::<()>::new().files("/", files);
        serve(&core, identity.config(), ServerConfig::default(), routes, (), async |site| {
            let config = Arc::new(client_config(&authority, &BOTH, None));
            let expected = content.clone();
            on_thread(&core, move || {
                let mut client = Client::connect(site.address, &config, "localhost").expect("a handshake");
                for _ in 0..3 {
                    assert!(client.get("/large.bin").body == expected);
                }
            })
            .await;
        })
        .await;
    });
    std::fs::remove_dir_all(&root).expect("removed");
}

#[test]
fn both_sides_say_the_end() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let mut config = ServerConfig::default();
        config.keep_alive_timeout = Duration::from_millis(300);
        serve(&core, identity.config(), config, routes(), (), async |site| {
            for version in BOTH {
                let config = Arc::new(client_config(&authority, &[version], None));
                let address = site.address;
                on_thread(&core, move || {
                    // The server closes, because it is asked to, because it wants to, or because nothing comes.
                    for request in [
                        "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
                        "GET /close HTTP/1.1\r\nhost: localhost\r\n\r\n",
                        "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
                        "GET / HTTP/1.0\r\n\r\n",
                        "nonsense\r\n\r\n",
                    ] {
                        let mut client = Client::connect(address, &config, "localhost").expect("a handshake");
                        client.send(request);
                        let answer = client.rest().unwrap_or_else(|error| panic!("{request}: {error}"));
                        assert!(answer.starts_with(b"HTTP/1.1 "), "{request}");
                    }
                    // The client says that it sends no more, and still gets its answer.
                    let mut client = Client::connect(address, &config, "localhost").expect("a handshake");
                    client.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
                    client.stream.conn.send_close_notify();
                    client.stream.flush().expect("sent");
                    let answer = client.rest().expect("a clean end");
                    assert!(answer.ends_with(b"hello"));
                })
                .await;
            }
            until("all closed", || site.stats.active.get() == 0).await;
            assert_eq!(site.stats.closed.get(CloseReason::KeepAliveExpired), 2);
            assert_eq!(site.stats.closed.get(CloseReason::PeerClosed), 2);
            assert_eq!(site.stats.tls_unclean_ends.get(), 0);
        })
        .await;
    });
}

#[test]
fn a_connection_is_taken_over_with_its_tls() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let routes = Router::new().get("/", async |_: &(), request: Request| -> Result<&'static str> {
            let mut session = request.upgrade("shout", &Default::default())?;
            while let Some(bytes) = by_many(async || once(session.read()).await).await? {
                once(session.write(bytes.to_ascii_uppercase())).await;
            }
            by_many(async || once(session.flush()).await).await?;
            by_many(async || once(session.shutdown()).await).await?;
            Ok("")
        });
        serve(&core, identity.config(), ServerConfig::default(), routes, (), async |site| {
            for version in BOTH {
                let config = Arc::new(client_config(&authority, &[version], None));
                let address = site.address;
                on_thread(&core, move || {
                    let mut client = Client::connect(address, &config, "localhost").expect("a handshake");
                    // With the first bytes of the session behind the request.
                    client.send(
                        "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\nearly ",
                    );
                    assert_eq!(client.answer().expect("an answer").status, 101);
                    let mut sent = String::from("early ");
                    for n in 0..200 {
                        let line = format!("line {n} ").repeat(n);
                        client.send(&line);
                        sent += &line;
                    }
                    client.stream.conn.send_close_notify();
                    client.stream.flush().expect("sent");
                    let answer = client.rest().expect("a clean end");
                    assert!(answer == sent.to_ascii_uppercase().into_bytes(), "{} bytes", answer.len());
                })
                .await;
            }
            until("all closed", || site.stats.active.get() == 0).await;
            assert_eq!(site.stats.closed.get(CloseReason::Upgraded), 2);
        })
        .await;
    });
}

/// Polls a future once and drops it: its output, if it had one.
async fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Polls futures once each, a little apart, until one is ready.
async fn by_many<T>(mut next: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(output) = next().await {
            return output;
        }
        time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn bodies_whose_reads_and_writes_are_dropped_at_every_await_lose_nothing() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let routes = Router::new().post("/", async |_: &(), request: Request| {
            let mut body = request.into_body();
            Response::stream(async move |mut out| {
                while let Some(piece) = by_many(async || once(body.chunk()).await).await? {
                    if once(out.write(piece)).await.is_none() {
                        time::sleep(Duration::from_millis(1)).await;
                    }
                }
                by_many(async || once(out.flush()).await).await
            })
        });
        let mut config = ServerConfig::default();
        config.body_bytes_max = 4 << 20;
        serve(&core, identity.config(), config, routes, (), async |site| {
            for version in BOTH {
                let config = Arc::new(client_config(&authority, &[version], None));
                let address = site.address;
                on_thread(&core, move || {
                    let mut client = Client::connect(address, &config, "localhost").expect("a handshake");
                    let body: Vec<u8> =
                        (0..1_000_000_usize).map(|n| b'a' + n.to_le_bytes()[1] % 26).collect();
                    client.send(format!(
                        "POST / HTTP/1.0\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    ));
                    client.send_while_reading(&body);
                    let all = client.rest().expect("a clean end");
                    assert!(all.ends_with(&body), "{} bytes", all.len());
                })
                .await;
            }
        })
        .await;
    });
}

#[test]
fn a_server_may_speak_tls_on_one_port_and_not_on_another() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        use_ring();
        let certificates = Certificates::load(identity.config()).expect("certificates");
        let adopted = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let adopted_address = adopted.local_addr().expect("bound");
        let server = Server::from_tcp(adopted, ServerConfig::default())
            .expect("taken over")
            .with_tls(&certificates)
            .and_bind("127.0.0.1:0")
            .expect("a free port")
            .and_bind_tls("127.0.0.1:0", &certificates)
            .expect("a free port");
        let addresses: Vec<_> =
            server.local_addrs().iter().map(|bound| bound.as_socket().expect("IP")).collect();
        assert_eq!(addresses[0], adopted_address);
        let (stats, here) = (server.stats(), core.clone());
        let routes = Router::new().get("/", async |_: &(), request: Request| request.scheme());
        let served = core.spawn("server", async move { server.serve(&here, routes, ()).await });
        assert_eq!(TestClient::new(&core, addresses[1]).get("/").await.text(), "http");
        let config = Arc::new(client_config(&authority, &BOTH, None));
        for address in [addresses[0], addresses[2]] {
            let config = Arc::clone(&config);
            let scheme = on_thread(&core, move || {
                let mut client = Client::connect(address, &config, "localhost").expect("a handshake");
                client.get("/").text().to_owned()
            });
            assert_eq!(scheme.await, "https");
        }
        // Plain HTTP where TLS is spoken is answered in a way that is understood.
        let answer = TestClient::new(&core, addresses[0]).get("/").await;
        assert_eq!(answer.status.as_u16(), 400);
        assert!(answer.text().contains("https://"), "{}", answer.text());
        until("it was counted", || stats.closed.get(CloseReason::NotTls) == 1).await;
        // And the other way round, as far as HTTP can tell.
        let answer = on_thread(&core, move || {
            let mut socket = connect(addresses[1]);
            socket.write_all(b"\x16\x03\x01\x00\x05hello\r\n\r\n").expect("sent");
            let mut answer = String::new();
            socket.read_to_string(&mut answer).expect("an answer");
            answer
        });
        assert!(answer.await.starts_with("HTTP/1.1 400 "));
        core.shutdown();
        served.await.expect("no panic").expect("no error");
    });
}

#[test]
fn a_proxys_header_goes_before_tls() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let mut config = ServerConfig::default();
        config.proxy_protocol = ProxyProtocol::Required;
        let routes = Router::new().get("/", async |_: &(), request: Request| {
            format!("{:?} {}", request.peer_addr(), request.scheme())
        });
        serve(&core, identity.config(), config, routes, (), async |site| {
            let config = Arc::new(client_config(&authority, &BOTH, None));
            let answer = on_thread(&core, move || {
                let socket = connect(site.address);
                (&socket).write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n").expect("sent");
                Client::over(socket, &config, "localhost").expect("a handshake").get("/").text().to_owned()
            });
            assert_eq!(answer.await, "Some(192.0.2.7:1234) https");
        })
        .await;
    });
}

#[test]
fn sessions_are_resumed_on_whichever_core_they_land() {
    const CONNECTIONS: usize = 40;
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    use_ring();
    for driver in drivers() {
        for version in BOTH {
            let certificates = Certificates::load(identity.config()).expect("certificates");
            let mut runtime = RuntimeConfig::default();
            runtime.cores = Cores::Count(2);
            runtime.pin = false;
            runtime.driver = driver;
            runtime.handle_signals = false;
            let client = Arc::new(client_config(&authority, &[version], None));
            let result: Result<()> = ringhttp::run(runtime, async |core| {
                let routes = Router::new().get("/", async |state: &(usize, Cell<u64>), request: Request| {
                    state.1.set(state.1.get() + 1);
                    format!("{} {}", state.0, request.tls().expect("over TLS").is_resumed())
                });
                let server = Server::bind_tls("127.0.0.1:0", ServerConfig::default(), &certificates)?;
                let address = server.local_addrs()[0].as_socket().expect("over IP");
                let here = core.clone();
                let id = core.id();
                let served = core
                    .spawn("server", async move { server.serve(&here, routes, (id, Cell::new(0))).await });
                if id == 0 {
                    // Both are there: a call to the other is answered when it has begun.
                    core.gather(async |_| ()).await.expect("all cores run");
                    time::sleep(Duration::from_millis(50)).await;
                    let client = Arc::clone(&client);
                    let answers = on_thread(&core, move || {
                        let ask = |_| {
                            let mut client =
                                Client::connect(address, &client, "localhost").expect("a handshake");
                            let answer = client.get("/").text().to_owned();
                            client.close();
                            answer
                        };
                        (0..CONNECTIONS).map(ask).collect::<Vec<_>>()
                    })
                    .await;
                    for core in ["0 ", "1 "] {
                        let here = answers.iter().filter(|answer| answer.starts_with(core)).count();
                        assert!(here > 0, "the kernel gave core {core}none of {CONNECTIONS} connections");
                    }
                    let resumed = answers.iter().filter(|answer| answer.ends_with("true")).count();
                    assert_eq!(resumed, CONNECTIONS - 1, "{answers:?}");
                    core.shutdown();
                }
                served.await.expect("no panic")
            });
            result.expect("the run succeeds");
        }
    }
}
