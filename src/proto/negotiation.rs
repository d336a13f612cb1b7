//! Content negotiation (RFC 9110 §12.5): which of what the server has a client wants most.
//!
//! Elements that are malformed are left out, and so are those behind the first [`ELEMENTS_MAX`]: a preference is no command.
#![forbid(unsafe_code)]

use http::HeaderValue;

use super::http1::split_unquoted;

/// Elements of one field that are looked at; browsers send about ten. Each is compared with each offer.
pub const ELEMENTS_MAX: usize = 64;

/// How much something is wanted, in thousandths: 0 is not acceptable, 1000 the most.
pub type Quality = u16;

/// The most wanted of `offers` by the values of `Accept` (RFC 9110 §12.5.1), the first among equals. The most specific range
/// that matches an offer counts. Without the field all are equal; `None`: none is acceptable.
///
/// An offer is a media type, with parameters or without: `text/html`, `text/plain;charset=utf-8`.
///
/// ```
/// use ringhttp::HeaderValue;
/// use ringhttp::proto::negotiation::media_type;
///
/// let accept = HeaderValue::from_static("text/*;q=0.5, application/json");
/// let offers = ["text/html", "application/json"];
/// assert_eq!(media_type([&accept], &offers), Some("application/json"));
/// assert_eq!(media_type([&accept], &["image/png"]), None);
/// assert_eq!(media_type([], &offers), Some("text/html"));
/// ```
#[must_use]
pub fn media_type<'value, 'offer>(
    accept: impl IntoIterator<Item = &'value HeaderValue>,
    offers: &[&'offer str],
) -> Option<&'offer str> {
    best(accept, offers, media_specificity)
}

/// The most wanted of `offers` by the values of `Accept-Language` (RFC 9110 §12.5.4), the first among equals. Without the field
/// all are equal; `None`: none is acceptable, and then most servers give their default all the same.
///
/// A range matches a tag that equals it or begins with it (`de` matches `de-CH`, RFC 4647 §3.3.1); where no range does, one that
/// begins with the tag counts for it (`de-CH` for `de`, RFC 4647 §3.4).
#[must_use]
pub fn language<'value, 'offer>(
    accept_language: impl IntoIterator<Item = &'value HeaderValue>,
    offers: &[&'offer str],
) -> Option<&'offer str> {
    best(accept_language, offers, language_specificity)
}

/// What the values of `Accept-Encoding` say about content codings (RFC 9110 §12.5.3).
#[derive(Clone, Debug, Default)]
pub struct Encodings<'value> {
    elements: Vec<Element<'value>>,
}

impl<'value> Encodings<'value> {
    /// Reads the field. No field, and one of nothing, both want no coding at all.
    pub fn new(accept_encoding: impl IntoIterator<Item = &'value HeaderValue>) -> Self {
        Self { elements: elements(accept_encoding).collect() }
    }

    /// How much a coding is wanted; `identity` is acceptable unless it is excluded.
    #[must_use]
    pub fn quality(&self, coding: &str) -> Quality {
        let identity = coding.eq_ignore_ascii_case("identity");
        self.named(coding.as_bytes())
            // RFC 9110 §12.5.3: only with quality 0 the star says something about `identity`.
            .or_else(|| self.named(b"*").filter(|&quality| !identity || quality == 0))
            .unwrap_or(if identity { 1 } else { 0 })
    }

    /// The most wanted of `offers`, the first among equals; `None` if no coding at all is wanted more than any of them.
    pub fn best<T: Copy>(&self, offers: &[T], name: impl Fn(T) -> &'static str) -> Option<T> {
        let mut best = None;
        let mut most = self.quality("identity").max(1) - 1;
        // One that is named with the same quality as `identity` is meant to be used.
        for &offer in offers {
            let quality = self.quality(name(offer));
            if quality > most {
                (best, most) = (Some(offer), quality);
            }
        }
        best
    }

    fn named(&self, name: &[u8]) -> Option<Quality> {
        let is_named = |element: &&Element<'_>| {
            element.name.eq_ignore_ascii_case(name)
                || (name == b"gzip" && element.name.eq_ignore_ascii_case(b"x-gzip"))
        };
        self.elements.iter().find(is_named).map(|element| element.quality)
    }
}

/// One element of a field, with what it says before its weight.
#[derive(Clone, Copy, Debug)]
struct Element<'value> {
    name: &'value [u8],
    /// Parameters that are not the weight.
    parameters: &'value [u8],
    quality: Quality,
}

