//! A request's way, from its outline to the head of its answer: middleware → deadline → cookies → connection → exchange → redirect.
#![forbid(unsafe_code)]

mod again;

use std::cell::Cell;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant as ExactInstant;

use http::Method;
#[cfg(feature = "compression")]
use http::header::{ACCEPT_ENCODING, RANGE};
use http::header::{AUTHORIZATION, CONNECTION, HeaderName, HeaderValue};
use ringhttp_runtime::deadline;
use ringhttp_runtime::pool::PoolError;
use ringhttp_runtime::time::Instant;

#[cfg(feature = "compression")]
use super::compress::Compress;
use super::error::{Error, ErrorKind, Result};
use super::middleware;
use super::outline::Outline;
use super::pool::{Key, Lease};
use super::redirect::Redirected;
use super::response::{Answer, Parts, Response};
use super::session::{Client, Shared};
use super::settings::Settings;
use super::spare;
use super::trace::{Timings, Tracer, now};
use super::tunnel;
use crate::conn::client::{ClientConnection, CloseReason, ExchangeLimits, Failure, Outgoing, Unanswered};
use crate::conn::count;
use crate::proto::http1::ImpliedRequest;

/// Sends a request through the middleware that there is.
pub(super) async fn send(client: &Client, outline: Result<Outline>) -> Result<Response> {
    let (shared, tracer) = (&client.shared, client.tracer());
    match (outline, &client.middleware) {
        (Ok(outline), None) => go(shared, outline, &tracer, &Cell::new(0)).await,
        (Ok(outline), Some(chain)) => Box::pin(middleware::through(chain, shared, outline, &tracer)).await,
        (Err(error), _) => {
            count(&shared.counters.requests);
            Err(failed(shared, &tracer, error))
        }
    }
}

/// Sends a request to its server; counts and tells how it went. `tried`: tries that were begun, of what its middleware sent before, too.
pub(super) async fn go(
    shared: &Rc<Shared>,
    outline: Outline,
    tracer: &Tracer,
    tried: &Cell<u32>,
) -> Result<Response> {
    count(&shared.counters.requests);
    let result = Run::new(shared, outline, tracer, tried).run().await;
    result.map_err(|error| failed(shared, tracer, error))
}

/// Counts a failed request, and tells of it.
pub(super) fn failed(shared: &Shared, tracer: &Tracer, error: Error) -> Error {
    count(&shared.counters.errors);
    tracer.tell(|trace, request| trace.request_exception(request, &error));
    error
}

/// One request on its way, redirects included.
struct Run<'a> {
    shared: &'a Rc<Shared>,
    outline: Outline,
    tracer: &'a Tracer,
    started: ExactInstant,
    /// When it has to be over.
    until: Option<Instant>,
    /// Names of the client's own fields that are left out.
    without: Vec<HeaderName>,
    /// The server is asked whether it wants the body.
    expects_continue: bool,
    /// Tries that were begun.
    tries: u32,
    /// The same, with those of what the middleware sent before.
    tried: &'a Cell<u32>,
    /// There was a place for the exchange among the connections.
    has_place: bool,
    /// How often it was sent again to sign in at a proxy that forwards it.
    proxy_met: u32,
    history: Vec<Redirected>,
}

impl<'a> Run<'a> {
    fn new(shared: &'a Rc<Shared>, mut outline: Outline, tracer: &'a Tracer, tried: &'a Cell<u32>) -> Self {
        let settings = outline.settings(shared);
        let own = settings.timeout.map(|timeout| shared.core.timers().now() + timeout);
        let until = own.into_iter().chain(deadline::current()).min();
        let keep_alive = settings.keep_alive;
        let mut without = settings.without.clone();
        let expects_continue = settings.expect_continue || outline.expects_continue();
        match keep_alive {
            Some(true) if shared.closes => without.push(CONNECTION),
            Some(false) => {
                outline.headers.entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
            }
            _ => {}
        }
        if !without.contains(&AUTHORIZATION) {
            outline.name_user(&shared.config.netrc, shared.defaults.fields());
        }
        let (started, history) = (now(), Vec::new());
        let mut run = Self {
            shared,
            outline,
            tracer,
            started,
            until,
            without,
            expects_continue,
            tries: 0,
            tried,
            has_place: false,
            proxy_met: 0,
            history,
        };
        run.begin_try();
        #[cfg(feature = "compression")]
        let run = run.settle_encoding().settle_compression();
        run
    }

