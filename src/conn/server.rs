//! Serving a connection: the loop that tells the whole story. The steps are in `exchange.rs`, the waits in
//! `connection.rs`.
#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::{Method, StatusCode, Version};

use super::close_reason::CloseReason;
use super::config::ProxyProtocol;
use super::connection::{Connection, HeadWait, Meanwhile, NoHead};
use super::exchange;
use super::host::count;
use super::proxy;
use super::request::{Exchange, Request};
use super::response::Response;
use super::tls::{self, Acceptor};
use crate::error::Error;
use crate::proto::http1::RequestHead;

/// What answers requests: a router with its state, or any function of a request.
///
/// Implemented for `impl AsyncFn(Request) -> Response`.
pub trait Service: 'static {
    /// Answers one request. The future is dropped when `handler_timeout` passes, when the server is cut off, or when the
    /// client is found to be gone: that is noticed while its request body is read or something is written to it, and while
    /// the handler waits for something else only if [`CancelOnDisconnect`](crate::CancelOnDisconnect) says so.
    fn call(&self, request: Request) -> impl Future<Output = Response>;
}

impl<F: AsyncFn(Request) -> Response + 'static> Service for F {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self(request)
    }
}

/// Serves one connection until it ends, one request after another, and says why it ended, to `ended`: a future around this one
/// would keep room for its arguments once more. With an acceptor it speaks TLS.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would keep room for each of its arguments twice")]
pub(crate) fn serve_connection<T>(
    connection: Rc<Connection>,
    acceptor: Option<Rc<Acceptor>>,
    service: impl Deref<Target = impl Service>,
    ended: impl FnOnce(CloseReason) -> T,
) -> impl Future<Output = T> {
    async move {
        let open = Open(&connection);
        register_task(&connection).await;
        let prepared = match prepare(&connection, &acceptor) {
            Some(preparing) => preparing.await,
            None => Ok(()),
        };
        let mut reason = match prepared {
            Ok(()) => serve_requests(&connection, &*service).await,
            Err(reason) => reason,
        };
        if let Some(ending) = end_tls(&connection, reason) {
            reason = ending.await;
        }
        connection.end_entry(Some(reason));
        drop(open);
        ended(reason)
    }
}

/// A step that most connections do not take. It is made apart, so that the loop of requests stays a small part of its task.
type RareStep<'connection, T> = Option<Pin<Box<dyn Future<Output = T> + 'connection>>>;

/// What comes before the first request: a proxy's word about the client, then TLS.
#[inline(never)]
fn prepare<'connection>(
    connection: &'connection Rc<Connection>,
    acceptor: &Option<Rc<Acceptor>>,
) -> RareStep<'connection, Result<(), CloseReason>> {
    let has_header = connection.host.config.proxy_protocol == ProxyProtocol::Required;
    if !has_header && acceptor.is_none() {
        return None;
    }
    let acceptor = acceptor.clone();
    Some(Box::pin(async move {
        if has_header {
            proxy::read_header(connection).await?;
        }
        match acceptor {
            Some(acceptor) => tls::accept(connection, &acceptor).await,
            None => Ok(()),
        }
    }))
}

/// What comes behind the last, over TLS.
#[inline(never)]
fn end_tls(connection: &Connection, reason: CloseReason) -> RareStep<'_, CloseReason> {
    connection.tls.get()?;
    Some(Box::pin(tls::end(connection, reason)))
}

