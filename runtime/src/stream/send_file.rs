//! A part of a file that leaves through a socket without passing through this process: `sendfile`.
//!
//! The core makes the call itself, without blocking, for a bounded piece at a time; between two pieces it waits for the
//! socket as for any other, through the ring or by epoll. (A ring can splice too, but hands that to a thread of the kernel.)
//! What is not in the page cache is brought there first by the blocking pool.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use bytes::{Buf, BytesMut};
use monoio::io::AsyncWriteRent;
use monoio::net::{TcpStream, UnixStream};
use rustix::fs::{OFlags, fcntl_getfl, sendfile};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{SendFlags, send};

use super::progress;
use crate::buffer::borrow_fd;
use crate::core::Core;
use crate::file::FileSlice;

/// A part of a file behind a head.
#[derive(Debug)]
pub struct FileBatch {
    /// What goes first.
    pub head: BytesMut,
    /// What follows: its offset and length move on while it is sent.
    pub slice: FileSlice,
}

/// A socket whose readiness can be waited for.
pub(super) trait Writable: AsyncWriteRent + AsRawFd {
    /// Waits until the kernel takes more.
    fn until_writable(&self) -> impl Future<Output = io::Result<()>>;
}

impl Writable for TcpStream {
    async fn until_writable(&self) -> io::Result<()> {
        self.writable(false).await
    }
}

impl Writable for UnixStream {
    async fn until_writable(&self) -> io::Result<()> {
        self.writable(false).await
    }
}

/// Sends all of it, or says what stopped it: a file that has become shorter is an `UnexpectedEof`.
pub(super) async fn write_file<S: Writable>(
    socket: &S,
    batch: &mut FileBatch,
    written: &Cell<u64>,
) -> io::Result<()> {
    while !batch.head.is_empty() {
        // The head waits in the kernel for the first bytes of the file, and shares a packet with them.
        let flags = SendFlags::DONTWAIT | SendFlags::MORE | SendFlags::NOSIGNAL;
        match send(borrow_fd(socket), &batch.head, flags) {
            Err(Errno::AGAIN) => socket.until_writable().await?,
            Err(Errno::INTR) => {}
            sent => batch.head.advance(progress(sent.map_err(io::Error::from), written)?),
        }
    }
    write_slice(socket, &mut batch.slice, written).await
}

async fn write_slice<S: Writable>(socket: &S, slice: &mut FileSlice, written: &Cell<u64>) -> io::Result<()> {
    let is_blocking = !fcntl_getfl(borrow_fd(socket))?.contains(OFlags::NONBLOCK);
    // Sent since the core had something else to do.
    let mut turn = 0;
    while slice.length > 0 {
        let mut left = slice.length.min(PIECE_BYTES_MAX);
        slice.file.warm(slice.offset, left).await?;
        while left > 0 {
            match send_piece(borrow_fd(socket), slice, left, is_blocking) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => {
                    written.set(written.get() + sent);
                    slice.length -= sent;
                    left -= sent;
                    turn += sent;
                }
                Err(Errno::AGAIN) => {
                    socket.until_writable().await?;
                    turn = 0;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A peer as fast as this core would have it to itself.
        if turn >= PIECE_BYTES_MAX
            && let Some(core) = Core::current()
        {
            core.yield_now().await;
            turn = 0;
        }
    }
    Ok(())
}

/// Sends what the socket takes at once, and moves the slice's offset.
fn send_piece(
    socket: BorrowedFd<'_>,
    slice: &mut FileSlice,
    length: u64,
    is_blocking: bool,
) -> Result<u64, Errno> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if !is_blocking {
        return sendfile(socket, &slice.file, Some(&mut slice.offset), length).map(|sent| sent as u64);
    }
    // There is no flag for one call. Operations of the ring have looked at this one when they began.
    ioctl_fionbio(socket, true)?;
    let sent = sendfile(socket, &slice.file, Some(&mut slice.offset), length);
    ioctl_fionbio(socket, false)?;
    sent.map(|sent| sent as u64)
}

/// What one connection sends before others have their turn: less than a millisecond's work.
const PIECE_BYTES_MAX: u64 = 1024 * 1024;
