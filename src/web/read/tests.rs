//! What readers make of good and hostile input.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde::Deserialize;

use super::FormConfig;
use crate::conn::Request;
use crate::error::Result;
use crate::testing;
use crate::web::names::place;

/// The result of a reader that has nothing to wait for.
fn now<T>(reader: impl Future<Output = T>) -> T {
    match pin!(reader).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the reader waits"),
    }
}

fn get(target: &str) -> Request {
    testing::request(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes())
}

/// A request on the route `/users/{id}`.
fn on_route(target: &str) -> Request {
    let mut request = get(target);
    let values = vec![("/users/".len().try_into().unwrap(), request.path().len().try_into().unwrap())];
    let matched = request.matched_mut();
    matched.route = Some(place("/users/{id}"));
    matched.values = values;
    request
}

fn post(content_type: &str, body: &[u8]) -> Request {
    let field =
        if content_type.is_empty() { String::new() } else { format!("content-type: {content_type}\r\n") };
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{field}content-length: {}\r\n\r\n", body.len());
    testing::request(&[head.as_bytes(), body].concat())
}

/// Status and text of what was refused.
fn refusal<T>(result: Result<T>) -> (u16, String) {
    match result {
        Ok(_) => (200, String::new()),
        Err(error) => (error.status().as_u16(), error.text().to_owned()),
    }
}

#[test]
fn parameters_are_decoded_and_parsed() {
    let cases: &[(&str, std::result::Result<&str, u16>)] = &[
        ("/users/7", Ok("7")),
        ("/users/a%20b", Ok("a b")),
        ("/users/a+b", Ok("a+b")),
        ("/users/%C3%A4", Ok("ä")),
        ("/users/%c3%a4", Ok("ä")),
        ("/users/a%2Fb", Ok("a/b")),
        ("/users/100%", Ok("100%")),
        ("/users/%zz", Ok("%zz")),
        ("/users/%00", Ok("\0")),
        ("/users/%FF", Err(400)),
        ("/users/%C3", Err(400)),
        ("/users/%ED%A0%80", Err(400)),
    ];
    for (target, expected) in cases {
        let request = on_route(target);
        let found = request.param::<String>("id").map_err(|error| error.status().as_u16());
        assert_eq!(found.as_deref(), expected.as_ref().copied(), "{target}");
    }
    assert!(matches!(on_route("/users/plain").param_str("id"), Ok(Cow::Borrowed("plain"))));
}

#[test]
fn what_is_wrong_with_a_parameter_is_said() {
    assert_eq!(on_route("/users/7").param::<u32>("id").unwrap(), 7);
    let cases: &[(&str, &str)] = &[
        ("/users/x", "path parameter `id`: invalid digit found in string"),
        ("/users/-1", "path parameter `id`: invalid digit found in string"),
        ("/users/4294967296", "path parameter `id`: number too large to fit in target type"),
        ("/users/%FF", "path parameter `id` is not UTF-8"),
    ];
    for (target, text) in cases {
        let found = refusal(on_route(target).param::<u32>("id"));
        assert_eq!(found, (400, (*text).to_owned()), "{target}");
    }
}

#[test]
fn a_parameter_that_the_route_does_not_have_is_our_fault() {
    let error = on_route("/users/7").param_str("name").unwrap_err();
    assert_eq!(error.status(), 500);
    assert_eq!(error.text(), "Internal Server Error", "the client learns nothing of it");
    assert!(format!("{error:?}").contains("`/users/{id}` has no parameter `name`"), "{error:?}");
    assert_eq!(refusal(get("/").param_str("id")).0, 500);
}

#[test]
fn the_route_is_the_pattern() {
    assert_eq!(on_route("/users/7").route(), "/users/{id}");
    assert_eq!(get("/users/7").route(), "");
}

#[test]
fn a_value_that_does_not_fit_is_quoted_in_part() {
    #[derive(Deserialize)]
    enum Color {
        Red,
        Blue,
    }
    type Colors = std::collections::BTreeMap<String, Color>;

    assert!(matches!(get("/?paint=Blue").query::<Colors>().unwrap()["paint"], Color::Blue));
    let (status, text) = refusal(get(&format!("/?paint={}", "x".repeat(2000))).query::<Colors>());
    assert!(status == 400 && text.starts_with("query: `paint`: unknown variant `xxx"), "{status} {text}");
    assert!(text.len() < 300 && text.ends_with("x…"), "{text}");
}

