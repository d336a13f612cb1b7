//! Reading `Content-Disposition` (RFC 6266, RFC 7578 §4.2): what is to be done with a body, and its names.
#![forbid(unsafe_code)]

use percent_encoding::percent_decode_str;

use super::http1::syntax;
use super::parameters::Parameters;

/// What a `Content-Disposition` says.
///
/// ```
/// use ringhttp::proto::ContentDisposition;
///
/// let found = ContentDisposition::parse(b"attachment; filename=\"rates.txt\"; filename*=UTF-8''%e2%82%ac%20rates.txt");
/// let found = found.unwrap();
/// assert!(found.is_attachment());
/// assert_eq!(found.file_name.as_deref(), Some("€ rates.txt"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContentDisposition {
    /// `attachment`, `inline`, `form-data` or another token, as it was sent.
    pub kind: String,
    /// The name of a form's field.
    pub name: Option<String>,
    /// The name that a file has over there, as it was sent: it may be a path, or `..`. `filename*` goes before `filename`.
    pub file_name: Option<String>,
}

impl ContentDisposition {
    /// Reads the value of a field. `None` if it does not begin with a token, if a parameter is malformed or repeated, or if a
    /// name has control characters.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (kind, rest) = value.split_at(syntax::run(value, syntax::TOKEN));
        if kind.is_empty() || !matches!(rest.trim_ascii_start(), [] | [b';', ..]) {
            return None;
        }
        let (mut name, mut file_name, mut extended) = (None, None, None);
        for parameter in (Parameters { rest }) {
            let (parameter, value) = parameter.ok()?;
            let slot = match parameter {
                _ if parameter.eq_ignore_ascii_case("name") => &mut name,
                _ if parameter.eq_ignore_ascii_case("filename") => &mut file_name,
                _ if parameter.eq_ignore_ascii_case("filename*") => &mut extended,
                _ => continue,
            };
            let text = String::from_utf8(value.into_owned()).ok()?;
            if slot.replace(text).is_some() {
                return None;
            }
        }
        // RFC 7578 §4.2 forbids the extended form, but old clients send it; RFC 6266 §4.3: it is the better one.
        if let Some(value) = extended {
            file_name = Some(extended_value(&value)?);
        }
        let is_plain =
            |text: &Option<String>| !text.as_deref().unwrap_or_default().contains(char::is_control);
        if !is_plain(&name) || !is_plain(&file_name) {
            return None;
        }
        let kind = str::from_utf8(kind).ok()?.to_owned();
        Some(Self { kind, name, file_name })
    }

    /// Whether the body is to be saved (RFC 6266 §4.2: unknown kinds are, too).
    #[must_use]
    pub fn is_attachment(&self) -> bool {
        !self.kind.eq_ignore_ascii_case("inline")
    }
}

/// RFC 8187 §3.2: `UTF-8'language'percent-encoded`.
fn extended_value(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, text) = rest.split_once('\'')?;
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    crate::proto::charset::decode(Some(charset), bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kind, and the file name.
    type Parsed = Option<(&'static str, Option<&'static str>)>;

    #[test]
    fn rfc6266_4_names_of_files() {
        const CASES: &[(&str, Parsed)] = &[
            ("attachment", Some(("attachment", None))),
            ("INLINE; filename=a.txt", Some(("INLINE", Some("a.txt")))),
            ("attachment; filename=\"a b;c.txt\"", Some(("attachment", Some("a b;c.txt")))),
            ("attachment; filename*=UTF-8''%e2%82%ac; filename=e", Some(("attachment", Some("€")))),
            ("attachment; filename*=iso-8859-1'en'%A3", Some(("attachment", Some("£")))),
            ("attachment; filename*=koi8-r''a", None),
            ("attachment; filename=../../etc/passwd", Some(("attachment", Some("../../etc/passwd")))),
            ("attachment; filename=a; filename=b", None),
            ("attachment; filename*=UTF-8''a%0d%0ab", None),
            ("; filename=a", None),
            ("", None),
        ];
        for (value, expected) in CASES {
            let found = ContentDisposition::parse(value.as_bytes());
            let found = found.as_ref().map(|found| (&*found.kind, found.file_name.as_deref()));
            assert_eq!(found, *expected, "{value}");
        }
    }
}
