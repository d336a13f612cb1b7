//! Chunked bodies: accepted and refused, each at every split.

use super::*;
use crate::testing::transcript::{Seen, at_every_split, read_requests};

fn limits() -> Limits {
    Limits {
        chunk_line_bytes_max: 40,
        chunk_extension_total_max: 50,
        trailer_bytes_max: 60,
        trailer_count_max: 3,
        ..Limits::default()
    }
}

/// The body of a chunked request, or the error.
fn decode(chunks: &[u8]) -> Result<(Vec<u8>, Option<HeaderMap>), PeerError> {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let message = [head, chunks].concat();
    let mut body = Vec::new();
    for seen in at_every_split(&message, |pieces| read_requests(pieces, limits())) {
        match seen {
            Seen::Request(head) => assert_eq!(head.framing, crate::proto::http1::Framing::Chunked),
            Seen::Data(data) => body.extend_from_slice(&data),
            Seen::End(trailers) => return Ok((body, trailers)),
            Seen::Refused(error) => return Err(error),
            other => panic!("{other:?} in a body"),
        }
    }
    panic!("the transcript has no end")
}

#[test]
fn rfc9112_7_1_accepted() {
    const CASES: &[(&[u8], &[u8])] = &[
        (b"0\r\n\r\n", b""),
        (b"000\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"00000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (b"a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", b"01234567890123456789a"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"5;a=b\r\nhello\r\n0;last\r\n\r\n", b"hello"),
        (b"5;a=\"b;c\"; d\r\nhello\r\n0\r\n\r\n", b"hello"),
    ];
    for &(chunks, body) in CASES {
        assert_eq!(decode(chunks), Ok((body.to_vec(), None)), "b\"{}\"", chunks.escape_ascii());
    }
}

#[test]
fn rfc9112_7_1_refused() {
    const CASES: &[(&[u8], PeerError)] = &[
        (b"\r\nhello", PeerError::ChunkSizeInvalid),
        (b";a\r\nhello", PeerError::ChunkSizeInvalid),
        (b"g\r\nhello", PeerError::ChunkSizeInvalid),
        (b"0x5\r\nhello", PeerError::ChunkSizeInvalid),
        (b"+5\r\nhello", PeerError::ChunkSizeInvalid),
        (b"-5\r\nhello", PeerError::ChunkSizeInvalid),
        (b"5_0\r\nhello", PeerError::ChunkSizeInvalid),
        (b" 5\r\nhello", PeerError::ChunkSizeInvalid),
        (b"5 \r\nhello", PeerError::ChunkSizeInvalid),
        (b"5\t\r\nhello", PeerError::ChunkSizeInvalid),
        (b"5 ;a\r\nhello", PeerError::ChunkSizeInvalid),
        (b"5\r\r\nhello", PeerError::ChunkSizeInvalid),
        (b"5,5\r\nhello", PeerError::ChunkSizeInvalid),
        (b"5.0\r\nhello", PeerError::ChunkSizeInvalid),
        (b"00000000000000005\r\nhello", PeerError::ChunkSizeInvalid),
        (b"10000000000000000\r\n", PeerError::ChunkSizeInvalid),
        (b"5\nhello\r\n0\r\n\r\n", PeerError::BareLf),
        (b"5;a\nhello\r\n0\r\n\r\n", PeerError::BareLf),
        (b"5\r\nhello0\r\n\r\n", PeerError::ChunkEndInvalid),
        (b"5\r\nhello\n0\r\n\r\n", PeerError::ChunkEndInvalid),
        (b"5\r\nhello\r0\r\n\r\n", PeerError::ChunkEndInvalid),
        (b"5\r\nhelloX\r\n0\r\n\r\n", PeerError::ChunkEndInvalid),
        (b"5;a\x00\r\nhello", PeerError::ChunkExtensionInvalid),
        (b"5;a\rb\r\nhello", PeerError::ChunkExtensionInvalid),
        (b"5\r\nhello\r\n0\r\n\n", PeerError::BareLf),
        (b"5\r\nhello\r\n0\n\n", PeerError::BareLf),
        (b"5\r\nhel", PeerError::BodyCutOff),
        (b"5\r\nhello\r\n0\r\n", PeerError::BodyCutOff),
        (b"", PeerError::BodyCutOff),
    ];
    for &(chunks, error) in CASES {
        assert_eq!(decode(chunks), Err(error), "b\"{}\"", chunks.escape_ascii());
    }
}

#[test]
fn the_largest_size_is_no_overflow() {
    assert_eq!(decode(b"ffffffffffffffff\r\nabc"), Err(PeerError::BodyCutOff));
    assert_eq!(parse_size(b"FfFfFfFfFfFfFfFf"), Ok((u64::MAX, &b""[..])));
}

#[test]
fn rfc9112_7_1_1_extensions_have_a_budget() {
    let at_limit = [b"0;".as_slice(), &[b'x'; 36], b"\r\n\r\n"].concat();
    assert_eq!(decode(&at_limit), Ok((Vec::new(), None)));
    let above = [b"0;".as_slice(), &[b'x'; 37], b"\r\n\r\n"].concat();
    assert_eq!(decode(&above), Err(PeerError::ChunkLineTooLong));
    let endless = [b"5;".as_slice(), &[b'x'; 100]].concat();
    assert_eq!(decode(&endless), Err(PeerError::ChunkLineTooLong));

    // 30 bytes of extension for each byte of data: the second chunk goes beyond 50 + 1.
    let greedy = [b"1;".as_slice(), &[b'x'; 29], b"\r\na\r\n"].concat();
    assert_eq!(decode(&greedy.repeat(2)), Err(PeerError::ChunkExtensionsTooLong));
    // As many as there are bytes of data: accepted for ever.
    let signed = [b"1e;".as_slice(), &[b'x'; 29], b"\r\n", &[b'd'; 30], b"\r\n"].concat();
    let (body, _) = decode(&[&signed.repeat(10)[..], b"0\r\n\r\n"].concat()).unwrap();
    assert_eq!(body.len(), 300);
}

#[test]
fn rfc9112_7_1_2_trailers() {
    let (body, trailers) = decode(b"1\r\na\r\n0\r\nX-Sum: 7\r\nx-sum:8 \r\nEmpty:\r\n\r\n").unwrap();
    let trailers = trailers.unwrap();
    assert_eq!(body, b"a");
    assert_eq!(trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["7", "8"]);
    assert_eq!(trailers.get("empty").unwrap(), "");
}

#[test]
fn rfc9110_6_5_1_forbidden_trailers_are_refused() {
    for name in
        ["Content-Length", "transfer-encoding", "Host", "Authorization", "Trailer", "Set-Cookie", "TE"]
    {
        let chunks = format!("0\r\n{name}: 1\r\n\r\n");
        assert_eq!(decode(chunks.as_bytes()), Err(PeerError::TrailerForbidden), "{name}");
    }
}

#[test]
fn rfc9112_7_1_2_malformed_and_oversized_trailers_are_refused() {
    const CASES: &[(&[u8], PeerError)] = &[
        (b"0\r\na : b\r\n\r\n", PeerError::SpaceBeforeColon),
        (b"0\r\na: b\r\n c\r\n\r\n", PeerError::ObsFold),
        (b"0\r\na: b\x00\r\n\r\n", PeerError::FieldValueInvalid),
        (b"0\r\nab\r\n\r\n", PeerError::FieldNameInvalid),
        (b"0\r\n: b\r\n\r\n", PeerError::FieldNameInvalid),
        (b"0\r\na: b\n\r\n", PeerError::BareLf),
        (b"0\r\na: b\rc\r\n\r\n", PeerError::BareCr),
        (b"0\r\na: 1\r\na: 2\r\na: 3\r\na: 4\r\n\r\n", PeerError::TrailersTooLarge),
        (
            b"0\r\na: 0123456789012345678901234567890123456789012345678901234567890123456789",
            PeerError::TrailersTooLarge,
        ),
    ];
    for &(chunks, error) in CASES {
        assert_eq!(decode(chunks), Err(error), "b\"{}\"", chunks.escape_ascii());
    }
}