fn best<'value, 'offer>(
    values: impl IntoIterator<Item = &'value HeaderValue>,
    offers: &[&'offer str],
    specificity: fn(&Element<'_>, &str) -> Option<usize>,
) -> Option<&'offer str> {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return offers.first().copied();
    }
    let elements: Vec<Element<'_>> = elements(values).collect();
    let quality = |offer: &str| {
        let matching =
            elements.iter().filter_map(|element| Some((specificity(element, offer)?, element.quality)));
        // Among equally specific ones the first counts.
        matching
            .reduce(|best, next| if next.0 > best.0 { next } else { best })
            .map_or(0, |(_, quality)| quality)
    };
    let mut best = (None, 0);
    for &offer in offers {
        let quality = quality(offer);
        if quality > best.1 {
            best = (Some(offer), quality);
        }
    }
    best.0
}

/// The well-formed elements of a field.
fn elements<'value>(
    values: impl IntoIterator<Item = &'value HeaderValue>,
) -> impl Iterator<Item = Element<'value>> {
    let elements = values.into_iter().flat_map(|value| split_unquoted(value.as_bytes(), b','));
    elements.filter(|element| !element.is_empty()).take(ELEMENTS_MAX).filter_map(element)
}

fn element(bytes: &[u8]) -> Option<Element<'_>> {
    let mut parts = split_unquoted(bytes, b';');
    let name = parts.next()?;
    let start = (name.len() + 1).min(bytes.len());
    let mut end = start;
    let mut quality = 1000;
    for part in parts {
        if let [b'q' | b'Q', weight @ ..] = part
            && let Some(weight) = weight.trim_ascii_start().strip_prefix(b"=")
        {
            quality = parse_quality(weight.trim_ascii_start())?;
            break;
        }
        // Where the part ends in the whole, to keep all of the parameters as one slice.
        end = part.as_ptr().addr() + part.len() - bytes.as_ptr().addr();
    }
    (!name.is_empty()).then(|| Element { name, parameters: &bytes[start..end.max(start)], quality })
}

