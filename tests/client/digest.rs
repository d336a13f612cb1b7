//! Digest authentication against a server that reckons for itself, with hashes of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use md5::{Digest, Md5};
use ringhttp::client::{DigestAuth, ErrorKind, Proxies, Proxy};
use ringhttp::proto::auth;
#[cfg(feature = "compression")]
use ringhttp::proto::content_coding::{ContentCoding, DecodeLimits, Decoder};
use ringhttp::testing::RawServer;
use ringhttp::{Body, BodySender, ClientConfig};
use sha2::Sha256;

use super::{answering, field, ok, text, with_config};

/// What the server asks for, and how it is hashed.
#[derive(Clone, Copy)]
struct Scheme {
    parameters: &'static str,
    hash: fn(&str) -> String,
    is_session: bool,
}

const SCHEMES: [Scheme; 5] = [
    Scheme { parameters: "qop=\"auth,auth-int\", algorithm=MD5", hash: md5, is_session: false },
    Scheme { parameters: "qop=\"auth\", algorithm=SHA-256, charset=UTF-8", hash: sha256, is_session: false },
    Scheme { parameters: "qop=\"auth\", algorithm=SHA-256-sess", hash: sha256, is_session: true },
    Scheme { parameters: "qop=\"auth-int\", algorithm=SHA-256", hash: sha256, is_session: false },
    Scheme { parameters: "opaque=\"o\\\"o\"", hash: md5, is_session: false },
];

fn md5(text: &str) -> String {
    format!("{:x}", Md5::digest(text))
}

fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

/// A server, or a proxy, that gives each nonce to `uses` requests, and takes each count once.
struct Guard {
    scheme: Scheme,
    is_proxy: bool,
    uses: u32,
    nonce: AtomicU32,
    counts: Mutex<Vec<String>>,
    /// What was refused, and why.
    refused: Arc<Mutex<Vec<&'static str>>>,
}

impl Guard {
    fn new(scheme: Scheme, uses: u32) -> Self {
        let (nonce, counts, refused) = (AtomicU32::new(0), Mutex::default(), Arc::default());
        Self { scheme, is_proxy: false, uses, nonce, counts, refused }
    }

    fn start(scheme: Scheme, uses: u32) -> (RawServer, Arc<Mutex<Vec<&'static str>>>) {
        let guard = Self::new(scheme, uses);
        let refused = Arc::clone(&guard.refused);
        (answering(move |message| guard.answer(message)), refused)
    }

    /// What the fields are called.
    fn of_proxy(&self, name: &str) -> String {
        if self.is_proxy { format!("proxy-{name}") } else { name.to_owned() }
    }

    fn answer(&self, message: &str) -> String {
        match self.fault(message) {
            // One use: the answer names the nonce of the next.
            None if self.uses == 1 => {
                let nonce = self.nonce.fetch_add(1, Ordering::SeqCst) + 1;
                self.counts.lock().expect("no panic").clear();
                ok(message).replace(
                    "content-type",
                    &format!(
                        "{}: nextnonce=\"n{nonce}\"\r\ncontent-type",
                        self.of_proxy("authentication-info")
                    ),
                )
            }
            None => ok(message),
            Some(fault) => {
                self.refused.lock().expect("no panic").push(fault);
                let nonce = self.nonce.fetch_add(1, Ordering::SeqCst) + 1;
                self.counts.lock().expect("no panic").clear();
                let stale = if fault == "stale" { ", stale=true" } else { "" };
                let (status, name) =
                    if self.is_proxy { (407, "proxy-authenticate") } else { (401, "www-authenticate") };
                format!(
                    "HTTP/1.1 {status} Who?\r\n{name}: Basic realm=\"x\", Digest realm=\"a \\\"realm\\\"\", \
                     nonce=\"n{nonce}\", {}{stale}\r\ncontent-length: 2\r\n\r\nno",
                    self.scheme.parameters
                )
            }
        }
    }

