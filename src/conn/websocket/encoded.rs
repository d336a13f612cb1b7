//! A message as the bytes of its frame, made once for any number of sockets.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::codec::{give_deflater, pack_with, take_deflater};
use super::error::WebSocketError;
use super::message::Message;
use crate::proto::Misuse;
use crate::proto::websocket::{CONTROL_BYTES_MAX, FrameHead, HEAD_BYTES_MAX, Opcode};

/// A message that is encoded already, to be sent by any number of sockets of any core: each server's socket sends the same bytes,
/// without copying them. Cloning it gives another handle.
#[derive(Clone)]
pub struct Encoded(Arc<Frames>);

struct Frames {
    opcode: Opcode,
    payload: Bytes,
    /// Head and payload, as a server sends them.
    plain: Bytes,
    /// The same, compressed by itself with the largest window.
    packed: Option<Bytes>,
}

/// The window that shared messages are compressed with. Sockets whose peer wants a smaller one get them plain.
pub(super) const SHARED_WINDOW_BITS: u8 = 15;

impl Encoded {
    /// The frame of `message`, not compressed.
    ///
    /// # Errors
    /// [`WebSocketError::Misuse`] for a Ping or Pong of more than 125 bytes, and for a piece.
    pub fn new(message: Message) -> Result<Self, WebSocketError> {
        let opcode = match &message {
            Message::Text(_) => Opcode::Text,
            Message::Binary(_) => Opcode::Binary,
            Message::Ping(_) => Opcode::Ping,
            Message::Pong(_) => Opcode::Pong,
            Message::Piece(_) => return Err(Misuse::WrongState.into()),
        };
        if opcode.is_control() && message.len() > CONTROL_BYTES_MAX {
            return Err(Misuse::ControlTooLong.into());
        }
        let bytes = message.into_bytes();
        let plain = frame(FrameHead::whole(opcode, bytes.len()), &bytes);
        // Not the buffer that a message to be passed on came in: it may be much larger.
        let payload = plain.slice(plain.len() - bytes.len()..);
        Ok(Self(Arc::new(Frames { opcode, payload, plain, packed: None })))
    }

    /// The frame of `message`, plain and compressed: each socket sends what its peer has agreed to. It is compressed here and
    /// now, on this core: for messages of more than some ten KiB do it on the blocking pool.
    ///
    /// `level`: 1 to 9.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn compressed(message: Message, level: u8) -> Result<Self, WebSocketError> {
        let Self(mut frames) = Self::new(message)?;
        if let Some(frames) = Arc::get_mut(&mut frames).filter(|frames| !frames.opcode.is_control()) {
            frames.pack(level);
        }
        Ok(Self(frames))
    }

    pub(super) fn opcode(&self) -> Opcode {
        self.0.opcode
    }

    pub(super) fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    pub(super) fn plain(&self) -> &Bytes {
        &self.0.plain
    }

    pub(super) fn packed(&self) -> Option<&Bytes> {
        self.0.packed.as_ref()
    }

    /// Bytes of the message.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.payload.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.payload.is_empty()
    }
}

impl Frames {
    fn pack(&mut self, level: u8) {
        if cfg!(not(feature = "compression")) {
            return;
        }
        let mut deflater = take_deflater(SHARED_WINDOW_BITS);
        let packed = pack_with(&mut deflater, &self.payload, level);
        give_deflater(deflater);
        if packed.len() < self.payload.len() {
            let head = FrameHead { is_compressed: true, ..FrameHead::whole(self.opcode, packed.len()) };
            self.packed = Some(frame(head, &packed));
        }
    }
}

fn frame(head: FrameHead, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD_BYTES_MAX + payload.len());
    head.encode(&mut frame);
    frame.extend_from_slice(payload);
    frame.freeze()
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").field("bytes", &self.len()).finish_non_exhaustive()
    }
}

const _: () = {
    const fn crosses_cores<T: Send + Sync>() {}
    crosses_cores::<Encoded>();
};