/// RFC 9110 §12.4.2: `0`, `1`, and up to three digits behind the point.
fn parse_quality(weight: &[u8]) -> Option<Quality> {
    let (whole, fraction) = match weight {
        [whole] | [whole, b'.'] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let digit = |index: usize| {
        fraction.get(index).map_or(Some(0), |digit| digit.is_ascii_digit().then(|| digit - b'0'))
    };
    let fraction = Quality::from(digit(0)?) * 100 + Quality::from(digit(1)?) * 10 + Quality::from(digit(2)?);
    match whole {
        b'0' => Some(fraction),
        b'1' if fraction == 0 => Some(1000),
        _ => None,
    }
}

fn media_specificity(range: &Element<'_>, offer: &str) -> Option<usize> {
    let mut offered = split_unquoted(offer.as_bytes(), b';');
    let essence = offered.next()?;
    if range.name == b"*/*" || range.name == b"*" {
        return Some(0);
    }
    if let Some(kind) = range.name.strip_suffix(b"/*") {
        let is_of_kind = essence.len() > kind.len()
            && essence[..kind.len()].eq_ignore_ascii_case(kind)
            && essence[kind.len()] == b'/';
        return is_of_kind.then_some(1);
    }
    if !essence.eq_ignore_ascii_case(range.name) {
        return None;
    }
    let offered: Vec<&[u8]> = offered.collect();
    let mut specificity = 2;
    for wanted in split_unquoted(range.parameters, b';').filter(|wanted| !wanted.is_empty()) {
        if !offered.iter().any(|parameter| parameter.eq_ignore_ascii_case(wanted)) {
            return None;
        }
        specificity += 1;
    }
    Some(specificity)
}

fn language_specificity(range: &Element<'_>, offer: &str) -> Option<usize> {
    let (range, tag) = (range.name, offer.as_bytes());
    if range == b"*" {
        return Some(0);
    }
    let begins_with = |whole: &[u8], start: &[u8]| {
        whole.len() >= start.len()
            && whole[..start.len()].eq_ignore_ascii_case(start)
            && matches!(whole.get(start.len()), None | Some(b'-'))
    };
    if begins_with(tag, range) {
        // Above all that only begin with the tag.
        return Some(1 + range.len());
    }
    begins_with(range, tag).then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Option<HeaderValue> {
        (text != "-").then(|| HeaderValue::from_str(text).unwrap())
    }

    #[test]
    fn rfc9110_12_5_1_media_types() {
        const OFFERS: &[&str] = &["text/html", "application/json", "text/plain;format=flowed", "image/png"];
        const CASES: &[(&str, Option<&str>)] = &[
            ("-", Some("text/html")),
            ("*/*", Some("text/html")),
            ("application/json", Some("application/json")),
            ("APPLICATION/JSON", Some("application/json")),
            ("application/*", Some("application/json")),
            ("text/*;q=0.3, application/json;q=0.4", Some("application/json")),
            ("text/*;q=0.3, text/html;q=0.7, */*;q=0.5", Some("text/html")),
            ("*/*, text/html;q=0", Some("application/json")),
            ("text/html;q=0, */*;q=0.1, image/png;q=0.2", Some("image/png")),
            ("text/plain;format=flowed", Some("text/plain;format=flowed")),
            ("text/plain;format=fixed", None),
            ("text/plain", Some("text/plain;format=flowed")),
            ("text/plain;format=flowed;q=0.9, text/html;q=0.8", Some("text/plain;format=flowed")),
            ("text/html;level=\"a,b;q=0\", image/png;q=0.1", Some("image/png")),
            ("text/html ; q=0.5 , image/png ; Q = 0.6", Some("image/png")),
            ("", None),
            ("audio/ogg", None),
            ("text", None),
            ("text/htm", None),
            ("tex/*", None),
        ];
        for &(accept, expected) in CASES {
            assert_eq!(media_type(values(accept).as_ref(), OFFERS), expected, "{accept}");
        }
        assert_eq!(media_type(None, &[]), None);
    }

    #[test]
    fn rfc9110_12_4_2_weights() {
        const GOOD: &[(&str, Quality)] = &[
            ("0", 0),
            ("1", 1000),
            ("0.", 0),
            ("1.", 1000),
            ("1.000", 1000),
            ("0.5", 500),
            ("0.05", 50),
            ("0.001", 1),
            ("0.999", 999),
        ];
        for &(weight, quality) in GOOD {
            assert_eq!(parse_quality(weight.as_bytes()), Some(quality), "{weight}");
        }
        for bad in
            ["", ".5", "2", "1.001", "1.1", "-1", "+1", "0.5555", "0,5", "1e0", "NaN", "00.5", "0.x", "0.5 "]
        {
            assert_eq!(parse_quality(bad.as_bytes()), None, "{bad}");
            let accept = HeaderValue::from_str(&format!("text/html;q={bad}x, a/b;q=0.1")).unwrap();
            assert_eq!(media_type([&accept], &["text/html", "a/b"]), Some("a/b"), "{bad}");
        }
    }

    #[test]
    fn rfc9110_12_5_4_languages() {
        const OFFERS: &[&str] = &["en", "de", "pt-BR"];
        const CASES: &[(&str, Option<&str>)] = &[
            ("-", Some("en")),
            ("de-CH", Some("de")),
            ("de-CH, en;q=0.5", Some("de")),
            ("pt", Some("pt-BR")),
            ("da, en-gb;q=0.8, de;q=0.7", Some("en")),
            ("*;q=0.1, de", Some("de")),
            ("*, en;q=0", Some("de")),
            ("fr", None),
            ("e", None),
            ("deu", None),
            ("DE", Some("de")),
        ];
        for &(accept, expected) in CASES {
            assert_eq!(language(values(accept).as_ref(), OFFERS), expected, "{accept}");
        }
    }

    #[test]
    fn rfc9110_12_5_3_encodings() {
        const OFFERS: &[&str] = &["zstd", "br", "gzip"];
        const CASES: &[(&str, Option<&str>)] = &[
            ("-", None),
            ("", None),
            ("identity", None),
            ("gzip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("GZIP;Q=1", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, br;q=0.9", Some("gzip")),
            ("gzip;q=0.5, br;q=0.9, zstd;q=0", Some("br")),
            ("*", Some("zstd")),
            ("*;q=0.5, zstd;q=0", Some("br")),
            ("gzip;q=0, *;q=0", None),
            ("gzip;q=0", None),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some("gzip")),
            ("identity;q=0, gzip;q=0.001", Some("gzip")),
            ("gzip;q=0.001", Some("gzip")),
            ("gzip;q=2", None),
            ("gzip;q=", None),
            ("compress", None),
            (";;;,,,;q=1", None),
        ];
        for &(accept, expected) in CASES {
            let value = values(accept);
            let encodings = Encodings::new(value.as_ref());
            assert_eq!(encodings.best(OFFERS, |name| name), expected, "{accept}");
        }
        let quality =
            |accept: &'static str| Encodings::new([&HeaderValue::from_static(accept)]).quality("identity");
        assert_eq!((quality(""), quality("*;q=0"), quality("*;q=0, identity;q=1")), (1, 0, 1000));
    }

    #[test]
    fn what_is_behind_the_limit_is_not_looked_at() {
        let many = |count: usize| {
            let accept = format!("{}text/html", "a/b, ".repeat(count));
            media_type([&HeaderValue::from_str(&accept).unwrap()], &["text/html"])
        };
        assert_eq!((many(ELEMENTS_MAX - 1), many(ELEMENTS_MAX)), (Some("text/html"), None));
    }
}
