//! Async functions as trait objects: what a router stores for a handler and for a middleware.
//!
//! They come without the state, and are bound to it when the table of routes is made. A bound function owns a share of
//! what its calls borrow, so the future of a call borrows from nowhere else, and its memory can be kept for the next call
//! (`slot.rs`).
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

use super::into_response::IntoResponse;
use super::slot::{Answer, Slots};
use crate::conn::{Request, Response};

/// The rest of a request's way: the middleware further in, then the handler.
pub struct Next<'a, S> {
    endpoint: &'a dyn Endpoint,
    state: PhantomData<&'a S>,
}

impl<'a, S> Next<'a, S> {
    /// Lets the request go on, and gives what came back. Without this call the request goes no further.
    ///
    /// # Cancellation
    /// The handler is dropped where it waits.
    pub fn run(self, request: Request) -> impl Future<Output = Response> + 'a {
        self.endpoint.call(request)
    }
}

impl<S> fmt::Debug for Next<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

/// Whatever answers a request: a handler, or one with middleware around it, with its state.
pub(crate) trait Endpoint {
    fn call(&self, request: Request) -> Answer;
}

/// An endpoint that has not got its state yet.
pub(crate) trait Unbound<S> {
    fn bind(self: Rc<Self>, state: &State<S>) -> Rc<dyn Endpoint>;
}

/// An [`Unbound`] endpoint that several places share.
pub(crate) type SharedEndpoint<S> = Rc<dyn Unbound<S>>;

/// The state of handlers, shared by all that are bound to it.
pub(crate) type State<S> = Rc<dyn Holds<S>>;

/// Whatever has an `S` in it.
pub(crate) trait Holds<S> {
    fn get(&self) -> &S;
}

/// What stands between a request and its endpoint.
pub(crate) trait Middleware<S> {
    fn call(&self, state: &State<S>, request: Request, inner: &Rc<dyn Endpoint>) -> Answer;
}

/// Stores a handler.
pub(crate) fn endpoint<S, R>(handler: impl AsyncFn(&S, Request) -> R + 'static) -> SharedEndpoint<S>
where
    S: 'static,
    R: IntoResponse + 'static,
{
    let handler = Rc::new(handler);
    stored_handler(move |state: State<S>, request| {
        let handler = Rc::clone(&handler);
        async move { (*handler)(state.get(), request).await.into_response() }
    })
}

/// Stores a middleware.
pub(crate) fn middleware<S, R>(
    middleware: impl AsyncFn(&S, Request, Next<'_, S>) -> R + 'static,
) -> Rc<dyn Middleware<S>>
where
    S: 'static,
    R: IntoResponse + 'static,
{
    let middleware = Rc::new(middleware);
    stored_middleware(move |state: State<S>, request, inner: Rc<dyn Endpoint>| {
        let middleware = Rc::clone(&middleware);
        async move {
            let next = Next { endpoint: &*inner, state: PhantomData };
            (*middleware)(state.get(), request, next).await.into_response()
        }
    })
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

/// Shares a state.
pub(crate) fn share<S: 'static>(state: S) -> State<S> {
    Rc::new(Whole(state))
}

/// A function that begins a call, and the memory of its calls.
struct Stored<M, F> {
    begin: M,
    slots: Rc<Slots<F>>,
}

fn stored_handler<S, M, F>(begin: M) -> SharedEndpoint<S>
where
    S: 'static,
    M: Fn(State<S>, Request) -> F + 'static,
    F: Future<Output = Response> + 'static,
{
    Rc::new(Stored { begin, slots: Slots::new() })
}

fn stored_middleware<S, M, F>(begin: M) -> Rc<dyn Middleware<S>>
where
    S: 'static,
    M: Fn(State<S>, Request, Rc<dyn Endpoint>) -> F + 'static,
    F: Future<Output = Response> + 'static,
{
    Rc::new(Stored { begin, slots: Slots::new() })
}

impl<S, M, F> Unbound<S> for Stored<M, F>
where
    S: 'static,
    M: Fn(State<S>, Request) -> F + 'static,
    F: Future<Output = Response> + 'static,
{
    fn bind(self: Rc<Self>, state: &State<S>) -> Rc<dyn Endpoint> {
        Rc::new(BoundHandler { handler: self, state: Rc::clone(state) })
    }
}

impl<S, M, F> Middleware<S> for Stored<M, F>
where
    M: Fn(State<S>, Request, Rc<dyn Endpoint>) -> F,
    F: Future<Output = Response> + 'static,
{
    fn call(&self, state: &State<S>, request: Request, inner: &Rc<dyn Endpoint>) -> Answer {
        self.slots.start((self.begin)(Rc::clone(state), request, Rc::clone(inner)))
    }
}

struct BoundHandler<S, M, F> {
    handler: Rc<Stored<M, F>>,
    state: State<S>,
}

impl<S, M, F> Endpoint for BoundHandler<S, M, F>
where
    M: Fn(State<S>, Request) -> F,
    F: Future<Output = Response> + 'static,
{
    fn call(&self, request: Request) -> Answer {
        self.handler.slots.start((self.handler.begin)(Rc::clone(&self.state), request))
    }
}

struct Wrapped<S> {
    middleware: Rc<dyn Middleware<S>>,
    inner: SharedEndpoint<S>,
}

impl<S: 'static> Unbound<S> for Wrapped<S> {
    fn bind(self: Rc<Self>, state: &State<S>) -> Rc<dyn Endpoint> {
        let inner = Rc::clone(&self.inner).bind(state);
        Rc::new(BoundMiddleware { middleware: Rc::clone(&self.middleware), state: Rc::clone(state), inner })
    }
}

struct BoundMiddleware<S> {
    middleware: Rc<dyn Middleware<S>>,
    state: State<S>,
    inner: Rc<dyn Endpoint>,
}

impl<S> Endpoint for BoundMiddleware<S> {
    fn call(&self, request: Request) -> Answer {
        self.middleware.call(&self.state, request, &self.inner)
    }
}

struct OfPart<S, P> {
    part: fn(&S) -> &P,
    inner: SharedEndpoint<P>,
}

impl<S: 'static, P: 'static> Unbound<S> for OfPart<S, P> {
    fn bind(self: Rc<Self>, state: &State<S>) -> Rc<dyn Endpoint> {
        let part: State<P> = Rc::new(Part { whole: Rc::clone(state), part: self.part });
        Rc::clone(&self.inner).bind(&part)
    }
}

struct Whole<S>(S);

impl<S> Holds<S> for Whole<S> {
    fn get(&self) -> &S {
        &self.0
    }
}

struct Part<S, P> {
    whole: State<S>,
    part: fn(&S) -> &P,
}

impl<S, P> Holds<P> for Part<S, P> {
    fn get(&self) -> &P {
        (self.part)(self.whole.get())
    }
}
