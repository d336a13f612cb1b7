//! What must hold for all inputs: the bodies of the fuzz targets, also run with fixed seeds by `cargo test`.
//!
//! Every property takes `data`, from which it draws its choices: a fuzzer's input or bytes of a seeded generator.
#![forbid(unsafe_code)]

mod client;
mod websocket;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};

use super::transcript::{Seen, read_requests, read_responses};
use crate::proto::PeerError;
use crate::proto::http1::{
    BodyWriter, Framing, Implied, ImpliedRequest, Limits, encode_request_head, encode_response_head,
};
use crate::proto::multipart::{self, MultipartError};

#[cfg(feature = "digest-auth")]
pub use self::client::any_challenge;
pub use self::client::{any_netrc, any_socks_reply};
#[cfg(feature = "compression")]
pub use self::websocket::deflate_round_trip;
pub use self::websocket::{any_websocket_bytes, websocket_round_trip};

/// No bytes make the request reader panic, and how they were cut does not show.
pub fn any_request_bytes(data: &[u8]) {
    let whole = read_requests(&[data], Limits::default());
    let bytes: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(read_requests(&bytes, Limits::default()), whole, "b\"{}\"", data.escape_ascii());
    let pieces: Vec<&[u8]> = data.chunks(7).collect();
    assert_eq!(read_requests(&pieces, Limits::default()), whole, "b\"{}\"", data.escape_ascii());
}

/// No bytes make the response reader panic, and how they were cut does not show.
pub fn any_response_bytes(data: &[u8]) {
    let bytes: Vec<&[u8]> = data.chunks(1).collect();
    for method in [Method::GET, Method::HEAD, Method::CONNECT] {
        let whole = read_responses(&[data], Limits::default(), &method);
        assert_eq!(read_responses(&bytes, Limits::default(), &method), whole, "b\"{}\"", data.escape_ascii());
    }
}

/// A valid message with a few bytes changed, removed or doubled is read or refused, never a panic.
pub fn mutated_messages(data: &[u8]) {
    let mut source = Source(data);
    let mut message = source.pick(VALID_REQUESTS).to_vec();
    message.extend_from_slice(source.pick(VALID_REQUESTS));
    source.mutate(&mut message);
    any_request_bytes(&message);
    let mut message = source.pick(VALID_RESPONSES).to_vec();
    source.mutate(&mut message);
    any_response_bytes(&message);
}

/// `parse(encode(x)) = x` for requests with any framing.
pub fn request_round_trip(data: &[u8]) {
    let mut source = Source(data);
    let method = source.method();
    let target = if method == Method::CONNECT { "a.example:443".to_owned() } else { source.target() };
    let mut headers = source.headers(&header::HOST);
    headers.insert(header::HOST, HeaderValue::from_static("a.example:8080"));
    let (framing, pieces, trailers) = source.body(&[Framing::Empty, Framing::Length(0), Framing::Chunked]);

    let mut out = BytesMut::new();
    let implied = ImpliedRequest::default();
    encode_request_head(&mut out, &method, &target, &headers, framing, &implied)
        .expect("generated to be valid");
    write_body(&mut out, framing, &pieces, trailers.as_ref());
    let seen = read_requests(&source.cut(&out), Limits::default());

    let Some(Seen::Request(head)) = seen.first() else { panic!("{seen:?} for b\"{}\"", out.escape_ascii()) };
    assert_eq!((&head.method, head.target.as_str(), head.framing), (&method, &target[..], framing));
    assert_fields(&head.headers, &headers, framing);
    assert_rest(&seen[1..], &pieces, trailers, Some(&Seen::Closed));
}

