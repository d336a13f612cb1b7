//! The client itself: what its requests on one core share.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use http::Method;
use http::header::CONNECTION;
use ringhttp_runtime::Core;

use super::adaptive_limit::HostLimit;
use super::circuit::{CircuitState, Circuits};
use super::config::ClientConfig;
use super::connector::Connector;
use super::cookie_jar::CookieJar;
use super::error::{Error, ErrorKind, Result};
use super::location::Location;
use super::middleware::{Middleware, Next, Request};
use super::pool::{Connections, Key};
use super::reconnect::{ReconnectConfig, ReconnectingWebSocket};
use super::request::RequestBuilder;
use super::response::Response;
use super::retry::Allowance;
use super::settings::Settings;
use super::sockets::Sockets;
use super::stats::{ClientStats, Counters};
use super::trace::{RequestId, Timings, Trace, Tracer};
use super::websocket::WebSocketRequest;
use crate::conn::websocket::WebSocketStats;
use crate::proto::http1::{DefaultFields, elements};

/// A client of one core: its connections, its cookies, what its requests have in common. Cloning gives another handle to the
/// same; a core that needs one makes its own, from a clone of one configuration.
///
/// Nothing is polled for a client but its requests: an upload goes on while its answer is waited for or read. When the last
/// handle and the last answer are gone, its connections are closed.
#[derive(Clone)]
pub struct Client {
    pub(super) shared: Rc<Shared>,
    trace: Option<Rc<dyn Trace>>,
    /// The outermost first.
    pub(super) middleware: Option<Rc<[Rc<dyn Middleware>]>>,
}

/// What the handles of one client share.
pub(super) struct Shared {
    pub(super) core: Core,
    pub(super) config: ClientConfig,
    pub(super) settings: Settings,
    pub(super) defaults: DefaultFields,
    /// The fields of every request ask the server to close.
    pub(super) closes: bool,
    pub(super) connections: Connections,
    pub(super) connector: Connector,
    pub(super) cookies: CookieJar,
    pub(super) counters: Counters,
    pub(super) allowance: Allowance,
    pub(super) circuits: Option<Circuits>,
    pub(super) sockets: Rc<Sockets>,
    next_request: Cell<u64>,
}

impl Client {
    /// A client on a core.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if a value in `config` cannot work: the error names the field.
    pub fn new(core: &Core, config: ClientConfig) -> Result<Self> {
        config.check()?;
        let defaults = DefaultFields::new(config.fields());
        let defaults = defaults.map_err(|misuse| Error::new(ErrorKind::Config).with_source(misuse))?;
        let closes =
            elements(defaults.fields(), CONNECTION).any(|option| option.eq_ignore_ascii_case(b"close"));
        let shared = Shared {
            core: core.clone(),
            closes,
            settings: Settings::new(&config),
            defaults,
            connections: Connections::new(core, &config),
            connector: Connector::new(core, &config),
            cookies: CookieJar::new(),
            counters: Counters::default(),
            circuits: config.circuit_breaker.as_ref().map(|config| Circuits::new(config, core.timers())),
            allowance: Allowance::new(&config.retry_budget, core.timers()),
            sockets: Rc::default(),
            next_request: Cell::new(0),
            config,
        };
        Ok(Self { shared: Rc::new(shared), trace: None, middleware: None })
    }

    /// The same client, whose requests through this handle (and its clones) tell `trace` what they do.
    #[must_use]
    pub fn with_trace(&self, trace: impl Trace + 'static) -> Self {
        Self { trace: Some(Rc::new(trace)), ..self.clone() }
    }

    /// The same client, whose requests through this handle (and its clones) go through `middleware`, WebSockets' included: an async
    /// function of the request and of what it does [next](Next), which may change the request, answer it by an error, send it more
    /// than once, or look at the answer. The one that was added first is the outermost. See [`middleware`](super::middleware) for
    /// those that are there.
    ///
    /// The time of a request (`ClientConfig::timeout`) is that of all that its middleware does. Redirects and what is sent again
    /// because its connection was gone happen further in.
    #[must_use]
    pub fn with(&self, middleware: impl AsyncFn(Request, Next<'_>) -> Result<Response> + 'static) -> Self {
        let more: Rc<dyn Middleware> = Rc::new(middleware);
        let chain = self.middleware.iter().flat_map(|chain| chain.iter().cloned());
        Self { middleware: Some(chain.chain([more]).collect()), ..self.clone() }
    }

    /// A GET.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A HEAD.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A POST.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// A PUT.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// A PATCH.
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// A DELETE.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// An OPTIONS.
    pub fn options(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::OPTIONS, url)
    }

