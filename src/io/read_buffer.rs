//! Where the bytes of one connection land: the kernel appends, the protocol splits views off the front.
//!
//! A connection that waits for its next message lends the kernel a *landing buffer*, just large enough for what it has
//! been sent (128 bytes at first on a server, 56 for a WebSocket), so an idle connection costs little and a busy one still
//! reads its whole request with one operation. In the middle of a message the buffers are the core's pooled ones, and grow
//! while reads fill them; a connection whose last message needed large ones begins the next with one as large.
#![forbid(unsafe_code)]

use bytes::BytesMut;
use ringhttp_runtime::buffer::{BufferPool, POOLED_BYTES};

/// The sizes between which a landing buffer grows, with messages that fill it, and shrinks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Landing {
    bytes_min: usize,
    bytes_max: usize,
}

impl Landing {
    /// For a server: a request of a client library fits into the smallest, mostly; a browser's grows it with its first
    /// requests. The largest is for pipelined batches.
    pub(crate) const REQUESTS: Self = Self { bytes_min: 128, bytes_max: 4 * 1024 };

    /// For a WebSocket: most of them are idle, and what they are sent is short.
    pub(crate) const MESSAGES: Self = Self { bytes_min: 56, bytes_max: 4 * 1024 };

    /// For a client: answers come with their bodies, and idle connections are few.
    pub(crate) const RESPONSES: Self = Self { bytes_min: 512, bytes_max: 16 * 1024 };
}

/// The largest read in the middle of a body.
const BULK_BYTES_MAX: usize = 64 * 1024;

/// Large records that one read may bring: four of the largest make about the largest read.
const RECORDS_MAX: usize = 4;

/// Reads in a row that use less than a quarter of the landing buffer before it is halved.
const SMALL_READS_BEFORE_SHRINK: u8 = 16;

/// What the next read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The first bytes of the next message.
    NextHead,
    /// More of a message that has begun.
    More,
    /// So many bytes are the rest of one that has to be in one buffer.
    Rest(usize),
}

/// The unread bytes of a connection.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    bytes: BytesMut,
    pool: BufferPool,
    landing: &'static Landing,
    landing_bytes: Size,
    bulk_bytes: Size,
    /// How large the present buffer is, if it is one of the large ones that the pool wants back; 0 otherwise.
    large_bytes: Size,
    /// The longest message that was completed by [`Purpose::Rest`]: memory for as much is given in advance.
    proven_bytes: Size,
    lent_room: Size,
    /// What the read under way is to bring, if it is for [`Purpose::Rest`].
    lent_rest: Size,
    /// What is missing of the record whose beginning is unread; 0 if that is not known.
    missing: Size,
    lent_for: LentFor,
    small_reads: u8,
    /// Whether the last read took all the room there was.
    was_filled: bool,
    /// Whether a read of this message has made use of large buffers.
    used_bulk: bool,
}

/// A number of bytes. A connection that waits keeps several: it takes half the room of a `usize`, and what does not fit is as good as
/// the largest.
type Size = u32;

fn size(bytes: usize) -> Size {
    Size::try_from(bytes).unwrap_or(Size::MAX)
}

/// The [`Purpose`] of the read under way.
#[derive(Clone, Copy, Debug)]
enum LentFor {
    NextHead,
    More,
    Rest,
}

const _: () = assert!(size_of::<ReadBuffer>() <= 80);

impl ReadBuffer {
    pub(crate) fn new(pool: BufferPool, landing: &'static Landing) -> Self {
        Self {
            bytes: BytesMut::new(),
            pool,
            landing,
            landing_bytes: size(landing.bytes_min),
            bulk_bytes: size(POOLED_BYTES),
            large_bytes: 0,
            proven_bytes: 0,
            lent_room: 0,
            lent_rest: 0,
            missing: 0,
            lent_for: LentFor::NextHead,
            small_reads: 0,
            was_filled: false,
            used_bulk: false,
        }
    }

    /// Another buffer of the same kind.
    #[cfg(feature = "rustls")]
    pub(crate) fn another(&self) -> Self {
        Self::new(self.pool.clone(), self.landing)
    }

    /// Where its memory comes from.
    #[cfg(feature = "rustls")]
    pub(crate) fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// Says that the unread bytes are the beginning of a record, of which so many are `missing`: the next read has room
    /// for them.
    #[cfg(feature = "rustls")]
    pub(crate) fn expect_record(&mut self, missing: usize) {
        self.missing = size(missing);
    }

