//! Collecting routes: which handler answers which method on which path. `app.rs` makes a table of them.
#![forbid(unsafe_code)]

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use http::Method;

use super::app::App;
use super::handler::{self, Middleware, Next, SharedEndpoint};
use super::into_response::IntoResponse;
use super::middleware::deadline;
use super::refusal::{NotFound, Refusal};
use super::route_config::RouteConfig;
use crate::conn::Request;
use crate::error::Result;

/// Routes over a state `S`: async functions of `(&S, Request)` by path and method.
///
/// # Paths
/// A path begins with `/`. `{name}` in it stands for the text up to the next part of the path, at least one byte, and at
/// most one per segment; `{*name}` at the end for all the rest, slashes included. `{{` and `}}` are braces. Plain text is
/// preferred to `{name}`, and that to `{*name}`, whatever the order of adding. `/users` and `/users/` are two paths.
///
/// The path of the request is compared as it was sent, so text that needs percent-encoding is written encoded, and a
/// `%2F` never ends a segment. [`Request::param`] decodes values when they are read.
///
/// # Methods
/// HEAD is answered by the GET handler unless there is one of its own; the body is not sent. A path with other methods
/// only is answered 405, and OPTIONS 204, both with `Allow`. Everything else goes to the fallback, or is answered 404.
///
/// # Mistakes
/// Two handlers for one path and method, paths that cannot be told apart, or that cannot be understood: serving fails with
/// an error that names the routes and the lines they were added at. [`into_service`](Self::into_service) says so earlier,
/// in a test for example.
///
/// ```
/// use std::cell::Cell;
/// use ringhttp::{Request, Result, Router};
///
/// struct Counter { calls: Cell<u64> }
///
/// impl Counter {
///     async fn count(&self, req: Request) -> Result<String> {
///         let step: u64 = req.param("step")?;
///         self.calls.set(self.calls.get() + step);
///         Ok(format!("{}\n", self.calls.get()))
///     }
/// }
///
/// let router = Router::new()
///     .post("/count/{step}", Counter::count)
///     .get("/version", async |_: &Counter, _| "1\n");
/// assert_eq!(router.routes().count(), 2);
/// ```
#[must_use = "a router does nothing until it is served"]
pub struct Router<S> {
    routes: Vec<Route<S>>,
    middleware: Vec<Rc<dyn Middleware<S>>>,
    fallback: Option<SharedEndpoint<S>>,
    /// Fallbacks of nested routers.
    scopes: Vec<Scope<S>>,
    body_bytes_max: Option<u64>,
    /// Whether the last thing added was a route.
    after_route: bool,
    /// What was wrong with paths and prefixes, reported when the table is made.
    mistakes: Vec<String>,
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
    pub(super) added: &'static Location<'static>,
}

/// A fallback for all paths below a prefix.
pub(super) struct Scope<S> {
    pub(super) prefix: String,
    pub(super) fallback: SharedEndpoint<S>,
    pub(super) added: &'static Location<'static>,
}

/// All of a router, its middleware wrapped around what it belongs to.
pub(super) struct Parts<S> {
    pub(super) routes: Vec<Route<S>>,
    pub(super) scopes: Vec<Scope<S>>,
    /// Answers what nothing else answers.
    pub(super) fallback: SharedEndpoint<S>,
    /// Whether the fallback is one that was set.
    pub(super) has_fallback: bool,
    /// Answers `OPTIONS *`.
    pub(super) refuse: SharedEndpoint<S>,
    pub(super) refusal: Rc<Refusal>,
    pub(super) mistakes: Vec<String>,
}

