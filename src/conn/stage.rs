//! Stages that a body passes on its way: an encoder before it is framed, a decoder behind the framing it came in.
//!
//! The codecs themselves are not known here: whoever makes a stage chooses them.
#![forbid(unsafe_code)]

use std::mem;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::body::BodyError;
use super::decoding_turn::DecodingTurn;

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

/// What stands between a body and its reader, in the order it was put there.
#[derive(Default)]
pub(super) struct Detour {
    steps: Vec<Step>,
}

enum Step {
    #[cfg(feature = "compression")]
    Decode(Decoding),
    /// To be read before anything else.
    Unread(Bytes),
}

impl Detour {
    /// Has all that is still to be read pass `stage`.
    #[cfg(feature = "compression")]
    pub(super) fn decode(&mut self, stage: Box<dyn DecodeStage>) {
        self.steps.push(Step::Decode(Decoding::new(stage)));
    }

    /// Has `bytes` read next.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        // Whoever puts back what is behind each of many lines leaves no trace of them.
        while matches!(self.steps.last(), Some(Step::Unread(bytes)) if bytes.is_empty()) {
            self.steps.pop();
        }
        self.steps.push(Step::Unread(bytes));
    }

    /// Bytes that were put back.
    pub(super) fn unread_bytes(&self) -> u64 {
        let bytes = |step: &Step| match step {
            Step::Unread(bytes) => bytes.len() as u64,
            #[cfg(feature = "compression")]
            Step::Decode(_) => 0,
        };
        self.steps.iter().map(bytes).sum()
    }

    /// The next piece; `read` gives what the body is made of.
    pub(super) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: u64,
        read: &mut Read<'_>,
    ) -> Poll<Result<Option<Bytes>, BodyError>> {
        poll_steps(&mut self.steps, cx, bytes_max, read)
    }
}

type Read<'a> = dyn FnMut(&mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> + 'a;

#[cfg_attr(
    not(feature = "compression"),
    expect(clippy::only_used_in_recursion, reason = "decoders have a limit")
)]
fn poll_steps(
    steps: &mut [Step],
    cx: &mut Context<'_>,
    bytes_max: u64,
    read: &mut Read<'_>,
) -> Poll<Result<Option<Bytes>, BodyError>> {
    let Some((last, before)) = steps.split_last_mut() else {
        return read(cx);
    };
    match last {
        Step::Unread(bytes) if !bytes.is_empty() => Poll::Ready(Ok(Some(mem::take(bytes)))),
        Step::Unread(_) => poll_steps(before, cx, bytes_max, read),
        #[cfg(feature = "compression")]
        Step::Decode(decoding) => {
            decoding.poll_chunk(cx, bytes_max, |cx| poll_steps(before, cx, bytes_max, read))
        }
    }
}

/// A body on its way through a stage.
pub(crate) struct Decoding {
    stage: Box<dyn DecodeStage>,
    /// What has been read and not been used.
    input: Bytes,
    /// Bytes given so far.
    bytes: u64,
    turn: DecodingTurn,
    failure: Option<BodyError>,
}

impl Decoding {
    pub(crate) fn new(stage: Box<dyn DecodeStage>) -> Self {
        Self { stage, input: Bytes::new(), bytes: 0, turn: DecodingTurn::default(), failure: None }
    }

    /// The next piece; `read` gives what the body is made of.
    pub(crate) fn poll_chunk<E: From<BodyError>>(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: u64,
        read: impl FnMut(&mut Context<'_>) -> Poll<Result<Option<Bytes>, E>>,
    ) -> Poll<Result<Option<Bytes>, E>> {
        if let Some(failure) = self.failure {
            return Poll::Ready(Err(failure.into()));
        }
        let result = ready!(self.poll_next(cx, bytes_max, read));
        self.turn.give();
        Poll::Ready(result)
    }

    fn poll_next<E: From<BodyError>>(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: u64,
        mut read: impl FnMut(&mut Context<'_>) -> Poll<Result<Option<Bytes>, E>>,
    ) -> Poll<Result<Option<Bytes>, E>> {
        loop {
            ready!(self.turn.poll(cx));
            let decoded = self.stage.decode(&mut self.input).map_err(|error| self.fail(error))?;
            if let Some(piece) = decoded {
                self.bytes += piece.len() as u64;
                let fits = self.bytes <= bytes_max;
                return Poll::Ready(if fits { Ok(Some(piece)) } else { Err(self.fail(BodyError::TooLarge)) });
            }
            match ready!(self.turn.read(read(cx)))? {
                Some(input) => self.input = input,
                None => {
                    let ended = self.stage.end().map_err(|error| self.fail(error));
                    return Poll::Ready(ended.map(|()| None));
                }
            }
        }
    }

    /// What this reader gets is what all that come behind it will get.
    fn fail<E: From<BodyError>>(&mut self, error: BodyError) -> E {
        self.failure = Some(error);
        error.into()
    }
}
