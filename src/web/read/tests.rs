//! What readers make of good and hostile input.
#![forbid(unsafe_code)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde::Deserialize;

use super::*;
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
fn text_is_utf8() {
    assert_eq!(now(post("", "grün".as_bytes()).text()).unwrap(), "grün");
    assert_eq!(now(chunked("", &[b"gr\xc3", b"\xbcn"]).text()).unwrap(), "grün", "a character in two pieces");
    for bad in [&b"\xff"[..], b"a\xc3", b"\xed\xa0\x80", b"\xc0\xaf"] {
        assert_eq!(refusal(now(post("", bad).text())), (400, "the body is not UTF-8".to_owned()), "{bad:?}");
    }
}

#[cfg(feature = "json")]
mod json {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Order {
        name: String,
        items: Vec<Item>,
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
            (r#"{"items": []}"#, 422, "JSON: missing field `name` at line 1 column 13"),
            (
                r#"{"name": 7, "items": []}"#,
                422,
                "JSON: `name`: invalid type: integer `7`, expected a string at line 1 column 10",
            ),
            (
                r#"{"name": "a", "items": [{"price": 1}, {"price": -1}]}"#,
                422,
                "JSON: `items[1].price`: invalid value: integer `-1`, expected u32 at line 1 column 50",
            ),
            (
                r#"{"name": "a", "items": [{"price": 1}, {"cost": 1}]}"#,
                422,
                "JSON: `items[1]`: missing field `price` at line 1 column 49",
            ),
            (
                r#"{"name": "a", "items": {"price": 1}}"#,
                422,
                "JSON: `items`: invalid type: map, expected a sequence at line 1 column 23",
            ),
            (&deep, 422, "JSON: `[0]`: invalid type: sequence, expected a string at line 1 column 1"),
        ];
        for (text, status, message) in cases {
            let found = refusal(now(post("application/json", text.as_bytes()).json::<Order>()));
            assert_eq!(found, (*status, (*message).to_owned()), "{:?}", &text[..text.len().min(80)]);
        }
        let nested = refusal(now(post("application/json", deep.as_bytes()).json::<serde_json::Value>()));
        assert_eq!(nested, (400, "JSON: recursion limit exceeded at line 1 column 128".to_owned()));
        let not_text = refusal(now(post("application/json", b"\"\xff\"").json::<String>()));
        assert_eq!(not_text.0, 400);
    }
}
