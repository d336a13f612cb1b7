//! What is built on requests, dropped behind its first poll, its second, and so on to its last: batches, middleware, tries, probes.
//! After each, what was taken is given back, those who wait go on, and the next request works.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use ringhttp::client::{CircuitBreakerConfig, Error, RetryConfig, middleware};
use ringhttp::testing::{RawPeer, RawServer, polled_only};
use ringhttp::{Client, ClientConfig, Core, time};

use super::{OK, alone, config, get_text, leaves_nothing};

type Doomed<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Drops what `begin` makes behind each number of polls until it is done, beside a second one that has to be.
async fn drop_behind_each_poll(
    core: &Core,
    config: ClientConfig,
    server: &RawServer,
    equip: impl Fn(&Client, &RawServer) -> Client,
    begin: impl for<'a> Fn(&'a Client, &'a RawServer) -> Doomed<'a>,
) {
    leaves_nothing(core, config, server, async |client, server| {
        let client = equip(client, server);
        let mut polls = 0;
        loop {
            let mut beside = begin(&client, server);
            let mut doomed = Some(Box::pin(polled_only(polls, begin(&client, server))));
            let mut was_done = false;
            // The doomed one is first in each line.
            let both = poll_fn(|cx| {
                if let Some(future) = &mut doomed
                    && let Poll::Ready(done) = future.as_mut().poll(cx)
                {
                    was_done = done.is_some();
                    doomed = None;
                }
                beside.as_mut().poll(cx)
            });
            time::timeout(Duration::from_secs(20), both).await.expect("who waits is woken");
            if let Some(doomed) = doomed {
                was_done =
                    time::timeout(Duration::from_secs(20), doomed).await.expect("it goes on").is_some();
            }
            let stats = client.stats();
            assert_eq!((stats.in_use, stats.waiting), (0, 0), "behind {polls} polls: {stats}");
            assert_eq!(get_text(&client, server, "/good").await.expect("it goes well"), "hello", "{polls}");
            if was_done {
                assert!(polls > 1, "it waits for nothing");
                break;
            }
            polls += 1;
        }
    })
    .await;
}

fn as_it_is(client: &Client, _: &RawServer) -> Client {
    client.clone()
}

/// Answers with what `answer` makes of a head, in two writes, so that there is more to wait for.
fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> RawServer {
    RawServer::start(move |mut peer: RawPeer| {
        while let Some(head) = peer.read_head() {
            let answer = answer(&head);
            let (first, second) = answer.split_at(answer.len() - 2);
            if !peer.send(first) || !peer.send(second) {
                return;
            }
        }
    })
}

#[test]
fn a_batch() {
    alone(async |core| {
        let server = serve(|_| OK.to_owned());
        let mut config = config();
        config.limit = 3;
        drop_behind_each_poll(&core, config, &server, as_it_is, |client, server| {
            Box::pin(async move {
                let requests = (0..7).map(|_| client.get(server.url("/good")));
                let batch = client.batch(requests).concurrency(3).then(async |answer| answer.text().await);
                let results = batch.all().await;
                assert!(
                    results.len() == 7
                        && results.into_iter().all(|result| result.is_ok_and(|text| text == "hello"))
                );
            })
        })
        .await;
    });
}

/// Its `next` is dropped each time that it has to wait, and nothing is lost.
#[test]
fn the_next_of_a_batch() {
    alone(async |core| {
        let server = serve(|_| OK.to_owned());
        leaves_nothing(&core, config(), &server, async |client, server| {
            for polls in 1..4 {
                let requests = (0..20).map(|_| client.get(server.url("/good")));
                let batch = client.batch(requests).concurrency(3).then(async |answer| answer.text().await);
                let (mut batch, mut numbers) = (batch, Vec::new());
                loop {
                    match polled_only(polls, Box::pin(batch.next())).await {
                        Some(Some((number, result))) => {
                            assert_eq!(result.expect("it goes well"), "hello");
                            numbers.push(number);
                        }
                        Some(None) => break,
                        None => core.yield_now().await,
                    }
                }
                numbers.sort_unstable();
                assert_eq!(numbers, (0..20).collect::<Vec<_>>());
            }
        })
        .await;
    });
}

