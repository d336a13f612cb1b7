//! Server-sent events as an answer (WHATWG HTML §9.2): a stream that stays open while nothing happens, and ends when the
//! server stops.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use ringhttp_runtime::sync::{Either, race};
use ringhttp_runtime::time::Instant;

use super::into_response::IntoResponse;
use crate::conn::{BodySender, Request, Response};
use crate::error::{Error, Result};
use crate::proto::sse::KEEP_ALIVE;

pub use crate::proto::sse::Event;

/// How long a stream is quiet before a comment is sent, unless [`Sse::with_keep_alive`] says otherwise: proxies give up
/// after 30 to 60 s.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(15);

/// The shortest time between two comments, so that no setting makes them a flood.
const KEEP_ALIVE_AFTER_MIN: Duration = Duration::from_millis(10);

/// An answer of events, which `write` sends one by one.
///
/// `write` runs after the handler has returned, so it owns what it needs. It is dropped where it waits when the client is
/// gone (which a failing write shows, that of a keep-alive comment at the latest), and when the server begins to stop: the
/// stream then ends as if `write` had returned, and the client connects again elsewhere. An error ends it in the middle.
///
/// ```
/// use std::time::Duration;
/// use ringhttp::sse::{self, Event, Sse};
/// use ringhttp::{Request, time};
///
/// async fn ticks(_: &(), req: Request) -> Sse {
///     // A client that connects again says what it saw last.
///     let seen: u64 = req.last_event_id().and_then(|id| id.parse().ok()).unwrap_or(0);
///     sse::stream(async move |mut events| {
///         for n in seen + 1.. {
///             events.send(Event::data(format!("tick {n}")).id(n.to_string())).await?;
///             time::sleep(Duration::from_secs(1)).await;
///         }
///         Ok(())
///     })
/// }
/// # ringhttp::Router::new().get("/ticks", ticks);
/// ```
pub fn stream(write: impl AsyncFnOnce(Events) -> Result<()> + 'static) -> Sse {
    Sse {
        start: Box::new(move |events| Box::pin(async move { write(events).await })),
        keep_alive: Some(KEEP_ALIVE_AFTER),
    }
}

/// An answer of server-sent events: see [`stream`].
#[must_use = "it is an answer only when a handler returns it"]
pub struct Sse {
    start: Box<dyn FnOnce(Events) -> Writing>,
    keep_alive: Option<Duration>,
}

type Writing = Pin<Box<dyn Future<Output = Result<()>>>>;

impl Sse {
    /// Sets how long the stream may be quiet until a comment is sent, which receivers ignore and which keeps proxies from
    /// closing it. Default 15 s; no less than 10 ms.
    pub fn with_keep_alive(mut self, after: Duration) -> Self {
        self.keep_alive = Some(after.max(KEEP_ALIVE_AFTER_MIN));
        self
    }

    /// Sends no comments. A client that goes away while nothing is sent is then not noticed.
    pub fn without_keep_alive(mut self) -> Self {
        self.keep_alive = None;
        self
    }
}

/// With `Cache-Control: no-store`, and `X-Accel-Buffering: no`, by which nginx and others pass events on at once.
impl IntoResponse for Sse {
    fn into_response(self) -> Response {
        Response::stream(async move |out| run(out, self).await)
            .with_header(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
            .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .with_header("x-accel-buffering", HeaderValue::from_static("no"))
    }
}

/// Runs the writer, and the comments beside it, until the stop. All are polled by the connection's task, and each queues
/// whole events only, so a comment never stands inside one.
async fn run(out: BodySender, sse: Sse) -> Result<()> {
    let sent = Rc::new(Cell::new(out.timers().now()));
    let writing = (sse.start)(Events { out: out.twin(), sent: Rc::clone(&sent) });
    let kept_open = keep_open(out.twin(), sse.keep_alive, sent);
    let ended = race(writing, race(kept_open, out.stopping())).await;
    match ended {
        Either::First(written) => written,
        Either::Second(Either::First(gone)) => gone,
        Either::Second(Either::Second(())) => Ok(()),
    }
}

/// Sends a comment whenever nothing was sent for `after`. Returns only when the client is gone.
async fn keep_open(mut out: BodySender, after: Option<Duration>, sent: Rc<Cell<Instant>>) -> Result<()> {
    let Some(after) = after else {
        return std::future::pending().await;
    };
    let timers = out.timers().clone();
    loop {
        let due = sent.get() + after;
        if timers.now() < due {
            timers.sleep_until(due).await;
            continue;
        }
        // A client that does not even take the events needs no comments: there is never more than one.
        out.flush().await?;
        out.write(Bytes::from_static(KEEP_ALIVE)).await?;
        sent.set(timers.now());
    }
}

/// Sends events to one client.
pub struct Events {
    out: BodySender,
    /// When something was sent last.
    sent: Rc<Cell<Instant>>,
}

impl Events {
    /// Queues an event, and waits while more than `ServerConfig::write_buffer_bytes_max` bytes wait for the kernel: a client
    /// that reads slowly slows its writer down. What is queued leaves as soon as the writer waits for something.
    ///
    /// # Errors
    /// If the client is gone; 500 if the id or the type of the event has a line end, or the id a NUL.
    ///
    /// # Cancellation
    /// The event is queued by the first poll; dropping the future after that loses nothing.
    pub async fn send(&mut self, event: Event) -> Result<()> {
        let mut bytes = BytesMut::new();
        event.encode(&mut bytes).map_err(Error::internal)?;
        self.sent.set(self.out.timers().now());
        self.out.write(bytes).await
    }

    /// Waits until all events are with the kernel.
    ///
    /// # Errors
    /// If the client is gone.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn flush(&mut self) -> Result<()> {
        self.out.flush().await
    }
}

impl Request {
    /// The id of the last event that the client has seen, if it connects again and there was one.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        let id = str::from_utf8(self.header("last-event-id")?.as_bytes()).ok()?;
        (!id.is_empty()).then_some(id)
    }
}

impl fmt::Debug for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse").field("keep_alive", &self.keep_alive).finish_non_exhaustive()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
