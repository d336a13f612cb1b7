//! Events to bytes and back, whole and at every split.
#![forbid(unsafe_code)]

use bytes::Bytes;

use super::*;

fn encoded(event: &Event) -> Result<String, Misuse> {
    let mut out = BytesMut::from("before");
    let result = event.encode(&mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    let text = text.strip_prefix("before").unwrap().to_owned();
    assert!(result.is_ok() || text.is_empty(), "a refused event leaves nothing: {text:?}");
    result.map(|()| text)
}

#[test]
fn events_become_lines() {
    let cases = [
        (Event::data("a"), "data:a\n\n"),
        (Event::data(""), "data:\n\n"),
        (Event::data(" a"), "data:  a\n\n"),
        (Event::data("a\nb\r\nc\rd\n"), "data:a\ndata:b\ndata:c\ndata:d\ndata:\n\n"),
        (Event::data("\r\n\r\n"), "data:\ndata:\ndata:\n\n"),
        (Event::data("ä: b").event("x y").id("7"), "id:7\nevent:x y\ndata:ä: b\n\n"),
        (Event::data("a").id(""), "id:\ndata:a\n\n"),
        (Event::comment("a\nb"), ":a\n:b\n\n"),
        (Event::comment("data: no\n\ndata: still no"), ":data: no\n:\n:data: still no\n\n"),
        (Event::reconnect_after(Duration::from_millis(1500)), "retry:1500\n\n"),
    ];
    for (event, expected) in cases {
        assert_eq!(encoded(&event).as_deref(), Ok(expected), "{event:?}");
    }
}

#[test]
fn what_would_become_another_field_is_refused() {
    let hostile = ["a\nb", "a\rb", "a\r\nb", "\n", "a\n\ndata:forged"];
    for text in hostile {
        assert_eq!(encoded(&Event::data("x").id(text)), Err(Misuse::EventFieldInvalid), "{text:?}");
        assert_eq!(encoded(&Event::data("x").event(text)), Err(Misuse::EventFieldInvalid), "{text:?}");
    }
    assert_eq!(encoded(&Event::data("x").id("a\0")), Err(Misuse::EventFieldInvalid));
    assert!(encoded(&Event::data("x\0").event("a\0")).is_ok());
}

fn parse(pieces: &[&[u8]]) -> Result<Vec<(String, String, String)>, EventTooLarge> {
    let mut parser = Parser::new(64);
    let mut messages = Vec::new();
    for piece in pieces {
        parser.push(Bytes::copy_from_slice(piece));
        while let Some(message) = parser.next_message()? {
            messages.push((message.event, message.data, message.last_event_id));
        }
    }
    Ok(messages)
}

/// The events of a stream fed whole, byte by byte and at every split.
fn parse_in_all_ways(stream: &[u8]) -> Result<Vec<(String, String, String)>, EventTooLarge> {
    let whole = parse(&[stream]);
    assert_eq!(parse(&stream.chunks(1).collect::<Vec<_>>()), whole, "{}", stream.escape_ascii());
    for at in 0..=stream.len() {
        let (front, back) = stream.split_at(at);
        assert_eq!(parse(&[front, back]), whole, "{} split at {at}", stream.escape_ascii());
    }
    whole
}

#[test]
fn streams_are_read_as_the_standard_says() {
    // Most are the examples of WHATWG HTML §9.2.6 and of its parser's tests.
    type Expected<'a> = &'a [(&'a str, &'a str, &'a str)];
    let cases: &[(&[u8], Expected<'_>)] = &[
        (b"", &[]),
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", &[("message", "YHOO\n+2\n10", "")]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            &[
                ("message", "first event", "1"),
                ("message", "second event", ""),
                ("message", " third event", ""),
            ],
        ),
        (b"data\n\ndata\ndata\n\ndata:", &[("message", "", ""), ("message", "\n", "")]),
        (b"data:test\n\ndata: test\n\n", &[("message", "test", ""), ("message", "test", "")]),
        (
            b"data:a\r\rdata:b\r\n\r\ndata:c\n\r\n",
            &[("message", "a", ""), ("message", "b", ""), ("message", "c", "")],
        ),
        (b"\xef\xbb\xbfdata:a\n\n", &[("message", "a", "")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata:a\n\n", &[]),
        (b"event:x\n\ndata:a\n\n", &[("message", "a", "")]),
        (b"event:x\ndata:a\n\n", &[("x", "a", "")]),
        (b"id:1\ndata:a\n\nid:2\0\ndata:b\n\n", &[("message", "a", "1"), ("message", "b", "1")]),
        (b"Data:a\nDATA:b\n data:c\n\n", &[]),
        (b"data:\xff\xc3\n\n", &[("message", "\u{fffd}\u{fffd}", "")]),
        (b"data:a\n", &[]),
    ];
    for (stream, expected) in cases {
        let found = parse_in_all_ways(stream).unwrap();
        let found: Vec<_> =
            found.iter().map(|(event, data, id)| (event.as_str(), data.as_str(), id.as_str())).collect();
        assert_eq!(found, *expected, "{}", stream.escape_ascii());
    }
}

#[test]
fn an_event_beyond_the_limit_is_refused_in_whatever_pieces_it_comes() {
    let line = [b"data:".as_slice(), &[b'a'; 100], b"\n\n"].concat();
    let many = b"data:aaaaaaaaaa\n".repeat(10);
    let no_end = [b'a'; 100];
    for stream in [line, many, no_end.to_vec()] {
        assert_eq!(parse_in_all_ways(&stream), Err(EventTooLarge));
    }
    assert_eq!(parse_in_all_ways(&b"data:aaaaaaaaaaaaaaaaaaaa\n\n".repeat(10)).unwrap().len(), 10);
}

#[test]
fn retry_is_a_number_or_nothing() {
    for (line, retry) in [
        ("retry:1000", Some(1000)),
        ("retry: 7", Some(7)),
        ("retry:", None),
        ("retry:-1", None),
        ("retry:1s", None),
        ("retry:99999999999999999999999", None),
    ] {
        let mut parser = Parser::new(64);
        parser.push(format!("{line}\n").into_bytes().into());
        assert_eq!(parser.next_message(), Ok(None));
        assert_eq!(parser.retry(), retry.map(Duration::from_millis), "{line}");
    }
}

#[test]
fn what_is_encoded_is_read_back() {
    let texts = ["", " ", "a", "a\nb", "\n\n", ": x", "data:x", "ä\u{2028}"];
    for data in texts {
        for id in ["", "1", " x", ":"] {
            let event = Event::data(data).id(id).event("e");
            let message = parse_in_all_ways(encoded(&event).unwrap().as_bytes()).unwrap();
            assert_eq!(message, [("e".to_owned(), data.to_owned(), id.to_owned())], "{event:?}");
        }
    }
}
