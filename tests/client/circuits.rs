//! Servers that fail, and are left alone for a while.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use ringhttp::client::{CircuitBreakerConfig, CircuitState, ErrorKind, RetryConfig};
use ringhttp::testing::RawServer;
use ringhttp::{Body, Client, ClientConfig, Error};

use super::{answering, ok, text, until, with_config};

fn breaking() -> ClientConfig {
    let mut breaker = CircuitBreakerConfig::default();
    breaker.failures_min = 3;
    breaker.open_time = Duration::from_millis(50);
    let mut config = ClientConfig::default();
    config.circuit_breaker = Some(breaker);
    config
}

/// A server that is busy until it is told not to be, and how often it was asked.
fn busy() -> (RawServer, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (is_well, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (well, count) = (Arc::clone(&is_well), Arc::clone(&asked));
    let server = answering(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let busy = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
        if well.load(Ordering::SeqCst) { ok("hello") } else { busy.to_owned() }
    });
    (server, is_well, asked)
}

/// What a request comes to: a status, or what is wrong.
async fn ask(client: &Client, url: &str) -> Result<u16, ErrorKind> {
    let answer = client.get(url).send().await;
    answer.map(|answer| answer.status().as_u16()).map_err(|error| error.kind())
}

#[test]
fn a_server_that_fails_is_left_alone_and_asked_again_one_at_a_time() {
    with_config(&breaking(), async |core, client| {
        let (server, is_well, asked) = busy();
        let (url, other) = (server.url("/"), answering(|_| ok("hello")));
        for _ in 0..3 {
            assert_eq!(ask(&client, &url).await, Ok(503));
        }
        let stats = client.stats();
        assert_eq!((stats.circuits_opened, stats.circuits_open), (1, 1));
        assert_eq!(client.circuits()[0].0, url.trim_end_matches('/'));
        assert_eq!(ask(&client, &other.url("/")).await, Ok(200), "others are not left alone");
        let request = client.get(&url).circuit_breaker(false);
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), 503);

        // It stays so while it fails.
        until("the time to be over", || client.circuits()[0].1 == CircuitState::HalfOpen).await;
        let before = asked.load(Ordering::SeqCst);
        let asking: Vec<_> = (0..5)
            .map(|_| {
                let (client, url) = (client.clone(), url.clone());
                core.spawn("asker", async move { ask(&client, &url).await })
            })
            .collect();
        let mut refused = 0;
        for asked in asking {
            refused += usize::from(asked.await.expect("no panic") == Err(ErrorKind::CircuitOpen));
        }
        assert_eq!((refused, asked.load(Ordering::SeqCst) - before), (4, 1), "one finds out");

        is_well.store(true, Ordering::SeqCst);
        until("the time to be over", || client.circuits()[0].1 == CircuitState::HalfOpen).await;
        for _ in 0..5 {
            assert_eq!(ask(&client, &url).await, Ok(200));
        }
        let stats = client.stats();
        assert_eq!((stats.circuits_opened, stats.circuit_refusals, stats.circuits_open), (2, 4, 0));
        assert!(client.circuits().is_empty());
    });
}

#[test]
fn what_is_no_fault_of_the_server_opens_nothing() {
    let mut config = breaking();
    config.limit = 1;
    config.pool_timeout = Some(Duration::from_millis(5));
    with_config(&config, async |_, client| {
        let server = answering(|_| ok("hello"));
        let held = client.get(server.url("/")).send().await.expect("an answer");
        let other = RawServer::start(|mut peer| {
            peer.read_head();
            peer.read_all();
        });
        assert_eq!(ask(&client, &other.url("/")).await, Err(ErrorKind::PoolTimeout));
        assert!(client.circuits().is_empty());
        drop(held);
        let request = client.get(other.url("/")).timeout(Some(Duration::from_millis(5)));
        assert_eq!(request.send().await.expect_err("it is silent").kind(), ErrorKind::Timeout);
        assert_eq!(client.circuits().len(), 1, "that was its fault");

        let broken = Body::stream(async |_| Err(Error::internal("no body")));
        let error = client.post(server.url("/")).body(broken).send().await.expect_err("no body");
        assert_eq!(error.kind(), ErrorKind::Upload);
        assert_eq!(client.circuits().len(), 1);
    });
}

#[test]
fn a_probe_that_is_dropped_leaves_it_to_the_next() {
    with_config(&breaking(), async |_, client| {
        let (server, is_well, _) = busy();
        let url = server.url("/");
        for _ in 0..3 {
            assert_eq!(ask(&client, &url).await, Ok(503));
        }
        until("the time to be over", || client.circuits()[0].1 == CircuitState::HalfOpen).await;
        let mut probe = Box::pin(client.get(&url).send());
        let is_done = poll_fn(|cx| Poll::Ready(probe.as_mut().poll(cx).is_ready())).await;
        assert!(!is_done);
        drop(probe);
        is_well.store(true, Ordering::SeqCst);
        assert_eq!(text(client.get(&url).send().await).await, "hello");
        assert!(client.circuits().is_empty());
    });
}

#[test]
fn a_retry_does_not_ask_a_server_that_is_left_alone() {
    let mut config = breaking();
    config.circuit_breaker.as_mut().expect("it is set").open_time = Duration::from_secs(600);
    let mut retry = RetryConfig::default();
    retry.tries_max = 10;
    retry.delay = Duration::from_millis(1);
    config.retry = Some(retry);
    with_config(&config, async |_, client| {
        let (server, _, asked) = busy();
        assert_eq!(ask(&client, &server.url("/")).await, Err(ErrorKind::CircuitOpen));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    });
}
