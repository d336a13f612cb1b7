//! Bytes to messages.
//!
//! A message in one frame, as nearly all are, stays where it landed: it is unmasked and checked in place as it comes, and
//! given out as a view. Fragments are joined in a buffer of their message, and compressed ones unpacked into it. After a
//! [`Fault`] a reader gives the same one again, and what is left in the buffer has no meaning.
#![forbid(unsafe_code)]

use bytes::{Buf, Bytes, BytesMut};

use super::close::CloseFrame;
use super::deflate::{Inflated, Inflater};
use super::fault::Fault;
use super::frame::{FrameHead, Opcode};
use super::state::{Sequence, sequence};
use super::text::Utf8Bytes;
use super::utf8::Utf8Check;
use super::{Limits, Role, mask};

/// What the next bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A text.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A piece of a message, for those who [read pieces](ReaderRules::pieces).
    Piece(Piece),
    /// A question whether we are there: answer with a Pong of the same payload, or with one for the last of several.
    Ping(Bytes),
    /// The answer to a Ping, or a sign of life without a question.
    Pong(Bytes),
    /// The last frame: nothing behind it is read.
    Close(CloseFrame),
    /// Read more from the peer. `missing`: bytes that the payload at the front of the buffer lacks still, 0 if that is not
    /// known or more than one buffer is not needed.
    NeedMore {
        /// Bytes that make the message complete.
        missing: usize,
    },
    /// A part of a compressed message was unpacked, and more can be without reading: let others have their turn and call again.
    Working,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// Whether the message is a text. A piece of one may end within a character.
    pub is_text: bool,
    /// The bytes. Empty only if they are the last ones.
    pub data: Bytes,
    /// Whether the message begins with it.
    pub is_first: bool,
    /// Whether the message ends with it.
    pub is_last: bool,
}

const _: () = assert!(size_of::<Event>() <= 48);

/// How a reader reads.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReaderRules {
    /// Who sends what is read.
    pub sender: Role,
    /// What the peer's messages must keep.
    pub limits: Limits,
    /// Which kinds are taken.
    pub accepts: Accepts,
    /// Give messages out in pieces, as they come, instead of joined.
    pub pieces: bool,
    /// permessage-deflate was negotiated, and the sender does or does not take its window over from message to message.
    pub inflate: Option<Takeover>,
}

impl ReaderRules {
    /// The rules for what `sender` sends: both kinds, joined, not compressed, within the default limits.
    #[must_use]
    pub fn new(sender: Role) -> Self {
        Self { sender, limits: Limits::default(), accepts: Accepts::Any, pieces: false, inflate: None }
    }
}

/// Which kinds of messages are taken; another is closed with 1003 (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Accepts {
    /// Both.
    #[default]
    Any,
    /// Texts.
    Text,
    /// Binary messages.
    Binary,
}

/// Whether a direction of permessage-deflate keeps its window from message to message (RFC 7692 §7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Takeover {
    /// It does: every socket has a codec of its own.
    Kept,
    /// Each message stands for itself: one codec serves all sockets in turn.
    Reset,
}

/// Inflaters that wait for the next compressed message of any socket of a core.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "a reader moves the box around, not what is in it")]
pub struct Inflaters(Vec<Box<Inflater>>);

/// How many of them wait: as many as messages are unpacked at a time, mostly one.
const SPARE_INFLATERS_MAX: usize = 4;

impl Inflaters {
    fn take(&mut self) -> Box<Inflater> {
        self.0.pop().unwrap_or_default()
    }

    fn give(&mut self, mut inflater: Box<Inflater>) {
        if self.0.len() < SPARE_INFLATERS_MAX {
            inflater.reset();
            self.0.push(inflater);
        }
    }
}

/// Reads what one side sends.
///
/// `input` is any split of the byte stream, always the same buffer, consumed from the front; the part of it that is not
/// consumed must be given again, and not be changed meanwhile.
#[derive(Debug)]
pub struct Reader {
    rules: ReaderRules,
    sequence: Sequence,
    /// The message that has begun, if one has.
    begun: Option<Box<Begun>>,
    /// For the message that comes now, or for all of them if their window is taken over.
    inflater: Option<Box<Inflater>>,
    end: Option<End>,
}

/// A message that has begun.
#[derive(Debug)]
struct Begun {
    message: Message,
    /// The data frame whose payload comes now.
    frame: Option<Frame>,
}

