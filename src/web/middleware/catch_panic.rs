//! An answer of one's own for a handler that panicked.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::conn::{Request, Response};
use crate::web::{IntoResponse, Next};

/// What a handler panicked with.
pub struct Panic(Box<dyn Any + Send>);

impl Panic {
    /// The message, if the panic had one. It is for the log: it may say what no client should know.
    #[must_use]
    pub fn message(&self) -> &str {
        let text = self.0.downcast_ref::<&'static str>().copied();
        text.or_else(|| self.0.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message()).finish()
    }
}

/// Answers by `answer` when what is inside panics. The connection goes on, and the panic is counted in
/// [`ServerStats::panics`](crate::ServerStats::panics).
///
/// Without it a panic is answered too: with a plain 500, behind which the connection closes. A body that panics while it
/// is streamed is beyond this middleware: its answer has begun.
///
/// ```
/// use ringhttp::{Html, Router, StatusCode, middleware};
///
/// let router = Router::new().get("/", async |_: &(), _| "hello").with(middleware::catch_panic(|_: &(), panic| {
///     eprintln!("a handler panicked: {}", panic.message());
///     (StatusCode::INTERNAL_SERVER_ERROR, Html("<h1>That was us</h1>"))
/// }));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn catch_panic<S: 'static, R: IntoResponse + 'static>(
    answer: impl Fn(&S, Panic) -> R + 'static,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    async move |state: &S, req: Request, next: Next<'_, S>| {
        let stats = req.server_stats();
        let mut handler = pin!(next.run(req));
        let result = poll_fn(|cx| {
            // It is not polled again after a panic; what it shares with others is theirs to keep whole.
            match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(Panic(panic))),
            }
        })
        .await;
        result.unwrap_or_else(|panic| {
            stats.panics.set(stats.panics.get() + 1);
            answer(state, panic).into_response()
        })
    }
}
