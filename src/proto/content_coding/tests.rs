//! Every coding, fed whole and in pieces; what is damaged; what is a bomb.
#![forbid(unsafe_code)]

use bytes::Bytes;

use super::*;

/// Text that compresses as text does, by a generator of its own.
fn text(bytes: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let word = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("word{} ", *state >> 22)
    };
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(&word(&mut state));
    }
    text.into_bytes()[..bytes].to_vec()
}

fn pack(coding: ContentCoding, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(coding, Level::Balanced);
    encoder.write(body, &mut out);
    encoder.finish(&mut out);
    out
}

fn unpack<'a>(
    coding: ContentCoding,
    limits: DecodeLimits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(coding, limits);
    let mut whole = Vec::new();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(piece) = decoder.decode(&mut input)? {
            assert!(piece.len() <= 32 * 1024, "{} bytes at once", piece.len());
            whole.extend_from_slice(&piece);
        }
        assert!(input.is_empty(), "{coding:?} leaves {} bytes", input.len());
    }
    decoder.end()?;
    Ok(whole)
}

fn all(coding: ContentCoding, packed: &[u8]) -> Result<Vec<u8>, DecodeError> {
    unpack(coding, DecodeLimits::default(), [packed])
}

#[test]
fn names_are_found_in_any_case() {
    for &coding in ContentCoding::ALL {
        assert_eq!(ContentCoding::of_name(coding.name().to_uppercase().as_bytes()), Some(coding));
    }
    assert_eq!(ContentCoding::of_name(b"x-gzip"), Some(ContentCoding::Gzip));
    for name in [&b""[..], b"identity", b"gzip2", b"compress", b"\xff"] {
        assert_eq!(ContentCoding::of_name(name), None);
    }
}

#[test]
fn bodies_come_back_as_they_were_at_every_split() {
    let body = text(300);
    for &coding in ContentCoding::ALL {
        let packed = pack(coding, &body);
        assert!(packed.len() < body.len(), "{coding:?}: {}", packed.len());
        assert_eq!(all(coding, &packed).unwrap(), body, "{coding:?}");
        assert_eq!(unpack(coding, DecodeLimits::default(), packed.chunks(1)).unwrap(), body, "{coding:?}");
        for at in 0..packed.len() {
            let (one, two) = packed.split_at(at);
            assert_eq!(unpack(coding, DecodeLimits::default(), [one, two]).unwrap(), body, "{coding:?} {at}");
        }
    }
}

/// A frame says how large its window is, by which its encoder's memory goes.
#[cfg(feature = "zstd")]
#[test]
fn rfc8878_3_1_1_1_2_windows_are_small_at_every_level() {
    for level in [Level::Fast, Level::Balanced, Level::Small] {
        let mut packed = Vec::new();
        let mut encoder = Encoder::new(ContentCoding::Zstd, level);
        // The second time as the first: a reset keeps it.
        for _ in 0..2 {
            packed.clear();
            encoder.write(&text(1000), &mut packed);
            encoder.finish(&mut packed);
            encoder.reset();
            assert_eq!(packed[4] & 0b0010_0000, 0, "a window is told");
            let window_kib = 1_u64 << (packed[5] >> 3);
            assert!(window_kib <= 2048, "{level:?}: {window_kib} KiB");
        }
        assert_eq!(all(ContentCoding::Zstd, &packed).unwrap(), text(1000));
    }
}

#[test]
fn bodies_of_any_size_come_back() {
    for &coding in ContentCoding::ALL {
        for bytes in [0, 1, 4095, 4096, 32 * 1024, 700_001] {
            let body = text(bytes);
            let mut encoder = Encoder::new(coding, Level::Fast);
            // The second body through the same encoder is as good as the first.
            for _ in 0..2 {
                let mut packed = Vec::new();
                body.chunks(10_000).for_each(|piece| encoder.write(piece, &mut packed));
                encoder.finish(&mut packed);
                encoder.reset();
                assert!(all(coding, &packed).unwrap() == body, "{coding:?} {bytes}");
            }
        }
    }
}

#[test]
fn what_was_flushed_can_be_read() {
    for &coding in ContentCoding::ALL {
        let mut encoder = Encoder::new(coding, Level::Small);
        let mut decoder = Decoder::new(coding, DecodeLimits::default());
        for number in 0..50 {
            let piece = format!("event {number}");
            let mut packed = Vec::new();
            encoder.write(piece.as_bytes(), &mut packed);
            encoder.flush(&mut packed);
            let mut input = Bytes::from(packed);
            let mut read = Vec::new();
            while let Some(piece) = decoder.decode(&mut input).unwrap() {
                read.extend_from_slice(&piece);
            }
            assert_eq!(read, piece.as_bytes(), "{coding:?}");
        }
        assert_eq!(decoder.end(), Err(DecodeError::Truncated));
        let mut packed = Vec::new();
        encoder.finish(&mut packed);
        assert_eq!(decoder.decode(&mut Bytes::from(packed)), Ok(None));
        assert_eq!(decoder.end(), Ok(()));
    }
}

