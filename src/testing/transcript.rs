//! Everything a reader made of a byte stream, as a list that can be compared.
//!
//! The way a stream was cut into pieces must not show in it: [`at_every_split`] checks just that.
#![forbid(unsafe_code)]

use std::fmt::Debug;

use bytes::BytesMut;
use http::{HeaderMap, Method};

use crate::proto::PeerError;
use crate::proto::http1::{
    BodyEvent, Limits, RequestHead, RequestReader, ResponseHead, ResponseReader, State,
};

/// One thing that a reader saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A request's head.
    Request(RequestHead),
    /// A response's head.
    Response(ResponseHead),
    /// Body bytes; adjacent pieces are one.
    Data(Vec<u8>),
    /// The end of a message, with its trailers.
    End(Option<HeaderMap>),
    /// The error that ended it.
    Refused(PeerError),
    /// The bytes after a change of protocol.
    Switched(Vec<u8>),
    /// The end of the stream between two messages, or after the last one.
    Closed,
}

/// Reads requests from `pieces`, each given to the reader as it arrives, then the end of the stream.
#[must_use]
pub fn read_requests(pieces: &[&[u8]], limits: Limits) -> Vec<Seen> {
    read(pieces, &mut Requests(RequestReader::new(limits)), limits)
}

/// Reads responses to `request_method` requests from `pieces`, then the end of the stream.
#[must_use]
pub fn read_responses(pieces: &[&[u8]], limits: Limits, request_method: &Method) -> Vec<Seen> {
    read(pieces, &mut Responses(ResponseReader::new(limits), request_method), limits)
}

/// Gives `input` to `read` whole, byte by byte and cut at every position; the results must be equal.
///
/// # Panics
/// When they are not.
pub fn at_every_split<T: Debug + PartialEq>(input: &[u8], read: impl Fn(&[&[u8]]) -> T) -> T {
    let whole = read(&[input]);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(read(&bytes), whole, "byte by byte (left) and whole (right): b\"{}\"", input.escape_ascii());
    for at in 1..input.len() {
        let (front, back) = input.split_at(at);
        assert_eq!(
            read(&[front, back]),
            whole,
            "in two pieces (left) and whole (right): b\"{}\" b\"{}\"",
            front.escape_ascii(),
            back.escape_ascii()
        );
    }
    whole
}

/// The two readers, as far as a transcript needs them.
trait Reader {
    fn head(&mut self, input: &mut BytesMut) -> Result<Option<Seen>, PeerError>;
    fn body(&mut self, input: &mut BytesMut) -> Result<BodyEvent, PeerError>;
    fn trailers(&mut self) -> Option<HeaderMap>;
    fn state(&self) -> State;
    fn start_next(&mut self);
    fn peer_closed(&mut self, input: &[u8]) -> Result<(), PeerError>;
}

struct Requests(RequestReader);

impl Reader for Requests {
    fn head(&mut self, input: &mut BytesMut) -> Result<Option<Seen>, PeerError> {
        Ok(self.0.head(input, &mut None)?.map(Seen::Request))
    }

    fn body(&mut self, input: &mut BytesMut) -> Result<BodyEvent, PeerError> {
        self.0.body(input)
    }

    fn trailers(&mut self) -> Option<HeaderMap> {
        self.0.trailers()
    }

    fn state(&self) -> State {
        self.0.state()
    }

    fn start_next(&mut self) {
        self.0.start_next().expect("only called in State::Done");
    }

    fn peer_closed(&mut self, input: &[u8]) -> Result<(), PeerError> {
        self.0.peer_closed(input)
    }
}

struct Responses<'a>(ResponseReader, &'a Method);

impl Reader for Responses<'_> {
    fn head(&mut self, input: &mut BytesMut) -> Result<Option<Seen>, PeerError> {
        Ok(self.0.head(input, &mut None, self.1)?.map(Seen::Response))
    }

    fn body(&mut self, input: &mut BytesMut) -> Result<BodyEvent, PeerError> {
        self.0.body(input)
    }

    fn trailers(&mut self) -> Option<HeaderMap> {
        self.0.trailers()
    }

    fn state(&self) -> State {
        self.0.state()
    }

    fn start_next(&mut self) {
        self.0.start_next().expect("only called in State::Done");
    }

    fn peer_closed(&mut self, input: &[u8]) -> Result<(), PeerError> {
        self.0.peer_closed(input)
    }
}

fn read(pieces: &[&[u8]], reader: &mut impl Reader, limits: Limits) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut input = BytesMut::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        if let Err(error) = pump(reader, &mut input, &mut seen, limits) {
            seen.push(Seen::Refused(error));
            assert_eq!(reader.state(), State::MustClose);
            assert_eq!(reader.body(&mut input), Err(error), "an error is given again");
            return seen;
        }
    }
    if reader.state() == State::Switched {
        seen.push(Seen::Switched(input.to_vec()));
        return seen;
    }
    let was_body = reader.state() == State::Body;
    let closed = reader.peer_closed(&input);
    assert_eq!(reader.state(), State::Closed);
    match closed {
        Err(error) => seen.push(Seen::Refused(error)),
        Ok(()) => {
            if was_body {
                seen.push(Seen::End(None));
            }
            seen.push(Seen::Closed);
        }
    }
    seen
}

/// Reads as much as `input` gives.
fn pump(
    reader: &mut impl Reader,
    input: &mut BytesMut,
    seen: &mut Vec<Seen>,
    limits: Limits,
) -> Result<(), PeerError> {
    loop {
        match reader.state() {
            State::Idle => match reader.head(input)? {
                Some(head) => seen.push(head),
                None => {
                    assert!(input.len() <= limits.head_bytes_max, "a partial head is within its limit");
                    return Ok(());
                }
            },
            State::Body => match reader.body(input)? {
                BodyEvent::NeedMore => return Ok(()),
                BodyEvent::End => {}
                BodyEvent::Data(data) => {
                    assert!(!data.is_empty());
                    match seen.last_mut() {
                        Some(Seen::Data(before)) => before.extend_from_slice(&data),
                        _ => seen.push(Seen::Data(data.to_vec())),
                    }
                }
            },
            State::Done => {
                seen.push(Seen::End(reader.trailers()));
                reader.start_next();
            }
            State::MustClose | State::Switched | State::Closed => return Ok(()),
        }
    }
}
