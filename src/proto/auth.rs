//! Authentication fields: what `Authorization` says (RFC 9110 §11.6.2, RFC 7617, RFC 6750), and the challenges that ask for it.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::http1::syntax;

/// Parameters of one field. Digest, which has most, knows eleven.
const PARAMETERS_MAX: usize = 32;

/// A name and a password, as HTTP Basic sends them (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    text: String,
    colon: usize,
}

impl Basic {
    /// Reads `Basic <base64 of name:password>`. The text is UTF-8; the password begins behind the first colon.
    ///
    /// # Errors
    /// [`CredentialsError::Missing`] if there is no field, or it is of another scheme.
    pub fn parse(field: Option<&[u8]>) -> Result<Self, CredentialsError> {
        let encoded = credentials(field, "Basic")?;
        let decoded = STANDARD.decode(encoded).map_err(|_| CredentialsError::Malformed)?;
        let text = String::from_utf8(decoded).map_err(|_| CredentialsError::Malformed)?;
        // RFC 7617 §2: control characters are in neither of the two.
        if text.chars().any(char::is_control) {
            return Err(CredentialsError::Malformed);
        }
        let colon = text.find(':').ok_or(CredentialsError::Malformed)?;
        Ok(Self { text, colon })
    }

    /// The name; it has no colon.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.text[self.colon + 1..]
    }
}

/// Without the password.
impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic").field("user", &self.user()).finish_non_exhaustive()
    }
}

/// Reads `Bearer <token>` (RFC 6750 §2.1).
///
/// # Errors
/// [`CredentialsError::Missing`] if there is no field, or it is of another scheme.
pub fn bearer(field: Option<&[u8]>) -> Result<&str, CredentialsError> {
    let token = credentials(field, "Bearer")?;
    let body = token.trim_end_matches('=');
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if body.is_empty() || !body.bytes().all(known) {
        return Err(CredentialsError::Malformed);
    }
    Ok(token)
}

/// Reads `<scheme> name=value, name="value"` (RFC 9110 §11.4), as Digest (RFC 7616 §3.4) and others send them. Names come as they
/// were written, and are to be compared without regard to case; values are unquoted. Elements that are empty are
/// skipped.
///
/// ```
/// use ringhttp::proto::auth;
///
/// let field = br#"Digest username="Mufasa", qop=auth, nc=00000001"#;
/// let parameters = auth::parameters(Some(field), "Digest").expect("it is well-formed");
/// assert_eq!(parameters[0], ("username", "Mufasa".into()));
/// assert_eq!(parameters.len(), 3);
/// ```
///
/// # Errors
/// [`CredentialsError::Missing`] if there is no field, or it is of another scheme; [`CredentialsError::Malformed`] if it is no such
/// list, if it is not UTF-8, if a name comes twice, or if there are more than 32.
pub fn parameters<'a>(
    field: Option<&'a [u8]>,
    scheme: &str,
) -> Result<Vec<(&'a str, Cow<'a, str>)>, CredentialsError> {
    let mut rest = credentials(field, scheme)?;
    let mut parameters: Vec<(&str, Cow<'_, str>)> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Ok(parameters);
        }
        let (name, value, behind) = parameter(rest).ok_or(CredentialsError::Malformed)?;
        let is_new = !parameters.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        if !is_new || parameters.len() >= PARAMETERS_MAX {
            return Err(CredentialsError::Malformed);
        }
        parameters.push((name, value));
        rest = behind;
    }
}

/// One parameter, and what stands behind it: nothing, or a comma and more.
fn parameter(text: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let (name, rest) = text.split_at(syntax::run(text.as_bytes(), syntax::TOKEN));
    // RFC 9110 §11.2: bad whitespace around the equals sign is to be read.
    let rest = rest.trim_start_matches([' ', '\t']).strip_prefix('=')?.trim_start_matches([' ', '\t']);
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let (value, rest) = rest.split_at(syntax::run(rest.as_bytes(), syntax::TOKEN));
            (!value.is_empty()).then_some((Cow::Borrowed(value), rest))?
        }
    };
    let rest = rest.trim_start_matches([' ', '\t']);
    (!name.is_empty() && (rest.is_empty() || rest.starts_with(','))).then_some((name, value, rest))
}