    fn begin_try(&mut self) {
        self.tries += 1;
        self.tried.set(self.tried.get().saturating_add(1));
    }

    fn settings(&self) -> &Settings {
        self.outline.settings(self.shared)
    }

    /// What is accepted follows what this request says about decompressing.
    #[cfg(feature = "compression")]
    fn settle_encoding(mut self) -> Self {
        let is_settled = self.outline.headers.contains_key(ACCEPT_ENCODING)
            || self.shared.config.default_headers.contains_key(ACCEPT_ENCODING)
            || self.without.contains(&ACCEPT_ENCODING);
        if self.outline.headers.contains_key(RANGE) && self.settings().decompress && !is_settled {
            // A part of what is compressed is not unpacked.
            self.outline.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            return self;
        }
        if let Some(own) = &self.outline.own_settings {
            let defaults = self.shared.defaults.fields();
            match (own.decompress, self.shared.config.decompress) {
                (false, true) => self.without.push(ACCEPT_ENCODING),
                (true, false) if !defaults.contains_key(ACCEPT_ENCODING) => {
                    let names = super::decode::accepted();
                    self.outline.headers.entry(ACCEPT_ENCODING).or_insert(names);
                }
                _ => {}
            }
        }
        self
    }

    #[cfg(feature = "compression")]
    fn settle_compression(mut self) -> Self {
        let Outline { headers, body, make_body, own_settings, .. } = &mut self.outline;
        let settings = own_settings.as_deref().unwrap_or(&self.shared.settings);
        let length = if make_body.is_some() { None } else { body.length() };
        self.outline.compress = Compress::settle(settings, length, headers);
        self
    }

    async fn run(mut self) -> Result<Response> {
        self.tracer.tell(|trace, request| {
            trace.request_start(request, &self.outline.method, self.outline.location.as_str());
        });
        self.shared.allowance.note_request();
        loop {
            if !self.outline.rate_limits.is_empty() {
                Box::pin(self.wait_for_rate()).await;
            }
            let is_idempotent = is_idempotent(&self.outline.method);
            let result = self.exchange_unless_open().await;
            let result = result.map_err(|error| error.at(&self.outline.location).of_request(is_idempotent));
            let result = if self.settings().retry.is_some() {
                match self.retries(result, is_idempotent) {
                    ControlFlow::Break(result) => result,
                    ControlFlow::Continue((failure, delay)) => {
                        Box::pin(self.wait_for_retry(failure, delay)).await;
                        continue;
                    }
                }
            } else {
                result
            };
            let answer = result?;
            if self.is_expectation_refused(&answer) {
                self.ask_no_more(answer).await;
                continue;
            }
            if self.has_signed_in(&answer) {
                self.throw_away(answer).await;
                continue;
            }
            self.note_next_nonces(&answer);
            let next = self.follows(&answer).map_err(|error| error.at(&self.outline.location))?;
            match next {
                None => return self.finish(answer),
                Some(next) => Box::pin(self.redirect(answer, next)).await?,
            }
        }
    }

    fn finish(self, mut answer: Answer) -> Result<Response> {
        let Self { shared, outline, tracer, history, tried, .. } = self;
        let status = answer.parts.head.status;
        answer.parts.attempts = tried.get();
        tracer.tell(|trace, request| trace.request_end(request, status, &answer.parts.timings));
        let settings = outline.own_settings.as_deref().unwrap_or(&shared.settings);
        Response::new(shared, answer, outline.location, settings, tracer, history)
    }

    /// Waits for its turn by each `middleware::rate_limit` that it has passed, whose time is that of the whole request.
    async fn wait_for_rate(&self) {
        for limit in &self.outline.rate_limits {
            limit.wait(self.shared.core.timers(), self.outline.location.origin()).await;
        }
    }

