//! Reading: records become content, one at a time, where they landed.
#![forbid(unsafe_code)]

use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::session::Opened;
use super::violation::Violation;
use super::{End, State, Tls};
use crate::io::read_buffer::{Purpose, ReadBuffer};

impl Tls {
    pub(crate) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Starts a read, to which the unread bytes of `input` are lent.
    pub(crate) fn start_fill(&mut self, input: &mut ReadBuffer, purpose: Purpose) {
        assert!(self.reading.is_none(), "one read at a time");
        let unread = std::mem::take(input.bytes());
        let mut purpose = match purpose {
            // How much is missing of a message says nothing about records.
            Purpose::Rest(_) => Purpose::More,
            purpose => purpose,
        };
        if !unread.is_empty() {
            self.unread = unread;
            purpose = Purpose::More;
        } else if self.received.bytes().capacity() == 0 && !self.carrier.is_reading() {
            // The memory of the last record, read to its end: the next may land there.
            *self.received.bytes() = unread;
        }
        self.reading = Some(purpose);
    }

    /// The end of the read under way: the content of one record, behind what was unread. 0 if the peer has said that it
    /// sends nothing more; an end without that is an `UnexpectedEof`.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut ReadBuffer,
    ) -> Poll<io::Result<usize>> {
        let Some(purpose) = self.reading else {
            return Poll::Pending;
        };
        if matches!(self.end, End::Asked | End::Told) {
            // Who waits for the peer's end has asked for ours.
            let _ = self.poll_sent(cx);
        }
        let read = if self.discards {
            ready!(self.poll_received(cx, purpose)).map(|count| {
                self.received.release();
                (BytesMut::new(), count)
            })
        } else {
            ready!(self.poll_content(cx, purpose)).map(|content| {
                let count = content.len();
                (content, count)
            })
        };
        self.reading = None;
        let unread = std::mem::take(&mut self.unread);
        Poll::Ready(match read {
            Ok((content, count)) => {
                *input.bytes() = joined(unread, content);
                Ok(count)
            }
            Err(error) => {
                *input.bytes() = unread;
                Err(error)
            }
        })
    }

    /// The content of the next record that has any; empty at the end.
    fn poll_content(&mut self, cx: &mut Context<'_>, purpose: Purpose) -> Poll<io::Result<BytesMut>> {
        loop {
            if !self.carrier.is_reading() {
                let State::Open(session) = &mut self.state else {
                    return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
                };
                let opened = session.open(self.received.bytes(), &mut self.sealed);
                if !self.sealed.is_empty() {
                    self.send_quietly();
                }
                self.unopened = 0;
                match opened {
                    Ok(Opened::Data(content)) => return Poll::Ready(Ok(content)),
                    Ok(Opened::End) => return Poll::Ready(Ok(BytesMut::new())),
                    Ok(Opened::Partial(missing)) => {
                        self.unopened = u32::try_from(self.received.bytes().len()).unwrap_or(u32::MAX);
                        self.received.expect_record(missing);
                    }
                    Err(violation) => return Poll::Ready(Err(self.fail(violation))),
                }
            }
            if ready!(self.poll_received(cx, purpose))? == 0 {
                self.cut_off = true;
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Waits for more bytes of records.
    pub(super) fn poll_received(
        &mut self,
        cx: &mut Context<'_>,
        purpose: Purpose,
    ) -> Poll<io::Result<usize>> {
        if !self.carrier.is_reading() {
            ready!(self.turn.poll_read(&mut self.streak, cx));
            self.carrier.start_fill(&mut self.received, purpose);
        }
        let Poll::Ready(read) = self.carrier.poll_fill(cx, &mut self.received) else {
            self.streak.end();
            return Poll::Pending;
        };
        self.carrier_ended |= !matches!(read, Ok(1..));
        Poll::Ready(read)
    }

    /// Bytes that are here of a record whose end whoever reads waits for.
    pub(crate) fn unopened(&self) -> u32 {
        self.unopened
    }

    /// Ends the session, and says why to the peer.
    pub(super) fn fail(&mut self, violation: Violation) -> io::Error {
        if let State::Open(mut session) = std::mem::replace(&mut self.state, State::Failed)
            && let Some(alert) = violation.alert
            && let Ok(alert) = session.fatal_alert(alert)
        {
            self.sealed.push(alert);
            self.send_quietly();
        }
        violation.into()
    }

    /// Whether the session ended because one side broke it off.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// Whether the peer's side ended without its `close_notify`.
    pub(crate) fn was_cut_off(&self) -> bool {
        self.cut_off
    }

    /// From now on, what comes is thrown away unopened: whoever reads only waits for the end. Says whether there is
    /// something to wait for.
    pub(crate) fn discard_rest(&mut self) -> bool {
        self.discards = true;
        !self.carrier_ended
    }
}

/// The content of a record behind what was unread: one that spans records, which is a head as a rule, has to be joined.
fn joined(mut unread: BytesMut, content: BytesMut) -> BytesMut {
    if unread.is_empty() {
        return content;
    }
    if content.is_empty() {
        return unread;
    }
    if unread.capacity() - unread.len() < content.len() {
        // Room for as much again: however small the records, each byte is moved a few times at most.
        let mut larger = BytesMut::with_capacity(2 * (unread.len() + content.len()));
        larger.extend_from_slice(&unread);
        unread = larger;
    }
    unread.extend_from_slice(&content);
    unread
}
