//! Proxies: which request goes through which, and the tunnel that one opens (RFC 9110 §9.3.6).
//!
//! A plain `http` request is sent to the proxy as a whole, with its URL as its target (RFC 9112 §3.2.2); everything else goes
//! through a tunnel, in which the proxy sees bytes only. Credentials for a proxy are no fields of a request: they are added
//! where the request goes to the proxy, and never leave it. To a proxy that speaks SOCKS (RFC 1928) everything is a tunnel.
#![forbid(unsafe_code)]

mod exception;
mod rules;
#[cfg_attr(not(feature = "digest-auth"), path = "proxy/no_sign_in.rs")]
mod sign_in;
#[cfg(test)]
mod tests;
mod via;

use std::fmt;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, header};

pub use self::rules::Proxies;
pub(super) use self::via::{ProxyRoutes, Via};
use super::error::{Error, ErrorKind, Result};
use super::location::{Location, UserInfo};
use super::outline::basic;
use super::tls::ClientTls;

/// A proxy that speaks HTTP, or SOCKS 5.
///
/// ```
/// use ringhttp::client::{Proxies, Proxy};
/// use ringhttp::ClientConfig;
///
/// let proxy = Proxy::new("http://proxy.internal:3128")?.basic_auth("service", "password");
/// let mut config = ClientConfig::default();
/// config.proxies = Proxies::all(proxy).except("localhost, 10.0.0.0/8, .internal")?;
/// # Ok::<(), ringhttp::client::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    speaks: Speaks,
    /// `http://host:port`, whatever it speaks; `https://host:port` if that is over TLS.
    origin: Box<str>,
    /// User and password.
    credentials: Option<(Box<str>, Box<str>)>,
    /// It is shown no password, but that there is one.
    signs_by_digest: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
    always_tunnels: bool,
    /// How TLS is spoken with it; the usual way unless it is said.
    tls: Option<ClientTls>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Speaks {
    Http,
    /// HTTP over TLS.
    Https,
    Socks {
        resolves: bool,
    },
}

impl Proxy {
    /// A proxy by its URL: `http://host:port`, with the user and the password that it asks for, if it does
    /// (`http://user:password@host:port`). Without a scheme it is `http`, without a port 80.
    ///
    /// `https://host:port` is one that is spoken to over TLS, so that nobody on the way to it sees what is asked of it; without a port it
    /// is 443. TLS with a server goes through it inside of that. See `Proxy::tls`.
    ///
    /// `socks5://host:port` is one that speaks SOCKS 5 (RFC 1928), where names are looked up here; `socks5h://host:port` is one that
    /// looks them up itself. Without a port it is 1080.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is no URL, or of another scheme.
    pub fn new(url: impl AsRef<str>) -> Result<Self> {
        let url = url.as_ref();
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let speaks = match &*scheme.to_ascii_lowercase() {
            "http" => Speaks::Http,
            "https" => Speaks::Https,
            "socks5" => Speaks::Socks { resolves: false },
            "socks5h" => Speaks::Socks { resolves: true },
            _ => return Err(no_proxy()),
        };
        let scheme = if speaks == Speaks::Https { "https" } else { "http" };
        let text = format!("{scheme}://{rest}");
        let (mut location, user) =
            Location::parse(&text, None).map_err(|error| no_proxy().with_source(error))?;
        if !matches!(location.target(), "" | "/") {
            return Err(no_proxy());
        }
        if matches!(speaks, Speaks::Socks { .. }) && !names_port(rest) {
            let text = format!("{}:{SOCKS_PORT}/", location.origin());
            location = Location::parse(&text, None).map_err(|error| no_proxy().with_source(error))?.0;
        }
        let credentials = user.map(|UserInfo { user, password }| (user.into(), password.into()));
        let origin = location.origin().into();
        Ok(Self {
            speaks,
            origin,
            credentials,
            signs_by_digest: false,
            headers: Vec::new(),
            always_tunnels: false,
            tls: None,
        })
    }

