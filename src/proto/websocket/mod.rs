//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), both sides, without I/O.
//!
//! ```text
//!           our Close                 its Close
//!   Open ─────────────▶ CloseSent ─────────────────▶ Closed
//!    │    its Close                      our Close     ▲
//!    ├──────────────▶ CloseReceived ───────────────────┘
//!    │    fault
//!    └──────────────▶ Failed (its Close frame says why)      any ── end of the transport ──▶ Ended
//! ```
//!
//! The table behind it is [`after`]; `docs/websocket_states.dot` is drawn from it.
//!
//! | rule | section | where |
//! |---|---|---|
//! | what the opening handshake must have, and its answers | RFC 6455 §4.1, §4.2 | `handshake` |
//! | permessage-deflate: offers, answers, parameters | RFC 7692 §5, §7.1 | `extension` |
//! | clients mask, servers do not | RFC 6455 §5.1 | `frame` |
//! | reserved bits and opcodes, shortest length | RFC 6455 §5.2 | `frame` |
//! | masking | RFC 6455 §5.3 | `mask` |
//! | fragments; control frames between them | RFC 6455 §5.4 | `state`, `reader` |
//! | control frames: one frame, 125 bytes | RFC 6455 §5.5 | `frame` |
//! | Close frames and their codes | RFC 6455 §5.5.1, §7.4 | `close` |
//! | the closing handshake; failing | RFC 6455 §7.1 | `state` |
//! | texts are UTF-8, and fail as early as they can | RFC 6455 §8.1 | `utf8` |
//! | compressed messages; their bit and their tail | RFC 7692 §6, §7.2 | `reader`, `deflate` |
//!
//! Stricter than the RFC: versions other than 13 are refused (RFC 6455 knows no other either), and so are close codes that
//! no registry has.
#![forbid(unsafe_code)]

mod close;
#[cfg_attr(not(feature = "compression"), path = "no_deflate.rs")]
mod deflate;
mod extension;
mod fault;
mod frame;
mod handshake;
pub mod mask;
mod reader;
mod state;
mod text;
mod utf8;

pub use close::{CloseCode, CloseFrame, REASON_BYTES_MAX};
pub use deflate::{Deflater, INFLATER_BYTES, Inflater, deflater_bytes};
pub use extension::{DeflateParams, Offer, accept_offer, answer_value, offer_value, read_answer};
pub use fault::Fault;
pub use frame::{CONTROL_BYTES_MAX, FrameHead, HEAD_BYTES_MAX, Opcode};
pub use handshake::{
    AnswerFault, Refusal, accept_key, accepted_fields, asks_for_websocket, check_answer, check_request,
    choose_protocol, is_protocol_name, key_of, opening_fields,
};
pub use reader::{Accepts, Event, Inflaters, Piece, Reader, ReaderRules, Takeover};
pub use state::{Sequence, State, Step, after, sequence};
pub use text::{NotUtf8, Utf8Bytes};

/// Which side of a connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The side that asked for the connection. Its frames are masked.
    Client,
    /// The side that took it.
    Server,
}

impl Role {
    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What a peer's messages must keep. Beyond it, the connection is closed with 1009.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// A message, all fragments together, packed and unpacked. Default 4 MiB.
    pub message_bytes_max: usize,
    /// The payload of a data frame, as it is sent. Default 4 MiB.
    pub frame_bytes_max: usize,
    /// Fragments of a message. Default 16,384, each of which costs its peer a frame.
    pub fragment_count_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 4 << 20, frame_bytes_max: 4 << 20, fragment_count_max: 16 * 1024 }
    }
}
