//! Where a request comes from and where it was meant to go, as far as it can be believed.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::HOST;

use super::request::Request;
use crate::proto::forwarded::{Forwarded, is_proxy, resolve};

impl Request {
    /// The address of the client: the peer's, or what trusted proxies say.
    ///
    /// If the peer belongs to `ServerConfig::trusted_proxies`, the fields that such proxies write
    /// (`ServerConfig::proxy_fields`) are read from their end as long as they name trusted proxies; the first other address is
    /// the client. From any other peer the fields are ignored. `None` if there is no address: on a Unix socket without
    /// proxies, or if a proxy does not say whom it speaks for, or not in a way that can be understood. Do not take `None`
    /// for somebody you know.
    ///
    /// ```
    /// # async fn handler(_: &(), req: ringhttp::Request) -> String {
    /// match req.client_addr() {
    ///     Some(address) => format!("hello {address}\n"),
    ///     None => "hello whoever you are\n".to_owned(),
    /// }
    /// # }
    /// # let _ = handler;
    /// ```
    #[must_use]
    pub fn client_addr(&self) -> Option<IpAddr> {
        match self.forwarded() {
            Some(forwarded) => forwarded.client,
            None => self.peer_addr().map(|peer| peer.ip().to_canonical()),
        }
    }

    /// `https` or `http`: how the client reached the server, or the outermost trusted proxy in front of it if that says so.
    /// See [`client_addr`](Self::client_addr) for whom is believed.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        let own = if self.connection().tls.get().is_some() { "https" } else { "http" };
        self.forwarded().and_then(|forwarded| forwarded.scheme).unwrap_or(own)
    }

    /// The scheme, if a trusted proxy says it, or else if the connection speaks TLS itself. A server that is reached over plain
    /// HTTP does not know whether there is a proxy in front that speaks TLS and says nothing.
    pub(crate) fn known_scheme(&self) -> Option<&'static str> {
        let own = self.connection().tls.get().map(|_| "https");
        self.forwarded().and_then(|forwarded| forwarded.scheme).or(own)
    }

    /// The host that the client asked for, with its port if it has one: what a trusted proxy says, else that of an absolute
    /// target, else the `Host` field. `None` from an HTTP/1.0 client that says nothing. It is valid, but what the client
    /// wrote: do not build links that you send to others from it.
    #[must_use]
    pub fn host(&self) -> Option<Cow<'_, str>> {
        let said = self.forwarded().and_then(|forwarded| forwarded.host);
        said.or_else(|| self.own_host().map(Cow::Borrowed))
    }

    /// The host that the request itself is for (RFC 9112 §3.2.2, §3.3), whatever proxies say.
    pub(crate) fn own_host(&self) -> Option<&str> {
        let field = || self.header(HOST).and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty());
        self.target().authority().or_else(field)
    }

    fn forwarded(&self) -> Option<Forwarded<'_>> {
        let config = &self.connection().host.config;
        if !is_proxy(&config.trusted_proxies, self.peer_addr()) {
            return None;
        }
        resolve(self.headers(), config.proxy_fields, &config.trusted_proxies)
    }
}
