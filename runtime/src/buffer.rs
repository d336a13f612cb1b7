//! Buffers of one core: the pool that reads and writes draw on, and the one type that lends several of them to the kernel at once.
//!
//! This is the only file of the workspace that holds `unsafe`: monoio describes a vectored write by raw `iovec`s, and
//! something has to promise that what they point to stays where it is until the operation completes. What a system call of
//! our own has put into a buffer has to be counted, too.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use monoio::buf::IoVecBuf;
use monoio::io::{AsyncWriteRent, OwnedWriteHalf};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::listener::Socket;
use crate::stream::FileBatch;

/// Bytes in a buffer of the pool.
pub const POOLED_BYTES: usize = 8 * 1024;

/// Buffers of each of the two kinds that one core keeps for reuse: beyond these, a returned buffer is freed. 256 × 8 KiB =
/// 2 MiB a core, twice at the most.
pub const POOLED_COUNT_MAX: usize = 256;

/// Bytes in a small buffer when it is new: what most answers fit into. One is lent to the kernel for each answer on its
/// way, and thousands may be.
pub const SMALL_BYTES: usize = 1024;

/// Large buffers that one core keeps an eye on, whoever has views of them: enough for the messages it works on at a time.
const LARGE_COUNT_MAX: usize = 16;

/// Bytes of them, all together: a core holds no more for buffers that nobody uses.
pub const LARGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Slices one vectored write takes at the most; Linux takes 1,024 (`UIO_MAXIOV`), and past 64 nothing more is won.
pub const IOVEC_COUNT_MAX: usize = 64;

/// The buffers of one core that are between two uses.
///
/// Cloning gives another handle to the same pool. A buffer is taken by whoever has something to read or to write and
/// comes back when that is done; a connection that waits holds none.
#[derive(Clone, Default)]
pub struct BufferPool {
    inner: Rc<PoolInner>,
}

#[derive(Default)]
struct PoolInner {
    free: RefCell<Vec<BytesMut>>,
    free_small: RefCell<Vec<BytesMut>>,
    #[expect(clippy::vec_box, reason = "a write moves the box around, not what is in it")]
    free_chunks: RefCell<Vec<Box<Chunks>>>,
    large: RefCell<VecDeque<Large>>,
    taken: Cell<u64>,
    reused: Cell<u64>,
}

/// What is left of a large buffer whose content is out as views: it is whole again when they are gone.
struct Large {
    rest: BytesMut,
    bytes: usize,
}

impl BufferPool {
    /// Makes an empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an empty buffer with at least `POOLED_BYTES` of room.
    #[must_use]
    pub fn take(&self) -> BytesMut {
        self.take_from(&self.inner.free, POOLED_BYTES)
    }

    /// Takes an empty buffer with at least `SMALL_BYTES` of room. It may grow as it is filled.
    #[must_use]
    pub fn take_small(&self) -> BytesMut {
        self.take_from(&self.inner.free_small, SMALL_BYTES)
    }

    fn take_from(&self, free: &RefCell<Vec<BytesMut>>, bytes: usize) -> BytesMut {
        self.inner.taken.set(self.inner.taken.get() + 1);
        if let Some(buffer) = free.borrow_mut().pop() {
            self.inner.reused.set(self.inner.reused.get() + 1);
            return buffer;
        }
        BytesMut::with_capacity(bytes)
    }

    /// Takes an empty buffer with at least `bytes` of room: a pooled one where that is enough, otherwise one of a fitting
    /// size that was given by [`give_large`](Self::give_large), or a new one.
    #[must_use]
    pub fn take_at_least(&self, bytes: usize) -> BytesMut {
        if bytes <= POOLED_BYTES {
            return self.take();
        }
        let mut large = self.inner.large.borrow_mut();
        let fits =
            |one: &mut Large| one.bytes >= bytes && one.bytes / 2 <= bytes && one.rest.try_reclaim(bytes);
        // The one that was given last is in the processor's cache, if any is.
        let found = large.iter_mut().rposition(fits).and_then(|at| large.remove(at));
        found.map_or_else(|| BytesMut::with_capacity(bytes), |found| found.rest)
    }