/// `parse(encode(x)) = x` for responses with any framing.
pub fn response_round_trip(data: &[u8]) {
    let mut source = Source(data);
    let status = StatusCode::from_u16(200 + u16::from(source.byte()) % 100).expect("below 300");
    let bodiless = status == StatusCode::NO_CONTENT;
    let headers = source.headers(&header::HOST);
    let framings: &[Framing] = if bodiless {
        &[Framing::Empty]
    } else {
        &[Framing::Length(0), Framing::Chunked, Framing::UntilClose]
    };
    let (framing, pieces, trailers) = source.body(framings);

    let mut out = BytesMut::new();
    let implied = Implied::default();
    encode_response_head(&mut out, Version::HTTP_11, status, None, &headers, framing, &implied)
        .expect("generated to be valid");
    write_body(&mut out, framing, &pieces, trailers.as_ref());
    let seen = read_responses(&source.cut(&out), Limits::default(), &Method::GET);

    let Some(Seen::Response(head)) = seen.first() else { panic!("{seen:?} for b\"{}\"", out.escape_ascii()) };
    assert_eq!((head.status, head.framing), (status, framing));
    assert_eq!(head.reason, status.canonical_reason().unwrap_or_default());
    assert_fields(&head.headers, &headers, framing);
    assert_rest(&seen[1..], &pieces, trailers, Some(&Seen::Closed));
}

/// The chunked decoder and a naive one, which has all bytes at once, agree on every input.
pub fn chunked_agrees_with_a_naive_decoder(data: &[u8]) {
    compare_with_naive(data);
    let mut source = Source(data);
    let mut chunks = source.pick(VALID_CHUNKS).to_vec();
    source.mutate(&mut chunks);
    compare_with_naive(&chunks);
}

/// What is written as a multipart body is read back, however it is cut.
pub fn multipart_round_trip(data: &[u8]) {
    let mut source = Source(data);
    let mut writer = multipart::Writer::with_boundary("x-y");
    let mut out = BytesMut::new();
    let mut expected = Vec::new();
    for _ in 0..source.below(5) {
        let name = source.text(b"ab \"\\;=%'", 20);
        let file_name = source.byte().is_multiple_of(2).then(|| source.text(b"ab./\\\"; ", 20));
        match &file_name {
            Some(file_name) => writer.file(&mut out, &name, file_name, "a/b"),
            None => writer.field(&mut out, &name, ""),
        }
        let content = source.text(b"\r\n-xy ", 60).replace("--x-y", "");
        out.extend_from_slice(content.as_bytes());
        expected.push((name, file_name, content.into_bytes()));
    }
    writer.end(&mut out);
    let shown = out.escape_ascii().to_string();
    assert_eq!(read_multipart(&source.cut(&out)), Ok(expected), "b\"{shown}\"");
}

/// No bytes make the multipart reader panic, and how they were cut does not show.
pub fn any_multipart_bytes(data: &[u8]) {
    let mut source = Source(data);
    let mut body = VALID_MULTIPART.to_vec();
    source.mutate(&mut body);
    for body in [data, &body] {
        let whole = read_multipart(&[body]);
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(read_multipart(&bytes), whole, "b\"{}\"", body.escape_ascii());
        assert_eq!(read_multipart(&source.cut(body)), whole, "b\"{}\"", body.escape_ascii());
    }
}

type Parts = Vec<(String, Option<String>, Vec<u8>)>;

fn read_multipart(pieces: &[&[u8]]) -> Result<Parts, MultipartError> {
    let mut reader = multipart::Reader::new("x-y", multipart::Limits::default());
    let mut parts = Parts::new();
    let mut pieces = pieces.iter();
    let mut input = Bytes::new();
    loop {
        match reader.next(&mut input)? {
            multipart::Event::Part(head) => {
                let name = head.name().unwrap_or_default().to_owned();
                parts.push((name, head.file_name().map(str::to_owned), Vec::new()));
            }
            multipart::Event::Data(data) => parts.last_mut().expect("in a part").2.extend_from_slice(&data),
            multipart::Event::PartEnd => {}
            multipart::Event::End => return Ok(parts),
            multipart::Event::NeedMore => match pieces.next() {
                Some(piece) => input = Bytes::copy_from_slice(piece),
                None => reader.end(),
            },
        }
    }
}

