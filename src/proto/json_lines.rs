//! JSON lines (NDJSON): one JSON text per line, each line ended by LF, a CR before it ignored.
//!
//! This file splits a stream into its lines; what is in a line is the reader's matter.
#![forbid(unsafe_code)]

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Splits a stream into lines, fed in any pieces. A line that came in one piece is a view of it.
///
/// ```
/// use ringhttp::proto::json_lines::LineSplitter;
///
/// let mut lines = LineSplitter::new(1024);
/// lines.push(b"{\"a\":1}\n[2".as_slice().into());
/// assert_eq!(lines.next_line()?.as_deref(), Some(&b"{\"a\":1}"[..]));
/// assert_eq!(lines.next_line()?, None);
/// assert_eq!(lines.finish().as_deref(), Some(&b"[2"[..]));
/// # Ok::<_, ringhttp::proto::json_lines::LineTooLong>(())
/// ```
#[derive(Debug)]
pub struct LineSplitter {
    bytes_max: usize,
    /// The beginning of a line whose end has not come.
    begun: BytesMut,
    /// What came last and has not been looked at.
    piece: Bytes,
}

impl LineSplitter {
    /// A splitter of lines of up to `bytes_max` bytes, line end not included.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, begun: BytesMut::new(), piece: Bytes::new() }
    }

    /// Gives it the next piece of the stream.
    ///
    /// # Panics
    /// If lines of the piece before have not been taken out.
    pub fn push(&mut self, piece: Bytes) {
        assert!(self.piece.is_empty(), "the lines of a piece are taken out before the next comes");
        self.piece = piece;
    }

    /// The next line, without its end; `None` if it has not come yet. May be empty.
    ///
    /// # Errors
    /// [`LineTooLong`]; the stream cannot be read on.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        let end = memchr::memchr(b'\n', &self.piece);
        let fresh = &self.piece[..end.unwrap_or(self.piece.len())];
        // The CR of a line end is not counted.
        let ends_with_cr = fresh.last().or(self.begun.last()) == Some(&b'\r');
        if self.begun.len() + fresh.len() > self.bytes_max + usize::from(ends_with_cr) {
            return Err(LineTooLong);
        }
        let Some(end) = end else {
            self.begun.extend_from_slice(&self.piece);
            self.piece = Bytes::new();
            return Ok(None);
        };
        let mut line = self.piece.split_to(end);
        self.piece.advance(1);
        if !self.begun.is_empty() {
            self.begun.extend_from_slice(&line);
            line = self.begun.split().freeze();
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }

    /// What stands behind the last line end, at the end of the stream.
    pub fn finish(&mut self) -> Option<Bytes> {
        let line = self.begun.split().freeze();
        (!line.is_empty()).then_some(line)
    }
}

/// A line is longer than the splitter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl fmt::Display for LineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("line is longer than the limit")
    }
}

impl std::error::Error for LineTooLong {}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]], bytes_max: usize) -> Result<Vec<Vec<u8>>, LineTooLong> {
        let mut splitter = LineSplitter::new(bytes_max);
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.push(Bytes::copy_from_slice(piece));
            while let Some(line) = splitter.next_line()? {
                lines.push(line.to_vec());
            }
        }
        lines.extend(splitter.finish().map(|line| line.to_vec()));
        Ok(lines)
    }

    #[test]
    fn lines_are_the_same_in_whatever_pieces_they_come() {
        type Lines<'a> = Result<&'a [&'a [u8]], LineTooLong>;
        let cases: &[(&[u8], Lines<'_>)] = &[
            (b"", Ok(&[])),
            (b"a", Ok(&[b"a"])),
            (b"a\n", Ok(&[b"a"])),
            (b"a\r\nb\n", Ok(&[b"a", b"b"])),
            (b"\n\r\na", Ok(&[b"", b"", b"a"])),
            (b"a\rb\n", Ok(&[b"a\rb"])),
            (b"12345\n12345\r\n", Ok(&[b"12345", b"12345"])),
            (b"123456\n", Err(LineTooLong)),
            (b"123456", Err(LineTooLong)),
            (b"12345\r", Ok(&[b"12345\r"])),
            (b"12345\rx\n", Err(LineTooLong)),
            (b"a\n123456\r\n", Err(LineTooLong)),
        ];
        for (stream, expected) in cases {
            let expected = expected.map(|lines| lines.iter().map(|line| line.to_vec()).collect());
            assert_eq!(split(&[stream], 5), expected, "{}", stream.escape_ascii());
            assert_eq!(
                split(&stream.chunks(1).collect::<Vec<_>>(), 5),
                expected,
                "{}",
                stream.escape_ascii()
            );
            for at in 0..=stream.len() {
                let (front, back) = stream.split_at(at);
                assert_eq!(split(&[front, back], 5), expected, "{} at {at}", stream.escape_ascii());
            }
        }
    }

    #[test]
    fn a_line_in_one_piece_is_not_copied() {
        let piece = Bytes::from_static(b"first\nsecond\n");
        let mut splitter = LineSplitter::new(100);
        splitter.push(piece.clone());
        let line = splitter.next_line().unwrap().unwrap();
        assert_eq!(line.as_ptr(), piece.as_ptr());
    }
}