#[derive(Debug, Deserialize, PartialEq)]
struct Search {
    text: String,
    #[serde(default)]
    tag: Vec<String>,
    page: Option<u32>,
}

#[test]
fn a_query_is_read_by_field_names() {
    let search = |text: &str, tags: &[&str], page| Search {
        text: text.to_owned(),
        tag: tags.iter().map(|&tag| tag.to_owned()).collect(),
        page,
    };
    let good = [
        ("/?text=a", search("a", &[], None)),
        ("/?text=a+b%2B%26c&page=2", search("a b+&c", &[], Some(2))),
        ("/?tag=x&text=&tag=y", search("", &["x", "y"], None)),
        ("/?tag=x&text=%C3%A4&other=1", search("ä", &["x"], None)),
        ("/?text=a&&=", search("a", &[], None)),
        ("/?text=a?b/c", search("a?b/c", &[], None)),
    ];
    for (target, expected) in good {
        assert_eq!(get(target).query::<Search>().unwrap(), expected, "{target}");
    }
    for target in ["/", "/?", "/?text", "/?page=2", "/?text=a&page=x", "/?text=a&page=-1", "/?text=a&text=b"]
    {
        let found = get(target).query::<Search>();
        match target {
            // A name without `=` has an empty value.
            "/?text" => assert_eq!(found.unwrap(), search("", &[], None)),
            "/?text=a&page=x" => {
                assert_eq!(refusal(found), (400, "query: `page`: invalid digit found in string".to_owned()));
            }
            _ => {
                let (status, text) = refusal(found);
                assert!(status == 400 && text.starts_with("query: "), "{target}: {status} {text}");
            }
        }
    }
}

/// A chunked request whose body comes in these pieces.
fn chunked(content_type: &str, pieces: &[&[u8]]) -> Request {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let mut message = head.into_bytes();
    for piece in pieces {
        message.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        message.extend_from_slice(piece);
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"0\r\n\r\n");
    testing::request(&message)
}

#[test]
fn a_body_in_pieces_is_joined() {
    assert_eq!(now(post("", b"").bytes()).unwrap(), "");
    assert_eq!(now(post("", b"one").bytes()).unwrap(), "one");
    assert_eq!(now(chunked("", &[b"one", b" two", b" three"]).bytes()).unwrap(), "one two three");
    let large = vec![b'x'; 200_000];
    assert_eq!(now(chunked("", &[&large, b"y", &large]).bytes()).unwrap().len(), 400_001);
}