impl<S: 'static> Router<S> {
    /// A router without routes: it answers 404.
    pub fn new() -> Self {
        Self {
            routes: Vec::new(),
            middleware: Vec::new(),
            fallback: None,
            scopes: Vec::new(),
            body_bytes_max: None,
            after_route: false,
            mistakes: Vec::new(),
        }
    }

    /// Answers GET, and HEAD unless it has a handler of its own.
    #[track_caller]
    pub fn get<R>(self, path: &str, handler: impl AsyncFn(&S, Request) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.route(Method::GET, path, handler)
    }

    /// Answers POST.
    #[track_caller]
    pub fn post<R>(self, path: &str, handler: impl AsyncFn(&S, Request) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.route(Method::POST, path, handler)
    }

    /// Answers PUT.
    #[track_caller]
    pub fn put<R>(self, path: &str, handler: impl AsyncFn(&S, Request) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.route(Method::PUT, path, handler)
    }

    /// Answers DELETE.
    #[track_caller]
    pub fn delete<R>(self, path: &str, handler: impl AsyncFn(&S, Request) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.route(Method::DELETE, path, handler)
    }

    /// Answers PATCH.
    #[track_caller]
    pub fn patch<R>(self, path: &str, handler: impl AsyncFn(&S, Request) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.route(Method::PATCH, path, handler)
    }

    /// Answers HEAD in place of the GET handler.
    #[track_caller]
    pub fn head<R>(self, path: &str, handler: impl AsyncFn(&S, Request) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.route(Method::HEAD, path, handler)
    }

    /// Answers OPTIONS in place of the router.
    #[track_caller]
    pub fn options<R>(self, path: &str, handler: impl AsyncFn(&S, Request) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.route(Method::OPTIONS, path, handler)
    }

    /// Answers any one method, of one's own making too.
    #[track_caller]
    pub fn route<R>(
        self,
        method: Method,
        path: &str,
        handler: impl AsyncFn(&S, Request) -> R + 'static,
    ) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.add(Some(method), path, handler::endpoint(handler))
    }

    /// Answers all methods that have no handler of their own.
    #[track_caller]
    pub fn any<R>(self, path: &str, handler: impl AsyncFn(&S, Request) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.add(None, path, handler::endpoint(handler))
    }

    /// Puts a middleware around all of this router: its routes, nested ones, its fallback and what it answers by itself,
    /// added before or after. The first one added is the outermost.
    ///
    /// ```
    /// use ringhttp::{Next, Request, Response, Result, Router, StatusCode};
    ///
    /// async fn signed_in(_: &(), req: Request, next: Next<'_, ()>) -> Result {
    ///     if req.header("authorization").is_none() {
    ///         return Err(StatusCode::UNAUTHORIZED.into());
    ///     }
    ///     Ok(next.run(req).await)
    /// }
    ///
    /// let router = Router::new().get("/", async |_: &(), _| "secret\n").with(signed_in);
    /// # assert!(router.into_service(()).is_ok());
    /// ```
    pub fn with<R>(mut self, middleware: impl AsyncFn(&S, Request, Next<'_, S>) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.middleware.push(handler::middleware(middleware));
        self
    }

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
        let parts = inner.into_parts().of_part(part);
        self.add_below(prefix, parts)
    }

    /// Answers what no route answers, in place of 404. A path whose routes are of other methods is still answered 405.
    /// In a nested router it answers what is below its prefix.
    pub fn fallback<R>(mut self, handler: impl AsyncFn(&S, Request) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.fallback = Some(handler::endpoint(handler));
        self
    }

    /// Sets how many bytes of a request body the routes of this router can read, in place of
    /// `ServerConfig::body_bytes_max` (1 MiB). Nested routers that set their own keep it. A longer body is answered 413.
    ///
    /// A handler may also decide by itself: `req.body().set_limit(…)`.
    pub fn body_limit(mut self, bytes_max: u64) -> Self {
        self.body_bytes_max = Some(bytes_max);
        self
    }

    /// Names the route that was added last, for `url_for`: `.get("/users/{id}", user).name("user")`.
    #[track_caller]
    pub fn name(self, name: &str) -> Self {
        let name = name.to_owned();
        self.last_route(|route| route.name = Some(name))
    }

    /// Sets what only the route has that was added last.
    ///
    /// ```
    /// use ringhttp::{Request, Result, Router};
    ///
    /// async fn upload(_: &(), mut req: Request) -> Result<String> {
    ///     Ok(format!("{} bytes\n", req.bytes().await?.len()))
    /// }
    ///
    /// let router = Router::new()
    ///     .post("/note", upload)
    ///     .post("/upload", upload)
    ///     .last_route(|route| route.body_bytes_max = Some(64 << 20));
    /// # assert!(router.into_service(()).is_ok());
    /// ```
    ///
    /// Directly behind the route: behind `nest` or at the beginning it is a mistake.
    #[track_caller]
    pub fn last_route(mut self, set: impl FnOnce(&mut RouteConfig)) -> Self {
        match self.routes.last_mut() {
            Some(route) if self.after_route => set(&mut route.config),
            _ => self.mistakes.push(format!("there is no route before {}", Location::caller())),
        }
        self
    }

    /// All routes as method (`None`: any) and path, in the order of adding.
    pub fn routes(&self) -> impl Iterator<Item = (Option<&Method>, &str)> {
        self.routes.iter().map(|route| (route.method.as_ref(), &*route.pattern))
    }

    /// Makes the service that answers by these routes, for [`Server::serve_service`](crate::Server::serve_service).
    ///
    /// # Errors
    /// If routes contradict each other or have paths that cannot be understood; the error names all of them.
    pub fn into_service(self, state: S) -> Result<App<S>> {
        App::new(self.into_parts(), state)
    }

    /// Notes what is wrong with the router, for the error that serving it will be.
    pub(super) fn mistake(mut self, text: String) -> Self {
        self.mistakes.push(text);
        self
    }

    #[track_caller]
    fn add(mut self, method: Option<Method>, path: &str, endpoint: SharedEndpoint<S>) -> Self {
        if !path.starts_with('/') {
            self.mistakes.push(format!("path {path:?} ({}) must begin with `/`", Location::caller()));
        }
        let refusal = Rc::new(Refusal::default());
        self.after_route = true;
        self.routes.push(Route {
            method,
            pattern: path.to_owned(),
            endpoint,
            refuse: Rc::clone(&refusal) as SharedEndpoint<S>,
            refusal,
            config: RouteConfig::default(),
            added: Location::caller(),
        });
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
            route.pattern = join(prefix, &route.pattern);
            self.routes.push(route);
        }
        for mut scope in inner.scopes {
            scope.prefix = join(prefix, &scope.prefix);
            self.scopes.push(scope);
        }
        if inner.has_fallback {
            let (prefix, fallback, added) = (prefix.to_owned(), inner.fallback, Location::caller());
            self.scopes.push(Scope { prefix, fallback, added });
        }
        self
    }

    /// Wraps the middleware around everything.
    fn into_parts(self) -> Parts<S> {
        let middleware = self.middleware;
        let wrap =
            |endpoint| middleware.iter().rev().fold(endpoint, |inner, outer| handler::wrap(outer, inner));
        let wrap_route = |mut route: Route<S>| {
            // Taken out: the routers around this one must not wrap it again.
            if let Some(limit) = route.config.deadline.take() {
                route.endpoint = handler::wrap(&handler::middleware(deadline(limit)), route.endpoint);
            }
            Route {
                endpoint: wrap(route.endpoint),
                refuse: wrap(route.refuse),
                config: route.config.or(self.body_bytes_max),
                ..route
            }
        };
        let wrap_scope = |scope: Scope<S>| Scope { fallback: wrap(scope.fallback), ..scope };
        let has_fallback = self.fallback.is_some();
        let refusal = Rc::new(Refusal::default());
        Parts {
            routes: self.routes.into_iter().map(wrap_route).collect(),
            scopes: self.scopes.into_iter().map(wrap_scope).collect(),
            fallback: wrap(self.fallback.unwrap_or_else(|| Rc::new(NotFound))),
            has_fallback,
            refuse: wrap(Rc::clone(&refusal) as SharedEndpoint<S>),
            refusal,
            mistakes: self.mistakes,
        }
    }
}

