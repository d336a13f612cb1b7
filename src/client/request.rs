//! A request that is being made.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use ringhttp_runtime::pool::Priority;

#[cfg(feature = "compression")]
use super::compress::Compress;
use super::config::Settings;
#[cfg(feature = "digest-auth")]
use super::digest_auth::{DigestAuth, SigningIn};
use super::error::{Error, ErrorKind, Result};
use super::form_data::FormData;
use super::location::{Location, UserInfo};
use super::netrc::Netrc;
use super::pool::Route;
use super::proxy::{Proxies, ProxyRoutes};
use super::response::Response;
use super::retry::RetryConfig;
use super::send;
use super::session::{Client, Shared};
use crate::conn::Body;
use crate::conn::websocket::Opening;
#[cfg(feature = "compression")]
use crate::proto::content_coding::ContentCoding;

/// A request to be filled in and sent: see [`Client::request`].
///
/// What is wrong with a part is told by [`send`](Self::send).
///
/// ```no_run
/// # async fn example(client: ringhttp::Client) -> ringhttp::Result<()> {
/// use std::time::Duration;
///
/// let answer = client
///     .post("http://127.0.0.1:8080/orders?dry=1")
///     .query(&[("page", 2)])
///     .header("x-trace", "7")
///     .bearer_auth("token")
///     .body("two apples")
///     .timeout(Some(Duration::from_secs(2)))
///     .send()
///     .await?;
/// assert_eq!(answer.status(), 201);
/// # Ok(())
/// # }
/// ```
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    pub(super) client: Client,
    outline: Result<Outline>,
}

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
    /// In place of the client's.
    pub(super) own_settings: Option<Box<Settings>>,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, located: Result<(Location, Option<UserInfo>)>) -> Self {
        let outline = located.map(|(location, user)| {
            let mut headers = HeaderMap::new();
            if let Some(UserInfo { user, password }) = user {
                headers.insert(header::AUTHORIZATION, basic(&user, &password));
            }
            Outline {
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
                own_settings: None,
            }
        });
        Self { client, outline }
    }

    /// The URL, unless something is wrong with the request.
    pub(super) fn location(&self) -> Option<&str> {
        self.outline.as_ref().ok().map(|outline| outline.location.as_str())
    }

    fn change(mut self, change: impl FnOnce(&mut Outline) -> Result<()>) -> Self {
        if let Ok(outline) = &mut self.outline
            && let Err(error) = change(outline)
        {
            self.outline = Err(error);
        }
        self
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        if let Ok(outline) = &mut self.outline {
            let client = &self.client.shared.settings;
            set(outline.own_settings.get_or_insert_with(|| Box::new(client.clone())));
        }
        self
    }

    /// Sets a field, in place of those of its name. `Content-Length` and `Transfer-Encoding` are the body's own business.
    pub fn header(
        self,
        name: impl TryInto<HeaderName, Error: Into<http::Error>>,
        value: impl TryInto<HeaderValue, Error: Into<http::Error>>,
    ) -> Self {
        self.change(|outline| {
            let (name, value) = (name.try_into().map_err(unusable)?, value.try_into().map_err(unusable)?);
            outline.headers.insert(name, value);
            Ok(())
        })
    }

    /// Sets fields, each in place of those of its name.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.change(|outline| {
            outline.headers.extend(headers);
            Ok(())
        })
    }

    /// Leaves out a field that all requests of the client have: `User-Agent`, `Accept`, one of
    /// `ClientConfig::default_headers`.
    pub fn without_header(self, name: HeaderName) -> Self {
        self.set(|settings| settings.without.push(name))
    }

    /// Adds to the query of the URL: pairs, a map, or a struct whose fields are names.
    pub fn query(self, query: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|outline| {
            let text = serde_html_form::to_string(query).map_err(unusable_body)?;
            if !text.is_empty() {
                outline.location = outline.location.with_query(&text)?;
            }
            Ok(())
        })
    }

    /// Sets the body: text, bytes, a file, a stream ([`Body::stream`]), or the body of a request that is passed on. Text and
    /// bytes leave with their length, a stream without one chunked. It does not change `Content-Type`.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|outline| {
            outline.replace_body(body.into());
            Ok(())
        })
    }

    /// Sets the body to what a function makes, which is called for each time that it is sent: a stream can so be sent once more, where
    /// a redirect leads or by another try.
    pub fn body_from(self, make: impl Fn() -> Body + 'static) -> Self {
        self.change(|outline| {
            outline.replace_body(Body::empty());
            outline.make_body = Some(Rc::new(make));
            Ok(())
        })
    }

    /// Sets the body to a value as JSON, and `Content-Type` unless it is set.
    #[cfg(feature = "json")]
    pub fn json(self, value: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|outline| {
            let text = serde_json::to_vec(value).map_err(unusable_body)?;
            outline.set_body(text, HeaderValue::from_static("application/json"));
            Ok(())
        })
    }

    /// Sets the body to an HTML form (`application/x-www-form-urlencoded`): pairs, a map, or a struct whose fields are names.
    /// Sets `Content-Type` unless it is set.
    pub fn form(self, form: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|outline| {
            let text = serde_html_form::to_string(form).map_err(unusable_body)?;
            outline.set_body(text, HeaderValue::from_static("application/x-www-form-urlencoded"));
            Ok(())
        })
    }

    /// Sets the body to a form with files (`multipart/form-data`, RFC 7578), and `Content-Type`, which has to name its boundary, in place of
    /// any that is set.
    pub fn multipart(self, form: FormData) -> Self {
        self.change(|outline| {
            let (content_type, body) = form.into_body()?;
            outline.replace_body(body);
            outline.headers.insert(header::CONTENT_TYPE, content_type);
            Ok(())
        })
    }

    /// Signs in by user and password (RFC 7617). User and password of the URL do the same.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.change(|outline| {
            if user.contains(':') {
                return Err(Error::new(ErrorKind::Request).with_text("a user name must not have a colon"));
            }
            outline.headers.insert(header::AUTHORIZATION, basic(user, password));
            Ok(())
        })
    }

    /// Signs in by digest authentication (RFC 7616) where the request's server asks for it; where redirects to another origin lead, nobody is
    /// signed in. In place of user and password of the URL and of `basic_auth`.
    ///
    /// The first request is answered with a challenge, and sent again: a body that can be sent only once, as a stream, gets the 401 then, unless
    /// it was held back by [`expect_continue`](Self::expect_continue). The same `auth` remembers the challenge, and its next requests are signed from the beginning.
    #[cfg(feature = "digest-auth")]
    pub fn digest_auth(self, auth: &DigestAuth) -> Self {
        self.change(|outline| {
            auth.check()?;
            outline.headers.remove(header::AUTHORIZATION);
            outline.digest = Some(Box::new(SigningIn::new(auth)));
            Ok(())
        })
    }

    /// Signs in by a token (RFC 6750).
    pub fn bearer_auth(self, token: &str) -> Self {
        self.change(|outline| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(unusable)?;
            value.set_sensitive(true);
            outline.headers.insert(header::AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Adds a cookie to this request, beside those of the jar.
    pub fn cookie(self, name: &str, value: &str) -> Self {
        self.change(|outline| {
            let is_free_of = |text: &str, bytes: &[u8]| !text.bytes().any(|byte| bytes.contains(&byte));
            if name.is_empty() || !is_free_of(name, b"=; ") || !is_free_of(value, b"; ,") {
                return Err(Error::new(ErrorKind::Request).with_text("a cookie has a byte that ends it"));
            }
            let pair = format!("{name}={value}");
            add_cookies(&mut outline.headers, &pair)
        })
    }

    /// Sets the time of the request, in place of `ClientConfig::timeout`; `None` takes it away.
    pub fn timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.timeout = timeout)
    }

    /// Sets the time to wait for a connection, in place of `ClientConfig::pool_timeout`.
    pub fn pool_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.pool_timeout = timeout)
    }

    /// Sets the time of a connect, in place of `ClientConfig::connect_timeout`.
    pub fn connect_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.connect_timeout = timeout)
    }

    /// Sets the time of securing a connection, in place of `ClientConfig::tls_timeout`.
    #[cfg(feature = "rustls")]
    pub fn tls_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.tls_timeout = timeout)
    }

    /// Sets how TLS is spoken, also where redirects lead, in place of `ClientConfig::tls`.
    #[cfg(feature = "rustls")]
    pub fn tls(self, tls: &super::ClientTls) -> Self {
        self.set(|settings| settings.tls = Some(tls.clone()))
    }

    /// Sets the time to the first byte, in place of `ClientConfig::first_byte_timeout`.
    pub fn first_byte_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.first_byte_timeout = timeout)
    }

    /// Sets the time between two reads, in place of `ClientConfig::read_timeout`.
    pub fn read_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.read_timeout = timeout)
    }

    /// Sets the time without the server taking anything, in place of `ClientConfig::write_timeout`.
    pub fn write_timeout(self, timeout: Option<Duration>) -> Self {
        self.set(|settings| settings.write_timeout = timeout)
    }

    /// Sets how many redirects are followed, in place of `ClientConfig::redirects_max`; 0 gives the redirect itself.
    pub fn redirects_max(self, redirects_max: u32) -> Self {
        self.set(|settings| settings.redirects_max = redirects_max)
    }

    /// Sets whether the server is asked first if it wants the body, in place of `ClientConfig::expect_continue`. Of a request with
    /// a field `Expect: 100-continue` of its own it is asked in any case.
    ///
    /// The body begins to leave when the server says `100 Continue`, or nothing for as long as `ClientConfig::continue_timeout`. If
    /// it answers before, the body is not sent, and as the server may still wait for it, the connection is closed. A 417 is followed
    /// by one more try that does not ask.
    pub fn expect_continue(self, expect_continue: bool) -> Self {
        self.set(|settings| settings.expect_continue = expect_continue)
    }

    /// Sets how long a body waits for the server's word, in place of `ClientConfig::continue_timeout`.
    pub fn continue_timeout(self, timeout: Duration) -> Self {
        self.set(|settings| settings.continue_timeout = timeout)
    }

    /// Sets how many bytes of the answer's body are gathered, in place of `ClientConfig::body_bytes_max`.
    pub fn body_bytes_max(self, bytes_max: usize) -> Self {
        self.set(|settings| settings.body_bytes_max = bytes_max)
    }

    /// Sets whether cookies are kept and sent, in place of `ClientConfig::cookies`.
    pub fn cookies(self, cookies: bool) -> Self {
        self.set(|settings| settings.cookies = cookies)
    }

    /// Sets whether the answer's body is decompressed, in place of `ClientConfig::decompress`.
    #[cfg(feature = "compression")]
    pub fn decompress(self, decompress: bool) -> Self {
        self.set(|settings| settings.decompress = decompress)
    }

    /// Sets how its body is compressed, however short it is, in place of `ClientConfig::compress`; `None` sends it as it is.
    #[cfg(feature = "compression")]
    pub fn compress(self, coding: Option<ContentCoding>) -> Self {
        self.set(|settings| {
            settings.compress = coding;
            settings.compress_bytes_min = 0;
        })
    }

    /// Sets whether it is sent once more if its connection is gone, in place of `ClientConfig::retry_lost`.
    pub fn retry_lost(self, retry_lost: bool) -> Self {
        self.set(|settings| settings.retry_lost = retry_lost)
    }

    /// Sets how it is tried again if it fails, in place of `ClientConfig::retry`; `None`: not at all. What is tried counts towards the
    /// client's `retry_budget`.
    pub fn retry(self, retry: Option<RetryConfig>) -> Self {
        let checked = self.change(|_| retry.as_ref().map_or(Ok(()), RetryConfig::check));
        checked.set(|settings| settings.retry = retry.map(Rc::new))
    }

    /// Sets whether it heeds `ClientConfig::circuit_breaker`, and counts for it: a look at how a server fares may not want to. Default:
    /// true.
    pub fn circuit_breaker(self, circuit_breaker: bool) -> Self {
        self.set(|settings| settings.circuit_breaker = circuit_breaker)
    }

    /// Sets who is served first when requests wait for a connection. Default: [`Priority::Normal`].
    pub fn priority(self, priority: Priority) -> Self {
        self.set(|settings| settings.priority = priority)
    }

    /// Sends it to a Unix socket, whatever host the URL names, in place of `ClientConfig::unix_socket`.
    pub fn unix_socket(self, path: impl AsRef<Path>) -> Self {
        let unix_socket = Some(Rc::from(path.as_ref()));
        self.set(|settings| settings.route = Some(Rc::new(Route { unix_socket, via: None })))
    }

    /// Sends it, and where redirects lead, through these proxies, in place of `ClientConfig::proxies`; [`Proxies::none`] sends it
    /// straight to its server. A Unix socket goes before them.
    pub fn proxies(self, proxies: &Proxies) -> Self {
        let routes = (!proxies.is_none()).then(|| Rc::new(ProxyRoutes::new(proxies)));
        self.set(|settings| settings.proxies = routes)
    }

    /// Makes it ask for a WebSocket. A proxy has no business in that: it is asked for a tunnel (RFC 6455 §4.1).
    pub(super) fn opening(self, opening: &Opening) -> Self {
        let asking = self.change(|outline| {
            opening.ask(&mut outline.headers);
            Ok(())
        });
        asking.set(|settings| {
            settings.proxies = settings.proxies.as_ref().map(|proxies| Rc::new(proxies.tunneling()));
        })
    }

    /// Sends it and waits for the head of the answer. Redirects are followed. Any status is an answer: see
    /// [`Response::error_for_status`].
    ///
    /// # Errors
    /// [`ErrorKind`] says which phase failed.
    ///
    /// # Cancellation
    /// The request is given up where it is: its place in line goes to the next, a connection that is being made or used for
    /// it is closed. The server may have seen it.
    pub async fn send(self) -> Result<Response> {
        send::send(&self.client, self.outline).await
    }
}

impl Outline {
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
            own_settings: self.own_settings.clone(),
        })
    }

    /// Another body, whatever made the one before.
    pub(super) fn replace_body(&mut self, body: Body) {
        self.body = body;
        self.make_body = None;
        self.is_body_spent = false;
    }

    fn set_body(&mut self, body: impl Into<Body>, content_type: HeaderValue) {
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

fn add_cookies(headers: &mut HeaderMap, pairs: &str) -> Result<()> {
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

fn unusable(error: impl Into<http::Error>) -> Error {
    Error::new(ErrorKind::Request).with_source(error.into())
}

fn unusable_body(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Request).with_source(error)
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RequestBuilder");
        match &self.outline {
            Ok(outline) => shown.field("method", &outline.method).field("url", &outline.location),
            Err(error) => shown.field("error", error),
        };
        shown.finish_non_exhaustive()
    }
}
