//! One connection of a client: a request goes out, its answer comes in, and then it is known whether another may follow.
//!
//! Everything is a poll on state that the connection owns: whoever polls may go away, and the next poll goes on. While
//! the answer is waited for, the request leaves; an answer may come before the request is sent. As on a server, a small
//! request is queued, and the poll that waits for its answer sends it: one send and one receive.
//!
//! Nobody polls an idle connection for a request, but its next read is made already. What that brings while no request is
//! under way is its end.
#![forbid(unsafe_code)]

mod close_reason;
mod converse;
mod ending;
mod failure;
mod held;
mod sending;
#[cfg(test)]
mod tests;
#[cfg(feature = "rustls")]
mod tls;
mod upload;
mod wait;

use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use ringhttp_runtime::YieldNow;
use ringhttp_runtime::buffer::BufferPool;
use ringhttp_runtime::listener::Socket;
use ringhttp_runtime::stream::Stream;
use ringhttp_runtime::time::Timers;

use super::body::{Body, Kind};
use crate::io::read_buffer::{Landing, Purpose};
use crate::io::transport::Transport;
use crate::io::wire::Wire;
use crate::proto::http1::{
    BodyEvent, Framing, ImpliedRequest, Limits, ResponseHead, ResponseReader, State, elements,
    encode_request_head,
};

pub use self::close_reason::{CloseCounts, CloseReason};
pub(crate) use self::failure::Failure;
use self::held::HeldBody;
use self::upload::Upload;
pub(in crate::conn) use self::upload::{FILE_PIECE_BYTES, UploadQueue};
pub(crate) use self::wait::{ExchangeLimits, Waited};
use self::wait::{Wait, WaitsFor};

/// A connection to a server, with at most one exchange on it.
pub(crate) struct ClientConnection {
    wire: Wire,
    reader: ResponseReader,
    /// Of the running request: its answer is framed by it.
    method: Method,
    limits: ExchangeLimits,
    wait: Wait,
    phase: Phase,
    /// What is left of the request's body.
    upload: Option<Box<Upload>>,
    /// The request's body, while the server is asked whether it wants it, and behind an answer that came without.
    held: Option<Box<HeldBody>>,
    /// Sending goes on behind the other connections' turns.
    pause: Option<YieldNow>,
    /// Sending has ended before its time; the answer may come all the same.
    write_failure: Option<io::Error>,
    asks_close: bool,
    asks_switch: bool,
    /// Whether any byte came behind the request.
    is_answered: bool,
    /// Interim answers to the request.
    interim: u8,
    /// Bytes that had been sent before the request.
    written_before: u64,
    /// Exchanges that were begun.
    exchanges: u64,
}

/// Where the exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// The request was queued; nobody has waited for its answer yet.
    Begun,
    /// The answer is waited for.
    Waiting,
    /// A part of the head has come.
    Head,
    Body,
    Failed,
}

/// A request, ready to be sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'a Method,
    /// In the form that the method and the way to the server ask for (RFC 9112 §3.2).
    pub(crate) target: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) implied: ImpliedRequest<'a>,
    /// The implied fields ask the server to close behind its answer; those in `headers` go before them.
    pub(crate) closes: bool,
    /// How long the body waits for a 100 before it is sent all the same; its fields ask for one then (RFC 9110 §10.1.1).
    pub(crate) continue_wait: Option<Duration>,
    pub(crate) body: Body,
}

/// What is known of a request that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// No byte of it was sent.
    Unsent,
    /// The server may have seen it.
    Sent,
}

impl ClientConnection {
    /// A connection over a socket that was just connected.
    pub(crate) fn over_socket(socket: Socket, limits: Limits, buffers: &BufferPool, timers: &Timers) -> Self {
        Self::new(Transport::Socket(Stream::from(socket)), limits, buffers, timers)
    }

    fn new(transport: Transport, limits: Limits, buffers: &BufferPool, timers: &Timers) -> Self {
        Self {
            wire: Wire::with_landing(transport, buffers, &Landing::RESPONSES),
            reader: ResponseReader::new(limits),
            method: Method::GET,
            limits: ExchangeLimits::default(),
            wait: Wait::new(timers),
            phase: Phase::Idle,
            upload: None,
            held: None,
            pause: None,
            write_failure: None,
            asks_close: false,
            asks_switch: false,
            is_answered: false,
            interim: 0,
            written_before: 0,
            exchanges: 0,
        }
    }

