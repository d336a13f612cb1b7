//! Opening handshakes: what is refused, and what is chosen.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn openings_that_are_refused() {
    let cases: &[(&str, &str, u16, &str)] = &[
        ("Upgrade: websocket", "", 426, "sec-websocket-version: 13\r\n"),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426, "upgrade: websocket\r\n"),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426, "connection: upgrade\r\n"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", 400, ""),
        ("GET", "POST", 405, "allow: GET\r\n"),
        ("Host: a", "Host: a\r\nOrigin: https://evil.example", 403, ""),
        ("Host: a", "Host: a\r\nContent-Length: 2", 400, ""),
    ];
    for (what, other, status, field) in cases {
        let opening = String::from_utf8(OPENING.to_vec())
            .unwrap()
            .replace(what, other)
            .replace("\r\n\r\n\r\n", "\r\n\r\n");
        let opening = opening.replace("a\r\n\r\nConnection", "a\r\nConnection");
        let mut bench =
            Bench::new(async |request: Request| match request.websocket(WebSocketConfig::default()).await {
                Ok(_) => Response::text("opened"),
                Err(error) => error.into(),
            });
        let answer = bench.send(opening.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{opening}\n{answer}");
        assert!(answer.contains(field), "{opening}\n{answer}");
        if *status != 400 {
            assert_eq!(statuses(&bench.send(GET)), ["426"], "the connection goes on");
        }
    }
}

#[test]
fn pages_of_the_same_host_and_of_listed_origins_may_open_a_socket() {
    use crate::conn::websocket::AllowedOrigins;
    let list = AllowedOrigins::List(vec!["https://app.example".to_owned()]);
    let cases = [
        (AllowedOrigins::SameHost, "http://a", true),
        (AllowedOrigins::SameHost, "http://b", false),
        (AllowedOrigins::SameHost, "null", false),
        (list.clone(), "https://app.example", true),
        (list.clone(), "http://a", true),
        (list, "https://other.example", false),
        (AllowedOrigins::Any, "null", true),
    ];
    for (origins, origin, opens) in cases {
        let mut config = WebSocketConfig::default();
        config.origins = origins.clone();
        let mut bench =
            Bench::new(async move |request: Request| match request.websocket(config.clone()).await {
                Ok(socket) => {
                    sleeper(socket).await;
                    Response::text("")
                }
                Err(error) => error.into(),
            });
        let opening = String::from_utf8(OPENING.to_vec()).unwrap();
        let answer =
            bench.send(opening.replace("Host: a", &format!("Host: a\r\nOrigin: {origin}")).as_bytes());
        assert_eq!(answer.contains(" 101 "), opens, "{origins:?} {origin}: {answer}");
    }
}

#[test]
fn the_clients_protocols_are_chosen_from() {
    let mut config = WebSocketConfig::default();
    config.protocols = vec!["chat.v1".to_owned(), "chat.v2".to_owned()];
    let mut bench = Bench::new(async move |request: Request| {
        let socket = request.websocket(config.clone()).await.expect("a good request");
        assert_eq!(socket.protocol(), Some("chat.v2"));
        sleeper(socket).await;
        Response::text("")
    });
    let opening = String::from_utf8(OPENING.to_vec()).unwrap();
    let answer =
        bench.send(opening.replace("Host: a", "Host: a\r\nSec-WebSocket-Protocol: x, chat.v2").as_bytes());
    assert!(answer.contains("sec-websocket-protocol: chat.v2\r\n"), "{answer}");
}
