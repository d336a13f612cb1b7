//! What carries the bytes of a connection. Everything above sees one interface, whichever it is: start an operation, poll
//! for its end, and nothing is lost when whoever polled goes away.
#![forbid(unsafe_code)]

use std::io;
use std::task::{Context, Poll};

use bytes::BytesMut;
use ringhttp_runtime::buffer::WriteBatch;
use ringhttp_runtime::stream::Stream;

#[cfg(test)]
use super::duplex::Duplex;

/// The carrier of one connection.
#[derive(Debug)]
pub(crate) enum Transport {
    /// A TCP or Unix socket.
    Socket(Stream),
    /// One end of a pair in memory.
    #[cfg(test)]
    Duplex(Duplex),
}

impl Transport {
    pub(crate) fn is_reading(&self) -> bool {
        match self {
            Self::Socket(stream) => stream.is_reading(),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.is_reading(),
        }
    }

    pub(crate) fn start_read(&mut self, buffer: BytesMut) {
        match self {
            Self::Socket(stream) => stream.start_read(buffer),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.start_read(buffer),
        }
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<usize>, BytesMut)> {
        match self {
            Self::Socket(stream) => stream.poll_read(cx),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.poll_read(cx),
        }
    }

    pub(crate) fn is_writing(&self) -> bool {
        match self {
            Self::Socket(stream) => stream.is_writing(),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.is_writing(),
        }
    }

    pub(crate) fn start_write(&mut self, batch: WriteBatch) {
        match self {
            Self::Socket(stream) => stream.start_write(batch),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.start_write(batch),
        }
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<()>, WriteBatch)> {
        match self {
            Self::Socket(stream) => stream.poll_write(cx),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.poll_write(cx),
        }
    }

    /// Whether the kernel can take parts of files by itself.
    pub(crate) fn takes_files(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            #[cfg(test)]
            Self::Duplex(_) => false,
        }
    }

    /// Gives up memory that is not needed while nothing is written.
    pub(crate) fn rest(&mut self) {
        match self {
            Self::Socket(stream) => stream.rest(),
            #[cfg(test)]
            Self::Duplex(_) => {}
        }
    }

    /// Bytes the other side of the transport has taken so far: what a write stall is judged by.
    pub(crate) fn written(&self) -> u64 {
        match self {
            Self::Socket(stream) => stream.written(),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.written(),
        }
    }

    pub(crate) fn shutdown_write(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Socket(stream) => stream.shutdown_write(cx),
            #[cfg(test)]
            Self::Duplex(duplex) => duplex.shutdown_write(),
        }
    }
}
