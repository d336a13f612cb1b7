//! The client in a handler of our server: its errors as answers, and the deadline that travels.

use std::time::{Duration, Instant};

use ringhttp::client::ErrorKind;
use ringhttp::middleware;
use ringhttp::testing::{RawServer, each_driver, serve_on};
use ringhttp::{Client, ClientConfig, Result, Router, ServerConfig, deadline};

use super::{answering, ok, with_config};

#[test]
fn errors_become_answers_that_tell_nothing() {
    let good = answering(|_| ok("hello"));
    let broken = RawServer::start(|mut peer| {
        peer.read_head();
    });
    let silent = RawServer::start(|mut peer| {
        peer.read_head();
        peer.read_all();
    });
    let urls =
        [good.url("/secret"), broken.url("/secret"), silent.url("/secret"), "https://secret/".to_owned()];
    let routes = || {
        Router::new().get(
            "/{number}",
            async |state: &(Client, [String; 4]), request: ringhttp::Request| -> Result<String> {
                let number: usize = request.param("number")?;
                let request =
                    state.0.get(&state.1[number]).first_byte_timeout(Some(Duration::from_millis(50)));
                Ok(request.send().await?.text().await?)
            },
        )
    };
    each_driver(async |core| {
        let client = Client::new(&core, ClientConfig::default()).expect("a good configuration");
        let state = (client.clone(), urls.clone());
        serve_on(&core, ServerConfig::default(), routes(), state, async |server| {
            for (path, status) in [("/0", 200), ("/1", 502), ("/2", 504), ("/3", 502)] {
                let answer = server.get(path).await;
                assert_eq!(answer.status, status, "{path}: {}", answer.text());
                assert!(!answer.text().contains("secret"), "{}", answer.text());
            }
            client.close().await;
        })
        .await;
    });
}

#[test]
fn a_deadline_around_the_handler_holds_for_what_it_asks() {
    let silent = RawServer::start(|mut peer| {
        peer.read_head();
        peer.read_all();
    });
    let url = silent.url("/");
    let routes = || {
        Router::new()
            .get("/", async |state: &(Client, String), _| -> Result<String> {
                let error = state.0.get(&state.1).send().await.expect_err("it is late");
                assert_eq!(error.kind(), ErrorKind::Timeout);
                Ok("told in time".to_owned())
            })
            .with(middleware::deadline(Duration::from_millis(200)))
    };
    each_driver(async |core| {
        let client = Client::new(&core, ClientConfig::default()).expect("a good configuration");
        serve_on(&core, ServerConfig::default(), routes(), (client.clone(), url.clone()), async |server| {
            let started = Instant::now();
            let status = server.get("/").await.status;
            // The handler is dropped by the same deadline, unless it is told a moment before.
            assert!(status == 504 || status == 200, "{status}");
            assert!(started.elapsed() < Duration::from_secs(5));
            assert_eq!(client.stats().in_use, 0);
            client.close().await;
        })
        .await;
    });
}

#[test]
fn the_deadline_that_travels_shortens_the_time_of_a_request() {
    with_config(&ClientConfig::default(), async |core, client| {
        let silent = RawServer::start(|mut peer| {
            peer.read_head();
            peer.read_all();
        });
        let timers = core.timers();
        for time in [Duration::from_millis(50), Duration::ZERO] {
            let started = Instant::now();
            let asks = async { client.get(silent.url("/")).send().await.map(drop) };
            // Both have the same end: the one who asks is told, unless the one around it is first.
            if let Ok(result) = deadline::within(timers, timers.now() + time, asks).await {
                assert_eq!(result.expect_err("it is late").kind(), ErrorKind::Timeout);
            }
            assert!(started.elapsed() < Duration::from_secs(5));
        }
        assert_eq!(client.stats().in_use, 0);
    });
}
