//! Server-sent events (WHATWG HTML §9.2): an [`Event`] to bytes, and bytes to [`Message`]s.
//!
//! Line ends are CR, LF or both (§9.2.5). Text with line ends becomes several `data` lines, which the receiver joins
//! again by LF; an id or an event type has only one line, so a line end in them is refused, as is a NUL in an id, which
//! receivers ignore.
#![forbid(unsafe_code)]

mod parser;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::BytesMut;

pub use parser::{EventTooLarge, Message, Parser};

use super::Misuse;

/// The comment line that keeps a quiet stream open: receivers ignore it (WHATWG HTML §9.2.7).
pub const KEEP_ALIVE: &[u8] = b":\n\n";

/// One event of a stream, or a comment in it.
///
/// ```
/// use ringhttp::proto::sse::Event;
///
/// let mut out = bytes::BytesMut::new();
/// Event::data("two\nlines").id("7").encode(&mut out)?;
/// assert_eq!(&out[..], b"id:7\ndata:two\ndata:lines\n\n");
/// # Ok::<_, ringhttp::proto::Misuse>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "an event does nothing until it is sent"]
pub struct Event {
    data: Option<Cow<'static, str>>,
    id: Option<Cow<'static, str>>,
    name: Option<Cow<'static, str>>,
    retry: Option<Duration>,
    comment: Option<Cow<'static, str>>,
}

impl Event {
    /// An event with this text, which may have several lines. Receivers take no notice of an event without data.
    pub fn data(text: impl Into<Cow<'static, str>>) -> Self {
        Self { data: Some(text.into()), ..Self::default() }
    }

    /// A comment: receivers ignore it.
    pub fn comment(text: impl Into<Cow<'static, str>>) -> Self {
        Self { comment: Some(text.into()), ..Self::default() }
    }

    /// An event whose data is `value` as JSON.
    ///
    /// # Errors
    /// If the value cannot be serialized.
    #[cfg(feature = "json")]
    pub fn json(value: &impl serde::Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::data)
    }

    /// Tells the receiver to wait so long before it connects again; milliseconds are the finest unit.
    pub fn reconnect_after(after: Duration) -> Self {
        Self::default().retry(after)
    }

    /// Sets the id, which a receiver that connects again sends as `Last-Event-ID`. An empty one makes it forget the last.
    pub fn id(mut self, id: impl Into<Cow<'static, str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the event's type: the name of the listener in a browser; `message` without it.
    pub fn event(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// As [`reconnect_after`](Self::reconnect_after), with an event.
    pub fn retry(mut self, after: Duration) -> Self {
        self.retry = Some(after);
        self
    }

    /// Appends the event to `out`, with the empty line that ends it.
    ///
    /// # Errors
    /// [`Misuse::EventFieldInvalid`] if the id or the type has a line end, or the id a NUL. `out` is left as it was.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), Misuse> {
        let one_line =
            |text: &Option<Cow<'static, str>>| text.iter().all(|text| !text.contains(['\r', '\n']));
        let has_nul = self.id.as_ref().is_some_and(|id| id.contains('\0'));
        if !one_line(&self.id) || !one_line(&self.name) || has_nul {
            return Err(Misuse::EventFieldInvalid);
        }
        if let Some(comment) = &self.comment {
            lines(comment).for_each(|line| put(out, "", line));
        }
        if let Some(after) = self.retry {
            writeln!(out, "retry:{}", after.as_millis()).expect("the buffer grows");
        }
        if let Some(id) = &self.id {
            put(out, "id", id);
        }
        if let Some(name) = &self.name {
            put(out, "event", name);
        }
        if let Some(data) = &self.data {
            lines(data).for_each(|line| put(out, "data", line));
        }
        out.extend_from_slice(b"\n");
        Ok(())
    }
}

fn put(out: &mut BytesMut, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    // The receiver takes one space away behind the colon (§9.2.6); a value that begins with one needs another.
    out.extend_from_slice(if value.starts_with(' ') { b": " } else { b":" });
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\n");
}

/// The lines of a text, at least one; CRLF, CR and LF end them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            return rest.take();
        };
        let (line, behind) = text.split_at(end);
        rest = Some(behind.strip_prefix("\r\n").unwrap_or(&behind[1..]));
        Some(line)
    })
}

#[cfg(test)]
mod tests;