    /// One exchange, unless the server is to be left alone.
    async fn exchange_unless_open(&mut self) -> Result<Answer> {
        let Some(circuits) = self.shared.circuits.as_ref().filter(|_| self.settings().circuit_breaker) else {
            return self.exchange().await;
        };
        let pass = circuits.enter(self.outline.location.origin())?;
        let result = self.exchange().await;
        let has_failed = match &result {
            Ok(answer) => circuits.is_status_of_failure(answer.parts.head.status),
            Err(error) if error.kind().is_of_server() && self.has_place => true,
            // It says nothing about the server.
            Err(_) => return result,
        };
        pass.note(self.outline.location.origin(), has_failed);
        result
    }

    /// One exchange: a place, a connection, the request, the head of the answer.
    async fn exchange(&mut self) -> Result<Answer> {
        let mut timings = Timings::default();
        self.has_place = false;
        let mut lease = self.lease(&mut timings).await?;
        self.has_place = true;
        match self.exchange_over(&mut lease, timings).await {
            Ok(parts) => {
                lease.note_answer(parts.head.status, parts.timings.first_byte);
                Ok(Answer { parts, lease })
            }
            Err(error) => {
                lease.note_error(&error);
                Err(error)
            }
        }
    }

    /// A connection that had been idle and is gone without an answer is replaced, once, by a new one.
    async fn exchange_over(&mut self, lease: &mut Lease, mut timings: Timings) -> Result<Box<Parts>> {
        let mut has_resent = false;
        loop {
            let was_idle = lease.connection().is_some();
            if was_idle {
                timings.reused = true;
                self.tracer.tell(|trace, request| trace.connection_reused(request));
            } else {
                lease.fill(Box::pin(self.connect(&mut timings)).await?);
            }
            let connection = lease.connection().expect("filled above");
            let mut parts = spare::take();
            let started = now();
            self.begin(connection)?;
            let result = head(connection, &mut parts, self.tracer).await;
            if let Some(body) = connection.take_unsent_body() {
                self.outline.put_body_back(body);
            }
            let Err(failure) = result else {
                timings.first_byte = started.elapsed();
                timings.total = self.started.elapsed();
                parts.timings = timings;
                parts.interim = connection.interim();
                return Ok(parts);
            };
            spare::give(parts);
            let unanswered = connection.unanswered();
            if has_resent || !self.may_send_again(was_idle, &failure, unanswered) {
                return Err(Error::of_failure(failure, unanswered.is_none()));
            }
            has_resent = true;
            count(&self.shared.counters.resent);
            timings = Timings { pool_wait: timings.pool_wait, ..Timings::default() };
            lease.empty(CloseReason::Failed);
        }
    }

    /// A connection that is idle, or the right to make one; if need be it is waited for.
    async fn lease(&self, timings: &mut Timings) -> Result<Lease> {
        let settings = self.settings();
        let location = &self.outline.location;
        let route = settings.route_to(location);
        if route.is_some_and(|route| route.forwarder(location).is_some()) {
            // An idle connection to the proxy leads to any server.
            self.shared.connector.resolver.check(location)?;
        }
        let key = Key::new(location, route, settings.tls.as_ref());
        if self.until.is_some_and(|until| until <= self.shared.core.timers().now()) {
            return Err(Error::new(ErrorKind::Timeout));
        }
        match self.shared.connections.try_lease(&key)? {
            Some(lease) => Ok(lease),
            None => Box::pin(self.wait_for_lease(&key, timings)).await,
        }
    }

    async fn wait_for_lease(&self, key: &Key, timings: &mut Timings) -> Result<Lease> {
        let settings = self.settings();
        let own = settings.pool_timeout.map(|timeout| self.shared.core.timers().now() + timeout);
        let (until, late) = match (own, self.until) {
            (Some(own), Some(until)) if until < own => (Some(until), ErrorKind::Timeout),
            (Some(own), _) => (Some(own), ErrorKind::PoolTimeout),
            (None, until) => (until, ErrorKind::Timeout),
        };
        let started = now();
        self.tracer.tell(|trace, request| trace.connection_queued_start(request));
        let lease = self.shared.connections.wait(key, settings.priority, until).await;
        timings.pool_wait = started.elapsed();
        self.tracer.tell(|trace, request| trace.connection_queued_end(request));
        lease.map_err(|error| match error {
            PoolError::Timeout if late == ErrorKind::Timeout => {
                Error::new(late).with_text("it was waiting for a connection still")
            }
            PoolError::Timeout => Error::new(late),
            error => error.into(),
        })
    }

