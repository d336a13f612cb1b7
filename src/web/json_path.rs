//! Where in a JSON text a value was refused: from line and column to `items[2].price`.
//!
//! The parser only tells a position, and only after a refusal is it worth walking the text again.
#![forbid(unsafe_code)]

use std::fmt::Write;

/// The path of the value that ends at, or contains, a position (lines and columns in bytes, both from 1). Empty for the
/// outermost value. The text is known to be JSON up to there.
pub(super) fn path_at(text: &[u8], line: usize, column: usize) -> String {
    let before = &text[..offset_of(text, line, column)];
    let mut levels = Vec::new();
    let mut at = 0;
    while let Some(&byte) = before.get(at) {
        match byte {
            b'{' => levels.push(Level::Object { key: &[], at_key: true }),
            b'[' => levels.push(Level::Array { index: 0 }),
            b'}' | b']' => {
                levels.pop();
            }
            b',' => next_item(&mut levels),
            b'"' => {
                let string = string_at(&before[at..]);
                at += string.len();
                if let Some(Level::Object { key, at_key: at_key @ true }) = levels.last_mut() {
                    *key = string.get(1..string.len().saturating_sub(1)).unwrap_or_default();
                    *at_key = false;
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    written(&levels)
}

/// An object or array that is open.
enum Level<'a> {
    Object { key: &'a [u8], at_key: bool },
    Array { index: usize },
}

fn next_item(levels: &mut [Level<'_>]) {
    match levels.last_mut() {
        Some(Level::Object { at_key, .. }) => *at_key = true,
        Some(Level::Array { index }) => *index += 1,
        None => {}
    }
}

/// A string from its first quote to its last, or to the end of the text.
fn string_at(text: &[u8]) -> &[u8] {
    let mut escaped = false;
    let end = text.iter().skip(1).position(|&byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text, |end| &text[..end + 2])
}

fn offset_of(text: &[u8], line: usize, column: usize) -> usize {
    let skipped: usize =
        text.split_inclusive(|&byte| byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (skipped + column).min(text.len())
}

/// Bytes of a path: beyond, a peer would only read back what it sent.
const PATH_BYTES_MAX: usize = 200;

fn written(levels: &[Level<'_>]) -> String {
    let mut path = String::new();
    for level in levels {
        match level {
            Level::Object { key: [], .. } => {}
            Level::Object { key, .. } => {
                let dot = if path.is_empty() { "" } else { "." };
                let _ = write!(path, "{dot}{}", String::from_utf8_lossy(key));
            }
            Level::Array { index } => {
                let _ = write!(path, "[{index}]");
            }
        }
        if path.len() > PATH_BYTES_MAX {
            while path.len() > PATH_BYTES_MAX {
                path.pop();
            }
            path.push('…');
            break;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_have_paths() {
        let cases: &[(&str, usize, usize, &str)] = &[
            ("7", 1, 1, ""),
            (r#"{"a": "x"}"#, 1, 9, "a"),
            (r#"{"a": {"b": true}}"#, 1, 16, "a.b"),
            (r#"{"a": [1, {"b": 2}, "c"]}"#, 1, 23, "a[2]"),
            (r#"[{"x": 1}, {"x": null}]"#, 1, 21, "[1].x"),
            ("{\n  \"first\": 1,\n  \"second\": false}", 3, 17, "second"),
            (r#"{"a,{[\"": "}", "b": 1}"#, 1, 22, "b"),
            (r#"{"a\"": 1}"#, 1, 9, r#"a\""#),
            (r#"{"a": 1}"#, 9, 9, ""),
            ("", 1, 0, ""),
        ];
        for &(text, line, column, expected) in cases {
            assert_eq!(path_at(text.as_bytes(), line, column), expected, "{text:?} {line}:{column}");
        }
    }

    #[test]
    fn a_path_is_never_long() {
        let key = "ä".repeat(500);
        let text = format!("{{\"{key}\": true");
        let path = path_at(text.as_bytes(), 1, text.len());
        assert!(path.len() <= PATH_BYTES_MAX + '…'.len_utf8() && path.ends_with('…'), "{path}");
    }

    #[test]
    fn any_position_of_any_text_is_survived() {
        let text = br#"{"a": ["\\", {"b": [[], {}]}, "\"]}"#;
        for from in 0..text.len() {
            for column in 0..=text.len() + 2 {
                path_at(&text[from..], 1, column);
            }
        }
    }
}
