//! The key that signs and encrypts cookies.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;

use cookie::{Cookie, CookieJar, Key};

use crate::conn::{Request, Response};
use crate::error::{Error, Result};
use crate::proto::cookie::SetCookie;

/// What signs cookies (HMAC-SHA256: their users can read them, but not change them) and encrypts them (AES-256-GCM: they
/// cannot read them either). Both bind the value to the cookie's name.
///
/// All cores and all processes that serve the same clients need the same key: make it before [`run`](crate::run), from
/// bytes that are kept elsewhere.
///
/// ```
/// use ringhttp::session::CookieKey;
///
/// let old = CookieKey::generate();
/// let sealed = old.seal("cart", "three apples");
///
/// // A new key, and for a while the old one is still understood.
/// let key = CookieKey::generate().with_previous(&old);
/// assert_eq!(key.open("cart", &sealed).as_deref(), Some("three apples"));
/// assert_eq!(key.open("other", &sealed), None);
/// ```
#[derive(Clone)]
pub struct CookieKey {
    present: Key,
    previous: Vec<Key>,
}

impl CookieKey {
    /// The key of at least 64 random bytes, of which the first 64 are used.
    ///
    /// # Errors
    /// 500 if there are fewer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let present = Key::try_from(bytes).map_err(Error::internal)?;
        Ok(Self { present, previous: Vec::new() })
    }

    /// A new random key: what it signs is worth nothing once the process has ended.
    ///
    /// # Panics
    /// If the system has no random bytes.
    #[must_use]
    pub fn generate() -> Self {
        Self { present: Key::generate(), previous: Vec::new() }
    }

    /// Understands what `old` and its previous keys have signed and encrypted too. New cookies are made with this key.
    #[must_use]
    pub fn with_previous(mut self, old: &Self) -> Self {
        self.previous.push(old.present.clone());
        self.previous.extend_from_slice(&old.previous);
        self
    }

    /// `value` behind its signature. It must be fit for a cookie: see [`SetCookie::value`].
    #[must_use]
    pub fn sign(&self, name: &str, value: &str) -> String {
        let mut jar = CookieJar::new();
        // The jar signs the value alone. With the name in it no cookie passes for another; it need not be sent, because
        // whoever reads the cookie knows it.
        jar.signed_mut(&self.present).add(Cookie::new(name.to_owned(), bound(name, value)));
        let signed = jar.get(name).map_or("", Cookie::value);
        format!("{}{value}", signed.get(..SIGNATURE_BYTES).unwrap_or_default())
    }

    /// What [`sign`](Self::sign) was given. `None`: this key has not signed it, or not for this name.
    #[must_use]
    pub fn verify(&self, name: &str, signed: &str) -> Option<String> {
        let (signature, value) = signed.split_at_checked(SIGNATURE_BYTES)?;
        let cookie = Cookie::new(name.to_owned(), format!("{signature}{}", bound(name, value)));
        let jar = CookieJar::new();
        self.keys().find_map(|key| jar.signed(key).verify(cookie.clone()))?;
        Some(value.to_owned())
    }

    /// `text` encrypted, in base64. It may be any text.
    #[must_use]
    pub fn seal(&self, name: &str, text: &str) -> String {
        let mut jar = CookieJar::new();
        jar.private_mut(&self.present).add(Cookie::new(name.to_owned(), text.to_owned()));
        jar.get(name).map(|cookie| cookie.value().to_owned()).unwrap_or_default()
    }

    /// What [`seal`](Self::seal) was given. `None`: this key has not sealed it, or not for this name.
    #[must_use]
    pub fn open(&self, name: &str, sealed: &str) -> Option<String> {
        let cookie = Cookie::new(name.to_owned(), sealed.to_owned());
        let jar = CookieJar::new();
        let opened = self.keys().find_map(|key| jar.private(key).decrypt(cookie.clone()))?;
        Some(opened.value().to_owned())
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.present).chain(&self.previous)
    }
}

/// Without the key.
impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieKey").field("previous", &self.previous.len()).finish_non_exhaustive()
    }
}

impl Request {
    /// The value of a cookie that [`Response::with_signed_cookie`] set. `None`: there is none, or it was tampered with.
    #[must_use]
    pub fn signed_cookie(&self, name: &str, key: &CookieKey) -> Option<String> {
        key.verify(name, self.cookie(name)?)
    }

    /// The text of a cookie that [`Response::with_private_cookie`] set. `None`: there is none, or it was tampered with.
    #[must_use]
    pub fn private_cookie(&self, name: &str, key: &CookieKey) -> Option<String> {
        key.open(name, self.cookie(name)?)
    }
}

