//! Whole messages through the readers: accepted and refused, each at every split.

use http::{HeaderValue, Version, header};

use super::*;
use crate::testing::transcript::{Seen, at_every_split, read_requests, read_responses};

fn requests(input: &[u8]) -> Vec<Seen> {
    at_every_split(input, |pieces| read_requests(pieces, Limits::default()))
}

fn responses(input: &[u8], request_method: &Method) -> Vec<Seen> {
    at_every_split(input, |pieces| read_responses(pieces, Limits::default(), request_method))
}

/// The only request of `input`, which has no error.
fn request(input: &[u8]) -> RequestHead {
    match requests(input).swap_remove(0) {
        Seen::Request(head) => head,
        other => panic!("{other:?} for b\"{}\"", input.escape_ascii()),
    }
}

fn refusal(seen: &[Seen]) -> Option<PeerError> {
    match seen.last() {
        Some(Seen::Refused(error)) => Some(*error),
        _ => None,
    }
}

/// A field line between a valid request line with Host and the end of the head.
fn with_lines(lines: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n"].concat()
}

#[test]
fn a_small_request() {
    let head = request(b"GET /plaintext?a=b HTTP/1.1\r\nHost: localhost\r\nX-Y:\t z \r\n\r\n");
    assert_eq!((head.method, head.version), (Method::GET, Version::HTTP_11));
    assert_eq!((head.target.path(), head.target.query()), ("/plaintext", Some("a=b")));
    assert_eq!(head.headers[header::HOST], "localhost");
    assert_eq!(head.headers["x-y"], "z");
    assert_eq!((head.framing, head.keep_alive), (Framing::Empty, true));
    assert!(!head.expect_continue && !head.upgrade);
}

#[test]
fn pipelined_requests_are_read_one_after_another() {
    let seen = requests(
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
          PUT /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nt: u\r\n\r\n\
          GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /4 ignored",
    );
    let [Seen::Request(one), Seen::Data(abc), Seen::End(None), rest @ ..] = &seen[..] else {
        panic!("{seen:?}");
    };
    let [Seen::Request(two), Seen::Data(x), Seen::End(Some(trailers)), rest @ ..] = rest else {
        panic!("{seen:?}");
    };
    let [Seen::Request(three), Seen::End(None), Seen::Closed] = rest else { panic!("{seen:?}") };
    assert_eq!((one.target.path(), &abc[..]), ("/1", &b"abc"[..]));
    assert_eq!(
        (two.target.path(), &x[..], &trailers["t"]),
        ("/2", &b"x"[..], &HeaderValue::from_static("u"))
    );
    assert_eq!((three.target.path(), three.keep_alive), ("/3", false));
}

#[test]
fn rfc9112_2_2_a_few_empty_lines_before_a_request_are_skipped() {
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let with_empty = |count: usize| [&b"\r\n".repeat(count)[..], get].concat();
    assert_eq!(request(&with_empty(4)).method, Method::GET);
    assert_eq!(refusal(&requests(&with_empty(5))), Some(PeerError::EmptyLinesTooMany));
    // Before each request anew, and at the end of the stream.
    assert_eq!(refusal(&requests(&[with_empty(3), with_empty(3), b"\r\n".to_vec()].concat())), None);
}

