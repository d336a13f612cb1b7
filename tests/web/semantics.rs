//! Conditional requests, ranges, negotiation and content codings over real sockets, on both drivers.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use ringhttp::middleware::{
    CompressConfig, ConditionalConfig, DecompressConfig, RangesConfig, compress, conditional, decompress,
    ranges,
};
use ringhttp::proto::Etag;
use ringhttp::proto::conditional::Validators;
use ringhttp::proto::content_coding::{ContentCoding, DecodeLimits, Decoder, Encoder, Level};
use ringhttp::runtime::file::OpenFile;
use ringhttp::runtime::sync::Notify;
use ringhttp::testing::{RawConnection, TestClient, TestResponse, each_driver, serve_on};
use ringhttp::{Body, BodySender, Core, Request, Response, Result, Router, ServerConfig, header, time};

use crate::common::ask;
use crate::counting::Growth;

const DIGITS: &str = "0123456789";
const LICENSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/LICENSE-APACHE");
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

#[derive(Default)]
struct State {
    go_on: Rc<Notify>,
    /// How far a body is that was sent to `/held`.
    unpacking: Cell<&'static str>,
    /// Writers that were dropped.
    dropped: Rc<Cell<u32>>,
}

fn text(bytes: usize) -> String {
    let line = "all work and no play makes jack a dull boy; ";
    line.repeat(bytes / line.len() + 1)[..bytes].to_owned()
}

fn current() -> Validators {
    Validators { etag: Etag::strong("v1").ok(), ..Validators::default() }
}

async fn replace(_: &State, req: Request) -> Response {
    req.check_conditional(Some(&current())).unwrap_or_else(|| Response::text("replaced"))
}

async fn cached(_: &State, _: Request) -> Response {
    Response::text(DIGITS)
        .with_header(header::ETAG, HeaderValue::from_static("\"v1\""))
        .with_header(header::LAST_MODIFIED, HeaderValue::from_static(MODIFIED))
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("max-age=5"))
}

async fn negotiated(_: &State, req: Request) -> Response {
    let language = req.accepts_language(&["en", "de"]).unwrap_or("en");
    match req.accepts(&["text/html", "application/json"]) {
        Some(kind) => Response::text(format!("{kind} {language}")),
        None => Response::empty(http::StatusCode::NOT_ACCEPTABLE),
    }
}

/// Ten digits, one by one.
async fn write_digits(mut out: BodySender) -> Result<()> {
    for digit in DIGITS.bytes() {
        out.write(vec![digit]).await?;
    }
    Ok(())
}

async fn known(_: &State, _: Request) -> Response {
    Response::new(Body::stream_of(10, write_digits))
}

/// The same, written in a task of its own.
async fn known_elsewhere(_: &State, _: Request) -> Response {
    Response::new(Body::stream_of(10, async |out| {
        let core = Core::current().expect("on a core");
        core.spawn("digits", write_digits(out)).await?
    }))
}

