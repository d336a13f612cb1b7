//! What waits to leave on one connection, in order. Small pieces are gathered in one buffer; large ones stay the views
//! they are, and leave beside it in one vectored write.
#![forbid(unsafe_code)]

use bytes::{Bytes, BytesMut};
use ringhttp_runtime::buffer::{BufferPool, Chunks, WriteBatch};
use ringhttp_runtime::file::FileSlice;
use ringhttp_runtime::stream::FileBatch;

/// Up to this size a piece is copied behind the head it belongs to: one plain write of one buffer costs less than a
/// vectored one.
const COPY_BYTES_MAX: usize = 2 * 1024;

/// Up to this size a shared piece is copied all the same.
const SHARED_COPY_BYTES_MAX: usize = 256;

/// The ordered queue of a connection's output. Whoever fills it asks [`queued`](Self::queued) first: the bound is the
/// caller's, by `ServerConfig::write_buffer_bytes_max`.
#[derive(Debug)]
pub(crate) struct WriteQueue {
    /// Complete pieces, in front of `tail`, if there are any.
    chunks: Option<Box<Chunks>>,
    chunk_bytes: usize,
    /// The buffer that is being filled; without memory while nothing is queued.
    tail: BytesMut,
    /// A part of a file, with what goes right before it.
    file: Option<Box<QueuedFile>>,
    pool: BufferPool,
}

/// A part of a file that waits. In a box: most connections never send one.
#[derive(Debug)]
struct QueuedFile {
    /// How many of the `chunks` go before it.
    chunks_before: usize,
    batch: Box<FileBatch>,
}

impl WriteQueue {
    pub(crate) fn new(pool: BufferPool) -> Self {
        Self { chunks: None, chunk_bytes: 0, tail: BytesMut::new(), file: None, pool }
    }

    /// Bytes that wait in memory: those of a file do not count.
    pub(crate) fn queued(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_none() && self.tail.is_empty() && self.file.is_none()
    }

    /// The buffer to encode a head or another small piece into, at the end of the queue.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        if self.tail.capacity() == 0 {
            self.tail = self.pool.take_small();
        }
        &mut self.tail
    }

    /// Queues a piece: a small one by copy, a large one as the view it is.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if piece.len() <= COPY_BYTES_MAX {
            self.buffer().extend_from_slice(&piece);
            return;
        }
        self.push_view(piece);
    }

    /// Queues a piece that others queue too: unless it is tiny it stays a view, so that many of them take no buffers.
    pub(crate) fn push_shared(&mut self, piece: Bytes) {
        if piece.len() <= SHARED_COPY_BYTES_MAX {
            return self.push(piece);
        }
        self.push_view(piece);
    }

    fn push_view(&mut self, piece: Bytes) {
        self.seal_tail();
        self.add_chunk(piece);
    }

    fn add_chunk(&mut self, chunk: Bytes) {
        self.chunk_bytes += chunk.len();
        self.chunks.get_or_insert_with(|| self.pool.take_chunks()).push(chunk);
    }

    /// Queues a part of a file: one at a time, so whoever sends several waits between them.
    ///
    /// # Panics
    /// If a part of a file waits already.
    pub(crate) fn push_file(&mut self, slice: FileSlice) {
        assert!(self.file.is_none(), "one part of a file at a time");
        let head = std::mem::take(&mut self.tail);
        let before = self.chunks.as_ref().map_or(0, |chunks| chunks.count());
        self.file =
            Some(Box::new(QueuedFile { chunks_before: before, batch: Box::new(FileBatch { head, slice }) }));
    }

    /// Whether a part of a file waits.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Takes what waits for one write: all of it, or what goes before a file, or the file.
    pub(crate) fn take_batch(&mut self) -> Option<WriteBatch> {
        if let Some(mut file) = self.file.take() {
            let before = std::mem::take(&mut file.chunks_before);
            if before == 0 {
                return Some(WriteBatch::File(file.batch));
            }
            self.file = Some(file);
            return Some(WriteBatch::Many(self.take_chunks(before)));
        }
        if self.chunks.is_some() {
            self.seal_tail();
            self.chunk_bytes = 0;
            return self.chunks.take().map(WriteBatch::Many);
        }
        if self.tail.is_empty() {
            self.recycle();
            return None;
        }
        Some(WriteBatch::One(std::mem::take(&mut self.tail)))
    }

    /// The first `count` of the complete pieces.
    fn take_chunks(&mut self, count: usize) -> Box<Chunks> {
        let mut front = self.pool.take_chunks();
        if let Some(chunks) = &mut self.chunks {
            chunks.move_front(count, &mut front);
            self.chunk_bytes = chunks.remaining();
        }
        self.chunks
            .take_if(|chunks| chunks.count() == 0)
            .into_iter()
            .for_each(|empty| self.pool.give_chunks(empty));
        front
    }

    /// Takes back the buffers of a batch that is written.
    pub(crate) fn give_back(&mut self, batch: WriteBatch) {
        match batch {
            WriteBatch::One(buffer) => self.pool.give_small(buffer),
            WriteBatch::File(batch) => self.pool.give_small(batch.head),
            WriteBatch::Many(chunks) => {
                // The views go first, so that the buffer they are in is whole again.
                self.pool.give_chunks(chunks);
                if self.is_empty() {
                    self.recycle();
                }
            }
        }
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.chunks = None;
        self.chunk_bytes = 0;
        self.file = None;
        self.recycle();
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            let sealed = self.tail.split().freeze();
            self.add_chunk(sealed);
        }
    }

    /// Gives the buffer that is being filled back to the core.
    fn recycle(&mut self) {
        if self.tail.capacity() > 0 {
            self.pool.give_small(std::mem::take(&mut self.tail));
        }
    }
}

#[cfg(test)]
mod tests {
    use ringhttp_runtime::file::{Root, Symlinks};

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
    fn a_file_keeps_its_place_between_its_neighbours() {
        let root = Root::open(env!("CARGO_MANIFEST_DIR"), Symlinks::Within).unwrap();
        let file = root.find_blocking("Cargo.toml".as_ref()).unwrap().into_file().unwrap();
        let large = Bytes::from(vec![7; COPY_BYTES_MAX + 1]);
        let mut queue = WriteQueue::new(BufferPool::new());
        queue.push(large.clone());
        queue.buffer().extend_from_slice(b"head");
        queue.push_file(FileSlice { file, offset: 0, length: 9 });
        queue.push(large.clone());
        queue.buffer().extend_from_slice(b"end");
        assert!(!queue.is_empty());
        assert_eq!(bytes_of(queue.take_batch()), large.len());
        let batch = queue.take_batch();
        assert_eq!(bytes_of(batch), 4 + 9);
        assert_eq!(queue.queued(), large.len() + 3);
        assert_eq!(bytes_of(queue.take_batch()), large.len() + 3);
        assert!(queue.take_batch().is_none());
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
