//! The server's way to a WebSocket.
#![forbid(unsafe_code)]

use std::future::ready;

use http::HeaderMap;

use super::socket::WebSocket;
use crate::conn::Request;
use crate::conn::websocket::{Session, WebSocketConfig};
use crate::error::Result;

impl Request {
    /// Answers with `101 Switching Protocols`, and makes a WebSocket of the connection. Messages that came right behind the
    /// request are not lost.
    ///
    /// The handler then is the session: close the socket before it returns. It may also move the socket into a task: the
    /// connection keeps its place among the others until the socket has ended.
    ///
    /// # Errors
    /// The request stays an ordinary one, and `?` answers it (RFC 6455 §4.2.2, §4.4):
    /// - 426 with `Upgrade` and `Sec-WebSocket-Version` if it asks for no WebSocket, or for another version than 13;
    /// - 405 if it is no GET, 400 if it is HTTP/1.0, its key is invalid or it has a body that was not read;
    /// - 403 if a page of another origin made it ([`WebSocketConfig::origins`]);
    /// - 500 if a value in `config` cannot work (the error names the field), or if the request has been answered.
    ///
    /// # Cancellation
    /// The request is answered by the call; the future is ready at once.
    pub fn websocket(self, config: WebSocketConfig) -> impl Future<Output = Result<WebSocket>> {
        self.websocket_with(config, &HeaderMap::new())
    }

    /// As [`websocket`](Self::websocket), with fields of the application in the 101: a cookie, mostly. Those that are the
    /// handshake's own business (`Connection`, `Upgrade`, `Sec-WebSocket-…`) are not taken from there.
    ///
    /// ```
    /// use ringhttp::websocket::Closed;
    /// use ringhttp::{HeaderMap, HeaderValue, Request, Result, WebSocketConfig};
    ///
    /// async fn visit(_: &(), req: Request) -> Result<Closed> {
    ///     let mut headers = HeaderMap::new();
    ///     headers.insert("set-cookie", HeaderValue::from_static("visited=yes; Path=/"));
    ///     let socket = req.websocket_with(WebSocketConfig::default(), &headers).await?;
    ///     Ok(socket.close().await?)
    /// }
    /// # let _ = ringhttp::Router::new().get("/ws", visit);
    /// ```
    ///
    /// # Errors
    /// As [`websocket`](Self::websocket), and 500 if a field cannot be sent.
    ///
    /// # Cancellation
    /// As [`websocket`](Self::websocket).
    pub fn websocket_with(
        self,
        config: WebSocketConfig,
        headers: &HeaderMap,
    ) -> impl Future<Output = Result<WebSocket>> + use<> {
        // No `async fn`: the handler's future would keep room for the whole configuration as long as the socket lives.
        ready(Session::accept(self, config, headers).map(WebSocket::new))
    }
}
