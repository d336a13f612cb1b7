//! The server's way to a WebSocket.
#![forbid(unsafe_code)]

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
    /// It is ready at once.
    #[expect(clippy::unused_async, reason = "a way to wait is not to be a breaking change")]
    pub async fn websocket(self, config: WebSocketConfig) -> Result<WebSocket> {
        Session::accept(self, config).map(WebSocket::new)
    }
}