#[test]
fn refused_requests() {
    const CASES: &[(&[u8], PeerError)] = &[
        (b"GET / HTTP/1.1\nHost: a\n\n", PeerError::BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", PeerError::BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", PeerError::BareLf),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::BareLf),
        (b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::BareLf),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::BareCr),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", PeerError::BareCr),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", PeerError::BareCr),
        (b"\x16\x03\x01\x02\x00", PeerError::MethodInvalid),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::MethodInvalid),
        (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::MethodInvalid),
        (b"GET\r\n\r\n", PeerError::RequestLineInvalid),
        (b"GET /\r\n\r\n", PeerError::RequestLineInvalid),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", PeerError::RequestLineInvalid),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::RequestLineInvalid),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::RequestLineInvalid),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::RequestLineInvalid),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::TargetInvalid),
        (b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::TargetInvalid),
        (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::TargetInvalid),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::TargetInvalid),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::TargetInvalid),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::TargetInvalid),
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", PeerError::TargetInvalid),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", PeerError::VersionInvalid),
        (b"GET / HTTP/1\r\nHost: a\r\n\r\n", PeerError::VersionInvalid),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", PeerError::VersionInvalid),
        (b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", PeerError::VersionInvalid),
        (b"GET / ICY/1.1\r\nHost: a\r\n\r\n", PeerError::VersionInvalid),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", PeerError::VersionUnsupported),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", PeerError::VersionUnsupported),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PeerError::VersionUnsupported),
        (b"GET / HTTP/1.1\r\n\r\n", PeerError::HostMissing),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", PeerError::HostRepeated),
        (b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", PeerError::HostRepeated),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", PeerError::HostInvalid),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", PeerError::HostInvalid),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", PeerError::HostInvalid),
        (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", PeerError::HostInvalid),
        (b"GET / HTTP/1.0\r\nHost: a, b\r\n\r\n", PeerError::HostInvalid),
        (b"GET http://b/ HTTP/1.1\r\n\r\n", PeerError::HostMissing),
        (b"GET / HTTP/1.1\r\nHo", PeerError::HeadCutOff),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", PeerError::HeadCutOff),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabc", PeerError::BodyCutOff),
        (
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            PeerError::TransferCodingInHttp10,
        ),
    ];
    for &(input, error) in CASES {
        assert_eq!(refusal(&requests(input)), Some(error), "b\"{}\"", input.escape_ascii());
    }
}

#[test]
fn refused_field_lines() {
    const CASES: &[(&[u8], PeerError)] = &[
        (b"a : b\r\n", PeerError::SpaceBeforeColon),
        (b"a\t: b\r\n", PeerError::SpaceBeforeColon),
        (b"Content-Length : 5\r\n", PeerError::SpaceBeforeColon),
        (b" a: b\r\n", PeerError::ObsFold),
        (b"a: b\r\n c\r\n", PeerError::ObsFold),
        (b"a: b\r\n\tc\r\n", PeerError::ObsFold),
        (b"a: b\r\n \r\n", PeerError::ObsFold),
        (b": b\r\n", PeerError::FieldNameInvalid),
        (b"a\r\n", PeerError::FieldNameInvalid),
        (b"a b: c\r\n", PeerError::FieldNameInvalid),
        (b"a(b): c\r\n", PeerError::FieldNameInvalid),
        (b"\x00a: c\r\n", PeerError::FieldNameInvalid),
        (b"a\xc3\xa9: c\r\n", PeerError::FieldNameInvalid),
        (b"a: b\x00\r\n", PeerError::FieldValueInvalid),
        (b"a: \x01b\r\n", PeerError::FieldValueInvalid),
        (b"a: b\x7f\r\n", PeerError::FieldValueInvalid),
        (b"a: b\x0bc\r\n", PeerError::FieldValueInvalid),
        (b"a: b\rc\r\n", PeerError::BareCr),
        (b"a: b\r\r\n", PeerError::BareCr),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n", PeerError::ContentLengthInvalid),
        (b"Content-Length: 5\r\ncontent-length: 6\r\n", PeerError::ContentLengthInvalid),
        (b"Content-Length: 5, 5\r\n", PeerError::ContentLengthInvalid),
        (b"Content-Length: +5\r\n", PeerError::ContentLengthInvalid),
        (b"Content-Length: 5x\r\n", PeerError::ContentLengthInvalid),
        (b"Content-Length:\r\n", PeerError::ContentLengthInvalid),
        (b"Content-Length: 18446744073709551616\r\n", PeerError::ContentLengthInvalid),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", PeerError::LengthAndCoding),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", PeerError::LengthAndCoding),
        (b"Transfer-Encoding: gzip\r\n", PeerError::TransferCodingInvalid),
        (b"Transfer-Encoding: chunked, gzip\r\n", PeerError::TransferCodingInvalid),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", PeerError::TransferCodingInvalid),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", PeerError::TransferCodingInvalid),
        (b"Transfer-Encoding: gzip, chunked\r\n", PeerError::TransferCodingUnknown),
        (b"Content-Type: a/b\r\nContent-Type: a/b\r\n", PeerError::FieldRepeated),
        (b"AUTHORIZATION: a\r\nAuthorization: b\r\n", PeerError::FieldRepeated),
        (b"Range: bytes=0-\r\nRange: bytes=0-\r\n", PeerError::FieldRepeated),
        (b"User-Agent: a\r\nUser-Agent: b\r\n", PeerError::FieldRepeated),
        (b"Expect: 200-ok\r\n", PeerError::ExpectationUnknown),
        (b"Expect: 100-continue, other\r\n", PeerError::ExpectationUnknown),
    ];
    for &(lines, error) in CASES {
        let input = with_lines(lines);
        assert_eq!(refusal(&requests(&input)), Some(error), "b\"{}\"", input.escape_ascii());
    }
}

