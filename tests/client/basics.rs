//! Requests and answers as an application makes and reads them, against our own server.

use std::time::Duration;

use ringhttp::client::{ErrorKind, Result};
use ringhttp::testing::{each_driver, serve_on};
use ringhttp::{Body, Client, ClientConfig, Method, Request, Response, Router, ServerConfig};

pub(crate) fn routes() -> Router<()> {
    Router::new()
        .get("/hello", async |_: &(), _| "hello")
        .post("/echo", async |_: &(), request: Request| Response::new(request.into_body()))
        .get("/big", async |_: &(), _| vec![b'x'; 1_000_000])
        .get("/fields", async |_: &(), request: Request| format!("{:?}", request.headers()))
        .get("/query", async |_: &(), request: Request| request.query_string().unwrap_or("-").to_owned())
}

/// Runs `body` with a client of a server of its own, whose URL is the client's base.
pub(crate) fn with_client(config: ClientConfig, body: impl AsyncFn(Client) + Send + Sync) {
    each_driver(async |core| {
        serve_on(&core, ServerConfig::default(), routes(), (), async |server| {
            let mut config = config.clone();
            config.base_url = Some(format!("http://{}/", server.address()).parse().expect("a URL"));
            let client = Client::new(&core, config).expect("a good configuration");
            body(client.clone()).await;
            client.close().await;
        })
        .await;
    });
}

async fn text(client: &Client, path: &str) -> String {
    client.get(path).send().await.expect("an answer").text().await.expect("text")
}

#[test]
fn requests_go_over_one_connection() {
    with_client(ClientConfig::default(), async |client| {
        for _ in 0..50 {
            assert_eq!(text(&client, "/hello").await, "hello");
        }
        let stats = client.stats();
        assert_eq!((stats.requests, stats.made, stats.reused, stats.errors), (50, 1, 49, 0));
        assert_eq!((stats.in_use, stats.idle), (0, 1));
        let answer = client.get("/hello").send().await.expect("an answer");
        assert!(answer.timings().reused);
        assert_eq!((answer.status().as_u16(), answer.length()), (200, Some(5)));
    });
}

#[test]
fn large_bodies_go_both_ways() {
    with_client(ClientConfig::default(), async |client| {
        let big = client.get("/big").send().await.expect("an answer").bytes().await.expect("a body");
        assert!(big.len() == 1_000_000 && big.iter().all(|byte| *byte == b'x'));
        let sent: Vec<u8> = (0..900_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let answer = client.post("/echo").body(sent.clone()).send().await.expect("an answer");
        assert_eq!(answer.bytes().await.expect("a body"), sent);
        let pieces = sent.clone();
        let body = Body::stream(async move |mut out| {
            for piece in pieces.chunks(7_777) {
                out.write(piece.to_vec()).await?;
            }
            Ok(())
        });
        let answer = client.post("/echo").body(body).send().await.expect("an answer");
        assert_eq!(answer.bytes().await.expect("a body"), sent);
        assert_eq!(client.stats().made, 1, "{}", client.stats());
    });
}

#[test]
fn a_client_that_is_closed_says_so() {
    with_client(ClientConfig::default(), async |client| {
        text(&client, "/hello").await;
        client.close().await;
        let failed = client.get("/hello").send().await.expect_err("it is closed");
        assert_eq!(failed.kind(), ErrorKind::Closed);
        assert_eq!(client.stats().idle, 0);
    });
}

#[test]
fn verbs_and_methods() -> Result<()> {
    with_client(ClientConfig::default(), async |client| {
        assert_eq!(client.head("/hello").send().await.expect("an answer").length(), Some(5));
        let patch = client.request(Method::from_bytes(b"BREW").expect("a token"), "/hello").send().await;
        assert_eq!(patch.expect("an answer").status(), 405);
        assert_eq!(text(&client, "/query?a=b").await, "a=b");
        let answer = client.get("/query?a=b").query(&[("c", "d e"), ("c", "&")]).send().await;
        assert_eq!(answer.expect("an answer").text().await.expect("text"), "a=b&c=d+e&c=%26");
        let _ = Duration::ZERO;
    });
    Ok(())
}