/// Says when a writer is dropped.
struct Dropped(Rc<Cell<u32>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

const ENDLESS_BYTES: u64 = 1 << 62;

/// A stream that nobody could wait for the end of: of zeroes, and a letter in each mebibyte.
async fn endless(state: &State, _: Request) -> Response {
    let dropped = Dropped(Rc::clone(&state.dropped));
    Response::new(Body::stream_of(ENDLESS_BYTES, async move |mut out| {
        let _dropped = dropped;
        let mut piece = vec![0; 1 << 20];
        piece[0] = b'a';
        let piece = Bytes::from(piece);
        loop {
            out.write(piece.clone()).await?;
        }
    }))
}

fn cut_routes() -> Router<State> {
    Router::new()
        .get("/cached", cached)
        .get("/plain", async |_: &State, _| DIGITS)
        .get("/empty", async |_: &State, _| Response::text(""))
        .get("/stream", async |_: &State, _| Response::stream(async |mut out| out.write(DIGITS).await))
        .get("/known", known)
        .get("/elsewhere", known_elsewhere)
        .get("/short", async |_: &State, _| {
            Response::new(Body::stream_of(10, async |mut out| out.write("01234").await))
        })
        .get("/file", async |_: &State, _| -> Result<Response> {
            Ok(Response::new(OpenFile::open(LICENSE).await?))
        })
        .get("/endless", endless)
        .get("/dropped", async |state: &State, _| state.dropped.get().to_string())
        .get("/accept", negotiated)
        .put("/cached", replace)
        .put("/new", async |_: &State, req: Request| {
            req.check_conditional(None).unwrap_or_else(|| Response::text("made"))
        })
        .get("/own", async |_: &State, req: Request| {
            cached(&State::default(), req).await.with_body(text(5000))
        })
        .get("/counted", async |_: &State, _| {
            Response::text(DIGITS).with_header("content-length", HeaderValue::from_static("10"))
        })
        .get("/by-hand", async |_: &State, req: Request| Response::text(DIGITS).with_ranges(&req))
        .get("/edge", async |_: &State, _| {
            Response::text(DIGITS)
                .with_header("cdn-cache-control", HeaderValue::from_static("max-age=60"))
                .with_header("surrogate-control", HeaderValue::from_static("max-age=60"))
        })
        .get("/digests", async |_: &State, _| {
            Response::text(DIGITS)
                .with_header("content-digest", HeaderValue::from_static("sha-256=:AAAA:"))
                .with_header("repr-digest", HeaderValue::from_static("sha-256=:AAAA:"))
        })
        .with(ranges(RangesConfig::default()))
        .with(conditional(ConditionalConfig::default()))
}

fn packed_routes() -> Router<State> {
    let answer = |body: String| Response::text(body);
    Router::new()
        .get("/text/{bytes}", async move |_: &State, req: Request| -> Result<Response> {
            Ok(answer(text(req.param("bytes")?)).with_header(header::ETAG, HeaderValue::from_static("\"t\"")))
        })
        .get("/image", async |_: &State, _| {
            Response::text(text(5000))
                .with_header(header::CONTENT_TYPE, HeaderValue::from_static("image/png"))
        })
        .get("/no-transform", async |_: &State, _| {
            let value = HeaderValue::from_static("public, No-Transform");
            Response::text(text(5000)).with_header(header::CACHE_CONTROL, value)
        })
        .get("/packed", async |_: &State, _| {
            Response::text(text(5000)).with_header(header::CONTENT_ENCODING, HeaderValue::from_static("x"))
        })
        .get("/none", async |_: &State, _| ())
        .get("/stream", async |_: &State, _| {
            Response::stream(async |mut out| {
                for _ in 0..100 {
                    out.write(text(3000)).await?;
                }
                Ok(())
            })
            .with_header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))
        })
        .get("/events", events)
        .get("/events-elsewhere", events_elsewhere)
        .get("/go-on", async |state: &State, _| state.go_on.notify_one())
        .post("/echo", async |_: &State, req: Request| {
            Response::new(req.into_body())
                .with_header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))
        })
        .nest("/cut", cut_routes())
        .with(compress(CompressConfig::default()))
}

async fn write_events(go_on: Rc<Notify>, mut out: BodySender) -> Result<()> {
    for event in ["data: one\n\n", "data: two\n\n"] {
        out.write(event).await?;
        go_on.notified().await;
    }
    Ok(())
}

