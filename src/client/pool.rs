//! The connections of one client: who may have one, which are idle, and what became of them.
//!
//! The rules are `runtime::pool`'s. What is added here: what makes two requests share a connection ([`Key`]), the watch on
//! idle connections, and the reasons why connections end.
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::StatusCode;
use ringhttp_runtime::Core;
use ringhttp_runtime::pool::{AcquireOptions, Place, Pool, PoolError, PoolStats, Priority};
use ringhttp_runtime::time::Instant;

use super::adaptive_limit::{AdaptiveLimits, HostLimit, Server, Watch};
use super::config::ClientConfig;
use super::error::{Error, ErrorKind};
use super::location::Location;
use super::proxy::Via;
use super::tls::ClientTls;
use crate::conn::client::{ClientConnection, CloseCounts, CloseReason};

/// Where a connection leads. Requests whose keys are equal may go over the same connection, one after the other.
///
/// The origin is the front of a URL's text, which is shared and not copied to look a key up. A clone has a text of its own,
/// so that a pool does not hold on to whole URLs.
pub(super) struct Key {
    text: Rc<str>,
    /// Scheme, host and port: so much of the text.
    origin_end: usize,
    route: Option<Rc<Route>>,
    /// How the server is known to be the one that is meant.
    tls: Option<ClientTls>,
}

/// What leads elsewhere than the URL says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Route {
    pub(super) unix_socket: Option<Rc<Path>>,
    /// In place of those that the name has; a port of 0 is that of the URL.
    pub(super) addresses: Option<Rc<[SocketAddr]>>,
    pub(super) via: Option<Via>,
}

impl Route {
    /// The proxy that requests for a URL are sent to as they are.
    pub(super) fn forwarder(&self, location: &Location) -> Option<&Via> {
        self.via.as_ref().filter(|via| !via.tunnels(location))
    }

    /// The proxy that is spoken to over TLS.
    pub(super) fn secured_proxy(&self) -> Option<&Via> {
        self.via.as_ref().filter(|via| via.location.is_https())
    }

    /// The proxy that opens a tunnel to where a URL leads.
    pub(super) fn tunneler(&self, location: &Location) -> Option<&Via> {
        self.via.as_ref().filter(|via| via.tunnels(location))
    }
}

impl Key {
    pub(super) fn new(location: &Location, route: Option<&Rc<Route>>, tls: Option<&ClientTls>) -> Self {
        // A proxy that forwards takes requests for all servers over the same connection.
        let forwarder = route.and_then(|route| route.forwarder(location));
        let (text, origin_end) = forwarder.map_or(location, |via| &via.location).origin_parts();
        let tls = tls.filter(|_| location.is_https()).cloned();
        Self { text: Rc::clone(text), origin_end, route: route.cloned(), tls }
    }

    fn origin(&self) -> &str {
        &self.text[..self.origin_end]
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        let (route, tls) = (self.route.clone(), self.tls.clone());
        Self { text: Rc::from(self.origin()), origin_end: self.origin_end, route, tls }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.origin() == other.origin() && self.route == other.route && self.tls == other.tls
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.origin().hash(state);
        self.route.hash(state);
        self.tls.hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.origin())
    }
}

/// A connection in the pool. It says that it ends when it is dropped, wherever that is.
struct Pooled(Option<Box<ClientConnection>>);

impl Pooled {
    fn connection(&mut self) -> &mut ClientConnection {
        self.0.as_mut().expect("present until taken")
    }

    fn take(mut self) -> Box<ClientConnection> {
        self.0.take().expect("present until taken")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.say_goodbye();
        }
    }
}

/// The connections of one client.
pub(super) struct Connections {
    pool: Pool<Key, Pooled>,
    limits: Option<Rc<AdaptiveLimits>>,
    closed: Rc<CloseCounts>,
}

impl Connections {
    pub(super) fn new(core: &Core, config: &ClientConfig) -> Self {
        let pool: Pool<Key, Pooled> = Pool::new(core.timers(), config.pool());
        let closed: Rc<CloseCounts> = Rc::default();
        let counts = Rc::clone(&closed);
        // The watch: each idle connection has its next read under way, which wakes this task.
        let watch = pool.drive(move |cx, _, pooled| match pooled.connection().poll_idle(cx) {
            Poll::Pending => true,
            Poll::Ready(reason) => {
                counts.count(reason);
                false
            }
        });
        drop(core.spawn("client pool", watch));
        let limits = config.adaptive_limit.as_ref().map(|limit| Rc::new(AdaptiveLimits::new(limit)));
        Self { pool, limits, closed }
    }

