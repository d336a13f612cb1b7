//! What stands between requests and their way, and what is ready-made of it.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringhttp::client::{Error, ErrorKind, Next, Request, Response, Result, RetryConfig, middleware};
use ringhttp::testing::RawServer;
use ringhttp::{Body, ClientConfig, HeaderValue, StatusCode, time};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::{answering, field, mirror, ok, text, with_config};

#[test]
fn the_first_is_the_outermost_and_each_may_change_what_it_passes_on() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = mirror();
        let log: Rc<RefCell<Vec<&str>>> = Rc::default();
        let (one, two) = (Rc::clone(&log), Rc::clone(&log));
        let outer = client.with(async move |mut request: Request, next: Next<'_>| -> Result<Response> {
            one.borrow_mut().push("in");
            request.headers_mut().insert("x-a", HeaderValue::from_static("outer"));
            let answer = next.run(request).await;
            one.borrow_mut().push("out");
            answer
        });
        let both = outer.with(async move |mut request: Request, next: Next<'_>| {
            two.borrow_mut().push("further in");
            assert_eq!(request.headers()["x-a"], "outer");
            assert_eq!((request.method().as_str(), request.url().path()), ("POST", "/x"));
            request.set_body("another body");
            next.run(request).await
        });
        let sent = text(both.post(server.url("/x")).body("a body").send().await).await;
        assert!(sent.contains("x-a: outer") && sent.ends_with("another body"), "{sent}");
        assert_eq!(log.take(), ["in", "further in", "out"]);
        let sent = text(client.get(server.url("/")).send().await).await;
        assert!(!sent.contains("x-a"), "the handle without goes without");
        assert_eq!((client.stats().made, client.stats().requests), (1, 2), "they share their connections");
    });
}

#[test]
fn one_may_refuse_or_send_again_or_come_too_late() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = mirror();
        let refusing =
            client.with(async |_: Request, _: Next<'_>| Err(Error::middleware(io::Error::other("no"))));
        let error = refusing.get(server.url("/secret?x")).send().await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Middleware);
        assert_eq!(error.url(), Some(&*server.url("/secret")));
        assert_eq!(client.stats().requests, 0);

        let twice = client.with(async |request: Request, next: Next<'_>| {
            let again = request.try_clone();
            let answer = next.run(request).await?;
            let Some(again) = again else { return Ok(answer) };
            answer.discard().await;
            next.run(again).await
        });
        text(twice.post(server.url("/")).body("bytes").send().await).await;
        assert_eq!((client.stats().requests, client.stats().made), (2, 1));
        let stream = Body::stream_of(1, async |mut out| out.write("x").await);
        text(twice.post(server.url("/")).body(stream).send().await).await;
        assert_eq!(client.stats().requests, 3, "a stream can be sent once");

        let waiting = client.with(async |request: Request, next: Next<'_>| {
            time::sleep(Duration::from_secs(60)).await;
            next.run(request).await
        });
        let started = Instant::now();
        let request = waiting.get(server.url("/")).timeout(Some(Duration::from_millis(30)));
        let error = request.send().await.expect_err("it is late");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(started.elapsed() < Duration::from_secs(30));
        assert_eq!((client.stats().in_use, client.stats().errors), (0, 1));
    });
}

/// A server that takes one token.
fn guarded(token: &Arc<Mutex<String>>) -> RawServer {
    let token = Arc::clone(token);
    answering(move |request| {
        let expected = format!("Bearer {}", token.lock().expect("no panic"));
        if field(request, "authorization") == Some(&*expected) {
            ok("welcome")
        } else {
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno".to_owned()
        }
    })
}

