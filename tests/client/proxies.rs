//! Through proxies: what they are sent, what goes through their tunnels, and what they are not told.

use std::time::Duration;

use ringhttp::client::{AddressFilter, ErrorKind, Proxies, Proxy};
use ringhttp::testing::RawServer;
use ringhttp::{ClientConfig, Method};

use super::{answering, field, mirror, ok, text, with_config};

/// A proxy that opens any tunnel, and is what is at its other end itself: it gives requests back, each behind the head that
/// asked for the tunnel.
fn tunneling() -> RawServer {
    RawServer::start(|mut peer| {
        let mut opened = String::new();
        while let Some(head) = peer.read_head() {
            if head.starts_with("CONNECT ") {
                opened = head;
                peer.send("HTTP/1.1 200 Connection established\r\n\r\n");
            } else {
                peer.send(ok(&format!("{opened}{head}")));
            }
        }
    })
}

fn through(proxy: Proxy) -> ClientConfig {
    let mut config = ClientConfig::default();
    config.timeout = Some(Duration::from_secs(20));
    config.proxies = Proxies::all(proxy);
    config
}

fn proxy(server: &RawServer) -> Proxy {
    Proxy::new(server.url("/")).expect("a proxy")
}

#[test]
fn a_proxy_that_forwards_gets_whole_urls_and_one_connection_serves_all_servers() {
    let server = mirror();
    let proxy = proxy(&server).basic_auth("ada", "open sesame").header("x-team", "7").expect("a field");
    with_config(&through(proxy), async |_, client| {
        let accepted = server.accepted();
        let head = text(client.get("http://no-such-host.invalid:81/a?b=c#d").send().await).await;
        assert!(head.starts_with("GET http://no-such-host.invalid:81/a?b=c HTTP/1.1\r\n"), "{head}");
        assert_eq!(field(&head, "host"), Some("no-such-host.invalid:81"));
        assert_eq!(field(&head, "proxy-authorization"), Some("Basic YWRhOm9wZW4gc2VzYW1l"));
        assert_eq!(field(&head, "x-team"), Some("7"));
        let post = client.post("http://other.invalid/").body("x").send().await;
        assert!(text(post).await.starts_with("POST http://other.invalid/ HTTP/1.1\r\n"));
        assert_eq!(server.accepted() - accepted, 1);
    });
}

#[test]
fn a_tunnel_hides_the_request_and_the_server_does_not_see_who_asked_the_proxy() {
    let server = tunneling();
    let proxy =
        proxy(&server).basic_auth("ada", "pw").header("x-team", "7").expect("a field").always_tunnel();
    with_config(&through(proxy), async |_, client| {
        let accepted = server.accepted();
        for _ in 0..2 {
            let both = text(client.get("http://no-such-host.invalid/a").send().await).await;
            let (opened, head) = both.split_once("\r\n\r\n").expect("two heads");
            assert!(opened.starts_with("CONNECT no-such-host.invalid:80 HTTP/1.1\r\n"), "{opened}");
            assert_eq!(field(opened, "host"), Some("no-such-host.invalid:80"));
            assert!(field(opened, "proxy-authorization").is_some() && field(opened, "x-team").is_some());
            assert!(head.starts_with("GET /a HTTP/1.1\r\n"), "{head}");
            assert_eq!(field(head, "host"), Some("no-such-host.invalid"));
            assert!(!head.contains("proxy-authorization") && !head.contains("x-team"), "{head}");
        }
        assert_eq!(server.accepted() - accepted, 1, "a tunnel is used again");
        text(client.get("http://other.invalid/").send().await).await;
        assert_eq!(server.accepted() - accepted, 2, "a tunnel leads to one server");
    });
}

