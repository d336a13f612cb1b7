//! Requests that are tried again, and those that are not.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ringhttp::client::{Error, ErrorKind, RequestId, RetryConfig, Trace};
use ringhttp::testing::RawServer;
use ringhttp::{Body, ClientConfig, Method, StatusCode, time};

use super::{answering, ok, text, until, with_config};

const BUSY: &str = "HTTP/1.1 503 Busy\r\nset-cookie: seen=1\r\ncontent-length: 2\r\n\r\nno";

/// Tries soon.
fn soon() -> RetryConfig {
    let mut retry = RetryConfig::default();
    retry.delay = Duration::from_millis(1);
    retry
}

fn retrying() -> ClientConfig {
    let mut config = ClientConfig::default();
    config.retry = Some(soon());
    config.retry_budget.tries_min = 1000;
    config.retry_budget.tries_max = 1000;
    config
}

/// A server whose paths begin with a number: so many requests for each are answered by `failure`, the others with the request's
/// body.
fn failing(failure: &'static str) -> RawServer {
    let seen: Mutex<HashMap<String, u32>> = Mutex::default();
    answering(move |request| {
        let target = request.split(' ').nth(1).expect("a target").to_owned();
        let failures: u32 = target.split('/').nth(1).and_then(|text| text.parse().ok()).expect("a number");
        let mut seen = seen.lock().expect("no panic");
        let seen = seen.entry(target).or_default();
        *seen += 1;
        if *seen <= failures {
            return failure.to_owned();
        }
        ok(request.split_once("\r\n\r\n").map_or("", |(_, body)| body))
    })
}

/// What a trace is told of retries.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Trace for Log {
    fn request_retry(&self, _: RequestId, tries: u32, _: Duration, failure: Result<StatusCode, &Error>) {
        let failure = failure.map(|status| status.as_u16()).map_err(|error| error.kind());
        self.0.borrow_mut().push(format!("{tries} {failure:?}"));
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let mut config = retrying();
    config.cookies = true;
    with_config(&config, async |_, client| {
        let (server, log) = (failing(BUSY), Log::default());
        let traced = client.with_trace(log.clone());
        let answer = traced.put(server.url("/2")).body("abc").send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16()), (3, 200));
        assert_eq!(answer.text().await.expect("text"), "abc");
        assert_eq!(log.0.take(), ["1 Ok(503)", "2 Ok(503)"]);
        let answer = client.get(server.url("/3")).send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16()), (3, 503), "three in all");
        assert_eq!(answer.text().await.expect("text"), "no");
        let stats = client.stats();
        assert_eq!((stats.requests, stats.retries, stats.made, stats.errors), (2, 4, 1, 0));
        assert!(client.cookies().field_for(&server.url("/")).is_some(), "each answer may set cookies");
    });
}

#[test]
fn it_is_off_unless_asked_for_and_each_request_may_have_its_own() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = failing(BUSY);
        let answer = client.get(server.url("/1")).send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16()), (1, 503));
        let answer = client.get(server.url("/2")).retry(Some(soon())).send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16()), (3, 200));
        let mut wrong = soon();
        wrong.tries_max = 0;
        let error = client.get(server.url("/2")).retry(Some(wrong)).send().await.expect_err("no tries");
        assert_eq!(error.kind(), ErrorKind::Config);
    });
    with_config(&retrying(), async |_, client| {
        let server = failing(BUSY);
        let answer = client.get(server.url("/1")).retry(None).send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16()), (1, 503));
    });
}

#[test]
fn what_may_do_harm_twice_or_cannot_be_sent_twice_is_sent_once() {
    with_config(&retrying(), async |_, client| {
        let server = failing(BUSY);
        let answer = client.post(server.url("/1/a")).body("abc").send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16()), (1, 503));
        let mut any = soon();
        any.non_idempotent = true;
        let request = client.post(server.url("/1/b")).body("abc").retry(Some(any));
        let answer = request.send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16()), (2, 200));

        let begun = Rc::new(Cell::new(0));
        let count = Rc::clone(&begun);
        let stream = move || {
            count.set(count.get() + 1);
            Body::stream_of(3, async |mut out| out.write("abc").await)
        };
        let answer = client.put(server.url("/1/c")).body(stream()).send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16(), begun.take()), (1, 503, 1));
        let answer = client.put(server.url("/2/d")).body_from(stream).send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16(), begun.take()), (3, 200, 3));
        assert_eq!(answer.text().await.expect("text"), "abc");
    });
}

