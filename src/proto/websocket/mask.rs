//! Masking (RFC 6455 §5.3): eight bytes at a time, which the compiler turns into vector instructions.
#![forbid(unsafe_code)]

/// Masks or unmasks `bytes`, which stand `offset` bytes behind the beginning of their payload.
pub fn apply(mask: [u8; 4], offset: u64, bytes: &mut [u8]) {
    let mask = rotate(mask, offset);
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    // The chunks before have whole masks, so the rest begins with a mask's first byte.
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// The mask as it stands at an offset.
fn rotate(mask: [u8; 4], offset: u64) -> [u8; 4] {
    let [a, b, c, d] = mask;
    match offset % 4 {
        0 => mask,
        1 => [b, c, d, a],
        2 => [c, d, a, b],
        _ => [d, a, b, c],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain twin: RFC 6455 §5.3, byte by byte.
    fn plain(mask: [u8; 4], offset: usize, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte ^= mask[(offset + index) % 4];
        }
    }

    #[test]
    fn rfc6455_5_3_words_and_bytes_agree_at_every_length_offset_and_alignment() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let all: Vec<u8> = (0..100).collect();
        for start in 0..9 {
            for end in start..=all.len() {
                for offset in 0..5 {
                    let (mut fast, mut slow) = (all.clone(), all.clone());
                    apply(mask, offset as u64, &mut fast[start..end]);
                    plain(mask, offset, &mut slow[start..end]);
                    assert_eq!(fast, slow, "{start}..{end} at {offset}");
                }
            }
        }
    }

    #[test]
    fn rfc6455_5_7_the_masked_hello_of_the_rfc() {
        let mut bytes = *b"\x7f\x9f\x4d\x51\x58";
        apply([0x37, 0xfa, 0x21, 0x3d], 0, &mut bytes);
        assert_eq!(&bytes, b"Hello");
    }
}
