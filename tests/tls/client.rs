//! Our client against our server: what is accepted and what is not, bodies both ways, and peers that speak TLS badly.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use ringhttp::client::{CertificateFault, ClientCertificate, Error, ErrorKind, OcspStaple, Proxies, Proxy};
use ringhttp::testing::{RawPeer, RawServer, each_driver};
use ringhttp::websocket::Closed;
use ringhttp::{
    Body, Client, ClientAuth, ClientConfig, ClientRoots, ClientTls, ClientTlsConfig, CloseReason,
    HeaderValue, Request, Response, Router, ServerConfig, StatusCode, TlsConfig, TlsVersion, WebSocketConfig,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConnection, StreamOwned};
use sha2::{Digest, Sha256};

use super::common::{Authority, Identity, Site, connect, serve, until, use_ring};
use super::ocsp;

fn routes() -> Router<()> {
    Router::new()
        .get("/", async |_: &(), request: Request| {
            let tls = request.tls().expect("over TLS");
            let client = tls.client_certificate().and_then(|shown| shown.common_name());
            format!("{} {} {:?} {:?}", tls.version(), tls.is_resumed(), tls.server_name(), client)
        })
        .post("/echo", async |_: &(), request: Request| Response::new(request.into_body()))
        .get("/ws", sent_back)
}

async fn sent_back(_: &(), request: Request) -> ringhttp::Result<Closed> {
    let mut socket = request.websocket(WebSocketConfig::default()).await?;
    while let Some(message) = socket.receive().await? {
        socket.send(message).await?;
    }
    Ok(socket.close().await?)
}

pub(super) fn trusting(authority: &Authority) -> ClientTlsConfig {
    ClientTlsConfig::trusting(authority.pem.clone().into_bytes().into())
}

pub(super) fn client(site: &Site, tls: ClientTlsConfig) -> Client {
    let mut config = ClientConfig::default();
    config.tls = Some(ClientTls::load(tls).expect("it can be loaded"));
    config.host_overrides.insert("a.example".to_owned(), vec![site.address]);
    Client::new(&site.core, config).expect("a good configuration")
}

pub(super) fn url(site: &Site, path: &str) -> String {
    format!("https://localhost:{}{path}", site.address.port())
}

pub(super) async fn text(client: &Client, url: &str) -> Result<String, Error> {
    client.get(url).send().await?.text().await
}

/// Runs `body` on both drivers against a server that shows `identity`.
pub(super) fn with_site(tls: &TlsConfig, body: impl AsyncFn(Site) + Send + Sync) {
    each_driver(async |core| {
        serve(&core, tls.clone(), ServerConfig::default(), routes(), (), async |site| body(site).await).await;
    });
}

#[test]
fn sockets_open_over_tls_for_pages_of_the_same_origin() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    with_site(&identity.config(), async |site| {
        let client = client(&site, trusting(&authority));
        let port = site.address.port();
        let url = format!("wss://localhost:{port}/ws");
        let page = format!("https://localhost:{port}");
        let mut socket = client.websocket(&url).header("origin", page).connect().await.expect("a socket");
        for length in [0, 1, 125, 126, 70_000, 1 << 20] {
            let text = "x".repeat(length);
            socket.send(text.clone()).await.expect("sent");
            let message = socket.receive().await.expect("no fault").expect("a message");
            assert!(
                message.as_text().is_some_and(|received| received.as_bytes() == text.as_bytes()),
                "{length}"
            );
        }
        socket.close().await.expect("closed");
        // The same host over plain HTTP is another origin.
        let page = format!("http://localhost:{port}");
        let refused =
            client.websocket(&url).header("origin", page).connect().await.expect_err("another origin");
        assert_eq!(refused.status(), Some(StatusCode::FORBIDDEN));
        client.close().await;
    });
}

#[test]
fn requests_and_bodies_go_over_one_secured_connection() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost", "127.0.0.1"]);
    let sent: Vec<u8> = (0..1_u32 << 20).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        with_site(&identity.config(), async |site| {
            let mut config = trusting(&authority);
            config.min_version = version;
            let client = client(&site, config);
            let answer = client.get(url(&site, "/")).send().await.expect("an answer");
            assert!(answer.timings().tls.is_some() && answer.timings().connect.is_some());
            assert_eq!(answer.text().await.expect("text"), "TLSv1.3 false Some(\"localhost\") None");
            for _ in 0..20 {
                text(&client, &url(&site, "/")).await.expect("an answer");
            }
            for _ in 0..3 {
                let answer = client.post(url(&site, "/echo")).body(sent.clone()).send().await;
                assert!(answer.expect("an answer").bytes().await.expect("a body") == sent);
            }
            assert_eq!(client.stats().made, 1, "{}", client.stats());
            // An address is a name, too, and no name is asked for.
            let by_address = format!("https://{}/", site.address);
            assert_eq!(text(&client, &by_address).await.expect("an answer"), "TLSv1.3 false None None");
            client.close().await;
            assert_eq!(site.stats.tls_handshakes.get(), 2);
        });
    }
}