/// Events that wait for the client to ask for the next.
async fn events(state: &State, _: Request) -> Response {
    let go_on = Rc::clone(&state.go_on);
    Response::stream(async move |out| write_events(go_on, out).await)
        .with_header(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
}

/// The same, written in a task of its own.
async fn events_elsewhere(state: &State, _: Request) -> Response {
    let go_on = Rc::clone(&state.go_on);
    Response::stream(async move |out| {
        let core = Core::current().expect("on a core");
        core.spawn("events", write_events(go_on, out)).await?
    })
    .with_header(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
}

fn read_routes() -> Router<State> {
    Router::new()
        .post("/bytes", async |_: &State, mut req: Request| -> Result<Bytes> { req.bytes().await })
        .post("/fields", async |_: &State, mut req: Request| -> Result<String> {
            let length = req.bytes().await?.len();
            let has = |name| u8::from(req.headers().contains_key(name));
            Ok(format!("{length} {} {}", has("content-encoding"), has("content-length")))
        })
        .post("/ignore", async |_: &State, _| "ignored")
        .post("/echo", async |_: &State, req: Request| Response::new(req.into_body()))
        .with(decompress(DecompressConfig::default()))
}

/// Takes bodies however dense they are.
fn dense_routes() -> Router<State> {
    let mut config = DecompressConfig::default();
    config.limits.ratio_max = u64::MAX;
    Router::new()
        .post("/held", held)
        .get("/unpacking", async |state: &State, _| state.unpacking.get())
        .body_limit(1 << 30)
        .with(decompress(config))
}

/// Reads a body piece by piece; says how long it is, how long its largest piece is, and how much memory was held for it.
async fn held(state: &State, mut req: Request) -> Result<String> {
    let growth = Growth::begin();
    state.unpacking.set("begun");
    let (mut length, mut largest) = (0, 0);
    while let Some(piece) = req.chunk().await? {
        length += piece.len();
        largest = largest.max(piece.len());
    }
    state.unpacking.set("done");
    Ok(format!("{length} {largest} {}", growth.most_bytes()))
}

fn with_server(router: fn() -> Router<State>, body: impl AsyncFn(TestClient) + Send + Sync) {
    each_driver(async |core: Core| {
        serve_on(&core, ServerConfig::default(), router(), State::default(), &body).await;
    });
}

/// Compresses with our encoder.
fn pack(coding: ContentCoding, body: &[u8]) -> Vec<u8> {
    let (mut encoder, mut packed) = (Encoder::new(coding, Level::Balanced), Vec::new());
    encoder.write(body, &mut packed);
    encoder.finish(&mut packed);
    packed
}

/// Decompresses with somebody else's decoder.
fn unpack(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    let read = match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut whole),
        "deflate" => flate2::read::ZlibDecoder::new(body).read_to_end(&mut whole),
        #[cfg(feature = "brotli")]
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut whole),
        #[cfg(feature = "zstd")]
        "zstd" => zstd::stream::read::Decoder::new(body).expect("memory").read_to_end(&mut whole),
        _ => panic!("no coding {coding}"),
    };
    read.expect("the body is of its coding");
    whole
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| !matches!(*name, "date" | "server" | "connection"))
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn conditions_save_the_answer_or_the_work() {
    with_server(cut_routes, async |client| {
        let plain = ask(&client, "GET", "/plain", &[]).await;
        let tag = plain.header("etag").expect("made of the body").to_owned();
        assert_eq!(plain.text(), DIGITS);
        type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16);
        let cases: &[Case<'_>] = &[
            ("GET", "/plain", &[("if-none-match", &tag)], 304),
            ("HEAD", "/plain", &[("if-none-match", &tag)], 304),
            ("GET", "/plain", &[("if-none-match", "\"other\"")], 200),
            ("GET", "/plain", &[("if-none-match", "*")], 304),
            ("GET", "/plain", &[("if-match", "\"other\"")], 412),
            ("GET", "/cached", &[("if-none-match", "W/\"v1\"")], 304),
            ("GET", "/cached", &[("if-modified-since", MODIFIED)], 304),
            ("GET", "/cached", &[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], 200),
            ("GET", "/cached", &[("if-modified-since", "Sun, 06 Nov 99999 08:49:36 GMT")], 200),
            ("GET", "/cached", &[("if-modified-since", "\u{1}")], 400),
            ("GET", "/cached", &[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], 412),
            ("GET", "/stream", &[("if-none-match", "\"x\"")], 200),
            ("GET", "/nowhere", &[("if-none-match", "*")], 404),
            ("PUT", "/cached", &[("if-match", "\"v1\"")], 200),
            ("PUT", "/cached", &[("if-match", "\"v0\"")], 412),
            ("PUT", "/cached", &[("if-none-match", "*")], 412),
            ("PUT", "/new", &[("if-none-match", "*")], 200),
            ("PUT", "/new", &[("if-match", "*")], 412),
        ];
        for (method, path, fields, status) in cases {
            let answer = ask(&client, method, path, fields).await;
            assert_eq!(answer.status.as_u16(), *status, "{method} {path} {fields:?}");
        }
        let many: Vec<String> = (0..1000).map(|number| format!("\"{number}\"")).collect();
        let many = [("if-none-match", many.join(",") + ",\"v1\"")];
        let many = many.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(ask(&client, "GET", "/cached", &many).await.status, 304);

        let unchanged = ask(&client, "GET", "/cached", &[("if-none-match", "\"v1\"")]).await;
        assert_eq!(names(&unchanged.headers), ["cache-control", "etag"]);
        assert_eq!(unchanged.header("etag"), Some("\"v1\""));
        let failed = ask(&client, "PUT", "/cached", &[("if-match", "\"v0\"")]).await;
        assert_eq!(failed.text(), "Precondition Failed\n");
    });
}