/// The data frame whose payload is being read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    is_final: bool,
    /// Its payload stays in the input until it is complete.
    in_place: bool,
    mask: Option<[u8; 4]>,
    /// Bytes of its payload that were not consumed.
    left: usize,
    /// Bytes of it that are unmasked, consumed ones included.
    unmasked: u64,
    /// Bytes at the front of the input that are unmasked and not consumed.
    ready: usize,
    /// Bytes of the tail of a compressed message that were unpacked.
    tail_done: usize,
}

/// The message whose frames are being read.
#[derive(Debug, Default)]
struct Message {
    is_text: bool,
    is_compressed: bool,
    /// A piece of it was given out.
    begun: bool,
    fragments: usize,
    /// Bytes of payload that its frames have announced.
    wire_bytes: usize,
    /// Bytes that were unpacked, if it is compressed.
    unpacked_bytes: usize,
    /// Its content, as far as it has come; that of a message in place is in the input.
    content: Vec<u8>,
    utf8: Utf8Check,
}

/// Why nothing more is read.
#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    Failed(Fault),
}

impl Reader {
    /// A reader at the beginning of the stream, behind the handshake.
    #[must_use]
    pub fn new(rules: ReaderRules) -> Self {
        Self { rules, sequence: Sequence::Between, begun: None, inflater: None, end: None }
    }

    /// What the next bytes of `input` are. Consumed are those that an event is made of, and those of fragments.
    ///
    /// # Errors
    /// [`Fault`]: fail the connection with its code.
    #[inline]
    pub fn next(&mut self, input: &mut BytesMut, spare: &mut Inflaters) -> Result<Event, Fault> {
        match self.end {
            None => {}
            Some(End::Failed(fault)) => return Err(fault),
            Some(End::Closed) => {
                input.clear();
                return Ok(Event::NeedMore { missing: 0 });
            }
        }
        let event = self.advance(input, spare);
        if let Err(fault) = event {
            self.end = Some(End::Failed(fault));
            self.begun = None;
            self.inflater = None;
        }
        event
    }

    /// Whether a message has begun and is not complete, as far as complete heads of frames tell.
    #[must_use]
    pub fn is_within_message(&self) -> bool {
        self.begun.is_some()
    }

    fn advance(&mut self, input: &mut BytesMut, spare: &mut Inflaters) -> Result<Event, Fault> {
        loop {
            let is_in_frame = self.begun.as_ref().is_some_and(|begun| begun.frame.is_some());
            if !is_in_frame && let Some(event) = self.begin_frame(input)? {
                return Ok(event);
            }
            if let Some(event) = self.read_payload(input, spare)? {
                return Ok(event);
            }
        }
    }

    /// Reads the head of the next frame, and all of it if it is a control frame. `None` if a payload is to be read now.
    fn begin_frame(&mut self, input: &mut BytesMut) -> Result<Option<Event>, Fault> {
        let parsed = FrameHead::parse(input, self.rules.sender, self.rules.inflate.is_some())?;
        let Some((head, head_bytes)) = parsed else {
            return Ok(Some(Event::NeedMore { missing: 0 }));
        };
        if head.opcode.is_control() {
            return self.control(head, head_bytes, input).map(Some);
        }
        let is_continuation = head.opcode == Opcode::Continuation;
        let Some(next) = sequence(self.sequence, is_continuation, head.is_final) else {
            return Err(if is_continuation {
                Fault::ContinuationUnexpected
            } else {
                Fault::MessageInterrupted
            });
        };
        let length = usize::try_from(head.length).map_err(|_| Fault::FrameTooLarge)?;
        if length > self.rules.limits.frame_bytes_max {
            return Err(Fault::FrameTooLarge);
        }
        let is_text = head.opcode == Opcode::Text;
        if !is_continuation {
            self.check_kind(is_text)?;
        }
        let in_place = head.is_final && !is_continuation && !head.is_compressed && !self.rules.pieces;
        if in_place && length <= self.rules.limits.message_bytes_max && input.len() - head_bytes >= length {
            input.advance(head_bytes);
            return whole_message(is_text, head.mask, input.split_to(length)).map(Some);
        }
        let begun = self.begun.get_or_insert_with(|| {
            let message = Message { is_text, is_compressed: head.is_compressed, ..Message::default() };
            Box::new(Begun { message, frame: None })
        });
        begun.message.count_fragment(length, &self.rules.limits)?;
        input.advance(head_bytes);
        self.sequence = next;
        begun.frame = Some(Frame {
            is_final: head.is_final,
            in_place,
            mask: head.mask,
            left: length,
            unmasked: 0,
            ready: 0,
            tail_done: 0,
        });
        Ok(None)
    }

