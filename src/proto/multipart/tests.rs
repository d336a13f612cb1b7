//! What the reader makes of good and hostile bodies, cut in every way; and that what is written is read back.
#![forbid(unsafe_code)]

use bytes::{Bytes, BytesMut};

use super::*;

/// What was read of a body: each part's head and content, and the error at the end.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    parts: Vec<(PartHead, Vec<u8>)>,
    error: Option<MultipartError>,
}

fn read(boundary: &str, limits: Limits, pieces: &[&[u8]]) -> Seen {
    let mut reader = Reader::new(boundary, limits);
    let mut seen = Seen::default();
    for piece in pieces {
        take(&mut reader, &mut Bytes::copy_from_slice(piece), &mut seen);
    }
    reader.end();
    take(&mut reader, &mut Bytes::new(), &mut seen);
    seen
}

fn take(reader: &mut Reader, input: &mut Bytes, seen: &mut Seen) {
    loop {
        match reader.next(input) {
            Ok(Event::Part(head)) => seen.parts.push((head, Vec::new())),
            Ok(Event::Data(data)) => {
                assert!(!data.is_empty());
                seen.parts.last_mut().expect("data is of a part").1.extend_from_slice(&data);
            }
            Ok(Event::PartEnd) => {}
            Ok(Event::End | Event::NeedMore) => return,
            Err(error) => {
                assert_eq!(reader.next(input), Err(error), "an error stays");
                seen.error = Some(error);
                // How much of a part came before its error depends on the pieces.
                if let Some((_, content)) = seen.parts.last_mut() {
                    content.clear();
                }
                return;
            }
        }
    }
}

/// Reads a body whole, byte by byte, and cut in two at every place: what comes out is the same.
fn read_in_every_way(boundary: &str, limits: Limits, body: &[u8]) -> Seen {
    let whole = read(boundary, limits, &[body]);
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(read(boundary, limits, &bytes), whole, "byte by byte: {}", body.escape_ascii());
    for at in 0..=body.len() {
        let (first, second) = body.split_at(at);
        assert_eq!(read(boundary, limits, &[first, second]), whole, "{at}: {}", body.escape_ascii());
    }
    whole
}

const NAMED: &str = "content-disposition: form-data; name=\"a\"\r\n\r\n";