/// The value of a quoted string (RFC 9110 §5.6.4) whose first quote is behind us, and what stands behind its last.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let special = text.find(['"', '\\'])?;
    if text[special..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..special]), &text[special + 1..]));
    }
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((Cow::Owned(value), characters.as_str())),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

/// What stands behind the scheme.
fn credentials<'a>(field: Option<&'a [u8]>, scheme: &str) -> Result<&'a str, CredentialsError> {
    let field = field.ok_or(CredentialsError::Missing)?;
    let field = str::from_utf8(field).map_err(|_| CredentialsError::Malformed)?;
    let (name, rest) = field.split_once(' ').unwrap_or((field, ""));
    if !name.eq_ignore_ascii_case(scheme) {
        return Err(CredentialsError::Missing);
    }
    Ok(rest.trim_matches(' '))
}

/// Why there are no credentials to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The scheme is the right one, but what stands behind it cannot be read.
    Malformed,
    /// There is no `Authorization` field of the scheme.
    Missing,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "credentials cannot be read",
            Self::Missing => "credentials are missing",
        })
    }
}

impl Error for CredentialsError {}

/// A challenge for `WWW-Authenticate` (RFC 9110 §11.6.1): the scheme and its parameters, whose values are quoted.
///
/// ```
/// use ringhttp::proto::auth;
///
/// let field = auth::challenge("Basic", &[("realm", "the \"lab\"")]).expect("it is ASCII");
/// assert_eq!(field, r#"Basic realm="the \"lab\"""#);
/// ```
///
/// `None`: a value is not printable ASCII.
#[must_use]
pub fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Option<HeaderValue> {
    let mut text = scheme.to_owned();
    for (index, (name, value)) in parameters.iter().enumerate() {
        if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return None;
        }
        text.push_str(if index == 0 { " " } else { ", " });
        text.push_str(name);
        text.push_str("=\"");
        text.extend(value.chars().flat_map(escaped));
        text.push('"');
    }
    HeaderValue::try_from(text).ok()
}

