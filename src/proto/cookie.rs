//! Cookies (RFC 6265 and its revision, RFC 6265bis): the pairs of a `Cookie` field, and a `Set-Cookie` field with all its
//! attributes.
//!
//! Reading is as lenient as RFC 6265 §5 asks of browsers: what is no pair is passed over. Writing is as strict as RFC 6265
//! §4.1.1 asks of servers, because a byte too many in a value is an attribute that nobody meant.
#![forbid(unsafe_code)]

mod date;
mod received;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use super::escape::NOT_UNRESERVED;
use super::http1::syntax::{self, TOKEN};

pub use self::received::ReceivedCookie;

/// The pairs of one `Cookie` field, in order, as views of it. A value in double quotes is given without them; nothing
/// else is decoded. Pieces without `=`, without a name, or that are not UTF-8 are passed over.
///
/// ```
/// use ringhttp::proto::cookie;
///
/// let pairs: Vec<_> = cookie::pairs(b"a=1; broken; b=\"2\"").collect();
/// assert_eq!(pairs, [("a", "1"), ("b", "2")]);
/// ```
pub fn pairs(field: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    field.split(|&byte| byte == b';').filter_map(pair)
}

fn pair(piece: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = str::from_utf8(piece).ok()?.split_once('=')?;
    let (name, value) = (name.trim_ascii(), value.trim_ascii());
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    (!name.is_empty()).then_some((name, quoted.unwrap_or(value)))
}

/// A cookie to be set: what one `Set-Cookie` field says (RFC 6265 §4.1).
///
/// A new one has the path `/` and no other attribute, as aiohttp's. It is checked when it is added to a response.
///
/// ```
/// use std::time::Duration;
/// use ringhttp::{Response, SameSite, SetCookie};
///
/// let mut cookie = SetCookie::new("theme", "dark");
/// cookie.max_age = Some(Duration::from_secs(3600));
/// cookie.secure = true;
/// cookie.same_site = Some(SameSite::Lax);
/// let response = Response::text("set\n").with_cookie(&cookie)?;
/// assert_eq!(response.headers()["set-cookie"], "theme=dark; SameSite=Lax; Secure; Path=/; Max-Age=3600");
/// # Ok::<(), ringhttp::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetCookie {
    /// A token (RFC 9110 §5.6.2). `__Secure-…` must be `secure`, `__Host-…` also has the path `/` and no domain.
    pub name: Cow<'static, str>,
    /// Visible ASCII without `"`, `,`, `;` and `\`. [`encoded`](Self::encoded) makes it of any text.
    pub value: Cow<'static, str>,
    /// The path below which it is sent back, from `/` on. `None`: the directory of the request's path.
    pub path: Option<Cow<'static, str>>,
    /// The host that it is sent back to, with all hosts below. `None`: only the host that set it.
    pub domain: Option<Cow<'static, str>>,
    /// How long it is kept, in whole seconds; zero removes it. Goes before `expires`. `None`: until the browser is closed.
    pub max_age: Option<Duration>,
    /// Until when it is kept, for clients that do not know `max_age`.
    pub expires: Option<SystemTime>,
    /// Sent back over TLS only (and to `localhost`, by most browsers).
    pub secure: bool,
    /// Hidden from the page's scripts.
    pub http_only: bool,
    /// Whether it is sent back with requests that other sites cause. `None`: as the browser likes, mostly as `Lax`.
    pub same_site: Option<SameSite>,
    /// Kept apart for each site that embeds this one (CHIPS). Must be `secure`.
    pub partitioned: bool,
}

/// With which requests of other sites' making a cookie is sent back (RFC 6265bis §4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// With none.
    Strict,
    /// When the user goes here by a link.
    Lax,
    /// With all. The cookie must be `secure`.
    None,
}