    /// A place that can be had at once: with an idle connection, or empty.
    pub(super) fn try_lease(&self, key: &Key) -> Result<Option<Lease>, PoolError> {
        let server = self.server(key);
        Ok(self.pool.try_acquire(key)?.map(|place| self.lease(place, server)))
    }

    /// Waits for a place.
    pub(super) async fn wait(
        &self,
        key: &Key,
        priority: Priority,
        until: Option<Instant>,
    ) -> Result<Lease, PoolError> {
        let mut options = AcquireOptions::default();
        options.priority = priority;
        options.until = until;
        let server = self.server(key);
        Ok(self.lease(self.pool.acquire(key, options).await?, server))
    }

    /// What is known of a server whose limit is found out: not forgotten while somebody asks it, or waits to.
    fn server(&self, key: &Key) -> Option<Rc<Server>> {
        self.limits.as_ref()?.server(key, |key, limit| self.pool.set_in_use_max(key, limit))
    }

    /// A connection may have come to its end since its watch was asked last: then the next one is taken, or none.
    fn lease(&self, mut place: Place<Key, Pooled>, server: Option<Rc<Server>>) -> Lease {
        let mut cx = Context::from_waker(Waker::noop());
        while let Some(Poll::Ready(reason)) =
            place.item_mut().map(|pooled| pooled.connection().poll_idle(&mut cx))
        {
            self.closed.count(reason);
            if !place.replace() {
                break;
            }
        }
        let in_flight = server.as_ref().map_or(0, |_| place.in_use_of_key());
        let limits = self.limits.as_ref().zip(server);
        Lease {
            watch: limits.map(|(limits, server)| Watch::new(limits, server, in_flight)),
            place: Some(place),
            pool: self.pool.clone(),
            closed: Rc::clone(&self.closed),
        }
    }

    /// Closes idle connections, and tells those who wait.
    pub(super) fn close(&self) {
        let idle = self.pool.idle();
        self.pool.close();
        for _ in 0..idle {
            self.closed.count(CloseReason::PoolClosed);
        }
    }

    /// Waits until the connections of a closed pool have come back.
    pub(super) async fn ended(&self) {
        self.pool.ended().await;
    }

    pub(super) fn in_use(&self) -> usize {
        self.pool.in_use()
    }

    pub(super) fn idle(&self) -> usize {
        self.pool.idle()
    }

    pub(super) fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    pub(super) fn stats(&self) -> &PoolStats {
        self.pool.stats()
    }

    /// How often an adaptive limit became more, and less.
    pub(super) fn limit_changes(&self) -> (u64, u64) {
        self.limits.as_ref().map_or((0, 0), |limits| limits.changes())
    }

    /// The servers whose limits are found out, in no order.
    pub(super) fn host_limits(&self) -> Vec<HostLimit> {
        let mut hosts = Vec::new();
        if let Some(limits) = &self.limits {
            limits.each(|key, limit, first_byte| {
                let (in_flight, waiting) = self.pool.use_of(key);
                hosts.push(HostLimit {
                    host: key.origin().to_owned(),
                    limit,
                    in_flight,
                    waiting,
                    first_byte,
                });
            });
        }
        hosts
    }

    /// Why connections ended, with what the pool itself has ended.
    pub(super) fn closed(&self) -> CloseCounts {
        let counts = (*self.closed).clone();
        let stats = self.pool.stats();
        counts.add(CloseReason::IdleExpired, stats.expired.get());
        counts.add(CloseReason::Old, stats.old.get());
        counts.add(CloseReason::Replaced, stats.replaced.get());
        counts
    }
}

/// A place of the pool, with or without a connection. Dropping it closes the connection.
pub(super) struct Lease {
    /// `None` only while it is being dropped.
    place: Option<Place<Key, Pooled>>,
    /// Who is told how the server fares, if its limit is found out.
    watch: Option<Watch>,
    pool: Pool<Key, Pooled>,
    closed: Rc<CloseCounts>,
}

impl Lease {
    fn place(&mut self) -> &mut Place<Key, Pooled> {
        self.place.as_mut().expect("present until dropped")
    }

    pub(super) fn connection(&mut self) -> Option<&mut ClientConnection> {
        self.place().item_mut().map(Pooled::connection)
    }

    pub(super) fn fill(&mut self, connection: ClientConnection) {
        self.place().fill(Pooled(Some(Box::new(connection))));
    }

