//! Bodies of requests are compressed while they leave (RFC 9110 §8.4).
#![forbid(unsafe_code)]

use http::header::{CONTENT_ENCODING, CONTENT_RANGE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::settings::Settings;
use crate::conn::{Body, EncodeStage};
use crate::proto::content_coding::{ContentCoding, Encoder, Level};

/// How the body of one request is compressed.
#[derive(Clone, Copy)]
pub(super) struct Compress {
    coding: ContentCoding,
    level: Level,
}

impl Compress {
    /// How a body is to be compressed, if it is: the fields then say so. One that is empty, short, compressed already, or whose
    /// bytes the fields name a range or a digest of, is not. `length`: of the body, if it is known.
    pub(super) fn settle(settings: &Settings, length: Option<u64>, headers: &mut HeaderMap) -> Option<Self> {
        let coding = settings.compress?;
        let is_too_short = |length| length < settings.compress_bytes_min.max(1);
        if length.is_some_and(is_too_short) || NOT_WITH.iter().any(|name| headers.contains_key(name)) {
            return None;
        }
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        Some(Self { coding, level: settings.compress_level })
    }

    /// Whether a body is in memory and stays there.
    pub(super) fn is_at_once(body: &Body) -> bool {
        body.as_bytes().is_some_and(|bytes| bytes.len() <= AT_ONCE_BYTES_MAX)
    }

    /// The body as it is sent: a short one in memory as a whole, with its length, everything else piece by piece.
    pub(super) fn apply(self, body: Body) -> Body {
        if body.is_encoded() {
            // It was taken back before any of it had left.
            return body;
        }
        let mut encoder = Encoder::new(self.coding, self.level);
        match body.as_bytes() {
            Some([]) => body,
            Some(bytes) if Self::is_at_once(&body) => {
                let mut out = Vec::with_capacity(bytes.len() / 4 + 64);
                encoder.write(bytes, &mut out);
                encoder.finish(&mut out);
                out.into()
            }
            _ => body.encoded_upload(Box::new(encoder)),
        }
    }
}

impl EncodeStage for Encoder {
    fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        Self::write(self, piece, out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        Self::flush(self, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        Self::finish(self, out);
    }
}

/// Bytes that are compressed without giving way to others: less than a millisecond.
const AT_ONCE_BYTES_MAX: usize = 32 * 1024;

/// Fields of bodies whose bytes must stay what they are.
const NOT_WITH: [HeaderName; 4] = [
    CONTENT_ENCODING,
    CONTENT_RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];