#[test]
fn a_session_is_resumed_unless_none_are_kept() {
    let authority = Authority::new("test");
    with_site(&authority.server(&["localhost"]).config(), async |site| {
        for (sessions_max, second) in [(8, "true"), (0, "false")] {
            let mut tls = trusting(&authority);
            tls.sessions_max = sessions_max;
            let mut config = ClientConfig::default();
            config.keep_alive = false;
            config.tls = Some(ClientTls::load(tls).expect("it can be loaded"));
            let client = Client::new(&site.core, config).expect("a good configuration");
            for resumed in ["false", second] {
                let said = text(&client, &url(&site, "/")).await.expect("an answer");
                assert_eq!(said, format!("TLSv1.3 {resumed} Some(\"localhost\") None"));
            }
        }
    });
}

fn fault(result: Result<String, Error>) -> Option<CertificateFault> {
    let error = result.expect_err("it is not accepted");
    assert!(error.is_connect() && !error.is_retryable(), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Certificate, "{error:?}");
    error.certificate_fault()
}

#[test]
fn certificates_that_are_not_accepted() {
    let (authority, other) = (Authority::new("test"), Authority::new("other"));
    let identity = authority.server(&["localhost"]);
    with_site(&identity.config(), async |site| {
        let untrusting = client(&site, trusting(&other));
        let error = text(&untrusting, &url(&site, "/?token=secret")).await.expect_err("it is not accepted");
        assert_eq!(
            error.to_string(),
            format!(
                "the server's certificate is not accepted: that of `localhost`: its issuer is unknown, for {}",
                url(&site, "/")
            )
        );
        assert_eq!(fault(Err(error)), Some(CertificateFault::UnknownIssuer));
        let trusting = client(&site, trusting(&authority));
        for other in
            [format!("https://a.example:{}/", site.address.port()), format!("https://{}/", site.address)]
        {
            assert_eq!(fault(text(&trusting, &other).await), Some(CertificateFault::WrongName));
        }
        // Those of the system have never heard of it.
        let standard = Client::new(&site.core, ClientConfig::default()).expect("a good configuration");
        let error = standard.get(url(&site, "/")).send().await.expect_err("it is not accepted");
        assert!(matches!(error.kind(), ErrorKind::Certificate | ErrorKind::Tls), "{error:?}");
    });
    with_site(&authority.expired("localhost").config(), async |site| {
        let client = client(&site, trusting(&authority));
        assert_eq!(fault(text(&client, &url(&site, "/")).await), Some(CertificateFault::Expired));
    });
    with_site(&identity.config(), async |site| {
        let mut config = trusting(&authority);
        config.revocations = Some(authority.revoke(&[1]).into_bytes().into());
        let client = client(&site, config);
        assert_eq!(fault(text(&client, &url(&site, "/")).await), Some(CertificateFault::Revoked));
    });
}

#[test]
fn a_staple_is_the_word_of_the_certificates_signer() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    let asked = async |site: &Site, rule| {
        let mut config = trusting(&authority);
        config.ocsp_staple = rule;
        text(&client(site, config), &url(site, "/")).await
    };
    for (staple, if_usable, required) in [
        (Some(authority.ocsp("test", 1, ocsp::GOOD)), None, None),
        (
            Some(authority.ocsp("test", 1, ocsp::REVOKED)),
            Some(CertificateFault::Revoked),
            Some(CertificateFault::Revoked),
        ),
        (Some(authority.ocsp("test", 1, ocsp::UNKNOWN)), None, Some(CertificateFault::NoStaple)),
        (Some(Authority::new("test").ocsp("test", 1, ocsp::REVOKED)), None, Some(CertificateFault::NoStaple)),
        (Some(b"no response".to_vec()), None, Some(CertificateFault::NoStaple)),
        (None, None, Some(CertificateFault::NoStaple)),
    ] {
        let mut config = identity.config();
        config.certificates[0].ocsp = staple.map(Into::into);
        with_site(&config, async |site| {
            for (rule, expected) in [
                (OcspStaple::Ignored, None),
                (OcspStaple::IfUsable, if_usable),
                (OcspStaple::Required, required),
            ] {
                match (asked(&site, rule).await, expected) {
                    (Ok(_), None) => {}
                    (Ok(_), Some(expected)) => panic!("{rule:?}: accepted instead of {expected:?}"),
                    (error, expected) => assert_eq!(fault(error), expected, "{rule:?}"),
                }
            }
        });
    }
}

