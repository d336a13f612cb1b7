//! Connections that become something else.

use std::io;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use ringhttp::client::{CloseReason, ErrorKind};
use ringhttp::testing::{RawServer, each_driver, serve_on};
use ringhttp::{Client, ClientConfig, HeaderMap, Method, Request, Router, ServerConfig, time};

use super::{answering, field, ok, text, with_config};

#[test]
fn a_connection_is_taken_over() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = RawServer::start(|mut peer| {
            let head = peer.read_head().expect("a request");
            assert_eq!(field(&head, "upgrade"), Some("shout"));
            peer.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: shout\r\nconnection: upgrade\r\n\r\nhi ");
            loop {
                let bytes = peer.read(4);
                if bytes.is_empty() || !peer.send(bytes.to_ascii_uppercase()) {
                    return;
                }
            }
        });
        let request = client.get(server.url("/")).header("connection", "upgrade").header("upgrade", "shout");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 101);
        let mut stream = answer.upgrade().expect("it has switched");
        assert_eq!((client.stats().in_use, client.stats().idle), (0, 0), "it counts no more");
        let mut all = Vec::new();
        stream.write("abcd").await.expect("it reads");
        while all.len() < 7 {
            all.extend_from_slice(&stream.read().await.expect("it sends").expect("not the end"));
        }
        assert_eq!(all, b"hi ABCD");
        stream.shutdown().await.expect("it reads");
        assert!(stream.read().await.expect("an end").is_none());
        assert_eq!(client.stats().closed.get(CloseReason::Upgraded), 1);
    });
}

#[test]
fn the_time_to_write_is_the_requests_own() {
    let mut config = ClientConfig::default();
    config.write_timeout = None;
    with_config(&config, async |_, client| {
        let (done, is_done) = mpsc::channel::<()>();
        let is_done = Mutex::new(is_done);
        let server = RawServer::start(move |mut peer| {
            peer.read_head();
            peer.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
            // Nothing more is read; it fails when the other end is dropped.
            let _ = is_done.lock().expect("no panic").recv();
        });
        let request = client.get(server.url("/")).header("connection", "upgrade").header("upgrade", "x");
        let answer = request.write_timeout(Some(Duration::from_millis(50))).send().await;
        let mut stream = answer.expect("an answer").upgrade().expect("it has switched");
        let writes = async {
            loop {
                if let Err(error) = stream.write(vec![0_u8; 1 << 20]).await {
                    return error;
                }
            }
        };
        let error = time::timeout(Duration::from_secs(10), writes).await.expect("it is told");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(done);
    });
}

#[test]
fn an_answer_that_does_not_switch_stays_an_answer() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = answering(|_| ok("hello"));
        let request = client.get(server.url("/")).header("connection", "upgrade").header("upgrade", "shout");
        let answer = request.send().await.expect("an answer");
        let error = answer.upgrade().expect_err("it has not switched");
        assert_eq!(
            (error.kind(), error.status().map(|status| status.as_u16())),
            (ErrorKind::Upgrade, Some(200))
        );
        assert_eq!(text(client.get(server.url("/")).send().await).await, "hello");
        assert_eq!(client.stats().in_use, 0);
    });
}

#[test]
fn a_tunnel_is_opened() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = RawServer::start(|mut peer| {
            let head = peer.read_head().expect("a request");
            let authority = head.split(' ').nth(1).expect("a target").to_owned();
            assert_eq!(field(&head, "host"), Some(&*authority));
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{authority}"));
            peer.read_all();
        });
        let answer = client.request(Method::CONNECT, server.url("/")).send().await.expect("an answer");
        let mut stream = answer.upgrade().expect("a tunnel");
        let first = stream.read().await.expect("bytes").expect("not the end");
        assert_eq!(first, server.address().to_string());
    });
}

/// Both ends are ours.
#[test]
fn our_server_and_our_client_switch() {
    let routes = || {
        Router::new().get("/", async |_: &(), request: Request| {
            let mut stream = request.upgrade("echo", &HeaderMap::new())?;
            while let Some(bytes) = stream.read().await? {
                stream.write(bytes).await?;
            }
            stream.shutdown().await?;
            Ok::<_, ringhttp::Error>("")
        })
    };
    each_driver(async |core| {
        serve_on(&core, ServerConfig::default(), routes(), (), async |server| {
            let client = Client::new(&core, ClientConfig::default()).expect("a good configuration");
            let request = client.get(format!("http://{}/", server.address()));
            let answer = request.header("connection", "upgrade").header("upgrade", "echo").send().await;
            let mut stream = answer.expect("an answer").upgrade().expect("it has switched");
            stream.write(vec![b'x'; 100_000]).await.expect("it reads");
            let mut count = 0;
            while count < 100_000 {
                count += stream.read().await.expect("it sends").expect("not the end").len();
            }
            stream.shutdown().await.expect("it reads");
            assert!(stream.read().await.expect("an end").is_none());
        })
        .await;
    });
}
