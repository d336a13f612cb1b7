//! Peers that break TLS, stall or vanish: the connection ends, is counted, and the others are served.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ringhttp::testing::each_driver;
use ringhttp::{BodyError, CloseReason, Request, Router, ServerConfig};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::common::{Authority, BOTH, Client, Site, client_config, connect, on_thread, serve, until};

fn routes() -> Router<()> {
    Router::new().get("/", async |_: &(), _| "hello").post("/", async |_: &(), mut request: Request| {
        match request.bytes().await {
            Ok(bytes) => bytes.len().to_string(),
            Err(error) => error.to_string(),
        }
    })
}

/// That the server is as it should be.
async fn is_well(site: &Site, config: &Arc<ClientConfig>) {
    let (address, config) = (site.address, Arc::clone(config));
    let text = on_thread(&site.core, move || {
        Client::connect(address, &config, "localhost").expect("a handshake").get("/").text().to_owned()
    });
    assert_eq!(text.await, "hello");
}

/// Sends bytes, and reads until the server ends the connection.
async fn told(site: &Site, bytes: Vec<u8>) -> Vec<u8> {
    let address = site.address;
    on_thread(&site.core, move || {
        let mut socket = connect(address);
        socket.write_all(&bytes).expect("the server reads");
        socket.shutdown(Shutdown::Write).expect("an open socket");
        let mut told = Vec::new();
        match socket.read_to_end(&mut told) {
            Ok(_) => told,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => told,
            Err(error) => panic!("{error}"),
        }
    })
    .await
}

/// The first flight of a client.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(config), name).expect("a configuration that works");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("memory");
    bytes
}

#[test]
fn garbage_instead_of_a_handshake_is_refused() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        serve(&core, identity.config(), ServerConfig::default(), routes(), (), async |site| {
            let config = Arc::new(client_config(&authority, &BOTH, None));
            let hello = hello(&config);
            let mut twice = hello.clone();
            twice.extend_from_slice(&hello);
            let mut broken = hello.clone();
            // The type of the message; the version behind it means nothing any more.
            broken[5] ^= 0x55;
            let cases: [(&str, Vec<u8>); 9] = [
                ("zeros", vec![0; 1000]),
                ("high bytes", vec![0xff; 1000]),
                ("a hello of SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec()),
                ("SSL 3's first bytes", b"\x16\x03\x00\x00\x04\x01\x00\x00\x00".to_vec()),
                ("data", b"\x17\x03\x03\x00\x05hello".to_vec()),
                ("a record without an end", b"\x16\x03\x01\xff\xff".to_vec()),
                ("an empty record", b"\x16\x03\x01\x00\x00".to_vec()),
                ("two hellos", twice),
                ("a broken hello", broken),
            ];
            for (name, bytes) in &cases {
                let told = told(&site, bytes.clone()).await;
                // An alert, unless there was a hello first.
                let first = if *name == "two hellos" { 22 } else { 21 };
                assert_eq!(told.first(), Some(&first), "{name}: {told:?}");
            }
            for end in [1, 3, 5, 6, 50, hello.len() - 1] {
                assert_eq!(told(&site, hello[..end].to_vec()).await, b"", "{end} bytes");
            }
            is_well(&site, &config).await;
            until("all were counted", || site.stats.tls_handshakes_failed.get() == 15).await;
            assert_eq!(site.stats.closed.get(CloseReason::TlsHandshakeFailed), 15);
            // Who connects and goes away has not failed.
            assert_eq!(told(&site, Vec::new()).await, b"");
            until("it was counted", || site.stats.closed.get(CloseReason::PeerClosed) >= 1).await;
            assert_eq!(site.stats.tls_handshakes_failed.get(), 15);
        })
        .await;
    });
}

