//! Futures that are dropped before they are ready, at every place where a body makes them wait.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::pin::pin;
use std::task::Waker;

use super::*;

/// Pieces, each of which is waited for once.
struct Slow {
    pieces: VecDeque<Bytes>,
    is_due: bool,
    /// Waits that are over.
    ends: u32,
}

impl Slow {
    fn new(body: &str, piece_bytes: usize) -> Self {
        let pieces = body.as_bytes().chunks(piece_bytes).map(Bytes::copy_from_slice).collect();
        Self { pieces, is_due: false, ends: 0 }
    }
}

impl Pieces for Slow {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        self.is_due = !self.is_due;
        if self.is_due { Poll::Pending } else { Poll::Ready(Ok(self.pieces.pop_front())) }
    }

    fn give_up(&mut self) {
        self.ends += 1;
    }
}

/// Polls a future once, and drops it.
fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn whole() -> Rc<Whole> {
    Rc::new(Whole { config: MultipartConfig::default(), decoded_left: Cell::new(1 << 20) })
}

const KIND: fn() -> Kind = || Kind { boundary: "x".to_owned(), is_form: true };

#[test]
fn next_part_and_chunk_lose_nothing_when_they_are_dropped() {
    let body = "--x\r\ncontent-disposition: form-data; name=a\r\n\r\none\r\ntwo\r\n\
                --x\r\ncontent-disposition: form-data; name=b\r\n\r\nskipped\r\n\
                --x\r\ncontent-disposition: form-data; name=c\r\n\r\nthree\r\n--x--\r\n";
    for piece_bytes in 1..=body.len() {
        let mut source = Slow::new(body, piece_bytes);
        let mut form = Multipart::new(&mut source, &KIND(), whole(), 1);
        let mut seen = Vec::new();
        let mut drops = 0;
        loop {
            // The part borrows the form, so the call that gives it cannot be the one in the loop's condition.
            let Some(head) = once(poll_fn(|cx| form.poll_head(cx))) else {
                drops += 1;
                continue;
            };
            let Some(head) = head.unwrap() else { break };
            let mut content = Vec::new();
            while head.name() != Some("b") {
                match once(pieces::next(&mut form)) {
                    Some(Ok(Some(piece))) => content.extend_from_slice(&piece),
                    Some(Ok(None)) => break,
                    Some(Err(error)) => panic!("{error}"),
                    None => drops += 1,
                }
            }
            seen.push((head.name().unwrap().to_owned(), String::from_utf8(content).unwrap()));
        }
        let expected = [("a", "one\r\ntwo"), ("b", ""), ("c", "three")];
        let expected = expected.map(|(name, content)| (name.to_owned(), content.to_owned()));
        assert_eq!(seen, expected, "pieces of {piece_bytes}");
        assert!(drops > body.len() / piece_bytes, "{drops} futures were dropped");
    }
}

#[test]
fn a_source_is_told_when_a_wait_for_it_is_dropped() {
    let mut source = Slow::new("--x\r\n", 100);
    let mut form = Multipart::new(&mut source, &KIND(), whole(), 1);
    assert!(once(form.next_part()).is_none());
    assert_eq!(source.ends, 1);
    source.is_due = false;
    assert!(once(Content::new(&mut source).line()).is_none());
    assert_eq!(source.ends, 2);
}

#[test]
fn lines_and_lengths_lose_nothing_when_they_are_dropped() {
    let body = "one\r\n\ntwo and a half\n12345rest";
    for piece_bytes in 1..=body.len() {
        let mut source = Slow::new(body, piece_bytes);
        let mut content = Content::new(&mut source);
        let mut seen = Vec::new();
        for step in 0..5 {
            let taken = loop {
                // Another reader that gives up must not disturb the one that goes on.
                if step == 3 {
                    let _ = once(content.exactly(1000));
                }
                let found = if step < 3 { once(content.line()) } else { once(content.exactly(5 - step / 4)) };
                if let Some(found) = found {
                    break found;
                }
            };
            seen.push(taken.unwrap().unwrap());
        }
        assert_eq!(seen, ["one", "", "two and a half", "12345", "rest"], "pieces of {piece_bytes}");
    }
}

#[test]
fn marks_and_short_pieces_lose_nothing_when_they_are_dropped() {
    let body = "one--two-three--four and the rest";
    for piece_bytes in 1..=body.len() {
        let mut source = Slow::new(body, piece_bytes);
        let mut content = Content::new(&mut source);
        let mut seen = String::new();
        let mut tries = 0;
        for step in 0.. {
            let taken = loop {
                tries += 1;
                let found = if step < 2 { once(content.until(b"--")) } else { once(content.at_most(3)) };
                if let Some(found) = found {
                    break found.unwrap();
                }
                // Another reader that gives up must not disturb the one that goes on.
                if tries % 3 == 0 {
                    let _ = once(content.exactly(1000));
                }
            };
            let Some(taken) = taken else { break };
            seen += str::from_utf8(&taken).unwrap();
            seen += if step < 2 { "|" } else { "" };
        }
        assert_eq!(seen, "one|two-three|four and the rest", "pieces of {piece_bytes}");
    }
}

#[test]
fn a_decoded_part_loses_nothing_when_it_is_dropped() {
    let body = "--x\r\ncontent-disposition: form-data; name=a\r\ncontent-transfer-encoding: base64\r\n\r\n\
                b25lIGFuZCB0\r\nd28gYW5kIHRocmVl\r\n--x--\r\n";
    for piece_bytes in 1..=body.len() {
        let mut source = Slow::new(body, piece_bytes);
        let mut form = Multipart::new(&mut source, &KIND(), whole(), 1);
        let mut drops = 0;
        let head = loop {
            match once(poll_fn(|cx| form.poll_head(cx))) {
                Some(head) => break head.unwrap().unwrap(),
                None => drops += 1,
            }
        };
        let part = Part { head, whole: whole(), depth: 1, source: Source::new(&mut form) };
        let (mut part, mut content) = (part.decoded().unwrap(), Vec::new());
        loop {
            match once(part.chunk()) {
                Some(Ok(Some(piece))) => content.extend_from_slice(&piece),
                Some(Ok(None)) => break,
                Some(Err(error)) => panic!("{error}"),
                None => drops += 1,
            }
        }
        assert_eq!(content, b"one and two and three", "pieces of {piece_bytes}");
        assert!(drops >= 100 / piece_bytes, "{drops} futures were dropped");
    }
}

#[test]
fn a_part_of_a_form_has_a_name() {
    for (is_form, found) in [(true, Err(400)), (false, Ok(true))] {
        let mut source = Slow::new("--x\r\n\r\ntext\r\n--x--", 100);
        let kind = Kind { is_form, ..KIND() };
        let mut form = Multipart::new(&mut source, &kind, whole(), 1);
        assert!(once(form.next_part()).is_none(), "it waits for the first piece");
        let part = once(form.next_part()).expect("it has come");
        let part = part.map(|part| part.is_some_and(|part| part.name().is_empty()));
        assert_eq!(part.map_err(|error| error.status().as_u16()), found);
    }
}
