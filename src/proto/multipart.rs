//! Multipart bodies: several parts with fields of their own in one body (RFC 2046 §5.1), and forms in them
//! (`multipart/form-data`, RFC 7578).
//!
//! ```text
//!             delimiter                    CRLF                 empty line
//! Preamble ───────────────▶ DelimiterLine ──────▶ Head (a part) ───────────▶ Body
//!                             │        ▲                                      │
//!                             │ "--"   └──────────────────────────────────────┘
//!                             ▼                         delimiter
//!                          Epilogue ──▶ end of the body
//! ```
//!
//! [`Reader`] takes the body in any pieces and gives views of them: data is never copied. Stricter than the RFC: line ends are
//! CRLF, the fields of a part are not folded, and what follows a delimiter on its line is white space or the two dashes.
//! More lenient where RFC 7578 §4.7 asks for it: `Content-Transfer-Encoding` is left to whoever reads the part, who has a
//! [`TransferDecoder`] for it.
#![forbid(unsafe_code)]

mod part_head;
mod reader;
mod transfer;
mod writer;

use std::error::Error;
use std::fmt;

use http::StatusCode;

pub use part_head::{PartHead, safe_file_name};
pub use reader::{Event, Reader};
pub use transfer::TransferDecoder;
pub use writer::Writer;
pub(crate) use writer::form_disposition;

use super::ContentType;

/// Limits of a multipart body. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Parts. Beyond it: 413. Default 1000.
    pub part_count_max: usize,
    /// The head of a part, its empty line included. Beyond it: 413. Default 8 KiB.
    pub part_head_bytes_max: usize,
    /// Fields in the head of a part. Beyond it: 413. Default 32.
    pub part_header_count_max: usize,
    /// The content of a part. Beyond it: 413. Default: no limit but that of the body.
    pub part_bytes_max: Option<u64>,
    /// What stands before the first delimiter, and again what stands behind the last (RFC 2046 §5.1.1: both are to be ignored).
    /// Beyond it: 413. Default 8 KiB.
    pub edge_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            part_count_max: 1000,
            part_head_bytes_max: 8 * 1024,
            part_header_count_max: 32,
            part_bytes_max: None,
            edge_bytes_max: 8 * 1024,
        }
    }
}

/// What is wrong with a multipart body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MultipartError {
    /// `Content-Type` has no `boundary`, several, or one that RFC 2046 §5.1.1 does not allow.
    BoundaryInvalid,
    /// The content of a part is not of its `Content-Transfer-Encoding`.
    ContentInvalid,
    /// The body ended before its last delimiter.
    CutOff,
    /// A delimiter is followed by something other than white space and a line end, or the two dashes of the last.
    DelimiterInvalid,
    /// `Content-Disposition` is malformed, repeated, or has a parameter twice; or a name in it is not UTF-8 or has control
    /// characters.
    DispositionInvalid,
    /// Before the first delimiter, or behind the last, is more than the limit.
    EdgeTooLarge,
    /// The head of a part has a line that is no field.
    HeadInvalid,
    /// The head of a part is longer than the limit, or has more fields.
    HeadTooLarge,
    /// A part of a form has no name (RFC 7578 §4.2).
    NameMissing,
    /// A part is longer than the limit.
    PartTooLarge,
    /// There are more parts than the limit.
    PartsTooMany,
}

impl MultipartError {
    /// What a server answers: 400, or 413 where a limit was passed.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::EdgeTooLarge | Self::HeadTooLarge | Self::PartTooLarge | Self::PartsTooMany => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BoundaryInvalid => "Content-Type has no valid boundary",
            Self::ContentInvalid => "a part is not of its Content-Transfer-Encoding",
            Self::CutOff => "the body ends before the last boundary",
            Self::DelimiterInvalid => "something follows a boundary on its line",
            Self::DispositionInvalid => "a part has an invalid Content-Disposition",
            Self::EdgeTooLarge => "too much stands before the first boundary or behind the last",
            Self::HeadInvalid => "a part has an invalid header field",
            Self::HeadTooLarge => "the header fields of a part are too large",
            Self::NameMissing => "a part has no name",
            Self::PartTooLarge => "a part is too large",
            Self::PartsTooMany => "there are too many parts",
        })
    }
}

impl Error for MultipartError {}

/// The boundary that a `multipart/*` type names (RFC 2046 §5.1.1): 1 to 70 bytes, the last of them no space.
///
/// ```
/// use ringhttp::proto::{ContentType, multipart};
///
/// let of_form = ContentType::parse(b"multipart/form-data; boundary=----x").unwrap();
/// assert_eq!(multipart::boundary(&of_form).unwrap(), "----x");
/// ```
///
/// # Errors
/// [`MultipartError::BoundaryInvalid`]: also if there are two, which two recipients would read differently.
pub fn boundary(content_type: &ContentType<'_>) -> Result<String, MultipartError> {
    let is_boundary = |name: &str| name.eq_ignore_ascii_case("boundary");
    let mut found = content_type.parameters.flatten().filter(|(name, _)| is_boundary(name));
    let (Some((_, boundary)), None) = (found.next(), found.next()) else {
        return Err(MultipartError::BoundaryInvalid);
    };
    let boundary = String::from_utf8(boundary.into_owned()).map_err(|_| MultipartError::BoundaryInvalid)?;
    if is_valid(&boundary) { Ok(boundary) } else { Err(MultipartError::BoundaryInvalid) }
}

fn is_valid(boundary: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary.bytes().all(is_allowed)
        && !boundary.ends_with(' ')
}

/// RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;

#[cfg(test)]
mod tests;
