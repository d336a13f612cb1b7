//! A body as a stream of lines, of pieces of known length, and of pieces up to a mark.
#![forbid(unsafe_code)]

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use memchr::memmem;

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
    line_bytes_max: usize,
}

impl<'r> Content<'r> {
    pub(in crate::web) fn new(source: &'r mut (dyn Pieces + 'r)) -> Self {
        let (gathered, ahead) = (BytesMut::new(), Bytes::new());
        Self { source, gathered, ahead, line_bytes_max: LINE_BYTES_MAX }
    }

    /// Sets how many bytes a line may have, without its end, and what stands before a mark. Default 64 KiB. Beyond: 413.
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
        let Some((length, end)) = self.find(b"\n").await? else {
            return Ok(None);
        };
        let mut line = self.take(length);
        if end > 0 {
            line.truncate(length - end);
            if line.ends_with(b"\r") {
                line.truncate(line.len() - 1);
            }
        }
        self.within_limit(line).map(Some)
    }

    /// What stands before the next `mark`, without it; `None` at the end of the body. Behind the last one needs to be no mark. A
    /// view of the read buffer if it came in one piece.
    ///
    /// ```
    /// async fn count(_: &(), mut req: ringhttp::Request) -> ringhttp::Result<String> {
    ///     let (mut content, mut count) = (req.content(), 0);
    ///     while content.until(b"\r\n\r\n").await?.is_some() {
    ///         count += 1;
    ///     }
    ///     Ok(format!("{count} blocks\n"))
    /// }
    /// # ringhttp::Router::new().post("/", count);
    /// ```
    ///
    /// # Errors
    /// 413 if it is longer than [the limit](Self::set_line_limit), and as [`RequestBody::chunk`](crate::RequestBody::chunk).
    ///
    /// # Panics
    /// If `mark` is empty.
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives it.
    pub async fn until(&mut self, mark: &[u8]) -> Result<Option<Bytes>> {
        let Some((length, end)) = self.find(mark).await? else {
            return Ok(None);
        };
        let mut before = self.take(length);
        before.truncate(length - end);
        self.within_limit(before).map(Some)
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

    /// The next piece, of `bytes_max` bytes at the most; `None` at the end of the body.
    ///
    /// # Errors
    /// As [`RequestBody::chunk`](crate::RequestBody::chunk).
    ///
    /// # Panics
    /// If `bytes_max` is 0.
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives the piece.
    pub async fn at_most(&mut self, bytes_max: usize) -> Result<Option<Bytes>> {
        assert!(bytes_max > 0, "a piece has at least one byte");
        while self.unread() == 0 {
            if !self.fill().await? {
                return Ok(None);
            }
        }
        Ok(Some(self.take(self.unread().min(bytes_max))))
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

    /// Waits until `mark` is there, or the body is at its end: bytes up to there, and how many of them are the mark.
    /// `None` if there are none.
    async fn find(&mut self, mark: &[u8]) -> Result<Option<(usize, usize)>> {
        assert!(!mark.is_empty(), "a mark has at least one byte");
        let mut searched = 0;
        loop {
            if let Some(before) = self.position(mark, searched) {
                return Ok(Some((before + mark.len(), mark.len())));
            }
            let unread = self.unread();
            // All but the last byte of the mark, or the carriage return of a line's end, may be here.
            if unread > self.line_bytes_max.saturating_add(mark.len()) {
                return Err(self.too_long());
            }
            self.join();
            searched = (unread + 1).saturating_sub(mark.len());
            if !self.fill().await? {
                return Ok((unread > 0).then_some((unread, 0)));
            }
        }
    }

    /// Where `mark` begins, at `searched` or behind.
    fn position(&self, mark: &[u8], searched: usize) -> Option<usize> {
        let gathered = self.gathered.len();
        if let Some(at) = memmem::find(&self.gathered[searched..], mark) {
            return Some(searched + at);
        }
        // It may begin in what was gathered and end in what is ahead.
        let seam = gathered.saturating_sub(mark.len() - 1);
        let across = [&self.gathered[seam..], &self.ahead[..self.ahead.len().min(mark.len() - 1)]].concat();
        if let Some(at) = memmem::find(&across, mark) {
            return Some(seam + at);
        }
        memmem::find(&self.ahead, mark).map(|at| gathered + at)
    }

    fn within_limit(&self, found: Bytes) -> Result<Bytes> {
        if found.len() > self.line_bytes_max { Err(self.too_long()) } else { Ok(found) }
    }

    fn too_long(&self) -> Error {
        let text = format!("a line is longer than {} bytes", self.line_bytes_max);
        Error::new(StatusCode::PAYLOAD_TOO_LARGE).with_text(text)
    }

    fn take(&mut self, count: usize) -> Bytes {
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
