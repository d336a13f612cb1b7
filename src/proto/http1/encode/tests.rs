//! Heads and bodies as they are written, byte for byte.

use http::Method;

use super::*;

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
        .fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, value);
            map
        })
}

/// A 1.1 response head as text.
fn response(
    status: u16,
    fields: &[(&str, &str)],
    framing: Framing,
    implied: &Implied<'_>,
) -> Result<String, Misuse> {
    let mut out = BytesMut::from("before|");
    let status = StatusCode::from_u16(status).unwrap();
    let result =
        encode_response_head(&mut out, Version::HTTP_11, status, None, &map(fields), framing, implied);
    let text = String::from_utf8(out.to_vec()).unwrap();
    let text = text.strip_prefix("before|").unwrap().to_owned();
    assert!(result.is_ok() || text.is_empty(), "a refused head leaves nothing: {text:?}");
    result.map(|()| text)
}

fn request(target: &str, fields: &[(&str, &str)], framing: Framing) -> Result<String, Misuse> {
    request_with(target, fields, framing, &ImpliedRequest::default())
}

fn request_with(
    target: &str,
    fields: &[(&str, &str)],
    framing: Framing,
    implied: &ImpliedRequest<'_>,
) -> Result<String, Misuse> {
    let mut out = BytesMut::new();
    let result = encode_request_head(&mut out, &Method::PUT, target, &map(fields), framing, implied);
    assert!(result.is_ok() || out.is_empty());
    result.map(|()| String::from_utf8(out.to_vec()).unwrap())
}

