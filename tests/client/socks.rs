//! Through SOCKS proxies: what they are told, what they refuse, and how.

use std::net::SocketAddr;
use std::time::Duration;

use ringhttp::client::{AddressFilter, ErrorKind, Proxies, Proxy};
use ringhttp::testing::{RawPeer, RawServer};
use ringhttp::{Client, ClientConfig, Core};

use super::{ok, text, until, with_config};

const CONNECTED: &[u8] = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50";

/// Reads a greeting, and the request behind it; gives the methods, user and password, and the target.
fn negotiate(peer: &mut RawPeer, method: u8) -> Option<String> {
    let [5, count] = *peer.read(2) else { return None };
    let methods = peer.read(usize::from(count));
    peer.send([5, method]);
    let mut said = format!("{methods:?}");
    if method == 2 {
        assert_eq!(peer.read(1), [1]);
        for _ in 0..2 {
            let length = peer.read(1)[0];
            said += &format!(" {}", String::from_utf8_lossy(&peer.read(usize::from(length))));
        }
        peer.send([1, 0]);
    }
    let [5, 1, 0, kind] = *peer.read(4) else { return None };
    let length = match kind {
        1 => 4,
        4 => 16,
        _ => usize::from(peer.read(1)[0]),
    };
    let address = peer.read(length);
    let port = peer.read(2);
    let port = u16::from_be_bytes([port[0], port[1]]);
    let address =
        if kind == 3 { String::from_utf8_lossy(&address).into_owned() } else { format!("{address:?}") };
    Some(format!("{said} {address} {port}"))
}

/// A proxy that is what it leads to itself: it gives requests back, each behind what it was told.
fn proxy(method: u8) -> RawServer {
    RawServer::start(move |mut peer| {
        let Some(said) = negotiate(&mut peer, method) else { return };
        // A byte at a time, as a bad network would have it.
        for byte in CONNECTED {
            peer.send([*byte]);
        }
        while let Some(head) = peer.read_head() {
            peer.send(ok(&format!("{said}\n{head}")));
        }
    })
}

fn through(url: &str) -> ClientConfig {
    let mut config = ClientConfig::default();
    config.timeout = Some(Duration::from_secs(20));
    config.proxies = Proxies::all(Proxy::new(url).expect("a proxy"));
    config
}

#[test]
fn names_are_looked_up_here_or_there_and_a_connection_is_used_again() {
    let server = proxy(0);
    let there = through(&format!("socks5h://{}", server.address()));
    with_config(&there, async |_, client| {
        let accepted = server.accepted();
        for _ in 0..2 {
            let told = text(client.get("http://no-such-host.invalid/a").send().await).await;
            assert!(told.starts_with("[0] no-such-host.invalid 80\nGET /a HTTP/1.1\r\n"), "{told}");
            assert!(told.contains("host: no-such-host.invalid\r\n"), "{told}");
        }
        assert_eq!(server.accepted() - accepted, 1);
        let told = text(client.get("http://other.invalid:81/").send().await).await;
        assert!(told.starts_with("[0] other.invalid 81\n"), "{told}");
        let told = text(client.get("http://[::1]:8/").send().await).await;
        assert!(told.starts_with("[0] [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] 8\n"), "{told}");
    });
    let mut here = through(&format!("socks5://{}", server.address()));
    here.host_overrides.insert("far.invalid".to_owned(), vec![SocketAddr::from(([192, 0, 2, 7], 0))]);
    with_config(&here, async |_, client| {
        let told = text(client.get("http://far.invalid:82/").send().await).await;
        assert!(told.starts_with("[0] [192, 0, 2, 7] 82\nGET / HTTP/1.1\r\n"), "{told}");
        let error = client.get("http://no-such-host.invalid/").send().await.expect_err("no such name");
        assert_eq!(error.kind(), ErrorKind::Resolve);
    });
}

#[test]
fn user_and_password_go_to_the_proxy_alone() {
    let server = proxy(2);
    let config = through(&format!("socks5h://ada:open%20sesame@{}", server.address()));
    with_config(&config, async |_, client| {
        let told = text(client.get("http://a.invalid/").send().await).await;
        assert!(told.starts_with("[0, 2] ada open sesame a.invalid 80\n"), "{told}");
        assert!(!told.to_lowercase().contains("authorization"), "{told}");
        let long = Proxy::new(format!("socks5h://{}", server.address())).expect("a proxy");
        let long = Proxies::all(long.basic_auth("ada", &"x".repeat(256)));
        let error = client.get("http://a.invalid/").proxies(&long).send().await.expect_err("it is too long");
        assert_eq!(error.kind(), ErrorKind::Proxy);
    });
    assert!(Proxy::new("socks5://p").expect("a proxy").header("a", "b").is_err());
}

