//! Proxies: which request goes through which, and the tunnel that one opens (RFC 9110 §9.3.6).
//!
//! A plain `http` request is sent to the proxy as a whole, with its URL as its target (RFC 9112 §3.2.2); everything else goes
//! through a tunnel, in which the proxy sees bytes only. Credentials for a proxy are no fields of a request: they are added
//! where the request goes to the proxy, and never leave it. To a proxy that speaks SOCKS (RFC 1928) everything is a tunnel.
#![forbid(unsafe_code)]

mod exception;
#[cfg_attr(not(feature = "digest-auth"), path = "proxy/no_sign_in.rs")]
mod sign_in;

use std::borrow::Cow;
use std::env;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, header};

use self::exception::Exception;
use self::sign_in::SignIn;
use super::error::{Error, ErrorKind, Result};
use super::location::{Location, UserInfo};
use super::outline::basic;
use super::pool::Route;
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

/// Which requests go through which proxy. The default is none.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    except: Vec<Exception>,
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
    /// [`ErrorKind::Config`] if one of them is none of these.
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
    /// [`ErrorKind::Config`] if what one of them says is no proxy.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
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

    pub(super) fn is_none(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }
}

/// The proxies of one client, as its requests find them.
pub(super) struct ProxyRoutes {
    http: Option<Rc<Route>>,
    https: Option<Rc<Route>>,
    except: Vec<Exception>,
}

/// A way through a proxy.
#[derive(Clone, Debug)]
pub(super) struct Via {
    /// Where the proxy is.
    pub(super) location: Location,
    pub(super) proxy: Arc<Proxy>,
    /// What the proxy is asked for by itself.
    pub(super) fields: HeaderMap,
    sign_in: SignIn,
}

impl ProxyRoutes {
    pub(super) fn new(proxies: &Proxies) -> Self {
        let route = |proxy: &Option<Arc<Proxy>>| {
            let proxy = proxy.as_ref()?;
            Some(Via::route(proxy, SignIn::new(proxy)))
        };
        Self { http: route(&proxies.http), https: route(&proxies.https), except: proxies.except.clone() }
    }

