//! Restoring what was compressed, against those who compress nothing into very little.
#![forbid(unsafe_code)]

use std::fmt;

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
#[cfg(feature = "zstd")]
use zstd::stream::raw::{self as zstd_raw, Operation as _};

use super::ContentCoding;

/// How much a [`Decoder`] makes of how little.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// Bytes of output per byte of input, counted from the beginning. Default: 100, which text hardly ever reaches. Beyond
    /// it: [`DecodeError::TooDense`].
    pub ratio_max: u64,
    /// Bytes of output that are allowed whatever their ratio. Default: 1 MiB: a megabyte of zeros is no attack.
    pub ratio_free_bytes: u64,
    /// Members of one gzip body, and frames of one zstd body (RFC 1952 §2.2, RFC 8878 §3). Default: 1024. Beyond it:
    /// [`DecodeError::Malformed`].
    pub members_max: u32,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { ratio_max: 100, ratio_free_bytes: 1024 * 1024, members_max: 1024 }
    }
}

/// Why a body could not be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not of its coding, is damaged, or something follows it.
    Malformed,
    /// It is more compressed than `DecodeLimits::ratio_max` allows.
    TooDense,
    /// It ended before its end.
    Truncated,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the compressed data is malformed",
            Self::TooDense => "the compressed data is too dense",
            Self::Truncated => "the compressed data ends early",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Restores one body.
///
/// ```
/// use bytes::Bytes;
/// use ringhttp::proto::content_coding::{ContentCoding, DecodeLimits, Decoder, Encoder, Level};
///
/// let (mut encoder, mut packed) = (Encoder::new(ContentCoding::Gzip, Level::Balanced), Vec::new());
/// encoder.write(b"hello", &mut packed);
/// encoder.finish(&mut packed);
///
/// let mut decoder = Decoder::new(ContentCoding::Gzip, DecodeLimits::default());
/// let mut input = Bytes::from(packed);
/// let mut whole = Vec::new();
/// while let Some(piece) = decoder.decode(&mut input)? {
///     whole.extend_from_slice(&piece);
/// }
/// decoder.end()?;
/// assert_eq!(whole, b"hello");
/// # Ok::<(), ringhttp::proto::content_coding::DecodeError>(())
/// ```
pub struct Decoder {
    limits: DecodeLimits,
    codec: Codec,
    place: Place,
    members: u32,
    bytes_in: u64,
    bytes_out: u64,
    /// The last piece was full: the codec may have more without more input.
    has_more: bool,
}

/// Where the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing has come.
    Start,
    /// In a member.
    Inside,
    /// Between two members, or behind the last.
    Between,
}

enum Codec {
    Gzip(Decompress),
    /// `None` until the first byte says whether it is zlib's format or raw deflate.
    Deflate(Option<Decompress>),
    #[cfg(feature = "brotli")]
    Brotli(Box<BrotliState>),
    #[cfg(feature = "zstd")]
    Zstd(zstd_raw::Decoder<'static>),
}

#[cfg(feature = "brotli")]
type BrotliState = brotli::BrotliState<
    brotli::HeapAlloc<u8>,
    brotli::HeapAlloc<u32>,
    brotli::HeapAlloc<brotli::HuffmanCode>,
>;

/// What a codec made of its input.
struct Step {
    taken: usize,
    made: usize,
    /// A member ended.
    ended: bool,
}

impl Decoder {
    /// A decoder for one body.
    #[must_use]
    pub fn new(coding: ContentCoding, limits: DecodeLimits) -> Self {
        let codec = match coding {
            ContentCoding::Gzip => Codec::Gzip(Decompress::new_gzip(WINDOW_BITS)),
            ContentCoding::Deflate => Codec::Deflate(None),
            #[cfg(feature = "brotli")]
            ContentCoding::Brotli => Codec::Brotli(brotli_state()),
            #[cfg(feature = "zstd")]
            ContentCoding::Zstd => Codec::Zstd(zstd_decoder()),
        };
        Self { limits, codec, place: Place::Start, members: 0, bytes_in: 0, bytes_out: 0, has_more: false }
    }

    /// The next piece of the body, of at most 32 KiB; what it was made of is taken off the front of `input`. `None`: `input` is
    /// used up, and more is needed.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`], [`DecodeError::TooDense`]. There is nothing to be got from the decoder behind either.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
        if input.is_empty() && !self.has_more {
            return Ok(None);
        }
        // Who sends byte by byte does not get a large buffer cleared for each.
        let likely = input.len().saturating_mul(ROOM_FACTOR).clamp(ROOM_BYTES_MIN, PIECE_BYTES_MAX);
        let mut out = vec![0; if self.has_more { PIECE_BYTES_MAX } else { likely }];
        let mut made = 0;
        // Ends by itself: a step that neither takes nor makes anything is the last.
        while made < out.len() {
            if input.is_empty() && self.place != Place::Inside {
                break;
            }
            if self.place != Place::Inside {
                self.begin_member()?;
            }
            let step = self.step(input, &mut out[made..])?;
            input.advance(step.taken);
            made += step.made;
            self.count(&step)?;
            if step.ended {
                self.place = Place::Between;
            } else if step.taken == 0 && step.made == 0 {
                // With room left, a codec that does not take its input never will.
                if !input.is_empty() {
                    return Err(DecodeError::Malformed);
                }
                break;
            }
        }
        self.has_more = made == out.len();
        out.truncate(made);
        // What is mostly empty is not to hold on to the whole.
        if made < out.capacity() / 2 {
            out.shrink_to_fit();
        }
        Ok((made > 0).then(|| Bytes::from(out)))
    }