    fn check_kind(&self, is_text: bool) -> Result<(), Fault> {
        match (self.rules.accepts, is_text) {
            (Accepts::Text, false) | (Accepts::Binary, true) => Err(Fault::KindRefused),
            _ => Ok(()),
        }
    }

    fn control(&mut self, head: FrameHead, head_bytes: usize, input: &mut BytesMut) -> Result<Event, Fault> {
        let length = usize::try_from(head.length).expect("at most 125");
        if input.len() < head_bytes + length {
            return Ok(Event::NeedMore { missing: 0 });
        }
        input.advance(head_bytes);
        let mut payload = input.split_to(length);
        if let Some(key) = head.mask {
            mask::apply(key, 0, &mut payload);
        }
        match head.opcode {
            Opcode::Ping => Ok(Event::Ping(payload.freeze())),
            Opcode::Pong => Ok(Event::Pong(payload.freeze())),
            _ => {
                let frame = CloseFrame::parse(&payload)?;
                self.end = Some(End::Closed);
                self.begun = None;
                self.inflater = None;
                Ok(Event::Close(frame))
            }
        }
    }

    /// Reads what is here of the present frame's payload. `None` if the frame has ended and its message has not.
    fn read_payload(&mut self, input: &mut BytesMut, spare: &mut Inflaters) -> Result<Option<Event>, Fault> {
        let begun = self.begun.as_deref_mut().expect("begun by the caller");
        let frame = begun.frame.as_mut().expect("begun by the caller");
        let (before, here) = (frame.ready, input.len().min(frame.left));
        if let Some(key) = frame.mask {
            mask::apply(key, frame.unmasked, &mut input[before..here]);
        }
        frame.unmasked += (here - before) as u64;
        frame.ready = here;
        if begun.message.is_compressed {
            return self.unpack(input, spare);
        }
        if begun.message.is_text && !begun.message.utf8.push(&input[before..here]) {
            return Err(Fault::TextInvalid);
        }
        if frame.in_place {
            if here < frame.left {
                return Ok(Some(Event::NeedMore { missing: frame.left - here }));
            }
            let event = begun.message.end(input.split_to(here).freeze());
            self.begun = None;
            return event.map(Some);
        }
        frame.left -= here;
        frame.ready = 0;
        if self.rules.pieces {
            let data = input.split_to(here).freeze();
            return self.after_part(data);
        }
        append(&mut begun.message.content, &input[..here], self.rules.limits.message_bytes_max);
        input.advance(here);
        self.after_part(Bytes::new())
    }

    /// Unpacks what is here of the present frame's payload, a bounded step at a time.
    fn unpack(&mut self, input: &mut BytesMut, spare: &mut Inflaters) -> Result<Option<Event>, Fault> {
        let Begun { message, frame } = self.begun.as_deref_mut().expect("in a message");
        let frame = frame.as_mut().expect("in a frame");
        let inflater = self.inflater.get_or_insert_with(|| spare.take());
        let bytes_max = self.rules.limits.message_bytes_max;
        let before = message.content.len();
        // One byte beyond the limit is enough to know.
        let step = UNPACK_STEP_BYTES.min((bytes_max - message.unpacked_bytes).saturating_add(1));
        let offered = frame.ready.min(UNPACK_STEP_INPUT_BYTES);
        let unpacked = inflater.inflate(&input[..offered], &mut message.content, step)?;
        let taken = if let Inflated::Full(taken) = unpacked { taken } else { offered };
        input.advance(taken);
        frame.left -= taken;
        frame.ready -= taken;
        let mut is_full = unpacked != Inflated::All || frame.ready > 0;
        if !is_full && frame.left == 0 && frame.is_final {
            match inflater.end_message(&mut message.content, frame.tail_done, step)? {
                Inflated::All => {}
                Inflated::Full(taken) => {
                    frame.tail_done += taken;
                    is_full = true;
                }
            }
        }
        message.unpacked_bytes += message.content.len() - before;
        if message.unpacked_bytes > bytes_max {
            return Err(Fault::MessageTooLarge);
        }
        if message.is_text && !message.utf8.push(&message.content[before..]) {
            return Err(Fault::TextInvalid);
        }
        let is_over = !is_full && frame.left == 0 && frame.is_final;
        if is_over
            && self.rules.inflate == Some(Takeover::Reset)
            && let Some(inflater) = self.inflater.take()
        {
            spare.give(inflater);
        }
        let data =
            if self.rules.pieces { Bytes::from(std::mem::take(&mut message.content)) } else { Bytes::new() };
        if is_full {
            let event = if data.is_empty() { Event::Working } else { message.piece(data, false) };
            return Ok(Some(event));
        }
        self.after_part(data)
    }

