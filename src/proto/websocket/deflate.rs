//! The codecs of permessage-deflate (RFC 7692 §7.2): raw deflate, a message at a time.
#![forbid(unsafe_code)]

use std::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::fault::Fault;

/// What a message's compressed bytes end with, and what is left out of the frame (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Compresses messages.
///
/// It holds some 260 to 370 KiB, by its window: see [`deflater_bytes`].
pub struct Deflater {
    codec: Compress,
    level: u8,
    window_bits: u8,
}

impl Deflater {
    /// A compressor with an empty window of 2^`window_bits` bytes.
    ///
    /// `level`: 0 to 9. `window_bits`: 9 to 15.
    #[must_use]
    pub fn new(level: u8, window_bits: u8) -> Self {
        let codec = Compress::new_with_window_bits(compression(level), false, window_bits);
        Self { codec, level, window_bits }
    }

    /// The size of its window, as an exponent of 2.
    #[must_use]
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// Appends the payload of a compressed message to `out`. A `level` other than the last one's empties the window.
    pub fn compress(&mut self, message: &[u8], level: u8, out: &mut Vec<u8>) {
        self.set_level(level);
        let start = out.len();
        // Text becomes a third or less, mostly; the tail needs its place, too.
        out.reserve(message.len() / 3 + 64);
        self.run(message, FlushCompress::Sync, out);
        if out[start..].ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
        if out.len() == start {
            // RFC 7692 §7.2.3.6: an empty message is an empty block, not nothing.
            out.push(0);
        }
    }

    /// Empties the window: what follows can be read without what was before.
    pub fn reset(&mut self) {
        self.codec.reset();
    }

    /// Another level begins with an empty window: the codec takes it only then.
    fn set_level(&mut self, level: u8) {
        if self.level != level {
            self.level = level;
            self.codec.reset();
            self.codec.set_level(compression(level)).expect("it was reset");
        }
    }

    fn run(&mut self, mut input: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
        loop {
            if out.capacity() - out.len() < OUTPUT_ROOM_MIN {
                out.reserve(OUTPUT_STEP_BYTES);
            }
            let before = self.codec.total_in();
            self.codec.compress_vec(input, out, flush).expect("the calls are in order");
            let taken = usize::try_from(self.codec.total_in() - before).expect("no more than there was");
            input = &input[taken..];
            // With room left, all that can come has come.
            if input.is_empty() && out.len() < out.capacity() {
                return;
            }
        }
    }
}

fn compression(level: u8) -> Compression {
    Compression::new(u32::from(level.min(9)))
}

/// What a [`Deflater`] holds in memory, about: measured with zlib-rs.
#[must_use]
pub const fn deflater_bytes(window_bits: u8) -> usize {
    240 * 1024 + (4 << window_bits)
}

/// What an [`Inflater`] holds in memory, about.
pub const INFLATER_BYTES: usize = 46 * 1024;

/// Unpacks messages.
pub struct Inflater {
    codec: Decompress,
}

