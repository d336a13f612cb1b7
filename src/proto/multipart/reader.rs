//! The parts of a body that comes in pieces.
#![forbid(unsafe_code)]

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::{self, Finder};

use super::part_head::{self, PartHead};
use super::{Limits, MultipartError};

/// What comes next in a multipart body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A part begins.
    Part(PartHead),
    /// Some of its content: a view of the input, never empty.
    Data(Bytes),
    /// Its content is complete.
    PartEnd,
    /// The body was read to its end; every later call says so too.
    End,
    /// Nothing can be said before there is more input: it is empty now.
    NeedMore,
}

/// Reads a multipart body. Sans-IO: bytes in any pieces go in, [`Event`]s come out.
///
/// ```
/// use ringhttp::Bytes;
/// use ringhttp::proto::multipart::{Event, Limits, Reader};
///
/// let mut input = Bytes::from("--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nhello\r\n--x--\r\n");
/// let mut reader = Reader::new("x", Limits::default());
/// let Event::Part(head) = reader.next(&mut input)? else { panic!() };
/// assert_eq!(head.name(), Some("a"));
/// assert_eq!(reader.next(&mut input)?, Event::Data("hello".into()));
/// assert_eq!(reader.next(&mut input)?, Event::PartEnd);
/// assert_eq!(reader.next(&mut input)?, Event::NeedMore);
/// reader.end();
/// assert_eq!(reader.next(&mut input)?, Event::End);
/// # Ok::<(), ringhttp::proto::multipart::MultipartError>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    /// CRLF, two dashes, the boundary.
    delimiter: Bytes,
    finder: Finder<'static>,
    state: State,
    /// Bytes of the delimiter that ended the input so far: whether they are data is not known yet.
    matched: usize,
    /// How many of them are no data in any case, but a line end that stood before.
    borrowed: usize,
    /// What has come of a delimiter's line and of a head.
    gathered: BytesMut,
    part_count: usize,
    part_bytes: u64,
    edge_bytes: usize,
    ended: bool,
    failure: Option<MultipartError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    DelimiterLine,
    Head,
    Body,
    Epilogue,
}

/// What a search for the delimiter found.
enum Found {
    Data(Bytes),
    Delimiter,
    NeedMore,
}

impl Reader {
    /// A reader of a body whose parts `boundary` separates: see [`boundary`](super::boundary).
    ///
    /// # Panics
    /// If `boundary` is none that RFC 2046 §5.1.1 allows.
    #[must_use]
    pub fn new(boundary: &str, limits: Limits) -> Self {
        assert!(super::is_valid(boundary), "not a boundary: {boundary:?}");
        let delimiter = Bytes::from(format!("\r\n--{boundary}"));
        Self {
            limits,
            finder: Finder::new(&delimiter).into_owned(),
            delimiter,
            state: State::Preamble,
            matched: LINE_END.len(),
            borrowed: LINE_END.len(),
            gathered: BytesMut::new(),
            part_count: 0,
            part_bytes: 0,
            edge_bytes: 0,
            ended: false,
            failure: None,
        }
    }

    /// The body ends behind the input that has been given.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next event of `input`, which is consumed from its front.
    ///
    /// # Errors
    /// [`MultipartError`]; every later call returns the same.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Event, MultipartError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let result = self.step(input);
        self.failure = result.as_ref().err().copied();
        result
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Event, MultipartError> {
        loop {
            let event = match self.state {
                State::Preamble => self.preamble(input)?,
                State::DelimiterLine => self.delimiter_line(input)?,
                State::Head => self.head(input)?,
                State::Body => self.body(input)?,
                State::Epilogue => return self.epilogue(input),
            };
            match event {
                None => {}
                Some(Event::NeedMore) if self.ended => return Err(MultipartError::CutOff),
                Some(event) => return Ok(event),
            }
        }
    }

    fn preamble(&mut self, input: &mut Bytes) -> Result<Option<Event>, MultipartError> {
        Ok(match self.find_delimiter(input) {
            Found::Data(data) => {
                self.count_edge(data.len())?;
                None
            }
            Found::Delimiter => {
                self.begin_line();
                None
            }
            Found::NeedMore => Some(Event::NeedMore),
        })
    }

    fn body(&mut self, input: &mut Bytes) -> Result<Option<Event>, MultipartError> {
        Ok(Some(match self.find_delimiter(input) {
            Found::Data(data) => {
                self.part_bytes += data.len() as u64;
                if self.limits.part_bytes_max.is_some_and(|max| self.part_bytes > max) {
                    return Err(MultipartError::PartTooLarge);
                }
                Event::Data(data)
            }
            Found::Delimiter => {
                self.begin_line();
                Event::PartEnd
            }
            Found::NeedMore => Event::NeedMore,
        }))
    }

    fn begin_line(&mut self) {
        self.state = State::DelimiterLine;
        self.gathered.clear();
    }

