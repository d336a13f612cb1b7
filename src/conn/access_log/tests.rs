//! Formats: what is understood, what is refused, and what lines look like.
#![forbid(unsafe_code)]

use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::AccessLog;
use super::entry::{AccessRecord, Value};
use super::format::Format;
use crate::conn::CloseReason;

fn record() -> AccessRecord {
    AccessRecord {
        peer: Some("192.0.2.1:4711".parse().unwrap()),
        client: Some("203.0.113.9".parse().unwrap()),
        scheme: Some("https"),
        route: None,
        date: *b"Sun, 06 Nov 1994 08:49:37 GMT",
        request_line: b"GET /a?b HTTP/1.1".to_vec(),
        parts: Some((3, 8)),
        request_fields: vec![Value::Missing, Value::Shown((*b"curl \"8\"\n").into())],
        response_fields: vec![Value::Masked],
        status: Some(StatusCode::OK),
        body_bytes: 5,
        first_byte: Some(Duration::from_micros(40)),
        elapsed: Duration::from_micros(1_500_042),
        close: None,
    }
}

fn line(format: &Format, record: &AccessRecord) -> String {
    let mut line = String::new();
    format.write(&mut line, record);
    line
}

#[test]
fn every_atom_is_written() {
    let process = std::process::id().to_string();
    let cases = [
        ("", ""),
        ("100%%", "100%"),
        ("%a", "192.0.2.1"),
        ("%C %S %R", "203.0.113.9 https -"),
        ("%t", "[06/Nov/1994:08:49:37 +0000]"),
        ("%P", &*process),
        ("\"%r\"", "\"GET /a?b HTTP/1.1\""),
        ("%s %b", "200 5"),
        ("%T|%Tf|%D|%F", "1|1.500042|1500042|40"),
        ("%X", "-"),
        ("%{Referer}i \"%{User-Agent}i\"", "- \"curl \\\"8\\\"\\x0a\""),
        ("é%{Set-Cookie}o", "é***"),
    ];
    for (format, expected) in cases {
        assert_eq!(line(&Format::parse(format).expect(format), &record()), expected, "{format}");
    }
    let common = line(&AccessLog::common().format, &record());
    let expected =
        "192.0.2.1 [06/Nov/1994:08:49:37 +0000] \"GET /a?b HTTP/1.1\" 200 5 \"-\" \"curl \\\"8\\\"\\x0a\"";
    assert_eq!(common, expected);
}

#[test]
fn what_is_no_format_is_refused_with_its_place() {
    let cases = [
        ("%", "`%` without an atom at byte 0"),
        ("a %q", "unknown atom `%q` at byte 2"),
        ("%é", "unknown atom `%é` at byte 0"),
        ("%a%\n", "unknown atom `%\\n` at byte 2"),
        ("%{Referer", "`%{` without `}` at byte 0"),
        ("%{}i", "`` is no field name at byte 0"),
        ("%{a b}i", "`a b` is no field name at byte 0"),
        ("%{a}", "`%{Name}` must be followed by `i` or `o` at byte 0"),
        ("%{a}e", "`%{Name}` must be followed by `i` or `o` at byte 0"),
        ("%{a}é", "`%{Name}` must be followed by `i` or `o` at byte 0"),
    ];
    for (format, expected) in cases {
        assert_eq!(Format::parse(format).map(drop), Err(expected.to_owned()), "{format}");
        assert!(AccessLog::new(format).is_err());
    }
}

#[test]
fn json_has_what_there_is() {
    let json = Format::json();
    let expected = "{\"time\":\"1994-11-06T08:49:37Z\",\"peer\":\"192.0.2.1\",\"client\":\"203.0.113.9\",\"scheme\":\"https\",\"method\":\"GET\",\"target\":\"/a?b\",\
                    \"version\":\"HTTP/1.1\",\"status\":200,\"body_bytes\":5,\"first_byte_seconds\":0.000040,\
                    \"seconds\":1.500042,\"user_agent\":\"curl \\\"8\\\"\\u000a\",\"request_id\":\"***\"}";
    let mut whole = record();
    whole.request_fields.insert(0, Value::Missing);
    assert_eq!(line(&json, &whole), expected);
    let refused = AccessRecord {
        peer: None,
        request_line: b"G\"T \xff".to_vec(),
        parts: None,
        request_fields: vec![Value::Missing, Value::Missing, Value::Missing],
        client: None,
        scheme: None,
        response_fields: vec![Value::Missing],
        status: None,
        first_byte: None,
        close: Some(CloseReason::Cut),
        ..record()
    };
    let expected = "{\"time\":\"1994-11-06T08:49:37Z\",\"request\":\"G\\\"T \u{fffd}\",\"body_bytes\":5,\
                    \"seconds\":1.500042,\"close\":\"cut\"}";
    assert_eq!(line(&json, &refused), expected);
    assert_eq!(line(&Format::parse("%a \"%r\" %s %F %X").unwrap(), &refused), "- \"G\\\"T \\xff\" - - cut");
}

#[test]
fn fields_of_secrets_are_masked() {
    let masked = |format: &Format, name: &str| {
        format.request_fields.iter().find(|field| field.name == name).expect(name).masked
    };
    let mut format = Format::parse("%{Cookie}i %{X-Key}i %{authorization}i %{a}i %{A}i").unwrap();
    assert_eq!(format.request_fields.len(), 4, "a name is noted once");
    assert!(masked(&format, "cookie") && masked(&format, "authorization") && !masked(&format, "x-key"));
    format.mask(&HeaderName::from_static("x-key"));
    assert!(masked(&format, "x-key") && !masked(&format, "a"));
}
