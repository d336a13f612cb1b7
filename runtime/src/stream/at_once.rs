//! A write that begins by itself instead of with the ring's next turn: what was just made leaves while the processor's cache has it.
//! The ring has the rest of what the socket does not take.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use bytes::Buf;
use monoio::io::OwnedWriteHalf;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

use super::send_file::Writable;
use super::{Stream, WriteHalf, progress};
use crate::buffer::{Chunks, IOVEC_COUNT_MAX, WriteBatch, borrow_fd, socket_of};
use crate::core::Core;
use crate::driver::DriverKind;

/// From so many bytes on, a write does not wait for the ring to be entered. By then the core has worked on other connections, and
/// what is to be sent has left the processor's cache: reading it again costs more than a system call.
const AT_ONCE_BYTES_MIN: usize = 16 * 1024;

/// Whether a write is large enough on a ring, or was asked to leave.
pub(super) fn leaves_at_once(chunks: &mut Chunks) -> bool {
    chunks.take_leaves_at_once() || (chunks.remaining() >= AT_ONCE_BYTES_MIN && is_on_ring())
}

fn is_on_ring() -> bool {
    Core::current().is_some_and(|core| core.driver() == DriverKind::IoUring)
}

/// Sends what the socket takes now, which may be nothing.
pub(super) fn send_at_once<S: Writable>(
    half: &OwnedWriteHalf<S>,
    chunks: &mut Chunks,
    written: &Cell<u64>,
) -> io::Result<()> {
    if let Some(sent) = send_views(borrow_fd(socket_of(half)), chunks)? {
        chunks.advance(progress(Ok(sent), written)?);
    }
    Ok(())
}

impl Stream {
    /// Sends what the socket takes of `batch` now, in a system call of its own, and takes that out of `batch`. What is left is
    /// for [`start_write`](Self::start_write). Of a file it sends nothing.
    ///
    /// # Errors
    /// The socket's.
    ///
    /// # Panics
    /// If a write is under way.
    pub fn write_at_once(&mut self, batch: &mut WriteBatch) -> io::Result<()> {
        assert!(!self.is_writing(), "one write at a time");
        self.rest();
        // A writer that is ending this side of the connection keeps the socket.
        let Some(half) = &self.resting else { return Ok(()) };
        let socket = half.fd();
        let sent = match batch {
            WriteBatch::One(buffer) => taken(send(socket, buffer, AT_ONCE))?,
            WriteBatch::Many(chunks) => send_views(socket, chunks)?,
            WriteBatch::File(_) => None,
        };
        let Some(sent) = sent else { return Ok(()) };
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.written_before += sent as u64;
        match batch {
            WriteBatch::One(buffer) => buffer.advance(sent),
            WriteBatch::Many(chunks) => chunks.advance(sent),
            WriteBatch::File(_) => {}
        }
        Ok(())
    }
}

impl WriteHalf {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(half) => borrow_fd(socket_of(half)),
            Self::Unix(half) => borrow_fd(socket_of(half)),
        }
    }
}

/// Neither waits nor is killed for a peer that is gone.
const AT_ONCE: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Sends of the views what the socket takes now; `None` if that is nothing.
fn send_views(socket: BorrowedFd<'_>, chunks: &Chunks) -> io::Result<Option<usize>> {
    if let [view] = chunks.views() {
        return taken(send(socket, view, AT_ONCE));
    }
    let mut slices = [IoSlice::new(&[]); IOVEC_COUNT_MAX];
    let views = slices.iter_mut().zip(chunks.views());
    let count = views.map(|(slice, view)| *slice = IoSlice::new(view)).count();
    taken(sendmsg(socket, &slices[..count], &mut SendAncillaryBuffer::default(), AT_ONCE))
}

/// How much the socket took; `None` if it has no room now.
fn taken(sent: rustix::io::Result<usize>) -> io::Result<Option<usize>> {
    match sent {
        Ok(sent) => Ok(Some(sent)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
