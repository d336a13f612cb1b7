//! The receiver's side of server-sent events (WHATWG HTML §9.2.6).
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

/// An event as its receiver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Its type; `message` if it had none.
    pub event: String,
    /// Its data, the lines joined by LF.
    pub data: String,
    /// The last id that was seen on the stream, in this event or before; empty if there was none.
    pub last_event_id: String,
}

/// Reads a stream of events, fed in any pieces. Bytes that are no UTF-8 become U+FFFD, as the standard wants.
///
/// ```
/// use ringhttp::proto::sse::Parser;
///
/// let mut parser = Parser::new(64 * 1024);
/// parser.push(b"event:tick\ndata:1\n".as_slice().into());
/// assert_eq!(parser.next_message()?, None);
/// parser.push(b"\n".as_slice().into());
/// assert_eq!(parser.next_message()?.unwrap().data, "1");
/// # Ok::<_, ringhttp::proto::sse::EventTooLarge>(())
/// ```
#[derive(Debug)]
pub struct Parser {
    bytes_max: usize,
    /// Bytes that came and are not in a line yet; the first `scanned` of them end no line.
    unread: BytesMut,
    scanned: usize,
    /// The last line ended with CR: an LF now belongs to it.
    after_cr: bool,
    /// Nothing has been read: a byte order mark may come.
    at_start: bool,
    data: Option<String>,
    event: String,
    last_event_id: String,
    retry: Option<Duration>,
}

impl Parser {
    /// A parser that takes events of up to `bytes_max` bytes: a line with what is gathered of its event.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            unread: BytesMut::new(),
            scanned: 0,
            after_cr: false,
            at_start: true,
            data: None,
            event: String::new(),
            last_event_id: String::new(),
            retry: None,
        }
    }

    /// Appends bytes of the stream. Take the messages out before the next piece: what was pushed is kept until then.
    pub fn push(&mut self, piece: Bytes) {
        if self.unread.is_empty() {
            self.unread = piece.into();
        } else {
            self.unread.extend_from_slice(&piece);
        }
    }

    /// The next complete event; `None` if more bytes are needed. An event that the end of the stream cuts off is none.
    ///
    /// # Errors
    /// [`EventTooLarge`]; the stream cannot be read on.
    pub fn next_message(&mut self) -> Result<Option<Message>, EventTooLarge> {
        while let Some(line) = self.next_line()? {
            if !line.is_empty() {
                self.field(&line);
                continue;
            }
            let event = std::mem::take(&mut self.event);
            if let Some(data) = self.data.take() {
                let event = if event.is_empty() { "message".to_owned() } else { event };
                return Ok(Some(Message { event, data, last_event_id: self.last_event_id.clone() }));
            }
        }
        Ok(None)
    }

    /// What to send as `Last-Event-ID` when connecting again; empty if there is nothing to send.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// How long to wait before connecting again, if the stream said so.
    #[must_use]
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn next_line(&mut self) -> Result<Option<String>, EventTooLarge> {
        if self.at_start && !self.skip_byte_order_mark() {
            return Ok(None);
        }
        if self.after_cr && !self.unread.is_empty() {
            self.after_cr = false;
            if self.unread[0] == b'\n' {
                self.unread.advance(1);
            }
        }
        let gathered = self.data.as_ref().map_or(0, String::len) + self.event.len();
        let end = memchr::memchr2(b'\r', b'\n', &self.unread[self.scanned..]).map(|at| self.scanned + at);
        if gathered + end.unwrap_or(self.unread.len()) > self.bytes_max {
            return Err(EventTooLarge);
        }
        let Some(end) = end else {
            self.scanned = self.unread.len();
            return Ok(None);
        };
        let line = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        self.after_cr = self.unread[end] == b'\r';
        self.unread.advance(end + 1);
        self.scanned = 0;
        Ok(Some(line))
    }

    /// Skips one byte order mark at the beginning; false while it may still be one.
    fn skip_byte_order_mark(&mut self) -> bool {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if self.unread.len() < MARK.len() && MARK.starts_with(&self.unread) {
            return false;
        }
        if self.unread.starts_with(MARK) {
            self.unread.advance(MARK.len());
        }
        self.at_start = false;
        true
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => value.clone_into(&mut self.last_event_id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
    }
}

/// An event is longer than the parser takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLarge;

impl fmt::Display for EventTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event is larger than the limit")
    }
}

impl std::error::Error for EventTooLarge {}
