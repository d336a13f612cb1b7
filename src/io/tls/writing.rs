//! Writing: what is to be sent becomes records, as many as one write takes, behind those that wait already.
#![forbid(unsafe_code)]

use std::io;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ringhttp_runtime::buffer::WriteBatch;
use ringhttp_runtime::stream::Written;

use super::record::CONTENT_BYTES_MAX;
use super::violation::Violation;
use super::{End, State, Tls};
use crate::io::turn;

/// Content of a record that fits into one segment of TCP, with its header and whatever options there are: the peer can
/// read it when it has that segment.
const SMALL_BYTES: u16 = 1400;

/// Bytes that leave in small records at first and after a pause: what a sender may send before it hears from the other
/// side (RFC 6928: ten segments).
pub(super) const SMALL_BYTES_FIRST: u16 = 10 * SMALL_BYTES;

/// A pause that long, and records are small again: a sender that was silent for longer than it waits for an answer (a fifth of a
/// second at least, mostly about a second) begins with few segments anew (RFC 9293 §3.8.2, RFC 5681 §4.1).
const PAUSE: Duration = Duration::from_secs(1);

/// Writes of a long body before the other connections of the core have their turn: a millisecond's work.
const WRITES_MAX: usize = 16;

/// Bytes that are sealed for one write: what is sealed waits in memory beside what it was made from. 64 KiB, as many a body has,
/// leave with their head.
const SEALED_BYTES_MAX: usize = 5 * CONTENT_BYTES_MAX;

impl Tls {
    /// Whether there is something to write whose end nobody has seen yet.
    pub(crate) fn is_writing(&self) -> bool {
        self.sending.is_some()
            || !self.sealed.is_empty()
            || self.carrier.is_writing()
            || matches!(self.end, End::Asked | End::Told)
    }

    /// Starts a write of all of `batch`.
    pub(crate) fn start_write(&mut self, batch: WriteBatch) {
        assert!(self.sending.is_none(), "one write at a time");
        self.sending = Some(batch);
    }

    /// The end of the write under way, and of whatever else had to leave. The buffers come back.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Written> {
        let sent = ready!(self.poll_sent(cx));
        let batch = self.sending.take().unwrap_or_else(|| WriteBatch::One(BytesMut::new()));
        Poll::Ready((sent, batch))
    }

    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes_quietly = false;
        let mut writes = 0;
        loop {
            let (written, batch) = if self.carrier.is_writing() {
                ready!(self.carrier.poll_write(cx))
            } else {
                if writes == WRITES_MAX {
                    return turn::give_way(cx);
                }
                writes += 1;
                let Some(batch) = self.seal()? else { break };
                match self.carrier.start_write(batch) {
                    Poll::Ready(written) => written,
                    Poll::Pending => continue,
                }
            };
            if let WriteBatch::Many(chunks) = batch {
                self.received.pool().give_chunks(chunks);
            }
            if written.is_err() {
                self.sealed.clear();
                self.end = End::Done;
                return Poll::Ready(written);
            }
        }
        if self.end == End::Told {
            self.end = End::Done;
            self.carrier.shutdown_write(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Starts sending what is sealed without asking to be told when it is done: who reads must not take the place of who
    /// writes, and is told by the carrier only what it reads. What does not leave at once leaves with the next write.
    pub(super) fn send_quietly(&mut self) {
        if self.sending.is_none() && !self.carrier.is_writing() {
            // A failure is seen by the next read or write.
            let sent = self.poll_sent(&mut Context::from_waker(Waker::noop()));
            self.writes_quietly |= sent.is_pending();
        }
    }

    /// Whether a write is under way of whose end nobody is told until somebody polls it.
    pub(crate) fn writes_quietly(&self) -> bool {
        self.writes_quietly
    }

    pub(super) fn queue_sealed(&mut self, record: Bytes) {
        if !record.is_empty() {
            self.sealed.push(record);
        }
    }

    /// The records of the next write: those that wait, then as many as one write takes of what is being sent, then the
    /// end.
    fn seal(&mut self) -> io::Result<Option<WriteBatch>> {
        if let Err(violation) = self.seal_sending() {
            return Err(self.fail(violation));
        }
        let unsent = self.sending.as_ref().is_some_and(|batch| batch.remaining() > 0);
        if unsent && self.sealed.is_empty() {
            // An end was sent, or an alert: nothing may follow.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(match self.sealed.len() {
            0 => None,
            // An answer, mostly; the list is kept for the next.
            1 => self.sealed.pop().map(|record| WriteBatch::One(record.into())),
            _ => {
                let mut chunks = self.received.pool().take_chunks();
                self.sealed.drain(..).for_each(|record| chunks.push(record));
                Some(WriteBatch::Many(chunks))
            }
        })
    }

    fn seal_sending(&mut self) -> Result<(), Violation> {
        if self.end > End::Asked {
            return Ok(());
        }
        let State::Open(session) = &mut self.state else {
            if self.end == End::Asked {
                self.end = End::Told;
            }
            return Ok(());
        };
        if self.sending.is_some() && self.rested_at.take().is_some_and(|at| at.elapsed() >= PAUSE) {
            self.small_left = SMALL_BYTES_FIRST;
        }
        let mut bytes = 0;
        while let Some(batch) = &mut self.sending
            && bytes < SEALED_BYTES_MAX
            && batch.remaining() > 0
        {
            let bytes_max = if self.small_left > 0 { usize::from(SMALL_BYTES) } else { CONTENT_BYTES_MAX };
            let count = session.seal_next(batch, bytes_max, &mut self.sealed)?;
            self.small_left = self.small_left.saturating_sub(u16::try_from(count).unwrap_or(u16::MAX));
            bytes += count;
        }
        if self.end == End::Asked && self.sending.as_ref().is_none_or(|batch| batch.remaining() == 0) {
            self.sealed.push(session.close_notify()?);
            self.end = End::Told;
        }
        Ok(())
    }

    /// Gives up memory that is not needed while nothing is written. Behind a [`PAUSE`] records are small again.
    pub(crate) fn rest(&mut self) {
        self.rested_at = self.rested_at.or_else(|| Some(Instant::now()));
        self.carrier.rest();
    }

    /// Tells the peer that nothing more comes, if it takes that at once: for who does not wait for the end. Nothing may be on its
    /// way, or it would be taken for whole.
    pub(crate) fn say_goodbye(&mut self) {
        let _ = self.poll_sent(&mut Context::from_waker(Waker::noop()));
        if self.end != End::Open || self.is_writing() {
            return;
        }
        let State::Open(session) = &mut self.state else { return };
        let Ok(close_notify) = session.close_notify() else { return };
        self.end = End::Told;
        let _ = self.carrier.start_write(WriteBatch::One(close_notify.into()));
    }

    /// As if nothing had been written for that long.
    #[cfg(test)]
    pub(crate) fn has_paused(&mut self) {
        self.rested_at = Instant::now().checked_sub(PAUSE);
    }

    /// Bytes of records that the other side of the carrier has taken so far.
    pub(crate) fn written(&self) -> u64 {
        self.carrier.written()
    }

    /// Whether the end of our side was asked for.
    pub(crate) fn is_ending(&self) -> bool {
        self.end != End::Open
    }

    /// Ends our side: `close_notify`, then the end of the carrier's, behind what is being written.
    pub(crate) fn shutdown_write(&mut self, cx: &mut Context<'_>) {
        if self.end == End::Open {
            self.end = End::Asked;
        }
        if self.sending.is_none() {
            let _ = self.poll_sent(cx);
        }
    }
}
