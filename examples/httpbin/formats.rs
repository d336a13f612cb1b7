//! Documents of different kinds and codings.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ringhttp::proto::content_coding::{ContentCoding, Encoder, Level};
use ringhttp::{Bytes, HeaderValue, Html, Request, Response, Result, Router, StatusCode, header};
use serde_json::{Value, json};

use super::inspect::describe;
use super::{Httpbin, json, status};

pub(crate) fn add(router: Router<Httpbin>) -> Router<Httpbin> {
    let coded = |coding, name| async move |_: &Httpbin, req: Request| coded(req, coding, name).await;
    router
        .get("/html", async |_: &Httpbin, _| Html(include_str!("pages/page.html")))
        .get("/forms/post", async |_: &Httpbin, _| Html(include_str!("pages/form.html")))
        .get("/encoding/utf8", async |_: &Httpbin, _| Html(include_str!("pages/utf8.html")))
        .get("/xml", async |_: &Httpbin, _| typed("application/xml", include_bytes!("pages/shelf.xml")))
        .get("/json", async |_: &Httpbin, _| slideshow())
        .get("/robots.txt", async |_: &Httpbin, _| "User-agent: *\nDisallow: /deny\n")
        .get("/deny", async |_: &Httpbin, _| "robots.txt asked you, if you are a robot, to stay away.\n")
        .get("/gzip", coded(ContentCoding::Gzip, "gzipped"))
        .get("/deflate", coded(ContentCoding::Deflate, "deflated"))
        .get("/brotli", coded(ContentCoding::Brotli, "brotli"))
        .get("/base64/{value}", base64)
        .get("/image", async |_: &Httpbin, req: Request| image(req.accepts(&IMAGES)))
        .get("/image/png", async |_: &Httpbin, _| image(Some("image/png")))
        .get("/image/jpeg", async |_: &Httpbin, _| image(Some("image/jpeg")))
        .get("/image/svg", async |_: &Httpbin, _| image(Some("image/svg+xml")))
        .get("/image/webp", async |_: &Httpbin, _| image(Some("image/webp")))
}

fn typed(media_type: &'static str, body: &'static [u8]) -> Response {
    Response::new(Bytes::from_static(body))
        .with_header(header::CONTENT_TYPE, HeaderValue::from_static(media_type))
}

fn slideshow() -> Response {
    json(&json!({
        "slideshow": {
            "author": "ringhttp",
            "date": "today",
            "title": "A Slide Show",
            "slides": [
                { "title": "Rings", "type": "all" },
                { "title": "Uses", "type": "all", "items": ["one for the <em>entries</em>", "one for the ends"] },
            ],
        },
    }))
}

/// An answer in a coding, whether the client accepts it or not: it is the coding that is to be tried.
async fn coded(mut req: Request, coding: ContentCoding, name: &str) -> Result {
    let mut shown = describe(&mut req, &["headers", "method", "origin"]).await?;
    shown.insert(name.to_owned(), Value::Bool(true));
    let response = json(&shown.into());
    let mut body = Vec::new();
    let mut encoder = Encoder::new(coding, Level::Balanced);
    encoder.write(response.body().as_bytes().unwrap_or_default(), &mut body);
    encoder.finish(&mut body);
    let coding = HeaderValue::from_static(coding.name());
    Ok(response.with_body(body).with_header(header::CONTENT_ENCODING, coding))
}

/// RFC 4648 §5, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

async fn base64(_: &Httpbin, req: Request) -> Result<String> {
    let decoded =
        BASE64.decode(&*req.param_str("value")?).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(decoded.unwrap_or_else(|| "This is no base64url of a text. Try cmluZ2h0dHA=\n".to_owned()))
}

/// What there is, in the order it is preferred.
const IMAGES: [&str; 4] = ["image/png", "image/webp", "image/svg+xml", "image/jpeg"];

fn image(media_type: Option<&str>) -> Response {
    match media_type {
        Some("image/png") => typed("image/png", include_bytes!("images/ring.png")),
        Some("image/jpeg") => typed("image/jpeg", include_bytes!("images/ring.jpg")),
        Some("image/svg+xml") => typed("image/svg+xml", include_bytes!("images/ring.svg")),
        Some("image/webp") => typed("image/webp", include_bytes!("images/ring.webp")),
        _ => status::answer(StatusCode::NOT_ACCEPTABLE),
    }
}