    /// The unread bytes, for the protocol to split views off. Empty while a read is under way.
    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// The buffer to append to, with room: unread bytes stay at its front. It must come back by
    /// [`restore`](Self::restore).
    #[inline(always)]
    pub(crate) fn lend(&mut self, purpose: Purpose) -> BytesMut {
        let purpose = match purpose {
            Purpose::NextHead if !self.bytes.is_empty() => Purpose::More,
            purpose => purpose,
        };
        let buffer = match purpose {
            Purpose::NextHead => self.landing_buffer(),
            Purpose::More => self.bulk_buffer(),
            Purpose::Rest(missing) => self.rest_buffer(missing),
        };
        (self.lent_for, self.lent_rest) = match purpose {
            Purpose::NextHead => (LentFor::NextHead, 0),
            Purpose::More => (LentFor::More, 0),
            Purpose::Rest(missing) => (LentFor::Rest, size(missing)),
        };
        self.lent_room = size(buffer.capacity() - buffer.len());
        buffer
    }

    /// Whether more is probably there already: the last read took all it had room for.
    pub(crate) fn expects_more(&self) -> bool {
        self.was_filled
    }

    /// Takes back a lent buffer, to which `read` bytes were appended.
    pub(crate) fn restore(&mut self, buffer: BytesMut, read: usize) {
        debug_assert!(self.bytes.is_empty(), "nothing is parsed while a read is under way");
        self.bytes = buffer;
        let read = size(read);
        let filled = read == self.lent_room;
        self.was_filled = filled;
        match self.lent_for {
            LentFor::NextHead => self.adapt_landing(read, filled),
            LentFor::More => self.adapt_bulk(read, filled),
            LentFor::Rest if read >= self.lent_rest => self.proven_bytes = size(self.bytes.len()),
            LentFor::Rest => {}
        }
    }

    /// What comes from now on is of another kind than what came before.
    pub(crate) fn switch(&mut self, landing: &'static Landing) {
        self.landing = landing;
        self.landing_bytes = size(landing.bytes_min);
        self.small_reads = 0;
    }

    /// Gives the memory back to the core; unread bytes are forgotten.
    pub(crate) fn release(&mut self) {
        let buffer = std::mem::take(&mut self.bytes);
        self.give(buffer);
    }

    /// Gives the buffer back that was in use.
    fn give(&mut self, buffer: BytesMut) {
        match std::mem::take(&mut self.large_bytes) {
            0 => self.pool.give(buffer),
            bytes => self.pool.give_large(buffer, bytes as usize),
        }
    }

    fn landing_buffer(&mut self) -> BytesMut {
        if !std::mem::take(&mut self.used_bulk) {
            self.bulk_bytes = (self.bulk_bytes / 2).max(size(POOLED_BYTES));
        }
        let mut buffer = std::mem::take(&mut self.bytes);
        let wanted = self.landing_bytes as usize;
        if self.large_bytes > 0 {
            self.give(buffer);
        } else if buffer.capacity() >= wanted || buffer.try_reclaim(wanted) {
            if buffer.capacity() <= self.landing.bytes_max {
                return buffer;
            }
            self.give(buffer);
        }
        BytesMut::with_capacity(wanted)
    }

    fn bulk_buffer(&mut self) -> BytesMut {
        if self.missing > 0 {
            return self.record_buffer();
        }
        let mut buffer = std::mem::take(&mut self.bytes);
        let bulk = self.bulk_bytes as usize;
        let least = bulk / 4;
        // Behind a few unread bytes there is less room: a buffer of the pool has to do for both.
        let room = if buffer.len() <= least { bulk - buffer.len() } else { bulk };
        // A tail of a quarter is worth using up: it saves a buffer and the copy of what is unread.
        if buffer.capacity() - buffer.len() >= least || buffer.try_reclaim(room) {
            return buffer;
        }
        self.larger(buffer, room)
    }

    /// A buffer with room for the rest of a record. Behind a large one it has room for several, so that reads mostly end
    /// where a record does, and nothing has to be moved.
    fn record_buffer(&mut self) -> BytesMut {
        let mut buffer = std::mem::take(&mut self.bytes);
        let missing = std::mem::take(&mut self.missing) as usize;
        let record = buffer.len() + missing;
        let room = missing.max((self.bulk_bytes as usize).saturating_sub(buffer.len()));
        if record > POOLED_BYTES {
            self.bulk_bytes = size(record * RECORDS_MAX);
        }
        if buffer.capacity() - buffer.len() >= missing || buffer.try_reclaim(room) {
            return buffer;
        }
        self.larger(buffer, room)
    }

