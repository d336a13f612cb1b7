//! WebSockets over real sockets, on both drivers.

use ringhttp::testing::{each_driver, serve_on};
use ringhttp::websocket::Closed;
use ringhttp::{Request, Result, Router, ServerConfig, WebSocketConfig};

mod client {
    //! Frames as a client sends them.

    pub(crate) const OPENING: &str = "GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

    pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0x80 | u8::try_from(payload.len()).expect("a short one"), 1, 2, 3, 4];
        bytes.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }
}

use client::{OPENING, frame};

async fn echo(_: &(), req: Request) -> Result<Closed> {
    let mut socket = req.websocket(WebSocketConfig::default()).await?;
    while let Some(message) = socket.receive().await? {
        socket.send(message).await?;
    }
    Ok(socket.close().await?)
}

#[test]
fn what_came_before_a_fault_is_answered_before_it_is_closed() {
    each_driver(async |core| {
        let routes = Router::new().get("/ws", echo);
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let mut connection = client.raw(OPENING).await;
            let answer = connection.response(&http::Method::GET).await;
            assert_eq!(answer.status, 101);
            connection.send([frame(0x81, b"fine"), frame(0xa1, b"bad"), frame(0x89, b"")].concat()).await;
            let rest = connection.receive_all().await;
            assert_eq!(rest[..6], *b"\x81\x04fine", "{}", rest.escape_ascii());
        })
        .await;
    });
}