    /// Gives what is left of a large buffer of `bytes`: it is used again when the views of it are gone. Memory that is given
    /// out anew for each large message is memory that the kernel has to clear anew.
    pub fn give_large(&self, mut rest: BytesMut, bytes: usize) {
        rest.clear();
        let mut large = self.inner.large.borrow_mut();
        large.push_back(Large { rest, bytes });
        while large.len() > LARGE_COUNT_MAX
            || large.iter().map(|one| one.bytes).sum::<usize>() > LARGE_BYTES_MAX
        {
            large.pop_front();
        }
    }

    /// Gives a buffer back. It is kept only if nobody else holds a view of it and it has the pool's size; what it held
    /// is forgotten.
    pub fn give(&self, mut buffer: BytesMut) {
        buffer.clear();
        let whole = buffer.capacity() >= POOLED_BYTES || buffer.try_reclaim(POOLED_BYTES);
        if !whole || buffer.capacity() > 2 * POOLED_BYTES {
            return;
        }
        keep(&self.inner.free, buffer);
    }

    /// Gives a small buffer back, grown or not. It is kept only if nobody else holds a view of it and it has not outgrown
    /// `POOLED_BYTES`; what it held is forgotten.
    pub fn give_small(&self, mut buffer: BytesMut) {
        buffer.clear();
        let has_room = buffer.capacity() >= SMALL_BYTES || buffer.try_reclaim(SMALL_BYTES);
        if has_room && buffer.capacity() <= POOLED_BYTES {
            keep(&self.inner.free_small, buffer);
        }
    }

    /// Takes an empty list of views.
    #[must_use]
    pub fn take_chunks(&self) -> Box<Chunks> {
        self.inner.free_chunks.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives a list of views back; those still in it are let go of.
    pub fn give_chunks(&self, mut chunks: Box<Chunks>) {
        chunks.clear();
        let mut free = self.inner.free_chunks.borrow_mut();
        if chunks.chunks.capacity() <= IOVEC_COUNT_MAX && free.len() < POOLED_COUNT_MAX {
            free.push(chunks);
        }
    }

    /// Buffers that wait in the pool now, small ones included.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.inner.free.borrow().len() + self.inner.free_small.borrow().len()
    }

    /// How often a buffer was asked for, and how often the pool had one.
    #[must_use]
    pub fn taken_and_reused(&self) -> (u64, u64) {
        (self.inner.taken.get(), self.inner.reused.get())
    }
}

fn keep(free: &RefCell<Vec<BytesMut>>, buffer: BytesMut) {
    let mut free = free.borrow_mut();
    if free.len() < POOLED_COUNT_MAX {
        free.push(buffer);
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("free", &self.free_count()).finish_non_exhaustive()
    }
}

/// What one write hands to the kernel: one buffer, or several which leave by one vectored write.
#[derive(Debug)]
pub enum WriteBatch {
    /// One owned buffer, which comes back for reuse when it is written.
    One(BytesMut),
    /// Several views, in order. In a box, like files: a batch is moved often, and mostly is one buffer.
    Many(Box<Chunks>),
    /// A part of a file, for sockets only.
    File(Box<FileBatch>),
}

impl WriteBatch {
    /// Bytes not written yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        match self {
            Self::One(buffer) => buffer.len(),
            Self::Many(chunks) => chunks.remaining(),
            Self::File(batch) => {
                let left = usize::try_from(batch.slice.length).unwrap_or(usize::MAX);
                batch.head.len().saturating_add(left)
            }
        }
    }

    /// The bytes not written yet, in order: for transports that are not sockets.
    ///
    /// # Panics
    /// For a file, which only sockets can send.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let (one, many): (&[u8], &[Bytes]) = match self {
            Self::One(buffer) => (buffer, &[]),
            Self::Many(chunks) => (&[], &chunks.chunks[chunks.first..]),
            Self::File(_) => unreachable!("only sockets are given files"),
        };
        std::iter::once(one).chain(many.iter().map(|chunk| &chunk[..])).filter(|piece| !piece.is_empty())
    }

    /// Drops the first `count` bytes, as a write of so many bytes would: for transports that are not sockets.
    ///
    /// # Panics
    /// For a file, which only sockets can send; and if there are fewer bytes.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining(), "no more than there is");
        match self {
            Self::One(buffer) => buffer.advance(count),
            Self::Many(chunks) => chunks.advance(count),
            Self::File(_) => unreachable!("only sockets are given files"),
        }
    }

    /// Moves the first `count` bytes to the end of `into`, as a write of so many bytes would: for transports that are
    /// not sockets.
    ///
    /// # Panics
    /// For a file, which only sockets can send.
    pub fn take_front(&mut self, count: usize, into: &mut Vec<u8>) {
        let end = into.len() + count;
        for piece in self.pieces() {
            let part = piece.len().min(end - into.len());
            into.extend_from_slice(&piece[..part]);
        }
        self.advance(count);
    }
}

