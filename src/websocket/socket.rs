//! A WebSocket as its handler holds it.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::closed::Closed;
use super::sender::Sender;
use crate::conn::websocket::{Compression, Encoded, Message, Session, WebSocketError};
use crate::proto::websocket::{CloseCode, CloseFrame};

/// An open WebSocket, of either side. Dropping it without closing it closes it: with 1011 on a server, with 1001 on a client, and with
/// 1007 right after [`receive_json`](WebSocket::receive_json) has failed for what the peer sent.
pub struct WebSocket {
    sender: Sender,
    /// What is the matter if it is dropped without being closed.
    dropped_with: CloseCode,
}

impl WebSocket {
    pub(crate) fn new(session: Rc<Session>) -> Self {
        let dropped_with = session.code_of_drop();
        Self { sender: Sender { session }, dropped_with }
    }

    fn session(&self) -> &Session {
        &self.sender.session
    }

    /// The next message; `None` when there will be no more, because either side closes or the peer has gone:
    /// [`close_code`](Self::close_code) says which.
    ///
    /// A text is a view of the buffer it came in, as binary messages are. Pings are answered, and not given out, unless
    /// [`autoping`](crate::WebSocketConfig::autoping) is off.
    ///
    /// # Errors
    /// [`WebSocketError::Fault`] if the peer broke the protocol or a limit, [`HeartbeatLost`](WebSocketError::HeartbeatLost) and
    /// [`Stalled`](WebSocketError::Stalled) if it is silent: the connection ends then, and the next call gives `None`.
    /// [`ReceiveTimeout`](WebSocketError::ReceiveTimeout) after `receive_timeout`: the socket goes on.
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives the message that this one would have.
    pub async fn receive(&mut self) -> Result<Option<Message>, WebSocketError> {
        self.dropped_with = self.session().code_of_drop();
        let session = self.session();
        let deadline = session.config().receive_timeout.map(|limit| {
            let deadline = session.timers().deadline();
            deadline.set(limit);
            deadline
        });
        poll_fn(|cx| match (session.poll_receive(cx), &deadline) {
            (Poll::Pending, Some(deadline)) => {
                deadline.poll_expired(cx).map(|()| Err(WebSocketError::ReceiveTimeout))
            }
            (received, _) => received,
        })
        .await
    }

    /// The next message, read from JSON.
    ///
    /// # Errors
    /// As [`receive`](Self::receive); 400 if the message is not the JSON of a `T`, and the socket goes on. If it is dropped over
    /// that, by `?`, it is closed with 1007: it was the peer's mistake.
    ///
    /// # Cancellation
    /// Nothing is lost.
    #[cfg(feature = "json")]
    pub async fn receive_json<T: serde::de::DeserializeOwned>(&mut self) -> crate::Result<Option<T>> {
        let Some(message) = self.receive().await? else { return Ok(None) };
        let value = message.to_json();
        if value.is_err() {
            self.dropped_with = CloseCode::INVALID_PAYLOAD;
        }
        value.map(Some).map_err(|error| crate::Error::bad_request(error.to_string()))
    }

    /// Queues a message: see [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Cancellation
    /// The message was queued, or it is not sent at all.
    pub fn send(&self, message: impl Into<Message>) -> impl Future<Output = Result<(), WebSocketError>> {
        self.sender.send(message)
    }

    /// As [`send`](Self::send), compressed in another way than the socket's messages are.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Cancellation
    /// As [`send`](Self::send).
    pub fn send_with(
        &self,
        message: impl Into<Message>,
        compression: Compression,
    ) -> impl Future<Output = Result<(), WebSocketError>> {
        self.sender.send_with(message, compression)
    }

    /// As [`send`](Self::send), for a message that was encoded before.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Cancellation
    /// As [`send`](Self::send).
    pub fn send_encoded(&self, encoded: &Encoded) -> impl Future<Output = Result<(), WebSocketError>> {
        self.sender.send_encoded(encoded)
    }

    /// Sends `value` as JSON, in a text.
    ///
    /// # Errors
    /// As [`Sender::send_json`].
    ///
    /// # Cancellation
    /// As [`send`](Self::send).
    #[cfg(feature = "json")]
    pub async fn send_json(&self, value: &impl serde::Serialize) -> crate::Result<()> {
        self.sender.send_json(value).await
    }

    /// Waits until all that was queued is with the kernel.
    ///
    /// # Errors
    /// As [`Sender::flush`].
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn flush(&self) -> Result<(), WebSocketError> {
        self.sender.flush().await
    }

    /// A handle that sends on this socket from other tasks of the core.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// The subprotocol that both sides agreed on.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.session().protocol()
    }

    /// Whether both sides agreed on compression.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.session().is_compressed()
    }

    /// The Close frame of the peer, if it has sent one.
    #[must_use]
    pub fn peer_close(&self) -> Option<CloseFrame> {
        self.session().peer_close()
    }

    /// Why there are no more messages; `None` while there may be: the peer's code, ours if the peer broke the protocol, or
    /// [`CloseCode::ABNORMAL`] if the connection ended without the peer's Close frame.
    #[must_use]
    pub fn close_code(&self) -> Option<CloseCode> {
        self.session().close_code()
    }

    /// Closes the socket with 1000, behind what is queued, and waits for the peer's Close frame for
    /// [`close_timeout`](crate::WebSocketConfig::close_timeout). Messages that still come are thrown away. If it is closed
    /// already, this is ready at once.
    ///
    /// # Errors
    /// None: a peer that does not answer is gone.
    ///
    /// # Cancellation
    /// The closing goes on.
    pub async fn close(self) -> Result<Closed, WebSocketError> {
        self.close_with(CloseCode::NORMAL, "").await
    }

    /// As [`close`](Self::close), with another code and a reason.
    ///
    /// # Errors
    /// [`WebSocketError::Misuse`] if the code may not be sent, or the reason has more than 123 bytes. The socket is closed
    /// with 1011 then.
    ///
    /// # Cancellation
    /// The closing goes on.
    pub async fn close_with(self, code: CloseCode, reason: &str) -> Result<Closed, WebSocketError> {
        self.session().close(CloseFrame::new(code, reason)?);
        poll_fn(|cx| self.session().poll_closed(cx)).await;
        Ok(Closed::new(self.close_code().unwrap_or(CloseCode::ABNORMAL)))
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.session().abandon(self.dropped_with);
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("protocol", &self.protocol()).finish_non_exhaustive()
    }
}