#[test]
fn a_part_of_a_body_is_given_to_who_asks_for_it() {
    with_server(cut_routes, async |client| {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, Option<&'a str>, &'a str);
        let all = Some("bytes */10");
        let cases: &[Case<'_>] = &[
            ("/plain", &[("range", "bytes=2-4")], 206, Some("bytes 2-4/10"), "234"),
            ("/plain", &[("range", "bytes=-3")], 206, Some("bytes 7-9/10"), "789"),
            ("/plain", &[("range", "bytes=9-99999999999999999999999999")], 206, Some("bytes 9-9/10"), "9"),
            ("/plain", &[("range", "bytes=0-3,2-5,4-")], 206, Some("bytes 0-9/10"), DIGITS),
            ("/plain", &[("range", "bytes=10-")], 416, all, "Range Not Satisfiable\n"),
            ("/plain", &[("range", "bytes=18446744073709551616-")], 416, all, "Range Not Satisfiable\n"),
            ("/plain", &[("range", "bytes=-0")], 416, all, "Range Not Satisfiable\n"),
            ("/plain", &[("range", "bytes=4-2")], 200, None, DIGITS),
            ("/plain", &[("range", "items=1-2")], 200, None, DIGITS),
            ("/plain", &[("range", "bytes=0-0"), ("if-range", "\"other\"")], 200, None, DIGITS),
            ("/cached", &[("range", "bytes=0-0"), ("if-range", "\"v1\"")], 206, Some("bytes 0-0/10"), "0"),
            ("/cached", &[("range", "bytes=0-0"), ("if-range", "W/\"v1\"")], 200, None, DIGITS),
            ("/cached", &[("range", "bytes=0-0"), ("if-range", MODIFIED)], 206, Some("bytes 0-0/10"), "0"),
            ("/cached", &[("range", "bytes=0-0"), ("if-none-match", "\"v1\"")], 304, None, ""),
            ("/empty", &[("range", "bytes=0-")], 200, None, ""),
            ("/stream", &[("range", "bytes=0-0")], 200, None, DIGITS),
            ("/known", &[("range", "bytes=0-0")], 206, Some("bytes 0-0/10"), "0"),
            ("/known", &[("range", "bytes=3-5")], 206, Some("bytes 3-5/10"), "345"),
            ("/known", &[("range", "bytes=-2")], 206, Some("bytes 8-9/10"), "89"),
            ("/known", &[("range", "bytes=0-")], 206, Some("bytes 0-9/10"), DIGITS),
            ("/known", &[("range", "bytes=10-")], 416, all, "Range Not Satisfiable\n"),
            ("/known", &[("range", "bytes=0-0,5-5")], 200, None, DIGITS),
            ("/known", &[], 200, None, DIGITS),
            ("/elsewhere", &[("range", "bytes=3-5")], 206, Some("bytes 3-5/10"), "345"),
            ("/short", &[("range", "bytes=2-4")], 206, Some("bytes 2-4/10"), "234"),
            ("/counted", &[("range", "bytes=2-4")], 206, Some("bytes 2-4/10"), "234"),
            ("/counted", &[("range", "bytes=10-")], 416, all, "Range Not Satisfiable\n"),
            ("/counted", &[], 200, None, DIGITS),
            ("/by-hand", &[("range", "bytes=1-1")], 206, Some("bytes 1-1/10"), "1"),
        ];
        for (path, fields, status, content_range, body) in cases {
            let answer = ask(&client, "GET", path, fields).await;
            let found = (answer.status.as_u16(), answer.header("content-range"), answer.text());
            assert_eq!(found, (*status, *content_range, *body), "{path} {fields:?}");
        }
        let head = ask(&client, "HEAD", "/plain", &[("range", "bytes=2-4")]).await;
        let found = (head.status.as_u16(), head.header("content-length"), head.header("accept-ranges"));
        assert_eq!(found, (200, Some("10"), Some("bytes")), "a range is for GET only");

        let many: Vec<String> = (0..10_000).map(|_| "0-".to_owned()).collect();
        let mut hostile = client
            .raw(format!("GET /plain HTTP/1.1\r\nhost: a\r\nrange: bytes={}\r\n\r\n", many.join(",")))
            .await;
        let answer = hostile.response(&Method::GET).await;
        assert!(matches!(answer.status.as_u16(), 200 | 431), "{}", answer.status);
        let seventeen = ["0-0"; 17].join(",");
        let answer = ask(&client, "GET", "/plain", &[("range", &format!("bytes={seventeen}"))]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, DIGITS));
    });
}

