//! Whether a text that comes in pieces is UTF-8 (RFC 6455 §8.1), known as early as it can be.
#![forbid(unsafe_code)]

/// What of a text has been looked at. Between two pieces it remembers no more than an unfinished character.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8Check {
    pending: [u8; 4],
    pending_count: u8,
}

impl Utf8Check {
    /// Looks at the next piece; false if the text cannot be UTF-8 any more, whatever follows.
    #[inline]
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let Some(piece) = self.finish_pending(piece) else { return false };
        if simdutf8::basic::from_utf8(piece).is_ok() {
            return true;
        }
        self.keep_unfinished(piece)
    }

    /// Whether the text may end here.
    pub(super) fn may_end(self) -> bool {
        self.pending_count == 0
    }

    /// Completes the character that the piece before began, byte by byte; what is left of the piece, or `None` if that
    /// makes no character.
    fn finish_pending<'piece>(&mut self, mut piece: &'piece [u8]) -> Option<&'piece [u8]> {
        while self.pending_count > 0
            && let [next, rest @ ..] = piece
        {
            let count = usize::from(self.pending_count);
            self.pending[count] = *next;
            piece = rest;
            match str::from_utf8(&self.pending[..=count]) {
                Ok(_) => self.pending_count = 0,
                Err(error) if error.error_len().is_some() => return None,
                Err(_) => self.pending_count += 1,
            }
        }
        Some(piece)
    }

    /// Keeps the unfinished character at the end of a piece, if that is all that is wrong with it.
    #[cold]
    fn keep_unfinished(&mut self, piece: &[u8]) -> bool {
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let unfinished = &piece[error.valid_up_to()..];
                self.pending[..unfinished.len()].copy_from_slice(unfinished);
                self.pending_count = u8::try_from(unfinished.len()).expect("less than a character");
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes of `text` are taken before it is refused; all of them if it never is, and whether it may end there.
    fn check(pieces: &[&[u8]]) -> (bool, bool) {
        let mut check = Utf8Check::default();
        for piece in pieces {
            if !check.push(piece) {
                return (false, false);
            }
        }
        (true, check.may_end())
    }

    #[test]
    fn rfc6455_8_1_texts_are_judged_the_same_however_they_are_cut() {
        let cases: &[&[u8]] = &[
            b"",
            b"plain",
            "κόσμε, 水, 🎈".as_bytes(),
            "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}".as_bytes(),
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64",
            b"\xc0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"\xe2\x82",
            b"\x80",
            b"a\xff",
            b"long enough for the vectors of a register: \xf0\x9f\x8e\x88 and an unfinished one \xf0\x9f\x8e",
        ];
        for text in cases {
            let expected = match str::from_utf8(text) {
                Ok(_) => (true, true),
                Err(error) if error.error_len().is_none() => (true, false),
                Err(_) => (false, false),
            };
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(check(&bytes), expected, "{}", text.escape_ascii());
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let pieces = [&text[..first], &text[first..second], &text[second..]];
                    assert_eq!(check(&pieces), expected, "{} at {first}, {second}", text.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn a_wrong_byte_is_refused_at_once() {
        for (good, bad) in [(&b"\xf4"[..], 0x90), (b"\xed", 0xa0), (b"\xe0", 0x80), (b"\xf0\x9f", 0x41)] {
            let mut check = Utf8Check::default();
            assert!(check.push(good));
            assert!(!check.push(&[bad]), "{} {bad:x}", good.escape_ascii());
        }
    }
}
