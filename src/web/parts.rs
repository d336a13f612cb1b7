//! What a router is made of, once its middleware is wrapped around what it belongs to.
#![forbid(unsafe_code)]

use std::panic::Location;
use std::rc::Rc;

use http::Method;

use super::handler::SharedEndpoint;
use super::refusal::Refusal;
use super::route_config::RouteConfig;
use super::slashes::Slashes;

/// All of a router.
pub(super) struct Parts<S> {
    pub(super) routes: Vec<Route<S>>,
    pub(super) scopes: Vec<Scope<S>>,
    pub(super) hosts: Vec<HostRoutes<S>>,
    /// Answers what nothing else answers.
    pub(super) fallback: SharedEndpoint<S>,
    /// Whether the fallback is one that was set.
    pub(super) has_fallback: bool,
    /// Bytes of a body that the fallback can read, if its router or one further out says.
    pub(super) fallback_body_bytes_max: Option<u64>,
    /// Answers `OPTIONS *`.
    pub(super) refuse: SharedEndpoint<S>,
    pub(super) refusal: Rc<Refusal>,
    pub(super) mistakes: Vec<String>,
}

/// One handler and where it answers.
pub(super) struct Route<S> {
    /// `None`: every method that has no handler of its own.
    pub(super) method: Option<Method>,
    pub(super) pattern: String,
    pub(super) endpoint: SharedEndpoint<S>,
    /// What answers for the pattern if the method has no handler: the refusal behind the router's middleware.
    pub(super) refuse: SharedEndpoint<S>,
    pub(super) refusal: Rc<Refusal>,
    pub(super) config: RouteConfig,
    /// Other paths that may mean this one.
    pub(super) slashes: Slashes,
    pub(super) root: RootPath,
    pub(super) added: &'static Location<'static>,
}

/// What the path `/` is below a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RootPath {
    /// The prefix itself.
    #[default]
    Prefix,
    /// The prefix with a slash behind it: a directory, whose page has links that are relative to it.
    Directory,
    /// The prefix itself, and without a prefix nothing: a directory as it is called by those who leave its slash out.
    SlashMissing,
}

/// A fallback for all paths below a prefix.
pub(super) struct Scope<S> {
    pub(super) prefix: String,
    pub(super) fallback: SharedEndpoint<S>,
    /// Bytes of a body that it can read, if its router or one further out says.
    pub(super) body_bytes_max: Option<u64>,
    pub(super) added: &'static Location<'static>,
}

/// All that one host answers, or all hosts of a mask.
pub(super) struct HostRoutes<S> {
    pub(super) host: String,
    pub(super) parts: Parts<S>,
    pub(super) added: &'static Location<'static>,
}

impl<S> Parts<S> {
    /// The same with other endpoints: behind middleware, or over the whole of a state.
    pub(super) fn map<T>(self, endpoint: &impl Fn(SharedEndpoint<S>) -> SharedEndpoint<T>) -> Parts<T> {
        let scope = |scope: Scope<S>| Scope {
            prefix: scope.prefix,
            fallback: endpoint(scope.fallback),
            body_bytes_max: scope.body_bytes_max,
            added: scope.added,
        };
        Parts {
            routes: self.routes.into_iter().map(|route| route.map(endpoint)).collect(),
            scopes: self.scopes.into_iter().map(scope).collect(),
            hosts: self.hosts.into_iter().map(|host| host.map(endpoint)).collect(),
            fallback: endpoint(self.fallback),
            has_fallback: self.has_fallback,
            fallback_body_bytes_max: self.fallback_body_bytes_max,
            refuse: endpoint(self.refuse),
            refusal: self.refusal,
            mistakes: self.mistakes,
        }
    }

    /// Lets the fallbacks read no more than `bytes_max` bytes of a body, but for those further in that have a limit of their own.
    pub(super) fn limit_fallbacks(&mut self, bytes_max: u64) {
        let own = self.has_fallback.then_some(&mut self.fallback_body_bytes_max);
        for limit in self.scopes.iter_mut().map(|scope| &mut scope.body_bytes_max).chain(own) {
            *limit = limit.or(Some(bytes_max));
        }
        for host in &mut self.hosts {
            host.parts.limit_fallbacks(bytes_max);
        }
    }
}

impl<S> Route<S> {
    /// Whether there is a path that leads to it.
    pub(super) fn is_reachable(&self) -> bool {
        self.pattern != "/" || self.root != RootPath::SlashMissing
    }

    /// Puts its path below a prefix.
    pub(super) fn move_below(&mut self, prefix: &str) {
        self.pattern = match self.root {
            RootPath::Directory if self.pattern == "/" && prefix != "/" => format!("{prefix}/"),
            _ => join(prefix, &self.pattern),
        };
    }

    fn map<T>(self, endpoint: &impl Fn(SharedEndpoint<S>) -> SharedEndpoint<T>) -> Route<T> {
        Route {
            method: self.method,
            pattern: self.pattern,
            endpoint: endpoint(self.endpoint),
            refuse: endpoint(self.refuse),
            refusal: self.refusal,
            config: self.config,
            slashes: self.slashes,
            root: self.root,
            added: self.added,
        }
    }
}

/// A path below a prefix: `/` is the prefix itself, and below `/` everything keeps its path.
pub(super) fn join(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        ("/", path) => path.to_owned(),
        (prefix, "/") => prefix.to_owned(),
        (prefix, path) => format!("{prefix}{path}"),
    }
}

impl<S> HostRoutes<S> {
    fn map<T>(self, endpoint: &impl Fn(SharedEndpoint<S>) -> SharedEndpoint<T>) -> HostRoutes<T> {
        HostRoutes { host: self.host, parts: self.parts.map(endpoint), added: self.added }
    }
}