    /// Another buffer with the same bytes and so much room behind them.
    fn larger(&mut self, buffer: BytesMut, room: usize) -> BytesMut {
        let mut larger = self.pool.take_at_least(buffer.len() + room);
        larger.extend_from_slice(&buffer);
        self.give(buffer);
        // Those below are kept with the others of the pool.
        self.large_bytes = if larger.capacity() > 2 * POOLED_BYTES { size(larger.capacity()) } else { 0 };
        larger
    }

    /// A buffer that the rest of a message fits into, and little behind it: then the message is all that its memory is
    /// for. Who only announces a long message gets no memory for it, beyond a multiple of what has come or has come
    /// before; so a long one is copied a few times at first, and then no more.
    fn rest_buffer(&mut self, missing: usize) -> BytesMut {
        let here = self.bytes.len();
        if here + missing <= POOLED_BYTES {
            return self.bulk_buffer();
        }
        let room = self.bytes.capacity() - here;
        if room >= missing.min(POOLED_BYTES) {
            // Room for a good read is used up first: who sends byte by byte causes no copy for each.
            return std::mem::take(&mut self.bytes);
        }
        let earned = (here * 3).max(BULK_BYTES_MAX).max((self.proven_bytes as usize).saturating_sub(here));
        let buffer = std::mem::take(&mut self.bytes);
        self.larger(buffer, missing.min(earned))
    }

    fn adapt_bulk(&mut self, read: Size, filled: bool) {
        self.used_bulk |= read > self.bulk_bytes / 2;
        if filled {
            // Whole records may have made it larger.
            self.bulk_bytes = self.bulk_bytes.max((self.bulk_bytes * 2).min(size(BULK_BYTES_MAX)));
        }
    }