impl Response {
    /// Adds a cookie that its user can read but not change. It does not get old by itself: `max_age` binds browsers only,
    /// so a value that must end says when.
    ///
    /// # Errors
    /// As [`with_cookie`](Self::with_cookie).
    pub fn with_signed_cookie(self, cookie: &SetCookie, key: &CookieKey) -> Result<Self> {
        // Checked before the signature hides what is in it.
        cookie.encode().map_err(Error::internal)?;
        let value = Cow::Owned(key.sign(&cookie.name, &cookie.value));
        self.with_cookie(&SetCookie { value, ..cookie.clone() })
    }

    /// Adds a cookie that its user can neither read nor change; its value may be any text. As
    /// [`with_signed_cookie`](Self::with_signed_cookie) it does not get old by itself.
    ///
    /// # Errors
    /// As [`with_cookie`](Self::with_cookie), of the sealed value: it is a third longer than the text, and 37 bytes.
    pub fn with_private_cookie(self, cookie: &SetCookie, key: &CookieKey) -> Result<Self> {
        let value = Cow::Owned(key.seal(&cookie.name, &cookie.value));
        self.with_cookie(&SetCookie { value, ..cookie.clone() })
    }
}

fn bound(name: &str, value: &str) -> String {
    format!("{name}={value}")
}

/// HMAC-SHA256 in base64.
const SIGNATURE_BYTES: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    /// All texts that differ from `text` in one place.
    fn tampered(text: &str) -> impl Iterator<Item = String> {
        let cut = (0..text.len()).map(|end| text[..end].to_owned());
        let changed = (0..text.len()).map(|at| {
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            format!("{}{other}{}", &text[..at], &text[at + 1..])
        });
        let longer = ["A", "=", "ä", ";"].map(|end| format!("{text}{end}"));
        cut.chain(changed).chain(longer)
    }

    #[test]
    fn what_was_signed_comes_back_and_nothing_else() {
        let key = CookieKey::generate();
        for value in ["", "x", "user=7&admin=0"] {
            let signed = key.sign("a", value);
            assert_eq!(key.verify("a", &signed).as_deref(), Some(value));
            assert_eq!(key.verify("b", &signed), None, "another name");
            assert_eq!(CookieKey::generate().verify("a", &signed), None, "another key");
            for forged in tampered(&signed) {
                assert_eq!(key.verify("a", &forged), None, "{forged}");
            }
        }
    }

    #[test]
    fn what_was_sealed_comes_back_and_nothing_else() {
        let key = CookieKey::generate();
        for text in ["", "x", "ä; \"\r\n"] {
            let sealed = key.seal("a", text);
            assert_eq!(key.open("a", &sealed).as_deref(), Some(text));
            assert_eq!(key.open("b", &sealed), None, "another name");
            assert_eq!(CookieKey::generate().open("a", &sealed), None, "another key");
            for forged in tampered(&sealed) {
                assert_eq!(key.open("a", &forged), None, "{forged}");
            }
        }
        assert_ne!(key.seal("a", "x"), key.seal("a", "x"), "each has a nonce of its own");
    }

    #[test]
    fn a_name_signed_with_another_border_is_not_taken() {
        let key = CookieKey::generate();
        // Names are tokens, so none has a `=`: the first one in what is signed ends the name.
        assert_eq!(key.sign("a", "b=c")[..SIGNATURE_BYTES], key.sign("a=b", "c")[..SIGNATURE_BYTES]);
        assert!(Response::text("").with_signed_cookie(&SetCookie::new("a=b", "c"), &key).is_err());
    }

    #[test]
    fn a_key_is_turned_over_in_steps() {
        let keys = [CookieKey::generate(), CookieKey::generate(), CookieKey::generate()];
        let second = keys[1].clone().with_previous(&keys[0]);
        let third = keys[2].clone().with_previous(&second);
        for old in [&keys[0], &second, &third] {
            assert_eq!(third.open("a", &old.seal("a", "x")).as_deref(), Some("x"));
            assert_eq!(third.verify("a", &old.sign("a", "x")).as_deref(), Some("x"));
        }
        assert_eq!(second.open("a", &third.seal("a", "x")), None, "new cookies are made with the new key");
    }

    #[test]
    fn a_key_has_64_bytes_and_does_not_show_them() {
        assert!(CookieKey::from_bytes(&[7; 63]).is_err());
        let key = CookieKey::from_bytes(&[7; 64]).unwrap();
        let same = CookieKey::from_bytes(&[7; 65]).unwrap();
        assert_eq!(same.open("a", &key.seal("a", "x")).as_deref(), Some("x"));
        assert!(!format!("{key:?}").contains('7'), "{key:?}");
    }
}
