//! A write that begins by itself instead of with the ring's next turn: what was just made leaves while the processor's cache has it.
//! The ring has the rest of what the socket does not take.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io::{self, IoSlice};

use monoio::io::OwnedWriteHalf;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use super::progress;
use super::send_file::Writable;
use crate::buffer::{Chunks, IOVEC_COUNT_MAX, borrow_fd, socket_of};
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
    let mut slices = [IoSlice::new(&[]); IOVEC_COUNT_MAX];
    let views = slices.iter_mut().zip(chunks.views());
    let count = views.map(|(slice, view)| *slice = IoSlice::new(view)).count();
    let socket = borrow_fd(socket_of(half));
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match sendmsg(socket, &slices[..count], &mut SendAncillaryBuffer::default(), flags) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(()),
        sent => {
            let sent = progress(sent.map_err(io::Error::from), written)?;
            chunks.advance(sent);
            Ok(())
        }
    }
}
