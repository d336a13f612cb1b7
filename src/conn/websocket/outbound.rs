//! What leaves: the queue of messages, its budget, and what happens when the peer does not take them.
//!
//! A message goes right into the write queue of the wire while little waits there, so that several leave in one write. Beyond
//! that it waits in the outbox, whole: only there messages can be dropped, and only from there on they are compressed.
#![forbid(unsafe_code)]

use std::task::{Context, Poll};

use bytes::Bytes;

use super::config::SlowReader;
use super::encoded::Encoded;
use super::error::WebSocketError;
use super::message::{Compression, Message};
use super::queue::Queue;
use super::session::{Inner, Session};
use super::stats::add;
use super::writing::Job;
use crate::io::wire::Wire;
use crate::proto::Misuse;
use crate::proto::websocket::{
    CONTROL_BYTES_MAX, CloseCode, CloseFrame, Sequence, State, Step, after, sequence,
};

/// Something to be sent.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(Message, Compression),
    Encoded(Encoded),
}

impl Outgoing {
    fn len(&self) -> usize {
        match self {
            Self::Message(message, _) => message.len(),
            Self::Encoded(encoded) => encoded.len(),
        }
    }

    /// As [`Message::detached`].
    fn detached(self) -> Self {
        match self {
            Self::Message(message, compression) => Self::Message(message.detached(), compression),
            encoded @ Self::Encoded(_) => encoded,
        }
    }

    fn is_control(&self) -> bool {
        match self {
            Self::Message(message, _) => matches!(message, Message::Ping(_) | Message::Pong(_)),
            Self::Encoded(encoded) => encoded.opcode().is_control(),
        }
    }

    fn is_piece(&self) -> bool {
        matches!(self, Self::Message(Message::Piece(_), _))
    }
}

/// Messages that wait for room in the wire's queue.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Queue<Entry>,
    bytes: usize,
    /// The last Ping that could not be answered at once. RFC 6455 §5.5.3: one Pong answers those before it, too.
    pong: Option<Box<Bytes>>,
    /// The message that is being compressed elsewhere; those behind it wait.
    pub(super) job: Option<Box<Job>>,
}

enum Entry {
    Data(Outgoing),
    Close(CloseFrame),
}

/// Bytes in the wire's queue beyond which messages wait in the outbox: enough for one write.
const WIRE_BYTES_MAX: usize = 64 * 1024;

/// Bytes in the wire's queue beyond which Pings are not answered one by one.
const PONG_BYTES_MAX: usize = 16 * 1024;

/// What a message in the outbox counts beside its bytes, so that empty ones are not free.
const ENTRY_BYTES: usize = 64;

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.job.is_none() && self.pong.is_none()
    }

    /// Forgets the messages that have not begun to leave.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn push(&mut self, outgoing: Outgoing) {
        self.bytes += outgoing.len() + ENTRY_BYTES;
        self.waiting.push(Entry::Data(outgoing.detached()));
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.waiting.pop()?;
        if let Entry::Data(outgoing) = &entry {
            self.bytes -= outgoing.len() + ENTRY_BYTES;
        }
        Some(entry)
    }

    /// Drops the oldest message that may be dropped; false if there is none.
    fn drop_oldest(&mut self) -> bool {
        let is_message = |entry: &Entry| match entry {
            Entry::Data(outgoing) => !outgoing.is_control() && !outgoing.is_piece(),
            Entry::Close(_) => false,
        };
        let Some(Entry::Data(dropped)) = self.waiting.remove_first(is_message) else { return false };
        self.bytes -= dropped.len() + ENTRY_BYTES;
        true
    }
}

impl Inner {
    /// Bytes that are held for the peer.
    fn held_bytes(&self) -> usize {
        let job = self.outbox.job.as_ref().map_or(0, |job| job.len());
        self.wire.as_deref().map_or(0, Wire::unsent) + self.outbox.bytes + job
    }

    /// Whether all that was queued is with the kernel.
    pub(super) fn is_flushed(&self) -> bool {
        self.outbox.is_empty() && !self.wire.as_deref().is_some_and(Wire::is_flushing)
    }

    /// What is seen of the way out: as long as it stays the same, whoever waits need not look again.
    pub(super) fn backlog(&self) -> (usize, bool) {
        (self.held_bytes(), self.is_flushed())
    }
}

