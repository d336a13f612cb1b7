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
use std::task::Context;

use super::into_response::IntoResponse;
use super::slot::{Begun, Call, Slots};
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
        Call::new(self.endpoint, request)
    }
}

impl<S> fmt::Debug for Next<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

/// Whatever answers a request: a handler, or one with middleware around it, with its state.
pub(crate) trait Endpoint {
    /// Begins to answer, and goes on as far as it can without waiting.
    fn begin(&self, request: Request, cx: &mut Context<'_>) -> Begun;
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

/// What stands between a request and its endpoint, without either.
pub(crate) trait Middleware<S> {
    fn bind(self: Rc<Self>, state: &State<S>, inner: Rc<dyn Endpoint>) -> Rc<dyn Endpoint>;
}

/// Stores a handler.
pub(crate) fn endpoint<S, H, R>(handler: H) -> SharedEndpoint<S>
where
    S: 'static,
    H: AsyncFn(&S, Request) -> R + 'static,
    R: IntoResponse + 'static,
{
    stored_handler(handler, |own: Rc<Handler<S, H>>, request| async move {
        (own.function)(own.state.get(), request).await.into_response()
    })
}

/// Stores a middleware.
pub(crate) fn middleware<S, M, R>(middleware: M) -> Rc<dyn Middleware<S>>
where
    S: 'static,
    M: AsyncFn(&S, Request, Next<'_, S>) -> R + 'static,
    R: IntoResponse + 'static,
{
    stored_middleware(middleware, |own: Rc<Around<S, M>>, request| async move {
        let next = Next { endpoint: &*own.inner, state: PhantomData };
        (own.function)(own.state.get(), request, next).await.into_response()
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

/// What the calls of a handler borrow.
struct Handler<S, H> {
    function: Rc<H>,
    state: State<S>,
}

/// What the calls of a middleware borrow.
struct Around<S, M> {
    function: Rc<M>,
    state: State<S>,
    inner: Rc<dyn Endpoint>,
}

/// A function that is not bound yet, and how it is called.
struct Stored<H, B, F> {
    function: Rc<H>,
    calls: Rc<Calls<B, F>>,
}

/// What begins the calls of a function, and their memory.
struct Calls<B, F> {
    begin: B,
    slots: Rc<Slots<F>>,
}

impl<H, B, F: Future<Output = Response> + 'static> Stored<H, B, F> {
    fn new(function: H, begin: B) -> Rc<Self> {
        Rc::new(Self { function: Rc::new(function), calls: Rc::new(Calls { begin, slots: Slots::new() }) })
    }
}

fn stored_handler<S, H, B, F>(handler: H, begin: B) -> SharedEndpoint<S>
where
    S: 'static,
    H: 'static,
    B: Fn(Rc<Handler<S, H>>, Request) -> F + 'static,
    F: Future<Output = Response> + 'static,
{
    Stored::new(handler, begin)
}

fn stored_middleware<S, M, B, F>(middleware: M, begin: B) -> Rc<dyn Middleware<S>>
where
    S: 'static,
    M: 'static,
    B: Fn(Rc<Around<S, M>>, Request) -> F + 'static,
    F: Future<Output = Response> + 'static,
{
    Stored::new(middleware, begin)
}

impl<S, H, B, F> Unbound<S> for Stored<H, B, F>
where
    S: 'static,
    H: 'static,
    B: Fn(Rc<Handler<S, H>>, Request) -> F + 'static,
    F: Future<Output = Response> + 'static,
{
    fn bind(self: Rc<Self>, state: &State<S>) -> Rc<dyn Endpoint> {
        let own = Handler { function: Rc::clone(&self.function), state: Rc::clone(state) };
        Rc::new(Bound { own: Rc::new(own), calls: Rc::clone(&self.calls) })
    }
}

impl<S, M, B, F> Middleware<S> for Stored<M, B, F>
where
    S: 'static,
    M: 'static,
    B: Fn(Rc<Around<S, M>>, Request) -> F + 'static,
    F: Future<Output = Response> + 'static,
{
    fn bind(self: Rc<Self>, state: &State<S>, inner: Rc<dyn Endpoint>) -> Rc<dyn Endpoint> {
        let own = Around { function: Rc::clone(&self.function), state: Rc::clone(state), inner };
        Rc::new(Bound { own: Rc::new(own), calls: Rc::clone(&self.calls) })
    }
}

/// A function with all that its calls borrow.
struct Bound<W, B, F> {
    own: Rc<W>,
    calls: Rc<Calls<B, F>>,
}

impl<W, B, F> Endpoint for Bound<W, B, F>
where
    B: Fn(Rc<W>, Request) -> F,
    F: Future<Output = Response> + 'static,
{
    fn begin(&self, request: Request, cx: &mut Context<'_>) -> Begun {
        self.calls.slots.begin((self.calls.begin)(Rc::clone(&self.own), request), cx)
    }
}

struct Wrapped<S> {
    middleware: Rc<dyn Middleware<S>>,
    inner: SharedEndpoint<S>,
}

impl<S: 'static> Unbound<S> for Wrapped<S> {
    fn bind(self: Rc<Self>, state: &State<S>) -> Rc<dyn Endpoint> {
        let inner = Rc::clone(&self.inner).bind(state);
        Rc::clone(&self.middleware).bind(state, inner)
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
