//! The `Link` field (RFC 8288 §3): other resources, and how they relate to this one.
#![forbid(unsafe_code)]

use super::http1::split_unquoted;
use super::parameters::Parameters;

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Where it leads, as it was sent: a URL, or a reference relative to the one of the response.
    pub target: String,
    /// How it relates: one or more types between spaces, as `next`; empty if it does not say.
    pub rel: String,
    /// All parameters, `rel` included, in order and as they were sent.
    pub parameters: Vec<(String, String)>,
}

impl Link {
    /// Whether `rel` is one of its types, in any case.
    #[must_use]
    pub fn is(&self, rel: &str) -> bool {
        self.rel.split_ascii_whitespace().any(|found| found.eq_ignore_ascii_case(rel))
    }
}

/// The links of one field, in order. What is malformed is passed over, and what comes behind the 64th is not looked at.
///
/// ```
/// use ringhttp::proto::link;
///
/// let links = link::parse(b"<?page=3>; rel=next, <?page=9>; rel=\"last\"");
/// assert_eq!(links.iter().find(|link| link.is("next")).unwrap().target, "?page=3");
/// assert_eq!(links.len(), 2);
/// ```
#[must_use]
pub fn parse(value: &[u8]) -> Vec<Link> {
    // A comma in angle brackets separates nothing, but those who write one percent-encode it (RFC 8288 appendix B.2 reads
    // up to the bracket, as below).
    let mut links = Vec::new();
    let mut rest = value;
    while links.len() < LINKS_MAX {
        let Some(start) = memchr::memchr(b'<', rest) else { break };
        let Some(length) = memchr::memchr(b'>', &rest[start..]) else { break };
        let (target, behind) = (&rest[start + 1..start + length], &rest[start + length + 1..]);
        let own = split_unquoted(behind, b',').next().unwrap_or_default();
        links.extend(link(target, own));
        // The parameters are a view of what is behind the target: go on behind them.
        let own_end = own.as_ptr() as usize - behind.as_ptr() as usize + own.len();
        rest = behind.get(own_end..).unwrap_or_default();
    }
    links
}

fn link(target: &[u8], parameters: &[u8]) -> Option<Link> {
    let text = |bytes: &[u8]| str::from_utf8(bytes).ok().map(str::to_owned);
    let mut link = Link { target: text(target)?, rel: String::new(), parameters: Vec::new() };
    for (name, value) in (Parameters { rest: parameters }).flatten() {
        let value = text(&value)?;
        // RFC 8288 §3.3: the first one counts.
        if name.eq_ignore_ascii_case("rel") && link.rel.is_empty() {
            link.rel.clone_from(&value);
        }
        link.parameters.push((name.to_owned(), value));
    }
    Some(link)
}

/// Links of a field: those who page through results send four.
const LINKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8288_3_links() {
        type Case = (&'static str, &'static [(&'static str, &'static str)]);
        const CASES: &[Case] = &[
            ("", &[]),
            ("<a>", &[("a", "")]),
            ("<a>; rel=next", &[("a", "next")]),
            ("<a>; REL=\"next prev\"; title=\"x, <y>\", <b>;rel=last", &[("a", "next prev"), ("b", "last")]),
            ("<a,b>; rel=x", &[("a,b", "x")]),
            ("<a>; rel=x; rel=y", &[("a", "x")]),
            (", ,<a>;rel=x,,<b>", &[("a", "x"), ("b", "")]),
            ("nonsense, <a>; rel=x", &[("a", "x")]),
            ("<a", &[]),
            ("<\u{e9}>; rel=x", &[("\u{e9}", "x")]),
            ("<a>; title=\"open, <b>; rel=x", &[("a", "")]),
        ];
        for (value, expected) in CASES {
            let found = parse(value.as_bytes());
            let found: Vec<_> = found.iter().map(|link| (&*link.target, &*link.rel)).collect();
            assert_eq!(found, *expected, "{value}");
        }
        assert_eq!(parse(&b"<a>,".repeat(1000)).len(), LINKS_MAX);
        assert!(parse(b"<a>; rel=\"prev NEXT\"")[0].is("next"));
    }
}
