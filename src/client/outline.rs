//! What a request consists of, on its way through the middleware and to its server.
#![forbid(unsafe_code)]

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, header};

#[cfg(feature = "compression")]
use super::compress::Compress;
#[cfg(feature = "digest-auth")]
use super::digest_auth::SigningIn;
use super::error::{Error, ErrorKind, Result};
use super::location::{Location, UserInfo};
use super::middleware::RateLimit;
use super::netrc::Netrc;
use super::session::Shared;
use super::settings::Settings;
use crate::conn::Body;

/// What a request consists of.
pub(super) struct Outline {
    pub(super) method: Method,
    pub(super) location: Location,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Makes the body, again for each time that it is sent.
    pub(super) make_body: Option<Rc<dyn Fn() -> Body>>,
    /// The body was sent and cannot be sent again.
    pub(super) is_body_spent: bool,
    /// The body passes an encoder when it is sent.
    #[cfg(feature = "compression")]
    pub(super) compress: Option<Compress>,
    /// By whom it signs in when its server asks for that.
    #[cfg(feature = "digest-auth")]
    pub(super) digest: Option<Box<SigningIn>>,
    /// What it waits for before it is sent.
    pub(super) rate_limits: Vec<Rc<RateLimit>>,
    /// In place of the client's.
    pub(super) own_settings: Option<Box<Settings>>,
}

impl Outline {
    pub(super) fn new(method: Method, location: Location, user: Option<UserInfo>) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(UserInfo { user, password }) = user {
            headers.insert(header::AUTHORIZATION, basic(&user, &password));
        }
        Self {
            method,
            location,
            headers,
            body: Body::empty(),
            make_body: None,
            is_body_spent: false,
            #[cfg(feature = "compression")]
            compress: None,
            #[cfg(feature = "digest-auth")]
            digest: None,
            rate_limits: Vec::new(),
            own_settings: None,
        }
    }

    /// Its own settings, or the client's.
    pub(super) fn settings<'a>(&'a self, shared: &'a Shared) -> &'a Settings {
        self.own_settings.as_deref().unwrap_or(&shared.settings)
    }

    /// The same once more, if its body can be sent twice.
    pub(super) fn try_clone(&self) -> Option<Self> {
        let body = self.body.try_clone().filter(|_| !self.is_body_spent)?;
        Some(Self {
            method: self.method.clone(),
            location: self.location.clone(),
            headers: self.headers.clone(),
            body,
            make_body: self.make_body.clone(),
            is_body_spent: false,
            #[cfg(feature = "compression")]
            compress: self.compress,
            #[cfg(feature = "digest-auth")]
            digest: self.digest.clone(),
            rate_limits: self.rate_limits.clone(),
            own_settings: self.own_settings.clone(),
        })
    }

    /// Another body, whatever made the one before.
    pub(super) fn replace_body(&mut self, body: Body) {
        self.body = body;
        self.make_body = None;
        self.is_body_spent = false;
    }

    pub(super) fn set_body(&mut self, body: impl Into<Body>, content_type: HeaderValue) {
        self.replace_body(body.into());
        self.headers.entry(header::CONTENT_TYPE).or_insert(content_type);
    }

    /// Says who asks, if the request does not, nor the fields of every request, but a file does.
    pub(super) fn name_user(&mut self, netrc: &Netrc, defaults: &HeaderMap) {
        let Some((user, password)) = netrc.find(self.location.host()) else { return };
        #[cfg(feature = "digest-auth")]
        if self.digest.is_some() {
            return;
        }
        if !defaults.contains_key(header::AUTHORIZATION) {
            self.headers.entry(header::AUTHORIZATION).or_insert_with(|| basic(user, password));
        }
    }

    /// The body, to be sent; it is kept if it can be sent again.
    pub(super) fn take_body(&mut self) -> Body {
        let body = self.make_body.as_ref().map(|make| make()).or_else(|| self.body.try_clone());
        let body = body.unwrap_or_else(|| {
            self.is_body_spent = true;
            std::mem::take(&mut self.body)
        });
        #[cfg(feature = "compression")]
        if let Some(compress) = self.compress {
            return compress.apply(body);
        }
        body
    }

    /// Whether all of the body, as it is sent, is in memory, and will be again.
    pub(super) fn has_body_in_memory(&self) -> bool {
        #[cfg(feature = "compression")]
        if self.compress.is_some() && !Compress::is_at_once(&self.body) {
            return false;
        }
        self.make_body.is_none() && self.body.as_bytes().is_some()
    }

    /// Takes a body back that was not sent after all.
    pub(super) fn put_body_back(&mut self, body: Body) {
        if self.is_body_spent {
            self.body = body;
            self.is_body_spent = false;
        }
    }

    /// Whether its fields ask the server if it wants the body.
    pub(super) fn expects_continue(&self) -> bool {
        let expects = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(CONTINUE.as_bytes());
        !self.headers.is_empty() && self.headers.get(header::EXPECT).is_some_and(expects)
    }

    /// The fields with cookies behind those that there are, those for a proxy in place of their like, and the question whether
    /// the server wants the body.
    pub(super) fn headers_with(
        &self,
        pairs: Option<&str>,
        of_proxy: Option<&HeaderMap>,
        expects_continue: bool,
    ) -> Result<HeaderMap> {
        let mut headers = self.headers.clone();
        if let Some(pairs) = pairs {
            add_cookies(&mut headers, pairs)?;
        }
        headers.extend(of_proxy.cloned().unwrap_or_default());
        if expects_continue {
            headers.insert(header::EXPECT, HeaderValue::from_static(CONTINUE));
        }
        Ok(headers)
    }
}

const CONTINUE: &str = "100-continue";

pub(super) fn add_cookies(headers: &mut HeaderMap, pairs: &str) -> Result<()> {
    let value = match headers.get(header::COOKIE) {
        Some(before) => HeaderValue::from_bytes(&[before.as_bytes(), b"; ", pairs.as_bytes()].concat()),
        None => HeaderValue::from_bytes(pairs.as_bytes()),
    };
    let mut value = value.map_err(unusable)?;
    value.set_sensitive(true);
    headers.insert(header::COOKIE, value);
    Ok(())
}

pub(super) fn basic(user: &str, password: &str) -> HeaderValue {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

pub(super) fn unusable(error: impl Into<http::Error>) -> Error {
    Error::new(ErrorKind::Request).with_source(error.into())
}