/// RFC 9110 §5.6.4, `quoted-pair`.
fn escaped(character: char) -> impl Iterator<Item = char> {
    matches!(character, '"' | '\\').then_some('\\').into_iter().chain([character])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7617_2_names_and_passwords_are_read_or_refused() {
        use CredentialsError::{Malformed, Missing};
        type Expected = Result<(&'static str, &'static str), CredentialsError>;
        let cases: &[(Option<&[u8]>, Expected)] = &[
            (Some(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Ok(("Aladdin", "open sesame"))),
            (Some(b"basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Ok(("Aladdin", "open sesame"))),
            (Some(b"BASIC dGVzdDoxMjPCow=="), Ok(("test", "123£"))),
            (Some(b"Basic Og=="), Ok(("", ""))),
            (Some(b"Basic YTpiOmM="), Ok(("a", "b:c"))),
            (None, Err(Missing)),
            (Some(b""), Err(Missing)),
            (Some(b"Bearer QWxhZGRpbg=="), Err(Missing)),
            (Some(b"BasicQWxhZGRpbg=="), Err(Missing)),
            (Some(b"Basic"), Err(Malformed)),
            (Some(b"Basic "), Err(Malformed)),
            (Some(b"Basic !!!!"), Err(Malformed)),
            (Some(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ="), Err(Malformed)),
            (Some(b"Basic QWxh ZGRpbg=="), Err(Malformed)),
            // `Aladdin` has no colon, `\xff\xfe:` is not UTF-8, `a\0:b` has a control character.
            (Some(b"Basic QWxhZGRpbg=="), Err(Malformed)),
            (Some(b"Basic //46"), Err(Malformed)),
            (Some(b"Basic YQA6Yg=="), Err(Malformed)),
            (Some(b"Basic \xff"), Err(Malformed)),
        ];
        for (field, expected) in cases {
            let found = Basic::parse(*field);
            let found = found.as_ref().map(|basic| (basic.user(), basic.password())).map_err(|error| *error);
            assert_eq!(found, *expected, "b\"{}\"", field.unwrap_or_default().escape_ascii());
        }
    }

    #[test]
    fn rfc9110_11_4_parameters_are_read_or_refused() {
        use CredentialsError::{Malformed, Missing};
        type Case = (&'static str, Result<&'static [(&'static str, &'static str)], CredentialsError>);
        let cases: &[Case] = &[
            ("Digest a=b", Ok(&[("a", "b")])),
            ("digest  a=b,c=\"d e\" ,\tF=\"\"", Ok(&[("a", "b"), ("c", "d e"), ("F", "")])),
            ("Digest a = b , , c= \"d\",", Ok(&[("a", "b"), ("c", "d")])),
            (r#"Digest a="b\"c\\d,e""#, Ok(&[("a", r#"b"c\d,e"#)])),
            ("Digest a=\"ä\"", Ok(&[("a", "ä")])),
            ("Digest", Ok(&[])),
            ("Basic a=b", Err(Missing)),
            ("", Err(Missing)),
            ("Digest a", Err(Malformed)),
            ("Digest a=", Err(Malformed)),
            ("Digest =b", Err(Malformed)),
            ("Digest a=b c=d", Err(Malformed)),
            ("Digest a=\"b\"c", Err(Malformed)),
            ("Digest a=\"b", Err(Malformed)),
            ("Digest a=\"b\\", Err(Malformed)),
            ("Digest a=ä", Err(Malformed)),
            ("Digest a=b,A=c", Err(Malformed)),
            ("Digest a=b;c=d", Err(Malformed)),
        ];
        for (field, expected) in cases {
            let found = parameters(Some(field.as_bytes()), "Digest");
            let found: Result<Vec<(&str, &str)>, _> = found
                .as_ref()
                .map(|all| all.iter().map(|(name, value)| (*name, &**value)).collect())
                .map_err(|error| *error);
            assert_eq!(found, expected.map(<[_]>::to_vec), "{field:?}");
        }
        assert_eq!(parameters(None, "Digest"), Err(Missing));
        assert_eq!(parameters(Some(b"Digest a=\"\xff\""), "Digest"), Err(Malformed));
        let many = |count: usize| {
            let names: Vec<_> = (0..count).map(|index| format!("p{index}=1")).collect();
            parameters(Some(format!("Digest {}", names.join(",")).as_bytes()), "Digest").is_ok()
        };
        assert!(many(PARAMETERS_MAX) && !many(PARAMETERS_MAX + 1));
    }

    #[test]
    fn rfc6750_2_1_tokens_are_read_or_refused() {
        use CredentialsError::{Malformed, Missing};
        type Case = (Option<&'static [u8]>, Result<&'static str, CredentialsError>);
        let cases: &[Case] = &[
            (Some(b"Bearer mF_9.B5f-4.1JqM"), Ok("mF_9.B5f-4.1JqM")),
            (Some(b"bEARER  a~+/=="), Ok("a~+/==")),
            (None, Err(Missing)),
            (Some(b"Basic YTpi"), Err(Missing)),
            (Some(b"Bearer"), Err(Malformed)),
            (Some(b"Bearer =="), Err(Malformed)),
            (Some(b"Bearer a b"), Err(Malformed)),
            (Some(b"Bearer a=b"), Err(Malformed)),
            (Some(b"Bearer \xc3\xa4"), Err(Malformed)),
            (Some(b"Bearer \xff"), Err(Malformed)),
        ];
        for (field, expected) in cases {
            assert_eq!(bearer(*field), *expected, "b\"{}\"", field.unwrap_or_default().escape_ascii());
        }
    }

    #[test]
    fn rfc9110_11_6_1_challenges_are_quoted() {
        type Parameters = &'static [(&'static str, &'static str)];
        let cases: &[(Parameters, Option<&str>)] = &[
            (&[], Some("Basic")),
            (&[("realm", "a"), ("charset", "UTF-8")], Some(r#"Basic realm="a", charset="UTF-8""#)),
            (&[("realm", r#"a"\"#)], Some(r#"Basic realm="a\"\\""#)),
            (&[("realm", "a\r\nx: y")], None),
            (&[("realm", "ä")], None),
        ];
        for (parameters, expected) in cases {
            let found = challenge("Basic", parameters);
            assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), *expected, "{parameters:?}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let basic = Basic::parse(Some(b"Basic YTpzZWNyZXQ=")).unwrap();
        assert!(!format!("{basic:?}").contains("secret"), "{basic:?}");
    }
}
