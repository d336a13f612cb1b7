//! Bodies of a length and at a pace of the client's choice.

use std::sync::LazyLock;
use std::time::Duration;

use ringhttp::proto::Etag;
use ringhttp::proto::conditional::Validators;
use ringhttp::{
    Body, BodySender, Bytes, Error, HeaderValue, Html, Redirect, Request, Response, Result, Router,
    StatusCode, header, json_lines, time,
};
use serde_json::json;

use super::inspect::{HEAD, describe};
use super::{Httpbin, args, json, on_all_methods};

/// The longest body that is made for a client.
const BYTES_MAX: usize = 100 * 1024;
/// The longest body of `/drip`.
const DRIP_BYTES_MAX: usize = 10 * 1024 * 1024;
/// The bodies of `/drip` are views of it.
static STARS: LazyLock<Bytes> = LazyLock::new(|| vec![b'*'; DRIP_BYTES_MAX].into());
/// A wait between two pieces that a timer can keep to; shorter ones become larger pieces.
const PAUSE_MIN: Duration = Duration::from_millis(10);

const LINES_MAX: usize = 100;
const LINKS_MAX: usize = 200;
const PIECE_BYTES: usize = 10 * 1024;

pub(crate) fn add(router: Router<Httpbin>) -> Router<Httpbin> {
    let router = router
        .get("/bytes/{n:uint}", bytes)
        .get("/stream-bytes/{n:uint}", stream_bytes)
        .get("/range/{n:uint}", range)
        .get("/stream/{n:uint}", stream)
        .get("/drip", drip)
        .get("/links/{n:uint}", links)
        .get("/links/{n:uint}/{offset:uint}", link_page)
        .name("links")
        .get("/uuid", async |state: &Httpbin, _| json(&json!({ "uuid": state.random.uuid() })));
    on_all_methods(router, "/delay/{seconds}", delay)
}

/// The parameter `n`, but no more than `max`.
fn count(req: &Request, max: usize) -> Result<usize> {
    let n: u64 = req.param("n")?;
    Ok(usize::try_from(n).unwrap_or(max).min(max))
}

async fn bytes(state: &Httpbin, req: Request) -> Result<Vec<u8>> {
    Ok(state.random.bytes(count(&req, BYTES_MAX)?, args::parsed(&req, "seed")?))
}

async fn stream_bytes(state: &Httpbin, req: Request) -> Result {
    let bytes = state.random.bytes(count(&req, BYTES_MAX)?, args::parsed(&req, "seed")?);
    let piece_bytes = args::parsed(&req, "chunk_size")?.unwrap_or(PIECE_BYTES);
    let body = Body::stream(async move |out| send(out, bytes.into(), piece_bytes, Duration::ZERO).await);
    Ok(octets(body))
}

/// The alphabet, over and over, of which parts can be had.
async fn range(_: &Httpbin, req: Request) -> Result {
    let length = count(&req, usize::MAX)?;
    if !(1..=BYTES_MAX).contains(&length) {
        return Err(Error::not_found(format!("the number of bytes must be within 1 to {BYTES_MAX}")));
    }
    let version = Validators { etag: Etag::strong(&format!("range{length}")).ok(), modified: None };
    let letters: Vec<u8> = (b'a'..=b'z').cycle().take(length).collect();
    let mut response = octets(letters).with_validators(&version).with_ranges(&req);
    let duration = args::wait(args::parsed(&req, "duration")?.unwrap_or(0.0))?;
    let piece_bytes = args::parsed(&req, "chunk_size")?.unwrap_or(PIECE_BYTES);
    if duration.is_zero() {
        return Ok(response);
    }
    if let Some(part) = response.body().as_bytes().map(Bytes::copy_from_slice) {
        let pause = duration.mul_f64(piece_bytes.min(length) as f64 / length as f64);
        let body =
            Body::stream_of(part.len() as u64, async move |out| send(out, part, piece_bytes, pause).await);
        response = response.with_body(body);
    }
    Ok(response)
}

/// `numbytes` stars within `duration` seconds, after `delay` seconds.
async fn drip(_: &Httpbin, req: Request) -> Result {
    let length: i64 = args::parsed(&req, "numbytes")?.unwrap_or(10);
    let length = usize::try_from(length).unwrap_or(0).min(DRIP_BYTES_MAX);
    if length == 0 {
        return Err(Error::bad_request("number of bytes must be positive"));
    }
    let duration = args::wait(args::parsed(&req, "duration")?.unwrap_or(2.0))?;
    let delay = args::wait(args::parsed(&req, "delay")?.unwrap_or(0.0))?;
    let code: u16 = args::parsed(&req, "code")?.unwrap_or(200);
    let status = StatusCode::from_u16(code).ok().filter(|status| !status.is_informational());
    let status = status.ok_or_else(|| Error::bad_request("query: `code` is no status"))?;

    let pieces_max = usize::try_from(duration.as_millis() / PAUSE_MIN.as_millis()).unwrap_or(1).max(1);
    let piece_bytes = length.div_ceil(pieces_max.min(length));
    let pause = duration.mul_f64(piece_bytes as f64 / length as f64);
    time::sleep(delay).await;
    let stars = STARS.slice(..length);
    let body = Body::stream_of(length as u64, async move |out| send(out, stars, piece_bytes, pause).await);
    Ok(octets(body).with_status(status))
}

fn octets(body: impl Into<Body>) -> Response {
    let media_type = HeaderValue::from_static("application/octet-stream");
    Response::new(body).with_header(header::CONTENT_TYPE, media_type)
}

/// Sends pieces of a size, with a pause behind each.
async fn send(mut out: BodySender, mut bytes: Bytes, piece_bytes: usize, pause: Duration) -> Result<()> {
    while !bytes.is_empty() {
        let piece = bytes.split_to(piece_bytes.clamp(1, bytes.len()));
        out.write(piece).await?;
        time::sleep(pause).await;
    }
    Ok(())
}

async fn stream(_: &Httpbin, mut req: Request) -> Result {
    let count = count(&req, LINES_MAX)?;
    let mut shown = describe(&mut req, HEAD).await?;
    let response = json_lines::stream(async move |mut lines| {
        for id in 0..count {
            shown.insert("id".to_owned(), id.into());
            lines.send(&shown).await?;
        }
        Ok(())
    });
    Ok(response.with_header(header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
}

async fn delay(_: &Httpbin, mut req: Request) -> Result {
    time::sleep(args::wait(req.param("seconds")?)?).await;
    let shown = ["args", "data", "files", "form", "headers", "origin", "url"];
    Ok(json(&describe(&mut req, &shown).await?.into()))
}

async fn links(_: &Httpbin, req: Request) -> Result<Redirect> {
    let n = req.param_str("n")?;
    Ok(Redirect::found(req.url_for("links", &[("n", &n), ("offset", "0")])?))
}

/// Links to the pages of the same kind but this one.
async fn link_page(_: &Httpbin, req: Request) -> Result<Html<String>> {
    let n = count(&req, LINKS_MAX)?.max(1);
    let offset: u64 = req.param("offset")?;
    let mut page = "<!DOCTYPE html>\n<title>Links</title>\n".to_owned();
    for index in 0..n {
        let number = index.to_string();
        if index as u64 == offset {
            page += &format!("{number}\n");
        } else {
            let url = req.url_for("links", &[("n", &n.to_string()), ("offset", &number)])?;
            page += &format!("<a href=\"{url}\">{number}</a>\n");
        }
    }
    Ok(Html(page))
}
