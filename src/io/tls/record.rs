//! The frame of a TLS record: a header of five bytes, which says how many follow (RFC 8446 §5.1, RFC 5246 §6.2).
#![forbid(unsafe_code)]

use rustls::{ContentType, ProtocolVersion};

/// Bytes of a record's header.
pub(super) const HEADER_BYTES: usize = 5;

/// Bytes of content that a record may have.
pub(super) const CONTENT_BYTES_MAX: usize = 1 << 14;

/// What encryption may add in TLS 1.3 (RFC 8446 §5.2), and in TLS 1.2 (RFC 5246 §6.2.3).
const EXPANSION_BYTES_MAX_13: usize = 256;
const EXPANSION_BYTES_MAX_12: usize = 2048;

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) content_type: ContentType,
    pub(super) version: ProtocolVersion,
    /// Bytes behind the header.
    pub(super) length: usize,
}

impl Header {
    /// The header at the front of `bytes`, if it is all there.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[content_type, major, minor, high, low, ..] = bytes else {
            return None;
        };
        Some(Self {
            content_type: content_type.into(),
            version: u16::from_be_bytes([major, minor]).into(),
            length: u16::from_be_bytes([high, low]).into(),
        })
    }

    /// Bytes of the whole record.
    pub(super) fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.length
    }

    /// Whether an encrypted record may be as long as this one says.
    pub(super) fn length_is_allowed(&self, is_tls13: bool) -> bool {
        let expansion = if is_tls13 { EXPANSION_BYTES_MAX_13 } else { EXPANSION_BYTES_MAX_12 };
        self.length <= CONTENT_BYTES_MAX + expansion
    }

    /// Whether it can be the header of a record in a handshake. What cannot is not worth waiting for.
    pub(super) fn is_plausible(&self) -> bool {
        let known = matches!(
            self.content_type,
            ContentType::ChangeCipherSpec
                | ContentType::Alert
                | ContentType::Handshake
                | ContentType::ApplicationData
        );
        known && u16::from(self.version) >> 8 == 3 && self.length_is_allowed(false) && self.length > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_when_it_is_complete() {
        let bytes = [22, 3, 1, 1, 2, 99];
        for count in 0..HEADER_BYTES {
            assert_eq!(Header::read(&bytes[..count]), None);
        }
        let header = Header::read(&bytes).expect("complete");
        assert_eq!((header.content_type, header.length), (ContentType::Handshake, 258));
        assert_eq!(header.record_bytes(), 263);
        assert!(header.is_plausible());
    }

    #[test]
    fn rfc8446_5_2_a_record_is_at_most_so_long() {
        let of = |length| Header {
            content_type: ContentType::ApplicationData,
            version: ProtocolVersion::TLSv1_2,
            length,
        };
        assert!(of(16_384 + 256).length_is_allowed(true));
        assert!(!of(16_384 + 257).length_is_allowed(true));
        assert!(of(16_384 + 2048).length_is_allowed(false));
        assert!(!of(16_384 + 2049).length_is_allowed(false));
    }

    #[test]
    fn what_is_no_tls_is_not_waited_for() {
        for bytes in
            [*b"GET /", [22, 2, 0, 0, 1], [128, 46, 1, 3, 1], [22, 3, 1, 0xff, 0xff], [22, 3, 1, 0, 0]]
        {
            assert!(!Header::read(&bytes).expect("complete").is_plausible(), "{bytes:?}");
        }
    }
}
