//! A transport with its two queues: bytes that came and are not read, bytes that wait to leave.
//!
//! Filling and flushing go on side by side: a connection that has answered queues its answer, and the poll that finds
//! nothing more to read starts the write and the next read together, so that both reach the kernel in one go.
#![forbid(unsafe_code)]

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use ringhttp_runtime::buffer::BufferPool;

use super::read_buffer::{Landing, Purpose, ReadBuffer};
#[cfg(feature = "rustls")]
use super::tls::{Established, Handshake, HandshakeError, Tls};
use super::transport::Transport;
use super::turn::{Streak, Turn};
use super::write_queue::WriteQueue;

/// Both directions of one connection.
#[derive(Debug)]
pub(crate) struct Wire {
    transport: Transport,
    input: ReadBuffer,
    output: WriteQueue,
    ended: bool,
    /// Bytes of the batch that is being written; what is more than 4 GiB does not count.
    in_flight: u32,
    turn: Turn,
    streak: Streak,
}

#[cfg(not(test))]
const _: () = assert!(size_of::<Wire>() <= 216);

impl Wire {
    /// The wire of a server's connection.
    pub(crate) fn new(transport: Transport, pool: &BufferPool) -> Self {
        Self::with_landing(transport, pool, &Landing::REQUESTS)
    }

    /// A wire whose messages land in buffers of these sizes.
    pub(crate) fn with_landing(transport: Transport, pool: &BufferPool, landing: &'static Landing) -> Self {
        Self {
            transport,
            input: ReadBuffer::new(pool.clone(), landing),
            output: WriteQueue::new(pool.clone()),
            ended: false,
            in_flight: 0,
            turn: Turn::default(),
            streak: Streak::default(),
        }
    }

    /// The unread bytes.
    pub(crate) fn input(&mut self) -> &mut BytesMut {
        self.input.bytes()
    }

    /// The queue of what is to leave.
    pub(crate) fn output(&mut self) -> &mut WriteQueue {
        &mut self.output
    }

    /// Whether the output queue may be given parts of files.
    pub(crate) fn takes_files(&self) -> bool {
        self.transport.takes_files()
    }

    /// Whether the peer has ended its side and all it sent has been seen.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Waits for more bytes; 0 is the end of the peer's side.
    ///
    /// # Cancellation
    /// Nothing is lost: the read belongs to the transport.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, purpose: Purpose) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if !self.transport.is_reading() {
            ready!(self.turn.poll_read(&mut self.streak, cx));
            self.transport.start_fill(&mut self.input, purpose);
        }
        let Poll::Ready(result) = self.transport.poll_fill(cx, &mut self.input) else {
            self.streak.end();
            return Poll::Pending;
        };
        self.ended = !matches!(result, Ok(1..));
        Poll::Ready(result)
    }

    /// As [`poll_fill`](Self::poll_fill), for whom an end is an end between two messages and an early one inside of one,
    /// whether the peer said so before or not.
    pub(crate) fn poll_fill_or_end(
        &mut self,
        cx: &mut Context<'_>,
        purpose: Purpose,
    ) -> Poll<io::Result<usize>> {
        self.poll_fill(cx, purpose).map(|filled| match filled {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            filled => filled,
        })
    }

    /// Sends what is queued; ready when all of it is with the kernel.
    ///
    /// # Cancellation
    /// Nothing is lost: the write belongs to the transport.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let written = if self.transport.is_writing() {
                let Poll::Ready(written) = self.transport.poll_write(cx) else {
                    self.streak.end();
                    return Poll::Pending;
                };
                written
            } else {
                if !self.output.is_empty() {
                    ready!(self.turn.poll_write(&mut self.streak, cx));
                }
                let Some(batch) = self.output.take_batch() else { return Poll::Ready(Ok(())) };
                self.in_flight = u32::try_from(batch.remaining()).unwrap_or(u32::MAX);
                match self.transport.start_write(batch) {
                    Poll::Ready(written) => written,
                    Poll::Pending => continue,
                }
            };
            let (result, batch) = written;
            self.in_flight = 0;
            self.output.give_back(batch);
            if let Err(error) = result {
                self.output.clear();
                return Poll::Ready(Err(error));
            }
        }
    }

    /// Whoever flushes from now on sees to it that others have their turn. A pause of the driving task ends here: that task is woken
    /// behind it all the same.
    pub(crate) fn begin_turn(&mut self) {
        self.turn = Turn::default();
        self.streak.end();
    }

    /// Reads and forgets, whatever it is; ready with the number of bytes, 0 at the end.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.is_filling() {
            self.input.release();
        }
        #[cfg(feature = "rustls")]
        if self.transport.tls_mut().is_some_and(Tls::discard_rest) {
            self.ended = false;
        }
        self.poll_fill(cx, Purpose::More)
    }

    /// Whether a read is under way: the unread bytes are lent to it meanwhile.
    pub(crate) fn is_filling(&self) -> bool {
        self.transport.is_reading()
    }

    /// Gives up memory that is not needed while nothing is written: for a connection that has turned out to be idle.
    pub(crate) fn rest(&mut self) {
        self.transport.rest();
    }

    /// Whether anything is still on its way to the kernel.
    pub(crate) fn is_flushing(&self) -> bool {
        self.transport.is_writing() || !self.output.is_empty()
    }

    /// Bytes in memory that are not known to be with the kernel: those that wait, and the batch that is being written.
    pub(crate) fn unsent(&self) -> usize {
        self.output.queued() + self.in_flight as usize
    }

    /// Whether a write is under way.
    pub(crate) fn is_writing(&self) -> bool {
        self.transport.is_writing()
    }

    /// Whether something waits for a write that nobody has started, or for one that nobody waits for.
    pub(crate) fn is_flush_due(&self) -> bool {
        self.writes_quietly() || (!self.transport.is_writing() && !self.output.is_empty())
    }

    #[cfg(feature = "rustls")]
    fn writes_quietly(&self) -> bool {
        self.transport.tls().is_some_and(Tls::writes_quietly)
    }

    #[cfg(not(feature = "rustls"))]
    #[expect(clippy::unused_self, reason = "the one with TLS looks")]
    fn writes_quietly(&self) -> bool {
        false
    }

    /// Bytes that are here and cannot be read yet: of a record of TLS whose end is missing.
    #[cfg(feature = "rustls")]
    pub(crate) fn unopened(&self) -> u32 {
        self.transport.tls().map_or(0, Tls::unopened)
    }

    #[cfg(not(feature = "rustls"))]
    #[expect(clippy::unused_self, reason = "the one with TLS looks")]
    pub(crate) fn unopened(&self) -> u32 {
        0
    }

    /// Bytes the kernel has taken so far.
    pub(crate) fn written(&self) -> u64 {
        self.transport.written()
    }

    /// Ends our side.
    pub(crate) fn shutdown_write(&mut self, cx: &mut Context<'_>) {
        self.transport.shutdown_write(cx);
    }

    /// What comes from now on is of another protocol: how long its messages are is to be seen.
    pub(crate) fn switch(&mut self) {
        self.input.switch(&Landing::MESSAGES);
    }

    /// Takes the unread bytes out as one view.
    pub(crate) fn take_input(&mut self) -> Bytes {
        self.input.bytes().split().freeze()
    }

    /// Whether the peer may have sent something that is not seen as unread bytes: TLS ends with messages of its own.
    #[cfg(feature = "rustls")]
    pub(crate) fn ends_with_messages(&self) -> bool {
        self.transport.tls().is_some()
    }

    #[cfg(not(feature = "rustls"))]
    #[expect(clippy::unused_self, reason = "the one with TLS looks")]
    pub(crate) fn ends_with_messages(&self) -> bool {
        false
    }
}

