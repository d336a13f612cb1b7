//! What is said on a client's connection before it speaks HTTP, to a proxy that speaks something else.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

use bytes::Buf;

use super::{ClientConnection, Phase};
use crate::io::read_buffer::Purpose;

impl ClientConnection {
    /// Sends a question, and reads its reply. `read` says how many of the bytes that have come the reply takes, and what it says; `None`: more
    /// are to come.
    ///
    /// # Errors
    /// Outside: the connection is gone. Inside: what `read` found.
    ///
    /// # Cancellation
    /// A part of it may have been said: the connection is of no more use.
    pub(crate) async fn converse<T, E>(
        &mut self,
        question: &[u8],
        read: impl Fn(&[u8]) -> Result<Option<(usize, T)>, E>,
    ) -> io::Result<Result<T, E>> {
        assert_eq!(self.phase, Phase::Idle, "nothing of HTTP was said");
        self.wire.output().buffer().extend_from_slice(question);
        poll_fn(|cx| {
            loop {
                let flushed = self.wire.poll_flush(cx)?;
                if !self.wire.is_filling() {
                    match read(self.wire.input()) {
                        Ok(Some((length, reply))) if flushed.is_ready() => {
                            self.wire.input().advance(length);
                            return Poll::Ready(Ok(Ok(reply)));
                        }
                        // Who replies before it is asked has to wait for the question.
                        Ok(Some(_)) => return Poll::Pending,
                        Ok(None) => {}
                        Err(error) => return Poll::Ready(Ok(Err(error))),
                    }
                }
                if ready!(self.wire.poll_fill(cx, Purpose::More))? == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        })
        .await
    }

    /// The connection, unless the other end has said something more already, which no server of HTTP does.
    pub(crate) fn into_silent(mut self) -> Option<Self> {
        let is_silent = !self.wire.is_filling() && self.wire.input().is_empty() && !self.wire.has_ended();
        is_silent.then_some(self)
    }
}