#[test]
fn a_connection_of_the_pool_says_that_it_ends() {
    let authority = Authority::new("test");
    let identity = authority.server(&["localhost"]);
    with_site(&identity.config(), async |site| {
        let stats = &site.stats;
        let all_ended = async || until("the connection ends", || stats.active.get() == 0).await;
        let dropped = client(&site, trusting(&authority));
        text(&dropped, &url(&site, "/")).await.expect("an answer");
        drop(dropped);
        all_ended().await;
        let closed = client(&site, trusting(&authority));
        text(&closed, &url(&site, "/")).await.expect("an answer");
        closed.close().await;
        all_ended().await;
        assert_eq!((stats.requests.get(), stats.tls_unclean_ends.get()), (2, 0));
        assert_eq!(stats.closed.get(CloseReason::PeerClosed), 2);

        // What is cut off must not look whole.
        let cut = client(&site, trusting(&authority));
        let body = Body::stream(async |mut out| {
            out.write("beginning").await?;
            std::future::pending().await
        });
        let mut answer =
            cut.post(url(&site, "/echo")).body(body).send().await.expect("it is echoed as it comes");
        assert_eq!(answer.chunk().await.expect("a piece").as_deref(), Some(&b"beginning"[..]));
        drop(answer);
        all_ended().await;
        // As the server would call a message that is not whole, at an end that was said.
        assert_eq!(stats.closed.get(CloseReason::PeerClosedEarly), 0);
        assert_eq!(stats.closed.get(CloseReason::PeerClosed), 2);
    });
}

#[test]
fn fingerprints_names_and_danger_are_what_one_asks_for() {
    let authority = Authority::new("test");
    let identity = authority.server(&["b.example"]);
    let der = CertificateDer::from_pem_slice(identity.chain.as_bytes()).expect("PEM");
    let fingerprint: [u8; 32] = Sha256::digest(&der).into();
    with_site(&identity.config(), async |site| {
        let target = url(&site, "/");
        let mut config = ClientTlsConfig::default();
        config.fingerprints = vec![[0; 32], fingerprint];
        text(&client(&site, config.clone()), &target).await.expect("it is the one");
        config.fingerprints = vec![[0; 32]];
        let wrong = ClientTls::load(config).expect("it can be loaded");
        let pinned = client(&site, trusting(&authority));
        let refused = pinned.get(&target).tls(&wrong).send().await.map(|_| String::new());
        assert_eq!(fault(refused), Some(CertificateFault::WrongFingerprint));

        assert_eq!(fault(text(&pinned, &target).await), Some(CertificateFault::WrongName));
        let mut config = trusting(&authority);
        config.server_name = Some("b.example".to_owned());
        let named = ClientTls::load(config).expect("it can be loaded");
        let answer = pinned.get(&target).tls(&named).send().await.expect("it has that name");
        assert_eq!(answer.text().await.expect("text"), "TLSv1.3 false Some(\"b.example\") None");
        // A connection that was made by other rules is not used.
        assert_eq!(fault(text(&pinned, &target).await), Some(CertificateFault::WrongName));

        let mut config = ClientTlsConfig::default();
        config.danger_accept_invalid_certificates = true;
        text(&client(&site, config), &target).await.expect("anything goes");
    });
}

#[test]
fn a_client_shows_its_certificate() {
    let (authority, clients) = (Authority::new("test"), Authority::new("clients"));
    let mut server = authority.server(&["localhost"]).config();
    server.client_auth = ClientAuth::Required(ClientRoots::from_pem(clients.pem.as_str()));
    let shown = clients.client("ada", 7);
    with_site(&server, async |site| {
        let mut config = trusting(&authority);
        let nobody = client(&site, config.clone());
        let error = text(&nobody, &url(&site, "/")).await.expect_err("it is asked for one");
        // In TLS 1.3 the client is done before the server has looked.
        assert!(matches!(error.kind(), ErrorKind::Tls | ErrorKind::Disconnected), "{error:?}");
        assert!(format!("{error:?}").contains("CertificateRequired"), "{error:?}");
        config.certificate =
            Some(ClientCertificate::new(shown.chain.clone().into_bytes(), shown.key.clone().into_bytes()));
        let said = text(&client(&site, config), &url(&site, "/")).await.expect("it is known");
        assert_eq!(said, "TLSv1.3 false Some(\"localhost\") Some(\"ada\")");
    });
}

