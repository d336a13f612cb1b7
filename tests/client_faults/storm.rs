//! Ten thousand requests to a server that breaks a fifth of its connections at random points: each request ends in an answer
//! or a typed error, and none is seen twice that may not be.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhttp::Method;
use ringhttp::client::{ErrorKind, RetryConfig};
use ringhttp::testing::{RawPeer, RawServer};

use super::{alone, config, leaves_nothing};

const REQUESTS: u64 = 10_000;
const TASKS: u64 = 40;

/// A number from 0 to `end`, fixed for a seed and a step.
fn random(seed: u64, step: u64, end: u64) -> u64 {
    let mut state =
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ step.wrapping_mul(0xd1b5_4a32_d192_ed03) ^ 0x5eed;
    for _ in 0..3 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    (state >> 33) % end
}

/// What the server saw of each request.
type Seen = Arc<Mutex<HashMap<u64, u64>>>;

/// Serves a connection, which is broken behind one of five points with each fifth request.
fn serve(mut peer: RawPeer, seen: &Seen) {
    let connection = peer.number() as u64;
    for step in 0.. {
        let breaks = random(connection, step, 5) == 0;
        let point = random(connection, step + 1_000_000, 6);
        if breaks && point == 0 {
            return if step % 2 == 0 { drop(peer) } else { peer.reset() };
        }
        let Some(head) = peer.read_head() else { return };
        let id: u64 =
            head.split_once("/r/").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).expect("an id");
        *seen.lock().expect("no panic").entry(id).or_default() += 1;
        let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
            rest.split('\r').next().and_then(|digits| digits.parse().ok()).expect("a number")
        });
        if breaks && point == 1 {
            return if step % 2 == 0 { drop(peer) } else { peer.reset() };
        }
        if peer.read(length).len() < length {
            return;
        }
        let body = format!("answer to {id}");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let end = match (breaks, point) {
            (true, 2) => 7,
            (true, 3) => answer.len() - body.len() / 2,
            _ => answer.len(),
        };
        if !peer.send(&answer[..end]) || end < answer.len() {
            return;
        }
        if breaks && point == 4 {
            return;
        }
        if breaks && point == 5 {
            return peer.reset();
        }
    }
}

fn method(id: u64) -> Method {
    [Method::GET, Method::POST, Method::PUT][usize::try_from(id % 3).expect("small")].clone()
}

#[test]
fn every_request_ends_and_none_is_sent_twice_that_may_not_be() {
    storm(None);
}

#[test]
fn retries_leave_few_errors_and_send_nothing_twice_that_may_not_be() {
    let mut retry = RetryConfig::default();
    retry.delay = Duration::from_millis(2);
    storm(Some(&retry));
}

fn storm(retry: Option<&RetryConfig>) {
    // Each try may be sent once more if its connection was gone.
    let times_max = 2 * u64::from(retry.map_or(1, |retry| retry.tries_max));
    let errors_max = if retry.is_some() { REQUESTS / 5 } else { REQUESTS / 2 };
    alone(async |core| {
        let seen = Seen::default();
        let record = Arc::clone(&seen);
        let server = RawServer::start(move |peer| serve(peer, &record));
        let mut config = config();
        config.limit = 20;
        config.timeout = Some(Duration::from_secs(30));
        config.retry = retry.cloned();
        config.retry_budget.percent = 100;
        leaves_nothing(&core, config, &server, async |client, server| {
            let server = Rc::new(server.address());
            let (answers, errors) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| {
                    let (client, server) = (client.clone(), Rc::clone(&server));
                    let (answers, errors) = (Rc::clone(&answers), Rc::clone(&errors));
                    core.spawn("asker", async move {
                        for id in (task..REQUESTS).step_by(usize::try_from(TASKS).expect("small")) {
                            let method = method(id);
                            let request = client.request(method.clone(), format!("http://{server}/r/{id}"));
                            let request =
                                if method == Method::GET { request } else { request.body(vec![b'x'; 3000]) };
                            let result = async { request.send().await?.text().await }.await;
                            match result {
                                Ok(text) => {
                                    assert_eq!(
                                        text,
                                        format!("answer to {id}"),
                                        "the answer to another request"
                                    );
                                    answers.set(answers.get() + 1);
                                }
                                Err(error) => {
                                    let kind = error.kind();
                                    let is_lost = matches!(
                                        kind,
                                        ErrorKind::Body | ErrorKind::Disconnected | ErrorKind::Write
                                    );
                                    assert!(is_lost, "{method} {id}: {error:?}");
                                    errors.set(errors.get() + 1);
                                }
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
            let stats = client.stats();
            assert_eq!(answers.get() + errors.get(), REQUESTS);
            assert_eq!((stats.requests, stats.errors), (REQUESTS, errors.get()));
            assert!(errors.get() < errors_max && errors.get() > 0, "{stats}");
            assert!(stats.resent > 0, "{stats}");
            assert_eq!(stats.retries > 0, retry.is_some());
            for (id, times) in &*seen.lock().expect("no panic") {
                let times_max = if method(*id) == Method::POST { 1 } else { times_max };
                assert!(*times <= times_max, "{} {id} was seen {times} times", method(*id));
            }
        })
        .await;
    });
}
