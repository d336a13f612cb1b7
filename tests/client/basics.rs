//! What is sent, and what is told of the answer.

use http::header;
use ringhttp::client::{CloseReason, ErrorKind};
use ringhttp::testing::{RawServer, each_driver, serve_on};
use ringhttp::{
    Body, Client, ClientConfig, HeaderMap, HeaderValue, Method, Request, Response, Router, ServerConfig,
};

use super::{answering, field, mirror, ok, text, with_config};

#[test]
fn requests_go_over_one_connection() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = answering(|_| ok("hello"));
        for _ in 0..50 {
            assert_eq!(text(client.get(server.url("/")).send().await).await, "hello");
        }
        let stats = client.stats();
        assert_eq!((stats.requests, stats.made, stats.reused, stats.errors), (50, 1, 49, 0));
        assert_eq!((stats.in_use, stats.idle, server.accepted()), (0, 1, 1));
        assert_eq!(
            stats.to_string(),
            "reuse 98.0 %, wait 0.0 ms, new 2.0 %, errors 0.0 %; 0 in use, 1 idle, 0 waiting"
        );
        assert!(stats.is_healthy());
    });
}

#[test]
fn a_request_looks_as_it_should() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = mirror();
        let address = server.address();
        let sent = text(client.get(server.url("/a%20b?c=d#e")).send().await).await;
        let mut lines = sent.lines();
        assert_eq!(lines.next(), Some("GET /a%20b?c=d HTTP/1.1"));
        assert_eq!(lines.next(), Some(&*format!("host: {address}")));
        assert_eq!(field(&sent, "accept"), Some("*/*"));
        assert!(field(&sent, "user-agent").is_some_and(|agent| agent.starts_with("ringhttp/")));
        assert_eq!(field(&sent, "content-length"), None);

        let mut more = HeaderMap::new();
        more.append("x-b", HeaderValue::from_static("2"));
        more.append("x-b", HeaderValue::from_static("3"));
        let request = client.request(Method::from_bytes(b"BREW").expect("a token"), server.url("/?a=1"));
        let request = request.query(&[("b", "2 3"), ("c", "&ü")]).query(&[("d", 4)]);
        let request =
            request.header("accept", "text/html").header("x-a", 1).header("x-b", "gone").headers(more);
        let request = request.without_header(header::USER_AGENT).bearer_auth("t0ken").cookie("k", "v");
        let sent = text(request.cookie("l", "w").body("body").send().await).await;
        assert!(sent.starts_with("BREW /?a=1&b=2+3&c=%26%C3%BC&d=4 HTTP/1.1\r\n"), "{sent}");
        assert!(sent.contains("x-b: 2\r\nx-b: 3\r\n") && !sent.contains("gone"), "{sent}");
        for (name, value) in [
            ("accept", Some("text/html")),
            ("x-a", Some("1")),
            ("user-agent", None),
            ("authorization", Some("Bearer t0ken")),
            ("cookie", Some("k=v; l=w")),
            ("content-length", Some("4")),
        ] {
            assert_eq!(field(&sent, name), value, "{name} in {sent}");
        }
        assert!(sent.ends_with("\r\n\r\nbody"));

        for (url, user) in [("user:pa%20ss@", "dXNlcjpwYSBzcw=="), ("user@", "dXNlcjo=")] {
            let sent = text(client.get(format!("http://{url}{address}/")).send().await).await;
            assert_eq!(field(&sent, "authorization"), Some(&*format!("Basic {user}")));
            assert_eq!(field(&sent, "host"), Some(&*address.to_string()));
        }
        let request = client.get(format!("http://user@{address}/")).basic_auth("other", "x");
        assert_eq!(field(&text(request.send().await).await, "authorization"), Some("Basic b3RoZXI6eA=="));
    });
}