#[test]
fn a_token_is_fetched_once_while_others_wait() {
    let mut config = ClientConfig::default();
    config.limit = 5;
    with_config(&config, async |core, client| {
        let token = Arc::new(Mutex::new("t1".to_owned()));
        let server = guarded(&token);
        let fetches = Rc::new(Cell::new(0));
        let count = Rc::clone(&fetches);
        let fetch = async move || {
            count.set(count.get() + 1);
            time::sleep(Duration::from_millis(20)).await;
            Ok::<_, Error>(format!("t{}", count.get()))
        };
        let signed = client.with(middleware::bearer_token(server.url("/"), fetch).expect("a URL"));
        for round in 1..=2 {
            *token.lock().expect("no panic") = format!("t{round}");
            let asking: Vec<_> = (0..20)
                .map(|_| {
                    let request = signed.get(server.url("/"));
                    core.spawn("asker", async move { text(request.send().await).await })
                })
                .collect();
            for asked in asking {
                assert_eq!(asked.await.expect("no panic"), "welcome");
            }
            assert_eq!(fetches.get(), round, "one for all");
        }
        // What cannot be sent twice is told of, and the next one has a new token.
        *token.lock().expect("no panic") = "t3".to_owned();
        let stream = Body::stream_of(1, async |mut out| out.write("x").await);
        let answer = signed.post(server.url("/")).body(stream).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(text(signed.get(server.url("/")).send().await).await, "welcome");
        assert_eq!(fetches.get(), 3);

        // The token is that server's business.
        let other = mirror();
        let sent = text(signed.get(other.url("/")).send().await).await;
        assert_eq!(field(&sent, "authorization"), None);
        let answer = signed.get(server.url("/")).bearer_auth("own").send().await.expect("an answer");
        assert_eq!((answer.status(), fetches.get()), (StatusCode::UNAUTHORIZED, 3));
    });
}