#[test]
fn configurations_that_cannot_work() {
    type Change = fn(&mut ClientTlsConfig);
    let cases: [(&str, Change); 7] = [
        ("roots", |config| config.system_roots = false),
        ("roots[1]", |config| config.roots.push(b"no PEM".to_vec().into())),
        ("handshake_bytes_max", |config| config.handshake_bytes_max = 0),
        ("is no server's name", |config| config.server_name = Some("a b".to_owned())),
        ("certificate", |config| {
            config.certificate = Some(ClientCertificate::new(b"no".to_vec(), b"PEM".to_vec()));
        }),
        ("fingerprints", |config| {
            config.fingerprints.push([0; 32]);
            config.danger_accept_invalid_certificates = true;
        }),
        ("revocations", |config| {
            config.fingerprints.push([0; 32]);
            config.revocations = Some(Vec::new().into());
        }),
    ];
    use_ring();
    for (name, change) in cases {
        let mut config = ClientTlsConfig::trusting(Authority::new("test").pem.into_bytes().into());
        config.roots.truncate(usize::from(name != "roots"));
        change(&mut config);
        let error = ClientTls::load(config).expect_err("it cannot work");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}

/// A client on a core of its own driver, and a peer that says what it likes.
fn against(
    script: impl Fn(RawPeer) + Send + Sync + Clone + 'static,
    body: impl AsyncFn(&Client, &str) + Send + Sync,
) {
    use_ring();
    each_driver(async |core| {
        let server = RawServer::start(script.clone());
        let mut config = ClientConfig::default();
        config.tls_timeout = Some(Duration::from_millis(300));
        let mut tls = ClientTlsConfig::default();
        tls.danger_accept_invalid_certificates = true;
        config.tls = Some(ClientTls::load(tls).expect("it can be loaded"));
        let client = Client::new(&core, config).expect("a good configuration");
        body(&client, &format!("https://{}/", server.address())).await;
        client.close().await;
        until("nothing is left open", || server.open() == 0).await;
    });
}

#[test]
fn a_handshake_that_stalls_is_given_up() {
    against(
        |mut peer| drop(peer.read_all()),
        async |client, url| {
            let error = client.get(url).send().await.expect_err("nobody answers");
            assert_eq!(error.kind(), ErrorKind::TlsTimeout);
            assert!(error.is_timeout() && error.is_connect() && error.is_retryable());
        },
    );
}

#[test]
fn what_is_no_tls_is_told_as_such() {
    against(
        |mut peer| {
            peer.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
            peer.read_all();
        },
        async |client, url| {
            let error = client.get(url).send().await.expect_err("that is no TLS");
            assert_eq!(error.kind(), ErrorKind::Tls);
            assert!(error.to_string().contains("sends is no TLS"), "{error}");
        },
    );
    against(
        |peer| peer.end(),
        async |client, url| {
            let error = client.get(url).send().await.expect_err("it is gone");
            assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
        },
    );
}

/// A server on a thread, of rustls' own: it answers one request, and says `close_notify` or does not.
fn one_answer(identity: &Identity, answer: &'static str, says_goodbye: bool) -> SocketAddr {
    use_ring();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
    let chain = vec![CertificateDer::from_pem_slice(identity.chain.as_bytes()).expect("PEM")];
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let config = Arc::new(config.expect("a key that fits"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().expect("a client");
        let connection = ServerConnection::new(config).expect("it works");
        let mut stream = StreamOwned::new(connection, socket);
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(answer.as_bytes()).expect("the client reads");
        if says_goodbye {
            stream.conn.send_close_notify();
        }
        stream.flush().expect("the client reads");
    });
    address
}

#[test]
fn a_body_that_ends_with_the_connection_ends_with_close_notify() {
    let authority = Authority::new("test");
    let identity = authority.server(&["127.0.0.1"]);
    each_driver(async |core| {
        let mut config = ClientConfig::default();
        config.tls = Some(ClientTls::load(trusting(&authority)).expect("it can be loaded"));
        let client = Client::new(&core, config).expect("a good configuration");
        for says_goodbye in [true, false] {
            let address = one_answer(&identity, "HTTP/1.1 200 OK\r\n\r\nall of it", says_goodbye);
            let read = text(&client, &format!("https://{address}/")).await;
            match (says_goodbye, read) {
                (true, read) => assert_eq!(read.expect("it is whole"), "all of it"),
                (false, read) => assert_eq!(read.expect_err("it may be cut").kind(), ErrorKind::Body),
            }
        }
    });
}

#[test]
fn a_request_that_is_dropped_anywhere_leaves_nothing() {
    let authority = Authority::new("test");
    with_site(&authority.server(&["localhost"]).config(), async |site| {
        let client = client(&site, trusting(&authority));
        let target = url(&site, "/echo");
        for turns in 0..60 {
            {
                let mut doomed = pin!(client.post(&target).body(vec![7; 300_000]).send());
                for _ in 0..turns {
                    if doomed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                        break;
                    }
                    site.core.yield_now().await;
                }
            }
            assert_eq!(client.stats().in_use, 0, "{turns}");
            let answer = client.post(&target).body("whole").send().await.expect("an answer");
            assert_eq!(answer.text().await.expect("text"), "whole", "{turns}");
            if turns % 3 == 0 {
                // The next one has to begin with a handshake.
                drop(client.get(url(&site, "/")).header("connection", "close").send().await);
            }
        }
        client.close().await;
    });
}

