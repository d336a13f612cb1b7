//! What the client and a server that is not ours say to each other, check by check: `run.py` starts the servers.
//!
//! The paths are those of httpbin. `--can` names what the server can do besides answering `/get`.
#![expect(clippy::print_stdout, reason = "run.py reads what it prints")]

#[expect(dead_code, reason = "this program listens nowhere")]
#[path = "../../examples/common/mod.rs"]
mod common;

use std::time::Duration;

use ringhttp::client::{Response, Result, Url};
use ringhttp::{Body, Bytes, Client, ClientConfig, Error, StatusCode, header};

/// What can be checked, in the order in which it is.
const CHECKS: [&str; 15] = [
    "keep_alive",
    "head",
    "no_content",
    "not_modified",
    "chunked",
    "gzip",
    "redirect",
    "cookies",
    "post",
    "post_chunked",
    "large",
    "expect",
    "trailers",
    "close",
    "many",
];

async fn get(client: &Client, path: &str) -> Result<Response> {
    client.get(path).send().await?.error_for_status()
}

/// A request after another one has to find its connection as good as new.
async fn follows_on_the_same_connection(client: &Client) -> Result<()> {
    let answer = get(client, "/get").await?;
    assert!(answer.timings().reused, "the connection is not reused");
    assert!(!answer.bytes().await?.is_empty());
    Ok(())
}

async fn check(client: &Client, name: &str) -> Result<()> {
    match name {
        "keep_alive" => get(client, "/get").await?.discard().await,
        "head" => {
            let answer = client.head("/get").send().await?.error_for_status()?;
            assert!(answer.bytes().await?.is_empty());
        }
        "no_content" => {
            let answer = get(client, "/status/204").await?;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
            assert!(answer.bytes().await?.is_empty());
        }
        "not_modified" => not_modified(client).await?,
        "chunked" => {
            let answer = get(client, "/stream-bytes/100000").await?;
            assert_eq!(answer.headers()[header::TRANSFER_ENCODING], "chunked");
            assert_eq!(answer.bytes().await?.len(), 100_000);
        }
        "gzip" => {
            let coded =
                client.get("/gzip").header(header::ACCEPT_ENCODING, "gzip").decompress(false).send().await?;
            assert_eq!(coded.headers()[header::CONTENT_ENCODING], "gzip");
            assert!(coded.bytes().await?.starts_with(b"\x1f\x8b"));
            let text = get(client, "/gzip").await?.text().await?;
            assert!(text.contains("gzipped"), "{text}");
        }
        "redirect" => {
            let answer = get(client, "/redirect/3").await?;
            assert_eq!((answer.history().len(), answer.url().path()), (3, "/get"));
            answer.discard().await;
        }
        "cookies" => {
            let text = get(client, "/cookies/set/flavour/oatmeal").await?.text().await?;
            assert!(text.contains("flavour") && text.contains("oatmeal"), "{text}");
        }
        "post" => echoed(client, Body::from("What was sent?"), "What was sent?", false).await?,
        "post_chunked" => {
            let pieces = Body::stream(async |mut out| {
                for piece in ["What ", "was ", "sent?"] {
                    out.write(Bytes::from_static(piece.as_bytes())).await?;
                }
                Ok(())
            });
            echoed(client, pieces, "What was sent?", false).await?;
        }
        "large" => {
            let text: String = ('a'..='z').cycle().take(1_000_000).collect();
            echoed(client, Body::from(text.clone()), &text, false).await?;
        }
        "expect" => echoed(client, Body::from("Now that I may"), "Now that I may", true).await?,
        "trailers" => {
            let mut answer = get(client, "/trailers").await?;
            while answer.chunk().await?.is_some() {}
            assert_eq!(answer.trailers().expect("they came")["x-checked"], "yes");
        }
        "close" => return close_delimited(client).await,
        "many" => {
            let requests = (0..200).map(|_| client.get("/get"));
            let read = async |answer: Response| answer.error_for_status()?.bytes().await;
            for result in client.batch(requests).concurrency(20).then(read).all().await {
                assert!(!result?.is_empty());
            }
        }
        _ => panic!("there is no check `{name}`"),
    }
    follows_on_the_same_connection(client).await
}

/// A content that is still the same is not sent again.
async fn not_modified(client: &Client) -> Result<()> {
    let first = get(client, "/etag/abc").await?;
    let etag = first.headers()[header::ETAG].clone();
    first.discard().await;
    let second = client.get("/etag/abc").header(header::IF_NONE_MATCH, etag).send().await?;
    assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    assert!(second.bytes().await?.is_empty());
    Ok(())
}

/// What is sent is in the answer.
async fn echoed(client: &Client, body: Body, sent: &str, expects: bool) -> Result<()> {
    let request = client.post("/post").header(header::CONTENT_TYPE, "text/plain").body(body);
    // Without `100 Continue` it would not be sent in time.
    let request = request.expect_continue(expects).continue_timeout(Duration::from_secs(60));
    let answer = request.send().await?.error_for_status()?;
    let text = answer.text().await?;
    assert!(text.contains(sent), "{} bytes, which are not what was sent", text.len());
    Ok(())
}

/// A body that ends with its connection.
async fn close_delimited(client: &Client) -> Result<()> {
    let answer = get(client, "/close").await?;
    let fields = answer.headers();
    let has_end =
        fields.contains_key(header::CONTENT_LENGTH) || fields.contains_key(header::TRANSFER_ENCODING);
    assert!(!has_end, "{fields:?}");
    assert!(answer.bytes().await?.ends_with(b"the end"));
    let next = get(client, "/get").await?;
    assert!(!next.timings().reused, "what was closed is used again");
    next.discard().await;
    Ok(())
}

fn main() -> ringhttp::Result<()> {
    let (mut url, mut can) = (String::new(), CHECKS.join(","));
    let options = common::Options::only(&["--driver"], &mut [("--url", &mut url), ("--can", &mut can)]);
    let mut config = ClientConfig::default();
    config.base_url = Some(Url::parse(&url).map_err(Error::internal)?);
    config.timeout = Some(Duration::from_secs(20));
    config.cookies = true;
    ringhttp::run(options.runtime, async |core| {
        let client = Client::new(&core, config.clone())?;
        for name in can.split(',') {
            println!("{name}");
            check(&client, name).await?;
        }
        let stats = client.stats();
        assert_eq!((stats.errors, stats.in_use), (0, 0), "{stats}");
        println!("all      {stats}");
        client.close().await;
        Ok(())
    })
}