    /// RFC 2046 §5.1.1: behind a delimiter come white space and a line end, or two dashes.
    fn delimiter_line(&mut self, input: &mut Bytes) -> Result<Option<Event>, MultipartError> {
        while !input.is_empty() {
            self.gathered.extend_from_slice(&[input.get_u8()]);
            match &self.gathered[..] {
                b"--" => {
                    self.state = State::Epilogue;
                    self.edge_bytes = 0;
                    return Ok(None);
                }
                b"-" => {}
                [padding @ .., b'\r', b'\n'] if is_padding(padding) => {
                    self.begin_head()?;
                    return Ok(None);
                }
                [padding @ .., b'\r'] | padding if is_padding(padding) => {}
                _ => return Err(MultipartError::DelimiterInvalid),
            }
        }
        Ok(Some(Event::NeedMore))
    }

    fn begin_head(&mut self) -> Result<(), MultipartError> {
        self.part_count += 1;
        if self.part_count > self.limits.part_count_max {
            return Err(MultipartError::PartsTooMany);
        }
        self.state = State::Head;
        // The empty line that ends a head without fields is found like any other: behind a line end.
        self.gathered.clear();
        self.gathered.extend_from_slice(LINE_END);
        Ok(())
    }

    fn head(&mut self, input: &mut Bytes) -> Result<Option<Event>, MultipartError> {
        while !input.is_empty() {
            let before = self.gathered.len();
            let count = input.len().min(HEAD_STEP_BYTES);
            self.gathered.extend_from_slice(&input[..count]);
            let from = before.saturating_sub(HEAD_END.len() - 1);
            let end = memmem::find(&self.gathered[from..], HEAD_END).map(|at| from + at + HEAD_END.len());
            let length = end.unwrap_or(self.gathered.len());
            input.advance(length - before);
            if length - LINE_END.len() > self.limits.part_head_bytes_max {
                return Err(MultipartError::HeadTooLarge);
            }
            if end.is_some() {
                self.gathered.truncate(length);
                let lines = self.gathered.split().freeze().slice(LINE_END.len()..);
                let head = part_head::parse(&lines, self.limits.part_header_count_max)?;
                self.begin_body();
                return Ok(Some(Event::Part(head)));
            }
        }
        Ok(Some(Event::NeedMore))
    }

    fn begin_body(&mut self) {
        self.state = State::Body;
        self.part_bytes = 0;
        // A part without content may leave out the line end before its delimiter: the empty line has one.
        self.matched = LINE_END.len();
        self.borrowed = LINE_END.len();
    }

    fn epilogue(&mut self, input: &mut Bytes) -> Result<Event, MultipartError> {
        self.count_edge(input.len())?;
        input.clear();
        Ok(if self.ended { Event::End } else { Event::NeedMore })
    }

    fn count_edge(&mut self, count: usize) -> Result<(), MultipartError> {
        self.edge_bytes += count;
        if self.edge_bytes > self.limits.edge_bytes_max {
            return Err(MultipartError::EdgeTooLarge);
        }
        Ok(())
    }

    /// Goes on in the search for the delimiter.
    ///
    /// A carriage return stands only at its front. So of what came before, only the delimiter's own bytes are ever held
    /// back, and they need not be kept: they are known.
    fn find_delimiter(&mut self, input: &mut Bytes) -> Found {
        if self.matched > 0 {
            let rest = &self.delimiter[self.matched..];
            let count = rest.len().min(input.len());
            if input[..count] == rest[..count] {
                input.advance(count);
                self.matched += count;
                return if self.matched == self.delimiter.len() { self.found() } else { Found::NeedMore };
            }
            let data = self.delimiter.slice(self.borrowed..self.matched);
            self.matched = 0;
            self.borrowed = 0;
            if !data.is_empty() {
                return Found::Data(data);
            }
        }
        let data = match self.finder.find(input) {
            Some(0) => {
                input.advance(self.delimiter.len());
                return self.found();
            }
            Some(at) => input.split_to(at),
            None => {
                self.matched = begun(input, &self.delimiter);
                let data = input.split_to(input.len() - self.matched);
                input.clear();
                data
            }
        };
        if data.is_empty() { Found::NeedMore } else { Found::Data(data) }
    }

    fn found(&mut self) -> Found {
        self.matched = 0;
        self.borrowed = 0;
        Found::Delimiter
    }
}

/// How many bytes at the end of `input` may begin the delimiter.
fn begun(input: &[u8], delimiter: &[u8]) -> usize {
    let from = input.len().saturating_sub(delimiter.len() - 1);
    let tail = &input[from..];
    memchr::memrchr(b'\r', tail).map_or(0, |at| {
        let end = &tail[at..];
        if delimiter.starts_with(end) { end.len() } else { 0 }
    })
}

fn is_padding(bytes: &[u8]) -> bool {
    bytes.len() <= PADDING_BYTES_MAX && bytes.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

const LINE_END: &[u8] = b"\r\n";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// White space behind a delimiter, which only gateways of old added: a few bytes are more than any client sends.
const PADDING_BYTES_MAX: usize = 64;

/// Bytes of the input that are taken at a time in search of a head's end: most heads are not longer, and little of the
/// content behind them is copied in vain.
const HEAD_STEP_BYTES: usize = 256;
