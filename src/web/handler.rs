//! Async functions as trait objects: what a router stores for a handler and for a middleware.
//!
//! The future of a call is boxed here and nowhere else: one allocation per handler, one per middleware.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;

use super::into_response::IntoResponse;
use crate::conn::{Request, Response};

/// The rest of a request's way: the middleware further in, then the handler.
pub struct Next<'a, S> {
    endpoint: &'a dyn Endpoint<S>,
    state: &'a S,
}

impl<'a, S> Next<'a, S> {
    /// Lets the request go on, and gives what came back. Without this call the request goes no further.
    ///
    /// # Cancellation
    /// The handler is dropped where it waits.
    pub fn run(self, request: Request) -> impl Future<Output = Response> + 'a {
        self.endpoint.call(self.state, request)
    }
}

impl<S> fmt::Debug for Next<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

/// A call under way.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Response> + 'a>>;

/// Whatever answers a request: a handler, or one with middleware around it.
pub(crate) trait Endpoint<S> {
    fn call<'a>(&'a self, state: &'a S, request: Request) -> Answer<'a>;
}

/// An [`Endpoint`] that several places share.
pub(crate) type SharedEndpoint<S> = Rc<dyn Endpoint<S>>;

/// What stands between a request and its endpoint.
pub(crate) trait Middleware<S> {
    fn call<'a>(&'a self, state: &'a S, request: Request, next: Next<'a, S>) -> Answer<'a>;
}

/// Stores a handler.
pub(crate) fn endpoint<S, R>(handler: impl AsyncFn(&S, Request) -> R + 'static) -> SharedEndpoint<S>
where
    S: 'static,
    R: IntoResponse + 'static,
{
    Rc::new(Handler { handler, output: PhantomData })
}

/// Stores a middleware.
pub(crate) fn middleware<S, R>(
    middleware: impl AsyncFn(&S, Request, Next<'_, S>) -> R + 'static,
) -> Rc<dyn Middleware<S>>
where
    S: 'static,
    R: IntoResponse + 'static,
{
    Rc::new(Handler { handler: middleware, output: PhantomData })
}

/// Puts a middleware around an endpoint.
pub(crate) fn wrap<S: 'static>(
    middleware: &Rc<dyn Middleware<S>>,
    inner: SharedEndpoint<S>,
) -> SharedEndpoint<S> {
    Rc::new(Wrapped { middleware: Rc::clone(middleware), inner })
}

/// Gives an endpoint over a part of the state a place among those over the whole.
pub(crate) fn of_part<S: 'static, P: 'static>(
    part: fn(&S) -> &P,
    inner: SharedEndpoint<P>,
) -> SharedEndpoint<S> {
    Rc::new(OfPart { part, inner })
}

struct Handler<F, R> {
    handler: F,
    output: PhantomData<fn() -> R>,
}

impl<S, F, R> Endpoint<S> for Handler<F, R>
where
    F: AsyncFn(&S, Request) -> R,
    R: IntoResponse,
{
    fn call<'a>(&'a self, state: &'a S, request: Request) -> Answer<'a> {
        Box::pin(async move { (self.handler)(state, request).await.into_response() })
    }
}

impl<S, F, R> Middleware<S> for Handler<F, R>
where
    F: AsyncFn(&S, Request, Next<'_, S>) -> R,
    R: IntoResponse,
{
    fn call<'a>(&'a self, state: &'a S, request: Request, next: Next<'a, S>) -> Answer<'a> {
        Box::pin(async move { (self.handler)(state, request, next).await.into_response() })
    }
}

struct Wrapped<S> {
    middleware: Rc<dyn Middleware<S>>,
    inner: SharedEndpoint<S>,
}

impl<S> Endpoint<S> for Wrapped<S> {
    fn call<'a>(&'a self, state: &'a S, request: Request) -> Answer<'a> {
        let next = Next { endpoint: &*self.inner, state };
        self.middleware.call(state, request, next)
    }
}

struct OfPart<S, P> {
    part: fn(&S) -> &P,
    inner: SharedEndpoint<P>,
}

impl<S, P> Endpoint<S> for OfPart<S, P> {
    fn call<'a>(&'a self, state: &'a S, request: Request) -> Answer<'a> {
        self.inner.call((self.part)(state), request)
    }
}