#[test]
fn rfc9112_4_response_heads() {
    let server = HeaderValue::from_static("us");
    let closing = ClosingLines::new(Some(server), *DATE);
    let connection = ConnectionField::KeepAlive;
    let implied = Implied { closing: Some(&closing), connection, content_type: None };
    assert_eq!(
        response(200, &[("a", "b"), ("a", "c")], Framing::Length(0), &implied).unwrap(),
        "HTTP/1.1 200 OK\r\na: b\r\na: c\r\ncontent-length: 0\r\nconnection: keep-alive\r\nserver: us\r\n\
         date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
    );
    let own = [("date", "now"), ("server", "me")];
    assert_eq!(
        response(404, &own, Framing::Chunked, &implied).unwrap(),
        "HTTP/1.1 404 Not Found\r\ndate: now\r\nserver: me\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n"
    );
    let none = Implied::default();
    assert_eq!(response(204, &[], Framing::Empty, &none).unwrap(), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(response(599, &[], Framing::UntilClose, &none).unwrap(), "HTTP/1.1 599 \r\n\r\n");
    let close = Implied { connection: ConnectionField::Close, ..none };
    assert_eq!(
        response(200, &[], Framing::UntilClose, &close).unwrap(),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    );
    let text = ContentTypeLine::new("content-type: text/plain\r\n");
    let implied = Implied { content_type: Some(&text), ..none };
    assert_eq!(
        response(200, &[("a", "b")], Framing::Length(1), &implied).unwrap(),
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\na: b\r\ncontent-length: 1\r\n\r\n"
    );
}

#[test]
fn the_closing_lines_follow_the_clock_and_leave_out_what_the_handler_says() {
    let mut closing = ClosingLines::new(Some(HeaderValue::from_static("us")), *DATE);
    closing.set_date(*b"Mon, 07 Nov 1994 08:49:37 GMT");
    let implied = Implied { closing: Some(&closing), ..Implied::default() };
    const CASES: &[(&[(&str, &str)], &str)] = &[
        (&[], "server: us\r\ndate: Mon, 07 Nov 1994 08:49:37 GMT\r\n"),
        (&[("date", "now")], "date: now\r\nserver: us\r\n"),
        (&[("server", "me")], "server: me\r\ndate: Mon, 07 Nov 1994 08:49:37 GMT\r\n"),
        (&[("server", "me"), ("date", "now")], "server: me\r\ndate: now\r\n"),
    ];
    for (fields, lines) in CASES {
        let head = response(200, fields, Framing::Empty, &implied).unwrap();
        assert_eq!(head, format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
    }
    let nobody = ClosingLines::new(None, *DATE);
    let implied = Implied { closing: Some(&nobody), ..Implied::default() };
    let head = response(200, &[], Framing::Empty, &implied).unwrap();
    assert_eq!(head, "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

#[test]
fn rfc9110_8_6_framing_fields_cannot_contradict_the_framing() {
    let none = Implied::default();
    let encode = |status, name, value, framing| response(status, &[(name, value)], framing, &none);
    let conflict = Err(Misuse::FramingConflict);
    assert_eq!(encode(200, "content-length", "6", Framing::Length(5)), conflict);
    assert_eq!(encode(200, "content-length", "05", Framing::Length(5)), conflict);
    assert_eq!(encode(200, "content-length", "5", Framing::Chunked), conflict);
    assert_eq!(encode(200, "content-length", "5", Framing::UntilClose), conflict);
    assert_eq!(encode(204, "content-length", "0", Framing::Empty), conflict);
    assert_eq!(encode(200, "transfer-encoding", "chunked", Framing::Chunked), conflict);
    assert_eq!(response(204, &[], Framing::Length(0), &none), conflict);
    assert_eq!(response(304, &[], Framing::Chunked, &none), conflict);
    assert_eq!(response(101, &[], Framing::UntilClose, &none), conflict);
    let text = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(encode(200, "content-length", "5", Framing::Length(5)).unwrap(), text);
    // An answer to HEAD.
    assert_eq!(encode(200, "content-length", "5", Framing::Empty).unwrap(), text);
    assert!(encode(304, "content-length", "5", Framing::Empty).is_ok());
}

#[test]
fn rfc9112_6_1_no_chunked_response_in_http_1_0() {
    let mut out = BytesMut::new();
    let mut encode = |framing| {
        out.clear();
        let headers = HeaderMap::new();
        let implied = Implied::default();
        encode_response_head(
            &mut out,
            Version::HTTP_10,
            StatusCode::OK,
            Some("Fine"),
            &headers,
            framing,
            &implied,
        )
        .map(|()| String::from_utf8(out.to_vec()).unwrap())
    };
    assert_eq!(encode(Framing::Chunked), Err(Misuse::FramingConflict));
    assert_eq!(encode(Framing::UntilClose).unwrap(), "HTTP/1.0 200 Fine\r\n\r\n");
}

#[test]
fn reasons_with_control_bytes_are_refused() {
    for reason in ["a\r\nb: c", "a\nb", "\0", "\u{7f}"] {
        let mut out = BytesMut::new();
        let headers = HeaderMap::new();
        let result = encode_response_head(
            &mut out,
            Version::HTTP_11,
            StatusCode::OK,
            Some(reason),
            &headers,
            Framing::Empty,
            &Implied::default(),
        );
        assert_eq!((result, out.len()), (Err(Misuse::ReasonInvalid), 0), "{reason:?}");
    }
}

#[test]
fn rfc9112_3_request_heads() {
    assert_eq!(
        request("/a?b", &[("x", "y"), ("host", "h:1")], Framing::Length(12)).unwrap(),
        "PUT /a?b HTTP/1.1\r\nhost: h:1\r\nx: y\r\ncontent-length: 12\r\n\r\n"
    );
    assert_eq!(
        request("*", &[("host", "")], Framing::Chunked).unwrap(),
        "PUT * HTTP/1.1\r\nhost: \r\ntransfer-encoding: chunked\r\n\r\n"
    );
    assert_eq!(request("/", &[], Framing::Empty), Err(Misuse::HostMissing));
    assert_eq!(request("/", &[("host", "a"), ("host", "a")], Framing::Empty), Err(Misuse::HostMissing));
    assert_eq!(request("/", &[("host", "a")], Framing::UntilClose), Err(Misuse::FramingConflict));
    assert_eq!(
        request("/", &[("host", "a"), ("content-length", "1")], Framing::Empty),
        Err(Misuse::FramingConflict)
    );
    for target in ["", "/a b", "/a\r\nb", "/#a", "/\u{e9}", "/\t"] {
        assert_eq!(
            request(target, &[("host", "a")], Framing::Empty),
            Err(Misuse::TargetInvalid),
            "{target:?}"
        );
    }
}

#[test]
fn implied_fields_of_a_request_give_way_to_its_own() {
    const BOTH: &str = "accept: */*\r\nuser-agent: us\r\n";
    let defaults = DefaultFields::new(map(&[("accept", "*/*"), ("user-agent", "us")])).unwrap();
    let with = |fields: &[(&str, &str)], without: &[HeaderName]| {
        let implied = ImpliedRequest { host: Some("h"), defaults: Some(&defaults), without };
        let head = request_with("/", fields, Framing::Empty, &implied).unwrap();
        head.strip_prefix("PUT / HTTP/1.1\r\nhost: ").unwrap().strip_suffix("\r\n").unwrap().to_owned()
    };
    assert_eq!(with(&[], &[]), format!("h\r\n{BOTH}"));
    assert_eq!(with(&[("host", "g"), ("x", "y")], &[]), format!("g\r\n{BOTH}x: y\r\n"));
    assert_eq!(with(&[("accept", "a/b")], &[]), "h\r\nuser-agent: us\r\naccept: a/b\r\n");
    assert_eq!(with(&[], &[header::USER_AGENT, header::FROM]), "h\r\naccept: */*\r\n");
    let all = [header::USER_AGENT, header::ACCEPT];
    assert_eq!(with(&[("accept", "a"), ("accept", "b")], &all), "h\r\naccept: a\r\naccept: b\r\n");
    let broken = ImpliedRequest { host: Some("h\r\nx: y"), ..ImpliedRequest::default() };
    assert_eq!(request_with("/", &[], Framing::Empty, &broken), Err(Misuse::HostInvalid));
    for name in ["host", "content-length", "transfer-encoding"] {
        assert_eq!(DefaultFields::new(map(&[(name, "1")])).err(), Some(Misuse::FramingConflict), "{name}");
    }
}

#[test]
fn rfc9112_7_1_chunks() {
    let mut out = BytesMut::new();
    let mut writer = BodyWriter::new(Framing::Chunked);
    writer.encode(&mut out, b"0123456789abcdef").unwrap();
    writer.encode(&mut out, b"").unwrap();
    writer.encode(&mut out, b"x").unwrap();
    assert!(!writer.is_ended() && writer.owed().is_none());
    writer.end(&mut out, None).unwrap();
    assert_eq!(&out[..], b"10\r\n0123456789abcdef\r\n1\r\nx\r\n0\r\n\r\n");
    assert!(writer.is_ended());
    assert_eq!(writer.encode(&mut out, b"y"), Err(Misuse::BodyUnexpected));
    let (head, tail) = BodyWriter::new(Framing::Chunked).data(usize::MAX).unwrap();
    assert_eq!((&head[..], tail), (&b"ffffffffffffffff\r\n"[..], CHUNK_END));
}

#[test]
fn rfc9112_7_1_2_trailers() {
    let mut out = BytesMut::new();
    BodyWriter::new(Framing::Chunked).end(&mut out, Some(&map(&[("x", "1"), ("y", "2")]))).unwrap();
    assert_eq!(&out[..], b"0\r\nx: 1\r\ny: 2\r\n\r\n");
    out.clear();
    BodyWriter::new(Framing::Chunked).end(&mut out, Some(&HeaderMap::new())).unwrap();
    assert_eq!(&out[..], b"0\r\n\r\n");
    out.clear();
    let mut writer = BodyWriter::new(Framing::Chunked);
    assert_eq!(writer.end(&mut out, Some(&map(&[("content-length", "1")]))), Err(Misuse::TrailerForbidden));
    assert!(out.is_empty() && !writer.is_ended());
    let trailers = map(&[("x", "1")]);
    assert_eq!(
        BodyWriter::new(Framing::UntilClose).end(&mut out, Some(&trailers)),
        Err(Misuse::TrailersUnframed)
    );
}

#[test]
fn rfc9110_8_6_a_body_is_as_long_as_announced() {
    let mut out = BytesMut::new();
    let mut writer = BodyWriter::new(Framing::Length(3));
    writer.encode(&mut out, b"ab").unwrap();
    assert_eq!(writer.encode(&mut out, b"cd"), Err(Misuse::BodyTooLong));
    assert_eq!((writer.end(&mut out, None), writer.owed()), (Err(Misuse::BodyTooShort), Some(1)));
    writer.encode(&mut out, b"c").unwrap();
    writer.end(&mut out, None).unwrap();
    assert_eq!((&out[..], writer.is_ended()), (&b"abc"[..], true));

    let mut writer = BodyWriter::new(Framing::Empty);
    assert_eq!(writer.encode(&mut out, b"x"), Err(Misuse::BodyUnexpected));
    assert_eq!((writer.encode(&mut out, b""), writer.end(&mut out, None)), (Ok(()), Ok(())));
}