    /// Signs in at the proxy by user and password (RFC 7617; with SOCKS RFC 1929: 1 to 255 bytes each), in place of those of its
    /// URL.
    #[must_use]
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self.signs_by_digest = false;
        self
    }

    /// Signs in at the proxy by digest authentication (RFC 7616; with SOCKS as by [`basic_auth`](Self::basic_auth)), in place of user and password of its
    /// URL. Its first 407 is answered: the request is sent once more, or another tunnel asked for. What it asks for is remembered by the core, or
    /// by the request if the proxy is that of one request.
    ///
    /// A body that can be sent only once, as a stream, gets the 407 then, unless it was held back by
    /// [`expect_continue`](super::RequestBuilder::expect_continue).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the user has a colon.
    #[cfg(feature = "digest-auth")]
    pub fn digest_auth(self, user: &str, password: &str) -> Result<Self> {
        if user.contains(':') {
            let error = Error::new(ErrorKind::Config);
            return Err(error.with_text("a proxy's user name must not have a colon"));
        }
        Ok(Self { signs_by_digest: true, ..self.basic_auth(user, password) })
    }

    /// Adds a field to what the proxy is asked: to requests that are sent to it, and to those for a tunnel. What goes through
    /// a tunnel does not have it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is no field, or one that says where a message ends or whom it is for; or if the proxy speaks
    /// SOCKS, which has no fields.
    pub fn header(
        mut self,
        name: impl TryInto<HeaderName, Error: Into<http::Error>>,
        value: impl TryInto<HeaderValue, Error: Into<http::Error>>,
    ) -> Result<Self> {
        let wrong = |error: http::Error| Error::new(ErrorKind::Config).with_source(error);
        let name = name.try_into().map_err(|error| wrong(error.into()))?;
        let value = value.try_into().map_err(|error| wrong(error.into()))?;
        if NOT_ITS_OWN.contains(&name) || self.is_socks() {
            return Err(Error::new(ErrorKind::Config).with_text(format!("a proxy must not have `{name}`")));
        }
        self.headers.push((name, value));
        Ok(self)
    }

    /// Sends plain `http` requests through a tunnel, too: the proxy then neither reads nor changes them.
    #[must_use]
    pub fn always_tunnel(mut self) -> Self {
        self.always_tunnels = true;
        self
    }

    /// How TLS is spoken with a proxy whose URL is `https`: whom it has to be vouched for by, and what it is shown. Unless it is said,
    /// it has to have a certificate for its host that the system trusts. What is set for servers does not hold for proxies.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(mut self, tls: &ClientTls) -> Self {
        self.tls = Some(tls.clone());
        self
    }

    /// How TLS is spoken with it, if that was said.
    pub(super) fn own_tls(&self) -> Option<&ClientTls> {
        self.tls.as_ref()
    }

    /// Whether it speaks SOCKS.
    pub(super) fn is_socks(&self) -> bool {
        matches!(self.speaks, Speaks::Socks { .. })
    }

    /// Whether it looks names up itself.
    pub(super) fn resolves_names(&self) -> bool {
        self.speaks != (Speaks::Socks { resolves: false })
    }

    /// User and password.
    pub(super) fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (&**user, &**password))
    }

    /// What the proxy is asked for by itself.
    pub(super) fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        if let Some((user, password)) = self.credentials().filter(|_| !self.signs_by_digest) {
            fields.insert(header::PROXY_AUTHORIZATION, basic(user, password));
        }
        for (name, value) in &self.headers {
            fields.append(name, value.clone());
        }
        fields
    }
}

fn no_proxy() -> Error {
    let text = "a proxy's URL must be http://host:port, https://host:port, socks5://host:port or socks5h://host:port";
    Error::new(ErrorKind::Config).with_text(text)
}

/// Whether what stands behind the scheme of a URL names a port.
fn names_port(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let behind_brackets = host.rsplit(']').next().unwrap_or_default();
    behind_brackets.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty())
}

/// RFC 1928 §3.
const SOCKS_PORT: u16 = 1080;

const NOT_ITS_OWN: [HeaderName; 4] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::HOST, header::TRANSFER_ENCODING];

/// Shows no credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("speaks", &self.speaks)
            .field("url", &self.origin)
            .field("always_tunnels", &self.always_tunnels)
            .finish_non_exhaustive()
    }
}