    fn adapt_landing(&mut self, read: Size, filled: bool) {
        if filled {
            self.landing_bytes = (self.landing_bytes * 4).min(size(self.landing.bytes_max));
            self.small_reads = 0;
        } else if read < self.landing_bytes / 4 && self.landing_bytes > size(self.landing.bytes_min) {
            self.small_reads += 1;
            if self.small_reads == SMALL_READS_BEFORE_SHRINK {
                self.landing_bytes /= 2;
                self.small_reads = 0;
            }
        } else {
            self.small_reads = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut ReadBuffer, purpose: Purpose, bytes: &[u8]) -> usize {
        let mut lent = buffer.lend(purpose);
        let room = lent.capacity() - lent.len();
        let count = bytes.len().min(room);
        lent.extend_from_slice(&bytes[..count]);
        buffer.restore(lent, count);
        count
    }

    #[test]
    fn bytes_of_several_reads_stand_in_order() {
        let mut buffer = ReadBuffer::new(BufferPool::new(), &Landing::REQUESTS);
        let all: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut done = 0;
        while done < all.len() {
            done += read(&mut buffer, Purpose::More, &all[done..]);
        }
        assert_eq!(&buffer.bytes()[..], &all[..]);
    }

    #[test]
    fn views_survive_later_reads() {
        let mut buffer = ReadBuffer::new(BufferPool::new(), &Landing::REQUESTS);
        let mut views = Vec::new();
        for n in 0..200_u8 {
            read(&mut buffer, Purpose::NextHead, &[n; 100]);
            views.push(buffer.bytes().split().freeze());
        }
        for (n, view) in views.iter().enumerate() {
            assert!(view.iter().all(|&byte| usize::from(byte) == n), "view {n}");
        }
    }

    #[test]
    fn the_landing_buffer_grows_with_the_heads_and_shrinks_again() {
        let mut buffer = ReadBuffer::new(BufferPool::new(), &Landing::REQUESTS);
        let large = [0; 10_000];
        for _ in 0..10 {
            read(&mut buffer, Purpose::NextHead, &large);
            buffer.bytes().clear();
        }
        assert_eq!(buffer.landing_bytes, size(Landing::REQUESTS.bytes_max));
        for _ in 0..100 {
            read(&mut buffer, Purpose::NextHead, &large[..50]);
            buffer.bytes().clear();
        }
        assert_eq!(buffer.landing_bytes, size(Landing::REQUESTS.bytes_min));
    }

    #[test]
    fn a_waiting_connection_holds_no_more_than_a_landing_buffer_after_a_large_body() {
        let pool = BufferPool::new();
        let mut buffer = ReadBuffer::new(pool, &Landing::REQUESTS);
        for _ in 0..20 {
            read(&mut buffer, Purpose::More, &vec![0; 100_000]);
            drop(buffer.bytes().split());
        }
        assert!(buffer.lend(Purpose::NextHead).capacity() <= Landing::REQUESTS.bytes_max);
    }

    #[test]
    fn a_long_message_gets_memory_as_it_comes_and_at_once_when_one_has_come_before() {
        let message = vec![7; 1 << 20];
        let mut buffer = ReadBuffer::new(BufferPool::new(), &Landing::REQUESTS);
        for round in 0..2 {
            let mut done = read(&mut buffer, Purpose::NextHead, &message);
            let mut reads = 0;
            while done < message.len() {
                let lent = buffer.lend(Purpose::Rest(message.len() - done));
                let room = lent.capacity() - lent.len();
                assert!(round > 0 || room <= (3 * done).max(BULK_BYTES_MAX), "{room} at {done}");
                buffer.restore(lent, 0);
                done += read(&mut buffer, Purpose::Rest(message.len() - done), &message[done..]);
                reads += 1;
            }
            assert!(reads <= if round == 0 { 4 } else { 1 }, "{reads} reads");
            assert_eq!(buffer.bytes().split().len(), message.len());
            assert!(buffer.lend(Purpose::NextHead).capacity() <= Landing::REQUESTS.bytes_max);
            buffer.restore(BytesMut::new(), 0);
        }
    }

    #[test]
    fn a_long_message_that_comes_byte_by_byte_is_copied_a_few_times_at_most() {
        let mut buffer = ReadBuffer::new(BufferPool::new(), &Landing::REQUESTS);
        let (mut done, mut places) = (0, Vec::new());
        while done < 300_000 {
            let missing = 300_000 - done;
            done += read(&mut buffer, Purpose::Rest(missing), &[1]);
            let place = buffer.bytes().as_ptr();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
        assert!(places.len() <= 4, "{} buffers", places.len());
    }

    #[test]
    fn a_head_that_outgrows_its_landing_buffer_gets_one_of_the_pool() {
        let pool = BufferPool::new();
        for _ in 0..10 {
            let mut buffer = ReadBuffer::new(pool.clone(), &Landing::REQUESTS);
            assert_eq!(read(&mut buffer, Purpose::NextHead, &[7; 200]), 128);
            assert_eq!(read(&mut buffer, Purpose::More, &[7; 72]), 72);
            assert_eq!(buffer.bytes().len(), 200);
            buffer.release();
        }
        assert_eq!((pool.free_count(), pool.taken_and_reused()), (1, (10, 9)));
    }

    #[test]
    fn a_connection_with_long_bodies_reads_them_in_few_pieces_until_they_are_short_again() {
        let mut buffer = ReadBuffer::new(BufferPool::new(), &Landing::REQUESTS);
        let message = vec![0; 65_000];
        let mut reads_of = |bytes: usize| {
            let mut reads = 1;
            let mut done = read(&mut buffer, Purpose::NextHead, &message[..bytes]);
            while done < bytes {
                assert!(buffer.expects_more(), "all of it is there");
                done += read(&mut buffer, Purpose::More, &message[done..bytes]);
                reads += 1;
            }
            drop(buffer.bytes().split());
            reads
        };
        assert_eq!([reads_of(65_000), reads_of(65_000), reads_of(65_000)], [5, 2, 2]);
        for _ in 0..4 {
            reads_of(5_000);
        }
        assert_eq!(reads_of(65_000), 4);
    }

    #[test]
    fn reads_of_a_body_grow_to_the_limit() {
        let mut buffer = ReadBuffer::new(BufferPool::new(), &Landing::REQUESTS);
        let large = vec![0; 1 << 20];
        let mut most = 0;
        for _ in 0..20 {
            most = most.max(read(&mut buffer, Purpose::More, &large));
            drop(buffer.bytes().split());
        }
        assert!((BULK_BYTES_MAX..=2 * BULK_BYTES_MAX).contains(&most), "{most}");
    }
}