/// TLS, over what carried plain bytes so far.
#[cfg(feature = "rustls")]
impl Wire {
    /// The same wire with TLS over it, whose first bytes are those that are unread.
    pub(crate) fn into_tls(self, handshake: Handshake) -> Self {
        let input = self.input.another();
        let tls = Tls::new(self.transport, self.input, handshake);
        Self { transport: Transport::Tls(Box::new(tls)), input, ..self }
    }

    /// Brings the handshake to its end.
    ///
    /// # Cancellation
    /// Nothing is lost: the handshake belongs to the transport.
    ///
    /// # Panics
    /// If there is no TLS.
    pub(crate) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Established, HandshakeError>> {
        self.transport.tls_mut().expect("only TLS has a handshake").poll_handshake(cx)
    }

    /// Tells the peer of an end that nobody waits for. TLS has words for it.
    pub(crate) fn say_goodbye(&mut self) {
        if self.output.is_empty()
            && let Some(tls) = self.transport.tls_mut()
        {
            tls.say_goodbye();
        }
    }

    /// The TLS that is spoken.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.transport.tls()
    }

    #[cfg(test)]
    pub(crate) fn tls_mut(&mut self) -> Option<&mut Tls> {
        self.transport.tls_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::io::duplex::Duplex;

    #[test]
    fn a_large_buffer_that_comes_back_from_a_read_to_forget_is_used_again() {
        let pool = BufferPool::new();
        let (near, far) = Duplex::pair();
        let mut wire = Wire::new(Transport::Duplex(near), &pool);
        let cx = &mut Context::from_waker(Waker::noop());
        far.send(&vec![0; 1 << 20]);
        while wire.poll_discard(cx).is_ready() {}
        // Whoever waits may ask more than once.
        assert!(wire.poll_discard(cx).is_pending());
        far.landed();
        far.send(b"more");
        assert!(matches!(wire.poll_discard(cx), Poll::Ready(Ok(4))));
        let place = far.landed()[0].start;
        wire.input.release();
        // What is freed would be given to the next who asks for as much.
        let other = BytesMut::with_capacity(64 * 1024);
        let again = pool.take_at_least(64 * 1024);
        assert_eq!(again.as_ptr().addr(), place);
        drop(other);
    }
}