/// An ordered list of views that is written by `writev`.
#[derive(Default)]
pub struct Chunks {
    /// None of them empty: a write of nothing but empty slices would report 0, which means an error.
    chunks: Vec<Bytes>,
    /// Chunks before this one are written.
    first: usize,
    /// INVARIANT: while the kernel owns `self` (between `describe` and the completion), `iovecs[i]` points into
    /// `chunks[first + i]`, and neither vector is touched.
    iovecs: Vec<libc::iovec>,
}

impl Chunks {
    /// Adds a view behind the others.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push(chunk);
        }
    }

    /// The views that are not written yet.
    pub(crate) fn views(&self) -> &[Bytes] {
        &self.chunks[self.first..]
    }

    /// How many views there are that are not written yet.
    #[must_use]
    pub fn count(&self) -> usize {
        self.chunks.len() - self.first
    }

    /// Moves the first `count` views to the end of `into`.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn move_front(&mut self, count: usize, into: &mut Self) {
        self.iovecs.clear();
        into.chunks.extend(self.chunks.drain(self.first..self.first + count));
    }

    fn clear(&mut self) {
        self.chunks.clear();
        self.iovecs.clear();
        self.first = 0;
    }

    /// Bytes not written yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.chunks[self.first..].iter().map(Bytes::len).sum()
    }

    /// Fills in the raw slices for the next write: at most `IOVEC_COUNT_MAX` of them.
    pub(crate) fn describe(&mut self) {
        let next = self.chunks[self.first..].iter().take(IOVEC_COUNT_MAX);
        self.iovecs.clear();
        self.iovecs.extend(
            next.map(|chunk| libc::iovec {
                iov_base: chunk.as_ptr().cast_mut().cast(),
                iov_len: chunk.len(),
            }),
        );
    }

    /// Drops the first `written` bytes, and with them the views that are written whole.
    pub(crate) fn advance(&mut self, mut written: usize) {
        self.iovecs.clear();
        while let Some(chunk) = self.chunks.get_mut(self.first) {
            if chunk.len() > written {
                chunk.advance(written);
                return;
            }
            written -= chunk.len();
            *chunk = Bytes::new();
            self.first += 1;
        }
    }
}

// SAFETY: the iovecs stand in a vector of their own and point into `Bytes`, whose memory neither moves nor goes away
// while `self` holds them: moving a `Bytes` (or the vector of them, or the box) does not move what it points to.
// `Chunks` has no interior mutability, so while the runtime owns it, nothing changes either vector; `describe` filled in
// exactly `iovecs.len()` of them.
unsafe impl IoVecBuf for Box<Chunks> {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.iovecs.as_ptr()
    }

    fn read_iovec_len(&self) -> usize {
        self.iovecs.len()
    }
}

/// The descriptor of a socket, borrowed for as long as the socket is: monoio's sockets only tell its number.
pub(crate) fn socket_fd(socket: &Socket) -> BorrowedFd<'_> {
    match socket {
        Socket::Tcp(stream) => borrow_fd(stream),
        Socket::Unix(stream) => borrow_fd(stream),
    }
}

/// The descriptor of one of monoio's sockets.
pub(crate) fn borrow_fd<S: AsyncWriteRent + AsRawFd>(socket: &S) -> BorrowedFd<'_> {
    let raw = socket.as_raw_fd();
    // SAFETY: the socket owns this descriptor and does not close it while it is borrowed; the result borrows it.
    unsafe { BorrowedFd::borrow_raw(raw) }
}

