//! Bytes to messages: the server's [`RequestReader`] and the client's [`ResponseReader`].
//!
//! Both hold a [`State`] that only [`after`] changes, and the decoder of the body being read. After a [`PeerError`]
//! a reader is in [`State::MustClose`], gives the same error again, and what is left in the buffer has no meaning.
#![forbid(unsafe_code)]

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};

use super::Limits;
use super::chunked::{self, ChunkedDecoder};
use super::framing::Framing;
use super::head::{self, RequestHead, ResponseHead, Scan, Section};
use super::renew::renew;
use super::state::{State, Step, after};
use crate::proto::{Misuse, PeerError};

/// What the next bytes of a body are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// A piece of the body, never empty: a view of the read buffer, no copy.
    Data(Bytes),
    /// The body is complete; trailers can be asked for.
    End,
    /// Read more from the peer, or tell the reader that it closed.
    NeedMore,
}

/// Server side: bytes to request heads and bodies.
///
/// `input` is any split of the byte stream, always the same buffer, consumed from the front.
#[derive(Debug)]
pub struct RequestReader {
    flow: Flow,
    /// Empty lines skipped before the present head.
    empty_lines: u8,
}

impl RequestReader {
    /// A reader in [`State::Idle`].
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { flow: Flow::new(limits), empty_lines: 0 }
    }

    /// Reads one head from the front of `input`, if it is there completely.
    ///
    /// `spare`: an empty map whose memory is used; it is taken when a head was read. `Ok(None)`: more bytes are
    /// needed; apart from empty lines nothing was consumed, and what was searched is not searched again. The values
    /// are views of `input`'s memory.
    ///
    /// A message without a body is at its end with its head: the state is [`State::Done`] at once.
    ///
    /// # Errors
    /// [`PeerError`]: answer with its status and close.
    ///
    /// # Panics
    /// In a state other than [`State::Idle`], unless an error led there: it is given again.
    pub fn head(
        &mut self,
        input: &mut BytesMut,
        spare: &mut Option<HeaderMap>,
    ) -> Result<Option<RequestHead>, PeerError> {
        let mut head = RequestHead { headers: spare.take().unwrap_or_default(), ..RequestHead::default() };
        if self.head_into(input, &mut head)? {
            return Ok(Some(head));
        }
        *spare = Some(head.headers);
        Ok(None)
    }

    /// As [`head`](Self::head), but fills `head`: a new one, or what this function filled before and nobody has changed. In the
    /// latter case field lines that are the same as before, byte for byte, are not parsed again. False: more bytes are needed.
    ///
    /// # Errors
    /// As [`head`](Self::head); what `head` holds then has no meaning, but for the log.
    ///
    /// # Panics
    /// As [`head`](Self::head).
    pub fn head_into(&mut self, input: &mut BytesMut, head: &mut RequestHead) -> Result<bool, PeerError> {
        self.flow.expect_idle()?;
        if self.flow.scan.is_new()
            && let Some(end) = head::read_again(input, &self.flow.limits, head)
        {
            input.advance(end);
        } else if !self.parse_head(input, head).map_err(|error| self.flow.fail(error))? {
            return Ok(false);
        }
        self.empty_lines = 0;
        self.flow.begin(head.framing, head.keep_alive);
        Ok(true)
    }

    fn parse_head(&mut self, input: &mut BytesMut, head: &mut RequestHead) -> Result<bool, PeerError> {
        let Some(lines) = self.lines(input).inspect_err(|_| head.clear())? else {
            return Ok(false);
        };
        head.clear();
        let parsed = head::parse_request(&lines, &self.flow.limits, head);
        if parsed.is_err() {
            head.refuse(lines);
        }
        parsed?;
        Ok(true)
    }

    /// The next piece of the present body.
    ///
    /// # Errors
    /// [`PeerError`] in the chunked coding.
    ///
    /// # Panics
    /// In [`State::Idle`]: there is no body yet.
    pub fn body(&mut self, input: &mut BytesMut) -> Result<BodyEvent, PeerError> {
        self.flow.body(input)
    }

    /// Whether [`body`](Self::body) looks at `input`. At the end of a body it does not, and neither once all of its
    /// `Content-Length` was given out.
    #[must_use]
    pub fn needs_bytes(&self) -> bool {
        self.flow.state == State::Body && !matches!(self.flow.body, Body::Length(0))
    }

    /// Where the reader stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.flow.state
    }

    /// The trailers of the body that was read to its end, once.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        self.flow.trailers()
    }

    /// Ends this cycle: from [`State::Done`] to [`State::Idle`], or to [`State::MustClose`] when the client wants no
    /// further request. Gives the new state.
    ///
    /// # Errors
    /// [`Misuse::BodyUnread`] before the end of the body, [`Misuse::WrongState`] elsewhere.
    pub fn start_next(&mut self) -> Result<State, Misuse> {
        self.flow.start_next()
    }

    /// Hands the stream to another protocol, after the request was read to its end.
    ///
    /// # Errors
    /// [`Misuse::BodyUnread`] before the end of the body, [`Misuse::WrongState`] elsewhere.
    pub fn switch(&mut self) -> Result<(), Misuse> {
        self.flow.finish(Step::Switch)
    }

    /// Gives up on the peer's messages: [`State::MustClose`] unless the stream is closed or switched.
    pub fn abandon(&mut self) {
        self.flow.try_step(Step::Fault);
    }

    /// The stream is gone: [`State::Closed`] from any state.
    pub fn close(&mut self) {
        self.flow.step(Step::Close);
    }

    /// The peer sent the end of its stream; `input` is what was not consumed. The state is [`State::Closed`] then.
    ///
    /// # Errors
    /// [`PeerError::HeadCutOff`] or [`PeerError::BodyCutOff`] in the middle of a message (RFC 9112 §8).
    pub fn peer_closed(&mut self, input: &[u8]) -> Result<(), PeerError> {
        self.flow.peer_closed(input)
    }

    /// The lines of the next head, when they are all there.
    #[inline]
    fn lines(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, PeerError> {
        match input.first() {
            Some(b'A'..=b'Z') => {}
            None => return Ok(None),
            Some(_) => {
                if !self.skip_empty_lines(input)? {
                    return Ok(None);
                }
            }
        }
        let end = self.flow.scan.end(input, &Section::request(&self.flow.limits))?;
        Ok(end.map(|end| input.split_to(end).freeze()))
    }

    /// RFC 9112 §2.2: a server ignores at least one empty line before a request. Gives whether a method can follow.
    #[cold]
    fn skip_empty_lines(&mut self, input: &mut BytesMut) -> Result<bool, PeerError> {
        while input.starts_with(b"\r\n") {
            input.advance(2);
            self.empty_lines += 1;
            if self.empty_lines > EMPTY_LINES_MAX {
                return Err(PeerError::EmptyLinesTooMany);
            }
        }
        match input[..] {
            [] | [b'\r'] => Ok(false),
            [b'\r', ..] => Err(PeerError::BareCr),
            [b'\n', ..] => Err(PeerError::BareLf),
            // Bytes of another protocol (TLS, say) need not contain a line feed: refuse them at once.
            [first, ..] if !super::syntax::is(first, super::syntax::TOKEN) => Err(PeerError::MethodInvalid),
            _ => Ok(true),
        }
    }
}

