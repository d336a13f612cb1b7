//! What does the protocol cost, without a socket? Heads in and out, chunked bodies in and out.
//!
//! The read buffer is refilled by copying, as the kernel does it, and its memory is reclaimed as a connection's is; an
//! `input/*` row gives what that refill costs alone and is to be subtracted.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use ringhttp::proto::http1::{
    BodyEvent, BodyWriter, ClosingLines, Framing, Implied, ImpliedRequest, Limits, RequestReader,
    ResponseReader, State, encode_request_head, encode_response_head,
};

const SMALL: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n";

const BROWSER: &[u8] = b"GET /articles/2024/search?q=ring+buffer&page=2 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Referer: https://www.example.com/articles/2024\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\
    Server: example\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// How long does one request head take on a keep-alive connection, from bytes to a map of views?
fn head_parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("head_parse");
    for (name, request) in [("small", SMALL), ("browser", BROWSER)] {
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_function(format!("input/{name}"), |b| {
            let mut input = BytesMut::with_capacity(16 * 1024);
            // A view was given out once, so the memory is counted as on a real connection.
            drop(input.split());
            b.iter(|| {
                refill(&mut input, request);
                drop(black_box(input.split().freeze()));
            });
        });
        group.bench_function(format!("request/{name}"), |b| {
            let mut input = BytesMut::with_capacity(16 * 1024);
            drop(input.split());
            let mut reader = RequestReader::new(Limits::default());
            let mut spare = Some(HeaderMap::with_capacity(32));
            b.iter(|| {
                refill(&mut input, request);
                let head = reader.head(&mut input, &mut spare).expect("valid").expect("complete");
                reader.start_next().expect("no body");
                black_box(&head);
                let mut headers = head.headers;
                headers.clear();
                spare = Some(headers);
            });
        });
    }
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("response/small", |b| {
        let mut input = BytesMut::with_capacity(16 * 1024);
        drop(input.split());
        let mut reader = ResponseReader::new(Limits::default());
        let mut spare = Some(HeaderMap::with_capacity(32));
        b.iter(|| {
            refill(&mut input, RESPONSE);
            let head = reader.head(&mut input, &mut spare, &Method::GET).expect("valid").expect("complete");
            reader.start_next().expect("no body");
            black_box(&head);
            let mut headers = head.headers;
            headers.clear();
            spare = Some(headers);
        });
    });
    group.finish();
}

fn refill(input: &mut BytesMut, bytes: &[u8]) {
    input.reserve(bytes.len());
    input.extend_from_slice(bytes);
}

/// How long does a head take to write?
fn head_encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("head_encode");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let server = HeaderValue::from_static("ringhttp");
    let closing = ClosingLines::new(Some(server), *DATE);
    let implied = Implied { closing: Some(&closing), ..Implied::default() };
    let mut out = BytesMut::with_capacity(4096);
    group.bench_function("response/small", |b| {
        b.iter(|| {
            out.clear();
            encode_response_head(
                &mut out,
                Version::HTTP_11,
                StatusCode::OK,
                None,
                black_box(&headers),
                Framing::Length(black_box(13)),
                black_box(&implied),
            )
            .expect("valid");
            black_box(&out);
        });
    });
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("www.example.com"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("ringhttp"));
    group.bench_function("request/small", |b| {
        b.iter(|| {
            out.clear();
            encode_request_head(
                &mut out,
                &Method::GET,
                "/plaintext",
                black_box(&headers),
                Framing::Empty,
                &ImpliedRequest::default(),
            )
            .expect("valid");
            black_box(&out);
        });
    });
    group.finish();
}

/// How many bytes a second pass through the chunked coding?
fn chunked(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunked");
    for (name, chunk_bytes) in [("64B", 64), ("16KiB", 16 * 1024)] {
        let data = vec![b'x'; chunk_bytes];
        let mut wire =
            BytesMut::from(&b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"[..]);
        let mut writer = BodyWriter::new(Framing::Chunked);
        for _ in 0..64 {
            writer.encode(&mut wire, &data).expect("valid");
        }
        writer.end(&mut wire, None).expect("valid");
        group.throughput(Throughput::Bytes(64 * chunk_bytes as u64));
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter_batched_ref(
                || wire.clone(),
                |input| {
                    let mut reader = RequestReader::new(Limits::default());
                    black_box(reader.head(input, &mut None).expect("valid"));
                    while let BodyEvent::Data(data) = reader.body(input).expect("valid") {
                        black_box(data);
                    }
                    assert_eq!(reader.state(), State::Done);
                },
                BatchSize::LargeInput,
            );
        });
        group.bench_function(format!("frame/{name}"), |b| {
            b.iter(|| {
                let mut writer = BodyWriter::new(Framing::Chunked);
                for _ in 0..64 {
                    black_box(writer.data(black_box(chunk_bytes)).expect("valid"));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, head_parse, head_encode, chunked);
criterion_main!(benches);