#[test]
fn a_proxy_that_refuses_is_named_and_its_status_is_known() {
    const REFUSALS: &[(&str, Option<u16>)] = &[
        ("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", Some(407)),
        ("HTTP/1.1 302 Found\r\nlocation: http://evil.example/\r\ncontent-length: 0\r\n\r\n", Some(302)),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", Some(502)),
        ("SSH-2.0-OpenSSH_9.6\r\n", None),
        // The other end has spoken already: with an answer to what it was not asked.
        ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", None),
        ("", None),
    ];
    for (refusal, status) in REFUSALS {
        let server = RawServer::start(move |mut peer| {
            peer.read_head();
            peer.send(refusal);
            peer.end();
            peer.read_all();
        });
        with_config(&through(proxy(&server).always_tunnel()), async |_, client| {
            let error = client.get("http://a.invalid/").send().await.expect_err("no tunnel");
            assert_eq!(error.kind(), ErrorKind::Proxy, "{refusal}: {error:?}");
            assert_eq!(error.status().map(|status| status.as_u16()), *status, "{refusal}");
            assert!(error.is_connect() && error.url() == Some("http://a.invalid/"));
            assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
        });
    }
}

#[test]
fn a_proxy_that_says_nothing_is_too_late_for_a_connect() {
    let server = RawServer::start(|mut peer| {
        peer.read_all();
    });
    let mut config = through(proxy(&server).always_tunnel());
    config.connect_timeout = Some(Duration::from_millis(50));
    with_config(&config, async |_, client| {
        let error = client.get("http://a.invalid/").send().await.expect_err("no tunnel");
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout, "{error:?}");
    });
}

#[test]
fn what_goes_straight_and_what_one_request_does_otherwise() {
    let (origin, forwarding) = (mirror(), answering(|_| ok("the proxy")));
    let mut config = through(proxy(&forwarding));
    config.proxies = config.proxies.except("127.0.0.0/8").expect("a network");
    let every = Proxies::all(proxy(&forwarding));
    with_config(&config, async |_, client| {
        let url = origin.url("/");
        assert!(text(client.get(&url).send().await).await.starts_with("GET / HTTP/1.1\r\n"));
        assert_eq!(text(client.get("http://a.invalid/").send().await).await, "the proxy");
        assert_eq!(text(client.get(&url).proxies(&every).send().await).await, "the proxy");
        let error = client.get("http://a.invalid/").proxies(&Proxies::none()).send().await;
        assert_eq!(error.expect_err("no such host").kind(), ErrorKind::Resolve);
    });
}

/// A redirect may lead from what goes through the proxy to what does not: its credentials stay with it.
#[test]
fn credentials_of_a_proxy_do_not_leave_it() {
    let origin = mirror();
    let location = origin.url("/straight");
    let forwarding = answering(move |_| {
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
    });
    let mut config = through(proxy(&forwarding).basic_auth("ada", "pw"));
    config.proxies = config.proxies.except("127.0.0.1").expect("an address");
    with_config(&config, async |_, client| {
        let head = text(client.get("http://a.invalid/").send().await).await;
        assert!(head.starts_with("GET /straight HTTP/1.1\r\n"), "{head}");
        assert_eq!(field(&head, "proxy-authorization"), None);
    });
}

/// The proxy connects, so what is asked is what stands in the URL; the proxy itself is the configuration's.
#[test]
fn addresses_in_urls_are_filtered_and_the_proxy_is_not() {
    let server = mirror();
    let mut config = through(proxy(&server));
    config.addresses = AddressFilter::public();
    with_config(&config, async |_, client| {
        for url in ["http://127.0.0.1/", "http://169.254.169.254/", "http://[::1]/", "http://2130706433/"] {
            let error = client.get(url).send().await.expect_err("not public");
            assert_eq!(error.kind(), ErrorKind::AddressRefused, "{url}");
        }
        assert!(
            text(client.get("http://a.invalid/").send().await).await.starts_with("GET http://a.invalid/ ")
        );
        let error =
            client.get("http://127.0.0.1/").send().await.expect_err("not over an idle connection either");
        assert_eq!(error.kind(), ErrorKind::AddressRefused);
    });
}

#[test]
fn a_tunnel_of_ones_own_goes_through_the_proxy() {
    let server = tunneling();
    with_config(&through(proxy(&server)), async |_, client| {
        let answer = client.request(Method::CONNECT, "http://a.invalid:22/").send().await.expect("an answer");
        let mut peer = answer.upgrade().expect("a tunnel");
        peer.write("ping\r\n\r\n").await.expect("it is open");
        let read = peer.read().await.expect("it is open").expect("bytes");
        assert!(read.starts_with(b"HTTP/1.1 200 OK\r\n"));
    });
}