    /// A request of any method, to be filled in and sent. `url` is absolute, or relative to `ClientConfig::base_url`: text, or a
    /// [`Url`](super::Url). A CONNECT asks the URL's own host and port for a tunnel.
    ///
    /// What is wrong with the URL is told when the request is sent.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        let located = Location::parse(url.as_ref(), self.shared.config.base_url.as_ref());
        RequestBuilder::new(self.clone(), method, located)
    }

    /// A WebSocket to be opened: see [`WebSocketRequest`]. `url` is `ws`, `wss`, `http` or `https`, or relative to
    /// `ClientConfig::base_url`.
    ///
    /// What is wrong with the URL is told by [`WebSocketRequest::connect`].
    pub fn websocket(&self, url: impl AsRef<str>) -> WebSocketRequest {
        WebSocketRequest::new(self, url.as_ref())
    }

    /// A WebSocket that is opened again when it is lost. `url` as that of [`websocket`](Self::websocket). The first try begins with
    /// the first `receive`.
    #[must_use]
    pub fn reconnecting_websocket(
        &self,
        url: impl AsRef<str>,
        config: ReconnectConfig,
    ) -> ReconnectingWebSocket {
        ReconnectingWebSocket::new(self.clone(), url.as_ref(), config)
    }

    /// What it is set to.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// Its cookies. They are kept and sent by themselves if `ClientConfig::cookies` says so.
    #[must_use]
    pub fn cookies(&self) -> &CookieJar {
        &self.shared.cookies
    }

    /// What it has done so far, and has now; its `Display` is one line about its health.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        let Shared { connections, counters, connector, .. } = &*self.shared;
        let circuits = self.shared.circuits.as_ref();
        let (pool, names) = (connections.stats(), connector.resolver.stats());
        let (limits_raised, limits_lowered) = connections.limit_changes();
        ClientStats {
            requests: counters.requests.get(),
            errors: counters.errors.get(),
            redirects: counters.redirects.get(),
            resent: counters.resent.get(),
            retries: counters.retries.get(),
            retries_refused: counters.retries_refused.get(),
            circuits_opened: circuits.map_or(0, Circuits::opened),
            circuit_refusals: circuits.map_or(0, Circuits::refused),
            circuits_open: circuits.map_or(0, Circuits::open_now),
            limits_raised,
            limits_lowered,
            acquired: pool.acquired.get(),
            reused: pool.reused.get(),
            made: pool.made.get(),
            waits: pool.waits.get(),
            waited: pool.waited.get(),
            wait_timeouts: pool.timeouts.get(),
            dns_hits: names.hits.get() + names.shared.get(),
            dns_lookups: names.fills.get(),
            in_use: connections.in_use(),
            idle: connections.idle(),
            waiting: connections.waiting(),
            closed: connections.closed(),
        }
    }

    /// The servers that have failed lately, as `scheme://host:port`, in no order: whether they are left alone. None without
    /// `ClientConfig::circuit_breaker`.
    #[must_use]
    pub fn circuits(&self) -> Vec<(String, CircuitState)> {
        self.shared.circuits.as_ref().map(Circuits::states).unwrap_or_default()
    }

    /// The servers whose limits are found out, in no order: how many requests may be under way to each, and are. None without
    /// `ClientConfig::adaptive_limit`. Servers that are reached in different ways (TLS, a tunnel, a Unix socket) have a limit for each.
    #[must_use]
    pub fn host_limits(&self) -> Vec<HostLimit> {
        self.shared.connections.host_limits()
    }

    /// What its WebSockets have done, and how many are open.
    #[must_use]
    pub fn websocket_stats(&self) -> &WebSocketStats {
        &self.shared.sockets.stats
    }

    /// Makes connections to a server before they are needed, until so many are idle or the limits allow no more. Gives how many
    /// it made.
    ///
    /// # Errors
    /// Of the first connection that could not be made; those that were made stay.
    ///
    /// # Cancellation
    /// What is being made is given up; what was made stays.
    pub async fn prewarm(&self, url: impl AsRef<str>, count: usize) -> Result<usize> {
        let shared = &self.shared;
        let (location, _) = Location::parse(url.as_ref(), shared.config.base_url.as_ref())?;
        let route = shared.settings.route_to(&location);
        let key = Key::new(&location, route, shared.settings.tls.as_ref());
        let tracer = self.tracer();
        // Held until all are made: a connection that is given back would be what is found next.
        let (mut held, mut made) = (Vec::new(), 0);
        while held.len() < count {
            let Some(mut lease) = shared.connections.try_lease(&key)? else { break };
            lease.set_aside();
            if lease.connection().is_none() {
                let (settings, mut timings) = (&shared.settings, Timings::default());
                let route = route.map(|route| &**route);
                let connect =
                    shared.connector.connect(&location, route, settings, None, &mut timings, &tracer);
                lease.fill(Box::pin(connect).await.map_err(|error| error.at(&location))?);
                made += 1;
            }
            held.push(lease);
        }
        Ok(made)
    }

    /// Closes the client: idle connections now, the others behind their exchanges, which are waited for. Requests that wait
    /// for a connection, and those that are begun later, fail with [`ErrorKind::Closed`]. WebSockets are closed with 1001, and
    /// waited for, each for its `close_timeout` at the longest.
    ///
    /// An answer that is held and not read is an exchange under way: put a time limit around the call if that may be.
    ///
    /// # Cancellation
    /// It is closed all the same; nobody waits for the exchanges.
    pub async fn close(&self) {
        self.shared.connections.close();
        self.shared.sockets.stop();
        self.shared.connections.ended().await;
        // The kernel closes behind the operations that are given up: let it.
        for _ in 0..CLOSE_TURNS {
            self.shared.core.yield_now().await;
        }
    }

    pub(super) fn tracer(&self) -> Tracer {
        if self.trace.is_none() {
            return Tracer::default();
        }
        let number = self.shared.next_request.get() + 1;
        self.shared.next_request.set(number);
        Tracer::new(self.trace.as_ref(), RequestId(number))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("in_use", &self.shared.connections.in_use())
            .field("idle", &self.shared.connections.idle())
            .finish_non_exhaustive()
    }
}

/// Turns of the core in which a socket is closed whose read is given up: the cancellation, its completion, the close.
const CLOSE_TURNS: usize = 3;