#[test]
fn a_part_of_a_file_is_given_to_who_asks_for_it() {
    let file = std::fs::read(LICENSE).expect("it is part of the sources");
    let length = file.len();
    with_server(cut_routes, async |client| {
        let whole = ask(&client, "GET", "/file", &[]).await;
        assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &file[..]));
        assert_eq!(whole.header("accept-ranges"), Some("bytes"));
        let part = ask(&client, "GET", "/file", &[("range", "bytes=100-199")]).await;
        assert_eq!((part.status.as_u16(), &part.body[..]), (206, &file[100..200]));
        assert_eq!(part.header("content-range"), Some(&*format!("bytes 100-199/{length}")));
        let parts = ask(&client, "GET", "/file", &[("range", "bytes=0-9,-10")]).await;
        assert!(parts.header("content-type").expect("a type").starts_with("multipart/byteranges"));
        assert_eq!(parts.status, 206);
        for part in [&file[..10], &file[length - 10..]] {
            assert!(parts.body.windows(10).any(|window| window == part));
        }
    });
}

#[test]
fn a_stream_ends_where_its_range_does_and_what_is_before_holds_up_nobody() {
    with_server(cut_routes, async |client| {
        let mut connection = client.raw("").await;
        let head = "GET /endless HTTP/1.1\r\nhost: a\r\nrange: bytes=1048576-1048577\r\n\r\n";
        for count in 1..=3_u32 {
            connection.send(head).await;
            let part = connection.response(&Method::GET).await;
            assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"a\0"[..]), "the connection goes on");
            assert_eq!(ask(&client, "GET", "/dropped", &[]).await.text(), count.to_string());
        }
        let last = format!("GET /endless HTTP/1.1\r\nhost: a\r\nrange: bytes={}-\r\n\r\n", ENDLESS_BYTES - 1);
        let late = client.raw(last).await;
        // It writes and writes, and all that for one byte; others are served, and its end is noticed.
        for _ in 0..10 {
            assert_eq!(ask(&client, "GET", "/plain", &[]).await.text(), DIGITS);
        }
        drop(late);
        for _ in 0..5000 {
            if ask(&client, "GET", "/dropped", &[]).await.text() == "4" {
                return;
            }
        }
        panic!("the writer goes on for a client that is gone");
    });
}

#[test]
fn several_parts_of_a_body_are_given_as_multipart() {
    with_server(cut_routes, async |client| {
        let answer = ask(&client, "GET", "/plain", &[("range", "bytes=8-9, 0-1")]).await;
        let content_type = answer.header("content-type").expect("a type").to_owned();
        let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
        let part = |range: &str, body: &str| {
            format!(
                "\r\n--{boundary}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-range: bytes {range}/10\r\n\r\n{body}"
            )
        };
        let expected = format!("{}{}\r\n--{boundary}--\r\n", part("8-9", "89"), part("0-1", "01"));
        assert_eq!((answer.status.as_u16(), answer.text()), (206, &*expected));
        assert_eq!(answer.header("content-length"), Some(&*expected.len().to_string()));
        assert_eq!(answer.header("content-range"), None);
    });
}

/// Whoever asks for what there is not would have it kept for all.
#[test]
fn a_refusal_is_not_for_the_caches_that_the_whole_is_for() {
    with_server(cut_routes, async |client| {
        for (name, value, status) in [("range", "bytes=100-", 416), ("if-match", "\"other\"", 412)] {
            let refused = ask(&client, "GET", "/edge", &[(name, value)]).await;
            assert_eq!(refused.status.as_u16(), status);
            let for_caches =
                ["cache-control", "cdn-cache-control", "surrogate-control"].map(|name| refused.header(name));
            assert_eq!(for_caches, [Some("no-store"), None, None], "{name}");
        }
        let part = ask(&client, "GET", "/edge", &[("range", "bytes=1-2")]).await;
        assert_eq!((part.text(), part.header("cdn-cache-control")), ("12", Some("max-age=60")));
    });
}

#[test]
fn a_part_does_not_have_the_digest_of_the_whole_content() {
    with_server(cut_routes, async |client| {
        for (range, status, content_digest) in [
            ("lines=1", 200, Some("sha-256=:AAAA:")),
            ("bytes=1-2", 206, None),
            ("bytes=8-9, 0-1", 206, None),
        ] {
            let answer = ask(&client, "GET", "/digests", &[("range", range)]).await;
            let found = (answer.status.as_u16(), answer.header("content-digest"));
            assert_eq!(found, (status, content_digest), "{range}");
            assert_eq!(answer.header("repr-digest"), Some("sha-256=:AAAA:"), "{range}");
        }
    });
}

