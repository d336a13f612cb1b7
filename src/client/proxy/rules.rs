//! Which requests go through which proxy.
#![forbid(unsafe_code)]

use std::env;
use std::sync::Arc;

use super::Proxy;
use super::exception::Exception;
use crate::client::error::Result;

/// Which requests go through which proxy. The default is none.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    pub(super) http: Option<Arc<Proxy>>,
    pub(super) https: Option<Arc<Proxy>>,
    pub(super) except: Vec<Exception>,
}

impl Proxies {
    /// No proxy: everything goes straight to its server.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One proxy for everything.
    #[must_use]
    pub fn all(proxy: Proxy) -> Self {
        let proxy = Arc::new(proxy);
        Self { http: Some(Arc::clone(&proxy)), https: Some(proxy), except: Vec::new() }
    }

    /// The proxy of `http` URLs.
    #[must_use]
    pub fn http(mut self, proxy: Proxy) -> Self {
        self.http = Some(Arc::new(proxy));
        self
    }

    /// The proxy of `https` URLs.
    #[must_use]
    pub fn https(mut self, proxy: Proxy) -> Self {
        self.https = Some(Arc::new(proxy));
        self
    }

    /// What goes straight to its server nevertheless, in the form of the variable `no_proxy`: with commas or blanks between them,
    /// hosts (`example.com` and `.example.com` are both that host and all below it), addresses, networks (`10.0.0.0/8`), each of them with
    /// a port if it is only for that (`example.com:8080`), or `*` for everything. Names are not looked up for it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::client::ErrorKind::Config) if one of them is none of these.
    pub fn except(mut self, hosts: &str) -> Result<Self> {
        let parts = hosts.split([',', ' ', '\t']).filter(|part| !part.is_empty());
        for part in parts {
            self.except.push(Exception::parse(part)?);
        }
        Ok(self)
    }

    /// What the environment says: `http_proxy`, `https_proxy`, `all_proxy` where they are not set, and `no_proxy`; of each
    /// name the lower case first. `HTTP_PROXY` is not read where `REQUEST_METHOD` is set, because there a `Proxy` field of a
    /// request becomes that variable (CGI).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::client::ErrorKind::Config) if what one of them says is no proxy.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| env::var(name).ok())
    }

    pub(super) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let find = |name: &str| {
            let upper = name.to_ascii_uppercase();
            let may_read_upper = !(is_cgi && upper == "HTTP_PROXY");
            let value = variable(name).or_else(|| variable(&upper).filter(|_| may_read_upper));
            value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let proxy = |name: &str| {
            let url = find(name).or_else(|| find("all_proxy"));
            url.map(Proxy::new).transpose().map(|proxy| proxy.map(Arc::new))
        };
        let proxies = Self { http: proxy("http_proxy")?, https: proxy("https_proxy")?, except: Vec::new() };
        proxies.except(&find("no_proxy").unwrap_or_default())
    }

    pub(in crate::client) fn is_none(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }
}
