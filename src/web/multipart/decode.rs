//! Parts whose content was encoded on its own.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName, StatusCode};

use super::Whole;
use crate::conn::{BodyError, DecodeStage, Decoding};
use crate::error::{Error, Result};
use crate::proto::http1::elements;
use crate::proto::multipart::TransferDecoder;
use crate::web::read::pieces::Pieces;

/// The content of a part, as it was sent or with what was done to it undone.
pub(super) struct Source<'f> {
    pieces: &'f mut (dyn Pieces + 'f),
    /// In the order they are passed.
    stages: Vec<Decoding>,
    /// Bytes that may come out of each.
    bytes_max: u64,
    /// Where what comes out of the last is counted, if there is one.
    whole: Option<Rc<Whole>>,
}

impl<'f> Source<'f> {
    pub(super) fn new(pieces: &'f mut (dyn Pieces + 'f)) -> Self {
        Self { pieces, stages: Vec::new(), bytes_max: u64::MAX, whole: None }
    }

    /// Has the content of a part of `whole` pass `stages` too.
    pub(super) fn decoded(mut self, stages: Vec<Decoding>, whole: &Rc<Whole>) -> Self {
        self.stages.extend(stages);
        let bytes_max = whole.config.limits.part_bytes_max.unwrap_or(u64::MAX);
        let whole = (!self.stages.is_empty()).then(|| Rc::clone(whole));
        Self { bytes_max, whole, ..self }
    }
}

impl Whole {
    /// Counts what was made of a part. What one part has had too much of, the others lack.
    fn count_decoded(&self, bytes: u64) -> Result<(), BodyError> {
        let left = self.decoded_left.get().checked_sub(bytes);
        self.decoded_left.set(left.unwrap_or(0));
        left.map(drop).ok_or(BodyError::TooLarge)
    }
}

impl Pieces for Source<'_> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let piece = ready!(poll(&mut self.stages, self.pieces, self.bytes_max, cx))?;
        if let (Some(whole), Some(piece)) = (&self.whole, &piece) {
            whole.count_decoded(piece.len() as u64)?;
        }
        Poll::Ready(Ok(piece))
    }

    fn give_up(&mut self) {
        self.pieces.give_up();
    }
}

fn poll(
    stages: &mut [Decoding],
    pieces: &mut dyn Pieces,
    bytes_max: u64,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>>> {
    match stages.split_last_mut() {
        None => pieces.poll_piece(cx),
        Some((last, before)) => last.poll_chunk(cx, bytes_max, |cx| poll(before, pieces, bytes_max, cx)),
    }
}

/// What undoes the encodings that the head of a part names: the one for its transfer was the last to be put on.
pub(super) fn stages(headers: &HeaderMap) -> Result<Vec<Decoding>> {
    let mut stages = Vec::new();
    if let Some(name) = only(headers, CONTENT_TRANSFER_ENCODING)? {
        stages.push(Decoding::new(Box::new(Transfer(TransferDecoder::of_name(name).ok_or_else(unknown)?))));
    }
    if let Some(name) =
        only(headers, CONTENT_ENCODING)?.filter(|name| !name.eq_ignore_ascii_case(b"identity"))
    {
        stages.push(Decoding::new(coding(name).ok_or_else(unknown)?));
    }
    Ok(stages)
}

/// The element of a field that may have one. Encodings upon encodings multiply what a bomb becomes.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&[u8]>> {
    let mut names = elements(headers, name);
    let (first, second) = (names.next(), names.next());
    if second.is_some() { Err(unknown()) } else { Ok(first) }
}

fn unknown() -> Error {
    let text = "multipart: the encoding of a part is not supported";
    Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).with_text(text)
}

#[cfg(feature = "compression")]
fn coding(name: &[u8]) -> Option<Box<dyn DecodeStage>> {
    use crate::proto::content_coding::{ContentCoding, DecodeLimits, Decoder};

    Some(Box::new(Decoder::new(ContentCoding::of_name(name)?, DecodeLimits::default())))
}

#[cfg(not(feature = "compression"))]
fn coding(_: &[u8]) -> Option<Box<dyn DecodeStage>> {
    None
}

struct Transfer(TransferDecoder);

impl DecodeStage for Transfer {
    fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, BodyError> {
        let mut content = Vec::with_capacity(input.len());
        self.0.decode(&std::mem::take(input), &mut content).map_err(|_| BodyError::Undecodable)?;
        Ok((!content.is_empty()).then(|| content.into()))
    }

    fn end(&self) -> Result<(), BodyError> {
        self.0.end().map_err(|_| BodyError::Undecodable)
    }
}

const CONTENT_TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");
