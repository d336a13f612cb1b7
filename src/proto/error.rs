//! The two kinds of failure of a protocol, by fault: the peer's ([`PeerError`]) and our caller's ([`Misuse`]).
//!
//! Both are one byte: they travel in `Result`s on the hot path, and what they mean is looked up when it is needed.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

use http::StatusCode;

/// One row per way in which a peer can break the protocol: name, status of the answer, section, text.
macro_rules! peer_errors {
    ($($name:ident => $status:ident, $section:literal, $text:literal;)*) => {
        /// The peer broke the protocol. The connection cannot be used after it.
        ///
        /// A server answers with [`status`](Self::status) when it still can, then closes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum PeerError {
            $(#[doc = concat!("The peer sent ", $text, " (", $section, ").")] $name,)*
        }

        impl PeerError {
            /// Every kind there is, in the order of the declaration; for counters and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What a server answers. For errors that only a response can have: what a gateway would answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The section of the standard that was broken, as `"RFC 9112 §6.3"`.
            #[must_use]
            pub const fn section(self) -> &'static str {
                match self { $(Self::$name => $section,)* }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

peer_errors! {
    // The lines of a head.
    BareCr => BAD_REQUEST, "RFC 9112 §2.2", "a carriage return without a line feed";
    BareLf => BAD_REQUEST, "RFC 9112 §2.2", "a line feed without a carriage return";
    EmptyLinesTooMany => BAD_REQUEST, "RFC 9112 §2.2", "too many empty lines before a request";
    HeadTooLarge => REQUEST_HEADER_FIELDS_TOO_LARGE, "RFC 6585 §5", "a head longer than the limit";
    HeaderCountTooLarge => REQUEST_HEADER_FIELDS_TOO_LARGE, "RFC 6585 §5", "more header fields than the limit";
    HeadCutOff => BAD_REQUEST, "RFC 9112 §8", "the end of the stream inside a head";
    // The request line and the status line.
    RequestLineInvalid => BAD_REQUEST, "RFC 9112 §3", "a malformed request line";
    MethodInvalid => BAD_REQUEST, "RFC 9112 §3.1", "a method that is not a token";
    TargetInvalid => BAD_REQUEST, "RFC 9112 §3.2", "an invalid request target";
    TargetTooLong => URI_TOO_LONG, "RFC 9110 §15.5.15", "a request target longer than the limit";
    VersionInvalid => BAD_REQUEST, "RFC 9112 §2.3", "a malformed protocol version";
    VersionUnsupported => HTTP_VERSION_NOT_SUPPORTED, "RFC 9110 §15.6.6", "a version other than 1.0 and 1.1";
    StatusLineInvalid => BAD_GATEWAY, "RFC 9112 §4", "a malformed status line";
    InformationalTooMany => BAD_GATEWAY, "RFC 9110 §15.2", "too many interim responses";
    // Header fields.
    FieldNameInvalid => BAD_REQUEST, "RFC 9112 §5", "an invalid header field name";
    SpaceBeforeColon => BAD_REQUEST, "RFC 9112 §5.1", "whitespace between a header field name and its colon";
    ObsFold => BAD_REQUEST, "RFC 9112 §5.2", "a header field folded over two lines";
    FieldValueInvalid => BAD_REQUEST, "RFC 9110 §5.5", "a control byte in a header field value";
    FieldRepeated => BAD_REQUEST, "RFC 9110 §5.3", "a header field twice that may appear only once";
    HostMissing => BAD_REQUEST, "RFC 9112 §3.2", "a request without Host";
    HostInvalid => BAD_REQUEST, "RFC 9112 §3.2", "an invalid Host";
    HostRepeated => BAD_REQUEST, "RFC 9112 §3.2", "more than one Host";
    ExpectationUnknown => EXPECTATION_FAILED, "RFC 9110 §10.1.1", "an expectation other than 100-continue";
    // Framing.
    ContentLengthInvalid => BAD_REQUEST, "RFC 9112 §6.3", "an invalid or repeated Content-Length";
    LengthAndCoding => BAD_REQUEST, "RFC 9112 §6.3", "both Content-Length and Transfer-Encoding";
    TransferCodingInvalid => BAD_REQUEST, "RFC 9112 §6.3", "a Transfer-Encoding that does not end in one chunked";
    TransferCodingUnknown => NOT_IMPLEMENTED, "RFC 9112 §6.1", "a transfer coding other than chunked";
    TransferCodingInHttp10 => BAD_REQUEST, "RFC 9112 §6.1", "Transfer-Encoding in HTTP/1.0";
    // Bodies.
    BodyCutOff => BAD_REQUEST, "RFC 9112 §8", "the end of the stream inside a body";
    ChunkSizeInvalid => BAD_REQUEST, "RFC 9112 §7.1", "an invalid chunk size";
    ChunkEndInvalid => BAD_REQUEST, "RFC 9112 §7.1", "chunk data that no line end follows";
    ChunkExtensionInvalid => BAD_REQUEST, "RFC 9112 §7.1.1", "an invalid chunk extension";
    ChunkLineTooLong => BAD_REQUEST, "RFC 9112 §7.1.1", "a chunk extension longer than the limit";
    ChunkExtensionsTooLong => BAD_REQUEST, "RFC 9112 §7.1.1", "more bytes of chunk extensions than the limit";
    TrailersTooLarge => REQUEST_HEADER_FIELDS_TOO_LARGE, "RFC 9112 §7.1.2", "trailers beyond the limits";
    TrailerForbidden => BAD_REQUEST, "RFC 9110 §6.5.1", "a field in the trailers that is not allowed there";
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("peer sent ")?;
        f.write_str(self.text())
    }
}

impl Error for PeerError {}

/// Our caller asked for something the protocol cannot say. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// More body bytes than `Content-Length` announced.
    BodyTooLong,
    /// The body ended before `Content-Length` bytes were written.
    BodyTooShort,
    /// Body bytes where the message has no body, or after its end.
    BodyUnexpected,
    /// The next message was started before the body of this one was read to its end.
    BodyUnread,
    /// A close code that may not be sent, or a reason of more than 123 bytes.
    CloseInvalid,
    /// A WebSocket's Ping or Pong with more than 125 bytes.
    ControlTooLong,
    /// The id or the type of a server-sent event with a line end, or an id with a NUL.
    EventFieldInvalid,
    /// The header map has a `Content-Length` or `Transfer-Encoding` that contradicts the framing, or this status or
    /// version cannot have that framing.
    FramingConflict,
    /// A `Host` with a byte that no host has.
    HostInvalid,
    /// A request without a `Host` field, or with more than one.
    HostMissing,
    /// A reason phrase with a control byte.
    ReasonInvalid,
    /// A request target with a byte that cannot stand in a request line, or an empty one.
    TargetInvalid,
    /// Trailers with a field that is not allowed there.
    TrailerForbidden,
    /// Trailers on a message that is not chunked.
    TrailersUnframed,
    /// The step is not possible in the present [`State`](super::http1::State).
    WrongState,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BodyTooLong => "body is longer than its announced length",
            Self::BodyTooShort => "body is shorter than its announced length",
            Self::BodyUnexpected => "body bytes on a message without a body",
            Self::BodyUnread => "body of the present message was not read to its end",
            Self::CloseInvalid => "close code may not be sent, or its reason is too long",
            Self::ControlTooLong => "ping or pong has more than 125 bytes",
            Self::EventFieldInvalid => "id or type of an event has a byte that is not allowed",
            Self::FramingConflict => "framing contradicts the header fields, the status or the version",
            Self::HostInvalid => "host has a byte that is not allowed",
            Self::HostMissing => "request does not have exactly one host field",
            Self::ReasonInvalid => "reason phrase has a control byte",
            Self::TargetInvalid => "request target is empty or has a byte that is not allowed",
            Self::TrailerForbidden => "trailers have a field that is not allowed there",
            Self::TrailersUnframed => "trailers on a message that is not chunked",
            Self::WrongState => "step is not possible in this state of the connection",
        })
    }
}

impl Error for Misuse {}

const _: () = assert!(size_of::<PeerError>() == 1 && size_of::<Misuse>() == 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_error_names_its_section_and_a_failure_status() {
        for error in PeerError::ALL {
            assert!(error.section().starts_with("RFC ") && error.section().contains(" §"), "{error:?}");
            assert!(error.status().is_client_error() || error.status().is_server_error(), "{error:?}");
        }
    }

    #[test]
    fn texts_are_one_lower_case_clause() {
        for text in PeerError::ALL.iter().map(ToString::to_string) {
            assert!(text.starts_with("peer sent ") && !text.ends_with('.'), "{text}");
        }
    }
}
