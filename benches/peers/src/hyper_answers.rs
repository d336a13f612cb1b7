//! What hyper answers with, over TCP and over TLS: the surface of ringhttp's `plaintext` example.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{Either, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, SERVER};
use hyper::{Method, Request, Response, StatusCode};

use crate::{ECHO_BYTES_MAX, HELLO, INDEX, JSON, static_bytes};

/// An answer to any request.
pub type Answer = Response<Either<Full<Bytes>, Limited<Incoming>>>;

/// Answers one request.
pub async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = match path {
        "/" if get => text(INDEX),
        "/plaintext" if get => text(HELLO),
        "/json" if get => full(StatusCode::OK, "application/json", Bytes::from_static(JSON.as_bytes())),
        "/echo" if request.method() == Method::POST => echo(request),
        "/" | "/plaintext" | "/json" => not_allowed("GET, HEAD"),
        "/echo" => not_allowed("POST"),
        _ => match (path.strip_prefix("/users/"), path.strip_prefix("/bytes/").and_then(static_bytes)) {
            (Some(_), _) | (_, Some(_)) if !get => not_allowed("GET, HEAD"),
            (Some(id), _) => full(StatusCode::OK, "text/plain", Bytes::copy_from_slice(id.as_bytes())),
            (_, Some(body)) => full(StatusCode::OK, "application/octet-stream", Bytes::from_static(body)),
            (None, None) => full(StatusCode::NOT_FOUND, "text/plain", Bytes::new()),
        },
    };
    Ok(answer)
}

fn echo(request: Request<Incoming>) -> Answer {
    let body = request.into_body();
    if body.size_hint().lower() > ECHO_BYTES_MAX {
        return full(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", Bytes::new());
    }
    with_fields("application/octet-stream", Either::Right(Limited::new(body, ECHO_BYTES_MAX as usize)))
}

fn text(body: &'static str) -> Answer {
    full(StatusCode::OK, "text/plain", Bytes::from_static(body.as_bytes()))
}

fn not_allowed(allow: &'static str) -> Answer {
    let mut answer = full(StatusCode::METHOD_NOT_ALLOWED, "text/plain", Bytes::new());
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

fn full(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = with_fields(content_type, Either::Left(Full::new(body)));
    *answer.status_mut() = status;
    answer
}

fn with_fields(content_type: &'static str, body: Either<Full<Bytes>, Limited<Incoming>>) -> Answer {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(SERVER, HeaderValue::from_static("hyper"));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
