//! Signing in at a proxy that asks for digest authentication (RFC 7616): its 407 is answered, and what it asked for is remembered.
#![forbid(unsafe_code)]

use http::header::PROXY_AUTHENTICATE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::super::digest_auth::DigestAuth;
use super::super::error::Result;
use super::Proxy;

/// How one core signs in at one proxy.
#[derive(Clone, Debug)]
pub(in super::super) struct SignIn(Option<DigestAuth>);

/// RFC 7615 §4.
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");

impl SignIn {
    pub(super) fn new(proxy: &Proxy) -> Self {
        let credentials = proxy.credentials().filter(|_| proxy.signs_by_digest);
        Self(credentials.map(|(user, password)| DigestAuth::new(user, password)))
    }

    /// Whether what a proxy asks for by a 407 can be met: `met` counts how often a request was sent again for that.
    pub(in super::super) fn meets(
        &self,
        met: &mut u32,
        proxy: &str,
        headers: &HeaderMap,
        has_body: bool,
    ) -> bool {
        let digest = self.0.as_ref();
        digest.is_some_and(|digest| digest.meets(met, proxy, (headers, &PROXY_AUTHENTICATE), has_body))
    }

    /// The value of `Proxy-Authorization`, if the proxy has asked for one.
    pub(in super::super) fn sign(
        &self,
        proxy: &str,
        method: &Method,
        target: &str,
        body: Option<&[u8]>,
    ) -> Result<Option<HeaderValue>> {
        self.0.as_ref().map_or(Ok(None), |digest| digest.sign(proxy, method, target, body))
    }

    /// Takes the nonce that an answer names for the next request.
    pub(in super::super) fn note_next_nonce(&self, proxy: &str, headers: &HeaderMap) {
        if let Some(digest) = &self.0
            && let Some(info) = headers.get(PROXY_AUTHENTICATION_INFO)
        {
            digest.note_next_nonce(proxy, info);
        }
    }
}
