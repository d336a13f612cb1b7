//! A body as a stream of lines and of pieces of known length.
#![forbid(unsafe_code)]

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::pieces::{self, Pieces};
use crate::error::{Error, Result};

/// A body that is read line by line, or by lengths, from [`Request::content`](crate::Request::content) or
/// [`Part::content`](crate::Part::content).
///
/// What it has read ahead is lost when it is dropped.
pub struct Content<'r> {
    source: &'r mut (dyn Pieces + 'r),
    /// What came in earlier pieces and has not been given out, joined.
    gathered: BytesMut,
    /// What is left of the last piece; it stands behind `gathered`.
    ahead: Bytes,
    /// Bytes of `gathered` that are known to have no line end in them.
    searched: usize,
    line_bytes_max: usize,
}

impl<'r> Content<'r> {
    pub(in crate::web) fn new(source: &'r mut (dyn Pieces + 'r)) -> Self {
        let (gathered, ahead) = (BytesMut::new(), Bytes::new());
        Self { source, gathered, ahead, searched: 0, line_bytes_max: LINE_BYTES_MAX }
    }

    /// Sets how many bytes a line may have, without its end. Default 64 KiB. Beyond: 413.
    pub fn set_line_limit(&mut self, bytes_max: usize) {
        self.line_bytes_max = bytes_max;
    }

    /// The next line without its end, which is LF or CRLF; `None` at the end of the body. The last one needs no end. A view of
    /// the read buffer if it came in one piece.
    ///
    /// # Errors
    /// 413 if the line is longer than [the limit](Self::set_line_limit), and as [`RequestBody::chunk`](crate::RequestBody::chunk).
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives the line.
    pub async fn line(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(end) = self.find_line_end() {
                return self.without_line_end(end).map(Some);
            }
            let unread = self.unread();
            // The carriage return may be one byte of the line's end.
            if unread > self.line_bytes_max.saturating_add(1) {
                return Err(self.line_too_long());
            }
            self.join();
            self.searched = self.gathered.len();
            if !self.fill().await? {
                return if unread == 0 { Ok(None) } else { self.without_line_end(unread).map(Some) };
            }
        }
    }

    /// The next `count` bytes; `None` if the body has ended already. A view of the read buffer if they came in one piece.
    /// Memory grows with what comes, not with `count`.
    ///
    /// # Errors
    /// 400 if the body ends before them, and as [`RequestBody::chunk`](crate::RequestBody::chunk).
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives them.
    pub async fn exactly(&mut self, count: usize) -> Result<Option<Bytes>> {
        while self.unread() < count {
            self.join();
            if !self.fill().await? {
                let unread = self.unread();
                let text = format!("the body ends after {unread} of {count} bytes");
                return if unread == 0 { Ok(None) } else { Err(Error::bad_request(text)) };
            }
        }
        Ok(Some(self.take(count)))
    }

    /// The next piece of whatever length; `None` at the end of the body.
    ///
    /// # Errors
    /// As [`RequestBody::chunk`](crate::RequestBody::chunk).
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives the piece.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        match self.unread() {
            0 => pieces::next(self.source).await,
            unread => Ok(Some(self.take(unread))),
        }
    }

    fn unread(&self) -> usize {
        self.gathered.len() + self.ahead.len()
    }

    /// Waits for the next piece. Says whether there was one. Nothing is ahead before.
    async fn fill(&mut self) -> Result<bool> {
        let piece = pieces::next(self.source).await?;
        let more = piece.is_some();
        self.ahead = piece.unwrap_or_default();
        Ok(more)
    }

    /// Makes room for the next piece.
    fn join(&mut self) {
        self.gathered.extend_from_slice(&std::mem::take(&mut self.ahead));
    }

    /// Length of the line that comes next, its end included.
    fn find_line_end(&self) -> Option<usize> {
        let at = match memchr::memchr(b'\n', &self.gathered[self.searched..]) {
            Some(at) => self.searched + at,
            None => self.gathered.len() + memchr::memchr(b'\n', &self.ahead)?,
        };
        Some(at + 1)
    }

    fn without_line_end(&mut self, length: usize) -> Result<Bytes> {
        let mut line = self.take(length);
        if line.ends_with(b"\n") {
            line.truncate(line.len() - 1);
            if line.ends_with(b"\r") {
                line.truncate(line.len() - 1);
            }
        }
        if line.len() > self.line_bytes_max { Err(self.line_too_long()) } else { Ok(line) }
    }

    fn line_too_long(&self) -> Error {
        let text = format!("a line is longer than {} bytes", self.line_bytes_max);
        Error::new(StatusCode::PAYLOAD_TOO_LARGE).with_text(text)
    }

    fn take(&mut self, count: usize) -> Bytes {
        self.searched = 0;
        if self.gathered.is_empty() {
            return self.ahead.split_to(count);
        }
        if let Some(missing) = count.checked_sub(self.gathered.len()) {
            self.gathered.extend_from_slice(&self.ahead.split_to(missing));
        }
        self.gathered.split_to(count).freeze()
    }
}

/// A line of text that is longer is none.
const LINE_BYTES_MAX: usize = 64 * 1024;

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("unread", &self.unread()).finish_non_exhaustive()
    }
}
