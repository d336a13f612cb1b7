//! The client over real sockets, on both drivers: against our own server where that will do, against a scripted one where the
//! bytes matter.

mod adaptive;
mod basics;
mod batches;
mod bodies;
mod circuits;
#[cfg(feature = "compression")]
mod compression;
mod connections;
mod cookies;
#[cfg(feature = "digest-auth")]
mod digest;
mod download_hostile;
mod download_parts;
mod downloads;
mod expectations;
mod forms;
mod handlers;
mod middleware;
mod names;
mod overrides;
mod proxies;
mod redirects;
mod retries;
mod socks;
mod trace;
mod upgrades;

use std::time::Duration;

use ringhttp::client::Response;
use ringhttp::testing::{RawPeer, RawServer, each_driver};
use ringhttp::{Client, ClientConfig, Core, time};

/// An answer with a body.
fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A server that answers each request with what a function makes of its head and its body.
fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> RawServer {
    RawServer::start(move |mut peer: RawPeer| {
        while let Some(head) = peer.read_head() {
            let length = field(&head, "content-length").map_or(0, |length| length.parse().expect("a number"));
            let body = String::from_utf8_lossy(&peer.read(length)).into_owned();
            if field(&head, "transfer-encoding").is_some() && peer.read_head().is_none() {
                return; // A chunked body of a few bytes ends as a head does.
            }
            if !peer.send(answer(&format!("{head}{body}"))) {
                return;
            }
        }
    })
}

/// A server that gives each request back as its answer's body.
fn mirror() -> RawServer {
    answering(ok)
}

/// The value of a field in a head that our client has sent: names are in lower case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Runs `body` with a client on both drivers.
fn with_config(config: &ClientConfig, body: impl AsyncFn(Core, Client) + Send + Sync) {
    each_driver(async |core| {
        let client = Client::new(&core, config.clone()).expect("a good configuration");
        body(core, client.clone()).await;
        client.close().await;
    });
}

/// The text of an answer.
async fn text(answer: Result<Response, ringhttp::client::Error>) -> String {
    answer.expect("an answer").text().await.expect("text")
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
