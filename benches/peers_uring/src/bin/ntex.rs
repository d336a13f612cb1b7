//! ntex with one worker, on its own driver for io_uring.

use std::io;

use futures_util::StreamExt as _;
use ntex::http::body::SizedStream;
use ntex::http::error::PayloadError;
use ntex::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, SERVER};
use ntex::http::{HttpServiceConfig, ResponseBuilder};
use ntex::rt::{DefaultRuntime, System};
use ntex::time::Seconds;
use ntex::util::{Bytes, BytesMut};
use ntex::web::{self, App, HttpRequest, HttpResponse, HttpServer};
use ringhttp_peers_common::{ECHO_BYTES_MAX, HELLO, INDEX, JSON, Options, listen, static_bytes};

fn main() -> io::Result<()> {
    let options = Options::start();
    System::build().build(DefaultRuntime).block_on(async move { serve(&options).await })
}

async fn serve(options: &Options) -> io::Result<()> {
    let get = |path: &'static str| {
        web::resource(path).default_service(web::route().to(async || not_allowed("GET, HEAD")))
    };
    let post = |path: &'static str| {
        web::resource(path).default_service(web::route().to(async || not_allowed("POST")))
    };
    let application = async move || {
        App::new()
            .service(get("/").route(web::get().to(async || ok("text/plain").body(INDEX))))
            .service(get("/plaintext").route(web::get().to(async || ok("text/plain").body(HELLO))))
            .service(get("/json").route(web::get().to(async || ok("application/json").body(JSON))))
            .service(get("/users/{id}").route(web::get().to(user)))
            .service(get("/bytes/{n}").route(web::get().to(bytes)))
            .service(post("/echo").route(web::post().to(echo)))
    };
    // Of the same length as the others' idle time, so that idle connections last through their measurement.
    let http = HttpServiceConfig::new().set_keepalive(Seconds(75));
    HttpServer::new(application)
        .workers(1)
        .config(ntex::SharedCfg::new("peer").add(http))
        .listen(listen(options.port)?)?
        .run()
        .await
}

async fn user(id: web::types::Path<String>) -> HttpResponse {
    ok("text/plain").body(id.into_inner())
}

async fn bytes(n: web::types::Path<String>) -> HttpResponse {
    match static_bytes(&n) {
        Some(body) => ok("application/octet-stream").body(body),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn echo(request: HttpRequest, mut payload: web::types::Payload) -> HttpResponse {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match length {
        Some(length) if length <= COLLECTED_BYTES_MAX => {
            let mut body = BytesMut::with_capacity(length as usize);
            while let Some(chunk) = payload.recv().await {
                match chunk {
                    Ok(chunk) => body.extend_from_slice(&chunk),
                    Err(_) => return HttpResponse::BadRequest().finish(),
                }
            }
            ok("application/octet-stream").body(body.freeze())
        }
        Some(length) if length <= ECHO_BYTES_MAX => {
            let pieces = payload.map(|piece| piece.map_err(boxed));
            ok("application/octet-stream").body(SizedStream::new(length, pieces))
        }
        Some(_) => HttpResponse::PayloadTooLarge().finish(),
        None => ok("application/octet-stream").streaming(limited(payload)),
    }
}

/// A body of unknown length, cut off with an error where it passes the limit.
fn limited(
    payload: web::types::Payload,
) -> impl futures_util::Stream<Item = Result<Bytes, PayloadError>> + Unpin {
    let mut left = ECHO_BYTES_MAX;
    payload.map(move |chunk| {
        let chunk = chunk?;
        left = left.checked_sub(chunk.len() as u64).ok_or(PayloadError::Overflow)?;
        Ok(chunk)
    })
}

fn boxed(error: PayloadError) -> std::rc::Rc<dyn std::error::Error> {
    std::rc::Rc::new(error)
}

/// What a resource says to other methods than its own: ntex itself does not say which it has.
fn not_allowed(allow: &'static str) -> HttpResponse {
    HttpResponse::MethodNotAllowed().set_header(ALLOW, allow).finish()
}

fn ok(content_type: &'static str) -> ResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.set_header(SERVER, "ntex").set_header(CONTENT_TYPE, content_type);
    answer
}

/// Up to 64 KiB a body is awaited before it is answered, as actix-web's peer does it.
const COLLECTED_BYTES_MAX: u64 = 64 << 10;