#[test]
fn what_was_redirected_may_be_done_and_another_server_says_nothing_about_a_token() {
    const REFUSAL: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";
    with_config(&ClientConfig::default(), async |_, client| {
        let other = answering(|_| REFUSAL.to_owned());
        let elsewhere = other.url("/");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        let server = answering(move |request| {
            let line = request.lines().next().unwrap_or_default();
            let line = line.trim_end_matches(" HTTP/1.1").to_owned();
            log.lock().expect("no panic").push(line.clone());
            let to = |status: u16, path: &str| {
                format!("HTTP/1.1 {status} x\r\nlocation: {path}\r\ncontent-length: 0\r\n\r\n")
            };
            match &*line {
                "POST /order" => to(303, "/done"),
                "GET /moved" => to(302, "/done"),
                "GET /out" => to(302, &elsewhere),
                _ => REFUSAL.to_owned(),
            }
        });
        let fetches = Rc::new(Cell::new(0));
        let count = Rc::clone(&fetches);
        let fetch = async move || {
            count.set(count.get() + 1);
            Ok::<_, Error>("t".to_owned())
        };
        let signed = client.with(middleware::bearer_token(server.url("/"), fetch).expect("a URL"));
        let asked = || std::mem::take(&mut *asked.lock().expect("no panic"));
        let refused = async |request: ringhttp::client::RequestBuilder| {
            assert_eq!(request.send().await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
        };
        refused(signed.post(server.url("/order")).body("one")).await;
        assert_eq!((asked(), fetches.get()), (vec!["POST /order".to_owned(), "GET /done".to_owned()], 1));
        refused(signed.get(server.url("/moved"))).await;
        assert_eq!(
            (asked(), fetches.get()),
            (["GET /moved", "GET /done"].repeat(2).into_iter().map(str::to_owned).collect(), 3)
        );
        for _ in 0..2 {
            refused(signed.get(server.url("/out"))).await;
            assert_eq!((asked(), fetches.get()), (vec!["GET /out".to_owned()], 3), "the token is kept");
        }
    });
}

#[test]
fn a_token_that_cannot_be_had_fails_those_who_wait_and_who_goes_away_leaves_it_to_the_next() {
    with_config(&ClientConfig::default(), async |core, client| {
        let token = Arc::new(Mutex::new("t3".to_owned()));
        let server = guarded(&token);
        let fetches = Rc::new(Cell::new(0));
        let count = Rc::clone(&fetches);
        let fetch = async move || {
            count.set(count.get() + 1);
            match count.get() {
                1 => {
                    time::sleep(Duration::from_millis(30)).await;
                    Err("the key is gone")
                }
                2 => std::future::pending().await,
                number => Ok(format!("t{number}")),
            }
        };
        let signed = client.with(middleware::bearer_token(server.url("/"), fetch).expect("a URL"));
        let asking: Vec<_> = (0..5)
            .map(|_| {
                let request = signed.get(server.url("/"));
                core.spawn("asker", async move { request.send().await.map(drop) })
            })
            .collect();
        for asked in asking {
            let error = asked.await.expect("no panic").expect_err("there is no token");
            assert_eq!(error.kind(), ErrorKind::Middleware);
            assert!(error.to_string().contains("the key is gone"), "{error}");
        }
        assert_eq!(fetches.get(), 1);

        // The second fetch is dropped: who waits behind it fetches.
        let first = signed.get(server.url("/")).send();
        let second = signed.get(server.url("/"));
        let second = core.spawn("asker", async move {
            time::sleep(Duration::from_millis(5)).await;
            text(second.send().await).await
        });
        assert!(time::timeout(Duration::from_millis(30), first).await.is_err());
        assert_eq!(second.await.expect("no panic"), "welcome");
        assert_eq!(fetches.get(), 3);
    });
}

#[test]
fn a_server_is_asked_no_faster_than_it_likes() {
    with_config(&ClientConfig::default(), async |core, client| {
        let server = mirror();
        let limit = middleware::rate_limit(4, Duration::from_millis(80)).expect("good values");
        let slow = client.with(limit);
        let started = Instant::now();
        let asking: Vec<_> = (0..12)
            .map(|_| {
                let request = slow.get(server.url("/"));
                core.spawn("asker", async move { text(request.send().await).await })
            })
            .collect();
        for asked in asking {
            asked.await.expect("no panic");
        }
        // Four at once, then one each 20 ms; the core's clock is exact to some milliseconds.
        assert!(started.elapsed() >= Duration::from_millis(8 * 20 - 30), "{:?}", started.elapsed());
        let error = middleware::rate_limit(0, Duration::from_secs(1)).err().expect("no limit");
        assert_eq!(error.kind(), ErrorKind::Config);
    });
}

/// Tries, redirects, and what another middleware sends again.
#[test]
fn everything_that_is_sent_counts_for_a_rate() {
    let mut config = ClientConfig::default();
    let mut retry = RetryConfig::default();
    retry.delay = Duration::from_millis(1);
    config.retry = Some(retry);
    with_config(&config, async |_, client| {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        let server = answering(move |message| {
            let mut asked = log.lock().expect("no panic");
            asked.push(message.lines().next().expect("a line").to_owned());
            match asked.len() {
                1 => "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_owned(),
                2 => "HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n".to_owned(),
                3 => "HTTP/1.1 401 Who?\r\ncontent-length: 0\r\n\r\n".to_owned(),
                _ => ok("hello"),
            }
        });
        let token = async || Ok::<_, Error>("t".to_owned());
        let limit = middleware::rate_limit(1, Duration::from_millis(50)).expect("good values");
        // The outermost, and yet what stands further in is slowed down.
        let signed =
            client.with(limit).with(middleware::bearer_token(server.url("/"), token).expect("a URL"));
        let started = Instant::now();
        let answer = signed.get(server.url("/")).send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.attempts()),
            (200, 3),
            "two, and one more with a new token"
        );
        assert_eq!(asked.lock().expect("no panic").len(), 4);
        assert!(started.elapsed() >= Duration::from_millis(3 * 50 - 30), "{:?}", started.elapsed());
        let late = signed.get(server.url("/")).timeout(Some(Duration::from_millis(10))).send().await;
        assert_eq!(late.expect_err("it has no time to wait").kind(), ErrorKind::Timeout);
        assert_eq!(asked.lock().expect("no panic").len(), 4, "and is not sent");
    });
}

/// Keeps events as lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "ringhttp::client"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().expect("no panic").push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() != "milliseconds" {
            write!(self.0, " {}={value:?}", field.name()).expect("a string takes it");
        }
    }
}

#[test]
fn a_request_is_a_line() {
    with_config(&ClientConfig::default(), async |_, client| {
        let lines = Lines::default();
        let _kept = tracing::subscriber::set_default(lines.clone());
        let server = answering(|_| ok("hello"));
        let logged = client.with(middleware::logging());
        text(logged.get(server.url("/a?secret=1")).send().await).await;
        let broken = RawServer::start(drop);
        let error = logged.get(broken.url("/b?secret=1")).send().await.expect_err("it is broken");
        let lines = lines.0.lock().expect("no panic").clone();
        assert_eq!(lines[0], format!("INFO method=GET url=\"{}\" status=200", server.url("/a")));
        assert!(lines[1].starts_with(&format!("WARN method=GET url=\"{}\"", broken.url("/b"))), "{lines:?}");
        assert!(lines[1].contains(&error.to_string()), "{lines:?}");
    });
}
