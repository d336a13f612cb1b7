//! Collecting routes: which handler answers which method on which path. `app.rs` makes a table of them.
#![forbid(unsafe_code)]

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use http::Method;

use super::app::App;
use super::compose::in_namespace;
use super::handler::{self, Middleware, Next, SharedEndpoint};
use super::into_response::IntoResponse;
use super::names::Names;
use super::parts::{HostRoutes, RootPath, Route, Scope};
use super::refusal::Refusal;
use super::route_config::RouteConfig;
use super::route_info::RouteInfo;
use super::slashes::Slashes;
use crate::conn::Request;
use crate::error::{Error, Result};

/// Routes over a state `S`: async functions of `(&S, Request)` by path and method.
///
/// # Paths
/// A path begins with `/`. `{name}` in it stands for the text up to the next part of the path, at least one byte, and at
/// most one per segment; `{*name}` at the end for all the rest, slashes included. `{{` and `}}` are braces. `/users` and
/// `/users/` are two paths; see [`append_slash`](Self::append_slash) for making one of them.
///
/// `{name:limit}` stands for a value within a limit: `int` (decimal, fits `i64`), `uint` (`u64`), `uuid` (8-4-4-4-12), and
/// with the feature `regex` a regular expression that matches all of the decoded value, as in `{name:[a-z]+}`.
///
/// Whatever the order of adding, plain text is preferred to `{name:limit}`, narrow limits to wide ones (`uuid`, `uint`,
/// `int`, then expressions in the order of adding), those to `{name}`, and that to `{*name}`. A value that is beyond the
/// limit of one path is tried with the others: `/7` and `/x` may go to `/{id:int}` and `/{*rest}`. A method that one path
/// has no handler for is looked for in others only if they differ in limits alone.
///
/// # Encoding
/// Paths are compared by meaning: `/caf%C3%A9`, `/caf%c3%a9` and, in a route, `/café` are the same. `%2F` never ends a segment.
/// [`Request::param`] decodes values when they are read, and answers 400 if one is not UTF-8; in fixed text such bytes match
/// nothing. [`Request::path`] is the path as it was sent.
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
    pub(super) routes: Vec<Route<S>>,
    pub(super) middleware: Vec<Rc<dyn Middleware<S>>>,
    pub(super) fallback: Option<SharedEndpoint<S>>,
    /// Fallbacks of nested routers.
    pub(super) scopes: Vec<Scope<S>>,
    pub(super) hosts: Vec<HostRoutes<S>>,
    /// Stands before the names of its routes.
    pub(super) namespace: Option<String>,
    pub(super) slashes: Slashes,
    pub(super) body_bytes_max: Option<u64>,
    /// Whether the last thing added was a route.
    pub(super) after_route: bool,
    /// What was wrong with paths and prefixes, reported when the table is made.
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
            hosts: Vec::new(),
            namespace: None,
            slashes: Slashes::default(),
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
    /// A router that is nested in another answers 405 by itself, but no 404: a path without a route goes back to the router
    /// outside, past the middleware in here, unless there is a [`fallback`](Self::fallback).
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

    /// Answers what no route answers, in place of 404. A path whose routes are of other methods is still answered 405.
    /// In a nested router it answers what is below its prefix.
    pub fn fallback<R>(mut self, handler: impl AsyncFn(&S, Request) -> R + 'static) -> Self
    where
        R: IntoResponse + 'static,
    {
        self.fallback = Some(handler::endpoint(handler));
        self
    }

    /// Sets how many bytes of a request body the routes and the fallback of this router can read, in place of
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

    /// All routes, in the order of adding; those of hosts behind the others.
    pub fn routes(&self) -> impl Iterator<Item = RouteInfo> {
        let namespace = self.namespace.as_deref();
        RouteInfo::list(&self.routes, &self.hosts).into_iter().map(move |route| RouteInfo {
            name: route.name.map(|name| in_namespace(namespace, name)),
            ..route
        })
    }

    /// The path of the route of a name: see [`Request::url_for`].
    ///
    /// # Errors
    /// As [`Request::url_for`].
    pub fn url_for(&self, name: &str, values: &[(&str, &str)]) -> Result<String> {
        let mut names = Names::default();
        let named = self.routes().find(|route| route.name.as_deref() == Some(name));
        if let Some(route) = named {
            names.add(name, &route.path).map_err(Error::internal)?;
        }
        names.url_for(name, values)
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

    /// Says what the path `/` of the route that was added last is below a prefix.
    pub(super) fn with_root(mut self, root: RootPath) -> Self {
        if let Some(route) = self.routes.last_mut() {
            route.root = root;
        }
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
            slashes: Slashes::default(),
            root: RootPath::default(),
            added: Location::caller(),
        });
        self
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
