//! Who signs in by digest authentication (RFC 7616), and what servers have asked for so far.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::fmt::Write as _;
use std::rc::Rc;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ringhttp_runtime::random;

use super::error::{Error, ErrorKind, Result};
use super::location::Location;
use super::outline::Outline;
use crate::conn::Body;
use crate::proto::digest_auth::{Asked, Challenge};

/// A user and a password for digest authentication (RFC 7616: MD5, SHA-256, SHA-512-256, each with `-sess`; `userhash`), for
/// [`RequestBuilder::digest_auth`](super::RequestBuilder::digest_auth). At a proxy: [`Proxy::digest_auth`](super::Proxy::digest_auth).
///
/// Of what a server offers `qop=auth` is taken. One that offers `auth-int` alone wants the body vouched for: that is done for bodies of bytes and text (and, if they
/// are compressed, up to 32 KiB); to other requests its 401 is the answer.
///
/// Clones share what servers have asked for, so that only the first request to a server has to be sent twice: nonces are counted, and followed
/// by those that `Authentication-Info` names. It belongs to the core.
///
/// ```no_run
/// # async fn example(client: ringhttp::Client) -> ringhttp::Result<()> {
/// use ringhttp::client::DigestAuth;
///
/// let auth = DigestAuth::new("ada", "open sesame");
/// for page in 0..3 {
///     client.get(format!("http://127.0.0.1:8080/private/{page}")).digest_auth(&auth).send().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DigestAuth(Rc<Shared>);

struct Shared {
    user: String,
    password: String,
    /// The latest of each origin, the one that was asked for last at the end.
    nonces: RefCell<Vec<Nonce>>,
}

/// What an origin has asked for.
struct Nonce {
    origin: Box<str>,
    challenge: Challenge,
    cnonce: String,
    /// Requests that were signed by it.
    count: u32,
}

/// Origins whose challenges are remembered by one [`DigestAuth`]. Then the one that asked longest ago is forgotten.
const ORIGINS_MAX: usize = 32;

/// RFC 7615.
const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");

impl DigestAuth {
    /// A user and a password. The user has no colon; that is told when a request is sent.
    #[must_use]
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self(Rc::new(Shared { user: user.into(), password: password.into(), nonces: RefCell::default() }))
    }

    pub(super) fn check(&self) -> Result<()> {
        let error = || Error::new(ErrorKind::Request).with_text("a user name must not have a colon");
        if self.0.user.contains(':') { Err(error()) } else { Ok(()) }
    }

    /// Whether challenges have one that was not met yet: `met` counts those that a request was sent again for. Credentials that were good
    /// for nothing are not sent again, but for a nonce that was too old meanwhile, once.
    pub(super) fn meets(
        &self,
        met: &mut u32,
        origin: &str,
        (headers, name): (&HeaderMap, &HeaderName),
        has_body: bool,
    ) -> bool {
        let values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let Some(challenge) = Challenge::find(values, has_body) else { return false };
        let is_met = *met == 0 || (*met == 1 && challenge.is_stale);
        if is_met {
            *met += 1;
            self.remember(origin, challenge);
        }
        is_met
    }

    /// What signs a request in, if who it goes to has asked for that before.
    pub(super) fn sign(
        &self,
        origin: &str,
        method: &Method,
        uri: &str,
        body: Option<&[u8]>,
    ) -> Result<Option<HeaderValue>> {
        let Shared { user, password, nonces } = &*self.0;
        let mut nonces = nonces.borrow_mut();
        let Some(nonce) = nonces.iter_mut().find(|nonce| &*nonce.origin == origin) else { return Ok(None) };
        if nonce.challenge.wants_body() && body.is_none() {
            return Ok(None);
        }
        nonce.count = nonce.count.saturating_add(1);
        let (method, cnonce, count) = (method.as_str(), &*nonce.cnonce, nonce.count);
        let asked = Asked { user, password, method, uri, cnonce, count, body };
        let unusable = || Error::new(ErrorKind::Request).with_text("the user cannot stand in a field");
        nonce.challenge.answer(&asked).ok_or_else(unusable).map(Some)
    }

    /// Takes the nonce that an answer names for the next request.
    pub(super) fn note_next_nonce(&self, origin: &str, info: &HeaderValue) {
        let mut nonces = self.0.nonces.borrow_mut();
        let nonce = nonces.iter_mut().find(|nonce| &*nonce.origin == origin);
        if let Some(nonce) = nonce
            && nonce.challenge.renew(info.as_bytes())
        {
            nonce.count = 0;
        }
    }

    fn remember(&self, origin: &str, challenge: Challenge) {
        let mut nonces = self.0.nonces.borrow_mut();
        nonces.retain(|nonce| &*nonce.origin != origin);
        if nonces.len() >= ORIGINS_MAX {
            nonces.remove(0);
        }
        let mut cnonce = String::new();
        for byte in random::bytes::<16>() {
            let _ = write!(cnonce, "{byte:02x}");
        }
        nonces.push(Nonce { origin: origin.into(), challenge, cnonce, count: 0 });
    }
}

