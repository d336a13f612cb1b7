//! Requests that ask first whether the server wants the body (`Expect: 100-continue`).

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhttp::testing::{RawServer, serve_on};
use ringhttp::{Body, ClientConfig, Request, Result, Router, ServerConfig, StatusCode};

use super::{field, ok, text, with_config};

/// Far longer than a test takes.
const LONG: Duration = Duration::from_secs(60);

fn expecting() -> ClientConfig {
    let mut config = ClientConfig::default();
    config.expect_continue = true;
    config.continue_timeout = LONG;
    config
}

/// A body that counts how often it was begun.
fn counted(begun: &Rc<Cell<u32>>) -> Body {
    let begun = Rc::clone(begun);
    Body::stream_of(3, async move |mut out| {
        begun.set(begun.get() + 1);
        out.write("abc").await
    })
}

#[test]
fn our_own_server_says_that_it_wants_the_body_when_it_reads_it() {
    with_config(&expecting(), async |core, client| {
        let router = Router::new()
            .post("/read", async |_: &(), mut req: Request| -> Result<String> { req.text().await })
            .post("/refuse", async |_: &(), _| StatusCode::FORBIDDEN);
        serve_on(&core, ServerConfig::default(), router, (), async |server| {
            let url = |path: &str| format!("http://{}{path}", server.address());
            for _ in 0..2 {
                let answer = client.post(url("/read")).body("abc").send().await.expect("an answer");
                assert_eq!((answer.interim(), answer.text().await.expect("text").as_str()), (1, "abc"));
            }
            assert_eq!(client.stats().made, 1, "the connection is used again");
            let begun = Rc::default();
            let answer = client.post(url("/refuse")).body(counted(&begun)).send().await.expect("an answer");
            assert_eq!((answer.status(), begun.get()), (StatusCode::FORBIDDEN, 0));
            drop(answer);
            let answer = client.get(url("/read")).send().await.expect("an answer");
            assert_eq!((answer.status(), answer.interim()), (StatusCode::METHOD_NOT_ALLOWED, 0));
            drop(answer);
            client.close().await;
        })
        .await;
    });
}

#[test]
fn a_server_that_says_nothing_is_sent_the_body_after_a_while() {
    let mut config = expecting();
    config.continue_timeout = Duration::from_millis(20);
    with_config(&config, async |_, client| {
        let server = RawServer::start(|mut peer| {
            while let Some(head) = peer.read_head() {
                assert_eq!(field(&head, "expect"), Some("100-continue"));
                let body = peer.read(3);
                peer.send(ok(&String::from_utf8_lossy(&body)));
            }
        });
        for _ in 0..2 {
            assert_eq!(text(client.put(server.url("/")).body("abc").send().await).await, "abc");
        }
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn a_refused_expectation_is_left_out_once() {
    with_config(&ClientConfig::default(), async |_, client| {
        for refusals in 1..=2 {
            let seen = AtomicUsize::new(0);
            let server = RawServer::start(move |mut peer| {
                while let Some(head) = peer.read_head() {
                    let number = seen.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(field(&head, "expect").is_some(), number == 0, "{head}");
                    if number < refusals {
                        peer.send("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n");
                        return;
                    }
                    let body = peer.read(3);
                    peer.send(ok(&String::from_utf8_lossy(&body)));
                }
            });
            let begun = Rc::default();
            let request = client.post(server.url("/")).continue_timeout(LONG).body(counted(&begun));
            let request = if refusals == 1 {
                request.expect_continue(true)
            } else {
                request.header("expect", "100-continue")
            };
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), if refusals == 1 { 200 } else { 417 });
            assert_eq!((begun.get(), server.accepted()), (1, 2), "a stream was not begun, so it can be sent");
        }
    });
}

#[test]
fn an_early_answer_saves_the_body_and_a_redirect_takes_it_along() {
    with_config(&expecting(), async |_, client| {
        let server = RawServer::start(|mut peer| {
            while let Some(head) = peer.read_head() {
                if head.starts_with("POST /old ") {
                    peer.send("HTTP/1.1 307 x\r\nlocation: /new\r\ncontent-length: 0\r\n\r\n");
                    // Nothing follows, and the connection is closed.
                    assert!(peer.read_all().is_empty());
                    return;
                }
                peer.send("HTTP/1.1 100 Continue\r\n\r\n");
                let body = peer.read(3);
                peer.send(ok(&String::from_utf8_lossy(&body)));
            }
        });
        let begun = Rc::default();
        let answer = client.post(server.url("/old")).body(counted(&begun)).send().await;
        assert_eq!(text(answer).await, "abc");
        assert_eq!((begun.get(), server.accepted()), (1, 2));
    });
}
