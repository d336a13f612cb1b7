//! The head of a frame, both ways (RFC 6455 §5.2).
#![forbid(unsafe_code)]

use bytes::BytesMut;

use super::Role;
use super::fault::Fault;

/// Bytes of the longest head: two, a length of eight, a mask of four.
pub const HEAD_BYTES_MAX: usize = 14;

/// Bytes of the longest payload of a control frame (RFC 6455 §5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// More of the message that has begun.
    Continuation = 0x0,
    /// A text, or the beginning of one.
    Text = 0x1,
    /// Bytes, or the beginning of them.
    Binary = 0x2,
    /// The end.
    Close = 0x8,
    /// A question whether the peer is there.
    Ping = 0x9,
    /// The answer to it.
    Pong = 0xa,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it may stand between the fragments of a message, and is never fragmented itself.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// It is the last frame of its message.
    pub is_final: bool,
    /// RSV1: its message is compressed (RFC 7692 §6). Only on the first frame of a message.
    pub is_compressed: bool,
    /// What it is.
    pub opcode: Opcode,
    /// What its payload is masked with: from clients always, from servers never.
    pub mask: Option<[u8; 4]>,
    /// Bytes of its payload.
    pub length: u64,
}

impl FrameHead {
    /// A frame that is a message of its own, without compression and mask.
    #[must_use]
    pub const fn whole(opcode: Opcode, length: usize) -> Self {
        Self { is_final: true, is_compressed: false, opcode, mask: None, length: length as u64 }
    }

    /// Reads a head that `sender` has sent from the front of `bytes`: the head and the bytes it takes, or `None` if more are
    /// needed.
    ///
    /// `may_compress`: whether permessage-deflate was negotiated.
    ///
    /// # Errors
    /// [`Fault`] as soon as it is certain.
    #[inline]
    pub fn parse(bytes: &[u8], sender: Role, may_compress: bool) -> Result<Option<(Self, usize)>, Fault> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let is_final = first & 0x80 != 0;
        let is_compressed = first & 0x40 != 0;
        if first & 0x30 != 0 || (is_compressed && !may_compress) {
            return Err(Fault::ReservedBit);
        }
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(Fault::OpcodeUnknown)?;
        // RFC 7692 §6.1: the bit stands on the first frame of a data message only.
        if is_compressed && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(Fault::ReservedBit);
        }
        let is_masked = second & 0x80 != 0;
        if is_masked != (sender == Role::Client) {
            return Err(if is_masked { Fault::MaskUnexpected } else { Fault::MaskMissing });
        }
        let short = second & 0x7f;
        if opcode.is_control() {
            if !is_final {
                return Err(Fault::ControlFragmented);
            }
            if usize::from(short) > CONTROL_BYTES_MAX {
                return Err(Fault::ControlTooLong);
            }
        }
        let Some((length, rest)) = parse_length(short, rest)? else {
            return Ok(None);
        };
        let (mask, rest) = match (is_masked, rest) {
            (false, _) => (None, rest),
            (true, &[a, b, c, d, ref rest @ ..]) => (Some([a, b, c, d]), rest),
            (true, _) => return Ok(None),
        };
        let head = Self { is_final, is_compressed, opcode, mask, length };
        Ok(Some((head, bytes.len() - rest.len())))
    }

    /// Appends the head to `out`, its length in as few bytes as it needs.
    #[inline]
    pub fn encode(&self, out: &mut BytesMut) {
        let (bytes, count) = self.to_bytes();
        out.extend_from_slice(&bytes[..count]);
    }

    /// The head's bytes, and how many of them count.
    #[inline]
    #[must_use]
    pub fn to_bytes(&self) -> ([u8; HEAD_BYTES_MAX], usize) {
        let mut bytes = [0; HEAD_BYTES_MAX];
        let final_bit = if self.is_final { 0x80 } else { 0 };
        let compressed_bit = if self.is_compressed { 0x40 } else { 0 };
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        bytes[0] = final_bit | compressed_bit | self.opcode as u8;
        let [.., h, l] = self.length.to_be_bytes();
        let mut count = match self.length {
            0..=125 => {
                bytes[1] = mask_bit | l;
                2
            }
            126..=0xffff => {
                bytes[1..4].copy_from_slice(&[mask_bit | LENGTH_IN_2, h, l]);
                4
            }
            _ => {
                bytes[1] = mask_bit | LENGTH_IN_8;
                bytes[2..10].copy_from_slice(&self.length.to_be_bytes());
                10
            }
        };
        if let Some(mask) = self.mask {
            bytes[count..count + 4].copy_from_slice(&mask);
            count += 4;
        }
        (bytes, count)
    }
}

