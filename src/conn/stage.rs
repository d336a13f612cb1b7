//! Stages that a body passes on its way: an encoder before it is framed, a decoder behind the framing it came in.
//!
//! The codecs themselves are not known here: whoever makes a stage chooses them.
#![forbid(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use ringhttp_runtime::{Core, YieldNow};

use super::body::BodyError;

/// Turns a response body into another.
pub(crate) trait EncodeStage {
    /// Takes a piece, and appends what is ready to `out`.
    fn write(&mut self, piece: &[u8], out: &mut Vec<u8>);

    /// Appends all that was taken and is not out yet.
    fn flush(&mut self, out: &mut Vec<u8>);

    /// Appends all that is left.
    fn finish(&mut self, out: &mut Vec<u8>);
}

/// Turns a request body into another.
pub(crate) trait DecodeStage {
    /// The next piece, of bounded size, made of the front of `input`; `None` if more input is needed.
    fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, BodyError>;

    /// The input has ended: whether it may.
    fn end(&self) -> Result<(), BodyError>;
}

/// A request body on its way through a stage.
pub(crate) struct Decoding {
    stage: Box<dyn DecodeStage>,
    /// What has been read and not been used.
    input: Bytes,
    /// Bytes given so far.
    bytes: u64,
    /// Pieces given since the reader last had to wait.
    in_a_row: u32,
    /// The turn of others that is waited for.
    turn: Option<YieldNow>,
    failure: Option<BodyError>,
}

impl Decoding {
    #[cfg(feature = "compression")]
    pub(super) fn new(stage: Box<dyn DecodeStage>) -> Self {
        Self { stage, input: Bytes::new(), bytes: 0, in_a_row: 0, turn: None, failure: None }
    }

    /// The next piece; `read` gives what the body is made of.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: u64,
        read: impl FnMut(&mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>>,
    ) -> Poll<Result<Option<Bytes>, BodyError>> {
        if let Some(failure) = self.failure {
            return Poll::Ready(Err(failure));
        }
        if self.in_a_row >= IN_A_ROW_MAX {
            ready!(self.poll_turn(cx));
        }
        let result = ready!(self.poll_next(cx, bytes_max, read));
        self.failure = result.as_ref().err().copied();
        self.in_a_row += 1;
        Poll::Ready(result)
    }

    /// Lets the other tasks of the core have their turn. To wake oneself would not do: who does is the next to run.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn.is_none() {
            self.turn = Core::current().map(|core| core.yield_now());
        }
        if let Some(turn) = &mut self.turn {
            ready!(Pin::new(turn).poll(cx));
        }
        self.turn = None;
        self.in_a_row = 0;
        Poll::Ready(())
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: u64,
        mut read: impl FnMut(&mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>>,
    ) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if let Some(piece) = self.stage.decode(&mut self.input)? {
                self.bytes += piece.len() as u64;
                let fits = self.bytes <= bytes_max;
                return Poll::Ready(if fits { Ok(Some(piece)) } else { Err(BodyError::TooLarge) });
            }
            let read = read(cx);
            if read.is_pending() {
                self.in_a_row = 0;
            }
            match ready!(read)? {
                Some(input) => self.input = input,
                None => return Poll::Ready(self.stage.end().map(|()| None)),
            }
        }
    }
}

/// Pieces that are given before the reader has to give way: decoding some of them takes about a millisecond, and what
/// has come may be enough for thousands.
const IN_A_ROW_MAX: u32 = 16;
