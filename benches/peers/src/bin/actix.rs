//! actix-web with one worker.

use std::io;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, SERVER};
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpResponseBuilder, HttpServer};
use futures_util::StreamExt;
use ringhttp_peers::{ECHO_BYTES_MAX, HELLO, INDEX, JSON, Options, listen, static_bytes};

fn main() -> io::Result<()> {
    let options = Options::start();
    actix_web::rt::System::new().block_on(serve(&options))
}

async fn serve(options: &Options) -> io::Result<()> {
    let application = || {
        App::new()
            .service(web::resource("/").get(async || ok("text/plain").body(INDEX)))
            .service(web::resource("/plaintext").get(async || ok("text/plain").body(HELLO)))
            .service(web::resource("/json").get(async || ok("application/json").body(JSON)))
            .service(web::resource("/users/{id}").get(user))
            .service(web::resource("/bytes/{n}").get(bytes))
            .service(web::resource("/echo").post(echo))
    };
    HttpServer::new(application)
        .workers(1)
        // Of the same length as the others' idle time, so that idle connections last through their measurement.
        .keep_alive(Duration::from_secs(75))
        .listen(listen(options.port)?)?
        .run()
        .await
}

async fn user(id: web::Path<String>) -> HttpResponse {
    ok("text/plain").body(id.into_inner())
}

async fn bytes(n: web::Path<String>) -> HttpResponse {
    match static_bytes(&n) {
        Some(body) => ok("application/octet-stream").body(Bytes::from_static(body)),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn echo(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match length {
        Some(length) if length <= COLLECTED_BYTES_MAX => match payload.to_bytes().await {
            Ok(body) => ok("application/octet-stream").body(body),
            Err(error) => HttpResponse::from_error(error),
        },
        Some(length) if length <= ECHO_BYTES_MAX => {
            ok("application/octet-stream").body(SizedStream::new(length, payload))
        }
        Some(_) => HttpResponse::PayloadTooLarge().finish(),
        None => ok("application/octet-stream").streaming(limited(payload)),
    }
}

/// A body of unknown length, cut off with an error where it passes the limit.
fn limited(payload: web::Payload) -> impl futures_util::Stream<Item = Result<Bytes, PayloadError>> {
    let mut left = ECHO_BYTES_MAX;
    payload.map(move |chunk| {
        let chunk = chunk?;
        left = left.checked_sub(chunk.len() as u64).ok_or(PayloadError::Overflow)?;
        Ok(chunk)
    })
}

fn ok(content_type: &'static str) -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((SERVER, HeaderValue::from_static("actix")));
    answer.insert_header((CONTENT_TYPE, HeaderValue::from_static(content_type)));
    answer
}

/// Up to 64 KiB a body is awaited before it is answered: actix-web closes a connection when it sends the head of
/// an answer before it has seen the end of the request, and an echo that reconnects each time would measure that.
const COLLECTED_BYTES_MAX: u64 = 64 << 10;