#[test]
fn lost_connections_are_tried_again_and_those_not_made_for_every_method() {
    with_config(&retrying(), async |_, client| {
        let server = RawServer::start(|mut peer| {
            if peer.read_head().is_some() && peer.number() == 2 {
                peer.send(ok("hello"));
            }
        });
        let log = Log::default();
        let answer = client.with_trace(log.clone()).get(server.url("/")).send().await.expect("an answer");
        assert_eq!((answer.attempts(), server.accepted()), (3, 3));
        drop(answer);
        assert_eq!(log.0.take(), ["1 Err(Disconnected)", "2 Err(Disconnected)"]);
        let broken = RawServer::start(|mut peer| drop(peer.read_head()));
        let error = client.post(broken.url("/")).body("abc").send().await.expect_err("it is lost");
        assert_eq!((error.kind(), broken.accepted()), (ErrorKind::Disconnected, 1));

        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
        let url = format!("http://{}/", closed.expect("a free port"));
        let before = client.stats().retries;
        let error = client.post(url).body("abc").send().await.expect_err("nobody listens");
        assert_eq!((error.kind(), client.stats().retries - before), (ErrorKind::Connect, 2));
        assert_eq!(client.stats().in_use, 0);
    });
}

#[test]
fn a_server_says_when_to_come_again() {
    with_config(&retrying(), async |_, client| {
        let server = failing("HTTP/1.1 429 Slow\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
        let started = Instant::now();
        let answer = client.get(server.url("/1/a")).send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16()), (2, 200));
        // The core's clock may be some milliseconds ahead.
        assert!(started.elapsed() > Duration::from_millis(950), "{:?}", started.elapsed());

        // Not if it is to be over before that, nor if that is more than is given.
        let request = client.get(server.url("/1/b")).timeout(Some(Duration::from_millis(900)));
        let answer = request.send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16()), (1, 429));
        let mut impatient = soon();
        impatient.retry_after_max = Duration::from_millis(999);
        let answer = client.get(server.url("/1/c")).retry(Some(impatient)).send().await.expect("an answer");
        assert_eq!((answer.attempts(), answer.status().as_u16()), (1, 429));
    });
}

#[test]
fn tries_end_with_the_time_of_the_request() {
    with_config(&retrying(), async |_, client| {
        let server = failing(BUSY);
        let mut stubborn = soon();
        stubborn.tries_max = u32::MAX;
        stubborn.delay = Duration::from_millis(20);
        stubborn.delay_max = stubborn.delay;
        let request = client.get(server.url("/1000000")).retry(Some(stubborn));
        let started = Instant::now();
        let result = request.timeout(Some(Duration::from_millis(200))).send().await;
        assert!(started.elapsed() < Duration::from_secs(20));
        match result {
            Ok(answer) => assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Timeout),
        }
        assert!(client.stats().retries > 1);
    });
}

#[test]
fn a_client_tries_no_more_than_its_budget_allows() {
    let mut config = retrying();
    config.retry_budget.tries_min = 0;
    config.retry_budget.percent = 10;
    with_config(&config, async |_, client| {
        let server = failing(BUSY);
        for number in 0..100 {
            let url = server.url(&format!("/9/{number}"));
            assert_eq!(client.get(url).send().await.expect("an answer").status().as_u16(), 503);
        }
        let stats = client.stats();
        assert_eq!((stats.requests, stats.retries), (100, 10), "a tenth");
        assert!(stats.retries_refused >= 90, "{}", stats.retries_refused);
    });
}

#[test]
fn a_request_that_waits_for_its_next_try_holds_nothing_and_can_be_dropped() {
    let mut config = retrying();
    config.limit = 1;
    with_config(&config, async |core, client| {
        let server = failing(BUSY);
        let mut slow = soon();
        slow.retry_after_max = Duration::ZERO;
        slow.delay = Duration::from_secs(600);
        slow.delay_max = slow.delay;
        let request = client.request(Method::GET, server.url("/1")).retry(Some(slow)).send();
        let waiting = core.spawn("asker", async move {
            time::timeout(Duration::from_millis(100), request).await.map(drop).map_err(drop)
        });
        until("the first try", || client.stats().idle == 1).await;
        assert_eq!(text(client.put(server.url("/0")).body("x").send().await).await, "x");
        // Once in a while chance makes it hardly wait.
        let _ = waiting.await.expect("no panic");
        assert_eq!((client.stats().in_use, client.stats().waiting), (0, 0));
        assert_eq!(text(client.put(server.url("/0/a")).body("x").send().await).await, "x");
        assert_eq!(server.accepted(), 1);
    });
}
