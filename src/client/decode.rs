//! Bodies of answers are decompressed while they are read.
#![forbid(unsafe_code)]

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue};

use super::error::{Error, ErrorKind, Result};
use crate::conn::DecodingTurn;
use crate::proto::content_coding::{ContentCoding, DecodeLimits, Decoder};
use crate::proto::http1::elements;

/// The codings that are taken, as `Accept-Encoding` says it.
pub(super) fn accepted() -> HeaderValue {
    let names: Vec<_> = ContentCoding::ALL.iter().map(|coding| coding.name()).collect();
    HeaderValue::try_from(names.join(", ")).expect("names are tokens")
}

/// A body on its way through a decoder.
pub(super) struct Decoding {
    decoder: Decoder,
    /// What has been read and not been used.
    input: Bytes,
    has_ended: bool,
    turn: DecodingTurn,
}

impl Decoding {
    /// The decoder that an answer needs; `None` if it needs none, or one that is not known: then its bytes are given as they
    /// come. The fields that say what it was are taken out.
    ///
    /// # Errors
    /// If there are several codings: they multiply what a bomb becomes, and nobody uses them.
    pub(super) fn of_answer(headers: &mut HeaderMap, limits: DecodeLimits) -> Result<Option<Self>> {
        let Some(coding) = coding(headers)? else { return Ok(None) };
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
        let decoder = Decoder::new(coding, limits);
        Ok(Some(Self { decoder, input: Bytes::new(), has_ended: false, turn: DecodingTurn::default() }))
    }

    /// The next piece; `read` gives what the body is made of.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&mut Context<'_>) -> Poll<Result<Option<Bytes>>>,
    ) -> Poll<Result<Option<Bytes>>> {
        loop {
            ready!(self.turn.poll(cx));
            let decoded = self.decoder.decode(&mut self.input);
            if let Some(piece) = decoded.map_err(|error| Error::new(ErrorKind::Decode).with_source(error))? {
                self.turn.give();
                return Poll::Ready(Ok(Some(piece)));
            }
            if self.has_ended {
                return Poll::Ready(Ok(None));
            }
            match ready!(self.turn.read(read(cx)))? {
                Some(input) => self.input = input,
                None => {
                    self.has_ended = true;
                    self.decoder.end().map_err(|error| Error::new(ErrorKind::Decode).with_source(error))?;
                }
            }
        }
    }
}

fn coding(headers: &HeaderMap) -> Result<Option<ContentCoding>> {
    let mut names =
        elements(headers, CONTENT_ENCODING).filter(|name| !name.eq_ignore_ascii_case(b"identity"));
    let Some(coding) = names.next().and_then(ContentCoding::of_name) else { return Ok(None) };
    match names.next() {
        None => Ok(Some(coding)),
        Some(_) => Err(Error::new(ErrorKind::Decode).with_text("it has several content codings")),
    }
}