impl<P: 'static> Parts<P> {
    fn of_part<S: 'static>(self, part: fn(&S) -> &P) -> Parts<S> {
        let of_part = |endpoint| handler::of_part(part, endpoint);
        let route_of_part = |route: Route<P>| Route {
            method: route.method,
            pattern: route.pattern,
            endpoint: of_part(route.endpoint),
            refuse: of_part(route.refuse),
            refusal: route.refusal,
            config: route.config,
            added: route.added,
        };
        let scope_of_part = |scope: Scope<P>| Scope {
            prefix: scope.prefix,
            fallback: of_part(scope.fallback),
            added: scope.added,
        };
        Parts {
            routes: self.routes.into_iter().map(route_of_part).collect(),
            scopes: self.scopes.into_iter().map(scope_of_part).collect(),
            fallback: of_part(self.fallback),
            has_fallback: self.has_fallback,
            refuse: of_part(self.refuse),
            refusal: self.refusal,
            mistakes: self.mistakes,
        }
    }
}

impl<S: 'static> Default for Router<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.routes.iter().map(|route| (route.method.as_ref(), &route.pattern));
        f.debug_list().entries(routes).finish()
    }
}

/// A path below a prefix: `/` is the prefix itself, and below `/` everything keeps its path.
fn join(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        ("/", path) => path.to_owned(),
        (prefix, "/") => prefix.to_owned(),
        (prefix, path) => format!("{prefix}{path}"),
    }
}
