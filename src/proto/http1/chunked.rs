//! The chunked transfer coding, decoding side (RFC 9112 §7.1).
//!
//! Stricter than the RFC: no white space around the size, at most 16 digits of it, extensions within a budget, and a
//! trailer field that may not be a trailer is refused, not dropped. Extensions are checked for control bytes and
//! otherwise ignored.
#![forbid(unsafe_code)]

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::head::{self, Scan, Section};
use super::{BodyEvent, Limits, syntax};
use crate::proto::PeerError;

/// Where the decoder stands in a chunked body.
#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    phase: Phase,
    /// Bytes of the size line or of the trailers that were searched for their end.
    searched: usize,
    scan: Scan,
    data_bytes: u64,
    extension_bytes: u64,
    trailers: Option<Box<HeaderMap>>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Size,
    /// Bytes of the chunk's data that are still to come.
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

impl ChunkedDecoder {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Size,
            searched: 0,
            scan: Scan::default(),
            data_bytes: 0,
            extension_bytes: 0,
            trailers: None,
        }
    }

    /// The next piece of data: a view of `input`, no copy. At most one chunk per call.
    pub(super) fn next(&mut self, input: &mut BytesMut, limits: &Limits) -> Result<BodyEvent, PeerError> {
        loop {
            let is_complete = match self.phase {
                Phase::Data(left) => return Ok(self.data(input, left)),
                Phase::Done => return Ok(BodyEvent::End),
                Phase::Size => self.size(input, limits)?,
                Phase::DataEnd => self.data_end(input)?,
                Phase::Trailers => self.trailer_section(input, limits)?,
            };
            if !is_complete {
                return Ok(BodyEvent::NeedMore);
            }
        }
    }

    /// The trailers, once, when the body was read to its end and had some.
    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take().map(|trailers| *trailers)
    }

    fn size(&mut self, input: &mut BytesMut, limits: &Limits) -> Result<bool, PeerError> {
        let window = &input[..input.len().min(limits.chunk_line_bytes_max)];
        let Some(offset) = memchr::memchr(b'\n', &window[self.searched..]) else {
            self.searched = window.len();
            return if window.len() < limits.chunk_line_bytes_max {
                Ok(false)
            } else {
                Err(PeerError::ChunkLineTooLong)
            };
        };
        let end = self.searched + offset;
        let line = window[..end].strip_suffix(b"\r").ok_or(PeerError::BareLf)?;
        let (size, extensions) = parse_size(line)?;
        if !extensions.is_empty() {
            self.pay_for(extensions, limits)?;
        }
        input.advance(end + 1);
        self.searched = 0;
        self.phase = if size == 0 { Phase::Trailers } else { Phase::Data(size) };
        Ok(true)
    }

    /// RFC 9112 §7.1.1: a server ought to limit the total length of extensions. Signed chunks (one signature per
    /// chunk) are legitimate at any length of the body, so what is limited is their excess over the data.
    #[cold]
    fn pay_for(&mut self, extensions: &[u8], limits: &Limits) -> Result<(), PeerError> {
        if !syntax::all(extensions, syntax::VALUE) {
            return Err(PeerError::ChunkExtensionInvalid);
        }
        self.extension_bytes = self.extension_bytes.saturating_add(extensions.len() as u64);
        let budget = self.data_bytes.saturating_add(limits.chunk_extension_total_max as u64);
        if self.extension_bytes > budget { Err(PeerError::ChunkExtensionsTooLong) } else { Ok(()) }
    }

    fn data(&mut self, input: &mut BytesMut, left: u64) -> BodyEvent {
        if input.is_empty() {
            return BodyEvent::NeedMore;
        }
        let (data, left) = take(input, left);
        self.data_bytes = self.data_bytes.saturating_add(data.len() as u64);
        self.phase = if left == 0 { Phase::DataEnd } else { Phase::Data(left) };
        BodyEvent::Data(data)
    }

    fn data_end(&mut self, input: &mut BytesMut) -> Result<bool, PeerError> {
        match input[..] {
            [b'\r', b'\n', ..] => {
                input.advance(2);
                self.phase = Phase::Size;
                Ok(true)
            }
            [] | [b'\r'] => Ok(false),
            _ => Err(PeerError::ChunkEndInvalid),
        }
    }

    fn trailer_section(&mut self, input: &mut BytesMut, limits: &Limits) -> Result<bool, PeerError> {
        let Some(end) = self.scan.end(input, &Section::trailers(limits))? else {
            return Ok(false);
        };
        let lines = input.split_to(end).freeze();
        if end > 2 {
            self.trailers = Some(Box::new(head::parse_trailers(&lines, limits)?));
        }
        self.phase = Phase::Done;
        Ok(true)
    }
}

/// Splits up to `left` bytes off the front of `input`; gives them and what is left then.
pub(super) fn take(input: &mut BytesMut, left: u64) -> (Bytes, u64) {
    let length = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    (input.split_to(length).freeze(), left - length as u64)
}

/// Splits a chunk line, without its end, into the size and the extensions (from the semicolon on).
fn parse_size(line: &[u8]) -> Result<(u64, &[u8]), PeerError> {
    let digits = syntax::run(line, syntax::HEX);
    let (digits, rest) = line.split_at(digits);
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX || !matches!(rest, [] | [b';', ..]) {
        return Err(PeerError::ChunkSizeInvalid);
    }
    Ok((digits.iter().fold(0, |size, &digit| size << 4 | u64::from(hex(digit))), rest))
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        // Letters differ from their values in the upper bits only: 'a' and 'A' are 10 with 9 added to the low nibble.
        _ => (digit & 0x0f) + 9,
    }
}

/// A `u64` has sixteen, so no size overflows.
const SIZE_DIGITS_MAX: usize = 16;

#[cfg(test)]
mod tests;
