//! axum on a current-thread tokio, by its own `serve`.

use std::io;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Path;
use axum::http::header::{CONTENT_TYPE, SERVER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ringhttp_peers::{ECHO_BYTES_MAX, HELLO, INDEX, JSON, Options, listen, static_bytes};

fn main() -> io::Result<()> {
    let options = Options::start();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(&options))
}

async fn serve(options: &Options) -> io::Result<()> {
    let routes = Router::new()
        .route("/", get(async || fields("text/plain", INDEX)))
        .route("/plaintext", get(async || fields("text/plain", HELLO)))
        .route("/json", get(async || fields("application/json", JSON)))
        .route("/users/{id}", get(async |Path(id): Path<String>| fields("text/plain", id)))
        .route("/bytes/{n}", get(bytes))
        .route("/echo", post(echo));
    axum::serve(tokio::net::TcpListener::from_std(listen(options.port)?)?, routes).await
}

async fn bytes(Path(n): Path<String>) -> Response {
    match static_bytes(&n) {
        Some(body) => fields("application/octet-stream", Bytes::from_static(body)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn echo(body: Body) -> Response {
    if body.size_hint().lower() > ECHO_BYTES_MAX {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let limited = http_body_util::Limited::new(body, ECHO_BYTES_MAX as usize);
    fields("application/octet-stream", Body::new(limited))
}

fn fields(content_type: &'static str, body: impl IntoResponse) -> Response {
    let server = (SERVER, HeaderValue::from_static("axum"));
    ([server, (CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}
