//! monoio-http's codec for HTTP/1.1 on monoio's driver for io_uring. It is no framework: the loop over a connection, the routes and
//! the `Date` are this file's.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, DATE, HeaderValue, SERVER};
use http::{HeaderMap, Method, StatusCode};
use monoio::io::sink::{Sink, SinkExt as _};
use monoio::io::stream::Stream as _;
use monoio::net::{TcpListener, TcpStream};
use monoio_http::common::body::BodyExt as _;
use monoio_http::common::request::Request;
use monoio_http::common::response::Response;
use monoio_http::h1::codec::ServerCodec;
use monoio_http::h1::codec::decoder::FillPayload as _;
use monoio_http::h1::payload::{FixedPayload, Payload};
use ringhttp_peers_common::{HELLO, INDEX, JSON, Options, listen, static_bytes};

/// The `Date` of the current second.
type Clock = Rc<RefCell<HeaderValue>>;

fn main() -> io::Result<()> {
    let options = Options::start();
    // The flags that ringhttp sets up its rings with.
    let mut ring = io_uring::IoUring::builder();
    ring.setup_single_issuer().setup_defer_taskrun();
    let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .with_entries(4096)
        .uring_builder(ring)
        .enable_timer();
    runtime.build()?.block_on(serve(&options))
}

async fn serve(options: &Options) -> io::Result<()> {
    let listener = TcpListener::from_std(listen(options.port)?)?;
    let clock = Clock::new(RefCell::new(date()));
    monoio::spawn(tick(Rc::clone(&clock)));
    loop {
        let (socket, _) = listener.accept().await?;
        let clock = Rc::clone(&clock);
        // A client that breaks off is no event for a bench.
        monoio::spawn(async move { drop(session(socket, &clock).await) });
    }
}

async fn tick(clock: Clock) {
    loop {
        monoio::time::sleep(Duration::from_secs(1)).await;
        *clock.borrow_mut() = date();
    }
}

fn date() -> HeaderValue {
    httpdate::fmt_http_date(SystemTime::now()).try_into().expect("a date is visible ASCII")
}

async fn session(socket: TcpStream, clock: &Clock) -> Result<(), monoio_http::common::error::HttpError> {
    socket.set_nodelay(true)?;
    let mut codec = ServerCodec::new(socket);
    while let Some(request) = codec.next().await {
        let mut request: Request = request?;
        let is_last = request.headers().get(CONNECTION).is_some_and(|value| value == "close");
        // A body lies in the codec until it is asked to read on; monoio-http has no limit of its own for it.
        codec.fill_payload().await?;
        let body = match std::mem::replace(request.body_mut(), Payload::None) {
            Payload::None => Bytes::new(),
            body => body.bytes().await?,
        };
        let mut answer = answer(&request, body, clock);
        if is_last {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        codec.send_and_flush(answer).await?;
        if is_last {
            break;
        }
    }
    Sink::<Response>::close(&mut codec).await
}

fn answer(request: &Request, body: Bytes, clock: &Clock) -> Response {
    let path = request.uri().path();
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    let of = |text: &'static str| Bytes::from_static(text.as_bytes());
    match path {
        "/" if get => full(StatusCode::OK, "text/plain", of(INDEX), clock),
        "/plaintext" if get => full(StatusCode::OK, "text/plain", of(HELLO), clock),
        "/json" if get => full(StatusCode::OK, "application/json", of(JSON), clock),
        "/echo" if request.method() == Method::POST => {
            full(StatusCode::OK, "application/octet-stream", body, clock)
        }
        "/" | "/plaintext" | "/json" => not_allowed("GET, HEAD", clock),
        "/echo" => not_allowed("POST", clock),
        _ => match (path.strip_prefix("/users/"), path.strip_prefix("/bytes/").and_then(static_bytes)) {
            (Some(_), _) | (_, Some(_)) if !get => not_allowed("GET, HEAD", clock),
            (Some(id), _) => full(StatusCode::OK, "text/plain", Bytes::copy_from_slice(id.as_bytes()), clock),
            (_, Some(body)) => {
                full(StatusCode::OK, "application/octet-stream", Bytes::from_static(body), clock)
            }
            (None, None) => full(StatusCode::NOT_FOUND, "text/plain", Bytes::new(), clock),
        },
    }
}

fn not_allowed(allow: &'static str, clock: &Clock) -> Response {
    let mut answer = full(StatusCode::METHOD_NOT_ALLOWED, "text/plain", Bytes::new(), clock);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

fn full(status: StatusCode, content_type: &'static str, body: Bytes, clock: &Clock) -> Response {
    let body = match body.is_empty() {
        true => Payload::None,
        false => Payload::Fixed(FixedPayload::new(body)),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let fields: &mut HeaderMap = answer.headers_mut();
    fields.insert(SERVER, HeaderValue::from_static("monoio-http"));
    fields.insert(DATE, clock.borrow().clone());
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
