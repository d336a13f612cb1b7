//! A connection in memory with a scripted far end: short reads, a window that fills up, an end or a reset at any byte.
//! The connection drivers are tested on it without a kernel, a clock or a second task.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::BytesMut;
use ringhttp_runtime::buffer::WriteBatch;

/// The near end, which a connection is served on.
#[derive(Debug)]
pub(crate) struct Duplex {
    wire: Rc<RefCell<Wire>>,
    read: Option<BytesMut>,
    write: Option<WriteBatch>,
}

/// The far end, by which a test plays the peer.
#[derive(Clone, Debug)]
pub(crate) struct FarEnd {
    wire: Rc<RefCell<Wire>>,
}

#[derive(Debug)]
struct Wire {
    to_near: VecDeque<u8>,
    near_reads_max: usize,
    ended: bool,
    reset: bool,
    /// The far end takes nothing any more, and still sends.
    deaf: bool,
    to_far: Vec<u8>,
    /// Bytes the far end takes before its window is full.
    window: usize,
    near_ended: bool,
    written: u64,
    /// Where in memory the near end's bytes landed.
    landed: Vec<Range<usize>>,
    /// Room in the buffer of the last read.
    lent_room: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Duplex {
    /// A pair of ends with an open window and no limit on reads.
    pub(crate) fn pair() -> (Self, FarEnd) {
        let wire = Rc::new(RefCell::new(Wire {
            to_near: VecDeque::new(),
            near_reads_max: usize::MAX,
            ended: false,
            reset: false,
            deaf: false,
            to_far: Vec::new(),
            window: usize::MAX,
            near_ended: false,
            written: 0,
            landed: Vec::new(),
            lent_room: 0,
            reader: None,
            writer: None,
        }));
        (Self { wire: Rc::clone(&wire), read: None, write: None }, FarEnd { wire })
    }

    pub(crate) fn is_reading(&self) -> bool {
        self.read.is_some()
    }

    pub(crate) fn start_read(&mut self, buffer: BytesMut) {
        assert!(self.read.is_none(), "one read at a time");
        self.read = Some(buffer);
    }

    pub(crate) fn poll_read(&mut self, cx: &Context<'_>) -> Poll<(io::Result<usize>, BytesMut)> {
        let Some(mut buffer) = self.read.take() else {
            return Poll::Pending;
        };
        let mut wire = self.wire.borrow_mut();
        if wire.reset {
            return Poll::Ready((Err(io::ErrorKind::ConnectionReset.into()), buffer));
        }
        wire.lent_room = buffer.capacity() - buffer.len();
        let count = wire.to_near.len().min(wire.near_reads_max).min(buffer.capacity() - buffer.len());
        if count == 0 && !wire.ended {
            wire.reader = Some(cx.waker().clone());
            self.read = Some(buffer);
            return Poll::Pending;
        }
        let start = buffer.as_ptr().addr() + buffer.len();
        buffer.extend(wire.to_near.drain(..count));
        wire.landed.push(start..start + count);
        Poll::Ready((Ok(count), buffer))
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.write.is_some()
    }

    pub(crate) fn start_write(&mut self, batch: WriteBatch) {
        assert!(self.write.is_none(), "one write at a time");
        self.write = Some(batch);
    }

    pub(crate) fn poll_write(&mut self, cx: &Context<'_>) -> Poll<(io::Result<()>, WriteBatch)> {
        let Some(mut batch) = self.write.take() else {
            return Poll::Pending;
        };
        let mut wire = self.wire.borrow_mut();
        if wire.reset || wire.deaf {
            return Poll::Ready((Err(io::ErrorKind::BrokenPipe.into()), batch));
        }
        let count = batch.remaining().min(wire.window);
        batch.take_front(count, &mut wire.to_far);
        wire.window -= count;
        wire.written += count as u64;
        if batch.remaining() > 0 {
            wire.writer = Some(cx.waker().clone());
            drop(wire);
            self.write = Some(batch);
            return Poll::Pending;
        }
        Poll::Ready((Ok(()), batch))
    }

    pub(crate) fn written(&self) -> u64 {
        self.wire.borrow().written
    }

    pub(crate) fn shutdown_write(&self) {
        self.wire.borrow_mut().near_ended = true;
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        self.wire.borrow_mut().near_ended = true;
    }
}

impl FarEnd {
    /// Sends bytes to the near end.
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.change(|wire| wire.to_near.extend(bytes));
    }

    /// Bytes that the near end has not read yet.
    pub(crate) fn unread(&self) -> usize {
        self.wire.borrow().to_near.len()
    }

    /// Ends the far side: the near end reads an end after what was sent.
    pub(crate) fn end(&self) {
        self.change(|wire| wire.ended = true);
    }

    /// Resets the connection: reads and writes of the near end fail.
    pub(crate) fn reset(&self) {
        self.change(|wire| wire.reset = true);
    }

    /// Takes nothing any more: writes of the near end fail, what it is sent can still be read.
    pub(crate) fn break_writes(&self) {
        self.change(|wire| wire.deaf = true);
    }

    /// Lets the near end read at most so many bytes at a time.
    pub(crate) fn limit_reads(&self, bytes: usize) {
        self.change(|wire| wire.near_reads_max = bytes);
    }

    /// Sets how many more bytes are taken from the near end.
    pub(crate) fn set_window(&self, bytes: usize) {
        self.change(|wire| wire.window = bytes);
    }

    /// Takes what the near end has sent.
    pub(crate) fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.wire.borrow_mut().to_far)
    }

    /// Where in memory the bytes landed that the near end has read since this was asked last.
    pub(crate) fn landed(&self) -> Vec<Range<usize>> {
        std::mem::take(&mut self.wire.borrow_mut().landed)
    }

    /// Room in the buffer of the read that the near end waits in.
    pub(crate) fn lent_room(&self) -> usize {
        self.wire.borrow().lent_room
    }

    /// Whether the near end has ended its side.
    pub(crate) fn near_has_ended(&self) -> bool {
        self.wire.borrow().near_ended
    }

    fn change(&self, change: impl FnOnce(&mut Wire)) {
        let mut wire = self.wire.borrow_mut();
        change(&mut wire);
        let wakers = [wire.reader.take(), wire.writer.take()];
        drop(wire);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// A waker that remembers that it was called.
#[derive(Default)]
pub(crate) struct Flag(pub(crate) AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
