//! The codecs of content codings as stages of a body, and the encoders that a thread keeps for the next ones.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};

use bytes::Bytes;

use crate::conn::{BodyError, DecodeStage, EncodeStage};
use crate::proto::content_coding::{ContentCoding, DecodeError, Decoder, Encoder, Level};

/// Encoders a thread keeps: each takes longer to make than to compress a small answer, and holds some hundred KiB for gzip and
/// deflate, some MiB for br and zstd.
const SPARE_MAX: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Encoder>> = const { RefCell::new(Vec::new()) };
    /// Streams that are being compressed.
    static STREAMS: Cell<usize> = const { Cell::new(0) };
}

/// An encoder that goes back to its thread's spare ones.
pub(super) struct SpareEncoder {
    /// `None` only while it is being dropped.
    encoder: Option<Encoder>,
}

impl SpareEncoder {
    pub(super) fn take(coding: ContentCoding, level: Level) -> Self {
        let spare = SPARE.with_borrow_mut(|spare| {
            let fits = |encoder: &Encoder| encoder.coding() == coding && encoder.level() == level;
            let at = spare.iter().position(fits)?;
            Some(spare.swap_remove(at))
        });
        Self { encoder: Some(spare.unwrap_or_else(|| Encoder::new(coding, level))) }
    }

    fn encoder(&mut self) -> &mut Encoder {
        self.encoder.as_mut().expect("present until dropped")
    }
}

impl Drop for SpareEncoder {
    fn drop(&mut self) {
        let Some(mut encoder) = self.encoder.take() else { return };
        // A thread that ends has no spare ones any more.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                encoder.reset();
                spare.push(encoder);
            }
        });
    }
}

/// The right to compress one stream of this core, as long as it is kept.
pub(super) struct StreamPlace(());

impl StreamPlace {
    /// A place, unless `streams_max` are taken.
    pub(super) fn take(streams_max: usize) -> Option<Self> {
        let taken = STREAMS.get();
        (taken < streams_max).then(|| {
            STREAMS.set(taken + 1);
            Self(())
        })
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let _ = STREAMS.try_with(|streams| streams.set(streams.get() - 1));
    }
}

/// An encoder for a stream, whose client takes its time.
pub(super) struct StreamEncoder {
    pub(super) encoder: SpareEncoder,
    pub(super) _place: StreamPlace,
}

impl EncodeStage for StreamEncoder {
    fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.encoder.encoder().write(piece, out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.encoder.encoder().flush(out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.encoder.encoder().finish(out);
    }
}

/// Compresses a whole body.
pub(super) fn compressed(coding: ContentCoding, level: Level, body: &[u8]) -> Vec<u8> {
    // Text becomes a quarter or less.
    let mut out = Vec::with_capacity(body.len() / 4 + 64);
    let mut spare = SpareEncoder::take(coding, level);
    spare.encoder().write(body, &mut out);
    spare.encoder().finish(&mut out);
    out
}

impl DecodeStage for Decoder {
    fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, BodyError> {
        Self::decode(self, input).map_err(body_error)
    }

    fn end(&self) -> Result<(), BodyError> {
        Self::end(self).map_err(body_error)
    }
}

fn body_error(error: DecodeError) -> BodyError {
    match error {
        DecodeError::TooDense => BodyError::TooDense,
        DecodeError::Malformed | DecodeError::Truncated => BodyError::Undecodable,
    }
}
