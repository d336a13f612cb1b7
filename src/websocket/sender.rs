//! The sending end of a socket, for whoever else has something to say on it.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;

use crate::conn::websocket::{Compression, Encoded, Message, Outgoing, Session, WebSocketError};
use crate::proto::websocket::CloseFrame;

/// Sends on a [`WebSocket`](super::WebSocket), from any task of its core. Cloning it gives another handle.
///
/// It does not keep the socket open: when that is closed or gone, sending is an error.
#[derive(Clone)]
pub struct Sender {
    pub(super) session: Rc<Session>,
}

impl Sender {
    /// Queues a message; if there is no room in the queue, [`slow_reader`](crate::WebSocketConfig::slow_reader) decides:
    /// it waits, drops a message, or closes the socket. What is queued leaves by itself.
    ///
    /// # Errors
    /// [`WebSocketError::Closed`] if the socket is closed or being closed, [`WebSocketError::Misuse`] if the message cannot be sent.
    ///
    /// # Cancellation
    /// The message was queued, or it is not sent at all.
    pub fn send(&self, message: impl Into<Message>) -> impl Future<Output = Result<(), WebSocketError>> {
        self.send_with(message, Compression::Auto)
    }

    /// As [`send`](Self::send), compressed in another way than its socket's messages are.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancellation
    /// As [`send`](Self::send).
    pub fn send_with(
        &self,
        message: impl Into<Message>,
        compression: Compression,
    ) -> impl Future<Output = Result<(), WebSocketError>> {
        self.send_outgoing(Outgoing::Message(message.into(), compression))
    }

    /// As [`send`](Self::send), for a message that was encoded before.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancellation
    /// As [`send`](Self::send).
    pub fn send_encoded(&self, encoded: &Encoded) -> impl Future<Output = Result<(), WebSocketError>> {
        self.send_outgoing(Outgoing::Encoded(encoded.clone()))
    }

    /// Sends `value` as JSON, in a text.
    ///
    /// # Errors
    /// As [`send`](Self::send), and 500 if `value` cannot be written as JSON.
    ///
    /// # Cancellation
    /// As [`send`](Self::send).
    #[cfg(feature = "json")]
    pub async fn send_json(&self, value: &impl serde::Serialize) -> crate::Result<()> {
        Ok(self.send(Message::json(value)?).await?)
    }

    /// Not an `async fn`, nor are those above: each in the chain would keep a place for the message.
    fn send_outgoing(&self, outgoing: Outgoing) -> impl Future<Output = Result<(), WebSocketError>> {
        let mut outgoing = Some(outgoing);
        poll_fn(move |cx| self.session.poll_send(cx, &mut outgoing))
    }

    /// Queues a message without waiting.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`WebSocketError::Full`] where that would wait.
    pub fn queue(&self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        self.session.queue(&mut Some(Outgoing::Message(message.into(), Compression::Auto)))
    }

    /// As [`queue`](Self::queue), for a message that was encoded before.
    ///
    /// # Errors
    /// As [`queue`](Self::queue).
    pub fn queue_encoded(&self, encoded: &Encoded) -> Result<(), WebSocketError> {
        self.session.queue(&mut Some(Outgoing::Encoded(encoded.clone())))
    }

    /// Waits until all that was queued is with the kernel.
    ///
    /// # Errors
    /// [`WebSocketError::Closed`] if the connection has ended.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn flush(&self) -> Result<(), WebSocketError> {
        poll_fn(|cx| self.session.poll_flushed(cx)).await
    }

    /// Begins to close the socket, behind what is queued. Its receiver gets no more messages. Later calls do nothing.
    ///
    /// A code that may not be sent (1006, say, which tells how another socket ended) is sent as 1011; without a code
    /// ([`CloseCode::NONE`](crate::websocket::CloseCode::NONE)) there is no reason either. Of a reason the first 123 bytes are sent.
    pub fn close(&self, frame: CloseFrame) {
        self.session.close(frame);
    }

    /// Waits until nothing can be sent any more.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn closed(&self) {
        poll_fn(|cx| self.session.poll_unsendable(cx)).await;
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.session.is_open()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}