    /// What follows from a part of a payload that was consumed; `data` is what it holds if the message is given out in pieces.
    fn after_part(&mut self, data: Bytes) -> Result<Option<Event>, Fault> {
        let begun = self.begun.as_deref_mut().expect("in a message");
        let frame = begun.frame.expect("in a frame");
        let (is_whole, is_final) = (frame.left == 0, frame.is_final);
        if is_whole && is_final {
            let event = if self.rules.pieces {
                begun.message.last_piece(data)
            } else {
                let content = std::mem::take(&mut begun.message.content);
                begun.message.end(content.into())
            };
            self.begun = None;
            return event.map(Some);
        }
        if is_whole {
            begun.frame = None;
        }
        if !data.is_empty() {
            return Ok(Some(begun.message.piece(data, false)));
        }
        Ok(if is_whole { None } else { Some(Event::NeedMore { missing: 0 }) })
    }
}

/// A message in one frame that is here as a whole, as small ones nearly always are.
#[inline]
fn whole_message(is_text: bool, key: Option<[u8; 4]>, mut payload: BytesMut) -> Result<Event, Fault> {
    if let Some(key) = key {
        mask::apply(key, 0, &mut payload);
    }
    if !is_text {
        return Ok(Event::Binary(payload.freeze()));
    }
    match simdutf8::basic::from_utf8(&payload) {
        Ok(_) => Ok(Event::Text(Utf8Bytes::checked(payload.freeze()))),
        Err(_) => Err(Fault::TextInvalid),
    }
}

impl Message {
    /// One more frame of it is announced.
    fn count_fragment(&mut self, length: usize, limits: &Limits) -> Result<(), Fault> {
        self.fragments += 1;
        self.wire_bytes = self.wire_bytes.saturating_add(length);
        if self.wire_bytes > limits.message_bytes_max {
            return Err(Fault::MessageTooLarge);
        }
        if self.fragments > limits.fragment_count_max {
            return Err(Fault::FragmentsTooMany);
        }
        Ok(())
    }

    /// The message, now that it is complete.
    #[inline]
    fn end(&self, content: Bytes) -> Result<Event, Fault> {
        if !self.is_text {
            Ok(Event::Binary(content))
        } else if self.utf8.may_end() {
            Ok(Event::Text(Utf8Bytes::checked(content)))
        } else {
            Err(Fault::TextInvalid)
        }
    }

    fn last_piece(&mut self, data: Bytes) -> Result<Event, Fault> {
        if self.utf8.may_end() { Ok(self.piece(data, true)) } else { Err(Fault::TextInvalid) }
    }

    fn piece(&mut self, data: Bytes, is_last: bool) -> Event {
        let is_first = !std::mem::replace(&mut self.begun, true);
        Event::Piece(Piece { is_text: self.is_text, data, is_first, is_last })
    }
}

/// Appends, with memory for twice as much as is needed at the most, and never for more than a message may have.
fn append(content: &mut Vec<u8>, bytes: &[u8], bytes_max: usize) {
    let needed = content.len() + bytes.len();
    if needed > content.capacity() {
        let capacity = needed.max(2 * content.capacity()).min(bytes_max);
        content.reserve_exact(capacity - content.len());
    }
    content.extend_from_slice(bytes);
}

/// Bytes of a compressed message that are unpacked before others have their turn: a small part of a millisecond.
const UNPACK_STEP_BYTES: usize = 128 * 1024;

/// Bytes that such a step takes in: blocks that unpack to nothing cost as much as others.
const UNPACK_STEP_INPUT_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests;