#[test]
fn bodies_are_sent_with_their_types() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = mirror();
        let url = server.url("/");
        let sent = text(client.post(&url).json(&[1, 2]).send().await).await;
        assert_eq!(field(&sent, "content-type"), Some("application/json"));
        assert!(sent.ends_with("\r\n\r\n[1,2]"), "{sent}");
        let sent = text(client.post(&url).form(&[("a", "1 2"), ("a", "ü")]).send().await).await;
        assert_eq!(field(&sent, "content-type"), Some("application/x-www-form-urlencoded"));
        assert!(sent.ends_with("\r\n\r\na=1+2&a=%C3%BC"), "{sent}");
        let request = client.put(&url).header("content-type", "application/vnd.api+json").json("x");
        assert_eq!(
            field(&text(request.send().await).await, "content-type"),
            Some("application/vnd.api+json")
        );
        let sent = text(client.post(&url).send().await).await;
        assert_eq!(field(&sent, "content-length"), Some("0"), "a POST says that it has no body");
        assert_eq!(field(&text(client.delete(&url).send().await).await, "content-length"), None);
    });
}

#[test]
fn what_all_requests_have_in_common() {
    let mut config = ClientConfig::default();
    config.user_agent = Some(HeaderValue::from_static("tester/1"));
    config.default_headers.insert("x-team", HeaderValue::from_static("blue"));
    config.keep_alive = false;
    with_config(&config, async |_, client| {
        // It does not close, although it was asked to.
        let server = mirror();
        for _ in 0..3 {
            let sent = text(client.get(server.url("/")).send().await).await;
            assert_eq!(field(&sent, "user-agent"), Some("tester/1"));
            assert_eq!(field(&sent, "x-team"), Some("blue"));
            assert_eq!(field(&sent, "connection"), Some("close"));
        }
        assert_eq!((server.accepted(), client.stats().idle), (3, 0));
        assert_eq!(client.stats().closed.get(CloseReason::AskedByClient), 3);
        let sent = text(client.get(server.url("/")).header("x-team", "red").send().await).await;
        assert_eq!(field(&sent, "x-team"), Some("red"));
    });
}

#[test]
fn urls_are_relative_to_the_base() {
    let server = mirror();
    let mut config = ClientConfig::default();
    config.base_url = Some(server.url("/api/v1/").parse().expect("a URL"));
    with_config(&config, async |_, client| {
        for (path, target) in
            [("users?id=7", "/api/v1/users?id=7"), ("/x", "/x"), ("../v2", "/api/v2"), ("", "/api/v1/")]
        {
            let sent = text(client.get(path).send().await).await;
            assert!(sent.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{path}: {sent}");
        }
        let elsewhere = mirror();
        text(client.get(elsewhere.url("/")).send().await).await;
        assert_eq!(elsewhere.accepted(), 1);
    });
}

#[test]
fn what_cannot_be_sent_is_told_and_nothing_is_sent() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = mirror();
        let url = server.url("/");
        let cases = [
            (client.get("/relative").send().await, ErrorKind::Url),
            (client.get("file:///etc/passwd").send().await, ErrorKind::Url),
            (client.get(&url).header("a b", "c").send().await, ErrorKind::Request),
            (client.get(&url).header("a", "b\r\nc: d").send().await, ErrorKind::Request),
            (client.get(&url).header("host", "a\r\nb").send().await, ErrorKind::Request),
            (client.get(&url).bearer_auth("a\r\nb: c").send().await, ErrorKind::Request),
            (client.get(&url).basic_auth("a:b", "c").send().await, ErrorKind::Request),
            (client.get(&url).cookie("a", "b; c=d").send().await, ErrorKind::Request),
            (client.get(&url).cookie("a=b", "c").send().await, ErrorKind::Request),
            (client.get(&url).cookie("a", "b\r\nc: d").send().await, ErrorKind::Request),
            (
                client.post(&url).header("transfer-encoding", "chunked").body("x").send().await,
                ErrorKind::Request,
            ),
            (client.post(&url).header("content-length", "3").body("x").send().await, ErrorKind::Request),
        ];
        let count = cases.len();
        for (result, kind) in cases {
            let error = result.expect_err("it cannot be sent");
            assert_eq!(error.kind(), kind, "{error:?}");
        }
        assert_eq!(client.stats().errors, count as u64);
        let sent = text(client.get(&url).query(&[("a", "b\r\nHost: evil")]).send().await).await;
        assert!(sent.starts_with("GET /?a=b%0D%0AHost%3A+evil HTTP/1.1\r\n"), "{sent}");
        let sent = text(client.get(format!("{url}x\r\ny z")).send().await).await;
        assert!(sent.starts_with("GET /xy%20z HTTP/1.1\r\n"), "{sent}");
        assert!(server.accepted() <= 2, "a request that was refused has not cost its connection");
    });
}