    /// Closes the connection and keeps the place.
    pub(super) fn empty(&mut self, reason: CloseReason) {
        if let Some(connection) = self.place().take() {
            self.closed.count(reason);
            drop(connection);
        }
    }

    /// It is no request under way: it counts as a connection only.
    pub(super) fn set_aside(&mut self) {
        self.watch = None;
        self.place().set_aside();
    }

    /// Takes the connection away, and keeps the place: it counts as long as this is held.
    pub(super) fn take_connection(&mut self) -> Option<Box<ClientConnection>> {
        let connection = self.place().take().map(Pooled::take);
        if connection.is_some() {
            self.set_aside();
            self.closed.count(CloseReason::Upgraded);
        }
        connection
    }

    /// Says how a server fares whose limit is found out. From then on the next may ask it: who holds an answer is not to keep others,
    /// or himself, from another.
    pub(super) fn note_answer(&mut self, status: StatusCode, first_byte: Duration) {
        if self.watch.is_some() {
            self.change_limit(|watch| watch.note_answer(status, first_byte));
            self.place().set_aside();
        }
    }

    /// Says that there was no answer.
    pub(super) fn note_error(&self, error: &Error) {
        self.change_limit(|watch| watch.note_error(error));
    }

    /// Says that the body of the answer failed.
    pub(super) fn note_broken_body(&self, kind: ErrorKind) {
        self.change_limit(|watch| watch.note_broken_body(kind));
    }

    fn change_limit(&self, note: impl FnOnce(&Watch) -> Option<usize>) {
        if let Some(watch) = &self.watch
            && let Some(limit) = note(watch)
        {
            self.pool.set_in_use_max(watch.key(), Some(limit));
        }
    }

    /// Whether the client was closed meanwhile.
    pub(super) fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// Ends the exchange: a connection that can be used again is idle then, and watched. `idle_timeout`: how long the server
    /// says it keeps it.
    pub(super) fn release(mut self, idle_timeout: Option<Duration>) {
        if let Some(place) = self.place.take() {
            self.give_back(place, idle_timeout);
        }
    }

    fn give_back(&self, mut place: Place<Key, Pooled>, idle_timeout: Option<Duration>) {
        let Some(connection) = place.item_mut().map(Pooled::connection) else { return };
        let finished = if connection.is_idle() { Ok(()) } else { connection.finish() };
        // The next read, which the next answer needs, is what watches over it.
        let watched = finished.and_then(|()| match self.pool.with_driver(|cx| connection.poll_idle(cx)) {
            Poll::Ready(reason) => Err(reason),
            Poll::Pending => Ok(()),
        });
        match (watched, idle_timeout) {
            (Err(reason), _) => self.closed.count(reason),
            (Ok(()), None) => place.give_back(),
            (Ok(()), Some(named)) => place.give_back_within(named.saturating_sub(margin(named))),
        }
    }
}

/// The server counts from when it sent its answer, and what we send takes its time: better not to come in the last moment.
fn margin(named: Duration) -> Duration {
    Duration::from_secs(1).min(named / 2)
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut place) = self.place.take() {
            self.change_limit(Watch::note_drop);
            match place.item_mut().map(Pooled::connection) {
                // Nothing was begun on it.
                Some(connection) if connection.is_idle() => self.give_back(place, None),
                Some(connection) => {
                    self.closed.count(connection.finish().err().unwrap_or(CloseReason::Failed));
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    #[cfg_attr(
        feature = "rustls",
        expect(clippy::mutable_key_type, reason = "a `ClientTls` is told apart by its address")
    )]
    fn what_shares_a_connection() {
        let key = |url: &str, path: Option<&str>| {
            let unix_socket = |path| Some(Path::new(path).into());
            let route =
                path.map(|path| Rc::new(Route { unix_socket: unix_socket(path), ..Route::default() }));
            Key::new(&Location::parse(url, None).unwrap().0, route.as_ref(), None)
        };
        let keys = [
            key("http://a/", None),
            key("http://a:80/b?c", None),
            key("https://a/", None),
            key("http://a:81/", None),
            key("http://b/", None),
            key("http://a/", Some("/run/a")),
            key("http://a/x", Some("/run/a")),
            key("http://a/", Some("/run/b")),
        ];
        let different: HashSet<_> = keys.iter().cloned().collect();
        assert_eq!(different.len(), 6);
        assert!(keys[0] == keys[1] && keys[5] == keys[6]);
        let copy = keys[1].clone();
        assert_eq!((&*copy.text, copy == keys[1]), ("http://a", true), "it lets go of the URL");
    }
}
