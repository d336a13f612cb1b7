//! Parameters behind a field value (RFC 9110 §5.6.6, RFC 2045 §5.1): `; name=value; name="value"`.
//!
//! More lenient than the grammar where clients are: a value without quotes goes to the next semicolon, whatever is in it,
//! and a backslash in quotes escapes a quote or a backslash only, since file names of Windows come with bare ones.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use crate::proto::http1::syntax;

/// The parameters in `rest`, which is what stands behind the value proper. One that is malformed is an error in its place,
/// and the next goes on behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters<'a> {
    pub(super) rest: &'a [u8],
}

/// A parameter without `=`, with a name that is no token, or with quotes that do not close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<(&'a str, Cow<'a, [u8]>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [b';' | b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
        (!self.rest.is_empty()).then(|| self.parameter())
    }
}

impl<'a> Parameters<'a> {
    fn parameter(&mut self) -> Result<(&'a str, Cow<'a, [u8]>), Malformed> {
        let (name, rest) = self.rest.split_at(syntax::run(self.rest, syntax::TOKEN));
        let value = match rest {
            [b'=', b'"', quoted @ ..] if !name.is_empty() => self.quoted(quoted)?,
            [b'=', plain @ ..] if !name.is_empty() => Cow::Borrowed(self.up_to_semicolon(plain)),
            _ => {
                self.up_to_semicolon(rest);
                return Err(Malformed);
            }
        };
        let name = str::from_utf8(name).map_err(|_| Malformed)?;
        Ok((name, value))
    }

    fn up_to_semicolon(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (value, rest) = bytes.split_at(memchr::memchr(b';', bytes).unwrap_or(bytes.len()));
        self.rest = rest;
        value.trim_ascii()
    }

    /// A value in quotes, of which the first is behind us.
    fn quoted(&mut self, quoted: &'a [u8]) -> Result<Cow<'a, [u8]>, Malformed> {
        let mut at = 0;
        let mut has_escapes = false;
        loop {
            match &quoted[at..] {
                [b'\\', b'"' | b'\\', ..] => {
                    has_escapes = true;
                    at += 2;
                }
                [b'"', ..] => break,
                [_, ..] => at += 1,
                [] => {
                    self.rest = &[];
                    return Err(Malformed);
                }
            }
        }
        let behind = self.up_to_semicolon(&quoted[at + 1..]);
        if !behind.is_empty() {
            return Err(Malformed);
        }
        let value = &quoted[..at];
        Ok(if has_escapes { Cow::Owned(unescaped(value)) } else { Cow::Borrowed(value) })
    }
}

fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next_if(|next| matches!(next, b'"' | b'\\')) } else { None };
        out.push(escaped.unwrap_or(byte));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_5_6_6_parameters() {
        type Case = (&'static str, &'static [Option<(&'static str, &'static str)>]);
        const CASES: &[Case] = &[
            ("", &[]),
            (" ; ;", &[]),
            ("; a=b", &[Some(("a", "b"))]),
            (";a=b ;C=\"d;e\" ; f=g", &[Some(("a", "b")), Some(("C", "d;e")), Some(("f", "g"))]),
            ("; a=", &[Some(("a", ""))]),
            ("; a=\"\"", &[Some(("a", ""))]),
            (r#"; a="b\"c\\d\e""#, &[Some(("a", r#"b"c\d\e"#))]),
            ("; a=----=_Part/1", &[Some(("a", "----=_Part/1"))]),
            ("; a; b=c", &[None, Some(("b", "c"))]),
            ("; =x; b=c", &[None, Some(("b", "c"))]),
            ("; a =x", &[None]),
            ("; a=\"x; b=c", &[None]),
            (r#"; a="x\"; b=c"#, &[None]),
            ("; a=\"x\"y; b=c", &[None, Some(("b", "c"))]),
        ];
        for (text, expected) in CASES {
            let found: Vec<_> = Parameters { rest: text.as_bytes() }.collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|pair| {
                    pair.map(|(name, value)| (name, Cow::Borrowed(value.as_bytes()))).ok_or(Malformed)
                })
                .collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
