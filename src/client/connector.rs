//! Making a connection: name, addresses, the first that answers, and what is to stand on it.
//!
//! The steps are [`Connector::connect`]'s, in order. Securing a connection is the last, behind the socket and the tunnel, with
//! its own time and its own kinds of error.
#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use ringhttp_runtime::Core;
use ringhttp_runtime::connect::ConnectOptions;
use ringhttp_runtime::listener::Socket;
use ringhttp_runtime::time::Instant;

use super::config::ClientConfig;
use super::error::{Error, ErrorKind};
use super::location::Location;
use super::pool::Route;
use super::proxy::Via;
use super::resolver::Resolver;
use super::settings::Settings;
use super::socks::{self, Fault};
use super::tls::Securer;
use super::trace::{Timings, Tracer, now};
use super::tunnel;
use crate::conn::client::ClientConnection;
use crate::proto::http1::Limits;
use crate::proto::socks5::Target;

/// What the connections of one client are made with.
pub(crate) struct Connector {
    core: Core,
    pub(crate) resolver: Resolver,
    options: ConnectOptions,
    limits: Limits,
    securer: Securer,
    /// Until the next address is tried beside the first.
    attempt_delay: Duration,
}

impl Connector {
    pub(crate) fn new(core: &Core, config: &ClientConfig) -> Self {
        Self {
            core: core.clone(),
            resolver: Resolver::new(core, config),
            options: config.socket.clone(),
            limits: config.limits(),
            securer: Securer::default(),
            attempt_delay: config.happy_eyeballs_delay,
        }
    }

    /// Makes a connection to where a URL leads, or to where `route` does. `until`: when the request has to be over.
    ///
    /// # Cancellation
    /// What is being made is given up.
    pub(crate) async fn connect(
        &self,
        location: &Location,
        route: Option<&Route>,
        settings: &Settings,
        until: Option<Instant>,
        timings: &mut Timings,
        tracer: &Tracer,
    ) -> Result<ClientConnection, Error> {
        let secured_proxy = route.and_then(Route::secured_proxy);
        if location.is_https() || secured_proxy.is_some() {
            self.securer.is_built_in()?;
        }
        let timeout = (settings.connect_timeout, ErrorKind::ConnectTimeout);
        let tunneler = route.and_then(|route| route.tunneler(location));
        let connecting = self.in_time(timeout, until, async {
            if let Some(via) = tunneler.filter(|via| via.proxy.is_socks()) {
                return Box::pin(self.through_socks(location, via, route, timings, tracer)).await;
            }
            let mut met = 0;
            loop {
                let socket = self.socket(location, route, timings, tracer).await?;
                let mut connection = self.over(socket);
                if let Some(via) = secured_proxy {
                    let securing = self.securer.secure(connection, via.proxy.own_tls(), &via.location);
                    connection = Box::pin(securing).await?;
                }
                let Some(via) = tunneler else { return Ok(connection) };
                // Twice at the most: a proxy is not told again what it has refused.
                if let Some(tunnel) = tunnel::open(connection, via, location, self.limits, &mut met).await? {
                    return Ok(tunnel);
                }
            }
        });
        let connection = connecting.await?;
        if !location.is_https() {
            return Ok(connection);
        }
        let started = now();
        tracer.tell(|trace, request| trace.tls_start(request, location.host()));
        let timeout = (settings.tls_timeout, ErrorKind::TlsTimeout);
        let securing = self.securer.secure(connection, settings.tls.as_ref(), location);
        let secured = Box::pin(self.in_time(timeout, until, securing)).await;
        timings.tls = Some(started.elapsed());
        tracer.tell(|trace, request| trace.tls_end(request, location.host()));
        secured
    }

    fn over(&self, socket: Socket) -> ClientConnection {
        ClientConnection::over_socket(socket, self.limits, self.core.buffers(), self.core.timers())
    }

    /// A connection through a SOCKS proxy, which is given the name, or the addresses that were found here, one after the other
    /// until it reaches one: with each it is spoken to anew.
    async fn through_socks(
        &self,
        location: &Location,
        via: &Via,
        route: Option<&Route>,
        timings: &mut Timings,
        tracer: &Tracer,
    ) -> Result<ClientConnection, Error> {
        if via.proxy.resolves_names() && location.ip().is_none() {
            let target = Target::Name(location.host(), location.port());
            let connection = self.over(self.socket(location, route, timings, tracer).await?);
            return socks::open(connection, via, target).await.map_err(Fault::into_error);
        }
        let mut first = None;
        for address in self.resolver.resolve(location, tracer).await? {
            let connection = self.over(self.socket(location, route, timings, tracer).await?);
            match socks::open(connection, via, Target::Address(address)).await {
                Ok(connection) => return Ok(connection),
                Err(Fault::Target(error)) => {
                    first.get_or_insert(error);
                }
                Err(Fault::Proxy(error)) => return Err(error),
            }
        }
        Err(first.expect("there is an address"))
    }