#[test]
fn a_token_that_is_fetched_while_others_wait() {
    alone(async |core| {
        let answers = AtomicUsize::new(0);
        // Every third request finds that its token is of no use any more.
        let server = serve(move |head| {
            assert!(head.contains("authorization: Bearer t"), "{head}");
            match answers.fetch_add(1, Ordering::SeqCst) % 3 {
                1 => "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno".to_owned(),
                _ => OK.to_owned(),
            }
        });
        let equip = |client: &Client, server: &RawServer| {
            let fetches = Rc::new(Cell::new(0));
            let fetch = async move || {
                fetches.set(fetches.get() + 1);
                time::sleep(Duration::from_millis(2)).await;
                Ok::<_, Error>(format!("t{}", fetches.get()))
            };
            client.with(middleware::bearer_token(server.url("/"), fetch).expect("a URL"))
        };
        drop_behind_each_poll(&core, config(), &server, equip, |client, server| {
            Box::pin(async move {
                let answer = client.get(server.url("/")).send().await.expect("an answer");
                assert!(matches!(answer.status().as_u16(), 200 | 401));
                answer.text().await.expect("a body");
            })
        })
        .await;
    });
}

#[test]
fn a_request_that_waits_for_the_rate() {
    alone(async |core| {
        let server = serve(|_| OK.to_owned());
        let equip = |client: &Client, _: &RawServer| {
            client.with(middleware::rate_limit(1, Duration::from_millis(5)).expect("a rate"))
        };
        drop_behind_each_poll(&core, config(), &server, equip, |client, server| {
            Box::pin(async move {
                assert_eq!(get_text(client, server, "/").await.expect("it goes well"), "hello");
            })
        })
        .await;
    });
}

#[test]
fn a_try_that_waits_for_the_next_one() {
    alone(async |core| {
        let answers = AtomicUsize::new(0);
        let server = serve(move |head| match answers.fetch_add(1, Ordering::SeqCst) % 2 {
            0 if !head.contains(" /good ") => "HTTP/1.1 503 x\r\ncontent-length: 4\r\n\r\nbusy".to_owned(),
            _ => OK.to_owned(),
        });
        let mut config = config();
        config.limit = 1;
        let mut retry = RetryConfig::default();
        retry.tries_max = 20;
        retry.delay = Duration::from_millis(3);
        config.retry = Some(retry);
        drop_behind_each_poll(&core, config, &server, as_it_is, |client, server| {
            Box::pin(async move {
                get_text(client, server, "/").await.expect("an answer");
            })
        })
        .await;
    });
}

/// A probe that is dropped is nobody's: the next request is one, and finds that the server is well.
#[test]
fn the_probe_of_a_server_that_was_in_trouble() {
    alone(async |core| {
        let mut polls = 0;
        let mut was_done = false;
        while !was_done {
            let answers = AtomicUsize::new(0);
            let server = serve(move |_| match answers.fetch_add(1, Ordering::SeqCst) {
                0 => "HTTP/1.1 503 x\r\ncontent-length: 4\r\n\r\nbusy".to_owned(),
                _ => OK.to_owned(),
            });
            let mut config = config();
            let mut breaker = CircuitBreakerConfig::default();
            breaker.failures_min = 1;
            breaker.open_time = Duration::from_millis(20);
            config.circuit_breaker = Some(breaker);
            leaves_nothing(&core, config, &server, async |client, server| {
                get_text(client, server, "/").await.expect("an answer");
                get_text(client, server, "/").await.expect_err("it is left alone");
                time::sleep(Duration::from_millis(60)).await;
                let probe = async { drop(get_text(client, server, "/").await.expect("it is well")) };
                was_done = polled_only(polls, Box::pin(probe)).await.is_some();
                assert_eq!(get_text(client, server, "/").await.expect("it is well"), "hello", "{polls}");
                assert_eq!(client.stats().in_use, 0);
            })
            .await;
            polls += 1;
        }
        assert!(polls > 2, "it waits for something");
    });
}
