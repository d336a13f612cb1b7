//! Frames of a client, made by hand: for the tests over TLS, too.

use bytes::BytesMut;
use ringhttp::proto::websocket::{FrameHead, Opcode, mask};

/// A frame as a client sends it: FIN, RSV1 and opcode in `first`.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x12, 0x34, 0x56, 0x78];
    let head = FrameHead { mask: Some(key), ..FrameHead::whole(Opcode::Text, payload.len()) };
    let mut bytes = BytesMut::new();
    head.encode(&mut bytes);
    bytes[0] = first;
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    mask::apply(key, 0, &mut bytes[start..]);
    bytes.to_vec()
}