    async fn connect(&self, timings: &mut Timings) -> Result<ClientConnection> {
        let settings = self.settings();
        let route = settings.route_to(&self.outline.location).map(|route| &**route);
        self.tracer.tell(|trace, request| trace.connection_create_start(request));
        let connection = self
            .shared
            .connector
            .connect(&self.outline.location, route, settings, self.until, timings, self.tracer)
            .await?;
        self.tracer.tell(|trace, request| trace.connection_create_end(request));
        Ok(connection)
    }

    /// Queues the request on its connection.
    fn begin(&mut self, connection: &mut ClientConnection) -> Result<()> {
        let (shared, tracer) = (self.shared, self.tracer);
        let body = self.outline.take_body();
        #[cfg(feature = "digest-auth")]
        self.outline.sign(&body)?;
        let expects_continue = self.expects_continue && body.length() != Some(0);
        let settings = self.settings();
        let limits = ExchangeLimits {
            until: self.until,
            first_byte: settings.first_byte_timeout,
            read: settings.read_timeout,
            write: settings.write_timeout,
            queued_max: settings.write_buffer_bytes_max,
        };
        let cookies = if settings.cookies { shared.cookies.field_at(&self.outline.location) } else { None };
        let Outline { method, location, headers, .. } = &self.outline;
        let via = settings.route_to(location).and_then(|route| route.forwarder(location));
        let tunnel = (*method == Method::CONNECT).then(|| tunnel::target(location));
        let target = match (&tunnel, via) {
            (Some(tunnel), _) => tunnel,
            (None, Some(_)) => location.absolute(),
            (None, None) => location.target(),
        };
        let more = via.map(|via| via.fields_for(method, target, body.as_bytes())).transpose()?;
        let more = more.as_deref().filter(|fields| !fields.is_empty());
        let with_more = (cookies.is_some() || more.is_some() || expects_continue)
            .then(|| self.outline.headers_with(cookies.as_deref(), more, expects_continue))
            .transpose()?;
        let request = Outgoing {
            method,
            target,
            headers: with_more.as_ref().unwrap_or(headers),
            implied: ImpliedRequest {
                host: Some(tunnel.as_deref().unwrap_or_else(|| location.authority())),
                defaults: Some(&shared.defaults),
                without: &self.without,
            },
            closes: settings.keep_alive.map_or(shared.closes, |keep_alive| !keep_alive),
            continue_wait: expects_continue.then_some(settings.continue_timeout),
            body,
        };
        connection.limit_answer(settings.answer_limits);
        let begun = connection.begin(request, limits);
        begun.map_err(|failure| Error::of_failure(failure, false))?;
        tracer.tell(|trace, request| trace.request_headers_sent(request));
        Ok(())
    }

    /// Whether a request may be sent once more, whose connection is lost: the connection had been idle, behind another request
    /// or made ahead of any, so the server may have closed it before it could see the request; no byte of an answer came; and
    /// nothing of the request was sent, or it does no harm to do it twice (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    fn may_send_again(&self, was_idle: bool, failure: &Failure, unanswered: Option<Unanswered>) -> bool {
        let is_harmless = match unanswered {
            Some(Unanswered::Unsent) => true,
            Some(Unanswered::Sent) => is_idempotent(&self.outline.method),
            None => false,
        };
        let is_asked_for = self.settings().retry_lost && !self.outline.is_body_spent;
        is_asked_for && was_idle && is_harmless && failure.is_disconnect()
    }
}

/// Waits for the head of the answer, and tells what of the request leaves meanwhile.
async fn head(connection: &mut ClientConnection, parts: &mut Parts, tracer: &Tracer) -> Result<(), Failure> {
    let mut told = 0;
    poll_fn(|cx| {
        let polled = connection.poll_head(cx, &mut parts.head);
        if tracer.is_set() {
            let sent = connection.sent();
            if sent > told {
                told = sent;
                tracer.tell(|trace, request| trace.request_chunk_sent(request, sent));
            }
        }
        polled
    })
    .await
}

/// RFC 9110 §9.2.2.
pub(super) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}
