//! What carries the bytes of a connection. Everything above sees one interface, whichever it is: start an operation, poll
//! for its end, and nothing is lost when whoever polled goes away.
#![forbid(unsafe_code)]

use std::io;
use std::task::{Context, Poll, ready};

use ringhttp_runtime::buffer::WriteBatch;
use ringhttp_runtime::stream::{Stream, Written};

#[cfg(test)]
use super::duplex::Duplex;
use super::read_buffer::{Purpose, ReadBuffer};
#[cfg(feature = "rustls")]
use super::tls::Tls;

/// The carrier of one connection.
#[derive(Debug)]
pub(crate) enum Transport {
    /// A TCP or Unix socket.
    Socket(Stream),
    /// Another carrier, with TLS over it.
    #[cfg(feature = "rustls")]
    Tls(Box<Tls>),
    /// One end of a pair in memory.
    #[cfg(test)]
    Duplex(Duplex),
}

/// What each request passes is inlined by hand: TLS calls it too, for what is below it, and with two callers the compiler
/// does not see by itself that one of them counts.
impl Transport {
    #[inline(always)]
    pub(crate) fn is_reading(&self) -> bool {
        match self {
            Self::Socket(stream) => stream.is_reading(),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.is_reading(),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.is_reading(),
        }
    }

    /// Starts a read for `purpose`, to which the unread bytes of `input` are lent.
    #[inline(always)]
    pub(crate) fn start_fill(&mut self, input: &mut ReadBuffer, purpose: Purpose) {
        match self {
            Self::Socket(stream) => {
                let expects_more = input.expects_more();
                let buffer = input.lend(purpose);
                if expects_more { stream.start_read_at_once(buffer) } else { stream.start_read(buffer) }
            }
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.start_fill(input, purpose),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.start_read(input.lend(purpose)),
        }
    }

    /// The end of the read under way: `input` has its bytes back, and so many more. 0 is the end of the peer's side.
    #[inline(always)]
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut ReadBuffer,
    ) -> Poll<io::Result<usize>> {
        let (result, buffer) = match self {
            Self::Socket(stream) => ready!(stream.poll_read(cx)),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => return tls.poll_fill(cx, input),
            #[cfg(test)]
            Self::Duplex(duplex) => ready!(duplex.poll_read(cx)),
        };
        input.restore(buffer, *result.as_ref().unwrap_or(&0));
        Poll::Ready(result)
    }

    #[inline(always)]
    pub(crate) fn is_writing(&self) -> bool {
        match self {
            Self::Socket(stream) => stream.is_writing(),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.is_writing(),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.is_writing(),
        }
    }

    /// Starts a write, which may be done already.
    #[inline(always)]
    pub(crate) fn start_write(&mut self, batch: WriteBatch) -> Poll<Written> {
        match self {
            Self::Socket(stream) => stream.start_write(batch),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => {
                tls.start_write(batch);
                Poll::Pending
            }
            #[cfg(test)]
            Self::Duplex(duplex) => {
                duplex.start_write(batch);
                Poll::Pending
            }
        }
    }

    #[inline(always)]
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Written> {
        match self {
            Self::Socket(stream) => stream.poll_write(cx),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.poll_write(cx),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.poll_write(cx),
        }
    }

    /// Whether the kernel can take parts of files by itself.
    pub(crate) fn takes_files(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            #[cfg(feature = "rustls")]
            Self::Tls(_) => false,
            #[cfg(test)]
            Self::Duplex(_) => false,
        }
    }

    /// Gives up memory that is not needed while nothing is written.
    pub(crate) fn rest(&mut self) {
        match self {
            Self::Socket(stream) => stream.rest(),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.rest(),
            #[cfg(test)]
            Self::Duplex(_) => {}
        }
    }

    /// Bytes the other side of the transport has taken so far: what a write stall is judged by.
    pub(crate) fn written(&self) -> u64 {
        match self {
            Self::Socket(stream) => stream.written(),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.written(),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.written(),
        }
    }

    #[cfg_attr(
        not(feature = "rustls"),
        expect(unused_variables, clippy::needless_pass_by_ref_mut, reason = "TLS says that it ends")
    )]
    pub(crate) fn shutdown_write(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Socket(stream) => stream.shutdown_write(),
            #[cfg(feature = "rustls")]
            Self::Tls(tls) => tls.shutdown_write(cx),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.shutdown_write(),
        }
    }
}

#[cfg(feature = "rustls")]
impl Transport {
    /// The TLS that is spoken over it.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        let Self::Tls(tls) = self else { return None };
        Some(tls)
    }

    pub(crate) fn tls_mut(&mut self) -> Option<&mut Tls> {
        let Self::Tls(tls) = self else { return None };
        Some(tls)
    }
}