const VALID_MULTIPART: &[u8] = b"preamble\r\n--x-y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\
    one\r\n--x-y \r\nContent-Disposition: form-data; name=b; filename=\"c\"\r\nContent-Type: a/b\r\n\r\n\r\n--\r\n--x-y--\r\n";

fn compare_with_naive(chunks: &[u8]) {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let message = [head, chunks].concat();
    let pieces: Vec<&[u8]> = message.chunks(5).collect();
    let mut seen = read_requests(&pieces, Limits::default()).into_iter().skip(1).peekable();
    let body = match seen.next_if(|seen| matches!(seen, Seen::Data(_))) {
        Some(Seen::Data(body)) => body,
        _ => Vec::new(),
    };
    let outcome = match seen.next() {
        Some(Seen::End(_)) => Ok(body),
        Some(Seen::Refused(PeerError::BodyCutOff)) => Err(Naive::Incomplete),
        Some(Seen::Refused(_)) => Err(Naive::Refused),
        other => panic!("{other:?} in a body"),
    };
    assert_eq!(outcome, naive_decode(chunks), "b\"{}\"", chunks.escape_ascii());
}

#[derive(Debug, PartialEq, Eq)]
enum Naive {
    Incomplete,
    Refused,
}

/// RFC 9112 §7.1 read from top to bottom.
fn naive_decode(mut rest: &[u8]) -> Result<Vec<u8>, Naive> {
    let mut body = Vec::new();
    let mut extension_bytes = 0;
    loop {
        let line = naive_line(&mut rest, 1024)?;
        let size = line.split(|&byte| byte == b';').next().unwrap_or_default();
        let extension = &line[size.len()..];
        if size.is_empty() || size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(Naive::Refused);
        }
        extension_bytes += extension.len();
        if extension.iter().any(|&byte| byte != b'\t' && byte.is_ascii_control())
            || extension_bytes > body.len() + 8 * 1024
        {
            return Err(Naive::Refused);
        }
        let size = u64::from_str_radix(&String::from_utf8_lossy(size), 16).map_err(|_| Naive::Refused)?;
        if size == 0 {
            break;
        }
        let Some(data) = usize::try_from(size).ok().and_then(|size| rest.get(..size)) else {
            return Err(Naive::Incomplete);
        };
        body.extend_from_slice(data);
        rest = &rest[data.len()..];
        match rest {
            [b'\r', b'\n', after @ ..] => rest = after,
            [] | [b'\r'] => return Err(Naive::Incomplete),
            _ => return Err(Naive::Refused),
        }
    }
    naive_trailers(rest).map(|()| body)
}

fn naive_trailers(mut rest: &[u8]) -> Result<(), Naive> {
    const FORBIDDEN: &str = " authorization cache-control connection content-encoding content-length content-range \
        content-type cookie expect host if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive \
        max-forwards proxy-authenticate proxy-authorization proxy-connection range set-cookie te trailer \
        transfer-encoding upgrade www-authenticate ";
    let (mut result, mut count, mut bytes_max) = (Ok(()), 0, 8 * 1024);
    loop {
        let before = rest.len();
        // A trailer section is judged when it is complete, so its end is looked for first.
        let line = naive_line(&mut rest, bytes_max)?;
        bytes_max -= before - rest.len();
        if line.is_empty() {
            return result;
        }
        count += 1;
        let text: String = line.iter().map(|&byte| char::from(byte)).collect();
        let (name, value) = text.split_once(':').unwrap_or_default();
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let is_value = |c: char| c == '\t' || (c >= ' ' && c != '\u{7f}');
        if name.is_empty()
            || count > 32
            || !name.chars().all(is_token)
            || !value.chars().all(is_value)
            || FORBIDDEN.contains(&format!(" {} ", name.to_ascii_lowercase()))
        {
            result = Err(Naive::Refused);
        }
    }
}

