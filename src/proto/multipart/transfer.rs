//! Content that was made fit for mail (RFC 2045 §6), restored piece by piece: what some programs still send in parts.
#![forbid(unsafe_code)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::MultipartError;

/// Restores content by its `Content-Transfer-Encoding`.
///
/// ```
/// use ringhttp::proto::multipart::TransferDecoder;
///
/// let mut decoder = TransferDecoder::of_name(b"Base64").unwrap();
/// let mut content = Vec::new();
/// decoder.decode(b"aGVs\r\nbG", &mut content)?;
/// decoder.decode(b"8=", &mut content)?;
/// decoder.end()?;
/// assert_eq!(content, b"hello");
/// # Ok::<(), ringhttp::proto::multipart::MultipartError>(())
/// ```
#[derive(Debug)]
pub struct TransferDecoder(Kind);

#[derive(Debug)]
enum Kind {
    /// `7bit`, `8bit` and `binary`: nothing was done.
    Identity,
    Base64(Quad),
    QuotedPrintable(Quoted),
}

impl TransferDecoder {
    /// The decoder of an encoding, named in any case; `None` if it is none of RFC 2045.
    #[must_use]
    pub fn of_name(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        Some(Self(match name {
            _ if is("base64") => Kind::Base64(Quad::default()),
            _ if is("quoted-printable") => Kind::QuotedPrintable(Quoted::Text),
            _ if is("7bit") || is("8bit") || is("binary") => Kind::Identity,
            _ => return None,
        }))
    }

    /// Appends to `content` what `input` stands for: any piece of the content, never more than `input`'s length and 2 bytes.
    ///
    /// # Errors
    /// [`MultipartError::ContentInvalid`].
    pub fn decode(&mut self, input: &[u8], content: &mut Vec<u8>) -> Result<(), MultipartError> {
        match &mut self.0 {
            Kind::Identity => {
                content.extend_from_slice(input);
                Ok(())
            }
            Kind::Base64(quad) => input.iter().try_for_each(|&byte| quad.push(byte, content)),
            Kind::QuotedPrintable(quoted) => input.iter().try_for_each(|&byte| quoted.push(byte, content)),
        }
    }

    /// Whether the content may end here.
    ///
    /// # Errors
    /// [`MultipartError::ContentInvalid`].
    pub fn end(&self) -> Result<(), MultipartError> {
        let may_end = match &self.0 {
            Kind::Identity => true,
            Kind::Base64(quad) => quad.length == 0,
            // RFC 2045 §6.7 rule 3: a soft line break may be the last thing there is.
            Kind::QuotedPrintable(quoted) => matches!(quoted, Quoted::Text | Quoted::Space),
        };
        if may_end { Ok(()) } else { Err(MultipartError::ContentInvalid) }
    }
}

/// Four characters of base64 in the making (RFC 2045 §6.8).
#[derive(Debug, Default)]
struct Quad {
    characters: [u8; 4],
    length: usize,
    /// Padding ends the content.
    is_last: bool,
}

impl Quad {
    fn push(&mut self, byte: u8, content: &mut Vec<u8>) -> Result<(), MultipartError> {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Ok(());
        }
        if self.is_last {
            return Err(MultipartError::ContentInvalid);
        }
        self.characters[self.length] = byte;
        self.length += 1;
        if self.length < self.characters.len() {
            return Ok(());
        }
        self.length = 0;
        self.is_last = byte == b'=';
        STANDARD.decode_vec(self.characters, content).map_err(|_| MultipartError::ContentInvalid)
    }
}

/// Where in quoted-printable text the last byte was (RFC 2045 §6.7).
#[derive(Clone, Copy, Debug)]
enum Quoted {
    Text,
    Equals,
    /// Behind `=` and a hexadecimal digit.
    Digit(u8),
    /// Behind `=` and white space, which only a line end may follow.
    Space,
    /// Behind `=` and a carriage return.
    Return,
}

