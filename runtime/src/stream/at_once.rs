//! The part of a write that needs no operation: what the socket has room for now, in a system call of its own.
//!
//! Handing it to the ring instead would save the call, and cost more than that: an entry, its end, and by the time the ring
//! comes to it, after the core's other connections, what is to be sent has left the processor's cache.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};

use bytes::Buf;
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
        WriteBatch::Many(chunks) => {
            let sent = AtOnce::after(send_chunks(socket, chunks), chunks.remaining());
            if let AtOnce::Some(count) = sent {
                chunks.advance(count);
            }
            sent
        }
        // It may have to come from the disk first.
        WriteBatch::File(_) => AtOnce::Some(0),
    }
}

fn send_chunks<S: Writable>(socket: &S, chunks: &Chunks) -> Result<usize, Errno> {
    let mut slices = [IoSlice::new(&[]); IOVEC_COUNT_MAX];
    let views = slices.iter_mut().zip(chunks.views());
    let count = views.map(|(slice, view)| *slice = IoSlice::new(view)).count();
    sendmsg(borrow_fd(socket), &slices[..count], &mut SendAncillaryBuffer::default(), FLAGS)
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
