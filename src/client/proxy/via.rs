//! The ways that requests take, made of the rules once.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header};

use super::exception::Exception;
use super::sign_in::SignIn;
use super::{Proxies, Proxy};
use crate::client::error::Result;
use crate::client::location::Location;
use crate::client::pool::Route;

/// The proxies of one client, as its requests find them.
pub(in crate::client) struct ProxyRoutes {
    http: Option<Rc<Route>>,
    https: Option<Rc<Route>>,
    except: Vec<Exception>,
}

/// A way through a proxy.
#[derive(Clone, Debug)]
pub(in crate::client) struct Via {
    /// Where the proxy is.
    pub(in crate::client) location: Location,
    pub(in crate::client) proxy: Arc<Proxy>,
    /// What the proxy is asked for by itself.
    pub(in crate::client) fields: HeaderMap,
    sign_in: SignIn,
}

impl ProxyRoutes {
    pub(in crate::client) fn new(proxies: &Proxies) -> Self {
        let route = |proxy: &Option<Arc<Proxy>>| {
            let proxy = proxy.as_ref()?;
            Some(Via::route(proxy, SignIn::new(proxy)))
        };
        Self { http: route(&proxies.http), https: route(&proxies.https), except: proxies.except.clone() }
    }

    /// The same, but that everything goes through tunnels.
    pub(in crate::client) fn tunneling(&self) -> Self {
        let route = |route: &Rc<Route>| {
            let via = route.via.as_ref()?;
            let proxy = Arc::new(Proxy::clone(&via.proxy).always_tunnel());
            Some(Via::route(&proxy, via.sign_in.clone()))
        };
        Self {
            http: self.http.as_ref().and_then(route),
            https: self.https.as_ref().and_then(route),
            except: self.except.clone(),
        }
    }

    /// The way to a URL; `None`: straight to it.
    pub(in crate::client) fn to(&self, location: &Location) -> Option<&Rc<Route>> {
        let route = if location.is_https() { self.https.as_ref() } else { self.http.as_ref() }?;
        let ip = location.ip();
        let is_excepted = self.except.iter().any(|exception| exception.holds(location, ip));
        (!is_excepted).then_some(route)
    }
}

impl Via {
    fn route(proxy: &Arc<Proxy>, sign_in: SignIn) -> Rc<Route> {
        let url = format!("{}/", proxy.origin);
        let (location, _) = Location::parse(&url, None).expect("checked when the proxy was made");
        let via = Self { location, proxy: Arc::clone(proxy), fields: proxy.fields(), sign_in };
        Rc::new(Route { via: Some(via), ..Route::default() })
    }

    /// The fields of what is asked of the proxy itself: with what signs it in, if the proxy has asked for that.
    pub(in crate::client) fn fields_for(
        &self,
        method: &Method,
        target: &str,
        body: Option<&[u8]>,
    ) -> Result<Cow<'_, HeaderMap>> {
        let mut fields = Cow::Borrowed(&self.fields);
        if let Some(value) = self.sign_in.sign(self.location.origin(), method, target, body)? {
            fields.to_mut().insert(header::PROXY_AUTHORIZATION, value);
        }
        Ok(fields)
    }

    /// Whether the proxy's answer asks to be signed in at, in a way that can be met by asking again: `met` counts how often that was done.
    /// `has_body`: the body of the request is in memory.
    pub(in crate::client) fn can_sign_in(
        &self,
        met: &mut u32,
        status: StatusCode,
        headers: &HeaderMap,
        has_body: bool,
    ) -> bool {
        let is_asked = status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        is_asked && self.sign_in.meets(met, self.location.origin(), headers, has_body)
    }

    /// Takes what an answer says about how the next request signs in.
    pub(in crate::client) fn note_next_nonce(&self, headers: &HeaderMap) {
        self.sign_in.note_next_nonce(self.location.origin(), headers);
    }

    /// Whether a request for a URL goes through a tunnel.
    pub(in crate::client) fn tunnels(&self, location: &Location) -> bool {
        location.is_https() || self.proxy.always_tunnels || self.proxy.is_socks()
    }
}

/// Two ways are the same if the same proxy is asked in the same way.
impl PartialEq for Via {
    fn eq(&self, other: &Self) -> bool {
        self.proxy == other.proxy
    }
}

impl Eq for Via {}

impl std::hash::Hash for Via {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.proxy.hash(state);
    }
}