impl Quoted {
    fn push(&mut self, byte: u8, content: &mut Vec<u8>) -> Result<(), MultipartError> {
        *self = match (*self, byte) {
            (Self::Text, b'=') => Self::Equals,
            (Self::Text, other) => {
                content.push(other);
                Self::Text
            }
            (Self::Equals | Self::Space, b' ' | b'\t') => Self::Space,
            (Self::Equals | Self::Space, b'\r') => Self::Return,
            (Self::Equals | Self::Space | Self::Return, b'\n') => Self::Text,
            (Self::Equals, digit) => Self::Digit(nibble(digit)?),
            (Self::Digit(high), low) => {
                content.push(high << 4 | nibble(low)?);
                Self::Text
            }
            (Self::Space | Self::Return, _) => return Err(MultipartError::ContentInvalid),
        };
        Ok(())
    }
}

fn nibble(digit: u8) -> Result<u8, MultipartError> {
    let digit = char::from(digit).to_digit(16).ok_or(MultipartError::ContentInvalid)?;
    Ok(u8::try_from(digit).expect("below 16"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::transcript::at_every_split;

    type Case = (&'static str, &'static [u8], Result<&'static [u8], ()>);

    const CASES: &[Case] = &[
        ("base64", b"", Ok(b"")),
        ("base64", b"aGVsbG8=", Ok(b"hello")),
        ("BASE64", b"aGVs\r\nbG8h\r\n", Ok(b"hello!")),
        ("base64", b" a G V s \t", Ok(b"hel")),
        ("base64", b"/+8=", Ok(b"\xff\xef")),
        ("base64", b"aGVsbG8", Err(())),
        ("base64", b"aGVsbG8=aGVs", Err(())),
        ("base64", b"aG=s", Err(())),
        ("base64", b"a===", Err(())),
        ("base64", b"====", Err(())),
        ("base64", b"aGV-", Err(())),
        ("base64", b"aGV\xff", Err(())),
        ("base64", b"aGVsb\0G8=", Err(())),
        // Bits that nothing stands for.
        ("base64", b"aGVsbG9=", Err(())),
        ("quoted-printable", b"", Ok(b"")),
        ("quoted-printable", b"a=20b=C3=a4c", Ok("a bäc".as_bytes())),
        ("Quoted-Printable", b"one=\r\ntwo= \t\r\nthree=\nfour\r\n", Ok(b"onetwothreefour\r\n")),
        ("quoted-printable", b"a\0\xff", Ok(b"a\0\xff")),
        ("quoted-printable", b"end=\r\n", Ok(b"end")),
        ("quoted-printable", b"a= ", Ok(b"a")),
        ("quoted-printable", b"a=", Err(())),
        ("quoted-printable", b"a=4", Err(())),
        ("quoted-printable", b"a=4g", Err(())),
        ("quoted-printable", b"a=\rb", Err(())),
        ("quoted-printable", b"a= b", Err(())),
        ("quoted-printable", b"a==41", Err(())),
        ("7bit", b"a=41", Ok(b"a=41")),
        ("8BIT", b"\xff", Ok(b"\xff")),
        ("binary", b"\0=", Ok(b"\0=")),
    ];

    #[test]
    fn rfc2045_6_content_is_restored_or_refused() {
        for (name, input, expected) in CASES {
            let found = at_every_split(input, |pieces| {
                let mut decoder = TransferDecoder::of_name(name.as_bytes()).unwrap();
                let mut content = Vec::new();
                pieces.iter().try_for_each(|piece| decoder.decode(piece, &mut content))?;
                decoder.end().map(|()| content)
            });
            let expected = expected.map(<[u8]>::to_vec).map_err(|()| MultipartError::ContentInvalid);
            assert_eq!(found, expected, "{name}: {}", input.escape_ascii());
        }
        for other in ["", "gzip", "x-uuencode", "base64 ", "quotedprintable"] {
            assert!(TransferDecoder::of_name(other.as_bytes()).is_none(), "{other}");
        }
    }
}