#[test]
fn garbage_behind_the_handshake_is_refused() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        serve(&core, identity.config(), ServerConfig::default(), routes(), (), async |site| {
            let config = Arc::new(client_config(&authority, &BOTH, None));
            let record = [&b"\x17\x03\x03\x00\x40"[..], &[7; 64]].concat();
            let too_long = [&b"\x17\x03\x03\x41\x01"[..], &vec![7; 0x4101]].concat();
            for (garbage, alert) in [
                (vec![0; 1000], "UnexpectedMessage"),
                (record, "BadRecordMac"),
                (too_long, "RecordOverflow"),
                (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(), "UnexpectedMessage"),
            ] {
                for in_body in [false, true] {
                    let (garbage, config, address) = (garbage.clone(), Arc::clone(&config), site.address);
                    let error = on_thread(&core, move || {
                        let mut client = Client::connect(address, &config, "localhost").expect("a handshake");
                        assert_eq!(client.get("/").text(), "hello");
                        if in_body {
                            client.send(
                                "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\npart",
                            );
                        }
                        client.stream.sock.write_all(&garbage).expect("the server reads");
                        client.rest().expect_err("an alert").to_string()
                    });
                    let error = error.await;
                    assert!(error.contains(alert), "{error}");
                }
            }
            is_well(&site, &config).await;
            until("all were counted", || site.stats.closed.get(CloseReason::TlsFailed) == 8).await;
        })
        .await;
    });
}

#[test]
fn a_handshake_that_stalls_ends_with_its_deadline() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let mut tls = identity.config();
        tls.handshake_timeout = Duration::from_millis(300);
        serve(&core, tls, ServerConfig::default(), routes(), (), async |site| {
            let config = Arc::new(client_config(&authority, &BOTH, None));
            let old = Arc::new(client_config(&authority, &[&rustls::version::TLS12], None));
            let flights = [
                ("nothing", Vec::new()),
                ("a byte", vec![22]),
                ("half a hello", hello(&config)[..100].to_vec()),
                ("a hello", hello(&config)),
                ("a hello of TLS 1.2", hello(&old)),
                (
                    "a record of the second flight",
                    [hello(&old), b"\x16\x03\x03\x00\x40\x10".to_vec()].concat(),
                ),
            ];
            for (name, flight) in flights.clone() {
                let address = site.address;
                on_thread(&core, move || {
                    let mut socket = connect(address);
                    socket.write_all(&flight).expect("the server reads");
                    // The server's part comes, then its end: it has closed its socket.
                    let mut told = Vec::new();
                    socket.read_to_end(&mut told).unwrap_or_else(|error| panic!("{name}: {error}"));
                })
                .await;
            }
            until("all are gone", || site.stats.active.get() == 0).await;
            let count = u64::try_from(flights.len()).expect("a small number");
            assert_eq!(site.stats.closed.get(CloseReason::TlsHandshakeTimeout), count);
            assert_eq!(site.stats.tls_handshaking.get(), 0);
            is_well(&site, &config).await;
        })
        .await;
    });
}

#[test]
fn alerts_end_a_connection_in_every_phase() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        serve(&core, identity.config(), ServerConfig::default(), routes(), (), async |site| {
            let alert = b"\x15\x03\x03\x00\x02\x02\x28".to_vec();
            let stranger = Authority::new("another");
            for version in BOTH {
                let config = Arc::new(client_config(&authority, &[version], None));
                told(&site, alert.clone()).await;
                told(&site, [hello(&config), alert.clone()].concat()).await;
                // A client that does not trust the server says so.
                let (config, address) = (Arc::new(client_config(&stranger, &[version], None)), site.address);
                on_thread(&core, move || {
                    let Err(error) = Client::connect(address, &config, "localhost") else {
                        panic!("it is not to be trusted")
                    };
                    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
                })
                .await;
            }
            until("all were counted", || site.stats.closed.get(CloseReason::TlsHandshakeFailed) == 6).await;
            is_well(&site, &Arc::new(client_config(&authority, &BOTH, None))).await;
        })
        .await;
    });
}