impl Session {
    /// Queues a message, as far as `slow_reader` allows; one that has to wait is left where it is.
    ///
    /// # Cancellation
    /// The message is queued, or it is not sent.
    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        outgoing: &mut Option<Outgoing>,
    ) -> Poll<Result<(), WebSocketError>> {
        match self.queue(outgoing) {
            Err(WebSocketError::Full) => {
                self.remember_other(cx);
                Poll::Pending
            }
            queued => Poll::Ready(queued),
        }
    }

    /// Queues a message now, or says why not.
    pub(crate) fn queue(&self, outgoing: &mut Option<Outgoing>) -> Result<(), WebSocketError> {
        self.queue_unsent(outgoing)?;
        self.wake_driver();
        Ok(())
    }

    /// Queues a message that many sockets get, for [`flush_from_outside`](Self::flush_from_outside) to send. Nobody waits for
    /// one slow reader.
    pub(crate) fn queue_shared(&self, encoded: &Encoded) {
        let mut outgoing = Some(Outgoing::Encoded(encoded.clone()));
        let mut queued = self.queue_unsent(&mut outgoing);
        if queued == Err(WebSocketError::Full) {
            self.flush_from_outside();
            queued = self.queue_unsent(&mut outgoing);
        }
        match queued {
            Err(WebSocketError::Full) => match self.config.slow_reader {
                // A Ping or a Pong, which has no place among the messages that can be dropped.
                SlowReader::DropNewest | SlowReader::DropOldest => add(&self.stats.messages_dropped, 1),
                SlowReader::Wait | SlowReader::Close => {
                    self.close_slow_reader(&mut self.inner.borrow_mut());
                }
            },
            // The member is amid a message of pieces of its own.
            Err(WebSocketError::Misuse(_)) => add(&self.stats.messages_dropped, 1),
            // Other errors are those of a member that is leaving, or was closed for being slow.
            _ => {}
        }
    }

    fn queue_unsent(&self, outgoing: &mut Option<Outgoing>) -> Result<(), WebSocketError> {
        // Only what the kernel was offered is held against the peer. (Who can wait leaves the core to others instead.)
        let needs_flush = |item: &Outgoing| {
            self.config.slow_reader != SlowReader::Wait && !self.fits(&self.inner.borrow(), item)
        };
        if outgoing.as_ref().is_some_and(needs_flush) {
            self.flush_from_outside();
        }
        let mut inner = self.inner.borrow_mut();
        let Some(item) = outgoing.as_ref() else { return Ok(()) };
        if !inner.state.may_send() {
            return Err(WebSocketError::Closed);
        }
        check(item, inner.sending)?;
        if !self.make_room(&mut inner, item)? {
            add(&self.stats.messages_dropped, 1);
            *outgoing = None;
            return Ok(());
        }
        let Some(item) = outgoing.take() else { return Ok(()) };
        if let Outgoing::Message(Message::Piece(piece), _) = &item {
            let next = sequence(inner.sending, !piece.is_first, piece.is_last);
            inner.sending = next.expect("checked above");
        }
        if !item.is_control() {
            add(&self.stats.messages_out, 1);
        }
        self.put(&mut inner, item);
        self.touch(&mut inner);
        Ok(())
    }

    /// Waits until all that was queued is with the kernel.
    pub(crate) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<Result<(), WebSocketError>> {
        let inner = self.inner.borrow_mut();
        if inner.wire.is_none() {
            return Poll::Ready(Err(WebSocketError::Closed));
        }
        if inner.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        self.remember_other(cx);
        self.wake_driver();
        Poll::Pending
    }

    /// Sends what is queued with the waker of the driving task, which may be another: for who sends to many sockets, and would
    /// otherwise wake as many tasks, and for who has to know now what the peer takes.
    pub(crate) fn flush_from_outside(&self) {
        let Some(driver) = self.driver() else { return };
        let mut inner = self.inner.borrow_mut();
        if let Some(wire) = &mut inner.wire {
            wire.begin_turn();
        }
        self.flush(&mut inner, &mut Context::from_waker(&driver));
    }

    /// Whether the message may wait beside what is held for the peer.
    fn fits(&self, inner: &Inner, item: &Outgoing) -> bool {
        let held = inner.held_bytes();
        held == 0 || held + item.len() <= self.config.send_queue_bytes_max
    }

    /// Whether the message may be queued now; false if it is dropped.
    fn make_room(&self, inner: &mut Inner, item: &Outgoing) -> Result<bool, WebSocketError> {
        if self.fits(inner, item) {
            return Ok(true);
        }
        match self.config.slow_reader {
            // A piece that is missing would break the message.
            _ if item.is_piece() || item.is_control() => Err(WebSocketError::Full),
            SlowReader::Wait => Err(WebSocketError::Full),
            SlowReader::DropNewest => Ok(false),
            SlowReader::DropOldest => {
                while !self.fits(inner, item) && inner.outbox.drop_oldest() {
                    add(&self.stats.messages_dropped, 1);
                    self.stats.messages_out.set(self.stats.messages_out.get() - 1);
                }
                // What has begun to leave cannot be dropped: beside it, the newest waits.
                Ok(true)
            }
            SlowReader::Close => {
                self.close_slow_reader(inner);
                Err(WebSocketError::Closed)
            }
        }
    }

    /// Gives up on a peer that does not take what is sent. It has `close_timeout` for what has begun to leave, too: who takes a
    /// little of that now and then would keep it for hours.
    pub(super) fn close_slow_reader(&self, inner: &mut Inner) {
        inner.outbox.clear();
        self.begin_close(inner, close_frame(CloseCode::POLICY, "reads too slowly"));
        self.begin_close_timeout(inner);
        self.wake_driver();
    }

    /// Puts a message into the wire's queue if it is its turn, and into the outbox otherwise.
    fn put(&self, inner: &mut Inner, item: Outgoing) {
        let has_room = inner.wire.as_ref().is_some_and(|wire| wire.unsent() < WIRE_BYTES_MAX);
        if has_room && inner.outbox.is_empty() && !self.is_long_work(inner, &item) {
            self.write(inner, item);
        } else {
            inner.outbox.push(item);
        }
    }

    /// Queues the Close frame behind the messages. The caller has taken the step.
    pub(super) fn put_close(&self, inner: &mut Inner, frame: CloseFrame) {
        if inner.outbox.is_empty() {
            self.write_close(inner, &frame);
        } else {
            inner.outbox.waiting.push(Entry::Close(frame));
        }
        self.touch(inner);
    }

    /// Answers a Ping: at once if the peer takes what is sent, and otherwise only the last one.
    pub(super) fn answer_ping(&self, inner: &mut Inner, payload: Bytes) {
        if after(inner.state, Step::Send).is_none() {
            return;
        }
        if inner.wire.as_ref().is_some_and(|wire| wire.unsent() < PONG_BYTES_MAX) {
            self.write_control(inner, Message::Pong(payload));
        } else {
            inner.outbox.pong = Some(Box::new(payload));
        }
    }

    pub(super) fn write_control(&self, inner: &mut Inner, message: Message) {
        self.write(inner, Outgoing::Message(message, Compression::Off));
    }

    /// Sends what is queued, in the driving task.
    pub(super) fn flush(&self, inner: &mut Inner, cx: &mut Context<'_>) {
        let before = inner.backlog();
        self.refill(inner, cx);
        self.flush_to_the_end(inner, cx);
        // One of the others may be this very task: it would wake itself for ever if nothing had to move for that.
        if inner.backlog() != before && inner.held_bytes() <= self.config.send_queue_bytes_max / 2 {
            self.wake_others();
        }
        if inner.state == State::CloseSent {
            self.limit_closing(inner);
        }
    }

    /// Sends until nothing is left or the peer takes no more, and is told when it does.
    fn flush_to_the_end(&self, inner: &mut Inner, cx: &mut Context<'_>) {
        while let Some(wire) = &mut inner.wire {
            match wire.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.refill(inner, cx);
                    if !inner.wire.as_deref().is_some_and(Wire::is_flush_due) {
                        return self.end_stall(inner);
                    }
                }
                Poll::Ready(Err(_)) => return self.end(inner, None),
                Poll::Pending => {
                    let written = wire.written();
                    return self.note_stall(inner, written);
                }
            }
        }
    }

    /// Moves messages from the outbox to the wire's queue, as far as there is room.
    fn refill(&self, inner: &mut Inner, cx: &mut Context<'_>) {
        loop {
            if let Some(job) = &mut inner.outbox.job {
                let Poll::Ready(packed) = job.poll(cx) else { return };
                self.end_job(inner, packed);
            }
            if inner.wire.as_ref().is_none_or(|wire| wire.unsent() >= WIRE_BYTES_MAX) {
                return;
            }
            if let Some(payload) = inner.outbox.pong.take() {
                self.write_control(inner, Message::Pong(*payload));
            }
            match inner.outbox.pop() {
                None => return,
                Some(Entry::Close(frame)) => self.write_close(inner, &frame),
                Some(Entry::Data(item)) if self.is_long_work(inner, &item) => self.begin_job(inner, item),
                Some(Entry::Data(item)) => self.write(inner, item),
            }
        }
    }
}

/// What the protocol does not allow to be sent.
fn check(item: &Outgoing, before: Sequence) -> Result<(), Misuse> {
    if item.is_control() {
        return if item.len() > CONTROL_BYTES_MAX { Err(Misuse::ControlTooLong) } else { Ok(()) };
    }
    let (is_continuation, is_final) = match item {
        Outgoing::Message(Message::Piece(piece), _) => (!piece.is_first, piece.is_last),
        _ => (false, true),
    };
    sequence(before, is_continuation, is_final).map(drop).ok_or(Misuse::WrongState)
}

pub(super) fn close_frame(code: CloseCode, reason: &str) -> CloseFrame {
    CloseFrame { code, reason: reason.to_owned() }
}
