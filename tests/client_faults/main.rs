//! The client against servers that misbehave, over real sockets, on both drivers: what the caller is told, and that nothing
//! is left behind: no descriptor, no place in the pool, nobody who waits for ever.

mod corpus;
mod dropped;
mod every_poll;
mod misbehaviour;
mod storm;
mod thrown_away;

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ringhttp::client::{Error, Response};
use ringhttp::testing::{RawServer, each_driver};
use ringhttp::{Client, ClientConfig, Core, time};

/// A request with an answer, as a good server gives it.
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// A configuration whose times are short enough for tests and long enough for a busy machine.
fn config() -> ClientConfig {
    let mut config = ClientConfig::default();
    config.timeout = Some(Duration::from_secs(20));
    config
}

/// Runs `body` on both drivers; one test at a time, because descriptors are counted.
fn alone(body: impl AsyncFn(Core) + Send + Sync) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    each_driver(body);
}

/// Open descriptors of this process.
fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").expect("proc is mounted").count()
}

/// Waits until `done` says so.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if done() {
            return;
        }
        time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never came: {what}");
}

/// Runs `body` with a client of a scripted server, then looks whether anything is left: places that are taken, requests that
/// wait, descriptors. `body` may use up connections as it likes.
async fn leaves_nothing(
    core: &Core,
    config: ClientConfig,
    server: &RawServer,
    body: impl AsyncFnOnce(&Client, &RawServer),
) {
    // The pool of blocking threads is made, and whatever else is made once.
    core.spawn_blocking(|| ()).await.expect("it runs");
    let before = open_fds();
    let client = Client::new(core, config).expect("a good configuration");
    body(&client, server).await;
    let stats = client.stats();
    assert_eq!((stats.in_use, stats.waiting), (0, 0), "{stats}");
    client.close().await;
    until("the server's scripts to end", || server.open() == 0).await;
    until("descriptors to be closed", || open_fds() <= before).await;
}

/// GETs a path.
async fn get(client: &Client, server: &RawServer, path: &str) -> Result<Response, Error> {
    client.get(server.url(path)).send().await
}

/// GETs a path, all of it.
async fn get_text(client: &Client, server: &RawServer, path: &str) -> Result<String, Error> {
    get(client, server, path).await?.text().await
}