#[test]
fn an_answer_tells_all_about_itself() {
    const ANSWER: &str = "HTTP/1.1 404 Not There\r\ncontent-type: Text/Plain; charset=latin1\r\ncontent-length: 2\r\n\
        content-disposition: attachment; filename*=UTF-8''%c3%bc.txt\r\nlink: <?page=2>; rel=next, </>; rel=\"up home\"\r\n\
        link: <x>; rel=last\r\n\r\n\u{fc}\u{fc}";
    with_config(&ClientConfig::default(), async |_, client| {
        // As bytes: the body is no UTF-8.
        let bytes: Vec<u8> =
            ANSWER.chars().map(|character| u8::try_from(character).expect("Latin-1")).collect();
        let server = RawServer::start(move |mut peer| {
            while peer.read_head().is_some() {
                peer.send("HTTP/1.1 103 Early Hints\r\nlink: <y>\r\n\r\n");
                peer.send(&bytes);
            }
        });
        let answer = client.get(server.url("/dir/file?page=1")).send().await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.reason()), (404, "Not There"));
        assert_eq!((answer.length(), answer.interim()), (Some(2), 1));
        assert!(answer.content_type().is_some_and(|content_type| content_type.is("text/plain")));
        let disposition = answer.content_disposition().expect("there is one");
        assert_eq!(disposition.file_name.as_deref(), Some("ü.txt"));
        let links = answer.links();
        let next = links.iter().find(|link| link.is("next")).expect("there is one");
        assert_eq!(answer.url().join(&next.target).expect("a URL").as_str(), server.url("/dir/file?page=2"));
        assert_eq!((links.len(), links[1].is("home"), &*links[2].target), (3, true, "x"));
        assert!(!answer.timings().reused && answer.timings().connect.is_some());
        assert!(answer.timings().dns.is_none(), "an address is not looked up");
        assert!(answer.timings().total >= answer.timings().first_byte);
        assert_eq!(answer.text().await.expect("Latin-1"), "üü");
        let answer = client.get(server.url("/")).send().await.expect("an answer");
        assert!(answer.timings().reused && answer.timings().connect.is_none());
        let error = answer.error_for_status().expect_err("it is a failure");
        assert_eq!(
            (error.kind(), error.status().map(|status| status.as_u16())),
            (ErrorKind::Status, Some(404))
        );
    });
}

#[test]
fn our_own_server_understands_it_all() {
    let routes = || {
        Router::new()
            .get("/hello", async |_: &(), _| "hello")
            .post("/echo", async |_: &(), request: Request| Response::new(request.into_body()))
            .get("/big", async |_: &(), _| vec![b'x'; 1_000_000])
    };
    each_driver(async |core| {
        serve_on(&core, ServerConfig::default(), routes(), (), async |server| {
            let client = Client::new(&core, ClientConfig::default()).expect("a good configuration");
            let url = |path: &str| format!("http://{}{path}", server.address());
            assert_eq!(client.head(url("/hello")).send().await.expect("an answer").length(), Some(5));
            let big = client.get(url("/big")).send().await.expect("an answer").bytes().await.expect("a body");
            assert!(big.len() == 1_000_000 && big.iter().all(|byte| *byte == b'x'));
            let sent: Vec<u8> = (0..900_000_u32).map(|n| n.to_le_bytes()[0]).collect();
            let answer = client.post(url("/echo")).body(sent.clone()).send().await.expect("an answer");
            assert_eq!(answer.bytes().await.expect("a body"), sent);
            let pieces = sent.clone();
            let body = Body::stream(async move |mut out| {
                for piece in pieces.chunks(7_777) {
                    out.write(piece.to_vec()).await?;
                }
                Ok(())
            });
            let answer = client.post(url("/echo")).body(body).send().await.expect("an answer");
            assert_eq!(answer.bytes().await.expect("a body"), sent);
            assert_eq!(client.stats().made, 1, "{}", client.stats());
            client.close().await;
            let failed = client.get(url("/hello")).send().await.expect_err("it is closed");
            assert_eq!(failed.kind(), ErrorKind::Closed);
        })
        .await;
    });
}
