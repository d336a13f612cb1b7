//! Headers of both versions, whole and cut at every byte, and what only looks like one.
#![forbid(unsafe_code)]

use super::*;

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[command, family], &length, rest].concat()
}

fn client(peer: &str, local: &str) -> Source {
    Source::Client { peer: peer.parse().unwrap(), local: local.parse().unwrap() }
}

/// Addresses of version 2, with a TLV behind them.
fn v4_with_tlv() -> Vec<u8> {
    [&[192, 0, 2, 1, 10, 0, 0, 1, 0x13, 0x88, 0, 80][..], b"\x02\x00\x03abc"].concat()
}

#[test]
fn headers_are_read_and_a_part_of_one_is_waited_for() {
    let mut v6 = [0; 36];
    v6[15] = 1;
    v6[31] = 2;
    v6[33] = 7;
    let cases: Vec<(Vec<u8>, Source)> = vec![
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 5000 80\r\n".to_vec(), client("192.0.2.1:5000", "10.0.0.1:80")),
        (
            b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n".to_vec(),
            client("255.255.255.255:65535", "0.0.0.0:0"),
        ),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(), client("[2001:db8::1]:1", "[::1]:2")),
        (b"PROXY UNKNOWN\r\n".to_vec(), Source::Proxy),
        (b"PROXY UNKNOWN ffff:f...f:ffff 1 2 \xc3\xa4\r\n".to_vec(), Source::Proxy),
        (v2(0x21, 0x11, &v4_with_tlv()[..12]), client("192.0.2.1:5000", "10.0.0.1:80")),
        (v2(0x21, 0x11, &v4_with_tlv()), client("192.0.2.1:5000", "10.0.0.1:80")),
        (v2(0x21, 0x21, &v6), client("[::1]:7", "[::2]:0")),
        (v2(0x21, 0x31, &[b'/'; 216]), Source::Unix),
        (v2(0x21, 0x00, b""), Source::Proxy),
        (v2(0x21, 0x00, b"anything"), Source::Proxy),
        (v2(0x20, 0x00, b""), Source::Proxy),
        (v2(0x20, 0xff, b"ignored"), Source::Proxy),
        (v2(0x21, 0x11, &[7; V2_BYTES_MAX - 16]), client("7.7.7.7:1799", "7.7.7.7:1799")),
    ];
    for (header, source) in cases {
        let expected = Ok(Some(ProxyHeader { bytes: header.len(), source }));
        assert_eq!(parse(&header), expected, "{}", header.escape_ascii());
        let followed = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(parse(&followed), expected, "{}", header.escape_ascii());
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Ok(None), "{} cut at {cut}", header.escape_ascii());
        }
    }
}

#[test]
fn what_is_no_header_is_refused_and_stays_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
    let mut cases: Vec<Vec<u8>> = [
        "GET / HTTP/1.1\r\n",
        "P ",
        "proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
        "PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n",
        "PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n",
        "PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n",
        "PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
        "PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
        "PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n",
        "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n",
        "PROXY TCP4 1.1.1.01 1.1.1.1 1 1\r\n",
        "PROXY TCP4 ::1 ::1 1 1\r\n",
        "PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
        "PROXY TCP6 [::1] ::1 1 1\r\n",
        "PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY unknown\r\n",
        "\r\n\r\nPROXY",
        long.as_str(),
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    cases.extend([
        b"PROXY UNKNOWN \xff\r\n".to_vec(),
        v2(0x11, 0x11, &v4_with_tlv()),
        v2(0x31, 0x11, &v4_with_tlv()),
        v2(0x22, 0x11, &v4_with_tlv()),
        v2(0x21, 0x12, &v4_with_tlv()),
        v2(0x21, 0x41, &v4_with_tlv()),
        v2(0x21, 0x11, &v4_with_tlv()[..11]),
        v2(0x21, 0x21, &v4_with_tlv()),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x11, &[0; V2_BYTES_MAX - 15]),
        v2(0x20, 0x00, &vec![0; 65_535]),
    ]);
    for input in cases {
        assert_eq!(parse(&input), Err(ProxyHeaderError), "{}", input.escape_ascii());
        let mut refused = false;
        for cut in 0..=input.len() {
            let result = parse(&input[..cut]);
            assert!(!matches!(result, Ok(Some(_))), "{} cut at {cut}", input.escape_ascii());
            assert!(!refused || result.is_err(), "{} is taken back at {cut}", input.escape_ascii());
            refused = result.is_err();
        }
    }
}

#[test]
fn a_header_without_an_end_is_refused_within_its_limit() {
    let line = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    assert_eq!(parse(&line[..V1_BYTES_MAX - 1]), Ok(None));
    assert_eq!(parse(&line[..V1_BYTES_MAX]), Err(ProxyHeaderError));
    let longest = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; V1_BYTES_MAX - 16], b"\r\n"].concat();
    assert_eq!(longest.len(), V1_BYTES_MAX);
    assert!(matches!(parse(&longest), Ok(Some(_))));
}
