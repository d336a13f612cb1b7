//! What comes: messages for the application, and the control frames that are answered on the way.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ringhttp_runtime::Core;

use super::codec::with_inflaters;
use super::error::WebSocketError;
use super::message::Message;
use super::queue::Queue;
use super::session::{Inner, Session};
use super::stats::add;
use crate::io::read_buffer::Purpose;
use crate::io::wire::Wire;
use crate::proto::websocket::{CloseFrame, Event, Fault, Inflaters};

/// Messages that came before they were asked for.
#[derive(Default)]
pub(super) struct Inbox {
    messages: Queue<Message>,
    bytes: usize,
    /// What the reader said last: bytes that the message at the front of the buffer lacks (those beyond 4 GiB do not count),
    /// `None` if it has more to say.
    missing: Option<u32>,
    /// What came behind messages that nobody has asked for yet: they are to be answered before the socket is closed.
    last: Option<Box<Last>>,
}

/// What nothing follows.
enum Last {
    Close(CloseFrame),
    Fault(Fault),
}

/// What a message in the inbox counts beside its bytes, so that empty ones are not free.
const MESSAGE_BYTES: usize = 64;

/// Messages and control frames after which the other tasks of the core have their turn: one read brings thousands of tiny ones.
const EVENTS_PER_TURN: u8 = 64;

/// Bytes that count as one of them where messages are unpacked, so that a turn unpacks 128 KiB and not as much with each message.
const EVENT_BYTES: usize = 2 * 1024;

impl Inbox {
    fn push(&mut self, message: Message) {
        self.bytes += message.len() + MESSAGE_BYTES;
        self.messages.push(message.detached());
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop()?;
        self.bytes -= message.len() + MESSAGE_BYTES;
        Some(message)
    }

    pub(super) fn clear(&mut self) {
        self.messages = Queue::default();
        self.bytes = 0;
    }
}

