//! Putting routers together: below a prefix, for a host, over a part of the state; and what a router says for all its routes.
#![forbid(unsafe_code)]

use std::panic::Location;
use std::rc::Rc;

use super::handler::{self, SharedEndpoint};
use super::middleware::deadline;
use super::parts::{HostRoutes, Parts, Scope, join};
use super::refusal::{NotFound, Refusal};
use super::router::Router;

impl<S: 'static> Router<S> {
    /// Adds the routes of `inner` below `prefix`, with the middleware, body limit and fallback they have there. `prefix`
    /// begins with `/`, does not end with one, and may have parameters; `inner`'s `/` becomes the prefix itself.
    ///
    /// With the prefix `/` it joins two routers: `nest("/", Router::new().post("/upload", upload).body_limit(64 << 20))`.
    #[track_caller]
    pub fn nest(self, prefix: &str, inner: Self) -> Self {
        let parts = inner.into_parts();
        self.add_below(prefix, parts)
    }

    /// As [`nest`](Self::nest), for routes over a part of the state: `nest_part("/admin", admin(), |api| &api.admin)`.
    #[track_caller]
    pub fn nest_part<P: 'static>(self, prefix: &str, inner: Router<P>, part: fn(&S) -> &P) -> Self {
        let parts = inner.into_parts().map(&|endpoint| handler::of_part(part, endpoint));
        self.add_below(prefix, parts)
    }

    /// Answers all requests for a host by `inner`: those that it has no route for are not answered by other routes. The
    /// middleware of this router stands around it. Requests for other hosts, and those of HTTP/1.0 without a host, are
    /// answered by the routes that have no host.
    ///
    /// `host`: a name or an address, or `*.` and a name for all names that end in it, of which the longest counts. The
    /// port is ignored, and so are capitals.
    ///
    /// ```
    /// use ringhttp::Router;
    ///
    /// let api = Router::new().get("/users", async |_: &(), _| "users\n");
    /// let tenants = Router::new().get("/", async |_: &(), _| "a tenant's page\n");
    /// let router = Router::new()
    ///     .get("/", async |_: &(), _| "welcome\n")
    ///     .host("api.example.com", api)
    ///     .host("*.example.com", tenants);
    /// # assert!(router.into_service(()).is_ok());
    /// ```
    #[track_caller]
    pub fn host(mut self, host: &str, inner: Self) -> Self {
        self.after_route = false;
        let (parts, added) = (inner.into_parts(), Location::caller());
        if !parts.hosts.is_empty() {
            self.mistakes.push(format!("host {host:?} ({added}) has routes of other hosts in it"));
        }
        self.hosts.push(HostRoutes { host: host.to_owned(), parts, added });
        self
    }

    /// Redirects `/a` to the route `/a/` of this router, if there is no `/a`: 308 with the query, before any fallback.
    /// A path that leads to a host (`//`) is never redirected to.
    ///
    /// ```
    /// use ringhttp::Router;
    ///
    /// let router = Router::new().get("/docs/", async |_: &(), _| "index\n").append_slash().merge_slashes();
    /// # assert!(router.into_service(()).is_ok());
    /// ```
    pub fn append_slash(mut self) -> Self {
        self.slashes.append = true;
        self
    }

    /// Redirects `/a/` to the route `/a` of this router, if there is no `/a/`: as [`append_slash`](Self::append_slash).
    pub fn remove_slash(mut self) -> Self {
        self.slashes.remove = true;
        self
    }

    /// Redirects `/a//b` to the route `/a/b` of this router, if there is no `/a//b`: as
    /// [`append_slash`](Self::append_slash), and together with it or with [`remove_slash`](Self::remove_slash).
    pub fn merge_slashes(mut self) -> Self {
        self.slashes.merge = true;
        self
    }

    /// Puts `namespace` and a dot before the names of all routes of this router, nested ones included: with `"admin"`, the
    /// route `user` is found as `admin.user`. Two routers that use the same names can so be nested in one.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    #[track_caller]
    fn add_below(mut self, prefix: &str, inner: Parts<S>) -> Self {
        if !prefix.starts_with('/') || (prefix.len() > 1 && prefix.ends_with('/')) {
            let added = Location::caller();
            self.mistakes
                .push(format!("prefix {prefix:?} ({added}) must begin with `/` and not end with one"));
        }
        self.after_route = false;
        self.mistakes.extend(inner.mistakes);
        for mut route in inner.routes {
            route.move_below(prefix);
            self.routes.push(route);
        }
        for mut scope in inner.scopes {
            scope.prefix = join(prefix, &scope.prefix);
            self.scopes.push(scope);
        }
        if prefix != "/" && !inner.hosts.is_empty() {
            let added = Location::caller();
            self.mistakes.push(format!("routes of a host cannot be below prefix {prefix:?} ({added})"));
        }
        self.hosts.extend(inner.hosts);
        if inner.has_fallback {
            self.scopes.push(Scope {
                prefix: prefix.to_owned(),
                fallback: inner.fallback,
                body_bytes_max: inner.fallback_body_bytes_max,
                added: Location::caller(),
            });
        }
        self
    }

    /// Wraps the middleware around everything.
    pub(super) fn into_parts(mut self) -> Parts<S> {
        for route in
            self.routes.iter_mut().chain(self.hosts.iter_mut().flat_map(|host| &mut host.parts.routes))
        {
            let config = &mut route.config;
            config.body_bytes_max = config.body_bytes_max.or(self.body_bytes_max);
            config.name = config.name.take().map(|name| in_namespace(self.namespace.as_deref(), name));
            route.slashes = route.slashes.or(self.slashes);
            // Taken out: the routers around this one must not wrap it again.
            if let Some(limit) = config.deadline.take() {
                let limit = handler::middleware(deadline(limit));
                route.endpoint = handler::wrap(&limit, Rc::clone(&route.endpoint));
            }
        }
        let refusal = Rc::new(Refusal::default());
        let parts = Parts {
            routes: self.routes,
            scopes: self.scopes,
            hosts: self.hosts,
            has_fallback: self.fallback.is_some(),
            fallback: self.fallback.unwrap_or_else(|| Rc::new(NotFound)),
            fallback_body_bytes_max: None,
            refuse: Rc::clone(&refusal) as SharedEndpoint<S>,
            refusal,
            mistakes: self.mistakes,
        };
        let middleware = self.middleware;
        let mut parts = parts.map(&|endpoint| {
            middleware.iter().rev().fold(endpoint, |inner, outer| handler::wrap(outer, inner))
        });
        if let Some(bytes_max) = self.body_bytes_max {
            parts.limit_fallbacks(bytes_max);
        }
        parts
    }
}

/// The name of a route of a router that has a namespace.
pub(super) fn in_namespace(namespace: Option<&str>, name: String) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}.{name}"),
        None => name,
    }
}
