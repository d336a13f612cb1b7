//! Close frames: their codes, and what may stand in them (RFC 6455 §5.5.1, §7.4).
#![forbid(unsafe_code)]

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::fault::Fault;
use super::frame::CONTROL_BYTES_MAX;
use crate::proto::Misuse;

/// Why a WebSocket was closed (RFC 6455 §7.4.1 and IANA's registry).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: what it was for is done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server that stops, or a page that is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: the peer sent a kind of data that is not taken.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: the Close frame had no code. Never sent.
    pub const NONE: Self = Self(1005);
    /// 1006: the connection ended without a Close frame. Never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: a message whose content is not what its kind says, as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: the peer broke a rule of ours that has no code of its own.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message that is too large.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: a client needs an extension that the server did not take.
    pub const EXTENSION_MISSING: Self = Self(1010);
    /// 1011: something unexpected kept us from going on.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the service restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: the service is overloaded; try again later.
    pub const TRY_AGAIN: Self = Self(1013);
    /// 1014: a gateway got a bad answer.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// A code by its number. Whether it may be sent is another question: [`may_be_sent`](Self::may_be_sent).
    #[must_use]
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// Its number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// Whether it may stand in a Close frame: those that are registered for it, and 3000 to 4999, which belong to
    /// libraries and applications (RFC 6455 §7.4.2).
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

/// What a Close frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// [`CloseCode::NONE`] if it says nothing.
    pub code: CloseCode,
    /// For people who look for mistakes, not for users; at most 123 bytes.
    pub reason: String,
}

/// Bytes of a reason: what a control frame takes, less the code.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

impl CloseFrame {
    /// A frame without a code.
    #[must_use]
    pub const fn empty() -> Self {
        Self { code: CloseCode::NONE, reason: String::new() }
    }

    /// A frame that may be sent.
    ///
    /// # Errors
    /// [`Misuse::CloseInvalid`] if `code` may not be sent, or if `reason` has more than 123 bytes.
    pub fn new(code: CloseCode, reason: &str) -> Result<Self, Misuse> {
        if !code.may_be_sent() || reason.len() > REASON_BYTES_MAX {
            return Err(Misuse::CloseInvalid);
        }
        Ok(Self { code, reason: reason.to_owned() })
    }

    /// The same if it may be sent, and what comes nearest otherwise: 1011 in place of a code that may not be, and the beginning of a
    /// reason that is too long.
    #[must_use]
    pub(crate) fn made_sendable(mut self) -> Self {
        if self.code != CloseCode::NONE && !self.code.may_be_sent() {
            self.code = CloseCode::INTERNAL;
        }
        let mut end = self.reason.len().min(REASON_BYTES_MAX);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        self.reason.truncate(end);
        self
    }

    /// Reads the payload of a Close frame.
    ///
    /// # Errors
    /// [`Fault`] if there is one byte, a code that may not be sent, or a reason that is not UTF-8.
    pub fn parse(payload: &[u8]) -> Result<Self, Fault> {
        let [high, low, reason @ ..] = payload else {
            return if payload.is_empty() { Ok(Self::empty()) } else { Err(Fault::CloseTooShort) };
        };
        let code = CloseCode(u16::from_be_bytes([*high, *low]));
        if !code.may_be_sent() {
            return Err(Fault::CloseCodeInvalid);
        }
        let reason = simdutf8::basic::from_utf8(reason).map_err(|_| Fault::CloseReasonInvalid)?;
        Ok(Self { code, reason: reason.to_owned() })
    }

    /// Appends the payload of the frame to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        if self.code != CloseCode::NONE {
            out.put_u16(self.code.0);
            out.put_slice(self.reason.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_7_4_codes_that_may_be_sent() {
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999] {
            assert!(CloseCode(code).may_be_sent(), "{code}");
        }
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
            assert!(!CloseCode(code).may_be_sent(), "{code}");
            let payload = code.to_be_bytes();
            assert_eq!(CloseFrame::parse(&payload), Err(Fault::CloseCodeInvalid), "{code}");
        }
    }

    #[test]
    fn rfc6455_5_5_1_what_a_close_frame_may_hold() {
        let long = [&[0x03, 0xe8][..], &[b'x'; REASON_BYTES_MAX]].concat();
        type Parsed = Result<(u16, usize), Fault>;
        let cases: [(&[u8], Parsed); 6] = [
            (b"", Ok((1005, 0))),
            (b"\x03", Err(Fault::CloseTooShort)),
            (b"\x03\xe8", Ok((1000, 0))),
            (b"\x03\xe9bye \xc3\xa9", Ok((1001, 6))),
            (b"\x03\xe8\xff", Err(Fault::CloseReasonInvalid)),
            (&long, Ok((1000, REASON_BYTES_MAX))),
        ];
        for (payload, expected) in cases {
            let parsed = CloseFrame::parse(payload);
            if let Ok(frame) = &parsed {
                let mut out = BytesMut::new();
                frame.encode(&mut out);
                assert_eq!(out, payload);
            }
            let seen = parsed.map(|frame| (frame.code.as_u16(), frame.reason.len()));
            assert_eq!(seen, expected, "{}", payload.escape_ascii());
        }
    }

    #[test]
    fn what_may_not_be_sent_cannot_be_made() {
        assert!(CloseFrame::new(CloseCode::NORMAL, &"x".repeat(REASON_BYTES_MAX)).is_ok());
        assert!(CloseFrame::new(CloseCode::NORMAL, &"x".repeat(REASON_BYTES_MAX + 1)).is_err());
        assert!(CloseFrame::new(CloseCode::ABNORMAL, "").is_err());
    }
}
