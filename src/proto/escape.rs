//! Text for logs, JSON and URLs, made of bytes that somebody else chose: nothing in them can end a line, a string or a
//! segment.
#![forbid(unsafe_code)]

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// All but the unreserved characters (RFC 3986 §2.3): what to percent-encode where nothing else may be meant.
pub(crate) const NOT_UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes `bytes` so that they are printable ASCII without quotes and backslashes of their own: others become `\xHH`, `\"`,
/// `\\`, so that whoever reads a line knows where a value ends.
pub(crate) fn log_text(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => write!(out, "\\x{byte:02x}").expect("a string takes all"),
        }
    }
}

/// Writes `bytes` as a JSON string (RFC 8259 §7), quotes included. What is not UTF-8 becomes U+FFFD. DEL and the line
/// separators of Unicode are escaped too: not all readers of lines agree on them.
pub(crate) fn json_string(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(character)).expect("a string takes all");
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: fn(&mut String, &[u8]), bytes: &[u8]) -> String {
        let mut out = String::new();
        write(&mut out, bytes);
        out
    }

    #[test]
    fn no_value_ends_its_line_or_its_quotes() {
        let cases: &[(&[u8], &str, &str)] = &[
            (b"plain /path", "plain /path", "\"plain /path\""),
            (b"a\"b\\c", "a\\\"b\\\\c", "\"a\\\"b\\\\c\""),
            (b"a\r\nb\0", "a\\x0d\\x0ab\\x00", "\"a\\u000d\\u000ab\\u0000\""),
            (b"\x1b[31m\x7f", "\\x1b[31m\\x7f", "\"\\u001b[31m\\u007f\""),
            ("é".as_bytes(), "\\xc3\\xa9", "\"é\""),
            ("\u{2028}".as_bytes(), "\\xe2\\x80\\xa8", "\"\\u2028\""),
            (b"\xff", "\\xff", "\"\u{fffd}\""),
            (b"", "", "\"\""),
        ];
        for (bytes, log, json) in cases {
            assert_eq!(written(log_text, bytes), *log, "b\"{}\"", bytes.escape_ascii());
            assert_eq!(written(json_string, bytes), *json, "b\"{}\"", bytes.escape_ascii());
        }
    }

    #[cfg(feature = "json")]
    #[test]
    fn every_byte_is_read_back_from_json() {
        let text: String = (0..0x2100).filter_map(char::from_u32).collect();
        let read: String = serde_json::from_str(&written(json_string, text.as_bytes())).unwrap();
        assert_eq!(read, text);
    }
}