    /// What is wrong with a request.
    fn fault(&self, message: &str) -> Option<&'static str> {
        let line = message.lines().next().expect("a request line");
        let mut words = line.split(' ');
        let (method, uri) = (words.next().expect("a method"), words.next().expect("a target"));
        let Some(value) = field(message, &self.of_proxy("authorization")) else { return Some("missing") };
        let Ok(parameters) = auth::parameters(Some(value.as_bytes()), "Digest") else {
            return Some("malformed");
        };
        let get = |name: &str| {
            parameters
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| value.to_string())
                .unwrap_or_default()
        };
        if get("nonce") != format!("n{}", self.nonce.load(Ordering::SeqCst)) {
            return Some("stale");
        }
        let hash = self.scheme.hash;
        let mut secret = hash("ada:a \"realm\":open sesame");
        if self.scheme.is_session {
            secret = hash(&format!("{secret}:{}:{}", get("nonce"), get("cnonce")));
        }
        let request = match message.split_once("\r\n\r\n") {
            Some((_, body)) if get("qop") == "auth-int" => hash(&format!("{method}:{uri}:{}", hash(body))),
            _ => hash(&format!("{method}:{uri}")),
        };
        let expected = match &*get("qop") {
            "" => hash(&format!("{secret}:{}:{request}", get("nonce"))),
            qop => {
                hash(&format!("{secret}:{}:{}:{}:{qop}:{request}", get("nonce"), get("nc"), get("cnonce")))
            }
        };
        if get("uri") != uri || get("username") != "ada" || get("response") != expected {
            return Some("wrong");
        }
        let mut counts = self.counts.lock().expect("no panic");
        if !get("nc").is_empty() && counts.contains(&get("nc")) {
            return Some("replayed");
        }
        counts.push(get("nc"));
        (counts.len() > self.uses as usize).then_some("stale")
    }
}

#[test]
fn a_server_asks_once_and_every_request_after_that_is_signed() {
    for scheme in SCHEMES {
        let (server, refused) = Guard::start(scheme, 1000);
        with_config(&ClientConfig::default(), async |core, client| {
            refused.lock().expect("no panic").clear();
            let auth = DigestAuth::new("ada", "open sesame");
            for path in ["/a?b=c", "/d"] {
                let message = text(client.get(server.url(path)).digest_auth(&auth).send().await).await;
                assert!(message.starts_with(&format!("GET {path} ")), "{message}");
            }
            let message = text(client.post(server.url("/e")).body("x").digest_auth(&auth).send().await).await;
            assert!(message.ends_with("\r\n\r\nx"), "{message}");
            let many = (0..20).map(|number| {
                let request = client.get(server.url(&format!("/{number}"))).digest_auth(&auth);
                core.spawn("request", async move { request.send().await.expect("an answer").status() })
            });
            for answer in many.collect::<Vec<_>>() {
                assert_eq!(answer.await.expect("no panic"), 200);
            }
            // The epoll driver's client is another one, whose nonce is new to it.
            let refused = refused.lock().expect("no panic");
            assert_eq!(refused.as_slice(), ["missing"], "{}", scheme.parameters);
        });
    }
}

#[test]
fn a_nonce_that_is_too_old_is_replaced() {
    let (server, refused) = Guard::start(SCHEMES[1], 2);
    with_config(&ClientConfig::default(), async |_, client| {
        refused.lock().expect("no panic").clear();
        let auth = DigestAuth::new("ada", "open sesame");
        for _ in 0..5 {
            let answer =
                client.put(server.url("/")).body("x").digest_auth(&auth).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
        }
        assert_eq!(refused.lock().expect("no panic").as_slice(), ["missing", "stale", "stale"]);
        assert_eq!((client.stats().in_use, client.stats().made), (0, 1));
    });
    // However often a server says so: three times is all.
    let (server, refused) = Guard::start(SCHEMES[1], 0);
    with_config(&ClientConfig::default(), async |_, client| {
        refused.lock().expect("no panic").clear();
        let auth = DigestAuth::new("ada", "open sesame");
        let answer = client.get(server.url("/")).digest_auth(&auth).send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
        assert_eq!(refused.lock().expect("no panic").as_slice(), ["missing", "stale", "stale"]);
    });
}

