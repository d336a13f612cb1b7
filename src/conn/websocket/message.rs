//! What a WebSocket carries.
#![forbid(unsafe_code)]

use bytes::Bytes;

use crate::proto::websocket::{Piece, Utf8Bytes};

/// A message, received or to be sent. Cloning it copies no bytes.
///
/// A received one is a view of the buffer it came in: keeping it keeps the buffer, of 128 bytes to 64 KiB if it is small.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// A text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
    /// A question whether the other side is there, with up to 125 bytes that the answer repeats. Received only without
    /// [`autoping`](crate::WebSocketConfig::autoping).
    Ping(Bytes),
    /// The answer to a Ping. Received only without `autoping`.
    Pong(Bytes),
    /// A piece of a text or binary message, which is sent as a frame of its own. Received only with
    /// [`pieces`](crate::WebSocketConfig::pieces).
    Piece(Piece),
}

impl Message {
    /// A text.
    pub fn text(text: impl Into<Utf8Bytes>) -> Self {
        Self::Text(text.into())
    }

    /// Bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// A text that is `value` as JSON.
    ///
    /// # Errors
    /// If `value` cannot be written as JSON.
    #[cfg(feature = "json")]
    pub fn json(value: &impl serde::Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self::text(serde_json::to_string(value)?))
    }

    /// A value that the message is as JSON.
    ///
    /// # Errors
    /// If it is not the JSON of a `T`.
    #[cfg(feature = "json")]
    pub fn to_json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.as_bytes())
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&Utf8Bytes> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Its bytes, whichever kind it is.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes,
            Self::Piece(piece) => &piece.data,
        }
    }

    /// Its bytes, as the view they are.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes,
            Self::Piece(piece) => piece.data,
        }
    }

    /// The same, but for a small one without the buffer it came in, for a queue whose bytes are counted: a peer can see to it
    /// that each of a thousand messages of a byte is in a buffer of its own.
    pub(super) fn detached(self) -> Self {
        let detach = |bytes: Bytes| {
            if bytes.len() < DETACHED_BYTES_MAX { Bytes::copy_from_slice(&bytes) } else { bytes }
        };
        match self {
            Self::Text(text) => Self::Text(text.map_bytes(detach)),
            Self::Binary(bytes) => Self::Binary(detach(bytes)),
            Self::Ping(bytes) => Self::Ping(detach(bytes)),
            Self::Pong(bytes) => Self::Pong(detach(bytes)),
            Self::Piece(piece) => Self::Piece(Piece { data: detach(piece.data), ..piece }),
        }
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

/// A message of so many bytes may keep its buffer: that is no more than 16 times as large.
const DETACHED_BYTES_MAX: usize = 4 * 1024;

impl From<Utf8Bytes> for Message {
    fn from(text: Utf8Bytes) -> Self {
        Self::Text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&'static str> for Message {
    fn from(text: &'static str) -> Self {
        Self::text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

/// Whether one message is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// As the socket's [`CompressionConfig`](crate::websocket::CompressionConfig) says.
    #[default]
    Auto,
    /// It is not: for what is compressed already, and for secrets beside what an attacker can choose.
    Off,
    /// With this level, 1 to 9, however short it is and whichever kind.
    Level(u8),
}
