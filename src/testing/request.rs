//! Requests without a server, for handlers that are tested by calling them.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::task::{Context, Waker};

use ringhttp_runtime::buffer::BufferPool;
use ringhttp_runtime::time::Timers;

use crate::conn::{Connection, Host, Request, Response, ServerConfig, serve_connection};
use crate::io::duplex::Duplex;
use crate::io::transport::Transport;

/// The request that a client makes by sending `message`, a head and as much of the body as its handler will read. It is on
/// no route: its `param`s are unknown.
///
/// # Panics
/// If `message` does not begin with a complete head that a server takes.
#[must_use]
pub(crate) fn request(message: &[u8]) -> Request {
    let timers = Timers::new();
    timers.pause();
    let host = Rc::new(Host::new(ServerConfig::default(), Rc::default(), BufferPool::new(), timers));
    let (near, far) = Duplex::pair();
    far.send(message);
    far.end();
    let connection = Connection::new(host, Transport::Duplex(near), None, None);
    let arrived = Rc::new(Cell::new(None));
    let slot = Rc::clone(&arrived);
    // The service keeps the request and never answers, so what is left of the body stays readable.
    let service = async move |request: Request| {
        slot.set(Some(request));
        pending::<Response>().await
    };
    let mut serving = Box::pin(async move { serve_connection(connection, None, &service, drop).await });
    let _ = serving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    // The connection closes when it is no longer served, so it is served as long as the process of the test lasts.
    Box::leak(Box::new(serving));
    arrived.take().expect("the message begins with a complete head")
}