#[test]
fn a_nonce_for_one_request_is_followed_by_the_next() {
    let (server, refused) = Guard::start(SCHEMES[0], 1);
    with_config(&ClientConfig::default(), async |_, client| {
        refused.lock().expect("no panic").clear();
        let auth = DigestAuth::new("ada", "open sesame");
        for _ in 0..5 {
            let answer = client.get(server.url("/")).digest_auth(&auth).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
        }
        assert_eq!(refused.lock().expect("no panic").as_slice(), ["missing"]);
    });
}

#[test]
fn what_is_refused_is_an_answer() {
    let (server, refused) = Guard::start(SCHEMES[0], 1000);
    with_config(&ClientConfig::default(), async |_, client| {
        refused.lock().expect("no panic").clear();
        let wrong = DigestAuth::new("ada", "guess");
        let answer = client.get(server.url("/")).digest_auth(&wrong).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.text().await.expect("text")), (401, "no".to_owned()));
        assert_eq!(
            refused.lock().expect("no panic").as_slice(),
            ["missing", "wrong"],
            "the password is tried once"
        );

        let auth = DigestAuth::new("ada", "open sesame");
        let stream = || Body::stream(async |mut out: BodySender| out.write("").await);
        let answer =
            client.post(server.url("/")).body(stream()).digest_auth(&auth).send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "a stream cannot be sent again");
        drop(answer);
        let colon = DigestAuth::new("a:b", "");
        let error = client.get(server.url("/")).digest_auth(&colon).send().await.expect_err("no user");
        assert_eq!(error.kind(), ErrorKind::Request);
    });
}

#[test]
fn credentials_do_not_go_where_redirects_lead() {
    let (elsewhere, asked_elsewhere) = Guard::start(SCHEMES[0], 1000);
    let target = elsewhere.url("/there");
    let guard = Guard::new(SCHEMES[0], 1000);
    let server = answering(move |message| {
        let to =
            |target: &str| format!("HTTP/1.1 307 Moved\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        match guard.answer(message) {
            refusal if refusal.contains(" 401 ") => refusal,
            _ if message.starts_with("GET /away ") => to(&target),
            _ if message.starts_with("GET /near ") => to("/here"),
            answer => answer,
        }
    });
    with_config(&ClientConfig::default(), async |_, client| {
        asked_elsewhere.lock().expect("no panic").clear();
        let auth = DigestAuth::new("ada", "open sesame");
        let url = server.url("/near").replace("//", "//eve:basic@");
        let message = text(client.get(url).digest_auth(&auth).send().await).await;
        assert!(message.starts_with("GET /here ") && message.contains("uri=\"/here\""), "{message}");
        let answer = client.get(server.url("/away")).digest_auth(&auth).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.url().path()), (401, "/there"));
        assert_eq!(
            asked_elsewhere.lock().expect("no panic").as_slice(),
            ["missing"],
            "and it was asked once"
        );
    });
}

/// `qop=auth-int` wants all of the body before its first byte is sent.
#[test]
fn a_body_that_is_not_in_memory_cannot_be_vouched_for() {
    const AUTH_INT: Scheme = SCHEMES[3];
    let (server, refused) = Guard::start(AUTH_INT, 1000);
    with_config(&ClientConfig::default(), async |_, client| {
        let auth = DigestAuth::new("ada", "open sesame");
        for _ in 0..2 {
            refused.lock().expect("no panic").clear();
            let stream = || Body::stream_of(1, async |mut out: BodySender| out.write("x").await);
            let post = client.post(server.url("/")).body_from(stream).digest_auth(&auth);
            assert_eq!(post.send().await.expect("an answer").status(), 401);
            assert_eq!(refused.lock().expect("no panic").as_slice(), ["missing"], "it is not sent again");
            // Nor does it spoil what is known for others.
            let message = text(client.post(server.url("/")).body("x").digest_auth(&auth).send().await).await;
            assert!(message.contains("qop=auth-int") && message.ends_with("\r\n\r\nx"), "{message}");
        }
    });
}