#[test]
fn the_client_is_given_what_it_wants_most() {
    with_server(cut_routes, async |client| {
        type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);
        let cases: &[Case<'_>] = &[
            (&[], 200, "text/html en"),
            (&[("accept", "application/json"), ("accept-language", "de-CH, fr")], 200, "application/json de"),
            (&[("accept", "text/*;q=0.5"), ("accept", "application/*")], 200, "application/json en"),
            (&[("accept", "text/html;q=0, */*")], 200, "application/json en"),
            (&[("accept", "image/png")], 406, ""),
            (&[("accept", "text/html;q=nonsense, */*;q=0.1")], 200, "text/html en"),
            (&[("accept", "\"\\"), ("accept", ";;,=,q=1;;")], 406, ""),
        ];
        for (fields, status, body) in cases {
            let answer = ask(&client, "GET", "/accept", fields).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (*status, *body), "{fields:?}");
        }
    });
}

#[test]
fn answers_are_compressed_for_who_accepts_it() {
    with_server(packed_routes, async |client| {
        for coding in ContentCoding::ALL.iter().map(|coding| coding.name()) {
            // In one piece, in one piece elsewhere, as a stream.
            for (path, expected) in [
                ("/text/3000", text(3000)),
                ("/text/300000", text(300_000)),
                ("/stream", text(3000).repeat(100)),
            ] {
                let answer = ask(&client, "GET", path, &[("accept-encoding", coding)]).await;
                assert_eq!(answer.header("content-encoding"), Some(coding), "{path}");
                assert_eq!(answer.header("vary"), Some("accept-encoding"), "{path}");
                assert!(answer.body.len() < expected.len() / 5, "{path} {coding}: {}", answer.body.len());
                assert!(unpack(coding, &answer.body) == expected.as_bytes(), "{path} {coding}");
            }
        }
        let get = ask(&client, "GET", "/text/3000", &[("accept-encoding", "gzip")]).await;
        assert_eq!(get.header("etag"), Some("W/\"t\""));
        let head = ask(&client, "HEAD", "/text/3000", &[("accept-encoding", "gzip")]).await;
        assert_eq!(
            (names(&head.headers), head.header("content-length")),
            (names(&get.headers), get.header("content-length"))
        );
    });
}

#[test]
fn answers_stay_as_they_are_where_compressing_is_wrong_or_in_vain() {
    with_server(packed_routes, async |client| {
        let vary = Some("accept-encoding");
        let cases: &[(&str, &str, Option<&str>)] = &[
            ("/text/3000", "", vary),
            ("/text/3000", "identity", vary),
            ("/text/3000", "gzip;q=0", vary),
            ("/text/3000", "compress, gzip;q=1.5", vary),
            ("/text/3000", "*;q=0", vary),
            ("/text/1023", "gzip", vary),
            ("/image", "gzip", None),
            ("/no-transform", "gzip", None),
            ("/none", "gzip", None),
        ];
        for (path, accept, vary) in cases {
            let answer = ask(&client, "GET", path, &[("accept-encoding", accept)]).await;
            let found = (answer.header("content-encoding"), answer.header("vary"));
            assert_eq!(found, (None, *vary), "{path} {accept}");
            assert!(answer.status.is_success());
        }
        let packed = ask(&client, "GET", "/packed", &[("accept-encoding", "gzip")]).await;
        assert_eq!((packed.header("content-encoding"), packed.body.len()), (Some("x"), 5000));
        let only = ask(&client, "GET", "/text/100", &[("accept-encoding", "gzip, identity;q=0")]).await;
        assert_eq!(
            unpack("gzip", &only.body),
            text(100).as_bytes(),
            "too short, but nothing else is accepted"
        );
    });
}

