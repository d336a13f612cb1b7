//! When a request has its answer: a handler that takes its connection over (a WebSocket, say) has answered with that, and
//! goes on as the session for as long as it likes.
#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use crate::conn::{Response, Takeover};

/// Waits for the answer of `handler`; `None` once its connection has been taken over. It then has to be awaited further: it is
/// the session.
///
/// # Cancellation
/// Nothing is lost: the handler is where it was.
pub(super) async fn answered<F: Future<Output = Response>>(
    mut handler: Pin<&mut F>,
    takeover: &Takeover,
) -> Option<Response> {
    poll_fn(|cx| match handler.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending if takeover.happened() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}