/// Appends to `buffer` what the socket has now, if it has something.
pub(crate) fn receive_at_once<S: AsyncWriteRent + AsRawFd>(
    socket: &S,
    buffer: &mut BytesMut,
) -> Result<usize, Errno> {
    let (_, count) = recv(borrow_fd(socket), buffer.spare_capacity_mut(), RecvFlags::DONTWAIT)?;
    // SAFETY: the kernel has put so many bytes behind those that were there, and no more than there was room for.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// The socket whose write half this is, to ask for its descriptor and to wait for it.
pub(crate) fn socket_of<S: AsyncWriteRent>(half: &OwnedWriteHalf<S>) -> &S {
    // SAFETY: the half keeps the socket alive, and both halves stay on this thread. A socket is a descriptor's number
    // that nothing changes before both halves are gone: monoio's own halves reach it in the same way.
    unsafe { &*half.0.get() }
}

/// A socket for who writes to it beside its write half. To drop this ends nothing, as dropping a half would.
pub(crate) struct SharedSocket<S>(Rc<UnsafeCell<S>>);

impl<S: AsyncWriteRent> SharedSocket<S> {
    pub(crate) fn of(half: &OwnedWriteHalf<S>) -> Self {
        Self(Rc::clone(&half.0))
    }

    pub(crate) fn get(&self) -> &S {
        // SAFETY: as in `socket_of`.
        unsafe { &*self.0.get() }
    }

    pub(crate) fn get_mut(&mut self) -> &mut S {
        // SAFETY: as in `socket_of`. Monoio's write half does this for each of its writes, and there is no other write
        // meanwhile: the half itself is only asked for the descriptor.
        unsafe { &mut *self.0.get() }
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("remaining", &self.remaining()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(views: Vec<Bytes>) -> Chunks {
        let mut chunks = Chunks::default();
        views.into_iter().for_each(|view| chunks.push(view));
        chunks
    }

    /// What the raw slices say, read back through the pointers.
    fn described(chunks: &Chunks) -> Vec<u8> {
        let mut all = Vec::new();
        for iovec in &chunks.iovecs {
            // SAFETY: `describe` has just pointed this iovec into a chunk that `chunks` still holds.
            all.extend_from_slice(unsafe {
                std::slice::from_raw_parts(iovec.iov_base.cast::<u8>(), iovec.iov_len)
            });
        }
        all
    }

    /// The plain twin of `Chunks`: the same bytes in one vector.
    fn twin(lengths: &[usize]) -> (Vec<Bytes>, Vec<u8>) {
        let mut next = 0_u8;
        let mut all = Vec::new();
        let mut chunks = Vec::new();
        for &length in lengths {
            let start = all.len();
            for _ in 0..length {
                all.push(next);
                next = next.wrapping_add(1);
            }
            chunks.push(Bytes::copy_from_slice(&all[start..]));
        }
        (chunks, all)
    }

    #[test]
    fn chunks_agree_with_one_vector_for_all_small_inputs_and_every_partial_write() {
        for a in 0..4 {
            for b in 0..4 {
                for c in 0..4 {
                    let total = a + b + c;
                    for first in 0..=total {
                        for second in 0..=total - first {
                            let (chunks, all) = twin(&[a, b, c]);
                            let mut chunks = listed(chunks);
                            chunks.describe();
                            assert_eq!(described(&chunks), all);
                            chunks.advance(first);
                            chunks.describe();
                            assert_eq!(described(&chunks), all[first..]);
                            chunks.advance(second);
                            chunks.describe();
                            assert_eq!(described(&chunks), all[first + second..]);
                            assert_eq!(chunks.remaining(), total - first - second);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn one_write_describes_no_more_than_the_limit() {
        let (chunks, all) = twin(&[3; IOVEC_COUNT_MAX + 5]);
        let mut chunks = listed(chunks);
        chunks.describe();
        assert_eq!(chunks.iovecs.len(), IOVEC_COUNT_MAX);
        chunks.advance(3 * IOVEC_COUNT_MAX);
        chunks.describe();
        assert_eq!(described(&chunks), all[3 * IOVEC_COUNT_MAX..]);
    }

    #[test]
    fn a_buffer_comes_back_whole_once_its_views_are_gone() {
        let pool = BufferPool::new();
        let mut buffer = pool.take();
        buffer.extend_from_slice(b"head and rest");
        let view = buffer.split_to(4).freeze();
        drop(view);
        pool.give(buffer);
        assert_eq!(pool.free_count(), 1);
        assert!(pool.take().capacity() >= POOLED_BYTES);
        assert_eq!(pool.taken_and_reused(), (2, 1));
    }

    #[test]
    fn a_buffer_that_is_still_viewed_is_not_kept() {
        let pool = BufferPool::new();
        let mut buffer = pool.take();
        buffer.extend_from_slice(b"head and rest");
        let view = buffer.split_to(4).freeze();
        pool.give(buffer);
        assert_eq!(pool.free_count(), 0);
        assert_eq!(&view[..], b"head");
    }

    #[test]
    fn a_small_buffer_that_has_grown_stays_what_it_became() {
        let pool = BufferPool::new();
        let mut buffer = pool.take_small();
        assert!((SMALL_BYTES..POOLED_BYTES).contains(&buffer.capacity()));
        buffer.extend_from_slice(&[7; 3 * SMALL_BYTES]);
        buffer.advance(3 * SMALL_BYTES);
        pool.give_small(buffer);
        let again = pool.take_small();
        assert!(again.is_empty() && again.capacity() >= SMALL_BYTES);
        // Used up from its front on, it is whole again in the end.
        pool.give_small(again);
        for _ in 0..100 {
            let mut buffer = pool.take_small();
            assert!(buffer.capacity() >= SMALL_BYTES);
            buffer.extend_from_slice(&[7; 100]);
            buffer.advance(100);
            pool.give_small(buffer);
        }
        assert_eq!((pool.free_count(), pool.taken_and_reused()), (1, (102, 101)));
        let mut large = pool.take_small();
        large.extend_from_slice(&[7; POOLED_BYTES + 1]);
        pool.give_small(large);
        assert_eq!(pool.free_count(), 0, "a large one is not kept");
    }

    #[test]
    fn a_large_buffer_is_used_again_when_its_views_are_gone() {
        let pool = BufferPool::new();
        let place = |buffer: &BytesMut| buffer.as_ptr();
        let mut buffer = pool.take_at_least(100_000);
        let first = place(&buffer);
        buffer.extend_from_slice(&vec![7; 100_000]);
        let view = buffer.split().freeze();
        pool.give_large(buffer, 100_000);
        let other = pool.take_at_least(100_000);
        assert_ne!(place(&other), first, "there is a view of the first one still");
        drop(view);
        assert_ne!(place(&pool.take_at_least(40_000)), first, "too large for so little");
        assert_ne!(place(&pool.take_at_least(100_001)), first, "too small");
        let again = pool.take_at_least(90_000);
        assert_eq!((place(&again), again.len(), again.capacity()), (first, 0, 100_000));
        assert_ne!(place(&pool.take_at_least(90_000)), first, "it is taken");
    }

    #[test]
    fn large_buffers_are_kept_within_limits() {
        let pool = BufferPool::new();
        for _ in 0..2 * LARGE_COUNT_MAX {
            pool.give_large(BytesMut::with_capacity(20_000), 20_000);
        }
        assert_eq!(pool.inner.large.borrow().len(), LARGE_COUNT_MAX);
        pool.give_large(BytesMut::with_capacity(LARGE_BYTES_MAX), LARGE_BYTES_MAX);
        assert_eq!(pool.inner.large.borrow().len(), 1);
        pool.give_large(BytesMut::with_capacity(LARGE_BYTES_MAX + 1), LARGE_BYTES_MAX + 1);
        assert!(pool.inner.large.borrow().is_empty());
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_limit() {
        let pool = BufferPool::new();
        let many: Vec<_> = (0..POOLED_COUNT_MAX + 10).map(|_| pool.take()).collect();
        many.into_iter().for_each(|buffer| pool.give(buffer));
        assert_eq!(pool.free_count(), POOLED_COUNT_MAX);
    }
}
