//! Writing `Content-Disposition` (RFC 6266): what a browser shall do with an answer, and under which file name.
#![forbid(unsafe_code)]

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a browser shall do with an answer (RFC 6266 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Save it.
    Attachment,
    /// Show it.
    Inline,
}

/// All but `attr-char` (RFC 8187 §3.2.1).
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Bytes of a file name that are sent: what file systems take. A longer one is cut at a character.
const NAME_BYTES_MAX: usize = 255;

/// The value of the field. The name is sent as `filename`, its path separators, control characters and what receivers
/// read in different ways replaced by `_`; and as `filename*` (RFC 8187) if that changed anything but separators and
/// controls. Whatever the name is, it adds no parameter and no field.
///
/// ```
/// use ringhttp::proto::attachment::{Disposition, content_disposition};
///
/// let value = content_disposition(Disposition::Attachment, "Ärger.txt");
/// assert_eq!(value, "attachment; filename=\"_rger.txt\"; filename*=UTF-8''%C3%84rger.txt");
/// ```
#[must_use]
pub fn content_disposition(disposition: Disposition, file_name: &str) -> HeaderValue {
    let kind = match disposition {
        Disposition::Attachment => "attachment",
        Disposition::Inline => "inline",
    };
    let name: String =
        cut(file_name).chars().map(|character| if is_unsafe(character) { '_' } else { character }).collect();
    // Receivers disagree about escapes and percent signs in quoted names (RFC 6266 appendix D).
    let is_plain = |character: char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\' | '%');
    let plain: String =
        name.chars().map(|character| if is_plain(character) { character } else { '_' }).collect();
    let mut value = format!("{kind}; filename=\"{plain}\"");
    if plain != name {
        value.push_str("; filename*=UTF-8''");
        value.extend(utf8_percent_encode(&name, NOT_ATTR_CHAR));
    }
    HeaderValue::try_from(value).expect("only visible ASCII and spaces were written")
}

/// RFC 6266 §4.3: a name is no path. Characters that change the direction of text hide an extension.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '/' | '\\' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6266_4_names_are_written_so_that_nothing_else_can_be_read() {
        const CASES: &[(&str, &str)] = &[
            ("a.txt", "filename=\"a.txt\""),
            ("", "filename=\"\""),
            ("two words; x=y.txt", "filename=\"two words; x=y.txt\""),
            ("\"quoted\".txt", "filename=\"_quoted_.txt\"; filename*=UTF-8''%22quoted%22.txt"),
            ("100%.txt", "filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
            ("€ rates", "filename=\"_ rates\"; filename*=UTF-8''%E2%82%AC%20rates"),
            ("../../etc/passwd", "filename=\".._.._etc_passwd\""),
            ("..\\a", "filename=\".._a\""),
            ("a\r\nset-cookie: b=1", "filename=\"a__set-cookie: b=1\""),
            ("a\0\u{7f}\u{85}", "filename=\"a___\""),
            ("a\u{202e}txt.exe", "filename=\"a_txt.exe\""),
            ("it's(1)*.txt", "filename=\"it's(1)*.txt\""),
            ("ü'(1)*.txt", "filename=\"_'(1)*.txt\"; filename*=UTF-8''%C3%BC%27%281%29%2A.txt"),
        ];
        for (name, expected) in CASES {
            let value = content_disposition(Disposition::Attachment, name);
            assert_eq!(value, format!("attachment; {expected}"), "{name:?}");
        }
        assert_eq!(content_disposition(Disposition::Inline, "a"), "inline; filename=\"a\"");
        let long = content_disposition(Disposition::Inline, &"ä".repeat(200));
        assert!(long.to_str().unwrap().ends_with(&"%C3%A4".repeat(127)) && long.len() < 1024);
    }
}