#[test]
fn every_refusal_has_its_name() {
    const REFUSALS: &[(&[u8], &str)] = &[
        (b"\x05\x00\x05\x01\x00\x01\0\0\0\0\0\0", "general failure"),
        (b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0", "its rules do not allow the connection"),
        (b"\x05\x00\x05\x03\x00\x01\0\0\0\0\0\0", "the network is unreachable"),
        (b"\x05\x00\x05\x04\x00\x01\0\0\0\0\0\0", "the host is unreachable"),
        (b"\x05\x00\x05\x05\x00\x01\0\0\0\0\0\0", "the connection was refused"),
        (b"\x05\x00\x05\x06\x00\x01\0\0\0\0\0\0", "the time to live expired"),
        (b"\x05\x00\x05\x07", "it does not support the command"),
        (b"\x05\x00\x05\x08", "it does not support the type of the address"),
        (b"\x05\x00\x05\xee", "reply 238, which means nothing"),
        (b"\x05\x00\x05\x00\x00\x02", "it does not speak SOCKS 5"),
        (b"\x05\xff", "it accepts none of the ways to sign in that were offered"),
        (b"\x05\x02\x01\x01", "it accepts none of the ways to sign in that were offered"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak SOCKS 5"),
        (b"\x05", "unexpected end of file"),
        (b"", "unexpected end of file"),
        // What comes behind it would be the answer to a request that was not sent.
        (b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0HTTP/1.1 200 OK\r\n\r\n", "the tunnel is not silent"),
    ];
    for (refusal, expected) in REFUSALS {
        let server = RawServer::start(move |mut peer| {
            peer.read(3);
            peer.send(refusal);
            peer.end();
            peer.read_all();
        });
        with_config(&through(&format!("socks5h://{}", server.address())), async |_, client| {
            let error = client.get("http://a.invalid/").send().await.expect_err("no connection");
            assert!(error.kind() == ErrorKind::Proxy && error.is_connect(), "{expected}: {error:?}");
            let source = std::error::Error::source(&error).map(ToString::to_string);
            assert!(
                source.as_deref() == Some(*expected) || error.to_string().contains(expected),
                "{expected}: {error:?}"
            );
            assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
        });
    }
    let refusing = RawServer::start(|mut peer| {
        peer.read(4);
        peer.send(b"\x05\x02");
        peer.read(1 + 1 + 3 + 1 + 2);
        peer.send(b"\x01\x01");
        peer.read_all();
    });
    with_config(&through(&format!("socks5h://ada:pw@{}", refusing.address())), async |_, client| {
        let error = client.get("http://a.invalid/").send().await.expect_err("no connection");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("it does not accept user and password"));
    });
}

/// What one address is refused for may not hold for the next; a password that is refused holds for all.
#[test]
fn the_next_address_is_tried_and_a_password_is_not() {
    let server = RawServer::start(|mut peer| {
        let Some(said) = negotiate(&mut peer, 0) else { return };
        if said.contains("[192, 0, 2, 1]") {
            peer.send(b"\x05\x04\x00\x01\0\0\0\0\0\0");
            return;
        }
        peer.send(CONNECTED);
        while peer.read_head().is_some() {
            peer.send(ok(&said));
        }
    });
    let addresses = || [1, 2, 3].map(|last| SocketAddr::from(([192, 0, 2, last], 0))).to_vec();
    let mut config = through(&format!("socks5://{}", server.address()));
    config.host_overrides.insert("far.invalid".to_owned(), addresses());
    with_config(&config, async |_, client| {
        let told = text(client.get("http://far.invalid/").send().await).await;
        assert_eq!(told, "[0] [192, 0, 2, 2] 80");
    });
    let refusing = RawServer::start(|mut peer| {
        peer.read(3);
        peer.send(b"\x05\xff");
        peer.read_all();
    });
    let mut config = through(&format!("socks5://{}", refusing.address()));
    config.host_overrides.insert("far.invalid".to_owned(), addresses());
    with_config(&config, async |_, client| {
        let accepted = refusing.accepted();
        assert!(client.get("http://far.invalid/").send().await.is_err());
        assert_eq!(refusing.accepted() - accepted, 1);
    });
}

#[test]
fn addresses_are_filtered_as_far_as_they_are_known_here() {
    let server = proxy(0);
    for scheme in ["socks5", "socks5h"] {
        let mut config = through(&format!("{scheme}://{}", server.address()));
        config.addresses = AddressFilter::public();
        config.host_overrides.insert("inside.invalid".to_owned(), vec![SocketAddr::from(([10, 0, 0, 1], 0))]);
        with_config(&config, async |_, client| {
            let error = client.get("http://10.0.0.1/").send().await.expect_err("not public");
            assert_eq!(error.kind(), ErrorKind::AddressRefused);
            let inside = client.get("http://inside.invalid/").send().await.map_err(|error| error.kind());
            let is_refused = matches!(inside, Err(ErrorKind::AddressRefused));
            assert_eq!(is_refused, scheme == "socks5", "the proxy has to refuse what it looks up");
        });
    }
}

#[test]
fn a_proxy_that_says_nothing_is_too_late_and_one_that_nobody_waits_for_is_closed() {
    for said in [&b""[..], b"\x05\x00", b"\x05\x00\x05\x00\x00"] {
        let server = RawServer::start(move |mut peer| {
            peer.send(said);
            peer.read_all();
        });
        let mut config = through(&format!("socks5h://{}", server.address()));
        config.connect_timeout = Some(Duration::from_millis(50));
        with_config(&config, async |core: Core, client: Client| {
            let error = client.get("http://a.invalid/").send().await.expect_err("no connection");
            assert_eq!(error.kind(), ErrorKind::ConnectTimeout, "{error:?}");
            for turns in 0..12 {
                let mut sending = Box::pin(client.get("http://a.invalid/").send());
                for _ in 0..turns {
                    let poll = std::future::poll_fn(|cx| {
                        std::task::Poll::Ready(sending.as_mut().poll(cx).is_ready())
                    });
                    if poll.await {
                        break;
                    }
                    core.yield_now().await;
                }
                drop(sending);
                assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
            }
            until("all connections are closed", || server.open() == 0).await;
        });
    }
}