/// What is vouched for is what is sent.
#[cfg(feature = "compression")]
#[test]
fn a_body_is_vouched_for_as_it_is_compressed() {
    const AUTH_INT: Scheme = SCHEMES[3];
    let server = RawServer::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            let length = field(&head, "content-length").expect("a length").parse().expect("a number");
            let body = peer.read(length);
            let Some(value) = field(&head, "authorization") else {
                peer.send(format!(
                    "HTTP/1.1 401 Who?\r\nwww-authenticate: Digest realm=r, nonce=n, {}\r\ncontent-length: 0\r\n\r\n",
                    AUTH_INT.parameters
                ));
                continue;
            };
            let parameters = auth::parameters(Some(value.as_bytes()), "Digest").expect("parameters");
            let get = |name: &str| {
                let found = parameters.iter().find(|(other, _)| *other == name);
                found.map(|(_, value)| value.to_string()).unwrap_or_default()
            };
            let request = sha256(&format!("POST:/:{:x}", Sha256::digest(&body)));
            let secret = sha256("ada:r:open sesame");
            let expected = sha256(&format!("{secret}:n:{}:{}:auth-int:{request}", get("nc"), get("cnonce")));
            let is_right = get("response") == expected && field(&head, "content-encoding") == Some("gzip");
            peer.send(ok(if is_right { "right" } else { "wrong" }));
        }
    });
    with_config(&ClientConfig::default(), async |_, client| {
        let auth = DigestAuth::new("ada", "open sesame");
        let request = client.post(server.url("/")).body("two apples ".repeat(100)).digest_auth(&auth);
        assert_eq!(text(request.compress(Some(ContentCoding::Gzip)).send().await).await, "right");
    });
}

fn asking_proxy(server: &RawServer) -> Proxy {
    let proxy = Proxy::new(server.url("/")).expect("a proxy");
    proxy.digest_auth("ada", "open sesame").expect("a user")
}

#[test]
fn a_proxy_that_forwards_asks_once_too() {
    for (scheme, uses) in [(SCHEMES[0], 1000), (SCHEMES[1], 1), (SCHEMES[3], 1000), (SCHEMES[4], 1000)] {
        let mut guard = Guard::new(scheme, uses);
        guard.is_proxy = true;
        let refused = Arc::clone(&guard.refused);
        let server = answering(move |message| guard.answer(message));
        let mut config = ClientConfig::default();
        config.proxies = Proxies::all(asking_proxy(&server));
        with_config(&config, async |_, client| {
            refused.lock().expect("no panic").clear();
            for url in ["http://a.invalid/b?c", "http://d.invalid/"] {
                let message = text(client.post(url).body("x").send().await).await;
                assert!(message.starts_with(&format!("POST {url} ")), "{message}");
                assert!(message.contains(&format!("uri=\"{url}\"")), "{message}");
                assert_eq!(field(&message, "authorization"), None);
            }
            assert_eq!(refused.lock().expect("no panic").as_slice(), ["missing"], "{}", scheme.parameters);
            assert_eq!(client.stats().made, 1);

            let proxy = Proxy::new(server.url("/")).expect("a proxy");
            let wrong = Proxies::all(proxy.digest_auth("ada", "guess").expect("a user"));
            let answer = client.get("http://a.invalid/").proxies(&wrong).send().await.expect("an answer");
            assert_eq!(answer.status(), 407);
            let refused = refused.lock().expect("no panic");
            assert_eq!(refused[1..], ["missing", "wrong"], "the password is tried once");
        });
    }
    let error = Proxy::new("p").expect("a proxy").digest_auth("a:b", "").expect_err("a colon");
    assert_eq!(error.kind(), ErrorKind::Config);
}

