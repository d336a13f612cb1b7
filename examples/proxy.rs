//! A reverse proxy: requests and answers pass while they come, a WebSocket as the bytes that it is.
//!
//! `cargo run --release --example hello -- --port 8081`, and beside it `cargo run --release --example proxy`, then
//! `curl -v http://127.0.0.1:8080/world`. With `ws_echo` in place of `hello`, `websocat ws://127.0.0.1:8080/ws`.

#[expect(dead_code, reason = "this example has an option of its own")]
mod common;

use std::time::Duration;

use ringhttp::runtime::sync::{Either, race};
use ringhttp::{
    Body, Client, ClientConfig, Error, HeaderMap, HeaderName, HeaderValue, Request, Response, Result, Server,
    ServerConfig, StatusCode, Upgraded, header, time,
};

/// What to type when it runs.
const TRY: &str = "first: cargo run --release --example hello -- --port 8081
curl -v URL/world";

/// Fields of one connection (RFC 9110 §7.6.1), and those that say where a body ends, which each side does by itself.
const HOP_BY_HOP: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The fields that are for the other end, without those that `Connection` names.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let options = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = options.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    let mut kept = headers.clone();
    for name in named.chain(HOP_BY_HOP) {
        kept.remove(name);
    }
    kept
}

async fn pass(client: &Client, upstream: &str, req: Request) -> Result<Response> {
    if !req.path().starts_with('/') {
        return Err(StatusCode::BAD_REQUEST.into());
    }
    let query = req.query_string().map_or_else(String::new, |query| format!("?{query}"));
    let mut headers = end_to_end(req.headers());
    headers.remove(header::HOST);
    if let Some(client) = req.client_addr() {
        headers.append("x-forwarded-for", HeaderValue::try_from(client.to_string())?);
    }
    if let Some(host) = req.host() {
        headers.insert("x-forwarded-host", HeaderValue::try_from(&*host)?);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static(req.scheme()));
    let asked = client.request(req.method().clone(), format!("{upstream}{}{query}", req.path()));
    let asked = asked.headers(headers).without_header(header::ACCEPT);

    if let Some(protocol) = req.header(header::UPGRADE).filter(|_| req.wants_upgrade()).cloned() {
        let answer =
            asked.header(header::CONNECTION, "upgrade").header(header::UPGRADE, protocol).send().await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let fields = end_to_end(answer.headers());
            let protocol = answer.headers().get(header::UPGRADE).cloned().ok_or(StatusCode::BAD_GATEWAY)?;
            let back = answer.upgrade()?;
            splice(req.upgrade(protocol.to_str()?, &fields)?, back).await?;
            return Ok(Response::empty(StatusCode::OK)); // It is sent to nobody: the connection was the session's.
        }
        return Ok(passed(answer));
    }
    let body = req.into_body();
    let body = if body.length() == Some(0) { Body::empty() } else { body.into() };
    Ok(passed(asked.body(body).send().await?))
}

fn passed(answer: ringhttp::client::Response) -> Response {
    let (status, headers) = (answer.status(), end_to_end(answer.headers()));
    let mut response = Response::new(answer.into_body()).with_status(status);
    *response.headers_mut() = headers;
    response
}

/// Passes bytes on, both ways, until one side ends. A side that takes none holds up the other, up to `write_timeout`.
async fn splice(mut front: Upgraded, mut back: Upgraded) -> Result<()> {
    loop {
        let (piece, to) = match race(front.read(), back.read()).await {
            Either::First(piece) => (piece?, &mut back),
            Either::Second(piece) => (piece?, &mut front),
        };
        match piece {
            Some(bytes) => to.write(bytes).await?,
            None => return Ok(to.shutdown().await?),
        }
    }
}

fn main() -> Result<()> {
    let mut upstream = "http://127.0.0.1:8081".to_owned();
    let options = common::Options::from_args_and(&mut [("--upstream", &mut upstream)]);
    let mut config = ClientConfig::default();
    config.timeout = None; // Streams last as long as they like; a stall does not.
    config.redirects_max = 0;
    config.decompress = false;
    config.user_agent = None;

    ringhttp::run(options.runtime.clone(), async |core| {
        let client = Client::new(&core, config.clone())?;
        let (asking, upstream) = (client.clone(), upstream.clone());
        let service = async move |req: Request| {
            let passed = pass(&asking, &upstream, req).await;
            passed.unwrap_or_else(|error: Error| error.into())
        };
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, TRY);
        server.serve_service(&core, service).await?;
        let _ = time::timeout(Duration::from_secs(1), client.close()).await;
        Ok(())
    })
}