    async fn socket(
        &self,
        location: &Location,
        route: Option<&Route>,
        timings: &mut Timings,
        tracer: &Tracer,
    ) -> Result<Socket, Error> {
        let started = now();
        if let Some(path) = route.and_then(|route| route.unix_socket.as_deref()) {
            let socket = self.core.connect_unix(path).await;
            timings.connect = Some(started.elapsed());
            return socket.map_err(no_connection);
        }
        let via = route.and_then(|route| route.via.as_ref());
        let (location, addresses) = match via {
            Some(via) => {
                self.resolver.check(location)?;
                (&via.location, self.resolver.resolve_any(&via.location, tracer).await?)
            }
            None => match route.and_then(|route| route.addresses.as_deref()) {
                Some(addresses) => (location, self.resolver.allowed(location, addresses)?),
                None => (location, self.resolver.resolve(location, tracer).await?),
            },
        };
        let resolved = now();
        if location.ip().is_none() {
            timings.dns = Some(resolved - started);
        }
        let socket = self.first_of(&addresses).await;
        timings.connect = Some(resolved.elapsed());
        socket.map_err(no_connection)
    }

    /// Waits no longer than a step may take, with its own kind of error, nor than the request has time.
    async fn in_time<T>(
        &self,
        timeout: (Option<Duration>, ErrorKind),
        until: Option<Instant>,
        connecting: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let (timers, (timeout, late)) = (self.core.timers(), timeout);
        let own = timeout.map(|timeout| timers.now() + timeout);
        let (at, kind) = match (own, until) {
            (Some(own), Some(until)) if until < own => (until, ErrorKind::Timeout),
            (Some(own), _) => (own, late),
            (None, Some(until)) => (until, ErrorKind::Timeout),
            (None, None) => return connecting.await,
        };
        let deadline = timers.deadline();
        deadline.set_at(at);
        let mut connecting = pin!(connecting);
        poll_fn(|cx| match connecting.as_mut().poll(cx) {
            Poll::Pending => deadline.poll_expired(cx).map(|()| Err(Error::new(kind))),
            Poll::Ready(result) => Poll::Ready(result),
        })
        .await
    }

    /// The first connection of several addresses to stand (RFC 8305 §5): each is tried when the one before it has failed or
    /// had its time, and those that are under way when one stands are given up.
    async fn first_of(&self, addresses: &[SocketAddr]) -> io::Result<Socket> {
        if let [only] = addresses {
            return self.core.connect_tcp(*only, &self.options).await;
        }
        let delay = self.core.timers().deadline();
        let mut attempts = Attempts { left: addresses.iter(), running: Vec::new(), failure: None };
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(socket) = attempts.poll(cx) {
                    return Poll::Ready(socket);
                }
                let is_due = attempts.running.is_empty() || delay.poll_expired(cx).is_ready();
                let Some(address) = attempts.left.as_slice().first().copied().filter(|_| is_due) else {
                    return Poll::Pending;
                };
                attempts.left.next();
                attempts.running.push(Box::pin(self.core.connect_tcp(address, &self.options)));
                delay.set(self.attempt_delay);
            }
        })
        .await
    }
}

/// The attempts to reach one of several addresses.
struct Attempts<'a, F> {
    left: std::slice::Iter<'a, SocketAddr>,
    running: Vec<Pin<Box<F>>>,
    failure: Option<io::Error>,
}

impl<F: Future<Output = io::Result<Socket>>> Attempts<'_, F> {
    /// Ready when one has succeeded, or the last has failed: with the first failure, whose address was the best.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        let mut at = 0;
        while at < self.running.len() {
            match self.running[at].as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(socket)) => return Poll::Ready(Ok(socket)),
                Poll::Ready(Err(error)) => {
                    drop(self.running.remove(at));
                    self.failure.get_or_insert(error);
                }
            }
        }
        match self.failure.take_if(|_| self.running.is_empty() && self.left.len() == 0) {
            Some(failure) => Poll::Ready(Err(failure)),
            None => Poll::Pending,
        }
    }
}

fn no_connection(error: io::Error) -> Error {
    Error::new(ErrorKind::Connect).with_source(error)
}