/// The tunnel is asked for again, over another connection, and the server at its other end is told nothing.
#[test]
fn a_proxy_that_opens_tunnels_asks_once_too() {
    for scheme in [SCHEMES[1], SCHEMES[3]] {
        let mut guard = Guard::new(scheme, 1000);
        guard.is_proxy = true;
        let refused = Arc::clone(&guard.refused);
        let server = RawServer::start(move |mut peer| {
            let Some(head) = peer.read_head() else { return };
            let answer = guard.answer(&head);
            if answer.contains(" 407 ") {
                peer.send(answer);
                peer.read_all();
                return;
            }
            assert!(head.starts_with("CONNECT ") && head.contains("uri=\"a.invalid:80\""), "{head}");
            peer.send("HTTP/1.1 200 OK\r\n\r\n");
            while let Some(head) = peer.read_head() {
                peer.send(ok(&head));
            }
        });
        let mut config = ClientConfig::default();
        config.keep_alive = false;
        config.proxies = Proxies::all(asking_proxy(&server).always_tunnel());
        with_config(&config, async |_, client| {
            refused.lock().expect("no panic").clear();
            for _ in 0..3 {
                let head = text(client.get("http://a.invalid/").send().await).await;
                assert!(head.starts_with("GET / ") && !head.contains("authorization"), "{head}");
            }
            assert_eq!(refused.lock().expect("no panic").as_slice(), ["missing"]);

            let proxy = Proxy::new(server.url("/")).expect("a proxy");
            let wrong = proxy.digest_auth("ada", "guess").expect("a user").always_tunnel();
            let request = client.get("http://a.invalid/").proxies(&Proxies::all(wrong));
            let error = request.send().await.expect_err("no tunnel");
            assert_eq!(
                (error.kind(), error.status().map(|status| status.as_u16())),
                (ErrorKind::Proxy, Some(407))
            );
            assert_eq!(refused.lock().expect("no panic")[1..], ["missing", "wrong"]);
            assert_eq!(client.stats().in_use, 0);
        });
    }
}

/// A stream that is held back until the server wants it is still there when the server has first asked who sends it, and an encoder that
/// it passes has not begun.
#[cfg(feature = "compression")]
#[test]
fn a_stream_that_was_held_back_is_sent_once_the_request_is_signed() {
    let server = RawServer::start(|mut peer| {
        let Some(head) = peer.read_head() else { return };
        assert!(
            head.contains("expect: 100-continue\r\n") && head.contains("content-encoding: gzip\r\n"),
            "{head}"
        );
        if field(&head, "authorization").is_none() {
            peer.send(
                "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Digest realm=a, nonce=b, qop=auth\r\ncontent-length: 0\r\n\r\n",
            );
            assert_eq!(peer.read_all(), b"", "nothing of the body leaves");
            return;
        }
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n0\r\n\r\n") {
            body.extend(peer.read(1));
        }
        let mut decoder = Decoder::new(ContentCoding::Gzip, DecodeLimits::default());
        let unpacked = decoder.decode(&mut unchunked(&body).into()).expect("gzip").unwrap_or_default();
        peer.send(ok(str::from_utf8(&unpacked).unwrap_or("something else")));
    });
    let mut config = ClientConfig::default();
    config.expect_continue = true;
    config.continue_timeout = std::time::Duration::from_secs(60);
    with_config(&config, async |_, client| {
        let auth = DigestAuth::new("ada", "open sesame");
        let body = Body::stream(async |mut out: BodySender| {
            out.write("a stream").await?;
            out.flush().await
        });
        let request = client.post(server.url("/")).body(body).digest_auth(&auth);
        assert_eq!(text(request.compress(Some(ContentCoding::Gzip)).send().await).await, "a stream");
    });
}

/// What is in the chunks of a body.
#[cfg(feature = "compression")]
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(end) = body.iter().position(|byte| *byte == b'\n') {
        let size = str::from_utf8(&body[..end]).expect("ASCII").trim_end();
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        content.extend_from_slice(&body[end + 1..][..size]);
        body = &body[end + 1 + size + 2..];
    }
    content
}
