//! Tests over real sockets: a server on a free port and a client that shares no code with it, a server that behaves as badly
//! as a test likes, both drivers.
//!
//! ```no_run
//! use ringhttp::{Router, testing};
//!
//! testing::serve(
//!     || Router::new().get("/hello", async |_: &(), _| "hello"),
//!     || (),
//!     async |client| {
//!         let response = client.get("/hello").await;
//!         assert_eq!((response.status.as_u16(), response.text()), (200, "hello"));
//!     },
//! );
//! ```
#![forbid(unsafe_code)]

mod client;
#[doc(hidden)]
pub mod properties;
mod raw_server;
#[cfg(test)]
mod request;
#[doc(hidden)]
pub mod transcript;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ringhttp_runtime::{Core, Cores, Driver, RuntimeConfig, time};

pub use client::{RawConnection, TestClient, TestRequest, TestResponse};
pub use raw_server::{RawPeer, RawServer};
#[cfg(test)]
pub(crate) use request::request;

use crate::conn::{ServerConfig, Service};
use crate::error::{Error, Result};
use crate::server::Server;
use crate::web::Router;

/// Polls a future so often, each time when it was woken, and drops it then where it waits: `None` if it was not done. With one more
/// poll each time it shows that dropping a future loses nothing, wherever it stands.
///
/// ```
/// use std::time::Duration;
/// use ringhttp::{testing, time};
///
/// testing::each_driver(async |_| {
///     let mut polls = 0;
///     while testing::polled_only(polls, time::sleep(Duration::from_millis(1))).await.is_none() {
///         polls += 1;
///     }
///     assert!(polls >= 2);
/// });
/// ```
///
/// # Cancellation
/// The future is dropped.
pub async fn polled_only<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Runs `body` against a server of its own on a free port of 127.0.0.1, on one core, then stops the server: what is open
/// then has 5 s to end.
///
/// # Panics
/// If `body` does, if it takes longer than a minute, or if the server fails.
#[track_caller]
pub fn serve<S: 'static>(
    router: impl Fn() -> Router<S> + Send + Sync,
    state: impl Fn() -> S + Send + Sync,
    body: impl AsyncFn(TestClient) + Send + Sync,
) {
    run_on(Driver::Auto, async |core| {
        serve_on(&core, ServerConfig::default(), router(), state(), &body).await;
    });
}

/// Runs `body` on one core with io_uring, and again on one with epoll. Most bodies call [`serve_on`].
///
/// The environment variable `RINGHTTP_TEST_DRIVERS` names the drivers for machines that have only one: `epoll`,
/// `io_uring`, or both with a comma between them.
///
/// # Panics
/// If `body` does, if it takes longer than a minute, or if a driver is not to be had.
#[track_caller]
pub fn each_driver(body: impl AsyncFn(Core) + Send + Sync) {
    for driver in drivers() {
        run_on(driver, &body);
    }
}

/// Runs `body` against a server on this core, then stops the core: the way to [`serve`] inside [`each_driver`], or with
/// another [`ServerConfig`].
///
/// # Panics
/// If the routes contradict each other, or if the server fails.
///
/// # Cancellation
/// The server goes on until the core stops.
pub async fn serve_on<S: 'static>(
    core: &Core,
    config: ServerConfig,
    router: Router<S>,
    state: S,
    body: impl AsyncFnOnce(TestClient),
) {
    let app = router.into_service(state);
    serve_service_on(core, config, app.expect("the routes are good"), body).await;
}

/// As [`serve_on`], for what stands around an application, or in place of one.
///
/// ```
/// use ringhttp::{Method, Request, Router, ServerConfig, Service, testing};
///
/// testing::each_driver(async |core| {
///     let app = Router::new().delete("/note", async |_: &(), _| "deleted\n").into_service(()).unwrap();
///     let service = async move |mut req: Request| {
///         req.set_method(Method::DELETE);
///         app.call(req).await
///     };
///     testing::serve_service_on(&core, ServerConfig::default(), service, async |client| {
///         assert_eq!(client.get("/note").await.text(), "deleted\n");
///     })
///     .await;
/// });
/// ```
///
/// # Panics
/// If the server fails.
///
/// # Cancellation
/// The server goes on until the core stops.
pub async fn serve_service_on(
    core: &Core,
    config: ServerConfig,
    service: impl Service,
    body: impl AsyncFnOnce(TestClient),
) {
    let server = Server::bind("127.0.0.1:0", config).expect("127.0.0.1 has a free port");
    let bound = server.local_addrs().first().and_then(|address| address.as_socket());
    let address = bound.expect("it was bound over IP");
    let here = core.clone();
    let served = core.spawn("test server", async move { server.serve_service(&here, service).await });
    Box::pin(body(TestClient::new(core, address))).await;
    core.shutdown();
    let result = served.await.expect("the server does not panic");
    assert!(result.is_ok(), "the server failed: {result:?}");
}

/// The time a body may take, so that a test that waits for ever fails.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);

#[track_caller]
fn run_on(driver: Driver, body: impl AsyncFn(Core) + Send + Sync) {
    let mut config = RuntimeConfig::default();
    config.cores = Cores::Count(1);
    config.driver = driver;
    config.handle_signals = false;
    config.pin = false;
    config.shutdown_timeout = Duration::from_secs(5);
    let result: Result<()> = ringhttp_runtime::run(config, async |core| {
        let in_time = time::timeout(BODY_TIME_MAX, Box::pin(body(core))).await;
        in_time.map_err(|_| Error::internal("the test took too long"))
    });
    if let Err(error) = result {
        panic!("on driver {driver:?}: {error:?} (RINGHTTP_TEST_DRIVERS=epoll leaves io_uring out)");
    }
}

/// The drivers of [`each_driver`], for tests that run cores of their own.
///
/// # Panics
/// If `RINGHTTP_TEST_DRIVERS` names something else.
#[must_use]
#[track_caller]
pub fn drivers() -> Vec<Driver> {
    let names = std::env::var("RINGHTTP_TEST_DRIVERS").unwrap_or_else(|_| "io_uring,epoll".to_owned());
    names.split(',').map(|name| name.trim().parse().expect("RINGHTTP_TEST_DRIVERS names drivers")).collect()
}