/// One line of at most `max` bytes, without its end.
fn naive_line<'a>(rest: &mut &'a [u8], max: usize) -> Result<&'a [u8], Naive> {
    match rest.iter().position(|&byte| byte == b'\n') {
        Some(at) if at < max => {
            let line = rest[..at].strip_suffix(b"\r").ok_or(Naive::Refused)?;
            *rest = &rest[at + 1..];
            Ok(line)
        }
        None if rest.len() < max => Err(Naive::Incomplete),
        _ => Err(Naive::Refused),
    }
}

fn write_body(out: &mut BytesMut, framing: Framing, pieces: &[Vec<u8>], trailers: Option<&HeaderMap>) {
    let mut writer = BodyWriter::new(framing);
    for piece in pieces {
        writer.encode(out, piece).expect("generated to fit");
    }
    writer.end(out, trailers).expect("generated to fit");
}

/// `got` are the fields of `sent`, in the order of each name, and the framing's.
fn assert_fields(got: &HeaderMap, sent: &HeaderMap, framing: Framing) {
    let mut expected = sent.clone();
    match framing {
        Framing::Length(length) => expected.insert(header::CONTENT_LENGTH, length.into()),
        Framing::Chunked => expected.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        Framing::Empty | Framing::UntilClose => None,
    };
    assert_eq!(*got, expected);
}

fn assert_rest(seen: &[Seen], pieces: &[Vec<u8>], trailers: Option<HeaderMap>, last: Option<&Seen>) {
    let mut expected = Vec::new();
    let body = pieces.concat();
    if !body.is_empty() {
        expected.push(Seen::Data(body));
    }
    expected.push(Seen::End(trailers));
    expected.extend(last.cloned());
    assert_eq!(seen, expected);
}