impl Session {
    /// Waits for the next message; `None` if there will be no more. An error is given once.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, WebSocketError>> {
        self.go_on_with_turn();
        let mut inner = self.inner.borrow_mut();
        let was_full = self.is_full(&inner);
        if let Some(message) = inner.inbox.pop() {
            if was_full {
                // Reading goes on.
                self.wake_driver();
            }
            return Poll::Ready(Ok(Some(message)));
        }
        let by_driver = self.is_in_turn();
        while by_driver && let Poll::Ready(Some(message)) = self.poll_message(&mut inner, cx) {
            if !inner.talk.closing.discards {
                return Poll::Ready(Ok(Some(message)));
            }
        }
        if !inner.state.may_receive() {
            return Poll::Ready(inner.talk.closing.error.take().map_or(Ok(None), Err));
        }
        self.remember_receiver(cx);
        if by_driver && self.poll_clock(&mut inner, cx).is_pending() && inner.state.may_receive() {
            self.end_turn(cx);
        }
        Poll::Pending
    }

    /// Reads messages before they are asked for, as many as the inbox takes, and sends what is queued in any case.
    pub(super) fn read_ahead(&self, inner: &mut Inner, cx: &mut Context<'_>) {
        while !self.is_full(inner) {
            match self.poll_message(inner, cx) {
                Poll::Ready(Some(_)) if inner.talk.closing.discards => {}
                Poll::Ready(Some(message)) => {
                    inner.inbox.push(message);
                    self.wake_receiver();
                }
                Poll::Ready(None) => break,
                Poll::Pending => return,
            }
        }
        self.flush(inner, cx);
    }

    /// Whether no more is read until the application asks.
    pub(super) fn is_full(&self, inner: &Inner) -> bool {
        let inbox = &inner.inbox;
        inbox.bytes >= self.config.read_ahead_bytes_max
            || (inbox.last.is_some() && !inbox.messages.is_empty())
    }

    /// The next message off the wire, in the driving task; `None` if no more can come. Control frames are seen to on the way,
    /// and what is queued leaves together with the next read.
    pub(super) fn poll_message(&self, inner: &mut Inner, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            if !inner.state.may_receive() {
                return Poll::Ready(None);
            }
            if inner.inbox.last.is_some() {
                if !inner.inbox.messages.is_empty() {
                    // Nothing is read any more, but what came before may have been answered.
                    self.flush(inner, cx);
                    return Poll::Pending;
                }
                self.take_last(inner);
                continue;
            }
            if inner.poll_pause(cx).is_pending() {
                self.flush(inner, cx);
                return Poll::Pending;
            }
            let Inner { wire: Some(wire), talk, inbox, packer, streak, .. } = &mut *inner else {
                return Poll::Ready(None);
            };
            let reader = &mut talk.reader;
            if inbox.missing.is_none() && !wire.is_filling() {
                let event = match packer {
                    None => reader.next(wire.input(), &mut Inflaters::default()),
                    Some(_) => with_inflaters(|inflaters| reader.next(wire.input(), inflaters)),
                };
                match event {
                    Ok(Event::NeedMore { missing }) => {
                        inbox.missing = Some(u32::try_from(missing).unwrap_or(u32::MAX));
                    }
                    Ok(event) => {
                        *streak = streak.saturating_add(1);
                        if let Some(message) = self.take_event(inner, event) {
                            return Poll::Ready(Some(message));
                        }
                        continue;
                    }
                    Err(fault) => {
                        inbox.last = Some(Box::new(Last::Fault(fault)));
                        continue;
                    }
                }
            }
            if self.poll_fill(inner, cx).is_pending() {
                inner.streak = 0;
                return Poll::Pending;
            }
        }
    }

    /// Reads from the transport, and sends what is queued if there is nothing to be read.
    fn poll_fill(&self, inner: &mut Inner, cx: &mut Context<'_>) -> Poll<()> {
        // Who comes back mostly does so for what was read.
        let is_filling = inner.wire.as_deref().is_some_and(Wire::is_filling);
        if !is_filling || self.poll_read(inner, cx).is_pending() {
            self.flush(inner, cx);
            if self.poll_read(inner, cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn poll_read(&self, inner: &mut Inner, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wire) = &mut inner.wire else {
            return Poll::Ready(());
        };
        let purpose = match inner.inbox.missing {
            Some(missing @ 1..) => Purpose::Rest(missing as usize),
            _ if inner.talk.reader.is_within_message() => Purpose::More,
            _ => Purpose::NextHead,
        };
        match wire.poll_fill(cx, purpose) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(1..)) => {
                inner.inbox.missing = None;
                self.heard(inner);
            }
            // The connection is gone without a Close frame.
            Poll::Ready(_) => self.end(inner, None),
        }
        Poll::Ready(())
    }

    fn take_last(&self, inner: &mut Inner) {
        match inner.inbox.last.take().map(|last| *last) {
            Some(Last::Close(frame)) => self.take_close(inner, Box::new(frame)),
            Some(Last::Fault(fault)) => self.fail(inner, fault),
            None => {}
        }
    }

    /// Sees to what has come; a message for the application is given back.
    fn take_event(&self, inner: &mut Inner, event: Event) -> Option<Message> {
        let message = match event {
            Event::Text(text) => Message::Text(text),
            Event::Binary(bytes) => Message::Binary(bytes),
            Event::Piece(piece) => Message::Piece(piece),
            Event::Ping(payload) if self.config.autoping => {
                self.answer_ping(inner, payload);
                return None;
            }
            Event::Pong(_) if self.config.autoping => return None,
            Event::Ping(payload) => return Some(Message::Ping(payload)),
            Event::Pong(payload) => return Some(Message::Pong(payload)),
            Event::Close(frame) => {
                inner.inbox.last = Some(Box::new(Last::Close(frame)));
                return None;
            }
            Event::Working => {
                inner.give_way();
                return None;
            }
            Event::NeedMore { .. } => return None,
        };
        if inner.packer.is_some() {
            let events = u8::try_from(message.len() / EVENT_BYTES).unwrap_or(u8::MAX);
            inner.streak = inner.streak.saturating_add(events);
        }
        add(&self.stats.messages_in, 1);
        add(&self.stats.bytes_in, message.len() as u64);
        Some(message)
    }
}

impl Inner {
    /// Lets others have their turn, when much was done without a wait.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.streak >= EVENTS_PER_TURN {
            self.give_way();
        }
        if let Some(turn) = &mut self.pause {
            ready!(Pin::new(&mut **turn).poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    fn give_way(&mut self) {
        self.streak = 0;
        self.pause = Core::current().map(|core| Box::new(core.yield_now()));
    }
}
