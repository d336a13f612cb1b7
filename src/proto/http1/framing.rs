//! Where a message's body ends (RFC 9112 §6.3), for both directions and both sides.
//!
//! Stricter than the RFC: `Content-Length` beside `Transfer-Encoding` is refused instead of ignored, a repeated
//! `Content-Length` is refused even when all values agree, and no coding but `chunked` is known.
#![forbid(unsafe_code)]

use http::{Method, StatusCode, Version};

use super::fields::{self, Notes};
use crate::proto::PeerError;

/// How a body is delimited on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// No body, and no framing field in the head.
    Empty,
    /// As many bytes as `Content-Length` says.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// All bytes up to the end of the stream. Responses only.
    UntilClose,
}

/// What a response may carry, by [`response_framing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFraming {
    /// What the head announces: goes to [`encode_response_head`](super::encode_response_head).
    pub head: Framing,
    /// What follows the head: goes to [`BodyWriter::new`](super::BodyWriter::new). Differs from `head` in answers to
    /// HEAD, and in 205.
    pub body: Framing,
}

/// Which framing a response gets.
///
/// `length`: the body's length in bytes if it is known. A body of unknown length is chunked towards HTTP/1.1 and ends
/// with the connection towards HTTP/1.0. An answer to HEAD announces what the answer to GET would and has no body.
/// 1xx, 204 and 304 have neither, and 205 announces that there is none; a body that the handler gave to them must not be
/// written. RFC 9110 §8.6, RFC 9112 §6.
#[must_use]
pub fn response_framing(
    request_method: &Method,
    request_version: Version,
    status: StatusCode,
    length: Option<u64>,
) -> ResponseFraming {
    if is_bodiless(status) || (*request_method == Method::CONNECT && status.is_success()) {
        return ResponseFraming { head: Framing::Empty, body: Framing::Empty };
    }
    if status == StatusCode::RESET_CONTENT {
        // RFC 9110 §15.3.6: it has no content, and says so.
        return ResponseFraming { head: Framing::Length(0), body: Framing::Empty };
    }
    let is_head = *request_method == Method::HEAD;
    let framing = match length {
        Some(length) => Framing::Length(length),
        // The length of the GET answer is not known either: say nothing.
        None if is_head => Framing::Empty,
        None if request_version == Version::HTTP_11 => Framing::Chunked,
        None => Framing::UntilClose,
    };
    ResponseFraming { head: framing, body: if is_head { Framing::Empty } else { framing } }
}

/// Statuses whose responses never have a body (RFC 9110 §6.4.1).
pub(super) fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// The framing of a received request.
#[inline]
pub(super) fn of_request(notes: &Notes<'_>, version: Version) -> Result<Framing, PeerError> {
    match (notes.content_length, notes.transfer_encoding) {
        // RFC 9112 §6.3 rule 7: no field, no body.
        (None, None) => Ok(Framing::Empty),
        (Some(length), None) => content_length(length).map(Framing::Length),
        (length, Some(coding)) => chunked(length, coding, version),
    }
}

/// The framing of a received response.
#[inline]
pub(super) fn of_response(
    notes: &Notes<'_>,
    version: Version,
    status: StatusCode,
    request_method: &Method,
) -> Result<Framing, PeerError> {
    // Checked even where it is not used: two readings of the same head are refused whatever the status.
    let framing = match (notes.content_length, notes.transfer_encoding) {
        // RFC 9112 §6.3 rule 8.
        (None, None) => Framing::UntilClose,
        (Some(length), None) => Framing::Length(content_length(length)?),
        (length, Some(coding)) => chunked(length, coding, version)?,
    };
    let is_tunnel = *request_method == Method::CONNECT && status.is_success();
    // RFC 9112 §6.3 rules 1 and 2.
    if *request_method == Method::HEAD || is_bodiless(status) || is_tunnel {
        return Ok(Framing::Empty);
    }
    Ok(framing)
}

/// `1*DIGIT` and nothing else: no sign, no list, no white space (RFC 9110 §8.6).
fn content_length(value: &[u8]) -> Result<u64, PeerError> {
    if value.is_empty() {
        return Err(PeerError::ContentLengthInvalid);
    }
    value
        .iter()
        .try_fold(0_u64, |length, digit| match digit {
            b'0'..=b'9' => length.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
            _ => None,
        })
        .ok_or(PeerError::ContentLengthInvalid)
}

