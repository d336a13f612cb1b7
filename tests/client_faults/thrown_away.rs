//! Bodies that nobody asks for, of redirects, of answers that are tried again, of those that are thrown away: a server that gives
//! them drop by drop holds nobody up.

use std::time::{Duration, Instant};

use ringhttp::client::{ErrorKind, RetryConfig};
use ringhttp::testing::{RawPeer, RawServer};

use super::{OK, alone, config, get, get_text, leaves_nothing};

/// Answers `/good` well, and anything else with a head and a body of a byte every few milliseconds.
fn trickling(head: &'static str) -> RawServer {
    RawServer::start(move |mut peer: RawPeer| {
        while let Some(request) = peer.read_head() {
            if request.contains(" /good ") {
                if !peer.send(OK) {
                    return;
                }
                continue;
            }
            if !peer.send(format!("HTTP/1.1 {head}\r\ncontent-length: 60000\r\n\r\n")) {
                return;
            }
            for _ in 0..60_000 {
                peer.wait(Duration::from_millis(5));
                if !peer.send("x") {
                    return;
                }
            }
        }
    })
}

#[test]
fn a_redirect_is_followed_when_its_body_takes_too_long() {
    alone(async |core| {
        let server = trickling("302 Found\r\nlocation: /good");
        let mut config = config();
        config.limit = 1;
        config.drain_timeout = Duration::from_millis(30);
        config.timeout = None;
        leaves_nothing(&core, config, &server, async |client, server| {
            assert_eq!(get_text(client, server, "/").await.expect("it goes well"), "hello");
            assert_eq!(client.stats().made, 2, "the first connection is closed");
        })
        .await;
    });
}

#[test]
fn an_answer_is_tried_again_when_its_body_takes_too_long() {
    alone(async |core| {
        let server = trickling("503 Service Unavailable");
        let mut config = config();
        config.drain_timeout = Duration::from_millis(30);
        let mut retry = RetryConfig::default();
        retry.delay = Duration::from_millis(1);
        config.retry = Some(retry);
        leaves_nothing(&core, config, &server, async |client, server| {
            // The last one is given to the caller.
            let answer = get(client, server, "/").await.expect("an answer");
            assert_eq!((answer.status().as_u16(), client.stats().retries), (503, 2));
            answer.discard().await;
            assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
        })
        .await;
    });
}

#[test]
fn the_time_of_the_request_goes_for_what_is_thrown_away_too() {
    alone(async |core| {
        let server = trickling("302 Found\r\nlocation: /good");
        let mut config = config();
        config.limit = 1;
        config.drain_timeout = Duration::from_secs(3600);
        config.timeout = Some(Duration::from_millis(100));
        leaves_nothing(&core, config, &server, async |client, server| {
            let started = Instant::now();
            let error = get(client, server, "/").await.expect_err("its time is over");
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(started.elapsed() < Duration::from_secs(60));
            assert_eq!(get_text(client, server, "/good").await.expect("there is room"), "hello");
        })
        .await;
    });
}
