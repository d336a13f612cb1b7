//! The client's way to a WebSocket: a GET, the checks of its answer, and a task that drives what comes of it.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method};

use super::error::{Error, ErrorKind, Result};
use super::proxy::Proxies;
use super::request::RequestBuilder;
use super::response::Response;
use super::session::Client;
use crate::conn::websocket::{Opening, WebSocketConfig};
use crate::websocket::WebSocket;

/// A WebSocket to be opened: see [`Client::websocket`].
///
/// What is wrong with a part is told by [`connect`](Self::connect).
///
/// ```no_run
/// # async fn example(client: ringhttp::Client) -> ringhttp::Result<()> {
/// use ringhttp::WebSocketConfig;
/// use std::time::Duration;
///
/// let mut config = WebSocketConfig::default();
/// config.heartbeat = Some(Duration::from_secs(30));
/// let mut socket = client
///     .websocket("ws://127.0.0.1:8080/ws")
///     .bearer_auth("token")
///     .timeout(Some(Duration::from_secs(10)))
///     .config(config)
///     .connect()
///     .await?;
/// socket.send("hello").await?;
/// while let Some(message) = socket.receive().await? {
///     println!("{message:?}");
/// }
/// socket.close().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a WebSocket is not opened before `connect`"]
pub struct WebSocketRequest {
    request: RequestBuilder,
    config: WebSocketConfig,
}

impl WebSocketRequest {
    pub(super) fn new(client: &Client, url: &str) -> Self {
        let request = match http_url(url) {
            Some(url) => client.request(Method::GET, url),
            None => client.request(Method::GET, url),
        };
        Self { request, config: WebSocketConfig::default() }
    }

    /// Sets the limits, deadlines and choices of the socket. Default: as `WebSocketConfig::default()`.
    pub fn config(mut self, config: WebSocketConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the heartbeat, unless the configuration has one.
    pub(super) fn with_heartbeat(mut self, heartbeat: Option<Duration>) -> Self {
        self.config.heartbeat = self.config.heartbeat.or(heartbeat);
        self
    }

    /// Sets what every request has, and this type has no method for: another timeout, a priority.
    ///
    /// ```
    /// # fn example(client: &ringhttp::Client) {
    /// use ringhttp::client::Priority;
    ///
    /// let socket = client.websocket("ws://a.example/").request(|request| request.priority(Priority::High));
    /// # }
    /// ```
    pub fn request(mut self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        self.request = change(self.request);
        self
    }

    /// Sets a field, in place of those of its name. `Connection`, `Upgrade` and `Sec-WebSocket-…` are the handshake's own business.
    pub fn header(
        self,
        name: impl TryInto<HeaderName, Error: Into<http::Error>>,
        value: impl TryInto<HeaderValue, Error: Into<http::Error>>,
    ) -> Self {
        self.request(|request| request.header(name, value))
    }

    /// Sets fields, each in place of those of its name.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.request(|request| request.headers(headers))
    }

    /// Adds to the query of the URL: pairs, a map, or a struct whose fields are names.
    pub fn query(self, query: &(impl serde::Serialize + ?Sized)) -> Self {
        self.request(|request| request.query(query))
    }

    /// Signs in by user and password (RFC 7617). User and password of the URL do the same.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.request(|request| request.basic_auth(user, password))
    }

    /// Signs in by a token (RFC 6750).
    pub fn bearer_auth(self, token: &str) -> Self {
        self.request(|request| request.bearer_auth(token))
    }

    /// Adds a cookie, beside those of the jar.
    pub fn cookie(self, name: &str, value: &str) -> Self {
        self.request(|request| request.cookie(name, value))
    }

    /// Sets the time of the handshake, in place of `ClientConfig::timeout`; `None` takes it away. An open socket has the
    /// deadlines of its [`WebSocketConfig`].
    pub fn timeout(self, timeout: Option<Duration>) -> Self {
        self.request(|request| request.timeout(timeout))
    }

    /// Opens it over a Unix socket, whatever host the URL names, in place of `ClientConfig::unix_socket`.
    pub fn unix_socket(self, path: impl AsRef<Path>) -> Self {
        self.request(|request| request.unix_socket(path))
    }

    /// Opens it through these proxies, in place of `ClientConfig::proxies`. A WebSocket goes through a tunnel in any case
    /// (RFC 6455 §4.1).
    pub fn proxies(self, proxies: &Proxies) -> Self {
        self.request(|request| request.proxies(proxies))
    }

    /// Opens it (RFC 6455 §4.1). Redirects are followed, as those of other requests are, and to `ws` and `wss` URLs as well. Messages that come right behind the
    /// answer are not lost.
    ///
    /// The socket is driven by a task of the core, which answers Pings and keeps the deadlines whatever the application does
    /// meanwhile. Its connection keeps its place among the client's (`limit`, `limit_per_host`) until it has ended. It is closed with
    /// 1001 by [`Client::close`], by the stop of the core and by being dropped. That task ends with the bodies of the core: one that
    /// returns without waiting, by `socket.close()` or `client.close()`, cuts the closing handshake short.
    ///
    /// # Errors
    /// [`ErrorKind::WebSocket`] if the server answers anything but a good 101, with the status and the fields of the answer;
    /// [`ErrorKind::Request`] if a value in the configuration cannot work; and as [`RequestBuilder::send`].
    ///
    /// # Cancellation
    /// The request is given up where it is, and its connection is closed.
    pub async fn connect(self) -> Result<WebSocket> {
        let Self { request, config } = self;
        let unusable = |text: String| Error::new(ErrorKind::Request).with_text(text);
        let opening = Opening::new(config).map_err(unusable)?;
        let client = request.client.clone();
        let answer = Box::pin(request.opening(&opening).send()).await?;
        open(&client, opening, answer)
    }
}

/// Makes a socket of a good answer.
fn open(client: &Client, opening: Opening, answer: Response) -> Result<WebSocket> {
    let agreed = match opening.check(answer.status(), answer.headers()) {
        Ok(agreed) => agreed,
        Err(fault) => return Err(answer.no_websocket(fault)),
    };
    let (upgraded, lease) = answer.upgrade_in_place()?;
    if lease.is_closed() {
        return Err(Error::new(ErrorKind::Closed));
    }
    let shared = &client.shared;
    let stats = Rc::clone(&shared.sockets.stats);
    let session = opening.session(upgraded, agreed, shared.core.timers(), stats);
    let session = session.ok_or_else(|| Error::new(ErrorKind::Disconnected))?;
    shared.sockets.drive(&shared.core, &session, lease);
    Ok(WebSocket::new(session))
}

/// The URL in HTTP's words, if it is one in those of WebSocket (RFC 6455 §3).
fn http_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once(':')?;
    if scheme.eq_ignore_ascii_case("ws") {
        Some(format!("http:{rest}"))
    } else if scheme.eq_ignore_ascii_case("wss") {
        Some(format!("https:{rest}"))
    } else {
        None
    }
}

impl fmt::Debug for WebSocketRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketRequest").field("request", &self.request).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_3_urls() {
        assert_eq!(http_url("ws://a:81/x?y").as_deref(), Some("http://a:81/x?y"));
        assert_eq!(http_url("WSS://a").as_deref(), Some("https://a"));
        for other in ["http://a/", "https://a/", "/ws://a", "wsx://a", "", "ws"] {
            assert_eq!(http_url(other), None, "{other}");
        }
    }
}
