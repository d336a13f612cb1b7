//! Content codings (RFC 9110 §8.4.1): bodies compressed and restored, piece by piece.
//!
//! Neither direction holds more than the codec's own window: an encoder gives what it has for each piece it is fed, a
//! decoder gives pieces of bounded size until it has no more input.
#![forbid(unsafe_code)]

mod decoder;
mod encoder;

pub use decoder::{DecodeError, DecodeLimits, Decoder};
pub use encoder::{Encoder, Level};

/// A way to compress a body. Those of features that are off do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContentCoding {
    /// `br` (RFC 7932).
    #[cfg(feature = "brotli")]
    Brotli,
    /// `deflate` (RFC 9110 §8.4.1.2): the format of zlib. Raw deflate data, which some clients send, is read as well.
    Deflate,
    /// `gzip` (RFC 9110 §8.4.1.3).
    Gzip,
    /// `zstd` (RFC 8878), with windows of at most 8 MiB (RFC 9659).
    #[cfg(feature = "zstd")]
    Zstd,
}

impl ContentCoding {
    /// All there are, the one that compresses text best for its time first.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "zstd")]
        Self::Zstd,
        #[cfg(feature = "brotli")]
        Self::Brotli,
        Self::Gzip,
        Self::Deflate,
    ];

    /// Its name in `Content-Encoding` and `Accept-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "brotli")]
            Self::Brotli => "br",
            Self::Deflate => "deflate",
            Self::Gzip => "gzip",
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
        }
    }

    /// The coding of a name, in any case; `x-gzip` is gzip (RFC 9110 §8.4.1.3).
    #[must_use]
    pub fn of_name(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.iter().copied().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }
}

#[cfg(test)]
mod tests;