#[test]
fn compression_goes_with_conditions_and_ranges() {
    with_server(packed_routes, async |client| {
        let whole = ask(&client, "GET", "/cut/own", &[("accept-encoding", "gzip")]).await;
        assert_eq!(unpack("gzip", &whole.body), text(5000).as_bytes());
        assert_eq!((whole.header("etag"), whole.header("accept-ranges")), (Some("W/\"v1\""), None));
        let again =
            ask(&client, "GET", "/cut/own", &[("accept-encoding", "gzip"), ("if-none-match", "W/\"v1\"")])
                .await;
        let found = (again.status.as_u16(), again.header("etag"), again.header("vary"));
        assert_eq!(found, (304, Some("W/\"v1\""), Some("accept-encoding")));
        let part =
            ask(&client, "GET", "/cut/own", &[("accept-encoding", "gzip"), ("range", "bytes=0-1999")]).await;
        assert_eq!(
            (part.status.as_u16(), part.header("content-encoding"), part.body.len()),
            (206, None, 2000)
        );
        let several = ask(&client, "GET", "/cut/own", &[("range", "bytes=0-1, 8-9")]).await;
        assert_eq!(several.status, 206);
        // RFC 9110 §15.3.7: as the whole.
        for answer in [&whole, &part, &several] {
            assert_eq!(answer.header("vary"), Some("accept-encoding"), "{}", answer.status);
        }
    });
}

/// The chunks of a gzip body as they come.
struct Chunks {
    connection: RawConnection,
    unread: Vec<u8>,
    decoder: Decoder,
}

impl Chunks {
    /// Reads until it has `expected`, which must come before anything else happens.
    async fn read_until(&mut self, expected: &str) {
        let mut read = Vec::new();
        loop {
            while let Some(chunk) = self.take_chunk() {
                let mut input = Bytes::from(chunk);
                while let Some(piece) = self.decoder.decode(&mut input).expect("gzip") {
                    read.extend_from_slice(&piece);
                }
            }
            if read == expected.as_bytes() {
                return;
            }
            assert!(expected.as_bytes().starts_with(&read), "{}", read.escape_ascii());
            self.unread.extend(self.connection.receive().await);
        }
    }

    fn take_chunk(&mut self) -> Option<Vec<u8>> {
        let line_end = self.unread.windows(2).position(|window| window == b"\r\n")?;
        let size = str::from_utf8(&self.unread[..line_end]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("a chunk begins with its size");
        let (start, end) = (line_end + 2, line_end + 2 + size);
        (self.unread.len() >= end + 2).then(|| {
            let chunk = self.unread[start..end].to_vec();
            self.unread.drain(..end + 2);
            chunk
        })
    }
}

/// Long for a loaded machine, and less than any deadline of the server that might set a stuck event free.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn compressed_events_leave_when_they_happen() {
    with_server(packed_routes, async |client| {
        for path in ["/events", "/events-elsewhere"] {
            let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n");
            let mut connection = client.raw(head).await;
            let mut unread = Vec::new();
            let body_start = loop {
                unread.extend(connection.receive().await);
                if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
                    break at + 4;
                }
            };
            let head: Vec<u8> = unread.drain(..body_start).collect();
            assert!(String::from_utf8_lossy(&head).contains("content-encoding: gzip"));
            let decoder = Decoder::new(ContentCoding::Gzip, DecodeLimits::default());
            let mut chunks = Chunks { connection, unread, decoder };
            let event = chunks.read_until("data: one\n\n");
            time::timeout(SOON, event).await.expect("the event is not held back");
            assert_eq!(client.get("/go-on").await.status, 204);
            let event = chunks.read_until("data: two\n\n");
            time::timeout(SOON, event).await.expect("the event is not held back");
            assert_eq!(client.get("/go-on").await.status, 204);
        }
    });
}

#[test]
fn a_body_that_is_passed_through_is_compressed_on_its_way() {
    with_server(packed_routes, async |client| {
        let body = text(300_000);
        let request = client.request(Method::POST, "/echo").header("accept-encoding", "gzip");
        let answer = request.body(body.clone()).send().await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        assert!(unpack("gzip", &answer.body) == body.as_bytes());
    });
}

async fn post(client: &TestClient, path: &str, coding: &str, body: Vec<u8>) -> TestResponse {
    client.request(Method::POST, path).header("content-encoding", coding).body(body).send().await
}

#[test]
fn request_bodies_are_decompressed() {
    with_server(read_routes, async |client| {
        for &coding in ContentCoding::ALL {
            for path in ["/bytes", "/echo"] {
                let body = text(300_000);
                let answer = post(&client, path, coding.name(), pack(coding, body.as_bytes())).await;
                assert!(answer.status == 200 && answer.body == body, "{coding:?} {path}");
            }
        }
        for coding in ["identity", "Identity, identity", ""] {
            let answer = post(&client, "/bytes", coding, b"as it is".to_vec()).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, "as it is"), "{coding}");
        }
        let empty = post(&client, "/fields", "gzip", Vec::new()).await;
        assert_eq!((empty.status.as_u16(), empty.text()), (200, "0 0 0"));
    });
}