#[test]
fn an_announced_length_gets_no_memory_and_is_refused_beyond_the_limit() {
    let mut request =
        testing::request(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000000000000000\r\n\r\nx");
    assert_eq!(refusal(now(request.bytes())).0, 413);
    let mut request = chunked("", &[b"12345", b"6"]);
    request.body().set_limit(5);
    assert_eq!(refusal(now(request.bytes())).0, 413);
    let mut request = chunked("", &[b"1234", b"5"]);
    request.body().set_limit(5);
    assert_eq!(now(request.bytes()).unwrap(), "12345");
}

#[test]
fn what_is_put_back_is_read_next() {
    let mut request = chunked("", &[b"one", b"two"]);
    let first = now(request.chunk()).unwrap().unwrap();
    request.body().unread(first);
    request.body().unread("zero".into());
    assert_eq!(now(request.bytes()).unwrap(), "zeroonetwo");
    request.body().unread("again".into());
    assert_eq!(now(request.bytes()).unwrap(), "again");
    assert_eq!(refusal(now(request.bytes())).0, 500);
    // As a parser does that takes byte by byte.
    let body: Vec<u8> = (0..=255).cycle().take(60_000).collect();
    let (mut request, mut seen) = (post("", &body), Vec::new());
    while let Some(mut piece) = now(request.chunk()).unwrap() {
        request.body().unread(piece.split_off(1));
        seen.push(piece[0]);
    }
    assert_eq!(seen, body);
}

#[test]
fn text_is_in_its_charset() {
    type Case = (&'static str, &'static [u8], std::result::Result<&'static str, (u16, &'static str)>);
    const CASES: &[Case] = &[
        ("", "grün".as_bytes(), Ok("grün")),
        ("text/plain; charset=UTF-8", b"\xef\xbb\xbfgr\xc3\xbcn", Ok("grün")),
        ("text/plain; charset=\"iso-8859-1\"", b"gr\xfcn", Ok("grün")),
        ("text/plain;charset=windows-1252", b"\x80", Ok("€")),
        ("no media type", b"a", Ok("a")),
        ("", b"\xff", Err((400, "the body is not UTF-8"))),
        ("", b"a\xc3", Err((400, "the body is not UTF-8"))),
        ("", b"\xed\xa0\x80", Err((400, "the body is not UTF-8"))),
        ("", b"\xc0\xaf", Err((400, "the body is not UTF-8"))),
        ("text/plain; charset=us-ascii", b"\xc3\xa4", Err((400, "the body is not US-ASCII"))),
        (
            "text/plain; charset=utf-7",
            b"a",
            Err((415, "the body is in a charset other than utf-8, us-ascii, iso-8859-1 and windows-1252")),
        ),
    ];
    for (content_type, body, expected) in CASES {
        let found = now(post(content_type, body).text());
        let found = found.map_err(|error| (error.status().as_u16(), error.text().to_owned()));
        let expected = expected.map(str::to_owned).map_err(|(status, text)| (status, text.to_owned()));
        assert_eq!(found, expected, "{content_type:?} {}", body.escape_ascii());
    }
    assert_eq!(now(chunked("", &[b"gr\xc3", b"\xbcn"]).text()).unwrap(), "grün", "a character in two pieces");
}