/// The payload length and what follows it; `None` if its bytes are not all here.
#[inline]
fn parse_length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Fault> {
    match short {
        LENGTH_IN_2 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
            let length = u64::from(u16::from_be_bytes(*bytes));
            if length < 126 { Err(Fault::LengthNotMinimal) } else { Ok(Some((length, rest))) }
        }
        LENGTH_IN_8 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            let length = u64::from_be_bytes(*bytes);
            if length >> 63 != 0 {
                return Err(Fault::LengthInvalid);
            }
            if length <= 0xffff { Err(Fault::LengthNotMinimal) } else { Ok(Some((length, rest))) }
        }
        short => Ok(Some((u64::from(short), rest))),
    }
}

/// The lengths that say how many bytes of a longer one follow.
const LENGTH_IN_2: u8 = 126;
const LENGTH_IN_8: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_5_2_lengths_are_read_back_and_stand_in_as_few_bytes_as_they_need() {
        let cases = [(0, 2), (1, 2), (125, 2), (126, 4), (0xffff, 4), (0x1_0000, 10), (u64::MAX >> 1, 10)];
        for (length, bytes) in cases {
            for mask in [None, Some([1, 2, 3, 4])] {
                let head = FrameHead { mask, length, ..FrameHead::whole(Opcode::Binary, 0) };
                let mut out = BytesMut::new();
                head.encode(&mut out);
                let masked = if mask.is_some() { 4 } else { 0 };
                assert_eq!(out.len(), bytes + masked, "{length}");
                let sender = if mask.is_some() { Role::Client } else { Role::Server };
                assert_eq!(FrameHead::parse(&out, sender, false), Ok(Some((head, out.len()))), "{length}");
                for cut in 0..out.len() {
                    assert_eq!(FrameHead::parse(&out[..cut], sender, false), Ok(None), "{length} at {cut}");
                }
            }
        }
    }

    #[test]
    fn rfc6455_5_2_heads_that_are_refused() {
        let cases: &[(&[u8], Role, Fault)] = &[
            (b"\x91\x80", Role::Client, Fault::ReservedBit),
            (b"\xa1\x80", Role::Client, Fault::ReservedBit),
            (b"\xc1\x80", Role::Client, Fault::ReservedBit),
            (b"\x83\x80", Role::Client, Fault::OpcodeUnknown),
            (b"\x87\x80", Role::Client, Fault::OpcodeUnknown),
            (b"\x8b\x80", Role::Client, Fault::OpcodeUnknown),
            (b"\x8f\x80", Role::Client, Fault::OpcodeUnknown),
            (b"\x81\x00", Role::Client, Fault::MaskMissing),
            (b"\x81\x80", Role::Server, Fault::MaskUnexpected),
            (b"\x09\x80", Role::Client, Fault::ControlFragmented),
            (b"\x08\x80", Role::Client, Fault::ControlFragmented),
            (b"\x89\xfe", Role::Client, Fault::ControlTooLong),
            (b"\x88\xff", Role::Client, Fault::ControlTooLong),
            (b"\x81\xfe\x00\x7d", Role::Client, Fault::LengthNotMinimal),
            (b"\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff", Role::Client, Fault::LengthNotMinimal),
            (b"\x81\xff\x80\x00\x00\x00\x00\x01\x00\x00", Role::Client, Fault::LengthInvalid),
        ];
        for &(bytes, sender, fault) in cases {
            assert_eq!(FrameHead::parse(bytes, sender, false), Err(fault), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn rfc7692_6_1_the_compressed_bit_stands_on_the_first_frame_of_a_message_only() {
        for (first, is_fine) in [
            (0xc1, true),
            (0xc2, true),
            (0x41, true),
            (0xc0, false),
            (0xc8, false),
            (0xc9, false),
            (0xca, false),
        ] {
            let parsed = FrameHead::parse(&[first, 0x80, 1, 2, 3, 4], Role::Client, true);
            assert_eq!(parsed.is_ok(), is_fine, "{first:x}");
        }
    }
}
