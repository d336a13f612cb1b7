//! Ranges of bodies: pieces of memory and of files, or what a window lets pass of a stream.
#![forbid(unsafe_code)]

use std::ops::Range;

use bytes::{Buf, Bytes};
use ringhttp_runtime::file::FileSlice;

use super::body::{Body, Kind, Part, Stream};

impl Body {
    /// Whether a range can be cut out of it: it is of known length, and not a request's own body passed through.
    pub(crate) fn can_be_cut(&self) -> bool {
        self.length().is_some() && !matches!(self.0, Kind::Incoming(_))
    }

    /// The pieces of memory and of files that a range of it consists of. `None`: there are none before it is sent.
    pub(crate) fn slices(&self, range: &Range<u64>) -> Option<Vec<Part>> {
        match &self.0 {
            Kind::Empty => Some(Vec::new()),
            Kind::Bytes(bytes) => Some(vec![Part::Bytes(slice(bytes, range))]),
            Kind::File(parts) => Some(overlapping(parts, range)),
            Kind::Stream(_) | Kind::Incoming(_) | Kind::Encoded(_) => None,
        }
    }

    /// A range of it. Of a body that cannot be cut, all.
    pub(crate) fn cut(self, range: &Range<u64>) -> Self {
        match self.0 {
            Kind::Bytes(bytes) => slice(&bytes, range).into(),
            Kind::File(parts) => Self::parts(overlapping(&parts, range)),
            Kind::Stream(Stream { length: Some(_), window, start }) => {
                let skip = window.map_or(0, |window| window.skip) + range.start;
                let window = Some(Window::new(skip, range.end - range.start));
                Self(Kind::Stream(Stream { length: Some(range.end - range.start), window, start }))
            }
            other => Self(other),
        }
    }
}

/// What of the parts lies within a range of them all.
fn overlapping(parts: &[Part], range: &Range<u64>) -> Vec<Part> {
    let mut position = 0;
    let mut found = Vec::new();
    for part in parts {
        let (start, end) = (position, position + part.length());
        position = end;
        let within = range.start.max(start)..range.end.min(end);
        if !within.is_empty() {
            found.push(part.slice(&(within.start - start..within.end - start)));
        }
    }
    found
}

impl Part {
    fn slice(&self, range: &Range<u64>) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(slice(bytes, range)),
            Self::File(whole) => Self::File(FileSlice {
                file: whole.file.clone(),
                offset: whole.offset + range.start,
                length: range.end - range.start,
            }),
        }
    }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let place = |at: u64| usize::try_from(at).expect("within what is in memory");
    bytes.slice(place(range.start)..place(range.end))
}

/// What of a stream is sent: nothing of its beginning, and no more than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Bytes that are still to be passed over.
    skip: u64,
    /// Bytes that are still to be sent.
    take: u64,
    /// Bytes that were passed over since others had their turn.
    in_a_row: usize,
}

impl Window {
    fn new(skip: u64, take: u64) -> Self {
        Self { skip, take, in_a_row: 0 }
    }

    /// What of a piece is to be sent.
    pub(super) fn cut(&mut self, mut piece: Bytes) -> Bytes {
        let skipped = usize::try_from(self.skip).map_or(piece.len(), |skip| skip.min(piece.len()));
        piece.advance(skipped);
        self.skip -= skipped as u64;
        self.in_a_row += skipped;
        piece.truncate(usize::try_from(self.take).unwrap_or(usize::MAX));
        self.take -= piece.len() as u64;
        piece
    }

    /// Whether all has been sent that was asked for.
    pub(super) fn is_over(&self) -> bool {
        self.take == 0
    }

    /// Whether the writer is to give way: of what is passed over nothing waits for the peer, so the writer would not either.
    pub(super) fn gives_way(&mut self) -> bool {
        let gives_way = self.in_a_row >= IN_A_ROW_BYTES_MAX;
        if gives_way {
            self.in_a_row = 0;
        }
        gives_way
    }
}

/// Bytes of a stream that are passed over before others have their turn: making them takes some hundred microseconds.
const IN_A_ROW_BYTES_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_lets_pass_what_was_asked_for_however_it_is_cut() {
        for piece_bytes in 1..=10 {
            for start in 0..10_u64 {
                for end in start + 1..=10 {
                    let mut window = Window::new(start, end - start);
                    let pieces = b"0123456789".chunks(piece_bytes).map(Bytes::copy_from_slice);
                    let passed: Vec<u8> = pieces.flat_map(|piece| window.cut(piece)).collect();
                    let place = |at: u64| usize::try_from(at).unwrap();
                    assert_eq!(passed, &b"0123456789"[place(start)..place(end)], "pieces of {piece_bytes}");
                    assert!(window.is_over());
                }
            }
        }
        let mut window = Window::new(u64::MAX, 1);
        assert_eq!(window.cut(Bytes::from(vec![0; IN_A_ROW_BYTES_MAX])), "");
        assert!(window.gives_way() && !window.gives_way() && !window.is_over());
    }

    #[test]
    fn a_window_on_what_a_window_shows() {
        let body = Body::stream_of(10, async |_| Ok(())).cut(&(2..9)).cut(&(3..5));
        let Kind::Stream(stream) = body.0 else { panic!("a stream stays one") };
        assert_eq!((stream.length, stream.window), (Some(2), Some(Window::new(5, 2))));
    }

    #[test]
    fn parts_of_memory_are_cut_at_their_borders() {
        let parts = || ["ab", "c", "defg"].map(|text| Part::Bytes(text.into())).into();
        for start in 0..7_u64 {
            for end in start + 1..=7 {
                let cut = Body::parts(parts()).cut(&(start..end));
                let Kind::File(found) = &cut.0 else { panic!("{cut:?}") };
                let text: Vec<u8> = found
                    .iter()
                    .flat_map(|part| match part {
                        Part::Bytes(bytes) => bytes.to_vec(),
                        Part::File(_) => Vec::new(),
                    })
                    .collect();
                let place = |at: u64| usize::try_from(at).unwrap();
                assert_eq!(text, &b"abcdefg"[place(start)..place(end)]);
                assert_eq!(cut.length(), Some(end - start));
            }
        }
    }
}
