//! HTTP/1.1 and HTTP/1.0 messages (RFC 9110, RFC 9112), both sides, without I/O.
//!
//! ```text
//!            head            end of body         next cycle
//!   Idle ───────────▶ Body ──────────────▶ Done ────────────▶ Idle
//!    │  interim (1xx)  │ data               ├── last cycle ──▶ MustClose
//!    └──▶ Idle         └──▶ Body            └── switch ──────▶ Switched
//!
//!   Idle, Body, Done ── fault ──▶ MustClose        any ── end of stream ──▶ Closed
//! ```
//!
//! The table behind it is [`after`]; `docs/http1_states.dot` is drawn from it.
//!
//! | rule | section | where |
//! |---|---|---|
//! | line ends are CRLF; a bare CR or LF is refused, the latter before the head is complete | RFC 9112 §2.2 | `head` |
//! | up to four empty lines before a request are skipped | RFC 9112 §2.2 | `reader` |
//! | versions 1.0 and 1.1; other versions get 505, garbage 400 | RFC 9112 §2.3 | `head` |
//! | one of four forms of target, no fragment | RFC 9112 §3.2 | `target` |
//! | exactly one valid Host in 1.1; an absolute target replaces it | RFC 9112 §3.2 | `head` |
//! | no space before the colon, no folded lines, no control bytes in values | RFC 9112 §5, RFC 9110 §5.5 | `head` |
//! | fields with one value appear once | RFC 9110 §5.3 | `fields` |
//! | the end of the body | RFC 9112 §6.3 | `framing` |
//! | chunk sizes, extensions, trailers | RFC 9112 §7.1, RFC 9110 §6.5.1 | `chunked` |
//! | incomplete messages are errors | RFC 9112 §8 | `reader` |
//! | persistence | RFC 9112 §9.3 | `fields` |
//!
//! Stricter than the RFC, because two recipients that read one message differently are how requests are smuggled:
//! bare line feeds, folded lines, `Content-Length` beside `Transfer-Encoding`, a repeated `Content-Length` even when the
//! values agree, any coding but `chunked`, white space around chunk sizes, and forbidden trailers are all refused.
#![forbid(unsafe_code)]

mod chunked;
mod encode;
mod fields;
mod framing;
mod head;
mod path;
mod reader;
mod renew;
mod rewrite;
mod state;
pub(super) mod syntax;
mod target;

pub use encode::{
    BodyWriter, CHUNK_END, CONTINUE, ChunkHead, ClosingLines, ConnectionField, ContentTypeLine,
    DefaultFields, Implied, ImpliedRequest, encode_request_head, encode_response_head,
};
pub(in crate::proto) use fields::split_unquoted;
pub(crate) use fields::{elements, list};
pub use framing::{Framing, ResponseFraming, response_framing};
pub use head::{RequestHead, ResponseHead};
pub use path::{canonical_path, push_encoded, raw_offset};
pub use reader::{BodyEvent, RequestReader, ResponseReader};
pub use state::{State, Step, after};
pub(in crate::proto) use syntax::is_host;
pub use target::{Target, TargetForm};

/// Limits a peer's messages must keep. Sizes are in bytes and include the line ends.
///
/// The length of a body is not limited here: whoever reads it knows what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// A head, from its first line to its empty line. Beyond it: 431. Default 64 KiB.
    pub head_bytes_max: usize,
    /// Header fields of a head. Beyond it: 431. Default 100.
    pub header_count_max: usize,
    /// A request target. Beyond it: 414. Default 8 KiB, what RFC 9112 §3 asks recipients to support at least.
    pub target_bytes_max: usize,
    /// The line before a chunk: size and extensions. Beyond it: 400. Default 1 KiB: sizes have up to 16 digits, and the
    /// longest extensions in use (signatures of chunks in object stores) about 100 bytes.
    pub chunk_line_bytes_max: usize,
    /// Bytes of chunk extensions in one body, beyond one for each byte of data before them: signed chunks pass at any
    /// length of the body, extensions without data do not. Beyond it: 400. Default 8 KiB.
    pub chunk_extension_total_max: usize,
    /// The trailers of a body. Beyond it: 431. Default 8 KiB.
    pub trailer_bytes_max: usize,
    /// Fields in the trailers. Beyond it: 431. Default 32.
    pub trailer_count_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 64 * 1024,
            header_count_max: 100,
            target_bytes_max: 8 * 1024,
            chunk_line_bytes_max: 1024,
            chunk_extension_total_max: 8 * 1024,
            trailer_bytes_max: 8 * 1024,
            trailer_count_max: 32,
        }
    }
}