/// Client side: bytes to response heads and bodies.
///
/// `input` is any split of the byte stream, always the same buffer, consumed from the front.
#[derive(Debug)]
pub struct ResponseReader {
    flow: Flow,
    /// Interim responses to the present request.
    informational: u8,
}

impl ResponseReader {
    /// A reader in [`State::Idle`].
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { flow: Flow::new(limits), informational: 0 }
    }

    /// Sets the limits of what is read from here on: between two messages.
    pub fn set_limits(&mut self, limits: Limits) {
        self.flow.limits = limits;
    }

    /// Reads one head from the front of `input`, if it is there completely.
    ///
    /// `request_method`: of the request that is answered; HEAD and CONNECT change the framing. An interim response
    /// (1xx) is given out and leaves the reader in [`State::Idle`]. After 101, and after 2xx to CONNECT, it is in
    /// [`State::Switched`]: what is left in `input` belongs to the other protocol; whether the request asked for 101 is
    /// the caller's to check. `spare`, `Ok(None)` and the state of a message without a body: as in
    /// [`RequestReader::head`].
    ///
    /// # Errors
    /// [`PeerError`]: close the connection.
    ///
    /// # Panics
    /// In a state other than [`State::Idle`], unless an error led there: it is given again.
    pub fn head(
        &mut self,
        input: &mut BytesMut,
        spare: &mut Option<HeaderMap>,
        request_method: &Method,
    ) -> Result<Option<ResponseHead>, PeerError> {
        let mut head = ResponseHead { headers: spare.take().unwrap_or_default(), ..ResponseHead::default() };
        if self.head_into(input, request_method, &mut head)? {
            return Ok(Some(head));
        }
        *spare = Some(head.headers);
        Ok(None)
    }

    /// As [`head`](Self::head), but fills `head` and uses its memory. If the fields have the names of those that are in its map, in
    /// their order, they are not looked up again. False: more bytes are needed.
    ///
    /// # Errors
    /// As [`head`](Self::head); what `head` holds then has no meaning.
    ///
    /// # Panics
    /// As [`head`](Self::head).
    pub fn head_into(
        &mut self,
        input: &mut BytesMut,
        request_method: &Method,
        head: &mut ResponseHead,
    ) -> Result<bool, PeerError> {
        self.flow.expect_idle()?;
        let complete = self.read_head(input, request_method, head).map_err(|error| {
            // Its names were perhaps refused: the next head in this memory is not to be measured by them.
            head.clear();
            self.flow.fail(error)
        })?;
        if complete {
            self.follow(head, request_method);
        }
        Ok(complete)
    }

    /// The next piece of the present body.
    ///
    /// # Errors
    /// [`PeerError`] in the chunked coding.
    ///
    /// # Panics
    /// In [`State::Idle`]: there is no body yet.
    pub fn body(&mut self, input: &mut BytesMut) -> Result<BodyEvent, PeerError> {
        self.flow.body(input)
    }

    /// Where the reader stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.flow.state
    }

    /// The trailers of the body that was read to its end, once.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        self.flow.trailers()
    }

    /// Ends this cycle: from [`State::Done`] to [`State::Idle`], or to [`State::MustClose`] when the server closes
    /// after it. Gives the new state.
    ///
    /// # Errors
    /// [`Misuse::BodyUnread`] before the end of the body, [`Misuse::WrongState`] elsewhere.
    pub fn start_next(&mut self) -> Result<State, Misuse> {
        self.flow.start_next()
    }

    /// Gives up on the peer's messages: [`State::MustClose`] unless the stream is closed or switched.
    pub fn abandon(&mut self) {
        self.flow.try_step(Step::Fault);
    }

    /// The stream is gone: [`State::Closed`] from any state.
    pub fn close(&mut self) {
        self.flow.step(Step::Close);
    }

    /// The peer sent the end of its stream; `input` is what was not consumed. The state is [`State::Closed`] then.
    /// For a body that ends with the connection this is its regular end: read the body to
    /// [`BodyEvent::NeedMore`] first.
    ///
    /// # Errors
    /// [`PeerError::HeadCutOff`] or [`PeerError::BodyCutOff`] in the middle of a message (RFC 9112 §8).
    pub fn peer_closed(&mut self, input: &[u8]) -> Result<(), PeerError> {
        self.flow.peer_closed(input)
    }

    fn read_head(
        &mut self,
        input: &mut BytesMut,
        request_method: &Method,
        into: &mut ResponseHead,
    ) -> Result<bool, PeerError> {
        match input.first() {
            Some(b'H') => {}
            None => return Ok(false),
            Some(_) => return Err(PeerError::StatusLineInvalid),
        }
        let limits = &self.flow.limits;
        let Some(end) = self.flow.scan.end(input, &Section::response(limits))? else {
            return Ok(false);
        };
        let lines = input.split_to(end).freeze();
        if renew(&lines, limits, request_method, into).is_none() {
            into.clear();
            head::parse_response(&lines, limits, request_method, into)?;
        }
        if is_interim(into.status) {
            self.informational += 1;
            if self.informational > INFORMATIONAL_MAX {
                return Err(PeerError::InformationalTooMany);
            }
        }
        Ok(true)
    }

    fn follow(&mut self, head: &ResponseHead, request_method: &Method) {
        if is_interim(head.status) {
            return self.flow.step(Step::Informational);
        }
        self.informational = 0;
        self.flow.begin(head.framing, head.keep_alive);
        let is_tunnel = *request_method == Method::CONNECT && head.status.is_success();
        if is_tunnel || head.status == StatusCode::SWITCHING_PROTOCOLS {
            self.flow.step(Step::Switch);
        }
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// What both readers share: the state, the body's decoder, and the error that ended it.
#[derive(Debug)]
struct Flow {
    limits: Limits,
    state: State,
    scan: Scan,
    body: Body,
    keep_alive: bool,
    fault: Option<PeerError>,
}

/// The decoder of the present body.
#[derive(Debug)]
enum Body {
    /// Bytes still to come.
    Length(u64),
    Chunked(Box<ChunkedDecoder>),
    UntilClose,
}

impl Flow {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Idle,
            scan: Scan::default(),
            body: Body::Length(0),
            keep_alive: false,
            fault: None,
        }
    }

    fn step(&mut self, step: Step) {
        let from = self.state;
        self.state = after(from, step).unwrap_or_else(|| panic!("no step {step:?} from {from:?}"));
    }

    fn try_step(&mut self, step: Step) {
        self.state = after(self.state, step).unwrap_or(self.state);
    }

    fn expect_idle(&self) -> Result<(), PeerError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        assert!(self.state == State::Idle, "a head cannot be read in state {:?}", self.state);
        Ok(())
    }

    /// Remembers `error` and gives it back.
    #[cold]
    fn fail(&mut self, error: PeerError) -> PeerError {
        self.fault = Some(error);
        self.step(Step::Fault);
        error
    }

    #[inline]
    fn begin(&mut self, framing: Framing, keep_alive: bool) {
        self.keep_alive = keep_alive;
        self.step(Step::Head);
        self.body = match framing {
            Framing::Empty => Body::Length(0),
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Box::new(ChunkedDecoder::new())),
            Framing::UntilClose => Body::UntilClose,
        };
        if let Body::Length(0) = self.body {
            self.step(Step::End);
        }
    }

    fn body(&mut self, input: &mut BytesMut) -> Result<BodyEvent, PeerError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        assert!(self.state != State::Idle, "a body cannot be read before its head");
        if self.state != State::Body {
            return Ok(BodyEvent::End);
        }
        let event = self.decode(input).map_err(|error| self.fail(error))?;
        match event {
            BodyEvent::Data(_) => self.step(Step::Data),
            BodyEvent::End => self.step(Step::End),
            BodyEvent::NeedMore => {}
        }
        Ok(event)
    }

    fn decode(&mut self, input: &mut BytesMut) -> Result<BodyEvent, PeerError> {
        match &mut self.body {
            Body::Chunked(decoder) => decoder.next(input, &self.limits),
            Body::Length(0) => Ok(BodyEvent::End),
            _ if input.is_empty() => Ok(BodyEvent::NeedMore),
            Body::Length(left) => {
                let (data, rest) = chunked::take(input, *left);
                *left = rest;
                Ok(BodyEvent::Data(data))
            }
            Body::UntilClose => Ok(BodyEvent::Data(input.split().freeze())),
        }
    }

    fn trailers(&mut self) -> Option<HeaderMap> {
        match &mut self.body {
            Body::Chunked(decoder) if self.state != State::Body => decoder.take_trailers(),
            _ => None,
        }
    }

    fn start_next(&mut self) -> Result<State, Misuse> {
        self.finish(if self.keep_alive { Step::Next } else { Step::Last })?;
        Ok(self.state)
    }

    /// A step that only [`State::Done`] allows.
    fn finish(&mut self, step: Step) -> Result<(), Misuse> {
        self.state = match (self.state, after(self.state, step)) {
            (_, Some(state)) => state,
            (State::Body, None) => return Err(Misuse::BodyUnread),
            _ => return Err(Misuse::WrongState),
        };
        Ok(())
    }

    fn peer_closed(&mut self, input: &[u8]) -> Result<(), PeerError> {
        let result = match (self.state, &self.body) {
            // Empty lines before a request that never came are no message.
            (State::Idle, _) if !matches!(input, [] | [b'\r']) => Err(PeerError::HeadCutOff),
            (State::Body, Body::Length(_) | Body::Chunked(_)) => Err(PeerError::BodyCutOff),
            _ => Ok(()),
        };
        if let Err(error) = result {
            self.fault = self.fault.or(Some(error));
        }
        self.step(Step::Close);
        result
    }
}

/// Empty lines that are skipped before a request. Old clients send one after a body; more than a few are no mistake.
const EMPTY_LINES_MAX: u8 = 4;

/// Interim responses to one request. A server sends one or two (100, 103); without an end it would hold us for ever.
const INFORMATIONAL_MAX: u8 = 16;

#[cfg(test)]
mod tests;