/// Shows no password.
impl fmt::Debug for DigestAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestAuth").field("user", &self.0.user).finish_non_exhaustive()
    }
}

/// A request that signs in.
#[derive(Clone)]
pub(super) struct SigningIn {
    auth: DigestAuth,
    /// Challenges that it was sent again for, since it last led elsewhere.
    met: u32,
}

impl SigningIn {
    pub(super) fn new(auth: &DigestAuth) -> Self {
        Self { auth: auth.clone(), met: 0 }
    }

    /// It is redirected: what it is asked there is another matter.
    pub(super) fn again(mut self: Box<Self>) -> Box<Self> {
        self.met = 0;
        self
    }

    /// Whether an answer has a challenge that was not met yet.
    pub(super) fn meets(&mut self, location: &Location, headers: &HeaderMap, has_body: bool) -> bool {
        self.auth.meets(&mut self.met, location.origin(), (headers, &WWW_AUTHENTICATE), has_body)
    }
}

impl Outline {
    /// Takes the nonce that an answer names for the next request.
    pub(super) fn note_next_nonce(&self, headers: &HeaderMap) {
        if let (Some(digest), Some(info)) = (&self.digest, headers.get(AUTHENTICATION_INFO)) {
            digest.auth.note_next_nonce(self.location.origin(), info);
        }
    }

    /// Signs the request with the body that it is sent with, if its server has asked for that before.
    pub(super) fn sign(&mut self, body: &Body) -> Result<()> {
        let Some(digest) = &self.digest else { return Ok(()) };
        let location = &self.location;
        let signed = digest.auth.sign(location.origin(), &self.method, location.target(), body.as_bytes())?;
        match signed {
            Some(value) => drop(self.headers.insert(AUTHORIZATION, value)),
            // What it may have from an earlier try is good for nothing.
            None => drop(self.headers.remove(AUTHORIZATION)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_password_is_not_shown() {
        let auth = DigestAuth::new("ada", "secret");
        for number in 0..100 {
            let challenge = Challenge::find([&b"Digest realm=a, nonce=b"[..]], true).expect("it is one");
            auth.remember(&format!("http://{number}"), challenge.clone());
            auth.remember("http://0", challenge);
        }
        let nonces = auth.0.nonces.borrow();
        assert_eq!((nonces.len(), &*nonces[ORIGINS_MAX - 1].origin), (ORIGINS_MAX, "http://0"));
        assert!(nonces[0].cnonce != nonces[1].cnonce && nonces[0].cnonce.len() == 32);
        assert!(!format!("{auth:?}").contains("secret"));
        assert!(auth.check().is_ok() && DigestAuth::new("a:b", "").check().is_err());
    }
}