impl SetCookie {
    /// A cookie with the path `/` and no other attribute.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        let (name, value) = (name.into(), value.into());
        Self { name, value, path: Some(Cow::Borrowed("/")), ..Self::default() }
    }

    /// As [`new`](Self::new), of any text: all but letters, digits and `-._~` is percent-encoded. To be read by
    /// [`Request::cookie_decoded`](crate::Request::cookie_decoded).
    #[must_use]
    pub fn encoded(name: impl Into<Cow<'static, str>>, text: &str) -> Self {
        Self::new(name, percent_encoding::utf8_percent_encode(text, NOT_UNRESERVED).to_string())
    }

    /// What removes the cookie of this name from the path `/`: one without a value that is long over. Set `path` and
    /// `domain` as they were set on the cookie that is to go.
    #[must_use]
    pub fn removal(name: impl Into<Cow<'static, str>>) -> Self {
        let mut cookie = Self::new(name, "");
        // A browser does not take the name otherwise, not even to remove it.
        cookie.secure = Prefix::of(&cookie.name).is_some();
        cookie.max_age = Some(Duration::ZERO);
        cookie.expires = Some(UNIX_EPOCH);
        cookie
    }

    /// The value of the `Set-Cookie` field.
    ///
    /// # Errors
    /// The first thing that a browser would not take, or would take for something else.
    pub fn encode(&self) -> Result<HeaderValue, CookieError> {
        self.check()?;
        let text = self.to_crate()?.to_string();
        Ok(HeaderValue::try_from(text).expect("all parts are visible ASCII or spaces"))
    }

    fn check(&self) -> Result<(), CookieError> {
        let bytes_max_kept = self.name.len() + self.value.len() <= PAIR_BYTES_MAX;
        let path = self.path.as_deref().unwrap_or("/");
        let domain = self.domain.as_deref().unwrap_or("-");
        let short = path.len() <= ATTRIBUTE_BYTES_MAX && domain.len() <= ATTRIBUTE_BYTES_MAX;
        let needs_secure = self.partitioned || self.same_site == Some(SameSite::None);
        let rules = [
            (!self.name.is_empty() && syntax::all(self.name.as_bytes(), TOKEN), CookieError::Name),
            (self.value.bytes().all(is_cookie_octet), CookieError::Value),
            (path.starts_with('/') && path.bytes().all(is_attribute_byte), CookieError::Path),
            (!domain.is_empty() && domain.bytes().all(is_domain_byte), CookieError::Domain),
            (bytes_max_kept && short, CookieError::TooLong),
            (self.secure || !needs_secure, CookieError::SecureMissing),
            (self.keeps_prefix(), CookieError::Prefix),
        ];
        rules.into_iter().find(|(kept, _)| !kept).map_or(Ok(()), |(_, error)| Err(error))
    }

    fn keeps_prefix(&self) -> bool {
        match Prefix::of(&self.name) {
            None => true,
            Some(Prefix::Secure) => self.secure,
            Some(Prefix::Host) => self.secure && self.domain.is_none() && self.path.as_deref() == Some("/"),
        }
    }

    fn to_crate(&self) -> Result<cookie::Cookie<'_>, CookieError> {
        let mut cookie = cookie::Cookie::new(&*self.name, &*self.value);
        cookie.set_http_only(self.http_only);
        cookie.set_same_site(self.same_site.map(SameSite::to_crate));
        cookie.set_partitioned(self.partitioned);
        cookie.set_secure(self.secure);
        if let Some(path) = &self.path {
            cookie.set_path(&**path);
        }
        if let Some(domain) = &self.domain {
            cookie.set_domain(&**domain);
        }
        if let Some(age) = self.max_age {
            let seconds = age.min(MAX_AGE_MAX).as_secs();
            cookie.set_max_age(cookie::time::Duration::seconds(seconds.cast_signed()));
        }
        if let Some(at) = self.expires {
            let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let at = cookie::time::OffsetDateTime::from_unix_timestamp(seconds.cast_signed());
            cookie.set_expires(at.map_err(|_| CookieError::Expires)?);
        }
        Ok(cookie)
    }
}

impl SameSite {
    fn to_crate(self) -> cookie::SameSite {
        match self {
            Self::Strict => cookie::SameSite::Strict,
            Self::Lax => cookie::SameSite::Lax,
            Self::None => cookie::SameSite::None,
        }
    }
}

/// A promise that a name makes (RFC 6265bis §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    Secure,
    Host,
}

impl Prefix {
    fn of(name: &str) -> Option<Self> {
        // Browsers compare without regard to case, so that no server is fooled that does.
        let begins =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if begins("__Secure-") { Some(Self::Secure) } else { begins("__Host-").then_some(Self::Host) }
    }
}

/// Why a cookie cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieError {
    /// The domain is empty, or has a byte that no host has.
    Domain,
    /// `expires` is beyond the year 9999.
    Expires,
    /// The name is no token.
    Name,
    /// The path does not begin with `/`, or has a byte that ends it.
    Path,
    /// The name begins with `__Secure-` or `__Host-`, and the attributes do not keep what that promises.
    Prefix,
    /// `SameSite=None` or `Partitioned` without `Secure`.
    SecureMissing,
    /// Name and value, or an attribute, are longer than browsers take.
    TooLong,
    /// The value has a byte that must be encoded.
    Value,
}

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Domain => "cookie's domain is empty or has a byte that no host has",
            Self::Expires => "cookie expires beyond the year 9999",
            Self::Name => "cookie's name is no token",
            Self::Path => "cookie's path does not begin with `/` or has a byte that ends it",
            Self::Prefix => "cookie's attributes do not keep what the prefix of its name promises",
            Self::SecureMissing => "cookie with SameSite=None or Partitioned is not Secure",
            Self::TooLong => "cookie is longer than browsers take: 4096 bytes, 1024 an attribute",
            Self::Value => "cookie's value has a byte that must be encoded",
        })
    }
}

impl Error for CookieError {}

/// RFC 6265 §4.1.1, `cookie-octet`.
fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// RFC 6265 §4.1.1, `path-value`.
fn is_attribute_byte(byte: u8) -> bool {
    (byte == b' ' || byte.is_ascii_graphic()) && byte != b';'
}

fn is_domain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

/// Bytes of name and value together: browsers drop longer cookies (RFC 6265bis §5.7).
pub(crate) const PAIR_BYTES_MAX: usize = 4096;

/// Bytes of an attribute's value: browsers drop longer attributes (RFC 6265bis §5.6).
const ATTRIBUTE_BYTES_MAX: usize = 1024;

/// Browsers keep no cookie longer (RFC 6265bis §5.5).
const MAX_AGE_MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);

#[cfg(test)]
mod tests;
