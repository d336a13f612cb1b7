//! Our client through what stands between: proxies that are spoken to over TLS, and a network that delivers byte by byte.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use ringhttp::client::{ErrorKind, Proxies, Proxy};
use ringhttp::testing::{RawServer, each_driver};
use ringhttp::{Client, ClientConfig, ClientTls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::client::{by_http, client, text, trusting, tunneling, url, with_site};
use super::common::{Authority, BOTH, Identity, connect, use_ring};

/// Takes TLS off a connection, whose plain bytes it sends on to `target`, and puts it on what comes back.
fn without_tls(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
    target: SocketAddr,
) -> SocketAddr {
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).map(|one| one.expect("PEM"));
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .expect("a key that fits");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (near, _) = listener.accept().expect("a client");
        let mut far = connect(target);
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(Duration::from_millis(2))).expect("a socket");
        }
        let tls = ServerConnection::new(Arc::new(config)).expect("a good configuration");
        let mut near = StreamOwned::new(tls, near);
        // One after the other: two threads cannot have one TLS.
        while moved(&mut near, &mut far) && moved(&mut far, &mut near) {}
    });
    address
}

/// Moves what has come; false at the end.
fn moved(from: &mut impl Read, to: &mut impl Write) -> bool {
    let mut piece = [0; 16 * 1024];
    match from.read(&mut piece) {
        Ok(count @ 1..) => to.write_all(&piece[..count]).and_then(|()| to.flush()).is_ok(),
        Err(error) => matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        Ok(0) => false,
    }
}

/// Passes a connection on to `target`, and what comes back in writes of one byte.
fn byte_by_byte(target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (near, _) = listener.accept().expect("a client");
        near.set_nodelay(true).expect("a socket");
        let far = connect(target);
        let (mut from, mut to) = (near.try_clone().expect("a handle"), far.try_clone().expect("a handle"));
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
        for byte in BufReader::new(far).bytes().map_while(Result::ok) {
            if (&near).write_all(&[byte]).is_err() {
                break;
            }
        }
    });
    address
}

#[test]
fn records_of_a_server_may_come_byte_by_byte() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    let body = "x".repeat(20_000);
    let sent = body.clone();
    let plain = RawServer::start(move |mut peer| {
        while peer.read_head().is_some() {
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{sent}", sent.len()));
        }
    });
    each_driver(async |core| {
        use_ring();
        for version in BOTH {
            let server = byte_by_byte(without_tls(&identity, &[version], plain.address()));
            let mut config = ClientConfig::default();
            config.tls = Some(ClientTls::load(trusting(&authority)).expect("it can be loaded"));
            let client = Client::new(&core, config).expect("a good configuration");
            let target = format!("https://localhost:{}/", server.port());
            for _ in 0..2 {
                assert_eq!(text(&client, &target).await.expect("an answer"), body);
            }
            assert_eq!(client.stats().made, 1);
        }
        core.shutdown();
    });
}

#[test]
fn tls_goes_through_the_tunnel_of_a_proxy_that_is_spoken_to_over_tls() {
    let (servers, proxies) = (Authority::new("servers"), Authority::new("proxies"));
    let identity = proxies.server(&["localhost"]);
    with_site(&servers.server(&["localhost"]).config(), async |site| {
        let proxy = without_tls(&identity, &BOTH, tunneling(site.address, by_http));
        let client = client(&site, trusting(&servers));
        let proxy = Proxy::new(format!("https://localhost:{}", proxy.port())).expect("a proxy");
        let its_own = ClientTls::load(trusting(&proxies)).expect("it can be loaded");
        let through = Proxies::all(proxy.clone().tls(&its_own));
        for body in ["", &"x".repeat(300_000)] {
            let request = client.post(url(&site, "/echo")).body(body.to_owned()).proxies(&through);
            assert_eq!(request.send().await.expect("an answer").text().await.expect("text"), body);
        }
        assert_eq!(client.stats().made, 1);
        client.close().await;
    });
}

#[test]
fn a_proxy_over_tls_forwards_and_is_trusted_by_its_own_rules() {
    let authority = Authority::new("test");
    // The proxy is the server itself, which takes whole URLs.
    with_site(&authority.server(&["localhost"]).config(), async |site| {
        let client = client(&site, trusting(&authority));
        let proxy = Proxy::new(format!("https://localhost:{}", site.address.port())).expect("a proxy");
        let trusted = ClientTls::load(trusting(&authority)).expect("it can be loaded");
        let through = Proxies::all(proxy.clone().tls(&trusted));
        let answer = client.get("http://a.invalid/").proxies(&through).send().await.expect("an answer");
        assert_eq!(answer.text().await.expect("text"), "TLSv1.3 false Some(\"localhost\") None");
        // What is trusted to be a server is not trusted to be a proxy.
        let refused = client.get("http://a.invalid/").proxies(&Proxies::all(proxy)).send().await;
        let error = refused.expect_err("nobody vouches for it");
        assert!(matches!(error.kind(), ErrorKind::Certificate | ErrorKind::Tls), "{error:?}");
        assert!(error.to_string().contains("a.invalid"), "{error}");
    });
}