    /// The same, but that everything goes through tunnels.
    pub(super) fn tunneling(&self) -> Self {
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
    pub(super) fn to(&self, location: &Location) -> Option<&Rc<Route>> {
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
    pub(super) fn fields_for(
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
    pub(super) fn can_sign_in(
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
    pub(super) fn note_next_nonce(&self, headers: &HeaderMap) {
        self.sign_in.note_next_nonce(self.location.origin(), headers);
    }

    /// Whether a request for a URL goes through a tunnel.
    pub(super) fn tunnels(&self, location: &Location) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn location(url: &str) -> Location {
        Location::parse(url, None).expect("a URL").0
    }

    fn goes_straight(except: &str, url: &str) -> bool {
        let proxies = Proxies::all(Proxy::new("http://p:1").unwrap()).except(except).unwrap();
        ProxyRoutes::new(&proxies).to(&location(url)).is_none()
    }

    #[test]
    fn what_goes_straight() {
        const CASES: &[(&str, &str, bool)] = &[
            ("", "http://a.example/", false),
            ("*", "http://a.example/", true),
            ("a.example", "http://a.example/", true),
            ("a.example", "https://b.a.example:81/", true),
            (".a.example", "http://a.example/", true),
            ("*.a.example", "http://b.a.example/", true),
            ("A.Example.", "http://a.example./", true),
            ("a.example", "http://ba.example/", false),
            ("a.example", "http://example/", false),
            ("a.example:81", "http://a.example:81/", true),
            ("a.example:81", "http://a.example/", false),
            ("a.example:443", "https://a.example/", true),
            ("b, a.example\tc", "http://a.example/", true),
            ("b\u{fc}cher.example", "http://b\u{fc}cher.example/", true),
            ("127.0.0.1", "http://127.0.0.1:8080/", true),
            ("127.0.0.1:80", "http://127.0.0.1:8080/", false),
            ("10.0.0.0/8", "http://10.1.2.3/", true),
            ("10.0.0.0/8", "http://0x0a.1.2.3/", true),
            ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("10.0.0.0/8", "http://a.example/", false),
            ("3", "http://1.2.3.3/", false),
            ("::1", "http://[::1]/", true),
            ("[::1]:81", "http://[::1]:81/", true),
            ("[::1]:81", "http://[::1]/", false),
        ];
        for (except, url, expected) in CASES {
            assert_eq!(goes_straight(except, url), *expected, "{except} {url}");
        }
        for wrong in ["a:b", "a/b", "http://a", "a:99999", "10.0.0.1/8", "a@b", "."] {
            let error = Proxies::none().except(wrong).unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }

    #[test]
    fn what_is_a_proxy() {
        for (url, origin, signs_in) in [
            ("http://p:3128", "http://p:3128", false),
            ("http://p:3128/", "http://p:3128", false),
            ("p:3128", "http://p:3128", false),
            ("P", "http://p", false),
            ("http://user:password@p:80", "http://p", true),
            ("socks5://p", "http://p:1080", false),
            ("SOCKS5H://user:password@p:80/", "http://p", true),
            ("socks5://[::1]", "http://[::1]:1080", false),
            ("socks5://[::1]:9", "http://[::1]:9", false),
            ("https://p", "https://p", false),
            ("HTTPS://ada:password@p:8443/", "https://p:8443", true),
        ] {
            let proxy = Proxy::new(url).unwrap();
            assert_eq!((&*proxy.origin, proxy.credentials.is_some()), (origin, signs_in), "{url}");
            assert!(!format!("{proxy:?}").contains("password"));
        }
        for url in [
            "ftp://p",
            "https://p/path",
            "socks4://p",
            "socks5://p/path",
            "socks5://",
            "http://p/path",
            "http://p?q",
            "",
            "http://",
        ] {
            let error = Proxy::new(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        }
        let error = Proxy::new("ftp://user:secret@p/").unwrap_err();
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert!(Proxy::new("p").unwrap().header("host", "x").is_err());
        assert!(Proxy::new("p").unwrap().header("x", "a\r\nb").is_err());
    }

    #[test]
    fn what_the_environment_says() {
        let find = |variables: &[(&str, &str)]| {
            let value = |name: &str| {
                variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
            };
            Proxies::from_variables(value).map(|proxies| {
                let origin = |proxy: &Option<Arc<Proxy>>| {
                    proxy.as_ref().map_or_else(String::new, |proxy| proxy.origin.to_string())
                };
                (origin(&proxies.http), origin(&proxies.https), proxies.except.len())
            })
        };
        let text = |http: &str, https: &str, except| Ok((http.to_owned(), https.to_owned(), except));
        let check = |variables: &[(&str, &str)], expected: std::result::Result<_, ErrorKind>| {
            assert_eq!(find(variables).map_err(|error| error.kind()), expected, "{variables:?}");
        };
        check(&[], text("", "", 0));
        check(&[("http_proxy", "a:1"), ("HTTP_PROXY", "b")], text("http://a:1", "", 0));
        check(&[("HTTP_PROXY", "b")], text("http://b", "", 0));
        check(&[("HTTP_PROXY", "b"), ("REQUEST_METHOD", "GET")], text("", "", 0));
        check(&[("http_proxy", "a"), ("REQUEST_METHOD", "GET")], text("http://a", "", 0));
        check(&[("ALL_PROXY", "a"), ("https_proxy", "b")], text("http://a", "http://b", 0));
        check(&[("https_proxy", " "), ("no_proxy", "a, b,c")], text("", "", 3));
        check(&[("all_proxy", "socks5://a")], text("http://a:1080", "http://a:1080", 0));
        check(&[("all_proxy", "socks4://a")], Err(ErrorKind::Config));
        check(&[("no_proxy", "a/b")], Err(ErrorKind::Config));
    }
}