#[test]
fn what_ends_early_or_goes_on_is_refused() {
    let body = text(500);
    for &coding in ContentCoding::ALL {
        let packed = pack(coding, &body);
        for at in 1..packed.len() {
            assert_eq!(all(coding, &packed[..at]), Err(DecodeError::Truncated), "{coding:?} {at}");
        }
        assert_eq!(all(coding, &[]), Ok(Vec::new()), "nothing at all is nothing");
        let mut longer = packed.clone();
        longer.extend_from_slice(b"\0garbage and more of it");
        assert_eq!(all(coding, &longer), Err(DecodeError::Malformed), "{coding:?}");
        assert!(all(coding, b"this was never compressed, was it?").is_err(), "{coding:?}");
    }
}

#[test]
fn damaged_data_is_refused_or_read_but_never_hangs() {
    let body = text(200);
    for &coding in ContentCoding::ALL {
        let packed = pack(coding, &body);
        for at in 0..packed.len() {
            for bit in [0, 3, 7] {
                let mut damaged = packed.clone();
                damaged[at] ^= 1 << bit;
                if let Ok(read) = all(coding, &damaged) {
                    assert!(read.len() <= 1024 * 1024, "{coding:?} {at} {bit}");
                }
            }
        }
    }
}

#[test]
fn a_checksum_that_is_wrong_is_noticed() {
    let mut packed = pack(ContentCoding::Gzip, b"hello");
    let at = packed.len() - 8;
    packed[at] ^= 1;
    assert_eq!(all(ContentCoding::Gzip, &packed), Err(DecodeError::Malformed));
}

#[test]
fn raw_deflate_is_read_as_deflate() {
    let body = text(10_000);
    let mut raw = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut packed = Vec::with_capacity(20_000);
    raw.compress_vec(&body, &mut packed, flate2::FlushCompress::Finish).unwrap();
    assert!(all(ContentCoding::Deflate, &packed).unwrap() == body);
    assert!(unpack(ContentCoding::Deflate, DecodeLimits::default(), packed.chunks(1)).unwrap() == body);
}

#[test]
fn members_follow_each_other_up_to_their_limit() {
    let one = pack(ContentCoding::Gzip, b"ab");
    let limits = DecodeLimits { members_max: 3, ..DecodeLimits::default() };
    assert_eq!(unpack(ContentCoding::Gzip, limits, [&*one.repeat(3)]).unwrap(), b"ababab");
    assert_eq!(unpack(ContentCoding::Gzip, limits, one.repeat(3).chunks(1)).unwrap(), b"ababab");
    assert_eq!(unpack(ContentCoding::Gzip, limits, [&*one.repeat(4)]), Err(DecodeError::Malformed));
    let empty = pack(ContentCoding::Gzip, b"");
    assert_eq!(all(ContentCoding::Gzip, &empty.repeat(1024)), Ok(Vec::new()));
    assert_eq!(all(ContentCoding::Gzip, &empty.repeat(1025)), Err(DecodeError::Malformed));
}

#[test]
fn a_bomb_goes_off_in_small_pieces_and_not_for_long() {
    for &coding in ContentCoding::ALL {
        let mut encoder = Encoder::new(coding, Level::Balanced);
        let mut packed = Vec::new();
        let zeros = vec![0; 1 << 20];
        (0..64).for_each(|_| encoder.write(&zeros, &mut packed));
        encoder.finish(&mut packed);
        assert!(packed.len() < 128 * 1024, "{coding:?}: {}", packed.len());

        let mut decoder = Decoder::new(coding, DecodeLimits::default());
        let mut input = Bytes::from(packed);
        let mut made = 0;
        let error = loop {
            match decoder.decode(&mut input) {
                Ok(piece) => made += piece.expect("there is more").len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error, DecodeError::TooDense, "{coding:?}");
        assert!(made <= 13 << 20, "{coding:?}: {made}");
    }
    // A megabyte of zeros is none.
    let zeros = vec![0; 1 << 20];
    assert!(all(ContentCoding::Gzip, &pack(ContentCoding::Gzip, &zeros)).unwrap() == zeros);
}

/// RFC 9659: a frame whose window is larger than 8 MiB is not read, however short it is.
#[cfg(feature = "zstd")]
#[test]
fn rfc9659_3_large_windows_are_refused() {
    let frame = |window: u8| [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, window << 3], &[0x09, 0, 0, b'a'][..]].concat();
    assert_eq!(all(ContentCoding::Zstd, &frame(13)), Ok(b"a".to_vec()));
    assert_eq!(all(ContentCoding::Zstd, &frame(14)), Err(DecodeError::Malformed));
}