    /// Checks that the body has come to its end. A body of nothing at all is one, too.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.place == Place::Inside { Err(DecodeError::Truncated) } else { Ok(()) }
    }

    /// Something follows what has come so far: the beginning, or another member.
    fn begin_member(&mut self) -> Result<(), DecodeError> {
        if self.place == Place::Between {
            match &mut self.codec {
                Codec::Gzip(codec) => *codec = Decompress::new_gzip(WINDOW_BITS),
                #[cfg(feature = "zstd")]
                Codec::Zstd(codec) => codec.reinit().map_err(|_| DecodeError::Malformed)?,
                // These have one stream, and nothing behind it.
                Codec::Deflate(_) => return Err(DecodeError::Malformed),
                #[cfg(feature = "brotli")]
                Codec::Brotli(_) => return Err(DecodeError::Malformed),
            }
        }
        self.place = Place::Inside;
        self.members += 1;
        if self.members > self.limits.members_max { Err(DecodeError::Malformed) } else { Ok(()) }
    }

    fn count(&mut self, step: &Step) -> Result<(), DecodeError> {
        self.bytes_in += step.taken as u64;
        self.bytes_out += step.made as u64;
        let allowed = self.bytes_in.saturating_mul(self.limits.ratio_max).max(self.limits.ratio_free_bytes);
        if self.bytes_out > allowed { Err(DecodeError::TooDense) } else { Ok(()) }
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, DecodeError> {
        match &mut self.codec {
            Codec::Gzip(codec) => zlib(codec, input, out),
            Codec::Deflate(codec) => {
                let Some(first) = input.first() else {
                    return codec.as_mut().map_or(Ok(Step::NONE), |codec| zlib(codec, input, out));
                };
                // RFC 1950 §2.2: the first byte of zlib's format ends in 8. Raw deflate would begin a stored block with
                // padding that is not zero, which no encoder does.
                let codec = codec.get_or_insert_with(|| Decompress::new(first & 0x0f == 8));
                zlib(codec, input, out)
            }
            #[cfg(feature = "brotli")]
            Codec::Brotli(state) => brotli_step(state, input, out),
            #[cfg(feature = "zstd")]
            Codec::Zstd(codec) => {
                let status = codec.run_on_buffers(input, out).map_err(|_| DecodeError::Malformed)?;
                let (taken, made) = (status.bytes_read, status.bytes_written);
                Ok(Step { taken, made, ended: status.remaining == 0 })
            }
        }
    }
}

impl Step {
    const NONE: Self = Self { taken: 0, made: 0, ended: false };
}

fn zlib(codec: &mut Decompress, input: &[u8], out: &mut [u8]) -> Result<Step, DecodeError> {
    let (taken, made) = (codec.total_in(), codec.total_out());
    let status = codec.decompress(input, out, FlushDecompress::None).map_err(|_| DecodeError::Malformed)?;
    let count = |now: u64, before: u64| usize::try_from(now - before).expect("no more than there was");
    Ok(Step {
        taken: count(codec.total_in(), taken),
        made: count(codec.total_out(), made),
        ended: status == Status::StreamEnd,
    })
}

#[cfg(feature = "brotli")]
fn brotli_state() -> Box<BrotliState> {
    use brotli::HeapAlloc;

    // Strict: no large windows, so that the window has at most 16 MiB.
    let alloc = (HeapAlloc::default(), HeapAlloc::default(), HeapAlloc::default());
    Box::new(brotli::BrotliState::new_strict(alloc.0, alloc.1, alloc.2))
}

#[cfg(feature = "brotli")]
fn brotli_step(state: &mut BrotliState, input: &[u8], out: &mut [u8]) -> Result<Step, DecodeError> {
    use brotli::BrotliResult;

    let (mut left, mut taken, mut room, mut made, mut total) = (input.len(), 0, out.len(), 0, 0);
    let result = brotli::BrotliDecompressStream(
        &mut left, &mut taken, input, &mut room, &mut made, out, &mut total, state,
    );
    match result {
        BrotliResult::ResultFailure => Err(DecodeError::Malformed),
        result => Ok(Step { taken, made, ended: matches!(result, BrotliResult::ResultSuccess) }),
    }
}

#[cfg(feature = "zstd")]
fn zstd_decoder() -> zstd_raw::Decoder<'static> {
    let mut codec = zstd_raw::Decoder::new().expect("memory for a decoder");
    // RFC 9659 §3: a recipient of this coding needs to support 8 MiB, and larger windows are an attack.
    let limited = codec.set_parameter(zstd_raw::DParameter::WindowLogMax(23));
    limited.expect("the number is one of zstd's");
    codec
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("place", &self.place)
            .field("bytes_in", &self.bytes_in)
            .field("bytes_out", &self.bytes_out)
            .finish_non_exhaustive()
    }
}

/// The largest window of deflate: 32 KiB.
const WINDOW_BITS: u8 = 15;

/// Bytes of output that are given at once.
const PIECE_BYTES_MAX: usize = 32 * 1024;

/// Room for output per byte of input, to begin with: text becomes less. What does not fit comes in full pieces behind it.
const ROOM_FACTOR: usize = 16;
const ROOM_BYTES_MIN: usize = 512;