/// What a message with `Transfer-Encoding` is: chunked, or refused.
fn chunked(length: Option<&[u8]>, coding: &[u8], version: Version) -> Result<Framing, PeerError> {
    // RFC 9112 §6.3 rule 3: a request that can be read in two ways is a smuggling attempt.
    if length.is_some() {
        return Err(PeerError::LengthAndCoding);
    }
    // RFC 9112 §6.1: the framing of such a message is faulty.
    if version != Version::HTTP_11 {
        return Err(PeerError::TransferCodingInHttp10);
    }
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(coding) {
        return Ok(Framing::Chunked);
    }
    // RFC 9112 §6.3 rule 4: without a final chunked the length cannot be known; chunked twice is not allowed (§7.1).
    let last = fields::list(coding).last().is_some_and(is_chunked);
    let times = fields::list(coding).filter(|coding| is_chunked(coding)).count();
    let others = fields::list(coding).count() - times;
    match (last, times, others) {
        (true, 1, 1..) => Err(PeerError::TransferCodingUnknown),
        // An empty list element beside the one `chunked`: no sender writes it, and recipients disagree about it.
        _ => Err(PeerError::TransferCodingInvalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(length: Option<&'static [u8]>, coding: Option<&'static [u8]>) -> Result<Framing, PeerError> {
        let notes = Notes { content_length: length, transfer_encoding: coding, ..Notes::default() };
        of_request(&notes, Version::HTTP_11)
    }

    #[test]
    fn rfc9112_6_3_content_length_values() {
        const CASES: &[(&[u8], Option<u64>)] = &[
            (b"0", Some(0)),
            (b"5", Some(5)),
            (b"0005", Some(5)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"99999999999999999999999", None),
            (b"", None),
            (b"+5", None),
            (b"-5", None),
            (b"5 5", None),
            (b"5, 5", None),
            (b"5,5", None),
            (b"5x", None),
            (b"0x5", None),
            (b"5.0", None),
            (b"5_0", None),
            (b"\xb2", None),
        ];
        for &(value, length) in CASES {
            let expected = length.map(Framing::Length).ok_or(PeerError::ContentLengthInvalid);
            assert_eq!(request(Some(value), None), expected, "b\"{}\"", value.escape_ascii());
        }
    }

    #[test]
    fn rfc9112_6_1_transfer_codings() {
        const CASES: &[(&[u8], Result<Framing, PeerError>)] = &[
            (b"chunked", Ok(Framing::Chunked)),
            (b"Chunked", Ok(Framing::Chunked)),
            (b"", Err(PeerError::TransferCodingInvalid)),
            (b",chunked", Err(PeerError::TransferCodingInvalid)),
            (b"chunked,", Err(PeerError::TransferCodingInvalid)),
            (b"gzip", Err(PeerError::TransferCodingInvalid)),
            (b"identity", Err(PeerError::TransferCodingInvalid)),
            (b"chunked, gzip", Err(PeerError::TransferCodingInvalid)),
            (b"chunked, chunked", Err(PeerError::TransferCodingInvalid)),
            (b"chunked, identity", Err(PeerError::TransferCodingInvalid)),
            (b"xchunked", Err(PeerError::TransferCodingInvalid)),
            (b"chunked;a=b", Err(PeerError::TransferCodingInvalid)),
            (b"\"chunked\"", Err(PeerError::TransferCodingInvalid)),
            (b"\x0bchunked", Err(PeerError::TransferCodingInvalid)),
            (b"gzip, chunked", Err(PeerError::TransferCodingUnknown)),
            (b"identity, chunked", Err(PeerError::TransferCodingUnknown)),
        ];
        for &(value, expected) in CASES {
            assert_eq!(request(None, Some(value)), expected, "b\"{}\"", value.escape_ascii());
        }
    }

    #[test]
    fn rfc9112_6_3_content_length_and_transfer_encoding_is_refused() {
        assert_eq!(request(Some(b"5"), Some(b"chunked")), Err(PeerError::LengthAndCoding));
        assert_eq!(request(Some(b"x"), Some(b"gzip")), Err(PeerError::LengthAndCoding));
    }

    #[test]
    fn rfc9112_6_1_transfer_encoding_in_http_1_0_is_refused() {
        let notes = Notes { transfer_encoding: Some(b"chunked"), ..Notes::default() };
        assert_eq!(of_request(&notes, Version::HTTP_10), Err(PeerError::TransferCodingInHttp10));
    }

    #[test]
    fn rfc9112_6_3_framing_of_received_responses() {
        let length = Notes { content_length: Some(b"5"), ..Notes::default() };
        let chunked = Notes { transfer_encoding: Some(b"chunked"), ..Notes::default() };
        let nothing = Notes::default();
        let cases = [
            (Method::GET, 200, length, Framing::Length(5)),
            (Method::GET, 200, chunked, Framing::Chunked),
            (Method::GET, 200, nothing, Framing::UntilClose),
            (Method::HEAD, 200, length, Framing::Empty),
            (Method::HEAD, 404, chunked, Framing::Empty),
            (Method::GET, 204, length, Framing::Empty),
            (Method::GET, 304, length, Framing::Empty),
            (Method::GET, 304, nothing, Framing::Empty),
            (Method::GET, 103, nothing, Framing::Empty),
            (Method::CONNECT, 200, length, Framing::Empty),
            (Method::CONNECT, 407, length, Framing::Length(5)),
        ];
        for (method, status, notes, framing) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                of_response(&notes, Version::HTTP_11, status, &method),
                Ok(framing),
                "{method} {status}"
            );
        }
    }

    #[test]
    fn rfc9110_8_6_what_a_response_may_carry() {
        use Framing::{Chunked, Empty, Length, UntilClose};
        let cases = [
            (Method::GET, Version::HTTP_11, 200, Some(3), Length(3), Length(3)),
            (Method::GET, Version::HTTP_11, 200, Some(0), Length(0), Length(0)),
            (Method::GET, Version::HTTP_11, 200, None, Chunked, Chunked),
            (Method::GET, Version::HTTP_10, 200, None, UntilClose, UntilClose),
            (Method::HEAD, Version::HTTP_11, 200, Some(3), Length(3), Empty),
            (Method::HEAD, Version::HTTP_11, 200, None, Empty, Empty),
            (Method::GET, Version::HTTP_11, 204, Some(3), Empty, Empty),
            (Method::GET, Version::HTTP_11, 205, Some(3), Length(0), Empty),
            (Method::GET, Version::HTTP_10, 205, None, Length(0), Empty),
            (Method::GET, Version::HTTP_11, 304, Some(3), Empty, Empty),
            (Method::GET, Version::HTTP_11, 101, None, Empty, Empty),
            (Method::CONNECT, Version::HTTP_11, 200, Some(3), Empty, Empty),
            (Method::CONNECT, Version::HTTP_11, 403, Some(3), Length(3), Length(3)),
        ];
        for (method, version, status, length, head, body) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            let framing = response_framing(&method, version, status, length);
            assert_eq!(framing, ResponseFraming { head, body }, "{method} {version:?} {status} {length:?}");
        }
    }
}
