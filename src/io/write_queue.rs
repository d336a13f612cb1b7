//! What waits to leave on one connection, in order. Small pieces are gathered in one buffer; large ones stay the views
//! they are, and leave beside it in one vectored write.
#![forbid(unsafe_code)]

use bytes::{Bytes, BytesMut};
use ringhttp_runtime::buffer::{BufferPool, Chunks, WriteBatch};

/// Up to this size a piece is copied behind the head it belongs to: one plain write of one buffer costs less than a
/// vectored one.
const COPY_BYTES_MAX: usize = 2 * 1024;

/// The largest write whose end nobody waits for: it fits into the smallest socket buffer (4,608 bytes).
const QUIET_BYTES_MAX: usize = 4 * 1024;

/// The ordered queue of a connection's output. Whoever fills it asks [`queued`](Self::queued) first: the bound is the
/// caller's, by `ServerConfig::write_buffer_bytes_max`.
#[derive(Debug)]
pub(crate) struct WriteQueue {
    /// Complete pieces, in front of `tail`.
    chunks: Vec<Bytes>,
    chunk_bytes: usize,
    /// The buffer that is being filled; without memory while nothing is queued.
    tail: BytesMut,
    pool: BufferPool,
}

impl WriteQueue {
    pub(crate) fn new(pool: BufferPool) -> Self {
        Self { chunks: Vec::new(), chunk_bytes: 0, tail: BytesMut::new(), pool }
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.tail.is_empty()
    }

    /// Whether what waits is one buffer that the kernel takes at once, unless its own are full.
    pub(crate) fn is_small(&self) -> bool {
        self.chunks.is_empty() && !self.tail.is_empty() && self.tail.len() <= QUIET_BYTES_MAX
    }

    /// The buffer to encode a head or another small piece into, at the end of the queue.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        if self.tail.capacity() == 0 {
            self.tail = self.pool.take();
        }
        &mut self.tail
    }

    /// Queues a piece: a small one by copy, a large one as the view it is.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if piece.len() <= COPY_BYTES_MAX {
            self.buffer().extend_from_slice(&piece);
            return;
        }
        self.seal_tail();
        self.chunk_bytes += piece.len();
        self.chunks.push(piece);
    }

    /// Takes all that waits, for one write.
    pub(crate) fn take_batch(&mut self) -> Option<WriteBatch> {
        if self.chunks.is_empty() {
            if self.tail.is_empty() {
                self.recycle();
                return None;
            }
            return Some(WriteBatch::One(std::mem::take(&mut self.tail)));
        }
        self.seal_tail();
        self.chunk_bytes = 0;
        Some(WriteBatch::Many(Chunks::new(std::mem::take(&mut self.chunks))))
    }

    /// Takes back the buffers of a batch that is written.
    pub(crate) fn give_back(&mut self, batch: WriteBatch) {
        if let WriteBatch::One(buffer) = batch {
            self.pool.give(buffer);
        } else if self.is_empty() {
            // The views in the batch go first, so that the buffer they are in is whole again.
            drop(batch);
            self.recycle();
        }
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.chunks = Vec::new();
        self.chunk_bytes = 0;
        self.recycle();
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunk_bytes += self.tail.len();
            self.chunks.push(self.tail.split().freeze());
        }
    }

    /// Gives the buffer that is being filled back to the core.
    fn recycle(&mut self) {
        if self.tail.capacity() > 0 {
            self.pool.give(std::mem::take(&mut self.tail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(batch: Option<WriteBatch>) -> usize {
        batch.map_or(0, |batch| batch.remaining())
    }

    #[test]
    fn small_pieces_leave_as_one_buffer() {
        let mut queue = WriteQueue::new(BufferPool::new());
        queue.buffer().extend_from_slice(b"head");
        queue.push(Bytes::from_static(b"body"));
        let Some(WriteBatch::One(buffer)) = queue.take_batch() else { panic!("one buffer") };
        assert_eq!(&buffer[..], b"headbody");
        assert!(queue.is_empty());
    }

    #[test]
    fn a_large_piece_leaves_as_a_view_between_its_neighbours() {
        let pool = BufferPool::new();
        let mut queue = WriteQueue::new(pool);
        let large = Bytes::from(vec![7; COPY_BYTES_MAX + 1]);
        queue.buffer().extend_from_slice(b"head");
        queue.push(large.clone());
        queue.push(Bytes::from_static(b"end"));
        assert_eq!(queue.queued(), 4 + large.len() + 3);
        let batch = queue.take_batch();
        assert!(matches!(batch, Some(WriteBatch::Many(_))));
        assert_eq!(bytes_of(batch), 4 + large.len() + 3);
        assert_eq!(queue.queued(), 0);
    }

    #[test]
    fn the_buffers_come_back_to_the_pool() {
        let pool = BufferPool::new();
        let mut queue = WriteQueue::new(pool.clone());
        for large in [false, true] {
            queue.buffer().extend_from_slice(b"head");
            if large {
                queue.push(Bytes::from(vec![7; COPY_BYTES_MAX + 1]));
            }
            let batch = queue.take_batch().expect("something waits");
            queue.give_back(batch);
            assert_eq!(pool.free_count(), 1);
        }
        assert!(queue.take_batch().is_none());
    }
}
