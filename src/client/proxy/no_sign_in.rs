//! What stands in for signing in at proxies by digest in builds without it: a 407 is an answer.
#![forbid(unsafe_code)]

use http::{HeaderMap, HeaderValue, Method};

use super::super::error::Result;
use super::Proxy;

/// How one core signs in at one proxy: by fields that do not change.
#[derive(Clone, Debug)]
pub(in super::super) struct SignIn;

impl SignIn {
    pub(super) fn new(_: &Proxy) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the one with digest authentication is asked")]
    pub(in super::super) fn meets(&self, _: &mut u32, _: &str, _: &HeaderMap, _: bool) -> bool {
        false
    }

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the one with digest authentication may fail"
    )]
    pub(in super::super) fn sign(
        &self,
        _: &str,
        _: &Method,
        _: &str,
        _: Option<&[u8]>,
    ) -> Result<Option<HeaderValue>> {
        Ok(None)
    }

    #[expect(clippy::unused_self, reason = "the one with digest authentication is told")]
    pub(in super::super) fn note_next_nonce(&self, _: &str, _: &HeaderMap) {}
}