#[test]
fn an_end_that_was_not_said_is_known_for_what_it_is() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let (failed, failures) = std::sync::mpsc::channel();
        let routes = Router::new().get("/", async |_: &(), _| "hello").post(
            "/",
            async move |_: &(), mut request: Request| {
                let error = request.bytes().await.expect_err("it is cut off");
                failed.send(error.to_string()).expect("the test listens");
                ringhttp::Result::<&str>::Err(error)
            },
        );
        serve(&core, identity.config(), ServerConfig::default(), routes, (), async |site| {
            for version in BOTH {
                let config = Arc::new(client_config(&authority, &[version], None));
                for part in [
                    "",
                    "GET / HTTP/1.1\r\nhost: local",
                    "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf",
                    "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                ] {
                    let (config, address) = (Arc::clone(&config), site.address);
                    on_thread(&core, move || {
                        let mut client = Client::connect(address, &config, "localhost").expect("a handshake");
                        assert_eq!(client.get("/").text(), "hello");
                        client.send(part);
                        client.stream.sock.shutdown(Shutdown::Write).expect("an open socket");
                        let _ = client.stream.sock.read_to_end(&mut Vec::new());
                    })
                    .await;
                }
            }
            until("all are gone", || site.stats.active.get() == 0).await;
            assert_eq!(site.stats.closed.get(CloseReason::TlsTruncated), 6);
            // Between two requests nothing is lost, and many clients do it.
            assert_eq!(site.stats.closed.get(CloseReason::PeerClosed), 2);
            assert_eq!(site.stats.tls_unclean_ends.get(), 2);
            let disconnected = BodyError::Disconnected.to_string();
            assert_eq!(failures.try_iter().filter(|error| error.contains(&disconnected)).count(), 4);
        })
        .await;
    });
}

#[test]
fn an_oversized_hello_is_refused_and_a_large_one_is_not() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let mut tls = identity.config();
        tls.handshake_bytes_max = 32 * 1024;
        serve(&core, tls, ServerConfig::default(), routes(), (), async |site| {
            for (protocols, is_taken) in [(100, true), (150, false)] {
                let mut config = client_config(&authority, &BOTH, None);
                config.alpn_protocols = (0..protocols).map(|n| format!("{n:0>250}").into_bytes()).collect();
                config.alpn_protocols.push(b"http/1.1".to_vec());
                let (config, address) = (Arc::new(config), site.address);
                let outcome =
                    on_thread(&core, move || Client::connect(address, &config, "localhost").is_ok());
                assert_eq!(outcome.await, is_taken, "{protocols}");
            }
            until("it was counted", || site.stats.closed.get(CloseReason::TlsHandshakeFailed) == 1).await;
        })
        .await;
    });
}

#[test]
fn many_small_records_do_not_have_the_core_to_themselves() {
    // A million of them are sent by `.ci/run`, to an optimised server.
    const RECORDS: usize = 100_000;
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let mut config = ServerConfig::default();
        config.body_bytes_max = 8 << 20;
        serve(&core, identity.config(), config, routes(), (), async |site| {
            let config = Arc::new(client_config(&authority, &BOTH, None));
            let flooding = {
                let (config, address) = (Arc::clone(&config), site.address);
                core.spawn_blocking(move || flood(address, &config, RECORDS))
            };
            let (config, address) = (Arc::clone(&config), site.address);
            let served = on_thread(&core, move || {
                let mut client = Client::connect(address, &config, "localhost").expect("a handshake");
                (0..200).filter(|_| client.get("/").text() == "hello").count()
            });
            assert_eq!(served.await, 200);
            assert_eq!(flooding.await.expect("no panic"), RECORDS.to_string());
        })
        .await;
    });
}

/// Sends a body in records of a byte each, and gives the answer.
fn flood(address: SocketAddr, config: &Arc<ClientConfig>, count: usize) -> String {
    let mut client = Client::connect(address, config, "localhost").expect("a handshake");
    client.send(format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {count}\r\n\r\n"));
    let mut records = Vec::new();
    for n in 0..count {
        client.stream.conn.writer().write_all(b"x").expect("memory");
        if n % 1000 == 999 {
            records.clear();
            while client.stream.conn.wants_write() {
                client.stream.conn.write_tls(&mut records).expect("memory");
            }
            client.stream.sock.write_all(&records).expect("the server reads");
        }
    }
    client.answer().expect("an answer").text().to_owned()
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let mut config = ServerConfig::default();
        config.write_timeout = Duration::from_millis(300);
        let routes = Router::new().get("/", async |_: &(), _| vec![7_u8; 64 << 20]);
        serve(&core, identity.config(), config, routes, (), async |site| {
            let config = Arc::new(client_config(&authority, &BOTH, None));
            let address = site.address;
            let client = on_thread(&core, move || {
                let mut client = Client::connect(address, &config, "localhost").expect("a handshake");
                client.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
                client
            });
            let client = client.await;
            until("it was given up", || site.stats.closed.get(CloseReason::WriteStalled) == 1).await;
            drop(client);
        })
        .await;
    });
}