    /// Whether no exchange is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// Watches an idle connection: ready with the reason when it can be used no more.
    ///
    /// # Cancellation
    /// Nothing is lost: the read is the one that the next answer needs.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        debug_assert_eq!(self.phase, Phase::Idle, "an exchange is under way");
        Poll::Ready(match ready!(self.wire.poll_fill(cx, Purpose::NextHead)) {
            // Some servers say why they close an idle connection (408). Nobody asked.
            Ok(1..) => CloseReason::ExtraBytes,
            Ok(0) | Err(_) => CloseReason::ServerClosed,
        })
    }

    /// Queues a request, which leaves when its answer is polled for.
    ///
    /// # Errors
    /// If it cannot be written as a request. The connection is as it was.
    ///
    /// # Panics
    /// If the last exchange was not [finished](Self::finish).
    pub(crate) fn begin(&mut self, request: Outgoing<'_>, limits: ExchangeLimits) -> Result<(), Failure> {
        assert_eq!(self.phase, Phase::Idle, "one exchange at a time");
        let framing = framing(request.method, &request.body);
        self.written_before = self.wire.written();
        let out = self.wire.output().buffer();
        let Outgoing { method, target, headers, implied, closes, continue_wait, body } = request;
        encode_request_head(out, method, target, headers, framing, &implied).map_err(Failure::Misuse)?;
        (self.asks_close, self.asks_switch) = (closes, false);
        if !headers.is_empty() && headers.contains_key(header::CONNECTION) {
            let asks = |option: &[u8]| {
                elements(headers, header::CONNECTION).any(|found| found.eq_ignore_ascii_case(option))
            };
            self.asks_close = asks(b"close");
            self.asks_switch = asks(b"upgrade") && headers.contains_key(header::UPGRADE);
        }
        if self.method != *method {
            self.method = method.clone();
        }
        self.limits = limits;
        match continue_wait {
            Some(wait) if !matches!(framing, Framing::Empty | Framing::Length(0)) => {
                let held = HeldBody::new(body.0, framing, wait, self.wait.timers());
                self.held = Some(Box::new(held));
            }
            _ => self.queue_body(body.0, framing),
        }
        self.phase = Phase::Begun;
        self.is_answered = false;
        self.interim = 0;
        self.exchanges += 1;
        Ok(())
    }

    /// Sets the limits of the next answer.
    pub(crate) fn limit_answer(&mut self, limits: Limits) {
        self.reader.set_limits(limits);
    }

    /// Waits for the head of the answer, which is read into `head`; interim answers (1xx) are passed over and counted.
    ///
    /// # Cancellation
    /// Nothing is lost.
    ///
    /// # Panics
    /// If no exchange was begun, or its head was read.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Failure>> {
        let result = loop {
            match self.read_head(head) {
                Ok(true) => break Ok(()),
                Ok(false) => {}
                Err(failure) => break Err(failure),
            }
            let purpose = if self.phase == Phase::Head { Purpose::More } else { Purpose::NextHead };
            match ready!(self.poll_more(cx, purpose)) {
                Ok(1..) => {}
                Ok(0) => break Err(self.disconnected(None)),
                Err(failure) => break Err(failure),
            }
        };
        self.phase = if result.is_ok() { Phase::Body } else { Phase::Failed };
        self.wait.arrived();
        Poll::Ready(result)
    }

    /// Waits for the next piece of the answer's body, a view of the read buffer; `None` at its end.
    ///
    /// # Cancellation
    /// Nothing is lost.
    ///
    /// # Panics
    /// If the head of the answer was not read, or the exchange failed.
    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        assert_eq!(self.phase, Phase::Body, "a body is read behind its head");
        let result = loop {
            // While a read is under way the unread bytes are lent out: there is nothing to look at.
            if !self.wire.is_filling() {
                match self.reader.body(self.wire.input()) {
                    Ok(BodyEvent::Data(data)) => return Poll::Ready(Ok(Some(data))),
                    Ok(BodyEvent::End) => return Poll::Ready(Ok(None)),
                    Ok(BodyEvent::NeedMore) => {}
                    Err(error) => break Err(Failure::Protocol(error)),
                }
            }
            match ready!(self.poll_more(cx, Purpose::More)) {
                Ok(1..) => {}
                // The end of a body that ends with the connection.
                Ok(0) if !self.was_reset() && self.reader.peer_closed(b"").is_ok() => break Ok(None),
                Ok(0) => break Err(Failure::Read(None)),
                Err(failure) => break Err(failure),
            }
        };
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        Poll::Ready(result)
    }

    /// Passes over what has come of the answer's body, without reading more: whether that was all of it.
    pub(crate) fn skip_buffered(&mut self) -> bool {
        if self.phase != Phase::Body || self.wire.is_filling() {
            return false;
        }
        while let Ok(BodyEvent::Data(_)) = self.reader.body(self.wire.input()) {}
        self.is_complete()
    }

    /// The trailers of the body that was read to its end, once.
    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.reader.trailers()
    }

    /// Whether the answer has been read to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.phase == Phase::Body && matches!(self.reader.state(), State::Done | State::Closed)
    }

    /// Whether the bytes that follow belong to another protocol.
    pub(crate) fn is_switched(&self) -> bool {
        self.reader.state() == State::Switched
    }

    /// The body of the request, nothing of which was sent because the server did not say that it wants it.
    pub(crate) fn take_unsent_body(&mut self) -> Option<Body> {
        self.held.as_mut()?.take().map(|(kind, _)| Body(kind))
    }

    /// Interim answers that came before the answer.
    pub(crate) fn interim(&self) -> u8 {
        self.interim
    }

    /// Bytes of the request that the kernel has taken.
    pub(crate) fn sent(&self) -> u64 {
        self.wire.written() - self.written_before
    }

    /// Whether the head of the answer is here.
    fn read_head(&mut self, head: &mut ResponseHead) -> Result<bool, Failure> {
        assert!(!matches!(self.phase, Phase::Idle | Phase::Body | Phase::Failed), "a head is read once");
        loop {
            if self.wire.is_filling() || self.wire.input().is_empty() {
                return Ok(false);
            }
            let is_here = self.reader.head_into(self.wire.input(), &self.method, head);
            if !is_here.map_err(Failure::Protocol)? {
                self.phase = Phase::Head;
                return Ok(false);
            }
            let is_switched = self.reader.state() == State::Switched;
            if is_switched && head.status == StatusCode::SWITCHING_PROTOCOLS && !self.asks_switch {
                return Err(Failure::UnaskedSwitch);
            }
            if self.reader.state() != State::Idle {
                return Ok(true);
            }
            if head.status == StatusCode::CONTINUE {
                self.release_body();
            }
            self.phase = Phase::Waiting;
            self.interim = self.interim.saturating_add(1);
        }
    }

    /// Waits for more bytes, 0 at the end, while the request leaves.
    fn poll_more(&mut self, cx: &mut Context<'_>, purpose: Purpose) -> Poll<Result<usize, Failure>> {
        if self.phase == Phase::Begun {
            self.phase = Phase::Waiting;
        } else if self.wire.is_filling() {
            // Who comes back mostly does so for what was read.
            if let Poll::Ready(read) = self.wire.poll_fill(cx, purpose) {
                return Poll::Ready(self.note_read(read));
            }
        }
        if let Err(failure) = self.poll_send(cx) {
            return Poll::Ready(Err(failure));
        }
        if let Poll::Ready(read) = self.wire.poll_fill(cx, purpose) {
            return Poll::Ready(self.note_read(read));
        }
        let is_flushing = self.write_failure.is_none() && self.wire.is_flushing();
        let has_begun = matches!(self.phase, Phase::Head | Phase::Body);
        let waits_for = WaitsFor {
            written: is_flushing.then(|| self.wire.written()),
            is_sent: self.upload.is_none() && !is_flushing && (has_begun || self.held.is_none()),
            has_begun,
        };
        let waited = ready!(self.wait.poll(cx, &self.limits, waits_for));
        Poll::Ready(Err(Failure::Timeout(waited)))
    }

    fn note_read(&mut self, read: io::Result<usize>) -> Result<usize, Failure> {
        self.wait.arrived();
        match read {
            Ok(count) => {
                self.is_answered |= count > 0;
                Ok(count)
            }
            Err(error) => Err(self.disconnected(Some(error))),
        }
    }

    /// Whether sending has met a reset: the kernel tells it once, and who reads then finds an end. A server that ended its side and
    /// takes no more is a broken pipe, and its end is one.
    fn was_reset(&self) -> bool {
        self.write_failure.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    }

    /// The connection is gone. If sending failed before, that is what there is to say.
    fn disconnected(&mut self, error: Option<io::Error>) -> Failure {
        match self.write_failure.take() {
            Some(error) if !self.is_answered => Failure::Write(error),
            _ => Failure::Read(error),
        }
    }
}

/// How the body of a request is delimited (RFC 9112 §6.3). A method that defines what a body means says that there is
/// none (RFC 9110 §8.6).
fn framing(method: &Method, body: &Body) -> Framing {
    match body.length() {
        Some(0) if matches!(body.0, Kind::Empty) || body.as_bytes().is_some() => match *method {
            Method::POST | Method::PUT | Method::PATCH => Framing::Length(0),
            _ => Framing::Empty,
        },
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    }
}

impl fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConnection")
            .field("phase", &self.phase)
            .field("exchanges", &self.exchanges)
            .finish_non_exhaustive()
    }
}