/// Closes the connection when it is no longer served, whichever way that ended and whoever still has a part of it.
struct Open<'connection>(&'connection Connection);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[expect(clippy::manual_async_fn, reason = "as above")]
fn serve_requests(connection: &Rc<Connection>, service: &impl Service) -> impl Future<Output = CloseReason> {
    async move {
        let mut first = true;
        loop {
            // 1. The head, within the keep-alive and then the head deadline. Meanwhile earlier answers leave.
            let exchange = match read_head(connection, first).await {
                Ok(exchange) => exchange,
                Err(NoHead::Close(reason)) => return reason,
                Err(NoHead::Refuse(status, method)) => {
                    return Box::pin(exchange::refuse(connection, status, method)).await;
                }
                Err(NoHead::TimedOut) => return Box::pin(exchange::refuse_late(connection)).await,
            };
            first = false;
            if connection.has_many_answers()
                && let Err(reason) = Box::pin(exchange::give_way(connection)).await
            {
                return reason;
            }
            let cycle = Cycle::new(&exchange.head);
            // 2. The handler, which may read the body or take the connection over.
            let answered = {
                let handler = pin!(service.call(begin_request(connection, exchange)));
                run_handler(connection, handler).await
            };
            let response = match answered {
                Ok(response) => response,
                Err(reason) => return reason,
            };
            if connection.was_taken() {
                // What the handler returned is for nobody but the log. Its session may go on elsewhere.
                connection.log_failure(&response);
                return poll_fn(|cx| connection.poll_session_end(cx)).await;
            }
            // 3. The response: queued if it is small, sent bit by bit if it is a stream.
            let close = match exchange::write_response(connection, &cycle, response).end().await {
                Ok(close) => close,
                Err(reason) => return reason,
            };
            if close.is_some() || connection.body_is_done() {
                connection.end_entry(close);
            } else {
                connection.complete_entry();
            }
            // 4. What is left of the request body is drained within limits, or this was the last cycle.
            if let Err(reason) = exchange::finish_cycle(connection, close).await {
                return reason;
            }
            connection.end_entry(None);
        }
    }
}

/// What the rest of a cycle has to know of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cycle {
    pub(super) method: CycleMethod,
    pub(super) version: Version,
    pub(super) keep_alive: bool,
}

/// The methods whose answers are framed in their own way (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CycleMethod {
    Head,
    Connect,
    Other,
}

impl Cycle {
    fn new(head: &RequestHead) -> Self {
        Self { method: CycleMethod::of(head), version: head.version, keep_alive: head.keep_alive }
    }
}

impl CycleMethod {
    fn of(head: &RequestHead) -> Self {
        match head.method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }
}

async fn register_task(connection: &Connection) {
    poll_fn(|cx| {
        connection.register_task(cx.waker());
        Poll::Ready(())
    })
    .await;
}

async fn read_head(connection: &Connection, first: bool) -> Result<Box<Exchange>, NoHead> {
    let mut wait = HeadWait::new(first);
    let exchange = poll_fn(|cx| connection.poll_head(cx, &mut wait)).await?;
    if connection.is_misdirected(&exchange.head) {
        // RFC 9110 §15.5.20: it is not for this connection.
        connection.begin_entry(&exchange.head);
        return Err(NoHead::Refuse(StatusCode::MISDIRECTED_REQUEST, CycleMethod::of(&exchange.head)));
    }
    Ok(exchange)
}

/// A request that was read, counted and noted.
fn begin_request(connection: &Rc<Connection>, exchange: Box<Exchange>) -> Request {
    count(&connection.host.stats.requests);
    connection.begin_entry(&exchange.head);
    let request = Request::new(exchange, Rc::clone(connection));
    connection.note_client(&request);
    request
}

/// Waits for the handler. While it waits for something itself, earlier answers leave; a failed connection, a passed
/// deadline or the cut end the wait, and a panic in it is an answer of 500.
///
/// No `async fn`, nor does it own the handler: either would keep room for the arguments twice.
fn run_handler(
    connection: &Connection,
    mut handler: Pin<&mut impl Future<Output = Response>>,
) -> impl Future<Output = Result<Response, CloseReason>> {
    let mut wait: Option<Meanwhile> = None;
    poll_fn(move |cx| {
        match connection.in_turn(|| catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx)))) {
            Ok(Poll::Ready(response)) => return Poll::Ready(Ok(response)),
            Ok(Poll::Pending) => {}
            Err(_) => return Poll::Ready(Ok(panicked(connection))),
        }
        let limit = connection.host.config.handler_timeout;
        let wait = wait.get_or_insert_with(|| Meanwhile::new(connection, limit).watching_peer());
        match connection.poll_meanwhile(cx, wait) {
            Poll::Ready(CloseReason::HandlerTimeout) => Poll::Ready(Ok(timed_out())),
            Poll::Ready(reason) => Poll::Ready(Err(reason)),
            Poll::Pending => Poll::Pending,
        }
    })
}

fn panicked(connection: &Connection) -> Response {
    count(&connection.host.stats.panics);
    Error::new(StatusCode::INTERNAL_SERVER_ERROR).with_close(CloseReason::HandlerPanicked).into()
}

fn timed_out() -> Response {
    let error = Error::new(StatusCode::SERVICE_UNAVAILABLE).with_text("the request took too long");
    error.with_close(CloseReason::HandlerTimeout).into()
}
