//! xitca-web with one worker, on io_uring.

use std::io;
use std::time::Duration;

use ringhttp_peers_common::{ECHO_BYTES_MAX, HELLO, INDEX, JSON, Options, listen, static_bytes};
use xitca_web::App;
use xitca_web::body::{Body as _, RequestBody, ResponseBody, SizeHint};
use xitca_web::bytes::Bytes;
use xitca_web::handler::body::Body;
use xitca_web::handler::handler_service;
use xitca_web::handler::params::LazyParams;
use xitca_web::http::header::{CONTENT_TYPE, HeaderValue, SERVER};
use xitca_web::http::{StatusCode, WebResponse};
use xitca_web::route::{get, post};

fn main() -> io::Result<()> {
    let options = Options::start();
    App::new()
        .at("/", get(handler_service(async || ok("text/plain", Bytes::from_static(INDEX.as_bytes())))))
        .at(
            "/plaintext",
            get(handler_service(async || ok("text/plain", Bytes::from_static(HELLO.as_bytes())))),
        )
        .at(
            "/json",
            get(handler_service(async || ok("application/json", Bytes::from_static(JSON.as_bytes())))),
        )
        .at("/users/{id}", get(handler_service(user)))
        .at("/bytes/{n}", get(handler_service(bytes)))
        .at("/echo", post(handler_service(echo)))
        .serve()
        .worker_threads(1)
        .enable_io_uring()
        // Of the same length as the others' idle time, so that idle connections last through their measurement.
        .keep_alive_timeout(Duration::from_secs(75))
        .listen(listen(options.port)?)?
        .run()
        .wait()
}

async fn user(id: LazyParams<'_, &str>) -> WebResponse {
    match id.deserialize() {
        Ok(id) => ok("text/plain", Bytes::copy_from_slice(id.as_bytes())),
        Err(_) => empty(StatusCode::NOT_FOUND),
    }
}

async fn bytes(n: LazyParams<'_, &str>) -> WebResponse {
    match n.deserialize().ok().and_then(static_bytes) {
        Some(body) => ok("application/octet-stream", Bytes::from_static(body)),
        None => empty(StatusCode::NOT_FOUND),
    }
}

async fn echo(Body(body): Body<RequestBody>) -> WebResponse {
    match body.size_hint() {
        SizeHint::Exact(length) if length > ECHO_BYTES_MAX => empty(StatusCode::PAYLOAD_TOO_LARGE),
        _ => with_fields("application/octet-stream", ResponseBody::boxed(body)),
    }
}

fn ok(content_type: &'static str, body: Bytes) -> WebResponse {
    with_fields(content_type, body.into())
}

fn empty(status: StatusCode) -> WebResponse {
    let mut answer = WebResponse::new(ResponseBody::empty());
    *answer.status_mut() = status;
    answer
}

fn with_fields(content_type: &'static str, body: ResponseBody) -> WebResponse {
    let mut answer = WebResponse::new(body);
    answer.headers_mut().insert(SERVER, HeaderValue::from_static("xitca"));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