#[test]
fn query_pairs_are_decoded_in_their_order() {
    let request = get("/?b=1&a=x+y&b=%C3%A4&c");
    let pairs: Result<Vec<_>> = request.query_pairs().collect();
    let expected =
        [("b", "1"), ("a", "x y"), ("b", "ä"), ("c", "")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(pairs.unwrap(), expected);
    assert_eq!(get("/").query_pairs().count(), 0);
    let broken = get("/?a=1&b=%FF&c=2");
    let found: Vec<_> = broken.query_pairs().map(refusal).collect();
    let refused = (400, "query: `b` is not UTF-8".to_owned());
    assert_eq!(found, [(200, String::new()), refused.clone(), (200, String::new())]);
    assert_eq!(refusal(broken.query::<Vec<(String, String)>>()), refused);
}

#[test]
fn the_content_type_is_parsed() {
    assert!(post("Text/CSV; charset=latin1", b"").content_type().unwrap().is("text/csv"));
    assert!(post("csv", b"").content_type().is_none());
    assert!(get("/").content_type().is_none());
}

mod form {
    use std::collections::HashMap;

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn forms_are_read_by_field_names() {
        let mut request = post(FORM, b"tag=x&text=a+%26+b&tag=y&page=7");
        let expected = Search { text: "a & b".into(), tag: vec!["x".into(), "y".into()], page: Some(7) };
        assert_eq!(now(request.form::<Search>()).unwrap(), expected);
        let mut request = chunked(FORM, &[b"text=%C", b"3%A4"]);
        assert_eq!(now(request.form::<Search>()).unwrap().text, "ä", "in pieces");
        let mut request = post(FORM, b"a=1&b=2&a=3");
        let pairs: Vec<(String, u8)> = now(request.form()).unwrap();
        assert_eq!(pairs, [("a".into(), 1), ("b".into(), 2), ("a".into(), 3)]);
    }

    #[test]
    fn only_forms_in_utf8_are_read() {
        for (content_type, status) in [
            (FORM, 200),
            ("Application/X-WWW-Form-Urlencoded; charset=UTF-8", 200),
            ("application/x-www-form-urlencoded; charset=latin1", 415),
            ("application/json", 415),
            ("multipart/mixed; boundary=x", 415),
            ("", 415),
        ] {
            let found = refusal(now(post(content_type, b"text=a").form::<Search>()));
            assert_eq!(found.0, status, "{content_type:?} {}", found.1);
        }
    }

    #[test]
    fn what_is_wrong_with_a_form_is_said() {
        const CASES: &[(&str, u16, &str)] = &[
            ("", 422, "form: missing field `text`"),
            ("page=1", 422, "form: missing field `text`"),
            ("text=a&x=y&page=z", 422, "form: `page`: invalid digit found in string"),
            ("page=300000000000&text=a", 422, "form: `page`: number too large to fit in target type"),
            ("text=a&text=b", 422, "form: `text`: given more than once"),
            ("text=%FF", 400, "form: `text` is not UTF-8"),
            ("text=a&other=%FF", 400, "form: `other` is not UTF-8"),
            ("text=a&n%00=%00", 200, ""),
        ];
        for (body, status, text) in CASES {
            let found = refusal(now(post(FORM, body.as_bytes()).form::<Search>()));
            assert!(found.0 == *status && found.1.starts_with(text), "{body:?}: {found:?}");
        }
        let numbers = refusal(now(post(FORM, b"a=1&b=2&a=3&c=x&d=4").form::<HashMap<String, Vec<u8>>>()));
        assert_eq!(numbers, (422, "form: `c`: invalid digit found in string".to_owned()));
    }

    #[test]
    fn the_number_of_fields_is_bounded() {
        let with = |count: usize| "a=1&".repeat(count).into_bytes();
        let read = |body: &[u8]| refusal(now(post(FORM, body).form::<Vec<(String, u8)>>()));
        assert_eq!(read(&with(1000)).0, 200);
        let refused = (413, "form: more than 1000 fields".to_owned());
        assert_eq!(read(&with(1001)), refused);
        assert_eq!(read(&with(100_000)), refused);
        let mut config = FormConfig::default();
        config.fields_max = 2;
        let limited = |count| refusal(now(post(FORM, &with(count)).form_with::<Vec<(String, u8)>>(config))).0;
        assert_eq!((limited(2), limited(3)), (200, 413));
    }
}

mod content {
    use super::*;

    fn lines(request: &mut Request, limit: usize) -> (Vec<String>, u16) {
        let mut content = request.content();
        content.set_line_limit(limit);
        let mut lines = Vec::new();
        loop {
            match now(content.line()) {
                Ok(Some(line)) => lines.push(String::from_utf8(line.into()).unwrap()),
                Ok(None) => return (lines, 200),
                Err(error) => return (lines, error.status().as_u16()),
            }
        }
    }

    #[test]
    fn lines_are_given_without_their_ends() {
        const CASES: &[(&str, &[&str])] = &[
            ("", &[]),
            ("\n", &[""]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("a\r\nb\n\nc\rd", &["a", "b", "", "c\rd"]),
            ("\r\n\r\n", &["", ""]),
            ("a\r", &["a\r"]),
        ];
        for (text, expected) in CASES {
            assert_eq!(lines(&mut post("", text.as_bytes()), 100).0, *expected, "{text:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(lines(&mut chunked("", &bytes), 100).0, *expected, "{text:?} byte by byte");
        }
    }

    #[test]
    fn lines_have_a_limit() {
        let read = |pieces: &[&[u8]]| lines(&mut chunked("", pieces), 3);
        assert_eq!(read(&[b"abc\r\nabc\n", b"abc"]), (vec!["abc".to_owned(); 3], 200));
        assert_eq!(read(&[b"abc\nabcd\n"]), (vec!["abc".to_owned()], 413));
        assert_eq!(read(&[b"a", b"bcd", b"e"]), (vec![], 413));
        let endless = vec![b'x'; 200_000];
        assert_eq!(lines(&mut post("", &endless), 64 * 1024), (vec![], 413));
    }

    /// What stands before each mark.
    fn blocks(pieces: &[&[u8]], mark: &[u8], limit: usize) -> (Vec<String>, u16) {
        let mut request = chunked("", pieces);
        let mut content = request.content();
        content.set_line_limit(limit);
        let mut blocks = Vec::new();
        loop {
            match now(content.until(mark)) {
                Ok(Some(block)) => blocks.push(String::from_utf8(block.into()).unwrap()),
                Ok(None) => return (blocks, 200),
                Err(error) => return (blocks, error.status().as_u16()),
            }
        }
    }

    #[test]
    fn marks_are_found_however_they_are_cut() {
        const CASES: &[(&str, &str, &[&str])] = &[
            ("", "--", &[]),
            ("--", "--", &[""]),
            ("a--b", "--", &["a", "b"]),
            ("a---b-", "--", &["a", "-b-"]),
            ("aaab", "aab", &["a"]),
            ("one\r\n\r\ntwo\r\n\rthree\r\n\r\n", "\r\n\r\n", &["one", "two\r\n\rthree"]),
            ("a,b,,c", ",", &["a", "b", "", "c"]),
        ];
        for (text, mark, expected) in CASES {
            for piece_bytes in 1..=text.len().max(1) {
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(piece_bytes).collect();
                let found = blocks(&pieces, mark.as_bytes(), 100);
                assert_eq!(
                    found,
                    (expected.iter().map(|&block| block.to_owned()).collect(), 200),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn what_stands_before_a_mark_has_a_limit() {
        let abc = || vec!["abc".to_owned()];
        assert_eq!(
            blocks(&[b"abc--", b"abc", b"-", b"-abc"], b"--", 3),
            (["abc"; 3].map(str::to_owned).into(), 200)
        );
        assert_eq!(blocks(&[b"abc--abcd--"], b"--", 3), (abc(), 413));
        assert_eq!(blocks(&[b"abc-", b"-abcd"], b"--", 3), (abc(), 413));
        assert_eq!(blocks(&[b"a", b"b", b"c", b"-", b"x", b"y", b"z"], b"--", 3), (vec![], 413));
    }

    #[test]
    fn pieces_are_no_longer_than_asked_for() {
        let mut request = chunked("", &[b"12345", b"6", b"789"]);
        let mut content = request.content();
        let mut found = Vec::new();
        while let Some(piece) = now(content.at_most(2)).unwrap() {
            found.push(piece);
        }
        assert_eq!(found, ["12", "34", "5", "6", "78", "9"]);
        assert_eq!(now(content.at_most(2)).unwrap(), None);
    }

    #[test]
    fn lengths_and_lines_follow_each_other() {
        let mut request = chunked("", &[b"5\nhel", b"lo2\nab", b"rest", b" of it"]);
        let mut content = request.content();
        let mut take = |count| now(content.exactly(count)).unwrap().unwrap();
        assert_eq!((take(2), take(5), take(0)), ("5\n".into(), "hello".into(), "".into()));
        assert_eq!(now(content.line()).unwrap().unwrap(), "2");
        assert_eq!(now(content.exactly(3)).unwrap().unwrap(), "abr");
        assert_eq!(now(content.chunk()).unwrap().unwrap(), "est");
        assert_eq!(now(content.exactly(6)).unwrap().unwrap(), " of it");
        assert_eq!(now(content.exactly(1)).unwrap(), None);
        let mut request = post("", b"abc");
        let refused = refusal(now(request.content().exactly(usize::MAX)));
        assert_eq!(refused.0, 400);
        assert!(refused.1.starts_with("the body ends after 3 of"), "{}", refused.1);
    }
}

#[cfg(feature = "json")]
mod json {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Order {
        name: String,
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its refusal matters")]
    struct Two {
        even: Even,
    }

    /// Refused by our own code, which knows no position.
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "u8")]
    struct Even;

    impl TryFrom<u8> for Even {
        type Error = &'static str;

        fn try_from(number: u8) -> std::result::Result<Self, &'static str> {
            if number.is_multiple_of(2) { Ok(Self) } else { Err("odd") }
        }
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Item {
        price: u32,
    }

    #[test]
    fn only_json_types_are_read_as_json() {
        let cases: &[(&str, u16)] = &[
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("application/json;charset=utf-8", 200),
            ("application/vnd.api+json", 200),
            ("application/problem+JSON ; a=b", 200),
            ("", 415),
            ("text/plain", 415),
            ("text/json", 415),
            ("application/jsonx", 415),
            ("application/x-www-form-urlencoded", 415),
            ("text/plain; application/json", 415),
            ("+json", 415),
            ("json", 415),
        ];
        for (content_type, status) in cases {
            let found = refusal(now(post(content_type, b"[1]").json::<Vec<u8>>()));
            assert_eq!(found.0, *status, "{content_type:?} {}", found.1);
        }
    }

    #[test]
    fn json_in_pieces_is_read() {
        let mut request =
            chunked("application/json", &[b"{\"name\": \"a\", \"it", b"ems\": [{\"price\"", b": 7}]}"]);
        let order: Order = now(request.json()).unwrap();
        assert_eq!(order, Order { name: "a".to_owned(), items: vec![Item { price: 7 }] });
    }

    #[test]
    fn what_is_wrong_with_json_is_said() {
        let deep = "[".repeat(100_000);
        let cases: &[(&str, u16, &str)] = &[
            ("", 400, "JSON: EOF while parsing a value at line 1 column 0"),
            ("{", 400, "JSON: EOF while parsing an object at line 1 column 1"),
            ("{\n  \"name\": 'a'}", 400, "JSON: expected value at line 2 column 11"),
            (r#"{"name": "a", "items": []} x"#, 400, "JSON: trailing characters at line 1 column 28"),
            (r#"{"name": "a", "items": [{"price": 01}]}"#, 400, "JSON: invalid number at line 1 column 36"),
            (r#"{"items": []}"#, 422, "JSON: missing field `name`"),
            (
                r#"{"name": 7, "items": []}"#,
                422,
                "JSON: `name`: invalid type: integer `7`, expected a string",
            ),
            (
                r#"{"name": "a", "items": [{"price": 1}, {"price": -1}]}"#,
                422,
                "JSON: `items[1].price`: invalid value: integer `-1`, expected u32",
            ),
            (
                r#"{"name": "a", "items": [{"price": 1}, {"cost": 1}]}"#,
                422,
                "JSON: `items[1]`: missing field `price`",
            ),
            (
                r#"{"name": "a", "items": {"price": 1}}"#,
                422,
                "JSON: `items`: invalid type: map, expected a sequence",
            ),
            (&deep, 422, "JSON: `[0]`: invalid type: sequence, expected a string"),
        ];
        for (text, status, message) in cases {
            let found = refusal(now(post("application/json", text.as_bytes()).json::<Order>()));
            assert_eq!(found, (*status, (*message).to_owned()), "{:?}", &text[..text.len().min(80)]);
        }
        let key = "ä".repeat(500);
        let long = format!("{{\"{key}\": true}}");
        let (_, message) =
            refusal(now(post("application/json", long.as_bytes()).json::<BTreeMap<String, u8>>()));
        assert!(message.starts_with(&format!("JSON: `{}…`: invalid type", "ä".repeat(100))), "{message}");
        let price = "\u{7f}".repeat(100_000);
        let quoted = format!(r#"{{"name":"a","items":[{{"price":"{price}"}}]}}"#);
        let (status, message) = refusal(now(post("application/json", quoted.as_bytes()).json::<Order>()));
        assert!(status == 422 && message.len() < 1000, "{status}, {} bytes", message.len());
        assert!(message.starts_with("JSON: `items[0].price`: invalid type: string \"\\u{7f}"), "{message}");
        let mut lines = post("application/x-ndjson", format!("{quoted}\n").as_bytes());
        let mut lines = lines.json_lines::<Order>().unwrap().with_line_bytes_max(200_000);
        let (status, message) = refusal(now(lines.next()));
        assert!(status == 422 && message.len() < 1000, "{status}, {} bytes", message.len());
        let ours =
            refusal(now(post("application/json", br#"[{"even": 2}, {"even": 3}]"#).json::<Vec<Two>>()));
        assert_eq!(ours, (422, "JSON: `[1].even`: odd".to_owned()), "the last field of all");
        let nested = refusal(now(post("application/json", deep.as_bytes()).json::<serde_json::Value>()));
        assert_eq!(nested, (400, "JSON: recursion limit exceeded at line 1 column 128".to_owned()));
        let depth = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let of_depth = |levels| {
            let body = depth(levels);
            refusal(now(post("application/json", body.as_bytes()).json::<serde_json::Value>())).0
        };
        assert_eq!((of_depth(127), of_depth(128)), (200, 400));
        let marked = now(post("application/json", b"\xef\xbb\xbf[1]").json::<Vec<u8>>());
        assert_eq!(marked.unwrap(), [1], "a byte order mark is left out");
        let not_text = refusal(now(post("application/json", b"\"\xff\"").json::<String>()));
        assert_eq!(not_text.0, 400);
    }
}
