//! The part of a write that needs no operation: what the socket has room for now, in a system call of its own.
//!
//! Handing it to the ring instead would save the call, and cost more than that: an entry, its end, and by the time the ring
//! comes to it, after the core's other connections, what is to be sent has left the processor's cache.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

use super::send_file::Writable;
use crate::buffer::{Chunks, IOVEC_COUNT_MAX, WriteBatch, borrow_fd};

/// How far a write has come at once.
pub(super) enum AtOnce {
    /// So many bytes, and that was all.
    All(usize),
    /// So many, if any: the batch is what is left.
    Some(usize),
    /// There is nobody to send to.
    Failed(io::Error),
}

/// Sends what the socket takes now.
#[inline(always)]
pub(super) fn send_at_once<S: Writable>(socket: &S, batch: &mut WriteBatch) -> AtOnce {
    match batch {
        WriteBatch::One(buffer) => {
            let sent = AtOnce::after(send(borrow_fd(socket), buffer, FLAGS), buffer.len());
            if let AtOnce::Some(count) = sent {
                buffer.advance(count);
            }
            sent
        }
        WriteBatch::Many(chunks) => send_many(socket, chunks),
        // It may have to come from the disk first.
        WriteBatch::File(_) => AtOnce::Some(0),
    }
}

/// Sends views, by as many calls as they need: that a call took all it was offered does not mean that the socket takes no more.
fn send_many<S: Writable>(socket: &S, chunks: &mut Chunks) -> AtOnce {
    let (mut sent, mut left) = (0, chunks.remaining());
    loop {
        let (offered, taken) = send_chunks(socket, chunks);
        let count = match taken {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return AtOnce::Some(sent),
            // What was sent counts: the operation for the rest will meet the error again.
            Err(_) if sent > 0 => return AtOnce::Some(sent),
            Err(error) => return AtOnce::Failed(error.into()),
        };
        sent += count;
        if count == left {
            return AtOnce::All(sent);
        }
        left -= count;
        chunks.advance(count);
        if count < offered {
            return AtOnce::Some(sent);
        }
    }
}

/// Offers the next views, as many as fit into one call. Gives the bytes that they are, and those that the socket took.
fn send_chunks<S: Writable>(socket: &S, chunks: &Chunks) -> (usize, Result<usize, Errno>) {
    let views = &chunks.views()[..chunks.count().min(IOVEC_COUNT_MAX)];
    let mut slices = [IoSlice::new(&[]); IOVEC_COUNT_MAX];
    for (slice, view) in slices.iter_mut().zip(views) {
        *slice = IoSlice::new(view);
    }
    let offered = views.iter().map(Bytes::len).sum();
    let slices = &slices[..views.len()];
    (offered, sendmsg(borrow_fd(socket), slices, &mut SendAncillaryBuffer::default(), FLAGS))
}

impl AtOnce {
    fn after(sent: Result<usize, Errno>, all: usize) -> Self {
        match sent {
            Ok(count) if count == all => Self::All(count),
            Ok(count) => Self::Some(count),
            Err(Errno::AGAIN | Errno::INTR) => Self::Some(0),
            Err(error) => Self::Failed(error.into()),
        }
    }
}

const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
