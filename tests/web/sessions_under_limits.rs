//! Connections that leave HTTP under middleware that measures or limits the time of handlers: the answer is the 101, what
//! comes behind it is nobody's handler time. Over real sockets, on both drivers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringhttp::middleware::{ConcurrencyConfig, ConcurrencyGate, concurrency, deadline, timing};
use ringhttp::testing::{TestClient, each_driver, serve_on};
use ringhttp::{Core, HeaderMap, Request, Result, Router, ServerConfig, time};

use crate::common::until;

type Seen = Rc<RefCell<Vec<(u16, Duration)>>>;

/// Answers bytes with the same bytes, for as long as there are any.
async fn echo(_: &Seen, req: Request) -> Result<()> {
    let mut session = req.upgrade("echo", &HeaderMap::new())?;
    while let Some(bytes) = session.read().await? {
        session.write(bytes).await?;
    }
    Ok(())
}

const OPENING: &str = "GET /echo HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

/// Longer than the limits here, and than a handler takes.
const LONG: Duration = Duration::from_millis(300);

async fn is_echoed_after_long(client: &TestClient, meanwhile: impl AsyncFnOnce()) {
    let mut session = client.raw(OPENING).await;
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        received.extend(session.receive().await);
    }
    assert!(received.starts_with(b"HTTP/1.1 101 "), "{}", received.escape_ascii());
    meanwhile().await;
    time::sleep(LONG).await;
    session.send("still here").await;
    assert_eq!(session.receive().await, b"still here");
}

#[test]
fn a_deadline_ends_with_the_answer_that_takes_the_connection_over() {
    each_driver(async |core: Core| {
        let router = Router::new()
            .get("/echo", echo)
            .last_route(|route| route.deadline = Some(Duration::from_millis(100)))
            .with(deadline(Duration::from_millis(100)));
        serve_on(&core, ServerConfig::default(), router, Seen::default(), async |client| {
            is_echoed_after_long(&client, async || ()).await;
        })
        .await;
    });
}

#[test]
fn a_session_takes_no_place_among_the_handlers() {
    each_driver(async |core: Core| {
        let mut config = ConcurrencyConfig::default();
        (config.limit, config.queue_max) = (1, 0);
        let gate = ConcurrencyGate::new(config);
        let router = Router::new()
            .get("/echo", echo)
            .get("/", async |_: &Seen, _| "hello")
            .with(concurrency(gate.clone()));
        serve_on(&core, ServerConfig::default(), router, Seen::default(), async |client| {
            is_echoed_after_long(&client, async || {
                until("the place is free", || gate.running() == 0).await;
                assert_eq!(client.get("/").await.status, 200);
            })
            .await;
        })
        .await;
    });
}

#[test]
fn the_time_of_a_session_is_that_to_its_101() {
    each_driver(async |core: Core| {
        let seen = Seen::default();
        let router = Router::new().get("/echo", echo).with(timing(|seen: &Seen, timing| {
            seen.borrow_mut().push((timing.status.as_u16(), timing.elapsed));
        }));
        serve_on(&core, ServerConfig::default(), router, Rc::clone(&seen), async |client| {
            is_echoed_after_long(&client, async || until("it is told", || seen.borrow().len() == 1).await)
                .await;
        })
        .await;
        let seen = seen.borrow();
        assert_eq!(seen.len(), 1, "once: {seen:?}");
        assert_eq!(seen[0].0, 101);
        assert!(seen[0].1 < LONG, "{seen:?}");
    });
}