#[test]
fn credentials_and_secure_cookies_stay_with_https() {
    let authority = Authority::new("test");
    let plain = RawServer::start(|mut peer| {
        while let Some(head) = peer.read_head() {
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len()));
        }
    });
    let leads_to = plain.url("/plain");
    let routes = || {
        Router::new()
            .get("/leave", async |leads_to: &String, _| {
                let value = |text: &str| HeaderValue::try_from(text).expect("visible");
                Response::new("")
                    .with_status(StatusCode::TEMPORARY_REDIRECT)
                    .with_header("location", value(leads_to))
                    .with_header("set-cookie", value("secret=1; Secure; Path=/"))
            })
            .get("/cookies", async |_: &String, request: Request| {
                format!("{:?}", request.headers().get("cookie"))
            })
    };
    let identity = authority.server(&["127.0.0.1"]);
    each_driver(async |core| {
        let (tls, routes, state) = (identity.config(), routes(), leads_to.clone());
        serve(&core, tls, ServerConfig::default(), routes, state, async |site| {
            let mut config = ClientConfig::default();
            config.cookies = true;
            config.tls = Some(ClientTls::load(trusting(&authority)).expect("it can be loaded"));
            let client = Client::new(&site.core, config).expect("a good configuration");
            let secured = |path: &str| format!("https://{}{path}", site.address);
            let answer = client.get(secured("/leave")).bearer_auth("token").send().await.expect("an answer");
            let head = answer.text().await.expect("text");
            assert!(head.starts_with("GET /plain ") && !head.contains("authorization"), "{head}");
            assert!(!head.contains("cookie"), "the same host, and not secured: {head}");
            assert_eq!(text(&client, &secured("/cookies")).await.expect("text"), "Some(\"secret=1\")");
        })
        .await;
    });
}

/// A proxy on threads that makes a tunnel of one connection, behind what `open` says on it.
pub(super) fn tunneling(target: SocketAddr, open: fn(&mut TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (mut near, _) = listener.accept().expect("a client");
        open(&mut near);
        let mut far = connect(target);
        let (mut from, mut to) = (near.try_clone().expect("a handle"), far.try_clone().expect("a handle"));
        let there = std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut far, &mut near);
        let _ = near.shutdown(std::net::Shutdown::Both);
        let _ = there.join();
    });
    address
}

pub(super) fn by_http(client: &mut TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"CONNECT localhost:"));
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("the client reads");
}

fn by_socks(client: &mut TcpStream) {
    client.read_exact(&mut [0; 3]).expect("a greeting");
    client.write_all(b"\x05\x00").expect("the client reads");
    let mut request = [0; 4 + 1 + 9 + 2];
    client.read_exact(&mut request).expect("a request");
    assert!(request.starts_with(b"\x05\x01\x00\x03\x09localhost"));
    client.write_all(b"\x05\x00\x00\x01\0\0\0\0\0\0").expect("the client reads");
}

#[test]
fn tls_goes_through_the_tunnel_of_a_proxy() {
    let authority = Authority::new("test");
    with_site(&authority.server(&["localhost"]).config(), async |site| {
        let client = client(&site, trusting(&authority));
        let proxies = [
            format!("http://{}", tunneling(site.address, by_http)),
            format!("socks5h://{}", tunneling(site.address, by_socks)),
        ];
        for (made, proxy) in proxies.into_iter().enumerate() {
            let proxies = Proxies::all(Proxy::new(proxy).expect("a proxy"));
            let answer = client.get(url(&site, "/")).proxies(&proxies).send().await.expect("an answer");
            let told = answer.text().await.expect("text");
            assert!(told.starts_with("TLSv1.3 ") && told.ends_with(" Some(\"localhost\") None"), "{told}");
            assert_eq!(client.stats().made, made as u64 + 1);
        }
        client.close().await;
    });
}
