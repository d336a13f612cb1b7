//! Text in the character sets that still come over HTTP: UTF-8, US-ASCII, ISO-8859-1 and windows-1252.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

use http::StatusCode;

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CharsetError {
    /// The bytes are not of the character set they are said to be; it is given by its usual name.
    Malformed(&'static str),
    /// The character set is none of those that are read.
    Unknown,
}

impl CharsetError {
    /// What a server answers: 400, or 415 for a character set that it does not read.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unknown => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }
}

impl fmt::Display for CharsetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(charset) => write!(f, "not {charset}"),
            Self::Unknown => {
                f.write_str("in a charset other than utf-8, us-ascii, iso-8859-1 and windows-1252")
            }
        }
    }
}

impl Error for CharsetError {}

/// The text that `bytes` are in `charset` (in any case; `None` is UTF-8). A byte order mark before UTF-8 is left out.
///
/// ```
/// use ringhttp::proto::charset::decode;
///
/// assert_eq!(decode(None, "grün".into()).unwrap(), "grün");
/// assert_eq!(decode(Some("ISO-8859-1"), b"gr\xfcn".to_vec()).unwrap(), "grün");
/// assert_eq!(decode(Some("windows-1252"), b"1 \x80".to_vec()).unwrap(), "1 €");
/// ```
///
/// # Errors
/// [`CharsetError`].
pub fn decode(charset: Option<&str>, mut bytes: Vec<u8>) -> Result<String, CharsetError> {
    let is = |names: &[&str]| {
        charset.is_some_and(|charset| names.iter().any(|name| charset.eq_ignore_ascii_case(name)))
    };
    if charset.is_none() || is(UTF_8) {
        if bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        String::from_utf8(bytes).map_err(|_| CharsetError::Malformed("UTF-8"))
    } else if is(US_ASCII) {
        // What is not ASCII is not known to be anything.
        String::from_utf8(bytes)
            .ok()
            .filter(|text| text.is_ascii())
            .ok_or(CharsetError::Malformed("US-ASCII"))
    } else if is(ISO_8859_1) {
        Ok(bytes.into_iter().map(char::from).collect())
    } else if is(WINDOWS_1252) {
        Ok(bytes.into_iter().map(of_windows_1252).collect())
    } else {
        Err(CharsetError::Unknown)
    }
}

/// UTF-8's byte order mark, which says nothing and is not meant to be read (RFC 3629 §6).
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const UTF_8: &[&str] = &["utf-8", "utf8"];
const US_ASCII: &[&str] = &["us-ascii", "ascii"];
const ISO_8859_1: &[&str] = &["iso-8859-1", "iso8859-1", "latin1", "latin-1", "l1"];
const WINDOWS_1252: &[&str] = &["windows-1252", "cp1252"];

fn of_windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9f => HIGH_OF_WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// The bytes in which windows-1252 differs from ISO-8859-1; the five that it leaves open are control characters, as in
/// the WHATWG's encoding standard.
const HIGH_OF_WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_or_refused() {
        type Case = (Option<&'static str>, &'static [u8], Result<&'static str, CharsetError>);
        const CASES: &[Case] = &[
            (None, b"", Ok("")),
            (None, b"gr\xc3\xbcn", Ok("grün")),
            (None, b"gr\xfcn", Err(CharsetError::Malformed("UTF-8"))),
            (Some("utf-8"), b"\xef\xbb\xbfa", Ok("a")),
            (Some("UTF8"), b"a\xef\xbb\xbf", Ok("a\u{feff}")),
            (Some("utf-8"), b"\xed\xa0\x80", Err(CharsetError::Malformed("UTF-8"))),
            (Some("US-ASCII"), b"a~\0", Ok("a~\0")),
            (Some("us-ascii"), b"gr\xc3\xbcn", Err(CharsetError::Malformed("US-ASCII"))),
            (Some("Latin1"), b"\x80\xe4\xff", Ok("\u{80}äÿ")),
            (Some("iso-8859-1"), b"\xef\xbb\xbf", Ok("ï»¿")),
            (Some("Windows-1252"), b"\x80\x81\x9f\xa0\xff", Ok("€\u{81}Ÿ\u{a0}ÿ")),
            (Some("utf-16"), b"a", Err(CharsetError::Unknown)),
            (Some(""), b"a", Err(CharsetError::Unknown)),
        ];
        for (charset, bytes, expected) in CASES {
            let found = decode(*charset, bytes.to_vec());
            assert_eq!(
                found.as_deref().map_err(|error| *error),
                *expected,
                "{charset:?} {}",
                bytes.escape_ascii()
            );
        }
    }
}
