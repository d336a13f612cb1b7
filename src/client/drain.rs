//! Bodies that nobody asks for, as those of redirects, which are short mostly: read so that their connections can be used again.
//!
//! A server that gives them drop by drop holds the next request up, so they are read for a while only.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use super::pool::Lease;
use super::session::Shared;

/// Reads the body of an answer to its end, and gives the connection back; else closes it.
pub(super) async fn drain(shared: &Shared, mut lease: Lease, idle_timeout: Option<Duration>) {
    let connection = lease.connection().expect("an exchange is under way");
    if drains(shared, |cx| connection.poll_body(cx)).await {
        lease.release(idle_timeout);
    }
}

/// Takes pieces of a body to its end: false if it fails, or is not worth a connection.
pub(super) async fn drains<T, E>(
    shared: &Shared,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<Option<T>, E>>,
) -> bool
where
    T: AsRef<[u8]>,
{
    let bytes_max = shared.config.drain_bytes_max;
    let mut bytes = 0;
    let all = poll_fn(|cx| {
        loop {
            match poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(piece))) => bytes += piece.as_ref().len() as u64,
                Poll::Ready(Ok(None)) => return Poll::Ready(true),
                Poll::Ready(Err(_)) => return Poll::Ready(false),
            }
            if bytes > bytes_max {
                return Poll::Ready(false);
            }
        }
    });
    shared.core.timers().timeout(shared.config.drain_timeout, all).await.unwrap_or(false)
}
