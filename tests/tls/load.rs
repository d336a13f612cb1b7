//! Many at once, and the stop.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use ringhttp::testing::each_driver;
use ringhttp::{CloseReason, Request, Router, ServerConfig, time};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::common::{Authority, BOTH, Client, client_config, connect, on_thread, serve, until};

fn routes() -> Router<()> {
    Router::new().get("/", async |_: &(), _| "hello").get("/slow", async |_: &(), _: Request| {
        time::sleep(Duration::from_millis(300)).await;
        "at last"
    })
}

#[test]
fn a_thousand_handshakes_wait_in_line_while_others_are_served() {
    const CONNECTIONS: usize = 1000;
    const AT_A_TIME: u64 = 64;
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let mut tls = identity.config();
        tls.handshakes_max = 64;
        serve(&core, tls, ServerConfig::default(), routes(), (), async |site| {
            let config = Arc::new(client_config(&authority, &BOTH, None));
            let (client, address) = (Arc::clone(&config), site.address);
            let mut established = on_thread(&core, move || {
                Client::connect(address, &client, "localhost").expect("a handshake")
            })
            .await;
            // All have said hello before any of them goes on.
            let shaking = core.spawn_blocking(move || {
                let name = ServerName::try_from("localhost").expect("a name");
                let mut all: Vec<_> = (0..CONNECTIONS)
                    .map(|_| {
                        let socket = connect(address);
                        let mut client =
                            ClientConnection::new(Arc::clone(&config), name.clone()).expect("a client");
                        client.write_tls(&mut &socket).expect("sent");
                        (client, socket)
                    })
                    .collect();
                for (client, socket) in &mut all {
                    while client.is_handshaking() {
                        client.complete_io(socket).expect("a handshake");
                    }
                }
                all.len()
            });
            let mut shaking = std::pin::pin!(shaking);
            let mut most = 0;
            let mut served = 0;
            let finished = loop {
                let look = std::future::poll_fn(|cx| std::task::Poll::Ready(shaking.as_mut().poll(cx)));
                if let std::task::Poll::Ready(finished) = look.await {
                    break finished.expect("no panic");
                }
                let (client, text) = on_thread(&core, move || {
                    let text = established.get("/").text().to_owned();
                    (established, text)
                })
                .await;
                established = client;
                assert_eq!(text, "hello");
                served += 1;
                most = most.max(site.stats.tls_handshaking.get());
            };
            assert_eq!(finished, CONNECTIONS);
            assert!(most <= AT_A_TIME, "{most} at a time");
            assert!(served > 0, "somebody was served meanwhile");
            until("all were counted", || site.stats.tls_handshakes.get() == 1001).await;
        })
        .await;
    });
}

#[test]
fn those_who_stall_hold_up_only_those_who_shake_hands_too() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let mut tls = identity.config();
        tls.handshakes_max = 4;
        tls.handshake_timeout = Duration::from_millis(500);
        serve(&core, tls, ServerConfig::default(), routes(), (), async |site| {
            let config = Arc::new(client_config(&authority, &BOTH, None));
            let address = site.address;
            let (client, stalled) = on_thread(&core, {
                let config = Arc::clone(&config);
                move || {
                    let client = Client::connect(address, &config, "localhost").expect("a handshake");
                    let stalled: Vec<_> = (0..12)
                        .map(|_| {
                            let mut socket = connect(address);
                            socket.write_all(&[22]).expect("sent");
                            socket
                        })
                        .collect();
                    (client, stalled)
                }
            })
            .await;
            until("all places are taken", || site.stats.tls_handshaking.get() == 4).await;
            let newcomer =
                core.spawn_blocking(move || Client::connect(address, &config, "localhost").is_ok());
            let mut client = client;
            let served =
                on_thread(&core, move || (0..100).filter(|_| client.get("/").text() == "hello").count());
            assert_eq!(served.await, 100);
            // In line behind those who stalled, whose time runs out.
            assert!(newcomer.await.expect("no panic"));
            until("they are gone", || site.stats.closed.get(CloseReason::TlsHandshakeTimeout) == 12).await;
            on_thread(&core, move || {
                for mut socket in stalled {
                    assert_eq!(socket.read(&mut [0; 10]).expect("an end"), 0);
                }
            })
            .await;
        })
        .await;
    });
}

#[test]
fn a_stop_ends_tls_as_it_ends_everything() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    each_driver(async |core| {
        let mut tls = identity.config();
        tls.handshakes_max = 2;
        serve(&core, tls, ServerConfig::default(), routes(), (), async |site| {
            let config = Arc::new(client_config(&authority, &BOTH, None));
            let address = site.address;
            let clients = on_thread(&core, move || {
                let mut idle = Client::connect(address, &config, "localhost").expect("a handshake");
                assert_eq!(idle.get("/").text(), "hello");
                let mut busy = Client::connect(address, &config, "localhost").expect("a handshake");
                busy.send("GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n");
                // Two shake hands, and one waits in line.
                let shaking: Vec<_> = (0..3)
                    .map(|_| {
                        let mut socket = connect(address);
                        socket.write_all(&[22, 3]).expect("sent");
                        socket
                    })
                    .collect();
                (idle, busy, shaking)
            });
            let (mut idle, mut busy, shaking) = clients.await;
            until("all are there", || site.stats.active.get() == 5 && site.stats.requests.get() == 2).await;
            core.shutdown();
            let seen = core.spawn_blocking(move || {
                // Both hear TLS' own end.
                assert_eq!(idle.rest().expect("a clean end"), b"");
                let answer = String::from_utf8(busy.rest().expect("a clean end")).expect("text");
                assert!(answer.contains("connection: close\r\n"), "{answer}");
                assert!(answer.ends_with("at last"), "{answer}");
                for mut socket in shaking {
                    let _ = socket.read_to_end(&mut Vec::new());
                }
            });
            seen.await.expect("no panic");
            until("all are gone", || site.stats.active.get() == 0).await;
            assert_eq!(site.stats.closed.get(CloseReason::Stopping), 5);
        })
        .await;
    });
}