#[test]
fn rfc2046_5_1_1_bodies_are_read() {
    type Case = (&'static str, &'static [&'static str]);
    const CASES: &[Case] = &[
        ("--x--\r\n", &[]),
        ("--x--", &[]),
        ("--x\r\nN1\r\n--x--\r\n", &["1"]),
        ("--x\r\nN1\r\n--x\r\nN2\r\n--x--", &["1", "2"]),
        ("preamble\r\n\r\n--y\r\n--x\r\nN1\r\n--x--epilogue\r\n--x\r\n", &["1"]),
        ("\r\n--x\r\nN1\r\n--x--", &["1"]),
        ("--x\t\r\nN1\r\n--x  \r\nN2\r\n--x--  \r\n", &["1", "2"]),
        // Content that looks like what it is not.
        ("--x\r\nN\r\n\r\n--\r\n--y--\r\r\n--x--", &["\r\n\r\n--\r\n--y--\r"]),
        ("--x\r\nN-x\n\n--x\r\r--x\r\n --x\r\n--x--", &["-x\n\n--x\r\r--x\r\n --x"]),
        ("--x\r\nN\r\n-\r\n--\r\n--\r\n--x--", &["\r\n-\r\n--\r\n--"]),
        // Without content, and with the line end before the delimiter left out.
        ("--x\r\nN\r\n--x--", &[""]),
        ("--x\r\nN--x--", &[""]),
        ("--x\r\nN--x\r\nN--x--", &["", ""]),
        // Without fields.
        ("--x\r\n\r\ntext\r\n--x--", &["text"]),
        ("--x\r\n\r\n\r\n--x--", &[""]),
    ];
    for (text, expected) in CASES {
        let body = text.replace('N', NAMED);
        let seen = read_in_every_way("x", Limits::default(), body.as_bytes());
        let contents: Vec<_> =
            seen.parts.iter().map(|(_, content)| str::from_utf8(content).unwrap()).collect();
        assert_eq!((contents.as_slice(), seen.error), (*expected, None), "{text:?}");
    }
}

#[test]
fn broken_bodies_are_refused() {
    use MultipartError::*;
    const CASES: &[(&str, MultipartError)] = &[
        ("", CutOff),
        ("no delimiter at all", CutOff),
        ("--", CutOff),
        ("--x", CutOff),
        ("--x-", CutOff),
        ("--x\r", CutOff),
        ("--x\r\n", CutOff),
        ("--x\r\nN", CutOff),
        ("--x\r\nN1", CutOff),
        ("--x\r\nN1\r\n--x", CutOff),
        ("--x\r\nN1\r\n--x\r\n", CutOff),
        ("--x\r\nN1\r\n--y--", CutOff),
        ("--x\nN1\n--x--", DelimiterInvalid),
        ("--xx\r\nN1\r\n--x--", DelimiterInvalid),
        ("--x-\r\nN1\r\n--x--", DelimiterInvalid),
        ("--x \t \r\nN1\r\n--x\t--", DelimiterInvalid),
        ("--x y\r\nN1\r\n--x--", DelimiterInvalid),
        ("--x\r\rN1\r\n--x--", DelimiterInvalid),
        ("--x\r\na: b\nc: d\r\n\r\n1\r\n--x--", HeadInvalid),
        ("--x\r\na: b\rc: d\r\n\r\n1\r\n--x--", HeadInvalid),
        ("--x\r\na: b\r\n c\r\n\r\n1\r\n--x--", HeadInvalid),
        ("--x\r\n a: b\r\n\r\n1\r\n--x--", HeadInvalid),
        ("--x\r\na : b\r\n\r\n1\r\n--x--", HeadInvalid),
        ("--x\r\na\r\n\r\n1\r\n--x--", HeadInvalid),
        ("--x\r\n: b\r\n\r\n1\r\n--x--", HeadInvalid),
        ("--x\r\na: \0\r\n\r\n1\r\n--x--", HeadInvalid),
        ("--x\r\ncontent-disposition: form-data; name=\"a\0b\"\r\n\r\n1\r\n--x--", HeadInvalid),
        ("--x\r\ncontent-type: a/b\r\ncontent-type: a/c\r\n\r\n1\r\n--x--", HeadInvalid),
        (
            "--x\r\ncontent-disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n\r\n\r\n--x--",
            DispositionInvalid,
        ),
    ];
    for (text, error) in CASES {
        let body = text.replace('N', NAMED);
        let seen = read_in_every_way("x", Limits::default(), body.as_bytes());
        assert_eq!(seen.error, Some(*error), "{text:?}");
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn limits_are_kept() {
    use MultipartError::*;
    let mut limits = Limits::default();
    limits.part_count_max = 2;
    limits.part_head_bytes_max = 60;
    limits.part_header_count_max = 2;
    limits.part_bytes_max = Some(5);
    limits.edge_bytes_max = 10;
    let part = format!("--x\r\n{NAMED}12345\r\n");
    let with_head = |head: &str| format!("--x\r\n{head}\r\n\r\n--x--");
    let cases = [
        (format!("{part}{part}--x--"), None),
        (format!("{part}{part}{part}--x--"), Some(PartsTooMany)),
        (part.replace("12345", "123456") + "--x--", Some(PartTooLarge)),
        (with_head(&format!("a: {}\r\n", "b".repeat(53))), None),
        (with_head(&format!("a: {}\r\n", "b".repeat(54))), Some(HeadTooLarge)),
        (with_head("a: b\r\nc: d\r\n"), None),
        (with_head("a: b\r\nc: d\r\ne: f\r\n"), Some(HeadTooLarge)),
        (format!("0123456789\r\n{part}--x--0123456789"), None),
        (format!("01234567890\r\n{part}--x--"), Some(EdgeTooLarge)),
        (format!("{part}--x--01234567890"), Some(EdgeTooLarge)),
    ];
    for (body, error) in cases {
        let seen = read_in_every_way("x", limits, body.as_bytes());
        assert_eq!(seen.error, error, "{body:?}");
        assert!(error.is_none_or(|error| error.status() == 413));
    }
}

/// A head without an end is refused when it passes its limit, not when memory does.
#[test]
fn a_head_that_never_ends_takes_no_memory() {
    let mut reader = Reader::new("x", Limits::default());
    assert_eq!(reader.next(&mut "--x\r\n".into()), Ok(Event::NeedMore));
    let mut fed = 0;
    let error = loop {
        match reader.next(&mut "a: b\r\n".into()) {
            Ok(event) => assert_eq!(event, Event::NeedMore),
            Err(error) => break error,
        }
        fed += 6;
    };
    assert_eq!(error, MultipartError::HeadTooLarge);
    assert!(fed <= Limits::default().part_head_bytes_max, "{fed}");
}

#[test]
fn data_is_a_view_of_the_input() {
    let body = Bytes::from(format!("--x\r\n{NAMED}{}\r\n--x--", "content".repeat(100)));
    let inside = body.as_ptr_range();
    let mut reader = Reader::new("x", Limits::default());
    let mut input = body;
    assert!(matches!(reader.next(&mut input), Ok(Event::Part(_))));
    let Ok(Event::Data(data)) = reader.next(&mut input) else { panic!("no data") };
    assert!(inside.contains(&data.as_ptr()) && data.len() == 700);
}

fn names_of(disposition: &str) -> Result<(Option<String>, Option<String>), MultipartError> {
    let lines = Bytes::from(format!("Content-Disposition: {disposition}\r\n\r\n"));
    let head = part_head::parse(&lines, 1)?;
    Ok((head.name().map(str::to_owned), head.file_name().map(str::to_owned)))
}

#[test]
fn rfc7578_4_2_names() {
    type Case = (&'static str, Option<&'static str>, Option<&'static str>);
    const GOOD: &[Case] = &[
        ("form-data", None, None),
        ("form-data; name=a", Some("a"), None),
        ("Form-Data;NAME=\"a\";FileName=\"b.txt\"", Some("a"), Some("b.txt")),
        ("form-data; name=\"\"; filename=\"\"", Some(""), Some("")),
        ("form-data; name=\"a;b=c\"; other=d", Some("a;b=c"), None),
        (r#"form-data; name="a\"b\\c"; filename="C:\dir\file""#, Some(r#"a"b\c"#), Some(r"C:\dir\file")),
        ("form-data; name=\"a%22b\"", Some("a%22b"), None),
        ("form-data; name=\"grün\"; filename=\"文\"", Some("grün"), Some("文")),
        ("form-data; name=a; filename*=UTF-8''gr%C3%BCn", Some("a"), Some("grün")),
        ("form-data; name=a; filename=x; filename*=iso-8859-1'de'gr%FCn", Some("a"), Some("grün")),
        ("attachment; filename=a b.txt", None, Some("a b.txt")),
    ];
    for &(disposition, name, file_name) in GOOD {
        let expected = Ok((name.map(str::to_owned), file_name.map(str::to_owned)));
        assert_eq!(names_of(disposition), expected, "{disposition}");
    }
    const BAD: &[&str] = &[
        "",
        "; name=a",
        "form data; name=a",
        "form-data; name",
        "form-data; name=\"a",
        "form-data; name=\"a\"b",
        "form-data; name=a; name=b",
        "form-data; name=a; filename=b; filename=c",
        "form-data; name=a; filename*=b",
        "form-data; name=a; filename*=UTF-8''%FF",
        "form-data; name=a; filename*=UTF-8''a%00b",
        "form-data; name=a; filename*=UTF-8''a%0D%0Ab",
        "form-data; name=a; filename*=utf-16''b",
        "form-data; name=\"a\tb\"",
        "form-data; name=\"a\u{85}b\"",
    ];
    for disposition in BAD {
        assert_eq!(names_of(disposition), Err(MultipartError::DispositionInvalid), "{disposition}");
    }
    let not_text = Bytes::from_static(b"Content-Disposition: form-data; name=\"\xff\"\r\n\r\n");
    assert_eq!(part_head::parse(&not_text, 1), Err(MultipartError::DispositionInvalid));
}

#[test]
fn rfc2046_5_1_1_boundaries() {
    let found = |value: &str| boundary(&ContentType::parse(value.as_bytes()).unwrap());
    let longest = "x".repeat(70);
    for (value, expected) in [
        ("multipart/form-data; boundary=x", "x"),
        ("multipart/form-data; charset=utf-8; BOUNDARY=\"a b\"", "a b"),
        ("multipart/form-data; boundary=----=_Part_1/2:3?", "----=_Part_1/2:3?"),
        (&format!("multipart/form-data; boundary={longest}"), longest.as_str()),
    ] {
        assert_eq!(found(value).as_deref(), Ok(expected), "{value}");
    }
    for value in [
        "multipart/form-data",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"x",
        "multipart/form-data; boundary=\"x \"",
        "multipart/form-data; boundary=x; boundary=x",
        "multipart/form-data; boundary=a*b",
        "multipart/form-data; boundary=\"a\rb\"",
        "multipart/form-data; boundary=grün",
        &format!("multipart/form-data; boundary={longest}x"),
    ] {
        assert_eq!(found(value), Err(MultipartError::BoundaryInvalid), "{value}");
    }
}

#[test]
fn file_names_become_safe() {
    let long = "ä".repeat(200);
    for (name, expected) in [
        ("a.txt", Some("a.txt")),
        ("../../etc/passwd", Some("passwd")),
        ("C:\\dir\\a b.txt", Some("a b.txt")),
        ("a\0b\r\n.txt", Some("ab.txt")),
        (".bashrc", Some("bashrc")),
        ("a.txt::$DATA", Some("$DATA")),
        ("exe.\u{202e}gpj", Some("exe.gpj")),
        (" .. ", None),
        ("dir/", None),
        ("", None),
        ("\0", None),
        (&long, Some(&long[..254])),
    ] {
        assert_eq!(safe_file_name(name).as_deref(), expected, "{name:?}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut body = BytesMut::new();
    let mut writer = Writer::new();
    writer.field(&mut body, "plain", "one\r\n--two");
    writer.file(&mut body, "a\"b\\c", "grün \"1\".txt", "text/plain");
    body.extend_from_slice(b"");
    writer.file(&mut body, "", "", "application/octet-stream");
    body.extend_from_slice(b"\r\n\0\xff");
    writer.end(&mut body);
    let of_form = writer.content_type("form-data");
    let boundary = boundary(&ContentType::parse(of_form.as_bytes()).unwrap()).unwrap();
    let seen = read_in_every_way(&boundary, Limits::default(), &body);
    let parts: Vec<_> = seen
        .parts
        .iter()
        .map(|(head, content)| (head.name().unwrap(), head.file_name(), content.as_slice()))
        .collect();
    let expected: [(&str, Option<&str>, &[u8]); 3] = [
        ("plain", None, b"one\r\n--two"),
        ("a\"b\\c", Some("grün \"1\".txt"), b""),
        ("", Some(""), b"\r\n\0\xff"),
    ];
    assert_eq!((parts.as_slice(), seen.error), (&expected[..], None));
    assert!(seen.parts[1].0.content_type().unwrap().is("text/plain"));
    assert_ne!(Writer::new().content_type("mixed"), Writer::new().content_type("mixed"));
}

#[test]
fn a_boundary_that_needs_quotes_gets_them() {
    let of_mixed = Writer::with_boundary("a b").content_type("mixed");
    assert_eq!(of_mixed, "multipart/mixed; boundary=\"a b\"");
    assert_eq!(boundary(&ContentType::parse(of_mixed.as_bytes()).unwrap()).as_deref(), Ok("a b"));
}

#[test]
fn control_characters_in_names_cannot_add_fields() {
    let mut body = BytesMut::new();
    Writer::with_boundary("x").file(&mut body, "a\r\nx: y", "b\0\n", "text/plain");
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains("name=\"a%0D%0Ax: y\"; filename=\"b%00%0A\"\r\n"), "{text}");
}

#[test]
fn names_in_forms_are_written_as_browsers_do() {
    const CASES: &[(&str, Option<&str>, &str)] = &[
        ("a", None, "name=\"a\""),
        ("a\"b\\c%", Some("\"\\%"), "name=\"a%22b\\c%\"; filename=\"%22\\%\""),
        (
            "\ra\nb\r\nc\n\r",
            Some("\ra\n"),
            "name=\"%0D%0Aa%0D%0Ab%0D%0Ac%0D%0A%0D%0A\"; filename=\"%0Da%0A\"",
        ),
        ("grün\0\t\u{7f}", Some(""), "name=\"grün%00%09%7F\"; filename=\"\""),
    ];
    for (name, file_name, expected) in CASES {
        let value = form_disposition(name, *file_name);
        assert_eq!(value.as_bytes(), format!("form-data; {expected}").as_bytes(), "{name:?} {file_name:?}");
    }
}