/// How far a step of unpacking came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inflated {
    /// All input was taken and all output is there.
    All,
    /// So much of the input was taken, and the step's output is full.
    Full(usize),
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// One with an empty window, of the largest size: it reads what was compressed with any.
    #[must_use]
    pub fn new() -> Self {
        Self { codec: Decompress::new(false) }
    }

    /// Unpacks `input` and appends to `out`, up to about `step_bytes` more.
    pub(super) fn inflate(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        step_bytes: usize,
    ) -> Result<Inflated, Fault> {
        let (mut taken, step_end) = (0, out.len() + step_bytes);
        loop {
            if out.len() >= step_end {
                return Ok(Inflated::Full(taken));
            }
            if out.capacity() == out.len() {
                let more = out.len().max(OUTPUT_STEP_BYTES).min(step_bytes);
                out.reserve_exact(more);
            }
            let (in_before, out_before) = (self.codec.total_in(), out.len());
            let status = self.codec.decompress_vec(&input[taken..], out, FlushDecompress::Sync);
            let status = status.map_err(|_| Fault::DeflateInvalid)?;
            let progress =
                usize::try_from(self.codec.total_in() - in_before).expect("no more than there was");
            taken += progress;
            if status == Status::StreamEnd {
                // RFC 7692 §7.2.3.4: a block may say that it is the last one; others may follow all the same.
                self.codec.reset(false);
            }
            if taken == input.len() && out.len() < out.capacity() {
                return Ok(Inflated::All);
            }
            if progress == 0 && out.len() == out_before && out.len() < out.capacity() {
                return Err(Fault::DeflateInvalid);
            }
        }
    }

    /// Unpacks the tail that was left out of the frame.
    pub(super) fn end_message(
        &mut self,
        out: &mut Vec<u8>,
        done: usize,
        step_bytes: usize,
    ) -> Result<Inflated, Fault> {
        self.inflate(&TAIL[done..], out, step_bytes)
    }

    /// Empties the window.
    pub(super) fn reset(&mut self) {
        self.codec.reset(false);
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("window_bits", &self.window_bits).finish_non_exhaustive()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

/// By how much output grows at least.
const OUTPUT_STEP_BYTES: usize = 4 * 1024;

/// zlib repeats its flush marker if there is no room for it.
const OUTPUT_ROOM_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        for input in [payload, &TAIL] {
            let mut taken = 0;
            while let Inflated::Full(count) = inflater.inflate(&input[taken..], &mut out, 1000)? {
                taken += count;
            }
        }
        Ok(out)
    }

    fn deflate(deflater: &mut Deflater, message: &[u8], level: u8) -> Vec<u8> {
        let mut out = Vec::new();
        deflater.compress(message, level, &mut out);
        out
    }

    #[test]
    fn rfc7692_7_2_3_the_examples_of_the_rfc() {
        let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
        let mut inflater = Inflater::new();
        assert_eq!(inflate(&mut inflater, hello).unwrap(), b"Hello");
        // §7.2.3.2: with the window taken over.
        assert_eq!(inflate(&mut inflater, b"\xf2\x00\x11\x00\x00").unwrap(), b"Hello");
        // §7.2.3.3: a block without compression.
        assert_eq!(
            inflate(&mut inflater, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00").unwrap(),
            b"Hello"
        );
        // §7.2.3.4: a block that says it is the last.
        assert_eq!(inflate(&mut inflater, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00").unwrap(), b"Hello");
        // §7.2.3.5: two blocks.
        let two = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
        assert_eq!(inflate(&mut Inflater::new(), two).unwrap(), b"Hello");
        // §7.2.3.6: nothing.
        assert_eq!(inflate(&mut Inflater::new(), b"\x00").unwrap(), b"");
        assert_eq!(inflate(&mut Inflater::new(), b"").unwrap(), b"");
        assert_eq!(inflate(&mut Inflater::new(), b"\xff\xff\xff\xff").unwrap_err(), Fault::DeflateInvalid);
    }

    #[test]
    fn messages_come_back_with_every_window_level_and_both_ways_of_taking_over() {
        let long: Vec<u8> = (0..4_000_u32).flat_map(|n| (n / 7).to_string().into_bytes()).collect();
        let messages: [&[u8]; 5] =
            [b"", b"a", b"the same the same the same", &long, b"the same the same the same"];
        for window_bits in 9..=15 {
            for takes_over in [false, true] {
                let mut deflater = Deflater::new(1, window_bits);
                let mut inflater = Inflater::new();
                for level in [1, 6, 0, 9, 1] {
                    for message in messages {
                        let payload = deflate(&mut deflater, message, level);
                        assert!(!payload.is_empty(), "RFC 7692 §7.2.3.6");
                        let back = inflate(&mut inflater, &payload).unwrap();
                        assert_eq!(back, message, "{window_bits} bits, level {level}, {takes_over}");
                        if !takes_over {
                            deflater.reset();
                            inflater.reset();
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_small_window_is_kept() {
        // What repeats only beyond the window cannot be compressed with it.
        let block: Vec<u8> =
            (0..400_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        let twice = [&block[..], &[0; 1000], &block].concat();
        let small = deflate(&mut Deflater::new(9, 9), &twice, 9).len();
        let large = deflate(&mut Deflater::new(9, 15), &twice, 9).len();
        assert!(small > large + 200, "{small} {large}");
    }
}