#[test]
fn the_fields_of_a_decompressed_request_are_not_kept_for_the_next() {
    with_server(read_routes, async |client| {
        let packed = pack(ContentCoding::Gzip, b"hello");
        let mut message = format!(
            "POST /fields HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            packed.len()
        )
        .into_bytes();
        message.extend_from_slice(&packed);
        // The same lines on one connection: the second request is read as the first was.
        let mut connection = client.raw(message.repeat(3)).await;
        for _ in 0..3 {
            assert_eq!(connection.response(&Method::POST).await.text(), "5 0 0");
        }
    });
}

#[test]
fn bodies_that_cannot_be_decompressed_are_refused() {
    with_server(read_routes, async |client| {
        let good = pack(ContentCoding::Gzip, text(5000).as_bytes());
        let mut damaged = good.clone();
        let at = damaged.len() - 6;
        damaged[at] ^= 1;
        let mut trailing = good.clone();
        trailing.extend_from_slice(b"garbage");
        let zeros = vec![0; 4 << 20];
        let cases: Vec<(&str, Vec<u8>, u16)> = vec![
            ("gzip", good[..good.len() - 1].to_vec(), 400),
            ("gzip", good[..1].to_vec(), 400),
            ("gzip", damaged, 400),
            ("gzip", trailing, 400),
            ("gzip", b"never compressed".to_vec(), 400),
            ("deflate", b"never compressed".to_vec(), 400),
            ("deflate", good.clone(), 400),
            ("gzip", pack(ContentCoding::Gzip, b"").repeat(1025), 400),
            // Denser than 100:1, and so longer than the limit of the route, 1 MiB.
            ("gzip", pack(ContentCoding::Gzip, &zeros), 413),
            ("gzip", pack(ContentCoding::Gzip, text((1 << 20) + 1).as_bytes()), 413),
            ("br, gzip", good.clone(), 415),
            ("gzip, gzip", good.clone(), 415),
            ("compress", good.clone(), 415),
            ("\u{e9}", good.clone(), 415),
        ];
        for (coding, body, status) in cases {
            let answer = post(&client, "/fields", coding, body).await;
            assert_eq!(answer.status.as_u16(), status, "{coding}: {}", answer.text());
            let accepts = answer.header("accept-encoding").is_some_and(|accepted| accepted.contains("gzip"));
            assert_eq!(accepts, status == 415, "{coding}");
        }
        let ignored = post(&client, "/ignore", "gzip", b"whatever".to_vec()).await;
        assert_eq!(ignored.text(), "ignored", "what nobody reads is nobody's error");
        let after = post(&client, "/bytes", "gzip", good).await;
        assert_eq!(after.text(), text(5000), "the core goes on");
    });
}

#[test]
fn a_bomb_never_stands_in_memory() {
    const MEBIBYTES: usize = 24;
    let bomb = pack(ContentCoding::Gzip, &vec![0; 8 << 20]).repeat(MEBIBYTES / 8);
    with_server(dense_routes, async |client| {
        let answer = post(&client, "/held", "gzip", bomb.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let numbers: Vec<usize> =
            answer.text().split(' ').map(|number| number.parse().expect("a number")).collect();
        let [length, largest, held] = numbers[..] else { panic!("{numbers:?}") };
        assert_eq!(length, MEBIBYTES << 20);
        assert!(largest <= 32 * 1024, "{largest}");
        assert!(held < 1 << 20, "{held} bytes held");
    });
}

#[test]
fn a_bomb_that_goes_off_does_not_have_the_core_to_itself() {
    // It fits into what is read ahead: nothing is waited for once it has come.
    let bomb = pack(ContentCoding::Gzip, &vec![0; 8 << 20]).repeat(6);
    assert!(bomb.len() < 64 * 1024);
    with_server(dense_routes, async |client| {
        let head = format!(
            "POST /held HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            bomb.len()
        );
        let mut connection = client.raw([head.as_bytes(), &bomb].concat()).await;
        let mut seen = String::new();
        while seen.is_empty() {
            seen = ask(&client, "GET", "/unpacking", &[]).await.text().to_owned();
        }
        assert_eq!(seen, "begun", "others are answered while it is unpacked");
        assert_eq!(connection.response(&Method::POST).await.status, 200);
    });
}