/// Choices drawn from bytes. When they run out, every further choice is 0.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % end
    }

    fn pick<T: ?Sized>(&mut self, choices: &[&'static T]) -> &'static T {
        choices[self.below(choices.len())]
    }

    fn text(&mut self, alphabet: &[u8], bytes_max: usize) -> String {
        (0..self.below(bytes_max + 1)).map(|_| char::from(alphabet[self.below(alphabet.len())])).collect()
    }

    fn method(&mut self) -> Method {
        let own = format!("X{}", self.text(b"ABC-_~!", 20));
        let name = self.pick(&["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "own"]);
        if name == "own" { own.parse().expect("a token") } else { name.parse().expect("a token") }
    }

    fn target(&mut self) -> String {
        let mut target = format!("/{}", self.text(b"abcXYZ019/-._~!$&'()*+,;=:@%[]|", 40));
        if self.byte().is_multiple_of(2) {
            target.push('?');
            target.push_str(&self.text(b"abcXYZ019/?-._~!$&'()*+,;=:@%{}\\`", 40));
        }
        target
    }

    /// Up to seven fields, some of them repeated; none steers the message, none is named `without`.
    fn headers(&mut self, without: &HeaderName) -> HeaderMap {
        const NAMES: &[&str] =
            &["accept", "cookie", "x-a", "x-b", "via", "a-rather-long-name-that-no-table-has"];
        let mut headers = HeaderMap::new();
        for _ in 0..self.below(8) {
            let name: HeaderName = self.pick(NAMES).parse().expect("a token");
            let mut value = self.text(b"abc ,;=\"\t/:!~", 30).trim_matches([' ', '\t']).as_bytes().to_vec();
            if self.byte().is_multiple_of(8) {
                value.push(0xe9);
            }
            assert_ne!(name, *without);
            headers.append(name, HeaderValue::from_bytes(&value).expect("valid bytes"));
        }
        headers
    }

    /// One of `framings` with a body that fits it; `Length` stands for any length.
    fn body(&mut self, framings: &[Framing]) -> (Framing, Vec<Vec<u8>>, Option<HeaderMap>) {
        let framing = framings[self.below(framings.len())];
        let count = if framing == Framing::Empty { 0 } else { self.below(5) };
        let pieces: Vec<Vec<u8>> =
            (0..count).map(|_| (0..self.below(40)).map(|_| self.byte()).collect()).collect();
        match framing {
            Framing::Length(_) => (Framing::Length(pieces.concat().len() as u64), pieces, None),
            Framing::Chunked => {
                let mut trailers = self.headers(&header::HOST);
                trailers.remove(header::COOKIE);
                (framing, pieces, Some(trailers).filter(|trailers| !trailers.is_empty()))
            }
            Framing::Empty | Framing::UntilClose => (framing, pieces, None),
        }
    }

    /// `bytes` in up to eight pieces.
    fn cut<'b>(&mut self, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut pieces = Vec::new();
        for _ in 0..self.below(8) {
            let (piece, rest) = bytes.split_at(self.below(bytes.len() + 1));
            pieces.push(piece);
            bytes = rest;
        }
        pieces.push(bytes);
        pieces
    }

    /// Up to four changes, of the kinds that break parsers.
    fn mutate(&mut self, message: &mut Vec<u8>) {
        for _ in 0..self.below(5) {
            let at = self.below(message.len().max(1));
            match self.below(5) {
                0 => message.insert(at, self.byte()),
                1 => message.insert(at, b"\r\n \t\0:;,"[self.below(8)]),
                2 if at < message.len() => drop(message.remove(at)),
                3 if at < message.len() => message[at] ^= 1 << (self.byte() % 8),
                _ => {
                    let doubled = message[at..message.len().min(at + 12)].to_vec();
                    message.splice(at..at, doubled);
                }
            }
        }
    }
}

const VALID_REQUESTS: &[&[u8]] = &[
    b"GET /a?b=c HTTP/1.1\r\nHost: localhost:8080\r\nAccept: */*\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    b"GET http://a.example/b HTTP/1.1\r\nHost: c\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
];

const VALID_RESPONSES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x00\x01",
];

const VALID_CHUNKS: &[&[u8]] = &[
    b"5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\n\r\n",
    b"0000001\r\na\r\nA\r\n0123456789\r\n0;x\r\nSum: 1\r\nOther:\t2 \r\n\r\n",
    b"1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a property on 500 inputs of up to 600 bytes; the same ones in each run.
    fn run(property: fn(&[u8])) {
        for seed in 1..=500_u64 {
            let mut state = seed;
            let data: Vec<u8> = (0..20 + seed * 7 % 580).map(|_| split_mix(&mut state)).collect();
            property(&data);
        }
    }

    /// SplitMix64, one byte of each step.
    fn split_mix(state: &mut u64) -> u8 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 56) as u8
    }

    #[test]
    fn random_bytes() {
        run(any_request_bytes);
        run(any_response_bytes);
    }

    #[test]
    fn changed_messages() {
        run(mutated_messages);
    }

    #[test]
    fn requests_round_trip() {
        run(request_round_trip);
    }

    #[test]
    fn responses_round_trip() {
        run(response_round_trip);
    }

    #[test]
    fn chunked_bodies() {
        run(chunked_agrees_with_a_naive_decoder);
    }

    #[test]
    fn multipart_bodies() {
        run(multipart_round_trip);
        run(any_multipart_bytes);
    }

    #[test]
    fn websocket_streams() {
        run(any_websocket_bytes);
        run(websocket_round_trip);
        #[cfg(feature = "compression")]
        run(deflate_round_trip);
    }

    #[test]
    fn what_the_client_is_told() {
        run(any_socks_reply);
        run(any_netrc);
        #[cfg(feature = "digest-auth")]
        run(any_challenge);
    }

    #[test]
    fn valid_messages_are_valid() {
        assert_eq!(read_multipart(&[VALID_MULTIPART]).map(|parts| parts.len()), Ok(2));
        let refused = |seen: Vec<Seen>| seen.iter().any(|seen| matches!(seen, Seen::Refused(_)));
        assert!(VALID_REQUESTS.iter().all(|input| !refused(read_requests(&[input], Limits::default()))));
        assert!(VALID_RESPONSES.iter().all(|input| !refused(read_responses(
            &[input],
            Limits::default(),
            &Method::GET
        ))));
        assert!(VALID_CHUNKS.iter().all(|input| naive_decode(input).is_ok()));
    }
}
