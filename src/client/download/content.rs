//! What tells the content of a download from others: in the answers of a run, and in a file for the next one.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use http::header::{self, HeaderName};

/// What a content is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// What `If-Range` names.
    pub(super) validator: String,
    /// Bytes of the whole, if the server has said.
    pub(super) total: Option<u64>,
    /// Its `Content-Encoding`, which ought to show in a strong validator, and does not always.
    coding: String,
}

impl Content {
    /// That of an answer, if it can be asked for again.
    pub(super) fn of(headers: &HeaderMap, total: Option<u64>) -> Option<Self> {
        let coding = text(headers, header::CONTENT_ENCODING).unwrap_or_default().to_owned();
        Some(Self { validator: validator(headers)?, total, coding })
    }

    /// What [`Display`](fmt::Display) has written, if that is all there.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (validator, total, coding) = (lines.next()?, lines.next()?, lines.next()?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let is_whole = !validator.is_empty() && lines.next().is_none();
        is_whole.then(|| Self { validator: validator.to_owned(), total, coding: coding.to_owned() })
    }

    /// Whether a part is one of this content, by the fields that it has: a server that does not understand `If-Range` says by these.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let is_entity_tag = self.validator.starts_with('"');
        let name = if is_entity_tag { header::ETAG } else { header::LAST_MODIFIED };
        has_only(headers, name, &self.validator) && has_only(headers, header::CONTENT_ENCODING, &self.coding)
    }

    /// Whether the whole may have so many bytes.
    pub(super) fn may_have(&self, total: u64) -> bool {
        self.total.is_none_or(|known| known == total)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total.map_or("*".to_owned(), |total| total.to_string());
        writeln!(f, "{}\n{total}\n{}", self.validator, self.coding)
    }
}

/// What `If-Range` may name (RFC 9110 §13.1.5): a strong entity tag, or a date that is as good as one (§8.8.2.2).
fn validator(headers: &HeaderMap) -> Option<String> {
    if let Some(etag) = text(headers, header::ETAG) {
        return (etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"')).then(|| etag.to_owned());
    }
    let modified = text(headers, header::LAST_MODIFIED)?;
    let date = |text| httpdate::parse_http_date(text).ok();
    let age = date(text(headers, header::DATE)?)?.duration_since(date(modified)?).ok()?;
    (age >= Duration::from_secs(1)).then(|| modified.to_owned())
}

/// Whether a field, as often as it is there, has this value.
fn has_only(headers: &HeaderMap, name: HeaderName, value: &str) -> bool {
    headers.get_all(name).iter().all(|found| found.as_bytes() == value.as_bytes())
}

/// The value of a field that is there once.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

pub(super) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::super::answer::fields;
    use super::*;

    #[test]
    fn rfc9110_13_1_5_what_if_range_may_name() {
        let (earlier, later) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(validator(&fields(&[("etag", "\"a\"")])).as_deref(), Some("\"a\""));
        assert_eq!(validator(&fields(&[("etag", "W/\"a\"")])), None);
        assert_eq!(validator(&fields(&[("etag", "\"\"")])), None);
        assert_eq!(validator(&fields(&[("etag", "\"a\""), ("etag", "\"b\"")])), None);
        assert_eq!(
            validator(&fields(&[("last-modified", earlier), ("date", later)])).as_deref(),
            Some(earlier)
        );
        assert_eq!(validator(&fields(&[("last-modified", later), ("date", later)])), None);
        assert_eq!(validator(&fields(&[("last-modified", earlier)])), None);
        assert_eq!(validator(&fields(&[])), None);
    }

    #[test]
    fn a_part_is_of_the_same_content_unless_its_fields_say_otherwise() {
        let (earlier, later) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
        let tagged = Content::of(&fields(&[("etag", "\"a\"")]), None).expect("a name");
        let dated =
            Content::of(&fields(&[("last-modified", earlier), ("date", later)]), None).expect("a name");
        assert!(tagged.is_in(&fields(&[])) && tagged.is_in(&fields(&[("etag", "\"a\"")])));
        for etag in ["\"b\"", "W/\"a\"", "a", ""] {
            assert!(!tagged.is_in(&fields(&[("etag", etag)])), "{etag}");
        }
        assert!(!tagged.is_in(&fields(&[("etag", "\"a\""), ("etag", "\"b\"")])));
        assert!(!tagged.is_in(&fields(&[("content-encoding", "gzip")])));
        assert!(dated.is_in(&fields(&[("last-modified", earlier)])));
        assert!(!dated.is_in(&fields(&[("last-modified", later)])));
        let coded = [("etag", "\"a\""), ("content-encoding", "gzip")];
        let coded = Content::of(&fields(&coded), None).expect("a name");
        assert!(coded.is_in(&fields(&[("content-encoding", "gzip")])) && coded.is_in(&fields(&[])));
        assert!(!coded.is_in(&fields(&[("content-encoding", "br")])));
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for (total, coding) in [(None, ""), (Some(u64::MAX), "gzip")] {
            let content = Content { validator: "\"a\"".to_owned(), total, coding: coding.to_owned() };
            let text = content.to_string();
            assert_eq!(Content::parse(&text), Some(content));
            for length in 0..text.len() {
                assert_eq!(Content::parse(&text[..length]), None, "{length}");
            }
            assert_eq!(Content::parse(&format!("{text}\n")), None);
        }
        assert_eq!(Content::parse("\"a\"\n18446744073709551616\n\n"), None);
        assert_eq!(Content::parse("\n1\n\n"), None);
    }
}