/// Lines, a field name, and the values it has then.
type FieldCase = (&'static [u8], &'static str, &'static [&'static [u8]]);

#[test]
fn accepted_field_lines() {
    const CASES: &[FieldCase] = &[
        (b"a:b\r\n", "a", &[b"b"]),
        (b"a:\r\n", "a", &[b""]),
        (b"a: \t \r\n", "a", &[b""]),
        (b"a: \t b \t\r\n", "a", &[b"b"]),
        (b"A: b\r\na: c\r\n", "a", &[b"b", b"c"]),
        (b"a: \xff\x80\r\n", "a", &[b"\xff\x80"]),
        (b"!#$%&'*+-.^_`|~9: x\r\n", "!#$%&'*+-.^_`|~9", &[b"x"]),
        (b"a: b: c\r\n", "a", &[b"b: c"]),
        (b"Cookie: a=1\r\nCookie: b=2\r\n", "cookie", &[b"a=1", b"b=2"]),
        (b"If-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n", "if-none-match", &[b"\"a\"", b"\"b\""]),
    ];
    for &(lines, name, values) in CASES {
        let head = request(&with_lines(lines));
        let found: Vec<&[u8]> = head.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(found, values, "b\"{}\"", lines.escape_ascii());
    }
}

#[test]
fn rfc9112_3_2_hosts_of_requests() {
    for host in ["", "a", "a:80", "[::1]:80", "127.0.0.1", "a.example:"] {
        let head = request(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert_eq!(head.headers[header::HOST], host);
    }
    assert!(!request(b"GET / HTTP/1.0\r\n\r\n").headers.contains_key(header::HOST));
}

#[test]
fn rfc9112_3_2_2_an_absolute_target_replaces_host() {
    let head = request(b"GET http://b.example:81/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.headers[header::HOST], "b.example:81");
    assert_eq!(head.headers.len(), 1);
    assert_eq!(head.target.path(), "/x");
}

#[test]
fn rfc9110_10_1_1_expect_continue() {
    const CASES: &[(&[u8], bool)] = &[
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\nx", true),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", false),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", false),
        (b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx", false),
        (b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: other\r\n\r\nx", false),
    ];
    for &(input, expected) in CASES {
        assert_eq!(request(input).expect_continue, expected, "b\"{}\"", input.escape_ascii());
    }
}

#[test]
fn rfc9110_7_8_upgrade() {
    const CASES: &[(&[u8], bool)] = &[
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", true),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", true),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", false),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n", false),
        (b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false),
    ];
    for &(input, expected) in CASES {
        assert_eq!(request(input).upgrade, expected, "b\"{}\"", input.escape_ascii());
    }
}

#[test]
fn limits_are_kept_to_the_byte() {
    let limits =
        Limits { target_bytes_max: 10, head_bytes_max: 200, header_count_max: 3, ..Limits::default() };
    let result = |input: &[u8]| refusal(&at_every_split(input, |pieces| read_requests(pieces, limits)));
    let get =
        |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();

    assert_eq!(result(&get("/123456789", "")), None);
    assert_eq!(result(&get("/1234567890", "")), Some(PeerError::TargetTooLong));
    assert_eq!(result(&[b"GET /", &[b'a'; 200][..]].concat()), Some(PeerError::TargetTooLong));

    let empty_bytes = get("/", "a: \r\n").len();
    assert_eq!(result(&get("/", &format!("a: {}\r\n", "x".repeat(200 - empty_bytes)))), None);
    let above = get("/", &format!("a: {}\r\n", "x".repeat(201 - empty_bytes)));
    assert_eq!(result(&above), Some(PeerError::HeadTooLarge));
    assert_eq!(result(&get("/", &"x".repeat(300))), Some(PeerError::HeadTooLarge));

    assert_eq!(result(&get("/", "a: 1\r\nb: 2\r\n")), None);
    assert_eq!(result(&get("/", "a: 1\r\nb: 2\r\nc: 3\r\n")), Some(PeerError::HeaderCountTooLarge));
}

#[test]
fn more_fields_than_slots_on_the_stack_are_read_when_the_limit_says_so() {
    let limits = Limits { header_count_max: 500, ..Limits::default() };
    let lines = |count: usize| (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>();
    let read = |count| {
        let input = with_lines(lines(count).as_bytes());
        read_requests(&[&input], limits).swap_remove(0)
    };
    let Seen::Request(head) = read(499) else { panic!("refused") };
    assert_eq!((head.headers.len(), &head.headers["x-498"]), (500, &HeaderValue::from_static("498")));
    assert_eq!(read(500), Seen::Refused(PeerError::HeaderCountTooLarge));
}

#[test]
fn the_spare_map_is_used_and_the_values_are_views() {
    let mut reader = RequestReader::new(Limits::default());
    let mut input = BytesMut::from(&b"GET / HTTP/1.1\r\nHost: a-rather-long-name.example\r\n\r\n"[..]);
    let memory = input.as_ptr() as usize..input.as_ptr() as usize + input.len();
    let mut spare = Some(HeaderMap::with_capacity(50));
    let capacity = spare.as_ref().map(HeaderMap::capacity);
    let head = reader.head(&mut input, &mut spare).unwrap().unwrap();
    assert!(spare.is_none());
    assert_eq!(Some(head.headers.capacity()), capacity);
    assert!(memory.contains(&(head.headers[header::HOST].as_bytes().as_ptr() as usize)));
}

#[test]
fn misuse_of_a_reader_is_told() {
    let mut reader = RequestReader::new(Limits::default());
    assert_eq!(reader.start_next(), Err(Misuse::WrongState));
    let mut input = BytesMut::from(&b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"[..]);
    reader.head(&mut input, &mut None).unwrap().unwrap();
    assert_eq!((reader.start_next(), reader.switch()), (Err(Misuse::BodyUnread), Err(Misuse::BodyUnread)));
    assert_eq!(reader.body(&mut input), Ok(BodyEvent::Data(Bytes::from_static(b"ab"))));
    assert_eq!(reader.body(&mut input), Ok(BodyEvent::End));
    assert_eq!(reader.body(&mut input), Ok(BodyEvent::End));
    assert_eq!((reader.switch(), reader.state()), (Ok(()), State::Switched));
    reader.abandon();
    assert_eq!(reader.state(), State::Switched);
    reader.close();
    assert_eq!(reader.state(), State::Closed);
}

#[test]
fn responses_with_each_framing() {
    let seen = responses(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab\
          HTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\nt: u\r\n\r\n\
          HTTP/1.1 204 No Content\r\n\r\n\
          HTTP/1.1 500\r\nX: y\r\n\r\nuntil the end",
        &Method::GET,
    );
    let [Seen::Response(ok), Seen::Data(ab), Seen::End(None), rest @ ..] = &seen[..] else {
        panic!("{seen:?}")
    };
    let [Seen::Response(missing), Seen::Data(c), Seen::End(Some(_)), rest @ ..] = rest else {
        panic!("{seen:?}")
    };
    let [
        Seen::Response(none),
        Seen::End(None),
        Seen::Response(last),
        Seen::Data(end),
        Seen::End(None),
        Seen::Closed,
    ] = rest
    else {
        panic!("{seen:?}")
    };
    assert_eq!((ok.status, &ok.reason[..], ok.keep_alive), (StatusCode::OK, &b"OK"[..], true));
    assert_eq!((missing.status, &missing.reason[..]), (StatusCode::NOT_FOUND, &b""[..]));
    assert_eq!((none.framing, last.framing), (Framing::Empty, Framing::UntilClose));
    assert!(none.keep_alive && !last.keep_alive);
    assert_eq!((&ab[..], &c[..], &end[..]), (&b"ab"[..], &b"c"[..], &b"until the end"[..]));
}

#[test]
fn rfc9110_15_2_interim_responses_precede_the_final_one() {
    let input = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let seen = responses(input, &Method::GET);
    let statuses: Vec<u16> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Response(head) => Some(head.status.as_u16()),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [100, 103, 204]);
    let many = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(17);
    assert_eq!(refusal(&responses(&many, &Method::GET)), Some(PeerError::InformationalTooMany));
    assert_eq!(refusal(&responses(&many[..many.len() / 17 * 16], &Method::GET)), None);
}

#[test]
fn rfc9110_7_8_bytes_after_a_switch_are_left_alone() {
    let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x00\xff";
    assert_eq!(responses(upgrade, &Method::GET).last(), Some(&Seen::Switched(b"\x00\xff".to_vec())));
    let tunnel = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nGET";
    assert_eq!(responses(tunnel, &Method::CONNECT).last(), Some(&Seen::Switched(b"GET".to_vec())));
}

#[test]
fn rfc9110_9_3_2_answers_to_head_have_no_body() {
    let seen =
        responses(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", &Method::HEAD);
    assert!(matches!(
        &seen[..],
        [Seen::Response(_), Seen::End(None), Seen::Response(_), Seen::End(None), Seen::Closed]
    ));
}

#[test]
fn refused_responses() {
    const CASES: &[(&[u8], PeerError)] = &[
        (b"ICY 200 OK\r\n\r\n", PeerError::StatusLineInvalid),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", PeerError::StatusLineInvalid),
        (b"HTTP/1.1 20 OK\r\n\r\n", PeerError::StatusLineInvalid),
        (b"HTTP/1.1 2000 OK\r\n\r\n", PeerError::StatusLineInvalid),
        (b"HTTP/1.1 099 OK\r\n\r\n", PeerError::StatusLineInvalid),
        (b"HTTP/1.1  200 OK\r\n\r\n", PeerError::StatusLineInvalid),
        (b"HTTP/1.1 200 O\x00K\r\n\r\n", PeerError::StatusLineInvalid),
        (b"HTTP/1.1\r\n\r\n", PeerError::StatusLineInvalid),
        (b"HTTP/2.0 200 OK\r\n\r\n", PeerError::VersionUnsupported),
        (b"HTTP/x 200 OK\r\n\r\n", PeerError::VersionInvalid),
        (b"HTTP/1.1 200 OK\n\n", PeerError::BareLf),
        (b"HTTP/1.1 200 O\rK\r\n\r\n", PeerError::BareCr),
        (b"HTTP/1.1 200 OK\r\na : b\r\n\r\n", PeerError::SpaceBeforeColon),
        (b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", PeerError::ObsFold),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            PeerError::ContentLengthInvalid,
        ),
        (b"HTTP/1.1 204 x\r\nContent-Length: 1, 1\r\n\r\n", PeerError::ContentLengthInvalid),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            PeerError::LengthAndCoding,
        ),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", PeerError::TransferCodingInHttp10),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", PeerError::TransferCodingUnknown),
        (b"HTTP/1.1 302 x\r\nLocation: /a\r\nLocation: /b\r\n\r\n", PeerError::FieldRepeated),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", PeerError::BodyCutOff),
        (b"HTTP/1.1 200 OK\r\nContent-Len", PeerError::HeadCutOff),
    ];
    for &(input, error) in CASES {
        assert_eq!(refusal(&responses(input, &Method::GET)), Some(error), "b\"{}\"", input.escape_ascii());
    }
}

#[test]
fn reasons_may_be_empty_missing_or_not_ascii() {
    const CASES: &[(&[u8], &[u8])] = &[
        (b"HTTP/1.1 200 Very Well\r\n\r\n", b"Very Well"),
        (b"HTTP/1.1 200 \r\n\r\n", b""),
        (b"HTTP/1.1 200\r\n\r\n", b""),
        (b"HTTP/1.1 200 \xe9\r\n\r\n", b""),
    ];
    for &(input, reason) in CASES {
        match &responses(input, &Method::GET)[0] {
            Seen::Response(head) => assert_eq!(&head.reason[..], reason, "b\"{}\"", input.escape_ascii()),
            other => panic!("{other:?} for b\"{}\"", input.escape_ascii()),
        }
    }
}

#[test]
fn a_head_filled_again_is_what_a_new_one_would_be() {
    const HEADS: &[&str] = &[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /b?c HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /b HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD / HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET http://c/d HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        // What stands behind its first line was refused as a head.
        "GET / HTTP/1.1\r\nGET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nGET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / \rHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ];
    let fill = |text: &str, head: &mut RequestHead| {
        let mut reader = RequestReader::new(Limits::default());
        let filled = reader.head_into(&mut BytesMut::from(text), head);
        (filled, reader.state())
    };
    for first in HEADS {
        for second in HEADS {
            let (mut new, mut again) = (RequestHead::default(), RequestHead::default());
            // One that is refused leaves nothing behind either.
            let _ = fill(first, &mut again);
            assert_eq!(fill(second, &mut again), fill(second, &mut new), "{first:?}, {second:?}");
            if fill(second, &mut RequestHead::default()).0.is_ok() {
                let repeats = std::mem::take(&mut again.repeats_line);
                assert!(!repeats || first == second, "{first:?}, {second:?}");
                assert_eq!(again, new, "{first:?}, {second:?}");
            }
        }
    }
}

#[test]
fn a_response_head_filled_again_is_what_a_new_one_would_be() {
    const HEADS: &[&str] = &[
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nEtag: \t b c \t\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\ncontent-LENGTH:7\r\netag:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nEtag: a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag: a\r\nX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag : a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtagg: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag: a\0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag: \u{e9}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\nEtag: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nEtag: a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n",
        "HTTP/1.1 302 x\r\nContent-Length: 0\r\nLocation: /a\r\nLocation: /b\r\n\r\n",
        "HTTP/1.1 302 x\r\nContent-Length: 0\r\nLocation: /a\r\nLocation: /b\r\nEtag: a\r\n\r\n",
        "HTTP/1.1 206 x\r\nContent-Range: bytes 0-0/2\r\nContent-Range: bytes 1-1/2\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 0\r\nEtag: a\r\n\r\n",
        "HTTP/1.1 200 \u{e9}\r\nContent-Length: 0\r\nEtag: a\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\nEtag: a\r\n\r\n",
        "HTTP/1.1 099 OK\r\nContent-Length: 0\r\nEtag: a\r\n\r\n",
        "HTTP/1.1 204 Nothing\r\nContent-Length: 3\r\nEtag: a\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nEtag: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 404\r\nX: y\r\nX: z\r\n\r\n",
        "HTTP/1.1 404 x\r\nX: y\r\nX: \r\n\r\n",
        "HTTP/1.1 404 x\r\nX: y\r\nY: v\r\nX: z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n",
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nKeep-Alive: max=5\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
    ];
    let fill = |text: &str, method: &Method, head: &mut ResponseHead| {
        let mut reader = ResponseReader::new(Limits::default());
        let filled = reader.head_into(&mut BytesMut::from(text), method, head);
        (filled, reader.state())
    };
    for first in HEADS {
        for (second, method) in HEADS.iter().zip([Method::GET, Method::HEAD].iter().cycle()) {
            let (mut new, mut again) = (ResponseHead::default(), ResponseHead::default());
            // One that is refused leaves no names behind.
            let _ = fill(first, &Method::GET, &mut again);
            for forget in [false, true] {
                let mut again = again.clone();
                if forget {
                    again.forget_values();
                }
                assert_eq!(
                    fill(second, method, &mut again),
                    fill(second, method, &mut new),
                    "{first:?}, {second:?}"
                );
                if fill(second, method, &mut ResponseHead::default()).0.is_ok() {
                    assert_eq!(again, new, "{first:?}, {second:?}");
                }
            }
        }
    }
}

/// Whatever has put them there: who has a head may change its fields.
#[test]
fn a_response_with_what_it_may_not_repeat_is_refused_though_the_map_has_it_twice() {
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONTENT_TYPE, header::LOCATION] {
        let mut head = ResponseHead::default();
        head.headers.append(&name, HeaderValue::from_static("1"));
        head.headers.append(&name, HeaderValue::from_static("2"));
        let mut input = BytesMut::from(&*format!("HTTP/1.1 200 OK\r\n{name}: 1\r\n{name}: 2\r\n\r\n"));
        let mut reader = ResponseReader::new(Limits::default());
        assert!(reader.head_into(&mut input, &Method::GET, &mut head).is_err(), "{name}");
        assert!(head.headers.is_empty(), "{name}");
    }
}
